# SPDX-License-Identifier: Apache-2.0
"""Per-request options: each X-Sigferry-* header has its effect, none goes upstream, a bad one is
refused by name. Dry run and presigning by header."""

import hashlib
import json
import re
import urllib.parse

import pytest

import daemon as daemons
import leaks
import signer
from checks import ECHO, as_pairs, assert_error, assert_ok, assert_scope, fetch_presigned, own_host, target
from daemon import seconds, timed


def option(name, value):
    return "X-Sigferry-" + name, value


ONCE = option("Auto-Retry", "false")


def fail_first(n, status=503, code="Failing", headers=()):
    """A handler that answers with an error n times, then echoes."""
    def handler(ex):
        if ex.attempt <= n:
            ex.error(status, code, headers)
        else:
            ex.reply(200, {"ResponseMetadata": {}, "Result": {"Attempt": ex.attempt}})
    return handler


def retried(d, method, key, options=(), **kw):
    return d.request(method, target(key), own_host() + list(options), service=None, **kw)


# -- effects -----------------------------------------------------------------------------------

def test_profile(shared, upstream):
    assert_ok(shared.request("GET", ECHO, [option("Profile", "second")]))
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]
    r = shared.request("GET", ECHO, [option("Profile", "nosuch")])
    assert_error(r, 400, "InvalidOption", ["X-Sigferry-Profile", "nosuch"])
    assert len(upstream.requests) == 1


def test_scheme(daemon, make_upstream, shared, upstream):
    r = shared.request("GET", ECHO, [option("Scheme", "http")])
    assert r.status in (400, 403) and r.error in ("InvalidOption", "EndpointNotAllowed"), r
    assert "allow_http" in r.message
    plain = make_upstream(cert=None)
    d = daemon(_upstream=plain, security={"allow_http": True})
    assert_ok(d.request("GET", ECHO, [option("Scheme", "http")]))
    assert plain.one().get("Host") == "open.volcengineapi.com"
    assert_ok(shared.request("GET", ECHO, [option("Scheme", "https")]))
    assert len(upstream.requests) == 1


def test_scheme_by_configuration(daemon, make_upstream):
    plain = make_upstream(cert=None)
    d = daemon(_upstream=plain, endpoint={"scheme": "http"})
    assert_ok(d.request("GET", ECHO))
    assert_ok(d.request("GET", ECHO, [option("Scheme", "http")]))
    assert len(plain.requests) == 2


def test_connect_timeout(daemon, make_upstream):
    d = daemon(_upstream=make_upstream(hold=True))
    r, took = timed(d.request, "GET", ECHO, [option("Connect-Timeout", "0.2"), ONCE])
    assert_error(r, 504, "UpstreamConnectTimeout")
    assert 0.15 < took < seconds(3)


def test_read_timeout(shared, upstream):
    held = upstream.event()
    upstream.on("hold", lambda ex: held.wait(60))
    r, took = timed(shared.request, "GET", target("hold"), [option("Read-Timeout", "0.2"), ONCE])
    assert_error(r, 504, "UpstreamReadTimeout")
    assert 0.15 < took < seconds(3) and len(upstream.of("hold")) == 1


def test_request_timeout(shared, upstream):
    held = upstream.event()
    upstream.on("hold", lambda ex: held.wait(60))
    r, took = timed(shared.request, "GET", target("hold"), [option("Request-Timeout", "0.3")])
    assert_error(r, 504, "RequestTimeout")
    assert 0.25 < took < seconds(3) and len(upstream.of("hold")) == 1


def test_auto_retry_off_is_one_attempt(shared, upstream):
    upstream.on("f", fail_first(9))
    r = retried(shared, "GET", "f", [ONCE])
    assert r.status == 503 and r.error is None and len(upstream.of("f")) == 1
    assert r.get("X-Sigferry-Attempts") == "1"
    assert r.json["ResponseMetadata"]["Error"]["Code"] == "Failing"


def test_default_retries_until_it_works(shared, upstream):
    upstream.on("f", fail_first(2))
    r = assert_ok(retried(shared, "POST", "f", body=b"again"))
    assert r.get("X-Sigferry-Attempts") == "3" and r.result["Attempt"] == 3
    assert [q.body for q in upstream.of("f")] == [b"again"] * 3


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_num_max_retries(shared, upstream, retries):
    upstream.on("f", fail_first(9))
    r = retried(shared, "GET", "f", [option("Num-Max-Retries", str(retries))])
    assert r.status == 503 and r.error is None
    assert len(upstream.of("f")) == retries + 1
    assert r.get("X-Sigferry-Attempts") == str(retries + 1)


def test_min_retry_delay_and_exponential_backoff(shared, upstream):
    upstream.on("f", fail_first(2))
    assert_ok(retried(shared, "GET", "f", [
        option("Backoff-Strategy", "exponential"), option("Min-Retry-Delay-Ms", "100")]))
    a, b, c = (q.at for q in upstream.of("f"))
    assert 0.095 < b - a < seconds(1) and 0.19 < c - b < seconds(2)


