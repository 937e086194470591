# SPDX-License-Identifier: Apache-2.0
"""exec: a command behind a proxy of its own. What it gets, what it never gets, how it ends."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys

import pytest

import daemon as daemons
import leaks
from checks import ECHO, assert_scope
from client import until
from daemon import BINARY, WRAPPER, clean_env, command, seconds

# A client with nothing but the standard library; GET(url, service) gives the status.
CLIENT = """
import http.client, json, os, signal, sys, urllib.parse, urllib.request
def GET(target, service="ecs", url=None):
    at = urllib.parse.urlsplit(url or os.environ["SIGFERRY_URL"])
    c = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    c.request("GET", target, headers={"X-Sigferry-Service": service} if service else {})
    r = c.getresponse()
    r.read()
    return r.status
"""


def python(code):
    return [sys.executable, "-c", CLIENT + code]


def run(path, *argv, args=(), **kw):
    return command("exec", "-c", path, *args, "--", *argv, **kw)


class Running:
    """An exec that is still under way. lines: of its standard output."""

    def __init__(self, path, *argv, args=(), env=None, **kw):
        self.process = subprocess.Popen(
            [*WRAPPER, BINARY, "exec", "-c", str(path), *args, "--", *argv], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=clean_env("/nonexistent", env), **kw)

    def line(self):
        return self.process.stdout.readline().strip()

    def daemon_pid(self):
        """The child that is not the command: it has a process group of its own."""
        def look():
            with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
                pids = [int(p) for p in f.read().split()]
            return next((p for p in pids if os.getpgid(p) == p), None)
        return until(look, seconds(10), "the daemon's process")

    def end(self):
        """(status, standard error)"""
        try:
            _, err = self.process.communicate(timeout=seconds(30))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        leaks.shown("what exec wrote", err)
        return self.process.returncode, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()  # not read to the end: what is left of it may hold them


def refused(url):
    """Nobody listens there any more."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


# -- requests ----------------------------------------------------------------------------------

def test_a_request_through_its_url(conf, upstream):
    r = run(conf(), *python("print(GET(%r))" % ECHO))
    assert (r.returncode, r.stdout, r.stderr) == (0, "200\n", ""), r
    assert_scope(upstream.one(), "ecs", "cn-beijing")
    assert upstream.one().verdict.access_key == daemons.ACCESS_KEY


def test_a_request_through_http_proxy(conf, upstream):
    r = run(conf(), "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
            "http://iam.volcengineapi.com" + ECHO,
            env={"http_proxy": "http://user:geheim@127.0.0.1:1", "HTTP_PROXY": "x"})
    assert (r.returncode, r.stdout) == (0, "200"), r
    assert_scope(upstream.one(), "iam", "cn-beijing")


def test_a_request_signed_with_the_dummy_keys(conf, upstream):
    """What an SDK does with the variables it is given; its scope says what is wanted."""
    sys_path = "import sys; sys.path.insert(0, %r)\n" % os.path.dirname(os.path.abspath(__file__))
    r = run(conf(), sys.executable, "-c", sys_path + """
import http.client, os, signer
e, P = os.environ, "VOLCENGINE_"
key = (e[P + "ACCESS_KEY"], e[P + "SECRET_KEY"], None)
assert e[P + "DISABLE_SSL"] == "true"
out = signer.sign("GET", "%s", [("Host", e[P + "ENDPOINT"])], b"", key, "vpc", e[P + "REGION"])
c = http.client.HTTPConnection(e[P + "ENDPOINT"], timeout=30)
c.request("GET", "%s", headers=dict(out.headers))
print(c.getresponse().status)
""" % (ECHO, ECHO))
    assert (r.returncode, r.stdout) == (0, "200\n"), r
    assert_scope(upstream.one(), "vpc", "cn-beijing")


def test_flags_come_before_the_command(conf, upstream):
    r = run(conf(), *python("print(GET(%r, None))" % ECHO),
            args=["-r", "cn-shanghai", "-s", "iam", "--profile", "second", "--workers", "2"])
    assert (r.returncode, r.stdout) == (0, "200\n"), r
    assert_scope(upstream.one(), "iam", "cn-shanghai")
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]
    # Its own options are not ours, also without "--".
    r = command("exec", "-c", conf(), "echo", "-c", "x", "--help")
    assert (r.returncode, r.stdout) == (0, "-c x --help\n"), r


