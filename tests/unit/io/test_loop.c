/* SPDX-License-Identifier: Apache-2.0 */
/* io/loop.h: readiness, no call after loop_del, tasks from other threads, waiting no longer than
 * asked. */
#include "io/loop.h"

#include "base/clock.h"
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop l;

static void setup(void)
{
    ck_assert(loop_init(&l));
}

static void teardown(void)
{
    loop_free(&l);
}

struct watched {
    struct loop_fd f;
    int other;
    unsigned calls;
    uint32_t events;
    struct watched *victim;
};

static void seen(struct loop_fd *f, uint32_t events)
{
    struct watched *w = CONTAINER_OF(f, struct watched, f);
    w->calls++;
    w->events = events;
    if (w->victim)
        loop_del(&l, &w->victim->f);
}

static void watch(struct watched *w, uint32_t events)
{
    int sv[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    *w = (struct watched){.f = {.fd = sv[0], .ready = seen}, .other = sv[1]};
    ck_assert(loop_add(&l, &w->f, events));
}

START_TEST(ready_is_called_with_the_events)
{
    struct watched w;
    watch(&w, EPOLLIN);
    loop_poll(&l, 0);
    ck_assert_uint_eq(w.calls, 0);
    ck_assert_int_eq(write(w.other, "x", 1), 1);
    loop_poll(&l, UINT64_MAX);
    ck_assert_uint_eq(w.calls, 1);
    ck_assert(w.events & EPOLLIN);
    ck_assert(loop_mod(&l, &w.f, EPOLLOUT));
    loop_poll(&l, UINT64_MAX);
    ck_assert_uint_eq(w.calls, 2);
    ck_assert_uint_eq(w.events, EPOLLOUT);
    int fd = w.f.fd;
    loop_del(&l, &w.f);
    ck_assert_int_eq(w.f.fd, -1);
    loop_poll(&l, 0);
    ck_assert_uint_eq(w.calls, 2);
    ck_assert_int_eq(write(fd, "y", 1), 1); /* still open */
    loop_del(&l, &w.f);                     /* a second time is fine */
    close(fd);
    close(w.other);
}
END_TEST

START_TEST(deleted_within_a_batch_is_not_called)
{
    struct watched a, b;
    watch(&a, EPOLLIN);
    watch(&b, EPOLLIN);
    a.victim = &b;
    b.victim = &a;
    int fa = a.f.fd, fb = b.f.fd;
    ck_assert_int_eq(write(a.other, "x", 1), 1);
    ck_assert_int_eq(write(b.other, "x", 1), 1);
    loop_poll(&l, UINT64_MAX);
    ck_assert_uint_eq(a.calls + b.calls, 1); /* whoever came first struck the other out */
    loop_del(&l, &a.f);
    loop_del(&l, &b.f);
    close(fa), close(fb), close(a.other), close(b.other);
}
END_TEST

START_TEST(add_of_a_bad_descriptor_fails)
{
    struct loop_fd f = {.fd = 9999, .ready = seen};
    ck_assert(!loop_add(&l, &f, EPOLLIN));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(f.fd, 9999);
}
END_TEST

START_TEST(waits_no_longer_than_asked)
{
    uint64_t from = clock_fresh_ns();
    loop_poll(&l, from + 30 * NS_PER_MS);
    uint64_t took = clock_fresh_ns() - from;
    ck_assert_uint_ge(took, 30 * NS_PER_MS);
    ck_assert_uint_lt(took, 900 * NS_PER_MS);
    from = clock_fresh_ns();
    loop_poll(&l, from - 1);
    loop_poll(&l, 0);
    ck_assert_uint_lt(clock_fresh_ns() - from, 900 * NS_PER_MS);
}
END_TEST

static void ignore(struct timer *t)
{
    (void)t;
}

START_TEST(waits_no_longer_than_the_next_timer)
{
    struct timer t;
    timer_init(&t, ignore);
    uint64_t from = clock_fresh_ns();
    ck_assert(timer_set(&l.timers, &t, from + 20 * NS_PER_MS));
    loop_poll(&l, UINT64_MAX);
    uint64_t took = clock_fresh_ns() - from;
    ck_assert_uint_ge(took, 20 * NS_PER_MS);
    timer_unset(&l.timers, &t);
    ck_assert_uint_lt(took, 900 * NS_PER_MS);
}
END_TEST

START_TEST(turns_show_progress)
{
    uint64_t n = atomic_load(&l.turns), before = clock_fresh_ns();
    loop_poll(&l, 0);
    ck_assert_uint_eq(atomic_load(&l.turns), n + 1);
    ck_assert_uint_ge(atomic_load(&l.turn_ns), before);
}
END_TEST

struct counted {
    struct loop_task task;
    unsigned ran, *order, at;
    struct counted *repost;
};

static void count(struct loop_task *t)
{
    struct counted *c = CONTAINER_OF(t, struct counted, task);
    c->ran++;
    if (c->order)
        c->at = (*c->order)++;
    if (c->repost)
        loop_post(&l, &c->repost->task);
}

START_TEST(tasks_run_in_order_once)
{
    unsigned order = 0;
    struct counted c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = (struct counted){.task = {.run = count}, .order = &order};
        loop_post(&l, &c[i].task);
    }
    loop_poll(&l, UINT64_MAX);
    loop_poll(&l, 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(c[i].ran, 1);
        ck_assert_uint_eq(c[i].at, i);
    }
}
END_TEST

