/* SPDX-License-Identifier: Apache-2.0 */
/* Time, read once per loop turn and cached per thread. Owns the thread's cache.
 * Linux gives both clocks without a system call, and they cannot fail once they exist. */
#include "base/clock.h"
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static _Thread_local struct {
    uint64_t mono_ns, wall_ns;
    bool read;
} cache;

static uint64_t now_ns(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    assert(rc == 0);
    (void)rc;
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

void clock_tick(void)
{
    cache.mono_ns = now_ns(CLOCK_MONOTONIC);
    cache.wall_ns = now_ns(CLOCK_REALTIME);
    cache.read = true;
}

uint64_t clock_ns(void)
{
    if (!cache.read)
        clock_tick();
    return cache.mono_ns;
}

int64_t clock_wall_s(void)
{
    if (!cache.read)
        clock_tick();
    return (int64_t)(cache.wall_ns / NS_PER_SEC);
}

uint64_t clock_fresh_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

void clock_format_basic(int64_t unix_s, char out[17])
{
    /* The form has four digits for the year: clamp to 1970…9999. */
    const int64_t last = INT64_C(253402300799);
    time_t t = (time_t)(unix_s < 0 ? 0 : unix_s > last ? last : unix_s);
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
        (void)snprintf(out, 17, "19700101T000000Z");
}
