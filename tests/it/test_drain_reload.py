# SPDX-License-Identifier: Apache-2.0
"""Ending and reloading under load: every request that was taken is answered, whole and once."""

import os
import select
import signal
import socket
import time

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, target
from client import Client, until
from daemon import config_text, seconds, timed, unused_port
from faults import ONCE, SERVICE, Shim, metric, often, repeats, wait_metric
from load import Load

CONNECTIONS = "sigferry_client_connections"


# -- SIGTERM -----------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "anew"])
def test_drain_under_load(daemon, upstream, workers, kept):
    """What reached the upstream was answered whole, with 200; the rest was told off, refused, or found
    its idle connection closed. Exit status 0."""
    d = daemon(workers=workers)
    load = Load(d.address, 8, kept)
    load.wait(100)
    d.signal(signal.SIGTERM)
    status, took = timed(d.wait)
    result = load.stop()
    counts = {k: len(v) for k, v in result.items()}
    assert status == 0 and took < seconds(2), (status, took)
    assert set(counts) <= {"ok", "shed", "refused", "unheard"}, counts
    arrived = load.arrived(upstream)
    assert set(arrived) == result["ok"] and set(arrived.values()) == {1}, counts
    # A closed idle connection and a next request may cross; no more than one a client.
    assert counts.get("unheard", 0) <= 8, counts
    assert counts["refused"] > 0


def test_drain_waits_for_every_phase(daemon, upstream):
    """In flight at SIGTERM: before the head, in a stream, in a retry's wait, in the pool's queue, in
    the middle of a body. All end as if nothing had happened."""
    d = daemon(pool={"connection_pool_maxsize": 3}, retry={"min_retry_delay_ms": 300})
    go = upstream.event()
    upstream.on("head", lambda ex: (go.wait(60), ex.reply(200, b"{}")))
    upstream.on("stream", lambda ex: (ex.stream_head(), ex.chunk(b"one"), go.wait(60), ex.chunk(b"two"),
                                      ex.send(b"0\r\n\r\n")))
    upstream.on("retry", lambda ex: ex.error(503, "Busy") if ex.attempt == 1 else ex.reply(200, b"{}"))
    clients = {k: d.client() for k in ("head", "stream", "retry", "queue", "body")}
    clients["retry"].begin("POST", target("retry"), [SERVICE], b"x")
    upstream.wait_request("retry")
    clients["head"].begin("POST", target("head"), [SERVICE], b"x")
    clients["stream"].begin("GET", target("stream"), [SERVICE])
    upstream.wait_request("head")
    third = d.client()
    third.begin("GET", target("head"), [SERVICE])
    clients["stream"].read_until(b"one")
    upstream.wait_request("head", 2)
    clients["queue"].begin("POST", target("queue"), [SERVICE], b"x")
    head = clients["body"].head("POST", target("body"), [SERVICE, ("Content-Length", "8")])
    clients["body"].send(head + b"half")
    until(lambda: metric(d, "sigferry_inflight_requests") == 6, seconds(5), "all to be in flight")
    d.signal(signal.SIGTERM)
    d.wait_log("draining")
    clients["body"].send(b"half")
    go.set()
    for k in ("head", "retry", "queue", "body"):
        assert_ok(clients[k].response())
    assert_ok(third.response())
    assert b"two" in clients["stream"].read_all(5)[0]
    assert d.wait() == 0
    assert len(upstream.of("retry")) == 2
    assert {len(upstream.of(k)) for k in ("queue", "body")} == {1}
    for c in [*clients.values(), third]:
        c.close()


def test_readiness_fails_first(daemon, upstream):
    d = daemon()
    held = upstream.event()
    upstream.on("hold", lambda ex: (held.wait(10), ex.reply(200, b"{}")))
    with d.client() as c, d.client(d.admin) as admin:
        c.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        assert admin.request("GET", "/readyz").status == 200
        d.signal(signal.SIGTERM)
        d.wait_log("draining")
        with d.client(d.admin) as a:
            r = a.request("GET", "/readyz")
            assert r.status == 503 and b"draining" in r.body
            assert a.request("GET", "/healthz").status == 200
            r = a.request("GET", "/status")
            assert r.json["draining"] is True and r.json["listeners"] == []
            assert a.request("GET", "/").status == 200
        held.set()
        assert_ok(c.response())
    assert d.wait() == 0


