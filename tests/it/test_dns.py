# SPDX-License-Identifier: Apache-2.0
"""A name service that is slow, dead or flapping: those who need it wait or are told so, everybody
else notices nothing."""

import threading
import time

import pytest

from checks import ECHO, assert_error, assert_ok, target
from client import until
from daemon import seconds, timed
from faults import ONCE, Shim, gather, leave, metric, wait_metric

LATENCY, RESULT, BEGUN, RUNNING, MOST, ADDRESS, BY_WORKER, BOTH_FAMILIES = range(8)
EAI_NONAME, EAI_AGAIN = -2, -3
HOSTS = [{"service": "ecs", "host": "ecs.internal"}] + [
    {"service": s, "host": "%s.internal" % h} for s, h in (("iam", "alt"), ("vpc", "custom"))]


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return Shim(tmp_path_factory.mktemp("shim"), "slow_getaddrinfo")


@pytest.fixture
def start(daemon, upstream, shim):
    """A daemon whose services: ecs is found by address, all others by name through the shim."""
    for i in range(8):
        shim.set(i, 0)

    def go(**kw):
        return daemon(_env=shim.env, endpoint={"services": HOSTS}, connect_to=[
            "ecs.internal:443:127.0.0.1:%d" % upstream.port,
            "alt.internal:443:alt.test:%d" % upstream.port,
            "custom.internal:443:custom.test:%d" % upstream.port], **kw)
    yield go
    shim.set(LATENCY, 0)
    assert shim.get(BY_WORKER) == 0, "a loop has waited for a name"


def loop_latency(d, for_s):
    """Seconds that answers took which the worker's loop makes by itself, sorted."""
    out, end = [], time.monotonic() + for_s
    with d.client() as c:
        while time.monotonic() < end:
            r, took = timed(c.request, "GET", ECHO, [("X-Sigferry-Nonsense", "1")])
            assert r.error == "InvalidOption"
            out.append(took)
    return sorted(out)


def test_names_are_looked_up_through_the_shim(start, upstream, shim):
    """Or the tests below would prove nothing."""
    d = start()
    assert_ok(d.request(service="iam"))
    assert shim.get(BEGUN) == 1
    for _ in range(5):
        assert_ok(d.request(service="iam"))
    assert shim.get(BEGUN) == 1, "an answer that is fresh is not asked for again"


