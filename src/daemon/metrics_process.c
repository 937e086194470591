/* SPDX-License-Identifier: Apache-2.0 */
/* What the process_* metrics show, from /proc/self. Needs nothing of /proc beyond the own process,
 * for a sandbox may hide the rest. */
#include "daemon/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The wall clock at the boot plus ticks since then. Two clocks, read one after the other, give
 * something else each time, and dashboards take a change for a new start: the first result stays,
 * unless the clock was set since. The admin address's thread only. */
static double start_time(double ticks_s)
{
    static double kept;
    struct timespec boot, wall;
    if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0 || clock_gettime(CLOCK_REALTIME, &wall) != 0)
        return -1;
    double now =
        (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9 + ticks_s;
    if (fabs(now - kept) >= 1)
        kept = now;
    return kept;
}

/* The fields of /proc/self/stat behind the command's name, which may itself hold anything. */
static void read_stat(struct metrics_process *out)
{
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    uint64_t utime, stime, threads, start, vsize;
    int64_t rss;
    if (!end || sscanf(end + 1,
                       " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
                       " %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64 " %" SCNu64 " %" SCNd64,
                       &utime, &stime, &threads, &start, &vsize, &rss) != 6)
        return;
    double tick = (double)sysconf(_SC_CLK_TCK);
    out->cpu_seconds = (double)(utime + stime) / tick;
    out->threads = (double)threads;
    out->virtual_bytes = (double)vsize;
    out->resident_bytes = (double)rss * (double)sysconf(_SC_PAGESIZE);
    out->start_time_s = start_time((double)start / tick);
}

static double count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return -1;
    double n = -1; /* the directory's own descriptor */
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

void metrics_process_read(struct metrics_process *out)
{
    *out = (struct metrics_process){-1, -1, -1, -1, -1, -1, -1};
    struct rlimit lim;
    read_stat(out);
    out->open_fds = count_fds();
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
        out->max_fds = (double)lim.rlim_cur;
}
