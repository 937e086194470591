/* SPDX-License-Identifier: Apache-2.0 */
/* From a request head to a decision: the order of the checks, the five addressing rules, profile,
 * policy and upstream. docs/ADDRESSING.md tells users the same. Never does I/O, never reads a
 * clock, allocates from the request's arena only. */
#include "proxy/policy.h"
#include "proxy/route_int.h"
#include "sign/sign.h"
#include <ctype.h>

enum { SHA256_HEX_LEN = 64 };

COLD enum err route_full(struct err_detail *why)
{
    return err_set(why, ERR_OVERLOADED, "the request head needs more memory than a request has");
}

/* A parameter that may be there once, decoded into *out. */
static enum err single(struct route_work *w, const struct uri_pair *p, bool *seen, struct str *out)
{
    if (*seen)
        return err_set(w->why, ERR_INVALID_QUERY,
                       "the query has more than one %.*s parameter; send exactly one",
                       STR_ARG(p->name));
    *seen = true;
    if (p->value.n && !memchr(p->value.p, '%', p->value.n)) {
        *out = p->value;
        return ERR_OK;
    }
    return uri_decode(p->value, false, w->a, out);
}

/* The canonical query, Action and Version. Names are compared in their canonical form, where no
 * escape can hide them, and in any case, since the other side may not care. */
static enum err read_query(struct route_work *w)
{
    struct route *r = w->out;
    bool action = false, version = false;
    enum err e = uri_query_parse(w->v->target.query, w->a, &r->pairs, w->why);
    for (size_t i = 0; i < r->pairs.n && !e; i++) {
        const struct uri_pair *p = &r->pairs.v[i];
        if (str_ieq(p->name, STR("Action")))
            e = single(w, p, &action, &r->action);
        else if (str_ieq(p->name, STR("Version")))
            e = single(w, p, &version, &r->version);
        else if (str_istarts(p->name, STR("X-")) && sign_is_auth_parameter(p->name))
            e = err_set(w->why, ERR_INVALID_QUERY,
                        "the query parameter %.*s belongs to another signature; the proxy signs by "
                        "itself",
                        STR_ARG(p->name));
    }
    if (e)
        return e;
    r->query = uri_query_write(&r->pairs, w->a);
    return r->query.p ? ERR_OK : route_full(w->why);
}

struct str route_service_name(const struct conf *c, struct str name)
{
    struct str loose = {NULL, 0};
    for (size_t i = 0; i < c->endpoint.nservices; i++) {
        struct str known = c->endpoint.services[i].service;
        if (str_eq(known, name))
            return known;
        if (!loose.p && str_ieq(known, name))
            loose = known;
    }
    struct str code = endpoint_service_code(c->cloud, name);
    if (code.p)
        return code;
    return loose.p ? loose : name;
}

/* The entry of endpoint.services for that service, NULL for none. */
static const struct endpoint_service *service_entry(const struct conf *c, struct str service)
{
    for (size_t i = 0; i < c->endpoint.nservices; i++)
        if (str_ieq(c->endpoint.services[i].service, service))
            return &c->endpoint.services[i];
    return NULL;
}

/* The longest route whose prefix ends at a segment boundary of the canonical path; *rest is what
 * follows the prefix. */
static const struct conf_route *find_route(struct route_work *w, struct str *rest)
{
    const struct conf_route *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < w->c->nroutes; i++) {
        struct str prefix = str_of(w->c->routes[i].prefix), path = w->out->path;
        if (uri_path(prefix, w->a, &prefix, NULL))
            continue;
        while (prefix.n && prefix.p[prefix.n - 1] == '/')
            prefix.n--;
        if (!str_starts(path, prefix) || (path.n > prefix.n && path.p[prefix.n] != '/') ||
            (best && prefix.n <= longest))
            continue;
        best = &w->c->routes[i];
        longest = prefix.n;
        *rest = str_n(path.p + prefix.n, path.n - prefix.n);
    }
    return best;
}

/* The first that is not empty. */
static struct str first_of(struct str a, struct str b, struct str c)
{
    return a.n ? a : b.n ? b : c;
}

static struct str first_named(const char *a, const char *b, const char *c)
{
    return str_of(a && *a ? a : b && *b ? b : c);
}

/* Fills service and region, each by the first rule that knows it. */
static enum err address(struct route_work *w, const struct conf_route *route)
{
    struct route *r = w->out;
    const struct conf_listener *l = w->l->conf;
    struct verify_scope scope = {.region = {NULL, 0}};
    (void)identity_scope(w->claim.authorization, &scope); /* leaves it empty without one */

