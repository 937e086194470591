/* SPDX-License-Identifier: Apache-2.0 */
/* The client side: libmicrohttpd's daemon, its connections and their deadlines.
 *
 * libmicrohttpd runs in external-epoll mode without a listening socket: descriptors come from
 * front_accept. It never sees a disconnect of a suspended connection and knows only inactivity
 * timeouts, so every client descriptor is also in our own epoll set, which sees all that its own
 * does (that one is not watched: it would only wake us twice), and every deadline is ours. */
#include "io/front_int.h"

#include "base/log.h"
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t phase_limit_ns(const struct front *f, enum front_phase p)
{
    switch (p) {
    case PHASE_IDLE:
        return f->o.idle_timeout_ns;
    case PHASE_HEAD:
        return f->o.header_timeout_ns;
    case PHASE_WRITE:
        return (f->o.write_timeout_ns + 1) / 2; /* see takes_nothing */
    case PHASE_LINGER:
        return FRONT_LINGER_NS;
    default:
        return 0;
    }
}

static void phase_wait(struct front_conn *c, enum front_phase p)
{
    struct front *f = c->f;
    uint64_t limit = phase_limit_ns(f, p);
    list_unlink(&c->link);
    list_push(&f->phase[limit ? p : PHASE_NONE], &c->link);
    c->phase = p;
    if (!limit)
        return;
    c->deadline_ns = clock_ns() + limit;
    if (f->timer.pos == 0 || c->deadline_ns < f->timer.at_ns)
        if (!timer_set(&f->o.loop->timers, &f->timer, c->deadline_ns))
            front_conn_giveup(c); /* no memory for its deadline: better no connection */
}

/* The limit may have become shorter: who waits under the longer one would hold up all that come
 * after. */
static void phase_shorten(struct front *f, enum front_phase p)
{
    uint64_t limit = phase_limit_ns(f, p), latest = clock_ns() + limit;
    if (!limit || list_empty(&f->phase[p]))
        return;
    LIST_FOR (l, &f->phase[p]) {
        struct front_conn *c = CONTAINER_OF(l, struct front_conn, link);
        c->deadline_ns = c->deadline_ns < latest ? c->deadline_ns : latest;
    }
    if (latest < f->timer.at_ns && !timer_set(&f->o.loop->timers, &f->timer, latest))
        log_msg(LOG_ERROR, "out of memory: client deadlines are late");
}

void front_phase_set(struct front_conn *c, enum front_phase p)
{
    c->still = 0;
    c->untaken = -1;
    phase_wait(c, p);
}

/* A slow client takes bytes out of the socket's buffer long before libmicrohttpd can write again.
 * So each half of the time limit is looked whether it did; two halves without are the limit. */
static bool takes_nothing(struct front_conn *c)
{
    int left = 0;
    if (ioctl(c->watch.fd, SIOCOUTQ, &left) != 0)
        return true;
    c->still = left == c->untaken ? c->still + 1 : 0;
    c->untaken = left;
    return c->still >= 2;
}

bool front_suspend(struct front_req *fr)
{
    if (fr->c->gone)
        return false;
    fr->suspended = true;
    fr->f->nsuspended++;
    MHD_suspend_connection(fr->c->mc);
    return true;
}

static void resume(struct front_req *fr)
{
    struct front *f = fr->f;
    fr->suspended = false;
    f->nsuspended--;
    list_unlink(&fr->waking);
    MHD_resume_connection(fr->c->mc);
    f->resumed = f->pending = true;
}

void front_wake(struct front_req *fr)
{
    list_unlink(&fr->waking);
    if (clock_ns() >= fr->f->resume_at_ns)
        resume(fr);
    else
        list_push(&fr->f->waking, &fr->waking);
}

/* Ends the connection: libmicrohttpd reads the end at its next run and tells the owner. */
void front_conn_giveup(struct front_conn *c)
{
    if (c->gone)
        return;
    c->gone = true;
    c->f->nleaving++;
    if (c->watch.fd >= 0 && !front_conn_reset(c) && shutdown(c->watch.fd, SHUT_RDWR) != 0 &&
        errno != ENOTCONN)
        log_msg(LOG_DEBUG, "shutdown of a client connection: errno %d", errno);
    if (c->req && c->req->suspended)
        resume(c->req);
    front_conn_last(c);
}

/* Has the client sent anything? To who only connected, an answer would be the next request's. */
static bool has_spoken(const struct front_conn *c)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    return c->heard || (getsockopt(c->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
                        len >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(uint64_t) &&
                        info.tcpi_bytes_received > 0);
}

