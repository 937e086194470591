/* SPDX-License-Identifier: Apache-2.0 */
/* Both resolvers against the recorded cases, the way back for every service, and that the table
 * holds what endpoints.json says. */
#include "endpoint/endpoint.h"
#include "endpoint/endpoint_table.h"
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 120 };

static const char *const cloud_names[] = {"volcengine", "byteplus"};

static json_t *load(const char *name)
{
    const char *top = getenv("srcdir");
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", top ? top : ".", name);
    ck_assert(n > 0 && (size_t)n < sizeof path);
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    ck_assert_msg(root != NULL, "%s: %s", path, why.text);
    return root;
}

static struct str member(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    ck_assert_msg(s != NULL, "no %s", key);
    return str_of(s);
}

static void assert_eq(struct str got, const char *want)
{
    ck_assert_msg(str_eq(got, str_of(want)), "got '%.*s', want '%s'", STR_ARG(got), want);
}

static void check_case(const json_t *c)
{
    struct str extra[8];
    struct endpoint_query q = {
        .cloud = str_eq(member(c, "stack"), STR("byteplus")) ? CLOUD_BYTEPLUS : CLOUD_VOLCENGINE,
        .resolver =
            str_eq(member(c, "resolver"), STR("standard")) ? RESOLVER_STANDARD : RESOLVER_DEFAULT,
        .dual_stack = json_is_true(json_object_get(c, "dual_stack")),
        .service = member(c, "service"),
        .region = member(c, "region"),
        .extra_regions = extra,
    };
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(c, "custom_bootstrap_regions"), i, r)
    {
        ck_assert_uint_lt(i, ARRAY_LEN(extra));
        extra[q.nextra++] = str_of(json_string_value(r));
    }
    char host[ENDPOINT_HOST_MAX] = "";
    struct err_detail why = {""};
    enum err e = endpoint_resolve(&q, host, &why);
    struct str want = member(c, "host");
    if (str_starts(want, STR("error:"))) {
        ck_assert_msg(str_eq(str_of(err_code(e)), str_n(want.p + 6, want.n - 6)), "%.*s: got %s",
                      STR_ARG(want), err_code(e));
        ck_assert_msg(strstr(why.text, "standard resolver") != NULL, "%s", why.text);
        return;
    }
    ck_assert_msg(e == ERR_OK, "%.*s: %s", STR_ARG(want), why.text);
    assert_eq(str_of(host), want.p);
}

START_TEST(recorded_cases)
{
    json_t *root = load("tests/vectors/endpoint_cases.json"), *c;
    size_t i;
    ck_assert_uint_eq(json_array_size(root), CASES);
    json_array_foreach(root, i, c) check_case(c);
    json_decref(root);
}
END_TEST

static const struct endpoint_row *row_of(const struct endpoint_table *t, const char *code)
{
    for (size_t i = 0; i < t->nrows; i++)
        if (str_ieq(str_of(t->rows[i].code), str_of(code)))
            return &t->rows[i];
    ck_abort_msg("no row for %s", code);
    return NULL;
}

static void check_services(const struct endpoint_table *t, json_t *services, unsigned known,
                           unsigned global)
{
    const char *code;
    json_t *facts;
    size_t count = 0;
    json_object_foreach(services, code, facts)
    {
        const struct endpoint_row *row = row_of(t, code);
        ck_assert_msg(row->flags & known, "%s", code);
        ck_assert_msg(!(row->flags & global) == !json_is_true(json_object_get(facts, "global")),
                      "%s", code);
        const char *fallback = json_string_value(json_object_get(facts, "fallback"));
        if (fallback)
            ck_assert_str_eq(row->fallback, fallback);
        count++;
    }
    ck_assert_uint_gt(count, 20);
    for (size_t i = 0; i < t->nrows; i++) /* and nothing that the data does not say */
        if (t->rows[i].flags & known) {
            struct str row = str_of(t->rows[i].code);
            bool found = false;
            json_object_foreach(services, code, facts) found = found || str_ieq(row, str_of(code));
            ck_assert_msg(found, "%s", row.p);
        }
}

static void check_regions(const char *const *got, size_t n, const json_t *want)
{
    ck_assert_uint_eq(n, json_array_size(want));
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && strcmp(got[i], json_string_value(json_array_get(want, k))) != 0)
            k++;
        ck_assert_msg(k < n, "%s", got[i]);
    }
}

