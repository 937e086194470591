/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin address tells: gathered from the workers' counters, the credential store and the
 * daemon's own state, without stopping anybody. */
#include "daemon/daemon_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/metrics.h"
#include "daemon/status.h"
#include "proxy/failures.h"
#include "proxy/policy.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    STATUS_POOLS_MAX = 256,
    STATUS_LISTENERS_MAX = 64,
    STATUS_WORKERS_MAX = 256,
    STUCK_S = 5, /* a loop that has not turned for so long hangs; idle ones turn every second */
};

/* Everything one report needs, on the heap: too much for a stack. Freed with report_free. */
struct report {
    const struct stat *stats[STATUS_WORKERS_MAX];
    struct metrics_pool pools[STATUS_POOLS_MAX];
    struct cred_status *creds;
    struct metrics_library libraries[3];
    const char *listeners[STATUS_LISTENERS_MAX];
    struct buf reason;
    char pairs[POLICY_RECORD_MAX][POLICY_PATTERN_MAX];
    const char *recorded[POLICY_RECORD_MAX];
    struct failure failures[FAILURES_MAX];
    struct status_input in;
};

bool daemon_healthy(struct daemon *d)
{
    uint64_t now = clock_fresh_ns();
    for (unsigned i = 0; i < d->nworkers; i++) {
        uint64_t at = worker_turn_ns(d->workers[i]);
        if (at < now && now - at > STUCK_S * NS_PER_SEC)
            return false;
    }
    return true;
}

static bool health(void *arg, struct buf *reason)
{
    if (daemon_healthy(arg))
        return true;
    buf_putz(reason, "a worker's loop does not turn");
    return false;
}

/* A profile that requests get without asking for it by name. */
static bool in_use(const struct conf *c, const char *name)
{
    bool used = strcmp(c->profile, name) == 0;
    for (size_t i = 0; i < c->nlisten; i++)
        used = used || strcmp(c->listen[i].profile, name) == 0;
    for (size_t i = 0; i < c->nroutes; i++)
        used = used || strcmp(c->routes[i].profile, name) == 0;
    for (size_t i = 0; i < c->nclients; i++)
        used = used || strcmp(c->clients[i].profile, name) == 0;
    for (size_t i = 0; i < c->npolicies; i++)
        used = used || strcmp(c->policies[i].profile, name) == 0;
    return used;
}

/* A usable credential for every profile that requests can get without asking for it by name. */
static bool ready(void *arg, struct buf *reason)
{
    struct daemon *d = arg;
    struct cred_status *v = calloc(d->conf->nprofiles, sizeof *v);
    bool ok = v != NULL;
    if (d->draining) {
        buf_putz(reason, "draining");
        ok = false;
    } else if (v) {
        size_t n = cred_store_status(d->creds, v, d->conf->nprofiles);
        for (size_t i = 0; i < n; i++) {
            if (v[i].state == CRED_OK || !in_use(d->conf, v[i].profile))
                continue;
            buf_printf(reason, "%sprofile %s: %s", reason->n ? "; " : "", v[i].profile,
                       v[i].state == CRED_PENDING ? "the credential is being fetched"
                                                  : v[i].why.text);
            ok = false;
        }
    }
    free(v);
    return ok;
}

/* The pools of all workers, summed by host; out is zeroed. */
static size_t gather_pools(struct daemon *d, struct metrics_pool *out, size_t max)
{
    struct worker_pool *v = calloc(WORKER_POOLS_MAX, sizeof *v);
    size_t n = 0;
    for (unsigned i = 0; i < d->nworkers; i++)
        worker_ask_pools(d->workers[i]);
    for (unsigned i = 0; v && i < d->nworkers; i++) {
        size_t m = worker_pools(d->workers[i], v, WORKER_POOLS_MAX);
        for (size_t k = 0; k < m; k++) {
            size_t at = 0;
            while (at < n && strcmp(out[at].host, v[k].host) != 0)
                at++;
            if (at == max)
                continue;
            if (at == n) {
                n++;
                snprintf(out[at].host, sizeof out[at].host, "%s", v[k].host);
            }
            out[at].idle += v[k].idle;
            out[at].active += v[k].active;
            out[at].pending += v[k].pending;
        }
    }
    free(v);
    return n;
}

