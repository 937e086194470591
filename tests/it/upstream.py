# SPDX-License-Identifier: Apache-2.0
"""A scripted HTTP/1.1 upstream, TLS or plain, in threads of the test process.

It records every request byte for byte, verifies every signature with signer.py, counts connections
and attempts, and answers as a test's handler says: on(key, handler) is asked for requests whose
query carries Id=key, else Action=key; others get a JSON echo. A handler is called with an Exchange
and may send any bytes, wait for events, reset or close. No test needs to sleep: wait() blocks until
the record satisfies a condition, event() gives events that are set when the test ends.
"""

import hashlib
import json
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

import leaks
import signer

KEEP_BODY = 1 << 20
EMPTY = hashlib.sha256(b"").hexdigest()


class Gone(Exception):
    """The peer closed or reset the connection."""


@dataclass
class Request:
    connection: int
    head: bytes
    method: str
    target: str
    version: str
    headers: list
    body: bytes = b""
    body_len: int = 0
    sha256: str = EMPTY
    complete: bool = False
    attempt: int = 0
    verdict: signer.Verdict = None
    at: float = field(default_factory=time.monotonic)

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) < 2, "%s occurs %d times" % (name, len(values))
        return values[0] if values else None

    def names(self):
        return sorted(n.lower() for n, _ in self.headers)

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


class Connection:
    """Buffered bytes in both directions over one accepted socket."""

    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.buffer = b""
        self.closed = False

    def fill(self):
        try:
            data = self.sock.recv(65536)
        except (OSError, ValueError) as e:
            raise Gone(str(e)) from None
        if not data:
            raise Gone("end of stream")
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        head, _, self.buffer = self.buffer.partition(mark)
        return head + mark

    def take(self, most):
        if not self.buffer:
            self.fill()
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        return data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (OSError, ValueError) as e:
            raise Gone(str(e)) from None

    def close(self, notify=True):
        """notify: with TLS's close_notify; without, a bare FIN."""
        if self.closed:
            return
        self.closed = True
        if notify and isinstance(self.sock, ssl.SSLSocket):
            self.sock.settimeout(0)
            try:
                self.sock = self.sock.unwrap()
            except (OSError, ValueError):
                pass
        for act in (lambda: self.sock.shutdown(socket.SHUT_RDWR), self.sock.close):
            try:
                act()
            except OSError:
                pass

    def reset(self):
        """RST, dropping what is in flight."""
        if self.closed:
            return
        self.closed = True
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
        except OSError:
            pass


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, upstream, connection, request):
        self.upstream, self.connection, self.req = upstream, connection, request
        self.attempt = request.attempt
        self.digest = hashlib.sha256()
        self.chunked = (request.get("Transfer-Encoding") or "").lower() == "chunked"
        self.left = 0 if self.chunked else int(request.get("Content-Length") or 0)
        self.keep_alive = True
        if not self.chunked and not self.left:
            self.finish_body()

    def finish_body(self):
        self.req.complete = True
        self.req.sha256 = self.digest.hexdigest()

    def read(self, most=65536):
        """Some body bytes as they come, b"" at the end."""
        if self.req.complete:
            return b""
        if self.chunked and not self.left:
            line = self.connection.until(b"\r\n").split(b";")[0].strip()
            self.left = int(line, 16)
            if not self.left:
                while self.connection.until(b"\r\n") != b"\r\n":
                    pass
                self.finish_body()
                return b""
        data = self.connection.take(min(most, self.left))
        self.left -= len(data)
        self.digest.update(data)
        self.req.body_len += len(data)
        if len(self.req.body) < KEEP_BODY:
            self.req.body += data
        if not self.left:
            if self.chunked:
                self.connection.until(b"\r\n")
            else:
                self.finish_body()
        return data

    def read_all(self):
        while self.read():
            pass
        return self.req.body

    def send(self, data):
        self.connection.send(data.encode("latin-1") if isinstance(data, str) else data)

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, status=200, body=b"", headers=(), ctype="application/json", reason="OK"):
        head = "HTTP/1.1 %d %s\r\n" % (status, reason)
        if ctype:
            head += "Content-Type: %s\r\n" % ctype
        head += "".join("%s: %s\r\n" % h for h in headers)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        head += "Content-Length: %d\r\n\r\n" % len(body)
        self.send(head.encode("latin-1") + (b"" if self.req.method == "HEAD" else body))

    def error(self, status, code, headers=()):
        self.reply(status, error_body(code), headers)

    def stream_head(self, ctype="text/event-stream", headers=()):
        self.send("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n"
                  % (ctype, "".join("%s: %s\r\n" % h for h in headers)))

    def close(self, notify=True):
        self.keep_alive = False
        self.connection.close(notify)

    def reset(self):
        self.keep_alive = False
        self.connection.reset()

    def wait_gone(self, timeout=10):
        """True once the peer has closed; reads nothing else."""
        try:
            self.connection.sock.settimeout(timeout)
            while self.connection.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except (OSError, ValueError):
            pass
        return True


def error_body(code, message="made by the test upstream"):
    return {"ResponseMetadata": {"RequestId": "up-1", "Error": {"Code": code, "Message": message}}}


def echo(ex):
    req, v = ex.req, ex.req.verdict
    if req.method == "HEAD":
        ex.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n")
        return
    ex.reply(200, {
        "ResponseMetadata": {"RequestId": "up-1", "Action": req.query.get("Action"),
                             "Service": v.service, "Region": v.region},
        "Result": {"Method": req.method, "Target": req.target, "BodyLen": req.body_len,
                   "Sha256": req.sha256, "Attempt": req.attempt}})


