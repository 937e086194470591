#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The commands that the documents tell the reader to type exist, with their options; relative links
# and names of files lead somewhere. Both READMEs tell the same commands.
# shellcheck disable=SC2016 # the backquotes are Markdown
set -u
export LC_ALL=C.UTF-8
sigferry=${SIGFERRY:-build/sigferry}
case $sigferry in /*) ;; *) sigferry=$PWD/$sigferry ;; esac
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
if [ ! -x "$sigferry" ]; then
    echo "skipped: no binary at $sigferry"
    exit 77
fi
bad=0
fail() {
    echo "$*"
    bad=1
}

# The lines of sh blocks that call us: "WORD ARGUMENT…", without what is quoted, comments,
# assignments in front, and prompts; a pipe or && begins a new line.
commands() {
    awk '/^```/ { on = !on && $0 == "```sh"; next } on' "$1" |
        sed -e ':a' -e '/\\$/{N;s/\\\n/ /;ba' -e '}' |
        sed -e "s/'[^']*'/Q/g" -e 's/"[^"]*"/Q/g' -e 's/^#.*//' -e 's/[[:space:]]#.*//' \
            -e 's/&&/\n/g' -e 's/|/\n/g' |
        sed -E -e 's/^[[:space:]]*(\$ )?//' -e 's/[[:space:]]*&?$//' \
            -e ':a' -e 's/^[A-Za-z_]+=[^ ]* +//;ta' -e 's,^(build/|sudo )?sigferry,sigferry,' |
        grep -E '^(\./bootstrap|sigferry)( |$)'
}

# The same of what stands `between backticks` in the text.
mentions() {
    awk '/^```/ { on = !on; next } !on' "$1" | grep -o -E '`(\./bootstrap|sigferry) [a-z-][^`]*`' |
        sed -e 's/`//g' -e "s/'[^']*'/Q/g" -e 's/\[//g' -e 's/\]//g' | grep -v -e '…'
}

# check_options FILE COMMAND-LINE HELP-TEXT WORD…: every option of the words stands in the help.
check_options() {
    local file=$1 line=$2 help=$3 word
    shift 3
    for word in "$@"; do
        case $word in
        --) return ;;
        -*)
            word=${word%%=*}
            grep -q -E -e "(^|[][ ,])${word}([][ ,=]|\$)" <<<"$help" ||
                fail "$file: '$line': there is no option $word"
            ;;
        esac
    done
}

overview=$("$sigferry" --help) || fail "sigferry --help failed"
bootstrap=$(./bootstrap --help) || fail "./bootstrap --help failed"
check_command() {
    local file=$1 line=$2 words
    read -ra words <<<"$line"
    local name=${words[1]-}
    if [ "${words[0]}" = ./bootstrap ]; then
        [ -z "$name" ] || grep -q -E "^  $name( |\$)" <<<"$bootstrap" ||
            fail "$file: '$line': ./bootstrap has no command $name"
        check_options "$file" "$line" "$bootstrap" "${words[@]:2}"
        return
    fi
    case $name in
    --version | --help | -V | -h) return ;;
    '' | -*) name=run ;;
    *) words=("${words[0]}" "${words[@]:2}") ;;
    esac
    if ! grep -q -E "^  $name( |\$)" <<<"$overview"; then
        fail "$file: '$line': sigferry has no command $name"
        return
    fi
    check_options "$file" "$line" "$("$sigferry" "$name" --help)" "${words[@]:1}"
}

# A heading's anchor, as forges make it.
anchors() {
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' |
        sed -e 's/[^[:alnum:] _-]//g' -e 's/ /-/g'
}

check_link() {
    local file=$1 target=$2 path
    case $target in *://* | mailto:*) return ;; esac
    path=$(dirname "$file")/${target%%#*}
    [ "${target#\#}" = "$target" ] || path=$file
    if [ ! -e "$path" ]; then
        fail "$file: the link $target leads nowhere"
    elif [[ $target == *'#'* ]] && ! anchors "$path" | grep -q -x -F -e "${target#*#}"; then
        fail "$file: $path has no heading for #${target#*#}"
    fi
}

for file in README.md README.zh-CN.md docs/*.md tests/it/README.md; do
    while IFS= read -r line; do check_command "$file" "$line"; done < <(
        commands "$file"
        mentions "$file"
    )
    while IFS= read -r target; do check_link "$file" "$target"; done < <(
        awk '/^```/ { on = !on; next } !on' "$file" | sed -e 's/`[^`]*`//g' |
            grep -o -E '\]\([^) ]+\)' | sed -e 's/^](//' -e 's/)$//'
    )
done
# `io/front*.c`, `src/base/err.def`, `tests/fuzz`: from the top, or from src.
paths='^(src|tests|docs|etc|systemd|base|http|sign|endpoint|io|conf|cred|proxy|daemon|cli)/[a-z0-9_./*-]+$'
while IFS=: read -r file span; do
    compgen -G "$span" >/dev/null || compgen -G "src/$span" >/dev/null ||
        fail "$file: there is no file $span"
done < <(
    for file in README.md README.zh-CN.md docs/*.md; do
        awk '/^```/ { on = !on; next } !on' "$file" | grep -o -E '`[^`]+`' | tr -d '`' |
            grep -E -e "$paths" | sed "s,^,$file:,"
    done | grep -v NAME
)
diff <(commands README.md | sort) <(commands README.zh-CN.md | sort) ||
    fail "README.md (<) and README.zh-CN.md (>) tell other commands"
[ "$(commands README.md | wc -l)" -ge 10 ] || fail "README.md: its commands are not found"
exit $bad
