# SPDX-License-Identifier: Apache-2.0
"""The other commands: resolve, sign, presign, sandbox, version, help; their output and exit codes."""

import hashlib
import http.client
import json
import re
import shlex
import socket
import ssl
import subprocess

import pytest

import daemon as daemons
import leaks
import signer
from checks import assert_ok, assert_scope, fetch_presigned
from daemon import clean_env, command, seconds

ENV = {"VOLCENGINE_ACCESS_KEY": daemons.ACCESS_KEY, "VOLCENGINE_SECRET_KEY": daemons.SECRET_KEY,
       "VOLCENGINE_REGION": "cn-beijing", "VOLCENGINE_ECS_METADATA_DISABLED": "true"}
TOKEN_ENV = dict(ENV, VOLCENGINE_ACCESS_KEY=daemons.TOKEN_KEY[0],
                 VOLCENGINE_SECRET_KEY=daemons.TOKEN_KEY[1],
                 VOLCENGINE_SESSION_TOKEN=daemons.TOKEN_KEY[2])
KEY = (daemons.ACCESS_KEY, daemons.SECRET_KEY, None)
DATE = "20201103T104027Z"
URL = "https://ecs.ap-southeast-2.volcengineapi.com/?Version=2020-04-01&Action=DescribeInstances&N=a%20b"
TARGET = "/?Action=DescribeInstances&N=a%20b&Version=2020-04-01"
HOST = "ecs.ap-southeast-2.volcengineapi.com"


def ok(*args, env=ENV, **kw):
    run = command(*args, env=env, **kw)
    assert run.returncode == 0, run
    return run.stdout


def fails(status, *args, env=ENV, **kw):
    run = command(*args, env=env, **kw)
    assert run.returncode == status, run
    assert run.stderr.strip(), "no message"
    return run.stderr


# -- resolve -----------------------------------------------------------------------------------

@pytest.mark.parametrize("args,host", [
    (["ecs", "ap-southeast-2"], "ecs.ap-southeast-2.volcengineapi.com"),
    (["ecs", "cn-beijing"], "open.volcengineapi.com"),
    (["ecs"], "open.volcengineapi.com"),
    (["iam", "ap-southeast-2"], "iam.volcengineapi.com"),
    (["rds_mysql", "ap-southeast-2"], "rds-mysql.ap-southeast-2.volcengineapi.com"),
    (["--dual-stack", "vpc", "ap-southeast-2"], "vpc.ap-southeast-2.volcengine-api.com"),
    (["--resolver", "standard", "ecs", "cn-beijing"], "ecs.cn-beijing.volcengineapi.com"),
    (["--cloud", "byteplus", "ecs", "ap-southeast-2"], "ecs.ap-southeast-2.byteplusapi.com"),
    (["--cloud", "byteplus", "billing", "mars-1"], "open.byteplusapi.com"),
    (["--set", "endpoint.custom_bootstrap_region=my-lab-1", "ecs", "my-lab-1"],
     "ecs.my-lab-1.volcengineapi.com"),
    (["--set", "endpoint.host=custom.internal", "ecs", "my-lab-1"], "custom.internal"),
])
def test_resolve(args, host):
    assert ok("resolve", *args) == host + "\n"


def test_resolve_failures():
    assert "nosuch" in fails(1, "resolve", "--resolver", "standard", "nosuch", "cn-beijing")
    assert "MARS" in fails(1, "resolve", "--resolver", "standard", "ecs", "MARS")
    fails(2, "resolve")
    fails(2, "resolve", "--resolver")
    env = {k: v for k, v in ENV.items() if k != "VOLCENGINE_REGION"}
    assert "region" in fails(1, "resolve", "ecs", env=env).lower()


# -- sign --------------------------------------------------------------------------------------

def headers_of(text):
    return dict(re.fullmatch(r"([\w-]+): (.*)", line).groups() for line in text.splitlines())


def test_sign_a_get():
    got = headers_of(ok("sign", "--date", DATE, URL))
    want = signer.sign("GET", TARGET, [("Host", HOST)], b"", KEY, "ecs", "ap-southeast-2", DATE)
    assert {k: got[k] for k in want.headers} == want.headers
    assert set(got) - set(want.headers) <= {"Host"}


def test_sign_a_post_with_headers_and_a_body():
    body = b'{"a": "\xe4\xb8\xad"}'
    got = headers_of(ok("sign", "--date", DATE, "-X", "PUT", "-H", "Content-Type: application/json",
                        "-H", "X-Mine: 1", "-d", body.decode(), URL))
    want = signer.sign("PUT", TARGET, [("Host", HOST), ("Content-Type", "application/json"),
                                       ("X-Mine", "1")], body, KEY, "ecs", "ap-southeast-2", DATE)
    assert got["Authorization"] == want.headers["Authorization"]
    assert got["X-Content-Sha256"] == hashlib.sha256(body).hexdigest()


