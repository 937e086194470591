/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/log_text. */
#include "base/log_text.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* 2026-11-21T22:31:39.123456789Z */
static const uint64_t when = UINT64_C(1795300299123456789);
static char line[LOG_LINE_MAX + 1];

static const char *render(size_t max, enum log_format format, const char *template,
                          const struct log_event *e)
{
    size_t n = log_text(line, max, format, template, e);
    ck_assert_uint_le(n, max);
    ck_assert_uint_gt(n, 0);
    ck_assert_int_eq(line[n - 1], '\n');
    ck_assert_ptr_eq(memchr(line, '\n', n), line + n - 1);
    line[n - 1] = '\0';
    return line;
}

static const char *text_of(struct str msg)
{
    const struct log_event e = {.level = LOG_INFO, .wall_ns = when, .msg = msg};
    return render(LOG_LINE_MAX, LOG_TEXT, NULL, &e);
}

static const char *json_of(struct str msg)
{
    const struct log_event e = {.level = LOG_INFO, .wall_ns = when, .msg = msg};
    return render(LOG_LINE_MAX, LOG_JSON, NULL, &e);
}

#define TIME_TEXT "time=2026-11-21T22:31:39.123Z level=info msg="
#define TIME_JSON "{\"time\":\"2026-11-21T22:31:39.123Z\",\"level\":\"info\",\"msg\":"

START_TEST(control_bytes_are_escaped)
{
    ck_assert_str_eq(text_of(str_n("a\n\r\x1b\0b\x7f", 7)),
                     TIME_TEXT "\"a\\x0a\\x0d\\x1b\\x00b\\x7f\"");
    ck_assert_str_eq(json_of(STR("a\nlevel=x\x1b")), TIME_JSON "\"a\\u000alevel=x\\u001b\"}");
    ck_assert_str_eq(text_of(STR("say \"hi\" \\")), TIME_TEXT "\"say \\\"hi\\\" \\\\\"");
    ck_assert_str_eq(json_of(STR("say \"hi\" \\")), TIME_JSON "\"say \\\"hi\\\" \\\\\"}");
}
END_TEST

START_TEST(only_valid_utf8_stays)
{
    ck_assert_str_eq(text_of(STR("\xc3\xa4 \xe7\x81\xab \xf0\x9f\x8c\x8b")),
                     TIME_TEXT "\"\xc3\xa4 \xe7\x81\xab \xf0\x9f\x8c\x8b\"");
    /* A lone continuation, an overlong slash, a surrogate, past U+10FFFF, cut short, a C1 control.
     */
    ck_assert_str_eq(text_of(STR("\x80")), TIME_TEXT "\"\\x80\"");
    ck_assert_str_eq(text_of(STR("\xc0\xaf")), TIME_TEXT "\"\\xc0\\xaf\"");
    ck_assert_str_eq(text_of(STR("\xe0\x80\xaf")), TIME_TEXT "\"\\xe0\\x80\\xaf\"");
    ck_assert_str_eq(text_of(STR("\xed\xa0\x80")), TIME_TEXT "\"\\xed\\xa0\\x80\"");
    ck_assert_str_eq(text_of(STR("\xf4\x90\x80\x80")), TIME_TEXT "\"\\xf4\\x90\\x80\\x80\"");
    ck_assert_str_eq(text_of(STR("\xf5\x80\x80\x80")), TIME_TEXT "\"\\xf5\\x80\\x80\\x80\"");
    ck_assert_str_eq(text_of(STR("\xe7\x81")), TIME_TEXT "\"\\xe7\\x81\"");
    ck_assert_str_eq(text_of(STR("\xc2\x9b")), TIME_TEXT "\"\\xc2\\x9b\"");
    /* U+202E turns the rest of a line around, U+200B hides, U+FEFF and U+061C as well */
    ck_assert_str_eq(text_of(STR("a\xe2\x80\xae"
                                 "b")),
                     TIME_TEXT "\"a\\xe2\\x80\\xaeb\"");
    ck_assert_str_eq(text_of(STR("\xe2\x80\x8b")), TIME_TEXT "\"\\xe2\\x80\\x8b\"");
    ck_assert_str_eq(text_of(STR("\xe2\x81\xa6")), TIME_TEXT "\"\\xe2\\x81\\xa6\"");
    ck_assert_str_eq(text_of(STR("\xef\xbb\xbf\xd8\x9c")),
                     TIME_TEXT "\"\\xef\\xbb\\xbf\\xd8\\x9c\"");
    ck_assert_str_eq(text_of(STR("\xe2\x80\xa6")), TIME_TEXT "\"\xe2\x80\xa6\"");
    ck_assert_str_eq(json_of(STR("\xff")), TIME_JSON "\"\\u00ff\"}");
}
END_TEST

