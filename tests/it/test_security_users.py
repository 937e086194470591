# SPDX-License-Identifier: Apache-2.0
"""Other users of the machine, other machines: what a listener asks of its peers, what a file with
secrets must look like, what of the process other processes can read (T3, T4, T14, T15)."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok
from client import until
from others import (NOBODY, STRANGER, USER, as_user, ask, can_run_binary, needs_root,  # noqa: F401
                    not_sandboxed, not_sanitized, open_dir, own_address, python)

OK, NO = "HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden"


# -- T4: other users of the machine ------------------------------------------------------------

@needs_root
def test_a_private_socket_keeps_others_out_by_its_mode(daemon, upstream, open_dir):
    path = open_dir / "sock"
    d = daemon(listen=["unix:" + path])
    for uid in (NOBODY, USER):
        assert ask(uid, path) == "PermissionError"
    assert_ok(d.request("GET", ECHO, address=path))
    assert len(upstream.requests) == 1


@needs_root
def test_an_open_socket_keeps_others_out_by_their_uid(daemon, upstream, open_dir):
    path = open_dir / "sock"
    d = daemon(listen=[{"address": "unix:" + path, "mode": "0666", "allowed_uids": [USER]}])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    for uid, want in ((USER, OK), (STRANGER, NO), (NOBODY, NO)):
        assert ask(uid, path) == want, uid
    assert_error(d.request("GET", ECHO, address=path), 403, "ClientNotAllowed")  # not even root
    # nothing that is sent stands for a uid
    assert ask(STRANGER, path, [("Authorization", "Bearer %d" % USER), ("X-Forwarded-User", "root")]) == NO
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("where", ["listener", "security"])
def test_nobody_is_never_an_allowed_user(daemon, where):
    """uid 65534 is what every foreign user looks like inside a user namespace."""
    rule = {"allowed_uids": [NOBODY]}
    d = daemon(_ready=False, security=rule) if where == "security" else daemon(
        _ready=False, listen=[dict({"address": "127.0.0.1:0"}, **rule)])
    d.exit_status = 1
    assert d.wait() == 1 and "65534" in d.log


@needs_root
def test_groups(daemon, upstream, open_dir):
    path = open_dir / "sock"
    daemon(listen=[{"address": "unix:" + path, "mode": "0666", "allowed_gids": [50500]}])
    assert ask(STRANGER, path, gid=50500) == OK
    assert ask(STRANGER, path, gid=STRANGER) == NO


@needs_root
@not_sandboxed
def test_a_socket_given_to_a_group(daemon, upstream, open_dir):
    path = open_dir / "sock"
    daemon(listen=[{"address": "unix:" + path, "mode": "0660", "group": "50500"}])
    info = os.stat(path)
    assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o660, 50500)
    assert ask(STRANGER, path) == "PermissionError"
    assert ask(STRANGER, path, groups=[50500]) == OK


@needs_root
@not_sandboxed
def test_allowed_uids_on_loopback_tcp(daemon, upstream):
    d = daemon(security={"allowed_uids": [USER]})
    for uid, want in ((USER, OK), (STRANGER, NO), (NOBODY, NO)):
        assert ask(uid, d.address) == want, uid
    assert_error(d.request("GET", ECHO), 403, "ClientNotAllowed")
    assert len(upstream.requests) == 1


@needs_root
@not_sandboxed
def test_allowed_uids_on_ipv6(daemon, upstream):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no ::1 here")
    d = daemon(listen=["[::1]:0"], security={"allowed_uids": [USER]})
    assert "403" in ask(STRANGER, d.addresses()[0]).split()
    assert "200" in ask(USER, d.addresses()[0]).split()


@needs_root
@not_sandboxed
def test_the_uid_is_looked_up_per_connection_not_per_port(daemon, upstream):
    """A stranger who gets the port of an allowed user's closed connection is still a stranger."""
    d = daemon(security={"allowed_uids": [USER]})
    port = daemons.unused_port()
    code = ("import socket,sys\ns=socket.socket()\ns.setsockopt(1,2,1)\ns.bind(('127.0.0.1',%d))\n"
            "s.connect(('127.0.0.1',%d))\ns.sendall(b'GET /?Action=Echo HTTP/1.1\\r\\nHost: localhost:%d"
            "\\r\\nX-Sigferry-Service: ecs\\r\\nConnection: close\\r\\n\\r\\n')\nprint(s.recv(12).decode())\n"
            "s.setsockopt(1,13,b'\\1\\0\\0\\0\\0\\0\\0\\0')" % (port, d.port, d.port))
    for uid, want in ((USER, b"200"), (STRANGER, b"403"), (USER, b"200"), (STRANGER, b"403")):
        run = as_user(uid, python(), "-c", code)
        assert want in run.stdout, (uid, run)


