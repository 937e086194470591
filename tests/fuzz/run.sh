#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzzer for a while: tests/fuzz/run.sh [SECONDS]. Needs a build with
#   mkdir build-fuzz && cd build-fuzz && ../configure CC=clang --enable-fuzzers && make
# and is started there. What it finds stays in that directory;
# tests/fuzz/corpus has the inputs to begin with.
set -eu
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
export LSAN_OPTIONS=suppressions=$here/../lsan.supp:print_suppressions=0
for source in "$here"/fuzz_*.c; do
    name=$(basename "$source" .c)
    [ -x "tests/fuzz/$name" ] || { echo "no tests/fuzz/$name here: configure with --enable-fuzzers"; exit 1; }
    mkdir -p "corpus/$name"
    seeds=()
    [ ! -d "$here/corpus/${name#fuzz_}" ] || seeds=("$here/corpus/${name#fuzz_}")
    echo "== $name, $seconds s"
    "tests/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
        -verbosity=0 "corpus/$name" ${seeds[@]+"${seeds[@]}"}
done
echo "no fuzzer found anything"
