/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/notify.h against a socket of our own that plays the service manager. */
#include "daemon/notify.h"

#include "base/attr.h"
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int manager = -1;
static char path[64];

/* Listens at a path, or in the abstract namespace, and points NOTIFY_SOCKET there. */
static void serve(bool abstract)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "%s/tmp/notify-%ld", abstract ? "@" : "", (long)getpid());
    memcpy(sun.sun_path, path, strlen(path));
    socklen_t len = sizeof sun;
    if (abstract) {
        sun.sun_path[0] = '\0';
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    } else {
        unlink(path);
    }
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(manager, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&sun, len), 0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
}

static void stop(void)
{
    if (manager >= 0)
        close(manager);
    manager = -1;
    if (path[0] == '/')
        unlink(path);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static const char *got(void)
{
    static char text[2048];
    ssize_t n = recv(manager, text, sizeof text - 1, 0);
    ck_assert_msg(n >= 0, "nothing came: %s", strerror(errno));
    text[n] = '\0';
    return text;
}

START_TEST(without_a_manager_all_is_quiet)
{
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "1000000", 1);
    notify_init(true);
    ck_assert(notify_send("READY=1"));
    notify_ready("x");
    notify_watchdog();
    ck_assert_uint_eq(notify_watchdog_ns(), 0);
}
END_TEST

START_TEST(messages)
{
    serve(_i == 1);
    notify_init(true);
    notify_ready("listening");
    ck_assert_str_eq(got(), "READY=1\nSTATUS=listening");
    notify_ready(NULL);
    ck_assert_str_eq(got(), "READY=1");
    notify_stopping("draining\nREADY=1");
    ck_assert_str_eq(got(), "STOPPING=1\nSTATUS=draining READY=1"); /* one status line */
    notify_ready("a\r\nb");
    ck_assert_str_eq(got(), "READY=1\nSTATUS=a  b");
    notify_watchdog();
    ck_assert_str_eq(got(), "WATCHDOG=1");
    ck_assert(notify_send("ERRNO=2\nSTATUS=x"));
    ck_assert_str_eq(got(), "ERRNO=2\nSTATUS=x");
}
END_TEST

START_TEST(reloading_carries_the_monotonic_time)
{
    struct timespec a, b;
    uint64_t us;
    serve(false);
    notify_init(true);
    clock_gettime(CLOCK_MONOTONIC, &a);
    notify_reloading();
    clock_gettime(CLOCK_MONOTONIC, &b);
    ck_assert_int_eq(sscanf(got(), "RELOADING=1\nMONOTONIC_USEC=%" SCNu64, &us), 1);
    ck_assert_uint_ge(us, (uint64_t)a.tv_sec * 1000000 + (uint64_t)a.tv_nsec / 1000);
    ck_assert_uint_le(us, (uint64_t)b.tv_sec * 1000000 + (uint64_t)b.tv_nsec / 1000);
}
END_TEST

START_TEST(the_environment_is_cleaned_when_asked)
{
    serve(false);
    setenv("WATCHDOG_USEC", "3000000", 1);
    notify_init(false);
    ck_assert_ptr_nonnull(getenv("NOTIFY_SOCKET"));
    ck_assert_ptr_nonnull(getenv("WATCHDOG_USEC"));
    notify_init(true);
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
    notify_ready(NULL);
    ck_assert_str_eq(got(), "READY=1");
}
END_TEST

START_TEST(the_watchdog_interval_is_half_the_limit)
{
    static const struct {
        const char *usec;
        int pid; /* 0: ours, 1: another's, -1: not set */
        uint64_t ns;
    } t[] = {{"10000000", 0, 5000000000},
             {"10000000", -1, 5000000000},
             {"10000000", 1, 0},
             {"0", 0, 0},
             {"ten", 0, 0},
             {"", 0, 0},
             {"-5", 0, 0}};
    serve(false);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char pid[32];
        snprintf(pid, sizeof pid, "%ld", t[i].pid == 1 ? 1L : (long)getpid());
        setenv("WATCHDOG_USEC", t[i].usec, 1);
        if (t[i].pid < 0)
            unsetenv("WATCHDOG_PID");
        else
            setenv("WATCHDOG_PID", pid, 1);
        notify_init(false);
        ck_assert_uint_eq(notify_watchdog_ns(), t[i].ns);
    }
}
END_TEST

START_TEST(odd_addresses_are_no_manager)
{
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    const char *const odd[] = {"", "/", "@", "relative/path", "vsock:2:1234", longer};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        setenv("NOTIFY_SOCKET", odd[i], 1);
        notify_init(false);
        ck_assert_msg(notify_send("READY=1"), "%s", odd[i]); /* sent nowhere */
    }
}
END_TEST

START_TEST(a_manager_that_is_gone_is_an_error_not_a_wait)
{
    serve(false);
    notify_init(true);
    close(manager);
    manager = -1;
    ck_assert(!notify_send("READY=1"));
    ck_assert_int_eq(errno, ECONNREFUSED);
    notify_ready(NULL); /* logged, no more */
}
END_TEST

START_TEST(a_manager_that_does_not_read_is_not_waited_for)
{
    serve(false);
    notify_init(true);
    int i = 0;
    while (i < 100000 && notify_send("WATCHDOG=1"))
        i++;
    ck_assert_int_lt(i, 100000);
    ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("notify");
    TCase *c = tcase_create("notify");
    tcase_add_checked_fixture(c, NULL, stop);
    tcase_add_test(c, without_a_manager_all_is_quiet);
    tcase_add_loop_test(c, messages, 0, 2);
    tcase_add_test(c, reloading_carries_the_monotonic_time);
    tcase_add_test(c, the_environment_is_cleaned_when_asked);
    tcase_add_test(c, the_watchdog_interval_is_half_the_limit);
    tcase_add_test(c, odd_addresses_are_no_manager);
    tcase_add_test(c, a_manager_that_is_gone_is_an_error_not_a_wait);
    tcase_add_test(c, a_manager_that_does_not_read_is_not_waited_for);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