@needs_root
@not_sandboxed
def test_the_admin_address_follows_the_same_uids(daemon, upstream):
    d = daemon(security={"allowed_uids": [USER]})
    for path, uid, want in (("/status", USER, OK), ("/status", STRANGER, NO), ("/metrics", STRANGER, NO),
                            ("/", STRANGER, NO), ("/healthz", STRANGER, OK), ("/readyz", STRANGER, OK)):
        assert ask(uid, d.admin, target=path) == want, (path, uid)


@needs_root
def test_a_dead_socket_of_another_user_is_left_alone(daemon, open_dir):
    path = open_dir / "sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    os.chown(path, STRANGER, STRANGER)
    d = daemon(_ready=False, listen=["unix:" + path])
    d.exit_status = 1
    assert d.wait() == 1 and path in d.log and str(STRANGER) in d.log
    assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_a_symbolic_link_in_place_of_the_socket_stays(daemon, open_dir):
    path, other = open_dir / "sock", open_dir / "other"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(other)
    os.symlink(other, path)
    d = daemon(_ready=False, listen=["unix:" + path])
    d.exit_status = 1
    assert d.wait() == 1 and os.path.islink(path) and os.path.exists(other)


def test_the_socket_never_shows_wider_permissions(daemon, open_dir, monkeypatch):
    """Bound under a umask: there is no moment at which the file is open and the mode not set."""
    log = open_dir / "trace"
    if not shutil.which("strace") or subprocess.run(["strace", "-o", log, "true"]).returncode:
        pytest.skip("no strace, or no leave to use it")
    monkeypatch.setattr(daemons, "WRAPPER", ["strace", "-f", "-o", log, "-e", "trace=umask,bind,chmod"])
    d = daemon(listen=[{"address": "unix:" + (open_dir / "sock"), "mode": "0600"}])
    d.exit_status = None
    os.kill(child_of(d.pid), signal.SIGTERM)
    d.process.wait(daemons.seconds(15))
    with open(log, encoding="latin-1") as f:
        calls = f.read()
    # Without root strace does not see the address, only its length: those of other families have up to 28.
    lengths = [(int(m[1]), m.start()) for m in re.finditer(r"bind\(\d+, [^\n]*, (\d+)\) += 0", calls)]
    at = next(start for length, start in lengths if length > 28)
    before = re.findall(r"umask\((\d+)\)", calls[:at])
    assert before and before[-1] == "0177", calls


def child_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
        return int(f.read().split()[0])


# -- T3: other machines ------------------------------------------------------------------------

@pytest.mark.parametrize("address,says", [
    ("0.0.0.0:0", "allow_remote"), ("[::]:0", "allow_remote"), ("192.0.2.1:8750", "allow_remote"),
    ("*:0", "not an address")])
def test_no_wildcard_without_leave(daemon, address, says):
    d = daemon(_ready=False, listen=[address])
    d.exit_status = 1
    assert d.wait() == 1 and not d.addresses()
    assert says in d.log, d.log


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
@pytest.mark.parametrize("identity", [
    {}, {"security": {"allowed_uids": [0]}}, {"security": {"allowed_hosts": ["proxy.internal"]}}])
def test_leave_alone_is_not_enough(daemon, address, identity):
    """Uids say nothing about other machines: a remote listener wants keys or tokens."""
    over = daemons.merge(identity, {"security": {"allow_remote": True}})
    d = daemon(_ready=False, listen=[address], **over)
    d.exit_status = 1
    assert d.wait() == 1 and "client_tokens" in d.log and not d.addresses()


def test_the_admin_address_needs_the_same(daemon):
    d = daemon(_ready=False, admin={"listen": "0.0.0.0:0"}, security={"allow_remote": True})
    d.exit_status = 1
    assert d.wait() == 1 and "admin.listen" in d.log


