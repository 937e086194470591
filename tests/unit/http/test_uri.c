/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: what is refused, how the rest splits, and the canonical forms byte for byte. */
#include "http/uri.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;
static struct err_detail why;

static void setup(void)
{
    arena_init(&arena, 4096, 1 << 20);
}
static void teardown(void)
{
    arena_free(&arena);
}

#define assert_str(got, want)                                                                      \
    ck_assert_msg(str_eq(got, str_of(want)), "got '%.*s', want '%s'", STR_ARG(got), want)

START_TEST(split)
{
    static const struct {
        const char *target, *scheme, *authority, *path, *query; /* query NULL: none */
    } rows[] = {
        {"/", "", "", "/", NULL},
        {"/?", "", "", "/", ""},
        {"/a/b?c=d?e", "", "", "/a/b", "c=d?e"},
        {"//evil/x", "", "", "//evil/x", NULL},
        {"/a/../%2e%2e/%2F", "", "", "/a/../%2e%2e/%2F", NULL},
        {"/http://x/", "", "", "/http://x/", NULL},
        {"http://h/p?q", "http", "h", "/p", "q"},
        {"HTTPS://H:443/", "https", "H:443", "/", NULL},
        {"http://h", "http", "h", "", NULL},
        {"http://h?q=/x", "http", "h", "", "q=/x"},
        {"http://u@h:1/", "http", "u@h:1", "/", NULL},
        {"/[]!$&'()*+,;=:@", "", "", "/[]!$&'()*+,;=:@", NULL},
        {"/\x80\xff\xc0\xaf", "", "", "/\x80\xff\xc0\xaf", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct uri_target t;
        ck_assert_msg(uri_split(str_of(rows[i].target), &t, &why) == ERR_OK, "%s", rows[i].target);
        assert_str(t.scheme, rows[i].scheme);
        assert_str(t.authority, rows[i].authority);
        assert_str(t.path, rows[i].path);
        assert_str(t.query, rows[i].query ? rows[i].query : "");
        ck_assert_int_eq(t.has_query, rows[i].query != NULL);
    }
}
END_TEST

START_TEST(split_refuses)
{
    static const char *const rows[] = {
        "",        "*",         "foo",       "host:443",   "?q",       "ftp://h/", "http:/h",
        "http://", "http:///p", "http://?q", "httpx://h/", "http//h/", "/a b",     "/a#f",
        "#",       "/a\\b",     "\\evil",    "@evil",      "/\r\n",    "http://h#"};
    struct uri_target t;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        why.text[0] = '\0';
        ck_assert_msg(uri_split(str_of(rows[i]), &t, &why) == ERR_INVALID_REQUEST, "%s", rows[i]);
        ck_assert_str_ne(why.text, "");
    }
}
END_TEST

START_TEST(split_every_byte)
{
    for (int c = 0; c < 256; c++) {
        char target[] = "/a?b";
        struct uri_target t;
        bool want = c > 0x20 && c != 0x7F && !(c && strchr("\"#<>\\^`{|}", c));
        for (size_t at = 1; at <= 3; at += 2) {
            memcpy(target, "/a?b", 4);
            target[at] = (char)c;
            enum err e = uri_split(str_n(target, 4), &t, &why);
            ck_assert_msg(e == (want ? ERR_OK : ERR_INVALID_REQUEST), "byte %d at %zu", c, at);
        }
    }
    struct uri_target t;
    ck_assert(uri_split(STR("/a{b"), &t, &why) == ERR_INVALID_REQUEST);
    ck_assert_ptr_nonnull(strstr(why.text, "0x7B at offset 2"));
    ck_assert_ptr_nonnull(strstr(why.text, "%7B"));
}
END_TEST

START_TEST(hosts)
{
    static const struct {
        const char *text, *host;
        unsigned port;
        bool ipv6;
    } rows[] = {
        {"localhost", "localhost", 0, false},
        {"LocalHost:8750", "LocalHost", 8750, false},
        {"127.0.0.1:1", "127.0.0.1", 1, false},
        {"ecs.cn-beijing.volcengineapi.com", "ecs.cn-beijing.volcengineapi.com", 0, false},
        {"a_b.x:65535", "a_b.x", 65535, false},
        {"h:00080", "h", 80, false},
        {"[::1]", "::1", 0, true},
        {"[fe80::1:2]:443", "fe80::1:2", 443, true},
        {"[::ffff:127.0.0.1]:9", "::ffff:127.0.0.1", 9, true},
        {"[0000:0000:0000:0000:0000:ffff:255.255.255.255]",
         "0000:0000:0000:0000:0000:ffff:255.255.255.255", 0, true}, /* none is longer */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct uri_host h;
        ck_assert_msg(uri_host(str_of(rows[i].text), &h, &why) == ERR_OK, "%s", rows[i].text);
        assert_str(h.host, rows[i].host);
        ck_assert_uint_eq(h.port, rows[i].port);
        ck_assert_int_eq(h.ipv6, rows[i].ipv6);
    }
}
END_TEST

