/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles of the clouds' command line tools: which file, which profile, which mode, and logins
 * that are renewed in memory while the tool's files stay as they are. */
#include "cred/cred_oauth.h"
#include "fixture.h"

static struct fixture f;
static struct server srv;
static const char *answers[8]; /* by request; NULL: an STS credential */
static int statuses[8];
static enum cred_want want; /* of a fetch */

static void any(struct server *s, unsigned n, const char *request, char *out)
{
    (void)s, (void)request;
    if (n < ARRAY_LEN(answers) && answers[n])
        respond(out, statuses[n] ? statuses[n] : 200, answers[n]);
    else
        respond_sts(out, "sts", "Expiration", from_now(3600));
}

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    make_dir();
    fixture_init(&f, 1);
    f.profiles[0].provider = "cli";
    want = CRED_WANT_GOOD;
    memset(answers, 0, sizeof answers);
    memset(statuses, 0, sizeof statuses);
    server_start(&srv, any);
    fixture_reach(&f, &srv);
    ck_assert_int_eq(setenv("HOME", fixture_dir, 1), 0);
    ck_assert_int_eq(mkdir(in_dir(".volcengine"), 0700), 0);
    ck_assert_int_eq(mkdir(in_dir(".volcengine/login"), 0700), 0);
    ck_assert_int_eq(mkdir(in_dir(".volcengine/login/cache"), 0700), 0);
}

static void tear_down(void)
{
    server_stop(&srv);
    fixture_check(&f);
    remove_dir();
    cred_forget_environment();
}

static void config(const char *text)
{
    write_file(".volcengine/config.json", text, 0600);
}

/* One profile "default" with these members. */
static void profile(const char *members)
{
    char text[4096];
    snprintf(text, sizeof text, "{\"profiles\":{\"default\":{%s}}}", members);
    config(text);
}

static struct cred_memory memory;

static const char *fetched(void)
{
    static char out[600];
    struct err_detail why = {""};
    struct cred_ctx ctx = {.conf = &f.conf, .cancel_fd = -1, .want = want, .memory = &memory};
    ck_assert(cred_env_capture());
    struct cred *c = cred_profile_fetch(&ctx, &f.profiles[0], &why);
    if (c)
        snprintf(out, sizeof out, "%s/%.*s/%.*s/%s", c->access_key,
                 STR_ARG(secret_str(c->secret_key)), (int)secret_str(c->session_token).n,
                 c->session_token ? secret_str(c->session_token).p : "",
                 c->expires_s ? "expires" : "never");
    else
        snprintf(out, sizeof out, "%s", why.text);
    cred_unref(c);
    return out;
}

static void forget(void)
{
    cred_memory_free(&memory);
}

static void sent(unsigned i, const char *part)
{
    ck_assert_uint_gt(server_seen(&srv), i);
    ck_assert_msg(strstr(srv.seen[i], part) != NULL, "no \"%s\" in:\n%s", part, srv.seen[i]);
}

static const char two[] = "{\"current\":\"b\",\"profiles\":{"
                          "\"a\":{\"access-key\":\"AKA\",\"secret-key\":\"SKA\"},"
                          "\"b\":{\"access-key\":\"AKB\",\"secret-key\":\"SKB\"},"
                          "\"c\":{\"access-key\":\"AKC\",\"secret-key\":\"SKC\"},"
                          "\"default\":{\"access-key\":\"AKD\",\"secret-key\":\"SKD\"}}}";

START_TEST(which_profile)
{
    config(two);
    ck_assert_str_eq(fetched(), "AKB/SKB//never"); /* "current" */
    cred_forget_environment();
    setenv("VOLCENGINE_PROFILE", "c", 1);
    ck_assert_str_eq(fetched(), "AKC/SKC//never");
    f.profiles[0].cli_profile = "a";
    ck_assert_str_eq(fetched(), "AKA/SKA//never");
    cred_forget_environment();
    unsetenv("VOLCENGINE_PROFILE");
    f.profiles[0].cli_profile = "";
    profile("\"access-key\":\"AKD\",\"secret-key\":\"SKD\"");
    ck_assert_str_eq(fetched(), "AKD/SKD//never"); /* neither: "default" */
    f.profiles[0].cli_profile = "nobody";
    ck_assert_ptr_nonnull(strstr(fetched(), "profile \"nobody\" is not in the file"));
}
END_TEST

