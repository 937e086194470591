/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields: a list of views, look-ups, and the table of hop-by-hop names. Pure. */
#ifndef SIGFERRY_HTTP_HDR_H
#define SIGFERRY_HTTP_HDR_H

#include "base/arena.h"
#include "base/str.h"

struct hdr {
    struct str name, value; /* value trimmed */
};

/* A list in memory of the caller's choice (an arena, a fixed array). */
struct hdrs {
    struct hdr *v;
    size_t n, cap;
};

/* Appends; false when full. */
NODISCARD bool hdrs_add(struct hdrs *h, struct str name, struct str value);

/* The first field of that name without regard to case; NULL when there is none. */
const struct hdr *hdrs_find(const struct hdrs *h, struct str name);

/* How many fields have that name. */
size_t hdrs_count(const struct hdrs *h, struct str name);

/* True for fields that end at each hop and are never forwarded in either direction: Connection,
 * Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
 * Transfer-Encoding, Upgrade (RFC 9110 7.6.1), plus Content-Length, which framing writes anew. */
bool hdr_is_hop(struct str name);

/* True when a Connection field of h nominates this name (RFC 9110 7.6.1). */
bool hdr_is_nominated(const struct hdrs *h, struct str name);

/* token = 1*tchar (RFC 9110 5.6.2). */
bool hdr_is_token(struct str s);

/* Field value bytes: HTAB, 0x20-0x7E, 0x80-0xFF. */
bool hdr_is_value(struct str s);

/* True when the comma-separated list value contains that token, without regard to case. */
bool hdr_list_has(struct str value, struct str token);

#endif
