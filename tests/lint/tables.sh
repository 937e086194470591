#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The endpoint tables are what their generator makes of endpoints.json.
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
if ! python3 -c '' 2>/dev/null; then
    echo "skipped: python3 is not installed"
    exit 77
fi
PYTHONDONTWRITEBYTECODE=1 python3 src/endpoint/gen_table.py --check
