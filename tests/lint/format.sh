#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The C files are as clang-format 14 writes them (other releases differ in details).
set -u
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
for tool in clang-format-14 clang-format ''; do
    case $("${tool:-false}" --version 2>/dev/null) in *' version 14.'*) break ;; esac
done
if [ -z "$tool" ]; then
    echo "skipped: clang-format 14 is not installed"
    exit 77
fi
mapfile -t files < <(find src tests -name '*.[ch]' | sort)
[ ${#files[@]} -gt 100 ] || { echo "format: the sources are not found"; exit 99; }
"$tool" --dry-run -Werror --ferror-limit=3 "${files[@]}"
