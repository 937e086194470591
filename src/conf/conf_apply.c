/* SPDX-License-Identifier: Apache-2.0 */
/* The only writer of values into struct conf: type, bounds, names and form of each value are
 * decided here, by its row. Never writes a secret into an error. */
#include "conf/conf_int.h"
#include <math.h>

#define FIELD(type, base, offset) ((type *)(void *)((char *)(base) + (offset)))

static const char *wanted(enum conf_type t)
{
    switch (t) {
    case CT_BOOL:
        return "true or false";
    case CT_INT:
        return "a whole number";
    case CT_SIZE:
        return "a size such as \"256K\" or a number of bytes";
    case CT_TIME:
        return "a number of seconds";
    case CT_FLOAT:
        return "a number";
    case CT_STRING:
    case CT_STRV:
    case CT_ENUM:
    case CT_SECRET:
        return "a string in double quotes";
    case CT_STRS:
    case CT_SECRETS:
    case CT_FLAGS:
        return "a list of strings, [ \"...\", \"...\" ]";
    case CT_INTS:
        return "a list of whole numbers, [ 1, 2 ]";
    case CT_LIST:
        return "a list of groups, ( { ... }, { ... } )";
    case CT_MAP:
        return "a group of named groups, { NAME: { ... }; }";
    }
    return "";
}

static const char *wanted_groups(const struct conf_row *row)
{
    if (row->flags & CF_BARE)
        return "a list of strings, [ \"...\" ], or of groups, ( { ... }, { ... } )";
    return wanted(row->type);
}

static bool holds_secret(const struct conf_row *row)
{
    return row->type == CT_SECRET || row->type == CT_SECRETS || (row->flags & (CF_URL | CF_MASKED));
}

static bool wrong_type(struct conf_loader *l, const struct conf_row *row, const char *path,
                       const struct cval *v, const char *want)
{
    char q[CONF_QUOTE_MAX];
    const char *got = "a list";

    if (v->type == CV_GROUP)
        got = "a group { ... }";
    else if (v->type == CV_BOOL)
        got = v->i ? "true" : "false";
    else if (v->type == CV_STRING)
        got = holds_secret(row) ? "a string" : conf_quote(v->s, q);
    else if (v->type != CV_LIST)
        got = "a number";
    conf_error(l, &v->pos, path, "must be %s, not %s", want, got);
    return false;
}

static void number_text(const struct conf_row *row, double x, char out[32])
{
    struct buf b;
    if (row->type != CT_SIZE || x < 0) {
        (void)snprintf(out, 32, "%.12g", x);
        return;
    }
    buf_init(&b, 64);
    conf_size_text(&b, (uint64_t)x);
    (void)snprintf(out, 32, "%.*s", STR_ARG(buf_str(&b)));
    buf_free(&b);
}

static bool in_range(struct conf_loader *l, const struct conf_row *row, const char *path,
                     const struct conf_pos *pos, double x)
{
    char lo[32], hi[32], got[32];

    if (!(row->min < row->max) || (x >= row->min && x <= row->max))
        return true;
    number_text(row, row->min, lo);
    number_text(row, row->max, hi);
    number_text(row, x, got);
    conf_error(l, pos, path, "must be between %s and %s, not %s", lo, hi, got);
    return false;
}

static bool apply_number(struct conf_loader *l, const struct conf_row *row, void *base,
                         const char *path, const struct cval *v)
{
    bool whole = row->type == CT_INT;
    double x = v->type == CV_INT ? (double)v->i : v->f;

    if (v->type != CV_INT && (whole || v->type != CV_FLOAT || !isfinite(v->f)))
        return wrong_type(l, row, path, v, wanted(row->type));
    if (!in_range(l, row, path, &v->pos, x))
        return false;
    if (whole)
        *FIELD(int64_t, base, row->offset) = v->i;
    else if (row->type == CT_FLOAT)
        *FIELD(double, base, row->offset) = x;
    else
        *FIELD(uint64_t, base, row->offset) = (uint64_t)llround(x * 1e9);
    return true;
}

static bool apply_size(struct conf_loader *l, const struct conf_row *row, void *base,
                       const char *path, const struct cval *v)
{
    uint64_t n = 0;
    if (v->type == CV_INT)
        n = (uint64_t)v->i;
    else if (v->type != CV_STRING || !conf_text_size(v->s, &n))
        return wrong_type(l, row, path, v, wanted(row->type));
    if (!in_range(l, row, path, &v->pos, v->type == CV_INT ? (double)v->i : (double)n))
        return false;
    *FIELD(uint64_t, base, row->offset) = n;
    return true;
}

static const struct conf_name *name_find(const struct conf_row *row, struct str s)
{
    for (const struct conf_name *at = row->names; at->name; at++)
        if (str_eq(str_of(at->name), s))
            return at;
    return NULL;
}

