/* SPDX-License-Identifier: Apache-2.0 */
/* The token service: what is sent (names, order, signature), what answers mean, and that no token
 * comes back in an error. Providers assume_role, oidc and assume_role_saml. */
#include "cred/cred_sts.h"
#include "fixture.h"

#include <time.h>

static struct fixture f;
static struct server srv;
static int status;
static const char *body; /* NULL: a credential */
static const char *expiry_name, *expiry;
static unsigned fail_first; /* answers 503 that often */
static unsigned cut_first;  /* ends within the head that often */
static bool hang;

static void sts(struct server *s, unsigned n, const char *request, char *out)
{
    (void)s, (void)request;
    if (hang)
        return;
    if (n < cut_first)
        snprintf(out, SERVER_TEXT, "HTTP/1.1 200 X\r\nContent-");
    else if (n < fail_first)
        respond(out, 503, "busy");
    else if (body)
        respond(out, status, body);
    else
        respond_sts(out, "1", expiry_name, expiry);
}

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    make_dir();
    fixture_init(&f, 3);
    status = 200;
    body = NULL;
    expiry_name = "ExpiredTime";
    expiry = from_now(3600);
    fail_first = cut_first = 0;
    hang = false;
    server_start(&srv, sts);
    fixture_reach(&f, &srv);
    f.profiles[0].provider = "assume_role";
    f.profiles[0].role_trn = "trn:iam::2100000001:role/reader";
    f.profiles[0].source_profile = "second";
    f.profiles[0].sts_scheme = "http";
    fixture_static(&f.profiles[1], "AKLTbase", "base-secret");
}

static void tear_down(void)
{
    server_stop(&srv);
    fixture_check(&f);
    remove_dir();
    cred_forget_environment();
}

static struct cred *fetched(const char *profile, struct err_detail *why)
{
    why->text[0] = '\0';
    return cred_fetch(&f.conf, profile, why);
}

static void fails_with(const char *profile, const char *says)
{
    struct err_detail why;
    ck_assert_ptr_null(fetched(profile, &why));
    ck_assert_msg(strstr(why.text, says) != NULL, "%s", why.text);
    ck_assert_ptr_null(strstr(why.text, "secret"));
    ck_assert_ptr_null(strstr(why.text, "eyJtoken"));
}

static void sent(unsigned i, const char *part)
{
    ck_assert_uint_gt(server_seen(&srv), i);
    ck_assert_msg(strstr(srv.seen[i], part) != NULL, "no \"%s\" in:\n%s", part, srv.seen[i]);
}

/* The value of a header in a request. */
static const char *header(unsigned i, const char *name)
{
    static char out[4096];
    char want[64];
    snprintf(want, sizeof want, "\r\n%s: ", name);
    const char *at = strcasestr(srv.seen[i], want);
    if (!at)
        return "";
    at += strlen(want);
    snprintf(out, sizeof out, "%.*s", (int)strcspn(at, "\r"), at);
    return out;
}

/* The request's signature, made again with the given keys, is the one that was sent. */
static void signature_is_of(unsigned i, const char *ak, const char *sk, const char *token,
                            const char *region)
{
    struct signer *s = signer_new();
    char query[2048], host[128], want[4096];
    const char *target = strchr(srv.seen[i], '?') + 1;
    snprintf(query, sizeof query, "%.*s", (int)strcspn(target, " "), target);
    snprintf(host, sizeof host, "%s", header(i, "Host"));
    struct sign_cred c = {str_of(ak), str_of(sk), str_of(token), 0};
    struct hdrs none = {NULL, 0, 0};
    struct sign_output out;
    int64_t t = 0;
    char date[40];
    const char *d = header(i, "X-Date");
    ck_assert_uint_eq(strlen(d), 16);
    snprintf(date, sizeof date, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", d, d + 4, d + 6, d + 9, d + 11,
             d + 13);
    ck_assert(cred_time_parse(str_of(date), &t));
    ck_assert_int_lt(llabs(t - time(NULL)), 5);
    struct sign_input in = {.method = STR("GET"),
                            .path = STR("/"),
                            .query = str_of(query),
                            .host = str_of(host),
                            .hdrs = &none,
                            .body_sha256 = str_n(digest_empty_hex, DIGEST_HEX_LEN),
                            .service = STR("sts"),
                            .region = str_of(region),
                            .time_s = t,
                            .cred = &c};
    ck_assert_int_eq(sign_request(s, &in, &out), ERR_OK);
    snprintf(want, sizeof want, "%.*s", STR_ARG(out.authorization));
    ck_assert_str_eq(header(i, "Authorization"), want);
    signer_free(s);
}

