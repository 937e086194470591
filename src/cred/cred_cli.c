/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "cli": a profile of the clouds' command line tools (ve, bp), with every mode it can
 * have. The tool's files are only read, never written. Field names are the tool's. */
#include "base/clock.h"
#include "cred/cred_ecs.h"
#include "cred/cred_json.h"
#include "cred/cred_oauth.h"
#include "cred/cred_sts.h"
#include "cred/cred_time.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONFIG_MAX = 1024 * 1024,
    CONFIG_PATH_MAX = 4096,
    /* keys of a login that expire sooner than this are renewed instead of used; above the store's
     * shortest lead, so that its renewal always gets a fresh one */
    LEAST_LEFT_S = 90,
    FIELD_MAX = 2048,
};

/* One profile of the configuration file being looked at. */
struct cli {
    struct cred_ctx *ctx;
    const struct conf_profile *p;
    const char *path; /* of the configuration file */
    const char *name; /* of the tool's profile; may lie in `current` */
    char current[FIELD_MAX];
    const struct cred_json *config, *profile;
    struct err_detail *why;
};

static struct cred *fail(const struct cli *cli, const char *what, const char *cure)
{
    err_set(cli->why, ERR_CREDENTIALS, "%s: profile \"%.64s\" %s%s", cli->path, cli->name, what,
            cure);
    return NULL;
}

/* A member's text as a C string in a small fixed place; "" when missing, NULL when too long. */
static const char *field(const struct cli *cli, const char *name, char out[FIELD_MAX])
{
    struct str s = cred_json_member(cli->profile, name);
    if (s.n >= FIELD_MAX || (s.n && memchr(s.p, '\0', s.n)))
        return fail(cli, "has an unusable ", name), NULL;
    (void)snprintf(out, FIELD_MAX, "%.*s", STR_ARG(s));
    return out;
}

/* The keys that stand in the profile itself: temporary ones with a token, else the user's own,
 * beside which an expiry is a rest of another mode. */
static struct cred *own_keys(const struct cli *cli, bool temporary)
{
    struct err_detail detail = {""};
    struct str ak = cred_json_member(cli->profile, "access-key");
    struct str sk = cred_json_member(cli->profile, "secret-key");
    struct str token = cred_json_member(cli->profile, "session-token");
    int64_t until = 0;
    if (!ak.n || !sk.n)
        return fail(cli, ak.n ? "has no secret-key" : "has no access-key", "");
    if (temporary && !token.n)
        return fail(cli, "has no session-token, which mode StsToken needs", "");
    if (temporary && cred_json_int(cred_json_get(cli->profile, "sts-expiration"), &until))
        until = until > 0 ? cred_time_unix(until) : 0;
    struct cred *c = cred_new_plain("cli", ak, sk, token, until, &detail);
    return c ? c : fail(cli, "can't be used: ", detail.text);
}

static struct cred *mode_ak(const struct cli *cli)
{
    return own_keys(cli, false);
}

static struct cred *mode_sts_token(const struct cli *cli)
{
    return own_keys(cli, true);
}

/* Where ours says nothing, the tool's profile decides. */
static const char *scheme(const struct cli *cli)
{
    if (cli->p->sts_scheme[0])
        return cli->p->sts_scheme;
    return cred_json_true(cred_json_get(cli->profile, "disable-ssl")) ? "http" : "https";
}

/* What the tool's profile says, under what ours says about STS. */
static struct cred_role role_of(const struct cli *cli, const char *trn, const char *policy,
                                const char *region)
{
    const struct conf_profile *p = cli->p;
    return (struct cred_role){
        .provider = "cli",
        .role_trn = trn,
        .session_name = p->role_session_name,
        .policy = policy,
        .endpoint = p->sts_endpoint,
        .scheme = scheme(cli),
        .region = p->sts_region[0] ? p->sts_region : region,
        .duration_s = p->duration_seconds,
    };
}

