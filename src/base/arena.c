/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator. Owns a chain of blocks, newest first; the last in the chain is the one that is
 * kept. Under AddressSanitizer everything not handed out is poisoned. */
#include "base/arena.h"
#include "base/secret.h"
#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

struct arena_block {
    struct arena_block *next; /* older */
    size_t size, used;
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *a, size_t first_size, size_t max)
{
    *a = (struct arena){.first_size = first_size, .max = max};
}

static struct arena_block *block_new(size_t size, struct arena_block *next)
{
    if (size > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    struct arena_block *b = malloc(sizeof(*b) + size);
    if (!b)
        return NULL;
    b->next = next;
    b->size = size;
    b->used = 0;
    POISON(b->data, size);
    return b;
}

static void block_free(struct arena_block *b)
{
    UNPOISON(b->data, b->size);
    free(b);
}

void *arena_alloc(struct arena *a, size_t n)
{
    assert(a->used_total <= a->max);
    const size_t mask = alignof(max_align_t) - 1;
    if (n > SIZE_MAX - mask)
        return NULL;
    /* An empty request takes room as well, so that every pointer handed out is distinct. */
    size_t room = n ? (n + mask) & ~mask : mask + 1;
    if (room > a->max - a->used_total)
        return NULL;
    if (!a->head) {
        a->head = block_new((a->first_size + mask) & ~mask, NULL);
        if (!a->head)
            return NULL;
    }
    struct arena_block *b = a->head;
    if (room > b->size - b->used) {
        /* Doubling keeps the number of blocks logarithmic; the cap bounds the sum. */
        size_t size = b->size > SIZE_MAX / 2 ? b->size : b->size * 2;
        b = block_new(size > room ? size : room, a->head);
        if (!b)
            return NULL;
        a->head = b;
    }
    unsigned char *p = b->data + b->used;
    b->used += room;
    a->used_total += room;
    UNPOISON(p, n);
    return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (!p)
        return (struct str){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return str_n(p, s.n);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    struct str out = {NULL, 0};
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
    if (p && vsnprintf(p, (size_t)len + 1, fmt, again) == len)
        out = str_n(p, (size_t)len);
    va_end(again);
    return out;
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->head;
    while (b && b->next) {
        struct arena_block *older = b->next;
        block_free(b);
        b = older;
    }
    if (b) {
        b->used = 0;
        POISON(b->data, b->size);
    }
    a->head = b;
    a->used_total = 0;
}

void arena_wipe(struct arena *a)
{
    for (struct arena_block *b = a->head; b; b = b->next) {
        /* All of it: a reset leaves what was handed out before in the block it keeps. */
        UNPOISON(b->data, b->size);
        secret_wipe(b->data, b->size);
    }
    arena_free(a);
}

void arena_free(struct arena *a)
{
    arena_reset(a);
    if (a->head)
        block_free(a->head);
    a->head = NULL;
}
