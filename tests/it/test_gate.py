# SPDX-License-Identifier: Apache-2.0
"""Hostile and odd request heads, as bytes. "400c" is exactly one error answer, then the connection
closes, and nothing reaches the upstream.

libmicrohttpd 0.9.75 consumes or answers a few of these before the application sees them. Those cases
carry a deviation: the reason, and what is accepted besides the rule. None of them can touch another
client's connection, and the upstream's framing is made from scratch."""

import time

import pytest

from checks import ECHO, assert_error, assert_ok
from client import chunked
from daemon import instrumented, seconds, timed
from faults import ticks, wait_metric
from hostile import (BARE_LF, DOUBLE, FOLD, NO_NAME, NUL, NUL_TARGET, OWN_PAGE, STRICT, library, lines,
                     outcome, raw, refused, status_of)

SERVICE = ("X-Sigferry-Service", "ecs")

POST = "POST %s HTTP/1.1" % ECHO
SMUGGLED = b"GET /?Action=Smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
BIG = "9" * 20

# name: (header lines, first line, body, statuses, deviation). libmicrohttpd 1.0.10 has a 501 of its own for codings
# other than "chunked".
FRAMING = {
    "A1": (["Content-Length: 5", "Content-Length: 5"], POST, b"hello", (400,), None),
    "A2": (["Content-Length: 5", "Content-Length: 0"], POST, b"hello", (400,), None),
    "A3": (["Content-Length: 0", "Content-Length: %d" % len(SMUGGLED)], POST, SMUGGLED, (400,), None),
    "A4": (["Content-Length: 5, 5"], POST, b"hello", (400,), DOUBLE),
    "A5": (["Content-Length: +5"], POST, b"hello", (400,), DOUBLE),
    "A6": (["Content-Length: -1"], POST, b"hello", (400,), DOUBLE),
    "A7": (["Content-Length: 0x5"], POST, b"hello", (400,), DOUBLE),
    "A9": (["Content-Length:"], POST, b"hello", (400,), DOUBLE),
    "A10": (["Content-Length: " + BIG], POST, b"hello", (400, 413), (OWN_PAGE, {"double"})),
    "A11": (["Content-Length: 18446744073709551615"], POST, b"hello", (400, 413), None),
    "A14": (["Content-Length : 5"], POST, SMUGGLED, (400,), None),
    "A15": (["Content-Length\t: 5"], POST, SMUGGLED, (400,), None),
    "A17": (["Transfer-Encoding: chunked", "Content-Length: 5"], POST, chunked(b"hello"), (400,), None),
    "A17b": (["Content-Length: 5", "Transfer-Encoding: chunked"], POST, chunked(b"hello"), (400,), None),
    "A21": (["Transfer-Encoding: gzip, chunked"], POST, chunked(b"hello"), (400, 501), None),
    "A22": (["Transfer-Encoding: identity", "Content-Length: 5"], POST, b"hello", (400, 501), None),
    "A23": (["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], POST, chunked(b"x"),
            (400, 501), None),
    "A23b": (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], POST, chunked(b"x"),
             (400,), None),
    "A24": (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], POST, chunked(b"x"), (400,),
            None),
    "A25": (["Transfer-Encoding: chunked, chunked"], POST, chunked(b"x"), (400, 501), None),
    "A26": (["Transfer-Encoding: ,chunked"], POST, chunked(b"x"), (400, 501), None),
    "A27": (["Transfer-Encoding: xchunked"], POST, chunked(b"x"), (400, 501), None),
    "A28": (["Transfer-Encoding : chunked", "Content-Length: 5"], POST, b"hello", (400,), None),
    "A29": (["Transfer-Encoding: chunked"], "POST %s HTTP/1.0" % ECHO, chunked(b"x"), (400,), None),
}


@pytest.mark.parametrize("name", FRAMING)
def test_a_broken_framing_is_refused(shared, upstream, name):
    headers, first, body, statuses, deviation = FRAMING[name]
    refused(shared, upstream, lines(shared, *headers, first=first, body=body), statuses, deviation)


