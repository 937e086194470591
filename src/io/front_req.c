/* SPDX-License-Identifier: Apache-2.0 */
/* One client request inside libmicrohttpd's callbacks: the head goes through the gate, the body to
 * the owner, and the owner's answer is asked for whenever there may be one. Nothing of the owner's
 * is freed here: gone() only tells it. */
#include "io/front_int.h"

#include <stdlib.h>

void *front_on_target(void *cls, const char *uri, struct MHD_Connection *mc)
{
    struct front *f = cls;
    struct list *l = list_pop(&f->free_reqs);
    struct front_req *fr = l ? CONTAINER_OF(l, struct front_req, link) : calloc(1, sizeof *fr);
    if (!fr)
        return NULL;
    if (!l)
        buf_init(&fr->target, 64 * 1024);
    buf_reset(&fr->target);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    fr->f = f;
    fr->c = info ? info->socket_context : NULL;
    fr->user = NULL;
    fr->discarded = 0;
    fr->until_close = false;
    fr->asked_ns = fr->fed_run = 0;
    fr->opened = fr->suspended = fr->held = fr->woken = false;
    fr->body_done = fr->refused = fr->poked = fr->odd_framing = false;
    list_init(&fr->link);
    list_init(&fr->waking);
    buf_putz(&fr->target, uri ? uri : "");
    /* libmicrohttpd makes a record of each query parameter in the memory it has for the head. When
     * that is used up, 0.9.75 neither answers nor closes, and 1.0 refuses the request. Nobody asks
     * it for them: in its own copy there are none. */
    char *query = f->own_query && uri ? strchr(drop_const(uri), '?') : NULL;
    if (query)
        query[1] = '\0';
    if (fr->c) {
        fr->c->req = fr;
        f->more = f->more || fr->c->phase != PHASE_HEAD; /* one of several that came together */
    }
    return fr;
}

/* Nobody waits for this answer any more. */
static void unhold(struct front_req *fr)
{
    fr->f->nheld -= fr->held;
    fr->held = false;
}

/* The answer is there: how long did it take? */
static void note_wait(struct front_req *fr)
{
    struct front *f = fr->f;
    if (!fr->asked_ns)
        return;
    f->wait_ns += clock_ns() - fr->asked_ns - f->wait_ns / 16;
    f->wait_runs += f->runs - fr->asked_run - f->wait_runs / 16;
    fr->asked_ns = 0;
}

/* No answer yet. To suspend takes a connection out of libmicrohttpd's epoll set and to resume puts
 * it back, after a read in vain: more than half a dozen turns' worth of asking. A connection that
 * isn't suspended is asked again in each run, and makes libmicrohttpd say that it has work to do
 * (front_deadline knows better). So that is done for a moment only, while answers come fast. */
static enum MHD_Result wait(struct front_req *fr)
{
    struct front *f = fr->f;
    uint64_t now = clock_ns();
    if (!fr->asked_ns) {
        fr->asked_ns = now;
        fr->asked_run = f->runs;
    }
    bool fast = f->wait_ns / 16 < FRONT_HOLD_NS && f->wait_runs / 16 < FRONT_HOLD_RUNS;
    bool soon = now - fr->asked_ns < FRONT_HOLD_NS && f->runs - fr->asked_run < 4 * FRONT_HOLD_RUNS;
    if (fast && soon && (fr->held || f->nheld < FRONT_HELD_MAX)) {
        f->nheld += !fr->held;
        fr->held = true;
        fr->woken = false;
        return MHD_YES;
    }
    unhold(fr);
    return front_suspend(fr) ? MHD_YES : MHD_NO;
}

static void req_free(struct front_req *fr)
{
    unhold(fr);
    fr->f->nsuspended -= fr->suspended;
    list_unlink(&fr->waking);
    list_unlink(&fr->link);
    list_push_front(&fr->f->free_reqs, &fr->link);
}

/* libmicrohttpd 0.9.75 takes bare line feeds, folded lines, NULs, repeated blanks and fields
 * without a name, and says nothing of it. But it cuts a head up in place, with a NUL for each byte
 * that ends something: where its strings lie shows what stood between them. Later versions refuse
 * all that by themselves (front.c). */
static void layout_begin(struct front_req *fr, const char *method, const char *url,
                         const char *version)
{
    fr->next_at = (uintptr_t)version + fr->head.version.n + 2;
    fr->odd_layout = (uintptr_t)method + fr->head.method.n + 1 != (uintptr_t)url ||
                     (uintptr_t)url + fr->target.n + 1 != (uintptr_t)version;
}

static void layout_field(struct front_req *fr, const char *name, size_t nlen, const char *value,
                         size_t vlen)
{
    bool odd = (uintptr_t)name != fr->next_at || (uintptr_t)value <= (uintptr_t)name + nlen;
    for (const char *p = name + nlen + 1; !odd && p < value; p++)
        odd = *p != ' ' && *p != '\t'; /* blanks after the colon are the only freedom */
    fr->odd_layout = fr->odd_layout || odd;
    fr->next_at = (uintptr_t)value + vlen + 2;
}