def test_sign_a_body_from_a_file_is_a_post(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(bytes(range(256)))
    got = headers_of(ok("sign", "--date", DATE, "-d", "@%s" % path, URL))
    want = signer.sign("POST", TARGET, [("Host", HOST)], path.read_bytes(), KEY, "ecs",
                       "ap-southeast-2", DATE)
    assert got["Authorization"] == want.headers["Authorization"]
    assert got.get("Content-Type", want.headers["Content-Type"]) == want.headers["Content-Type"]
    assert "nosuch" in fails(1, "sign", "-d", "@%s/nosuch" % tmp_path, URL)


def test_help_as_a_command():
    assert ok("help") == ok("--help")
    for name in ("run", "exec", "check"):
        assert ok("help", name) == ok(name, "--help")
        assert ok(name, "--help").startswith("Usage: sigferry ")
    fails(2, "help", "nothing")


def test_a_key_is_explained_as_plain_text():
    text = ok("check", "--explain", "profiles")
    assert "`" not in text and "|" not in text and max(map(len, text.splitlines())) <= 80
    assert "role_trn: string;" in text and "trn:iam::ACCOUNT:role/NAME" in text


def test_sign_with_a_token_and_flags():
    leaks.allow(daemons.TOKEN_KEY[2])
    got = headers_of(ok("sign", "--date", DATE, "-s", "waf", "-r", "cn-north-1",
                        "https://open.volcengineapi.com/?Action=A", env=TOKEN_ENV))
    want = signer.sign("GET", "/?Action=A", [("Host", "open.volcengineapi.com")], b"",
                       daemons.TOKEN_KEY, "waf", "cn-north-1", DATE)
    assert {k: got[k] for k in want.headers} == want.headers


def test_sign_with_the_keys_of_a_file(tmp_path):
    path = tmp_path / "c"
    path.write_text(daemons.config_text({"region": "cn-beijing", "profiles": daemons.ALL_PROFILES}))
    path.chmod(0o600)
    got = headers_of(ok("sign", "-c", path, "--profile", "second", "--date", DATE, URL, env={}))
    assert daemons.SECOND_KEY[0] in got["Authorization"]
    want = signer.sign("GET", TARGET, [("Host", HOST)], b"", daemons.SECOND_KEY + (None,), "ecs",
                       "ap-southeast-2", DATE)
    assert got["Authorization"] == want.headers["Authorization"]


def test_sign_explain():
    text = ok("sign", "--explain", "--date", DATE, URL)
    want = signer.sign("GET", TARGET, [("Host", HOST)], b"", KEY, "ecs", "ap-southeast-2", DATE)
    assert want.canonical_request in text and want.string_to_sign in text
    assert want.headers["Authorization"] in text and daemons.SECRET_KEY not in text


def test_sign_curl_prints_a_command_that_works(upstream, certs):
    text = ok("sign", "--curl", "-X", "POST", "-H", "Content-Type: text/plain", "-d", "it's a \"body\" $x",
              URL)
    argv = shlex.split(text.replace("\\\n", " "))
    assert argv[0] == "curl"
    run = subprocess.run(argv + ["-sS", "-i", "--cacert", str(certs.ca), "--connect-to",
                                 "::127.0.0.1:%d" % upstream.port],
                         capture_output=True, text=True, timeout=seconds(20),
                         env=clean_env("/nonexistent"))
    assert "200 OK" in run.stdout, (text, run)
    assert upstream.one().body == b"it's a \"body\" $x"
    assert_scope(upstream.one(), "ecs", "ap-southeast-2")


def test_sign_failures():
    fails(2, "sign")
    fails(2, "sign", "--date", "yesterday", URL)
    fails(2, "sign", "-H", "no colon", URL)
    assert "%" in fails(1, "sign", "https://iam.volcengineapi.com/?a=%GG")
    assert "service" in fails(1, "sign", "https://open.volcengineapi.com/").lower()
    for url in ("ftp://iam.volcengineapi.com/", "no url", "https://"):
        assert command("sign", url, env=ENV).returncode in (1, 2)
    message = fails(1, "sign", URL, env={"VOLCENGINE_ECS_METADATA_DISABLED": "true"}, timeout=60)
    assert "VOLCENGINE_ACCESS_KEY" in message


# -- presign -----------------------------------------------------------------------------------

@pytest.mark.parametrize("env", [ENV, TOKEN_ENV], ids=["keys", "token"])
@pytest.mark.parametrize("args", [[], ["--expires", "600"]], ids=["plain", "expires"])
def test_presign(upstream, certs, env, args):
    leaks.allow(daemons.TOKEN_KEY[2])
    url = ok("presign", *args, URL, env=env).strip()
    assert url.startswith("https://%s/?" % HOST)
    status, body = fetch_presigned(url, upstream, certs)
    assert status == 200, body
    req = upstream.one()
    assert req.verdict.presigned and req.query["N"] == "a b"
    assert req.query.get("X-Expires") == ("600" if args else None)
    assert_scope(req, "ecs", "ap-southeast-2")


def test_presign_matches_the_independent_signer():
    url = ok("presign", URL).strip()
    date = re.search(r"X-Date=(\w+)", url)[1]
    pairs = [(b"Action", b"DescribeInstances"), (b"N", b"a b"), (b"Version", b"2020-04-01")]
    want = signer.presign("GET", "/", pairs, HOST, KEY, "ecs", "ap-southeast-2", date)
    assert url == "https://%s/?%s" % (HOST, want.query)


def test_presign_failures():
    fails(2, "presign")
    fails(2, "presign", "--expires", "soon", URL)


# -- sandbox -----------------------------------------------------------------------------------

@pytest.fixture
def sandbox(base_settings, certs, daemon):
    """An embedded upstream with the usual keys; sandbox(*args) returns it, ready."""
    def start(*args):
        cert, key = certs.pair("good")
        d = daemon(_ready=False, _subcommand=("sandbox",), _args=(
            "--listen", "127.0.0.1:0", *(args or ("--cert", cert, "--key", key))))
        d.wait_log(r"listening on \S*127\.0\.0\.1:\d+")
        return d
    return start


def sandbox_port(d):
    return int(d.wait_log(r"listening on \S*127\.0\.0\.1:(\d+)")[1])


def ask_sandbox(d, certs, data):
    context = ssl.create_default_context(cafile=str(certs.ca))
    raw = socket.create_connection(("127.0.0.1", sandbox_port(d)), timeout=seconds(10))
    with context.wrap_socket(raw, server_hostname=HOST) as s:
        s.sendall(data)
        r = http.client.HTTPResponse(s)
        r.begin()
        return r.status, json.loads(r.read())


def signed_bytes(body=b"", key=KEY, date=None, extra=b""):
    headers = [("Host", HOST), ("Content-Type", "text/plain")]
    out = signer.sign("POST", TARGET, headers, body, key, "ecs", "ap-southeast-2", date)
    headers += list(out.headers.items()) + [("Content-Length", str(len(body)))]
    head = "POST %s HTTP/1.1\r\n" % TARGET + "".join("%s: %s\r\n" % h for h in headers)
    return head.encode() + extra + b"\r\n" + body


def test_sandbox_verifies_and_echoes(sandbox, certs):
    d = sandbox()
    status, answer = ask_sandbox(d, certs, signed_bytes(b"hello"))
    assert status == 200, answer
    text = json.dumps(answer)
    for part in ("POST", "DescribeInstances", "ecs", "ap-southeast-2", "text/plain",
                 '"BodyLen": 5', hashlib.sha256(b"hello").hexdigest()):
        assert part in text, text
    status, answer = ask_sandbox(d, certs, signed_bytes(b"hi", daemons.TOKEN_KEY))
    assert status == 200, answer
    assert daemons.TOKEN_KEY[1] not in json.dumps(answer)


@pytest.mark.parametrize("change,code,says", [
    (lambda b: b.replace(b"N=a%20b", b"N=a%20c"), "SignatureDoesNotMatch", "the signature does not match"),
    (lambda b: b[:-5] + b"jello", "SignatureDoesNotMatch", "not the body's hash"),
    (lambda b: b.replace(b"Authorization", b"X-Nothing"), "MissingAuthenticationToken", "no Authorization"),
    (lambda b: signed_bytes(b"hello", ("AKLTunknownunknown", "x", None)), "InvalidAccessKey", "access key"),
    (lambda b: signed_bytes(b"hello", (daemons.ACCESS_KEY, "wrong", None)), "SignatureDoesNotMatch",
     "the signature does not match"),
    (lambda b: signed_bytes(b"hello", KEY, "20200101T000000Z"), "RequestExpired", "X-Date"),
], ids=["query", "body", "missing", "unknown key", "wrong key", "old"])
def test_sandbox_says_what_is_wrong(sandbox, certs, change, code, says):
    d = sandbox()
    status, answer = ask_sandbox(d, certs, change(signed_bytes(b"hello")))
    error = answer["ResponseMetadata"]["Error"]
    assert (status, error["Code"]) == (403, code) and says in error["Message"], answer
    assert daemons.SECRET_KEY.lower() not in json.dumps(answer).lower()
    assert d.alive()


def test_daemon_against_the_sandbox(sandbox, daemon, certs):
    d = sandbox()
    front = daemon(connect_to=["::127.0.0.1:%d" % sandbox_port(d)])
    r = assert_ok(front.request("POST", TARGET, [("Content-Type", "application/json")], b'{"x":1}'))
    assert "DescribeInstances" in r.body.decode()


def test_sandbox_with_a_certificate_of_its_own(sandbox, daemon, tmp_path):
    """Two commands and it works: the sandbox writes its CA, the daemon trusts it."""
    ca = tmp_path / "ca.pem"
    d = sandbox("--ca-out", ca)
    assert "BEGIN CERTIFICATE" in ca.read_text() and "PRIVATE" not in ca.read_text()
    front = daemon(connect_to=["::127.0.0.1:%d" % sandbox_port(d)], tls={"ca_file": str(ca)})
    for region in ("cn-beijing", "ap-southeast-2"):
        assert_ok(front.request("GET", TARGET, [("X-Sigferry-Region", region)]))
    stranger = daemon(connect_to=["::127.0.0.1:%d" % sandbox_port(d)])
    assert stranger.request("GET", TARGET).error == "UpstreamTlsFailed"


def test_sandbox_in_plain_http(sandbox, daemon):
    d = sandbox("--plain")
    front = daemon(connect_to=["::127.0.0.1:%d" % sandbox_port(d)], endpoint={"scheme": "http"})
    assert_ok(front.request("POST", TARGET, body=b"x"))


def test_sandbox_failures(tmp_path):
    assert "nosuch" in fails(1, "sandbox", "--listen", "127.0.0.1:0", "--cert", tmp_path / "nosuch",
                             "--key", tmp_path / "nosuch")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "in use" in fails(1, "sandbox", "--listen", "127.0.0.1:%d" % port)


# -- version, help, usage ----------------------------------------------------------------------

@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag):
    text = ok(flag)
    assert re.search(r"sigferry \d+\.\d+", text)
    for library in ("libmicrohttpd", "libcurl", "OpenSSL"):
        assert re.search(library + r"\S*[ /]\d+\.\d+", text), text


