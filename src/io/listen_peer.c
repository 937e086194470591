/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections, and who is at their other end: SO_PEERCRED for Unix sockets, sock_diag for
 * loopback TCP. Keeps no state. */
#include "io/listen_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ABORTED_MAX = 64 };

/* Errors of the connection that was next in the queue, not of the listener: accept(2) says to go on
 * with the one behind it. */
static bool is_aborted(int e)
{
    return e == ECONNABORTED || e == EINTR || e == EPROTO || e == ENOPROTOOPT || e == ENETDOWN ||
           e == EHOSTDOWN || e == ENONET || e == EHOSTUNREACH || e == EOPNOTSUPP ||
           e == ENETUNREACH || e == EPERM;
}

/* ::ffff:a.b.c.d becomes a.b.c.d, for what a dual-stack socket inherited from outside accepts. */
static void unmap(struct sockaddr_storage *sa, socklen_t *len)
{
    const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)sa;
    if (sa->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&s6->sin6_addr))
        return;
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = s6->sin6_port};
    memcpy(&s4.sin_addr, s6->sin6_addr.s6_addr + 12, 4);
    memcpy(sa, &s4, sizeof s4);
    *len = sizeof s4;
}

static void name_tcp_peer(const struct sockaddr_storage *sa, struct peer *peer)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *s4 = (const struct sockaddr_in *)sa;
        if (inet_ntop(AF_INET, &s4->sin_addr, ip, sizeof ip))
            snprintf(peer->addr, sizeof peer->addr, "%s:%u", ip, ntohs(s4->sin_port));
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)sa;
        if (inet_ntop(AF_INET6, &s6->sin6_addr, ip, sizeof ip))
            snprintf(peer->addr, sizeof peer->addr, "[%s]:%u", ip, ntohs(s6->sin6_port));
    }
}

int listen_accept(const struct listen_sock *l, struct peer *peer, struct sockaddr_storage *sa,
                  unsigned *salen)
{
    int fd = -1;
    socklen_t len = 0;
    for (int i = 0; i < ABORTED_MAX; i++) {
        memset(sa, 0, sizeof *sa);
        len = sizeof *sa;
        fd = accept4(l->fd, (struct sockaddr *)sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 || !is_aborted(errno))
            break;
    }
    if (fd < 0) {
        if (is_aborted(errno))
            errno = EAGAIN; /* still readable: the next turn goes on */
        return -1;
    }
    memset(peer, 0, sizeof *peer);
    peer->family = l->family;
    if (l->family == LISTEN_UNIX) {
        /* The client's own path (up to 108 bytes, it chooses them) is of no use to anyone. */
        memset(sa, 0, sizeof *sa);
        sa->ss_family = AF_UNIX;
        *salen = sizeof sa->ss_family;
        snprintf(peer->addr, sizeof peer->addr, "unix");
        struct ucred cred;
        socklen_t clen = sizeof cred;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &clen) == 0 && clen == sizeof cred) {
            peer->has_cred = true;
            peer->uid = cred.uid;
            peer->gid = cred.gid;
            peer->pid = cred.pid;
        }
        return fd;
    }
    unmap(sa, &len);
    *salen = len;
    name_tcp_peer(sa, peer);
    int one = 1; /* without it answers would only be later: no reason to refuse the client */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void put_endpoint(const struct sockaddr_storage *sa, __be32 addr[4], __be16 *port)
{
    if (sa->ss_family == AF_INET) {
        struct sockaddr_in s4;
        memcpy(&s4, sa, sizeof s4);
        memcpy(addr, &s4.sin_addr, 4);
        *port = s4.sin_port;
    } else {
        struct sockaddr_in6 s6;
        memcpy(&s6, sa, sizeof s6);
        memcpy(addr, &s6.sin6_addr, 16);
        *port = s6.sin6_port;
    }
}

struct diag_query {
    struct nlmsghdr h;
    struct inet_diag_req_v2 r;
};

/* Asks the kernel for the one TCP socket whose own address is src and whose peer is dst. */
static bool diag_ask(int nl, const struct sockaddr_storage *src, const struct sockaddr_storage *dst,
                     struct inet_diag_msg *out)
{
    struct diag_query q = {.h = {.nlmsg_len = sizeof q,
                                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                                 .nlmsg_flags = NLM_F_REQUEST},
                           .r = {.sdiag_family = (uint8_t)src->ss_family,
                                 .sdiag_protocol = IPPROTO_TCP,
                                 .idiag_states = UINT32_MAX,
                                 .id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
    put_endpoint(src, q.r.id.idiag_src, &q.r.id.idiag_sport);
    put_endpoint(dst, q.r.id.idiag_dst, &q.r.id.idiag_dport);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n;
    do {
        n = sendto(nl, &q, sizeof q, 0, (const struct sockaddr *)&kernel, sizeof kernel);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof q)
        return false;
    union {
        struct nlmsghdr h;
        char bytes[4096];
    } a;
    /* The kernel answers within sendto: nothing to wait for. */
    n = recv(nl, &a, sizeof a, MSG_DONTWAIT);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof *out) || a.h.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        a.h.nlmsg_len < NLMSG_LENGTH(sizeof *out))
        return false;
    memcpy(out, NLMSG_DATA(&a.h), sizeof *out);
    return out->id.idiag_sport == q.r.id.idiag_sport && out->id.idiag_dport == q.r.id.idiag_dport;
}

bool listen_tcp_peer_uid(int fd, uid_t *uid)
{
    struct sockaddr_storage mine = {0}, peer = {0};
    socklen_t mlen = sizeof mine, plen = sizeof peer;
    if (getsockname(fd, (struct sockaddr *)&mine, &mlen) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &plen) != 0)
        return false;
    unmap(&mine, &mlen);
    unmap(&peer, &plen);
    if (mine.ss_family != peer.ss_family || !listen_is_loopback(&peer))
        return false;
    int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (nl < 0)
        return false;
    struct inet_diag_msg m;
    bool ok = diag_ask(nl, &peer, &mine, &m);
    close(nl);
    /* A closed socket that only the kernel still holds (TIME_WAIT, orphaned) has no inode and shows
     * uid 0; a listener may answer for a port whose connection is gone. Neither tells who asked. */
    bool alive = ok && m.idiag_inode != 0 &&
                 (m.idiag_state == TCP_ESTABLISHED || m.idiag_state == TCP_FIN_WAIT1 ||
                  m.idiag_state == TCP_FIN_WAIT2 || m.idiag_state == TCP_CLOSE_WAIT);
    if (alive)
        *uid = m.idiag_uid;
    return alive;
}
