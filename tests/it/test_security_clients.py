# SPDX-License-Identifier: Apache-2.0
"""Clients that identify themselves: local keys whose signature is verified, and tokens. Each test
tries to get in without the secret, or to make somebody else's request say something else."""

import hashlib
import statistics
import time

import pytest

import daemon as daemons
import signer
from checks import ECHO, assert_error, assert_ok
from client import chunked
from hostile import lines, raw, status_of

APP = ("local-app-1", "bG9jYWwtc2VjcmV0LW9mLWFwcC1vbmU=", None)
OTHER = ("local-app-2", "bG9jYWwtc2VjcmV0LW9mLWFwcC10d28=", None)
TOKEN = "a-client-token-of-sufficient-length"
BODY = b'{"a":1}'


def client_of(key, **more):
    return dict({"name": key[0], "access_key": key[0], "secret_key": key[1]}, **more)


@pytest.fixture(scope="module")
def keyed(module_daemon):
    return module_daemon(clients=[client_of(APP), client_of(OTHER, profile="second", policy="ro")],
                         policies=[{"name": "ro", "mode": "enforce", "allow": ["ecs:Describe*"]}])


def signed(d, method="POST", target=ECHO, headers=(), body=BODY, key=APP, service="ecs",
           region="cn-beijing", date=None):
    headers = [("Host", "127.0.0.1:%d" % d.port)] + list(headers)
    if not any(n == "Content-Type" for n, _ in headers):
        headers.append(("Content-Type", "application/json"))
    s = signer.sign(method, target, headers, body, key, service, region, date)
    return headers[1:] + list(s.headers.items())


def send(d, method, target, headers, body):
    with d.client() as c:
        return c.request(method, target, headers, body)


def test_a_verified_request_is_signed_anew(keyed, upstream):
    assert_ok(send(keyed, "POST", ECHO, signed(keyed), BODY))
    req = upstream.one()
    assert req.verdict.access_key == daemons.ACCESS_KEY and req.body == BODY
    assert APP[0].encode() not in req.head


def test_the_clients_own_profile_and_policy_hold(keyed, upstream):
    t = "/?Action=DescribeInstances&Version=2020-04-01"
    assert_ok(send(keyed, "POST", t, signed(keyed, target=t, key=OTHER), BODY))
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]
    t = "/?Action=DeleteInstance&Version=2020-04-01"
    r = send(keyed, "POST", t, signed(keyed, target=t, key=OTHER), BODY)
    assert_error(r, 403, "ActionNotAllowed")
    t = "/?Action=DescribeInstances&Version=2020-04-01"
    r = send(keyed, "POST", t, signed(keyed, target=t, key=OTHER)
             + [("X-Sigferry-Profile", "default")], BODY)
    assert_error(r, 403, "ClientNotAllowed", "default")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("settings, says", [
    ({"security": {"client_tokens": [TOKEN]}}, "send a token (X-Sigferry-Token or Authorization: Bearer)"),
    ({"clients": [client_of(APP)]}, "sign with a local key (clients)"),
    ({"security": {"allowed_uids": [4242]}}, "connect as an allowed user or group"),
    ({"security": {"client_tokens": [TOKEN], "allowed_uids": [4242]}, "clients": [client_of(APP)]},
     "send a token (X-Sigferry-Token or Authorization: Bearer), or sign with a local key (clients), or "
     "connect as an allowed user or group"),
    ({"security": {"client_tokens": [TOKEN], "allowed_gids": [4242]}},
     "send a token (X-Sigferry-Token or Authorization: Bearer), or connect as an allowed user or group")])
def test_who_is_unknown_is_told_the_ways(daemon, settings, says):
    meta = assert_error(daemon(**settings).request(), 403, "ClientNotAllowed")
    assert meta["Error"]["Message"] == "this listener wants to know its clients: " + says


def replace(headers, name, value):
    return [(n, value if n.lower() == name.lower() else v) for n, v in headers]


def without(headers, name):
    return [(n, v) for n, v in headers if n.lower() != name.lower()]


