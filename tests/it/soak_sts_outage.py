# SPDX-License-Identifier: Apache-2.0
"""The token service is down (a third of the time it refuses connections, a third it answers 503, a
third it hangs) while the daemon holds a credential that is still good: does anybody notice?

    SIGFERRY=build/sigferry python3 tests/it/soak_sts_outage.py [SECONDS [REQUESTS A SECOND]]"""

import re
import statistics
import sys
import threading
import time

from client import Client, until
from daemon import unused_port
from faults import SERVICE, metrics
from soak import rig

FAILED = 'sigferry_credential_refresh_total{profile="default",result="failed"}'


class Asking:
    """Requests at a steady rate, and the readiness once a second."""

    def __init__(self, d, rate):
        self.d, self.rate, self.stopping = d, rate, threading.Event()
        self.status, self.took, self.ready = [], [], set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with Client(self.d.address, 30) as c:
            n = 0
            while not self.stopping.wait(1 / self.rate):
                start = time.monotonic()
                self.status.append(c.request("GET", "/?Action=Echo&Version=2020-04-01", [SERVICE]).status)
                self.took.append(1000 * (time.monotonic() - start))
                n += 1
                if n % self.rate == 0:
                    with Client(self.d.admin, 30) as admin:
                        self.ready.add(admin.request("GET", "/readyz").status)

    def stop(self):
        self.stopping.set()
        self.thread.join(60)
        assert not self.thread.is_alive(), "a request hangs"
        return {"requests": len(self.status), "status": sorted(set(self.status)), "readyz": sorted(self.ready),
                "p50_ms": round(statistics.median(self.took), 2),
                "p99_ms": round(sorted(self.took)[len(self.took) * 99 // 100], 2),
                "longest_ms": round(max(self.took), 1)}


def pause(seconds):
    threading.Event().wait(seconds)


def outage(d, upstream, seconds, rate):
    """(before, during, failed renewals, warnings of them, key before, key after)"""
    fake, usual = d.fake, d.settings["connect_to"]
    until(lambda: d.request().status == 200, 20, "the first credential")
    before = Asking(d, rate)
    pause(min(60, seconds / 3))
    before = before.stop()
    mark, failed = d.mark(), metrics(d).get(FAILED, 0)
    asking = Asking(d, rate)
    dead = ["sts.volcengineapi.com:443:127.0.0.1:%d" % unused_port()]
    d.reload(connect_to=dead + usual)  # which forces a renewal as well
    pause(seconds / 3)
    fake.answer["AssumeRole"] = lambda call: (503, "")
    d.reload(connect_to=usual)
    pause(seconds / 3)
    fake.answer["AssumeRole"] = fake.hold
    pause(seconds / 3)
    during = asking.stop()
    failed = metrics(d)[FAILED] - failed
    warnings = len([x for x in d.lines[mark:] if re.search("level=warn .*the one held is still good", x)])
    old = upstream.requests[-1].verdict.access_key
    del fake.answer["AssumeRole"]
    fake.held.set()

    def renewed():
        assert d.request().status == 200
        return upstream.requests[-1].verdict.access_key != old
    until(renewed, 90, "the next credential")
    return before, during, int(failed), warnings


if __name__ == "__main__":
    length = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    with rig(role=True) as (daemon, up):
        quiet, down, failures, lines = outage(daemon, up, length, int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    print("before: %r\nduring %d s of outage: %r\nrenewals that failed: %d, warnings in the log: %d" % (
        quiet, length, down, failures, lines))
    sys.exit(down["status"] != [200] or down["readyz"] != [200] or not failures or not lines)
