/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, peer ids and local keys. Tokens are compared by their SHA-256, all of them every time, so
 * that neither time nor answer tells how close a guess was. Never logs or echoes what was sent. */
#include "proxy/identity.h"
#include "base/secret.h"

/* The lists that hold for a listener: its own where it has one, else those of `security`. */
struct accepted {
    struct secret *const *tokens;
    size_t ntokens;
    const struct conf_ints *uids, *gids;
};

static struct accepted accepted_by(const struct conf *c, const struct conf_listener *l)
{
    struct accepted a = {
        .tokens = c->security.client_tokens,
        .ntokens = c->security.nclient_tokens,
        .uids = &c->security.allowed_uids,
        .gids = &c->security.allowed_gids,
    };
    if (l && l->nclient_tokens) {
        a.tokens = l->client_tokens;
        a.ntokens = l->nclient_tokens;
    }
    if (l && l->allowed_uids.n)
        a.uids = &l->allowed_uids;
    if (l && l->allowed_gids.n)
        a.gids = &l->allowed_gids;
    return a;
}

bool identity_required(const struct conf *c, const struct conf_listener *l)
{
    struct accepted a = accepted_by(c, l);
    return c->nclients || a.ntokens || a.uids->n || a.gids->n;
}

bool identity_travels(const struct conf *c, const struct conf_listener *l)
{
    return c->nclients || accepted_by(c, l).ntokens;
}

bool identity_wants_uid(const struct conf *c, const struct conf_listener *l)
{
    return accepted_by(c, l).uids->n > 0;
}

static bool is_listed(const struct conf_ints *list, uint32_t id)
{
    if (id == IDENTITY_NOBODY)
        return false;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i] == (int64_t)id)
            return true;
    return false;
}

/* The token of "Bearer T"; empty for another scheme. */
static struct str bearer(struct str value)
{
    if (!str_istarts(value, STR("Bearer ")))
        return str_n(NULL, 0);
    return str_trim(str_n(value.p + 7, value.n - 7));
}

static bool hash(struct digest *d, struct str s, unsigned char out[DIGEST_LEN])
{
    return digest_begin(d) && (s.n == 0 || digest_update(d, s.p, s.n)) && digest_end(d, out);
}

static struct str digest_view(const unsigned char d[DIGEST_LEN])
{
    return str_n((const char *)d, DIGEST_LEN);
}

/* Is the token one of the list? Looks at all of them whatever comes. */
static enum err match_token(const struct accepted *a, struct str token, bool *found)
{
    unsigned char given[DIGEST_LEN], known[DIGEST_LEN];
    struct digest *d = digest_new();
    bool good = d && hash(d, token, given);
    unsigned hits = 0;
    for (size_t i = 0; good && i < a->ntokens; i++) {
        good = hash(d, secret_str(a->tokens[i]), known);
        hits += good && secret_eq(digest_view(given), digest_view(known)) ? 1U : 0U;
    }
    secret_wipe(known, sizeof(known));
    secret_wipe(given, sizeof(given));
    digest_free(d);
    *found = good && hits > 0;
    return good ? ERR_OK : ERR_INTERNAL;
}

bool identity_is_signed(struct str authorization)
{
    struct str scheme = STR("HMAC-SHA256");
    if (!str_istarts(authorization, scheme))
        return false;
    return authorization.n == scheme.n || authorization.p[scheme.n] == ' ' ||
           authorization.p[scheme.n] == '\t';
}

bool identity_scope(struct str authorization, struct verify_scope *out)
{
    if (!identity_is_signed(authorization))
        return false;
    struct str rest = str_n(authorization.p + 11, authorization.n - 11);
    while (rest.p) {
        struct str part = str_trim(str_cut(&rest, ','));
        if (!str_istarts(part, STR("Credential=")))
            continue;
        part = str_n(part.p + 11, part.n - 11);
        struct verify_scope s = {.access_key = str_cut(&part, '/')};
        s.date = str_cut(&part, '/');
        s.region = str_cut(&part, '/');
        s.service = str_cut(&part, '/');
        if (!str_eq(part, STR("request")))
            return false;
        *out = s;
        return true;
    }
    return false;
}

