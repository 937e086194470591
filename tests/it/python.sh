# SPDX-License-Identifier: Apache-2.0
# For run.sh here and in ../compat, which source it with $here set: the source tree, the binary, and
# $PYTEST_PYTHON, a Python that has pytest; ends with 77 where there is none.
: "${SIGFERRY_SRC:=$(cd "$here/../.." && pwd)}"
: "${SIGFERRY:=$SIGFERRY_SRC/build/sigferry}"
export SIGFERRY SIGFERRY_SRC
# The source tree may be read-only.
export PYTHONDONTWRITEBYTECODE=1
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
[ -x "$SIGFERRY" ] || { echo "no binary at $SIGFERRY: build it, or set SIGFERRY"; exit 99; }
