/* SPDX-License-Identifier: Apache-2.0 */
/* What host was asked for, and may it be? The Host rule keeps rebound DNS names out, the page rule
 * what browsers send on behalf of web pages, the override rule keeps credentials from leaving for
 * hosts nobody configured. Never trusts a name it was not told about. */
#include "proxy/glob.h"
#include "proxy/route_int.h"

enum { SHOWN_HOST = 128 };

struct str route_lower(struct arena *a, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (ascii_lower(s.p[i]) == s.p[i])
            continue;
        char *copy = arena_alloc(a, s.n);
        for (size_t k = 0; copy && k < s.n; k++)
            copy[k] = ascii_lower(s.p[k]);
        return copy ? str_n(copy, s.n) : str_n(NULL, 0);
    }
    return s;
}

/* Cuts "host", "host:port", "[v6]:port" of the configuration; port empty when absent. */
static struct str cut_port(struct str s, struct str *port)
{
    *port = str_n(NULL, 0);
    if (s.n && s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.n);
        if (!close)
            return s;
        struct str host = str_n(s.p + 1, (size_t)(close - s.p) - 1);
        if (s.n - host.n - 2 > 1)
            *port = str_n(close + 2, s.n - host.n - 3);
        return host;
    }
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == ':') {
            *port = str_n(s.p + i, s.n - i);
            return str_n(s.p, i - 1);
        }
    return s;
}

enum port_match { NO_MATCH, HOST_ONLY, HOST_AND_PORT };

/* Does a configured pattern ("host", "host:port", "host:*", '*' within the host) name h? HOST_ONLY:
 * it does and leaves the port to the caller. */
static enum port_match pattern_match(struct str pattern, const struct uri_host *h)
{
    struct str port, host = cut_port(pattern, &port);
    uint64_t number;
    if (!glob_match(host, h->host, ":"))
        return NO_MATCH;
    if (port.n == 0)
        return HOST_ONLY;
    if (str_eq(port, STR("*")))
        return HOST_AND_PORT;
    return str_u64(port, 65535, &number) && number == h->port ? HOST_AND_PORT : NO_MATCH;
}

/* The port a client names when it means this listener: its own, or none. Unix sockets have no port,
 * and no browser reaches them: any will do. */
static bool is_own_port(const struct route_work *w, unsigned port)
{
    return port == 0 || w->l->is_unix || port == w->l->port;
}

static bool is_endpoint_port(const struct route_work *w, unsigned port)
{
    return port == 80 || port == 443 || is_own_port(w, port);
}

static COLD enum err refuse_host(struct route_work *w, struct str host, const char *reason)
{
    return err_set(w->why, ERR_HOST_NOT_ALLOWED, "the host '%.*s' %s",
                   (int)(host.n < SHOWN_HOST ? host.n : SHOWN_HOST), host.n ? host.p : "", reason);
}

static COLD enum err refuse_port(struct route_work *w, struct str host)
{
    return err_set(w->why, ERR_HOST_NOT_ALLOWED,
                   "the host '%.*s' names another port than this listener's (%u)",
                   (int)(host.n < SHOWN_HOST ? host.n : SHOWN_HOST), host.p, w->l->port);
}

static bool is_loopback(const struct uri_host *h)
{
    if (h->ipv6)
        return str_eq(h->host, STR("::1"));
    return h->host.n == 9 &&
           (str_eq(h->host, STR("127.0.0.1")) || str_ieq(h->host, STR("localhost")));
}

/* The address the listener was configured with, wildcards excepted. */
static bool is_listener(const struct route_work *w, const struct uri_host *h)
{
    struct str address = str_of(w->l->conf ? w->l->conf->address : NULL), port;
    if (w->l->is_unix || address.n == 0 || str_starts(address, STR("unix:")))
        return false;
    struct str host = cut_port(address, &port);
    return host.n && port.n && !str_eq(host, STR("0.0.0.0")) && !str_eq(host, STR("::")) &&
           !str_eq(host, STR("*")) && str_ieq(host, h->host);
}

