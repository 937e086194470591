# SPDX-License-Identifier: Apache-2.0
"""Where credentials come from: every provider against services that behave, and that don't; renewal,
rotation and rejection in the running daemon; the `credentials` command."""

import hashlib
import json
import re
import signal
import threading
import time

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, target
from fake_sts import Fake, Known, make_pair, sts_error
from faults import metrics, wait_metric

ROLE = "trn:iam::2100000001:role/reader"
BASE = (daemons.ACCESS_KEY, daemons.SECRET_KEY)


@pytest.fixture
def fake(certs):
    f = Fake(make_pair(certs), daemons.KEYS)
    yield f
    f.stop()


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


def private(path, content):
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(content if isinstance(content, str) else json.dumps(content))
    beside.chmod(0o600)
    beside.replace(path)
    return path


def role_profile(**kw):
    return {"provider": "assume_role", "source_profile": "base", "role_trn": ROLE, **kw}


STATIC = {"provider": "static", "access_key": BASE[0], "secret_key": BASE[1]}


@pytest.fixture
def ask(fake, certs, tmp_path, home):
    """ask(profiles, env=…, **settings): `sigferry credentials` with them; the result has `fields`."""

    def run(profiles=None, env=None, args=(), **settings):
        conf = {"cloud": "volcengine", "region": "cn-beijing", "tls": {"ca_file": str(certs.ca)},
                "connect_to": fake.connect_to(), **settings}
        if profiles:
            conf["profiles"] = profiles
        path = private(tmp_path / "ask.conf", daemons.config_text(conf))
        r = daemons.command("credentials", "-c", path, *args, env=env, home=str(home))
        r.fields = dict(re.findall(r"^(\S+(?: \S+)?)  +(.*)$", r.stdout, re.M))
        for secret, token in fake.given.values():
            assert secret not in r.stdout + r.stderr and token not in r.stdout + r.stderr
        return r

    return run


def assert_got(r, provider, n=1):
    assert r.returncode == 0, r.stdout + r.stderr
    assert r.stderr == "", r.stderr
    assert r.fields[provider] == "ok", r.stdout
    assert r.fields["access key"] == "AKTP...%04d" % n, r.stdout
    assert r.fields["session token"] == "yes", r.stdout
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(in (59|60) min\)", r.fields["expires"]), r.stdout


def assert_failed(r, *mentions):
    assert r.returncode == 1, r.stdout
    assert "access key" not in r.fields, r.stdout
    assert "no usable credential" in r.stderr, r.stderr
    for text in mentions:
        assert text in r.stdout + r.stderr, r.stdout + r.stderr


# -- the command ---------------------------------------------------------------------------------


def test_static_keys(ask):
    r = ask({"default": STATIC})
    assert r.returncode == 0, r.stderr
    assert r.fields["profile"] == "default (provider static)"
    assert r.fields["access key"] == "AKLT...0001"
    assert r.fields["session token"] == "no" and r.fields["expires"] == "never"
    assert BASE[1] not in r.stdout + r.stderr and BASE[0] not in r.stdout


def test_a_profile_is_chosen_by_name(ask):
    profiles = {"default": STATIC, "other": dict(STATIC, access_key="AKLTotherotherother0077")}
    r = ask(profiles, args=["--profile", "other"])
    assert r.fields["access key"] == "AKLT...0077"
    r = ask(profiles, args=["--profile", "nobody"])
    assert r.returncode == 1 and "nobody" in r.stderr
    r = ask(profiles, args=["extra"])
    assert r.returncode == 2 and "--help" in r.stderr


