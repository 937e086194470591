# SPDX-License-Identifier: Apache-2.0
"""Policies, and every way around one that was thought of: the confused-deputy rules of the proxy."""

import hashlib
import re

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, assert_scope
from client import chunked

SERVICE = ("X-Sigferry-Service", "ecs")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
READ = "/?Action=DescribeInstances&Version=2020-04-01"
KILL = "/?Action=DeleteInstance&Version=2020-04-01"


def policy(mode="enforce", **kw):
    return [dict({"name": "p", "mode": mode}, **kw)]


@pytest.fixture(scope="module")
def readonly(module_daemon):
    return module_daemon(policy="p", policies=policy(allow=["ecs:Describe*", "tos:*"],
                                                     deny=["ecs:DescribeSecrets"]))


def test_what_is_allowed_passes(readonly, upstream):
    assert_ok(readonly.request("GET", READ))
    assert_ok(readonly.request("GET", "/bucket/key", service="tos"))
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("query", [
    "Action=DeleteInstance&Version=2020-04-01",
    "Action=DescribeSecrets&Version=2020-04-01",
    "Action=describesecrets&Version=2020-04-01",
    "Action=%44elete%49nstance&Version=2020-04-01",
    "%41ction=DeleteInstance&Version=2020-04-01",
    "action=DeleteInstance&Version=2020-04-01",
    "ACTION=DeleteInstance&Version=2020-04-01",
    "Version=2020-04-01",
    "Version=2020-04-01&Action=",
    "Version=2020-04-01&Action",
    "Version=2020-04-01&Action+=DescribeInstances",
    "Version=2020-04-01&Action%00=DescribeInstances",
    "Version=2020-04-01&Action[]=DescribeInstances",
    "Version=2020-04-01&Actions=DescribeInstances",
    "Action=XDescribeInstances&Version=2020-04-01",
    "Action=%20DescribeInstances&Version=2020-04-01",
    "Action=DeleteInstance%0aDescribe&Version=2020-04-01",
    "Action=*&Version=2020-04-01",
    "Action=ecs:DescribeInstances&Version=2020-04-01",
])
def test_what_is_not_allowed_goes_nowhere(readonly, upstream, query):
    for path in ("/", "/x", "//", "/%2e"):
        r = readonly.request("GET", path + "?" + query)
        assert_error(r, 403, "ActionNotAllowed", "p")
    assert upstream.requests == []


@pytest.mark.parametrize("query", [
    "Action=DescribeInstances&Action=DeleteInstance", "Action=DeleteInstance&Action=DescribeInstances",
    "Action=DescribeInstances&action=DeleteInstance", "Action=DescribeInstances&%61ction=DeleteInstance",
    "Action=DescribeInstances&Action", "Action=DescribeInstances&Action=DescribeInstances",
    "Version=2020-04-01&version=2018-01-01&Action=DescribeInstances"])
def test_two_actions_are_refused_whatever_the_policy_says(readonly, upstream, query):
    assert_error(readonly.request("GET", "/?" + query), 400, "InvalidQuery")
    assert upstream.requests == []


def test_a_deny_is_not_passed_by_what_does_not_show(module_daemon, upstream):
    """What a server would trim makes no other Action."""
    d = module_daemon(policy="p", policies=policy(deny=["ecs:DeleteInstance"]))
    assert_ok(d.request("GET", READ))
    upstream.requests.clear()
    for query in ("Action=DeleteInstance", "Action=DeleteInstance%20", "Action=%09DeleteInstance",
                  "Action=DeleteInstance%00x", "Action=%E2%80%8BDeleteInstance",
                  "%20Action=DeleteInstance", "Action=DescribeInstances&Action%0a=DeleteInstance"):
        assert_error(d.request("GET", "/x?Version=2020-04-01&" + query), 403, "ActionNotAllowed", "p")
    assert upstream.requests == []


@pytest.mark.parametrize("query", ["Action=DescribeInstances;Action=DeleteInstance",
                                   "Action=DescribeInstances%26Action=DeleteInstance",
                                   "Action=DescribeInstances%3BAction%3DDeleteInstance",
                                   "Action=DescribeInstances%23&Version=2020-04-01"])
def test_what_hides_in_a_value_stays_in_it(readonly, upstream, query):
    """Such a value begins like an allowed action; upstream it must arrive as this one odd value."""
    assert_ok(readonly.request("GET", "/?" + query))
    pairs = [p for p in upstream.one().target[2:].split("&") if p.lower().startswith("action")]
    assert len(pairs) == 1 and not re.search("[;#]", pairs[0]) and pairs[0].count("=") == 1


