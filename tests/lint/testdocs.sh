#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test that the documents name exists: a claim whose test was renamed or dropped is held by nothing.
# Understood are `test_file.py`, `test_file.py: test_name`, `test_name`, and the lists behind a file's name,
# as in "`test_file.py`: a_name, another, one_that_begins…".
# shellcheck disable=SC2016 # the backquotes are Markdown
set -u
export LC_ALL=C.UTF-8
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
bad=0 named=0
fail() {
    echo "$*"
    bad=1
}
docs=(README.md README.zh-CN.md docs/*.md tests/it/README.md)

# The tests in some files: functions of Python without "test_", checks of C.
tests_in() {
    sed -n -E -e 's/^ *def test_([a-z0-9_]+)\(.*/\1/p' -e 's/^START_TEST\(([a-z0-9_]+)\).*/\1/p' "$@"
}
mapfile -t files < <(find tests -name '*.py' -o -name 'test_*.c' -o -name 'fuzz_*.c' | sort)
functions=$(tests_in "${files[@]}")
# The file of that name; without an ending, a unit test before an integration test.
file_of() {
    local name=${1##*/}
    case $name in *.*) ;; *) name="$name.c|$name.py" ;; esac
    printf '%s\n' "${files[@]}" | grep -E "/($name)\$" | sort -t. -k2 | head -n 1
}

# Words that are a file's or a function's name.
while IFS=: read -r doc word; do
    named=$((named + 1))
    [ -n "$(file_of "$word")" ] || grep -q -x -F -e "${word#test_}" <<<"$functions" ||
        fail "$doc: there is no $word"
done < <(grep -o -H -E '\b(test|soak|fuzz)_[a-z0-9_]*[a-z0-9](\.py|\.c)?\b' "${docs[@]}" | sort -u)

# "DOCUMENT FILE NAME" of each name that stands behind a file's.
while read -r doc file name; do
    named=$((named + 1))
    path=$(file_of "$file")
    [ -n "$path" ] || continue # told above
    case $name in
    *…) tests_in "$path" | grep -q -e "^${name%…}" ;;
    *) tests_in "$path" | grep -q -x -F -e "${name#test_}" ;;
    esac || fail "$doc: $path has no test $name"
done < <(awk '
    {
        rest = $0
        while (match(rest, /`[a-z\/]*test_[a-z0-9_]+(\.py|\.c)?`?: [^;|(`]+/)) {
            found = substr(rest, RSTART + 1, RLENGTH - 1)
            rest = substr(rest, RSTART + RLENGTH)
            at = index(found, ": ")
            file = substr(found, 1, at - 1)
            sub(/`$/, "", file)
            count = split(substr(found, at + 2), names, /, | and /)
            for (i = 1; i <= count; i++)
                if (names[i] ~ /^[a-z0-9_]+(…)? *$/) print FILENAME, file, names[i]
        }
    }' "${docs[@]}")
[ $named -ge 150 ] || fail "the names of tests in the documents are not found: only $named"
exit $bad
