/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/admin.h driven through its front_ops, with a front of our own: paths, methods, who may ask
 * for what, what answers look like. */
#include "daemon/admin.h"

#include "base/clock.h"
#include <check.h>
#include <jansson.h>
#include <stdlib.h>

/* --- the front ----------------------------------------------------------------------------------
 */

static struct peer peer;
static struct proxy_door door;
static bool uid_known;
static uid_t uid;

const struct peer *front_peer(const struct front_req *fr)
{
    (void)fr;
    return &peer;
}

const void *front_listener(const struct front_req *fr)
{
    (void)fr;
    return &door;
}

bool front_tcp_uid(struct front_req *fr, uid_t *out)
{
    (void)fr;
    *out = uid;
    return uid_known;
}

/* --- the daemon ---------------------------------------------------------------------------------
 */

static bool healthy, usable;
static unsigned quits;
static bool too_large;

static bool health(void *arg, struct buf *reason)
{
    ck_assert_ptr_eq(arg, &quits);
    if (!healthy)
        buf_putz(reason, "worker 1 \"stands\"\n");
    return healthy;
}

static bool ready(void *arg, struct buf *reason)
{
    (void)arg;
    if (!usable)
        buf_putz(reason, "no credential");
    return usable;
}

static void put_metrics(void *arg, struct buf *out)
{
    (void)arg;
    buf_putz(out, "# the metrics\n");
}

static void put_status(void *arg, struct buf *out)
{
    (void)arg;
    buf_putz(out, "{}");
    out->failed = out->failed || too_large;
}

static void put_page(void *arg, struct buf *out)
{
    (void)arg;
    buf_putz(out, "<!doctype html>");
}

static void quit(void *arg)
{
    (void)arg;
    quits++;
}

static struct conf *c;
static struct admin *admin;

static void setup(void)
{
    static const struct admin_source source = {&quits,     health,   ready, put_metrics,
                                               put_status, put_page, quit};
    healthy = usable = true;
    quits = 0;
    too_large = uid_known = false;
    peer = (struct peer){.family = LISTEN_TCP, .addr = "127.0.0.1:1"};
    door = (struct proxy_door){.address = "localhost:8751", .port = 8751};
    c = calloc(1, sizeof *c);
    atomic_store(&c->refs, 1000); /* ours alone: never freed by conf_unref */
    admin = admin_new(&source, c);
    ck_assert_ptr_nonnull(admin);
}

static void teardown(void)
{
    admin_free(admin);
    ck_assert_uint_eq(atomic_load(&c->refs), 1000);
    free(c);
}

/* --- one request --------------------------------------------------------------------------------
 */

static unsigned status;
static char body[4096];
static char fields[2048]; /* "name: value\n"… */
static bool no_body;
static int64_t length;
static bool refused;

/* fields_in: "Name: value\n"… besides Host. */
static unsigned ask_host(const char *method, const char *target, const char *host,
                         const char *fields_in)
{
    struct hdr store[32];
    struct gate_head h = {.method = str_of(method),
                          .target = str_of(target),
                          .version = STR("HTTP/1.1"),
                          .hdrs = {store, 0, 32}};
    struct gate_verdict v = {0};
    struct err_detail why = {""};
    struct str rest = str_of(fields_in);
    void *user = NULL;
    struct front_reply r = {0};
    ck_assert(hdrs_add(&h.hdrs, STR("Host"), str_of(host)));
    while (rest.n) {
        struct str line = str_cut(&rest, '\n'), name = str_cut(&line, ':');
        ck_assert(hdrs_add(&h.hdrs, name, str_trim(line)));
    }
    enum err gate = gate_check(&h, 1 << 20, &v, &why);
    enum front_next next =
        admin_front_ops.open(admin, (struct front_req *)&peer, &h, &v, gate, &why, &user);
    ck_assert_ptr_nonnull(user);
    refused = next == FRONT_REFUSE;
    if (!refused) {
        ck_assert(!admin_front_ops.reply(user, &r)); /* not before the request is complete */
        ck_assert_uint_eq(admin_front_ops.body(user, "xyz", 3), 3);
        admin_front_ops.body_end(user);
    }
    ck_assert(admin_front_ops.reply(user, &r));
    ck_assert(!r.stream);
    status = r.status;
    no_body = r.no_body;
    length = r.length;
    snprintf(body, sizeof body, "%.*s", STR_ARG(r.body));
    size_t n = 0;
    fields[0] = '\0';
    for (size_t i = 0; i < r.nhdrs; i++)
        n += (size_t)snprintf(fields + n, sizeof fields - n, "%.*s: %.*s\n",
                              STR_ARG(r.hdrs[i].name), STR_ARG(r.hdrs[i].value));
    ck_assert_uint_eq(quits, 0); /* not before the answer is out */
    admin_front_ops.gone(user, FRONT_SAID, "");
    return status;
}

