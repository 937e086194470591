# SPDX-License-Identifier: Apache-2.0
"""doctor: one line a check, what it finds, what it advises, and what it exits with."""

import email.utils
import os
import pty
import re
import time

import pytest

import daemon as daemons
from certs import openssl
from checks import UNKNOWN_NAME, needs_localhost
from daemon import BINARY, Raw, clean_env, command, unused_port
from others import own_hosts

CHECKS = ["config", "files", "credentials", "dns", "connect", "clock"]


@pytest.fixture
def answering(upstream):
    """answering(offset): the upstream answers anything, also unsigned, with a Date that far off
    (None: without one)."""
    upstream.allow_bad_signature = True

    def set_up(offset=0.0):
        def handler(ex):
            date = [] if offset is None else [
                ("Date", email.utils.formatdate(time.time() + offset, usegmt=True))]
            ex.reply(403, {}, date)
        upstream.on(None, handler, early=True)
        return upstream
    return set_up


def doctor(path, *args, status=None, env=None, **kw):
    """{check: [(result, text)]} of a run, whose form is checked on the way."""
    run = command("doctor", "-c", path, *args, env=env, **kw)
    found = {}
    for line in run.stdout.splitlines():
        m = re.fullmatch(r"(ok  |FAIL|skip)  (\w+) +(\S.*)", line)
        assert m, line
        found.setdefault(m[2], []).append((m[1].strip(), m[3]))
    assert list(found) == CHECKS, run
    failed = any(r == "FAIL" for lines in found.values() for r, _ in lines)
    assert run.returncode == (1 if failed else 0), run
    for secret in daemons.SECRETS:
        assert secret not in run.stdout + run.stderr
    return found


def only(found, check, result):
    """The text of the one line of a check."""
    assert [r for r, _ in found[check]] == [result], found[check]
    return found[check][0][1]


def test_all_is_well(conf, answering, certs):
    answering()
    path = conf()
    found = doctor(path)
    assert only(found, "config", "ok") == str(path)
    files = dict(t.split(": ", 1) for r, t in found["files"] if r == "ok")
    assert files == {"configuration": "%s, mode 0600" % path,
                     "tls.ca_file": "%s, mode %04o" % (certs.ca, os.stat(certs.ca).st_mode & 0o777)}
    texts = [t for r, t in found["credentials"] if r == "ok"]
    assert texts[0] == "default: AKLT...0001 from static"
    assert [t.split(":")[0] for t in texts] == ["default", "second", "token"]
    assert "connect_to" in only(found, "dns", "skip")
    assert re.search(r"open.volcengineapi.com answers by TLS at 127.0.0.1:\d+ in \d+ ms",
                     only(found, "connect", "ok"))
    assert only(found, "clock", "ok").startswith(("in step", "1 s", "2 s"))


def test_it_sends_nothing_of_ours(conf, answering):
    up = answering()
    doctor(conf())
    request = up.one()
    assert (request.method, request.target) == ("GET", "/")
    assert not {"authorization", "x-date", "x-security-token"} & set(request.names())


def test_one_profile_is_enough_when_asked_for(conf, answering):
    answering()
    found = doctor(conf(), "--profile", "second")
    assert only(found, "credentials", "ok") == "second: AKLT...0002 from static"


# -- configuration and files -------------------------------------------------------------------

def test_an_invalid_configuration(conf):
    found = doctor(conf("regoin = \"x\";\nservice = \"a b\";\n"))
    assert [r for r, _ in found["config"]] == ["FAIL", "FAIL"]
    assert "regoin" in found["config"][0][1] and "service" in found["config"][1][1]
    assert all(only(found, c, "skip") for c in CHECKS[1:])


def test_a_missing_configuration(tmp_path):
    assert "nosuch" in only(doctor(tmp_path / "nosuch"), "config", "FAIL")


@pytest.mark.skipif(daemons.is_installed(), reason="there is a " + daemons.SYSTEM_FILE)
def test_no_configuration(tmp_path):
    """Nothing but the environment."""
    env = clean_env(tmp_path, {"VOLCENGINE_ACCESS_KEY": daemons.ACCESS_KEY,
                               "VOLCENGINE_SECRET_KEY": daemons.SECRET_KEY})
    run = command("doctor", "--set", "endpoint.host=127.0.0.1:%d" % unused_port(), env=env,
                  home=tmp_path)
    assert "no file" in run.stdout and "files        the configuration names none" in run.stdout
    assert "AKLT...0001 from env" in run.stdout and run.returncode == 1, run


