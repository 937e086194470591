/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields: byte classes over all 256 values, lists, look-ups, hop-by-hop names. */
#include "http/hdr.h"
#include <check.h>
#include <stdlib.h>

START_TEST(token_bytes)
{
    for (int c = 0; c < 256; c++) {
        char s[3] = {'a', (char)c, 'z'};
        bool want = c != 0 && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                     c) != NULL;
        ck_assert_msg(hdr_is_token(str_n(s, 3)) == want, "byte %d in the middle", c);
        ck_assert_msg(hdr_is_token(str_n(s + 1, 1)) == want, "byte %d alone", c);
    }
    ck_assert(!hdr_is_token(STR("")));
}
END_TEST

START_TEST(value_bytes)
{
    /* At each position of texts of each length: the check works on words of eight. */
    for (size_t n = 1; n <= 20; n++)
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                char s[20];
                memset(s, (c & 1) ? 0xFF : ' ', sizeof(s));
                s[at] = (char)c;
                bool want = c == '\t' || (c >= 0x20 && c != 0x7F);
                ck_assert_msg(hdr_is_value(str_n(s, n)) == want, "byte %d at %zu of %zu", c, at, n);
            }
    ck_assert(hdr_is_value(STR("")));
    ck_assert(hdr_is_value(STR("\t\t\t\t\t\t\t\t")));
    ck_assert(!hdr_is_value(STR("\t\t\t\t\t\t\t\n")));
}
END_TEST

START_TEST(lists)
{
    static const struct {
        const char *value, *token;
        bool want;
    } rows[] = {
        {"close", "close", true},
        {"Close", "close", true},
        {"keep-alive, close", "close", true},
        {"keep-alive ,\tCLOSE\t,x", "close", true},
        {",,close", "close", true},
        {"closed", "close", false},
        {"not-close", "close", false},
        {"close;q=1", "close", false},
        {"clo se", "close", false},
        {"", "close", false},
        {",", "close", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(hdr_list_has(str_of(rows[i].value), str_of(rows[i].token)) == rows[i].want,
                      "'%s' has '%s'", rows[i].value, rows[i].token);
    ck_assert(!hdr_list_has(str_n(NULL, 0), STR("close")));
}
END_TEST

START_TEST(look_ups)
{
    struct hdr store[3];
    struct hdrs h = {store, 0, ARRAY_LEN(store)};
    ck_assert(hdrs_find(&h, STR("a")) == NULL);
    ck_assert(hdrs_add(&h, STR("X-One"), STR("1")));
    ck_assert(hdrs_add(&h, STR("X-Two"), STR("2")));
    ck_assert(hdrs_add(&h, STR("x-one"), STR("3")));
    ck_assert(!hdrs_add(&h, STR("X-Four"), STR("4")));
    ck_assert_uint_eq(h.n, 3);
    ck_assert(str_eq(hdrs_find(&h, STR("X-ONE"))->value, STR("1")));
    ck_assert(str_eq(hdrs_find(&h, STR("x-two"))->value, STR("2")));
    ck_assert(hdrs_find(&h, STR("X-On")) == NULL);
    ck_assert(hdrs_find(&h, STR("X-Four")) == NULL);
    ck_assert_uint_eq(hdrs_count(&h, STR("x-One")), 2);
    ck_assert_uint_eq(hdrs_count(&h, STR("X-Two")), 1);
    ck_assert_uint_eq(hdrs_count(&h, STR("X-Four")), 0);
}
END_TEST

START_TEST(hop_by_hop)
{
    static const char *const hop[] = {"Connection",
                                      "Keep-Alive",
                                      "Proxy-Connection",
                                      "Proxy-Authenticate",
                                      "Proxy-Authorization",
                                      "TE",
                                      "Trailer",
                                      "Transfer-Encoding",
                                      "Upgrade",
                                      "Content-Length"};
    static const char *const end_to_end[] = {
        "Host", "Content-Type", "Content-Encoding", "Set-Cookie", "Expect", "Date",
        "Via",  "Trailer2",     "Content-Lengthy",  "T",          "",       "Connectio",
        "XE",   "Warning"};
    for (size_t i = 0; i < ARRAY_LEN(hop); i++) {
        char other_case[32];
        size_t n = strlen(hop[i]);
        for (size_t k = 0; k < n; k++)
            other_case[k] = (char)(k % 2 ? ascii_lower(hop[i][k]) : hop[i][k] & ~0x20);
        /* '-' loses a bit above: put it back. */
        for (size_t k = 0; k < n; k++)
            if (hop[i][k] == '-')
                other_case[k] = '-';
        ck_assert_msg(hdr_is_hop(str_of(hop[i])), "%s", hop[i]);
        ck_assert_msg(hdr_is_hop(str_n(other_case, n)), "%.*s", (int)n, other_case);
    }
    for (size_t i = 0; i < ARRAY_LEN(end_to_end); i++)
        ck_assert_msg(!hdr_is_hop(str_of(end_to_end[i])), "%s", end_to_end[i]);
}
END_TEST

START_TEST(nominated)
{
    struct hdr store[] = {{STR("connection"), STR("close, X-Hop")},
                          {STR("X-Hop"), STR("X-Other")},
                          {STR("CONNECTION"), STR("x-second")}};
    struct hdrs h = {store, 3, 3};
    ck_assert(hdr_is_nominated(&h, STR("x-hop")));
    ck_assert(hdr_is_nominated(&h, STR("X-Second")));
    ck_assert(!hdr_is_nominated(&h, STR("X-Other")));
    ck_assert(!hdr_is_nominated(&h, STR("X-Ho")));
    h.n = 0;
    ck_assert(!hdr_is_nominated(&h, STR("X-Hop")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/hdr");
    TCase *t = tcase_create("hdr");
    suite_add_tcase(s, t);
    tcase_add_test(t, token_bytes);
    tcase_add_test(t, value_bytes);
    tcase_add_test(t, lists);
    tcase_add_test(t, look_ups);
    tcase_add_test(t, hop_by_hop);
    tcase_add_test(t, nominated);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
