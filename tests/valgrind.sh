#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The unit tests under valgrind: errors and definite leaks fail. Started in a build directory; programs may
# be named. (The integration tests: SIGFERRY_WRAPPER, see tests/it/README.md.)
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
export srcdir=$top CK_DEFAULT_TIMEOUT=600 CK_TIMEOUT_MULTIPLIER=20
[ $# -gt 0 ] || mapfile -t programs < <(find tests/unit -name 'test_*' -type f -perm -u+x | sort)
[ $# -eq 0 ] || programs=("$@")
[ ${#programs[@]} -gt 0 ] || { echo "no unit tests are built here ($PWD): make check TESTS="; exit 1; }
bad=0 build=$PWD
# One that replaces malloc itself has nothing for valgrind to see.
for program in "${programs[@]}"; do
    case $program in *test_torture) continue ;; esac
    if out=$(cd "$top" && valgrind -q --trace-children=no --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite \
        --suppressions="$top/tests/valgrind.supp" "$build/$program" 2>&1); then
        tail -n 1 <<<"$out" | sed "s,^,$(basename "$program"): ,"
    else
        echo "$program FAILED"
        tail -n 40 <<<"$out"
        bad=1
    fi
done
exit $bad
