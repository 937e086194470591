# SPDX-License-Identifier: Apache-2.0
"""The main job: an unsigned request goes in, a request with a valid signature comes out."""

import re

import pytest

import daemon as daemons
from checks import ECHO, assert_ok, assert_scope, target

FORM = "application/x-www-form-urlencoded; charset=utf-8"
MADE = {"host", "authorization", "x-date", "x-content-sha256", "content-type", "content-length"}


def test_unsigned_get_arrives_signed(shared, upstream):
    r = assert_ok(shared.request("GET", ECHO))
    req = upstream.one()
    assert_scope(req, "ecs", "cn-beijing")
    assert req.verdict.access_key == daemons.ACCESS_KEY
    assert req.get("Host") == "open.volcengineapi.com"
    assert (req.method, req.target, req.version) == ("GET", ECHO, "HTTP/1.1")
    assert req.get("Content-Type") is None and req.body_len == 0
    assert r.get("X-Sigferry-Attempts") == "1" and r.get("X-Sigferry-Request-Id")
    assert r.json["ResponseMetadata"]["RequestId"] == "up-1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method(shared, upstream, method):
    r = shared.request(method, ECHO)
    assert r.status == 200, r
    req = upstream.one()
    assert req.method == method and req.verdict.ok
    if method == "HEAD":
        assert r.body == b"" and r.get("Content-Length") == "1234"
    else:
        assert r.result["Method"] == method


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("body,ctype", [
    (b'{"CidrBlock":"192.168.0.0/16","Name":"\xe4\xb8\xad"}', "application/json"),
    (b"InstanceName=a+b&Count=1&X=%20%2B", "application/x-www-form-urlencoded"),
    (bytes(range(256)) * 300, "application/octet-stream"),
], ids=["json", "form", "binary"])
def test_bodies(shared, upstream, method, body, ctype):
    assert_ok(shared.request(method, ECHO, [("Content-Type", ctype)], body))
    req = upstream.one()
    assert req.body == body and req.get("Content-Type") == ctype and req.method == method


def test_empty_bodies_get_a_content_type_but_for_get(shared, upstream):
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        shared.request(method, target(method))
        req = upstream.one(method)
        assert req.get("Content-Type") == (None if method == "GET" else FORM), method
        assert req.body_len == 0


def test_default_content_type_of_a_body(shared, upstream):
    for method in ("GET", "POST", "DELETE"):
        assert_ok(shared.request(method, target(method), body=b"x=1"))
        assert upstream.one(method).get("Content-Type") == FORM


def test_given_content_type_stays_without_a_body(shared, upstream):
    assert_ok(shared.request("GET", ECHO, [("Content-Type", "text/plain")]))
    assert upstream.one().get("Content-Type") == "text/plain"
    assert "content-type" in upstream.one().verdict.signed


def test_one_framing_header_goes_upstream(shared, upstream):
    assert_ok(shared.request("POST", target("p"), body=b"12345"))
    assert upstream.one("p").get("Content-Length") == "5"
    assert_ok(shared.request("GET", target("g")))
    assert upstream.one("g").all("Transfer-Encoding") == []


def test_nothing_of_ours_and_nothing_else_is_added(shared, upstream):
    assert_ok(shared.request("POST", ECHO, [("Accept", "application/json"), ("User-Agent", "t/1"),
                                            ("X-Sigferry-Region", "ap-southeast-2")], b"{}"))
    req = upstream.one()
    assert set(req.names()) == MADE | {"accept", "user-agent"}
    assert (req.get("Accept"), req.get("User-Agent")) == ("application/json", "t/1")
    assert b"sigferry" not in req.head.lower()


def test_x_headers_and_content_md5_are_signed(shared, upstream):
    assert_ok(shared.request("PUT", ECHO, [
        ("X-Custom", "one"), ("x-another-one", " two "), ("Content-Md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
        ("Content-Type", "text/plain")], b"hello world"))
    req = upstream.one()
    assert req.verdict.signed == ("content-md5", "content-type", "host", "x-another-one",
                                  "x-content-sha256", "x-custom", "x-date")
    assert (req.get("X-Custom"), req.get("X-Another-One")) == ("one", "two")
    assert req.get("Content-Md5") == "XrY7u+Ae7tCTyyK7j1rNww=="


def test_a_signed_header_given_twice_is_joined(shared, upstream):
    assert_ok(shared.request("GET", ECHO, [("X-Many", "a"), ("Accept", "b"), ("x-many", "c")]))
    assert re.fullmatch("a, ?c", upstream.one().get("X-Many"))


def test_what_the_client_signed_with_is_made_anew(shared, upstream):
    dummy = "HMAC-SHA256 Credential=AKdummy/20200101/cn-beijing/ecs/request, " \
            "SignedHeaders=host;x-date, Signature=" + "0" * 64
    assert_ok(shared.request("POST", ECHO, [
        ("Authorization", dummy), ("X-Date", "20200101T000000Z"), ("X-Content-Sha256", "f" * 64),
        ("X-Security-Token", "dummy")], b"body"))
    req = upstream.one()  # the upstream has verified date, hash, key and that each occurs once
    assert req.verdict.access_key == daemons.ACCESS_KEY
    assert req.get("X-Security-Token") is None and b"dummy" not in req.head


def test_a_foreign_authorization_is_not_forwarded(shared, upstream):
    assert_ok(shared.request("GET", ECHO, [("Authorization", "Bearer of-someone-else")]))
    assert b"someone-else" not in upstream.one().head


def test_session_token_is_sent_and_signed(daemon, upstream):
    d = daemon(profile="token")
    assert_ok(d.request("GET", ECHO))
    req = upstream.one()
    assert req.get("X-Security-Token") == daemons.TOKEN_KEY[2]
    assert "x-security-token" in req.verdict.signed


def test_each_request_has_its_own_id(shared, upstream):
    ids = {assert_ok(shared.request()).get("X-Sigferry-Request-Id") for _ in range(5)}
    assert len(ids) == 5


def test_the_access_log_tells_the_request(shared, upstream):
    mark = shared.mark()
    r = assert_ok(shared.request("POST", "/?Action=RunInstances&Version=2020-04-01", body=b"abc"))
    line = shared.wait_log('msg="access".*' + re.escape(r.get("X-Sigferry-Request-Id")), after=mark).string
    for part in ("POST", "ecs", "cn-beijing", "RunInstances", "2020-04-01", "200"):
        assert part in line, line


def test_no_secret_in_the_log(shared, upstream):
    for text in daemons.SECRETS:
        assert text not in shared.log
