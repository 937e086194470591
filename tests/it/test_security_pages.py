# SPDX-License-Identifier: Apache-2.0
"""Web pages, rebound names and other proxies (T1, T2, T3, T5): the header sets that browsers send,
replayed. test_browser.py does the same with a real browser."""

import pytest

import daemon as daemons
from checks import ECHO, assert_error, assert_ok

CHROME = [("Connection", "keep-alive"),
          ("sec-ch-ua", '"Chromium";v="150", "Not=A?Brand";v="24"'), ("sec-ch-ua-mobile", "?0"),
          ("sec-ch-ua-platform", '"Linux"'), ("Upgrade-Insecure-Requests", "1"),
          ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36"),
          ("Accept-Encoding", "gzip, deflate, br, zstd"), ("Accept-Language", "en-US,en;q=0.9")]
PAGE = "https://evil.example"


def fetch_site(site, mode, dest, user=False):
    out = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]
    return out + ([("Sec-Fetch-User", "?1")] if user else [])


# What a page elsewhere can make a browser send (T1), and what the same page sends once its name was
# rebound to this machine, when everything is "same-origin" (T2).
BROWSERS = {
    "fetch cors": ("GET", [("Origin", PAGE), ("Referer", PAGE + "/")] + fetch_site("cross-site", "cors", "empty"), b""),
    "fetch no-cors": ("GET", [("Referer", PAGE + "/")] + fetch_site("cross-site", "no-cors", "empty"), b""),
    "fetch no-cors, no referrer": ("GET", fetch_site("cross-site", "no-cors", "empty"), b""),
    "fetch post text/plain": ("POST", [("Origin", PAGE), ("Content-Type", "text/plain;charset=UTF-8")]
                              + fetch_site("cross-site", "no-cors", "empty"), b"a=b"),
    "sendBeacon": ("POST", [("Origin", PAGE), ("Content-Type", "text/plain;charset=UTF-8"),
                            ("Referer", PAGE + "/")] + fetch_site("cross-site", "no-cors", "empty"), b"x"),
    "form post": ("POST", [("Origin", PAGE), ("Content-Type", "application/x-www-form-urlencoded"),
                           ("Referer", PAGE + "/")] + fetch_site("cross-site", "navigate", "document", True), b"a=b"),
    "form post, opaque origin": ("POST", [("Origin", "null"), ("Content-Type", "multipart/form-data; boundary=x")]
                                 + fetch_site("cross-site", "navigate", "document"), b"--x--"),
    "image": ("GET", [("Referer", PAGE + "/")] + fetch_site("cross-site", "no-cors", "image"), b""),
    "script": ("GET", [("Referer", PAGE + "/")] + fetch_site("cross-site", "no-cors", "script"), b""),
    "iframe": ("GET", [("Referer", PAGE + "/")] + fetch_site("cross-site", "navigate", "iframe"), b""),
    "link": ("GET", [("Referer", PAGE + "/")] + fetch_site("cross-site", "navigate", "document", True), b""),
    "typed into the bar": ("GET", fetch_site("none", "navigate", "document", True), b""),
    "another port of localhost": ("GET", [("Origin", "http://localhost:3000"), ("Referer", "http://localhost:3000/")]
                                  + fetch_site("same-site", "cors", "empty"), b""),
    "same origin by rebinding": ("GET", [("Referer", PAGE + "/")] + fetch_site("same-origin", "cors", "empty"), b""),
    "old browser, referrer only": ("GET", [("Referer", PAGE + "/")], b""),
    "old browser, form": ("POST", [("Origin", PAGE), ("Content-Type", "text/plain")], b"a=b"),
    "service worker": ("GET", [("Referer", PAGE + "/sw.js")] + fetch_site("cross-site", "cors", "empty"), b""),
    "preflight": ("OPTIONS", [("Origin", PAGE), ("Access-Control-Request-Method", "PUT"),
                              ("Access-Control-Request-Headers", "x-sigferry-service"),
                              ("Access-Control-Request-Private-Network", "true"), ("Sec-Fetch-Mode", "cors")], b""),
    "websocket": ("GET", [("Origin", PAGE), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                          ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], b""),
    "event source": ("GET", [("Origin", PAGE), ("Accept", "text/event-stream")]
                     + fetch_site("cross-site", "cors", "empty"), b""),
}


