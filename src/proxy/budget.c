/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and retries of each host in a ring of quarter seconds: the share is taken over the whole
 * ring, the floor over its last four quarters. A host that is forgotten starts with its floor. */
#include "proxy/budget.h"
#include "base/clock.h"
#include "proxy/lru.h"
#include <stdlib.h>

enum { SLOTS = 32, SLOTS_PER_S = 4, HOST_MAX = 264 };

struct host {
    uint64_t slot; /* the newest slot's number, since the clock's zero */
    uint32_t requests[SLOTS], retries[SLOTS];
};

struct budget {
    uint64_t percent;
    struct lru *hosts;
};

struct budget *budget_new(int64_t percent)
{
    struct budget *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    *b = (struct budget){
        .percent = percent > 0 ? (uint64_t)percent : 0,
        .hosts = lru_new(BUDGET_MAX_HOSTS, HOST_MAX, sizeof(struct host)),
    };
    if (b->hosts)
        return b;
    free(b);
    return NULL;
}

void budget_free(struct budget *b)
{
    if (!b)
        return;
    lru_free(b->hosts);
    free(b);
}

/* The host's record, with the slots that passed since its last use emptied. */
static struct host *host_at(struct budget *b, struct str name, uint64_t now_ns)
{
    struct host *h = lru_get(b->hosts, name, NULL);
    uint64_t now = now_ns / (NS_PER_SEC / SLOTS_PER_S);
    if (now <= h->slot)
        return h;
    uint64_t passed = now - h->slot;
    for (uint64_t i = 1; i <= passed && i <= SLOTS; i++) {
        h->requests[(h->slot + i) % SLOTS] = 0;
        h->retries[(h->slot + i) % SLOTS] = 0;
    }
    h->slot = now;
    return h;
}

void budget_request(struct budget *b, struct str host, uint64_t now_ns)
{
    struct host *h = host_at(b, host, now_ns);
    h->requests[h->slot % SLOTS]++;
}

bool budget_retry(struct budget *b, struct str host, uint64_t now_ns)
{
    struct host *h = host_at(b, host, now_ns);
    uint64_t requests = 0, retries = 0, lately = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        requests += h->requests[i];
        retries += h->retries[i];
    }
    for (unsigned i = 0; i < SLOTS_PER_S; i++)
        lately += h->retries[(h->slot + SLOTS - i) % SLOTS];
    if ((retries + 1) * 100 > requests * b->percent && lately >= BUDGET_FLOOR_PER_S)
        return false;
    h->retries[h->slot % SLOTS]++;
    return true;
}
