/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: split, decode, and the canonical forms that are signed and sent. Whatever leaves
 * here as canonical is made of unreserved bytes, upper-case escapes and the separators '/', '&' and
 * '=' only, so that no second parser can read it differently. Never guesses: what is broken is an
 * error. */
#include "http/uri.h"
#include <arpa/inet.h>
#include <stdlib.h>

enum {
    UNRESERVED = 1, /* RFC 3986 2.3: stands for itself in the canonical forms */
    TARGET = 2,     /* may appear raw in a request target */
    HEX = 4,
};

enum { MAX_PAIRS = 4096, MAX_HOST = 255, INSERTION_SORT_MAX = 24 };

/* Refused raw: controls, space, DEL and "#<>\^`{|} — no URI has them, and servers differ in what
 * they make of them. Bytes from 0x80 on are encoded as they are. */
static const unsigned char class_of[256] = {
    ['!'] = TARGET,
    ['$' ... ','] = TARGET,
    ['-'] = UNRESERVED | TARGET,
    ['.'] = UNRESERVED | TARGET,
    ['/'] = TARGET,
    ['0' ... '9'] = UNRESERVED | TARGET | HEX,
    [':'] = TARGET,
    [';'] = TARGET,
    ['='] = TARGET,
    ['?'] = TARGET,
    ['@'] = TARGET,
    ['A' ... 'F'] = UNRESERVED | TARGET | HEX,
    ['G' ... 'Z'] = UNRESERVED | TARGET,
    ['['] = TARGET,
    [']'] = TARGET,
    ['_'] = UNRESERVED | TARGET,
    ['a' ... 'f'] = UNRESERVED | TARGET | HEX,
    ['g' ... 'z'] = UNRESERVED | TARGET,
    ['~'] = UNRESERVED | TARGET,
    [0x80 ... 0xFF] = TARGET,
};

static bool is_class(char c, unsigned mask)
{
    return (class_of[(unsigned char)c] & mask) != 0;
}

static enum err arena_full(struct err_detail *why)
{
    return err_set(why, ERR_OVERLOADED, "the request target needs more memory than a request has");
}

enum err uri_split(struct str target, struct uri_target *out, struct err_detail *why)
{
    *out = (struct uri_target){.has_query = false};
    if (target.n == 0)
        return err_set(why, ERR_INVALID_REQUEST, "the request target is empty; send at least '/'");
    for (size_t i = 0; i < target.n; i++)
        if (!is_class(target.p[i], TARGET)) {
            unsigned c = (unsigned char)target.p[i];
            return err_set(why, ERR_INVALID_REQUEST,
                           "byte 0x%02X at offset %zu of the request target must be sent as %%%02X",
                           c, i, c);
        }
    struct str rest = target;
    if (rest.p[0] != '/') {
        if (str_istarts(rest, STR("http://")))
            out->scheme = STR("http");
        else if (str_istarts(rest, STR("https://")))
            out->scheme = STR("https");
        else
            return err_set(why, ERR_INVALID_REQUEST,
                           "the request target '%.*s' must begin with '/', http:// or https://",
                           (int)(target.n < 64 ? target.n : 64), target.p);
        size_t skip = out->scheme.n + 3, end = skip;
        while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
            end++;
        if (end == skip)
            return err_set(why, ERR_INVALID_REQUEST, "the request target names no host");
        out->authority = str_n(rest.p + skip, end - skip);
        rest = str_n(rest.p + end, rest.n - end);
    }
    out->path = str_cut(&rest, '?');
    out->has_query = rest.p != NULL;
    out->query = rest;
    return ERR_OK;
}

static enum err bad_host(struct str s, const char *reason, struct err_detail *why)
{
    return err_set(why, ERR_INVALID_REQUEST, "the host '%.*s' %s", (int)(s.n < 128 ? s.n : 128),
                   s.n ? s.p : "", reason);
}

