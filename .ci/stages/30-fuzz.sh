#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# every fuzzer for 60 seconds, with ASan and UBSan (CI_FUZZ_SECONDS)
set -u
if ! command -v clang >/dev/null; then
    echo "skipped: clang is not installed"
    exit 77
fi
[ -x configure ] || autoreconf -fi || exit 1
mkdir -p "$CI_BUILD-fuzz" && cd "$CI_BUILD-fuzz" || exit 1
top=..
[ -f Makefile ] || $top/configure -q CC=clang --enable-fuzzers || exit 1
make -s -j"$(nproc)" || exit 1
$top/tests/fuzz/run.sh "${CI_FUZZ_SECONDS:-60}" | tee fuzz.log
rc=${PIPESTATUS[0]}
echo "passed=$(grep -c '^fuzz_.*nothing found$' fuzz.log) failed=$(grep -c '^fuzz_.*FAILED' fuzz.log)" >"$CI_RESULT"
exit "$rc"
