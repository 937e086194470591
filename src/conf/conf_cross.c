/* SPDX-License-Identifier: Apache-2.0 */
/* What single values can't tell: references between groups, names given twice, listeners against
 * the security rules, files that must be readable. Each error stands at the key to change. */
#include "conf/conf_int.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

/* An error at the origin of path, which is also the key named. */
static void at(struct conf_loader *l, const char *path, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void at(struct conf_loader *l, const char *path, const char *fmt, ...)
{
    struct conf_pos pos = conf_origin_find(l->conf, path);
    char reason[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    conf_error(l, &pos, path, "%s", reason);
}

static const char *path_of(struct conf_loader *l, const char *list, size_t i, const char *key)
{
    struct str s = arena_printf(&l->tmp, "%s[%zu]%s%s", list, i, *key ? "." : "", key);
    return s.p ? s.p : list;
}

/* References to profiles and policies, all in one list: path and name. */
static void check_profile(struct conf_loader *l, const char *path, const char *name)
{
    const struct conf *c = l->conf;
    char all[256], q[CONF_QUOTE_MAX];
    size_t n = 0;

    if (!*name || conf_profile_find(c, str_of(name)))
        return;
    for (size_t i = 0; i < c->nprofiles && n < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s\"%s\"", i ? ", " : "",
                              c->profiles[i].name);
    at(l, path, "there is no profile %s; configured: %s", conf_quote(str_of(name), q), all);
}

static void check_policy(struct conf_loader *l, const char *path, const char *name)
{
    char q[CONF_QUOTE_MAX];
    if (*name && !conf_policy_find(l->conf, str_of(name)))
        at(l, path, "there is no policy %s", conf_quote(str_of(name), q));
}

static void cross_references(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    check_profile(l, "profile", c->profile);
    check_policy(l, "policy", c->policy);
    for (size_t i = 0; i < c->nlisten; i++) {
        check_profile(l, path_of(l, "listen", i, "profile"), c->listen[i].profile);
        check_policy(l, path_of(l, "listen", i, "policy"), c->listen[i].policy);
    }
    for (size_t i = 0; i < c->npolicies; i++)
        check_profile(l, path_of(l, "policies", i, "profile"), c->policies[i].profile);
    for (size_t i = 0; i < c->nclients; i++) {
        const struct conf_client *k = &c->clients[i];
        const struct conf_policy *p = conf_policy_find(c, str_of(k->policy));
        check_profile(l, path_of(l, "clients", i, "profile"), k->profile);
        check_policy(l, path_of(l, "clients", i, "policy"), k->policy);
        if (p && *p->profile && *k->profile && strcmp(p->profile, k->profile) != 0)
            at(l, path_of(l, "clients", i, "profile"),
               "the client is pinned to profile \"%s\", its policy to \"%s\"", k->profile,
               p->profile);
    }
    for (size_t i = 0; i < c->nroutes; i++)
        check_profile(l, path_of(l, "routes", i, "profile"), c->routes[i].profile);
}

static void cross_policies(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    for (size_t i = 0; i < c->npolicies; i++) {
        const struct conf_policy *p = &c->policies[i];
        bool used = strcmp(p->name, c->policy) == 0;
        for (size_t j = 0; j < c->nlisten; j++)
            used |= strcmp(p->name, c->listen[j].policy) == 0;
        for (size_t j = 0; j < l->nreplaced; j++)
            used |= strcmp(p->name, l->replaced[j].policy) == 0;
        for (size_t j = 0; j < c->nclients; j++)
            used |= strcmp(p->name, c->clients[j].policy) == 0;
        if (!used)
            at(l, path_of(l, "policies", i, ""),
               "nothing refers to the policy \"%s\", so it would protect nothing; name it in the "
               "global policy key, in a listener or in a client",
               p->name);
        if (p->allow.n == 0 && p->deny.n == 0 && p->regions.n == 0 && p->mode != POLICY_RECORD)
            at(l, path_of(l, "policies", i, ""),
               "the policy \"%s\" has neither allow nor deny nor regions", p->name);
    }
}

/* Names (or keys) that may be given once only. get returns the i-th. */
static void cross_unique(struct conf_loader *l, const char *list, const char *key, size_t n,
                         const char *(*get)(const struct conf *, size_t))
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(get(l->conf, i), get(l->conf, j)) == 0) {
                at(l, path_of(l, list, i, key), "the same as in %s[%zu]", list, j);
                break;
            }
}

