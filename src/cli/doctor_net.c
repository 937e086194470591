/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor's look at the network: is the endpoint's name known, does it answer over TLS, and how far
 * is its clock from ours? One unsigned request an endpoint; any answer will do. */
#include "cli/doctor.h"

#include "base/clock.h"
#include "cli/host.h"
#include "io/conn.h"
#include "io/fetch.h"
#include "io/resolve.h"
#include "proxy/route.h"
#include "proxy/skew.h"

enum {
    HOSTS_MAX = 8, /* endpoints looked at */
    ANSWER_MAX = 256 * 1024,
    CLOCK_LIMIT_S = 900, /* the clouds refuse signatures that are further away */
};
#define WAIT_NS (10 * NS_PER_SEC) /* longest for each step, whatever is configured */

struct hosts {
    size_t n;
    struct host {
        char name[ENDPOINT_HOST_MAX];
        bool by_name; /* configured as it stands: it may have any address */
    } v[HOSTS_MAX];
};

static void add_host(struct hosts *h, struct str name, bool by_name)
{
    for (size_t i = 0; i < h->n; i++)
        if (str_ieq(str_of(h->v[i].name), name)) {
            h->v[i].by_name = h->v[i].by_name || by_name;
            return;
        }
    if (h->n == HOSTS_MAX || name.n >= ENDPOINT_HOST_MAX)
        return;
    struct host *new = &h->v[h->n++];
    (void)snprintf(new->name, sizeof new->name, "%.*s", STR_ARG(name));
    new->by_name = by_name;
}

/* The endpoint of the configured service (without one: of the service that every account has) and
 * all that are configured by name. */
static void collect(struct doctor *d, struct hosts *h)
{
    const struct conf *c = d->conf;
    char host[ENDPOINT_HOST_MAX];
    struct err_detail why = {""};
    const char *service = *c->service ? c->service : "sts";
    enum err e = cli_host(c, str_of(service), str_of(c->region), host, &why);
    if (e == ERR_OK)
        add_host(h, str_of(host), *c->endpoint.host != '\0');
    else if (e == ERR_INVALID_REGION && !*c->region) /* each request may name one */
        doctor_say(d, DOCTOR_SKIP, "dns",
                   "no endpoint for %s: endpoint.resolver = \"standard\" needs a region, and none "
                   "is configured; give one with -r",
                   service);
    else
        doctor_say(d, DOCTOR_FAIL, "dns", "no endpoint for %s: %s", service, why.text);
    for (size_t i = 0; i < c->endpoint.nservices; i++)
        if (c->endpoint.services[i].host.n)
            add_host(h, c->endpoint.services[i].host, true);
}

/* --- names ------------------------------------------------------------------------------------ */

static void resolved(struct resolve_query *q)
{
    (void)q; /* loop_poll returns after it, and q->answer is there */
}

/* False when there is no answer in time. */
static bool look_up(const char *name, struct resolve_answer *out)
{
    struct loop loop = {.epoll_fd = -1, .event_fd = -1};
    struct resolve_query q = {.answer = {.n = 0}};
    clock_tick();
    uint64_t limit = clock_ns() + WAIT_NS;
    *out = (struct resolve_answer){.why = "no answer in time"};
    struct resolver *r = resolver_new(1, 1, WAIT_NS);
    bool ok = loop_init(&loop) && r;
    if (!ok)
        out->why = "out of memory";
    else if (!resolve_start(r, &q, &loop, name, resolved))
        while (!q.answer.n && !q.answer.why && clock_ns() < limit)
            loop_poll(&loop, limit);
    resolve_cancel(&q);
    if (ok && (q.answer.n || q.answer.why))
        *out = q.answer;
    resolver_free(r);
    loop_free(&loop);
    return out->n > 0;
}

/* connect_to's entry for the host: HOST:PORT:…, where an empty HOST means all. */
static const char *redirection(const struct conf *c, struct str host)
{
    for (size_t i = 0; i < c->connect_to.n; i++) {
        struct str rest = str_of(c->connect_to.v[i]), from = str_cut(&rest, ':');
        if (!from.n || str_ieq(from, host))
            return c->connect_to.v[i];
    }
    return NULL;
}

/* Why the proxy would refuse every address of the answer, NULL when it would not. */
static const char *refusal(const struct resolve_answer *a)
{
    const char *why = NULL;
    for (unsigned i = 0; i < a->n; i++)
        if (!(why = conn_refuses(a->addr[i])))
            return NULL;
    return why;
}

static bool give_up(struct doctor *d, const char *name, const char *reason)
{
    doctor_say(d, DOCTOR_SKIP, "connect", "%s %s", name, reason);
    doctor_say(d, DOCTOR_SKIP, "clock", "%s did not say what time it is", name);
    return false;
}

