/* SPDX-License-Identifier: Apache-2.0 */
/* io/resolve.h with a look-up of our own: single flight, stale answers, a full queue, look-ups that
 * hang, cancelling at every stage. */
#include "io/resolve.h"

#include "base/clock.h"
#include <arpa/inet.h>
#include <check.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loop l;
static struct resolver *r;

/* The fake: names that begin with "hang" wait for the gate; "bad" fails; "none" has no address;
 * anything else gets 192.0.2.N, N counting up, and ::1 twice. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static unsigned lookups, hanging;
static bool gate_open, broken;

static struct addrinfo *link_v6(struct addrinfo *next)
{
    struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in6));
    struct sockaddr_in6 *sa = (struct sockaddr_in6 *)(void *)(a + 1);
    sa->sin6_family = AF_INET6;
    sa->sin6_addr = in6addr_loopback;
    *a = (struct addrinfo){.ai_addr = (struct sockaddr *)(void *)(a + 1), .ai_next = next};
    return a;
}

static int fake_lookup(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    (void)service;
    (void)hints;
    pthread_mutex_lock(&lock);
    unsigned n = ++lookups;
    if (strncmp(name, "hang", 4) == 0) {
        hanging++;
        pthread_cond_broadcast(&change);
        while (!gate_open)
            pthread_cond_wait(&change, &lock);
        hanging--;
    }
    bool fails = broken || strcmp(name, "bad") == 0;
    pthread_cond_broadcast(&change);
    pthread_mutex_unlock(&lock);
    *out = NULL;
    if (fails)
        return EAI_NONAME;
    if (strcmp(name, "none") == 0)
        return 0;
    struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in));
    struct sockaddr_in *sa = (struct sockaddr_in *)(void *)(a + 1);
    sa->sin_family = AF_INET;
    sa->sin_addr.s_addr = htonl(0xC0000200u + n);
    *a = (struct addrinfo){.ai_addr = (struct sockaddr *)(void *)(a + 1),
                           .ai_next = link_v6(link_v6(NULL))};
    *out = a;
    return 0;
}

static void fake_release(struct addrinfo *a)
{
    while (a) {
        struct addrinfo *next = a->ai_next;
        free(a);
        a = next;
    }
}

static void open_gate(void)
{
    pthread_mutex_lock(&lock);
    gate_open = true;
    pthread_cond_broadcast(&change);
    pthread_mutex_unlock(&lock);
}

static void set_broken(bool b)
{
    pthread_mutex_lock(&lock);
    broken = b;
    pthread_mutex_unlock(&lock);
}

static unsigned count_lookups(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = lookups;
    pthread_mutex_unlock(&lock);
    return n;
}

static void wait_hanging(unsigned n)
{
    pthread_mutex_lock(&lock);
    while (hanging < n)
        pthread_cond_wait(&change, &lock);
    pthread_mutex_unlock(&lock);
}

static void make(unsigned threads, unsigned queue, uint64_t ttl_ns)
{
    lookups = hanging = 0;
    gate_open = broken = false;
    ck_assert(loop_init(&l));
    r = resolver_new(threads, queue, ttl_ns);
    ck_assert_ptr_nonnull(r);
    resolver_use(r, fake_lookup, fake_release);
}

static void unmake(void)
{
    open_gate();
    resolver_free(r);
    loop_free(&l);
}

static unsigned dones;

static void done(struct resolve_query *q)
{
    (void)q;
    dones++;
}

static void run_until(unsigned n)
{
    uint64_t give_up = clock_fresh_ns() + 20 * NS_PER_SEC;
    while (dones < n) {
        ck_assert_uint_lt(clock_fresh_ns(), give_up);
        loop_poll(&l, UINT64_MAX);
    }
}

static bool start(struct resolve_query *q, const char *name)
{
    clock_tick();
    return resolve_start(r, q, &l, name, done);
}

/* Asks and waits for the answer. */
static void ask(struct resolve_query *q, const char *name)
{
    unsigned n = dones;
    if (!start(q, name))
        run_until(n + 1);
}

START_TEST(literals_are_answered_at_once)
{
    make(1, 1, NS_PER_SEC);
    struct resolve_query q = {0};
    ck_assert(start(&q, "192.0.2.7"));
    ck_assert_uint_eq(q.answer.n, 1);
    ck_assert_str_eq(q.answer.addr[0], "192.0.2.7");
    ck_assert(start(&q, "2001:db8::1"));
    ck_assert_str_eq(q.answer.addr[0], "2001:db8::1");
    resolve_cancel(&q);
    ck_assert_uint_eq(count_lookups(), 0);
    unmake();
}
END_TEST

