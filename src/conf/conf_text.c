/* SPDX-License-Identifier: Apache-2.0 */
/* Values as people type them in the environment, after --set, and in the table's defaults: a bare
 * word or number, list elements separated by commas; a list that starts like libconfig's is read
 * as libconfig. Only shapes are decided here; bounds and names are conf_apply.c's. */
#include "conf/conf_int.h"
#include <math.h>
#include <stdlib.h>

static bool text_int(struct str s, int64_t *out)
{
    uint64_t v;
    bool negative = s.n && s.p[0] == '-';
    if (negative)
        s.p++, s.n--;
    if (!str_u64(s, INT64_MAX, &v))
        return false;
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

bool conf_text_size(struct str s, uint64_t *out)
{
    static const char units[] = "kmg";
    unsigned shift = 0;
    uint64_t v;

    if (s.n) {
        char last = ascii_lower(s.p[s.n - 1]);
        const char *at = last ? strchr(units, last) : NULL;
        if (at) {
            shift = 10 * (unsigned)(at - units + 1);
            s.n--;
        }
    }
    if (!str_u64(s, UINT64_MAX >> shift, &v))
        return false;
    *out = v << shift;
    return true;
}

/* [-+] digits [. digits] [e [-+] digits], with a digit somewhere before the exponent. */
bool conf_text_float(struct str s, double *out)
{
    char text[64], *end;
    size_t i = 0, digits = 0;

    if (s.n == 0 || s.n >= sizeof text)
        return false;
    if (s.p[i] == '-' || s.p[i] == '+')
        i++;
    for (bool point = false; i < s.n; i++) {
        if (s.p[i] == '.' && !point)
            point = true;
        else if (s.p[i] >= '0' && s.p[i] <= '9')
            digits++;
        else
            break;
    }
    if (digits == 0 || (i < s.n && ascii_lower(s.p[i]) != 'e'))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

/* How many bytes the character at s takes; 0 when it is none (RFC 3629). */
static size_t utf8_length(struct str s)
{
    unsigned char c = (unsigned char)s.p[0], next = s.n > 1 ? (unsigned char)s.p[1] : 0;
    size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;

    if (c >= 0x80 && (c < 0xc2 || c > 0xf4))
        return 0;
    if (n > s.n || (c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
        (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f))
        return 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool conf_text_utf8(struct str s)
{
    while (s.n) {
        size_t n = utf8_length(s);
        if (n == 0)
            return false;
        s.p += n;
        s.n -= n;
    }
    return true;
}

static bool text_bool(struct str s, int64_t *out)
{
    static const struct {
        const char *word;
        int64_t value;
    } words[] = {{"true", 1},  {"yes", 1}, {"on", 1},  {"1", 1},
                 {"false", 0}, {"no", 0},  {"off", 0}, {"0", 0}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_ieq(s, str_of(words[i].word))) {
            *out = words[i].value;
            return true;
        }
    return false;
}

static bool is_list(enum conf_type t)
{
    return t == CT_STRS || t == CT_INTS || t == CT_SECRETS || t == CT_FLAGS || t == CT_LIST ||
           t == CT_MAP;
}

/* Whether a list's text is libconfig. An address such as [::1]:8750 is not: in libconfig a string
 * list's bracket is followed by a quote or by its end. */
static bool is_libconfig(const struct conf_row *row, struct str s)
{
    enum conf_type t = row->type;
    size_t i = 1;
    if (!is_list(t) || s.n == 0 || !memchr("([{", s.p[0], 3))
        return false;
    if (s.p[0] == '{' || t == CT_INTS || (t == CT_LIST && !(row->flags & CF_BARE)))
        return true;
    while (i < s.n && memchr(" \t\r\n", s.p[i], 4))
        i++;
    return i < s.n && memchr("\"{[()]#/", s.p[i], 8);
}

static struct cval *fresh(struct conf_doc *d, enum cval_type type, const struct conf_pos *pos)
{
    struct cval *v = arena_alloc(&d->l->tmp, sizeof *v);
    if (v)
        *v = (struct cval){.type = type, .pos = *pos};
    else
        conf_error(d->l, pos, "", "out of memory");
    return v;
}

/* A single value; one whose text has the wrong shape stays a string, which conf_apply refuses. */
static struct cval *scalar(struct conf_doc *d, enum conf_type t, struct str text,
                           const struct conf_pos *pos)
{
    struct cval *v = fresh(d, CV_STRING, pos);
    if (!v)
        return NULL;
    v->s = text;
    if (t == CT_BOOL && text_bool(text, &v->i))
        v->type = CV_BOOL;
    else if ((t == CT_INT || t == CT_INTS) && text_int(text, &v->i))
        v->type = CV_INT;
    else if ((t == CT_FLOAT || t == CT_TIME) && conf_text_float(text, &v->f))
        v->type = CV_FLOAT;
    return v;
}

static struct cval *split(struct conf_doc *d, enum conf_type t, struct str text,
                          const struct conf_pos *pos)
{
    struct cval *list = fresh(d, CV_LIST, pos);
    if (!list)
        return NULL;
    struct cval **tail = &list->child;
    if (str_trim(text).n == 0)
        return list;
    while (text.p) {
        struct cval *v = scalar(d, t, str_trim(str_cut(&text, ',')), pos);
        if (!v)
            return NULL;
        *tail = v;
        tail = &v->next;
        list->n++;
    }
    return list;
}

struct cval *conf_text_value(struct conf_doc *d, const struct conf_row *row, const char *path,
                             struct str text, const struct conf_pos *pos)
{
    if (is_libconfig(row, str_trim(text)))
        return conf_parse_value(d, pos, path, str_trim(text));
    if (row->type == CT_MAP || (row->type == CT_LIST && !(row->flags & CF_BARE))) {
        if (str_trim(text).n == 0)
            return fresh(d, row->type == CT_MAP ? CV_GROUP : CV_LIST, pos);
        conf_error(d->l, pos, path, "needs libconfig text such as %s", row->group->example);
        return NULL;
    }
    if (is_list(row->type))
        return split(d, row->type, text, pos);
    return scalar(d, row->type, text, pos);
}
