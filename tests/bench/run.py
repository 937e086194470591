#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a request costs: sigferry ($SIGFERRY, default build/sigferry) beside nginx and, when
it is found, haproxy, in turn, against one TLS upstream (nginx),
all on this machine. `make bench` runs all of it.

    run.py [--rounds N] [--seconds N] [--only REGEX | --aims] [--json FILE] [--svg FILE] [--doc FILE]
           [--quick] [--small-heads] [--sigv4 NAME=PATH]...

--aims: only what the table of aims needs. --doc: puts that table and all figures, those that --json
holds from earlier runs among them, into docs/PERFORMANCE.md.

--small-heads: sigferry a second time with limits.max_header = "8K", half of the default. --sigv4: a
build of aws-sigv4-proxy, measured under this name.

--json takes the results up into FILE, beside those of earlier runs, so that scenarios may be
measured one by one. --quick runs a little of everything in a few seconds: a test of this program,
not a measurement."""

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import aims  # noqa: E402
import report  # noqa: E402
import scenarios as sc  # noqa: E402
import servers  # noqa: E402


class Run:
    """The proxies that run, the rounds, and what came of them: a list of results."""

    def __init__(self, bench, options):
        self.bench, self.o, self.results = bench, options, []
        self.versions = versions(bench)
        cpus = sorted(os.sched_getaffinity(0))
        self.cpus = {sc.ONE_CPU: ({cpus[0]}, {cpus[0]})}  # of the proxy; of upstream and load
        if len(cpus) > 1:
            self.cpus[sc.OWN_CPU] = ({cpus[0]}, set(cpus[1:2]))
        self.all_cpus = set(cpus[:2])
        self.proxies = [s for s in (bench.proxy_nginx(),
                                    bench.proxy_haproxy() if options.haproxy else None,
                                    bench.proxy_sigferry(),
                                    self.small_heads() if options.small_heads else None) if s]
        self.proxies += [bench.proxy_sigv4(*named) for named in options.sigv4]

    def small_heads(self):
        return self.bench.proxy_sigferry("sigferry, max_header 8K", limits='max_header = "8K";')

    def wanted(self, name):
        return re.search(self.o.only, name)

    def place(self, proxies, where):
        """Pins everybody; returns the CPUs of the load."""
        own, rest = self.cpus[where]
        self.bench.upstream.pin(rest)
        for server in proxies:
            server.pin(own)
        return rest

    def rounds(self, name, where, proxies, measure):
        """measure(server) for each in turn, round after round; the order is turned each time, so
        that nobody always follows the same neighbour."""
        print("%s (%s)" % (name, where), end="", file=sys.stderr, flush=True)
        for n in range(self.o.rounds):
            for at in range(len(proxies)):
                server = proxies[(n + at) % len(proxies)]
                got = measure(server)
                self.results.append({"scenario": name, "where": where, "round": n,
                                     "server": server.name, **got})
                print(" .", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        self.save()

    def save(self):
        """After each scenario: a run that is broken off has not been in vain."""
        return merge(self.o.json, self.results, self.versions)

    def http(self, where, names):
        for name in names:
            if not self.wanted("%s, %s" % (name, where)):
                continue
            spec = sc.HTTP[name]
            cpus = self.place(self.proxies, where)
            for server in self.proxies if not self.o.quick else ():
                sc.warm(server, spec, self.o.warm, cpus)
            self.rounds(name, where, self.proxies, lambda s, spec=spec, cpus=cpus: sc.http_run(
                self.bench, s, spec, self.o.seconds, cpus))

    def queue(self):
        """Concurrency above the pool's limit: does it go on with the connections it has?"""
        name = "%d connections for %d clients" % (sc.QUEUE_POOL, sc.QUEUE_CLIENTS)
        if not self.wanted(name):
            return
        proxies = [self.bench.proxy_nginx("nginx", pool=sc.QUEUE_POOL),
                   self.bench.proxy_sigferry("sigferry", pool=sc.QUEUE_POOL)]
        cpus = self.place(proxies, sc.ONE_CPU)
        spec = (sc.QUEUE_CLIENTS, "GET", "/1k", 0)
        for server in proxies:
            sc.warm(server, spec, self.o.warm, cpus)
        self.rounds(name, sc.ONE_CPU, proxies, lambda s: sc.http_run(
            self.bench, s, spec, self.o.seconds, cpus, pool=sc.QUEUE_POOL))
        self.retire(proxies)

    def calls(self):
        for name in sc.CALLS if shutil.which("strace") else ():
            title = "system calls, %s" % name
            if not self.wanted(title):
                continue
            cpus = self.place(self.proxies, sc.ONE_CPU)
            for server in self.proxies:
                sc.warm(server, sc.HTTP[name], self.o.warm, cpus)
                got = sc.calls_run(self.bench, server, sc.HTTP[name], 2, cpus)
                self.results.append({"scenario": title, "where": sc.ONE_CPU, "round": 0,
                                     "server": server.name, **got})
            self.save()

    def hosts(self):
        name = "%d upstream hosts, c=64" % sc.HOSTS
        if not self.wanted(name):
            return
        many = self.bench.proxy_sigferry("sigferry", pool=64, hosts=sc.HOSTS)
        cpus = self.place([many], sc.ONE_CPU)
        spec = (64, "GET", "/1k", 0)
        for n in (1, sc.HOSTS):
            names = [servers.many_host("s%d" % i) for i in range(n)]
            sc.warm(many, spec, self.o.warm, cpus, names)
            self.rounds("%d upstream host%s, c=64" % (n, "s" if n > 1 else ""), sc.ONE_CPU, [many],
                        lambda s, names=names: sc.http_run(self.bench, s, spec, self.o.seconds,
                                                           cpus, names))
        self.retire([many])

    def parked(self):
        for n in self.o.parked:
            for c in (1, 64):
                name = "%d parked requests, GET 1 KiB, c=%d" % (n, c)
                if not self.wanted(name):
                    continue
                server = self.bench.proxy_sigferry("sigferry", pool=64, hosts=2)
                cpus = self.place([server], sc.ONE_CPU)
                spec = (c, "GET", "/1k", 0)
                self.rounds(name, sc.ONE_CPU, [server],
                            lambda s, n=n, spec=spec, cpus=cpus: sc.parked_run(
                                self.bench, s, n, spec, self.o.seconds, cpus))
                self.retire([server])

    def workers(self):
        """Proxies, wrk and upstream share two CPUs."""
        for name in ("GET 1 KiB, c=64", "POST 16 KiB, c=64"):
            title = "workers, " + name
            if len(self.all_cpus) < 2 or not self.wanted(title):
                continue
            proxies = [self.bench.proxy_sigferry("sigferry, %d worker%s" % (n, "s" * (n > 1)),
                                                 workers=n) for n in (1, 2)]
            for server in proxies + [self.bench.upstream]:
                server.pin(self.all_cpus)
            for server in proxies:
                sc.warm(server, sc.HTTP[name], self.o.warm, self.all_cpus)
            self.rounds(title, "two CPUs", proxies, lambda s, name=name: sc.workers_run(
                self.bench, s, sc.HTTP[name], self.o.seconds, self.all_cpus))
            self.retire(proxies)

    def fresh(self, name, starters, measure):
        """Once, with proxies that have served nobody: memory is asked for."""
        if not self.wanted(name):
            return
        for start in starters:
            server = start()
            self.place([server], sc.ONE_CPU)
            self.results.append({"scenario": name, "where": sc.ONE_CPU, "round": 0,
                                 "server": server.name, **measure(server)})
            self.retire([server])
        self.save()

    def starters(self):
        b = self.bench
        return ([b.proxy_nginx] + ([b.proxy_haproxy] if self.o.haproxy else []) +
                [b.proxy_sigferry])

    def retire(self, proxies):
        for server in proxies:
            self.bench.retire(server)

    def everything(self):
        o, cpus = self.o, self.cpus[sc.ONE_CPU][1]
        self.http(sc.ONE_CPU, o.http)
        if sc.OWN_CPU in self.cpus:
            self.http(sc.OWN_CPU, [n for n in sc.APART if n in o.http])
        self.calls()
        self.queue()
        self.hosts()
        self.parked()
        self.workers()
        self.fresh("%d idle clients" % o.idle, self.starters() + [self.small_heads],
                   lambda s: sc.idle_run(s, o.idle, cpus))
        self.fresh("events to %d clients" % o.events, self.starters(),
                   lambda s: sc.events_run(s, o.events, 2 * o.seconds, cpus))


