/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: splitting, percent-coding and the canonical forms that are both signed and
 * sent. Source of the rules: the official SDKs' signers; see docs/SIGNING.md. Pure. */
#ifndef SIGFERRY_HTTP_URI_H
#define SIGFERRY_HTTP_URI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* A request target as it came (RFC 9112 3.2), split but not decoded. */
struct uri_target {
    struct str scheme;    /* "http"/"https" of absolute-form, else empty */
    struct str authority; /* of absolute-form, else empty */
    struct str path;      /* "" or begins with '/' */
    struct str query;     /* without '?' */
    bool has_query;
};

/* Splits origin-form and absolute-form; every byte must be 0x21-0x7E or >= 0x80, and none of
 * "#<>\^`{|} (RFC 3986 has no place for them, and servers differ in what they make of them).
 * ERR_INVALID_REQUEST otherwise (also for asterisk- and authority-form). scheme is lower-case. */
NODISCARD enum err uri_split(struct str target, struct uri_target *out, struct err_detail *why);

/* host[:port] of an authority or a Host field: no userinfo, no path, brackets around IPv6.
 * port is 0 when absent. ERR_INVALID_REQUEST when malformed. host keeps its case, without
 * brackets. */
struct uri_host {
    struct str host;
    unsigned port;
    bool ipv6;
};
NODISCARD enum err uri_host(struct str s, struct uri_host *out, struct err_detail *why);

/* Whether s is an IPv6 address, without brackets and without a zone. */
NODISCARD bool uri_is_ipv6(struct str s);

/* One query parameter, name and value encoded canonically (everything but A-Za-z0-9-_.~ as %XX). */
struct uri_pair {
    struct str name, value;
};
struct uri_query {
    struct uri_pair *v; /* sorted by encoded name, then encoded value */
    size_t n;
};

/* Parses and canonicalises a raw query into the arena: split on '&', '+' and %20 both a space,
 * empty pairs dropped, name without '=' has an empty value. ERR_INVALID_QUERY for a broken escape
 * or more than 4096 pairs, ERR_OVERLOADED when the arena is full. */
NODISCARD enum err uri_query_parse(struct str raw, struct arena *a, struct uri_query *out,
                                   struct err_detail *why);

/* Puts the pairs in their canonical order. */
void uri_query_sort(struct uri_query *q);

/* Writes name=value&… into the arena; {"",0} for none. {NULL,0} when the arena is full. */
NODISCARD struct str uri_query_write(const struct uri_query *q, struct arena *a);

/* The canonical path: each segment decoded once and encoded once; "" becomes "/"; dot segments and
 * "//" are kept. ERR_INVALID_REQUEST for a broken escape or an encoded NUL, ERR_OVERLOADED when the
 * arena is full. */
NODISCARD enum err uri_path(struct str raw, struct arena *a, struct str *out,
                            struct err_detail *why);

/* Appends s with everything but A-Za-z0-9-_.~ as %XX (upper-case hex). */
void uri_encode(struct buf *b, struct str s);

/* Decodes %XX (and '+' as space when plus) into the arena; ERR_INVALID_QUERY when broken,
 * ERR_OVERLOADED when the arena is full. */
NODISCARD enum err uri_decode(struct str s, bool plus, struct arena *a, struct str *out);

#endif
