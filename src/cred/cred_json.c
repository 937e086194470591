/* SPDX-License-Identifier: Apache-2.0 */
/* The credential layer's only user of jansson. A parsed document holds keys in plain heap memory
 * for the moment between reading and copying them into secret memory: what jansson frees is wiped.
 * Never puts a piece of the text into an error. */
#include "cred/cred_json.h"
#include "base/secret.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

static void init_once(void)
{
    json_set_alloc_funcs(malloc, secret_free);
}

void cred_json_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_once);
}

/* struct cred_json is never defined: its pointers are jansson's, so that jansson.h stays here. */
static const json_t *value(const struct cred_json *j)
{
    return (const json_t *)(const void *)j;
}

static const struct cred_json *view(const json_t *v)
{
    return json_is_null(v) ? NULL : (const struct cred_json *)(const void *)v;
}

struct cred_json *cred_json_parse(struct str text, struct err_detail *why)
{
    json_error_t e;
    cred_json_init();
    json_t *v = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &e);
    if (!v) {
        /* e.text quotes what it stumbled over, which may be a key */
        err_set(why, ERR_CREDENTIALS, "not valid JSON at line %d, column %d", e.line, e.column);
        secret_wipe(&e, sizeof e);
    }
    return (struct cred_json *)(void *)v;
}

void cred_json_free(struct cred_json *j)
{
    json_decref((json_t *)(void *)j);
}

const struct cred_json *cred_json_get(const struct cred_json *j, const char *name)
{
    return view(json_object_get(value(j), name));
}

const struct cred_json *cred_json_at(const struct cred_json *j, size_t i)
{
    return view(json_array_get(value(j), i));
}

bool cred_json_true(const struct cred_json *j)
{
    return json_is_true(value(j));
}

bool cred_json_is_object(const struct cred_json *j)
{
    return json_is_object(value(j));
}

const char *cred_json_name(const struct cred_json *j, size_t n)
{
    /* jansson's iterators take a mutable object but don't change it */
    union {
        const struct cred_json *c;
        json_t *v;
    } u = {.c = j};
    void *it = json_is_object(value(j)) ? json_object_iter(u.v) : NULL;
    while (it && n--)
        it = json_object_iter_next(u.v, it);
    return it ? json_object_iter_key(it) : NULL;
}

struct str cred_json_text(const struct cred_json *j)
{
    if (!json_is_string(value(j)))
        return (struct str){NULL, 0};
    return str_n(json_string_value(value(j)), json_string_length(value(j)));
}

struct str cred_json_member(const struct cred_json *j, const char *name)
{
    struct str s = cred_json_text(cred_json_get(j, name));
    while (s.n && strchr(" \t\r\n", s.p[0]))
        s.p++, s.n--;
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s.n ? s : (struct str){NULL, 0};
}

bool cred_json_int(const struct cred_json *j, int64_t *out)
{
    if (!json_is_integer(value(j)))
        return false;
    *out = json_integer_value(value(j));
    return true;
}

static void dump(struct buf *b, const json_t *v)
{
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    if (text)
        buf_putz(b, text);
    else
        b->failed = true;
    secret_free(text); /* made by the functions above */
}

void cred_json_dump(struct buf *b, const struct cred_json *j)
{
    dump(b, value(j));
}

void cred_json_put(struct buf *b, struct str s)
{
    cred_json_init();
    json_t *v = json_stringn(s.n ? s.p : "", s.n);
    dump(b, v);
    json_decref(v);
}
