/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/metrics.h: the exposition is read back by a strict parser of the format, then looked at:
 * families told once, sums over workers, escapes, histograms. */
#include "daemon/metrics.h"

#include "base/clock.h"
#include <check.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- a strict parser of the text format 0.0.4 --------------------------------------------------
 */

enum { MAX_SAMPLES = 4096, MAX_FAMILIES = 256 };

struct sample {
    char name[128], labels[1024]; /* labels: decoded, k=v\x01k=v\x01 */
    double value;
};

static struct sample samples[MAX_SAMPLES];
static size_t nsamples;
static struct {
    char name[128], type[16];
    bool help;
} families[MAX_FAMILIES];
static size_t nfamilies;

static const char *fault;
static const char *fault_at;

static bool bad(const char *why, const char *at)
{
    fault = why;
    fault_at = at;
    return false;
}

static bool is_name(const char *s, bool label)
{
    if (!isalpha((unsigned char)s[0]) && s[0] != '_' && (label || s[0] != ':'))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_' && (label || *s != ':'))
            return false;
    return true;
}

static bool parse_comment(char *line)
{
    char what[8], name[128];
    int n = 0;
    if (sscanf(line, "# %7s %127s %n", what, name, &n) != 2 || !is_name(name, false))
        return bad("comment", line);
    if (strcmp(what, "HELP") == 0) {
        for (size_t i = 0; i < nfamilies; i++)
            if (strcmp(families[i].name, name) == 0)
                return bad("HELP twice, or after TYPE", line);
        for (const char *p = line + n; *p; p++)
            if (*p == '\\' && p[1] != '\\' && p[1] != 'n')
                return bad("escape in HELP", line);
            else if (*p == '\\')
                p++;
        snprintf(families[nfamilies].name, sizeof families[0].name, "%s", name);
        families[nfamilies].type[0] = '\0';
        families[nfamilies++].help = true;
        return true;
    }
    if (strcmp(what, "TYPE") != 0)
        return bad("unknown comment", line);
    const char *type = line + n;
    if (strcmp(type, "counter") && strcmp(type, "gauge") && strcmp(type, "histogram"))
        return bad("type", line);
    if (!nfamilies || strcmp(families[nfamilies - 1].name, name) || families[nfamilies - 1].type[0])
        return bad("TYPE without its HELP just before", line);
    snprintf(families[nfamilies - 1].type, sizeof families[0].type, "%s", type);
    return true;
}

/* {name="value",…} → labels; returns what follows, NULL when malformed. */
static const char *parse_labels(const char *p, char *out, size_t size)
{
    size_t n = 0;
    for (p++;; p++) {
        char name[128];
        size_t k = 0;
        while (*p && *p != '=' && k < sizeof name - 1)
            name[k++] = *p++;
        name[k] = '\0';
        if (!is_name(name, true) || strncmp(name, "__", 2) == 0 || p[0] != '=' || p[1] != '"')
            return NULL;
        n += (size_t)snprintf(out + n, size - n, "%s=", name);
        for (p += 2; *p != '"'; p++) {
            char c = *p;
            if ((unsigned char)c < 0x20)
                return NULL;
            if (c == '\\') {
                c = *++p;
                if (c != '\\' && c != '"' && c != 'n')
                    return NULL;
                c = c == 'n' ? '\n' : c;
            }
            if (n + 3 > size)
                return NULL;
            out[n++] = c;
        }
        out[n++] = '\x01';
        out[n] = '\0';
        if (*++p == '}')
            return p + 1;
        if (*p != ',')
            return NULL;
    }
}

