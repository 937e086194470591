/* SPDX-License-Identifier: Apache-2.0 */
/* The retry decision, backoff, Retry-After, clock errors. */
#include "fixture.h"
#include "proxy/retry.h"
#include "proxy/skew.h"

static int64_t statuses[] = {429, 500, 502, 503, 504};
static const struct str codes[] = {{"Busy", 4}};

static void defaults(struct conf *c, struct route *r, struct retry_question *q)
{
    memset(c, 0, sizeof(*c));
    c->retry.retry_status.v = statuses;
    c->retry.retry_status.n = ARRAY_LEN(statuses);
    c->retry.retry_network_errors = 1u << RETRY_RESOLVE | 1u << RETRY_CONNECT |
                                    1u << RETRY_TIMEOUT | 1u << RETRY_RESET | 1u << RETRY_PROTOCOL;
    c->retry.retry_after_send = AFTER_SEND_ALWAYS;
    *r = (struct route){.action = STR("RunInstances")};
    r->opt = (struct route_options){
        .auto_retry = true,
        .num_max_retries = 3,
        .min_retry_delay_ms = 30,
        .max_retry_delay_ms = 300000,
        .backoff_strategy = BACKOFF_EXPONENTIAL,
        .retry_error_codes = codes,
        .nretry_error_codes = 1,
    };
    *q = (struct retry_question){.conf = c, .route = r, .attempt = 1, .replayable = true};
}

#define OUTCOME(...) ((struct retry_outcome){__VA_ARGS__})

START_TEST(conditions)
{
    static const struct {
        enum err err;
        unsigned status;
        const char *code, *reason; /* reason NULL: not again */
    } rows[] = {
        {ERR_RESOLVE, 0, "", "resolve"},
        {ERR_CONNECT, 0, "", "connect"},
        {ERR_CONNECT_TIMEOUT, 0, "", "timeout"},
        {ERR_READ_TIMEOUT, 0, "", "timeout"},
        {ERR_RESET, 0, "", "reset"},
        {ERR_PROTOCOL, 0, "", "protocol"},
        {ERR_TLS, 0, "", NULL},
        {ERR_REQUEST_TIMEOUT, 0, "", NULL},
        {ERR_POOL_EXHAUSTED, 0, "", NULL},
        {ERR_OK, 200, "", NULL},
        {ERR_OK, 200, "Busy", "code"},
        {ERR_OK, 200, "busy", NULL},
        {ERR_OK, 400, "Busy", "code"},
        {ERR_OK, 400, "Other", NULL},
        {ERR_OK, 404, "", NULL},
        {ERR_OK, 429, "", "status_429"},
        {ERR_OK, 500, "", "status_500"},
        {ERR_OK, 501, "", NULL},
        {ERR_OK, 502, "", "status_502"},
        {ERR_OK, 503, "", "status_503"},
        {ERR_OK, 504, "", "status_504"},
    };
    struct conf c;
    struct route r;
    struct retry_question q;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        defaults(&c, &r, &q);
        q.outcome = OUTCOME(.err = rows[i].err, .status = rows[i].status,
                            .error_code = str_of(rows[i].code), .sent = true);
        struct retry_answer a = retry_next(&q);
        ck_assert_msg(a.again == (rows[i].reason != NULL), "row %zu", i);
        if (a.again)
            ck_assert_str_eq(a.reason, rows[i].reason);
        /* Each network error can be switched off by itself. */
        c.retry.retry_network_errors &= ~(1u << err_retry(rows[i].err));
        if (rows[i].err)
            ck_assert(!retry_next(&q).again);
    }
}
END_TEST

START_TEST(labels_are_bounded)
{
    static const struct {
        unsigned status;
        const char *reason;
    } rows[] = {
        {408, "status_408"}, {409, "status_409"}, {425, "status_425"},   {501, "status_501"},
        {418, "status_4xx"}, {599, "status_5xx"}, {302, "status_other"},
    };
    struct conf c;
    struct route r;
    struct retry_question q;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t one = rows[i].status;
        defaults(&c, &r, &q);
        c.retry.retry_status.v = &one;
        c.retry.retry_status.n = 1;
        q.outcome = OUTCOME(.status = rows[i].status, .sent = true);
        ck_assert_str_eq(retry_next(&q).reason, rows[i].reason);
    }
}
END_TEST

START_TEST(rules_that_forbid)
{
    struct conf c;
    struct route r;
    struct retry_question q;
    defaults(&c, &r, &q);
    q.outcome = OUTCOME(.status = 503, .sent = true);
    ck_assert(retry_next(&q).again);
    q.replayable = false;
    ck_assert(!retry_next(&q).again);
    q.replayable = true;
    r.opt.auto_retry = false;
    ck_assert(!retry_next(&q).again);
    r.opt.auto_retry = true;
    q.attempt = 3;
    ck_assert(retry_next(&q).again);
    q.attempt = 4;
    ck_assert(!retry_next(&q).again);
    q.attempt = 1;
    r.opt.num_max_retries = 0;
    ck_assert(!retry_next(&q).again);
    r.opt.num_max_retries = 3;
    r.sdk_signed = true;
    ck_assert(!retry_next(&q).again);
    c.retry.retry_signed_clients = true;
    ck_assert(retry_next(&q).again);
}
END_TEST

