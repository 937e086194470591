/* SPDX-License-Identifier: Apache-2.0 */
/* Answers on their way to the client: through libmicrohttpd when it takes them, past it when it
 * can't answer yet or has no request to answer. */
#include "io/front_int.h"

#include "base/log.h"
#include "base/stat.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>

bool front_conn_reset(const struct front_conn *c)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    return c->req && c->req->until_close && connect(c->watch.fd, &nobody, sizeof nobody) == 0;
}

void front_conn_last(struct front_conn *c)
{
    if (c->mc && MHD_set_connection_option(c->mc, MHD_CONNECTION_OPTION_TIMEOUT, 1u) != MHD_YES)
        log_msg(LOG_WARN, "libmicrohttpd refused a time limit: a connection may stay too long");
    c->f->pending = true;
}

/* The connection ends with the answer. */
static ssize_t last(struct front_req *fr, ssize_t end)
{
    front_conn_last(fr->c);
    return end;
}

/* The answer ends before its end. */
static ssize_t cut(struct front_req *fr)
{
    if (fr->until_close)
        front_conn_giveup(fr->c);
    return last(fr, MHD_CONTENT_READER_END_WITH_ERROR);
}

static ssize_t pull(void *cls, uint64_t pos, char *p, size_t n)
{
    (void)pos;
    struct front_req *fr = cls;
    if (fr->c->gone || fr->f->closing)
        return cut(fr);
    long got = fr->f->o.ops->pull(fr->user, p, n);
    if (got > 0) {
        fr->f->more = true;
        front_phase_set(fr->c, PHASE_WRITE);
        return (ssize_t)got;
    }
    if (got == FRONT_PULL_END && fr->until_close)
        return last(fr, MHD_CONTENT_READER_END_OF_STREAM);
    if (got == FRONT_PULL_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (got == FRONT_PULL_ABORT)
        return cut(fr);
    front_phase_set(fr->c, PHASE_NONE); /* it is not the client that is waited for */
    return front_suspend(fr) ? 0 : last(fr, MHD_CONTENT_READER_END_WITH_ERROR);
}

static ssize_t no_bytes(void *cls, uint64_t pos, char *p, size_t n)
{
    (void)cls, (void)pos, (void)p, (void)n;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static struct MHD_Response *make_response(struct front_req *fr, const struct front_reply *r)
{
    uint64_t length = r->length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)r->length;
    if (r->no_body && r->status != 204)
        return MHD_create_response_from_callback(length, 1024, no_bytes, NULL, NULL);
    fr->until_close = r->length < 0 && !str_eq(fr->head.version, STR("HTTP/1.1"));
    if (r->stream && !r->no_body)
        return MHD_create_response_from_callback(length, 32 * 1024, pull, fr, NULL);
    /* The body lives in the owner until gone(), which comes after libmicrohttpd's last use. */
    return MHD_create_response_from_buffer(r->body.n, drop_const(r->body.p),
                                           MHD_RESPMEM_PERSISTENT);
}

static void add_header(struct MHD_Response *resp, const struct hdr *h)
{
    assert(h->name.p[h->name.n] == '\0' && (h->value.n == 0 || h->value.p[h->value.n] == '\0'));
    if (h->value.n == 0)
        return; /* libmicrohttpd knows no empty values */
    if (MHD_add_response_header(resp, h->name.p, h->value.p) != MHD_YES)
        log_msg(LOG_DEBUG, "libmicrohttpd refused response header %s", h->name.p);
}

enum { FIELD_RECORD = 64 }; /* what libmicrohttpd makes of a field beside its text, at most */

static enum MHD_Result add_size(void *cls, enum MHD_ValueKind kind, const char *name, size_t nlen,
                                const char *value, size_t vlen)
{
    (void)kind, (void)name, (void)value;
    *(size_t *)cls += nlen + vlen + FIELD_RECORD;
    return MHD_YES;
}

static size_t cookies_size(struct str value)
{
    size_t n = value.n + FIELD_RECORD;
    for (size_t i = 0; i < value.n; i++)
        n += value.p[i] == ';' ? FIELD_RECORD : 0;
    return n;
}

/* libmicrohttpd keeps the request's head, a copy of its cookies and the trailer, and writes the
 * answer's head into the same pool of max_header bytes; it closes without a word when they don't
 * fit. */
static bool head_fits(const struct front_req *fr, const struct front_reply *r)
{
    const union MHD_ConnectionInfo *raw =
        MHD_get_connection_info(fr->c->mc, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t text = fr->target.n, n = 1024;
    for (size_t i = 0; i < fr->head.hdrs.n; i++) {
        const struct hdr *h = &fr->head.hdrs.v[i];
        text += h->name.n + h->value.n;
        n += FIELD_RECORD;
        if (str_ieq(h->name, STR("Cookie")))
            n += cookies_size(h->value);
    }
    n += raw && raw->header_size > text ? raw->header_size : text;
    if (fr->verdict.framing == GATE_CHUNKED)
        MHD_get_connection_values_n(fr->c->mc, MHD_FOOTER_KIND, add_size, &n);
    for (size_t i = 0; i < r->nhdrs; i++)
        n += r->hdrs[i].name.n + r->hdrs[i].value.n + 4;
    return n < fr->f->o.max_header;
}

enum MHD_Result front_queue_reply(struct front_req *fr, const struct front_reply *r)
{
    /* A head that shows no length can't be made with libmicrohttpd: it adds chunked framing, and
     * even the last chunk after a HEAD. */
    bool unframed = r->no_body && r->status != 204 && r->length < 0;
    if ((unframed || !head_fits(fr, r)) && !fr->f->o.tls_cert_pem) {
        front_answer_early(fr, r);
        return MHD_NO; /* it is on its way; the connection ends */
    }
    struct MHD_Response *resp = make_response(fr, r);
    if (!resp)
        return MHD_NO;
    /* Connection before Date: adding it later would bring a second Date. */
    if ((r->close || fr->f->draining) &&
        MHD_add_response_header(resp, "Connection", "close") != MHD_YES)
        log_msg(LOG_WARN, "libmicrohttpd refused Connection: close");
    for (size_t i = 0; i < r->nhdrs; i++)
        add_header(resp, &r->hdrs[i]);
    front_phase_set(fr->c, PHASE_WRITE);
    fr->f->more = true;
    enum MHD_Result ok = MHD_queue_response(fr->c->mc, r->status, resp);
    MHD_destroy_response(resp);
    return ok;
}

/* All that a streamed answer has by now; false when it is not complete or too large. */
static bool pull_all(struct front_req *fr, struct buf *out)
{
    for (;;) {
        if (!buf_reserve(out, 4096))
            return false;
        long n = fr->f->o.ops->pull(fr->user, out->p + out->n, out->size - out->n);
        if (n == FRONT_PULL_END)
            return true;
        if (n <= 0)
            return false;
        out->n += (size_t)n;
    }
}

/* An error in words, for where there is no request to answer, or no answer that can be given. */
struct raw_error {
    enum err e;
    const char *reason, *text;
    struct str id, attempts;
};

static size_t raw_error(char *out, size_t size, const struct raw_error *r)
{
    char body[384];
    const char *code = err_code(r->e);
    int status = err_status(r->e);
    int n =
        snprintf(body, sizeof body,
                 "{\"ResponseMetadata\":{\"RequestId\":\"%.*s\",\"Action\":\"\",\"Version\":\"\","
                 "\"Service\":\"\",\"Region\":\"\","
                 "\"Error\":{\"Code\":\"Sigferry.%s\",\"Message\":\"%s\"}}}\n",
                 STR_ARG(r->id), code, r->text);
    int m =
        snprintf(out, size,
                 "HTTP/1.1 %d %s\r\nX-Sigferry-Request-Id: %.*s\r\nX-Sigferry-Attempts: %.*s\r\n"
                 "X-Sigferry-Error: %s\r\n%sContent-Type: application/json\r\n"
                 "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
                 status, r->reason, STR_ARG(r->id), STR_ARG(r->attempts), code,
                 status == 503 ? "Retry-After: 1\r\n" : "", n, body);
    assert(n > 0 && (size_t)n < sizeof body && m > 0 && (size_t)m < size);
    return (size_t)m;
}

void front_send_raw_error(const struct front *f, int fd, enum err e, const char *reason,
                          const char *text)
{
    char all[FRONT_RAW_MAX], id[33];
    uint64_t random[2] = {0, 0};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random[0] = clock_ns();
    (void)snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    const struct raw_error r = {e, reason, text, str_of(id), STR("0")};
    if (f->o.stat)
        stat_count(f->o.stat, STATF_REJECTED, str_of(err_code(e)), str_n(NULL, 0), str_n(NULL, 0));
    size_t n = raw_error(all, sizeof all, &r);
    if (send(fd, all, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_msg(LOG_DEBUG, "an early answer could not be sent: errno %d", errno);
}

/* Nothing of the answer has gone out: it is not complete, and what is to come can't be waited for.
 * The request may well have reached the cloud: its id and attempts are told all the same. */
static void say_so_instead(struct front_req *fr, const struct front_reply *r, struct buf *out)
{
    char all[FRONT_RAW_MAX];
    struct raw_error error = {.e = ERR_PROTOCOL, .reason = "Bad Gateway"};
    const char *why = fr->body_done
                          ? "the heads of request and answer don't fit into limits.max_header"
                          : "the answer came before the request was complete, and not whole";
    for (size_t i = 0; i < r->nhdrs; i++) {
        if (str_ieq(r->hdrs[i].name, STR("X-Sigferry-Request-Id")))
            error.id = r->hdrs[i].value;
        else if (str_ieq(r->hdrs[i].name, STR("X-Sigferry-Attempts")))
            error.attempts = r->hdrs[i].value;
    }
    error.text = why;
    buf_reset(out);
    buf_put(out, all, raw_error(all, sizeof all, &error));
    fr->c->instead = why;
}

void front_answer_early(struct front_req *fr, const struct front_reply *r)
{
    struct front_conn *c = fr->c;
    struct buf out, body;
    buf_init(&out, FRONT_EARLY_BODY_MAX + 64 * 1024);
    buf_init(&body, FRONT_EARLY_BODY_MAX);
    bool whole = !r->stream || r->no_body || pull_all(fr, &body);
    struct str b = r->stream ? buf_str(&body) : r->body;
    buf_printf(&out, "HTTP/1.1 %u %s\r\n", r->status, MHD_get_reason_phrase_for(r->status));
    for (size_t i = 0; i < r->nhdrs; i++)
        buf_printf(&out, "%.*s: %.*s\r\n", STR_ARG(r->hdrs[i].name), STR_ARG(r->hdrs[i].value));
    if (!r->no_body)
        buf_printf(&out, "Content-Length: %zu\r\n", b.n);
    else if (r->length >= 0)
        buf_printf(&out, "Content-Length: %llu\r\n", (unsigned long long)r->length);
    buf_putz(&out, "Connection: close\r\n\r\n");
    if (!r->no_body && !str_eq(fr->head.method, STR("HEAD")))
        buf_puts(&out, b);
    if (!whole || out.failed)
        say_so_instead(fr, r, &out);
    c->lingering = true;
    front_phase_set(c, PHASE_LINGER);
    if (out.failed ||
        send(c->watch.fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)out.n ||
        shutdown(c->watch.fd, SHUT_WR) != 0) {
        c->unsaid = true;
        front_conn_giveup(c);
    }
    buf_free(&out);
    buf_free(&body);
}

void front_conn_discard(struct front_conn *c)
{
    char sink[16384];
    for (;;) {
        ssize_t n = recv(c->watch.fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n > 0 && (c->drained += (size_t)n) < FRONT_DISCARD_MAX)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        front_conn_giveup(c);
        return;
    }
}