static bool parse_sample(char *line)
{
    struct sample *s = &samples[nsamples];
    size_t n = strcspn(line, "{ ");
    if (n == 0 || n >= sizeof s->name || nsamples == MAX_SAMPLES)
        return bad("name", line);
    memcpy(s->name, line, n);
    s->name[n] = '\0';
    s->labels[0] = '\0';
    const char *p = line + n;
    if (*p == '{' && !(p = parse_labels(p, s->labels, sizeof s->labels)))
        return bad("labels", line);
    char *end;
    if (*p++ != ' ' || isspace((unsigned char)*p))
        return bad("exactly one space before the value", line);
    s->value = strtod(p, &end);
    if (end == p || *end)
        return bad("value", line);
    if (!nfamilies)
        return bad("sample before any family", line);
    const char *f = families[nfamilies - 1].name, *type = families[nfamilies - 1].type;
    size_t fl = strlen(f);
    if (!is_name(s->name, false) || strncmp(s->name, f, fl) || !type[0])
        return bad("sample outside its family", line);
    bool histogram = strcmp(type, "histogram") == 0;
    const char *suffix = s->name + fl;
    if (histogram ? strcmp(suffix, "_bucket") && strcmp(suffix, "_sum") && strcmp(suffix, "_count")
                  : suffix[0] != '\0')
        return bad("suffix", line);
    if (strcmp(type, "counter") == 0 && (fl < 6 || strcmp(f + fl - 6, "_total") || s->value < 0))
        return bad("a counter is called _total and never negative", line);
    for (size_t i = 0; i < nsamples; i++)
        if (!strcmp(samples[i].name, s->name) && !strcmp(samples[i].labels, s->labels))
            return bad("the same series twice", line);
    nsamples++;
    return true;
}

static bool parse(char *text)
{
    nsamples = nfamilies = 0;
    size_t len = strlen(text);
    if (len == 0 || text[len - 1] != '\n')
        return bad("no newline at the end", text);
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n');
        *next++ = '\0';
        if (line[0] == '#' ? !parse_comment(line) : !parse_sample(line))
            return false;
    }
    return true;
}

/* --- the wall clock --------------------------------------------------------------------------- */

static int64_t wall_ahead_ns;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && id == CLOCK_REALTIME) {
        int64_t ns = ts->tv_nsec + wall_ahead_ns;
        ts->tv_sec += (time_t)(ns / 1000000000);
        ts->tv_nsec = (long)(ns % 1000000000);
    }
    return (int)rc;
}

/* --- the tests -------------------------------------------------------------------------------- */

static struct metrics_input in;
static struct stat *stats[2];

static void setup(void)
{
    in = (struct metrics_input){.version = "1.2.3"};
    for (int i = 0; i < 2; i++) {
        stats[i] = stat_new();
        ck_assert_ptr_nonnull(stats[i]);
    }
    in.stats = (const struct stat *const *)stats;
    in.nstats = 2;
}

static void teardown(void)
{
    stat_free(stats[0]);
    stat_free(stats[1]);
}

static void expose(void)
{
    struct buf b;
    buf_init(&b, 4 << 20);
    metrics_write(&in, &b);
    ck_assert(!b.failed);
    char *text = malloc(b.n + 1);
    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    ck_assert_uint_eq(strlen(text), b.n);
    ck_assert_msg(parse(text), "%s: %s", fault, fault_at);
    free(text);
    buf_free(&b);
}

/* The value of a series; labels as k=v, space-separated in order, "" for none. */
static double value(const char *name, const char *labels)
{
    char want[256];
    size_t n = 0;
    for (const char *p = labels; *p; p++)
        want[n++] = *p == ' ' ? '\x01' : *p;
    if (n)
        want[n++] = '\x01';
    want[n] = '\0';
    for (size_t i = 0; i < nsamples; i++)
        if (!strcmp(samples[i].name, name) && !strcmp(samples[i].labels, want))
            return samples[i].value;
    return NAN;
}

static bool has_family(const char *name, const char *type)
{
    for (size_t i = 0; i < nfamilies; i++)
        if (!strcmp(families[i].name, name) && !strcmp(families[i].type, type))
            return true;
    return false;
}

