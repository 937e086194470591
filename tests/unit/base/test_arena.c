/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/arena. */
#include "../wiped.h"
#include "base/arena.h"
#include <stdalign.h>
#include <stdlib.h>
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* What was handed out before a reset still lies in the block that is kept. */
START_TEST(wipe_reaches_what_a_reset_left)
{
    struct arena a;
    arena_init(&a, 256, 4096);
    wiped_watch(arena_alloc(&a, 200), 200);
    arena_reset(&a);
    ck_assert_ptr_nonnull(arena_alloc(&a, 16));
    arena_wipe(&a);
    ck_assert(wiped_all());
    ck_assert_ptr_null(a.head);
}
END_TEST

START_TEST(cap_is_kept)
{
    struct arena a;
    arena_init(&a, 64, 1024);
    ck_assert_ptr_null(arena_alloc(&a, 1025));
    ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX - 20));
    ck_assert_uint_eq(a.used_total, 0);
    ck_assert_ptr_nonnull(arena_alloc(&a, 1000));
    ck_assert_ptr_null(arena_alloc(&a, 100));
    struct str s = arena_dup(&a, str_n("0123456789012345678901234567890123456789", 40));
    ck_assert_ptr_null(s.p);
    ck_assert_uint_eq(s.n, 0);
    ck_assert_ptr_null(arena_printf(&a, "%0100d", 1).p);
    arena_reset(&a);
    ck_assert_ptr_nonnull(arena_alloc(&a, 1024));
    arena_free(&a);
    arena_init(&a, 64, 0);
    ck_assert_ptr_null(arena_alloc(&a, 0));
    arena_free(&a);
    arena_free(&a);
}
END_TEST

START_TEST(aligned_and_apart)
{
    struct arena a;
    unsigned char *p[200];
    arena_init(&a, 128, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        p[i] = arena_alloc(&a, i);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % alignof(max_align_t), 0);
        memset(p[i], (int)i, i);
    }
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_eq(p[i][k], i & 0xff);
    ck_assert_ptr_ne(arena_alloc(&a, 0), arena_alloc(&a, 0));
    arena_free(&a);
}
END_TEST

START_TEST(reset_keeps_the_first_block)
{
    struct arena a;
    arena_init(&a, 256, 1 << 20);
    void *first = arena_alloc(&a, 16);
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_nonnull(arena_alloc(&a, 100));
    arena_reset(&a);
    ck_assert_uint_eq(a.used_total, 0);
    ck_assert_ptr_eq(arena_alloc(&a, 16), first);
    arena_free(&a);
    ck_assert_ptr_null(a.head);
    ck_assert_ptr_nonnull(arena_alloc(&a, 16));
    arena_free(&a);
}
END_TEST

START_TEST(strings_end_in_nul)
{
    struct arena a;
    arena_init(&a, 64, 4096);
    struct str s = arena_dup(&a, str_n("abcdef", 3));
    ck_assert_str_eq(s.p, "abc");
    s = arena_dup(&a, str_n(NULL, 0));
    ck_assert_ptr_nonnull(s.p);
    ck_assert_str_eq(s.p, "");
    s = arena_printf(&a, "%s-%d", "x", 12);
    ck_assert_uint_eq(s.n, 4);
    ck_assert_str_eq(s.p, "x-12");
    arena_free(&a);
}
END_TEST

#ifdef WITH_ASAN
START_TEST(what_is_not_handed_out_is_poisoned)
{
    struct arena a;
    arena_init(&a, 256, 4096);
    char *p = arena_alloc(&a, 5);
    ck_assert(!__asan_address_is_poisoned(p + 4));
    ck_assert(__asan_address_is_poisoned(p + 5));
    arena_reset(&a);
    ck_assert(__asan_address_is_poisoned(p));
    arena_free(&a);
}
END_TEST
#endif

int main(void)
{
    Suite *s = suite_create("arena");
    TCase *t = tcase_create("arena");
    tcase_add_test(t, cap_is_kept);
    tcase_add_test(t, aligned_and_apart);
    tcase_add_test(t, reset_keeps_the_first_block);
    tcase_add_test(t, strings_end_in_nul);
    tcase_add_test(t, wipe_reaches_what_a_reset_left);
#ifdef WITH_ASAN
    tcase_add_test(t, what_is_not_handed_out_is_poisoned);
#endif
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
