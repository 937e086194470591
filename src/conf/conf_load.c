/* SPDX-License-Identifier: Apache-2.0 */
/* One load from start to end: defaults, the file, environment, command line, then what must hold
 * together. Collects every error; hands out a configuration only when there is none. */
#include "conf/conf_int.h"
#include <stdlib.h>

static void load_defaults(struct conf_loader *l)
{
    for (size_t i = 0; i < conf_nrows; i++)
        conf_apply_default(l, &conf_rows[i], l->conf, conf_rows[i].name);
}

/* Applies a group of the file; prefix is its path with a trailing dot, or "". */
static void apply_section(struct conf_loader *l, const char *prefix, const struct cval *group)
{
    char hint[CONF_HINT_MAX];

    for (const struct cval *m = group->child; m; m = m->next) {
        struct str key = arena_printf(&l->tmp, "%s%s", prefix, m->name);
        if (!key.p) {
            conf_error(l, &m->pos, m->name, "out of memory");
            return;
        }
        const struct conf_row *row = conf_row_find(conf_rows, conf_nrows, key);
        if (row) {
            conf_apply(l, row, l->conf, key.p, m);
        } else if (!conf_row_section(key)) {
            conf_error(l, &m->pos, key.p, "unknown key%s", conf_row_hint(key, hint));
        } else if (m->type != CV_GROUP) {
            conf_error(l, &m->pos, key.p, "must be a group, %s: { ... }", m->name);
        } else {
            struct str below = arena_printf(&l->tmp, "%s.", key.p);
            apply_section(l, below.p ? below.p : "", m);
        }
    }
}

static void load_file(struct conf_loader *l, const struct conf_args *args)
{
    struct conf_pos from;
    const char *path = conf_file_choose(l, args, &from);
    struct conf_doc d;
    struct buf text;

    if (!path)
        return;
    buf_init(&text, CONF_READ_MAX);
    struct conf_file *file = conf_file_read(l, path, &from, "", &text);
    if (file) {
        struct conf_pos first = {.source = CONF_FILE, .name = file->path, .line = 1, .file = file};
        l->conf->path = strdup(path);
        if (!l->conf->path)
            conf_error(l, &first, "", "out of memory");
        conf_doc_init(&d, l);
        conf_scan(&d, first, buf_str(&text), 0);
        struct cval *root = conf_parse(&d);
        if (root)
            apply_section(l, "", root);
        conf_doc_free(&d);
    }
    buf_wipe(&text);
}

/* Without any profile there is one, of the default chain. */
static void load_implicit(struct conf_loader *l)
{
    struct conf_pos pos = {.source = CONF_DEFAULT, .name = ""};
    if (l->conf->nprofiles == 0)
        (void)conf_profile_add(l, STR("default"), &pos);
}

static void load_all(struct conf_loader *l, const struct conf_args *args)
{
    load_defaults(l);
    load_file(l, args);
    conf_env_cloud(l, args);
    conf_env_sdk(l);
    conf_env_apply(l);
    conf_flags_apply(l, args);
    load_implicit(l);
    if (l->nerrs == 0)
        conf_regions_load(l);
    conf_files_check(l);
    if (l->nerrs == 0)
        conf_cross(l);
}

struct conf *conf_load(const struct conf_args *args, struct buf *errs)
{
    struct conf_loader l = {.errs = errs};
    struct conf *c = calloc(1, sizeof *c);

    if (!c) {
        buf_putz(errs, "out of memory\n");
        return NULL;
    }
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, 32 * 1024, CONF_ARENA_MAX);
    arena_init(&l.tmp, 64 * 1024, 2 * CONF_ARENA_MAX);
    l.conf = c;
    load_all(&l, args);
    if (l.nerrs > CONF_ERRORS_MAX)
        buf_printf(errs, "and %u more errors\n", l.nerrs - CONF_ERRORS_MAX);
    arena_wipe(&l.tmp);
    /* Positions outlive the files they point at. */
    for (struct conf_origin *o = c->origins; o; o = o->next)
        o->pos.file = NULL;
    if (l.nerrs) {
        conf_unref(c);
        return NULL;
    }
    return c;
}