static unsigned ask(const char *method, const char *target, const char *fields_in)
{
    return ask_host(method, target, "localhost:8751", fields_in);
}

static bool has_field(const char *line)
{
    return strstr(fields, line) != NULL;
}

/* The error code in the body; checks the shape that SDKs parse and the field beside it. */
static const char *error_code(void)
{
    static char code[64];
    json_t *j = json_loads(body, 0, NULL), *e = NULL;
    ck_assert_msg(j != NULL, "not JSON: %s", body);
    json_t *m = json_object_get(j, "ResponseMetadata");
    ck_assert_uint_eq(json_string_length(json_object_get(m, "RequestId")), 32);
    e = json_object_get(m, "Error");
    const char *text = json_string_value(json_object_get(e, "Code"));
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(strncmp(text, "Sigferry.", 9), 0);
    snprintf(code, sizeof code, "%s", text + 9);
    ck_assert_uint_gt(json_string_length(json_object_get(e, "Message")), 0);
    char line[96];
    snprintf(line, sizeof line, "X-Sigferry-Error: %s\n", code);
    ck_assert_msg(has_field(line), "%s", fields);
    ck_assert(has_field("Content-Type: application/json\n"));
    json_decref(j);
    return code;
}

/* --- the tests ----------------------------------------------------------------------------------
 */

START_TEST(health_and_readiness)
{
    static const char *const paths[] = {"/healthz", "/livez"};
    for (size_t i = 0; i < 2; i++) {
        healthy = true;
        ck_assert_uint_eq(ask("GET", paths[i], ""), 200);
        ck_assert_str_eq(body, "{\"alive\":true}\n");
        ck_assert(has_field("Cache-Control: no-store\n"));
        healthy = false;
        ck_assert_uint_eq(ask("GET", paths[i], ""), 503);
        ck_assert_str_eq(body, "{\"alive\":false,\"reason\":\"worker 1 \\\"stands\\\" \"}\n");
        ck_assert(has_field("Retry-After: "));
    }
    ck_assert_uint_eq(ask("GET", "/readyz", ""), 200);
    ck_assert_str_eq(body, "{\"ready\":true}\n");
    usable = false;
    ck_assert_uint_eq(ask("GET", "/readyz?verbose", ""), 503);
    ck_assert_str_eq(body, "{\"ready\":false,\"reason\":\"no credential\"}\n");
    ck_assert(has_field("Retry-After: "));
}
END_TEST

START_TEST(pages)
{
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 200);
    ck_assert_str_eq(body, "# the metrics\n");
    ck_assert(has_field("Content-Type: text/plain; version=0.0.4; charset=utf-8\n"));
    ck_assert_uint_eq(ask("GET", "/status", ""), 200);
    ck_assert(has_field("Content-Type: application/json\n"));
    ck_assert_uint_eq(ask("GET", "/", ""), 200);
    ck_assert(has_field("Content-Type: text/html; charset=utf-8\n"));
    ck_assert(has_field("Content-Security-Policy: default-src 'none'; "));
    ck_assert(has_field("Cache-Control: no-store\n"));
    ck_assert(has_field("X-Content-Type-Options: nosniff\n"));
    ck_assert_uint_eq(ask("HEAD", "/metrics", ""), 200);
    ck_assert(no_body);
    ck_assert_int_eq(length, 14);
}
END_TEST

