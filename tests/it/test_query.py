# SPDX-License-Identifier: Apache-2.0
"""Path and query: what goes upstream is the canonical form, byte for byte what was signed."""

import random

import pytest

import signer
from checks import assert_error, assert_ok

QUERIES = [
    ("a&a=&b=1&a=2", "a=&a=&a=2&b=1"),
    ("b=2&a=1&B=3&a.1=4&a-1=5&A=6", "A=6&B=3&a=1&a-1=5&a.1=4&b=2"),
    ("x=a+b", "x=a%20b"),
    ("x=a%20b", "x=a%20b"),
    ("x=a%2Bb", "x=a%2Bb"),
    ("a+b=1", "a%20b=1"),
    ("x=%7e%2D%2e_", "x=~-._"),
    ("x=%c3%a9", "x=%C3%A9"),
    ("x=\xe4\xb8\xad", "x=%E4%B8%AD"),
    ("\xff=1", "%FF=1"),
    ("~=1&%C3%A9=2", "%C3%A9=2&~=1"),
    ("a=b=c", "a=b%3Dc"),
    ("a==", "a=%3D"),
    ("=v", "=v"),
    ("&&a=1&&b=2&", "a=1&b=2"),
    ("a=1;b=2", "a=1%3Bb%3D2"),
    ("a=?/:@", "a=%3F%2F%3A%40"),
    ("a=%00%0d%0a", "a=%00%0D%0A"),
    ("a=!'()*", "a=%21%27%28%29%2A"),
    ("Filter.1.Value=a%20b%2Bc%2Fd%3Fe%3Df%26g%23h%25i", "Filter.1.Value=a%20b%2Bc%2Fd%3Fe%3Df%26g%23h%25i"),
    ("a=%2525", "a=%2525"),
]
PATHS = [
    ("/", "/"),
    ("//a", "//a"),
    ("/a/../b", "/a/../b"),
    ("/a/./b", "/a/./b"),
    ("/%2e%2e/x", "/../x"),
    ("/a%2Fb", "/a%2Fb"),
    ("/a%2fb", "/a%2Fb"),
    ("/a//b/", "/a//b/"),
    ("/a%20b", "/a%20b"),
    ("/a+b", "/a%2Bb"),
    ("/%7Euser", "/~user"),
    ("/a:b@c", "/a%3Ab%40c"),
    ("/%0d%0a", "/%0D%0A"),
    ("/\xe4\xb8\xad", "/%E4%B8%AD"),
    ("/%e4%b8%ad", "/%E4%B8%AD"),
    ("/a%25b", "/a%25b"),
    ("/a;b=c", "/a%3Bb%3Dc"),
]


@pytest.mark.parametrize("raw,want", QUERIES)
def test_canonical_query(shared, upstream, raw, want):
    assert signer.canonical_query(raw) == want
    assert_ok(shared.request("GET", "/?" + raw))
    assert upstream.one().target == "/?" + want


@pytest.mark.parametrize("raw", ["/?", "/?&", "/?&&", "/"])
def test_no_query(shared, upstream, raw):
    assert_ok(shared.request("GET", raw))
    assert upstream.one().target == "/"


@pytest.mark.parametrize("raw,want", PATHS)
def test_canonical_path(shared, upstream, raw, want):
    assert signer.canonical_path(raw) == want
    assert_ok(shared.request("GET", raw))
    assert upstream.one().target == want


@pytest.mark.parametrize("query", ["%", "a=%", "a=%2", "%GG=1", "a=%zz", "a=1&b=%a", "a=%%41", "a=%u0041"])
def test_a_broken_escape_is_refused(shared, upstream, query):
    assert_error(shared.request("GET", "/?" + query), 400, "InvalidQuery")
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/%", "/a%2", "/%GG", "/a%00b", "/%00"])
def test_a_broken_path_is_refused(shared, upstream, path):
    assert_error(shared.request("GET", path), 400, "InvalidRequest")
    assert upstream.requests == []


@pytest.mark.parametrize("query", [
    "Action=A&Action=B", "Action=A&Action=A", "Action=A&action=B", "Action=A&%41ction=B",
    "Version=2020-04-01&Version=2020-04-01", "Version=2020-04-01&VERSION=2021-01-01",
])
def test_two_actions_or_versions_are_refused(shared, upstream, query):
    assert_error(shared.request("GET", "/?" + query), 400, "InvalidQuery",
                 "Action" if "ction" in query else "Version")
    assert upstream.requests == []


@pytest.mark.parametrize("name", [
    "X-Signature", "X-Credential", "X-Algorithm", "X-Date", "X-SignedQueries", "X-SignedHeaders",
    "X-NotSignBody", "X-Security-Token", "X%2DSignature"])
def test_a_second_authentication_is_refused(shared, upstream, name):
    r = shared.request("GET", "/?Action=A&Version=2020-04-01&%s=1" % name)
    assert_error(r, 400, "InvalidQuery", name.replace("%2D", "-"))
    assert upstream.requests == []


def test_parameters_that_look_like_it_pass(shared, upstream):
    assert_ok(shared.request("GET", "/?Action=A&X-Other=1&XDate=2"))


def test_random_targets_arrive_canonical(shared, upstream):
    rnd = random.Random(20200401)
    alphabet = "abAB019-_.~+/:;=&&%!*'()@,?[]$" + "".join(map(chr, range(0xA1, 0xFF)))
    sent = []

    def text(longest):
        out = ""
        for _ in range(rnd.randrange(longest)):
            c = rnd.choice(alphabet)
            out += "%%%02x" % rnd.randrange(1, 256) if c == "%" or rnd.random() < 0.1 else c
        return out

    with shared.client() as c:
        while len(sent) < 200:
            raw = "/" + text(12).replace("?", "") + "?" + text(60)
            names = [n for n, _ in signer.query_pairs(raw.partition("?")[2])]
            if any(n.lower() in (b"action", b"version") or n.startswith(b"X-") for n in names):
                continue
            r = c.request("GET", raw, [("X-Sigferry-Service", "ecs")])
            assert r.status == 200, (raw, r)
            sent.append(signer.canonical_target(raw))
    assert [r.target for r in upstream.requests] == sent
