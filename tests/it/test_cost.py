# SPDX-License-Identifier: Apache-2.0
"""What a request may cost, as far as it can be counted: allocations in steady state."""

import pytest

from checks import assert_ok, target
from faults import SERVICE, Shim

PROGRAM, LIBC, LIBRARIES = 1, 2, 3


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
