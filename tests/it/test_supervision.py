# SPDX-License-Identifier: Apache-2.0
"""What a service manager sees: sockets that outlive the daemon, readiness, a watchdog that tells the
truth."""

import signal
import socket
import sys
import threading

import pytest

from checks import ECHO, assert_ok, target
from client import Client, until
from daemon import seconds
from faults import SERVICE, Shim, metric
from load import Load


# What a service manager does between fork and exec.
INHERIT = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])"""


@pytest.fixture
def manager(tmp_path):
    """A notification socket; messages() gives what came, wait(text) waits for it."""
    class Manager:
        def __init__(self):
            self.path = str(tmp_path / "notify")
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.sock.bind(self.path)
            self.seen, self.changed = [], threading.Condition()
            threading.Thread(target=self.read, daemon=True).start()

        def read(self):
            while True:
                try:
                    text = self.sock.recv(4096).decode()
                except OSError:
                    return
                with self.changed:
                    self.seen.append(text)
                    self.changed.notify_all()

        def count(self, text):
            with self.changed:
                return sum(text in m.split("\n") for m in self.seen)

        def wait(self, text, n=1):
            with self.changed:
                assert self.changed.wait_for(lambda: sum(text in m.split("\n") for m in self.seen) >= n,
                                             seconds(10)), (text, self.seen)

    m = Manager()
    yield m
    m.sock.close()


@pytest.fixture
def activated(daemon):
    """start(): a daemon that inherits a listening socket, which the test holds all the while."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)

        class Activated:
            address = listener.getsockname()

            @staticmethod
            def start(**kw):
                fd = listener.fileno()
                d = daemon(_prefix=(sys.executable, "-c", INHERIT, str(fd)), _pass_fds=(fd,),
                           _env={"LISTEN_FDS": "1"}, listen=["systemd"], **kw)
                d.exit_status = None
                return d

        yield Activated


def test_killed_and_started_again(activated, upstream, turn):
    """kill -9 under load: nobody is refused, only what was in flight is cut off, and who connected
    meanwhile is served by the next one."""
    d = activated.start()
    load = Load(activated.address, 6, kept=turn % 2 == 0)
    for _ in range(3):
        load.wait(20)
        d.process.kill()
        d.wait()
        with Client(activated.address, seconds(15)) as c:
            c.begin("POST", ECHO, [SERVICE], b"x")
            d = activated.start()
            assert_ok(c.response())
    load.wait(20)
    result = {k: len(v) for k, v in load.stop().items()}
    assert set(result) <= {"ok", "unheard", "cut"} and result["ok"] >= 80, result
    assert result.get("unheard", 0) + result.get("cut", 0) <= 3 * 6, result
    d.stop()


def test_an_inherited_socket_outlives_reloads(activated, upstream):
    """One that drops it, one that names it again and fails: the manager hands it over only once."""
    d = activated.start()
    for settings in ({"listen": ["127.0.0.1:0"]},
                     {"listen": ["127.0.0.1:0", "systemd", "127.0.0.1:%d" % upstream.port]},
                     {"listen": ["systemd"]}):
        mark = d.mark()
        d.write(dict(d.settings, **settings))
        d.signal(signal.SIGHUP)
        works = len(settings["listen"]) == 1
        d.wait_log("configuration is reloaded" if works else "reload failed.* in use", after=mark)
    assert_ok(d.request(address=activated.address))


def test_a_drain_leaves_the_socket(activated, upstream):
    """SIGTERM ends the daemon, not the queue: who comes between two is served by the second."""
    d = activated.start()
    assert_ok(d.request(address=activated.address))
    d.stop()
    clients = [Client(activated.address, seconds(15)) for _ in range(10)]
    for c in clients:
        c.begin("POST", ECHO, [SERVICE], b"x")
    activated.start()
    for c in clients:
        assert_ok(c.response())
        c.close()


def test_a_start_that_fails_leaves_the_queue_alone(activated, upstream):
    """Nobody is accepted before it is certain that the daemon runs: who waits is served by the next."""
    with Client(activated.address, seconds(15)) as c, socket.create_server(("127.0.0.1", 0)) as taken:
        c.begin("POST", ECHO, [SERVICE], b"x")
        d = activated.start(_ready=False, admin={"listen": "127.0.0.1:%d" % taken.getsockname()[1]})
        d.exit_status = 1
        assert d.wait() == 1 and "in use" in d.log
        activated.start()
        assert_ok(c.response())


def test_the_manager_is_told(daemon, upstream, manager):
    d = daemon(_env={"NOTIFY_SOCKET": manager.path})
    manager.wait("READY=1")
    d.signal(signal.SIGHUP)
    manager.wait("RELOADING=1")
    manager.wait("READY=1", 2)
    d.stop()
    manager.wait("STOPPING=1")
    assert manager.count("WATCHDOG=1") == 0


def test_the_watchdog_is_fed_only_while_every_loop_turns(daemon, upstream, manager, tmp_path):
    shim = Shim(tmp_path, "clock_shim")
    d = daemon(workers=2, _env=dict(shim.env, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="200000"))
    manager.wait("WATCHDOG=1", 3)

    def health():  # over a new connection: the two minutes end an idle one
        return d.request("GET", "/healthz", service=None, address=d.admin).status

    assert health() == 200
    shim.set(2, 30000)  # every worker hangs with its next turn
    shim.set(0, 120 * 10 ** 9)  # two minutes pass for all
    until(lambda: health() == 503, seconds(5), "health to fail")
    before = manager.count("WATCHDOG=1")
    manager.changed.acquire()
    fed = manager.changed.wait_for(lambda: sum("WATCHDOG=1" in m for m in manager.seen) > before, 0.5)
    manager.changed.release()
    assert not fed, "a hung loop was reported as alive"
    shim.set(2, 0)
    until(lambda: health() == 200, seconds(5), "health")
    manager.wait("WATCHDOG=1", before + 2)
    assert_ok(d.request())


def test_a_worker_that_has_drained_is_not_one_that_hangs(daemon, upstream, manager, tmp_path):
    """A long drain: one worker has ended, the other still serves, and the watchdog is fed on."""
    shim = Shim(tmp_path, "clock_shim")
    d = daemon(workers=2, drain_timeout=600.0, timeouts={"read_timeout": 600.0},
               _env=dict(shim.env, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="200000"))
    held = upstream.event()
    upstream.on("held", lambda ex: (held.wait(30), ex.reply(200, b"{}")))
    with d.client() as c:
        c.begin("POST", target("held"), [SERVICE], b"x")
        upstream.wait_request("held")
        threads = metric(d, "process_threads")
        d.signal(signal.SIGTERM)
        until(lambda: metric(d, "process_threads") == threads - 1, seconds(10), "the idle worker to end")
        shim.set(0, 20 * 10 ** 9)
        with d.client(d.admin) as admin:
            until(lambda: admin.request("GET", "/healthz").status == 200, seconds(10), "health")
        manager.wait("WATCHDOG=1", manager.count("WATCHDOG=1") + 2)
        held.set()
        assert_ok(c.response())
    assert d.wait() == 0
