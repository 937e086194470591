#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No file in src longer than 500 lines, no function longer than 80. Generated tables are exempt
# when their first lines say "generated".
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
# shellcheck disable=SC2016 # awk's own names
find src -name '*.[ch]' -print0 | sort -z | xargs -0 awk '
    function close_file() {
        if (file != "" && !generated && lines > 500) {
            printf "%s: %d lines, at most 500\n", file, lines
            bad = 1
        }
    }
    FNR == 1 { close_file(); file = FILENAME; generated = 0; start = 0; files++ }
    { lines = FNR }
    FNR <= 5 && /[Gg]enerated by/ { generated = 1 }
    # Linux braces: the body of a function, and only that, opens in the first column.
    /^\{/ { start = FNR; head = previous }
    /^\}/ && start {
        if (FNR - start + 1 > 80) {
            printf "%s:%d: %d lines, at most 80: %s\n", FILENAME, start, FNR - start + 1, head
            bad = 1
        }
        start = 0
    }
    { previous = $0 }
    END {
        close_file()
        if (files < 100) {
            print "limits: the sources are not found"
            bad = 1
        }
        exit bad
    }
'
