/* SPDX-License-Identifier: Apache-2.0 */
/* A view of bytes: pointer and length, never owning, never NUL-terminated by promise.
 * Everything here is pure and allocates nothing. */
#ifndef SIGFERRY_BASE_STR_H
#define SIGFERRY_BASE_STR_H

#include "base/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL only when n is 0 */
    size_t n;
};

/* A view of a string literal. */
#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
/* For printf("%.*s"): STR_ARG(s) gives the two arguments. */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}
static inline struct str str_n(const char *p, size_t n)
{
    return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c + 32) : c;
}

/* The order of the bytes, as memcmp's result; what another begins with stands before it. */
static inline int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* Equal without regard to ASCII case. */
static inline bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool str_istarts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_ieq(str_n(s.p, prefix.n), prefix);
}

static inline bool str_iends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_ieq(str_n(s.p + s.n - suffix.n, suffix.n), suffix);
}

/* Without leading and trailing spaces and tabs (RFC 9110 OWS). */
static inline struct str str_trim(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Cuts *s at the first c: returns what is before it and leaves in *s what is after.
 * Without a c, returns all and leaves *s = {NULL, 0}: a loop ends on s->p == NULL. */
static inline struct str str_cut(struct str *s, char c)
{
    struct str head = *s;
    const char *at = s->n ? memchr(s->p, c, s->n) : NULL;
    if (!at) {
        *s = (struct str){NULL, 0};
        return head;
    }
    head.n = (size_t)(at - s->p);
    s->p = at + 1;
    s->n -= head.n + 1;
    return head;
}

/* Parses 1*DIGIT, nothing else, into *out; false on anything else or when it exceeds max. */
NODISCARD static inline bool str_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        unsigned d = (unsigned)(s.p[i] - '0');
        if (d > max || v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

#endif
