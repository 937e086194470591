/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of browser logins. The tool's cache file is read when it changed and renewed in memory
 * only: the tool stays its only writer. A refresh token can be used up by the tool meanwhile; then
 * the file holds the next one, so a refused renewal looks there once. */
#include "base/clock.h"
#include "cred/cred_oauth_int.h"
#include "cred/cred_sha1.h"
#include "cred/cred_time.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CACHE_MAX = 256 * 1024,
    /* an access token that ends sooner is renewed; above the store's shortest lead, so that its
     * renewal always gets a fresh one */
    SPARE_S = 90,
};

static void clear(struct cred_oauth *o)
{
    secret_unref(o->access);
    secret_unref(o->refresh);
    secret_unref(o->client_secret);
    free(o->client_id);
    free(o->scope);
    free(o->endpoint);
    free(o->path);
    *o = (struct cred_oauth){0};
}

void cred_oauth_free(struct cred_oauth *o)
{
    if (o)
        clear(o);
    free(o);
}

char *cred_oauth_path(const char *config_path, const char *cache, const char *sub, const char *name)
{
    char *path = NULL;
    const char *slash = strrchr(config_path, '/');
    int dir = slash ? (int)(slash - config_path) : 1;
    int n = cache[0] ? asprintf(&path, "%s/%s", cache, name)
                     : asprintf(&path, "%.*s/%s/%s", dir, slash ? config_path : ".", sub, name);
    return n < 0 ? NULL : path;
}

/* The tool hashes {"start_url":…,"session_name":…} as Go writes it, which escapes more than JSON
 * asks for. */
static void go_string(struct buf *b, struct str s)
{
    struct buf plain;
    buf_init(&plain, 8192);
    cred_json_put(&plain, s);
    for (size_t i = 0; i < plain.n; i++) {
        char c = plain.p[i];
        if (c == '<' || c == '>' || c == '&')
            buf_printf(b, "\\u%04x", (unsigned)c);
        else
            buf_putc(b, c);
    }
    b->failed = b->failed || plain.failed;
    buf_free(&plain);
}

void cred_oauth_sso_name(struct str start_url, struct str session_name,
                         char out[CRED_CACHE_NAME_MAX])
{
    struct buf b;
    char hex[CRED_SHA1_HEX];
    buf_init(&b, 16384);
    buf_putz(&b, "{\"start_url\":");
    go_string(&b, start_url);
    buf_putz(&b, ",\"session_name\":");
    go_string(&b, session_name);
    buf_putc(&b, '}');
    cred_sha1_hex(buf_str(&b), hex);
    (void)snprintf(out, CRED_CACHE_NAME_MAX, "%s.json", hex);
    buf_free(&b);
}

void cred_oauth_console_name(struct str login_session, char out[CRED_CACHE_NAME_MAX])
{
    char hex[CRED_SHA1_HEX];
    cred_sha1_hex(login_session, hex);
    (void)snprintf(out, CRED_CACHE_NAME_MAX, "%s.json", hex);
}

const char *cred_oauth_cure(const struct cred_ctx *ctx, enum cred_login login)
{
    bool bp = ctx->conf->cloud == CLOUD_BYTEPLUS;
    if (login == CRED_LOGIN_SSO)
        return bp ? "run `bp sso login`" : "run `ve sso login`";
    return bp ? "run `bp login`" : "run `ve login`";
}

static struct secret *keep_secret(struct str s)
{
    return s.n ? secret_new(s) : NULL;
}

static char *keep_text(struct str s)
{
    return strndup(s.n ? s.p : "", s.n);
}

/* Text of the access token: a console login's may also stand there as an object. */
static struct secret *access_of(const struct cred_json *token)
{
    struct str s = cred_json_text(token);
    struct buf b;
    if (s.p || !cred_json_is_object(token))
        return keep_secret(s);
    buf_init(&b, CACHE_MAX);
    cred_json_dump(&b, token);
    struct secret *made = b.failed ? NULL : keep_secret(buf_str(&b));
    buf_wipe(&b);
    return made;
}

