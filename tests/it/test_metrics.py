# SPDX-License-Identifier: Apache-2.0
"""Every metric after a scripted run, against what the upstream and the clients counted themselves."""

import collections
import os
import re
import shutil
import subprocess
import time

import pytest

import daemon as daemons
from checks import UNKNOWN_NAME, assert_error, assert_ok, hold, target
from client import until
from daemon import seconds
from faults import ONCE, gather
from fake_sts import Known
from test_admin import ask, samples, total
from test_credentials import STATIC, fake, role_profile  # noqa: F401 (a fixture)

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, "..", "..", "docs", "METRICS.md")
ALERTS = os.path.join(HERE, "..", "..", "etc", "alerts.yml")
promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool (Debian: prometheus)")


def values_of(d):
    return samples(ask(d, "/metrics").body.decode())


class Run:
    """The script, and its own account of it."""

    def __init__(self, d):
        self.d, self.up = d, d.upstream
        self.answers = collections.Counter()  # (service, status) as clients saw them
        self.replies = collections.Counter()  # statuses the upstream sent
        self.retries, self.rejected = collections.Counter(), collections.Counter()
        self.clients = self.sent = self.received = 0
        self.open = []
        for status in (200, 503):
            self.up.on("s%d" % status, lambda ex, status=status: self.reply(ex, status))
        self.up.on("second", lambda ex: self.reply(ex, 200 if ex.attempt > 1 else 503))
        self.up.on("reset", lambda ex: ex.reset())
        self.up.on("reset-once", lambda ex: self.reply(ex, 200) if ex.attempt > 1 else ex.reset())

    def reply(self, ex, status, body=b"x" * 100):
        self.replies[status] += 1
        ex.reply(status, body, ctype="text/plain")

    def ask(self, key, status, service="ecs", headers=(), body=b""):
        headers = list(headers) + ([("X-Sigferry-Service", service)] if service else [])
        c = self.d.client()
        self.open.append(c)  # a client that goes at once may be taken for one that left before the end
        r = c.request("POST" if body else "GET", target(key), headers, body)
        assert r.status == status, r
        self.note(r, service, body)
        return r

    def note(self, r, service, body=b""):
        self.clients += 1
        self.sent += len(body)
        self.received += len(r.body)
        attempted = int(r.get("X-Sigferry-Attempts")) > 0
        early = r.error == "OriginNotAllowed"  # before anything else of the request was looked at
        self.answers["other" if early or not service else service, str(r.status)] += 1
        if not attempted:
            self.rejected[r.error] += 1


def script(d):
    run = Run(d)
    for n in range(7):
        run.ask("s200", 200, body=b"b" * 1000 * n)
    for _ in range(3):
        run.ask("s200", 200, "iam", headers=[("X-Sigferry-Region", "cn-shanghai")])
    run.ask("second", 200)
    run.ask("reset-once", 200)
    run.ask("s503", 503, headers=[("X-Sigferry-Num-Max-Retries", "2"), ("X-Sigferry-Min-Retry-Delay-Ms", "1")])
    run.retries.update({"status_503": 3, "reset": 1})
    assert_error(run.ask("reset", 502, headers=[ONCE]), 502, "UpstreamReset")
    assert_error(run.ask("x", 502, "vpc", headers=[ONCE]), 502, "UpstreamConnectFailed")
    assert_error(run.ask("x", 502, "kms", headers=[ONCE]), 502, "UpstreamResolveFailed")
    assert_error(run.ask("x", 400, None), 400, "MissingService")
    assert_error(run.ask("x", 400, None), 400, "MissingService")
    for made_up in ("made-up", "ecs2"):  # a client can't make up series
        run.note(run.d.request("GET", target("x"), [("X-Sigferry-Profile", "none")], service=made_up), None)
    assert_error(run.ask("x", 403, headers=[("Origin", "http://x.example")]), 403, "OriginNotAllowed")
    assert_error(run.ask("x", 503, headers=[("X-Sigferry-Profile", "none")]), 503, "CredentialsUnavailable")
    return run


