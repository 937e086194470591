#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# a hundred failing calls of each kind, in requests, reloads and commands (CI_TORTURE, CI_SEED; "all" takes hours)
set -u
SIGFERRY=$CI_BUILD/sigferry SIGFERRY_TORTURE=${CI_TORTURE:-100} SIGFERRY_SEED=${CI_SEED:-1} \
    tests/it/run.sh test_torture.py -s --tb=short | tee "$CI_BUILD/torture.log"
rc=${PIPESTATUS[0]}
# shellcheck source=.ci/cases.sh
. .ci/cases.sh
log=$CI_BUILD/torture.log
echo "passed=$(cases "$log" passed) failed=$(($(cases "$log" failed) + $(cases "$log" error))) skipped=$(cases "$log" skipped)" >"$CI_RESULT"
exit "$rc"
