/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser at its limits: sizes, counts, every byte value, memory that stays. */
#include "http/resp.h"
#include <check.h>
#include <stdlib.h>

static struct resp r;
static struct buf input;

static void setup(void)
{
    resp_init(&r);
    buf_init(&input, 64 << 20);
}

static void teardown(void)
{
    buf_free(&input);
    resp_free(&r);
}

/* The last event, whole and in pieces of step bytes, which must agree; *body: data bytes. */
static enum resp_event feed(size_t step, uint64_t *body)
{
    enum resp_event ev = RESP_MORE;
    ck_assert(!input.failed);
    resp_reset(&r, false);
    *body = 0;
    for (size_t at = 0; ev == RESP_MORE && at < input.n; at += step) {
        struct str in = str_n(input.p + at, input.n - at < step ? input.n - at : step), data;
        while ((ev = resp_feed(&r, &in, &data)) == RESP_HEAD || ev == RESP_DATA)
            *body += ev == RESP_DATA ? data.n : 0;
    }
    return ev;
}

static void assert_feed(enum resp_event want, const char *why, uint64_t want_body)
{
    const size_t steps[] = {input.n, 16384, 1000, 7, 1};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        uint64_t body;
        ck_assert_int_eq(feed(steps[i], &body), want);
        if (why)
            ck_assert_str_eq(r.why, why);
        else
            ck_assert_uint_eq(body, want_body);
    }
}

static void fill(char c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_putc(&input, c);
}

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

START_TEST(head_size)
{
    /* Exactly the limit, then one byte more: in one header (R28), and in none at all. */
    static const char start[] = OK "A: ", end[] = "\r\nContent-Length: 2\r\n\r\n";
    buf_putz(&input, start);
    fill('a', RESP_MAX_HEAD - (sizeof(start) - 1) - (sizeof(end) - 1));
    buf_putz(&input, end);
    ck_assert_uint_eq(input.n, RESP_MAX_HEAD);
    buf_putz(&input, "hi");
    assert_feed(RESP_END, NULL, 2);

    buf_reset(&input);
    buf_putz(&input, start);
    fill('a', RESP_MAX_HEAD - (sizeof(start) - 1) - (sizeof(end) - 1) + 1);
    buf_putz(&input, end);
    assert_feed(RESP_BAD, "the response head is too large", 0);

    buf_reset(&input);
    buf_putz(&input, OK);
    fill('a', RESP_MAX_HEAD);
    assert_feed(RESP_BAD, "the response head is too large", 0);
}
END_TEST

START_TEST(header_count)
{
    buf_putz(&input, OK "Content-Length: 3\r\n");
    for (int i = 1; i < RESP_MAX_HEADERS; i++)
        buf_putz(&input, "A:b\r\n");
    buf_putz(&input, "\r\nxyz");
    assert_feed(RESP_END, NULL, 3);
    ck_assert_uint_eq(r.hdrs.n, RESP_MAX_HEADERS);
    ck_assert(str_eq(r.hdrs.v[RESP_MAX_HEADERS - 1].value, STR("b")));

    buf_reset(&input);
    buf_putz(&input, OK);
    for (int i = 0; i <= RESP_MAX_HEADERS; i++)
        buf_putz(&input, "A:b\r\n");
    buf_putz(&input, "\r\n");
    assert_feed(RESP_BAD, "the response has too many headers", 0);
}
END_TEST