static void report_free(struct report *r)
{
    if (!r)
        return;
    buf_free(&r->reason);
    free(r->creds);
    free(r);
}

static struct report *gather(struct daemon *d)
{
    size_t ncreds = d->conf->nprofiles;
    struct report *r = calloc(1, sizeof *r);
    if (!r || !(r->creds = calloc(ncreds, sizeof *r->creds))) {
        free(r);
        return NULL;
    }
    struct metrics_input *m = &r->in.m;
    for (unsigned i = 0; i < d->nworkers && i < STATUS_WORKERS_MAX; i++)
        r->stats[m->nstats++] = worker_stat(d->workers[i]);
    m->stats = r->stats;
    m->pools = r->pools;
    m->npools = gather_pools(d, r->pools, STATUS_POOLS_MAX);
    m->creds = r->creds;
    m->ncreds = cred_store_status(d->creds, r->creds, ncreds);
    r->libraries[0] = (struct metrics_library){"libmicrohttpd", front_library_version()};
    r->libraries[1] = (struct metrics_library){"libcurl", conn_library_version()};
    r->libraries[2] = (struct metrics_library){"openssl", digest_library_version()};
    m->libraries = r->libraries;
    m->nlibraries = 3;
    m->version = PACKAGE_VERSION;
    m->skew_s = atomic_load(&d->shared.skew_s);
    m->reload_ok = d->reload_ok;
    m->reload_s = d->reload_s;
    m->log_dropped = log_dropped();
    for (size_t i = 0; i < d->ndoors && r->in.nlisteners < STATUS_LISTENERS_MAX; i++)
        if (!d->doors[i]->closing)
            r->listeners[r->in.nlisteners++] = d->doors[i]->sock->name;
    r->in.listeners = r->listeners;
    r->in.conf = d->conf;
    if (d->shared.record)
        r->in.nrecorded = policy_record_copy(d->shared.record, r->pairs, POLICY_RECORD_MAX);
    for (size_t i = 0; i < r->in.nrecorded; i++)
        r->recorded[i] = r->pairs[i];
    r->in.recorded = r->recorded;
    if (d->shared.failures)
        r->in.nfailures = failures_copy(d->shared.failures, r->failures);
    r->in.failures = r->failures;
    buf_init(&r->reason, ADMIN_REASON_MAX);
    r->in.ready = ready(d, &r->reason);
    const char *reason = buf_cstr(&r->reason);
    r->in.reason = r->in.ready ? "" : reason ? reason : "memory is short";
    r->in.draining = d->draining;
    r->in.reload_why = d->reload_ok ? "" : d->reload_why;
    r->in.now_s = clock_wall_s();
    r->in.started_s = d->started_s;
    return r;
}

static void metrics(void *arg, struct buf *out)
{
    struct report *r = gather(arg);
    if (r)
        metrics_write(&r->in.m, out);
    else
        out->failed = true;
    report_free(r);
}

static void status(void *arg, struct buf *out)
{
    struct report *r = gather(arg);
    if (r)
        status_write(&r->in, out);
    else
        out->failed = true;
    report_free(r);
}

static void page(void *arg, struct buf *out)
{
    struct report *r = gather(arg);
    if (r)
        status_page(&r->in, out);
    else
        out->failed = true;
    report_free(r);
}

void daemon_tell_recorded(struct daemon *d)
{
    enum { LINE = 1500 };
    struct report *r = gather(d);
    char line[LINE];
    size_t n = 0;
    for (size_t i = 0; r && i < r->in.nrecorded; i++) {
        n += (size_t)snprintf(line + n, sizeof line - n, "%s\"%s\"", n ? ", " : "", r->recorded[i]);
        if (n > LINE - POLICY_PATTERN_MAX - 8 || i + 1 == r->in.nrecorded) {
            log_msg(LOG_INFO, "recorded, for a policy: allow = [ %s ];", line);
            n = 0;
        }
    }
    report_free(r);
}

static void quit(void *arg)
{
    daemon_drain(arg, "asked to on the admin address");
}

struct admin_source daemon_report(struct daemon *d)
{
    return (struct admin_source){d, health, ready, metrics, status, page, quit};
}
