/* SPDX-License-Identifier: Apache-2.0 */
/* Makes upstream connections with libcurl's CONNECT_ONLY mode: name, proxy, happy eyeballs, TLS and
 * its verification are libcurl's. Its callbacks only record; nothing calls libcurl from within. */
#include "io/conn_int.h"

#include "base/clock.h"
#include "io/curl_common.h"
#include "io/listen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static const char private_reason[] =
    "the name leads to a loopback, link-local or metadata address; name the host in connect_to or "
    "endpoint.services if it is meant";

/* ---- libcurl's callbacks: record only ---- */

static void on_ssl_info(const SSL *ssl, int where, int ret)
{
    (void)ret;
    SSL *s = drop_const(ssl);
    struct conn *c = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), conn_ssl_index);
    /* The start is the one moment between libcurl's making of the SSL and the first bytes. */
    if (c && (where & SSL_CB_HANDSHAKE_START) && !c->ssl)
        conn_session_use(c, s);
    if (c && (where & SSL_CB_HANDSHAKE_DONE))
        c->ssl = s;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    struct conn *c = arg;
    SSL_CTX *s = ssl_ctx;
    /* A send that is repeated may come from another buffer and with another length; and one read
     * takes what the socket has instead of a header and a body each. */
    SSL_CTX_set_mode(s, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(s, 1);
    /* libcurl lets OpenSSL give its buffers back after each record; a busy connection would
     * allocate and free 17 KB twice a request. */
    SSL_CTX_clear_mode(s, SSL_MODE_RELEASE_BUFFERS);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    /* An end without close_notify may be an attacker's: a body must not look whole for it. */
    SSL_CTX_clear_options(s, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    SSL_CTX_set1_cert_store(s, c->ctx->store);
    if (SSL_CTX_set_ex_data(s, conn_ssl_index, c) == 1) {
        SSL_CTX_set_info_callback(s, on_ssl_info);
        conn_session_keep(c, s);
    }
    return CURLE_OK;
}

/* Loopback, link-local, unspecified, multicast and the clouds' metadata addresses: an upstream
 * found by a public name must not lead there. */
static bool is_private(const struct sockaddr *sa)
{
    uint32_t v4;
    if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_UNSPECIFIED(a) ||
            IN6_IS_ADDR_MULTICAST(a))
            return true;
        static const unsigned char nat64[12] = {0x00, 0x64, 0xFF, 0x9B}; /* 64:ff9b::/96 */
        static const unsigned char metadata[16] = {0xFD, 0x00,        0x0E,
                                                   0xC2, [14] = 0x02, [15] = 0x54};
        if (memcmp(a, metadata, sizeof metadata) == 0)
            return true;
        if (!IN6_IS_ADDR_V4MAPPED(a) && !IN6_IS_ADDR_V4COMPAT(a) &&
            memcmp(a, nat64, sizeof nat64) != 0)
            return false;
        memcpy(&v4, &a->s6_addr[12], 4);
    } else if (sa->sa_family == AF_INET) {
        memcpy(&v4, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else {
        return true;
    }
    v4 = ntohl(v4);
    return (v4 >> 24) == 127 || (v4 >> 24) == 0 || (v4 >> 16) == 0xA9FE /* 169.254 */ ||
           (v4 >> 28) >= 0xE || v4 == 0x64600060 /* 100.96.0.96: instance metadata */ ||
           v4 == 0x646464C8 /* 100.100.100.200 */;
}

const char *conn_refuses(const char *address)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6};
    const struct sockaddr *sa = NULL;
    if (inet_pton(AF_INET, address, &s4.sin_addr) == 1)
        sa = (const struct sockaddr *)(const void *)&s4;
    else if (inet_pton(AF_INET6, address, &s6.sin6_addr) == 1)
        sa = (const struct sockaddr *)(const void *)&s6;
    return sa && is_private(sa) ? private_reason : NULL;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *sa)
{
    (void)purpose;
    struct conn *c = arg;
    if (listen_is_own(&sa->addr)) {
        c->refused_own = true;
        return CURL_SOCKET_BAD;
    }
    if (!c->private_ok && is_private(&sa->addr)) {
        c->refused_private = true;
        return CURL_SOCKET_BAD;
    }
    int fd = socket(sa->family, sa->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, sa->protocol);
    if (fd < 0 && errno != EAFNOSUPPORT)
        c->no_descriptor = true;
    return fd;
}

static void sock_ready(struct loop_fd *w, uint32_t events);

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
    (void)easy;
    struct conn *c = arg;
    struct conn_sock *s = sockp;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            loop_del(c->ctx->loop, &s->w);
            s->used = false;
        }
        return 0;
    }
    uint32_t ev = ((what & CURL_POLL_IN) ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0u);
    if (s)
        return loop_mod(c->ctx->loop, &s->w, ev) ? 0 : -1;
    for (int i = 0; i < CONN_SOCKS; i++) {
        s = &c->socks[i];
        if (s->used)
            continue;
        *s = (struct conn_sock){.w = {.fd = fd, .ready = sock_ready}, .c = c, .used = true};
        if (!loop_add(c->ctx->loop, &s->w, ev)) {
            s->used = false;
            return -1;
        }
        return curl_multi_assign(c->multi, fd, s) == CURLM_OK ? 0 : -1;
    }
    return -1;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct conn *c = arg;
    if (ms < 0)
        timer_unset(&c->ctx->loop->timers, &c->timer);
    else if (!timer_set(&c->ctx->loop->timers, &c->timer, clock_ns() + (uint64_t)ms * NS_PER_MS))
        return -1;
    return 0;
}

