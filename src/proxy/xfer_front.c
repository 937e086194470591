/* SPDX-License-Identifier: Apache-2.0 */
/* What the client's side reports and asks for: recorded here, acted on in settle. Nothing of up is
 * called. */
#include "proxy/xfer.h"

#include "base/fmt.h"
#include "base/log.h"
#include "base/secret.h"
#include <stdio.h>
#include <stdlib.h>

/* A body may take client_body_timeout for each of these many bytes: a drip is cut off, a large
 * upload over a slow link is not. */
enum { BODY_STEP = 64 * 1024 };

static struct xfer *take(struct proxy *p)
{
    struct list *l = list_pop(&p->free);
    struct xfer *x = l ? CONTAINER_OF(l, struct xfer, link) : calloc(1, sizeof *x);
    if (!x)
        return NULL;
    if (l) {
        p->nfree--;
    } else {
        x->px = p;
        list_init(&x->link);
        list_init(&x->all);
        list_init(&x->waiter);
        arena_init(&x->arena, 8 * 1024, 1024 * 1024);
        buf_init(&x->out, 512 * 1024);
        buf_init(&x->queue, 1024 * 1024);
        buf_init(&x->window, 512 * 1024);
        spool_init(&x->body, 0, 0);
    }
    if (!x->hash && !(x->hash = digest_new())) {
        xfer_put(x);
        return NULL;
    }
    p->inflight++;
    x->gen = p->gen;
    x->gen->users++;
    list_push(&p->all, &x->all);
    stat_add(p->o.stat, STAT_INFLIGHT, 1);
    return x;
}

/* The backoff is over, or no credential came. */
static void on_timer(struct timer *t)
{
    struct xfer *x = CONTAINER_OF(t, struct xfer, timer);
    if (list_empty(&x->waiter))
        xfer_mark(x, WANT_START);
    else if (x->rejected_id)
        xfer_pass_refusal(x);
    else
        xfer_fail(x, ERR_CREDENTIALS, NULL);
}

/* The body is late; a streamed one while its attempt is under way. */
static void on_body_timer(struct timer *t)
{
    struct xfer *x = CONTAINER_OF(t, struct xfer, body_timer);
    uint64_t limit = x->gen->conf->timeouts.client_body_ns;
    if (x->front_held)
        x->body_mark_ns = clock_ns(); /* it is the upstream that is waited for */
    if (x->body_mark_ns + limit > clock_ns() &&
        timer_set(&x->px->o.loop->timers, t, x->body_mark_ns + limit))
        return;
    struct err_detail d;
    xfer_fail(x, err_set(&d, ERR_CLIENT_TIMEOUT, "the body did not arrive in time"), &d);
}

static void on_deadline(struct timer *t)
{
    struct xfer *x = CONTAINER_OF(t, struct xfer, deadline);
    if (x->state != XS_REPLY) {
        xfer_fail(x, ERR_REQUEST_TIMEOUT, NULL);
        return;
    }
    xfer_give_up(x);
    if (!x->eof)
        xfer_cut(x, ERR_REQUEST_TIMEOUT);
}

static void fresh(struct xfer *x, struct front_req *fr)
{
    struct proxy *p = x->px;
    const struct conf *c = x->gen->conf;
    x->fr = fr;
    x->peer = front_peer(fr);
    x->want = 0;
    x->head = NULL;
    x->verdict = NULL;
    x->route = (struct route){0};
    x->routed = x->hashing = x->body_done = x->streaming = x->stream_chunked = false;
    x->front_held = x->has_up = x->refreshed = x->skewed = false;
    x->client_gone = x->close_after = x->look_into_form = x->rated = false;
    x->not_before_ns = x->rejected_id = 0;
    x->no_body = x->held = x->eof = x->aborted = x->replied = x->paused = false;
    x->window_base = x->bytes_in = x->body_mark_ns = x->bytes_out = x->upstream_ns = 0;
    x->buffered = 0;
    x->up.active = false;
    x->attempts = x->extra = 0;
    x->status = 0;
    x->nhdrs = 0;
    x->length = -1;
    x->queue_off = 0;
    x->err = ERR_OK;
    x->why.text[0] = '\0';
    x->upstream_id = x->retry_after = x->retry_wait = x->date = (struct str){NULL, 0};
    x->started_ns = clock_ns();
    spool_limits(&x->body, (size_t)c->limits.body_memory, c->limits.max_body);
    x->id = p->next_id++;
    fmt_hex64(x->request_id, p->id_salt);
    fmt_hex64(x->request_id + 16, x->id);
    x->request_id[32] = '\0';
    timer_init(&x->timer, on_timer);
    timer_init(&x->body_timer, on_body_timer);
    timer_init(&x->deadline, on_deadline);
}

