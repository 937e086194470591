/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts and the making of connections: where to dial (connect_to, proxy), look-up, connect. */
#include "io/up_int.h"

#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>

/* Cuts the next "…:" off *s, brackets around IPv6 respected; brackets are taken off. */
static struct str cut_part(struct str *s)
{
    struct str part;
    if (s->n && s->p[0] == '[') {
        const char *end = memchr(s->p, ']', s->n);
        if (end) {
            part = str_n(s->p + 1, (size_t)(end - s->p) - 1);
            s->n -= part.n + 2;
            s->p = end + 1;
            if (s->n && s->p[0] == ':')
                s->p++, s->n--;
            return part;
        }
    }
    return str_cut(s, ':');
}

static void copy(char *to, size_t size, struct str s)
{
    snprintf(to, size, "%.*s", STR_ARG(s));
}

/* curl's --connect-to: the first entry whose host and port match (empty ones match all). */
static void apply_connect_to(struct up_host *h)
{
    const struct up_options *o = &h->u->o;
    copy(h->dial, sizeof h->dial, str_of(h->name));
    h->dial_port = h->port;
    for (size_t i = 0; i < o->nconnect_to; i++) {
        struct str s = str_of(o->connect_to[i]);
        struct str host = cut_part(&s), port = cut_part(&s);
        struct str to_host = cut_part(&s), to_port = s;
        uint64_t p = 0;
        if (host.n && !str_ieq(host, str_of(h->name)))
            continue;
        if (port.n && (!str_u64(port, 65535, &p) || p != h->port))
            continue;
        if (to_host.n)
            copy(h->dial, sizeof h->dial, to_host);
        if (to_port.n && str_u64(to_port, 65535, &p))
            h->dial_port = (unsigned)p;
        return;
    }
}

/* no_proxy as curl reads it: "*", names (with their subdomains), a leading dot allowed. */
static bool skips_proxy(struct str list, struct str host)
{
    while (list.p) {
        struct str e = str_trim(str_cut(&list, ','));
        if (e.n && e.p[0] == '.')
            e.p++, e.n--;
        if (str_eq(e, STR("*")) || (e.n && str_ieq(e, host)))
            return true;
        if (e.n && str_iends(host, e) && host.n > e.n && host.p[host.n - e.n - 1] == '.')
            return true;
    }
    return false;
}

static void apply_proxy(struct up_host *h)
{
    const struct up_options *o = &h->u->o;
    const char *url = h->tls ? o->https_proxy : o->http_proxy;
    h->proxy[0] = '\0';
    if (!url[0] || (o->no_proxy[0] && skips_proxy(str_of(o->no_proxy), str_of(h->name))))
        return;
    snprintf(h->proxy, sizeof h->proxy, "%s", url);
    struct str s = str_of(url);
    const char *at = strstr(url, "://");
    unsigned port = 1080; /* libcurl's default for a proxy without a port */
    if (at)
        s = str_of(at + 3);
    if (str_istarts(str_of(url), STR("https://")))
        port = 443;
    struct str authority = str_cut(&s, '/');
    const char *user = NULL;
    for (size_t i = 0; i < authority.n; i++)
        if (authority.p[i] == '@')
            user = authority.p + i + 1;
    if (user) {
        authority.n -= (size_t)(user - authority.p);
        authority.p = user;
    }
    uint64_t p;
    struct str host = cut_part(&authority);
    copy(h->proxy_host, sizeof h->proxy_host, host);
    h->proxy_port = authority.n && str_u64(authority, 65535, &p) ? (unsigned)p : port;
}

static bool same_host(const struct up_host *h, const struct up_req *q)
{
    return !h->outdated && h->port == q->port && h->tls == q->tls &&
           h->private_ok == q->private_ok && strcmp(h->name, q->host) == 0;
}

/* The least recently used host that holds a pool and does nothing with it; NULL when all are busy.
 */
static struct up_host *idlest(struct up *u)
{
    for (struct list *l = u->hosts.prev; l != &u->hosts; l = l->prev) {
        struct up_host *h = CONTAINER_OF(l, struct up_host, link);
        if (h->kept && h->nconns == h->nidle && list_empty(&h->waiting))
            return h;
    }
    return NULL;
}

static void retire(struct up_host *h)
{
    h->kept = false;
    while (!list_empty(&h->idle))
        up_conn_drop(CONTAINER_OF(h->idle.next, struct up_conn, link));
    up_host_maybe_free(h);
}

/* The pools of num_pools hosts are kept; the least recently used idle one goes first. A host beyond
 * that, while all are busy, is served on connections that aren't kept. */
static void grant_pool(struct up_host *h)
{
    struct up *u = h->u;
    unsigned kept = 0;
    LIST_FOR (l, &u->hosts)
        kept += CONTAINER_OF(l, struct up_host, link)->kept;
    if (kept >= u->o.num_pools) {
        struct up_host *victim = idlest(u);
        if (!victim)
            return;
        retire(victim);
    }
    h->kept = true;
}

