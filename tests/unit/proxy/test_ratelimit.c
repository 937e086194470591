/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets: bursts, waits, several rules, several threads. */
#include "base/clock.h"
#include "fixture.h"
#include "proxy/ratelimit.h"
#include <pthread.h>

#define S NS_PER_SEC

START_TEST(burst_then_rate)
{
    struct conf_rate rule = {"ecs:*", 10.0, 5.0, 0};
    struct ratelimit *r = ratelimit_new(&rule, 1);
    uint64_t now = 1000 * S;
    for (int i = 0; i < 5; i++)
        ck_assert(ratelimit_take(r, STR("ecs"), STR("A"), now).pass);
    struct ratelimit_answer a = ratelimit_take(r, STR("ecs"), STR("A"), now);
    ck_assert(!a.pass && a.rule == &rule);
    ck_assert_uint_eq(a.retry_after_s, 1);
    /* Others do not count, and a refusal takes nothing. */
    ck_assert(ratelimit_take(r, STR("iam"), STR("A"), now).pass);
    ck_assert_ptr_null(ratelimit_take(r, STR("iam"), STR("A"), now).rule);
    ck_assert(!ratelimit_take(r, STR("ecs"), STR("A"), now + S / 10 - 1).pass);
    ck_assert(ratelimit_take(r, STR("ecs"), STR("A"), now + S / 10).pass);
    ck_assert(!ratelimit_take(r, STR("ecs"), STR("A"), now + S / 10).pass);
    /* Idle time fills the bucket up to the burst, not beyond. */
    unsigned passed = 0;
    for (int i = 0; i < 100; i++)
        passed += ratelimit_take(r, STR("ecs"), STR("A"), now + 100 * S).pass;
    ck_assert_uint_eq(passed, 5);
    ratelimit_free(r);
}
END_TEST

START_TEST(waits)
{
    struct conf_rate rule = {"ecs:*", 2.0, 1.0, 2 * S};
    struct ratelimit *r = ratelimit_new(&rule, 1);
    uint64_t now = 5 * S;
    for (uint64_t i = 0; i <= 4; i++) {
        struct ratelimit_answer a = ratelimit_take(r, STR("ecs"), STR(""), now);
        ck_assert(a.pass);
        ck_assert_uint_eq(a.wait_ns, i * S / 2);
    }
    struct ratelimit_answer a = ratelimit_take(r, STR("ecs"), STR(""), now);
    ck_assert(!a.pass);
    ck_assert_uint_eq(a.retry_after_s, 3); /* 2.5 s, rounded up */
    ratelimit_return(r, STR("ecs"), STR(""));
    a = ratelimit_take(r, STR("ecs"), STR(""), now);
    ck_assert(a.pass);
    ck_assert_uint_eq(a.wait_ns, 2 * S);
    ratelimit_free(r);
}
END_TEST

START_TEST(several_rules)
{
    struct conf_rate rules[] = {
        {"*:*", 100.0, 3.0, 0},
        {"ecs:Run*", 1.0, 1.0, 10 * S},
        {"ecs:*", 1.0, 2.0, 0},
    };
    struct ratelimit *r = ratelimit_new(rules, 3);
    ck_assert(ratelimit_take(r, STR("ecs"), STR("RunX"), S).pass);
    struct ratelimit_answer a = ratelimit_take(r, STR("ecs"), STR("RunX"), S);
    ck_assert(a.pass && a.rule == &rules[1]);
    ck_assert_uint_eq(a.wait_ns, S);
    a = ratelimit_take(r, STR("ecs"), STR("RunX"), S);
    ck_assert(!a.pass && a.rule == &rules[2]);
    /* What was refused by the third rule is given back to the first two. */
    a = ratelimit_take(r, STR("iam"), STR("X"), S);
    ck_assert(a.pass && a.wait_ns == 0);
    ck_assert(!ratelimit_take(r, STR("iam"), STR("X"), S).pass);
    ratelimit_free(r);
}
END_TEST

START_TEST(odd_rules)
{
    struct conf_rate rules[] = {
        {"a:*", 0.0, 0.0, 0}, {"b:*", 1e-9, 1.0, 0}, {"c:*", 1e12, 1e12, 0}};
    struct ratelimit *r = ratelimit_new(rules, 3);
    ck_assert(ratelimit_take(r, STR("a"), STR(""), S).pass);
    ck_assert(!ratelimit_take(r, STR("a"), STR(""), 1000 * S).pass);
    ck_assert(ratelimit_take(r, STR("b"), STR(""), S).pass);
    ck_assert(!ratelimit_take(r, STR("b"), STR(""), 1000 * S).pass);
    for (int i = 0; i < 1000; i++)
        ck_assert(ratelimit_take(r, STR("c"), STR(""), S).pass);
    ratelimit_free(r);
    r = ratelimit_new(NULL, 0);
    ck_assert(ratelimit_take(r, STR("c"), STR(""), S).pass);
    ratelimit_return(r, STR("c"), STR(""));
    ratelimit_free(r);
    ratelimit_free(NULL);
}
END_TEST

static void *taker(void *arg)
{
    struct ratelimit *r = arg;
    uintptr_t passed = 0;
    for (int i = 0; i < 20000; i++)
        passed += ratelimit_take(r, STR("ecs"), STR("A"), S).pass;
    return (void *)passed;
}

START_TEST(threads_share)
{
    struct conf_rate rule = {"ecs:*", 1.0, 30000.0, 0};
    struct ratelimit *r = ratelimit_new(&rule, 1);
    pthread_t t[4];
    uintptr_t passed = 0;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, taker, r), 0);
    for (int i = 0; i < 4; i++) {
        void *n;
        ck_assert_int_eq(pthread_join(t[i], &n), 0);
        passed += (uintptr_t)n;
    }
    ck_assert_uint_eq(passed, 30000);
    ratelimit_free(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ratelimit");
    TCase *t = tcase_create("ratelimit");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, burst_then_rate);
    tcase_add_test(t, waits);
    tcase_add_test(t, several_rules);
    tcase_add_test(t, odd_rules);
    tcase_add_test(t, threads_share);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
