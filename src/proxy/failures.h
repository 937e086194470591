/* SPDX-License-Identifier: Apache-2.0 */
/* The last requests that failed, of all workers, for people who look at the status. */
#ifndef SIGFERRY_PROXY_FAILURES_H
#define SIGFERRY_PROXY_FAILURES_H

#include "base/attr.h"
#include "base/str.h"

enum { FAILURES_MAX = 20 };

/* One of them. All text is printable ASCII, cut where it is too long. */
struct failure {
    int64_t at_s; /* unix time of its end */
    unsigned status, attempts;
    char code[32]; /* "" when it is the cloud's answer */
    char service[48], region[48], action[64];
    char request_id[40], upstream_id[64];
    char reason[256];
};

struct failures; /* any thread may use one */
NODISCARD struct failures *failures_new(void);
void failures_free(struct failures *f);

/* Copies text into a field of n bytes; what is not printable ASCII becomes '?'. */
void failures_text(char *field, size_t n, struct str text);

/* Never waits: when somebody else is at it, this one is left out. */
void failures_add(struct failures *f, const struct failure *one);

/* The newest first; the number copied. */
size_t failures_copy(struct failures *f, struct failure out[FAILURES_MAX]);

#endif
