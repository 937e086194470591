#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the integration tests against the binary in $SIGFERRY (default: build/sigferry). Arguments go
# to pytest: run.sh test_signer.py -k retry
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/it/python.sh
. "$here/python.sh"
cd "$here" || exit 99
exec "$PYTEST_PYTHON" -m pytest -q -p no:cacheprovider "$@"
