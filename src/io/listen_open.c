/* SPDX-License-Identifier: Apache-2.0 */
/* Opening TCP listeners and closing all kinds. Reads "HOST:PORT" in its forms; localhost is both
 * loopback addresses under one port. Never opens a non-loopback address without allow_remote. */
#include "io/listen_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOST_MAX = 256, PORT_TRIES = 32, OWN_MAX = 256 };

/* The TCP listeners that are open, for listen_is_own: what the process listens on belongs to the
 * process, and those who ask know nothing of listeners. */
static struct own {
    int fd;
    struct sockaddr_storage sa;
} own[OWN_MAX];
static size_t nown;
static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;

static void own_add(const struct listen_sock *s)
{
    struct own o = {.fd = s->fd};
    socklen_t len = sizeof o.sa;
    if (s->family != LISTEN_TCP || getsockname(s->fd, (struct sockaddr *)&o.sa, &len) != 0)
        return;
    pthread_mutex_lock(&own_lock);
    if (nown < OWN_MAX)
        own[nown++] = o;
    pthread_mutex_unlock(&own_lock);
}

static void own_remove(int fd)
{
    pthread_mutex_lock(&own_lock);
    for (size_t i = 0; i < nown; i++)
        if (own[i].fd == fd)
            own[i--] = own[--nown];
    pthread_mutex_unlock(&own_lock);
}

/* Address (IPv4 as ::ffff:a.b.c.d) and port; false for other families. */
static bool split_sockaddr(const struct sockaddr *sa, struct in6_addr *addr, in_port_t *port)
{
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 s6;
        memcpy(&s6, sa, sizeof s6);
        *addr = s6.sin6_addr;
        *port = s6.sin6_port;
        return true;
    }
    if (sa->sa_family != AF_INET)
        return false;
    struct sockaddr_in s4;
    memcpy(&s4, sa, sizeof s4);
    *addr = (struct in6_addr){.s6_addr = {[10] = 0xFF, [11] = 0xFF}};
    memcpy(&addr->s6_addr[12], &s4.sin_addr, 4);
    *port = s4.sin_port;
    return true;
}

/* 0.0.0.0, ::, ::ffff:0.0.0.0: all addresses to a listener, this machine to who connects. */
static bool is_any(const struct in6_addr *a)
{
    static const unsigned char zero[4];
    return IN6_IS_ADDR_UNSPECIFIED(a) ||
           (IN6_IS_ADDR_V4MAPPED(a) && memcmp(&a->s6_addr[12], zero, 4) == 0);
}

/* The listener of this process that keeps sa from being bound. */
static bool own_in_the_way(const struct sockaddr_storage *sa, char *out, size_t size)
{
    struct in6_addr wanted, at;
    in_port_t port, own_port;
    bool found = false;
    if (!split_sockaddr((const struct sockaddr *)sa, &wanted, &port))
        return false;
    pthread_mutex_lock(&own_lock);
    for (size_t i = 0; i < nown && !found; i++) {
        found = own[i].sa.ss_family == sa->ss_family &&
                split_sockaddr((const struct sockaddr *)&own[i].sa, &at, &own_port) &&
                own_port == port &&
                (IN6_ARE_ADDR_EQUAL(&wanted, &at) || is_any(&wanted) || is_any(&at));
        if (found)
            listen_sockname(&own[i].sa, out, size);
    }
    pthread_mutex_unlock(&own_lock);
    return found;
}

/* Is it an address of this machine? Only those can be bound. */
static bool is_local(const struct sockaddr *sa)
{
    struct sockaddr_storage any_port = {0};
    socklen_t len =
        sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    memcpy(&any_port, sa, len);
    if (sa->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)&any_port)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&any_port)->sin_port = 0;
    int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool local = fd >= 0 && bind(fd, (const struct sockaddr *)&any_port, len) == 0;
    if (fd >= 0)
        close(fd);
    return local;
}

bool listen_is_own(const struct sockaddr *sa)
{
    struct in6_addr to, at;
    in_port_t port, own_port;
    bool same = false, maybe = false;
    if (!split_sockaddr(sa, &to, &port))
        return false;
    pthread_mutex_lock(&own_lock);
    for (size_t i = 0; i < nown && !same; i++) {
        if (!split_sockaddr((const struct sockaddr *)&own[i].sa, &at, &own_port) ||
            own_port != port)
            continue;
        same = IN6_ARE_ADDR_EQUAL(&to, &at) ||
               (is_any(&to) && (is_any(&at) || listen_is_loopback(&own[i].sa)));
        maybe = maybe || is_any(&at);
    }
    pthread_mutex_unlock(&own_lock);
    return same || (maybe && is_local(sa));
}

