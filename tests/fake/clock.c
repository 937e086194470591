/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that moves only when told. Threads of the code under test may read it. */
#include "base/clock.h"

#include "fake.h"
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic uint64_t mono_ns = 1000 * NS_PER_SEC, wall_ns = UINT64_C(1800000000) * NS_PER_SEC;

void fake_clock_advance(uint64_t ns)
{
    mono_ns += ns;
    wall_ns += ns;
}

void clock_tick(void) {}

uint64_t clock_ns(void)
{
    return mono_ns;
}

uint64_t clock_fresh_ns(void)
{
    return mono_ns;
}

int64_t clock_wall_s(void)
{
    return (int64_t)(wall_ns / NS_PER_SEC);
}

void clock_format_basic(int64_t unix_s, char out[17])
{
    time_t t = (time_t)unix_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
        (void)snprintf(out, 17, "19700101T000000Z");
}