/* The service of the configuration that is written so in a host; {NULL,0} when there is none. */
static struct str configured_label(const struct conf *c, struct str label)
{
    for (size_t i = 0; i < c->endpoint.nservices; i++) {
        struct str name = c->endpoint.services[i].service;
        bool same = name.p && label.p && name.n == label.n;
        for (size_t k = 0; same && k < name.n; k++)
            same = (name.p[k] == '_' ? '-' : ascii_lower(name.p[k])) == ascii_lower(label.p[k]);
        if (same)
            return name;
    }
    return str_n(NULL, 0);
}

/* The table's code, or the configuration's name, for a host label, where '_' is written '-'. */
static struct str label_service(struct route_work *w, struct str label)
{
    struct str code = endpoint_service_code(w->c->cloud, label);
    if (!code.p && memchr(label.p, '-', label.n)) {
        char *text = arena_alloc(w->a, label.n);
        if (!text)
            return label;
        for (size_t i = 0; i < label.n; i++)
            text[i] = label.p[i] == '-' ? '_' : label.p[i];
        code = endpoint_service_code(w->c->cloud, str_n(text, label.n));
    }
    if (!code.p)
        code = configured_label(w->c, label);
    return code.p ? code : route_service_name(w->c, label);
}

/* SERVICE[.REGION].localhost */
static enum err local_name(struct route_work *w, const struct uri_host *h, struct str whole)
{
    struct str rest = str_n(h->host.p, h->host.n - (sizeof(".localhost") - 1));
    struct str service = str_cut(&rest, '.');
    bool has_region = rest.p != NULL;
    if (!is_own_port(w, h->port) && h->port != 80)
        return refuse_port(w, whole);
    if (!endpoint_is_label(service) || (has_region && !endpoint_is_label(rest)))
        return refuse_host(w, whole,
                           "is not of the form SERVICE.localhost or "
                           "SERVICE.REGION.localhost");
    w->asked = ASKED_LOCAL;
    w->asked_service = label_service(w, service);
    if (has_region)
        w->asked_region = route_lower(w->a, rest);
    return has_region && !w->asked_region.p ? route_full(w->why) : ERR_OK;
}

/* Is h the host of that entry of endpoint.services, or of endpoint.host? */
static bool is_configured(const struct route_work *w, struct str configured,
                          const struct uri_host *h)
{
    enum port_match m = pattern_match(configured, h);
    struct str port, host = cut_port(configured, &port);
    if (m == NO_MATCH)
        return str_ieq(host, h->host) && is_endpoint_port(w, h->port);
    return m == HOST_AND_PORT || is_endpoint_port(w, h->port);
}

/* The service configured for that host; {NULL,0} when the host isn't configured. When several
 * services share it: the wanted one, else (nothing wanted) none, which is an empty string. */
static struct str configured_service(struct route_work *w, const struct uri_host *h,
                                     struct str wanted)
{
    const struct conf *c = w->c;
    struct str found = {NULL, 0};
    for (size_t i = 0; i < c->endpoint.nservices; i++) {
        const struct endpoint_service *s = &c->endpoint.services[i];
        if (s->host.n == 0 || !is_configured(w, s->host, h))
            continue;
        if (str_ieq(wanted, s->service))
            return s->service;
        found = !found.p ? s->service : wanted.n ? found : STR("");
    }
    return found;
}

bool route_host_serves(struct route_work *w, struct str service)
{
    return !w->asked_shared || str_ieq(configured_service(w, &w->asked_at, service), service);
}

struct str route_host_service(struct route_work *w, const struct uri_host *h, struct str wanted)
{
    struct str service = configured_service(w, h, wanted);
    if (service.p)
        return service;
    char *scratch = arena_alloc(w->a, ENDPOINT_HOST_MAX);
    if (!scratch || h->host.n >= ENDPOINT_HOST_MAX || h->ipv6)
        return STR("");
    struct endpoint_reverse r;
    endpoint_reverse(w->c->cloud, h->host, scratch, &r);
    if (!r.known || !r.service.n || !endpoint_service_code(w->c->cloud, r.service).p)
        return STR("");
    return r.service;
}

struct str route_host_region(struct route_work *w, struct str host)
{
    char *scratch = host.n < ENDPOINT_HOST_MAX ? arena_alloc(w->a, ENDPOINT_HOST_MAX) : NULL;
    struct endpoint_reverse r = {.known = false};
    if (scratch)
        endpoint_reverse(w->c->cloud, host, scratch, &r);
    return r.known ? r.region : str_n(NULL, 0);
}

