# SPDX-License-Identifier: Apache-2.0
"""Every call that can fail does, once each: the n-th allocation of the workers, the n-th call on a socket
(nothing yet, or one byte only), the n-th operation on a file, for n from 1 until a run has none left.
No crash, nothing lost, no wrong answer. SIGFERRY_TORTURE says how many n each test tries, chosen by
SIGFERRY_SEED (12), or "all"."""

import contextlib
import hashlib
import http.client
import os
import random
import signal

import pytest

import daemon as daemons
from checks import assert_ok, target
from client import until
from daemon import seconds
from faults import ONCE, SERVICE, Shim, metric, metrics, wait_metric

ALLOC, AGAIN, SHORT, FILE = 1, 2, 3, 4
KIND, AT, CALLS, DONE, BLOCKS, WORKERS = range(6)
SOME = os.environ.get("SIGFERRY_TORTURE") or "12"
SOME = 1 << 30 if SOME == "all" else int(SOME)
BODY = random.Random(1).randbytes(150000)
ANSWER = random.Random(2).randbytes(200000)


@pytest.fixture
def shim(tmp_path):
    s = Shim(tmp_path, "../fake/fail_nth")
    s.set(WORKERS, 1)
    return s


def arm(shim, kind, at):
    for slot, value in ((KIND, 0), (AT, at), (CALLS, 0), (DONE, 0), (KIND, kind)):
        shim.set(slot, value)


def disarm(shim):
    """Whether something failed."""
    shim.set(KIND, 0)
    return shim.get(DONE) > 0


def turns(shim, kind, once):
    """Which calls to let fail: once() makes all of them; as many as the longest of three runs."""
    most = 0
    for _ in range(3):
        arm(shim, kind, 0)
        once()
        disarm(shim)
        most = max(most, shim.get(CALLS))
    assert most > 0, "no such call"
    if most <= SOME:
        return list(range(1, most + 1))
    rnd = random.Random(int(os.environ.get("SIGFERRY_SEED") or 1))
    return sorted(rnd.sample(range(1, most + 1), SOME))


def report(name, at, counts):
    print("%s: %d calls of up to %d failed: %s" % (name, len(at), at[-1], counts))


def big(ex):
    assert hashlib.sha256(ex.req.body).digest() == hashlib.sha256(BODY).digest()
    ex.reply(200, ANSWER, ctype="application/octet-stream")


def ask(d, key, body, timeout=5):
    """(status, error, body) or why there was no whole answer."""
    try:
        r = d.request("POST", target(key), [ONCE], body, timeout=timeout)
    except (OSError, http.client.HTTPException) as e:
        return type(e).__name__, None, b""
    return (r.status if r.whole else "cut"), r.error, r.body


@pytest.mark.parametrize("kind", [AGAIN, SHORT], ids=["again", "short"])
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_every_socket_call(daemon, upstream, shim, tmp_path, kind, transport):
    """Neither is an error: every answer is right."""
    upstream.on("big", big)
    listen = ["127.0.0.1:0", "unix:" + str(tmp_path / "s")]
    # Nothing is kept, so that each request has its handshake; large enough for blocked writes.
    d = daemon(_env=shim.env, _listeners=2, listen=listen, pool={"idle_timeout": 0.0})
    address = d.address if transport == "tcp" else str(tmp_path / "s")

    def once():
        r = d.request("POST", target("big"), [ONCE, SERVICE], BODY, service=None, address=address, timeout=10)
        assert_ok(r)
        assert hashlib.sha256(r.body).digest() == hashlib.sha256(ANSWER).digest()

    once()
    at = turns(shim, kind, once)
    failed = 0
    for n in at:
        arm(shim, kind, n)
        once()
        failed += disarm(shim)
    report("sockets", at, failed)
    assert failed > len(at) / 2


