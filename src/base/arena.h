/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator: many small allocations, freed together. The first block is kept over resets,
 * so steady use allocates nothing. One owner; no thread safety. */
#ifndef SIGFERRY_BASE_ARENA_H
#define SIGFERRY_BASE_ARENA_H

#include "base/attr.h"
#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head; /* newest block; NULL before the first use */
    size_t first_size;        /* size of the block that is kept */
    size_t used_total;        /* bytes handed out since the last reset */
    size_t max;               /* cap on used_total */
};

/* first_size: bytes of the kept block; max: most bytes handed out between two resets. */
void arena_init(struct arena *a, size_t first_size, size_t max);

/* n bytes aligned for any type, not zeroed; NULL when the cap or memory does not allow it.
 * Valid until arena_reset or arena_free. */
NODISCARD void *arena_alloc(struct arena *a, size_t n);

/* A NUL-terminated copy; {NULL, 0} on failure (a copy of an empty string has p != NULL). */
NODISCARD struct str arena_dup(struct arena *a, struct str s);

/* printf into the arena, NUL-terminated; {NULL, 0} on failure. */
NODISCARD struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Gives everything back but the first block. Pointers handed out become invalid (poisoned under
 * AddressSanitizer). */
void arena_reset(struct arena *a);

/* Overwrites all that is held, also what was handed out before the last reset, and frees all.
 * Blocks that a reset gave back are out of reach. */
void arena_wipe(struct arena *a);

/* Frees all; the arena is as after arena_init. */
void arena_free(struct arena *a);

#endif