START_TEST(which_file)
{
    char path[300];
    snprintf(
        path, sizeof path, "%s",
        write_file("env.json",
                   "{\"profiles\":{\"default\":{\"access-key\":\"ENV\",\"secret-key\":\"s\"}}}",
                   0600));
    setenv("VOLCENGINE_CLI_CONFIG_FILE", path, 1);
    ck_assert_str_eq(fetched(), "ENV/s//never");
    char own[300];
    snprintf(
        own, sizeof own, "%s",
        write_file("own.json",
                   "{\"profiles\":{\"default\":{\"access-key\":\"OWN\",\"secret-key\":\"s\"}}}",
                   0600));
    f.profiles[0].config_file = own;
    ck_assert_str_eq(fetched(), "OWN/s//never");
    f.profiles[0].config_file = "~/own.json";
    ck_assert_str_eq(fetched(), "OWN/s//never");
    f.profiles[0].config_file = "";
    f.conf.cloud = CLOUD_BYTEPLUS;
    ck_assert_ptr_nonnull(strstr(fetched(), "/.byteplus/config.json: No such file"));
}
END_TEST

START_TEST(no_home_and_no_file)
{
    unsetenv("HOME");
    ck_assert_ptr_nonnull(strstr(fetched(), "HOME is not set: set VOLCENGINE_CLI_CONFIG_FILE"));
    f.profiles[0].config_file = "~/config.json";
    ck_assert_ptr_nonnull(strstr(fetched(), "HOME is not set"));
    static char path[5000];
    memset(path, 'x', sizeof path - 1);
    f.profiles[0].config_file = path;
    ck_assert_ptr_nonnull(strstr(fetched(), "too long"));
}
END_TEST

START_TEST(the_file_must_be_private)
{
    write_file(".volcengine/config.json", two, 0644);
    ck_assert_ptr_nonnull(strstr(fetched(), "mode 0644"));
    f.conf.security.strict_file_permissions = false;
    ck_assert_str_eq(fetched(), "AKB/SKB//never");
}
END_TEST

static const struct {
    const char *members, *says;
} cases[] = {
    {"\"mode\":\"AK\",\"access-key\":\"A\",\"secret-key\":\"S\"", "A/S//never"},
    {"\"mode\":\"ak\",\"access-key\":\" A \",\"secret-key\":\"S\",\"session-token\":\"\"",
     "A/S//never"},
    {"\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\"", "A/S/T/never"},
    {"\"mode\":null,\"access-key\":\"A\",\"secret-key\":\"S\"", "A/S//never"},
    {"\"mode\":\"StsToken\",\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\"",
     "A/S/T/never"},
    {"\"mode\":\"ststoken\",\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\","
     "\"sts-expiration\":4102444800",
     "A/S/T/expires"},
    {"\"mode\":\"StsToken\",\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\","
     "\"sts-expiration\":4102444800000",
     "A/S/T/expires"},
    {"\"mode\":\"StsToken\",\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\","
     "\"sts-expiration\":1000000000",
     "is the clock right?"},
    {"\"mode\":\"AK\",\"access-key\":\"A\",\"secret-key\":\"S\",\"sts-expiration\":1000000000",
     "A/S//never"},
    {"\"mode\":\"AK\",\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\","
     "\"sts-expiration\":1000000000",
     "A/S/T/never"},
    {"\"access-key\":\"A\",\"secret-key\":\"S\",\"session-token\":\"T\","
     "\"sts-expiration\":4102444800",
     "A/S/T/never"},
    {"\"mode\":\"StsToken\",\"access-key\":\"A\",\"secret-key\":\"S\"", "has no session-token"},
    {"\"secret-key\":\"topsecret\"", "has no access-key"},
    {"\"access-key\":\"A\"", "has no secret-key"},
    {"\"access-key\":\"A\",\"secret-key\":\"top secret\"",
     "profile \"default\" can't be used: the secret key"},
    {"\"mode\":\"Magic\",\"access-key\":\"A\",\"secret-key\":\"topsecret\"",
     "mode that is not known"},
    {"\"mode\":\"RamRoleArn\",\"access-key\":\"A\",\"secret-key\":\"S\",\"account-id\":\"1\"",
     "has no role-name"},
    {"\"mode\":\"RamRoleArn\",\"access-key\":\"A\",\"secret-key\":\"S\",\"role-name\":\"r\"",
     "has no account-id"},
    {"\"mode\":\"RamRoleArn\",\"role-name\":\"r\",\"account-id\":\"1\"", "has no access-key"},
    {"\"mode\":\"OIDC\",\"role-trn\":\"trn:iam::1:role/r\"", "has no oidc-token-file"},
    {"\"mode\":\"OIDC\",\"oidc-token-file\":\"/x\"", "has no role-trn"},
    {"\"mode\":\"EcsRole\"", "has no role-name"},
    {"\"mode\":\"sso\"", "has no sso-session-name"},
    {"\"mode\":\"sso\",\"sso-session-name\":\"s\"", "not in the file"},
    {"\"mode\":\"console-login\"", "has no login-session"},
    {"\"mode\":\"console-login\",\"login-session\":\"x\"", "run `ve login`"},
};

