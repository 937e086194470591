# SPDX-License-Identifier: Apache-2.0
"""The memory of the running daemon: after a rotation nothing of the old credential is in it, neither
the secret and the session token nor what was derived from them; and what is in use stands in locked
pages that no core dump takes."""

import json
import signal

import daemon as daemons
from checks import assert_ok
from leaks import derived
from memory import places, readable, snapshot
from test_credentials import (  # noqa: F401 (fixtures)
    BASE, CLI, ROLE, SESSION, SSO, STATIC, cli_config, fake, home, keys_file, private, proxy,
    role_profile, sso_cache)

SCOPES = [("ecs", "cn-beijing"), ("iam", "cn-beijing"), ("ecs", "cn-shanghai")]


def use(d):
    """A request of each scope on each of several connections; the days they were signed on."""
    mark = len(d.upstream.requests)
    for _ in range(3):
        for service, region in SCOPES:
            assert_ok(d.request("POST", headers=[("X-Sigferry-Region", region)], body=b"b" * 100,
                                service=service))
    return {r.get("X-Date")[:8] for r in d.upstream.requests[mark:]}


def keys_of(secret, days):
    return {"%s/%s/%s step %d" % (day, region, service, i): key
            for day in days for service, region in SCOPES
            for i, key in enumerate(derived(secret, day, region, service))}


def assert_absent(d, secret, days, token=None):
    memory = snapshot(d.pid)
    assert places(memory, secret) == []
    assert not token or places(memory, token) == []
    for name, key in keys_of(secret, days).items():
        assert places(memory, key) == [], name
        assert places(memory, key.hex()) == [], name


def assert_only_hidden(memory, text):
    found = places(memory, text)
    assert found and all(hidden for _, hidden, _ in found), (text, found)


def assert_hidden(d, secret, days, token=None):
    """In use: there, and only where no dump takes it. The session token is in each request's head."""
    memory = snapshot(d.pid)
    assert_only_hidden(memory, secret)
    open_ = 0
    for name, key in keys_of(secret, days).items():
        at = places(memory, key)
        assert bool(at) == name.endswith("step 3"), "%s: %r" % (name, at)
        open_ += sum(not hidden for _, hidden, _ in at)
    # a worker's HMAC context has the signing key it used last, in OpenSSL's memory
    assert open_ <= d.settings["workers"], open_
    if token:
        assert places(memory, token)


def rotate(d, fake, n):  # noqa: F811
    """Forces a renewal; the new credential is the n-th."""
    mark = d.mark()
    d.signal(signal.SIGHUP)
    d.wait_log(r"access key AKTP\.\.\.%04d" % n, after=mark)


def check_rotations(d, fake):  # noqa: F811
    days = use(d)
    for n in (1, 2, 3):
        (secret, token) = list(fake.given.values())[n - 1]
        assert_hidden(d, secret, days, token)
        rotate(d, fake, n + 1)
        days |= use(d)
        assert_absent(d, secret, days, token)


@readable
def test_an_assumed_role(proxy, fake):  # noqa: F811
    check_rotations(proxy({"default": role_profile(), "base": STATIC}, workers=2), fake)


@readable
def test_the_instances_role(proxy, fake):  # noqa: F811
    check_rotations(proxy({"default": {"provider": "ecs"}}), fake)


@readable
def test_an_identity_token(proxy, fake, tmp_path):  # noqa: F811
    """The token itself is nowhere once the role's credential is there."""
    token = tmp_path / "token"
    token.write_text("identity-token-0123456789abcdef.of.a.job")
    d = proxy({"default": {"provider": "oidc", "role_trn": ROLE, "oidc_token_file": str(token)}})
    check_rotations(d, fake)
    assert places(snapshot(d.pid), token.read_text()) == []


@readable
def test_a_saml_response(proxy, fake, tmp_path):  # noqa: F811
    response = private(tmp_path / "saml", "PHNhbWw+" * 400)
    d = proxy({"default": {"provider": "assume_role_saml", "role_trn": ROLE,
                           "saml_provider_trn": "trn:iam::2100000001:saml-provider/idp",
                           "saml_response_file": str(response)}})
    check_rotations(d, fake)
    assert places(snapshot(d.pid), "PHNhbWw+" * 4) == []


