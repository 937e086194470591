# SPDX-License-Identifier: Apache-2.0
"""Responses as streams: event by event, under back-pressure, cut short where the upstream's was;
and the timeouts that watch them."""

import hashlib
import threading

import pytest

from checks import ECHO, assert_error, assert_ok, target
from client import until
from daemon import instrumented, seconds, timed
from faults import metric

SERVICE = ("X-Sigferry-Service", "ecs")
ONCE = ("X-Sigferry-Auto-Retry", "false")
SHORT = ("X-Sigferry-Read-Timeout", "0.3")


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_events_arrive_as_they_are_sent(shared, upstream, framing):
    """Each event is sent only after the client has received the one before."""
    turns = [upstream.event() for _ in range(5)]

    def handler(ex):
        if framing == "chunked":
            ex.stream_head()
        else:
            ex.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i, turn in enumerate(turns):
            data = b"data: %d\n\n" % i
            (ex.chunk if framing == "chunked" else ex.send)(data)
            if not turn.wait(seconds(10)):
                return ex.reset()
        if framing == "chunked":
            ex.send(b"0\r\n\r\n")
        else:
            ex.close()

    upstream.on("sse", handler)
    with shared.client() as c:
        c.begin("GET", target("sse"), [SERVICE])
        raw = c.response_head()
        assert raw.status == 200 and raw.getheader("Content-Type") == "text/event-stream"
        for i, turn in enumerate(turns):
            want, got = b"data: %d\n\n" % i, b""
            while len(got) < len(want):
                got += raw.read1(len(want) - len(got))
            assert got == want
            turn.set()
        assert raw.read() == b""


def test_the_head_arrives_before_the_body(shared, upstream):
    go = upstream.event()
    upstream.on("h", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
                                 go.wait(seconds(60)), ex.send(b"body")))  # longer than the client waits
    with shared.client() as c:
        c.begin("GET", target("h"), [SERVICE])
        raw = c.response_head()
        go.set()
        assert raw.read() == b"body"


def assert_flat(before, after, megabytes):
    assert instrumented() or after - before < megabytes << 20, (before, after)


def test_a_slow_reader_costs_no_memory(daemon, upstream):
    """The upstream offers 96 MiB; while the client reads nothing, sending stalls and memory is flat."""
    d = daemon()
    piece, pieces = b"0123456789abcdef" * 4096, 1536
    stalled, sent = upstream.event(), [0]

    def handler(ex):
        sock = ex.connection.sock
        ex.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * pieces))
        sock.settimeout(seconds(0.5))
        for _ in range(pieces):
            left = memoryview(piece)
            while left:
                try:
                    n = sock.send(left)
                except TimeoutError:
                    stalled.set()
                    continue
                sent[0] += n
                left = left[n:]
        sock.settimeout(None)

    upstream.on("big", handler)
    assert_ok(d.request())
    before = d.rss()
    with d.client(timeout=30) as c:
        c.begin("GET", target("big"), [SERVICE])
        raw = c.response_head()
        assert stalled.wait(seconds(20)), "the upstream was never held back"
        assert sent[0] < 48 << 20, "the upstream was held back late"
        assert_flat(before, d.rss(), 8)
        digest, got, peak = hashlib.sha256(), 0, 0
        while data := raw.read(1 << 20):
            digest.update(data)
            got += len(data)
            peak = max(peak, d.rss())
    assert got == len(piece) * pieces
    assert digest.digest() == hashlib.sha256(piece * pieces).digest()
    assert_flat(before, peak, 16)


def test_a_stalled_upload_costs_no_memory(daemon, upstream):
    """The same in reverse: with a client-supplied hash nothing is held beyond a window."""
    d = daemon(limits={"max_body": "512M"}, timeouts={"client_body_timeout": 60.0})
    go, started = upstream.event(), upstream.event()
    upstream.on("up", lambda ex: (started.set(), go.wait(60), ex.read_all(), ex.reply(200, b"{}")),
                early=True)
    body = b"0123456789abcdef" * (1 << 22)  # 64 MiB
    assert_ok(d.request())
    before, finished = d.rss(), threading.Event()
    with d.client(timeout=60) as c:
        c.send(c.head("POST", target("up"), [
            SERVICE, ("Content-Length", str(len(body))),
            ("X-Content-Sha256", hashlib.sha256(body).hexdigest())]))
        sender = threading.Thread(target=lambda: (c.send(body), finished.set()))
        sender.start()
        assert started.wait(seconds(10))
        assert not finished.wait(1.0), "64 MiB were taken while the upstream read nothing"
        assert_flat(before, d.rss(), 12)
        go.set()
        assert_ok(c.response())
        sender.join(seconds(10))
    assert upstream.one("up").sha256 == hashlib.sha256(body).hexdigest()


