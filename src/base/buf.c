/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a mandatory cap. Owns the memory behind struct buf.
 * Never grows past the cap, never leaves a copy of small contents behind when it moves them. */
#include "base/buf.h"
#include "base/secret.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FIRST_SIZE = 256,
    /* Secrets are smaller than this. Bigger contents are bodies, where realloc saves the copy. */
    WIPE_ON_GROW_MAX = 64 * 1024,
};

void buf_sane(const struct buf *b)
{
    assert(b->n <= b->size);
    assert(b->size <= b->max);
    assert((b->p == NULL) == (b->size == 0));
    (void)b;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    buf_sane(b);
    free(b->p);
    buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
    buf_sane(b);
    if (b->p)
        secret_wipe(b->p, b->size);
    buf_free(b);
}

void buf_reset(struct buf *b)
{
    buf_sane(b);
    b->n = 0;
    b->failed = false;
}

static char *resize(const struct buf *b, size_t size)
{
    if (b->size > WIPE_ON_GROW_MAX)
        return realloc(b->p, size);
    char *p = malloc(size);
    if (!p)
        return NULL;
    if (b->p) {
        memcpy(p, b->p, b->n);
        secret_wipe(b->p, b->size);
        free(b->p);
    }
    return p;
}

/* Makes room for n more bytes without touching `failed`. */
static bool grow(struct buf *b, size_t n)
{
    if (n <= b->size - b->n)
        return true;
    if (n > b->max - b->n)
        return false;
    size_t need = b->n + n;
    size_t size = b->size > b->max / 2 ? b->max : b->size * 2;
    if (size < need)
        size = need;
    if (size < FIRST_SIZE)
        size = b->max < FIRST_SIZE ? b->max : FIRST_SIZE;
    char *p = resize(b, size);
    if (!p)
        return false;
    b->p = p;
    b->size = size;
    return true;
}

bool buf_reserve(struct buf *b, size_t n)
{
    buf_sane(b);
    if (b->failed || !grow(b, n)) {
        b->failed = true;
        return false;
    }
    return true;
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
    if (!buf_reserve(b, n))
        return false;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    return true;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    /* The result is in b->failed, which the caller looks at once. */
    bool ok = buf_add(b, p, n);
    (void)ok;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    buf_sane(b);
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (len < 0) {
        b->failed = true;
    } else if ((size_t)len < sizeof(small)) {
        buf_put(b, small, (size_t)len);
    } else {
        /* vsnprintf writes a NUL too, which a buffer that is exactly full has no room for. */
        char *big = malloc((size_t)len + 1);
        if (big && vsnprintf(big, (size_t)len + 1, fmt, again) == len)
            buf_put(b, big, (size_t)len);
        else
            b->failed = true;
        if (big)
            secret_wipe(big, (size_t)len);
        free(big);
    }
    va_end(again);
    secret_wipe(small, sizeof(small));
}

void buf_shift(struct buf *b, size_t n)
{
    buf_sane(b);
    assert(n <= b->n);
    if (n == 0)
        return;
    b->n -= n;
    memmove(b->p, b->p + n, b->n);
}

const char *buf_cstr(struct buf *b)
{
    buf_sane(b);
    if (!grow(b, 1))
        return NULL;
    b->p[b->n] = '\0';
    return b->p;
}
