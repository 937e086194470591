#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# two minutes of everything that can go wrong at once (CI_CHAOS_MINUTES)
set -u
python=${PYTEST_PYTHON:-/usr/bin/python3}
export PYTHONDONTWRITEBYTECODE=1
if ! "$python" -c 'import pytest' 2>/dev/null; then
    echo "skipped: $python has no pytest"
    exit 77
fi
SIGFERRY=$CI_BUILD/sigferry SIGFERRY_SEED=$RANDOM "$python" tests/it/soak_chaos.py "${CI_CHAOS_MINUTES:-2}"
