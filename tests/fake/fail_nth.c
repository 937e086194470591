/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that fail once: linked into a test, or as a library for LD_PRELOAD. The words of
 * fail_nth_page, or of the file that $SHIM_PAGE names, say (fail_nth.h):
 *   [0] what fails   [1] which call from now on, 1 for the next   [2] calls of that kind so far
 *   [3] failures so far   [4] blocks of memory in use   [5] 1: only threads named "worker…"
 * A socket that had to say EAGAIN, or gave less than there was, is armed anew in its epoll sets:
 * with edge-triggered events the kernel would tell when more is there, and so does this. */
#include "fail_nth.h"
#ifndef FAIL_NTH_OFF
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static _Atomic long own_page[FAIL_WORDS];
_Atomic long *fail_nth_page = own_page;

enum { FDS = 1024, SETS = 4 };
static struct watch {
    int set; /* the epoll descriptor, 0 for none */
    struct epoll_event event;
} watches[FDS][SETS];

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("SHIM_PAGE");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(own_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        fail_nth_page = p;
    syscall(SYS_close, fd);
}

/* Is it this call's turn? */
static bool fails(enum fail_kind kind)
{
    _Atomic long *page = fail_nth_page;
    char name[16];
    if (page[FAIL_KIND] != (long)kind ||
        (page[FAIL_WORKERS] && (prctl(PR_GET_NAME, name) != 0 || strncmp(name, "worker", 6) != 0)))
        return false;
    if (++page[FAIL_CALLS] != page[FAIL_AT])
        return false;
    page[FAIL_DONE]++;
    return true;
}

/* ---- memory ---- */

static void *counted(void *p)
{
    fail_nth_page[FAIL_BLOCKS] += p != NULL;
    return p;
}

/* libconfig and jansson go on with what they did not get, and nobody can help it: their own
 * allocations do not fail here. */
static bool exempt(const void *caller)
{
    Dl_info in;
    return dladdr(caller, &in) && in.dli_fname &&
           (strstr(in.dli_fname, "/libconfig") || strstr(in.dli_fname, "/libjansson"));
}

static bool no_memory(const void *caller)
{
    bool none = fail_nth_page[FAIL_KIND] == FAIL_ALLOC && !exempt(caller) && fails(FAIL_ALLOC);
    if (none)
        errno = ENOMEM;
    return none;
}

void *malloc(size_t n)
{
    return no_memory(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return no_memory(__builtin_return_address(0)) ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    if (no_memory(__builtin_return_address(0)))
        return NULL;
    void *q = __libc_realloc(p, n);
    fail_nth_page[FAIL_BLOCKS] += (q && !p) - (p && !q && !n);
    return q;
}

void free(void *p)
{
    fail_nth_page[FAIL_BLOCKS] -= p != NULL;
    __libc_free(p);
}

/* ---- sockets ---- */

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    int rc = (int)syscall(SYS_epoll_ctl, set, op, fd, event);
    struct watch *free_one = NULL;
    if (rc != 0 || fd >= FDS)
        return rc;
    for (struct watch *w = watches[fd]; w < watches[fd] + SETS; w++) {
        if (w->set == set)
            w->set = 0;
        if (!w->set)
            free_one = w;
    }
    if (op != EPOLL_CTL_DEL && free_one)
        *free_one = (struct watch){set, *event};
    return rc;
}

static void arm_again(int fd)
{
    for (int i = 0; fd < FDS && i < SETS; i++)
        if (watches[fd][i].set)
            (void)syscall(SYS_epoll_ctl, watches[fd][i].set, EPOLL_CTL_MOD, fd,
                          &watches[fd][i].event);
}

