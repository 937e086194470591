/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: TCP, Unix, inherited; opening them, accepting from them, who the peer is.
 * A listener is opened once by the daemon and shared by the workers' loops (EPOLLEXCLUSIVE). */
#ifndef SIGFERRY_IO_LISTEN_H
#define SIGFERRY_IO_LISTEN_H

#include "base/str.h"
#include "io/loop.h"
#include <sys/types.h>

struct listen_spec {
    const char *address; /* "HOST:PORT", ":PORT", "PORT", "[::1]:PORT", "unix:/path", "systemd" or
                            "systemd:NAME" */
    const char *mode;    /* of a Unix socket, octal text; NULL or "": 0600 */
    const char *owner, *group; /* names or numbers; NULL or "": ours */
    bool allow_remote;         /* a non-loopback address is refused without it */
};

enum listen_family { LISTEN_TCP, LISTEN_UNIX };

/* One bound socket. An address such as localhost:8750 opens more than one. */
struct listen_sock {
    int fd;
    enum listen_family family;
    unsigned port; /* TCP: the port really bound (with port 0: the system's choice) */
    bool loopback;
    bool inherited;
    char name[128];    /* for logs: "127.0.0.1:8750", "unix:/run/…" */
    char *unlink_path; /* Unix: removed by listen_close; NULL for inherited ones */
    dev_t dev;         /* which file unlink_path was when bound: another one is left alone */
    ino_t ino;
};

struct listen_set {
    struct listen_sock *v;
    size_t n;
};

/* Opens all sockets of a spec into *out (appended). On failure says why in msg (address, reason,
 * what to do) and leaves *out as it was. An address in use names the holder where known; a stale
 * Unix socket nobody listens on is replaced, any other existing file is refused. The umask is set
 * before a Unix socket is bound. */
NODISCARD bool listen_open(const struct listen_spec *spec, struct listen_set *out, char *msg,
                           size_t msgsize);

/* Closes all, removes Unix paths that are still ours. */
void listen_close(struct listen_set *set);
/* The same, but those of the service manager stay open and can be opened again: it hands them over
 * only once. */
void listen_give_back(struct listen_set *set);

/* Takes over sockets from the service manager (LISTEN_FDS, LISTEN_FDNAMES); returns how many there
 * are, marks them close-on-exec and unsets the variables. Call once, before threads. Each can be
 * opened ("systemd", "systemd:NAME") by one set at a time. */
int listen_inherit(void);

/* True when an upstream at that address would be this process itself: it is the address of one of
 * its open TCP listeners, or a local address with the port of a listener on all addresses. Any
 * thread. */
struct sockaddr;
NODISCARD bool listen_is_own(const struct sockaddr *sa);

/* Who connected. */
struct peer {
    enum listen_family family;
    char addr[64]; /* "127.0.0.1:51234" or "unix" */
    bool has_cred; /* Unix: by SO_PEERCRED */
    uid_t uid;
    gid_t gid;
    pid_t pid;
};

/* Accepts one connection, non-blocking and close-on-exec, with TCP_NODELAY; fills *peer. Returns
 * the descriptor, or -1 with errno: EAGAIN: none left; EMFILE, ENFILE, ENOBUFS, ENOMEM: the
 * connection stays queued and the listener readable, so the caller must stop watching it for a
 * while. sa/salen give what MHD_add_connection wants. */
struct sockaddr_storage;
int listen_accept(const struct listen_sock *l, struct peer *peer, struct sockaddr_storage *sa,
                  unsigned *salen);

/* The uid that made the other end of a loopback TCP connection, through sock_diag; false when it
 * can't be told (not loopback, closed already, no AF_NETLINK). */
NODISCARD bool listen_tcp_peer_uid(int fd, uid_t *uid);

#endif
