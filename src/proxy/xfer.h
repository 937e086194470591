/* SPDX-License-Identifier: Apache-2.0 */
/* Private to proxy/: one client request with all its attempts. Callbacks of front and up record in
 * it and mark it; proxy_settle is the only place where both sides are called. xfer_go is the only
 * writer of the state. */
#ifndef SIGFERRY_PROXY_XFER_H
#define SIGFERRY_PROXY_XFER_H

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "io/spool.h"
#include "proxy/policy.h"
#include "proxy/proxy.h"
#include "proxy/reply.h"
#include "proxy/retry.h"
#include "sign/sign.h"

/* X(state, may be entered from) */
#define XFER_STATES(X)                                                                             \
    X(FREE, 1u << XS_DEAD)                                                                         \
    X(RECV, 1u << XS_FREE)                                                                         \
    X(TRY, 1u << XS_RECV | 1u << XS_WAIT)                                                          \
    X(WAIT, 1u << XS_RECV | 1u << XS_TRY)                                                          \
    X(REPLY, 1u << XS_RECV | 1u << XS_TRY | 1u << XS_WAIT)                                         \
    X(DEAD, 1u << XS_RECV | 1u << XS_TRY | 1u << XS_WAIT | 1u << XS_REPLY)

enum xfer_state {
#define X(s, from) XS_##s,
    XFER_STATES(X)
#undef X
};

/* What settle has to do for it. */
enum xfer_want {
    WANT_CANCEL = 1 << 0,  /* end the attempt */
    WANT_START = 1 << 1,   /* start one */
    WANT_BODY = 1 << 2,    /* a streamed body has more */
    WANT_UNPAUSE = 1 << 3, /* the response may flow again */
    WANT_WAKE = 1 << 4,    /* front has something to ask for */
    WANT_ABORT = 1 << 5,   /* close the client's connection */
};

enum {
    XFER_QUEUE_HIGH = 128 * 1024, /* response bytes held before the upstream is paused */
    XFER_QUEUE_LOW = 32 * 1024,
    XFER_HOLD_MAX = 64 * 1024, /* JSON answers looked into before they are passed on */
    XFER_KEEP = 16 * 1024,     /* buffer memory an idle xfer keeps */
    XFER_LARGE = 192 * 1024,   /* room made at once for a large answer: never moved when full */
    XFER_SPARES = 4,           /* such buffers kept for the next */
    XFER_TRACED = 1024,        /* bytes that a debug line shows of a piece of a body */
    XFER_RESPONSE_HEADERS = RESP_MAX_HEADERS + 4,
};

/* A configuration as one worker uses it, counted without atomics. */
struct proxy_gen {
    struct proxy_rules *rules;
    struct conf *conf; /* rules->conf */
    unsigned users;
    bool current;
};

struct xfer {
    struct proxy *px;
    struct proxy_gen *gen;
    enum xfer_state state;
    unsigned want;
    struct list link;   /* in px->dirty, px->dead or px->free */
    struct list all;    /* in px->all */
    struct list waiter; /* in px->cred_waiters */
    struct arena arena;
    uint64_t id;

    /* the client's side */
    struct front_req *fr; /* NULL once gone */
    const struct peer *peer;
    const struct gate_head *head;
    const struct gate_verdict *verdict;
    struct route route;
    struct spool body;
    struct digest *hash;
    char body_hex[DIGEST_HEX_LEN + 1];
    bool routed, hashing, body_done, streaming, stream_chunked, front_held;
    struct buf window;    /* a streamed body between client and upstream */
    uint64_t window_base; /* offset of the window's first byte */
    uint64_t bytes_in, body_mark_ns;
    struct policy_form form; /* with look_into_form */
    bool look_into_form, rated;
    uint64_t not_before_ns; /* the rate limit's wait */
    size_t buffered;        /* of body, window and queue, as counted in px->buffered */

    /* the upstream's side */
    struct up_req up;
    bool has_up; /* an attempt is under way and not given up */
    bool client_gone, close_after;
    unsigned attempts;
    struct buf out;       /* the serialised head */
    struct cred *cred;    /* of the attempt under way */
    int64_t skew_s;       /* that it was signed with */
    uint64_t rejected_id; /* the credential the upstream refused; 0 for none */
    bool refreshed;       /* the extra try after a rejected credential was used */
    bool skewed;          /* … after a clock correction */
    unsigned extra;       /* such tries: they are outside of num_max_retries */

    /* the answer */
    unsigned status;
    struct hdr hdrs[XFER_RESPONSE_HEADERS];
    size_t nhdrs;
    bool no_body, held, eof, aborted, replied, paused;
    int64_t length;   /* -1 when not known */
    struct buf queue; /* response body between upstream and client, or a body of our own */
    size_t queue_off;
    uint64_t answer_bytes; /* that came of it */
    struct str retry_after, date;
    struct str retry_wait; /* Retry-After of our own 429; {NULL,0}: a second */

