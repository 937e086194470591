/* SPDX-License-Identifier: Apache-2.0 */
/* Private to front*.c: the parts of the client side and how they point at each other. */
#ifndef SIGFERRY_IO_FRONT_INT_H
#define SIGFERRY_IO_FRONT_INT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "io/front.h"
#include <microhttpd.h>

/* What a connection is waiting for; each has its own deadline. Within one phase every connection
 * has the same time limit, so a list a phase, oldest first, is all the timer needs. */
enum front_phase {
    PHASE_NONE,   /* the owner's deadlines apply, or nobody is waited for */
    PHASE_IDLE,   /* kept alive, no byte of a next request */
    PHASE_HEAD,   /* a head has begun */
    PHASE_WRITE,  /* the client has bytes of an answer to take */
    PHASE_LINGER, /* an early answer went out; what the client still sends is discarded */
    PHASE_COUNT
};

enum { FRONT_DISCARD_MAX = 1 << 20, FRONT_EARLY_BODY_MAX = 256 * 1024, FRONT_RAW_MAX = 1024 };
/* How long a client may go on sending a body that nobody wants any more; before it is answered, how
 * long each FRONT_DISCARD_STEP of it may take, so that who sends first and reads then is heard. */
#define FRONT_LINGER_NS (2 * NS_PER_SEC)
enum { FRONT_DISCARD_STEP = 64 * 1024 };
/* An answer expected within this time, and within so many runs of libmicrohttpd, is waited for
 * without suspending (front_req.c, wait). */
#define FRONT_HOLD_NS (20 * NS_PER_MS)
enum { FRONT_HOLD_RUNS = 16, FRONT_HELD_MAX = 1024 };
/* libmicrohttpd reads a body in pieces, one a run: so many runs follow each other at once. */
enum { FRONT_BODY_RUNS = 4 };
/* After more runs than these that brought nothing, the next one waits as if a request were held. */
enum { FRONT_BARREN_RUNS = 8 };

/* A run after a resume walks all suspended connections, at about 35 ns each. With many, resumes are
 * gathered: ten times as long passes before the next such run, so that no more than a tenth of the
 * time goes into walking. At 5,000 that is 1.75 ms. With fewer than the least, it isn't worth it.
 */
enum { FRONT_WALK_MIN = 256, FRONT_WALK_PAUSE_NS = 350 };

struct front_conn {
    struct front *f;
    struct MHD_Connection *mc;
    struct front_req *req; /* the request being served; NULL between requests */
    const void *listener;
    struct loop_fd watch; /* sees the peer leave, which libmicrohttpd does not while suspended */
    struct list link;     /* in f->phase[phase], f->quiet or f->free_conns */
    uint64_t deadline_ns;
    enum front_phase phase;
    unsigned still; /* WRITE: how often in a row the client had taken nothing */
    int untaken;    /* WRITE: bytes it had not taken at the last look; -1 before the first */
    bool early;     /* bytes came that are not of the request being served */
    bool heard;     /* an event told of bytes */
    bool answered;  /* it has had an answer: idle, it may be closed at any time */
    bool gone;      /* the peer left or we gave up: the connection ends at the next run */
    bool lingering; /* the answer was written past libmicrohttpd */
    bool unsaid;    /* … but not whole */
    bool own_reads; /* lingering with the connection suspended: we drain the descriptor */
    size_t drained;
    const char *instead; /* why an error was in the answer's place; NULL: it was not */
    enum { UID_UNASKED, UID_KNOWN, UID_UNKNOWN } uid_state; /* of a TCP peer */
    uid_t uid;
    struct peer peer;
};

struct front_req {
    struct front *f;
    struct front_conn *c;
    void *user;
    struct list link;   /* in f->poked or f->free_reqs */
    struct list waking; /* in f->waking: suspended, and to be resumed */
    struct buf target;  /* copy of the raw target: libmicrohttpd rewrites its own */
    struct gate_head head;
    struct gate_verdict verdict;
    bool until_close; /* the answer has no other end than the connection's */
    size_t discarded;
    uint64_t asked_ns; /* when its answer was asked for first; 0 when nobody waits for it */
    uint64_t asked_run;
    uint64_t fed_run; /* the run that brought the last piece of its body */
    bool opened, suspended, held, woken, body_done, refused, poked, odd_framing;
    uintptr_t next_at; /* where libmicrohttpd's buffer must go on with the next field */
    bool odd_layout;
    struct hdr store[GATE_MAX_HEADERS + 1];
};

