/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the edit distance behind every "did you mean". */
#include "base/nearest.h"

static char fold(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance where two neighbours that changed places are one edit as well, with three
 * rows of state; both names fit NEAREST_MAX. */
static size_t edits(struct str a, struct str b)
{
    size_t rows[3][NEAREST_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = fold(a.p[i - 1]), y = fold(b.p[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            bool swapped = i > 1 && j > 1 && x == fold(b.p[j - 2]) && y == fold(a.p[i - 2]);
            if (swapped && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return row[b.n];
}

void nearest_init(struct nearest *n, struct str want)
{
    n->want = want;
    n->best = (struct str){NULL, 0};
    n->distance = (want.n < 6 ? 1 : want.n / 3) + 1;
}

void nearest_offer(struct nearest *n, struct str known)
{
    if (n->want.n == 0 || known.n == 0 || n->want.n > NEAREST_MAX || known.n > NEAREST_MAX)
        return;
    size_t d = edits(n->want, known);
    /* An abbreviation is many edits away and still what was meant; any real match beats it. */
    if (d >= n->distance && !n->best.p && n->want.n >= 3 &&
        (str_istarts(known, n->want) || str_istarts(n->want, known))) {
        n->best = known;
        return;
    }
    if (d < n->distance) {
        n->best = known;
        n->distance = d;
    }
}