START_TEST(modes_and_what_they_need)
{
    profile(cases[_i].members);
    const char *text = fetched();
    ck_assert_msg(strstr(text, cases[_i].says) != NULL, "%s", text);
    ck_assert_ptr_null(strstr(text, "topsecret"));
    ck_assert_uint_eq(server_seen(&srv), 0);
    forget();
}
END_TEST

START_TEST(broken_files)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "{\"profiles\":[]}",
                                        "{\"profiles\":{\"default\":\"topsecret\"}}",
                                        "{\"profiles\":{\"default\":\"topsecret}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        config(texts[i]);
        const char *text = fetched();
        ck_assert_msg(strstr(text, "cli: ") == text && strstr(text, "config.json"), "%s", text);
        ck_assert_ptr_null(strstr(text, "topsecret"));
    }
}
END_TEST

START_TEST(a_role)
{
    profile("\"mode\":\"RamRoleArn\",\"access-key\":\"A\",\"secret-key\":\"S\",\"role-name\":\"r\","
            "\"account-id\":\"21\",\"region\":\"my-lab-1\",\"disable-ssl\":true");
    ck_assert_str_eq(fetched(), "AKTPsts/secret-sts/token-sts/expires");
    sent(0, "GET /?Action=AssumeRole&");
    sent(0, "RoleTrn=trn%3Aiam%3A%3A21%3Arole%2Fr&");
    sent(0, "Credential=A/");
    sent(0, "/my-lab-1/sts/request");
}
END_TEST

START_TEST(our_scheme_comes_before_the_tools)
{
    f.profiles[0].sts_scheme = "http";
    profile("\"mode\":\"RamRoleArn\",\"access-key\":\"A\",\"secret-key\":\"S\",\"role-name\":\"r\","
            "\"account-id\":\"21\"");
    ck_assert_str_eq(fetched(), "AKTPsts/secret-sts/token-sts/expires");
    f.profiles[0].sts_scheme = "https"; /* what answers here does not speak TLS */
    profile("\"mode\":\"RamRoleArn\",\"access-key\":\"A\",\"secret-key\":\"S\",\"role-name\":\"r\","
            "\"account-id\":\"21\",\"disable-ssl\":true");
    ck_assert_ptr_nonnull(strstr(fetched(), "https://"));
}
END_TEST

START_TEST(an_identity_token)
{
    char members[600];
    snprintf(members, sizeof members,
             "\"mode\":\"OIDC\",\"role-trn\":\"trn:iam::1:role/r\",\"oidc-token-file\":\"%s\","
             "\"disable-ssl\":true,\"policy\":\"p\"",
             write_file("t", "idtoken", 0644));
    profile(members);
    ck_assert_str_eq(fetched(), "AKTPsts/secret-sts/token-sts/expires");
    sent(0, "&Policy=p&");
    sent(0, "&OIDCToken=idtoken");
}
END_TEST

START_TEST(the_instances_role)
{
    char keys[300];
    answers[0] = "tok";
    snprintf(keys, sizeof keys,
             "{\"AccessKeyId\":\"E\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
             "\"ExpiredTime\":\"%s\"}",
             from_now(1000));
    answers[1] = keys;
    profile("\"mode\":\"EcsRole\",\"role-name\":\"r\"");
    ck_assert_str_eq(fetched(), "E/s/t/expires");
    sent(1, "GET /volcstack/latest/iam/security_credentials/r ");
}
END_TEST

