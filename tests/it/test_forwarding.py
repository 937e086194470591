# SPDX-License-Identifier: Apache-2.0
"""Request bodies and responses on their way: framing, spooling, limits, headers, connections."""

import gzip
import hashlib
import os
import random
import select
import signal
import threading

import pytest

from checks import ECHO, assert_error, assert_ok, target
from client import chunked, until
from daemon import seconds
from hostile import library

FIVE_MB = os.urandom(1 << 16) * 80
SERVICE = ("X-Sigferry-Service", "ecs")


# -- request bodies ----------------------------------------------------------------------------

@pytest.mark.parametrize("parts", [
    [b"hello"], [b"h", b"e", b"llo"], [], [b"x" * 70000, b"y" * 3], [b"z"] * 500], ids=len)
def test_chunked_bodies(shared, upstream, parts):
    with shared.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Transfer-Encoding", "chunked")]) + chunked(*parts))
        assert_ok(c.response())
        assert_ok(c.request("GET", target("next"), [SERVICE]))  # the framing left no rest
    req = upstream.requests[0]
    assert req.body == b"".join(parts)
    framing = req.all("Content-Length") + req.all("Transfer-Encoding")
    assert len(framing) == 1 and upstream.one("next").body_len == 0


@pytest.mark.skipif(library() == (1, 0, 1), reason="miscounts the bytes of a chunk's extension")
def test_chunk_extensions_and_trailers_are_dropped(shared, upstream):
    with shared.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Transfer-Encoding", "chunked")]) +
               b'5;a="b"\r\nhello\r\n0005\r\nworld\r\n0\r\nX-T: 1\r\nHost: evil\r\n'
               b'Authorization: x\r\n\r\n')
        assert_ok(c.response())
    req = upstream.one()
    assert req.body == b"helloworld" and b"evil" not in req.head and req.get("X-T") is None


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_body_goes_through_a_spool_file(daemon, upstream, framing):
    d = daemon()
    deleted = lambda: [x for x in d.descriptors() if x.endswith("(deleted)")]
    before = len(deleted())
    with d.client() as c:
        if framing == "length":
            c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", str(len(FIVE_MB)))]))
            rest = FIVE_MB
        else:
            c.send(c.head("POST", ECHO, [SERVICE, ("Transfer-Encoding", "chunked")]))
            rest = chunked(*[FIVE_MB[i:i + 100000] for i in range(0, len(FIVE_MB), 100000)])
        half = len(rest) // 2
        c.send(rest[:half])
        until(lambda: len(deleted()) > before, seconds(10), "an unlinked spool file")
        assert upstream.requests == []  # signed bodies leave when they are whole
        c.send(rest[half:])
        r = assert_ok(c.response())
    assert r.result["Sha256"] == hashlib.sha256(FIVE_MB).hexdigest()
    until(lambda: len(deleted()) == before, seconds(10), "the spool file to be closed")


def test_a_small_body_needs_no_file(daemon, upstream):
    d = daemon()
    before = len(d.descriptors())
    with d.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "200000")]) + b"x" * 100000)
        until(lambda: len(d.descriptors()) > before, seconds(10), "the client's descriptor")
        assert not any(x.endswith("(deleted)") for x in d.descriptors())
        c.send(b"x" * 100000)
        assert_ok(c.response())


@pytest.fixture(scope="module")
def small(module_daemon):
    return module_daemon(limits={"max_body": "64K"})


def test_body_beyond_the_limit_by_length(small, upstream):
    with small.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "65537")]))
        assert_error(c.response(), 413, "BodyTooLarge", "max_body")  # without sending any of it
    assert_ok(small.request("POST", ECHO, body=b"x" * 65536))
    assert len(upstream.requests) == 1


def test_body_beyond_the_limit_in_chunks(small, upstream):
    with small.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Transfer-Encoding", "chunked")]))
        c.send(chunked(*[b"x" * 10000] * 7))
        assert_error(c.response(), 413, "BodyTooLarge")
    assert upstream.requests == []
    assert_ok(small.request("POST", ECHO, body=b"x" * 100))


def test_refusal_reaches_a_client_that_sends_on(small, upstream):
    with small.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "10000000")]))
        try:
            c.send(b"x" * 3000000)
        except OSError:
            pass
        assert_error(c.response(), 413, "BodyTooLarge")
    assert small.alive() and upstream.requests == []


