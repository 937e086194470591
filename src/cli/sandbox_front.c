/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's requests: bodies are hashed as they arrive and not kept; the answer is made when
 * the request is complete. */
#include "cli/sandbox.h"

#include "base/clock.h"
#include "base/log.h"
#include <stdlib.h>

enum { FIELDS_MAX = 4 };

struct sandbox_req {
    struct sandbox *sandbox;
    const struct gate_head *head;
    const struct gate_verdict *verdict;
    struct digest *digest;
    struct sandbox_body body;
    struct sandbox_result result;
    struct buf out;
    struct hdr fields[FIELDS_MAX];
    char id[40];
    bool failed, done;
};

static void finish(struct sandbox_req *r)
{
    sandbox_reply(&r->out, &r->result, r->head, r->verdict, &r->body, str_of(r->id));
    if (r->out.failed) {
        buf_reset(&r->out);
        r->result.status = 500;
    }
    r->fields[0] = (struct hdr){STR("Content-Type"), STR("application/json")};
    r->fields[1] = (struct hdr){STR("X-Tt-Logid"), str_of(r->id)};
    r->done = true;
    /* A link's query holds a signature, perhaps a token; one that was not judged may be a link. */
    struct str query = r->result.presigned ? STR("(presigned)")
                       : r->body.sha256.n  ? r->verdict->target.query
                                           : STR("");
    const struct log_field line[] = {
        {"method", r->head->method, 0, false},
        {"path", r->verdict->target.path, 0, false},
        {"query", query, 0, false},
        {"service", r->result.scope.service, 0, false},
        {"region", r->result.scope.region, 0, false},
        {"bytes", {NULL, 0}, (double)r->body.size, true},
        {"status", {NULL, 0}, r->result.status, true},
        {"error", str_of(r->result.code ? r->result.code : ""), 0, false},
        {"why", str_of(r->result.why.text), 0, false},
    };
    if (!r->sandbox->quiet)
        log_fields(LOG_INFO, r->result.verified ? "verified" : "refused", line, ARRAY_LEN(line));
}

static enum front_next on_open(void *owner, struct front_req *fr, const struct gate_head *head,
                               const struct gate_verdict *verdict, enum err gate,
                               const struct err_detail *why, void **user)
{
    (void)fr;
    struct sandbox *s = owner;
    struct sandbox_req *r = calloc(1, sizeof *r);
    *user = r;
    if (!r)
        return FRONT_REFUSE; /* without an answer: the connection closes */
    r->sandbox = s;
    r->head = head;
    r->verdict = verdict;
    buf_init(&r->out, SANDBOX_REPLY_MAX);
    snprintf(r->id, sizeof r->id, "sandbox-%08llx", (unsigned long long)++s->requests);
    r->digest = digest_new();
    if (gate == ERR_OK && r->digest && digest_begin(r->digest))
        return FRONT_READ;
    r->result.status = gate ? (unsigned)err_status(gate) : 500;
    r->result.code = gate ? err_code(gate) : "InternalError";
    r->result.why = *why;
    finish(r);
    return FRONT_REFUSE;
}

static size_t on_body(void *user, const char *p, size_t n)
{
    struct sandbox_req *r = user;
    if (r->body.size < SANDBOX_SHOWN_MAX) {
        size_t room = SANDBOX_SHOWN_MAX - (size_t)r->body.size;
        memcpy(r->body.shown + r->body.size, p, n < room ? n : room);
    }
    r->body.size += n;
    r->failed = r->failed || !digest_update(r->digest, p, n);
    return n;
}

static void on_body_end(void *user)
{
    struct sandbox_req *r = user;
    unsigned char sum[DIGEST_LEN];
    char hex[DIGEST_HEX_LEN];
    if (r->failed || !digest_end(r->digest, sum)) {
        r->result.status = 500;
        r->result.code = "InternalError";
        finish(r);
        return;
    }
    digest_hex(sum, hex);
    r->body.sha256 = str_n(hex, sizeof hex);
    sandbox_verify(r->sandbox, r->head, r->verdict, r->body.sha256, clock_wall_s(), &r->result);
    finish(r);
    r->body.sha256 = STR(""); /* it was on our stack */
}

static bool on_reply(void *user, struct front_reply *out)
{
    struct sandbox_req *r = user;
    if (!r || !r->done)
        return false;
    *out = (struct front_reply){.status = r->result.status,
                                .hdrs = r->fields,
                                .nhdrs = 2,
                                .body = buf_str(&r->out),
                                .length = (int64_t)r->out.n,
                                .no_body = str_eq(r->head->method, STR("HEAD"))};
    return true;
}

static void on_gone(void *user, enum front_end end, const char *why)
{
    (void)end, (void)why;
    struct sandbox_req *r = user;
    if (!r)
        return;
    digest_free(r->digest);
    buf_free(&r->out);
    free(r);
}

const struct front_ops sandbox_front_ops = {
    .open = on_open,
    .body = on_body,
    .body_end = on_body_end,
    .reply = on_reply,
    .gone = on_gone,
};