static struct cred *mode_role(const struct cli *cli)
{
    char name[FIELD_MAX], account[FIELD_MAX], policy[FIELD_MAX], region[FIELD_MAX];
    char trn[CRED_TRN_MAX];
    struct conf_profile names = cred_profile_blank(cli->name);
    if (!field(cli, "role-name", name) || !field(cli, "account-id", account) ||
        !field(cli, "policy", policy) || !field(cli, "region", region))
        return NULL;
    names.role_name = name;
    names.account_id = account;
    if (!name[0] || !account[0])
        return fail(cli, name[0] ? "has no account-id" : "has no role-name",
                    ", which mode RamRoleArn needs");
    if (!cred_sts_role_trn(&names, trn, cli->why))
        return NULL;
    struct cred_role role = role_of(cli, trn, policy, region);
    struct cred *base = own_keys(cli, false);
    struct cred *c = base ? cred_sts_assume_role(cli->ctx, &role, base, cli->why) : NULL;
    cred_unref(base);
    return c;
}

static struct cred *mode_oidc(const struct cli *cli)
{
    char file[FIELD_MAX], trn[FIELD_MAX], policy[FIELD_MAX], region[FIELD_MAX];
    if (!field(cli, "oidc-token-file", file) || !field(cli, "role-trn", trn) ||
        !field(cli, "policy", policy) || !field(cli, "region", region))
        return NULL;
    if (!file[0] || !trn[0])
        return fail(cli, file[0] ? "has no role-trn" : "has no oidc-token-file",
                    ", which mode OIDC needs");
    struct cred_role role = role_of(cli, trn, policy, region);
    return cred_oidc_fetch(cli->ctx, &role, file, cli->why);
}

static struct cred *mode_ecs(const struct cli *cli)
{
    char name[FIELD_MAX];
    if (!field(cli, "role-name", name))
        return NULL;
    if (!name[0])
        return fail(cli, "has no role-name, which mode EcsRole needs", "");
    return cred_ecs_fetch(cli->ctx, name, cli->why);
}

/* The tool leaves the last credential of a login in the profile: used while it is good. */
static struct cred *left_over(const struct cli *cli)
{
    int64_t until = 0;
    clock_tick();
    if (!cred_json_int(cred_json_get(cli->profile, "sts-expiration"), &until) || until <= 0 ||
        cred_time_unix(until) <= clock_wall_s() + LEAST_LEFT_S)
        return NULL;
    return own_keys(cli, true);
}

static struct cred *mode_sso(const struct cli *cli)
{
    struct cred *c = cli->ctx->want == CRED_WANT_GOOD ? left_over(cli) : NULL;
    char name[FIELD_MAX];
    if (c || !field(cli, "sso-session-name", name))
        return c;
    cli->why->text[0] = '\0';
    const struct cred_json *session =
        cred_json_get(cred_json_get(cli->config, "sso-session"), name);
    struct cred_sso sso = {
        .session_name = str_of(name),
        .start_url = cred_json_member(session, "start-url"),
        .region = cred_json_member(session, "region"),
        .account_id = cred_json_member(cli->profile, "account-id"),
        .role_name = cred_json_member(cli->profile, "role-name"),
    };
    if (!sso.region.n)
        sso.region = cred_json_member(cli->profile, "region");
    const char *missing = !name[0]            ? "has no sso-session-name"
                          : !session          ? "names an sso-session that is not in the file"
                          : !sso.start_url.n  ? "uses an sso-session without start-url"
                          : !sso.account_id.n ? "has no account-id"
                          : !sso.role_name.n  ? "has no role-name"
                                              : NULL;
    if (missing)
        return fail(cli, missing, ", which mode sso needs");
    return cred_oauth_sso(cli->ctx, cli->path, &sso, cli->why);
}

static struct cred *mode_console(const struct cli *cli)
{
    struct str session = cred_json_member(cli->profile, "login-session");
    if (!session.n)
        return fail(cli, "has no login-session, which mode console-login needs", "; log in first");
    return cred_oauth_console(cli->ctx, cli->path, session, cli->why);
}