START_TEST(unknown_paths_and_methods)
{
    static const char *const unknown[] = {"/x", "/metrics/", "//", "/Metrics", "/%6detrics"};
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        ck_assert_uint_eq(ask("GET", unknown[i], ""), 404);
        ck_assert_str_eq(error_code(), "NotFound");
    }
    static const char *const post[] = {"/", "/healthz", "/metrics", "/readyz", "/status"};
    for (size_t i = 0; i < ARRAY_LEN(post); i++) {
        ck_assert_uint_eq(ask("POST", post[i], "Content-Length: 3\n"), 405);
        ck_assert_str_eq(error_code(), "MethodNotAllowed");
        ck_assert(has_field("Allow: GET, HEAD\n"));
    }
    ck_assert_uint_eq(ask("GET", "/quitquitquit", ""), 405);
    ck_assert(has_field("Allow: POST\n"));
    ck_assert_uint_eq(ask("TRACE", "/", ""), 405);
    ck_assert(has_field("Allow: GET, HEAD, POST\n"));
    ck_assert_uint_eq(ask("GET", "no-slash", ""), 400);
    ck_assert(refused);
}
END_TEST

START_TEST(quitting_needs_leave)
{
    ck_assert_uint_eq(ask("POST", "/quitquitquit", "Content-Length: 0\n"), 403);
    ck_assert_str_eq(error_code(), "ActionNotAllowed");
    ck_assert_uint_eq(quits, 0);
    c->admin.allow_quit = true;
    ck_assert_uint_eq(ask("GET", "/quitquitquit", ""), 405);
    ck_assert_uint_eq(quits, 0);
    ck_assert_uint_eq(ask("POST", "/quitquitquit", "Content-Length: 0\nOrigin: null\n"), 403);
    ck_assert_uint_eq(quits, 0);
    ck_assert_uint_eq(ask("POST", "/quitquitquit", "Content-Length: 0\n"), 200);
    ck_assert_uint_eq(quits, 1);
}
END_TEST

