# SPDX-License-Identifier: Apache-2.0
"""How the upstream is reached: through an HTTP proxy, with a client certificate, by which TLS
version, at which address."""

import base64
import os
import re
import socket
import ssl
import subprocess

import pytest

from checks import ECHO, assert_error, assert_ok
from daemon import command, unused_port
from relay import Relay

HOST = "ecs.ap-southeast-2.volcengineapi.com"
REGION = ("X-Sigferry-Region", "ap-southeast-2")
ONCE = ("X-Sigferry-Auto-Retry", "false")


class Tunnel(Relay):
    """An HTTP proxy that knows CONNECT and leads every tunnel to one port; refuse: status instead."""

    def __init__(self, port, refuse=None, ip="127.0.0.1"):
        self.target, self.refuse, self.ip, self.heads = port, refuse, ip, []
        super().__init__((ip, 0))

    def serve(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                return
            head += data
        self.heads.append(head.decode("latin-1"))
        if self.refuse:
            sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.refuse)
            sock.close()
            return
        far = socket.create_connection(("127.0.0.1", self.target))
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: canary\r\n\r\n")
        self.join(sock, far)

    @property
    def url(self):
        return "http://%s:%d" % ("[%s]" % self.ip if ":" in self.ip else self.ip, self.port)


class Straight(Relay):
    """Leads every connection to one port of this machine."""

    def __init__(self, ip, port):
        self.target = port
        super().__init__((ip, 0))

    def serve(self, sock):
        self.join(sock, socket.create_connection(("127.0.0.1", self.target)))


def knows_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not knows_ipv6(), reason="this machine has no ::1")


@pytest.fixture
def tunnel(upstream):
    made = []

    def start(**kw):
        t = Tunnel(upstream.port, **kw)
        made.append(t)
        return t

    yield start
    for t in made:
        t.close()


def test_through_a_configured_proxy(daemon, upstream, tunnel):
    t = tunnel()
    d = daemon(connect_to=None, proxy={"https_proxy": t.url})
    for _ in range(3):
        r = assert_ok(d.request("GET", ECHO, [REGION]))
        assert r.get("X-Proxy") is None
    assert len(t.heads) == 1 and t.heads[0].startswith("CONNECT %s:443 HTTP/1.1\r\n" % HOST)
    assert "Credential" not in t.heads[0] and upstream.requests[0].get("Host") == HOST


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_through_the_environments_proxy(daemon, upstream, tunnel, name):
    t = tunnel()
    d = daemon(connect_to=None, _env={name: t.url})
    assert_ok(d.request("GET", ECHO, [REGION]))
    assert len(t.heads) == 1


def test_a_proxys_password_reaches_it_and_nobody_else(daemon, upstream, tunnel):
    t = tunnel()
    d = daemon(connect_to=None, proxy={"https_proxy": t.url.replace("//", "//corp:P%40ss%2Fw0rd@")})
    assert_ok(d.request("GET", ECHO, [REGION]))
    assert "\r\nProxy-Authorization: Basic %s\r\n" % base64.b64encode(b"corp:P@ss/w0rd").decode() in t.heads[0]
    assert upstream.one().get("Proxy-Authorization") is None
    assert "ss%2Fw0rd" not in d.log and "P@ss" not in d.log


@pytest.mark.parametrize("password", ["P@ssw0rd", "P ssw0rd", "P%0Assw0rd", "P/ssw0rd"])
def test_a_password_that_would_lead_past_the_proxy(tmp_path, password):
    """libcurl takes a part of it for the host, or leaves the proxy out without a word."""
    (tmp_path / "a.conf").touch(0o600)
    r = command("check", "-c", tmp_path / "a.conf", env={"https_proxy": "http://corp:%s@127.0.0.1:9" % password})
    assert r.returncode == 1 and "ssw0rd" not in r.stdout + r.stderr
    assert re.fullmatch(r"env https_proxy: proxy.https_proxy: the value must .* in user and password.*\n", r.stderr)


@needs_ipv6
def test_through_a_proxy_with_an_ipv6_address(daemon, upstream, tunnel):
    t = tunnel(ip="::1")
    d = daemon(connect_to=None, proxy={"https_proxy": t.url})
    assert_ok(d.request("GET", ECHO, [REGION, ONCE]))
    assert len(t.heads) == 1 and t.heads[0].startswith("CONNECT %s:443 HTTP/1.1\r\n" % HOST)


@needs_ipv6
def test_connect_to_an_ipv6_address(daemon, upstream):
    relay = Straight("::1", upstream.port)
    d = daemon(connect_to=["::[::1]:%d" % relay.port])
    assert_ok(d.request("GET", ECHO, [REGION, ONCE]))
    assert upstream.one().get("Host") == HOST
    relay.close()