/* One of names[]; NULL after an error. */
static const struct conf_name *apply_name(struct conf_loader *l, const struct conf_row *row,
                                          const char *path, const struct cval *v)
{
    char q[CONF_QUOTE_MAX], hint[CONF_HINT_MAX], all[256];
    const struct conf_name *found;
    size_t n = 0;

    if (v->type != CV_STRING) {
        (void)wrong_type(l, row, path, v, wanted(CT_STRING));
        return NULL;
    }
    found = name_find(row, v->s);
    if (found)
        return found;
    all[0] = '\0';
    for (const struct conf_name *at = row->names; at->name && n < sizeof all; at++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s\"%s\"", n ? ", " : "", at->name);
    conf_error(l, &v->pos, path, "must be one of %s, not %s%s", all, conf_quote(v->s, q),
               conf_name_hint(row->names, v->s, hint));
    return NULL;
}

static bool has_control(struct str s, bool text)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 || c == 0x7f) && !(text && (c == '\t' || c == '\n' || c == '\r')))
            return true;
    }
    return false;
}

/* Whether a string may stand: its form, its names, its secrecy. */
static bool string_ok(struct conf_loader *l, const struct conf_row *row, const char *path,
                      const struct cval *v)
{
    char q[CONF_QUOTE_MAX];
    struct buf why;
    bool ok;

    if (v->type != CV_STRING)
        return wrong_type(l, row, path, v, wanted(CT_STRING));
    if (has_control(v->s, (row->flags & CF_TEXT) != 0)) {
        conf_error(l, &v->pos, path, "holds a control character");
        return false;
    }
    if (!conf_text_utf8(v->s)) {
        conf_error(l, &v->pos, path, "is not valid UTF-8");
        return false;
    }
    if (row->names)
        return apply_name(l, row, path, v) != NULL;
    if (!row->check)
        return true;
    buf_init(&why, 512);
    ok = row->check(v->s, &why);
    if (!ok)
        conf_error(l, &v->pos, path, "%s%s%.*s",
                   holds_secret(row) ? "the value" : conf_quote(v->s, q), why.n ? " " : "",
                   STR_ARG(buf_str(&why)));
    buf_free(&why);
    return ok;
}

/* Notes a secret that came from pos; false when it may not come from there. */
static bool secret_from(struct conf_loader *l, const struct conf_pos *pos, const char *path)
{
    if (pos->source == CONF_FLAG) {
        conf_error(l, pos, path,
                   "a secret may not stand on the command line, where other users can read it; put "
                   "it into a file or the environment");
        return false;
    }
    if (pos->file)
        pos->file->secret = true;
    l->secret_seen = true;
    return true;
}

static bool apply_string(struct conf_loader *l, const struct conf_row *row, void *base,
                         const char *path, const struct cval *v)
{
    if (!string_ok(l, row, path, v))
        return false;
    if ((row->flags & CF_URL) && conf_url_has_password(v->s) && !secret_from(l, &v->pos, path))
        return false;
    struct str s = arena_dup(&l->conf->arena, v->s);
    if (!s.p) {
        conf_error(l, &v->pos, path, "out of memory");
        return false;
    }
    if (row->type == CT_STRV)
        *FIELD(struct str, base, row->offset) = s;
    else
        *FIELD(const char *, base, row->offset) = s.p;
    return true;
}

/* A secret of its own for v; NULL after an error. */
static struct secret *make_secret(struct conf_loader *l, const struct conf_row *row,
                                  const char *path, const struct cval *v)
{
    if (!string_ok(l, row, path, v) || !secret_from(l, &v->pos, path))
        return NULL;
    struct secret *s = secret_new(v->s);
    if (!s)
        conf_error(l, &v->pos, path, "no memory for a secret");
    return s;
}

static bool apply_secret(struct conf_loader *l, const struct conf_row *row, void *base,
                         const char *path, const struct cval *v)
{
    struct secret **field = FIELD(struct secret *, base, row->offset);
    struct secret *s = NULL;

    if (v->type != CV_STRING || v->s.n) {
        s = make_secret(l, row, path, v);
        if (!s)
            return false;
    }
    secret_unref(*field);
    *field = s;
    return true;
}

/* Stores one element of a list at index i of the row's array. */
static bool apply_element(struct conf_loader *l, const struct conf_row *row, void *base, size_t i,
                          const char *path, const struct cval *v)
{
    if (v->type == CV_STRING && v->s.n == 0) {
        conf_error(l, &v->pos, path, "an element is empty");
        return false;
    }
    if (row->type == CT_INTS) {
        if (v->type != CV_INT)
            return wrong_type(l, row, path, v, wanted(CT_INT));
        if (!in_range(l, row, path, &v->pos, (double)v->i))
            return false;
        FIELD(struct conf_ints, base, row->offset)->v[i] = v->i;
        return true;
    }
    if (row->type == CT_SECRETS) {
        struct secret *s = make_secret(l, row, path, v);
        (*FIELD(struct secret **, base, row->offset))[i] = s;
        return s != NULL;
    }
    if (!string_ok(l, row, path, v))
        return false;
    struct str s = arena_dup(&l->conf->arena, v->s);
    FIELD(struct conf_strs, base, row->offset)->v[i] = s.p ? s.p : "";
    return s.p != NULL;
}

