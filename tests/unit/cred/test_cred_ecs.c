/* SPDX-License-Identifier: Apache-2.0 */
/* The instance's role: the version 2 exchange step by step, and a service that misbehaves in each
 * of them. */
#include "fixture.h"

static struct fixture f;
static struct server srv;

/* What each step answers; NULL: what a good service does. */
static struct {
    int status;
    const char *body;
} token, roles, keys;
static const char *expiry;
static unsigned fail_first;
static bool hang;

static void imds(struct server *s, unsigned n, const char *request, char *out)
{
    char body[512];
    (void)s;
    snprintf(body, sizeof body,
             "{\"AccessKeyId\":\"AKTPecs\",\"SecretAccessKey\":\"secret\",\"SessionToken\":\"st\","
             "\"ExpiredTime\":\"%s\"}",
             expiry);
    if (hang)
        return;
    if (n < fail_first)
        respond(out, 500, "");
    else if (strncmp(request, "PUT /latest/api/token ", 22) == 0)
        respond(out, token.body ? token.status : 200, token.body ? token.body : "tok+123\n");
    else if (!strstr(request, "\r\nX-volc-ecs-metadata-token: tok+123\r\n"))
        respond(out, 401, "");
    else if (strstr(request,
                    "GET /volcstack/latest/iam/security_credentials?type=user&format=json "))
        respond(out, roles.body ? roles.status : 200,
                roles.body ? roles.body : "[\"first\",\"second\"]");
    else if (strstr(request, "GET /volcstack/latest/iam/security_credentials/"))
        respond(out, keys.body ? keys.status : 200, keys.body ? keys.body : body);
    else
        respond(out, 404, "");
}

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    fixture_init(&f, 1);
    f.profiles[0].provider = "ecs";
    token.body = roles.body = keys.body = NULL;
    expiry = from_now(3600);
    fail_first = 0;
    hang = false;
    server_start(&srv, imds);
    fixture_reach(&f, &srv);
}

static void tear_down(void)
{
    server_stop(&srv);
    fixture_check(&f);
    cred_forget_environment();
}

static const char *fetched(void)
{
    static char out[600];
    struct err_detail why = {""};
    struct cred *c = cred_fetch(&f.conf, "default", &why);
    snprintf(out, sizeof out, "%s", c ? c->access_key : why.text);
    if (c) {
        ck_assert_str_eq(c->provider, "ecs");
        ck_assert(secret_is(c->session_token, "st"));
    }
    cred_unref(c);
    return out;
}

static void sent(unsigned i, const char *part)
{
    ck_assert_uint_gt(server_seen(&srv), i);
    ck_assert_msg(strstr(srv.seen[i], part) != NULL, "no \"%s\" in:\n%s", part, srv.seen[i]);
}

START_TEST(the_exchange)
{
    ck_assert_str_eq(fetched(), "AKTPecs");
    ck_assert_uint_eq(server_seen(&srv), 3);
    sent(0, "PUT /latest/api/token HTTP/1.1\r\n");
    sent(0, "\r\nHost: 100.96.0.96\r\n");
    sent(0, "\r\nX-volc-ecs-metadata-token-ttl-seconds: 21600\r\n");
    sent(0, "\r\nContent-Length: 0\r\n");
    sent(2, "GET /volcstack/latest/iam/security_credentials/first HTTP/1.1\r\n");
}
END_TEST

START_TEST(a_known_role_is_not_looked_up)
{
    f.profiles[0].role_name = "my role/x";
    ck_assert_str_eq(fetched(), "AKTPecs");
    ck_assert_uint_eq(server_seen(&srv), 2);
    sent(1, "GET /volcstack/latest/iam/security_credentials/my%20role%2Fx HTTP/1.1\r\n");
}
END_TEST

START_TEST(the_role_from_the_environment)
{
    setenv("VOLCENGINE_ECS_METADATA", "envrole", 1);
    ck_assert_str_eq(fetched(), "AKTPecs");
    ck_assert_uint_eq(server_seen(&srv), 2);
    sent(1, "/security_credentials/envrole HTTP");
    f.profiles[0].role_name = "conf";
    ck_assert_str_eq(fetched(), "AKTPecs");
    sent(3, "/security_credentials/conf HTTP");
}
END_TEST

START_TEST(a_list_in_plain_lines)
{
    roles.status = 200;
    roles.body = "\n  one \ntwo\n";
    ck_assert_str_eq(fetched(), "AKTPecs");
    sent(2, "/security_credentials/one HTTP");
}
END_TEST

START_TEST(switched_off)
{
    setenv("VOLCENGINE_ECS_METADATA_DISABLED", "True", 1);
    ck_assert_ptr_nonnull(strstr(fetched(), "switched off by VOLCENGINE_ECS_METADATA_DISABLED"));
    ck_assert_uint_eq(server_seen(&srv), 0);
}
END_TEST

