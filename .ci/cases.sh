# SPDX-License-Identifier: Apache-2.0
# For stages, which source it.
# cases LOG WORD: from the closing line of pytest in it, "12 passed, 1 failed, 2 errors in 3.21s".
cases() {
    local n
    n=$(grep -s -E ' in [0-9.]+s' "$1" | tail -n 1 | grep -o -E "[0-9]+ $2s?\b" | grep -o -E '^[0-9]+')
    echo "${n:-0}"
}