static void phases_expire(struct timer *t)
{
    struct front *f = CONTAINER_OF(t, struct front, timer);
    uint64_t now = clock_ns(), next = UINT64_MAX;
    for (int p = PHASE_IDLE; p < PHASE_COUNT; p++) {
        while (!list_empty(&f->phase[p])) {
            struct front_conn *c = CONTAINER_OF(f->phase[p].next, struct front_conn, link);
            if (c->deadline_ns > now) {
                next = c->deadline_ns < next ? c->deadline_ns : next;
                break;
            }
            if (p == PHASE_HEAD && !f->o.tls_cert_pem && has_spoken(c))
                front_send_raw_error(f, c->watch.fd, ERR_CLIENT_TIMEOUT, "Request Timeout",
                                     "the request head did not arrive in time");
            if (p == PHASE_WRITE && !takes_nothing(c)) {
                phase_wait(c, PHASE_WRITE);
                next = c->deadline_ns < next ? c->deadline_ns : next;
                continue;
            }
            list_unlink(&c->link);
            list_push(&f->phase[PHASE_NONE], &c->link);
            c->phase = PHASE_NONE;
            if (p != PHASE_LINGER || !c->req || !front_req_out_of_patience(c->req))
                front_conn_giveup(c);
        }
    }
    if (next != UINT64_MAX && !timer_set(&f->o.loop->timers, &f->timer, next))
        log_msg(LOG_ERROR, "out of memory: client deadlines are late");
}

static void conn_ready(struct loop_fd *w, uint32_t events)
{
    struct front_conn *c = CONTAINER_OF(w, struct front_conn, watch);
    if (c->own_reads) {
        front_conn_discard(c);
        return;
    }
    /* A FIN can't be told from a half-close: both mean that nobody waits for the answer. */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        front_conn_giveup(c);
        return;
    }
    if ((events & EPOLLIN) && c->phase == PHASE_IDLE)
        front_phase_set(c, PHASE_HEAD);
    else if (events & EPOLLIN)
        c->early = c->heard || c->phase != PHASE_HEAD;
    c->heard = c->heard || (events & EPOLLIN);
    /* A connection that was resumed is back in libmicrohttpd's epoll set only when a run has read
     * from it in vain. */
    if (!c->req || !c->req->suspended)
        c->f->pending = true;
}

static void on_connection(void *cls, struct MHD_Connection *mc, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct front *f = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct front_conn *c = f->accepting;
        *socket_context = c;
        c->mc = mc;
        f->accepting = NULL;
        f->nconns++;
        return;
    }
    struct front_conn *c = *socket_context;
    if (!c)
        return;
    if (c->req)
        front_req_lost(c->req);
    loop_del(f->o.loop, &c->watch);
    list_unlink(&c->link);
    list_push(&f->free_conns, &c->link);
    c->mc = NULL;
    f->nconns--;
    f->nleaving -= c->gone;
}

static size_t keep_escapes(void *cls, struct MHD_Connection *mc, char *s)
{
    (void)cls, (void)mc;
    return strlen(s); /* the target is canonicalised by uri.c, from the raw bytes */
}

