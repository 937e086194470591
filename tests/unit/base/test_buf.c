/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/buf. */
#include "../wiped.h"
#include "base/buf.h"
#include <stdio.h>
#include <stdlib.h>

START_TEST(cap_is_kept)
{
    struct buf b;
    buf_init(&b, 10);
    ck_assert(buf_add(&b, "0123456", 7));
    ck_assert(!buf_add(&b, "abcd", 4));
    ck_assert(b.failed);
    ck_assert(str_eq(buf_str(&b), STR("0123456")));
    /* It would fit, but the contents would have a hole. */
    ck_assert(!buf_add(&b, "x", 1));
    ck_assert_uint_eq(b.n, 7);
    buf_reset(&b);
    ck_assert(!b.failed);
    ck_assert(buf_add(&b, "0123456789", 10));
    ck_assert(!buf_reserve(&b, 1));
    ck_assert_uint_le(b.size, 10);
    buf_free(&b);
}
END_TEST

START_TEST(huge_sizes_do_not_wrap)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    ck_assert(buf_add(&b, "abc", 3));
    ck_assert(!buf_reserve(&b, SIZE_MAX));
    buf_reset(&b);
    ck_assert(!buf_reserve(&b, SIZE_MAX - 1)); /* no such memory */
    ck_assert(b.failed);
    buf_free(&b);
    ck_assert_ptr_null(b.p);
}
END_TEST

START_TEST(put_is_sticky)
{
    struct buf b;
    buf_init(&b, 4);
    buf_putz(&b, "ab");
    buf_putz(&b, "cde");
    buf_putc(&b, 'f');
    buf_puts(&b, STR("g"));
    ck_assert(b.failed);
    ck_assert(str_eq(buf_str(&b), STR("ab")));
    buf_free(&b);
}
END_TEST

START_TEST(printf_at_the_cap)
{
    struct buf b;
    buf_init(&b, 300);
    buf_printf(&b, "%0299d", 7);
    ck_assert(!b.failed);
    ck_assert_uint_eq(b.n, 299);
    buf_printf(&b, "%s", "x"); /* exactly full, without room for a NUL */
    ck_assert(!b.failed);
    ck_assert_uint_eq(b.n, 300);
    ck_assert(b.p[298] == '7' && b.p[299] == 'x');
    buf_printf(&b, "%d", 1);
    ck_assert(b.failed);
    ck_assert_uint_eq(b.n, 300);
    buf_free(&b);
}
END_TEST

START_TEST(cstr)
{
    struct buf b;
    buf_init(&b, 3);
    ck_assert_str_eq(buf_cstr(&b), "");
    buf_putz(&b, "ab");
    ck_assert_str_eq(buf_cstr(&b), "ab");
    ck_assert_uint_eq(b.n, 2);
    buf_putc(&b, 'c');
    ck_assert_ptr_null(buf_cstr(&b));
    ck_assert(!b.failed);
    buf_free(&b);
    buf_init(&b, 0);
    ck_assert_ptr_null(buf_cstr(&b));
    ck_assert(buf_add(&b, NULL, 0));
    buf_free(&b);
    struct buf zero = {0};
    buf_free(&zero);
    buf_wipe(&zero);
}
END_TEST

START_TEST(grows_and_shifts)
{
    struct buf b;
    char line[16];
    size_t want = 0;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 20000; i++) { /* past 64 KiB, where the way of growing changes */
        int n = snprintf(line, sizeof(line), "%d,", i);
        buf_put(&b, line, (size_t)n);
        want += (size_t)n;
    }
    ck_assert(!b.failed);
    ck_assert_uint_eq(b.n, want);
    struct str s = buf_str(&b);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t v = 0;
        ck_assert(str_u64(str_cut(&s, ','), 20000, &v));
        ck_assert_uint_eq(v, i);
    }
    buf_shift(&b, 4);
    ck_assert(str_starts(buf_str(&b), STR("2,3,")));
    buf_shift(&b, b.n);
    ck_assert_uint_eq(b.n, 0);
    buf_shift(&b, 0);
    buf_wipe(&b);
    ck_assert_ptr_null(b.p);
    ck_assert_uint_eq(b.max, 1 << 20);
}
END_TEST

START_TEST(small_contents_are_wiped_when_they_move)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t n = 100; n <= 40000; n *= 20) {
        char text[512];
        memset(text, 's', sizeof(text));
        while (b.n < n)
            buf_put(&b, text, 100);
        size_t size = b.size;
        wiped_watch(b.p, 100);
        ck_assert(buf_reserve(&b, size - b.n + 1));
        ck_assert_uint_gt(b.size, size);
        ck_assert(wiped_all());
    }
    buf_free(&b);
}
END_TEST

START_TEST(wipe_reaches_all_that_is_allocated)
{
    struct buf b;
    char text[700];
    memset(text, 's', sizeof(text));
    buf_init(&b, 4096);
    ck_assert(buf_add(&b, text, sizeof(text)));
    wiped_watch(b.p, sizeof(text));
    buf_reset(&b); /* what it held stays where it was */
    ck_assert(buf_add(&b, "x", 1));
    buf_wipe(&b);
    ck_assert(wiped_all());
}
END_TEST

int main(void)
{
    Suite *s = suite_create("buf");
    TCase *t = tcase_create("buf");
    tcase_add_test(t, cap_is_kept);
    tcase_add_test(t, huge_sizes_do_not_wrap);
    tcase_add_test(t, put_is_sticky);
    tcase_add_test(t, printf_at_the_cap);
    tcase_add_test(t, cstr);
    tcase_add_test(t, grows_and_shifts);
    tcase_add_test(t, small_contents_are_wiped_when_they_move);
    tcase_add_test(t, wipe_reaches_all_that_is_allocated);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