TAMPERED = {
    "method": lambda h: ("PUT", ECHO, h, BODY),
    "path": lambda h: ("POST", "/other" + ECHO[1:], h, BODY),
    "query": lambda h: ("POST", ECHO + "&Force=true", h, BODY),
    "action": lambda h: ("POST", ECHO.replace("Echo", "Delete"), h, BODY),
    "signed header": lambda h: ("POST", ECHO, replace(h, "Content-Type", "text/plain"), BODY),
    "date": lambda h: ("POST", ECHO, replace(h, "X-Date", signer.now_date(time.time() - 60)), BODY),
    "body": lambda h: ("POST", ECHO, h, b'{"a":2}'),
    "shorter body": lambda h: ("POST", ECHO, h, BODY[:-1]),
    "no body": lambda h: ("POST", ECHO, h, b""),
    "body and its hash": lambda h: (
        "POST", ECHO, replace(h, "X-Content-Sha256", hashlib.sha256(b"x").hexdigest()), b"x"),
    "hash alone": lambda h: ("POST", ECHO, replace(h, "X-Content-Sha256", "0" * 64), BODY),
    "no hash, though signed": lambda h: ("POST", ECHO, without(h, "X-Content-Sha256"), BODY),
    "no date": lambda h: ("POST", ECHO, without(h, "X-Date"), BODY),
    "two dates": lambda h: ("POST", ECHO, h + [("X-Date", "20200101T000000Z")], BODY),
    "two hashes": lambda h: ("POST", ECHO, h + [("X-Content-Sha256", "0" * 64)], BODY),
    "signed header twice": lambda h: ("POST", ECHO, h + [("Content-Type", "text/plain")], BODY),
    "two signatures": lambda h: ("POST", ECHO, h + [("Authorization", dict(h)["Authorization"])], BODY),
    "a token it has not": lambda h: ("POST", ECHO, h + [("X-Security-Token", "x")], BODY),
    "region of the scope": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].replace("cn-beijing", "cn-shanghai")), BODY),
    "service of the scope": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].replace("/ecs/", "/iam/")), BODY),
    "one bit of the signature": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"][:-1]
        + ("0" if dict(h)["Authorization"][-1] != "0" else "1")), BODY),
    "upper-case signature": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"][:-64]
        + dict(h)["Authorization"][-64:].upper()), BODY),
    "no signature": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].split(", Sig")[0]), BODY),
    "nothing signed": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].split("SignedHeaders=")[0]
        + "SignedHeaders=, Signature=" + "0" * 64), BODY),
    "another client's key": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].replace(APP[0], OTHER[0])), BODY),
    "an unknown key": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].replace(APP[0], "local-app-9")), BODY),
    "lower-case scheme": lambda h: ("POST", ECHO, replace(
        h, "Authorization", dict(h)["Authorization"].replace("HMAC-", "hmac-")), BODY),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_request_is_refused(keyed, upstream, what):
    r = send(keyed, *TAMPERED[what](signed(keyed)))
    assert_error(r, 403, "ClientNotAllowed")
    assert upstream.requests == []


