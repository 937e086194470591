/* SPDX-License-Identifier: Apache-2.0 */
/* Credential files: both forms, every mistake named without showing anything of the file. */
#include "fixture.h"

static struct fixture f;

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    make_dir();
    fixture_init(&f, 1);
    f.profiles[0].provider = "file";
}

static void tear_down(void)
{
    fixture_check(&f);
    remove_dir();
    cred_forget_environment();
}

static const char *const good[] = {
    "{\"access_key\":\"AK\",\"secret_key\":\"SK\",\"session_token\":\"TOKEN\"}",
    " \n{ \"secret_key\": \" SK \", \"access_key\": \"AK\", \"session_token\": \"TOKEN\" }\n",
    "access_key = AK\nsecret_key = SK\nsession_token = TOKEN\n",
    "access_key=AK\nsecret_key=SK\nsession_token=TOKEN",
    ("# keys\r\naccess_key = \"AK\"\r\n\r\n; more\r\nsecret_key='SK'\r\n\tsession_token  =\tTOKEN  "
     "\r\n"),
};

START_TEST(both_forms)
{
    struct err_detail why = {""};
    struct cred *c = cred_file_parse(str_of(good[_i]), &why);
    ck_assert_msg(c != NULL, "%s", why.text);
    ck_assert_str_eq(c->access_key, "AK");
    ck_assert(secret_is(c->secret_key, "SK"));
    ck_assert(secret_is(c->session_token, "TOKEN"));
    ck_assert_int_eq(c->expires_s, 0);
    ck_assert_str_eq(c->provider, "file");
    cred_unref(c);
}
END_TEST

START_TEST(the_token_may_be_missing)
{
    struct err_detail why = {""};
    static const char *const texts[] = {
        "access_key = AK\nsecret_key = S=K==\n",
        "access_key = AK\nsecret_key = S=K==\nsession_token =\n",
        "{\"access_key\":\"AK\",\"secret_key\":\"S=K==\",\"session_token\":null}",
        "{\"access_key\":\"AK\",\"secret_key\":\"S=K==\",\"session_token\":\"\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct cred *c = cred_file_parse(str_of(texts[i]), &why);
        ck_assert_msg(c != NULL, "%s: %s", texts[i], why.text);
        ck_assert(secret_is(c->secret_key, "S=K=="));
        ck_assert_ptr_null(c->session_token);
        cred_unref(c);
    }
}
END_TEST

static const struct {
    const char *text, *says;
} bad[] = {
    {"", "empty"},
    {" \n\t\r\n", "empty"},
    {"topsecret", "line 1: expected key = value"},
    {"access_key = AK\ntopsecret\n", "line 2: expected key = value"},
    {"access_key = AK\nsecret_kay = topsecret\n", "line 2: the key is none of"},
    {"secret_key = topsecret\nsecret_key = topsecret\n", "line 2: the key stands there twice"},
    {"secret_key = topsecret\n", "no access_key"},
    {"access_key = AK\n", "no secret_key"},
    {"access_key = AK\nsecret_key =\n", "no secret_key"},
    {"access_key = AK\nsecret_key = \"\"\n", "no secret_key"},
    {"access_key = AK\nsecret_key = topsecret topsecret\n", "secret key"},
    {"{\"access_key\":\"AK\",\"secret_key\":\"topsecret\"", "JSON at line 1"},
    {"{\"access_key\":\"AK\",\"secret_key\":\"topsecret\",\"secret\":\"\"}", "a member besides"},
    {"{\"access_key\":\"AK\",\"secret_key\":\"topsecret\",\"secret_key\":\"\"}", "JSON at line 1"},
    {"{\"access_key\":\"AK\",\"secret_key\":7}", "secret_key is not a string"},
    {"{\"access_key\":[\"AK\"],\"secret_key\":\"topsecret\"}", "access_key is not a string"},
    {"{\"secret_key\":\"topsecret\"}", "no access_key"},
    {"[\"topsecret\"]", "line 1: expected key = value"},
    {"{}", "no access_key"},
};

START_TEST(mistakes)
{
    struct err_detail why = {""};
    ck_assert_ptr_null(cred_file_parse(str_of(bad[_i].text), &why));
    ck_assert_msg(strstr(why.text, bad[_i].says) != NULL, "%s", why.text);
    ck_assert_ptr_null(strstr(why.text, "topsecret"));
}
END_TEST

