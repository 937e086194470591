# SPDX-License-Identifier: Apache-2.0
"""Starting the real binary: configuration files, clean environment, ports and readiness learnt from
its log, checks that it lived and went in order."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import leaks
from client import Client, until

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.environ.get("SIGFERRY") or os.path.join(HERE, "..", "..", "build", "sigferry")
WRAPPER = shlex.split(os.environ.get("SIGFERRY_WRAPPER", ""))
SLOW = float(os.environ.get("SIGFERRY_TIMESCALE") or (10 if WRAPPER else 1))

ACCESS_KEY = "AKLTintegrationtests00001"
SECRET_KEY = "aW50ZWdyYXRpb24tdGVzdHMtc2VjcmV0LWtleQ=="
SECOND_KEY = ("AKLTintegrationtests00002", "c2Vjb25kLXNlY3JldC1rZXktb2YtdGhlLXRlc3Rz")
TOKEN_KEY = ("AKTPintegrationtests00003", "dGhpcmQtc2VjcmV0LWtleS1vZi10aGUtdGVzdHM=",
             "STSsession-token-of-the-tests+/==")
KEYS = {ACCESS_KEY: (SECRET_KEY, None), SECOND_KEY[0]: (SECOND_KEY[1], None),
        TOKEN_KEY[0]: (TOKEN_KEY[1], TOKEN_KEY[2])}
SECRETS = (SECRET_KEY, SECOND_KEY[1], TOKEN_KEY[1], TOKEN_KEY[2])

ALL_PROFILES = {
    "default": {"provider": "static", "access_key": ACCESS_KEY, "secret_key": SECRET_KEY},
    "second": {"provider": "static", "access_key": SECOND_KEY[0], "secret_key": SECOND_KEY[1]},
    "token": {"provider": "static", "access_key": TOKEN_KEY[0], "secret_key": TOKEN_KEY[1],
              "session_token": TOKEN_KEY[2]},
}


def instrumented():
    """True when memory use says nothing: under a wrapper, or built with a sanitizer or for coverage."""
    if WRAPPER:
        return True
    with open(BINARY, "rb") as f:
        data = f.read()
    return b"__asan_init" in data or b"__tsan_init" in data or b"__gcov_" in data


SYSTEM_FILE = "/etc/sigferry/sigferry.conf"


def is_installed():
    """True where the daemon finds a configuration of the machine's when it is told of none, and where it
    may not look."""
    try:
        os.stat(SYSTEM_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


# What stands for "no file" there. It goes with the run.
NO_FILE = tempfile.NamedTemporaryFile(prefix="sigferry-no-conf-") if is_installed() else None


def seconds(t):
    """A time limit, longer under a wrapper such as valgrind."""
    return t * SLOW


class Raw(str):
    """Text that goes into a configuration file as it is."""


def value_text(v):
    if isinstance(v, Raw):
        return str(v)
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float)):
        return repr(v)
    if isinstance(v, str):
        return '"%s"' % v.replace("\\", "\\\\").replace('"', '\\"')
    if isinstance(v, dict):
        return "{ %s }" % " ".join("%s = %s;" % (k, value_text(x)) for k, x in v.items()
                                   if x is not None)
    if isinstance(v, (list, tuple)):
        groups = any(isinstance(x, dict) for x in v)
        return ("( %s )" if groups else "[ %s ]") % ", ".join(map(value_text, v))
    raise TypeError(v)


def config_text(settings):
    return "".join("%s = %s;\n" % (k, value_text(v)) for k, v in settings.items() if v is not None)


def merge(base, over):
    out = dict(base)
    for k, v in over.items():
        out[k] = merge(out[k], v) if isinstance(v, dict) and isinstance(out.get(k), dict) else v
    return out


def clean_env(home, extra=None):
    env = {k: v for k, v in os.environ.items()
           if not re.match(r"(VOLC|BYTEPLUS|SIGFERRY|XDG_|.*_proxy$|.*_PROXY$|SSLKEYLOG|LISTEN_|NOTIFY_)", k)}
    env["HOME"] = str(home)
    if NO_FILE:
        env["SIGFERRY_CONFIG"] = NO_FILE.name
    env.update(extra or {})
    return env


def command(*args, env=None, home="/nonexistent", timeout=30, **kw):
    """Runs the binary to its end."""
    leaks.harvest_env(env)
    r = subprocess.run([*WRAPPER, BINARY, *map(str, args)], capture_output=True, text=True,
                       env=clean_env(home, env), timeout=seconds(timeout), **kw)
    leaks.shown("what sigferry %s wrote" % " ".join(map(str, args)), r.stdout + r.stderr)
    return r


class Daemon:
    """A running daemon. settings: {key: Python value}; text: appended to the file as it is; prefix:
    a command that runs it, such as prlimit."""

    def __init__(self, directory, settings=None, text="", args=(), env=None, config=True,
                 subcommand=("run",), mode=0o600, cwd=None, prefix=(), pass_fds=()):
        self.dir = directory
        self.settings = settings
        self.path = os.path.join(str(directory), "sigferry.conf")
        argv = [*prefix, *WRAPPER, BINARY, *subcommand]
        if config:
            self.write(settings or {}, text, mode)
            argv += ["-c", self.path]
        self.argv = argv + list(map(str, args))
        self.own_env = env
        self.env = clean_env(directory, env if config else leaks.env_of(env, args))
        self.lines, self.changed, self.ended = [], threading.Condition(), False
        self.process = subprocess.Popen(
            self.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env,
            stdin=subprocess.DEVNULL, cwd=cwd or str(directory), pass_fds=pass_fds)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        leaks.started(self)

    # -- configuration -----------------------------------------------------------------------

    def write(self, settings, text="", mode=0o600):
        self.settings = settings
        with open(self.path, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), mode)
            f.write(config_text(leaks.settings_of(settings, text)) + text)

    def reload(self, **settings):
        """With these on top of what it has; waits until it was taken over."""
        mark = self.mark()
        self.write(merge(self.settings, settings))
        self.signal(signal.SIGHUP)
        self.wait_log("configuration is reloaded", after=mark)

    # -- log ---------------------------------------------------------------------------------

    def read_log(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        self.process.stdout.close()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    @property
    def log(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_log(self, pattern, timeout=10, after=0):
        """The first match of pattern in a log line, or a failure that shows the log."""
        found = []

        def look():
            for line in self.lines[after:]:
                m = re.search(pattern, line)
                if m:
                    found.append(m)
                    return True
            return self.ended

        with self.changed:
            self.changed.wait_for(look, seconds(timeout))
        assert found, "no %r in the log of %s:\n%s" % (pattern, self.argv, self.log)
        return found[0]

    def mark(self):
        with self.changed:
            return len(self.lines)

    # -- addresses ---------------------------------------------------------------------------

    def wait_ready(self, listeners=1, admin=True):
        if admin:
            self.wait_log(r"admin listening on 127\.0\.0\.1:\d+")
        with self.changed:
            self.changed.wait_for(lambda: self.ended or len(self.addresses()) >= listeners,
                                  seconds(10))
        assert len(self.addresses()) >= listeners, "not listening:\n" + self.log
        self.wait_log(r"sigferry \S+ serves ")  # the workers come last
        return self

    def addresses(self):
        """Data listeners in the order of the log: (host, port) or a Unix path."""
        out = []
        for line in self.lines:
            m = re.search(r"(?<!admin )(?<!longer )listening on (unix:[^\s\"]+|\[[^]]+\]:\d+|[\d.]+:\d+)", line)
            if m and m[1].startswith("unix:"):
                out.append(m[1][5:])
            elif m:
                host, _, port = m[1].rpartition(":")
                out.append((host.strip("[]"), int(port)))
        return out

    @property
    def address(self):
        return next(a for a in self.addresses() if isinstance(a, tuple))

    @property
    def port(self):
        return self.address[1]

    @property
    def admin(self):
        return "127.0.0.1", int(self.wait_log(r"admin listening on 127\.0\.0\.1:(\d+)")[1])

    def admin_now(self):
        """The admin address if the log tells it already, without waiting."""
        m = re.search(r"admin listening on 127\.0\.0\.1:(\d+)", self.log)
        if not m:
            raise ValueError("no admin address")
        return "127.0.0.1", int(m[1])

    def client(self, address=None, timeout=15):
        return Client(address or self.address, seconds(timeout))

    def request(self, method="GET", target="/?Action=Echo&Version=2020-04-01", headers=(), body=b"",
                host=True, service="ecs", address=None, version="1.1", timeout=15):
        """One request on a connection of its own. service: None leaves X-Sigferry-Service out."""
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        if service:
            headers.append(("X-Sigferry-Service", service))
        with self.client(address, timeout) as c:
            return c.request(method, target, headers, body, host, version)

    # -- the process -------------------------------------------------------------------------

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def stopped(self):
        """Meanwhile no thread of it runs: on a busy machine that takes longer than the signal."""
        self.signal(signal.SIGSTOP)
        try:
            until(lambda: set(self.thread_states()) == {"T"}, seconds(10), "every thread to stop")
            yield
        finally:
            self.signal(signal.SIGCONT)

    def thread_states(self):
        for thread in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/stat" % (self.pid, thread), encoding="ascii") as f:
                yield f.read().rpartition(")")[2].split()[0]

    def wait(self, timeout=15):
        """The exit status; a process that does not end is killed and fails the test."""
        try:
            status = self.process.wait(seconds(timeout))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not exit within %.1f s:\n%s" % (seconds(timeout), self.log))
        self.reader.join(seconds(5))
        return status

    def stop(self, expect=0):
        if self.alive():
            self.signal(signal.SIGTERM)
        status = self.wait()
        assert status == expect, "exit status %d:\n%s" % (status, self.log)

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()

    def rss(self):
        """Resident bytes."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024

    def proc(self, name):
        """The path of what /proc has of it, or None: some is closed to everybody but root, for it is not
        dumpable."""
        path = "/proc/%d/%s" % (self.pid, name)
        return path if os.geteuid() == 0 or os.access(path, os.R_OK) else None

    def descriptors(self):
        """What the open descriptors point at."""
        out = []
        if not self.proc("fd"):
            pytest.skip("only root may see what a daemon has open")
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            try:
                out.append(os.readlink("/proc/%d/fd/%s" % (self.pid, fd)))
            except OSError:
                pass
        return out

    def count_descriptors(self):
        """How many are open: by /proc, or as it counts them itself (test_admin.py holds it to the truth)."""
        if self.proc("fd"):
            return len(self.descriptors())
        with Client(self.admin, seconds(15)) as c:
            text = c.request("GET", "/metrics").body.decode()
        return int(re.search(r"^process_open_fds (\d+)", text, re.M)[1])


def unused_port():
    """A port nobody listens on now: bound and closed, so that connecting is refused."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def timed(f, *args, **kw):
    start = time.monotonic()
    value = f(*args, **kw)
    return value, time.monotonic() - start
