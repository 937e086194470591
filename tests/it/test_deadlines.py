# SPDX-License-Identifier: Apache-2.0
"""Every wait has an end: towards the upstream (connect, silence, everything together) and towards
the client (head, body, idle, an answer that is not taken)."""

import hashlib
import re
import socket
import time

import pytest

from checks import ECHO, assert_error, assert_ok, target
from client import until
from daemon import seconds, timed
from faults import ONCE, SERVICE, metric

READ = ("X-Sigferry-Read-Timeout", "0.3")


def limited(action, least, most):
    """The result of action, which must take between least and most seconds."""
    value, took = timed(action)
    assert least * 0.95 <= took < seconds(most), "took %.3f s" % took
    return value


# -- connecting --------------------------------------------------------------------------------

@pytest.fixture
def full_backlog():
    """A listener that accepts nothing and whose queue is full: connecting to it hangs."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        fillers = []
        for _ in range(8):
            f = socket.socket()
            f.setblocking(False)
            f.connect_ex(s.getsockname())
            fillers.append(f)
        yield s.getsockname()[1]
        for f in fillers:
            f.close()


def test_connect_timeout_of_tcp(daemon, upstream, full_backlog):
    d = daemon(connect_to=["::127.0.0.1:%d" % full_backlog], timeouts={"connect_timeout": 0.3})
    r = limited(lambda: d.request("POST", ECHO, [ONCE], b"x"), 0.3, 1)
    assert_error(r, 504, "UpstreamConnectTimeout")
    assert r.get("X-Sigferry-Attempts") == "1"


def test_connect_timeout_includes_tls(daemon, make_upstream):
    u = make_upstream(hold=True)
    d = daemon(_upstream=u, timeouts={"connect_timeout": 0.3})
    r = limited(lambda: d.request("POST", ECHO, [ONCE], b"x"), 0.3, 1)
    assert_error(r, 504, "UpstreamConnectTimeout")
    u.wait(lambda: u.open == 0, 5, "the connection to be given up")


def test_each_attempt_has_its_own_connect_timeout(daemon, make_upstream):
    u = make_upstream(hold=True)
    d = daemon(_upstream=u, timeouts={"connect_timeout": 0.2})
    r = limited(lambda: d.request("POST", ECHO, [("X-Sigferry-Num-Max-Retries", "2")], b"x"), 0.6, 1.5)
    assert_error(r, 504, "UpstreamConnectTimeout")
    assert r.get("X-Sigferry-Attempts") == "3"
    u.wait(lambda: u.accepted == 3)


# -- silence -----------------------------------------------------------------------------------

@pytest.mark.parametrize("after", ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"])
def test_read_timeout_before_the_head_ends(shared, upstream, after):
    upstream.on("s", lambda ex: (ex.send(after), ex.wait_gone()))
    r = limited(lambda: shared.request("GET", target("s"), [ONCE, READ]), 0.3, 1)
    assert_error(r, 504, "UpstreamReadTimeout")


def test_interim_heads_are_signs_of_life(shared, upstream):
    def slow(ex):
        for _ in range(4):
            ex.send("HTTP/1.1 102 Processing\r\n\r\n")
            upstream.event().wait(0.2)
        ex.reply(200, b"{}")
    upstream.on("r", slow)
    assert_ok(shared.request("POST", target("r"), [ONCE, ("X-Sigferry-Read-Timeout", "0.4")], b"x"))


def test_read_timeout_in_the_body_cuts_the_answer_short(shared, upstream):
    upstream.on("b", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive."),
                                 ex.wait_gone()))
    r = limited(lambda: shared.request("GET", target("b"), [READ]), 0.3, 1)
    assert r.status == 200 and r.body == b"five." and not r.whole


def test_read_timeout_while_the_upstream_takes_nothing(daemon, upstream):
    """A request body that the upstream stops reading is silence, too."""
    d = daemon(limits={"max_body": "64M"})
    upstream.on("w", lambda ex: upstream.event().wait(20), early=True)
    upstream.allow_bad_signature = True
    body = b"z" * (32 << 20)
    r = limited(lambda: d.request("PUT", target("w"), [ONCE, READ], body, timeout=30), 0.3, 5)
    assert_error(r, 504, "UpstreamReadTimeout")


def test_a_slow_client_is_no_silence_of_the_upstream(shared, upstream):
    """The upstream is held back for longer than read_timeout, because the client reads nothing."""
    body, blocked = b"p" * (400 * 65536), upstream.event()

    def handler(ex):
        ex.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        ex.connection.sock.settimeout(0.4)
        left = memoryview(body)
        while left:
            try:
                left = left[ex.connection.sock.send(left):]
            except TimeoutError:
                blocked.set()  # held back for more than read_timeout already
        ex.connection.sock.settimeout(None)

    upstream.on("slow", handler)
    with shared.client() as c:
        c.begin("GET", target("slow"), [SERVICE, READ])
        raw = c.response_head()
        assert blocked.wait(seconds(10))
        assert len(raw.read()) == len(body)


def test_a_stream_that_keeps_talking_never_ends(shared, upstream):
    def handler(ex):
        ex.stream_head()
        for _ in range(12):
            ex.chunk(b"data: tick\n\n")
            upstream.event().wait(0.1)
        ex.send(b"0\r\n\r\n")

    upstream.on("talk", handler)
    r = limited(lambda: shared.request("GET", target("talk"), [READ]), 1.1, 3)
    assert r.whole and r.body == b"data: tick\n\n" * 12


# -- everything together -----------------------------------------------------------------------

WHOLE = ("X-Sigferry-Request-Timeout", "0.4")


@pytest.mark.parametrize("phase", ["head", "body", "backoff", "queue"])
def test_request_timeout(daemon, make_upstream, phase):
    upstream = make_upstream()
    d = daemon(_upstream=upstream, pool={"connection_pool_maxsize": 1},
               retry={"min_retry_delay_ms": 150, "max_retry_delay_ms": 150, "backoff_strategy": "exponential"})
    if phase == "head":
        upstream.on("t", lambda ex: ex.wait_gone())
    elif phase == "body":
        upstream.on("t", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome"), ex.wait_gone()))
    elif phase == "backoff":
        upstream.on("t", lambda ex: ex.wait_gone() if ex.attempt == 3 else ex.error(503, "Busy"))
    else:
        held = upstream.event()
        upstream.on("hold", lambda ex: (held.wait(10), ex.reply(200, b"{}")))
        blocker = d.client()
        blocker.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
    r = limited(lambda: d.request("POST", target("t"), [WHOLE], b"x"), 0.4, 1)
    if phase == "body":
        assert r.status == 200 and not r.whole
    else:
        assert_error(r, 504, "RequestTimeout")
    upstream.wait(lambda: upstream.open <= (phase == "queue"), 5, "the attempt to be cancelled")
    assert len(upstream.of("t")) == {"head": 1, "body": 1, "backoff": 3, "queue": 0}[phase]
    if phase == "queue":
        held.set()
        assert_ok(blocker.response())
        blocker.close()


def test_two_deadlines_in_the_same_turn_make_one_answer(daemon, upstream):
    """request_timeout and read_timeout are set in the same turn and end in the same one."""
    d = daemon(timeouts={"request_timeout": 0.5, "read_timeout": 0.5}, retry={"auto_retry": False})
    upstream.on("t", lambda ex: ex.wait_gone())
    assert_ok(d.request())  # a connection to use again: no connecting in between
    for _ in range(3):
        r = d.request("GET", target("t"))
        assert r.status == 504 and r.whole and r.error in ("RequestTimeout", "UpstreamReadTimeout"), r
        assert_ok(d.request())


# -- the client --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def strict(module_daemon, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "sock")
    return module_daemon(_listeners=2, listen=["127.0.0.1:0", "unix:" + path], timeouts={
        "client_header_timeout": 0.4, "client_body_timeout": 0.4, "client_idle_timeout": 0.4,
        "client_write_timeout": 0.5})


@pytest.fixture(params=["tcp", "unix"])
def place(strict, request):
    return strict.addresses()[request.param == "unix"]


def drip(c, data, step):
    """Sends one byte each step seconds until the other end is heard of; what came back, and when."""
    start = time.monotonic()
    c.sock.settimeout(step)
    for i in range(len(data)):
        try:
            c.sock.send(data[i:i + 1])
            answer = c.sock.recv(65536)
            break
        except TimeoutError:
            continue
        except OSError:
            answer = b""
            break
    else:
        raise AssertionError("all of it was taken")
    took = time.monotonic() - start
    c.sock.settimeout(seconds(5))
    return answer + c.read_all()[0], took


def test_a_head_that_drips(strict, place, upstream):
    with strict.client(place) as c:
        answer, took = drip(c, c.head("GET", ECHO, [SERVICE]) * 10, 0.05)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"X-Sigferry-Error: ClientTimeout" in answer, answer
    assert 0.35 < took < seconds(1) and upstream.requests == []


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: loc", b""], ids=["half", "nothing"])
def test_a_head_that_stops_at_once(daemon, tmp_path, kind, sent):
    """Its bytes come with the connection, before anything tells of them; a few times, for it is a race.
    Who sent nothing is told nothing: it would be taken for the next request's answer."""
    d = daemon(_listeners=2, listen=["127.0.0.1:0", "unix:%s/s" % tmp_path],
               timeouts={"client_header_timeout": 0.3, "client_idle_timeout": 30.0})
    for _ in range(4):
        with d.client(d.addresses()[kind == "unix"]) as c:
            c.send(sent)
            (answer, closed), took = timed(c.read_all, seconds(5))
        assert closed and 0.25 < took < seconds(1), took
        if kind == "tcp" or not sent:
            assert answer.startswith(b"HTTP/1.1 408 ") == bool(sent), answer
        if answer:
            name = re.search(rb"X-Sigferry-Request-Id: ([0-9a-f]{32})\r\n", answer)[1]
            assert b'"RequestId":"%s"' % name in answer and b"X-Sigferry-Attempts: 0" in answer
    if kind == "tcp" and sent:
        assert metric(d, 'sigferry_rejected_total{reason="ClientTimeout"}') == 4