/* When the access token of a cache file ends: said outright, or by issue and lifetime. */
static int64_t cache_expiry(const struct cred_json *j)
{
    int64_t at = 0, life = 0;
    if (cred_time_parse(cred_json_member(j, "expires_at"), &at))
        return at;
    if (cred_time_parse(cred_json_member(j, "issued_at"), &at) &&
        cred_json_int(cred_json_get(j, "expires_in"), &life) && life > 0 && life < INT32_MAX)
        return at + life;
    return 0;
}

static bool hash(struct str s, unsigned char out[DIGEST_LEN])
{
    struct digest *d = digest_new();
    bool ok = d && digest_begin(d) && digest_update(d, s.p, s.n) && digest_end(d, out);
    digest_free(d);
    return ok;
}

static bool load(struct cred_ctx *ctx, enum cred_login login, const char *path,
                 struct cred_oauth *o, struct err_detail *why)
{
    struct err_detail detail = {""};
    struct cred_watch seen = {0};
    struct cred_json *j = NULL;
    struct buf text;
    int64_t client_until = 0;
    enum cred_read_rule rule =
        ctx->conf->security.strict_file_permissions ? CRED_READ_STRICT : CRED_READ_EXEMPT;
    *o = (struct cred_oauth){0};
    buf_init(&text, CACHE_MAX);
    if (cred_read_file(path, rule, &seen, &text, &detail))
        j = cred_json_parse(buf_str(&text), &detail);
    buf_wipe(&text);
    if (!j) {
        err_set(why, ERR_CREDENTIALS, "the login's token cache %s: %s; %s", path, detail.text,
                cred_oauth_cure(ctx, login));
    } else {
        o->path = strdup(path);
        o->mark = seen.n ? seen.v[0].mark : (struct cred_mark){0};
        o->access = access_of(cred_json_get(j, "access_token"));
        o->refresh = keep_secret(cred_json_member(j, "refresh_token"));
        o->has_refresh_read = o->refresh && hash(secret_str(o->refresh), o->refresh_read);
        o->client_secret = keep_secret(cred_json_member(j, "client_secret"));
        o->client_id = keep_text(cred_json_member(j, "client_id"));
        o->scope = keep_text(cred_json_member(j, "scope"));
        o->endpoint = keep_text(cred_json_member(j, "endpoint_url"));
        o->expires_s = cache_expiry(j);
        if (cred_json_int(cred_json_get(j, "client_secret_expires_at"), &client_until))
            o->client_expires_s = cred_time_unix(client_until);
    }
    cred_watch_free(&seen);
    cred_json_free(j);
    if (o->path && o->client_id && o->scope && o->endpoint)
        return true;
    if (j)
        err_set(why, ERR_CREDENTIALS, "memory is short");
    clear(o);
    return false;
}

static bool changed(const struct cred_oauth *o)
{
    struct cred_watch w = {0};
    cred_watch_add(&w, o->path);
    bool same = w.n && cred_mark_same(&w.v[0].mark, &o->mark);
    cred_watch_free(&w);
    return !same;
}

/* Whether the tool wrote nothing that we don't have: the refresh token is the one that was read
 * before, and may be used up by now. */
static bool nothing_new(const struct cred_oauth *o, const struct cred_oauth *file)
{
    return o->has_refresh_read && file->has_refresh_read &&
           memcmp(o->refresh_read, file->refresh_read, DIGEST_LEN) == 0 &&
           file->expires_s <= o->expires_s;
}

struct cred_oauth *cred_oauth_open(struct cred_ctx *ctx, enum cred_login login, const char *path,
                                   struct err_detail *why)
{
    struct cred_oauth fresh, *o = ctx->memory->oauth;
    cred_watch_add(ctx->watch, path);
    if (o && strcmp(o->path, path) == 0 && !changed(o))
        return o;
    if (!load(ctx, login, path, &fresh, why))
        /* what is in memory outlives a file that is gone or half written */
        return o && strcmp(o->path, path) == 0 ? o : NULL;
    if (o && strcmp(o->path, path) == 0 && nothing_new(o, &fresh)) {
        o->mark = fresh.mark;
        clear(&fresh);
        return o;
    }
    if (!o && !(o = calloc(1, sizeof *o))) {
        clear(&fresh);
        err_set(why, ERR_CREDENTIALS, "memory is short");
        return NULL;
    }
    if (o->path)
        clear(o);
    *o = fresh;
    ctx->memory->oauth = o;
    ctx->want = CRED_WANT_GOOD; /* what the tool wrote is another one already */
    return o;
}

