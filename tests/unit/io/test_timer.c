/* SPDX-License-Identifier: Apache-2.0 */
/* io/timer.h: order, moving, unsetting, timers that touch timers while they fire. */
#include "io/timer.h"

#include <check.h>
#include <stdlib.h>

enum { MANY = 500 };

static struct timers ts;
static struct timer tm[MANY];
static size_t order[2 * MANY], fired;

static void note(struct timer *t)
{
    ck_assert_uint_eq(t->pos, 0);
    ck_assert_uint_eq(t->at_ns, 0);
    order[fired++] = (size_t)(t - tm);
}

static void setup(void)
{
    timers_init(&ts);
    fired = 0;
    for (size_t i = 0; i < MANY; i++)
        timer_init(&tm[i], note);
}

static void teardown(void)
{
    timers_free(&ts);
}

static void set(size_t i, uint64_t at)
{
    ck_assert(timer_set(&ts, &tm[i], at));
}

START_TEST(nothing_set)
{
    ck_assert_uint_eq(timers_next(&ts), UINT64_MAX);
    timers_run(&ts, UINT64_MAX);
    timer_unset(&ts, &tm[0]);
    ck_assert_uint_eq(fired, 0);
}
END_TEST

START_TEST(fires_in_order_of_time)
{
    static uint64_t at[MANY];
    srand(7);
    for (size_t i = 0; i < MANY; i++)
        set(i, at[i] = 1 + (uint64_t)rand() % 1000);
    timers_run(&ts, 500);
    size_t due = 0;
    for (size_t i = 0; i < MANY; i++)
        due += at[i] <= 500;
    ck_assert_uint_eq(fired, due);
    ck_assert_uint_gt(timers_next(&ts), 500);
    timers_run(&ts, 1000);
    ck_assert_uint_eq(fired, MANY);
    for (size_t i = 1; i < MANY; i++)
        ck_assert_uint_le(at[order[i - 1]], at[order[i]]);
    ck_assert_uint_eq(timers_next(&ts), UINT64_MAX);
}
END_TEST

START_TEST(moves_and_unsets_anywhere_in_the_heap)
{
    for (int round = 0; round < 50; round++) {
        srand((unsigned)round);
        fired = 0;
        static uint64_t at[MANY];
        for (size_t i = 0; i < MANY; i++)
            set(i, at[i] = 1 + (uint64_t)rand() % 1000);
        for (size_t k = 0; k < MANY; k++) {
            size_t i = (size_t)rand() % MANY;
            if (rand() % 2) {
                timer_unset(&ts, &tm[i]);
                at[i] = 0;
            } else {
                set(i, at[i] = 1 + (uint64_t)rand() % 1000);
            }
        }
        size_t left = 0;
        for (size_t i = 0; i < MANY; i++)
            left += at[i] != 0;
        timers_run(&ts, 2000);
        ck_assert_uint_eq(fired, left);
        for (size_t i = 0; i < fired; i++) {
            ck_assert_uint_ne(at[order[i]], 0);
            if (i)
                ck_assert_uint_le(at[order[i - 1]], at[order[i]]);
        }
    }
}
END_TEST

START_TEST(not_before_its_time)
{
    set(0, 100);
    timers_run(&ts, 99);
    ck_assert_uint_eq(fired, 0);
    ck_assert_uint_eq(timers_next(&ts), 100);
    timers_run(&ts, 100);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

static void again_at_once(struct timer *t)
{
    note(t);
    ck_assert_uint_lt(fired, MANY); /* would go round for ever */
    ck_assert(timer_set(&ts, t, 1));
}

START_TEST(set_to_the_past_by_a_callback_waits_for_the_next_run)
{
    timer_init(&tm[0], again_at_once);
    set(0, 10);
    timers_run(&ts, 50);
    ck_assert_uint_eq(fired, 1);
    ck_assert_uint_lt(timers_next(&ts), 52); /* due at once, not later */
    timers_run(&ts, 50);                     /* the clock has not moved */
    ck_assert_uint_eq(fired, 2);
    timers_run(&ts, 50);
    ck_assert_uint_eq(fired, 3);
}
END_TEST

static void unset_next(struct timer *t)
{
    note(t);
    timer_unset(&ts, &tm[1]);
}

START_TEST(unset_by_an_earlier_one_does_not_fire)
{
    timer_init(&tm[0], unset_next);
    set(0, 10);
    set(1, 11);
    set(2, 12);
    timers_run(&ts, 20);
    ck_assert_uint_eq(fired, 2);
    ck_assert_uint_eq(order[1], 2);
}
END_TEST

START_TEST(zero_means_at_once)
{
    set(0, 0);
    ck_assert_uint_ne(tm[0].pos, 0);
    timers_run(&ts, 1);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(freeing_unsets)
{
    set(3, 10);
    timers_free(&ts);
    ck_assert_uint_eq(tm[3].pos, 0);
    ck_assert_uint_eq(timers_next(&ts), UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("timer");
    TCase *c = tcase_create("timer");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, nothing_set);
    tcase_add_test(c, fires_in_order_of_time);
    tcase_add_test(c, moves_and_unsets_anywhere_in_the_heap);
    tcase_add_test(c, not_before_its_time);
    tcase_add_test(c, set_to_the_past_by_a_callback_waits_for_the_next_run);
    tcase_add_test(c, unset_by_an_earlier_one_does_not_fire);
    tcase_add_test(c, zero_means_at_once);
    tcase_add_test(c, freeing_unsets);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
