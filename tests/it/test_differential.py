# SPDX-License-Identifier: Apache-2.0
"""Random requests through the daemon, against a second opinion: signer.py says how each must look at the
upstream (target, headers, body, scope) and whether its signature holds; of some, the daemon's own
canonical request is compared as text. SIGFERRY_SEED chooses other requests, SIGFERRY_DIFFERENTIAL how
many (1,500): `SIGFERRY_DIFFERENTIAL=100000 tests/it/run.sh test_differential.py -s` prints what it did."""

import collections
import concurrent.futures
import hashlib
import os
import random
import re
import time

import daemon as daemons
import signer
from checks import as_pairs
from client import Client, chunked
from daemon import SLOW, seconds

SEED = int(os.environ.get("SIGFERRY_SEED") or 20261122)
COUNT = int(os.environ.get("SIGFERRY_DIFFERENTIAL") or (1500 if SLOW == 1 else 200))
THREADS, BATCH = 8, 2000

METHODS = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]
SERVICES = ["ecs", "iam", "vpc", "rds_mysql", "redis", "cdn", "kms"]
REGIONS = ["cn-beijing", "cn-shanghai", "ap-southeast-1"]
PROFILES = {"default": (daemons.ACCESS_KEY, daemons.SECRET_KEY, None), "second": (*daemons.SECOND_KEY, None),
            "token": daemons.TOKEN_KEY}
FORBIDDEN = '"#<>\\^`{|}'
# What may stand in a target as it is: RFC 3986's characters, and bytes that clients forget to encode.
PLAIN = [chr(c) for c in range(0x21, 0x7F) if chr(c) not in FORBIDDEN + "%?&=/"] + [chr(c) for c in range(0x80, 0x100)]
VALUE = [chr(c) for c in [9, *range(0x20, 0x7F), *range(0x80, 0x100)]]
TOKEN = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")
NAMES = ["Accept", "User-Agent", "Cookie", "If-Match", "Range", "x-a", "X-A", "X-Amz-Date", "X-Custom", "Accept-Encoding",
         "Content-Language", "XDate", "Content-MD5", "Content-Type", "content-type", "Authorization-Info"]
DROPPED = {"via", "forwarded", "x-forwarded-for", "x-real-ip", "x-date", "x-security-token", "te", "keep-alive",
           "connection", "proxy-connection"}
MADE = {"host", "content-length", "transfer-encoding", "authorization", "x-date", "x-content-sha256",
        "x-security-token"}
BODIES = random.Random(SEED).randbytes(1 << 16)


