# SPDX-License-Identifier: Apache-2.0
"""Which service, region and upstream: the five rules, their order, and what is refused."""

import urllib.parse

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, assert_scope, target

AUTHORIZATION = ("Authorization", "HMAC-SHA256 Credential=AKdummy/20200101/%s/request, "
                                  "SignedHeaders=host;x-date, Signature=" + "0" * 64)


def scope(region, service):
    return AUTHORIZATION[0], AUTHORIZATION[1] % (region + "/" + service)


def service(name):
    return "X-Sigferry-Service", name


def region(name):
    return "X-Sigferry-Region", name


def ask(d, upstream, headers=(), host=True, path=ECHO, **kw):
    """A request that must pass; returns what the upstream saw."""
    n = len(upstream.requests)
    assert_ok(d.request("GET", path, headers, host=host, service=None, **kw))
    assert len(upstream.requests) == n + 1
    return upstream.requests[-1]


# -- rule 1: headers ---------------------------------------------------------------------------

def test_headers_name_service_and_region(shared, upstream):
    req = ask(shared, upstream, [service("vpc"), region("ap-southeast-2")])
    assert_scope(req, "vpc", "ap-southeast-2")
    assert req.get("Host") == "vpc.ap-southeast-2.volcengineapi.com"


def test_global_service_and_underscore(shared, upstream):
    req = ask(shared, upstream, [service("iam"), region("ap-southeast-2")])
    assert_scope(req, "iam", "ap-southeast-2")
    assert req.get("Host") == "iam.volcengineapi.com"
    req = ask(shared, upstream, [service("rds_mysql"), region("ap-southeast-2")])
    assert_scope(req, "rds_mysql", "ap-southeast-2")
    assert req.get("Host") == "rds-mysql.ap-southeast-2.volcengineapi.com"


def test_service_in_another_case_is_found(shared, upstream):
    req = ask(shared, upstream, [service("ECS"), region("ap-southeast-2")])
    assert_scope(req, "ecs", "ap-southeast-2")
    assert req.get("Host") == "ecs.ap-southeast-2.volcengineapi.com"


def test_unknown_service_and_region_fall_back(shared, upstream):
    req = ask(shared, upstream, [service("nosuch"), region("ap-southeast-2")])
    assert_scope(req, "nosuch", "ap-southeast-2")
    assert req.get("Host") == "open.volcengineapi.com"
    req = ask(shared, upstream, [service("ecs"), region("mars-1")])
    assert_scope(req, "ecs", "mars-1")
    assert req.get("Host") == "open.volcengineapi.com"


@pytest.mark.parametrize("name", ["Service", "Region"])
@pytest.mark.parametrize("value", ["a/b", "a b", "a.b", "x" * 65, "a\xe9"])
def test_a_service_or_region_that_is_no_label(shared, upstream, name, value):
    headers = [("X-Sigferry-" + name, value)]
    r = shared.request("GET", ECHO, headers, service=None if name == "Service" else "ecs")
    assert r.status == 400 and r.error in ("InvalidOption", "InvalidRequest"), r
    assert "X-Sigferry-" + name in r.message
    assert upstream.requests == []


# -- rule 2: the host asked for ----------------------------------------------------------------

@pytest.mark.parametrize("host,svc,reg", [
    ("ecs.cn-beijing-autodriving.volcengineapi.com", "ecs", "cn-beijing-autodriving"),
    ("ecs.cn-beijing.volcengineapi.com", "ecs", "cn-beijing"),
    ("iam.volcengineapi.com", "iam", "cn-beijing"),
    ("rds-mysql.ap-southeast-2.volcengineapi.com", "rds_mysql", "ap-southeast-2"),
    ("redis.ap-southeast-2.volcengineapi.com", "redis", "ap-southeast-2"),
    ("vpc.ap-southeast-2.volcengine-api.com", "vpc", "ap-southeast-2"),
    ("ECS.Ap-Southeast-2.VolcengineAPI.com", "ecs", "ap-southeast-2"),
    ("newservice.ap-southeast-2.volcengineapi.com", "newservice", "ap-southeast-2"),
])
def test_host_of_a_known_endpoint(shared, upstream, host, svc, reg):
    req = ask(shared, upstream, host=host)
    assert_scope(req, svc, reg)
    assert req.get("Host") == host.lower()


@pytest.mark.parametrize("port", [80, 443])
def test_known_host_with_a_usual_port(shared, upstream, port):
    assert_scope(ask(shared, upstream, host="iam.volcengineapi.com:%d" % port), "iam", "cn-beijing")


