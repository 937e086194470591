/* SPDX-License-Identifier: Apache-2.0 */
/* What a module does when one allocation or one file operation fails, for each of them in turn: the
 * right result or an error that says why; nothing lost, and all well again the next time. Links
 * tests/fake, so that the request engine takes part without sockets. */
#include "../../fake/fail_nth.h"
#include "../../fake/fake.h"
#include "base/log.h"
#include "cred/cred_json.h"
#include "cred/cred_provider.h"
#include "cred/cred_read.h"
#include "cred/cred_sts.h"
#include "daemon/status.h"
#include "io/spool.h"
#include "proxy/xfer.h"
#include "sign/verify.h"
#include <check.h>
#include <dirent.h>
#include <malloc.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- what a run gives back ---- */

static struct {
    char text[1 << 16];
    size_t n;
} result;

static void note(struct str s)
{
    if (result.n + s.n > sizeof result.text)
        abort(); /* no ck_assert here: libcheck would need memory */
    if (s.n)
        memcpy(result.text + result.n, s.p, s.n);
    result.n += s.n;
}

static void note_u(uint64_t v)
{
    char text[32];
    note(str_n(text, (size_t)snprintf(text, sizeof text, "%llu ", (unsigned long long)v)));
}

/* A module's answer: what it has to say is noted. */
struct run {
    const char *name;
    bool (*run)(struct err_detail *why); /* false: it failed, and why says so */
    bool files;                          /* uses files */
};

static char dir[64];
static char conf_path[128], key_path[128], log_path[128];
static struct conf *conf;

static const char conf_text[] =
    "region = \"cn-beijing\"; service = \"ecs\"; client_side_validation = false;\n"
    "listen = [\"127.0.0.1:8750\"];\n"
    "profiles = { default = { provider = \"static\"; access_key = \"AKLTtorture\"; secret_key = "
    "\"SK\"; session_token = \"ST\"; }; };\n"
    "policies = ( { name = \"p\"; mode = \"enforce\"; allow = [\"ecs:*\"]; deny = "
    "[\"ecs:Delete*\"]; } );\n"
    "policy = \"p\";\n"
    "routes = ( { prefix = \"/iam\"; service = \"iam\"; } );\n"
    "retry = { min_retry_delay_ms = 10; max_retry_delay_ms = 20; };\n"
    "rate_limits = ( { match = \"ecs:Rated\"; rate = 5.0; burst = 5.0; } );\n"
    "limits = { max_body = 1000000; body_memory = 4096; };\n"
    "log = { access = true; format = \"json\"; file = \"/dev/null\"; };\n";

/* A file of ours, mode 0600; path gets its name. */
static void write_file(char path[128], const char *name, const char *text)
{
    snprintf(path, 128, "%s/%s-XXXXXX", dir, name);
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(close(fd), 0);
}

static struct conf *load(const char *path, struct err_detail *why)
{
    struct buf errs;
    buf_init(&errs, 65536);
    struct conf *c = conf_load(&(struct conf_args){.config = path}, &errs);
    if (!c && (errs.n || errs.failed))
        (void)err_set(why, ERR_INTERNAL, "%.*s", (int)errs.n, errs.p ? errs.p : "no memory");
    buf_free(&errs);
    return c;
}

/* ---- the modules ---- */

static bool run_conf(struct err_detail *why)
{
    struct buf json;
    struct conf *c = load(conf_path, why);
    if (!c)
        return false;
    buf_init(&json, 1 << 20);
    conf_print_json(c, &json);
    bool ok = !json.failed;
    if (ok)
        note(str_n(json.p, json.n < 30000 ? json.n : 30000));
    else
        (void)err_set(why, ERR_INTERNAL, "no memory to print it");
    buf_free(&json);
    conf_unref(c);
    return ok;
}

static bool took(struct cred *c)
{
    if (!c)
        return false;
    struct sign_cred s = cred_for_signing(c);
    note(s.access_key);
    note(s.secret_key);
    note(s.session_token);
    cred_unref(c);
    return true;
}