bool listen_is_loopback(const struct sockaddr_storage *sa)
{
    if (sa->ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24) == 127;
    if (sa->ss_family != AF_INET6)
        return false;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

unsigned listen_sockname(const struct sockaddr_storage *sa, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    snprintf(out, size, "?");
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *s4 = (const struct sockaddr_in *)sa;
        if (inet_ntop(AF_INET, &s4->sin_addr, ip, sizeof ip))
            snprintf(out, size, "%s:%u", ip, ntohs(s4->sin_port));
        return ntohs(s4->sin_port);
    }
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)sa;
        if (inet_ntop(AF_INET6, &s6->sin6_addr, ip, sizeof ip))
            snprintf(out, size, "[%s]:%u", ip, ntohs(s6->sin6_port));
        return ntohs(s6->sin6_port);
    }
    return 0;
}

static void let_go(const struct listen_sock *s, bool give_back)
{
    if (s->inherited && give_back) {
        listen_return_inherited(s->fd);
        return;
    }
    if (s->inherited)
        listen_forget_inherited(s->fd);
    if (s->fd >= 0)
        close(s->fd);
}

bool listen_append(struct listen_set *set, const struct listen_sock *s, char *msg, size_t msgsize)
{
    struct listen_sock *v = reallocarray(set->v, set->n + 1, sizeof *v);
    if (!v) {
        snprintf(msg, msgsize, "%s: out of memory", s->name);
        let_go(s, true);
        return false;
    }
    set->v = v;
    v[set->n++] = *s;
    own_add(s);
    return true;
}

static void close_from(struct listen_set *set, size_t from, bool give_back)
{
    for (size_t i = from; i < set->n; i++) {
        struct listen_sock *s = &set->v[i];
        struct stat st;
        if (s->unlink_path && lstat(s->unlink_path, &st) == 0 && st.st_dev == s->dev &&
            st.st_ino == s->ino)
            unlink(s->unlink_path);
        free(s->unlink_path);
        own_remove(s->fd);
        let_go(s, give_back);
    }
    set->n = from;
}

static void close_all(struct listen_set *set, bool give_back)
{
    close_from(set, 0, give_back);
    free(set->v);
    *set = (struct listen_set){0};
}

void listen_close(struct listen_set *set)
{
    close_all(set, false);
}

void listen_give_back(struct listen_set *set)
{
    close_all(set, true);
}

/* Splits "HOST:PORT", "[V6]:PORT", ":PORT", "PORT"; an empty host says localhost. */
static bool split_address(const char *address, char host[HOST_MAX], unsigned *port, char *msg,
                          size_t msgsize)
{
    struct str s = str_of(address), h = {"", 0}, p = s;
    const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
    if (s.n && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.n);
        if (!end || end + 1 != colon) {
            snprintf(msg, msgsize, "%s: expected [IPV6]:PORT, as in [::1]:8750", address);
            return false;
        }
        h = str_n(s.p + 1, (size_t)(end - s.p - 1));
        p = str_n(colon + 1, s.n - (size_t)(colon + 1 - s.p));
    } else if (colon) {
        h = str_n(s.p, (size_t)(colon - s.p));
        p = str_n(colon + 1, s.n - h.n - 1);
        if (memchr(h.p, ':', h.n)) {
            snprintf(msg, msgsize, "%s: write an IPv6 address in brackets: [%.*s]:%.*s", address,
                     STR_ARG(h), STR_ARG(p));
            return false;
        }
    }
    uint64_t n;
    if (!str_u64(p, 65535, &n)) {
        snprintf(msg, msgsize,
                 "%s: not an address to listen on; expected HOST:PORT, PORT (0-65535), [::1]:PORT, "
                 "unix:/path or systemd",
                 address);
        return false;
    }
    if (h.n >= HOST_MAX) {
        snprintf(msg, msgsize, "%.64s...: the host name is too long", address);
        return false;
    }
    memcpy(host, h.p, h.n);
    host[h.n] = '\0';
    *port = (unsigned)n;
    return true;
}

static void set_port(struct sockaddr_storage *sa, unsigned port)
{
    if (sa->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)sa)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)sa)->sin_port = htons((uint16_t)port);
}

static socklen_t sa_len(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* Binds and listens; fills *s. Returns 0 or an errno. */
static int open_tcp(struct sockaddr_storage *sa, struct listen_sock *s)
{
    *s = (struct listen_sock){.fd = -1, .family = LISTEN_TCP};
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int one = 1;
    socklen_t len = sa_len(sa);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (sa->ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0) ||
        bind(fd, (const struct sockaddr *)sa, len) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)sa, &len) != 0) {
        int e = errno;
        close(fd);
        return e;
    }
    s->fd = fd;
    s->loopback = listen_is_loopback(sa);
    s->port = listen_sockname(sa, s->name, sizeof s->name);
    return 0;
}