static const char *listen_address(const struct conf *c, size_t i)
{
    return c->listen[i].address;
}
static const char *policy_name(const struct conf *c, size_t i)
{
    return c->policies[i].name;
}
static const char *client_name(const struct conf *c, size_t i)
{
    return c->clients[i].name;
}
static const char *client_key(const struct conf *c, size_t i)
{
    return c->clients[i].access_key;
}
static const char *route_prefix(const struct conf *c, size_t i)
{
    return c->routes[i].prefix;
}
static const char *service_code(const struct conf *c, size_t i)
{
    return c->endpoint.services[i].service.p;
}

static void check_remote(struct conf_loader *l, const char *path, const char *address,
                         bool has_identity)
{
    struct conf_address a;

    if (!*address || !conf_address_parse(str_of(address), &a) || a.loopback)
        return;
    if (!l->conf->security.allow_remote)
        at(l, path,
           "\"%s\" is not a loopback address: other machines could sign with your keys; it needs "
           "security.allow_remote = true, and clients or client_tokens",
           address);
    else if (!has_identity)
        at(l, path, "\"%s\" is open to other machines and needs clients or client_tokens", address);
}

static void cross_listeners(struct conf_loader *l)
{
    const struct conf *c = l->conf;
    bool any = c->nclients || c->security.nclient_tokens;

    if (c->nlisten == 0)
        at(l, "listen", "nothing to listen on");
    for (size_t i = 0; i < c->nlisten; i++) {
        const struct conf_listener *x = &c->listen[i];
        struct conf_address a;
        check_remote(l, path_of(l, "listen", i, "address"), x->address, any || x->nclient_tokens);
        if (!conf_address_parse(str_of(x->address), &a))
            continue;
        if (a.kind != CONF_ADDR_UNIX && (*x->mode || *x->owner || *x->group))
            at(l,
               path_of(l, "listen", i,
                       *x->mode    ? "mode"
                       : *x->owner ? "owner"
                                   : "group"),
               "only a Unix socket has mode, owner and group");
        if (a.kind == CONF_ADDR_TCP && x->allowed_gids.n)
            at(l, path_of(l, "listen", i, "allowed_gids"), "works on Unix sockets only");
        if (*c->admin.listen && a.kind != CONF_ADDR_TCP && strcmp(c->admin.listen, x->address) == 0)
            at(l, "admin.listen", "\"%s\" is a listener's address as well", c->admin.listen);
    }
    check_remote(l, "admin.listen", c->admin.listen, any);
}

static struct str tcp_host(const struct conf_address *a)
{
    return a->host.n ? a->host : STR("localhost");
}

/* Whether two addresses would meet: the same port on the same host, or on what localhost means. */
static bool same_socket(const struct conf_address *a, const struct conf_address *b)
{
    bool a_local = str_ieq(tcp_host(a), STR("localhost"));
    bool b_local = str_ieq(tcp_host(b), STR("localhost"));

    if (a->kind != CONF_ADDR_TCP || b->kind != CONF_ADDR_TCP || a->port != b->port || a->port == 0)
        return false;
    return str_ieq(tcp_host(a), tcp_host(b)) || (a_local && b->loopback) ||
           (b_local && a->loopback);
}

static void cross_ports(struct conf_loader *l)
{
    const struct conf *c = l->conf;
    struct conf_address a, b;

    if (!*c->admin.listen || !conf_address_parse(str_of(c->admin.listen), &a))
        return;
    for (size_t i = 0; i < c->nlisten; i++)
        if (conf_address_parse(str_of(c->listen[i].address), &b) && same_socket(&a, &b))
            at(l, "admin.listen", "port %u is taken by listen \"%s\"", a.port,
               c->listen[i].address);
}

/* A proxy that is one of our own listeners: every request would come back to us. */
static void check_proxy(struct conf_loader *l, const char *path, const char *url)
{
    const struct conf *c = l->conf;
    struct conf_address p, a;
    struct str host = str_of(url), text;

    for (size_t i = 0; i + 3 <= host.n; i++)
        if (memcmp(host.p + i, "://", 3) == 0) {
            host = str_n(host.p + i + 3, host.n - i - 3);
            break;
        }
    for (size_t i = host.n; i > 0; i--)
        if (host.p[i - 1] == '@') {
            host = str_n(host.p + i, host.n - i);
            break;
        }
    text = str_cut(&host, '/');
    if (text.n == 0 || !conf_address_parse(text, &p) || !p.loopback)
        return;
    for (size_t i = 0; i < c->nlisten; i++)
        if (conf_address_parse(str_of(c->listen[i].address), &a) && a.kind == CONF_ADDR_TCP &&
            (a.loopback || str_eq(a.host, STR("0.0.0.0")) || str_eq(a.host, STR("::"))) &&
            a.port == p.port && a.port)
            at(l, path,
               "is our own listener \"%s\": requests would go in a circle; unset the variable or "
               "set %s = \"\"",
               c->listen[i].address, path);
}

