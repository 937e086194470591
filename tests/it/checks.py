# SPDX-License-Identifier: Apache-2.0
"""What several test files assert the same way."""

import http.client
import itertools
import json
import re
import socket
import ssl

import pytest

from daemon import seconds

# Actions the tests call; the upstream echoes unless a test scripts them.
ECHO = "/?Action=Echo&Version=2020-04-01"


HOSTS = itertools.cycle(
    (s, r) for r in ("ap-southeast-2", "ap-southeast-3") for s in (
        "alb", "ark", "bio", "cbr", "cfs", "clb", "cr", "dms", "efs", "emr", "flink", "kms", "mongodb",
        "redis", "sts", "vke", "vmp", "vod", "vpc", "vpn"))


def knows_localhost():
    try:
        return bool(socket.getaddrinfo("localhost", 80))
    except OSError:
        return False


# A bare chroot has no /etc/hosts, and the daemon asks the system for names.
needs_localhost = pytest.mark.skipif(not knows_localhost(),
                                     reason="the system's resolver does not know localhost")


# No label may have 64 letters: that there is no such name is known without asking anybody.
UNKNOWN_NAME = "a" * 64 + ".volcengineapi.com"


def hold(upstream, key="hold", body=b"{}"):
    """Requests of that key wait for the event that is returned."""
    held = upstream.event()
    upstream.on(key, lambda ex: (held.wait(60), ex.reply(200, body)))
    return held


def own_host():
    """Option headers that lead to an upstream host no test used lately: retries are budgeted by host."""
    name, region = next(HOSTS)
    return [("X-Sigferry-Service", name), ("X-Sigferry-Region", region)]


def target(key, extra=""):
    """A request target the upstream's script finds by key."""
    return "/?Action=Echo&Version=2020-04-01&Id=%s%s" % (key, extra)


def assert_error(r, status, code, mentions=()):
    """A daemon-made error in its one shape: status, header, JSON of the clouds' form."""
    assert (r.status, r.error) == (status, code), r
    assert r.whole and r.get("Content-Type", ).split(";")[0].strip() == "application/json", r
    meta = json.loads(r.body)["ResponseMetadata"]
    assert meta["Error"]["Code"] == "Sigferry." + code, meta
    assert meta["Error"]["Message"].strip(), meta
    assert meta["RequestId"] and r.get("X-Sigferry-Request-Id") == meta["RequestId"], (meta, r)
    if status == 503:
        assert r.get("Retry-After"), r
    for text in [mentions] if isinstance(mentions, str) else mentions:
        assert text.lower() in meta["Error"]["Message"].lower(), meta
    return meta


def assert_ok(r):
    assert r.status == 200 and r.error is None and r.whole, r
    return r


def assert_scope(request, service, region):
    assert request.verdict.ok, request.verdict.why
    assert (request.verdict.service, request.verdict.region) == (service, region)


def fetch_presigned(url, upstream, certs):
    """GETs a link from the upstream itself, as someone without the daemon would; (status, body)."""
    m = re.fullmatch(r"https://([^/]+)(/[^ ]*)", url)
    assert m, url
    context = ssl.create_default_context(cafile=str(certs.ca))
    raw = socket.create_connection(("127.0.0.1", upstream.port), timeout=seconds(10))
    with context.wrap_socket(raw, server_hostname=m[1]) as s:
        s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (m[2], m[1])).encode())
        r = http.client.HTTPResponse(s)
        r.begin()
        return r.status, r.read()


def as_pairs(headers):
    """The headers of a dry run, whichever JSON form they have, as a lower-cased dictionary."""
    items = headers.items() if isinstance(headers, dict) else [
        (h["name"], h["value"]) if isinstance(h, dict) else tuple(h) for h in headers]
    return {n.lower(): v for n, v in items}
