/* SPDX-License-Identifier: Apache-2.0 */
/* Which header fields go upstream. Every field is classified once, by length and then by name; the
 * second pass only copies views. What belongs to this hop, to another proxy's trace, to the
 * client's own signature or to this proxy never leaves. */
#include "http/hdr.h"
#include "proxy/route_int.h"

/* What a field is to the proxy. */
enum kind {
    KIND_PLAIN,
    KIND_SIGNED,
    KIND_DROP, /* hop-by-hop, or made anew */
    KIND_CONNECTION,
    KIND_AUTHORIZATION,
    KIND_PROXY_AUTHORIZATION,
    KIND_SHA256,
    KIND_FORWARDED,
    KIND_ORIGIN,
    KIND_REFERER,
    KIND_SEC_FETCH_SITE,
    KIND_ACCEPT_ENCODING,
    KIND_OPTION,
};

struct name_kind {
    struct str name;
    enum kind kind;
};

#define N(lit, k)                                                                                  \
    {                                                                                              \
        {lit, sizeof(lit) - 1}, k                                                                  \
    }
/* Rows of one length stand together; first_row[] finds them. */
static const struct name_kind names[] = {
    N("TE", KIND_DROP),
    N("Via", KIND_FORWARDED),
    N("Host", KIND_DROP),
    N("Expect", KIND_DROP),
    N("X-Date", KIND_DROP),
    N("Origin", KIND_ORIGIN),
    N("Trailer", KIND_DROP),
    N("Upgrade", KIND_DROP),
    N("Referer", KIND_REFERER),
    N("Forwarded", KIND_FORWARDED),
    N("X-Real-IP", KIND_FORWARDED),
    N("Connection", KIND_CONNECTION),
    N("Keep-Alive", KIND_DROP),
    N("X-Sigferry", KIND_OPTION),
    N("Content-MD5", KIND_SIGNED),
    N("X-Forwarded", KIND_FORWARDED),
    N("Content-Type", KIND_SIGNED),
    N("Authorization", KIND_AUTHORIZATION),
    N("Content-Length", KIND_DROP),
    N("Sec-Fetch-Site", KIND_SEC_FETCH_SITE),
    N("Accept-Encoding", KIND_ACCEPT_ENCODING),
    N("X-Content-Sha256", KIND_SHA256),
    N("X-Security-Token", KIND_DROP),
    N("Transfer-Encoding", KIND_DROP),
    N("Proxy-Authorization", KIND_PROXY_AUTHORIZATION),
};
#undef N

static const unsigned char field_of[] = {
    [KIND_PLAIN] = FIELD_PLAIN,
    [KIND_SIGNED] = FIELD_SIGNED,
    [KIND_DROP] = FIELD_DROP,
    [KIND_CONNECTION] = FIELD_DROP,
    [KIND_AUTHORIZATION] = FIELD_DROP,
    [KIND_PROXY_AUTHORIZATION] = FIELD_DROP,
    [KIND_SHA256] = FIELD_DROP,
    [KIND_FORWARDED] = FIELD_DROP,
    [KIND_ORIGIN] = FIELD_PLAIN,
    [KIND_REFERER] = FIELD_PLAIN,
    [KIND_SEC_FETCH_SITE] = FIELD_PLAIN,
    [KIND_ACCEPT_ENCODING] = FIELD_ENCODING,
    [KIND_OPTION] = FIELD_DROP,
};

/* Row numbers by length of the name; rows [first_row[n], first_row[n + 1]). */
static const unsigned char first_row[] = {
    0, 0, 0, 1, 2, 3, 3, 6, 9, 9, 11, 14, 16, 17, 18, 20, 21, 23, 24, 24, 25,
};
enum { LONGEST = (int)sizeof(first_row) - 2 };

static enum kind kind_of(struct str name)
{
    char first = name.n ? ascii_lower(name.p[0]) : '\0';
    if (name.n <= LONGEST)
        for (unsigned i = first_row[name.n]; i < first_row[name.n + 1]; i++)
            if (ascii_lower(names[i].name.p[0]) == first && str_ieq(name, names[i].name))
                return names[i].kind;
    if (name.n < 3)
        return KIND_PLAIN;
    if (first == 'x' && name.p[1] == '-') {
        if (str_istarts(name, STR("X-Sigferry-")))
            return KIND_OPTION;
        return str_istarts(name, STR("X-Forwarded-")) ? KIND_FORWARDED : KIND_SIGNED;
    }
    if (first == 'p' && str_istarts(name, STR("Proxy-")))
        return KIND_DROP;
    return KIND_PLAIN;
}

/* Does a Connection value name fields, beyond the connection's own options? */
static bool names_fields(struct str value)
{
    while (value.p) {
        struct str token = str_trim(str_cut(&value, ','));
        if (token.n && !str_ieq(token, STR("close")) && !str_ieq(token, STR("keep-alive")))
            return true;
    }
    return false;
}