# -- truncation --------------------------------------------------------------------------------

CUT = {
    "length-fin": ("Content-Length: 100", b"partial", lambda ex: ex.close()),
    "length-rst": ("Content-Length: 100", b"partial", lambda ex: ex.reset()),
    "chunked-no-last": ("Transfer-Encoding: chunked", b"7\r\npartial\r\n", lambda ex: ex.close()),
    "chunked-mid": ("Transfer-Encoding: chunked", b"14\r\npartial", lambda ex: ex.close()),
    "chunked-rst": ("Transfer-Encoding: chunked", b"7\r\npartial\r\n", lambda ex: ex.reset()),
    "chunked-bad": ("Transfer-Encoding: chunked", b"7\r\npartial\r\n", lambda ex: ex.send("zz\r\n")),
    "close-rst": ("X-Framing: close", b"partial", lambda ex: ex.reset()),
    "close-without-notice": ("X-Framing: close", b"partial", lambda ex: ex.close(notify=False)),
}


@pytest.mark.parametrize("name", CUT)
def test_a_response_cut_short_stays_cut_short(shared, upstream, name):
    header, first, cut = CUT[name]
    go = upstream.event()
    upstream.on("cut", lambda ex: (ex.send("HTTP/1.1 200 OK\r\n%s\r\n\r\n" % header), ex.send(first),
                                   go.wait(seconds(60)), cut(ex)))
    with shared.client() as c:
        c.begin("GET", target("cut"), [SERVICE])
        raw = c.read_until(b"partial")
        go.set()
        rest, closed = c.read_all(seconds(10))
    assert closed and raw.startswith(b"HTTP/1.1 200 ")
    head, _, body = (raw + rest).partition(b"\r\n\r\n")
    if b"content-length" in head.lower():
        assert body == b"partial"
    else:
        assert b"transfer-encoding: chunked" in head.lower() and not body.endswith(b"0\r\n\r\n")
    assert len(upstream.of("cut")) == 1  # nothing is retried once a byte went out
    assert_ok(shared.request())


@pytest.mark.parametrize("name", CUT)
def test_a_response_cut_short_at_once_is_never_whole(shared, upstream, name):
    header, first, cut = CUT[name]
    upstream.on("cut", lambda ex: (ex.send(("HTTP/1.1 200 OK\r\n%s\r\n\r\n" % header).encode() + first),
                                   cut(ex)))
    with shared.client() as c:
        c.begin("GET", target("cut"), [SERVICE, ONCE])
        try:
            r = c.response()
        except (ConnectionError, OSError):
            return
        assert r.status == 502 or not r.whole, r


def test_an_until_close_response_that_ends_well_is_whole(shared, upstream):
    upstream.on("u", lambda ex: (ex.send("HTTP/1.1 200 OK\r\n\r\nall of it"), ex.close()))
    with shared.client() as c:
        r = c.request("GET", target("u"), [SERVICE])
        assert r.status == 200 and r.body == b"all of it" and r.whole
        assert_ok(c.request("GET", ECHO, [SERVICE]))


@pytest.mark.parametrize("how", ["whole 1.0", "cut 1.0", "cut 1.1", "left 1.1"])
def test_a_streams_end_frees_its_connection(daemon, upstream, how):
    """At once, also when it comes after a pause and another client's connection is idle for longer."""
    go = upstream.event()

    def stream(ex):
        ex.stream_head("text/plain")
        ex.chunk(b"one")
        go.wait(seconds(10))
        if how == "whole 1.0":
            ex.send(b"0\r\n\r\n")
        elif how != "left 1.1":
            ex.send(b"5\r\ntw")
            ex.close()
        else:
            ex.wait_gone()

    upstream.on("s", stream)
    d = daemon()
    with d.client() as idle, d.client() as c:
        assert_ok(idle.request("GET", ECHO, [SERVICE]))
        c.begin("GET", target("s"), [SERVICE], version=how[-3:])
        data = b""
        while b"one" not in data:
            piece = c.sock.recv(4096)
            assert piece, data
            data += piece
        until(lambda: metric(d, "sigferry_client_connections") == 2, seconds(5), "both to be there")
        if how == "left 1.1":
            c.close()
        go.set()
        until(lambda: metric(d, "sigferry_client_connections") == 1, seconds(10), "the stream's to be gone")
        assert_ok(idle.request("GET", ECHO, [SERVICE]))


