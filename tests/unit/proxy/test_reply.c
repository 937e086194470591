/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies the proxy makes: valid JSON whatever comes in, no session token out. */
#include "fixture.h"
#include "proxy/reply.h"
#include <jansson.h>

static json_t *parsed(const struct buf *b)
{
    json_error_t error;
    ck_assert(!b->failed);
    json_t *j = json_loadb(b->p, b->n, 0, &error);
    ck_assert_msg(j != NULL, "%s in %.*s", error.text, (int)b->n, b->p);
    return j;
}

static const char *text_at(json_t *j, const char *a, const char *b, const char *c)
{
    j = json_object_get(j, a);
    j = b ? json_object_get(j, b) : j;
    return json_string_value(c ? json_object_get(j, c) : j);
}

START_TEST(error_body)
{
    struct buf b;
    buf_init(&b, 65536);
    struct route r = {.service = STR("ecs"),
                      .region = STR("cn-beijing"),
                      .action = STR("Run\"Me\\\n\x01"),
                      .version = STR("2020-04-01")};
    struct err_detail d = {"the reason"};
    reply_error(&b, ERR_MISSING_REGION, &d, &r, STR("id-1"));
    json_t *j = parsed(&b);
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "RequestId", NULL), "id-1");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Action", NULL), "Run\"Me\\\n\x01");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Version", NULL), "2020-04-01");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Service", NULL), "ecs");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Region", NULL), "cn-beijing");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Error", "Code"), "Sigferry.MissingRegion");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Error", "Message"), "the reason");
    json_decref(j);

    buf_reset(&b);
    reply_error(&b, ERR_INTERNAL, NULL, NULL, STR(""));
    j = parsed(&b);
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Service", NULL), "");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Error", "Code"), "Sigferry.Internal");
    ck_assert_str_eq(text_at(j, "ResponseMetadata", "Error", "Message"), err_text(ERR_INTERNAL));
    json_decref(j);
    buf_free(&b);
}
END_TEST

START_TEST(any_bytes)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"\xC3\xA4\xE4\xBD\xA0\xF0\x9F\x98\x80", "\xC3\xA4\xE4\xBD\xA0\xF0\x9F\x98\x80"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* surrogate */
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"a\xE4\xBD", "a\xEF\xBF\xBD\xEF\xBF\xBD"}, /* cut */
        {"\xFF\x80z", "\xEF\xBF\xBD\xEF\xBF\xBDz"},
    };
    struct buf b;
    buf_init(&b, 65536);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route r = {.action = str_of(rows[i].in)};
        buf_reset(&b);
        reply_error(&b, ERR_INTERNAL, NULL, &r, STR(""));
        json_t *j = parsed(&b);
        ck_assert_str_eq(text_at(j, "ResponseMetadata", "Action", NULL), rows[i].out);
        json_decref(j);
    }
    /* Every pair of bytes. */
    for (unsigned i = 0x100; i < 0x10000; i++) {
        char two[2] = {(char)(i >> 8), (char)(i & 0xFF ? i & 0xFF : 1)};
        struct route r = {.region = str_n(two, 2)};
        buf_reset(&b);
        reply_error(&b, ERR_INTERNAL, NULL, &r, STR(""));
        json_decref(parsed(&b));
    }
    buf_free(&b);
}
END_TEST

