/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/status.h: the JSON parses and holds what was measured, the page escapes what it shows, and
 * neither shows a secret. */
#include "daemon/status.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

static struct conf *c;
static struct stat *stat;
static struct status_input in;
static struct cred_status creds[2];
static char *text;

#define SECRET "c2VjcmV0LW9mLXRoZS1zdGF0dXMtdGVzdA=="

static void setup(void)
{
    static const char *const set[] = {"region=cn-beijing",
                                      "routes=( { prefix = \"/<b>\"; service = \"ecs\"; } )"};
    struct conf_args args = {.set = set, .nset = 2, .no_file = true};
    struct buf errs;
    unsetenv("VOLCENGINE_SESSION_TOKEN");
    ck_assert_int_eq(setenv("SIGFERRY_SECURITY_CLIENT_TOKENS", SECRET, 1), 0);
    buf_init(&errs, 64 * 1024);
    c = conf_load(&args, &errs);
    ck_assert_msg(c != NULL, "%.*s", STR_ARG(buf_str(&errs)));
    buf_free(&errs);
    stat = stat_new();
    ck_assert_ptr_nonnull(stat);
    static const struct stat *stats[1];
    static const char *const listeners[] = {"127.0.0.1:8750", "unix:/run/<i>"};
    static const struct metrics_pool pool = {"ecs.test", 1, 2, 3};
    static const struct metrics_library library = {"openssl", "3.0"};
    stats[0] = stat;
    creds[0] = (struct cred_status){.profile = "default", .provider = "env", .state = CRED_OK};
    memcpy(creds[0].access_key, "AKLT...0001", 12);
    creds[0].expires_s = 1800003600;
    creds[1] = (struct cred_status){.profile = "<ro>", .provider = "ecs", .state = CRED_FAILED};
    snprintf(creds[1].why.text, sizeof creds[1].why.text, "ecs: <connection> refused & gone");
    in = (struct status_input){.conf = c,
                               .listeners = listeners,
                               .nlisteners = 2,
                               .ready = true,
                               .reason = "",
                               .reload_why = "",
                               .now_s = 1800000000,
                               .started_s = 1800000000 - 90061};
    in.m = (struct metrics_input){.stats = stats,
                                  .nstats = 1,
                                  .pools = &pool,
                                  .npools = 1,
                                  .creds = creds,
                                  .ncreds = 2,
                                  .libraries = &library,
                                  .nlibraries = 1,
                                  .version = "9.8.7",
                                  .reload_ok = true,
                                  .reload_s = 1800000000 - 90061};
    stat_count(stat, STATF_REQUESTS, STR("ecs"), STR("cn-beijing"), STR("200"));
    stat_count(stat, STATF_REQUESTS, STR("<script>"), STR("\xff"), STR("200"));
    text = NULL;
}

static void teardown(void)
{
    free(text);
    stat_free(stat);
    conf_unref(c);
}

static void take(void (*write)(const struct status_input *, struct buf *))
{
    struct buf b;
    buf_init(&b, 8 << 20);
    write(&in, &b);
    ck_assert(!b.failed);
    text = calloc(1, b.n + 1);
    memcpy(text, b.p, b.n);
    ck_assert_uint_eq(strlen(text), b.n);
    buf_free(&b);
    ck_assert_ptr_null(strstr(text, SECRET));
}

static const char *string_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    ck_assert_msg(s != NULL, "no string %s", key);
    return s;
}

START_TEST(the_document)
{
    take(status_write);
    json_error_t e;
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    ck_assert_msg(j != NULL, "%s", e.text);
    ck_assert_str_eq(string_at(j, "status"), "running");
    ck_assert(json_is_true(json_object_get(j, "ready")));
    ck_assert_str_eq(string_at(j, "version"), "9.8.7");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "uptime_seconds")), 90061);
    ck_assert_str_eq(string_at(json_object_get(j, "libraries"), "openssl"), "3.0");
    ck_assert_uint_eq(json_array_size(json_object_get(j, "listeners")), 2);
    json_t *cr = json_object_get(j, "credentials");
    ck_assert_uint_eq(json_array_size(cr), 2);
    ck_assert_str_eq(string_at(json_array_get(cr, 0), "access_key"), "AKLT...0001");
    ck_assert_str_eq(string_at(json_array_get(cr, 0), "expires"), "2027-01-15T09:00:00Z");
    ck_assert_str_eq(string_at(json_array_get(cr, 1), "state"), "failed");
    ck_assert_str_eq(string_at(json_array_get(cr, 1), "error"), creds[1].why.text);
    json_t *keys = json_object_get(json_object_get(j, "config"), "keys");
    ck_assert_uint_gt(json_object_size(keys), 50);
    ck_assert_ptr_nonnull(json_object_get(keys, "region"));
    ck_assert(json_is_null(json_object_get(json_object_get(j, "config"), "file")));
    json_t *m = json_object_get(j, "metrics");
    ck_assert_uint_eq(json_array_size(json_object_get(m, "sigferry_requests_total")), 2);
    json_t *pools = json_object_get(m, "sigferry_pool_connections");
    ck_assert_uint_eq(json_array_size(pools), 2);
    json_t *first = json_array_get(pools, 0);
    ck_assert_str_eq(string_at(json_object_get(first, "labels"), "host"), "ecs.test");
    ck_assert_int_eq(json_integer_value(json_object_get(first, "value")), 2);
    json_decref(j);
}
END_TEST

