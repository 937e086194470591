# SPDX-License-Identifier: Apache-2.0
"""Everything at once: an upstream that resets, stalls, cuts answers short, is busy and closes; slow and
failing look-ups; steps of the clock; reloads, every third of a broken file; keys that rotate; clients that
leave. Every answer must be what the upstream's last word on that request says, nothing may arrive more
often than the daemon says it was tried, and descriptors, threads and memory must stay flat.

    SIGFERRY=build/sigferry python3 tests/it/soak_chaos.py [MINUTES [REQUESTS A SECOND]]

SIGFERRY_SEED chooses another run."""

import collections
import contextlib
import hashlib
import http.client
import os
import random
import sys
import tempfile
import threading
import time

import daemon as daemons
from checks import target
from client import Client, until
from daemon import seconds
from faults import SERVICE, Shim, leave, metric, metrics
from soak import rig
from test_dns import EAI_AGAIN, LATENCY, RESULT
from test_drain_reload import BROKEN, reload_once

SEED = int(os.environ.get("SIGFERRY_SEED") or 20261122)
CLIENTS, WORKERS = 12, 2
PIECES = random.Random(SEED).randbytes(1 << 20)
# What the upstream does to an attempt: (how often, name).
FATES = [(60, "ok"), (6, "503"), (4, "429"), (3, "500"), (5, "reset"), (4, "close"), (3, "half a head"), (2, "stall"),
         (4, "cut"), (2, "stall in the body"), (4, "ok and close"), (3, "drip")]
PASSED = ("503", "429", "500")
CUT = ("cut", "stall in the body")
GOOD = ("ok", "ok and close", "drip")


def body_of(n, kind):
    """The same bytes for request and answer n on both sides; sizes of all magnitudes."""
    rnd = random.Random("%d %d %s" % (SEED, n, kind))
    size = rnd.choice([0, 1, 100, 3000, 20000, 20000, 200000])
    at = rnd.randrange(len(PIECES) - size)
    return PIECES[at:at + size]


