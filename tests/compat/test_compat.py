# SPDX-License-Identifier: Apache-2.0
"""Every client, every feature: through the daemon to an upstream that verifies each signature. What
a client reports and what the upstream saw must agree. A client's own keys are dummies."""

import hashlib
import itertools
import json
import os
import time
import urllib.parse

import pytest

import daemon as daemons
from clients import CLIENTS, REGION, SERVICE, VERSION, Op
from upstream import error_body

NUMBERS = itertools.count(1)
TOKEN = "token-of-the-compatibility-suite-0001"
LOCAL = ("local-app1", "bG9jYWwtc2VjcmV0LW9mLXRoZS1jb21wYXQtc3VpdGU=")
POLICY = {"policies": ({"name": "compat", "allow": ["*:*"], "deny": ["*:DeleteInstance"]},),
          "policy": "compat"}
# Quotes, a plus, a percent sign, an ampersand and text beyond ASCII: what encoders get wrong.
DATA = {"Name": "a+b & c=d 100% \"q\" é 火山", "Empty": "", "Count": "3"}


def feature_of(function):
    return function.removeprefix("test_").partition("_")[0]


def pytest_generate_tests(metafunc):
    """A test for each client that has the feature: what is skipped is not installed."""
    if "client" not in metafunc.fixturenames:
        return
    name = metafunc.function.__name__
    some = [c for c in CLIENTS if feature_of(name) not in c.lacks]
    if name == "test_throttle_is_retried_for_an_sdk_that_does_not":
        some = [c for c in some if c.signs and not c.retries]
    metafunc.parametrize("client", some, ids=[c.name for c in some], indirect=True)


@pytest.fixture
def client(request):
    """The client; records which cell of the table the test fills."""
    cell = (request.param.name, feature_of(request.node.originalname))
    request.node.user_properties.append(("cell", cell))
    why = request.param.missing()
    if why:
        pytest.skip(why + " (not installed)")
    return request.param


@pytest.fixture(scope="module")
def common(module_daemon):
    return module_daemon(client_side_validation=True, **POLICY)


@pytest.fixture
def proxy(common, upstream):
    """The daemon most tests share."""
    assert common.alive(), common.log
    yield common
    assert common.alive(), common.log


def operation(kind, **kw):
    """An SDK that posts has no say in the query beside the action: the upstream knows it by that."""
    name = "c%d" % next(NUMBERS)
    if kind in ("form", "json"):
        kw.setdefault("action", name)
    return Op(kind, name, **kw)


def assert_signed(upstream, op, n=1):
    """n requests came, each signed with the daemon's key for the service and region asked for, none
    carrying what the client signed with."""
    seen = upstream.of(op.id)
    assert len(seen) == n, "the upstream saw %d requests, not %d" % (len(seen), n)
    for r in seen:
        assert r.verdict.ok, r.verdict.why
        assert (r.verdict.service, r.verdict.region) == (SERVICE, REGION)
        assert daemons.ACCESS_KEY in r.get("Authorization")
        assert op.keys[0].encode() not in r.head and b"sigferry" not in r.head.lower()
        assert r.query["Action"] == op.action and r.query["Version"] == VERSION
        assert r.get("Host") == "ecs.cn-beijing.volcengineapi.com" or r.get("Host").startswith("open.")
    return seen


def assert_succeeds(outcome):
    assert (outcome.status, outcome.error) == (200, None), outcome.raw
    return outcome


def test_plain(client, proxy, upstream):
    op = operation("plain")
    outcome = assert_succeeds(client.call(proxy, op))
    (request,) = assert_signed(upstream, op)
    assert request.method == "GET"
    assert outcome.json["Result"]["Target"] == request.target


def test_form(client, proxy, upstream):
    op = operation("form", data=DATA)
    outcome = assert_succeeds(client.call(proxy, op))
    (request,) = assert_signed(upstream, op)
    assert request.method == "POST"
    assert request.get("Content-Type").startswith("application/x-www-form-urlencoded")
    assert dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True)) == DATA
    assert outcome.json["Result"]["Sha256"] == hashlib.sha256(request.body).hexdigest()


def test_json(client, proxy, upstream):
    data = {"Filter": [{"Name": DATA["Name"], "Values": [1, True, None]}]}
    op = operation("json", data=data)
    outcome = assert_succeeds(client.call(proxy, op))
    (request,) = assert_signed(upstream, op)
    assert request.get("Content-Type").startswith("application/json")
    assert json.loads(request.body) == data
    assert outcome.json["Result"]["Sha256"] == hashlib.sha256(request.body).hexdigest()


def test_burst(client, proxy, upstream):
    """Sixty pages as fast as the client can: each arrives once."""
    op = operation("burst", pages=60)
    assert_succeeds(client.call(proxy, op))
    seen = assert_signed(upstream, op, 60)
    assert sorted(int(r.query["PageNumber"]) for r in seen) == list(range(1, 61))
    # The pool's bound: five for each CPU.
    assert len({r.connection for r in seen}) <= 5 * os.cpu_count()


def test_error_of_the_cloud(client, proxy, upstream):
    """A business error comes as the client's own kind of error, with the cloud's code, at once."""
    op = operation("plain")
    upstream.on(op.id, lambda ex: ex.error(404, "InvalidInstance.NotFound"))
    outcome = client.call(proxy, op)
    assert outcome.error and outcome.error["type"] == client.error_type, outcome.raw
    assert outcome.code() == "InvalidInstance.NotFound", outcome.raw
    assert_signed(upstream, op)


