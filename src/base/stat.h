/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: each worker owns one struct stat and writes it without locks; any thread may read.
 * Plain counters come from stat.def; labelled series live in bounded append-only tables. */
#ifndef SIGFERRY_BASE_STAT_H
#define SIGFERRY_BASE_STAT_H

#include "base/attr.h"
#include "base/str.h"
#include <stdatomic.h>

enum stat_id {
#define X(id, kind, name, labels, help) STAT_##id,
#include "base/stat.def"
#undef X
    STAT_COUNT
};

/* Labelled series: (label values, up to three) → counter. */
enum { STAT_LABEL_MAX = 48, STAT_SERIES_MAX = 512 };

/* Which family a series belongs to. */
enum stat_family {
    STATF_REQUESTS, /* service, region, code */
    STATF_ATTEMPTS, /* service, outcome */
    STATF_RETRIES,  /* reason */
    STATF_REJECTED, /* reason */
    STATF_COUNT
};

struct stat_series {
    char label[3][STAT_LABEL_MAX]; /* NUL-terminated, written before `nseries` says so */
    _Atomic uint64_t value;
    unsigned family;
};

/* Latency histogram: upper bounds in seconds are in stat_bounds[], the last is +Inf. */
enum { STAT_BUCKETS = 16 };
extern const double stat_bounds[STAT_BUCKETS - 1];

struct stat {
    _Atomic int64_t v[STAT_COUNT];
    _Atomic uint64_t bucket[STAT_BUCKETS]; /* not cumulative */
    _Atomic uint64_t duration_sum_us;
    _Atomic unsigned nseries;
    struct stat_series series[STAT_SERIES_MAX];
    uint16_t slot[2 * STAT_SERIES_MAX]; /* owner only: hash → series + 1 */
};

/* Allocates a zeroed, cache-line aligned struct; NULL when memory is short. */
NODISCARD struct stat *stat_new(void);
void stat_free(struct stat *s);

static inline void stat_add(struct stat *s, enum stat_id id, int64_t d)
{
    /* One writer: a plain load and store, without a locked instruction. */
    int64_t v = atomic_load_explicit(&s->v[id], memory_order_relaxed);
    atomic_store_explicit(&s->v[id], v + d, memory_order_relaxed);
}
static inline int64_t stat_get(const struct stat *s, enum stat_id id)
{
    return atomic_load_explicit(&s->v[id], memory_order_relaxed);
}

/* Counts one in the series of these labels (unused ones {NULL,0}). A value longer than a label
 * holds, or a new series when the table is full, counts under "other". Owner thread only. */
void stat_count(struct stat *s, enum stat_family f, struct str a, struct str b, struct str c);
/* The same, but a new series may only use the first half of the table: for what a client can name
 * without the upstream's having a say. */
void stat_count_spare(struct stat *s, enum stat_family f, struct str a, struct str b, struct str c);

/* Adds one observation to sigferry_request_duration_seconds. Owner thread only. */
void stat_duration(struct stat *s, uint64_t ns);

#endif
