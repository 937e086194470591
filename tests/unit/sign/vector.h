/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the signing vectors and turns one into what sign.h takes. Test code only. */
#ifndef SIGFERRY_TESTS_SIGN_VECTOR_H
#define SIGFERRY_TESTS_SIGN_VECTOR_H

#include "sign/sign.h"
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { VECTOR_SIGN_CASES = 58, VECTOR_PRESIGN_CASES = 3 };

static inline json_t *vector_load(const char *name)
{
    const char *top = getenv("srcdir");
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/tests/vectors/%s", top ? top : ".", name);
    ck_assert(n > 0 && (size_t)n < sizeof path);
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    ck_assert_msg(root != NULL, "%s: %s", path, why.text);
    return root;
}

/* A member's string; empty when it is null or absent. */
static inline struct str vector_str(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? str_n(json_string_value(v), json_string_length(v))
                             : (struct str){"", 0};
}

static inline void assert_str(struct str got, struct str want, const char *what, const char *name)
{
    ck_assert_msg(str_eq(got, want), "%s: %s:\n got: %.*s\nwant: %.*s", name, what, STR_ARG(got),
                  STR_ARG(want));
}

struct vector {
    const char *name;
    struct arena arena;
    struct hdr v[64];
    struct hdrs hdrs;
    struct uri_query pairs;
    struct sign_cred cred;
    struct sign_input in;
    struct str body;
    const char *default_type; /* the Content-Type that had to be added, or NULL */
    char hash[DIGEST_HEX_LEN];
};

static inline void vector_hash(struct str body, char hex[DIGEST_HEX_LEN])
{
    unsigned char raw[DIGEST_LEN];
    struct digest *d = digest_new();
    ck_assert_ptr_nonnull(d);
    ck_assert(digest_begin(d) && digest_update(d, body.p, body.n) && digest_end(d, raw));
    digest_hex(raw, hex);
    digest_free(d);
}

/* Path and query go through the proxy's own canonicalisation, as a request would. */
static inline void vector_target(struct vector *x, const json_t *c)
{
    struct buf raw;
    buf_init(&raw, 1 << 20);
    size_t i;
    json_t *pair;
    json_array_foreach(json_object_get(c, "query"), i, pair)
    {
        const json_t *k = json_array_get(pair, 0), *v = json_array_get(pair, 1);
        if (i > 0)
            buf_putc(&raw, '&');
        uri_encode(&raw, str_n(json_string_value(k), json_string_length(k)));
        buf_putc(&raw, '=');
        uri_encode(&raw, str_n(json_string_value(v), json_string_length(v)));
    }
    ck_assert(!raw.failed);
    struct str query = arena_dup(&x->arena, buf_str(&raw));
    buf_free(&raw);
    ck_assert_int_eq(uri_query_parse(query, &x->arena, &x->pairs, NULL), ERR_OK);
    x->in.query = uri_query_write(&x->pairs, &x->arena);
    ck_assert_ptr_nonnull(x->in.query.p);
    ck_assert_int_eq(uri_path(vector_str(c, "path"), &x->arena, &x->in.path, NULL), ERR_OK);
}

static inline void vector_headers(struct vector *x, json_t *c)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(c, "headers"), key, value)
    {
        struct str v = str_n(json_string_value(value), json_string_length(value));
        if (str_ieq(str_of(key), STR("host")))
            x->in.host = v;
        else
            ck_assert(hdrs_add(&x->hdrs, str_of(key), v));
    }
    bool bodyless_get = str_eq(x->in.method, STR("GET")) && x->body.n == 0;
    if (!bodyless_get && !hdrs_find(&x->hdrs, STR("content-type"))) {
        x->default_type = "application/x-www-form-urlencoded; charset=utf-8";
        ck_assert(hdrs_add(&x->hdrs, STR("Content-Type"), str_of(x->default_type)));
    }
}

/* Everything in x borrows from c; secret_id goes into the credential. */
static inline void vector_make(struct vector *x, json_t *c, uint64_t secret_id)
{
    memset(x, 0, sizeof *x);
    x->name = json_string_value(json_object_get(c, "name"));
    arena_init(&x->arena, 4096, 1 << 20);
    x->hdrs = (struct hdrs){x->v, 0, ARRAY_LEN(x->v)};
    x->cred = (struct sign_cred){vector_str(c, "access_key"), vector_str(c, "secret_key"),
                                 vector_str(c, "session_token"), secret_id};
    x->body = vector_str(c, "body");
    vector_hash(x->body, x->hash);
    x->in.method = vector_str(c, "method");
    x->in.hdrs = &x->hdrs;
    x->in.body_sha256 = str_n(x->hash, sizeof x->hash);
    x->in.service = vector_str(c, "service");
    x->in.region = vector_str(c, "region");
    x->in.cred = &x->cred;
    ck_assert(sign_date_parse(vector_str(c, "date"), &x->in.time_s));
    vector_target(x, c);
    vector_headers(x, c);
}

static inline void vector_free(struct vector *x)
{
    arena_free(&x->arena);
}

#endif
