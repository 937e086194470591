/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side without libmicrohttpd: calls ops in the order the real one keeps to, and aborts
 * when the owner breaks the contract. */
#include "fake.h"

#include <stdlib.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

void fake_front_open(struct front_req *fr, const struct front_ops *ops, void *owner,
                     const void *listener, const char *text)
{
    struct err_detail why = {{0}};
    struct str rest = str_of(text), line = str_cut(&rest, '\n');
    *fr = (struct front_req){.ops = ops, .owner = owner, .listener = listener, .open = true};
    fr->head = (struct gate_head){.hdrs = {fr->store, 0, ARRAY_LEN(fr->store)}};
    fr->head.method = str_cut(&line, ' ');
    fr->head.target = str_cut(&line, ' ');
    fr->head.version = line.p ? line : STR("HTTP/1.1");
    while (rest.n) {
        line = str_cut(&rest, '\n');
        struct str name = str_cut(&line, ':');
        if (!hdrs_add(&fr->head.hdrs, name, str_trim(line.p ? line : STR(""))))
            break;
    }
    enum err gate = gate_check(&fr->head, UINT64_C(1) << 28, &fr->verdict, &why);
    fr->refused =
        ops->open(owner, fr, &fr->head, &fr->verdict, gate, &why, &fr->user) == FRONT_REFUSE;
}

bool fake_front_body(struct front_req *fr, const char *p, size_t n)
{
    if (!fr->open || fr->ended || fr->held)
        return false;
    if (fr->refused)
        return true;
    if (fr->verdict.framing == GATE_LENGTH && n > fr->verdict.length - fr->given)
        n = (size_t)(fr->verdict.length - fr->given);
    if (!n)
        return true;
    size_t took = fr->ops->body(fr->user, p, n);
    must(took <= n);
    fr->given += took;
    fr->held = took < n; /* the rest is offered again after a resume; here it is other bytes */
    return true;
}

void fake_front_end(struct front_req *fr)
{
    if (!fr->open || fr->ended || fr->held)
        return;
    fr->ended = true;
    if (!fr->refused)
        fr->ops->body_end(fr->user);
}

bool fake_front_reply(struct front_req *fr)
{
    if (!fr->open)
        return false;
    if (fr->answered)
        return true;
    fr->answered = fr->ops->reply(fr->user, &fr->reply);
    const struct front_reply *r = &fr->reply;
    if (fr->answered) {
        must(r->status >= 200 && r->status <= 999);
        must(r->stream || r->no_body || r->length < 0 || r->body.n == (uint64_t)r->length);
    }
    return fr->answered;
}

long fake_front_pull(struct front_req *fr, char *p, size_t n)
{
    if (!fake_front_reply(fr))
        return FRONT_PULL_AGAIN;
    if (!fr->reply.stream || fr->reply.no_body)
        return FRONT_PULL_END;
    long got = fr->ops->pull(fr->user, p, n);
    must(got >= FRONT_PULL_ABORT && (got < 0 || (size_t)got <= n));
    fr->pulled += got > 0 ? (uint64_t)got : 0;
    /* What ends well is whole. */
    must(got != FRONT_PULL_END || fr->reply.length < 0 || fr->pulled == (uint64_t)fr->reply.length);
    return got;
}

void fake_front_gone(struct front_req *fr, bool completed)
{
    if (!fr->open)
        return;
    fr->open = false;
    if (fr->user)
        fr->ops->gone(fr->user, completed ? FRONT_SAID : FRONT_LEFT, "");
}

/* ---- what the engine may call ---- */

const struct peer *front_peer(const struct front_req *fr)
{
    must(fr->open);
    return &fr->peer;
}

bool front_first(const struct front_req *fr)
{
    must(fr->open);
    return false;
}

const void *front_listener(const struct front_req *fr)
{
    must(fr->open);
    return fr->listener;
}

bool front_tcp_uid(struct front_req *fr, uid_t *uid)
{
    must(fr->open);
    *uid = 0;
    return false;
}

void front_resume(struct front_req *fr)
{
    must(fr->open); /* never after gone */
    fr->resumes++;
    fr->held = false;
}

void front_abort(struct front_req *fr)
{
    must(fr->open);
    fr->aborts++;
}
