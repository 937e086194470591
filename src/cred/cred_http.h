/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the providers: the configuration's way to hosts, a few tries, errors as text. Private
 * to src/cred. */
#ifndef SIGFERRY_CRED_HTTP_H
#define SIGFERRY_CRED_HTTP_H

#include "cred/cred_provider.h"
#include "io/fetch.h"

enum { CRED_BODY_MAX = 256 * 1024 };

struct cred_call {
    const char *method, *url;
    const char *const *headers;
    size_t nheaders;
    struct str body;
    unsigned tries;               /* 1 or more: on network errors, 429 and 5xx */
    uint64_t connect_ns, read_ns; /* 0: the configured ones, within the limits of this module */
    bool direct;                  /* by no proxy */
};

/* Makes the call. true when a whole response came: status and body (at most CRED_BODY_MAX, wiped by
 * the caller) are in *r. false with why set when none came, when the network may not be asked now
 * (ctx->deferred) or when cancelled. r need not be initialised. */
NODISCARD bool cred_http(struct cred_ctx *ctx, const struct cred_call *q, struct fetch_response *r,
                         struct err_detail *why);

#endif