static bool run_cred_parse(struct err_detail *why)
{
    static const struct str secrets[CRED_STS_SECRETS] = {{"token", 5}};
    return took(cred_file_parse(STR("access_key = AK\nsecret_key = \"SK\"\n"), why)) &&
           took(cred_file_parse(STR("{\"access_key\": \"AK\", \"secret_key\": \"SK\"}"), why)) &&
           took(cred_sts_parse("sts", 200,
                               STR("{\"Result\":{\"Credentials\":{\"AccessKeyId\":\"AK\","
                                   "\"SecretAccessKey\":\"SK\",\"SessionToken\":\"T\","
                                   "\"ExpiredTime\":\"2030-01-01T00:00:00Z\"}}}"),
                               secrets, why));
}

static bool run_cred_read(struct err_detail *why)
{
    struct cred_watch w = {0};
    struct cred_mark now[CRED_WATCH_MAX];
    struct buf b;
    buf_init(&b, 4096);
    bool ok = cred_read_file(key_path, CRED_READ_STRICT, &w, &b, why);
    if (ok)
        note(buf_str(&b));
    (void)cred_watch_changed(&w, now);
    buf_wipe(&b);
    cred_watch_free(&w);
    return ok;
}

static bool run_store(struct err_detail *why)
{
    struct cred_view *v = NULL;
    struct cred *c;
    struct cred_store *s = cred_store_new(conf);
    bool ok = s && cred_store_start(s, NULL, NULL) && (v = cred_view_new(s));
    if (!ok)
        (void)err_set(why, ERR_INTERNAL, "no store");
    if (ok) {
        (void)cred_view_sync(v, NULL);
        enum cred_state state = cred_view_get(v, 0, 1800000000, &c, why);
        ok = state == CRED_OK;
        if (ok)
            note(str_of(c->access_key));
        else if (state == CRED_PENDING)
            (void)err_set(why, ERR_INTERNAL, "pending");
    }
    cred_view_free(v);
    cred_store_free(s);
    return ok;
}

static bool run_sign(struct err_detail *why)
{
    static const struct hdr fields[] = {{STR("Content-Type"), STR("text/plain")},
                                        {STR("X-Custom"), STR("one")}};
    struct hdr store[8] = {fields[0], fields[1]};
    struct hdrs h = {store, 2, ARRAY_LEN(store)};
    struct sign_cred cred = {STR("AK"), STR("SK"), STR(""), 7};
    struct sign_input in = {.method = STR("POST"),
                            .path = STR("/a"),
                            .query = STR("Action=A&b="),
                            .host = STR("ecs.example.com"),
                            .hdrs = &h,
                            .body_sha256 = str_of(digest_empty_hex),
                            .service = STR("ecs"),
                            .region = STR("cn-beijing"),
                            .time_s = 1604400027,
                            .cred = &cred};
    struct sign_output out;
    struct verify_output seen;
    char authorization[SIGN_AUTH_MAX];
    struct signer *s = signer_new();
    enum err e = s ? sign_request(s, &in, &out) : ERR_INTERNAL;
    if (e == ERR_OK) {
        note(out.authorization);
        memcpy(authorization, out.authorization.p, out.authorization.n);
        struct str a = str_n(authorization, out.authorization.n);
        bool added = hdrs_add(&h, STR("Host"), in.host) &&
                     hdrs_add(&h, STR("X-Date"), str_of(out.x_date)) &&
                     hdrs_add(&h, STR("X-Content-Sha256"), in.body_sha256) &&
                     hdrs_add(&h, STR("Authorization"), a);
        struct verify_input vin = {.method = in.method,
                                   .path = in.path,
                                   .query = in.query,
                                   .hdrs = &h,
                                   .body_sha256 = in.body_sha256,
                                   .time_s = in.time_s};
        enum verify_result v = verify_request(s, &vin, &cred, &seen);
        e = added && v == VERIFY_OK ? ERR_OK : ERR_INTERNAL;
        if (e)
            (void)err_set(why, e, "%s", seen.why ? seen.why : "not verified");
    } else {
        (void)err_set(why, e, "%s", err_code(e));
    }
    signer_free(s);
    return e == ERR_OK;
}

