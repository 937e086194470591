# SPDX-License-Identifier: Apache-2.0
"""Where a named service is reached: resolvers, dual stack, custom endpoints, the ways clients have
to reach the daemon itself (Unix sockets, a real curl with http_proxy)."""

import os
import socket
import stat
import subprocess

import pytest

from checks import ECHO, assert_error, assert_ok, assert_scope, needs_localhost
from client import Client
from daemon import clean_env, seconds


def host_of(d, upstream, *headers, service="ecs", **kw):
    assert_ok(d.request("GET", ECHO, list(headers), service=service, **kw))
    return upstream.requests[-1].get("Host")


REGION = ("X-Sigferry-Region", "ap-southeast-2")
DUAL = ("X-Sigferry-Dual-Stack", "true")


def test_dual_stack_by_header(shared, upstream):
    assert host_of(shared, upstream, REGION) == "ecs.ap-southeast-2.volcengineapi.com"
    assert host_of(shared, upstream, REGION, DUAL) == "ecs.ap-southeast-2.volcengine-api.com"


def test_dual_stack_by_configuration(daemon, upstream):
    d = daemon(endpoint={"use_dual_stack": True})
    assert host_of(d, upstream, REGION) == "ecs.ap-southeast-2.volcengine-api.com"
    assert host_of(d, upstream, REGION, ("X-Sigferry-Dual-Stack", "false")) == \
        "ecs.ap-southeast-2.volcengineapi.com"


def test_dual_stack_by_environment_and_configuration_wins(daemon, upstream):
    env = {"VOLC_ENABLE_DUALSTACK": "true"}
    d = daemon(_env=env)
    assert host_of(d, upstream, REGION) == "ecs.ap-southeast-2.volcengine-api.com"
    d = daemon(_env=env, endpoint={"use_dual_stack": False})
    assert host_of(d, upstream, REGION) == "ecs.ap-southeast-2.volcengineapi.com"


def test_byteplus(daemon, upstream):
    d = daemon(cloud="byteplus", region="ap-southeast-2",
               endpoint={"custom_bootstrap_region": ["cn-mylab-2"]})
    assert host_of(d, upstream) == "ecs.ap-southeast-2.byteplusapi.com"
    assert host_of(d, upstream, DUAL) == "ecs.ap-southeast-2.byteplus-api.com"
    assert host_of(d, upstream, ("X-Sigferry-Region", "cn-mylab-2")) == \
        "ecs.cn-mylab-2.byteplusapi.com.cn"
    assert host_of(d, upstream, ("X-Sigferry-Region", "mars-1")) == \
        "open.ap-southeast-1.byteplusapi.com"
    assert host_of(d, upstream, ("X-Sigferry-Region", "mars-1"), service="billing") == \
        "open.byteplusapi.com"
    assert host_of(d, upstream, service=None, host="vpc.cn-mylab-2.byteplusapi.com.cn") == \
        "vpc.cn-mylab-2.byteplusapi.com.cn"
    assert_scope(upstream.requests[-1], "vpc", "cn-mylab-2")
    assert_error(d.request("GET", ECHO, host="ecs.cn-beijing.volcengineapi.com", service=None),
                 403, "HostNotAllowed")


def test_bootstrap_regions_by_configuration_and_file(daemon, upstream, tmp_path):
    lines = tmp_path / "regions"
    lines.write_text("my-lab-1\n\ncn-mylab-2\n")
    d = daemon(endpoint={"bootstrap_region_list": str(lines)})
    assert host_of(d, upstream, ("X-Sigferry-Region", "my-lab-1")) == "ecs.my-lab-1.volcengineapi.com"
    d = daemon(_env={"VOLC_BOOTSTRAP_REGION_LIST_CONF": str(lines)})
    assert host_of(d, upstream, ("X-Sigferry-Region", "cn-mylab-2")) == \
        "ecs.cn-mylab-2.volcengineapi.com"
    d = daemon(endpoint={"custom_bootstrap_region": ["my-lab-1"]})
    assert host_of(d, upstream, ("X-Sigferry-Region", "my-lab-1")) == "ecs.my-lab-1.volcengineapi.com"
    assert host_of(d, upstream, ("X-Sigferry-Region", "cn-mylab-2")) == "open.volcengineapi.com"


def test_standard_resolver(daemon, upstream):
    d = daemon(endpoint={"resolver": "standard"})
    assert host_of(d, upstream) == "ecs.cn-beijing.volcengineapi.com"
    r = d.request("GET", ECHO, [("X-Sigferry-Region", "MARS_1")])
    assert_error(r, 400, "InvalidRegion", "MARS_1")
    assert_error(d.request("GET", ECHO, service="nosuch"), 400, "ServiceNotFound", "nosuch")
    assert len(upstream.requests) == 1


