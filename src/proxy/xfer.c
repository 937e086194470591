/* SPDX-License-Identifier: Apache-2.0 */
/* The states of one proxied request, the start of an attempt, and the decision to try again.
 *
 *  FREE ─open→ RECV ─body_end→ TRY ─head ok→ REPLY ─both sides gone→ DEAD ─turn end→ FREE
 *                │              │  ▲           ▲
 *                │    retryable ▼  │ timer     │ an answer of our own
 *                └──────────→  WAIT ───────────┘        client gone: any → DEAD
 *
 * Invariants (xfer_sane): nothing is retried after REPLY was entered; at most one attempt is in
 * flight; WAIT has none. */
#include "proxy/xfer.h"

#include "base/log.h"
#include "base/secret.h"
#include "proxy/budget.h"
#include <assert.h>

#define BACKSTOP_NS (120 * NS_PER_SEC)

static const char *state_name(enum xfer_state s)
{
    static const char *const names[] = {
#define X(s, from) #s,
        XFER_STATES(X)
#undef X
    };
    return names[s];
}

void xfer_go(struct xfer *x, enum xfer_state to)
{
    static const unsigned legal[] = {
#define X(s, from) (from),
        XFER_STATES(X)
#undef X
    };
    assert(legal[to] & (1u << x->state));
    log_debug(LOGD_RETRIES, "request %s: %s -> %s", x->request_id, state_name(x->state),
              state_name(to));
    if (x->state == XS_WAIT)
        timer_unset(&x->px->o.loop->timers, &x->timer);
    if (to == XS_REPLY || to == XS_DEAD)
        timer_unset(&x->px->o.loop->timers, &x->body_timer);
    list_unlink(&x->waiter);
    x->state = to;
}

void xfer_mark(struct xfer *x, unsigned want)
{
    x->want |= want;
    if (x->state == XS_FREE)
        return;
    list_unlink(&x->link);
    list_push(&x->px->dirty, &x->link);
}

void xfer_sane(const struct xfer *x)
{
    assert(x->state != XS_WAIT || !x->has_up);
    assert(x->state != XS_FREE || (!x->fr && !x->has_up));
    assert(x->queue_off <= x->queue.n);
    assert(!x->up.active || x->has_up || (x->want & WANT_CANCEL));
    (void)x;
}

void xfer_trace(const struct xfer *x, enum log_debug category, const char *what, uint64_t offset,
                struct str piece)
{
    struct str shown = str_n(piece.p, piece.n < XFER_TRACED ? piece.n : XFER_TRACED);
    if (!piece.n || !log_debug_on(category))
        return;
    if (x->cred && (secret_is_quoted(shown, secret_str(x->cred->session_token)) ||
                    secret_is_quoted(shown, secret_str(x->cred->secret_key))))
        log_debug(category, "request %s: %s from byte %llu: not shown, it quotes a key or token",
                  x->request_id, what, (unsigned long long)offset);
    else
        log_debug(category, "request %s: %s from byte %llu: %.*s%s", x->request_id, what,
                  (unsigned long long)offset, STR_ARG(shown), piece.n > shown.n ? " …" : "");
}

void xfer_count(struct xfer *x)
{
    size_t now = spool_mem(&x->body) + x->window.n + x->queue.n;
    x->px->buffered += now - x->buffered;
    x->buffered = now;
}

