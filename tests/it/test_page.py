# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser: it renews itself by its one script, or without scripts; fits a
phone; asks for nothing else. screenshots.py makes pictures of it."""

import base64
import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from browser import BROWSER, home, in_a_browser
from checks import assert_error, assert_ok, target
from client import Client, until
from daemon import seconds

NO_SCRIPTS = {"profile": {"default_content_setting_values": {"javascript": 2}}}


FRAME = b"""<!doctype html><title></title><main></main>
<iframe id=f width=%d height=2000 style="border:0" src="/"></iframe>
<script>f.onload = () => { document.title = "is " + f.contentDocument.documentElement.scrollWidth }</script>"""


def page(d, path="/"):
    with Client(d.admin, seconds(15)) as c:
        return assert_ok(c.request("GET", path))


class Mirror:
    """Serves the daemon's page, headers included, and marks how often it was asked for."""

    def __init__(self, d, csp=True):
        self.asked = asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                asked.append((self.path, self.headers.get("Sec-Fetch-Dest")))
                if self.path.startswith("/frame"):  # windows have a least width, frames have none
                    return self.answer({"Content-Type": "text/html"}, FRAME % int(self.path[6:]))
                if self.path != "/":
                    return self.send_error(404)
                r = page(d)
                body = r.body.replace(b"<main>", b"<main><p>turn %d</p>" % len(asked))
                policy = {"Content-Security-Policy": r.get("Content-Security-Policy")} if csp else {}
                self.answer({"Content-Type": r.get("Content-Type"), **policy}, body)

            def answer(self, head, body):
                self.send_response(200)
                for h in head.items():
                    self.send_header(*h)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d/" % self.server.server_address[1]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def dom(self, path="", virtual_ms=5000):
        try:
            return dom_of(self.url + path, virtual_ms)
        finally:
            self.stop()


def dom_of(url, virtual_ms=5000):
    """What the page has become after that time."""
    with home() as (directory, env):
        run = subprocess.run(
            [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + directory,
             "--virtual-time-budget=%d" % virtual_ms, "--dump-dom", url],
            capture_output=True, text=True, timeout=seconds(60), env=env)
    assert "<main>" in run.stdout, run.stdout + run.stderr
    return run.stdout


