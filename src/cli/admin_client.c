/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking HTTP/1.1 request with a deadline, to the admin address alone. The answer goes through
 * the strict parser that upstreams' answers go through. Never prints the token it sends. */
#include "cli/admin_client.h"

#include "base/clock.h"
#include "http/resp.h"
#include "http/uri.h"
#include "sign/sign.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
    char host[80]; /* for the Host field */
};

bool admin_seconds(const char *text, uint64_t *ns)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') /* no sign, blank, nan or inf */
        return false;
    errno = 0;
    double s = strtod(text, &end);
    if (errno || *end || !(s >= 0 && s <= 86400) || strpbrk(text, "xXpP"))
        return false;
    *ns = (uint64_t)(s * 1e9);
    return true;
}

static bool unix_address(const char *path, struct address *out)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&out->sa;
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof sun->sun_path)
        return false;
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path, n);
    out->len = sizeof *sun;
    snprintf(out->host, sizeof out->host, "localhost");
    return true;
}

/* HOST:PORT in the forms that can be listened on; a wildcard is asked at its loopback address. */
static bool tcp_address(struct str s, struct address *out)
{
    struct sockaddr_in *s4 = (struct sockaddr_in *)&out->sa;
    struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)&out->sa;
    char host[64] = "127.0.0.1";
    const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
    struct str h = {"", 0}, p = s;
    uint64_t port;
    if (colon) {
        h = str_n(s.p, (size_t)(colon - s.p));
        p = str_n(colon + 1, s.n - h.n - 1);
    }
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = str_n(h.p + 1, h.n - 2);
    if (!str_u64(p, 65535, &port) || h.n >= sizeof host)
        return false;
    bool local = h.n == 0 || str_ieq(h, STR("localhost")) || str_eq(h, STR("0.0.0.0"));
    if (str_eq(h, STR("::")))
        snprintf(host, sizeof host, "::1");
    else if (!local)
        snprintf(host, sizeof host, "%.*s", STR_ARG(h));
    if (inet_pton(AF_INET, host, &s4->sin_addr) == 1) {
        s4->sin_family = AF_INET;
        s4->sin_port = htons((uint16_t)port);
        out->len = sizeof *s4;
        snprintf(out->host, sizeof out->host, "%s:%u", local ? "localhost" : host, (unsigned)port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &s6->sin6_addr) == 1) {
        s6->sin6_family = AF_INET6;
        s6->sin6_port = htons((uint16_t)port);
        out->len = sizeof *s6;
        snprintf(out->host, sizeof out->host, "[%s]:%u", host, (unsigned)port);
        return true;
    }
    return false;
}

static bool find_address(const struct conf *c, struct address *out, char *msg, size_t msgsize)
{
    struct str s = str_of(c->admin.listen);
    memset(out, 0, sizeof *out);
    if (s.n == 0) {
        snprintf(msg, msgsize, "the admin address is switched off (admin.listen is empty)");
        return false;
    }
    if (str_starts(s, STR("unix:")) ? unix_address(s.p + 5, out) : tcp_address(s, out))
        return true;
    snprintf(msg, msgsize,
             "admin.listen is \"%s\", which can't be asked; give its address with "
             "--admin",
             c->admin.listen);
    return false;
}

bool admin_can_ask(const struct conf *c, char *msg, size_t msgsize)
{
    struct address a;
    return find_address(c, &a, msg, msgsize);
}

/* Waits until fd is ready for events; false at the deadline, with errno. */
static bool wait_fd(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now = clock_fresh_ns();
        uint64_t ms = now < deadline_ns ? (deadline_ns - now) / NS_PER_MS + 1 : 0;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, ms > 60000 ? 60000 : (int)ms);
        if (n > 0)
            return true;
        if ((n == 0 && ms == 0) || (n < 0 && errno != EINTR)) {
            if (n == 0)
                errno = ETIMEDOUT;
            return false;
        }
    }
}

static int dial(const struct address *a, uint64_t deadline_ns)
{
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int e = connect(fd, (const struct sockaddr *)&a->sa, a->len) == 0 ? 0 : errno;
    socklen_t len = sizeof e;
    if (e == EINPROGRESS &&
        (!wait_fd(fd, POLLOUT, deadline_ns) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0))
        e = errno;
    if (e == 0)
        return fd;
    close(fd);
    errno = e;
    return -1;
}

static bool send_all(int fd, struct str s, uint64_t deadline_ns)
{
    while (s.n) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n > 0)
            s = str_n(s.p + n, s.n - (size_t)n);
        else if ((errno != EAGAIN && errno != EINTR) || !wait_fd(fd, POLLOUT, deadline_ns))
            return false;
    }
    return true;
}

static void keep(struct admin_answer *out, size_t *have, struct str data)
{
    size_t room = sizeof out->body - 1 - *have;
    size_t n = data.n < room ? data.n : room;
    if (n)
        memcpy(out->body + *have, data.p, n);
    *have += n;
    out->body[*have] = '\0';
}

