/* SPDX-License-Identifier: Apache-2.0 */
/* The security token service: building the requests, and reading the answers. The wire form is the
 * official SDKs': version 2018-01-01, AssumeRole as a signed GET, the others as unsigned forms.
 * Tokens and keys never reach an error text. */
#include "cred/cred_sts.h"
#include "base/clock.h"
#include "cred/cred_http.h"
#include "cred/cred_json.h"
#include "cred/cred_time.h"

#include <stdio.h>

enum {
    URL_MAX_LEN = 16 * 1024,
    FORM_MAX = 256 * 1024, /* a SAML response may be large */
    DURATION_DEFAULT = 3600,
    TRIES = 3, /* the official SDKs' number */
};

static const char version[] = "2018-01-01";

const char *cred_sts_default_region(enum endpoint_cloud cloud)
{
    return cloud == CLOUD_BYTEPLUS ? "ap-southeast-1" : "cn-beijing";
}

static const char *default_host(enum endpoint_cloud cloud)
{
    return cloud == CLOUD_BYTEPLUS ? "sts.byteplusapi.com" : "sts.volcengineapi.com";
}

static const char *or_else(const char *s, const char *fallback)
{
    return s && s[0] ? s : fallback;
}

bool cred_sts_role_trn(const struct conf_profile *p, char trn[CRED_TRN_MAX], struct err_detail *why)
{
    int n;
    if (p->role_trn[0]) {
        n = snprintf(trn, CRED_TRN_MAX, "%s", p->role_trn);
    } else if (p->role_name[0] && p->account_id[0]) {
        n = snprintf(trn, CRED_TRN_MAX, "trn:iam::%s:role/%s", p->account_id, p->role_name);
    } else {
        err_set(why, ERR_CREDENTIALS, "set role_trn, or role_name and account_id");
        return false;
    }
    if (n < 0 || n >= CRED_TRN_MAX)
        err_set(why, ERR_CREDENTIALS, "the role's name is too long");
    return n >= 0 && n < CRED_TRN_MAX;
}

bool cred_sts_role(const struct conf_profile *p, const char *provider, char trn[CRED_TRN_MAX],
                   struct cred_role *role, struct err_detail *why)
{
    *role = (struct cred_role){
        .provider = provider,
        .role_trn = trn,
        .session_name = p->role_session_name,
        .policy = p->policy,
        .endpoint = p->sts_endpoint,
        .scheme = p->sts_scheme,
        .region = p->sts_region,
        .duration_s = p->duration_seconds,
    };
    return cred_sts_role_trn(p, trn, why);
}

static void pair(struct buf *b, const char *name, struct str value)
{
    if (b->n)
        buf_putc(b, '&');
    buf_putz(b, name);
    buf_putc(b, '=');
    uri_encode(b, value);
}

/* The parameters that all three calls share, in the form of a query. */
static void role_pairs(struct buf *b, const struct cred_role *role)
{
    char text[64];
    int64_t duration = role->duration_s ? role->duration_s : DURATION_DEFAULT;
    (void)snprintf(text, sizeof text, "%lld", (long long)duration);
    pair(b, "DurationSeconds", str_of(text));
    if (role->policy && role->policy[0])
        pair(b, "Policy", str_of(role->policy));
    clock_tick();
    (void)snprintf(text, sizeof text, "sigferry-%lld", (long long)clock_wall_s());
    pair(b, "RoleSessionName", str_of(or_else(role->session_name, text)));
    pair(b, "RoleTrn", str_of(role->role_trn));
}

/* A part of the answer as it may be shown: of max bytes at most, and without a secret: services
 * like to quote what they refuse. */
static struct str shown(struct str part, size_t max, const struct str secrets[CRED_STS_SECRETS])
{
    if (part.n > max)
        part.n = max;
    for (size_t i = 0; i < CRED_STS_SECRETS; i++)
        if (secret_is_quoted(part, secrets[i]))
            return STR("(not shown, it quotes a key or token)");
    return part.n ? part : STR("");
}

