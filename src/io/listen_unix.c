/* SPDX-License-Identifier: Apache-2.0 */
/* Unix listeners. The socket file never exists with more permissions than asked for; a stale one is
 * replaced, anything else that is in the way is refused and left alone. */
#include "io/listen_int.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { NAMES_MAX = 64 * 1024, DEFAULT_MODE = 0600, LOCK_TRIES = 100, LOCK_PAUSE_MS = 10 };

static bool is_set(const char *s)
{
    return s && s[0];
}

static bool parse_mode(const struct listen_spec *spec, mode_t *out, char *msg, size_t msgsize)
{
    *out = DEFAULT_MODE;
    if (!is_set(spec->mode))
        return true;
    unsigned v = 0;
    size_t n = strlen(spec->mode);
    if (n <= 4 && strspn(spec->mode, "01234567") == n)
        for (size_t i = 0; i < n; i++)
            v = v * 8 + (unsigned)(spec->mode[i] - '0');
    if (n > 4 || strspn(spec->mode, "01234567") != n || v > 0777) {
        snprintf(msg, msgsize, "%s: mode \"%.32s\": expected octal permissions such as \"0660\"",
                 spec->address, spec->mode);
        return false;
    }
    *out = (mode_t)v;
    return true;
}

/* A user or group by name or number; -1 (ours) when not set. */
static bool parse_id(const struct listen_spec *spec, bool group, uint32_t *out, char *msg,
                     size_t msgsize)
{
    const char *name = group ? spec->group : spec->owner;
    *out = (uint32_t)-1;
    if (!is_set(name))
        return true;
    uint64_t number;
    if (str_u64(str_of(name), UINT32_MAX - 1, &number)) {
        *out = (uint32_t)number;
        return true;
    }
    char *space = malloc(NAMES_MAX);
    struct passwd pw, *pwp = NULL;
    struct group gr, *grp = NULL;
    int rc = ENOMEM;
    if (space)
        rc = group ? getgrnam_r(name, &gr, space, NAMES_MAX, &grp)
                   : getpwnam_r(name, &pw, space, NAMES_MAX, &pwp);
    if (grp)
        *out = grp->gr_gid;
    if (pwp)
        *out = pwp->pw_uid;
    free(space);
    if (grp || pwp)
        return true;
    snprintf(msg, msgsize, "%s: %s \"%.64s\": %s", spec->address, group ? "group" : "owner", name,
             rc ? strerror(rc) : "no such name on this system");
    return false;
}

/* Is a process behind the socket file? 1: yes (named in holder), 0: nobody, -1: errno says why it
 * can't be told. */
static int someone_listens(const struct sockaddr_un *sun, char *holder, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int rc = connect(fd, (const struct sockaddr *)sun, sizeof *sun);
    int e = rc == 0 ? 0 : errno;
    struct ucred cred;
    socklen_t len = sizeof cred;
    snprintf(holder, size, "another process");
    if (e == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        listen_name_pid((long)cred.pid, holder, size);
    close(fd);
    if (e == 0 || e == EAGAIN || e == EPROTOTYPE) /* a full queue; a datagram socket */
        return 1;
    if (e == ECONNREFUSED || e == ENOENT)
        return 0;
    errno = e;
    return -1;
}

/* Several that find the same stale socket replace it one after the other: else the second removes
 * what the first has bound since. Returns the descriptor that holds the lock, on the directory, so
 * that no file is needed. -1: it can't be locked, or somebody keeps it locked; then without. */
static int lock_directory(const struct sockaddr_un *sun)
{
    struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};
    char dir[sizeof sun->sun_path];
    size_t n = (size_t)(strrchr(sun->sun_path, '/') - sun->sun_path);
    snprintf(dir, sizeof dir, "%.*s/", (int)n, sun->sun_path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == LOCK_TRIES) {
            close(fd);
            return -1;
        }
        (void)nanosleep(&pause, NULL); /* an early end only tries again */
    }
    return fd;
}

/* Makes sure that nothing is at the path: removes a socket file of ours (or of the owner that ours
 * are given to) that nobody listens on. */