START_TEST(assume_role_is_a_signed_get)
{
    struct err_detail why;
    f.profiles[0].policy = "{\"Statement\":[]} +&";
    f.profiles[0].role_session_name = "my session";
    f.profiles[0].duration_seconds = 1800;
    struct cred *c = fetched("default", &why);
    ck_assert_msg(c != NULL, "%s", why.text);
    ck_assert_str_eq(c->access_key, "AKTP1");
    ck_assert(secret_is(c->secret_key, "secret-1"));
    ck_assert(secret_is(c->session_token, "token-1"));
    ck_assert_str_eq(c->provider, "assume_role");
    ck_assert_int_lt(llabs(c->expires_s - time(NULL) - 3600), 5);
    cred_unref(c);
    sent(0, "GET /?Action=AssumeRole&DurationSeconds=1800&"
            "Policy=%7B%22Statement%22%3A%5B%5D%7D%20%2B%26&RoleSessionName=my%20session&"
            "RoleTrn=trn%3Aiam%3A%3A2100000001%3Arole%2Freader&Version=2018-01-01 HTTP/1.1\r\n");
    sent(0, "\r\nHost: sts.volcengineapi.com\r\n");
    ck_assert_str_eq(header(0, "X-Security-Token"), "");
    signature_is_of(0, "AKLTbase", "base-secret", "", "cn-beijing");
}
END_TEST

START_TEST(defaults)
{
    struct err_detail why;
    f.profiles[0].role_trn = "";
    f.profiles[0].role_name = "reader";
    f.profiles[0].account_id = "2100000001";
    f.conf.cloud = CLOUD_BYTEPLUS;
    cred_unref(fetched("default", &why));
    sent(0, "DurationSeconds=3600&RoleSessionName=sigferry-");
    sent(0, "RoleTrn=trn%3Aiam%3A%3A2100000001%3Arole%2Freader&");
    sent(0, "\r\nHost: sts.byteplusapi.com\r\n");
    signature_is_of(0, "AKLTbase", "base-secret", "", "ap-southeast-1");
}
END_TEST

START_TEST(too_long_a_policy_is_named)
{
    static char policy[20000];
    memset(policy, 'p', sizeof policy - 1);
    f.profiles[0].policy = policy;
    fails_with("default", "too large: shorten the policy");
    ck_assert_uint_eq(server_seen(&srv), 0);
}
END_TEST

START_TEST(an_endpoint_and_region_of_ones_own)
{
    struct err_detail why;
    f.profiles[0].sts_endpoint = "sts.internal:8443";
    f.profiles[0].sts_region = "my-lab-1";
    cred_unref(fetched("default", &why));
    sent(0, "\r\nHost: sts.internal:8443\r\n");
    signature_is_of(0, "AKLTbase", "base-secret", "", "my-lab-1");
}
END_TEST

/* The host is signed as it is sent: libcurl alone would leave the scheme's own port away. */
START_TEST(an_endpoint_with_the_schemes_own_port)
{
    struct err_detail why;
    f.profiles[0].sts_endpoint = "sts.internal:80";
    cred_unref(fetched("default", &why));
    sent(0, "\r\nHost: sts.internal:80\r\n");
    signature_is_of(0, "AKLTbase", "base-secret", "", "cn-beijing");
}
END_TEST

START_TEST(the_bases_session_token_is_sent_and_signed)
{
    struct err_detail why;
    f.profiles[1].session_token = secret_new(STR("base-token"));
    cred_unref(fetched("default", &why));
    ck_assert_str_eq(header(0, "X-Security-Token"), "base-token");
    signature_is_of(0, "AKLTbase", "base-secret", "base-token", "cn-beijing");
}
END_TEST

