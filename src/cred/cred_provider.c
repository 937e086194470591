/* SPDX-License-Identifier: Apache-2.0 */
/* The list of providers, running one of them, and the blocking fetch that commands use. Knows
 * nothing of the store. */
#include "cred/cred_provider.h"
#include "base/clock.h"
#include "cred/cred_oauth.h"
#include "cred/cred_time.h"

#include <stdlib.h>

static const struct cred_provider *const providers[] = {
    &cred_provider_default, &cred_provider_static, &cred_provider_file,
    &cred_provider_env,     &cred_provider_oidc,   &cred_provider_cli,
    &cred_provider_ecs,     &cred_provider_saml,   &cred_provider_assume_role,
};

const struct cred_provider *cred_provider_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(providers); i++)
        if (strcmp(providers[i]->name, name) == 0)
            return providers[i];
    return NULL;
}

void cred_memory_free(struct cred_memory *m)
{
    cred_oauth_free(m->oauth);
    if (m->source) {
        cred_memory_free(m->source); /* as deep as source_profile may be: a few levels */
        free(m->source);
    }
    *m = (struct cred_memory){0};
}

struct conf_profile cred_profile_blank(const char *name)
{
    return (struct conf_profile){
        .name = name,
        .provider = "default",
        .access_key = "",
        .file = "",
        .config_file = "",
        .cli_profile = "",
        .role_trn = "",
        .role_name = "",
        .account_id = "",
        .oidc_token_file = "",
        .role_session_name = "",
        .policy = "",
        .source_profile = "",
        .saml_provider_trn = "",
        .saml_response_file = "",
        .sts_endpoint = "",
        .sts_scheme = "",
        .sts_region = "",
    };
}

/* A response with a past expiry comes from a wrong clock, ours or theirs, or from a cache. */
static struct cred *reject_expired(struct cred *c, struct err_detail *why)
{
    char then[CRED_TIME_TEXT], now[CRED_TIME_TEXT];
    clock_tick();
    if (!c || !c->expires_s || c->expires_s > clock_wall_s())
        return c;
    cred_time_format(c->expires_s, then);
    cred_time_format(clock_wall_s(), now);
    cred_unref(c);
    err_set(why, ERR_CREDENTIALS,
            "the credential it gave expired at %s and it is %s here: is the clock right?", then,
            now);
    return NULL;
}

struct cred *cred_provider_run(const struct cred_provider *pr, struct cred_ctx *ctx,
                               const struct conf_profile *p, struct err_detail *why)
{
    struct cred *c = reject_expired(pr->fetch(ctx, p, why), why);
    struct cred_trace *t = ctx->trace;
    if (t && t->n < CRED_TRACE_MAX) {
        t->v[t->n].provider = pr->name;
        t->v[t->n].ok = c != NULL;
        if (!c)
            t->v[t->n].why = *why;
        t->n++;
    }
    return c;
}

struct cred *cred_profile_fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                                struct err_detail *why)
{
    const struct cred_provider *pr = cred_provider_find(p->provider);
    struct err_detail reason = {""};
    if (!pr) {
        err_set(why, ERR_CREDENTIALS, "profile %s: there is no provider \"%s\"", p->name,
                p->provider);
        return NULL;
    }
    /* the chain notes its members instead of itself */
    struct cred *c = pr == &cred_provider_default ? pr->fetch(ctx, p, &reason)
                                                  : cred_provider_run(pr, ctx, p, &reason);
    if (!c)
        err_set(why, ERR_CREDENTIALS, "%s%s%s", pr == &cred_provider_default ? "" : pr->name,
                pr == &cred_provider_default ? "" : ": ", reason.text);
    return c;
}

struct cred *cred_fetch(struct conf *conf, const char *profile, struct err_detail *why)
{
    return cred_fetch_traced(conf, profile, NULL, why);
}

struct cred *cred_fetch_traced(struct conf *conf, const char *profile, struct cred_trace *trace,
                               struct err_detail *why)
{
    struct err_detail reason = {""};
    struct cred_memory memory = {0};
    struct cred_ctx ctx = {.conf = conf, .cancel_fd = -1, .memory = &memory, .trace = trace};
    const struct conf_profile *p = conf_profile_find(conf, str_of(profile));
    if (!p) {
        err_set(why, ERR_CREDENTIALS, "there is no profile \"%s\"", profile);
        return NULL;
    }
    if (!cred_env_capture()) {
        err_set(why, ERR_CREDENTIALS, "memory is short");
        return NULL;
    }
    struct cred *c = cred_profile_fetch(&ctx, p, &reason);
    if (!c)
        err_set(why, ERR_CREDENTIALS, "profile \"%s\": %s", p->name, reason.text);
    cred_memory_free(&memory);
    return c;
}
