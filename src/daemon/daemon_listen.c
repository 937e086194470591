/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's sockets over its life: opened at the start, kept or opened or closed by a reload. */
#include "daemon/daemon_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/identity.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static struct daemon_listener *find(struct daemon *d, const char *address)
{
    for (size_t i = 0; i < d->nlisteners; i++)
        if (d->listeners[i]->open && strcmp(d->listeners[i]->address, address) == 0)
            return d->listeners[i];
    return NULL;
}

static bool add_doors(struct daemon *d, struct daemon_listener *l)
{
    struct door **v = realloc(d->doors, (d->ndoors + l->socks.n) * sizeof *v);
    if (!v)
        return false;
    d->doors = v;
    for (size_t i = 0; i < l->socks.n; i++) {
        struct door *door = calloc(1, sizeof *door);
        if (!door)
            return false;
        door->sock = &l->socks.v[i];
        door->tag = (struct proxy_door){.address = l->address,
                                        .port = door->sock->port,
                                        .is_unix = door->sock->family == LISTEN_UNIX};
        d->doors[d->ndoors++] = door;
    }
    return true;
}

/* What was inherited, or found by a name, may be open to other machines though its address in the
 * configuration does not show it. */
static bool may_listen(const struct listen_set *set, const struct conf *c,
                       const struct conf_listener *cl, char *msg, size_t msgsize)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->v[i].loopback || (c->security.allow_remote && identity_travels(c, cl)))
            continue;
        snprintf(msg, msgsize,
                 "%s (%s) is open to other machines and needs security.allow_remote, and clients "
                 "or client_tokens",
                 cl->address, set->v[i].name);
        return false;
    }
    return true;
}

/* What stays open under a new configuration. */
static bool may_stay(struct daemon *d, const struct conf *c, char *msg, size_t msgsize)
{
    const struct conf_listener admin = {.address = c->admin.listen};
    for (size_t i = 0; i < c->nlisten; i++) {
        struct daemon_listener *l = find(d, c->listen[i].address);
        if (l && !may_listen(&l->socks, c, &c->listen[i], msg, msgsize))
            return false;
    }
    return may_listen(&d->admin_socks, c, &admin, msg, msgsize);
}

static bool open_one(struct daemon *d, const struct conf *c, const struct conf_listener *cl,
                     char *msg, size_t msgsize)
{
    struct listen_spec spec = {.address = cl->address,
                               .mode = cl->mode,
                               .owner = cl->owner,
                               .group = cl->group,
                               .allow_remote = c->security.allow_remote};
    struct daemon_listener *l = calloc(1, sizeof *l);
    struct daemon_listener **v = l ? realloc(d->listeners, (d->nlisteners + 1) * sizeof *v) : NULL;
    if (v)
        d->listeners = v;
    if (!v || !(l->address = strdup(cl->address))) {
        free(l);
        snprintf(msg, msgsize, "out of memory");
        return false;
    }
    if (!listen_open(&spec, &l->socks, msg, msgsize) ||
        !may_listen(&l->socks, c, cl, msg, msgsize)) {
        listen_give_back(&l->socks);
        free(l->address);
        free(l);
        return false;
    }
    l->open = true;
    d->listeners[d->nlisteners++] = l;
    if (!add_doors(d, l)) {
        snprintf(msg, msgsize, "out of memory");
        return false;
    }
    for (size_t i = 0; i < l->socks.n; i++)
        log_msg(LOG_INFO, "listening on %s", l->socks.v[i].name);
    return true;
}

static bool named(const struct conf *c, const char *address)
{
    for (size_t i = 0; i < c->nlisten; i++)
        if (strcmp(c->listen[i].address, address) == 0)
            return true;
    return false;
}

static void mark_closing(struct daemon *d, const char *address)
{
    for (size_t i = 0; i < d->ndoors; i++)
        if (strcmp(d->doors[i]->tag.address, address) == 0)
            d->doors[i]->closing = true;
}

bool daemon_listen(struct daemon *d, const struct conf *c, char *msg, size_t msgsize)
{
    if (!may_stay(d, c, msg, msgsize))
        return false;
    for (size_t i = 0; i < c->nlisten; i++)
        if (!find(d, c->listen[i].address) && !open_one(d, c, &c->listen[i], msg, msgsize))
            return false;
    return true;
}

void daemon_listen_only(struct daemon *d, const struct conf *c)
{
    for (size_t i = 0; i < d->nlisteners; i++) {
        if (d->listeners[i]->open && !named(c, d->listeners[i]->address)) {
            log_msg(LOG_INFO, "no longer listening on %s", d->listeners[i]->address);
            mark_closing(d, d->listeners[i]->address);
            d->listeners[i]->open = false;
        }
    }
}

void daemon_unlisten(struct daemon *d)
{
    bool let_go = true, left = false;
    for (unsigned i = 0; i < d->nworkers; i++) {
        struct worker *w = d->workers[i];
        let_go = (d->draining ? worker_drain(w) : worker_answers(w)) && let_go;
    }
    for (size_t i = 0; i < d->ndoors && d->draining; i++)
        d->doors[i]->closing = true;
    for (size_t i = 0; i < d->nlisteners; i++) {
        struct daemon_listener *l = d->listeners[i];
        l->open = l->open && !d->draining;
        if (!l->open && let_go && d->draining)
            listen_close(&l->socks);
        else if (!l->open && let_go)
            listen_give_back(&l->socks);
        left = left || (!l->open && l->socks.n);
    }
    if (left && !timer_set(&d->loop.timers, &d->unlisten, clock_ns() + NS_PER_SEC))
        log_msg(LOG_ERROR, "out of memory: a socket that nobody serves stays open");
}