def test_a_configuration_others_may_read(conf, answering):
    answering()
    assert "0640" in only(doctor(conf(mode=0o640)), "config", "FAIL")
    found = doctor(conf(mode=0o640, security={"strict_file_permissions": False}))
    assert any("mode 0640: others may use the keys in it" in t and r == "ok"
               for r, t in found["files"]), found


def test_files_that_only_look_as_if_they_held_secrets(conf, answering, certs, tmp_path):
    """What the daemon accepts, so does the doctor: secrets that stand elsewhere, authorities of another
    user."""
    answering()
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(open(certs.ca, "rb").read())
    authorities.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(authorities, 65534, 65534)
    key = tmp_path / "key.conf"
    key.write_text('profiles: { default: { provider = "static"; access_key = "%s"; secret_key = "%s"; }; };\n'
                   % (daemons.ACCESS_KEY, daemons.SECRET_KEY))
    key.chmod(0o600)
    path = conf('@include "key.conf"\n', mode=0o644, profiles=None, tls={"ca_file": str(authorities)})
    assert all(r == "ok" for r, t in doctor(path)["files"]), doctor(path)
    env = {"SIGFERRY_PROFILES_DEFAULT_ACCESS_KEY": daemons.ACCESS_KEY,
           "SIGFERRY_PROFILES_DEFAULT_SECRET_KEY": daemons.SECRET_KEY}
    path = conf(mode=0o644, profiles=Raw('{ default: { provider = "static"; }; }'),
                tls={"ca_file": str(authorities)})
    assert all(r == "ok" for r, t in doctor(path, env=env)["files"]), doctor(path, env=env)


@pytest.mark.parametrize("change,words", [
    (lambda p: p.chmod(0o644), ["0644", "chmod 600"]),
    (lambda p: p.unlink(), ["No such file", "create it"]),
    (lambda p: (p.unlink(), os.mkfifo(p)), ["not a regular file"]),
], ids=["mode", "missing", "fifo"])
def test_a_profiles_file(conf, answering, tmp_path, change, words):
    answering()
    keys = tmp_path / "keys"
    keys.write_text("access_key = %s\nsecret_key = %s\n" % (daemons.ACCESS_KEY, daemons.SECRET_KEY))
    keys.chmod(0o600)
    path = conf(profiles={"kept": {"provider": "file", "file": str(keys)}})
    found = doctor(path)
    assert ("ok", "profiles.kept.file: %s, mode 0600" % keys) in found["files"]
    assert ("ok", "kept: AKLT...0001 from file") in found["credentials"]
    change(keys)
    found = doctor(path)
    bad = [t for r, t in found["files"] if r == "FAIL"]
    assert len(bad) == 1 and all(w in bad[0] for w in ["profiles.kept.file", *words]), bad
    assert [t for r, t in found["credentials"] if r == "FAIL" and t.startswith("kept: ")]


def test_files_of_the_service_manager(conf, answering, tmp_path):
    """Those it hands over look open but are the service's alone."""
    answering()
    directory = tmp_path / "credentials"
    directory.mkdir()
    keys = directory / "keys"
    keys.write_text("access_key = %s\nsecret_key = %s\n" % (daemons.ACCESS_KEY, daemons.SECRET_KEY))
    keys.chmod(0o440)
    path = conf(profiles={"kept": {"provider": "file", "file": "keys"}})
    found = doctor(path, env={"CREDENTIALS_DIRECTORY": str(directory)})
    assert ("ok", "profiles.kept.file: %s, mode 0440" % keys) in found["files"], found
    # Whoever calls the doctor has no such directory: it says how to have one.
    found = doctor(path)
    for group in ("files", "credentials"):
        assert any("CREDENTIALS_DIRECTORY" in t for r, t in found[group] if r == "FAIL"), found


def test_files_beside_those_of_the_service_manager(conf, answering, tmp_path):
    """A directory whose name only begins alike, and a provider that knows nothing of it."""
    answering()
    directory = tmp_path / "credentials"
    directory.mkdir()
    (tmp_path / "credentials-2").mkdir()
    keys, saml = tmp_path / "credentials-2" / "keys", directory / "saml"
    for f in (keys, saml):
        f.write_text("access_key = %s\nsecret_key = %s\n" % (daemons.ACCESS_KEY, daemons.SECRET_KEY))
        f.chmod(0o644)
    path = conf(profiles={
        "kept": {"provider": "file", "file": str(keys)},
        "saml": {"provider": "assume_role_saml", "role_trn": "trn:iam::2000000001:role/r",
                 "saml_provider_trn": "trn:iam::2000000001:saml-provider/p", "saml_response_file": str(saml)}})
    bad = [t for r, t in doctor(path, env={"CREDENTIALS_DIRECTORY": str(directory)})["files"] if r == "FAIL"]
    assert len(bad) == 2 and all("chmod 600" in t for t in bad), bad


