#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs, upgrades, removes and purges the Debian package in a fresh system, and sends a request
# through what it installed: test-deb.sh [OUTDIR]. Needs root, debootstrap (and its mirror), lintian,
# curl and what build-deb.sh needs. SIGFERRY_CHROOT names an unpacked minimal Debian to copy instead of
# running debootstrap; DEB_SUITE another suite than this machine's. OUTDIR keeps packages and tarball.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "test-deb: needs root, for debootstrap and chroot" >&2; exit 77; }
for tool in debootstrap lintian curl dpkg-buildpackage dh; do
    command -v $tool >/dev/null || { echo "test-deb: $tool is not installed" >&2; exit 77; }
done
dpkg-checkbuilddeps "$top/packaging/debian/control" || exit 77
work=$(mktemp -d)
tree=$work/tree
started=()
cleanup() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
    for pid in ${started[@]+"${started[@]}"}; do wait "$pid" 2>/dev/null || true; done
    ! mountpoint -q "$tree/proc" || umount "$tree/proc"
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
say() { printf '==> %s\n' "$*"; }
die() {
    printf 'test-deb: %s\n' "$*" >&2
    exit 1
}
no_mirror() { # LOG WHAT: not the package's fault
    tail "$1"
    echo "skipped: $2: is there a mirror?"
    exit 77
}
chroot_env=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8)
inside() { chroot "$tree" "${chroot_env[@]}" "$@"; }
# The same in the background: $! is then the program itself, not a shell around it.
replaced_by_inside() { exec chroot "$tree" "${chroot_env[@]}" "$@"; }
# is FILE MODE OWNER:GROUP
is() {
    local got
    got=$(inside stat -c '%a %U:%G' "$1") || die "no $1"
    [ "$got" = "$2 $3" ] || die "$1 is $got, not $2 $3"
}
absent() {
    local f
    for f in "$@"; do [ ! -e "$tree$f" ] || die "$f is still there"; done
}
# unit CONDITION: what systemd would decide.
would_start() { inside systemd-analyze condition "$1" >/dev/null 2>&1; }