static bool layout_is_odd(const struct front_req *fr, struct MHD_Connection *mc, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return fr->f->in_place &&
           (fr->odd_layout || !info || (uintptr_t)method + info->header_size != fr->next_at + 2);
}

static enum MHD_Result add_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t nlen,
                                 const char *value, size_t vlen)
{
    (void)kind;
    struct front_req *fr = cls;
    struct str v = str_n(value ? value : "", vlen), trimmed = str_trim(v);
    layout_field(fr, name, nlen, v.p, vlen);
    /* libmicrohttpd takes "chunked " for a body that lasts until the end of the connection. */
    if (v.n != trimmed.n && str_ieq(str_n(name, nlen), STR("Transfer-Encoding")))
        fr->odd_framing = true;
    /* One more than the gate allows is kept, so that the gate sees that there are too many. */
    return hdrs_add(&fr->head.hdrs, str_n(name, nlen), trimmed) ? MHD_YES : MHD_NO;
}

/* Framing can't be trusted: libmicrohttpd must not look for a next request in what follows. It
 * sleeps while we drain the descriptor. */
static enum MHD_Result linger_suspended(struct front_req *fr)
{
    fr->c->own_reads = front_suspend(fr);
    return fr->c->own_reads ? MHD_YES : MHD_NO;
}

static enum MHD_Result first_call(struct front_req *fr, struct MHD_Connection *mc, const char *url,
                                  const char *method, const char *version)
{
    struct front *f = fr->f;
    struct err_detail why; /* large: not zeroed on the hot path */
    why.text[0] = '\0';
    fr->opened = true;
    if (fr->c->phase != PHASE_NONE)
        front_phase_set(fr->c, PHASE_NONE);
    fr->head = (struct gate_head){.method = str_of(method),
                                  .target = buf_str(&fr->target),
                                  .version = str_of(version),
                                  .hdrs = {fr->store, 0, ARRAY_LEN(fr->store)}};
    fr->verdict = (struct gate_verdict){0};
    layout_begin(fr, method, url, version);
    MHD_get_connection_values_n(mc, MHD_HEADER_KIND, add_field, fr);
    enum err gate = gate_check(&fr->head, f->o.max_body, &fr->verdict, &why);
    if (gate == ERR_OK && layout_is_odd(fr, mc, method)) {
        gate = err_set(&why, ERR_INVALID_REQUEST,
                       "the request head holds NULs, bare line feeds, folded lines, fields without "
                       "a name or more blanks than its syntax has");
        fr->verdict.must_close = true;
    }
    if (gate == ERR_OK && fr->odd_framing) {
        gate = err_set(&why, ERR_INVALID_REQUEST, "blanks after the value of Transfer-Encoding");
        fr->verdict.must_close = true;
    }
    enum front_next next =
        f->o.ops->open(f->o.owner, fr, &fr->head, &fr->verdict, gate, &why, &fr->user);
    bool body = fr->verdict.framing == GATE_CHUNKED ||
                (fr->verdict.framing == GATE_LENGTH && fr->verdict.length > 0);
    f->more = f->more || body;
    if (next == FRONT_READ)
        return MHD_YES;
    fr->refused = true;
    struct front_reply r = {0};
    bool early = gate != ERR_OK || fr->verdict.must_close || fr->verdict.expect_continue ||
                 (fr->verdict.framing == GATE_LENGTH && fr->verdict.length > FRONT_DISCARD_MAX);
    if (!early) { /* answered on the final call, which keeps the connection */
        if (body && !f->o.tls_cert_pem)
            front_phase_set(fr->c, PHASE_LINGER); /* it is read and dropped, for a moment */
        return MHD_YES;
    }
    if (!f->o.ops->reply(fr->user, &r))
        return MHD_NO;
    r.close = true;
    if (f->o.tls_cert_pem)
        return front_queue_reply(fr, &r); /* can't write past TLS; queued early, it closes */
    front_answer_early(fr, &r);
    return linger_suspended(fr);
}

/* Past the cap, or with an answer that closes, nothing more is read: the client gets it now. */
static enum MHD_Result discard_some(struct front_req *fr, size_t *size)
{
    struct front_reply r = {0};
    size_t steps = fr->discarded / FRONT_DISCARD_STEP;
    fr->discarded += *size;
    *size = 0;
    if (fr->c->phase == PHASE_LINGER && !fr->c->lingering &&
        fr->discarded / FRONT_DISCARD_STEP > steps)
        front_phase_set(fr->c, PHASE_LINGER);
    if (fr->discarded <= FRONT_DISCARD_MAX || fr->c->lingering || fr->f->o.tls_cert_pem)
        return MHD_YES;
    if (!fr->f->o.ops->reply(fr->user, &r))
        return MHD_NO;
    front_answer_early(fr, &r);
    return MHD_YES;
}

