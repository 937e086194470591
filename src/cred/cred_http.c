/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the providers. connect_to, proxy and tls apply to them as to proxied requests. The
 * only place that decides whether the network may be asked. */
#include "cred/cred_http.h"
#include "base/clock.h"

#include <poll.h>
#include <unistd.h>

/* Longest try, whatever the configuration allows proxied requests: somebody waits for the answer.
 */
static const uint64_t connect_max_ns = 10 * NS_PER_SEC, read_max_ns = 30 * NS_PER_SEC;
/* Between two tries; the official SDKs' interval. */
static const uint64_t retry_pause_ns = NS_PER_SEC;

/* Waits; false at once when cancelled. */
static bool pause_for(const struct cred_ctx *ctx, uint64_t ns)
{
    struct pollfd p = {.fd = ctx->cancel_fd, .events = POLLIN}; /* poll ignores -1 */
    uint64_t end = clock_fresh_ns() + ns;
    for (;;) {
        uint64_t now = clock_fresh_ns();
        if (now >= end)
            return true;
        if (poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1) > 0)
            return false;
    }
}

static uint64_t limit(uint64_t asked, uint64_t configured, uint64_t max)
{
    uint64_t ns = asked ? asked : configured;
    return ns && ns < max ? ns : max;
}

static bool worth_another(enum err e, int status)
{
    if (e == ERR_OK)
        return status == 429 || status >= 500;
    return err_retry(e) != RETRY_NONE;
}

bool cred_http(struct cred_ctx *ctx, const struct cred_call *q, struct fetch_response *r,
               struct err_detail *why)
{
    struct fetch_net net = conf_net(ctx->conf);
    struct fetch_request f = {
        .method = q->method,
        .url = q->url,
        .headers = q->headers,
        .nheaders = q->nheaders,
        .body = q->body,
        .connect_ns = limit(q->connect_ns, ctx->conf->timeouts.connect_ns, connect_max_ns),
        .read_ns = limit(q->read_ns, ctx->conf->timeouts.read_ns, read_max_ns),
        .cancel_fd = ctx->cancel_fd,
        .direct = q->direct,
    };
    if (ctx->local_only) {
        ctx->deferred = true;
        err_set(why, ERR_CREDENTIALS, "not asked yet");
        return false;
    }
    buf_init(&r->body, CRED_BODY_MAX);
    for (unsigned left = q->tries ? q->tries : 1;;) {
        enum err e = fetch_run(&f, &net, r, why);
        left--;
        if (left && worth_another(e, r->status) && pause_for(ctx, retry_pause_ns)) {
            buf_wipe(&r->body);
            continue;
        }
        return e == ERR_OK;
    }
}