def test_expect_100_continue_is_answered_here(shared, upstream):
    with shared.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "5"), ("Expect", "100-continue")]))
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        assert upstream.requests == []
        c.send(b"hello")
        assert_ok(c.response())
    assert upstream.one().body == b"hello" and upstream.one().get("Expect") is None


def test_expect_of_a_refused_request_gets_no_100(shared, upstream):
    with shared.client() as c:
        c.send(c.head("POST", ECHO, [("Content-Length", "5"), ("Expect", "100-continue")]))
        data = c.read_until(b"\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 400 ") and upstream.requests == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_client_supplied_hash_streams_through(shared, upstream, framing):
    body, first = b"first|second", upstream.event()

    def handler(ex):
        got = b""
        while len(got) < 6:
            got += ex.read(6 - len(got))
        if got == b"first|":
            first.set()
        ex.read_all()
        ex.reply(200, b"{}")

    upstream.on("up", handler, early=True)
    headers = [SERVICE, ("X-Content-Sha256", hashlib.sha256(body).hexdigest())]
    with shared.client() as c:
        if framing == "length":
            c.send(c.head("POST", target("up"), headers + [("Content-Length", "12")]) + b"first|")
            rest = b"second"
        else:
            c.send(c.head("POST", target("up"), headers + [("Transfer-Encoding", "chunked")]) +
                   b"6\r\nfirst|\r\n")
            rest = chunked(b"second")
        assert first.wait(seconds(10)), "nothing arrived before the body was complete"
        c.send(rest)
        assert_ok(c.response())
    assert upstream.one("up").body == body


@pytest.mark.parametrize("hashed", [False, True])
def test_early_answer_during_an_upload_is_delivered(shared, upstream, hashed):
    upstream.on("early", lambda ex: (ex.read(1000), ex.reply(413, b'{"too":"big"}', [
        ("Connection", "close")]), ex.close()), early=True)
    digest = hashlib.sha256(FIVE_MB).hexdigest()
    headers = [SERVICE, ("Content-Length", str(len(FIVE_MB))), ("X-Sigferry-Auto-Retry", "false")]
    with shared.client() as c:
        c.send(c.head("POST", target("early"),
                      headers + ([("X-Content-Sha256", digest)] if hashed else [])))
        sender = threading.Thread(target=send_quietly, args=(c, FIVE_MB))
        sender.start()
        r = c.response()
        assert r.status == 413 and r.error is None and r.json == {"too": "big"}, r
    sender.join(seconds(10))
    assert not sender.is_alive() and len(upstream.of("early")) == 1


def send_quietly(c, data):
    try:
        c.send(data)
    except OSError:
        pass


# -- headers both ways -------------------------------------------------------------------------