def test_the_script_is_the_one_that_the_policy_allows(shared):
    r = page(shared)
    scripts = re.findall(r"<script>(.*?)</script>", r.body.decode(), re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert "script-src 'sha256-%s';" % digest in r.get("Content-Security-Policy")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", r.body.decode())


@in_a_browser
def test_the_page_renews_itself(shared):
    m = Mirror(shared)
    dom = m.dom()
    assert int(re.search(r"turn (\d+)", dom)[1]) >= 2, m.asked
    own = [a for a in m.asked if a[0] == "/"]
    assert own[0] == ("/", "document") and {a[1] for a in own[1:]} == {"empty"}, m.asked
    assert {a[0] for a in m.asked} <= {"/", "/favicon.ico"}, m.asked
    assert '<body class="">' in dom  # not shown as lost


@in_a_browser
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_daemon_answers_its_own_script(shared, host):
    dom = dom_of("http://%s:%d/" % (host, shared.admin[1]))
    assert '<body class="">' in dom, "set once an answer has come"


@in_a_browser
def test_a_daemon_that_is_gone_is_said_to_be(daemon, upstream):
    d = daemon()
    m = Mirror(d)
    first = page(d)
    m.server.RequestHandlerClass.do_GET = lambda h: (
        m.asked.append((h.path, None)),
        h.send_response(200 if len(m.asked) == 1 else 503),
        [h.send_header(n, first.get(n)) for n in ("Content-Type", "Content-Security-Policy")],
        h.send_header("Content-Length", str(len(first.body))), h.end_headers(), h.wfile.write(first.body))
    assert '<body class="lost">' in m.dom()


@in_a_browser
def test_the_page_without_scripts(shared):
    m = Mirror(shared)
    with home() as (directory, env):
        os.mkdir(os.path.join(directory, "Default"))
        with open(os.path.join(directory, "Default", "Preferences"), "w", encoding="utf-8") as f:
            json.dump(NO_SCRIPTS, f)
        browser = subprocess.Popen(
            [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + directory,
             "--remote-debugging-port=0", m.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=env)
        try:
            until(lambda: len([a for a in m.asked if a[0] == "/"]) >= 2, seconds(40), "the page to be loaded again")
        finally:
            os.killpg(browser.pid, signal.SIGKILL)  # its own session: the browser and its helpers, nobody else
            browser.wait()
            m.stop()
    assert {a[1] for a in m.asked if a[0] == "/"} == {"document"}, m.asked


@in_a_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits(shared, upstream, width):
    """Nothing stands out to the right, with failures that have long reasons."""
    upstream.on("down", lambda ex: ex.error(503, "Busy", [("X-Tt-Logid", "2026" * 15)]))
    shared.request("GET", target("down"), [("X-Sigferry-Num-Max-Retries", "0")])
    shared.request("GET", "/?Action=%s&Version=2020-04-01" % ("LongAction" * 8), [("X-Sigferry-Region", "-" * 80)])
    dom = Mirror(shared, csp=False).dom("frame%d" % width, virtual_ms=1000)
    shown = int(re.search(r"<title>is (\d+)</title>", dom)[1])
    assert width - 20 < shown <= width, "with room for a scroll bar"


def failures(d, condition):
    """They are noted when the answer has gone out, a moment after the client has it."""
    def look():
        found = page(d, "/status").json["recent_failures"]
        return found if found and condition(found) else None
    return until(look, seconds(5), "the failures")


def test_recent_failures(daemon, upstream):
    """With their reason and request id, the newest first, no more than a page holds."""
    d = daemon()
    upstream.on("down", lambda ex: ex.error(503, "Busy", [("X-Tt-Logid", "logid-1")]))
    assert "Recent failures" not in page(d).body.decode()
    refused = assert_error(d.request("GET", target("%3Cx%3E"), [("Origin", "http://evil.example")]),
                           403, "OriginNotAllowed")
    r = d.request("GET", target("down"), [("X-Sigferry-Num-Max-Retries", "1")])
    assert r.status == 503
    first, second = failures(d, lambda all: len(all) == 2)
    assert (first["status"], first["code"], first["attempts"]) == (503, "", 2)
    assert (first["service"], first["region"], first["action"]) == ("ecs", "cn-beijing", "Echo")
    assert first["request_id"] == r.get("X-Sigferry-Request-Id") and first["upstream_request_id"] == "logid-1"
    assert (second["status"], second["code"], second["attempts"]) == (403, "OriginNotAllowed", 0)
    assert second["request_id"] == refused["RequestId"] and "evil.example" in second["reason"]
    html = page(d).body.decode()
    assert refused["RequestId"] in html and r.get("X-Sigferry-Request-Id") in html and "tried 2 times" in html
    for _ in range(30):
        last = d.request("GET", "/?Action=%00&Version=x", service=None)
    known = failures(d, lambda all: all[0]["request_id"] == last.get("X-Sigferry-Request-Id"))
    assert len(known) == 20


def test_latencies(daemon, upstream):
    d = daemon()
    assert page(d, "/status").json["latency_seconds"] == {"p50": None, "p90": None, "p99": None}
    release = upstream.event()
    upstream.on("slow", lambda ex: (release.wait(0.3), ex.reply(200, b"{}")))
    for n in range(20):
        assert_ok(d.request("GET", target("slow" if n == 0 else "fast")))
    q = page(d, "/status").json["latency_seconds"]
    assert q["p50"] <= q["p90"] < q["p99"] and 0.25 <= q["p99"], q
