/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `sigferry sandbox` share: an upstream on this machine that verifies signatures
 * with the configured keys and shows what it got. */
#ifndef SIGFERRY_CLI_SANDBOX_H
#define SIGFERRY_CLI_SANDBOX_H

#include "base/buf.h"
#include "conf/conf.h"
#include "cred/cred.h"
#include "http/gate.h"
#include "io/front.h"
#include "sign/verify.h"

enum {
    SANDBOX_KEYS_MAX = 32,
    SANDBOX_WINDOW_S = 900,
    SANDBOX_REPLY_MAX = 1024 * 1024,
    SANDBOX_SHOWN_MAX = 4096, /* bytes of a body that are shown */
};

/* A body, of which the beginning is kept. */
struct sandbox_body {
    uint64_t size;
    char shown[SANDBOX_SHOWN_MAX];
    struct str sha256; /* empty when it never was complete */
};

struct sandbox {
    struct cred *keys[SANDBOX_KEYS_MAX];
    size_t nkeys;
    struct signer *signer;
    struct arena scratch;
    uint64_t requests; /* for request ids */
    bool quiet;        /* no line a request */
};

/* What became of one request. Views live until the next sandbox_verify. */
struct sandbox_result {
    bool verified, presigned;
    unsigned status;  /* 200, 403, or what the front refused with */
    const char *code; /* the clouds' error code; NULL when verified */
    struct err_detail why;
    struct verify_scope scope; /* what the request claims; empty where it does not */
    struct str canonical_request,
        string_to_sign; /* as computed here; empty when it came not so far */
};

/* Verifies a whole request; body_sha256 is of what really came. */
void sandbox_verify(struct sandbox *s, const struct gate_head *head, const struct gate_verdict *v,
                    struct str body_sha256, int64_t now_s, struct sandbox_result *out);

/* The answer's JSON, appended: the clouds' shape, with what was received in Result, or with the
 * error and what was computed here. The session token is masked. */
void sandbox_reply(struct buf *out, const struct sandbox_result *r, const struct gate_head *head,
                   const struct gate_verdict *v, const struct sandbox_body *body,
                   struct str request_id);

/* For front_new; owner: struct sandbox *. */
extern const struct front_ops sandbox_front_ops;

/* Certificates in PEM, each NUL-terminated. */
struct sandbox_cert {
    char *ca, *cert, *key;
};

/* A new CA, whose key nobody ever sees, and a certificate of 30 days for these names (DNS names,
 * wildcards, IP addresses). false with msg when OpenSSL fails. */
NODISCARD bool sandbox_cert_make(struct sandbox_cert *out, const char *const *names, size_t n,
                                 char *msg, size_t msgsize);
/* Wipes the key and frees. */
void sandbox_cert_free(struct sandbox_cert *c);

/* The names of all endpoints of both clouds that the configuration can resolve to, and of this
 * machine: one a line, NUL-terminated; NULL when memory is short. */
NODISCARD char *sandbox_names(const struct conf *c);

#endif
