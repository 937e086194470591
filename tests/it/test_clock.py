# SPDX-License-Identifier: Apache-2.0
"""Clocks that jump: a long wait, a machine that slept, a wall clock that is set. A small library
moves the daemon's clocks while it runs; everybody else's stay."""

import signal
import time

import pytest

import daemon as daemons
import signer
from checks import ECHO, assert_error, assert_ok, needs_localhost, target
from daemon import seconds, timed
from fake_sts import Known
from faults import ONCE, SERVICE, Shim, metric, metrics, wait_metric
from test_credentials import fake, ready, role_profile  # noqa: F401 (a fixture)

MONOTONIC, WALL = 0, 1
S = 10 ** 9


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return Shim(tmp_path_factory.mktemp("shim"), "clock_shim")


@pytest.fixture
def shifted(daemon, upstream, shim):
    """start(**settings) and pass_time(s): both clocks move on. The upstream's clock is the shifted
    wall clock: dates must fit it within 5 s."""
    shim.set(MONOTONIC, 0)
    shim.set(WALL, 0)

    class Time:
        @staticmethod
        def start(**kw):
            return daemon(_env=shim.env, **kw)

        @staticmethod
        def forward(s, monotonic=True, wall=True):
            if monotonic:
                shim.set(MONOTONIC, shim.get(MONOTONIC) + int(s * S))
            if wall:
                shim.set(WALL, shim.get(WALL) + int(s * S))

    def judge(request):
        now = time.time() + shim.get(WALL) / S
        request.verdict = signer.verify(request.method, request.target, request.headers,
                                        request.sha256, upstream.keys, window=5, now=now)
        if not request.verdict.ok:
            upstream.faults.append(request.verdict.why)

    upstream.judge = judge
    yield Time
    del upstream.judge
    shim.set(MONOTONIC, 0)
    shim.set(WALL, 0)


def test_a_request_that_waited_twenty_minutes_is_signed_anew(shifted, upstream):
    d = shifted.start(retry={"max_retry_delay_ms": 3600000})
    upstream.on("w", lambda ex: ex.error(503, "Busy", [("Retry-After", "1200")]) if ex.attempt == 1
                else ex.reply(200, b"{}"))
    with d.client() as c:
        c.begin("POST", target("w"), [SERVICE], b"x")
        wait_metric(d, "sigferry_retries_total", 1)
        shifted.forward(1190)
        assert_ok(d.request())
        assert len(upstream.of("w")) == 1, "too early"
        shifted.forward(11)
        assert_ok(c.response())
    first, second = upstream.of("w")
    assert signer.seconds_of(second.get("X-Date")) - signer.seconds_of(first.get("X-Date")) >= 1200


def test_a_request_that_waited_in_the_queue_is_not_too_old(shifted, upstream):
    """The wait is over when pending_timeout has passed, not earlier."""
    d = shifted.start(pool={"connection_pool_maxsize": 1, "pending_timeout": 1500.0},
                      timeouts={"read_timeout": 3000.0})
    held = upstream.event()
    upstream.on("hold", lambda ex: (held.wait(30), ex.reply(200, b"{}")))
    with d.client() as a, d.client() as b:
        a.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        b.begin("POST", target("q"), [SERVICE], b"x")
        wait_metric(d, "sigferry_pool_pending", 1)
        shifted.forward(1400)
        assert metric(d, "sigferry_pool_pending") == 1
        shifted.forward(200)
        assert_error(b.response(), 503, "PoolExhausted")
        held.set()
        assert_ok(a.response())


@pytest.mark.parametrize("jump", [3600, -3600])
def test_the_wall_clock_jumps(shifted, upstream, jump):
    """Timers do not care; the next signature has the new time."""
    d = shifted.start(timeouts={"read_timeout": 0.5})
    go = upstream.event()
    upstream.on("h", lambda ex: (go.wait(0.2), ex.reply(200, b"{}")))
    upstream.on("n", lambda ex: ex.wait_gone())
    with d.client() as c:
        assert_ok(c.request("GET", ECHO, [SERVICE]))
        c.begin("GET", target("h"), [SERVICE])
        upstream.wait_request("h")
        shifted.forward(jump, monotonic=False)
        assert_ok(c.response())
        assert_ok(c.request("GET", ECHO, [SERVICE]))
        r, took = timed(c.request, "GET", target("n"), [SERVICE, ONCE])
        assert_error(r, 504, "UpstreamReadTimeout")
        assert 0.45 < took < seconds(1.5)


