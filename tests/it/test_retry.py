# SPDX-License-Identifier: Apache-2.0
"""Retries, counted where they arrive: every condition, every switch, every limit of spec and
configuration; the clock correction; what may never be sent twice."""

import email.utils
import hashlib
import json
import time

import pytest

import signer
from checks import ECHO, UNKNOWN_NAME, assert_error, assert_ok, target
from daemon import seconds, unused_port
from faults import ONCE, SERVICE, gather, metric, metrics
from upstream import error_body

CODES = ("X-Sigferry-Retry-Error-Codes", "Throttled, FlowLimitExceeded")
SHORT_READ = ("X-Sigferry-Read-Timeout", "%g" % seconds(0.15))


def flaky(fail, good_after):
    """Fails good_after times, then answers."""
    def handler(ex):
        if ex.attempt <= good_after:
            fail(ex)
        else:
            ex.reply(200, {"Result": {"Attempt": ex.attempt}})
    return handler


def attempts_of(upstream, key, r):
    """The number of attempts, which the record and the response must agree on."""
    n = len(upstream.of(key))
    assert r.get("X-Sigferry-Attempts") == str(n), (r, n)
    return n


FAULTS = {
    "reset": lambda ex: ex.reset(),
    "close": lambda ex: ex.close(),
    "close without notice": lambda ex: ex.close(notify=False),
    "mid head": lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Le"), ex.close()),
    "garbage": lambda ex: (ex.send("SSH-2.0-OpenSSH_9.2\r\n"), ex.close()),
    "bad length": lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 5abc\r\n\r\nhello"), ex.close()),
    "silence": lambda ex: ex.wait_gone(),
}
KIND = {"reset": "reset", "close": "reset", "close without notice": "reset", "mid head": "reset",
        "garbage": "protocol", "bad length": "protocol", "silence": "timeout"}
ERROR = {"reset": (502, "UpstreamReset"), "protocol": (502, "UpstreamProtocolError"),
         "timeout": (504, "UpstreamReadTimeout")}


@pytest.fixture
def own(daemon):
    """A daemon of the test's own: a budget that no other test has used."""
    return daemon(retry={"min_retry_delay_ms": 5, "budget_percent": 100})


# -- what is retried ---------------------------------------------------------------------------

@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_is_retried(own, upstream, status):
    upstream.on("s", flaky(lambda ex: ex.error(status, "Busy"), 2))
    r = assert_ok(own.request("POST", target("s"), body=b"the same body"))
    assert attempts_of(upstream, "s", r) == 3
    assert [q.body for q in upstream.of("s")] == [b"the same body"] * 3
    assert all(q.verdict.ok for q in upstream.of("s"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_is_retried_by_default(own, upstream, method):
    upstream.on("m", flaky(lambda ex: ex.error(503, "Busy"), 1))
    r = own.request(method, target("m"))
    assert r.status == 200 and attempts_of(upstream, "m", r) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 501, 505])
def test_business_errors_pass_untouched(own, upstream, status):
    body = json.dumps(error_body("InvalidParameter")).encode()
    upstream.on("b", lambda ex: ex.reply(status, body, [("X-Of-Upstream", "kept")]))
    r = own.request("GET", target("b"))
    assert (r.status, r.body, r.error) == (status, body, None) and r.get("X-Of-Upstream") == "kept"
    assert attempts_of(upstream, "b", r) == 1


@pytest.mark.parametrize("n,header", [(3, None), (0, 0), (1, 1), (5, 5)])
def test_the_last_answer_passes_through(own, upstream, n, header):
    upstream.on("l", lambda ex: ex.reply(503, b"attempt %d" % ex.attempt, [("X-N", str(ex.attempt))],
                                         ctype="text/plain"))
    extra = [] if header is None else [("X-Sigferry-Num-Max-Retries", str(header))]
    r = own.request("POST", target("l"), extra, b"x")
    assert (r.status, r.error, r.body) == (503, None, b"attempt %d" % (n + 1)), r
    assert r.get("X-N") == str(n + 1) and attempts_of(upstream, "l", r) == n + 1