START_TEST(after_send)
{
    struct conf c;
    struct route r;
    struct retry_question q;
    struct uri_pair token = {STR("ClientToken"), STR("x")};
    defaults(&c, &r, &q);
    for (int rule = AFTER_SEND_ALWAYS; rule <= AFTER_SEND_NEVER; rule++) {
        c.retry.retry_after_send = (enum conf_after_send)rule;
        bool always = rule == AFTER_SEND_ALWAYS, never = rule == AFTER_SEND_NEVER;
        r.pairs = (struct uri_query){NULL, 0};
        r.action = STR("RunInstances");
        q.outcome = OUTCOME(.err = ERR_RESET, .sent = false);
        ck_assert(retry_next(&q).again);
        q.outcome.sent = true;
        ck_assert(retry_next(&q).again == always);
        q.outcome = OUTCOME(.status = 503, .sent = false); /* an answer means that it was sent */
        ck_assert(retry_next(&q).again == always);
        r.action = STR("DescribeInstances");
        ck_assert(retry_next(&q).again == !never);
        r.action = STR("RunInstances");
        r.pairs = (struct uri_query){&token, 1};
        ck_assert(retry_next(&q).again == !never);
    }
}
END_TEST

START_TEST(safe_actions)
{
    static const struct {
        const char *action;
        bool safe;
    } rows[] = {
        {"DescribeInstances", true},
        {"ListUsers", true},
        {"GetUser", true},
        {"QueryX", true},
        {"CheckX", true},
        {"Get", true},
        {"Get2", true},
        {"RunInstances", false},
        {"Getaway", false},
        {"Listen", false},
        {"", false},
        {"describeX", false},
        {"Checkout", false},
    };
    struct route r = {.port = 0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        r.action = str_of(rows[i].action);
        ck_assert_msg(retry_is_safe(&r) == rows[i].safe, "%s", rows[i].action);
    }
    struct uri_pair empty = {STR("ClientToken"), STR("")};
    r = (struct route){.pairs = {&empty, 1}};
    ck_assert(!retry_is_safe(&r));
}
END_TEST

START_TEST(backoff)
{
    int64_t v[] = {100, 400, 1600};
    struct conf_ints custom = {v, 3};
    static const struct {
        enum conf_backoff s;
        int64_t min, max;
        unsigned n;
        double random;
        int64_t want;
    } rows[] = {
        {BACKOFF_NONE, 30, 300000, 5, 0.5, 0},
        {BACKOFF_EXPONENTIAL, 30, 300000, 0, 0.9, 30},
        {BACKOFF_EXPONENTIAL, 30, 300000, 3, 0.9, 240},
        {BACKOFF_EXPONENTIAL, 30, 200, 3, 0.9, 200},
        {BACKOFF_EXPONENTIAL, 30, 300000, 4000000000u, 0, 300000},
        {BACKOFF_EXPONENTIAL, 0, 300000, 4000000000u, 0, 0},
        {BACKOFF_EXPONENTIAL, 1, INT64_MAX, 4000, 0, INT64_MAX},
        {BACKOFF_EXPONENTIAL, 500, 100, 0, 0, 100},
        {BACKOFF_JITTER, 30, 300000, 0, 0.0, 30},
        {BACKOFF_JITTER, 30, 300000, 0, 0.5, 45},
        {BACKOFF_JITTER, 30, 300000, 1, 0.999, 119},
        {BACKOFF_JITTER, 30, 50, 1, 0.5, 50},
        {BACKOFF_CUSTOM, 30, 300000, 0, 0, 100},
        {BACKOFF_CUSTOM, 30, 300000, 2, 0, 1600},
        {BACKOFF_CUSTOM, 30, 300000, 9, 0, 1600},
        {BACKOFF_CUSTOM, 30, 1000, 9, 0, 1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = retry_backoff_ms(rows[i].s, rows[i].min, rows[i].max, &custom, rows[i].n,
                                       rows[i].random);
        ck_assert_msg(got == rows[i].want, "row %zu: %lld", i, (long long)got);
    }
    custom.n = 0;
    ck_assert_int_eq(retry_backoff_ms(BACKOFF_CUSTOM, 30, 300000, &custom, 4, 0), 30);
}
END_TEST

START_TEST(delays)
{
    struct conf c;
    struct route r;
    struct retry_question q;
    defaults(&c, &r, &q);
    q.attempt = 2;
    q.outcome = OUTCOME(.status = 503, .sent = true);
    ck_assert_uint_eq(retry_next(&q).delay_ns, 60000000u);
    q.outcome.retry_after = STR("2");
    ck_assert_uint_eq(retry_next(&q).delay_ns, 2000000000u);
    q.outcome.retry_after = STR("0");
    ck_assert_uint_eq(retry_next(&q).delay_ns, 60000000u);
    q.outcome.retry_after = STR("99999999999999");
    ck_assert_uint_eq(retry_next(&q).delay_ns, 300000000000u);
    q.outcome.retry_after = STR("later");
    ck_assert_uint_eq(retry_next(&q).delay_ns, 60000000u);
    q.now_s = 784111770;
    q.outcome.retry_after = STR("Sun, 06 Nov 1994 08:49:37 GMT");
    ck_assert_uint_eq(retry_next(&q).delay_ns, 7000000000u);
    q.outcome.status = 500; /* only 429 and 503 say when */
    ck_assert_uint_eq(retry_next(&q).delay_ns, 60000000u);
    q.outcome.status = 429;
    ck_assert_uint_eq(retry_next(&q).delay_ns, 7000000000u);
    /* A delay that would cross request_timeout is not started. */
    r.opt.request_ns = 10000000000u;
    q.elapsed_ns = 2999999999u;
    ck_assert(retry_next(&q).again);
    q.elapsed_ns = 3000000000u;
    ck_assert(!retry_next(&q).again);
    q.elapsed_ns = 11000000000u;
    ck_assert(!retry_next(&q).again);
}
END_TEST

START_TEST(dates)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: none */
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
        {"Sat, 21 Nov 2026 10:00:00 GMT", 1795255200},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08-49-37 GMT", -1},
        {"Sun, x6 Nov 1994 08:49:37 GMT", -1},
        {"", -1},
        {"-5", -1},
        {"1.5", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = -1;
        bool good = skew_parse_date(str_of(rows[i].text), 1795255200, &got);
        ck_assert_msg(good == (rows[i].want >= 0), "%s", rows[i].text);
        if (good)
            ck_assert_int_eq(got, rows[i].want);
        if (!good)
            ck_assert_int_eq(retry_after_s(str_of(rows[i].text), 0), -1);
    }
    ck_assert_int_eq(retry_after_s(STR(" 120 "), 0), 120);
    ck_assert_int_eq(retry_after_s(STR("Sun, 06 Nov 1994 08:49:37 GMT"), 784111700), 77);
    ck_assert_int_eq(retry_after_s(STR("Sun, 06 Nov 1994 08:49:37 GMT"), 1795255200), 0);
}
END_TEST

