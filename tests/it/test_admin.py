# SPDX-License-Identifier: Apache-2.0
"""The admin address of the real binary: health, readiness, metrics, status, page, quit; and the
commands wait and quit that ask it."""

import json
import os
import pty
import re
import socket
import subprocess
import threading

import pytest

import daemon as daemons
from client import Client, until
from daemon import command, seconds, timed

FAMILY = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)")
SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def ask(d, path, method="GET", headers=(), host=True):
    with Client(d.admin, seconds(15)) as c:
        return c.request(method, path, headers, host=host)


def samples(text):
    """{(name, frozenset of label pairs): value}, after checking the exposition format."""
    out, family, kind = {}, None, None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        m = FAMILY.fullmatch(line)
        if m and m[1] == "HELP":
            assert m[2] != family
            family, kind = m[2], None
        elif m:
            assert m[2] == family and kind is None and m[3] in ("counter", "gauge", "histogram"), line
            kind = m[3]
        else:
            m = SAMPLE.fullmatch(line)
            assert m and kind, line
            suffix = m[1][len(family):]
            assert m[1].startswith(family), line
            assert suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",)), line
            key = (m[1], frozenset(LABEL.findall(m[2] or "")))
            assert key not in out, "twice: " + line
            out[key] = float(m[3])
    return out


def total(values, name, **labels):
    return sum(v for (n, l), v in values.items() if n == name and set(labels.items()) <= l)


def test_health_readiness_and_their_shape(shared):
    for path in ("/healthz", "/livez"):
        r = ask(shared, path)
        assert r.status == 200 and r.json == {"alive": True}
    r = ask(shared, "/readyz")
    assert r.status == 200 and r.json == {"ready": True}
    r = ask(shared, "/nothing")
    assert r.status == 404 and r.error == "NotFound"
    assert r.json["ResponseMetadata"]["Error"]["Code"] == "Sigferry.NotFound"
    r = ask(shared, "/metrics", "POST")
    assert r.status == 405 and r.get("Allow") == "GET, HEAD"
    r = ask(shared, "/metrics", "HEAD")
    assert r.status == 200 and int(r.get("Content-Length")) > 1000 and r.body == b""


def test_a_refusal_does_not_wait_for_a_body_that_does_not_come(shared):
    with Client(shared.admin, seconds(15)) as c:
        c.send(c.head("POST", "/status", [("Content-Length", "100")]))
        r = c.response()
        assert r.status == 405 and r.get("Allow") == "GET, HEAD"


def test_not_ready_without_a_credential(daemon):
    d = daemon(profiles=daemons.Raw('{ default = { provider = "file"; file = "/nonexistent/key"; }; }'))
    r = ask(d, "/readyz")
    assert r.status == 503 and r.get("Retry-After")
    assert r.json["ready"] is False and "/nonexistent/key" in r.json["reason"]
    assert ask(d, "/healthz").status == 200
    run = command("wait", "--admin", "%s:%d" % d.admin, "--timeout", "0.2")
    assert run.returncode == 1 and "/nonexistent/key" in run.stderr


def test_status_tells_all_that_is_missing(daemon):
    """As /readyz does, however much that is."""
    names = ["p%d" % i for i in range(8)]
    d = daemon(profiles=daemons.Raw(daemons.value_text(
        {n: {"provider": "file", "file": "/nonexistent/%s/%s" % ("x" * 100, n)} for n in ["default"] + names})),
        routes=[{"prefix": "/" + n, "service": "ecs", "profile": n} for n in names])
    reason = ask(d, "/readyz").json["reason"]
    assert all("profile %s: " % n in reason for n in names) and len(reason) > 1000
    assert ask(d, "/status").json["reason"] == reason


def test_readiness_and_metrics_know_every_profile(daemon):
    static = {"provider": "static", "access_key": "AKLTmany", "secret_key": "x" * 20}
    many = {"p%d" % i: static for i in range(99)}
    d = daemon(profiles=daemons.Raw(daemons.value_text(
        many | {"default": {"provider": "file", "file": "/nonexistent/key"}})))
    assert ask(d, "/readyz").status == 503
    usable = {dict(l)["profile"]: v for (n, l), v in samples(ask(d, "/metrics").body.decode()).items()
              if n == "sigferry_credential_usable"}
    assert usable == dict.fromkeys(many, 1) | {"default": 0}


