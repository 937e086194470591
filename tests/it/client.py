# SPDX-License-Identifier: Apache-2.0
"""The client side of the tests: raw sockets, and a thin layer that keeps what came over the wire."""

import http.client
import io
import json
import socket
import struct
import time

import leaks

http.client._MAXHEADERS = 1000  # its own limit of 100 must not hide what the daemon passes on


class Response:
    """A response read to its end. whole is False when it was cut short."""

    def __init__(self, raw):
        self.status, self.reason, self.version = raw.status, raw.reason, raw.version
        self.headers = raw.getheaders()
        self.whole = True
        try:
            self.body = raw.read()
        except (http.client.IncompleteRead, http.client.HTTPException) as e:
            self.body, self.whole = getattr(e, "partial", b""), False
        except OSError:
            self.body, self.whole = b"", False

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def result(self):
        return self.json["Result"]

    @property
    def error(self):
        return self.get("X-Sigferry-Error")

    @property
    def message(self):
        return self.json["ResponseMetadata"]["Error"]["Message"]

    def __repr__(self):
        return "<%d %s %r>" % (self.status, self.headers, self.body[:300])


class Kept:
    """What http.client takes for a socket: every response reads from the same buffered file, so
    that nothing of a pipelined answer is lost."""

    def __init__(self, file):
        self.file = file

    def makefile(self, *_):
        return self

    def close(self):
        pass

    def __getattr__(self, name):
        return getattr(self.file, name)


class Client:
    """One client connection. address: (host, port) or the path of a Unix socket."""

    def __init__(self, address, timeout=15):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
            self.host = "localhost"
        else:
            self.sock = socket.create_connection(address, timeout=timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = "[%s]" % address[0] if ":" in address[0] else address[0]
            self.host = "%s:%d" % (name, address[1])
        self.file = self.sock.makefile("rb")
        if leaks.ON:
            self.file = io.BufferedReader(leaks.Tee(self.sock.makefile("rb", 0), "an answer"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def head(self, method, target, headers=(), version="1.1", host=True):
        """The bytes of a request head. host: True the connection's own, None no Host field."""
        lines = ["%s %s HTTP/%s" % (method, target, version)]
        if host is not None:
            lines.append("Host: %s" % (self.host if host is True else host))
        lines += ["%s: %s" % h for h in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def begin(self, method="GET", target="/", headers=(), body=b"", host=True, version="1.1"):
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        names = [n.lower() for n, _ in headers]
        framed = "content-length" in names or "transfer-encoding" in names
        if not framed and (body or method in ("POST", "PUT", "PATCH")):
            headers.append(("Content-Length", str(len(body))))
        self.send(self.head(method, target, headers, version, host) + body)

    def response(self, method="GET"):
        """The next response, read to its end."""
        return Response(self.response_head(method))

    def response_head(self, method="GET"):
        """Reads the head; returns http.client's object, whose read1() gives the body as it comes."""
        raw = http.client.HTTPResponse(Kept(self.file), method=method)
        raw.begin()
        return raw

    def request(self, method="GET", target="/", headers=(), body=b"", host=True, version="1.1"):
        self.begin(method, target, headers, body, host, version)
        return self.response(method)

    def read_all(self, timeout=None):
        """Everything until the peer closes; (bytes, closed)."""
        if timeout is not None:
            self.sock.settimeout(timeout)
        out = b""
        try:
            while True:
                data = self.file.read1(65536)
                if not data:
                    return out, True
                out += data
        except TimeoutError:
            return out, False
        except ConnectionError:
            return out, True

    def read_until(self, mark):
        out = b""
        while mark not in out:
            data = self.file.read1(65536)
            if not data:
                raise AssertionError("closed before %r: %r" % (mark, out))
            out += data
        return out


def chunked(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


def until(condition, timeout=10, what="a condition"):
    """Polls what can't be waited for (another process' state); the last resort."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %.1f s in vain for %s" % (timeout, what))
        time.sleep(0.01)
