/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rules that turn service and region into a host and back. Pure: no I/O, no environment,
 * no state; whatever may be configured comes in as an argument. */
#include "endpoint/endpoint.h"

#include "base/nearest.h"
#include "endpoint/endpoint_table.h"
#include <assert.h>
#include <stdio.h>

enum { LABEL_MAX = 64 };

/* What is known of the service asked for. */
struct service {
    const struct endpoint_row *row;        /* NULL: in neither table */
    const struct endpoint_service *custom; /* of the configuration, or NULL */
};

bool endpoint_is_label(struct str s)
{
    if (s.n < 1 || s.n > LABEL_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* A service as it stands in a host; out holds s.n bytes. */
static struct str to_label(struct str s, char out[LABEL_MAX])
{
    assert(s.n <= LABEL_MAX);
    for (size_t i = 0; i < s.n; i++)
        out[i] = s.p[i] == '_' ? '-' : ascii_lower(s.p[i]);
    return str_n(out, s.n);
}

static const struct endpoint_row *find_label(const struct endpoint_table *t, struct str label)
{
    size_t low = 0, high = t->nrows;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = str_cmp(label, str_of(t->rows[mid].label));
        if (order == 0)
            return &t->rows[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* The row of a service's code in any case; "rds-mysql" is a label and not the code rds_mysql. */
static const struct endpoint_row *find_code(const struct endpoint_table *t, struct str name)
{
    char label[LABEL_MAX];
    if (!endpoint_is_label(name))
        return NULL;
    const struct endpoint_row *row = find_label(t, to_label(name, label));
    return row && str_ieq(str_of(row->code), name) ? row : NULL;
}

struct str endpoint_service_code(enum endpoint_cloud cloud, struct str name)
{
    const struct endpoint_row *row = find_code(&endpoint_tables[cloud], name);
    return row ? str_of(row->code) : (struct str){NULL, 0};
}

static bool among(const char *const *names, size_t n, struct str s)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, str_of(names[i])))
            return true;
    return false;
}

bool endpoint_region_known(enum endpoint_cloud cloud, struct str region)
{
    const struct endpoint_table *t = &endpoint_tables[cloud];
    return among(t->bootstrap_regions, t->nbootstrap, region) ||
           among(t->standard_regions, t->nstandard, region);
}

static bool is_extra_region(const struct endpoint_query *q)
{
    for (size_t i = 0; i < q->nextra; i++)
        if (str_eq(q->region, q->extra_regions[i]))
            return true;
    return false;
}

static size_t run_of(struct str s, size_t at, char first, char last)
{
    size_t n = 0;
    while (at + n < s.n && s.p[at + n] >= first && s.p[at + n] <= last)
        n++;
    return n;
}

/* The data's region pattern: LL-WORD, LL-WORD-WORD, and with a known continent
 * LL-WORD-DIGITS[-finance|-exclusive|-local|-inner]. gen_table.py refuses any other pattern. */
static bool fits_region_pattern(struct str s)
{
    static const char *const continents[] = {"cn", "ap", "eu", "na", "sa", "me", "af"};
    static const char *const kinds[] = {"finance", "exclusive", "local", "inner"};
    size_t word = run_of(s, 3, 'a', 'z'), at = 3 + word;
    if (run_of(s, 0, 'a', 'z') != 2 || s.n < 4 || s.p[2] != '-' || word == 0)
        return false;
    if (at == s.n)
        return true;
    if (s.p[at++] != '-')
        return false;
    word = run_of(s, at, 'a', 'z');
    if (word)
        return at + word == s.n;
    size_t digits = run_of(s, at, '0', '9');
    if (!digits || !among(continents, ARRAY_LEN(continents), str_n(s.p, 2)))
        return false;
    at += digits;
    if (at == s.n)
        return true;
    return s.p[at] == '-' && among(kinds, ARRAY_LEN(kinds), str_n(s.p + at + 1, s.n - at - 1));
}

static const struct endpoint_service *find_custom(const struct endpoint_query *q)
{
    for (size_t i = 0; i < q->nservices; i++)
        if (str_ieq(q->services[i].service, q->service))
            return &q->services[i];
    return NULL;
}

static enum err too_long(struct err_detail *why)
{
    return err_set(why, ERR_INVALID_REQUEST, "the endpoint's host would be longer than %d bytes",
                   ENDPOINT_HOST_MAX - 1);
}

static enum err put_host(struct str host, char out[ENDPOINT_HOST_MAX], struct err_detail *why)
{
    if (host.n >= ENDPOINT_HOST_MAX)
        return too_long(why);
    memcpy(out, host.p, host.n);
    out[host.n] = '\0';
    return ERR_OK;
}

/* BytePlus serves the mainland's regions under .cn as well, and only there. */
static bool wants_cn(enum endpoint_cloud cloud, struct str region)
{
    return cloud == CLOUD_BYTEPLUS && str_starts(region, STR("cn-")) &&
           !str_eq(region, STR("cn-hongkong"));
}

static enum err put_service_host(const struct endpoint_query *q, bool global,
                                 char host[ENDPOINT_HOST_MAX], struct err_detail *why)
{
    const struct endpoint_table *t = &endpoint_tables[q->cloud];
    char label[LABEL_MAX];
    struct str s = to_label(q->service, label);
    const char *suffix = q->dual_stack ? t->dual_stack_suffix : t->suffix;
    int n = global
                ? snprintf(host, ENDPOINT_HOST_MAX, "%.*s%s", STR_ARG(s), suffix)
                : snprintf(host, ENDPOINT_HOST_MAX, "%.*s.%.*s%s%s", STR_ARG(s), STR_ARG(q->region),
                           suffix, wants_cn(q->cloud, q->region) ? ".cn" : "");
    return n > 0 && n < ENDPOINT_HOST_MAX ? ERR_OK : too_long(why);
}

static enum err resolve_default(const struct endpoint_query *q, const struct service *s,
                                char host[ENDPOINT_HOST_MAX], struct err_detail *why)
{
    const struct endpoint_table *t = &endpoint_tables[q->cloud];
    bool in_table = s->row && (s->row->flags & IN_DEFAULT);
    bool known_region = among(t->bootstrap_regions, t->nbootstrap, q->region) || is_extra_region(q);
    if (!known_region || (!in_table && !s->custom)) {
        const char *own = s->row ? s->row->fallback : NULL;
        return put_host(str_of(own ? own : t->fallback), host, why);
    }
    bool global = s->custom ? s->custom->global : (s->row->flags & DEFAULT_GLOBAL) != 0;
    return put_service_host(q, global, host, why);
}

static enum err unknown_region(const struct endpoint_query *q, struct err_detail *why)
{
    const struct endpoint_table *t = &endpoint_tables[q->cloud];
    struct nearest near;
    nearest_init(&near, q->region);
    for (size_t i = 0; i < t->nstandard; i++)
        nearest_offer(&near, str_of(t->standard_regions[i]));
    if (near.best.p)
        return err_set(
            why, ERR_INVALID_REGION,
            "the standard resolver does not know the region '%.*s'; did you mean '%.*s'?",
            STR_ARG(q->region), STR_ARG(near.best));
    return err_set(why, ERR_INVALID_REGION,
                   "the standard resolver does not know the region '%.*s'; give one like "
                   "'cn-beijing' or 'ap-southeast-1', or use endpoint.resolver = \"default\"",
                   STR_ARG(q->region));
}

static enum err unknown_service(const struct endpoint_query *q, struct err_detail *why)
{
    const struct endpoint_table *t = &endpoint_tables[q->cloud];
    struct nearest near;
    nearest_init(&near, q->service);
    for (size_t i = 0; i < t->nrows; i++)
        if (t->rows[i].flags & IN_STANDARD)
            nearest_offer(&near, str_of(t->rows[i].code));
    for (size_t i = 0; i < q->nservices; i++)
        nearest_offer(&near, q->services[i].service);
    if (near.best.p)
        return err_set(
            why, ERR_SERVICE_NOT_FOUND,
            "the standard resolver does not know the service '%.*s'; did you mean '%.*s'?",
            STR_ARG(q->service), STR_ARG(near.best));
    return err_set(why, ERR_SERVICE_NOT_FOUND,
                   "the standard resolver does not know the service '%.*s'; name it under "
                   "endpoint.services, or use endpoint.resolver = \"default\"",
                   STR_ARG(q->service));
}

static enum err resolve_standard(const struct endpoint_query *q, const struct service *s,
                                 char host[ENDPOINT_HOST_MAX], struct err_detail *why)
{
    const struct endpoint_table *t = &endpoint_tables[q->cloud];
    if (!among(t->standard_regions, t->nstandard, q->region) && !fits_region_pattern(q->region))
        return unknown_region(q, why);
    bool in_table = s->row && (s->row->flags & IN_STANDARD);
    if (!in_table && !s->custom)
        return unknown_service(q, why);
    bool global = s->custom ? s->custom->global : (s->row->flags & STANDARD_GLOBAL) != 0;
    return put_service_host(q, global, host, why);
}

enum err endpoint_resolve(const struct endpoint_query *q, char host[ENDPOINT_HOST_MAX],
                          struct err_detail *why)
{
    struct service s = {find_code(&endpoint_tables[q->cloud], q->service), find_custom(q)};
    if (s.custom && s.custom->host.n)
        return put_host(s.custom->host, host, why);
    if (!endpoint_is_label(q->service))
        return err_set(why, ERR_SERVICE_NOT_FOUND,
                       "a service name has 1 to 64 letters, digits, '-' or '_', '%.*s' has not",
                       (int)(q->service.n < 80 ? q->service.n : 80), q->service.p);
    if (q->region.n && !endpoint_is_label(q->region))
        return err_set(why, ERR_INVALID_REGION,
                       "a region name has 1 to 64 letters, digits, '-' or '_', '%.*s' has not",
                       (int)(q->region.n < 80 ? q->region.n : 80), q->region.p);
    return q->resolver == RESOLVER_STANDARD ? resolve_standard(q, &s, host, why)
                                            : resolve_default(q, &s, host, why);
}

/* Takes the suffix off *s; false when it is not there or nothing is before it. */
static bool strip(struct str *s, struct str suffix)
{
    if (s->n <= suffix.n || !str_iends(*s, suffix))
        return false;
    s->n -= suffix.n;
    return true;
}

void endpoint_reverse(enum endpoint_cloud cloud, struct str host, char scratch[ENDPOINT_HOST_MAX],
                      struct endpoint_reverse *out)
{
    const struct endpoint_table *t = &endpoint_tables[cloud];
    *out = (struct endpoint_reverse){.known = false};
    if (host.n >= ENDPOINT_HOST_MAX)
        return;
    for (size_t i = 0; i < host.n; i++)
        scratch[i] = ascii_lower(host.p[i]);
    scratch[host.n] = '\0';

    struct str rest = str_n(scratch, host.n);
    bool cn = cloud == CLOUD_BYTEPLUS && strip(&rest, STR(".cn"));
    bool dual_stack = strip(&rest, str_of(t->dual_stack_suffix));
    if (!dual_stack && !strip(&rest, str_of(t->suffix)))
        return;
    struct str label = str_cut(&rest, '.'), region = rest;
    if (!endpoint_is_label(label) || (region.p && !endpoint_is_label(region)) ||
        (cn && !wants_cn(cloud, region)))
        return;
    out->known = true;
    out->dual_stack = dual_stack;
    if (str_eq(label, STR("open")))
        return;
    const struct endpoint_row *row = find_label(t, label);
    out->service = row ? str_of(row->code) : label;
    out->region = region;
}