static mode_t type_of(int fd)
{
    struct stat st;
    return syscall(SYS_fstat, fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

static bool would_block(int fd)
{
    if (fail_nth_page[FAIL_KIND] != FAIL_AGAIN || type_of(fd) != S_IFSOCK ||
        !(fcntl(fd, F_GETFL) & O_NONBLOCK) || !fails(FAIL_AGAIN))
        return false;
    arm_again(fd);
    errno = EAGAIN;
    return true;
}

/* How many of n bytes a call may move: one of them when it is to be short. */
static size_t at_most(int fd, size_t n)
{
    if (n < 2 || fail_nth_page[FAIL_KIND] != FAIL_SHORT || type_of(fd) != S_IFSOCK ||
        !fails(FAIL_SHORT))
        return n;
    arm_again(fd);
    return 1;
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    return would_block(fd) ? -1 : syscall(SYS_recvfrom, fd, p, at_most(fd, n), flags, NULL, NULL);
}

ssize_t __recv_chk(int fd, void *p, size_t n, size_t size, int flags);
ssize_t __recv_chk(int fd, void *p, size_t n, size_t size, int flags)
{
    return n > size ? -1 : recv(fd, p, n, flags);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    return would_block(fd) ? -1 : syscall(SYS_sendto, fd, p, at_most(fd, n), flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (would_block(fd))
        return -1;
    struct msghdr one = *m;
    struct iovec first;
    if (m->msg_iovlen && at_most(fd, m->msg_iov[0].iov_len) < m->msg_iov[0].iov_len) {
        first = (struct iovec){m->msg_iov[0].iov_base, 1};
        one.msg_iov = &first;
        one.msg_iovlen = 1;
    }
    return syscall(SYS_sendmsg, fd, &one, flags);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    if (would_block(fd))
        return -1;
    if (n > 0 && at_most(fd, v[0].iov_len) < v[0].iov_len)
        return syscall(SYS_write, fd, v[0].iov_base, 1);
    return syscall(SYS_writev, fd, v, n);
}

/* ---- files, and read and write of either ---- */

static bool io_error(int fd, int error)
{
    if (fail_nth_page[FAIL_KIND] != FAIL_FILE || type_of(fd) != S_IFREG || !fails(FAIL_FILE))
        return false;
    errno = error;
    return true;
}

ssize_t read(int fd, void *p, size_t n)
{
    return would_block(fd) || io_error(fd, EIO) ? -1 : syscall(SYS_read, fd, p, at_most(fd, n));
}

ssize_t __read_chk(int fd, void *p, size_t n, size_t size);
ssize_t __read_chk(int fd, void *p, size_t n, size_t size)
{
    return n > size ? -1 : read(fd, p, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    return io_error(fd, EIO) ? -1 : syscall(SYS_pread64, fd, p, n, at);
}

ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t size);
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t size)
{
    return n > size ? -1 : pread(fd, p, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
    return would_block(fd) || io_error(fd, ENOSPC) ? -1 : syscall(SYS_write, fd, p, at_most(fd, n));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return io_error(fd, ENOSPC) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

int fstat(int fd, struct stat *st)
{
    return io_error(fd, EIO) ? -1 : (int)syscall(SYS_fstat, fd, st);
}

static bool no_descriptor(void)
{
    bool none = fails(FAIL_FILE);
    if (none)
        errno = EMFILE;
    return none;
}

int openat(int at, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;
    va_start(args, flags);
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
        mode = va_arg(args, mode_t);
    va_end(args);
    return no_descriptor() ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;
    va_start(args, flags);
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
        mode = va_arg(args, mode_t);
    va_end(args);
    return openat(AT_FDCWD, path, flags, mode);
}

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return openat(AT_FDCWD, path, flags, 0);
}

FILE *fdopen(int fd, const char *mode);
FILE *fopen(const char *path, const char *mode)
{
    int flags = (mode[0] == 'r' ? 0 : O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND)) |
                (strchr(mode, '+') ? O_RDWR
                 : mode[0] == 'r'  ? O_RDONLY
                                   : O_WRONLY) |
                (strchr(mode, 'e') ? O_CLOEXEC : 0);
    int fd = openat(AT_FDCWD, path, flags, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, mode);
    if (!f && fd >= 0)
        (void)close(fd);
    return f;
}

int mkostemp(char *path, int flags)
{
    for (int i = 0; i < 100; i++) {
        static _Atomic unsigned number;
        size_t n = strlen(path);
        (void)snprintf(path + n - 6, 7, "%06u", ((unsigned)getpid() * 131 + number++) % 1000000);
        int fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}
#else
static _Atomic long own_page[FAIL_WORDS];
_Atomic long *fail_nth_page = own_page;
#endif
