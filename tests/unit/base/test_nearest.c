/* SPDX-License-Identifier: Apache-2.0 */
/* What "did you mean" offers, and what it must not. */
#include "base/nearest.h"
#include <check.h>
#include <stdlib.h>

static const char *const known[] = {"run",  "check",   "config",   "resolve",
                                    "sign", "presign", "rds_mysql"};

START_TEST(closest_name)
{
    static const char *const rows[][2] = {
        {"chek", "check"},
        {"cehck", "check"},
        {"Resolve", "resolve"},
        {"resolv", "resolve"},
        {"rseolve", "resolve"},
        {"sgin", "sign"},
        {"presing", "presign"},
        {"rds-mysql", "rds_mysql"},
        {"conf", "config"},
        {"configs", "config"},
        {"rum", "run"},
        {"xyz", NULL},
        {"", NULL},
        {"c", NULL},
        {"deploy", NULL},
        {"re", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct nearest n;
        nearest_init(&n, str_of(rows[i][0]));
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            nearest_offer(&n, str_of(known[k]));
        ck_assert_msg(str_eq(n.best, str_of(rows[i][1])), "%s: %.*s", rows[i][0], STR_ARG(n.best));
        ck_assert((n.best.p == NULL) == (rows[i][1] == NULL));
    }
}
END_TEST

START_TEST(first_of_equals_is_kept)
{
    struct nearest n;
    nearest_init(&n, STR("cab"));
    nearest_offer(&n, STR("car"));
    nearest_offer(&n, STR("can"));
    ck_assert(str_eq(n.best, STR("car")));
    nearest_offer(&n, STR("cab"));
    ck_assert(str_eq(n.best, STR("cab")));
}
END_TEST

START_TEST(long_names_are_not_compared)
{
    char name[NEAREST_MAX + 1];
    memset(name, 'a', sizeof name);
    struct nearest n;
    nearest_init(&n, str_n(name, NEAREST_MAX));
    nearest_offer(&n, str_n(name, NEAREST_MAX + 1));
    ck_assert_ptr_null(n.best.p);
    nearest_offer(&n, str_n(name, NEAREST_MAX));
    ck_assert_ptr_nonnull(n.best.p);
    nearest_init(&n, str_n(name, NEAREST_MAX + 1));
    nearest_offer(&n, str_n(name, NEAREST_MAX));
    ck_assert_ptr_null(n.best.p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nearest");
    TCase *t = tcase_create("nearest");
    tcase_add_test(t, closest_name);
    tcase_add_test(t, first_of_equals_is_kept);
    tcase_add_test(t, long_names_are_not_compared);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
