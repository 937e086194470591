/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3339 with every offset, and what it is not. */
#include "fixture.h"

static const struct {
    const char *text;
    int64_t unix_s;
} good[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00z", 0},
    {"1970-01-01t00:00:01Z", 1},
    {"1970-01-01 00:00:01Z", 1},
    {"1970-01-01T08:00:00+08:00", 0},
    {"1970-01-01T08:00:00+0800", 0},
    {"1969-12-31T19:00:00-05:00", 0},
    {"1970-01-01T05:45:00+05:45", 0},
    {"1970-01-01T00:00:00-00:00", 0},
    {"2024-02-29T12:34:56+08:00", 1709181296},
    {"2024-02-29T12:34:56.999999999+08:00", 1709181296},
    {"2024-02-29T12:34:56.1Z", 1709210096},
    {"2000-02-29T00:00:00Z", 951782400},
    {"2100-03-01T00:00:00Z", 4107542400},
    {"2038-01-19T03:14:08Z", INT64_C(2147483648)},
    {"2016-12-31T23:59:60Z", 1483228800},
    {"9999-12-31T23:59:59Z", INT64_C(253402300799)},
    {"0001-01-01T00:00:00Z", INT64_C(-62135596800)},
    {"0000-01-01T00:00:00Z", INT64_C(-62167219200)},
    {"0000-03-01T00:00:00Z", INT64_C(-62162035200)},
    {"1900-03-01T00:00:00Z", INT64_C(-2203891200)},
    {" 1970-01-01T00:00:07Z\t", 7},
};

START_TEST(every_offset)
{
    int64_t t = -1;
    ck_assert_msg(cred_time_parse(str_of(good[_i].text), &t), "%s", good[_i].text);
    ck_assert_msg(t == good[_i].unix_s, "%s: %lld", good[_i].text, (long long)t);
}
END_TEST

static const char *const bad[] = {
    "",
    "now",
    "2024-02-29",
    "2024-02-29T12:34:56",
    "2024-02-29T12:34Z",
    "2024-02-30T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2024-00-01T00:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-01-00T00:00:00Z",
    "2024-04-31T00:00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:60:00Z",
    "2024-01-01T00:00:61Z",
    "2024-01-01T00:00:00.Z",
    "2024-01-01T00:00:00+8:00",
    "2024-01-01T00:00:00+08",
    "2024-01-01T00:00:00+24:00",
    "2024-01-01T00:00:00+08:60",
    "2024-01-01T00:00:00+08:00x",
    "2024-01-01T00:00:00ZZ",
    "24-01-01T00:00:00Z",
    "2024-1-1T00:00:00Z",
    "+024-01-01T00:00:00Z",
    "2024-01-01_00:00:00Z",
    "1700000000",
};

START_TEST(nothing_else)
{
    int64_t t;
    ck_assert_msg(!cred_time_parse(str_of(bad[_i]), &t), "%s", bad[_i]);
}
END_TEST

START_TEST(cut_anywhere_it_is_no_time)
{
    const char whole[] = "2024-02-29T12:34:56+08:00";
    int64_t t;
    for (size_t n = 0; n < sizeof whole - 1; n++)
        ck_assert_msg(!cred_time_parse(str_n(whole, n), &t), "%.*s", (int)n, whole);
}
END_TEST

START_TEST(every_day_of_four_centuries_follows_the_one_before)
{
    int64_t last = 0, t;
    char text[64];
    for (int y = 1800; y < 2200; y++)
        for (int m = 1; m <= 12; m++)
            for (int d = 1; d <= 31; d++) {
                snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00Z", y, m, d);
                if (!cred_time_parse(str_of(text), &t))
                    continue;
                if (last)
                    ck_assert_int_eq(t - last, 86400);
                last = t;
            }
    ck_assert_int_eq(last, INT64_C(7258032000)); /* 2199-12-31 */
}
END_TEST

START_TEST(numbers_in_any_unit)
{
    ck_assert_int_eq(cred_time_unix(1709181296), 1709181296);
    ck_assert_int_eq(cred_time_unix(1709181296123), 1709181296);
    ck_assert_int_eq(cred_time_unix(1709181296123456), 1709181296);
    ck_assert_int_eq(cred_time_unix(INT64_C(1709181296123456789)), 1709181296);
}
END_TEST

START_TEST(as_text)
{
    char out[CRED_TIME_TEXT];
    cred_time_format(1709181296, out);
    ck_assert_str_eq(out, "2024-02-29T04:34:56Z");
    cred_time_format(0, out);
    ck_assert_str_eq(out, "never");
    cred_time_format(INT64_MAX, out);
    ck_assert_str_eq(out, "out of range");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_time");
    TCase *c = tcase_create("cred_time");
    tcase_add_loop_test(c, every_offset, 0, (int)ARRAY_LEN(good));
    tcase_add_loop_test(c, nothing_else, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(c, cut_anywhere_it_is_no_time);
    tcase_add_test(c, every_day_of_four_centuries_follows_the_one_before);
    tcase_add_test(c, numbers_in_any_unit);
    tcase_add_test(c, as_text);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
