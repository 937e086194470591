/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/secret. */
#include "../wiped.h"
#include "base/secret.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(mask)
{
    char out[16];
    secret_mask(STR(""), out);
    ck_assert_str_eq(out, "****");
    secret_mask(STR("12345678"), out);
    ck_assert_str_eq(out, "****");
    secret_mask(STR("123456789"), out);
    ck_assert_str_eq(out, "1234...6789");
    secret_mask(STR("AK\x1b\nxxxxxxxxxxxx\xff\x7f"
                    "cd"),
                out);
    ck_assert_str_eq(out, "AK??...??cd");
}
END_TEST

START_TEST(equality)
{
    ck_assert(!secret_eq(STR("abc"), STR("abd")));
    ck_assert(!secret_eq(STR("abc"), STR("ab")));
    ck_assert(!secret_eq(STR(""), STR("a")));
    ck_assert(secret_eq(STR("abc"), STR("abc")));
    ck_assert(secret_eq(str_n(NULL, 0), STR("")));
}
END_TEST

START_TEST(null_is_fine)
{
    secret_unref(NULL);
    ck_assert_ptr_null(secret_ref(NULL));
    ck_assert_ptr_null(secret_str(NULL).p);
    ck_assert_uint_eq(secret_str(NULL).n, 0);
    struct secret *s = secret_new(str_n(NULL, 0));
    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(secret_str(s).n, 0);
    secret_unref(s);
}
END_TEST

START_TEST(last_reference_wipes)
{
    /* The neighbour keeps the pages mapped, so that they can be looked at afterwards. */
    struct secret *neighbour = secret_new(STR("neighbour"));
    struct secret *s = secret_new(STR("canary-canary-canary"));
    const volatile char *p = secret_str(s).p;
    ck_assert_ptr_eq(secret_ref(s), s);
    secret_unref(s);
    ck_assert(str_eq(secret_str(s), STR("canary-canary-canary")));
    secret_unref(s);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(p[i], 0);
    ck_assert(str_eq(secret_str(neighbour), STR("neighbour")));
    secret_unref(neighbour);
}
END_TEST

START_TEST(wipe)
{
    char key[] = "12345678";
    secret_wipe(key, 4);
    ck_assert_mem_eq(key,
                     "\0\0\0\0"
                     "5678",
                     sizeof key);
    secret_wipe(NULL, 0);
}
END_TEST

START_TEST(blocks_are_wiped_and_freed)
{
    char *block = malloc(300);
    wiped_watch(block, 300);
    secret_free(block);
    ck_assert(wiped_all());
    secret_free(NULL);
    /* A region goes back to the system with its last secret. */
    static char big[40000];
    struct secret *s = secret_new(str_n(big, sizeof(big)));
    ck_assert_ptr_nonnull(s);
    wiped_watch(secret_str(s).p + sizeof(big) - 1000, 1000);
    uintptr_t page = (uintptr_t)secret_str(s).p & ~(uintptr_t)4095;
    unsigned char there;
    ck_assert_int_eq(mincore((void *)page, 1, &there), 0);
    secret_unref(s);
    ck_assert(wiped_all());
    ck_assert_int_eq(mincore((void *)page, 1, &there), -1);
}
END_TEST

/* Sizes around the slot and region limits, freed in another order than taken. */
START_TEST(many_sizes)
{
    static const size_t sizes[] = {1,    200,  232,   233,   256,   257,
                                   1000, 4096, 16000, 16384, 16385, 40000};
    struct secret *held[8][ARRAY_LEN(sizes)];
    static char bytes[40000];
    for (size_t k = 0; k < 8; k++)
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            memset(bytes, (int)(k * 16 + i + 1), sizes[i]);
            held[k][i] = secret_new(str_n(bytes, sizes[i]));
            ck_assert_ptr_nonnull(held[k][i]);
        }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t k = 8; k-- > 0;) {
            memset(bytes, (int)(k * 16 + i + 1), sizes[i]);
            ck_assert(str_eq(secret_str(held[k][i]), str_n(bytes, sizes[i])));
            secret_unref(held[k][i]);
        }
}
END_TEST

/* The "VmFlags" line of the mapping that holds p. */
static void flags_of(const void *p, char *out, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;
    out[0] = '\0';
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (inside && !strncmp(line, "VmFlags:", 8))
            snprintf(out, size, "%s", line);
    }
    fclose(f);
}

START_TEST(pages_are_locked_and_not_dumped)
{
    char flags[512];
    struct secret *s = secret_new(STR("x"));
    flags_of(secret_str(s).p, flags, sizeof(flags));
    ck_assert_msg(strstr(flags, " dd"), "dumped: %s", flags);
    /* Sanitizers turn mlock off, and a limit may forbid it: then nothing can be locked here. */
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char mine[512];
    ck_assert(page != MAP_FAILED);
    bool can = mlock(page, 4096) == 0;
    flags_of(page, mine, sizeof(mine));
    if (can && strstr(mine, " lo"))
        ck_assert_msg(strstr(flags, " lo"), "not locked: %s", flags);
    ck_assert_int_eq(munmap(page, 4096), 0);
    secret_unref(s);
}
END_TEST

START_TEST(no_memory)
{
    ck_assert_ptr_null(secret_new(str_n("x", SIZE_MAX)));
    ck_assert_ptr_null(secret_new(str_n("x", SIZE_MAX / 2)));
}
END_TEST

static void *churn(void *arg)
{
    struct secret *shared = arg;
    char text[700];
    memset(text, 'y', sizeof(text));
    for (size_t i = 0; i < 2000; i++) {
        struct secret *mine = secret_new(str_n(text, i % sizeof(text)));
        struct secret *ref = secret_ref(shared);
        if (!mine || !str_eq(secret_str(mine), str_n(text, i % sizeof(text))) ||
            !str_eq(secret_str(ref), STR("shared")))
            return shared;
        secret_unref(mine);
        secret_unref(ref);
    }
    return NULL;
}

START_TEST(threads)
{
    pthread_t t[4];
    struct secret *shared = secret_new(STR("shared"));
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, churn, shared), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        void *bad = shared;
        ck_assert_int_eq(pthread_join(t[i], &bad), 0);
        ck_assert_ptr_null(bad);
    }
    secret_unref(shared);
}
END_TEST

START_TEST(harden)
{
    /* In a child: with CK_FORK=no the limits would stay for the other tests. */
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit lim = {1, 1};
        secret_harden_process();
        int rc = getrlimit(RLIMIT_CORE, &lim);
        bool dumpable = prctl(PR_GET_DUMPABLE) != 0;
#ifdef WITH_ASAN
        dumpable = false;
#endif
        _exit(rc == 0 && lim.rlim_cur == 0 && lim.rlim_max == 0 && !dumpable ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("secret");
    TCase *t = tcase_create("secret");
    tcase_add_test(t, mask);
    tcase_add_test(t, equality);
    tcase_add_test(t, null_is_fine);
    tcase_add_test(t, last_reference_wipes);
    tcase_add_test(t, wipe);
    tcase_add_test(t, blocks_are_wiped_and_freed);
    tcase_add_test(t, many_sizes);
    tcase_add_test(t, pages_are_locked_and_not_dumped);
    tcase_add_test(t, no_memory);
    tcase_add_test(t, threads);
    tcase_add_test(t, harden);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
