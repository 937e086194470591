/* SPDX-License-Identifier: Apache-2.0 */
/* Signs one request by headers: which headers count, in which order, and the Authorization field.
 * Must never log or return the secret key. */
#include "sign/sign_int.h"

/* Signed of the forwarded headers: Content-Type, Content-Md5 and X-*. */
static bool is_signed(struct str name)
{
    if (name.n < 2)
        return false;
    char c = ascii_lower(name.p[0]);
    if (c == 'x')
        return name.p[1] == '-';
    return c == 'c' && (str_ieq(name, STR("content-type")) || str_ieq(name, STR("content-md5")));
}

/* Lower-cases a name into memory reserved beforehand, so that earlier views stay valid. */
static struct str lower_name(struct buf *b, struct str name)
{
    char *at = b->p + b->n;
    for (size_t i = 0; i < name.n; i++)
        at[i] = ascii_lower(name.p[i]);
    b->n += name.n;
    return str_n(at, name.n);
}

static enum err collect(struct signer *s, const struct sign_input *in, struct str x_date)
{
    size_t bytes = 0;
    for (size_t i = 0; i < in->hdrs->n; i++)
        if (is_signed(in->hdrs->v[i].name))
            bytes += in->hdrs->v[i].name.n;
    sign_set_begin(s);
    if (bytes > SIGN_NAMES_MAX)
        return ERR_HEADERS_TOO_LARGE;
    if (!buf_reserve(&s->lower, bytes))
        return ERR_INTERNAL;
    bool ok = true;
    for (size_t i = 0; ok && i < in->hdrs->n; i++) {
        const struct hdr *h = &in->hdrs->v[i];
        if (is_signed(h->name))
            ok = sign_set_add(s, lower_name(&s->lower, h->name), h->value);
    }
    ok = ok && sign_set_add(s, STR("host"), sign_host(in->host)) &&
         sign_set_add(s, STR("x-content-sha256"), in->body_sha256) &&
         sign_set_add(s, STR("x-date"), x_date);
    if (ok && in->cred->session_token.n)
        ok = sign_set_add(s, STR("x-security-token"), in->cred->session_token);
    /* A name that occurs twice also means that one of the four that signing makes was passed in. */
    return ok && sign_set_sort(s) ? ERR_OK : ERR_INVALID_REQUEST;
}

static enum err write_authorization(struct signer *s, const struct sign_input *in, struct str day,
                                    const char hex[DIGEST_HEX_LEN])
{
    static const char head[] = "HMAC-SHA256 Credential=";
    static const char names[] = "/request, SignedHeaders=", signature[] = ", Signature=";
    size_t total = sizeof head + sizeof names + sizeof signature + in->cred->access_key.n + day.n +
                   in->region.n + in->service.n + s->names.n + DIGEST_HEX_LEN + 3;
    buf_reset(&s->auth);
    if (total > SIGN_AUTH_MAX)
        return ERR_HEADERS_TOO_LARGE;
    if (!buf_reserve(&s->auth, total))
        return ERR_INTERNAL;
    char *at = sign_put(s->auth.p, str_n(head, sizeof head - 1));
    at = sign_put(at, in->cred->access_key);
    *at++ = '/';
    at = sign_put(at, day);
    *at++ = '/';
    at = sign_put(at, in->region);
    *at++ = '/';
    at = sign_put(at, in->service);
    at = sign_put(at, str_n(names, sizeof names - 1));
    at = sign_put(at, buf_str(&s->names));
    at = sign_put(at, str_n(signature, sizeof signature - 1));
    at = sign_put(at, str_n(hex, DIGEST_HEX_LEN));
    s->auth.n = (size_t)(at - s->auth.p);
    return ERR_OK;
}

enum err sign_request(struct signer *s, const struct sign_input *in, struct sign_output *out)
{
    if (in->body_sha256.n != DIGEST_HEX_LEN || !sign_is_line(in->cred->access_key) ||
        !sign_is_line(in->cred->session_token))
        return ERR_INVALID_REQUEST;
    struct str x_date = sign_x_date(s, in->time_s);
    struct str day = str_n(x_date.p, SIGNKEY_DAY_LEN);
    char hex[DIGEST_HEX_LEN];
    enum err e = collect(s, in, x_date);
    if (!e)
        e = sign_canonical(s, in->method, in->path, in->query, in->body_sha256);
    if (!e)
        e = sign_string(s, x_date, in->region, in->service);
    if (!e)
        e = sign_mac(s, in->cred, day, in->region, in->service, hex);
    if (!e)
        e = write_authorization(s, in, day, hex);
    if (e)
        return e;
    memcpy(out->x_date, s->x_date, sizeof out->x_date);
    out->authorization = buf_str(&s->auth);
    out->canonical_request = buf_str(&s->canon);
    out->string_to_sign = buf_str(&s->string);
    out->signed_headers = buf_str(&s->names);
    return ERR_OK;
}
