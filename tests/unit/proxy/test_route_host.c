/* SPDX-License-Identifier: Apache-2.0 */
/* Routing: the Host rule, web pages, queries and checks before anything is signed. */
#include "route_fixture.h"

START_TEST(host_rule)
{
    static const char *const good[] = {
        "Host: localhost:8750\n", "Host: LOCALHOST:8750\n", "Host: 127.0.0.1:8750\n",
        "Host: [::1]:8750\n",     "Host: localhost\n",      "Host: ok.test\n",
        "Host: ok.test:8750\n",   "Host: exact.test:9\n",   "Host: a.wild.test\n",
    };
    static const char *const bad[] = {
        "Host: localhost:1\n",       "Host: localhost.\n",
        "Host: localhost.evil\n",    "Host: evil.test\n",
        "Host: 0.0.0.0:8750\n",      "Host: 127.0.0.1.nip.io:8750\n",
        "Host: 127.0.0.2:8750\n",    "Host: [::]:8750\n",
        "Host: exact.test\n",        "Host: ok.test:1\n",
        "Host: ok.test.evil\n",      "Host: [::1]:1\n",
        "Host: volcengineapi.com\n", "Host: a.b.c.volcengineapi.com\n",
        "Host: wild.test\n",         "Host: evilvolcengineapi.com\n",
    };
    static const char *const broken[] = {
        "Host: a b\n",         "Host: a,b\n",         "Host: u@localhost\n",
        "Host: localhost/x\n", "Host: localhost:0\n", "Host: localhost:99999\n",
        "Host: localhost:\n",  "Host: [::1\n",
    };
    struct conf *c = fixture_conf(
        BASE
        "security: { allowed_hosts = [ \"ok.test\", \"exact.test:9\", \"*.wild.test\" ]; };\n");
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad) + ARRAY_LEN(broken); i++) {
        bool is_good = i < ARRAY_LEN(good);
        bool is_bad = !is_good && i < ARRAY_LEN(good) + ARRAY_LEN(bad);
        const char *host = is_good  ? good[i]
                           : is_bad ? bad[i - ARRAY_LEN(good)]
                                    : broken[i - ARRAY_LEN(good) - ARRAY_LEN(bad)];
        enum err want = is_good ? ERR_OK : is_bad ? ERR_HOST_NOT_ALLOWED : ERR_INVALID_REQUEST;
        struct fixture f;
        fixture_init(&f, c);
        snprintf(text, sizeof(text), LINE "%s" ECS, host);
        enum err e = fixture_run(&f, c, text);
        ck_assert_msg(e == want, "%s: %s %s", host, err_code(e), f.why.text);
        fixture_free(&f);
    }
    conf_unref(c);
}
END_TEST

START_TEST(host_rule_without_host)
{
    struct conf *c = fixture_conf(BASE);
    struct fixture f;
    fixture_init(&f, c);
    ck_assert_int_eq(fixture_run(&f, c, "GET / HTTP/1.0\n" ECS), ERR_HOST_NOT_ALLOWED);
    f.listener.is_unix = true;
    f.listener.port = 0;
    ck_assert_int_eq(fixture_run(&f, c, "GET / HTTP/1.0\n" ECS), ERR_OK);
    fixture_free(&f);
    conf_unref(c);
}
END_TEST

static const struct row host_rule_unix_rows[] = {
    {BASE, LINE "Host: localhost\n" ECS, ERR_OK, "ecs", NULL, NULL, NULL},
    {BASE, LINE "Host: localhost:1234\n" ECS, ERR_OK, "ecs", NULL, NULL, NULL},
    {BASE, LINE "Host: ecs.cn-a.localhost\n", ERR_OK, "ecs", "cn-a", NULL, NULL},
    {BASE, LINE "Host: iam.volcengineapi.com\n", ERR_OK, "iam", NULL, NULL, NULL},
    {BASE, LINE "Host: evil.test\n" ECS, ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE "Host: localhost\nOrigin: http://evil.test\n" ECS, ERR_ORIGIN_NOT_ALLOWED, NULL,
     NULL, NULL, NULL},
};

