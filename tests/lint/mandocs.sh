#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The manual pages and the shells' completions are in step with the program: every command and option
# is documented and no other, the page about the configuration is what the table of keys makes of it.
# tests/lint/mandocs.sh --fix writes what is generated anew.
set -u
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
src=${SIGFERRY_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
binary=${SIGFERRY:-$src/build/sigferry}
python=${PYTHON:-python3}
man=$src/docs/man
if [ ! -x "$binary" ] || ! "$python" -c '' 2>/dev/null; then
    echo "skipped: there is no $binary or no $python"
    exit 77
fi
conf_page() { "$binary" config --reference | "$python" "$man/conf_man.py"; }
if [ "${1:-}" = --fix ]; then
    conf_page >"$man/sigferry.conf.5" && "$python" "$src/etc/completion/generate.py" "$binary"
    exit
fi
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
bad=0
fail() {
    echo "$*"
    bad=1
}

# --- what is generated ------------------------------------------------------------------------
conf_page >"$dir/conf.5" || exit 1
if ! diff -u "$man/sigferry.conf.5" "$dir/conf.5" >"$dir/diff"; then
    head -n 20 "$dir/diff"
    fail "docs/man/sigferry.conf.5 is not what the keys make of it: run tests/lint/mandocs.sh --fix"
fi
"$python" "$src/etc/completion/generate.py" "$binary" "$dir/completion" || exit 1
for file in bash/sigferry zsh/_sigferry fish/sigferry.fish; do
    if ! diff -u "$src/etc/completion/$file" "$dir/completion/$file" >"$dir/diff"; then
        head -n 20 "$dir/diff"
        fail "etc/completion/$file is not what the help makes of it: run tests/lint/mandocs.sh --fix"
    fi
done

# --- sigferry.8: each command has a section, which has its options -----------------------------
# Options of a text: "-c, --config FILE" at the beginning of a line, as "--config".
options() { sed -n -E 's/^ *(-[A-Za-z], )?(--[a-z-]+)( .*)?$/\2/p' | sort -u; }
# The page's options, a line each: "SECTION --name".
sed -E 's/\\f.//g; s/\\-/-/g' "$man/sigferry.8" | awk '
    /^\.SH / { section = ($0 == ".SH COMMON OPTIONS") ? "common" : ""; commands = ($0 == ".SH COMMANDS") }
    /^\.SS / && commands { section = $2; print section, "" }
    section != "" && /^(-[A-Za-z], )?--[a-z-]+/ {
        sub(/^-[A-Za-z], /, "")
        print section, $1
    }' >"$dir/page"
page() { sed -n "s/^$1 //p" "$dir/page" | sed '/^$/d' | sort -u; }

commands=$("$binary" --help | sed -n -E 's/^  ([a-z]+)  +[a-z].*/\1/p')
[ -n "$commands" ] || fail "no commands in sigferry --help"
diff <(tr ' ' '\n' <<<"$commands" | sort) <(cut -d' ' -f1 "$dir/page" | grep -v -x common | sort -u) ||
    fail "docs/man/sigferry.8 (>) has sections for other commands than there are (<)"
for command in $commands; do
    "$binary" "$command" --help >"$dir/help" || fail "$command --help fails"
    diff <(options <"$dir/help") <(sort -u <(page common) <(page "$command")) ||
        fail "$command: options of its --help (<) and of docs/man/sigferry.8 (>) differ"
    # The help is written by hand as well: it has the options that the command takes.
    file=$src/src/cli/$command.c
    {
        sed -n -E 's/^.*\{"([a-z-]+)", (no|required)_argument.*/--\1/p' "$file"
        sed -n '/define CLI_COMMON_OPTIONS/,/define CLI_COMMON_LETTERS/p' "$src/src/cli/cli.h" |
            sed -n -E 's/^.*\{"([a-z-]+)", (no|required)_argument.*/--\1/p'
    } | sort -u >"$dir/taken"
    diff "$dir/taken" <(options <"$dir/help") ||
        fail "$file: the options it takes (<) and its help (>) differ"
done

# --- form ---------------------------------------------------------------------------------------
if groff --version >/dev/null 2>&1; then
    for page in "$man"/*.[58]; do
        said=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
        [ -z "$said" ] || fail "$page: $said"
    done
fi
for shell in bash zsh fish; do
    "$shell" --version >/dev/null 2>&1 || continue
    for file in "$src/etc/completion/$shell"/*; do
        "$shell" -n "$file" || fail "$file: syntax"
    done
done

# --- bash: what is offered ----------------------------------------------------------------------
# shellcheck source=/dev/null
source "$src/etc/completion/bash/sigferry"
# shellcheck disable=SC2317 # called by the completion
compopt() { :; } # there is no line being edited
# shellcheck disable=SC2317 # never called: a command to find
mandocs_probe() { :; }
offered() { # WANTED WORD…: the last word is the one to complete
    local wanted=$1
    shift
    COMP_WORDS=("$@")
    # shellcheck disable=SC2034 # the completion's input
    COMP_CWORD=$(($# - 1))
    _sigferry
    [ "${COMPREPLY[*]-}" = "$wanted" ] || fail "bash completes '$*' to '${COMPREPLY[*]-}', not '$wanted'"
}
offered doctor sigferry doc
offered --timeout sigferry wait --t
offered --listen sigferry --li
offered 'volcengine byteplus' sigferry --cloud ''
offered byteplus sigferry check --cloud = b
offered log.level= sigferry config --set log.le
offered retry.retry_after_send sigferry check --explain retry.retry_a
offered 'POST PUT PATCH' sigferry sign -X P
offered '' sigferry sign --date 2
offered "$src/etc/completion" sigferry -c "$src/etc/compl"
offered mandocs_probe sigferry exec -r x -- mandocs_pr
exit $bad
