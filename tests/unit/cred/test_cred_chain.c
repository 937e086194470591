/* SPDX-License-Identifier: Apache-2.0 */
/* The default chain: its order, what it remembers, and the text when nothing works. The metadata
 * service is played by the fixture's server, or refused. */
#include "fixture.h"

static struct fixture f;
static struct server srv;
static struct cred_trace trace;
static struct cred_memory memory;
static bool holding;

/* A metadata service with the role "r". */
static void imds(struct server *s, unsigned n, const char *request, char *out)
{
    char body[512];
    (void)s, (void)n;
    snprintf(body, sizeof body,
             "{\"AccessKeyId\":\"FROMECS\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
             "\"ExpiredTime\":\"%s\"}",
             from_now(3600));
    if (strncmp(request, "PUT ", 4) == 0)
        respond(out, 200, "tok");
    else if (strstr(request, "format=json"))
        respond(out, 200, "[\"r\"]");
    else
        respond(out, 200, body);
}

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    make_dir();
    fixture_init(&f, 1);
    memset(&trace, 0, sizeof trace);
    holding = false;
    ck_assert_int_eq(setenv("HOME", fixture_dir, 1), 0);
    ck_assert_int_eq(setenv("VOLCENGINE_ECS_METADATA_DISABLED", "TRUE", 1), 0);
}

static void tear_down(void)
{
    cred_memory_free(&memory);
    fixture_check(&f);
    remove_dir();
    cred_forget_environment();
}

static const char *fetched(void)
{
    static char out[600];
    struct err_detail why = {""};
    struct cred_ctx ctx = {
        .conf = &f.conf, .cancel_fd = -1, .holding = holding, .memory = &memory, .trace = &trace};
    trace.n = 0;
    ck_assert(cred_env_capture());
    struct cred *c = cred_profile_fetch(&ctx, &f.profiles[0], &why);
    snprintf(out, sizeof out, "%s", c ? c->access_key : why.text);
    cred_unref(c);
    return out;
}

static void cli_config(const char *key)
{
    char text[256];
    mkdir(in_dir(".volcengine"), 0700);
    snprintf(text, sizeof text,
             "{\"profiles\":{\"default\":{\"access-key\":\"%s\",\"secret-key\":\"s\"}}}", key);
    write_file(".volcengine/config.json", text, 0600);
}

START_TEST(the_failure_names_every_provider_and_what_to_set)
{
    const char *text = fetched();
    const char *const parts[] = {
        "env: set VOLCENGINE_ACCESS_KEY and VOLCENGINE_SECRET_KEY",
        "oidc: set VOLCENGINE_OIDC_ROLE_TRN and VOLCENGINE_OIDC_TOKEN_FILE",
        "cli: ",
        "/.volcengine/config.json: No such file or directory",
        "VOLCENGINE_CLI_CONFIG_FILE",
        "ecs: switched off by VOLCENGINE_ECS_METADATA_DISABLED",
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        ck_assert_msg(strstr(text, parts[i]) != NULL, "no \"%s\" in \"%s\"", parts[i], text);
    ck_assert_uint_eq(trace.n, 4);
    ck_assert_str_eq(trace.v[0].provider, "env");
    ck_assert_str_eq(trace.v[3].provider, "ecs");
    ck_assert(!trace.v[0].ok && trace.v[0].why.text[0]);
}
END_TEST

START_TEST(bytepluss_names)
{
    f.conf.cloud = CLOUD_BYTEPLUS;
    ck_assert_int_eq(setenv("BYTEPLUS_ECS_METADATA_DISABLED", "true", 1), 0);
    const char *text = fetched();
    ck_assert_ptr_nonnull(strstr(text, "set BYTEPLUS_ACCESS_KEY"));
    ck_assert_ptr_nonnull(strstr(text, "BYTEPLUS_OIDC_ROLE_TRN"));
    ck_assert_ptr_nonnull(strstr(text, "/.byteplus/config.json"));
    ck_assert_ptr_nonnull(strstr(text, "BYTEPLUS_ECS_METADATA_DISABLED"));
}
END_TEST

START_TEST(no_long_reason_pushes_another_out)
{
    static char path[2000];
    memset(path, 'p', sizeof path - 1);
    ck_assert_int_eq(setenv("VOLCENGINE_CLI_CONFIG_FILE", path, 1), 0);
    ck_assert_int_eq(setenv("VOLCENGINE_OIDC_TOKEN_FILE", path, 1), 0);
    ck_assert_int_eq(setenv("VOLCENGINE_OIDC_ROLE_TRN", "trn:iam::1:role/r", 1), 0);
    struct err_detail why = {""};
    struct cred *c = cred_fetch(&f.conf, "default", &why);
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(why.text, "env: set VOLCENGINE_ACCESS_KEY"));
    ck_assert_ptr_nonnull(strstr(why.text, "oidc: ppp"));
    ck_assert_ptr_nonnull(strstr(why.text, "cli: ppp"));
    ck_assert_ptr_nonnull(
        strstr(why.text, "ecs: switched off by VOLCENGINE_ECS_METADATA_DISABLED"));
}
END_TEST

