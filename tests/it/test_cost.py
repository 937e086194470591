# SPDX-License-Identifier: Apache-2.0
"""What a request may cost, as far as it can be counted: allocations in steady state, and how often
libmicrohttpd walks all that waits."""

import resource
import threading
import time

import pytest

from checks import assert_ok, target
from client import until
from daemon import seconds
from faults import SERVICE, Shim

PROGRAM, LIBC, LIBRARIES = 1, 2, 3
WALKS, SUSPENDS = 1, 2


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    return Shim(tmp_path_factory.mktemp("shim"), "counting_malloc")


def counted(counter, work):
    """The allocations of the worker during work(), by who asked: program, libc, libraries."""
    for slot in (PROGRAM, LIBC, LIBRARIES):
        counter.set(slot, 0)
    counter.set(0, 1)
    work()
    counter.set(0, 0)
    return [counter.get(slot) for slot in (PROGRAM, LIBC, LIBRARIES)]


SHAPES = {
    "get": ("GET", [], b""),
    "many fields": ("GET", [("X-Field-%d" % i, "value %d" % i) for i in range(30)], b""),
    "post": ("POST", [], b"p" * 1024),
    "larger post": ("POST", [], b"p" * 16384),
    "chunked": ("POST", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n"),
    "refused": ("GET", [("X-Sigferry-Region", "no region")], b""),
    "large answer": ("GET", [], b""),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_program_allocates_nothing_in_steady_state(daemon, upstream, counter, shape):
    method, headers, body = SHAPES[shape]
    if shape == "large answer":
        upstream.on("steady", lambda ex: ex.reply(200, b"a" * 300000))
    d = daemon(_env=counter.env)

    def requests():
        for _ in range(100):
            r = c.request(method, target("steady"), [SERVICE, *headers], body)
            assert r.status == (400 if shape == "refused" else 200), r

    # What is made once and kept is made by these: the count sees it.
    with d.client() as c:
        warm = counted(counter, requests)
        steady = counted(counter, requests)
    assert warm[0] > 0
    assert steady[:2] == [0, 0], steady
    assert steady[2] > 100, "the libraries' allocations are seen as well"
    assert_ok(d.request())


PARKED, PIECES = 3000, 300
WALK_PAUSE_S = 350e-9  # for each suspended connection


@pytest.fixture(scope="module")
def resumes(tmp_path_factory):
    return Shim(tmp_path_factory.mktemp("shim"), "counting_resumes")


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3 * PARKED,
                    reason="needs more descriptors than the system's limit leaves")
def test_many_that_wait_are_not_walked_for_each_piece_of_a_stream(daemon, upstream, resumes):
    """A run of libmicrohttpd after a resume walks all suspended connections: such runs keep their
    distance, and nothing that waits is forgotten."""
    held, turn = upstream.event(), threading.Semaphore(0)
    upstream.on("hold", lambda ex: (held.wait(seconds(60)), ex.reply(200, b"{}")))

    def stream(ex):
        ex.stream_head()
        for _ in range(PIECES):
            ex.chunk(b"piece")
            if not turn.acquire(timeout=seconds(10)):
                return
        ex.send(b"0\r\n\r\n")

    upstream.on("stream", stream)
    d = daemon(_env=resumes.env,
               pool={"connection_pool_maxsize": 2, "max_pending": PARKED, "pending_timeout": 60.0},
               endpoint={"services": [{"service": "ecs", "host": "ecs.internal"},
                                      {"service": "iam", "host": "alt.internal"}]})
    before = resumes.get(SUSPENDS)
    waiting = [d.client() for _ in range(PARKED)]
    for c in waiting:
        c.begin("GET", target("hold"), [SERVICE])
    until(lambda: resumes.get(SUSPENDS) - before >= PARKED, seconds(30), "all to be suspended")
    with d.client() as c:
        walks, began = resumes.get(WALKS), time.monotonic()
        c.begin("GET", target("stream"), [("X-Sigferry-Service", "iam")])
        raw = c.response_head()
        for _ in range(PIECES):
            assert raw.read(5) == b"piece"
            turn.release()
        took, walks = time.monotonic() - began, resumes.get(WALKS) - walks
        assert raw.read() == b""
    assert 0 < walks <= 3 + took / (PARKED * WALK_PAUSE_S), (walks, took)
    held.set()
    answers = [c.response() for c in waiting]
    assert [a.status for a in answers] == [200] * PARKED
    for c in waiting:
        c.close()
