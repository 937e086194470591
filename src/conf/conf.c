/* SPDX-License-Identifier: Apache-2.0 */
/* Life and death of a configuration, look-ups in it, and what a reload can't change. Any thread
 * may take and drop references. */
#include "conf/conf_int.h"

#include "io/fetch.h"
#include <stdlib.h>

#define FIELD(type, base, offset) ((type *)(void *)((char *)(base) + (offset)))

static void drop_rows(const struct conf_row *rows, size_t n, void *base)
{
    for (size_t i = 0; i < n; i++)
        conf_row_drop(&rows[i], base);
}

void conf_row_drop(const struct conf_row *row, void *base)
{
    if (row->type == CT_SECRET) {
        struct secret **field = FIELD(struct secret *, base, row->offset);
        secret_unref(*field);
        *field = NULL;
    } else if (row->type == CT_SECRETS) {
        struct secret **v = *FIELD(struct secret **, base, row->offset);
        size_t *n = FIELD(size_t, base, row->count);
        for (size_t i = 0; i < *n; i++)
            secret_unref(v[i]);
        *n = 0;
    } else if (row->type == CT_LIST || row->type == CT_MAP) {
        char *v = *FIELD(char *, base, row->offset);
        size_t *n = FIELD(size_t, base, row->count);
        for (size_t i = 0; i < *n; i++)
            drop_rows(row->group->rows, row->group->n, v + i * row->group->size);
        *n = 0;
    }
}

struct conf *conf_ref(struct conf *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void conf_unref(struct conf *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    drop_rows(conf_rows, conf_nrows, c);
    arena_wipe(&c->arena); /* proxies' URLs may hold passwords */
    free(c->path);
    free(c);
}

const struct conf_profile *conf_profile_find(const struct conf *c, struct str name)
{
    for (size_t i = 0; i < c->nprofiles; i++)
        if (str_eq(str_of(c->profiles[i].name), name))
            return &c->profiles[i];
    return NULL;
}

const struct conf_policy *conf_policy_find(const struct conf *c, struct str name)
{
    for (size_t i = 0; i < c->npolicies; i++)
        if (str_eq(str_of(c->policies[i].name), name))
            return &c->policies[i];
    return NULL;
}

/* Whether the values of a row differ. None that needs a restart holds a secret, so comparing what
 * would be printed is exact. */
static bool row_differs(const struct conf_row *row, const void *a, const void *b)
{
    struct buf x, y;
    bool differ;

    buf_init(&x, CONF_TEXT_MAX);
    buf_init(&y, CONF_TEXT_MAX);
    conf_print_value(&x, row, a, false);
    conf_print_value(&y, row, b, false);
    differ = x.failed || y.failed || !str_eq(buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
    return differ;
}

/* Whether a key that needs a restart differs between elements that stay: those with the same first
 * key (a listener's address). Others come and go without a restart. */
static bool elements_differ(const struct conf_row *row, const void *a, const void *b)
{
    const struct conf_group *g = row->group;
    const char *va = *FIELD(const char *, a, row->offset),
               *vb = *FIELD(const char *, b, row->offset);
    size_t na = *FIELD(const size_t, a, row->count), nb = *FIELD(const size_t, b, row->count);

    for (size_t i = 0; i < na * nb; i++) {
        const char *x = va + i / nb * g->size, *y = vb + i % nb * g->size;
        for (size_t j = 1; j < g->n && !row_differs(&g->rows[0], x, y); j++)
            if ((g->rows[j].flags & CF_RESTART) && row_differs(&g->rows[j], x, y))
                return true;
    }
    return false;
}

void conf_restart_needed(const struct conf *before, const struct conf *after, struct buf *out)
{
    for (size_t i = 0; i < conf_nrows; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->flags & CF_BARE ? elements_differ(row, before, after)
                                 : (row->flags & CF_RESTART) && row_differs(row, before, after))
            buf_printf(out, "%s\n", row->name);
    }
}

struct fetch_net conf_net(const struct conf *c)
{
    return (struct fetch_net){
        .http_proxy = c->proxy.http_proxy,
        .https_proxy = c->proxy.https_proxy,
        .no_proxy = c->proxy.no_proxy,
        .connect_to = c->connect_to.v,
        .nconnect_to = c->connect_to.n,
        .insecure = !c->tls.verify_ssl,
        .ca_file = c->tls.ca_file,
        .cert_file = c->tls.cert_file,
        .key_file = c->tls.key_file,
        .min_version = c->tls.min_version,
    };
}
