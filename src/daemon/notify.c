/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify by hand: one datagram a message to the socket that NOTIFY_SOCKET names. Never blocks
 * and never fails the daemon. */
#include "daemon/notify.h"

#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The environment's, read once before threads. */
static struct sockaddr_un manager;
static socklen_t manager_len; /* 0: nobody listens */
static uint64_t watchdog_ns;

/* "/path", or "@name" for the abstract namespace; anything else (vsock:…) is not for us. */
static void read_socket(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    manager_len = 0;
    if (n < 2 || (name[0] != '/' && name[0] != '@'))
        return;
    if (n >= sizeof manager.sun_path) {
        log_msg(LOG_WARN, "NOTIFY_SOCKET has %zu bytes, a Unix socket's address may have %zu", n,
                sizeof manager.sun_path - 1);
        return;
    }
    memset(&manager, 0, sizeof manager);
    manager.sun_family = AF_UNIX;
    memcpy(manager.sun_path, name, n);
    /* A path ends with its NUL, an abstract name with its last byte. */
    manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
    if (name[0] == '@')
        manager.sun_path[0] = '\0';
}

static void read_watchdog(const char *usec, const char *pid)
{
    uint64_t us, id;
    watchdog_ns = 0;
    if (!usec || !str_u64(str_of(usec), UINT64_MAX / 1000, &us) || us == 0)
        return;
    if (pid && (!str_u64(str_of(pid), UINT32_MAX, &id) || id != (uint64_t)getpid()))
        return; /* meant for our parent */
    watchdog_ns = us * 1000 / 2;
}

void notify_init(bool unset)
{
    read_socket(getenv("NOTIFY_SOCKET"));
    read_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    if (unset) {
        unsetenv("NOTIFY_SOCKET");
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
    }
}

uint64_t notify_watchdog_ns(void)
{
    return manager_len ? watchdog_ns : 0;
}

bool notify_send(const char *lines)
{
    if (!manager_len)
        return true;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ssize_t n;
    do {
        n = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                   (const struct sockaddr *)&manager, manager_len);
    } while (n < 0 && errno == EINTR);
    int e = errno;
    close(fd);
    errno = e;
    return n >= 0;
}

/* Sends lines plus STATUS=status on one line of its own. */
static void send_with_status(const char *lines, const char *status)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s%s%s", lines, status ? "\nSTATUS=" : "",
                     status ? status : "");
    for (size_t i = strlen(lines) + 1; i < sizeof text && n > 0 && i < (size_t)n && text[i]; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    if (!notify_send(text))
        log_msg(LOG_WARN, "the service manager could not be told \"%.40s\": %s", lines,
                strerror(errno));
}

void notify_ready(const char *status)
{
    send_with_status("READY=1", status);
}

void notify_reloading(void)
{
    struct timespec t = {0, 0};
    char text[64];
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail */
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
    send_with_status(text, NULL);
}

void notify_stopping(const char *status)
{
    send_with_status("STOPPING=1", status);
}

void notify_watchdog(void)
{
    send_with_status("WATCHDOG=1", NULL);
}
