/* SPDX-License-Identifier: Apache-2.0 */
/* The timers of one loop, as a binary min-heap of pointers ordered by time. Each timer knows its
 * place, so that moving and unsetting cost O(log n). One thread; never reads a clock. */
#include "io/timer.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_SIZE = 64 };

static void place(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->pos = i + 1;
}

static void sift_up(struct timers *ts, size_t i, struct timer *t)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (ts->heap[parent]->at_ns <= t->at_ns)
            break;
        place(ts, i, ts->heap[parent]);
        i = parent;
    }
    place(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i, struct timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= ts->n)
            break;
        if (child + 1 < ts->n && ts->heap[child + 1]->at_ns < ts->heap[child]->at_ns)
            child++;
        if (t->at_ns <= ts->heap[child]->at_ns)
            break;
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, t);
}

static void resift(struct timers *ts, size_t i, struct timer *t)
{
    if (i > 0 && t->at_ns < ts->heap[(i - 1) / 2]->at_ns)
        sift_up(ts, i, t);
    else
        sift_down(ts, i, t);
}

void timers_init(struct timers *ts)
{
    *ts = (struct timers){0};
}

void timers_free(struct timers *ts)
{
    for (size_t i = 0; i < ts->n; i++) {
        ts->heap[i]->pos = 0;
        ts->heap[i]->at_ns = 0;
    }
    free(ts->heap);
    timers_init(ts);
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire};
}

static bool grow(struct timers *ts)
{
    size_t size = ts->size ? ts->size * 2 : FIRST_SIZE;
    struct timer **heap = reallocarray(ts->heap, size, sizeof *heap);
    if (!heap)
        return false;
    ts->heap = heap;
    ts->size = size;
    return true;
}

bool timer_set(struct timers *ts, struct timer *t, uint64_t at_ns)
{
    if (at_ns == 0)
        at_ns = 1; /* 0 says "not set" */
    if (at_ns < ts->floor_ns)
        at_ns = ts->floor_ns; /* set by a callback to a time gone by: not in this run */
    if (t->pos) {
        assert(ts->heap[t->pos - 1] == t);
        t->at_ns = at_ns;
        resift(ts, t->pos - 1, t);
        return true;
    }
    if (ts->n == ts->size && !grow(ts)) {
        t->at_ns = 0;
        return false;
    }
    t->at_ns = at_ns;
    sift_up(ts, ts->n++, t);
    return true;
}

void timer_unset(struct timers *ts, struct timer *t)
{
    if (!t->pos)
        return;
    size_t i = t->pos - 1;
    assert(i < ts->n && ts->heap[i] == t);
    t->pos = 0;
    t->at_ns = 0;
    struct timer *last = ts->heap[--ts->n];
    if (last != t)
        resift(ts, i, last);
}

void timers_run(struct timers *ts, uint64_t now_ns)
{
    /* What the run before put off is due now even when the clock has not moved since. */
    if (now_ns < ts->late_ns)
        now_ns = ts->late_ns;
    ts->floor_ns = now_ns < UINT64_MAX ? now_ns + 1 : now_ns;
    ts->late_ns = 0;
    while (ts->n && ts->heap[0]->at_ns <= now_ns) {
        struct timer *t = ts->heap[0];
        timer_unset(ts, t);
        t->fire(t);
    }
    if (ts->n && ts->heap[0]->at_ns == ts->floor_ns)
        ts->late_ns = ts->floor_ns;
    ts->floor_ns = 0;
}

uint64_t timers_next(const struct timers *ts)
{
    return ts->n ? ts->heap[0]->at_ns : UINT64_MAX;
}
