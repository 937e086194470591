/* SPDX-License-Identifier: Apache-2.0 */
/* The client side: one libmicrohttpd daemon in external-epoll mode, fed with accepted descriptors.
 * The only user of libmicrohttpd. Knows requests and replies, nothing of signing or upstreams.
 *
 * A request runs: open → body* → body_end → reply → pull* → gone. gone always comes, once, and is
 * the last call; nothing of the request may be touched after it. Callbacks run inside front_run and
 * must not call front_* but where it says so. */
#ifndef SIGFERRY_IO_FRONT_H
#define SIGFERRY_IO_FRONT_H

#include "http/gate.h"
#include "io/listen.h"
#include "io/loop.h"

struct front;
struct front_req; /* one request; borrowed by the owner from open until gone */

struct front_reply {
    unsigned status;
    const struct hdr *hdrs; /* without Content-Length, Transfer-Encoding, Connection; a NUL stands
                               behind each name and value; need to live until gone */
    size_t nhdrs;
    bool stream;     /* false: body is complete in `body`; true: it comes through pull */
    struct str body; /* lives until gone */
    int64_t length; /* stream: bytes that will come, -1 when not known; no-body answers (HEAD, 304):
                       the Content-Length to show, -1 for none */
    bool no_body;   /* HEAD, 204, 304: only the head goes out */
    bool close;     /* close the connection afterwards */
};

enum { FRONT_PULL_AGAIN = 0, FRONT_PULL_END = -1, FRONT_PULL_ABORT = -2 };
enum front_next { FRONT_READ, FRONT_REFUSE };
enum front_end {
    FRONT_SAID,     /* the answer went out whole */
    FRONT_LEFT,     /* it did not: the client left, or was given up */
    FRONT_REPLACED, /* it can't be given to this client: a 502 went out in its place */
    FRONT_LOST, /* libmicrohttpd dropped the request: nothing that pointed into the head holds */
};

struct front_ops {
    /* A head arrived. Returns the owner's request object through *user. FRONT_READ: the body will
     * come; FRONT_REFUSE: reply() is asked at once, what is left of the body is discarded up to a
     * cap, then the connection closes (when reply says close, or that there is none) or goes on.
     * head and verdict live until gone. When the gate refused the head, gate is not ERR_OK and why
     * says what is wrong with it. */
    enum front_next (*open)(void *owner, struct front_req *fr, const struct gate_head *head,
                            const struct gate_verdict *verdict, enum err gate,
                            const struct err_detail *why, void **user);
    /* Body bytes; returns how many were taken. Fewer than n: the client is held back until
     * front_resume. */
    size_t (*body)(void *user, const char *p, size_t n);
    /* The body is complete. */
    void (*body_end)(void *user);
    /* Is an answer ready? Fills *r and returns true, or false: front_resume follows when there is.
     * Also asked while a body is still coming (an upstream that answers early). */
    bool (*reply)(void *user, struct front_reply *r);
    /* The next body bytes: up to n into p; returns a count > 0 or FRONT_PULL_… (AGAIN: front_resume
     * follows). May be NULL where no answer has `stream`. */
    long (*pull)(void *user, char *p, size_t n);
    /* Over. why: the 502's reason, "" with the others. */
    void (*gone)(void *user, enum front_end end, const char *why);
};

struct stat;
struct front_options {
    struct loop *loop;
    const struct front_ops *ops;
    void *owner; /* first argument of open */
    unsigned max_connections;
    size_t max_header;          /* libmicrohttpd's memory pool per connection, bytes */
    uint64_t max_body;          /* for the gate */
    uint64_t idle_timeout_ns;   /* kept connection without a byte of its next request */
    uint64_t header_timeout_ns; /* absolute, to a request's complete head from its first byte, of
                                   the first request from accept */
    uint64_t write_timeout_ns;  /* longest time a client takes nothing of an answer */
    uint64_t silence_ns;        /* the last resort, where none of these and no limit of the owner's
                                   runs: longer than all of them, also than those to come */
    struct stat *stat;          /* counts what is refused before it is a request; NULL: nothing */
    const char *tls_cert_pem, *tls_key_pem; /* both: serve TLS (the sandbox); else NULL */
};

/* NULL when libmicrohttpd refuses; msg says why. */
NODISCARD struct front *front_new(const struct front_options *o, char *msg, size_t msgsize);
/* New limits, after a reload; those of o that a running daemon can't change are ignored
 * (max_header, silence_ns, TLS). */
void front_configure(struct front *f, const struct front_options *o);
/* Ends every connection (gone is called for open requests) and frees. */
void front_free(struct front *f);

/* Takes over an accepted descriptor. false when it was answered 503 and closed for want of room:
 * the caller lets its loop turn before it accepts more, for others may be leaving. listener is
 * handed back by front_listener. */
bool front_accept(struct front *f, int fd, const struct peer *peer, const void *sa, unsigned salen,
                  const void *listener);

/* Lets libmicrohttpd parse, call ops and write; a few times while a body comes. The owner's turn
 * calls it once. */
void front_run(struct front *f);
/* True when front_run has work that no event announces (a resume, a pending timeout). */
bool front_pending(const struct front *f);
/* When libmicrohttpd wants to run at the latest (clock_ns time), UINT64_MAX for none. */
uint64_t front_deadline(struct front *f);

/* From outside callbacks: something changed for this request (an answer, more bytes, room for
 * body bytes): front_run will ask again. At most once a turn is enough. */
void front_resume(struct front_req *fr);
/* From outside callbacks: give the request up and close its connection at once. */
void front_abort(struct front_req *fr);

/* The peer and the listener tag of a request; valid until gone. */
const struct peer *front_peer(const struct front_req *fr);
const void *front_listener(const struct front_req *fr);
/* The request is its connection's first. */
bool front_first(const struct front_req *fr);
/* The uid at the other end of a loopback TCP connection, looked up once a connection; false when it
 * can't be told. */
NODISCARD bool front_tcp_uid(struct front_req *fr, uid_t *uid);

/* Connections open now. */
unsigned front_connections(const struct front *f);
/* Draining: answers carry Connection: close, idle connections are closed. */
void front_drain(struct front *f);

/* libmicrohttpd's version at run time, for --version. */
const char *front_library_version(void);

#endif