START_TEST(roles_of_roles)
{
    struct err_detail why;
    f.profiles[2] = f.profiles[0];
    f.profiles[2].name = "third";
    f.profiles[0].source_profile = "third";
    struct cred *c = fetched("default", &why);
    ck_assert_ptr_nonnull(c);
    cred_unref(c);
    ck_assert_uint_eq(server_seen(&srv), 2);
    signature_is_of(0, "AKLTbase", "base-secret", "", "cn-beijing");
    signature_is_of(1, "AKTP1", "secret-1", "token-1", "cn-beijing");
}
END_TEST

START_TEST(without_a_source_the_chain_is_the_base)
{
    struct err_detail why;
    f.profiles[0].source_profile = "";
    ck_assert_int_eq(setenv("VOLCENGINE_ACCESS_KEY", "AKLTenv", 1), 0);
    ck_assert_int_eq(setenv("VOLCENGINE_SECRET_KEY", "env-secret", 1), 0);
    cred_unref(fetched("default", &why));
    signature_is_of(0, "AKLTenv", "env-secret", "", "cn-beijing");
}
END_TEST

START_TEST(a_base_that_fails_is_named)
{
    f.profiles[1].provider = "file";
    f.profiles[1].file = in_dir("none");
    fails_with("default", "assume_role: profile \"second\": file: ");
    f.profiles[0].source_profile = "nobody";
    fails_with("default", "no profile \"nobody\"");
    f.profiles[0].source_profile = "default"; /* conf refuses it; here it must only end */
    fails_with("default", "circle");
    ck_assert_uint_eq(server_seen(&srv), 0);
    f.profiles[0].role_trn = "";
    fails_with("default", "set role_trn, or role_name and account_id");
}
END_TEST

static const char okay[] =
    "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":"
    "\"secret\",\"SessionToken\":\"T\",\"Expiration\":\"2999-01-01T00:00:00Z\"}}}";

static const struct {
    int status;
    const char *body, *says;
} answers[] = {
    {200, "", "STS's answer is not valid JSON"},
    {200, "<html>", "STS's answer is not valid JSON"},
    {200, "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\"", "STS's answer is not valid JSON"},
    {200, "[]", "no Result.Credentials"},
    {200, "{}", "no Result.Credentials"},
    {200, "{\"Result\":null}", "no Result.Credentials"},
    {200, "{\"Result\":{\"Credentials\":{}}}", "no expiry"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"Expiration\":\"tomorrow\"}}}",
     "no expiry"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"Expiration\":1700000000}}}",
     "no expiry"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SessionToken\":\"T\","
     "\"Expiration\":\"2999-01-01T00:00:00Z\"}}}",
     "STS's answer: the secret key is empty"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"SessionToken\":\"T\",\"Expiration\":\"2001-01-01T00:00:00+08:00\"}}}",
     "expired at 2000-12-31T16:00:00Z"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"SessionToken\":\"T\",\"Expiration\":\"1970-01-01T08:00:00+08:00\"}}}",
     "an expiry that is not after 1970"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"SessionToken\":\"T\",\"ExpiredTime\":\"0001-01-01T00:00:00Z\"}}}",
     "an expiry that is not after 1970"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"Expiration\":\"2999-01-01T00:00:00Z\"}}}",
     "STS's answer has no SessionToken"},
    {200,
     "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\","
     "\"SessionToken\":5,\"Expiration\":\"2999-01-01T00:00:00Z\"}}}",
     "STS's answer has no SessionToken"},
    {400,
     "{\"ResponseMetadata\":{\"RequestId\":\"id7\",\"Error\":{\"Code\":\"InvalidRole\",\"Message\":"
     "\"no such role\"}}}",
     "STS refused with HTTP 400 InvalidRole: no such role (request id7)"},
    {200, "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"Odd\"}}}", "STS refused with HTTP 200 Odd"},
    {403, "", "STS answered with HTTP 403"},
    {302, "{}", "STS answered with HTTP 302"},
};

