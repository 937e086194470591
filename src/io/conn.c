/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream connections: what a loop's connections share, the bytes over one that is connected, its
 * end. How one is made is conn_open.c's. With it the only user of libcurl on the request path and
 * of OpenSSL for TLS. */
#include "io/conn_int.h"

#include "base/log.h"
#include "io/curl_common.h"
#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

int conn_ssl_index = -1;

bool conn_global_init(void)
{
    conn_ssl_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return conn_ssl_index >= 0 && curl_start();
}

const char *conn_library_version(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}

static X509_STORE *load_store(const char *ca_file, char *msg, size_t msgsize)
{
    X509_STORE *st = X509_STORE_new();
    int ok =
        st && (ca_file[0] ? X509_STORE_load_file(st, ca_file) : X509_STORE_set_default_paths(st));
    if (ok == 1)
        return st;
    snprintf(msg, msgsize, "tls.ca_file: no certificates could be read from %s",
             ca_file[0] ? ca_file : "the system's store");
    X509_STORE_free(st);
    return NULL;
}

/* Only an encrypted key asks; OpenSSL's own way would be to ask whoever sits at the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    bool *asked = arg;
    (void)buf, (void)size, (void)writing;
    *asked = true;
    return -1;
}

/* The newest reason in OpenSSL's queue, which it empties. */
static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "no reason given";
}

/* libcurl reads both anew for each connection: what it could not use is said here, once. */
static bool try_key(const struct conn_tls *tls, char *msg, size_t msgsize)
{
    bool asked = false, ok = false, mismatch = false;
    if (!tls->cert_file[0])
        return true;
    ERR_clear_error();
    SSL_CTX *s = SSL_CTX_new(TLS_client_method());
    if (!s) {
        snprintf(msg, msgsize, "tls.cert_file: %s", openssl_reason());
        return false;
    }
    SSL_CTX_set_default_passwd_cb(s, no_password);
    SSL_CTX_set_default_passwd_cb_userdata(s, &asked);
    if (SSL_CTX_use_certificate_chain_file(s, tls->cert_file) != 1)
        snprintf(msg, msgsize, "tls.cert_file: no certificate could be read from %s (%s)",
                 tls->cert_file, openssl_reason());
    else if (SSL_CTX_use_PrivateKey_file(s, tls->key_file, SSL_FILETYPE_PEM) == 1)
        mismatch = !(ok = SSL_CTX_check_private_key(s) == 1); /* another kind of key */
    else if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
        mismatch = true;
    else if (asked)
        snprintf(msg, msgsize,
                 "tls.key_file: the key in %s is encrypted, and there is nobody to ask for its "
                 "password; decrypt it (openssl pkey) into a file of mode 0600",
                 tls->key_file);
    else
        snprintf(msg, msgsize, "tls.key_file: no private key could be read from %s (%s)",
                 tls->key_file, openssl_reason());
    if (mismatch)
        snprintf(msg, msgsize, "tls.key_file: the key in %s is not that of the certificate in %s",
                 tls->key_file, tls->cert_file);
    SSL_CTX_free(s);
    ERR_clear_error();
    return ok;
}

