/* SPDX-License-Identifier: Apache-2.0 */
/* TLS sessions for resumption, which halves what a handshake costs. libcurl's own cache stays empty
 * with TLS 1.3: tickets come after the handshake, with the first bytes, and those aren't read
 * through libcurl. Kept in the context, so that a session never outlives the settings (authorities,
 * verification, client certificate) under which its certificate was accepted. */
#include "io/conn_int.h"

#include <stdlib.h>
#include <string.h>

enum { SESSIONS_MAX = 64 };

struct session {
    struct list link; /* in ctx->sessions, the newest first */
    SSL_SESSION *tls;
    unsigned port;
    char host[RESOLVE_NAME_MAX];
};

static struct session *find(const struct conn *c)
{
    LIST_FOR (l, &c->ctx->sessions) {
        struct session *s = CONTAINER_OF(l, struct session, link);
        if (s->port == c->port && strcmp(s->host, c->host) == 0)
            return s;
    }
    return NULL;
}

static void release(struct session *s)
{
    SSL_SESSION_free(s->tls);
    free(s);
}

static void drop(struct conn_ctx *x, struct session *s)
{
    list_unlink(&s->link);
    x->nsessions--;
    release(s);
}

/* A ticket: the newest of each host is kept. 1 says that it is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *tls)
{
    struct conn *c = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), conn_ssl_index);
    if (!c || c->closed)
        return 0;
    struct conn_ctx *x = c->ctx;
    struct session *s = find(c);
    if (s) {
        list_unlink(&s->link);
        SSL_SESSION_free(s->tls);
    } else {
        if (x->nsessions == SESSIONS_MAX)
            drop(x, CONTAINER_OF(x->sessions.prev, struct session, link));
        if (!(s = malloc(sizeof *s)))
            return 0;
        s->port = c->port;
        memcpy(s->host, c->host, sizeof s->host);
        list_init(&s->link);
        x->nsessions++;
    }
    s->tls = tls;
    list_push_front(&x->sessions, &s->link);
    return 1;
}

void conn_session_keep(struct conn *c, SSL_CTX *s)
{
    /* Behind an https:// proxy there are two handshakes, and nothing here tells them apart. */
    if (c->https_proxy)
        return;
    SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(s, on_session);
}

void conn_session_use(struct conn *c, SSL *ssl)
{
    const struct session *s = c->https_proxy ? NULL : find(c);
    if (s)
        (void)SSL_set_session(ssl, s->tls); /* without it the handshake is a whole one */
}

void conn_session_forget(struct conn *c)
{
    struct session *s = find(c);
    if (s)
        drop(c->ctx, s);
}

void conn_sessions_free(struct conn_ctx *x)
{
    struct list *l;
    while ((l = list_pop(&x->sessions)))
        release(CONTAINER_OF(l, struct session, link));
    x->nsessions = 0;
}
