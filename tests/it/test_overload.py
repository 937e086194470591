# SPDX-License-Identifier: Apache-2.0
"""More than there is room for: connections, bytes, descriptors, requests a second. What can't be
served is told so at once with 503 or 429 and Retry-After, nothing spins, and afterwards all is as
before."""

import http.client
import re
import socket
import threading
import time

import pytest

from checks import ECHO, assert_error, assert_ok, hold, target
from client import until
from daemon import seconds, timed
from faults import ONCE, SERVICE, Shim, gather, metric, ticks, wait_metric

CONNECTIONS = "sigferry_client_connections"
BUFFERED = "sigferry_buffered_bytes"


def told_off(d):
    """Connects and asks; 503 or a closed connection when there is no room. True when served."""
    try:
        with d.client() as c:
            r = c.request("GET", ECHO, [SERVICE])
    except (OSError, http.client.HTTPException):
        return False
    if r.status == 200:
        return True
    assert_shed(r)
    return False


def assert_shed(r):
    assert (r.status, r.error) == (503, "Overloaded") and r.get("Retry-After"), r
    assert r.json["ResponseMetadata"]["Error"]["Code"] == "Sigferry.Overloaded"


def quiet(d, for_s=0.5, most=8):
    """Nothing is asked for some time: next to no CPU time is used."""
    before = ticks(d)
    time.sleep(for_s)
    used = ticks(d) - before
    assert used <= most, "%d ticks in %.1f s" % (used, for_s)


# -- connections -------------------------------------------------------------------------------

def test_the_connection_limit(daemon, upstream):
    d = daemon(limits={"max_connections": 16})
    kept = [d.client() for _ in range(16)]
    wait_metric(d, CONNECTIONS, 16)
    for _ in range(20):
        with d.client() as c:  # told without having asked
            r = c.response()
        assert_shed(r)
        assert (r.get("Connection") or "").lower() == "close"
    quiet(d, 0.2, 5)
    assert_ok(kept[3].request("GET", ECHO, [SERVICE]))  # who is in is served as ever
    for c in kept[:5]:
        c.close()
    wait_metric(d, CONNECTIONS, 11)
    assert told_off(d)
    for c in kept[5:]:
        c.close()
    assert gather([lambda: told_off(d)] * 8) == [True] * 8


def test_leaving_and_coming_at_the_limit(daemon, upstream):
    """At the limit a client that closes and comes back at once is let in."""
    d = daemon(limits={"max_connections": 4})
    kept = [d.client() for _ in range(4)]
    wait_metric(d, CONNECTIONS, 4)
    for _ in range(30):
        kept.pop(0).close()
        c = d.client()
        assert_ok(c.request("GET", ECHO, [SERVICE]))
        kept.append(c)
    for c in kept:
        c.close()


# -- bytes -------------------------------------------------------------------------------------

def test_the_budget_for_buffered_bytes(daemon, upstream):
    """Request bodies in memory count; beyond the budget new requests are shed, those that are in go on."""
    d = daemon(limits={"body_memory": "256K", "buffered_total": "1M"}, pool={"connection_pool_maxsize": 2})
    held = hold(upstream)
    body = b"b" * (200 << 10)
    clients = []
    while metric(d, BUFFERED) <= 1 << 20:
        assert len(clients) < 20
        c = d.client()
        c.begin("PUT", target("hold"), [SERVICE], body)
        clients.append(c)
        until(lambda: metric(d, BUFFERED) >= len(clients) * len(body), seconds(5), "the body to arrive")
    for _ in range(5):
        assert_shed(d.request("PUT", target("over"), body=b"x"))
    held.set()
    assert [c.response().status for c in clients] == [200] * len(clients)
    for c in clients:
        c.close()
    wait_metric(d, BUFFERED, 0)
    assert_ok(d.request("PUT", target("over"), body=body))
    assert len(upstream.of("over")) == 1


