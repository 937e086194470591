/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 of a short text, for one purpose: the clouds' command line tools name their cache files by
 * it. Nothing here relies on its strength. Pure; private to src/cred. */
#ifndef SIGFERRY_CRED_SHA1_H
#define SIGFERRY_CRED_SHA1_H

#include "base/str.h"

enum { CRED_SHA1_HEX = 41 };

/* Lower-case hex plus NUL. */
void cred_sha1_hex(struct str text, char out[CRED_SHA1_HEX]);

#endif