bool uri_is_ipv6(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    if (s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1;
}

enum err uri_host(struct str s, struct uri_host *out, struct err_detail *why)
{
    *out = (struct uri_host){.port = 0};
    struct str rest = s;
    if (rest.n && rest.p[0] == '[') {
        const char *close = memchr(rest.p, ']', rest.n);
        if (!close)
            return bad_host(s, "lacks the ']' of an IPv6 address", why);
        out->host = str_n(rest.p + 1, (size_t)(close - rest.p) - 1);
        out->ipv6 = true;
        if (!uri_is_ipv6(out->host))
            return bad_host(s, "is not an IPv6 address in brackets", why);
        rest = str_n(close + 1, rest.n - out->host.n - 2);
        if (rest.n && rest.p[0] != ':')
            return bad_host(s, "has more than ':PORT' after the ']'", why);
        if (rest.n)
            rest = str_n(rest.p + 1, rest.n - 1);
        else
            rest.p = NULL;
    } else {
        out->host = str_cut(&rest, ':');
        if (out->host.n == 0)
            return bad_host(s, "is empty", why);
        if (out->host.n > MAX_HOST)
            return bad_host(s, "is longer than 255 bytes", why);
        for (size_t i = 0; i < out->host.n; i++)
            if (!is_class(out->host.p[i], UNRESERVED))
                return bad_host(s, "is not of the form HOST or HOST:PORT", why);
    }
    if (!rest.p)
        return ERR_OK;
    uint64_t port;
    if (rest.n > 5 || !str_u64(rest, 65535, &port) || port == 0)
        return bad_host(s, "has a port that is not a number from 1 to 65535", why);
    out->port = (unsigned)port;
    return ERR_OK;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* Is there an escape, whole and well-formed, at s.p[i]? */
static bool is_escape(struct str s, size_t i)
{
    return s.n - i >= 3 && is_class(s.p[i + 1], HEX) && is_class(s.p[i + 2], HEX);
}

static char escaped_byte(struct str s, size_t i)
{
    return (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
}

static enum err broken_escape(struct str s, size_t i, enum err e, const char *what,
                              struct err_detail *why)
{
    return err_set(
        why, e, "the %s has a broken escape '%.*s' at offset %zu; a percent sign is sent as %%25",
        what, (int)(s.n - i < 3 ? s.n - i : 3), s.p + i, i);
}

/* Writes c in canonical form (at most 3 bytes) and returns what follows. */
static char *put_canonical(char *to, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    if (is_class(c, UNRESERVED)) {
        *to++ = c;
        return to;
    }
    *to++ = '%';
    *to++ = digits[(unsigned char)c >> 4];
    *to++ = digits[(unsigned char)c & 15];
    return to;
}

/* What a raw query will need. */
struct query_scan {
    size_t pairs, size; /* non-empty pairs; bytes of the canonical text at most */
    bool plain;         /* the raw text is canonical but for its order */
};

static enum err scan_query(struct str raw, struct query_scan *scan, struct err_detail *why)
{
    bool in_pair = false, in_value = false;
    *scan = (struct query_scan){.size = raw.n, .plain = true};
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '&') {
            in_pair = in_value = false;
            continue;
        }
        if (!in_pair) {
            in_pair = true;
            scan->pairs++;
        }
        if (is_class(c, UNRESERVED))
            continue;
        if (c == '=' && !in_value) {
            in_value = true;
            continue;
        }
        scan->plain = false;
        if (c != '%') {
            scan->size += 2;
            continue;
        }
        if (!is_escape(raw, i))
            return broken_escape(raw, i, ERR_INVALID_QUERY, "query", why);
        i += 2;
    }
    if (scan->pairs > MAX_PAIRS)
        return err_set(why, ERR_INVALID_QUERY, "the query has more than %d parameters", MAX_PAIRS);
    return ERR_OK;
}

/* Writes the canonical text of a query whose escapes were checked; returns its length. The pairs
 * keep their order, separators stay what they are. */
static size_t canonical_query(struct str raw, char *text)
{
    char *to = text;
    bool in_value = false;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '&' || (c == '=' && !in_value)) {
            in_value = c == '=';
            *to++ = c;
        } else if (c == '%') {
            to = put_canonical(to, escaped_byte(raw, i));
            i += 2;
        } else {
            to = put_canonical(to, c == '+' ? ' ' : c);
        }
    }
    return (size_t)(to - text);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct uri_pair *x = a, *y = b;
    int order = str_cmp(x->name, y->name);
    return order ? order : str_cmp(x->value, y->value);
}

