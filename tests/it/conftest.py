# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: the real binary ($SIGFERRY) between a scripted upstream and raw
clients. SIGFERRY_WRAPPER (for example "valgrind -q --error-exitcode=99") runs the binary under a
tool, with ten times the patience; SIGFERRY_TIMESCALE sets another factor. SIGFERRY_REPEAT=200 runs each
test 200 times: one with four variants 50 times in each."""

import math
import os
import resource
import sys

import pytest

sys.dont_write_bytecode = True

import daemon as daemons  # noqa: E402
import leaks  # noqa: E402
from certs import Certs  # noqa: E402
from client import Client  # noqa: E402
from faults import often  # noqa: E402
from upstream import Upstream  # noqa: E402

RUNNING = []


def pytest_configure(config):
    config.addinivalue_line("markers", "repeats: does its fault SIGFERRY_REPEAT times by itself")
    if not os.access(daemons.BINARY, os.X_OK):
        raise pytest.UsageError("no binary at %s: build it, or set SIGFERRY"
                                % os.path.abspath(daemons.BINARY))
    # A login's usual 1,024 is less than the clients of some tests, on machines with many CPUs of more.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536), hard))


def pytest_generate_tests(metafunc):
    marks = list(metafunc.definition.iter_markers("parametrize"))
    turns = often(math.prod(len(m.args[1]) for m in marks))
    if turns > 1 and not metafunc.definition.get_closest_marker("repeats"):
        if "turn" not in metafunc.fixturenames:
            metafunc.fixturenames.append("turn")
        metafunc.parametrize("turn", range(turns), ids=str)


def pytest_report_header(config):
    return "sigferry: %s%s" % (" ".join(daemons.WRAPPER + [""]), os.path.abspath(daemons.BINARY))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for d in RUNNING:
            report.sections.append(("log of %s" % " ".join(d.argv[-3:]), d.log[-8000:]))


@pytest.fixture
def turn():
    """Which of its repetitions a test is."""
    return 0


@pytest.fixture(autouse=True)
def nothing_leaks(request):
    """With SIGFERRY_LEAKS=1: no secret of the test is in anything that its daemons wrote or showed."""
    yield
    if not leaks.ON:
        return
    for text in daemons.SECRETS:
        leaks.secret(text, "a key of the tests")
    for d in list(leaks.NOW.daemons):
        leaks.look_at_daemon(d)
    if "tmp_path" in request.node.funcargs:
        leaks.harvest_files(request.node.funcargs["tmp_path"])
    found = leaks.found()
    assert found == [], "\n".join(found)


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def session_upstream(certs):
    u = Upstream(daemons.KEYS, certs.pair("good"))
    yield u
    u.stop()


@pytest.fixture
def upstream(session_upstream):
    """The shared TLS upstream, emptied before each test; a bad signature fails the test."""
    session_upstream.reset()
    yield session_upstream
    faults = list(session_upstream.faults)
    session_upstream.reset()
    assert faults == [], "the upstream saw: %s" % "; ".join(faults)


@pytest.fixture
def make_upstream(certs):
    """make_upstream(cert="good", **kw): another upstream; cert None for plain HTTP."""
    made = []

    def make(cert="good", keys=None, **kw):
        u = Upstream(keys or daemons.KEYS, certs.pair(cert) if cert else None, **kw)
        made.append(u)
        return u

    yield make
    faults = [f for u in made for f in u.faults]
    for u in made:
        u.stop()
    assert faults == [], "the upstream saw: %s" % "; ".join(faults)


@pytest.fixture(scope="session")
def base_settings(certs, session_upstream):
    """What every daemon of the tests is configured with; a test's own settings go on top."""
    return {
        "listen": ["127.0.0.1:0"],
        "admin": {"listen": "127.0.0.1:0"},
        "cloud": "volcengine",
        "region": "cn-beijing",
        "workers": 1,
        "drain_timeout": 5.0,
        "client_side_validation": False,
        "profiles": daemons.ALL_PROFILES,
        "tls": {"ca_file": str(certs.ca)},
        "connect_to": ["::127.0.0.1:%d" % session_upstream.port],
        "retry": {"min_retry_delay_ms": 5},
    }


@pytest.fixture
def conf(tmp_path, base_settings):
    """conf(key=value, …) writes the usual configuration for a command and returns its path."""
    def write(text="", mode=0o600, **kw):
        path = tmp_path / "sigferry.conf"
        path.write_text(daemons.config_text(daemons.merge(base_settings, kw)) + text)
        path.chmod(mode)
        return path
    return write


class Factory:
    """daemon(key=value, …): starts a daemon with the base settings and these on top (None drops
    one; dictionaries merge) and waits until it listens. Keywords beginning with _ go to Daemon
    (_args, _env, _text, _mode, _config), _upstream points it elsewhere, _ready=False doesn't wait."""

    def __init__(self, base, tmp_path_factory):
        self.base, self.factory = base, tmp_path_factory
        self.started = []

    def directory(self):
        return self.factory.mktemp("daemon")

    def __call__(self, _upstream=None, _ready=True, _listeners=1, _base=True, _raw=None,
                 _directory=None, **kw):
        own = {k: v for k, v in kw.items() if not k.startswith("_")}
        options = {k[1:]: v for k, v in kw.items() if k.startswith("_")}
        settings = daemons.merge(self.base if _base else {}, own)
        if _upstream:
            settings["connect_to"] = ["::127.0.0.1:%d" % _upstream.port]
        d = daemons.Daemon(_directory or self.directory(), settings, **options)
        d.exit_status = 0
        self.started.append(d)
        RUNNING.append(d)
        if _ready:
            d.wait_ready(_listeners)
        return d

    def finish(self):
        """Everything alive still must be, and go on SIGTERM with status 0 (or d.exit_status; None:
        anything)."""
        faults = []
        for d in self.started:
            if leaks.ON and d.alive():
                leaks.look_at_process(d)
                leaks.look_at_pages(d, Client)
            try:
                if d.exit_status is not None:
                    d.stop(d.exit_status)
            except AssertionError as e:
                faults.append(str(e))
            finally:
                d.kill()
                RUNNING.remove(d)
        self.started = []
        assert not faults, "\n".join(faults)


@pytest.fixture
def daemon(base_settings, tmp_path_factory, upstream):
    f = Factory(base_settings, tmp_path_factory)
    yield f
    for e in upstream.events:
        e.set()
    f.finish()


@pytest.fixture(scope="module")
def module_daemon(base_settings, tmp_path_factory):
    """The factory for daemons that a file's tests share; such a fixture must be module-scoped."""
    f = Factory(base_settings, tmp_path_factory)
    yield f
    f.finish()


@pytest.fixture(scope="session")
def session_daemon(base_settings, tmp_path_factory):
    f = Factory(base_settings, tmp_path_factory)
    yield f()
    f.finish()


@pytest.fixture
def shared(session_daemon, upstream):
    """The one default daemon of the session, for tests that need nothing special."""
    assert session_daemon.alive(), "an earlier test ended the shared daemon:\n" + session_daemon.log
    yield session_daemon
    assert session_daemon.alive(), "the shared daemon ended:\n" + session_daemon.log