START_TEST(answers_that_are_none)
{
    status = answers[_i].status;
    body = answers[_i].body;
    if (strcmp(answers[_i].says, "STS's answer: the secret key is empty") == 0) {
        struct err_detail why;
        ck_assert_ptr_null(fetched("default", &why));
        ck_assert_ptr_nonnull(strstr(why.text, answers[_i].says));
    } else {
        fails_with("default", answers[_i].says);
    }
    ck_assert_uint_eq(server_seen(&srv), 1); /* nothing of this gets better by asking again */
}
END_TEST

START_TEST(redirects_are_not_followed)
{
    status = 302;
    body = "\r\nLocation: http://127.0.0.1/";
    fails_with("default", "HTTP 302");
    ck_assert_uint_eq(server_seen(&srv), 1);
}
END_TEST

START_TEST(an_overloaded_service_is_asked_again)
{
    struct err_detail why;
    fail_first = 2;
    struct cred *c = fetched("default", &why);
    ck_assert_msg(c != NULL, "%s", why.text);
    cred_unref(c);
    ck_assert_uint_eq(server_seen(&srv), 3);
}
END_TEST

/* What an earlier try met is no reason any more. */
START_TEST(the_last_answer_is_the_one_that_is_told)
{
    cut_first = 1;
    body = "{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"x\","
           "\"SessionToken\":\"T\",\"Expiration\":\"2999-01-01T00:00:00Z\"}}}";
    fails_with("default", "STS's answer: the access key is empty");
    ck_assert_uint_eq(server_seen(&srv), 2);
}
END_TEST

START_TEST(but_not_for_ever)
{
    fail_first = 100;
    fails_with("default", "HTTP 503");
    ck_assert_uint_eq(server_seen(&srv), 3);
}
END_TEST

START_TEST(a_refused_connection_names_the_host)
{
    server_stop(&srv);
    fails_with("default", "http://sts.volcengineapi.com: ");
    server_start(&srv, sts);
}
END_TEST

START_TEST(a_hanging_service_times_out)
{
    hang = true;
    f.conf.timeouts.read_ns = f.conf.timeouts.connect_ns = 100 * NS_PER_MS;
    uint64_t t = clock_fresh_ns();
    fails_with("default", "http://sts.volcengineapi.com: Operation timed out");
    ck_assert_uint_lt(clock_fresh_ns() - t, 6 * NS_PER_SEC); /* three tries and the pauses */
    ck_assert_uint_eq(server_seen(&srv), 3);
}
END_TEST

static void oidc_profile(void)
{
    f.profiles[0] = cred_profile_blank("default");
    f.profiles[0].provider = "oidc";
    f.profiles[0].sts_scheme = "http";
    expiry_name = "Expiration";
}

START_TEST(oidc_is_an_unsigned_form)
{
    struct err_detail why;
    oidc_profile();
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].oidc_token_file = write_file("t", "eyJtoken.a+b\n", 0644);
    f.profiles[0].policy = "p&q";
    struct cred *c = fetched("default", &why);
    ck_assert_msg(c != NULL, "%s", why.text);
    ck_assert_str_eq(c->provider, "oidc");
    ck_assert(c->expires_s > 0);
    cred_unref(c);
    sent(0, "POST /?Action=AssumeRoleWithOIDC&Version=2018-01-01 HTTP/1.1\r\n");
    sent(0, "\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    sent(0, "\r\n\r\nDurationSeconds=3600&Policy=p%26q&RoleSessionName=sigferry-");
    sent(0, "&RoleTrn=trn%3Aiam%3A%3A1%3Arole%2Fr&OIDCToken=eyJtoken.a%2Bb");
    ck_assert_str_eq(header(0, "Authorization"), "");
    ck_assert_str_eq(header(0, "Expect"), "");
}
END_TEST

START_TEST(what_is_no_host_is_named)
{
    oidc_profile();
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].oidc_token_file = write_file("t", "eyJtoken", 0644);
    setenv("VOLCENGINE_OIDC_STS_ENDPOINT", "https://sts.env.example", 1);
    fails_with("default", "VOLCENGINE_OIDC_STS_ENDPOINT must be HOST or HOST:PORT");
    ck_assert_uint_eq(server_seen(&srv), 0);
}
END_TEST