static void PRINTF_LIKE(2, 0) mhd_log(void *cls, const char *fmt, va_list ap)
{
    (void)cls;
    char line[512];
    int n = vsnprintf(line, sizeof line, fmt, ap);
    while (n > 0 && (size_t)n < sizeof line && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        line[--n] = '\0';
    log_msg(LOG_DEBUG, "libmicrohttpd: %s", line);
}

/* Of the library that runs, which an upgrade may have put in the place of the one of the headers.
 */
static bool is_from_1_0(void)
{
    return MHD_get_version()[0] != '0';
}

/* Newer headers name it: from 1.0 on a library that may be called by several threads puts a new
 * connection in a queue; front_accept wants it there and then, as before. */
enum { USE_NO_THREAD_SAFETY = 1 << 19 };

static struct MHD_Daemon *start_mhd(struct front *f)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG | (is_from_1_0() ? USE_NO_THREAD_SAFETY : 0);
    /* 0.9.75 refuses blanks in field names at -1 only; the Host rules are the gate's. From 1.0 on
     * the library has a strict parser of its own, which 1 sets to its level for public servers. */
    int strict = is_from_1_0() ? 1 : -1;
    struct MHD_OptionItem tls[3] = {{MHD_OPTION_END, 0, NULL}};
    if (f->o.tls_cert_pem) {
        flags |= MHD_USE_TLS;
        tls[0] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, drop_const(f->o.tls_cert_pem)};
        tls[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, drop_const(f->o.tls_key_pem)};
        tls[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    /* Never 0, for an edge with data and FIN together can be lost inside the library. It can't be
     * changed later: a limit of ours that were longer would not be kept. */
    unsigned silence_s = (unsigned)(f->o.silence_ns / NS_PER_SEC);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, front_on_request, f, MHD_OPTION_EXTERNAL_LOGGER, mhd_log,
        NULL, /* has to be the first option */
        MHD_OPTION_STRICT_FOR_CLIENT, strict, MHD_OPTION_CONNECTION_MEMORY_LIMIT, f->o.max_header,
        /* our own limit comes first, also while those that leave are still counted there */
        MHD_OPTION_CONNECTION_LIMIT, 2 * f->o.max_connections + 16, MHD_OPTION_CONNECTION_TIMEOUT,
        silence_s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, f, MHD_OPTION_NOTIFY_COMPLETED,
        front_on_completed, f, MHD_OPTION_URI_LOG_CALLBACK, front_on_target, f,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

struct front *front_new(const struct front_options *o, char *msg, size_t msgsize)
{
    struct front *f = calloc(1, sizeof *f);
    if (!f) {
        snprintf(msg, msgsize, "out of memory");
        return NULL;
    }
    f->o = *o;
    f->mhd_max_connections = o->max_connections;
    f->in_place = strcmp(MHD_get_version(), "0.9.75") == 0;
    f->own_query = f->in_place || is_from_1_0();
    for (int p = 0; p < PHASE_COUNT; p++)
        list_init(&f->phase[p]);
    list_init(&f->poked);
    list_init(&f->waking);
    list_init(&f->free_conns);
    list_init(&f->free_reqs);
    timer_init(&f->timer, phases_expire);
    f->mhd = start_mhd(f);
    if (!f->mhd) {
        snprintf(msg, msgsize, "libmicrohttpd %s did not start: errno %d", MHD_get_version(),
                 errno);
        front_free(f);
        return NULL;
    }
    return f;
}

static void free_reqs(struct list *l)
{
    struct list *e;
    while ((e = list_pop(l))) {
        struct front_req *fr = CONTAINER_OF(e, struct front_req, link);
        buf_free(&fr->target);
        free(fr);
    }
}

static void free_conns(struct list *l)
{
    struct list *e;
    while ((e = list_pop(l)))
        free(CONTAINER_OF(e, struct front_conn, link));
}

void front_free(struct front *f)
{
    if (!f)
        return;
    if (f->mhd) {
        /* libmicrohttpd must not be stopped while a connection is suspended: none suspends now. */
        f->closing = true;
        for (int p = 0; p < PHASE_COUNT; p++)
            LIST_FOR (l, &f->phase[p])
                front_conn_giveup(CONTAINER_OF(l, struct front_conn, link));
        MHD_run(f->mhd);
        MHD_run(f->mhd);
        MHD_stop_daemon(f->mhd);
    }
    timer_unset(&f->o.loop->timers, &f->timer);
    free_conns(&f->free_conns);
    free_reqs(&f->free_reqs);
    free(f);
}

/* Over the limit: a plain answer, then close. The request is not read, so the reset that follows
 * may overtake the answer; a client sees a refused connection then. */
static void shed(const struct front *f, int fd)
{
    char sink[4096];
    front_send_raw_error(f, fd, ERR_OVERLOADED, "Service Unavailable",
                         "limits.max_connections is reached");
    if (shutdown(fd, SHUT_WR) == 0)
        while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
            ;
    close(fd);
}

bool front_accept(struct front *f, int fd, const struct peer *peer, const void *sa, unsigned salen,
                  const void *listener)
{
    if (f->nconns - f->nleaving >= f->o.max_connections) {
        shed(f, fd);
        return false;
    }
    struct list *l = list_pop(&f->free_conns);
    struct front_conn *c = l ? CONTAINER_OF(l, struct front_conn, link) : malloc(sizeof *c);
    if (!c) {
        shed(f, fd);
        return false;
    }
    *c = (struct front_conn){.f = f, .listener = listener, .peer = *peer};
    list_init(&c->link);
    c->watch = (struct loop_fd){.fd = fd, .ready = conn_ready};
    if (!loop_add(f->o.loop, &c->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        free(c);
        shed(f, fd);
        return false;
    }
    f->accepting = c;
    if (MHD_add_connection(f->mhd, fd, sa, (socklen_t)salen) != MHD_YES) {
        /* the library closed the descriptor */
        if (f->accepting == c) {
            loop_del(f->o.loop, &c->watch);
            free(c);
        }
        f->accepting = NULL;
        return false;
    }
    /* From the beginning: libmicrohttpd may read the first bytes before an event tells of them. */
    front_phase_set(c, PHASE_HEAD);
    f->pending = true;
    return true;
}

static void run(struct front *f)
{
    f->more = false;
    f->fed = 0;
    f->runs++;
    bool walks = f->resumed && f->nsuspended >= FRONT_WALK_MIN;
    f->resumed = false;
    if (MHD_run(f->mhd) != MHD_YES)
        log_msg(LOG_ERROR, "libmicrohttpd: MHD_run failed");
    if (walks)
        f->resume_at_ns = clock_ns() + f->nsuspended * FRONT_WALK_PAUSE_NS;
}

/* libmicrohttpd has something to do that no event announces. */
static bool busy(const struct front *f)
{
    MHD_UNSIGNED_LONG_LONG ms;
    return MHD_get_timeout(f->mhd, &ms) == MHD_YES && ms == 0;
}

void front_run(struct front *f)
{
    struct list *l;
    while ((l = list_pop(&f->poked)))
        front_req_poked(CONTAINER_OF(l, struct front_req, link));
    while (clock_ns() >= f->resume_at_ns && !list_empty(&f->waking))
        resume(CONTAINER_OF(f->waking.next, struct front_req, waking));
    unsigned held = f->nheld;
    bool asked = f->pending; /* not only by libmicrohttpd */
    f->pending = false;
    run(f);
    for (int i = 1; i < FRONT_BODY_RUNS && f->fed; i++)
        run(f);
    /* An answer given to a held connection is written by the run after. */
    if (f->nheld < held && busy(f))
        run(f);
    f->barren = asked || f->more ? 0 : f->barren + 1;
    f->hold_until_ns = clock_ns() + (list_empty(&f->phase[PHASE_HEAD]) ? FRONT_HOLD_NS : NS_PER_MS);
}

bool front_pending(const struct front *f)
{
    return f->pending || !list_empty(&f->poked);
}

static uint64_t mhd_deadline(struct front *f)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(f->mhd, &ms) != MHD_YES)
        return UINT64_MAX;
    /* What it has to do is to ask for answers that are not there; or it is 0.9.75 with a line of a
     * chunk that fills its buffer, which it looks at again and again. */
    if (ms == 0 && !f->more && (f->nheld || f->barren > FRONT_BARREN_RUNS))
        return f->hold_until_ns;
    return ms == 0 ? 0 : clock_ns() + (uint64_t)ms * NS_PER_MS;
}

uint64_t front_deadline(struct front *f)
{
    if (front_pending(f))
        return 0;
    uint64_t due = mhd_deadline(f);
    return !list_empty(&f->waking) && f->resume_at_ns < due ? f->resume_at_ns : due;
}

void front_configure(struct front *f, const struct front_options *o)
{
    /* libmicrohttpd's own limit was set at the start: only smaller ones can be kept to here. */
    if (o->max_connections <= f->mhd_max_connections)
        f->o.max_connections = o->max_connections;
    f->o.max_body = o->max_body;
    f->o.idle_timeout_ns = o->idle_timeout_ns;
    f->o.header_timeout_ns = o->header_timeout_ns;
    f->o.write_timeout_ns = o->write_timeout_ns;
    for (unsigned p = PHASE_IDLE; p < PHASE_COUNT; p++)
        phase_shorten(f, p);
}

void front_drain(struct front *f)
{
    f->draining = true;
    struct list *next;
    for (struct list *l = f->phase[PHASE_IDLE].next; l != &f->phase[PHASE_IDLE]; l = next) {
        next = l->next;
        struct front_conn *c = CONTAINER_OF(l, struct front_conn, link);
        char byte;
        /* Whose first request is still on its way is heard while the drain lasts. */
        if (c->answered && recv(c->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
            front_conn_giveup(c); /* else its next request is here and gets an answer */
    }
}

unsigned front_connections(const struct front *f)
{
    return f->nconns;
}

const char *front_library_version(void)
{
    return MHD_get_version();
}
