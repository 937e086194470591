/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how errors and origins are written. A secret never gets here: callers name the key, not the
 * value, where the value may be one. */
#include "conf/conf_int.h"
#include <stdarg.h>

const char *conf_pos_text(const struct conf_pos *pos, char *out, size_t size)
{
    switch (pos->source) {
    case CONF_FILE:
        if (pos->line)
            (void)snprintf(out, size, "%s:%u", pos->name, pos->line);
        else
            (void)snprintf(out, size, "%s", pos->name);
        break;
    case CONF_ENV:
        (void)snprintf(out, size, "env %s", pos->name);
        break;
    case CONF_FLAG:
        (void)snprintf(out, size, "flag %s", pos->name);
        break;
    case CONF_DEFAULT:
        (void)snprintf(out, size, "default");
        break;
    }
    return out;
}

void conf_error(struct conf_loader *l, const struct conf_pos *pos, const char *key, const char *fmt,
                ...)
{
    char where[CONF_WHERE_MAX], reason[1024];
    va_list ap;

    l->nerrs++;
    if (l->nerrs > CONF_ERRORS_MAX)
        return; /* conf_load says how many there were */
    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    conf_pos_text(pos, where, sizeof where);
    buf_printf(l->errs, "%s: %s%s%s\n", where, key, *key ? ": " : "", reason);
}

const char *conf_quote(struct str v, char out[CONF_QUOTE_MAX])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, i = 0;

    out[n++] = '"';
    for (; i < v.n && n < CONF_QUOTE_MAX - 10; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            out[n++] = (char)c;
        } else {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    if (i < v.n) {
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

/* Whether path is root itself or lies below it. */
static bool path_within(const char *path, const char *root)
{
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '[');
}

void conf_origin_clear(struct conf_loader *l, const char *path)
{
    struct conf_origin **at = &l->conf->origins;
    while (*at) {
        if (path_within((*at)->path, path))
            *at = (*at)->next; /* the memory is the arena's */
        else
            at = &(*at)->next;
    }
}

void conf_origin_set(struct conf_loader *l, const char *path, const struct conf_pos *pos)
{
    if (pos->source == CONF_DEFAULT)
        return; /* having no origin says so */

    struct conf_origin *o = arena_alloc(&l->conf->arena, sizeof *o);
    struct str p = arena_dup(&l->conf->arena, str_of(path));
    struct str name = arena_dup(&l->conf->arena, str_of(pos->name));
    if (!o || !p.p || !name.p) {
        conf_error(l, pos, path, "out of memory");
        return;
    }
    *o = (struct conf_origin){.next = l->conf->origins, .path = p.p, .pos = *pos};
    o->pos.name = name.p;
    l->conf->origins = o;
}

static const struct conf_origin *origin_of(const struct conf *c, struct str path)
{
    for (const struct conf_origin *o = c->origins; o; o = o->next)
        if (str_eq(str_of(o->path), path))
            return o;
    return NULL;
}

bool conf_origin_given(const struct conf *c, const char *path)
{
    return origin_of(c, str_of(path)) != NULL;
}

struct conf_pos conf_origin_find(const struct conf *c, const char *path)
{
    struct str p = str_of(path);
    for (;;) {
        const struct conf_origin *o = origin_of(c, p);
        if (o)
            return o->pos;
        while (p.n && p.p[p.n - 1] != '.' && p.p[p.n - 1] != '[')
            p.n--;
        if (p.n == 0)
            return (struct conf_pos){.source = CONF_DEFAULT, .name = ""};
        p.n--;
    }
}

const char *conf_where(const struct conf *c, const char *key, char *out, size_t size)
{
    struct conf_pos pos = conf_origin_find(c, key);
    return conf_pos_text(&pos, out, size);
}