class Script:
    """The upstream's side, and its account of what it did: fates[n] in order of arrival."""

    def __init__(self, upstream):
        self.rnd, self.lock = random.Random(SEED), threading.Lock()
        self.fates, self.faults = collections.defaultdict(list), []
        upstream.on("chaos", self.play)
        self.upstream = upstream

    def play(self, ex):
        n = int(ex.req.query["N"])
        with self.lock:
            fate = self.rnd.choices([f for _, f in FATES], [w for w, _ in FATES])[0]
            self.fates[n].append(fate)
        if ex.req.body != body_of(n, "request"):
            self.faults.append("request %d arrived with another body" % n)
        with self.upstream.changed:
            self.upstream.requests.clear()  # an hour of them would not fit
        self.act(ex, fate, body_of(n, "answer"))

    def act(self, ex, fate, body):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n%s\r\n"
        if fate in PASSED:
            ex.reply(int(fate), b"busy", ctype="text/plain", headers=[("Retry-After", "0")] if fate == "429" else [])
        elif fate == "reset":
            ex.reset()
        elif fate == "close":
            ex.close()
        elif fate == "half a head":
            ex.send(b"HTTP/1.1 200 OK\r\nContent-Le")
            ex.close()
        elif fate == "stall":
            ex.wait_gone(30)
            ex.close()
        elif fate in CUT:
            ex.send(head % (len(body) + 10, b"") + body)
            if fate == "stall in the body":
                ex.wait_gone(30)
            ex.close()
        elif fate == "drip":
            ex.send(head % (len(body), b""))
            for i in range(0, len(body), 1 + len(body) // 5):
                ex.send(body[i:i + 1 + len(body) // 5])
                time.sleep(0.005)
        elif fate == "ok and close":
            ex.send(head % (len(body), b"Connection: close\r\n") + body)
            ex.close()
        else:
            ex.send(head % (len(body), b"") + body)


class Clients:
    """Ask for a while; outcome[n] is (what came, attempts) or None when the client left."""

    def __init__(self, d, rate):
        self.d, self.rate, self.stopping = d, rate, threading.Event()
        self.lock, self.next, self.outcome, self.faults = threading.Lock(), 0, {}, []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def run(self, i):
        rnd, client = random.Random("%d client %d" % (SEED, i)), None
        while not self.stopping.wait(rnd.uniform(0, 2) * CLIENTS / self.rate):
            with self.lock:
                n, self.next = self.next, self.next + 1
            client = client or Client(self.d.address, seconds(40))
            try:
                outcome, keep = self.ask(client, n, rnd)
            except Exception as e:
                self.faults.append("request %d: %s: %s" % (n, type(e).__name__, e))
                outcome, keep = None, False
            self.outcome[n] = outcome
            if not keep or rnd.random() < 0.1:
                client.close()
                client = None
        if client:
            client.close()

    def ask(self, client, n, rnd):
        """((status or "cut", error, body or None, attempts), may the connection be used again)"""
        body, streamed = body_of(n, "request"), rnd.random() < 0.2
        headers = [SERVICE] + ([("X-Content-Sha256", hashlib.sha256(body).hexdigest())] if streamed else [])
        if rnd.random() < 0.08:
            self.go(client, n, headers, body, rnd)
            return None, False
        client.begin("POST", target("chaos", "&N=%d" % n), headers, body)
        raw = client.response_head()
        attempts = int(raw.getheader("X-Sigferry-Attempts") or 0)
        try:
            got = raw.read()
        except http.client.IncompleteRead:
            return ("cut", None, None, attempts), False
        keep = (raw.getheader("Connection") or "").lower() != "close"
        return (raw.status, raw.getheader("X-Sigferry-Error"), got, attempts), keep

    def go(self, client, n, headers, body, rnd):
        """Leaves: in the middle of the body, while the answer is awaited, or in the middle of it."""
        head = client.head("POST", target("chaos", "&N=%d" % n), headers + [("Content-Length", str(len(body) + 1))])
        phase = rnd.choice(["body", "wait", "answer"])
        if phase == "body":
            client.send(head + body)
        else:
            client.begin("POST", target("chaos", "&N=%d" % n), headers, body)
        if phase == "answer":
            client.file.read1(100)
        leave(client, rnd.choice(["close", "reset"]))

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(seconds(60))
        assert not any(t.is_alive() for t in self.threads), "a client hangs"


class Operator:
    """Does something to the daemon every few seconds."""

    def __init__(self, d, keys, clock, dns):
        self.d, self.keys, self.clock, self.dns = d, keys, clock, dns
        self.rnd, self.done, self.faults = random.Random(SEED + 1), collections.Counter(), []
        self.text, self.key = daemons.config_text(d.settings), 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        acts = [self.reload, self.broken, self.rotate] + [self.step] * bool(self.clock) + [self.names] * bool(self.dns)
        while not self.stopping.wait(self.rnd.uniform(0.5, 3)):
            act = self.rnd.choice(acts)
            try:
                act()
            except Exception as e:
                self.faults.append("%s: %s: %s" % (act.__name__, type(e).__name__, str(e)[-300:]))
            self.done[act.__name__] += 1

    def reload(self):
        reload_once(self.d, self.text + "drain_timeout = %.1f;\n" % self.rnd.uniform(1, 9))

    def broken(self):
        reload_once(self.d, self.text + self.rnd.choice(BROKEN), works=False)
        reload_once(self.d, self.text)

    def rotate(self):
        self.key = 1 - self.key
        write_key(self.keys, self.key)

    def step(self):
        """Of the wall clock, within what a cloud takes; the daemon may also find itself back."""
        self.clock.set(1, self.rnd.randrange(-200, 200) * 10**9)

    def names(self):
        self.dns.set(LATENCY, self.rnd.choice([0, 200, 1500]))
        self.dns.set(RESULT, self.rnd.choice([0, 0, EAI_AGAIN]))

    def stop(self):
        self.stopping.set()
        self.thread.join(seconds(60))
        for shim in (self.clock, self.dns):
            for slot in range(2) if shim else ():
                shim.set(slot, 0)


def write_key(path, i):
    key = [(daemons.ACCESS_KEY, daemons.SECRET_KEY), daemons.SECOND_KEY][i]
    with open(path + ".new", "w", encoding="utf-8") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("access_key = %s\nsecret_key = %s\n" % key)
    os.rename(path + ".new", path)


def judge(n, outcome, fates):
    """What is wrong with what became of request n, or nothing."""
    if outcome is None:
        return ""
    status, error, body, attempts = outcome
    last = fates[-1] if fates else None
    if len(fates) > attempts:
        return "arrived %d times in %d attempts" % (len(fates), attempts)
    if status == 200:
        return "" if last in GOOD and body == body_of(n, "answer") else "200 with %d bytes after %s" % (len(body), fates)
    if status == "cut":
        return "" if last in CUT else "cut short after %s" % fates
    if error:
        # Of the daemon: it got no answer, or had none to wait for.
        fits = last not in GOOD if len(fates) == attempts else True
        return "" if fits and status in (502, 503, 504) else "%s %s after %s" % (status, error, fates)
    return "" if str(status) == last else "%s after %s" % (status, fates)


def sizes(d):
    return d.count_descriptors(), len(os.listdir("/proc/%d/task" % d.pid)), d.rss()


def soak(d, upstream, keys, clock, dns, minutes, rate):
    script, samples, start = Script(upstream), [], time.monotonic()
    clients, operator = Clients(d, rate), Operator(d, keys, clock, dns)
    while time.monotonic() < start + 60 * minutes:
        time.sleep(1)
        assert d.alive(), d.log[-3000:]
        samples.append(sizes(d))
    operator.stop()
    clients.stop()
    faults = clients.faults + operator.faults + script.faults
    counts = collections.Counter()
    for n, outcome in sorted(clients.outcome.items()):
        fault = judge(n, outcome, script.fates[n])
        faults += ["request %d: %s" % (n, fault)] * bool(fault)
        counts["left" if outcome is None else outcome[1] or outcome[0]] += 1
    until(lambda: metric(d, "sigferry_inflight_requests") == 0, seconds(40), "the last request")
    until(lambda: metric(d, "sigferry_buffered_bytes") == 0, seconds(5), "its bytes")
    # Every request that came is counted once; of those that left in the middle of a head none need be.
    total = sum(v for k, v in metrics(d).items() if k.startswith("sigferry_requests_total"))
    if not len(clients.outcome) - counts["left"] <= total <= len(clients.outcome):
        faults.append("%d requests counted, %d made" % (total, len(clients.outcome)))
    arrived = sum(map(len, script.fates.values()))
    print("%d requests in %.1f min, seed %d: %s" % (len(clients.outcome), minutes, SEED, dict(counts)))
    print("%d arrived: %s" % (arrived, dict(collections.Counter(f for v in script.fates.values() for f in v))))
    print("done to the daemon: %s" % dict(operator.done))
    return faults + flat(d, samples)


def flat(d, samples):
    """Faults of growth: the last quarter against the second."""
    quarter = len(samples) // 4
    early, late = samples[quarter:2 * quarter], samples[-quarter:]
    out = []
    for i, (name, unit, slack) in enumerate((("descriptors", 1, 40), ("threads", 1, 0), ("MiB of memory", 1 << 20, 8))):
        a, b = (max(s[i] for s in part) / unit for part in (early, late))
        print("%s: most in the second quarter %.0f, in the last %.0f" % (name, a, b))
        if b > a * 1.15 + slack:
            out.append("%s grew from %.0f to %.0f" % (name, a, b))
    return out


def main(minutes, rate):
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        keys, clock, dns, env = os.path.join(directory, "keys"), None, None, {}
        if not daemons.instrumented():
            clock, dns = Shim(directory, "clock_shim"), Shim(directory, "slow_getaddrinfo")
            env = {"LD_PRELOAD": "%s %s" % (clock.library, dns.library), "SHIM_PAGE": clock.page,
                   "DNS_SHIM_PAGE": dns.page}
        write_key(keys, 0)
        settings = {"workers": WORKERS, "profile": "rotating",
                    "profiles": {"rotating": {"provider": "file", "file": keys}},
                    "timeouts": {"read_timeout": 3.0, "connect_timeout": 5.0}, "log": {"access": False},
                    "retry": {"num_max_retries": 2, "min_retry_delay_ms": 5, "max_retry_delay_ms": 50},
                    "limits": {"body_memory": 65536}}
        d, upstream = stack.enter_context(rig(env=env, **settings))
        if dns:
            d.settings["connect_to"] = ["::up.test:%d" % upstream.port]
            reload_once(d, daemons.config_text(d.settings))
        faults = soak(d, upstream, keys, clock, dns, minutes, rate)
    for fault in faults[:20]:
        print("FAULT:", fault)
    print("%d faults" % len(faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 2, float(sys.argv[2]) if len(sys.argv) > 2 else 60))
