/* SPDX-License-Identifier: Apache-2.0 */
/* Sees which bytes are overwritten before their memory is given back, where nobody can look any
 * more. Defines OpenSSL's function: base/secret.c finds this one. Test code only. */
#ifndef SIGFERRY_TESTS_WIPED_H
#define SIGFERRY_TESTS_WIPED_H

#include <check.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static struct {
    uintptr_t at;
    size_t n;
    bool seen[1024];
} wiped;

void OPENSSL_cleanse(void *p, size_t n)
{
    if (n)
        memset(p, 0, n);
    for (size_t i = 0; i < wiped.n; i++)
        if (wiped.at + i - (uintptr_t)p < n)
            wiped.seen[i] = true;
}

/* From now on watches n bytes at p, which need not outlive this call. */
static inline void wiped_watch(const void *p, size_t n)
{
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_le(n, sizeof wiped.seen);
    memset(&wiped, 0, sizeof wiped);
    wiped.at = (uintptr_t)p;
    wiped.n = n;
}

/* Whether all of them were overwritten since. */
static inline bool wiped_all(void)
{
    for (size_t i = 0; i < wiped.n; i++)
        if (!wiped.seen[i])
            return false;
    return true;
}

#endif