START_TEST(clock_errors)
{
    static const struct str date = {"Sun, 06 Nov 1994 08:49:37 GMT", 29};
    int64_t skew = 0;
    ck_assert(skew_detect(STR("SignatureExpired"), date, 784111777 + 61, 0, &skew));
    ck_assert_int_eq(skew, -61);
    ck_assert(skew_detect(STR("InvalidTimestamp"), date, 784111777 - 600, 0, &skew));
    ck_assert_int_eq(skew, 600);
    ck_assert(!skew_detect(STR("SignatureExpired"), date, 784111777 + 60, 0, &skew));
    ck_assert(!skew_detect(STR("SignatureDoesNotMatch"), date, 784111777 + 600, 0, &skew));
    ck_assert(!skew_detect(STR("RequestTokenExpired"), date, 784111777 + 600, 0, &skew));
    ck_assert(!skew_detect(STR("ExpiredToken"), date, 784111777 + 600, 0, &skew));
    ck_assert(!skew_detect(STR("SignatureExpired"), STR("never"), 0, 0, &skew));
    ck_assert(!skew_detect(STR("SignatureExpired"), STR(""), 0, 0, &skew));
    /* It is the time that was signed that counts: with this very correction it was right … */
    ck_assert(!skew_detect(STR("SignatureExpired"), date, 784111777 - 600, 590, &skew));
    /* … and our clock may have been set since the correction was learned. */
    ck_assert(skew_detect(STR("SignatureExpired"), date, 784111777 - 1200, 600, &skew));
    ck_assert_int_eq(skew, 1200);
    ck_assert(skew_detect(STR("SignatureExpired"), date, 784111777 + 60, 600, &skew));
    ck_assert_int_eq(skew, 0);
    ck_assert(skew_is_clock_code(STR("RequestTimeTooSkewed")));
    ck_assert(skew_is_clock_code(STR("RequestExpired")));
    ck_assert(!skew_is_clock_code(STR("")));
    ck_assert(retry_is_credential_code(STR("ExpiredToken")));
    ck_assert(retry_is_credential_code(STR("InvalidSecurityToken")));
    ck_assert(retry_is_credential_code(STR("InvalidAccessKey")));
    ck_assert(!retry_is_credential_code(STR("SignatureDoesNotMatch")));
    ck_assert(!retry_is_credential_code(STR("")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("retry");
    TCase *t = tcase_create("retry");
    tcase_add_test(t, conditions);
    tcase_add_test(t, labels_are_bounded);
    tcase_add_test(t, rules_that_forbid);
    tcase_add_test(t, after_send);
    tcase_add_test(t, safe_actions);
    tcase_add_test(t, backoff);
    tcase_add_test(t, delays);
    tcase_add_test(t, dates);
    tcase_add_test(t, clock_errors);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