def test_a_remote_listener_with_a_token(daemon, upstream):
    ip, token = own_address(), "t0ken-" * 6
    d = daemon(listen=["0.0.0.0:0"], security={"allow_remote": True, "client_tokens": [token],
                                               "allowed_hosts": ["proxy.internal"]})
    there = (ip, d.port)
    mine = [("X-Sigferry-Token", token)]
    for host, headers, want in (
            ("proxy.internal:%d" % d.port, mine, 200), ("proxy.internal:%d" % d.port, [], 403),
            ("0.0.0.0:%d" % d.port, mine, 403), ("evil.example:%d" % d.port, mine, 403),
            ("localhost:%d" % d.port, mine, 200), ("localhost:%d" % d.port, [], 403)):
        assert d.request("GET", ECHO, headers, host=host, address=there).status == want, (host, headers)
    assert len(upstream.requests) == 2


def test_a_loopback_listener_is_not_reachable_from_outside(shared):
    """The socket is bound to the loopback address itself."""
    ip = own_address()
    with pytest.raises(OSError):
        socket.create_connection((ip, shared.port), timeout=2)


# -- T14: files --------------------------------------------------------------------------------

def keyfile(path, mode=0o600):
    with open(path, "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), mode)
        f.write("access_key = %s\nsecret_key = %s\n" % daemons.SECOND_KEY)
    return path


def with_key(daemon, path, **kw):
    return daemon(profiles=None, _ready=False, _text=
                  'profiles = { default = { provider = "file"; file = "%s"; }; };\n' % path, **kw)


@pytest.mark.parametrize("kind", ["0644", "0640", "0604", "0660", "fifo", "directory", "link to 0644",
                                  "device"])
def test_a_key_file_that_others_can_read_or_that_is_none(daemon, upstream, tmp_path, kind):
    path = str(tmp_path / "keys")
    if kind.startswith("0"):
        keyfile(path, int(kind, 8))
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "directory":
        os.mkdir(path, 0o700)
    elif kind == "device":
        path = "/dev/zero"
    else:
        keyfile(str(tmp_path / "target"), 0o644)
        os.symlink(str(tmp_path / "target"), path)
    d = with_key(daemon, path)
    d.exit_status = None
    d.wait_log(r" serves |level=error", timeout=10)
    if d.alive() and d.addresses():
        r = d.request("GET", ECHO)
        assert_error(r, 503, "CredentialsUnavailable", os.path.basename(path))
    else:
        assert d.wait() == 1
    assert os.path.basename(path) in d.log and daemons.SECOND_KEY[1] not in d.log
    assert upstream.requests == []


@needs_root
@pytest.mark.parametrize("owner,good", [(0, True), (STRANGER, False)])
def test_a_key_file_of_another_owner(daemon, upstream, tmp_path, owner, good):
    path = keyfile(str(tmp_path / "keys"))
    os.chown(path, owner, owner)
    d = with_key(daemon, path)
    d.exit_status = None
    d.wait_ready()
    r = d.request("GET", ECHO)
    assert r.status == (200 if good else 503), r


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_configuration_with_secrets_that_others_can_read(daemon, mode):
    d = daemon(_ready=False, _mode=mode)
    d.exit_status = 1
    assert d.wait() == 1 and "sigferry.conf" in d.log
    for secret in daemons.SECRETS:
        assert secret not in d.log


# -- T15: memory of the process ----------------------------------------------------------------

READ_MEMORY = r"""
import os, sys
pid = sys.argv[1]
for name in ("mem", "environ", "maps", "auxv"):
    try:
        with open("/proc/%s/%s" % (pid, name), "rb") as f:
            if name == "mem":
                print(name, "opened")
            else:
                print(name, len(f.read(100)))
    except OSError as e:
        print(name, type(e).__name__)
try:
    os.readlink("/proc/%s/fd/0" % pid)
    print("fd opened")
except OSError as e:
    print("fd", type(e).__name__)
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("ptrace", libc.ptrace(16, int(pid), 0, 0))
"""


@needs_root
@not_sanitized
def test_the_same_user_cannot_read_the_memory(daemon, upstream, open_dir, monkeypatch):
    if not can_run_binary(USER):
        pytest.skip("the binary is where another user can't run it")
    sub = open_dir / "d"
    os.mkdir(sub)
    monkeypatch.setattr(daemons, "WRAPPER", [
        "sh", "-c", 'chown -R %d "$0" && exec setpriv --reuid=%d --regid=%d --clear-groups "$@"'
        % (USER, USER, USER), sub, *daemons.WRAPPER])
    d = daemon(_ready=False, _directory=sub, tls=None, connect_to=None)
    d.wait_ready()
    until(lambda: int(re.search(r"Uid:\s+(\d+)", open("/proc/%d/status" % d.pid).read())[1]) == USER)
    seen = as_user(USER, python(), "-c", READ_MEMORY, d.pid).stdout.decode()
    assert seen.splitlines() == [
        "mem PermissionError", "environ PermissionError", "maps PermissionError",
        "auxv PermissionError", "fd PermissionError", "ptrace -1"], seen
    # the same against a process that does not defend itself
    with subprocess.Popen(["sleep", "60"], user=USER, group=USER, extra_groups=[]) as victim:
        control = as_user(USER, python(), "-c", READ_MEMORY, victim.pid).stdout.decode()
        victim.kill()
    if "mem opened" not in control:
        pytest.skip("this kernel forbids it for every process (ptrace_scope)")
    if shutil.which("gcore"):
        run = as_user(USER, shutil.which("gcore"), "-o", open_dir / "core", d.pid)
        assert run.returncode != 0 and not [n for n in os.listdir(open_dir.path) if n.startswith("core")]


def test_a_crash_leaves_no_core(daemon, upstream, tmp_path):
    d = daemon(_cwd=str(tmp_path))
    d.exit_status = None
    assert_ok(d.request())
    d.signal(signal.SIGSEGV)
    status = d.process.wait(daemons.seconds(10))
    if status not in (-signal.SIGSEGV, 128 + signal.SIGSEGV):
        assert daemons.instrumented(), status
    assert os.listdir(str(tmp_path)) == []


def test_the_process_is_not_dumpable(shared):
    """What the kernel shows of it belongs to root then, whoever runs it."""
    limits = open("/proc/%d/limits" % shared.pid, encoding="ascii").read()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)
    assert os.stat("/proc/%d/mem" % shared.pid).st_uid == 0