def test_known_host_with_the_listeners_port(shared, upstream):
    req = ask(shared, upstream, host="iam.volcengineapi.com:%d" % shared.port)
    assert_scope(req, "iam", "cn-beijing")
    assert req.get("Host") == "iam.volcengineapi.com"


def test_known_host_with_another_port(shared, upstream):
    r = shared.request("GET", ECHO, host="iam.volcengineapi.com:1", service=None)
    assert_error(r, 403, "HostNotAllowed")
    assert upstream.requests == []


def test_open_names_neither_service_nor_region(shared, upstream):
    r = shared.request("GET", ECHO, host="open.volcengineapi.com", service=None)
    assert_error(r, 400, "MissingService")
    req = ask(shared, upstream, [service("ecs"), region("ap-southeast-2")],
              host="open.volcengineapi.com")
    assert_scope(req, "ecs", "ap-southeast-2")
    assert req.get("Host") == "open.volcengineapi.com"


@pytest.mark.parametrize("host", [
    "evil.example", "volcengineapi.com.evil.example", "ecs.volcengineapi.com.evil.example",
    "evilvolcengineapi.com", "volcengineapi.com", "a.b.c.volcengineapi.com",
    "ecs.cn-beijing.byteplusapi.com", "127.0.0.1.nip.io", "0.0.0.0", "169.254.169.254", "localhost."])
def test_a_host_that_is_no_endpoint(shared, upstream, host):
    assert_error(shared.request("GET", ECHO, host=host), 403, "HostNotAllowed")
    assert upstream.requests == []


def test_a_header_naming_another_service_than_the_host(shared, upstream):
    r = shared.request("GET", ECHO, host="iam.volcengineapi.com", service="ecs")
    assert_error(r, 403, "EndpointNotAllowed", ["ecs", "iam"])
    assert upstream.requests == []
    assert_scope(ask(shared, upstream, [service("iam")], host="iam.volcengineapi.com"),
                 "iam", "cn-beijing")


def test_host_of_a_configured_service(daemon, upstream):
    d = daemon(endpoint={"services": [{"service": "ecs", "host": "ecs.internal:8443"}]})
    req = ask(d, upstream, host="ecs.internal:8443")
    assert_scope(req, "ecs", "cn-beijing")
    assert req.get("Host") == "ecs.internal:8443"
    assert_error(d.request("GET", ECHO, host="other.internal:8443"), 403, "HostNotAllowed")


# -- rule 2 as a proxy: absolute-form ----------------------------------------------------------

def test_absolute_form(shared, upstream):
    path = "http://iam.volcengineapi.com" + target("abs")
    req = ask(shared, upstream, host="iam.volcengineapi.com", path=path)
    assert_scope(req, "iam", "cn-beijing")
    assert req.target == target("abs").replace("Action=Echo&Version=2020-04-01&Id=abs",
                                               "Action=Echo&Id=abs&Version=2020-04-01")


def test_absolute_form_without_a_path(shared, upstream):
    req = ask(shared, upstream, host="iam.volcengineapi.com", path="http://iam.volcengineapi.com")
    assert req.target == "/"


def test_absolute_form_and_host_must_agree(shared, upstream):
    r = shared.request("GET", "http://iam.volcengineapi.com" + ECHO, service=None,
                       host="ecs.cn-beijing.volcengineapi.com")
    assert_error(r, 400, "InvalidRequest")
    assert upstream.requests == []


@pytest.mark.parametrize("url", ["http://evil.example/", "http://evil.example:443/",
                                 "http://iam.volcengineapi.com.evil.example/"])
