# SPDX-License-Identifier: Apache-2.0
"""Hostile bytes as requests, and what is accepted as an outcome. Shared by the gate's tests.

A deviation is (reason, outcomes accepted besides the rule): what libmicrohttpd 0.9.75 consumes or
answers before the application sees it."""

import re

from checks import ECHO
from daemon import command, seconds

DOUBLE = ("libmicrohttpd answers a malformed Content-Length by itself and writes two heads before "
          "it closes", {"double"})
OWN_PAGE = "libmicrohttpd answers by itself, with its own page"


def library():
    """libmicrohttpd's version as numbers."""
    m = re.search(r"libmicrohttpd (\d+)\.(\d+)\.(\d+)", command("--version").stdout)
    return tuple(map(int, m.groups()))


# 0.9.75 hides these from applications, but not where its strings lie; from 1.0 on it refuses them,
# and more than it has to.
STRICT = library() >= (1, 0, 0)
SEEN = library() == (0, 9, 75) or STRICT
BARE_LF = None if SEEN else ("libmicrohttpd takes a bare LF as a line end", {"ok"})
FOLD = None if SEEN else ("libmicrohttpd glues a folded line to the field name", {"ok", "silent"})
NUL_TARGET = ("libmicrohttpd closes without an answer", {"silent"}) if STRICT else None
NUL = None if SEEN else ("libmicrohttpd cuts method, target or value at a NUL", {"ok", "silent", "double"})
NO_NAME = None if SEEN else ("libmicrohttpd drops a field without a name", {"ok"})


def raw(d, data, wait=5.0):
    """Sends bytes, reads until the daemon closes; (answers, closed, bytes)."""
    with d.client() as c:
        try:
            c.send(data)
        except OSError:
            pass
        out, closed = c.read_all(seconds(wait))
    return len(re.findall(rb"HTTP/1\.[01] \d{3}", out)), closed, out


def status_of(out):
    return int(out[9:12]) if out.startswith(b"HTTP/1.") else 0


def outcome(answers, closed, out):
    """One word for what happened."""
    status = status_of(out)
    if not out:
        return "silent" if closed else "hang"
    if answers == 1 and status >= 400:
        return "refused" if closed else "open"
    if answers == 2 and status >= 400 and closed:
        return "double"
    return "ok" if status == 200 else "other"


def refused(d, upstream, data, statuses=(400,), deviation=None, wait=5.0):
    """The bytes must end in exactly one of these answers and a closed connection."""
    answers, closed, out = raw(d, data, wait)
    got = outcome(answers, closed, out)
    if deviation and got in deviation[1]:
        assert "Smuggled" not in str([r.target for r in upstream.requests]), deviation[0]
        return
    assert got == "refused" and status_of(out) in statuses, (got, out[:600])
    assert upstream.requests == [], [r.target for r in upstream.requests]


def lines(d, *headers, first="GET %s HTTP/1.1" % ECHO, body=b"", host=True):
    """A head with the usual Host and service, and these raw lines."""
    start = [first] + (["Host: 127.0.0.1:%d" % d.port] if host else []) + ["X-Sigferry-Service: ecs"]
    return "\r\n".join(start + list(headers)).encode("latin-1") + b"\r\n\r\n" + body