    r->region = first_of(w->ask_region, w->asked_region, scope.region);
    struct str service = first_of(w->ask_service, w->asked_service, scope.service);
    /* An SDK knows how its service is spelt in a signature: that stays. */
    bool sdk_named = service.n && service.p == scope.service.p;
    bool spelt = sdk_named || (service.n && service.p == w->asked_service.p);
    if ((sdk_named && !endpoint_is_label(service)) ||
        (r->region.n && r->region.p == scope.region.p && !endpoint_is_label(r->region))) {
        r->region = (struct str){NULL, 0}; /* nothing to show in the error's body */
        return err_set(w->why, ERR_INVALID_REQUEST,
                       "service and region of the Authorization field's credential scope must be 1 "
                       "to 64 of A-Z a-z 0-9 _ -");
    }
    if (!r->region.n)
        r->region = first_named(l ? l->region : NULL, route ? route->region : NULL, w->c->region);
    if (!service.n)
        service = first_named(l ? l->service : NULL, route ? route->service : NULL, w->c->service);
    r->service = spelt || !service.n ? service : route_service_name(w->c, service);
    return ERR_OK;
}

static enum err require_names(struct route_work *w)
{
    if (!w->out->service.n)
        return err_set(w->why, ERR_MISSING_SERVICE,
                       "no service is named; send X-Sigferry-Service, ask for "
                       "SERVICE.REGION.localhost or an endpoint's host, or configure a service");
    if (!w->out->region.n)
        return err_set(w->why, ERR_MISSING_REGION,
                       "no region is named; send X-Sigferry-Region, ask for "
                       "SERVICE.REGION.localhost, or configure a region");
    return ERR_OK;
}

/* A request must not be signed for one service and sent to the host of another. */
static enum err check_deputy(struct route_work *w)
{
    const struct route *r = w->out;
    if (w->asked == ASKED_ENDPOINT && w->asked_in_table && w->ask_service.n &&
        !str_ieq(route_service_name(w->c, w->ask_service), w->asked_service))
        return err_set(w->why, ERR_ENDPOINT_NOT_ALLOWED,
                       "X-Sigferry-Service says %.*s, but the host asked for belongs to %.*s",
                       STR_ARG(w->ask_service), STR_ARG(w->asked_service));
    if (!route_host_serves(w, r->service))
        return err_set(w->why, ERR_ENDPOINT_NOT_ALLOWED,
                       "the request is for %.*s, but the host asked for belongs to other services "
                       "of endpoint.services",
                       STR_ARG(r->service));
    if (!w->ask_endpoint.host.n)
        return ERR_OK;
    enum err e = route_override_check(w);
    if (e)
        return e;
    struct str service = route_host_service(w, &w->ask_endpoint, r->service);
    if (service.n && r->service.n && !str_ieq(service, r->service))
        return err_set(w->why, ERR_ENDPOINT_NOT_ALLOWED,
                       "X-Sigferry-Endpoint is the host of %.*s, but the request is for %.*s",
                       STR_ARG(service), STR_ARG(r->service));
    return ERR_OK;
}

/* Client's policy, else the listener's, else the global one. */
static enum err choose_policy(struct route_work *w)
{
    const struct conf_client *client = w->out->client;
    struct str name = first_named(client ? client->policy : NULL,
                                  w->l->conf ? w->l->conf->policy : NULL, w->c->policy);
    if (!name.n)
        return ERR_OK;
    w->out->policy = conf_policy_find(w->c, name);
    /* A policy that was meant to hold and is not there must not mean that everything goes. */
    return w->out->policy
               ? ERR_OK
               : err_set(w->why, ERR_INTERNAL, "the policy %.*s is not configured", STR_ARG(name));
}

/* Pinned by client or policy, else listener, header, route, global. */
static enum err choose_profile(struct route_work *w, const struct conf_route *route)
{
    const struct route *r = w->out;
    struct str pinned = first_named(r->client ? r->client->profile : NULL,
                                    r->policy ? r->policy->profile : NULL, NULL);
    if (pinned.n && w->ask_profile.n && !str_eq(pinned, w->ask_profile))
        return err_set(w->why, ERR_CLIENT_NOT_ALLOWED,
                       "this client may not use the profile %.*s that X-Sigferry-Profile asks for",
                       STR_ARG(w->ask_profile));
    struct str name =
        first_of(pinned, str_of(w->l->conf ? w->l->conf->profile : NULL), w->ask_profile);
    if (!name.n)
        name = first_named(route ? route->profile : NULL, w->c->profile, NULL);
    const struct conf_profile *p = conf_profile_find(w->c, name);
    if (!p)
        return err_set(w->why, ERR_INTERNAL, "the profile %.*s is not configured", STR_ARG(name));
    w->out->profile = (unsigned)(p - w->c->profiles);
    return ERR_OK;
}

