/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange: the request goes out, the response comes in through the strict parser. Silence has
 * a limit in both directions; a response that comes before the request is out is served. */
#include "io/up_int.h"

#include <sys/epoll.h>

/* Bytes of the whole request; UINT64_MAX while a streamed body has no known end. */
static uint64_t out_total(const struct up_req *q)
{
    return q->body_size == UINT64_MAX ? UINT64_MAX : q->head.n + q->body_size;
}

/* Events are edges: of what came together with the end of an answer, more bytes or an end of the
 * connection, none will follow. Found by the next request, such bytes would be its answer. */
static bool nothing_follows(struct up_conn *uc)
{
    size_t n;
    return conn_is_drained(uc->conn) ||
           conn_recv(uc->conn, uc->uh->u->scratch, UP_SCRATCH, &n) == CONN_AGAIN;
}

/* The exchange is over. */
static void finish(struct up_conn *uc, enum err e, const char *why)
{
    struct up_req *q = uc->req;
    bool whole = q->out == out_total(q);
    q->uc = NULL;
    q->active = false;
    bool reusable = e == ERR_OK && whole && !q->out_failed && uc->resp.keep_alive;
    q->ops->done(q, e, why); /* before the release: head views live in the connection's parser */
    up_conn_release(uc, reusable && nothing_follows(uc));
}

void up_req_timer(struct timer *t)
{
    struct up_req *q = CONTAINER_OF(t, struct up_req, timer);
    struct up_conn *uc = q->opening;
    struct up_host *h = q->uh;
    q->opening = NULL;
    if (uc) {
        uc->req = NULL;
        up_conn_drop(uc);
    }
    up_req_fail(q, uc ? ERR_CONNECT_TIMEOUT : ERR_POOL_EXHAUSTED,
                uc ? "connect_timeout has passed" : "pool.pending_timeout has passed");
    up_host_feed(h);
    up_host_maybe_free(h);
}

/* How much of silence is too much? */
void up_exchange_timer(struct up_conn *uc)
{
    struct up_req *q = uc->req;
    uint64_t now = clock_ns(), due = q->last_ns + q->read_ns;
    if (q->paused || (q->starved && !q->head_seen))
        due = now + q->read_ns; /* it is the client that is waited for */
    else if (q->first_byte_ns && !q->head_seen && q->first_byte_ns + q->read_ns < due)
        due = q->first_byte_ns + q->read_ns; /* a head that drips */
    if (due > now && up_conn_due(uc, due))
        return;
    finish(uc, ERR_READ_TIMEOUT, "read_timeout has passed");
}

/* Looked at in up_run: what ends an exchange must not end it within up_start. */
static void look_later(struct up_conn *uc)
{
    list_unlink(&uc->link);
    list_push(&uc->uh->u->more, &uc->link);
}

void up_exchange_start(struct up_conn *uc, struct up_req *q)
{
    uc->req = q;
    uc->state = UC_BUSY;
    q->uc = uc;
    q->opening = NULL;
    q->last_ns = q->connected_ns = clock_ns();
    resp_reset(&uc->resp, q->is_head);
    timer_unset(&uc->uh->u->loop->timers, &q->timer); /* that of its waiting */
    if (!up_conn_due(uc, q->last_ns + q->read_ns)) {
        q->out_failed = true; /* no exchange without a deadline */
        look_later(uc);
        return;
    }
    up_exchange_write(uc);
}

/* The bytes to send next; head and body together while both are small, so that they leave in one
 * TLS record. A streamed body whose end is not known counts as large: what TLS could not send must
 * be offered again with as many bytes at least. */
static struct str next_out(struct up *u, struct up_req *q)
{
    if (q->out < q->head.n) {
        struct str h = str_n(q->head.p + q->out, q->head.n - (size_t)q->out);
        if (q->out || !q->body || q->body_size == 0 || h.n > UP_ONE_RECORD ||
            q->body_size > UP_ONE_RECORD - h.n)
            return h;
        struct str b = q->body(q, 0, u->scratch + h.n, UP_SCRATCH - h.n);
        if (b.n == 0)
            return h;
        memcpy(u->scratch, h.p, h.n);
        if (b.p != u->scratch + h.n)
            memcpy(u->scratch + h.n, b.p, b.n);
        return str_n(u->scratch, h.n + b.n);
    }
    if (!q->body || q->out - q->head.n >= q->body_size)
        return (struct str){"", 0};
    return q->body(q, q->out - q->head.n, u->scratch, UP_SCRATCH);
}

