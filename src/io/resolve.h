/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses: getaddrinfo on a few bounded threads, one answer cache for the process. A
 * slow or dead DNS never stalls a loop; the last good answer serves meanwhile. */
#ifndef SIGFERRY_IO_RESOLVE_H
#define SIGFERRY_IO_RESOLVE_H

#include "base/attr.h"
#include "base/list.h"
#include "io/loop.h"

enum {
    RESOLVE_MAX_ADDRS = 8,
    RESOLVE_NAME_MAX = 256,
    RESOLVE_ADDR_MAX = 48,
    RESOLVE_CACHE_MAX = 256, /* names remembered; the least recently used goes */
    RESOLVE_JOIN_MS = 200,
};

/* Addresses as text, IPv6 without brackets, in the resolver's order. */
struct resolve_answer {
    unsigned n; /* 0: failed */
    char addr[RESOLVE_MAX_ADDRS][RESOLVE_ADDR_MAX];
    bool stale;      /* older than its time to live: the look-up for a new one failed or is late */
    const char *why; /* static text when n is 0 */
};

struct resolver;

/* Starts `threads` resolver threads with a queue of at most `queue` names. NULL when threads can't
 * be made. ttl_ns: how long an answer is fresh; a negative one lives a second. */
NODISCARD struct resolver *resolver_new(unsigned threads, unsigned queue, uint64_t ttl_ns);
/* Joins the threads (a hanging getaddrinfo is left behind, detached, after RESOLVE_JOIN_MS). All
 * queries must be gone. NULL is fine. */
void resolver_free(struct resolver *r);

/* Looks names up with these two instead of getaddrinfo and freeaddrinfo: for tests, before the
 * first query. */
struct addrinfo;
void resolver_use(struct resolver *r,
                  int (*lookup)(const char *name, const char *service, const struct addrinfo *hints,
                                struct addrinfo **out),
                  void (*release)(struct addrinfo *list));

/* A question, embedded in its owner. */
struct resolve_query {
    struct loop *loop;
    void (*done)(struct resolve_query *q); /* on the loop's thread */
    struct resolve_answer answer;          /* set before done */
    /* private */
    struct loop_task task;
    struct list link;
    _Atomic int state;
    struct resolver *resolver;
};

/* Looks name up. An address literal or a cached answer is given at once: returns true with
 * q->answer set, done is not called. Otherwise returns false and done is called later, exactly
 * once, unless cancelled. A stale answer is given at once too and refreshed behind the scenes. */
NODISCARD bool resolve_start(struct resolver *r, struct resolve_query *q, struct loop *loop,
                             const char *name, void (*done)(struct resolve_query *q));
/* done will not be called any more. From the loop's thread. Fine for a zeroed query, one that was
 * answered at once, and after done. */
void resolve_cancel(struct resolve_query *q);

/* For a loop that is about to be freed, when all its queries have ended or were cancelled: waits
 * until no thread of the resolver is still busy waking it. */
void resolver_pass(struct resolver *r);

#endif