static struct cred *by_mode(const struct cli *cli)
{
    static const struct {
        const char *name;
        struct cred *(*fetch)(const struct cli *cli);
    } modes[] = {
        {"", mode_ak},
        {"AK", mode_ak},
        {"StsToken", mode_sts_token},
        {"RamRoleArn", mode_role},
        {"OIDC", mode_oidc},
        {"EcsRole", mode_ecs},
        {"sso", mode_sso},
        {"console-login", mode_console},
    };
    struct str mode = cred_json_member(cli->profile, "mode");
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (str_ieq(str_of(modes[i].name), mode))
            return modes[i].fetch(cli);
    return fail(cli,
                "has a mode that is not known: AK, StsToken, RamRoleArn, OIDC, EcsRole, sso and "
                "console-login are",
                "");
}

/* profile = argument > environment > "current" > "default" */
static struct cred *by_profile(struct cli *cli)
{
    struct str s = cred_json_member(cli->config, "current");
    (void)snprintf(cli->current, sizeof cli->current, "%.*s",
                   (int)(s.n < sizeof cli->current ? s.n : sizeof cli->current - 1),
                   s.n ? s.p : "");
    const char *env = cred_env_var(cli->ctx->conf->cloud, "PROFILE");
    cli->name = cli->p->cli_profile[0] ? cli->p->cli_profile
                : env[0]               ? env
                : cli->current[0]      ? cli->current
                                       : "default";
    cli->profile = cred_json_get(cred_json_get(cli->config, "profiles"), cli->name);
    if (!cred_json_is_object(cli->profile))
        return fail(cli, "is not in the file", "");
    return by_mode(cli);
}

static bool config_path(const struct cred_ctx *ctx, const struct conf_profile *p,
                        char path[CONFIG_PATH_MAX], struct err_detail *why)
{
    enum endpoint_cloud cloud = ctx->conf->cloud;
    const char *given = p->config_file[0] ? p->config_file : cred_env_var(cloud, "CLI_CONFIG_FILE");
    const char *home = cred_env_plain("HOME");
    bool in_home = !given[0] || (given[0] == '~' && given[1] == '/');
    int n;
    if (in_home && !home[0]) {
        err_set(why, ERR_CREDENTIALS, "HOME is not set: set %s_CLI_CONFIG_FILE",
                cred_env_prefix(cloud));
        return false;
    }
    if (in_home && given[0])
        n = snprintf(path, CONFIG_PATH_MAX, "%s%s", home, given + 1);
    else if (given[0])
        n = snprintf(path, CONFIG_PATH_MAX, "%s", given);
    else
        n = snprintf(path, CONFIG_PATH_MAX, "%s/.%s/config.json", home,
                     cloud == CLOUD_BYTEPLUS ? "byteplus" : "volcengine");
    if (n < 0 || n >= CONFIG_PATH_MAX)
        err_set(why, ERR_CREDENTIALS, "the path of the tool's configuration is too long");
    return n >= 0 && n < CONFIG_PATH_MAX;
}

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    char path[CONFIG_PATH_MAX];
    struct err_detail detail = {""};
    struct cred *c = NULL;
    struct buf text;
    if (!config_path(ctx, p, path, why))
        return NULL;
    buf_init(&text, CONFIG_MAX);
    if (cred_read_file(
            path, ctx->conf->security.strict_file_permissions ? CRED_READ_STRICT : CRED_READ_EXEMPT,
            ctx->watch, &text, why)) {
        struct cred_json *config = cred_json_parse(buf_str(&text), &detail);
        struct cli cli = {.ctx = ctx, .p = p, .path = path, .config = config, .why = why};
        if (config)
            c = by_profile(&cli);
        else
            err_set(why, ERR_CREDENTIALS, "%s: %s", path, detail.text);
        cred_json_free(config);
    } else {
        detail = *why;
        err_set(why, ERR_CREDENTIALS,
                "%s; log in with the command line tool, or set "
                "%s_CLI_CONFIG_FILE",
                detail.text, cred_env_prefix(ctx->conf->cloud));
    }
    buf_wipe(&text);
    return c;
}

const struct cred_provider cred_provider_cli = {.name = "cli", .remote = true, .fetch = fetch};
