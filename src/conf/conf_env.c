/* SPDX-License-Identifier: Apache-2.0 */
/* The environment as a source: SIGFERRY_ twins, the SDKs' own variables, the proxy variables.
 * Variables that held a secret are overwritten where they stand (other processes of this user can
 * read /proc/PID/environ) and proxy variables are unset (libcurl would obey them); what they said
 * is kept for reloads. Main thread only, before others start. */
#include "base/log.h"
#include "base/nearest.h"
#include "conf/conf_int.h"
#include <stdlib.h>
#include <unistd.h>

/* Values that are no longer in the environment. */
struct kept {
    struct kept *next;
    struct secret *value; /* ends with a NUL */
    char name[];
};
static struct kept *kept_list;

static struct kept *kept_find(const char *name)
{
    for (struct kept *k = kept_list; k; k = k->next)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

const char *conf_env_get(const char *name)
{
    const char *now = getenv(name);
    const struct kept *k = now && *now ? NULL : kept_find(name);
    return k ? secret_str(k->value).p : now;
}

/* Overwrites every occurrence: getenv finds the first one, /proc/PID/environ shows all. */
static void wipe_all(const char *name)
{
    size_t n = strlen(name);
    for (char **e = environ; e && *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            secret_wipe(*e + n + 1, strlen(*e + n + 1));
}

/* Keeps the variable's value here and overwrites it where it stood. */
static void hide(const char *name)
{
    const char *now = getenv(name);
    struct kept *k = kept_find(name);
    size_t n = strlen(name) + 1;

    if (!now || !*now)
        return;
    if (!k) {
        k = calloc(1, sizeof *k + n);
        if (!k)
            return; /* rather exposed than lost at the next reload */
        memcpy(k->name, name, n);
        k->next = kept_list;
        kept_list = k;
    }
    struct secret *value = secret_new(str_n(now, strlen(now) + 1));
    if (!value)
        return;
    secret_unref(k->value);
    k->value = value;
    wipe_all(name);
}

void conf_env_forget(void)
{
    while (kept_list) {
        struct kept *k = kept_list;
        kept_list = k->next;
        secret_unref(k->value);
        free(k);
    }
}

/* Applies a row from a variable; a secret in it is hidden. */
static void apply_from(struct conf_loader *l, const char *key, const char *name)
{
    struct conf_pos pos = {.source = CONF_ENV, .name = name};
    const char *value = conf_env_get(name);

    if (!value)
        return;
    l->secret_seen = false;
    conf_set(l, key, str_of(value), &pos);
    if (l->secret_seen)
        hide(name);
}

void conf_env_cloud(struct conf_loader *l, const struct conf_args *args)
{
    struct conf_pos pos = {.source = CONF_FLAG, .name = "--cloud"};
    struct buf *errs = l->errs, none;
    unsigned nerrs = l->nerrs;
    struct str text = {args->cloud, args->cloud ? strlen(args->cloud) : 0}, key, value;
    const char *variable = conf_env_get("SIGFERRY_CLOUD");

    for (size_t i = args->nset; !text.p && i > 0; i--)
        if (conf_pair(args->set[i - 1], &key, &value) && str_eq(key, STR("cloud")))
            text = value;
    if (!text.p && variable)
        text = str_of(variable);
    if (!text.p)
        return;
    /* An error is reported when its source's own turn comes. */
    buf_init(&none, 4096);
    l->errs = &none;
    conf_set(l, "cloud", text, &pos);
    buf_free(&none);
    l->errs = errs;
    l->nerrs = nerrs;
}

static void sdk(struct conf_loader *l, const char *key, const char *prefix, const char *suffix)
{
    char name[64];
    const char *value;

    (void)snprintf(name, sizeof name, "%s%s", prefix, suffix);
    value = conf_env_get(name);
    if (value && *value)
        apply_from(l, key, name);
}

/* The SDKs take "true" in any case as on and anything else as off. */
static void sdk_dual_stack(struct conf_loader *l, const char *name)
{
    struct conf_pos pos = {.source = CONF_ENV, .name = name};
    const char *value = conf_env_get(name);

    if (value && *value && !conf_origin_given(l->conf, "endpoint.use_dual_stack"))
        conf_set(l, "endpoint.use_dual_stack",
                 str_ieq(str_of(value), STR("true")) ? STR("true") : STR("false"), &pos);
}

/* all_proxy may name what only others can use, such as socks:// or socks4://: no reason not to
 * start. A mistake in one that is for us is, as it is in http_proxy and https_proxy. */
static bool is_for_others(const char *name, const char *value, const char *key)
{
    static const char *const others[] = {"socks://", "socks4://", "socks4a://"};
    bool found = false;
    if (!str_ieq(str_of(name), STR("all_proxy")))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        found = found || str_istarts(str_of(value), str_of(others[i]));
    if (found)
        log_msg(LOG_WARN, "env %s is not used for %s: http, https, socks5 and socks5h are known",
                name, key);
    return found;
}

/* The first of the names that is set gives the key, unless a file does; all are unset, since
 * libcurl would read them. */
static void proxy(struct conf_loader *l, const char *key, const char *const *names, size_t n)
{
    bool given = conf_origin_given(l->conf, key);

    for (size_t i = 0; i < n; i++) {
        const char *value = conf_env_get(names[i]);
        if (!value || !*value)
            continue;
        if (!given && !is_for_others(names[i], value, key)) {
            apply_from(l, key, names[i]);
            given = true;
        }
        if (getenv(names[i])) {
            hide(names[i]);
            (void)unsetenv(names[i]);
        }
    }
}

void conf_env_sdk(struct conf_loader *l)
{
    static const char *const http[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    static const char *const none[] = {"no_proxy", "NO_PROXY"};
    bool volcengine = l->conf->cloud == CLOUD_VOLCENGINE;
    const char *p = volcengine ? "VOLCENGINE" : "BYTEPLUS", *older = volcengine ? "VOLC" : p;
    char name[64];

    sdk(l, "region", p, "_REGION");
    sdk(l, "endpoint.host", p, "_ENDPOINT");
    sdk(l, "endpoint.bootstrap_region_list", older, "_BOOTSTRAP_REGION_LIST_CONF");
    (void)snprintf(name, sizeof name, "%s_ENABLE_DUALSTACK", older);
    sdk_dual_stack(l, name);
    proxy(l, "proxy.http_proxy", http, ARRAY_LEN(http));
    proxy(l, "proxy.https_proxy", https, ARRAY_LEN(https));
    proxy(l, "proxy.no_proxy", none, ARRAY_LEN(none));
}

/* Finds the profile and key a variable's rest ("PROD_SECRET_KEY") names: a key's twin ends it, a
 * known profile's twin (or one made from it, in lower case) is what is before. */
static bool profile_twin(struct conf_loader *l, const char *rest, char *key, size_t size)
{
    const struct conf_group *g = &conf_group_profile;
    char twin[CONF_TWIN_MAX], lower[CONF_TWIN_MAX];
    size_t n = strlen(rest), best = 0;
    const struct conf_row *row = NULL;

    for (size_t i = 0; i < g->n; i++) {
        conf_row_twin(g->rows[i].name, twin);
        struct str t = str_of(twin + strlen("SIGFERRY"));
        if (n > t.n && t.n > best && memcmp(rest + n - t.n, t.p, t.n) == 0) {
            best = t.n;
            row = &g->rows[i];
        }
    }
    if (!row || n - best >= sizeof lower)
        return false;
    for (size_t i = 0; i < l->conf->nprofiles; i++) {
        conf_row_twin(l->conf->profiles[i].name, twin);
        if (str_eq(str_of(twin + strlen("SIGFERRY_")), str_n(rest, n - best))) {
            (void)snprintf(key, size, "profiles.%s.%s", l->conf->profiles[i].name, row->name);
            return true;
        }
    }
    for (size_t i = 0; i < n - best; i++)
        lower[i] = ascii_lower(rest[i]);
    (void)snprintf(key, size, "profiles.%.*s.%s", (int)(n - best), lower, row->name);
    return true;
}

/* A variable that is no row's twin: a profile's key, one of ours, or a mistake worth a warning. */
static void other_variable(struct conf_loader *l, const char *name)
{
    static const char *const ours[] = {"SIGFERRY_CONFIG", "SIGFERRY_URL"};
    static const char profiles[] = "SIGFERRY_PROFILES_";
    char key[256], quoted[CONF_QUOTE_MAX];
    struct nearest n;
    char best[CONF_TWIN_MAX] = "";

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strcmp(name, ours[i]) == 0)
            return;
    if (strncmp(name, profiles, sizeof profiles - 1) == 0 &&
        profile_twin(l, name + sizeof profiles - 1, key, sizeof key)) {
        apply_from(l, key, name);
        return;
    }
    /* Compared as keys: case costs nothing, the one dot little. */
    nearest_init(&n, str_of(name + strlen("SIGFERRY_")));
    for (size_t i = 0; i < conf_nrows; i++)
        nearest_offer(&n, str_of(conf_rows[i].name));
    if (n.best.p)
        conf_row_twin(n.best.p, best);
    log_msg(LOG_WARN, "environment variable %s is not one of ours and is ignored%s%s%s",
            conf_quote(str_of(name), quoted), *best ? "; did you mean " : "", best,
            *best ? "?" : "");
}

void conf_env_apply(struct conf_loader *l)
{
    static const struct str prefix = {"SIGFERRY_", 9};
    char twin[CONF_TWIN_MAX];

    for (size_t i = 0; i < conf_nrows; i++) {
        conf_row_twin(conf_rows[i].name, twin);
        apply_from(l, conf_rows[i].name, twin);
    }
    for (char **at = environ; at && *at; at++) {
        struct str name = str_n(*at, strcspn(*at, "="));
        size_t i = 0;
        if (name.n <= prefix.n || !str_starts(name, prefix))
            continue;
        for (; i < conf_nrows; i++) {
            conf_row_twin(conf_rows[i].name, twin);
            if (str_eq(str_of(twin), name))
                break;
        }
        if (i < conf_nrows)
            continue;
        name = arena_dup(&l->tmp, name);
        if (!name.p) {
            conf_error(l, &(struct conf_pos){.source = CONF_ENV, .name = ""}, "", "out of memory");
            return;
        }
        other_variable(l, name.p);
    }
}