def test_the_chain_tells_what_each_provider_said(ask, home):
    r = ask(env={"VOLCENGINE_ECS_METADATA_DISABLED": "true"})
    assert_failed(r)
    assert "VOLCENGINE_ACCESS_KEY" in r.fields["env"]
    assert "VOLCENGINE_OIDC_ROLE_TRN" in r.fields["oidc"]
    assert str(home / ".volcengine" / "config.json") in r.fields["cli"]
    assert "VOLCENGINE_ECS_METADATA_DISABLED" in r.fields["ecs"]
    r = ask(env={"VOLCENGINE_ACCESS_KEY": BASE[0], "VOLCENGINE_SECRET_KEY": BASE[1]})
    assert r.returncode == 0 and r.fields["env"] == "ok" and "oidc" not in r.fields


def test_the_environments_keys_of_the_other_cloud(ask):
    env = {"BYTEPLUS_ACCESS_KEY": BASE[0], "BYTEPLUS_SECRET_KEY": BASE[1],
           "VOLCENGINE_ECS_METADATA_DISABLED": "true"}
    assert_failed(ask(env=env))
    assert ask(env=env, cloud="byteplus").fields["env"] == "ok"


# -- STS -----------------------------------------------------------------------------------------


def test_assume_role(ask, fake):
    assert_got(ask({"default": role_profile(duration_seconds=1800), "base": STATIC}), "assume_role")
    call, = fake.of("AssumeRole")
    assert call.tls and call.query["RoleTrn"] == ROLE and call.query["DurationSeconds"] == "1800"
    assert call.headers["Host"] == "sts.volcengineapi.com"


def test_assume_role_of_a_role(ask, fake):
    r = ask({"default": role_profile(source_profile="middle"), "middle": role_profile(),
             "base": STATIC})
    assert_got(r, "assume_role", 2)
    assert [c.query["Action"] for c in fake.of("AssumeRole")] == ["AssumeRole"] * 2


def test_assume_role_with_the_wrong_secret(ask):
    r = ask({"default": role_profile(), "base": dict(STATIC, secret_key="wrong")})
    assert_failed(r, "SignatureDoesNotMatch")


def test_oidc_from_the_environment(ask, fake, tmp_path):
    token = tmp_path / "token"
    token.write_text("identity.token\n")
    env = {"VOLCENGINE_OIDC_ROLE_TRN": ROLE, "VOLCENGINE_OIDC_TOKEN_FILE": str(token),
           "VOLCENGINE_OIDC_ROLE_SESSION_NAME": "ci"}
    assert_got(ask(env=env), "oidc")
    form = fake.of("AssumeRoleWithOIDC")[0].form
    assert form["OIDCToken"] == "identity.token" and form["RoleSessionName"] == "ci"


def test_saml(ask, fake, tmp_path):
    response = private(tmp_path / "saml", "PHNhbWw+")
    r = ask({"default": {"provider": "assume_role_saml", "role_trn": ROLE,
                         "saml_provider_trn": "trn:iam::2100000001:saml-provider/idp",
                         "saml_response_file": str(response)}})
    assert_got(r, "assume_role_saml")
    assert fake.of("AssumeRoleWithSAML")[0].form["SAMLResp"] == "PHNhbWw+"


@pytest.mark.parametrize("offset", [0, 480, -570, 840])
def test_expiry_in_any_time_zone(ask, fake, offset):
    fake.offset_min = offset
    assert_got(ask({"default": role_profile(), "base": STATIC}), "assume_role")


def test_an_expiry_in_the_past(ask, fake):
    fake.lifetime = -10
    assert_failed(ask({"default": role_profile(), "base": STATIC}), "is the clock right?")


@pytest.mark.parametrize("status, body, says", [
    (200, "", "not valid JSON"),
    (200, "<html>busy</html>", "not valid JSON"),
    (200, '{"Result":', "not valid JSON"),
    (200, "{}", "no Result.Credentials"),
    (200, '{"Result":{"Credentials":{"AccessKeyId":"A","SecretAccessKey":"S"}}}', "no expiry"),
    (200, b'{"Result":"\xff"}', "not valid JSON"),
    pytest.param(200, "x" * 300000, "larger than", id="too-large"),
    (403, sts_error("AccessDenied", "not you"), "AccessDenied: not you"),
    (302, "", "HTTP 302"),
    (429, "", "HTTP 429"),
])
def test_answers_that_are_none(ask, fake, status, body, says):
    fake.answer["AssumeRole"] = lambda call: (status, body)
    assert_failed(ask({"default": role_profile(), "base": STATIC}), says)
    assert len(fake.of("AssumeRole")) == (3 if status == 429 else 1)


