# SPDX-License-Identifier: Apache-2.0
"""A name service that takes 2.7 s and then fails, asked for 16 names all the time: how long does the
worker's loop stand still? Measured by requests that the loop answers by itself, in turn with those of
a second daemon whose name service is well: what the machine does to both is not the daemon's.

    SIGFERRY=build/sigferry python3 tests/it/soak_dns.py [SECONDS]"""

import sys
import tempfile
import threading
import time

from checks import ECHO
from daemon import timed
from faults import Shim
from soak import rig
from test_dns import BY_WORKER, EAI_AGAIN, LATENCY, MOST, RESULT

NAMES = range(16)
LOCAL = [("X-Sigferry-Nonsense", "1")]


def quantiles(name, took):
    took.sort()
    print("%-18s %7d answers: p50 %.2f ms  p99 %.2f ms  p99.9 %.2f ms  max %.2f ms" % (
        (name, len(took)) + tuple(took[min(int(q * len(took)), len(took) - 1)] * 1e3
                                  for q in (.5, .99, .999, 1))))


if __name__ == "__main__":
    length = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as directory:
        shim = Shim(directory, "slow_getaddrinfo")
        shim.set(LATENCY, 2700)
        shim.set(RESULT, EAI_AGAIN)
        settings = {"workers": 1, "timeouts": {"connect_timeout": 0.3}, "pool": {"num_pools": 16},
                    "endpoint": {"services": [{"service": "s%d" % i, "host": "s%d.internal" % i}
                                              for i in NAMES]},
                    "connect_to": ["s%d.internal:443:n%d.test:443" % (i, i) for i in NAMES]}
        with rig(env=shim.env, **settings) as (sick, _), rig(workers=1) as (well, _):
            stop = threading.Event()

            def ask(i):
                while not stop.is_set():
                    sick.request(service="s%d" % i, timeout=30)

            threads = [threading.Thread(target=ask, args=(i,)) for i in NAMES]
            for t in threads:
                t.start()
            time.sleep(0.5)
            results, end = ([], []), time.monotonic() + length
            with sick.client() as a, well.client() as b:
                while time.monotonic() < end:
                    for c, out in ((a, results[0]), (b, results[1])):
                        r, took = timed(c.request, "GET", ECHO, LOCAL)
                        assert r.error == "InvalidOption"
                        out.append(took)
            stop.set()
            shim.set(LATENCY, 0)
            for t in threads:
                t.join()
            quantiles("name service dead", results[0])
            quantiles("name service well", results[1])
            blocking = shim.get(BY_WORKER)
            print("look-ups at a time: at most %d; made by a loop's thread: %d" % (
                shim.get(MOST), blocking))
    sys.exit(blocking > 0 or results[0][int(0.999 * len(results[0]))] > 0.01)
