/* SPDX-License-Identifier: Apache-2.0 */
/* The request gate against hostile and odd heads: one row a case, and every byte value in every
 * place a byte can be. */
#include "http/gate.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_BODY = 1000000, MAX_FIELDS = 120 };

static struct hdr store[MAX_FIELDS];

/* A head from text: fields are NAME:VALUE, one a line, untouched. */
static struct gate_head head_of(const char *method, struct str target, const char *version,
                                const char *fields)
{
    struct gate_head head = {.method = str_of(method),
                             .target = target,
                             .version = str_of(version),
                             .hdrs = {store, 0, MAX_FIELDS}};
    struct str rest = str_of(fields);
    while (rest.n) {
        struct str value = str_cut(&rest, '\n');
        struct str name = str_cut(&value, ':');
        ck_assert(hdrs_add(&head.hdrs, name, value));
    }
    return head;
}

static enum err check_head(const struct gate_head *head, struct gate_verdict *v)
{
    struct err_detail why = {""};
    memset(v, 0xA5, sizeof(*v));
    enum err e = gate_check(head, MAX_BODY, v, &why);
    ck_assert_int_eq(v->must_close, e != ERR_OK);
    ck_assert_int_eq(why.text[0] != '\0', e != ERR_OK);
    /* Whoever does not want the detail gets the same answer. */
    struct gate_verdict again;
    ck_assert_int_eq(gate_check(head, MAX_BODY, &again, NULL), e);
    return e;
}

#define H "Host: localhost:8750\n"

struct row {
    const char *name, *method, *version, *fields;
    enum err want;
    enum gate_framing framing;
    uint64_t length;
};

