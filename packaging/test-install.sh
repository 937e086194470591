#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make dist` gives the same bytes twice, from two copies of the tree at other places, times and
# umasks; what the tarball builds installs exactly the files below under DESTDIR, nothing elsewhere,
# and `make uninstall` takes all of them away. Needs what ./bootstrap needs.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
say() { printf '==> %s\n' "$*"; }
die() {
    printf 'test-install: %s\n' "$*" >&2
    exit 1
}

wanted=(
    bin/sigferry
    lib/systemd/system/sigferry.service
    lib/systemd/system/sigferry.socket
    lib/systemd/system/sigferry@.service
    lib/systemd/user/sigferry.service
    lib/sysusers.d/sigferry.conf
    lib/tmpfiles.d/sigferry.conf
    share/bash-completion/completions/sigferry
    share/fish/vendor_completions.d/sigferry.fish
    share/man/man5/sigferry.conf.5
    share/man/man8/sigferry.8
    share/zsh/site-functions/_sigferry
)

say "one version everywhere"
version=$(sed -n 's/^AC_INIT(\[sigferry\], \[\([^]]*\)\].*/\1/p' "$top/configure.ac")
[ -n "$version" ] || die "no version in configure.ac"
grep -q "^## .*\b${version//./\\.}\b" "$top/CHANGELOG.md" || die "CHANGELOG.md has no $version"
head -n 1 "$top/packaging/debian/changelog" | grep -q "^sigferry (${version//./\\.}-" ||
    die "packaging/debian/changelog does not begin with $version"
for file in "$top"/packaging/kubernetes/*/kustomization.yaml; do
    grep -q "newTag: ${version//./\\.}\$" "$file" || die "$file has another version"
done

say "two tarballs"
files() {
    if [ -d "$top/.git" ]; then
        git -C "$top" ls-files -z --cached --others --exclude-standard
    else
        (cd "$top" && find . -type f ! -path './build*' -print0)
    fi
}
mkdir -p "$work/source" "$work/one/tree" "$work/elsewhere/two/tree"
(cd "$top" && files | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done |
    tar --null -T - -cf -) | tar -xf - -C "$work/source"
export SOURCE_DATE_EPOCH=1767225600
dist() { # UMASK DIRECTORY
    umask "$1"
    cp -r "$work/source/." "$2"
    (cd "$2" && autoreconf -fi >/dev/null 2>&1 && mkdir b && cd b && ../configure -q >/dev/null 2>&1 &&
        make -s dist >/dev/null) || die "make dist failed in $2"
    umask 022
}
dist 022 "$work/one/tree"
dist 077 "$work/elsewhere/two/tree"
sha256sum "$work"/one/tree/b/*.tar.xz "$work"/elsewhere/two/tree/b/*.tar.xz | sed "s,$work/,,"
cmp "$work"/one/tree/b/*.tar.xz "$work"/elsewhere/two/tree/b/*.tar.xz ||
    die "the tarballs differ"

say "bootstrap configures in any directory"
mkdir "$work/nothing"
printf '#!/bin/sh\n' >"$work/nothing/make" # configuring is what is looked at
chmod 755 "$work/nothing/make"
for dir in deep/er "$work/outside"; do
    (cd "$work/one/tree" && PATH=$work/nothing:$PATH BUILD_DIR=$dir ./bootstrap build --no-install >/dev/null &&
        [ -f "$dir/config.status" ]) || die "bootstrap fails with BUILD_DIR=$dir"
done

say "install under DESTDIR"
tar -xf "$work"/one/tree/b/*.tar.xz -C "$work"
cd "$work"/sigferry-*/
[ "$(basename "$PWD")" = "sigferry-$version" ] || die "the tarball is of another version"
mkdir b
cd b
../configure -q --prefix=/opt/sf --with-systemdsystemunitdir=/opt/sf/lib/systemd/system >/dev/null
make -s -j"$(nproc)" >/dev/null
make -s install DESTDIR="$work/dest" >/dev/null
(cd "$work/dest" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort) >"$work/installed"
printf 'opt/sf/%s\n' "${wanted[@]}" | LC_ALL=C sort >"$work/wanted"
diff "$work/wanted" "$work/installed" || die "installed (>) is not what was wanted (<)"
[ ! -e /opt/sf ] || die "/opt/sf exists: something went past DESTDIR"
[ "$("$work/dest/opt/sf/bin/sigferry" --version | sed -n '1s/sigferry //p')" = "$version" ] ||
    die "the installed program is not $version"
if grep -L /opt/sf/bin/sigferry "$work"/dest/opt/sf/lib/systemd/*/*.service | grep .; then
    die "these units do not start the installed program"
fi
for unit in "$work"/dest/opt/sf/lib/systemd/system/*.service; do
    grep -qx 'InaccessiblePaths=-/root -/boot -/media -/mnt -/srv' "$unit" ||
        die "$(basename "$unit") hides the program, or not all the rest: $(grep InaccessiblePaths= "$unit")"
done
find "$work/dest" -type f -perm /022 | grep . && die "writable by others"
wc -l <"$work/installed" | sed 's/$/ files, as wanted/'

say "without units, unless asked for"
mkdir ../plain
(cd ../plain && ../configure -q --prefix=/opt/sf >/dev/null && cp ../b/libcore.a ../b/sigferry . &&
    make -s -t all >/dev/null && make -s install DESTDIR="$work/plain" >/dev/null)
[ -x "$work/plain/opt/sf/bin/sigferry" ] || die "nothing was installed"
if find "$work/plain" -path '*/systemd/*' | grep .; then die "units came without being asked for"; fi

say "uninstall"
make -s uninstall DESTDIR="$work/dest" >/dev/null
if find "$work/dest" -type f | grep .; then die "these stayed behind"; fi
say "passed"
