/* SPDX-License-Identifier: Apache-2.0 */
/* One thread with everything a request needs: loop, client side, upstream side, engine, counters.
 * Workers share listening sockets, the configuration, the credential store and nothing else; the
 * main thread reaches them through posted messages. */
#ifndef SIGFERRY_DAEMON_WORKER_H
#define SIGFERRY_DAEMON_WORKER_H

#include "io/listen.h"
#include "io/resolve.h"
#include "proxy/proxy.h"

/* A listening socket of the daemon, kept until the process ends. */
struct door {
    struct proxy_door tag; /* what front_listener gives back */
    struct listen_sock *sock;
    bool closing; /* taken out of the configuration */
};

struct worker;

struct worker_options {
    unsigned index, nworkers;
    struct worker *const *all; /* nworkers of them, NULL where not made yet; stays */
    struct proxy_rules *rules;
    struct cred_store *creds;
    struct proxy_shared *shared;
    struct resolver *resolver;
    struct door *const *doors;
    size_t ndoors;
    void (*stopped)(void *arg); /* called from the worker's thread as its last act */
    void *arg;
};

/* Tries the settings that only a worker can judge (tls.ca_file, …); msg says what is wrong, as
 * "KEY: reason" where it is a key's. */
NODISCARD bool worker_check(const struct conf *c, char *msg, size_t msgsize);

/* Builds a worker; msg says why not. Its thread starts with worker_start. */
NODISCARD struct worker *worker_new(const struct worker_options *o, char *msg, size_t msgsize);
NODISCARD bool worker_start(struct worker *w);
/* Waits until its thread has ended, as worker_stop or worker_drain made it do. */
void worker_join(struct worker *w);
/* Joins, frees all. No other worker may run any more: they hand each other connections. */
void worker_free(struct worker *w);

/* Messages from the main thread; each waits until the worker has taken it over (false: it did not
 * within 10 s). */
/* False while the worker has not come to a message that was given up on: there is room for one. */
bool worker_answers(struct worker *w);
/* A reloaded configuration and the doors that hold now; false also when the worker could not take
 * over all of it, which it has logged. Only when worker_answers. */
NODISCARD bool worker_reload(struct worker *w, struct proxy_rules *rules, struct door *const *doors,
                             size_t ndoors);
/* No new connections; ends when the last request did. True once the worker has taken that over:
 * asking again sends nothing twice. */
NODISCARD bool worker_drain(struct worker *w);
/* Ends every request, then the thread. Does not wait. */
void worker_stop(struct worker *w);
/* Credentials changed: any thread, any time. */
void worker_wake(struct worker *w);

/* For health and metrics; any thread. */
const struct stat *worker_stat(const struct worker *w);
/* clock_ns of its last turn; UINT64_MAX once it has ended. */
uint64_t worker_turn_ns(const struct worker *w);

/* Has it write its pools down in its next turn, which begins at once. Any thread. */
void worker_ask_pools(struct worker *w);
/* What it wrote down; waits for it, a moment only: a worker that hangs shows what it had before.
 * Copies up to max. */
enum { WORKER_POOLS_MAX = 64 };
struct worker_pool {
    char host[RESOLVE_NAME_MAX];
    unsigned idle, active, pending;
};
size_t worker_pools(struct worker *w, struct worker_pool *out, size_t max);

#endif
