/* SPDX-License-Identifier: Apache-2.0 */
/* A request body, in memory while it is small, in a file without a name once it is not. The file
 * belongs to the spool alone and vanishes with its descriptor. One owner; no thread safety. */
#include "io/spool.h"

#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void spool_init(struct spool *s, size_t mem_max, uint64_t max)
{
    *s = (struct spool){.fd = -1, .mem_max = mem_max, .max = max};
    buf_init(&s->mem, mem_max);
}

void spool_limits(struct spool *s, size_t mem_max, uint64_t max)
{
    if (s->mem.size > mem_max)
        buf_free(&s->mem);
    s->mem.max = s->mem_max = mem_max;
    s->max = max;
}

void spool_reset(struct spool *s, size_t keep)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
    s->size = 0;
    if (s->mem.size > keep)
        buf_free(&s->mem);
    buf_reset(&s->mem);
    /* buf_free leaves it as buf_init(…, max) did, so the cap stays. */
}

void spool_free(struct spool *s)
{
    spool_reset(s, 0);
}

/* A file that has, or keeps, no name in this directory; -1 with errno. */
static int open_unnamed(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
        return fd;
    /* A file system without O_TMPFILE (overlay, NFS, old kernels). */
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/sigferry-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0 && unlink(path) != 0) { /* a body must not stay behind */
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static int open_temporary(void)
{
    const char *given = secure_getenv("TMPDIR");
    const char *dirs[] = {given && given[0] == '/' ? given : NULL, "/var/tmp", "/tmp"};
    int first_errno = 0;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        if (!dirs[i])
            continue;
        int fd = open_unnamed(dirs[i]);
        if (fd >= 0)
            return fd;
        if (!first_errno)
            first_errno = errno;
    }
    errno = first_errno;
    return -1;
}

static bool write_at(int fd, uint64_t offset, const char *p, size_t n)
{
    while (n) {
        ssize_t w = pwrite(fd, p, n, (off_t)offset);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            if (w == 0)
                errno = ENOSPC;
            return false;
        }
        p += w;
        n -= (size_t)w;
        offset += (uint64_t)w;
    }
    return true;
}

/* Moves what is in memory to a file. */
static bool spill(struct spool *s)
{
    int fd = open_temporary();
    if (fd < 0)
        return false;
    if (!write_at(fd, 0, s->mem.p, s->mem.n)) {
        int e = errno;
        close(fd);
        errno = e;
        return false;
    }
    s->fd = fd;
    buf_free(&s->mem);
    return true;
}

void spool_expect(struct spool *s, uint64_t n)
{
    /* Growing by doubling would copy, and wipe, as much again. Short of memory, the write says so.
     */
    if (s->fd < 0 && n <= s->mem_max && n > s->mem.size)
        (void)!buf_reserve(&s->mem, (size_t)n - s->mem.n);
}

enum err spool_write(struct spool *s, const char *p, size_t n)
{
    if (s->size > s->max || n > s->max - s->size)
        return ERR_BODY_TOO_LARGE;
    if (n == 0)
        return ERR_OK;
    if (s->fd < 0 && n <= s->mem_max - s->mem.n) {
        if (!buf_add(&s->mem, p, n)) {
            log_msg(LOG_ERROR, "request body: no memory for %zu bytes", n);
            return ERR_OVERLOADED;
        }
        s->size += n;
        return ERR_OK;
    }
    if ((s->fd < 0 && !spill(s)) || !write_at(s->fd, s->size, p, n)) {
        log_msg(LOG_ERROR, "request body: temporary file (TMPDIR, /var/tmp, /tmp): %s",
                strerror(errno));
        return ERR_OVERLOADED;
    }
    s->size += n; /* only what is complete counts: a failed write is overwritten by the next */
    return ERR_OK;
}

struct str spool_read(const struct spool *s, uint64_t offset, char *scratch, size_t n)
{
    if (offset >= s->size || n == 0)
        return STR("");
    if (n > s->size - offset)
        n = (size_t)(s->size - offset);
    if (s->fd < 0)
        return str_n(s->mem.p + offset, n);
    ssize_t r;
    do {
        r = pread(s->fd, scratch, n, (off_t)offset);
    } while (r < 0 && errno == EINTR);
    if (r > 0)
        return str_n(scratch, (size_t)r);
    if (r == 0) /* shorter than what was written: someone cut it through /proc */
        errno = EIO;
    return (struct str){NULL, 0};
}
