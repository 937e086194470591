/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over everything measured. Sums the workers' counters by their labels, so that no series
 * is told twice. Reads while the workers write: each number is right, their sum is of about now. */
#include "daemon/metrics.h"

#include <stdlib.h>

struct walk {
    const struct metrics_input *in;
    const struct metrics_sink *to;
};

static void family(const struct walk *w, const char *name, enum metrics_type type, const char *help)
{
    w->to->family(w->to->arg, name, type, help);
}

static void sample(const struct walk *w, const char *suffix, const struct metrics_label *l,
                   size_t n, double v)
{
    w->to->sample(w->to->arg, suffix, l, n, v);
}

static void gauge(const struct walk *w, const char *name, const char *help, double v)
{
    family(w, name, METRICS_GAUGE, help);
    sample(w, "", NULL, 0, v);
}

/* The plain counters and gauges: rows of one metric stand together in stat.def. */
static void plain(const struct walk *w)
{
    enum kind { COUNTER = METRICS_COUNTER, GAUGE = METRICS_GAUGE };
    static const struct {
        enum stat_id id;
        enum kind kind;
        const char *name, *label, *help;
    } rows[] = {
#define X(id, kind, name, labels, help) {STAT_##id, kind, name, labels, help},
#include "base/stat.def"
#undef X
    };
    const char *told = "";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(told, rows[i].name) != 0)
            family(w, rows[i].name, (enum metrics_type)rows[i].kind, rows[i].help);
        told = rows[i].name;
        double v = 0;
        for (size_t k = 0; k < w->in->nstats; k++)
            v += (double)stat_get(w->in->stats[k], rows[i].id);
        if (v < 0)
            v = 0; /* a gauge read between two of its changes */
        /* The row's label text is name="value", at most one. */
        struct str rest = str_of(rows[i].label), name = str_cut(&rest, '=');
        char label[32];
        if (rest.n >= 2 && name.n < sizeof label) {
            memcpy(label, name.p, name.n);
            label[name.n] = '\0';
            struct metrics_label l = {label, str_n(rest.p + 1, rest.n - 2)};
            sample(w, "", &l, 1, v);
        } else {
            sample(w, "", NULL, 0, v);
        }
    }
}

static int by_labels(const void *a, const void *b)
{
    const struct stat_series *x = *(const struct stat_series *const *)a;
    const struct stat_series *y = *(const struct stat_series *const *)b;
    int d = 0;
    for (int i = 0; d == 0 && i < 3; i++)
        d = strcmp(x->label[i], y->label[i]);
    return d;
}

struct labelled {
    enum stat_family id;
    const char *name, *help;
    const char *label[3];
};

static const struct labelled labelled[] = {
    {STATF_REQUESTS,
     "sigferry_requests_total",
     "Requests answered, by service, region and status.",
     {"service", "region", "code"}},
    {STATF_ATTEMPTS,
     "sigferry_upstream_attempts_total",
     "Attempts made upstream, by service and outcome.",
     {"service", "outcome", NULL}},
    {STATF_RETRIES,
     "sigferry_retries_total",
     "Attempts made again, by the reason for it.",
     {"reason", NULL, NULL}},
    {STATF_REJECTED,
     "sigferry_rejected_total",
     "Requests refused by the proxy itself, by error code.",
     {"reason", NULL, NULL}},
};

/* All series of one family, of all workers, sorted; all holds room for them. */
static size_t collect(const struct walk *w, enum stat_family f, const struct stat_series **all)
{
    size_t n = 0;
    for (size_t k = 0; k < w->in->nstats; k++) {
        const struct stat *s = w->in->stats[k];
        unsigned m = atomic_load_explicit(&s->nseries, memory_order_acquire);
        for (unsigned i = 0; i < m && i < STAT_SERIES_MAX; i++)
            if (s->series[i].family == (unsigned)f)
                all[n++] = &s->series[i];
    }
    if (n)
        qsort(all, n, sizeof(struct stat_series *), by_labels);
    return n;
}

static bool series(const struct walk *w)
{
    const struct stat_series **all = calloc(w->in->nstats + 1, STAT_SERIES_MAX * sizeof *all);
    if (!all)
        return false;
    for (size_t f = 0; f < ARRAY_LEN(labelled); f++) {
        const struct labelled *d = &labelled[f];
        family(w, d->name, METRICS_COUNTER, d->help);
        size_t n = collect(w, d->id, all);
        for (size_t i = 0, next; i < n; i = next) {
            uint64_t v = 0;
            for (next = i; next < n && by_labels(&all[i], &all[next]) == 0; next++)
                v += atomic_load_explicit(&all[next]->value, memory_order_relaxed);
            struct metrics_label l[3];
            size_t nl = 0;
            for (; nl < 3 && d->label[nl]; nl++)
                l[nl] = (struct metrics_label){d->label[nl], str_of(all[i]->label[nl])};
            sample(w, "", l, nl, (double)v);
        }
    }
    free(all);
    return true;
}

