/* SPDX-License-Identifier: Apache-2.0 */
/* The environment: every name, pairs that are never mixed, and that no key stays behind. */
#include "fixture.h"

#include <sys/wait.h>

static struct fixture f;

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    fixture_init(&f, 1);
    f.profiles[0].provider = "env";
}

static void tear_down(void)
{
    fixture_check(&f);
    cred_forget_environment();
}

static void set(const char *name, const char *value)
{
    ck_assert_int_eq(setenv(name, value, 1), 0);
}

/* The access key found, as "KEY/SECRET/TOKEN", or the error. */
static const char *found(void)
{
    static char out[600];
    struct err_detail why = {""};
    struct cred *c = cred_fetch(&f.conf, "default", &why);
    if (c)
        snprintf(out, sizeof out, "%s/%.*s/%.*s", c->access_key, STR_ARG(secret_str(c->secret_key)),
                 (int)secret_str(c->session_token).n,
                 secret_str(c->session_token).n ? secret_str(c->session_token).p : "");
    else
        snprintf(out, sizeof out, "%s", why.text);
    if (c)
        ck_assert_str_eq(c->provider, "env");
    cred_unref(c);
    return out;
}

static const struct {
    enum endpoint_cloud cloud;
    const char *ak, *sk;
} names[] = {
    {CLOUD_VOLCENGINE, "VOLCENGINE_ACCESS_KEY", "VOLCENGINE_SECRET_KEY"},
    {CLOUD_VOLCENGINE, "VOLCENGINE_ACCESSKEY", "VOLCENGINE_SECRETKEY"},
    {CLOUD_VOLCENGINE, "VOLC_ACCESSKEY", "VOLC_SECRETKEY"},
    {CLOUD_BYTEPLUS, "BYTEPLUS_ACCESS_KEY", "BYTEPLUS_SECRET_KEY"},
    {CLOUD_BYTEPLUS, "BYTEPLUS_ACCESSKEY", "BYTEPLUS_SECRETKEY"},
};

START_TEST(every_pair_of_names)
{
    f.conf.cloud = names[_i].cloud;
    set(names[_i].ak, "AK");
    set(names[_i].sk, "SK");
    ck_assert_str_eq(found(), "AK/SK/");
}
END_TEST

START_TEST(the_other_clouds_names_mean_nothing)
{
    f.conf.cloud = names[_i].cloud == CLOUD_BYTEPLUS ? CLOUD_VOLCENGINE : CLOUD_BYTEPLUS;
    set(names[_i].ak, "AK");
    set(names[_i].sk, "SK");
    ck_assert_ptr_nonnull(strstr(found(), "set "));
}
END_TEST

START_TEST(newer_names_come_first)
{
    for (int i = 2; i >= 0; i--) {
        char ak[32], want[64];
        snprintf(ak, sizeof ak, "AK%d", i);
        set(names[i].ak, ak);
        set(names[i].sk, "SK");
        cred_forget_environment();
        for (int k = i + 1; k < 3; k++) { /* were taken by the capture before */
            set(names[k].ak, "older");
            set(names[k].sk, "older");
        }
        snprintf(want, sizeof want, "AK%d/SK/", i);
        ck_assert_str_eq(found(), want);
    }
}
END_TEST

START_TEST(the_session_token_goes_along)
{
    set("VOLCENGINE_ACCESS_KEY", "AK");
    set("VOLCENGINE_SECRET_KEY", "SK");
    set("VOLCENGINE_SESSION_TOKEN", "TOKEN");
    ck_assert_str_eq(found(), "AK/SK/TOKEN");
}
END_TEST

START_TEST(pairs_are_never_mixed)
{
    set("VOLCENGINE_ACCESS_KEY", "new");
    set("VOLCENGINE_SECRETKEY", "old");
    ck_assert_ptr_nonnull(strstr(found(), "set VOLCENGINE_ACCESS_KEY and VOLCENGINE_SECRET_KEY"));
}
END_TEST

START_TEST(half_a_pair_is_named)
{
    set("VOLCENGINE_ACCESS_KEY", "AK");
    ck_assert_str_eq(found(), "profile \"default\": env: VOLCENGINE_ACCESS_KEY is set but "
                              "VOLCENGINE_SECRET_KEY is not");
    cred_forget_environment();
    clearenv();
    set("VOLCENGINE_SECRET_KEY", "SK");
    ck_assert_str_eq(found(), "profile \"default\": env: VOLCENGINE_SECRET_KEY is set but "
                              "VOLCENGINE_ACCESS_KEY is not");
}
END_TEST

START_TEST(empty_values_are_none)
{
    set("VOLCENGINE_ACCESS_KEY", "");
    set("VOLCENGINE_SECRET_KEY", " ");
    set("VOLC_ACCESSKEY", " AK\t");
    set("VOLC_SECRETKEY", "SK");
    ck_assert_str_eq(found(), "AK/SK/");
}
END_TEST

