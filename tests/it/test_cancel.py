# SPDX-License-Identifier: Apache-2.0
"""The client goes: whatever its request was doing, the upstream's side of it ends at once. A close,
a reset and a half-close mean the same, over TCP and over Unix sockets."""

import hashlib
import time

import pytest

from checks import ECHO, assert_ok, target
from client import until
from daemon import seconds
from faults import SERVICE, leave, metric, metrics, often, repeats, wait_metric

INFLIGHT = "sigferry_inflight_requests"
WITHIN = 0.1


@pytest.fixture(scope="module")
def rig(module_daemon, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "sock")
    return module_daemon(_listeners=2, listen=["127.0.0.1:0", "unix:" + path],
                         pool={"connection_pool_maxsize": 2, "pending_timeout": 60.0},
                         retry={"min_retry_delay_ms": 60000, "max_retry_delay_ms": 60000,
                                "backoff_strategy": "exponential", "num_max_retries": 1},
                         rate_limits=({"match": "ecs:Rated*", "rate": 0.01, "burst": 1.0, "wait": 300.0},))


class Phase:
    """Brings a request to a phase; `gone` is set when the upstream sees its connection end."""

    def __init__(self, upstream):
        self.u, self.gone, self.at = upstream, upstream.event(), None
        self.here = upstream.event()

    def note(self, ex):
        """In the handler: waits for the other end to go."""
        self.here.set()
        if ex.wait_gone(seconds(10)):
            self.at = time.monotonic()
        self.gone.set()
        ex.close()

    def start(self, c):
        c.begin("POST", target("c"), [SERVICE], b"x")
        assert self.here.wait(seconds(10))


class BeforeHead(Phase):
    def __init__(self, upstream):
        super().__init__(upstream)
        upstream.on("c", self.note)


class InHead(Phase):
    def __init__(self, upstream):
        super().__init__(upstream)
        upstream.on("c", lambda ex: (ex.send("HTTP/1.1 200 OK\r\nContent-"), self.note(ex)))


class Held(Phase):
    """A JSON answer that is looked into before it is passed on."""

    def __init__(self, upstream):
        super().__init__(upstream)
        upstream.on("c", lambda ex: (ex.send(
            "HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"), self.note(ex)))


class InBody(Phase):
    """A stream that is quiet just now."""

    def __init__(self, upstream):
        super().__init__(upstream)
        upstream.on("c", lambda ex: (ex.stream_head(), ex.chunk(b"data: 1\n\n"), self.note(ex)))

    def start(self, c):
        super().start(c)
        c.read_until(b"data: 1\n\n")


class Blocked(Phase):
    """The client takes nothing and everything is full."""

    def __init__(self, upstream):
        super().__init__(upstream)

        def handler(ex):
            ex.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
            ex.connection.sock.settimeout(0.05)
            piece, quiet = memoryview(b"p" * 65536), 0
            while True:
                try:
                    ex.connection.sock.send(piece)
                    quiet = 0
                except TimeoutError:
                    quiet += 1
                    if quiet == 3:
                        self.here.set()
                except OSError:
                    break
            self.at = time.monotonic()
            self.gone.set()
            ex.close()

        upstream.on("c", handler)


class Upload(Phase):
    """Half of a body that streams through."""

    def __init__(self, upstream):
        super().__init__(upstream)
        upstream.allow_bad_signature = True
        upstream.on("c", lambda ex: (ex.read(), self.note(ex)), early=True)

    def start(self, c):
        c.send(c.head("PUT", target("c"), [SERVICE, ("Content-Length", "1000"), (
            "X-Content-Sha256", hashlib.sha256(b"x" * 1000).hexdigest())]) + b"x" * 500)
        assert self.here.wait(seconds(10))


PHASES = {c.__name__: c for c in (BeforeHead, InHead, Held, InBody, Blocked, Upload)}


def delays(rig, upstream, phase, how, unix, n=1):
    """Seconds from the client's going until the upstream saw it."""
    out = []
    for _ in range(n):
        upstream.counts.clear()
        p = PHASES[phase](upstream)
        c = rig.client(rig.addresses()[unix])
        p.start(c)
        start = time.monotonic()
        leave(c, how)
        assert p.gone.wait(seconds(10)) and p.at, "the upstream was never told"
        out.append(p.at - start)
        if how == "half":
            c.close()
    return out


@repeats
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("phase", sorted(PHASES))
def test_the_upstream_is_told(rig, upstream, phase, how, unix):
    took = delays(rig, upstream, phase, how, unix, often(6))
    took.sort()
    assert took[int(0.99 * len(took))] < seconds(WITHIN), took[-5:]
    wait_metric(rig, INFLIGHT, 0)
    assert upstream.faults == []


