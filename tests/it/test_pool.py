# SPDX-License-Identifier: Apache-2.0
"""Upstream connections: how many, who waits for one and how long, which are used again and which
never, seen from the upstream's side of the sockets."""

import functools
import hashlib
import os
import ssl
import threading
import time

import pytest

from checks import ECHO, assert_error, assert_ok, hold, target
from client import until
from daemon import seconds, timed
from faults import ONCE, SERVICE, gather, leave, metric, metrics, wait_metric
from soak_idle_close import race

PENDING = "sigferry_pool_pending"
HOSTS = [{"service": s, "host": "%s.internal" % h} for s, h in
         (("ecs", "ecs"), ("iam", "alt"), ("vpc", "custom"))]


@pytest.fixture
def upstream(make_upstream):
    """One of the test's own, for connections are counted."""
    return make_upstream()


@pytest.fixture
def daemon(daemon, upstream):
    return functools.partial(daemon, _upstream=upstream)


class Waiting:
    """n requests begun on connections of their own."""

    def __init__(self, d, n, key="hold", method="GET", headers=(), body=b""):
        self.clients = [d.client() for _ in range(n)]
        for c in self.clients:
            c.begin(method, target(key), [SERVICE, *headers], body)

    def responses(self):
        return [c.response() for c in self.clients]

    def close(self):
        for c in self.clients:
            c.close()


def busiest(upstream, key):
    """Wraps a handler so that the most exchanges at a time are known."""
    state = {"now": 0, "most": 0}
    lock = threading.Lock()

    def handler(ex):
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        time.sleep(0.002)  # an exchange takes a moment: they overlap
        with lock:
            state["now"] -= 1
        ex.reply(200, b"{}")

    upstream.on(key, handler)
    return state


# -- how many ----------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_connections_are_bounded(daemon, upstream, workers):
    d = daemon(workers=workers, pool={"connection_pool_maxsize": 4})
    state = busiest(upstream, "b")

    def run():
        with d.client(timeout=30) as c:
            return [c.request("POST", target("b"), [SERVICE], b"x").status for _ in range(10)]

    assert gather([run] * 16) == [[200] * 10] * 16
    assert upstream.accepted <= 4 and state["most"] <= 4, (upstream.accepted, state)
    assert len(upstream.of("b")) == 160


def test_the_default_bound_is_five_a_cpu(daemon, upstream):
    d = daemon()
    bound = 5 * os.cpu_count()
    held = hold(upstream)
    w = Waiting(d, bound + 3)
    wait_metric(d, PENDING, 3)
    upstream.wait_request("hold", bound)
    assert upstream.accepted == bound and len(upstream.of("hold")) == bound
    held.set()
    assert [r.status for r in w.responses()] == [200] * (bound + 3)
    w.close()


def test_one_connection_serves_all_in_order(daemon, upstream):
    d = daemon(pool={"connection_pool_maxsize": 1})
    held = hold(upstream)
    first = Waiting(d, 1)
    upstream.wait_request("hold")
    clients = []
    for i in range(10):
        c = d.client()
        c.begin("GET", target("q%d" % i), [SERVICE])
        wait_metric(d, PENDING, i + 1)
        clients.append(c)
    held.set()
    for c in first.clients + clients:
        assert_ok(c.response())
        c.close()
    assert [r.query["Id"] for r in upstream.requests] == ["hold"] + ["q%d" % i for i in range(10)]
    assert upstream.accepted == 1 and metric(d, PENDING) == 0


def test_another_host_never_waits_for_a_busy_one(daemon, upstream):
    d = daemon(pool={"connection_pool_maxsize": 1}, endpoint={"services": HOSTS})
    held = hold(upstream)
    w = Waiting(d, 3)
    upstream.wait_request("hold")
    wait_metric(d, PENDING, 2)
    for service in ("iam", "vpc"):
        r, took = timed(d.request, service=service)
        assert_ok(r)
        assert took < seconds(1)
    held.set()
    w.responses()
    w.close()


# -- who waits ---------------------------------------------------------------------------------

def test_max_pending(daemon, upstream):
    d = daemon(pool={"connection_pool_maxsize": 1, "max_pending": 2})
    held = hold(upstream)
    w = Waiting(d, 1)
    upstream.wait_request("hold")
    w2 = Waiting(d, 2, "hold2")
    wait_metric(d, PENDING, 2)
    r, took = timed(d.request, "GET", target("over"))
    assert_error(r, 503, "PoolExhausted")
    assert took < seconds(0.5) and r.get("X-Sigferry-Attempts") == "0"
    held.set()
    assert [r.status for r in w.responses() + w2.responses()] == [200] * 3
    assert_ok(d.request("GET", target("after")))  # and all is as before
    assert upstream.of("over") == [] and metric(d, PENDING) == 0
    w.close()
    w2.close()


