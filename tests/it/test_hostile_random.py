# SPDX-License-Identifier: Apache-2.0
"""Requests made from a grammar and then broken, by a generator that can be repeated: SIGFERRY_SEED
chooses another run, SIGFERRY_HOSTILE how many (2,000). Whatever is sent: no crash, no hang beyond the
deadline, no second answer to one request, nothing behind a refusal that closes, and upstream only
requests that are well-formed, signed and asked for by somebody, each once."""

import concurrent.futures
import os
import random
import re
import socket
import threading

import pytest

import signer
from checks import assert_ok
from daemon import SLOW, seconds

SEED = int(os.environ.get("SIGFERRY_SEED") or 20261121)
COUNT = int(os.environ.get("SIGFERRY_HOSTILE") or (2000 if SLOW == 1 else 300))
THREADS = 16

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
HOP = {"connection", "keep-alive", "te", "trailer", "upgrade", "expect", "via", "forwarded", "x-real-ip",
       "proxy-authorization", "proxy-connection"}
ODD = [b"\0", b"\r", b"\n", b"\t", b" ", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b";", b",", b"\r\n", b"\r\n ",
       b"\n\n", b"%00", b"%0d%0a", b"%", b"#", b"?", b"/", b"\\", b"\"", b"\xe2\x80\xae", b"..", b"{", b"\x1b[2J"]
LENGTHS = [b"5", b"0", b"05", b"+5", b"-5", b"5 ", b" 5", b"5,5", b"5;", b"0x5", b"5.0", b"5e1", b"", b"\x005",
           b"99999999999999999999", b"18446744073709551615", b"18446744073709551621", b"5\t", b"\xef\xbc\x95"]
CODINGS = [b"chunked", b"Chunked", b" chunked", b"chunked ", b"gzip, chunked", b"chunked, gzip", b"identity",
           b"xchunked", b"chunked;q=1", b",chunked", b"chunked,", b"\x0bchunked", b"cow", b"", b"chunked\t"]
NAMES = [b"X-A", b"Cookie", b"Accept", b"X-Sigferry-Region", b"X-Date", b"Authorization", b"Content-Type",
         b"X-Content-Sha256", b"Host", b"Connection", b"TE", b"Trailer", b"Upgrade", b"Expect", b"Keep-Alive",
         b"Proxy-Authorization", b"X-Security-Token", b"Via", b"Content-MD5", b"Range", b"X-" + b"n" * 200, b"x_a"]
VALUES = [b"", b"a", b"close", b"keep-alive, X-Date", b"100-continue", b"trailers", b"h2c", b"a, b", b"\x80\xff",
          b"x" * 3000, b"HMAC-SHA256 Credential=a/b/c/d/request", b"0" * 63, b"bytes=0-", b"\"", b" spaced "]
METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"get",
           b"G\xc9T", b"", b"A" * 40, b"GET GET", b"PRI"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1 ", b"", b"HTTP/11"]