void daemon_unlisten_again(struct timer *t)
{
    daemon_unlisten(CONTAINER_OF(t, struct daemon, unlisten));
}

void daemon_listeners_free(struct daemon *d)
{
    for (size_t i = 0; i < d->ndoors; i++)
        free(d->doors[i]);
    for (size_t i = 0; i < d->nlisteners; i++) {
        listen_close(&d->listeners[i]->socks);
        free(d->listeners[i]->address);
        free(d->listeners[i]);
    }
    free(d->doors);
    free(d->listeners);
}

/* ---- the admin address ---- */

static void admin_pause(struct daemon *d)
{
    if (!timer_set(&d->loop.timers, &d->admin_pause, clock_ns() + 100 * NS_PER_MS))
        log_msg(LOG_ERROR, "out of memory: the admin address answers no more");
}

static void admin_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct daemon_admin_door *a = CONTAINER_OF(f, struct daemon_admin_door, w);
    struct sockaddr_storage sa;
    struct peer peer;
    unsigned salen = sizeof sa;
    int fd = listen_accept(a->sock, &peer, &sa, &salen);
    if (fd < 0 && errno != EAGAIN) {
        /* Nothing to take it with: looked at again with the next turn of the timer, not at once. */
        loop_del(&a->d->loop, &a->w);
        admin_pause(a->d);
    }
    if (fd >= 0 && !front_accept(a->d->admin_front, fd, &peer, &sa, salen, &a->tag))
        log_msg(LOG_WARN, "too many connections to the admin address");
}

static void admin_again(struct timer *t)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, admin_pause);
    bool all = true;
    for (size_t i = 0; i < d->admin_socks.n; i++) {
        struct daemon_admin_door *a = &d->admin_doors[i];
        if (a->w.fd >= 0)
            continue;
        a->w.fd = a->sock->fd;
        if (loop_add(&d->loop, &a->w, EPOLLIN))
            continue;
        log_msg(LOG_ERROR, "%s can't be watched: %s", a->sock->name, strerror(errno));
        a->w.fd = -1;
        all = false;
    }
    if (!all)
        admin_pause(d);
}

bool daemon_admin_open(struct daemon *d, char *msg, size_t msgsize)
{
    struct listen_spec spec = {.address = d->conf->admin.listen,
                               .allow_remote = d->conf->security.allow_remote};
    if (!spec.address[0])
        return true;
    timer_init(&d->admin_pause, admin_again);
    struct admin_source source = daemon_report(d);
    d->admin = admin_new(&source, d->conf);
    struct front_options fo = {.loop = &d->loop,
                               .ops = &admin_front_ops,
                               .owner = d->admin,
                               .max_connections = 256,
                               .max_header = 16 * 1024,
                               .max_body = 4096,
                               .idle_timeout_ns = 60 * NS_PER_SEC,
                               .header_timeout_ns = 10 * NS_PER_SEC,
                               .write_timeout_ns = 30 * NS_PER_SEC,
                               .silence_ns = 120 * NS_PER_SEC};
    snprintf(msg, msgsize, "out of memory");
    if (!d->admin || !(d->admin_address = strdup(spec.address)) ||
        !(d->admin_front = front_new(&fo, msg, msgsize)) ||
        !listen_open(&spec, &d->admin_socks, msg, msgsize) ||
        !may_listen(&d->admin_socks, d->conf, &(struct conf_listener){.address = spec.address}, msg,
                    msgsize) ||
        !(d->admin_doors = calloc(d->admin_socks.n, sizeof *d->admin_doors)))
        return false;
    for (size_t i = 0; i < d->admin_socks.n; i++) {
        struct daemon_admin_door *a = &d->admin_doors[i];
        struct listen_sock *s = &d->admin_socks.v[i];
        *a = (struct daemon_admin_door){.w = {.fd = s->fd, .ready = admin_ready},
                                        .d = d,
                                        .sock = s,
                                        .tag = {.address = d->admin_address,
                                                .port = s->port,
                                                .is_unix = s->family == LISTEN_UNIX}};
        if (!loop_add(&d->loop, &a->w, EPOLLIN)) {
            snprintf(msg, msgsize, "%s can't be watched: %s", s->name, strerror(errno));
            return false;
        }
        log_msg(LOG_INFO, "admin listening on %s", s->name);
    }
    return true;
}

void daemon_admin_close(struct daemon *d)
{
    timer_unset(&d->loop.timers, &d->admin_pause);
    for (size_t i = 0; d->admin_doors && i < d->admin_socks.n; i++)
        loop_del(&d->loop, &d->admin_doors[i].w);
    front_free(d->admin_front);
    admin_free(d->admin);
    listen_close(&d->admin_socks);
    free(d->admin_doors);
    free(d->admin_address);
    d->admin_address = NULL;
    d->admin_front = NULL;
    d->admin = NULL;
    d->admin_doors = NULL;
}