static bool run_uri(struct err_detail *why)
{
    struct arena a;
    struct uri_query q;
    struct str path, query = {NULL, 0};
    arena_init(&a, 64, 65536);
    bool ok = uri_path(STR("/a b/%e2%82%AC/../c"), &a, &path, why) == ERR_OK &&
              uri_query_parse(STR("z=1&a=%41+b&&c&a=0&y=%7e"), &a, &q, why) == ERR_OK;
    if (ok && !(query = uri_query_write(&q, &a)).p) {
        (void)err_set(why, ERR_OVERLOADED, "arena");
        ok = false;
    }
    if (ok) {
        note(path);
        note(query);
    }
    arena_free(&a);
    return ok;
}

static bool run_resp(struct err_detail *why)
{
    static const char text[] =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
    static struct resp r;
    struct str in = str_n(text, sizeof text - 1), data;
    enum resp_event ev;
    resp_init(&r);
    resp_reset(&r, false);
    while ((ev = resp_feed(&r, &in, &data)) == RESP_HEAD || ev == RESP_DATA)
        note(ev == RESP_DATA ? data : r.hdrs.v[0].value);
    if (ev != RESP_END)
        (void)err_set(why, ERR_PROTOCOL, "%s", r.why);
    resp_free(&r);
    return ev == RESP_END;
}

static bool run_spool(struct err_detail *why)
{
    static char piece[3000], back[9000];
    struct spool s;
    enum err e = ERR_OK;
    memset(piece, 's', sizeof piece);
    spool_init(&s, 4096, 1 << 20);
    for (int i = 0; i < 3 && !e; i++)
        e = spool_write(&s, piece, sizeof piece);
    struct str v = e ? str_n(NULL, 0) : spool_read(&s, 100, back, sizeof back - 100);
    if (v.p)
        note(v);
    else
        (void)err_set(why, e ? e : ERR_INTERNAL, "%s", e ? err_code(e) : "not read");
    spool_free(&s);
    return v.p != NULL;
}

static bool run_status(struct err_detail *why)
{
    static const struct cred_status cred = {.profile = "default", .provider = "env"};
    struct stat *stat = stat_new();
    if (!stat) {
        (void)err_set(why, ERR_INTERNAL, "no counters");
        return false;
    }
    stat_count(stat, STATF_REQUESTS, STR("ecs"), STR("cn-beijing"), STR("200"));
    const struct stat *stats[] = {stat};
    struct status_input in = {.conf = conf, .ready = true, .reason = "", .reload_why = ""};
    in.m = (struct metrics_input){.stats = stats,
                                  .nstats = 1,
                                  .creds = &cred,
                                  .ncreds = 1,
                                  .version = "1",
                                  .reload_ok = true};
    void (*const writers[])(const struct status_input *, struct buf *) = {status_write,
                                                                          status_page};
    bool ok = true;
    for (size_t i = 0; i <= ARRAY_LEN(writers); i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        if (i < ARRAY_LEN(writers))
            writers[i](&in, &b);
        else
            metrics_write(&in.m, &b);
        ok = ok && !b.failed;
        buf_free(&b);
    }
    if (!ok)
        (void)err_set(why, ERR_INTERNAL, "no memory for a page");
    stat_free(stat);
    return ok;
}

static bool run_log(struct err_detail *why)
{
    struct log_options o = {.level = LOG_INFO, .format = LOG_JSON, .file = log_path};
    struct log_field f = {.name = "n", .number = 1, .is_number = true};
    bool ok = log_open(&o);
    if (!ok)
        (void)err_set(why, ERR_INTERNAL, "not opened");
    log_gather(true);
    for (int i = 0; i < 3; i++)
        log_fields(LOG_INFO, "a line", &f, 1);
    log_gather(false);
    log_msg(LOG_WARN, "another");
    log_reopen();
    return ok;
}

/* ---- the request engine: a body that is spooled, a retry, an answer in parts ---- */