@pytest.mark.parametrize("kind", [AGAIN, SHORT], ids=["again", "short"])
def test_every_socket_call_of_a_refusal(daemon, upstream, shim, kind):
    """An answer made before the request is read, to one who is gone or takes nothing: the connection
    ends with it, and the request does, too."""
    d = daemon(_env=shim.env, workers=1)

    def once():
        with d.client() as c:
            c.send("CONNECT a.invalid:443 HTTP/1.1\r\nHost: a.invalid:443\r\n\r\n")
            return c.read_all(seconds(10))

    counts = {}
    at = turns(shim, kind, once)
    for n in at:
        arm(shim, kind, n)
        out, closed = once()
        disarm(shim)
        assert closed and (not out or out.startswith(b"HTTP/1.1 405 ") or b"HTTP/1.1 405 ".startswith(out))
        counts[len(out)] = counts.get(len(out), 0) + 1
        wait_metric(d, "sigferry_inflight_requests", 0)
    report("refusal", at, counts)


def test_every_allocation(daemon, upstream, shim):
    """The right answer, an error that says so, or none; the next request is answered, and what is held
    does not grow."""
    d = daemon(_env=shim.env, pool={"idle_timeout": 0.0})
    body = b"m" * 5000
    once = lambda: ask(d, "mem", body)
    for _ in range(5):
        assert once()[0] == 200
    at = turns(shim, ALLOC, once)
    until(lambda: metric(d, "sigferry_inflight_requests") == 0, seconds(5), "rest")
    fds, blocks, counts = d.count_descriptors(), shim.get(BLOCKS), {}
    for n in at:
        arm(shim, ALLOC, n)
        status, error, answer = once()
        failed = disarm(shim)
        assert d.alive(), "call %d: %s" % (n, d.log[-2000:])
        if status == 200:
            assert b'"BodyLen": 5000' in answer, (n, answer)
        else:
            assert failed, (n, status, error)
            assert error or status in (500, "cut", "RemoteDisconnected", "ConnectionResetError", "BadStatusLine"), (
                n, status, error)
        counts[status] = counts.get(status, 0) + 1
        assert ask(d, "well", body)[0] == 200, "after call %d" % n
    report("allocations", at, counts)
    wait_metric(d, "sigferry_inflight_requests", 0)
    wait_metric(d, "sigferry_buffered_bytes", 0)
    until(lambda: d.count_descriptors() <= fds + 2, seconds(5), "as many descriptors as before")
    # Caches and OpenSSL's last errors fill up: no more than that, and nothing for each failure.
    grown = shim.get(BLOCKS) - blocks
    print("%d blocks of memory more" % grown)
    assert grown < 400 + len(at) / 4, (grown, len(at))


