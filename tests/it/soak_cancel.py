# SPDX-License-Identifier: Apache-2.0
"""How long after a client went does the upstream know? By phase, way of leaving and transport.

    SIGFERRY=build/sigferry python3 tests/it/soak_cancel.py [TIMES]"""

import os
import sys
import tempfile

from soak import rig
from test_cancel import PHASES, delays

if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    everything = []
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "sock")
        with rig(listen=["127.0.0.1:0", "unix:" + path], workers=1) as (daemon, up):
            up.allow_bad_signature = True
            daemon.wait_ready(2)
            for phase in sorted(PHASES):
                for unix in (0, 1):
                    for how in ("close", "reset", "half"):
                        took = sorted(delays(daemon, up, phase, how, unix, times))
                        up.requests.clear()
                        up.faults.clear()
                        everything += took
                        print("%-10s %-4s %-5s p50 %6.2f ms  p99 %6.2f ms  max %6.2f ms" % (
                            phase, ("tcp", "unix")[unix], how, took[len(took) // 2] * 1e3,
                            took[int(0.99 * len(took))] * 1e3, took[-1] * 1e3), flush=True)
    everything.sort()
    p99 = everything[int(0.99 * len(everything))]
    print("all %d: p50 %.2f ms, p99 %.2f ms, max %.2f ms" % (
        len(everything), everything[len(everything) // 2] * 1e3, p99 * 1e3, everything[-1] * 1e3))
    sys.exit(p99 > 0.1)
