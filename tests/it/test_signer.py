# SPDX-License-Identifier: Apache-2.0
"""The yardstick itself: the independent signer against the golden vectors, before it judges anyone."""

import hashlib
import json
import os

import pytest

import signer

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "sign_v4.json")
with open(VECTORS, encoding="utf-8") as f:
    CASES = json.load(f)


def pairs_of(case):
    return [(n.encode(), v.encode()) for n, v in case["query"]]


def key_of(case):
    return case["access_key"], case["secret_key"], case["session_token"]


def target_of(case):
    query = signer.write_query(pairs_of(case))
    return (case["path"] or "/") + ("?" + query if query else "")


def sign_case(case):
    return signer.sign(case["method"], target_of(case), list(case["headers"].items()),
                       case["body"].encode(), key_of(case), case["service"], case["region"],
                       case["date"])


@pytest.mark.parametrize("case", CASES["sign"], ids=lambda c: c["name"])
def test_header_signature(case):
    out = sign_case(case)
    assert out.canonical_request == case["expect"]["canonical_request"]
    assert out.string_to_sign == case["expect"]["string_to_sign"]
    for name, value in case["expect"]["headers"].items():
        assert out.headers[name] == value


@pytest.mark.parametrize("case", CASES["presign"], ids=lambda c: c["name"])
def test_presigned_query(case):
    out = signer.presign(case["method"], case["path"], pairs_of(case), case["host"], key_of(case),
                         case["service"], case["region"], case["date"])
    assert out.canonical_request == case["expect"]["canonical_request"]
    assert out.string_to_sign == case["expect"]["string_to_sign"]
    assert out.query == case["expect"]["query"]


def check(case, out, target=None, headers=None, body=None, keys=None, now=None, window=300):
    received = list(case["headers"].items()) + list(out.headers.items())
    if headers is not None:
        received = headers(received)
    body = case["body"].encode() if body is None else body
    keys = keys or {case["access_key"]: (case["secret_key"], case["session_token"])}
    return signer.verify(case["method"], target or target_of(case), received,
                         hashlib.sha256(body).hexdigest(), keys,
                         now=now or signer.seconds_of(case["date"]), window=window)


@pytest.mark.parametrize("case", CASES["sign"], ids=lambda c: c["name"])
def test_verifier_accepts_the_vectors(case):
    verdict = check(case, sign_case(case))
    assert verdict.ok, verdict.why
    assert (verdict.service, verdict.region) == (case["service"], case["region"])


@pytest.mark.parametrize("case", CASES["presign"], ids=lambda c: c["name"])
def test_verifier_accepts_presigned_vectors(case):
    keys = {case["access_key"]: (case["secret_key"], case["session_token"])}
    headers = [("Host", case["host"])] if case["host"] else []
    verdict = signer.verify("GET", "/?" + case["expect"]["query"], headers, signer.EMPTY_SHA256,
                            keys, now=signer.seconds_of(case["date"]))
    assert verdict.ok and verdict.presigned, verdict.why


def test_verifier_refuses_what_is_wrong():
    case = next(c for c in CASES["sign"] if c["name"] == "post-json")
    out = sign_case(case)
    drop = lambda name: lambda hs: [(n, v) for n, v in hs if n != name]
    swap = lambda name, new: lambda hs: [(n, new if n == name else v) for n, v in hs]
    wrong = [
        check(case, out, target="/?Action=CreateVpc&Version=2020-04-02"),
        check(case, out, target="/?Version=2020-04-01&Action=CreateVpc"),
        check(case, out, body=b"{}"),
        check(case, out, headers=drop("Authorization")),
        check(case, out, headers=lambda hs: hs + [hs[-1]]),
        check(case, out, headers=swap("Host", "evil.example")),
        check(case, out, headers=lambda hs: hs + [("X-Extra", "1")]),
        check(case, out, headers=lambda hs: hs + [("X-Date", "20201103T104027Z")]),
        check(case, out, headers=lambda hs: hs + [("X-Security-Token", "t")]),
        check(case, out, keys={case["access_key"]: ("other", None)}),
        check(case, out, keys={"someone": (case["secret_key"], None)}),
        check(case, out, now=signer.seconds_of(case["date"]) + 3600),
    ]
    assert [v.why for v in wrong if v.ok] == []
    assert check(case, out).ok


def test_verifier_refuses_a_changed_presigned_query():
    case = CASES["presign"][0]
    keys = {case["access_key"]: (case["secret_key"], None)}
    now = signer.seconds_of(case["date"])
    query = case["expect"]["query"]
    for bad in (query.replace("ListUsers", "DeleteUsers"), query + "&Extra=1",
                query.replace("X-NotSignBody=&", "")):
        assert bad != query
        assert not signer.verify("GET", "/?" + bad, [("Host", case["host"])], signer.EMPTY_SHA256,
                                 keys, now=now).ok
    assert not signer.verify("GET", "/?" + query, [("Host", "evil")], signer.EMPTY_SHA256, keys,
                             now=now).ok


@pytest.mark.parametrize("raw,want", [
    ("", ""), ("a&a=&b=1&a=2", "a=&a=&a=2&b=1"), ("x=a+b", "x=a%20b"), ("&&a=1&", "a=1"),
    ("~=1&%C3%A9=2", "%C3%A9=2&~=1"), ("a=b=c", "a=b%3Dc"), ("\xe9=1", "%E9=1"),
])
def test_canonical_query(raw, want):
    assert signer.canonical_query(raw) == want


@pytest.mark.parametrize("raw", ["%", "a=%2", "%GG=1", "a=%zz"])
def test_broken_escapes_raise(raw):
    with pytest.raises(signer.BrokenEscape):
        signer.canonical_query(raw)
