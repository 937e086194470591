/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets handed over by the service manager (sd_listen_fds(3), without the library). They are
 * taken once at start, before any thread, and kept until a listener asks for them. */
#include "io/listen_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3, INHERIT_MAX = 64, NAME_MAX_LEN = 256 };

/* Written by listen_inherit, marked as taken by listen_open: the environment of the process, so it
 * belongs to the process. */
static struct inherited {
    int fd; /* -1 when closed */
    bool taken;
    char name[NAME_MAX_LEN];
} inherited[INHERIT_MAX];
static size_t ninherited;

static uint64_t env_number(const char *name, uint64_t max)
{
    uint64_t v;
    const char *text = getenv(name);
    return text && str_u64(str_of(text), max, &v) ? v : 0;
}

int listen_inherit(void)
{
    uint64_t pid = env_number("LISTEN_PID", UINT32_MAX);
    uint64_t n = env_number("LISTEN_FDS", INHERIT_MAX);
    const char *env_names = getenv("LISTEN_FDNAMES");
    struct str names = str_of(env_names ? env_names : "");
    ninherited = 0;
    if (pid == (uint64_t)getpid()) {
        for (uint64_t i = 0; i < n; i++) {
            int fd = FIRST_FD + (int)i;
            struct str name = str_cut(&names, ':');
            int flags = fcntl(fd, F_GETFD);
            if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0)
                continue; /* announced but not open */
            struct inherited *in = &inherited[ninherited++];
            in->fd = fd;
            in->taken = false;
            snprintf(in->name, sizeof in->name, "%.*s", STR_ARG(name));
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return (int)ninherited;
}

static bool int_option(int fd, int option, int *value)
{
    socklen_t len = sizeof *value;
    return getsockopt(fd, SOL_SOCKET, option, value, &len) == 0;
}

/* Fills *s for an inherited descriptor; NULL, or what is wrong with it. */
static const char *describe(int fd, struct listen_sock *s)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    int listening = 0, type = 0;
    *s = (struct listen_sock){.fd = fd, .inherited = true};
    if (!int_option(fd, SO_ACCEPTCONN, &listening) || !int_option(fd, SO_TYPE, &type) ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return "not a socket";
    if (!listening || type != SOCK_STREAM)
        return "not a listening stream socket (ListenStream= with Accept=no is needed)";
    if (sa.ss_family == AF_UNIX) {
        const struct sockaddr_un *sun = (const struct sockaddr_un *)&sa;
        s->family = LISTEN_UNIX;
        s->loopback = true;
        snprintf(s->name, sizeof s->name, "unix:%.108s", sun->sun_path);
    } else if (sa.ss_family == AF_INET || sa.ss_family == AF_INET6) {
        s->family = LISTEN_TCP;
        s->loopback = listen_is_loopback(&sa);
        s->port = listen_sockname(&sa, s->name, sizeof s->name);
    } else {
        return "neither a TCP nor a Unix socket";
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return "can't be made non-blocking";
    return NULL;
}

static struct inherited *inherited_of(int fd)
{
    for (size_t i = 0; i < ninherited; i++)
        if (inherited[i].fd == fd)
            return &inherited[i];
    return NULL;
}

void listen_return_inherited(int fd)
{
    struct inherited *in = inherited_of(fd);
    if (in)
        in->taken = false;
}

void listen_forget_inherited(int fd)
{
    struct inherited *in = inherited_of(fd);
    if (in)
        in->fd = -1;
}

/* Free, and of that name (NULL: any). */
static bool is_wanted(const struct inherited *in, const char *name)
{
    return in->fd >= 0 && !in->taken && (!name || strcmp(name, in->name) == 0);
}

bool listen_open_inherited(const struct listen_spec *spec, const char *name, struct listen_set *out,
                           char *msg, size_t msgsize)
{
    size_t before = out->n, all = ninherited;
    /* First look at all, so that a refusal leaves them with us. */
    for (size_t i = 0; i < all; i++) {
        struct listen_sock s;
        if (!is_wanted(&inherited[i], name))
            continue;
        const char *why = describe(inherited[i].fd, &s);
        if (why) {
            snprintf(msg, msgsize, "%s: inherited descriptor %d (%s): %s", spec->address,
                     inherited[i].fd, inherited[i].name, why);
            return false;
        }
        if (!s.loopback && !spec->allow_remote) {
            snprintf(msg, msgsize,
                     "%s: the inherited socket %s is not on a loopback address: set "
                     "`security.allow_remote` and require an identity, or change ListenStream= in "
                     "the .socket unit",
                     spec->address, s.name);
            return false;
        }
    }
    for (size_t i = 0; i < all; i++) {
        struct listen_sock s;
        if (!is_wanted(&inherited[i], name))
            continue;
        const char *why = describe(inherited[i].fd, &s);
        if (why)
            snprintf(msg, msgsize, "%s: inherited descriptor %d: %s", spec->address,
                     inherited[i].fd, why);
        inherited[i].taken = !why;
        if (why || !listen_append(out, &s, msg, msgsize))
            return false;
    }
    if (out->n > before)
        return true;
    if (name)
        snprintf(msg, msgsize,
                 "%s: no socket of that name was passed (FileDescriptorName= in the .socket unit)",
                 spec->address);
    else
        snprintf(
            msg, msgsize,
            "%s: no socket was passed (LISTEN_FDS); start through the .socket unit, or name an "
            "address",
            spec->address);
    return false;
}
