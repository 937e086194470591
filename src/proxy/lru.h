/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded table from strings to small values: when it is full, the least recently used entry
 * makes room. All memory is taken at the start. One owner; no thread safety. */
#ifndef SIGFERRY_PROXY_LRU_H
#define SIGFERRY_PROXY_LRU_H

#include "base/attr.h"
#include "base/str.h"

struct lru;

/* At most `most` (1 to 65535) entries with keys up to key_max bytes and values of value_size bytes.
 * NULL when memory is short. */
NODISCARD struct lru *lru_new(unsigned most, size_t key_max, size_t value_size);
void lru_free(struct lru *t);

/* The value of that key, now the most recently used one; made and zeroed when it is not there
 * (*fresh is set; may be NULL). Keys longer than key_max share one entry. Never NULL; aligned for
 * any type; valid until the next lru_get. */
void *lru_get(struct lru *t, struct str key, bool *fresh);

/* How many entries there are. */
unsigned lru_count(const struct lru *t);

#endif
