/* SPDX-License-Identifier: Apache-2.0 */
/* The retry budget: retries to an upstream host stay under a share of its live traffic, so that an
 * outage is not multiplied. One table a worker; time is an argument; bounded. */
#ifndef SIGFERRY_PROXY_BUDGET_H
#define SIGFERRY_PROXY_BUDGET_H

#include "base/attr.h"
#include "base/str.h"

enum { BUDGET_MAX_HOSTS = 256, BUDGET_FLOOR_PER_S = 10 };

struct budget;

/* percent: retries a hundred requests over the last 8 seconds; besides, the floor of 10 retries a
 * second and host always holds, in each table: a part of it would be too little for the retries of
 * a single request where there are many workers. NULL when memory is short. */
NODISCARD struct budget *budget_new(int64_t percent);
void budget_free(struct budget *b);

/* Counts a request (its first attempt) to that host. */
void budget_request(struct budget *b, struct str host, uint64_t now_ns);

/* Asks for one retry: true takes it, false when the budget is used up. */
NODISCARD bool budget_retry(struct budget *b, struct str host, uint64_t now_ns);

#endif
