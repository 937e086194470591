/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that is measured, told once: a walk over all families and samples, which the
 * Prometheus text and the status JSON are both made from. Reads the workers' counters without
 * stopping them; holds no secret. */
#ifndef SIGFERRY_DAEMON_METRICS_H
#define SIGFERRY_DAEMON_METRICS_H

#include "base/buf.h"
#include "base/stat.h"
#include "cred/cred.h"

/* One host's pools, of all workers together: no host comes twice. */
struct metrics_pool {
    char host[256];
    uint64_t idle, active, pending;
};

/* A library we run on, for sigferry_build_info. */
struct metrics_library {
    const char *name, *version; /* name: a label name */
};

struct metrics_input {
    const struct stat *const *stats; /* one a worker */
    size_t nstats;
    const struct metrics_pool *pools;
    size_t npools;
    const struct cred_status *creds;
    size_t ncreds;
    const struct metrics_library *libraries;
    size_t nlibraries;
    const char *version; /* of sigferry */
    int64_t skew_s;      /* the clouds' clock minus ours */
    bool reload_ok;      /* the last load of the configuration succeeded */
    int64_t reload_s;    /* unix time of the last one that did */
    uint64_t log_dropped;
};

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics_label {
    const char *name;
    struct str value;
};

/* Who is told. Samples belong to the family told last; no two samples of a family have the same
 * suffix and labels. */
struct metrics_sink {
    void (*family)(void *arg, const char *name, enum metrics_type type, const char *help);
    /* suffix: "", and of a histogram "_bucket" (with the label le), "_sum", "_count". */
    void (*sample)(void *arg, const char *suffix, const struct metrics_label *labels, size_t n,
                   double value);
    void *arg;
};

/* Tells all; false when memory is short (what was told by then is incomplete). */
NODISCARD bool metrics_walk(const struct metrics_input *in, const struct metrics_sink *sink);

/* The Prometheus text exposition format, version 0.0.4, appended. On failure out->failed is set. */
void metrics_write(const struct metrics_input *in, struct buf *out);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A number as the format writes it: integers without a fraction, +Inf, -Inf, NaN. */
void metrics_number(double v, char out[32]);

/* The walk's own parts. */
struct metrics_process {
    double cpu_seconds, start_time_s, virtual_bytes, resident_bytes, open_fds, max_fds, threads;
};
/* Reads /proc/self; what can't be read is negative. */
void metrics_process_read(struct metrics_process *out);

#endif
