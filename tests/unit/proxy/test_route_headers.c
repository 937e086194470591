/* SPDX-License-Identifier: Apache-2.0 */
/* Routing: X-Sigferry-* options and which headers are forwarded. */
#include "route_fixture.h"

static const struct row invalid_options_rows[] = {
    {BASE, LINE LOOP ECS "X-Sigferry-Regoin: x\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "did you mean X-Sigferry-Region?"},
    {BASE, LINE LOOP ECS "X-Sigferry-Zzzzzzz: x\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "X-Sigferry-Zzzzzzz"},
    {BASE, LINE LOOP ECS "X-Sigferry: x\n", ERR_INVALID_OPTION, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-: x\n", ERR_INVALID_OPTION, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "x-sigferry-service: ecs\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "more than once"},
    {BASE, LINE LOOP ECS "X-Sigferry-Connect-Timeout: soon\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "Connect-Timeout: 'soon'"},
    {BASE, LINE LOOP ECS "X-Sigferry-Connect-Timeout: 0\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Read-Timeout: -1\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Read-Timeout: 1.\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Read-Timeout: .5\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Read-Timeout: 1e3\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Read-Timeout: 99999999999999999999\n", ERR_INVALID_OPTION,
     NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Num-Max-Retries: 1.5\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Min-Retry-Delay-Ms: x\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Auto-Retry: maybe\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "true or false"},
    {BASE, LINE LOOP ECS "X-Sigferry-Dry-Run:\n", ERR_INVALID_OPTION, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Backoff-Strategy: linear\n", ERR_INVALID_OPTION, NULL, NULL,
     NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Backoff-Strategy: custom\n", ERR_INVALID_OPTION, NULL, NULL,
     NULL, "backoff_delays_ms"},
    {BASE, LINE LOOP ECS "X-Sigferry-Retry-Error-Codes: a b\n", ERR_INVALID_OPTION, NULL, NULL,
     NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Scheme: ftp\n", ERR_INVALID_OPTION, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Scheme: http\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "allow_http"},
    {BASE, LINE LOOP ECS "X-Sigferry-Profile: nosuch\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "nosuch"},
    {BASE, LINE LOOP ECS "X-Sigferry-Presign: true\n", ERR_PRESIGN_NOT_ALLOWED, NULL, NULL, NULL,
     "allow_presign"},
    {BASE, LINE LOOP ECS "X-Sigferry-Presign: false\n", ERR_OK, NULL, NULL, NULL, NULL},
};

START_TEST(invalid_options)
{
    RUN(invalid_options_rows, false);
}
END_TEST

START_TEST(options_take_effect)
{
    struct conf *c = fixture_conf(BASE "timeouts: { connect_timeout = 2.0; read_timeout = 3.0; };\n"
                                       "retry: { num_max_retries = 2; max_retry_delay_ms = 100; "
                                       "backoff_strategy = \"custom\"; backoff_delays_ms = [ 1 ]; "
                                       "retry_error_codes = [ \"Busy\" ]; };\n"
                                       "security: { allow_http = true; allow_presign = true; };\n");
    struct fixture f;
    fixture_init(&f, c);
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP ECS "Accept-Encoding: gzip\n"), ERR_OK);
    const struct route_options *o = &f.route.opt;
    ck_assert_uint_eq(o->connect_ns, 2000000000u);
    ck_assert_uint_eq(o->nretry_error_codes, 1);
    fixture_same(o->retry_error_codes[0], "Busy", "code", "default");
    ck_assert_ptr_null(hdrs_find(&f.route.forward, STR("Accept-Encoding")));
    fixture_same(f.route.scheme, "https", "scheme", "default");
    ck_assert_uint_eq(f.route.port, 443);

    ck_assert_int_eq(
        fixture_run(
            &f, c,
            LINE LOOP ECS
            "X-Sigferry-Connect-Timeout: 0.25\nX-Sigferry-Read-Timeout: 1000\n"
            "X-Sigferry-Request-Timeout: 7.000000001\nX-Sigferry-Auto-Retry: FALSE\n"
            "X-Sigferry-Num-Max-Retries: 50\nX-Sigferry-Min-Retry-Delay-Ms: 7\n"
            "X-Sigferry-Max-Retry-Delay-Ms: 9999\nX-Sigferry-Backoff-Strategy: Exponential\n"
            "X-Sigferry-Retry-Error-Codes: A, B.C,,\nX-Sigferry-Dry-Run: true\n"
            "X-Sigferry-Presign: 1\nX-Sigferry-Scheme: HTTP\nX-Sigferry-Token: t\n"
            "Accept-Encoding: gzip\n"),
        ERR_OK);
    ck_assert_uint_eq(o->connect_ns, 250000000u);
    ck_assert_uint_eq(o->read_ns, 30000000000u); /* ten times what is configured */
    ck_assert_uint_eq(o->request_ns, 7000000001u);
    ck_assert(!o->auto_retry && o->dry_run && o->presign);
    ck_assert_int_eq(o->num_max_retries, 20);
    ck_assert_int_eq(o->min_retry_delay_ms, 7);
    ck_assert_int_eq(o->max_retry_delay_ms, 1000);
    ck_assert_int_eq(o->backoff_strategy, BACKOFF_EXPONENTIAL);
    ck_assert_uint_eq(o->nretry_error_codes, 2);
    fixture_same(o->retry_error_codes[1], "B.C", "code", "header");
    fixture_same(f.route.scheme, "http", "scheme", "header");
    ck_assert_uint_eq(f.route.port, 80);
    ck_assert_uint_eq(f.route.forward.n, 0);

    ck_assert_int_eq(fixture_run(&f, c,
                                 LINE LOOP ECS "X-Sigferry-Retry-Error-Codes:\n"
                                               "Accept-Encoding: gzip\n"),
                     ERR_OK);
    ck_assert_uint_eq(f.route.opt.nretry_error_codes, 0);
    ck_assert_int_eq(o->backoff_strategy, BACKOFF_CUSTOM);
    ck_assert_ptr_nonnull(hdrs_find(&f.route.forward, STR("Accept-Encoding")));
    fixture_free(&f);
    conf_unref(c);
}
END_TEST

/* The forwarded fields as "name: value\n" lines. */
static void forwarded(const struct route *r, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < r->forward.n; i++)
        at += (size_t)snprintf(out + at, size - at, "%.*s: %.*s\n", STR_ARG(r->forward.v[i].name),
                               (int)r->forward.v[i].value.n,
                               r->forward.v[i].value.n ? r->forward.v[i].value.p : "");
}

START_TEST(forwarding)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"User-Agent: curl/1\nAccept: */*\n", "User-Agent: curl/1\nAccept: */*\n"},
        {"Connection: close\nKeep-Alive: 1\nProxy-Connection: x\nTE: trailers\nTrailer: x\n"
         "Upgrade: h2c\nProxy-Authenticate: x\nProxy-Authorization: x\nProxy-Foo: x\nExpect: "
         "100-continue\n",
         ""},
        {"Authorization: Basic x\nX-Date: 20200101T000000Z\nX-Security-Token: t\nx-security-token: "
         "t\n",
         ""},
        {"Via: 1.1 a\nForwarded: for=x\nX-Forwarded-For: x\nX-Forwarded-Proto: x\nX-Forwarded: x\n"
         "X-Real-IP: x\n",
         ""},
        {"X-Sigferry-Token: t\nX-Sigferry-Dual-Stack: true\n", ""},
        {"Connection: X-Hop, close\nX-Hop: 1\nX-Keep: 2\nx-hop: 3\n", "X-Keep: 2\n"},
        {"Connection: keep-alive\nX-Keep: 2\n", "X-Keep: 2\n"},
        {"Connection: Content-Type\nContent-Type: a/b\n", ""},
        {"X-A: 1\nAccept: a\nx-a:  2 \nAccept: b\nX-A: 3\n", "X-A: 1,2,3\nAccept: a\nAccept: b\n"},
        {"Content-Type: a/b\ncontent-type: c/d\nContent-MD5: x\n",
         "Content-Type: a/b,c/d\nContent-MD5: x\n"},
        {"X-Empty:\nX-Trim: \t v \t\n", "X-Empty: \nX-Trim: v\n"},
        {"X-Empty:\nX-Empty:\n", "X-Empty: ,\n"},
        {"Cookie: a=1\nCookie: b=2\nIf-Match: x\n", "Cookie: a=1\nCookie: b=2\nIf-Match: x\n"},
        {"X-Expect: 1\nX-Sigferryish: 1\nX-Forward: 1\nProxyish: 1\nHosting: 1\n",
         "X-Expect: 1\nX-Sigferryish: 1\nX-Forward: 1\nProxyish: 1\nHosting: 1\n"},
        {"Accept-Encoding: gzip\n", "Accept-Encoding: gzip\n"},
    };
    struct conf *c = fixture_conf(BASE);
    char text[1024], out[1024];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        fixture_init(&f, c);
        snprintf(text, sizeof(text), LINE LOOP ECS "Content-Length: 0\n%s", rows[i].in);
        ck_assert_msg(fixture_run(&f, c, text) == ERR_OK, "%s: %s", rows[i].in, f.why.text);
        forwarded(&f.route, out, sizeof(out));
        ck_assert_str_eq(out, rows[i].out);
        ck_assert_uint_ge(f.route.forward.cap, f.route.forward.n + ROUTE_SPARE_HEADERS);
        fixture_free(&f);
    }
    conf_unref(c);
}
END_TEST