START_TEST(hosts_refused)
{
    static const char *const rows[] = {
        "",         ":80",       "a b",         "a,b",     "u@localhost", "localhost/x", "h:",
        "h:0",      "h:65536",   "h:80a",       "h:+80",   "h: 80",       "h:000080",    "h:1:2",
        "::1",      "[::1",      "[]",          "[::1]x",  "[::1]:",      "[::1]80",     "[::g]",
        "[::1%lo]", "[1.2.3.4]", "h%41",        "h?",      "h#",          "h\\x",        "h\t",
        "\x80",     "[v1.x]",    "[::1]:70000", "[[::1]]", "h;x",         "]",           "["};
    struct uri_host h;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(uri_host(str_of(rows[i]), &h, &why) == ERR_INVALID_REQUEST, "%s", rows[i]);
    ck_assert(uri_host(STR("a\0b"), &h, &why) == ERR_INVALID_REQUEST);
    ck_assert(uri_host(STR("[::1\0]"), &h, &why) == ERR_INVALID_REQUEST);
    ck_assert(uri_host(STR("[0000:0000:0000:0000:0000:ffff:255.255.255.2550]"), &h, &why) ==
              ERR_INVALID_REQUEST);
    char longest[257];
    memset(longest, 'a', sizeof(longest));
    ck_assert(uri_host(str_n(longest, 255), &h, &why) == ERR_OK);
    ck_assert(uri_host(str_n(longest, 256), &h, &why) == ERR_INVALID_REQUEST);
}
END_TEST

static struct str canonical(struct str raw)
{
    struct uri_query q;
    ck_assert_msg(uri_query_parse(raw, &arena, &q, &why) == ERR_OK, "%.*s: %s", STR_ARG(raw),
                  why.text);
    return uri_query_write(&q, &arena);
}