@pytest.mark.parametrize("args", [["-h"], ["--help"]])
def test_help(args):
    text = ok(*args)
    assert "Usage: sigferry" in text and "run" in text


def test_help_of_run_names_its_options():
    text = ok("run", "--help")
    for name in ("-c", "--config", "-l", "--listen", "--admin", "--cloud", "-r", "--region", "-s",
                 "--service", "--profile", "--workers", "--log-level", "--log-format", "--set",
                 "-V", "--version", "-h", "--help"):
        assert re.search(r"(^|[\s,])%s\b" % name, text), name


def test_help_names_every_command():
    text = ok("--help")
    for name in ("run", "check", "config", "resolve", "sign", "presign", "sandbox"):
        assert re.search(r"\b%s\b" % name, text), name


@pytest.mark.parametrize("name", ["check", "config", "resolve", "sign", "presign", "sandbox"])
def test_each_command_has_help(name):
    assert name in ok(name, "--help")


@pytest.mark.parametrize("args,names", [
    (["--nosuch"], "nosuch"), (["nosuch"], "nosuch"), (["run", "extra"], "extra"), (["-c"], "-c"),
    (["run", "--workers"], "workers"), (["check", "--nosuch"], "nosuch"), (["resolv"], "resolve"),
    (["resolve", "a", "b", "c"], "resolve")])