def test_pending_timeout(daemon, upstream):
    d = daemon(pool={"connection_pool_maxsize": 1, "pending_timeout": 0.2})
    held = hold(upstream)
    w = Waiting(d, 1)
    upstream.wait_request("hold")
    r, took = timed(d.request, "POST", target("late"), body=b"x")
    assert_error(r, 503, "PoolExhausted")
    assert 0.19 < took < seconds(0.6) and upstream.of("late") == []
    held.set()
    w.responses()
    w.close()
    assert_ok(d.request("POST", target("late"), body=b"x"))


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_who_leaves_the_queue_frees_the_place(daemon, upstream, how):
    d = daemon(pool={"connection_pool_maxsize": 1, "max_pending": 2})
    held = hold(upstream)
    w = Waiting(d, 1)
    upstream.wait_request("hold")
    gone = Waiting(d, 2, "gone")
    wait_metric(d, PENDING, 2)
    for c in gone.clients:
        leave(c, how)
    wait_metric(d, PENDING, 0)
    stays = Waiting(d, 1, "stays")
    wait_metric(d, PENDING, 1)
    held.set()
    assert_ok(w.responses()[0])
    assert_ok(stays.responses()[0])
    assert upstream.of("gone") == []
    w.close()
    stays.close()
    if how == "half":
        gone.close()


def test_a_request_waits_anew_for_each_attempt(daemon, upstream):
    """A retry queues like everybody, behind who came meanwhile."""
    d = daemon(pool={"connection_pool_maxsize": 1}, retry={"backoff_strategy": "none"})
    busy = upstream.event()
    upstream.on("r", lambda ex: (busy.wait(30), ex.error(503, "Busy")) if ex.attempt == 1
                else ex.reply(200, b"{}"))
    tried = Waiting(d, 1, "r")
    upstream.wait_request("r")
    others = Waiting(d, 5, "o")
    wait_metric(d, PENDING, 5)
    busy.set()
    assert [r.status for r in tried.responses() + others.responses()] == [200] * 6
    assert [r.query["Id"] for r in upstream.requests] == ["r"] + ["o"] * 5 + ["r"]
    assert upstream.accepted == 1
    tried.close()
    others.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_streamed_body_waits_in_the_queue(daemon, upstream, framing):
    """Sent with its hash, so that it streams: more than the window comes while it waits."""
    d = daemon(pool={"connection_pool_maxsize": 1})
    held = hold(upstream)
    w = Waiting(d, 1)
    upstream.wait_request("hold")
    body = bytes(range(256)) * 2048  # 512 KiB
    digest = hashlib.sha256(body).hexdigest()
    with d.client() as c:
        headers = [SERVICE, ("X-Content-Sha256", digest)]
        if framing == "length":
            headers.append(("Content-Length", str(len(body))))
            data = body
        else:
            headers.append(("Transfer-Encoding", "chunked"))
            data = b"".join(b"1000\r\n%s\r\n" % body[i:i + 4096] for i in range(0, len(body), 4096))
            data += b"0\r\n\r\n"
        c.send(c.head("PUT", target("up"), headers))
        sender = threading.Thread(target=c.send, args=(data,))
        sender.start()
        wait_metric(d, PENDING, 1)
        held.set()
        r = assert_ok(c.response())
        sender.join()
    assert r.result["Sha256"] == digest and r.result["BodyLen"] == len(body)
    assert_ok(w.responses()[0])
    w.close()


def test_a_streamed_body_that_ends_while_it_waits(daemon, upstream):
    d = daemon(pool={"connection_pool_maxsize": 1})
    held = hold(upstream)
    w = Waiting(d, 1)
    upstream.wait_request("hold")
    body = b"small"
    headers = [("X-Content-Sha256", hashlib.sha256(body).hexdigest()), ("Transfer-Encoding", "chunked")]
    s = Waiting(d, 1, "small", "PUT", headers, b"5\r\nsmall\r\n0\r\n\r\n")
    wait_metric(d, PENDING, 1)
    held.set()
    assert_ok(s.responses()[0])
    assert upstream.one("small").body == body
    w.responses()
    w.close()
    s.close()


# -- which are used again ----------------------------------------------------------------------