/* ---- connecting ---- */

static enum err map_result(const struct conn *c, CURLcode rc)
{
    long os = 0;
    switch (rc) {
    case CURLE_OK:
        return ERR_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return ERR_RESOLVE;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
        /* A handshake that the network broke off is a network error; one that TLS refused is not.
         */
        curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os);
        if (os == ECONNRESET || os == EPIPE || strstr(c->why, "SSL_ERROR_SYSCALL") ||
            strstr(c->why, "unexpected eof"))
            return ERR_CONNECT;
        return ERR_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_USE_SSL_FAILED:
        return ERR_TLS;
    case CURLE_OUT_OF_MEMORY:
        return ERR_OVERLOADED;
    default:
        return c->refused_private || c->refused_own ? ERR_ENDPOINT_NOT_ALLOWED
               : c->no_descriptor                   ? ERR_OVERLOADED
                                                    : ERR_CONNECT;
    }
}

static void io_ready(struct loop_fd *w, uint32_t events)
{
    struct conn *c = CONTAINER_OF(w, struct conn, io);
    c->hung_up = c->hung_up || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    c->emptied = c->emptied && !(events & EPOLLIN);
    c->ops->ready(c, events);
}

/* OpenSSL asks the socket for as much as its buffer holds, but for exactly the rest of a record
 * whose head it has: only what it asked for tells whether a read was short. */
static long on_bio(BIO *b, int oper, const char *buf, size_t asked, int cmd, long arg, int ret,
                   size_t *got)
{
    struct conn *c = (struct conn *)(void *)BIO_get_callback_arg(b);
    (void)buf, (void)cmd, (void)arg;
    if (oper == BIO_CB_READ && c->dataless > CONN_DATALESS_MAX) {
        BIO_set_retry_read(b);
        return -1;
    }
    if (oper == (BIO_CB_READ | BIO_CB_RETURN)) {
        c->emptied = ret <= 0 || *got < asked;
        c->dataless += ret > 0 ? *got : 0;
    }
    return ret;
}

/* Bytes go straight over what libcurl set up. Its own send and receive walk its connection cache on
 * each call, and report a TLS stream that ends without close_notify as an end in order. */
static void choose_path(struct conn *c, curl_socket_t fd)
{
    if (!c->tls)
        c->via = c->https_proxy ? VIA_CURL : VIA_SOCKET;
    else if (c->ssl && !c->https_proxy && SSL_set_fd(c->ssl, fd) == 1) {
        BIO_set_callback_arg(SSL_get_rbio(c->ssl), (char *)c);
        BIO_set_callback_ex(SSL_get_rbio(c->ssl), on_bio);
        c->via = VIA_SSL;
    }
}

