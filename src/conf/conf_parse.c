/* SPDX-License-Identifier: Apache-2.0 */
/* The only user of libconfig: turns scanned text into a tree of struct cval. What libconfig takes
 * for a 32-bit integer is the index of one of the document's strings, see conf_scan.c; line numbers
 * go through the document's line map. */
#include "conf/conf_int.h"
#include <libconfig.h>

static struct conf_pos pos_of_line(const struct conf_doc *d, unsigned line)
{
    size_t n = d->lines.n / sizeof(struct conf_pos);
    struct conf_pos pos = {.source = CONF_FILE, .name = ""};

    if (n == 0)
        return pos;
    if (line == 0)
        line = 1;
    if (line > n)
        line = (unsigned)n;
    memcpy(&pos, d->lines.p + (line - 1) * sizeof pos, sizeof pos);
    return pos;
}

static bool string_of(const struct conf_doc *d, const config_setting_t *s, struct cval *v)
{
    struct conf_string e;
    size_t index = (size_t)config_setting_get_int(s);

    if (index >= d->entries.n / sizeof e)
        return false;
    memcpy(&e, d->entries.p + index * sizeof e, sizeof e);
    v->s = str_n(d->strings.n ? d->strings.p + e.at : "", e.n);
    v->pos = e.pos; /* libconfig gives an element the line of what follows it */
    return true;
}

/* NULL when memory is short. Recursion is bounded by CONF_NEST_MAX. */
static struct cval *tree(struct conf_doc *d, const config_setting_t *s)
{
    struct cval *v = arena_alloc(&d->l->tmp, sizeof *v), **tail;

    if (!v)
        return NULL;
    *v = (struct cval){.pos = pos_of_line(d, config_setting_source_line(s))};
    if (config_setting_name(s)) {
        struct str name = arena_dup(&d->l->tmp, str_of(config_setting_name(s)));
        if (!name.p)
            return NULL;
        v->name = name.p;
    }
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_BOOL:
        v->type = CV_BOOL;
        v->i = config_setting_get_bool(s);
        return v;
    case CONFIG_TYPE_INT64:
        v->type = CV_INT;
        v->i = config_setting_get_int64(s);
        return v;
    case CONFIG_TYPE_FLOAT:
        v->type = CV_FLOAT;
        v->f = config_setting_get_float(s);
        return v;
    case CONFIG_TYPE_INT:
        v->type = CV_STRING;
        return string_of(d, s, v) ? v : NULL;
    default:
        break;
    }
    v->type = config_setting_is_group(s) ? CV_GROUP : CV_LIST;
    tail = &v->child;
    v->n = (size_t)config_setting_length(s);
    for (size_t i = 0; i < v->n; i++) {
        *tail = tree(d, config_setting_get_elem(s, (unsigned)i));
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return v;
}

static void explain(struct conf_doc *d, const config_t *c)
{
    struct conf_pos pos = pos_of_line(d, (unsigned)config_error_line(c));
    const char *text = config_error_text(c);

    if (strstr(text, "mismatched"))
        text = "[ ] holds values of one type only; mixed ones need ( )";
    else if (strstr(text, "duplicate"))
        text = "a key is set twice in the same group, this is the second time";
    else if (strstr(text, "syntax"))
        text =
            "syntax error: settings are \"key = value;\", list elements are separated by commas, "
            "groups stand in ( ), not in [ ]";
    conf_error(d->l, &pos, d->fixed_key ? d->key : "", "%s", text);
}

struct cval *conf_parse(struct conf_doc *d)
{
    struct cval *root = NULL;
    config_t c;

    conf_scan_end(d);
    const char *text = buf_cstr(&d->text);
    if (d->broken)
        return NULL;
    config_init(&c);
    if (!text) {
        struct conf_pos pos = pos_of_line(d, 1);
        conf_error(d->l, &pos, "", "out of memory");
    } else if (config_read_string(&c, text) != CONFIG_TRUE) {
        explain(d, &c);
    } else {
        root = tree(d, config_root_setting(&c));
        if (!root) {
            struct conf_pos pos = pos_of_line(d, 1);
            conf_error(d->l, &pos, "", "out of memory");
        }
    }
    config_destroy(&c);
    return root;
}

struct cval *conf_parse_value(struct conf_doc *d, const struct conf_pos *pos, const char *key,
                              struct str text)
{
    (void)snprintf(d->key, sizeof d->key, "%s", key);
    d->fixed_key = true;
    d->last = '=';
    buf_putz(&d->text, "v = ");
    conf_scan(d, *pos, text, 0);
    struct cval *root = conf_parse(d);
    if (!root)
        return NULL;
    if (root->n != 1) {
        conf_error(d->l, pos, key, "there is something after the value");
        return NULL;
    }
    root->child->name = NULL;
    return root->child;
}