class Case:
    """One request, and what must become of it."""

    def __init__(self, number):
        self.rnd = rnd = random.Random(SEED * 1000003 + number)
        self.id = "d%06d" % number
        self.refused = None
        self.method = rnd.choice(METHODS)
        self.path = "/" + "/".join(self.text("/:@", "=") for _ in range(rnd.choice([0, 1, 1, 2, 4])))
        pairs = ["Id=" + self.id, "Version=2020-04-01"] + ["Action=Echo"] * rnd.choice([0, 1, 1])
        pairs += [self.pair() for _ in range(rnd.choice([0, 0, 1, 2, 5, 30]))]
        rnd.shuffle(pairs)
        self.query = "&".join(pairs)
        if rnd.random() < 0.08:
            self.spoil()
        self.target = self.path + "?" + self.query
        self.service, self.region = rnd.choice(SERVICES), rnd.choice(REGIONS)
        self.profile = rnd.choice(list(PROFILES))
        at = rnd.randrange(len(BODIES))
        self.body = BODIES[at:at + rnd.choice([0, 0, 1, 10, 300, 20000])] if self.method not in ("GET", "HEAD") or \
            rnd.random() < 0.1 else b""
        self.sent = [self.field() for _ in range(rnd.choice([0, 1, 3, 8, 20]))]
        self.sent += [(rnd.choice(n), self.value(40)) for n in [("X-Twice", "x-twice"), ("Content-Type",)] if rnd.random() < 0.3]
        self.dry = rnd.random() < 0.1 and self.profile != "token" and self.method != "HEAD"

    def text(self, reserved, extra=""):
        """Raw bytes, escapes in both cases, and what servers like to interpret."""
        rnd = self.rnd
        kind = rnd.randrange(8)
        if kind == 0:
            return rnd.choice(["", ".", "..", "...", "~", "a+b", "%2e%2E", "%2F", "%25", "%E2%82%AC"])
        out = rnd.choices(PLAIN if kind < 4 else TOKEN[:62], k=rnd.choice([1, 3, 8, 25]))
        for _ in range(rnd.choice([0, 0, 1, 3])):
            escape = "%%%02X" % rnd.randrange(1, 256)
            out.insert(rnd.randrange(len(out) + 1), rnd.choice([escape, escape.lower(), *reserved, *extra]))
        return "".join(out)

    def pair(self):
        name, rnd = self.text("?/@:", "+"), self.rnd
        return rnd.choice(["", name, name + "=", "=" + name, name + "=" + self.text("?/", "=+"), "Filter.1=" + name, "a=b"])

    def spoil(self):
        """Something that must be refused, in path or query."""
        rnd = self.rnd
        broken = rnd.choice(["%", "%4", "%zz", "%G1", "%1g", "%%41", rnd.choice(FORBIDDEN), "%00"])
        in_query = rnd.random() < 0.5
        self.refused = "InvalidQuery" if in_query and broken[0] == "%" else "InvalidRequest"
        if broken == "%00" and in_query:
            self.refused = None
        if in_query:
            self.query += "&" + broken + rnd.choice(["", "=b", "&c=d"])
        else:
            self.path += rnd.choice(["", "/"]) + broken + rnd.choice(["", "/x", "-"])

    def value(self, most):
        rnd = self.rnd
        inner = "".join(rnd.choices(VALUE, k=rnd.choice([0, 1, 5, most])))
        return rnd.choice(["", " ", "\t "]) + inner + rnd.choice(["", " ", "  \t"])

    def field(self):
        rnd = self.rnd
        if rnd.random() < 0.1:
            return rnd.choice(sorted(DROPPED - {"connection", "te"})), "10.0.0.1"
        if rnd.random() < 0.5:
            return rnd.choice(NAMES), self.value(60)
        return rnd.choice(["X-", "x-", "Q"]) + "".join(rnd.choices(TOKEN, k=rnd.choice([1, 5, 30]))), self.value(60)

    def send(self, client):
        rnd, body = self.rnd, self.body
        options = [("X-Sigferry-Service", self.service), ("X-Sigferry-Region", self.region),
                   ("X-Sigferry-Profile", self.profile)]
        self.nominated = rnd.choice(self.sent)[0] if self.sent and rnd.random() < 0.1 else None
        if self.nominated:
            options.append(("Connection", "%s, keep-alive" % self.nominated))
        if self.dry:
            options.append(("X-Sigferry-Dry-Run", "true"))
        if rnd.random() < 0.15:
            options.append(("X-Content-Sha256", hashlib.sha256(body).hexdigest()))
        if body and rnd.random() < 0.3:
            cut = rnd.randrange(1, len(body) + 1)
            options.append(("Transfer-Encoding", "chunked"))
            body = chunked(*[p for p in (body[:cut], body[cut:]) if p])
        elif body:
            options.append(("Content-Length", str(len(body))))
        headers = list(self.sent)
        for option in options:
            headers.insert(rnd.randrange(len(headers) + 1), option)
        target = self.target if rnd.random() > 0.1 else "http://%s%s" % (client.host, self.target)
        return client.request(self.method, target, headers, body)

    # -- what must arrive ------------------------------------------------------------------------

    def headers(self):
        """{lower-case name: values} as they must go upstream, without those that are made there."""
        out = collections.defaultdict(list)
        for name, value in self.sent:
            low = name.lower()
            if low in DROPPED or low in MADE or (self.nominated and low == self.nominated.lower()):
                continue
            out[low].append(value.strip(" \t"))
        if "content-type" not in out and (self.method != "GET" or self.body):
            out["content-type"] = ["application/x-www-form-urlencoded; charset=utf-8"]
        return out

    def judge(self, request):
        """What is wrong with the request that arrived, or nothing."""
        want, got = self.headers(), collections.defaultdict(list)
        for name, value in request.headers:
            if name.lower() not in MADE:
                got[name.lower()].append(value)
        v = request.verdict
        if not v.ok:
            return v.why
        if request.method != self.method or request.target != signer.canonical_target(self.target):
            return "%s %r became %s %r" % (self.method, self.target, request.method, request.target)
        if request.sha256 != hashlib.sha256(self.body).hexdigest() or not request.complete:
            return "another body"
        if (v.access_key, v.service, v.region) != (PROFILES[self.profile][0], self.service, self.region):
            return "scope %s %s %s" % (v.access_key, v.service, v.region)
        for name in set(want) | set(got):
            wanted = [",".join(want[name])] if signer.is_signed(name) and name in want else want[name]
            if got[name] != wanted:
                return "%s: %r became %r" % (name, wanted, got[name])
        return ""

    def judge_dry(self, shown):
        """The daemon's own canonical request against signer.py's."""
        headers = as_pairs(shown["headers"])
        sent = [("Host", headers["host"]), ("X-Date", headers["x-date"])]
        sent += [(n, ",".join(v)) for n, v in self.headers().items()]
        chosen = {n.lower(): v for n, v in sent if signer.is_signed(n)}
        chosen["host"] = signer.signed_host(chosen["host"])
        digest = chosen["x-content-sha256"] = hashlib.sha256(self.body).hexdigest()
        want = signer.canonical_request(self.method, signer.canonical_path(self.path), signer.canonical_query(self.query),
                                        chosen, digest)
        # JSON can't show bytes that are no UTF-8: there only where they stand is compared.
        shown, want = (re.sub("[^\0-\x7f]+", "?", text) for text in (shown["canonical_request"], want))
        return "" if shown == want else "%r is not %r" % (shown, want)


