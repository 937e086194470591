/* SPDX-License-Identifier: Apache-2.0 */
/* Time, read once per loop turn and cached per thread. */
#ifndef SIGFERRY_BASE_CLOCK_H
#define SIGFERRY_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MS  UINT64_C(1000000)

/* Reads both clocks into this thread's cache. A loop calls it right after its poll. */
void clock_tick(void);

/* Monotonic nanoseconds (CLOCK_MONOTONIC) as of the last clock_tick of this thread; ticks by
 * itself on the thread's first call. For every deadline and duration. */
uint64_t clock_ns(void);

/* Wall-clock seconds since 1970 UTC as of the last clock_tick. For what is shown, signed or expires
 * by the calendar, never for deadlines. */
int64_t clock_wall_s(void);

/* Monotonic nanoseconds now, past the cache: for durations within one turn. */
uint64_t clock_fresh_ns(void);

/* Formats unix seconds as YYYYMMDDTHHMMSSZ plus NUL (the X-Date form). */
void clock_format_basic(int64_t unix_s, char out[17]);

#endif