/* A kept-alive connection turned out dead, and nothing of the request can have been read: it goes
 * out on another connection and this does not count as an attempt. */
static void send_elsewhere(struct up_conn *uc)
{
    struct up_req *q = uc->req;
    struct up_host *h = uc->uh;
    q->uc = NULL;
    q->out = q->first_byte_ns = 0;
    q->sent = q->reused = q->out_blocked = q->out_failed = q->starved = false;
    uc->req = NULL;
    up_conn_drop(uc);
    /* Without memory for its deadline it waits as long as the others of the queue. */
    (void)!timer_set(&h->u->loop->timers, &q->timer, clock_ns() + h->u->o.pending_ns);
    up_req_queue(h, q);
}

void up_exchange_write(struct up_conn *uc)
{
    struct up_req *q = uc->req;
    struct up *u = uc->uh->u;
    size_t n;
    q->starved = false;
    while (!q->out_failed && !q->out_blocked && q->out < out_total(q)) {
        struct str s = next_out(u, q);
        if (s.n == 0 && s.p) {
            q->starved = true; /* a streamed body: more comes through up_body_more */
            return;
        }
        if (s.n == 0) {
            q->out_failed = true; /* the spooled body could not be read */
            look_later(uc);
            return;
        }
        bool first = !q->sent;
        q->sent = true; /* from the first try on: TLS may have passed bytes on even with AGAIN */
        enum conn_io r = conn_send(uc->conn, s.p, s.n, &n);
        q->out += n;
        if (n)
            q->last_ns = clock_ns();
        if (r == CONN_AGAIN) {
            q->out_blocked = true;
        } else if (r != CONN_OK) {
            /* One TLS record at most was begun, and an incomplete one can't be decrypted. */
            if (first && q->reused && n == 0 && s.n <= UP_ONE_RECORD) {
                send_elsewhere(uc);
                return;
            }
            q->out_failed = true; /* the upstream may have answered before it closed: read first */
            look_later(uc);
        }
    }
}

/* The connection ended, nothing of the request can have been read, and all of it is still here. */
static bool unread(const struct up_conn *uc)
{
    const struct up_req *q = uc->req;
    return (!q->body_once || q->out <= q->head.n) && conn_sent_in_vain(uc->conn, q->out);
}

/* A 408 sent into a kept connection as it was closed crossed with our request: it is nobody's
 * answer. One that comes later than a round trip may take is about the request, and passed on. */
static bool is_notice(const struct up_conn *uc)
{
    const struct up_req *q = uc->req;
    return q->reused && uc->resp.status == 408 && !uc->resp.keep_alive &&
           (unread(uc) || clock_ns() - q->connected_ns < NS_PER_SEC);
}

static void given_notice(struct up_conn *uc)
{
    if (unread(uc))
        send_elsewhere(uc);
    else
        finish(uc, ERR_RESET, "the upstream closed the kept connection with a 408");
}

/* Feeds bytes to the parser; false when the exchange ended. */
static bool feed(struct up_conn *uc, struct str in)
{
    struct up_req *q = uc->req;
    struct str data;
    for (;;) {
        switch (resp_feed(&uc->resp, &in, &data)) {
        case RESP_MORE:
            return true;
        case RESP_HEAD:
            if (is_notice(uc)) {
                given_notice(uc);
                return false;
            }
            q->head_seen = true;
            q->ops->head(q, &uc->resp);
            break;
        case RESP_DATA:
            if (!q->ops->data(q, data))
                q->paused = true;
            break;
        case RESP_END:
            if (in.n)
                uc->resp.keep_alive = false; /* bytes nobody asked for */
            finish(uc, ERR_OK, "");
            return false;
        case RESP_BAD:
            finish(uc, ERR_PROTOCOL, uc->resp.why);
            return false;
        }
    }
}