static void set_service_error(const struct cred_json *j, int status,
                              const struct str secrets[CRED_STS_SECRETS], struct err_detail *why)
{
    const struct cred_json *meta = cred_json_get(j, "ResponseMetadata");
    const struct cred_json *e = cred_json_get(meta, "Error");
    struct str code = shown(cred_json_member(e, "Code"), 64, secrets);
    struct str text = shown(cred_json_member(e, "Message"), 200, secrets);
    struct str id = shown(cred_json_member(meta, "RequestId"), 64, secrets);
    err_set(why, ERR_CREDENTIALS, "STS refused with HTTP %d %.*s: %.*s (request %.*s)", status,
            STR_ARG(code), STR_ARG(text), STR_ARG(id));
}

struct cred *cred_sts_parse(const char *provider, int status, struct str body,
                            const struct str secrets[CRED_STS_SECRETS], struct err_detail *why)
{
    struct err_detail detail = {""};
    struct cred *c = NULL;
    int64_t expires = 0;
    struct cred_json *j = cred_json_parse(body, &detail);
    const struct cred_json *made = cred_json_get(cred_json_get(j, "Result"), "Credentials");
    struct str until = cred_json_member(made, "Expiration");
    if (!until.n)
        until = cred_json_member(made, "ExpiredTime");
    if (cred_json_get(cred_json_get(j, "ResponseMetadata"), "Error"))
        set_service_error(j, status, secrets, why);
    else if (status != 200)
        err_set(why, ERR_CREDENTIALS, "STS answered with HTTP %d", status);
    else if (!j)
        err_set(why, ERR_CREDENTIALS, "STS's answer is %s", detail.text);
    else if (!made)
        err_set(why, ERR_CREDENTIALS, "STS's answer has no Result.Credentials");
    else if (!cred_time_parse(until, &expires))
        err_set(why, ERR_CREDENTIALS, "STS's answer has no expiry in RFC 3339 form");
    else if (expires <= 0) /* 0 would mean never */
        err_set(why, ERR_CREDENTIALS, "STS's answer has an expiry that is not after 1970");
    else if (!cred_json_member(made, "SessionToken").n) /* the keys are worth nothing without */
        err_set(why, ERR_CREDENTIALS, "STS's answer has no SessionToken");
    else if (!(c = cred_new_plain(provider, cred_json_member(made, "AccessKeyId"),
                                  cred_json_member(made, "SecretAccessKey"),
                                  cred_json_member(made, "SessionToken"), expires, &detail)))
        err_set(why, ERR_CREDENTIALS, "STS's answer: %s", detail.text);
    cred_json_free(j);
    return c;
}

/* An unsigned form POST. */
static struct cred *post(struct cred_ctx *ctx, const struct cred_role *role, const char *action,
                         struct buf *form, struct str token, struct err_detail *why)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded"};
    const struct str secrets[CRED_STS_SECRETS] = {token};
    struct fetch_response r;
    struct buf url;
    struct cred *c = NULL;
    buf_init(&url, URL_MAX_LEN);
    buf_printf(&url, "%s://%s/?Action=%s&Version=%s", or_else(role->scheme, "https"),
               or_else(role->endpoint, default_host(ctx->conf->cloud)), action, version);
    struct cred_call q = {.method = "POST",
                          .url = buf_cstr(&url),
                          .headers = headers,
                          .nheaders = ARRAY_LEN(headers),
                          .body = buf_str(form),
                          .tries = TRIES};
    if (!q.url || url.failed || form->failed)
        err_set(why, ERR_CREDENTIALS, "the STS request would be too large");
    else if (cred_http(ctx, &q, &r, why)) {
        c = cred_sts_parse(role->provider, r.status, buf_str(&r.body), secrets, why);
        buf_wipe(&r.body);
    }
    buf_free(&url);
    return c;
}

struct cred *cred_sts_oidc(struct cred_ctx *ctx, const struct cred_role *role, struct str token,
                           struct err_detail *why)
{
    struct buf form;
    buf_init(&form, FORM_MAX);
    role_pairs(&form, role);
    pair(&form, "OIDCToken", token);
    struct cred *c = post(ctx, role, "AssumeRoleWithOIDC", &form, token, why);
    buf_wipe(&form);
    return c;
}

