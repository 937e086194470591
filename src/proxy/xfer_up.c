/* SPDX-License-Identifier: Apache-2.0 */
/* What the upstream side reports: recorded here, acted on in settle. Nothing of up is called. */
#include "proxy/xfer.h"

#include "base/fmt.h"
#include "base/log.h"

static bool is_json(const struct resp *r)
{
    const struct hdr *ct = hdrs_find(&r->hdrs, STR("content-type"));
    return ct && (str_istarts(ct->value, STR("application/json")) ||
                  str_istarts(ct->value, STR("text/json")));
}

/* Answers that are looked into before anything of them is passed on: those that may carry an error
 * code to retry, an expired credential or a clock error. Never more than 64 KiB. */
static bool must_hold(const struct xfer *x, const struct resp *r)
{
    if (!is_json(r) || r->framing == RESP_NO_BODY || r->framing == RESP_UNTIL_CLOSE ||
        (r->framing == RESP_LENGTH && r->length > XFER_HOLD_MAX))
        return false;
    return x->route.opt.nretry_error_codes > 0 || r->status == 400 || r->status == 401 ||
           r->status == 403;
}

/* One line of sigferry_upstream_attempts_total: the status, or the network error. */
static void count_attempt(struct xfer *x, struct str outcome)
{
    stat_count(x->px->o.stat, STATF_ATTEMPTS, x->route.service, outcome, (struct str){NULL, 0});
    x->upstream_ns += clock_ns() - x->attempt_ns;
}

void xfer_give_up(struct xfer *x)
{
    if (x->has_up && !x->up.head_seen)
        count_attempt(x, x->err == ERR_OK ? STR("ClientGone") : str_of(err_code(x->err)));
    x->has_up = false;
    xfer_mark(x, WANT_CANCEL);
}

static void on_head(struct up_req *q, const struct resp *r)
{
    struct xfer *x = CONTAINER_OF(q, struct xfer, up);
    if (!x->has_up || x->state != XS_TRY)
        return;
    if (!xfer_take_head(x, r)) {
        xfer_fail(x, ERR_OVERLOADED, NULL);
        return;
    }
    char code[FMT_U64_MAX];
    count_attempt(x, fmt_u64(code, x->status));
    if (must_hold(x, r)) {
        x->held = true;
        return;
    }
    struct retry_outcome o = {.status = r->status, .retry_after = x->retry_after, .sent = true};
    if (xfer_retry(x, &o))
        return;
    xfer_commit(x);
}

/* A held answer is complete, or too large to be looked into, which an empty code says: retry it,
 * refresh for it, or pass it on. */
static void judge_held(struct xfer *x, struct str code)
{
    struct retry_outcome o = {
        .status = x->status, .error_code = code, .retry_after = x->retry_after, .sent = true};
    if (xfer_second_chance(x, code) || xfer_retry(x, &o))
        return;
    x->held = false;
    xfer_commit(x);
}

/* Room for the first n bytes of an answer and what is to follow: growing by doubling would copy a
 * large one over and over, and have the kernel clear new pages for each. */
static void make_room(struct xfer *x, size_t n)
{
    struct proxy *p = x->px;
    size_t want = x->length > XFER_LARGE ? XFER_LARGE : x->length > 0 ? (size_t)x->length : 0;
    if (want < n)
        want = n;
    if (want <= x->queue.size)
        return;
    if (want > XFER_KEEP && p->nspare) {
        buf_free(&x->queue);
        x->queue = p->spare[--p->nspare];
    } else if (!buf_reserve(&x->queue, want)) {
        buf_reset(&x->queue); /* a step at a time, then */
    }
}

static bool on_data(struct up_req *q, struct str bytes)
{
    struct xfer *x = CONTAINER_OF(q, struct xfer, up);
    if (!x->has_up || (x->state != XS_TRY && x->state != XS_REPLY))
        return true;
    xfer_trace(x, LOGD_RESPONSE_BODY, "answer", x->answer_bytes, bytes);
    x->answer_bytes += bytes.n;
    if (x->queue_off == x->queue.n) {
        buf_reset(&x->queue);
        x->queue_off = 0;
    } else if (x->queue_off > XFER_QUEUE_HIGH) {
        buf_shift(&x->queue, x->queue_off);
        x->queue_off = 0;
    }
    if (x->queue.n == 0)
        make_room(x, bytes.n);
    if (!buf_add(&x->queue, bytes.p, bytes.n)) {
        xfer_give_up(x);
        if (x->state == XS_TRY)
            xfer_fail(x, ERR_OVERLOADED, NULL);
        else
            xfer_cut(x, ERR_OVERLOADED);
        return false;
    }
    xfer_count(x);
    if (x->held) {
        if (x->queue.n > XFER_HOLD_MAX)
            judge_held(x, STR(""));
        return true;
    }
    xfer_mark(x, WANT_WAKE);
    if (x->queue.n - x->queue_off < XFER_QUEUE_HIGH)
        return true;
    x->paused = true;
    return false;
}

static void on_done(struct up_req *q, enum err e, const char *why)
{
    struct xfer *x = CONTAINER_OF(q, struct xfer, up);
    if (!x->has_up)
        return; /* given up, and maybe answered, in this very turn */
    x->has_up = false;
    if (!q->head_seen)
        count_attempt(x, str_of(err_code(e)));
    xfer_mark(x, 0);
    if (x->state == XS_REPLY) {
        x->eof = true;
        xfer_mark(x, WANT_WAKE);
        if (e != ERR_OK) {
            xfer_cut(x, e);
            log_msg(LOG_WARN, "request %s: the answer was cut short: %s", x->request_id, why);
        }
        return;
    }
    if (x->state != XS_TRY)
        return; /* the client left, or a retry was arranged already */
    if (e == ERR_OK) {
        char scratch[REPLY_CODE_MAX];
        x->eof = true;
        judge_held(x, reply_error_code(buf_str(&x->queue), scratch));
        return;
    }
    struct retry_outcome o = {.err = e, .sent = q->sent};
    if (xfer_retry(x, &o))
        return;
    struct err_detail d;
    enum err shown =
        err_set(&d, e, "%s (%.*s): %s", err_text(e), STR_ARG(x->route.host_header), why);
    xfer_fail(x, shown, &d);
}

const struct up_ops xfer_up_ops = {on_head, on_data, on_done};
