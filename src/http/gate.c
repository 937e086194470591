/* SPDX-License-Identifier: Apache-2.0 */
/* The request gate: one framing, one Host, clean bytes, a known method, bounded counts, or a
 * refusal. It trusts nothing of what the server library decided about the same head, and knows
 * nothing of configuration. Every refusal closes the connection: after one, where the next request
 * begins is the client's word alone. */
#include "http/gate.h"

/* As many as every reader of 64-bit numbers takes, leading zeros included. */
enum { MAX_LENGTH_DIGITS = 19 };

/* The fields that decide something here, as one pass over the head finds them. */
struct decisive {
    struct str host, length, encoding; /* trimmed; p is NULL when absent */
    bool expects, expects_other;
};

static bool is_served(struct str method)
{
    switch (method.n) {
    case 3:
        return str_eq(method, STR("GET")) || str_eq(method, STR("PUT"));
    case 4:
        return str_eq(method, STR("POST")) || str_eq(method, STR("HEAD"));
    case 5:
        return str_eq(method, STR("PATCH"));
    case 6:
        return str_eq(method, STR("DELETE"));
    case 7:
        return str_eq(method, STR("OPTIONS"));
    default:
        return false;
    }
}

/* At most so many bytes of what a client sent are quoted back. */
static int quoted(struct str s)
{
    return (int)(s.n < 64 ? s.n : 64);
}

static enum err check_request_line(const struct gate_head *head, struct err_detail *why)
{
    if (!str_eq(head->version, STR("HTTP/1.1")) && !str_eq(head->version, STR("HTTP/1.0")))
        return err_set(why, ERR_INVALID_REQUEST,
                       "the protocol version '%.*s' is not served; use HTTP/1.1",
                       quoted(head->version), head->version.n ? head->version.p : "");
    if (!is_served(head->method)) {
        if (!hdr_is_token(head->method))
            return err_set(why, ERR_INVALID_REQUEST, "the method is not a token");
        if (str_eq(head->method, STR("CONNECT")))
            return err_set(why, ERR_METHOD_NOT_ALLOWED,
                           "CONNECT is not served: requests inside a tunnel cannot be signed; use "
                           "http:// URLs (they are sent upstream over TLS)");
        return err_set(why, ERR_METHOD_NOT_ALLOWED,
                       "the method %.*s is not served; use GET, HEAD, POST, PUT, PATCH, DELETE or "
                       "OPTIONS",
                       quoted(head->method), head->method.p);
    }
    if (str_eq(head->target, STR("*")) && str_eq(head->method, STR("OPTIONS")))
        return err_set(
            why, ERR_METHOD_NOT_ALLOWED,
            "OPTIONS * asks about the proxy itself, which has nothing to tell; name a path");
    if (head->target.n > GATE_MAX_TARGET)
        return err_set(why, ERR_URI_TOO_LONG,
                       "the request target has %zu bytes, at most %d are served; send the "
                       "parameters in a POST body",
                       head->target.n, GATE_MAX_TARGET);
    return ERR_OK;
}

/* Remembers the first field of that name; a second one is refused, even an equal one. */
static enum err take_once(struct str *slot, struct str value, const char *name,
                          struct err_detail *why)
{
    if (slot->p)
        return err_set(why, ERR_INVALID_REQUEST, "there are two %s headers; send one", name);
    *slot = value.p ? value : STR("");
    return ERR_OK;
}

static enum err take_field(struct decisive *d, struct str name, struct str value,
                           struct err_detail *why)
{
    switch (name.n) {
    case 4:
        if (str_ieq(name, STR("Host")))
            return take_once(&d->host, value, "Host", why);
        break;
    case 6:
        if (str_ieq(name, STR("Expect"))) {
            d->expects = true;
            d->expects_other |= !str_ieq(value, STR("100-continue"));
        }
        break;
    case 14:
        if (str_ieq(name, STR("Content-Length")))
            return take_once(&d->length, value, "Content-Length", why);
        break;
    case 17:
        if (str_ieq(name, STR("Transfer-Encoding")))
            return take_once(&d->encoding, value, "Transfer-Encoding", why);
        break;
    default:
        break;
    }
    return ERR_OK;
}

static enum err check_fields(const struct hdrs *hdrs, struct decisive *d, struct err_detail *why)
{
    if (hdrs->n > GATE_MAX_HEADERS)
        return err_set(why, ERR_HEADERS_TOO_LARGE, "there are more than %d headers",
                       GATE_MAX_HEADERS);
    for (size_t i = 0; i < hdrs->n; i++) {
        struct str name = hdrs->v[i].name, value = str_trim(hdrs->v[i].value);
        if (!hdr_is_token(name))
            return err_set(why, ERR_INVALID_REQUEST, "the header name '%.*s' is not a token",
                           quoted(name), name.n ? name.p : "");
        if (!hdr_is_value(value))
            return err_set(why, ERR_INVALID_REQUEST,
                           "the value of header %.*s holds a control byte", quoted(name), name.p);
        enum err e = take_field(d, name, value, why);
        if (e)
            return e;
    }
    return ERR_OK;
}

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n != 0;
}

