#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Static analysis of src: gcc -fanalyzer, clang-tidy (.clang-tidy says which checks) and cppcheck, those
# that are installed. Not part of `make check`: it takes minutes. Files may be named. analyze-known.txt
# has what gcc is wrong about; a row that matches nothing is named, for it may go.
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
export LC_ALL=C
flags="-std=c11 -D_GNU_SOURCE -Isrc -DPACKAGE_VERSION=\"0\" $(pkg-config --cflags libmicrohttpd \
    libcurl openssl jansson libconfig 2>/dev/null)"
export flags
[ $# -gt 0 ] || mapfile -t files < <(find src -name '*.c' | sort)
whole=$(($# == 0))
[ $# -eq 0 ] || files=("$@")
bad=0 ran=0

# unknown: of gcc's warnings, one a line with its function in front, those that are not in analyze-known.txt.
unknown() {
    awk -v whole=$whole '
        FNR == NR {
            if (/^src/) {
                reason[$1 " " $2 " " $3] = 1
                order[++rows] = $1 " " $2 " " $3
            }
            next
        }
        {
            split($2, at, ":")
            warning = $NF
            gsub(/[][]/, "", warning)
            key = at[1] " " $1 " " warning
            if (key in reason) seen[key] = 1
            else print
        }
        END {
            for (i = 1; whole && i <= rows; i++)
                if (!(order[i] in seen))
                    print "analyze-known.txt: nothing matches: " order[i] >"/dev/stderr"
        }' tests/lint/analyze-known.txt -
}

# each TOOL COMMAND [FILTER]: for each file, as many at once as there are CPUs; silence is success.
each() {
    local out
    command -v "$1" >/dev/null || { echo "$1 is not installed: left out"; return; }
    ran=$((ran + 1))
    out=$(printf '%s\n' "${files[@]}" | xargs -P"$(nproc)" -I{} bash -c "$2" analyze {} 2>&1 | "${3:-cat}")
    if [ -n "$out" ]; then
        printf '%s\n' "$out"
        bad=1
    fi
    echo "$1: ${#files[@]} files$([ -n "$out" ] && echo ', see above')"
}

# shellcheck disable=SC2016 # for the inner shells
each gcc 'gcc $flags -O1 -fanalyzer -fno-diagnostics-show-caret -fdiagnostics-path-format=none \
    -c -o /dev/null "$1" 2>&1 |
    sed -n -e "s/.*In function .\([a-z0-9_]*\).*/\1/" -e "/^[a-z0-9_]*\$/{h;d}" -e "/ \(warning\|error\): /{G;s/\(.*\)\n\(.*\)/\2 \1/p}"' unknown
# shellcheck disable=SC2016
each clang-tidy 'clang-tidy --quiet "$1" -- $flags 2>/dev/null || echo "$1: clang-tidy ended with $?"'
# shellcheck disable=SC2016
each cppcheck 'cppcheck -q --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
    -D__GNUC__ -Isrc "$1"'
[ $ran -gt 0 ] || exit 77
exit $bad