static void duration(const struct walk *w)
{
    family(w, "sigferry_request_duration_seconds", METRICS_HISTOGRAM,
           "Time from a request's head to the end of its answer.");
    uint64_t total = 0, sum_us = 0;
    for (unsigned b = 0; b < STAT_BUCKETS; b++) {
        for (size_t k = 0; k < w->in->nstats; k++)
            total += atomic_load_explicit(&w->in->stats[k]->bucket[b], memory_order_relaxed);
        char le[32] = "+Inf";
        if (b < STAT_BUCKETS - 1)
            metrics_number(stat_bounds[b], le);
        struct metrics_label l = {"le", str_of(le)};
        sample(w, "_bucket", &l, 1, (double)total);
    }
    for (size_t k = 0; k < w->in->nstats; k++)
        sum_us += atomic_load_explicit(&w->in->stats[k]->duration_sum_us, memory_order_relaxed);
    sample(w, "_sum", NULL, 0, (double)sum_us / 1e6);
    sample(w, "_count", NULL, 0, (double)total);
}

static void pools(const struct walk *w)
{
    family(w, "sigferry_pool_connections", METRICS_GAUGE,
           "Kept upstream connections, by host and state.");
    const struct metrics_pool *p = w->in->pools;
    for (size_t i = 0; i < w->in->npools; i++) {
        struct metrics_label l[2] = {{"host", str_of(p[i].host)}, {"state", STR("active")}};
        sample(w, "", l, 2, (double)p[i].active);
        l[1].value = STR("idle");
        sample(w, "", l, 2, (double)p[i].idle);
    }
}

static void credentials(const struct walk *w)
{
    const struct cred_status *c = w->in->creds;
    size_t n = w->in->ncreds;
    family(w, "sigferry_credential_refresh_total", METRICS_COUNTER,
           "Fetches of a profile's credential, by result.");
    for (size_t i = 0; i < n; i++) {
        struct metrics_label l[2] = {{"profile", str_of(c[i].profile)}, {"result", STR("ok")}};
        sample(w, "", l, 2, (double)c[i].refreshes_ok);
        l[1].value = STR("failed");
        sample(w, "", l, 2, (double)c[i].refreshes_failed);
    }
    family(w, "sigferry_credential_usable", METRICS_GAUGE,
           "1 when a profile holds a credential that can sign.");
    for (size_t i = 0; i < n; i++) {
        struct metrics_label l = {"profile", str_of(c[i].profile)};
        sample(w, "", &l, 1, c[i].state == CRED_OK);
    }
    family(w, "sigferry_credential_expiry_timestamp_seconds", METRICS_GAUGE,
           "When a profile's credential expires; absent for those that never do.");
    for (size_t i = 0; i < n; i++) {
        struct metrics_label l = {"profile", str_of(c[i].profile)};
        if (c[i].expires_s > 0)
            sample(w, "", &l, 1, (double)c[i].expires_s);
    }
}

static void about(const struct walk *w)
{
    const struct metrics_input *in = w->in;
    gauge(w, "sigferry_clock_skew_seconds", "The clouds' clock minus ours, as last learned.",
          (double)in->skew_s);
    gauge(w, "sigferry_config_last_reload_successful",
          "1 when the configuration was loaded the last time it was asked for.", in->reload_ok);
    gauge(w, "sigferry_config_last_reload_success_timestamp_seconds",
          "When the configuration in use was loaded.", (double)in->reload_s);
    family(w, "sigferry_log_dropped_total", METRICS_COUNTER,
           "Log lines dropped because nobody took them.");
    sample(w, "", NULL, 0, (double)in->log_dropped);
    gauge(w, "sigferry_workers", "Event loops.", (double)in->nstats);

    enum { LABELS_MAX = 16 };
    struct metrics_label l[LABELS_MAX] = {{"version", str_of(in->version)}};
    size_t n = 1;
    for (size_t i = 0; i < in->nlibraries && n < LABELS_MAX; i++)
        l[n++] = (struct metrics_label){in->libraries[i].name, str_of(in->libraries[i].version)};
    family(w, "sigferry_build_info", METRICS_GAUGE,
           "1; the labels are the versions of sigferry and of the libraries it runs on.");
    sample(w, "", l, n, 1);
}

static void process(const struct walk *w)
{
    struct metrics_process p;
    metrics_process_read(&p);
    if (p.cpu_seconds >= 0) {
        family(w, "process_cpu_seconds_total", METRICS_COUNTER,
               "Total user and system CPU time spent in seconds.");
        sample(w, "", NULL, 0, p.cpu_seconds);
    }
    const struct {
        const char *name, *help;
        double value;
    } rows[] = {
        {"process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
         p.start_time_s},
        {"process_virtual_memory_bytes", "Virtual memory size in bytes.", p.virtual_bytes},
        {"process_resident_memory_bytes", "Resident memory size in bytes.", p.resident_bytes},
        {"process_open_fds", "Number of open file descriptors.", p.open_fds},
        {"process_max_fds", "Maximum number of open file descriptors.", p.max_fds},
        {"process_threads", "Number of OS threads in the process.", p.threads},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].value >= 0)
            gauge(w, rows[i].name, rows[i].help, rows[i].value);
}

bool metrics_walk(const struct metrics_input *in, const struct metrics_sink *sink)
{
    struct walk w = {in, sink};
    if (!series(&w))
        return false;
    duration(&w);
    plain(&w);
    pools(&w);
    credentials(&w);
    about(&w);
    process(&w);
    return true;
}