START_TEST(env_comes_before_cli)
{
    cli_config("FROMCLI");
    ck_assert_str_eq(fetched(), "FROMCLI");
    ck_assert_uint_eq(trace.n, 3);
    ck_assert(trace.v[2].ok);
    cred_memory_free(&memory);
    cred_forget_environment();
    ck_assert_int_eq(setenv("VOLCENGINE_ACCESS_KEY", "FROMENV", 1), 0);
    ck_assert_int_eq(setenv("VOLCENGINE_SECRET_KEY", "s", 1), 0);
    ck_assert_str_eq(fetched(), "FROMENV");
    ck_assert_uint_eq(trace.n, 1);
}
END_TEST

START_TEST(what_worked_is_asked_first_and_the_rest_when_it_fails)
{
    cli_config("FROMCLI");
    ck_assert_str_eq(fetched(), "FROMCLI");
    cli_config("AGAIN");
    ck_assert_str_eq(fetched(), "AGAIN");
    ck_assert_uint_eq(trace.n, 1); /* nobody else was asked */
    ck_assert_str_eq(trace.v[0].provider, "cli");
    ck_assert_int_eq(unlink(in_dir(".volcengine/config.json")), 0);
    ck_assert_ptr_nonnull(strstr(fetched(), "env: set"));
    ck_assert_uint_eq(trace.n, 4); /* each of them once */
}
END_TEST

START_TEST(nobody_takes_over_while_the_credential_holds)
{
    server_start(&srv, imds);
    fixture_reach(&f, &srv);
    unsetenv("VOLCENGINE_ECS_METADATA_DISABLED");
    cli_config("FROMCLI");
    ck_assert_str_eq(fetched(), "FROMCLI");
    ck_assert_int_eq(unlink(in_dir(".volcengine/config.json")), 0);
    holding = true;
    ck_assert_int_eq(strncmp(fetched(), "cli: /", 6), 0); /* its failure, and nobody else's */
    ck_assert_ptr_null(strstr(fetched(), "; ecs"));
    ck_assert_uint_eq(trace.n, 1);
    holding = false;
    ck_assert_str_eq(fetched(), "FROMECS");
    ck_assert_uint_eq(trace.n, 4);
    holding = true; /* of the makeshift now: those before it are asked first each time */
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(fetched(), "FROMECS");
        ck_assert_uint_eq(trace.n, 4);
    }
    cli_config("BACK");
    ck_assert_str_eq(fetched(), "BACK");
    ck_assert_uint_eq(trace.n, 3);
    ck_assert_str_eq(fetched(), "BACK");
    ck_assert_uint_eq(trace.n, 1);
    server_stop(&srv);
}
END_TEST

START_TEST(ecs_comes_last)
{
    server_start(&srv, imds);
    fixture_reach(&f, &srv);
    unsetenv("VOLCENGINE_ECS_METADATA_DISABLED");
    ck_assert_str_eq(fetched(), "FROMECS");
    ck_assert_uint_eq(trace.n, 4);
    server_stop(&srv);
}
END_TEST

START_TEST(a_deferred_member_stops_the_chain)
{
    struct err_detail why = {""};
    struct cred_ctx ctx = {.conf = &f.conf, .cancel_fd = -1, .memory = &memory, .local_only = true};
    unsetenv("VOLCENGINE_ECS_METADATA_DISABLED");
    ck_assert(cred_env_capture());
    ck_assert_ptr_null(cred_profile_fetch(&ctx, &f.profiles[0], &why));
    ck_assert(ctx.deferred);
    cli_config("FROMCLI"); /* needs no network */
    ctx.deferred = false;
    struct cred *c = cred_profile_fetch(&ctx, &f.profiles[0], &why);
    ck_assert_ptr_nonnull(c);
    ck_assert(!ctx.deferred);
    cred_unref(c);
}
END_TEST

START_TEST(unknown_names)
{
    struct err_detail why = {""};
    ck_assert_ptr_null(cred_fetch(&f.conf, "nobody", &why));
    ck_assert_ptr_nonnull(strstr(why.text, "no profile \"nobody\""));
    f.profiles[0].provider = "imaginary";
    ck_assert_ptr_null(cred_fetch(&f.conf, "default", &why));
    ck_assert_ptr_nonnull(strstr(why.text, "no provider \"imaginary\""));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_chain");
    TCase *c = tcase_create("cred_chain");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, the_failure_names_every_provider_and_what_to_set);
    tcase_add_test(c, bytepluss_names);
    tcase_add_test(c, no_long_reason_pushes_another_out);
    tcase_add_test(c, env_comes_before_cli);
    tcase_add_test(c, what_worked_is_asked_first_and_the_rest_when_it_fails);
    tcase_add_test(c, nobody_takes_over_while_the_credential_holds);
    tcase_add_test(c, ecs_comes_last);
    tcase_add_test(c, a_deferred_member_stops_the_chain);
    tcase_add_test(c, unknown_names);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
