# SPDX-License-Identifier: Apache-2.0
"""Reloads under load, every third of a broken file: is a request lost?

    SIGFERRY=build/sigferry python3 tests/it/soak_reload.py [RELOADS]"""

import sys
import time

from soak import rig
from test_drain_reload import reload_under_load

if __name__ == "__main__":
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with rig(workers=2) as (daemon, up):
        start = time.monotonic()
        counts, failed = reload_under_load(daemon, up, turns)
        print("%d reloads, %d of them broken, in %.1f s: requests %r, arrived %d, each once" % (
            turns, failed, time.monotonic() - start, counts, len(up.requests)))
    sys.exit(set(counts) != {"ok"})