def parse():
    p = argparse.ArgumentParser(usage=__doc__, add_help=True)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=3)
    p.add_argument("--only", default="")
    p.add_argument("--json")
    p.add_argument("--svg")
    p.add_argument("--doc")
    p.add_argument("--aims", action="store_true")
    p.add_argument("--small-heads", action="store_true")
    p.add_argument("--sigv4", action="append", default=[], type=lambda v: v.split("=", 1))
    p.add_argument("--quick", action="store_true")
    o = p.parse_args()
    if o.aims:
        o.only = aims.WANTED
    o.warm, o.idle, o.events, o.parked = 1, servers.CLIENTS, 1000, (0, 1000, 5000)
    o.http, o.haproxy = list(sc.HTTP), shutil.which("haproxy") is not None
    if o.quick:
        o.rounds = o.seconds = 1
        o.idle, o.events, o.parked = 50, 20, (20,)
        o.haproxy = False
        o.only = "GET 1 KiB, c=16, one|POST 16 KiB, c=1, one|parked .* c=1$|idle|events"
    return o


def versions(bench):
    found = {"sigferry": servers.version([bench.binary, "--version"], r"([\d.]+)"),
             "nginx": servers.version([servers.NGINX_PATH, "-v"], r"nginx/([\d.]+)"),
             "wrk": servers.version(["wrk", "-v"], r"wrk \S*?([\d.]+)"),
             "OpenSSL": servers.version(["openssl", "version"], r"OpenSSL ([\w.]+)"),
             "Linux": os.uname().release}
    if shutil.which("haproxy"):
        found["haproxy"] = servers.version(["haproxy", "-v"], r"version ([\d.]+)")
    return found