def test_who_had_connected_is_heard(daemon, upstream):
    """Connections that wait in the kernel's queue when SIGTERM comes are not cut off."""
    d = daemon()
    clients = []
    with d.stopped():
        for _ in range(20):
            c = d.client()
            c.begin("POST", ECHO, [SERVICE], b"x")
            clients.append(c)
        d.signal(signal.SIGTERM)
    for c in clients:
        assert_ok(c.response())
        c.close()
    assert d.wait() == 0


def test_who_was_taken_in_and_said_nothing_yet_is_heard(daemon, upstream):
    """A connection that the drain finds between its accept and its first byte. One that already had
    an answer and idles is closed."""
    d = daemon()
    go = upstream.event()
    upstream.on("held", lambda ex: (go.wait(10), ex.reply(200, b"{}")))
    held, new, kept = d.client(), d.client(), d.client()
    assert_ok(kept.request("GET", ECHO, [SERVICE]))
    held.begin("GET", target("held"), [SERVICE])
    upstream.wait_request("held")
    until(lambda: metric(d, "sigferry_client_connections") == 3, seconds(5), "all to be accepted")
    d.signal(signal.SIGTERM)
    assert kept.read_all(seconds(5)) == (b"", True)
    new.begin("GET", ECHO, [SERVICE])
    r = new.response()
    assert_ok(r)
    assert r.get("Connection") == "close"
    go.set()
    assert_ok(held.response())
    assert d.wait() == 0
    for c in (held, new, kept):
        c.close()


@pytest.mark.parametrize("sent", ["nothing", "half a head"])
def test_a_first_request_may_be_slow(daemon, sent):
    """Nothing is in flight, and the drain still hears a client that pauses before or within its first
    request, if for no longer than a second."""
    for _ in range(5):
        d = daemon()
        c = d.client()
        head = c.head("GET", ECHO, [SERVICE])
        early = 0 if sent == "nothing" else len(head) // 2
        c.send(head[:early])
        until(lambda d=d: metric(d, "sigferry_client_connections") == 1, seconds(5), "to be accepted")
        start = time.monotonic()
        d.signal(signal.SIGTERM)
        heard = select.select([c.sock], [], [], 0.3)[0]
        if time.monotonic() - start > 0.8:
            c.close()
            continue  # this machine is too busy to be that quick
        assert not heard, c.read_all(1)
        c.send(head[early:])
        assert_ok(c.response())
        assert d.wait() == 0
        c.close()
        return
    pytest.skip("no pause came out short enough")


def test_a_silent_connection_does_not_hold_up_the_end(daemon):
    d = daemon()
    c = d.client()
    until(lambda: metric(d, "sigferry_client_connections") == 1, seconds(5), "to be accepted")
    d.signal(signal.SIGTERM)
    status, took = timed(d.wait)
    assert status == 0 and took < seconds(5), (status, took)
    assert c.read_all(1) == (b"", True)
    c.close()


def test_the_connections_of_a_worker_that_ended_are_not_counted(daemon, upstream):
    d = daemon(workers=2)
    go = upstream.event()
    upstream.on("held", lambda ex: (go.wait(10), ex.reply(200, b"{}")))
    held, silent = d.client(), d.client()
    held.begin("GET", target("held"), [SERVICE])
    upstream.wait_request("held")
    wait_metric(d, "sigferry_client_connections", 2)
    d.signal(signal.SIGTERM)
    assert silent.read_all(seconds(5)) == (b"", True)
    wait_metric(d, "sigferry_client_connections", 1)
    go.set()
    assert_ok(held.response())
    assert d.wait() == 0
    for c in (held, silent):
        c.close()


# -- SIGHUP ------------------------------------------------------------------------------------

def reload_once(d, text, works=True):
    """Replaces the file and waits until it was taken over, or refused. Errors that repeat are not all
    logged; the gauge tells of each."""
    mark = d.mark()
    with open(d.path, "w", encoding="utf-8") as f:
        f.write(text)
    d.signal(signal.SIGHUP)
    if works:
        d.wait_log(r"configuration is reloaded", after=mark)
    until(lambda: metric(d, "sigferry_config_last_reload_successful") == works, seconds(10), "the reload")