@pytest.mark.parametrize("what", BROWSERS)
@pytest.mark.parametrize("own", ["service header", "local name", "listener"])
def test_what_a_page_makes_a_browser_send(shared, upstream, daemon, what, own):
    method, headers, body = BROWSERS[what]
    d, host, service = shared, True, "ecs"
    if own == "local name":  # no header of ours needed: the page can name a service by a URL
        host, service = "ecs.cn-beijing.localhost:%d" % d.port, None
    elif own == "listener":
        d, service = daemon(service="ecs"), None
        host = "localhost:%d" % d.port
    r = d.request(method, ECHO, CHROME + headers, body, host=host, service=service)
    assert_error(r, 403, "OriginNotAllowed")
    for name, _ in r.headers:
        assert not name.lower().startswith("access-control"), r
    assert upstream.requests == []


@pytest.mark.parametrize("headers", [
    CHROME + [("Accept-Language", "en-US,en;q=0.9")],
    CHROME + [("Upgrade-Insecure-Requests", "1")],
], ids=["image", "navigation"])
def test_a_browser_whose_http_proxy_this_is(shared, upstream, headers):
    """To a browser http://ENDPOINT is no trustworthy address: it sends no Sec-Fetch-Site, and the page
    can keep Origin and Referer out."""
    url = "http://iam.volcengineapi.com/?Action=ListUsers&Version=2018-01-01"
    r = shared.request("GET", url, headers, host="iam.volcengineapi.com", service=None)
    assert_error(r, 403, "OriginNotAllowed", "http_proxy")
    assert upstream.requests == []
    for fine in ([("User-Agent", "curl/8.0")], [("User-Agent", "Mozilla/5.0 (library)")], [("Accept-Language", "en")]):
        assert_ok(shared.request("GET", url, fine, host="iam.volcengineapi.com", service=None))


def test_without_the_page_the_same_request_passes(shared, upstream):
    """The refusals above are for what the page adds, not for the rest."""
    assert_ok(shared.request("GET", ECHO, CHROME))


@pytest.mark.parametrize("path", ["/status", "/", "/metrics"])
@pytest.mark.parametrize("what", ["fetch cors", "fetch no-cors", "image", "iframe", "form post", "link",
                                  "old browser, referrer only", "another port of localhost"])
def test_pages_get_nothing_of_the_admin_address(shared, upstream, path, what):
    method, headers, body = BROWSERS[what]
    with shared.client(shared.admin) as c:
        r = c.request(method, path, headers, body)
    assert r.status in (403, 405) and b"sigferry_" not in r.body, r
    assert not any(n.lower().startswith("access-control") for n, _ in r.headers)


@pytest.mark.parametrize("headers", [[("Sec-Fetch-Site", "none")], [("Sec-Fetch-Site", "same-origin")], []])
def test_people_may_look_at_the_admin_address(shared, headers):
    with shared.client(shared.admin) as c:
        r = c.request("GET", "/", headers)
    assert r.status == 200 and "default-src 'none'" in r.get("Content-Security-Policy")
    assert r.get("X-Frame-Options") == "DENY" and r.get("Cache-Control") == "no-store"


def test_no_page_can_end_the_daemon(daemon):
    d = daemon(admin={"allow_quit": True})
    for what in ("form post", "fetch post text/plain", "typed into the bar", "same origin by rebinding"):
        method, headers, body = BROWSERS[what]
        with d.client(d.admin) as c:
            assert c.request("POST", "/quitquitquit", headers, body).status == 403
    with d.client(d.admin) as c:
        assert c.request("GET", "/quitquitquit").status == 405
    assert d.alive()


REBOUND = ["evil.test", "127.0.0.1.nip.io", "localtest.me", "localhost.evil", "evil.localhost.example",
           "localhost.", "a.b.localhost.", "0.0.0.0", "0", "127.1", "127.0.0.2", "0x7f000001", "2130706433",
           "[::]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "ecs.volcengineapi.com.evil.test",
           "xn--localhost-9za", "localhost%00", "LOCALHOST.EVIL.TEST", "wpad", "host.docker.internal"]


