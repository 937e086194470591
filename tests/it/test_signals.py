# SPDX-License-Identifier: Apache-2.0
"""Signals: drain, end at once, reload, reopen; and what stays as it was meanwhile."""

import hashlib
import os
import signal
import socket

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, hold, target
from client import until
from daemon import config_text, merge, seconds, timed

SERVICE = ("X-Sigferry-Service", "ecs")


def refuses(address):
    try:
        socket.create_connection(address, timeout=1).close()
        return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_finishes_what_is_in_flight(daemon, upstream, number):
    d = daemon()
    held = hold(upstream, body=b'{"late":true}')
    with d.client() as c:
        c.begin("POST", target("hold"), [SERVICE], b"x")
        upstream.wait_request("hold")
        d.signal(number)
        until(lambda: refuses(d.address), seconds(5), "the listener to be closed")
        assert d.alive()
        held.set()
        r = assert_ok(c.response())
        assert r.json == {"late": True} and "close" in (r.get("Connection") or "").lower()
    assert d.wait() == 0


def test_drain_without_work_is_quick(daemon, upstream):
    d = daemon()
    with d.client() as idle:
        assert_ok(idle.request("GET", ECHO, [SERVICE]))
        d.signal(signal.SIGTERM)
        status, took = timed(d.wait)
        assert status == 0 and took < seconds(2)
        assert idle.read_all(seconds(5)) == (b"", True)


def test_a_second_signal_ends_at_once(daemon, upstream):
    d = daemon(drain_timeout=30.0)
    d.exit_status = None
    hold(upstream)
    with d.client() as c:
        c.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        d.signal(signal.SIGTERM)
        until(lambda: refuses(d.address), seconds(5), "the listener to be closed")
        assert d.alive()
        d.signal(signal.SIGTERM)
        status, took = timed(d.wait)
        assert_error(c.response(), 503, "ShuttingDown")
    assert took < seconds(2) and status >= 0
    d.wait_log("access\" .*status=503 .*error=ShuttingDown")  # it was not the client that left


def test_the_first_signal_drains_whatever_drains_already(daemon, upstream):
    d = daemon(admin={"allow_quit": True})
    held = hold(upstream)
    with d.client() as c:
        c.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        with d.client(d.admin) as admin:
            assert admin.request("POST", "/quitquitquit").status == 200
        until(lambda: refuses(d.address), seconds(5), "the listener to be closed")
        mark = d.mark()
        d.signal(signal.SIGTERM)
        d.wait_log("SIGTERM: draining already", after=mark)
        held.set()
        assert_ok(c.response())
    assert d.wait() == 0


def test_drain_timeout_ends_the_rest(daemon, upstream):
    d = daemon(drain_timeout=0.4)
    d.exit_status = None
    hold(upstream)
    with d.client() as c:
        c.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        d.signal(signal.SIGTERM)
        status, took = timed(d.wait)
        assert_error(c.response(), 503, "ShuttingDown")
    assert 0.3 < took < seconds(3) and status in (0, 1)
    d.wait_log("access\" .*status=503 .*error=ShuttingDown")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("signals", [1, 2])