static const struct conf_client *find_client(const struct conf *c, struct str access_key)
{
    for (size_t i = 0; i < c->nclients; i++)
        if (str_eq(str_of(c->clients[i].access_key), access_key))
            return &c->clients[i];
    return NULL;
}

static COLD enum err refuse(const struct conf *c, const struct accepted *a, struct err_detail *why)
{
    bool token = a->ntokens, key = c->nclients, peer = a->uids->n || a->gids->n;
    return err_set(
        why, ERR_CLIENT_NOT_ALLOWED, "this listener wants to know its clients: %s%s%s%s%s",
        token ? "send a token (X-Sigferry-Token or Authorization: Bearer)" : "",
        token && (key || peer) ? ", or " : "", key ? "sign with a local key (clients)" : "",
        key && peer ? ", or " : "", peer ? "connect as an allowed user or group" : "");
}

enum err identity_check(const struct conf *c, const struct conf_listener *l,
                        const struct identity_claim *claim, const struct identity_peer *peer,
                        const struct conf_client **client, struct err_detail *why)
{
    struct accepted a = accepted_by(c, l);
    *client = NULL;
    if (!c->nclients && !a.ntokens && !a.uids->n && !a.gids->n)
        return ERR_OK;
    /* Two such fields would let two parsers see two clients. */
    if (claim->nauthorization > 1 || claim->nproxy_authorization > 1)
        return refuse(c, &a, why);
    bool known = (peer->has_uid && is_listed(a.uids, peer->uid)) ||
                 (peer->has_gid && is_listed(a.gids, peer->gid));
    if (a.ntokens) {
        struct str token = claim->token;
        if (!token.n)
            token = bearer(claim->proxy_authorization);
        if (!token.n)
            token = bearer(claim->authorization);
        bool found = false;
        if (token.n && match_token(&a, token, &found))
            return err_set(why, ERR_INTERNAL, "a token could not be hashed");
        if (token.n && !found)
            return refuse(c, &a, why);
        known = known || found;
    }
    struct verify_scope scope;
    if (c->nclients && identity_scope(claim->authorization, &scope))
        *client = find_client(c, scope.access_key);
    return known || *client ? ERR_OK : refuse(c, &a, why);
}

enum err identity_verify(struct signer *s, const struct conf_client *client,
                         const struct gate_head *head, const struct gate_verdict *v,
                         struct str body_sha256, int64_t now_s, struct err_detail *why)
{
    struct sign_cred cred = {
        .access_key = str_of(client->access_key),
        .secret_key = secret_str(client->secret_key),
    };
    struct verify_input in = {
        .method = head->method,
        .path = v->target.path,
        .query = v->target.query,
        .hdrs = &head->hdrs,
        .body_sha256 = body_sha256,
        .time_s = now_s,
        .window_s = IDENTITY_WINDOW_S,
        .sdk_made = true,
    };
    struct verify_output out = {.why = NULL};
    if (verify_request(s, &in, &cred, &out) == VERIFY_OK)
        return ERR_OK;
    return err_set(why, ERR_CLIENT_NOT_ALLOWED, "the signature of the local key %s is wrong: %s",
                   client->name, out.why ? out.why : "it does not match");
}

enum err identity_covers(struct str authorization, struct str service, struct str region,
                         struct err_detail *why)
{
    struct verify_scope s;
    if (!verify_parse(authorization, &s))
        return err_set(why, ERR_CLIENT_NOT_ALLOWED, "the signature is malformed");
    for (struct str rest = s.signed_headers; rest.p;)
        if (str_eq(str_cut(&rest, ';'), STR("host")))
            return ERR_OK;
    if (str_ieq(s.service, service) && str_ieq(s.region, region))
        return ERR_OK;
    return err_set(
        why, ERR_CLIENT_NOT_ALLOWED,
        "the signature does not cover Host and was made for %.*s in %.*s, the request is "
        "for another service or region",
        STR_ARG(s.service), STR_ARG(s.region));
}
