# SPDX-License-Identifier: Apache-2.0
"""An upstream that answers 503 to everything: how many more requests does it see than the clients
made? The budget allows 20 % and ten a second.

    SIGFERRY=build/sigferry python3 tests/it/soak_outage.py [SECONDS [CLIENTS]]"""

import sys
import threading
import time

from faults import metric
from load import Load
from soak import rig


def outage(d, upstream, seconds, clients):
    upstream.on("load", lambda ex: ex.reply(503, b"down", ctype="text/plain"))
    start = time.monotonic()
    load = Load(d.address, clients)
    threading.Event().wait(seconds)
    load.stop()
    took = time.monotonic() - start
    asked, seen = len(load.outcome), len(upstream.of("load"))
    allowed = 1.2 * asked + 10 * (took + 1)
    return {"seconds": round(took, 1), "asked": asked, "seen": seen, "ratio": round(seen / asked, 3),
            "allowed": int(allowed), "refused by the budget": int(metric(
                d, "sigferry_retry_budget_exhausted_total")), "outcomes": sorted(set(load.outcome.values()))}


if __name__ == "__main__":
    length = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    with rig(pool={"connection_pool_maxsize": 64}) as (daemon, up):
        result = outage(daemon, up, length, int(sys.argv[2]) if len(sys.argv) > 2 else 32)
    print(result)
    sys.exit(result["seen"] > result["allowed"])
