# SPDX-License-Identifier: Apache-2.0
"""The sandbox command: its certificates, its keys, presigned links, large bodies, its end."""

import hashlib
import hmac
import json
import os
import signal
import ssl
import subprocess

import pytest

import daemon as daemons
import signer
from client import Client
from daemon import command, seconds

HOST = "ecs.cn-beijing.volcengineapi.com"
KEY = (daemons.ACCESS_KEY, daemons.SECRET_KEY, None)
TARGET = "/?Action=DescribeX&Version=2020-04-01"


@pytest.fixture
def sandbox(daemon):
    def start(*args, **kw):
        d = daemon(_ready=False, _subcommand=("sandbox",), _args=("-l", "127.0.0.1:0", *args), **kw)
        d.wait_log(r"listening on \S*127\.0\.0\.1:\d+")
        return d
    return start


def connect(d, ca=None, name=HOST):
    """A client of the sandbox: over TLS when ca is given."""
    c = Client(("127.0.0.1", int(d.wait_log(r"listening on \S*127\.0\.0\.1:(\d+)")[1])),
               seconds(15))
    if ca:
        context = ssl.create_default_context(cafile=str(ca))
        c.sock = context.wrap_socket(c.sock, server_hostname=name)
        c.file = c.sock.makefile("rb")
    return c


def signed(method="GET", target=TARGET, body=b"", key=KEY, date=None, host=HOST):
    out = signer.sign(method, target, [("Host", host)], body, key, "ecs", "cn-beijing", date)
    return list(out.headers.items())


def test_its_own_certificate_is_good_for_every_endpoint(sandbox, tmp_path):
    ca = tmp_path / "ca.pem"
    d = sandbox("--ca-out", ca)
    d.wait_log("listening on https://127")
    for name in (HOST, "open.volcengineapi.com", "iam.byteplusapi.com", "localhost", "127.0.0.1",
                 "::1", "ecs.cn-beijing.volcengine-api.com", "ecs.ap-southeast-1.byteplusapi.com",
                 "vpc.ap-southeast-1.byteplus-api.com"):
        with connect(d, ca, name) as c:
            r = c.request("GET", TARGET, signed(), host=HOST)
            assert r.status == 200 and r.result["Verified"] is True, r
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(d, ca, "evil.test")
    text = subprocess.run(["openssl", "x509", "-in", str(ca), "-noout", "-ext", "basicConstraints"],
                          capture_output=True, text=True, check=True).stdout
    assert "CA:TRUE" in text and "PRIVATE" not in ca.read_text()
    assert subprocess.run(["openssl", "x509", "-in", str(ca), "-noout", "-checkend",
                           str(29 * 86400)], capture_output=True).returncode == 0
    assert subprocess.run(["openssl", "x509", "-in", str(ca), "-noout", "-checkend",
                           str(31 * 86400)], capture_output=True).returncode == 1


def test_the_region_in_use_is_covered(sandbox, tmp_path):
    ca = tmp_path / "ca.pem"
    d = sandbox("--ca-out", ca, "-r", "my-lab-1")
    with connect(d, ca, "ecs.my-lab-1.volcengineapi.com") as c:
        assert c.request("GET", TARGET, signed(), host=HOST).status == 200


def test_print_ca(sandbox, tmp_path):
    d = sandbox("--print-ca", "-q")
    d.wait_log("-----END CERTIFICATE-----")
    pem = d.log[d.log.index("-----BEGIN"):] + "\n"
    assert "PRIVATE" not in pem
    ca = tmp_path / "ca.pem"
    ca.write_text(pem)
    with connect(d, ca) as c:
        assert c.request("GET", TARGET, signed(), host=HOST).status == 200


def test_what_it_shows(sandbox):
    d = sandbox("--plain")
    d.wait_log("listening on http://127")
    body = b"\x00\xffbytes" * 100
    with connect(d) as c:
        r = c.request("POST", TARGET, signed("POST", body=body) + [("X-Other", "caf\xe9")], body,
                      host=HOST)
        assert r.status == 200, r.body
        assert r.json["ResponseMetadata"] == {
            "RequestId": r.get("X-Tt-Logid"), "Action": "DescribeX", "Version": "2020-04-01",
            "Service": "ecs", "Region": "cn-beijing"}
        got = r.result
        assert got["Method"] == "POST" and got["Target"] == TARGET
        assert got["BodyLen"] == len(body)
        assert got["BodySha256"] == hashlib.sha256(body).hexdigest()
        assert ["X-Other", "caf\xe9"] in got["Headers"]
        r = c.request("HEAD", TARGET, signed("HEAD"), host=HOST)  # on the same connection
        assert r.status == 200 and r.body == b"" and int(r.get("Content-Length")) > 100


