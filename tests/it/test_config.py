# SPDX-License-Identifier: Apache-2.0
"""Configuration: what check says about a bad file, what config shows and where each value came from,
precedence, permissions, and a start that fails with a reason."""

import os
import re
import socket

import pytest

import daemon as daemons
from certs import openssl
from checks import assert_error, assert_ok
from daemon import clean_env, command, config_text

MINIMAL = {"region": "cn-beijing", "profiles": daemons.ALL_PROFILES}


@pytest.fixture
def conf(tmp_path):
    """conf(text, mode=0o600) writes a file and returns its path."""
    def write(text, mode=0o600, name="sigferry.conf"):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return path
    return write


def complaints(path, *args, **kw):
    """The lines of a failing check."""
    run = command("check", "-c", path, *args, **kw)
    assert run.returncode == 1, run
    return run.stdout + run.stderr


def values(*args, **kw):
    """{key: (value, origin)} as the config command shows it."""
    run = command("config", *args, **kw)
    assert run.returncode == 0, run
    found = {}
    for line in run.stdout.splitlines():
        m = re.fullmatch(r"\s*([\w.\[\]-]+)\s*[=:]\s*(.*?)\s+#\s*(.*)", line)
        if m:
            found[m[1]] = (m[2].rstrip(";").strip('"'), m[3])
    return found


# -- check -------------------------------------------------------------------------------------

def test_a_good_file(conf):
    run = command("check", "-c", conf(config_text(MINIMAL)))
    assert run.returncode == 0, run


