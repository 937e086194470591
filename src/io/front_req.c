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
    fr->opened = fr->suspended = fr->body_done = fr->refused = fr->poked = fr->odd_framing = false;
    list_init(&fr->link);
    buf_putz(&fr->target, uri ? uri : "");
    if (fr->c)
        fr->c->req = fr;
    return fr;
}

static void req_free(struct front_req *fr)
{
    list_unlink(&fr->link);
    list_push(&fr->f->free_reqs, &fr->link);
}

static enum MHD_Result add_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t nlen,
                                 const char *value, size_t vlen)
{
    (void)kind;
    struct front_req *fr = cls;
    struct str v = str_n(value ? value : "", vlen), trimmed = str_trim(v);
    /* libmicrohttpd takes "chunked " for a body that lasts until the end of the connection. */
    if (v.n != trimmed.n && str_ieq(str_n(name, nlen), STR("Transfer-Encoding")))
        fr->odd_framing = true;
    /* One more than the gate allows is kept, so that the gate sees that there are too many. */
    return hdrs_add(&fr->head.hdrs, str_n(name, nlen), trimmed) ? MHD_YES : MHD_NO;
}

static enum MHD_Result linger_suspended(struct front_req *fr, struct MHD_Connection *mc)
{
    /* Framing can't be trusted: libmicrohttpd must not look for a next request in what follows.
     * It sleeps while we drain the descriptor. */
    fr->c->own_reads = true;
    fr->suspended = true;
    MHD_suspend_connection(mc);
    return MHD_YES;
}

static enum MHD_Result first_call(struct front_req *fr, struct MHD_Connection *mc,
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
    MHD_get_connection_values_n(mc, MHD_HEADER_KIND, add_field, fr);
    enum err gate = gate_check(&fr->head, f->o.max_body, &fr->verdict, &why);
    if (gate == ERR_OK && fr->odd_framing) {
        gate = err_set(&why, ERR_INVALID_REQUEST, "blanks after the value of Transfer-Encoding");
        fr->verdict.must_close = true;
    }
    enum front_next next =
        f->o.ops->open(f->o.owner, fr, &fr->head, &fr->verdict, gate, &why, &fr->user);
    if (next == FRONT_READ)
        return MHD_YES;
    fr->refused = true;
    bool body = fr->verdict.framing == GATE_CHUNKED ||
                (fr->verdict.framing == GATE_LENGTH && fr->verdict.length > 0);
    struct front_reply r = {0};
    bool early = gate != ERR_OK || fr->verdict.must_close || fr->verdict.expect_continue ||
                 (fr->verdict.framing == GATE_LENGTH && fr->verdict.length > FRONT_DISCARD_MAX);
    if (!early && !body)
        return MHD_YES; /* answered on the final call, which keeps the connection */
    if (!early)
        return MHD_YES; /* the body is read and dropped, then the same */
    if (!f->o.ops->reply(fr->user, &r))
        return MHD_NO;
    r.close = true;
    if (f->o.tls_cert_pem)
        return front_queue_reply(fr, &r); /* can't write past TLS; queued early, it closes */
    front_answer_early(fr, &r);
    return linger_suspended(fr, mc);
}

/* Past the cap, or with an answer that closes, nothing more is read: the client gets it now. */
static enum MHD_Result discard_some(struct front_req *fr, size_t *size)
{
    struct front_reply r = {0};
    fr->discarded += *size;
    *size = 0;
    if (fr->discarded <= FRONT_DISCARD_MAX || fr->c->lingering || fr->f->o.tls_cert_pem)
        return MHD_YES;
    if (!fr->f->o.ops->reply(fr->user, &r))
        return MHD_NO;
    front_answer_early(fr, &r);
    return MHD_YES;
}

static enum MHD_Result body_call(struct front_req *fr, struct MHD_Connection *mc, const char *data,
                                 size_t *size)
{
    if (fr->refused)
        return discard_some(fr, size);
    size_t took = fr->f->o.ops->body(fr->user, data, *size);
    if (took < *size) {
        /* Held back. libmicrohttpd offers the rest again after the resume. */
        *size -= took;
        fr->suspended = true;
        MHD_suspend_connection(mc);
        return MHD_YES;
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result final_call(struct front_req *fr, struct MHD_Connection *mc)
{
    struct front_reply r = {0};
    if (fr->c->lingering)
        return MHD_NO;
    if (!fr->body_done) {
        fr->body_done = true;
        if (!fr->refused)
            fr->f->o.ops->body_end(fr->user);
    }
    if (fr->f->o.ops->reply(fr->user, &r))
        return front_queue_reply(fr, &r);
    fr->suspended = true;
    MHD_suspend_connection(mc);
    return MHD_YES;
}

enum MHD_Result front_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **con_cls)
{
    (void)cls, (void)url;
    struct front_req *fr = *con_cls;
    if (!fr || !fr->c || fr->c->gone)
        return MHD_NO;
    if (!fr->opened)
        return first_call(fr, mc, method, version);
    if (*size)
        return body_call(fr, mc, data, size);
    return final_call(fr, mc);
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
        bool ok = toe == MHD_REQUEST_TERMINATED_COMPLETED_OK;
        fr->c->req = NULL;
        if (fr->opened && fr->user)
            fr->f->o.ops->gone(fr->user, ok || fr->c->lingering);
        if (!fr->c->gone && !fr->c->lingering)
            front_phase_set(fr->c, PHASE_IDLE);
    }
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
    if (fr->suspended && !fr->c->own_reads) {
        fr->suspended = false;
        if (fr->c->phase == PHASE_NONE && fr->body_done)
            front_phase_set(fr->c, PHASE_WRITE);
        MHD_resume_connection(fr->c->mc);
        f->pending = true;
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
