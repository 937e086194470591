/* SPDX-License-Identifier: Apache-2.0 */
/* Mode "console-login": the access token of the login is itself a temporary credential, as JSON;
 * renewing the login renews it. */
#include "cred/cred_oauth_int.h"
#include "http/uri.h"

#include <stdlib.h>

enum { URL_LEN = 2048, FORM_MAX = 32 * 1024, TRIES = 3 };

static const char token_path[] = "/authorize/oauth/token";

static void pair(struct buf *b, const char *name, struct str value)
{
    buf_printf(b, "%s%s=", b->n ? "&" : "", name);
    uri_encode(b, value);
}

/* Tokens go over TLS, but to a host that plain HTTP was allowed for. */
static bool fit(const struct cred_ctx *ctx, struct str url)
{
    return str_istarts(url, STR("https://")) ||
           (ctx->conf->security.allow_http && str_istarts(url, STR("http://")));
}

static bool post(struct cred_ctx *ctx, const struct cred_oauth *o, const void *arg,
                 struct fetch_response *r, struct err_detail *why)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded"};
    struct str base = str_of(o->endpoint);
    struct buf url, form;
    bool ok = false;
    (void)arg;
    if (!base.n)
        base = ctx->conf->cloud == CLOUD_BYTEPLUS ? STR("https://signin.byteplus.com")
                                                  : STR("https://signin.volcengine.com");
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    buf_init(&url, URL_LEN);
    buf_init(&form, FORM_MAX);
    buf_puts(&url, base);
    buf_putz(&url, token_path);
    pair(&form, "client_id", str_of(o->client_id));
    pair(&form, "grant_type", STR("refresh_token"));
    pair(&form, "refresh_token", secret_str(o->refresh));
    if (o->scope[0])
        pair(&form, "scope", str_of(o->scope));
    struct cred_call q = {.method = "POST",
                          .url = buf_cstr(&url),
                          .headers = headers,
                          .nheaders = ARRAY_LEN(headers),
                          .body = buf_str(&form),
                          .tries = TRIES};
    if (!q.url || url.failed || form.failed || !fit(ctx, base))
        err_set(why, ERR_CREDENTIALS, "the login's endpoint_url is not an https:// URL");
    else
        ok = cred_http(ctx, &q, r, why);
    buf_wipe(&form);
    buf_free(&url);
    return ok;
}

struct cred *cred_oauth_console(struct cred_ctx *ctx, const char *config_path,
                                struct str login_session, struct err_detail *why)
{
    char name[CRED_CACHE_NAME_MAX];
    struct err_detail detail = {""};
    struct cred *c = NULL;
    cred_oauth_console_name(login_session, name);
    char *path = cred_oauth_path(
        config_path, cred_env_var(ctx->conf->cloud, "LOGIN_CACHE_DIRECTORY"), "login/cache", name);
    struct cred_oauth *o = path ? cred_oauth_open(ctx, CRED_LOGIN_CONSOLE, path, why) : NULL;
    if (o && cred_oauth_renew(ctx, CRED_LOGIN_CONSOLE, o, post, NULL, why)) {
        struct cred_json *j = cred_json_parse(secret_str(o->access), &detail);
        if (j)
            c = cred_new_plain("cli", cred_json_member(j, "access_key_id"),
                               cred_json_member(j, "secret_access_key"),
                               cred_json_member(j, "session_token"), o->expires_s, &detail);
        if (!c)
            err_set(why, ERR_CREDENTIALS, "the login's access token is no credential (%s); %s",
                    detail.text, cred_oauth_cure(ctx, CRED_LOGIN_CONSOLE));
        cred_json_free(j);
    }
    free(path);
    return c;
}
