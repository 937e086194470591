/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the known name closest to one that is not known. Pure, allocates nothing. */
#ifndef SIGFERRY_BASE_NEAREST_H
#define SIGFERRY_BASE_NEAREST_H

#include "base/attr.h"
#include "base/str.h"

enum { NEAREST_MAX = 64 }; /* longer names are never compared */

struct nearest {
    struct str want; /* the unknown name, borrowed */
    struct str best; /* the closest offered so far; {NULL,0} while none is close enough */
    size_t distance; /* edits from want to best; before the first: one more than is accepted */
};

/* Prepares a search for want. Accepted are names at most a third of want's length (at least 1)
 * edits away, where case and '-' against '_' cost nothing, and names that want begins or that
 * begin with it. */
void nearest_init(struct nearest *n, struct str want);

/* Considers one known name; the first of equally close ones is kept. */
void nearest_offer(struct nearest *n, struct str known);

#endif