def test_response_bytes_count_too(daemon, upstream):
    """Answers that wait for slow readers."""
    d = daemon(limits={"buffered_total": "1M"}, pool={"connection_pool_maxsize": 32})
    size = 64 << 20

    def handler(ex):
        ex.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = b"p" * 65536
        for _ in range(size // len(piece)):
            ex.send(piece)

    upstream.on("big", handler)
    clients = []
    while True:
        assert len(clients) < 30, metric(d, BUFFERED)
        c = d.client()
        c.begin("GET", target("big"), [SERVICE])
        r = c.response_head()
        if r.status == 503:
            c.close()
            break
        clients.append(c)
        until(lambda: metric(d, BUFFERED) >= len(clients) * 64 * 1024, seconds(10), "a full queue")
    assert len(clients) >= 5
    for c in clients:
        c.close()
    wait_metric(d, BUFFERED, 0)
    assert_ok(d.request())


# -- descriptors -------------------------------------------------------------------------------

def test_few_descriptors(daemon, upstream):
    """64 descriptors, 200 clients that each hold a connection and a request: some are served, the
    rest are told off or closed, nothing spins, and when they go all is well."""
    d = daemon(_prefix=("prlimit", "--nofile=64:64"))
    held = hold(upstream)
    clients, served, shed, closed = [], 0, 0, 0
    for _ in range(200):
        s = socket.create_connection(d.address)
        s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\nX-Sigferry-Service: ecs\r\n"
                  b"X-Sigferry-Auto-Retry: false\r\n\r\n" % (target("hold").encode(), d.port))
        clients.append(s)
    upstream.wait_request("hold", 4)
    quiet(d, 0.3, 8)
    held.set()
    for s in clients:
        s.settimeout(seconds(10))
        try:
            answer = s.recv(4096)
        except OSError:
            answer = b""
        served += answer.startswith(b"HTTP/1.1 200")
        shed += answer.startswith(b"HTTP/1.1 503") and b"Retry-After" in answer
        closed += not answer
        assert not answer or answer[9:12] in (b"200", b"503"), answer
        s.close()
    assert served >= 4 and served + shed + closed == 200 and shed >= 20, (served, shed, closed)
    assert d.alive()
    wait_metric(d, "sigferry_client_connections", 0)
    assert gather([lambda: d.request().status for _ in range(4)]) == [200] * 4
    quiet(d, 0.2, 5)


@pytest.mark.parametrize("door", ["data", "admin"])
def test_a_door_that_cannot_be_watched_is_tried_again(daemon, upstream, tmp_path, door):
    """No descriptor for who comes, then no memory to watch the listener again: both pass."""
    shim = Shim(tmp_path, "failing_doors")
    d = daemon(_env=shim.env)
    shim.set(1, 2)
    shim.set(0, 1)
    with d.client(d.admin if door == "admin" else None) as c:
        assert c.request("GET", "/readyz" if door == "admin" else target("x"), [SERVICE]).status == 200
    assert (shim.get(0), shim.get(1)) == (0, 0)


def test_few_descriptors_and_spooled_bodies(daemon, upstream):
    """Bodies need a file each: without descriptors the request is shed, not the daemon."""
    d = daemon(_prefix=("prlimit", "--nofile=64:64"), limits={"body_memory": "4K"})
    held = hold(upstream)
    body = b"s" * 20000
    results = []

    def run():
        try:
            r = d.request("PUT", target("hold"), [ONCE], body, timeout=30)
            results.append(r.status)
            if r.status != 200:
                assert_shed(r)
        except (OSError, http.client.HTTPException):
            results.append(0)

    threads = [threading.Thread(target=run) for _ in range(40)]
    for t in threads:
        t.start()
    upstream.wait_request("hold", 2)
    held.set()
    for t in threads:
        t.join(seconds(30))
    assert len(results) == 40 and set(results) <= {200, 503, 0} and 200 in results, results
    assert_ok(d.request("PUT", target("after"), body=body))


# -- more than the upstream can take ---------------------------------------------------------------