def test_no_proxy_is_honoured(daemon, upstream, tunnel):
    t = tunnel()
    d = daemon(proxy={"https_proxy": t.url, "no_proxy": ".volcengineapi.com"})
    assert_ok(d.request("GET", ECHO, [REGION]))
    assert t.heads == []


def test_a_proxy_that_refuses(daemon, upstream, tunnel):
    t = tunnel(refuse=403)
    d = daemon(connect_to=None, proxy={"https_proxy": t.url})
    assert_error(d.request("GET", ECHO, [REGION, ONCE]), 502, "UpstreamConnectFailed")
    assert upstream.accepted == 0


def test_a_proxys_password_is_used_and_masked(daemon, upstream, tunnel, tmp_path):
    t = tunnel()
    url = t.url.replace("//", "//user:proxy-password@")
    d = daemon(connect_to=None, proxy={"https_proxy": url})
    assert_ok(d.request("GET", ECHO, [REGION]))
    assert "proxy-authorization: basic dXNlcjpwcm94eS1wYXNzd29yZA==".lower() in t.heads[0].lower()
    assert b"proxy-password" not in upstream.one().head and "proxy-password" not in d.log
    run = command("config", "-c", d.path)
    assert run.returncode == 0 and "proxy-password" not in run.stdout


def test_a_proxy_that_is_the_daemon_itself_is_refused(daemon):
    port = unused_port()
    d = daemon(_ready=False, listen=["127.0.0.1:%d" % port],
               proxy={"https_proxy": "http://127.0.0.1:%d" % port})
    d.exit_status = 1
    assert d.wait() == 1 and "https_proxy" in d.log


def test_with_a_client_certificate(daemon, make_upstream, certs):
    u = make_upstream(client_ca=certs.ca)
    pem, key = certs.pair("good")
    d = daemon(_upstream=u, tls={"cert_file": str(pem), "key_file": str(key)})
    assert_ok(d.request())
    # TLS 1.3 refuses after the handshake, when the request is on its way: no reason to try again.
    r = daemon(_upstream=u).request()
    assert_error(r, 502, "UpstreamTlsFailed", "certificate")
    assert r.get("X-Sigferry-Attempts") == "1" and len(u.requests) == 1


def test_least_tls_version(daemon, make_upstream):
    u = make_upstream(most_tls=ssl.TLSVersion.TLSv1_2)
    assert_ok(daemon(_upstream=u).request())
    r = daemon(_upstream=u, tls={"min_version": "1.3"}).request()
    assert_error(r, 502, "UpstreamTlsFailed")
    assert len(u.requests) == 1


@pytest.fixture
def key_updates(tmp_path, certs):
    """key_updates(n): the port of an upstream that sends so many before its answer."""
    program = str(tmp_path / "key_updates")
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([os.environ.get("CC") or "cc", "-O1", "-o", program, os.path.join(here, "key_updates.c"),
                    "-lssl", "-lcrypto"], check=True)
    started = []

    def start(n):
        p = subprocess.Popen([program, *map(str, certs.pair("good")), str(n)], stdout=subprocess.PIPE, text=True)
        started.append(p)
        return int(p.stdout.readline())
    yield start
    for p in started:
        p.kill()
        p.wait()


def test_key_updates_are_no_way_to_keep_a_worker(daemon, upstream, session_upstream, key_updates):
    """OpenSSL would read on within one call as long as they come, and they never end an answer."""
    d = daemon(connect_to=["%s:443:127.0.0.1:%d" % (HOST, key_updates(10000)),
                           "iam.volcengineapi.com:443:127.0.0.1:%d" % key_updates(20),
                           "::127.0.0.1:%d" % session_upstream.port], tls={"verify_ssl": False})
    assert_ok(d.request("GET", ECHO, [ONCE], service="iam"))
    assert_error(d.request("GET", ECHO, [ONCE, REGION]), 502, "UpstreamReset")
    assert_ok(d.request("GET", ECHO, [ONCE]))


def test_connect_to_of_one_host_only(daemon, upstream, session_upstream):
    d = daemon(connect_to=["%s:443:127.0.0.1:%d" % (HOST, session_upstream.port),
                           "iam.volcengineapi.com:443:127.0.0.1:%d" % unused_port()])
    assert_ok(d.request("GET", ECHO, [REGION]))
    assert upstream.one().get("Host") == HOST
    assert_error(d.request("GET", ECHO, [ONCE, REGION], service="iam"), 502, "UpstreamConnectFailed")
    assert len(upstream.requests) == 1


def test_an_endpoint_by_address(daemon, upstream):
    d = daemon(connect_to=None, endpoint={"host": "127.0.0.1:%d" % upstream.port})
    assert_ok(d.request())
    assert upstream.one().get("Host") == "127.0.0.1:%d" % upstream.port
