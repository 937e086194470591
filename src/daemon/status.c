/* SPDX-License-Identifier: Apache-2.0 */
/* /status: the daemon's condition as JSON. */
#include "daemon/status.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

const char *status_word(const struct status_input *in)
{
    return in->draining ? "draining" : in->ready ? "running" : "not ready";
}

void status_time(int64_t unix_s, char out[32])
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    if (unix_s <= 0 || !gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, 32, "never");
}

/* jansson's setters take the new value whatever happens, and fail on a NULL one: a single flag
 * gathers all failures. */
struct json {
    json_t *metrics, *samples; /* samples: the array of the family told last, borrowed */
    bool failed;
};

static void set(struct json *j, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        j->failed = true;
}

static void append(struct json *j, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        j->failed = true;
}

static json_t *number(double v)
{
    if (v == floor(v) && fabs(v) < 9e15)
        return json_integer((json_int_t)v);
    return isfinite(v) ? json_real(v) : json_null();
}

/* Text that came from outside may not be UTF-8, which jansson refuses. */
static json_t *text(const char *s)
{
    json_t *t = json_string(s);
    return t ? t : json_string("?");
}

static json_t *text_n(struct str s)
{
    json_t *t = json_stringn(s.p ? s.p : "", s.n);
    return t ? t : json_string("?");
}

static json_t *time_or_null(int64_t unix_s)
{
    char t[32];
    status_time(unix_s, t);
    return unix_s > 0 ? json_string(t) : json_null();
}

static void on_family(void *arg, const char *name, enum metrics_type type, const char *help)
{
    (void)type;
    (void)help;
    struct json *j = arg;
    j->samples = json_array();
    if (json_object_set_new(j->metrics, name, j->samples) != 0) {
        j->samples = NULL; /* it is gone */
        j->failed = true;
    }
}

static void on_sample(void *arg, const char *suffix, const struct metrics_label *labels, size_t n,
                      double value)
{
    struct json *j = arg;
    json_t *s = json_object(), *l = json_object();
    if (suffix[0])
        set(j, s, "part", json_string(suffix + 1));
    for (size_t i = 0; i < n; i++)
        set(j, l, labels[i].name, text_n(labels[i].value));
    set(j, s, "labels", l);
    set(j, s, "value", number(value));
    append(j, j->samples, s);
}

static json_t *credentials(struct json *j, const struct metrics_input *m)
{
    static const char *const states[] = {
        [CRED_OK] = "ok", [CRED_PENDING] = "pending", [CRED_FAILED] = "failed"};
    json_t *all = json_array();
    for (size_t i = 0; i < m->ncreds; i++) {
        const struct cred_status *c = &m->creds[i];
        json_t *o = json_object();
        set(j, o, "profile", text(c->profile));
        set(j, o, "provider", text(c->provider));
        set(j, o, "access_key", text(c->access_key));
        set(j, o, "state", json_string(states[c->state]));
        set(j, o, "expires", time_or_null(c->expires_s));
        set(j, o, "refreshes_ok", json_integer((json_int_t)c->refreshes_ok));
        set(j, o, "refreshes_failed", json_integer((json_int_t)c->refreshes_failed));
        set(j, o, "error", text(c->state == CRED_OK ? "" : c->why.text));
        append(j, all, o);
    }
    return all;
}

static json_t *failures(struct json *j, const struct status_input *in)
{
    json_t *all = json_array();
    for (size_t i = 0; i < in->nfailures; i++) {
        const struct failure *f = &in->failures[i];
        json_t *o = json_object();
        set(j, o, "time", time_or_null(f->at_s));
        set(j, o, "status", json_integer(f->status));
        set(j, o, "code", text(f->code));
        set(j, o, "reason", text(f->reason));
        set(j, o, "service", text(f->service));
        set(j, o, "region", text(f->region));
        set(j, o, "action", text(f->action));
        set(j, o, "attempts", json_integer(f->attempts));
        set(j, o, "request_id", text(f->request_id));
        set(j, o, "upstream_request_id", text(f->upstream_id));
        append(j, all, o);
    }
    return all;
}

