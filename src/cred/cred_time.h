/* SPDX-License-Identifier: Apache-2.0 */
/* Time stamps of credential responses: RFC 3339, and numbers since 1970. Pure; private to
 * src/cred. */
#ifndef SIGFERRY_CRED_TIME_H
#define SIGFERRY_CRED_TIME_H

#include "base/attr.h"
#include "base/str.h"

/* YYYY-MM-DDTHH:MM:SS[.fraction] with Z or +HH:MM/-HH:MM (the colon may be missing), to unix
 * seconds; the fraction is dropped. false for anything else, also without an offset. */
NODISCARD bool cred_time_parse(struct str s, int64_t *unix_s);

/* Seconds of a number since 1970 in seconds, milli-, micro- or nanoseconds, told apart by size as
 * the official SDKs do. */
int64_t cred_time_unix(int64_t n);

/* YYYY-MM-DDTHH:MM:SSZ plus NUL; "never" for 0. */
enum { CRED_TIME_TEXT = 24 };
void cred_time_format(int64_t unix_s, char out[CRED_TIME_TEXT]);

#endif