static void note_file(const char *path, struct conn_file *out)
{
    struct stat st;
    *out = (struct conn_file){0};
    if (path[0] && stat(path, &st) == 0)
        *out = (struct conn_file){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
}

/* Where OpenSSL looks for the system's authorities. */
static const char *system_path(const char *variable, const char *otherwise)
{
    const char *given = secure_getenv(variable);
    return given ? given : otherwise;
}

static void note_files(const struct conn_tls *tls, struct conn_file files[CONN_FILES])
{
    const char *file = tls->ca_file, *dir = "";
    if (!file[0]) {
        file = system_path(X509_get_default_cert_file_env(), X509_get_default_cert_file());
        dir = system_path(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
    }
    note_file(file, &files[0]);
    note_file(dir, &files[1]);
    note_file(tls->cert_file, &files[2]);
    note_file(tls->key_file, &files[3]);
}

static bool same_file(const struct conn_file *a, const struct conn_file *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

bool conn_ctx_same(const struct conn_ctx *x, const struct conn_tls *tls)
{
    struct conn_file now[CONN_FILES];
    bool same = x->verify == tls->verify && x->min_tls13 == tls->min_tls13 &&
                strcmp(x->ca_file, tls->ca_file) == 0 &&
                strcmp(x->cert_file, tls->cert_file) == 0 &&
                strcmp(x->key_file, tls->key_file) == 0;
    note_files(tls, now);
    for (size_t i = 0; i < CONN_FILES; i++)
        same = same && same_file(&x->files[i], &now[i]);
    return same;
}

struct conn_ctx *conn_ctx_new(struct loop *loop, const struct conn_tls *tls, struct list *dead,
                              char *msg, size_t msgsize)
{
    struct conn_ctx *x = calloc(1, sizeof *x);
    if (!x) {
        snprintf(msg, msgsize, "out of memory");
        return NULL;
    }
    x->refs = 1;
    x->loop = loop;
    x->dead = dead;
    list_init(&x->sessions);
    x->verify = tls->verify;
    x->min_tls13 = tls->min_tls13;
    x->ca_file = strdup(tls->ca_file);
    x->cert_file = strdup(tls->cert_file);
    x->key_file = strdup(tls->key_file);
    note_files(tls, x->files); /* before they are read: a change in between is seen as one */
    x->store = load_store(tls->ca_file, msg, msgsize);
    if (x->store && (!x->ca_file || !x->cert_file || !x->key_file))
        snprintf(msg, msgsize, "out of memory");
    else if (x->store && try_key(tls, msg, msgsize))
        return x;
    conn_ctx_unref(x);
    return NULL;
}

void conn_ctx_unref(struct conn_ctx *x)
{
    if (!x || --x->refs)
        return;
    conn_sessions_free(x);
    X509_STORE_free(x->store);
    free(x->ca_file);
    free(x->cert_file);
    free(x->key_file);
    free(x);
}

void *conn_user(const struct conn *c)
{
    return c->user;
}

void conn_close(struct conn *c)
{
    if (!c || c->closed)
        return;
    c->closed = true;
    timer_unset(&c->ctx->loop->timers, &c->timer);
    loop_del(c->ctx->loop, &c->io);
    for (int i = 0; i < CONN_SOCKS; i++)
        if (c->socks[i].used)
            loop_del(c->ctx->loop, &c->socks[i].w);
    list_push(c->ctx->dead, &c->link);
}

/* SSL_get_error looks at what anybody left in the thread's queue. Nearly always that is nothing,
 * and to see so costs a fraction of what clearing does. */
static void no_old_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* Newer libcurl frees the SSL of a connection that it only made, without a close_notify: the
 * peer could not tell this end from a cut, and OpenSSL would not resume the session again. */
static void say_bye(struct conn *c)
{
    no_old_errors();
    (void)SSL_shutdown(c->ssl); /* on a socket that does not block, and that closes in any case */
    no_old_errors();
}

static void conn_free(struct conn *c)
{
    if (c->via == VIA_SSL)
        say_bye(c);
    if (c->multi && c->easy) {
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, NULL);
        curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, NULL);
        curl_multi_remove_handle(c->multi, c->easy);
    }
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->resolve);
    curl_slist_free_all(c->connect_to);
    struct conn_ctx *ctx = c->ctx;
    free(c);
    conn_ctx_unref(ctx);
}

void conn_reap(struct list *dead)
{
    struct list *l;
    while ((l = list_pop(dead)))
        conn_free(CONTAINER_OF(l, struct conn, link));
}

/* Does an alert say that this certificate, or what we speak, won't do? Others, such as
 * internal_error, may be a passing state of the peer (RFC 8446 section 6.2). */