@pytest.mark.parametrize("names", [("mine", "mine"), ("before", "after")], ids=["same", "renamed"])
def test_profiles_that_change_places_keep_their_keys(daemon, make_upstream, names):
    """A reload reaches the credentials first, then one worker after the other. Who is to be signed with
    a profile that is gone by then is told 503, never signed with another."""
    up = make_upstream()
    mine = {"provider": "static", "access_key": daemons.ACCESS_KEY, "secret_key": daemons.SECRET_KEY}
    other = {"provider": "static", "access_key": daemons.SECOND_KEY[0],
             "secret_key": daemons.SECOND_KEY[1]}

    def settings(turn):
        profiles = {names[turn % 2]: mine, "other": other}
        if turn % 2:
            profiles = dict(reversed(profiles.items()))
        return {"profiles": daemons.Raw(daemons.value_text(profiles)), "profile": names[turn % 2]}

    d = daemon(connect_to=["::127.0.0.1:%d" % up.port], **settings(0))
    load = Load(d.address, 6, True, "swap")
    for turn in range(1, 41):
        reload_once(d, config_text(dict(d.settings, **settings(turn))))
    load.wait(100)
    outcomes = load.stop()
    assert set(outcomes) - {"shed"} == {"ok"} and ("shed" not in outcomes or names[0] != names[1]), outcomes
    assert {r.verdict.access_key for r in up.requests} == {daemons.ACCESS_KEY}


BROKEN = ["nosuchkey = 1;\n", "pool = { max_pending = -1; };\n", "listen = [ \"127.0.0.1:0\" \n",
          "tls = { ca_file = \"/nonexistent.pem\"; };\n", "policy = \"nobody\";\n"]