double status_quantile(const struct metrics_input *m, double q)
{
    uint64_t n[STAT_BUCKETS] = {0}, total = 0;
    double below = 0;
    for (unsigned b = 0; b < STAT_BUCKETS; b++) {
        for (size_t k = 0; k < m->nstats; k++)
            n[b] += atomic_load_explicit(&m->stats[k]->bucket[b], memory_order_relaxed);
        total += n[b];
    }
    if (total == 0)
        return -1;
    /* within a bucket as if all were spread evenly, as Prometheus has it */
    for (unsigned b = 0; b < STAT_BUCKETS - 1; b++) {
        double from = b ? stat_bounds[b - 1] : 0;
        if (n[b] && below + (double)n[b] >= q * (double)total)
            return from + (stat_bounds[b] - from) * (q * (double)total - below) / (double)n[b];
        below += (double)n[b];
    }
    return INFINITY;
}

static json_t *latency(struct json *j, const struct metrics_input *m)
{
    static const struct {
        const char *name;
        double q;
    } rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    json_t *o = json_object();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double v = status_quantile(m, rows[i].q);
        set(j, o, rows[i].name, v < 0 || isinf(v) ? json_null() : json_real(v));
    }
    return o;
}

static json_t *configuration(struct json *j, const struct conf *c)
{
    struct buf b;
    buf_init(&b, 4 * 1024 * 1024);
    conf_print_json(c, &b);
    json_t *keys = b.failed ? NULL : json_loadb(b.p ? b.p : "", b.n, JSON_REJECT_DUPLICATES, NULL);
    buf_free(&b);
    json_t *o = json_object();
    set(j, o, "file", c->path ? text(c->path) : json_null());
    set(j, o, "keys", keys);
    return o;
}

static int dump(const char *p, size_t n, void *arg)
{
    return buf_add(arg, p, n) ? 0 : -1;
}

void status_write(const struct status_input *in, struct buf *out)
{
    const struct metrics_input *m = &in->m;
    struct json j = {.metrics = json_object()};
    json_t *root = json_object(), *libs = json_object(), *listeners = json_array(),
           *recorded = json_array(), *reload = json_object();
    for (size_t i = 0; i < m->nlibraries; i++)
        set(&j, libs, m->libraries[i].name, text(m->libraries[i].version));
    for (size_t i = 0; i < in->nlisteners; i++)
        append(&j, listeners, text(in->listeners[i]));
    for (size_t i = 0; i < in->nrecorded; i++)
        append(&j, recorded, text(in->recorded[i]));
    set(&j, reload, "successful", json_boolean(m->reload_ok));
    set(&j, reload, "loaded", time_or_null(m->reload_s));
    set(&j, reload, "error", text(in->reload_why));

    set(&j, root, "status", json_string(status_word(in)));
    set(&j, root, "ready", json_boolean(in->ready));
    set(&j, root, "draining", json_boolean(in->draining));
    set(&j, root, "reason", text(in->reason));
    set(&j, root, "version", text(m->version));
    set(&j, root, "libraries", libs);
    set(&j, root, "pid", json_integer(getpid()));
    set(&j, root, "started", time_or_null(in->started_s));
    set(&j, root, "uptime_seconds", json_integer((json_int_t)(in->now_s - in->started_s)));
    set(&j, root, "workers", json_integer((json_int_t)m->nstats));
    set(&j, root, "listeners", listeners);
    set(&j, root, "recorded", recorded);
    set(&j, root, "clock_skew_seconds", json_integer((json_int_t)m->skew_s));
    set(&j, root, "credentials", credentials(&j, m));
    set(&j, root, "reload", reload);
    set(&j, root, "latency_seconds", latency(&j, m));
    set(&j, root, "recent_failures", failures(&j, in));
    struct metrics_sink sink = {on_family, on_sample, &j};
    if (!metrics_walk(m, &sink))
        j.failed = true;
    set(&j, root, "metrics", j.metrics);
    set(&j, root, "config", configuration(&j, in->conf));
    if (j.failed || json_dump_callback(root, dump, out, JSON_INDENT(2)) != 0)
        out->failed = true;
    buf_putc(out, '\n');
    json_decref(root);
}
