/* SPDX-License-Identifier: Apache-2.0 */
/* Matching of '*' patterns. Linear for one star, bounded by pattern times text for more. */
#include "proxy/glob.h"

bool glob_match(struct str pattern, struct str s, const char *stop)
{
    size_t p = 0, i = 0, star = SIZE_MAX, mark = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = i;
            continue;
        }
        if (p < pattern.n && ascii_lower(pattern.p[p]) == ascii_lower(s.p[i])) {
            p++, i++;
            continue;
        }
        /* Give the last star one byte more. An earlier one need not be tried again, not even where
         * this one is stopped: a byte of `stop` is matched by itself alone, one for one. */
        if (star == SIZE_MAX || (*stop && (s.p[mark] == '\0' || strchr(stop, s.p[mark]))))
            return false;
        p = star + 1;
        i = ++mark;
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

bool glob_action(struct str pattern, struct str service, struct str action)
{
    struct str rest = pattern, first = str_cut(&rest, ':');
    if (!rest.p || !glob_match(first, service, ""))
        return false;
    if (action.n == 0)
        return str_eq(rest, STR("*"));
    return glob_match(rest, action, "");
}
