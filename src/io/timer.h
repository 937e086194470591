/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of one loop: an intrusive binary heap of pointers; the timers live in their owners. */
#ifndef SIGFERRY_IO_TIMER_H
#define SIGFERRY_IO_TIMER_H

#include "base/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    uint64_t at_ns;                /* when it fires (clock_ns()); 0 when not set */
    size_t pos;                    /* place in the heap + 1; 0 when not set */
    void (*fire)(struct timer *t); /* called by timers_run; the timer is unset before */
};

struct timers {
    struct timer **heap;
    size_t n, size;
    uint64_t floor_ns; /* private: earliest time a timer set now may get; 0 outside timers_run */
    uint64_t late_ns;  /* private: what the run before put off to; due in the next run */
};

void timers_init(struct timers *ts);
/* Unsets what is set (those timers must still exist) and frees. */
void timers_free(struct timers *ts);

/* Prepares an unset timer. */
void timer_init(struct timer *t, void (*fire)(struct timer *t));

/* Sets or moves t to at_ns; false when memory is short (the timer is unset then). */
NODISCARD bool timer_set(struct timers *ts, struct timer *t, uint64_t at_ns);

/* Unsets; fine when not set. */
void timer_unset(struct timers *ts, struct timer *t);

/* Fires everything due at now_ns, earliest first; a timer set by a callback to a time that has
 * passed fires in the next run. */
void timers_run(struct timers *ts, uint64_t now_ns);

/* When the earliest fires; UINT64_MAX when none is set. */
uint64_t timers_next(const struct timers *ts);

#endif