START_TEST(client_hash)
{
    struct conf *c = fixture_conf(BASE);
    struct fixture f;
    fixture_init(&f, c);
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP ECS "X-Content-Sha256: " HASH "\n"), ERR_OK);
    fixture_same(f.route.client_sha256,
                 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "hash", "");
    ck_assert(!f.route.sdk_signed && !f.route.forward.n);
    ck_assert_int_eq(
        fixture_run(&f, c, LINE LOOP ECS "Authorization: Bearer x\nX-Content-Sha256: " HASH "\n"),
        ERR_OK);
    ck_assert_uint_eq(f.route.client_sha256.n, 64);
    ck_assert_int_eq(
        fixture_run(&f, c, LINE LOOP HMAC("AK", "cn-a", "ecs") "X-Content-Sha256: " HASH "\n"),
        ERR_OK);
    ck_assert(f.route.sdk_signed && f.route.client_sha256.n == 0 && !f.route.forward.n);
    ck_assert_int_eq(
        fixture_run(&f, c, LINE LOOP HMAC("AK", "cn-a", "ecs") "X-Content-Sha256: zz\n"), ERR_OK);
    static const char *const bad[] = {
        LINE LOOP ECS "X-Content-Sha256: abc\n",
        LINE LOOP ECS "X-Content-Sha256:\n",
        LINE LOOP ECS "X-Content-Sha256: " HASH "0\n",
        LINE LOOP ECS
        "X-Content-Sha256: g123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n",
        LINE LOOP ECS "X-Content-Sha256: " HASH "\nX-Content-Sha256: " HASH "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(fixture_run(&f, c, bad[i]), ERR_INVALID_REQUEST);
    fixture_free(&f);
    conf_unref(c);
}
END_TEST