@pytest.mark.parametrize("names", [("x-date",), ("host", "x-date")], ids=["x-date", "host and x-date"])
def test_what_the_node_sdk_signs(sandbox, names):
    """Neither the body's hash as a field nor always the host; the hash is in what is signed all the same."""
    date = signer.now_date()
    chosen = {n: {"host": HOST, "x-date": date}[n] for n in names}
    credential = date[:8] + "/cn-beijing/ecs/request"
    creq = signer.canonical_request("GET", "/", TARGET[2:], chosen, hashlib.sha256(b"").hexdigest())
    key = signer.derive_key(daemons.SECRET_KEY, date[:8], "cn-beijing", "ecs")
    signature = hmac.new(key, signer.string_to_sign(date, credential, creq).encode(), hashlib.sha256).hexdigest()
    headers = [("X-Date", date), ("Authorization", "HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        daemons.ACCESS_KEY, credential, ";".join(names), signature))]
    with connect(sandbox("--plain")) as c:
        r = c.request("GET", TARGET, headers, host=HOST)
        assert r.status == 200 and r.result["Verified"] is True, r.body
        assert c.request("GET", TARGET + "&More=1", headers, host=HOST).status == 403


def test_large_bodies_are_hashed_as_they_come(sandbox):
    d = sandbox("--plain", limits={"max_body": "64M"})
    body = os.urandom(1 << 20) * 32
    with connect(d) as c:
        r = c.request("PUT", TARGET, signed("PUT", body=body), body, host=HOST)
        assert r.status == 200 and r.result["BodyLen"] == len(body)
    assert daemons.instrumented() or d.rss() < 64 << 20
    with connect(d) as c:
        c.begin("PUT", TARGET, [("Content-Length", str(65 << 20))], host=HOST)
        assert c.response().status == 413


def test_errors_show_what_was_computed_but_no_token(sandbox):
    d = sandbox("--plain")
    key = daemons.TOKEN_KEY
    with connect(d) as c:
        headers = [(n, v.replace("Signature=", "Signature=0")[:-1] if n == "Authorization" else v)
                   for n, v in signed(key=key)]
        r = c.request("GET", TARGET, headers, host=HOST)
        error = r.json["ResponseMetadata"]["Error"]
        assert r.status == 403 and error["Code"] == "SignatureDoesNotMatch", error
        assert error["CanonicalRequest"].startswith("GET\n/\nAction=DescribeX&Version=2020-04-01\n")
        assert error["StringToSign"].startswith("HMAC-SHA256\n")
        assert "x-security-token:****" in error["CanonicalRequest"]
        r = c.request("GET", TARGET, signed(key=key), host=HOST)
        assert r.status == 200 and ["X-Security-Token", "****"] in r.result["Headers"]
        for secret in daemons.SECRETS:
            assert secret not in r.body.decode() and secret not in json.dumps(error)
        r = c.request("GET", TARGET, signed(key=(key[0], key[1], "another")), host=HOST)
        assert r.json["ResponseMetadata"]["Error"]["Code"] == "InvalidSecurityToken"


@pytest.mark.parametrize("headers,code", [
    ([], "MissingAuthenticationToken"),
    ([("Authorization", "Bearer x")], "InvalidAuthorization"),
    (signed(key=("AKLTunknownunknown", "x", None)), "InvalidAccessKey"),
    (signed(date="20200101T000000Z"), "RequestExpired"),
    (signed(key=(KEY[0], "wrong", None)), "SignatureDoesNotMatch"),
    (signed(body=b"other"), "SignatureDoesNotMatch"),
], ids=["none", "malformed", "unknown key", "old", "wrong key", "body"])
def test_codes(sandbox, headers, code):
    d = sandbox("--plain")
    with connect(d) as c:
        r = c.request("GET", TARGET, headers, host=HOST)
        assert r.status == 403 and r.json["ResponseMetadata"]["Error"]["Code"] == code, r
        assert c.request("GET", TARGET, signed(), host=HOST).status == 200  # and goes on


def test_presigned_links(sandbox):
    d = sandbox("--plain")
    env = {"VOLCENGINE_ACCESS_KEY": KEY[0], "VOLCENGINE_SECRET_KEY": KEY[1],
           "VOLCENGINE_REGION": "cn-beijing"}
    run = command("presign", "-s", "ecs", "--expires", "60", "https://" + HOST + TARGET, env=env)
    assert run.returncode == 0, run
    target = run.stdout.strip()[len("https://" + HOST):]
    with connect(d) as c:
        r = c.request("GET", target, host=HOST)
        assert r.status == 200 and r.result["Presigned"] is True, r
        r = c.request("GET", target.replace("DescribeX", "DeleteX"), host=HOST)
        assert r.status == 403, r
        assert r.json["ResponseMetadata"]["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_presigned_link_shows_no_token(sandbox):
    d = sandbox("--plain", "--profile", "token")
    pairs = [tuple(p.encode().split(b"=")) for p in TARGET[2:].split("&")]
    query = signer.presign("GET", "/", pairs, HOST, daemons.TOKEN_KEY, "ecs", "cn-beijing").query
    with connect(d) as c:
        r = c.request("GET", "/?" + query, host=HOST)
        assert r.status == 200 and "X-Security-Token=****&X-Signature=" in r.result["Target"], r.body
        for part in ("session", daemons.TOKEN_KEY[2]):
            assert part not in r.body.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_end(sandbox, number):
    d = sandbox("--plain")
    with connect(d) as c:
        c.begin("POST", TARGET, [("Content-Length", "100")], host=HOST)  # left unfinished
        d.signal(number)
        assert d.wait() == 0


@pytest.mark.parametrize("args", [["--cert", "x"], ["--key", "x"], ["--plain", "--ca-out", "x"],
                                  ["--cert", "x", "--key", "y", "--print-ca"], ["extra"]])
def test_usage(args):
    assert command("sandbox", *args).returncode == 2


def test_failures(daemon, tmp_path):
    env = {"VOLCENGINE_ACCESS_KEY": KEY[0], "VOLCENGINE_SECRET_KEY": KEY[1]}
    run = command("sandbox", "-l", "127.0.0.1:0", env={"VOLCENGINE_ECS_METADATA_DISABLED": "true"})
    assert run.returncode == 1 and "no key" in run.stderr
    run = command("sandbox", "-l", "127.0.0.1:0", "--ca-out", tmp_path / "no" / "ca", env=env)
    assert run.returncode == 1 and "--ca-out" in run.stderr
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    run = command("sandbox", "-l", "127.0.0.1:0", "--cert", junk, "--key", junk, env=env)
    assert run.returncode == 1 and run.stderr.strip()
    run = command("sandbox", "-l", "0.0.0.0:0", env=env)
    assert run.returncode == 1 and "allow_remote" in run.stderr
