#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian source and binary packages from the tarball of `make dist`: build-deb.sh OUTDIR.
# Needs dpkg-dev, debhelper and the packages that packaging/debian/control names; nothing in the
# source tree changes. With DEB_VERSION=0.1.0-2 the package gets that version.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: build-deb.sh OUTDIR}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

tarball=$(find "$out" -maxdepth 1 -name "sigferry-*.tar.xz" | sort | tail -n 1)
if [ -z "$tarball" ]; then
    [ -x "$top/configure" ] || (cd "$top" && autoreconf -fi >/dev/null)
    mkdir "$work/build"
    (cd "$work/build" && "$top/configure" -q && make -s dist)
    cp "$work"/build/sigferry-*.tar.xz "$out"
    tarball=$(ls "$out"/sigferry-*.tar.xz)
fi
name=$(basename "$tarball" .tar.xz)
cp "$tarball" "$work/${name/-/_}.orig.tar.xz"
tar -xf "$tarball" -C "$work"
cp -a "$work/$name/packaging/debian" "$work/$name/debian"
if [ -n "${DEB_VERSION:-}" ]; then
    sed -i "1s/([^)]*)/($DEB_VERSION)/" "$work/$name/debian/changelog"
fi
(cd "$work/$name" && dpkg-buildpackage -us -uc)
cp "$work"/sigferry*_* "$out"
ls -l "$out"
