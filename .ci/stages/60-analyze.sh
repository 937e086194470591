#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gcc -fanalyzer, clang-tidy and cppcheck over src
set -u
log=$CI_BUILD/analyze.log
mkdir -p "$CI_BUILD" || exit 1
bash tests/lint/analyze.sh 2>&1 | tee "$log"
rc=${PIPESTATUS[0]}
# One test a tool: "gcc: 150 files" is a pass, "…, see above" a failure.
count() { grep -c -E "^[a-z-]+( is|: [0-9]+ files)$1\$" "$log"; }
echo "passed=$(count '') failed=$(count ', see above') skipped=$(count ' not installed: left out')" >"$CI_RESULT"
exit "$rc"
