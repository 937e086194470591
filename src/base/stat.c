/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of one worker. Owns the series table: append-only, so that a reader who sees `nseries`
 * sees complete rows. Only the owner thread writes; it takes no lock and no locked instruction. */
#include "base/stat.h"
#include <assert.h>
#include <stdlib.h>

enum {
    CACHE_LINE = 64,
    SLOTS = 2 * STAT_SERIES_MAX,
    /* The last rows are kept for each family's "other", so that counting never fails. */
    SERIES_OPEN = STAT_SERIES_MAX - STATF_COUNT,
};

/* Seconds. From a cached answer on the same host to the longest waits that are configured. */
const double stat_bounds[STAT_BUCKETS - 1] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    30,   60};

struct stat *stat_new(void)
{
    size_t size = (sizeof(struct stat) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct stat *s = aligned_alloc(CACHE_LINE, size);
    if (s)
        memset(s, 0, size);
    return s;
}

void stat_free(struct stat *s)
{
    free(s);
}

static void bump(_Atomic uint64_t *v, uint64_t d)
{
    uint64_t was = atomic_load_explicit(v, memory_order_relaxed);
    atomic_store_explicit(v, was + d, memory_order_relaxed);
}

/* FNV-1a over the family and the labels, each ended by a byte that no label holds. */
static uint32_t hash_of(enum stat_family f, const struct str label[3])
{
    uint32_t h = UINT32_C(2166136261) ^ (uint32_t)f;
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < label[i].n; k++)
            h = (h ^ (unsigned char)label[i].p[k]) * UINT32_C(16777619);
        h *= UINT32_C(16777619);
    }
    return h;
}

static bool same(const struct stat_series *e, enum stat_family f, const struct str label[3])
{
    if (e->family != (unsigned)f)
        return false;
    for (int i = 0; i < 3; i++)
        if (!str_eq(str_of(e->label[i]), label[i]))
            return false;
    return true;
}

/* Finds the series or appends it while fewer than `limit` exist; NULL when it may not. */
static struct stat_series *find(struct stat *s, enum stat_family f, const struct str label[3],
                                unsigned limit)
{
    unsigned n = atomic_load_explicit(&s->nseries, memory_order_relaxed);
    uint32_t at = hash_of(f, label) % SLOTS;
    /* At most half of the slots are taken, so an empty one ends the walk. */
    for (; s->slot[at]; at = (at + 1) % SLOTS)
        if (same(&s->series[s->slot[at] - 1], f, label))
            return &s->series[s->slot[at] - 1];
    if (n >= limit)
        return NULL;
    struct stat_series *e = &s->series[n];
    e->family = (unsigned)f;
    for (int i = 0; i < 3; i++)
        if (label[i].n)
            memcpy(e->label[i], label[i].p, label[i].n); /* the rest is zero */
    s->slot[at] = (uint16_t)(n + 1);
    atomic_store_explicit(&s->nseries, n + 1, memory_order_release);
    return e;
}

static void count(struct stat *s, enum stat_family f, struct str label[3], unsigned limit)
{
    for (int i = 0; i < 3; i++)
        if (label[i].n >= STAT_LABEL_MAX || (label[i].n && memchr(label[i].p, '\0', label[i].n)))
            label[i] = STR("other");
    struct stat_series *e = find(s, f, label, limit);
    if (!e) {
        const struct str other[3] = {STR("other"), STR("other"), STR("other")};
        static const int labels[STATF_COUNT] = {
            [STATF_REQUESTS] = 3, [STATF_ATTEMPTS] = 2, [STATF_RETRIES] = 1, [STATF_REJECTED] = 1};
        for (int i = 0; i < 3; i++)
            label[i] = i < labels[f] ? other[i] : (struct str){NULL, 0};
        e = find(s, f, label, STAT_SERIES_MAX);
    }
    assert(e);
    if (e)
        bump(&e->value, 1);
}

void stat_count(struct stat *s, enum stat_family f, struct str a, struct str b, struct str c)
{
    count(s, f, (struct str[3]){a, b, c}, SERIES_OPEN);
}

void stat_count_spare(struct stat *s, enum stat_family f, struct str a, struct str b, struct str c)
{
    count(s, f, (struct str[3]){a, b, c}, SERIES_OPEN / 2);
}

void stat_duration(struct stat *s, uint64_t ns)
{
    double seconds = (double)ns / 1e9;
    unsigned i = 0;
    while (i < STAT_BUCKETS - 1 && seconds > stat_bounds[i])
        i++;
    bump(&s->bucket[i], 1);
    bump(&s->duration_sum_us, ns / 1000);
}