def test_a_tampered_host_is_refused(keyed, upstream):
    headers = signed(keyed)
    with keyed.client() as c:
        r = c.request("POST", ECHO, headers, BODY, host="localhost:%d" % keyed.port)
    assert_error(r, 403, "ClientNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("away", [-901, 901, -86400, 86400 * 400])
def test_a_stale_or_future_date_is_refused(keyed, upstream, away):
    headers = signed(keyed, date=signer.now_date(time.time() + away))
    assert_error(send(keyed, "POST", ECHO, headers, BODY), 403, "ClientNotAllowed", "X-Date")
    assert upstream.requests == []


def test_a_claim_is_judged_before_the_body_is_taken(keyed, upstream):
    """A known access key alone makes nobody keep 5 MB, nor learn what the policy says."""
    wrong = [(n, v[:-4] + "0000" if n == "Authorization" else v) for n, v in signed(keyed)]
    with keyed.client() as c:
        c.send(c.head("POST", ECHO, wrong + [("Content-Length", str(5 << 20)), ("Expect", "100-continue")]))
        r = c.response()
    assert_error(r, 403, "ClientNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("away", [-880, 880])
def test_a_clock_within_the_window_is_fine(keyed, upstream, away):
    headers = signed(keyed, date=signer.now_date(time.time() + away))
    assert_ok(send(keyed, "POST", ECHO, headers, BODY))


def sign_only(d, names, headers=(), service="ecs", method="POST", body=BODY, target=ECHO):
    """A right signature that covers these fields and no others."""
    date, digest = signer.now_date(), hashlib.sha256(body).hexdigest()
    values = {"host": "127.0.0.1:%d" % d.port, "x-date": date, "x-content-sha256": digest}
    chosen = {n: values[n] for n in names}
    creq = signer.canonical_request(method, "/", signer.canonical_query(target[2:]), chosen, digest)
    scope = "%s/cn-beijing/%s/request" % (date[:8], service)
    key = signer.derive_key(APP[1], date[:8], "cn-beijing", service)
    mac = signer.hmac.new(key, signer.string_to_sign(date, scope, creq).encode(),
                          hashlib.sha256).hexdigest()
    return [("X-Date", date), ("X-Content-Sha256", digest), ("Authorization",
            "HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
            % (APP[0], scope, ";".join(sorted(chosen)), mac))] + list(headers)


@pytest.mark.parametrize("names", [["host", "x-date"], ["host", "x-content-sha256"], ["host"]])
def test_date_and_hash_must_be_signed(keyed, upstream, names):
    """A signature that covers less than the request must not vouch for the request."""
    assert_error(send(keyed, "POST", ECHO, sign_only(keyed, names), BODY), 403, "ClientNotAllowed")
    assert upstream.requests == []


def test_an_unsigned_host_leads_nowhere_else(keyed, upstream):
    """Some SDKs don't sign Host. What they signed for one service can't be sent to another."""
    names = ["x-date", "x-content-sha256"]
    assert_ok(send(keyed, "POST", ECHO, sign_only(keyed, names), BODY))
    for host, extra in (("iam.volcengineapi.com", []), (True, [("X-Sigferry-Service", "iam")]),
                        (True, [("X-Sigferry-Region", "ap-southeast-2")]),
                        ("iam.cn-beijing.localhost:%d" % keyed.port, [])):
        with keyed.client() as c:
            r = c.request("POST", ECHO, sign_only(keyed, names, extra), BODY, host=host)
        assert_error(r, 403, "ClientNotAllowed", "Host")
    assert len(upstream.requests) == 1


def test_a_hash_left_out_is_still_the_bodys(keyed, upstream):
    names = ["host", "x-date"]
    for body, status in ((BODY, 200), (b"other", 403)):
        headers = without(sign_only(keyed, names), "X-Content-Sha256")
        assert send(keyed, "POST", ECHO, headers, body).status == status
    assert len(upstream.requests) == 1


def test_without_a_signature_there_is_no_way_in(keyed, upstream):
    for headers in ([], [("Authorization", "Bearer " + APP[1])], [("X-Sigferry-Token", APP[1])],
                    [("Authorization", "HMAC-SHA256")],
                    [("Authorization", "HMAC-SHA256 Credential=%s" % APP[0])]):
        assert_error(keyed.request("GET", ECHO, headers), 403, "ClientNotAllowed")
    assert upstream.requests == []


def test_dry_run_and_presign_want_the_proof_as_well(daemon, upstream):
    d = daemon(clients=[client_of(APP)], security={"allow_presign": True})
    for option in ("X-Sigferry-Dry-Run", "X-Sigferry-Presign"):
        bad = replace(signed(d, "GET", body=b""), "X-Date", signer.now_date(time.time() - 30))
        r = send(d, "GET", ECHO, bad + [(option, "true")], b"")
        assert_error(r, 403, "ClientNotAllowed")
        assert_ok(send(d, "GET", ECHO, signed(d, "GET", body=b"") + [(option, "true")], b""))
    assert upstream.requests == []


def test_a_chunked_body_is_verified_too(keyed, upstream):
    """X-Content-Sha256 of a signed request is a claim to check, not one to trust: nothing streams."""
    for body, status in ((BODY, 200), (b'{"a":3}', 403)):
        head = [("Transfer-Encoding", "chunked")] + signed(keyed)
        with keyed.client() as c:
            c.send(c.head("POST", ECHO, head) + chunked(body[:3], body[3:]))
            assert c.response().status == status
    assert [r.body for r in upstream.requests] == [BODY]


def test_the_admin_address_verifies_as_well(keyed, upstream):
    host = "127.0.0.1:%d" % keyed.admin[1]
    good = signer.sign("GET", "/status", [("Host", host)], b"", APP, "ecs", "cn-beijing").headers
    with keyed.client(keyed.admin) as c:
        assert c.request("GET", "/status", dict(good)).status == 200
    with keyed.client(keyed.admin) as c:
        assert c.request("GET", "/metrics", dict(good)).status == 403
    with keyed.client(keyed.admin) as c:
        assert c.request("GET", "/status").status == 403


def test_nothing_of_a_local_secret_is_said(keyed, upstream):
    with keyed.client(keyed.admin) as c:
        host = "127.0.0.1:%d" % keyed.admin[1]
        h = signer.sign("GET", "/status", [("Host", host)], b"", APP, "ecs", "cn-beijing").headers
        status = c.request("GET", "/status", dict(h)).body.decode()
    for secret in (APP[1], OTHER[1]):
        assert secret not in keyed.log and secret not in status


# -- tokens ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def guarded(module_daemon):
    return module_daemon(security={"client_tokens": [TOKEN, "another-token-0123456789abcdef"]})


def test_tokens_of_any_wrongness_get_one_answer(guarded, upstream):  # T6
    """Length, common prefix, letters: nothing of it shows in what comes back."""
    answers = set()
    wrong = [TOKEN[:i] for i in range(1, len(TOKEN))] + [TOKEN + "x" * i for i in (1, 10, 1000)]
    wrong += [TOKEN[:i] + chr(ord(TOKEN[i]) ^ 1) + TOKEN[i + 1:] for i in range(len(TOKEN))]
    wrong += ["%032x" % i for i in range(1000 - len(wrong))]
    with guarded.client() as c:
        for token in wrong:
            r = c.request("GET", ECHO, [("X-Sigferry-Service", "ecs"), ("X-Sigferry-Token", token)])
            meta = assert_error(r, 403, "ClientNotAllowed")
            answers.add((r.message, r.reason, tuple(n for n, _ in r.headers), meta["Error"]["Code"]))
    assert len(wrong) == 1000 and len(answers) == 1, answers
    assert upstream.requests == []


def test_the_time_of_a_comparison_tells_nothing(guarded, upstream):  # T6
    """No token is found faster or slower by what it shares with a right one: medians within noise."""
    def cost(token):
        spent = []
        with guarded.client() as c:
            for _ in range(200):
                head = c.head("GET", ECHO, [("X-Sigferry-Service", "ecs"),
                                            ("X-Sigferry-Token", token)])
                start = time.perf_counter()
                c.send(head)
                c.response()
                spent.append(time.perf_counter() - start)
        return statistics.median(spent)

    near, far = TOKEN[:-1] + "X", "X" * len(TOKEN)
    rounds = [(cost(near), cost(far)) for _ in range(3)]
    assert min(abs(a - b) / max(a, b) for a, b in rounds) < 0.3, rounds


@pytest.mark.parametrize("headers,status", [
    (["X-Sigferry-Token: %s" % ("x" * 65536)], (431,)),
    (["X-Sigferry-Token: %s" % ("x" * 8000)], (403,)),
    (["Authorization: Bearer %s" % ("x" * 65536)], (431,)),
    (["X-Sigferry-Token: a", "X-Sigferry-Token: a"], (400, 403)),
    (["X-Sigferry-Token: %s" % TOKEN, "X-Sigferry-Token: %s" % TOKEN], (400, 403)),
    (["Authorization: Bearer %s" % TOKEN, "Authorization: Bearer %s" % TOKEN], (403,)),
    (["Proxy-Authorization: Bearer %s" % TOKEN, "Proxy-Authorization: Basic eA=="], (403,)),
    (["X-Sigferry-Token: wrong", "Authorization: Bearer %s" % TOKEN], (403,)),
    (["X-Sigferry-Token:", "X-Sigferry-Tokens: %s" % TOKEN], (400, 403)),
    (["X-Sigferry-Token: %s,%s" % (TOKEN, TOKEN)], (403,)),
    (["X-Sigferry-Token: \"%s\"" % TOKEN], (403,)),
    (["X-Sigferry-Token: %s" % TOKEN.upper()], (403,)),
    (["Cookie: X-Sigferry-Token=%s" % TOKEN], (403,)),
    (["Authorization: Basic %s" % TOKEN], (403,)),
    (["Authorization: Bearer"], (403,)),
    (["Authorization: Bearer "], (403,)),
    (["Authorization: Bearer  "], (403,)),
    (["Authorization: Token %s" % TOKEN], (403,)),
    (["Proxy-Authorization: %s" % TOKEN], (403,)),
])
def test_ways_around_the_token(guarded, upstream, headers, status):  # E16
    answers, closed, out = raw(guarded, lines(guarded, *headers, "Connection: close"))
    assert closed and status_of(out) in status, out[:300]
    assert upstream.requests == []


def test_a_token_in_the_query_is_no_token(guarded, upstream):
    r = guarded.request("GET", ECHO + "&X-Sigferry-Token=" + TOKEN)
    assert_error(r, 403, "ClientNotAllowed")


def test_the_scheme_of_a_bearer_token_knows_no_case(guarded, upstream):
    assert_ok(guarded.request("GET", ECHO, [("Authorization", "bEARER  " + TOKEN)]))
    assert_ok(guarded.request("GET", ECHO, [("Authorization", "Bearer another-token-0123456789abcdef")]))


def test_a_listeners_own_tokens_replace_the_global_ones(daemon, upstream):
    mine = "token-of-this-listener-only-0001"
    d = daemon(_listeners=2, security={"client_tokens": [TOKEN]}, listen=[
        {"address": "127.0.0.1:0"}, {"address": "127.0.0.2:0", "client_tokens": [mine]}])
    first, second = d.addresses()
    for address, token, ok in ((first, TOKEN, True), (first, mine, False), (second, mine, True),
                               (second, TOKEN, False)):
        r = d.request("GET", ECHO, [("X-Sigferry-Token", token)], address=address)
        assert (r.status == 200) == ok, (address, token, r)
    assert len(upstream.requests) == 2


def test_the_admin_address_takes_no_doubled_token(daemon, upstream):
    d = daemon(security={"client_tokens": [TOKEN]})
    for headers, status in (([("X-Sigferry-Token", TOKEN)], 200), ([], 403),
                            ([("X-Sigferry-Token", TOKEN), ("X-Sigferry-Token", "wrong")], 400),
                            ([("X-Sigferry-Token", "wrong"), ("X-Sigferry-Token", TOKEN)], 400),
                            ([("Authorization", "Bearer " + TOKEN)], 200)):
        with d.client(d.admin) as c:
            assert c.request("GET", "/status", headers).status == status, headers


def test_each_refusal_leaves_an_audit_line(guarded, upstream):
    mark = guarded.mark()
    guarded.request("GET", "/?Action=DescribeVpcs&Version=2020-04-01",
                    [("X-Sigferry-Token", "wrong-token-that-must-not-be-logged")])
    line = guarded.wait_log(r'"audit" verdict=refused .*', after=mark).string
    assert "127.0.0.1" in line and "wrong-token" not in guarded.log