START_TEST(table_is_in_step_with_the_data)
{
    json_t *root = load("src/endpoint/endpoints.json");
    ck_assert_uint_eq(json_object_size(root), ARRAY_LEN(endpoint_tables));
    for (size_t i = 0; i < ARRAY_LEN(endpoint_tables); i++) {
        const struct endpoint_table *t = &endpoint_tables[i];
        json_t *c = json_object_get(root, cloud_names[i]);
        assert_eq(member(c, "suffix"), t->suffix);
        assert_eq(member(c, "dualstack_suffix"), t->dual_stack_suffix);
        assert_eq(member(c, "fallback_endpoint"), t->fallback);
        check_services(t, json_object_get(c, "services"), IN_DEFAULT, DEFAULT_GLOBAL);
        check_services(t, json_object_get(c, "standard_services"), IN_STANDARD, STANDARD_GLOBAL);
        check_regions(t->bootstrap_regions, t->nbootstrap, json_object_get(c, "bootstrap_regions"));
        check_regions(t->standard_regions, t->nstandard, json_object_get(c, "standard_regions"));
        for (size_t k = 1; k < t->nrows; k++)
            ck_assert_int_lt(strcmp(t->rows[k - 1].label, t->rows[k].label), 0);
    }
    json_decref(root);
}
END_TEST

/* Resolves a row in a region of its own resolver and reads the host back. */
static void round_trip(enum endpoint_cloud cloud, const struct endpoint_row *row,
                       enum endpoint_resolver resolver, bool dual_stack, const char *region)
{
    const struct endpoint_query q = {.cloud = cloud,
                                     .resolver = resolver,
                                     .dual_stack = dual_stack,
                                     .service = str_of(row->code),
                                     .region = str_of(region)};
    bool global =
        (row->flags & (resolver == RESOLVER_STANDARD ? STANDARD_GLOBAL : DEFAULT_GLOBAL)) != 0;
    char host[ENDPOINT_HOST_MAX], scratch[ENDPOINT_HOST_MAX];
    struct endpoint_reverse back;
    ck_assert_int_eq(endpoint_resolve(&q, host, NULL), ERR_OK);
    for (size_t i = 0; host[i] && i < 3; i++)
        host[i] = (char)(host[i] >= 'a' && host[i] <= 'z' ? host[i] - 32 : host[i]);
    endpoint_reverse(cloud, str_of(host), scratch, &back);
    ck_assert_msg(back.known, "%s", host);
    ck_assert_int_eq(back.dual_stack, dual_stack);
    assert_eq(back.service, row->code);
    assert_eq(back.region, global ? "" : region);
}

START_TEST(every_service_there_and_back)
{
    for (int cloud = 0; cloud < 2; cloud++) {
        const struct endpoint_table *t = &endpoint_tables[cloud];
        for (size_t i = 0; i < t->nrows; i++)
            for (int dual = 0; dual < 2; dual++) {
                const struct endpoint_row *row = &t->rows[i];
                for (size_t k = 0; k < t->nbootstrap && (row->flags & IN_DEFAULT); k++)
                    round_trip((enum endpoint_cloud)cloud, row, RESOLVER_DEFAULT, dual,
                               t->bootstrap_regions[k]);
                for (size_t k = 0; k < t->nstandard && (row->flags & IN_STANDARD); k++)
                    round_trip((enum endpoint_cloud)cloud, row, RESOLVER_STANDARD, dual,
                               t->standard_regions[k]);
            }
    }
}
END_TEST