def test_the_end_finds_clients_in_every_state(daemon, upstream, signals, workers):
    """Idle, within a head, within a body, waiting, streaming both ways unread, gone: no crash."""
    d = daemon(drain_timeout=0.4, workers=workers, pool={"connection_pool_maxsize": 40})
    d.exit_status = None
    hold(upstream)
    flood = b"x" * (1 << 20)
    upstream.on("flood", lambda ex: (ex.stream_head(), [ex.chunk(flood) for _ in range(64)]))
    upstream.on("sink", lambda ex: upstream.events[0].wait(30), early=True)
    post = lambda key, *more: lambda c: c.send(c.head("POST", target(key), [SERVICE, *more]))
    digest = ("X-Content-Sha256", hashlib.sha256(b"").hexdigest())
    states = [
        lambda c: assert_ok(c.request("GET", ECHO, [SERVICE])),
        lambda c: c.send("GET / HTTP/1.1\r\nHost: "),
        lambda c: (post("echo", ("Content-Length", "9"))(c), c.send("half")),
        lambda c: (post("echo", ("Transfer-Encoding", "chunked"))(c), c.send("5\r\nhel")),
        lambda c: c.begin("GET", target("hold"), [SERVICE]),
        lambda c: [c.begin("GET", target("hold"), [SERVICE]) for _ in range(3)],
        lambda c: c.begin("GET", target("flood"), [SERVICE]),
        lambda c: (post("sink", digest, ("Content-Length", "999999"))(c), c.send(b"x" * 500000)),
        lambda c: (c.begin("GET", target("hold"), [SERVICE]), c.reset()),
        lambda c: (c.begin("GET", target("hold"), [SERVICE]), c.sock.shutdown(socket.SHUT_WR)),
        lambda c: (c.begin("GET", target("flood"), [SERVICE]), c.response_head(), c.reset()),
    ]
    clients = [d.client() for _ in range(3 * len(states))]
    for i, c in enumerate(clients):
        states[i % len(states)](c)
    upstream.wait_request("hold", 6)
    upstream.wait_request("flood", 3)
    for _ in range(signals):
        d.signal(signal.SIGTERM)
    status, took = timed(d.wait)
    for c in clients:
        c.close()
    assert status in (0, 1) and took < seconds(4), (status, d.log)
    assert "Fatal" not in d.log


def test_a_new_request_while_draining(daemon, upstream):
    """On a kept-alive connection: served or told 503 ShuttingDown, or the connection is closed."""
    d = daemon()
    held = hold(upstream)
    with d.client() as a, d.client() as b:
        assert_ok(b.request("GET", ECHO, [SERVICE]))
        a.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        d.signal(signal.SIGTERM)
        until(lambda: refuses(d.address), seconds(5), "the listener to be closed")
        try:
            r = b.request("GET", ECHO, [SERVICE])
            assert r.status == 200 or (r.error == "ShuttingDown" and r.get("Retry-After")), r
        except OSError:
            pass
        held.set()
        assert_ok(a.response())
    assert d.wait() == 0


def test_no_reload_while_draining(daemon, upstream):
    """What closed stays closed, and what is in flight is finished as if nothing had been asked."""
    d = daemon(workers=2)
    held = hold(upstream)
    with d.client() as c:
        c.begin("POST", target("hold"), [SERVICE], b"x")
        upstream.wait_request("hold")
        d.signal(signal.SIGTERM)
        until(lambda: refuses(d.address), seconds(5), "the listener to be closed")
        d.signal(signal.SIGHUP)
        d.wait_log("SIGHUP.*drain")
        assert refuses(d.address)
        held.set()
        assert_ok(c.response())
    assert d.wait() == 0
    assert "reloaded" not in d.log


# -- reload ------------------------------------------------------------------------------------

def region_now(d, upstream, c=None):
    if c:
        assert_ok(c.request("GET", ECHO, [SERVICE]))
    else:
        assert_ok(d.request())
    return upstream.requests[-1].verdict.region


def test_reload_takes_over_a_valid_configuration(daemon, upstream):
    d = daemon()
    port, pid = d.port, d.pid
    held = hold(upstream)
    with d.client() as kept, d.client() as slow:
        assert region_now(d, upstream, kept) == "cn-beijing"
        slow.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold")
        d.write(merge(d.settings, {"region": "ap-southeast-2"}))
        d.signal(signal.SIGHUP)
        until(lambda: region_now(d, upstream) == "ap-southeast-2", seconds(10), "the new region")
        assert region_now(d, upstream, kept) == "ap-southeast-2"  # the connection survived
        held.set()
        assert_ok(slow.response())
        assert upstream.of("hold")[0].verdict.region == "cn-beijing"
    assert d.alive() and d.pid == pid and not refuses(("127.0.0.1", port))


def test_reload_rotates_a_key(daemon, upstream):
    d = daemon()
    assert_ok(d.request())
    profiles = {"default": dict(zip(("provider", "access_key", "secret_key"),
                                    ("static",) + daemons.SECOND_KEY))}
    d.write(dict(d.settings, profiles=profiles))
    d.signal(signal.SIGHUP)
    until(lambda: assert_ok(d.request()) and
          upstream.requests[-1].verdict.access_key == daemons.SECOND_KEY[0],
          seconds(10), "the new key")


