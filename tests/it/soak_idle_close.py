# SPDX-License-Identifier: Apache-2.0
"""POSTs against an upstream that closes idle connections at random moments: does each arrive, and
none twice? python3 tests/it/soak_idle_close.py [POSTS [JITTER_SECONDS]]"""

import collections
import random
import select
import sys
import threading
import time

from checks import target
from faults import ONCE, SERVICE, gather, metric


def race(d, upstream, posts, clients, jitter, headers=()):
    """The handler answers, then ends the connection unless a next request comes within a random
    part of jitter; half of the ends with TLS's close_notify. Clients pause about as long, so that
    requests and ends cross."""
    rnd = random.Random(7)
    closed = [0]

    def handler(ex):
        ex.reply(200, b"{}")
        limit = time.monotonic() + rnd.uniform(0, jitter)
        sock = ex.connection.sock
        pending = getattr(sock, "pending", lambda: 0)
        ready = select.poll()
        ready.register(sock, select.POLLIN)
        while not (ex.connection.buffer or pending()):
            left = limit - time.monotonic()
            if left <= 0:
                closed[0] += 1
                ex.close(notify=rnd.random() < 0.5)
                return
            if ready.poll(left * 1000):
                return

    upstream.on("race", handler)
    pause = threading.Event()
    ids = iter(range(posts))
    lock = threading.Lock()

    def run():
        failed = 0
        with d.client(timeout=60) as c:
            while True:
                with lock:
                    n = next(ids, None)
                if n is None:
                    return failed
                r = c.request("POST", target("race"), [SERVICE, *headers], b"%d" % n)
                failed += r.status != 200 or not r.whole
                pause.wait(rnd.uniform(0, jitter))  # never set: a pause that can be none

    results = gather([run] * clients, timeout=3600)
    failures = [r for r in results if not isinstance(r, int)]
    assert not failures, failures
    count = collections.Counter(r.body for r in upstream.of("race"))
    return {"sent": posts, "arrived": len(count), "twice": sum(n > 1 for n in count.values()),
            "failed": sum(results), "closed": closed[0]}


if __name__ == "__main__":
    from soak import rig  # pytest's own fixtures do this elsewhere
    posts = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    jitter = float(sys.argv[2]) if len(sys.argv) > 2 else 0.2
    with rig(pool={"connection_pool_maxsize": 32}) as (d, upstream):
        start = time.monotonic()
        result = race(d, upstream, posts, 32, jitter, [ONCE] if "once" in sys.argv else [])
        print(result, "in %.1f s," % (time.monotonic() - start),
              "%d tried again" % metric(d, "sigferry_retries_total"))
        sys.exit(0 if result["arrived"] == posts and not result["twice"] + result["failed"] else 1)