START_TEST(reverse_hosts)
{
    static const struct {
        enum endpoint_cloud cloud;
        const char *host, *service, *region; /* service NULL: not known */
    } rows[] = {
        {CLOUD_VOLCENGINE, "iam.volcengineapi.com", "iam", ""},
        {CLOUD_VOLCENGINE, "RDS-MySQL.cn-beijing.VOLCengineapi.com", "rds_mysql", "cn-beijing"},
        {CLOUD_VOLCENGINE, "redis.cn-beijing.volcengineapi.com", "redis", "cn-beijing"},
        {CLOUD_VOLCENGINE, "volc-observe.cn-beijing.volcengineapi.com", "volc_observe",
         "cn-beijing"},
        {CLOUD_VOLCENGINE, "tls.cn-beijing.volcengineapi.com", "TLS", "cn-beijing"},
        {CLOUD_VOLCENGINE, "vpc.ap-southeast-2.volcengine-api.com", "vpc", "ap-southeast-2"},
        {CLOUD_VOLCENGINE, "No_Such-one.volcengineapi.com", "no_such-one", ""},
        {CLOUD_VOLCENGINE, "open.volcengineapi.com", "", ""},
        {CLOUD_VOLCENGINE, "open.cn-beijing.volcengineapi.com", "", ""},
        {CLOUD_VOLCENGINE, "volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, ".volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "a..volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, ".a.volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "a.b.c.volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "iam.volcengineapi.com.", NULL, ""},
        {CLOUD_VOLCENGINE, "iam.volcengineapi.com:443", NULL, ""},
        {CLOUD_VOLCENGINE, "iamvolcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "iam.volcengineapi.com.evil.test", NULL, ""},
        {CLOUD_VOLCENGINE, "iam.evil-volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "ia m.volcengineapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "iam.byteplusapi.com", NULL, ""},
        {CLOUD_VOLCENGINE, "ecs.cn-beijing.volcengineapi.com.cn", NULL, ""},
        {CLOUD_VOLCENGINE, "", NULL, ""},
        {CLOUD_BYTEPLUS, "open.ap-southeast-1.byteplusapi.com", "", ""},
        {CLOUD_BYTEPLUS, "ecs.cn-x.byteplusapi.com.cn", "ecs", "cn-x"},
        {CLOUD_BYTEPLUS, "ecs.cn-x.byteplus-api.com.CN", "ecs", "cn-x"},
        {CLOUD_BYTEPLUS, "ecs.cn-hongkong.byteplusapi.com", "ecs", "cn-hongkong"},
        {CLOUD_BYTEPLUS, "ecs.cn-hongkong.byteplusapi.com.cn", NULL, ""},
        {CLOUD_BYTEPLUS, "ecs.ap-southeast-1.byteplusapi.com.cn", NULL, ""},
        {CLOUD_BYTEPLUS, "iam.byteplusapi.com.cn", NULL, ""},
        {CLOUD_BYTEPLUS, "iam.volcengineapi.com", NULL, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char scratch[ENDPOINT_HOST_MAX];
        struct endpoint_reverse got;
        endpoint_reverse(rows[i].cloud, str_of(rows[i].host), scratch, &got);
        ck_assert_msg(got.known == (rows[i].service != NULL), "%s", rows[i].host);
        assert_eq(got.service, rows[i].service ? rows[i].service : "");
        assert_eq(got.region, rows[i].region);
    }
    char big[ENDPOINT_HOST_MAX + 40], scratch[ENDPOINT_HOST_MAX];
    struct endpoint_reverse got;
    memset(big, 'a', sizeof big);
    memcpy(big + sizeof big - 18, ".volcengineapi.com", 18);
    endpoint_reverse(CLOUD_VOLCENGINE, str_n(big, sizeof big), scratch, &got);
    ck_assert(!got.known);
    /* one label too long, within a host that fits */
    endpoint_reverse(CLOUD_VOLCENGINE, str_n(big + sizeof big - 18 - 65, 18 + 65), scratch, &got);
    ck_assert(!got.known);
    endpoint_reverse(CLOUD_VOLCENGINE, str_n(big + sizeof big - 18 - 64, 18 + 64), scratch, &got);
    ck_assert(got.known);
}
END_TEST

START_TEST(codes_in_any_case)
{
    static const char *const rows[][2] = {
        {"Redis", "redis"},
        {"redis", "redis"},
        {"FILENAS", "filenas"},
        {"tls", "TLS"},
        {"RDS_mysql", "rds_mysql"},
        {"rds-mysql", NULL},
        {"nosuch", NULL},
        {"", NULL},
        {"a b", NULL},
        {"open", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got = endpoint_service_code(CLOUD_VOLCENGINE, str_of(rows[i][0]));
        ck_assert_msg((got.p != NULL) == (rows[i][1] != NULL), "%s", rows[i][0]);
        assert_eq(got, rows[i][1] ? rows[i][1] : "");
    }
    char longest[66];
    memset(longest, 'a', sizeof longest);
    ck_assert_ptr_null(endpoint_service_code(CLOUD_BYTEPLUS, str_n(longest, 65)).p);
}
END_TEST

START_TEST(labels)
{
    char text[65];
    memset(text, 'a', sizeof text);
    ck_assert(endpoint_is_label(str_n(text, 64)));
    ck_assert(!endpoint_is_label(str_n(text, 65)));
    ck_assert(!endpoint_is_label(STR("")));
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        bool want = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        ck_assert_msg(endpoint_is_label(str_n(&one, 1)) == want, "byte %d", c);
    }
}
END_TEST

static enum err resolve(struct endpoint_query q, const char *service, const char *region,
                        char host[ENDPOINT_HOST_MAX], struct err_detail *why)
{
    q.service = str_of(service);
    q.region = str_of(region);
    host[0] = '\0';
    return endpoint_resolve(&q, host, why);
}

START_TEST(region_pattern)
{
    static const struct {
        const char *region;
        bool fits;
    } rows[] = {
        {"xx-foo", true},
        {"xx-foo-bar", true},
        {"cn-beijing-1", true},
        {"na-west-2-local", true},
        {"eu-a-10-finance", true},
        {"sa-a-1-exclusive", true},
        {"me-a-1-inner", true},
        {"af-a-1", true},
        {"xx-foo-1", false},
        {"cn-beijing-9x", false},
        {"cn-beijing-1-other", false},
        {"cn-beijing-1-local-x", false},
        {"cn-beijing-1-", false},
        {"cn-beijing-", false},
        {"cn-", false},
        {"cn", false},
        {"c-foo", false},
        {"cnn-foo", false},
        {"cn-foo-bar-baz", false},
        {"CN-foo", false},
        {"cn-Foo", false},
        {"cn-foo1", false},
        {"cn-1", false},
        {"cn--1", false},
        {"cn_foo", false},
        {"", false},
    };
    const struct endpoint_query q = {.cloud = CLOUD_VOLCENGINE, .resolver = RESOLVER_STANDARD};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char host[ENDPOINT_HOST_MAX];
        struct err_detail why;
        enum err e = resolve(q, "ecs", rows[i].region, host, &why);
        ck_assert_msg((e == ERR_OK) == rows[i].fits, "%s: %s", rows[i].region, why.text);
        ck_assert(e == ERR_OK || e == ERR_INVALID_REGION);
    }
}
END_TEST

START_TEST(unknown_names_get_a_hint)
{
    static const struct {
        const char *service, *region, *hint;
        enum err want;
    } rows[] = {
        {"esc", "cn-beijing", "'ecs'", ERR_SERVICE_NOT_FOUND},
        {"rds-mysql", "cn-beijing", "'rds_mysql'", ERR_SERVICE_NOT_FOUND},
        {"nosuchservice", "cn-beijing", "endpoint.services", ERR_SERVICE_NOT_FOUND},
        {"labsrv", "cn-beijing", "'labserv'", ERR_SERVICE_NOT_FOUND},
        {"ecs", "cn-beijing-99x", "'cn-beijing", ERR_INVALID_REGION},
        {"ecs", "cn_beijing", "'cn-beijing'", ERR_INVALID_REGION},
        {"ecs", "", "region", ERR_INVALID_REGION},
        {"e.s", "cn-beijing", "'e.s'", ERR_SERVICE_NOT_FOUND},
        {"ecs", "cn.beijing", "'cn.beijing'", ERR_INVALID_REGION},
    };
    const struct endpoint_service lab = {STR("labserv"), {NULL, 0}, false};
    const struct endpoint_query q = {
        .cloud = CLOUD_VOLCENGINE, .resolver = RESOLVER_STANDARD, .services = &lab, .nservices = 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char host[ENDPOINT_HOST_MAX];
        struct err_detail why = {""};
        enum err e = resolve(q, rows[i].service, rows[i].region, host, &why);
        ck_assert_msg(e == rows[i].want, "%s %s: %d", rows[i].service, rows[i].region, e);
        ck_assert_msg(strstr(why.text, rows[i].hint) != NULL, "%s: %s", rows[i].service, why.text);
    }
}
END_TEST

START_TEST(services_of_the_configuration)
{
    const struct endpoint_service services[] = {
        {STR("ecs"), STR("ecs.internal:8443"), false},
        {STR("lab"), {NULL, 0}, false},
        {STR("labglobal"), {NULL, 0}, true},
        {STR("vpc"), {NULL, 0}, true}, /* regional in the table */
    };
    static const struct {
        const char *service, *region, *by_default, *by_standard;
    } rows[] = {
        {"ecs", "anything-9", "ecs.internal:8443", "ecs.internal:8443"},
        {"ECS", "", "ecs.internal:8443", "ecs.internal:8443"},
        {"lab", "ap-southeast-2", "lab.ap-southeast-2.volcengineapi.com",
         "lab.ap-southeast-2.volcengineapi.com"},
        {"lab", "cn-beijing", "open.volcengineapi.com", "lab.cn-beijing.volcengineapi.com"},
        {"labglobal", "ap-southeast-2", "labglobal.volcengineapi.com",
         "labglobal.volcengineapi.com"},
        {"vpc", "ap-southeast-2", "vpc.volcengineapi.com", "vpc.volcengineapi.com"},
    };
    struct endpoint_query q = {
        .cloud = CLOUD_VOLCENGINE, .services = services, .nservices = ARRAY_LEN(services)};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char host[ENDPOINT_HOST_MAX];
        q.resolver = RESOLVER_DEFAULT;
        ck_assert_int_eq(resolve(q, rows[i].service, rows[i].region, host, NULL), ERR_OK);
        ck_assert_str_eq(host, rows[i].by_default);
        q.resolver = RESOLVER_STANDARD;
        ck_assert_int_eq(resolve(q, rows[i].service, rows[i].region, host, NULL), ERR_OK);
        ck_assert_str_eq(host, rows[i].by_standard);
    }
}
END_TEST

START_TEST(names_in_any_case_resolve)
{
    static const struct {
        enum endpoint_cloud cloud;
        const char *service, *region, *host;
    } rows[] = {
        {CLOUD_VOLCENGINE, "Redis", "ap-southeast-2", "redis.ap-southeast-2.volcengineapi.com"},
        {CLOUD_VOLCENGINE, "ECS", "ap-southeast-2", "ecs.ap-southeast-2.volcengineapi.com"},
        {CLOUD_VOLCENGINE, "IAM", "ap-southeast-2", "iam.volcengineapi.com"},
        {CLOUD_VOLCENGINE, "IAM", "", "open.volcengineapi.com"},
        {CLOUD_BYTEPLUS, "Ark", "nowhere", "open.byteplusapi.com"},
        {CLOUD_BYTEPLUS, "billing", "nowhere", "open.byteplusapi.com"},
        {CLOUD_BYTEPLUS, "iam", "nowhere", "open.ap-southeast-1.byteplusapi.com"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char host[ENDPOINT_HOST_MAX];
        const struct endpoint_query q = {.cloud = rows[i].cloud};
        ck_assert_int_eq(resolve(q, rows[i].service, rows[i].region, host, NULL), ERR_OK);
        ck_assert_str_eq(host, rows[i].host);
    }
}
END_TEST

START_TEST(a_host_that_does_not_fit_is_refused)
{
    char big[ENDPOINT_HOST_MAX + 1], host[ENDPOINT_HOST_MAX];
    memset(big, 'h', sizeof big);
    struct endpoint_service one = {STR("ecs"), {big, ENDPOINT_HOST_MAX}, false};
    const struct endpoint_query q = {.services = &one, .nservices = 1};
    ck_assert_int_eq(resolve(q, "ecs", "r", host, NULL), ERR_INVALID_REQUEST);
    one.host.n = ENDPOINT_HOST_MAX - 1;
    ck_assert_int_eq(resolve(q, "ecs", "r", host, NULL), ERR_OK);
    ck_assert_uint_eq(strlen(host), ENDPOINT_HOST_MAX - 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("endpoint");
    TCase *t = tcase_create("endpoint");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, recorded_cases);
    tcase_add_test(t, table_is_in_step_with_the_data);
    tcase_add_test(t, every_service_there_and_back);
    tcase_add_test(t, reverse_hosts);
    tcase_add_test(t, codes_in_any_case);
    tcase_add_test(t, labels);
    tcase_add_test(t, region_pattern);
    tcase_add_test(t, unknown_names_get_a_hint);
    tcase_add_test(t, services_of_the_configuration);
    tcase_add_test(t, names_in_any_case_resolve);
    tcase_add_test(t, a_host_that_does_not_fit_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
