/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking request through libcurl: every default that leaks (environment proxies, HTTP/2,
 * redirects, netrc, other protocols) is set away, a connection serves one request, the response is
 * bounded, and another thread can end it through a descriptor. */
#include "io/fetch.h"
#include "base/clock.h"
#include "io/curl_common.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Longest sleep in one poll: a backstop, libcurl's own timers wake it earlier. */
enum { POLL_MS = 1000 };

struct transfer {
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct fetch_response *r;
    bool head_done; /* the blank line of the final head came */
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;
    (void)one;
    if (buf_add(&t->r->body, p, n))
        return n;
    t->too_large = true;
    return 0;
}

static void keep(struct str line, struct str name, char *out, size_t size)
{
    struct str value = line;
    if (str_ieq(str_cut(&value, ':'), name))
        (void)snprintf(out, size, "%.*s", STR_ARG(str_trim(value)));
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct str line = str_n(p, n);
    (void)one;
    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (str_starts(line, STR("HTTP/")) && !t->head_done) {
        t->r->date[0] = t->r->request_id[0] = '\0'; /* a head before the final one */
    } else if (!line.n) {
        long status = 0;
        (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        t->head_done = status >= 200;
    } else if (!t->head_done) { /* else trailers, which mean nothing to us */
        keep(line, STR("Date"), t->r->date, sizeof t->r->date);
        keep(line, STR("X-Tt-Logid"), t->r->request_id, sizeof t->r->request_id);
    }
    return n;
}

static bool add(struct curl_slist **list, const char *s)
{
    struct curl_slist *grown = curl_slist_append(*list, s);
    if (grown)
        *list = grown;
    return grown != NULL;
}

/* OpenSSL keeps what it decrypted until the next record overwrites it. */
static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    (void)arg;
#ifdef SSL_OP_CLEANSE_PLAINTEXT
    SSL_CTX_set_options(ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT);
#else
    (void)ssl_ctx;
#endif
    return CURLE_OK;
}

#define SET(option, value) ok = ok && curl_easy_setopt(t->easy, option, value) == CURLE_OK
#define SET_IF(option, value)                                                                      \
    ok = ok && (!(value) || !(value)[0] || curl_easy_setopt(t->easy, option, value) == CURLE_OK)

static bool set_net(struct transfer *t, const struct fetch_request *q, const struct fetch_net *net)
{
    bool ok = true;
    bool tls = strncmp(q->url, "https:", 6) == 0;
    const char *proxy = q->direct ? NULL : tls ? net->https_proxy : net->http_proxy;
    bool via = proxy && proxy[0];
    SET(CURLOPT_PROXY, via ? proxy : ""); /* "" keeps the environment's away */
    SET(CURLOPT_NOPROXY, via ? (net->no_proxy ? net->no_proxy : "") : "*");
    SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    for (size_t i = 0; i < net->nconnect_to; i++)
        ok = ok && add(&t->connect_to, net->connect_to[i]);
    SET(CURLOPT_CONNECT_TO, t->connect_to);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(CURLOPT_SSL_VERIFYPEER, net->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, net->insecure ? 0L : 2L);
    bool tls13 = net->min_version && strcmp(net->min_version, "1.3") == 0;
    SET(CURLOPT_SSLVERSION, tls13 ? (long)CURL_SSLVERSION_TLSv1_3 : (long)CURL_SSLVERSION_TLSv1_2);
    SET_IF(CURLOPT_CAINFO, net->ca_file);
    SET_IF(CURLOPT_SSLCERT, net->cert_file);
    SET_IF(CURLOPT_SSLKEY, net->key_file);
    SET(CURLOPT_KEYPASSWD, ""); /* an encrypted key fails: OpenSSL would ask at the terminal */
    return ok;
}

static bool set_method(struct transfer *t, const struct fetch_request *q)
{
    bool ok = true;
    for (size_t i = 0; i < q->nheaders; i++)
        ok = ok && add(&t->headers, q->headers[i]);
    ok = ok && add(&t->headers, "Expect:");
    SET(CURLOPT_HTTPHEADER, t->headers);
    if (strcmp(q->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (q->body.p || strcmp(q->method, "GET") != 0) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
        SET(CURLOPT_POSTFIELDS, q->body.p ? q->body.p : "");
        SET(CURLOPT_CUSTOMREQUEST, q->method);
    }
    return ok;
}

static bool set_up(struct transfer *t, const struct fetch_request *q, const struct fetch_net *net)
{
    bool ok = true;
    long connect_ms = (long)(q->connect_ns / NS_PER_MS);
    long total_ms = (long)((q->connect_ns + q->read_ns) / NS_PER_MS);
    SET(CURLOPT_URL, q->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_NONE);
    SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a hanging look-up must not hang the clean-up */
    SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms > 0 ? connect_ms : 1L);
    SET(CURLOPT_TIMEOUT_MS, total_ms > 0 ? total_ms : 1L);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    return ok && set_net(t, q, net) && set_method(t, q);
}