START_TEST(cache_names_are_the_tools)
{
    char name[CRED_CACHE_NAME_MAX];
    /* sha1sum of the session's name, and of {"start_url":"https://x.example/a?b=1\u0026c=…"} as Go
     * writes it */
    cred_oauth_console_name(STR("trn:iam::1:user/x"), name);
    ck_assert_str_eq(name, "baca03745218d16ef778f0253d384fcd7da8ab2b.json");
    cred_oauth_sso_name(STR("https://x.example/a?b=1&c=<2>"), STR("s\"1"), name);
    ck_assert_str_eq(name, "76a45cd3136fa4e522b35b31f6f50f7342bf9762.json");
}
END_TEST

/* A console login's cache file. */
static const char *cache(const char *refresh, int64_t issued_ago, int expires_in, const char *key)
{
    char name[CRED_CACHE_NAME_MAX], path[200], text[2048];
    cred_oauth_console_name(STR("session"), name);
    snprintf(path, sizeof path, ".volcengine/login/cache/%s", name);
    snprintf(
        text, sizeof text,
        "{\"login_session\":\"session\",\"access_token\":\"{\\\"access_key_id\\\":\\\"%s\\\","
        "\\\"secret_access_key\\\":\\\"s\\\",\\\"session_token\\\":\\\"t\\\"}\","
        "\"issued_at\":\"%s\",\"expires_in\":%d,\"refresh_token\":\"%s\",\"client_id\":\"cid\","
        "\"scope\":\"a b\",\"endpoint_url\":\"http://signin.example/\"}",
        key, from_now(-issued_ago), expires_in, refresh);
    return write_file(path, text, 0600);
}

static const char renewed[] =
    "{\"access_token\":\"{\\\"access_key_id\\\":\\\"NEW\\\",\\\"secret_access_key\\\":\\\"s\\\","
    "\\\"session_token\\\":\\\"t\\\"}\",\"refresh_token\":\"rt2\",\"expires_in\":900}";

static void console(void)
{
    f.conf.security.allow_http = true;
    profile("\"mode\":\"console-login\",\"login-session\":\"session\"");
}

START_TEST(a_login_that_is_still_good)
{
    console();
    cache("rt1", 10, 900, "LOGIN");
    ck_assert_str_eq(fetched(), "LOGIN/s/t/expires");
    ck_assert_uint_eq(server_seen(&srv), 0);
    cache("rt1", 0, 900, "RELOGIN"); /* the user logged in again */
    ck_assert_str_eq(fetched(), "RELOGIN/s/t/expires");
    forget();
}
END_TEST

START_TEST(a_login_whose_token_is_an_object)
{
    char name[CRED_CACHE_NAME_MAX], path[200], text[600];
    console();
    cred_oauth_console_name(STR("session"), name);
    snprintf(path, sizeof path, ".volcengine/login/cache/%s", name);
    snprintf(text, sizeof text,
             "{\"access_token\":{\"access_key_id\":\"OBJ\",\"secret_access_key\":\"s\","
             "\"session_token\":\"t\"},\"issued_at\":\"%s\",\"expires_in\":900}",
             from_now(0));
    write_file(path, text, 0600);
    ck_assert_str_eq(fetched(), "OBJ/s/t/expires");
    forget();
}
END_TEST

START_TEST(a_login_is_renewed_in_memory)
{
    console();
    char path[300], before[4096] = "", after[4096] = "";
    snprintf(path, sizeof path, "%s", cache("rt1", 1000, 900, "OLD"));
    FILE *in = fopen(path, "r");
    ck_assert_uint_gt(fread(before, 1, sizeof before - 1, in), 0);
    fclose(in);
    answers[0] = renewed;
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    sent(0, "POST /authorize/oauth/token HTTP/1.1\r\n");
    sent(0, "\r\nHost: signin.example\r\n");
    sent(0, "\r\n\r\nclient_id=cid&grant_type=refresh_token&refresh_token=rt1&scope=a%20b");
    ck_assert_str_eq(fetched(), "NEW/s/t/expires"); /* held: nobody is asked */
    ck_assert_uint_eq(server_seen(&srv), 1);
    in = fopen(path, "r");
    ck_assert_uint_gt(fread(after, 1, sizeof after - 1, in), 0);
    fclose(in);
    ck_assert_str_eq(before, after);
    forget();
}
END_TEST

