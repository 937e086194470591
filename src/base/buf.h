/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a mandatory cap. One owner; no thread safety. */
#ifndef SIGFERRY_BASE_BUF_H
#define SIGFERRY_BASE_BUF_H

#include "base/attr.h"
#include "base/str.h"

struct buf {
    char *p;     /* NULL until the first byte */
    size_t n;    /* bytes in use */
    size_t size; /* bytes allocated */
    size_t max;  /* never grows beyond this */
    bool failed; /* an add did not fit or memory was short; sticky until buf_reset */
};

/* Prepares an empty buffer that will never hold more than max bytes. Allocates nothing. */
void buf_init(struct buf *b, size_t max);

/* Frees the memory; the buffer is as after buf_init. buf_free of a zeroed struct is fine. */
void buf_free(struct buf *b);

/* As buf_free, but overwrites the bytes first: for buffers that held a secret. Growing overwrites
 * what it leaves behind as well, up to 64 KiB. */
void buf_wipe(struct buf *b);

/* Empties it and clears `failed`; keeps the memory. */
void buf_reset(struct buf *b);

/* Appends n bytes. false (and b->failed) when the cap or memory does not allow it, or an earlier
 * add failed (so that the contents never have a hole); nothing is appended then. A caller may
 * ignore single results with buf_put and look at b->failed once. */
NODISCARD bool buf_add(struct buf *b, const void *p, size_t n);

/* buf_add for chains of appends whose success is checked once, through b->failed. */
void buf_put(struct buf *b, const void *p, size_t n);
static inline void buf_puts(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}
static inline void buf_putz(struct buf *b, const char *z)
{
    buf_put(b, z, strlen(z));
}
static inline void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

/* printf into the buffer; errors as buf_put. */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Makes room for n more bytes; false as buf_add. The room is at b->p + b->n. */
NODISCARD bool buf_reserve(struct buf *b, size_t n);

/* Drops the first n bytes (n <= b->n), moving the rest down. */
void buf_shift(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

/* NUL-terminates without counting the NUL and returns the bytes; NULL when there is no room, which
 * leaves b->failed as it is. */
NODISCARD const char *buf_cstr(struct buf *b);

/* Asserts the invariants; called at the entry of every function in buf.c. */
void buf_sane(const struct buf *b);

#endif