def test_every_allocation_of_the_admin_address(daemon, upstream, shim):
    """An answer, or the connection ends: nobody is left to wait."""
    d = daemon(_env=shim.env, log={"access": False})
    shim.set(WORKERS, 0)

    def once():
        with d.client(d.admin) as c:
            c.send("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return c.read_all(seconds(5))

    for _ in range(3):
        assert once()[0].startswith(b"HTTP/1.1 200 ")
    at = turns(shim, ALLOC, once)
    counts = {}
    for n in at:
        arm(shim, ALLOC, n)
        out, closed = once()
        failed = disarm(shim)
        assert closed and d.alive(), (n, out)
        assert failed or out.startswith(b"HTTP/1.1 200 "), (n, out)
        counts[out[:12]] = counts.get(out[:12], 0) + 1
    assert once()[0].startswith(b"HTTP/1.1 200 ")
    report("admin", at, counts)


def test_every_file_operation_of_a_request(daemon, upstream, shim):
    """A body that goes to a file arrives whole, or the client is told."""
    d = daemon(_env=shim.env, limits={"body_memory": 4096})
    upstream.on("big", big)
    once = lambda: ask(d, "big", BODY)
    assert once()[0] == 200
    at = turns(shim, FILE, once)
    counts = {}
    for n in at:
        arm(shim, FILE, n)
        status, error, answer = once()
        failed = disarm(shim)
        assert status == 200 and answer == ANSWER or failed and (error or status == "cut"), (n, status, error)
        counts[status] = counts.get(status, 0) + 1
        assert once()[0] == 200, "after %d" % n
    report("file operations", at, counts)
    assert set(counts) - {200}, "nothing failed"


@pytest.mark.parametrize("kind", [ALLOC, FILE], ids=["memory", "files"])
def test_every_call_of_a_reload(daemon, upstream, shim, tmp_path, kind):
    """The new configuration as a whole, its listeners too, or the old one and a line in the log."""
    more = tmp_path / "more"
    d = daemon(_env=shim.env, log={"access": False})
    text, regions = open(d.path, encoding="utf-8").read(), ["cn-beijing", "cn-shanghai"]
    assert_ok(d.request())
    shim.set(WORKERS, 0)
    state = {"turn": 0, "region": regions[0]}

    def reload():
        state["turn"] += 1
        state["wanted"] = regions[state["turn"] % 2]
        with open(d.path, "w", encoding="utf-8") as f:
            f.write(text.replace("cn-beijing", state["wanted"]).replace(
                'listen = [ "', 'listen = [ "unix:%s", "' % more if state["wanted"] == regions[1] else 'listen = [ "', 1))
        d.signal(signal.SIGHUP)
        # The thread that reloads serves the admin address, too: by the second answer it has reloaded.
        answers = 0
        while answers < 2 and d.alive():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                answers += bool(metrics(d))
        disarm(shim)
        return "reloaded" if metric(d, "sigferry_config_last_reload_successful") else "not reloaded"

    at = turns(shim, kind, reload)
    counts = {}
    for n in at:
        before, said = upstream_region(d, upstream), len(d.log)
        arm(shim, kind, n)
        word = reload()
        assert d.alive()
        if "could not take over everything" in d.log[said:]:
            # A worker lacked memory for a part of it: said in the log and by the gauge, and the next reload
            # mends it.
            assert word == "not reloaded"
            counts["in part"] = counts.get("in part", 0) + 1
            word = reload()
            assert word == "reloaded"
        r = d.request("GET", target("where"))
        if r.error == "UpstreamTlsFailed":
            # OpenSSL takes an authority's certificate without its key when memory was too short to read
            # the key: an error that says so, until the next reload.
            counts["no key"] = counts.get("no key", 0) + 1
            reload()
            word = "reloaded"
        now = upstream_region(d, upstream)
        assert now == (state["wanted"] if word == "reloaded" else before), (n, word, before, now)
        assert more.exists() == (now == regions[1]), (n, word, now)
        counts[word] = counts.get(word, 0) + 1
    report("calls of a reload", at, counts)
    assert len(counts) > 1, "nothing failed"


def upstream_region(d, upstream):
    assert_ok(d.request("GET", target("where")))
    return upstream.of("where")[-1].verdict.region


@pytest.mark.parametrize("kind", [ALLOC, FILE], ids=["memory", "files"])
@pytest.mark.parametrize("arguments", [["check"], ["config"], ["sign", "-s", "ecs", "-r", "cn-beijing", "--date",
                                                               "20261121T120000Z", "https://ecs.cn-beijing.volcengineapi.com/?Action=A&Version=1"]],
                         ids=["check", "config", "sign"])
def test_every_call_of_a_command(shim, base_settings, tmp_path, kind, arguments):
    """What it has to say, or a message and a status other than 0."""
    path = tmp_path / "sigferry.conf"
    path.write_text(daemons.config_text(base_settings))
    path.chmod(0o600)
    shim.set(WORKERS, 0)
    run = lambda: daemons.command(arguments[0], "-c", path, *arguments[1:], env=shim.env)
    right = run()
    assert right.returncode == 0, right.stderr
    at = turns(shim, kind, run)
    counts = {}
    for n in at:
        arm(shim, kind, n)
        r = run()
        disarm(shim)
        counts[r.returncode] = counts.get(r.returncode, 0) + 1
        assert r.returncode >= 0, "call %d: signal %d" % (n, -r.returncode)
        if r.returncode == 0:
            assert r.stdout == right.stdout, n
        else:
            assert r.stderr.strip(), n
    report(arguments[0], at, counts)
