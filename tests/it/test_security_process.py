# SPDX-License-Identifier: Apache-2.0
"""The process itself: secrets in nothing it writes or shows (T16), nothing forged in its log (T17),
an environment that changes nothing (T18), and the sandbox of its unit (T24)."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.parse

import pytest

import daemon as daemons
import leaks
import signer
from checks import ECHO, assert_error, assert_ok, target
from client import until
from hostile import lines, raw
from leaks import ALL_DEBUG
from others import not_sanitized

HERE = os.path.dirname(os.path.abspath(__file__))
UNIT = os.path.join(HERE, "..", "..", "systemd", "sigferry.service")
ONCE = ("X-Sigferry-Auto-Retry", "false")

# -- T16: canaries -----------------------------------------------------------------------------

SECRET, SESSION = "Q0FOQVJZLXNlY3JldC1rZXktMDAwMQ==", "CANARY-session/token+0002=="
CLIENT_TOKEN, LOCAL_SECRET, PROXY_PASSWORD = "CANARY-client-token-0003", "CANARY-local-secret-0004", "CANARYproxy0005"
WRONG_TOKEN = "CANARY-somebody-elses-token-0006"
KEY = ("AKLTcanary0000000001", SECRET, SESSION)
LOCAL = ("canary-app", LOCAL_SECRET, None)


def forms(secret):
    """A secret and what it looks like when something quotes, escapes or encodes it."""
    raw_bytes = secret.encode()
    out = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret),
           json.dumps(secret)[1:-1], secret.replace("/", "\\/"), base64.b64encode(raw_bytes).decode().rstrip("="),
           raw_bytes.hex(), secret[:len(secret) // 2 + 4], secret[-len(secret) // 2 - 4:]}
    return {f for f in out if len(f) > 10}


def assert_clean(text, where, but=()):
    data = text if isinstance(text, str) else text.decode("latin-1")
    for secret in (SECRET, SESSION, CLIENT_TOKEN, LOCAL_SECRET, PROXY_PASSWORD, WRONG_TOKEN):
        if secret in but:
            continue
        for form in forms(secret):
            assert form not in data, "%s in %s" % (secret, where)


@pytest.mark.parametrize("log_format", ["text", "json", "%(asctime)s %(levelname)s %(message)s"])
def test_no_canary_anywhere(daemon, make_upstream, tmp_path, log_format):
    """Everything on and everything tried; then all that was written or shown is searched."""
    u = make_upstream(keys={KEY[0]: (KEY[1], KEY[2])})
    u.allow_bad_signature = True
    log = tmp_path / "log"
    leaks.allow(SESSION)  # this test looks for itself, and knows where it may be
    d = daemon(
        _upstream=u, profiles={
            "default": {"provider": "static", "access_key": KEY[0], "secret_key": SECRET, "session_token": SESSION},
            "second": None, "token": None},
        security={"client_tokens": [CLIENT_TOKEN], "allow_presign": True,
                  "endpoint_overrides": ["alt.internal"]},
        clients=[{"name": "canary", "access_key": LOCAL[0], "secret_key": LOCAL_SECRET}],
        proxy={"http_proxy": "http://user:%s@127.0.0.1:9" % PROXY_PASSWORD, "no_proxy": "*"},
        log={"level": "debug", "format": log_format, "debug": ALL_DEBUG},
        policies=[{"name": "p", "mode": "record"}], policy="p",
        retry={"min_retry_delay_ms": 1, "num_max_retries": 1})
    auth = ("X-Sigferry-Token", CLIENT_TOKEN)
    answers = []

    def ask(*args, but=(), **kw):
        r = d.request(*args, **kw)
        answers.append((repr(r.headers) + r.body.decode("latin-1"), "answer to %s" % (args,), but))
        return r

    u.on("echo", lambda ex: ex.error(400, "InvalidParameter"))
    u.on("expired", lambda ex: ex.error(401, "ExpiredToken"))
    u.on("busy", lambda ex: ex.error(503, "Busy"))
    u.on("dead", lambda ex: ex.reset())
    u.on("odd", lambda ex: ex.send("nonsense\r\n\r\n") or ex.close())
    assert_ok(ask("GET", ECHO, [auth]))
    assert_ok(ask("POST", ECHO, [("Authorization", "Bearer " + CLIENT_TOKEN)], b'{"Password":"not-ours"}'))
    for key in ("echo", "expired", "busy", "dead", "odd"):
        ask("POST", target(key), [auth], b"{}")
    assert_ok(ask("GET", ECHO, [auth, ("X-Sigferry-Dry-Run", "true")]))
    assert_ok(ask("POST", ECHO, [auth, ("X-Sigferry-Dry-Run", "true"), ("Content-Type", "a/b")], b"x"))
    # a presigned link is worth nothing without the session token: only there it may appear
    assert_ok(ask("GET", ECHO, [auth, ("X-Sigferry-Presign", "true")], but=(SESSION,)))
    ask("GET", ECHO, [("X-Sigferry-Token", WRONG_TOKEN)])
    ask("GET", ECHO, [("Authorization", "Bearer " + WRONG_TOKEN)])
    ask("GET", ECHO, [auth, ("X-Sigferry-Tokens", WRONG_TOKEN)])
    ask("GET", ECHO, [auth, auth])
    ask("GET", ECHO, [auth, ("X-Security-Token", WRONG_TOKEN), ("Proxy-Authorization", "Basic " + WRONG_TOKEN)])
    ask("GET", ECHO, [auth, ("X-Sigferry-Scheme", "gopher")])
    ask("GET", ECHO, [auth, ("X-Sigferry-Endpoint", "evil.example")])
    ask("GET", ECHO + "&X-Security-Token=" + urllib.parse.quote(WRONG_TOKEN), [auth])
    ask("GET", "/\x7f", [auth])
    for key in (LOCAL, (LOCAL[0], "another-secret", None)):
        host = "127.0.0.1:%d" % d.port
        h = signer.sign("GET", ECHO, [("Host", host)], b"", key, "ecs", "cn-beijing").headers
        ask("GET", ECHO, h)
    for path in ("/", "/status", "/metrics", "/readyz", "/nothing"):
        with d.client(d.admin) as c:
            r = c.request("GET", path, [auth])
            answers.append((repr(r.headers) + r.body.decode("latin-1"), path, ()))
            r = c.request("GET", path, [("X-Sigferry-Token", WRONG_TOKEN)])
            answers.append((repr(r.headers) + r.body.decode("latin-1"), path, ()))
    d.reload()
    d.write(d.settings, "nonsense = %s;\n" % SECRET.replace("=", ""))  # its quotes forgotten
    mark = d.mark()
    d.signal(signal.SIGHUP)
    d.wait_log("reload", after=mark)
    until(lambda: "nonsense" in d.log or "stays" in d.log, what="the failed reload")
    for path in filter(None, map(d.proc, ("cmdline", "environ", "comm", "status"))):
        with open(path, "rb") as f:
            assert_clean(f.read(), path)
    d.stop()
    assert answers and u.requests
    for text, where, but in answers:
        assert_clean(text, where, but)
    assert "nonsense" in d.log
    assert_clean(d.log, "the log")
    for name in os.listdir(str(d.dir)):
        if name != "sigferry.conf":
            with open(os.path.join(str(d.dir), name), "rb") as f:
                assert_clean(f.read(), name)
    # upstream: the session token is sent, the rest is not
    for r in u.requests:
        assert_clean(r.head, "the upstream request", (SESSION,))


def test_commands_show_no_canary(tmp_path):
    leaks.allow(SESSION)
    conf = tmp_path / "c.conf"
    conf.write_text(daemons.config_text({
        "region": "cn-beijing", "profiles": {"default": {
            "provider": "static", "access_key": KEY[0], "secret_key": SECRET, "session_token": SESSION}},
        "security": {"client_tokens": [CLIENT_TOKEN]}, "proxy": {"https_proxy": "http://u:%s@h:1" % PROXY_PASSWORD},
        "clients": [{"name": "c", "access_key": LOCAL[0], "secret_key": LOCAL_SECRET}]}))
    conf.chmod(0o600)
    for args in (["check"], ["config"], ["credentials"], ["resolve", "ecs"]):
        run = daemons.command(*args[:1], "-c", conf, *args[1:])
        assert_clean(run.stdout + run.stderr, args[0])
    run = daemons.command("sign", "-c", conf, "--explain", "https://ecs.cn-beijing.volcengineapi.com/?Action=A")
    assert run.returncode == 0
    assert_clean(run.stderr, "sign's errors")
    assert_clean(run.stdout, "sign", (SESSION,))  # the header to add, which is what it is for


# -- T17: forged lines -------------------------------------------------------------------------

EVIL = ["\n", "\r\n", "\x1b[2J", "\x1b]0;x\x07", "\x00", "\x7f", "\x85", "\x9b31m", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x80\xa8", "\xc2\x85",
        "\xc2\x9b31m", '" level=error msg="x',
        "%s%n%x", "\\n", "\t"]


@pytest.mark.parametrize("log_format", ["text", "json", "%(asctime)s %(levelname)s %(message)s"])
def test_no_line_is_forged(daemon, upstream, log_format):
    d = daemon(log={"level": "debug", "format": log_format, "debug": ALL_DEBUG})
    mark = d.mark()
    for e in EVIL:
        quoted = urllib.parse.quote(e, safe="", encoding="latin-1")
        for data in (
                lines(d, "Connection: close", first="GET /?Action=A%sforged&Version=%s HTTP/1.1" % (quoted, quoted)),
                lines(d, "Connection: close", first="GET /%sforged HTTP/1.1" % quoted),
                lines(d, "User-Agent: a%sforged" % e, "traceparent: 00-a%sforged" % e, "Connection: close"),
                lines(d, "X-Sigferry-Profile: a%sforged" % e, "Connection: close"),
                lines(d, "X-Sigferry-A%sforged: x" % e, "Connection: close"),
                lines(d, "Origin: http://a%sforged" % e, "Connection: close"),
                lines(d, "Authorization: HMAC-SHA256 Credential=a%sforged/20260101/b/c/request" % e, "Connection: close"),
                lines(d, "Host: a%sforged" % e, "Connection: close", host=False),
                lines(d, "Connection: close", first="G%sforged / HTTP/1.1" % e),
                lines(d, "Content-Length: 5%sforged" % e, "Connection: close", first="POST / HTTP/1.1")):
            raw(d, data, 2)
    upstream.on("r", lambda ex: ex.reply(200, b"{}", [("X-Tt-Logid", "id\x1b[2J\x9bforged")]))
    d.request("GET", target("r"))
    d.stop()
    text = "\n".join(d.lines[mark:])
    assert text.count("forged") > 20, text[:1000]
    for line in d.lines[mark:]:
        assert not re.search("[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028-\u202e\u2066]", line.replace("\t", "")), repr(line)
        if log_format == "json":
            json.loads(line)
        elif log_format == "text":
            assert re.match(r'time=\S+ level=(error|warn|info|debug) msg="', line), repr(line)
            assert line.count(' level=') == line.count('\\" level=') + 1 or "level=error msg" not in line, repr(line)


# -- T18: the environment ----------------------------------------------------------------------

def traced(daemon, tmp_path, env, monkeypatch):
    """(what the daemon called while it started, served one request and ended; its threads). Without root
    strace can't look into a process that is not dumpable: what pointers lead to is missing then."""
    log = str(tmp_path / "trace")
    if not shutil.which("strace") or subprocess.run(["strace", "-o", log, "true"], capture_output=True).returncode:
        pytest.skip("no strace, or no leave to use it")
    monkeypatch.setattr(daemons, "WRAPPER", ["strace", "-D", "-f", "-o", log, "-e",
                                             "trace=openat,open,execve,execveat,clone,clone3,fork,vfork,"
                                             "connect,ptrace,kill"])
    d = daemon(_env=env)
    assert_ok(d.request())
    threads = set(map(int, os.listdir("/proc/%d/task" % d.pid)))
    d.stop()
    with open(log, encoding="latin-1") as f:
        return f.read(), threads


