/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: what may become one, and that references are counted. */
#include "fixture.h"

static struct cred *plain(const char *ak, const char *sk, const char *token, struct err_detail *why)
{
    return cred_new_plain("test", str_of(ak), str_of(sk), str_of(token), 0, why);
}

START_TEST(signing_sees_the_parts)
{
    struct err_detail why = {""};
    struct cred *c = plain("AKLT1", "s3cr3t==", "t0ken", &why);
    ck_assert_ptr_nonnull(c);
    struct sign_cred s = cred_for_signing(c);
    ck_assert(str_eq(s.access_key, STR("AKLT1")));
    ck_assert(str_eq(s.secret_key, STR("s3cr3t==")));
    ck_assert(str_eq(s.session_token, STR("t0ken")));
    ck_assert_uint_eq(s.secret_id, c->id);
    cred_unref(c);
    c = plain("AKLT1", "s", "", &why);
    ck_assert_uint_eq(cred_for_signing(c).session_token.n, 0);
    cred_unref(c);
}
END_TEST

START_TEST(ids_are_unique_and_never_zero)
{
    struct err_detail why = {""};
    struct cred *a = plain("A", "s", "", &why), *b = plain("A", "s", "", &why);
    ck_assert_uint_ne(a->id, 0);
    ck_assert_uint_ne(a->id, b->id);
    ck_assert(cred_same(a, b));
    cred_unref(a);
    cred_unref(b);
}
END_TEST

START_TEST(any_other_part_is_another_credential)
{
    struct err_detail why = {""};
    struct cred *a = plain("A", "s", "t", &why);
    struct cred *others[] = {
        plain("B", "s", "t", &why),
        plain("A", "S", "t", &why),
        plain("A", "s", "T", &why),
        plain("A", "s", "", &why),
        cred_new_plain("test", STR("A"), STR("s"), STR("t"), 5, &why),
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert(!cred_same(a, others[i]));
        cred_unref(others[i]);
    }
    cred_unref(a);
}
END_TEST

START_TEST(a_reference_keeps_it)
{
    struct err_detail why = {""};
    struct cred *c = plain("AKLT1", "secret", "", &why);
    ck_assert_ptr_eq(cred_ref(c), c);
    cred_unref(c);
    ck_assert(secret_is(c->secret_key, "secret"));
    cred_unref(c);
    cred_unref(NULL);
    ck_assert_ptr_null(cred_ref(NULL));
}
END_TEST

static const struct {
    const char *ak, *sk, *token, *says;
} bad[] = {
    {"", "s", "", "access key is empty"}, {"A", "", "", "secret key is empty"},
    {"A/B", "s", "", "access key"},       {"A,B", "s", "", "access key"},
    {"A B", "s", "", "access key"},       {"A\r\nX: y", "s", "", "access key"},
    {"A\x80", "s", "", "access key"},     {"A", "s s", "", "secret key"},
    {"A", "s\n", "", "secret key"},       {"A", "s", "t\r\nX: y", "session token"},
    {"A", "s", "t t", "session token"},
};

START_TEST(what_cannot_be_sent_is_refused)
{
    struct err_detail why = {""};
    ck_assert_ptr_null(plain(bad[_i].ak, bad[_i].sk, bad[_i].token, &why));
    ck_assert_ptr_nonnull(strstr(why.text, bad[_i].says));
}
END_TEST

START_TEST(too_long_is_refused)
{
    struct err_detail why = {""};
    static char text[20000];
    memset(text, 'x', sizeof text - 1);
    ck_assert_ptr_null(plain(text, "s", "", &why));
    ck_assert_ptr_null(plain("A", text, "", &why));
    ck_assert_ptr_null(plain("A", "s", text, &why));
    text[16384] = '\0';
    struct cred *c = plain("A", "s", text, &why);
    ck_assert_ptr_nonnull(c);
    cred_unref(c);
}
END_TEST

START_TEST(errors_show_no_part)
{
    struct err_detail why = {""};
    ck_assert_ptr_null(plain("AKLTvisible\n", "topsecret", "", &why));
    ck_assert_ptr_null(strstr(why.text, "AKLT"));
    ck_assert_ptr_null(plain("A", "topsecret\n", "", &why));
    ck_assert_ptr_null(strstr(why.text, "topsecret"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred");
    TCase *c = tcase_create("cred");
    tcase_add_test(c, signing_sees_the_parts);
    tcase_add_test(c, ids_are_unique_and_never_zero);
    tcase_add_test(c, any_other_part_is_another_credential);
    tcase_add_test(c, a_reference_keeps_it);
    tcase_add_loop_test(c, what_cannot_be_sent_is_refused, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(c, too_long_is_refused);
    tcase_add_test(c, errors_show_no_part);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