# -- credentials -------------------------------------------------------------------------------

def test_no_credentials(conf, answering):
    answering()
    found = doctor(conf(profiles=Raw("{ default: { provider = \"env\"; }; }")))
    text = only(found, "credentials", "FAIL")
    assert "default: env: set VOLCENGINE_ACCESS_KEY and VOLCENGINE_SECRET_KEY" in text
    assert only(found, "connect", "ok") and only(found, "clock", "ok")


# -- network -----------------------------------------------------------------------------------

def test_each_configured_endpoint(conf, answering):
    answering()
    found = doctor(conf(endpoint={"services": [{"service": "ecs", "host": "ecs.internal:8443"}]}),
                   "-s", "iam", "-r", "ap-southeast-2")
    texts = [t for r, t in found["connect"] if r == "ok"]
    assert [t.split()[0] for t in texts] == ["iam.volcengineapi.com", "ecs.internal:8443"], found


@needs_localhost
def test_a_name_that_is_known(conf, answering):
    up = answering()
    found = doctor(conf(connect_to=[], endpoint={"host": "localhost:%d" % up.port}))
    assert re.match(r"localhost: (127\.0\.0\.1|::1)", only(found, "dns", "ok"))
    assert only(found, "connect", "ok")


def test_a_name_that_is_not_known(conf):
    found = doctor(conf(connect_to=[], endpoint={"host": UNKNOWN_NAME}))
    text = only(found, "dns", "FAIL")
    assert UNKNOWN_NAME in text and "resolv.conf" in text
    assert only(found, "connect", "skip") and only(found, "clock", "skip")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
def test_an_address_that_the_daemon_refuses(conf, monkeypatch, tmp_path, address):
    own_hosts(monkeypatch, tmp_path, [(address, "sts.cn-beijing.volcengineapi.com"), (address, "alt.internal")])
    settings = {"connect_to": [], "endpoint": {"resolver": "standard"}}
    found = doctor(conf(**settings))
    text = only(found, "dns", "FAIL")
    assert "loopback" in text and "connect_to" in text and address in text, text
    assert only(found, "connect", "skip") and only(found, "clock", "skip")
    settings["connect_to"] = [":443::%d" % unused_port()]  # moves the port and says nothing of the address
    assert "loopback" in only(doctor(conf(**settings)), "dns", "FAIL")


@pytest.mark.parametrize("endpoint", [{"host": "alt.internal"}, {"services": [{"service": "sts", "host": "alt.internal"}]}],
                         ids=["host", "services"])
def test_an_address_that_is_meant(conf, monkeypatch, tmp_path, endpoint):
    own_hosts(monkeypatch, tmp_path, [("127.0.0.1", "alt.internal")])
    assert "127.0.0.1" in only(doctor(conf(connect_to=[], endpoint=endpoint)), "dns", "ok")


def test_no_region_for_the_standard_resolver(conf, answering):
    answering()
    path = conf(region="", endpoint={"resolver": "standard"})
    found = doctor(path)
    assert "region" in only(found, "dns", "skip") and "-r" in only(found, "dns", "skip")
    assert only(found, "connect", "skip") and only(found, "clock", "skip")
    assert "sts.ap-southeast-1." in only(doctor(path, "-r", "ap-southeast-1"), "connect", "ok")
    assert "nosuch" in only(doctor(path, "-r", "nosuch"), "dns", "FAIL")


def test_nobody_listens(conf):
    found = doctor(conf(connect_to=["::127.0.0.1:%d" % unused_port()]))
    assert "proxy.https_proxy" in only(found, "connect", "FAIL")
    assert only(found, "clock", "skip")


@pytest.mark.parametrize("cert", ["expired", "wronghost", "untrusted"])
def test_a_wrong_certificate(conf, make_upstream, cert):
    up = make_upstream(cert)
    up.allow_bad_signature = True
    path = conf(connect_to=["::127.0.0.1:%d" % up.port])
    assert "tls.ca_file" in only(doctor(path), "connect", "FAIL")
    assert not up.requests
    found = doctor(path, "--set", "tls.verify_ssl=false")
    assert "unverified" in only(found, "connect", "ok")