class Case:
    """One connection's bytes. count: how many requests they may be read as."""

    def __init__(self, number, port):
        self.rnd = random.Random(SEED * 1000003 + number)
        self.number, self.port = number, port
        self.id, self.follower = "r%05d" % number, "s%05d" % number
        self.pieces = self.good(self.id)
        self.broken = []
        for _ in range(self.rnd.choice([0, 1, 1, 1, 2, 2, 3, 5])):
            breaker = self.rnd.choice(BREAKERS)
            breaker(self)
            self.broken.append(breaker.__name__)
        self.data = self.join()
        if self.rnd.random() < 0.3:
            self.data = self.flip(self.data)
        if self.rnd.random() < 0.08:
            self.data = self.data[:self.rnd.randrange(len(self.data) + 1)]
        self.data += self.tail()

    def good(self, key):
        rnd = self.rnd
        method = rnd.choice([b"GET", b"POST", b"POST", b"PUT", b"DELETE"])
        body = bytes(rnd.randrange(256) for _ in range(rnd.choice([0, 1, 5, 5, 100]))) if method != b"GET" else b""
        fields = [[b"Host", b"127.0.0.1:%d" % self.port], [b"X-Sigferry-Service", b"ecs"]]
        fields += [[rnd.choice(NAMES[:4]), rnd.choice(VALUES)] for _ in range(rnd.choice([0, 1, 3]))]
        fields = [f for f in fields if f[0] != b"X-Sigferry-Region"]
        chunks = None
        if body and rnd.random() < 0.4:
            fields.append([b"Transfer-Encoding", b"chunked"])
            cut = rnd.randrange(len(body) + 1)
            chunks = [c for c in (body[:cut], body[cut:]) if c]
        elif method != b"GET":
            fields.append([b"Content-Length", b"%d" % len(body)])
        if rnd.random() < 0.7:
            fields.append([b"Connection", b"close"])
        return {"method": method, "target": b"/?Action=Echo&Version=2020-04-01&Id=" + key.encode(),
                "version": b"HTTP/1.1", "fields": fields, "body": body, "chunks": chunks, "eol": b"\r\n", "colon": b": "}

    def join(self):
        p = self.pieces
        eol = p["eol"]
        head = p["method"] + b" " + p["target"] + b" " + p["version"] + eol
        head += b"".join(n + p["colon"] + v + eol for n, v in p["fields"]) + eol
        if p["chunks"] is None:
            return head + p["body"]
        return head + b"".join(self.size(len(c)) + b"\r\n" + c + b"\r\n" for c in p["chunks"]) + b"0\r\n\r\n"

    def size(self, n):
        return self.pieces.get("size", b"%x") % n

    def flip(self, data):
        rnd = self.rnd
        for _ in range(rnd.choice([1, 1, 2, 8])):
            at = rnd.randrange(len(data) + 1)
            kind = rnd.randrange(4)
            if kind == 0:
                data = data[:at] + rnd.choice(ODD) + data[at:]
            elif kind == 1:
                data = data[:at] + data[at + rnd.choice([1, 1, 2, 10]):]
            elif kind == 2 and data:
                data = data[:at] + bytes([rnd.randrange(256)]) + data[at + 1:]
            else:
                data = data[:at] + data[max(0, at - rnd.randrange(1, 30)):at] + data[at:]
        return data

    def tail(self):
        """Sometimes a second request that wants to be served, or to be smuggled."""
        if self.rnd.random() > 0.4:
            return b""
        return (b"GET /?Action=Echo&Version=2020-04-01&Id=%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                b"X-Sigferry-Service: ecs\r\nConnection: close\r\n\r\n" % (self.follower.encode(), self.port))

    def splits(self):
        data, out = self.data, []
        while data:
            n = self.rnd.choice([len(data), len(data), len(data), 1, 7, 100])
            out.append(data[:n])
            data = data[n:]
            if len(out) > 40:
                out.append(data)
                break
        return [o for o in out if o]


def breaks_method(c):
    c.pieces["method"] = c.rnd.choice(METHODS)


def breaks_version(c):
    c.pieces["version"] = c.rnd.choice(VERSIONS)


def breaks_target(c):
    t = c.pieces["target"]
    at = c.rnd.randrange(len(t) + 1)
    c.pieces["target"] = c.rnd.choice([
        t[:at] + c.rnd.choice(ODD) + t[at:], b"http://evil.example" + t, b"http://127.0.0.1:%d" % c.port + t, b"*", b"",
        t + b"#f", t + b"&Action=Second", b"/" + b"a" * 9000 + t, t[1:], b"//evil.example" + t, b"/..;" + t])


def breaks_host(c):
    c.pieces["fields"][0][1] = c.rnd.choice([b"", b"evil.example", b"localhost:1", b"a b", b"127.0.0.1:%d, evil" % c.port,
                                             b"iam.volcengineapi.com", b"[::1", b"127.0.0.1:%d\0" % c.port])


def breaks_framing(c):
    fields = c.pieces["fields"]
    c.rnd.choice([
        lambda: fields.append([b"Content-Length", c.rnd.choice(LENGTHS)]),
        lambda: fields.insert(1, [b"Content-Length", c.rnd.choice(LENGTHS)]),
        lambda: fields.append([b"Transfer-Encoding", c.rnd.choice(CODINGS)]),
        lambda: fields.insert(0, [b"Transfer-Encoding", c.rnd.choice(CODINGS)]),
        lambda: fields.append([c.rnd.choice([b"Content-Length ", b"Content-Length\t", b" Content-Length",
                                             b"Content_Length", b"Transfer-Encoding ", b"\0Transfer-Encoding"]), b"0"]),
    ])()


def breaks_chunks(c):
    c.pieces["size"] = c.rnd.choice([b"0%x", b"%x ", b" %x", b"0x%x", b"+%x", b"-%x", b"%x;a=b", b"%x;\n", b"f%x", b"%x\0",
                                     b"000000000000000000%x", b"%x", b"%X"])


def breaks_fields(c):
    for _ in range(c.rnd.choice([1, 1, 3, 120])):
        c.pieces["fields"].insert(c.rnd.randrange(len(c.pieces["fields"]) + 1),
                                  [c.rnd.choice(NAMES), c.rnd.choice(VALUES)])


def breaks_a_name(c):
    f = c.rnd.choice(c.pieces["fields"])
    at = c.rnd.randrange(len(f[0]) + 1)
    f[0] = f[0][:at] + c.rnd.choice(ODD) + f[0][at:]


def breaks_a_value(c):
    f = c.rnd.choice(c.pieces["fields"])
    at = c.rnd.randrange(len(f[1]) + 1)
    f[1] = f[1][:at] + c.rnd.choice(ODD) + f[1][at:]


def breaks_line_ends(c):
    c.pieces["eol"] = c.rnd.choice([b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n "])


def breaks_colons(c):
    c.pieces["colon"] = c.rnd.choice([b":", b" : ", b":\t", b" ", b"::", b":\0", b"=", b":\r\n "])


def repeats_a_field(c):
    c.pieces["fields"].append(list(c.rnd.choice(c.pieces["fields"])))


BREAKERS = [breaks_method, breaks_version, breaks_target, breaks_host, breaks_framing, breaks_framing, breaks_chunks,
            breaks_fields, breaks_a_name, breaks_a_value, breaks_line_ends, breaks_colons, repeats_a_field]


def answers_of(out):
    """Final answers: (status, header block), and whether each is the library's own page."""
    found = [(int(m[1]), m[2].lower()) for m in STATUS.finditer(out)]
    return [f for f in found if f[0] >= 200]


def play(case, d):
    with socket.create_connection(d.address, timeout=seconds(10)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out, closed = b"", False
        try:
            for piece in case.splits():
                s.sendall(piece)
        except OSError:
            pass
        try:
            while True:
                more = s.recv(65536)
                if not more:
                    closed = True
                    break
                out += more
        except TimeoutError:
            pass
        except OSError:
            closed = True
    return out, closed


def judge(case, out, closed):
    """What is wrong with the answers, or nothing. Every connection ends: by request or by deadline."""
    if not closed:
        return "not closed in time"
    got = answers_of(out)
    if len(got) == 2 and got[0] == got[1] and got[0][0] in (400, 413) and b"x-sigferry" not in got[0][1]:
        return ""  # libmicrohttpd's doubled refusal of a Content-Length
    asked = len(re.findall(rb"HTTP/1\.|Id=", case.data)) + case.data.count(b"\n\n") + case.data.count(b"\r\n\r\n")
    if len(got) > max(1, asked):
        return "%d answers to %d requests" % (len(got), asked)
    for i, (status, fields) in enumerate(got):
        if b"connection: close\r\n" in fields and i + 1 < len(got):
            return "an answer behind one that closes"
        if b"x-sigferry-error" in fields and status < 400:
            return "an error with status %d" % status
        if status == 501 and b"x-sigferry" not in fields and re.search(rb"(?i)\ntransfer-encoding:", case.data):
            continue  # libmicrohttpd 1.0.10's own refusal
        if status >= 500 and status not in (502, 503, 505):
            return "status %d" % status
    return ""


def judge_upstream(req):
    names = req.names()
    if HOP & set(names):
        return "hop-by-hop: %s" % (HOP & set(names))
    if names.count("content-length") + names.count("transfer-encoding") > 1:
        return "two framings"
    signed = [n for n in names if signer.is_signed(n)]
    if len(signed) != len(set(signed)):
        return "a signed name twice"
    if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", req.head) or re.search(rb"(?<!\r)\n|\r(?!\n)", req.head):
        return "control bytes in %r" % req.head
    if any(n.startswith("x-sigferry-") or n == "x-sigferry" for n in names):
        return "a header of ours"
    return ""


@pytest.fixture(scope="module")
def hasty(module_daemon):
    return module_daemon(workers=2, timeouts={"client_header_timeout": 0.3 * SLOW, "client_body_timeout": 0.3 * SLOW,
                                              "client_idle_timeout": 0.3 * SLOW})


def test_whatever_is_sent(hasty, upstream):
    faults, counts, lock = [], {}, threading.Lock()

    def one(number):
        case = Case(number, hasty.port)
        out, closed = play(case, hasty)
        fault = judge(case, out, closed)
        got = answers_of(out)
        with lock:
            key = got[0][0] if got else "silent"
            counts[key] = counts.get(key, 0) + 1
            if fault:
                faults.append((number, case.broken, fault, case.data[:400], out[:400]))
        return case, len(got)

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        played = list(pool.map(one, range(COUNT)))
    assert hasty.alive(), hasty.log[-3000:]
    seen = {}
    for r in list(upstream.requests):
        fault = judge_upstream(r)
        if fault:
            faults.append((r.target, fault))
        seen[r.query.get("Id")] = seen.get(r.query.get("Id"), 0) + 1
    for case, answers in played:
        if seen.get(case.id, 0) > 1 or seen.get(case.follower, 0) > 1:
            faults.append((case.number, "sent twice", case.data[:400]))
        if seen.get(case.follower) and answers < seen.get(case.id, 0) + 1:
            faults.append((case.number, "a request nobody got an answer to", case.data[:400]))
    print("%d hostile connections, seed %d: %s, %d requests upstream"
          % (COUNT, SEED, sorted(counts.items(), key=str), len(upstream.requests)))
    assert faults == [], "%d faults, the first: %r" % (len(faults), faults[:3])
    assert counts.get(200, 0) > COUNT / 20 and counts.get(400, 0) > COUNT / 20, counts
    for i in range(20):
        assert_ok(hasty.request("POST", "/?Action=Echo&Version=2020-04-01&Id=after%d" % i, body=b"x"))


def test_the_generator_repeats_itself():
    a, b = (b"".join(Case(n, 1).data for n in range(200)) for _ in range(2))
    assert a == b and len({bytes(Case(n, 1).data) for n in range(200)}) > 190