def waiting(rig, upstream, what, c):
    """Brings c's request to a phase without an upstream connection of its own. What frees it: a
    callable to end the set-up."""
    if what == "queue":
        held = upstream.event()
        upstream.on("hold", lambda ex: (held.wait(30), ex.reply(200, b"{}")))
        blockers = [rig.client() for _ in range(2)]
        for b in blockers:
            b.begin("GET", target("hold"), [SERVICE])
        upstream.wait_request("hold", 2)
        c.begin("POST", target("c"), [SERVICE], b"x")
        wait_metric(rig, "sigferry_pool_pending", 1)

        def end():
            held.set()
            for b in blockers:
                assert_ok(b.response())
                b.close()
        return end
    if what == "backoff":
        upstream.on("c", lambda ex: ex.error(503, "Busy"))
        before = metric(rig, "sigferry_retries_total")
        c.begin("POST", target("c"), [SERVICE], b"x")
        wait_metric(rig, "sigferry_retries_total", before + 1)
    elif what == "rate limit":
        if not getattr(rig, "rated", False):  # uses the burst up
            rig.rated = True
            assert_ok(rig.request("GET", "/?Action=RatedX&Version=2020-04-01"))
        c.begin("GET", "/?Action=RatedX&Version=2020-04-01", [SERVICE])
        wait_metric(rig, INFLIGHT, 1)
    elif what == "body":
        c.send(c.head("POST", target("c"), [SERVICE, ("Content-Length", "10")]) + b"half")
        wait_metric(rig, INFLIGHT, 1)
    return lambda: None


@repeats
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("what", ["queue", "backoff", "rate limit", "body"])
def test_what_only_waited_is_forgotten(rig, upstream, what, how, unix):
    """No attempt follows, and the request is over within 100 ms."""
    for _ in range(often(6)):
        upstream.requests.clear()
        before = 2 if what == "queue" else 0
        c = rig.client(rig.addresses()[unix])
        end = waiting(rig, upstream, what, c)
        sent = len(upstream.of("c"))
        start = time.monotonic()
        leave(c, how)
        until(lambda: metric(rig, INFLIGHT) == before, seconds(5), "the end of the request")
        assert time.monotonic() - start < seconds(WITHIN + 0.05)  # asking for metrics takes a while, too
        end()
        if how == "half":
            c.close()
        assert_ok(rig.request())  # whoever comes next is served, and nothing of the one that left is sent
        assert len(upstream.of("c")) == sent
        assert metric(rig, "sigferry_pool_pending") == 0


@repeats
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_while_connecting(daemon, make_upstream, how):
    """In the middle of the TLS handshake."""
    u = make_upstream(hold=True)
    d = daemon(_upstream=u)
    for n in range(1, often(3) + 1):
        c = d.client()
        c.begin("POST", ECHO, [SERVICE], b"x")
        u.wait(lambda: u.accepted == n)
        start = time.monotonic()
        leave(c, how)
        u.wait(lambda: u.open == 0, seconds(5), "the handshake to be given up")
        assert time.monotonic() - start < seconds(WITHIN)
        if how == "half":
            c.close()
    assert u.requests == []


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_others_on_the_worker_are_not_disturbed(rig, upstream, how):
    """A client leaves in the middle of its answer while another streams on, byte for byte."""
    go = upstream.event()
    upstream.on("other", lambda ex: (ex.stream_head(), ex.chunk(b"one"), go.wait(60), ex.chunk(b"two"),
                                     ex.send(b"0\r\n\r\n")))
    with rig.client() as stays:
        stays.begin("GET", target("other"), [SERVICE])
        raw = stays.response_head()
        assert raw.read1(3) == b"one"
        delays(rig, upstream, "InBody", how, False)
        go.set()
        assert raw.read() == b"two"
        assert_ok(stays.request("GET", ECHO, [SERVICE]))


def test_gone_before_the_daemon_looks(rig, upstream):
    """Request and end arrive together while the daemon sleeps: nobody waits for what was begun."""
    upstream.on("c", lambda ex: ex.wait_gone(seconds(30)))
    clients = []
    with rig.stopped():
        for _ in range(5):
            c = rig.client()
            c.begin("POST", target("c"), [SERVICE], b"x")
            clients.append(c)
        for c in clients:
            c.close()
    assert_ok(rig.request())  # behind all of them
    wait_metric(rig, INFLIGHT, 0)
    assert metric(rig, "sigferry_pool_pending") == 0


def test_a_lost_request_is_logged_as_the_clients_doing(rig, upstream):
    mark = rig.mark()
    before = metrics(rig).get('sigferry_requests_total{service="ecs",region="cn-beijing",code="499"}', 0)
    delays(rig, upstream, "BeforeHead", "close", False)
    rig.wait_log("error=ClientGone", after=mark)
    assert metrics(rig)['sigferry_requests_total{service="ecs",region="cn-beijing",code="499"}'] == before + 1