START_TEST(hosts)
{
    static const struct {
        const char *host;
        bool good;
    } t[] = {
        {"localhost:8751", true},    {"LOCALHOST:8751", true},    {"127.0.0.1:8751", true},
        {"[::1]:8751", true},        {"localhost", true},         {"evil.test:8751", false},
        {"localhost:8750", false},   {"localhost:80", false},     {"localhost.:8751", false},
        {"127.0.0.1.nip.io", false}, {"0.0.0.0:8751", false},     {"127.0.0.2:8751", false},
        {"[::]:8751", false},        {"x.localhost:8751", false}, {"admin.test:8751", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        unsigned got = ask_host("GET", "/metrics", t[i].host, "");
        ck_assert_msg(got == (t[i].good ? 200 : 403), "%s: %u", t[i].host, got);
        if (!t[i].good)
            ck_assert_str_eq(error_code(), "HostNotAllowed");
        /* Probes come with any name. */
        ck_assert_uint_eq(ask_host("GET", "/healthz", t[i].host, ""), 200);
        ck_assert_uint_eq(ask_host("GET", "/livez", t[i].host, ""), 200);
        ck_assert_uint_eq(ask_host("GET", "/readyz", t[i].host, ""), 200);
    }
    /* What is not there is not told to strangers either. */
    ck_assert_uint_eq(ask_host("GET", "/x", "evil.test", ""), 403);
    /* An absolute-form target names the host as well. */
    ck_assert_uint_eq(ask_host("GET", "http://evil.test/metrics", "evil.test", ""), 403);
    ck_assert_uint_ne(ask("GET", "http://evil.test/metrics", ""), 200);
    door.address = "127.0.0.2:8751";
    ck_assert_uint_eq(ask_host("GET", "/metrics", "127.0.0.2:8751", ""), 200);
    door.address = "0.0.0.0:8751";
    ck_assert_uint_eq(ask_host("GET", "/metrics", "0.0.0.0:8751", ""), 403);
    door = (struct proxy_door){.address = "unix:/run/x", .is_unix = true};
    ck_assert_uint_eq(ask_host("GET", "/metrics", "whatever", ""), 200);
}
END_TEST

START_TEST(allowed_hosts)
{
    static const char *list[] = {"admin.test", "*.lan:9000", "any.test:*"};
    c->security.allowed_hosts.v = list;
    c->security.allowed_hosts.n = 3;
    ck_assert_uint_eq(ask_host("GET", "/metrics", "admin.test:8751", ""), 200);
    ck_assert_uint_eq(ask_host("GET", "/metrics", "admin.test", ""), 200);
    ck_assert_uint_eq(ask_host("GET", "/metrics", "admin.test:1", ""), 403);
    ck_assert_uint_eq(ask_host("GET", "/metrics", "a.lan:9000", ""), 200);
    ck_assert_uint_eq(ask_host("GET", "/metrics", "a.lan:8751", ""), 403);
    ck_assert_uint_eq(ask_host("GET", "/metrics", "any.test:7", ""), 200);
}
END_TEST

START_TEST(web_pages)
{
    static const struct {
        const char *fields;
        bool get;
    } t[] = {
        {"Sec-Fetch-Site: none\n", true},
        {"Sec-Fetch-Site: same-origin\nReferer: http://localhost:8751/\n", true},
        {"Sec-Fetch-Mode: cors\n", true}, /* Node says that and nothing else */
        {"Sec-Fetch-Site: cross-site\n", false},
        {"Sec-Fetch-Site: same-site\n", false},
        {"Sec-Fetch-Site: none\nSec-Fetch-Site: cross-site\n", false},
        {"Origin: http://evil.test\n", false},
        {"Origin: null\n", false},
        {"Origin: http://evil.test\nSec-Fetch-Site: none\n", false},
        {"Referer: http://evil.test/\n", false},
        {"Referer: http://evil.test/\nSec-Fetch-Site: cross-site\n", false},
    };
    c->admin.allow_quit = true;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        quits = 0;
        unsigned got = ask("GET", "/status", t[i].fields);
        ck_assert_msg(got == (t[i].get ? 200 : 403), "%s: %u", t[i].fields, got);
        if (!t[i].get)
            ck_assert_str_eq(error_code(), "OriginNotAllowed");
        if (strcmp(t[i].fields, "Sec-Fetch-Mode: cors\n") == 0)
            continue;
        char with[256];
        snprintf(with, sizeof with, "Content-Length: 0\n%s", t[i].fields);
        ck_assert_uint_eq(ask("POST", "/quitquitquit", with), 403); /* no page ever quits us */
        ck_assert_uint_eq(quits, 0);
    }
    static const char *list[] = {"http://grafana.test"};
    c->security.allowed_origins.v = list;
    c->security.allowed_origins.n = 1;
    ck_assert_uint_eq(
        ask("GET", "/metrics", "Origin: http://grafana.test\nSec-Fetch-Site: cross-site\n"), 200);
    ck_assert_uint_eq(ask("GET", "/metrics", "Origin: http://grafana.test.evil\n"), 403);
}
END_TEST

