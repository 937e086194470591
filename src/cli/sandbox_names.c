/* SPDX-License-Identifier: Apache-2.0 */
/* Which names the sandbox's certificate is for: every endpoint the resolvers can give, what the
 * configuration adds to them, and this machine. */
#include "cli/sandbox.h"
#include "endpoint/endpoint_table.h"

enum { NAMES_MAX = 256 * 1024 };

/* A name that is listed once, however often it is given. */
static void add(struct buf *b, const char *before, struct str s, const char *after)
{
    char line[ENDPOINT_HOST_MAX + 2];
    if (s.n == 0 || (size_t)s.n + strlen(before) + strlen(after) >= ENDPOINT_HOST_MAX)
        return;
    int n = snprintf(line, sizeof line, "%s%.*s%s\n", before, STR_ARG(s), after);
    for (size_t i = 0; n > 0 && i + (size_t)n <= b->n; i++)
        if ((i == 0 || b->p[i - 1] == '\n') && memcmp(b->p + i, line, (size_t)n) == 0)
            return;
    buf_put(b, line, (size_t)n);
}

/* *.REGION.suffix under all suffixes of both clouds; a mainland region of one of them adds .cn. */
static void add_region(struct buf *b, struct str region)
{
    if (!endpoint_is_label(region))
        return;
    for (size_t t = 0; t < ARRAY_LEN(endpoint_tables); t++) {
        const char *const suffix[] = {endpoint_tables[t].suffix,
                                      endpoint_tables[t].dual_stack_suffix};
        for (size_t i = 0; i < ARRAY_LEN(suffix); i++) {
            char after[ENDPOINT_HOST_MAX];
            add(b, "*.", region, suffix[i]);
            snprintf(after, sizeof after, "%s.cn", suffix[i]);
            if (str_starts(region, STR("cn-")))
                add(b, "*.", region, after);
        }
    }
}

/* The host of "host[:port]". */
static void add_host(struct buf *b, struct str s)
{
    struct uri_host h;
    struct err_detail why;
    if (s.n && uri_host(s, &h, &why) == ERR_OK)
        add(b, "", h.host, "");
}

char *sandbox_names(const struct conf *c)
{
    struct buf b;
    buf_init(&b, NAMES_MAX);
    static const char *const here[] = {"localhost", "*.localhost", "127.0.0.1", "::1"};
    for (size_t i = 0; i < ARRAY_LEN(here); i++)
        add(&b, "", str_of(here[i]), "");
    for (size_t t = 0; t < ARRAY_LEN(endpoint_tables); t++) {
        add(&b, "*", str_of(endpoint_tables[t].suffix), "");
        add(&b, "*", str_of(endpoint_tables[t].dual_stack_suffix), "");
        add(&b, "", str_of(endpoint_tables[t].fallback), "");
    }
    for (size_t t = 0; t < ARRAY_LEN(endpoint_tables); t++) {
        const struct endpoint_table *e = &endpoint_tables[t];
        for (size_t i = 0; i < e->nbootstrap; i++)
            add_region(&b, str_of(e->bootstrap_regions[i]));
        for (size_t i = 0; i < e->nstandard; i++)
            add_region(&b, str_of(e->standard_regions[i]));
    }
    add_region(&b, str_of(c->region));
    for (size_t i = 0; i < c->endpoint.nextra_regions; i++)
        add_region(&b, c->endpoint.extra_regions[i]);
    for (size_t i = 0; i < c->nlisten; i++)
        add_region(&b, str_of(c->listen[i].region));
    add_host(&b, str_of(c->endpoint.host));
    for (size_t i = 0; i < c->endpoint.nservices; i++)
        add_host(&b, c->endpoint.services[i].host);
    buf_putc(&b, '\0');
    if (b.failed) {
        buf_free(&b);
        return NULL;
    }
    return b.p;
}
