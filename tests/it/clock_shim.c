/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD that moves clocks by what a shared page says, in nanoseconds: [0] the
 * monotonic ones, [1] the wall clock. What sleeps in the kernel is not woken. [2] milliseconds that
 * a worker's thread hangs in each reading: a loop that stands still. */
#include "shim_page.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void attach(void)
{
    page_attach(getenv("SHIM_PAGE"));
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    char thread[16];
    struct timespec step = {0, 5000000};
    for (long slept = 0; page && slept < page[2]; slept += 5)
        if (prctl(PR_GET_NAME, thread) == 0 && strncmp(thread, "worker", 6) == 0)
            nanosleep(&step, NULL);
    long rc = syscall(SYS_clock_gettime, id, ts);
    if (rc != 0 || !page)
        return (int)rc;
    long add = 0;
    if (id == CLOCK_REALTIME)
        add = page[1];
    else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_RAW || id == CLOCK_BOOTTIME ||
             id == CLOCK_MONOTONIC_COARSE) /* libmicrohttpd's */
        add = page[0];
    long ns = ts->tv_nsec + add % 1000000000;
    ts->tv_sec += add / 1000000000 + (ns >= 1000000000) - (ns < 0);
    ts->tv_nsec = ns >= 1000000000 ? ns - 1000000000 : ns < 0 ? ns + 1000000000 : ns;
    return 0;
}
