/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 and HMAC-SHA256, over contexts that are made once and reused. */
#ifndef SIGFERRY_SIGN_DIGEST_H
#define SIGFERRY_SIGN_DIGEST_H

#include "base/attr.h"
#include "base/str.h"

enum { DIGEST_LEN = 32, DIGEST_HEX_LEN = 64 };

/* The SHA-256 of no bytes, lower-case hex. */
extern const char digest_empty_hex[DIGEST_HEX_LEN + 1];

struct digest; /* a reusable running SHA-256 */

NODISCARD struct digest *digest_new(void);
void digest_free(struct digest *d);
/* All three return false only when OpenSSL fails (memory). */
NODISCARD bool digest_begin(struct digest *d);
NODISCARD bool digest_update(struct digest *d, const void *p, size_t n);
NODISCARD bool digest_end(struct digest *d, unsigned char out[DIGEST_LEN]);

struct hmac; /* a reusable HMAC-SHA256 */
NODISCARD struct hmac *hmac_new(void);
void hmac_free(struct hmac *h);
NODISCARD bool hmac_sha256(struct hmac *h, struct str key, struct str msg,
                           unsigned char out[DIGEST_LEN]);
/* hmac_sha256 with the key of the last call that had one, whose padded blocks need not be hashed
 * again. */
NODISCARD bool hmac_again(struct hmac *h, struct str msg, unsigned char out[DIGEST_LEN]);
/* Replaces the key state inside the context. */
NODISCARD bool hmac_forget(struct hmac *h);

/* Lower-case hex, not NUL-terminated. */
void digest_hex(const unsigned char in[DIGEST_LEN], char out[DIGEST_HEX_LEN]);

/* The runtime version of OpenSSL, for --version. */
const char *digest_library_version(void);

#endif