struct up_host *up_host_get(struct up *u, const struct up_req *q)
{
    LIST_FOR (l, &u->hosts) {
        struct up_host *h = CONTAINER_OF(l, struct up_host, link);
        if (!same_host(h, q))
            continue;
        if (l != u->hosts.next) {
            list_unlink(l);
            list_push_front(&u->hosts, l);
        }
        if (!h->kept)
            grant_pool(h);
        return h;
    }
    struct up_host *victim = u->nhosts >= UP_HOSTS_MAX ? idlest(u) : NULL;
    if (victim)
        retire(victim);
    if (strlen(q->host) >= RESOLVE_NAME_MAX || u->nhosts >= UP_HOSTS_MAX)
        return NULL;
    struct up_host *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->u = u;
    list_init(&h->link);
    list_init(&h->idle);
    list_init(&h->waiting);
    copy(h->name, sizeof h->name, str_of(q->host));
    h->port = q->port;
    h->tls = q->tls;
    h->private_ok = q->private_ok;
    apply_connect_to(h);
    apply_proxy(h);
    list_push_front(&u->hosts, &h->link);
    u->nhosts++;
    grant_pool(h);
    return h;
}

/* A host without a connection or a request is forgotten. */
void up_host_maybe_free(struct up_host *h)
{
    if (h->nconns || !list_empty(&h->waiting))
        return;
    list_unlink(&h->link);
    h->u->nhosts--;
    secret_free(h); /* a proxy's password */
}

void up_open_failed(struct up_conn *uc, enum err e, const char *why)
{
    struct up_req *q = uc->req;
    struct up_host *h = uc->uh;
    uc->req = NULL;
    if (e == ERR_OVERLOADED)
        up_flush(h->u); /* what others keep idle is worth less than what is asked for now */
    if (q) {
        q->opening = NULL;
        up_req_fail(q, e, why);
    }
    up_conn_drop(uc);
    up_host_feed(h); /* who waits without a connection of its own gets one now */
    up_host_maybe_free(h);
}

static void dial(struct up_conn *uc)
{
    struct up_host *h = uc->uh;
    struct up *u = h->u;
    struct conn_target t = {.host = h->name,
                            .port = h->port,
                            .tls = h->tls,
                            .dial_host = h->dial,
                            .dial_port = h->dial_port,
                            .proxy = h->proxy,
                            .proxy_host = h->proxy_host,
                            .proxy_port = h->proxy_port,
                            .addrs = &uc->rq.answer,
                            .private_ok = h->private_ok,
                            .connect_ns = uc->req ? uc->req->connect_ns : 30 * NS_PER_SEC};
    uc->state = UC_CONNECTING;
    uc->conn = conn_open(u->ctx, &t, &up_conn_ops, uc);
    if (!uc->conn)
        up_open_failed(uc, ERR_OVERLOADED, "no memory for a connection");
}

static void resolved(struct resolve_query *rq)
{
    struct up_conn *uc = CONTAINER_OF(rq, struct up_conn, rq);
    if (rq->answer.n == 0) {
        stat_add(uc->uh->u->st, STAT_DNS_FAILURES, 1);
        up_open_failed(uc, ERR_RESOLVE, rq->answer.why);
        return;
    }
    dial(uc);
}

static void resolved_now(struct timer *t)
{
    struct up_conn *uc = CONTAINER_OF(t, struct up_conn, timer);
    resolved(&uc->rq);
}

bool up_conn_open(struct up_host *h, struct up_req *q)
{
    struct up *u = h->u;
    struct list *l = list_pop(&u->free_conns);
    struct up_conn *uc = l ? CONTAINER_OF(l, struct up_conn, link) : calloc(1, sizeof *uc);
    if (!uc)
        return false;
    if (!l)
        resp_init(&uc->resp);
    list_init(&uc->link);
    list_init(&uc->all);
    list_push(&u->all, &uc->all);
    uc->uh = h;
    uc->conn = NULL;
    uc->req = q;
    uc->state = UC_RESOLVING;
    uc->epoch = u->epoch;
    uc->born_ns = clock_ns();
    timer_init(&uc->timer, resolved_now);
    h->nconns++;
    if (q)
        q->opening = uc;
    /* An answer at once is acted on by a timer that is due: done() never comes within up_start. */
    if (resolve_start(u->resolver, &uc->rq, u->loop, h->proxy[0] ? h->proxy_host : h->dial,
                      resolved) &&
        !timer_set(&u->loop->timers, &uc->timer, clock_ns())) {
        if (q)
            q->opening = NULL;
        uc->req = NULL;
        up_conn_drop(uc);
        return false;
    }
    return true;
}
