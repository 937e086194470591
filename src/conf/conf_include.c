/* SPDX-License-Identifier: Apache-2.0 */
/* Expands @include: the named file is read like the configuration file itself, relative to the
 * including one, and its lines keep their own names and numbers. */
#include "conf/conf_int.h"

/* dir(including)/name, or name when it is absolute; {NULL,0} when memory is short. */
static struct str beside(struct conf_loader *l, const char *including, struct str name)
{
    const char *slash = strrchr(including, '/');
    if (name.p[0] == '/' || !slash)
        return arena_dup(&l->conf->arena, name);
    return arena_printf(&l->conf->arena, "%.*s/%.*s", (int)(slash - including), including,
                        STR_ARG(name));
}

void conf_include(struct conf_doc *d, const struct conf_pos *pos, struct str name, unsigned depth)
{
    struct conf_loader *l = d->l;
    struct buf text;

    if (name.n == 0) {
        conf_error(l, pos, "@include", "the file name is empty");
        return;
    }
    if (depth > CONF_INCLUDE_DEPTH) {
        conf_error(l, pos, "@include", "nested more than %d deep; does a file include itself?",
                   CONF_INCLUDE_DEPTH);
        d->broken = true;
        return;
    }
    struct str path = beside(l, pos->name, name);
    if (!path.p) {
        conf_error(l, pos, "@include", "out of memory");
        return;
    }
    buf_init(&text, CONF_READ_MAX);
    struct conf_file *file = conf_file_read(l, path.p, pos, "@include", &text);
    if (file) {
        struct conf_pos first = {.source = CONF_FILE, .name = file->path, .line = 1, .file = file};
        buf_putc(&d->text, '\n');
        conf_scan(d, first, buf_str(&text), depth);
    }
    buf_wipe(&text);
}