/* Who the peer is, as far as the listener's rules want to know. */
static struct identity_peer peer_identity(const struct conf *c, const struct conf_listener *l,
                                          struct front_req *fr)
{
    const struct peer *pe = front_peer(fr);
    struct identity_peer id = {0};
    uid_t uid;
    if (pe->has_cred) {
        id = (struct identity_peer){true, true, pe->uid, pe->gid};
    } else if (pe->family == LISTEN_TCP && identity_wants_uid(c, l) && front_tcp_uid(fr, &uid)) {
        id.has_uid = true;
        id.uid = uid;
    }
    return id;
}

static enum err admit(struct xfer *x, struct err_detail *why)
{
    struct proxy *p = x->px;
    const struct conf *c = x->gen->conf;
    const struct proxy_door *door = front_listener(x->fr);
    const struct conf_listener *l = NULL;
    for (size_t i = 0; i < c->nlisten; i++)
        if (strcmp(c->listen[i].address, door->address) == 0)
            l = &c->listen[i];
    if (!l)
        return err_set(why, ERR_SHUTTING_DOWN, "this listener was taken out of the configuration");
    /* Who connected before cannot know, and nobody else will hear it: a first request is served. */
    if (atomic_load_explicit(&p->o.shared->draining, memory_order_relaxed) && !front_first(x->fr))
        return err_set(why, ERR_SHUTTING_DOWN, "the proxy is shutting down");
    if (p->buffered > p->buffered_max)
        return err_set(why, ERR_OVERLOADED, "limits.buffered_total is reached");
    struct route_listener rl = {.conf = l,
                                .port = door->port,
                                .is_unix = door->is_unix,
                                .peer = peer_identity(c, l, x->fr)};
    enum err e = route_request(c, &rl, x->head, x->verdict, &x->arena, &x->route, why);
    x->routed = true;
    if (err_status(e) == 403)
        xfer_audit(x, "refused", why->text);
    return e == ERR_OK ? xfer_permit(x, why) : e;
}

static enum front_next on_open(void *owner, struct front_req *fr, const struct gate_head *head,
                               const struct gate_verdict *verdict, enum err gate,
                               const struct err_detail *why, void **user)
{
    struct proxy *p = owner;
    struct xfer *x = take(p);
    *user = x;
    if (!x)
        return FRONT_REFUSE;
    fresh(x, fr);
    xfer_go(x, XS_RECV);
    x->head = head;
    x->verdict = verdict;
    struct err_detail own; /* large: not zeroed on the hot path */
    own.text[0] = '\0';
    enum err e = gate != ERR_OK ? gate : admit(x, &own);
    if (e != ERR_OK) {
        xfer_fail(x, e, gate != ERR_OK ? why : &own);
        return FRONT_REFUSE;
    }
    struct timers *ts = &p->o.loop->timers;
    const struct conf *c = x->gen->conf;
    x->body_mark_ns = x->started_ns;
    bool body = verdict->framing == GATE_CHUNKED || verdict->length > 0;
    bool ok = !body || !c->timeouts.client_body_ns ||
              timer_set(ts, &x->body_timer, x->started_ns + c->timeouts.client_body_ns);
    ok = ok && (!x->route.opt.request_ns ||
                timer_set(ts, &x->deadline, x->started_ns + x->route.opt.request_ns));
    if (!ok) {
        xfer_fail(x, ERR_OVERLOADED, NULL);
        return FRONT_REFUSE;
    }
    if (x->route.client_sha256.n && body && !x->look_into_form && !x->route.opt.dry_run &&
        !x->route.opt.presign) {
        /* The client vouches for the hash: nothing has to wait for the body's end. */
        x->streaming = true;
        x->stream_chunked = verdict->framing == GATE_CHUNKED;
        buf_reset(&x->window);
        memcpy(x->body_hex, x->route.client_sha256.p, DIGEST_HEX_LEN);
        xfer_mark(x, WANT_START);
    }
    return FRONT_READ;
}

