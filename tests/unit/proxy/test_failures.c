/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/failures.h: the newest first, no more than there is room for, nothing but printable text.
 */
#include "proxy/failures.h"

#include <check.h>
#include <stdlib.h>

START_TEST(the_newest_come_first)
{
    struct failures *f = failures_new();
    struct failure one = {.at_s = 0}, out[FAILURES_MAX];
    ck_assert_uint_eq(failures_copy(f, out), 0);
    for (int i = 1; i <= 3 * FAILURES_MAX / 2; i++) {
        one.at_s = i;
        failures_add(f, &one);
        size_t n = failures_copy(f, out);
        ck_assert_uint_eq(n, i < FAILURES_MAX ? (size_t)i : FAILURES_MAX);
        for (size_t k = 0; k < n; k++)
            ck_assert_int_eq(out[k].at_s, i - (int)k);
    }
    failures_free(f);
    failures_free(NULL);
}
END_TEST

START_TEST(text_is_cut_and_cleaned)
{
    char field[8];
    failures_text(field, sizeof field, STR("abc"));
    ck_assert_str_eq(field, "abc");
    failures_text(field, sizeof field, STR("abcdefgh"));
    ck_assert_str_eq(field, "abcdefg");
    failures_text(field, sizeof field, STR("a\n\x1b\x7f\xc3\xa4z"));
    ck_assert_str_eq(field, "a?????z");
    failures_text(field, sizeof field, (struct str){NULL, 0});
    ck_assert_str_eq(field, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("failures");
    TCase *c = tcase_create("all");
    tcase_add_test(c, the_newest_come_first);
    tcase_add_test(c, text_is_cut_and_cleaned);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
