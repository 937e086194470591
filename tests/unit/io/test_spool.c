/* SPDX-License-Identifier: Apache-2.0 */
/* io/spool.h: memory, the change to a file, caps, re-use, a disk that fails. */
#include "io/spool.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEM = 64, MAX = 100000 };

static struct spool s;

static void setup(void)
{
    spool_init(&s, MEM, MAX);
}

static void teardown(void)
{
    spool_free(&s);
}

static char byte_at(size_t i)
{
    return (char)(i * 131 + i / 256);
}

static enum err add(size_t n)
{
    static char p[MAX + 10];
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at((size_t)s.size + i);
    return spool_write(&s, p, n);
}

/* Reads everything back in pieces of n and compares. */
static void check_all(size_t n)
{
    static char scratch[MAX];
    uint64_t at = 0;
    for (;;) {
        struct str v = spool_read(&s, at, scratch, n);
        ck_assert_ptr_nonnull(v.p);
        ck_assert_uint_le(v.n, n);
        if (v.n == 0)
            break;
        for (size_t i = 0; i < v.n; i++)
            ck_assert_int_eq(v.p[i], byte_at((size_t)at + i));
        at += v.n;
    }
    ck_assert_uint_eq(at, s.size);
}

START_TEST(empty)
{
    char c;
    struct str v = spool_read(&s, 0, &c, 1);
    ck_assert_uint_eq(v.n, 0);
    ck_assert_ptr_nonnull(v.p);
    ck_assert_uint_eq(spool_mem(&s), 0);
    ck_assert_int_eq(spool_write(&s, NULL, 0), ERR_OK);
}
END_TEST

START_TEST(small_stays_in_memory)
{
    ck_assert_int_eq(add(MEM - 1), ERR_OK);
    ck_assert_int_eq(add(1), ERR_OK);
    ck_assert_int_eq(s.fd, -1);
    ck_assert_uint_eq(spool_mem(&s), MEM);
    check_all(7);
    check_all(MAX);
}
END_TEST

START_TEST(one_byte_more_goes_to_a_nameless_private_file)
{
    ck_assert_int_eq(add(MEM), ERR_OK);
    ck_assert_int_eq(add(1), ERR_OK);
    ck_assert_int_ge(s.fd, 0);
    ck_assert_uint_eq(spool_mem(&s), 0);
    struct stat st;
    ck_assert_int_eq(fstat(s.fd, &st), 0);
    ck_assert_uint_eq(st.st_nlink, 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    check_all(7);
    ck_assert_int_eq(add(MAX - MEM - 1), ERR_OK);
    check_all(4096);
    check_all(MAX);
}
END_TEST

START_TEST(many_odd_pieces)
{
    srand(3);
    while (s.size < MAX / 2)
        ck_assert_int_eq(add(1 + (size_t)rand() % 50), ERR_OK);
    check_all(1000);
}
END_TEST

START_TEST(the_cap_holds)
{
    ck_assert_int_eq(add(MAX), ERR_OK);
    ck_assert_int_eq(add(1), ERR_BODY_TOO_LARGE);
    ck_assert_int_eq(add(0), ERR_OK);
    ck_assert_uint_eq(s.size, MAX);
    spool_reset(&s, 0);
    ck_assert_int_eq(add(MAX + 1), ERR_BODY_TOO_LARGE);
    ck_assert_uint_eq(s.size, 0);
    s.max = UINT64_MAX;
    s.size = UINT64_MAX - 1;
    ck_assert_int_eq(spool_write(&s, "abc", 3), ERR_BODY_TOO_LARGE);
    s.size = 0;
}
END_TEST

START_TEST(reset_starts_anew)
{
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(add(i % 2 ? 10 : 1000), ERR_OK);
        check_all(64);
        spool_reset(&s, MEM);
        ck_assert_uint_eq(s.size, 0);
        ck_assert_int_eq(s.fd, -1);
        ck_assert_uint_eq(spool_mem(&s), 0);
    }
    ck_assert_int_eq(add(10), ERR_OK);
    char *kept = s.mem.p;
    spool_reset(&s, MAX);
    ck_assert_ptr_eq(s.mem.p, kept);
    spool_reset(&s, 0);
    ck_assert_ptr_null(s.mem.p);
    ck_assert_int_eq(add(MEM), ERR_OK); /* the memory cap outlives a reset */
    ck_assert_int_eq(s.fd, -1);
    ck_assert_int_eq(add(1), ERR_OK);
    ck_assert_int_ge(s.fd, 0);
}
END_TEST

START_TEST(other_limits_hold_from_the_next_body_on)
{
    ck_assert_int_eq(add(MEM), ERR_OK);
    spool_reset(&s, MAX);
    spool_limits(&s, MEM / 2, MEM);
    ck_assert_ptr_null(s.mem.p); /* what was kept is more than may be */
    ck_assert_int_eq(add(MEM / 2), ERR_OK);
    ck_assert_int_eq(s.fd, -1);
    ck_assert_int_eq(add(1), ERR_OK);
    ck_assert_int_ge(s.fd, 0);
    ck_assert_int_eq(add(MEM / 2), ERR_BODY_TOO_LARGE);
    check_all(7);
}
END_TEST