/* RFC 9112 6.3, without any of its leniencies. */
static enum err check_framing(const struct decisive *d, bool http10, uint64_t max_body,
                              struct gate_verdict *out, struct err_detail *why)
{
    out->framing = GATE_NO_BODY;
    if (d->encoding.p) {
        if (d->length.p)
            return err_set(why, ERR_INVALID_REQUEST,
                           "both Content-Length and Transfer-Encoding are there; send one");
        if (http10)
            return err_set(why, ERR_INVALID_REQUEST,
                           "Transfer-Encoding needs protocol version 1.1; send a Content-Length");
        if (!str_ieq(d->encoding, STR("chunked")))
            return err_set(why, ERR_INVALID_REQUEST,
                           "Transfer-Encoding '%.*s' is not served; send 'chunked'",
                           quoted(d->encoding), d->encoding.p);
        out->framing = GATE_CHUNKED;
        return ERR_OK;
    }
    if (!d->length.p)
        return ERR_OK;
    if (!all_digits(d->length))
        return err_set(why, ERR_INVALID_REQUEST, "Content-Length '%.*s' is not a number",
                       quoted(d->length), d->length.p);
    if (d->length.n > MAX_LENGTH_DIGITS || !str_u64(d->length, UINT64_MAX, &out->length) ||
        out->length > max_body)
        return err_set(why, ERR_BODY_TOO_LARGE,
                       "Content-Length %.*s is more than the %llu bytes of limits.max_body",
                       quoted(d->length), d->length.p, (unsigned long long)max_body);
    out->framing = GATE_LENGTH;
    return ERR_OK;
}

static bool same_host(const struct uri_host *a, const struct uri_host *b, unsigned default_port)
{
    return str_ieq(a->host, b->host) &&
           (a->port ? a->port : default_port) == (b->port ? b->port : default_port);
}

/* RFC 9112 3.2: one valid Host, and no other authority beside it. */
static enum err check_host(const struct decisive *d, bool http10, struct gate_verdict *out,
                           struct err_detail *why)
{
    const struct uri_target *target = &out->target;
    struct uri_host host = {.port = 0}, authority;
    enum err e = ERR_OK;
    if (!d->host.p && !http10)
        return err_set(why, ERR_INVALID_REQUEST, "the Host header is missing");
    if (d->host.p)
        e = uri_host(d->host, &host, why);
    if (e)
        return e;
    out->host = d->host.p ? d->host : STR("");
    if (target->authority.n == 0)
        return ERR_OK;
    e = uri_host(target->authority, &authority, why);
    if (e)
        return e;
    if (d->host.p && !same_host(&host, &authority, target->scheme.n == 5 ? 443 : 80))
        return err_set(why, ERR_INVALID_REQUEST,
                       "the host of the request target, '%.*s', is not that of the Host header, "
                       "'%.*s'",
                       quoted(target->authority), target->authority.p, quoted(d->host), d->host.p);
    out->host = target->authority;
    return ERR_OK;
}

static enum err check(const struct gate_head *head, uint64_t max_body, struct gate_verdict *out,
                      struct err_detail *why)
{
    struct decisive d = {.expects = false};
    enum err e = check_request_line(head, why);
    if (!e)
        e = check_fields(&head->hdrs, &d, why);
    if (e)
        return e;
    bool http10 = head->version.p[7] == '0';
    e = check_framing(&d, http10, max_body, out, why);
    if (!e)
        e = uri_split(head->target, &out->target, why);
    if (!e)
        e = check_host(&d, http10, out, why);
    if (e)
        return e;
    if (d.expects_other)
        return err_set(why, ERR_EXPECTATION_FAILED,
                       "the only expectation served is 100-continue; leave the Expect header out");
    /* RFC 9110 10.1.1: an HTTP/1.0 client does not know what to make of a 100. */
    out->expect_continue = d.expects && !http10;
    return ERR_OK;
}

enum err gate_check(const struct gate_head *head, uint64_t max_body, struct gate_verdict *out,
                    struct err_detail *why)
{
    *out = (struct gate_verdict){.host = STR("")};
    enum err e = check(head, max_body, out, why);
    if (e)
        *out = (struct gate_verdict){.host = STR(""), .must_close = true};
    return e;
}