START_TEST(a_nul_is_no_end)
{
    struct err_detail why = {""};
    ck_assert_ptr_null(cred_file_parse(STR("access_key = AK\nsecret_key = SK\0x\n"), &why));
    ck_assert_ptr_null(cred_file_parse(STR("\0access_key = AK\nsecret_key = SK\n"), &why));
}
END_TEST

static const char *fetched(const char *file)
{
    static char out[600];
    struct err_detail why = {""};
    f.profiles[0].file = file;
    struct cred *c = cred_fetch(&f.conf, "default", &why);
    snprintf(out, sizeof out, "%s", c ? c->access_key : why.text);
    cred_unref(c);
    return out;
}

START_TEST(an_absolute_path)
{
    const char *path = write_file("f", good[2], 0600);
    ck_assert_str_eq(fetched(path), "AK");
    write_file("f", "access_key = AK2\nsecret_key = SK\n", 0600);
    ck_assert_str_eq(fetched(path), "AK2");
}
END_TEST

START_TEST(errors_name_file_and_profile)
{
    const char *path = write_file("f", "access_key = AK\n", 0600);
    char want[600];
    snprintf(want, sizeof want, "profile \"default\": file: %s: it has no secret_key", path);
    ck_assert_str_eq(fetched(path), want);
    ck_assert_ptr_nonnull(strstr(fetched(""), "set profiles.default.file"));
}
END_TEST

START_TEST(permissions_follow_the_switch)
{
    const char *path = write_file("f", good[2], 0644);
    ck_assert_ptr_nonnull(strstr(fetched(path), "mode 0644"));
    f.conf.security.strict_file_permissions = false;
    ck_assert_str_eq(fetched(path), "AK");
}
END_TEST

START_TEST(relative_names_are_looked_up_where_systemd_puts_them)
{
    write_file("name", good[2], 0440); /* as LoadCredential makes them for other users' eyes */
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", fixture_dir, 1), 0);
    ck_assert_str_eq(fetched("name"), "AK");
    ck_assert_str_eq(fetched(in_dir("name")), "AK"); /* exempt by its place, however named */
    char around[300];
    snprintf(around, sizeof around, "%s/../%s/name", fixture_dir, strrchr(fixture_dir, '/') + 1);
    ck_assert_ptr_nonnull(strstr(fetched(around), "mode 0440"));
    ck_assert_ptr_nonnull(strstr(fetched("none"), in_dir("none")));
}
END_TEST

START_TEST(without_it_they_are_relative_to_the_working_directory)
{
    write_file("name", good[2], 0600);
    ck_assert_int_eq(chdir(fixture_dir), 0);
    ck_assert_str_eq(fetched("name"), "AK");
    ck_assert_ptr_nonnull(strstr(fetched("none"), "$CREDENTIALS_DIRECTORY"));
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(a_tilde_is_home)
{
    write_file("name", good[2], 0600);
    ck_assert_int_eq(setenv("HOME", fixture_dir, 1), 0);
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1), 0);
    ck_assert_str_eq(fetched("~/name"), "AK");
    cred_forget_environment();
    ck_assert_int_eq(unsetenv("HOME"), 0);
    ck_assert_ptr_nonnull(strstr(fetched("~/name"), "HOME is not set"));
}
END_TEST

START_TEST(a_path_too_long_is_refused)
{
    static char path[5000];
    memset(path, 'x', sizeof path - 1);
    ck_assert_ptr_nonnull(strstr(fetched(path), "too long"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_file");
    TCase *c = tcase_create("cred_file");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, both_forms, 0, (int)ARRAY_LEN(good));
    tcase_add_test(c, the_token_may_be_missing);
    tcase_add_loop_test(c, mistakes, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(c, a_nul_is_no_end);
    tcase_add_test(c, an_absolute_path);
    tcase_add_test(c, errors_name_file_and_profile);
    tcase_add_test(c, permissions_follow_the_switch);
    tcase_add_test(c, relative_names_are_looked_up_where_systemd_puts_them);
    tcase_add_test(c, without_it_they_are_relative_to_the_working_directory);
    tcase_add_test(c, a_tilde_is_home);
    tcase_add_test(c, a_path_too_long_is_refused);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