START_TEST(default_content_type)
{
    static const char form[] = "application/x-www-form-urlencoded; charset=utf-8";
    static const struct {
        const char *method, *type;
        bool has_body;
        const char *want; /* NULL: none */
    } rows[] = {
        {"GET", NULL, false, NULL},   {"GET", NULL, true, form},    {"POST", NULL, false, form},
        {"POST", NULL, true, form},   {"HEAD", NULL, false, form},  {"DELETE", NULL, false, form},
        {"POST", "a/b", true, "a/b"}, {"GET", "a/b", false, "a/b"},
    };
    struct conf *c = fixture_conf(BASE);
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        fixture_init(&f, c);
        snprintf(text, sizeof(text), "%s / HTTP/1.1\n" LOOP ECS "%s%s%s", rows[i].method,
                 rows[i].type ? "Content-Type: " : "", rows[i].type ? rows[i].type : "",
                 rows[i].type ? "\n" : "");
        ck_assert_int_eq(fixture_run(&f, c, text), ERR_OK);
        ck_assert(route_default_content_type(&f.route, str_of(rows[i].method), rows[i].has_body));
        const struct hdr *h = hdrs_find(&f.route.forward, STR("Content-Type"));
        ck_assert_msg((h != NULL) == (rows[i].want != NULL), "%s", rows[i].method);
        if (h)
            fixture_same(h->value, rows[i].want, "type", rows[i].method);
        ck_assert_uint_le(hdrs_count(&f.route.forward, STR("Content-Type")), 1);
        f.route.forward.n = 0;
        f.route.forward.cap = 0;
        if (rows[i].want)
            ck_assert(!route_default_content_type(&f.route, str_of(rows[i].method), true));
        fixture_free(&f);
    }
    conf_unref(c);
}
END_TEST

START_TEST(limits)
{
    struct conf *c = fixture_conf(BASE);
    struct fixture f;
    fixture_init(&f, c);
    fixture_parse(&f, LINE LOOP ECS);
    ck_assert_int_eq(gate_check(&f.head, 1, &f.verdict, &f.why), ERR_OK);
    /* Every allocation fails in turn: an error, never a crash or a half-made route. */
    enum err e = ERR_INTERNAL;
    for (size_t most = 0; e != ERR_OK; most++) {
        struct arena a;
        arena_init(&a, 64, most);
        e = route_request(c, &f.listener, &f.head, &f.verdict, &a, &f.route, &f.why);
        ck_assert_msg(e == ERR_OK || e == ERR_OVERLOADED, "%zu: %s", most, err_code(e));
        arena_free(&a);
        ck_assert_uint_lt(most, 100000);
    }
    /* A hundred fields of one name are joined once. */
    f.head.hdrs.n = 2;
    while (f.head.hdrs.n < GATE_MAX_HEADERS)
        ck_assert(hdrs_add(&f.head.hdrs, STR("X-Many"), STR("v")));
    ck_assert_int_eq(route_request(c, &f.listener, &f.head, &f.verdict, &f.arena, &f.route, &f.why),
                     ERR_OK);
    ck_assert_uint_eq(f.route.forward.n, 1);
    ck_assert_uint_eq(f.route.forward.v[0].value.n, 98 * 2 - 1);
    ck_assert(hdrs_add(&f.head.hdrs, STR("X-Many"), STR("v")));
    ck_assert_int_eq(route_request(c, &f.listener, &f.head, &f.verdict, &f.arena, &f.route, &f.why),
                     ERR_HEADERS_TOO_LARGE);
    fixture_free(&f);
    conf_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("route_headers");
    TCase *t = tcase_create("route_headers");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, invalid_options);
    tcase_add_test(t, options_take_effect);
    tcase_add_test(t, forwarding);
    tcase_add_test(t, client_hash);
    tcase_add_test(t, default_content_type);
    tcase_add_test(t, limits);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