def test_a_service_that_hangs(ask, fake):
    fake.answer["AssumeRole"] = fake.hold
    r, took = daemons.timed(ask, {"default": role_profile(), "base": STATIC},
                            timeouts={"connect_timeout": 0.3, "read_timeout": 0.3})
    assert_failed(r, "sts.volcengineapi.com")
    assert took < daemons.seconds(10)


def test_a_server_that_cannot_be_trusted(ask, fake):
    r = ask({"default": role_profile(), "base": STATIC}, tls={})
    assert_failed(r, "sts.volcengineapi.com")
    assert fake.calls == []


def test_requests_go_through_the_proxy(ask, fake):
    r = ask({"default": role_profile(), "base": STATIC}, connect_to=[],
            proxy={"https_proxy": "http://127.0.0.1:%d" % daemons.unused_port()})
    assert_failed(r, "127.0.0.1")


# -- the instance's role -------------------------------------------------------------------------


def test_the_instances_role(ask, fake):
    assert_got(ask({"default": {"provider": "ecs"}}), "ecs")
    assert [c.name for c in fake.calls] == ["imds-token", "imds-roles", "imds-keys"]
    assert fake.calls[2].target.endswith("/instance-role")


def test_the_instances_role_by_name(ask, fake):
    assert_got(ask({"default": {"provider": "ecs"}}, env={"VOLCENGINE_ECS_METADATA": "named"}), "ecs")
    assert [c.name for c in fake.calls] == ["imds-token", "imds-keys"]
    assert fake.calls[1].target.endswith("/named")


def test_metadata_without_a_token_is_never_tried(ask, fake):
    fake.answer["imds-token"] = lambda call: (403, "")
    assert_failed(ask({"default": {"provider": "ecs"}}), "HTTP 403")
    assert {c.name for c in fake.calls} == {"imds-token"}


@pytest.mark.parametrize("body", ["", "[1]", '{"AccessKeyId":"A"}', "not json"])
def test_metadata_that_is_malformed(ask, fake, body):
    fake.answer["imds-keys"] = lambda call: (200, body)
    assert_failed(ask({"default": {"provider": "ecs"}}), "the metadata service's answer")


# -- the command line tool's profiles ------------------------------------------------------------


def cli_config(home, profile, sessions=None):
    return private(home / ".volcengine" / "config.json",
                   {"current": "it", "profiles": {"it": profile}, "sso-session": sessions or {}})


CLI = {"default": {"provider": "cli"}}


def test_cli_role(ask, home):
    cli_config(home, {"mode": "RamRoleArn", "access-key": BASE[0], "secret-key": BASE[1],
                      "role-name": "reader", "account-id": "2100000001"})
    assert_got(ask(CLI), "cli")


def test_cli_through_the_chain(ask, home):
    cli_config(home, {"mode": "AK", "access-key": BASE[0], "secret-key": BASE[1]})
    assert ask().fields["cli"] == "ok"


SSO = {"mode": "sso", "sso-session-name": "corp", "account-id": "2100000001", "role-name": "dev"}
SESSION = {"corp": {"start-url": "https://corp.example/start?a=1&b=2", "region": "cn-beijing"}}


def sso_cache(home, **kw):
    # as the tool names it: the SHA-1 of what Go's encoder writes
    name = hashlib.sha1(rb'{"start_url":"https://corp.example/start?a=1\u0026b=2",'
                        rb'"session_name":"corp"}').hexdigest()
    return private(home / ".volcengine" / "sso" / "cache" / (name + ".json"), {
        "access_token": "access-1", "expires_at": "2099-01-01T00:00:00Z", "client_id": "client",
        "client_secret": "client-s", "client_secret_expires_at": 4102444800,
        "refresh_token": "refresh-1", **kw})


