/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for io/front, io/up and base/clock, with the same headers, linked instead of them: the
 * request engine without a socket and with a clock that only moves when told. They record what they
 * were asked for and abort on what the real modules must never be asked. */
#ifndef SIGFERRY_TESTS_FAKE_H
#define SIGFERRY_TESTS_FAKE_H

#include "io/front.h"
#include "io/up.h"

/* ---- the clock ---- */
void fake_clock_advance(uint64_t ns); /* both clocks */

/* ---- the client's side ---- */
struct front_req {
    const struct front_ops *ops;
    void *owner, *user;
    struct peer peer;
    const void *listener;
    struct gate_head head;
    struct gate_verdict verdict;
    struct hdr store[GATE_MAX_HEADERS + 1];
    bool open, refused, held, ended, answered;
    uint64_t given;  /* body bytes that were taken */
    uint64_t pulled; /* bytes of a streamed answer */
    unsigned resumes, aborts;
    struct front_reply reply; /* once answered */
};

/* A request head, lines ending in '\n', goes through the gate to ops->open. text lives on. */
void fake_front_open(struct front_req *fr, const struct front_ops *ops, void *owner,
                     const void *listener, const char *text);
/* Body bytes as long as they are taken, and no more than the Content-Length; false when nothing
 * more may come. */
bool fake_front_body(struct front_req *fr, const char *p, size_t n);
void fake_front_end(struct front_req *fr);
/* Asks for an answer; true once there is one. */
bool fake_front_reply(struct front_req *fr);
/* Pulls up to n bytes; what ops->pull says, FRONT_PULL_END for answers that are no stream. */
long fake_front_pull(struct front_req *fr, char *p, size_t n);
void fake_front_gone(struct front_req *fr, bool completed);

/* ---- the upstream's side ---- */
struct fake_up {
    enum err start_result; /* of the next up_start calls */
    unsigned starts, cancels, unpauses, mores;
    struct up_req *last; /* of the last start that went well; NULL after its end */
};
extern struct fake_up fake_up;

/* Bytes of a response for a running attempt: the callbacks come as up_io.c makes them, done as well
 * when the response ends. Nothing while the attempt is paused. */
void fake_up_feed(struct up_req *q, struct str bytes);
/* The attempt fails. */
void fake_up_fail(struct up_req *q, enum err e, bool sent);
/* Takes all of the request's body that can be had now; returns its bytes so far. */
uint64_t fake_up_send(struct up_req *q);

#endif