struct front {
    struct front_options o;
    struct MHD_Daemon *mhd;
    bool pending, closing, draining;
    bool in_place;          /* libmicrohttpd is one whose buffer tells what stood in a head */
    bool own_query;         /* … that takes the query's parameters from memory it shows first */
    bool more;              /* the last run may have left bytes to read or to write */
    unsigned fed;           /* requests of which the last run brought a piece, not the end */
    bool resumed;           /* the next run walks the suspended ones */
    unsigned nsuspended;    /* connections libmicrohttpd has suspended */
    uint64_t resume_at_ns;  /* no resume before */
    unsigned nheld;         /* requests that wait without being suspended */
    uint64_t runs;          /* of libmicrohttpd */
    unsigned barren;        /* runs in a row that nothing but libmicrohttpd asked for, in vain */
    uint64_t wait_ns;       /* how long answers take, a moving average times 16 */
    uint64_t wait_runs;     /* the same in runs */
    uint64_t hold_until_ns; /* with nheld: when the next run is due */
    unsigned nconns, nleaving; /* leaving: given up, libmicrohttpd has yet to let go */
    unsigned mhd_max_connections;
    struct timer timer;
    struct list phase[PHASE_COUNT]; /* [PHASE_NONE]: connections without a deadline */
    struct list poked;              /* requests to look at before the next run */
    struct list waking;             /* requests to resume when resume_at_ns has come */
    struct list free_conns, free_reqs;
    struct front_conn *accepting; /* handed to the connection notice of libmicrohttpd */
};

/* front.c */
void front_phase_set(struct front_conn *c, enum front_phase p);
void front_conn_giveup(struct front_conn *c);
/* Takes the connection out of libmicrohttpd's hands; within its callbacks only. false when it was
 * given up meanwhile: the callback has to end it, for nothing would wake it any more. */
NODISCARD bool front_suspend(struct front_req *fr);
/* Gives a suspended one back: now, or together with others in a moment. */
void front_wake(struct front_req *fr);

/* front_req.c: libmicrohttpd's callbacks. */
void *front_on_target(void *cls, const char *uri, struct MHD_Connection *mc);
enum MHD_Result front_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **con_cls);
void front_on_completed(void *cls, struct MHD_Connection *mc, void **con_cls,
                        enum MHD_RequestTerminationCode toe);
/* A request that was resumed while its body still comes: is there an answer already? */
void front_req_poked(struct front_req *fr);
/* The client did not finish its body after the answer was ready: it gets it now. false when it has
 * got it already. */
bool front_req_out_of_patience(struct front_req *fr);

/* The connection closed and its request was never said to be over. */
void front_req_lost(struct front_req *fr);

/* front_reply.c */
/* libmicrohttpd has to look at the connection in its next run. Behind a resume, and in a few
 * errors, it closes one and then forgets it until those ended that were quiet for longer; the ones
 * with a time limit of their own it looks at in each run. */
void front_conn_last(struct front_conn *c);
/* Ends a connection whose answer to HTTP/1.0 has no length by a reset: a FIN would be the answer's
 * end. false when it is no such one, or a Unix socket, which has no reset. */
NODISCARD bool front_conn_reset(const struct front_conn *c);
enum MHD_Result front_queue_reply(struct front_req *fr, const struct front_reply *r);
/* Writes the answer straight to the descriptor and half-closes; the rest of the request is
 * discarded. Used when libmicrohttpd cannot answer yet (it refuses while a body comes). */
void front_answer_early(struct front_req *fr, const struct front_reply *r);
/* Discards what a client still sends after an early answer, while libmicrohttpd is suspended. */
void front_conn_discard(struct front_conn *c);
/* An error, written to a descriptor on which no head has come; text is the message. */
void front_send_raw_error(const struct front *f, int fd, enum err e, const char *reason,
                          const char *text);

#endif
