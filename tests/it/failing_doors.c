/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD: the next [0] calls of accept4 find no descriptor left, and the next [1]
 * attempts to watch one more no memory. */
#include "shim_page.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((constructor)) static void attach(void)
{
    page_attach(getenv("SHIM_PAGE"));
}

static int fails(int slot, int error)
{
    if (!page || page[slot] <= 0)
        return 0;
    page[slot]--;
    errno = error;
    return 1;
}

int accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    return fails(0, EMFILE) ? -1 : (int)syscall(SYS_accept4, fd, sa, len, flags);
}

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD && fails(1, ENOMEM))
        return -1;
    return (int)syscall(SYS_epoll_ctl, set, op, fd, event);
}
