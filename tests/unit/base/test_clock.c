/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/clock. */
#include "base/clock.h"
#include <check.h>
#include <stdlib.h>
#include <time.h>

static void format_is(int64_t s, const char *want)
{
    char out[17];
    clock_format_basic(s, out);
    ck_assert_str_eq(out, want);
}

START_TEST(format)
{
    format_is(-1, "19700101T000000Z");
    format_is(INT64_MIN, "19700101T000000Z");
    format_is(INT64_MAX, "99991231T235959Z");
    format_is(INT64_C(253402300799), "99991231T235959Z");
    format_is(0, "19700101T000000Z");
    format_is(951782400, "20000229T000000Z");
    format_is(1795300299, "20261121T223139Z");
    /* Not the local time. */
    ck_assert_int_eq(setenv("TZ", "Asia/Shanghai", 1), 0);
    tzset();
    format_is(1795300299, "20261121T223139Z");
}
END_TEST

START_TEST(cached_until_the_next_tick)
{
    clock_tick();
    uint64_t mono = clock_ns(), wall = (uint64_t)clock_wall_s();
    uint64_t until = clock_fresh_ns() + 2 * NS_PER_MS;
    while (clock_fresh_ns() < until)
        ;
    ck_assert_uint_eq(clock_ns(), mono);
    ck_assert_uint_eq((uint64_t)clock_wall_s(), wall);
    clock_tick();
    ck_assert_uint_ge(clock_ns(), mono + 2 * NS_PER_MS);
}
END_TEST

START_TEST(first_use_reads_the_clocks)
{
    /* CK_FORK=no shares the thread with the other tests, where this still has to hold. */
    ck_assert_uint_ne(clock_ns(), 0);
    clock_tick();
    int64_t off = clock_wall_s() - (int64_t)time(NULL);
    ck_assert_int_le(off, 1);
    ck_assert_int_ge(off, -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("clock");
    TCase *t = tcase_create("clock");
    tcase_add_test(t, first_use_reads_the_clocks);
    tcase_add_test(t, format);
    tcase_add_test(t, cached_until_the_next_tick);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