/* False when there is no use in going on. */
static bool check_name(struct doctor *d, const struct host *h)
{
    const struct conf *c = d->conf;
    const char *host = h->name, *refused = NULL;
    struct resolve_answer a;
    struct str rest = str_of(host), bare = str_cut(&rest, ':');
    char name[ENDPOINT_HOST_MAX];
    bool plain = strcmp(c->endpoint.scheme, "http") == 0;
    const char *proxy = plain ? c->proxy.http_proxy : c->proxy.https_proxy;
    uint64_t number;
    unsigned port = rest.n && str_u64(rest, 65535, &number) ? (unsigned)number : plain ? 80 : 443;
    /* An entry that only moves the port leaves the address to the name. */
    const char *to = route_is_named(c, bare, port) ? redirection(c, bare) : NULL;
    if (host[0] == '[') { /* an IPv6 literal */
        doctor_say(d, DOCTOR_SKIP, "dns", "%s is an address", host);
        return true;
    }
    if (to || *proxy) {
        doctor_say(d, DOCTOR_SKIP, "dns", "%s: %s%s decides where to connect", host,
                   to ? "connect_to " : "a proxy", to ? to : "");
        return true;
    }
    (void)snprintf(name, sizeof name, "%.*s", STR_ARG(bare));
    doctor_busy(d, "dns", "looking %s up", name);
    if (!look_up(name, &a)) {
        doctor_say(d, DOCTOR_FAIL, "dns",
                   "%s: %s; look at /etc/resolv.conf and at region and endpoint.host, or name a "
                   "proxy (proxy.https_proxy)",
                   name, a.why);
        return give_up(d, name, "has no address");
    }
    if (!h->by_name && (refused = refusal(&a))) {
        doctor_say(d, DOCTOR_FAIL, "dns", "%s: %s: %s", name, a.addr[0], refused);
        return give_up(d, name, "has no address that requests are sent to");
    }
    doctor_say(d, DOCTOR_OK, "dns", "%s: %s%s", name, a.addr[0], a.n > 1 ? " and others" : "");
    return true;
}

/* --- connection and clock --------------------------------------------------------------------- */

static const char *cure(enum err e)
{
    switch (e) {
    case ERR_RESOLVE:
        return "look at /etc/resolv.conf, endpoint.host, connect_to and proxy.https_proxy";
    case ERR_CONNECT:
    case ERR_CONNECT_TIMEOUT:
        return "is a firewall in the way, or a proxy needed (proxy.https_proxy)?";
    case ERR_TLS:
        return "install ca-certificates; the CA of a proxy that reads along goes into tls.ca_file";
    case ERR_READ_TIMEOUT:
    case ERR_RESET:
    case ERR_PROTOCOL:
        return "something answers there, but no HTTP server: look at endpoint.host and connect_to";
    default:
        return "try again, or look at endpoint.host";
    }
}

/* date came when the local clock said now_s, which it may have said up to a second earlier. */
static void check_clock(struct doctor *d, const char *host, const char *date, int64_t now_s)
{
    int64_t theirs;
    if (!*date || !skew_parse_date(str_of(date), now_s, &theirs)) {
        doctor_say(d, DOCTOR_SKIP, "clock", "%s sends no Date", host);
        return;
    }
    long long ahead = (long long)(now_s - theirs), off = ahead < 0 ? -ahead : ahead;
    const char *which = ahead < 0 ? "behind" : "ahead of";
    if (off <= 1)
        doctor_say(d, DOCTOR_OK, "clock", "in step with %s", host);
    else if (off <= SKEW_MIN_S)
        doctor_say(d, DOCTOR_OK, "clock", "%lld s %s %s", off, which, host);
    else
        doctor_say(d, DOCTOR_FAIL, "clock",
                   "%lld s %s %s; signatures are refused from %d s on: set the clock (timedatectl "
                   "set-ntp true)",
                   off, which, host, CLOCK_LIMIT_S);
}

static uint64_t at_most(uint64_t ns)
{
    return ns && ns < WAIT_NS ? ns : WAIT_NS;
}

static void check_answer(struct doctor *d, const char *host)
{
    const struct conf *c = d->conf;
    const struct fetch_net net = conf_net(c);
    char url[ENDPOINT_HOST_MAX + 16];
    bool tls = strcmp(c->endpoint.scheme, "http") != 0;
    (void)snprintf(url, sizeof url, "%s://%s/", c->endpoint.scheme, host);
    const struct fetch_request q = {.method = "GET",
                                    .url = url,
                                    .connect_ns = at_most(c->timeouts.connect_ns),
                                    .read_ns = at_most(c->timeouts.read_ns),
                                    .cancel_fd = -1};
    struct fetch_response r;
    struct err_detail why = {""};
    buf_init(&r.body, ANSWER_MAX);
    doctor_busy(d, "connect", "connecting to %s", host);
    uint64_t from = clock_fresh_ns();
    enum err e = fetch_run(&q, &net, &r, &why);
    double ms = (double)(clock_fresh_ns() - from) / (double)NS_PER_MS;
    clock_tick();
    if (e) {
        doctor_say(d, DOCTOR_FAIL, "connect", "%s; %s", why.text, cure(e));
        doctor_say(d, DOCTOR_SKIP, "clock", "%s did not say what time it is", host);
    } else {
        doctor_say(d, DOCTOR_OK, "connect", "%s answers by %s at %s in %.0f ms%s", host,
                   tls ? "TLS" : "plain HTTP", r.address, ms,
                   tls && net.insecure ? ", unverified: tls.verify_ssl = false" : "");
        check_clock(d, host, r.date, clock_wall_s());
    }
    buf_free(&r.body);
}

void doctor_network(struct doctor *d)
{
    struct hosts h = {.n = 0};
    collect(d, &h);
    if (!h.n) {
        doctor_say(d, DOCTOR_SKIP, "connect", "there is no endpoint to look at");
        doctor_say(d, DOCTOR_SKIP, "clock", "there is no endpoint to look at");
    }
    for (size_t i = 0; i < h.n; i++)
        if (check_name(d, &h.v[i]))
            check_answer(d, h.v[i].name);
}