static bool apply_array(struct conf_loader *l, const struct conf_row *row, void *base,
                        const char *path, const struct cval *v)
{
    /* Every element is a word or a pointer. */
    size_t size = row->type == CT_INTS ? sizeof(int64_t) : sizeof(void *);
    void *array = NULL;
    bool ok = true;

    if (v->type != CV_LIST)
        return wrong_type(l, row, path, v, wanted(row->type));
    if (v->n) {
        array = arena_alloc(&l->conf->arena, v->n * size);
        if (!array) {
            conf_error(l, &v->pos, path, "out of memory");
            return false;
        }
        memset(array, 0, v->n * size);
    }
    conf_row_drop(row, base);
    if (row->type == CT_INTS) {
        *FIELD(struct conf_ints, base, row->offset) = (struct conf_ints){array, v->n};
    } else if (row->type == CT_SECRETS) {
        *FIELD(struct secret **, base, row->offset) = array;
        *FIELD(size_t, base, row->count) = v->n;
    } else {
        *FIELD(struct conf_strs, base, row->offset) = (struct conf_strs){array, v->n};
    }
    size_t i = 0;
    for (const struct cval *e = v->child; e; e = e->next)
        ok = apply_element(l, row, base, i++, path, e) && ok;
    return ok;
}

static bool apply_flags(struct conf_loader *l, const struct conf_row *row, void *base,
                        const char *path, const struct cval *v)
{
    unsigned bits = 0;
    bool ok = true;

    if (v->type != CV_LIST)
        return wrong_type(l, row, path, v, wanted(row->type));
    for (const struct cval *e = v->child; e; e = e->next) {
        const struct conf_name *name = apply_name(l, row, path, e);
        ok = ok && name;
        bits |= name ? (unsigned)name->value : 0;
    }
    *FIELD(unsigned, base, row->offset) = bits;
    return ok;
}

static bool apply_enum(struct conf_loader *l, const struct conf_row *row, void *base,
                       const char *path, const struct cval *v)
{
    const struct conf_name *name = apply_name(l, row, path, v);
    if (name)
        memcpy((char *)base + row->offset, &name->value, sizeof name->value);
    return name != NULL;
}

void conf_apply(struct conf_loader *l, const struct conf_row *row, void *base, const char *path,
                const struct cval *v)
{
    bool ok = true;

    switch (row->type) {
    case CT_BOOL:
        ok = v->type == CV_BOOL || wrong_type(l, row, path, v, wanted(row->type));
        if (ok)
            *FIELD(bool, base, row->offset) = v->i != 0;
        break;
    case CT_INT:
    case CT_TIME:
    case CT_FLOAT:
        ok = apply_number(l, row, base, path, v);
        break;
    case CT_SIZE:
        ok = apply_size(l, row, base, path, v);
        break;
    case CT_STRING:
    case CT_STRV:
        ok = apply_string(l, row, base, path, v);
        break;
    case CT_ENUM:
        ok = apply_enum(l, row, base, path, v);
        break;
    case CT_SECRET:
        ok = apply_secret(l, row, base, path, v);
        break;
    case CT_STRS:
    case CT_INTS:
    case CT_SECRETS:
        ok = apply_array(l, row, base, path, v);
        break;
    case CT_FLAGS:
        ok = apply_flags(l, row, base, path, v);
        break;
    case CT_LIST:
    case CT_MAP:
        ok = v->type == (row->type == CT_MAP ? CV_GROUP : CV_LIST) ||
             wrong_type(l, row, path, v, wanted_groups(row));
        if (ok) {
            conf_row_drop(row, base);
            conf_origin_clear(l, path);
            conf_apply_groups(l, row, base, path, v);
        }
        break;
    }
    if (ok)
        conf_origin_set(l, path, &v->pos);
}

void conf_apply_text(struct conf_loader *l, const struct conf_row *row, void *base,
                     const char *path, struct str text, const struct conf_pos *pos)
{
    struct conf_doc d;
    conf_doc_init(&d, l);
    struct cval *v = conf_text_value(&d, row, path, text, pos);
    if (v)
        conf_apply(l, row, base, path, v);
    conf_doc_free(&d);
}

void conf_apply_default(struct conf_loader *l, const struct conf_row *row, void *base,
                        const char *path)
{
    struct conf_pos pos = {.source = CONF_DEFAULT, .name = ""};
    conf_apply_text(l, row, base, path, str_of(row->def), &pos);
}