START_TEST(a_file_that_says_nothing_new_takes_nothing_away)
{
    console();
    cache("rt1", 1000, 900, "OLD");
    answers[0] = renewed;
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    cache("rt1", 1000, 900, "OLD"); /* written again; rt1 is used up */
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    ck_assert_uint_eq(server_seen(&srv), 1);
    cache("rt7", 0, 500, "LOGIN"); /* another login counts, even one that ends sooner */
    ck_assert_str_eq(fetched(), "LOGIN/s/t/expires");
    forget();
}
END_TEST

START_TEST(a_good_login_is_renewed_when_that_is_asked_for)
{
    console();
    cache("rt1", 10, 900, "LOGIN");
    ck_assert_str_eq(fetched(), "LOGIN/s/t/expires");
    answers[0] = answers[1] = renewed;
    want = CRED_WANT_NEW;
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    want = CRED_WANT_OTHER;
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    ck_assert_uint_eq(server_seen(&srv), 2);
    sent(1, "refresh_token=rt2");
    cache("rt7", 0, 900, "AGAIN"); /* what the tool has just written is another one */
    ck_assert_str_eq(fetched(), "AGAIN/s/t/expires");
    ck_assert_uint_eq(server_seen(&srv), 2);
    /* and when it can't be renewed: better than none, unless it was rejected */
    cache("", 0, 900, "LAST");
    ck_assert_str_eq(fetched(), "LAST/s/t/expires");
    ck_assert_ptr_nonnull(strstr(fetched(), "the login has expired; run `ve login`"));
    want = CRED_WANT_NEW;
    ck_assert_str_eq(fetched(), "LAST/s/t/expires");
    forget();
}
END_TEST

START_TEST(the_next_renewal_uses_the_next_token)
{
    console();
    cache("rt1", 1000, 900, "OLD");
    answers[0] = "{\"access_token\":\"{}\",\"refresh_token\":\"rt2\",\"expires_in\":1}";
    ck_assert_ptr_nonnull(strstr(fetched(), "is no credential"));
    answers[1] = renewed;
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    sent(1, "refresh_token=rt2");
    forget();
}
END_TEST

START_TEST(a_refused_renewal_looks_at_the_file_once)
{
    console();
    cache("rt1", 1000, 900, "OLD");
    answers[0] = "{\"error\":\"invalid_grant\",\"error_description\":\"rt1 topsecret\"}";
    statuses[0] = 400;
    const char *text = fetched();
    ck_assert_msg(strstr(text, "HTTP 400 invalid_grant; run `ve login`"), "%s", text);
    ck_assert_ptr_null(strstr(text, "topsecret"));
    ck_assert_uint_eq(server_seen(&srv), 1); /* the file had the same token */
    forget();
}
END_TEST

/* The server's first answer comes after the tool has put the next token into the file. */
static void tool_was_faster(struct server *s, unsigned n, const char *request, char *out)
{
    (void)s, (void)request;
    if (n == 0) {
        cache("rt9", 1000, 900, "OLD");
        respond(out, 400, "{\"error\":\"invalid_grant\"}");
    } else {
        respond(out, 200, renewed);
    }
}

START_TEST(a_token_that_the_tool_used_up_is_found_in_the_file)
{
    console();
    cache("rt1", 1000, 900, "OLD");
    srv.answer = tool_was_faster;
    ck_assert_str_eq(fetched(), "NEW/s/t/expires");
    ck_assert_uint_eq(server_seen(&srv), 2);
    sent(1, "refresh_token=rt9");
    forget();
}
END_TEST

START_TEST(renewals_that_fail)
{
    static const struct {
        int status;
        const char *body, *says;
    } rows[] = {
        {401, "{\"error\":\"invalid_client\"}", "HTTP 401 invalid_client"},
        {200, "{\"access_token\":\"x\"}", "without access_token and expires_in"},
        {200, "{\"expires_in\":5}", "without access_token and expires_in"},
        {200, "not json", "HTTP 200"},
        {200, "{\"access_token\":\"topsecret\",\"expires_in\":500}", "is no credential"},
    };
    console();
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        forget();
        cache("rt1", 1000, 900, "OLD");
        answers[i] = rows[i].body;
        statuses[i] = rows[i].status;
        const char *text = fetched();
        ck_assert_msg(strstr(text, rows[i].says) != NULL, "%s", text);
        ck_assert_ptr_null(strstr(text, "topsecret"));
        ck_assert_ptr_null(strstr(text, "rt1"));
    }
    forget();
}
END_TEST