START_TEST(the_conditions)
{
    in.ready = false;
    in.reason = "no credential";
    ck_assert_str_eq(status_word(&in), "not ready");
    take(status_write);
    json_t *j = json_loads(text, 0, NULL);
    ck_assert(json_is_false(json_object_get(j, "ready")));
    ck_assert_str_eq(string_at(j, "reason"), "no credential");
    json_decref(j);
    in.draining = true;
    ck_assert_str_eq(status_word(&in), "draining");
    char t[32];
    status_time(0, t);
    ck_assert_str_eq(t, "never");
}
END_TEST

START_TEST(quantiles)
{
    ck_assert(status_quantile(&in.m, 0.5) < 0);
    for (int i = 0; i < 90; i++)
        stat_duration(stat, UINT64_C(7000000)); /* 5 to 10 ms */
    for (int i = 0; i < 10; i++)
        stat_duration(stat, UINT64_C(300000000)); /* 250 to 500 ms */
    ck_assert(status_quantile(&in.m, 0.45) > 0.00749 && status_quantile(&in.m, 0.45) < 0.00751);
    ck_assert(status_quantile(&in.m, 0.9) > 0.00999 && status_quantile(&in.m, 0.9) < 0.01001);
    ck_assert(status_quantile(&in.m, 0.95) > 0.3749 && status_quantile(&in.m, 0.95) < 0.3751);
    for (int i = 0; i < 900; i++)
        stat_duration(stat, UINT64_C(90000000000));
    ck_assert(status_quantile(&in.m, 0.5) > stat_bounds[STAT_BUCKETS - 2]);
    take(status_page);
    ck_assert_ptr_nonnull(strstr(text, "&gt; 60 s"));
}
END_TEST

START_TEST(the_page)
{
    in.reason = "why <not>";
    in.m.reload_ok = false;
    in.reload_why = "sigferry.conf:3: <bad>";
    const struct failure failed = {.at_s = 1800000000 - 3,
                                   .status = 502,
                                   .attempts = 4,
                                   .code = "UpstreamReset",
                                   .action = "<A&B>",
                                   .request_id = "id-1",
                                   .reason = "reset by <peer>"};
    in.failures = &failed;
    in.nfailures = 1;
    take(status_page);
    static const char *const shown[] = {
        "<!doctype html>",
        "prefers-color-scheme:dark",
        "width=device-width",
        "9.8.7",
        "1 d 1 h",
        "AKLT...0001",
        "127.0.0.1:8750",
        "unix:/run/&lt;i&gt;",
        "&lt;ro&gt;",
        "&lt;connection&gt;",
        "refused &amp; gone",
        "&lt;script&gt;",
        "why &lt;not&gt;",
        "sigferry.conf:3: &lt;bad",
        "ecs.test",
        "http-equiv=\"refresh\"",
        "in 1 h 0 min",
        "UpstreamReset: reset by &lt;peer&gt; (tried 4 times)",
        "&lt;A&amp;B&gt;",
        "id-1",
    };
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        ck_assert_msg(strstr(text, shown[i]) != NULL, "%s is missing", shown[i]);
    static const char *const never[] = {"<script", "<ro>", "<i>",  "<bad>",
                                        "<not>",   "src=", "url(", "onload"};
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        ck_assert_msg(strstr(text + strlen(status_page_head), never[i]) == NULL, "%s is there",
                      never[i]);
}
END_TEST

START_TEST(no_room_is_a_failure)
{
    struct buf b;
    buf_init(&b, 500);
    status_write(&in, &b);
    ck_assert(b.failed);
    buf_reset(&b);
    status_page(&in, &b);
    ck_assert(b.failed);
    buf_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status");
    TCase *t = tcase_create("status");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_document);
    tcase_add_test(t, the_conditions);
    tcase_add_test(t, the_page);
    tcase_add_test(t, quantiles);
    tcase_add_test(t, no_room_is_a_failure);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
