# SPDX-License-Identifier: Apache-2.0
"""Where signed requests can be made to go, and over what (T7, T12, T19): only to endpoints of the
cloud or of the configuration, never to private addresses by a public name, never in circles."""

import os
import socket
import ssl
import subprocess

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, needs_localhost, target
from client import until
from daemon import unused_port
from faults import Shim
from hostile import raw, status_of
from others import own_address, own_hosts

SERVICE = ("X-Sigferry-Service", "ecs")
ONCE = ("X-Sigferry-Auto-Retry", "false")
HOST = "ecs.cn-beijing.volcengineapi.com"


# -- T7: steering by target and Host -----------------------------------------------------------

@pytest.mark.parametrize("first", [
    "http://evil.example/", "https://evil.example/", "http://evil.example:443/",
    "http://ecs.cn-beijing.volcengineapi.com.evil.example/", "http://evilvolcengineapi.com/",
    "http://volcengineapi.com.evil.example/", "http://ecs.volcengineapi.com:8443/",
    "http://ecs.volcengineapi.com:22/", "http://ecs.volcengineapi.com@evil.example/",
    "http://evil.example#ecs.volcengineapi.com/", "http://evil.example?ecs.volcengineapi.com/",
    "http://evil.example\\ecs.volcengineapi.com/", "http://ecs.volcengineapi.com%2eevil.example/",
    "http://ecs.volcengineapi.com%00.evil.example/", "http://[::1]:22/", "http://127.0.0.1:22/",
    "http://169.254.169.254/", "http://100.96.0.96/", "http://2852039166/", "http://0x7f.1/",
    "http:///", "http:/evil.example/", "http:evil.example", "//evil.example/..//", "ftp://ecs.volcengineapi.com/",
    "file:///etc/passwd", "http://ecs..volcengineapi.com/", "http://.volcengineapi.com/",
    "http://-.volcengineapi.com/", "http://ecs.volcengineapi.com.:80/", "http://byteplusapi.com/",
    "http://ecs.ap-southeast-1.byteplusapi.com/", "http://user:pw@ecs.volcengineapi.com/",
    "http://ecs.volcengineapi.com:0/", "http://ecs.volcengineapi.com:65536/",
    "http://ecs.volcengineapi.com:80:80/", "http://\xffecs.volcengineapi.com/"])
def test_absolute_targets_lead_nowhere_else(shared, upstream, first):
    """Refused, or (a path that only looks like an authority) sent to the endpoint of the service."""
    host = first.partition("//")[2].split("/")[0] or "127.0.0.1:%d" % shared.port
    for host in {host, "127.0.0.1:%d" % shared.port, HOST}:
        data = ("GET %s HTTP/1.1\r\nHost: %s\r\nX-Sigferry-Service: ecs\r\nX-Sigferry-Auto-Retry: false"
                "\r\nConnection: close\r\n\r\n" % (first, host)).encode("latin-1")
        answers, closed, out = raw(shared, data)
        assert answers == 1 and closed, out[:300]
        if status_of(out) == 200:
            assert first.startswith("/") or first == "http://-.volcengineapi.com/"
            assert upstream.requests[-1].get("Host").endswith(".volcengineapi.com")
        else:
            assert status_of(out) in (400, 403), out[:300]


@pytest.mark.parametrize("path", ["//evil.example/", "/@evil.example/", "/\\evil.example/", "/%5cevil/",
                                  "/..//evil.example", "/http://evil.example/", "/;@evil.example"])
def test_paths_never_become_hosts(shared, upstream, path):
    r = shared.request("GET", path + "?Action=Echo&Version=2020-04-01")
    if r.status == 200:
        assert upstream.one().get("Host").endswith(".volcengineapi.com")
        assert upstream.one().target.startswith("/")
    else:
        assert r.status == 400 and upstream.requests == []


@pytest.mark.parametrize("header", [
    ("X-Forwarded-Host", "evil.example"), ("X-Original-Host", "evil.example"), ("X-Host", "evil.example"),
    ("Forwarded", "host=evil.example"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "22"),
    ("X-HTTP-Host-Override", "evil.example")])