def test_a_slow_end_of_a_retried_answer_holds_nothing(own, upstream):
    """The head alone decides: the body of an answer that is retried is not waited for."""
    go = upstream.event()
    upstream.on("slow", flaky(lambda ex: (ex.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\n"),
                                          go.wait(seconds(60)), ex.close()), 2))
    r = assert_ok(own.request("GET", target("slow")))
    assert attempts_of(upstream, "slow", r) == 3


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_network_error_is_retried(own, upstream, fault):
    upstream.on("n", flaky(FAULTS[fault], 2))
    r = assert_ok(own.request("POST", target("n"), [SHORT_READ], b"body"))
    assert attempts_of(upstream, "n", r) == 3


@pytest.mark.parametrize("fault", ["reset", "garbage", "silence"])
def test_an_exhausted_network_error_is_named(own, upstream, fault):
    upstream.on("x", FAULTS[fault])
    r = own.request("POST", target("x"), [SHORT_READ, ("X-Sigferry-Num-Max-Retries", "2")], b"body")
    assert_error(r, *ERROR[KIND[fault]])
    assert attempts_of(upstream, "x", r) == 3


def test_a_refused_connection_is_retried(daemon, upstream):
    d = daemon(connect_to=["::127.0.0.1:%d" % unused_port()])
    r = d.request("POST", ECHO, body=b"x")
    assert_error(r, 502, "UpstreamConnectFailed")
    assert r.get("X-Sigferry-Attempts") == "4" and upstream.requests == []


def test_a_name_that_is_not_found_is_retried(daemon, upstream):
    d = daemon(connect_to=["::%s:443" % UNKNOWN_NAME])
    r = d.request()
    assert_error(r, 502, "UpstreamResolveFailed")
    assert r.get("X-Sigferry-Attempts") == "4"


@pytest.mark.parametrize("cert", ["untrusted", "wronghost", "expired"])
def test_a_bad_certificate_is_not_retried(daemon, make_upstream, cert):
    u = make_upstream(cert=cert)
    r = daemon(_upstream=u).request("POST", ECHO, body=b"x")
    assert_error(r, 502, "UpstreamTlsFailed")
    assert r.get("X-Sigferry-Attempts") == "1" and u.requests == [] and u.accepted == 1


@pytest.fixture
def only_reset(daemon):
    return daemon(retry={"min_retry_delay_ms": 5, "retry_network_errors": ["reset"],
                         "retry_status": [418]})


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_the_kinds_of_network_error_are_configured(only_reset, upstream, fault):
    upstream.on("k", FAULTS[fault])
    r = only_reset.request("POST", target("k"), [SHORT_READ], b"x")
    assert_error(r, *ERROR[KIND[fault]])
    assert attempts_of(upstream, "k", r) == (4 if KIND[fault] == "reset" else 1)


@pytest.mark.parametrize("status,n", [(418, 4), (503, 1), (500, 1), (429, 1)])
def test_the_statuses_are_configured(only_reset, upstream, status, n):
    upstream.on("t", lambda ex: ex.error(status, "Teapot"))
    assert attempts_of(upstream, "t", only_reset.request("GET", target("t"))) == n


# -- error codes inside an answer --------------------------------------------------------------

def as_length(ex, status, body, ctype="application/json"):
    ex.reply(status, body, ctype=ctype)


