/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 and HMAC-SHA256 against FIPS 180-4 and RFC 4231, and that contexts can be reused. */
#include "sign/digest.h"
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/* SHA-256 of 1,000,000 times 'a'. */
static const char million_hex[] =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void assert_hex(const unsigned char got[DIGEST_LEN], const char *want)
{
    char hex[DIGEST_HEX_LEN + 1] = "";
    digest_hex(got, hex);
    ck_assert_str_eq(hex, want);
}

START_TEST(known_digests)
{
    struct digest *d = digest_new();
    unsigned char out[DIGEST_LEN];
    ck_assert_ptr_nonnull(d);
    ck_assert(digest_begin(d) && digest_update(d, "abc", 3) && digest_end(d, out));
    assert_hex(out, abc_hex);
    ck_assert(digest_begin(d) && digest_update(d, NULL, 0) && digest_end(d, out));
    assert_hex(out, digest_empty_hex);
    char chunk[1000];
    memset(chunk, 'a', sizeof chunk);
    ck_assert(digest_begin(d));
    for (int i = 0; i < 1000; i++)
        ck_assert(digest_update(d, chunk, sizeof chunk));
    ck_assert(digest_end(d, out));
    assert_hex(out, million_hex);
    digest_free(d);
}
END_TEST

START_TEST(begin_drops_what_was_under_way)
{
    struct digest *d = digest_new();
    unsigned char out[DIGEST_LEN];
    ck_assert_ptr_nonnull(d);
    ck_assert(digest_begin(d) && digest_update(d, "something else", 14));
    ck_assert(digest_begin(d) && digest_update(d, "abc", 3) && digest_end(d, out));
    assert_hex(out, abc_hex);
    digest_free(d);
}
END_TEST

/* RFC 4231 4.3 and 4.7. */
static const char jefe_hex[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
static const char long_hex[] = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";

START_TEST(known_macs)
{
    struct hmac *h = hmac_new();
    unsigned char out[DIGEST_LEN];
    char key[131];
    memset(key, 0xaa, sizeof key);
    struct str question = STR("what do ya want for nothing?");
    ck_assert_ptr_nonnull(h);
    for (int i = 0; i < 3; i++) { /* a context serves one key after another */
        ck_assert(hmac_sha256(h, STR("Jefe"), question, out));
        assert_hex(out, jefe_hex);
        ck_assert(hmac_sha256(h, str_n(key, sizeof key),
                              STR("Test Using Larger Than Block-Size Key - Hash Key First"), out));
        assert_hex(out, long_hex);
    }
    hmac_free(h);
}
END_TEST

START_TEST(again_uses_the_last_key)
{
    struct hmac *h = hmac_new();
    unsigned char out[DIGEST_LEN];
    struct str question = STR("what do ya want for nothing?");
    ck_assert_ptr_nonnull(h);
    ck_assert(hmac_sha256(h, STR("other"), question, out));
    ck_assert(hmac_sha256(h, STR("Jefe"), STR("x"), out));
    for (int i = 0; i < 3; i++) {
        ck_assert(hmac_again(h, question, out));
        assert_hex(out, jefe_hex);
    }
    hmac_free(h);
}
END_TEST

/* HMAC-SHA256 of "" under the empty key: also what is left after hmac_forget. */
static const char nothing_hex[] =
    "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";

START_TEST(forget_replaces_the_key)
{
    struct hmac *h = hmac_new();
    unsigned char out[DIGEST_LEN];
    ck_assert_ptr_nonnull(h);
    ck_assert(hmac_sha256(h, STR("Jefe"), STR("x"), out));
    ck_assert(hmac_forget(h));
    ck_assert(hmac_again(h, STR(""), out));
    assert_hex(out, nothing_hex);
    ck_assert(hmac_sha256(h, (struct str){NULL, 0}, (struct str){NULL, 0}, out));
    assert_hex(out, nothing_hex);
    hmac_free(h);
}
END_TEST

static void *many_digests(void *arg)
{
    struct digest *d = digest_new();
    unsigned char out[DIGEST_LEN];
    bool *same = arg;
    *same = d != NULL;
    for (int i = 0; *same && i < 1000; i++) {
        char hex[DIGEST_HEX_LEN];
        *same = digest_begin(d) && digest_update(d, "abc", 3) && digest_end(d, out);
        digest_hex(out, hex);
        *same = *same && memcmp(hex, abc_hex, sizeof hex) == 0;
    }
    digest_free(d);
    return NULL;
}

START_TEST(threads_share_the_algorithms)
{
    pthread_t t[4];
    bool same[4] = {false};
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, many_digests, &same[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
        ck_assert(same[i]);
    }
}
END_TEST

START_TEST(version_names_the_library)
{
    ck_assert_ptr_nonnull(strstr(digest_library_version(), "OpenSSL"));
    digest_free(NULL);
    hmac_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("digest");
    TCase *t = tcase_create("digest");
    tcase_add_test(t, known_digests);
    tcase_add_test(t, begin_drops_what_was_under_way);
    tcase_add_test(t, known_macs);
    tcase_add_test(t, again_uses_the_last_key);
    tcase_add_test(t, forget_replaces_the_key);
    tcase_add_test(t, threads_share_the_algorithms);
    tcase_add_test(t, version_names_the_library);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
