/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's answers as JSON, in the clouds' shape. Bytes that are not UTF-8 are shown as the
 * characters of the same number, so that nothing that arrived is lost; a session token never is
 * shown. */
#include "cli/sandbox.h"

#include "base/secret.h"
#include <jansson.h>

/* jansson's setters take the value whatever happens; one flag gathers the failures. */
struct writer {
    bool failed;
    struct str token; /* the header's, masked wherever it occurs; empty for none */
};

static void set(struct writer *w, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        w->failed = true;
}

static void append(struct writer *w, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        w->failed = true;
}

/* Bytes as a JSON string: as they are when they are UTF-8, else as Latin-1. */
static json_t *text(struct str s)
{
    json_t *t = json_stringn(s.n ? s.p : "", s.n);
    if (t)
        return t;
    struct buf b;
    buf_init(&b, SANDBOX_REPLY_MAX);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80) {
            buf_putc(&b, (char)(0xC0 | c >> 6));
            c = 0x80 | (c & 0x3F);
        }
        buf_putc(&b, (char)c);
    }
    t = b.failed ? NULL : json_stringn(b.p, b.n);
    buf_free(&b);
    return t;
}

/* The first session token in s: the header's, or a presigned query's; p is NULL without one. */
static struct str find_token(const struct writer *w, struct str s)
{
    static const char name[] = "X-Security-Token=";
    enum { NAME = sizeof name - 1 };
    const char *field = w->token.n && s.n ? memmem(s.p, s.n, w->token.p, w->token.n) : NULL;
    const char *query = s.n ? memmem(s.p, s.n, name, NAME) : NULL;
    if (field && (!query || field < query))
        return str_n(field, w->token.n);
    if (!query)
        return str_n(NULL, 0);
    struct str value = str_n(query + NAME, s.n - (size_t)(query + NAME - s.p));
    size_t n = 0;
    while (n < value.n && value.p[n] != '&' && value.p[n] != '\n')
        n++;
    return str_n(value.p, n);
}

/* text(), with session tokens replaced. */
static json_t *masked(const struct writer *w, struct str s)
{
    struct str rest = s, token = find_token(w, s);
    if (!token.p)
        return text(s);
    struct buf b;
    buf_init(&b, SANDBOX_REPLY_MAX);
    for (; token.p; token = find_token(w, rest)) {
        size_t before = (size_t)(token.p - rest.p);
        buf_put(&b, rest.p, before);
        buf_putz(&b, "****");
        rest = str_n(token.p + token.n, rest.n - before - token.n);
    }
    buf_puts(&b, rest);
    json_t *t = b.failed ? NULL : text(buf_str(&b));
    buf_free(&b);
    return t;
}

/* The decoded value of a query parameter; "" when it is absent. */
static json_t *parameter(struct str query, struct str name, struct arena *a)
{
    struct str value;
    while (query.p) {
        struct str pair = str_cut(&query, '&'), key = str_cut(&pair, '=');
        if (str_eq(key, name) && uri_decode(pair, true, a, &value) == ERR_OK)
            return text(value);
    }
    return json_string("");
}

static json_t *fields(struct writer *w, const struct hdrs *h)
{
    json_t *all = json_array();
    for (size_t i = 0; i < h->n; i++) {
        json_t *pair = json_array();
        append(w, pair, text(h->v[i].name));
        append(w, pair,
               str_ieq(h->v[i].name, STR("X-Security-Token")) ? json_string("****")
                                                              : masked(w, h->v[i].value));
        append(w, all, pair);
    }
    return all;
}

static json_t *received(struct writer *w, const struct sandbox_result *r,
                        const struct gate_head *head, const struct sandbox_body *body)
{
    char key[16];
    secret_mask(r->scope.access_key, key);
    json_t *o = json_object();
    set(w, o, "Method", text(head->method));
    set(w, o, "Target", masked(w, head->target));
    set(w, o, "Headers", fields(w, &head->hdrs));
    size_t shown = body->size < SANDBOX_SHOWN_MAX ? (size_t)body->size : SANDBOX_SHOWN_MAX;
    set(w, o, "BodyLen", json_integer((json_int_t)body->size));
    set(w, o, "BodySha256", text(body->sha256));
    set(w, o, "Body", masked(w, str_n(body->shown, shown)));
    set(w, o, "Verified", json_true());
    set(w, o, "Presigned", json_boolean(r->presigned));
    set(w, o, "AccessKey", json_string(key));
    set(w, o, "SignedHeaders", text(r->scope.signed_headers));
    return o;
}

static json_t *error(struct writer *w, const struct sandbox_result *r)
{
    json_t *o = json_object();
    set(w, o, "Code", json_string(r->code));
    set(w, o, "Message", text(str_of(r->why.text)));
    if (r->canonical_request.n)
        set(w, o, "CanonicalRequest", masked(w, r->canonical_request));
    if (r->string_to_sign.n)
        set(w, o, "StringToSign", masked(w, r->string_to_sign));
    return o;
}

static int dump(const char *p, size_t n, void *arg)
{
    return buf_add(arg, p, n) ? 0 : -1;
}

void sandbox_reply(struct buf *out, const struct sandbox_result *r, const struct gate_head *head,
                   const struct gate_verdict *v, const struct sandbox_body *body,
                   struct str request_id)
{
    const struct hdr *token = hdrs_find(&head->hdrs, STR("X-Security-Token"));
    struct writer w = {.token = token ? str_trim(token->value) : STR("")};
    struct arena a;
    arena_init(&a, 1024, 64 * 1024);
    json_t *root = json_object(), *meta = json_object();
    set(&w, meta, "RequestId", text(request_id));
    set(&w, meta, "Action", parameter(v->target.query, STR("Action"), &a));
    set(&w, meta, "Version", parameter(v->target.query, STR("Version"), &a));
    set(&w, meta, "Service", text(r->scope.service));
    set(&w, meta, "Region", text(r->scope.region));
    if (!r->verified)
        set(&w, meta, "Error", error(&w, r));
    set(&w, root, "ResponseMetadata", meta);
    if (r->verified)
        set(&w, root, "Result", received(&w, r, head, body));
    if (w.failed || json_dump_callback(root, dump, out, JSON_INDENT(2)) != 0)
        out->failed = true;
    buf_putc(out, '\n');
    json_decref(root);
    arena_free(&a);
}
