#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# two minutes of everything that can go wrong at once (CI_CHAOS_MINUTES)
set -u
here=$PWD/tests/it SIGFERRY=$CI_BUILD/sigferry
# shellcheck source=tests/it/python.sh
. "$here/python.sh"
SIGFERRY_SEED=$RANDOM "$PYTEST_PYTHON" tests/it/soak_chaos.py "${CI_CHAOS_MINUTES:-2}"
