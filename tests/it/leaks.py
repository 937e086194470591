# SPDX-License-Identifier: Apache-2.0
"""Looks for secrets in all that the daemons of a test wrote or showed. With SIGFERRY_LEAKS=1 every
daemon runs at log.level = "debug" with every category of log.debug (unless its test sets those itself),
and after each test its secrets, what is derived from them, and both in other spellings are searched for
in: logs, answers, what commands print, the admin address's pages, /proc/PID/cmdline and environ, core
files. A place where one of them is found fails the test.

Which secrets: those of the configurations, credential files, environments and fake services of the
test, taken from there by their names. A test that shows one on purpose says so with `allow`."""

import base64
import hashlib
import hmac
import json
import os
import re
import urllib.parse

ON = bool(os.environ.get("SIGFERRY_LEAKS"))
ALL_DEBUG = ["request", "request_body", "request_id", "response", "response_body", "signing",
             "endpoint", "retries", "config"]
LEAST = 12  # shorter ones are words that occur by themselves
KEEP = 1 << 18  # of one place, in bytes: streams are long and all alike

NAMED = re.compile(r"""(?i)(?:secret[_-]?(?:access[_-]?)?key|session[_-]?token|client_tokens|access_token|"""
                   r"""refresh_token|client[_-]secret|password)["']?\s*[:=]\s*(\[[^\]]*\]|"[^"]*"|[^\s";,]+)""")
URL_PASSWORD = re.compile(r"://[^/\s:@\"]*:([^/\s@\"]+)@")
VARIABLE = re.compile(r"(SECRET|TOKEN|PASSWORD)(?!_FILE|_DURATION)")


class Record:
    def __init__(self):
        self.reset()
        self.daemons = []

    def reset(self):
        self.secrets, self.allowed, self.scopes, self.shown = {}, set(), set(), []


NOW = Record()


# -- what is secret ------------------------------------------------------------------------------

def secret(text, what="a secret"):
    if ON and isinstance(text, str) and len(text) >= LEAST:
        NOW.secrets.setdefault(text, what)


def allow(text):
    """This test shows that secret on purpose (a presigned link has the session token in it)."""
    NOW.allowed.add(text)


def scope(day, region, service):
    """A signing key was derived for these."""
    NOW.scopes.add((day, region, service))


def harvest(text, what):
    """Everything in a text that is named like a secret, or is an URL's password."""
    if not ON:
        return
    for value in NAMED.findall(text):
        for v in re.findall(r'"([^"]*)"', value) or [value]:
            secret(v.replace('\\"', '"').replace("\\\\", "\\"), what)
    for value in URL_PASSWORD.findall(text):
        secret(value, what)


def harvest_env(env):
    for name, value in (env or {}).items():
        if VARIABLE.search(name):
            secret(value, name)
        harvest(value, name)


def harvest_files(directory):
    for top, _, names in os.walk(str(directory)):
        for name in names:
            path = os.path.join(top, name)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 65536 and not name.endswith(".log"):
                    with open(path, encoding="utf-8") as f:
                        harvest(f.read(), path)
            except (OSError, UnicodeDecodeError):
                pass


# -- what was shown ------------------------------------------------------------------------------

def shown(where, data):
    if ON:
        NOW.shown.append((where, data[:KEEP] if isinstance(data, (bytes, bytearray))
                          else data[:KEEP].encode("utf-8", "replace")))


class Tee:
    """A raw stream that keeps what is read from it."""

    def __init__(self, raw, where):
        self.raw, self.kept = raw, bytearray()
        NOW.shown.append((where, self.kept))

    def readinto(self, b):
        n = self.raw.readinto(b)
        if n and len(self.kept) < KEEP:
            self.kept += bytes(b[:n])
        return n

    def __getattr__(self, name):
        return getattr(self.raw, name)


# -- daemons -------------------------------------------------------------------------------------