    /* why it ended as it did */
    enum err err;
    struct err_detail why;
    struct timer timer;      /* WAIT: the delay */
    struct timer body_timer; /* the body's deadline, until it is complete or answered */
    struct timer deadline;   /* request_timeout */
    uint64_t started_ns, upstream_ns, attempt_ns;
    uint64_t bytes_out;
    struct str upstream_id;
    char request_id[33];
};

struct proxy {
    struct proxy_options o;
    struct proxy_gen *gen;
    bool stale; /* a reload that all others took over could not be: credentials go on without it */
    struct signer *signer;
    struct cred_view *creds;
    struct budget *budget;
    struct policy_seen *seen;
    struct list dirty, dead, free, all, cred_waiters;
    unsigned inflight, nfree;
    size_t buffered, buffered_max;
    struct buf spare[XFER_SPARES];
    unsigned nspare;
    uint64_t next_id, id_salt;
    uint64_t rnd;
};

/* xfer.c */
/* Enters a state; the move must be one of XFER_STATES. */
void xfer_go(struct xfer *x, enum xfer_state to);
/* Asks settle for these WANT_… bits. */
void xfer_mark(struct xfer *x, unsigned want);
/* Asserts the invariants. */
void xfer_sane(const struct xfer *x);
/* Starts or restarts: the next attempt, or why not. From settle only. */
void xfer_start(struct xfer *x);
/* The attempt failed or its answer may be tried again: true when a retry was arranged. */
bool xfer_retry(struct xfer *x, const struct retry_outcome *o);
/* Another attempt after delay_ns; false, and nothing has changed, when memory is short. */
NODISCARD bool xfer_again(struct xfer *x, uint64_t delay_ns);
/* The attempt under way, if any, is given up: settle ends it, what it still reports is not heard.
 */
void xfer_give_up(struct xfer *x);
/* To WAIT, until the credentials change. */
void xfer_wait_credential(struct xfer *x);
/* From WAIT: no other credential came, the client gets the upstream's refusal that was kept. */
void xfer_pass_refusal(struct xfer *x);

/* A piece of a body for the debug log, and where in it. */
void xfer_trace(const struct xfer *x, enum log_debug category, const char *what, uint64_t offset,
                struct str piece);

/* Its bytes in memory changed: they count against limits.buffered_total. */
void xfer_count(struct xfer *x);

/* xfer_front.c */
/* Wipes, empties and keeps it for another request. */
void xfer_put(struct xfer *x);

/* xfer_up.c */
extern const struct up_ops xfer_up_ops;

/* xfer_permit.c: what must hold before anything is sent or shown */
/* Who was refused what, or would have been: one line each, for whoever reviews the log. */
void xfer_audit(const struct xfer *x, const char *verdict, const char *why);
/* What can be judged by the head: the policy, the rate limit. */
NODISCARD enum err xfer_permit(struct xfer *x, struct err_detail *why);
/* … and what needs the whole body: forms, a local key's signature and its rate limit. */
NODISCARD enum err xfer_permit_body(struct xfer *x, struct err_detail *why);
/* Nothing was sent for it: what it took from the rate limits is given back. */
void xfer_unrate(struct xfer *x);
/* Takes a retry from the upstream's budget; false when it is used up. */
NODISCARD bool xfer_budget_take(struct xfer *x);
/* An answer that says the credential or the clock is wrong: refreshes or corrects, and tries once
 * more outside the count, where the request can be sent again and may be. True when it was
 * arranged. */
NODISCARD bool xfer_second_chance(struct xfer *x, struct str code);

/* xfer_send.c: signs and serialises the next attempt into x->out. */
NODISCARD enum err xfer_sign(struct xfer *x);
/* The local answers that need a signature: dry run, presign. */
void xfer_show(struct xfer *x);

/* xfer_reply.c */
/* Answers with an error of our own and ends the attempt; nothing when an answer was begun already.
 */
void xfer_fail(struct xfer *x, enum err e, const struct err_detail *why);
/* Too late for an answer of our own: the one that has begun ends without its end. */
void xfer_cut(struct xfer *x, enum err e);
/* Answers with what is in x->queue. */
void xfer_answer(struct xfer *x, unsigned status, const char *content_type);
/* The upstream's head becomes the client's. */
void xfer_commit(struct xfer *x);
/* Copies what is needed of the upstream's head; false when memory is short. */
NODISCARD bool xfer_take_head(struct xfer *x, const struct resp *r);

/* xfer_log.c: the access line and the counters, once, when it is over. */
void xfer_account(struct xfer *x);

#endif
