# SPDX-License-Identifier: Apache-2.0
"""The clients of the compatibility suite: how each is pointed at the daemon, run and read. None is
patched and none links anything of ours; the drivers only call what their libraries publish."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVERS = os.path.join(HERE, "drivers")
MODULES = os.environ.get("SIGFERRY_COMPAT_MODULES", "")
SERVICE, REGION, VERSION = "ecs", "cn-beijing", "2020-04-01"
ENDPOINT = "ecs.cn-beijing.volcengineapi.com"
PATIENCE = 60


@dataclass
class Op:
    """What a client is asked to do. kind: plain, form, json, burst, stream."""
    kind: str
    id: str
    action: str = "DescribeInstances"
    data: dict = None
    pages: int = 0
    timeout: float = None
    token: str = None
    keys: tuple = ("AKLTdummy-of-the-client", "dummy-secret-of-the-client")
    settings: dict = field(default_factory=dict)  # of the SDK's client object


@dataclass
class Outcome:
    status: object = None
    body: str = ""
    error: dict = None
    raw: str = ""

    @property
    def json(self):
        return json.loads(self.body)

    def code(self):
        """The error code, from the SDK's own error or from the body the client handed over."""
        if self.error and self.error.get("code"):
            return self.error["code"]
        return self.json["ResponseMetadata"]["Error"]["Code"]


class Client:
    """error_type, timeout_type: how the client itself reports them. retries: attempts that it makes
    of its own. signs: has keys of its own. lacks: {feature: why it has no such thing}."""
    error_type = timeout_type = None
    signs = retries = False
    setup = ""

    def __init__(self, name, lacks=None):
        self.name, self.lacks = name, lacks or {}

    def missing(self):
        """Why it can't run here, or None."""
        return None

    def environ(self, daemon):
        env = {k: v for k, v in os.environ.items()
               if not re.match(r"(?i)(volc|byteplus|sigferry|.*_proxy$)", k)}
        env["HOME"] = str(daemon.dir)
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        env["LC_ALL"] = "C.UTF-8"
        return env

    def start(self, daemon, op):
        return subprocess.Popen(self.argv(daemon, op), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.environ(daemon),
                                cwd=str(daemon.dir))

    def call(self, daemon, op):
        process = self.start(daemon, op)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return self.read(process.returncode, out.decode("utf-8", "replace"),
                         err.decode("utf-8", "replace"))


class Unsigned(Client):
    """Clients that know nothing of signatures: the service in a header, or in the host when only a
    proxy is configured."""

    def __init__(self, name, proxied=False, lacks=None):
        super().__init__(name, lacks)
        self.proxied = proxied
        self.setup = ("`http_proxy=http://localhost:8750`, `http://` URLs of the cloud" if proxied
                      else "`http://localhost:8750`, header `X-Sigferry-Service`")

    def environ(self, daemon):
        env = super().environ(daemon)
        if self.proxied:
            env["http_proxy"] = "http://%s:%d" % daemon.address
        return env

    def base(self, daemon):
        return "http://" + (ENDPOINT if self.proxied else "%s:%d" % daemon.address)

    def headers(self, op):
        out = {} if self.proxied else {"X-Sigferry-Service": SERVICE}
        if op.token:
            out["Authorization"] = "Bearer " + op.token
        return out

    @staticmethod
    def target(op, page=None):
        pairs = {"Action": op.action, "Version": VERSION, "Id": op.id}
        if page:
            pairs["PageNumber"] = page
        return "/?" + urllib.parse.urlencode(pairs)

    @staticmethod
    def content(op):
        """(body or None, content type)"""
        if op.kind == "form":
            return urllib.parse.urlencode(op.data), "application/x-www-form-urlencoded"
        if op.kind == "json":
            return json.dumps(op.data, ensure_ascii=False), "application/json; charset=utf-8"
        return None, None


class Driver(Unsigned):
    """A small program in a language with an HTTP library of its own."""

    def __init__(self, name, interpreter, script, error_type, timeout_type, version, **kw):
        super().__init__(name, **kw)
        self.interpreter, self.script, self.version_argv = interpreter, script, version
        self.error_type, self.timeout_type = error_type, timeout_type

    def missing(self):
        if not shutil.which(self.interpreter):
            return "%s is not installed" % self.interpreter
        run = subprocess.run(self.version_argv, capture_output=True, text=True)
        return None if run.returncode == 0 else "no " + self.name

    def version(self):
        return subprocess.run(self.version_argv, capture_output=True, text=True).stdout.strip()

    def argv(self, daemon, op):
        base = self.base(daemon)
        body, kind = self.content(op)
        spec = {"op": op.kind, "method": "POST" if body is not None else "GET",
                "url": base + self.target(op), "headers": self.headers(op), "body": body,
                "type": kind}
        if op.timeout:
            spec["timeout"] = op.timeout
        if op.pages:
            spec["targets"] = [self.target(op, n + 1) for n in range(op.pages)]
            spec["urls"] = [base + t for t in spec["targets"]]
        return [self.interpreter, os.path.join(DRIVERS, self.script), json.dumps(spec)]

    def read(self, status, out, err):
        try:
            return Outcome(**json.loads(out), raw=out + err)
        except (ValueError, TypeError):
            raise AssertionError("%s ended with %d:\n%s%s" % (self.name, status, out, err)) from None