static bool drive(struct proxy *px, struct loop *l, struct err_detail *why)
{
    static const char *const heads[] = {
        "POST /?Action=Do&Version=2020-01-01 HTTP/1.1\nHost: 127.0.0.1:8750\nContent-Length: 9000\n"
        "Content-Type: application/json\n",
        "GET /iam?Action=Rated&Version=2020-01-01 HTTP/1.1\nHost: 127.0.0.1:8750\n",
        "GET /?Action=Do&Version=2020-01-01 HTTP/1.1\nHost: 127.0.0.1:8750\n"
        "X-Sigferry-Dry-Run: true\n",
    };
    static char body[9000], to[4096];
    static struct front_req fr;
    struct proxy_door door = {.address = conf->listen[0].address, .port = 8750};
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(heads) && ok; i++) {
        memset(&fr, 0, sizeof fr);
        fake_up = (struct fake_up){.start_result = ERR_OK};
        fake_front_open(&fr, &proxy_front_ops, px, &door, heads[i]);
        if (i == 0)
            (void)fake_front_body(&fr, body, sizeof body);
        fake_front_end(&fr);
        proxy_settle(px);
        if (i == 0 && fake_up.last) {
            (void)fake_up_send(fake_up.last);
            fake_up_feed(fake_up.last, STR("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
            proxy_settle(px);
            fake_clock_advance(5 * NS_PER_SEC);
            timers_run(&l->timers, clock_ns());
            proxy_settle(px);
        }
        if (fake_up.last)
            fake_up_feed(fake_up.last, STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                           "5\r\nhello\r\n0\r\n\r\n"));
        proxy_settle(px);
        ok = fake_front_reply(&fr) && fr.reply.status == (i == 1 ? 403 : 200);
        if (!ok)
            (void)err_set(why, ERR_INTERNAL, "%u",
                          fr.answered  ? fr.reply.status
                          : fr.refused ? 1u
                                       : 2u);
        else
            note_u(fr.reply.status);
        /* An answer that began must not end as if it were whole. */
        for (long n; ok && i == 0 && (n = fake_front_pull(&fr, to, sizeof to)) != FRONT_PULL_END;) {
            if (n <= 0) {
                ok = false;
                (void)err_set(why, ERR_RESET, "cut");
                break;
            }
            note(str_n(to, (size_t)n));
            proxy_settle(px);
        }
        fake_front_gone(&fr, ok);
        proxy_settle(px);
        proxy_recycle(px);
    }
    if (proxy_inflight(px) || proxy_buffered(px) || l->timers.n)
        abort();
    return ok;
}

static bool run_engine(struct err_detail *why)
{
    struct loop l;
    struct proxy_shared shared = {0};
    struct proxy *px = NULL;
    bool ok = loop_init(&l);
    if (!ok) {
        (void)err_set(why, ERR_INTERNAL, "no loop");
        return false;
    }
    struct proxy_rules *rules = proxy_rules_new(conf);
    struct cred_store *creds = cred_store_new(conf);
    struct stat *stat = stat_new();
    ok = rules && creds && stat && cred_store_start(creds, NULL, NULL);
    if (ok) {
        struct proxy_options po = {
            .loop = &l, .stat = stat, .creds = creds, .shared = &shared, .nworkers = 1};
        px = proxy_new(&po, rules);
    }
    if (px) {
        proxy_credentials(px);
        px->rnd = 1;
        ok = drive(px, &l, why);
    } else {
        ok = false;
        (void)err_set(why, ERR_INTERNAL, "not made");
    }
    proxy_free(px);
    proxy_rules_unref(rules);
    cred_store_free(creds);
    stat_free(stat);
    loop_free(&l);
    return ok;
}

static const struct run runs[] = {
    {"conf", run_conf, true},           {"cred_parse", run_cred_parse, false},
    {"cred_read", run_cred_read, true}, {"cred_store", run_store, false},
    {"sign", run_sign, false},          {"uri", run_uri, false},
    {"resp", run_resp, false},          {"spool", run_spool, true},
    {"status", run_status, true},       {"log", run_log, true},
    {"engine", run_engine, true},
};

/* ---- failing each call ---- */

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    ck_assert_int_eq(closedir(d), 0);
    return n;
}