def test_no_backoff(shared, upstream):
    upstream.on("f", fail_first(3))
    assert_ok(retried(shared, "GET", "f", [
        option("Backoff-Strategy", "none"), option("Min-Retry-Delay-Ms", "3000")]))
    first, *_, last = (q.at for q in upstream.of("f"))
    assert last - first < seconds(1)


def test_max_retry_delay_caps_retry_after(shared, upstream):
    upstream.on("f", fail_first(1, 429, "Throttled", [("Retry-After", "30")]))
    r, took = timed(retried, shared, "GET", "f", [option("Max-Retry-Delay-Ms", "300")])
    assert_ok(r)
    assert 0.25 < took < seconds(5)  # waited as long as the cap allows, not 30 s


def test_retry_error_codes(shared, upstream):
    upstream.on("f", fail_first(1, 200, "Busy.Now"))
    upstream.on("g", fail_first(1, 200, "Busy.Now"))
    codes = option("Retry-Error-Codes", "Other, Busy.Now")
    assert_ok(retried(shared, "GET", "f", [codes]))
    assert len(upstream.of("f")) == 2
    r = retried(shared, "GET", "g")
    assert r.json["ResponseMetadata"]["Error"]["Code"] == "Busy.Now"
    assert len(upstream.of("g")) == 1


# -- bad values --------------------------------------------------------------------------------

@pytest.mark.parametrize("name,values", [
    ("Scheme", ["ftp", "", "https "]),
    ("Dual-Stack", ["maybe", "2", ""]),
    ("Connect-Timeout", ["soon", "-1", "", "1s", "nan", "inf", "0x1"]),
    ("Read-Timeout", ["soon", "-0.5", "1,5"]),
    ("Request-Timeout", ["soon", "-1", "1e999"]),
    ("Auto-Retry", ["perhaps", ""]),
    ("Num-Max-Retries", ["many", "-1", "1.5", "99999999999999999999"]),
    ("Min-Retry-Delay-Ms", ["x", "-1"]),
    ("Max-Retry-Delay-Ms", ["x", "-1"]),
    ("Backoff-Strategy", ["quadratic", ""]),
    ("Dry-Run", ["maybe"]),
    ("Presign", ["maybe"]),
])
def test_a_value_that_does_not_parse(shared, upstream, name, values):
    for value in values:
        if value == "https ":  # trailing space is trimmed as in any header
            assert_ok(shared.request("GET", ECHO, [option(name, value)]))
            upstream.requests.clear()
            continue
        r = shared.request("GET", ECHO, [option(name, value)])
        assert_error(r, 400, "InvalidOption", ["X-Sigferry-" + name, value])
    assert upstream.requests == []


@pytest.mark.parametrize("name,nearest", [
    ("X-Sigferry-Servce", "X-Sigferry-Service"), ("X-Sigferry-Regions", "X-Sigferry-Region"),
    ("x-sigferry-readtimeout", "X-Sigferry-Read-Timeout"),
    ("X-Sigferry-Dryrun", "X-Sigferry-Dry-Run")])
def test_an_unknown_option_names_the_nearest(shared, upstream, name, nearest):
    r = shared.request("GET", ECHO, [(name, "1")])
    assert_error(r, 400, "InvalidOption", [name, nearest])
    assert upstream.requests == []


def test_an_option_given_twice(shared, upstream):
    for second in ("ecs", "vpc"):
        r = shared.request("GET", ECHO, [option("Service", second)])  # the helper adds another
        assert_error(r, 400, "InvalidOption", "X-Sigferry-Service")
    assert upstream.requests == []


# -- dry run -----------------------------------------------------------------------------------

def test_dry_run_shows_the_signature_and_sends_nothing(shared, upstream):
    body = b'{"x":1}'
    r = assert_ok(shared.request("POST", "/?Version=2020-04-01&Action=Echo", [
        option("Dry-Run", "true"), ("Content-Type", "application/json"), ("X-Mine", "yes"),
        option("Region", "ap-southeast-2")], body))
    assert upstream.requests == [] and upstream.accepted == 0
    assert r.get("Content-Type").startswith("application/json")
    j = r.json
    assert j["method"] == "POST"
    assert j["url"] == "https://ecs.ap-southeast-2.volcengineapi.com" + ECHO
    headers = as_pairs(j["headers"])
    sent = [("Host", "ecs.ap-southeast-2.volcengineapi.com"), ("X-Mine", "yes"),
            ("Content-Type", "application/json")]
    want = signer.sign("POST", ECHO, sent, body, (daemons.ACCESS_KEY, daemons.SECRET_KEY, None),
                       "ecs", "ap-southeast-2", headers["x-date"])
    assert j["canonical_request"] == want.canonical_request
    assert j["string_to_sign"] == want.string_to_sign
    assert daemons.SECRET_KEY not in r.body.decode()
    scope = want.headers["Authorization"].partition(", Signature=")[0]
    assert headers["authorization"].startswith(scope)


