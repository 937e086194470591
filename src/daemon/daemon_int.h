/* SPDX-License-Identifier: Apache-2.0 */
/* Private to daemon*.c: the daemon's parts, all owned by the main thread. */
#ifndef SIGFERRY_DAEMON_DAEMON_INT_H
#define SIGFERRY_DAEMON_DAEMON_INT_H

#include "daemon/admin.h"
#include "daemon/daemon.h"
#include "daemon/worker.h"
#include <pthread.h>

/* One configured listening address with its sockets; never freed before the end, because
 * connections point at its doors. */
struct daemon_listener {
    char *address;
    struct listen_set socks;
    bool open;
};

/* A socket of the admin address, served by the main thread. */
struct daemon_admin_door {
    struct loop_fd w;
    struct daemon *d;
    struct listen_sock *sock;
    struct proxy_door tag;
};

struct daemon {
    const struct conf_args *args;
    struct loop loop;
    struct conf *conf;
    struct proxy_rules *rules;
    struct cred_store *creds;
    struct proxy_shared shared;
    struct resolver *resolver;

    struct daemon_listener **listeners;
    size_t nlisteners;
    struct door **doors; /* one a socket */
    size_t ndoors;

    struct worker **workers;
    unsigned nworkers;
    _Atomic unsigned nstopped;
    pthread_mutex_t wake_lock; /* workers may be woken while `wakeable` */
    bool wakeable;

    char *admin_address; /* of the start: its doors point at it */
    struct listen_set admin_socks;
    struct daemon_admin_door *admin_doors;
    struct front *admin_front;
    struct admin *admin;

    struct loop_fd signals;
    struct timer drain_limit, watchdog, admin_pause, unlisten;
    bool draining, told_to_end; /* by a signal */
    int exit_code;
    bool reload_ok;
    int64_t reload_s, started_s;
    char reload_why[1024];
};

/* daemon.c */
NODISCARD bool daemon_log_open(const struct conf *c);

/* daemon_listen.c */
/* Opens what conf names and is not open yet; closes nothing. false with msg: some of it may be open
 * then. */
NODISCARD bool daemon_listen(struct daemon *d, const struct conf *c, char *msg, size_t msgsize);
/* Marks what conf does not name as closing: what it no longer names, or, with the old one after a
 * reload that failed, what that had opened. */
void daemon_listen_only(struct daemon *d, const struct conf *c);
/* Closes what is marked as closing, in a drain everything, once every worker has let go of it: with
 * one that hangs it is tried again each second. */
void daemon_unlisten(struct daemon *d);
void daemon_unlisten_again(struct timer *t); /* of d->unlisten */
NODISCARD bool daemon_admin_open(struct daemon *d, char *msg, size_t msgsize);
void daemon_listeners_free(struct daemon *d);
void daemon_admin_close(struct daemon *d);

/* daemon_signal.c: reload, drain, end. */
void daemon_drain(struct daemon *d, const char *why);
NODISCARD bool daemon_signals_open(struct daemon *d);

/* daemon_report.c: what the admin address tells; arg is the daemon. */
struct admin_source daemon_report(struct daemon *d);
/* What policies that record saw, into the log. */
void daemon_tell_recorded(struct daemon *d);
/* Every worker's loop turned lately. */
bool daemon_healthy(struct daemon *d);

#endif