def test_a_slow_look_up_delays_nobody_else(start, upstream, shim):
    """400 ms of look-up; hundreds of other requests on the same worker meanwhile, none stalled."""
    d = start()
    assert_ok(d.request())
    shim.set(LATENCY, 400)
    results = []
    waiter = threading.Thread(target=lambda: results.append(timed(d.request, service="iam")))
    waiter.start()
    until(lambda: shim.get(RUNNING), seconds(5), "the look-up")
    waits = loop_latency(d, 0.2)
    assert shim.get(RUNNING) == 1
    assert_ok(d.request())  # and the upstream side goes on as well
    waiter.join()
    r, took = results[0]
    assert_ok(r)
    assert took >= 0.39 and len(waits) > 5
    # The look-up takes 400 ms: half of that would be seen even where the machine itself is slow.
    assert waits[-1] < seconds(0.2) and waits[len(waits) // 2] < seconds(0.01), waits[-5:]


def test_a_dead_look_up_ends_with_the_connect_timeout(start, upstream, shim):
    d = start(timeouts={"connect_timeout": 0.3})
    shim.set(LATENCY, 30000)
    r, took = timed(d.request, "POST", ECHO, [ONCE], b"x", service="iam")
    assert_error(r, 504, "UpstreamConnectTimeout")
    assert 0.29 < took < seconds(1)
    assert_ok(d.request())
    shim.set(LATENCY, 0)  # the name service is back
    assert_ok(d.request("POST", ECHO, body=b"x", service="iam"))


def test_a_dead_name_service_and_a_drain(start, upstream, shim):
    """SIGTERM while all resolver threads hang: exit at once, status 0."""
    d = start(timeouts={"connect_timeout": 0.2})
    shim.set(LATENCY, 30000)
    assert_error(d.request("GET", ECHO, [ONCE], service="iam"), 504, "UpstreamConnectTimeout")
    _, took = timed(d.stop)
    assert took < seconds(2)


def test_who_waits_for_a_name_may_leave(start, upstream, shim):
    d = start()
    shim.set(LATENCY, 30000)
    for how in ("close", "reset", "half"):
        c = d.client()
        c.begin("GET", target("gone"), [("X-Sigferry-Service", "iam")])
        wait_metric(d, "sigferry_inflight_requests", 1)
        begin = time.monotonic()
        leave(c, how)
        wait_metric(d, "sigferry_inflight_requests", 0)
        assert time.monotonic() - begin < seconds(0.15)
        if how == "half":
            c.close()
    shim.set(LATENCY, 0)
    assert_ok(d.request("GET", target("next"), service="iam"))
    assert upstream.of("gone") == []


def test_many_requests_for_one_name_make_one_look_up(start, upstream, shim):
    d = start()
    shim.set(LATENCY, 300)
    answers = gather([lambda: d.request(service="iam") for _ in range(20)] +
                     [lambda: d.request(service="vpc") for _ in range(20)])
    assert [r.status for r in answers] == [200] * 40
    assert shim.get(BEGUN) == 2


def test_four_look_ups_run_at_a_time(start, daemon, upstream, shim):
    names = range(10)
    d = daemon(_env=shim.env, endpoint={"services": [{"service": "s%d" % i, "host": "s%d.internal" % i} for i in names]},
               connect_to=["s%d.internal:443:n%d.test:443" % (i, i) for i in names])
    shim.set(LATENCY, 200)
    shim.set(RESULT, EAI_NONAME)
    answers = gather([lambda i=i: d.request("GET", ECHO, [ONCE], service="s%d" % i) for i in names])
    assert [r.error for r in answers] == ["UpstreamResolveFailed"] * 10
    assert shim.get(BEGUN) == 10 and shim.get(MOST) == 4


@pytest.mark.parametrize("code", [EAI_NONAME, EAI_AGAIN])
def test_a_name_that_fails(start, upstream, shim, code):
    d = start()
    shim.set(RESULT, code)
    r = d.request("POST", ECHO, [ONCE], b"x", service="iam")
    assert_error(r, 502, "UpstreamResolveFailed")
    assert metric(d, "sigferry_dns_failures_total") >= 1
    assert_ok(d.request())


def test_a_failure_is_soon_forgotten(start, upstream, shim):
    """A retry whose delay outlasts the memory of the failure (a second) finds the name again."""
    d = start(retry={"min_retry_delay_ms": 1100, "backoff_strategy": "exponential"})
    shim.set(RESULT, EAI_AGAIN)
    results = []
    t = threading.Thread(target=lambda: results.append(d.request("POST", ECHO, body=b"x", service="iam")))
    t.start()
    wait_metric(d, "sigferry_dns_failures_total", 1)
    shim.set(RESULT, 0)
    t.join(seconds(10))
    r = assert_ok(results[0])
    assert r.get("X-Sigferry-Attempts") == "2" and len(upstream.requests) == 1


def test_the_last_good_answer_serves_while_the_name_fails(start, upstream, shim):
    """Flapping: what was known goes on serving, new connections included."""
    d = start(pool={"idle_timeout": 0.0})  # each request makes a connection of its own
    assert_ok(d.request(service="iam"))
    shim.set(RESULT, EAI_AGAIN)
    for _ in range(10):
        r, took = timed(d.request, service="iam")
        assert_ok(r)
        assert took < seconds(0.5)
    assert upstream.accepted == 11


def test_a_dead_family_does_not_hide_a_live_one(start, upstream, shim):
    """The name has ::1 and 127.0.0.1, in that order; only the second answers (happy eyeballs)."""
    shim.set(BOTH_FAMILIES, 1)
    d = start()
    for _ in range(2):
        r, took = timed(d.request, "POST", ECHO, [ONCE], b"x", service="iam")
        assert_ok(r)
        assert took < seconds(0.5)
    assert shim.get(BEGUN) == 1