# -- sockets handed over -----------------------------------------------------------------------

HAND_OVER = r"""
import os, socket, sys
s = socket.create_server((sys.argv[1], 0))
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="proxy")
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def handed(daemon, monkeypatch):
    """handed(address, …): a daemon whose socket the service manager opened."""
    def start(address, **kw):
        # what sets LISTEN_PID must be the process that becomes the daemon
        wrapper = [python(), "-c", HAND_OVER, address, *daemons.WRAPPER]
        if daemons.WRAPPER and shutil.which(daemons.WRAPPER[0]) != daemons.WRAPPER[0]:
            pytest.skip("this wrapper is not started by its path")
        monkeypatch.setattr(daemons, "WRAPPER", wrapper)
        monkeypatch.setattr(daemons, "BINARY", os.path.abspath(daemons.BINARY))
        return daemon(listen=["systemd"], **kw)
    return start


@pytest.mark.parametrize("security", [
    {}, {"allow_remote": True}, {"allow_remote": True, "allowed_uids": [0]}, {"client_tokens": ["t" * 32]}])
def test_an_inherited_socket_open_to_all_needs_leave_and_identity(handed, security):
    """The configuration says "systemd" and does not show where that listens."""
    d = handed("0.0.0.0", _ready=False, security=security)
    d.exit_status = 1
    assert d.wait() == 1 and "allow_remote" in d.log and not d.addresses(), d.log


def test_an_inherited_socket_with_both(handed, upstream):
    token = "t" * 32
    security = {"allow_remote": True, "client_tokens": [token], "allowed_hosts": ["localhost"]}
    d = handed("0.0.0.0", security=security)
    there = ("127.0.0.1", d.port)
    host = "localhost:%d" % d.port
    assert_error(d.request("GET", ECHO, host=host, address=there), 403, "ClientNotAllowed")
    assert_ok(d.request("GET", ECHO, [("X-Sigferry-Token", token)], host=host, address=there))
    # a reload can't take the identity away
    mark = d.mark()
    d.write(daemons.merge(d.settings, {"security": {"client_tokens": None}}))
    d.signal(signal.SIGHUP)
    d.wait_log("client_tokens", after=mark)
    assert_error(d.request("GET", ECHO, host=host, address=there), 403, "ClientNotAllowed")
    assert len(upstream.requests) == 1
