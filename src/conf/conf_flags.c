/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as a source, and setting any key from text. */
#include "base/log.h"
#include "conf/conf_int.h"

/* "profiles.NAME" or "profiles.NAME.KEY", key being what follows "profiles.". */
static void set_profile(struct conf_loader *l, const char *path, struct str key, struct str text,
                        const struct conf_pos *pos)
{
    const struct conf_group *g = &conf_group_profile;
    struct str name = str_cut(&key, '.');
    char hint[CONF_HINT_MAX];

    if (!key.p) {
        conf_error(l, pos, path, "name a key of the profile, as in profiles.%.*s.provider",
                   STR_ARG(name));
        return;
    }
    const struct conf_row *row = conf_row_find(g->rows, g->n, key);
    if (!row) {
        conf_error(l, pos, path, "unknown key%s", conf_group_hint(g, key, hint));
        return;
    }
    struct conf_profile *p = conf_profile_add(l, name, pos);
    if (p)
        conf_apply_text(l, row, p, path, text, pos);
}

void conf_set(struct conf_loader *l, const char *key, struct str text, const struct conf_pos *pos)
{
    const struct conf_row *row = conf_row_find(conf_rows, conf_nrows, str_of(key));
    struct str rest = str_of(key), first = str_cut(&rest, '.');
    char hint[CONF_HINT_MAX];

    if (row)
        conf_apply_text(l, row, l->conf, key, text, pos);
    else if (str_eq(first, STR("profiles")) && rest.p)
        set_profile(l, key, rest, text, pos);
    else if (conf_row_section(str_of(key)))
        conf_error(l, pos, key, "is a section; name one of its keys");
    else
        conf_error(l, pos, key, "unknown key%s", conf_row_hint(str_of(key), hint));
}

/* --set and an option of its own for the same key: neither may win without a word. */
static bool set_twice(struct conf_loader *l, const char *key, const struct conf_pos *pos)
{
    struct conf_pos before = conf_origin_find(l->conf, key);
    if (before.source != CONF_FLAG || strcmp(before.name, "--set") != 0)
        return false;
    conf_error(l, pos, key, "is given by --set as well; use one of the two");
    return true;
}

static void set_flag(struct conf_loader *l, const char *key, const char *flag, const char *value)
{
    struct conf_pos pos = {.source = CONF_FLAG, .name = flag};
    if (value && !set_twice(l, key, &pos))
        conf_set(l, key, str_of(value), &pos);
}

bool conf_pair(const char *pair, struct str *key, struct str *value)
{
    *value = str_of(pair);
    struct str before = str_cut(value, '=');
    *key = str_trim(before);
    if (value->p && key->n && before.p + before.n > key->p + key->n)
        *value = str_trim(*value); /* "key = value" */
    return value->p && key->n;
}

static void set_pair(struct conf_loader *l, const char *pair)
{
    struct conf_pos pos = {.source = CONF_FLAG, .name = "--set"};
    struct str key, value;
    char q[CONF_QUOTE_MAX];

    if (!conf_pair(pair, &key, &value)) {
        conf_error(l, &pos, "", "needs key=value, not %s", conf_quote(str_of(pair), q));
        return;
    }
    struct str name = arena_dup(&l->tmp, key);
    if (!name.p) {
        conf_error(l, &pos, "", "out of memory");
        return;
    }
    /* A key is echoed in messages; one with strange bytes can't be a key. */
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || name.n > 128) {
            conf_error(l, &pos, "", "%s is not a key", conf_quote(name, q));
            return;
        }
    conf_set(l, name.p, value, &pos);
}

/* A listener of the file whose address is one of -l keeps its settings: they restrict who may use
 * it. */
static void keep_listener(struct conf_loader *l, struct conf_listener *had,
                          const struct conf_pos *pos)
{
    struct conf *c = l->conf;
    for (size_t i = 0; i < c->nlisten; i++)
        if (strcmp(c->listen[i].address, had->address) == 0) {
            struct str path = arena_printf(&l->tmp, "listen[%zu]", i);
            c->listen[i] = *had;
            *had = (struct conf_listener){.address = "", .policy = ""};
            conf_origin_set(l, path.p ? path.p : "listen", pos);
            return;
        }
    if (*had->policy || *had->profile || had->nclient_tokens || had->allowed_uids.n ||
        had->allowed_gids.n)
        log_msg(LOG_WARN,
                "--listen leaves out %s: its policy, profile, client_tokens, allowed_uids and "
                "allowed_gids hold for no other listener",
                had->address);
    for (size_t i = 0; i < conf_group_listen.n; i++)
        conf_row_drop(&conf_group_listen.rows[i], had);
}

/* Each -l is one address as it stands: brackets and commas have no meaning there. */
static void set_listen(struct conf_loader *l, const struct conf_args *args)
{
    struct conf_pos pos = {.source = CONF_FLAG, .name = "--listen"};
    const struct conf_row *row = conf_row_find(conf_rows, conf_nrows, STR("listen"));
    struct cval list = {.type = CV_LIST, .pos = pos, .n = args->nlisten};
    struct cval *v;

    if (args->nlisten == 0 || set_twice(l, "listen", &pos))
        return;
    size_t nhad = l->conf->nlisten;
    struct conf_listener *had = arena_alloc(&l->tmp, (nhad + 1) * sizeof *had);
    struct conf_pos *from = arena_alloc(&l->tmp, (nhad + 1) * sizeof *from);
    v = arena_alloc(&l->tmp, args->nlisten * sizeof *v);
    if (!v || !had || !from) {
        conf_error(l, &pos, "listen", "out of memory");
        return;
    }
    for (size_t i = 0; i < nhad; i++) {
        struct str path = arena_printf(&l->tmp, "listen[%zu]", i);
        had[i] = l->conf->listen[i];
        from[i] = conf_origin_find(l->conf, path.p ? path.p : "listen");
        for (size_t j = 0; j < i; j++)
            if (strcmp(had[i].address, had[j].address) == 0) {
                conf_error(l, &from[i], path.p ? path.p : "listen",
                           "its address is the same as in listen[%zu]", j);
                return;
            }
    }
    l->conf->nlisten = 0; /* their secrets are had's now */
    for (size_t i = 0; i < args->nlisten; i++)
        v[i] = (struct cval){.type = CV_STRING,
                             .pos = pos,
                             .s = str_of(args->listen[i]),
                             .next = i + 1 < args->nlisten ? &v[i + 1] : NULL};
    list.child = v;
    conf_apply(l, row, l->conf, "listen", &list);
    for (size_t i = 0; i < nhad; i++)
        keep_listener(l, &had[i], &from[i]);
    l->replaced = had;
    l->nreplaced = nhad;
}

void conf_flags_apply(struct conf_loader *l, const struct conf_args *args)
{
    for (size_t i = 0; i < args->nset; i++)
        set_pair(l, args->set[i]);
    set_listen(l, args);
    set_flag(l, "admin.listen", "--admin", args->admin);
    set_flag(l, "cloud", "--cloud", args->cloud);
    set_flag(l, "region", "--region", args->region);
    set_flag(l, "service", "--service", args->service);
    set_flag(l, "profile", "--profile", args->profile);
    set_flag(l, "workers", "--workers", args->workers);
    set_flag(l, "log.level", "--log-level", args->log_level);
    set_flag(l, "log.format", "--log-format", args->log_format);
}
