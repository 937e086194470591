# SPDX-License-Identifier: Apache-2.0
"""What gives out credentials, played by threads: the token service (STS), the instance metadata
service (version 2), the identity service and the portal behind browser logins.

One Fake listens twice, with TLS and without, and tells the services apart by path. Every answer can
be replaced: answer[name] is a function (request) -> (status, body) or None for the usual one; the
names are those of `route`. Credentials are numbered: the n-th one given out is KEY % n, its secret
is kept in `given`, so that an Upstream can verify what is signed with it.
"""

import hashlib
import http.server
import json
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass

import leaks
import signer

KEY = "AKTPfakefakefake%04d"
IMDS_TOKEN = "metadata-session-token"


def rfc3339(at, offset_min=480):
    sign = "-" if offset_min < 0 else "+"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at + offset_min * 60)) + "%s%02d:%02d" % (
        sign, abs(offset_min) // 60, abs(offset_min) % 60)


@dataclass
class Call:
    name: str
    method: str
    target: str
    headers: dict
    body: bytes
    tls: bool
    at: float

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True))


class Known(dict):
    """An upstream's keys: some of its own, and all that a fake gives out from now on."""

    def __init__(self, own, fake):
        super().__init__(own)
        self.fake = fake

    def __contains__(self, k):
        return dict.__contains__(self, k) or k in self.fake.given

    def __getitem__(self, k):
        return dict.__getitem__(self, k) if dict.__contains__(self, k) else self.fake.given[k]


def make_pair(certs):
    """A certificate for all hosts that give out credentials."""
    pair = certs.pair("tokens")
    if not pair[0].exists():
        certs.make("tokens", "ca", "DNS:*.volcengineapi.com,DNS:*.byteplusapi.com,"
                                   "DNS:signin.volcengine.com,DNS:*.cn-beijing.volces.com")
    return pair


def route(method, path, query):
    if path == "/":
        return query.get("Action", "?")
    if path == "/latest/api/token":
        return "imds-token"
    if path == "/volcstack/latest/iam/security_credentials":
        return "imds-roles"
    if path.startswith("/volcstack/latest/iam/security_credentials/"):
        return "imds-keys"
    return {"/token": "oauth-token", "/federation/credentials": "portal",
            "/authorize/oauth/token": "console-token"}.get(path, "?")