def play(client, case, count):
    """Sends one; what is wrong with the answer, or nothing."""
    r = case.send(client)
    if case.refused:
        count["refused"] += 1
        return "" if (r.status, r.error) == (400, case.refused) else "%r, not %s" % (r, case.refused)
    if r.status != 200 or not r.whole:
        return repr(r)
    count["dry" if case.dry else case.method] += 1
    return case.judge_dry(r.json) if case.dry else ""


def run_some(address, cases, count):
    """On one connection, made anew when the daemon closed it."""
    faults, client = [], Client(address, seconds(20))
    for case in cases:
        try:
            fault = play(client, case, count)
        except Exception as e:
            fault = "%s: %s" % (type(e).__name__, e)
        if fault:
            faults.append((case.id, case.method, case.target, fault))
        if fault or case.refused:
            client.close()
            client = Client(address, seconds(20))
    client.close()
    return faults


def test_random_requests_against_a_second_signer(daemon, upstream):
    d = daemon(workers=2, log={"access": False}, client_side_validation=False)
    faults, count, start = [], collections.Counter(), time.monotonic()
    for first in range(0, COUNT, BATCH):
        cases = [Case(n) for n in range(first, min(first + BATCH, COUNT))]
        counts = [collections.Counter() for _ in range(THREADS)]
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            for found in pool.map(lambda i: run_some(d.address, cases[i::THREADS], counts[i]), range(THREADS)):
                faults += found
        count += sum(counts, collections.Counter())
        arrived = collections.defaultdict(list)
        for request in list(upstream.requests):
            arrived[request.query["Id"]].append(request)
        for case in cases:
            times = len(arrived[case.id])
            if times != (0 if case.refused or case.dry else 1):
                faults.append((case.id, case.method, case.target, "arrived %d times" % times))
            faults += [(case.id, case.method, case.target, f) for f in map(case.judge, arrived[case.id]) if f]
        assert faults == [], "seed %d, %d faults, the first: %r" % (SEED, len(faults), faults[:3])
        upstream.reset()
    print("%d requests, seed %d, %.0f s: %s" % (COUNT, SEED, time.monotonic() - start, dict(count)))
    assert count["refused"] > COUNT / 50 and count["dry"] > COUNT / 50 and count["GET"] > COUNT / 10, count


def test_the_generator_repeats_itself():
    a, b = ([Case(n).__dict__ for n in range(100)] for _ in range(2))
    for case in a + b:
        del case["rnd"]
    assert a == b and len({c["target"] for c in a}) == 100
