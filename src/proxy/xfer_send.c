/* SPDX-License-Identifier: Apache-2.0 */
/* Signs an attempt and writes its head: what is signed is exactly what is sent. */
#include "proxy/xfer.h"

#include "base/fmt.h"
#include "base/log.h"
#include "base/secret.h"
#include <assert.h>

static bool has_body(const struct xfer *x)
{
    return x->streaming || x->body.size > 0;
}

static void sign_input(const struct xfer *x, const struct sign_cred *sc, struct sign_input *in)
{
    const struct route *r = &x->route;
    *in = (struct sign_input){.method = x->head->method,
                              .path = r->path,
                              .query = r->query,
                              .host = r->host_header,
                              .hdrs = &r->forward,
                              .body_sha256 = str_n(x->body_hex, DIGEST_HEX_LEN),
                              .service = r->service,
                              .region = r->region,
                              .time_s = clock_wall_s() + x->skew_s,
                              .cred = sc};
}

/* b has room for all of it: see xfer_sign. */
static void put(struct buf *b, struct str s)
{
    assert(s.n <= b->size - b->n);
    if (s.n)
        memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

static void field(struct buf *b, struct str name, struct str value)
{
    put(b, name);
    put(b, STR(": "));
    put(b, value);
    put(b, STR("\r\n"));
}

/* Framing is always written anew: the client's own never reaches the upstream. */
static void framing(const struct xfer *x, struct buf *b)
{
    struct str m = x->head->method;
    char digits[FMT_U64_MAX];
    if (x->streaming && x->stream_chunked) {
        field(b, STR("Transfer-Encoding"), STR("chunked"));
        return;
    }
    uint64_t n = x->streaming ? x->verdict->length : x->body.size;
    if (n || str_eq(m, STR("POST")) || str_eq(m, STR("PUT")) || str_eq(m, STR("PATCH")))
        field(b, STR("Content-Length"), fmt_u64(digits, n));
}

enum err xfer_sign(struct xfer *x)
{
    const struct route *r = &x->route;
    struct sign_cred sc = cred_for_signing(x->cred);
    struct sign_input in;
    struct sign_output so;
    struct buf *b = &x->out;
    /* A session token of the attempt before must not stay behind a shorter head. */
    if (b->n)
        secret_wipe(b->p, b->n);
    if (!route_default_content_type(&x->route, x->head->method, has_body(x)))
        return ERR_HEADERS_TOO_LARGE;
    sign_input(x, &sc, &in);
    enum err e = sign_request(x->px->signer, &in, &so);
    if (e != ERR_OK)
        return e;
    /* Sized first, then written without looking again. What is ours, framing included, is small. */
    size_t size = 512 + x->head->method.n + r->path.n + r->query.n + r->host_header.n +
                  sc.session_token.n + so.authorization.n;
    for (size_t i = 0; i < r->forward.n; i++)
        size += r->forward.v[i].name.n + r->forward.v[i].value.n + 4;
    buf_reset(b);
    if (!buf_reserve(b, size))
        return ERR_OVERLOADED;
    put(b, x->head->method);
    put(b, STR(" "));
    put(b, r->path);
    if (r->query.n) {
        put(b, STR("?"));
        put(b, r->query);
    }
    put(b, STR(" HTTP/1.1\r\n"));
    field(b, STR("Host"), r->host_header);
    for (size_t i = 0; i < r->forward.n; i++)
        field(b, r->forward.v[i].name, r->forward.v[i].value);
    field(b, STR("X-Date"), str_of(so.x_date));
    field(b, STR("X-Content-Sha256"), in.body_sha256);
    if (sc.session_token.n)
        field(b, STR("X-Security-Token"), sc.session_token);
    field(b, STR("Authorization"), so.authorization);
    framing(x, b);
    put(b, STR("\r\n"));
    log_debug(LOGD_SIGNING, "request %s: string to sign %.*s", x->request_id,
              STR_ARG(so.string_to_sign));
    log_debug(LOGD_REQUEST, "request %s: %.*s %.*s to %.*s", x->request_id,
              STR_ARG(x->head->method), STR_ARG(r->path), STR_ARG(r->host));
    log_debug(LOGD_ENDPOINT, "request %s: %.*s in %.*s is served by %.*s", x->request_id,
              STR_ARG(r->service), STR_ARG(r->region), STR_ARG(r->host_header));
    return ERR_OK;
}

static enum err show_dry_run(struct xfer *x, const struct sign_cred *sc)
{
    struct sign_input in;
    struct sign_output so;
    struct hdr v[GATE_MAX_HEADERS + ROUTE_SPARE_HEADERS + 8];
    struct hdrs all = {v, 0, ARRAY_LEN(v)};
    if (!route_default_content_type(&x->route, x->head->method, has_body(x)))
        return ERR_HEADERS_TOO_LARGE;
    sign_input(x, sc, &in);
    enum err e = sign_request(x->px->signer, &in, &so);
    if (e != ERR_OK)
        return e;
    bool ok = hdrs_add(&all, STR("Host"), x->route.host_header);
    for (size_t i = 0; i < x->route.forward.n; i++)
        ok = ok && hdrs_add(&all, x->route.forward.v[i].name, x->route.forward.v[i].value);
    ok = ok && hdrs_add(&all, STR("X-Date"), str_of(so.x_date)) &&
         hdrs_add(&all, STR("X-Content-Sha256"), in.body_sha256) &&
         (!sc->session_token.n || hdrs_add(&all, STR("X-Security-Token"), STR("****"))) &&
         hdrs_add(&all, STR("Authorization"), so.authorization);
    if (!ok)
        return ERR_HEADERS_TOO_LARGE;
    reply_dry_run(&x->queue, &x->route, x->head->method, &all, &so);
    return ERR_OK;
}

static enum err show_presigned(struct xfer *x, const struct sign_cred *sc)
{
    struct presign_output po;
    struct presign_input in = {.method = x->head->method,
                               .path = x->route.path,
                               .query = &x->route.pairs,
                               .host = x->route.host_header,
                               .service = x->route.service,
                               .region = x->route.region,
                               .time_s = clock_wall_s() + x->skew_s,
                               .cred = sc};
    enum err e = sign_presign(x->px->signer, &in, &po);
    if (e == ERR_OK)
        reply_presign(&x->queue, &x->route, po.query);
    return e;
}

void xfer_show(struct xfer *x)
{
    struct sign_cred sc = cred_for_signing(x->cred);
    buf_reset(&x->queue);
    x->queue_off = 0;
    enum err e = x->route.opt.presign ? show_presigned(x, &sc) : show_dry_run(x, &sc);
    if (e == ERR_OK && x->queue.failed)
        e = ERR_OVERLOADED;
    if (e != ERR_OK)
        xfer_fail(x, e, NULL);
    else
        xfer_answer(x, 200,
                    x->route.opt.presign ? "text/plain; charset=utf-8" : "application/json");
}
