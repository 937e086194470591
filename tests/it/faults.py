# SPDX-License-Identifier: Apache-2.0
"""What the reliability tests share: repetitions, the metrics as numbers, CPU time, handlers that
fail in all the ways an upstream can, clients that leave in all the ways a client can.

A test that repeats its fault in its own body asks `often` how many times."""

import ctypes
import os
import socket
import struct
import subprocess
import threading

import pytest

from client import Client, until
from daemon import instrumented, seconds

REPEAT = int(os.environ.get("SIGFERRY_REPEAT") or 1)
SERVICE = ("X-Sigferry-Service", "ecs")
ONCE = ("X-Sigferry-Auto-Retry", "false")

# With such a test the suite leaves the repeating to the test.
repeats = pytest.mark.repeats


def often(variants=1):
    """How often a test in so many variants does its fault: SIGFERRY_REPEAT over all of them."""
    return -(-REPEAT // variants)


def metrics(d):
    """{"name{labels}": value}"""
    with Client(d.admin, seconds(15)) as c:
        text = c.request("GET", "/metrics").body.decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in text.splitlines() if not line.startswith("#")}


def metric(d, name):
    """Sum over all label sets; 0 when it does not occur."""
    return sum(v for k, v in metrics(d).items() if k == name or k.startswith(name + "{"))


def wait_metric(d, name, value, timeout=5):
    until(lambda: metric(d, name) == value, seconds(timeout), "%s = %g" % (name, value))


def ticks(d):
    """CPU time used so far, in clock ticks (100 a second)."""
    with open("/proc/%d/stat" % d.pid, encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def gather(jobs, timeout=60):
    """Runs callables at once; their results in order. An exception is a result, too."""
    out = [None] * len(jobs)

    def run(i):
        try:
            out[i] = jobs[i]()
        except Exception as e:
            out[i] = e

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(seconds(timeout))
    assert not any(t.is_alive() for t in threads), "%d of %d hang" % (
        sum(t.is_alive() for t in threads), len(jobs))
    return out


def leave(c, how):
    """The client goes: close, reset or half-close (then the socket stays open for reading)."""
    if how == "close":
        c.close()
    elif how == "reset":
        if c.sock.family == socket.AF_UNIX:  # knows no RST: unread bytes make close() one
            return c.close()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    else:
        c.sock.shutdown(socket.SHUT_WR)


class Shim:
    """A small C file built into a library for LD_PRELOAD, with a shared page of numbers that the
    test changes while the daemon runs."""

    SLOTS = 8

    def __init__(self, directory, name):
        if instrumented():
            pytest.skip("a preloaded library and the tool that watches memory do not get along")
        here = os.path.dirname(os.path.abspath(__file__))
        self.library = os.path.join(str(directory), os.path.basename(name) + ".so")
        self.page = os.path.join(str(directory), os.path.basename(name) + ".page")
        subprocess.run([os.environ.get("CC") or "cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE",
                        "-o", self.library, os.path.join(here, name + ".c"), "-ldl", "-pthread"],
                       check=True)
        with open(self.page, "wb") as f:
            f.write(bytes(8 * self.SLOTS))
        self.env = {"LD_PRELOAD": self.library, "SHIM_PAGE": self.page}

    def set(self, slot, value):
        fd = os.open(self.page, os.O_WRONLY)
        os.pwrite(fd, ctypes.c_int64(value), 8 * slot)
        os.close(fd)

    def get(self, slot):
        fd = os.open(self.page, os.O_RDONLY)
        value = struct.unpack("q", os.pread(fd, 8, 8 * slot))[0]
        os.close(fd)
        return value