def test_a_body_that_drips(strict, place, upstream):
    with strict.client(place) as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "1000")]))
        answer, took = drip(c, b"b" * 1000, 0.05)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"X-Sigferry-Error: ClientTimeout" in answer, answer
    assert 0.35 < took < seconds(1) and upstream.requests == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_streamed_body_that_stalls(strict, place, upstream, framing):
    """With its hash sent ahead it has gone upstream in part: the attempt is cancelled, 408."""
    gone = upstream.event()
    upstream.on("st", lambda ex: gone.set() if ex.wait_gone() else None, early=True)
    upstream.allow_bad_signature = True
    headers = [SERVICE, ("X-Content-Sha256", hashlib.sha256(b"b" * 1000).hexdigest())]
    with strict.client(place) as c:
        if framing == "length":
            c.send(c.head("POST", target("st"), headers + [("Content-Length", "1000")]) + b"b" * 500)
        else:
            c.send(c.head("POST", target("st"), headers + [("Transfer-Encoding", "chunked")])
                   + b"1f4\r\n" + b"b" * 500 + b"\r\n")
        (answer, closed), took = timed(c.read_all, seconds(5))
    assert answer.startswith(b"HTTP/1.1 408 ") and b"X-Sigferry-Error: ClientTimeout" in answer, answer
    assert closed and 0.35 < took < seconds(1.5)
    assert gone.wait(seconds(2)), "the upstream's connection stayed"