def test_standard_input_and_output_are_the_commands(conf):
    r = run(conf(), "cat", input="as it is\n")
    assert (r.returncode, r.stdout, r.stderr) == (0, "as it is\n", "")


# -- the environment ---------------------------------------------------------------------------

SECRET_ENV = {
    "VOLCENGINE_ACCESS_KEY": "AKLTreal-one-of-volcengine", "VOLCENGINE_SECRET_KEY": "geheim-1",
    "VOLCENGINE_SESSION_TOKEN": "geheim-2", "VOLC_ACCESSKEY": "AKLTreal-older",
    "VOLC_SECRETKEY": "geheim-3", "BYTEPLUS_ACCESS_KEY": "AKAPreal-one-of-byteplus",
    "BYTEPLUS_SECRET_KEY": "geheim-4", "BYTEPLUS_SESSION_TOKEN": "geheim-5",
    "VOLCSTACK_ACCESS_KEY": "AKLTreal-oldest", "VOLCSTACK_SECRET_KEY": "geheim-6",
    "VOLCSTACK_SESSION_TOKEN": "geheim-7",
    "VOLCENGINE_OIDC_TOKEN_FILE": "/leads-there", "VOLCENGINE_PROFILE": "leads-there",
    "SIGFERRY_SECURITY_CLIENT_TOKENS": "", "SIGFERRY_PROFILES_SECOND_SECRET_KEY": "geheim-8",
    "HTTP_PROXY": "", "OTHER_TOKEN": "stays",
}
LEAK = re.compile(r"geheim|AKLTreal|AKAPreal|" + "|".join(map(re.escape, daemons.SECRETS)))


def test_no_key_reaches_the_command(conf):
    """Neither in its environment nor in that of the processes it can look at."""
    r = run(conf(), *python("""
import json
def environ(pid):
    try:
        return open("/proc/%s/environ" % pid, "rb").read().decode("latin-1")
    except PermissionError:
        return ""
parent = os.getppid()
family = open("/proc/%d/task/%d/children" % (parent, parent)).read().split()
print(json.dumps([dict(os.environ), len(family), environ(parent), *map(environ, family)]))
"""), env=SECRET_ENV)
    assert r.returncode == 0, r
    env, family, *environs = json.loads(r.stdout)
    assert family == 2, "the daemon and the command"
    if WRAPPER:  # it keeps a copy of what it started with
        environs = []
    found = LEAK.findall(json.dumps([env, *environs]) + r.stderr)
    assert not found, found
    url = env["SIGFERRY_URL"]
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", url)
    assert env["http_proxy"] == env["HTTP_PROXY"] == url
    for p in ("VOLCENGINE", "BYTEPLUS"):
        assert "http://" + env[p + "_ENDPOINT"] == url
    for p in ("VOLCENGINE", "BYTEPLUS", "VOLCSTACK"):
        assert env[p + "_ACCESS_KEY"] and env[p + "_SECRET_KEY"]
        assert p + "_SESSION_TOKEN" not in env
    assert env["VOLCENGINE_REGION"] == "cn-beijing" and env["OTHER_TOKEN"] == "stays"
    assert not [n for n, v in env.items() if "leads-there" in v]
    assert [n for n in env if n.startswith("SIGFERRY_")] == ["SIGFERRY_URL"]


def test_the_region_is_the_clouds(conf):
    r = run(conf(), "env", args=["--cloud", "byteplus", "-r", "ap-southeast-2"])
    assert "\nBYTEPLUS_REGION=ap-southeast-2\n" in "\n" + r.stdout, r
    assert "VOLCENGINE_REGION" not in r.stdout


def test_signals_and_descriptors_are_as_without_it(conf):
    """Nothing is left blocked, ignored or open that was not."""
    look = ["sh", "-c", "grep 'Sig[BI]' /proc/self/status; ls /proc/self/fd"]
    plain = subprocess.run(look, capture_output=True, stdin=subprocess.DEVNULL, text=True)
    assert "SigIgn" in plain.stdout
    assert run(conf(), *look).stdout == plain.stdout


# -- who may use it ----------------------------------------------------------------------------