RETIRE = {
    "fin": lambda ex: ex.close(notify=False),
    "notify": lambda ex: ex.close(notify=True),
    "rst": lambda ex: ex.reset(),
    "stray": lambda ex: ex.send(b"x"),
    "408": lambda ex: ex.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 5\r\n\r\nstale"),
}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("event", sorted(RETIRE))
def test_an_idle_connection_is_retired(daemon, upstream, make_upstream, event, plain):
    """It leaves the pool without a request having to find out; and nothing of it is ever delivered."""
    u = make_upstream(cert=None) if plain else upstream
    d = daemon(_upstream=u, endpoint={"scheme": "http"} if plain else None)
    go = u.event()
    u.on("one", lambda ex: (ex.reply(200, b"first"), go.wait(10), RETIRE[event](ex)))
    assert assert_ok(d.request("POST", target("one"), body=b"1")).body == b"first"
    go.set()
    u.wait(lambda: u.open == 0, 5, "the end of the connection")
    r = assert_ok(d.request("POST", target("two"), [ONCE], b"2"))
    assert r.json["Result"]["Attempt"] == 1 and len(u.of("two")) == 1
    assert r.get("X-Sigferry-Attempts") == "1"
    assert u.accepted == 2


def test_the_pool_empties_when_the_upstream_goes(daemon, upstream):
    d = daemon()
    held = hold(upstream)
    w = Waiting(d, 5)
    upstream.wait_request("hold", 5)
    held.set()
    w.responses()
    w.close()
    assert upstream.open == 5

    def idle():
        return sum(v for k, v in metrics(d).items()
                   if k.startswith("sigferry_pool_connections") and 'state="idle"' in k)
    until(lambda: idle() == 5, seconds(5), "the pool's gauge, which follows once a second")
    upstream.close_idle()
    until(lambda: idle() == 0, seconds(5), "an empty pool")


@pytest.mark.parametrize("notify", [False, True])
def test_an_end_in_the_same_turn_as_the_request(daemon, upstream, notify):
    """The daemon sleeps while the upstream ends the idle connection and the client asks: it sees
    both at once, and the request goes out on a fresh connection, on its first attempt."""
    d = daemon()
    upstream.on("end", lambda ex: (ex.reply(200, b"{}"), ex.attempt == 1 and (go.wait(10), ex.close(notify))))
    go = upstream.event()
    with d.client() as c:
        assert_ok(c.request("POST", target("end"), [SERVICE, ONCE], b"1"))
        with d.stopped():
            go.set()
            upstream.wait(lambda: upstream.open == 0)
            c.begin("POST", target("end"), [SERVICE, ONCE], b"2")
        r = assert_ok(c.response())
    assert r.get("X-Sigferry-Attempts") == "1"
    assert [q.body for q in upstream.of("end")] == [b"1", b"2"] and upstream.accepted == 2


def test_a_reused_connection_that_dies_after_the_request_is_not_sent_twice(daemon, upstream):
    """Died with the request read: an attempt that failed, no hidden second send."""
    d = daemon()
    upstream.on("die", lambda ex: ex.close() if ex.attempt == 2 else ex.reply(200, b"{}"))
    with d.client() as c:
        assert_ok(c.request("POST", target("die"), [SERVICE, ONCE], b"1"))
        assert_error(c.request("POST", target("die"), [SERVICE, ONCE], b"2"), 502, "UpstreamReset")
    assert [r.body for r in upstream.of("die")] == [b"1", b"2"]
    assert upstream.accepted == 1


def test_idle_timeout(daemon, upstream):
    d = daemon(pool={"idle_timeout": 0.2})
    _, took = timed(lambda: (assert_ok(d.request()), until(lambda: upstream.open == 0, seconds(5))))
    assert took > 0.19
    assert_ok(d.request())
    assert upstream.accepted == 2


def test_idle_timeout_zero_keeps_nothing(daemon, upstream):
    d = daemon(pool={"idle_timeout": 0.0})
    for _ in range(3):
        assert_ok(d.request())
    assert upstream.accepted == 3


def test_max_age(daemon, upstream):
    """Used again until it is too old, however busy it is."""
    d = daemon(pool={"max_age": 1.0})
    start = time.monotonic()
    with d.client() as c:
        while upstream.accepted < 3:
            assert_ok(c.request("GET", ECHO, [SERVICE]))
            assert time.monotonic() - start < seconds(5)
    assert time.monotonic() - start > 1.9
    first = [r.at for r in upstream.requests if r.connection == 1]
    assert first[-1] - first[0] < 1.1 and len(first) > 3


def test_num_pools(daemon, upstream):
    """The least recently used idle host loses its pool; a busy one keeps it."""
    d = daemon(pool={"num_pools": 2}, endpoint={"services": HOSTS})

    def ask(service):
        assert_ok(d.request(service=service))
        return upstream.requests[-1].connection

    a, b = ask("ecs"), ask("iam")
    assert ask("ecs") == a and ask("iam") == b and upstream.open == 2  # both kept
    c = ask("vpc")  # ecs is the least recently used one
    until(lambda: upstream.open == 2, seconds(5), "the end of the oldest pool")
    assert ask("vpc") == c and ask("iam") == b
    assert ask("ecs") not in (a, b, c)