def test_a_slow_but_steady_upload_is_fine(daemon, upstream):
    """64 KiB within each client_body_timeout is enough, however long it takes in all."""
    d = daemon(timeouts={"client_body_timeout": 0.5})
    body = b"u" * (64 * 1024 * 6)
    with d.client() as c:
        c.send(c.head("PUT", ECHO, [SERVICE, ("Content-Length", str(len(body)))]))
        start = time.monotonic()
        for i in range(0, len(body), 32768):
            c.send(body[i:i + 32768])
            upstream.event().wait(0.1)
        r = assert_ok(c.response())
    assert time.monotonic() - start > 1 and r.result["BodyLen"] == len(body)


def test_a_refused_upload_that_goes_on_is_heard_to_its_end(shared):
    """A client that sends everything first and reads then gets the refusal, not a reset."""
    part = b"b" * 80 * 1024
    with shared.client() as c:
        c.send(c.head("POST", "/?Action=X&Version=2020-01-01",
                      [("X-Sigferry-Nonsense", "1"), ("Content-Length", str(8 * len(part)))]))
        for _ in range(8):  # longer in all than the time for one that sends nothing, and as much again
            time.sleep(0.6)
            c.send(part)
        assert_error(c.response(), 400, "InvalidOption")
        assert_ok(c.request("GET", ECHO, [SERVICE]))