/* CURLE_ABORTED_BY_CALLBACK: cancelled. */
static CURLcode perform(CURLM *multi, CURL *easy, int cancel_fd)
{
    struct curl_waitfd cancel = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
    for (;;) {
        int running = 0, left = 0, ready = 0;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (!running) {
            const CURLMsg *m = curl_multi_info_read(multi, &left);
            return m && m->easy_handle == easy ? m->data.result : CURLE_FAILED_INIT;
        }
        cancel.revents = 0;
        if (curl_multi_poll(multi, &cancel, cancel_fd >= 0 ? 1 : 0, POLL_MS, &ready) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (cancel_fd >= 0 && cancel.revents)
            return CURLE_ABORTED_BY_CALLBACK;
    }
}

/* Whether a transfer that timed out had someone to answer it. PRETRANSFER_TIME would tell it for
 * both, but newer libcurl sets that when it gives up, too. */
static bool was_connected(const struct transfer *t, const struct fetch_request *q)
{
    bool tls = strncasecmp(q->url, "https:", 6) == 0;
    curl_off_t at = 0;
    (void)curl_easy_getinfo(t->easy, tls ? CURLINFO_APPCONNECT_TIME_T : CURLINFO_CONNECT_TIME_T,
                            &at);
    return at > 0;
}

static enum err classify(const struct transfer *t, const struct fetch_request *q, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return ERR_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return ERR_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return was_connected(t, q) ? ERR_READ_TIMEOUT : ERR_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return ERR_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return ERR_RESET;
    case CURLE_WRITE_ERROR:
        return t->too_large ? ERR_BODY_TOO_LARGE : ERR_PROTOCOL;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_SHUTTING_DOWN;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_URL_MALFORMAT:
        return ERR_INTERNAL;
    default:
        return ERR_PROTOCOL;
    }
}

/* scheme://host of a URL, for messages. */
static struct str origin(const char *url)
{
    const char *host = strstr(url, "://");
    return str_n(url, host ? 3 + (size_t)(host - url) + strcspn(host + 3, "/?#") : 0);
}

static enum err conclude(struct transfer *t, const struct fetch_request *q, CURLcode code,
                         struct err_detail *why)
{
    struct str at = origin(q->url);
    long status = 0;
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        t->r->status = (int)status;
        if (t->head_done) /* libcurl takes a head that was cut off for a whole one */
            return ERR_OK;
        return err_set(why, ERR_RESET, "%.*s: the response ended within its head", STR_ARG(at));
    }
    enum err e = classify(t, q, code);
    if (e == ERR_BODY_TOO_LARGE)
        return err_set(why, e, "%.*s: the response is larger than %zu bytes", STR_ARG(at),
                       t->r->body.max);
    if (e == ERR_SHUTTING_DOWN)
        return err_set(why, e, "%.*s: given up, the process is shutting down", STR_ARG(at));
    return err_set(why, e, "%.*s: %s", STR_ARG(at), curl_reason(t->error, (int)code));
}

static void note_address(struct transfer *t)
{
    char *ip = NULL;
    long port = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip && ip[0] &&
        curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_PORT, &port) == CURLE_OK)
        (void)snprintf(t->r->address, sizeof t->r->address, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld",
                       ip, port);
}

enum err fetch_run(const struct fetch_request *q, const struct fetch_net *net,
                   struct fetch_response *r, struct err_detail *why)
{
    struct transfer t = {.r = r};
    enum err e;
    CURLM *multi = curl_start() ? curl_multi_init() : NULL;
    t.easy = multi ? curl_easy_init() : NULL;
    r->status = 0;
    r->date[0] = r->request_id[0] = r->address[0] = '\0';
    if (!multi || !t.easy || !set_up(&t, q, net) ||
        curl_multi_add_handle(multi, t.easy) != CURLM_OK) {
        e = err_set(why, ERR_INTERNAL, "libcurl refused the request's settings%s%s",
                    t.error[0] ? ": " : "", t.error);
    } else {
        e = conclude(&t, q, perform(multi, t.easy, q->cancel_fd), why);
        note_address(&t);
        (void)curl_multi_remove_handle(multi, t.easy);
    }
    if (e)
        buf_wipe(&r->body);
    curl_easy_cleanup(t.easy);
    (void)curl_multi_cleanup(multi);
    curl_slist_free_all(t.headers); /* tokens are wiped: curl_start */
    curl_slist_free_all(t.connect_to);
    return e;
}
