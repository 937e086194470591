# SPDX-License-Identifier: Apache-2.0
"""Every error the daemon makes itself that can be provoked: status, header, JSON shape; and it lives
on. Refusals of heads and options have files of their own."""

import json
import select
import socket
import threading

import pytest

from checks import ECHO, UNKNOWN_NAME, assert_error, assert_ok, own_host, target
from client import until
from daemon import seconds, timed, unused_port

SERVICE = ("X-Sigferry-Service", "ecs")
ONCE = ("X-Sigferry-Auto-Retry", "false")


# -- shape -------------------------------------------------------------------------------------

def test_the_body_tells_what_was_known(shared, upstream):
    r = shared.request("GET", "/?Action=DescribeVpcs&Version=2020-04-01", [
        ("X-Sigferry-Region", "ap-southeast-2"), ("X-Sigferry-Connect-Timeout", "soon")])
    meta = assert_error(r, 400, "InvalidOption", ["X-Sigferry-Connect-Timeout", "soon"])
    assert (meta["Action"], meta["Version"]) == ("DescribeVpcs", "2020-04-01")
    assert (meta["Service"], meta["Region"]) == ("ecs", "ap-southeast-2")
    for wrong, known in ((("X-Sigferry-Regoin", "x"), ("ecs", "cn-beijing")),
                         (("X-Sigferry-Region", "not a region"), ("ecs", "cn-beijing"))):
        meta = assert_error(shared.request("GET", ECHO, [wrong]), 400, "InvalidOption")
        assert (meta["Service"], meta["Region"]) == known
    meta = assert_error(shared.request("GET", ECHO, [("X-Sigferry-Dry-Run", "so-so")], service="e c s"),
                        400, "InvalidOption")
    assert (meta["Service"], meta["Region"]) == ("", "cn-beijing")
    upstream.on("DescribeVpcs", lambda ex: ex.reset())
    r = shared.request("GET", "/?Action=DescribeVpcs&Version=2020-04-01", [
        ("X-Sigferry-Region", "ap-southeast-2"), ONCE])
    meta = assert_error(r, 502, "UpstreamReset")
    assert (meta["Action"], meta["Version"]) == ("DescribeVpcs", "2020-04-01")
    assert (meta["Service"], meta["Region"]) == ("ecs", "ap-southeast-2")
    assert set(json.loads(r.body)) == {"ResponseMetadata"}


def test_an_error_to_head_has_no_body(shared, upstream):
    with shared.client() as c:
        r = c.request("HEAD", ECHO)
        assert (r.status, r.error, r.body) == (400, "MissingService", b"")
        if "close" not in (r.get("Connection") or "").lower():
            assert_ok(c.request("GET", ECHO, [SERVICE]))


def test_an_error_keeps_a_sound_connection(shared, upstream):
    with shared.client() as c:
        assert_error(c.request("GET", ECHO), 400, "MissingService")
        assert_ok(c.request("GET", ECHO, [SERVICE]))


def test_an_error_with_a_body_behind_it_does_not_confuse_the_next(shared, upstream):
    with shared.client() as c:
        first = c.request("POST", ECHO, [], b"GET /?Action=Evil HTTP/1.1\r\n\r\n")
        assert_error(first, 400, "MissingService")
        if "close" not in (first.get("Connection") or "").lower():
            assert_ok(c.request("GET", ECHO, [SERVICE]))
    assert upstream.of("Evil") == []


def test_bytes_of_the_request_cannot_break_the_json(shared, upstream):
    r = shared.request("GET", '/?Action=%22%5C%0a%01&Version=%ff', [("X-Sigferry-Scheme", '"\\')])
    meta = assert_error(r, 400, "InvalidOption")
    assert meta["Action"] == '"\\\n\x01', meta


# -- requests ----------------------------------------------------------------------------------

