/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of the V4 algorithm over one signer's scratch memory: set of headers, canonical
 * request, string to sign, signature. Must never allocate in steady state: buffers grow to the
 * largest request seen and stay. */
#include "sign/sign_int.h"

#include "base/clock.h"
#include "base/secret.h"
#include <stdlib.h>

struct signer *signer_new(void)
{
    struct signer *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    buf_init(&s->lower, SIGN_NAMES_MAX);
    buf_init(&s->names, SIGN_NAMES_MAX);
    buf_init(&s->canon, SIGN_CANON_MAX);
    buf_init(&s->string, SIGN_STRING_MAX);
    buf_init(&s->auth, SIGN_AUTH_MAX);
    buf_init(&s->form, SIGN_CANON_MAX);
    arena_init(&s->arena, SIGN_ARENA_FIRST, SIGN_ARENA_MAX);
    s->digest = digest_new();
    s->hmac = hmac_new();
    s->keys = signkey_cache_new();
    if (!s->digest || !s->hmac || !s->keys) {
        signer_free(s);
        return NULL;
    }
    return s;
}

/* It is one of the signed headers, and a parameter of what is presigned. The memory grows again
 * with the next request. */
static void wipe_session_token(struct signer *s)
{
    buf_wipe(&s->canon);
    buf_wipe(&s->form);
    arena_wipe(&s->arena);
}

void signer_free(struct signer *s)
{
    if (!s)
        return;
    signkey_cache_free(s->keys);
    hmac_free(s->hmac);
    digest_free(s->digest);
    wipe_session_token(s);
    buf_free(&s->lower);
    buf_free(&s->names);
    buf_free(&s->string);
    buf_free(&s->auth);
    free(s);
}

void signer_forget(struct signer *s, uint64_t secret_id)
{
    signkey_forget(s->keys, secret_id);
    /* The context may hold the key just forgotten; a failure leaves it keyed with something that
     * is never used again. */
    s->keyed = 0;
    bool ok = hmac_forget(s->hmac);
    (void)ok;
    wipe_session_token(s);
}

void sign_set_begin(struct signer *s)
{
    s->nset = 0;
    buf_reset(&s->lower);
}

bool sign_set_add(struct signer *s, struct str lower_name, struct str value)
{
    if (s->nset == SIGN_SET_MAX)
        return false;
    s->set[s->nset++] = (struct hdr){lower_name, str_trim(value)};
    return true;
}

bool sign_set_sort(struct signer *s)
{
    /* Insertion: sets are small and most arrive nearly sorted. */
    for (size_t i = 1; i < s->nset; i++) {
        struct hdr h = s->set[i];
        size_t j = i;
        for (; j > 0 && str_cmp(s->set[j - 1].name, h.name) > 0; j--)
            s->set[j] = s->set[j - 1];
        if (j > 0 && str_eq(s->set[j - 1].name, h.name))
            return false;
        s->set[j] = h;
    }
    return true;
}

struct str sign_host(struct str host)
{
    if (str_iends(host, STR(":80")))
        host.n -= 3;
    else if (str_iends(host, STR(":443")))
        host.n -= 4;
    return host;
}

enum err sign_canonical(struct signer *s, struct str method, struct str path, struct str query,
                        struct str body_sha256)
{
    /* Everything is sized first and written in one go: this is the hottest loop of signing. */
    size_t names = 0, lines = 0;
    for (size_t i = 0; i < s->nset; i++) {
        names += s->set[i].name.n + 1;
        lines += s->set[i].name.n + s->set[i].value.n + 2;
    }
    size_t total = method.n + path.n + query.n + lines + names + body_sha256.n + 8;
    buf_reset(&s->names);
    buf_reset(&s->canon);
    if (names > SIGN_NAMES_MAX || total > SIGN_CANON_MAX)
        return ERR_HEADERS_TOO_LARGE;
    if (!buf_reserve(&s->names, names + 1) || !buf_reserve(&s->canon, total))
        return ERR_INTERNAL;

    char *name = s->names.p, *at = s->canon.p;
    at = sign_put_line(at, method);
    at = sign_put_line(at, path);
    at = sign_put_line(at, query);
    for (size_t i = 0; i < s->nset; i++) {
        if (i > 0)
            *name++ = ';';
        name = sign_put(name, s->set[i].name);
        at = sign_put(at, s->set[i].name);
        *at++ = ':';
        at = sign_put_line(at, s->set[i].value);
    }
    if (s->nset == 0)
        *at++ = '\n'; /* the signers end the joined lines once more, also when there are none */
    *at++ = '\n';
    s->names.n = (size_t)(name - s->names.p);
    at = sign_put_line(at, buf_str(&s->names));
    at = sign_put(at, body_sha256);
    s->canon.n = (size_t)(at - s->canon.p);
    return ERR_OK;
}

enum err sign_string(struct signer *s, struct str x_date, struct str region, struct str service)
{
    unsigned char hash[DIGEST_LEN];
    char hex[DIGEST_HEX_LEN];
    if (!digest_begin(s->digest) || !digest_update(s->digest, s->canon.p, s->canon.n) ||
        !digest_end(s->digest, hash))
        return ERR_INTERNAL;
    digest_hex(hash, hex);

    size_t total = 64 + SIGN_DATE_LEN + region.n + service.n + DIGEST_HEX_LEN;
    buf_reset(&s->string);
    if (total > SIGN_STRING_MAX)
        return ERR_INVALID_REQUEST;
    if (!buf_reserve(&s->string, total))
        return ERR_INTERNAL;
    char *at = sign_put_line(s->string.p, STR("HMAC-SHA256"));
    at = sign_put_line(at, x_date);
    at = sign_put(at, str_n(x_date.p, SIGNKEY_DAY_LEN));
    *at++ = '/';
    at = sign_put(at, region);
    *at++ = '/';
    at = sign_put(at, service);
    at = sign_put_line(at, STR("/request"));
    at = sign_put(at, str_n(hex, sizeof hex));
    s->string.n = (size_t)(at - s->string.p);
    return ERR_OK;
}

enum err sign_mac(struct signer *s, const struct sign_cred *cred, struct str day, struct str region,
                  struct str service, char hex[DIGEST_HEX_LEN])
{
    const struct signkey_id id = {cred->secret_id, day, region, service};
    unsigned char key[DIGEST_LEN], mac[DIGEST_LEN];
    uint64_t serial = 0;
    /* Deriving keys the context anew; whatever fails, it must not pass for the old one. */
    uint64_t keyed = s->keyed;
    s->keyed = 0;
    bool ok = signkey_get(s->keys, s->hmac, cred->secret_key, &id, key, &serial);
    if (ok)
        ok = serial != 0 && serial == keyed
                 ? hmac_again(s->hmac, buf_str(&s->string), mac)
                 : hmac_sha256(s->hmac, str_n((const char *)key, sizeof key), buf_str(&s->string),
                               mac);
    secret_wipe(key, sizeof key);
    if (!ok)
        return ERR_INTERNAL;
    s->keyed = serial;
    digest_hex(mac, hex);
    return ERR_OK;
}

struct str sign_x_date(struct signer *s, int64_t time_s)
{
    if (s->x_date[0] == '\0' || s->x_date_s != time_s) {
        clock_format_basic(time_s, s->x_date);
        s->x_date_s = time_s;
    }
    return str_n(s->x_date, SIGN_DATE_LEN);
}

bool sign_is_line(struct str s)
{
    return s.n == 0 ||
           (!memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n) && !memchr(s.p, '\0', s.n));
}
