# SPDX-License-Identifier: Apache-2.0
"""The scripted upstream itself, driven without the daemon: what it records, refuses and plays."""

import http.client
import socket
import ssl

import pytest

import daemon as daemons
import signer

KEY = (daemons.ACCESS_KEY, daemons.SECRET_KEY, None)
HOST = "ecs.cn-beijing.volcengineapi.com"


@pytest.fixture
def connect(upstream, certs):
    made = []

    def go(u=upstream, host=HOST):
        context = ssl.create_default_context(cafile=str(certs.ca))
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", u.port)),
                                   server_hostname=host, suppress_ragged_eofs=False)
        sock.settimeout(10)
        made.append(sock)
        return sock

    yield go
    for s in made:
        s.close()


def signed_bytes(method, target, body=b"", headers=()):
    headers = [("Host", HOST)] + list(headers)
    out = signer.sign(method, target, headers, body, KEY, "ecs", "cn-beijing")
    headers += list(out.headers.items())
    if body:
        headers.append(("Content-Length", str(len(body))))
    text = "%s %s HTTP/1.1\r\n" % (method, target) + "".join("%s: %s\r\n" % h for h in headers)
    return text.encode() + b"\r\n" + body


def read(sock, method="GET"):
    r = http.client.HTTPResponse(sock, method=method)
    r.begin()
    return r.status, r.read()


def test_echo_and_record(upstream, connect):
    sock = connect()
    for body in (b"", b"x" * 100000):
        sock.sendall(signed_bytes("POST", "/?Action=Echo", body))
        status, answer = read(sock)
        assert status == 200 and b'"BodyLen": %d' % len(body) in answer
    first, second = upstream.of("Echo")
    assert (first.attempt, second.attempt) == (1, 2) and second.body == b"x" * 100000
    assert first.head.startswith(b"POST /?Action=Echo HTTP/1.1\r\nHost: ecs.") and first.verdict.ok
    assert upstream.accepted == 1 and first.connection == second.connection


def test_bad_signature_is_refused_and_reported(make_upstream, connect):
    u = make_upstream()
    sock = connect(u)
    sock.sendall(signed_bytes("GET", "/?Action=A").replace(b"Action=A", b"Action=B"))
    status, answer = read(sock)
    assert status == 403 and b"SignatureDoesNotMatch" in answer
    assert len(u.faults) == 1 and "mismatch" in u.faults[0]
    u.faults.clear()


def test_handler_sends_any_bytes(upstream, connect):
    upstream.on("x", lambda ex: (ex.send(b"HTTP/1.1 299 Odd\r\nX: y\r\n\r\nrest"), ex.close()))
    sock = connect()
    sock.sendall(signed_bytes("GET", "/?Id=x"))
    data = b""
    while chunk := sock.recv(4096):
        data += chunk
    assert data == b"HTTP/1.1 299 Odd\r\nX: y\r\n\r\nrest"


def test_early_handler_sees_bytes_before_the_end(upstream, connect):
    seen = upstream.event()

    def handler(ex):
        assert ex.read(4) == b"half"
        seen.set()
        ex.read_all()
        ex.reply(200, b"done")

    upstream.on("e", handler, early=True)
    whole = signed_bytes("POST", "/?Id=e", b"half+half")
    sock = connect()
    sock.sendall(whole[:-5])
    assert seen.wait(10)
    sock.sendall(whole[-5:])
    assert read(sock) == (200, b"done")
    assert upstream.one("e").complete


@pytest.mark.parametrize("notify", [True, False])
def test_tls_end_with_and_without_notice(upstream, connect, notify):
    upstream.on("x", lambda ex: ex.close(notify))
    sock = connect()
    sock.sendall(signed_bytes("GET", "/?Id=x"))
    if notify:
        assert sock.recv(100) == b""
    else:
        with pytest.raises(ssl.SSLError):
            sock.recv(100)


def test_reset(make_upstream):
    u = make_upstream(cert=None)
    u.on("x", lambda ex: ex.reset())
    with socket.create_connection(("127.0.0.1", u.port), timeout=10) as s:
        s.sendall(signed_bytes("GET", "/?Id=x"))
        with pytest.raises(ConnectionResetError):
            s.recv(100)


@pytest.mark.parametrize("cert", ["expired", "wronghost", "untrusted"])
def test_certificates_are_as_bad_as_promised(make_upstream, connect, cert):
    u = make_upstream(cert)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(u)


def test_hold_never_shakes_hands(make_upstream):
    u = make_upstream(hold=True)
    s = socket.create_connection(("127.0.0.1", u.port), timeout=0.2)
    s.sendall(b"\x16\x03\x01")
    with pytest.raises(TimeoutError):
        s.recv(1)
    assert u.accepted == 1
    s.close()


def test_closes_after_so_many_requests(upstream, connect):
    upstream.max_requests = 2
    sock = connect()
    for _ in range(2):
        sock.sendall(signed_bytes("GET", "/?Action=Echo"))
        assert read(sock)[0] == 200
    assert sock.recv(1) == b""
