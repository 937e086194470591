#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Folders are layers: includes point downward only. A third-party library is used by the files that
# library-users.txt names, and by no other.
set -u
export LC_ALL=C
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
users=tests/lint/library-users.txt
bad=0

# What each layer may include besides itself.
declare -A below=(
    [base]=""
    [http]="base"
    [sign]="base http"
    [endpoint]="base http"
    [io]="base http"
    [conf]="base http sign endpoint io"
    [cred]="base http sign endpoint io conf"
    [proxy]="base http sign endpoint io conf cred"
    [daemon]="base http sign endpoint io conf cred proxy"
    [cli]="base http sign endpoint io conf cred proxy daemon"
    [main]="base cli"
)
# The two sides of a request know each other through the state machine only.
declare -A never=(
    [src/proxy/xfer_front.c]="io/up.h"
    [src/proxy/xfer_up.c]="io/front.h"
)

libc="assert.h ctype.h dirent.h errno.h fcntl.h float.h getopt.h glob.h grp.h ifaddrs.h inttypes.h
limits.h locale.h malloc.h math.h netdb.h poll.h pthread.h pwd.h resolv.h sched.h semaphore.h signal.h spawn.h
stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h strings.h
termios.h time.h unistd.h"
libc=${libc//$'\n'/ }

fail() {
    echo "$*"
    bad=1
}

while IFS=: read -r file line text; do
    layer=${file#src/}
    case $layer in */*) layer=${layer%%/*} ;; *) layer=main ;; esac
    header=${text#*[<\"]}
    header=${header%%[>\"]*}
    case $text in
    *'"'*)
        to=${header%%/*}
        if [ "$to" = "$header" ] || [ ! -f "src/$header" ]; then
            fail "$file:$line: \"$header\" is no path from src/"
        elif [ "$to" != "$layer" ] && [[ " ${below[$layer]-} " != *" $to "* ]]; then
            fail "$file:$line: $layer must not include $header (it may include: ${below[$layer]-})"
        elif [[ " ${never[$file]-} " == *" $header "* ]]; then
            fail "$file:$line: $file must not include $header"
        fi
        ;;
    *'<'*)
        library=
        while read -r prefix user; do
            case $header in "$prefix"*) library=$prefix ;; esac
            [ "$library" = "$prefix" ] && [ "$user" = "$file" ] && continue 2
        done < <(grep -v '^#' $users)
        if [ -n "$library" ]; then
            fail "$file:$line: <$header> is not for this file: see $users"
        else
            case $header in
            sys/* | linux/* | net/* | netinet/* | arpa/* | sanitizer/*) ;;
            *)
                [[ " $libc " == *" $header "* ]] ||
                    fail "$file:$line: <$header> is of a library that $users does not name"
                ;;
            esac
        fi
        ;;
    esac
done < <(grep -rn -E --include='*.[ch]' --include='*.def' '^[[:space:]]*#[[:space:]]*include' src | sort)

for file in "${!never[@]}"; do
    [ -f "$file" ] || fail "there is no $file: name the file that took its place, or drop its row"
done

# A row that nothing needs would let the library in again unseen.
while read -r prefix user; do
    if ! grep -q -s "^#include <$prefix" "$user"; then
        fail "$users: $user does not include <$prefix…>: remove the row"
    fi
done < <(grep -v '^#' $users)
exit $bad
