/* SPDX-License-Identifier: Apache-2.0 */
/* Derived signing keys: the HMAC chain over day, region and service, and a bounded cache of its
 * results. One thread. */
#ifndef SIGFERRY_SIGN_SIGNKEY_H
#define SIGFERRY_SIGN_SIGNKEY_H

#include "sign/digest.h"

enum { SIGNKEY_DAY_LEN = 8, SIGNKEY_LABEL_MAX = 64, SIGNKEY_CACHE_MAX = 128 };

/* What a derived key depends on besides the secret itself. Borrowed strings. */
struct signkey_id {
    uint64_t secret_id; /* 0: never cached */
    struct str day;     /* YYYYMMDD */
    struct str region, service;
};

struct signkey_cache;
NODISCARD struct signkey_cache *signkey_cache_new(void);
/* Wipes every key. */
void signkey_cache_free(struct signkey_cache *c);

/* Writes the key to out, which the caller wipes: from the cache, or derived with h from the secret
 * (and cached; the least recently used goes when SIGNKEY_CACHE_MAX are held). *serial names this
 * very cached key for the life of the cache; 0 when it is not cached. False when OpenSSL fails. */
NODISCARD bool signkey_get(struct signkey_cache *c, struct hmac *h, struct str secret,
                           const struct signkey_id *id, unsigned char out[DIGEST_LEN],
                           uint64_t *serial);

/* Wipes the keys of that secret (0: all). */
void signkey_forget(struct signkey_cache *c, uint64_t secret_id);

#endif