class Fake:
    """keys: {access key: (secret, token or None)} that may assume roles. lifetime: seconds that what
    is given out lives; offset_min: the time zone its expiry is written in."""

    def __init__(self, pair, keys=None):
        self.keys = dict(keys or {})
        self.lifetime, self.offset_min = 3600, 480
        self.calls, self.given, self.answer = [], {}, {}
        self.changed = threading.Condition()
        self.held = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, pair))
        self.servers = []
        for tls in (context, None):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler(bool(tls)))
            server.daemon_threads = True
            if tls:
                server.socket = tls.wrap_socket(server.socket, server_side=True,
                                                do_handshake_on_connect=False)
            self.servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.port, self.plain_port = (s.server_address[1] for s in self.servers)

    def connect_to(self, rest=None):
        """Settings that send every credential host here, and all others to rest."""
        return (["%s:443:127.0.0.1:%d" % (h, self.port) for h in (
                    "sts.volcengineapi.com", "sts.byteplusapi.com", "signin.volcengine.com",
                    "cloudidentity-oauth.cn-beijing.volces.com",
                    "cloudidentity-portal.cn-beijing.volces.com")]
                + ["%s:80:127.0.0.1:%d" % (h, self.plain_port) for h in (
                    "100.96.0.96", "sts.volcengineapi.com")]
                + (["::127.0.0.1:%d" % rest] if rest else []))

    def stop(self):
        self.held.set()
        for s in self.servers:
            s.shutdown()
            s.server_close()

    # -- the record --------------------------------------------------------------------------

    def of(self, name):
        with self.changed:
            return [c for c in self.calls if c.name == name]

    def wait(self, name, n=1, timeout=20):
        with self.changed:
            done = self.changed.wait_for(
                lambda: sum(c.name == name for c in self.calls) >= n, timeout)
        assert done, "waited for call %d of %s, got %s" % (n, name, [c.name for c in self.calls])
        return self.of(name)[n - 1]

    # -- answers -----------------------------------------------------------------------------

    def issue(self):
        """The next credential: (access key, secret, token, unix seconds of its end)."""
        with self.changed:
            n = len(self.given) + 1
            key = KEY % n
            secret = hashlib.sha256(key.encode()).hexdigest()
            self.given[key] = (secret, "session-token-%04d" % n)
            leaks.secret(secret, "a secret key given out")
            leaks.secret(self.given[key][1], "a session token given out")
            return key, secret, self.given[key][1], int(time.time()) + self.lifetime

    def sts(self, expiry):
        key, secret, token, until = self.issue()
        return 200, {"ResponseMetadata": {"RequestId": "fake-1"}, "Result": {"Credentials": {
            "AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token,
            expiry: rfc3339(until, self.offset_min)}}}

    def usual(self, call):
        if call.name == "AssumeRole":
            v = signer.verify(call.method, call.target, list(call.headers.items()),
                              hashlib.sha256(call.body).hexdigest(), {**self.keys, **self.given})
            if not v.ok or v.service != "sts":
                return 403, sts_error("SignatureDoesNotMatch", v.why)
            return self.sts("ExpiredTime")
        if call.name in ("AssumeRoleWithOIDC", "AssumeRoleWithSAML"):
            if "authorization" in {h.lower() for h in call.headers} or call.method != "POST":
                return 400, sts_error("InvalidRequest", "not an unsigned form")
            return self.sts("Expiration")
        if call.name == "imds-token":
            ttl = call.headers.get("X-volc-ecs-metadata-token-ttl-seconds")
            return (200, IMDS_TOKEN) if (call.method, ttl) == ("PUT", "21600") else (400, "")
        if call.name.startswith("imds-"):
            if call.headers.get("X-volc-ecs-metadata-token") != IMDS_TOKEN or call.tls:
                return 401, ""
            if call.name == "imds-roles":
                return 200, ["instance-role"]
            key, secret, token, until = self.issue()
            return 200, {"AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token,
                         "ExpiredTime": rfc3339(until, self.offset_min)}
        if call.name == "oauth-token":
            asked = json.loads(call.body)
            if asked.get("refresh_token") != "refresh-1" or asked.get("client_secret") != "client-s":
                return 400, {"error": "invalid_grant"}
            return 200, {"access_token": "access-2", "token_type": "Bearer", "expires_in": 600,
                         "refresh_token": "refresh-2"}
        if call.name == "portal":
            if call.headers.get("x-bd-cloudidentity-bearer-token") not in ("access-1", "access-2"):
                return 401, sts_error("Unauthorized", "")
            key, secret, token, until = self.issue()
            return 200, {"Result": {"RoleCredentials": {
                "AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token,
                "Expiration": until * 1000}}}
        if call.name == "console-token":
            if call.form.get("refresh_token") != "refresh-1":
                return 400, {"error": "invalid_grant"}
            key, secret, token, _ = self.issue()
            return 200, {"access_token": json.dumps({
                "access_key_id": key, "secret_access_key": secret, "session_token": token}),
                "expires_in": self.lifetime, "refresh_token": "refresh-2"}
        return 404, ""

    def hold(self, call):
        """An answer that never comes while the test runs."""
        self.held.wait(60)
        return 500, ""

    def handler(self, tls):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def serve(self):
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = Call(route(self.command, path, dict(urllib.parse.parse_qsl(query))),
                            self.command, self.path, dict(self.headers.items()), body, tls,
                            time.monotonic())
                with fake.changed:
                    fake.calls.append(call)
                    fake.changed.notify_all()
                    own = fake.answer.get(call.name)
                reply = own(call) if own else None
                status, body = reply if reply is not None else fake.usual(call)
                if not isinstance(body, (str, bytes)):
                    body = json.dumps(body)
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            do_GET = do_POST = do_PUT = serve

        return Handler


def sts_error(code, message):
    return {"ResponseMetadata": {"RequestId": "fake-1", "Error": {"Code": code, "Message": message}}}