/* An endpoint of the cloud or of the configuration; *known tells. */
static enum err endpoint_name(struct route_work *w, const struct uri_host *h, struct str whole,
                              bool *known)
{
    struct str service = configured_service(w, h, w->option[OPT_SERVICE]);
    *known = true;
    w->asked = ASKED_ENDPOINT;
    if (service.p) {
        w->asked_service = service;
        w->asked_in_table = service.n > 0;
        w->asked_shared = service.n == 0;
        w->asked_at = *h;
        return ERR_OK;
    }
    if (*w->c->endpoint.host && is_configured(w, str_of(w->c->endpoint.host), h))
        return ERR_OK;
    struct endpoint_reverse r = {.known = false};
    if (h->host.n < ENDPOINT_HOST_MAX && !h->ipv6) {
        char *scratch = arena_alloc(w->a, ENDPOINT_HOST_MAX);
        if (!scratch)
            return route_full(w->why);
        endpoint_reverse(w->c->cloud, h->host, scratch, &r);
    }
    *known = r.known;
    if (!r.known) {
        w->asked = ASKED_SELF;
        return ERR_OK;
    }
    if (!is_endpoint_port(w, h->port))
        return refuse_port(w, whole);
    w->asked_in_table = r.service.n && endpoint_service_code(w->c->cloud, r.service).p;
    struct str ours = w->asked_in_table ? str_n(NULL, 0) : configured_label(w->c, r.service);
    w->asked_service = ours.p ? ours : r.service;
    w->asked_in_table |= ours.p != NULL;
    w->asked_region = r.region;
    return ERR_OK;
}

enum err route_url_names(const struct conf *c, const struct uri_host *h, struct str wanted,
                         struct arena *a, struct str *service, struct str *region,
                         struct err_detail *why)
{
    const struct route_listener l = {.port = 0};
    struct route_work w = {.c = c, .l = &l, .a = a, .why = why, .option[OPT_SERVICE] = wanted};
    struct uri_host bare = *h;
    bool known;
    enum err e = endpoint_name(&w, h, h->host, &known);
    bare.port = 0;
    if (e == ERR_HOST_NOT_ALLOWED) /* there is no listener here whose port it should be */
        e = endpoint_name(&w, &bare, h->host, &known);
    *service = w.asked_service;
    *region = w.asked_region;
    return e;
}

static bool is_allowed_host(const struct route_work *w, const struct uri_host *h)
{
    const struct conf_strs *list = &w->c->security.allowed_hosts;
    for (size_t i = 0; i < list->n; i++) {
        enum port_match m = pattern_match(str_of(list->v[i]), h);
        if (m == HOST_AND_PORT || (m == HOST_ONLY && is_own_port(w, h->port)))
            return true;
    }
    return false;
}

enum err route_host_check(struct route_work *w)
{
    bool absolute = w->v->target.authority.n > 0, known;
    struct str whole = str_trim(w->v->host); /* the gate saw to it that both say the same */
    struct uri_host h;
    w->asked = ASKED_SELF;
    if (whole.n == 0)
        return w->l->is_unix ? ERR_OK : refuse_host(w, whole, "is empty; send a Host field");
    enum err e = uri_host(whole, &h, w->why);
    if (e)
        return e;
    if (is_loopback(&h) || is_listener(w, &h))
        return is_own_port(w, h.port) || (absolute && h.port == 80) ? ERR_OK
                                                                    : refuse_port(w, whole);
    if (!h.ipv6 && str_iends(h.host, STR(".localhost")))
        return local_name(w, &h, whole);
    w->asked_host = route_lower(w->a, h.host);
    if (!w->asked_host.p)
        return route_full(w->why);
    e = endpoint_name(w, &h, whole, &known);
    if (e || known || is_allowed_host(w, &h))
        return e;
    return refuse_host(w, whole,
                       "is neither this proxy, SERVICE.localhost nor an endpoint of the "
                       "configured cloud (security.allowed_hosts adds names)");
}

