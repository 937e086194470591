/* SPDX-License-Identifier: Apache-2.0 */
/* Chained hashing over one block of entries, linked by age. Entry 0 is the ring's head. */
#include "proxy/lru.h"
#include <stdlib.h>

struct entry {
    uint16_t older, newer; /* the ring */
    uint16_t next;         /* in the bucket; 0 ends it */
    uint16_t bucket;
    size_t key_len;
};

struct lru {
    unsigned most, used;
    size_t key_max, value_at, stride;
    unsigned mask;
    uint16_t *bucket;
    char *entries;
};

static size_t aligned(size_t n)
{
    size_t a = _Alignof(max_align_t);
    return (n + a - 1) / a * a;
}

static struct entry *at(const struct lru *t, unsigned i)
{
    return (struct entry *)(void *)(t->entries + i * t->stride);
}

struct lru *lru_new(unsigned most, size_t key_max, size_t value_size)
{
    struct lru *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->most = most < 1 ? 1 : most > 65535 ? 65535 : most;
    t->key_max = key_max;
    t->value_at = aligned(sizeof(struct entry) + key_max);
    t->stride = aligned(t->value_at + value_size);
    for (t->mask = 15; t->mask < t->most;)
        t->mask = t->mask * 2 + 1;
    t->bucket = calloc(t->mask + 1, sizeof(*t->bucket));
    t->entries = calloc(t->most + 1, t->stride);
    if (t->bucket && t->entries)
        return t;
    lru_free(t);
    return NULL;
}

void lru_free(struct lru *t)
{
    if (!t)
        return;
    free(t->bucket);
    free(t->entries);
    free(t);
}

unsigned lru_count(const struct lru *t)
{
    return t->used;
}

static char *key_of(struct entry *e)
{
    return (char *)(e + 1);
}

/* FNV-1a: keys are short, and a chain is never longer than the table. */
static unsigned hash(struct str key)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < key.n; i++)
        h = (h ^ (unsigned char)key.p[i]) * UINT64_C(1099511628211);
    return (unsigned)(h ^ h >> 32);
}

static void ring_take(struct lru *t, struct entry *e)
{
    at(t, e->older)->newer = e->newer;
    at(t, e->newer)->older = e->older;
}

static void ring_put(struct lru *t, unsigned i)
{
    struct entry *head = at(t, 0), *e = at(t, i);
    e->older = head->older;
    e->newer = 0;
    at(t, head->older)->newer = (uint16_t)i;
    head->older = (uint16_t)i;
}

/* An entry to fill: an unused one, or the least recently used one, unlinked. */
static unsigned take_entry(struct lru *t)
{
    if (t->used < t->most)
        return ++t->used;
    unsigned i = at(t, 0)->newer;
    struct entry *e = at(t, i);
    uint16_t *link = &t->bucket[e->bucket];
    while (*link != i)
        link = &at(t, *link)->next;
    *link = e->next;
    ring_take(t, e);
    return i;
}

void *lru_get(struct lru *t, struct str key, bool *fresh)
{
    if (key.n > t->key_max)
        key = (struct str){"", 0};
    unsigned b = hash(key) & t->mask, i = t->bucket[b];
    struct entry *e = at(t, i);
    while (i && !(e->key_len == key.n && (!key.n || memcmp(key_of(e), key.p, key.n) == 0))) {
        i = e->next;
        e = at(t, i);
    }
    if (fresh)
        *fresh = !i;
    if (i) {
        ring_take(t, e);
        ring_put(t, i);
        return (char *)e + t->value_at;
    }
    i = take_entry(t);
    e = at(t, i);
    e->key_len = key.n;
    if (key.n)
        memcpy(key_of(e), key.p, key.n);
    e->bucket = (uint16_t)b;
    e->next = t->bucket[b];
    t->bucket[b] = (uint16_t)i;
    ring_put(t, i);
    memset((char *)e + t->value_at, 0, t->stride - t->value_at);
    return (char *)e + t->value_at;
}