/* A file that TLS will want: better missed now than by every request. */
static void check_file(struct conf_loader *l, const char *path, const char *file, bool secret)
{
    struct stat st;
    int fd;

    if (!*file)
        return;
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        at(l, path, "cannot open \"%s\": %s", file, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    (void)close(fd);
    if (!S_ISREG(st.st_mode))
        at(l, path, "\"%s\" is not a regular file", file);
    else if (secret && l->conf->security.strict_file_permissions &&
             ((st.st_mode & 077) || (st.st_uid != 0 && st.st_uid != geteuid())))
        at(l, path,
           "\"%s\" holds a private key; it must belong to user %u or root and have mode 0600, not "
           "%04o",
           file, (unsigned)geteuid(), (unsigned)(st.st_mode & 07777));
    else if (l->conf->security.strict_file_permissions && (st.st_mode & 022))
        at(l, path, "others than its owner may write \"%s\", its mode is %04o; use chmod go-w",
           file, (unsigned)(st.st_mode & 07777));
}

static void cross_tls(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    if (*c->tls.cert_file && !*c->tls.key_file)
        at(l, "tls.cert_file", "needs tls.key_file as well");
    if (*c->tls.key_file && !*c->tls.cert_file)
        at(l, "tls.key_file", "needs tls.cert_file as well");
    check_file(l, "tls.ca_file", c->tls.ca_file, false);
    check_file(l, "tls.cert_file", c->tls.cert_file, false);
    check_file(l, "tls.key_file", c->tls.key_file, true);
}

static void cross_retry(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    if (c->retry.min_retry_delay_ms > c->retry.max_retry_delay_ms)
        at(l,
           conf_origin_given(c, "retry.min_retry_delay_ms") ? "retry.min_retry_delay_ms"
                                                            : "retry.max_retry_delay_ms",
           "min_retry_delay_ms (%lld) is more than max_retry_delay_ms (%lld)",
           (long long)c->retry.min_retry_delay_ms, (long long)c->retry.max_retry_delay_ms);
    if (c->retry.backoff_strategy == BACKOFF_CUSTOM && c->retry.backoff_delays_ms.n == 0)
        at(l, "retry.backoff_strategy", "\"custom\" needs retry.backoff_delays_ms");
    if (c->retry.backoff_strategy != BACKOFF_CUSTOM && c->retry.backoff_delays_ms.n)
        at(l, "retry.backoff_delays_ms", "counts only with retry.backoff_strategy = \"custom\"");
}

static void check_uids(struct conf_loader *l, const char *path, const struct conf_ints *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->v[i] == CONF_UID_OVERFLOW)
            at(l, path,
               "%d stands for every user a user namespace doesn't know and is never accepted",
               CONF_UID_OVERFLOW);
}

static void cross_rest(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    check_uids(l, "security.allowed_uids", &c->security.allowed_uids);
    check_uids(l, "security.allowed_gids", &c->security.allowed_gids);
    for (size_t i = 0; i < c->nlisten; i++) {
        check_uids(l, path_of(l, "listen", i, "allowed_uids"), &c->listen[i].allowed_uids);
        check_uids(l, path_of(l, "listen", i, "allowed_gids"), &c->listen[i].allowed_gids);
    }
    for (size_t i = 0; i < c->nroutes; i++) {
        const struct conf_route *r = &c->routes[i];
        if (!*r->service && !*r->region && !*r->profile && !r->strip_prefix)
            at(l, path_of(l, "routes", i, ""),
               "says nothing: give service, region, profile or strip_prefix");
    }
    if (c->limits.buffered_total < c->limits.body_memory)
        at(l,
           conf_origin_given(c, "limits.body_memory") ? "limits.body_memory"
                                                      : "limits.buffered_total",
           "limits.body_memory is more than limits.buffered_total");
    check_proxy(l, "proxy.http_proxy", c->proxy.http_proxy);
    check_proxy(l, "proxy.https_proxy", c->proxy.https_proxy);
}

void conf_cross(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    cross_references(l);
    cross_policies(l);
    cross_unique(l, "listen", "address", c->nlisten, listen_address);
    cross_unique(l, "policies", "name", c->npolicies, policy_name);
    cross_unique(l, "clients", "name", c->nclients, client_name);
    cross_unique(l, "clients", "access_key", c->nclients, client_key);
    cross_unique(l, "routes", "prefix", c->nroutes, route_prefix);
    cross_unique(l, "endpoint.services", "service", c->endpoint.nservices, service_code);
    cross_listeners(l);
    cross_ports(l);
    cross_tls(l);
    cross_retry(l);
    cross_rest(l);
    conf_cross_profiles(l);
}