struct cred *cred_sts_saml(struct cred_ctx *ctx, const struct cred_role *role,
                           const char *saml_provider_trn, struct str response,
                           struct err_detail *why)
{
    struct buf form;
    buf_init(&form, FORM_MAX);
    role_pairs(&form, role);
    pair(&form, "SAMLProviderTrn", str_of(saml_provider_trn));
    pair(&form, "SAMLResp", response);
    struct cred *c = post(ctx, role, "AssumeRoleWithSAML", &form, response, why);
    buf_wipe(&form);
    return c;
}

/* The header lines of a signed GET. */
enum { SIGNED_HEADERS = 5 };
struct signed_headers {
    struct buf text[SIGNED_HEADERS];
    const char *v[SIGNED_HEADERS];
    size_t n;
};

static void header(struct signed_headers *h, const char *name, struct str value)
{
    struct buf *b = &h->text[h->n];
    buf_init(b, 32 * 1024);
    buf_printf(b, "%s: ", name);
    buf_puts(b, value);
    h->v[h->n++] = buf_cstr(b);
}

static bool sign_get(const struct cred_role *role, enum endpoint_cloud cloud, const char *host,
                     struct str query, const struct cred *base, struct signed_headers *h)
{
    struct sign_cred keys = cred_for_signing(base);
    struct hdrs none = {NULL, 0, 0};
    struct sign_output out;
    keys.secret_id = 0; /* one signature: nothing to cache */
    clock_tick();
    struct sign_input in = {
        .method = STR("GET"),
        .path = STR("/"),
        .query = query,
        .host = str_of(host),
        .hdrs = &none,
        .body_sha256 = str_n(digest_empty_hex, DIGEST_HEX_LEN),
        .service = STR("sts"),
        .region = str_of(or_else(role->region, cred_sts_default_region(cloud))),
        .time_s = clock_wall_s(),
        .cred = &keys,
    };
    struct signer *s = signer_new();
    bool ok = s && sign_request(s, &in, &out) == ERR_OK;
    if (ok) {
        /* as it is signed: libcurl's own would lack the scheme's default port */
        header(h, "Host", in.host);
        header(h, "X-Date", str_of(out.x_date));
        header(h, "X-Content-Sha256", in.body_sha256);
        header(h, "Authorization", out.authorization);
        if (keys.session_token.n)
            header(h, "X-Security-Token", keys.session_token);
        for (size_t i = 0; i < h->n; i++)
            ok = ok && h->v[i] && !h->text[i].failed;
    }
    signer_free(s);
    return ok;
}

struct cred *cred_sts_assume_role(struct cred_ctx *ctx, const struct cred_role *role,
                                  const struct cred *base, struct err_detail *why)
{
    struct signed_headers h = {.n = 0};
    const char *host = or_else(role->endpoint, default_host(ctx->conf->cloud));
    const struct str secrets[CRED_STS_SECRETS] = {
        secret_str(base->secret_key), secret_str(base->session_token), str_of(base->access_key)};
    struct fetch_response r;
    struct buf url;
    struct cred *c = NULL;
    struct buf query;
    buf_init(&query, URL_MAX_LEN);
    buf_init(&url, URL_MAX_LEN);
    pair(&query, "Action", STR("AssumeRole")); /* all pairs in the canonical order of signing */
    role_pairs(&query, role);
    pair(&query, "Version", str_of(version));
    buf_printf(&url, "%s://%s/?", or_else(role->scheme, "https"), host);
    buf_puts(&url, buf_str(&query));
    struct cred_call q = {.method = "GET", .url = buf_cstr(&url), .tries = TRIES};
    if (!q.url || url.failed || query.failed) {
        err_set(why, ERR_CREDENTIALS, "the STS request would be too large: shorten the policy");
    } else if (!sign_get(role, ctx->conf->cloud, host, buf_str(&query), base, &h)) {
        err_set(why, ERR_CREDENTIALS, "the STS request could not be signed");
    } else {
        q.headers = h.v;
        q.nheaders = h.n;
        if (cred_http(ctx, &q, &r, why)) {
            c = cred_sts_parse(role->provider, r.status, buf_str(&r.body), secrets, why);
            buf_wipe(&r.body);
        }
    }
    for (size_t i = 0; i < h.n; i++)
        buf_wipe(&h.text[i]);
    buf_free(&query);
    buf_free(&url);
    return c;
}