class Upstream:
    """keys: {access key: (secret, token or None)}. hold: accept and say nothing, not even TLS.
    client_ca: clients must show a certificate of that authority. most_tls: the newest version."""

    def __init__(self, keys, pair=None, hold=False, client_ca=None, most_tls=None):
        self.keys, self.hold, self.tls = dict(keys), hold, None
        if pair:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*map(str, pair))
            if client_ca:
                self.tls.verify_mode = ssl.CERT_REQUIRED
                self.tls.load_verify_locations(str(client_ca))
            if most_tls:
                self.tls.maximum_version = most_tls
        self.changed = threading.Condition()
        self.sockets, self.events = set(), []
        self.requests, self.handlers, self.faults, self.tls_failures = [], {}, [], []
        self.accepted = self.open = 0
        self.resumed = []  # of each TLS connection: did it resume a session?
        self.max_requests = None
        self.counts, self.allow_bad_signature = {}, False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    # -- scripting ---------------------------------------------------------------------------

    def on(self, key, handler, early=False):
        """handler(exchange) answers requests with Id=key (or Action=key). early: called before the
        body is read and the signature judged."""
        self.handlers[key] = (handler, early)

    def event(self):
        """An event that is set when the test ends, so that no handler outlives it."""
        e = threading.Event()
        self.events.append(e)
        return e

    def reset(self):
        for e in self.events:
            e.set()
        with self.changed:
            self.events, self.requests, self.handlers = [], [], {}
            self.faults, self.tls_failures, self.counts = [], [], {}
            self.resumed = []
            self.accepted, self.max_requests, self.allow_bad_signature = 0, None, False

    def stop(self):
        self.reset()
        self.listener.shutdown(socket.SHUT_RDWR)  # or accept() would go on waiting, and the port be open
        self.listener.close()
        for s in list(self.sockets):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # -- the record --------------------------------------------------------------------------

    def of(self, key):
        with self.changed:
            return [r for r in self.requests if key in (r.query.get("Id"), r.query.get("Action"))]

    def one(self, key=None):
        found = self.of(key) if key else list(self.requests)
        assert len(found) == 1, "%d requests of %s" % (len(found), key)
        return found[0]

    def wait(self, condition, timeout=10, what="the upstream's record"):
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise AssertionError("waited %.1f s in vain for %s" % (timeout, what))

    def wait_request(self, key, n=1, timeout=10):
        self.wait(lambda: len([r for r in self.requests if key in r.query.values()]) >= n, timeout,
                  "request %d of %s" % (n, key))
        return self.of(key)[n - 1]

    def close_idle(self):
        """Ends every open connection at once."""
        for s in list(self.sockets):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # -- serving -----------------------------------------------------------------------------

    def accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.accepted += 1
                self.open += 1
                self.sockets.add(raw)
                number = self.accepted
                self.changed.notify_all()
            threading.Thread(target=self.serve, args=(raw, number), daemon=True).start()

    def serve(self, raw, number):
        sock = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.hold:
                while raw.recv(4096):
                    pass
                return
            if self.tls:
                try:
                    sock = self.tls.wrap_socket(raw, server_side=True)
                except (OSError, ValueError) as e:
                    with self.changed:
                        self.tls_failures.append(str(e))
                        self.changed.notify_all()
                    return
                with self.changed:
                    self.sockets.add(sock)
                    self.resumed.append(sock.session_reused)
            connection = Connection(sock, number)
            served = 0
            while self.one_exchange(connection):
                served += 1
                if self.max_requests and served >= self.max_requests:
                    break
            connection.close()
        except Gone:
            pass
        except OSError:
            pass
        except Exception as e:  # a handler's own failure must reach the test
            with self.changed:
                self.faults.append("%s: %s" % (type(e).__name__, e))
        finally:
            with self.changed:
                self.open -= 1
                self.sockets.discard(raw)
                self.sockets.discard(sock)
                self.changed.notify_all()
            try:
                sock.close()
            except OSError:
                pass

    def one_exchange(self, connection):
        while not connection.buffer:
            connection.fill()
        head = connection.until(b"\r\n\r\n")
        lines = head[:-4].split(b"\r\n")
        method, target, version = lines[0].decode("latin-1").split(" ")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name != name.strip() or not name:
                raise ValueError("malformed header line %r" % line)
            headers.append((name, value.strip(" \t")))
        request = Request(connection.number, head, method, target, version, headers)
        key = request.query.get("Id") or request.query.get("Action")
        with self.changed:
            handler, early = self.handlers.get(key, (echo, False))
            self.counts[key] = request.attempt = self.counts.get(key, 0) + 1
        ex = Exchange(self, connection, request)
        if not early:
            ex.read_all()
        self.judge(request)
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        if not request.verdict.ok and not early:
            ex.error(403, "SignatureDoesNotMatch")
            return True
        handler(ex)
        if early and not request.complete and ex.keep_alive:
            ex.read_all()
        if early:
            self.judge(request)
        return ex.keep_alive

    def judge(self, request):
        digest = request.sha256 if request.complete else None
        request.verdict = signer.verify(request.method, request.target, request.headers, digest,
                                        self.keys)
        if leaks.ON and request.verdict.ok:
            leaks.scope((request.get("X-Date") or request.query["X-Date"])[:8], request.verdict.region, request.verdict.service)
        if not request.verdict.ok and not self.allow_bad_signature:
            with self.changed:
                self.faults.append("%s %s: %s" % (request.method, request.target,
                                                  request.verdict.why))