@pytest.mark.parametrize("monotonic", [False, True], ids=["suspended", "stopped"])
def test_idle_connections_do_not_outlive_a_pause(shifted, upstream, monotonic):
    """The machine slept for 45 s (the monotonic clock with it, or not): what was idle before is not
    used again, though its time was not up."""
    d = shifted.start(pool={"idle_timeout": 3600.0, "max_age": 7200.0})
    assert_ok(d.request())
    shifted.forward(45, monotonic=monotonic)
    assert_ok(d.request("POST", ECHO, [ONCE], b"x"))
    assert upstream.accepted == 2


def test_deadlines_that_passed_meanwhile(shifted, upstream):
    """After a long stop everything that is overdue ends within a second, and new requests are served."""
    d = shifted.start(timeouts={"read_timeout": 300.0, "client_idle_timeout": 300.0})
    upstream.on("n", lambda ex: ex.wait_gone())
    with d.client() as idle, d.client() as c:
        assert_ok(idle.request("GET", ECHO, [SERVICE]))
        c.begin("GET", target("n"), [SERVICE, ONCE])
        upstream.wait_request("n")
        shifted.forward(301)
        assert_error(c.response(), 504, "UpstreamReadTimeout")
        assert idle.read_all(seconds(5)) == (b"", True)
        assert_ok(d.request())


def pass_minutes(shifted, d):
    """Ten of them, in which others are served: the library looks at its connections then."""
    shifted.forward(600)
    for _ in range(20):
        assert_ok(d.request())


def test_a_body_may_be_silent_longer_than_an_idle_connection(shifted):
    """Each limit holds by itself: none of libmicrohttpd's comes before it."""
    d = shifted.start(timeouts={"client_body_timeout": 3600.0, "client_idle_timeout": 1.0})
    with d.client() as c:
        c.send(c.head("POST", ECHO, [SERVICE, ("Content-Length", "10")]) + b"12345")
        wait_metric(d, "sigferry_inflight_requests", 1)
        pass_minutes(shifted, d)
        c.send(b"67890")
        assert assert_ok(c.response()).result["BodyLen"] == 10


def test_an_idle_timeout_made_longer_by_a_reload(shifted):
    d = shifted.start(timeouts={"client_idle_timeout": 1.0})
    mark = d.mark()
    d.write(daemons.merge(d.settings, {"timeouts": {"client_idle_timeout": 3600.0}}))
    d.signal(signal.SIGHUP)
    d.wait_log("configuration is reloaded", after=mark)
    with d.client() as c:
        assert_ok(c.request("GET", ECHO, [SERVICE]))
        pass_minutes(shifted, d)
        assert_ok(c.request("GET", ECHO, [SERVICE]))


@needs_localhost
def test_the_last_good_address_serves_when_it_is_stale(shifted, daemon, upstream, shim):
    """A minute later the name is looked up again, behind the scenes: nobody waits for it."""
    d = shifted.start(connect_to=["::localhost:%d" % upstream.port], pool={"idle_timeout": 0.0})
    assert_ok(d.request())
    shifted.forward(61)
    _, took = timed(lambda: assert_ok(d.request()))
    assert took < seconds(0.5)


def test_ten_minutes_without_the_token_service_are_not_noticed(shifted, shim, upstream, fake):  # noqa: F811
    """soak_sts_outage.py lasts as long as it says."""
    keys, down = upstream.keys, []
    upstream.keys = Known(keys, fake)

    def sts(call):
        fake.lifetime = 7200 + shim.get(WALL) // S
        return (503, "") if down else fake.sts("ExpiredTime")

    def key():
        assert_ok(d.request("GET", ECHO))
        assert ready(d).status == 200
        return upstream.requests[-1].verdict.access_key

    try:
        fake.answer["AssumeRole"] = sts
        d = shifted.start(profiles={"default": {"access_key": None, "secret_key": None,
                                                **role_profile(source_profile="second")}},
                          connect_to=fake.connect_to(upstream.port))
        first = key()
        down.append(True)
        mark = d.mark()
        shifted.forward(7200 - 640, monotonic=False)  # a tenth before the end, less what is left to chance
        d.wait_log("the one held is still good", after=mark, timeout=30)
        for _ in range(10):
            assert key() == first
            shifted.forward(60, monotonic=False)
        assert key() == first  # 40 seconds before its end
        assert metrics(d)['sigferry_credential_refresh_total{profile="default",result="failed"}'] >= 1
        down.clear()
        d.wait_log(r"assume_role, access key AKTP\.\.\.0002", after=mark, timeout=30)
        assert key() != first
    finally:
        upstream.keys = keys
