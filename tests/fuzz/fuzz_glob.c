/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of policies, rate limits and hosts: PATTERN LF TEXT LF STOP, matched as a table of
 * every part of the one against every part of the other says. */
#include "proxy/glob.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 200 };

/* Does the pattern match the text? row[i] says whether its first p bytes match the first i. */
static bool matches(struct str pattern, struct str s, const char *stop)
{
    bool row[MOST + 1] = {true}, next[MOST + 1];
    for (size_t p = 0; p < pattern.n; p++) {
        bool star = pattern.p[p] == '*';
        next[0] = star && row[0];
        for (size_t i = 0; i < s.n; i++) {
            bool stops = *stop && (!s.p[i] || strchr(stop, s.p[i]));
            next[i + 1] = star ? row[i + 1] || (next[i] && !stops)
                               : row[i] && ascii_lower(pattern.p[p]) == ascii_lower(s.p[i]);
        }
        memcpy(row, next, sizeof(row));
    }
    return row[s.n];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char stop[8] = "";
    struct str rest = str_n((const char *)data, size);
    struct str pattern = str_cut(&rest, '\n'), text = str_cut(&rest, '\n');
    if (pattern.n > MOST || text.n > MOST)
        return 0;
    for (size_t i = 0; i < rest.n && i < sizeof(stop) - 1; i++) /* no letters, as glob.h says */
        stop[i] = ascii_lower(rest.p[i]) >= 'a' && ascii_lower(rest.p[i]) <= 'z' ? '.' : rest.p[i];
    if (glob_match(pattern, text, stop) != matches(pattern, text, stop))
        abort();

    /* "service:Action", each half for itself; without an Action only a lone star will do. */
    struct str action = text, service = str_cut(&action, ':');
    struct str second = pattern, first = str_cut(&second, ':');
    bool want = second.p && matches(first, service, "") &&
                (action.n ? matches(second, action, "") : second.n == 1 && second.p[0] == '*');
    if (glob_action(pattern, service, action) != want)
        abort();
    return 0;
}
