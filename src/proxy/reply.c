/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies the proxy makes. Whatever bytes come in, what goes out is valid JSON in UTF-8; a session
 * token never does, except in a presigned URL, which is worth nothing without it. */
#include "proxy/reply.h"

/* Length of the well-formed UTF-8 sequence at s.p[i] (RFC 3629), 0 when there is none. */
static size_t utf8_len(struct str s, size_t i)
{
    const unsigned char *p = (const unsigned char *)s.p + i;
    size_t left = s.n - i, n;
    unsigned low = 0x80, high = 0xBF;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        n = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        n = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        n = 4;
    else
        return 0;
    /* Overlong forms, surrogates and what is beyond U+10FFFF show in the second byte. */
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (left < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t k = 2; k < n; k++)
        if (p[k] < 0x80 || p[k] > 0xBF)
            return 0;
    return n;
}

/* s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
static void put_string(struct buf *out, struct str s)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n;) {
        size_t n = utf8_len(s, i);
        unsigned char c = (unsigned char)s.p[i];
        if (n == 0) {
            buf_putz(out, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', (char)c};
            buf_put(out, escaped, 2);
        } else if (c == '\n') {
            buf_put(out, "\\n", 2);
        } else if (c < 0x20 || c == 0x7F) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_put(out, s.p + i, n);
        }
        i += n;
    }
    buf_putc(out, '"');
}

static void put_member(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "\"%s\":", name);
    put_string(out, value);
}

void reply_error(struct buf *out, enum err e, const struct err_detail *detail,
                 const struct route *r, struct str request_id)
{
    static const struct route unknown;
    if (!r)
        r = &unknown;
    buf_putz(out, "{\"ResponseMetadata\":{");
    put_member(out, "RequestId", request_id);
    buf_putc(out, ',');
    put_member(out, "Action", r->action);
    buf_putc(out, ',');
    put_member(out, "Version", r->version);
    buf_putc(out, ',');
    put_member(out, "Service", r->service);
    buf_putc(out, ',');
    put_member(out, "Region", r->region);
    buf_printf(out, ",\"Error\":{\"Code\":\"Sigferry.%s\",", err_code(e));
    put_member(out, "Message", str_of(detail && detail->text[0] ? detail->text : err_text(e)));
    buf_putz(out, "}}}\n");
}

static const struct str masked = {"****", 4};

static bool is_token_header(struct str name)
{
    return str_ieq(name, STR("X-Security-Token"));
}

/* All values of a field, joined: a JSON object has no place for a name twice. */
static void put_field(struct buf *out, const struct hdrs *h, size_t i)
{
    struct str name = h->v[i].name;
    put_string(out, name);
    buf_putc(out, ':');
    if (is_token_header(name)) {
        put_string(out, masked);
        return;
    }
    if (hdrs_count(h, name) == 1) {
        put_string(out, h->v[i].value);
        return;
    }
    struct buf joined;
    buf_init(&joined, out->max);
    for (size_t k = i; k < h->n; k++) {
        if (!str_ieq(h->v[k].name, name))
            continue;
        if (k != i)
            buf_put(&joined, ", ", 2);
        buf_puts(&joined, h->v[k].value);
    }
    put_string(out, buf_str(&joined));
    out->failed = out->failed || joined.failed;
    buf_free(&joined);
}

static void put_headers(struct buf *out, const struct hdrs *h)
{
    buf_putc(out, '{');
    for (size_t i = 0; i < h->n; i++) {
        if (hdrs_find(h, h->v[i].name) != &h->v[i])
            continue;
        if (i)
            buf_putc(out, ',');
        put_field(out, h, i);
    }
    buf_putc(out, '}');
}

/* The canonical request with the value of its x-security-token line masked. */
static void put_canonical(struct buf *out, struct str canonical)
{
    struct buf text;
    buf_init(&text, out->max);
    for (struct str rest = canonical; rest.p;) {
        struct str line = str_cut(&rest, '\n'), name = STR("x-security-token:");
        if (str_starts(line, name)) {
            buf_puts(&text, name);
            buf_puts(&text, masked);
        } else {
            buf_puts(&text, line);
        }
        if (rest.p)
            buf_putc(&text, '\n');
    }
    put_string(out, buf_str(&text));
    out->failed = out->failed || text.failed;
    buf_wipe(&text);
}

static void put_url(struct buf *out, const struct route *r, struct str query)
{
    buf_puts(out, r->scheme);
    buf_putz(out, "://");
    buf_puts(out, r->host_header);
    buf_puts(out, r->path);
    if (query.n) {
        buf_putc(out, '?');
        buf_puts(out, query);
    }
}

void reply_dry_run(struct buf *out, const struct route *r, struct str method,
                   const struct hdrs *hdrs, const struct sign_output *so)
{
    /* Canonical path and query and a checked host: nothing in the URL needs escaping. */
    buf_putz(out, "{\"url\":\"");
    put_url(out, r, r->query);
    buf_putz(out, "\",");
    put_member(out, "method", method);
    buf_putz(out, ",\"headers\":");
    put_headers(out, hdrs);
    buf_putz(out, ",\"canonical_request\":");
    put_canonical(out, so->canonical_request);
    buf_putc(out, ',');
    put_member(out, "string_to_sign", so->string_to_sign);
    buf_putz(out, "}\n");
}

void reply_presign(struct buf *out, const struct route *r, struct str query)
{
    put_url(out, r, query);
    buf_putc(out, '\n');
}
