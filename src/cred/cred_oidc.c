/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "oidc": a role's temporary credential for an identity token that something else keeps
 * fresh in a file (a Kubernetes service account, a CI job). The file is read anew each time, and
 * watched: the next token may be another identity's, or what a failed exchange waits for. */
#include "cred/cred_sts.h"

enum { TOKEN_FILE_MAX = 64 * 1024 };

/* The profile's key, else the environment variable, else "". */
static const char *setting(const char *key, enum endpoint_cloud cloud, const char *suffix)
{
    return key[0] ? key : cred_env_var(cloud, suffix);
}

struct cred *cred_oidc_fetch(struct cred_ctx *ctx, const struct cred_role *role, const char *file,
                             struct err_detail *why)
{
    struct buf text;
    struct cred *c = NULL;
    buf_init(&text, TOKEN_FILE_MAX);
    if (cred_read_file(file, CRED_READ_EXEMPT, ctx->watch, &text, why)) {
        struct str token = buf_str(&text);
        while (token.n && strchr(" \t\r\n", token.p[token.n - 1]))
            token.n--;
        if (token.n)
            c = cred_sts_oidc(ctx, role, token, why);
        else
            err_set(why, ERR_CREDENTIALS, "%s is empty", file);
    }
    buf_wipe(&text);
    return c;
}

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    enum endpoint_cloud cloud = ctx->conf->cloud;
    const char *prefix = cred_env_prefix(cloud);
    const char *file = setting(p->oidc_token_file, cloud, "OIDC_TOKEN_FILE");
    struct cred_role role = {
        .provider = "oidc",
        .role_trn = setting(p->role_trn, cloud, "OIDC_ROLE_TRN"),
        .session_name = setting(p->role_session_name, cloud, "OIDC_ROLE_SESSION_NAME"),
        .policy = setting(p->policy, cloud, "OIDC_ROLE_POLICY"),
        .endpoint = setting(p->sts_endpoint, cloud, "OIDC_STS_ENDPOINT"),
        .scheme = p->sts_scheme,
        .region = p->sts_region,
        .duration_s = p->duration_seconds,
    };
    if (!role.role_trn[0] || !file[0]) {
        err_set(why, ERR_CREDENTIALS, "set %s_OIDC_ROLE_TRN and %s_OIDC_TOKEN_FILE", prefix,
                prefix);
        return NULL;
    }
    if (strpbrk(role.endpoint, "/?#@")) { /* the variable: the key was checked */
        err_set(why, ERR_CREDENTIALS,
                "%s_OIDC_STS_ENDPOINT must be HOST or HOST:PORT, without a scheme or a path",
                prefix);
        return NULL;
    }
    return cred_oidc_fetch(ctx, &role, file, why);
}

const struct cred_provider cred_provider_oidc = {.name = "oidc", .remote = true, .fetch = fetch};
