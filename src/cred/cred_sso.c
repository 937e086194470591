/* SPDX-License-Identifier: Apache-2.0 */
/* Mode "sso": the session's access token, renewed at the identity service when it ended, buys the
 * credential of a role in an account from the portal. Hosts are made of a region; a token is sent
 * nowhere else. */
#include "cred/cred_oauth_int.h"
#include "cred/cred_sts.h"
#include "cred/cred_time.h"
#include "http/hdr.h"
#include "http/uri.h"

#include <stdio.h>
#include <stdlib.h>

enum { URL_LEN = 2048, BODY_MAX = 32 * 1024, TRIES = 3 };

struct sso_host {
    char region[65];
    const char *domain;
};

static void member(struct buf *b, const char *name, struct str value, char end)
{
    buf_printf(b, "\"%s\":", name);
    cred_json_put(b, value);
    buf_putc(b, end);
}

static bool post(struct cred_ctx *ctx, const struct cred_oauth *o, const void *arg,
                 struct fetch_response *r, struct err_detail *why)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    const struct sso_host *at = arg;
    char url[URL_LEN];
    struct buf body;
    bool ok = false;
    (void)snprintf(url, sizeof url, "https://cloudidentity-oauth.%s.%s/token", at->region,
                   at->domain);
    buf_init(&body, BODY_MAX);
    buf_putc(&body, '{');
    member(&body, "grant_type", STR("refresh_token"), ',');
    member(&body, "client_id", str_of(o->client_id), ',');
    member(&body, "client_secret", secret_str(o->client_secret), ',');
    member(&body, "refresh_token", secret_str(o->refresh), '}');
    struct cred_call q = {.method = "POST",
                          .url = url,
                          .headers = headers,
                          .nheaders = ARRAY_LEN(headers),
                          .body = buf_str(&body),
                          .tries = TRIES};
    if (body.failed)
        err_set(why, ERR_CREDENTIALS, "the login's tokens are too long");
    else
        ok = cred_http(ctx, &q, r, why);
    buf_wipe(&body);
    return ok;
}

static struct cred *parse(int status, struct str body, struct err_detail *why)
{
    struct err_detail detail = {""};
    struct cred *c = NULL;
    int64_t until = 0;
    struct cred_json *j = cred_json_parse(body, &detail);
    const struct cred_json *e = cred_json_get(cred_json_get(j, "ResponseMetadata"), "Error");
    const struct cred_json *made = cred_json_get(cred_json_get(j, "Result"), "RoleCredentials");
    struct str code = cred_json_member(e, "Code");
    if (e || status != 200)
        err_set(why, ERR_CREDENTIALS, "the portal refused with HTTP %d %.*s", status,
                (int)(code.n < 64 ? code.n : 64), code.n ? code.p : "");
    else if (!j)
        err_set(why, ERR_CREDENTIALS, "the portal's answer is %s", detail.text);
    else if (!made || !cred_json_int(cred_json_get(made, "Expiration"), &until) || until <= 0)
        err_set(why, ERR_CREDENTIALS, "the portal's answer has no RoleCredentials with Expiration");
    else if (!(c = cred_new_plain("cli", cred_json_member(made, "AccessKeyId"),
                                  cred_json_member(made, "SecretAccessKey"),
                                  cred_json_member(made, "SessionToken"), cred_time_unix(until),
                                  &detail)))
        err_set(why, ERR_CREDENTIALS, "the portal's answer: %s", detail.text);
    cred_json_free(j);
    return c;
}

static struct cred *buy(struct cred_ctx *ctx, const struct cred_sso *sso, const struct sso_host *at,
                        struct str token, struct err_detail *why)
{
    struct buf url, bearer;
    struct fetch_response r;
    struct cred *c = NULL;
    buf_init(&url, URL_LEN);
    buf_init(&bearer, BODY_MAX);
    buf_printf(&url,
               "https://cloudidentity-portal.%s.%s/federation/credentials?account_id=", at->region,
               at->domain);
    uri_encode(&url, sso->account_id);
    buf_putz(&url, "&role_name=");
    uri_encode(&url, sso->role_name);
    buf_putz(&bearer, "x-bd-cloudidentity-bearer-token: ");
    buf_puts(&bearer, token);
    const char *headers[] = {"Accept: application/json", buf_cstr(&bearer)};
    struct cred_call q = {.method = "GET",
                          .url = buf_cstr(&url),
                          .headers = headers,
                          .nheaders = ARRAY_LEN(headers),
                          .tries = TRIES};
    if (!q.url || !headers[1] || url.failed || bearer.failed || !hdr_is_value(token))
        err_set(why, ERR_CREDENTIALS, "the login's names or token can't be sent in a request");
    else if (cred_http(ctx, &q, &r, why)) {
        c = parse(r.status, buf_str(&r.body), why);
        buf_wipe(&r.body);
    }
    buf_wipe(&bearer);
    buf_free(&url);
    return c;
}

struct cred *cred_oauth_sso(struct cred_ctx *ctx, const char *config_path,
                            const struct cred_sso *sso, struct err_detail *why)
{
    char name[CRED_CACHE_NAME_MAX];
    enum endpoint_cloud cloud = ctx->conf->cloud;
    struct str region = sso->region.n ? sso->region : str_of(cred_sts_default_region(cloud));
    struct sso_host at = {.domain = cloud == CLOUD_BYTEPLUS ? "bytepluses.com" : "volces.com"};
    struct cred *c = NULL;
    if (!endpoint_is_label(region)) { /* it becomes a part of the host that gets the tokens */
        err_set(why, ERR_CREDENTIALS, "the sso-session's region is not a region's name");
        return NULL;
    }
    (void)snprintf(at.region, sizeof at.region, "%.*s", STR_ARG(region));
    cred_oauth_sso_name(sso->start_url, sso->session_name, name);
    char *path = cred_oauth_path(config_path, "", "sso/cache", name);
    struct cred_oauth *o = path ? cred_oauth_open(ctx, CRED_LOGIN_SSO, path, why) : NULL;
    if (o && !o->client_secret)
        err_set(why, ERR_CREDENTIALS, "the login's token cache has no client_secret; %s",
                cred_oauth_cure(ctx, CRED_LOGIN_SSO));
    else if (o && cred_oauth_renew(ctx, CRED_LOGIN_SSO, o, post, &at, why))
        c = buy(ctx, sso, &at, secret_str(o->access), why);
    free(path);
    return c;
}
