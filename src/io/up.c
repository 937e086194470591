/* SPDX-License-Identifier: Apache-2.0 */
/* The pools: which request gets which connection, when one is made, kept, retired. The exchange
 * itself is up_io.c's, the making of connections up_open.c's. */
#include "io/up_int.h"

#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>

#define LONG_TURN_NS (10 * NS_PER_MS)

struct up *up_new(struct loop *loop, struct resolver *r, struct stat *st,
                  const struct up_options *o, char *msg, size_t msgsize)
{
    struct up *u = calloc(1, sizeof *u);
    if (!u) {
        snprintf(msg, msgsize, "out of memory");
        return NULL;
    }
    u->loop = loop;
    u->resolver = r;
    u->st = st;
    list_init(&u->hosts);
    list_init(&u->more);
    list_init(&u->dead);
    list_init(&u->free_conns);
    list_init(&u->all);
    list_init(&u->conns_dead);
    if (!up_configure(u, o, msg, msgsize)) {
        up_free(u);
        return NULL;
    }
    return u;
}

/* Whether connections made under a would be made the same way, and be as many, under b. */
static bool same_options(const struct up_options *a, const struct up_options *b)
{
    bool same = strcmp(a->http_proxy, b->http_proxy) == 0 &&
                strcmp(a->https_proxy, b->https_proxy) == 0 &&
                strcmp(a->no_proxy, b->no_proxy) == 0 && a->nconnect_to == b->nconnect_to &&
                a->num_pools == b->num_pools && a->per_host == b->per_host &&
                a->idle_ns == b->idle_ns && a->max_age_ns == b->max_age_ns;
    for (size_t i = 0; same && i < a->nconnect_to; i++)
        same = strcmp(a->connect_to[i], b->connect_to[i]) == 0;
    return same;
}

bool up_configure(struct up *u, const struct up_options *o, char *msg, size_t msgsize)
{
    if (u->ctx && same_options(&u->o, o) && conn_ctx_same(u->ctx, &o->tls)) {
        u->o = *o; /* the strings' owner goes */
        return true;
    }
    struct conn_ctx *ctx = conn_ctx_new(u->loop, &o->tls, &u->conns_dead, msg, msgsize);
    if (!ctx)
        return false;
    conn_ctx_unref(u->ctx);
    u->ctx = ctx;
    u->o = *o;
    u->epoch++;
    up_flush(u);
    /* Hosts were made for the old proxy and connect_to: none may be found again. */
    struct list *next;
    for (struct list *l = u->hosts.next; l != &u->hosts; l = next) {
        next = l->next;
        struct up_host *h = CONTAINER_OF(l, struct up_host, link);
        h->kept = false;
        h->outdated = true;
        up_host_maybe_free(h);
    }
    return true;
}

void up_forget(struct up *u)
{
    secret_wipe(u->scratch, sizeof u->scratch);
}

void up_flush(struct up *u)
{
    struct list *next;
    for (struct list *l = u->hosts.next; l != &u->hosts; l = next) {
        next = l->next;
        struct up_host *h = CONTAINER_OF(l, struct up_host, link);
        while (!list_empty(&h->idle))
            up_conn_drop(CONTAINER_OF(h->idle.next, struct up_conn, link));
    }
}

void up_free(struct up *u)
{
    if (!u)
        return;
    struct list *l;
    /* Idle ones, and those that still open for a request that was given up. */
    LIST_FOR (c, &u->all)
        up_conn_drop(CONTAINER_OF(c, struct up_conn, all));
    while ((l = list_pop(&u->dead)) || (l = list_pop(&u->free_conns))) {
        struct up_conn *uc = CONTAINER_OF(l, struct up_conn, link);
        resp_free(&uc->resp);
        free(uc);
    }
    while ((l = list_pop(&u->hosts)))
        secret_free(CONTAINER_OF(l, struct up_host, link)); /* a proxy's password */
    conn_reap(&u->conns_dead);
    conn_ctx_unref(u->ctx);
    resolver_pass(u->resolver);
    free(u);
}

/* ---- connections ---- */