static void note_option(struct route_work *w, struct str name, struct str value)
{
    enum route_option o = route_option_find(name);
    unsigned bit = o < OPT_COUNT ? 1U << o : 0;
    if (!bit || (w->option_given & bit)) {
        if (!w->bad_option.p) {
            w->bad_option = name;
            w->bad_option_repeated = bit != 0;
        }
        return;
    }
    w->option_given |= bit;
    w->option[o] = value;
}

/* Notes what a field says to this proxy. */
static void note(struct route_work *w, enum kind k, struct str name, struct str value)
{
    switch (k) {
    case KIND_CONNECTION:
        w->nominates = w->nominates || names_fields(value);
        break;
    case KIND_AUTHORIZATION:
        w->claim.authorization = value;
        w->claim.nauthorization++;
        break;
    case KIND_PROXY_AUTHORIZATION:
        w->claim.proxy_authorization = value;
        w->claim.nproxy_authorization++;
        break;
    case KIND_SHA256:
        w->sha256 = value;
        w->nsha256++;
        break;
    case KIND_FORWARDED:
        if (!w->forwarded.p)
            w->forwarded = name;
        break;
    case KIND_ORIGIN:
        w->origin = value;
        w->norigin++;
        break;
    case KIND_REFERER:
        w->referer = value;
        w->nreferer++;
        break;
    case KIND_SEC_FETCH_SITE:
        w->sec_fetch_site = value;
        w->nsec_fetch_site++;
        break;
    case KIND_OPTION:
        note_option(w, name, value);
        break;
    case KIND_PLAIN:
    case KIND_SIGNED:
    case KIND_DROP:
    case KIND_ACCEPT_ENCODING:
        break;
    }
}

enum err route_headers_scan(struct route_work *w)
{
    const struct hdrs *h = &w->head->hdrs;
    if (h->n > GATE_MAX_HEADERS)
        return err_set(w->why, ERR_HEADERS_TOO_LARGE, "the request has more than %d header fields",
                       GATE_MAX_HEADERS);
    for (size_t i = 0; i < h->n; i++) {
        enum kind k = kind_of(h->v[i].name);
        w->field[i] = field_of[k];
        if (k > KIND_DROP)
            note(w, k, h->v[i].name, str_trim(h->v[i].value));
    }
    return ERR_OK;
}

/* Joins the values of all fields named as field `at` with ',', from `at` on, and marks the later
 * ones as done. {NULL,0} when the arena is full. */
static struct str join(struct route_work *w, size_t at)
{
    const struct hdrs *h = &w->head->hdrs;
    struct str name = h->v[at].name;
    size_t size = 0;
    for (size_t i = at; i < h->n; i++)
        if (w->field[i] == FIELD_SIGNED && str_ieq(h->v[i].name, name))
            size += h->v[i].value.n + 1;
    char *text = arena_alloc(w->a, size), *to = text;
    if (!text)
        return str_n(NULL, 0);
    for (size_t i = at; i < h->n; i++) {
        if (w->field[i] != FIELD_SIGNED || !str_ieq(h->v[i].name, name))
            continue;
        struct str value = str_trim(h->v[i].value);
        if (i != at) {
            *to++ = ',';
            w->field[i] = FIELD_DROP;
        }
        if (value.n)
            memcpy(to, value.p, value.n);
        to += value.n;
    }
    return str_n(text, (size_t)(to - text));
}

/* Is there a later field of that name? Looked for only among signed ones of the same length. */
static bool repeats(const struct route_work *w, size_t at)
{
    const struct hdrs *h = &w->head->hdrs;
    struct str name = h->v[at].name;
    for (size_t i = at + 1; i < h->n; i++)
        if (w->field[i] == FIELD_SIGNED && h->v[i].name.n == name.n && str_ieq(h->v[i].name, name))
            return true;
    return false;
}

enum err route_headers_forward(struct route_work *w)
{
    const struct hdrs *h = &w->head->hdrs;
    struct hdrs *f = &w->out->forward;
    size_t cap = h->n + ROUTE_SPARE_HEADERS;
    *f = (struct hdrs){.v = arena_alloc(w->a, cap * sizeof(struct hdr)), .cap = cap};
    if (!f->v)
        return route_full(w->why);
    for (size_t i = 0; i < h->n; i++) {
        if (w->field[i] == FIELD_DROP || (w->nominates && hdr_is_nominated(h, h->v[i].name)))
            continue;
        if (w->field[i] == FIELD_ENCODING && w->out->opt.nretry_error_codes)
            continue; /* a coded body could not be looked into for its error code */
        struct str value = str_trim(h->v[i].value);
        if (w->field[i] == FIELD_SIGNED && repeats(w, i)) {
            value = join(w, i);
            if (!value.p)
                return route_full(w->why);
        }
        f->v[f->n++] = (struct hdr){h->v[i].name, value};
    }
    return ERR_OK;
}
