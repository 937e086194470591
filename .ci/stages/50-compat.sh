#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# real clients, unmodified: curl, wget, Python, Node, Perl and the clouds' Node SDKs
# Installs what is missing of them, where that can be done; each test of a client that is still
# missing counts as skipped, and the client is named. SIGFERRY_COMPAT_ALL=1 makes that a failure.
set -u
if [ ! -f "$CI_BUILD/Makefile" ]; then
    echo "skipped: $CI_BUILD is not configured (stage check)"
    exit 77
fi
missing=()
command -v wget >/dev/null || missing+=(wget)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
perl -MLWP -e 1 2>/dev/null || missing+=(libwww-perl)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null; then
    log=$CI_BUILD/compat-apt.log
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    echo "installing ${missing[*]}"
    timeout 300 "${as_root[@]}" apt-get -q update >"$log" 2>&1
    for name in "${missing[@]}"; do
        timeout 600 "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -q install -y --no-install-recommends "$name" >>"$log" 2>&1 ||
            echo "$name could not be installed: $(tail -n 1 "$log")"
    done
fi
table=${CI_COMPAT_TABLE:-$CI_BUILD/compat-table.md}
SIGFERRY_COMPAT_TABLE=$table make -s -C "$CI_BUILD" compat 2>&1 | tee "$CI_BUILD/compat.log"
rc=${PIPESTATUS[0]}
# shellcheck source=.ci/cases.sh
. .ci/cases.sh
log=$CI_BUILD/compat.log
echo "passed=$(cases "$log" passed) failed=$(($(cases "$log" failed) + $(cases "$log" error))) skipped=$(cases "$log" skipped)" >"$CI_RESULT"
! grep -q '^skipped: ' "$CI_BUILD/compat.log" || exit 77
exit "$rc"
