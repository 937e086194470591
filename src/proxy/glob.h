/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns with '*' as used by policies, rate limits, allowed hosts and endpoint overrides. Pure.
 */
#ifndef SIGFERRY_PROXY_GLOB_H
#define SIGFERRY_PROXY_GLOB_H

#include "base/str.h"

/* True when s matches pattern without regard to ASCII case; '*' stands for any run of bytes, the
 * empty one too, but never for one that contains a byte of `stop` ("" for no limit; no letters,
 * which are more than one byte here). */
bool glob_match(struct str pattern, struct str s, const char *stop);

/* The same for "service:Action" patterns: '*' in either half stays in its half. An empty action
 * matches only a pattern whose action half is '*'. */
bool glob_action(struct str pattern, struct str service, struct str action);

#endif
