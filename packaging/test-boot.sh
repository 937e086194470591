#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian package in a system that is booted: test-boot.sh DIR, with the packages that
# `test-deb.sh DIR` left there. systemd-nspawn starts a fresh system with the package in it. The service
# is enabled and off, starts once there are keys, serves through its sockets, keeps every request over
# reload, restart and upgrade, comes back when it is killed, and leaves nothing behind. Needs root,
# systemd-nspawn (Debian: systemd-container) and debootstrap; SIGFERRY_CHROOT as in test-deb.sh.
set -euo pipefail
out=$(realpath -m "${1:?usage: test-boot.sh DIR}")
[ "$(id -u)" = 0 ] || { echo "test-boot: needs root" >&2; exit 77; }
for tool in systemd-nspawn debootstrap nsenter; do
    command -v $tool >/dev/null || { echo "test-boot: $tool is not installed" >&2; exit 77; }
done
for n in 1 2; do
    compgen -G "$out/$n/sigferry_*.deb" >/dev/null || { echo "skipped: no package in $out/$n: run test-deb.sh $out"; exit 77; }
done
work=$(mktemp -d)
tree=$work/tree
machine=
cleanup() {
    # Its init takes everything along; of nspawn alone the rest would stay.
    [ -z "${leader:-}" ] || kill -KILL "$leader" 2>/dev/null || true
    [ -z "$machine" ] || kill -KILL "$machine" 2>/dev/null || true
    wait 2>/dev/null || true
    ! mountpoint -q "$tree/proc" || umount "$tree/proc"
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
say() { printf '==> %s\n' "$*"; }
die() {
    printf 'test-boot: %s\n' "$*" >&2
    [ -z "${leader:-}" ] || booted journalctl -u sigferry -n 20 --no-pager >&2 || true
    exit 1
}

say "a fresh system with the package"
if [ -n "${SIGFERRY_CHROOT:-}" ]; then
    cp -ax "$SIGFERRY_CHROOT" "$tree"
else
    # shellcheck disable=SC1091 # the system's own
    suite=${DEB_SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
    debootstrap --variant=minbase "$suite" "$tree" >"$work/log" 2>&1 || {
        tail "$work/log"
        echo "skipped: debootstrap failed: is there a mirror?"
        exit 77
    }
fi
mount -t proc proc "$tree/proc"
cp /etc/resolv.conf "$tree/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
cp "$out"/1/sigferry_*.deb "$tree/root/one.deb"
cp "$out"/2/sigferry_*.deb "$tree/root/two.deb"
chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 sh -ec '
    apt-get -q update
    apt-get -q install -y --no-install-recommends systemd systemd-sysv dbus curl
    apt-get -q install -y --no-install-recommends /root/one.deb' >"$work/log" 2>&1 || {
    tail "$work/log"
    die "the package does not install"
}
rm "$tree/usr/sbin/policy-rc.d"
umount "$tree/proc"

say "boot"
# CAP_IPC_LOCK lets nspawn's own filter pass mlock, which the service calls without that capability.
systemd-nspawn -D "$tree" --boot --register=no --keep-unit --private-network --capability=CAP_IPC_LOCK \
    --console=pipe </dev/null >"$work/console" 2>&1 &
machine=$!
leader=
for _ in $(seq 300); do
    leader=$(pgrep -P "$machine" | head -n 1) || true
    if [ -n "$leader" ] && [ -S "/proc/$leader/root/run/systemd/private" ]; then break; fi
    kill -0 "$machine" 2>/dev/null || { cat "$work/console"; echo "skipped: nothing boots here"; machine=; exit 77; }
    sleep 0.2
done
booted() { nsenter -t "$leader" -m -u -i -n -p -r -w -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
state=$(booted systemctl is-system-running --wait) || true
[ "$state" = running ] || { booted systemctl --failed; die "the system is $state"; }

say "enabled, and quiet without keys"
for unit in sigferry.service sigferry.socket; do
    [ "$(booted systemctl is-enabled $unit)" = enabled ] || die "$unit is not enabled"
    [ "$(booted systemctl is-active $unit)" = inactive ] || die "$unit is not off"
    booted systemctl start $unit || die "starting $unit without keys is an error"
    [ "$(booted systemctl is-active $unit)" = inactive ] || die "$unit runs without keys"
done

say "keys, and requests through the sockets"
keys=(VOLCENGINE_ACCESS_KEY=AKLTboottest00001 VOLCENGINE_SECRET_KEY=c2VjcmV0LW9mLXRoZS1ib290LXRlc3Q=)
# shellcheck disable=SC2016 # for that shell
booted sh -ec 'umask 077; printf "access_key = %s\nsecret_key = %s\n" "$1" "$2" >/etc/sigferry/credentials' \
    sh "${keys[0]#*=}" "${keys[1]#*=}"
booted sh -c ': >/tmp/empty.conf'
booted env "${keys[@]}" sigferry sandbox --listen 127.0.0.1:9443 --config /tmp/empty.conf \
    --ca-out /etc/sigferry/ca.pem >"$work/sandbox" 2>&1 &
for _ in $(seq 200); do [ ! -s "$tree/etc/sigferry/ca.pem" ] || break; sleep 0.05; done
booted chmod 644 /etc/sigferry/ca.pem || die "no certificate: $(cat "$work/sandbox")"
cat >>"$tree/etc/sigferry/sigferry.conf" <<'CONF'
region = "cn-beijing";
profiles: { default: { provider = "file"; file = "credentials"; }; };
connect_to = [ "::127.0.0.1:9443" ];
CONF
sed -i 's,#ca_file = "";,ca_file = "/etc/sigferry/ca.pem";,' "$tree/etc/sigferry/sigferry.conf"
booted systemctl start sigferry || die "it does not start with keys"
booted sigferry wait --timeout 10 || die "it is not ready"
url='?Action=DescribeInstances&Version=2020-04-01'
get() { booted curl -sS --max-time 30 -o /dev/null -w '%{http_code}' -H 'X-Sigferry-Service: ecs' "$@"; }
for where in http://127.0.0.1:8750 'http://[::1]:8750'; do
    [ "$(get "$where/$url")" = 200 ] || die "no answer from $where"
done
[ "$(get --unix-socket /run/sigferry/sock "http://localhost/$url")" = 200 ] || die "no answer from the Unix socket"
! booted setpriv --reuid=65534 --regid=65534 --clear-groups curl -s --unix-socket /run/sigferry/sock \
    http://localhost/ >/dev/null || die "anybody may use the Unix socket"
! booted journalctl -u sigferry --no-pager | grep -q 'could not be locked' || die "secrets are not locked in memory"
CREDENTIALS=$(booted env CREDENTIALS_DIRECTORY=/etc/sigferry sigferry doctor -s ecs) || true
grep -q '^ok *credentials' <<<"$CREDENTIALS" || die "the doctor finds no credentials: $CREDENTIALS"

say "reload, restart and upgrade under requests"
cat >"$tree/root/load" <<'LOAD'
while [ ! -e /tmp/stop ]; do
    curl -sS --max-time 30 -o /dev/null -w '%{http_code}\n' -H 'X-Sigferry-Service: ecs' \
        "http://127.0.0.1:8750/?Action=DescribeInstances&Version=2020-04-01" 2>&1
done
LOAD
started=()
for n in 1 2 3; do
    booted sh /root/load >"$work/load.$n" &
    started+=($!)
done
pid() { booted systemctl show -p MainPID --value sigferry; }
before=$(pid)
booted systemctl reload sigferry || die "reload failed"
[ "$(pid)" = "$before" ] || die "a reload started another process"
for _ in 1 2 3; do booted systemctl restart sigferry || die "restart failed"; done
before=$(pid)
booted env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends /root/two.deb >"$work/log" 2>&1 </dev/null ||
    { tail "$work/log"; die "the upgrade failed"; }
[ "$(pid)" != "$before" ] || die "the upgrade left the old program running"
booted sigferry wait --timeout 10 || die "not ready after the upgrade"
booted touch /tmp/stop
wait "${started[@]}"
sort "$work"/load.* | uniq -c
[ "$(sort -u "$work"/load.*)" = 200 ] || die "requests were lost"
[ "$(cat "$work"/load.* | wc -l)" -ge 100 ] || die "too few requests"

say "killed: it comes back, and who connects meanwhile is served"
booted systemctl kill --signal=KILL sigferry
[ "$(get "http://127.0.0.1:8750/$url")" = 200 ] || die "no answer after it was killed"

say "purge"
booted env DEBIAN_FRONTEND=noninteractive apt-get -q purge -y sigferry >"$work/log" 2>&1 || die "purging failed"
for unit in sigferry.service sigferry.socket; do
    [ "$(booted systemctl is-active $unit)" = inactive ] || die "$unit still runs"
done
[ ! -e "$tree/etc/sigferry" ] || die "/etc/sigferry is still there"
booted test ! -e /run/sigferry || die "/run/sigferry is still there"
[ -z "$(booted systemctl --failed --no-legend)" ] || die "a unit failed"
say "passed"