START_TEST(long_messages_are_cut_whole)
{
    static char big[2 * LOG_LINE_MAX];
    memset(big, '\n', sizeof(big));
    const char *p = text_of(str_n(big, sizeof(big)));
    ck_assert_uint_gt(strlen(p), LOG_LINE_MAX - 16);
    ck_assert_str_eq(p + strlen(p) - 8, "\\x0a...\"");
    p = json_of(str_n(big, sizeof(big)));
    ck_assert_str_eq(p + strlen(p) - 11, "\\u000a...\"}");
    const struct log_event e = {
        .level = LOG_ERROR, .wall_ns = when, .journal = true, .msg = str_n(big, sizeof(big))};
    p = render(64, LOG_TEXT, NULL, &e);
    ck_assert_str_eq(p + strlen(p) - 4, "...\"");
    for (size_t max = 80; max < 400; max++) {
        const struct log_field f[] = {{.name = "key", .value = STR("some value")}};
        const struct log_event g = {LOG_INFO, when, false, str_n(big, max), f, 1};
        p = render(max, LOG_JSON, NULL, &g);
        ck_assert_str_eq(p + strlen(p) - 1, "}");
    }
}
END_TEST

START_TEST(fields_are_whole_or_left_out)
{
    static char big[2 * LOG_LINE_MAX];
    memset(big, 'x', sizeof(big));
    const struct log_field f[] = {
        {.name = "a", .value = str_n(big, sizeof(big))},
        {.name = "b", .value = STR("kept")},
    };
    const struct log_event e = {LOG_INFO, when, false, STR("m"), f, 2};
    ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEXT, NULL, &e), TIME_TEXT "\"m\" b=kept");
    ck_assert_str_eq(render(LOG_LINE_MAX, LOG_JSON, NULL, &e), TIME_JSON "\"m\",\"b\":\"kept\"}");
}
END_TEST

START_TEST(fields)
{
    const struct log_field f[] = {
        {.name = "status", .number = 200, .is_number = true},
        {.name = "ms", .number = 1.5, .is_number = true},
        {.name = "neg", .number = -3, .is_number = true},
        {.name = "nan", .number = (double)__builtin_nanf(""), .is_number = true},
        {.name = "bare", .value = STR("cn-beijing/x")},
        {.name = "none"},
        {.name = "sp", .value = STR("a b")},
        {.name = "eq", .value = STR("a=b")},
        {.name = "nl", .value = STR("a\nb=c \"")},
    };
    const struct log_event e = {LOG_WARN, when, true, STR("access"), f, ARRAY_LEN(f)};
    ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEXT, NULL, &e),
                     "<4>level=warn msg=\"access\" status=200 ms=1.500 neg=-3 nan=nan "
                     "bare=cn-beijing/x none=\"\" sp=\"a b\" eq=\"a=b\" nl=\"a\\x0ab=c \\\"\"");
    const struct log_event j = {LOG_WARN, when, false, STR("access"), f, ARRAY_LEN(f)};
    ck_assert_str_eq(
        render(LOG_LINE_MAX, LOG_JSON, NULL, &j),
        "{\"time\":\"2026-11-21T22:31:39.123Z\",\"level\":\"warn\",\"msg\":\"access\","
        "\"status\":200,\"ms\":1.500,\"neg\":-3,\"nan\":null,\"bare\":\"cn-beijing/x\","
        "\"none\":\"\",\"sp\":\"a b\",\"eq\":\"a=b\",\"nl\":\"a\\u000ab=c \\\"\"}");
}
END_TEST