START_TEST(host_rule_unix)
{
    RUN(host_rule_unix_rows, true);
}
END_TEST

static const struct row host_of_the_listener_rows[] = {
    {"listen = [ \"0.0.0.0:8750\" ];\nsecurity: { allow_remote = true; client_tokens = [ "
     "\"token-one-0123456789\" ]; };\n" BASE,
     LINE "Host: 0.0.0.0:8750\nX-Sigferry-Token: token-one-0123456789\n" ECS, ERR_HOST_NOT_ALLOWED,
     NULL, NULL, NULL, NULL},
    {"listen = [ \"0.0.0.0:8750\" ];\nsecurity: { allow_remote = true; client_tokens = [ "
     "\"token-one-0123456789\" ]; };\n" BASE,
     LINE "Host: localhost:8750\nX-Sigferry-Token: token-one-0123456789\n" ECS, ERR_OK, "ecs", NULL,
     NULL, NULL},
    {"listen = [ \"127.0.0.5:8750\" ];\n" BASE, LINE "Host: 127.0.0.5:8750\n" ECS, ERR_OK, "ecs",
     NULL, NULL, NULL},
    {"listen = [ \"127.0.0.5:8750\" ];\n" BASE, LINE "Host: 127.0.0.5:1\n" ECS,
     ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {"listen = [ \"127.0.0.5:8750\" ];\n" BASE, LINE "Host: 127.0.0.6:8750\n" ECS,
     ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
};

START_TEST(host_of_the_listener)
{
    RUN(host_of_the_listener_rows, false);
}
END_TEST

#define PAGES                                                                                      \
    "security: { allowed_origins = [ \"http://app.test:3000\", \"https://x.ok.test\" ]; };\n"

static const struct row page_rule_rows[] = {
    {BASE, LINE LOOP ECS "Origin: http://evil.test\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL,
     "http://evil.test"},
    {BASE, LINE LOOP ECS "Origin: null\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "Origin:\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "Origin: http://127.0.0.1:8750\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL,
     NULL, NULL},
    {BASE, LINE LOOP ECS "Referer: http://evil.test/x\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "Sec-Fetch-Site: none\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "Sec-Fetch-Site: same-origin\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "sec-fetch-mode: cors\n", ERR_OK, NULL, NULL, NULL, NULL},
    {BASE,
     "OPTIONS / HTTP/1.1\n" LOOP ECS "Origin: http://a\nAccess-Control-Request-Method: "
     "POST\n",
     ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE PAGES,
     LINE LOOP ECS "Origin: http://app.test:3000\nReferer: http://evil.test/\n"
                   "Sec-Fetch-Site: cross-site\n",
     ERR_OK, NULL, NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Referer: http://app.test:3000/page?x\nSec-Fetch-Site: x\n", ERR_OK,
     NULL, NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: HTTPS://x.ok.test\n", ERR_OK, NULL, NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: https://x.ok.test.evil\n", ERR_ORIGIN_NOT_ALLOWED, NULL,
     NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: http://x.ok.test\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL,
     NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: http://evil.test\nReferer: http://app.test:3000/\n",
     ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: http://app.test:3000\nOrigin: http://app.test:3000\n",
     ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: https://evil.test/.ok.test\n", ERR_ORIGIN_NOT_ALLOWED, NULL,
     NULL, NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Origin: https://u@x.ok.test\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL,
     NULL, NULL},
    {BASE PAGES, LINE LOOP ECS "Sec-Fetch-Site: none\n", ERR_ORIGIN_NOT_ALLOWED, NULL, NULL, NULL,
     NULL},
    {BASE "security: { reject_forwarded = true; };\n", LINE LOOP ECS "X-Forwarded-For: 1.2.3.4\n",
     ERR_CLIENT_NOT_ALLOWED, NULL, NULL, NULL, "X-Forwarded-For"},
    {BASE "security: { reject_forwarded = true; };\n", LINE LOOP ECS "Via: 1.1 x\n",
     ERR_CLIENT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE "security: { reject_forwarded = true; };\n", LINE LOOP ECS "Forwarded: for=x\n",
     ERR_CLIENT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE "security: { reject_forwarded = true; };\n", LINE LOOP ECS "x-real-ip: 1\n",
     ERR_CLIENT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE "security: { reject_forwarded = true; };\n", LINE LOOP ECS, ERR_OK, NULL, NULL, NULL,
     NULL},
};

START_TEST(page_rule)
{
    RUN(page_rule_rows, false);
}
END_TEST

static const struct row query_rule_rows[] = {
    {BASE, "GET /?Action=A&Action=A HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL,
     "Action"},
    {BASE, "GET /?Action=A&action=B HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL,
     NULL},
    {BASE, "GET /?Action=A&%41ction=B HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL,
     NULL},
    {BASE, "GET /?Version=1&VERSION HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL,
     "more than one Version"},
    {BASE, "GET /?X-Signature=1 HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL,
     "X-Signature"},
    {BASE, "GET /?x-credential=1 HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /?X%2DAlgorithm=1 HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /?X-Date HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /?X-SignedQueries HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /?X-SignedHeaders HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /?X-NotSignBody HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /?X-Security-Token=1 HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL,
     NULL},
    {BASE, "GET /?X-Other=1 HTTP/1.1\n" LOOP ECS, ERR_OK, NULL, NULL, NULL, NULL},
    {BASE, "GET /?a=%G HTTP/1.1\n" LOOP ECS, ERR_INVALID_QUERY, NULL, NULL, NULL, NULL},
    {BASE, "GET /%00 HTTP/1.1\n" LOOP ECS, ERR_INVALID_REQUEST, NULL, NULL, NULL, NULL},
};

START_TEST(query_rule)
{
    RUN(query_rule_rows, false);
}
END_TEST

#define VALID "region = \"cn-beijing\";\n"

static const struct row validation_rows[] = {
    {VALID, "GET / HTTP/1.1\n" LOOP ECS, ERR_INVALID_REQUEST, NULL, NULL, NULL,
     "Action and Version"},
    {VALID, "GET /?Action=X HTTP/1.1\n" LOOP ECS, ERR_INVALID_REQUEST, NULL, NULL, NULL,
     "parameter Version"},
    {VALID, "GET /?Version=2020-01-01 HTTP/1.1\n" LOOP ECS, ERR_INVALID_REQUEST, NULL, NULL, NULL,
     "parameter Action"},
    {VALID, "GET /?Action=X&Version=yesterday HTTP/1.1\n" LOOP ECS, ERR_INVALID_REQUEST, NULL, NULL,
     NULL, "yesterday"},
    {VALID, "GET /?Action=X&Version=2020-13-01 HTTP/1.1\n" LOOP ECS, ERR_INVALID_REQUEST, NULL,
     NULL, NULL, "Version"},
    {VALID, "GET /?Action=X&Version=2020-01-01 HTTP/1.1\n" LOOP ECS, ERR_OK, NULL, NULL, NULL,
     NULL},
    {VALID, "GET /api/v3/tasks HTTP/1.1\n" LOOP ECS, ERR_OK, NULL, NULL, NULL, NULL},
    {VALID, "GET / HTTP/1.1\n" LOOP ECS "X-Sigferry-Client-Side-Validation: false\n", ERR_OK, NULL,
     NULL, NULL, NULL},
    {BASE, "GET / HTTP/1.1\n" LOOP ECS "X-Sigferry-Client-Side-Validation: true\n",
     ERR_INVALID_REQUEST, NULL, NULL, NULL, NULL},
    {"region = \"r\";\nroutes = ( { prefix = \"/ecs\"; service = \"ecs\"; strip_prefix = true; "
     "} );\n",
     "GET /ecs HTTP/1.1\n" LOOP, ERR_INVALID_REQUEST, NULL, NULL, NULL, "Action"},
};

START_TEST(validation)
{
    RUN(validation_rows, false);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("route_host");
    TCase *t = tcase_create("route_host");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, host_rule);
    tcase_add_test(t, host_rule_without_host);
    tcase_add_test(t, host_rule_unix);
    tcase_add_test(t, host_of_the_listener);
    tcase_add_test(t, page_rule);
    tcase_add_test(t, query_rule);
    tcase_add_test(t, validation);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