def test_sso_with_a_good_token(ask, fake, home):
    cli_config(home, SSO, SESSION)
    sso_cache(home)
    assert_got(ask(CLI), "cli")
    call, = fake.calls
    assert call.name == "portal" and call.tls
    assert call.query == {"account_id": "2100000001", "role_name": "dev"}


def test_sso_renews_an_old_token_and_leaves_the_file_alone(ask, fake, home):
    cli_config(home, SSO, SESSION)
    cache = sso_cache(home, expires_at="2020-01-01T00:00:00Z")
    before = cache.read_bytes(), cache.stat()
    assert_got(ask(CLI), "cli")
    assert [c.name for c in fake.calls] == ["oauth-token", "portal"]
    assert json.loads(fake.calls[0].body) == {
        "grant_type": "refresh_token", "client_id": "client", "client_secret": "client-s",
        "refresh_token": "refresh-1"}
    assert fake.calls[1].headers["x-bd-cloudidentity-bearer-token"] == "access-2"
    assert (cache.read_bytes(), cache.stat().st_mtime_ns) == (before[0], before[1].st_mtime_ns)


@pytest.mark.parametrize("kw, says", [
    ({"refresh_token": "used"}, "invalid_grant; run `ve sso login`"),
    ({"refresh_token": ""}, "the login has expired; run `ve sso login`"),
    ({"client_secret": ""}, "run `ve sso login`"),
    ({"client_secret_expires_at": 1000000000}, "the login has expired"),
])
def test_sso_that_has_ended(ask, home, kw, says):
    cli_config(home, SSO, SESSION)
    sso_cache(home, expires_at="2020-01-01T00:00:00Z", **kw)
    assert_failed(ask(CLI), says)


def test_sso_before_any_login(ask, home):
    cli_config(home, SSO, SESSION)
    assert_failed(ask(CLI), "sso/cache/", "run `ve sso login`")


def test_sso_when_the_portal_refuses(ask, fake, home):
    cli_config(home, SSO, SESSION)
    sso_cache(home, access_token="stolen-token")
    r = ask(CLI)
    assert_failed(r, "the portal refused with HTTP 401 Unauthorized")
    assert "stolen-token" not in r.stdout + r.stderr


def test_console_login_is_renewed_over_tls(ask, fake, home):
    cli_config(home, {"mode": "console-login", "login-session": "user/x"})
    name = hashlib.sha1(b"user/x").hexdigest() + ".json"
    private(home / ".volcengine" / "login" / "cache" / name, {
        "access_token": "{}", "issued_at": "2020-01-01T00:00:00+08:00", "expires_in": 900,
        "refresh_token": "refresh-1", "client_id": "client", "scope": "openid"})
    assert_got(ask(CLI), "cli")
    call, = fake.of("console-token")
    assert call.tls and call.headers["Host"] == "signin.volcengine.com"
    assert call.form == {"grant_type": "refresh_token", "client_id": "client",
                         "refresh_token": "refresh-1", "scope": "openid"}


# -- the daemon ----------------------------------------------------------------------------------


@pytest.fixture
def proxy(daemon, fake, make_upstream):
    """proxy(profiles, **settings): a daemon between an upstream that knows every key the fake gives
    out, and the fake."""
    up = make_upstream()
    up.keys = Known(up.keys, fake)

    def start(profiles, **kw):
        kw.setdefault("connect_to", fake.connect_to(up.port))
        d = daemon(profiles=daemons.Raw(daemons.value_text(profiles)), **kw)
        d.upstream = up
        return d

    return start


def used(d):
    """The access keys of the upstream's requests, in order."""
    return [r.verdict.access_key for r in d.upstream.requests]


def n_of(key):
    return int(key[-4:])


