/* SPDX-License-Identifier: Apache-2.0 */
/* Writes values back, as libconfig or as JSON, each with its origin. Secrets are stars, access keys
 * their two ends, passwords in URLs stars; what is written never shows more, in no mode. */
#include "base/clock.h"
#include "conf/conf_int.h"
#include <math.h>

#define FIELD(type, base, offset) (*(type *)(void *)((const char *)(base) + (offset)))

static void put_text(struct buf *b, struct str s, bool json)
{
    bool utf8 = conf_text_utf8(s);

    buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            buf_printf(b, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            buf_printf(b, json ? "\\u%04x" : "\\x%02x", c);
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}

/* Whole numbers keep a fraction, so that they stay floats in libconfig. */
static void put_float(struct buf *b, double x)
{
    if (x == floor(x) && fabs(x) < 1e15)
        buf_printf(b, "%.1f", x);
    else
        buf_printf(b, "%.10g", x);
}

void conf_size_text(struct buf *b, uint64_t n)
{
    static const char units[] = "KMG";
    int i = -1;
    while (n && n % 1024 == 0 && i < 2) {
        n /= 1024;
        i++;
    }
    buf_printf(b, "%llu", (unsigned long long)n);
    if (i >= 0)
        buf_putc(b, units[i]);
}

static void put_url(struct buf *b, struct str url, bool json)
{
    size_t end = url.n, begin = 0;

    if (!conf_url_has_password(url)) {
        put_text(b, url, json);
        return;
    }
    while (end && url.p[end - 1] != '@')
        end--;
    for (size_t i = 0; i + 3 < end; i++)
        if (memcmp(url.p + i, "://", 3) == 0) {
            begin = i + 3;
            break;
        }
    struct buf masked;
    buf_init(&masked, url.n + 16);
    buf_put(&masked, url.p, begin);
    buf_putz(&masked, "****@");
    buf_put(&masked, url.p + end, url.n - end);
    put_text(b, buf_str(&masked), json);
    buf_free(&masked);
}

static void put_string(struct buf *b, const struct conf_row *row, struct str s, bool json)
{
    char masked[16];
    if ((row->flags & CF_MASKED) && s.n) {
        secret_mask(s, masked);
        s = str_of(masked);
    }
    if (row->flags & CF_URL)
        put_url(b, s, json);
    else
        put_text(b, s, json);
}

static void put_names(struct buf *b, const struct conf_row *row, unsigned v, bool flags)
{
    bool first = true;
    for (const struct conf_name *at = row->names; at->name; at++) {
        if (flags ? !((unsigned)at->value & v) : at->value != (int)v)
            continue;
        buf_printf(b, "%s\"%s\"", first ? "" : ", ", at->name);
        first = false;
    }
}

static void put_list(struct buf *b, const struct conf_row *row, const void *base, bool json)
{
    buf_putz(b, "[");
    if (row->type == CT_FLAGS) {
        put_names(b, row, FIELD(const unsigned, base, row->offset), true);
    } else if (row->type == CT_INTS) {
        struct conf_ints v = FIELD(const struct conf_ints, base, row->offset);
        for (size_t i = 0; i < v.n; i++)
            buf_printf(b, "%s%lld", i ? ", " : "", (long long)v.v[i]);
    } else if (row->type == CT_SECRETS) {
        for (size_t i = 0; i < FIELD(const size_t, base, row->count); i++)
            buf_printf(b, "%s\"****\"", i ? ", " : "");
    } else {
        struct conf_strs v = FIELD(const struct conf_strs, base, row->offset);
        for (size_t i = 0; i < v.n; i++) {
            buf_putz(b, i ? ", " : "");
            put_string(b, row, str_of(v.v[i]), json);
        }
    }
    buf_putz(b, "]");
}

/* Whether a value in a group is what it is when nothing is said: left out of the output, which is
 * marked as failed when that can't be told. */
static bool is_default(struct buf *out, const struct conf_row *row, const void *base)
{
    struct buf a, d;
    bool same;

    if (row->flags & CF_REQUIRED)
        return false;
    buf_init(&a, CONF_TEXT_MAX);
    buf_init(&d, CONF_TEXT_MAX);
    conf_print_value(&a, row, base, false);
    conf_print_default(&d, row);
    same = str_eq(buf_str(&a), buf_str(&d));
    out->failed = out->failed || a.failed || d.failed;
    buf_free(&a);
    buf_free(&d);
    return same;
}

static void put_members(struct buf *b, const struct conf_group *g, const void *element, bool json)
{
    bool first = true;

    buf_putz(b, "{");
    for (size_t i = 0; i < g->n; i++) {
        const struct conf_row *row = &g->rows[i];
        if (is_default(b, row, element) && strcmp(row->name, "provider") != 0)
            continue;
        if (json)
            buf_printf(b, "%s\"%s\": ", first ? "" : ", ", row->name);
        else
            buf_printf(b, " %s = ", row->name);
        conf_print_value(b, row, element, json);
        buf_putz(b, json ? "" : ";");
        first = false;
    }
    buf_putz(b, json ? "}" : " }");
}

/* A listener that has nothing but its address is written as just that. */
static bool is_bare(struct buf *out, const struct conf_row *row, const void *element)
{
    for (size_t i = 1; i < row->group->n; i++)
        if (!is_default(out, &row->group->rows[i], element))
            return false;
    return (row->flags & CF_BARE) != 0;
}

static void put_groups(struct buf *b, const struct conf_row *row, const void *base, bool json)
{
    const struct conf_group *g = row->group;
    const char *v = FIELD(const char *const, base, row->offset);
    size_t n = FIELD(const size_t, base, row->count);
    bool map = row->type == CT_MAP, bare = row->flags & CF_BARE;

    for (size_t i = 0; i < n; i++)
        bare = bare && is_bare(b, row, v + i * g->size);
    buf_putz(b, map ? "{" : json || bare ? "[" : "(");
    for (size_t i = 0; i < n; i++) {
        const char *element = v + i * g->size;
        if (map) {
            const char *name = ((const struct conf_profile *)(const void *)element)->name;
            buf_printf(b, json ? "%s\"%s\": " : "%s%s: ", i && json ? ", " : i ? " " : "", name);
        } else {
            buf_putz(b, i ? ", " : "");
        }
        if (is_bare(b, row, element))
            conf_print_value(b, &g->rows[0], element, json);
        else
            put_members(b, g, element, json);
        buf_putz(b, map && !json ? ";" : "");
    }
    buf_putz(b, map ? "}" : json || bare ? "]" : ")");
}

void conf_print_value(struct buf *b, const struct conf_row *row, const void *base, bool json)
{
    switch (row->type) {
    case CT_BOOL:
        buf_putz(b, FIELD(const bool, base, row->offset) ? "true" : "false");
        break;
    case CT_INT:
        buf_printf(b, "%lld", (long long)FIELD(const int64_t, base, row->offset));
        break;
    case CT_SIZE:
        if (json) {
            buf_printf(b, "%llu", (unsigned long long)FIELD(const uint64_t, base, row->offset));
            break;
        }
        buf_putc(b, '"');
        conf_size_text(b, FIELD(const uint64_t, base, row->offset));
        buf_putc(b, '"');
        break;
    case CT_TIME:
        put_float(b, (double)FIELD(const uint64_t, base, row->offset) / (double)NS_PER_SEC);
        break;
    case CT_FLOAT:
        put_float(b, FIELD(const double, base, row->offset));
        break;
    case CT_STRING:
        put_string(b, row, str_of(FIELD(const char *const, base, row->offset)), json);
        break;
    case CT_STRV:
        put_string(b, row, FIELD(const struct str, base, row->offset), json);
        break;
    case CT_ENUM:
        put_names(b, row, FIELD(const unsigned, base, row->offset), false);
        break;
    case CT_SECRET:
        buf_putz(b, FIELD(struct secret *const, base, row->offset) ? "\"****\"" : "\"\"");
        break;
    case CT_STRS:
    case CT_INTS:
    case CT_SECRETS:
    case CT_FLAGS:
        put_list(b, row, base, json);
        break;
    case CT_LIST:
    case CT_MAP:
        put_groups(b, row, base, json);
        break;
    }
}

/* The elements of a default's comma-separated text, in quotes or not. */
static void default_list(struct buf *b, const char *def, bool quoted)
{
    struct str rest = str_of(def);
    buf_putc(b, '[');
    for (bool first = true; *def && rest.p; first = false) {
        struct str e = str_cut(&rest, ',');
        buf_printf(b, quoted ? "%s\"%.*s\"" : "%s%.*s", first ? "" : ", ", STR_ARG(e));
    }
    buf_putc(b, ']');
}

void conf_print_default(struct buf *b, const struct conf_row *row)
{
    switch (row->type) {
    case CT_STRS:
    case CT_SECRETS:
    case CT_FLAGS:
        default_list(b, row->def, true);
        break;
    case CT_INTS:
        default_list(b, row->def, false);
        break;
    case CT_LIST:
        if (*row->def)
            default_list(b, row->def, true);
        else
            buf_putz(b, "()");
        break;
    case CT_MAP:
        buf_putz(b, "{}");
        break;
    case CT_BOOL:
    case CT_INT:
    case CT_TIME:
    case CT_FLOAT:
        buf_putz(b, row->def);
        break;
    default:
        buf_printf(b, "\"%s\"", row->def);
        break;
    }
}

static bool print_line(const struct conf *c, const char *path, const struct conf_row *row,
                       const void *base, FILE *out)
{
    char where[CONF_WHERE_MAX];
    struct buf b;

    buf_init(&b, CONF_TEXT_MAX);
    conf_print_value(&b, row, base, false);
    struct str text = b.failed ? STR("(memory is too short to show it)") : buf_str(&b);
    (void)fprintf(out, "%s = %.*s  # %s\n", path, STR_ARG(text),
                  conf_where(c, path, where, sizeof where));
    bool ok = !b.failed;
    buf_free(&b);
    return ok;
}

/* Each key of a profile may come from elsewhere, so each has its own line. */
static bool print_profile(const struct conf *c, const struct conf_profile *p, FILE *out)
{
    bool ok = true;
    for (size_t i = 0; i < conf_group_profile.n; i++) {
        const struct conf_row *row = &conf_group_profile.rows[i];
        char path[160];
        (void)snprintf(path, sizeof path, "profiles.%s.%s", p->name, row->name);
        if (i == 0 || conf_origin_given(c, path))
            ok = print_line(c, path, row, p, out) && ok;
    }
    return ok;
}

bool conf_print(const struct conf *c, FILE *out)
{
    bool ok = true;
    for (size_t i = 0; i < conf_nrows; i++) {
        if (conf_rows[i].type != CT_MAP)
            ok = print_line(c, conf_rows[i].name, &conf_rows[i], c, out) && ok;
        for (size_t j = 0; conf_rows[i].type == CT_MAP && j < c->nprofiles; j++)
            ok = print_profile(c, &c->profiles[j], out) && ok;
    }
    return ok;
}

void conf_print_json(const struct conf *c, struct buf *out)
{
    char where[CONF_WHERE_MAX];

    buf_putc(out, '{');
    for (size_t i = 0; i < conf_nrows; i++) {
        buf_printf(out, "%s\"%s\": {\"value\": ", i ? ", " : "", conf_rows[i].name);
        conf_print_value(out, &conf_rows[i], c, true);
        buf_putz(out, ", \"origin\": ");
        put_text(out, str_of(conf_where(c, conf_rows[i].name, where, sizeof where)), true);
        buf_putc(out, '}');
    }
    buf_putc(out, '}');
}