def test_more_hosts_than_are_remembered(daemon, make_upstream):
    """However many may keep connections: the least recently used idle one makes room here, too."""
    n = 260
    d = daemon(_upstream=make_upstream(cert=None), workers=1, pool={"num_pools": 1024}, endpoint={
        "scheme": "http", "services": [{"service": "s%d" % i, "host": "h%d.internal" % i} for i in range(n)]})
    with d.client() as c:
        for i in range(n):
            assert_ok(c.request("GET", ECHO, [("X-Sigferry-Service", "s%d" % i), ONCE]))


def test_a_host_beyond_num_pools_is_served_unkept(daemon, upstream):
    d = daemon(pool={"num_pools": 2}, endpoint={"services": HOSTS})
    held = hold(upstream)
    busy = []
    for service in ("ecs", "iam"):
        c = d.client()
        c.begin("GET", target("hold"), [("X-Sigferry-Service", service)])
        busy.append(c)
    upstream.wait_request("hold", 2)
    for n in range(2):
        assert_ok(d.request("GET", target("third"), service="vpc"))
        until(lambda: upstream.open == 2, seconds(5), "the third host's connection to be closed")
    held.set()
    for c in busy:
        assert_ok(c.response())
        c.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_new_connection_resumes_the_tls_session_of_an_older_one(daemon, upstream, make_upstream, version):
    upstream.tls.minimum_version = upstream.tls.maximum_version = version
    upstream.max_requests = 1
    d = daemon(workers=1)
    for _ in range(3):
        assert_ok(d.request())
    upstream.tls = make_upstream().tls  # as after a restart: it knows nothing of the session
    assert_ok(d.request())
    assert_ok(d.request())
    assert upstream.resumed == [False, True, True, False, True]


def test_a_session_ends_with_the_settings_it_was_made_under(daemon, upstream, certs):
    """A session is resumed without a look at the certificate: not when other authorities count."""
    upstream.max_requests = 1
    d = daemon(workers=1)
    assert_ok(d.request())
    assert_ok(d.request())
    d.reload(tls={"ca_file": str(certs.pair("stranger")[0])})
    assert_error(d.request(), 502, "UpstreamTlsFailed")
    assert upstream.resumed in ([False, True], [False, True, False])  # some look at it after the handshake


def test_a_reload_with_another_pool_forgets_idle_connections_and_finishes_busy_ones(daemon, upstream):
    d = daemon()
    held = hold(upstream)
    assert_ok(d.request())
    w = Waiting(d, 1)
    upstream.wait_request("hold")
    d.reload(pool={"num_pools": 5})
    held.set()
    assert_ok(w.responses()[0])
    until(lambda: upstream.open == 0, seconds(5), "old connections to be closed")
    assert_ok(d.request())
    w.close()


def test_the_race_of_idle_close_and_request(daemon, upstream):
    """The upstream ends idle connections after 0 to 20 ms while clients go on asking: every POST
    arrives exactly once and none fails. soak_idle_close.py runs 10,000 at 0 to 200 ms."""
    d = daemon(pool={"connection_pool_maxsize": 4}, retry={"min_retry_delay_ms": 1})
    result = race(d, upstream, posts=400, clients=4, jitter=0.02)
    assert result["arrived"] == 400 and not result["twice"] and not result["failed"], result
    assert result["closed"] > 20, result


def test_a_408_for_a_kept_connection_is_nobodys_answer(daemon, upstream):
    """The upstream was about to close it when our request came; to a new one a 408 is an answer."""
    def notice(ex):
        if ex.attempt == 1:
            ex.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            ex.close()
        else:
            ex.reply(200, b"{}")
    upstream.on("r", notice)
    d = daemon()
    assert d.request("POST", target("r"), body=b"x").status == 408  # the connection's first
    assert_ok(d.request("POST", ECHO, body=b"x"))
    upstream.on("k", notice)
    r = assert_ok(d.request("POST", target("k"), body=b"x"))
    assert [q.attempt for q in upstream.of("k")] == [1, 2], r


def test_a_late_408_on_a_kept_connection_is_its_answer(daemon, upstream):
    """It was read, and thought about: sending it once more would run it twice."""
    def late(ex):
        time.sleep(1.2)  # the cloud's own patience
        ex.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate")
        ex.close()
    upstream.on("l", late)
    d = daemon()
    assert_ok(d.request("POST", ECHO, body=b"x"))
    r = d.request("POST", target("l"), body=b"x")
    assert (r.status, r.body, r.get("X-Sigferry-Attempts")) == (408, b"late", "1"), r
    assert len(upstream.of("l")) == 1