@pytest.mark.parametrize("header", [
    ("Origin", "https://evil.example"), ("Origin", "null"), ("Referer", "https://evil.example/x"),
    ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none")])
def test_origin_not_allowed(shared, upstream, header):
    r = shared.request("GET", ECHO, [header])
    assert_error(r, 403, "OriginNotAllowed")
    assert not any(n.lower().startswith("access-control") for n, _ in r.headers)
    assert upstream.requests == []


def test_allowed_origin_settles_the_rest(daemon, upstream):
    d = daemon(security={"allowed_origins": ["https://good.example"]})
    assert_ok(d.request("GET", ECHO, [
        ("Origin", "https://good.example"), ("Referer", "https://good.example/page"),
        ("Sec-Fetch-Site", "cross-site")]))
    r = d.request("GET", ECHO, [("Origin", "https://good.example.evil")])
    assert_error(r, 403, "OriginNotAllowed")


@pytest.mark.parametrize("method", ["TRACE", "FOO", "CONNECT", "PROPFIND"])
def test_method_not_allowed(shared, upstream, method):
    path = "h:443" if method == "CONNECT" else ECHO
    host = "h:443" if method == "CONNECT" else True
    assert_error(shared.request(method, path, host=host), 405, "MethodNotAllowed")
    assert upstream.requests == []


def test_expectation_failed(shared, upstream):
    assert_error(shared.request("POST", ECHO, [("Expect", "foo")], b"x"), 417, "ExpectationFailed")
    assert upstream.requests == []


def test_uri_too_long(shared, upstream):
    r = shared.request("GET", "/?a=" + "x" * 9000)
    assert_error(r, 414, "UriTooLong")
    assert upstream.requests == []


def test_headers_too_many(shared, upstream):
    r = shared.request("GET", ECHO, [("X-%d" % i, "1") for i in range(110)])
    assert_error(r, 431, "HeadersTooLarge")
    assert upstream.requests == []


@pytest.fixture(scope="module")
def impatient(module_daemon):
    return module_daemon(timeouts={"client_header_timeout": 0.4, "client_body_timeout": 0.4,
                                   "client_idle_timeout": 0.6})


def test_client_timeout_in_the_head(impatient, upstream):
    with impatient.client() as c:
        c.send("GET / HTTP/1.1\r\nHost: ")
        (data, closed), took = timed(c.read_all, seconds(5))
    assert closed and 0.3 < took < seconds(3)
    assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
    assert_ok(impatient.request())


def test_client_timeout_in_a_head_that_drips(impatient, upstream):
    """The deadline is absolute: bytes that keep coming do not move it."""
    pause = upstream.event()
    with impatient.client() as c:
        def drip():
            try:
                for b in b"GET / HTTP/1.1\r\nX-A: " + b"x" * 100:
                    c.send(bytes([b]))
                    pause.wait(0.05)
            except OSError:
                pass
        sender = threading.Thread(target=drip)
        sender.start()
        (data, closed), took = timed(c.read_all, seconds(5))
        pause.set()
        sender.join(seconds(5))
    assert closed and took < seconds(2), (closed, took)


def test_client_timeout_in_the_body(impatient, upstream):
    with impatient.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "10")]) + b"half")
        r, took = timed(c.response)
        assert_error(r, 408, "ClientTimeout")
        assert 0.3 < took < seconds(3)
        assert c.read_all(seconds(5)) == (b"", True)
    assert upstream.requests == []


def test_an_idle_client_connection_is_closed(impatient, upstream):
    with impatient.client() as c:
        assert_ok(c.request("GET", ECHO, [SERVICE]))
        (data, closed), took = timed(c.read_all, seconds(5))
    assert (data, closed) == (b"", True) and 0.4 < took < seconds(3)


# -- the upstream ------------------------------------------------------------------------------

@pytest.mark.parametrize("cert", ["untrusted", "expired", "wronghost"])
def test_upstream_tls_failed(daemon, make_upstream, cert):
    u = make_upstream(cert)
    d = daemon(_upstream=u)
    r = d.request("POST", ECHO, body=b"secret")
    assert_error(r, 502, "UpstreamTlsFailed", "volcengineapi.com")
    assert r.get("X-Sigferry-Attempts") in ("1", None)
    assert u.requests == [] and u.accepted == 1  # not retried: it is a configuration error


def test_upstream_plain_where_tls_is_expected(daemon, upstream):
    received = []

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            received.append(sock.recv(65536))
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        d = daemon(connect_to=["::127.0.0.1:%d" % listener.getsockname()[1]])
        assert_error(d.request(), 502, "UpstreamTlsFailed")
        server.join(seconds(5))
    assert b"Authorization" not in received[0]


def test_verification_can_be_switched_off(daemon, make_upstream):
    u = make_upstream("untrusted")
    assert_ok(daemon(_upstream=u, tls={"verify_ssl": False}).request())


@pytest.fixture(scope="module")
def unreachable(module_daemon):
    return module_daemon(connect_to=["::127.0.0.1:%d" % unused_port()])


def test_upstream_refuses(unreachable, upstream):
    r, took = timed(unreachable.request, "GET", ECHO, own_host(), service=None)
    assert_error(r, 502, "UpstreamConnectFailed", "volcengineapi.com")
    assert r.get("X-Sigferry-Attempts") == "4" and took < seconds(5)
    r = unreachable.request("GET", ECHO, [ONCE])
    assert_error(r, 502, "UpstreamConnectFailed")
    assert r.get("X-Sigferry-Attempts") == "1"


def test_upstream_name_does_not_resolve(daemon, upstream):
    d = daemon(connect_to=None, endpoint={"host": UNKNOWN_NAME}, retry={"auto_retry": False})
    for _ in range(2):
        assert_error(d.request(), 502, "UpstreamResolveFailed", UNKNOWN_NAME)


@pytest.mark.parametrize("act", ["rst", "fin"])
def test_upstream_ends_before_the_head(shared, upstream, act):
    upstream.on("x", lambda ex: ex.reset() if act == "rst" else ex.close())
    r = shared.request("GET", target("x"), [ONCE])
    assert_error(r, 502, "UpstreamReset")
    assert len(upstream.of("x")) == 1
    r = shared.request("POST", target("x"), own_host(), b"1", service=None)
    assert_error(r, 502, "UpstreamReset")
    assert len(upstream.of("x")) == 5 and r.get("X-Sigferry-Attempts") == "4"