/* Pairs that compare equal are the same bytes, so every sort is a stable one here. */
void uri_query_sort(struct uri_query *q)
{
    struct uri_pair *v = q->v;
    if (q->n > INSERTION_SORT_MAX) {
        qsort(v, q->n, sizeof(*v), compare_pairs);
        return;
    }
    for (size_t i = 1; i < q->n; i++) {
        struct uri_pair moving = v[i];
        size_t k = i;
        for (; k && compare_pairs(&v[k - 1], &moving) > 0; k--)
            v[k] = v[k - 1];
        v[k] = moving;
    }
}

enum err uri_query_parse(struct str raw, struct arena *a, struct uri_query *out,
                         struct err_detail *why)
{
    struct query_scan scan;
    *out = (struct uri_query){.v = NULL};
    enum err e = scan_query(raw, &scan, why);
    if (e || scan.pairs == 0)
        return e;
    struct uri_pair *v = arena_alloc(a, scan.pairs * sizeof(*v));
    char *text = v ? arena_alloc(a, scan.size) : NULL;
    if (!text)
        return arena_full(why);
    size_t n = raw.n;
    if (scan.plain)
        memcpy(text, raw.p, n);
    else
        n = canonical_query(raw, text);

    size_t count = 0;
    for (struct str rest = str_n(text, n); rest.p;) {
        struct str value = str_cut(&rest, '&');
        if (value.n == 0)
            continue;
        struct str name = str_cut(&value, '=');
        if (!value.p)
            value = str_n(name.p + name.n, 0);
        v[count++] = (struct uri_pair){name, value};
    }
    *out = (struct uri_query){v, count};
    uri_query_sort(out);
    return ERR_OK;
}

struct str uri_query_write(const struct uri_query *q, struct arena *a)
{
    if (q->n == 0)
        return STR("");
    size_t size = 2 * q->n - 1;
    for (size_t i = 0; i < q->n; i++)
        size += q->v[i].name.n + q->v[i].value.n;
    char *text = arena_alloc(a, size);
    if (!text)
        return str_n(NULL, 0);
    char *to = text;
    for (size_t i = 0; i < q->n; i++) {
        struct str name = q->v[i].name, value = q->v[i].value;
        if (i)
            *to++ = '&';
        if (name.n)
            memcpy(to, name.p, name.n);
        to += name.n;
        *to++ = '=';
        if (value.n)
            memcpy(to, value.p, value.n);
        to += value.n;
    }
    return str_n(text, size);
}

enum err uri_path(struct str raw, struct arena *a, struct str *out, struct err_detail *why)
{
    size_t size = raw.n;
    *out = STR("/");
    if (raw.n == 0)
        return ERR_OK;
    if (raw.p[0] != '/')
        return err_set(why, ERR_INVALID_REQUEST, "the path must begin with '/'");
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (is_class(c, UNRESERVED) || c == '/')
            continue;
        if (c == '%') {
            if (!is_escape(raw, i))
                return broken_escape(raw, i, ERR_INVALID_REQUEST, "path", why);
            c = escaped_byte(raw, i);
            i += 2;
        } else {
            size += 2;
        }
        if (c == '\0')
            return err_set(why, ERR_INVALID_REQUEST, "the path holds a NUL byte (%%00)");
    }
    char *text = arena_alloc(a, size);
    if (!text)
        return arena_full(why);
    char *to = text;
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] == '/') {
            *to++ = '/';
        } else if (raw.p[i] == '%') {
            to = put_canonical(to, escaped_byte(raw, i));
            i += 2;
        } else {
            to = put_canonical(to, raw.p[i]);
        }
    }
    *out = str_n(text, (size_t)(to - text));
    return ERR_OK;
}

void uri_encode(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        size_t run = i;
        while (run < s.n && is_class(s.p[run], UNRESERVED))
            run++;
        if (run > i)
            buf_put(b, s.p + i, run - i);
        if (run < s.n) {
            char escape[3];
            buf_put(b, escape, (size_t)(put_canonical(escape, s.p[run]) - escape));
        }
        i = run;
    }
}

enum err uri_decode(struct str s, bool plus, struct arena *a, struct str *out)
{
    *out = str_n(NULL, 0);
    char *text = arena_alloc(a, s.n + 1);
    if (!text)
        return ERR_OVERLOADED;
    char *to = text;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (!is_escape(s, i))
                return ERR_INVALID_QUERY;
            c = escaped_byte(s, i);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        *to++ = c;
    }
    *to = '\0';
    *out = str_n(text, (size_t)(to - text));
    return ERR_OK;
}
