# SPDX-License-Identifier: Apache-2.0
"""HMAC-SHA256 request signatures, signing and verifying, independent of the daemon's own code.

Written from the published algorithm alone: what it says about a request that came over the wire is
the yardstick the daemon is measured by. Knows bytes and strings, no sockets.
"""

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field

ALGORITHM = "HMAC-SHA256"
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
MADE_BY_SIGNING = ("x-date", "x-content-sha256", "x-security-token")
AUTHORIZATION = re.compile(
    r"HMAC-SHA256 Credential=(?P<ak>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/"
    r"(?P<service>[^/,\s]+)/request, SignedHeaders=(?P<signed>[-a-z0-9;_.!#$%&'*+^`|~]+), "
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


class BrokenEscape(ValueError):
    """A percent sign that two hex digits do not follow."""


def encode(raw: bytes) -> str:
    return "".join(chr(b) if b in UNRESERVED else "%%%02X" % b for b in raw)


def decode(text, plus=False) -> bytes:
    raw = text.encode("latin-1") if isinstance(text, str) else text
    out = bytearray()
    i = 0
    while i < len(raw):
        b = raw[i]
        if b == 0x25:
            digits = raw[i + 1 : i + 3]
            if not re.fullmatch(rb"[0-9A-Fa-f]{2}", digits):
                raise BrokenEscape(text)
            out.append(int(digits, 16))
            i += 3
            continue
        out.append(0x20 if plus and b == 0x2B else b)
        i += 1
    return bytes(out)


def query_pairs(raw):
    """The decoded (name, value) byte pairs of a raw query, in order of arrival."""
    pairs = []
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((decode(name, plus=True), decode(value, plus=True)))
    return pairs


def write_query(pairs) -> str:
    return "&".join("%s=%s" % p for p in sorted((encode(n), encode(v)) for n, v in pairs))


def canonical_query(raw) -> str:
    return write_query(query_pairs(raw))


def canonical_path(raw) -> str:
    return "/".join(encode(decode(segment)) for segment in (raw or "/").split("/"))


def canonical_target(raw) -> str:
    path, mark, query = raw.partition("?")
    query = canonical_query(query) if mark else ""
    return canonical_path(path) + ("?" + query if query else "")


def signed_host(host) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port in ("80", "443") else host


def is_signed(name) -> bool:
    low = name.lower()
    return low in ("content-type", "content-md5", "host") or low.startswith("x-")


def derive_key(secret, day, region, service) -> bytes:
    key = secret.encode()
    for part in (day, region, service, "request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def canonical_request(method, path, query, headers, body_sha256) -> str:
    """headers: {lower-case name: trimmed value}, already chosen."""
    names = sorted(headers)
    block = "\n".join("%s:%s" % (n, headers[n]) for n in names) + "\n"
    return "\n".join([method, path, query, block, ";".join(names), body_sha256])


def string_to_sign(date, scope, creq) -> str:
    # Header values are octets: they travel as latin-1 text here and are hashed as the octets.
    return "\n".join([ALGORITHM, date, scope, hashlib.sha256(creq.encode("latin-1")).hexdigest()])


@dataclass
class Signed:
    canonical_request: str
    string_to_sign: str
    headers: dict = field(default_factory=dict)
    query: str = ""


def now_date(at=None) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


def sign(method, target, headers, body, key, service, region, date=None):
    """Header signing. headers: [(name, value)] with Host; key: (access key, secret, token or None).
    The result's headers are those to add."""
    access_key, secret, token = key
    date = date or now_date()
    path, _, query = target.partition("?")
    digest = hashlib.sha256(body).hexdigest()
    add = {"X-Date": date, "X-Content-Sha256": digest}
    if token:
        add["X-Security-Token"] = token
    if method != "GET" or body:
        if not any(n.lower() == "content-type" for n, _ in headers):
            add["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
    chosen = {}
    for name, value in list(headers) + list(add.items()):
        if is_signed(name):
            low, value = name.lower(), value.strip()
            chosen[low] = chosen[low] + "," + value if low in chosen else value
    if "host" in chosen:
        chosen["host"] = signed_host(chosen["host"])
    creq = canonical_request(method, canonical_path(path), canonical_query(query), chosen, digest)
    scope = "%s/%s/%s/request" % (date[:8], region, service)
    sts = string_to_sign(date, scope, creq)
    signature = hmac.new(
        derive_key(secret, date[:8], region, service), sts.encode(), hashlib.sha256
    ).hexdigest()
    add["Authorization"] = "%s Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        ALGORITHM, access_key, scope, ";".join(sorted(chosen)), signature)
    return Signed(creq, sts, add)


def form_encode(raw: bytes) -> str:
    return encode(raw).replace("%20", "+")


def presign(method, path, pairs, host, key, service, region, date=None, expires=None):
    """pairs: decoded byte pairs. The result's query is the complete signed one."""
    access_key, secret, token = key
    date = date or now_date()
    scope = "%s/%s/%s/request" % (date[:8], region, service)
    pairs = list(pairs) + [
        (b"X-Date", date.encode()),
        (b"X-NotSignBody", b""),
        (b"X-Credential", ("%s/%s" % (access_key, scope)).encode()),
        (b"X-Algorithm", ALGORITHM.encode()),
        (b"X-SignedHeaders", b"host" if host else b""),
    ]
    if expires is not None:
        pairs.append((b"X-Expires", str(expires).encode()))
    names = sorted({n for n, _ in pairs} | {b"X-SignedQueries"})
    pairs.append((b"X-SignedQueries", b";".join(names)))
    headers = {"host": signed_host(host)} if host else {}
    creq = canonical_request(method, canonical_path(path), write_query(pairs), headers, EMPTY_SHA256)
    sts = string_to_sign(date, scope, creq)
    signature = hmac.new(
        derive_key(secret, date[:8], region, service), sts.encode(), hashlib.sha256
    ).hexdigest()
    if token:
        pairs.append((b"X-Security-Token", token.encode()))
    pairs.append((b"X-Signature", signature.encode()))
    query = "&".join("%s=%s" % p for p in sorted((form_encode(n), form_encode(v)) for n, v in pairs))
    return Signed(creq, sts, query=query)


@dataclass
class Verdict:
    ok: bool
    why: str = ""
    access_key: str = ""
    region: str = ""
    service: str = ""
    date: str = ""
    signed: tuple = ()
    presigned: bool = False


def seconds_of(date):
    return calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))


def verify(method, target, headers, digest, keys, window=300, now=None):
    """Judges a request as received. headers: [(name, value)] in order; digest: the body's SHA-256
    in hex, None when it is not known yet (X-Content-Sha256 is believed then); keys: {access key: (secret,
    token or None)}. Stricter than a cloud need be: it also demands the canonical target and exactly the
    signed headers the scheme names."""
    path, _, query = target.partition("?")
    try:
        pairs = query_pairs(query)
    except BrokenEscape:
        return Verdict(False, "broken escape in the query")
    authorizations = [v for n, v in headers if n.lower() == "authorization"]
    if any(n == b"X-Signature" for n, _ in pairs):
        if authorizations:
            return Verdict(False, "both a header and a query signature")
        return verify_presigned(method, path, pairs, headers, keys, window, now)
    if len(authorizations) != 1:
        return Verdict(False, "%d Authorization headers" % len(authorizations))
    m = AUTHORIZATION.fullmatch(authorizations[0])
    if not m:
        return Verdict(False, "malformed Authorization: %r" % authorizations[0])
    names = tuple(m["signed"].split(";"))
    values = {}
    for n, v in headers:
        values.setdefault(n.lower(), []).append(v)
    dates = values.get("x-date", [])
    v = Verdict(False, "", m["ak"], m["region"], m["service"], dates[0] if dates else "", names)
    v.why = header_fault(m, names, values, digest, keys, window, now)
    if v.why:
        return v
    if canonical_target(target) != target:
        v.why = "target %r is not the canonical %r" % (target, canonical_target(target))
        return v
    digest = values["x-content-sha256"][0] if digest is None else digest
    chosen = {n: values[n][0].strip(" \t") for n in names}
    chosen["host"] = signed_host(chosen["host"])
    creq = canonical_request(method, canonical_path(path), write_query(pairs), chosen, digest)
    scope = "%s/%s/%s/request" % (m["day"], m["region"], m["service"])
    sts = string_to_sign(v.date, scope, creq)
    key = derive_key(keys[m["ak"]][0], m["day"], m["region"], m["service"])
    want = hmac.new(key, sts.encode(), hashlib.sha256).hexdigest()
    if want != m["signature"]:
        v.why = "signature mismatch over %r" % creq
    v.ok = not v.why
    return v


def header_fault(m, names, values, digest, keys, window, now):
    """Everything that is wrong besides the signature itself, or ''."""
    if m["ak"] not in keys:
        return "unknown access key " + m["ak"]
    if list(names) != sorted(set(names)):
        return "SignedHeaders are not sorted and unique"
    demanded = {n for n in values if is_signed(n)} | {"host", "x-date", "x-content-sha256"}
    if set(names) != demanded:
        return "signed %s, must be %s" % (sorted(names), sorted(demanded))
    for n in names:
        if len(values.get(n, [])) != 1:
            return "%d times %s" % (len(values.get(n, [])), n)
    token = keys[m["ak"]][1]
    if values.get("x-security-token", [None])[0] != token:
        return "wrong session token"
    date = values["x-date"][0]
    if not re.fullmatch(r"\d{8}T\d{6}Z", date) or date[:8] != m["day"]:
        return "X-Date %r does not fit the scope" % date
    if window and abs((now or time.time()) - seconds_of(date)) > window:
        return "X-Date %s is too far from now" % date
    if digest is not None and values["x-content-sha256"][0] != digest:
        return "X-Content-Sha256 is not the body's"
    return ""


def verify_presigned(method, path, pairs, headers, keys, window, now):
    q = {}
    for n, v in pairs:
        if n in q and n.startswith(b"X-"):
            return Verdict(False, "%s occurs twice" % n.decode(), presigned=True)
        q[n] = v
    get = lambda n: q.get(n, b"").decode("latin-1")
    parts = get(b"X-Credential").split("/")
    if get(b"X-Algorithm") != ALGORITHM or len(parts) != 5 or parts[4] != "request":
        return Verdict(False, "malformed presigned query", presigned=True)
    access_key, day, region, service, _ = parts
    date = get(b"X-Date")
    v = Verdict(False, "", access_key, region, service, date, (), True)
    if access_key not in keys:
        v.why = "unknown access key " + access_key
        return v
    secret, token = keys[access_key]
    listed = get(b"X-SignedQueries").split(";")
    want = sorted({n.decode("latin-1") for n in q} - {"X-Signature", "X-Security-Token"})
    if listed != want:
        v.why = "X-SignedQueries is %s, must be %s" % (listed, want)
        return v
    if (get(b"X-Security-Token") or None) != token:
        v.why = "wrong session token"
        return v
    if date[:8] != day or not re.fullmatch(r"\d{8}T\d{6}Z", date):
        v.why = "X-Date does not fit the scope"
        return v
    if window and abs((now or time.time()) - seconds_of(date)) > window:
        v.why = "X-Date %s is too far from now" % date
        return v
    hosts = [x for n, x in headers if n.lower() == "host"]
    names = [n for n in get(b"X-SignedHeaders").split(";") if n]
    v.signed = tuple(names)
    if names not in ([], ["host"]) or (names and len(hosts) != 1):
        v.why = "X-SignedHeaders is %s" % names
        return v
    chosen = {"host": signed_host(hosts[0])} if names else {}
    query = write_query([(n, x) for n, x in pairs if n.decode("latin-1") in set(listed)])
    creq = canonical_request(method, canonical_path(path), query, chosen, EMPTY_SHA256)
    sts = string_to_sign(date, "/".join(parts[1:]), creq)
    expected = hmac.new(
        derive_key(secret, day, region, service), sts.encode(), hashlib.sha256
    ).hexdigest()
    if expected != get(b"X-Signature"):
        v.why = "signature mismatch over %r" % creq
    v.ok = not v.why
    return v