START_TEST(read_once_and_gone)
{
    set("VOLCENGINE_ACCESS_KEY", "AK");
    set("VOLCENGINE_SECRET_KEY", "SK");
    ck_assert_str_eq(found(), "AK/SK/");
    ck_assert_str_eq(getenv("VOLCENGINE_ACCESS_KEY"), "");
    ck_assert_str_eq(getenv("VOLCENGINE_SECRET_KEY"), "");
    set("VOLCENGINE_SECRET_KEY", "later");
    ck_assert_str_eq(found(), "AK/SK/"); /* still, without reading again */
    ck_assert_str_eq(getenv("VOLCENGINE_SECRET_KEY"), "later");
}
END_TEST

START_TEST(plain_variables)
{
    set("BYTEPLUS_PROFILE", "p");
    set("VOLCENGINE_OIDC_ROLE_TRN", "trn");
    set("HOME", "/home/x");
    ck_assert(cred_env_capture());
    ck_assert_str_eq(cred_env_var(CLOUD_BYTEPLUS, "PROFILE"), "p");
    ck_assert_str_eq(cred_env_var(CLOUD_VOLCENGINE, "PROFILE"), "");
    ck_assert_str_eq(cred_env_var(CLOUD_VOLCENGINE, "OIDC_ROLE_TRN"), "trn");
    ck_assert_str_eq(cred_env_plain("HOME"), "/home/x");
    ck_assert_str_eq(cred_env_plain("CREDENTIALS_DIRECTORY"), "");
    ck_assert_str_eq(getenv("HOME"), "/home/x");
}
END_TEST

/* In a process that was given keys by exec: /proc/self/environ shows none of them afterwards, not
 * even of a name that occurs twice. */
static int child(void)
{
    static char block[8192];
    if (!cred_env_capture())
        return 10;
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, block, sizeof block);
    close(fd);
    if (n <= 0)
        return 11;
    if (memmem(block, (size_t)n, "CANARY", 6))
        return 12;
    if (!memmem(block, (size_t)n, "OTHER=kept", 10))
        return 13;
    return 0;
}

START_TEST(the_process_shows_no_key)
{
    char *const argv[] = {(char[]){"test_cred_env"}, (char[]){"child"}, NULL};
    char *const envp[] = {(char[]){"VOLCENGINE_ACCESS_KEY=CANARY1"},
                          (char[]){"VOLCENGINE_SECRET_KEY=CANARY2"},
                          (char[]){"VOLCENGINE_SECRET_KEY=CANARY3"},
                          (char[]){"VOLCENGINE_SESSION_TOKEN=CANARY4"},
                          (char[]){"VOLCENGINE_ACCESSKEY=CANARY5"},
                          (char[]){"VOLCENGINE_SECRETKEY=CANARY6"},
                          (char[]){"VOLC_ACCESSKEY=CANARY7"},
                          (char[]){"VOLC_SECRETKEY=CANARY8"},
                          (char[]){"BYTEPLUS_ACCESS_KEY=CANARY9"},
                          (char[]){"BYTEPLUS_SECRET_KEY=CANARY10"},
                          (char[]){"BYTEPLUS_SESSION_TOKEN=CANARY11"},
                          (char[]){"BYTEPLUS_ACCESSKEY=CANARY12"},
                          (char[]){"BYTEPLUS_SECRETKEY=CANARY13"},
                          (char[]){"VOLCENGINE_ACCESS_KEY_ID=CANARY14"},
                          (char[]){"VOLCENGINE_SECRET_ACCESS_KEY=CANARY15"},
                          (char[]){"BYTEPLUS_ACCESS_KEY_ID=CANARY16"},
                          (char[]){"BYTEPLUS_SECRET_ACCESS_KEY=CANARY17"},
                          (char[]){"VOLCSTACK_SECRET_ACCESS_KEY=CANARY18"},
                          (char[]){"OTHER=kept"},
                          NULL};
    char self[4096] = "";
    int status = 0;
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        execve(self, argv, envp);
        _exit(20);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return child();
    Suite *s = suite_create("cred_env");
    TCase *c = tcase_create("cred_env");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, every_pair_of_names, 0, (int)ARRAY_LEN(names));
    tcase_add_loop_test(c, the_other_clouds_names_mean_nothing, 0, (int)ARRAY_LEN(names));
    tcase_add_test(c, newer_names_come_first);
    tcase_add_test(c, the_session_token_goes_along);
    tcase_add_test(c, pairs_are_never_mixed);
    tcase_add_test(c, half_a_pair_is_named);
    tcase_add_test(c, empty_values_are_none);
    tcase_add_test(c, read_once_and_gone);
    tcase_add_test(c, plain_variables);
    tcase_add_test(c, the_process_shows_no_key);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