@pytest.mark.parametrize("act", ["rst", "fin"])
def test_a_request_that_was_read_is_not_sent_again(daemon, upstream, act):
    """On a reused connection, too: the upstream had the whole request before it ended. The big answer
    before makes its kernel slow to acknowledge; the failure on another host must leave no trace."""
    d = daemon()
    upstream.on("big", lambda ex: ex.reply(200, b"x" * 3000000))
    upstream.on("x", lambda ex: ex.reset() if act == "rst" else ex.close())
    upstream.on("y", lambda ex: ex.reset())
    for i in range(5):
        assert_ok(d.request("GET", target("big")))
        assert_error(d.request("GET", target("y"), [ONCE] + own_host(), service=None), 502,
                     "UpstreamReset")
        r = d.request("POST", target("x"), [ONCE], b"once")
        assert_error(r, 502, "UpstreamReset")
        assert len(upstream.of("x")) == i + 1


def test_upstream_ends_within_the_head(shared, upstream):
    upstream.on("x", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Le"), ex.close()))
    r = shared.request("GET", target("x"), [ONCE])
    assert r.status == 502 and r.error in ("UpstreamReset", "UpstreamProtocolError"), r
    assert_error(r, 502, r.error)


def test_upstream_talks_garbage(shared, upstream):
    upstream.on("x", lambda ex: (ex.send("this is not http\r\n\r\n"), ex.close()))
    assert_error(shared.request("GET", target("x"), [ONCE]), 502, "UpstreamProtocolError")
    assert_ok(shared.request())


def test_last_answer_passes_after_exhausted_retries(shared, upstream):
    upstream.on("x", lambda ex: ex.error(503, "Down%d" % ex.attempt, [("X-Up", "yes")]))
    r = shared.request("GET", target("x"), own_host(), service=None)
    assert r.status == 503 and r.error is None and r.get("X-Up") == "yes"
    assert r.json["ResponseMetadata"]["Error"]["Code"] == "Down4"
    assert r.get("X-Sigferry-Attempts") == "4"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
def test_business_errors_pass_untouched(shared, upstream, status):
    upstream.on("x", lambda ex: ex.error(status, "Business.Error"))
    r = shared.request("GET", target("x"))
    assert r.status == status and r.error is None and len(upstream.of("x")) == 1
    assert r.json["ResponseMetadata"]["Error"]["Code"] == "Business.Error"


# -- limits ------------------------------------------------------------------------------------

def test_pool_exhausted(daemon, upstream):
    """One connection and one place in the queue: the third request at a time is turned away."""
    d = daemon(pool={"connection_pool_maxsize": 1, "max_pending": 1})
    held = upstream.event()
    upstream.on("hold", lambda ex: (held.wait(30), ex.reply(200, b"{}")))
    with d.client() as a, d.client() as b, d.client() as c:
        a.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        b.begin("GET", target("hold"), [SERVICE])
        c.begin("GET", target("hold"), [SERVICE])
        ready, _, _ = select.select([b.sock, c.sock], [], [], seconds(10))
        assert len(ready) == 1, "nobody was turned away" if not ready else "both were"
        refused, queued = (b, c) if ready[0] is b.sock else (c, b)
        assert_error(refused.response(), 503, "PoolExhausted")
        held.set()
        assert_ok(a.response())
        assert_ok(queued.response())
    assert upstream.accepted == 1


def test_pending_has_a_deadline(daemon, upstream):
    d = daemon(pool={"connection_pool_maxsize": 1, "pending_timeout": 0.3})
    held = upstream.event()
    upstream.on("hold", lambda ex: (held.wait(30), ex.reply(200, b"{}")))
    with d.client() as a:
        a.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        r, took = timed(d.request)
        assert_error(r, 503, "PoolExhausted")
        assert 0.25 < took < seconds(3)
        held.set()
        assert_ok(a.response())


def test_connection_limit_sheds_and_recovers(daemon, upstream):
    d = daemon(limits={"max_connections": 4})
    clients = [d.client() for _ in range(4)]
    try:
        for c in clients:
            assert_ok(c.request("GET", ECHO, [SERVICE]))
        with d.client() as extra:
            try:
                extra.begin("GET", ECHO, [SERVICE])
                r = extra.response()
                assert r.status == 503 and r.error == "Overloaded" and r.get("Retry-After"), r
            except OSError:
                raise AssertionError("closed without an answer") from None
    finally:
        for c in clients:
            c.close()

    def served():
        try:
            return d.request().status == 200
        except OSError:
            return False
    until(served, seconds(5), "a place to be free again")


# -- nothing brings it down --------------------------------------------------------------------

def test_it_lives_on(shared, upstream):
    for junk in (b"", b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 50,
                 bytes(range(256)) * 20):
        with shared.client() as c:
            try:
                c.send(junk)
                c.sock.shutdown(socket.SHUT_WR)
                c.read_all(seconds(2))
            except OSError:
                pass
    with shared.client() as c:
        c.begin("POST", ECHO, [SERVICE, ("Content-Length", "100")], b"half")
        c.reset()
    assert_ok(shared.request())
    assert len(upstream.requests) == 1
