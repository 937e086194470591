#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the integration tests against the binary in $SIGFERRY (default: build/sigferry). Arguments go
# to pytest: run.sh test_signer.py -k retry
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${SIGFERRY_SRC:=$(cd "$here/../.." && pwd)}"
: "${SIGFERRY:=$SIGFERRY_SRC/build/sigferry}"
export SIGFERRY SIGFERRY_SRC
if [ -z "${PYTEST_PYTHON:-}" ]; then
    for PYTEST_PYTHON in python3 /usr/bin/python3 ''; do
        if [ -n "$PYTEST_PYTHON" ] && "$PYTEST_PYTHON" -c 'import pytest' 2>/dev/null; then break; fi
    done
fi
if [ -z "$PYTEST_PYTHON" ]; then
    echo "skipped: no python3 has pytest (Debian: apt-get install python3-pytest)"
    exit 77
fi
SIGFERRY=$(realpath "$SIGFERRY")
[ -x "$SIGFERRY" ] || { echo "no binary at $SIGFERRY"; exit 99; }
# The source tree may be read-only.
export PYTHONDONTWRITEBYTECODE=1
cd "$here" || exit 99
exec "$PYTEST_PYTHON" -m pytest -q -p no:cacheprovider "$@"