static double random_unit(struct proxy *p)
{
    /* xorshift64*: jitter needs no more */
    p->rnd ^= p->rnd >> 12;
    p->rnd ^= p->rnd << 25;
    p->rnd ^= p->rnd >> 27;
    return (double)((p->rnd * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

static struct str body_view(struct up_req *q, uint64_t offset, char *scratch, size_t n)
{
    struct xfer *x = CONTAINER_OF(q, struct xfer, up);
    if (!x->streaming)
        return spool_read(&x->body, offset, scratch, n);
    /* What lies before offset was sent: the window moves on and takes more from the client. */
    size_t skip = (size_t)(offset - x->window_base);
    if (skip) {
        buf_shift(&x->window, skip);
        xfer_count(x);
        x->window_base = offset;
        if (x->front_held) {
            x->front_held = false;
            x->body_mark_ns = clock_ns(); /* until now it was not the client that was waited for */
            xfer_mark(x, WANT_WAKE);
        }
    }
    return x->window.n ? str_n(x->window.p, x->window.n < n ? x->window.n : n) : STR("");
}

/* The next attempt's clock, counts and connection. */
static enum err launch(struct xfer *x)
{
    const struct route *r = &x->route;
    struct up_req *q = &x->up;
    uint64_t total = x->streaming ? (x->stream_chunked && !x->body_done ? UINT64_MAX
                                     : x->stream_chunked ? x->window_base + x->window.n
                                                         : x->verdict->length)
                                  : x->body.size;
    *q = (struct up_req){.ops = &xfer_up_ops,
                         .host = r->host.p,
                         .port = r->port,
                         .tls = str_eq(r->scheme, STR("https")),
                         .private_ok = r->by_name,
                         .is_head = str_eq(x->head->method, STR("HEAD")),
                         .head = buf_str(&x->out),
                         .body = total ? body_view : NULL,
                         .body_size = total,
                         .body_once = x->streaming,
                         .connect_ns = r->opt.connect_ns ? r->opt.connect_ns : 300 * NS_PER_SEC,
                         .read_ns = r->opt.read_ns ? r->opt.read_ns : 86400 * NS_PER_SEC};
    x->attempts++;
    x->attempt_ns = clock_ns();
    x->held = x->eof = false; /* a held answer before this one was complete */
    buf_reset(&x->queue);
    x->queue_off = 0;
    x->answer_bytes = 0;
    xfer_count(x);
    if (x->attempts == 1)
        budget_request(x->px->budget, r->host, x->attempt_ns);
    enum err e = up_start(x->px->o.up, q);
    x->has_up = e == ERR_OK;
    if (e != ERR_OK)
        x->attempts--;
    return e;
}

void xfer_wait_credential(struct xfer *x)
{
    if (x->state != XS_WAIT)
        xfer_go(x, XS_WAIT);
    list_unlink(&x->waiter);
    list_push(&x->px->cred_waiters, &x->waiter);
    /* The provider's own limits end the wait; this is the backstop, from the first time on. */
    if (!x->timer.pos && !timer_set(&x->px->o.loop->timers, &x->timer, clock_ns() + BACKSTOP_NS))
        xfer_fail(x, ERR_OVERLOADED, NULL);
}

void xfer_pass_refusal(struct xfer *x)
{
    x->held = false;
    xfer_commit(x);
}

/* The credential to sign with: false when the request waits for one or was answered. */
static bool take_credential(struct xfer *x)
{
    struct proxy *p = x->px;
    struct err_detail why;
    struct cred *c = NULL;
    why.text[0] = '\0';
    int profile = cred_view_find(p->creds, x->gen->conf, x->route.profile);
    if (x->rejected_id && profile >= 0 && cred_view_busy(p->creds, (unsigned)profile)) {
        xfer_wait_credential(x);
        return false;
    }
    enum cred_state s = profile < 0
                            ? CRED_FAILED
                            : cred_view_get(p->creds, (unsigned)profile, clock_wall_s(), &c, &why);
    if (s == CRED_PENDING) {
        xfer_wait_credential(x);
        return false;
    }
    if (x->rejected_id && (s == CRED_FAILED || c->id == x->rejected_id)) {
        xfer_pass_refusal(x);
        return false;
    }
    if (s == CRED_FAILED) {
        xfer_fail(x, ERR_CREDENTIALS, &why);
        return false;
    }
    x->rejected_id = 0;
    cred_unref(x->cred);
    x->cred = cred_ref(c);
    return true;
}

void xfer_start(struct xfer *x)
{
    if (x->state != XS_RECV && x->state != XS_WAIT)
        return;
    if (x->not_before_ns > clock_ns()) { /* the rate limit lets it go on later */
        if (!xfer_again(x, x->not_before_ns - clock_ns()))
            xfer_fail(x, ERR_OVERLOADED, NULL);
        return;
    }
    if (!take_credential(x))
        return;
    x->skew_s = atomic_load_explicit(&x->px->o.shared->skew_s, memory_order_relaxed);
    if (x->route.opt.dry_run || x->route.opt.presign) {
        xfer_show(x);
        return;
    }
    enum err e = xfer_sign(x);
    if (e == ERR_OK)
        e = launch(x);
    if (e == ERR_OK)
        xfer_go(x, XS_TRY);
    else
        xfer_fail(x, e, NULL);
}

static bool replayable(const struct xfer *x)
{
    /* A streamed body can be sent again only while nothing of it has left the window. */
    return !x->streaming || (x->window_base == 0 && !x->up.sent);
}

bool xfer_retry(struct xfer *x, const struct retry_outcome *o)
{
    struct proxy *p = x->px;
    uint64_t now = clock_ns();
    struct retry_question ask = {.conf = x->gen->conf,
                                 .route = &x->route,
                                 .outcome = *o,
                                 .attempt = x->attempts - x->extra,
                                 .replayable = replayable(x),
                                 .elapsed_ns = now - x->started_ns,
                                 .now_s = clock_wall_s() + x->skew_s, /* the upstream's */
                                 .random = random_unit(p)};
    struct retry_answer a = retry_next(&ask);
    if (!a.again)
        return false;
    if (!xfer_budget_take(x)) {
        stat_add(p->o.stat, STAT_BUDGET_EXHAUSTED, 1);
        log_debug(LOGD_RETRIES, "request %s: no retry, the budget of %.*s is used up",
                  x->request_id, STR_ARG(x->route.host));
        return false;
    }
    stat_count(p->o.stat, STATF_RETRIES, str_of(a.reason), (struct str){0}, (struct str){0});
    log_debug(LOGD_RETRIES, "request %s: attempt %u ended with %s, again in %.1f ms", x->request_id,
              x->attempts, a.reason, (double)a.delay_ns / 1e6);
    return xfer_again(x, a.delay_ns);
}

bool xfer_again(struct xfer *x, uint64_t delay_ns)
{
    if (!timer_set(&x->px->o.loop->timers, &x->timer, clock_ns() + delay_ns))
        return false;
    /* An answer whose end is here already keeps its connection: the cancel finds nothing to do. */
    xfer_give_up(x);
    if (x->state != XS_WAIT)
        xfer_go(x, XS_WAIT);
    return true;
}
