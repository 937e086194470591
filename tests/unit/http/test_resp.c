/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser. Every row is fed whole, byte by byte, in small pieces and cut once at every
 * place: the events must be the same. Pieces live in memory of exactly their size that is gone
 * after the call, so that a view kept too long shows under AddressSanitizer. */
#include "http/resp.h"
#include <check.h>
#include <stdlib.h>

struct row {
    const char *name, *input;
    bool is_head, at_eof; /* at_eof: the connection ends after the input */
    const char *want;
};

/* Writes what a parser says as text: head(STATUS,FRAMING,LENGTH,KEEP)[NAME=VALUE…]{DATA}end+LEFT */
static void note_head(const struct resp *r, struct buf *out)
{
    static const char *const framing[] = {"none", "length", "chunked", "close"};
    buf_printf(out, "%u %.*s,%s,", r->status, STR_ARG(r->reason), framing[r->framing]);
    if (r->has_length)
        buf_printf(out, "%llu,", (unsigned long long)r->length);
    buf_putz(out, r->keep_alive ? "keep" : "drop");
    for (size_t i = 0; i < r->hdrs.n; i++)
        buf_printf(out, " [%.*s=%.*s]", STR_ARG(r->hdrs.v[i].name), STR_ARG(r->hdrs.v[i].value));
}

/* At the end the head must still say what it said when it came. */
static void assert_head_lives(const struct resp *r, const struct buf *out)
{
    struct buf again;
    buf_init(&again, 1 << 20);
    note_head(r, &again);
    ck_assert(!again.failed && again.n > 0 && str_starts(buf_str(out), buf_str(&again)));
    buf_free(&again);
}

static enum resp_event feed_piece(struct resp *r, struct str piece, struct buf *out, size_t *left)
{
    char *copy = malloc(piece.n ? piece.n : 1);
    ck_assert_ptr_nonnull(copy);
    if (piece.n)
        memcpy(copy, piece.p, piece.n);
    struct str in = str_n(copy, piece.n), data = str_n(NULL, 0);
    enum resp_event ev;
    while ((ev = resp_feed(r, &in, &data)) == RESP_HEAD || ev == RESP_DATA) {
        if (ev == RESP_HEAD) {
            note_head(r, out);
            buf_putz(out, " ");
        } else {
            ck_assert(data.n > 0 && data.p >= copy && data.p + data.n <= copy + piece.n);
            buf_puts(out, data);
        }
    }
    ck_assert(in.n <= piece.n);
    ck_assert(ev != RESP_MORE || in.n == 0);
    *left = in.n;
    free(copy);
    return ev;
}

/* Feeds the first piece, then pieces of `step`. */
static void run(struct resp *r, struct str input, const struct row *row, size_t first, size_t step,
                struct buf *out)
{
    enum resp_event ev = RESP_MORE;
    size_t left = 0;
    buf_reset(out);
    resp_reset(r, row->is_head);
    for (size_t at = 0, n = first; ev == RESP_MORE && at < input.n; at += n, n = step) {
        if (n > input.n - at)
            n = input.n - at;
        ev = feed_piece(r, str_n(input.p + at, n), out, &left);
        left += input.n - at - n;
    }
    if (ev == RESP_MORE && row->at_eof)
        ev = resp_eof(r);
    if (ev == RESP_END) {
        assert_head_lives(r, out);
        buf_printf(out, "|end+%zu", left);
    } else if (ev == RESP_BAD) {
        buf_printf(out, "|bad: %s", r->why);
    } else {
        buf_putz(out, "|more");
    }
    /* Final states stay. */
    struct str more = STR("x"), data;
    if (ev == RESP_END || ev == RESP_BAD) {
        ck_assert_int_eq(resp_feed(r, &more, &data), ev);
        ck_assert_uint_eq(more.n, 1);
        ck_assert_int_eq(resp_eof(r), ev);
    }
    ck_assert(!out->failed);
}

static void assert_out(const struct buf *out, const struct row *row, const char *how, size_t at)
{
    ck_assert_msg(str_eq(buf_str(out), str_of(row->want)), "%s, %s %zu:\n got '%.*s'\nwant '%s'",
                  row->name, how, at, STR_ARG(buf_str(out)), row->want);
}

