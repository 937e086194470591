#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A program that loads nothing but glibc: near-static.sh OUTFILE. libcurl and libmicrohttpd are built
# from the distribution's source packages with only what is used (no LDAP, Kerberos, SSH, GnuTLS…), and
# linked statically together with the distribution's OpenSSL, jansson and libconfig. glibc stays
# shared, since names are resolved through it. Security fixes of the libraries then come with a new
# build instead of with the system's updates. `sigferry sandbox` needs --plain there, having no TLS. Needs ./bootstrap's packages and deb-src by apt-get.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$(realpath -m "${1:?usage: near-static.sh OUTFILE}")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
say() { printf '==> %s\n' "$*"; }
quiet() { # LOG COMMAND…
    local log=$work/$1.log
    shift
    "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "near-static: $* failed" >&2; exit 1; }
}

say "source packages"
mkdir -p "$work/parts" "$work/lists/partial" "$work/source"
for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/ubuntu.sources; do
    [ ! -f $file ] || sed 's/^Types: .*/Types: deb-src/' $file >"$work/parts/$(basename $file)"
done
if [ -s /etc/apt/sources.list ]; then
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/parts/system.list"
fi
apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts"
    -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
quiet update "${apt[@]}" update
(cd "$work/source" && quiet fetch "${apt[@]}" source curl libmicrohttpd)

say "libcurl: HTTP over OpenSSL, nothing else"
# CURLOPT_NETRC is set (to none), so netrc stays.
disabled=(ftp file ldap ldaps rtsp dict telnet tftp pop3 imap smb smtp gopher mqtt manual cookies
    alt-svc hsts unix-sockets ntlm tls-srp doh mime dateparse progress-meter ares)
without=(zlib brotli zstd libpsl libidn2 nghttp2 librtmp libssh2 gssapi libgsasl)
flags=()
for name in "${disabled[@]}"; do flags+=("--disable-$name"); done
for name in "${without[@]}"; do flags+=("--without-$name"); done
cd "$work"/source/curl-*/
quiet curl-configure ./configure CFLAGS='-O2 -fPIE -fstack-protector-strong' --disable-shared \
    --enable-static --with-openssl --with-ca-bundle=/etc/ssl/certs/ca-certificates.crt \
    --prefix="$work/prefix" "${flags[@]}"
quiet curl-make make -j"$(nproc)" install

say "libmicrohttpd: plain HTTP"
cd "$work"/source/libmicrohttpd-*/
quiet mhd-configure ./configure CFLAGS='-O2 -fPIE -fstack-protector-strong' --disable-shared \
    --enable-static --disable-https --disable-doc --disable-examples --disable-curl \
    --disable-bauth --disable-dauth --disable-postprocessor --prefix="$work/prefix"
quiet mhd-make make -j"$(nproc)" install

say "sigferry"
[ -x "$top/configure" ] || (cd "$top" && autoreconf -fi >/dev/null)
mkdir "$work/build"
cd "$work/build"
export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig
# pkg-config's own --static gives the order of the static libraries; only glibc's stay shared.
static() { pkg-config --static --libs "$@" | sed -E 's/(^| )-l(m|c|dl|pthread|rt)( |$)/ /g'; }
quiet configure "$top/configure" \
    CURL_LIBS="-Wl,-Bstatic $(static libcurl) -Wl,-Bdynamic" \
    MHD_LIBS="-Wl,-Bstatic $(static libmicrohttpd) -Wl,-Bdynamic" \
    OPENSSL_LIBS="-Wl,-Bstatic $(static libssl libcrypto) -Wl,-Bdynamic -ldl -pthread" \
    JANSSON_LIBS='-Wl,-Bstatic -ljansson -Wl,-Bdynamic' \
    LIBCONFIG_LIBS='-Wl,-Bstatic -lconfig -Wl,-Bdynamic'
quiet make make -j"$(nproc)" sigferry
strip sigferry
install -D -m 755 sigferry "$out"
ldd "$out"
stat -c 'size: %s bytes' "$out"