def as_chunks(ex, status, body, ctype="application/json"):
    ex.send("HTTP/1.1 %d X\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % (status, ctype))
    for i in range(0, len(body), 7000):
        ex.chunk(body[i:i + 7000])
    ex.send(b"0\r\n\r\n")


def coded(code, size=0):
    body = error_body(code)
    body["Padding"] = "x" * size
    return json.dumps(body).encode()


@pytest.mark.parametrize("status", [200, 400, 403, 409])
@pytest.mark.parametrize("framing", [as_length, as_chunks])
def test_an_error_code_is_retried_inside_any_status(own, upstream, status, framing):
    upstream.on("c", flaky(lambda ex: framing(ex, status, coded("Throttled")), 2))
    r = assert_ok(own.request("GET", target("c"), [CODES]))
    assert attempts_of(upstream, "c", r) == 3
    assert all(q.get("Accept-Encoding") is None for q in upstream.of("c"))


@pytest.mark.parametrize("framing", [as_length, as_chunks])
@pytest.mark.parametrize("size", [0, 60000])
def test_other_codes_and_good_answers_pass_byte_for_byte(own, upstream, framing, size):
    for body in (coded("Other", size), coded("throttled", size), coded("Throttled2", size),
                 b'{"Result":{"Code":"Throttled"}}', b"{not json", b"[]", b""):
        upstream.counts.clear()
        upstream.requests.clear()
        upstream.on("p", lambda ex: framing(ex, 200, body))
        r = own.request("GET", target("p"), [CODES])
        assert (r.status, r.body, r.whole) == (200, body, True), body[:80]
        assert attempts_of(upstream, "p", r) == 1


def test_without_codes_an_error_inside_a_200_passes(own, upstream):
    upstream.on("w", lambda ex: ex.reply(200, coded("Throttled")))
    r = own.request("GET", target("w"))
    assert r.status == 200 and r.body == coded("Throttled") and attempts_of(upstream, "w", r) == 1


@pytest.mark.parametrize("framing", [as_length, as_chunks])
@pytest.mark.parametrize("ctype,size", [("application/json", 70000), ("text/plain", 0),
                                        ("application/octet-stream", 0)])
def test_nothing_else_is_held(own, upstream, framing, ctype, size):
    upstream.on("h", lambda ex: framing(ex, 200, coded("Throttled", size), ctype))
    r = own.request("GET", target("h"), [CODES])
    assert r.status == 200 and r.body == coded("Throttled", size) and r.whole
    assert attempts_of(upstream, "h", r) == 1


def test_a_stream_is_not_held_for_codes(own, upstream):
    go = upstream.event()
    upstream.on("e", lambda ex: (ex.stream_head(), ex.chunk(b"data: 1\n\n"), go.wait(seconds(60)),
                                 ex.send(b"0\r\n\r\n")))  # longer than the client waits
    with own.client() as c:
        c.begin("GET", target("e"), [SERVICE, CODES])
        raw = c.response_head()
        assert raw.read1(9) == b"data: 1\n\n"
        go.set()
        assert raw.read() == b""


@pytest.mark.parametrize("framing", [as_length, as_chunks])
def test_a_held_answer_cut_short_is_an_error_not_an_answer(own, upstream, framing):
    def cut(ex):
        ex.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" +
                ("Content-Length: 500\r\n\r\n{\"Resp" if framing is as_length
                 else "Transfer-Encoding: chunked\r\n\r\n40\r\n{\"Resp"))
        ex.close()

    upstream.on("cut", flaky(cut, 2))
    r = assert_ok(own.request("GET", target("cut"), [CODES]))
    assert attempts_of(upstream, "cut", r) == 3


def test_the_answer_after_a_retried_code_is_passed_on_whole(own, upstream):
    """Its head leaves before its body is there."""
    go, body = upstream.event(), b"0123456789" * 30000

    def handler(ex):
        if ex.attempt == 1:
            return ex.reply(200, coded("Throttled"))
        ex.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert go.wait(seconds(10)), "the head was held back"
        ex.send(body)

    upstream.on("after", handler)
    with own.client() as c:
        c.begin("GET", target("after"), [SERVICE, CODES])
        raw = c.response_head()
        go.set()
        assert raw.getheader("Content-Length") == str(len(body)) and raw.read() == body