@pytest.mark.parametrize("used", [False, True])
def test_an_idle_connection_is_closed(strict, place, upstream, used):
    with strict.client(place) as c:
        if used:
            assert_ok(c.request("GET", ECHO, [SERVICE]))
        (answer, closed), took = timed(c.read_all, seconds(5))
    assert (answer, closed) == (b"", True) and 0.35 < took < seconds(1)


def test_pipelined_leftovers_do_not_count_as_idle(strict, upstream):
    """A request that takes longer than client_idle_timeout is not idle."""
    upstream.on("l", lambda ex: (upstream.event().wait(0.8), ex.reply(200, b"{}")))
    with strict.client() as c:
        assert_ok(c.request("GET", target("l"), [SERVICE]))
        assert_ok(c.request("GET", ECHO, [SERVICE]))


def endless(upstream, key, gone):
    def handler(ex):
        ex.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        piece = b"p" * 65536
        try:
            while True:
                ex.send(piece)
        finally:
            gone.set()
    upstream.on(key, handler)


def test_an_answer_nobody_takes(strict, place, upstream):
    gone = upstream.event()
    endless(upstream, "e", gone)
    with strict.client(place, timeout=30) as c:
        c.begin("GET", target("e"), [SERVICE])
        assert limited(lambda: gone.wait(seconds(10)), 0.45, 3), "the upstream is still asked for more"
    until(lambda: metric(strict, "sigferry_inflight_requests") == 0, seconds(5), "the end of it")


def test_an_answer_taken_slowly_is_not_cut(strict, place, upstream):
    """Bytes leave the whole time, if few: longer than client_write_timeout each, buffers included."""
    gone = upstream.event()
    endless(upstream, "slow", gone)
    with strict.client(place, timeout=30) as c:
        c.begin("GET", target("slow"), [SERVICE])
        c.sock.settimeout(seconds(5))
        start, got = time.monotonic(), 0
        while time.monotonic() - start < 2:
            n = len(c.sock.recv(65536))
            assert n, "cut short after %d bytes and %.1f s" % (got, time.monotonic() - start)
            got += n
            assert not gone.is_set(), "cut short after %.1f s" % (time.monotonic() - start)
            gone.wait(0.1)
    assert gone.wait(seconds(5))


def test_many_that_drip_do_not_delay_others(strict, upstream):
    """500 connections with a byte of a head each; ordinary requests take no longer than before."""
    drips = []
    try:
        for _ in range(500):
            s = socket.create_connection(strict.address)
            s.sendall(b"G")
            drips.append(s)
        worst = max(timed(lambda: assert_ok(strict.request()))[1] for _ in range(20))
        assert worst < seconds(0.25), worst
        for s in drips:
            s.settimeout(seconds(5))
            while s.recv(1000):  # a 408, or nothing where the byte was not seen to come
                pass
    finally:
        for s in drips:
            s.close()
