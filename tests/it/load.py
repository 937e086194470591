# SPDX-License-Identifier: Apache-2.0
"""Clients that go on asking, and an exact account of what became of every request."""

import http.client
import threading

from checks import target
from client import Client
from daemon import seconds


class Load:
    """n clients, each request with an id of its own. kept: on kept-alive connections, made anew when
    they end. Outcomes by id: "ok", "shed" (503 with Retry-After), "refused" (no connection), "unheard"
    (closed without a byte of an answer), or what is wrong: "cut", or status and error."""

    def __init__(self, address, n, kept=True, key="load", service="ecs", body=b"body"):
        self.address, self.kept, self.key, self.body = address, kept, key, body
        self.service = ("X-Sigferry-Service", service)
        self.stopping, self.outcome, self.lock = threading.Event(), {}, threading.Lock()
        self.changed, self.next = threading.Condition(self.lock), 0
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(n)]
        for t in self.threads:
            t.start()

    def ask(self, client, n):
        """(outcome, the connection to go on with or None)"""
        try:
            client = client or Client(self.address, seconds(20))
        except OSError:
            return "refused", None
        try:
            client.begin("POST", target(self.key, "&N=%d" % n), [self.service], self.body)
            raw = client.response_head()
        except (http.client.HTTPException, OSError):
            client.close()
            return "unheard", None
        try:
            raw.read()
            whole = raw.isclosed()
        except (http.client.HTTPException, OSError):
            whole = False
        if not whole:
            outcome = "cut"
        elif raw.status == 200:
            outcome = "ok"
        elif raw.status == 503 and raw.getheader("Retry-After") and raw.getheader("X-Sigferry-Error"):
            outcome = "shed"
        else:
            outcome = "%d %s" % (raw.status, raw.getheader("X-Sigferry-Error"))
        if self.kept and whole and "close" not in (raw.getheader("Connection") or "").lower():
            return outcome, client
        client.close()
        return outcome, None

    def run(self):
        client = None
        while not self.stopping.is_set():
            with self.lock:
                n, self.next = self.next, self.next + 1
            outcome, client = self.ask(client, n)
            with self.changed:
                self.outcome[n] = outcome
                self.changed.notify_all()
            if outcome == "refused":
                self.stopping.wait(0.01)
        if client:
            client.close()

    def wait(self, n, timeout=30):
        """Until n more requests have come to an end."""
        with self.changed:
            goal = len(self.outcome) + n
            assert self.changed.wait_for(lambda: len(self.outcome) >= goal, seconds(timeout)), "no progress"

    def stop(self):
        """{outcome: ids}"""
        self.stopping.set()
        for t in self.threads:
            t.join(seconds(30))
        assert not any(t.is_alive() for t in self.threads), "a client hangs"
        out = {}
        for n, o in self.outcome.items():
            out.setdefault(o, set()).add(n)
        return out

    def arrived(self, upstream):
        """{id: times it arrived}"""
        count = {}
        for r in upstream.of(self.key):
            n = int(r.query["N"])
            count[n] = count.get(n, 0) + 1
        return count