def test_four_times_what_the_upstream_takes(daemon, upstream):
    """4 connections, 20 ms an exchange, 8 may wait: 48 clients ask without a pause. What is accepted
    takes no longer than its place in the queue makes it, the rest is told off at once."""
    d = daemon(pool={"connection_pool_maxsize": 4, "max_pending": 8})
    upstream.on("busy", lambda ex: (upstream.event().wait(0.02), ex.reply(200, b"{}")))
    end = time.monotonic() + seconds(60)

    def run():
        with d.client(timeout=30) as c:
            while len(upstream.of("busy")) < 200 and time.monotonic() < end:
                r = c.request("GET", target("busy"), [SERVICE, ONCE])
                if r.status == 503:
                    assert r.error == "PoolExhausted" and r.get("Retry-After")
                    time.sleep(0.01)  # asks again after a while, as clients do

    out = gather([run] * 48)
    assert out == [None] * 48, [o for o in out if o]
    d.stop()
    took = {"200": [], "503": []}  # in the daemon: 48 threads of Python do not tell
    exchanges = []
    for status, ms, upstream_ms in re.findall(
            r"status=(\d+) .* duration_ms=([\d.]+) upstream_ms=([\d.]+)", d.log):
        took[status].append(float(ms))
        if status == "200":
            exchanges.append(float(upstream_ms))
    good, shed, exchanges = sorted(took["200"]), sorted(took["503"]), sorted(exchanges)
    assert len(good) == len(upstream.of("busy")) >= 200 and len(shed) > 100, (len(good), len(shed))
    # Two waiting on each connection: three exchanges. Unbounded, it would be twelve.
    assert good[int(0.9 * len(good))] < 6 * exchanges[int(0.9 * len(exchanges))], (good[-5:], exchanges)
    # Who is told off did not queue before: that takes a fraction of what the queue takes.
    assert shed[len(shed) // 2] < good[len(good) // 2] / 4, (shed[-5:], good[-5:])


# -- memory ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return Shim(tmp_path_factory.mktemp("shim"), "failing_malloc")


def test_memory_runs_out(daemon, upstream, memory, turn):
    """Every n-th allocation of the worker fails: requests are refused or cut off, never answered with
    what is not so; the daemon lives, and with memory everything is as before."""
    d = daemon(_env=memory.env, pool={"idle_timeout": 0.0})
    assert_ok(d.request())
    for every in (997, 211, 101, 53, 29, 17, 11, 7, 5, 3, 2):
        before = memory.get(2)
        memory.set(0, every + turn)
        for _ in range(8):
            try:
                r = d.request("POST", target("mem"), [ONCE], b"m" * 5000, timeout=5)
            except (OSError, http.client.HTTPException):
                continue
            assert r.status in (200, 500, 502, 503), r
            if r.status == 200 and r.whole:
                assert r.result["BodyLen"] == 5000
        memory.set(0, 0)
        assert memory.get(2) > before, "nothing failed"
        assert_ok(d.request("POST", target("well"), body=b"m" * 5000))
    wait_metric(d, BUFFERED, 0)
    wait_metric(d, "sigferry_inflight_requests", 0)


# -- requests a second -------------------------------------------------------------------------

RATED = "/?Action=DescribeInstances&Version=2020-04-01"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rate_limit_without_a_queue(daemon, upstream, workers):
    d = daemon(workers=workers, rate_limits=({"match": "ecs:Describe*", "rate": 10.0, "burst": 5.0, "wait": 0.0},))

    def run():
        with d.client() as c:
            return [c.request("GET", RATED, [SERVICE]) for _ in range(10)]

    start = time.monotonic()
    answers = [r for part in gather([run] * 4) for r in part]
    took = time.monotonic() - start
    good = [r for r in answers if r.status == 200]
    assert 5 <= len(good) <= 5 + 10 * took + 1 and len(good) < 40, (len(good), took)
    assert len(upstream.of("DescribeInstances")) == len(good)
    for r in answers:
        if r.status != 200:
            assert_error(r, 429, "RateLimited")
            assert r.get("Retry-After") == "1"
    assert_ok(d.request("GET", "/?Action=RunInstances&Version=2020-04-01"))  # not matched


def test_a_rate_limit_that_queues(daemon, upstream):
    """20 a second, 2 at once, the rest waits: all are served, in no less than the time it takes."""
    d = daemon(rate_limits=({"match": "ecs:*", "rate": 20.0, "burst": 2.0, "wait": 5.0},))
    began = time.monotonic()
    answers = gather([lambda: d.request("GET", RATED)] * 16)
    took = time.monotonic() - began
    assert [r.status for r in answers] == [200] * 16
    assert took >= (16 - 2) / 20 * 0.98, took
    at = sorted(r.at for r in upstream.of("DescribeInstances"))
    # Two at once, then one each 50 ms: none can have left earlier than that.
    assert all(t - began >= (i - 1) / 20 * 0.98 for i, t in enumerate(at)), [t - began for t in at]


def test_a_queue_that_would_outlast_the_request(daemon, upstream):
    """Who can't wait long enough is told so at once, and takes nobody's place."""
    d = daemon(rate_limits=({"match": "ecs:*", "rate": 0.5, "burst": 1.0, "wait": 60.0},))
    hasty = [("X-Sigferry-Request-Timeout", "0.2")]
    assert_ok(d.request("GET", RATED))
    for _ in range(5):
        r = d.request("GET", RATED, hasty)
        assert_error(r, 429, "RateLimited")
        assert r.get("Retry-After") in ("1", "2")
    _, took = timed(lambda: assert_ok(d.request("GET", RATED)))
    assert took < seconds(8)


def test_a_queue_that_would_take_too_long(daemon, upstream):
    d = daemon(rate_limits=({"match": "*:*", "rate": 2.0, "burst": 1.0, "wait": 0.6},))
    statuses = gather([lambda: d.request("GET", RATED) for _ in range(6)])
    served = [r for r in statuses if r.status == 200]
    assert len(served) == 2 and len(upstream.requests) == 2, statuses  # one at once, one after 0.5 s
    for r in statuses:
        if r.status != 200:
            assert_error(r, 429, "RateLimited")


def test_who_leaves_gives_its_token_back(daemon, upstream):
    d = daemon(rate_limits=({"match": "*:*", "rate": 1 / seconds(1), "burst": 1.0,
                             "wait": seconds(30)},))
    assert_ok(d.request("GET", RATED))
    for _ in range(10):
        with d.client() as c:
            c.begin("GET", RATED, [SERVICE])
            wait_metric(d, "sigferry_inflight_requests", 1)
        wait_metric(d, "sigferry_inflight_requests", 0)
    r, took = timed(d.request, "GET", RATED)
    assert_ok(r)
    assert took < seconds(3) and len(upstream.requests) == 2  # 10 without the tokens


# -- a stop ------------------------------------------------------------------------------------

def test_stopped_and_continued(daemon, upstream):
    """SIGSTOP with requests in every state, deadlines that pass meanwhile; then all is as before."""
    d = daemon(timeouts={"read_timeout": 0.3, "client_header_timeout": 0.3})
    upstream.on("slow", lambda ex: ex.wait_gone())
    idle, half = d.client(), d.client()
    assert_ok(idle.request("GET", ECHO, [SERVICE]))
    waits = d.client()
    waits.begin("GET", target("slow"), [SERVICE, ONCE])
    upstream.wait_request("slow")
    half.send("GET / HT")
    with d.stopped():
        upstream.event().wait(0.5)
    assert_error(waits.response(), 504, "UpstreamReadTimeout")
    half.sock.settimeout(seconds(5))
    assert half.sock.recv(100)[:12] in (b"HTTP/1.1 408", b"")
    assert_ok(idle.request("POST", ECHO, [SERVICE], b"x"))
    for c in (idle, half, waits):
        c.close()
