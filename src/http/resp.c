/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser. A head is searched for its end with memchr, copied once and then parsed as a
 * whole; body bytes are never copied. What it decides depends on the bytes alone, never on how they
 * were cut up. It repairs nothing: a response that two parsers could read differently is
 * RESP_BAD, and its connection must not be used again. */
#include "http/resp.h"

#include <assert.h>

enum state {
    ST_HEAD, /* the zero state */
    ST_COUNTED,
    ST_UNTIL_CLOSE,
    ST_CHUNK_SIZE,
    ST_CHUNK_EXT,
    ST_CHUNK_SIZE_LF,
    ST_CHUNK_DATA,
    ST_CHUNK_CR,
    ST_CHUNK_LF,
    ST_TRAILER_START,
    ST_TRAILER_NAME,
    ST_TRAILER_VALUE,
    ST_TRAILER_LF,
    ST_LAST_LF,
    ST_DONE,
    ST_BAD,
};

enum {
    MAX_SIZE_DIGITS = 16, /* of a chunk: 64 bits */
    MAX_EXCESS = 16 * 1024,
    MAX_TRAILERS = 16 * 1024,
    FREE_EXT = 16, /* extension bytes a chunk may carry without being held against the peer */
};

void resp_init(struct resp *r)
{
    *r = (struct resp){.state = ST_HEAD};
    buf_init(&r->head, RESP_MAX_HEAD);
}

void resp_free(struct resp *r)
{
    buf_free(&r->head);
    resp_reset(r, false);
}

void resp_reset(struct resp *r, bool is_head_request)
{
    /* Field by field: the header store is large and its content is dead. */
    r->status = 0;
    r->reason = str_n(NULL, 0);
    r->hdrs = (struct hdrs){.v = NULL};
    r->framing = RESP_NO_BODY;
    r->length = 0;
    r->has_length = r->keep_alive = false;
    r->why = NULL;
    buf_reset(&r->head);
    r->state = ST_HEAD;
    r->n1xx = r->digits = 0;
    r->left = 0;
    r->line_start = r->excess = r->trailer_bytes = 0;
    r->is_head_request = is_head_request;
    r->any_byte = false;
}

static enum resp_event bad(struct resp *r, const char *why)
{
    r->state = ST_BAD;
    r->why = why;
    r->keep_alive = false;
    return RESP_BAD;
}

static enum resp_event done(struct resp *r)
{
    r->state = ST_DONE;
    return RESP_END;
}

/* Refuses what is not HTTP/1 at its first wrong byte: a server that speaks something else may wait
 * for us and never send a line end. */
static bool begins_like_http(const struct resp *r, struct str in)
{
    static const char prefix[] = "HTTP/1.";
    for (size_t i = r->head.n; i < sizeof(prefix) - 1 && i - r->head.n < in.n; i++)
        if (in.p[i - r->head.n] != prefix[i])
            return false;
    return true;
}

/* Moves head bytes from *in to r->head. RESP_HEAD: the empty line was among them. */
static enum resp_event take_head(struct resp *r, struct str *in)
{
    const size_t base = r->head.n, room = RESP_MAX_HEAD - base;
    size_t take = in->n < room ? in->n : room;
    bool complete = false;

    if (!begins_like_http(r, *in))
        return bad(r, "the response does not begin with HTTP/1.");
    for (size_t at = 0; at < take;) {
        const char *lf = memchr(in->p + at, '\n', take - at);
        if (!lf)
            break;
        at = (size_t)(lf - in->p);
        char before = at ? lf[-1] : base ? r->head.p[base - 1] : '\n';
        if (before != '\r')
            return bad(r, "a line of the response head ends without CR");
        complete = base + at == r->line_start + 1;
        at++;
        if (complete) {
            take = at;
            break;
        }
        r->line_start = base + at;
    }
    if (take && !buf_add(&r->head, in->p, take))
        return bad(r, "no memory for the response head");
    bool cut = !complete && in->n > take;
    *in = str_n(in->p + take, in->n - take);
    if (cut)
        return bad(r, "the response head is too large");
    return complete ? RESP_HEAD : RESP_MORE;
}

/* The next line of a head whose lines are known to end in CR LF, without those. */
static struct str next_line(struct str *rest)
{
    struct str line = str_cut(rest, '\n');
    assert(line.p && line.n > 0);
    line.n--;
    return line;
}

/* What the fields say about framing. */
struct framing_fields {
    struct str length, encoding; /* p is NULL when absent */
    bool twice, close, keep_alive;
};

static void take_once(struct str *slot, struct str value, bool *twice)
{
    *twice |= slot->p != NULL;
    *slot = value;
}

static void note_framing(struct framing_fields *f, struct str name, struct str value)
{
    if (name.n == 14 && str_ieq(name, STR("Content-Length"))) {
        take_once(&f->length, value, &f->twice);
    } else if (name.n == 17 && str_ieq(name, STR("Transfer-Encoding"))) {
        take_once(&f->encoding, value, &f->twice);
    } else if (name.n == 10 && str_ieq(name, STR("Connection"))) {
        f->close |= hdr_list_has(value, STR("close"));
        f->keep_alive |= hdr_list_has(value, STR("keep-alive"));
    }
}

