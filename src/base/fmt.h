/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text where printf would cost more than the number is worth: the hot path. Pure. */
#ifndef SIGFERRY_BASE_FMT_H
#define SIGFERRY_BASE_FMT_H

#include "base/str.h"

enum { FMT_U64_MAX = 20 };

/* Decimal digits of v, written to the end of out; the view points into out. */
static inline struct str fmt_u64(char out[FMT_U64_MAX], uint64_t v)
{
    size_t at = FMT_U64_MAX;
    do {
        out[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return str_n(out + at, FMT_U64_MAX - at);
}

/* Sixteen lower-case hex digits, without a NUL. */
static inline void fmt_hex64(char out[16], uint64_t v)
{
    for (int i = 15; i >= 0; i--, v >>= 4)
        out[i] = "0123456789abcdef"[v & 15];
}

#endif
