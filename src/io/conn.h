/* SPDX-License-Identifier: Apache-2.0 */
/* One upstream connection. libcurl opens it (happy eyeballs, proxy, TLS, verification) in
 * CONNECT_ONLY mode; bytes then go over conn_send and conn_recv. Belongs to one loop's thread.
 *
 * Each connection has an easy and a multi handle of its own: libcurl would otherwise walk its whole
 * connection cache on each send, and prune connections of that cache on its own terms. */
#ifndef SIGFERRY_IO_CONN_H
#define SIGFERRY_IO_CONN_H

#include "base/err.h"
#include "io/loop.h"
#include "io/resolve.h"
#include <sys/types.h>

/* TLS settings; strings are copied by conn_ctx_new. */
struct conn_tls {
    bool verify;
    const char *ca_file;              /* "" for the system's */
    const char *cert_file, *key_file; /* client certificate, "" for none */
    bool min_tls13;
};

/* What the connections of one loop share: certificate store, TLS sessions. */
struct conn_ctx;

/* Once per process, before threads. false when libcurl does not start. */
NODISCARD bool conn_global_init(void);

/* NULL on failure, msg says why, as "tls.KEY: reason" where a setting is to blame: a ca_file
 * without certificates, a key_file that is encrypted or not that of cert_file. Asks nobody for a
 * password. Closed connections are parked in dead, which outlives the context and all of its
 * connections. */
NODISCARD struct conn_ctx *conn_ctx_new(struct loop *loop, const struct conn_tls *tls,
                                        struct list *dead, char *msg, size_t msgsize);
/* True when the settings are those x was made with, and so are the files they name. */
NODISCARD bool conn_ctx_same(const struct conn_ctx *x, const struct conn_tls *tls);
/* Refcounted: connections hold their context. */
void conn_ctx_unref(struct conn_ctx *ctx);

/* Where to. Strings are borrowed for the call. */
struct conn_target {
    const char *host; /* the name that TLS verifies */
    unsigned port;
    bool tls;
    const char *dial_host; /* where the TCP connection goes: host, a connect_to target, … */
    unsigned dial_port;
    const char *proxy;      /* URL or ""; the dial then goes to the proxy */
    const char *proxy_host; /* its name and port, for the addresses below */
    unsigned proxy_port;
    const struct resolve_answer *addrs; /* of dial_host, or of the proxy */
    bool private_ok;                    /* loopback, link-local and metadata addresses are fine */
    uint64_t connect_ns;                /* backstop; the owner's own timer comes first */
};

struct conn;

struct conn_ops {
    /* The connection is there (ERR_OK) or is not; why is static or lives until conn_close. */
    void (*connected)(struct conn *c, enum err e, const char *why);
    /* Readable, writable or ended: EPOLL bits, edge-triggered. Read until CONN_AGAIN. */
    void (*ready)(struct conn *c, uint32_t events);
};

/* Starts connecting; connected() is called later, never from within. NULL when memory is short. */
NODISCARD struct conn *conn_open(struct conn_ctx *ctx, const struct conn_target *t,
                                 const struct conn_ops *ops, void *user);
void *conn_user(const struct conn *c);

/* Ends it; neither callback comes any more. Fine inside its callbacks; the memory goes later, with
 * conn_reap. */
void conn_close(struct conn *c);
/* Frees what conn_close parked; outside callbacks, once a turn. */
void conn_reap(struct list *dead);

enum conn_io { CONN_OK, CONN_AGAIN, CONN_END, CONN_FAILED };

/* Sends up to n bytes; *done says how many were taken. CONN_AGAIN: wait for ready(). Over TLS even
 * CONN_AGAIN with 0 may have put bytes on the wire. */
NODISCARD enum conn_io conn_send(struct conn *c, const char *p, size_t n, size_t *done);
/* Receives up to n bytes. CONN_END: the peer closed in order. */
NODISCARD enum conn_io conn_recv(struct conn *c, char *p, size_t n, size_t *done);
/* True when it is certain, without a system call, that the last conn_recv left nothing behind, be
 * it bytes or an end: whatever comes from now on shows as an event. */
bool conn_is_drained(const struct conn *c);
/* True when the socket shows neither bytes nor an end: fit to be used again. */
bool conn_is_quiet(const struct conn *c);
/* After CONN_END or CONN_FAILED: true when the peer ended the connection before any of the n bytes
 * last sent had reached it, so that nobody can have acted on them: its end came in order (not as a
 * reset, which says nothing of what was read before), and none of them is acknowledged. */
bool conn_sent_in_vain(const struct conn *c, uint64_t n);
/* After CONN_FAILED: the peer's TLS alert, such as that it wants a client certificate; NULL when it
 * was none. */
const char *conn_alert(const struct conn *c);
/* True for a connection that made a TLS handshake. */
bool conn_is_tls(const struct conn *c);

/* Why no connection is made to that address (text, IPv6 without brackets) when a host that nobody
 * configured by name is looked up and has it; NULL when one is. */
const char *conn_refuses(const char *address);

/* libcurl's version at run time, for --version. */
const char *conn_library_version(void);

#endif