START_TEST(dry_run)
{
    struct hdr v[] = {
        {STR("X-Date"), STR("20200101T000000Z")},
        {STR("X-Security-Token"), STR("SESSION")},
        {STR("Cookie"), STR("a")},
        {STR("cookie"), STR("b")},
        {STR("Authorization"), STR("HMAC-SHA256 Credential=AK")},
    };
    struct hdrs h = {v, ARRAY_LEN(v), ARRAY_LEN(v)};
    struct sign_output so = {
        .canonical_request = STR("POST\n/\n\nhost:h\nx-security-token:SESSION\n\na;b\nhash"),
        .string_to_sign = STR("HMAC-SHA256\nx"),
    };
    struct route r = {.scheme = STR("https"),
                      .host_header = STR("h:8443"),
                      .path = STR("/p"),
                      .query = STR("a=b")};
    struct buf b;
    buf_init(&b, 65536);
    reply_dry_run(&b, &r, STR("POST"), &h, &so);
    json_t *j = parsed(&b);
    ck_assert_str_eq(text_at(j, "url", NULL, NULL), "https://h:8443/p?a=b");
    ck_assert_str_eq(text_at(j, "method", NULL, NULL), "POST");
    ck_assert_str_eq(text_at(j, "headers", "Cookie", NULL), "a, b");
    ck_assert_str_eq(text_at(j, "headers", "X-Security-Token", NULL), "****");
    ck_assert_str_eq(text_at(j, "headers", "Authorization", NULL), "HMAC-SHA256 Credential=AK");
    ck_assert_uint_eq(json_object_size(json_object_get(j, "headers")), 4);
    ck_assert_str_eq(text_at(j, "canonical_request", NULL, NULL),
                     "POST\n/\n\nhost:h\nx-security-token:****\n\na;b\nhash");
    ck_assert_str_eq(text_at(j, "string_to_sign", NULL, NULL), "HMAC-SHA256\nx");
    json_decref(j);
    ck_assert(!memmem(b.p, b.n, "SESSION", 7));
    buf_free(&b);
}
END_TEST

START_TEST(dry_run_too_large)
{
    static char big[4096];
    memset(big, 'x', sizeof(big));
    struct route r = {.scheme = STR("https"), .host_header = STR("h"), .path = STR("/")};
    struct sign_output so = {.canonical_request = {big, sizeof(big)}};
    struct hdrs none = {NULL, 0, 0};
    struct buf b;
    buf_init(&b, 1024);
    reply_dry_run(&b, &r, STR("GET"), &none, &so);
    ck_assert(b.failed);
    buf_free(&b);
}
END_TEST

START_TEST(presign)
{
    struct route r = {.scheme = STR("https"), .host_header = STR("h"), .path = STR("/")};
    struct buf b;
    buf_init(&b, 1024);
    reply_presign(&b, &r, STR("Action=X&X-Signature=1"));
    ck_assert(str_eq(buf_str(&b), STR("https://h/?Action=X&X-Signature=1\n")));
    buf_reset(&b);
    reply_presign(&b, &r, STR(""));
    ck_assert(str_eq(buf_str(&b), STR("https://h/\n")));
    buf_free(&b);
}
END_TEST

START_TEST(error_code)
{
    char long_code[200];
    snprintf(long_code, sizeof(long_code),
             "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"%0150d\"}}}", 0);
    const struct {
        const char *json, *code;
    } rows[] = {
        {"{\"ResponseMetadata\":{\"RequestId\":\"x\",\"Error\":{\"Code\":\"Busy\"}}}", "Busy"},
        {"{\"ResponseMetadata\":{\"Error\":{\"Code\":\"\\u0042usy\"}}}", "Busy"},
        {"{\"Error\":{\"Code\":\"Busy\"}}", ""},
        {"{\"ResponseMetadata\":{\"Error\":{\"Code\":7}}}", ""},
        {"{\"ResponseMetadata\":{\"Error\":\"x\"}}", ""},
        {"{\"ResponseMetadata\":[]}", ""},
        {"[]", ""},
        {"", ""},
        {"{\"ResponseMetadata\":{\"Error\":{\"Code\":\"Busy\"}}", ""},
        {"not json", ""},
        {long_code, ""},
    };
    char scratch[128];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        fixture_same(reply_error_code(str_of(rows[i].json), scratch), rows[i].code, "code",
                     rows[i].json);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reply");
    TCase *t = tcase_create("reply");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, error_body);
    tcase_add_test(t, any_bytes);
    tcase_add_test(t, dry_run);
    tcase_add_test(t, dry_run_too_large);
    tcase_add_test(t, presign);
    tcase_add_test(t, error_code);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