START_TEST(nothing_in_memory_allowed)
{
    spool_init(&s, 0, MAX);
    ck_assert_int_eq(add(1), ERR_OK);
    ck_assert_int_ge(s.fd, 0);
    check_all(1);
}
END_TEST

START_TEST(tmpdir_is_used)
{
    char dir[] = "/tmp/spool-XXXXXX", want[64], got[256];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(setenv("TMPDIR", dir, 1), 0);
    ck_assert_int_eq(add(1000), ERR_OK);
    snprintf(want, sizeof want, "/proc/self/fd/%d", s.fd);
    ssize_t n = readlink(want, got, sizeof got - 1);
    ck_assert_int_gt(n, 0);
    got[n] = '\0';
    ck_assert_msg(strncmp(got, dir, strlen(dir)) == 0, "%s is not in %s", got, dir);
    ck_assert_int_eq(rmdir(dir), 0); /* no name was left in it */
    unsetenv("TMPDIR");
}
END_TEST

START_TEST(a_tmpdir_that_is_not_there_is_passed_over)
{
    ck_assert_int_eq(setenv("TMPDIR", "/nonexistent/dir", 1), 0);
    ck_assert_int_eq(add(1000), ERR_OK);
    check_all(100);
    unsetenv("TMPDIR");
}
END_TEST

START_TEST(a_failed_write_is_overloaded_and_leaves_the_rest_readable)
{
    struct rlimit old, small = {2000, 2000};
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    /* No assertion under the limit: check writes a file of its own. */
    bool limited = setrlimit(RLIMIT_FSIZE, &small) == 0;
    enum err first = add(1500), second = add(1000);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    ck_assert(limited);
    ck_assert_int_eq(first, ERR_OK);
    ck_assert_int_eq(second, ERR_OVERLOADED);
    ck_assert_uint_eq(s.size, 1500);
    check_all(100);
    ck_assert_int_eq(add(1000), ERR_OK);
    check_all(100);
}
END_TEST

START_TEST(no_descriptor_left_is_overloaded)
{
    struct rlimit old, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){3, old.rlim_max};
    ck_assert_int_eq(add(10), ERR_OK);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum err e = add(1000);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert_int_eq(e, ERR_OVERLOADED);
    ck_assert_uint_eq(s.size, 10);
    check_all(3);
}
END_TEST

START_TEST(a_cut_file_is_an_error_not_an_end)
{
    char c[10];
    ck_assert_int_eq(add(1000), ERR_OK);
    ck_assert_int_eq(ftruncate(s.fd, 100), 0);
    struct str v = spool_read(&s, 100, c, sizeof c);
    ck_assert_ptr_null(v.p);
    ck_assert_int_eq(errno, EIO);
}
END_TEST

START_TEST(an_announced_body_is_never_moved)
{
    spool_expect(&s, MEM);
    const char *p = s.mem.p;
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < MEM / 4; i++)
        ck_assert_int_eq(add(4), ERR_OK);
    ck_assert_ptr_eq(s.mem.p, p);
    ck_assert_uint_eq(s.mem.size, MEM);
    check_all(7);
    /* What won't stay in memory reserves nothing; a client that says too little is served. */
    spool_reset(&s, 0);
    spool_expect(&s, MEM + 1);
    spool_expect(&s, UINT64_MAX);
    ck_assert_ptr_null(s.mem.p);
    spool_expect(&s, 5);
    ck_assert_int_eq(add(MEM + 100), ERR_OK);
    spool_expect(&s, 10);
    check_all(30);
}
END_TEST

int main(void)
{
    Suite *su = suite_create("spool");
    TCase *c = tcase_create("spool");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, empty);
    tcase_add_test(c, small_stays_in_memory);
    tcase_add_test(c, one_byte_more_goes_to_a_nameless_private_file);
    tcase_add_test(c, many_odd_pieces);
    tcase_add_test(c, the_cap_holds);
    tcase_add_test(c, reset_starts_anew);
    tcase_add_test(c, other_limits_hold_from_the_next_body_on);
    tcase_add_test(c, nothing_in_memory_allowed);
    tcase_add_test(c, tmpdir_is_used);
    tcase_add_test(c, a_tmpdir_that_is_not_there_is_passed_over);
    tcase_add_test(c, a_failed_write_is_overloaded_and_leaves_the_rest_readable);
    tcase_add_test(c, no_descriptor_left_is_overloaded);
    tcase_add_test(c, an_announced_body_is_never_moved);
    tcase_add_test(c, a_cut_file_is_an_error_not_an_end);
    suite_add_tcase(su, c);
    SRunner *r = srunner_create(su);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