def refreshes(d, result):
    return metrics(d)['sigferry_credential_refresh_total{profile="default",result="%s"}' % result]


def ready(d):
    with d.client(d.admin) as c:
        return c.request("GET", "/readyz")


def test_the_first_requests_wait_for_one_fetch(proxy, fake):
    gate = threading.Event()
    fake.answer["AssumeRole"] = lambda call: gate.wait(20) and None
    d = proxy({"default": role_profile(), "base": STATIC})
    fake.wait("AssumeRole")
    assert ready(d).status == 503
    results = []
    threads = [threading.Thread(target=lambda: results.append(d.request())) for _ in range(8)]
    for t in threads:
        t.start()
    wait_metric(d, "sigferry_inflight_requests", 8)
    gate.set()
    for t in threads:
        t.join()
    assert [r.status for r in results] == [200] * 8
    assert len(fake.of("AssumeRole")) == 1
    assert set(map(n_of, used(d))) == {1}
    assert ready(d).status == 200


def test_no_credential_is_a_503_and_nothing_goes_out(proxy, fake):
    fake.answer["AssumeRole"] = lambda call: (403, sts_error("AccessDenied", "not you"))
    d = proxy({"default": role_profile(), "base": STATIC})
    assert_error(d.request(), 503, "CredentialsUnavailable", ["assume_role", "AccessDenied", "default"])
    assert d.upstream.requests == []
    r = ready(d)
    assert r.status == 503 and b"AccessDenied" in r.body
    d.wait_log("AccessDenied")
    del fake.answer["AssumeRole"]  # and it comes back by itself
    fake.wait("AssumeRole", 2)
    d.wait_log(r"credentials: profile .*assume_role, access key AKTP\.\.\.0001")
    assert_ok(d.request())
    assert refreshes(d, "failed") >= 1


def test_the_failure_of_each_profile_is_told(proxy, tmp_path):
    profiles = {"p%d" % i: {"provider": "file", "file": str(tmp_path / ("none%d" % i))}
                for i in range(14)}
    d = proxy({"default": STATIC, **profiles})
    assert len(set(re.findall(r'credentials: profile \\"(p\d+)\\": file: ', d.log))) == 14, d.log
    assert "suppressed" not in d.log


def test_readiness_looks_at_every_profile_in_use(proxy, tmp_path):
    profiles = {"p%d" % i: STATIC for i in range(70)}
    profiles["p69"] = {"provider": "file", "file": str(tmp_path / "none")}
    d = proxy(profiles, profile="p69")
    r = ready(d)
    assert r.status == 503 and b"p69" in r.body, r.body


def test_renewed_in_the_background_without_a_pause(proxy, fake):
    fake.lifetime = 4
    d = proxy({"default": role_profile(), "base": STATIC})
    seen, slowest = set(), 0
    end = time.monotonic() + daemons.seconds(8)
    while time.monotonic() < end and len(seen) < 3:
        r, took = daemons.timed(d.request)
        assert_ok(r)
        slowest = max(slowest, took) if seen else 0
        seen = set(map(n_of, used(d)))
    assert len(seen) >= 3, seen
    assert slowest < daemons.seconds(1)
    assert refreshes(d, "ok") >= 3


def test_a_renewal_that_fails_keeps_the_old_one_until_it_ends(proxy, fake):
    fake.lifetime = 6
    d = proxy({"default": role_profile(), "base": STATIC})
    assert_ok(d.request())
    fake.answer["AssumeRole"] = lambda call: (403, sts_error("AccessDenied", "no more"))
    fake.wait("AssumeRole", 2)
    assert_ok(d.request())
    assert n_of(used(d)[-1]) == 1
    d.wait_log("the one held is still good")
    end = time.monotonic() + daemons.seconds(15)
    while d.request().status == 200 and time.monotonic() < end:
        pass
    assert_error(d.request(), 503, "CredentialsUnavailable", ["AccessDenied"])
    assert ready(d).status == 503


