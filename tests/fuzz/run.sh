#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzzer, or those that are named, for a while, one on each CPU:
#     tests/fuzz/run.sh [SECONDS [NAME...]]        60 and all are the defaults
# Needs a build with
#   mkdir build-fuzz && cd build-fuzz && ../configure CC=clang --enable-fuzzers && make
# and is started there. What it finds stays in that directory; tests/fuzz/corpus has the inputs to
# begin with.
set -u
seconds=${1:-60}
shift $(($# > 0))
here=$(cd "$(dirname "$0")" && pwd)
export LSAN_OPTIONS=suppressions=$here/../lsan.supp:print_suppressions=0
[ $# -gt 0 ] || set -- "$here"/fuzz_*.c
jobs=$(nproc)

# run NAME: one fuzzer, one line.
run() {
    local name=$1 log=corpus/$1.log start=$SECONDS rc runs edges
    local seeds=()
    mkdir -p "corpus/$name"
    [ ! -d "$here/corpus/${name#fuzz_}" ] || seeds=("$here/corpus/${name#fuzz_}")
    "tests/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        "corpus/$name" ${seeds[@]+"${seeds[@]}"} >"$log" 2>&1
    rc=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    printf '%-16s %10s inputs in %3d s, %5s edges: ' "$name" "${runs:-?}" $((SECONDS - start)) "${edges#cov: }"
    if [ $rc -eq 0 ]; then
        echo "nothing found"
    else
        echo "FAILED, see $PWD/$log"
        tail -n 30 "$log"
        echo "$name" >>corpus/failed
    fi
}

mkdir -p corpus && : >corpus/failed || exit 1
for name; do
    name=$(basename "$name" .c)
    if [ ! -x "tests/fuzz/$name" ]; then
        echo "no tests/fuzz/$name here: configure with --enable-fuzzers, and make"
        exit 1
    fi
    [ "$(jobs -r | wc -l)" -lt "$jobs" ] || wait -n
    run "$name" &
done
wait
[ ! -s corpus/failed ] || exit 1
echo "no fuzzer found anything"
