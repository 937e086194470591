/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes, and a few words that C lacks, spelled once. */
#ifndef SIGFERRY_BASE_ATTR_H
#define SIGFERRY_BASE_ATTR_H

#include <string.h>

/* The caller must look at the result: it is an error or owns something. */
#define NODISCARD __attribute__((warn_unused_result))
/* Checked like printf: the format is argument f, the first value argument a. */
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
/* Rarely taken: kept out of the hot code's cache lines. */
#define COLD __attribute__((cold, noinline))

/* Built with AddressSanitizer (gcc and clang say it differently). */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

/* p without its const, for libraries whose prototypes say const, or no const, against what they do:
 * the caller says which. */
static inline void *drop_const(const void *p)
{
    void *q;
    memcpy(&q, &p, sizeof q);
    return q;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* The structure of type t whose member m is at p. */
#define CONTAINER_OF(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))

#endif