def test_custom_endpoints_in_their_order(daemon, upstream):
    d = daemon(endpoint={"host": "custom.internal:8443",
                         "services": [{"service": "ecs", "host": "ecs.internal"}]},
               security={"endpoint_overrides": ["alt.internal", "*.volcengineapi.com"]})
    assert host_of(d, upstream, service="vpc") == "custom.internal:8443"
    assert host_of(d, upstream) == "ecs.internal"
    assert host_of(d, upstream, ("X-Sigferry-Endpoint", "alt.internal")) == "alt.internal"
    assert host_of(d, upstream, service="iam", host="iam.volcengineapi.com") == \
        "custom.internal:8443"


OWN = {"services": [{"service": "my_svc", "host": "custom.internal:8443"}, {"service": "NewSvc"},
                    {"service": "shareA", "host": "alt.internal:8443"}, {"service": "shareB", "host": "alt.internal:8443"}]}


@pytest.mark.parametrize("host,service,upstream_host", [
    ("my-svc.localhost", "my_svc", "custom.internal:8443"),
    ("MY_svc.cn-beijing.localhost", "my_svc", "custom.internal:8443"),
    ("my-svc.cn-beijing.volcengineapi.com", "my_svc", "custom.internal:8443"),
    ("newsvc.cn-beijing.volcengineapi.com", "NewSvc", "newsvc.cn-beijing.volcengineapi.com"),
    ("newsvc.cn-beijing.localhost", "NewSvc", "open.volcengineapi.com"),
])
def test_configured_services_are_known_by_their_label(daemon, upstream, host, service, upstream_host):
    """In a host '_' is written '-', in any case; what is signed is the service's own name."""
    d = daemon(endpoint=OWN)
    assert_ok(d.request("GET", ECHO, host=host, service=None))
    assert upstream.one().verdict.service == service and upstream.one().get("Host") == upstream_host


def test_the_tables_spelling_comes_before_the_configurations(daemon, upstream):
    d = daemon(endpoint={"services": [{"service": "tls", "host": "custom.internal:8443"}]})
    assert_ok(d.request("GET", ECHO, host="tls.cn-beijing.localhost", service=None))
    assert upstream.one().verdict.service == "TLS" and upstream.one().get("Host") == "custom.internal:8443"


def test_a_configured_services_label_is_no_other_services(daemon, upstream):
    d = daemon(endpoint=OWN)
    for label in ("my-svc", "newsvc", "tls"):
        assert_error(d.request("GET", ECHO, host=label + ".cn-beijing.volcengineapi.com", service="ecs"),
                     403, "EndpointNotAllowed")
    assert upstream.requests == []


def test_a_host_of_several_services_is_no_other_services(daemon, upstream):
    d = daemon(endpoint=OWN)
    scope = ("Authorization", "HMAC-SHA256 Credential=AK/20260101/cn-beijing/%s/request, SignedHeaders=host, Signature="
             + "0" * 64)
    for headers in ([scope[0:1] + (scope[1] % "ecs",)], [("X-Sigferry-Service", "ecs")]):
        assert_error(d.request("GET", ECHO, headers, host="alt.internal", service=None), 403, "EndpointNotAllowed")
    assert upstream.requests == []
    assert_ok(d.request("GET", ECHO, [scope[0:1] + (scope[1] % "shareB",)], host="alt.internal", service=None))
    assert upstream.one().verdict.service == "shareB"


def test_endpoint_override_not_allowed(daemon, shared, upstream):
    r = shared.request("GET", ECHO, [("X-Sigferry-Endpoint", "special.volcengineapi.com")])
    assert_error(r, 403, "EndpointNotAllowed", "endpoint_overrides")
    d = daemon(security={"endpoint_overrides": ["*.volcengineapi.com"]})
    for host in ("evil.example", "volcengineapi.com.evil.example", "evilvolcengineapi.com"):
        r = d.request("GET", ECHO, [("X-Sigferry-Endpoint", host)])
        assert_error(r, 403, "EndpointNotAllowed", host)
    assert upstream.requests == []
    assert host_of(d, upstream, ("X-Sigferry-Endpoint", "special.volcengineapi.com")) == \
        "special.volcengineapi.com"


def test_endpoint_override_against_the_host_asked_for(daemon, upstream):
    d = daemon(security={"endpoint_overrides": ["*.volcengineapi.com"]})
    r = d.request("GET", ECHO, [("X-Sigferry-Endpoint", "ecs.volcengineapi.com")], service=None,
                  host="iam.volcengineapi.com")
    assert_error(r, 403, "EndpointNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("value", ["http://a.volcengineapi.com", "a.volcengineapi.com/x",
                                   "u@a.volcengineapi.com", "a.volcengineapi.com:x", "a b"])
def test_endpoint_override_malformed(daemon, upstream, value):
    d = daemon(security={"endpoint_overrides": ["*.volcengineapi.com"]})
    r = d.request("GET", ECHO, [("X-Sigferry-Endpoint", value)])
    assert r.status in (400, 403) and r.error in ("InvalidOption", "EndpointNotAllowed"), r
    assert upstream.requests == []