/* HTTP/1.x NNN[ reason]; NULL or what is wrong. */
static const char *parse_status(struct resp *r, struct str line)
{
    const char *p = line.p;
    if (line.n < 12 || (p[7] != '0' && p[7] != '1') || p[8] != ' ' || (line.n > 12 && p[12] != ' '))
        return "the status line is malformed";
    uint64_t status;
    if (!str_u64(str_n(p + 9, 3), 999, &status) || status < 100)
        return "the status is not a number from 100 to 999";
    r->status = (unsigned)status;
    r->reason = line.n > 12 ? str_n(p + 13, line.n - 13) : STR("");
    return hdr_is_value(r->reason) ? NULL : "the reason phrase holds a control byte";
}

/* NULL or what is wrong. */
static const char *parse_fields(struct resp *r, struct str rest, struct framing_fields *f)
{
    r->hdrs = (struct hdrs){.v = r->hdr_store, .cap = RESP_MAX_HEADERS};
    for (;;) {
        struct str value = next_line(&rest);
        if (value.n == 0)
            return NULL;
        if (value.p[0] == ' ' || value.p[0] == '\t')
            return "a header is folded over several lines";
        struct str name = str_cut(&value, ':');
        if (!value.p)
            return "a header line has no colon";
        value = str_trim(value);
        if (!hdr_is_token(name))
            return "a header name is not a token";
        if (!hdr_is_value(value))
            return "a header value holds a control byte";
        if (!hdrs_add(&r->hdrs, name, value))
            return "the response has too many headers";
        note_framing(f, name, value);
    }
}

/* RFC 9112 6.3 without its leniencies; NULL or what is wrong. */
static const char *decide_framing(struct resp *r, const struct framing_fields *f)
{
    const bool http10 = r->head.p[7] == '0', has_encoding = f->encoding.p != NULL;
    if (f->twice)
        return "the response has two Content-Length or two Transfer-Encoding headers";
    if (has_encoding && f->length.p)
        return "the response has both Content-Length and Transfer-Encoding";
    if (has_encoding && (http10 || !str_ieq(f->encoding, STR("chunked"))))
        return "the response's Transfer-Encoding is not chunked, or its version is HTTP/1.0";
    r->has_length = f->length.p != NULL;
    if (r->has_length && !str_u64(f->length, INT64_MAX, &r->length))
        return "the response's Content-Length is not a number";
    r->keep_alive = !f->close && (!http10 || f->keep_alive);

    if (r->is_head_request || r->status == 204 || r->status == 304) {
        r->framing = RESP_NO_BODY;
        r->state = ST_COUNTED;
        /* A server that announces a body where there is none may well send it. */
        if (!r->is_head_request && (has_encoding || (r->status == 204 && r->length > 0)))
            r->keep_alive = false;
    } else if (has_encoding) {
        r->framing = RESP_CHUNKED;
        r->state = ST_CHUNK_SIZE;
    } else if (r->has_length) {
        r->framing = RESP_LENGTH;
        r->state = ST_COUNTED;
        r->left = r->length;
    } else {
        r->framing = RESP_UNTIL_CLOSE;
        r->state = ST_UNTIL_CLOSE;
        r->keep_alive = false;
    }
    return NULL;
}

/* r->head is complete. RESP_MORE: it was an interim one, the next may follow. */
static enum resp_event parse_head(struct resp *r)
{
    struct framing_fields f = {.twice = false};
    struct str rest = buf_str(&r->head);
    const char *why = parse_status(r, next_line(&rest));
    if (!why)
        why = parse_fields(r, rest, &f);
    if (why)
        return bad(r, why);
    if (r->status < 200) {
        if (r->status == 101)
            return bad(r, "the server switched protocols unasked");
        if (++r->n1xx > RESP_MAX_1XX)
            return bad(r, "the server sends interim responses without end");
        buf_reset(&r->head);
        r->line_start = 0;
        return RESP_MORE;
    }
    why = decide_framing(r, &f);
    return why ? bad(r, why) : RESP_HEAD;
}

static enum resp_event feed_head(struct resp *r, struct str *in)
{
    for (;;) {
        enum resp_event ev = take_head(r, in);
        if (ev == RESP_HEAD)
            ev = parse_head(r);
        if (ev != RESP_MORE || in->n == 0)
            return ev;
    }
}

/* Body bytes, at most `most` of them. */
static enum resp_event take_data(struct str *in, uint64_t most, struct str *data)
{
    size_t n = in->n < most ? in->n : (size_t)most;
    *data = str_n(in->p, n);
    *in = str_n(in->p + n, in->n - n);
    return RESP_DATA;
}

static bool add_size_digit(struct resp *r, char c)
{
    char low = (char)(c | 0x20);
    unsigned digit;
    if (c >= '0' && c <= '9')
        digit = (unsigned)(c - '0');
    else if (low >= 'a' && low <= 'f')
        digit = (unsigned)(low - 'a') + 10;
    else
        return false;
    r->left = r->left << 4 | digit;
    r->digits++;
    return true;
}