/* scheme://authority of a URL; all of it when it has no path. */
static struct str origin_of(struct str url)
{
    const char *at = url.n > 3 ? memmem(url.p, url.n, "://", 3) : NULL;
    for (size_t i = at ? (size_t)(at - url.p) + 3 : url.n; i < url.n; i++)
        if (url.p[i] == '/' || url.p[i] == '?' || url.p[i] == '#')
            return str_n(url.p, i);
    return url;
}

static bool is_allowed_origin(const struct conf *c, struct str origin)
{
    const struct conf_strs *list = &c->security.allowed_origins;
    for (size_t i = 0; i < list->n; i++)
        if (str_ieq(str_of(list->v[i]), origin))
            return true;
    return false;
}

/* With http_proxy set to us, a browser sends no Sec-Fetch-Site: to it an endpoint's http:// URL is
 * not trustworthy. A page can keep Origin and Referer out as well; what is left tells a browser. */
static bool is_proxied_browser(const struct route_work *w)
{
    const struct hdrs *h = &w->head->hdrs;
    const struct hdr *agent = hdrs_find(h, STR("User-Agent"));
    return w->v->target.authority.n > 0 && (hdrs_find(h, STR("Upgrade-Insecure-Requests")) ||
                                            (agent && str_istarts(agent->value, STR("Mozilla/")) &&
                                             hdrs_find(h, STR("Accept-Language"))));
}

enum err route_page_check(struct route_work *w)
{
    if (!w->norigin && !w->nreferer && !w->nsec_fetch_site) {
        if (!is_proxied_browser(w))
            return ERR_OK;
        return err_set(w->why, ERR_ORIGIN_NOT_ALLOWED,
                       "a browser that has this proxy as its http_proxy sent it, for who knows "
                       "which page; name localhost and the endpoints in its no_proxy");
    }
    /* One Origin that is allowed settles the rest; without one, the Referer's origin does. */
    struct str page = w->norigin ? w->origin : origin_of(w->referer);
    unsigned n = w->norigin ? w->norigin : w->nreferer;
    if (n == 1 && is_allowed_origin(w->c, page))
        return ERR_OK;
    const char *field = w->norigin ? "Origin" : w->nreferer ? "Referer" : "Sec-Fetch-Site";
    struct str value = n ? page : w->sec_fetch_site;
    return err_set(w->why, ERR_ORIGIN_NOT_ALLOWED,
                   "requests of web pages are refused (%s: %.*s); security.allowed_origins names "
                   "pages that may",
                   field, (int)(value.n < SHOWN_HOST ? value.n : SHOWN_HOST),
                   value.n ? value.p : "");
}

enum err route_override_check(struct route_work *w)
{
    const struct conf_strs *list = &w->c->security.endpoint_overrides;
    const struct uri_host *h = &w->ask_endpoint;
    for (size_t i = 0; i < list->n; i++) {
        enum port_match m = pattern_match(str_of(list->v[i]), h);
        if (m == HOST_AND_PORT || (m == HOST_ONLY && (!h->port || h->port == 80 || h->port == 443)))
            return ERR_OK;
    }
    return err_set(w->why, ERR_ENDPOINT_NOT_ALLOWED,
                   "X-Sigferry-Endpoint: '%.*s' matches no entry of security.endpoint_overrides",
                   (int)(h->host.n < SHOWN_HOST ? h->host.n : SHOWN_HOST), h->host.p);
}

/* The next field of a connect_to entry: up to ':', an IPv6 address in brackets. */
static struct str cut_field(struct str *rest)
{
    if (rest->n && rest->p[0] == '[') {
        struct str v = *rest, inside = str_cut(&v, ']');
        (void)str_cut(&v, ':');
        *rest = v;
        return str_n(inside.p + 1, inside.n - 1);
    }
    return str_cut(rest, ':');
}

bool route_is_named(const struct conf *c, struct str host, unsigned port)
{
    for (size_t i = 0; i < c->connect_to.n; i++) {
        struct str rest = str_of(c->connect_to.v[i]);
        struct str from = cut_field(&rest), from_port = cut_field(&rest), to = cut_field(&rest);
        uint64_t number;
        if (from.n && !str_ieq(from, host))
            continue;
        if (from_port.n == 0 || (str_u64(from_port, 65535, &number) && number == port))
            return from.n || to.n; /* the first that fits counts; else it only moves ports */
    }
    return false;
}
