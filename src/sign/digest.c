/* SPDX-License-Identifier: Apache-2.0 */
/* Owns every use of OpenSSL's digests: SHA-256 and HMAC-SHA256 over reusable contexts. Algorithms
 * are fetched once a process, for each fetch walks the providers under a lock. Must never keep a
 * key beyond the call it was given for, save inside an OpenSSL context that wipes it. */
#include "sign/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>

const char digest_empty_hex[DIGEST_HEX_LEN + 1] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;
static EVP_MAC *mac;

/* Never freed: OpenSSL's exit handlers may run before anything of ours could. Both stay reachable,
 * so no leak checker minds. */
static void fetch(void)
{
    /* Without memory for its own beginnings OpenSSL would fetch from a NULL context, and crash. */
    if (!OSSL_LIB_CTX_get0_global_default())
        return;
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

struct digest {
    EVP_MD_CTX *ctx;
};

struct digest *digest_new(void)
{
    pthread_once(&once, fetch);
    struct digest *d = malloc(sizeof *d);
    if (!d)
        return NULL;
    d->ctx = sha256 ? EVP_MD_CTX_new() : NULL;
    if (!d->ctx) {
        free(d);
        return NULL;
    }
    return d;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

bool digest_begin(struct digest *d)
{
    return EVP_DigestInit_ex2(d->ctx, sha256, NULL) == 1;
}

bool digest_update(struct digest *d, const void *p, size_t n)
{
    return n == 0 || EVP_DigestUpdate(d->ctx, p, n) == 1;
}

bool digest_end(struct digest *d, unsigned char out[DIGEST_LEN])
{
    return EVP_DigestFinal_ex(d->ctx, out, NULL) == 1;
}

struct hmac {
    EVP_MAC_CTX *ctx;
};

struct hmac *hmac_new(void)
{
    pthread_once(&once, fetch);
    struct hmac *h = malloc(sizeof *h);
    if (!h)
        return NULL;
    h->ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    if (!h->ctx || EVP_MAC_CTX_set_params(h->ctx, params) != 1) {
        hmac_free(h);
        return NULL;
    }
    return h;
}

void hmac_free(struct hmac *h)
{
    if (!h)
        return;
    EVP_MAC_CTX_free(h->ctx);
    free(h);
}

static bool finish(struct hmac *h, struct str msg, unsigned char out[DIGEST_LEN])
{
    size_t n = 0;
    return (msg.n == 0 || EVP_MAC_update(h->ctx, (const unsigned char *)msg.p, msg.n) == 1) &&
           EVP_MAC_final(h->ctx, out, &n, DIGEST_LEN) == 1 && n == DIGEST_LEN;
}

bool hmac_sha256(struct hmac *h, struct str key, struct str msg, unsigned char out[DIGEST_LEN])
{
    /* OpenSSL takes a NULL key for "the one before": an empty key needs an address. */
    const unsigned char *k = (const unsigned char *)(key.n ? key.p : "");
    return EVP_MAC_init(h->ctx, k, key.n, NULL) == 1 && finish(h, msg, out);
}

bool hmac_again(struct hmac *h, struct str msg, unsigned char out[DIGEST_LEN])
{
    return EVP_MAC_init(h->ctx, NULL, 0, NULL) == 1 && finish(h, msg, out);
}

bool hmac_forget(struct hmac *h)
{
    unsigned char out[DIGEST_LEN];
    return hmac_sha256(h, STR(""), STR(""), out);
}

void digest_hex(const unsigned char in[DIGEST_LEN], char out[DIGEST_HEX_LEN])
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_LEN; i++) {
        out[2 * i] = digit[in[i] >> 4];
        out[2 * i + 1] = digit[in[i] & 15];
    }
}

const char *digest_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}