START_TEST(only_true_switches_it_off)
{
    setenv("VOLCENGINE_ECS_METADATA_DISABLED", "false", 1);
    setenv("BYTEPLUS_ECS_METADATA_DISABLED", "true", 1);
    ck_assert_str_eq(fetched(), "AKTPecs");
}
END_TEST

START_TEST(three_tries)
{
    fail_first = 2;
    ck_assert_str_eq(fetched(), "AKTPecs");
    ck_assert_uint_eq(server_seen(&srv), 5);
}
END_TEST

START_TEST(not_a_fourth)
{
    fail_first = 100;
    ck_assert_ptr_nonnull(strstr(fetched(), "/latest/api/token with HTTP 500"));
    ck_assert_uint_eq(server_seen(&srv), 3);
}
END_TEST

START_TEST(a_hanging_service_takes_seconds_only)
{
    hang = true;
    uint64_t t = clock_fresh_ns();
    ck_assert_ptr_nonnull(strstr(fetched(), "no metadata service (http://100.96.0.96: "));
    ck_assert_uint_lt(clock_fresh_ns() - t, 10 * NS_PER_SEC);
    ck_assert_uint_eq(server_seen(&srv), 3);
}
END_TEST

START_TEST(never_through_a_proxy)
{
    f.conf.proxy.http_proxy = "http://127.0.0.1:1";
    ck_assert_str_eq(fetched(), "AKTPecs");
    sent(0, "PUT /latest/api/token HTTP/1.1\r\n"); /* origin form */
}
END_TEST

static char long_token[5000];
static const struct {
    int step, status;
    const char *body, *says;
} bad[] = {
    {0, 403, "", "/latest/api/token with HTTP 403"},
    {0, 200, "", "no usable session token"},
    {0, 200, " \n", "no usable session token"},
    {0, 200, "tok\r\nX-Evil: 1", "no usable session token"},
    {0, 200, long_token, "no usable session token"},
    {1, 404, "", "HTTP 404"},
    {1, 200, "[]", "no role: attach one"},
    {1, 200, "", "no role: attach one"},
    {1, 200, "{\"a\":1}", "no role: attach one"},
    {1, 200, "[7]", "no role: attach one"},
    {1, 200, "[\"a\\nb\"]", "no role: attach one"},
    {2, 404, "", "HTTP 404"},
    {2, 200, "", "answer is not valid JSON"},
    {2, 200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"topsecret\"}", "no ExpiredTime"},
    {2, 200,
     "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"topsecret\",\"ExpiredTime\":\"2001-01-01T00:00:"
     "00\"}",
     "no ExpiredTime"},
    {2, 200,
     "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"topsecret\",\"SessionToken\":\"T\","
     "\"ExpiredTime\":\"2001-01-01T00:00:00Z\"}",
     "is the clock right?"},
    {2, 200,
     "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"topsecret\",\"SessionToken\":\"T\","
     "\"ExpiredTime\":\"1970-01-01T08:00:00+08:00\"}",
     "an ExpiredTime that is not after 1970"},
    {2, 200,
     "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"topsecret\",\"ExpiredTime\":\"2999-01-01T00:00:"
     "00Z\"}",
     "no SessionToken"},
    {2, 200,
     "{\"AccessKeyId\":\"A\",\"SessionToken\":\"T\",\"ExpiredTime\":\"2999-01-01T00:00:00Z\"}",
     "secret key is empty"},
    {2, 200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"topsecret", "answer is not valid JSON"},
};

START_TEST(misbehaviour_at_each_step)
{
    memset(long_token, 'x', sizeof long_token - 1);
    if (bad[_i].step == 0)
        token.status = bad[_i].status, token.body = bad[_i].body;
    else if (bad[_i].step == 1)
        roles.status = bad[_i].status, roles.body = bad[_i].body;
    else
        keys.status = bad[_i].status, keys.body = bad[_i].body;
    const char *text = fetched();
    ck_assert_msg(strstr(text, bad[_i].says) != NULL, "%s", text);
    ck_assert_ptr_null(strstr(text, "topsecret"));
    ck_assert_ptr_null(strstr(text, "tok+123"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_ecs");
    TCase *c = tcase_create("cred_ecs");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, the_exchange);
    tcase_add_test(c, a_known_role_is_not_looked_up);
    tcase_add_test(c, the_role_from_the_environment);
    tcase_add_test(c, a_list_in_plain_lines);
    tcase_add_test(c, switched_off);
    tcase_add_test(c, only_true_switches_it_off);
    tcase_add_test(c, three_tries);
    tcase_add_test(c, not_a_fourth);
    tcase_add_test(c, a_hanging_service_takes_seconds_only);
    tcase_add_test(c, never_through_a_proxy);
    tcase_add_loop_test(c, misbehaviour_at_each_step, 0, (int)ARRAY_LEN(bad));
    suite_add_tcase(s, c);
    return fixture_main(s);
}
