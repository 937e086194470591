/* SPDX-License-Identifier: Apache-2.0 */
/* The store's parts, private to cred_store.c, cred_slot.c and cred_view.c. Everything in a slot and
 * in the store is read and written under store.mu, but for what a slot's `busy` holder owns. */
#ifndef SIGFERRY_CRED_STORE_INT_H
#define SIGFERRY_CRED_STORE_INT_H

#include "base/log.h"
#include "cred/cred_provider.h"

#include <pthread.h>

/* Single flight: what a thread is doing with a slot. */
enum cred_busy { CRED_IDLE, CRED_FETCHING, CRED_POLLING };

/* One profile's condition. */
struct cred_slot {
    struct conf *conf; /* a reference; profile points into it */
    const struct conf_profile *profile;
    struct cred *current;  /* NULL: none yet */
    enum cred_state state; /* outcome of the last fetch; CRED_PENDING before the first */
    struct err_detail why; /* of the last fetch when it failed, else empty */
    uint64_t ok, failed;   /* fetches */
    unsigned failures;     /* in a row */
    enum cred_busy busy;
    bool missed;          /* a thread passed it by while it was busy */
    bool again;           /* wanted once more while being fetched */
    bool asked;           /* cred_store_rejected waits for the outcome */
    enum cred_want want;  /* of the next fetch */
    bool dead;            /* dropped by a reload while busy: its holder frees it */
    uint64_t due_ns;      /* fetch from then on (monotonic); UINT64_MAX: not by itself */
    int64_t refresh_s;    /* fetch from then on (wall clock); INT64_MAX: it never expires */
    uint64_t rejected_ns; /* when a rejection last started a fetch; 0: never */
    /* the busy holder's */
    struct cred_memory memory;
    struct cred_watch watch;
    struct cred_mark seen[CRED_WATCH_MAX]; /* what the last look saw, when changing */
    bool changing;                         /* seen differs from watch: wait until it rests */
    uint64_t poll_ns;
};

NODISCARD struct cred_slot *cred_slot_new(struct conf *conf, const struct conf_profile *p);
void cred_slot_free(struct cred_slot *sl);
/* Moves a slot on to the same profile of another configuration. */
void cred_slot_move(struct cred_slot *sl, struct conf *conf, const struct conf_profile *p);
/* Whether the profile of that name in both means the same credential. */
bool cred_slot_same_profile(const struct cred_slot *sl, const struct conf *conf,
                            const struct conf_profile *p);
/* Whether its fetch may wait for the network. */
bool cred_slot_remote(const struct cred_slot *sl);
/* Makes its next fetch due from now on, if it was not before, and lets it bring that much. */
void cred_slot_due(struct cred_slot *sl, enum cred_want want);
/* Whether another fetch could bring another credential. */
bool cred_slot_refreshable(const struct cred_slot *sl);

/* A fetch's result: what cred_slot_fetch brought and cred_slot_settle puts in place. */
struct cred_outcome {
    struct cred *cred; /* owned; NULL: failed */
    struct err_detail why;
    struct cred_watch watch;
    bool deferred; /* nothing was decided: the network must be asked */
    bool held;     /* the slot had one that had not expired when the fetch began */
    /* for the log, told by the caller once views can see the outcome; empty: nothing to tell */
    enum log_level level;
    char line[640];
};
/* Runs the fetch, without the lock; the slot is busy or not yet shared. */
void cred_slot_fetch(struct cred_slot *sl, struct conf *conf, const struct conf_profile *p,
                     enum cred_want want, int cancel_fd, bool local_only, struct cred_outcome *out);
/* Takes the outcome over, sets when to fetch next, and writes out->line. */
void cred_slot_settle(struct cred_slot *sl, struct cred_outcome *out);

/* Looks at the watched files, without the lock; the slot is busy. true when they changed and have
 * rested since the look before. */
bool cred_slot_poll(struct cred_slot *sl);

struct cred_store {
    pthread_mutex_t mu;
    pthread_cond_t cond; /* CLOCK_MONOTONIC */
    pthread_mutex_t notify_mu;
    struct conf *conf;
    struct cred_slot **slots; /* one a profile, in conf's order */
    size_t n;
    _Atomic uint64_t generation; /* counts every change that a view would show */
    bool stop;
    int cancel_fd; /* eventfd: readable once stopping */
    void (*changed)(void *arg);
    void *arg;
    pthread_t threads[5];
    size_t nthreads;
};

#endif