static size_t stream_body(struct xfer *x, const char *p, size_t n)
{
    /* Chunk framing takes up to 20 bytes more. */
    size_t room = x->window.n < XFER_QUEUE_HIGH ? XFER_QUEUE_HIGH - x->window.n : 0;
    size_t take = n < room ? n : room;
    if (take) {
        if (x->stream_chunked)
            buf_printf(&x->window, "%zx\r\n", take);
        buf_put(&x->window, p, take);
        if (x->stream_chunked)
            buf_putz(&x->window, "\r\n");
        xfer_mark(x, WANT_BODY);
    }
    x->front_held = take < n;
    return take;
}

static size_t on_body(void *user, const char *p, size_t n)
{
    struct xfer *x = user;
    if (x->state == XS_REPLY || x->state == XS_DEAD)
        return n; /* answered already: what still comes is dropped */
    size_t took = n;
    enum err e = ERR_OK;
    if (x->stream_chunked && n > x->gen->conf->limits.max_body - x->bytes_in) {
        e = ERR_BODY_TOO_LARGE; /* the gate judged announced lengths, the spool keeps to its own */
    } else if (x->streaming) {
        took = stream_body(x, p, n);
        e = x->window.failed ? ERR_OVERLOADED : ERR_OK;
    } else {
        if (!x->hashing) {
            e = digest_begin(x->hash) ? ERR_OK : ERR_INTERNAL;
            spool_expect(&x->body, x->verdict->length);
        }
        x->hashing = true;
        if (e == ERR_OK)
            e = digest_update(x->hash, p, n) ? spool_write(&x->body, p, n) : ERR_INTERNAL;
    }
    xfer_count(x);
    if (x->look_into_form)
        policy_form_feed(&x->form, p, took);
    xfer_trace(x, LOGD_REQUEST_BODY, "body", x->bytes_in, str_n(p, took));
    x->bytes_in += took;
    if (took && (x->bytes_in - took) / BODY_STEP != x->bytes_in / BODY_STEP)
        x->body_mark_ns = clock_ns();
    if (e != ERR_OK)
        xfer_fail(x, e, NULL);
    return took;
}

static void on_body_end(void *user)
{
    struct xfer *x = user;
    unsigned char sum[DIGEST_LEN];
    x->body_done = true;
    timer_unset(&x->px->o.loop->timers, &x->body_timer);
    if (x->state == XS_REPLY || x->state == XS_DEAD)
        return;
    if (x->streaming) {
        if (x->stream_chunked) {
            buf_putz(&x->window, "0\r\n\r\n");
            x->up.body_size = x->window_base + x->window.n;
        }
        if (x->window.failed)
            xfer_fail(x, ERR_OVERLOADED, NULL);
        else
            xfer_mark(x, WANT_BODY);
        return;
    }
    if (x->route.client_sha256.n) {
        memcpy(x->body_hex, x->route.client_sha256.p, DIGEST_HEX_LEN);
    } else if (!x->hashing) {
        memcpy(x->body_hex, digest_empty_hex, DIGEST_HEX_LEN);
    } else if (digest_end(x->hash, sum)) {
        digest_hex(sum, x->body_hex);
    } else {
        xfer_fail(x, ERR_INTERNAL, NULL);
        return;
    }
    struct err_detail why;
    why.text[0] = '\0';
    enum err e = xfer_permit_body(x, &why);
    if (e != ERR_OK)
        xfer_fail(x, e, &why);
    else
        xfer_mark(x, WANT_START);
}

