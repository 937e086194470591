/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are groups: lists of them (listeners, policies, …) and named ones (profiles). Every
 * element starts from its rows' defaults. Their memory is the configuration's arena. */
#include "conf/conf_int.h"
#include <assert.h>

#define FIELD(type, base, offset) ((type *)(void *)((char *)(base) + (offset)))

static const char *sub_path(struct conf_loader *l, const char *path, const char *key)
{
    struct str s = arena_printf(&l->tmp, "%s.%s", path, key);
    return s.p ? s.p : path;
}

static void element_defaults(struct conf_loader *l, const struct conf_group *g, void *element,
                             const char *path)
{
    for (size_t i = 0; i < g->n; i++)
        conf_apply_default(l, &g->rows[i], element, sub_path(l, path, g->rows[i].name));
}

/* Applies a group's members to an element that holds its defaults. */
static void element_apply(struct conf_loader *l, const struct conf_group *g, void *element,
                          const char *path, const struct cval *v)
{
    char hint[CONF_HINT_MAX];

    for (const struct cval *m = v->child; m; m = m->next) {
        const struct conf_row *row = conf_row_find(g->rows, g->n, str_of(m->name));
        const char *at = sub_path(l, path, m->name);
        if (row)
            conf_apply(l, row, element, at, m);
        else
            conf_error(l, &m->pos, at, "unknown key%s", conf_group_hint(g, str_of(m->name), hint));
    }
}

static bool is_set(const struct conf_row *row, const void *element)
{
    const void *at = (const char *)element + row->offset;
    const char *text;
    struct secret *secret;
    struct str view;

    switch (row->type) {
    case CT_STRING:
        memcpy(&text, at, sizeof text);
        return *text != '\0';
    case CT_STRV:
        memcpy(&view, at, sizeof view);
        return view.n != 0;
    case CT_SECRET:
        memcpy(&secret, at, sizeof secret);
        return secret != NULL;
    default:
        return true;
    }
}

static void element_required(struct conf_loader *l, const struct conf_group *g, const void *element,
                             const char *path, const struct conf_pos *pos, unsigned nerrs)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct conf_row *row = &g->rows[i];
        if (!(row->flags & CF_REQUIRED))
            continue;
        const char *at = sub_path(l, path, row->name);
        /* What was refused needn't be called missing as well. */
        if ((!conf_origin_given(l->conf, at) || !is_set(row, element)) && l->nerrs == nerrs)
            conf_error(l, pos, path, "%s is missing", row->name);
    }
}

static void list_element(struct conf_loader *l, const struct conf_row *row, void *element,
                         const char *path, const struct cval *v)
{
    const struct conf_group *g = row->group;
    unsigned nerrs;

    element_defaults(l, g, element, path);
    nerrs = l->nerrs;
    conf_origin_set(l, path, &v->pos);
    if (v->type == CV_GROUP)
        element_apply(l, g, element, path, v);
    else if (v->type == CV_STRING && (row->flags & CF_BARE))
        conf_apply(l, &g->rows[0], element, sub_path(l, path, g->rows[0].name), v);
    else
        conf_error(l, &v->pos, path, "must be a group such as %s", g->example);
    if (v->pos.source != CONF_DEFAULT)
        element_required(l, g, element, path, &v->pos, nerrs);
}

static const char *map_name(struct conf_loader *l, const struct conf_row *row, const char *path,
                            const struct cval *v)
{
    struct buf why;
    struct str name;

    buf_init(&why, 256);
    bool ok = conf_check_name(str_of(v->name), &why);
    if (!ok)
        conf_error(l, &v->pos, path, "the name \"%s\" %.*s", v->name, STR_ARG(buf_str(&why)));
    buf_free(&why);
    if (ok && v->type != CV_GROUP) {
        conf_error(l, &v->pos, sub_path(l, path, v->name), "must be a group, as in %s",
                   row->group->example);
        ok = false;
    }
    name = ok ? arena_dup(&l->conf->arena, str_of(v->name)) : STR("");
    return name.p ? name.p : "";
}

void conf_apply_groups(struct conf_loader *l, const struct conf_row *row, void *base,
                       const char *path, const struct cval *v)
{
    const struct conf_group *g = row->group;
    size_t i = 0;
    char *array = NULL;

    *FIELD(size_t, base, row->count) = 0;
    if (v->n > CONF_GROUPS_MAX) {
        conf_error(l, &v->pos, path, "more than %d elements", CONF_GROUPS_MAX);
        return;
    }
    if (v->n) {
        array = arena_alloc(&l->conf->arena, v->n * g->size);
        if (!array) {
            conf_error(l, &v->pos, path, "out of memory");
            return;
        }
        memset(array, 0, v->n * g->size);
    }
    *FIELD(void *, base, row->offset) = array;
    *FIELD(size_t, base, row->count) = v->n;
    for (const struct cval *e = v->child; e; e = e->next, i++) {
        assert(array && i < v->n);
        void *element = array + i * g->size;
        if (row->type == CT_LIST) {
            struct str at = arena_printf(&l->tmp, "%s[%zu]", path, i);
            list_element(l, row, element, at.p ? at.p : path, e);
            continue;
        }
        /* Only profiles are named by their key. */
        const char *at = sub_path(l, path, e->name);
        ((struct conf_profile *)element)->name = map_name(l, row, path, e);
        element_defaults(l, g, element, at);
        conf_origin_set(l, at, &e->pos);
        if (e->type == CV_GROUP)
            element_apply(l, g, element, at, e);
    }
}

struct conf_profile *conf_profile_add(struct conf_loader *l, struct str name,
                                      const struct conf_pos *pos)
{
    struct conf *c = l->conf;
    struct conf_profile *v;
    struct buf why;

    for (size_t i = 0; i < c->nprofiles; i++)
        if (str_eq(str_of(c->profiles[i].name), name))
            return &c->profiles[i];
    buf_init(&why, 256);
    bool ok = name.n && conf_check_name(name, &why);
    if (!ok)
        conf_error(l, pos, "profiles", "a profile's name %.*s",
                   STR_ARG(name.n ? buf_str(&why) : STR("is empty")));
    else if (c->nprofiles == CONF_GROUPS_MAX)
        conf_error(l, pos, "profiles", "more than %d elements", CONF_GROUPS_MAX);
    buf_free(&why);
    if (!ok || c->nprofiles == CONF_GROUPS_MAX)
        return NULL;
    v = arena_alloc(&c->arena, (c->nprofiles + 1) * sizeof *v);
    struct str copy = arena_dup(&c->arena, name);
    struct str path = arena_printf(&l->tmp, "profiles.%.*s", STR_ARG(name));
    if (!v || !copy.p || !path.p) {
        conf_error(l, pos, "profiles", "out of memory");
        return NULL;
    }
    if (c->nprofiles)
        memcpy(v, c->profiles, c->nprofiles * sizeof *v);
    v[c->nprofiles] = (struct conf_profile){.name = copy.p};
    c->profiles = v;
    v += c->nprofiles++;
    element_defaults(l, &conf_group_profile, v, path.p);
    conf_origin_set(l, path.p, pos);
    return v;
}