def reload_under_load(d, upstream, turns, clients=4):
    """Every third one broken in turn. (outcomes, reloads that failed)"""
    good = config_text(d.settings)
    loads = [Load(d.address, clients, True, "kept"), Load(d.address, 2, False, "anew")]
    failed = 0
    for i in range(turns):
        broken = i % 3 == 2
        region = "region = \"cn-%s\";\n" % ("beijing" if i % 2 else "shanghai")
        settings = {k: v for k, v in d.settings.items() if k != "region"}
        text = config_text(settings) + region
        if broken:
            bad = BROKEN[i // 3 % len(BROKEN)]
            key = bad.split(" ")[0]
            text = config_text({k: v for k, v in settings.items() if k != key}) + region + bad
        reload_once(d, text, not broken)
        failed += broken
        for load in loads:
            load.wait(2)
    with open(d.path, "w", encoding="utf-8") as f:
        f.write(good)
    counts = {}
    for load in loads:
        for outcome, ids in load.stop().items():
            counts[outcome] = counts.get(outcome, 0) + len(ids)
        arrived = load.arrived(upstream)
        assert set(arrived.values()) == {1} and len(arrived) == len(load.outcome), counts
    return counts, failed


@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_under_load(daemon, upstream, workers):
    d = daemon(workers=workers)
    counts, failed = reload_under_load(d, upstream, 9)
    assert set(counts) == {"ok"} and failed == 3, counts


@repeats
def test_keys_rotated_under_load(daemon, upstream):
    """Each reload brings the other key: every request is signed with one of the two, rightly."""
    d = daemon()
    load = Load(d.address, 4)
    keys = [(daemons.ACCESS_KEY, daemons.SECRET_KEY), daemons.SECOND_KEY]
    for i in range(10 * often()):
        ak, sk = keys[(i + 1) % 2]
        profiles = {"default": {"provider": "static", "access_key": ak, "secret_key": sk}}
        reload_once(d, config_text(dict(d.settings, profiles=profiles)))
        until(lambda: assert_ok(d.request()) and any(
            r.verdict.access_key == ak for r in upstream.requests[-8:]), seconds(5), "the other key")
    result = load.stop()
    assert set(result) == {"ok"} and set(load.arrived(upstream)) == result["ok"]
    assert all(r.verdict.ok for r in upstream.requests)
    assert {r.verdict.access_key for r in upstream.requests} == {k[0] for k in keys}


def test_listeners_come_and_go(daemon, upstream, tmp_path):
    """A reload opens new addresses, closes old ones and leaves the rest alone, their clients too."""
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    d = daemon(_listeners=2, listen=["127.0.0.1:0", "unix:" + first])
    address = d.address
    with Client(address) as kept, Client(first) as going:
        assert_ok(kept.request("GET", ECHO, [SERVICE]))
        assert_ok(going.request("GET", ECHO, [SERVICE]))
        inode = os.stat(first).st_ino
        reload_once(d, config_text(dict(d.settings, listen=[
            "127.0.0.1:0", "unix:" + first, "unix:" + second])))
        assert os.stat(first).st_ino == inode
        with Client(second) as c:
            assert_ok(c.request("GET", ECHO, [SERVICE]))
        reload_once(d, config_text(dict(d.settings, listen=[
            "127.0.0.1:0", "unix:" + second])))
        assert not os.path.exists(first)
        with pytest.raises(OSError):
            Client(first)
        with Client(second) as c:
            assert_ok(c.request("GET", ECHO, [SERVICE]))
        assert_ok(kept.request("GET", ECHO, [SERVICE]))
        r = going.request("GET", ECHO, [SERVICE])  # its listener is gone: told so, not cut off
        assert r.error == "ShuttingDown" and r.get("Retry-After"), r


def test_a_listener_that_cannot_be_opened_fails_the_reload(daemon, upstream, tmp_path):
    d = daemon()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        reload_once(d, config_text(dict(d.settings, region="cn-shanghai", listen=[
            "127.0.0.1:0", "unix:" + str(tmp_path / "new"), "127.0.0.1:%d" % taken.getsockname()[1]])), False)
    d.wait_log("reload failed.*in use")
    assert not (tmp_path / "new").exists()
    assert_ok(d.request())
    assert upstream.requests[-1].verdict.region == "cn-beijing"


def test_the_admin_address_outlives_the_configuration_that_named_it(daemon, upstream):
    d = daemon(_ready=False, admin={"listen": "127.0.0.2:0"})
    port = int(d.wait_log(r"admin listening on 127\.0\.0\.2:(\d+)")[1])
    d.wait_ready(admin=False)
    for n in range(5):
        d.reload(service="s" * n)
        for host, status in (("127.0.0.2", 200), ("127.0.0.3", 403)):
            with Client(("127.0.0.2", port)) as c:
                assert c.request("GET", "/metrics", host="%s:%d" % (host, port)).status == status


def test_a_listener_in_another_spelling_needs_a_restart(daemon, upstream):
    d = daemon()
    port = d.address[1]
    reload_once(d, config_text(dict(d.settings, listen=["localhost:%d" % port])), False)
    line = d.wait_log("reload failed.*another spelling.*")[0]
    assert "127.0.0.1:%d" % port in line and "restart" in line and "stop it" not in line, line
    assert_ok(d.request())


def test_a_log_file_that_cannot_be_opened_fails_the_reload(daemon, upstream):
    d = daemon()
    unwritable = {"region": "cn-shanghai", "log": {"file": "/nonexistent/log"}}
    reload_once(d, config_text(daemons.merge(d.settings, unwritable)), False)
    d.wait_log("reload failed.*log.file /nonexistent/log: No such file")
    assert_ok(d.request())
    assert upstream.requests[-1].verdict.region == "cn-beijing"


def test_a_worker_that_hangs_is_told_one_thing_at_a_time(daemon, upstream, tmp_path):
    """A reload that it does not take over in time is still on its way to it: the next one waits for
    that, and none is lost on it."""
    shim = Shim(tmp_path, "clock_shim")
    d = daemon(_env=shim.env)
    assert_ok(d.request())
    shim.set(2, 60000)  # it hangs with its next turn
    shim.set(0, -95 * 10 ** 8)  # of the ten seconds' patience, half a second is left
    reload_once(d, config_text(d.settings), False)
    shim.set(0, 0)
    d.wait_log("a worker could not take over everything")
    mark = d.mark()
    d.signal(signal.SIGHUP)
    d.wait_log("reload failed.*worker 0 has not taken over", after=mark)
    shim.set(2, 0)
    until(lambda: assert_ok(d.request()) and True, seconds(10), "it to go on")
    reload_once(d, config_text(dict(d.settings, region="cn-shanghai")))
    assert_ok(d.request())
    assert upstream.requests[-1].verdict.region == "cn-shanghai"


def test_what_a_hanging_worker_still_holds_is_closed_when_it_goes_on(daemon, tmp_path):
    """A listener that a reload removes: refused, and free for the next that names it, not open and
    served by nobody."""
    shim = Shim(tmp_path, "clock_shim")
    d = daemon(_env=shim.env)
    more = dict(d.settings, listen=d.settings["listen"] + ["127.0.0.1:%d" % unused_port()])
    address = ("127.0.0.1", int(more["listen"][-1].split(":")[1]))
    reload_once(d, config_text(more))
    shim.set(2, 60000)  # it hangs with its next turn
    shim.set(0, -95 * 10 ** 8)  # of the ten seconds' patience, half a second is left
    reload_once(d, config_text(d.settings), False)
    shim.set(0, 0)
    d.wait_log("no longer listening on %s:%d" % address)
    shim.set(2, 0)

    def refused():
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return True
        return False
    until(refused, seconds(10), "the listener to be closed")
    reload_once(d, config_text(more))
    assert not refused()


@pytest.mark.parametrize("fails", [1, 2])
def test_doors_that_a_reload_cannot_watch_are_tried_again(daemon, tmp_path, fails):
    """No memory for one of two listeners, or for both: a moment later both are served."""
    shim = Shim(tmp_path, "failing_doors")
    d = daemon(listen=["127.0.0.1:0", "127.0.0.2:0"], _listeners=2, _env=shim.env)
    shim.set(1, fails)
    reload_once(d, config_text(d.settings), False)
    for address in d.addresses():
        with Client(address, seconds(10)) as c:
            assert_ok(c.request("GET", ECHO, [SERVICE]))


def test_in_flight_requests_keep_what_they_started_with(daemon, upstream):
    """A retry after a reload is still signed for the region its request was taken under."""
    d = daemon(retry={"min_retry_delay_ms": 400, "backoff_strategy": "exponential"})
    upstream.on("r", lambda ex: ex.error(503, "Busy") if ex.attempt == 1 else ex.reply(200, b"{}"))
    with d.client() as c:
        c.begin("POST", target("r"), [SERVICE], b"x")
        upstream.wait_request("r")
        reload_once(d, config_text(dict(d.settings, region="cn-shanghai", retry={
            "auto_retry": False})))
        assert_ok(c.response())
        assert [r.verdict.region for r in upstream.of("r")] == ["cn-beijing"] * 2
        assert_ok(c.request("POST", ECHO, [SERVICE], b"x"))
        assert upstream.requests[-1].verdict.region == "cn-shanghai"


@repeats
def test_many_reloads_leave_nothing_behind(daemon, upstream):
    d = daemon(workers=2)
    text = config_text(d.settings)
    for _ in range(3):
        reload_once(d, text)
        assert_ok(d.request())
    fds, rss = d.count_descriptors(), d.rss()
    for _ in range(30 * often()):
        reload_once(d, text)
    assert_ok(d.request())
    assert d.count_descriptors() <= fds + 4
    if not daemons.instrumented():
        assert d.rss() - rss < 4 << 20, (rss, d.rss())


def test_a_reload_sees_that_the_systems_certificates_changed(daemon, upstream, certs, tmp_path):
    """Also where the environment names them."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certs.ca.read_bytes())
    d = daemon(tls={"ca_file": ""}, _env={"SSL_CERT_FILE": str(ca)})
    assert_ok(d.request())
    ca.write_bytes(certs.pair("stranger")[0].read_bytes())
    d.reload()
    assert_error(d.request("GET", ECHO, [SERVICE, ONCE], service=None), 502, "UpstreamTlsFailed")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"], ids=["idle", "head"])
def test_a_shorter_time_limit_holds_for_all_at_once(daemon, sent):
    """Also for a client that came under the longer one, and for those behind it."""
    key = "client_header_timeout" if sent else "client_idle_timeout"
    d = daemon(timeouts={key: 600.0})

    def come(number):
        c = d.client()
        wait_metric(d, CONNECTIONS, number)
        c.send(sent)
        return c

    with come(1) as older:
        if sent:
            assert_ok(d.request())  # a turn in which the byte was seen
        d.reload(timeouts={key: 0.5})
        with come(2) as newer:
            for c in (older, newer):
                answer, closed = c.read_all(seconds(10))
                assert closed and answer[:13] == (b"HTTP/1.1 408 " if sent else b"")


def test_a_reload_keeps_the_upstream_connections(daemon, upstream, certs, tmp_path):
    """As long as nothing changed that they were made with, the certificates' files included."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certs.ca.read_bytes())
    d = daemon(tls={"ca_file": str(ca)})
    assert_ok(d.request())
    for settings in ({}, {"retry": {"num_max_retries": 1}}, {"security": {"client_tokens": []}}):
        d.reload(**settings)
        assert_ok(d.request())
    assert upstream.accepted == 1
    for n, change in enumerate((lambda: ca.write_bytes(certs.ca.read_bytes() + b"\n"),
                                lambda: d.reload(pool={"num_pools": 3}),
                                lambda: d.reload(tls={"min_version": "1.3"}),
                                lambda: d.reload(connect_to=[*d.settings["connect_to"], "x:1:y:1"]))):
        change()
        d.reload()
        assert_ok(d.request())
        assert upstream.accepted == n + 2, "change %d" % n
