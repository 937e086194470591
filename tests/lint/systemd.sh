#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The units are valid, and the services' sandbox is rated 1.1 or better (redis 1.2, resolved 2.2),
# offline: no running systemd is needed.
set -u
src=${SIGFERRY_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
if ! systemd-analyze --version >/dev/null 2>&1; then
    echo "skipped: there is no systemd-analyze (Debian: apt-get install systemd)"
    exit 77
fi
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/system" "$dir/user" "$dir/run"
# The program need not be installed for this.
for unit in "$src"/systemd/*.service "$src"/systemd/*.socket "$src"/systemd/user/*.service; do
    to=$dir/system
    case $unit in */user/*) to=$dir/user ;; esac
    sed 's,^ExecStart=/usr/bin/sigferry,ExecStart=/bin/true,' "$unit" >"$to/${unit##*/}"
    if ! grep -q '^ExecStart=/usr/bin/sigferry run' "$unit" && [ "${unit%.service}" != "$unit" ]; then
        echo "$unit: ExecStart= is not /usr/bin/sigferry run"
        exit 1
    fi
done
cp "$dir/system/sigferry@.service" "$dir/system/sigferry@some-name.service"
export XDG_RUNTIME_DIR=$dir/run
bad=0

# verify: warnings (an unknown or misspelt setting) are printed, but leave its status 0.
verify() {
    local said
    said=$(systemd-analyze "$@" 2>&1)
    # shellcheck disable=SC2181 # the status of the command above, after its output was kept
    if [ $? -ne 0 ] || grep -q -F "$dir" <<<"$said"; then
        echo "systemd-analyze $*:"
        echo "$said"
        bad=1
    fi
}
verify verify --man=no "$dir"/system/sigferry{,@some-name}.service "$dir/system/sigferry.socket"
verify verify --user --man=no "$dir/user/sigferry.service"

for unit in sigferry.service sigferry@some-name.service; do
    if ! said=$(systemd-analyze security --offline=true --threshold=11 --no-pager \
        "$dir/system/$unit" 2>&1); then
        echo "$unit: more exposed than 1.1:"
        grep -e '✗' -e 'exposure level' <<<"$said" || echo "$said"
        bad=1
    fi
done

# The same sandbox in both, and what the service needs to be told about its life.
body() { sed -n '/^# --- sandbox/,/^\[Install\]/p' "$1"; }
if [ "$(body "$src/systemd/sigferry.service" | wc -l)" -lt 20 ]; then
    echo "sigferry.service: its sandbox is not found"
    bad=1
fi
if ! diff <(body "$src/systemd/sigferry.service") <(body "$src/systemd/sigferry@.service"); then
    echo "sigferry.service (<) and sigferry@.service (>) differ in their sandbox"
    bad=1
fi
for line in Type=notify WatchdogSec=10s Restart=on-failure TimeoutStopSec=40s; do
    for unit in sigferry.service sigferry@.service user/sigferry.service; do
        grep -q -x "$line" "$src/systemd/$unit" || {
            echo "$unit: no $line"
            bad=1
        }
    done
done
exit $bad