@pytest.fixture
def ran(daemon, fake, make_upstream):  # noqa: F811
    """(daemon, its account) after the script, once all of it has been counted."""
    up = make_upstream()
    up.keys = Known(up.keys, fake)
    d = daemon(workers=2, retry={"min_retry_delay_ms": 1, "budget_percent": 100},
               profiles=daemons.Raw(daemons.value_text({
                   "default": STATIC, "role": role_profile(source_profile="default"),
                   "none": {"provider": "file", "file": "/nonexistent/keys"}})),
               endpoint={"services": [{"service": "vpc", "host": "dead.internal"},
                                      {"service": "kms", "host": "nosuch.invalid"}]},
               connect_to=["dead.internal:443:127.0.0.1:%d" % daemons.unused_port(),
                           "nosuch.invalid:443:%s:443" % UNKNOWN_NAME] + fake.connect_to(up.port))
    d.upstream = up
    d.wait_log("assume_role, access key")
    run = script(d)
    until(lambda: total(values_of(d), "sigferry_requests_total") == run.clients, seconds(10), "the last count")
    for c in run.open:
        c.close()
    until(lambda: total(values_of(d), "sigferry_client_connections") == 0, seconds(10), "the last client's end")
    return d, run


def test_every_metric_equals_what_was_counted(ran):
    d, run = ran
    up, v = d.upstream, values_of(d)

    def got(name, **labels):
        return total(v, "sigferry_" + name, **labels)

    for (service, status), n in run.answers.items():
        assert got("requests_total", service=service, code=status) == n, (service, status)
    assert got("requests_total", region="cn-shanghai") == 3
    assert got("request_duration_seconds_count") == run.clients
    assert 0 < got("request_duration_seconds_sum") < seconds(60)
    for reason, n in run.rejected.items():
        assert got("rejected_total", reason=reason) == n, reason
    assert got("rejected_total") == sum(run.rejected.values())
    for reason, n in run.retries.items():
        assert got("retries_total", reason=reason) == n, reason
    assert got("retries_total") == sum(run.retries.values())
    for status, n in run.replies.items():
        assert got("upstream_attempts_total", outcome=str(status)) == n, status
    assert got("upstream_attempts_total", outcome="UpstreamReset") == 2
    never_there = {"UpstreamConnectFailed": 1, "UpstreamResolveFailed": 1}
    for outcome, n in never_there.items():
        assert got("upstream_attempts_total", outcome=outcome) == n, outcome
    assert got("upstream_attempts_total") == len(up.requests) + sum(never_there.values())
    assert got("upstream_connects_total") == got("upstream_tls_handshakes_total") == up.accepted
    assert got("upstream_reused_total") == len(up.requests) - len({r.connection for r in up.requests})
    assert got("dns_failures_total") == 1
    assert got("client_connections_accepted_total") == run.clients
    assert got("client_bytes_total", direction="in") == run.sent
    assert got("client_bytes_total", direction="out") == run.received
    assert got("credential_refresh_total", profile="default", result="ok") == 1
    assert got("credential_refresh_total", profile="role", result="ok") == 1
    assert got("credential_refresh_total", profile="none", result="failed") >= 1
    assert [got("credential_usable", profile=p) for p in ("default", "role", "none")] == [1, 1, 0]
    assert 3500 < got("credential_expiry_timestamp_seconds", profile="role") - time.time() <= 3600
    for name in ("inflight_requests", "client_connections", "pool_pending", "buffered_bytes", "log_dropped_total",
                 "retry_budget_exhausted_total", "clock_skew_seconds"):
        assert got(name) == 0, name
    assert got("config_last_reload_successful") == 1 and got("workers") == 2
    assert abs(got("config_last_reload_success_timestamp_seconds") - time.time()) < seconds(60)
    assert abs(total(v, "process_start_time_seconds") - time.time()) < seconds(60)


def test_every_documented_metric_is_there_and_no_other(ran):
    d, _ = ran
    with open(DOCS, encoding="utf-8") as f:
        rows = re.findall(r"^\| `((?:sigferry|process)_\w+)` \| (\w+) \| ([^|]*) \|", f.read(), re.M)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    text = ask(d, "/metrics").body.decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    found = collections.defaultdict(set)
    for name, labels in samples(text):
        base = re.sub("_(bucket|sum|count)$", "", name) if re.sub("_(bucket|sum|count)$", "", name) in kinds else name
        found[base] |= {n for n, _ in labels}
    assert {n: (kinds[n], labels) for n, labels in found.items()} == documented


def test_a_host_has_one_row_for_all_workers(daemon, upstream):
    d = daemon(workers=2)
    release = upstream.event()
    upstream.on("hold", lambda ex: (release.wait(30), ex.reply(200, b"{}")))
    clients = [d.client() for _ in range(4)]  # each worker takes two
    for c in clients:
        c.begin("POST", target("hold"), [("X-Sigferry-Service", "ecs")], b"x")
    upstream.wait_request("hold", 4)
    assert [v for (n, l), v in values_of(d).items() if n == "sigferry_pool_connections"  # as of now
            and ("state", "active") in l] == [4], "one row with all of them"
    release.set()
    for c in clients:
        assert_ok(c.response())
        c.close()


