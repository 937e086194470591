#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build with warnings as errors; unit, lint and integration tests
set -u
build=$CI_BUILD
# Results of an earlier run must not be counted.
find "$build" -name '*.trs' -delete 2>/dev/null
rm -f "$build/tests/it/run.log"

# shellcheck disable=SC2086 # words
VERBOSE=1 ./bootstrap check -- --enable-werror $CI_OPTIONS
rc=$?

# count FIELD…: automake's results of that kind, without the run that pytest counts itself.
count() {
    local pattern
    pattern=$(IFS='|' && echo "$*")
    find "$build" -name '*.trs' ! -path "$build/tests/it/run.trs" -exec cat {} + 2>/dev/null |
        grep -c -E "^:test-result: ($pattern)( |\$)"
}
# shellcheck source=.ci/cases.sh
. .ci/cases.sh
log=$build/tests/it/run.log
passed=$(($(count PASS XFAIL) + $(cases "$log" passed) + $(cases "$log" xfailed)))
failed=$(($(count FAIL XPASS ERROR) + $(cases "$log" failed) + $(cases "$log" error)))
skipped=$(($(count SKIP) + $(cases "$log" skipped)))
if grep -q -s '^:test-result: SKIP' "$build/tests/it/run.trs"; then
    echo "the integration tests were left out: $(head -n 1 "$log")"
    skipped=$((skipped + 1))
fi
if [ -z "$(find "$build/tests/unit" -name '*.trs' 2>/dev/null)" ]; then
    echo "the unit tests were left out: configure found no check (Debian: apt-get install check)"
    skipped=$((skipped + 1))
fi
echo "passed=$passed failed=$failed skipped=$skipped" >"$CI_RESULT"
exit $rc
