/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/str.h and base/list.h. */
#include "base/list.h"
#include "base/str.h"
#include <check.h>
#include <stdlib.h>

START_TEST(u64_refuses)
{
    static const char *const bad[] = {"",   " 1",  "1 ", "+1",
                                      "-1", "0x1", "1a", "18446744073709551616"};
    uint64_t v = 77;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!str_u64(str_of(bad[i]), UINT64_MAX, &v), "accepted '%s'", bad[i]);
    ck_assert(!str_u64(STR("6"), 5, &v));
    ck_assert(!str_u64(STR("10"), 9, &v));
    ck_assert(!str_u64(STR("1"), 0, &v));
    ck_assert_uint_eq(v, 77);
}
END_TEST

START_TEST(u64_takes)
{
    uint64_t v = 0;
    ck_assert(str_u64(STR("18446744073709551615"), UINT64_MAX, &v));
    ck_assert_uint_eq(v, UINT64_MAX);
    ck_assert(str_u64(STR("005"), 5, &v));
    ck_assert_uint_eq(v, 5);
    ck_assert(str_u64(STR("0"), 0, &v));
    ck_assert_uint_eq(v, 0);
}
END_TEST

START_TEST(comparisons)
{
    ck_assert(!str_eq(STR("a"), STR("A")));
    ck_assert(!str_eq(STR("a"), STR("ab")));
    ck_assert(str_eq(str_n(NULL, 0), STR("")));
    ck_assert(str_ieq(STR("Content-Type"), STR("content-tYPE")));
    /* '@' and '`' differ by the case bit and are no letters. */
    ck_assert(!str_ieq(STR("@"), STR("`")));
    ck_assert(!str_starts(STR("ab"), STR("abc")));
    ck_assert(str_starts(STR("abc"), STR("ab")));
    ck_assert(str_istarts(STR("ABc"), STR("aB")));
    ck_assert(str_iends(STR("x.Localhost"), STR(".localhost")));
    ck_assert(!str_iends(STR("host"), STR("localhost")));
}
END_TEST

START_TEST(order)
{
    static const char *const sorted[] = {"", "A", "a", "a ", "a-b", "aa", "b", "\x80", "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
        for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
            int got = str_cmp(str_of(sorted[i]), str_of(sorted[k]));
            ck_assert_int_eq((got > 0) - (got < 0), (i > k) - (i < k));
        }
    ck_assert_int_eq(str_cmp(str_n(NULL, 0), STR("")), 0);
    ck_assert_int_lt(str_cmp(str_n("a", 1), str_n("a\0", 2)), 0);
}
END_TEST

START_TEST(cut_ends_after_the_last_part)
{
    struct str s = STR("a,,b");
    ck_assert(str_eq(str_cut(&s, ','), STR("a")));
    ck_assert(str_eq(str_cut(&s, ','), STR("")));
    ck_assert_ptr_nonnull(s.p);
    ck_assert(str_eq(str_cut(&s, ','), STR("b")));
    ck_assert_ptr_null(s.p);
    s = STR("a,");
    ck_assert(str_eq(str_cut(&s, ','), STR("a")));
    ck_assert_ptr_nonnull(s.p);
    ck_assert_uint_eq(s.n, 0);
    ck_assert(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    ck_assert_uint_eq(str_trim(STR(" \t ")).n, 0);
}
END_TEST

START_TEST(list_order_and_unlink)
{
    struct list head, other, e[3];
    list_init(&head);
    list_init(&other);
    ck_assert_ptr_null(list_pop(&head));
    for (int i = 0; i < 3; i++)
        list_push(&head, &e[i]);
    list_unlink(&e[1]);
    list_unlink(&e[1]); /* idempotent */
    list_push_front(&other, &e[1]);
    list_splice(&other, &head);
    ck_assert(list_empty(&head));
    int n = 0;
    LIST_FOR (it, &other)
        n++;
    ck_assert_int_eq(n, 3);
    ck_assert_ptr_eq(list_pop(&other), &e[1]);
    ck_assert_ptr_eq(list_pop(&other), &e[0]);
    ck_assert_ptr_eq(list_pop(&other), &e[2]);
    ck_assert_ptr_null(list_pop(&other));
    list_splice(&head, &other);
    ck_assert(list_empty(&head));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("str");
    TCase *t = tcase_create("str");
    tcase_add_test(t, u64_refuses);
    tcase_add_test(t, u64_takes);
    tcase_add_test(t, comparisons);
    tcase_add_test(t, order);
    tcase_add_test(t, cut_ends_after_the_last_part);
    tcase_add_test(t, list_order_and_unlink);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
