#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How much of src the unit and integration tests run: tests/coverage.sh [DIRECTORY]. Builds with gcov
# there (default: coverage/ in the current directory), runs `make check`, and prints lines and branches
# of each module. Ends with 1 below 90 % of lines or 80 % of branches. Branches of assertions do not
# count: they are never taken.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-coverage}" && cd "${1:-coverage}" || exit 1
if [ ! -f Makefile ]; then
    "$top/configure" -q CFLAGS="-O0 -g --coverage -DNDEBUG -Wno-error" || exit 1
fi
make -s -j"$(nproc)" sigferry || exit 1
find . -name '*.gcda' -delete
make -s -k -j"$(nproc)" check >check.log 2>&1
grep -E '^# [A-Z]+:' check.log
objects=$(find src -name '*.gcda' | sed 's/\.gcda$/.o/')
# shellcheck disable=SC2086 # words
gcov --json-format --stdout --branch-probabilities $objects 2>/dev/null >gcov.json
python3 - "$top" <<'PYTHON'
import collections
import json
import os
import sys

top = os.path.realpath(sys.argv[1])
lines, branches = collections.defaultdict(dict), collections.defaultdict(dict)
for text in open("gcov.json", encoding="utf-8"):
    data = json.loads(text)
    for file in data["files"]:
        path = os.path.realpath(os.path.join(data["current_working_directory"], file["file"]))
        if not path.startswith(top + "/src/"):
            continue
        path = path[len(top) + 1:]
        for line in file["lines"]:
            n = line["line_number"]
            lines[path][n] = lines[path].get(n, 0) + line["count"]
            for i, b in enumerate(line["branches"]):
                if not b["throw"]:
                    branches[path][n, i] = branches[path].get((n, i), 0) + b["count"]


def share(table):
    return sum(c > 0 for c in table), len(table)


def row(name, files):
    a, b = share([c for f in files for c in lines[f].values()]), share([c for f in files for c in branches[f].values()])
    percent = [100 * x / max(y, 1) for x, y in (a, b)]
    print("| %s | %d | %.1f %% | %.1f %% |" % (name, a[1], *percent))
    return percent


known = sorted(lines)
missing = sorted(os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top + "/src") for f in fs
                 if f.endswith(".c") and os.path.relpath(os.path.join(d, f), top) not in lines)
print("| module | lines | run | branches taken |\n|---|---|---|---|")
for module in "base http sign endpoint io conf cred proxy daemon cli".split():
    row("`%s`" % module, [f for f in known if f.startswith("src/%s/" % module)])
total = row("all", known)
with open("files.txt", "w", encoding="utf-8") as out:
    for f in known:
        a, b = share(lines[f].values()), share(branches[f].values())
        out.write("%5.1f %5.1f %4d %s %s\n" % (100 * a[0] / max(a[1], 1), 100 * b[0] / max(b[1], 1), a[1] - a[0], f,
                                          " ".join(str(n) for n in sorted(lines[f]) if not lines[f][n])))
print("each file with the lines that no test ran: %s" % os.path.realpath("files.txt"))
if missing:
    print("only data, or never run: %s" % " ".join(missing))
sys.exit(total[0] < 90 or total[1] < 80)
PYTHON