def test_headers_never_become_hosts(shared, upstream, header):
    assert_ok(shared.request("GET", ECHO, [header]))
    assert upstream.one().get("Host").endswith(".volcengineapi.com")


@pytest.mark.parametrize("host", [
    "alt.internal.evil.example", "xalt.internal", "alt.internal:22", "alt.internal:8444",
    "alt.internal@evil.example", "evil.example/alt.internal", "alt.internal#", "alt.internal?",
    "alt..internal", "alt.internal.", "[alt.internal]", "alt.internal%00", "alt.internal,evil.example",
    "alt.internal evil.example", "*.internal", "*", ".internal", "169.254.169.254", "127.0.0.1"])
def test_an_override_is_one_host_exactly(daemon, upstream, host):
    d = daemon(security={"endpoint_overrides": ["alt.internal", "alt.internal:8443"]})
    r = d.request("GET", ECHO, [ONCE, ("X-Sigferry-Endpoint", host)])
    assert r.status in (400, 403) and r.error in ("InvalidOption", "EndpointNotAllowed"), r
    assert upstream.requests == []


def test_a_wildcard_override_stays_below_its_domain(daemon, upstream):
    d = daemon(security={"endpoint_overrides": ["*.internal"]})
    for host in ("internal", "xinternal", "a.internal.evil", "a.internal:22", "a/.internal", "a:b.internal"):
        r = d.request("GET", ECHO, [ONCE, ("X-Sigferry-Endpoint", host)])
        assert r.status in (400, 403), (host, r)
    assert upstream.requests == []


def test_plain_http_upstreams_need_leave(shared, upstream):
    assert_error(shared.request("GET", ECHO, [("X-Sigferry-Scheme", "http")]), 400, "InvalidOption",
                 "allow_http")
    assert upstream.requests == []