START_TEST(a_task_posted_by_a_task_runs_in_the_next_turn_without_waiting)
{
    struct counted a = {.task = {.run = count}};
    a.repost = &a;
    loop_post(&l, &a.task);
    uint64_t from = clock_fresh_ns();
    for (unsigned i = 1; i <= 20; i++) {
        loop_poll(&l, UINT64_MAX);
        ck_assert_uint_eq(a.ran, i);
    }
    ck_assert_uint_lt(clock_fresh_ns() - from, 900 * NS_PER_MS);
}
END_TEST

START_TEST(an_unposted_task_does_not_run)
{
    struct counted c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = (struct counted){.task = {.run = count}};
        loop_post(&l, &c[i].task);
    }
    ck_assert(loop_unpost(&l, &c[1].task));
    ck_assert(!loop_unpost(&l, &c[1].task));
    loop_poll(&l, UINT64_MAX);
    ck_assert_uint_eq(c[0].ran, 1);
    ck_assert_uint_eq(c[1].ran, 0);
    ck_assert_uint_eq(c[2].ran, 1);
    loop_post(&l, &c[1].task); /* it may be posted anew */
    loop_poll(&l, UINT64_MAX);
    ck_assert_uint_eq(c[1].ran, 1);
}
END_TEST

enum { THREADS = 4, POSTS = 2000 };

static struct counted from_thread[THREADS][POSTS];

static void *poster(void *arg)
{
    struct counted *c = arg;
    for (int i = 0; i < POSTS; i++)
        loop_post(&l, &c[i].task);
    return NULL;
}

static void *waker(void *arg)
{
    (void)arg;
    loop_wake(&l);
    return NULL;
}

START_TEST(tasks_of_other_threads_all_arrive)
{
    pthread_t id[THREADS];
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < POSTS; k++)
            from_thread[i][k] = (struct counted){.task = {.run = count}};
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&id[i], NULL, poster, from_thread[i]), 0);
    uint64_t give_up = clock_fresh_ns() + 20 * NS_PER_SEC;
    for (;;) {
        unsigned ran = 0;
        for (int i = 0; i < THREADS; i++)
            for (int k = 0; k < POSTS; k++)
                ran += from_thread[i][k].ran;
        if (ran == THREADS * POSTS)
            break;
        ck_assert_uint_lt(clock_fresh_ns(), give_up);
        loop_poll(&l, UINT64_MAX);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(id[i], NULL);
}
END_TEST

START_TEST(a_wake_ends_the_wait)
{
    pthread_t id;
    /* Before and during: whichever way the threads are scheduled, one poll ends early. */
    for (int i = 0; i < 20; i++) {
        uint64_t from = clock_fresh_ns();
        ck_assert_int_eq(pthread_create(&id, NULL, waker, NULL), 0);
        loop_poll(&l, UINT64_MAX);
        ck_assert_uint_lt(clock_fresh_ns() - from, 900 * NS_PER_MS);
        pthread_join(id, NULL);
        loop_poll(&l, 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *c = tcase_create("loop");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, ready_is_called_with_the_events);
    tcase_add_test(c, deleted_within_a_batch_is_not_called);
    tcase_add_test(c, add_of_a_bad_descriptor_fails);
    tcase_add_test(c, waits_no_longer_than_asked);
    tcase_add_test(c, waits_no_longer_than_the_next_timer);
    tcase_add_test(c, turns_show_progress);
    tcase_add_test(c, tasks_run_in_order_once);
    tcase_add_test(c, a_task_posted_by_a_task_runs_in_the_next_turn_without_waiting);
    tcase_add_test(c, an_unposted_task_does_not_run);
    tcase_add_test(c, tasks_of_other_threads_all_arrive);
    tcase_add_test(c, a_wake_ends_the_wait);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