# text on line 2 of the file: what the message must have besides file and line
BAD = {
    "unknown key": ("regoin = \"cn-beijing\";", ["regoin", "region"]),
    "unknown key in a section": ("timeouts = { conect_timeout = 1.0; };",
                                 ["conect_timeout", "connect_timeout"]),
    "unknown section": ("timeout = { connect_timeout = 1.0; };", ["timeout", "timeouts"]),
    "string for a number": ("timeouts = { read_timeout = \"soon\"; };", ["timeouts.read_timeout"]),
    "number for a string": ("service = 5;", ["service"]),
    "string for a boolean": ("client_side_validation = \"yes\";", ["client_side_validation"]),
    "negative time": ("timeouts = { connect_timeout = -1.0; };", ["timeouts.connect_timeout"]),
    "negative count": ("workers = -1;", ["workers"]),
    "huge count": ("workers = 100000;", ["workers"]),
    "bad cloud": ("cloud = \"aws\";", ["cloud", "volcengine", "byteplus"]),
    "bad scheme": ("endpoint = { scheme = \"ftp\"; };", ["endpoint.scheme"]),
    "bad resolver": ("endpoint = { resolver = \"fancy\"; };", ["endpoint.resolver", "standard"]),
    "bad backoff": ("retry = { backoff_strategy = \"exponental\"; };", ["retry.backoff_strategy"]),
    "bad level": ("log = { level = \"loud\"; };", ["log.level"]),
    "bad debug category": ("log = { debug = [\"everything\"]; };", ["log.debug", "everything"]),
    "bad size": ("limits = { max_body = \"much\"; };", ["limits.max_body"]),
    "bad tls version": ("tls = { min_version = \"1.7\"; };", ["tls.min_version"]),
    "bad region": ("region = \"cn beijing\";", ["region"]),
    "bad listen address": ("listen = [ \"127.0.0.1:99999\" ];", ["listen"]),
    "remote without permission": ("listen = [ \"0.0.0.0:8750\" ];", ["listen", "allow_remote"]),
    "bad connect_to": ("connect_to = [ \"nonsense\" ];", ["connect_to"]),
    "integer beyond 32 bits": ("workers = 4294967298;", ["workers"]),
    "forgotten comma": ("listen = [ \"127.0.0.1:8750\" \"127.0.0.1:8752\" ];", ["listen"]),
    "syntax": ("oops = = 5;", []),
    "unclosed group": ("timeouts = { connect_timeout = 1.0;", []),
    "profile that is not there": ("profile = \"nosuch\";", ["profile", "nosuch"]),
    "unknown provider": ("profiles = { default = { provider = \"magic\"; }; };", ["provider", "magic"]),
    "ca file that is not there": ("tls = { ca_file = \"/nonexistent/ca.pem\"; };",
                                  ["tls.ca_file", "/nonexistent/ca.pem"]),
    "cert without key": ("tls = { cert_file = \"%s\"; };" % os.path.abspath(__file__), ["key_file"]),
    "min above max": ("retry = { min_retry_delay_ms = 500; max_retry_delay_ms = 100; };",
                      ["retry_delay_ms"]),
    "custom backoff without delays": ("retry = { backoff_strategy = \"custom\"; };",
                                      ["backoff_delays_ms"]),
    "policy nobody refers to": ("policies = ( { name = \"ro\"; allow = [\"ecs:*\"]; } );", ["ro"]),
    "one port for data and admin": ("listen = [ \"127.0.0.1:8750\" ]; admin = { listen = \"127.0.0.1:8750\"; };",
                                    ["admin.listen", "listen"]),
    "one address twice": ("listen = [ \"127.0.0.1:8750\", \"127.0.0.1:8750\" ];", ["listen"]),
    "route without a prefix": ("routes = ( { service = \"ecs\"; } );", ["prefix"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named(conf, name):
    text, wanted = BAD[name]
    path = conf("// a comment\n%s\n" % text)
    out = complaints(path)
    m = re.search(re.escape(str(path)) + r":(\d+): (.*)", out)
    assert m and (int(m[1]) == 2 or name == "unclosed group"), out
    for part in wanted:
        assert part in m[2], out


def test_every_mistake_is_reported(conf):
    path = conf("regoin = 1;\nworkers = -1;\n")
    out = complaints(path)
    assert "%s:1: " % path in out and "%s:2: " % path in out


def test_an_include_that_is_not_there_is_an_error_with_a_place(conf):
    path = conf("region = \"cn-beijing\";\n@include \"nosuch.conf\"\n")
    out = complaints(path)
    assert "%s:2: " % path in out and "nosuch.conf" in out


def test_an_include_is_read_and_its_errors_have_its_name(conf):
    other = conf("service = \"vpc\";\nregoin = 1;\n", name="other.conf")
    path = conf("region = \"cn-beijing\";\n@include \"%s\"\n" % other)
    assert "%s:2: " % other in complaints(path)
    other.write_text("service = \"vpc\";\n")
    assert values("-c", path)["service"][0] == "vpc"


def test_a_missing_file(tmp_path):
    out = complaints(tmp_path / "nosuch.conf")
    assert "nosuch.conf" in out


def test_a_directory_for_a_file(tmp_path):
    assert str(tmp_path) in complaints(tmp_path)


def test_permissions_of_a_file_with_secrets(conf):
    text = config_text(MINIMAL)
    for mode in (0o640, 0o644, 0o604):
        out = complaints(conf(text, mode))
        assert "sigferry.conf" in out and "mode is %04o" % mode in out, out
    run = command("check", "-c", conf(text + "security = { strict_file_permissions = false; };\n", 0o644))
    assert run.returncode == 0, run


def test_permissions_of_a_file_without_secrets(conf):
    text = "region = \"cn-beijing\";\n"
    assert command("check", "-c", conf(text, 0o644)).returncode == 0
    assert "sigferry.conf" in complaints(conf(text, 0o666))


def test_integers_are_fine_where_times_are_meant(conf):
    path = conf("timeouts = { connect_timeout = 5; };\n")
    assert float(values("-c", path)["timeouts.connect_timeout"][0]) == 5.0


# -- config: values and where they came from ---------------------------------------------------

def test_defaults_and_origins(conf):
    path = conf("// one\n// two\nregion = \"cn-beijing\";\nretry = {\n  num_max_retries = 7;\n};\n")
    v = values("-c", path, "-s", "vpc", env={"SIGFERRY_CLOUD": "byteplus"})
    assert v["region"][0] == "cn-beijing" and "sigferry.conf:3" in v["region"][1]
    assert v["retry.num_max_retries"][0] == "7" and "sigferry.conf:5" in v["retry.num_max_retries"][1]
    assert v["service"][0] == "vpc" and "flag" in v["service"][1]
    assert v["cloud"][0] == "byteplus" and "env" in v["cloud"][1].lower()
    assert "default" in v["timeouts.read_timeout"][1]
    for key, want in (("timeouts.read_timeout", 30.0), ("timeouts.client_header_timeout", 10.0),
                      ("pool.idle_timeout", 60.0), ("drain_timeout", 30.0)):
        assert float(v[key][0]) == want, key
    for key, want in (("retry.min_retry_delay_ms", "30"), ("retry.max_retry_delay_ms", "300000"),
                      ("retry.backoff_strategy", "exponential-jitter"), ("endpoint.scheme", "https"),
                      ("retry.budget_percent", "20"), ("pool.num_pools", "4"),
                      ("tls.verify_ssl", "true"), ("security.allow_remote", "false"),
                      ("client_side_validation", "true"), ("retry.retry_after_send", "always")):
        assert v[key][0] == want, key
    for key in ("listen", "admin.listen", "limits.max_body", "connect_to", "log.level"):
        assert any(k == key or k.startswith(key) for k in v), key


def test_precedence_flag_environment_file_default(conf):
    path = conf("region = \"from-file\";\n")
    env = {"SIGFERRY_REGION": "from-env"}
    assert values("-c", conf("", name="empty.conf"))["region"][0] == ""
    assert values("-c", path)["region"][0] == "from-file"
    assert values("-c", path, env=env)["region"][0] == "from-env"
    assert values("-c", path, "-r", "from-flag", env=env)["region"][0] == "from-flag"
    assert values("-c", path, "--set", "region=from-set", env=env)["region"][0] == "from-set"


def test_environment_twins(conf):
    env = {"SIGFERRY_RETRY_NUM_MAX_RETRIES": "9", "SIGFERRY_LIMITS_MAX_BODY": "64K",
           "SIGFERRY_TLS_VERIFY_SSL": "false", "SIGFERRY_TIMEOUTS_READ_TIMEOUT": "1.5",
           "SIGFERRY_SECURITY_ALLOWED_HOSTS": "a.internal,b.internal"}
    v = values("-c", conf(""), env=env)
    assert v["retry.num_max_retries"][0] == "9" and v["tls.verify_ssl"][0] == "false"
    assert float(v["timeouts.read_timeout"][0]) == 1.5
    assert "a.internal" in v["security.allowed_hosts"][0] and "b.internal" in v["security.allowed_hosts"][0]
    assert v["limits.max_body"][0] in ("64K", "65536")


def test_a_bad_environment_twin_is_named(conf):
    out = complaints(conf(""), env={"SIGFERRY_WORKERS": "lots"})
    assert "SIGFERRY_WORKERS" in out and "workers" in out


def test_set(conf):
    path = conf("")
    v = values("-c", path, "--set", "retry.num_max_retries=2", "--set",
               "security.allowed_hosts=a.internal,b.internal", "--set", "log.level=debug")
    assert v["retry.num_max_retries"][0] == "2" and v["log.level"][0] == "debug"
    assert "b.internal" in v["security.allowed_hosts"][0] and "flag" in v["log.level"][1]
    assert "retry.num_max_retries" in complaints(path, "--set", "retry.num_max_retrys=2")
    assert "workers" in complaints(path, "--set", "workers=many")
    run = command("check", "-c", path, "--set", "no-equals-sign")
    assert run.returncode in (1, 2) and "no-equals-sign" in run.stderr + run.stdout


@pytest.mark.parametrize("option, value, key", [
    ("--listen", "localhost:0", "listen"), ("--region", "cn-shanghai", "region"), ("--admin", "", "admin.listen"),
    ("--log-level", "debug", "log.level")])
def test_an_option_and_set_for_the_same_key(conf, option, value, key):
    """Which of them was meant nobody can know."""
    run = command("run", "-c", conf(""), option, value, "--set", "%s=%s" % (key, value))
    assert run.returncode == 1, run
    assert "%s: %s: is given by --set as well; use one of the two" % (option, key) in run.stderr, run.stderr


def test_set_takes_libconfig_text(conf):
    v = values("-c", conf(""), "--set", "security.allowed_hosts=[\"x.internal\", \"y.internal\"]")
    assert "x.internal" in v["security.allowed_hosts"][0]
    assert "y.internal" in v["security.allowed_hosts"][0]


def test_secrets_are_refused_on_the_command_line(conf):
    run = command("check", "-c", conf(""), "--set", "profiles.default.secret_key=hunter2hunter2")
    assert run.returncode in (1, 2)
    assert "hunter2" not in run.stdout + run.stderr and "secret_key" in run.stdout + run.stderr


def test_config_masks_secrets(conf):
    path = conf(config_text(dict(MINIMAL, security={"client_tokens": ["token-that-is-a-secret"]})))
    run = command("config", "-c", path)
    assert run.returncode == 0, run
    out = run.stdout + run.stderr
    for secret in daemons.SECRETS + ("token-that-is-a-secret",):
        assert secret not in out
    assert daemons.ACCESS_KEY not in out
    assert daemons.ACCESS_KEY[:4] in out and daemons.ACCESS_KEY[-4:] in out


def test_where_the_file_is_looked_for(conf, tmp_path):
    a = conf("region = \"by-variable\";\n", name="a.conf")
    (tmp_path / "sigferry").mkdir()
    conf("region = \"by-xdg\";\n", name="sigferry/sigferry.conf")
    b = conf("region = \"by-flag\";\n", name="b.conf")
    env = {"XDG_CONFIG_HOME": str(tmp_path), "SIGFERRY_CONFIG": ""}
    assert values(env=env)["region"][0] == "by-xdg"
    env["SIGFERRY_CONFIG"] = str(a)
    assert values(env=env)["region"][0] == "by-variable"
    assert values("-c", b, env=env)["region"][0] == "by-flag"
    run = command("check", env={"SIGFERRY_CONFIG": "/nonexistent/x.conf"})
    assert run.returncode == 1 and "/nonexistent/x.conf" in run.stdout + run.stderr


# -- a start that fails ------------------------------------------------------------------------

def test_run_refuses_a_bad_file(daemon):
    d = daemon(_ready=False, _text="regoin = 1;\n")
    d.exit_status = 1
    assert d.wait() == 1
    assert re.search(r"sigferry\.conf:\d+: regoin: .*region", d.log), d.log
    assert "listening on" not in d.log


def test_run_refuses_a_missing_file(tmp_path):
    run = command("run", "-c", tmp_path / "nosuch.conf")
    assert run.returncode == 1 and "nosuch.conf" in run.stdout + run.stderr


def test_a_port_in_use_is_named(daemon):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        d = daemon(_ready=False, listen=["127.0.0.1:%d" % port])
        d.exit_status = 1
        assert d.wait() == 1
    assert "127.0.0.1:%d" % port in d.log and "in use" in d.log


def test_an_admin_port_in_use_is_named(daemon):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        d = daemon(_ready=False, admin={"listen": "127.0.0.1:%d" % port})
        d.exit_status = 1
        assert d.wait() == 1
    assert str(port) in d.log and "in use" in d.log


def test_a_ca_file_without_certificates_is_no_start(daemon, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("nothing of the kind\n")
    d = daemon(_ready=False, tls={"ca_file": str(ca)})
    d.exit_status = 1
    assert d.wait() == 1
    assert "tls.ca_file" in d.log and str(ca) in d.log


@pytest.fixture
def tls_files(certs, tmp_path):
    """{name: (the settings of tls, the key to blame, what is said of it)}"""
    pem, key = certs.pair("good")
    stranger, none = tmp_path / "stranger.key", tmp_path / "none"
    none.write_text("nothing of the kind\n")
    stranger.write_bytes(certs.pair("wronghost")[1].read_bytes())
    rsa, encrypted = tmp_path / "rsa.key", tmp_path / "encrypted.key"
    openssl("genpkey", "-algorithm", "RSA", "-out", rsa)
    openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:swordfish", "-out", encrypted)
    for path in (stranger, rsa, encrypted, none):
        path.chmod(0o600)
    with_key = {name: {"cert_file": str(pem), "key_file": str(path)} for name, path in
                [("stranger", stranger), ("rsa", rsa), ("encrypted", encrypted), ("none", none)]}
    return {"ca": ({"ca_file": str(none)}, "ca_file", "no certificates"),
            "other key": (with_key["stranger"], "key_file", "not that of the certificate"),
            "other kind of key": (with_key["rsa"], "key_file", "not that of the certificate"),
            "encrypted": (with_key["encrypted"], "key_file", "encrypted"),
            "no key": (with_key["none"], "key_file", "no private key"),
            "no certificate": ({"cert_file": str(key), "key_file": str(key)}, "cert_file", "no certificate")}


@pytest.mark.parametrize("name", ["ca", "other key", "other kind of key", "encrypted", "no key", "no certificate"])
def test_tls_files_of_no_use_fail_check_and_start(conf, daemon, tls_files, name):
    settings, blamed, reason = tls_files[name]
    path = conf("tls = {\n" + "".join('%s = "%s";\n' % kv for kv in settings.items()) + "};\n")
    line = 2 + list(settings).index(blamed)
    wanted = r"(?m)^%s:%d: tls\.%s: .*%s" % (re.escape(str(path)), line, blamed, reason)
    r = command("check", "-c", path)
    assert r.returncode == 1 and re.search(wanted, r.stderr) and "ok" not in r.stdout, r
    d = daemon(_ready=False, tls=settings)
    d.exit_status = 1
    assert d.wait() == 1
    assert re.search(r"tls\.%s: .*%s" % (blamed, reason), d.log), d.log


def test_the_admin_address_can_be_off(daemon, upstream):
    d = daemon(_ready=False, admin={"listen": ""}).wait_ready(admin=False)
    assert_ok(d.request())
    assert "admin listening" not in d.log


def test_a_profile_that_cannot_be_read_is_told(daemon, upstream, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("access_key = a\nsecret_key = b\n")
    keys.chmod(0o644)
    d = daemon(profiles=None, _text='profiles = { default = { provider = "file"; file = "%s"; }; };\n' % keys)
    d.wait_log(re.escape(str(keys)))
    assert_error(d.request(), 503, "CredentialsUnavailable", [str(keys), "mode 0644"])
    assert "secret_key = b" not in d.log and upstream.requests == []


def test_the_sample_configuration_is_valid():
    sample = os.path.join(daemons.HERE, "..", "..", "etc", "sigferry.conf")
    text = open(sample, encoding="utf-8").read()
    run = command("check", "-c", sample)
    assert run.returncode == 0 and "region" in text, (run, clean_env("/").get("HOME"))


@pytest.mark.parametrize("profile,key", [
    ({"provider": "cli"}, "config_file"),
    ({"provider": "assume_role_saml", "role_trn": "trn:iam::2000000001:role/r",
      "saml_provider_trn": "trn:iam::2000000001:saml-provider/p"}, "saml_response_file"),
], ids=["cli", "saml"])
def test_check_refuses_the_files_that_the_provider_will_refuse(conf, tmp_path, profile, key):
    kept = tmp_path / "kept"
    kept.write_text("{}")
    path = conf("profiles: { default: { %s }; };" % " ".join(
        '%s = "%s";' % kv for kv in {**profile, key: kept}.items()))
    kept.chmod(0o644)
    r = command("check", "-c", path)
    assert r.returncode == 1 and re.search(r":\d+: profiles.default.%s: .* has mode 0644" % key, r.stderr), r
    kept.chmod(0o600)
    assert command("check", "-c", path).returncode == 0
    kept.chmod(0o644)
    assert command("check", "-c", path, "--set", "security.strict_file_permissions=false").returncode == 0
    kept.unlink()
    r = command("check", "-c", path)
    assert r.returncode == 1 and "kept: No such file" in r.stderr
