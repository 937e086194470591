/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: epoll, timers, and a way for other threads to wake it. */
#ifndef SIGFERRY_IO_LOOP_H
#define SIGFERRY_IO_LOOP_H

#include "base/list.h"
#include "io/timer.h"
#include <stdatomic.h>

/* A descriptor of interest, embedded in its owner. */
struct loop_fd {
    int fd;                                            /* -1 when not added */
    void (*ready)(struct loop_fd *f, uint32_t events); /* EPOLLIN | … as epoll reports them */
};

/* Work handed over by another thread: run once on the loop's thread. Embedded in its owner, who
 * must not post it again before it ran. */
struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *t);
};

struct loop {
    int epoll_fd, event_fd;
    struct loop_fd wake;
    struct timers timers;
    _Atomic(struct loop_task *) tasks;
    struct loop_task *quiet;  /* private: taken over from tasks, in order, about to run */
    _Atomic uint64_t turns;   /* progress, for health checks */
    _Atomic uint64_t turn_ns; /* clock_ns of the last turn's start */
    /* Events of the poll under way, so that loop_del can strike them out. */
    struct epoll_event *batch;
    int batch_n;
};

/* false with errno when the kernel refuses. */
NODISCARD bool loop_init(struct loop *l);
void loop_free(struct loop *l);

/* Watches f->fd (set by the caller) for events (EPOLLIN|EPOLLET|…); false with errno: f->fd stays
 * as it was, so that the caller can close it. */
NODISCARD bool loop_add(struct loop *l, struct loop_fd *f, uint32_t events);
NODISCARD bool loop_mod(struct loop *l, struct loop_fd *f, uint32_t events);
/* Stops watching; f gets no further call, not even for events already fetched. f->fd becomes -1;
 * the descriptor stays open. Fine when not added. */
void loop_del(struct loop *l, struct loop_fd *f);

/* Waits for events at most until until_ns (clock_ns time; 0: don't wait; UINT64_MAX: only timers
 * bound it, and never longer than a second, so that progress shows), ticks the clock, then calls
 * the ready functions and the posted tasks. Timers are not run: that is timers_run's, in the order
 * of the owner's turn. */
void loop_poll(struct loop *l, uint64_t until_ns);

/* From any thread: run t on the loop's thread in one of its next turns. */
void loop_post(struct loop *l, struct loop_task *t);
/* From the loop's thread: takes back a task that was posted; false when it is not waiting (it ran,
 * or runs now). Walks what waits. */
bool loop_unpost(struct loop *l, struct loop_task *t);
/* From any thread: end the current wait. */
void loop_wake(struct loop *l);

#endif