@pytest.mark.parametrize("body,headers", [
    (b"Action=DeleteInstance", [FORM]),
    (b"Action=DeleteInstance", []),
    (b"a=b&Action=DeleteInstance&c=d", [FORM]),
    (b"a=b&action=DeleteInstance", [FORM]),
    (b"%41%63tion=DeleteInstance", [FORM]),
    (b"a=b;Action=DeleteInstance", [FORM]),
    (b"Action", [FORM]),
    (b"+Action+=x", [FORM]),
    (b"Action%00=x", [FORM]),
    (b"\r\nAction=x", [FORM]),
    (b"Action=DescribeInstances", [FORM]),
    (b"Action=x", [("Content-Type", "APPLICATION/X-WWW-FORM-URLENCODED ; charset=utf-8")]),
    (b"Action=x", [("Content-Type", "text/plain"), FORM]),
    (b"Action=x", [FORM, ("Content-Type", "text/plain")]),
    (b"Action=x", [FORM, ("Content-Type", "multipart/form-data; boundary=b")]),
    (b"Action=x", [("Content-Type", FORM[1] + " charset=utf-8")]),
    (b"Action=x", [("Content-Type", ""), ("Content-Type", "")]),
    (b"\xef\xbb\xbfAction=x", [FORM]),
    (b"--b\r\nContent-Disposition: form-data; name*=utf-8''%41ction\r\n\r\nDelete\r\n--b--",
     [("Content-Type", "multipart/form-data; boundary=b")]),
    (b'--b\r\nContent-Disposition: form-data; name="Action"\r\n\r\nDelete\r\n--b--',
     [("Content-Type", "multipart/form-data; boundary=b")]),
    (b"--b\r\ncontent-disposition:form-data;NAME=action\r\n\r\nDelete\r\n--b--",
     [("Content-Type", "multipart/form-data; boundary=b")]),
    (b"--b\r\nContent-Disposition: form-data; name = 'Action'\r\n\r\nDelete\r\n--b--",
     [("Content-Type", "multipart/mixed; boundary=b")]),
    # what can't be looked through is not let through
    (b"\x1f\x8b\x08\x00not-readable", [FORM, ("Content-Encoding", "gzip")]),
    ("Action=Delete".encode("utf-16-le"), [("Content-Type", FORM[1] + "; charset=utf-16")]),
    ("Action=Delete".encode("cp037"), [("Content-Type", FORM[1] + ";charset = \"ibm037\"")]),
])
@pytest.mark.parametrize("framing", ["length", "chunked", "one byte chunks"])
def test_an_action_in_a_body_is_refused_under_a_policy(readonly, upstream, body, headers, framing):
    with readonly.client() as c:
        if framing == "length":
            r = c.request("POST", READ, [SERVICE, *headers], body)
        else:
            parts = [body] if framing == "chunked" else [body[i:i + 1] for i in range(len(body))]
            c.send(c.head("POST", READ, [SERVICE, *headers, ("Transfer-Encoding", "chunked")])
                   + chunked(*parts))
            r = c.response()
    assert_error(r, 403, "ActionNotAllowed", "body")
    assert upstream.requests == []


@pytest.mark.parametrize("body,headers", [
    (b"Name=Action", [FORM]), (b"Actions=1&ActionName=2&XAction=3", [FORM]),
    (b"a=Action&b=%26Action", [FORM]), (b'{"Action":"x"}', [("Content-Type", "application/json")]),
    (b"Limit=10", [("Content-Type", FORM[1] + "; charset=UTF-8")]),
    (b"Limit=10", [FORM, ("Content-Encoding", "identity")]), (b"", [FORM])])
def test_bodies_without_one_pass(readonly, upstream, body, headers):
    assert_ok(readonly.request("POST", READ, headers, body))
    assert upstream.one().body == body


def test_a_body_hash_does_not_let_a_form_stream_past_the_policy(readonly, upstream):
    """With a hash the body would be sent while it arrives, before its end was looked at."""
    body = b"a=%s&Action=DeleteInstance" % (b"x" * 100000)
    digest = hashlib.sha256(body).hexdigest()
    r = readonly.request("POST", READ, [FORM, ("X-Content-Sha256", digest)], body)
    assert_error(r, 403, "ActionNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL",
                                  "X-Action", "Action"])
def test_headers_decide_nothing(readonly, upstream, name):
    """The policy judges the query; a header of that name is passed on as any other, or not at all."""
    assert_error(readonly.request("GET", KILL, [(name, "DescribeInstances")]), 403, "ActionNotAllowed")
    assert upstream.requests == []