START_TEST(interim_count)
{
    for (int i = 0; i < RESP_MAX_1XX; i++)
        buf_putz(&input, "HTTP/1.1 100 Continue\r\n\r\n");
    size_t full = input.n;
    buf_putz(&input, OK "Content-Length: 1\r\n\r\nx");
    assert_feed(RESP_END, NULL, 1);
    ck_assert_uint_eq(r.status, 200);
    input.n = full;
    buf_putz(&input, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_feed(RESP_BAD, "the server sends interim responses without end", 0);
}
END_TEST

START_TEST(chunks)
{
    /* B22: ten thousand chunks of one byte; with a signature-like extension on larger ones. */
    buf_putz(&input, CHUNKED);
    for (int i = 0; i < 10000; i++)
        buf_putz(&input, "1\r\nx\r\n");
    buf_putz(&input, "0\r\n\r\n");
    assert_feed(RESP_END, NULL, 10000);

    buf_reset(&input);
    buf_putz(&input, CHUNKED);
    for (int i = 0; i < 2000; i++) {
        buf_putz(&input, "50;chunk-signature=");
        fill('f', 64);
        buf_putz(&input, "\r\n");
        fill('d', 80);
        buf_putz(&input, "\r\n");
    }
    buf_putz(&input, "0\r\n\r\n");
    assert_feed(RESP_END, NULL, 160000);

    buf_reset(&input);
    buf_putz(&input, CHUNKED);
    for (int i = 0; i < 10000; i++)
        buf_putz(&input, "1;sixteen-bytes-ab\r\nx\r\n");
    buf_putz(&input, "0\r\n\r\n");
    assert_feed(RESP_END, NULL, 10000);
}
END_TEST

START_TEST(extensions_bounded)
{
    /* In one chunk (B17), and spread over many that carry next to nothing. */
    buf_putz(&input, CHUNKED "1;");
    fill('e', 16384);
    buf_putz(&input, "\r\nx\r\n0\r\n\r\n");
    assert_feed(RESP_END, NULL, 1);

    buf_reset(&input);
    buf_putz(&input, CHUNKED "1;");
    fill('e', 16385);
    buf_putz(&input, "\r\nx\r\n0\r\n\r\n");
    assert_feed(RESP_BAD, "the chunk extensions are too large", 0);

    buf_reset(&input);
    buf_putz(&input, CHUNKED);
    for (int i = 0; i < 1000; i++) {
        buf_putz(&input, "1;");
        fill('e', 64);
        buf_putz(&input, "\r\nx\r\n");
    }
    assert_feed(RESP_BAD, "the chunk extensions are too large", 0);
}
END_TEST

START_TEST(trailers_bounded)
{
    buf_putz(&input, CHUNKED "1\r\nx\r\n0\r\nA: ");
    fill('t', 16384 - 7); /* with the name, the colon and both line ends: the limit */
    buf_putz(&input, "\r\n\r\n");
    assert_feed(RESP_END, NULL, 1);

    buf_reset(&input);
    buf_putz(&input, CHUNKED "1\r\nx\r\n0\r\n");
    for (int i = 0; i < 3000; i++)
        buf_putz(&input, "A: b\r\n");
    buf_putz(&input, "\r\n");
    assert_feed(RESP_BAD, "the trailers are too large", 0);
}
END_TEST

START_TEST(every_byte)
{
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool token = hdr_is_token(str_n(&byte, 1)) || byte == ':'; /* a colon ends the name */
        bool value = c == '\t' || (c >= 0x20 && c != 0x7F);
        const struct {
            const char *before, *after;
            bool good;
        } places[] = {
            {OK "A", "B: c\r\nContent-Length: 0\r\n\r\n", token},
            {OK "A: b", "c\r\nContent-Length: 0\r\n\r\n", value},
            {"HTTP/1.1 200 a", "b\r\nContent-Length: 0\r\n\r\n", value},
            {"HTTP/1.1 20", " OK\r\nContent-Length: 0\r\n\r\n", c >= '0' && c <= '9' && c != '4'},
            {CHUNKED "0;a", "b\r\n\r\n", value},
            {CHUNKED "0\r\nA", "B: c\r\n\r\n", token},
            {CHUNKED "0\r\nA: b", "c\r\n\r\n", value},
        };
        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
            /* 204 has no body either, and is good. */
            bool good = places[i].good || (i == 3 && c == '4');
            uint64_t body;
            buf_reset(&input);
            buf_putz(&input, places[i].before);
            buf_putc(&input, byte);
            buf_putz(&input, places[i].after);
            enum resp_event whole = feed(input.n, &body), pieces = feed(1, &body);
            ck_assert_msg(whole == (good ? RESP_END : RESP_BAD), "byte %d, place %zu", c, i);
            ck_assert_msg(pieces == whole, "byte %d, place %zu, in pieces", c, i);
        }
    }
}
END_TEST

START_TEST(memory_stays)
{
    uint64_t body;
    ck_assert_ptr_null(r.head.p); /* nothing before the first byte */
    buf_putz(&input, OK "Content-Length: 1\r\nX-Long: ");
    fill('a', 3000);
    buf_putz(&input, "\r\n\r\nx");
    ck_assert_int_eq(feed(input.n, &body), RESP_END);
    const char *kept = r.head.p;
    size_t size = r.head.size;
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(feed(i % 2 ? input.n : 100, &body), RESP_END);
        ck_assert_ptr_eq(r.head.p, kept);
        ck_assert_uint_eq(r.head.size, size);
    }
    resp_free(&r);
    ck_assert_ptr_null(r.head.p);
    ck_assert_int_eq(feed(input.n, &body), RESP_END); /* and works again */
}
END_TEST

START_TEST(reset_forgets)
{
    uint64_t body;
    buf_putz(&input, "HTTP/1.1 100 C\r\n\r\n" CHUNKED "5;abc\r\nhe");
    ck_assert_int_eq(feed(input.n, &body), RESP_MORE);
    resp_reset(&r, false);
    ck_assert_uint_eq(r.status, 0);
    ck_assert_uint_eq(r.hdrs.n, 0);
    ck_assert_int_eq(resp_eof(&r), RESP_MORE);
    struct str in = STR("HTTP/1.1 204 No\r\n\r\n"), data;
    ck_assert_int_eq(resp_feed(&r, &in, &data), RESP_HEAD);
    ck_assert_int_eq(resp_eof(&r), RESP_END); /* complete, though the end was not fetched */
    ck_assert_int_eq(resp_feed(&r, &in, &data), RESP_END);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/resp_limits");
    TCase *t = tcase_create("limits");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, head_size);
    tcase_add_test(t, header_count);
    tcase_add_test(t, interim_count);
    tcase_add_test(t, chunks);
    tcase_add_test(t, extensions_bounded);
    tcase_add_test(t, trailers_bounded);
    tcase_add_test(t, every_byte);
    tcase_add_test(t, memory_stays);
    tcase_add_test(t, reset_forgets);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
