/* SPDX-License-Identifier: Apache-2.0 */
/* Private to conn*.c: a connection and what the connections of a loop share. */
#ifndef SIGFERRY_IO_CONN_INT_H
#define SIGFERRY_IO_CONN_INT_H

#include "base/list.h"
#include "io/conn.h"
#include <curl/curl.h>
#include <openssl/ssl.h>

/* A file as it was when it was read: all zero when there was none. */
struct conn_file {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};
enum { CONN_FILES = 4 };

struct conn_ctx {
    struct loop *loop;
    struct list sessions; /* conn_session.c */
    unsigned nsessions;
    X509_STORE *store; /* read once: parsing a CA bundle takes milliseconds */
    struct list *dead; /* closed conns, to be freed by conn_reap */
    unsigned refs;
    bool verify, min_tls13;
    char *ca_file, *cert_file, *key_file;
    struct conn_file files[CONN_FILES]; /* those that the settings lead to */
};

/* A socket libcurl wants watched while it connects; happy eyeballs has two at a time. */
struct conn_sock {
    struct loop_fd w;
    struct conn *c;
    bool used;
};
enum { CONN_SOCKS = 6 };

/* Tickets and key updates hold no data, and OpenSSL reads on within one call as long as they come:
 * after so many bytes the call has to end. Any record with data is smaller. */
enum { CONN_DATALESS_MAX = 64 * 1024 };

struct conn {
    struct conn_ctx *ctx;
    const struct conn_ops *ops;
    void *user;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *resolve, *connect_to;
    struct conn_sock socks[CONN_SOCKS];
    struct timer timer;
    struct loop_fd io; /* once connected */
    unsigned port;
    char host[RESOLVE_NAME_MAX];                /* whom the TLS session is with */
    SSL *ssl;                                   /* libcurl's, once the handshake is done */
    enum { VIA_CURL, VIA_SSL, VIA_SOCKET } via; /* how bytes go, once connected */
    struct list link;                           /* in *ctx->dead */
    bool tls, https_proxy, private_ok, refused_private, refused_own, closed;
    bool hung_up;       /* an event told of an end */
    size_t dataless;    /* bytes that the socket gave within one call of OpenSSL */
    bool emptied;       /* the last read of the socket brought less than was asked for, and no event
                         * has told of more since */
    bool no_descriptor; /* the system had none for a socket */
    const char *alert;  /* the peer's, of the failure that ended it; NULL for none */
    int os_error;       /* errno of the failure that ended it; 0 for none */
    char why[CURL_ERROR_SIZE];
};

/* The place of a struct conn in an SSL_CTX; set by conn_global_init. */
extern int conn_ssl_index;

/* conn_session.c: has the tickets of c's handshake kept; uses one for the handshake that begins. */
void conn_session_keep(struct conn *c, SSL_CTX *s);
void conn_session_use(struct conn *c, SSL *ssl);
/* A connection was not made, maybe for the session's sake: the next handshake is a whole one. */
void conn_session_forget(struct conn *c);
void conn_sessions_free(struct conn_ctx *x);

#endif