def test_dry_run_and_presign_are_judged_too(daemon, upstream):
    d = daemon(policy="p", policies=policy(allow=["ecs:Describe*"]), security={"allow_presign": True})
    for option in ("X-Sigferry-Dry-Run", "X-Sigferry-Presign"):
        assert_error(d.request("GET", KILL, [(option, "true")]), 403, "ActionNotAllowed")
        assert_ok(d.request("GET", READ, [(option, "true")]))


def test_a_link_leaves_no_body_to_whoever_has_it(daemon, upstream):
    """What a POST is asked to do may stand in its body, which the link's signature does not cover."""
    d = daemon(policy="p", policies=policy(allow=["ecs:Describe*"]), security={"allow_presign": True})
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert_error(d.request(method, READ, [("X-Sigferry-Presign", "true")]), 403, "PresignNotAllowed", method)
    assert_ok(d.request("GET", READ, [("X-Sigferry-Presign", "true")]))
    free = daemon(policy="p", policies=policy("warn", allow=["ecs:Describe*"]), security={"allow_presign": True})
    assert_ok(free.request("POST", READ, [("X-Sigferry-Presign", "true")]))


def test_another_service_is_another_permission(readonly, upstream):
    for service in ("iam", "ECS_", "sts"):
        r = readonly.request("GET", READ, service=service)
        assert r.status in (400, 403), r
    r = readonly.request("GET", READ, host="iam.volcengineapi.com", service=None)
    assert_error(r, 403, "ActionNotAllowed")
    assert upstream.requests == []


def test_regions(daemon, upstream):
    d = daemon(policy="p", policies=policy(allow=["ecs:*"], regions=["cn-beijing"]))
    assert_ok(d.request("GET", READ))
    assert_error(d.request("GET", READ, [("X-Sigferry-Region", "cn-shanghai")]), 403,
                 "ActionNotAllowed", "cn-shanghai")
    r = d.request("GET", READ, service=None, host="ecs.cn-shanghai.localhost:%d" % d.port)
    assert_error(r, 403, "ActionNotAllowed", "cn-shanghai")
    assert len(upstream.requests) == 1


def test_a_region_is_not_smuggled_past_by_the_host(daemon, upstream):
    """Signed for the allowed region, sent to the host of another: both have to be allowed."""
    d = daemon(policy="p", policies=policy(allow=["ecs:*"], regions=["cn-beijing"]),
               security={"endpoint_overrides": ["*.volcengineapi.com"]})
    far = "ecs.cn-shanghai.volcengineapi.com"
    beijing = ("X-Sigferry-Region", "cn-beijing")
    assert_error(d.request("GET", READ, [beijing], host=far, service=None), 403,
                 "ActionNotAllowed", "cn-shanghai")
    assert_error(d.request("GET", READ, [beijing, ("X-Sigferry-Endpoint", far)]), 403,
                 "ActionNotAllowed", "cn-shanghai")
    assert upstream.requests == []
    assert_ok(d.request("GET", READ, [beijing], host="ecs.cn-beijing.volcengineapi.com", service=None))


def test_warn_lets_pass_and_says_so(daemon, upstream):
    d = daemon(policy="p", policies=policy("warn", allow=["ecs:Describe*"]))
    assert_ok(d.request("GET", KILL))
    d.wait_log(r'"audit" verdict=would-refuse .*DeleteInstance')
    mark = d.mark()
    assert_ok(d.request("GET", READ))
    d.stop()
    assert not any('"audit"' in x for x in d.lines[mark:])


def test_record_writes_the_list_for_an_enforced_policy(daemon, upstream):
    d = daemon(policy="p", policies=policy("record"), workers=2)
    for _ in range(3):
        assert_ok(d.request("GET", READ))
    assert_ok(d.request("GET", "/?Action=ListUsers&Version=2018-01-01", service="iam"))
    assert_ok(d.request("PUT", "/bucket/key", service="tos"))
    # what a client could write a wildcard into the list with
    for action in ("*", "%2A", "Describe%2A", "a%22,%22ecs:*", "a%0Ab"):
        assert_ok(d.request("GET", "/?Action=%s&Version=2020-04-01" % action))
    want = ["ecs:DescribeInstances", "iam:ListUsers", "tos:*"]
    with d.client(d.admin) as c:
        assert c.request("GET", "/status").json["recorded"] == want
    d.stop()
    listed = re.search(r"recorded, for a policy: allow = \[(.*)\];", d.log.replace('\\"', '"'))
    assert listed and re.findall(r'"([^"]+)"', listed[1]) == want
    # the list is ready: it allows what was seen and no more
    again = daemon(policy="p", policies=policy(allow=want))
    assert_ok(again.request("GET", READ))
    assert_ok(again.request("PUT", "/bucket/key", service="tos"))
    assert_error(again.request("GET", KILL), 403, "ActionNotAllowed")