def test_an_outage_of_sts_does_not_change_who_signs(proxy, fake, tmp_path):
    token = private(tmp_path / "token", "identity-1")
    fake.lifetime = 8
    d = proxy({"default": {"provider": "default"}},
              _env={"VOLCENGINE_OIDC_ROLE_TRN": ROLE, "VOLCENGINE_OIDC_TOKEN_FILE": str(token)})
    d.wait_log(r"oidc, access key AKTP\.\.\.0001")
    fake.answer["AssumeRoleWithOIDC"] = lambda call: (403, sts_error("Down", ""))
    d.wait_log(r'oidc: STS refused .*the one held is still good')
    assert not fake.of("imds-token")
    assert_ok(d.request())
    assert n_of(used(d)[-1]) == 1
    # when nothing is left the instance's role is better than nothing, until oidc is back
    fake.lifetime = 4
    d.wait_log(r'level=warn.*ecs takes the place of oidc, which failed: STS refused')
    d.wait_log(r"ecs, access key AKTP\.\.\.0002")
    del fake.answer["AssumeRoleWithOIDC"]
    d.wait_log(r"oidc, access key AKTP")


def test_a_rejected_credential_is_renewed_and_the_request_tried_once_more(proxy, fake):
    d = proxy({"default": role_profile(), "base": STATIC})

    def expired_for_the_first(ex):
        if n_of(ex.req.verdict.access_key) == 1:
            ex.error(403, "ExpiredToken")
        else:
            ex.reply(200, {"Result": {}})

    d.upstream.on("rejected", expired_for_the_first)
    assert_ok(d.request("GET", target("rejected")))
    assert list(map(n_of, used(d))) == [1, 2]
    assert len(fake.of("AssumeRole")) == 2


def test_a_rejected_credential_may_be_followed_by_the_chains_next(proxy, fake, tmp_path):
    """An outage alone changes nobody; one that the cloud does not take any more is no better than none."""
    token = private(tmp_path / "token", "identity-1")
    d = proxy({"default": {"provider": "default"}},
              _env={"VOLCENGINE_OIDC_ROLE_TRN": ROLE, "VOLCENGINE_OIDC_TOKEN_FILE": str(token)})
    d.wait_log(r"oidc, access key AKTP\.\.\.0001")
    fake.answer["AssumeRoleWithOIDC"] = lambda call: (403, sts_error("Down", ""))
    d.upstream.on("rejected", lambda ex: ex.error(403, "ExpiredToken") if n_of(
        ex.req.verdict.access_key) == 1 else ex.reply(200, {"Result": {}}))
    assert_ok(d.request("GET", target("rejected")))
    assert [n_of(k) for k in used(d)] == [1, 2]
    d.wait_log(r"level=warn.*ecs takes the place of oidc")


def test_a_console_login_is_renewed_when_the_cloud_rejects_it_or_on_hangup(proxy, fake, home):
    cli_config(home, {"mode": "console-login", "login-session": "user/x"})
    private(home / ".volcengine" / "login" / "cache" /
            (hashlib.sha1(b"user/x").hexdigest() + ".json"),
            {"issued_at": "2020-01-01T00:00:00+08:00", "expires_in": 900,
             "refresh_token": "refresh-1", "client_id": "client", "scope": "openid"})
    d = proxy({"default": {"provider": "cli"}}, _env={"HOME": str(home)})
    d.wait_log(r"cli, access key AKTP\.\.\.0001")

    def renew(call):
        key, secret, token, _ = fake.issue()
        return 200, {"access_token": json.dumps({
            "access_key_id": key, "secret_access_key": secret, "session_token": token}),
            "expires_in": fake.lifetime}

    fake.answer["console-token"] = renew
    d.upstream.on("rejected", lambda ex: ex.error(403, "ExpiredToken") if n_of(
        ex.req.verdict.access_key) == 1 else ex.reply(200, {"Result": {}}))
    assert_ok(d.request("GET", target("rejected")))
    assert [n_of(k) for k in used(d)] == [1, 2]
    d.signal(signal.SIGHUP)
    d.wait_log(r"cli, access key AKTP\.\.\.0003")