def test_error_of_the_daemon(client, proxy, upstream):
    """What the daemon itself refuses has the cloud's shape: the client reads it the same way."""
    op = operation("plain", action="DeleteInstance")
    outcome = client.call(proxy, op)
    assert outcome.error and outcome.error["type"] == client.error_type, outcome.raw
    assert outcome.code() == "Sigferry.ActionNotAllowed", outcome.raw
    assert "DeleteInstance" in outcome.raw
    assert_signed(upstream, op, 0)


def throttle(upstream, op):
    """429 once, then the echo."""
    def handler(ex):
        if ex.attempt == 1:
            ex.reply(429, error_body("Throttling"), [("Retry-After", "0")])
        else:
            ex.reply(200, {"ResponseMetadata": {"RequestId": "up-2"}, "Result": {"Ok": True}})
    upstream.on(op.id, handler)


def test_throttle_is_retried_once(client, proxy, upstream):
    """Two attempts and no more: by the daemon, or by an SDK that retries itself. An SDK that signs
    and does not retry gets the daemon's retries with retry.retry_signed_clients."""
    op = operation("plain", settings={"retryStrategy": {"minRetryDelay": 5}})
    throttle(upstream, op)
    outcome = client.call(proxy, op)
    if client.signs and not client.retries:
        assert outcome.code() == "Throttling", outcome.raw
        assert_signed(upstream, op, 1)
        return
    assert_succeeds(outcome)
    seen = assert_signed(upstream, op, 2)
    assert len({r.get("X-Date") + r.get("Authorization") for r in seen}) <= 2


def test_throttle_is_retried_for_an_sdk_that_does_not(client, daemon, upstream):
    op = operation("plain")
    throttle(upstream, op)
    d = daemon(client_side_validation=True, retry={"retry_signed_clients": True})
    assert_succeeds(client.call(d, op))
    assert_signed(upstream, op, 2)


def test_timeout_of_the_client(client, proxy, upstream):
    """The client gives up after its own time limit; the daemon then lets go of the upstream."""
    op = operation("plain", timeout=0.5, settings={"autoRetry": False})
    gone = []
    upstream.on(op.id, lambda ex: gone.append(ex.wait_gone(20)) or ex.close())
    start = time.monotonic()
    outcome = client.call(proxy, op)
    assert outcome.status is None and outcome.error, outcome.raw
    assert outcome.error["type"] == client.timeout_type, outcome.raw
    upstream.wait(lambda: gone, 10, "the daemon to close the upstream connection")
    assert gone == [True] and time.monotonic() - start < 15
    assert_signed(upstream, op)


def test_timeout_of_the_upstream(client, daemon, upstream):
    """A silent upstream ends as 504 in the cloud's shape."""
    op = operation("plain", settings={"autoRetry": False})
    end = upstream.event()
    upstream.on(op.id, lambda ex: end.wait(20) and ex.close())
    d = daemon(timeouts={"read_timeout": 0.3}, retry={"auto_retry": False})
    outcome = client.call(d, op)
    assert outcome.error and outcome.error["type"] == client.error_type, outcome.raw
    assert outcome.code() == "Sigferry.UpstreamReadTimeout", outcome.raw


def test_stream(client, proxy, upstream):
    """The client has the first event while the upstream still holds back the second."""
    op = operation("stream")
    proceed = upstream.event()
    arrived = []

    def handler(ex):
        ex.stream_head()
        ex.chunk(b'data: {"n": "first"}\n\n')
        arrived.append(proceed.wait(20))
        ex.chunk(b'data: {"n": "second"}\n\n')
        ex.send(b"0\r\n\r\n")

    # An SDK's streaming call has an action and a path of its own.
    key = "chat" if client.signs else op.id
    upstream.on(key, handler)
    process = client.start(proxy, op)
    try:
        out = b""
        while b"first" not in out:
            data = os.read(process.stdout.fileno(), 65536)
            assert data, "ended without the first event: %r" % process.stderr.read()
            out += data
        assert b"second" not in out
        proceed.set()
        rest, err = process.communicate(timeout=20)
        assert b"second" in out + rest, (out + rest, err)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()
    assert arrived == [True]
    assert len(upstream.of(key)) == 1


@pytest.fixture(scope="module")
def strict(module_daemon):
    """A daemon that serves nobody it does not know."""
    return module_daemon(
        security={"client_tokens": [TOKEN]},
        clients=({"name": "app1", "access_key": LOCAL[0], "secret_key": LOCAL[1]},))


def known(client, right):
    """An SDK's own signature is its identity; the others show a token."""
    if client.signs:
        return {"keys": LOCAL if right else (LOCAL[0], "not-the-secret")}
    return {"token": TOKEN if right else "not-the-token"}


def test_identity_is_recognised(client, strict, upstream):
    for kind in [k for k in ("plain", "form", "json") if k not in client.lacks]:
        op = operation(kind, data=DATA, **known(client, True))
        assert_succeeds(client.call(strict, op))
        for r in assert_signed(upstream, op):
            assert TOKEN.encode() not in r.head


def test_identity_is_required(client, strict, upstream):
    op = operation("plain", **known(client, False))
    outcome = client.call(strict, op)
    assert outcome.error and outcome.error["type"] == client.error_type, outcome.raw
    assert outcome.code() == "Sigferry.ClientNotAllowed", outcome.raw
    assert_signed(upstream, op, 0)