class Curl(Unsigned):
    error_type, timeout_type = "exit status 22", "exit status 28"

    def missing(self):
        return None if shutil.which("curl") else "curl is not installed"

    def version(self):
        out = subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout
        return " ".join(out.split()[:2])

    def argv(self, daemon, op):
        url = self.base(daemon) + self.target(op)
        out = ["curl", "-q", "-sS", "-N", "--fail-with-body", "-w", "\n%{http_code}"]
        if op.kind == "stream":
            out = ["curl", "-q", "-sS", "-N"]
        if op.pages:
            # curl numbers the pages itself.
            out += ["--parallel", "--parallel-max", "16"]
            url += "&PageNumber=[1-%d]" % op.pages
        if op.timeout:
            out += ["--max-time", str(op.timeout)]
        body, kind = self.content(op)
        if body is not None:
            out += ["--data-binary", body, "-H", "Content-Type: " + kind]
        for h in self.headers(op).items():
            out += ["-H", "%s: %s" % h]
        return out + [url]

    def read(self, status, out, err):
        error = {"type": "exit status %d" % status, "message": err.strip()} if status else None
        body, _, code = out.rpartition("\n")
        return Outcome(int(code) or None, body, error, out + err)


class Wget(Unsigned):
    error_type, timeout_type = "exit status 8", "exit status 4"

    def missing(self):
        return None if shutil.which("wget") else "wget is not installed"

    def version(self):
        out = subprocess.run(["wget", "-V"], capture_output=True, text=True).stdout
        return " ".join(out.split()[1:3])

    def argv(self, daemon, op):
        out = ["wget", "--no-config", "-nv", "-O", "-", "--content-on-error"]
        if op.timeout:
            out += ["--timeout", str(op.timeout), "--tries", "1"]
        body, kind = self.content(op)
        if body is not None:
            out += ["--post-data", body, "--header", "Content-Type: " + kind]
        for h in self.headers(op).items():
            out += ["--header", "%s: %s" % h]
        pages = [n + 1 for n in range(op.pages)] or [None]
        return out + [self.base(daemon) + self.target(op, n) for n in pages]

    def read(self, status, out, err):
        error = {"type": "exit status %d" % status, "message": err.strip()} if status else None
        m = re.search(r"ERROR (\d{3})", err)
        return Outcome(int(m[1]) if m else 200 if not status else None, out, error, out + err)


class Sdk(Driver):
    """An official SDK, pointed at the daemon by host and protocol, or by its proxy variables."""
    signs = True

    def __init__(self, package, script, error_type, timeout_type, retries, proxied=False, lacks=None):
        name = package + (", proxy variables only" if proxied else "")
        Client.__init__(self, name, lacks)
        self.package, self.script, self.proxied = package, script, proxied
        self.error_type, self.timeout_type, self.retries = error_type, timeout_type, retries
        self.interpreter = "node"

    def missing(self):
        if not shutil.which("node"):
            return "node is not installed"
        if not os.path.isdir(os.path.join(MODULES, self.package)):
            return "%s is not installed: run tests/compat/run.sh" % self.package
        return None

    def version(self):
        with open(os.path.join(MODULES, self.package, "package.json"), encoding="utf-8") as f:
            return self.package + " " + json.load(f)["version"]

    def environ(self, daemon):
        env = super(Unsigned, self).environ(daemon)
        env["NODE_PATH"] = MODULES
        if self.proxied:
            host, port = daemon.address
            env.update(VOLC_PROXY_HOST=host, VOLC_PROXY_PORT=str(port))
        return env

    def argv(self, daemon, op):
        sdk = {"accessKeyId": op.keys[0], "secretAccessKey": op.keys[1], "region": REGION}
        if not self.proxied:
            sdk.update(host="%s:%d" % daemon.address, protocol="http")
        elif self.package.endswith("sdk-core"):
            sdk.update(protocol="http")
        sdk.update(op.settings)
        spec = {"op": op.kind, "id": op.id, "action": op.action, "version": VERSION,
                "service": SERVICE, "data": op.data, "pages": op.pages, "timeout": op.timeout,
                "sdk": sdk}
        return ["node", os.path.join(DRIVERS, self.script), json.dumps(spec)]