@pytest.mark.parametrize("name,headers,body", [
    ("A8", ["Content-Length: 5 "], b"hello"), ("A12", ["Content-Length: 005"], b"hello"),
    ("A18", ["Transfer-Encoding: ChunKed"], chunked(b"hello")),
    ("A19", ["Transfer-Encoding: chunked "], chunked(b"hello"))])
def test_framing_that_may_pass_or_not_but_never_differently(shared, upstream, name, headers, body):
    """Trimmed and taken, or refused: never a hang, never another length."""
    data = lines(shared, *headers, "Connection: close", first=POST, body=body)
    answers, closed, out = raw(shared, data)
    if status_of(out) == 200:
        assert answers == 1 and closed and upstream.one().body == b"hello"
    else:
        assert outcome(answers, closed, out) in ("refused", "double"), out[:300]
        assert upstream.requests == []
    if name == "A18":
        assert status_of(out) == 200  # the coding's name knows no case


def test_a_get_with_a_body_is_forwarded_once(shared, upstream):  # A31
    assert_ok(shared.request("GET", ECHO, body=SMUGGLED))
    assert upstream.one().body == SMUGGLED and upstream.of("Smuggled") == []


def test_a_post_without_framing_is_empty(shared, upstream):  # A32
    data = lines(shared, "Connection: close", first=POST)
    assert status_of(raw(shared, data)[2]) == 200
    assert upstream.one().body_len == 0


# -- B: chunks ---------------------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = {
    "B4": b"0x5\r\nhello\r\n0\r\n\r\n", "B5": b"+5\r\nhello\r\n0\r\n\r\n",
    "B6": b"-5\r\nhello\r\n0\r\n\r\n", "B9": b"\r\nhello\r\n0\r\n\r\n",
    "B11": b"1" * 17 + b"\r\nhello", "B12": b"3\r\nhello\r\n0\r\n\r\n",
    "B17": b"5;" + b"x" * 65536 + b"\r\nhello\r\n0\r\n\r\n",
    "B18": b"5\r\nhello\r\n0\r\n",
}


@pytest.fixture(scope="module")
def impatient(module_daemon):
    return module_daemon(timeouts={"client_body_timeout": 0.5})


@pytest.mark.parametrize("name", CHUNKS)
def test_broken_chunks_never_arrive(impatient, upstream, name):
    """Refused as soon as it shows, or by the deadline of the body."""
    body = CHUNKS[name]
    answers, closed, out = raw(impatient, lines(impatient, CHUNKED, first=POST, body=body))
    assert closed and answers <= 1 and status_of(out) != 200, (closed, out[:300])
    assert upstream.requests == []


