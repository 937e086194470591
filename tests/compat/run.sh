#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The compatibility suite: real clients against the binary in $SIGFERRY. The SDKs of package.json are
# installed by npm into a temporary directory ($SIGFERRY_COMPAT_CACHE keeps them for the next run).
# More arguments go to pytest. Ends with a table client x feature; a client that is not installed
# fills its row with "not run".
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/it/python.sh
. "$here/../it/python.sh"

# lacking CLIENT WHY: with SIGFERRY_COMPAT_ALL=1 a missing client is a failure.
lacking() {
    echo "compat: $1 is left out: $2"
    if [ "${SIGFERRY_COMPAT_ALL:-0}" = 1 ]; then exit 99; fi
}

cache=${SIGFERRY_COMPAT_CACHE:-}
if [ -z "$cache" ]; then
    cache=$(mktemp -d) || exit 99
    trap 'rm -rf "$cache"' EXIT
fi
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    lacking "the Node SDKs" "node or npm is not installed (Debian: apt-get install nodejs npm)"
else
    mkdir -p "$cache" || exit 99
    if ! cmp -s "$here/package.json" "$cache/package.json" || [ ! -d "$cache/node_modules" ]; then
        rm -rf "$cache/node_modules"
        cp "$here/package.json" "$cache/package.json"
        if ! (cd "$cache" && npm install --no-package-lock --ignore-scripts --no-audit --no-fund \
            --loglevel=error >npm.log 2>&1); then
            tail -n 5 "$cache/npm.log"
            rm -rf "$cache/node_modules"
            lacking "the Node SDKs" "npm could not install them"
        fi
    fi
    export SIGFERRY_COMPAT_MODULES=$cache/node_modules
fi
if ! perl -MLWP -MJSON::PP -e 1 2>/dev/null; then
    lacking "Perl's LWP" "not installed (Debian: apt-get install libwww-perl)"
fi

"$PYTEST_PYTHON" -m pytest -q --tb=short -p no:cacheprovider "$here" "$@"