class Generic(Driver):
    """An official SDK that run.sh does not install: it takes part when the variable `place` says where
    it is, and counts as missing when it does not start there. Pointed at the daemon by its endpoint
    setting, or by HTTP_PROXY and the scheme."""
    signs = True

    def __init__(self, name, place, argv, types, retries=True, proxied=False, lacks=None):
        Client.__init__(self, name + (", `HTTP_PROXY` and the scheme" if proxied else ""), lacks)
        self.place, self.command, self.proxied, self.retries = place, argv, proxied, retries
        self.error_type, self.timeout_type = types

    def run(self, argument):
        place = os.environ[self.place]
        return [a.format(place=place, drivers=DRIVERS) for a in self.command] + [argument]

    @functools.lru_cache(maxsize=None)
    def missing(self):
        run = subprocess.run(self.run("version"), capture_output=True, text=True)
        return None if run.returncode == 0 else "no " + self.name + ": " + run.stderr[-300:]

    def version(self):
        run = subprocess.run(self.run("version"), capture_output=True, text=True)
        return run.stdout.strip().rpartition("/")[2]

    def environ(self, daemon):
        env = super(Unsigned, self).environ(daemon)
        env[self.place] = os.environ[self.place]
        if self.proxied:
            env["HTTP_PROXY"] = "http://%s:%d" % daemon.address
        return env

    def argv(self, daemon, op):
        return self.run(json.dumps({
            "op": op.kind, "id": op.id, "action": op.action, "version": VERSION,
            "service": SERVICE, "region": REGION, "data": op.data, "pages": op.pages,
            "timeout": op.timeout, "keys": op.keys, "retry": op.settings.get("autoRetry", True),
            "host": None if self.proxied else "%s:%d" % daemon.address}))


PYTHON = [sys.executable, "-c", "import sys; print('Python %d.%d.%d' % sys.version_info[:3])"]
NODE = ["node", "-p", "'Node ' + process.version"]
LWP = ["perl", "-MLWP", "-MJSON::PP", "-e", "print \"LWP $LWP::VERSION\""]
WHOLE = {"stream": "hands over whole answers only"}
OPENAPI = ("@volcengine/openapi", "openapi.cjs", "ResponseMetadata.Error", "ECONNABORTED", False)
SDK_CORE = ("@volcengine/sdk-core", "sdkcore.cjs", "HttpRequestError ApiException",
            "HttpRequestError NetworkError", True)

# Each with what it lacks besides streams.
GENERIC = [
    (("volcengine-python-sdk", "SIGFERRY_COMPAT_PYTHON",
      [sys.executable, "-c", "import runpy, sys; sys.path[:0] = ['{place}']; "
       "runpy.run_path('{drivers}/pythonsdk.py', run_name='__main__')"],
      ("ApiException", "ReadTimeoutError")), {}),
    (("volcengine-go-sdk", "SIGFERRY_COMPAT_GO", ["{place}"], ("RequestFailure", "Timeout")),
     {"form": "DoCall sends GET's query or JSON"}),
    (("volcengine-java-sdk", "SIGFERRY_COMPAT_JAVA",
      ["java", "-cp", "{place}", "{drivers}/JavaSdk.java"],
      ("ApiException", "ApiException SocketTimeoutException")),
     {"form": "UniversalApi sends GET's query or JSON"}),
    (("volcengine-php-sdk", "SIGFERRY_COMPAT_PHP", ["php", "{drivers}/phpsdk.php"],
      ("ApiException", "ApiException ConnectException"), False), {}),
]

CLIENTS = [
    Curl("curl"),
    Wget("wget"),
    Driver("Python http.client", sys.executable, "httpclient.py", "status", "TimeoutError", PYTHON),
    Driver("Python urllib", sys.executable, "urllib_open.py", "HTTPError", "TimeoutError", PYTHON),
    Driver("Node fetch", "node", "fetch.mjs", "!ok", "TimeoutError", NODE),
    Driver("Perl LWP", "perl", "lwp.pl", "is_error", "Client-Warning", LWP),
    Curl("curl, `http_proxy` only", proxied=True),
    Wget("wget, `http_proxy` only", proxied=True),
    Driver("Python urllib, `http_proxy` only", sys.executable, "urllib_open.py", "HTTPError",
           "TimeoutError", PYTHON, proxied=True),
    Sdk(*OPENAPI),
    Sdk(*OPENAPI, proxied=True),
    Sdk(*SDK_CORE, lacks=WHOLE),
    Sdk(*SDK_CORE, proxied=True, lacks=WHOLE),
]
CLIENTS += [Generic(*g, proxied=proxied, lacks={**lacks, **WHOLE})
            for g, lacks in GENERIC if g[1] in os.environ for proxied in (False, True)]
