/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's request engine: takes requests from front, runs each through the states of xfer.c,
 * sends attempts through up. One thread, no locks; what workers share is behind atomics. */
#ifndef SIGFERRY_PROXY_PROXY_H
#define SIGFERRY_PROXY_PROXY_H

#include "conf/conf.h"
#include "cred/cred.h"
#include "io/front.h"
#include "io/up.h"

/* A listening address, for the life of the process; the tag of its connections (front_listener). */
struct proxy_door {
    const char *address; /* as configured: finds its conf_listener in each configuration */
    unsigned port;       /* 0 for Unix sockets */
    bool is_unix;
};

/* State all workers share. */
struct proxy_shared {
    _Atomic int64_t skew_s; /* the clouds' clock minus ours, as learned */
    _Atomic bool draining;
    struct policy_record *record; /* of policies that record; NULL: not kept */
    struct failures *failures;    /* the last ones; NULL: not kept */
};

/* A configuration with what is counted under it by all workers together. Refcounted (atomic). */
struct proxy_rules {
    _Atomic unsigned refs;
    struct conf *conf;
    struct ratelimit *rates; /* NULL for none */
};
NODISCARD struct proxy_rules *proxy_rules_new(struct conf *c);
void proxy_rules_unref(struct proxy_rules *r);

struct proxy;

struct proxy_options {
    struct loop *loop;
    struct up *up;
    struct stat *stat;
    struct cred_store *creds;
    struct proxy_shared *shared;
    unsigned nworkers;
};

extern const struct front_ops proxy_front_ops; /* owner: struct proxy * */

NODISCARD struct proxy *proxy_new(const struct proxy_options *o, struct proxy_rules *rules);
/* No request may be open. */
void proxy_free(struct proxy *p);

/* Requests that arrive from now on follow these rules (a reference is taken); those under way keep
 * what they started with. */
NODISCARD bool proxy_configure(struct proxy *p, struct proxy_rules *rules);

/* The steps of a turn. */
void proxy_credentials(struct proxy *p); /* takes over new credentials, wakes who waited for one */
void proxy_settle(struct proxy *p);      /* does what the callbacks asked for */
void proxy_recycle(struct proxy *p);     /* recycles finished requests; the turn's last step */
bool proxy_dirty(const struct proxy *p); /* settle has something to do */

/* Requests being served. */
unsigned proxy_inflight(const struct proxy *p);
/* Bytes of bodies, of requests and of answers, held in memory. */
size_t proxy_buffered(const struct proxy *p);
/* The drain limit has passed. Requests without an answer get one. */
void proxy_refuse_all(struct proxy *p);
/* Ends every request at once. */
void proxy_abort_all(struct proxy *p);

#endif
