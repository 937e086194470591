/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of credentials: made once, never changed, shared by reference count. A snapshot's
 * secrets are wiped with its last reference. */
#include "cred/cred.h"
#include "cred/cred_provider.h"

#include <stdlib.h>

/* Longest parts we accept: far above what the clouds issue, small enough for a header. */
enum { ACCESS_KEY_MAX = 256, SECRET_KEY_MAX = 1024, TOKEN_MAX = 16384 };

static _Atomic uint64_t next_id = 1;

struct cred *cred_ref(struct cred *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void cred_unref(struct cred *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (c->access_key) {
        secret_wipe(c->access_key, strlen(c->access_key));
        free(c->access_key);
    }
    secret_unref(c->secret_key);
    secret_unref(c->session_token);
    free(c);
}

struct sign_cred cred_for_signing(const struct cred *c)
{
    return (struct sign_cred){
        .access_key = str_of(c->access_key),
        .secret_key = secret_str(c->secret_key),
        .session_token = secret_str(c->session_token),
        .secret_id = c->id,
    };
}

/* Visible ASCII only: what may stand in a header without quoting. */
static bool visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return false;
    return true;
}

static bool parts_ok(struct str ak, struct str sk, struct str token, struct err_detail *why)
{
    const char *bad = NULL;
    if (!ak.n)
        bad = "the access key is empty";
    else if (!sk.n)
        bad = "the secret key is empty";
    else if (ak.n > ACCESS_KEY_MAX || !visible(ak) || memchr(ak.p, '/', ak.n) ||
             memchr(ak.p, ',', ak.n))
        bad = "the access key is too long or has a character that no access key has";
    else if (sk.n > SECRET_KEY_MAX || !visible(sk))
        bad = "the secret key is too long or has a space or a character that is not ASCII";
    else if (token.n > TOKEN_MAX || !visible(token))
        bad = "the session token is too long or has a space or a character that is not ASCII";
    if (bad)
        err_set(why, ERR_CREDENTIALS, "%s", bad);
    return !bad;
}

struct cred *cred_new(const char *provider, struct str access_key, struct secret *secret_key,
                      struct secret *session_token, int64_t expires_s, struct err_detail *why)
{
    struct cred *c = NULL;
    if (!parts_ok(access_key, secret_str(secret_key), secret_str(session_token), why))
        goto fail;
    c = calloc(1, sizeof *c);
    if (c)
        c->access_key = strndup(access_key.p, access_key.n);
    if (!c || !c->access_key) {
        err_set(why, ERR_CREDENTIALS, "memory is short");
        goto fail;
    }
    atomic_init(&c->refs, 1);
    c->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    c->secret_key = secret_key;
    c->session_token = session_token;
    c->expires_s = expires_s;
    c->provider = provider;
    return c;
fail:
    free(c);
    secret_unref(secret_key);
    secret_unref(session_token);
    return NULL;
}

struct cred *cred_new_plain(const char *provider, struct str access_key, struct str secret_key,
                            struct str session_token, int64_t expires_s, struct err_detail *why)
{
    /* Checked before copying: secret_new of nothing would read as short memory. */
    if (!parts_ok(access_key, secret_key, session_token, why))
        return NULL;
    struct secret *sk = secret_new(secret_key);
    struct secret *token = session_token.n ? secret_new(session_token) : NULL;
    if (!sk || (session_token.n && !token)) {
        secret_unref(sk);
        secret_unref(token);
        err_set(why, ERR_CREDENTIALS, "memory is short");
        return NULL;
    }
    return cred_new(provider, access_key, sk, token, expires_s, why);
}

bool cred_same(const struct cred *a, const struct cred *b)
{
    return a->expires_s == b->expires_s && strcmp(a->access_key, b->access_key) == 0 &&
           secret_eq(secret_str(a->secret_key), secret_str(b->secret_key)) &&
           secret_eq(secret_str(a->session_token), secret_str(b->session_token));
}
