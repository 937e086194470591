/* SPDX-License-Identifier: Apache-2.0 */
/* A request body: in memory up to a limit, then in an unlinked temporary file. Written once, front
 * to back, read as often as retries need. */
#ifndef SIGFERRY_IO_SPOOL_H
#define SIGFERRY_IO_SPOOL_H

#include "base/buf.h"
#include "base/err.h"

struct spool {
    struct buf mem; /* bytes while fd is -1 */
    int fd;         /* -1 while in memory */
    uint64_t size;  /* bytes so far */
    size_t mem_max;
    uint64_t max;
};

/* mem_max: bytes kept in memory; max: most bytes at all. Allocates nothing. */
void spool_init(struct spool *s, size_t mem_max, uint64_t max);
/* Other limits for an empty spool; keeps its memory. */
void spool_limits(struct spool *s, size_t mem_max, uint64_t max);
/* Empties it; keeps at most keep bytes of memory allocated. */
void spool_reset(struct spool *s, size_t keep);
void spool_free(struct spool *s);

/* n bytes are announced: room for them is made at once when they are to stay in memory. */
void spool_expect(struct spool *s, uint64_t n);
/* Appends. ERR_BODY_TOO_LARGE beyond max; ERR_OVERLOADED when memory or the disk is short (errno
 * in the log). */
NODISCARD enum err spool_write(struct spool *s, const char *p, size_t n);

/* Up to n bytes from offset: a view (into memory, or into scratch of n bytes when in a file).
 * Empty at the end; {NULL, 0} with errno on a read error. */
NODISCARD struct str spool_read(const struct spool *s, uint64_t offset, char *scratch, size_t n);

/* Bytes held in memory, for the buffered-bytes gauge. */
static inline size_t spool_mem(const struct spool *s)
{
    return s->fd < 0 ? s->mem.n : 0;
}

#endif
