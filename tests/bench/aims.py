# SPDX-License-Identifier: Apache-2.0
"""What is aimed at, and whether a run reached it: a table in Markdown. Rows of which the results hold
nothing are left out."""

import re

from report import median, ratio

ONE, OWN = "one CPU", "own CPU"
GO, GO_RAISED = "aws-sigv4-proxy", "aws-sigv4-proxy, pool raised"  # names for --sigv4
WANTED = (r"^GET 1 KiB, c=(1|64|256), one|^POST (1|16) KiB, c=64, one|^1 MiB (down|up), c=4, one|"
          r"^100 ms upstream|^GET 1 KiB, c=64, own|^\d+ connections for|idle clients|^workers")


class Results:
    def __init__(self, data):
        self.data, self.hash_us = data["results"], data.get("hash_us")

    def group(self, scenario, where):
        return [r for r in self.data
                if re.fullmatch(scenario, r["scenario"]) and r["where"] == where]

    def value(self, scenario, where, server, key):
        """The median over the rounds; None when it was not measured."""
        found = [r[key] for r in self.group(scenario, where) if r["server"] == server]
        return median(found) if found else None

    def cpu(self, scenario):
        """CPU time as a ratio to nginx, and what it is made of."""
        q = ratio(self.group(scenario, ONE), "sigferry", "cpu")
        if q is None:
            return None
        ours, theirs = (self.value(scenario, ONE, s, "cpu") for s in ("sigferry", "nginx"))
        return q, "%.2f (%.1f µs to %.1f)" % (q, ours, theirs)

    def of_nginx(self, scenario, where, key):
        q = ratio(self.group(scenario, where), "sigferry", key)
        return q if q is None else (q, "%.2f" % q)

    def plain(self, scenario, where, server, key, form, scale=1):
        v = self.value(scenario, where, server, key)
        return v if v is None else (v / scale, form % (v / scale))

    def added_p50(self):
        ours, theirs = (self.value("GET 1 KiB, c=1", ONE, s, "p50") for s in ("sigferry", "nginx"))
        return ours if ours is None else (ours - theirs, "%.0f µs" % (ours - theirs))

    def times_ours(self, server):
        ours, theirs = (self.value("GET 1 KiB, c=64", ONE, s, "cpu") for s in ("sigferry", server))
        return theirs if not ours or not theirs else (theirs / ours, "%.1f" % (theirs / ours))

    def up_without_hash(self):
        group = self.group("1 MiB up, c=4", ONE)
        q = ratio(group, "sigferry", "cpu")
        if q is None or not self.hash_us:
            return None
        bare = [dict(r, cpu=r["cpu"] - self.hash_us * (r["server"] == "sigferry")) for r in group]
        without = ratio(bare, "sigferry", "cpu")
        return without, "%.2f (with it %.2f)" % (without, q)

    def two_workers(self, name):
        """Beside what it is: the most it can be, as the CPUs are shared with upstream and wrk."""
        group = self.group("workers, " + re.escape(name), "two CPUs")
        one, two = ({r["round"]: r for r in group if r["server"].endswith(s)}
                    for s in ("1 worker", "2 workers"))
        if not one or "rest" not in next(iter(one.values())):
            return None
        q = median([two[n]["rps"] / one[n]["rps"] for n in one])
        cpu, rest = (median([r[key] for r in one.values()]) for key in ("cpu", "rest"))
        most = 2 / (cpu + rest) / min(1 / cpu, 1 / rest, 2 / (cpu + rest))
        return q, "%.2f; possible here: %.2f (%.0f µs of %.0f are the worker's)" % (
            q, most, cpu, cpu + rest)


def rows(data):
    r = Results(data)
    get64 = "GET 1 KiB, c=64"
    for name, aim in (("GET 1 KiB, c=1", 1.15), (get64, 1.15), ("GET 1 KiB, c=256", 1.10),
                      ("POST 1 KiB, c=64", 1.25), ("POST 16 KiB, c=64", 1.5)):
        yield name + ": CPU ÷ nginx", "≤ %.2f" % aim, r.cpu(name)
    yield "GET 1 KiB, c=1: p50 above nginx's", "≤ 3 µs", r.added_p50()
    yield get64 + ", own CPU: requests/s ÷ nginx", "≥ 0.95", r.of_nginx(get64, OWN, "rps")
    yield "the same: p99 ÷ nginx", "≤ 1.0", r.of_nginx(get64, OWN, "p99")
    yield get64 + ": CPU of aws-sigv4-proxy ÷ ours", "≥ 25", r.times_ours(GO)
    yield get64 + ": CPU of aws-sigv4-proxy, pool raised ÷ ours", "≥ 4", r.times_ours(GO_RAISED)
    yield "1 MiB down, c=4: CPU ÷ nginx", "≤ 1.0", r.cpu("1 MiB down, c=4")
    yield ("1 MiB up, c=4, without the hash (%.0f µs): CPU ÷ nginx" % (r.hash_us or 0), "≤ 1.3",
           r.up_without_hash())
    yield "100 ms upstream, c=2000: CPU ÷ nginx", "–", r.cpu("100 ms upstream, c=2000")
    queue = r"\d+ connections for \d+ clients"
    yield ("64 connections for 256 clients: handshakes in steady state", "≤ 0",
           r.plain(queue, ONE, "sigferry", "connects", "%.0f"))
    idle = r"\d+ idle clients"
    yield ("an idle client, KiB (pool 16 KiB)", "≤ 17",
           r.plain(idle, ONE, "sigferry", "after", "%.1f"))
    yield ("an idle client, KiB (pool 8 KiB)", "≤ 9",
           r.plain(idle, ONE, "sigferry, max_header 8K", "after", "%.1f"))
    yield ("resident memory at the start, MiB", "≤ 12",
           r.plain(idle, ONE, "sigferry", "start", "%.1f", 1024))
    for name in (get64, "POST 16 KiB, c=64"):
        yield ("%s: 2 workers ÷ 1, requests/s, with wrk and upstream on the same two CPUs" % name,
               "≥ 1.45", r.two_workers(name))


def reached(aim, value):
    """Of an aim as it is shown; what has none can't be missed."""
    sign, _, bound = aim.partition(" ")
    if not bound:
        return ""
    bound = float(bound.split()[0])
    return "yes" if (value <= bound if sign == "≤" else value >= bound) else "no"


def table(data):
    lines = ["| what | aim | measured | reached |", "|---|---|---|---|"]
    lines += ["| %s | %s | %s | %s |" % (what, aim, got[1], reached(aim, got[0]))
              for what, aim, got in rows(data) if got]
    return "\n".join(lines) + "\n"


def into_document(path, data, figures):
    """Puts this table and all figures where docs/PERFORMANCE.md has them."""
    with open(path, encoding="utf-8") as f:
        doc = f.read()
    for name, new in (("aims", table(data)), ("figures", figures)):
        begin, end = "<!-- %s -->\n" % name, "<!-- /%s -->" % name
        if doc.count(begin) != 1 or doc.count(end) != 1:
            raise SystemExit("%s has no place for the %s" % (path, name))
        doc = doc[:doc.index(begin) + len(begin)] + "\n" + new + "\n" + doc[doc.index(end):]
    with open(path, "w", encoding="utf-8") as f:
        f.write(doc)