def test_codes_of_the_configuration(daemon, upstream):
    d = daemon(retry={"min_retry_delay_ms": 5, "retry_error_codes": ["Throttled"]})
    upstream.on("g", flaky(lambda ex: ex.reply(200, coded("Throttled")), 1))
    assert attempts_of(upstream, "g", assert_ok(d.request("GET", target("g")))) == 2
    assert metrics(d)['sigferry_retries_total{reason="code"}'] == 1


# -- switches ----------------------------------------------------------------------------------

def test_auto_retry_off(daemon, upstream):
    d = daemon(retry={"auto_retry": False, "min_retry_delay_ms": 5})
    upstream.on("o", lambda ex: ex.error(503, "Busy"))
    assert attempts_of(upstream, "o", d.request("GET", target("o"))) == 1
    upstream.on("on", lambda ex: ex.error(503, "Busy"))
    r = d.request("GET", target("on"), [("X-Sigferry-Auto-Retry", "true")])
    assert attempts_of(upstream, "on", r) == 4


def test_auto_retry_off_for_one_request(own, upstream):
    for key, fail in (("a", lambda ex: ex.error(503, "Busy")), ("b", lambda ex: ex.reset())):
        upstream.on(key, fail)
        assert attempts_of(upstream, key, own.request("GET", target(key), [ONCE])) == 1


ACTIONS = {"DescribeInstances": True, "ListUsers": True, "GetUser": True, "QueryX": True,
           "CheckY": True, "RunInstances": False, "DeleteInstance": False, "Listen": False,
           "describeInstances": False}


@pytest.fixture(scope="module")
def by_mode(module_daemon):
    made = {}

    def get(mode):
        if mode not in made:
            # One retry for two requests: within a budget of 100 %, however many there are.
            made[mode] = module_daemon(retry={"min_retry_delay_ms": 5, "retry_after_send": mode,
                                              "num_max_retries": 1, "budget_percent": 100})
        return made[mode]
    return get


@pytest.mark.parametrize("fault", ["503", "reset"])
@pytest.mark.parametrize("mode", ["always", "safe", "never"])
def test_retry_after_send(by_mode, upstream, mode, fault):
    for action, safe in ACTIONS.items():
        for token in ("", "&ClientToken=abc"):
            assert_ok(by_mode(mode).request())
            upstream.requests.clear()
            upstream.counts.clear()
            upstream.on(action, (lambda ex: ex.error(503, "Busy")) if fault == "503" else
                        (lambda ex: ex.reset()))
            r = by_mode(mode).request("POST", "/?Action=%s&Version=2020-04-01%s" % (action, token),
                                      body=b"x")
            want = mode == "always" or (mode == "safe" and (safe or bool(token)))
            assert attempts_of(upstream, action, r) == (2 if want else 1), (action, token)


@pytest.mark.parametrize("mode", ["safe", "never"])
def test_what_was_not_sent_is_retried_in_every_mode(daemon, upstream, mode):
    d = daemon(connect_to=["::127.0.0.1:%d" % unused_port()],
               retry={"min_retry_delay_ms": 5, "retry_after_send": mode})
    r = d.request("POST", "/?Action=RunInstances&Version=2020-04-01", body=b"x")
    assert_error(r, 502, "UpstreamConnectFailed")
    assert r.get("X-Sigferry-Attempts") == "4"


def sdk_headers():
    return [("Authorization", "HMAC-SHA256 Credential=AKdummy/20200101/cn-beijing/ecs/request, "
             "SignedHeaders=host;x-date, Signature=" + "0" * 64), ("X-Date", "20200101T000000Z")]