START_TEST(query)
{
    static const struct {
        const char *raw, *want;
    } rows[] = {
        {"", ""},
        {"&&", ""},
        {"a", "a="},
        {"a=", "a="},
        {"=", "="},
        {"=v", "=v"},
        {"a=1", "a=1"},
        {"&a=1&&b=2&", "a=1&b=2"},
        {"b=2&a=1", "a=1&b=2"},
        {"a&a=&b=1&a=2", "a=&a=&a=2&b=1"},
        {"a=b=c", "a=b%3Dc"},
        {"a==", "a=%3D"},
        {"a=b%3dc", "a=b%3Dc"},
        {"a%3Db=c", "a%3Db=c"},
        {"a%26b=c%26", "a%26b=c%26"},
        {"a=x+y", "a=x%20y"},
        {"a=x%20y", "a=x%20y"},
        {"a=x%2By", "a=x%2By"},
        {"+=+", "%20=%20"},
        {"a=%7e%2D%2e%5f%41", "a=~-._A"},
        {"a=%c3%a9", "a=%C3%A9"},
        {"a=\xc3\xa9\xff", "a=%C3%A9%FF"},
        {"a=%00%0d%0A", "a=%00%0D%0A"},
        {"a=%252F", "a=%252F"},
        {"a=/?:@!$'()*,;[]", "a=%2F%3F%3A%40%21%24%27%28%29%2A%2C%3B%5B%5D"},
        /* by encoded name, then encoded value: '%' < '-' < '.' < digits < upper < lower */
        {"b=2&a=1&B=3&a.1=4&a-1=5&A=6", "A=6&B=3&a=1&a-1=5&a.1=4&b=2"},
        {"a%20=1&a!=2&a=3&aa=4", "a=3&a%20=1&a%21=2&aa=4"},
        {"a1=x&a=%7E&a=z&a=%21&a=", "a=&a=%21&a=z&a=~&a1=x"},
        {"a-b=1&a=2", "a=2&a-b=1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got = canonical(str_of(rows[i].raw));
        assert_str(got, rows[i].want);
        ck_assert_ptr_nonnull(got.p);
        struct str again = canonical(got);
        assert_str(again, rows[i].want);
    }
    ck_assert_uint_eq(canonical(str_n(NULL, 0)).n, 0);
}
END_TEST

START_TEST(query_every_byte)
{
    /* Each byte, raw and escaped, as a value: one canonical form, and it decodes to the byte. */
    for (int c = 0; c < 256; c++) {
        char raw[16], escaped[16], want[16];
        bool unreserved = c != 0 && strchr("-_.~0123456789abcdefghijklmnopqrstuvwxyz"
                                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                           c) != NULL;
        snprintf(escaped, sizeof(escaped), "a=%%%02x", (unsigned)c);
        snprintf(want, sizeof(want), unreserved ? "a=%c" : "a=%%%02X", c);
        struct str got = canonical(str_of(escaped));
        assert_str(got, want);
        struct str back;
        ck_assert(uri_decode(str_n(got.p + 2, got.n - 2), true, &arena, &back) == ERR_OK);
        ck_assert_uint_eq(back.n, 1);
        ck_assert_int_eq(back.p[0], (char)c);
        if (c == '&' || c == '%')
            continue;
        memcpy(raw, "a=", 2);
        raw[2] = (char)c;
        got = canonical(str_n(raw, 3));
        assert_str(got, c == '+' ? "a=%20" : want);
    }
}
END_TEST

START_TEST(query_refused)
{
    static const char *const rows[] = {"%",    "a=%",    "a=%2",   "a=%GG",  "a=%2G", "%=1",
                                       "%2=1", "a=%%41", "a=% 41", "a=1&b%", "a=%0",  "a=%-1"};
    struct uri_query q;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        why.text[0] = '\0';
        ck_assert_msg(uri_query_parse(str_of(rows[i]), &arena, &q, &why) == ERR_INVALID_QUERY, "%s",
                      rows[i]);
        ck_assert_ptr_nonnull(strstr(why.text, "%25"));
    }
}
END_TEST

START_TEST(query_many)
{
    /* Enough pairs for the other sort; digits written backwards give a scrambled order. */
    struct buf b;
    struct uri_query q;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 4096; i++)
        buf_printf(&b, "&&k%u%u%u%u=%u", i % 8, i / 8 % 8, i / 64 % 8, i / 512 % 8, i % 3);
    ck_assert(!b.failed);
    ck_assert(uri_query_parse(buf_str(&b), &arena, &q, &why) == ERR_OK);
    ck_assert_uint_eq(q.n, 4096);
    for (unsigned i = 0; i < 4096; i++) {
        char want[16];
        snprintf(want, sizeof(want), "k%04o", i);
        assert_str(q.v[i].name, want);
    }
    buf_putz(&b, "&x");
    ck_assert(uri_query_parse(buf_str(&b), &arena, &q, &why) == ERR_INVALID_QUERY);
    ck_assert_ptr_nonnull(strstr(why.text, "4096"));
    buf_free(&b);
}
END_TEST

START_TEST(sorts_agree)
{
    /* The same scrambled keys, below and above the size at which the sort changes. */
    for (unsigned n = 1; n < 64; n++) {
        struct buf b;
        struct uri_query q;
        buf_init(&b, 4096);
        for (unsigned i = 0; i < n; i++)
            buf_printf(&b, "%sk%02u=%u", i ? "&" : "", i * 37 % 61, i);
        ck_assert(uri_query_parse(buf_str(&b), &arena, &q, &why) == ERR_OK);
        ck_assert_uint_eq(q.n, n);
        for (unsigned i = 1; i < n; i++)
            ck_assert_int_le(memcmp(q.v[i - 1].name.p, q.v[i].name.p, 3), 0);
        buf_free(&b);
    }
}
END_TEST