START_TEST(the_promised_families_are_there_from_the_start)
{
    static const char *const promised[][2] = {
        {"sigferry_requests_total", "counter"},
        {"sigferry_request_duration_seconds", "histogram"},
        {"sigferry_upstream_attempts_total", "counter"},
        {"sigferry_retries_total", "counter"},
        {"sigferry_rejected_total", "counter"},
        {"sigferry_inflight_requests", "gauge"},
        {"sigferry_client_connections", "gauge"},
        {"sigferry_pool_connections", "gauge"},
        {"sigferry_pool_pending", "gauge"},
        {"sigferry_buffered_bytes", "gauge"},
        {"sigferry_credential_refresh_total", "counter"},
        {"sigferry_credential_expiry_timestamp_seconds", "gauge"},
        {"sigferry_clock_skew_seconds", "gauge"},
        {"sigferry_config_last_reload_successful", "gauge"},
        {"sigferry_build_info", "gauge"},
        {"process_cpu_seconds_total", "counter"},
        {"process_start_time_seconds", "gauge"},
        {"process_resident_memory_bytes", "gauge"},
        {"process_virtual_memory_bytes", "gauge"},
        {"process_open_fds", "gauge"},
        {"process_max_fds", "gauge"},
    };
    expose();
    for (size_t i = 0; i < ARRAY_LEN(promised); i++)
        ck_assert_msg(has_family(promised[i][0], promised[i][1]), "%s %s is missing",
                      promised[i][0], promised[i][1]);
}
END_TEST

START_TEST(workers_are_summed_by_their_labels)
{
    for (int i = 0; i < 3; i++)
        stat_count(stats[0], STATF_REQUESTS, STR("ecs"), STR("cn-beijing"), STR("200"));
    stat_count(stats[1], STATF_REQUESTS, STR("iam"), STR("cn-beijing"), STR("200"));
    for (int i = 0; i < 4; i++)
        stat_count(stats[1], STATF_REQUESTS, STR("ecs"), STR("cn-beijing"), STR("200"));
    stat_count(stats[1], STATF_REQUESTS, STR("ecs"), STR("cn-beijing"), STR("500"));
    stat_count(stats[0], STATF_ATTEMPTS, STR("ecs"), STR("ok"), STR(""));
    stat_count(stats[0], STATF_RETRIES, STR("status_503"), STR(""), STR(""));
    stat_count(stats[1], STATF_REJECTED, STR("HostNotAllowed"), STR(""), STR(""));
    stat_add(stats[0], STAT_INFLIGHT, 5);
    stat_add(stats[1], STAT_INFLIGHT, -2);
    stat_add(stats[0], STAT_BYTES_IN, 10);
    stat_add(stats[1], STAT_BYTES_OUT, 20);
    expose();
    ck_assert_double_eq(value("sigferry_requests_total", "service=ecs region=cn-beijing code=200"),
                        7);
    ck_assert_double_eq(value("sigferry_requests_total", "service=ecs region=cn-beijing code=500"),
                        1);
    ck_assert_double_eq(value("sigferry_requests_total", "service=iam region=cn-beijing code=200"),
                        1);
    ck_assert_double_eq(value("sigferry_upstream_attempts_total", "service=ecs outcome=ok"), 1);
    ck_assert_double_eq(value("sigferry_retries_total", "reason=status_503"), 1);
    ck_assert_double_eq(value("sigferry_rejected_total", "reason=HostNotAllowed"), 1);
    ck_assert_double_eq(value("sigferry_inflight_requests", ""), 3);
    ck_assert_double_eq(value("sigferry_client_bytes_total", "direction=in"), 10);
    ck_assert_double_eq(value("sigferry_client_bytes_total", "direction=out"), 20);
}
END_TEST

START_TEST(label_values_are_escaped)
{
    stat_count(stats[0], STATF_REQUESTS, STR("a\"b"), STR("c\\d"), STR("e\nf"));
    stat_count(stats[0], STATF_RETRIES, STR("\x01\xff"), STR(""), STR(""));
    expose();
    ck_assert_double_eq(value("sigferry_requests_total", "service=a\"b region=c\\d code=e\nf"), 1);
    ck_assert_double_eq(value("sigferry_retries_total", "reason=??"), 1);
}
END_TEST