HIJACK = {"OPENSSL_CONF": "HIJACK/openssl.cnf", "OPENSSL_MODULES": "HIJACK/modules", "OPENSSL_ENGINES": "HIJACK/engines",
          "SSLKEYLOGFILE": "HIJACK/keys", "GNUTLS_KEYLOGFILE": "HIJACK/keys2", "CURL_HOME": "HIJACK/curl",
          "CURL_CA_BUNDLE": "HIJACK/bundle", "NETRC": "HIJACK/netrc", "HOSTALIASES": "HIJACK/aliases",
          "RESOLV_HOST_CONF": "HIJACK/host.conf", "LOCALDOMAIN": "hijack.example", "MALLOC_TRACE": "HIJACK/malloc"}


@not_sanitized
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can see which paths the daemon opens")
def test_files_named_by_the_environment_are_not_opened(daemon, upstream, tmp_path, monkeypatch):
    directory = tmp_path / "hijack"
    directory.mkdir()
    env = {k: v.replace("HIJACK", str(directory)) for k, v in HIJACK.items()}
    for name in ("openssl.cnf", "aliases", "netrc", "host.conf"):
        (directory / name).write_text("x\n")
    (directory / "curl").mkdir()
    (directory / "curl" / ".netrc").write_text("default login x password y\n")
    (directory / "curl" / ".curlrc").write_text("proxy = http://127.0.0.1:9\n")
    calls, _ = traced(daemon, tmp_path, env, monkeypatch)
    assert "/sigferry.conf" in calls and "/ca.pem" in calls, "paths can't be read in the trace"
    assert str(directory) not in calls, re.findall(".*hijack.*", calls)
    assert "netrc" not in calls and "curlrc" not in calls


