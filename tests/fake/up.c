/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream's side without connections: one attempt at a time for each owner, its answer parsed
 * by the real parser, callbacks in the order of up_io.c. */
#include "fake.h"

#include <stdlib.h>

struct fake_up fake_up;

/* One response parser for each attempt under way, found by its address. */
enum { RUNNING_MAX = 64 };
static struct {
    struct up_req *q;
    struct resp resp;
    bool ready;
} running[RUNNING_MAX];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct resp *parser(const struct up_req *q)
{
    for (size_t i = 0; i < RUNNING_MAX; i++)
        if (running[i].q == q)
            return &running[i].resp;
    return NULL;
}

static void forget(struct up_req *q)
{
    for (size_t i = 0; i < RUNNING_MAX; i++)
        if (running[i].q == q)
            running[i].q = NULL;
    if (fake_up.last == q)
        fake_up.last = NULL;
    q->active = false;
}

enum err up_start(struct up *u, struct up_req *q)
{
    (void)u;
    must(!parser(q)); /* one attempt at a time */
    must(q->ops && q->host && q->port && q->head.n && q->connect_ns && q->read_ns);
    fake_up.starts++;
    if (fake_up.start_result != ERR_OK)
        return fake_up.start_result;
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        if (running[i].q)
            continue;
        running[i].q = q;
        if (!running[i].ready)
            resp_init(&running[i].resp);
        running[i].ready = true;
        resp_reset(&running[i].resp, q->is_head);
        q->active = true;
        q->paused = q->sent = q->head_seen = false;
        q->out = 0;
        fake_up.last = q;
        return ERR_OK;
    }
    return ERR_OVERLOADED;
}

void up_cancel(struct up *u, struct up_req *q)
{
    (void)u;
    fake_up.cancels += q->active;
    forget(q);
}

void up_unpause(struct up *u, struct up_req *q)
{
    (void)u;
    fake_up.unpauses++;
    q->paused = false;
}

void up_forget(struct up *u)
{
    (void)u;
}

void up_body_more(struct up *u, struct up_req *q)
{
    (void)u;
    must(q->active);
    fake_up.mores++;
}

static void finish(struct up_req *q, enum err e)
{
    q->active = false;
    q->ops->done(q, e, "made by the test"); /* the head's views live until here */
    forget(q);
}

void fake_up_feed(struct up_req *q, struct str in)
{
    struct str data;
    while (q->active && !q->paused) {
        q->sent = true;
        switch (resp_feed(parser(q), &in, &data)) {
        case RESP_MORE:
            return;
        case RESP_HEAD:
            must(!q->head_seen);
            q->head_seen = true;
            q->ops->head(q, parser(q));
            break;
        case RESP_DATA:
            if (!q->ops->data(q, data))
                q->paused = true;
            break;
        case RESP_END:
            finish(q, ERR_OK);
            return;
        case RESP_BAD:
            finish(q, ERR_PROTOCOL);
            return;
        }
    }
}

void fake_up_fail(struct up_req *q, enum err e, bool sent)
{
    if (!q->active)
        return;
    q->sent = q->sent || sent;
    finish(q, e);
}

uint64_t fake_up_send(struct up_req *q)
{
    char scratch[4096];
    while (q->active && q->body && q->out < q->body_size) {
        struct str s = q->body(q, q->out, scratch, sizeof scratch);
        if (s.n == 0)
            break;
        must(q->body_size == UINT64_MAX || s.n <= q->body_size - q->out);
        q->sent = true;
        q->out += s.n;
    }
    return q->out;
}
