# SPDX-License-Identifier: Apache-2.0
"""Who may ask: Host, browsers, tokens, traces of other proxies (group E of the hostile cases)."""

import socket

import pytest

from checks import ECHO, assert_error, assert_ok
from daemon import seconds
from hostile import lines, raw, refused, status_of

TOKEN = "a-client-token-of-sufficient-length"


def test_no_host(shared, upstream):  # E1
    refused(shared, upstream, lines(shared, host=False), (400,))


def test_no_host_on_http_1_0(shared, upstream):  # E2
    data = lines(shared, host=False, first="GET %s HTTP/1.0" % ECHO)
    refused(shared, upstream, data, (400, 403))


@pytest.mark.parametrize("second", ["same", "iam.volcengineapi.com"])
def test_two_hosts(shared, upstream, second):  # E3
    value = "127.0.0.1:%d" % shared.port if second == "same" else second
    refused(shared, upstream, lines(shared, "Host: " + value), (400,))


@pytest.mark.parametrize("host", ["", "a b", "a,b", "u@localhost", "localhost/x", "[::1", "[::1]x",
                                  "localhost:", "localhost:x", "localhost:99999", ":80", "?", "a\tb"])
def test_a_malformed_host(shared, upstream, host):  # E4
    data = lines(shared, "Host: " + host, host=False)
    refused(shared, upstream, data, (400, 403))


@pytest.mark.parametrize("host", ["evil.test:PORT", "127.0.0.1.nip.io:PORT", "localhost.evil:PORT",
                                  "localhost:1", "127.0.0.1:1", "0.0.0.0:PORT", "localhost.:PORT",
                                  "127.1:PORT", "2130706433:PORT", "[::]:PORT", "[::ffff:127.0.0.1]:PORT"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_another_host(shared, upstream, host, method):  # E5-E8, E19
    host = host.replace("PORT", str(shared.port))
    assert_error(shared.request(method, ECHO, host=host), 403, "HostNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("host", ["LOCALHOST:PORT", "LocalHost:PORT"])
def test_the_own_name_in_another_case(shared, upstream, host):  # E9
    assert_ok(shared.request("GET", ECHO, host=host.replace("PORT", str(shared.port))))


def test_sec_fetch_mode_alone_is_node_not_a_browser(shared, upstream):  # E12
    assert_ok(shared.request("GET", ECHO, [("Sec-Fetch-Mode", "cors")]))


def test_a_preflight_gets_no_permission(shared, upstream):  # E14
    r = shared.request("OPTIONS", ECHO, [
        ("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "x-sigferry-service")])
    assert_error(r, 403, "OriginNotAllowed")
    assert not any(n.lower().startswith("access-control") for n, _ in r.headers)


@pytest.mark.parametrize("name", ["Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
                                  "X-Forwarded-Proto", "X-Real-IP"])
def test_traces_of_other_proxies_refused_on_request(daemon_refusing, upstream, name):  # E15
    r = daemon_refusing.request("GET", ECHO, [(name, "192.0.2.1")])
    assert r.status == 403 and r.error in ("HostNotAllowed", "ClientNotAllowed", "OriginNotAllowed"), r
    assert upstream.requests == []


@pytest.fixture(scope="module")
def daemon_refusing(module_daemon):
    return module_daemon(security={"reject_forwarded": True})


@pytest.fixture(scope="module")
def guarded(module_daemon):
    return module_daemon(security={"client_tokens": [TOKEN]})


@pytest.mark.parametrize("headers", [
    [], [("X-Sigferry-Token", TOKEN[:-1] + "X")], [("X-Sigferry-Token", TOKEN[:-1])],
    [("X-Sigferry-Token", TOKEN + "x")], [("X-Sigferry-Token", "")],
    [("Authorization", "Bearer wrong")], [("Authorization", "Basic " + TOKEN)],
    [("Authorization", TOKEN)]])
def test_without_the_token(guarded, upstream, headers):  # E16
    assert_error(guarded.request("GET", ECHO, headers), 403, "ClientNotAllowed")
    assert upstream.requests == []


def test_the_token_twice(guarded, upstream):  # E16
    r = guarded.request("GET", ECHO, [("X-Sigferry-Token", TOKEN), ("X-Sigferry-Token", "wrong")])
    assert r.status in (400, 403) and upstream.requests == []


@pytest.mark.parametrize("headers", [[("X-Sigferry-Token", TOKEN)],
                                     [("Authorization", "Bearer " + TOKEN)],
                                     [("Proxy-Authorization", "Bearer " + TOKEN)]])
def test_with_the_token(guarded, upstream, headers):
    assert_ok(guarded.request("GET", ECHO, headers))
    assert TOKEN.encode() not in upstream.one().head
    assert TOKEN not in guarded.log


def test_a_refused_upload_gets_no_100(guarded, upstream):  # F12
    with guarded.client() as c:
        c.send(c.head("POST", ECHO, [("X-Sigferry-Service", "ecs"), ("Content-Length", "5"),
                                     ("Expect", "100-continue")]))
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")
    assert upstream.requests == []


def test_a_plain_text_form_post_is_a_plain_request(shared, upstream):  # E17
    assert_ok(shared.request("POST", ECHO, [("Content-Type", "text/plain")], b"a=b"))


def test_the_same_on_a_unix_socket(daemon, upstream, tmp_path_factory):  # E18
    path = str(tmp_path_factory.mktemp("s") / "sock")
    d = daemon(listen=["unix:" + path])
    for header in (("Origin", "null"), ("Sec-Fetch-Site", "cross-site"), ("Referer", "http://x/")):
        assert_error(d.request("GET", ECHO, [header], address=path), 403, "OriginNotAllowed")
    assert_error(d.request("GET", ECHO, host="evil.test", address=path), 403, "HostNotAllowed")
    assert_ok(d.request("GET", ECHO, address=path))


def test_upgrade_is_ignored(shared, upstream):  # F7
    data = lines(shared, "Connection: Upgrade, close", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    answers, closed, out = raw(shared, data)
    assert (answers, closed, status_of(out)) == (1, True, 200)
    assert upstream.one().get("Upgrade") is None


def test_out_of_band_data_does_no_harm(shared, upstream):  # F21
    with shared.client() as c:
        c.send(lines(shared)[:20])
        c.sock.send(b"!", socket.MSG_OOB)
        try:
            c.sock.settimeout(seconds(0.5))
            c.send(lines(shared)[20:])
            c.sock.recv(100)
        except OSError:
            pass
    assert_ok(shared.request())