static const char *step_size(struct resp *r, char c)
{
    if (add_size_digit(r, c))
        return r->digits > MAX_SIZE_DIGITS ? "a chunk size is too large" : NULL;
    if (r->digits == 0 || (c != '\r' && c != ';'))
        return "a chunk size is malformed";
    r->state = c == ';' ? ST_CHUNK_EXT : ST_CHUNK_SIZE_LF;
    return NULL;
}

static const char *step_ext(struct resp *r, char c)
{
    if (c == '\r')
        r->state = ST_CHUNK_SIZE_LF;
    else if (!hdr_is_value(str_n(&c, 1)))
        return "a chunk extension holds a control byte";
    else if (++r->excess > MAX_EXCESS)
        return "the chunk extensions are too large";
    return NULL;
}

static const char *step_size_lf(struct resp *r, char c)
{
    if (c != '\n')
        return "a chunk size line ends without LF";
    r->excess -= r->excess < FREE_EXT ? r->excess : FREE_EXT;
    r->digits = 0;
    r->state = r->left ? ST_CHUNK_DATA : ST_TRAILER_START;
    return NULL;
}

/* Trailer fields are checked as headers are, and forgotten. */
static const char *step_trailer(struct resp *r, char c)
{
    if (++r->trailer_bytes > MAX_TRAILERS)
        return "the trailers are too large";
    switch (r->state) {
    case ST_TRAILER_START:
    case ST_TRAILER_NAME:
        if (c == '\r' && r->state == ST_TRAILER_START)
            r->state = ST_LAST_LF;
        else if (c == ':' && r->state == ST_TRAILER_NAME)
            r->state = ST_TRAILER_VALUE;
        else if (hdr_is_token(str_n(&c, 1)))
            r->state = ST_TRAILER_NAME;
        else
            return "a trailer name is not a token";
        return NULL;
    case ST_TRAILER_VALUE:
        if (c == '\r')
            r->state = ST_TRAILER_LF;
        else if (!hdr_is_value(str_n(&c, 1)))
            return "a trailer value holds a control byte";
        return NULL;
    default:
        if (c != '\n')
            return "a trailer line ends without LF";
        r->state = r->state == ST_LAST_LF ? ST_DONE : ST_TRAILER_START;
        return NULL;
    }
}

/* One byte of chunked framing; NULL or what is wrong. */
static const char *step_chunked(struct resp *r, char c)
{
    switch (r->state) {
    case ST_CHUNK_SIZE:
        return step_size(r, c);
    case ST_CHUNK_EXT:
        return step_ext(r, c);
    case ST_CHUNK_SIZE_LF:
        return step_size_lf(r, c);
    case ST_CHUNK_CR:
        r->state = ST_CHUNK_LF;
        return c == '\r' ? NULL : "a chunk is longer than its size";
    case ST_CHUNK_LF:
        r->state = ST_CHUNK_SIZE;
        return c == '\n' ? NULL : "a chunk ends without LF";
    default:
        return step_trailer(r, c);
    }
}

static enum resp_event feed_chunked(struct resp *r, struct str *in, struct str *data)
{
    while (in->n) {
        if (r->state == ST_CHUNK_DATA) {
            enum resp_event ev = take_data(in, r->left, data);
            r->left -= data->n;
            r->excess -= r->excess < data->n ? r->excess : data->n;
            if (r->left == 0)
                r->state = ST_CHUNK_CR;
            return ev;
        }
        const char *why = step_chunked(r, in->p[0]);
        *in = str_n(in->p + 1, in->n - 1);
        if (why)
            return bad(r, why);
        if (r->state == ST_DONE)
            return RESP_END;
    }
    return RESP_MORE;
}

enum resp_event resp_feed(struct resp *r, struct str *in, struct str *data)
{
    r->any_byte |= in->n != 0;
    switch (r->state) {
    case ST_HEAD:
        return in->n ? feed_head(r, in) : RESP_MORE;
    case ST_COUNTED:
        if (r->left == 0)
            return done(r);
        if (in->n == 0)
            return RESP_MORE;
        take_data(in, r->left, data);
        r->left -= data->n;
        return RESP_DATA;
    case ST_UNTIL_CLOSE:
        return in->n ? take_data(in, in->n, data) : RESP_MORE;
    case ST_DONE:
        return RESP_END;
    case ST_BAD:
        return RESP_BAD;
    default:
        return feed_chunked(r, in, data);
    }
}

enum resp_event resp_eof(struct resp *r)
{
    switch (r->state) {
    case ST_BAD:
        return RESP_BAD;
    case ST_DONE:
    case ST_UNTIL_CLOSE:
        return done(r);
    case ST_HEAD:
        if (!r->any_byte)
            return RESP_MORE;
        break;
    case ST_COUNTED:
        if (r->left == 0)
            return done(r);
        break;
    default:
        break;
    }
    return bad(r, "the server closed the connection in the middle of the response");
}
