/* SPDX-License-Identifier: Apache-2.0 */
/* Private to worker*.c: a worker's parts. */
#ifndef SIGFERRY_DAEMON_WORKER_INT_H
#define SIGFERRY_DAEMON_WORKER_INT_H

#include "daemon/worker.h"
#include <pthread.h>
#include <semaphore.h>

/* A door as this worker's loop watches it. */
struct worker_door {
    struct loop_fd w;
    struct worker *worker;
    const struct door *door;
    struct list link;
    bool ready;
};

enum worker_phase { RUNNING, DRAINING, STOPPED };

struct worker {
    struct worker_options o;
    pthread_t thread;
    bool started;
    struct loop loop;
    struct up *up;
    struct front *front;
    struct proxy *proxy;
    struct stat *stat;
    struct list doors;
    struct timer accept_pause;
    enum worker_phase phase;
    bool more, knocked;
    int64_t ahead_s;         /* the wall clock before the monotonic one, in the last turn */
    uint64_t drained_ns;     /* since when it drains */
    _Atomic unsigned conns;  /* as of the last turn, for whoever chooses a worker */
    _Atomic unsigned coming; /* handed over, not taken yet */
    /* one message at a time */
    struct loop_task task;
    sem_t taken;
    bool untaken;    /* the main thread's: it gave up waiting for the last one */
    bool told_drain; /* the main thread's */
    struct proxy_rules *new_rules;
    struct proxy_rules *up_rules; /* what `up` borrows its strings from */
    struct door *const *new_doors;
    size_t new_ndoors;
    bool took_all; /* of the last reload; the main thread reads it after `taken` */
    _Atomic bool stop, ended;
    /* pools, for metrics: the worker writes them down in its turn when they were asked for */
    _Atomic unsigned pools_asked;
    unsigned pools_noted; /* under the lock, but for the worker's own look */
    pthread_mutex_t pools_lock;
    pthread_cond_t pools_cond;
    struct worker_pool pools[WORKER_POOLS_MAX];
    size_t npools;
};

/* worker_accept.c */
/* Watches these doors, those that are closing left out; false when one can't be. */
NODISCARD bool worker_doors_open(struct worker *w, struct door *const *doors, size_t n);
void worker_doors_close(struct worker *w);
/* Accepts where somebody knocked in this turn's poll. */
void worker_accept(struct worker *w);
/* Before doors close: takes who connected already, so that nobody of them is cut off unheard. */
void worker_accept_rest(struct worker *w);
/* For the timer accept_pause: descriptors may be had again. */
void worker_accept_again(struct timer *t);

#endif
