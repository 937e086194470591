/* SPDX-License-Identifier: Apache-2.0 */
/* The environment, read once: it belongs to the process, and so does what was read from it. Keys
 * are overwritten where they stood, so that /proc/PID/environ shows none. Also the provider "env".
 * Must run before threads; afterwards nothing here changes. */
#include "cred/cred_env.h"
#include "cred/cred_json.h"
#include "cred/cred_provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLOUDS = 2, NAME_MAX_LEN = 64 };

static const char *const prefixes[CLOUDS] = {
    [CLOUD_VOLCENGINE] = "VOLCENGINE",
    [CLOUD_BYTEPLUS] = "BYTEPLUS",
};

/* Variables that hold keys. Pairs in the order they are looked at: the current names, the older
 * spelling, and Volcengine's oldest. */
enum key { ACCESS_KEY, SECRET_KEY, OLD_ACCESS_KEY, OLD_SECRET_KEY, SESSION_TOKEN, KEYS };
static const char *const key_names[KEYS] = {"ACCESS_KEY", "SECRET_KEY", "ACCESSKEY", "SECRETKEY",
                                            "SESSION_TOKEN"};
static const char volc_access[] = "VOLC_ACCESSKEY", volc_secret[] = "VOLC_SECRETKEY";
/* Names that other programs read: not a source, but keys all the same, and taken away. */
static const char *const foreign_keys[] = {
    "VOLCSTACK_ACCESS_KEY",         "VOLCSTACK_SECRET_KEY",    "VOLCSTACK_ACCESS_KEY_ID",
    "VOLCSTACK_SECRET_ACCESS_KEY",  "VOLCSTACK_SESSION_TOKEN", "VOLCENGINE_ACCESS_KEY_ID",
    "VOLCENGINE_SECRET_ACCESS_KEY", "BYTEPLUS_ACCESS_KEY_ID",  "BYTEPLUS_SECRET_ACCESS_KEY",
};

/* Variables that hold none: suffixes to the prefix. */
static const char *const var_names[] = {
    "OIDC_ROLE_TRN",
    "OIDC_TOKEN_FILE",
    "OIDC_ROLE_SESSION_NAME",
    "OIDC_ROLE_POLICY",
    "OIDC_STS_ENDPOINT",
    "CLI_CONFIG_FILE",
    "PROFILE",
    "ECS_METADATA",
    "ECS_METADATA_DISABLED",
    "LOGIN_CACHE_DIRECTORY",
};
static const char *const plain_names[] = {"HOME", "CREDENTIALS_DIRECTORY"};

static struct {
    bool captured;
    struct secret *keys[CLOUDS][KEYS];
    struct secret *volc[2];
    char *vars[CLOUDS][ARRAY_LEN(var_names)];
    char *plain[ARRAY_LEN(plain_names)];
} env;

/* Moves every occurrence of a variable out of the environment block; the first one counts, as with
 * getenv. A value of spaces only is none. out may be NULL. */
static bool take_key(const char *name, struct secret **out)
{
    struct str want = str_of(name);
    for (char **e = environ; e && *e; e++) {
        struct str value = str_of(*e);
        struct str head = str_cut(&value, '=');
        if (!value.p || !str_eq(head, want))
            continue;
        struct str trimmed = str_trim(value);
        if (out && trimmed.n && !*out && !(*out = secret_new(trimmed)))
            return false;
        secret_wipe(*e + head.n + 1, value.n);
    }
    return true;
}

static bool copy_var(const char *name, char **out)
{
    const char *v = getenv(name);
    *out = strdup(v ? v : "");
    return *out != NULL;
}

bool cred_env_capture(void)
{
    char name[NAME_MAX_LEN];
    if (env.captured)
        return true;
    env.captured = true;
    cred_json_init();
    bool ok = take_key(volc_access, &env.volc[0]) && take_key(volc_secret, &env.volc[1]);
    for (size_t i = 0; i < ARRAY_LEN(foreign_keys) && ok; i++)
        ok = take_key(foreign_keys[i], NULL);
    for (size_t c = 0; c < CLOUDS && ok; c++) {
        for (size_t k = 0; k < KEYS && ok; k++) {
            snprintf(name, sizeof name, "%s_%s", prefixes[c], key_names[k]);
            ok = take_key(name, &env.keys[c][k]);
        }
        for (size_t i = 0; i < ARRAY_LEN(var_names) && ok; i++) {
            snprintf(name, sizeof name, "%s_%s", prefixes[c], var_names[i]);
            ok = copy_var(name, &env.vars[c][i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(plain_names) && ok; i++)
        ok = copy_var(plain_names[i], &env.plain[i]);
    if (!ok)
        cred_forget_environment();
    return ok;
}

void cred_forget_environment(void)
{
    secret_unref(env.volc[0]);
    secret_unref(env.volc[1]);
    for (size_t c = 0; c < CLOUDS; c++) {
        for (size_t k = 0; k < KEYS; k++)
            secret_unref(env.keys[c][k]);
        for (size_t i = 0; i < ARRAY_LEN(var_names); i++)
            free(env.vars[c][i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(plain_names); i++)
        free(env.plain[i]);
    memset(&env, 0, sizeof env);
}

const char *cred_env_var(enum endpoint_cloud cloud, const char *suffix)
{
    for (size_t i = 0; i < ARRAY_LEN(var_names); i++)
        if (strcmp(var_names[i], suffix) == 0 && env.vars[cloud][i])
            return env.vars[cloud][i];
    return "";
}

const char *cred_env_plain(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_names); i++)
        if (strcmp(plain_names[i], name) == 0 && env.plain[i])
            return env.plain[i];
    return "";
}

const char *cred_env_prefix(enum endpoint_cloud cloud)
{
    return prefixes[cloud];
}

/* A pair counts only when complete, so that keys of two pairs are never mixed. */
static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    (void)p;
    enum endpoint_cloud cloud = ctx->conf->cloud;
    struct secret **k = env.keys[cloud];
    const char *prefix = prefixes[cloud];
    bool volc = cloud == CLOUD_VOLCENGINE;
    const struct {
        struct secret *ak, *sk;
    } pairs[] = {
        {k[ACCESS_KEY], k[SECRET_KEY]},
        {k[OLD_ACCESS_KEY], k[OLD_SECRET_KEY]},
        {volc ? env.volc[0] : NULL, volc ? env.volc[1] : NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (pairs[i].ak && pairs[i].sk)
            return cred_new("env", secret_str(pairs[i].ak), secret_ref(pairs[i].sk),
                            k[SESSION_TOKEN] ? secret_ref(k[SESSION_TOKEN]) : NULL, 0, why);
    bool access = false, secret = false;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        access = access || pairs[i].ak;
        secret = secret || pairs[i].sk;
    }
    if (access != secret)
        err_set(why, ERR_CREDENTIALS, "%s_%s is set but %s_%s is not", prefix,
                access ? "ACCESS_KEY" : "SECRET_KEY", prefix, access ? "SECRET_KEY" : "ACCESS_KEY");
    else
        err_set(why, ERR_CREDENTIALS, "set %s_ACCESS_KEY and %s_SECRET_KEY", prefix, prefix);
    return NULL;
}

const struct cred_provider cred_provider_env = {.name = "env", .fetch = fetch};
