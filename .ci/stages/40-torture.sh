#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# a hundred failing calls of each kind, in requests, reloads and commands (CI_TORTURE, CI_SEED; "all" takes hours)
set -u
SIGFERRY=$CI_BUILD/sigferry SIGFERRY_TORTURE=${CI_TORTURE:-100} SIGFERRY_SEED=${CI_SEED:-1} \
    tests/it/run.sh test_torture.py -s --tb=short | tee "$CI_BUILD/torture.log"
rc=${PIPESTATUS[0]}
last=$(tail -n 1 "$CI_BUILD/torture.log")
number() { grep -o "[0-9]* $1" <<<"$last" | cut -d' ' -f1; }
echo "passed=$(number passed) failed=$(number failed) skipped=$(number skipped)" |
    sed 's/=\( \|$\)/=0\1/g' >"$CI_RESULT"
exit "$rc"