/* Ends a connection in whatever state. Whoever ran on it was told before. */
void up_conn_drop(struct up_conn *uc)
{
    struct up_host *h = uc->uh;
    if (uc->state == UC_DEAD)
        return;
    if (uc->state == UC_IDLE)
        h->nidle--;
    if (uc->state == UC_RESOLVING)
        resolve_cancel(&uc->rq);
    timer_unset(&h->u->loop->timers, &uc->timer);
    conn_close(uc->conn);
    uc->conn = NULL;
    uc->state = UC_DEAD;
    list_unlink(&uc->link);
    list_push(&h->u->dead, &uc->link);
    h->nconns--;
}

bool up_conn_due(struct up_conn *uc, uint64_t at_ns)
{
    if (uc->timer.pos && uc->timer.at_ns <= at_ns)
        return true;
    return timer_set(&uc->uh->u->loop->timers, &uc->timer, at_ns);
}

void up_conn_timer(struct timer *t)
{
    struct up_conn *uc = CONTAINER_OF(t, struct up_conn, timer);
    struct up_host *h = uc->uh;
    if (uc->state == UC_BUSY) {
        up_exchange_timer(uc);
        return;
    }
    if (uc->state != UC_IDLE ||
        (uc->idle_until_ns > clock_ns() && up_conn_due(uc, uc->idle_until_ns)))
        return;
    up_conn_drop(uc);
    up_host_maybe_free(h);
}

static bool too_old(const struct up_conn *uc)
{
    const struct up *u = uc->uh->u;
    return uc->epoch != u->epoch ||
           (u->o.max_age_ns && clock_ns() - uc->born_ns >= u->o.max_age_ns);
}

/* A connection is free: to the oldest waiting request, into the pool, or closed. */
void up_conn_release(struct up_conn *uc, bool reusable)
{
    struct up_host *h = uc->uh;
    uc->req = NULL;
    list_unlink(&uc->link);
    /* With somebody waiting, a connection that isn't kept serves on all the same. */
    bool wanted = !list_empty(&h->waiting) || (h->kept && h->u->o.idle_ns);
    uc->idle_until_ns = clock_ns() + h->u->o.idle_ns;
    if (h->u->o.max_age_ns && uc->born_ns + h->u->o.max_age_ns < uc->idle_until_ns)
        uc->idle_until_ns = uc->born_ns + h->u->o.max_age_ns;
    if (!reusable || !wanted || too_old(uc) || !up_conn_due(uc, uc->idle_until_ns)) {
        up_conn_drop(uc);
        up_host_feed(h);
        up_host_maybe_free(h);
        return;
    }
    uc->state = UC_IDLE;
    list_push_front(&h->idle, &uc->link);
    h->nidle++;
    up_host_feed(h);
}

/* The most recently used idle connection that is still quiet. */
static struct up_conn *take_idle(struct up_host *h)
{
    while (!list_empty(&h->idle)) {
        struct up_conn *uc = CONTAINER_OF(h->idle.next, struct up_conn, link);
        /* The watch saw no end of it when the turn began: look again only if that is long ago. */
        if (clock_fresh_ns() - clock_ns() > LONG_TURN_NS && !conn_is_quiet(uc->conn)) {
            size_t n;
            if (conn_recv(uc->conn, h->u->scratch, UP_SCRATCH, &n) != CONN_AGAIN) {
                up_conn_drop(uc);
                continue;
            }
        }
        list_unlink(&uc->link);
        h->nidle--;
        return uc;
    }
    return NULL;
}

static void leave_queue(struct up_req *q)
{
    if (q->uc || !q->uh)
        return;
    list_unlink(&q->link);
    q->uh->nwaiting--;
    stat_add(q->uh->u->st, STAT_POOL_PENDING, -1);
}

/* Serves the queue: idle connections first, then new ones within the limit. */
void up_host_feed(struct up_host *h)
{
    struct up *u = h->u;
    while (!list_empty(&h->waiting) && !list_empty(&h->idle)) {
        struct up_conn *uc = take_idle(h);
        if (!uc)
            break;
        struct up_req *q = CONTAINER_OF(h->waiting.next, struct up_req, link);
        leave_queue(q);
        if (q->opening) {
            q->opening->req = NULL; /* goes on without an owner, into the pool */
            q->opening = NULL;
        }
        q->reused = true;
        stat_add(u->st, STAT_UPSTREAM_REUSED, 1);
        up_exchange_start(uc, q);
    }
    LIST_FOR (l, &h->waiting) {
        struct up_req *q = CONTAINER_OF(l, struct up_req, link);
        if (h->nconns >= u->o.per_host)
            break;
        if (q->opening)
            continue;
        if (!up_conn_open(h, q))
            break; /* memory is short: its deadline answers */
        if (!timer_set(&u->loop->timers, &q->timer, clock_ns() + q->connect_ns))
            break;
    }
}

