/* SPDX-License-Identifier: Apache-2.0 */
/* The admin address's Host and web page rules. A rebound DNS name does not pass the first, a page
 * that sends the browser here does not pass the second. */
#include "daemon/admin_rules.h"

#include "proxy/glob.h"

enum { SHOWN = 128 };

static int shown(struct str s)
{
    return (int)(s.n < SHOWN ? s.n : SHOWN);
}

/* Splits "host", "host:port", "[v6]:port" of the configuration. */
static struct str cut_port(struct str s, struct str *port)
{
    *port = str_n(NULL, 0);
    if (s.n && s.p[0] == '[') {
        struct str rest = str_n(s.p + 1, s.n - 1), host = str_cut(&rest, ']');
        if (rest.n > 1 && rest.p[0] == ':')
            *port = str_n(rest.p + 1, rest.n - 1);
        return host;
    }
    const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
    if (!colon)
        return s;
    *port = str_n(colon + 1, s.n - (size_t)(colon + 1 - s.p));
    return str_n(s.p, (size_t)(colon - s.p));
}

static bool is_loopback(const struct uri_host *h)
{
    if (h->ipv6)
        return str_eq(h->host, STR("::1"));
    return str_eq(h->host, STR("127.0.0.1")) || str_ieq(h->host, STR("localhost"));
}

/* The address admin.listen was given, wildcards excepted. */
static bool is_listener(const struct proxy_door *door, const struct uri_host *h)
{
    struct str port, host = cut_port(str_of(door->address), &port);
    return host.n && port.n && !str_eq(host, STR("0.0.0.0")) && !str_eq(host, STR("::")) &&
           !str_eq(host, STR("*")) && str_ieq(host, h->host);
}

static bool is_allowed(const struct conf *c, const struct proxy_door *door,
                       const struct uri_host *h)
{
    for (size_t i = 0; i < c->security.allowed_hosts.n; i++) {
        struct str port, host = cut_port(str_of(c->security.allowed_hosts.v[i]), &port);
        uint64_t number;
        if (!glob_match(host, h->host, ":"))
            continue;
        if (port.n == 0
                ? h->port == 0 || h->port == door->port
                : str_eq(port, STR("*")) || (str_u64(port, 65535, &number) && number == h->port))
            return true;
    }
    return false;
}

enum err admin_host_rule(const struct conf *c, const struct proxy_door *door,
                         const struct gate_verdict *v, struct err_detail *why)
{
    struct str whole = str_trim(v->target.authority.n ? v->target.authority : v->host);
    struct uri_host h;
    if (door->is_unix)
        return ERR_OK;
    if (whole.n == 0)
        return err_set(why, ERR_HOST_NOT_ALLOWED, "the host is empty; send a Host field");
    enum err e = uri_host(whole, &h, why);
    if (e)
        return e;
    bool own_port = h.port == door->port || (h.port == 0 && door->port == 80);
    if ((is_loopback(&h) || is_listener(door, &h)) && (own_port || h.port == 0))
        return ERR_OK;
    if (is_allowed(c, door, &h))
        return ERR_OK;
    return err_set(why, ERR_HOST_NOT_ALLOWED,
                   "the host '%.*s' is not one the admin address answers for: use localhost:%u "
                   "(security.allowed_hosts adds names)",
                   shown(whole), whole.p, door->port);
}

static bool is_allowed_origin(const struct conf *c, struct str origin)
{
    for (size_t i = 0; i < c->security.allowed_origins.n; i++)
        if (glob_match(str_of(c->security.allowed_origins.v[i]), origin, "/@?#"))
            return true;
    return false;
}

enum err admin_page_rule(const struct conf *c, const struct hdrs *h, bool unsafe,
                         struct err_detail *why)
{
    const struct hdr *origin = hdrs_find(h, STR("Origin")), *referer = hdrs_find(h, STR("Referer"));
    const struct hdr *site = hdrs_find(h, STR("Sec-Fetch-Site"));
    bool own =
        site && (str_ieq(site->value, STR("none")) || str_ieq(site->value, STR("same-origin")));
    if (origin && hdrs_count(h, STR("Origin")) == 1 && is_allowed_origin(c, origin->value))
        return ERR_OK;
    const struct hdr *bad = NULL;
    if (origin)
        bad = origin;
    else if (site && (unsafe || !own || hdrs_count(h, STR("Sec-Fetch-Site")) > 1))
        bad = site;
    else if (referer && (unsafe || !own)) /* a link of our own page comes with same-origin */
        bad = referer;
    if (!bad)
        return ERR_OK;
    return err_set(why, ERR_ORIGIN_NOT_ALLOWED, "requests of web pages are refused (%.*s: %.*s)",
                   shown(bad->name), bad->name.p, shown(bad->value),
                   bad->value.n ? bad->value.p : "");
}
