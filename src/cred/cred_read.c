/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and reads files with credentials. Every check is made on the opened descriptor, so that
 * what was checked is what is read. Never waits (a FIFO is refused, not opened for good) and never
 * quotes content. */
#include "cred/cred_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cred_mark mark_of(const struct stat *st)
{
    return (struct cred_mark){
        .exists = true,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .size = st->st_size,
        .mtime = st->st_mtim,
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
    };
}

static struct cred_mark mark_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct cred_mark){0};
    return mark_of(&st);
}

bool cred_mark_same(const struct cred_mark *a, const struct cred_mark *b)
{
    return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

void cred_watch_free(struct cred_watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->v[i].path);
    w->n = 0;
}

static void watch_put(struct cred_watch *w, const char *path, struct cred_mark mark)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->v[i].path, path) == 0)
            return;
    char *copy = w->n < CRED_WATCH_MAX ? strdup(path) : NULL;
    if (!copy) /* not watched: a later refresh or reload reads it all the same */
        return;
    w->v[w->n].path = copy;
    w->v[w->n++].mark = mark;
}

void cred_watch_add(struct cred_watch *w, const char *path)
{
    if (w)
        watch_put(w, path, mark_path(path));
}

bool cred_watch_changed(const struct cred_watch *w, struct cred_mark now[CRED_WATCH_MAX])
{
    bool changed = false;
    for (size_t i = 0; i < w->n; i++) {
        now[i] = mark_path(w->v[i].path);
        changed |= !cred_mark_same(&now[i], &w->v[i].mark);
    }
    return changed;
}

static bool may_read(const char *path, const struct stat *st, enum cred_read_rule rule, size_t max,
                     struct err_detail *why)
{
    if (!S_ISREG(st->st_mode)) {
        err_set(why, ERR_CREDENTIALS, "%s is not a regular file", path);
        return false;
    }
    if (st->st_size < 0 || (uintmax_t)st->st_size > max) {
        err_set(why, ERR_CREDENTIALS, "%s is larger than %zu bytes", path, max);
        return false;
    }
    if (rule == CRED_READ_EXEMPT)
        return true;
    if (st->st_uid != geteuid() && st->st_uid != 0 && geteuid() == 0) {
        err_set(why, ERR_CREDENTIALS,
                "%s belongs to user %u, and this runs as root: run it as that user (or chown the "
                "file, or set security.strict_file_permissions = false)",
                path, (unsigned)st->st_uid);
        return false;
    }
    if (st->st_uid != geteuid() && st->st_uid != 0) {
        err_set(why, ERR_CREDENTIALS,
                "%s belongs to user %u: it must belong to user %u or root (chown it, or set "
                "security.strict_file_permissions = false)",
                path, (unsigned)st->st_uid, (unsigned)geteuid());
        return false;
    }
    if (st->st_mode & 077) {
        err_set(why, ERR_CREDENTIALS,
                "%s has mode %04o: others may use it (chmod 600 it, or set "
                "security.strict_file_permissions = false)",
                path, (unsigned)(st->st_mode & 07777));
        return false;
    }
    return true;
}

static bool read_all(int fd, const char *path, struct buf *out, struct err_detail *why)
{
    for (;;) {
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        bool ok = n >= 0 && (n == 0 || buf_add(out, chunk, (size_t)n));
        int err = errno;
        explicit_bzero(chunk, sizeof chunk);
        if (n == 0)
            return true;
        if (!ok) {
            err_set(why, ERR_CREDENTIALS, "%s: %s", path,
                    n < 0 ? strerror(err) : "it grew too large while it was read");
            return false;
        }
    }
}

bool cred_read_file(const char *path, enum cred_read_rule rule, struct cred_watch *w,
                    struct buf *out, struct err_detail *why)
{
    struct stat st;
    bool ok = false;
    /* O_NONBLOCK: opening a FIFO must not wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set(why, ERR_CREDENTIALS, "%s: %s", path, strerror(errno));
        cred_watch_add(w, path);
    } else {
        if (w)
            watch_put(w, path, mark_of(&st));
        ok = may_read(path, &st, rule, out->max, why) && read_all(fd, path, out, why);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}