def test_a_rejection_that_comes_after_the_renewal_is_tried_again_at_once(proxy, fake):
    """The worker has seen the other credential already: nothing more will come to wait for."""
    d = proxy({"default": role_profile(), "base": STATIC}, workers=1)
    renewed = d.upstream.event()

    def expired_for_the_first(ex):
        if n_of(ex.req.verdict.access_key) == 1:
            renewed.wait(20)
            ex.error(403, "ExpiredToken")
        else:
            ex.reply(200, {"Result": {}})

    d.upstream.on("late", expired_for_the_first)
    with d.client() as c:
        c.begin("GET", target("late"), [("X-Sigferry-Service", "ecs")])
        d.upstream.wait_request("late")
        d.signal(signal.SIGHUP)
        d.wait_log(r"access key AKTP\.\.\.0002")
        while n_of(used(d)[-1]) != 2:
            assert_ok(d.request())
        renewed.set()
        assert_ok(c.response())
    assert list(map(n_of, [r.verdict.access_key for r in d.upstream.of("late")])) == [1, 2]
    assert len(fake.of("AssumeRole")) == 2


def test_a_service_that_rejects_everything_causes_no_storm(proxy, fake):
    d = proxy({"default": role_profile(), "base": STATIC})
    d.upstream.on("rejected", lambda ex: ex.error(403, "ExpiredToken"))
    for _ in range(20):
        r = d.request("GET", target("rejected"))
        assert r.status == 403 and b"ExpiredToken" in r.body
    assert len(fake.of("AssumeRole")) <= 3


def keys_file(path, key):
    return private(path, "access_key = %s\nsecret_key = %s\n" % key)


def test_a_changed_file_is_taken_over(proxy, tmp_path):
    path = keys_file(tmp_path / "keys", BASE)
    d = proxy({"default": {"provider": "file", "file": str(path)}})
    assert_ok(d.request())
    keys_file(path, daemons.SECOND_KEY)
    start = time.monotonic()
    while used(d)[-1] != daemons.SECOND_KEY[0]:
        assert_ok(d.request())
        assert time.monotonic() - start < daemons.seconds(2), "not within two seconds"


def test_a_changed_identity_token_is_taken_over(proxy, fake, tmp_path):
    """One that was missing, too."""
    token = tmp_path / "token"
    d = proxy({"default": {"provider": "oidc", "role_trn": ROLE, "oidc_token_file": str(token)}})
    assert_error(d.request(), 503, "CredentialsUnavailable", [str(token)])
    for n, text in enumerate(("first.token", "second.token"), 1):
        start = time.monotonic()
        private(token, text)
        assert fake.wait("AssumeRoleWithOIDC", n).form["OIDCToken"] == text
        assert time.monotonic() - start < daemons.seconds(2), "not within two seconds"
        d.wait_log(r"access key AKTP\.\.\.%04d" % n)
        assert_ok(d.request())
        assert n_of(used(d)[-1]) == n


def test_a_changed_profile_of_the_tool_is_taken_over(proxy, home):
    cli_config(home, {"mode": "AK", "access-key": BASE[0], "secret-key": BASE[1]})
    d = proxy(CLI, _env={"HOME": str(home)})
    assert_ok(d.request())
    cli_config(home, {"mode": "AK", "access-key": daemons.SECOND_KEY[0], "secret-key": daemons.SECOND_KEY[1]})
    start = time.monotonic()
    while used(d)[-1] != daemons.SECOND_KEY[0]:
        assert_ok(d.request())
        assert time.monotonic() - start < daemons.seconds(2), "not within two seconds"


