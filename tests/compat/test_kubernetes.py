# SPDX-License-Identifier: Apache-2.0
"""The configurations of packaging/kubernetes do what their comments say. Only addresses and the
source of the credentials are replaced, through the environment, as a cluster does it."""

import os
import re
import subprocess

import pytest

import daemon as daemons
import signer
from checks import assert_error, assert_ok
from others import needs_root, open_dir, own_address  # noqa: F401 (a fixture)

MANIFESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "packaging",
                         "kubernetes")
TOKEN = "metrics-token-0123456789abcdef"
KEYS = {"team-a": ("local-team-a", "c2VjcmV0LW9mLXRlYW0tYQ=="),
        "team-b": ("local-team-b", "c2VjcmV0LW9mLXRlYW0tYg==")}
BEARER = {"Authorization": "Bearer " + TOKEN}


@pytest.fixture
def start(daemon, certs, session_upstream):
    def run(layout, env, edit=lambda text: text, **kw):
        with open(os.path.join(MANIFESTS, layout, "sigferry.conf"), encoding="utf-8") as f:
            text = re.sub(r"0\.0\.0\.0:\d+", "0.0.0.0:0", edit(f.read()))
        settings = dict(env, VOLCENGINE_ACCESS_KEY=daemons.ACCESS_KEY,
                        VOLCENGINE_SECRET_KEY=daemons.SECRET_KEY, SIGFERRY_REGION="cn-beijing",
                        SIGFERRY_SECURITY_CLIENT_TOKENS=TOKEN, SIGFERRY_LOG_FORMAT="text",
                        SIGFERRY_TLS_CA_FILE=str(certs.ca),
                        SIGFERRY_CONNECT_TO="::127.0.0.1:%d" % session_upstream.port)
        d = daemon(_base=False, _text=text, _env=settings, _mode=0o644, _ready=False, **kw)
        d.wait_log(r"serves volcengine")
        return d
    return run


def admin_port(d):
    return int(d.wait_log(r"admin listening on 0\.0\.0\.0:(\d+)")[1])


def metrics(d, address, headers):
    return d.request("GET", "/metrics", headers, service=None, address=(address, admin_port(d)))


def probes_and_metrics(d, address):
    for path in ("/livez", "/readyz"):
        assert d.request("GET", path, service=None, address=(address, admin_port(d))).status == 200
    assert metrics(d, address, {}).status == 403
    r = metrics(d, address, BEARER)
    assert r.status == 200 and b"sigferry_build_info" in r.body


def test_one_daemon_a_node(start, upstream):
    address = own_address()
    clients = ", ".join(
        '{ name = "%s"; access_key = "%s"; secret_key = "%s"; profile = "%s"; policy = "%s"; }'
        % (n, *k, n.replace("-", "_"), n) for n, k in KEYS.items())
    env = '{ provider = "env"; };'
    d = start("node", {
        "SIGFERRY_SECURITY_ALLOWED_HOSTS": address + ",sigferry.sigferry.svc",
        "SIGFERRY_CLIENTS": "( %s )" % clients,
        "SIGFERRY_PROFILES": "{ default = %s team_a = %s team_b = %s }" % (env, env, env)})
    data = address, int(d.wait_log(r'(?<!admin )listening on 0\.0\.0\.0:(\d+)')[1])
    probes_and_metrics(d, address)

    def ask(team, action, service="ecs", host="sigferry.sigferry.svc"):
        target = "/?Action=%s&Version=2020-04-01" % action
        made = signer.sign("GET", target, [("Host", host)], b"", (*KEYS[team], None), service,
                           "cn-beijing")
        headers = made.headers
        return d.request("GET", target, headers, host=host, service=None, address=data)

    assert_ok(ask("team-a", "DescribeInstances"))
    assert_error(ask("team-a", "DeleteInstance"), 403, "ActionNotAllowed", "team-a")
    assert_ok(ask("team-b", "DeleteInstance"))
    assert_error(ask("team-b", "ListUsers", "iam"), 403, "ActionNotAllowed", "team-b")
    assert_error(ask("team-a", "DescribeInstances", host="elsewhere.svc"), 403, "HostNotAllowed")
    # Neither strangers nor the holder of the token for metrics may ask the clouds.
    assert_error(d.request(address=data, host="sigferry.sigferry.svc"), 403, "ClientNotAllowed")
    assert_error(d.request(headers=BEARER, address=data, host="sigferry.sigferry.svc"),
                 403, "ActionNotAllowed", "nothing")
    assert len(upstream.requests) == 2


@needs_root
def test_sidecar(start, upstream, open_dir):
    address = own_address()
    path = open_dir / "sock"
    d = start("sidecar", {"SIGFERRY_SECURITY_ALLOWED_HOSTS": address,
                          "SIGFERRY_PROFILES": '{ default = { provider = "env"; }; }'},
              lambda text: text.replace("/run/sigferry/sock", path).replace("localhost:8750",
                                                                           "127.0.0.1:0"))
    port = d.wait_log(r"(?<!admin )listening on 127\.0\.0\.1:(\d+)")[1]
    probes_and_metrics(d, address)

    def ask(uid, *where, action="DescribeInstances"):
        out = subprocess.run(
            ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups", "curl", "-q", "-sS",
             "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code} %header{x-sigferry-error}",
             "-H", "X-Sigferry-Service: ecs", *where[:-1],
             where[-1] + "/?Version=2020-04-01&Action=" + action], capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
        return out.stdout.split()

    for where in (["http://127.0.0.1:" + port], ["--unix-socket", path, "http://localhost"]):
        assert ask(10001, *where) == ["200"]
        assert ask(10001, *where, action="DeleteInstance") == ["403", "ActionNotAllowed"]
        assert ask(10002, *where) == ["403", "ClientNotAllowed"]
    assert len(upstream.requests) == 2
