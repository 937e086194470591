/* SPDX-License-Identifier: Apache-2.0 */
/* Private to up*.c: hosts, their connections and queues. */
#ifndef SIGFERRY_IO_UP_INT_H
#define SIGFERRY_IO_UP_INT_H

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "io/up.h"

enum {
    UP_SCRATCH = 64 * 1024,        /* bytes sent or received at a time */
    UP_READ_PER_TURN = 256 * 1024, /* bytes of one connection, before others have their turn */
    UP_READS_PER_TURN = 512,       /* and reads, for records may be of a byte each */
    UP_HOSTS_MAX = 256,            /* remembered at a time */
    UP_ONE_RECORD = 16 * 1024      /* what one TLS record holds */
};

struct up_host {
    struct up *u;
    struct list link;    /* in u->hosts, most recently used first */
    struct list idle;    /* up_conns, most recently used first */
    struct list waiting; /* up_reqs without a connection, oldest first */
    unsigned nconns;     /* opening, busy and idle together */
    unsigned nidle, nwaiting;
    unsigned port, dial_port, proxy_port;
    bool tls, private_ok, kept; /* kept: one of the num_pools with kept-alive connections */
    bool outdated;              /* of earlier settings: serves whom it has, and no others */
    char name[RESOLVE_NAME_MAX], dial[RESOLVE_NAME_MAX], proxy_host[RESOLVE_NAME_MAX];
    char proxy[512];
};

enum up_state { UC_RESOLVING, UC_CONNECTING, UC_BUSY, UC_IDLE, UC_DEAD };

struct up_conn {
    struct up_host *uh;
    struct conn *conn;  /* NULL while resolving */
    struct up_req *req; /* BUSY: whose; RESOLVING, CONNECTING: who started it, or NULL */
    enum up_state state;
    struct list all;    /* in u->all until it is free again */
    struct list link;   /* in uh->idle (IDLE), u->more (BUSY with bytes waiting), u->dead */
    struct timer timer; /* of the look-up, then up_conn_timer's */
    uint64_t born_ns, idle_until_ns;
    unsigned epoch; /* u->epoch it was made under */
    struct resolve_query rq;
    struct resp resp;
};

struct up {
    struct loop *loop;
    struct resolver *resolver;
    struct stat *st;
    struct up_options o;
    struct conn_ctx *ctx;
    struct list conns_dead; /* closed, of this context and earlier ones */
    unsigned epoch;         /* counts configurations */
    unsigned nhosts;
    struct list hosts, more, dead, free_conns, all;
    char scratch[UP_SCRATCH];
};

/* up.c */
void up_host_feed(struct up_host *h);
void up_conn_release(struct up_conn *uc, bool reusable);
void up_conn_drop(struct up_conn *uc);
/* The timer of a connected uc: silence of an exchange, or the end of idleness. It is only ever
 * moved forward, and looks at what is due when it fires: a request costs no timer then. */
void up_conn_timer(struct timer *t);
/* Lets the timer fire at at_ns or earlier; false when memory is short. */
NODISCARD bool up_conn_due(struct up_conn *uc, uint64_t at_ns);
void up_req_fail(struct up_req *q, enum err e, const char *why);
/* Puts q first in the queue and serves the queue; its timer is set already. */
void up_req_queue(struct up_host *h, struct up_req *q);

/* up_open.c: making connections */
struct up_host *up_host_get(struct up *u, const struct up_req *q);
void up_host_maybe_free(struct up_host *h);
bool up_conn_open(struct up_host *h, struct up_req *q);
void up_open_failed(struct up_conn *uc, enum err e, const char *why);

/* up_io.c: one exchange on a connection */
extern const struct conn_ops up_conn_ops;
void up_exchange_start(struct up_conn *uc, struct up_req *q);
void up_exchange_read(struct up_conn *uc);
void up_exchange_write(struct up_conn *uc);
void up_exchange_timer(struct up_conn *uc);
/* Waited too long for a connection. */
void up_req_timer(struct timer *t);

#endif