/* ---- requests ---- */

static void enqueue(struct up_host *h, struct up_req *q, bool first)
{
    if (first)
        list_push_front(&h->waiting, &q->link);
    else
        list_push(&h->waiting, &q->link);
    h->nwaiting++;
    stat_add(h->u->st, STAT_POOL_PENDING, 1);
    up_host_feed(h);
}

void up_req_queue(struct up_host *h, struct up_req *q)
{
    enqueue(h, q, true);
}

void up_req_fail(struct up_req *q, enum err e, const char *why)
{
    struct up *u = q->uh->u;
    leave_queue(q);
    timer_unset(&u->loop->timers, &q->timer);
    q->active = false;
    q->ops->done(q, e, why);
}

enum err up_start(struct up *u, struct up_req *q)
{
    struct up_host *h = up_host_get(u, q);
    if (!h)
        return ERR_OVERLOADED;
    q->uh = h;
    q->uc = q->opening = NULL;
    q->out = q->first_byte_ns = q->connected_ns = 0;
    q->sent = q->reused = q->head_seen = false;
    q->paused = q->out_blocked = q->out_failed = q->starved = false;
    list_init(&q->link);
    timer_init(&q->timer, up_req_timer);
    struct up_conn *uc = list_empty(&h->waiting) ? take_idle(h) : NULL;
    q->active = true;
    if (uc) {
        q->reused = true;
        stat_add(u->st, STAT_UPSTREAM_REUSED, 1);
        up_exchange_start(uc, q);
        return ERR_OK;
    }
    if (h->nconns >= u->o.per_host && h->nwaiting >= u->o.max_pending) {
        q->active = false;
        return ERR_POOL_EXHAUSTED;
    }
    if (!timer_set(&u->loop->timers, &q->timer, clock_ns() + u->o.pending_ns)) {
        q->active = false;
        up_host_maybe_free(h);
        return ERR_OVERLOADED;
    }
    enqueue(h, q, false);
    return ERR_OK;
}

void up_cancel(struct up *u, struct up_req *q)
{
    if (!q->active)
        return;
    struct up_host *h = q->uh;
    q->active = false;
    timer_unset(&u->loop->timers, &q->timer);
    if (q->uc) {
        struct up_conn *uc = q->uc;
        q->uc = NULL;
        up_conn_release(uc, false);
        return;
    }
    leave_queue(q);
    if (q->opening) {
        struct up_conn *uc = q->opening;
        q->opening = NULL;
        uc->req = NULL;
        up_conn_drop(uc);
    }
    up_host_feed(h);
    up_host_maybe_free(h);
}

void up_unpause(struct up *u, struct up_req *q)
{
    (void)u;
    if (!q->active || !q->paused)
        return;
    q->paused = false;
    q->last_ns = clock_ns();
    up_exchange_read(q->uc);
}

void up_body_more(struct up *u, struct up_req *q)
{
    (void)u;
    if (q->active && q->uc && q->uc->state == UC_BUSY)
        up_exchange_write(q->uc);
}

void up_run(struct up *u)
{
    struct list again, *l;
    list_init(&again);
    list_splice(&again, &u->more);
    while ((l = list_pop(&again)))
        up_exchange_read(CONTAINER_OF(l, struct up_conn, link));
}

bool up_reap(struct up *u)
{
    struct list *l;
    conn_reap(&u->conns_dead);
    while ((l = list_pop(&u->dead))) {
        struct up_conn *uc = CONTAINER_OF(l, struct up_conn, link);
        list_push(&u->free_conns, l);
        list_unlink(&uc->all);
        uc->uh = NULL;
    }
    return !list_empty(&u->more);
}

void up_each_host(const struct up *u, up_visit *visit, void *arg)
{
    LIST_FOR (l, &u->hosts) {
        const struct up_host *h = CONTAINER_OF(l, struct up_host, link);
        visit(arg, h->name, h->nidle, h->nconns - h->nidle, h->nwaiting);
    }
}