def test_usage_errors(args, names):
    assert names in fails(2, *args)


@pytest.mark.parametrize("args", [
    ["--version"], ["--help"], ["help"], ["run", "-V"], ["check"], ["check", "--help"], ["check", "--explain", "listen"],
    ["config"], ["config", "--json"], ["config", "--template"], ["config", "--reference"], ["resolve", "ecs", "cn-beijing"],
    ["sign", URL], ["sign", "--curl", URL], ["presign", URL], ["credentials"], ["sandbox", "--plain", "-l", "0"]],
    ids=" ".join)
def test_a_full_disk_is_told(args):
    with open("/dev/full", "wb") as full:
        run = subprocess.run([*daemons.WRAPPER, daemons.BINARY, *args], stdout=full, stderr=subprocess.PIPE, text=True,
                             env=clean_env("/nonexistent", ENV), timeout=seconds(30))
    assert run.returncode == 1 and run.stderr.endswith("standard output could not be written\n"), run


def test_an_unknown_letter_is_told_and_not_the_argument_before_it():
    text = fails(2, "sign", "-d", "geheim", b"-\xc3\xa9".decode())
    assert "no option '-?'" in text and "geheim" not in text


@pytest.mark.parametrize("args,names", [
    (["--workers", "many"], "workers"), (["--cloud", "aws"], "cloud"),
    (["--log-level", "loud"], "log"), (["-l", "127.0.0.1:99999"], "99999")])
def test_bad_values_of_flags(args, names):
    run = command("run", *args, env=ENV)
    assert run.returncode in (1, 2) and names in run.stderr + run.stdout, run
