/* SPDX-License-Identifier: Apache-2.0 */
/* The one place for secret bytes: locked, kept out of core dumps, wiped when released. */
#ifndef SIGFERRY_BASE_SECRET_H
#define SIGFERRY_BASE_SECRET_H

#include "base/attr.h"
#include "base/str.h"

struct secret; /* opaque, refcounted (atomic), immutable */

/* Forbids core dumps and ptrace of this process (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). Call first. */
void secret_harden_process(void);

/* Copies n bytes into secret memory, one reference. NULL when memory is short. The caller wipes
 * its own copy. */
NODISCARD struct secret *secret_new(struct str s);

struct secret *secret_ref(struct secret *s);

/* Drops a reference; the last one wipes the bytes. NULL is fine. */
void secret_unref(struct secret *s);

/* The bytes, valid while the caller holds a reference; {NULL,0} for NULL. */
struct str secret_str(const struct secret *s);

/* Overwrites n bytes in a way the compiler keeps. */
void secret_wipe(void *p, size_t n);

/* Overwrites what the functions called before left on the stack below the caller's frame: local
 * copies, and registers that were saved there. For the end of rare work with secrets. */
void secret_scrub_stack(void);

/* Gives a block of malloc back after overwriting all of it. NULL is fine. */
void secret_free(void *p);

/* Equal in time that depends on lengths only. */
bool secret_eq(struct str a, struct str b);

/* How an access key is shown: first 4 and last 4 characters with "…" as three dots between;
 * "****" when it has 8 or fewer. out holds at least 16 bytes. */
void secret_mask(struct str access_key, char out[16]);

/* Whether text shows 12 characters in a row of secret, or all of a shorter one: what others send is
 * not to be shown then. */
NODISCARD bool secret_is_quoted(struct str text, struct str secret);

#endif
