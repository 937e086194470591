/* SPDX-License-Identifier: Apache-2.0 */
/* When a request is over: its access line and its counters, once. */
#include "proxy/xfer.h"

#include "base/fmt.h"
#include "base/log.h"
#include "proxy/failures.h"

static struct log_field text(const char *name, struct str v)
{
    return (struct log_field){.name = name, .value = v.p ? v : STR("")};
}

static struct log_field number(const char *name, double v)
{
    return (struct log_field){.name = name, .number = v, .is_number = true};
}

static double ms(uint64_t ns)
{
    uint64_t us = ns / 1000; /* three decimals are enough */
    return (double)us / 1000.0;
}

static void access_line(const struct xfer *x, const struct peer *pe, uint64_t took_ns)
{
    const struct route *r = &x->route;
    struct str error = x->err != ERR_OK ? str_of(err_code(x->err))
                       : x->client_gone ? STR("ClientGone")
                                        : STR("");
    struct log_field f[20];
    size_t n = 0;
    f[n++] = text("client", str_of(pe->addr));
    f[n++] = text("method", x->head ? x->head->method : STR(""));
    f[n++] = text("service", r->service);
    f[n++] = text("region", r->region);
    f[n++] = text("action", r->action);
    f[n++] = text("version", r->version);
    f[n++] = text("host", r->host);
    f[n++] = number("status", x->replied || x->err != ERR_OK ? x->status : 0);
    f[n++] = number("attempts", x->attempts);
    f[n++] = number("bytes_in", (double)x->bytes_in);
    f[n++] = number("bytes_out", (double)x->bytes_out);
    f[n++] = number("duration_ms", ms(took_ns));
    f[n++] = number("upstream_ms", ms(x->upstream_ns));
    f[n++] = text("request_id", str_of(x->request_id));
    f[n++] = text("upstream_request_id", x->upstream_id);
    f[n++] = text("error", error);
    const struct hdr *trace = x->head ? hdrs_find(&x->head->hdrs, STR("traceparent")) : NULL;
    if (trace)
        f[n++] = text("traceparent", trace->value);
    if (x->err != ERR_OK)
        f[n++] = text("reason", str_of(x->why.text));
    log_fields(LOG_INFO, "access", f, n);
}

static COLD void note_failure(const struct xfer *x)
{
    const struct route *r = &x->route;
    bool ours = x->err != ERR_OK;
    struct failure f = {
        .at_s = clock_wall_s(), .status = (unsigned)x->status, .attempts = x->attempts};
    failures_text(f.code, sizeof f.code, str_of(ours ? err_code(x->err) : ""));
    failures_text(f.service, sizeof f.service, r->service);
    failures_text(f.region, sizeof f.region, r->region);
    failures_text(f.action, sizeof f.action, r->action);
    failures_text(f.request_id, sizeof f.request_id, str_of(x->request_id));
    failures_text(f.upstream_id, sizeof f.upstream_id, x->upstream_id);
    failures_text(f.reason, sizeof f.reason,
                  ours ? str_of(x->why.text[0] ? x->why.text : err_text(x->err))
                       : STR("the cloud's own answer"));
    failures_add(x->px->o.shared->failures, &f);
}

/* Label values stay bounded: a request that never went upstream shows only names that are known
 * without it. */
static bool is_known_service(const struct xfer *x)
{
    const struct conf *c = x->gen->conf;
    struct str name = x->route.service;
    bool known = x->attempts > 0 || str_eq(name, endpoint_service_code(c->cloud, name));
    for (size_t i = 0; i < c->endpoint.nservices && !known; i++)
        known = str_eq(name, c->endpoint.services[i].service);
    return known && name.n;
}

static bool is_known_region(const struct xfer *x)
{
    const struct conf *c = x->gen->conf;
    struct str name = x->route.region;
    return name.n && (x->attempts > 0 || str_eq(name, str_of(c->region)) ||
                      endpoint_region_known(c->cloud, name));
}

void xfer_account(struct xfer *x)
{
    struct stat *st = x->px->o.stat;
    uint64_t took = clock_ns() - x->started_ns;
    char code[FMT_U64_MAX];
    /* refused requests leave room for those that are sent */
    (x->attempts ? stat_count : stat_count_spare)(
        st, STATF_REQUESTS, is_known_service(x) ? x->route.service : STR("other"),
        is_known_region(x) ? x->route.region : STR("other"),
        x->client_gone ? STR("499") : fmt_u64(code, x->status));
    stat_duration(st, took);
    stat_add(st, STAT_BYTES_IN, (int64_t)x->bytes_in);
    stat_add(st, STAT_BYTES_OUT, (int64_t)x->bytes_out);
    if (x->status >= 400 && !x->client_gone && x->px->o.shared->failures)
        note_failure(x);
    if (x->gen->conf->log.access && log_on(LOG_INFO))
        access_line(x, x->peer, took);
}