def test_a_truncated_response_on_a_kept_connection_closes_it(shared, upstream):
    upstream.on("cut", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
                                   ex.close()))
    with shared.client() as c:
        c.begin("GET", target("cut"), [SERVICE, ONCE])
        c.begin("GET", ECHO, [SERVICE])  # pipelined behind it
        data, closed = c.read_all(seconds(10))
    assert closed and data.count(b"HTTP/1.1 200") <= 1


# -- timeouts ----------------------------------------------------------------------------------

def test_connect_timeout(daemon, make_upstream):
    d = daemon(_upstream=make_upstream(hold=True), retry={"auto_retry": False},
               timeouts={"connect_timeout": 0.3})
    r, took = timed(d.request)
    assert_error(r, 504, "UpstreamConnectTimeout")
    assert 0.25 < took < seconds(3)


def test_read_timeout_before_the_head(daemon, upstream):
    d = daemon(retry={"auto_retry": False}, timeouts={"read_timeout": 0.3})
    held = upstream.event()
    upstream.on("hold", lambda ex: held.wait(60))
    r, took = timed(d.request, "POST", target("hold"), body=b"x")
    assert_error(r, 504, "UpstreamReadTimeout")
    assert 0.25 < took < seconds(3)


def test_read_timeout_within_the_body(shared, upstream):
    held = upstream.event()
    upstream.on("hold", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"),
                                    held.wait(60)))
    r, took = timed(shared.request, "GET", target("hold"), [SHORT])
    assert r.status == 200 and not r.whole and r.body == b"part"
    assert 0.25 < took < seconds(3)


def test_read_timeout_after_a_head_that_came_before_the_body_was_sent(daemon, upstream):
    """What comes of a streamed body after the answer has begun is not sent: nobody is waited for but
    the upstream."""
    d = daemon(log={"level": "debug", "debug": ["response"]})
    gone = upstream.event()
    upstream.on("hold", lambda ex: (ex.read(6), ex.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"),
                                    gone.set() if ex.wait_gone(60) else None), early=True)
    upstream.allow_bad_signature = True  # the body is never whole
    with d.client(timeout=30) as c:
        c.send(c.head("POST", target("hold"), [
            SERVICE, SHORT, ("Content-Length", "12"),
            ("X-Content-Sha256", hashlib.sha256(b"first|second").hexdigest())]) + b"first|")
        d.wait_log("status 200")
        c.send(b"second")
        r, took = timed(c.response)
    assert r.status == 200 and not r.whole and r.body == b"part"
    assert took < seconds(3) and gone.wait(seconds(5))


def test_a_head_that_drips_is_not_waited_for(shared, upstream):
    stop = upstream.event()

    def handler(ex):
        for b in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pad: " + b"x" * 400:
            ex.send(bytes([b]))
            if stop.wait(0.05):
                return

    upstream.on("drip", handler)
    r, took = timed(shared.request, "GET", target("drip"), [SHORT, ONCE])
    assert_error(r, 504, "UpstreamReadTimeout")
    assert took < seconds(3)
    stop.set()


def test_a_stream_that_keeps_sending_trips_no_timeout(shared, upstream):
    pause = upstream.event()

    def handler(ex):
        ex.stream_head()
        for i in range(8):
            ex.chunk(b"%d" % i)
            pause.wait(0.1)
        ex.send(b"0\r\n\r\n")

    upstream.on("s", handler)
    r, took = timed(shared.request, "GET", target("s"), [("X-Sigferry-Read-Timeout", "0.4")])
    assert r.whole and r.body == b"01234567" and took > 0.7


@pytest.mark.parametrize("kind", ["chunked", "length"])
def test_a_big_response_is_byte_exact(shared, upstream, kind):
    data = bytes(range(256)) * 20000

    def handler(ex):
        if kind == "length":
            return ex.reply(200, data)
        ex.stream_head("application/octet-stream")
        for i in range(0, len(data), 77777):
            ex.chunk(data[i:i + 77777])
        ex.send(b"0\r\n\r\n")

    upstream.on("b", handler)
    r = assert_ok(shared.request("GET", target("b")))
    assert r.body == data
    assert (r.get("Content-Length") == str(len(data))) == (kind == "length")
