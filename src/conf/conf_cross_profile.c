/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys go with which provider, what each provider can't do without, and profiles that lean on
 * each other in a circle. */
#include "conf/conf_int.h"

struct provider {
    const char *name;
    const char *keys;     /* allowed ones, each with a space before and after */
    const char *needs[4]; /* required ones, in the order they are asked for */
};

#define STS " sts_endpoint sts_scheme sts_region "

static const struct provider providers[] = {
    {"default", STS, {NULL}},
    {"static", " access_key secret_key session_token ", {"access_key", "secret_key", NULL}},
    {"file", " file ", {"file", NULL}},
    {"env", "", {NULL}},
    {"oidc", " role_trn oidc_token_file role_session_name policy duration_seconds" STS, {NULL}},
    {"cli", " config_file cli_profile" STS, {NULL}},
    {"ecs", " role_name ", {NULL}},
    {"assume_role",
     " source_profile role_name account_id role_trn role_session_name policy duration_seconds" STS,
     {NULL}},
    {"assume_role_saml",
     " role_trn saml_provider_trn saml_response_file policy duration_seconds" STS,
     {"role_trn", "saml_provider_trn", "saml_response_file", NULL}},
};

static const struct provider *provider_of(const struct conf_profile *p)
{
    for (size_t i = 0; i < ARRAY_LEN(providers); i++)
        if (strcmp(providers[i].name, p->provider) == 0)
            return &providers[i];
    return NULL;
}

static const char *key_path(struct conf_loader *l, const struct conf_profile *p, const char *key)
{
    struct str s = arena_printf(&l->tmp, "profiles.%s%s%s", p->name, *key ? "." : "", key);
    return s.p ? s.p : "profiles";
}

static void cross_keys(struct conf_loader *l, const struct conf_profile *p)
{
    const struct provider *pr = provider_of(p);
    char word[64];

    if (!pr)
        return; /* conf_apply refused it */
    for (size_t i = 0; i < conf_group_profile.n; i++) {
        const char *key = conf_group_profile.rows[i].name, *path = key_path(l, p, key);
        (void)snprintf(word, sizeof word, " %s ", key);
        if (strcmp(key, "provider") == 0 || strstr(pr->keys, word) ||
            !conf_origin_given(l->conf, path))
            continue;
        struct conf_pos pos = conf_origin_find(l->conf, path);
        struct str keys = str_trim(str_of(pr->keys));
        conf_error(l, &pos, path, "is no key of provider \"%s\"%s%.*s", p->provider,
                   keys.n ? "; its keys are " : ", which has none", STR_ARG(keys));
    }
    for (size_t i = 0; pr->needs[i]; i++) {
        const char *path = key_path(l, p, pr->needs[i]);
        struct conf_pos pos = conf_origin_find(l->conf, path);
        if (!conf_origin_given(l->conf, path))
            conf_error(l, &pos, key_path(l, p, ""), "provider \"%s\" needs %s", p->provider,
                       pr->needs[i]);
    }
}

static void cross_role(struct conf_loader *l, const struct conf_profile *p)
{
    const char *path = key_path(l, p, "");
    struct conf_pos pos = conf_origin_find(l->conf, path);
    bool trn = *p->role_trn != '\0', name = *p->role_name || *p->account_id;

    if (strcmp(p->provider, "assume_role") != 0)
        return;
    if (trn && name)
        conf_error(l, &pos, path, "give role_trn, or role_name and account_id, not both");
    else if (!trn && (!*p->role_name || !*p->account_id))
        conf_error(l, &pos, path,
                   "provider \"assume_role\" needs role_trn, or role_name and "
                   "account_id");
}

static void cross_source(struct conf_loader *l, const struct conf_profile *p)
{
    const char *path = key_path(l, p, "source_profile");
    struct conf_pos pos = conf_origin_find(l->conf, path);
    const struct conf_profile *at = p;

    for (size_t steps = 0; *at->source_profile; steps++) {
        const struct conf_profile *next = conf_profile_find(l->conf, str_of(at->source_profile));
        if (!next) {
            char q[CONF_QUOTE_MAX];
            if (at == p)
                conf_error(l, &pos, path, "there is no profile %s",
                           conf_quote(str_of(p->source_profile), q));
            return;
        }
        if (next == p) {
            conf_error(l, &pos, path, "leads back to the profile \"%s\" itself", p->name);
            return;
        }
        if (steps > l->conf->nprofiles)
            return; /* a circle further on; its own members say so */
        at = next;
    }
}

void conf_cross_profiles(struct conf_loader *l)
{
    for (size_t i = 0; i < l->conf->nprofiles; i++) {
        cross_keys(l, &l->conf->profiles[i]);
        cross_role(l, &l->conf->profiles[i]);
        cross_source(l, &l->conf->profiles[i]);
    }
}