START_TEST(the_histogram_is_cumulative)
{
    const uint64_t ms[] = {1, 2, 3, 700, 700, 200000};
    double sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(ms); i++) {
        stat_duration(stats[i % 2], ms[i] * NS_PER_MS);
        sum += (double)ms[i] / 1e3;
    }
    expose();
    double last = 0;
    size_t buckets = 0;
    for (size_t i = 0; i < nsamples; i++) {
        if (strcmp(samples[i].name, "sigferry_request_duration_seconds_bucket") != 0)
            continue;
        double le = strtod(samples[i].labels + 3, NULL), want = 0;
        for (size_t k = 0; k < ARRAY_LEN(ms); k++)
            want += (double)ms[k] / 1e3 <= le;
        ck_assert_double_eq(samples[i].value, want);
        ck_assert_double_ge(samples[i].value, last);
        last = samples[i].value;
        buckets++;
    }
    ck_assert_uint_eq(buckets, STAT_BUCKETS);
    ck_assert_double_eq(value("sigferry_request_duration_seconds_bucket", "le=+Inf"), 6);
    ck_assert_double_eq(value("sigferry_request_duration_seconds_count", ""), 6);
    ck_assert_double_eq_tol(value("sigferry_request_duration_seconds_sum", ""), sum, 1e-6);
}
END_TEST

START_TEST(pools_by_host_and_state)
{
    const struct metrics_pool p[] = {{"a.test", 1, 2, 0}, {"b.test", 5, 0, 0}};
    in.pools = p;
    in.npools = 2;
    expose();
    ck_assert_double_eq(value("sigferry_pool_connections", "host=a.test state=active"), 2);
    ck_assert_double_eq(value("sigferry_pool_connections", "host=a.test state=idle"), 1);
    ck_assert_double_eq(value("sigferry_pool_connections", "host=b.test state=idle"), 5);
}
END_TEST

START_TEST(credentials_and_the_rest)
{
    struct cred_status c[2] = {{.profile = "default", .state = CRED_OK, .expires_s = 1900000000},
                               {.profile = "ro", .state = CRED_FAILED}};
    c[0].refreshes_ok = 3;
    c[1].refreshes_failed = 4;
    snprintf(c[0].access_key, sizeof c[0].access_key, "AKLT...wxyz");
    const struct metrics_library l[] = {{"openssl", "3.0.1"}, {"libcurl", "7.88.1"}};
    in.creds = c;
    in.ncreds = 2;
    in.libraries = l;
    in.nlibraries = 2;
    in.skew_s = -17;
    in.reload_ok = true;
    in.reload_s = 1800000000;
    in.log_dropped = 9;
    expose();
    ck_assert_double_eq(value("sigferry_credential_refresh_total", "profile=default result=ok"), 3);
    ck_assert_double_eq(value("sigferry_credential_refresh_total", "profile=ro result=failed"), 4);
    ck_assert_double_eq(value("sigferry_credential_expiry_timestamp_seconds", "profile=default"),
                        1900000000);
    ck_assert(isnan(value("sigferry_credential_expiry_timestamp_seconds", "profile=ro")));
    ck_assert_double_eq(value("sigferry_credential_usable", "profile=default"), 1);
    ck_assert_double_eq(value("sigferry_credential_usable", "profile=ro"), 0);
    ck_assert_double_eq(value("sigferry_clock_skew_seconds", ""), -17);
    ck_assert_double_eq(value("sigferry_config_last_reload_successful", ""), 1);
    ck_assert_double_eq(value("sigferry_log_dropped_total", ""), 9);
    ck_assert_double_eq(value("sigferry_build_info", "version=1.2.3 openssl=3.0.1 libcurl=7.88.1"),
                        1);
    in.reload_ok = false;
    expose();
    ck_assert_double_eq(value("sigferry_config_last_reload_successful", ""), 0);
}
END_TEST