@pytest.mark.parametrize("location", ["https://evil.example/", "http://169.254.169.254/", "//evil.example/",
                                      "file:///etc/passwd"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_the_clients_business(shared, upstream, status, location):
    upstream.on("r", lambda ex: ex.reply(status, b"", [("Location", location), ("Refresh", "0;url=" + location),
                                                       ("Set-Cookie", "a=b"), ("Alt-Svc", 'h2="evil:443"')]))
    r = shared.request("GET", target("r"))
    assert (r.status, r.get("Location")) == (status, location)
    assert_ok(shared.request())
    assert len(upstream.requests) == 2 and upstream.requests[1].get("Cookie") is None
    assert upstream.requests[1].get("Host") == upstream.requests[0].get("Host")


def test_a_401_gets_no_credentials_of_another_kind(shared, upstream):
    upstream.on("r", lambda ex: ex.reply(401, b"{}", [("WWW-Authenticate", 'Basic realm="x"'),
                                                      ("WWW-Authenticate", "Negotiate")]))
    assert shared.request("GET", target("r")).status == 401
    assert len(upstream.of("r")) == 1


# -- private addresses -------------------------------------------------------------------------

@pytest.fixture
def port_443():
    """Whoever connects to a loopback address at 443 is seen."""
    seen = []
    try:
        s = socket.create_server(("127.0.0.1", 443))
    except OSError:
        yield seen
        return
    s.settimeout(0)
    yield s
    s.close()


def connections(port_443):
    if isinstance(port_443, list):
        return 0
    try:
        port_443.accept()
    except OSError:
        return 0
    return 1


@pytest.mark.parametrize("address", [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "169.254.0.1", "100.96.0.96",
    "100.100.100.200", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "ff02::1"])
def test_a_public_name_of_a_private_address(daemon, upstream, monkeypatch, tmp_path, address, port_443):
    own_hosts(monkeypatch, tmp_path, [(address, HOST)])
    d = daemon(connect_to=None)
    r = d.request("GET", ECHO, [ONCE], host=HOST, service=None)
    assert_error(r, 403, "EndpointNotAllowed", ["loopback", "connect_to"])
    assert connections(port_443) == 0 and upstream.accepted == 0


def test_the_same_name_is_fine_once_configured(daemon, upstream, monkeypatch, tmp_path):
    """What was refused above is the address, and naming the host is the way to allow it."""
    own_hosts(monkeypatch, tmp_path, [("127.0.0.1", "ecs.internal")])
    d = daemon(connect_to=None, endpoint={
        "services": [{"service": "ecs", "host": "ecs.internal:%d" % upstream.port}]})
    assert_ok(d.request("GET", ECHO))


def test_an_override_is_no_configured_name(daemon, upstream, monkeypatch, tmp_path):
    own_hosts(monkeypatch, tmp_path, [("127.0.0.1", "alt.internal")])
    d = daemon(connect_to=None, security={"endpoint_overrides": ["alt.internal:%d" % upstream.port]})
    r = d.request("GET", ECHO, [ONCE, ("X-Sigferry-Endpoint", "alt.internal:%d" % upstream.port)])
    assert_error(r, 403, "EndpointNotAllowed")
    assert upstream.accepted == 0


@pytest.mark.parametrize("entry,named", [(":::{0}", False), (":{0}::{0}", False),
                                         ("alt.internal:::{0}", True)], ids=["all", "a port", "a name"])
def test_connect_to_that_names_no_host_allows_none(daemon, upstream, monkeypatch, tmp_path, entry, named):
    """HOST:PORT:CONNECT-HOST:CONNECT-PORT with empty hosts moves ports: all hosts are meant, none is named."""
    own_hosts(monkeypatch, tmp_path, [("127.0.0.1", "alt.internal")])
    there = "alt.internal:%d" % upstream.port
    d = daemon(connect_to=[entry.format(upstream.port)], security={"endpoint_overrides": [there]})
    r = d.request("GET", ECHO, [ONCE, ("X-Sigferry-Endpoint", there)])
    if named:
        assert_ok(r)
    else:
        assert_error(r, 403, "EndpointNotAllowed")
    assert upstream.accepted == named


def test_a_kept_connection_of_a_configured_name_is_not_lent(daemon, upstream, monkeypatch, tmp_path):
    """One pool a host, and another for the same host when it wasn't configured by name."""
    own_hosts(monkeypatch, tmp_path, [("127.0.0.1", "alt.internal")])
    there = "alt.internal:%d" % upstream.port
    d = daemon(connect_to=None, endpoint={"services": [{"service": "ecs", "host": there}]},
               security={"endpoint_overrides": [there]})
    assert_ok(d.request("GET", ECHO))
    r = d.request("GET", ECHO, [ONCE, ("X-Sigferry-Endpoint", there)], service="vpc")
    assert r.status == 403 and r.error == "EndpointNotAllowed", r
    assert len(upstream.requests) == 1


# -- the proxy itself as its upstream ----------------------------------------------------------

def looping(daemon, port, **kw):
    d = daemon(listen=["127.0.0.1:%d" % port], connect_to=None, **kw)
    before = d.mark()
    r = d.request("GET", ECHO)
    assert_error(r, 403, "EndpointNotAllowed", ["listens on itself", "circles"])
    assert sum('msg="access"' in x for x in d.lines[before:]) <= 1  # it never came round


@pytest.mark.parametrize("host", ["127.0.0.1:%d",
                                  pytest.param("localhost:%d", marks=needs_localhost)])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_endpoint_that_is_the_proxy(daemon, upstream, host, scheme):
    port = unused_port()
    looping(daemon, port, endpoint={"host": host % port, "scheme": scheme})


def test_connect_to_the_proxy(daemon, upstream):
    port = unused_port()
    d = daemon(listen=["127.0.0.1:%d" % port], connect_to=["::127.0.0.1:%d" % port],
               endpoint={"scheme": "http"})
    assert_error(d.request("GET", ECHO), 403, "EndpointNotAllowed", "circles")


def test_the_unspecified_address_is_the_proxy_too(daemon, upstream):
    port = unused_port()
    d = daemon(listen=["127.0.0.1:%d" % port], connect_to=["::0.0.0.0:%d" % port],
               endpoint={"scheme": "http"})
    assert_error(d.request("GET", ECHO), 403, "EndpointNotAllowed", "circles")


def test_a_proxy_setting_by_another_name_of_the_proxy(daemon, upstream, monkeypatch, tmp_path):
    port = unused_port()
    own_hosts(monkeypatch, tmp_path, [("127.0.0.1", "me.internal")])
    d = daemon(listen=["127.0.0.1:%d" % port], connect_to=None,
               proxy={"https_proxy": "http://me.internal:%d" % port})
    assert_error(d.request("GET", ECHO, [ONCE]), 403, "EndpointNotAllowed", "circles")


def test_a_listener_on_all_addresses_knows_its_own(daemon, upstream):
    port, token = unused_port(), "t" * 32
    d = daemon(listen=["0.0.0.0:%d" % port], connect_to=["::%s:%d" % (own_address(), port)],
               endpoint={"scheme": "http"}, security={"allow_remote": True, "client_tokens": [token]})
    r = d.request("GET", ECHO, [("X-Sigferry-Token", token)], host="localhost:%d" % port)
    assert_error(r, 403, "EndpointNotAllowed", "circles")


def test_the_admin_address_is_the_proxy_too(daemon, upstream):
    port = unused_port()
    d = daemon(admin={"listen": "127.0.0.1:%d" % port}, connect_to=["::127.0.0.1:%d" % port],
               endpoint={"scheme": "http"})
    assert_error(d.request("GET", ECHO), 403, "EndpointNotAllowed", "circles")


def test_another_process_at_the_port_of_another_address_is_fine(daemon, make_upstream):
    """Not every listener of the machine is the proxy, even at its port."""
    u = make_upstream(cert=None)
    d = daemon(listen=["127.0.0.2:%d" % u.port], _upstream=u, endpoint={"scheme": "http"})
    assert_ok(d.request("GET", ECHO, host="127.0.0.2:%d" % u.port))
    assert len(u.requests) == 1


# -- T19: TLS ----------------------------------------------------------------------------------

@pytest.mark.parametrize("cert", ["expired", "wronghost", "untrusted"])
def test_a_certificate_that_does_not_hold(daemon, make_upstream, cert):
    u = make_upstream(cert=cert)
    d = daemon(_upstream=u)
    assert_error(d.request("POST", ECHO, body=b"secret-body"), 502, "UpstreamTlsFailed")
    assert u.requests == [] and u.accepted >= 1
    assert not any("APPLICATION_DATA" in x for x in u.tls_failures)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls(daemon, make_upstream, version):
    u = make_upstream()
    u.tls.set_ciphers("ALL:@SECLEVEL=0")
    u.tls.minimum_version, u.tls.maximum_version = ssl.TLSVersion.TLSv1, version
    port = u.port
    control = ssl.create_default_context()  # the server does speak that version
    control.check_hostname, control.verify_mode = False, ssl.CERT_NONE
    control.set_ciphers("ALL:@SECLEVEL=0")
    control.minimum_version = control.maximum_version = version
    with socket.create_connection(("127.0.0.1", port)) as s, control.wrap_socket(s) as t:
        assert t.version() in ("TLSv1", "TLSv1.1")
    assert_error(daemon(_upstream=u).request(), 502, "UpstreamTlsFailed")
    assert u.requests == []
    until(lambda: u.tls_failures, what="the refused handshake")


def test_the_certificate_must_be_of_the_signed_host(daemon, make_upstream, certs):
    """connect_to changes where is connected, not whose certificate is wanted."""
    u = make_upstream()
    d = daemon(_upstream=u, endpoint={"host": "not-in-the-certificate.example"})
    assert_error(d.request(), 502, "UpstreamTlsFailed")
    assert u.requests == []


def test_without_an_authority_nobody_is_trusted(daemon, upstream):
    d = daemon(tls=None)
    assert_error(d.request(), 502, "UpstreamTlsFailed")
    assert upstream.requests == []


def test_environment_does_not_weaken_tls(daemon, upstream, certs, tmp_path):
    """A configuration of OpenSSL, a key log and another CA bundle from the environment are not read."""
    conf, log = tmp_path / "openssl.cnf", tmp_path / "keys"
    conf.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
                    "MinProtocol = TLSv1.3\nMaxProtocol = TLSv1.3\nCipherString = NULL\n")
    bundle = str(certs.ca)
    env = {"OPENSSL_CONF": str(conf), "SSLKEYLOGFILE": str(log), "SSL_CERT_FILE": bundle,
           "CURL_CA_BUNDLE": bundle, "CURL_SSL_BACKEND": "gnutls", "OPENSSL_MODULES": str(tmp_path)}
    assert_ok(daemon(_env=env).request())
    assert not os.path.exists(str(log))
    # SSL_CERT_FILE is OpenSSL's way to name the system's store: it counts where tls.ca_file names none.
    assert_ok(daemon(_env=env, tls=None).request())
    stranger = {"ca_file": str(certs.pair("stranger")[0])}
    assert_error(daemon(_env=env, tls=stranger).request(), 502, "UpstreamTlsFailed")
    del env["SSL_CERT_FILE"]
    assert_error(daemon(_env=env, tls=None).request(), 502, "UpstreamTlsFailed")


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_configured_proxy_wins_over_the_environments(daemon, upstream, name):
    """With proxy settings of its own the daemon takes none from the environment."""
    with socket.create_server(("127.0.0.1", 0)) as evil:
        evil.settimeout(0)
        d = daemon(_env={name: "http://127.0.0.1:%d" % evil.getsockname()[1]},
                   proxy={"https_proxy": "", "no_proxy": "*"})
        assert_ok(d.request())
        with pytest.raises(OSError):
            evil.accept()


# -- T25: what libcurl is allowed to do --------------------------------------------------------

WANTED = {"CONNECT_ONLY": "1", "PROTOCOLS_STR": "https", "HTTP_VERSION": "2", "SSL_VERIFYPEER": "1",
          "SSL_VERIFYHOST": "2", "SSLVERSION": "6", "PROXY": "", "NOPROXY": "*", "NOSIGNAL": "1", "NETRC": "0",
          "QUICK_EXIT": "1", "TCP_NODELAY": "1", "TCP_KEEPALIVE": "1", "SUPPRESS_CONNECT_HEADERS": "1",
          "HTTPPROXYTUNNEL": "1"}
# Areas of most of libcurl's advisories: cookies, HSTS, alt-svc, redirects, passwords, decoding, DoH, …
NEVER = {"COOKIEFILE", "COOKIEJAR", "COOKIELIST", "HSTS", "HSTS_CTRL", "ALTSVC", "ALTSVC_CTRL", "USERPWD", "USERNAME",
         "PASSWORD", "HTTPAUTH", "PROXYUSERPWD", "PROXYAUTH", "XOAUTH2_BEARER", "ACCEPT_ENCODING", "DOH_URL",
         "UNIX_SOCKET_PATH", "ABSTRACT_UNIX_SOCKET", "INTERFACE", "FTPPORT", "VERBOSE", "DEBUGFUNCTION", "SSLENGINE",
         "NETRC_FILE", "AWS_SIGV4", "UNRESTRICTED_AUTH", "HTTP09_ALLOWED"}


def test_the_options_given_to_libcurl(daemon, upstream, tmp_path):
    try:
        shim = Shim(tmp_path, "curl_options_shim")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no compiler or no headers of libcurl")
    options = tmp_path / "options"
    if daemons.instrumented():
        pytest.skip("a sanitizer's run-time wants to be preloaded first")
    d = daemon(_env={"LD_PRELOAD": shim.library, "SHIM_OPTIONS": str(options)})
    assert_ok(d.request())
    given = {}
    for line in options.read_text().splitlines():
        handle, name, value = line.split(" ", 2)
        given.setdefault(handle, {})[name] = value
    assert given
    for handle in given.values():
        assert {k: handle.get(k) for k in WANTED} == WANTED
        assert not NEVER & set(handle), NEVER & set(handle)
        assert handle.get("FOLLOWLOCATION", "0") == "0" and handle.get("COOKIE", "NULL") == "NULL"
