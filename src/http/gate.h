/* SPDX-License-Identifier: Apache-2.0 */
/* Is this request head acceptable? Exactly one valid framing, one Host, clean bytes, known method,
 * bounded counts. Pure: knows nothing of configuration or sockets. */
#ifndef SIGFERRY_HTTP_GATE_H
#define SIGFERRY_HTTP_GATE_H

#include "base/err.h"
#include "http/hdr.h"
#include "http/uri.h"

enum { GATE_MAX_HEADERS = 100, GATE_MAX_TARGET = 8192 };

enum gate_framing { GATE_NO_BODY, GATE_LENGTH, GATE_CHUNKED };

/* A head as the server library delivered it. */
struct gate_head {
    struct str method, target;
    struct str version; /* "HTTP/1.1" */
    struct hdrs hdrs;   /* in order of arrival, untrimmed is fine */
};

struct gate_verdict {
    struct uri_target target;
    struct str host; /* the Host field (or the absolute-form authority), unparsed */
    enum gate_framing framing;
    uint64_t length; /* with GATE_LENGTH */
    bool expect_continue;
    bool must_close; /* set by every refusal: framing can't be trusted, close */
};

/* Checks the head against RFC 9112 and the limits above; on success fills *out, whose views point
 * into the head. max_body: largest Content-Length accepted (413 beyond).
 * Errors: ERR_INVALID_REQUEST, ERR_METHOD_NOT_ALLOWED, ERR_BODY_TOO_LARGE, ERR_URI_TOO_LONG,
 * ERR_EXPECTATION_FAILED, ERR_HEADERS_TOO_LARGE; *out then holds nothing but must_close. */
NODISCARD enum err gate_check(const struct gate_head *head, uint64_t max_body,
                              struct gate_verdict *out, struct err_detail *why);

#endif