START_TEST(path)
{
    static const struct {
        const char *raw, *want;
    } rows[] = {
        {"", "/"},
        {"/", "/"},
        {"//a", "//a"},
        {"/a//b/", "/a//b/"},
        {"/a/../b/./", "/a/../b/./"},
        {"/%2e%2e/x", "/../x"},
        {"/a%2Fb%2f", "/a%2Fb%2F"},
        {"/a+b", "/a%2Bb"},
        {"/a%20b", "/a%20b"},
        {"/%0d%0a", "/%0D%0A"},
        {"/%7Euser", "/~user"},
        {"/%25", "/%25"},
        {"/%252f", "/%252f"},
        {"/a:b@c!$&'()*,;=", "/a%3Ab%40c%21%24%26%27%28%29%2A%2C%3B%3D"},
        {"/\xe4\xb8\xad", "/%E4%B8%AD"},
        {"/%e4%b8%ad", "/%E4%B8%AD"},
        {"/%c0%ae", "/%C0%AE"},
        {"/a?b", "/a%3Fb"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got, again;
        ck_assert_msg(uri_path(str_of(rows[i].raw), &arena, &got, &why) == ERR_OK, "%s",
                      rows[i].raw);
        assert_str(got, rows[i].want);
        ck_assert(uri_path(got, &arena, &again, &why) == ERR_OK);
        assert_str(again, rows[i].want);
    }
}
END_TEST

START_TEST(path_refused)
{
    static const char *const rows[] = {"a", "%2F", "/%", "/%2", "/%GG", "/%00", "/a/%00b", "?"};
    struct str got;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        why.text[0] = '\0';
        ck_assert_msg(uri_path(str_of(rows[i]), &arena, &got, &why) == ERR_INVALID_REQUEST, "%s",
                      rows[i]);
        ck_assert_str_ne(why.text, "");
    }
    ck_assert(uri_path(STR("/a\0b"), &arena, &got, &why) == ERR_INVALID_REQUEST);
}
END_TEST

START_TEST(coding)
{
    struct buf b;
    struct str got;
    buf_init(&b, 64);
    uri_encode(&b, STR("a b/c~-_.\xff\0"));
    assert_str(buf_str(&b), "a%20b%2Fc~-_.%FF%00");
    ck_assert(!b.failed);
    buf_free(&b);

    ck_assert(uri_decode(STR("a%20b+c%2B"), true, &arena, &got) == ERR_OK);
    assert_str(got, "a b c+");
    ck_assert(uri_decode(STR("a%20b+c%2b"), false, &arena, &got) == ERR_OK);
    assert_str(got, "a b+c+");
    ck_assert(uri_decode(STR(""), true, &arena, &got) == ERR_OK);
    ck_assert(got.p && got.n == 0);
    ck_assert(uri_decode(STR("%"), true, &arena, &got) == ERR_INVALID_QUERY);
    ck_assert(uri_decode(STR("%4"), true, &arena, &got) == ERR_INVALID_QUERY);
    ck_assert(uri_decode(STR("%4x"), true, &arena, &got) == ERR_INVALID_QUERY);
}
END_TEST

START_TEST(arena_exhausted)
{
    /* Whatever the cap: an error or the right answer, never anything between. */
    for (size_t max = 0; max < 512; max++) {
        struct arena small;
        struct uri_query q;
        struct str got;
        arena_init(&small, 64, max);
        enum err e = uri_query_parse(STR("b=%20&a=1"), &small, &q, &why);
        ck_assert(e == ERR_OK || e == ERR_OVERLOADED);
        if (e == ERR_OK) {
            ck_assert_uint_eq(q.n, 2);
            got = uri_query_write(&q, &small);
            ck_assert(!got.p || str_eq(got, STR("a=1&b=%20")));
        }
        arena_reset(&small);
        e = uri_path(STR("/a%20b"), &small, &got, &why);
        ck_assert(e == ERR_OVERLOADED || (e == ERR_OK && str_eq(got, STR("/a%20b"))));
        arena_reset(&small);
        e = uri_decode(STR("/a%20b"), true, &small, &got);
        ck_assert(e == ERR_OVERLOADED || (e == ERR_OK && str_eq(got, STR("/a b"))));
        if (max == 0)
            ck_assert(e == ERR_OVERLOADED);
        if (max == 511)
            ck_assert(e == ERR_OK);
        arena_free(&small);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/uri");
    TCase *t = tcase_create("uri");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, split);
    tcase_add_test(t, split_refuses);
    tcase_add_test(t, split_every_byte);
    tcase_add_test(t, hosts);
    tcase_add_test(t, hosts_refused);
    tcase_add_test(t, query);
    tcase_add_test(t, query_every_byte);
    tcase_add_test(t, query_refused);
    tcase_add_test(t, query_many);
    tcase_add_test(t, sorts_agree);
    tcase_add_test(t, path);
    tcase_add_test(t, path_refused);
    tcase_add_test(t, coding);
    tcase_add_test(t, arena_exhausted);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