def test_dry_run_masks_the_session_token(shared, upstream):
    r = assert_ok(shared.request("GET", ECHO, [option("Dry-Run", "true"),
                                               option("Profile", "token")]))
    text = r.body.decode() + str(r.headers)
    assert daemons.TOKEN_KEY[2] not in json.loads(r.body)["canonical_request"]
    assert daemons.TOKEN_KEY[2] not in text and daemons.TOKEN_KEY[1] not in text
    assert "x-security-token" in r.json["canonical_request"]


def test_dry_run_refuses_what_a_request_would_be_refused(shared, upstream):
    r = shared.request("GET", "/?a=%", [option("Dry-Run", "true")])
    assert_error(r, 400, "InvalidQuery")


def test_dry_run_false_sends(shared, upstream):
    assert_ok(shared.request("GET", ECHO, [option("Dry-Run", "false")]))
    assert len(upstream.requests) == 1


# -- presign -----------------------------------------------------------------------------------

def test_presign_needs_permission(shared, upstream):
    r = shared.request("GET", ECHO, [option("Presign", "true")])
    assert_error(r, 403, "PresignNotAllowed", "allow_presign")
    assert upstream.requests == []


@pytest.mark.parametrize("profile", ["default", "token"])
def test_presigned_url_is_valid(daemon, upstream, certs, profile):
    d = daemon(security={"allow_presign": True})
    r = assert_ok(d.request("GET", "/a%20b?Action=Echo&Name=a+b%2Fc%C3%A9&Version=2020-04-01", [
        option("Presign", "true"), option("Region", "ap-southeast-2"),
        option("Profile", profile)]))
    assert upstream.requests == []
    url = r.body.decode().strip()
    assert url.startswith("https://ecs.ap-southeast-2.volcengineapi.com/a%20b?")
    if profile == "token":  # a link is worth nothing without it
        leaks.allow(daemons.TOKEN_KEY[2])
        assert urllib.parse.quote_plus(daemons.TOKEN_KEY[2]) in url
    assert fetch_presigned(url, upstream, certs)[0] == 200
    req = upstream.one()
    assert req.verdict.presigned
    assert_scope(req, "ecs", "ap-southeast-2")


# -- client-supplied hash ----------------------------------------------------------------------

def test_hash_must_be_64_hex_digits(shared, upstream):
    for bad in ("abc", "g" * 64, "a" * 63, "a" * 65, ""):
        r = shared.request("POST", ECHO, [("X-Content-Sha256", bad)], b"x")
        assert r.status == 400 and r.error in ("InvalidOption", "InvalidRequest"), (bad, r)
        assert "X-Content-Sha256" in r.message
    assert upstream.requests == []


def test_hash_in_upper_case_is_sent_in_lower(shared, upstream):
    digest = hashlib.sha256(b"body").hexdigest()
    assert_ok(shared.request("POST", ECHO, [("X-Content-Sha256", digest.upper())], b"body"))
    assert upstream.one().get("X-Content-Sha256") == digest


# -- what log.debug traces ---------------------------------------------------------------------

TRACES = {
    "request": r"POST / to \S",
    "request_body": r"body from byte 0: what-is-asked",
    "request_id": r"X-Tt-Logid log-17",
    "response": r"status 200",
    "response_body": r"answer from byte 0: what-is-answered",
    "signing": r"string to sign HMAC-SHA256",
    "endpoint": r"ecs in cn-beijing is served by",
    "retries": r"RECV -> TRY",
    "config": r"configuration: retry\.num_max_retries = 3",
}


def test_a_traced_answer_shows_no_token(daemon, upstream):
    """An upstream may send back what it got; also in pieces."""
    d = daemon(log={"debug": ["response_body"]}, profile="token")
    upstream.on("back", lambda ex: (ex.stream_head("text/plain"), [ex.chunk(p) for p in (
        b"before ", ex.req.get("X-Security-Token")[:40].encode(), ex.req.get("X-Security-Token")[40:].encode(), b" after")],
        ex.send(b"0\r\n\r\n")))
    r = assert_ok(d.request("GET", target("back")))
    token = daemons.TOKEN_KEY[2]
    assert token.encode() in r.body
    d.wait_log("not shown, it quotes a key or token")
    assert token[:20] not in d.log and token[-20:] not in d.log and "before" in d.log


@pytest.mark.parametrize("category", TRACES)
def test_each_debug_category_traces_its_own(daemon, upstream, category):
    d = daemon(log={"debug": [category]})
    upstream.on("traced", lambda ex: ex.reply(200, b"what-is-answered", [("X-Tt-Logid", "log-17")],
                                              "text/plain"))
    assert_ok(d.request("POST", target("traced"), body=b"what-is-asked"))
    d.wait_log("msg=\"?access")
    for name, pattern in TRACES.items():
        assert bool(re.search(pattern, d.log)) == (name == category), (name, d.log)
