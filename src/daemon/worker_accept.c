/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: every worker watches every door, and gives what it accepted to the worker with the
 * fewest connections. */
#include "daemon/worker_int.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 16 };

static void try_later(struct worker *w)
{
    if (!timer_set(&w->loop.timers, &w->accept_pause, clock_ns() + 100 * NS_PER_MS))
        log_msg(LOG_ERROR, "out of memory: this worker accepts no more connections");
}

static void doors_pause(struct worker *w)
{
    LIST_FOR (l, &w->doors) {
        struct worker_door *d = CONTAINER_OF(l, struct worker_door, link);
        loop_del(&w->loop, &d->w);
    }
    try_later(w);
}

/* Noted only: who left in the same poll makes room before who comes is counted. */
static void door_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct worker_door *d = CONTAINER_OF(f, struct worker_door, w);
    d->ready = true;
    d->worker->knocked = true;
}

/* A connection on its way to another worker. */
struct handover {
    struct loop_task task;
    struct worker *to;
    const void *tag;
    int fd;
    unsigned salen;
    struct peer peer;
    struct sockaddr_storage sa;
};

static void arrive(struct loop_task *t)
{
    struct handover *h = CONTAINER_OF(t, struct handover, task);
    struct worker *w = h->to;
    atomic_fetch_sub(&w->coming, 1);
    if (!w->front)
        close(h->fd); /* it ends: the client connects anew, elsewhere */
    else if (!front_accept(w->front, h->fd, &h->peer, &h->sa, h->salen, h->tag))
        log_msg(LOG_WARN, "worker %u has no room for a connection", w->o.index);
    free(h);
}

static unsigned load(const struct worker *w)
{
    return atomic_load_explicit(&w->conns, memory_order_relaxed) +
           atomic_load_explicit(&w->coming, memory_order_relaxed);
}

/* The worker with the fewest connections, w itself when none has fewer: the kernel wakes the same
 * one over and over while it keeps up, and connections stay where they were taken. In a drain the
 * others may have ended. */
static struct worker *least_busy(struct worker *w)
{
    struct worker *best = w;
    if (atomic_load_explicit(&w->o.shared->draining, memory_order_relaxed))
        return w;
    unsigned least = front_connections(w->front);
    for (unsigned i = 0; i < w->o.nworkers; i++) {
        struct worker *o = w->o.all[i];
        if (o && o != w && load(o) < least) {
            best = o;
            least = load(o);
        }
    }
    return best;
}

/* false: full, or memory is short. */
static bool place(struct worker *w, const struct handover *h)
{
    struct worker *to = least_busy(w);
    if (to == w)
        return front_accept(w->front, h->fd, &h->peer, &h->sa, h->salen, h->tag);
    struct handover *m = malloc(sizeof *m);
    if (!m)
        return front_accept(w->front, h->fd, &h->peer, &h->sa, h->salen, h->tag);
    *m = *h;
    m->to = to;
    m->task.run = arrive;
    atomic_fetch_add(&to->coming, 1);
    loop_post(&to->loop, &m->task);
    return true;
}

/* false when there is nobody left, or no room. */
static bool door_accept(struct worker_door *d)
{
    struct worker *w = d->worker;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct handover h = {.tag = &d->door->tag, .salen = sizeof h.sa};
        h.fd = listen_accept(d->door->sock, &h.peer, &h.sa, &h.salen);
        if (h.fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                /* Nothing to take it with: a pause instead of a spin. */
                log_msg(LOG_WARN, "accept on %s: %s", d->door->sock->name, strerror(errno));
                doors_pause(w);
            }
            return false;
        }
        stat_add(w->stat, STAT_ACCEPTED, 1);
        if (!place(w, &h))
            return false; /* full: who leaves makes room in the next turn */
    }
    return true;
}

void worker_accept_rest(struct worker *w)
{
    LIST_FOR (l, &w->doors) {
        struct worker_door *d = CONTAINER_OF(l, struct worker_door, link);
        for (int batches = 0; batches < 64 && door_accept(d);)
            batches++;
    }
}

void worker_accept(struct worker *w)
{
    struct list *next;
    if (!w->knocked)
        return;
    w->knocked = false;
    for (struct list *l = w->doors.next; l != &w->doors; l = next) {
        struct worker_door *d = CONTAINER_OF(l, struct worker_door, link);
        next = l->next;
        if (d->ready) {
            d->ready = false;
            (void)!door_accept(d);
        }
    }
}

static bool door_watch(struct worker *w, struct worker_door *d)
{
    d->w.fd = d->door->sock->fd;
    if (loop_add(&w->loop, &d->w, EPOLLIN | EPOLLEXCLUSIVE))
        return true;
    log_msg(LOG_ERROR, "%s can't be watched: %s", d->door->sock->name, strerror(errno));
    d->w.fd = -1;
    return false;
}

void worker_accept_again(struct timer *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, accept_pause);
    bool all = true;
    if (w->phase != RUNNING)
        return;
    LIST_FOR (l, &w->doors) {
        struct worker_door *d = CONTAINER_OF(l, struct worker_door, link);
        all = (d->w.fd >= 0 || door_watch(w, d)) && all;
    }
    if (!all)
        try_later(w);
}

void worker_doors_close(struct worker *w)
{
    struct list *l;
    timer_unset(&w->loop.timers, &w->accept_pause);
    while ((l = list_pop(&w->doors))) {
        struct worker_door *d = CONTAINER_OF(l, struct worker_door, link);
        loop_del(&w->loop, &d->w);
        free(d);
    }
}

bool worker_doors_open(struct worker *w, struct door *const *doors, size_t n)
{
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        if (doors[i]->closing)
            continue;
        struct worker_door *d = calloc(1, sizeof *d);
        if (!d) {
            all = false;
            continue;
        }
        d->worker = w;
        d->door = doors[i];
        d->w = (struct loop_fd){.fd = -1, .ready = door_ready};
        list_push(&w->doors, &d->link);
        all = door_watch(w, d) && all;
    }
    if (!all)
        try_later(w);
    return all;
}