START_TEST(answers_come_on_the_loop_and_are_cached)
{
    make(2, 8, 100 * NS_PER_SEC);
    struct resolve_query q = {0};
    ck_assert(!start(&q, "a.test"));
    run_until(1);
    ck_assert_uint_eq(q.answer.n, 2); /* ::1 came twice */
    ck_assert_str_eq(q.answer.addr[0], "192.0.2.1");
    ck_assert_str_eq(q.answer.addr[1], "::1");
    ck_assert(!q.answer.stale);
    ck_assert(start(&q, "A.TEST")); /* names have no case */
    ck_assert_str_eq(q.answer.addr[0], "192.0.2.1");
    ck_assert(!q.answer.stale);
    ck_assert_uint_eq(count_lookups(), 1);
    ck_assert_uint_eq(dones, 1);
    unmake();
}
END_TEST

START_TEST(one_lookup_for_many_queries)
{
    make(4, 8, 100 * NS_PER_SEC);
    struct resolve_query q[10] = {0};
    for (int i = 0; i < 10; i++)
        ck_assert(!start(&q[i], "hang.test"));
    wait_hanging(1);
    open_gate();
    run_until(10);
    ck_assert_uint_eq(count_lookups(), 1);
    for (int i = 0; i < 10; i++)
        ck_assert_str_eq(q[i].answer.addr[0], "192.0.2.1");
    unmake();
}
END_TEST

START_TEST(failures_say_why_and_are_kept_a_while)
{
    make(1, 8, 100 * NS_PER_SEC);
    struct resolve_query q = {0};
    ask(&q, "bad");
    ck_assert_uint_eq(q.answer.n, 0);
    ck_assert_str_eq(q.answer.why, gai_strerror(EAI_NONAME));
    ck_assert(start(&q, "bad")); /* at once, from the cache */
    ck_assert_uint_eq(q.answer.n, 0);
    ck_assert_uint_eq(count_lookups(), 1);
    ask(&q, "none");
    ck_assert_uint_eq(q.answer.n, 0);
    ck_assert_ptr_nonnull(q.answer.why);
    char longer[RESOLVE_NAME_MAX + 1];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_assert(start(&q, longer));
    ck_assert_uint_eq(q.answer.n, 0);
    ck_assert(start(&q, ""));
    ck_assert_uint_eq(q.answer.n, 0);
    unmake();
}
END_TEST

START_TEST(a_stale_answer_serves_while_the_new_one_is_fetched)
{
    make(1, 8, 1);
    struct resolve_query q = {0};
    open_gate();
    ask(&q, "hang.test");
    ck_assert_str_eq(q.answer.addr[0], "192.0.2.1");
    pthread_mutex_lock(&lock);
    gate_open = false;
    pthread_mutex_unlock(&lock);
    ck_assert(start(&q, "hang.test")); /* at once although the look-up hangs */
    ck_assert(q.answer.stale);
    ck_assert_str_eq(q.answer.addr[0], "192.0.2.1");
    wait_hanging(1);
    ck_assert(start(&q, "hang.test"));
    ck_assert(q.answer.stale);
    ck_assert_uint_eq(count_lookups(), 2); /* the second is under way, no third */
    open_gate();
    uint64_t give_up = clock_fresh_ns() + 20 * NS_PER_SEC;
    do {
        ck_assert(start(&q, "hang.test"));
        ck_assert_uint_lt(clock_fresh_ns(), give_up);
    } while (strcmp(q.answer.addr[0], "192.0.2.1") == 0);
    unmake();
}
END_TEST

START_TEST(a_failure_does_not_replace_a_good_answer)
{
    make(1, 8, 1);
    struct resolve_query q = {0};
    ask(&q, "a.test");
    set_broken(true);
    ck_assert(start(&q, "a.test")); /* starts the look-up that will fail */
    uint64_t give_up = clock_fresh_ns() + 20 * NS_PER_SEC;
    while (count_lookups() < 2)
        ck_assert_uint_lt(clock_fresh_ns(), give_up);
    for (int i = 0; i < 100; i++) {
        ck_assert(start(&q, "a.test"));
        ck_assert_uint_eq(q.answer.n, 2);
        ck_assert(q.answer.stale);
    }
    ck_assert_uint_le(count_lookups(), 3); /* the failure is not repeated at once */
    unmake();
}
END_TEST

START_TEST(a_full_queue_fails_at_once)
{
    make(1, 2, NS_PER_SEC);
    struct resolve_query q[4] = {0};
    ck_assert(!start(&q[0], "hang0"));
    wait_hanging(1); /* the only thread is busy */
    ck_assert(!start(&q[1], "a1"));
    ck_assert(!start(&q[2], "a2"));
    ck_assert(start(&q[3], "a3")); /* at once, for nobody opens the gate before */
    ck_assert_uint_eq(q[3].answer.n, 0);
    ck_assert_str_eq(q[3].answer.why, "the resolver's queue is full");
    open_gate();
    run_until(3);
    ask(&q[3], "a3"); /* there is room again */
    ck_assert_uint_eq(q[3].answer.n, 2);
    unmake();
}
END_TEST