def hash_us():
    """What SHA-256 of 1 MiB takes, done by the same library."""
    data, took = bytes(1 << 20), []
    for _ in range(20):
        began = time.thread_time()
        hashlib.sha256(data).digest()
        took.append(time.thread_time() - began)
    return report.median(took) * 1e6


def merge(path, results, found):
    """Results of scenarios that were measured before are replaced."""
    kept = []
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            kept = json.load(f)["results"]
    new = {(r["scenario"], r["where"]) for r in results}
    everything = {"versions": found, "hash_us": hash_us(),
                  "results": [r for r in kept if (r["scenario"], r["where"]) not in new] + results}
    if path:
        with open(path, "w", encoding="utf-8") as f:
            json.dump(everything, f, indent=0)
    return everything


def main():
    o = parse()
    binary = os.path.abspath(os.environ.get("SIGFERRY", "build/sigferry"))
    if not (shutil.which("wrk") and servers.NGINX_PATH and os.access(binary, os.X_OK)):
        print("skipped: needs wrk, nginx (Debian: apt-get install wrk nginx haproxy) and %s" % binary)
        return 77
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        bench = servers.Bench(directory, binary)
        try:
            run = Run(bench, o)
            run.everything()
            data = run.save()
        finally:
            bench.stop()
    print(aims.table(data))
    print(report.text(data))
    if o.doc:
        aims.into_document(o.doc, data, report.text(data))
    if o.svg:
        with open(o.svg, "w", encoding="utf-8") as f:
            f.write(report.svg(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
