# SPDX-License-Identifier: Apache-2.0
"""What is measured. Each function makes one run against one proxy and returns what it measured;
run.py decides the order, report.py makes tables of it."""

import os
import re
import signal
import subprocess
import time

import load
import proc
import servers

ONE_CPU, OWN_CPU = "one CPU", "own CPU"  # where the proxy runs: with load and upstream, or apart

HTTP = {  # name: (connections, method, path, body bytes)
    "GET 1 KiB, c=1": (1, "GET", "/1k", 0),
    "GET 1 KiB, c=16": (16, "GET", "/1k", 0),
    "GET 1 KiB, c=64": (64, "GET", "/1k", 0),
    "GET 1 KiB, c=256": (256, "GET", "/1k", 0),
    "POST 1 KiB, c=1": (1, "POST", "/post", 1024),
    "POST 1 KiB, c=64": (64, "POST", "/post", 1024),
    "POST 16 KiB, c=1": (1, "POST", "/post", 16384),
    "POST 16 KiB, c=64": (64, "POST", "/post", 16384),
    "1 MiB down, c=4": (4, "GET", "/1m", 0),
    "1 MiB up, c=4": (4, "POST", "/post", 1 << 20),
    "100 ms upstream, c=2000": (2000, "GET", "/slow", 0),
}
APART = ["GET 1 KiB, c=64", "GET 1 KiB, c=256", "POST 1 KiB, c=64", "POST 16 KiB, c=64",
         "1 MiB down, c=4", "1 MiB up, c=4"]
CALLS = ["GET 1 KiB, c=1", "GET 1 KiB, c=64", "POST 16 KiB, c=1"]
QUEUE_POOL, QUEUE_CLIENTS = 64, 256
HOSTS = 100
PARKED_HOST = servers.many_host("parked")


def warm(server, spec, seconds, cpus, hosts=()):
    """Connections and buffers are there before it counts. Handshakes take a while: a millisecond or
    two each, on both sides, on the one CPU."""
    connections, method, path, body = spec
    load.wrk(server.url(path), connections, seconds + connections // 200, cpus, method, body,
             hosts=hosts)


def fill(bench, server, n, cpus, host=None):
    """As many idle upstream connections as there will be clients. A run of wrk ends in the middle of
    requests, and a proxy closes the upstream connection of a request that is broken off: without
    this, the next run would begin with handshakes, each as dear as dozens of requests. The answers
    wait until all have asked; but while there are handshakes, early answers make connections free
    for late requests: so it is done again until none is opened any more (or until it is plain that
    this proxy keeps fewer)."""
    held = load.Holder(server.port, n, "/slow" if n <= 256 else "/hold", cpus, host)
    before, now = 0, bench.upstream_accepts()
    for _ in range(20):
        held.ask("together", "answered")
        settle(server, 0.05)  # some are still being opened: others answered in their stead
        before, now = now, bench.upstream_accepts()
        if now - before == 1:  # the question itself
            break
    held.stop()


def http_run(bench, server, spec, seconds, cpus, hosts=(), pool=servers.POOL):
    """One run of wrk against one proxy, with the upstream connections it needs made before."""
    if len(hosts) < 2:  # with many hosts each run begins with a few handshakes
        fill(bench, server, min(spec[0], pool), cpus, *hosts)
    return wrk_run(bench, server, spec, seconds, cpus, hosts)


def wrk_run(bench, server, spec, seconds, cpus, hosts=()):
    connections, method, path, body = spec
    pids = server.pids()
    cpu = proc.cpu_ns(pids)
    got = load.wrk(server.url(path), connections, seconds, cpus, method, body, hosts=hosts,
                   count=bench.upstream_accepts)
    cpu = proc.cpu_ns(pids) - cpu
    accepts = got["counted"] - 1  # the question is a connection, too
    n = got["requests"]
    if got["errors"] or got["timeouts"] or n == 0:
        raise SystemExit("%s, %s: %s" % (server.name, spec, got))
    return {"rps": n * 1e6 / got["duration_us"], "p50": got["p50_us"], "p99": got["p99_us"],
            "cpu": cpu / 1000 / n, "load": got["cpu_us"] / n, "rss": proc.rss_kib(pids), "connects": accepts}


def calls_run(bench, server, spec, seconds, cpus):
    """System calls per request, as strace counts them."""
    out = os.path.join(bench.dir, "strace.out")
    pid = server.pids()[0]
    fill(bench, server, spec[0], cpus)
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(pid)],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not all(proc.tracer(t) for t in proc.tasks(pid)):
            if tracer.poll() is not None:
                raise SystemExit("strace can't attach to %s" % server.name)
            time.sleep(0.02)
        got = wrk_run(bench, server, spec, seconds, cpus)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)
    with open(out, encoding="ascii") as f:
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", f.read(), re.M)
    requests = got["rps"] * seconds
    calls = {name: int(n) / requests for n, name in rows if name != "total"}
    often = sorted((c for c in calls.items() if c[1] >= 0.05), key=lambda c: -c[1])
    return {"calls": sum(calls.values()), "which": ", ".join("%s %.1f" % c for c in often)}


def settle(server, step=0.2):
    """Waits until the proxy has taken all that was offered: until it uses no CPU any more. The
    worker's own second timers are less than a millisecond."""
    before = -10 ** 9
    while (now := proc.cpu_ns(server.pids())) - before > 500000:
        before = now
        time.sleep(step)


def idle_run(server, n, cpus):
    """KiB at the start, and for each of n clients: that have connected, and that wait after an
    answer. What serves 100 at a time is there before, upstream connections above all."""
    start = proc.rss_kib(server.pids())
    warm(server, (100, "GET", "/1k", 0), 1, cpus)
    base = proc.rss_kib(server.pids())
    held = load.Holder(server.port, n, "/1k", cpus)
    settle(server)
    connected = proc.rss_kib(server.pids())
    held.ask("answers", "answered")
    after = proc.rss_kib(server.pids())
    held.stop()
    return {"start": start, "connected": (connected - base) / n, "after": (after - base) / n}


def events_run(server, n, seconds, cpus):
    """n streams of events; CPU time for each piece that reaches a client."""
    start = proc.rss_kib(server.pids())
    held = load.Holder(server.port, n, "/events", cpus)
    held.ask("subscribe", "subscribed")
    cpu = proc.cpu_ns(server.pids())
    reads, _ = held.ask("read %g" % seconds, "read")
    cpu = proc.cpu_ns(server.pids()) - cpu
    rss = proc.rss_kib(server.pids()) - start
    held.stop()
    if reads < n * seconds / 4:
        raise SystemExit("%s: %d events only" % (server.name, reads))
    return {"rps": reads / seconds, "cpu": cpu / 1000 / reads, "rss": rss, "client": rss / n}


def workers_run(bench, server, spec, seconds, cpus):
    """What the upstream and wrk use of the CPUs they share with the workers as well: two workers
    can't do more than the CPUs have left."""
    before = proc.cpu_ns(bench.upstream.pids())
    got = http_run(bench, server, spec, seconds, cpus)
    upstream = proc.cpu_ns(bench.upstream.pids()) - before
    got["rest"] = upstream / 1000 / (got["rps"] * seconds) + got["load"]
    return got


def parked_run(bench, server, n, spec, seconds, cpus):
    """The same load while n requests to another host wait for their answers."""
    held = load.Holder(server.port, n, "/events", cpus, PARKED_HOST) if n else None
    if held:
        held.ask("send", "sent")
        settle(server)
    got = http_run(bench, server, spec, seconds, cpus, [servers.many_host("free")])
    if held:
        held.stop()
        settle(server)
    return got