def settings_of(settings, text=""):
    """The settings with all debug output on, but for those a test chose itself."""
    log = dict(settings.get("log") or {})
    if not ON or re.search(r"\blog\b", text) or "level" in log or "debug" in log:
        return settings
    return dict(settings, log=dict(log, level="debug", debug=ALL_DEBUG))


def env_of(env, args):
    """The same for a daemon without a file."""
    if not ON or any(str(a).startswith(("--log", "--set=log", "log.")) for a in args):
        return env
    return {"SIGFERRY_LOG_LEVEL": "debug", "SIGFERRY_LOG_DEBUG": ",".join(ALL_DEBUG), **(env or {})}


def started(d):
    if ON:
        d.looked_at = 0
        NOW.daemons.append(d)


def look_at_process(d):
    for name in ("cmdline", "environ"):
        try:
            with open("/proc/%d/%s" % (d.pid, name), "rb") as f:
                shown("/proc/%d/%s" % (d.pid, name), f.read())
        except OSError:
            pass  # gone, or not ours to read


def look_at_pages(d, connect):
    """The admin address, as far as it answers: it may be off, drained, or ask for a token."""
    token = ((d.settings or {}).get("security") or {}).get("client_tokens") or [None]
    for path in ("/", "/status", "/metrics", "/readyz", "/nothing"):
        try:
            with connect(d.admin_now(), 2) as c:
                c.request("GET", path, [("X-Sigferry-Token", token[0])] if token[0] else [])
        except (OSError, AssertionError, ValueError):
            return
        except Exception as e:  # http.client's
            if type(e).__module__ != "http.client":
                raise
            return


def look_at_daemon(d):
    with d.changed:
        lines, d.looked_at = d.lines[d.looked_at:], len(d.lines)
    harvest_env(d.own_env)
    NOW.shown.append(("the log of %s" % d.pid, "\n".join(lines).encode("utf-8", "replace")))
    harvest_files(d.dir)
    log = ((d.settings or {}).get("log") or {}).get("file")
    for path in [log] if log else []:
        if os.path.exists(path):
            with open(path, "rb") as f:
                NOW.shown.append((path, f.read()))
    for name in os.listdir(str(d.dir)) if os.path.isdir(str(d.dir)) else ():
        if name.startswith("core"):
            with open(os.path.join(str(d.dir), name), "rb") as f:
                NOW.shown.append((name, f.read()))
    if d.process.poll() is None:
        look_at_process(d)
    elif d.ended:
        NOW.daemons.remove(d)


# -- the search ----------------------------------------------------------------------------------

def spellings(raw):
    """The bytes, and how quoting and encoding would write them."""
    out = {raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"="),
           base64.urlsafe_b64encode(raw).rstrip(b"=")}
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return out
    for t in (urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text), json.dumps(text)[1:-1],
              text.replace("/", "\\/"), text.replace("=", "")):
        out.add(t.encode())
    return {t for t in out if len(t) >= LEAST}


def derived(text, day, region, service):
    """The keys of each step of signing, the last of which is the signing key."""
    key = text.encode()
    for part in (day, region, service, "request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        yield key


def needles():
    """{bytes to look for: what they are}"""
    out = {}
    for text, what in NOW.secrets.items():
        if text in NOW.allowed:
            continue
        for t in spellings(text.encode()):
            out[t] = what
        for where in NOW.scopes:
            for step, key in enumerate(derived(text, *where)):
                for t in spellings(key):
                    out[t] = "step %d of the signing key for %s, from %s" % (step, "/".join(where), what)
    return out


def found():
    """What was found, as lines; empty when nothing leaked. The record is emptied."""
    try:
        everything = b"\0".join(bytes(data) for _, data in NOW.shown)
        hits = [(needle, what) for needle, what in needles().items() if needle in everything]
        return ["%s is in %s: …%r…" % (what, where, context(data, needle))
                for needle, what in hits for where, data in NOW.shown if needle in data]
    finally:
        NOW.reset()


def context(data, needle):
    at = data.find(needle)
    return bytes(data[max(0, at - 60):at + 4])
