#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every function and variable that is visible outside its file is used by another file of the
# program: what only its own file uses is static, what only tests use is dead. Exceptions, with
# their reason, are in exports.txt. Runs in the build directory, after the program was built.
set -u
export LC_ALL=C
src=${SIGFERRY_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
allowed=$src/tests/lint/exports.txt
nm=${NM:-nm}
build=$PWD
[ -f "$build/libcore.a" ] || build=$src/build
if [ ! -f "$build/libcore.a" ] || [ ! -f "$build/src/main.o" ]; then
    echo "skipped: nothing is built here ($PWD)"
    exit 77
fi
tables=$(mktemp) || exit 99
trap 'rm -f "$tables"' EXIT
$nm -A "$build/libcore.a" "$build/src/main.o" >"$tables" || exit 99

# nm -A: "libcore.a:buf.o:0000 T buf_add" or "…:buf.o:   U buf_add"; the object is the last part.
awk -v allowed="$allowed" '
    BEGIN {
        while ((getline line < allowed) > 0) {
            if (line ~ /^#/ || line ~ /^[ \t]*$/) continue
            split(line, part, /[ \t]+/)
            excepted[part[1]] = 1
        }
    }
    NF >= 3 {
        name = $NF; kind = $(NF - 1)
        object = $1; sub(/:[0-9a-f]*$/, "", object)
        # Names of sanitizers and of the compiler.
        if (name ~ /^__/ || name ~ /\./) next
        if (kind ~ /^[TDBRVWC]$/) defined[name] = object
        if (kind == "U") used[name] = 1
    }
    END {
        for (name in defined) {
            if (name == "main") continue
            if (!(name in used) && !(name in excepted)) {
                printf "%s (%s): no other file of the program uses it\n", name, defined[name]
                bad = 1
            }
        }
        for (name in excepted)
            if (!(name in defined) || (name in used)) {
                printf "%s: its row in exports.txt is not needed\n", name
                bad = 1
            }
        exit bad
    }' "$tables" | sort
exit "${PIPESTATUS[0]}"