START_TEST(cancelled_while_waiting)
{
    make(1, 8, NS_PER_SEC);
    struct resolve_query q[2] = {0};
    ck_assert(!start(&q[0], "hang.test"));
    ck_assert(!start(&q[1], "hang.test"));
    wait_hanging(1);
    resolve_cancel(&q[0]);
    resolve_cancel(&q[0]); /* twice is fine */
    memset(&q[0], 0xEE, sizeof q[0]);
    open_gate();
    run_until(1);
    loop_poll(&l, 0);
    ck_assert_uint_eq(dones, 1);
    unmake();
}
END_TEST

START_TEST(cancelled_when_the_answer_is_on_its_way)
{
    for (int i = 0; i < 200; i++) {
        make(1, 8, NS_PER_SEC);
        dones = 0;
        struct resolve_query *q = calloc(2, sizeof *q);
        ck_assert(!start(&q[0], "hang.test"));
        ck_assert(!start(&q[1], "hang.test"));
        wait_hanging(1);
        open_gate();
        while (!atomic_load(&l.tasks) && i % 2) /* posted, not yet run; else: whenever */
            ;
        resolve_cancel(&q[1]);
        memset(&q[1], 0xEE, sizeof q[1]);
        run_until(1);
        free(q);
        loop_poll(&l, 0);
        ck_assert_uint_eq(dones, 1);
        unmake();
    }
}
END_TEST

START_TEST(a_hanging_lookup_does_not_hold_up_the_end)
{
    make(2, 8, NS_PER_SEC);
    struct resolve_query q = {0};
    ck_assert(!start(&q, "hang.test"));
    wait_hanging(1);
    resolve_cancel(&q);
    uint64_t from = clock_fresh_ns();
    resolver_free(r);
    ck_assert_uint_lt(clock_fresh_ns() - from, 5 * NS_PER_SEC);
    loop_free(&l);
    open_gate(); /* the thread left behind ends and frees */
    pthread_mutex_lock(&lock);
    while (hanging)
        pthread_cond_wait(&change, &lock);
    pthread_mutex_unlock(&lock);
}
END_TEST

START_TEST(the_cache_is_bounded)
{
    make(2, 8, 100 * NS_PER_SEC);
    struct resolve_query q = {0};
    char name[32];
    for (int i = 0; i < 2 * RESOLVE_CACHE_MAX; i++) {
        snprintf(name, sizeof name, "n%d.test", i);
        ask(&q, name);
        ask(&q, "n0.test"); /* used again and again, so it stays */
    }
    ck_assert_uint_eq(count_lookups(), 2 * RESOLVE_CACHE_MAX);
    ask(&q, "n1.test"); /* went long ago */
    ck_assert_uint_eq(count_lookups(), 2 * RESOLVE_CACHE_MAX + 1);
    unmake();
}
END_TEST

/* A name that only the system's resolver takes for an address: it knows it without /etc/hosts too.
 */
START_TEST(the_systems_resolver_is_asked)
{
    make(1, 8, NS_PER_SEC);
    resolver_use(r, getaddrinfo, freeaddrinfo);
    struct resolve_query q = {0};
    ask(&q, "127.1");
    ck_assert_uint_eq(q.answer.n, 1);
    ck_assert_str_eq(q.answer.addr[0], "127.0.0.1");
    unmake();
}
END_TEST

static void reset(void)
{
    dones = 0;
}

int main(void)
{
    Suite *s = suite_create("resolve");
    TCase *c = tcase_create("resolve");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, reset, NULL);
    tcase_add_test(c, literals_are_answered_at_once);
    tcase_add_test(c, answers_come_on_the_loop_and_are_cached);
    tcase_add_test(c, one_lookup_for_many_queries);
    tcase_add_test(c, failures_say_why_and_are_kept_a_while);
    tcase_add_test(c, a_stale_answer_serves_while_the_new_one_is_fetched);
    tcase_add_test(c, a_failure_does_not_replace_a_good_answer);
    tcase_add_test(c, a_full_queue_fails_at_once);
    tcase_add_test(c, cancelled_while_waiting);
    tcase_add_test(c, cancelled_when_the_answer_is_on_its_way);
    tcase_add_test(c, a_hanging_lookup_does_not_hold_up_the_end);
    tcase_add_test(c, the_cache_is_bounded);
    tcase_add_test(c, the_systems_resolver_is_asked);
    suite_add_tcase(s, c);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