static const struct row framing_rows[] = {
    {"A1 equal twice", "POST", "HTTP/1.1", H "Content-Length: 5\nContent-Length: 5",
     ERR_INVALID_REQUEST, 0, 0},
    {"A2 conflict", "POST", "HTTP/1.1", H "Content-Length: 5\nContent-Length: 0",
     ERR_INVALID_REQUEST, 0, 0},
    {"A3 conflict, zero first", "POST", "HTTP/1.1", H "Content-Length: 0\ncontent-length: 5",
     ERR_INVALID_REQUEST, 0, 0},
    {"A4 list", "POST", "HTTP/1.1", H "Content-Length: 5, 5", ERR_INVALID_REQUEST, 0, 0},
    {"A5 plus", "POST", "HTTP/1.1", H "Content-Length: +5", ERR_INVALID_REQUEST, 0, 0},
    {"A6 minus", "POST", "HTTP/1.1", H "Content-Length: -1", ERR_INVALID_REQUEST, 0, 0},
    {"A7 hex", "POST", "HTTP/1.1", H "Content-Length: 0x5", ERR_INVALID_REQUEST, 0, 0},
    {"A8 trailing space", "POST", "HTTP/1.1", H "Content-Length: 5 ", ERR_OK, GATE_LENGTH, 5},
    {"inner space", "POST", "HTTP/1.1", H "Content-Length: 5 5", ERR_INVALID_REQUEST, 0, 0},
    {"A9 empty", "POST", "HTTP/1.1", H "Content-Length:", ERR_INVALID_REQUEST, 0, 0},
    {"A9 blank", "POST", "HTTP/1.1", H "Content-Length: \t ", ERR_INVALID_REQUEST, 0, 0},
    {"empty, then a number", "POST", "HTTP/1.1", H "Content-Length:\nContent-Length: 5",
     ERR_INVALID_REQUEST, 0, 0},
    {"A10 20 nines", "POST", "HTTP/1.1", H "Content-Length: 99999999999999999999",
     ERR_BODY_TOO_LARGE, 0, 0},
    {"19 nines", "POST", "HTTP/1.1", H "Content-Length: 9999999999999999999", ERR_BODY_TOO_LARGE, 0,
     0},
    {"A11 2^64-1", "POST", "HTTP/1.1", H "Content-Length: 18446744073709551615", ERR_BODY_TOO_LARGE,
     0, 0},
    {"2^64+5", "POST", "HTTP/1.1", H "Content-Length: 18446744073709551621", ERR_BODY_TOO_LARGE, 0,
     0},
    {"A12 leading zeros", "POST", "HTTP/1.1", H "Content-Length: 005", ERR_OK, GATE_LENGTH, 5},
    {"20 digits, small", "POST", "HTTP/1.1", H "Content-Length: 00000000000000000005",
     ERR_BODY_TOO_LARGE, 0, 0},
    {"letters after", "POST", "HTTP/1.1", H "Content-Length: 5abc", ERR_INVALID_REQUEST, 0, 0},
    {"fraction", "POST", "HTTP/1.1", H "Content-Length: 5.0", ERR_INVALID_REQUEST, 0, 0},
    {"at the limit", "POST", "HTTP/1.1", H "Content-Length: 1000000", ERR_OK, GATE_LENGTH,
     MAX_BODY},
    {"over the limit", "POST", "HTTP/1.1", H "Content-Length: 1000001", ERR_BODY_TOO_LARGE, 0, 0},
    {"zero", "POST", "HTTP/1.1", H "Content-Length: 0", ERR_OK, GATE_LENGTH, 0},
    {"A14 space before colon", "POST", "HTTP/1.1", H "Content-Length : 5", ERR_INVALID_REQUEST, 0,
     0},
    {"A15 tab before colon", "POST", "HTTP/1.1", H "Content-Length\t: 5", ERR_INVALID_REQUEST, 0,
     0},
    {"A17 both", "POST", "HTTP/1.1", H "Content-Length: 5\nTransfer-Encoding: chunked",
     ERR_INVALID_REQUEST, 0, 0},
    {"A17 both, other order", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked\nContent-Length: 0",
     ERR_INVALID_REQUEST, 0, 0},
    {"chunked", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked", ERR_OK, GATE_CHUNKED, 0},
    {"A18 case", "POST", "HTTP/1.1", H "transfer-ENCODING: ChunKed", ERR_OK, GATE_CHUNKED, 0},
    {"A19 trailing space", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked \t", ERR_OK,
     GATE_CHUNKED, 0},
    {"A21 gzip, chunked", "POST", "HTTP/1.1", H "Transfer-Encoding: gzip, chunked",
     ERR_INVALID_REQUEST, 0, 0},
    {"A22 identity + CL", "POST", "HTTP/1.1", H "Transfer-Encoding: identity\nContent-Length: 5",
     ERR_INVALID_REQUEST, 0, 0},
    {"identity", "POST", "HTTP/1.1", H "Transfer-Encoding: identity", ERR_INVALID_REQUEST, 0, 0},
    {"A23 two, identity first", "POST", "HTTP/1.1",
     H "Transfer-Encoding: identity\nTransfer-Encoding: chunked", ERR_INVALID_REQUEST, 0, 0},
    {"two chunked", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
     ERR_INVALID_REQUEST, 0, 0},
    {"A25 chunked, chunked", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked, chunked",
     ERR_INVALID_REQUEST, 0, 0},
    {"A26 ,chunked", "POST", "HTTP/1.1", H "Transfer-Encoding: ,chunked", ERR_INVALID_REQUEST, 0,
     0},
    {"chunked,", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked,", ERR_INVALID_REQUEST, 0, 0},
    {"A27 xchunked", "POST", "HTTP/1.1", H "Transfer-Encoding: xchunked", ERR_INVALID_REQUEST, 0,
     0},
    {"chunked;q", "POST", "HTTP/1.1", H "Transfer-Encoding: chunked;q=1", ERR_INVALID_REQUEST, 0,
     0},
    {"\"chunked\"", "POST", "HTTP/1.1", H "Transfer-Encoding: \"chunked\"", ERR_INVALID_REQUEST, 0,
     0},
    {"empty encoding", "POST", "HTTP/1.1", H "Transfer-Encoding:", ERR_INVALID_REQUEST, 0, 0},
    {"empty encoding + CL", "POST", "HTTP/1.1", H "Transfer-Encoding:\nContent-Length: 5",
     ERR_INVALID_REQUEST, 0, 0},
    {"vertical tab", "POST", "HTTP/1.1", H "Transfer-Encoding: \vchunked", ERR_INVALID_REQUEST, 0,
     0},
    {"A28 space before colon", "POST", "HTTP/1.1",
     H "Transfer-Encoding : chunked\nContent-Length: 5", ERR_INVALID_REQUEST, 0, 0},
    {"A29 on 1.0", "POST", "HTTP/1.0", H "Transfer-Encoding: chunked", ERR_INVALID_REQUEST, 0, 0},
    {"A31 GET with a body", "GET", "HTTP/1.1", H "Content-Length: 5", ERR_OK, GATE_LENGTH, 5},
    {"A32 POST without either", "POST", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"length on 1.0", "POST", "HTTP/1.0", H "Content-Length: 7", ERR_OK, GATE_LENGTH, 7},
    {"look-alikes do not count", "POST", "HTTP/1.1",
     H "Content_Length: 9\nX-Content-Length: 9\nTransfer_Encoding: chunked\nPost: x\nExpert: "
       "y\nAccept: z",
     ERR_OK, GATE_NO_BODY, 0},
};

static const struct row line_rows[] = {
    {"plain", "GET", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"HEAD", "HEAD", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"PUT", "PUT", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"PATCH", "PATCH", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"DELETE", "DELETE", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"OPTIONS", "OPTIONS", "HTTP/1.1", H, ERR_OK, GATE_NO_BODY, 0},
    {"D23 TRACE", "TRACE", "HTTP/1.1", H, ERR_METHOD_NOT_ALLOWED, 0, 0},
    {"D24 lower case", "get", "HTTP/1.1", H, ERR_METHOD_NOT_ALLOWED, 0, 0},
    {"a token", "G!#$%&'*+-.^_`|~T", "HTTP/1.1", H, ERR_METHOD_NOT_ALLOWED, 0, 0},
    {"not a token", "G@T", "HTTP/1.1", H, ERR_INVALID_REQUEST, 0, 0},
    {"braces", "G{}", "HTTP/1.1", H, ERR_INVALID_REQUEST, 0, 0},
    {"no method", "", "HTTP/1.1", H, ERR_INVALID_REQUEST, 0, 0},
    {"PUT with more", "PUTT", "HTTP/1.1", H, ERR_METHOD_NOT_ALLOWED, 0, 0},
    {"1.0", "GET", "HTTP/1.0", H, ERR_OK, GATE_NO_BODY, 0},
    {"D27 1.2", "GET", "HTTP/1.2", H, ERR_INVALID_REQUEST, 0, 0},
    {"D28 2.0", "PRI", "HTTP/2.0", H, ERR_INVALID_REQUEST, 0, 0},
    {"D29 0.9", "GET", "HTTP/0.9", H, ERR_INVALID_REQUEST, 0, 0},
    {"no version", "GET", "", H, ERR_INVALID_REQUEST, 0, 0},
    {"lower case", "GET", "http/1.1", H, ERR_INVALID_REQUEST, 0, 0},
    {"1.10", "GET", "HTTP/1.10", H, ERR_INVALID_REQUEST, 0, 0},
    {"trailing space", "GET", "HTTP/1.1 ", H, ERR_INVALID_REQUEST, 0, 0},
    {"C14 space in a name", "GET", "HTTP/1.1", H "X A: 1", ERR_INVALID_REQUEST, 0, 0},
    {"C9 leading tab in a name", "GET", "HTTP/1.1", H "\tX-A: 1", ERR_INVALID_REQUEST, 0, 0},
    {"empty name", "GET", "HTTP/1.1", H ": 1", ERR_INVALID_REQUEST, 0, 0},
    {"C3 CR in a value", "GET", "HTTP/1.1", H "X-A: a\rb", ERR_INVALID_REQUEST, 0, 0},
    {"C3 CR at the end", "GET", "HTTP/1.1", H "X-A: a\r", ERR_INVALID_REQUEST, 0, 0},
    {"C7 8-bit value", "GET", "HTTP/1.1", H "X-A: \xe4\xb8\xad\xff", ERR_OK, GATE_NO_BODY, 0},
    {"C16 empty value", "GET", "HTTP/1.1", H "X-A:", ERR_OK, GATE_NO_BODY, 0},
    {"C22 duplicates elsewhere", "GET", "HTTP/1.1", H "X-A: 1\nX-A: 2", ERR_OK, GATE_NO_BODY, 0},
    {"E1 no Host", "GET", "HTTP/1.1", "X-A: 1", ERR_INVALID_REQUEST, 0, 0},
    {"no header at all", "GET", "HTTP/1.1", "", ERR_INVALID_REQUEST, 0, 0},
    {"E2 no Host on 1.0", "GET", "HTTP/1.0", "", ERR_OK, GATE_NO_BODY, 0},
    {"E3 same Host twice", "GET", "HTTP/1.1", H H, ERR_INVALID_REQUEST, 0, 0},
    {"E3 two Hosts", "GET", "HTTP/1.1", H "host: evil", ERR_INVALID_REQUEST, 0, 0},
    {"E3 two Hosts on 1.0", "GET", "HTTP/1.0", H "host: evil", ERR_INVALID_REQUEST, 0, 0},
    {"E3 empty, then another", "GET", "HTTP/1.1", "Host:\n" H, ERR_INVALID_REQUEST, 0, 0},
    {"E4 empty", "GET", "HTTP/1.1", "Host:", ERR_INVALID_REQUEST, 0, 0},
    {"E4 empty on 1.0", "GET", "HTTP/1.0", "Host: ", ERR_INVALID_REQUEST, 0, 0},
    {"E4 space", "GET", "HTTP/1.1", "Host: a b", ERR_INVALID_REQUEST, 0, 0},
    {"E4 list", "GET", "HTTP/1.1", "Host: a,b", ERR_INVALID_REQUEST, 0, 0},
    {"E4 userinfo", "GET", "HTTP/1.1", "Host: u@localhost", ERR_INVALID_REQUEST, 0, 0},
    {"E4 path", "GET", "HTTP/1.1", "Host: localhost/x", ERR_INVALID_REQUEST, 0, 0},
    {"E9 case", "GET", "HTTP/1.1", "HOST:LOCALHOST", ERR_OK, GATE_NO_BODY, 0},
    {"IPv6", "GET", "HTTP/1.1", "Host: [::1]:8750", ERR_OK, GATE_NO_BODY, 0},
    {"F7 upgrade is ignored", "GET", "HTTP/1.1", H "Upgrade: h2c\nConnection: Upgrade", ERR_OK,
     GATE_NO_BODY, 0},
    {"F11 other expectation", "POST", "HTTP/1.1", H "Expect: foo", ERR_EXPECTATION_FAILED, 0, 0},
    {"empty expectation", "POST", "HTTP/1.1", H "Expect:", ERR_EXPECTATION_FAILED, 0, 0},
    {"both expectations", "POST", "HTTP/1.1", H "Expect: 100-continue\nExpect: foo",
     ERR_EXPECTATION_FAILED, 0, 0},
    {"both, the other order", "POST", "HTTP/1.1", H "Expect: foo\nExpect: 100-continue",
     ERR_EXPECTATION_FAILED, 0, 0},
    {"list of expectations", "POST", "HTTP/1.1", H "Expect: 100-continue, foo",
     ERR_EXPECTATION_FAILED, 0, 0},
    {"bad framing goes first", "POST", "HTTP/1.1", H "Expect: foo\nContent-Length: x",
     ERR_INVALID_REQUEST, 0, 0},
};

static void run_row(const struct row *row)
{
    struct gate_verdict v;
    struct gate_head head = head_of(row->method, STR("/"), row->version, row->fields);
    enum err e = check_head(&head, &v);
    ck_assert_msg(e == row->want, "%s: %s instead of %s", row->name, err_code(e),
                  err_code(row->want));
    if (e) {
        ck_assert_uint_eq(v.length, 0);
        ck_assert_int_eq(v.framing, GATE_NO_BODY);
        ck_assert_uint_eq(v.host.n, 0);
        return;
    }
    ck_assert_msg(v.framing == row->framing && v.length == row->length, "%s: framing %d, length %u",
                  row->name, (int)v.framing, (unsigned)v.length);
}

START_TEST(framing)
{
    run_row(&framing_rows[_i]);
}
END_TEST

START_TEST(lines)
{
    run_row(&line_rows[_i]);
}
END_TEST

START_TEST(verdict)
{
    struct gate_verdict v;
    struct gate_head head =
        head_of("POST", STR("/p?q=1"), "HTTP/1.1", "Host: \tecs.example:80 \nexpect: 100-Continue");
    ck_assert_int_eq(check_head(&head, &v), ERR_OK);
    ck_assert(str_eq(v.host, STR("ecs.example:80")));
    ck_assert(str_eq(v.target.path, STR("/p")));
    ck_assert(str_eq(v.target.query, STR("q=1")));
    ck_assert(v.expect_continue);

    head = head_of("POST", STR("/"), "HTTP/1.1", H);
    ck_assert_int_eq(check_head(&head, &v), ERR_OK);
    ck_assert(!v.expect_continue);

    /* A 1.0 client is never sent a 100. */
    head = head_of("POST", STR("/"), "HTTP/1.0", "Expect: 100-continue");
    ck_assert_int_eq(check_head(&head, &v), ERR_OK);
    ck_assert(!v.expect_continue);
    ck_assert_uint_eq(v.host.n, 0);
}
END_TEST

START_TEST(targets)
{
    static const struct {
        const char *target, *host, *version;
        enum err want;
        const char *verdict_host;
    } rows[] = {
        {"//a", "h", "HTTP/1.1", ERR_OK, "h"},                /* D1 */
        {"/a/../b", "h", "HTTP/1.1", ERR_OK, "h"},            /* D2 */
        {"/?", "h", "HTTP/1.1", ERR_OK, "h"},                 /* D8 */
        {"/a b", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL}, /* D11 */
        {"/#f", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},  /* D14 */
        {"/\\", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},  /* D15 */
        {"/\"", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"/\xff", "h", "HTTP/1.1", ERR_OK, "h"},             /* D16: encoded later */
        {"foo", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL}, /* D17 */
        {"", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},    /* D18 */
        {"*", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},   /* D22 */
        {"h:443", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http://h/", "h", "HTTP/1.1", ERR_OK, "h"}, /* D19 */
        {"http://H/", "h", "HTTP/1.1", ERR_OK, "H"},
        {"http://h:80/", "h", "HTTP/1.1", ERR_OK, "h:80"},
        {"http://h/", "h:80", "HTTP/1.1", ERR_OK, "h"},
        {"http://h:8080/", "h:8080", "HTTP/1.1", ERR_OK, "h:8080"},
        {"https://h:443/", "h", "HTTP/1.1", ERR_OK, "h:443"},
        {"http://h:443/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"https://h:80/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http://h:8080/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http://evil/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL}, /* D20, two authorities */
        {"http://evil/", "evil", "HTTP/1.1", ERR_OK, "evil"},         /* routing refuses it */
        {"http://[::1]:1/", "[::1]:1", "HTTP/1.1", ERR_OK, "[::1]:1"},
        {"http://u@h/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http://h:x/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http:///", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http://h/", NULL, "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
        {"http://h/", NULL, "HTTP/1.0", ERR_OK, "h"},
        {"http://h@/", NULL, "HTTP/1.0", ERR_INVALID_REQUEST, NULL},
        {"ftp://h/", "h", "HTTP/1.1", ERR_INVALID_REQUEST, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_verdict v;
        char fields[64] = "";
        if (rows[i].host)
            snprintf(fields, sizeof(fields), "Host: %s", rows[i].host);
        struct gate_head head = head_of("GET", str_of(rows[i].target), rows[i].version, fields);
        enum err e = check_head(&head, &v);
        ck_assert_msg(e == rows[i].want, "%s with Host %s: %s", rows[i].target,
                      rows[i].host ? rows[i].host : "(none)", err_code(e));
        if (!e)
            ck_assert_msg(str_eq(v.host, str_of(rows[i].verdict_host)), "%s: host '%.*s'",
                          rows[i].target, STR_ARG(v.host));
    }
}
END_TEST

START_TEST(connect_is_explained)
{
    struct gate_verdict v;
    struct err_detail why = {""};
    struct gate_head head = head_of("CONNECT", STR("h:443"), "HTTP/1.1", "Host: h:443");
    ck_assert_int_eq(gate_check(&head, MAX_BODY, &v, &why), ERR_METHOD_NOT_ALLOWED);
    ck_assert_ptr_nonnull(strstr(why.text, "http:// URLs"));
    ck_assert(v.must_close);
    head = head_of("OPTIONS", STR("*"), "HTTP/1.1", H);
    ck_assert_int_eq(gate_check(&head, MAX_BODY, &v, &why), ERR_METHOD_NOT_ALLOWED); /* D22 */
    ck_assert(v.must_close);
}
END_TEST

START_TEST(counts_and_sizes)
{
    struct gate_verdict v;
    struct gate_head head = head_of("GET", STR("/"), "HTTP/1.1", H);
    while (head.hdrs.n < GATE_MAX_HEADERS)
        ck_assert(hdrs_add(&head.hdrs, STR("X-A"), STR("1")));
    ck_assert_int_eq(check_head(&head, &v), ERR_OK); /* C18 */
    ck_assert(hdrs_add(&head.hdrs, STR("X-A"), STR("1")));
    ck_assert_int_eq(check_head(&head, &v), ERR_HEADERS_TOO_LARGE);

    static char target[GATE_MAX_TARGET + 1];
    memset(target, 'a', sizeof(target));
    target[0] = '/';
    head = head_of("GET", str_n(target, GATE_MAX_TARGET), "HTTP/1.1", H);
    ck_assert_int_eq(check_head(&head, &v), ERR_OK);
    head.target.n++;
    ck_assert_int_eq(check_head(&head, &v), ERR_URI_TOO_LONG); /* C21 */

    head = head_of("PUT", STR("/"), "HTTP/1.1", H "Content-Length: 5");
    ck_assert_int_eq(gate_check(&head, 4, &v, NULL), ERR_BODY_TOO_LARGE);
    ck_assert_int_eq(gate_check(&head, 0, &v, NULL), ERR_BODY_TOO_LARGE);
    ck_assert_int_eq(gate_check(&head, 5, &v, NULL), ERR_OK);
    ck_assert_int_eq(gate_check(&head, UINT64_MAX, &v, NULL), ERR_OK);
}
END_TEST

START_TEST(every_byte)
{
    struct gate_verdict v;
    for (int c = 0; c < 256; c++) {
        char byte = (char)c, text[4] = {'A', byte, 'B', 0};
        struct str odd = str_n(text, 3);
        bool token = hdr_is_token(str_n(&byte, 1));
        bool value = c == '\t' || (c >= 0x20 && c != 0x7F);
        bool in_target = c > 0x20 && c != 0x7F && !(c && strchr("\"#<>\\^`{|}", c));

        struct gate_head head = head_of("GET", STR("/"), "HTTP/1.1", H);
        ck_assert(hdrs_add(&head.hdrs, odd, STR("1")));
        ck_assert_msg(check_head(&head, &v) == (token ? ERR_OK : ERR_INVALID_REQUEST),
                      "byte %d in a name", c);

        head = head_of("GET", STR("/"), "HTTP/1.1", H);
        ck_assert(hdrs_add(&head.hdrs, STR("X-A"), odd));
        ck_assert_msg(check_head(&head, &v) == (value ? ERR_OK : ERR_INVALID_REQUEST),
                      "byte %d in a value", c);

        head = head_of("GET", STR("/"), "HTTP/1.1", H);
        head.method = odd;
        ck_assert_msg(check_head(&head, &v) ==
                          (token ? ERR_METHOD_NOT_ALLOWED : ERR_INVALID_REQUEST),
                      "byte %d in the method", c);

        char target[3] = {'/', byte, 'x'};
        head = head_of("GET", str_n(target, 3), "HTTP/1.1", H);
        ck_assert_msg(check_head(&head, &v) == (in_target ? ERR_OK : ERR_INVALID_REQUEST),
                      "byte %d in the target", c);
        if (in_target && c != '?')
            ck_assert(str_eq(v.target.path, head.target));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/gate");
    TCase *t = tcase_create("gate");
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, framing, 0, ARRAY_LEN(framing_rows));
    tcase_add_loop_test(t, lines, 0, ARRAY_LEN(line_rows));
    tcase_add_test(t, verdict);
    tcase_add_test(t, targets);
    tcase_add_test(t, connect_is_explained);
    tcase_add_test(t, counts_and_sizes);
    tcase_add_test(t, every_byte);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