@pytest.mark.parametrize("name", REBOUND)
def test_rebound_names(shared, upstream, name):  # T2
    host = "%s:%d" % (name, shared.port)
    r = shared.request("GET", ECHO, host=host)
    assert r.status in (400, 403) and r.error in ("HostNotAllowed", "InvalidRequest"), r
    r = shared.request("GET", "http://%s%s" % (host, ECHO), host=host)
    assert r.status in (400, 403), r
    with shared.client(shared.admin) as c:
        r = c.request("GET", "/status", host="%s:%d" % (name, shared.admin[1]))
    assert r.status in (400, 403), r
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["evil.test", "0.0.0.0", "127.0.0.1.nip.io"])
def test_a_rebound_name_with_everything_right_otherwise(daemon, upstream, name):
    """Same-origin to the browser: custom headers are possible then, and don't help."""
    token = "t" * 32
    d = daemon(security={"client_tokens": [token]})
    r = d.request("GET", ECHO, [("X-Sigferry-Token", token)], host="%s:%d" % (name, d.port))
    assert_error(r, 403, "HostNotAllowed")
    assert upstream.requests == []


@pytest.mark.parametrize("origin,good", [
    ("https://good.example", True), ("https://good.example:443", False), ("http://good.example", False),
    ("https://good.example.evil", False), ("https://evilgood.example", False), ("null", False),
    ("https://good.example/", False), ("https://good.example@evil", False), ("", False),
    ("https://good.example https://evil.example", False), ("*", False), ("HTTPS://GOOD.EXAMPLE", True)])
def test_an_allowed_origin_is_one_origin_exactly(daemon, upstream, origin, good):
    d = daemon(security={"allowed_origins": ["https://good.example"]})
    r = d.request("GET", ECHO, [("Origin", origin), ("Sec-Fetch-Site", "cross-site")])
    assert r.status == (200 if good else 403), r
    assert not any(n.lower().startswith("access-control") for n, _ in r.headers)


def test_two_origins_are_none(daemon, upstream):
    d = daemon(security={"allowed_origins": ["https://good.example"]})
    for pair in (("https://good.example", "https://good.example"), ("https://good.example", PAGE),
                 (PAGE, "https://good.example")):
        r = d.request("GET", ECHO, [("Origin", o) for o in pair])
        assert_error(r, 403, "OriginNotAllowed")
    r = d.request("GET", ECHO, [("Referer", "https://good.example/"), ("Referer", PAGE)])
    assert_error(r, 403, "OriginNotAllowed")
    assert_error(d.request("GET", ECHO, [("Origin", PAGE), ("Referer", "https://good.example/")]), 403,
                 "OriginNotAllowed")
    assert upstream.requests == []


# -- T5: through another proxy -----------------------------------------------------------------

TRACES = [("Via", "1.1 other"), ("Forwarded", "for=192.0.2.1;host=evil;proto=https"),
          ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Host", "evil"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Port", "443"), ("X-Forwarded-Prefix", "/x"), ("X-Forwarded", "x"),
          ("X-Real-IP", "192.0.2.1"), ("x-forwarded-anything", "x")]


@pytest.mark.parametrize("trace", TRACES)
def test_traces_of_other_proxies(shared, upstream, daemon, trace):
    assert_ok(shared.request("GET", ECHO, [trace]))
    assert trace[0].lower() not in upstream.one().names()
    d = daemon(security={"reject_forwarded": True})
    assert_error(d.request("GET", ECHO, [trace]), 403, "ClientNotAllowed", "another proxy")
    assert len(upstream.requests) == 1


def test_hop_by_hop_names_do_not_hide_a_trace(daemon, upstream):
    d = daemon(security={"reject_forwarded": True})
    for headers in ([("Connection", "X-Forwarded-For"), ("X-Forwarded-For", "192.0.2.1")],
                    [("Connection", "close, Via"), ("VIA", "1.1 x")]):
        assert_error(d.request("GET", ECHO, headers), 403, "ClientNotAllowed")
    assert upstream.requests == []


def test_connection_cannot_take_away_what_is_signed_or_refused(shared, upstream):
    """A nominated field is dropped from what is forwarded; the rules saw it all the same."""
    r = shared.request("GET", ECHO, [("Connection", "Origin"), ("Origin", PAGE)])
    assert_error(r, 403, "OriginNotAllowed")
    r = assert_ok(shared.request("GET", ECHO, [("Connection", "Host, X-Date, Authorization, X-Content-Sha256")]))
    assert upstream.one().verdict.access_key == daemons.ACCESS_KEY