static enum err resolve(struct route_work *w, struct uri_host *h)
{
    char *host = arena_alloc(w->a, ENDPOINT_HOST_MAX);
    if (!host)
        return route_full(w->why);
    const struct conf *c = w->c;
    struct endpoint_query q = {
        .cloud = c->cloud,
        .resolver = c->endpoint.resolver,
        .dual_stack = w->dual_stack,
        .service = w->out->service,
        .region = w->out->region,
        .extra_regions = c->endpoint.extra_regions,
        .nextra = c->endpoint.nextra_regions,
        .services = c->endpoint.services,
        .nservices = c->endpoint.nservices,
    };
    enum err e = endpoint_resolve(&q, host, w->why);
    *h = (struct uri_host){.host = e ? STR("") : str_of(host)};
    return e;
}

/* X-Sigferry-Endpoint > endpoint.services > endpoint.host > the host asked for > the resolver. */
static enum err choose_host(struct route_work *w, struct uri_host *h)
{
    struct route *r = w->out;
    const struct endpoint_service *entry = service_entry(w->c, r->service);
    struct str configured = entry && entry->host.n ? entry->host : str_of(w->c->endpoint.host);
    if (w->ask_endpoint.host.n) {
        *h = w->ask_endpoint;
        return ERR_OK;
    }
    if (configured.n) {
        r->by_name = true;
        return uri_host(configured, h, w->why);
    }
    if (w->asked == ASKED_ENDPOINT) {
        /* The port asked for was this proxy's or a scheme's own: never the upstream's. */
        *h = (struct uri_host){.host = w->asked_host};
        return ERR_OK;
    }
    return resolve(w, h);
}

static enum err choose_upstream(struct route_work *w)
{
    struct route *r = w->out;
    struct uri_host h = {.port = 0};
    enum err e = choose_host(w, &h);
    if (e)
        return e;
    r->scheme = w->ask_scheme.n ? w->ask_scheme : str_of(w->c->endpoint.scheme);
    unsigned usual = str_eq(r->scheme, STR("http")) ? 80 : 443;
    r->port = h.port ? h.port : usual;
    struct str lower = h.host.p == w->asked_host.p ? h.host : route_lower(w->a, h.host);
    if (!lower.p)
        return route_full(w->why);
    r->host = arena_dup(w->a, lower);
    r->host_header = r->host;
    if (r->host.p && (r->port != usual || h.ipv6)) {
        const char *open = h.ipv6 ? "[" : "", *close = h.ipv6 ? "]" : "";
        r->host_header =
            r->port == usual
                ? arena_printf(w->a, "%s%.*s%s", open, STR_ARG(r->host), close)
                : arena_printf(w->a, "%s%.*s%s:%u", open, STR_ARG(r->host), close, r->port);
    }
    if (!r->host_header.p)
        return route_full(w->why);
    r->by_name = r->by_name || route_is_named(w->c, r->host, r->port);
    if (r->policy && r->policy->regions.n)
        r->host_region = route_host_region(w, r->host);
    return ERR_OK;
}

