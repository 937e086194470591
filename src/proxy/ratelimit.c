/* SPDX-License-Identifier: Apache-2.0 */
/* One word a rule: the time at which its bucket will be full again. Taking a token moves it on by
 * one interval; it may run ahead of now by burst intervals plus the longest wait, never more. */
#include "proxy/ratelimit.h"
#include "base/clock.h"
#include "proxy/glob.h"
#include <stdatomic.h>
#include <stdlib.h>

struct cell {
    _Alignas(64) _Atomic uint64_t full_at; /* clock_ns time; a cache line of its own */
    uint64_t interval_ns, burst_ns;
};

struct ratelimit {
    const struct conf_rate *rules;
    size_t n;
    struct cell *cells;
};

/* Times far beyond any clock, small enough that sums do not overflow. */
static const uint64_t longest_ns = UINT64_C(1) << 60;

static uint64_t to_ns(double ns)
{
    if (!(ns > 1))
        return 1;
    return ns < (double)longest_ns ? (uint64_t)ns : longest_ns;
}

struct ratelimit *ratelimit_new(const struct conf_rate *v, size_t n)
{
    struct ratelimit *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    *r = (struct ratelimit){.rules = v, .n = n};
    if (n == 0)
        return r;
    r->cells = aligned_alloc(_Alignof(struct cell), n * sizeof(struct cell));
    if (!r->cells) {
        free(r);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        double interval = v[i].rate > 0 ? (double)NS_PER_SEC / v[i].rate : (double)longest_ns;
        double burst = v[i].burst > 1 ? v[i].burst : 1;
        atomic_init(&r->cells[i].full_at, 0);
        r->cells[i].interval_ns = to_ns(interval);
        r->cells[i].burst_ns = to_ns(interval * burst);
    }
    return r;
}

void ratelimit_free(struct ratelimit *r)
{
    if (!r)
        return;
    free(r->cells);
    free(r);
}

/* Takes one token; *wait_ns is how long until it is there. false, and nothing taken, when that is
 * more than the rule allows. */
static bool take(struct cell *c, uint64_t most_ns, uint64_t now_ns, uint64_t *wait_ns)
{
    uint64_t full_at = atomic_load_explicit(&c->full_at, memory_order_relaxed), next;
    do {
        next = (full_at > now_ns ? full_at : now_ns) + c->interval_ns;
        *wait_ns = next > now_ns + c->burst_ns ? next - now_ns - c->burst_ns : 0;
        if (*wait_ns > most_ns)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&c->full_at, &full_at, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void give_back(struct cell *c)
{
    atomic_fetch_sub_explicit(&c->full_at, c->interval_ns, memory_order_relaxed);
}

/* Gives back the tokens of the matching rules before `end`. */
static void undo(struct ratelimit *r, size_t end, struct str service, struct str action)
{
    for (size_t i = 0; i < end; i++)
        if (glob_action(str_of(r->rules[i].match), service, action))
            give_back(&r->cells[i]);
}

struct ratelimit_answer ratelimit_take(struct ratelimit *r, struct str service, struct str action,
                                       uint64_t now_ns)
{
    struct ratelimit_answer a = {.pass = true};
    for (size_t i = 0; i < r->n; i++) {
        uint64_t wait_ns;
        const struct conf_rate *rule = &r->rules[i];
        if (!glob_action(str_of(rule->match), service, action))
            continue;
        if (!take(&r->cells[i], rule->wait_ns, now_ns, &wait_ns)) {
            undo(r, i, service, action);
            uint64_t s = (wait_ns + NS_PER_SEC - 1) / NS_PER_SEC;
            return (struct ratelimit_answer){.retry_after_s = s ? s : 1, .rule = rule};
        }
        if (!a.rule || wait_ns > a.wait_ns)
            a.rule = rule;
        a.wait_ns = wait_ns > a.wait_ns ? wait_ns : a.wait_ns;
    }
    return a;
}

void ratelimit_return(struct ratelimit *r, struct str service, struct str action)
{
    undo(r, r->n, service, action);
}