@pytest.mark.parametrize("fault", ["503", "reset"])
def test_a_request_an_sdk_signed_is_not_retried(daemon, own, upstream, fault):
    """The SDK retries by itself: 4 x 4 attempts help nobody."""
    fail = (lambda ex: ex.error(503, "Busy")) if fault == "503" else (lambda ex: ex.reset())
    upstream.on("sdk", fail)
    r = own.request("POST", target("sdk"), sdk_headers(), b"x", service=None)
    assert r.status == (503 if fault == "503" else 502) and attempts_of(upstream, "sdk", r) == 1
    for n, option in enumerate([("X-Sigferry-Auto-Retry", "true"), ("X-Sigferry-Num-Max-Retries", "3")]):
        upstream.on("asked%d" % n, fail)
        r = own.request("POST", target("asked%d" % n), sdk_headers() + [option], b"x", service=None)
        assert attempts_of(upstream, "asked%d" % n, r) == 4  # it says so itself
    d = daemon(retry={"min_retry_delay_ms": 5, "retry_signed_clients": True})
    upstream.on("sdk2", fail)
    r = d.request("POST", target("sdk2"), sdk_headers(), b"x", service=None)
    assert attempts_of(upstream, "sdk2", r) == 4


# -- delays ------------------------------------------------------------------------------------

def gaps(upstream, key):
    at = [q.at for q in upstream.of(key)]
    return [b - a for a, b in zip(at, at[1:])]


@pytest.mark.parametrize("strategy,least,most", [
    ("none", [0, 0, 0], [.1, .1, .1]),
    ("exponential", [.04, .08, .1], [.14, .18, .2]),
    ("exponential-jitter", [.04, .08, .1], [.18, .2, .2])])
def test_backoff_strategies_by_header(own, upstream, strategy, least, most):
    upstream.on("d", lambda ex: ex.error(503, "Busy"))
    own.request("GET", target("d"), [
        ("X-Sigferry-Backoff-Strategy", strategy), ("X-Sigferry-Min-Retry-Delay-Ms", "40"),
        ("X-Sigferry-Max-Retry-Delay-Ms", "100")])
    got = gaps(upstream, "d")
    assert len(got) == 3 and all(a <= g <= seconds(b) for a, g, b in zip(least, got, most)), got


def test_a_list_of_delays(daemon, upstream):
    d = daemon(retry={"backoff_strategy": "custom", "backoff_delays_ms": [80, 10], "num_max_retries": 3})
    upstream.on("d", lambda ex: ex.error(503, "Busy"))
    d.request("GET", target("d"))
    got = gaps(upstream, "d")
    assert len(got) == 3 and got[0] >= .08 and got[1] >= .01 and got[2] >= .01, got
    assert got[1] < seconds(.07) and got[2] < seconds(.07), got


@pytest.mark.parametrize("status,form", [(429, "seconds"), (503, "date")])
def test_retry_after_is_a_lower_bound_and_each_attempt_is_signed_afresh(own, upstream, status, form):
    def fail(ex):
        value = "1" if form == "seconds" else email.utils.formatdate(int(time.time()) + 2, usegmt=True)
        ex.error(status, "Busy", [("Retry-After", value)])

    upstream.on("ra", flaky(fail, 1))
    r = assert_ok(own.request("POST", target("ra"), body=b"x"))
    assert attempts_of(upstream, "ra", r) == 2
    first, second = upstream.of("ra")
    assert gaps(upstream, "ra")[0] >= .99
    assert signer.seconds_of(second.get("X-Date")) - signer.seconds_of(first.get("X-Date")) >= 1
    assert second.get("Authorization") != first.get("Authorization")


def test_retry_after_is_capped_and_only_for_429_and_503(own, upstream):
    cap = ("X-Sigferry-Max-Retry-Delay-Ms", "100")
    upstream.on("cap", flaky(lambda ex: ex.error(503, "Busy", [("Retry-After", "3600")]), 1))
    assert_ok(own.request("GET", target("cap"), [cap]))
    assert .1 <= gaps(upstream, "cap")[0] < seconds(.5)
    upstream.on("e500", flaky(lambda ex: ex.error(500, "Busy", [("Retry-After", "3600")]), 1))
    assert_ok(own.request("GET", target("e500")))
    assert gaps(upstream, "e500")[0] < seconds(.5)