@not_sanitized
def test_nothing_is_executed_and_nothing_forked(daemon, upstream, tmp_path, monkeypatch):
    calls, threads = traced(daemon, tmp_path, {}, monkeypatch)
    assert len(re.findall(r"execve(?:at)?\(", calls)) == 1  # strace's own start of it
    assert not re.search(r"\b(v?fork|ptrace)\(", calls)
    made = [int(n) for n in re.findall(r"clone3?(?:\(| resumed>).* = (\d+)", calls)]
    assert made and set(made) <= threads, (made, threads)


# -- T24: the sandbox --------------------------------------------------------------------------

def sandbox():
    wrapper = ["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3",
               os.path.join(HERE, "sandboxed.py"), os.path.abspath(UNIT)]
    if not os.path.exists(UNIT):
        pytest.skip("no unit file")
    if subprocess.run(wrapper + ["/bin/true"], capture_output=True).returncode != 0:
        pytest.skip("no systemd-analyze or libseccomp here")
    return wrapper


TRY = r"""
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
number = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
def call(name, f):
    try:
        r = f()
        print(name, "ok" if r is None or r >= 0 else "denied")
    except OSError:
        print(name, "denied")
call("read", lambda: os.getpid())
call("mount", lambda: libc.mount(b"x", b"/", b"x", 0, None))
call("ptrace", lambda: libc.ptrace(0, 0, 0, 0))
call("setuid", lambda: libc.setuid(os.getuid()))
call("chown", lambda: os.chown("/tmp", -1, -1))
call("chroot", lambda: os.chroot("/"))
call("keyctl", lambda: libc.syscall(number(b"keyctl"), 0, -3, 0))
call("bpf", lambda: libc.syscall(number(b"bpf"), 0, 0, 0))
call("kexec", lambda: libc.syscall(number(b"kexec_load"), 0, 0, 0, 0))
call("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
call("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())
call("inet", lambda: socket.socket().close())
libc.mmap.restype = ctypes.c_void_p
call("wx", lambda: -1 if libc.mmap(None, 4096, 7, 0x22, -1, 0) == 2**64 - 1 else 0)
call("userfaultfd", lambda: libc.syscall(number(b"userfaultfd"), 0))
"""