def test_hop_by_hop_request_headers_are_dropped(shared, upstream):
    with shared.client() as c:
        c.begin("GET", ECHO, [
            SERVICE, ("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("Trailer", "X-T"),
            ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic eA=="), ("X-End", "kept")])
        assert_ok(c.response())
    names = upstream.one().names()
    assert "x-end" in names
    assert not set(names) & {"connection", "x-hop", "keep-alive", "proxy-connection", "te", "trailer",
                             "upgrade", "proxy-authorization", "transfer-encoding"}


@pytest.mark.parametrize("name", ["Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
                                  "X-Forwarded-Proto", "X-Real-IP"])
def test_traces_of_other_proxies_are_dropped(shared, upstream, name):
    assert_ok(shared.request("GET", ECHO, [(name, "192.0.2.1")]))
    assert upstream.one().get(name) is None


@pytest.mark.parametrize("connection", [["X-Hop"], ["keep-alive, X-Hop"], ["keep-alive", "X-Hop"]])
def test_hop_by_hop_response_headers_are_dropped(shared, upstream, connection):
    upstream.on("h", lambda ex: ex.reply(200, b"{}", [("Connection", c) for c in connection] + [
        ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("X-End", "kept"),
        ("Proxy-Authenticate", "Basic"), ("Upgrade", "h2c"), ("Trailer", "X-T"),
        ("X-Sigferry-Error", "fake"), ("X-Sigferry-Attempts", "77")]))
    r = assert_ok(shared.request("GET", target("h")))
    names = [n.lower() for n, _ in r.headers]
    assert "x-end" in names and not set(names) & {
        "x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer"}
    assert r.all("X-Sigferry-Attempts") == ["1"]


def test_response_headers_pass_as_they_are(shared, upstream):
    upstream.on("h", lambda ex: ex.reply(418, b"teapot", [
        ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("WWW-Authenticate", "Basic realm=x"),
        ("ETag", '"x"'), ("X-Tt-Logid", "log-1"), ("X-Empty", ""), ("Date", "Sat, 01 Jan 2022 00:00:00 GMT"),
        ("Server", "up"), ("X-Latin", "caf\xe9")], "text/plain", "I am"))
    r = shared.request("GET", target("h"))
    assert (r.status, r.body, r.get("Content-Type")) == (418, b"teapot", "text/plain")
    assert r.all("Set-Cookie") == ["a=1; Path=/", "b=2"]
    assert r.all("Date") == ["Sat, 01 Jan 2022 00:00:00 GMT"] and r.all("Server") == ["up"]
    assert (r.get("ETag"), r.get("X-Tt-Logid")) == ('"x"', "log-1")
    assert r.get("WWW-Authenticate") == "Basic realm=x" and r.get("X-Latin") == "caf\xe9"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_passed_not_followed(shared, upstream, status):
    location = "https://127.0.0.1:%d/elsewhere" % upstream.port
    upstream.on("r", lambda ex: ex.reply(status, b"", [("Location", location)]))
    r = shared.request("GET", target("r"))
    assert r.status == status and r.get("Location") == location
    assert len(upstream.requests) == 1 and upstream.accepted <= 1


def test_gzip_is_not_touched(shared, upstream):
    packed = gzip.compress(b"x" * 10000)
    upstream.on("z", lambda ex: ex.reply(200, packed, [("Content-Encoding", "gzip")]))
    r = assert_ok(shared.request("GET", target("z"), [("Accept-Encoding", "gzip, br")]))
    assert r.body == packed and r.get("Content-Encoding") == "gzip"
    assert upstream.one("z").get("Accept-Encoding") == "gzip, br"
    assert_ok(shared.request("GET", target("n")))
    assert upstream.one("n").get("Accept-Encoding") is None


# -- responses without a body ------------------------------------------------------------------

@pytest.mark.parametrize("method,head,length", [
    ("HEAD", "200 OK\r\nContent-Length: 1234", "1234"),
    ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
    ("GET", "204 No Content", None),
    ("GET", "304 Not Modified\r\nETag: \"x\"", None),
    ("GET", "304 Not Modified\r\nContent-Length: 500", "500"),
    ("DELETE", "200 OK\r\nContent-Length: 0", "0"),
])
def test_responses_without_a_body(shared, upstream, method, head, length):
    upstream.on("e", lambda ex: ex.send("HTTP/1.1 %s\r\n\r\n" % head))
    with shared.client() as c:
        r = c.request(method, target("e"), [SERVICE])
        assert r.status == int(head[:3]) and r.body == b"" and r.get("Content-Length") == length
        assert r.get("Transfer-Encoding") is None or method == "HEAD"
        if r.get("Connection") == "close":  # a head that tells no length ends its connection
            assert c.sock.recv(1) == b""
        else:
            assert_ok(c.request("GET", target("next"), [SERVICE]))  # the client's framing holds


# -- connections -------------------------------------------------------------------------------

def test_keep_alive_on_both_sides(daemon, upstream):
    d = daemon()
    with d.client() as c:
        for i in range(20):
            assert_ok(c.request("POST" if i % 2 else "GET", ECHO, [SERVICE], b"x" if i % 2 else b""))
    assert upstream.accepted == 1 and {r.connection for r in upstream.requests} == {1}


def test_client_connections_share_an_upstream_connection(daemon, upstream):
    d = daemon()
    for _ in range(5):
        assert_ok(d.request())
    assert upstream.accepted == 1


@pytest.mark.parametrize("n", [2, 50])
def test_pipelined_requests_are_answered_in_order(shared, upstream, n):
    with shared.client() as c:
        c.send(b"".join(
            c.head("POST", target("p%d" % i), [SERVICE, ("Content-Length", "3")]) + b"%03d" % i
            for i in range(n)))
        for i in range(n):
            r = assert_ok(c.response())
            assert "Id=p%d&" % i in r.result["Target"]
    assert [r.body for r in upstream.requests] == [b"%03d" % i for i in range(n)]


def test_connection_close_is_honoured(shared, upstream):
    with shared.client() as c:
        r = assert_ok(c.request("GET", ECHO, [SERVICE, ("Connection", "close")]))
        assert "close" in r.get("Connection").lower()
        assert c.read_all(seconds(10)) == (b"", True)


def test_http_1_0_client(shared, upstream):
    upstream.on("s", lambda ex: (ex.stream_head("text/plain"), ex.chunk(b"one"), ex.chunk(b"two"),
                                 ex.send(b"0\r\n\r\n")))
    with shared.client() as c:
        c.begin("GET", target("s"), [SERVICE], version="1.0")
        data, closed = c.read_all(seconds(10))
    head, _, body = data.partition(b"\r\n\r\n")
    assert closed and b" 200 " in head.split(b"\r\n")[0]
    assert b"transfer-encoding" not in head.lower() and body == b"onetwo"
    assert upstream.one("s").version == "HTTP/1.1"


def test_an_answer_cut_short_is_no_whole_one_to_http_1_0(shared, upstream):
    """Without chunks its end is the connection's: only a reset tells."""
    upstream.on("s", lambda ex: (ex.stream_head("text/plain"), ex.chunk(b"one"), ex.send(b"5\r\ntw"), ex.close()))
    with shared.client() as c:
        c.begin("GET", target("s"), [SERVICE], version="1.0")
        with pytest.raises(ConnectionResetError):
            while c.sock.recv(4096):
                pass


def test_an_answer_that_the_drain_cuts_is_no_whole_one_to_http_1_0(daemon, upstream):
    more = upstream.event()
    upstream.on("s", lambda ex: (ex.stream_head("text/plain"), ex.chunk(b"one"), more.wait(seconds(10))))
    d = daemon(drain_timeout=0.2)
    with d.client() as c:
        c.begin("GET", target("s"), [SERVICE], version="1.0")
        data = b""
        while not data.endswith(b"one"):
            piece = c.sock.recv(4096)
            assert piece, data
            data += piece
        d.signal(signal.SIGTERM)
        with pytest.raises(ConnectionResetError):
            while c.sock.recv(4096):
                pass
    d.wait()
    more.set()


def test_http_1_0_keep_alive(shared, upstream):
    with shared.client() as c:
        for _ in range(2):
            c.begin("GET", ECHO, [SERVICE, ("Connection", "keep-alive")], version="1.0")
            assert_ok(c.response())
    assert len(upstream.requests) == 2


def test_upstream_that_closes_after_each_request(daemon, upstream):
    """Silently closed idle connections cost no request, and none is sent twice."""
    d = daemon()
    upstream.max_requests = 1
    with d.client() as c:
        for i in range(10):
            assert_ok(c.request("POST", target("n%d" % i), [SERVICE], b"once"))
    assert len(upstream.requests) == 10 and all(r.attempt == 1 for r in upstream.requests)


def test_idle_connections_closed_at_any_moment(daemon, upstream):
    """400 POSTs against an upstream that gives an idle connection 0-3 ms: all arrive, none twice."""
    d = daemon()
    rnd, pause, never = random.Random(1), random.Random(2), upstream.event()

    def handler(ex):
        ex.reply(200, b"{}")
        if not select.select([ex.connection.sock], [], [], rnd.random() * 0.003)[0]:
            ex.close()

    upstream.on("Jitter", handler)
    with d.client() as c:
        for i in range(400):
            r = c.request("POST", "/?Action=Jitter&N=%d" % i, [SERVICE], b"once")
            assert r.status == 200, (i, r)
            never.wait(pause.random() * 0.003)
    seen = [int(r.query["N"]) for r in upstream.requests]
    assert sorted(seen) == list(range(400)) and upstream.accepted > 10


def test_upstream_connection_close_is_honoured(daemon, upstream):
    d = daemon()
    upstream.on("c", lambda ex: (ex.reply(200, b"{}", [("Connection", "close")]), ex.close()))
    with d.client() as c:
        for _ in range(3):
            r = assert_ok(c.request("GET", target("c"), [SERVICE]))
            assert "close" not in (r.get("Connection") or "").lower()
    assert upstream.accepted == 3 and len(upstream.of("c")) == 3


def test_client_that_leaves_cancels_the_upstream(shared, upstream):
    gone = upstream.event()

    def handler(ex):
        if ex.wait_gone(seconds(10)):
            gone.set()
        ex.close()

    upstream.on("g", handler)
    with shared.client() as c:
        c.begin("GET", target("g"), [SERVICE])
        upstream.wait_request("g")
    assert gone.wait(seconds(5)), "the upstream connection stayed open"
    assert len(upstream.of("g")) == 1