static bool clear_path(const struct sockaddr_un *sun, uint32_t owner, char *msg, size_t msgsize)
{
    struct stat st;
    char holder[96];
    if (lstat(sun->sun_path, &st) != 0) {
        if (errno == ENOENT)
            return true;
        snprintf(msg, msgsize, "unix:%s: %s", sun->sun_path, strerror(errno));
        return false;
    }
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(msg, msgsize,
                 "unix:%s: the file exists and is not a socket; remove it or choose another path",
                 sun->sun_path);
        return false;
    }
    if (st.st_uid != geteuid() && st.st_uid != owner) {
        snprintf(
            msg, msgsize,
            "unix:%s: a socket of user %u is there, which is not ours to replace; remove it or "
            "choose another path",
            sun->sun_path, (unsigned)st.st_uid);
        return false;
    }
    int rc = someone_listens(sun, holder, sizeof holder);
    if (rc > 0)
        snprintf(
            msg, msgsize,
            "unix:%s: already in use by %s; stop it, or change `listen` (-l), or `admin.listen` "
            "(--admin) for the admin address",
            sun->sun_path, holder);
    else if (rc < 0 || (unlink(sun->sun_path) != 0 && errno != ENOENT))
        snprintf(msg, msgsize, "unix:%s: a socket is there and can't be replaced: %s",
                 sun->sun_path, strerror(errno));
    else
        return true;
    return false;
}

/* Binds without ever showing wider permissions than mode, then hands over to owner and group. */
static bool bind_path(int fd, const struct sockaddr_un *sun, mode_t mode, uint32_t owner,
                      uint32_t group)
{
    bool give = owner != (uint32_t)-1 || group != (uint32_t)-1;
    /* While the file still has our group, that group gets nothing. */
    mode_t old = umask(0777 & ~(give ? mode & 0700 : mode));
    int rc = bind(fd, (const struct sockaddr *)sun, sizeof *sun);
    int e = errno;
    umask(old);
    errno = e;
    if (rc != 0)
        return false;
    if ((give && (lchown(sun->sun_path, owner, group) != 0 || chmod(sun->sun_path, mode) != 0)) ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        e = errno;
        unlink(sun->sun_path);
        errno = e;
        return false;
    }
    return true;
}

static void explain(const struct sockaddr_un *sun, int e, char *msg, size_t msgsize)
{
    const char *hint = "";
    if (e == ENOENT)
        hint = "; create its directory first (RuntimeDirectory= in a unit)";
    else if (e == EACCES || e == EPERM)
        hint =
            "; the directory must be ours to write, and giving a socket to another owner or group "
            "needs to be in that group or root";
    snprintf(msg, msgsize, "unix:%s: %s%s", sun->sun_path, strerror(e), hint);
}

/* Binds a socket to the path and appends it. */
static bool take_path(const struct sockaddr_un *sun, mode_t mode, uint32_t owner, uint32_t group,
                      struct listen_set *out, char *msg, size_t msgsize)
{
    struct listen_sock s = {.fd = -1, .family = LISTEN_UNIX, .loopback = true};
    snprintf(s.name, sizeof s.name, "unix:%s", sun->sun_path);
    s.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    s.unlink_path = strdup(sun->sun_path);
    struct stat st;
    if (s.fd < 0 || !s.unlink_path || !bind_path(s.fd, sun, mode, owner, group) ||
        lstat(sun->sun_path, &st) != 0) {
        explain(sun, errno, msg, msgsize);
        if (s.fd >= 0)
            close(s.fd);
        free(s.unlink_path);
        return false;
    }
    s.dev = st.st_dev;
    s.ino = st.st_ino;
    if (!listen_append(out, &s, msg, msgsize)) {
        unlink(sun->sun_path);
        free(s.unlink_path);
        return false;
    }
    return true;
}

bool listen_open_unix(const struct listen_spec *spec, struct listen_set *out, char *msg,
                      size_t msgsize)
{
    const char *path = spec->address + sizeof "unix:" - 1;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    mode_t mode;
    uint32_t owner, group;
    if (path[0] != '/') {
        snprintf(msg, msgsize, "%s: expected an absolute path: unix:/run/sigferry/sock",
                 spec->address);
        return false;
    }
    if (strlen(path) >= sizeof sun.sun_path) {
        snprintf(msg, msgsize, "%s: the path has %zu bytes, a Unix socket's may have %zu",
                 spec->address, strlen(path), sizeof sun.sun_path - 1);
        return false;
    }
    memcpy(sun.sun_path, path, strlen(path) + 1);
    if (!parse_mode(spec, &mode, msg, msgsize) || !parse_id(spec, false, &owner, msg, msgsize) ||
        !parse_id(spec, true, &group, msg, msgsize))
        return false;
    int lock = lock_directory(&sun);
    bool ok = clear_path(&sun, owner, msg, msgsize) &&
              take_path(&sun, mode, owner, group, out, msg, msgsize);
    if (lock >= 0)
        close(lock);
    return ok;
}
