/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream side of one worker: per-host pools of kept-alive connections, the queue in front of
 * each, a request out and its response in. One thread; knows nothing of signing or configuration.
 *
 * A request runs: up_start → (head → data*)? → done. Callbacks must not call up_*; they record.
 * done comes exactly once, unless up_cancel came first. */
#ifndef SIGFERRY_IO_UP_H
#define SIGFERRY_IO_UP_H

#include "base/stat.h"
#include "http/resp.h"
#include "io/conn.h"
#include "io/resolve.h"
#include "io/spool.h"

/* Strings and lists are borrowed and must outlive the next up_configure. */
struct up_options {
    struct conn_tls tls;
    const char *http_proxy, *https_proxy, *no_proxy; /* "" for none */
    const char *const *connect_to;                   /* HOST:PORT:CONNECT-HOST:CONNECT-PORT */
    size_t nconnect_to;
    unsigned num_pools;   /* hosts with kept-alive connections */
    unsigned per_host;    /* connections per host, at least 1 */
    unsigned max_pending; /* requests waiting per host */
    uint64_t pending_ns;  /* longest wait for a connection */
    uint64_t idle_ns, max_age_ns;
};

struct up;
/* NULL when the settings don't work; msg says why. */
NODISCARD struct up *up_new(struct loop *loop, struct resolver *r, struct stat *st,
                            const struct up_options *o, char *msg, size_t msgsize);
/* New settings; connections made under other TLS, proxy, connect_to or pool settings, or with other
 * certificates, are not used again; with the same ones they stay.
 * false with msg when they don't work: the old ones stay. */
NODISCARD bool up_configure(struct up *u, const struct up_options *o, char *msg, size_t msgsize);
/* Closes everything. No request may be running. */
void up_free(struct up *u);

struct up_req;

struct up_ops {
    /* The final response head; r is valid until done. */
    void (*head)(struct up_req *q, const struct resp *r);
    /* Body bytes; false: stop reading until up_unpause. The bytes were taken all the same. */
    bool (*data)(struct up_req *q, struct str bytes);
    /* The exchange is over: ERR_OK after a complete response, else why not. why is valid during the
     * call. q->sent, q->head_seen say how far it came. */
    void (*done)(struct up_req *q, enum err e, const char *why);
};

/* One attempt. Embedded in its owner; the first part is set before up_start and stays until done.
 */
struct up_req {
    const struct up_ops *ops;
    const char *host; /* upstream name, NUL-terminated, lower-case */
    unsigned port;
    bool tls, private_ok;
    bool is_head;    /* HEAD: the response has no body */
    struct str head; /* the serialised request head */
    /* The body: bytes from offset, a view of at most n (scratch may serve); an empty view with p
     * set: none now, up_body_more follows. NULL: no body. body_once: what was asked for from an
     * offset is gone once a later offset is asked for. */
    struct str (*body)(struct up_req *q, uint64_t offset, char *scratch, size_t n);
    bool body_once;
    uint64_t body_size; /* bytes in all; UINT64_MAX until a streamed body has ended */
    uint64_t connect_ns, read_ns;

    /* results */
    bool sent;   /* bytes of the request may have reached the upstream */
    bool reused; /* went out on a kept-alive connection */
    bool head_seen;
    uint64_t connected_ns; /* clock_ns when it got its connection */

    /* private */
    struct up_host *uh;
    struct up_conn *uc;      /* the connection it runs on */
    struct up_conn *opening; /* the connection it waits for */
    struct list link;        /* in the host's queue */
    struct timer timer;
    uint64_t out, last_ns, first_byte_ns;
    bool active, paused, out_blocked, out_failed, starved;
};

/* Starts. done may follow in a later turn, never from within. ERR_POOL_EXHAUSTED when too many
 * wait, ERR_OVERLOADED when memory is short: then the request did not start and done does not come.
 */
NODISCARD enum err up_start(struct up *u, struct up_req *q);
/* Gives up; no callback comes any more. Fine when not running. */
void up_cancel(struct up *u, struct up_req *q);
/* After data() returned false: go on reading. data() may be called within. */
void up_unpause(struct up *u, struct up_req *q);
/* A streamed body has more bytes, or its body_size is now known. */
void up_body_more(struct up *u, struct up_req *q);

/* Once a turn, outside callbacks: reads connections that had more than their share last turn. */
void up_run(struct up *u);
/* The turn's last step: really closes what was given up in it, so that the upstream is told at
 * once. True when there is more to read already. */
NODISCARD bool up_reap(struct up *u);
/* Overwrites the scratch memory, which still shows the last requests' heads: the credential they
 * were signed with was replaced. Not from within callbacks. */
void up_forget(struct up *u);
/* Forgets all idle connections (after a suspend of the machine, a reload). */
void up_flush(struct up *u);

/* One host's pool, for metrics; views valid during the call. */
typedef void up_visit(void *arg, const char *host, unsigned idle, unsigned active,
                      unsigned pending);
void up_each_host(const struct up *u, up_visit *visit, void *arg);

#endif