static void explain(const struct sockaddr_storage *sa, int e, char *msg, size_t msgsize)
{
    char name[128], holder[96];
    listen_sockname(sa, name, sizeof name);
    const char *where = "`listen` (-l), or `admin.listen` (--admin) for the admin address";
    if (e == EADDRINUSE && own_in_the_way(sa, holder, sizeof holder))
        snprintf(msg, msgsize,
                 "%s: this process has that port open already, under another spelling (%s); keep "
                 "one of them (to spell or widen an open listener otherwise takes a restart)",
                 name, holder);
    else if (e == EADDRINUSE && listen_holder(sa, holder, sizeof holder))
        snprintf(msg, msgsize, "%s: address already in use by %s; stop it, or change %s", name,
                 holder, where);
    else if (e == EADDRINUSE)
        snprintf(msg, msgsize,
                 "%s: address already in use by another process; stop it, or change %s", name,
                 where);
    else if (e == EACCES)
        snprintf(
            msg, msgsize,
            "%s: %s; ports below 1024 need a privilege: use a higher one, or socket activation "
            "(`listen = [ \"systemd\" ]`)",
            name, strerror(e));
    else if (e == EADDRNOTAVAIL)
        snprintf(msg, msgsize, "%s: %s: no interface of this machine has it; change %s", name,
                 strerror(e), where);
    else
        snprintf(msg, msgsize, "%s: %s", name, strerror(e));
}

/* Without IPv6 in the kernel, or with it switched off, ::1 does not exist. */
static bool lacks_ipv6(int e)
{
    return e == EAFNOSUPPORT || e == EADDRNOTAVAIL || e == EPROTONOSUPPORT;
}

/* 127.0.0.1 and ::1 under one port. With port 0 the system chooses it for the first; when the other
 * is taken there, another is tried. */
static bool open_localhost(unsigned port, struct listen_set *out, char *msg, size_t msgsize)
{
    struct sockaddr_storage v4, v6;
    struct listen_sock s4, s6;
    int e = 0;
    for (int i = 0; i < PORT_TRIES; i++) {
        memset(&v4, 0, sizeof v4);
        memset(&v6, 0, sizeof v6);
        v4.ss_family = AF_INET;
        ((struct sockaddr_in *)&v4)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        v6.ss_family = AF_INET6;
        ((struct sockaddr_in6 *)&v6)->sin6_addr = in6addr_loopback;
        set_port(&v4, port);
        e = open_tcp(&v4, &s4);
        if (e != 0) {
            explain(&v4, e, msg, msgsize);
            return false;
        }
        set_port(&v6, s4.port);
        e = open_tcp(&v6, &s6);
        if (e == 0) {
            if (listen_append(out, &s4, msg, msgsize))
                return listen_append(out, &s6, msg, msgsize);
            close(s6.fd);
            return false;
        }
        if (lacks_ipv6(e))
            return listen_append(out, &s4, msg, msgsize);
        close(s4.fd);
        if (port != 0 || e != EADDRINUSE)
            break;
    }
    explain(&v6, e, msg, msgsize);
    return false;
}

static bool open_host(const struct listen_spec *spec, const char *host, unsigned port,
                      struct listen_set *out, char *msg, size_t msgsize)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc != 0) {
        snprintf(msg, msgsize, "%s: %s: %s", spec->address, host, gai_strerror(rc));
        return false;
    }
    bool ok = true;
    for (struct addrinfo *a = list; ok && a; a = a->ai_next) {
        struct sockaddr_storage sa = {0};
        struct listen_sock s;
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
            continue;
        memcpy(&sa, a->ai_addr, a->ai_addrlen);
        set_port(&sa, port);
        if (!listen_is_loopback(&sa) && !spec->allow_remote) {
            snprintf(msg, msgsize,
                     "%s: not a loopback address: other machines could sign with your keys; use "
                     "localhost:%u, or set `security.allow_remote` and require an identity "
                     "(`security.client_tokens` or `clients`)",
                     spec->address, port);
            ok = false;
            break;
        }
        int e = open_tcp(&sa, &s);
        if (e != 0) {
            explain(&sa, e, msg, msgsize);
            ok = false;
        } else {
            ok = listen_append(out, &s, msg, msgsize);
            if (port == 0) /* one port for all addresses of the name */
                port = s.port;
        }
    }
    freeaddrinfo(list);
    return ok;
}

bool listen_open(const struct listen_spec *spec, struct listen_set *out, char *msg, size_t msgsize)
{
    struct str a = str_of(spec->address);
    size_t before = out->n;
    bool ok;
    if (str_starts(a, STR("unix:"))) {
        ok = listen_open_unix(spec, out, msg, msgsize);
    } else if (str_eq(a, STR("systemd"))) {
        ok = listen_open_inherited(spec, NULL, out, msg, msgsize);
    } else if (str_starts(a, STR("systemd:"))) {
        ok = listen_open_inherited(spec, spec->address + sizeof "systemd:" - 1, out, msg, msgsize);
    } else {
        char host[HOST_MAX];
        unsigned port;
        if (!split_address(spec->address, host, &port, msg, msgsize))
            return false;
        if (host[0] == '\0' || str_ieq(str_of(host), STR("localhost")))
            ok = open_localhost(port, out, msg, msgsize);
        else
            ok = open_host(spec, host, port, out, msg, msgsize);
    }
    if (ok && out->n == before) {
        snprintf(msg, msgsize, "%s: no address to listen on", spec->address);
        ok = false;
    }
    if (!ok)
        close_from(out, before, true);
    return ok;
}