def test_a_refusal_records_nothing(daemon, upstream):
    d = daemon(policy="p", policies=policy("record"), security={"client_tokens": ["t" * 32]})
    assert_error(d.request("GET", KILL), 403, "ClientNotAllowed")
    with d.client(d.admin) as c:
        r = c.request("GET", "/status", [("X-Sigferry-Token", "t" * 32)])
    assert r.json["recorded"] == []


def test_per_listener_and_the_most_specific_wins(daemon, upstream):
    d = daemon(_listeners=2, policy="all", policies=[
        {"name": "all", "mode": "enforce", "allow": ["*:*"]},
        {"name": "ro", "mode": "enforce", "allow": ["*:Describe*"]}],
        listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.2:0", "policy": "ro"}])
    first, second = d.addresses()
    assert_ok(d.request("GET", KILL, address=first))
    assert_error(d.request("GET", KILL, address=second), 403, "ActionNotAllowed")
    assert_ok(d.request("GET", READ, address=second))


def test_a_pinned_profile(daemon, upstream):
    d = daemon(policy="p", policies=policy(allow=["*:*"], profile="second"))
    assert_ok(d.request("GET", READ))
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]
    for name in ("default", "token"):
        assert_error(d.request("GET", READ, [("X-Sigferry-Profile", name)]), 403, "ClientNotAllowed")
    assert_error(d.request("GET", READ, [("X-Sigferry-Profile", "SECOND")]), 400, "InvalidOption")
    assert_ok(d.request("GET", READ, [("X-Sigferry-Profile", "second")]))
    assert {r.verdict.access_key for r in upstream.requests} == {daemons.SECOND_KEY[0]}


def test_a_listeners_profile_is_not_overridden_by_a_header(daemon, upstream):
    d = daemon(listen=[{"address": "127.0.0.1:0", "profile": "second"}])
    r = d.request("GET", READ, [("X-Sigferry-Profile", "default")])
    assert_ok(r)
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]


@pytest.mark.parametrize("extra", [
    "X-Signature=abc", "X-Credential=AKx/20200101/cn-beijing/ecs/request", "X-Algorithm=HMAC-SHA256",
    "X-Date=20200101T000000Z", "X-SignedQueries=Action", "X-SignedHeaders=host", "X-NotSignBody=",
    "X-Security-Token=t", "x-signature=abc", "X%2DSignature=abc", "%58-Security-Token=t"])
def test_a_second_authentication_in_the_query(shared, upstream, extra):
    assert_error(shared.request("GET", ECHO + "&" + extra), 400, "InvalidQuery")
    assert_error(shared.request("GET", "/?" + extra + "&Action=Echo"), 400, "InvalidQuery")
    assert upstream.requests == []


def test_host_against_service(shared, upstream):
    r = shared.request("GET", READ, [], host="iam.volcengineapi.com", service="ecs")
    assert_error(r, 403, "EndpointNotAllowed", ["ecs", "iam"])
    r = shared.request("GET", READ, [], host="IAM.volcengineapi.com:443", service="Ecs")
    assert_error(r, 403, "EndpointNotAllowed")
    assert upstream.requests == []
    assert_ok(shared.request("GET", READ, [], host="iam.volcengineapi.com", service="iam"))
    assert_scope(upstream.one(), "iam", "cn-beijing")


def test_a_signature_for_another_service_does_not_move_the_host(shared, upstream):
    dummy = ("HMAC-SHA256 Credential=AKx/20200101/cn-beijing/ecs/request, SignedHeaders=host, "
             "Signature=" + "0" * 64)
    r = shared.request("GET", READ, [("Authorization", dummy)], host="iam.volcengineapi.com",
                       service=None)
    assert_ok(r)
    assert_scope(upstream.one(), "iam", "cn-beijing")
    assert upstream.one().get("Host").startswith("iam.")


def test_presign_needs_permission_and_a_policy_does_not_give_it(readonly, upstream):
    assert_error(readonly.request("GET", READ, [("X-Sigferry-Presign", "true")]), 403,
                 "PresignNotAllowed")
