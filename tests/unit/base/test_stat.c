/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/stat. */
#include "base/stat.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const struct str none = {NULL, 0};

/* The value of a series, 0 when there is none. */
static uint64_t value_of(const struct stat *s, enum stat_family f, const char *a, const char *b,
                         const char *c)
{
    unsigned n = atomic_load(&s->nseries);
    for (unsigned i = 0; i < n; i++) {
        const struct stat_series *e = &s->series[i];
        if (e->family == (unsigned)f && !strcmp(e->label[0], a) && !strcmp(e->label[1], b) &&
            !strcmp(e->label[2], c))
            return atomic_load(&e->value);
    }
    return 0;
}

START_TEST(full_table_counts_under_other)
{
    struct stat *s = stat_new();
    char name[32];
    for (int i = 0; i < 2 * STAT_SERIES_MAX; i++) {
        int n = snprintf(name, sizeof(name), "svc%d", i);
        stat_count(s, STATF_REQUESTS, str_n(name, (size_t)n), STR("r"), STR("200"));
    }
    uint64_t other = value_of(s, STATF_REQUESTS, "other", "other", "other");
    ck_assert_uint_eq(other, 2 * STAT_SERIES_MAX - (STAT_SERIES_MAX - STATF_COUNT));
    /* The other families still have their place, with as many labels as they have. */
    stat_count(s, STATF_ATTEMPTS, STR("a"), STR("b"), none);
    stat_count(s, STATF_RETRIES, STR("a"), none, none);
    stat_count(s, STATF_REJECTED, STR("a"), none, none);
    ck_assert_uint_eq(value_of(s, STATF_ATTEMPTS, "other", "other", ""), 1);
    ck_assert_uint_eq(value_of(s, STATF_RETRIES, "other", "", ""), 1);
    ck_assert_uint_eq(value_of(s, STATF_REJECTED, "other", "", ""), 1);
    ck_assert_uint_le(atomic_load(&s->nseries), STAT_SERIES_MAX);
    /* A series that exists still counts. */
    stat_count(s, STATF_REQUESTS, STR("svc0"), STR("r"), STR("200"));
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, "svc0", "r", "200"), 2);
    stat_free(s);
}
END_TEST

/* What clients can make up leaves half of the table to what is sent. */
START_TEST(spare_series_leave_room)
{
    struct stat *s = stat_new();
    char name[32];
    for (int i = 0; i < STAT_SERIES_MAX; i++) {
        int n = snprintf(name, sizeof(name), "svc%d", i);
        stat_count_spare(s, STATF_REQUESTS, str_n(name, (size_t)n), STR("r"), STR("403"));
    }
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, "svc0", "r", "403"), 1);
    ck_assert_uint_ge(value_of(s, STATF_REQUESTS, "other", "other", "other"), STAT_SERIES_MAX / 2);
    ck_assert_uint_le(atomic_load(&s->nseries), STAT_SERIES_MAX / 2 + 1);
    stat_count(s, STATF_REQUESTS, STR("ecs"), STR("r"), STR("200"));
    stat_count_spare(s, STATF_REQUESTS, STR("ecs"), STR("r"), STR("200"));
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, "ecs", "r", "200"), 2);
    stat_free(s);
}
END_TEST

START_TEST(long_labels_are_other)
{
    struct stat *s = stat_new();
    char label[STAT_LABEL_MAX + 1];
    memset(label, 'x', sizeof(label));
    stat_count(s, STATF_REQUESTS, str_n(label, STAT_LABEL_MAX), STR("r"), STR("1"));
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, "other", "r", "1"), 1);
    stat_count(s, STATF_REQUESTS, str_n("a\0b", 3), STR("r"), STR("1"));
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, "other", "r", "1"), 2);
    stat_count(s, STATF_REQUESTS, str_n(label, STAT_LABEL_MAX - 1), STR("r"), STR("1"));
    label[STAT_LABEL_MAX - 1] = '\0';
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, label, "r", "1"), 1);
    stat_free(s);
}
END_TEST

START_TEST(series_are_told_apart)
{
    struct stat *s = stat_new();
    stat_count(s, STATF_ATTEMPTS, STR("ab"), STR("c"), none);
    stat_count(s, STATF_ATTEMPTS, STR("a"), STR("bc"), none);
    stat_count(s, STATF_ATTEMPTS, STR("ab"), STR("c"), none);
    stat_count(s, STATF_REQUESTS, STR("ab"), STR("c"), none);
    ck_assert_uint_eq(value_of(s, STATF_ATTEMPTS, "ab", "c", ""), 2);
    ck_assert_uint_eq(value_of(s, STATF_ATTEMPTS, "a", "bc", ""), 1);
    ck_assert_uint_eq(value_of(s, STATF_REQUESTS, "ab", "c", ""), 1);
    ck_assert_uint_eq(atomic_load(&s->nseries), 3);
    stat_free(s);
}
END_TEST

START_TEST(durations)
{
    struct stat *s = stat_new();
    for (int i = 1; i < STAT_BUCKETS - 1; i++)
        ck_assert(stat_bounds[i] > stat_bounds[i - 1]);
    ck_assert(stat_bounds[0] == 0.001 && stat_bounds[STAT_BUCKETS - 2] == 60);
    stat_duration(s, 0);
    stat_duration(s, 1000000); /* a bound belongs to its own bucket */
    stat_duration(s, 1000001);
    stat_duration(s, UINT64_C(60000000000));
    stat_duration(s, UINT64_C(3600000000000));
    ck_assert_uint_eq(atomic_load(&s->bucket[0]), 2);
    ck_assert_uint_eq(atomic_load(&s->bucket[1]), 1);
    ck_assert_uint_eq(atomic_load(&s->bucket[STAT_BUCKETS - 2]), 1);
    ck_assert_uint_eq(atomic_load(&s->bucket[STAT_BUCKETS - 1]), 1);
    ck_assert_uint_eq(atomic_load(&s->duration_sum_us), UINT64_C(3660002000));
    stat_free(s);
}
END_TEST

START_TEST(counters)
{
    struct stat *s = stat_new();
    ck_assert_uint_eq((uintptr_t)s % 64, 0);
    for (int i = 0; i < STAT_COUNT; i++)
        ck_assert_int_eq(stat_get(s, (enum stat_id)i), 0);
    stat_add(s, STAT_INFLIGHT, 3);
    stat_add(s, STAT_INFLIGHT, -2);
    ck_assert_int_eq(stat_get(s, STAT_INFLIGHT), 1);
    ck_assert_int_eq(stat_get(s, STAT_CLIENT_CONNS), 0);
    stat_free(s);
    stat_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stat");
    TCase *t = tcase_create("stat");
    tcase_add_test(t, full_table_counts_under_other);
    tcase_add_test(t, spare_series_leave_room);
    tcase_add_test(t, long_labels_are_other);
    tcase_add_test(t, series_are_told_apart);
    tcase_add_test(t, durations);
    tcase_add_test(t, counters);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