say "two versions"
out=${1:-$work/out}
mkdir -p "$out/1" "$out/2"
rm -rf "$out"/[12]/*
"$top/packaging/build-deb.sh" "$out/1" >"$work/build.log" 2>&1 ||
    { tail -n 30 "$work/build.log" | cut -c 1-300; die "build-deb.sh failed"; }
cp "$out"/1/sigferry-*.tar.xz "$out/2"
upstream=$(basename "$out"/2/sigferry-*.tar.xz .tar.xz | sed 's/^sigferry-//')
DEB_BUILD_OPTIONS=nocheck DEB_VERSION=$upstream-2 "$top/packaging/build-deb.sh" "$out/2" >"$work/build.log" 2>&1 ||
    { tail -n 30 "$work/build.log" | cut -c 1-300; die "build-deb.sh failed"; }

say "lintian"
lintian --allow-root --fail-on error,warning "$out"/1/*.changes || die "lintian complains"

say "a fresh system"
if [ -n "${SIGFERRY_CHROOT:-}" ]; then
    cp -ax "$SIGFERRY_CHROOT" "$tree"
else
    # shellcheck disable=SC1091 # the system's own
    suite=${DEB_SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
    debootstrap --variant=minbase "$suite" "$tree" >"$work/debootstrap.log" 2>&1 ||
        no_mirror "$work/debootstrap.log" "debootstrap failed"
fi
mount -t proc proc "$tree/proc"
cp /etc/resolv.conf "$tree/etc/resolv.conf"
# Nothing is started here.
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
inside apt-get -q update >"$work/apt.log" 2>&1 || no_mirror "$work/apt.log" "apt-get update failed"
inside apt-get -q install -y --no-install-recommends systemd >>"$work/apt.log" 2>&1 ||
    { tail "$work/apt.log"; die "systemd could not be installed"; }
cp "$out"/1/sigferry_*.deb "$tree/root/one.deb"
cp "$out"/2/sigferry_*.deb "$tree/root/two.deb"
(cd "$tree" && find . -xdev -path ./proc -prune -o -path ./var -prune -o -path ./root -prune -o -path ./run -prune -o \
    -type f -print | LC_ALL=C sort) >"$work/before"

say "install"
inside apt-get -q install -y --no-install-recommends /root/one.deb >"$work/apt.log" 2>&1 ||
    { tail -n 20 "$work/apt.log"; die "the package does not install"; }
inside sigferry --version | head -n 1
inside getent passwd sigferry | grep -q ':/usr/sbin/nologin$' || die "no user sigferry, or with a shell"
is /etc/sigferry 750 root:sigferry
is /etc/sigferry/sigferry.conf 644 root:root
is /run/sigferry 755 sigferry:sigferry
is /usr/bin/sigferry 755 root:root
for f in /usr/share/man/man8/sigferry.8.gz /usr/share/man/man5/sigferry.conf.5.gz \
    /usr/share/bash-completion/completions/sigferry /etc/logrotate.d/sigferry; do
    # dpkg may be told to leave manual pages out.
    [ -e "$tree$f" ] || inside dpkg -L sigferry | grep -q -x "$f" || die "no $f"
done
inside sigferry check --config /etc/sigferry/sigferry.conf >/dev/null || die "the packaged configuration is refused"

say "enabled, and quiet without keys"
for unit in sigferry.service sigferry.socket; do
    [ "$(inside systemctl is-enabled $unit)" = enabled ] || die "$unit is not enabled"
    condition=$(sed -n 's/^ConditionPathExists=/&/p' "$tree/lib/systemd/system/$unit" "$tree/usr/lib/systemd/system/$unit" 2>/dev/null | head -n 1)
    [ "$condition" = ConditionPathExists=/etc/sigferry/credentials ] || die "$unit has no condition"
    ! would_start "$condition" || die "$unit would start without keys"
done
# Without man there is nobody to read the manual pages that the units name.
inside systemd-analyze verify sigferry.service sigferry.socket 2>&1 | grep -v "Command 'man " >"$work/verify" || true
! grep sigferry "$work/verify" || die "systemd does not take the units"

say "keys, and a request as the service's user"
key=AKLTpackagetest0001 secret=c2VjcmV0LW9mLXRoZS1wYWNrYWdlLXRlc3Q=
printf 'access_key = %s\nsecret_key = %s\n' "$key" "$secret" >"$tree/etc/sigferry/credentials"
chmod 600 "$tree/etc/sigferry/credentials"
would_start ConditionPathExists=/etc/sigferry/credentials || die "it would not start with keys"
printf 'region = "cn-beijing";\nprofiles: { default: { provider = "file"; file = "credentials"; }; };\n' \
    >>"$tree/etc/sigferry/sigferry.conf"
# The service gets its credentials from systemd, in a directory of their own.
inside env CREDENTIALS_DIRECTORY=/etc/sigferry sigferry check >/dev/null || die "the edited configuration is refused"
await() { # FILE: HOST:PORT of its first "listening on"
    local _ address
    for _ in $(seq 200); do
        address=$(sed -n 's,.*listening on \(https\{0\,1\}://\)\{0\,1\}\([^ "]*:[0-9][0-9]*\).*,\2,p' "$1" | head -n 1)
        [ -z "$address" ] || { echo "$address"; return; }
        sleep 0.05
    done
    cat "$1" >&2
    die "nothing listens"
}
# As systemd hands the credentials over: a directory of the service's own.
inside install -d -m 500 -o sigferry -g sigferry /run/sigferry/credentials.d
inside install -m 400 -o sigferry -g sigferry /etc/sigferry/credentials /run/sigferry/credentials.d/credentials
: >"$tree/tmp/empty.conf"
replaced_by_inside env VOLCENGINE_ACCESS_KEY=$key VOLCENGINE_SECRET_KEY=$secret sigferry sandbox --listen 127.0.0.1:0 \
    --config /tmp/empty.conf --ca-out /tmp/ca.pem >"$work/sandbox.log" 2>&1 &
started+=($!)
sandbox=$(await "$work/sandbox.log")
chmod 644 "$tree/tmp/ca.pem"
replaced_by_inside setpriv --reuid=sigferry --regid=sigferry --clear-groups env HOME=/nonexistent \
    CREDENTIALS_DIRECTORY=/run/sigferry/credentials.d sigferry run --listen 127.0.0.1:0 --admin '' \
    --set "endpoint.host=$sandbox" --set tls.ca_file=/tmp/ca.pem >"$work/run.log" 2>&1 &
started+=($!)
address=$(await "$work/run.log")
status=$(curl -sS --noproxy '*' -o "$work/body" -w '%{http_code}' -H 'X-Sigferry-Service: ecs' \
    "http://$address/?Action=DescribeInstances&Version=2020-04-01") || die "curl failed"
[ "$status" = 200 ] || { cat "$work/body" "$work/run.log"; die "the request ended with $status"; }
kill "${started[1]}"
wait "${started[1]}" || die "the daemon did not end with 0"
started=("${started[0]}")

say "upgrade"
inside apt-get -q install -y --no-install-recommends /root/two.deb >"$work/apt.log" 2>&1 </dev/null ||
    { tail -n 20 "$work/apt.log"; die "the upgrade failed"; }
[ "$(inside dpkg -s sigferry | sed -n 's/^Version: //p')" = "$upstream-2" ] || die "not upgraded"
grep -q '^region = "cn-beijing"' "$tree/etc/sigferry/sigferry.conf" || die "the upgrade lost the configuration"
grep -q "$key" "$tree/etc/sigferry/credentials" || die "the upgrade lost the credentials"
is /etc/sigferry 750 root:sigferry
[ "$(inside systemctl is-enabled sigferry.service)" = enabled ] || die "the upgrade disabled the service"

say "a disabled service stays disabled"
inside systemctl disable sigferry.service sigferry.socket >/dev/null 2>&1
inside apt-get -q install -y --reinstall /root/two.deb >"$work/apt.log" 2>&1 || die "reinstalling failed"
[ "$(inside systemctl is-enabled sigferry.service || true)" = disabled ] || die "enabled again"

say "remove, then purge"
inside apt-get -q remove -y sigferry >"$work/apt.log" 2>&1 || die "removing failed"
absent /usr/bin/sigferry /lib/systemd/system/sigferry.service /usr/lib/systemd/system/sigferry.service
for f in sigferry.conf credentials; do
    [ -e "$tree/etc/sigferry/$f" ] || die "removing took /etc/sigferry/$f, which only purging may"
done
inside apt-get -q purge -y sigferry >"$work/apt.log" 2>&1 || die "purging failed"
absent /etc/sigferry /run/sigferry /etc/logrotate.d/sigferry \
    /etc/systemd/system/multi-user.target.wants/sigferry.service
(cd "$tree" && find . -xdev -path ./proc -prune -o -path ./var -prune -o -path ./root -prune -o -path ./run -prune -o \
    -type f -print | LC_ALL=C sort) >"$work/after"
# Files of the packages that ours depends on stay, and so does the user, as Debian's users do.
cat "$tree"/var/lib/dpkg/info/*.list | sed -E -e 's#^#.#' -e 'p;s#^\./(s?bin|lib|lib64)/#./usr/\1/#' | LC_ALL=C sort -u >"$work/owned"
comm -13 "$work/before" "$work/after" | LC_ALL=C comm -23 - "$work/owned" |
    grep -v -E '^\./(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/(ld\.so|ssl|ca-cert).*|tmp/.*|usr/local/.*)$' >"$work/left" || true
if grep . "$work/left"; then die "these stayed behind"; fi

say "install once more, and purge at once"
inside apt-get -q install -y --no-install-recommends /root/two.deb >"$work/apt.log" 2>&1 || die "does not install again"
inside apt-get -q purge -y sigferry >"$work/apt.log" 2>&1 || die "purging failed"
absent /etc/sigferry /usr/bin/sigferry
stat -c 'package: %s bytes' "$out"/1/sigferry_*.deb
say "passed"
