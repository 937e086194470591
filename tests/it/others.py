# SPDX-License-Identifier: Apache-2.0
"""Acting as another user, in another mount namespace: what needs root is skipped without it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

import daemon as daemons

NOBODY = 65534
USER, STRANGER = 42420, 42421  # need not exist

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")

# Under the unit's own filter (sandboxed.py) the daemon may neither give its socket to another group nor
# ask for TCP peers: the packaged unit grants by the socket unit's group, a drop-in allows the rest.
SANDBOXED = any("sandboxed.py" in w for w in daemons.WRAPPER)
not_sandboxed = pytest.mark.skipif(SANDBOXED, reason="the unit's sandbox denies chown and AF_NETLINK")


def sanitized():
    """A sanitizer's leak check wants to trace the process: what forbids that is left out, or fails."""
    with open(daemons.BINARY, "rb") as f:
        data = f.read()
    return b"__asan_init" in data or b"__tsan_init" in data


not_sanitized = pytest.mark.skipif(sanitized(), reason="not with a sanitizer's run-time")

ASK = r"""
import socket, sys
host, port, data = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
try:
    if port == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.connect(host)
    else:
        s = socket.create_connection((host, int(port)))
except OSError as e:
    print(type(e).__name__)
    sys.exit(0)
s.settimeout(20)
s.sendall(data)
out = b""
while True:
    try:
        more = s.recv(65536)
    except OSError:
        break
    if not more:
        break
    out += more
sys.stdout.buffer.write(out)
"""


def as_user(uid, *args, gid=None, groups=(), **kw):
    return subprocess.run([str(a) for a in args], user=uid, group=gid or uid, extra_groups=list(groups),
                          capture_output=True, timeout=daemons.seconds(30), cwd="/", **kw)


def ask(uid, address, headers=(), target="/?Action=Echo&Version=2020-04-01", gid=None, groups=()):
    """One GET as that user: the answer's first line, or the name of the exception at connect."""
    host, port = address if isinstance(address, tuple) else (address, "unix")
    name = "127.0.0.1:%s" % port if port != "unix" else "localhost"
    lines = ["GET %s HTTP/1.1" % target, "Host: " + name, "X-Sigferry-Service: ecs",
             "Connection: close", *("%s: %s" % h for h in headers)]
    data = ("\r\n".join(lines) + "\r\n\r\n").encode()
    run = as_user(uid, python(), "-c", ASK, host, str(port), data.hex(), gid=gid, groups=groups)
    out = run.stdout.decode("latin-1")
    return out.split("\r\n")[0].strip() or run.stderr.decode()


def python():
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def own_address():
    """An address of this machine that isn't loopback, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("no interface but loopback")
        address = s.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("no interface but loopback")
    return address


class Open:
    """A directory that other users can reach, unlike pytest's."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="sigferry-it-")
        os.chmod(self.path, 0o755)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


@pytest.fixture
def open_dir():
    d = Open()
    yield d
    d.remove()


def can_run_binary(uid):
    """The build may be where that user can't reach it."""
    try:
        return as_user(uid, daemons.BINARY, "--version").returncode == 0
    except OSError:
        return False


def own_hosts(monkeypatch, tmp_path, entries):
    """The daemon sees another /etc/hosts: names lead where a poisoned resolver would lead them."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join("%s %s\n" % e for e in entries))
    for flags in (["-m"], ["-rm"]):
        wrap = ["unshare", *flags, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
        if shutil.which("unshare") and subprocess.run(wrap + ["true"], capture_output=True).returncode == 0:
            monkeypatch.setattr(daemons, "WRAPPER", wrap + daemons.WRAPPER)
            return
    pytest.skip("no leave to make a mount namespace")
