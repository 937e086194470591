#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Functions that cannot be used safely, and notes about work left undone.
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
bad=0 files=0

# Calls; comments and strings are taken out first, so that text may name them. A line of a comment
# begins with a star and a blank, a pointer's assignment with a star and a name.
code() { sed -e 's/"\([^"\\]\|\\.\)*"/""/g' -e 's,/\*.*\*/,,g' -e 's,/\*.*,,' -e 's,^ *\*\( .*\|/.*\|\)$,,' "$1"; }
calls='strcpy|stpcpy|strncpy|strcat|strncat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof'
calls="$calls|alloca|tmpnam|tempnam|mktemp|gethostbyname|asctime|ctime|gmtime|localtime|vfork"
in_src='system|popen|sleep|usleep|rand|srand|random'
while IFS= read -r file; do
    case $file in src/*) pattern="$calls|$in_src" ;; *) pattern=$calls ;; esac
    if hits=$(code "$file" | grep -n -E "(^|[^[:alnum:]_.>])($pattern) *\("); then
        while IFS= read -r hit; do echo "$file:$hit"; done <<<"$hits"
        bad=1
    fi
    files=$((files + 1))
done < <(find src tests -name '*.[ch]' | sort)
[ $files -gt 100 ] || { echo "banned: the sources are not found"; exit 99; }

# Written so that this line does not find itself.
notes=$(find src tests bootstrap Makefile.am configure.ac -type f ! -name '*.pyc' -exec \
    grep -H -n -E '\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b' {} +)
if [ -n "$notes" ]; then
    echo "$notes"
    bad=1
fi
[ $bad = 0 ] || echo "banned: use the bounded form (snprintf, memcpy with a length, str_u64, strtok_r, gmtime_r); finish what is noted"
exit $bad
