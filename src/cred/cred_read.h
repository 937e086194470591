/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files that hold credentials: what may be opened, how large it may be, and how a change is
 * noticed later. For src/cred, and for sigferry check, which looks at the same files. */
#ifndef SIGFERRY_CRED_READ_H
#define SIGFERRY_CRED_READ_H

#include "base/buf.h"
#include "base/err.h"
#include <sys/types.h>
#include <time.h>

/* A file's identity at one moment, and what decides whether it may be read; all zero when it could
 * not be looked at. Not its ctime: a chmod to the same mode, a label or a hard link changes that
 * and nothing that matters here. */
struct cred_mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    bool exists;
};

/* Files that a fetch looked at. Zero-initialise. */
enum { CRED_WATCH_MAX = 6 };
struct cred_watch {
    size_t n;
    struct {
        char *path;
        struct cred_mark mark;
    } v[CRED_WATCH_MAX];
};
void cred_watch_free(struct cred_watch *w);
/* Notes path as it is now; a path that is noted already keeps its first mark. */
void cred_watch_add(struct cred_watch *w, const char *path);
/* Looks at the files again: true when one is not what it was noted as. now[] gets what is seen. */
bool cred_watch_changed(const struct cred_watch *w, struct cred_mark now[CRED_WATCH_MAX]);
bool cred_mark_same(const struct cred_mark *a, const struct cred_mark *b);

enum cred_read_rule {
    CRED_READ_STRICT, /* owner self or root, nobody else has any access */
    CRED_READ_EXEMPT, /* only regular and small */
};

/* Opens path (symbolic links are followed), applies the rule to the descriptor and appends the
 * content to out, whose max is the largest size allowed. The file is noted in w unless w is NULL.
 * false with why set: the path, what is wrong, the cure. The caller wipes out. */
NODISCARD bool cred_read_file(const char *path, enum cred_read_rule rule, struct cred_watch *w,
                              struct buf *out, struct err_detail *why);

#endif