static bool refuses_us(unsigned long error)
{
    int alert = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;
    return ERR_GET_LIB(error) == ERR_LIB_SSL &&
           ((alert >= SSL3_AD_HANDSHAKE_FAILURE && alert <= TLS1_AD_DECRYPT_ERROR) ||
            alert == TLS1_AD_PROTOCOL_VERSION || alert == TLS1_AD_INSUFFICIENT_SECURITY ||
            alert == TLS13_AD_CERTIFICATE_REQUIRED);
}

/* What a failed SSL_read or SSL_write means. */
static enum conn_io ssl_outcome(struct conn *c, int rc)
{
    int os = errno, e = SSL_get_error(c->ssl, rc);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return CONN_AGAIN;
    if (e == SSL_ERROR_SYSCALL)
        c->os_error = os;
    if (e == SSL_ERROR_SSL && refuses_us(ERR_peek_error()))
        c->alert = ERR_reason_error_string(ERR_peek_error());
    return e == SSL_ERROR_ZERO_RETURN ? CONN_END : CONN_FAILED;
}

static enum conn_io curl_outcome(CURLcode rc)
{
    return rc == CURLE_OK ? CONN_OK : rc == CURLE_AGAIN ? CONN_AGAIN : CONN_FAILED;
}

static enum conn_io socket_outcome(struct conn *c, ssize_t got, size_t *done)
{
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return CONN_AGAIN;
    if (got < 0) {
        c->os_error = errno;
        return CONN_FAILED;
    }
    *done = (size_t)got;
    return CONN_OK;
}

enum conn_io conn_send(struct conn *c, const char *p, size_t n, size_t *done)
{
    *done = 0;
    if (c->via == VIA_SSL) {
        no_old_errors();
        int rc = SSL_write_ex(c->ssl, p, n, done);
        return rc == 1 ? CONN_OK : ssl_outcome(c, rc);
    }
    if (c->via == VIA_SOCKET)
        return socket_outcome(c, send(c->io.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT), done);
    return curl_outcome(curl_easy_send(c->easy, p, n, done));
}

enum conn_io conn_recv(struct conn *c, char *p, size_t n, size_t *done)
{
    enum conn_io r;
    *done = 0;
    if (c->via == VIA_SSL) {
        no_old_errors();
        c->dataless = 0;
        int rc = SSL_read_ex(c->ssl, p, n, done);
        r = rc == 1 ? CONN_OK : ssl_outcome(c, rc);
        return r == CONN_AGAIN && c->dataless > CONN_DATALESS_MAX ? CONN_FAILED : r;
    }
    if (c->via == VIA_SOCKET) {
        r = socket_outcome(c, recv(c->io.fd, p, n, MSG_DONTWAIT), done);
        c->emptied = *done < n;
    } else {
        r = curl_outcome(curl_easy_recv(c->easy, p, n, done));
    }
    return r == CONN_OK && *done == 0 ? CONN_END : r;
}

bool conn_is_drained(const struct conn *c)
{
    return c->via != VIA_CURL && !c->hung_up && c->emptied &&
           !(c->via == VIA_SSL && SSL_has_pending(c->ssl));
}

bool conn_is_quiet(const struct conn *c)
{
    char byte;
    return recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

bool conn_sent_in_vain(const struct conn *c, uint64_t n)
{
    /* TLS adds less to this many bytes than one record, and a part of a record can't be read. */
    enum { TELLING = 256 * 1024 };
    char byte;
    int unacked = 0;
    /* A reset that follows the peer's FIN reads as EPIPE; ECONNRESET came without a FIN, from a
     * peer that may have read the request and not acknowledged it yet. */
    bool after_fin = c->os_error == 0 || c->os_error == EPIPE;
    return c->via != VIA_CURL && after_fin && n > 0 && n <= TELLING &&
           recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 &&
           ioctl(c->io.fd, SIOCOUTQ, &unacked) == 0 && unacked >= (int)n;
}

const char *conn_alert(const struct conn *c)
{
    return c->alert;
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls;
}
