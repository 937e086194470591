/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of one worker: its requests, the list of those something happened to, and settle, the
 * only place where the client's and the upstream's side are called. */
#include "proxy/xfer.h"

#include "base/log.h"
#include "proxy/budget.h"
#include "proxy/ratelimit.h"
#include <stdlib.h>
#include <sys/random.h>

enum { FREE_MAX = 256, SEEN_MAX = 1024 };

struct proxy_rules *proxy_rules_new(struct conf *c)
{
    struct proxy_rules *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->refs = 1;
    r->conf = conf_ref(c);
    r->rates = c->nrate_limits ? ratelimit_new(c->rate_limits, c->nrate_limits) : NULL;
    if (c->nrate_limits && !r->rates) {
        proxy_rules_unref(r);
        return NULL;
    }
    return r;
}

static struct proxy_rules *rules_ref(struct proxy_rules *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void proxy_rules_unref(struct proxy_rules *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    ratelimit_free(r->rates);
    conf_unref(r->conf);
    free(r);
}

static void gen_drop(struct proxy_gen *g)
{
    if (!g || g->users || g->current)
        return;
    proxy_rules_unref(g->rules);
    free(g);
}

struct proxy *proxy_new(const struct proxy_options *o, struct proxy_rules *rules)
{
    struct proxy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->o = *o;
    list_init(&p->dirty);
    list_init(&p->dead);
    list_init(&p->free);
    list_init(&p->all);
    list_init(&p->cred_waiters);
    p->signer = signer_new();
    p->creds = cred_view_new(o->creds);
    p->seen = policy_seen_new(SEEN_MAX);
    uint64_t seed[2];
    bool ok = p->signer && p->creds && p->seen && getrandom(seed, sizeof seed, 0) == sizeof seed &&
              proxy_configure(p, rules);
    if (!ok) {
        proxy_free(p);
        return NULL;
    }
    p->id_salt = seed[0];
    p->rnd = seed[1] | 1;
    return p;
}

bool proxy_configure(struct proxy *p, struct proxy_rules *rules)
{
    struct proxy_gen *g = calloc(1, sizeof *g);
    const struct conf *c = rules->conf;
    struct budget *b = budget_new(c->retry.budget_percent);
    p->stale = !g || !b;
    if (p->stale) {
        free(g);
        budget_free(b);
        return false;
    }
    budget_free(p->budget);
    p->budget = b;
    *g = (struct proxy_gen){.rules = rules_ref(rules), .conf = rules->conf, .current = true};
    if (p->gen) {
        p->gen->current = false;
        gen_drop(p->gen);
    }
    p->gen = g;
    p->buffered_max = (size_t)(c->limits.buffered_total / p->o.nworkers);
    return true;
}

static void xfer_free(struct xfer *x)
{
    digest_free(x->hash);
    spool_free(&x->body);
    buf_free(&x->out);
    buf_free(&x->queue);
    buf_free(&x->window);
    arena_free(&x->arena);
    free(x);
}

void proxy_free(struct proxy *p)
{
    struct list *l;
    if (!p)
        return;
    proxy_settle(p);
    proxy_recycle(p);
    while ((l = list_pop(&p->free)))
        xfer_free(CONTAINER_OF(l, struct xfer, link));
    if (p->gen) {
        p->gen->current = false;
        gen_drop(p->gen);
    }
    while (p->nspare)
        buf_free(&p->spare[--p->nspare]);
    budget_free(p->budget);
    policy_seen_free(p->seen);
    cred_view_free(p->creds);
    signer_free(p->signer);
    free(p);
}

void proxy_credentials(struct proxy *p)
{
    struct list *l;
    const uint64_t *ids;
    if (!cred_view_sync(p->creds, p->stale ? NULL : p->gen->conf))
        return;
    size_t n = cred_view_replaced(p->creds, &ids);
    for (size_t i = 0; i < n; i++)
        signer_forget(p->signer, ids[i]);
    if (n)
        up_forget(p->o.up);
    while ((l = list_pop(&p->cred_waiters)))
        xfer_mark(CONTAINER_OF(l, struct xfer, waiter), WANT_START);
}

bool proxy_dirty(const struct proxy *p)
{
    return !list_empty(&p->dirty);
}

static void settle_one(struct xfer *x)
{
    struct proxy *p = x->px;
    unsigned want = x->want;
    xfer_sane(x);
    x->want = 0;
    if (want & WANT_CANCEL) {
        up_cancel(p->o.up, &x->up);
        x->has_up = false;
    }
    if ((want & WANT_START) && x->fr && !(want & WANT_ABORT))
        xfer_start(x);
    if ((want & WANT_BODY) && x->has_up)
        up_body_more(p->o.up, &x->up);
    if ((want & WANT_UNPAUSE) && x->has_up)
        up_unpause(p->o.up, &x->up);
    if ((want & WANT_WAKE) && x->fr)
        front_resume(x->fr);
    if ((want & WANT_ABORT) && x->fr)
        front_abort(x->fr);
    if (x->state == XS_DEAD && !x->has_up) {
        list_unlink(&x->link);
        list_push(&p->dead, &x->link);
    }
}

void proxy_settle(struct proxy *p)
{
    struct list *l;
    while ((l = list_pop(&p->dirty)))
        settle_one(CONTAINER_OF(l, struct xfer, link));
}

void proxy_recycle(struct proxy *p)
{
    struct list *l;
    while ((l = list_pop(&p->dead))) {
        struct xfer *x = CONTAINER_OF(l, struct xfer, link);
        struct proxy_gen *g = x->gen;
        xfer_go(x, XS_FREE);
        xfer_put(x);
        gen_drop(g);
        if (p->nfree > FREE_MAX) {
            list_unlink(&x->link);
            p->nfree--;
            xfer_free(x);
        }
    }
}

unsigned proxy_inflight(const struct proxy *p)
{
    return p->inflight;
}

size_t proxy_buffered(const struct proxy *p)
{
    return p->buffered;
}

void proxy_refuse_all(struct proxy *p)
{
    LIST_FOR (l, &p->all)
        xfer_fail(CONTAINER_OF(l, struct xfer, all), ERR_SHUTTING_DOWN, NULL);
}

void proxy_abort_all(struct proxy *p)
{
    LIST_FOR (l, &p->all) {
        struct xfer *x = CONTAINER_OF(l, struct xfer, all);
        if (x->err == ERR_OK)
            x->err = ERR_SHUTTING_DOWN; /* it is not the client that ends it */
        xfer_mark(x, WANT_CANCEL | WANT_ABORT);
    }
}