START_TEST(the_process_is_this_one)
{
    expose();
    double start = value("process_start_time_seconds", ""), now = (double)clock_wall_s();
    ck_assert_double_le(start, now + 2);
    ck_assert_double_gt(start, now - 3600);
    ck_assert_double_gt(value("process_resident_memory_bytes", ""), 100e3);
    ck_assert_double_ge(value("process_virtual_memory_bytes", ""),
                        value("process_resident_memory_bytes", ""));
    ck_assert_double_eq(value("process_threads", ""), 1);
    double fds = value("process_open_fds", "");
    FILE *f = fopen("/dev/null", "r");
    expose();
    ck_assert_double_eq(value("process_open_fds", ""), fds + 1);
    fclose(f);
    ck_assert_double_ge(value("process_max_fds", ""), fds);
}
END_TEST

START_TEST(a_start_does_not_move)
{
    expose();
    double start = value("process_start_time_seconds", "");
    wall_ahead_ns = 3000000; /* this thread was not run between the two clocks */
    expose();
    ck_assert_double_eq(value("process_start_time_seconds", ""), start);
    wall_ahead_ns = 7200 * INT64_C(1000000000); /* the clock was set */
    expose();
    ck_assert_double_eq_tol(value("process_start_time_seconds", ""), start + 7200, 1);
    wall_ahead_ns = 0;
}
END_TEST

START_TEST(a_full_table_of_many_workers)
{
    char name[32];
    for (int w = 0; w < 2; w++) {
        for (int i = 0; i < 2 * STAT_SERIES_MAX; i++) {
            snprintf(name, sizeof name, "s%d", i);
            stat_count(stats[w], STATF_REQUESTS, str_of(name), STR("r"), STR("200"));
        }
    }
    expose(); /* says that no series comes twice */
    double all = 0;
    for (size_t i = 0; i < nsamples; i++)
        if (!strcmp(samples[i].name, "sigferry_requests_total"))
            all += samples[i].value;
    ck_assert_double_eq(all, 4 * STAT_SERIES_MAX);
}
END_TEST

START_TEST(a_buffer_too_small_fails)
{
    struct buf b;
    buf_init(&b, 100);
    metrics_write(&in, &b);
    ck_assert(b.failed);
    buf_free(&b);
}
END_TEST

START_TEST(numbers)
{
    static const struct {
        double v;
        const char *want;
    } t[] = {{0, "0"},           {-3, "-3"},          {1e15, "1000000000000000"},
             {0.5, "0.5"},       {0.001, "0.001"},    {1e300, "1e+300"},
             {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}, {NAN, "NaN"}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char out[32];
        metrics_number(t[i].v, out);
        ck_assert_str_eq(out, t[i].want);
    }
}
END_TEST

START_TEST(the_parser_itself_refuses)
{
    static const char *const wrong[] = {
        "",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1",
        "a 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a x\n# TYPE a gauge\n# HELP a x\n",
        "# HELP a x\n# TYPE a gauge\nb 1\n",
        "# HELP a x\n# TYPE a gauge\na{x=\"1} 1\n",
        "# HELP a x\n# TYPE a gauge\na{x=\"\\q\"} 1\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a x\n# TYPE a gauge\na  1\n",
        "# HELP a x\n# TYPE a gauge\na one\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char text[256];
        snprintf(text, sizeof text, "%s", wrong[i]);
        ck_assert_msg(!parse(text), "accepted: %s", wrong[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics");
    TCase *c = tcase_create("metrics");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_parser_itself_refuses);
    tcase_add_test(c, the_promised_families_are_there_from_the_start);
    tcase_add_test(c, workers_are_summed_by_their_labels);
    tcase_add_test(c, label_values_are_escaped);
    tcase_add_test(c, the_histogram_is_cumulative);
    tcase_add_test(c, pools_by_host_and_state);
    tcase_add_test(c, credentials_and_the_rest);
    tcase_add_test(c, the_process_is_this_one);
    tcase_add_test(c, a_start_does_not_move);
    tcase_add_test(c, a_full_table_of_many_workers);
    tcase_add_test(c, a_buffer_too_small_fails);
    tcase_add_test(c, numbers);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
