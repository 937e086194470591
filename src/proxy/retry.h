/* SPDX-License-Identifier: Apache-2.0 */
/* May this attempt be tried again, and after how long? Pure: the clock's time and the random number
 * are arguments. Source: the official SDKs' default retry condition and backoff strategies. */
#ifndef SIGFERRY_PROXY_RETRY_H
#define SIGFERRY_PROXY_RETRY_H

#include "proxy/route.h"

/* What came of an attempt. */
struct retry_outcome {
    enum err err;    /* network error, or ERR_OK when a response head came */
    unsigned status; /* with ERR_OK */
    struct str
        error_code; /* ResponseMetadata.Error.Code of a held JSON body; empty when not known */
    struct str retry_after; /* Retry-After field, empty when absent */
    bool sent;              /* bytes of the request may have reached the upstream */
};

struct retry_question {
    const struct conf *conf;
    const struct route *route;
    struct retry_outcome outcome;
    unsigned attempt;    /* attempts made so far that count, 1 after the first */
    bool replayable;     /* the body can be sent again */
    uint64_t elapsed_ns; /* since the request began, for request_timeout */
    int64_t now_s;       /* wall clock of the upstream, for Retry-After dates */
    double random;       /* uniform in [0, 1) */
};

struct retry_answer {
    bool again;
    uint64_t delay_ns;
    const char *reason; /* label for sigferry_retries_total: "resolve", "status_503", "code", … */
};

/* Decides by the official SDKs' rules: condition, count, after-send rule, Retry-After, backoff,
 * request_timeout. The budget is the caller's (budget.h). */
struct retry_answer retry_next(const struct retry_question *q);

/* The backoff delay alone, in ms: n counts from 0. */
int64_t retry_backoff_ms(enum conf_backoff s, int64_t min_ms, int64_t max_ms,
                         const struct conf_ints *custom, unsigned n, double random);

/* True for actions that only read (Describe/List/Get/Query/Check…) or requests with a ClientToken
 * parameter: retry_after_send = "safe". */
bool retry_is_safe(const struct route *r);

/* True for the codes by which the clouds refuse a credential itself (expired or unknown), so that
 * fetching it anew may help. */
bool retry_is_credential_code(struct str code);

/* Parses Retry-After (seconds or an HTTP date) into seconds from now; -1 when it is neither. */
int64_t retry_after_s(struct str value, int64_t now_s);

#endif
