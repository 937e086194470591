/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: epoll, and a lock-free list of tasks that other threads post. Owns the
 * epoll and the event descriptor, never the descriptors it watches. All but loop_post and loop_wake
 * belong to the loop's thread. */
#include "io/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 256, LONGEST_MS = 1000 };

static void woken(struct loop_fd *f, uint32_t events)
{
    /* Edge-triggered: each write makes a new event, so the counter need not be read back. The
     * tasks are looked at after every batch anyway. */
    (void)f;
    (void)events;
}

bool loop_init(struct loop *l)
{
    *l = (struct loop){.epoll_fd = -1, .event_fd = -1, .wake = {.fd = -1, .ready = woken}};
    atomic_init(&l->tasks, NULL);
    atomic_init(&l->turns, 0);
    atomic_init(&l->turn_ns, clock_fresh_ns());
    timers_init(&l->timers);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->wake.fd = l->event_fd;
    if (l->epoll_fd >= 0 && l->event_fd >= 0 && loop_add(l, &l->wake, EPOLLIN | EPOLLET))
        return true;
    int e = errno;
    loop_free(l);
    errno = e;
    return false;
}

void loop_free(struct loop *l)
{
    if (l->event_fd >= 0)
        close(l->event_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    l->epoll_fd = l->event_fd = l->wake.fd = -1;
    timers_free(&l->timers);
    atomic_store(&l->tasks, NULL);
    l->quiet = NULL;
}

bool loop_add(struct loop *l, struct loop_fd *f, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = f};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) == 0;
}

bool loop_mod(struct loop *l, struct loop_fd *f, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = f};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, f->fd, &ev) == 0;
}

void loop_del(struct loop *l, struct loop_fd *f)
{
    if (f->fd < 0)
        return;
    /* Fails when it was never added or is closed already; either way it is not watched now. */
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
    f->fd = -1;
    for (int i = 0; i < l->batch_n; i++)
        if (l->batch[i].data.ptr == f)
            l->batch[i].data.ptr = NULL;
}

/* Moves what was posted behind what waits already, oldest first. */
static void fetch_tasks(struct loop *l)
{
    if (!atomic_load_explicit(&l->tasks, memory_order_relaxed))
        return;
    struct loop_task *t = atomic_exchange_explicit(&l->tasks, NULL, memory_order_acquire);
    struct loop_task *fifo = NULL;
    while (t) {
        struct loop_task *next = t->next;
        t->next = fifo;
        fifo = t;
        t = next;
    }
    struct loop_task **end = &l->quiet;
    while (*end)
        end = &(*end)->next;
    *end = fifo;
}

static void run_tasks(struct loop *l)
{
    fetch_tasks(l);
    while (l->quiet) {
        struct loop_task *t = l->quiet;
        l->quiet = t->next;
        t->next = NULL;
        t->run(t); /* may post or free t */
    }
}

static int timeout_ms(const struct loop *l, uint64_t until_ns)
{
    uint64_t next = timers_next(&l->timers);
    if (next < until_ns)
        until_ns = next;
    if (until_ns == 0 || l->quiet || atomic_load_explicit(&l->tasks, memory_order_relaxed))
        return 0;
    uint64_t now = clock_fresh_ns();
    if (until_ns <= now)
        return 0;
    uint64_t left = until_ns - now;
    if (left >= LONGEST_MS * NS_PER_MS)
        return LONGEST_MS;
    return (int)((left + NS_PER_MS - 1) / NS_PER_MS); /* up: waking too early would only spin */
}

void loop_poll(struct loop *l, uint64_t until_ns)
{
    struct epoll_event batch[BATCH];
    int n = epoll_wait(l->epoll_fd, batch, BATCH, timeout_ms(l, until_ns));
    if (n < 0 && errno != EINTR) {
        /* EBADF, EINVAL: a bug of ours; going on would spin without ever serving anything. */
        log_msg(LOG_ERROR, "event loop: epoll_wait: %s", strerror(errno));
        abort();
    }
    clock_tick();
    atomic_store_explicit(&l->turn_ns, clock_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);

    l->batch = batch;
    l->batch_n = n > 0 ? n : 0;
    for (int i = 0; i < l->batch_n; i++) {
        struct loop_fd *f = batch[i].data.ptr;
        if (f)
            f->ready(f, batch[i].events);
    }
    l->batch = NULL;
    l->batch_n = 0;
    run_tasks(l);
}

void loop_post(struct loop *l, struct loop_task *t)
{
    struct loop_task *head = atomic_load_explicit(&l->tasks, memory_order_relaxed);
    do {
        t->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&l->tasks, &head, t, memory_order_release,
                                                    memory_order_relaxed));
    if (!head) /* whoever made the list non-empty wakes the loop */
        loop_wake(l);
}

bool loop_unpost(struct loop *l, struct loop_task *t)
{
    fetch_tasks(l);
    for (struct loop_task **at = &l->quiet; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            t->next = NULL;
            return true;
        }
    }
    return false;
}

void loop_wake(struct loop *l)
{
    uint64_t one = 1;
    while (write(l->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    /* EAGAIN would mean 2^64 - 2 wake-ups waiting: the loop is awake. */
}