START_TEST(tokens)
{
    struct secret *token[] = {secret_new(STR("0123456789abcdef"))};
    c->security.client_tokens = token;
    c->security.nclient_tokens = 1;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 403);
    ck_assert_str_eq(error_code(), "ClientNotAllowed");
    ck_assert_uint_eq(ask("GET", "/x", ""), 403);
    ck_assert_uint_eq(ask("GET", "/metrics", "Authorization: Bearer wrong\n"), 403);
    ck_assert_uint_eq(ask("GET", "/metrics", "Authorization: Bearer 0123456789abcdef\n"), 200);
    ck_assert_uint_eq(ask("GET", "/metrics", "X-Sigferry-Token: 0123456789abcdef\n"), 200);
    ck_assert_uint_eq(ask("GET", "/healthz", ""), 200);
    ck_assert_uint_eq(ask("GET", "/readyz", ""), 200);
    secret_unref(token[0]);
}
END_TEST

START_TEST(uids)
{
    int64_t allowed[] = {1234};
    c->security.allowed_uids.v = allowed;
    c->security.allowed_uids.n = 1;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 403);
    uid = 1234;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 403); /* not known is not allowed */
    uid_known = true;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 200);
    uid = 1235;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 403);
    door.is_unix = true;
    peer = (struct peer){.family = LISTEN_UNIX, .has_cred = true, .uid = 1234};
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 200);
    peer.uid = 0;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 403);
}
END_TEST

START_TEST(local_keys)
{
    struct conf_client client = {
        .name = "app", .access_key = "local-app", .profile = "", .policy = ""};
    client.secret_key = secret_new(STR("local-secret"));
    c->clients = &client;
    c->nclients = 1;
    ck_assert_uint_eq(ask("GET", "/metrics", ""), 403);
    struct signer *s = signer_new();
    struct sign_cred cred = {.access_key = STR("local-app"), .secret_key = STR("local-secret")};
    struct hdrs none = {NULL, 0, 0};
    clock_tick();
    struct sign_input in = {.method = STR("GET"),
                            .path = STR("/metrics"),
                            .host = STR("localhost:8751"),
                            .hdrs = &none,
                            .body_sha256 = str_of(digest_empty_hex),
                            .service = STR("admin"),
                            .region = STR("local"),
                            .time_s = clock_wall_s(),
                            .cred = &cred};
    struct sign_output out;
    ck_assert_int_eq(sign_request(s, &in, &out), ERR_OK);
    char with[1024];
    snprintf(with, sizeof with, "X-Date: %s\nX-Content-Sha256: %s\nAuthorization: %.*s\n",
             out.x_date, digest_empty_hex, STR_ARG(out.authorization));
    ck_assert_uint_eq(ask("GET", "/metrics", with), 200);
    ck_assert_uint_eq(ask("GET", "/status", with), 403); /* signed for another path */
    ck_assert_str_eq(error_code(), "ClientNotAllowed");
    signer_free(s);
    secret_unref(client.secret_key);
}
END_TEST

START_TEST(an_answer_that_fails_is_an_error)
{
    too_large = true;
    ck_assert_uint_eq(ask("GET", "/status", ""), 503);
    ck_assert_str_eq(error_code(), "Overloaded");
}
END_TEST

START_TEST(a_new_configuration_holds_from_then_on)
{
    struct conf *other = calloc(1, sizeof *other);
    atomic_store(&other->refs, 1000);
    other->admin.allow_quit = true;
    admin_configure(admin, other);
    ck_assert_uint_eq(ask("POST", "/quitquitquit", "Content-Length: 0\n"), 200);
    admin_configure(admin, c);
    ck_assert_uint_eq(atomic_load(&other->refs), 1000);
    free(other);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin");
    TCase *t = tcase_create("admin");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, health_and_readiness);
    tcase_add_test(t, pages);
    tcase_add_test(t, unknown_paths_and_methods);
    tcase_add_test(t, quitting_needs_leave);
    tcase_add_test(t, hosts);
    tcase_add_test(t, allowed_hosts);
    tcase_add_test(t, web_pages);
    tcase_add_test(t, tokens);
    tcase_add_test(t, uids);
    tcase_add_test(t, local_keys);
    tcase_add_test(t, an_answer_that_fails_is_an_error);
    tcase_add_test(t, a_new_configuration_holds_from_then_on);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