#define OK             "HTTP/1.1 200 OK\r\n"
#define CHUNKED        OK "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD   "200 OK,chunked,keep [Transfer-Encoding=chunked] "
#define BAD_CHUNK_SIZE CHUNKED_HEAD "|bad: a chunk size is malformed"
#define CUT            "|bad: the server closed the connection in the middle of the response"
#define BAD_STATUS     "|bad: the status line is malformed"
#define BAD_NUMBER     "|bad: the status is not a number from 100 to 999"
#define BAD_LENGTH     "|bad: the response's Content-Length is not a number"
#define BAD_ENCODING                                                                               \
    "|bad: the response's Transfer-Encoding is not chunked, or its version is HTTP/1.0"
#define BAD_TWICE "|bad: the response has two Content-Length or two Transfer-Encoding headers"
#define BAD_BOTH  "|bad: the response has both Content-Length and Transfer-Encoding"
#define NOT_HTTP  "|bad: the response does not begin with HTTP/1."
#define BARE_LF   "|bad: a line of the response head ends without CR"

static const struct row rows[] = {
    {"length", OK "Content-Length: 5\r\n\r\nhello", 0, 0,
     "200 OK,length,5,keep [Content-Length=5] hello|end+0"},
    {"length 0", OK "content-length:0\r\n\r\n", 0, 0,
     "200 OK,length,0,keep [content-length=0] |end+0"},
    {"R26 extra bytes", OK "Content-Length: 2\r\n\r\nhiHTTP/1.1 200", 0, 0,
     "200 OK,length,2,keep [Content-Length=2] hi|end+12"},
    {"until close", OK "\r\nhello", 0, 1, "200 OK,close,drop hello|end+0"},
    {"until close, empty", OK "\r\n", 0, 1, "200 OK,close,drop |end+0"},
    {"until close, open", OK "\r\nhello", 0, 0, "200 OK,close,drop hello|more"},
    {"OWS", OK "A: \t b c \t\r\nB:\r\nC: \r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 OK,length,0,keep [A=b c] [B=] [C=] [Content-Length=0] |end+0"},
    {"8-bit", OK "A: \xe4\xb8\xad\xff\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 OK,length,0,keep [A=\xe4\xb8\xad\xff] [Content-Length=0] |end+0"},
    {"R33 kept apart", OK "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 OK,length,0,keep [Set-Cookie=a=1] [Set-Cookie=b=2] [Content-Length=0] |end+0"},
    /* status line */
    {"R16 no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 ,length,0,keep [Content-Length=0] |end+0"},
    {"empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 ,length,0,keep [Content-Length=0] |end+0"},
    {"R15 999", "HTTP/1.1 999 Odd \xe9\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "999 Odd \xe9,length,0,keep [Content-Length=0] |end+0"},
    {"R13 no status line", "hello world, this is HTTP/0.9\r\n\r\n", 0, 0, NOT_HTTP},
    {"R14 1.2", "HTTP/1.2 200 OK\r\n\r\n", 0, 0, BAD_STATUS},
    {"2.0", "HTTP/2.0 200 OK\r\n\r\n", 0, 0, NOT_HTTP},
    {"HTTP/2", "HTTP/2 200 OK\r\n\r\n", 0, 0, NOT_HTTP},
    {"lower case", "http/1.1 200 OK\r\n\r\n", 0, 0, NOT_HTTP},
    {"R14 4 digits", "HTTP/1.1 2000 OK\r\n\r\n", 0, 0, BAD_STATUS},
    {"2 digits", "HTTP/1.1 20 OK\r\n\r\n", 0, 0, BAD_STATUS},
    {"R14 099", "HTTP/1.1 099 OK\r\n\r\n", 0, 0, BAD_NUMBER},
    {"signed", "HTTP/1.1 +20 OK\r\n\r\n", 0, 0, BAD_NUMBER},
    {"two spaces", "HTTP/1.1  200 OK\r\n\r\n", 0, 0, BAD_STATUS},
    {"tab", "HTTP/1.1\t200 OK\r\n\r\n", 0, 0, BAD_STATUS},
    {"tab after", "HTTP/1.1 200\tOK\r\n\r\n", 0, 0, BAD_STATUS},
    {"only the version", "HTTP/1.1\r\n\r\n", 0, 0, BAD_STATUS},
    {"a space, no status", "HTTP/1.1 \r\n\r\n", 0, 0, BAD_STATUS},
    {"CR in the reason", "HTTP/1.1 200 a\rb\r\n\r\n", 0, 0,
     "|bad: the reason phrase holds a control byte"},
    {"leading CRLF", "\r\nHTTP/1.1 200 OK\r\n\r\n", 0, 0, NOT_HTTP},
    {"short banner", "SSH-2.0-x", 0, 0, NOT_HTTP},
    {"TLS alert", "\x15\x03\x01", 0, 0, NOT_HTTP},
    {"bare LF, short", "HT\n", 0, 0, NOT_HTTP},
    /* lines */
    {"bare LF status", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 0, 0, BARE_LF},
    {"bare LF header", OK "Content-Length: 0\n\r\n", 0, 0, BARE_LF},
    {"bare LF at the end", OK "Content-Length: 0\r\n\n", 0, 0, BARE_LF},
    {"LF LF", OK "\n", 0, 0, BARE_LF},
    {"CR CR LF", OK "A: b\r\r\n\r\n", 0, 0, "|bad: a header value holds a control byte"},
    {"CR alone", OK "A: b\rC: d\r\n\r\n", 0, 0, "|bad: a header value holds a control byte"},
    {"R11 fold SP", OK "A: b\r\n c\r\n\r\n", 0, 0, "|bad: a header is folded over several lines"},
    {"R11 fold TAB", OK "A: b\r\n\tc: d\r\n\r\n", 0, 0,
     "|bad: a header is folded over several lines"},
    {"fold at once", OK " A: b\r\n\r\n", 0, 0, "|bad: a header is folded over several lines"},
    {"R10 no colon", OK "Content-Length\r\n\r\n", 0, 0, "|bad: a header line has no colon"},
    {"space before colon", OK "Content-Length : 5\r\n\r\n", 0, 0,
     "|bad: a header name is not a token"},
    {"empty name", OK ": 5\r\n\r\n", 0, 0, "|bad: a header name is not a token"},
    {"CR as a line", OK "\r\r\n\r\n", 0, 0, "|bad: a header line has no colon"},
    /* length */
    {"R1 conflict", OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 0, 0, BAD_TWICE},
    {"R1 equal", OK "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", 0, 0, BAD_TWICE},
    {"list", OK "Content-Length: 5, 5\r\n\r\n", 0, 0, BAD_LENGTH},
    {"R4 -5", OK "Content-Length: -5\r\n\r\n", 0, 0, BAD_LENGTH},
    {"+5", OK "Content-Length: +5\r\n\r\n", 0, 0, BAD_LENGTH},
    {"5abc", OK "Content-Length: 5abc\r\n\r\n", 0, 0, BAD_LENGTH},
    {"0x5", OK "Content-Length: 0x5\r\n\r\n", 0, 0, BAD_LENGTH},
    {"empty", OK "Content-Length:\r\n\r\n", 0, 0, BAD_LENGTH},
    {"2^63", OK "Content-Length: 9223372036854775808\r\n\r\n", 0, 0, BAD_LENGTH},
    {"2^64+5", OK "Content-Length: 18446744073709551621\r\n\r\n", 0, 0, BAD_LENGTH},
    {"2^63-1", OK "Content-Length: 9223372036854775807\r\n\r\nx", 0, 1,
     "200 OK,length,9223372036854775807,keep [Content-Length=9223372036854775807] x" CUT},
    {"bad even on 304", "HTTP/1.1 304 N\r\nContent-Length: x\r\n\r\n", 0, 0, BAD_LENGTH},
    {"bad even on HEAD", OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 1, 0, BAD_TWICE},
    {"R5 both", OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0, 0, BAD_BOTH},
    {"both on HEAD", OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 1, 0, BAD_BOTH},
    {"R6 gzip, chunked", OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, 0, BAD_ENCODING},
    {"identity", OK "Transfer-Encoding: identity\r\n\r\n", 0, 0, BAD_ENCODING},
    {"chunked, chunked", OK "Transfer-Encoding: chunked, chunked\r\n\r\n", 0, 0, BAD_ENCODING},
    {"chunked twice", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0,
     BAD_TWICE},
    {"empty encoding", OK "Transfer-Encoding:\r\n\r\n", 0, 0, BAD_ENCODING},
    {"xchunked", OK "Transfer-Encoding: xchunked\r\n\r\n", 0, 0, BAD_ENCODING},
    {"encoding on 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0,
     BAD_ENCODING},
    /* without a body */
    {"R25 HEAD", OK "Content-Length: 500\r\n\r\n", 1, 0,
     "200 OK,none,500,keep [Content-Length=500] |end+0"},
    {"HEAD, nothing said", OK "\r\n", 1, 0, "200 OK,none,keep |end+0"},
    {"HEAD, chunked", OK "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 1, 0,
     "200 OK,none,keep [Transfer-Encoding=CHUNKED] |end+5"},
    {"R24 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 0, 0,
     "304 Not Modified,none,500,keep [Content-Length=500] |end+0"},
    {"304 chunked", "HTTP/1.1 304 N\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0,
     "304 N,none,drop [Transfer-Encoding=chunked] |end+0"},
    {"204", "HTTP/1.1 204 No\r\n\r\n", 0, 0, "204 No,none,keep |end+0"},
    {"204 length 0", "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "204 No,none,0,keep [Content-Length=0] |end+0"},
    {"R23 204 with a body", "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi", 0, 0,
     "204 No,none,2,drop [Content-Length=2] |end+2"},
    /* interim */
    {"R8 103", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", 0, 0,
     "200 OK,length,1,keep [Content-Length=1] x|end+0"},
    {"100, framing ignored",
     "HTTP/1.1 100 C\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100\r\n\r\n" OK
     "Content-Length: 1\r\n\r\nx",
     0, 0, "200 OK,length,1,keep [Content-Length=1] x|end+0"},
    {"100 on HEAD", "HTTP/1.1 100 C\r\n\r\n" OK "Content-Length: 9\r\n\r\n", 1, 0,
     "200 OK,none,9,keep [Content-Length=9] |end+0"},
    {"100, garbage inside", "HTTP/1.1 100 C\r\nx\r\n\r\n", 0, 0,
     "|bad: a header line has no colon"},
    {"100, garbage after", "HTTP/1.1 100 C\r\n\r\nhello", 0, 0, NOT_HTTP},
    {"100, then the end", "HTTP/1.1 100 C\r\n\r\n", 0, 1, CUT},
    {"100, then a line just longer",
     "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 Yes\r\nContent-Length: 1\r\n\r\nx", 0, 0,
     "200 Yes,length,1,keep [Content-Length=1] x|end+0"},
    {"R7 101", "HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n", 0, 0,
     "|bad: the server switched protocols unasked"},
    /* keep-alive */
    {"close", OK "Connection: x, Close\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 OK,length,0,drop [Connection=x, Close] [Content-Length=0] |end+0"},
    {"close in the second", OK "Connection: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 0,
     0, "200 OK,length,0,drop [Connection=x] [Connection=close] [Content-Length=0] |end+0"},
    {"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 0,
     "200 OK,length,0,drop [Content-Length=0] |end+0"},
    {"1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 0,
     0, "200 OK,length,0,keep [Connection=Keep-Alive] [Content-Length=0] |end+0"},
    {"1.0 both", "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n", 0,
     0, "200 OK,length,0,drop [Connection=keep-alive, close] [Content-Length=0] |end+0"},
    {"close in the first", OK "Connection: close\r\nConnection: x\r\nContent-Length: 0\r\n\r\n", 0,
     0, "200 OK,length,0,drop [Connection=close] [Connection=x] [Content-Length=0] |end+0"},
    {"never until close", OK "Connection: keep-alive\r\n\r\nx", 0, 1,
     "200 OK,close,drop [Connection=keep-alive] x|end+0"},
    /* cut short */
    {"nothing", "", 0, 1, "|more"},
    {"R19 short", OK "Content-Length: 5\r\n\r\nhell", 0, 1,
     "200 OK,length,5,keep [Content-Length=5] hell" CUT},
    {"cut head", OK "Content-Length: 5\r\n", 0, 1, CUT},
    {"R20 cut chunk", CHUNKED "5\r\nhel", 0, 1, CHUNKED_HEAD "hel" CUT},
    {"R21 no last chunk", CHUNKED "5\r\nhello\r\n", 0, 1, CHUNKED_HEAD "hello" CUT},
    {"no end of trailers", CHUNKED "0\r\nA: b\r\n", 0, 1, CHUNKED_HEAD CUT},
    /* chunks */
    {"B1", CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nX", 0, 0,
     CHUNKED_HEAD "hello world|end+1"},
    {"B2 hex", CHUNKED "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", 0, 0,
     CHUNKED_HEAD "01234567890123456789|end+0"},
    {"B3 zeros", CHUNKED "0000000000000002\r\nhi\r\n0000000000000000\r\n\r\n", 0, 0,
     CHUNKED_HEAD "hi|end+0"},
    {"data looks like framing", CHUNKED "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", 0, 0,
     CHUNKED_HEAD "0\r\n\r\n\r\n|end+0"},
    {"B4 0x5", CHUNKED "0x5\r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B5 +5", CHUNKED "+5\r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B6 -5", CHUNKED "-5\r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B7 space before", CHUNKED " 5\r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B8 space after", CHUNKED "5 \r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B9 empty", CHUNKED "\r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"only an extension", CHUNKED ";a\r\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"R30 letters", CHUNKED "xyz\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"g", CHUNKED "g\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B13 bare LF", CHUNKED "5\nhello\r\n", 0, 0, BAD_CHUNK_SIZE},
    {"B11 17 digits", CHUNKED "00000000000000005\r\nhello\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a chunk size is too large"},
    {"16 digits", CHUNKED "ffffffffffffffff\r\nhello", 0, 1, CHUNKED_HEAD "hello" CUT},
    {"CR without LF", CHUNKED "5\rhello\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a chunk size line ends without LF"},
    {"B12 overrun", CHUNKED "5\r\nhello!\r\n0\r\n\r\n", 0, 0,
     CHUNKED_HEAD "hello|bad: a chunk is longer than its size"},
    {"LF after data", CHUNKED "5\r\nhello\n0\r\n\r\n", 0, 0,
     CHUNKED_HEAD "hello|bad: a chunk is longer than its size"},
    {"CR after data", CHUNKED "5\r\nhello\r0\r\n\r\n", 0, 0,
     CHUNKED_HEAD "hello|bad: a chunk ends without LF"},
    {"B14 extension", CHUNKED "2;a=\"b;c\" ; \xff\r\nhi\r\n0;x\r\n\r\n", 0, 0,
     CHUNKED_HEAD "hi|end+0"},
    {"LF in an extension", CHUNKED "2;a\nhi\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a chunk extension holds a control byte"},
    {"CR in an extension", CHUNKED "2;a\rb\r\nhi\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a chunk size line ends without LF"},
    /* trailers */
    {"R18", CHUNKED "2\r\nhi\r\n0\r\nX-T: a b\r\nContent-Length: 5\r\nEmpty:\r\n\r\nrest", 0, 0,
     CHUNKED_HEAD "hi|end+4"},
    {"B21 no colon", CHUNKED "0\r\nX-T\r\n\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer name is not a token"},
    {"fold", CHUNKED "0\r\nX-T: a\r\n b\r\n\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer name is not a token"},
    {"no name", CHUNKED "0\r\n: a\r\n\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer name is not a token"},
    {"control byte", CHUNKED "0\r\nX-T: a\x01\r\n\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer value holds a control byte"},
    {"bare LF in trailers", CHUNKED "0\r\nX-T: a\n\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer value holds a control byte"},
    {"LF after CR missing", CHUNKED "0\r\nX-T: a\rb\r\n\r\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer line ends without LF"},
    {"bare LF at the end of trailers", CHUNKED "0\r\n\n", 0, 0,
     CHUNKED_HEAD "|bad: a trailer name is not a token"},
    {"last CR without LF", CHUNKED "0\r\n\rX", 0, 0,
     CHUNKED_HEAD "|bad: a trailer line ends without LF"},
};

START_TEST(every_split)
{
    const struct row *row = &rows[_i];
    struct str input = str_of(row->input);
    struct resp r;
    struct buf out;
    resp_init(&r);
    buf_init(&out, 1 << 20);
    run(&r, input, row, input.n, 1, &out);
    assert_out(&out, row, "whole", 0);
    for (size_t step = 1; step < 8; step++) {
        run(&r, input, row, step, step, &out);
        assert_out(&out, row, "in pieces of", step);
    }
    for (size_t first = 0; first < input.n; first++) {
        run(&r, input, row, first, input.n, &out);
        assert_out(&out, row, "cut at", first);
    }
    buf_free(&out);
    resp_free(&r);
}
END_TEST

START_TEST(every_truncation)
{
    /* A response cut anywhere is never taken for a whole one. */
    const struct row *row = &rows[_i];
    struct str input = str_of(row->input);
    struct resp r;
    resp_init(&r);
    resp_reset(&r, row->is_head);
    struct str in = input, data;
    enum resp_event ev;
    while ((ev = resp_feed(&r, &in, &data)) == RESP_HEAD || ev == RESP_DATA)
        ;
    size_t whole = input.n - in.n;
    for (size_t n = 0; ev == RESP_END && n < whole; n++) {
        resp_reset(&r, row->is_head);
        in = str_n(input.p, n);
        while ((ev = resp_feed(&r, &in, &data)) == RESP_HEAD || ev == RESP_DATA)
            ;
        ck_assert_msg(ev == RESP_MORE, "%s, %zu bytes", row->name, n);
        ck_assert_msg(resp_eof(&r) == (n ? RESP_BAD : RESP_MORE), "%s, end at %zu", row->name, n);
        ev = RESP_END;
    }
    resp_free(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/resp");
    TCase *t = tcase_create("rows");
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, every_split, 0, ARRAY_LEN(rows));
    tcase_add_loop_test(t, every_truncation, 0, ARRAY_LEN(rows));
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
