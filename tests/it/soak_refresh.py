# SPDX-License-Identifier: Apache-2.0
"""100 clients at full speed while the credential is renewed 50 times and the token service takes 300 ms
for each: does a request fail, is the service asked more than once a renewal, do requests get slower?

    SIGFERRY=build/sigferry python3 tests/it/soak_refresh.py [RENEWALS [CLIENTS]]

First Python clients and an upstream that verifies every signature; then wrk and nginx (Debian: wrk,
nginx-light) for the latencies, windows with and without renewals by turns, so that whatever else the
machine does hits both."""

import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from client import until
from daemon import unused_port
from load import Load
from soak import rig

STS_SECONDS = 0.3
WINDOW_S, PER_WINDOW = 5, 5

REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"failed":%d,"p50":%f,"p99":%f,"p999":%f}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
"""


class Renewals:
    """Forces one renewal after another, each as soon as the one before has been taken over."""

    def __init__(self, d, fake):
        self.d, self.fake, self.made = d, fake, 0

    def one(self):
        mark, n = self.d.mark(), len(self.fake.given) + 1
        self.d.signal(signal.SIGHUP)
        self.d.wait_log(r"credentials: profile .*default.*assume_role, access key AKTP\.\.\.%04d" % n, after=mark)
        self.made += 1

    def spread(self, n, seconds):
        """n of them, evenly over that time."""
        start = time.monotonic()
        for i in range(n):
            threading.Event().wait(max(0, start + i * seconds / n - time.monotonic()))
            self.one()


def verified(d, fake, upstream, renewals, clients):
    """Part one: (outcomes, calls of the service, access keys seen upstream)."""
    load = Load(d.address, clients)
    load.wait(clients)
    renew = Renewals(d, fake)
    for _ in range(renewals):
        renew.one()
        load.wait(clients)  # each credential signs some of them
    outcomes = {k: len(v) for k, v in load.stop().items()}
    return outcomes, len(fake.of("AssumeRole")), len({r.verdict.access_key for r in upstream.requests})


def nginx(directory, pair):
    """A fast upstream with TLS; (process, port)."""
    port = unused_port()
    conf = Path(directory, "nginx.conf")
    conf.write_text("""daemon off; worker_processes 1; pid %(d)s/nginx.pid; error_log stderr error;
        events { worker_connections 4096; }
        http { access_log off; keepalive_requests 1000000000; client_body_temp_path %(d)s/b;
          proxy_temp_path %(d)s/p; fastcgi_temp_path %(d)s/f; uwsgi_temp_path %(d)s/u; scgi_temp_path %(d)s/s;
          server { listen 127.0.0.1:%(port)d ssl; ssl_certificate %(cert)s; ssl_certificate_key %(key)s;
            location / { default_type application/json; return 200 '{"Result":{}}'; } } }
        """ % {"d": directory, "port": port, "cert": pair[0], "key": pair[1]})
    return subprocess.Popen(["nginx", "-c", str(conf), "-p", directory]), port


def window(d, clients, script):
    run = subprocess.Popen(["wrk", "-t1", "-c%d" % clients, "-d%ds" % WINDOW_S, "--timeout", "10s", "-s", script,
                            "-H", "X-Sigferry-Service: ecs",
                            "http://127.0.0.1:%d/?Action=Echo&Version=2020-04-01" % d.port],
                           stdout=subprocess.PIPE, text=True)
    return run


def latencies(d, fake, clients, turns, script):
    """Part two: ({"with": [...], "without": [...]}, calls of the service)."""
    out, renew = {"with": [], "without": []}, Renewals(d, fake)
    for turn in range(2 * turns + 1):
        kind = "with" if turn % 2 else "without"
        run = window(d, clients, script)
        if kind == "with":
            renew.spread(PER_WINDOW, WINDOW_S - 1)
        out[kind].append(json.loads(run.communicate()[0].splitlines()[-1]))
    return out, renew.made, len(fake.of("AssumeRole"))


def slow_service(fake):
    pause = threading.Event()
    fake.answer["AssumeRole"] = lambda call: pause.wait(STS_SECONDS) or None


def main(renewals, clients):
    with rig(role=True, workers=2) as (d, upstream):
        fake = d.fake
        slow_service(fake)
        until(lambda: d.request().status == 200, 20, "the first credential")
        before = len(fake.of("AssumeRole"))
        start = time.monotonic()
        outcomes, calls, keys = verified(d, fake, upstream, renewals, clients)
        print("%d renewals under %d clients in %.1f s: requests %r, each verified; %d calls of the service, "
              "%d access keys seen upstream" % (renewals, clients, time.monotonic() - start, outcomes,
                                                calls - before, keys))
        good = set(outcomes) == {"ok"} and calls - before == renewals and keys == renewals + 1
    if not (shutil.which("wrk") and shutil.which("nginx")):
        print("no wrk or no nginx: latencies not measured")
        return good
    with tempfile.TemporaryDirectory(prefix="sigferry-nginx-") as directory:
        script = Path(directory, "report.lua")
        script.write_text(REPORT)
        with rig(role=True, workers=2) as (d, _):
            fake = d.fake
            up, port = nginx(directory, d.certs.pair("good"))
            try:
                d.write(dict(d.settings, connect_to=fake.connect_to(port)))
                slow_service(fake)
                d.signal(signal.SIGHUP)
                until(lambda: d.request().json == {"Result": {}}, 20, "nginx")
                before = len(fake.of("AssumeRole"))
                out, made, calls = latencies(d, fake, clients, -(-renewals // PER_WINDOW), str(script))
            finally:
                up.terminate()
                up.wait()
    failed = sum(w["failed"] for v in out.values() for w in v)
    middle = {kind: {k: statistics.median(w[k] for w in v) for k in ("requests", "p50", "p99", "p999")}
              for kind, v in out.items()}
    for kind, m in middle.items():
        print("%-8s %d windows of %d s: %d requests a window, p50 %.2f ms, p99 %.2f ms (%s), p99.9 %.2f ms" % (
            kind, len(out[kind]), WINDOW_S, m["requests"], m["p50"], m["p99"],
            " ".join("%.2f" % w["p99"] for w in out[kind]), m["p999"]))
    ratio = middle["with"]["p99"] / middle["without"]["p99"]
    print("%d renewals, %d calls of the service, %d failed of %d requests, p99 %+.1f %%" % (
        made, calls - before, failed, sum(w["requests"] for v in out.values() for w in v), 100 * (ratio - 1)))
    return good and failed == 0 and calls - before == made and ratio < 1.2


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, int(sys.argv[2]) if len(sys.argv) > 2 else 100))