@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_only_its_own_user_may_use_it(conf, upstream):
    with Running(conf(), *python("print(os.environ['SIGFERRY_URL'], flush=True)\n"
                                 "sys.stdin.read()")) as e:
        url = e.line()
        other = subprocess.run(python("os.setuid(12345)\nprint(GET(%r, url=%r))" % (ECHO, url)),
                               capture_output=True, text=True)
        own = subprocess.run(python("print(GET(%r, url=%r))" % (ECHO, url)),
                             capture_output=True, text=True)
        assert (other.stdout, own.stdout) == ("403\n", "200\n"), (other, own)
        assert e.end()[0] == 0
    upstream.one()


def test_a_configured_identity_stays(conf, upstream):
    path = conf(security={"client_tokens": ["the-token-of-the-tests"]})
    assert run(path, *python("print(GET(%r))" % ECHO)).stdout == "403\n"
    assert not upstream.requests


def test_a_listeners_policy_is_not_left_behind(conf, upstream, tmp_path):
    """The command's listener is another one: without a word nothing would restrict it."""
    path = conf(listen=({"address": "unix:%s" % (tmp_path / "s"), "policy": "ro"},),
                policies=({"name": "ro", "allow": ["iam:*"]},))
    show = python("print(GET(%r))" % ECHO)
    r = run(path, *show)
    assert r.returncode == 1 and "--set policy=ro" in r.stderr and not r.stdout, r
    assert run(path, *show, args=["--set", "policy=ro"]).stdout == "403\n"
    assert not upstream.requests
    assert run(path, *show, args=["--set", "policy="]).stdout == "200\n"


# -- the end -----------------------------------------------------------------------------------

@pytest.mark.parametrize("argv,status", [
    (["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 128 + 9),
    (["sh", "-c", "kill -TERM $$"], 128 + 15)], ids=["0", "7", "KILL", "TERM"])
def test_its_status_is_ours(conf, argv, status):
    assert run(conf(), *argv).returncode == status


def test_a_command_that_cannot_be_run(conf, tmp_path):
    # Of a directory on the path that is closed to us nobody could say what is in it.
    r = run(conf(), "sigferry-no-such-command", env={"PATH": "/usr/bin:/bin"})
    assert r.returncode == 127 and "sigferry-no-such-command: No such file" in r.stderr, r
    r = run(conf(), tmp_path / "sigferry.conf")
    assert r.returncode == 126 and "sigferry.conf: Permission denied" in r.stderr, r


def test_nothing_runs_without_a_proxy(conf, tmp_path):
    mark = tmp_path / "ran"
    r = command("exec", "-c", tmp_path / "nosuch.conf", "--", "touch", mark)
    assert r.returncode == 1 and "nosuch.conf" in r.stderr, r
    r = run(conf("regoin = \"x\";\n"), "touch", mark)
    assert r.returncode == 1 and "regoin" in r.stderr, r
    r = run(conf(mode=0o644), "touch", mark)
    assert r.returncode == 1 and "0644" in r.stderr, r
    r = run(conf(), "touch", mark, args=["--set", "tls.ca_file=%s" % os.devnull])
    assert r.returncode == 1 and "ca_file" in r.stderr, r
    assert not mark.exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors(conf, tmp_path, closed):
    """The pipe between the processes does not take their places, and the command finds them closed."""
    open_ones = tmp_path / "open"
    r = subprocess.run(["sh", "-c", 'exec "$0" "$@" ' + closed, *WRAPPER, BINARY, "exec", "-c", str(conf()), "--",
                        "sh", "-c", "ls /proc/$$/fd >" + str(open_ones)], env=clean_env("/nonexistent"),
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds(30))
    assert r.returncode == 0, r
    gone = {"<&-": "0", "2>&-": "2"}  # 1 is the list itself
    assert not {gone.get(c) for c in closed.split()} & set(open_ones.read_text().split())


def test_usage_errors(conf):
    for args in ([], ["--"], ["--nosuch", "--", "true"], ["-c"], ["-l", "127.0.0.1:1", "true"]):
        r = command("exec", *args)
        assert r.returncode == 2 and "exec" in r.stderr, r


def test_the_proxy_ends_with_the_command(conf):
    r = run(conf(), "sh", "-c", "echo $SIGFERRY_URL")
    assert r.returncode == 0 and refused(r.stdout.strip()), r


def test_requests_under_way_are_finished(conf, upstream, tmp_path):
    """A grandchild's, after the command itself is gone."""
    go = upstream.event()
    upstream.on("Late", lambda ex: (go.wait(), ex.reply(200, {})))
    code = tmp_path / "code"
    with Running(conf(), "sh", "-c", "curl -sS -o /dev/null -w '%%{http_code}' "
                 "-H 'X-Sigferry-Service: ecs' \"$SIGFERRY_URL/?Action=Late&Version=2020-04-01\" "
                 ">%s 2>/dev/null & read line" % code) as e:
        upstream.wait_request("Late")
        e.process.stdin.write("go on\n")
        e.process.stdin.flush()
        # Its output is let go of at once: who reads it waits for the command only.
        assert e.process.stdout.read() == ""
        assert e.process.poll() is None
        go.set()
        assert e.end()[0] == 0
        until(lambda: code.read_text() == "200", seconds(10), "curl's end")


# What a handler prints may come while "ready" is still being printed: os.write takes that.
HANDLER = """
def handler(n, _):
    os.write(1, b"%%d %%d\\n" %% (n, GET(%r)))
    sys.exit(5)
for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(n, handler)
os.write(1, b"ready\\n")
while True:
    signal.pause()
""" % ECHO


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1],
                         ids=lambda n: n.name)