static bool renewable(const struct cred_oauth *o)
{
    return o->refresh && o->client_id[0] &&
           (!o->client_expires_s || o->client_expires_s > clock_wall_s());
}

/* Whether the access token will do as it stands. An sso login's may always: it buys a new
 * credential. */
static bool access_good(const struct cred_oauth *o, enum cred_login login, enum cred_want want)
{
    clock_tick();
    if (!o->access || o->expires_s - SPARE_S <= clock_wall_s())
        return false;
    return login == CRED_LOGIN_SSO || want == CRED_WANT_GOOD ||
           (want == CRED_WANT_NEW && !renewable(o));
}

/* Takes a renewal's answer over; *refused for an OAuth invalid_grant. */
static bool take(struct cred_oauth *o, const struct fetch_response *r, bool *refused,
                 struct err_detail *why)
{
    struct err_detail detail = {""};
    struct cred_json *j = cred_json_parse(buf_str(&r->body), &detail);
    struct secret *access = access_of(cred_json_get(j, "access_token"));
    struct str code = cred_json_member(j, "error");
    int64_t life = 0;
    bool ok = r->status == 200 && access && cred_json_int(cred_json_get(j, "expires_in"), &life) &&
              life > 0 && life < INT32_MAX;
    *refused = r->status == 400 && str_ieq(code, STR("invalid_grant"));
    if (ok) {
        struct secret *refresh = keep_secret(cred_json_member(j, "refresh_token"));
        secret_unref(o->access);
        o->access = access;
        if (refresh) { /* else the one in hand stays good */
            secret_unref(o->refresh);
            o->refresh = refresh;
        }
        clock_tick();
        o->expires_s = clock_wall_s() + life;
    } else {
        secret_unref(access);
        err_set(why, ERR_CREDENTIALS, "the login service answered with HTTP %d%s%.*s%s", r->status,
                code.n ? " " : "", (int)(code.n < 64 ? code.n : 64), code.n ? code.p : "",
                r->status == 200 ? ", without access_token and expires_in" : "");
    }
    cred_json_free(j);
    return ok;
}

bool cred_oauth_renew(struct cred_ctx *ctx, enum cred_login login, struct cred_oauth *o,
                      bool (*post)(struct cred_ctx *ctx, const struct cred_oauth *o,
                                   const void *arg, struct fetch_response *r,
                                   struct err_detail *why),
                      const void *arg, struct err_detail *why)
{
    struct err_detail detail = {""};
    struct fetch_response r;
    for (bool again = false;; again = true) {
        bool refused = false;
        if (access_good(o, login, again ? CRED_WANT_GOOD : ctx->want))
            return true;
        if (!renewable(o)) {
            err_set(why, ERR_CREDENTIALS, "the login has expired; %s", cred_oauth_cure(ctx, login));
            return false;
        }
        if (!post(ctx, o, arg, &r, why))
            return false;
        bool ok = take(o, &r, &refused, &detail);
        buf_wipe(&r.body);
        if (ok)
            return true;
        struct cred_oauth file;
        if (refused && !again && load(ctx, login, o->path, &file, why)) {
            bool other = !secret_eq(secret_str(file.refresh), secret_str(o->refresh));
            struct cred_oauth old = *o;
            if (other)
                *o = file;
            clear(other ? &old : &file);
            if (other)
                continue;
        }
        err_set(why, ERR_CREDENTIALS, "%s; %s", detail.text, cred_oauth_cure(ctx, login));
        return false;
    }
}
