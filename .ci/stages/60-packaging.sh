#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install, uninstall and tarball; Kubernetes manifests; the container's files, with a request through them
# Then the Debian package, installed, upgraded and purged in a fresh system, and in one that is booted,
# where root, debootstrap, debhelper, lintian and systemd-nspawn are there (CI_DEB=0 leaves the package
# out; only CI_BOOT=1 boots it). Each is one test.
set -u
passed=0 failed=0 skipped=0
log=$CI_BUILD/packaging
mkdir -p "$log" || exit 1
one() { # NAME COMMAND…: 77 and "skipped: …" when something is missing
    local name=$1 rc
    shift
    echo "--- $name: $*"
    "$@" 2>&1 | tee "$log/$name.log" | tail -n 15 | cut -c 1-300
    rc=${PIPESTATUS[0]}
    case $rc in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) && echo "$name FAILED ($rc): see $log/$name.log" ;;
    esac
    echo "passed=$passed failed=$failed skipped=$skipped" >"$CI_RESULT"
}
container() {
    [ "$(id -u)" = 0 ] || { echo "skipped: needs root, for chroot" && return 77; }
    [ -x "$CI_BUILD/sigferry" ] || { echo "skipped: no $CI_BUILD/sigferry (stage check)" && return 77; }
    [[ $CI_OPTIONS != *sanitizers* ]] || { echo "skipped: sanitizers need /proc" && return 77; }
    (umask 077 && packaging/container/rootfs.sh --binary "$CI_BUILD/sigferry" --check) || return 1
    container_of_nobody
}
# A builder without root: who owns what in the tarball is the same.
container_of_nobody() {
    local dir odd
    dir=$(mktemp -d) && mkdir -p "$dir/packaging/container" || return 1
    cp packaging/container/rootfs.sh "$dir/packaging/container/" && cp "$CI_BUILD/sigferry" "$dir/" &&
        chown -R 65534:65534 "$dir" &&
        (umask 077 && cd "$dir" && setpriv --reuid=65534 --regid=65534 --clear-groups \
            packaging/container/rootfs.sh --binary ./sigferry --tar image.tar) || return 1
    odd=$(tar --numeric-owner -tvf "$dir/image.tar" | grep -v '^[-dl]r.xr.xr.[xt] 0/0 ' | grep -v '^-rw-r--r-- 0/0 ')
    rm -rf "$dir"
    [[ $odd =~ ^drwxr-xr-x\ 65532/65532\ .*\ ./run/sigferry/$ ]] ||
        { echo "of another owner, or not readable: $odd" && return 1; }
}
debian() {
    [ "${CI_DEB:-1}" = 1 ] || { echo "skipped: CI_DEB is not 1" && return 77; }
    timeout 1200 packaging/test-deb.sh "$log/deb"
}
boot() {
    [ "${CI_BOOT:-0}" = 1 ] || { echo "skipped: CI_BOOT is not 1" && return 77; }
    timeout 600 packaging/test-boot.sh "$log/deb"
}
one install packaging/test-install.sh
one kubernetes packaging/kubernetes/check.sh
one container container
one debian debian
one boot boot
[ $failed -eq 0 ] || exit 1