START_TEST(tokens_go_over_tls_only)
{
    console();
    f.conf.security.allow_http = false;
    cache("rt1", 1000, 900, "OLD");
    ck_assert_ptr_nonnull(strstr(fetched(), "not an https:// URL"));
    ck_assert_uint_eq(server_seen(&srv), 0);
    forget();
}
END_TEST

START_TEST(a_login_without_refresh_token_has_ended)
{
    console();
    cache("", 1000, 900, "OLD");
    ck_assert_ptr_nonnull(strstr(fetched(), "the login has expired; run `ve login`"));
    forget();
}
END_TEST

START_TEST(the_login_cache_directory_of_the_environment)
{
    console();
    char from[300], to[300], name[CRED_CACHE_NAME_MAX];
    snprintf(from, sizeof from, "%s", cache("rt1", 10, 900, "MOVED"));
    cred_oauth_console_name(STR("session"), name);
    snprintf(to, sizeof to, "%s", in_dir(name));
    ck_assert_int_eq(rename(from, to), 0);
    setenv("VOLCENGINE_LOGIN_CACHE_DIRECTORY", fixture_dir, 1);
    ck_assert_str_eq(fetched(), "MOVED/s/t/expires");
    forget();
}
END_TEST

START_TEST(an_sso_region_is_no_way_to_another_host)
{
    config("{\"profiles\":{\"default\":{\"mode\":\"sso\",\"sso-session-name\":\"s\","
           "\"account-id\":\"1\",\"role-name\":\"r\"}},\"sso-session\":{\"s\":{\"start-url\":"
           "\"https://x\",\"region\":\"evil.example/?\"}}}");
    ck_assert_ptr_nonnull(strstr(fetched(), "not a region's name"));
    forget();
}
END_TEST

START_TEST(an_sso_credential_left_in_the_profile)
{
    profile("\"mode\":\"sso\",\"access-key\":\"LEFT\",\"secret-key\":\"s\",\"session-token\":\"t\","
            "\"sts-expiration\":4102444800");
    ck_assert_str_eq(fetched(), "LEFT/s/t/expires");
    want = CRED_WANT_NEW;
    ck_assert_ptr_nonnull(strstr(fetched(), "has no sso-session-name"));
    want = CRED_WANT_GOOD;
    profile("\"mode\":\"sso\",\"access-key\":\"LEFT\",\"secret-key\":\"s\",\"session-token\":\"t\","
            "\"sts-expiration\":1000000000");
    ck_assert_ptr_nonnull(strstr(fetched(), "has no sso-session-name"));
    forget();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_cli");
    TCase *c = tcase_create("cred_cli");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, which_profile);
    tcase_add_test(c, which_file);
    tcase_add_test(c, no_home_and_no_file);
    tcase_add_test(c, the_file_must_be_private);
    tcase_add_loop_test(c, modes_and_what_they_need, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(c, broken_files);
    tcase_add_test(c, a_role);
    tcase_add_test(c, our_scheme_comes_before_the_tools);
    tcase_add_test(c, an_identity_token);
    tcase_add_test(c, the_instances_role);
    tcase_add_test(c, cache_names_are_the_tools);
    tcase_add_test(c, a_login_that_is_still_good);
    tcase_add_test(c, a_login_whose_token_is_an_object);
    tcase_add_test(c, a_login_is_renewed_in_memory);
    tcase_add_test(c, a_file_that_says_nothing_new_takes_nothing_away);
    tcase_add_test(c, a_good_login_is_renewed_when_that_is_asked_for);
    tcase_add_test(c, the_next_renewal_uses_the_next_token);
    tcase_add_test(c, a_refused_renewal_looks_at_the_file_once);
    tcase_add_test(c, a_token_that_the_tool_used_up_is_found_in_the_file);
    tcase_add_test(c, renewals_that_fail);
    tcase_add_test(c, tokens_go_over_tls_only);
    tcase_add_test(c, a_login_without_refresh_token_has_ended);
    tcase_add_test(c, the_login_cache_directory_of_the_environment);
    tcase_add_test(c, an_sso_region_is_no_way_to_another_host);
    tcase_add_test(c, an_sso_credential_left_in_the_profile);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
