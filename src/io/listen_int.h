/* SPDX-License-Identifier: Apache-2.0 */
/* What the listen_*.c files share among themselves; nobody else includes it. */
#ifndef SIGFERRY_IO_LISTEN_INT_H
#define SIGFERRY_IO_LISTEN_INT_H

#include "io/listen.h"
#include <sys/socket.h>

enum { LISTEN_BACKLOG = 4096 };

/* 127.0.0.0/8, ::1 and the IPv4 ones written as ::ffff:127.x.x.x. */
bool listen_is_loopback(const struct sockaddr_storage *sa);
/* "127.0.0.1:80", "[::1]:80"; "?" for other families. Returns the port. */
unsigned listen_sockname(const struct sockaddr_storage *sa, char *out, size_t size);

/* Appends; closes s->fd, or gives it back, and says so in msg when memory is short. */
NODISCARD bool listen_append(struct listen_set *set, const struct listen_sock *s, char *msg,
                             size_t msgsize);

/* Opens spec->address = "unix:PATH" and appends it. */
NODISCARD bool listen_open_unix(const struct listen_spec *spec, struct listen_set *out, char *msg,
                                size_t msgsize);
/* Takes the inherited sockets called name (NULL: all that are left) and appends them. */
NODISCARD bool listen_open_inherited(const struct listen_spec *spec, const char *name,
                                     struct listen_set *out, char *msg, size_t msgsize);

/* An inherited descriptor is free to be opened again. */
void listen_return_inherited(int fd);
/* An inherited descriptor is closed. */
void listen_forget_inherited(int fd);

/* Who listens on this TCP address: "pid 123 (nginx)" into out; false when that can't be found out
 * (another user's process, no /proc). */
NODISCARD bool listen_holder(const struct sockaddr_storage *sa, char *out, size_t size);
/* "pid 123 (nginx)" for a process id. */
void listen_name_pid(long pid, char *out, size_t size);

#endif