def test_gauges_follow_what_is_under_way(daemon, make_upstream):
    up = make_upstream()
    d = daemon(_upstream=up, pool={"connection_pool_maxsize": 3})
    release = up.event()
    up.on("hold", lambda ex: (release.wait(30), ex.reply(200, b"{}")))
    clients = [d.client() for _ in range(6)]
    for c in clients[:5]:
        c.begin("POST", target("hold"), [("X-Sigferry-Service", "ecs")], b"y" * 500)
    up.wait_request("hold", 3)

    def now():
        v = values_of(d)
        return {n: total(v, "sigferry_" + n) for n in (
            "inflight_requests", "client_connections", "pool_pending", "buffered_bytes")} | {
            s: total(v, "sigferry_pool_connections", state=s) for s in ("active", "idle")}
    busy = {"inflight_requests": 5, "client_connections": 6, "pool_pending": 2, "buffered_bytes": 2500, "active": 3,
            "idle": 0}
    until(lambda: now() == busy, seconds(5), "the gauges")
    release.set()
    for c in clients[:5]:
        assert_ok(c.response())
    for c in clients:
        c.close()
    idle = dict.fromkeys(busy, 0) | {"idle": 3}
    until(lambda: now() == idle, seconds(5), "the gauges to fall")
    assert up.open == 3


def test_who_leaves_and_what_the_budget_stops(daemon, make_upstream):
    up = make_upstream()
    d = daemon(_upstream=up, retry={"num_max_retries": 5, "min_retry_delay_ms": 0, "budget_percent": 20})
    held = up.event()
    up.on("hold", lambda ex: held.wait(30))
    c = d.client()
    c.begin("GET", target("hold"), [("X-Sigferry-Service", "ecs")])
    up.wait_request("hold")
    c.close()
    until(lambda: total(values_of(d), "sigferry_requests_total", code="499") == 1, seconds(5), "the 499")
    assert total(values_of(d), "sigferry_upstream_attempts_total", outcome="ClientGone") == 1
    up.on("down", lambda ex: ex.error(503, "Busy"))
    clients = [d.client() for _ in range(40)]
    service = [("X-Sigferry-Service", "ecs")]
    answers = gather([lambda c=c: c.request("GET", target("down"), service) for c in clients])
    assert all(r.status == 503 for r in answers)
    until(lambda: total(values_of(d), "sigferry_requests_total", code="503") == 40, seconds(5), "the 503s")
    for c in clients:
        c.close()
    v = values_of(d)
    retried, refused = total(v, "sigferry_retries_total"), total(v, "sigferry_retry_budget_exhausted_total")
    assert retried == len(up.of("down")) - 40 and refused > 0
    assert total(v, "sigferry_upstream_attempts_total", outcome="503") == len(up.of("down"))


def test_an_upstream_that_hangs_shows(shared, upstream):
    """An attempt that is given up was one, and the time it took was the upstream's."""
    hold(upstream)
    before = total(values_of(shared), "sigferry_upstream_attempts_total", outcome="RequestTimeout")
    mark = shared.mark()
    r = shared.request("GET", target("hold"), [("X-Sigferry-Request-Timeout", "0.4")])
    assert r.status == 504 and r.get("X-Sigferry-Attempts") == "1"
    line = shared.wait_log("access\" .*error=RequestTimeout", after=mark)
    assert float(re.search(r"upstream_ms=([\d.]+)", line.string)[1]) >= 300
    assert total(values_of(shared), "sigferry_upstream_attempts_total", outcome="RequestTimeout") == before + 1


def test_a_refused_reload_shows(daemon, upstream):
    d = daemon()
    loaded = total(values_of(d), "sigferry_config_last_reload_success_timestamp_seconds")
    d.write(d.settings, "nonsense = 1;\n")
    d.signal(1)
    d.wait_log("reload failed")
    v = values_of(d)
    assert total(v, "sigferry_config_last_reload_successful") == 0
    assert total(v, "sigferry_config_last_reload_success_timestamp_seconds") == loaded


@promtool
def test_what_prometheus_says(ran):
    d, _ = ran
    run = subprocess.run(["promtool", "check", "metrics"], input=ask(d, "/metrics").body, capture_output=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    run = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
