#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The container image's file system, from a built program and the libraries that it loads.
set -euo pipefail
umask 022 # whatever the builder's is: UID 65532 has to read the image
top=$(cd "$(dirname "$0")/../.." && pwd)
usage() {
    cat <<'HELP'
Usage: rootfs.sh [--binary FILE] [--tree DIR | --tar FILE] [--check [--sandbox FILE]]

  --binary FILE  the program [build/sigferry]
  --tree DIR     write the files there (the directory must not exist)
  --tar FILE     write them as a tarball, which `podman import` and `docker import` take
  --check        run it in a chroot as UID 65532 and send a request through it (needs root and curl)
  --sandbox FILE the program that plays the upstream in that [the one inside]

Prints the size of what it made.
HELP
}
binary=$top/build/sigferry tree='' tar='' check=no sandbox=''
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=$2 && shift ;;
    --tree) tree=$2 && shift ;;
    --tar) tar=$2 && shift ;;
    --check) check=yes ;;
    --sandbox) sandbox=$2 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
die() {
    printf 'rootfs: %s\n' "$*" >&2
    exit 1
}
work=''
started=()
cleanup() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
    for pid in ${started[@]+"${started[@]}"}; do wait "$pid" 2>/dev/null || true; done
    [ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
[ -x "$binary" ] || die "no program at $binary: build it first"
bundle=/etc/ssl/certs/ca-certificates.crt
[ -s $bundle ] || die "no CA bundle at $bundle (Debian: apt-get install ca-certificates)"
work=$(mktemp -d)
chmod 755 "$work"
[ -n "$tree" ] || tree=$work/tree
[ ! -e "$tree" ] || die "$tree exists"

mkdir -p "$tree"/{etc/sigferry,etc/ssl/certs,usr/bin,run/sigferry,tmp}
chmod 755 "$tree"
chmod 1777 "$tree/tmp"
install -m 755 "$binary" "$tree/usr/bin/sigferry"
if command -v strip >/dev/null; then strip "$tree/usr/bin/sigferry"; fi
# Each library at the path it was found at; the loader's own path is in the program.
libraries=$(ldd "$binary" 2>/dev/null | sed -n 's,^\(.* => \)\{0\,1\}[[:space:]]*\(/[^ ]*\) (0x.*,\2,p')
! ldd "$binary" 2>/dev/null | grep 'not found' || die "libraries are missing"
for library in $libraries; do
    install -D -m 755 "$(readlink -f "$library")" "$tree$library"
done
install -m 644 $bundle "$tree$bundle"
printf 'root:x:0:0:root:/:/sbin/nologin\nsigferry:x:65532:65532:sigferry:/:/sbin/nologin\n' >"$tree/etc/passwd"
printf 'root:x:0:\nsigferry:x:65532:\n' >"$tree/etc/group"
printf 'hosts: files dns\n' >"$tree/etc/nsswitch.conf"
chown -R 0:0 "$tree" 2>/dev/null || true
chown 65532:65532 "$tree/run/sigferry" 2>/dev/null || true

size=$(du -s --apparent-size -B1 "$tree" | cut -f1)
echo "files: $(find "$tree" -type f | wc -l), of them libraries: $(wc -w <<<"$libraries")"
echo "size: $size bytes ($((size / 1024)) KiB), program $(stat -c %s "$tree/usr/bin/sigferry")"
if [ -n "$tar" ]; then
    # Only root can give files away: the owners are said here.
    pack() { tar --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --numeric-owner -C "$tree" "$@"; }
    pack --owner=0 --group=0 --exclude=./run/sigferry -cf "$tar" .
    pack --owner=65532 --group=65532 -rf "$tar" ./run/sigferry
    echo "tarball: $(stat -c %s "$tar") bytes, gzip $(gzip -9 -n <"$tar" | wc -c)"
fi
[ $check = yes ] || exit 0

# --- a request through it ---------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || die "--check needs root, for chroot"
copy=$work/check
cp -a "$tree" "$copy"
: >"$copy/etc/sigferry/empty.conf"
inside() {
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin VOLCENGINE_ACCESS_KEY=AKLTrootfscheck0001 VOLCENGINE_SECRET_KEY=c2VjcmV0 \
        chroot --userspec=65532:65532 --groups= "$copy" /usr/bin/sigferry "$@"
}
await() { # PATTERN FILE: what it captures, once it stands in FILE
    local _ found
    for _ in $(seq 200); do
        found=$(sed -n "s,.*$1.*,\\1,p" "$2" | head -n 1)
        [ -z "$found" ] || { echo "$found"; return; }
        sleep 0.05
    done
    cat "$2" >&2
    die "no '$1' in the output above"
}
(inside --version) | head -n 1
[ "$(find "$copy" -name '*sh' -type f -perm /111 | wc -l)" = 0 ] || die "there is a shell"
if [ -n "$sandbox" ]; then
    env -i VOLCENGINE_ACCESS_KEY=AKLTrootfscheck0001 VOLCENGINE_SECRET_KEY=c2VjcmV0 "$sandbox" sandbox \
        --listen 127.0.0.1:0 --config "$copy/etc/sigferry/empty.conf" --ca-out "$copy/tmp/ca.pem" >"$work/sandbox.log" 2>&1 &
else
    (inside sandbox --listen 127.0.0.1:0 --config /etc/sigferry/empty.conf --ca-out /tmp/ca.pem) >"$work/sandbox.log" 2>&1 &
fi
started+=($!)
upstream=$(await 'listening on https://\([^ "]*:[0-9]*\)' "$work/sandbox.log")
chmod 644 "$copy/tmp/ca.pem"
(inside run --listen 127.0.0.1:0 --admin 127.0.0.1:0 --region cn-beijing --set "endpoint.host=$upstream" \
    --set tls.ca_file=/tmp/ca.pem) >"$work/run.log" 2>&1 &
started+=($!)
daemon=$!
admin=$(await 'admin listening on \([^ "]*:[0-9]*\)' "$work/run.log")
address=$(grep -v 'admin listening' "$work/run.log" >"$work/data.log"; await 'listening on \([^ "]*:[0-9]*\)' "$work/data.log")
(inside wait --admin "$admin" --timeout 5) || die "the health check fails"
head -c 3000000 /dev/zero >"$work/body" # larger than body_memory: passes through /tmp
for body in '' "@$work/body"; do
    status=$(curl -sS --noproxy '*' -o "$work/answer" -w '%{http_code}' -H 'X-Sigferry-Service: ecs' \
        ${body:+--data-binary "$body"} "http://$address/?Action=DescribeInstances&Version=2020-04-01") || die "curl failed"
    [ "$status" = 200 ] || { cat "$work/answer" "$work/run.log"; die "the request ended with $status"; }
done
kill "$daemon"
wait "$daemon" || die "the daemon did not end with 0"
echo "checked: health, a GET and a 3 MB POST as UID 65532, signatures verified; clean end"