def test_a_delay_that_would_cross_the_request_timeout_is_not_started(own, upstream):
    upstream.on("rt", lambda ex: ex.reply(503, b"busy", [("Retry-After", "5")], "text/plain"))
    start = time.monotonic()
    r = own.request("GET", target("rt"), [("X-Sigferry-Request-Timeout", "2")])
    assert (r.status, r.body, r.error) == (503, b"busy", None) and attempts_of(upstream, "rt", r) == 1
    assert time.monotonic() - start < seconds(1)


# -- what is never retried ---------------------------------------------------------------------

def test_nothing_is_retried_after_the_first_byte(own, upstream):
    upstream.on("fb", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"), ex.reset()))
    r = own.request("GET", target("fb"))
    assert not r.whole and attempts_of(upstream, "fb", r) == 1


@pytest.mark.parametrize("fail", ["503", "reset"])
@pytest.mark.parametrize("chunks", [False, True])
def test_a_body_that_streamed_through_is_not_sent_again(own, upstream, fail, chunks):
    body = b"z" * 300000
    upstream.on("st", (lambda ex: ex.error(503, "Busy")) if fail == "503" else (lambda ex: ex.reset()))
    headers = [("X-Content-Sha256", hashlib.sha256(body).hexdigest())]
    data = body
    if chunks:
        headers.append(("Transfer-Encoding", "chunked"))
        data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    r = own.request("POST", target("st"), headers, data)
    assert attempts_of(upstream, "st", r) == 1 and r.status in (502, 503)


def test_a_spooled_body_is_sent_again_whole(daemon, upstream):
    d = daemon(limits={"body_memory": "16K"})
    body = bytes(range(256)) * 4096
    upstream.on("sp", flaky(lambda ex: ex.reset(), 2))
    r = assert_ok(d.request("PUT", target("sp"), body=body))
    assert attempts_of(upstream, "sp", r) == 3
    assert {q.sha256 for q in upstream.of("sp")} == {hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("at", [1, 500, 40000])
def test_a_reset_while_the_request_is_read(own, upstream, at):
    """The upstream dies at an offset of the body: one retry, whole, and never a second send of the first."""
    def handler(ex):
        if ex.attempt == 1:
            while ex.req.body_len < at:
                ex.read(at)
            ex.reset()
        else:
            ex.read_all()
            ex.reply(200, {"Result": {}})

    upstream.on("off", handler, early=True)
    upstream.allow_bad_signature = True  # an unread body can't be judged
    body = b"y" * 100000
    r = assert_ok(own.request("POST", target("off"), body=body))
    assert attempts_of(upstream, "off", r) == 2
    assert upstream.of("off")[1].body_len == len(body) and upstream.of("off")[1].complete


# -- budget ------------------------------------------------------------------------------------

def storm(d, n, parallel=8):
    def run():
        with d.client(timeout=30) as c:
            return [c.request("GET", target("down"), [SERVICE]).status for _ in range(n // parallel)]
    start = time.monotonic()
    out = gather([run] * parallel)
    return [s for part in out for s in part], time.monotonic() - start


def test_the_budget_keeps_an_outage_from_being_multiplied(daemon, upstream):
    d = daemon(retry={"min_retry_delay_ms": 1, "max_retry_delay_ms": 2, "budget_percent": 20})
    upstream.on("down", lambda ex: ex.error(503, "Down"))
    statuses, took = storm(d, 800)
    assert statuses == [503] * 800
    sent = len(upstream.of("down"))
    assert sent - 800 <= 0.2 * 800 + 10 * (took + 1), (sent, took)
    assert sent - 800 >= 0.15 * 800, "the budget refuses what it should grant: %d" % sent
    assert metric(d, "sigferry_retry_budget_exhausted_total") > 0


def test_the_budgets_floor(daemon, upstream):
    """With 0 % ten retries in four quarters of a second are left, and another host has ten of its own."""
    d = daemon(retry={"min_retry_delay_ms": 1, "max_retry_delay_ms": 2, "budget_percent": 0},
               endpoint={"services": [{"service": "iam", "host": "alt.internal"}]})
    upstream.on("down", lambda ex: ex.error(503, "Down"))
    _, took = storm(d, 80)
    retries = len(upstream.of("down")) - 80
    assert 10 <= retries <= 10 * (took / 0.75 + 1), (retries, took)
    r = d.request("GET", target("down"), service="iam")
    assert upstream.requests[-1].get("Host") == "alt.internal"
    assert r.get("X-Sigferry-Attempts") == "4"


def test_every_worker_can_make_a_requests_retries(daemon, upstream):
    d = daemon(workers=8, retry={"min_retry_delay_ms": 1, "max_retry_delay_ms": 2})
    upstream.on("down", lambda ex: ex.error(503, "Down"))
    assert d.request("GET", target("down")).get("X-Sigferry-Attempts") == "4"


# -- clock -------------------------------------------------------------------------------------

def clock_error(code, ahead):
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    return lambda ex: ex.error(403, code, [("Date", date)])


@pytest.mark.parametrize("ahead", [-900, 900])
def test_a_wrong_clock_is_corrected_by_the_upstreams(daemon, upstream, ahead):
    d = daemon(retry={"num_max_retries": 0})  # outside the count
    upstream.allow_bad_signature = True  # its date is not ours
    by = [ahead]

    def handler(ex):
        off = signer.seconds_of(ex.req.get("X-Date")) - (time.time() + by[0])
        if abs(off) < 60:
            ex.reply(200, {"Result": {}})
        else:
            clock_error("SignatureExpired" if off < 0 else "RequestNotYetValid", by[0])(ex)

    def judge(request):  # the signature must hold, whatever the date
        request.verdict = signer.verify(request.method, request.target, request.headers,
                                        request.sha256, upstream.keys, window=0)

    upstream.judge = judge
    try:
        upstream.on("clk", handler)
        r = assert_ok(d.request("POST", target("clk"), body=b"x"))
        assert attempts_of(upstream, "clk", r) == 2
        assert abs(metrics(d)["sigferry_clock_skew_seconds"] - ahead) <= 2
        d.wait_log("clock differs")
        assert_ok(d.request("POST", target("clk"), body=b"x"))
        assert len(upstream.of("clk")) == 3, "the correction was not kept"
        by[0] = 0  # as when this machine's clock is set
        r = assert_ok(d.request("POST", target("clk"), body=b"x"))
        assert r.get("X-Sigferry-Attempts") == "2"
        assert metrics(d)["sigferry_clock_skew_seconds"] == 0
    finally:
        del upstream.judge


def test_a_clock_error_that_stays_is_tried_once_more_only(daemon, upstream):
    d = daemon()
    upstream.allow_bad_signature = True
    upstream.judge = lambda request: setattr(request, "verdict", signer.Verdict(True))
    try:
        upstream.on("clk", clock_error("SignatureExpired", 900))
        r = d.request("GET", target("clk"))
        assert r.status == 403 and attempts_of(upstream, "clk", r) == 2
    finally:
        del upstream.judge


@pytest.mark.parametrize("code,ahead", [("SignatureExpired", 30), ("AccessDenied", 900),
                                        ("SignatureDoesNotMatch", 900)])
def test_what_is_no_clock_error(own, upstream, code, ahead):
    upstream.on("no", clock_error(code, ahead))
    r = own.request("GET", target("no"))
    assert r.status == 403 and attempts_of(upstream, "no", r) == 1
    assert metrics(own)["sigferry_clock_skew_seconds"] == 0


def test_retries_show_in_the_metrics(daemon, upstream):
    d = daemon()
    upstream.on("m", flaky(lambda ex: ex.error(503, "Busy"), 2))
    assert_ok(d.request("GET", target("m")))
    m = metrics(d)
    assert m['sigferry_retries_total{reason="status_503"}'] == 2
    assert m['sigferry_upstream_attempts_total{service="ecs",outcome="503"}'] == 2
    assert m['sigferry_upstream_attempts_total{service="ecs",outcome="200"}'] == 1
