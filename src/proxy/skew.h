/* SPDX-License-Identifier: Apache-2.0 */
/* Clock errors: what the upstream's Date says about ours, and which refusals mean that. Pure; the
 * caller keeps the skew and signs with now + skew. */
#ifndef SIGFERRY_PROXY_SKEW_H
#define SIGFERRY_PROXY_SKEW_H

#include "base/attr.h"
#include "base/str.h"

/* Differences up to this are no clock error. */
enum { SKEW_MIN_S = 60 };

/* Parses an HTTP date in any of its three forms (RFC 9110 5.6.7) into unix seconds; now_s settles
 * the century of the two-digit form. false when it is none. */
NODISCARD bool skew_parse_date(struct str date, int64_t now_s, int64_t *out);

/* True when an error code means that the signature's time was refused (expired or not yet valid).
 */
bool skew_is_clock_code(struct str code);

/* Decides about a refused request: true, with *skew_s = upstream's time minus ours (0 up to
 * SKEW_MIN_S), when the code means a clock error and the Date field differs by more than SKEW_MIN_S
 * from the time that was signed. now_s is the local wall clock, used_s the skew that the refused
 * signature was made with. */
NODISCARD bool skew_detect(struct str code, struct str date, int64_t now_s, int64_t used_s,
                           int64_t *skew_s);

#endif