static bool is_date(struct str s)
{
    if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (i != 4 && i != 7 && (s.p[i] < '0' || s.p[i] > '9'))
            return false;
    int month = (s.p[5] - '0') * 10 + s.p[6] - '0', day = (s.p[8] - '0') * 10 + s.p[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* What the SDKs check before they send: a request to "/" is an RPC call. */
static enum err validate(struct route_work *w)
{
    const struct route *r = w->out;
    if (!w->validate || !str_eq(r->path, STR("/")))
        return ERR_OK;
    if (!r->action.n || !r->version.n)
        return err_set(w->why, ERR_INVALID_REQUEST,
                       "the query lacks the parameter%s %s; a request to / needs both Action and "
                       "Version (client_side_validation)",
                       !r->action.n && !r->version.n ? "s" : "",
                       r->action.n    ? "Version"
                       : r->version.n ? "Action"
                                      : "Action and Version");
    if (!is_date(r->version))
        return err_set(w->why, ERR_INVALID_REQUEST,
                       "the parameter Version must be a date such as 2020-04-01, not '%.*s'",
                       (int)(r->version.n < 32 ? r->version.n : 32), r->version.p);
    return ERR_OK;
}

/* X-Content-Sha256 without an SDK's signature: the client answers for its body's hash. */
static enum err client_hash(struct route_work *w)
{
    if (w->nsha256 == 0 || w->out->sdk_signed)
        return ERR_OK;
    bool good = w->nsha256 == 1 && w->sha256.n == SHA256_HEX_LEN;
    for (size_t i = 0; good && i < SHA256_HEX_LEN; i++)
        good = isxdigit((unsigned char)w->sha256.p[i]) != 0;
    if (!good)
        return err_set(w->why, ERR_INVALID_REQUEST,
                       "X-Content-Sha256 must be given once and be the 64 hex digits of the body's "
                       "SHA-256; leave it out to have the body hashed here");
    w->out->client_sha256 = route_lower(w->a, w->sha256);
    return w->out->client_sha256.p ? ERR_OK : route_full(w->why);
}

/* Host, page, foreign proxies, identity: may this request be here at all? */
static enum err admit(struct route_work *w)
{
    enum err e = route_host_check(w);
    if (!e)
        e = route_page_check(w);
    if (!e && w->forwarded.p && w->c->security.reject_forwarded)
        e = err_set(w->why, ERR_CLIENT_NOT_ALLOWED,
                    "the request came through another proxy (%.*s); security.reject_forwarded "
                    "refuses those",
                    STR_ARG(w->forwarded));
    if (e)
        return e;
    w->claim.token = w->option[OPT_TOKEN];
    return identity_check(w->c, w->l->conf, &w->claim, &w->l->peer, &w->out->client, w->why);
}

static enum err decide(struct route_work *w)
{
    struct route *r = w->out;
    struct str rest = {NULL, 0};
    enum err e = uri_path(w->v->target.path, w->a, &r->path, w->why);
    if (e)
        return e;
    const struct conf_route *route = find_route(w, &rest);
    if (route && route->strip_prefix)
        r->path = rest.n ? rest : STR("/");
    e = address(w, route);
    if (!e)
        e = check_deputy(w);
    if (!e)
        e = require_names(w);
    if (!e)
        e = choose_policy(w);
    if (!e)
        e = choose_profile(w, route);
    if (!e && r->opt.presign && !w->c->security.allow_presign)
        e = err_set(
            w->why, ERR_PRESIGN_NOT_ALLOWED,
            "X-Sigferry-Presign needs security.allow_presign = true: a presigned URL can be "
            "used by anyone who sees it");
    if (!e)
        e = validate(w);
    if (!e)
        e = choose_upstream(w);
    if (!e)
        e = client_hash(w);
    if (!e)
        e = route_headers_forward(w);
    /* A body that has to be looked through can't stream: its hash is taken here as well. */
    if (!e && policy_wants_body(r))
        r->client_sha256 = (struct str){NULL, 0};
    return e;
}

/* An option was refused: service and region are told all the same where they are known, for the
 * error's body, the log and the metrics. */
static COLD void name_anyway(struct route_work *w)
{
    struct err_detail ignored = {""};
    struct str rest = {NULL, 0};
    struct err_detail *why = w->why;
    /* cppcheck-suppress autoVariables ; until the end of this function */
    w->why = &ignored;
    route_options_names(w);
    if (uri_path(w->v->target.path, w->a, &w->out->path, w->why) == ERR_OK &&
        address(w, find_route(w, &rest)) != ERR_OK)
        w->out->service = (struct str){NULL, 0};
    w->why = why;
}

enum err route_request(const struct conf *c, const struct route_listener *l,
                       const struct gate_head *head, const struct gate_verdict *v, struct arena *a,
                       struct route *out, struct err_detail *why)
{
    struct route_work w = {.c = c, .l = l, .head = head, .v = v, .a = a, .out = out, .why = why};
    *out = (struct route){.port = 0};
    route_options_default(&w);
    enum err e = route_headers_scan(&w);
    if (e)
        return e;
    out->sdk_signed = identity_is_signed(w.claim.authorization);
    e = read_query(&w);
    if (!e)
        e = admit(&w);
    if (e)
        return e;
    e = route_options_apply(&w);
    if (e)
        name_anyway(&w);
    return e ? e : decide(&w);
}

bool route_default_content_type(struct route *r, struct str method, bool has_body)
{
    if ((!has_body && str_eq(method, STR("GET"))) || hdrs_find(&r->forward, STR("Content-Type")))
        return true;
    return hdrs_add(&r->forward, STR("Content-Type"),
                    STR("application/x-www-form-urlencoded; charset=utf-8"));
}
