#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/CONFIG.md and etc/sigferry.conf are what the table of keys says.
# `confdocs.sh --fix` writes them anew, with the binary in $SIGFERRY or build/sigferry.
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
: "${SIGFERRY:=build/sigferry}"
if [ ! -x "$SIGFERRY" ]; then
    echo "skipped: no binary at $SIGFERRY"
    exit 77
fi
bad=0
# compare FILE OPTION
compare() {
    local now
    now=$("$SIGFERRY" config "$2") || { echo "sigferry config $2 failed"; exit 1; }
    if [ "$fix" = yes ]; then
        printf '%s\n' "$now" >"$1"
    elif ! diff -u "$1" <(printf '%s\n' "$now"); then
        echo "$1 (-) is not what \`sigferry config $2\` says (+): run tests/lint/confdocs.sh --fix"
        bad=1
    fi
}
fix=no
[ "${1:-}" != --fix ] || fix=yes
compare docs/CONFIG.md --reference
compare etc/sigferry.conf --template
exit $bad