def test_a_file_that_breaks_keeps_the_old_keys(proxy, tmp_path):
    path = keys_file(tmp_path / "keys", BASE)
    d = proxy({"default": {"provider": "file", "file": str(path)}})
    private(path, "access_key = %s\n" % daemons.SECOND_KEY[0])
    d.wait_log("no secret_key.*still good")
    assert_ok(d.request())
    path.chmod(0o644)
    d.wait_log("mode 0644")
    assert_ok(d.request())
    assert used(d) == [BASE[0]] * 2


def test_rotation_by_hangup_under_load(proxy, tmp_path):
    """Every signature is verified by the upstream; none may mix the two keys."""
    path = keys_file(tmp_path / "keys", BASE)
    d = proxy({"default": {"provider": "file", "file": str(path)}})
    stop, bad = threading.Event(), []

    def load():
        with d.client() as c:
            while not stop.is_set():
                r = c.request("GET", ECHO, [("X-Sigferry-Service", "ecs")])
                if r.status != 200:
                    bad.append(r)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(20):
        key = (daemons.SECOND_KEY, BASE)[i % 2]
        n = len(d.upstream.requests)
        keys_file(path, key)
        d.signal(signal.SIGHUP)
        d.upstream.wait(lambda: any(r.verdict.access_key == key[0] for r in d.upstream.requests[n:]),
                        daemons.seconds(10), "a request with key %d" % (i % 2))
    stop.set()
    for t in threads:
        t.join()
    assert bad == []


def test_profiles_side_by_side(proxy, fake, tmp_path):
    """One that hangs holds up no other."""
    fake.answer["AssumeRole"] = fake.hold
    path = keys_file(tmp_path / "keys", daemons.SECOND_KEY)
    d = proxy({"default": STATIC, "file": {"provider": "file", "file": str(path)},
               "role": role_profile(source_profile="default")})
    fake.wait("AssumeRole")
    assert_ok(d.request())
    assert_ok(d.request(headers=[("X-Sigferry-Profile", "file")]))
    assert used(d) == [BASE[0], daemons.SECOND_KEY[0]]
    d.stop()  # at once, though a fetch is under way


def test_a_reload_with_keys_that_cannot_be_used_is_refused(proxy, tmp_path):
    broken = {"provider": "file", "file": str(tmp_path / "none")}
    good = {"provider": "file", "file": str(keys_file(tmp_path / "keys", BASE))}
    d = proxy({"default": good, "old": broken})

    def reload(says, **profiles):
        mark = d.mark()
        profiles = daemons.Raw(daemons.value_text({"old": broken, **profiles}))
        d.write(daemons.merge(d.settings, {"profiles": profiles}))
        d.signal(signal.SIGHUP)
        d.wait_log(says, after=mark)
        assert_ok(d.request())

    reload(r'reload failed.*default.": file: .*none: No such file', default=broken)
    reload(r'reload failed.*new.": file: .*none: No such file', default=good, new=broken)
    reload("is reloaded", default=good)  # the one that was broken before is no obstacle


def test_systemds_credentials_directory(proxy, tmp_path):
    directory = tmp_path / "credentials"
    directory.mkdir()
    keys_file(directory / "keys", BASE).chmod(0o440)
    d = proxy({"default": {"provider": "file", "file": "keys"}},
              _env={"CREDENTIALS_DIRECTORY": str(directory)})
    assert_ok(d.request())


def test_no_secret_is_shown_anywhere(proxy, fake):
    d = proxy({"default": role_profile(), "base": STATIC},
              log={"level": "debug", "debug": ["request", "response", "signing", "config", "retries"]})
    assert_ok(d.request())
    shown = [d.log]
    with d.client(d.admin) as c:
        for path in ("/metrics", "/status", "/", "/readyz"):
            shown.append(c.request("GET", path).body.decode())
    (secret, token), = fake.given.values()
    for text in shown:
        for hidden in (secret, token, BASE[1], fake_key(fake)):
            assert hidden not in text


def fake_key(fake):
    return next(iter(fake.given))
