# SPDX-License-Identifier: Apache-2.0
"""Odd and broken upstream answers, as bytes: 502 before anything went out, visible truncation after,
and never a byte of one answer in another (group R of the hostile cases)."""

import pytest

from checks import ECHO, assert_error, assert_ok, target
from daemon import seconds

SERVICE = ("X-Sigferry-Service", "ecs")
ONCE = ("X-Sigferry-Auto-Retry", "false")
OK = "HTTP/1.1 200 OK\r\n"


def answer(upstream, data, close=True):
    def handler(ex):
        ex.send(data)
        if close:
            ex.close()
    upstream.on("r", handler)


BAD = {
    "R1": OK + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "R2": OK + "Content-Length: 5, 6\r\n\r\nhello!",
    "R3": OK + "Content-Length: 5abc\r\n\r\nhello",
    "R4": OK + "Content-Length: -5\r\n\r\nhello",
    "R4b": OK + "Content-Length: +5\r\n\r\nhello",
    "R4c": OK + "Content-Length: 99999999999999999999\r\n\r\nhello",
    "R6": OK + "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "R6b": OK + "Transfer-Encoding: identity\r\n\r\nhello",
    "R7": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nraw",
    "R10": OK + "NoColonHere\r\nContent-Length: 0\r\n\r\n",
    "R10b": OK + "X A: b\r\nContent-Length: 0\r\n\r\n",
    "R10c": OK + "X-A : b\r\nContent-Length: 0\r\n\r\n",
    "R10d": OK + ": b\r\nContent-Length: 0\r\n\r\n",
    "R12": OK + "X-A: a\rb\r\nContent-Length: 0\r\n\r\n",
    "R12b": OK + "X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "R13": "hello, this is HTTP/0.9\r\n",
    "R14": "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "R14b": "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "R14c": "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "R14d": "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "R14e": "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    "R14f": "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    "R28": OK + "X-A: " + "x" * 200000 + "\r\nContent-Length: 0\r\n\r\n",
    "R29": OK + "".join("X-%d: %s\r\n" % (i, "x" * 4000) for i in range(100)) + "\r\n",
    "R31": OK + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_http_becomes_a_502(shared, upstream, name):
    answer(upstream, BAD[name])
    r = shared.request("GET", target("r"), [ONCE])
    assert_error(r, 502, "UpstreamProtocolError")
    assert len(upstream.of("r")) == 1
    before = upstream.accepted
    assert_ok(shared.request("GET", target("after")))
    assert upstream.accepted == before + 1  # the odd connection is not used again


def test_length_and_chunked_together(shared, upstream):  # R5
    answer(upstream, OK + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n0\r\n\r\n", close=False)
    r = shared.request("GET", target("r"), [ONCE])
    assert (r.status, r.error) == (502, "UpstreamProtocolError") or \
        (r.status == 200 and r.body == b"hello")
    before = upstream.accepted
    assert_ok(shared.request())
    assert upstream.accepted == before + 1


def test_equal_lengths_twice_are_one_or_refused(shared, upstream):
    answer(upstream, OK + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
    r = shared.request("GET", target("r"), [ONCE])
    assert r.status == 502 or (r.body == b"hello" and r.all("Content-Length") == ["5"])


@pytest.mark.parametrize("n", [1, 50])
@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_answers_are_skipped(shared, upstream, status, n):  # R8
    answer(upstream, ("HTTP/1.1 %s\r\nLink: </x>\r\n\r\n" % status) * n +
           OK + "Content-Length: 5\r\n\r\nfinal", close=False)
    r = assert_ok(shared.request("GET", target("r")))
    assert r.body == b"final" and r.get("Link") is None


def test_endless_interim_answers_end(shared, upstream):
    answer(upstream, "HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    assert_error(shared.request("GET", target("r"), [ONCE]), 502, "UpstreamProtocolError")


def test_a_folded_field(shared, upstream):  # R11
    answer(upstream, OK + "X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok")
    r = shared.request("GET", target("r"), [ONCE])
    assert r.status == 502 or (r.get("X-A") == "a b" and r.body == b"ok")


@pytest.mark.parametrize("line,status", [
    ("HTTP/1.1 999 Odd", 999), ("HTTP/1.1 200", 200), ("HTTP/1.1 200 ", 200),
    ("HTTP/1.0 200 OK", 200), ("HTTP/1.1 599 x", 599), ("HTTP/1.1 299 A B  C", 299)])
def test_odd_but_valid_status_lines(shared, upstream, line, status):  # R15, R16
    answer(upstream, line + "\r\nContent-Length: 2\r\n\r\nok")
    r = shared.request("GET", target("r"), [ONCE])
    assert (r.status, r.body) == (status, b"ok")


def test_trailers_are_dropped(shared, upstream):  # R18
    answer(upstream, OK + "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
           "5\r\nhello\r\n0\r\nX-T: secret\r\nSet-Cookie: a=b\r\n\r\n", close=False)
    with shared.client() as c:
        c.begin("GET", target("r"), [SERVICE, ("Connection", "close")])
        data, closed = c.read_all(seconds(10))
    assert closed and b"hello" in data and b"secret" not in data and b"a=b" not in data


@pytest.mark.parametrize("size", ["5;x=\"y\"", "0005", "5 "])
def test_chunk_sizes_in_disguise(shared, upstream, size):
    answer(upstream, OK + "Transfer-Encoding: chunked\r\n\r\n%s\r\nhello\r\n0\r\n\r\n" % size, False)
    r = shared.request("GET", target("r"), [ONCE])
    assert r.body == b"hello" or not r.whole or r.status == 502
    assert r.body == b"hello" or size == "5 "


@pytest.mark.parametrize("body", [
    "zz\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello", "\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nbroken trailer\r\n\r\n"])
def test_broken_chunks_are_never_whole(shared, upstream, body):  # R30
    answer(upstream, OK + "Transfer-Encoding: chunked\r\n\r\n" + body)
    with shared.client() as c:
        c.begin("GET", target("r"), [SERVICE, ONCE])
        try:
            r = c.response()
        except OSError:
            return
    assert r.status == 502 or not r.whole, r


def test_a_204_with_a_body(shared, upstream):  # R23
    answer(upstream, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", close=False)
    with shared.client() as c:
        r = c.request("GET", target("r"), [SERVICE])
        assert r.status == 204 and r.body == b""
        before = upstream.accepted
        assert_ok(c.request("GET", ECHO, [SERVICE]))
    assert upstream.accepted == before + 1


def test_a_304_with_a_length(shared, upstream):  # R24
    answer(upstream, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", close=False)
    with shared.client() as c:
        r = c.request("GET", target("r"), [SERVICE])
        assert (r.status, r.get("Content-Length"), r.body) == (304, "500", b"")
        assert_ok(c.request("GET", ECHO, [SERVICE]))


@pytest.mark.parametrize("extra", ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "x", "\r\n"])
@pytest.mark.parametrize("body", ["hello", ""])
def test_extra_bytes_are_never_seen_by_the_next(daemon, upstream, extra, body):  # R26
    d = daemon()
    answer(upstream, OK + "Content-Length: %d\r\n\r\n%s%s" % (len(body), body, extra), close=False)
    r = assert_ok(d.request("GET", target("r")))
    assert r.body == body.encode()
    for i in range(3):
        r = assert_ok(d.request("GET", target("n%d" % i)))
        assert b"poison" not in r.body and "n%d" % i in r.result["Target"]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("size", [5, 12000, 16384, 16500, 18384, 24000, 65536])
def test_extra_bytes_behind_what_one_read_brings(daemon, upstream, make_upstream, size, plain):
    """They are there when the answer ends, but in a TLS record of their own, or behind the 64 KiB of one
    read: no event will tell of them, and the next request must not find them. OpenSSL fills its 16 KiB,
    then reads exactly the rest of a record that it has begun, be it small."""
    u = make_upstream(cert=None) if plain else upstream
    d = daemon(_upstream=u, endpoint={"scheme": "http"} if plain else None)
    poison = OK + "Content-Length: 6\r\n\r\npoison"
    head = OK + "Content-Length: %d\r\n\r\n"
    body = "b" * (size - len(head % size))

    def both_at_once(ex):
        with d.stopped():
            ex.send(head % len(body) + body)
            ex.send(poison)
    u.on("r", both_at_once)
    assert_ok(d.request("GET", target("n")))  # what a handshake leaves to be read is read now
    r = assert_ok(d.request("GET", target("r")))
    assert r.body == body.encode()
    for i in range(3):
        r = assert_ok(d.request("GET", target("n%d" % i)))
        assert b"poison" not in r.body and "n%d" % i in r.result["Target"]


def test_an_unasked_answer_on_an_idle_connection(daemon, upstream):
    """A 408 pushed onto the idle connection is not the answer to the next request."""
    d = daemon()
    go = upstream.event()
    pushed = upstream.event()
    upstream.on("r", lambda ex: (ex.reply(200, b"{}"), go.wait(seconds(10)),
                                 ex.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
                                 pushed.set()))
    assert_ok(d.request("GET", target("r")))
    go.set()
    assert pushed.wait(seconds(10))
    for i in range(3):
        assert_ok(d.request("POST", target("n%d" % i), body=b"x"))
    assert [r.attempt for r in upstream.requests] == [1] * 4


def test_a_head_in_many_pieces(shared, upstream):
    data = OK + "Content-Length: 5\r\nX-A: b\r\n\r\nhello"
    upstream.on("r", lambda ex: [ex.send(c) for c in data])
    r = assert_ok(shared.request("GET", target("r")))
    assert r.body == b"hello" and r.get("X-A") == "b"


@pytest.mark.parametrize("fields,size", [(60, 100), (150, 10), (10, 800), (150, 100), (1, 20000)])
def test_big_heads_pass_or_are_refused_in_words(shared, upstream, fields, size):
    """8 KB must pass; what is bigger may be a 502, but never a connection closed without an answer."""
    head = "".join("X-%d: %s\r\n" % (i, "v" * size) for i in range(fields))
    answer(upstream, OK + head + "Connection: close\r\nContent-Length: 0\r\n\r\n")  # said, so that no next crosses it
    r = shared.request("GET", target("r"), [ONCE])
    if r.status == 502 and len(head) > 9000:
        assert_error(r, 502, "UpstreamProtocolError")
    else:
        assert all(r.get("X-%d" % i) == "v" * size for i in range(fields)), r


def test_an_answer_that_comes_early_and_not_whole(shared, upstream):
    """In the middle of an upload that does not go on: it can't be streamed, and the client is told."""
    more = upstream.event()
    upstream.allow_bad_signature = True
    upstream.on("r", lambda ex: (ex.send(OK + "Content-Length: 1000\r\n\r\nhalf"), more.wait(seconds(10)),
                                 ex.close()), early=True)
    headers = [SERVICE, ONCE, ("Content-Length", "1000"), ("X-Content-Sha256", "0" * 64)]
    with shared.client() as c:
        c.send(c.head("PUT", target("r"), headers) + b"b" * 500)
        r = c.response()
    more.set()
    assert (r.status, r.get("X-Sigferry-Error"), r.whole) == (502, "UpstreamProtocolError", True)


@pytest.mark.parametrize("size", [100, 20000, 500000])
@pytest.mark.parametrize("big", ["request", "answer"])
def test_a_big_head_whose_body_comes_later(shared, upstream, big, size):
    """An answer that can't be streamed for its head, or the request's: refused in words, and not
    written down as one that arrived."""
    more = upstream.event()
    field = ("X-Much", "v" * 15000)
    head = OK + ("%s: %s\r\n" % field if big == "answer" else "") + "Content-Length: %d\r\n\r\n" % size
    upstream.on("r", lambda ex: (ex.send(head), more.wait(seconds(10)), ex.send(b"b" * size)))
    mark = shared.mark()
    r = shared.request("GET", target("r"), [ONCE] + ([field] if big == "request" else []))
    more.set()
    assert (r.status, r.get("X-Sigferry-Error"), r.whole) == (502, "UpstreamProtocolError", True)
    assert "max_header" in r.json["ResponseMetadata"]["Error"]["Message"]
    # It was sent: neither the attempt nor the name it has in the log may be made up.
    own_id = r.get("X-Sigferry-Request-Id")
    assert r.get("X-Sigferry-Attempts") == "1" and r.json["ResponseMetadata"]["RequestId"] == own_id
    shared.wait_log("action=Echo .* status=502 .* bytes_out=0 .* request_id=%s .* error=UpstreamProtocolError "
                    "reason=.*max_header" % own_id, after=mark)


def test_an_answer_behind_a_long_trailer_or_cookie_is_given(shared, upstream):
    """libmicrohttpd keeps them where the answer's head has to go: that answer was lost, though its
    request had been done."""
    upstream.on("r", lambda ex: ex.send(OK + "X-Much: %s\r\nContent-Length: 2\r\n\r\nok" % ("v" * 2500)))
    for headers, body in (([("Cookie", "c" * 6500)], b""),
                          ([("Cookie", "; ".join(["c=1"] * 90))] + [("X-C", "c" * 6000)], b""),
                          ([("Transfer-Encoding", "chunked")], b"1\r\nx\r\n0\r\nX-T: " + b"t" * 13500 + b"\r\n\r\n")):
        with shared.client() as c:
            c.send(c.head("POST" if body else "GET", target("r"), [SERVICE] + headers) + body)
            r = c.response()
        assert (r.status, r.body, r.whole) == (200, b"ok", True), (headers[0][0], r)
