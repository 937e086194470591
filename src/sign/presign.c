/* SPDX-License-Identifier: Apache-2.0 */
/* Signs one request by its query. The canonical query is percent-encoded like any other; what is
 * handed out is form-encoded ('+' for a space) as the official signers write it. */
#include "sign/sign_int.h"

#include <stdlib.h>

/* Parameters a presigned query gains: the eight of sign_is_auth_parameter, and X-Expires. */
enum { ADDED_MAX = 9 };

bool sign_is_auth_parameter(struct str name)
{
    static const char *const names[] = {
        "X-Algorithm", "X-Credential",    "X-Date",          "X-NotSignBody",
        "X-Signature", "X-SignedHeaders", "X-SignedQueries", "X-Security-Token",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_ieq(name, str_of(names[i])))
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Encodes one added value into the arena; {NULL,0} when memory or the cap is short. */
static struct str encode(struct signer *s, struct str value)
{
    buf_reset(&s->form);
    uri_encode(&s->form, value);
    return s->form.failed ? (struct str){NULL, 0} : arena_dup(&s->arena, buf_str(&s->form));
}

static bool add(struct signer *s, struct uri_query *q, const char *name, struct str value)
{
    struct str v = encode(s, value);
    q->v[q->n++] = (struct uri_pair){str_of(name), v};
    return v.p != NULL;
}

enum err sign_query_names(struct signer *s, const struct uri_query *q, struct str *out)
{
    struct str *name = arena_alloc(&s->arena, (q->n + 1) * sizeof *name);
    if (!name)
        return ERR_INTERNAL;
    for (size_t i = 0; i < q->n; i++) {
        enum err e = uri_decode(q->v[i].name, false, &s->arena, &name[i]);
        if (e)
            return e;
        /* The list could not be taken apart again. */
        if (name[i].n && memchr(name[i].p, ';', name[i].n))
            return ERR_INVALID_QUERY;
    }
    name[q->n] = STR("X-SignedQueries");
    qsort(name, q->n + 1, sizeof *name, compare_names);
    buf_reset(&s->canon);
    for (size_t i = 0; i <= q->n; i++) {
        if (i > 0 && str_eq(name[i], name[i - 1]))
            continue;
        if (i > 0)
            buf_putc(&s->canon, ';');
        buf_puts(&s->canon, name[i]);
    }
    *out = s->canon.failed ? (struct str){NULL, 0} : arena_dup(&s->arena, buf_str(&s->canon));
    return out->p ? ERR_OK : ERR_INTERNAL;
}

/* q: the caller's pairs and all that is signed. */
static enum err assemble(struct signer *s, const struct presign_input *in, struct str x_date,
                         struct uri_query *q)
{
    q->n = 0;
    q->v = arena_alloc(&s->arena, (in->query->n + ADDED_MAX) * sizeof *q->v);
    if (!q->v)
        return ERR_INTERNAL;
    for (size_t i = 0; i < in->query->n; i++) {
        if (sign_is_auth_parameter(in->query->v[i].name) ||
            (in->expires_s > 0 && str_ieq(in->query->v[i].name, STR("X-Expires"))))
            return ERR_INVALID_QUERY;
        q->v[q->n++] = in->query->v[i];
    }
    struct str credential =
        arena_printf(&s->arena, "%.*s/%.*s/%.*s/%.*s/request", STR_ARG(in->cred->access_key),
                     SIGNKEY_DAY_LEN, x_date.p, STR_ARG(in->region), STR_ARG(in->service));
    bool ok = credential.p && add(s, q, "X-Date", x_date) && add(s, q, "X-NotSignBody", STR("")) &&
              add(s, q, "X-Credential", credential) &&
              add(s, q, "X-Algorithm", STR("HMAC-SHA256")) &&
              add(s, q, "X-SignedHeaders", in->host.n ? STR("host") : STR(""));
    if (ok && in->expires_s > 0) {
        struct str expires = arena_printf(&s->arena, "%lld", (long long)in->expires_s);
        ok = expires.p && add(s, q, "X-Expires", expires);
    }
    struct str list;
    enum err e = ok ? sign_query_names(s, q, &list) : ERR_INTERNAL;
    if (!e && !add(s, q, "X-SignedQueries", list))
        e = ERR_INTERNAL;
    if (!e)
        uri_query_sort(q);
    return e;
}

/* A canonically encoded string form-encoded: %20 is its only way to hold a space. */
static void put_form(struct buf *b, struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        bool space = s.p[i] == '%' && s.n - i >= 3 && s.p[i + 1] == '2' && s.p[i + 2] == '0';
        buf_putc(b, space ? '+' : s.p[i]);
        i += space ? 3 : 1;
    }
}

static enum err write_form(struct signer *s, struct uri_query *q)
{
    uri_query_sort(q);
    buf_reset(&s->form);
    for (size_t i = 0; i < q->n; i++) {
        if (i > 0)
            buf_putc(&s->form, '&');
        put_form(&s->form, q->v[i].name);
        buf_putc(&s->form, '=');
        put_form(&s->form, q->v[i].value);
    }
    return s->form.failed ? ERR_INVALID_REQUEST : ERR_OK;
}

enum err sign_presign(struct signer *s, const struct presign_input *in, struct presign_output *out)
{
    arena_reset(&s->arena);
    struct str x_date = sign_x_date(s, in->time_s);
    struct uri_query q;
    enum err e = assemble(s, in, x_date, &q);
    if (e)
        return e;
    struct str query = uri_query_write(&q, &s->arena);
    if (!query.p)
        return ERR_INTERNAL;
    sign_set_begin(s);
    if (in->host.n && !sign_set_add(s, STR("host"), sign_host(in->host)))
        return ERR_INTERNAL;
    char hex[DIGEST_HEX_LEN];
    e = sign_canonical(s, in->method, in->path, query, str_of(digest_empty_hex));
    if (!e)
        e = sign_string(s, x_date, in->region, in->service);
    if (!e)
        e = sign_mac(s, in->cred, str_n(x_date.p, SIGNKEY_DAY_LEN), in->region, in->service, hex);
    if (e)
        return e;
    if ((in->cred->session_token.n && !add(s, &q, "X-Security-Token", in->cred->session_token)) ||
        !add(s, &q, "X-Signature", str_n(hex, sizeof hex)))
        return ERR_INTERNAL;
    e = write_form(s, &q);
    if (e)
        return e;
    out->query = buf_str(&s->form);
    out->canonical_request = buf_str(&s->canon);
    out->string_to_sign = buf_str(&s->string);
    return ERR_OK;
}