@pytest.mark.parametrize("name,body", [
    ("B1", b"5\r\nhello\r\n0\r\n\r\n"), ("B2", b"A\r\nhellohello\r\n0\r\n\r\n"),
    ("B2l", b"a\r\nhellohello\r\n0\r\n\r\n"), ("B3", b"0005\r\nhello\r\n0\r\n\r\n"),
    ("B14", b'5;a="b";c\r\nhello\r\n0\r\n\r\n'), ("B19", b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    ("B20", b"5\r\nhello\r\n0\r\nHost: evil\r\nContent-Length: 9\r\nAuthorization: a\r\n\r\n")])
def test_valid_chunks(shared, upstream, name, body):
    answers, closed, out = raw(shared, lines(shared, CHUNKED, "Connection: close", first=POST,
                                             body=body))
    if library() == (1, 0, 1) and name == "B14":  # it miscounts the bytes of a chunk's extension
        assert (answers, closed, upstream.requests) == (1, True, [])
        assert status_of(out) == 400
        return
    assert (answers, closed, status_of(out)) == (1, True, 200), out[:300]
    assert upstream.one().body in (b"hello", b"hellohello")
    assert b"evil" not in upstream.one().head and upstream.one().get("X-T") is None


def test_many_tiny_chunks(shared, upstream):  # B22
    with shared.client() as c:
        c.send(lines(shared, CHUNKED, first=POST, body=chunked(*[b"x"] * 10000)))
        assert_ok(c.response())
    assert upstream.one().body_len == 10000


def test_the_end_within_a_chunk_reaches_nobody(shared, upstream):  # B24
    with shared.client() as c:
        c.send(lines(shared, CHUNKED, first=POST, body=b"5\r\nhel"))
        c.sock.shutdown(1)
        out, closed = c.read_all(seconds(5))
    assert closed and not out.startswith(b"HTTP/1.1 200") and upstream.requests == []


# -- C: lines and names ------------------------------------------------------------------------

FIELDS = {
    "C3": (["X-A: a\rb"], None), "C11": ([" X-A: b"], None), "C12": (["NoColonHere"], None),
    "C14": (["X A: b"], None), "C14b": (["X-A : b"], None), "C14c": (["X\x01A: b"], None),
    "C14d": (["X(A): b"], None), "C14e": (["X\xe9: b"], None), "C13": ([": b"], NO_NAME),
    "C8": (["X-A: a", " b"], FOLD), "C9": (["X-A: a", "\tb"], FOLD),
    "C15": (["X-A: a\0b"], NUL), "C15b": (["\0X-A: a"], NUL),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_broken_field_is_refused(shared, upstream, name):
    headers, deviation = FIELDS[name]
    if name == "C11":  # directly behind the request line
        data = ("GET %s HTTP/1.1\r\n%s\r\nHost: 127.0.0.1:%d\r\nX-Sigferry-Service: ecs\r\n\r\n"
                % (ECHO, headers[0], shared.port)).encode()
    else:
        data = lines(shared, *headers, "Connection: close")
    refused(shared, upstream, data, (400,), deviation)


@pytest.mark.parametrize("byte", [b for b in range(1, 0x20) if b not in (9, 10, 13)] + [0x7F])
def test_control_bytes_in_a_value(shared, upstream, byte):  # C6
    refused(shared, upstream, lines(shared, "X-A: a%cb" % byte))


def test_bare_lf_lines(shared, upstream):  # C1
    data = lines(shared, "Connection: close").replace(b"\r\n", b"\n")
    refused(shared, upstream, data, (400,), BARE_LF)


def test_bare_cr_lines_end_by_the_deadline(daemon, upstream):  # C2
    d = daemon(timeouts={"client_header_timeout": 0.3, "client_idle_timeout": 0.5})
    answers, closed, out = raw(d, lines(d).replace(b"\r\n", b"\r"))
    assert closed and answers <= 1 and status_of(out) in (0, 400, 408) and upstream.requests == []


def test_eight_bit_values_arrive_byte_exact(shared, upstream):  # C7
    value = "".join(map(chr, range(0xA1, 0x100)))
    assert_ok(shared.request("GET", ECHO, [("X-Latin", value), ("Accept", value)]))
    assert upstream.one().get("X-Latin") == value and upstream.one().get("Accept") == value


def test_an_empty_value_arrives_empty(shared, upstream):  # C16
    assert_ok(shared.request("GET", ECHO, [("X-Empty", ""), ("Accept", "")]))
    assert upstream.one().get("X-Empty") == "" and upstream.one().get("Accept") == ""


def test_space_around_a_value_is_trimmed(shared, upstream):  # C17
    assert_ok(shared.request("GET", ECHO, [("X-Wide", " \t v w \t ")]))
    assert b"\r\nX-Wide: v w\r\n" in upstream.one().head or \
        b"\r\nx-wide: v w\r\n" in upstream.one().head.lower()


def test_header_count(shared, upstream):  # C18
    fill = lambda n: [("X-%d" % i, "1") for i in range(n - 3)]  # Host, service, and Connection
    close = ("Connection", "close")
    assert_ok(shared.request("GET", ECHO, fill(100) + [close]))
    r = shared.request("GET", ECHO, fill(101) + [close])
    assert_error(r, 431, "HeadersTooLarge")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("name,statuses", [("C19", (431,)), ("C20", (431,)), ("C21", (414, 431))])
def test_sizes_beyond_reason(shared, upstream, name, statuses):
    data = {
        "C19": lambda: lines(shared, *["X-%d: 1" % i for i in range(500)]),
        "C20": lambda: lines(shared, "X-A: " + "x" * 40000),
        "C21": lambda: lines(shared, first="GET /?a=%s HTTP/1.1" % ("x" * 40000)),
    }[name]()
    refused(shared, upstream, data, statuses, (OWN_PAGE, {"double"}))


def test_leading_empty_lines(shared, upstream):  # C23
    out = raw(shared, b"\r\n\r\n" + lines(shared, "Connection: close"))[2]
    assert (status_of(out), len(upstream.requests)) == ((0, 0) if STRICT else (200, 1))


# -- D: request line ---------------------------------------------------------------------------

@pytest.mark.parametrize("name,first,statuses,deviation", [
    ("D11", "GET /a b HTTP/1.1", (400,), None),
    ("D11b", "GET /?a=b c HTTP/1.1", (400,), None),
    ("D14", "GET /#f HTTP/1.1", (400,), None),
    ("D14b", "GET /?a#f HTTP/1.1", (400,), None),
    ("D17", "GET foo HTTP/1.1", (400,), None),
    ("D18", "GET  HTTP/1.1", (400,), None),
    ("D18b", "GET HTTP/1.1", (400,), None),
    ("D22", "OPTIONS * HTTP/1.1", (405,), None),
    ("D23", "TRACE / HTTP/1.1", (405,), None),
    ("D24", "get / HTTP/1.1", (400, 405, 501), None),
    ("D24b", "G@T{} / HTTP/1.1", (400,), None),
    ("D25", "GE\x01T / HTTP/1.1", (400,), None),
    ("D26", "X" * 65536 + " / HTTP/1.1", (400, 405, 414, 431), (OWN_PAGE, {"silent", "double"})),
    ("D28", "GET / HTTP/2.0", (400, 403, 505), (OWN_PAGE, {"double", "silent"})),
    ("D29", "GET /", (400, 403, 505), (OWN_PAGE, {"double", "silent"})),
    ("D30", "GET / HTTP/1.1x", (400, 403, 505), (OWN_PAGE, {"double", "silent"})),
    ("D5", "GET /?a=\0b HTTP/1.1", (400,), NUL or NUL_TARGET),
    ("D6", "GET /\x01 HTTP/1.1", (400,), None),
    ("D7", "GET /\x7f HTTP/1.1", (400,), None),
])
def test_a_broken_request_line_is_refused(shared, upstream, name, first, statuses, deviation):
    refused(shared, upstream, lines(shared, "Connection: close", first=first), statuses, deviation)


def test_connect_is_refused_and_nothing_is_tunnelled(shared, upstream):  # D21
    data = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (upstream.port, upstream.port)
    answers, closed, out = raw(shared, data + b"\x16\x03\x01\x00\x05hello")
    assert (answers, closed, status_of(out)) == (1, True, 405), out[:300]
    assert upstream.accepted == 0


def test_trace_echoes_nothing(shared, upstream):  # D23
    out = raw(shared, lines(shared, "X-Private: canary", "Connection: close", first="TRACE / HTTP/1.1"))
    assert b"canary" not in out[2]


@pytest.mark.parametrize("c", list("\\\"<>^`{|}"))
def test_odd_characters_have_one_policy(shared, upstream, c):  # D15
    """Refused, or forwarded in the canonical form (which the upstream has verified)."""
    r = shared.request("GET", "/a%sb?x=a%sb" % (c, c))
    if r.status == 200:
        assert upstream.one().target == "/a%%%02Xb?x=a%%%02Xb" % (ord(c), ord(c))
    else:
        assert r.status == 400 and upstream.requests == []


def test_http_1_2_is_refused_or_treated_as_1_1(shared, upstream):  # D27
    out = raw(shared, lines(shared, "Connection: close", first="GET / HTTP/1.2"))[2]
    assert status_of(out) in (200, 400, 505) and len(upstream.requests) <= 1


def test_an_http_2_preface(shared, upstream):  # D28
    answers, closed, out = raw(shared, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 20)
    assert closed and answers <= 2 and status_of(out) in (0, 400, 405, 505)
    assert upstream.requests == []


def test_absolute_form_of_the_own_host(shared, upstream):  # D19
    host = "127.0.0.1:%d" % shared.port
    assert_ok(shared.request("GET", "http://%s%s" % (host, ECHO), host=host))
    assert upstream.one().target == ECHO


def test_what_is_not_http_ends_by_the_deadline(daemon, upstream):  # D31
    d = daemon(timeouts={"client_header_timeout": 0.4, "client_idle_timeout": 0.5})
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 100
    (answers, closed, out), took = timed(raw, d, hello)
    assert closed and took < seconds(4) and status_of(out) in (0, 400, 408)
    assert upstream.requests == [] and d.alive()


def test_split_at_each_byte(shared, upstream):  # D32, B23
    data = lines(shared, CHUNKED, first=POST, body=b"5\r\nhello\r\n0\r\n\r\n")
    with shared.client() as c:
        for i in range(len(data)):
            c.send(data[i:i + 1])
        assert_ok(c.response())
    assert upstream.one().body == b"hello"


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_split_in_two(shared, upstream, cut):
    data = lines(shared, "Content-Length: 5", first=POST, body=b"hello")
    with shared.client() as c:
        c.send(data[:-cut])
        c.send(data[-cut:])
        assert_ok(c.response())
    assert upstream.one().body == b"hello"


def test_a_bad_second_request_behind_a_good_one(shared, upstream):  # F2
    good = lines(shared)
    bad = lines(shared, "Content-Length: 5", "Transfer-Encoding: chunked", first=POST,
                body=chunked(b"hello") + SMUGGLED)
    answers, closed, out = raw(shared, good + bad)
    assert closed and answers == 2 and status_of(out) == 200 and b"HTTP/1.1 400" in out
    assert len(upstream.requests) == 1


# -- where libmicrohttpd gets stuck or lost ----------------------------------------------------

BEGUN = "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Sigferry-Service: ecs\r\nTransfer-Encoding: chunked\r\n\r\n" % ECHO


@pytest.mark.parametrize("line", ["5;" + "a" * 20000, "0" * 20000], ids=["extension", "zeros"])
def test_a_chunk_line_without_an_end(daemon, upstream, line):
    """0.9.75 looks at its full buffer again and again, later ones drop the request: no work, an end,
    and nobody else's answer."""
    d = daemon(timeouts={"client_body_timeout": 1.5})
    with d.client() as c:
        c.send((BEGUN + line).encode())
        with d.client() as next_one:
            assert_ok(next_one.request("GET", ECHO, [SERVICE]))
        before = ticks(d)
        with d.client() as other:
            time.sleep(1.0)  # as long as it would take to be seen
            assert ticks(d) - before < 20
            c.read_all(seconds(10))
            wait_metric(d, "sigferry_inflight_requests", 0)
            assert other.read_all(0.5) == (b"", False)
    assert len(upstream.requests) == 1


def test_heads_that_libmicrohttpd_drops_leave_nothing(daemon, upstream):
    """A cookie it has no room for and a bad length: it closes and tells nobody of the request."""
    head = ("GET %s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nX-P: %s\r\nContent-Length: +5\r\n\r\n"
            % (ECHO, "c" * 7000, "p" * 2500)).encode()
    d = daemon()

    def ask(n):
        for _ in range(n):
            with d.client() as c:
                c.send(head)
                assert c.read_all(seconds(5))[1]

    ask(100)
    before = d.rss()
    ask(1000)
    assert instrumented() or d.rss() - before < 1 << 20, (before, d.rss())
    assert upstream.requests == []
    assert_ok(d.request())


@pytest.mark.parametrize("length", [16250, 16290, 16310, 16380])
def test_a_query_that_fills_the_buffer_is_answered_at_once(daemon, upstream, length):
    d = daemon(timeouts={"client_header_timeout": 60.0})
    with d.client() as idle, d.client() as c:
        assert_ok(idle.request("GET", ECHO, [SERVICE]))
        c.send(b"GET /?" + b"q" * length + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.response().status in (414, 431)
