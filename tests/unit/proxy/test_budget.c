/* SPDX-License-Identifier: Apache-2.0 */
/* The retry budget: share, floor, time, bounds. */
#include "base/clock.h"
#include "fixture.h"
#include "proxy/budget.h"

#define MS NS_PER_MS

START_TEST(floor_without_traffic)
{
    struct budget *b = budget_new(20);
    unsigned got = 0;
    for (int i = 0; i < 100; i++)
        got += budget_retry(b, STR("h"), 100000 * MS);
    ck_assert_uint_eq(got, 10);
    /* Another host has its own. */
    ck_assert(budget_retry(b, STR("other"), 100000 * MS));
    /* A second later there are ten more. */
    for (int i = 0; i < 100; i++)
        got += budget_retry(b, STR("h"), 101000 * MS);
    ck_assert_uint_eq(got, 20);
    budget_free(b);
    budget_free(NULL);
}
END_TEST

/* Every request fails and wants three retries, at 1,000 requests a second for a minute. */
START_TEST(an_outage_is_not_multiplied)
{
    struct budget *b = budget_new(20);
    unsigned requests = 0, retries = 0;
    for (uint64_t ms = 1; ms <= 60000; ms++) {
        budget_request(b, STR("h"), ms * MS);
        requests++;
        for (int i = 0; i < 3 && budget_retry(b, STR("h"), ms * MS); i++)
            retries++;
    }
    ck_assert_uint_le(retries, requests / 5 + 10);
    ck_assert_uint_ge(retries, requests / 5 - requests / 50);
    budget_free(b);
}
END_TEST

START_TEST(the_past_is_forgotten)
{
    struct budget *b = budget_new(20);
    for (int i = 0; i < 10000; i++)
        budget_request(b, STR("h"), 1000 * MS);
    unsigned got = 0;
    for (int i = 0; i < 5000; i++)
        got += budget_retry(b, STR("h"), 1000 * MS);
    ck_assert_uint_eq(got, 2000);
    got = 0;
    for (int i = 0; i < 100; i++)
        got += budget_retry(b, STR("h"), 100000 * MS);
    ck_assert_uint_eq(got, 10);
    /* Eight seconds on, the ring has come round to the same slot. */
    for (int i = 0; i < 100; i++)
        got += budget_retry(b, STR("h"), 108000 * MS);
    ck_assert_uint_eq(got, 20);
    /* A clock that stands still or is behind does no harm. */
    ck_assert(!budget_retry(b, STR("h"), 107000 * MS));
    budget_request(b, STR("h"), 1);
    budget_free(b);
}
END_TEST

START_TEST(percentages)
{
    struct budget *none = budget_new(0), *all = budget_new(100), *bad = budget_new(-5);
    unsigned got_none = 0, got_all = 0, got_bad = 0;
    for (int i = 0; i < 1000; i++) {
        budget_request(none, STR("h"), 5000 * MS);
        budget_request(all, STR("h"), 5000 * MS);
        budget_request(bad, STR("h"), 5000 * MS);
        got_none += budget_retry(none, STR("h"), 5000 * MS);
        got_all += budget_retry(all, STR("h"), 5000 * MS);
        got_bad += budget_retry(bad, STR("h"), 5000 * MS);
    }
    ck_assert_uint_eq(got_none, 10);
    ck_assert_uint_eq(got_all, 1000);
    ck_assert_uint_eq(got_bad, 10);
    budget_free(none);
    budget_free(all);
    budget_free(bad);
}
END_TEST

START_TEST(many_hosts)
{
    struct budget *b = budget_new(20);
    char host[32];
    for (int i = 0; i < 10 * BUDGET_MAX_HOSTS; i++) {
        snprintf(host, sizeof(host), "host-%d", i);
        budget_request(b, str_of(host), 5000 * MS);
        ck_assert(budget_retry(b, str_of(host), 5000 * MS));
    }
    budget_free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("budget");
    TCase *t = tcase_create("budget");
    tcase_add_test(t, floor_without_traffic);
    tcase_add_test(t, an_outage_is_not_multiplied);
    tcase_add_test(t, the_past_is_forgotten);
    tcase_add_test(t, percentages);
    tcase_add_test(t, many_hosts);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
