/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: the upstream's head turned into the client's, and the ones made here. */
#include "proxy/xfer.h"

#include "base/log.h"
#include <stdio.h>

static bool add(struct xfer *x, struct str name, struct str value)
{
    if (x->nhdrs >= XFER_RESPONSE_HEADERS)
        return false;
    x->hdrs[x->nhdrs++] = (struct hdr){name, value};
    return true;
}

static void add_ours(struct xfer *x)
{
    static const char digits[][3] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    struct str n = x->attempts < ARRAY_LEN(digits) ? str_of(digits[x->attempts])
                                                   : arena_printf(&x->arena, "%u", x->attempts);
    if (!add(x, STR("X-Sigferry-Request-Id"), str_of(x->request_id)) ||
        !add(x, STR("X-Sigferry-Attempts"), n))
        log_msg(LOG_WARN, "request %s: no room for our response headers", x->request_id);
}

/* Hop-by-hop fields end here, and the upstream can't speak in our name. */
static bool passes(const struct resp *r, const struct hdr *h, bool nominates)
{
    return !hdr_is_hop(h->name) && !str_istarts(h->name, STR("X-Sigferry-")) &&
           !(nominates && hdr_is_nominated(&r->hdrs, h->name));
}

/* With the NUL that front_reply asks for. */
static struct str move(struct str s, char **at)
{
    char *p = *at;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *at += s.n + 1;
    return str_n(p, s.n);
}

static void take_field(struct xfer *x, struct hdr *h, char **at)
{
    *h = (struct hdr){move(h->name, at), move(h->value, at)};
    if (str_ieq(h->name, STR("Retry-After")))
        x->retry_after = h->value;
    else if (str_ieq(h->name, STR("Date")))
        x->date = h->value;
    else if (str_ieq(h->name, STR("X-Tt-Logid")))
        x->upstream_id = h->value;
}

/* May a Connection field name others? Nearly all say "keep-alive" or "close" and no more. */
static bool may_nominate(const struct hdrs *h)
{
    for (size_t i = 0; i < h->n; i++)
        if (str_ieq(h->v[i].name, STR("Connection")) &&
            !str_ieq(h->v[i].value, STR("keep-alive")) && !str_ieq(h->v[i].value, STR("close")))
            return true;
    return false;
}

bool xfer_take_head(struct xfer *x, const struct resp *r)
{
    bool nominates = may_nominate(&r->hdrs);
    x->status = r->status;
    x->nhdrs = 0;
    x->no_body = r->framing == RESP_NO_BODY;
    x->length =
        r->framing == RESP_LENGTH || (x->no_body && r->has_length) ? (int64_t)r->length : -1;
    x->retry_after = x->date = x->upstream_id = (struct str){NULL, 0};
    size_t total = 0;
    for (size_t i = 0; i < r->hdrs.n; i++) {
        const struct hdr *h = &r->hdrs.v[i];
        if (!passes(r, h, nominates))
            continue;
        if (!add(x, h->name, h->value))
            return false;
        total += h->name.n + h->value.n + 2;
    }
    /* The parser's copy goes when the exchange ends; the client may still be reading then. */
    char *at = arena_alloc(&x->arena, total);
    for (size_t i = 0; at && i < x->nhdrs; i++)
        take_field(x, &x->hdrs[i], &at);
    return at != NULL;
}

void xfer_commit(struct xfer *x)
{
    add_ours(x);
    xfer_go(x, XS_REPLY);
    xfer_mark(x, WANT_WAKE);
    log_debug(LOGD_RESPONSE, "request %s: status %u", x->request_id, x->status);
    log_debug(LOGD_REQUEST_ID, "request %s: X-Tt-Logid %.*s", x->request_id,
              STR_ARG(x->upstream_id.p ? x->upstream_id : STR("-")));
}

void xfer_cut(struct xfer *x, enum err e)
{
    x->err = e;
    x->aborted = x->eof = true;
    xfer_mark(x, WANT_WAKE);
}

void xfer_answer(struct xfer *x, unsigned status, const char *content_type)
{
    x->status = status;
    x->nhdrs = 0;
    x->no_body = false;
    x->eof = true;
    x->held = x->aborted = false;
    x->length = (int64_t)x->queue.n;
    add_ours(x);
    if (!add(x, STR("Content-Type"), str_of(content_type)) ||
        !add(x, STR("Cache-Control"), STR("no-store")))
        log_msg(LOG_WARN, "request %s: no room for response headers", x->request_id);
    xfer_go(x, XS_REPLY);
    xfer_mark(x, WANT_WAKE);
}

static const char *const allowed_methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

void xfer_fail(struct xfer *x, enum err e, const struct err_detail *why)
{
    if (x->state == XS_REPLY || x->state == XS_DEAD)
        return;
    x->err = e;
    if (why)
        x->why = *why;
    if (!x->why.text[0])
        snprintf(x->why.text, sizeof x->why.text, "%s", err_text(e));
    xfer_give_up(x);
    xfer_unrate(x);
    /* Connections on which the rest of a body can't be waited for, or that we want to be rid of. */
    x->close_after = e == ERR_CLIENT_TIMEOUT || e == ERR_SHUTTING_DOWN || e == ERR_OVERLOADED;
    buf_reset(&x->queue);
    x->queue_off = 0;
    reply_error(&x->queue, e, &x->why, x->routed ? &x->route : NULL, str_of(x->request_id));
    if (x->queue.failed)
        buf_reset(&x->queue); /* the head says what it is; half a body would only mislead */
    xfer_count(x);
    xfer_answer(x, (unsigned)err_status(e), "application/json");
    bool ok = add(x, STR("X-Sigferry-Error"), str_of(err_code(e)));
    if (err_status(e) == 503 || err_status(e) == 429)
        ok = ok && add(x, STR("Retry-After"), x->retry_wait.p ? x->retry_wait : STR("1"));
    if (err_status(e) == 405)
        ok = ok && add(x, STR("Allow"), str_of(allowed_methods));
    if (!ok)
        log_msg(LOG_WARN, "request %s: no room for response headers", x->request_id);
    if (x->attempts == 0)
        stat_count(x->px->o.stat, STATF_REJECTED, str_of(err_code(e)), (struct str){NULL, 0},
                   (struct str){NULL, 0});
}