/* libcurl is done with connecting, one way or the other. */
static void finish(struct conn *c, CURLcode rc)
{
    enum err e = map_result(c, rc);
    if (e != ERR_OK && c->tls)
        conn_session_forget(c);
    curl_socket_t fd = CURL_SOCKET_BAD;
    timer_unset(&c->ctx->loop->timers, &c->timer);
    if (e == ERR_OK) {
        if (curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
            fd == CURL_SOCKET_BAD)
            e = ERR_CONNECT;
    }
    if (e == ERR_OK) {
        for (int i = 0; i < CONN_SOCKS; i++)
            if (c->socks[i].used)
                loop_del(c->ctx->loop, &c->socks[i].w);
        choose_path(c, fd);
        c->io.fd = fd;
        if (!loop_add(c->ctx->loop, &c->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
            c->io.fd = -1;
            e = ERR_OVERLOADED;
        }
    }
    if (c->refused_own && e == ERR_ENDPOINT_NOT_ALLOWED)
        snprintf(c->why, sizeof c->why,
                 "the address is one this proxy listens on itself: requests would go round in "
                 "circles; correct endpoint, connect_to or proxy in the configuration");
    else if (c->refused_private && e == ERR_ENDPOINT_NOT_ALLOWED)
        snprintf(c->why, sizeof c->why, "%s", private_reason);
    c->ops->connected(c, e, rc == CURLE_OK ? c->why : curl_reason(c->why, (int)rc));
}

static void step(struct conn *c, curl_socket_t fd, int mask)
{
    int running, left;
    CURLMcode mc = curl_multi_socket_action(c->multi, fd, mask, &running);
    if (mc != CURLM_OK) {
        finish(c, CURLE_OUT_OF_MEMORY);
        return;
    }
    CURLMsg *m;
    while ((m = curl_multi_info_read(c->multi, &left)))
        if (m->msg == CURLMSG_DONE) {
            finish(c, m->data.result);
            return; /* c may be closed now */
        }
}

static void sock_ready(struct loop_fd *w, uint32_t events)
{
    struct conn_sock *s = CONTAINER_OF(w, struct conn_sock, w);
    int mask = ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) ? CURL_CSELECT_IN : 0) |
               ((events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
               ((events & EPOLLERR) ? CURL_CSELECT_ERR : 0);
    step(s->c, w->fd, mask);
}

static void timer_fired(struct timer *t)
{
    step(CONTAINER_OF(t, struct conn, timer), CURL_SOCKET_TIMEOUT, 0);
}

static bool set_addresses(struct conn *c, const struct conn_target *t)
{
    char line[RESOLVE_NAME_MAX + RESOLVE_MAX_ADDRS * (RESOLVE_ADDR_MAX + 3) + 16];
    const char *host = t->proxy[0] ? t->proxy_host : t->dial_host;
    unsigned port = t->proxy[0] ? t->proxy_port : t->dial_port;
    int n = snprintf(line, sizeof line, "%s:%u:", host, port);
    for (unsigned i = 0; t->addrs && i < t->addrs->n && n > 0 && (size_t)n < sizeof line; i++)
        n += snprintf(line + n, sizeof line - (size_t)n,
                      strchr(t->addrs->addr[i], ':') ? "%s[%s]" : "%s%s", i ? "," : "",
                      t->addrs->addr[i]);
    if (n < 0 || (size_t)n >= sizeof line)
        return false;
    /* An IPv6 address needs no look-up, and libcurl can't read an entry for one. */
    if (t->addrs && t->addrs->n && !strchr(host, ':') &&
        !(c->resolve = curl_slist_append(NULL, line)))
        return false;
    if (strcmp(t->dial_host, t->host) == 0 && t->dial_port == t->port)
        return true;
    n = snprintf(line, sizeof line, strchr(t->dial_host, ':') ? "::[%s]:%u" : "::%s:%u",
                 t->dial_host, t->dial_port);
    return n > 0 && (size_t)n < sizeof line && (c->connect_to = curl_slist_append(NULL, line));
}

#define SET(opt, val) (rc = rc ? rc : curl_easy_setopt(c->easy, (opt), (val)))

/* Every default of libcurl that could change what happens is set here, in one place. */
static CURLcode set_options(struct conn *c, const struct conn_target *t)
{
    char url[RESOLVE_NAME_MAX + 32];
    const struct conn_ctx *x = c->ctx;
    CURLcode rc = CURLE_OK;
    snprintf(url, sizeof url, strchr(t->host, ':') ? "%s://[%s]:%u/" : "%s://%s:%u/",
             t->tls ? "https" : "http", t->host, t->port);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_PROTOCOLS_STR, t->tls ? "https" : "http");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_BUFFERSIZE, 1024L); /* the least: no answer is read through it */
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(t->connect_ns / NS_PER_MS) + 1000L);
    SET(CURLOPT_PROXY, t->proxy);
    SET(CURLOPT_NOPROXY, t->proxy[0] ? "" : "*");
    SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_ERRORBUFFER, c->why);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, c);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); /* conn_session.c has one */
    if (c->resolve)
        SET(CURLOPT_RESOLVE, c->resolve);
    if (c->connect_to)
        SET(CURLOPT_CONNECT_TO, c->connect_to);
    SET(CURLOPT_SSL_VERIFYPEER, x->verify ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, x->verify ? 2L : 0L);
    SET(CURLOPT_SSLVERSION,
        x->min_tls13 ? (long)CURL_SSLVERSION_TLSv1_3 : (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_CAINFO, NULL); /* the store comes through on_ssl_ctx */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(CURLOPT_SSL_CTX_DATA, c);
    if (x->cert_file[0])
        SET(CURLOPT_SSLCERT, x->cert_file);
    if (x->key_file[0])
        SET(CURLOPT_SSLKEY, x->key_file);
    SET(CURLOPT_KEYPASSWD, ""); /* an encrypted key fails: OpenSSL would ask at the terminal */
    return rc;
}

static bool start(struct conn *c)
{
    return curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK &&
           curl_multi_add_handle(c->multi, c->easy) == CURLM_OK;
}

struct conn *conn_open(struct conn_ctx *ctx, const struct conn_target *t,
                       const struct conn_ops *ops, void *user)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->ctx = ctx;
    ctx->refs++;
    c->ops = ops;
    c->user = user;
    c->tls = t->tls;
    c->port = t->port;
    snprintf(c->host, sizeof c->host, "%s", t->host);
    c->https_proxy = strncasecmp(t->proxy, "https:", 6) == 0;
    c->private_ok = t->private_ok || t->proxy[0];
    c->io = (struct loop_fd){.fd = -1, .ready = io_ready};
    list_init(&c->link);
    timer_init(&c->timer, timer_fired);
    c->easy = curl_easy_init();
    c->multi = curl_multi_init();
    if (c->easy && c->multi && set_addresses(c, t) && set_options(c, t) == CURLE_OK && start(c))
        return c;
    conn_close(c);
    return NULL;
}
