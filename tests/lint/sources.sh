#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source, header, unit test, fuzzer and lint script stands in Makefile.am's lists, and nothing else does.
# `sources.sh --fix` writes the lists anew from the tree.
set -u
export LC_ALL=C
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
layers="base http sign endpoint io conf cred proxy daemon cli"

# list NAME FILE...
list() {
    local name=$1 file
    shift
    [ $# -gt 0 ] || { printf '%s =\n' "$name"; return; }
    printf '%s =' "$name"
    for file in "$@"; do printf ' \\\n\t%s' "$file"; done
    printf '\n'
}

wanted() {
    local layer
    for layer in $layers; do
        # shellcheck disable=SC2046 # our own names have no blanks
        list "${layer}_sources" $(find "src/$layer" -name '*.[ch]' -o -name '*.def' 2>/dev/null | sort)
    done
    # shellcheck disable=SC2046
    list unit_tests $(find tests/unit -name 'test_*.c' 2>/dev/null | sed 's/\.c$//' | sort)
    # shellcheck disable=SC2046
    list unit_helpers $(find tests/unit -name '*.[ch]' ! -name 'test_*.c' 2>/dev/null | sort)
    # shellcheck disable=SC2046
    list fuzz_tests $(find tests/fuzz -name 'fuzz_*.c' 2>/dev/null | sed 's/\.c$//' | sort)
    # shellcheck disable=SC2016 # make's variables
    find tests/fuzz -name 'fuzz_*.c' 2>/dev/null | sort |
        sed 's,^tests/fuzz/\(.*\)\.c$,tests_fuzz_\1_LDADD = $(core_libs) $(FUZZ_LDFLAGS),'
}

listed() { sed -n '/^# begin sources$/,/^# end sources$/p' Makefile.am | sed '1d;$d'; }

stray=$(find src -name '*.[ch]' | grep -v -x -e src/main.c |
    grep -v -E "^src/($(tr ' ' '|' <<<"$layers"))/")
if [ -n "$stray" ]; then
    printf 'not in the folder of a layer:\n%s\n' "$stray"
    exit 1
fi
if [ "${1:-}" = --fix ]; then
    new=$(mktemp) || exit 99
    sed '/^# begin sources$/q' Makefile.am >"$new"
    wanted >>"$new"
    sed -n '/^# end sources$/,$p' Makefile.am >>"$new"
    cmp -s "$new" Makefile.am || cat "$new" >Makefile.am
    rm -f "$new"
    exit 0
fi
if ! diff <(listed) <(wanted); then
    echo "Makefile.am's lists (<) and the tree (>) differ: run tests/lint/sources.sh --fix"
    exit 1
fi

# A lint script that stands in no list checks nothing. analyze.sh takes minutes: `make analyze`.
if ! diff <(sed -n '/^lint_tests =/,/[^\\]$/p' Makefile.am | grep -o 'tests/lint/[a-z_]*\.sh' | sort) \
    <(find tests/lint -name '*.sh' ! -name analyze.sh | sort); then
    echo "Makefile.am's lint_tests (<) and tests/lint (>) differ"
    exit 1
fi

# In a checkout: whatever else is in the tree is distributed as well. A worktree's .git is a file; git
# reads no checkout that belongs to somebody else.
if [ -e .git ] && git ls-files >/dev/null 2>&1; then
    # shellcheck disable=SC1003 # no quote is meant
    distributed=$(sed -n '/^EXTRA_DIST =/,/[^\\]$/p' Makefile.am | tr -d '\\')
    missing=$(git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
        [ -e "$file" ] || continue
        case $file in
        Makefile.am | configure.ac | README* | src/main.c) continue ;; # automake's own choice
        *.[ch] | *.def) continue ;;                                     # in the lists above
        esac
        part=$file
        while :; do
            grep -q -w -F -x "$part" <<<"$(tr -s '[:space:]' '\n' <<<"$distributed")" && break
            case $part in */*) part=${part%/*} ;; *) echo "$file" && break ;; esac
        done
    done)
    if [ -n "$missing" ]; then
        printf 'not in EXTRA_DIST (Makefile.am):\n%s\n' "$missing"
        exit 1
    fi
fi
