# SPDX-License-Identifier: Apache-2.0
"""Started from the environment alone, as an SDK would be; and what of it is left afterwards."""

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok, assert_scope

KEYS = {"VOLCENGINE_ACCESS_KEY": daemons.ACCESS_KEY, "VOLCENGINE_SECRET_KEY": daemons.SECRET_KEY}
NO_METADATA = {"VOLCENGINE_ECS_METADATA_DISABLED": "true", "BYTEPLUS_ECS_METADATA_DISABLED": "true"}


@pytest.fixture
def bare(daemon, certs, session_upstream):
    """bare(env, *args): no file; flags only say where to listen and where the upstream is."""
    def start(env, *args, **kw):
        return daemon(_config=False, _env=dict(NO_METADATA, **env), _args=(
            "-l", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "tls.ca_file=%s" % certs.ca,
            "--set", "connect_to=::127.0.0.1:%d" % session_upstream.port, *args), **kw)
    return start


def test_two_keys_and_a_region_are_enough(bare, upstream):
    d = bare(dict(KEYS, VOLCENGINE_REGION="cn-north-1"))
    assert_ok(d.request("GET", "/?Action=ListUsers&Version=2018-01-01", service="iam"))
    assert_scope(upstream.one(), "iam", "cn-north-1")


def test_without_the_run_word(bare, upstream):
    d = bare(dict(KEYS, VOLCENGINE_REGION="cn-beijing"), "-s", "iam", _subcommand=())
    assert_ok(d.request("GET", ECHO, service=None))
    assert_scope(upstream.one(), "iam", "cn-beijing")


@pytest.mark.parametrize("names", [
    ("VOLCENGINE_ACCESSKEY", "VOLCENGINE_SECRETKEY"), ("VOLC_ACCESSKEY", "VOLC_SECRETKEY")])
def test_older_names(bare, upstream, names):
    d = bare({names[0]: daemons.ACCESS_KEY, names[1]: daemons.SECRET_KEY}, "-r", "cn-beijing")
    assert_ok(d.request())
    assert upstream.one().verdict.ok


def test_session_token(bare, upstream):
    d = bare({"VOLCENGINE_ACCESS_KEY": daemons.TOKEN_KEY[0], "VOLCENGINE_SECRET_KEY": daemons.TOKEN_KEY[1],
              "VOLCENGINE_SESSION_TOKEN": daemons.TOKEN_KEY[2]}, "-r", "cn-beijing")
    assert_ok(d.request())
    assert upstream.one().get("X-Security-Token") == daemons.TOKEN_KEY[2]


def test_byteplus_names(bare, upstream):
    d = bare({"BYTEPLUS_ACCESS_KEY": daemons.SECOND_KEY[0], "BYTEPLUS_SECRET_KEY": daemons.SECOND_KEY[1],
              "BYTEPLUS_REGION": "ap-southeast-2", "VOLCENGINE_REGION": "cn-beijing",
              "VOLCENGINE_ACCESS_KEY": "AKwrong", "VOLCENGINE_SECRET_KEY": "wrong"},
             "--cloud", "byteplus")
    assert_ok(d.request())
    assert_scope(upstream.one(), "ecs", "ap-southeast-2")
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]


def test_endpoint_variable(bare, upstream):
    d = bare(dict(KEYS, VOLCENGINE_REGION="cn-beijing", VOLCENGINE_ENDPOINT="custom.internal:8443"))
    assert_ok(d.request())
    assert upstream.one().get("Host") == "custom.internal:8443"


def test_environment_twins_and_flags(bare, upstream):
    env = dict(KEYS, VOLCENGINE_REGION="cn-beijing", SIGFERRY_REGION="ap-southeast-2",
               SIGFERRY_SERVICE="vpc", SIGFERRY_CLIENT_SIDE_VALIDATION="false")
    assert_ok(bare(env).request("GET", "/", service=None))
    assert_scope(upstream.one(), "vpc", "ap-southeast-2")
    upstream.requests.clear()
    assert_ok(bare(env, "-r", "ap-southeast-3").request("GET", "/", service=None))
    assert_scope(upstream.one(), "vpc", "ap-southeast-3")


def test_an_unknown_variable_is_a_warning(bare, upstream):
    d = bare(dict(KEYS, VOLCENGINE_REGION="cn-beijing", SIGFERRY_PORT="tcp://10.0.0.1:80",
                  SIGFERRY_REGOIN="x"))
    assert_ok(d.request())
    assert "SIGFERRY_REGOIN" in d.log


def test_without_credentials_it_says_what_to_set(bare, upstream):
    d = bare({}, "-r", "cn-beijing")
    r = d.request("GET", ECHO, timeout=30)
    assert_error(r, 503, "CredentialsUnavailable", ["VOLCENGINE_ACCESS_KEY", "VOLCENGINE_SECRET_KEY"])
    assert upstream.requests == [] and d.alive()


def test_half_a_credential_names_the_other_half(bare, upstream):
    d = bare({"VOLCENGINE_ACCESS_KEY": daemons.ACCESS_KEY}, "-r", "cn-beijing")
    r = d.request("GET", ECHO, timeout=30)
    assert_error(r, 503, "CredentialsUnavailable", "VOLCENGINE_SECRET_KEY")
    assert upstream.requests == []


def test_credentials_from_a_file(daemon, upstream, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("access_key = %s\nsecret_key = %s\n" % daemons.SECOND_KEY)
    keys.chmod(0o600)
    d = daemon(profiles=None, _text='profiles = { default = { provider = "file"; file = "%s"; }; };\n'
               % keys)
    assert_ok(d.request())
    assert upstream.one().verdict.access_key == daemons.SECOND_KEY[0]


def test_no_secret_is_left_in_the_process(bare, upstream):
    env = {"VOLCENGINE_ACCESS_KEY": daemons.TOKEN_KEY[0], "VOLCENGINE_SECRET_KEY": daemons.TOKEN_KEY[1],
           "VOLCENGINE_SESSION_TOKEN": daemons.TOKEN_KEY[2], "VOLCENGINE_REGION": "cn-beijing",
           "SIGFERRY_LOG_LEVEL": "debug",
           "SIGFERRY_LOG_DEBUG": "request,request_body,request_id,response,response_body,signing,"
                                 "endpoint,retries,config"}
    d = bare(env)
    assert_ok(d.request("POST", ECHO, [("Content-Type", "application/json")], b'{"a":1}'))
    d.request("GET", ECHO, [("X-Sigferry-Dry-Run", "true")])
    d.request("GET", ECHO, [("X-Sigferry-Scheme", "x")])
    secrets = daemons.TOKEN_KEY[1:]
    # Under a wrapper /proc shows the wrapper's own block.
    for path in filter(None, map(d.proc, ("cmdline",) if daemons.WRAPPER else ("environ", "cmdline"))):
        with open(path, "rb") as f:
            text = f.read()
        for secret in secrets:
            assert secret.encode() not in text, path
    d.stop()
    for secret in secrets:
        assert secret not in d.log
    assert daemons.TOKEN_KEY[0] not in d.log  # the access key is masked


def test_a_key_log_is_never_written(bare, upstream, tmp_path):
    path = tmp_path / "keylog"
    assert_ok(bare(dict(KEYS, VOLCENGINE_REGION="cn-beijing", SSLKEYLOGFILE=str(path))).request())
    assert not path.exists()


def test_core_dumps_are_off(shared, upstream):
    with open("/proc/%d/limits" % shared.pid, encoding="ascii") as f:
        line = next(x for x in f if x.startswith("Max core file size"))
    assert line.split()[4] == "0"