/* Reads one response; NULL, or why not. */
static const char *receive(int fd, struct resp *r, uint64_t deadline_ns, struct admin_answer *out)
{
    char chunk[8192];
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno != EAGAIN || !wait_fd(fd, POLLIN, deadline_ns)))
            return strerror(errno);
        if (n < 0)
            continue;
        struct str in = str_n(chunk, (size_t)n), data;
        enum resp_event e = n == 0 ? resp_eof(r) : RESP_MORE;
        if (n == 0 && e != RESP_END)
            return "it closed the connection without a whole answer";
        while (e != RESP_END && (e = resp_feed(r, &in, &data)) != RESP_MORE) {
            if (e == RESP_BAD)
                return "its answer is no HTTP/1.1";
            if (e == RESP_DATA)
                keep(out, &have, data);
        }
        if (e == RESP_END) {
            out->status = r->status;
            return NULL;
        }
    }
}

/* As an SDK with that local key would sign. Service and region are nobody's at this address. */
static bool put_signature(struct buf *q, const struct conf_client *client, const char *method,
                          const char *path, const char *host)
{
    const struct sign_cred cred = {.access_key = str_of(client->access_key),
                                   .secret_key = secret_str(client->secret_key)};
    const struct hdrs none = {NULL, 0, 0};
    const struct sign_input in = {.method = str_of(method),
                                  .path = str_of(path),
                                  .query = STR(""),
                                  .host = str_of(host),
                                  .hdrs = &none,
                                  .body_sha256 = str_of(digest_empty_hex),
                                  .service = STR("sigferry"),
                                  .region = STR("local"),
                                  .time_s = clock_wall_s(),
                                  .cred = &cred};
    struct sign_output out;
    struct signer *signer = signer_new();
    bool ok = signer && sign_request(signer, &in, &out) == ERR_OK;
    if (ok)
        buf_printf(q, "X-Date: %s\r\nX-Content-Sha256: %s\r\nAuthorization: %.*s\r\n", out.x_date,
                   digest_empty_hex, STR_ARG(out.authorization));
    signer_free(signer);
    return ok;
}

bool admin_ask(const struct conf *c, const char *method, const char *path, uint64_t deadline_ns,
               struct admin_answer *out, char *msg, size_t msgsize)
{
    struct address a;
    memset(out, 0, sizeof *out);
    if (!find_address(c, &a, msg, msgsize))
        return false;
    int fd = dial(&a, deadline_ns);
    if (fd < 0) {
        bool nobody = errno == ECONNREFUSED || errno == ENOENT;
        snprintf(msg, msgsize, "%s: %s%s", c->admin.listen, strerror(errno),
                 nobody ? " (is sigferry running there? --admin names another address)" : "");
        return false;
    }
    struct buf q;
    buf_init(&q, 16 * 1024);
    buf_printf(&q, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, path, a.host);
    bool get = strcmp(method, "GET") == 0;
    if (!get)
        buf_putz(&q, "Content-Length: 0\r\n");
    /* Readiness is told to everybody. Who listens there before the daemon does learns no token. */
    if (!get && c->security.nclient_tokens) {
        buf_putz(&q, "X-Sigferry-Token: ");
        buf_puts(&q, secret_str(c->security.client_tokens[0]));
        buf_putz(&q, "\r\n");
    }
    bool is_signed = get || c->security.nclient_tokens || !c->nclients ||
                     put_signature(&q, &c->clients[0], method, path, a.host);
    buf_putz(&q, "\r\n");
    struct resp *r = calloc(1, sizeof *r);
    const char *why = is_signed ? "out of memory" : "the request could not be signed";
    if (r && !q.failed && is_signed) {
        resp_init(r);
        why = send_all(fd, buf_str(&q), deadline_ns) ? receive(fd, r, deadline_ns, out)
                                                     : strerror(errno);
        resp_free(r);
    }
    if (why)
        snprintf(msg, msgsize, "%s: %s", c->admin.listen, why);
    free(r);
    buf_wipe(&q);
    close(fd);
    return why == NULL;
}

void admin_gist(struct admin_answer *a)
{
    static const char *const marks[] = {"\"Message\":\"", "\"reason\":\""};
    a->body[strcspn(a->body, "\r\n")] = '\0';
    for (char *p = a->body; *p; p++) /* for a terminal, from who knows whom */
        if (*p < ' ' || *p > '~')
            *p = ' ';
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const char *from = strstr(a->body, marks[i]);
        if (!from)
            continue;
        char *to = a->body;
        for (from += strlen(marks[i]); *from && *from != '"'; from++) {
            from += *from == '\\' && from[1];
            *to++ = *from;
        }
        *to = '\0';
        return;
    }
}