START_TEST(the_token_is_read_anew_each_time)
{
    struct err_detail why;
    oidc_profile();
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].oidc_token_file = write_file("t", "one", 0644);
    cred_unref(fetched("default", &why));
    write_file("t", "two", 0644);
    cred_unref(fetched("default", &why));
    sent(0, "&OIDCToken=one");
    sent(1, "&OIDCToken=two");
}
END_TEST

START_TEST(oidc_from_the_environment)
{
    struct err_detail why;
    oidc_profile();
    setenv("VOLCENGINE_OIDC_ROLE_TRN", "trn:iam::9:role/env", 1);
    setenv("VOLCENGINE_OIDC_TOKEN_FILE", write_file("t", "eyJtoken", 0644), 1);
    setenv("VOLCENGINE_OIDC_ROLE_SESSION_NAME", "sess", 1);
    setenv("VOLCENGINE_OIDC_ROLE_POLICY", "pol", 1);
    setenv("VOLCENGINE_OIDC_STS_ENDPOINT", "sts.env.example", 1);
    cred_unref(fetched("default", &why));
    sent(0, "&Policy=pol&RoleSessionName=sess&RoleTrn=trn%3Aiam%3A%3A9%3Arole%2Fenv&OIDCToken=");
    sent(0, "\r\nHost: sts.env.example\r\n");
    f.profiles[0].sts_endpoint = "sts.conf.example"; /* the configuration comes first */
    f.profiles[0].role_session_name = "conf";
    cred_unref(fetched("default", &why));
    sent(1, "\r\nHost: sts.conf.example\r\n");
    sent(1, "RoleSessionName=conf");
}
END_TEST

START_TEST(oidc_tells_what_is_missing)
{
    oidc_profile();
    fails_with("default", "set VOLCENGINE_OIDC_ROLE_TRN and VOLCENGINE_OIDC_TOKEN_FILE");
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].oidc_token_file = in_dir("none");
    fails_with("default", "No such file");
    f.profiles[0].oidc_token_file = write_file("t", " \n", 0600);
    fails_with("default", "is empty");
    f.profiles[0].oidc_token_file = fixture_dir;
    fails_with("default", "not a regular file");
    ck_assert_uint_eq(server_seen(&srv), 0);
}
END_TEST

START_TEST(a_message_that_quotes_the_token_is_not_shown)
{
    oidc_profile();
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].oidc_token_file = write_file("t", "eyJtokenABCDEFGHIJ", 0644);
    status = 400;
    body = "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"BadToken\",\"Message\":\"cannot read "
           "eyJtokenABCDEFGHIJ\"}}}";
    fails_with("default", "BadToken: (not shown");
    body = "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"kenABCDEFGHIJ\",\"Message\":\"odd\"}}}";
    fails_with("default", "HTTP 400 (not shown, it quotes a key or token): odd");
}
END_TEST

START_TEST(nor_one_that_quotes_the_bases_keys)
{
    static const char *const quoted[] = {"base-secret-of-some-length", "base-token-of-some-length",
                                         "AKLTbase-key-of-some-length"};
    secret_unref(f.profiles[1].secret_key);
    f.profiles[1].secret_key = secret_new(str_of(quoted[0]));
    f.profiles[1].session_token = secret_new(str_of(quoted[1]));
    f.profiles[1].access_key = quoted[2];
    status = 403;
    for (size_t i = 0; i < ARRAY_LEN(quoted); i++) {
        char text[512];
        struct err_detail why;
        snprintf(text, sizeof text,
                 "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"Invalid\",\"Message\":\"what is "
                 "%s\"}}}",
                 quoted[i]);
        body = text;
        ck_assert_ptr_null(fetched("default", &why));
        ck_assert_msg(strstr(why.text, "Invalid: (not shown"), "%s", why.text);
        ck_assert_ptr_null(strstr(why.text, "of-some-length"));
    }
}
END_TEST

