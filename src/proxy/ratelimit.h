/* SPDX-License-Identifier: Apache-2.0 */
/* rate_limits: token buckets over all clients and workers. Time is an argument; the state is one
 * atomic word a rule (the generic cell rate algorithm), so any thread may ask without a lock. */
#ifndef SIGFERRY_PROXY_RATELIMIT_H
#define SIGFERRY_PROXY_RATELIMIT_H

#include "conf/conf.h"

struct ratelimit;

/* Buckets for these rules, all full. The rules are borrowed: keep the conf they belong to. NULL
 * when memory is short. No rules are fine: everything passes. */
NODISCARD struct ratelimit *ratelimit_new(const struct conf_rate *v, size_t n);
void ratelimit_free(struct ratelimit *r);

struct ratelimit_answer {
    bool pass;
    uint64_t wait_ns;             /* pass: wait this long, then go on; 0 for at once */
    uint64_t retry_after_s;       /* not pass: ERR_RATE_LIMITED with this Retry-After, at least 1 */
    const struct conf_rate *rule; /* the rule that decided; NULL when none applied */
};

/* Asks for one request now. Every rule that matches counts; the longest wait holds, and the request
 * is refused (and counts nowhere) when a rule's wait would exceed its `wait`. */
struct ratelimit_answer ratelimit_take(struct ratelimit *r, struct str service, struct str action,
                                       uint64_t now_ns);

/* Gives back what a request took that was given up while it waited. */
void ratelimit_return(struct ratelimit *r, struct str service, struct str action);

#endif