static enum MHD_Result body_call(struct front_req *fr, const char *data, size_t *size)
{
    fr->f->more = true;
    if (fr->refused)
        return discard_some(fr, size);
    fr->fed_run = fr->f->runs;
    fr->f->fed++;
    size_t took = fr->f->o.ops->body(fr->user, data, *size);
    if (took < *size) {
        /* Held back. libmicrohttpd offers the rest again after the resume. */
        fr->f->fed--;
        *size -= took;
        return front_suspend(fr) ? MHD_YES : MHD_NO;
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result final_call(struct front_req *fr)
{
    struct front_reply r = {0};
    if (fr->c->lingering)
        return MHD_NO;
    if (!fr->body_done) {
        fr->body_done = true;
        fr->f->fed -= fr->fed_run == fr->f->runs;
        fr->c->early = false; /* what came until now is read */
        if (!fr->refused)
            fr->f->o.ops->body_end(fr->user);
    }
    /* A held request is asked for in every run: whether anybody woke it is its own to know. */
    if ((fr->held && !fr->woken) || !fr->f->o.ops->reply(fr->user, &r))
        return fr->refused ? MHD_NO : wait(fr); /* refused without an answer: nobody makes one */
    note_wait(fr);
    unhold(fr);
    return front_queue_reply(fr, &r);
}

enum MHD_Result front_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **con_cls)
{
    (void)cls;
    struct front_req *fr = *con_cls;
    if (!fr || !fr->c || fr->c->gone || fr->f->closing)
        return MHD_NO;
    if (!fr->opened)
        return first_call(fr, mc, url, method, version);
    if (*size)
        return body_call(fr, data, size);
    return final_call(fr);
}

void front_on_completed(void *cls, struct MHD_Connection *mc, void **con_cls,
                        enum MHD_RequestTerminationCode toe)
{
    (void)cls, (void)mc;
    struct front_req *fr = *con_cls;
    if (!fr)
        return;
    *con_cls = NULL;
    if (fr->c) {
        bool out = toe == MHD_REQUEST_TERMINATED_COMPLETED_OK || fr->c->lingering;
        enum front_end end = !out || fr->c->unsaid ? FRONT_LEFT
                             : fr->c->instead      ? FRONT_REPLACED
                                                   : FRONT_SAID;
        fr->c->req = NULL;
        fr->f->more = fr->f->more || fr->c->early;
        fr->c->early = false;
        fr->c->answered = true;
        if (fr->opened && fr->user)
            fr->f->o.ops->gone(fr->user, end, end == FRONT_REPLACED ? fr->c->instead : "");
        if (!fr->c->gone && !fr->c->lingering)
            front_phase_set(fr->c, PHASE_IDLE);
    }
    req_free(fr);
}

void front_req_lost(struct front_req *fr)
{
    /* its memory, with all of the head but the target, is freed already */
    fr->head = (struct gate_head){.method = STR(""),
                                  .target = buf_str(&fr->target),
                                  .version = STR(""),
                                  .hdrs = {fr->store, 0, ARRAY_LEN(fr->store)}};
    fr->c->req = NULL;
    if (fr->opened && fr->user)
        fr->f->o.ops->gone(fr->user, FRONT_LOST, "");
    req_free(fr);
}

void front_req_poked(struct front_req *fr)
{
    struct front_reply r = {0};
    fr->poked = false;
    if (fr->body_done || fr->c->gone || fr->c->lingering || fr->f->o.tls_cert_pem)
        return;
    if (!fr->f->o.ops->reply(fr->user, &r))
        return;
    fr->refused = true; /* what still comes of the body is dropped */
    if (r.close)
        front_answer_early(fr, &r);
    else
        front_phase_set(fr->c, PHASE_LINGER); /* a moment for the client to finish by itself */
}

bool front_req_out_of_patience(struct front_req *fr)
{
    struct front_reply r = {0};
    if (fr->c->lingering || fr->body_done || fr->f->o.tls_cert_pem ||
        !fr->f->o.ops->reply(fr->user, &r))
        return false;
    front_answer_early(fr, &r);
    return true;
}

void front_resume(struct front_req *fr)
{
    struct front *f = fr->f;
    fr->woken = true;
    if (fr->held)
        f->pending = true; /* the run asks for it */
    if (fr->suspended && !fr->c->own_reads) {
        if (fr->c->phase == PHASE_NONE && fr->body_done)
            front_phase_set(fr->c, PHASE_WRITE);
        front_wake(fr);
    }
    if (!fr->body_done && !fr->poked) {
        fr->poked = true;
        list_push(&f->poked, &fr->link);
    }
}

void front_abort(struct front_req *fr)
{
    front_conn_giveup(fr->c);
}

const struct peer *front_peer(const struct front_req *fr)
{
    return &fr->c->peer;
}

const void *front_listener(const struct front_req *fr)
{
    return fr->c->listener;
}

bool front_first(const struct front_req *fr)
{
    return !fr->c->answered;
}

bool front_tcp_uid(struct front_req *fr, uid_t *uid)
{
    struct front_conn *c = fr->c;
    if (c->uid_state == UID_UNASKED)
        c->uid_state = listen_tcp_peer_uid(c->watch.fd, &c->uid) ? UID_KNOWN : UID_UNKNOWN;
    *uid = c->uid;
    return c->uid_state == UID_KNOWN;
}