@readable
def test_a_login_in_a_browser(proxy, fake, home):  # noqa: F811
    """Each renewal brings another credential; the login's tokens stay, but in hidden pages only."""
    cli_config(home, SSO, SESSION)
    sso_cache(home, access_token="access-1", expires_at="2020-01-01T00:00:00Z", refresh_token="refresh-1")
    d = proxy(CLI, _env={"HOME": str(home)})
    check_rotations(d, fake)
    memory = snapshot(d.pid)
    for text in ("access-2", "refresh-2", "client-s"):
        assert_only_hidden(memory, text)
    assert places(memory, "refresh-1") == []


@readable
def test_a_file(proxy, tmp_path):  # noqa: F811
    old = (BASE[0], "b2xkLXNlY3JldC1rZXktdGhhdC1nb2Vz")
    for text in ("access_key = %s\nsecret_key = %s\n" % old,
                 json.dumps({"access_key": old[0], "secret_key": old[1]})):
        path = private(tmp_path / "keys", text)
        d = proxy({"default": {"provider": "file", "file": str(path)}})
        d.upstream.keys[old[0]] = (old[1], None)
        days = use(d)
        assert_hidden(d, old[1], days)
        mark = d.mark()
        keys_file(path, daemons.SECOND_KEY)
        d.signal(signal.SIGHUP)
        d.wait_log(r"access key AKLT\.\.\.0002", after=mark)
        assert_absent(d, old[1], days | use(d))


@readable
def test_the_configuration(proxy):  # noqa: F811
    """A static key, local keys, tokens and a proxy's password of a configuration that was replaced."""
    old = {"secret_key": "b2xkLXN0YXRpYy1zZWNyZXQta2V5LTAwMDE=", "local": "old-local-secret-key-0002",
           "token": "old-client-token-number-0003", "password": "old-proxy-password-0004"}
    new = {"secret_key": BASE[1], "local": "new-local-secret-key-0005",
           "token": "new-client-token-number-0006", "password": "new-proxy-password-0007"}

    def settings(s):
        return {"profiles": {"default": dict(STATIC, secret_key=s["secret_key"]), "second": None, "token": None},
                "security": {"client_tokens": [s["token"]]},
                "clients": [{"name": "app", "access_key": "local-app", "secret_key": s["local"]}],
                "proxy": {"http_proxy": "http://user:%s@127.0.0.1:9" % s["password"], "no_proxy": "*"}}

    first = settings(old)
    d = proxy(first.pop("profiles"), **first)
    d.upstream.keys[BASE[0]] = (old["secret_key"], None)

    def asks(token):
        assert_ok(d.request(headers=[("X-Sigferry-Token", token)]))
        return {r.get("X-Date")[:8] for r in d.upstream.requests}

    days = asks(old["token"])
    memory = snapshot(d.pid)
    assert all(places(memory, v) for k, v in old.items() if k != "token"), "the search finds nothing"
    d.upstream.keys[BASE[0]] = (new["secret_key"], None)
    d.reload(**settings(new))
    days |= asks(new["token"])
    memory = snapshot(d.pid)
    for name, text in old.items():
        assert places(memory, text) == [], name
    for key in derived(old["secret_key"], days.pop(), "cn-beijing", "ecs"):
        assert places(memory, key) == []
    for name in ("secret_key", "local"):
        assert_only_hidden(memory, new[name])


@readable
def test_the_environment(proxy):  # noqa: F811
    """Keys that came in variables: nowhere but in hidden pages, the environment block included."""
    d = proxy({"default": {"provider": "env"}},
              _env={"VOLCENGINE_ACCESS_KEY": BASE[0], "VOLCENGINE_SECRET_KEY": BASE[1],
                    "VOLCENGINE_SESSION_TOKEN": "session-token-of-the-environment",
                    "https_proxy": "http://u:password-of-a-proxy-1@127.0.0.1:9", "no_proxy": "*",
                    "all_proxy": "http://u:password-of-a-proxy-2@127.0.0.1:9",
                    "ALL_PROXY": "http://u:password-of-a-proxy-3@127.0.0.1:9"})
    d.upstream.keys[BASE[0]] = (BASE[1], "session-token-of-the-environment")
    days = use(d)
    assert_hidden(d, BASE[1], days)
    with open("/proc/%d/environ" % d.pid, "rb") as f:
        environ = f.read()
    assert BASE[1].encode() not in environ
    assert b"session-token-of" not in environ and b"password-of" not in environ