static bool on_reply(void *user, struct front_reply *r)
{
    struct xfer *x = user;
    if (!x) {
        /* No memory for a request: the answer is static. */
        static const struct hdr none[] = {{{"X-Sigferry-Error", 16}, {"Overloaded", 10}},
                                          {{"Retry-After", 11}, {"1", 1}}};
        *r = (struct front_reply){
            .status = 503, .hdrs = none, .nhdrs = 2, .length = -1, .close = true};
        return true;
    }
    if (x->state != XS_REPLY)
        return false;
    size_t have = x->queue.n - x->queue_off;
    bool whole = x->eof && !x->aborted && x->queue_off == 0 && have <= XFER_QUEUE_LOW;
    *r = (struct front_reply){.status = x->status,
                              .hdrs = x->hdrs,
                              .nhdrs = x->nhdrs,
                              .stream = !whole && !x->no_body,
                              .body = whole && !x->no_body ? str_n(x->queue.p, have) : STR(""),
                              .length = x->length,
                              .no_body = x->no_body,
                              .close = x->close_after};
    if (whole && !x->no_body)
        x->bytes_out = have;
    x->replied = true;
    return true;
}

static long on_pull(void *user, char *p, size_t n)
{
    struct xfer *x = user;
    size_t have = x->queue.n - x->queue_off;
    if (have == 0)
        return x->aborted ? FRONT_PULL_ABORT : x->eof ? FRONT_PULL_END : FRONT_PULL_AGAIN;
    if (n > have)
        n = have;
    memcpy(p, x->queue.p + x->queue_off, n);
    x->queue_off += n;
    x->bytes_out += n;
    if (n == have) {
        buf_reset(&x->queue);
        x->queue_off = 0;
        xfer_count(x);
    }
    if (x->paused && have - n < XFER_QUEUE_LOW) {
        x->paused = false;
        xfer_mark(x, WANT_UNPAUSE);
    }
    return (long)n;
}

static void on_gone(void *user, enum front_end end, const char *why)
{
    struct xfer *x = user;
    x->fr = NULL;
    if (end == FRONT_LOST)
        x->route = (struct route){0}; /* its names may be the head's */
    if (x->state != XS_REPLY)
        xfer_unrate(x);
    if ((end == FRONT_LEFT || end == FRONT_LOST) && x->err == ERR_OK)
        x->client_gone = true;
    if (end == FRONT_REPLACED) { /* whatever it was to be: this is what the client has */
        x->err = err_set(&x->why, ERR_PROTOCOL, "%s", why);
        x->status = (unsigned)err_status(x->err);
        x->bytes_out = 0;
    }
    xfer_give_up(x);
    xfer_account(x);
    xfer_go(x, XS_DEAD);
}

const struct front_ops proxy_front_ops = {on_open,  on_body, on_body_end,
                                          on_reply, on_pull, on_gone};

void xfer_put(struct xfer *x)
{
    struct proxy *p = x->px;
    list_unlink(&x->all);
    list_unlink(&x->link);
    list_unlink(&x->waiter);
    timer_unset(&p->o.loop->timers, &x->timer);
    timer_unset(&p->o.loop->timers, &x->body_timer);
    timer_unset(&p->o.loop->timers, &x->deadline);
    if (x->cred && x->cred->session_token) { /* it stands in the request's head, or in the link */
        secret_wipe(x->out.p, x->out.n);
        if (x->route.opt.presign)
            secret_wipe(x->queue.p, x->queue.n);
    }
    cred_unref(x->cred);
    x->cred = NULL;
    p->buffered -= x->buffered;
    x->buffered = 0;
    spool_reset(&x->body, XFER_KEEP);
    arena_reset(&x->arena);
    if (x->queue.size >= XFER_LARGE && p->nspare < XFER_SPARES) {
        buf_reset(&x->queue);
        p->spare[p->nspare++] = x->queue;
        buf_init(&x->queue, x->queue.max);
    }
    struct buf *bufs[] = {&x->out, &x->queue, &x->window};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        if (bufs[i]->size > XFER_KEEP)
            buf_free(bufs[i]);
        else
            buf_reset(bufs[i]);
    }
    if (x->gen) {
        p->inflight--;
        stat_add(p->o.stat, STAT_INFLIGHT, -1);
        x->gen->users--;
    }
    x->gen = NULL;
    list_push_front(&p->free, &x->link);
    p->nfree++;
}