@needs_localhost
def test_private_upstream_addresses_need_a_configured_name(daemon, upstream):
    """Without connect_to, an override that is a loopback name must not be connected."""
    d = daemon(connect_to=None, retry={"auto_retry": False},
               security={"endpoint_overrides": ["localhost:%d" % upstream.port]})
    r = d.request("GET", ECHO, [("X-Sigferry-Endpoint", "localhost:%d" % upstream.port)])
    assert r.status in (403, 502) and r.error in ("EndpointNotAllowed", "UpstreamConnectFailed"), r
    assert upstream.accepted == 0


# -- reaching the daemon -----------------------------------------------------------------------

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_listeners_own_names(shared, upstream, host):
    assert_ok(shared.request("GET", ECHO, host="%s:%d" % (host, shared.port)))


def test_allowed_hosts(daemon, upstream):
    d = daemon(security={"allowed_hosts": ["proxy.internal"]})
    assert_ok(d.request("GET", ECHO, host="proxy.internal:%d" % d.port))
    assert_error(d.request("GET", ECHO, host="other.internal:%d" % d.port), 403, "HostNotAllowed")


def test_unix_socket_listener(daemon, upstream, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "sock")
    d = daemon(_listeners=2, listen=[
        {"address": "127.0.0.1:0"},
        {"address": "unix:" + path, "mode": "0660", "service": "vpc", "region": "ap-southeast-2"}])
    assert path in d.addresses()
    info = os.stat(path)
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o660
    assert_ok(d.request("GET", ECHO, address=path, service=None))
    assert_scope(upstream.requests[-1], "vpc", "ap-southeast-2")
    r = d.request("GET", ECHO, address=path, service=None, host="iam.volcengineapi.com")
    assert_ok(r)
    assert_scope(upstream.requests[-1], "iam", "ap-southeast-2")
    assert_error(d.request("GET", ECHO, address=path, host="evil.example"), 403, "HostNotAllowed")
    d.stop()
    assert not os.path.exists(path)


def test_unix_socket_default_mode_and_bound_client(daemon, upstream, tmp_path_factory):
    directory = tmp_path_factory.mktemp("s")
    path = str(directory / "sock")
    d = daemon(listen=["unix:" + path])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as s:
        long = str(directory / "c")
        s.bind(long + "x" * (95 - len(long)) if len(long) < 95 else long)
        s.settimeout(seconds(10))
        s.connect(path)
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Sigferry-Service: ecs\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    assert len(upstream.requests) == 1


def test_a_stale_unix_socket_is_replaced(daemon, upstream, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    d = daemon(listen=["unix:" + path])
    with Client(path) as c:
        assert_ok(c.request("GET", ECHO, [("X-Sigferry-Service", "ecs")]))
    assert d.alive()


def test_a_file_in_place_of_the_unix_socket_stays(daemon, tmp_path):
    path = tmp_path / "sock"
    path.write_text("mine")
    d = daemon(_ready=False, listen=["unix:%s" % path])
    d.exit_status = 1
    assert d.wait() == 1 and str(path) in d.log
    assert path.read_text() == "mine"


def test_localhost_means_both_families(daemon, upstream):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no ::1 here")
    d = daemon(listen=["localhost:0"], _listeners=2)
    assert {a[0] for a in d.addresses()} == {"127.0.0.1", "::1"}
    for address in d.addresses():
        assert_ok(d.request("GET", ECHO, address=address))


def curl(*args, env=None):
    return subprocess.run(["curl", "-sS", "-i", "--max-time", str(int(seconds(15))), *args],
                          capture_output=True, text=True, env=clean_env("/nonexistent", env),
                          timeout=seconds(30))


def test_curl_with_http_proxy(shared, upstream):
    run = curl("http://iam.volcengineapi.com/?Action=ListUsers&Version=2018-01-01",
               env={"http_proxy": "http://127.0.0.1:%d" % shared.port})
    assert run.returncode == 0 and "200 OK" in run.stdout, (run.stdout, run.stderr)
    req = upstream.one("ListUsers")
    assert_scope(req, "iam", "cn-beijing")
    assert req.target == "/?Action=ListUsers&Version=2018-01-01"
    assert not any(n.startswith("proxy-") for n in req.names())


def test_curl_through_connect_is_told_what_to_do(shared, upstream):
    run = curl("-v", "https://iam.volcengineapi.com/?Action=ListUsers&Version=2018-01-01",
               env={"https_proxy": "http://127.0.0.1:%d" % shared.port})
    assert run.returncode != 0 and "405" in run.stdout + run.stderr
    assert upstream.accepted == 0
    with shared.client() as c:
        c.send("CONNECT iam.volcengineapi.com:443 HTTP/1.1\r\nHost: iam.volcengineapi.com:443\r\n\r\n")
        r = c.response()
        assert_error(r, 405, "MethodNotAllowed", "http://")


def test_curl_by_name_under_localhost(shared, upstream):
    run = curl("http://ecs.ap-southeast-2.localhost:%d/?Action=DescribeInstances&Version=2020-04-01"
               % shared.port)
    if "Could not resolve" in run.stderr:
        pytest.skip("this curl does not resolve *.localhost")
    assert "200 OK" in run.stdout, (run.stdout, run.stderr)
    assert_scope(upstream.one(), "ecs", "ap-southeast-2")