/* clean: the peer said that it ends (over TLS with close_notify). Only then is a body that lasts
 * until the end of the connection complete. */
static void ended(struct up_conn *uc, bool clean)
{
    switch (resp_eof(&uc->resp)) {
    case RESP_END:
        finish(uc, clean ? ERR_OK : ERR_RESET,
               "the connection broke in the middle of an answer that lasts until its end");
        return;
    case RESP_MORE:
        finish(uc, ERR_RESET, "the upstream closed the connection without an answer");
        return;
    default:
        finish(uc, ERR_RESET, "the upstream closed the connection in the middle of its answer");
    }
}

/* The upstream's end of an idle connection and our request crossed on the way. */
static bool crossed(const struct up_conn *uc)
{
    const struct up_req *q = uc->req;
    return q->reused && !q->first_byte_ns && unread(uc);
}

void up_exchange_read(struct up_conn *uc)
{
    struct up *u = uc->uh->u;
    size_t total = 0, n;
    unsigned reads = 0;
    while (uc->state == UC_BUSY && uc->req && !uc->req->paused) {
        struct up_req *q = uc->req;
        enum conn_io r = conn_recv(uc->conn, u->scratch, UP_SCRATCH, &n);
        if (r == CONN_AGAIN) {
            if (q->out_failed)
                finish(uc, ERR_RESET, "the request could not be sent");
            return;
        }
        if (r != CONN_OK && crossed(uc)) {
            send_elsewhere(uc);
            return;
        }
        if (r != CONN_OK && conn_alert(uc->conn) && !q->reused && !q->first_byte_ns) {
            finish(uc, ERR_TLS, conn_alert(uc->conn)); /* TLS 1.3 refuses us after its handshake */
            return;
        }
        if (r != CONN_OK) {
            ended(uc, r == CONN_END);
            return;
        }
        q->last_ns = clock_ns();
        if (!q->first_byte_ns)
            q->first_byte_ns = q->last_ns;
        unsigned interim = uc->resp.n1xx;
        if (!feed(uc, str_n(u->scratch, n)))
            return;
        if (uc->resp.n1xx > interim)
            q->first_byte_ns = q->last_ns; /* a head of its own, and a sign of life */
        /* Others have their turn, too. */
        if ((total += n) >= UP_READ_PER_TURN || ++reads >= UP_READS_PER_TURN) {
            look_later(uc);
            return;
        }
    }
}

static void connected(struct conn *c, enum err e, const char *why)
{
    struct up_conn *uc = conn_user(c);
    struct up_host *h = uc->uh;
    struct up_req *q = uc->req;
    if (e != ERR_OK) {
        up_open_failed(uc, e, why);
        return;
    }
    stat_add(h->u->st, STAT_UPSTREAM_CONNECTS, 1);
    if (conn_is_tls(c))
        stat_add(h->u->st, STAT_TLS_HANDSHAKES, 1);
    timer_unset(&h->u->loop->timers, &uc->timer);
    timer_init(&uc->timer, up_conn_timer);
    if (!q) {
        up_conn_release(uc, nothing_follows(uc));
        return;
    }
    list_unlink(&q->link);
    h->nwaiting--;
    stat_add(h->u->st, STAT_POOL_PENDING, -1);
    up_exchange_start(uc, q);
}

static void ready(struct conn *c, uint32_t events)
{
    struct up_conn *uc = conn_user(c);
    if (uc->state == UC_IDLE) {
        /* A FIN, an alert, a stray byte retire it; TLS 1.3 tickets show as AGAIN and keep it. */
        size_t n;
        if (conn_recv(c, uc->uh->u->scratch, UP_SCRATCH, &n) == CONN_AGAIN &&
            !(events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
            return;
        struct up_host *h = uc->uh;
        up_conn_drop(uc);
        up_host_maybe_free(h);
        return;
    }
    if (uc->state != UC_BUSY)
        return;
    if ((events & EPOLLOUT) && uc->req->out_blocked) {
        uc->req->out_blocked = false;
        up_exchange_write(uc);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        up_exchange_read(uc);
}

const struct conn_ops up_conn_ops = {connected, ready};
