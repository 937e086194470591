# SPDX-License-Identifier: Apache-2.0
"""What /proc says of a process: CPU time of all its threads in nanoseconds, resident memory."""

import os
import re


def cpu_ns(pids):
    """User and system time of every thread. schedstat counts nanoseconds; without it, ticks."""
    total = 0
    for pid in pids:
        for path in tasks(pid):
            try:
                with open(path + "schedstat", encoding="ascii") as f:
                    total += int(f.read().split()[0])
            except OSError:
                total += tick_ns(path)
    return total


def tick_ns(path):
    try:
        with open(path + "stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0  # the thread ended
    return (int(fields[11]) + int(fields[12])) * 1000000000 // os.sysconf("SC_CLK_TCK")


def rss_kib(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            total += int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
    return total


def tasks(pid):
    return ["/proc/%d/task/%s/" % (pid, task) for task in os.listdir("/proc/%d/task" % pid)]


def tracer(task):
    """The process that traces a task, 0 for none."""
    with open(task + "status", encoding="ascii") as f:
        return int(re.search(r"TracerPid:\s+(\d+)", f.read())[1])


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
        return [int(x) for x in f.read().split()]


def pin(pids, cpus):
    for pid in pids:
        for task in os.listdir("/proc/%d/task" % pid):
            os.sched_setaffinity(int(task), cpus)
