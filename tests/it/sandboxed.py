#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command under what a unit file's sandbox does by seccomp: its SystemCallFilter, its address
families, no writable and executable memory, and its limits. For SIGFERRY_WRAPPER:

    SIGFERRY_WRAPPER="tests/it/sandboxed.py systemd/sigferry.service" SIGFERRY_TIMESCALE=1 \
        python3 -m pytest -q tests/it

Exits with 77 when systemd-analyze or libseccomp are not there."""

import ctypes
import os
import re
import resource
import socket
import subprocess
import sys

ALLOW, MASKED_EQ, EQ, NO_NEW_PRIVS = 0x7FFF0000, 7, 4, 38
WRITE, EXEC = 2, 4
LIMITS = {"CORE": "RLIMIT_CORE", "NOFILE": "RLIMIT_NOFILE", "MEMLOCK": "RLIMIT_MEMLOCK"}


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


def settings(path):
    """{key: [values]} of the [Service] section, an empty value clearing what came before."""
    out, section = {}, ""
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.strip()
            if line.startswith("["):
                section = line
            key, eq, value = line.partition("=")
            if section == "[Service]" and eq and not line.startswith(("#", ";")):
                out.setdefault(key.strip(), []).append(value.strip())
    return out


def groups():
    """systemd's own groups: {"@io-event": {names and groups}}."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True,
                          text=True, check=True).stdout
    out, name = {}, None
    for line in text.splitlines():
        if line.startswith("@"):
            name = line.strip()
            out[name] = set()
        elif name and re.match(r"\s+[@a-z_]", line) and not line.strip().startswith("#"):
            out[name].add(line.strip())
    return out


def expand(name, all_groups):
    if not name.startswith("@"):
        return {name}
    return set().union(*(expand(n, all_groups) for n in all_groups[name]))


def allowed(lines):
    """What the filter lines leave: the first says that it is a list of what may be called."""
    known = groups()
    out = expand("@default", known)
    for line in lines:
        names = set().union(*(expand(n, known) for n in line.lstrip("~").split()))
        out = out - names if line.startswith("~") else out | names
    return out


def restrict(unit):
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
                                           ctypes.POINTER(Comparison)]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    context = lib.seccomp_init(0x00050000 | 1)  # everything else: EPERM

    def allow(name, *comparisons):
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # not on this architecture
        rules = (Comparison * len(comparisons))(*comparisons)
        if lib.seccomp_rule_add_array(context, ALLOW, number, len(comparisons), rules) != 0:
            raise OSError("no rule for " + name)

    names = allowed(unit["SystemCallFilter"])
    special = set()
    if "RestrictAddressFamilies" in unit and "socket" in names:
        special.add("socket")
        for family in " ".join(unit["RestrictAddressFamilies"]).split():
            allow("socket", Comparison(0, EQ, getattr(socket, family), 0))
    if unit.get("MemoryDenyWriteExecute") == ["yes"]:
        special |= {"mmap", "mprotect", "pkey_mprotect"}
        for prot in (0, WRITE, EXEC):
            allow("mmap", Comparison(2, MASKED_EQ, WRITE | EXEC, prot))
        for name in ("mprotect", "pkey_mprotect"):
            allow(name, Comparison(2, MASKED_EQ, EXEC, 0))
    for name in names - special:
        allow(name)
    if ctypes.CDLL(None).prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or lib.seccomp_load(context) != 0:
        raise OSError("the filter was not loaded")


def limits(unit):
    for name, key in LIMITS.items():
        value = unit.get("Limit" + name, [None])[-1]
        if value is not None:
            number = int(value.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(value[-1], 0)
            hard = resource.getrlimit(getattr(resource, key))[1]
            number = number if hard == resource.RLIM_INFINITY else min(number, hard)
            resource.setrlimit(getattr(resource, key), (number, number))


def main():
    unit = settings(sys.argv[1])
    # Test environments name what the unit takes away: SSLKEYLOGFILE, proxies. It stays for them.
    limits(unit)
    if "UMask" in unit:
        os.umask(int(unit["UMask"][-1], 8))
    try:
        restrict(unit)
    except (OSError, subprocess.CalledProcessError) as e:
        print("sandboxed: %s" % e, file=sys.stderr)
        sys.exit(77)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