@pytest.mark.parametrize("text,complaint", [
    ("regoin = 5;\n", "region"), ("pool = { max_pending = -3; };\n", "max_pending"), ("oops = = {\n", "sigferry.conf:"),
    ("timeouts = { connect_timeout = \"soon\"; };\n", "connect_timeout")])
def test_an_invalid_reload_keeps_the_old_configuration(daemon, upstream, text, complaint):
    d = daemon()
    mark = d.mark()
    with d.client() as kept:
        assert region_now(d, upstream, kept) == "cn-beijing"
        d.write(dict(d.settings, region="ap-southeast-2"), text)
        d.signal(signal.SIGHUP)
        line = d.wait_log(r"sigferry\.conf:\d+: ", after=mark).string
        assert complaint in line, line
        assert region_now(d, upstream, kept) == "cn-beijing"
        assert region_now(d, upstream) == "cn-beijing"
    d.write(merge(d.settings, {"region": "ap-southeast-3"}))
    d.signal(signal.SIGHUP)
    until(lambda: region_now(d, upstream) == "ap-southeast-3", seconds(10), "the mended file")


def test_a_missing_file_at_reload_keeps_the_old_configuration(daemon, upstream):
    d = daemon()
    mark = d.mark()
    os.rename(d.path, d.path + ".gone")
    d.signal(signal.SIGHUP)
    d.wait_log("sigferry.conf", after=mark)
    assert region_now(d, upstream) == "cn-beijing"


def test_many_reloads_lose_no_request(daemon, upstream):
    """20 reloads, every third broken, while one connection keeps asking."""
    d = daemon()
    good = config_text(d.settings)
    with d.client() as c:
        for i in range(20):
            with open(d.path + ".new", "w", encoding="utf-8") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(good + ("nosuchkey = 1;\n" if i % 3 == 2 else ""))
            os.replace(d.path + ".new", d.path)  # the reload before may still be at it
            d.signal(signal.SIGHUP)
            for _ in range(3):
                assert_ok(c.request("POST", ECHO, [SERVICE], b"x"))
    assert len(upstream.requests) == 60 and not refuses(d.address)


def test_sigusr1_reopens_the_log_file(daemon, upstream, tmp_path):
    path = tmp_path / "log"
    d = daemon(_ready=False, log={"file": str(path)})
    until(lambda: path.exists() and " serves " in path.read_text(), seconds(10), "the log")
    d.lines = path.read_text().splitlines()
    r = assert_ok(d.request())
    until(lambda: r.get("X-Sigferry-Request-Id") in path.read_text(), seconds(5), "the access line")
    os.rename(path, tmp_path / "log.1")
    d.signal(signal.SIGUSR1)
    until(path.exists, seconds(5), "the new log file")
    r = assert_ok(d.request())
    until(lambda: r.get("X-Sigferry-Request-Id") in path.read_text(), seconds(5), "the access line")
    assert r.get("X-Sigferry-Request-Id") not in (tmp_path / "log.1").read_text()


def test_a_limit_on_file_sizes_costs_log_lines_only(daemon, upstream, tmp_path):
    """Main thread and workers write the log past what RLIMIT_FSIZE allows."""
    path, limit = tmp_path / "log", 4096
    d = daemon(_ready=False, _prefix=("prlimit", "--fsize=%d" % limit), log={"file": str(path)})
    until(lambda: path.exists() and "admin listening" in path.read_text(), seconds(10), "the log")
    d.lines = path.read_text().splitlines()

    def reload():
        d.signal(signal.SIGHUP)
        assert_ok(d.request())
        return path.stat().st_size == limit

    until(reload, seconds(20), "a log as large as it may be")
    for _ in range(3):
        reload()
    os.rename(path, tmp_path / "log.1")
    d.signal(signal.SIGUSR1)
    until(path.exists, seconds(5), "the new log file")
    r = assert_ok(d.request())
    until(lambda: r.get("X-Sigferry-Request-Id") in path.read_text(), seconds(5), "the access line")