def test_absolute_form_elsewhere(shared, upstream, url):
    r = shared.request("GET", url, host=url.split("/")[2])
    assert_error(r, 403, "HostNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("url", ["http://u@iam.volcengineapi.com/", "ftp://iam.volcengineapi.com/"])
def test_absolute_form_malformed(shared, upstream, url):
    r = shared.request("GET", url, host=url.split("/")[2])
    assert r.status in (400, 403) and r.error, r
    assert upstream.requests == []


# -- rule 3: SERVICE[.REGION].localhost --------------------------------------------------------

@pytest.mark.parametrize("label,svc,reg,host", [
    ("vpc.ap-southeast-2", "vpc", "ap-southeast-2", "vpc.ap-southeast-2.volcengineapi.com"),
    ("iam", "iam", "cn-beijing", "open.volcengineapi.com"),
    ("iam.ap-southeast-2", "iam", "ap-southeast-2", "iam.volcengineapi.com"),
    ("rds_mysql.ap-southeast-2", "rds_mysql", "ap-southeast-2",
     "rds-mysql.ap-southeast-2.volcengineapi.com"),
    ("VPC.AP-Southeast-2", "vpc", "ap-southeast-2", "vpc.ap-southeast-2.volcengineapi.com"),
])
def test_localhost_names(shared, upstream, label, svc, reg, host):
    req = ask(shared, upstream, host="%s.localhost:%d" % (label, shared.port))
    assert_scope(req, svc, reg)
    assert req.get("Host") == host


def test_localhost_name_in_absolute_form(shared, upstream):
    host = "vpc.ap-southeast-2.localhost:%d" % shared.port
    req = ask(shared, upstream, host=host, path="http://%s%s" % (host, ECHO))
    assert_scope(req, "vpc", "ap-southeast-2")


@pytest.mark.parametrize("label", ["a.b.c", "", "-.-.-", "x" * 65])
def test_localhost_names_that_say_nothing(shared, upstream, label):
    r = shared.request("GET", ECHO, host="%s.localhost:%d" % (label, shared.port))
    assert r.status in (400, 403) and r.error, r
    assert upstream.requests == []


# -- rule 4: the scope of a signature that came with the request -------------------------------

def test_scope_of_an_sdks_signature(shared, upstream):
    req = ask(shared, upstream, [scope("ap-southeast-2", "rds_mysql")])
    assert_scope(req, "rds_mysql", "ap-southeast-2")
    assert req.verdict.access_key == daemons.ACCESS_KEY


@pytest.mark.parametrize("value", ["HMAC-SHA256 Credential=AK/20200101/cn-beijing", "HMAC-SHA256",
                                   "Basic dXNlcjpwYXNz"])
def test_an_authorization_that_names_no_scope(shared, upstream, value):
    r = shared.request("GET", ECHO, [("Authorization", value)], service=None)
    assert r.status == 400 and r.error in ("MissingService", "InvalidRequest"), r
    assert upstream.requests == []


# -- rule 5: listener, route, global -----------------------------------------------------------

@pytest.fixture(scope="module")
def ruled(module_daemon):
    """A second listener names vpc; routes below; globally sts in cn-north-1."""
    return module_daemon(
        _listeners=2, service="sts", region="cn-north-1",
        listen=[{"address": "127.0.0.1:0"},
                {"address": "127.0.0.2:0", "service": "vpc", "region": "ap-southeast-2"}],
        routes=[
            {"prefix": "/ecs", "service": "ecs", "region": "ap-southeast-3", "strip_prefix": True},
            {"prefix": "/ecs/deep", "service": "iam", "strip_prefix": True},
            {"prefix": "/keep", "service": "redis"},
            {"prefix": "/a~b", "service": "kms", "strip_prefix": True},
        ])


@pytest.mark.parametrize("path,svc,reg,want", [
    ("/", "sts", "cn-north-1", "/"),
    ("/ecs", "ecs", "ap-southeast-3", "/"),
    ("/ecs/", "ecs", "ap-southeast-3", "/"),
    ("/ecs/x/y?b=1&a=2", "ecs", "ap-southeast-3", "/x/y?a=2&b=1"),
    ("/ecs?Action=A", "ecs", "ap-southeast-3", "/?Action=A"),
    ("/%65cs/x", "ecs", "ap-southeast-3", "/x"),
    ("/ecsx/y", "sts", "cn-north-1", "/ecsx/y"),
    ("/x/ecs", "sts", "cn-north-1", "/x/ecs"),
    ("/ecs/deep/z", "iam", "cn-north-1", "/z"),
    ("/ecs/deeper", "ecs", "ap-southeast-3", "/deeper"),
    ("/keep/z", "redis", "cn-north-1", "/keep/z"),
    ("/a%7Eb/z", "kms", "cn-north-1", "/z"),
])
def test_routes_and_global_keys(ruled, upstream, path, svc, reg, want):
    req = ask(ruled, upstream, path=path)
    assert_scope(req, svc, reg)
    assert req.target == want


def test_strip_prefix_holds_when_another_rule_named_the_service(ruled, upstream):
    req = ask(ruled, upstream, [service("waf")], path="/ecs/x")
    assert_scope(req, "waf", "ap-southeast-3")
    assert req.target == "/x"


def test_listener_goes_before_route(ruled, upstream):
    req = ask(ruled, upstream, path="/ecs/x", address=ruled.addresses()[1])
    assert_scope(req, "vpc", "ap-southeast-2")
    assert req.target == "/x"


def test_scope_goes_before_listener(ruled, upstream):
    req = ask(ruled, upstream, [scope("cn-beijing-autodriving", "redis")],
              address=ruled.addresses()[1])
    assert_scope(req, "redis", "cn-beijing-autodriving")


def test_localhost_name_goes_before_scope(ruled, upstream):
    address = ruled.addresses()[1]
    req = ask(ruled, upstream, [scope("cn-beijing-autodriving", "redis")], address=address,
              host="kms.localhost:%d" % address[1])
    assert_scope(req, "kms", "cn-beijing-autodriving")  # each is filled by the first that knows it


def test_host_goes_before_scope(ruled, upstream):
    req = ask(ruled, upstream, [scope("ap-southeast-3", "redis")],
              host="vpc.ap-southeast-2.volcengineapi.com")
    assert_scope(req, "vpc", "ap-southeast-2")
    req = ask(ruled, upstream, [scope("ap-southeast-3", "redis")], host="iam.volcengineapi.com")
    assert_scope(req, "iam", "ap-southeast-3")


def test_header_goes_before_all(ruled, upstream):
    address = ruled.addresses()[1]
    req = ask(ruled, upstream, [service("waf"), scope("ap-southeast-3", "redis")], address=address)
    assert_scope(req, "waf", "ap-southeast-3")
    req = ask(ruled, upstream, [region("ap-southeast-3")], host="iam.volcengineapi.com")
    assert_scope(req, "iam", "ap-southeast-3")
    req = ask(ruled, upstream, [service("waf"), region("ap-southeast-3")], address=address,
              host="kms.cn-beijing.localhost:%d" % address[1])
    assert_scope(req, "waf", "ap-southeast-3")


# -- nothing names it --------------------------------------------------------------------------

def test_missing_service_names_the_ways(shared, upstream):
    r = shared.request("GET", ECHO, service=None)
    meta = assert_error(r, 400, "MissingService", ["X-Sigferry-Service", "localhost"])
    assert (meta.get("Action"), meta.get("Version")) == ("Echo", "2020-04-01")
    assert upstream.requests == []


def test_missing_region_names_the_ways(daemon, upstream):
    d = daemon(region=None)
    meta = assert_error(d.request("GET", ECHO), 400, "MissingRegion", "X-Sigferry-Region")
    assert meta.get("Service") == "ecs"
    assert upstream.requests == []
    assert_scope(ask(d, upstream, [service("ecs"), region("cn-beijing")]), "ecs", "cn-beijing")


# -- the commands ------------------------------------------------------------------------------

ECS_HOST = "ecs.cn-beijing.volcengineapi.com"
SHARED_HOST = [{"service": "ecs", "host": "ecs.internal"}, {"service": "vpc", "host": "ecs.internal"}]


@pytest.mark.parametrize("settings,host,wanted,svc", [
    ({"endpoint": {"services": [{"service": "vpc", "host": ECS_HOST}]}}, ECS_HOST, None, "vpc"),
    ({"endpoint": {"host": ECS_HOST}, "service": "sts"}, ECS_HOST, None, "sts"),
    ({"endpoint": {"services": SHARED_HOST}, "service": "vpc"}, "ecs.internal", None, "vpc"),
    ({"endpoint": {"services": SHARED_HOST}, "service": "iam"}, "ecs.internal", "VPC", "vpc"),
    ({"endpoint": {"services": [{"service": "MySvc", "host": "ecs.internal"}]}}, "open.volcengineapi.com",
     "mysvc", "MySvc"),
    ({"service": "mysvc", "endpoint": {"services": [{"service": "MySvc", "host": "ecs.internal"}]}},
     "open.volcengineapi.com", None, "MySvc"),
], ids=["a service by name before the table", "one host for all before the table", "a shared host says none",
        "a shared host and a wanted service", "spelling asked for", "spelling configured"])
def test_sign_and_presign_name_the_service_that_the_daemon_does(daemon, upstream, settings, host, wanted, svc):
    d = daemon(**settings)
    assert_scope(ask(d, upstream, [service(wanted)] if wanted else [], host=host), svc, "cn-beijing")
    for command in ("sign", "presign"):
        run = daemons.command(command, "-c", d.path, *(["-s", wanted] if wanted else []),
                              "https://%s%s" % (host, ECHO))
        assert "/cn-beijing/%s/request" % svc in urllib.parse.unquote(run.stdout), run


def test_sign_takes_a_clouds_host_under_any_port(daemon):
    run = daemons.command("sign", "-c", daemon().path, "https://vpc.ap-southeast-2.volcengineapi.com:8443" + ECHO)
    assert "/ap-southeast-2/vpc/request" in run.stdout, run