def test_signals_are_the_commands(conf, upstream, number):
    """The proxy goes on serving while the command deals with them."""
    with Running(conf(), *python(HANDLER)) as e:
        assert e.line() == "ready"
        e.process.send_signal(number)
        assert e.line() == "%d 200" % number
        assert e.end()[0] == 5
    upstream.one()


def on_terminal(path, code, mark):
    """Runs it on a terminal, types Ctrl-C when it says ready, and sends SIGUSR1 once the terminal
    shows mark; returns what else it shows."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BINARY, [BINARY, "exec", "-c", str(path), "--", *python(code)],
                  clean_env("/nonexistent"))
    out, typed, sent = b"", False, False
    try:
        while True:
            out += os.read(fd, 1024)
            if b"ready" in out and not typed:
                typed = os.write(fd, b"\x03")
            if mark in out and not sent:
                sent = True
                os.kill(pid, signal.SIGUSR1)
    except OSError:  # the terminal is gone
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5, out
    return out


def test_a_terminals_interrupt(conf, upstream):
    """Ctrl-C reaches the command by the terminal, and the proxy not at all."""
    out = on_terminal(conf(), """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGUSR1])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
print("interrupted", GET(%r), flush=True)
signal.sigwait([signal.SIGUSR1])
sys.exit(5)
""" % ECHO, b"interrupted")
    assert b"interrupted 200" in out, out


def test_a_terminals_interrupt_is_not_sent_twice(conf):
    """What the terminal does not send to a command, as it left the foreground, nobody sends."""
    out = on_terminal(conf(), """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGUSR1])
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
os.setpgid(0, 0)
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1]) # passed on after what came before it
print("pending:", [int(n) for n in signal.sigpending()], flush=True)
sys.exit(5)
""", b"^C")
    assert b"pending: []" in out, out


def test_the_command_survives_the_proxy(conf):
    with Running(conf(), *python("print('ready', flush=True)\nsys.stdin.read()\nsys.exit(3)")) as e:
        assert e.line() == "ready"
        os.kill(e.daemon_pid(), signal.SIGKILL)
        assert "ended with status 137" in e.process.stderr.readline()
        assert e.end()[0] == 3


def test_the_proxy_does_not_survive_us(conf):
    with Running(conf(), *python("print(os.environ['SIGFERRY_URL'], flush=True)\n"
                                 "sys.stdin.read()")) as e:
        url = e.line()
        e.process.kill()
        until(lambda: refused(url), seconds(10), "the proxy's end")


def test_an_ignored_sigchld_loses_no_status(conf):
    with Running(conf(), "sh", "-c", "exit 9", preexec_fn=lambda: signal.signal(
            signal.SIGCHLD, signal.SIG_IGN)) as e:
        assert e.end()[0] == 9