def test_metrics_count_requests(daemon):
    d = daemon(workers=2)
    for _ in range(3):
        assert d.request().status == 200
    assert d.request(service=None).status == 400

    def counted():
        values = samples(ask(d, "/metrics").body.decode())
        done = total(values, "sigferry_requests_total", service="ecs", region="cn-beijing",
                     code="200")
        assert done <= 3
        return values if done == 3 else None
    values = until(counted, seconds(10))  # a request counts once its answer is out
    assert total(values, "sigferry_rejected_total", reason="MissingService") == 1
    assert total(values, "sigferry_request_duration_seconds_count") >= 3
    assert total(values, "sigferry_request_duration_seconds_bucket", le="+Inf") == \
        total(values, "sigferry_request_duration_seconds_count")
    assert total(values, "sigferry_credential_refresh_total", profile="default", result="ok") >= 1
    assert total(values, "sigferry_workers") == 2
    assert any(n == "sigferry_build_info" and dict(l)["version"] for n, l in values)


def test_the_open_descriptors_are_counted(shared):
    """Two more are open while they are counted: this question's connection and the directory read."""
    values = samples(ask(shared, "/metrics").body.decode())
    assert total(values, "process_open_fds") == pytest.approx(len(shared.descriptors()), abs=5)


def test_status_and_page_hold_no_secret(shared):
    r = ask(shared, "/status")
    status = r.json
    assert status["ready"] is True and status["version"]
    assert status["config"]["keys"]["region"]["value"] == "cn-beijing"
    assert {c["profile"] for c in status["credentials"]} == set(daemons.ALL_PROFILES)
    assert json.loads(r.body)["listeners"]
    page = ask(shared, "/")
    assert page.get("Content-Type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.get("Content-Security-Policy")
    assert page.get("Cache-Control") == "no-store"
    for text in (r.body.decode(), page.body.decode(), ask(shared, "/metrics").body.decode()):
        for secret in (*daemons.SECRETS, daemons.ACCESS_KEY):
            assert secret not in text


@pytest.mark.parametrize("headers,host", [
    ([("Origin", "http://evil.test")], True), ([("Sec-Fetch-Site", "cross-site")], True),
    ([("Referer", "http://evil.test/")], True), ([], "evil.test"), ([], "localhost:1")])
def test_strangers_learn_nothing(shared, headers, host):
    for path in ("/", "/metrics", "/status", "/nothing"):
        assert ask(shared, path, headers=headers, host=host).status == 403
    for path in ("/healthz", "/livez", "/readyz"):
        assert ask(shared, path, headers=headers, host=host).status == 200


def test_a_person_may_look(shared):
    for headers in ([("Sec-Fetch-Site", "none")],
                    [("Sec-Fetch-Site", "same-origin"), ("Referer", "http://localhost/")]):
        assert ask(shared, "/status", headers=headers).status == 200


def test_tokens_hold_for_the_admin_address_too(daemon):
    token = "0123456789abcdef0123456789abcdef"
    d = daemon(security={"client_tokens": [token]})
    assert ask(d, "/readyz").status == 200
    assert ask(d, "/metrics").error == "ClientNotAllowed"
    assert ask(d, "/metrics", headers=[("Authorization", "Bearer " + token)]).status == 200
    assert ask(d, "/metrics", headers=[("Authorization", "Bearer x" + token)]).status == 403


def test_wait_until_ready(daemon):
    d = daemon()
    address = "%s:%d" % d.admin
    run = command("wait", "--admin", address)
    assert run.returncode == 0, run
    port = daemons.unused_port()
    run, took = timed(command, "wait", "--admin", "127.0.0.1:%d" % port, "--timeout", "0.3")
    assert run.returncode == 1 and "refused" in run.stderr and took >= 0.3


def test_wait_gives_up_on_who_never_answers(daemon):
    with socket.create_server(("127.0.0.1", 0)) as s:
        address = "127.0.0.1:%d" % s.getsockname()[1]
        run, took = timed(command, "wait", "--admin", address, "--timeout", "0.2")
        assert run.returncode == 1 and took < seconds(5)


def answers(text, ask):
    """What somebody else who listens at the admin address is asked, and what ask(address) gave."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        heard = []

        def serve():
            c, _ = s.accept()
            with c:
                while b"\r\n\r\n" not in b"".join(heard):
                    heard.append(c.recv(4096))
                c.sendall(text)
        t = threading.Thread(target=serve, daemon=True)
        t.start()
        run = ask("127.0.0.1:%d" % s.getsockname()[1])
        t.join(seconds(5))
        return b"".join(heard), run


def test_waiting_tells_no_token(tmp_path):
    """Who listens there before the daemon does learns nothing."""
    path = tmp_path / "c.conf"
    path.write_text('security = { client_tokens = ["0123456789abcdef0123456789abcdef"]; };\n')
    path.chmod(0o600)
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    heard, run = answers(ok, lambda a: command("wait", "-c", path, "--admin", a))
    assert run.returncode == 0 and heard.startswith(b"GET /readyz ") and b"0123456789" not in heard
    heard, run = answers(ok, lambda a: command("quit", "-c", path, "--admin", a))
    assert run.returncode == 0 and b"X-Sigferry-Token: 0123456789" in heard


@pytest.mark.parametrize("which", ["wait", "quit"])
def test_an_answer_does_not_steer_the_terminal(which):
    body = b'{"reason":"a\x1b]0;b\x07\x7fc"}'
    text = b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    args = ["--timeout", "0"] if which == "wait" else []
    _, run = answers(text, lambda a: command(which, *args, "--admin", a))
    assert run.returncode == 1 and run.stderr.endswith(": a ]0;b  c\n"), run


@pytest.mark.parametrize("args", [["--timeout", "soon"], ["--timeout", "-1"], ["--timeout", "nan"],
                                  ["extra"]])
def test_wait_usage(args):
    assert command("wait", *args).returncode == 2


def test_wait_without_an_admin_address():
    run = command("wait", "--admin", "")
    assert run.returncode == 1 and "admin.listen" in run.stderr


def test_quit_is_off_by_default(shared):
    run = command("quit", "--admin", "%s:%d" % shared.admin)
    assert run.returncode == 1 and "allow_quit" in run.stderr
    assert ask(shared, "/quitquitquit", "POST").status == 403
    assert shared.alive()


def test_quit_drains(daemon, upstream):
    token = "0123456789abcdef0123456789abcdef"
    d = daemon(admin={"allow_quit": True}, security={"client_tokens": [token]})
    assert ask(d, "/quitquitquit", "POST").status == 403  # no token
    assert ask(d, "/quitquitquit").status in (403, 405)
    page = [("X-Sigferry-Token", token), ("Origin", "http://127.0.0.1:%d" % d.admin[1])]
    assert ask(d, "/quitquitquit", "POST", page).status == 403
    assert d.alive()
    run = command("quit", "--admin", "%s:%d" % d.admin, "-c", d.path)
    assert run.returncode == 0, run
    assert d.wait() == 0


def test_quit_shows_a_local_key_where_there_is_no_token(daemon):
    secret = "local-secret-key-of-the-tests-0001"
    d = daemon(admin={"allow_quit": True}, clients=[
        {"name": "app", "access_key": "AKlocalapp", "secret_key": secret}])
    assert ask(d, "/quitquitquit", "POST").status == 403
    where = "%s:%d" % d.admin
    other = os.path.join(str(d.dir), "other.conf")
    with open(d.path, encoding="utf-8") as f, open(other, "w", encoding="utf-8") as g:
        g.write(f.read().replace(secret, secret[::-1]))
    os.chmod(other, 0o600)
    run = command("quit", "--admin", where, "-c", other)
    assert run.returncode == 1 and "403" in run.stderr and d.alive(), run
    run = command("quit", "--admin", where, "-c", d.path)
    assert run.returncode == 0, run
    assert d.wait() == 0
    assert secret not in d.log


def test_a_unix_admin_address(daemon, tmp_path):
    path = str(tmp_path / "admin.sock")
    d = daemon(_ready=False, admin={"listen": "unix:" + path})
    until(lambda: command("wait", "--admin", "unix:" + path, "--timeout", "1").returncode == 0)
    with Client(path) as c:
        assert c.request("GET", "/metrics", host="whatever").status == 200
    d.wait_ready(admin=False)


def test_waiting_shows_on_a_terminal_and_not_in_a_pipe():
    nobody = "127.0.0.1:%d" % daemons.unused_port()
    args = ["wait", "--admin", nobody, "--timeout", "2.3"]
    run = command(*args)
    assert run.returncode == 1 and run.stdout == "" and run.stderr.count("\n") == 1, run
    assert run.stderr.startswith("sigferry wait: not ready after 2.") and "--admin names another" in run.stderr
    master, slave = pty.openpty()
    process = subprocess.Popen([*daemons.WRAPPER, daemons.BINARY, *args], stdout=subprocess.DEVNULL, stderr=slave,
                               env=daemons.clean_env("/nonexistent", {"TERM": "xterm"}))
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:
        pass  # Linux' way to say that the other side is closed
    os.close(master)
    assert process.wait(seconds(10)) == 1
    assert shown.count(b"waiting, 1 s so far: ") == shown.count(b"waiting, 2 s so far: ") == 1, shown
    assert re.search(rb"\r\x1b\[Ksigferry wait: not ready after 2\.\d s: [^\n]*\r\n$", shown), shown