static void saml_profile(void)
{
    oidc_profile();
    f.profiles[0].provider = "assume_role_saml";
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].saml_provider_trn = "trn:iam::1:saml-provider/idp";
    f.profiles[0].saml_response_file = write_file("s", "PHNhbWw+\n", 0600);
}

START_TEST(saml_is_an_unsigned_form)
{
    struct err_detail why;
    saml_profile();
    struct cred *c = fetched("default", &why);
    ck_assert_msg(c != NULL, "%s", why.text);
    ck_assert_str_eq(c->provider, "assume_role_saml");
    cred_unref(c);
    sent(0, "POST /?Action=AssumeRoleWithSAML&Version=2018-01-01 HTTP/1.1\r\n");
    sent(0, "&RoleTrn=trn%3Aiam%3A%3A1%3Arole%2Fr&"
            "SAMLProviderTrn=trn%3Aiam%3A%3A1%3Asaml-provider%2Fidp&SAMLResp=PHNhbWw%2B");
    ck_assert_str_eq(header(0, "Authorization"), "");
}
END_TEST

START_TEST(saml_tells_what_is_missing)
{
    saml_profile();
    f.profiles[0].saml_provider_trn = "";
    fails_with("default", "set profiles.default.saml_provider_trn");
    saml_profile();
    f.profiles[0].saml_response_file = "";
    fails_with("default", "set profiles.default.saml_response_file");
    saml_profile();
    f.profiles[0].role_trn = "";
    fails_with("default", "set role_trn");
    saml_profile();
    f.profiles[0].saml_response_file = write_file("s", "x", 0644);
    fails_with("default", "mode 0644");
    write_file("s", "", 0600);
    fails_with("default", "is empty");
    ck_assert_uint_eq(server_seen(&srv), 0);
}
END_TEST

START_TEST(parsing_alone)
{
    static const struct str none[CRED_STS_SECRETS];
    struct err_detail why = {""};
    struct cred *c = cred_sts_parse("x", 200, STR(okay), none, &why);
    ck_assert_msg(c != NULL, "%s", why.text);
    ck_assert_int_eq(c->expires_s, INT64_C(32472144000));
    cred_unref(c);
    for (size_t n = 0; n < sizeof okay - 1; n++)
        ck_assert_ptr_null(cred_sts_parse("x", 200, str_n(okay, n), none, &why));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_sts");
    TCase *c = tcase_create("cred_sts");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, assume_role_is_a_signed_get);
    tcase_add_test(c, defaults);
    tcase_add_test(c, too_long_a_policy_is_named);
    tcase_add_test(c, an_endpoint_and_region_of_ones_own);
    tcase_add_test(c, an_endpoint_with_the_schemes_own_port);
    tcase_add_test(c, the_bases_session_token_is_sent_and_signed);
    tcase_add_test(c, roles_of_roles);
    tcase_add_test(c, without_a_source_the_chain_is_the_base);
    tcase_add_test(c, a_base_that_fails_is_named);
    tcase_add_loop_test(c, answers_that_are_none, 0, (int)ARRAY_LEN(answers));
    tcase_add_test(c, redirects_are_not_followed);
    tcase_add_test(c, an_overloaded_service_is_asked_again);
    tcase_add_test(c, the_last_answer_is_the_one_that_is_told);
    tcase_add_test(c, but_not_for_ever);
    tcase_add_test(c, a_refused_connection_names_the_host);
    tcase_add_test(c, a_hanging_service_times_out);
    tcase_add_test(c, oidc_is_an_unsigned_form);
    tcase_add_test(c, what_is_no_host_is_named);
    tcase_add_test(c, the_token_is_read_anew_each_time);
    tcase_add_test(c, oidc_from_the_environment);
    tcase_add_test(c, oidc_tells_what_is_missing);
    tcase_add_test(c, a_message_that_quotes_the_token_is_not_shown);
    tcase_add_test(c, nor_one_that_quotes_the_bases_keys);
    tcase_add_test(c, saml_is_an_unsigned_form);
    tcase_add_test(c, saml_tells_what_is_missing);
    tcase_add_test(c, parsing_alone);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