/* The short way for what is counted in thousandths says what printf does. */
START_TEST(numbers)
{
    static const double at[] = {0,       0.001,       0.999,      0.0005,     0.0015,   1.0005,
                                2.5,     1e6 + 0.125, 1e12,       9e12,       8.9e12,   9e15,
                                1e18,    -0.25,       123456.789, 1e-9,       4096,     0.1005,
                                99.9995, 1e300,       -1e300,     0.00099999, 7.1234567};
    for (size_t i = 0; i < ARRAY_LEN(at) + 20000; i++) {
        double v = i < ARRAY_LEN(at) ? at[i] : (double)((i * 7919) % 1000003) / 1000.0;
        char want[400], full[500];
        bool whole = fabs(v) < 9e15 && v == floor(v);
        snprintf(want, sizeof(want), whole ? "%.0f" : "%.3f", v);
        snprintf(full, sizeof(full), "level=info msg=\"m\" v=%s", want);
        const struct log_field f = {.name = "v", .number = v, .is_number = true};
        const struct log_event e = {LOG_INFO, when, true, STR("m"), &f, 1};
        ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEXT, NULL, &e) + 3, full);
    }
}
END_TEST

START_TEST(journal_has_priorities_and_no_time)
{
    static const char *const want[] = {"<3>level=error msg=\"m\"", "<4>level=warn msg=\"m\"",
                                       "<6>level=info msg=\"m\"", "<7>level=debug msg=\"m\""};
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        const struct log_event e = {(enum log_level)i, when, true, STR("m"), NULL, 0};
        ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEXT, NULL, &e), want[i]);
    }
}
END_TEST

START_TEST(template)
{
    const struct log_field f[] = {{.name = "k", .value = STR("v w")}};
    const struct log_event e = {LOG_WARN, when, false, STR("a\n\"b\""), f, 1};
    ck_assert_int_eq(setenv("TZ", "CST-8", 1), 0);
    tzset();
    ck_assert_str_eq(
        render(LOG_LINE_MAX, LOG_TEMPLATE, "%(asctime)s [%(levelname)s] %(message)s", &e),
        "2026-11-22 06:31:39,123 [WARNING] a\\x0a\"b\" k=\"v w\"");
    /* What is no known name stays, and the template itself makes no second line. */
    ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEMPLATE, "%(name)s 100%% %\n", &e),
                     "%(name)s 100% %\\x0a");
    ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEMPLATE, "", &e), "");
    ck_assert_str_eq(render(LOG_LINE_MAX, LOG_TEMPLATE, "\xe7\x81\xab\xff%%\xc3\xa4%", &e),
                     "\xe7\x81\xab\\xff%\xc3\xa4%");
    static char big[LOG_LINE_MAX];
    memset(big, 'x', sizeof(big));
    const struct log_event g = {LOG_INFO, when, false, str_n(big, sizeof(big)), NULL, 0};
    const char *p = render(200, LOG_TEMPLATE, "%(message)s%(message)s", &g);
    ck_assert_str_eq(p + strlen(p) - 4, "x...");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log_text");
    TCase *t = tcase_create("log_text");
    tcase_add_test(t, control_bytes_are_escaped);
    tcase_add_test(t, only_valid_utf8_stays);
    tcase_add_test(t, long_messages_are_cut_whole);
    tcase_add_test(t, fields_are_whole_or_left_out);
    tcase_add_test(t, fields);
    tcase_add_test(t, numbers);
    tcase_add_test(t, journal_has_priorities_and_no_time);
    tcase_add_test(t, template);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