static bool once(const struct run *r, enum fail_kind kind, long at, struct err_detail *why)
{
    result.n = 0;
    why->text[0] = '\0';
    fail_nth_page[FAIL_AT] = at;
    fail_nth_page[FAIL_CALLS] = fail_nth_page[FAIL_DONE] = 0;
    fail_nth_page[FAIL_KIND] = kind;
    bool ok = r->run(why);
    fail_nth_page[FAIL_KIND] = FAIL_NONE;
    ERR_clear_error(); /* OpenSSL's last sixteen hold memory */
    return ok;
}

static long torture(const struct run *r, enum fail_kind kind)
{
    static char right[sizeof result.text];
    struct err_detail why;
    long at = 0;
    for (int i = 0; i < 3; i++) /* what libraries make only once */
        ck_assert_msg(once(r, FAIL_NONE, 0, &why), "%s: %s", r->name, why.text);
    const size_t n = result.n;
    memcpy(right, result.text, n);
    const unsigned fds = descriptors();
    for (bool failed = true; failed;) {
        long before = 0, grown = 0;
        at++;
        /* A block that is kept on is lost only if each failure keeps another. */
        for (int turn = 0; turn < 3 && (turn < 2 || grown > 0); turn++) {
            before = fail_nth_page[FAIL_BLOCKS];
            bool ok = once(r, kind, at, &why);
            failed = fail_nth_page[FAIL_DONE] > 0;
            ck_assert_msg(ok || failed, "%s: call %ld: %s", r->name, at, why.text);
            size_t same = 0;
            while (same < n && same < result.n && result.text[same] == right[same])
                same++;
            ck_assert_msg(!ok || (same == n && result.n == n),
                          "%s: call %ld: another result: %.60s, not %.60s", r->name, at,
                          result.text + same, right + same);
            ck_assert_msg(ok || why.text[0], "%s: call %ld: failed without a word", r->name, at);
            ck_assert_msg(once(r, FAIL_NONE, 0, &why), "%s: after call %ld: %s", r->name, at,
                          why.text);
            grown = fail_nth_page[FAIL_BLOCKS] - before;
        }
        ck_assert_msg(grown <= 0, "%s: call %ld: %ld blocks lost each time", r->name, at, grown);
        ck_assert_msg(descriptors() == fds, "%s: call %ld: a descriptor lost", r->name, at);
    }
    return at - 1;
}

START_TEST(every_allocation_fails_once)
{
    long n = torture(&runs[_i], FAIL_ALLOC);
    fprintf(stderr, "%s: %ld allocations\n", runs[_i].name, n);
    ck_assert_int_gt(n, 0);
}
END_TEST

START_TEST(every_file_operation_fails_once)
{
    long n = torture(&runs[_i], FAIL_FILE);
    fprintf(stderr, "%s: %ld file operations\n", runs[_i].name, n);
    ck_assert(n > 0 || !runs[_i].files);
}
END_TEST

static void setup(void)
{
    struct err_detail why = {""};
    struct log_options quiet = {.level = LOG_ERROR, .file = "/dev/null"};
    (void)clearenv();
    (void)mallopt(M_PERTURB, 0xA5); /* what is freed can't be used without notice */
    memcpy(dir, "/tmp/sigferry-torture-XXXXXX", sizeof "/tmp/sigferry-torture-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    write_file(conf_path, "conf", conf_text);
    write_file(key_path, "key", "access_key = AK\nsecret_key = SK\n");
    ck_assert(log_open(&quiet));
    conf = load(conf_path, &why);
    ck_assert_msg(conf != NULL, "%s", why.text);
}

static void teardown(void)
{
    conf_unref(conf);
    (void)unlink(conf_path);
    (void)unlink(key_path);
    (void)unlink(log_path);
    ck_assert_int_eq(rmdir(dir), 0);
}

int main(void)
{
#ifdef FAIL_NTH_OFF
    return 77; /* skipped */
#endif
    Suite *s = suite_create("torture");
    TCase *t = tcase_create("torture");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, every_allocation_fails_once, 0, ARRAY_LEN(runs));
    tcase_add_loop_test(t, every_file_operation_fails_once, 0, ARRAY_LEN(runs));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
