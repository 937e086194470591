/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "ecs": the role of the instance we run on, from its metadata service, version 2: a
 * session token first, then the role's name unless it is known, then its credential. The service is
 * link-local: never asked through a proxy. */
#include "cred/cred_ecs.h"
#include "base/clock.h"
#include "cred/cred_http.h"
#include "cred/cred_json.h"
#include "cred/cred_time.h"
#include "http/hdr.h"
#include "http/uri.h"

#include <stdio.h>

static const char base_url[] = "http://100.96.0.96";
static const char roles_path[] = "/volcstack/latest/iam/security_credentials";

enum { TRIES = 3, ROLE_MAX = 256, TOKEN_MAX = 4096 };

/* One request; its body without spaces around is in r, false with why set for anything but 200. */
static bool ask(struct cred_ctx *ctx, const char *method, const char *path, const char *header,
                struct fetch_response *r, struct err_detail *why)
{
    char url[1024];
    struct err_detail detail = {""};
    int n = snprintf(url, sizeof url, "%s%s", base_url, path);
    struct cred_call q = {.method = method,
                          .url = url,
                          .headers = &header,
                          .nheaders = 1,
                          .tries = TRIES,
                          .connect_ns = NS_PER_SEC,
                          .read_ns = NS_PER_SEC,
                          .direct = true};
    if (n < 0 || (size_t)n >= sizeof url) {
        err_set(why, ERR_CREDENTIALS, "the role's name is too long");
        return false;
    }
    if (!cred_http(ctx, &q, r, &detail)) {
        err_set(why, ERR_CREDENTIALS, "no metadata service (%s)", detail.text);
        return false;
    }
    if (r->status == 200)
        return true;
    err_set(why, ERR_CREDENTIALS, "the metadata service answered %.40s with HTTP %d", path,
            r->status);
    buf_wipe(&r->body);
    return false;
}

static struct str trimmed(struct str s)
{
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    while (s.n && strchr(" \t\r\n", s.p[0]))
        s.p++, s.n--;
    return s;
}

/* The header line that carries the session token. */
static bool session(struct cred_ctx *ctx, struct buf *header, struct err_detail *why)
{
    struct fetch_response r;
    if (!ask(ctx, "PUT", "/latest/api/token", "X-volc-ecs-metadata-token-ttl-seconds: 21600", &r,
             why))
        return false;
    struct str token = trimmed(buf_str(&r.body));
    bool ok = token.n > 0 && hdr_is_value(token);
    buf_putz(header, "X-volc-ecs-metadata-token: ");
    buf_puts(header, token);
    ok = ok && buf_cstr(header) && !header->failed;
    if (!ok)
        err_set(why, ERR_CREDENTIALS, "the metadata service gave no usable session token");
    buf_wipe(&r.body);
    return ok;
}

/* The first role of the list: a JSON array, or one name a line. */
static bool first_role(struct str body, char role[ROLE_MAX])
{
    struct err_detail ignored = {""};
    struct cred_json *j = cred_json_parse(body, &ignored);
    struct str name = j ? trimmed(cred_json_text(cred_json_at(j, 0))) : (struct str){NULL, 0};
    for (struct str rest = body; !j && rest.p && !name.n;)
        name = trimmed(str_cut(&rest, '\n'));
    bool ok = name.n > 0 && name.n < ROLE_MAX && hdr_is_value(name);
    if (ok)
        (void)snprintf(role, ROLE_MAX, "%.*s", STR_ARG(name));
    cred_json_free(j);
    return ok;
}

static bool find_role(struct cred_ctx *ctx, const char *header, char role[ROLE_MAX],
                      struct err_detail *why)
{
    char path[128];
    struct fetch_response r;
    (void)snprintf(path, sizeof path, "%s?type=user&format=json", roles_path);
    if (!ask(ctx, "GET", path, header, &r, why))
        return false;
    bool ok = first_role(buf_str(&r.body), role);
    if (!ok)
        err_set(why, ERR_CREDENTIALS, "the instance has no role: attach one to it");
    buf_wipe(&r.body);
    return ok;
}

static struct cred *parse(struct str body, struct err_detail *why)
{
    struct err_detail detail = {""};
    struct cred *c = NULL;
    int64_t expires = 0;
    struct cred_json *j = cred_json_parse(body, &detail);
    struct str until = cred_json_member(j, "ExpiredTime");
    if (!j)
        err_set(why, ERR_CREDENTIALS, "the metadata service's answer is %s", detail.text);
    else if (!cred_time_parse(until, &expires))
        err_set(why, ERR_CREDENTIALS,
                "the metadata service's answer has no ExpiredTime in RFC 3339 form");
    else if (expires <= 0) /* 0 would mean never */
        err_set(why, ERR_CREDENTIALS,
                "the metadata service's answer has an ExpiredTime that is not after 1970");
    else if (!cred_json_member(j, "SessionToken").n) /* the keys are worth nothing without */
        err_set(why, ERR_CREDENTIALS, "the metadata service's answer has no SessionToken");
    else if (!(c = cred_new_plain("ecs", cred_json_member(j, "AccessKeyId"),
                                  cred_json_member(j, "SecretAccessKey"),
                                  cred_json_member(j, "SessionToken"), expires, &detail)))
        err_set(why, ERR_CREDENTIALS, "the metadata service's answer: %s", detail.text);
    cred_json_free(j);
    return c;
}

struct cred *cred_ecs_fetch(struct cred_ctx *ctx, const char *role_name, struct err_detail *why)
{
    enum endpoint_cloud cloud = ctx->conf->cloud;
    char role[ROLE_MAX];
    struct buf header, path;
    struct fetch_response r;
    struct cred *c = NULL;
    if (str_ieq(str_of(cred_env_var(cloud, "ECS_METADATA_DISABLED")), STR("true"))) {
        err_set(why, ERR_CREDENTIALS, "switched off by %s_ECS_METADATA_DISABLED",
                cred_env_prefix(cloud));
        return NULL;
    }
    buf_init(&header, TOKEN_MAX);
    buf_init(&path, sizeof roles_path + 3 * ROLE_MAX + 2);
    if (!session(ctx, &header, why))
        goto out;
    if (role_name[0])
        (void)snprintf(role, sizeof role, "%s", role_name);
    else if (!find_role(ctx, header.p, role, why))
        goto out;
    buf_putz(&path, roles_path);
    buf_putc(&path, '/');
    uri_encode(&path, str_of(role));
    if (strlen(role_name) >= sizeof role || !buf_cstr(&path))
        err_set(why, ERR_CREDENTIALS, "the role's name is too long");
    else if (ask(ctx, "GET", path.p, header.p, &r, why)) {
        c = parse(buf_str(&r.body), why);
        buf_wipe(&r.body);
    }
out:
    buf_wipe(&header);
    buf_free(&path);
    return c;
}

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    const char *role =
        p->role_name[0] ? p->role_name : cred_env_var(ctx->conf->cloud, "ECS_METADATA");
    return cred_ecs_fetch(ctx, role, why);
}

const struct cred_provider cred_provider_ecs = {.name = "ecs", .remote = true, .fetch = fetch};
