/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/err. */
#include "base/err.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(unknown_numbers)
{
    ck_assert_int_eq(err_status((enum err)ERR_COUNT), 500);
    ck_assert_str_eq(err_code((enum err)9999), "Internal");
    ck_assert_str_eq(err_retry_name((enum err_retry)99), "none");
    ck_assert_int_eq(err_status(ERR_OK), 200);
    ck_assert_str_eq(err_code(ERR_OK), "");
}
END_TEST

START_TEST(every_row_is_usable)
{
    for (int i = 1; i < ERR_COUNT; i++) {
        enum err e = (enum err)i;
        ck_assert_int_ge(err_status(e), 400);
        ck_assert_int_le(err_status(e), 504);
        ck_assert_uint_gt(strlen(err_code(e)), 0);
        ck_assert_uint_gt(strlen(err_text(e)), 0);
        for (int k = 1; k < i; k++)
            ck_assert_str_ne(err_code(e), err_code((enum err)k));
    }
    ck_assert_int_eq(err_status(ERR_MISSING_SERVICE), 400);
    ck_assert_int_eq(err_retry(ERR_MISSING_SERVICE), RETRY_NONE);
    ck_assert_int_eq(err_retry(ERR_RESET), RETRY_RESET);
    ck_assert_int_eq(err_retry(ERR_READ_TIMEOUT), RETRY_TIMEOUT);
    ck_assert_int_eq(err_retry(ERR_REQUEST_TIMEOUT), RETRY_NONE);
    for (int k = 0; k < RETRY_KINDS; k++)
        ck_assert_ptr_nonnull(err_retry_name((enum err_retry)k));
    ck_assert_str_eq(err_retry_name(RETRY_PROTOCOL), "protocol");
}
END_TEST

START_TEST(detail_is_one_printable_line)
{
    struct err_detail d;
    ck_assert_int_eq(err_set(NULL, ERR_TLS, "%s", "x"), ERR_TLS);
    ck_assert_int_eq(err_set(&d, ERR_TLS, "a%sb", "\r\n\x1b[0m\x7f\xc3\xa4"), ERR_TLS);
    ck_assert_str_eq(d.text, "a\\x0d\\x0a\\x1b[0m\\x7f\\xc3\\xa4b");
    (void)err_set(&d, ERR_TLS, "%s", "");
    ck_assert_str_eq(d.text, "");
}
END_TEST

START_TEST(detail_is_cut)
{
    struct err_detail d;
    char big[2000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    (void)err_set(&d, ERR_TLS, "%s", big);
    ck_assert_uint_eq(strlen(d.text), sizeof(d.text) - 1);
    memset(big, '\n', sizeof(big) - 1);
    (void)err_set(&d, ERR_TLS, "%s", big);
    /* No half escape: 127 of four characters. */
    ck_assert_uint_eq(strlen(d.text), 508);
    ck_assert_str_eq(d.text + 504, "\\x0a");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("err");
    TCase *t = tcase_create("err");
    tcase_add_test(t, unknown_numbers);
    tcase_add_test(t, every_row_is_usable);
    tcase_add_test(t, detail_is_one_printable_line);
    tcase_add_test(t, detail_is_cut);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
