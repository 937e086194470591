# SPDX-License-Identifier: Apache-2.0
"""What a running process keeps in its memory, read as root through /proc: no secret may outlive its
use, and none in use may stand where a core dump would take it."""

import os
import re

import pytest

import daemon as daemons

# A test reads another process' memory: root's business, and without a sanitizer's copies.
readable = pytest.mark.skipif(os.geteuid() != 0 or daemons.instrumented(),
                              reason="needs root, and no sanitizer or wrapper")

ZERO = bytes(4096)
SMAPS = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (rw\S+) \S+ \S+ \S+ *(.*)\n(?:(?!VmFlags).*\n)*VmFlags: (.*)$",
                   re.M)


def snapshot(pid):
    """[(what the mapping is, kept out of dumps, its bytes)] of all that can be written."""
    out = []
    with open("/proc/%d/smaps" % pid, encoding="ascii") as f:
        maps = SMAPS.findall(f.read())
    with open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for start, end, _, name, flags in maps:
            try:
                mem.seek(int(start, 16))
                data = mem.read(int(end, 16) - int(start, 16))
            except (OSError, ValueError, OverflowError):
                continue  # [vvar] and the like
            # most of it is stacks that were never used
            pages = (data[i:i + 4096] for i in range(0, len(data), 4096))
            data = b"".join(p for p in pages if p != ZERO[:len(p)])
            out.append((name or "anonymous", "dd" in flags.split(), data))
    assert sum(len(data) for _, _, data in out) > 1 << 20, "nothing could be read"
    return out


def places(memory, needle):
    """[(what, kept out of dumps, what stands around it)] for each place of needle."""
    out = []
    needle = needle.encode() if isinstance(needle, str) else needle
    for name, hidden, data in memory:
        at = data.find(needle)
        while at >= 0:
            out.append((name, hidden, data[max(0, at - 40):at + len(needle) + 40]))
            at = data.find(needle, at + 1)
    return out
