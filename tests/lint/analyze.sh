#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Static analysis of src: gcc -fanalyzer, clang-tidy (.clang-tidy says which checks) and cppcheck, those
# that are installed. Not part of `make check`: it takes minutes. Files may be named. analyze-known.txt
# has what they are wrong about.
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
flags="-std=c11 -D_GNU_SOURCE -Isrc -DPACKAGE_VERSION=\"0\" $(pkg-config --cflags libmicrohttpd \
    libcurl openssl jansson libconfig 2>/dev/null)"
export flags
[ $# -gt 0 ] || mapfile -t files < <(find src -name '*.c' | sort)
[ $# -eq 0 ] || files=("$@")
bad=0 ran=0

# each TOOL COMMAND: for each file, as many at once as there are CPUs; silence is success.
each() {
    local out
    command -v "$1" >/dev/null || { echo "$1 is not installed: left out"; return; }
    ran=$((ran + 1))
    out=$(printf '%s\n' "${files[@]}" | xargs -P"$(nproc)" -I{} bash -c "$2" analyze {} 2>&1)
    while read -r file warning _; do
        case $file in src/*) out=$(grep -v "^$file:.*$warning" <<<"$out") ;; esac
    done <tests/lint/analyze-known.txt
    if [ -n "$out" ]; then
        printf '%s\n' "$out"
        bad=1
    fi
    echo "$1: ${#files[@]} files$([ -n "$out" ] && echo ', see above')"
}

# shellcheck disable=SC2016 # for the inner shells
each gcc 'gcc $flags -O1 -fanalyzer -c -o /dev/null "$1" 2>&1 | grep warning:'
# shellcheck disable=SC2016
each clang-tidy 'clang-tidy --quiet "$1" -- $flags 2>/dev/null'
# shellcheck disable=SC2016
each cppcheck 'cppcheck -q --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
    -D__GNUC__ -Isrc "$1"'
[ $ran -gt 0 ] || exit 77
exit $bad
