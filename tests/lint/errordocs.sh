#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/ERRORS.md has a row for every error of src/base/err.def, with its status and the kind it is
# tried again under, and no other row.
# shellcheck disable=SC2016 # the backquotes are Markdown
set -u
export LC_ALL=C.UTF-8
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99

# "CODE STATUS KIND" of each: X(ID, 400, "MissingService", NONE, …) and | `MissingService` | 400 | – |
defined() {
    sed -n -E 's/^X\([A-Z_]+, *([0-9]+), *"([A-Za-z]+)", *([A-Z]+),.*/\2 \1 \3/p' src/base/err.def |
        tr '[:upper:]' '[:lower:]'
}
documented() {
    sed -n -E 's/^\| `([A-Za-z]+)` \| ([0-9]+) \| ([^ ]+) \|.*/\1 \2 \3/p' docs/ERRORS.md |
        sed -e 's/ –$/ none/' | tr '[:upper:]' '[:lower:]'
}
bad=0
[ "$(defined | wc -l)" = "$(grep -c '^X(' src/base/err.def)" ] || {
    echo "src/base/err.def: its rows are not understood"
    bad=1
}
if ! diff <(defined | sort) <(documented | sort); then
    echo "src/base/err.def (<) and docs/ERRORS.md (>) differ"
    bad=1
fi
exit $bad