def test_the_filter_is_the_units(tmp_path):
    """What a taken-over process would try first is denied, what the daemon needs is not."""
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else shutil.which("python3")
    run = subprocess.run(sandbox() + [python, "-c", TRY], capture_output=True, text=True)
    got = dict(line.split() for line in run.stdout.splitlines())
    assert {n for n, v in got.items() if v == "ok"} == {"read", "inet"}, (got, run.stderr)


@not_sanitized
def test_the_daemon_works_in_its_sandbox(daemon, upstream, monkeypatch, tmp_path):
    """TLS upstream, spooled bodies, Unix and TCP listeners, reload, log file, drain."""
    monkeypatch.setattr(daemons, "WRAPPER", sandbox())
    path = str(tmp_path / "sock")
    d = daemon(_listeners=2, workers=2,
               listen=[{"address": "127.0.0.1:0"}, {"address": "unix:" + path, "mode": "0660"}],
               limits={"body_memory": "4K"})
    for _ in range(3):
        assert_ok(d.request())
        assert_ok(d.request("POST", ECHO, body=b"x" * 100000))
        assert_ok(d.request("GET", ECHO, address=path))
    assert_error(d.request("GET", ECHO, [("Origin", "null")]), 403, "OriginNotAllowed")
    d.reload()
    d.signal(signal.SIGUSR1)
    assert_ok(d.request())
    with d.client(d.admin) as c:
        assert c.request("GET", "/metrics").status == 200
    with open("/proc/%d/status" % d.pid, encoding="ascii") as f:
        status = f.read()
    assert re.search(r"Seccomp:\s+2", status) and re.search(r"NoNewPrivs:\s+1", status)
    d.stop()
    assert not os.path.exists(path)


def test_the_units_exposure():
    if not shutil.which("systemd-analyze") or not os.path.exists(UNIT):
        pytest.skip("no systemd-analyze, or no unit file")
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=12", "--no-pager", UNIT],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-400:] + run.stderr