def test_silence(conf, make_upstream):
    up = make_upstream(hold=True)
    found = doctor(conf(connect_to=["::127.0.0.1:%d" % up.port], timeouts={"connect_timeout": 0.3}))
    assert "proxy.https_proxy" in only(found, "connect", "FAIL")


def test_no_http_there(conf, certs, make_upstream):
    up = make_upstream()
    up.allow_bad_signature = True
    up.on(None, lambda ex: ex.close(), early=True)
    found = doctor(conf(connect_to=["::127.0.0.1:%d" % up.port]))
    assert "no HTTP server" in only(found, "connect", "FAIL")


def test_plain_http(conf, make_upstream):
    up = make_upstream(cert=None)
    up.allow_bad_signature = True
    found = doctor(conf(connect_to=["::127.0.0.1:%d" % up.port], endpoint={"scheme": "http"}))
    assert "by plain HTTP" in only(found, "connect", "ok")
    assert "sends no Date" in only(found, "clock", "skip")


def test_through_a_proxy(conf):
    found = doctor(conf(connect_to=[], proxy={"https_proxy": "http://127.0.0.1:%d" % unused_port()}))
    assert "a proxy" in only(found, "dns", "skip")
    assert only(found, "connect", "FAIL")


# -- clock -------------------------------------------------------------------------------------

@pytest.mark.parametrize("offset,result,words", [
    (30, "ok", r"(29|30|31) s behind open"), (-30, "ok", r"(29|30|31) s ahead of open"),
    (400, "FAIL", r"(399|400|401) s behind .* 900 s .*timedatectl"),
    (-4000, "FAIL", r"(3999|4000|4001) s ahead of .*timedatectl"), (None, "skip", ".* sends no Date")])
def test_the_clock(conf, answering, offset, result, words):
    answering(offset)
    found = doctor(conf())
    assert re.match(words, only(found, "clock", result)), found["clock"]
    assert only(found, "connect", "ok")


# -- usage and terminal ------------------------------------------------------------------------

def test_usage():
    assert command("doctor", "extra").returncode == 2
    assert command("doctor", "--nosuch").returncode == 2
    assert "doctor" in command("doctor", "--help").stdout


def on_terminal(path, env, command="doctor", status=0):
    """What a terminal gets to see. Whoever sits there presses Enter."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BINARY, [BINARY, command, "-c", str(path)], clean_env("/nonexistent", env))
    os.write(fd, b"\n")
    out = b""
    try:
        while True:
            out += os.read(fd, 4096)
    except OSError:  # the other end is closed
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status, out
    return out.decode()


@pytest.mark.parametrize("env,colour,live", [
    ({"TERM": "xterm"}, True, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False, True),
    ({"TERM": "xterm", "NO_COLOR": ""}, True, True), ({"TERM": "dumb"}, False, False)])
def test_colour_and_progress_on_a_terminal(conf, answering, env, colour, live):
    answering()
    text = on_terminal(conf(), env)
    assert ("\x1b[32mok" in text) == colour, text
    assert ("connecting to open.volcengineapi.com" in text) == live, text
    # What was shown for the time being is gone in the end.
    shown = [re.sub(r"\x1b\[[\d;]*m", "", line.rpartition("\r\x1b[K")[2]).strip()
             for line in text.replace("\r\n", "\n").split("\n") if line]
    assert len(shown) >= len(CHECKS) and all(re.match(r"(ok|skip) ", line) for line in shown), shown


def test_no_colour_in_a_file(conf, answering):
    answering()
    run = command("doctor", "-c", conf(), env={"TERM": "xterm", "CLICOLOR_FORCE": "1"})
    assert "\x1b" not in run.stdout and "..." not in run.stdout.replace("AKLT...", "").replace(
        "AKTP...", ""), run


@pytest.mark.parametrize("name", ["check", "doctor"])
def test_nobody_is_asked_for_a_keys_password(conf, answering, certs, tmp_path, name):
    answering()
    pem, key = certs.pair("good")
    encrypted = tmp_path / "encrypted.key"
    openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:swordfish", "-out", encrypted)
    encrypted.chmod(0o600)
    path = conf(tls={"ca_file": str(certs.ca), "cert_file": str(pem), "key_file": str(encrypted)})
    text = on_terminal(path, {"TERM": "dumb"}, command=name, status=1)
    assert "pass phrase" not in text and str(encrypted) in text, text
