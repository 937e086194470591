# SPDX-License-Identifier: Apache-2.0
"""Every byte in every place (T9): 1,024 requests that differ from a good one in a single byte of a
header's name or value, of the target, or of the method. Each is refused with one 400 (405 for another
valid method), or arrives upstream byte for byte (the target: in its canonical form). What
libmicrohttpd does by itself is listed by byte; nothing else is excused."""

import collections

import pytest

import signer
from checks import ECHO
from hostile import SEEN, STRICT, outcome, raw, status_of

TOKEN = set(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

# (place, byte): what may happen instead. With a libmicrohttpd whose buffer tells what stood in the head
# (0.9.75) one is left: a request line that ends after its method. One that is strict by itself (1.0)
# closes a few without an answer.
LEFT = {("method", 0x0A): {"silent", "double"}}
CLOSED = {(place, byte): {"silent"} for place, bytes_ in (
    ("target", b"\0\v\f"), ("method", b"\0\n\v\f\r ")) for byte in bytes_}
HIDDEN = {(place, byte): {"ok", "silent", "double"} for place in ("name", "value", "target", "method")
          for byte in (0x00, 0x0A)}
DEVIATIONS = CLOSED if STRICT else LEFT if SEEN else HIDDEN


@pytest.fixture(scope="module")
def hasty(module_daemon):
    return module_daemon(timeouts={"client_header_timeout": 2.0}, client_side_validation=False)


def request(d, place, byte):
    b = bytes([byte])
    key = b"%s%02x" % (place.encode(), byte)
    method, path, extra = b"GET", b"/", b""
    if place == "name":
        extra = b"X-A" + b + b"B: v\r\n"
    elif place == "value":
        extra = b"X-A: a" + b + b"b\r\n"
    elif place == "target":
        path = b"/a" + b + b"b"
    else:
        method = b"G" + b + b"T"
    target = path + b"?Action=Echo&Id=" + key + b"&Version=2020-04-01"
    return key.decode(), target, (
        method + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Sigferry-Service: ecs\r\n" % d.port
        + extra + b"Connection: close\r\n\r\n")


def arrived(place, byte, target, req):
    """What is wrong with what the upstream saw, or nothing."""
    b = bytes([byte])
    line = {"name": b"X-A" + b + b"B: v", "value": b"X-A: a" + b + b"b"}.get(place)
    if place == "name" and b == b":":
        line = b"X-A: B: v"
    if line is not None and b"\r\n" + line + b"\r\n" not in req.head:
        return "not byte-exact: %r" % req.head
    if place == "target":
        want = signer.canonical_target(target.decode("latin-1"))
        if req.target != want:
            return "%r instead of %r" % (req.target, want)
    if req.method != "GET" or not req.verdict.ok:
        return "%s %s" % (req.method, req.verdict.why)
    return ""


def may_pass(place, byte):
    if place == "name":
        return byte in TOKEN or byte == 0x3A  # a second colon begins the value
    if place == "value":
        return byte == 0x09 or byte >= 0x20 and byte != 0x7F
    if place == "target":
        return 0x20 < byte < 0x7F and byte not in b"#%" or byte >= 0x80
    return byte == ord("E")


def must_pass(place, byte):
    if place == "target":
        return byte in TOKEN - set(b"#%^`|") or byte in b"/:@,;=()?" or byte >= 0x80
    return may_pass(place, byte)


def judge(d, upstream, place, byte, counts):
    key, target, data = request(d, place, byte)
    answers, closed, out = raw(d, data)
    got, seen = outcome(answers, closed, out), upstream.of(key)
    if len(seen) > 1:
        return "sent %d times" % len(seen)
    if got == "ok" and len(seen) == 1 and may_pass(place, byte):
        counts["forwarded"] += 1
        return arrived(place, byte, target, seen[0])
    refusals = (400, 405) if place == "method" else (400,)
    if place == "method" and byte in TOKEN:
        refusals = (405,)
    if got == "refused" and status_of(out) in refusals and not seen and not must_pass(place, byte):
        counts["refused"] += 1
        return ""
    if got in DEVIATIONS.get((place, byte), ()) and (got == "ok") == (len(upstream.requests) > 0):
        counts["deviation"] += 1
        return ""
    return "%s, %d upstream: %r" % (got, len(seen), out[:200])


@pytest.mark.parametrize("place", ["name", "value", "target", "method"])
def test_each_byte(hasty, upstream, place):
    faults, counts = {}, collections.Counter()
    for byte in range(256):
        fault = judge(hasty, upstream, place, byte, counts)
        if fault:
            faults["%s %02x" % (place, byte)] = fault
        upstream.requests.clear()
    assert faults == {}
    print("byte sweep, %s: %s" % (place, dict(counts)))
    assert sum(counts.values()) == 256
    assert counts["deviation"] == sum(p == place for p, _ in DEVIATIONS)


def test_what_the_library_hides_stays_on_its_own_connection(hasty, upstream):
    """Whatever libmicrohttpd makes of such a byte, the next client's request is its own and whole."""
    for place, byte in HIDDEN:
        _, _, data = request(hasty, place, byte)
        with hasty.client() as other, hasty.client() as bad:
            bad.send(data.replace(b"Connection: close\r\n", b""))
            r = other.request("POST", ECHO + "&Id=other", [("X-Sigferry-Service", "ecs")], b"mine")
            assert r.status == 200 and r.result["BodyLen"] == 4
            assert other.request("GET", ECHO, [("X-Sigferry-Service", "ecs")]).status == 200
        assert [q.body for q in upstream.of("other")] == [b"mine"]
        for q in upstream.requests:
            assert q.verdict.ok and b"\0" not in q.head and b"\n" not in q.head.replace(b"\r\n", b"")
        upstream.requests.clear()


@pytest.mark.parametrize("data", [
    b"5\nhello\n0\n\n", b"5;x=y\r\nhello\r\n0\r\n\r\n", b"5;" + b"x" * 4000 + b"\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX-T: a\0b\r\nHost: evil\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\n\n",
    b"0005\r\nhello\r\n00\r\n\r\n"])
def test_chunk_framing_the_library_tolerates_is_not_passed_on(hasty, upstream, data):
    """Between the chunks the gate sees nothing. The upstream gets the bytes of the body in a framing
    of our own making, and the client's next request begins where the library says; both are its own."""
    with hasty.client() as bad, hasty.client() as other:
        bad.send(b"POST %s&Id=bad HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Sigferry-Service: ecs\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n" % (ECHO.encode(), hasty.port) + data)
        r = other.request("POST", ECHO + "&Id=other", [("X-Sigferry-Service", "ecs")], b"mine")
        assert r.status == 200 and r.result["BodyLen"] == 4
        r = bad.response("POST")
        assert r.status in (200, 400) and r.whole
    for q in upstream.of("bad"):
        assert q.body == b"hello" and q.get("Content-Length") == "5" and q.verdict.ok
        assert q.get("Transfer-Encoding") is None and b"evil" not in q.head and b"X-T" not in q.head
    assert len(upstream.of("bad")) == (r.status == 200)


def test_the_doubled_refusal_is_all_there_is(hasty, upstream):
    """A Content-Length that is no number: the library writes its 400 twice and closes. Nothing of
    what follows on that connection is read as a request, and nobody else's connection is touched."""
    smuggled = b"GET /?Action=Smuggled HTTP/1.1\r\nHost: localhost\r\nX-Sigferry-Service: ecs\r\n\r\n"
    for value in (b"+5", b"-1", b"0x5", b"5, 5", b"", b"9" * 20):
        with hasty.client() as other:
            answers, closed, out = raw(hasty, b"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                       b"Content-Length: %s\r\n\r\n" % (ECHO.encode(), hasty.port, value)
                                       + smuggled)
            assert closed and outcome(answers, closed, out) in ("refused", "double"), out[:200]
            assert status_of(out) in (400, 413)
            assert other.request("GET", ECHO, [("X-Sigferry-Service", "ecs")]).status == 200
        assert upstream.of("Smuggled") == []


@pytest.mark.parametrize("n", [100, 300, 2000, 3900])
def test_thousands_of_query_parameters(hasty, upstream, n):  # T21
    """As many as a target can hold: libmicrohttpd 0.9.75 would fall silent over a few hundred."""
    query = "&".join(["a"] * n)
    r = hasty.request("GET", "/?Action=Echo&Version=2020-04-01&" + query)
    assert r.status == 200
    assert upstream.one().target.count("&a=") == n and upstream.one().verdict.ok


@pytest.mark.parametrize("n", [300, 2000])
def test_hundreds_of_cookies(hasty, upstream, n):  # T21
    cookies = "; ".join(["a=b"] * n)
    answers, closed, out = raw(hasty, b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nCookie: %s\r\n"
                               b"Connection: close\r\n\r\n" % (hasty.port, cookies.encode()))
    assert closed and status_of(out) in (400, 431) and answers <= 2 and upstream.requests == []
