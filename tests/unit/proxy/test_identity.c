/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asking: tokens, uids, local keys; and that refusals tell nothing. */
#include "fixture.h"
#include "proxy/identity.h"

#define GLOBAL                                                                                     \
    "region = \"cn-beijing\";\nlisten = ( { address = \"localhost:8750\"; }, { address = "         \
    "\"unix:/run/sigferry-test\"; client_tokens = [ \"own-token-0123456789\" ]; allowed_uids = [ " \
    "7 ]; allowed_gids = [ 8 ]; } );\n"
#define TOKENS                                                                                     \
    "security: { client_tokens = [ \"token-one-0123456789\", \"token-two-0123456789\" ]; };\n"
#define UIDS "security: { allowed_uids = [ 1000, 1001 ]; allowed_gids = [ 500 ]; };\n"
#define KEYS                                                                                       \
    "clients = ( { name = \"app1\"; access_key = \"local-app1\"; secret_key = \"s1\"; }, { name "  \
    "= "                                                                                           \
    "\"app2\"; access_key = \"local-app2\"; secret_key = \"s2\"; } );\n"
#define HMAC(ak)                                                                                   \
    "HMAC-SHA256 Credential=" ak "/20200101/r/s/request, SignedHeaders=host, Signature=0"

struct row {
    const char *conf;
    unsigned listener;
    const char *authorization, *proxy, *token;
    unsigned nauth;
    struct identity_peer peer;
    bool good;
    const char *client;
};

static enum err check(const struct conf *c, const struct row *row,
                      const struct conf_client **client, struct err_detail *why)
{
    struct identity_claim claim = {
        .authorization = str_of(row->authorization),
        .proxy_authorization = str_of(row->proxy),
        .token = str_of(row->token),
        .nauthorization = row->nauth           ? row->nauth
                          : row->authorization ? 1
                                               : 0,
        .nproxy_authorization = row->proxy ? 1 : 0,
    };
    return identity_check(c, &c->listen[row->listener], &claim, &row->peer, client, why);
}

START_TEST(who_may)
{
    static const struct row rows[] = {
        /* nothing configured: any dummy key */
        {GLOBAL, 0, NULL, NULL, NULL, 0, {0}, true, NULL},
        {GLOBAL, 0, HMAC("AKdummy"), NULL, "any", 0, {0}, true, NULL},
        {GLOBAL, 0, HMAC("AKdummy"), NULL, NULL, 2, {0}, true, NULL},
        /* tokens */
        {GLOBAL TOKENS, 0, NULL, NULL, NULL, 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, NULL, NULL, "token-one-0123456789", 0, {0}, true, NULL},
        {GLOBAL TOKENS, 0, NULL, NULL, "token-two-0123456789", 0, {0}, true, NULL},
        {GLOBAL TOKENS, 0, "Bearer token-one-0123456789", NULL, NULL, 0, {0}, true, NULL},
        {GLOBAL TOKENS, 0, "bearer  token-one-0123456789 ", NULL, NULL, 0, {0}, true, NULL},
        {GLOBAL TOKENS, 0, NULL, "Bearer token-one-0123456789", NULL, 0, {0}, true, NULL},
        {GLOBAL TOKENS, 0, HMAC("AK"), "Bearer token-one-0123456789", NULL, 0, {0}, true, NULL},
        {GLOBAL TOKENS, 0, "Bearer token-one-0123456789", NULL, NULL, 2, {0}, false, NULL},
        {GLOBAL TOKENS, 0, "Basic token-one-0123456789", NULL, NULL, 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, "token-one-0123456789", NULL, NULL, 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, NULL, NULL, "token-one-012345678", 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, NULL, NULL, "token-one-01234567890", 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, NULL, NULL, "TOKEN-one-0123456789", 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, "Bearer token-one-0123456789", NULL, "wrong", 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, "Bearer ", NULL, NULL, 0, {0}, false, NULL},
        {GLOBAL TOKENS, 0, NULL, NULL, NULL, 0, {true, true, 0, 0}, false, NULL},
        /* a listener's own list takes the place of the global one */
        {GLOBAL TOKENS, 1, NULL, NULL, "token-one-0123456789", 0, {0}, false, NULL},
        {GLOBAL TOKENS, 1, NULL, NULL, "own-token-0123456789", 0, {0}, true, NULL},
        {GLOBAL, 1, NULL, NULL, NULL, 0, {0}, false, NULL},
        /* uids and gids */
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {true, true, 1000, 1}, true, NULL},
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {true, false, 1001, 0}, true, NULL},
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {true, true, 999, 500}, true, NULL},
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {true, true, 999, 501}, false, NULL},
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {true, true, 0, 0}, false, NULL},
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {false, false, 1000, 500}, false, NULL},
        {GLOBAL UIDS, 0, NULL, NULL, NULL, 0, {true, true, 65534, 65534}, false, NULL},
        {GLOBAL UIDS, 1, NULL, NULL, NULL, 0, {true, true, 1000, 500}, false, NULL},
        {GLOBAL UIDS, 1, NULL, NULL, NULL, 0, {true, true, 7, 1}, true, NULL},
        {GLOBAL UIDS, 1, NULL, NULL, NULL, 0, {true, true, 1, 8}, true, NULL},
        {GLOBAL UIDS, 1, NULL, NULL, "wrong-token-0123456789", 0, {true, true, 7, 8}, false, NULL},
        /* local keys */
        {GLOBAL KEYS, 0, NULL, NULL, NULL, 0, {0}, false, NULL},
        {GLOBAL KEYS, 0, HMAC("local-app1"), NULL, NULL, 0, {0}, true, "app1"},
        {GLOBAL KEYS, 0, HMAC("local-app2"), NULL, NULL, 0, {0}, true, "app2"},
        {GLOBAL KEYS, 0, HMAC("local-app3"), NULL, NULL, 0, {0}, false, NULL},
        {GLOBAL KEYS, 0, HMAC("local-app1"), NULL, NULL, 2, {0}, false, NULL},
        {GLOBAL KEYS TOKENS,
         0,
         HMAC("local-app1"),
         NULL,
         "token-one-0123456789",
         0,
         {0},
         true,
         "app1"},
        {GLOBAL KEYS TOKENS, 0, HMAC("dummy"), NULL, "token-one-0123456789", 0, {0}, true, NULL},
        {GLOBAL KEYS TOKENS, 0, HMAC("local-app1"), NULL, "wrong", 0, {0}, false, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf *c = fixture_conf(rows[i].conf);
        const struct conf_client *client;
        struct err_detail why = {""};
        enum err e = check(c, &rows[i], &client, &why);
        ck_assert_msg(e == (rows[i].good ? ERR_OK : ERR_CLIENT_NOT_ALLOWED), "row %zu: %s", i,
                      why.text);
        if (rows[i].good)
            ck_assert_msg((client != NULL) == (rows[i].client != NULL) &&
                              (!client || strcmp(client->name, rows[i].client) == 0),
                          "row %zu", i);
        conf_unref(c);
    }
}
END_TEST

START_TEST(nobody_is_never_accepted)
{
    struct conf *c = fixture_conf(GLOBAL UIDS);
    const struct conf_client *client;
    struct err_detail why;
    c->security.allowed_uids.v[0] = c->security.allowed_gids.v[0] = 65533;
    struct row row = {.peer = {true, true, 65533, 1}};
    ck_assert_int_eq(check(c, &row, &client, &why), ERR_OK);
    row.peer = (struct identity_peer){true, true, 1, 65533};
    ck_assert_int_eq(check(c, &row, &client, &why), ERR_OK);
    c->security.allowed_uids.v[0] = c->security.allowed_gids.v[0] = 65534;
    row.peer = (struct identity_peer){true, true, 65534, 65534};
    ck_assert_int_eq(check(c, &row, &client, &why), ERR_CLIENT_NOT_ALLOWED);
    conf_unref(c);
}
END_TEST

START_TEST(what_is_required)
{
    static const struct {
        const char *conf;
        bool first, second, uid_first, uid_second;
    } rows[] = {
        {GLOBAL, false, true, false, true},
        {GLOBAL TOKENS, true, true, false, true},
        {GLOBAL UIDS, true, true, true, true},
        {GLOBAL KEYS, true, true, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf *c = fixture_conf(rows[i].conf);
        ck_assert(identity_required(c, &c->listen[0]) == rows[i].first);
        ck_assert(identity_required(c, &c->listen[1]) == rows[i].second);
        ck_assert(identity_wants_uid(c, &c->listen[0]) == rows[i].uid_first);
        ck_assert(identity_wants_uid(c, &c->listen[1]) == rows[i].uid_second);
        conf_unref(c);
    }
}
END_TEST

START_TEST(no_oracle)
{
    struct conf *c = fixture_conf(GLOBAL TOKENS);
    struct err_detail first = {""}, why;
    const struct conf_client *client;
    char token[64];
    for (unsigned i = 0; i < 1000; i++) {
        /* Guesses that share ever longer beginnings with the token. */
        snprintf(token, sizeof(token), "%.*swrong%u", (int)(i % 21), "token-one-0123456789", i);
        struct row row = {.token = i ? token : NULL};
        ck_assert_int_eq(check(c, &row, &client, &why), ERR_CLIENT_NOT_ALLOWED);
        if (i == 0)
            first = why;
        ck_assert_str_eq(why.text, first.text);
        ck_assert(!strstr(why.text, "wrong"));
    }
    static char huge[65536];
    memset(huge, 'x', sizeof(huge) - 1);
    struct row row = {.token = huge};
    ck_assert_int_eq(check(c, &row, &client, &why), ERR_CLIENT_NOT_ALLOWED);
    conf_unref(c);
}
END_TEST

START_TEST(scopes)
{
    static const struct {
        const char *text, *key, *region, *service; /* key NULL: none */
        bool is_signed;
    } rows[] = {
        {HMAC("AK"), "AK", "r", "s", true},
        {"HMAC-SHA256 SignedHeaders=a, Credential=AK/d/r/s/request", "AK", "r", "s", true},
        {"hmac-sha256\tcredential=AK/d//s/request,x", "AK", "", "s", true},
        {"HMAC-SHA256 Credential=AK/d/r/s", NULL, NULL, NULL, true},
        {"HMAC-SHA256 Credential=AK/d/r/s/aws4_request", NULL, NULL, NULL, true},
        {"HMAC-SHA256 Credential=AK/d/r/s/x/request", NULL, NULL, NULL, true},
        {"HMAC-SHA256", NULL, NULL, NULL, true},
        {"HMAC-SHA256x Credential=AK/d/r/s/request", NULL, NULL, NULL, false},
        {"Bearer Credential=AK/d/r/s/request", NULL, NULL, NULL, false},
        {"", NULL, NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verify_scope s = {.region = {NULL, 0}};
        bool found = identity_scope(str_of(rows[i].text), &s);
        ck_assert_msg(found == (rows[i].key != NULL), "%s", rows[i].text);
        ck_assert(identity_is_signed(str_of(rows[i].text)) == rows[i].is_signed);
        if (!found)
            continue;
        fixture_same(s.access_key, rows[i].key, "key", rows[i].text);
        fixture_same(s.region, rows[i].region, "region", rows[i].text);
        fixture_same(s.service, rows[i].service, "service", rows[i].text);
    }
}
END_TEST

/* A request signed as an SDK would with the local key, then changed in one place. */
#define SIGNED(service, region, names)                                                             \
    "HMAC-SHA256 Credential=AK/20200101/" region "/" service "/request, SignedHeaders=" names      \
    ", Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(unsigned_hosts)
{
    static const struct {
        const char *authorization;
        bool good;
    } rows[] = {
        {SIGNED("ecs", "cn-beijing", "host;x-date"), true},
        {SIGNED("iam", "cn-shanghai", "host;x-date"), true}, /* Host is covered: it decides */
        {SIGNED("ecs", "cn-beijing", "x-content-sha256;x-date"), true},
        {SIGNED("ECS", "CN-Beijing", "x-date"), true},
        {SIGNED("iam", "cn-beijing", "x-date"), false},
        {SIGNED("ecs", "cn-shanghai", "x-date"), false},
        {SIGNED("iam", "cn-beijing", "x-host;x-date;hosts"), false},
        {"HMAC-SHA256 Credential=AK/20200101/cn-beijing/ecs/request", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail why;
        enum err e =
            identity_covers(str_of(rows[i].authorization), STR("ecs"), STR("cn-beijing"), &why);
        ck_assert_msg(e == (rows[i].good ? ERR_OK : ERR_CLIENT_NOT_ALLOWED), "%s",
                      rows[i].authorization);
    }
}
END_TEST

START_TEST(signatures)
{
    struct conf *c = fixture_conf(GLOBAL KEYS);
    struct signer *s = signer_new();
    struct fixture f;
    struct err_detail why;
    fixture_init(&f, c);
    fixture_parse(&f, "GET /p?b=2&a=1 HTTP/1.1\nHost: 127.0.0.1:8750\nX-Content-Sha256: "
                      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
    struct hdrs none = {NULL, 0, 0};
    struct sign_cred cred = {STR("local-app1"), STR("s1"), {NULL, 0}, 0};
    struct sign_input in = {
        .method = STR("GET"),
        .path = STR("/p"),
        .query = STR("a=1&b=2"),
        .host = STR("127.0.0.1:8750"),
        .hdrs = &none,
        .body_sha256 = str_of(digest_empty_hex),
        .service = STR("ecs"),
        .region = STR("cn-a"),
        .time_s = 1577836800,
        .cred = &cred,
    };
    struct sign_output out;
    ck_assert_int_eq(sign_request(s, &in, &out), ERR_OK);
    struct str authorization = arena_dup(&f.arena, out.authorization);
    ck_assert(hdrs_add(&f.head.hdrs, STR("X-Date"), arena_dup(&f.arena, str_of(out.x_date))));
    ck_assert(hdrs_add(&f.head.hdrs, STR("Authorization"), authorization));
    ck_assert_int_eq(gate_check(&f.head, 1, &f.verdict, &f.why), ERR_OK);
    struct str hash = str_of(digest_empty_hex),
               other = STR("0000000000000000000000000000000000000000000000000000000000000000");
    const struct conf_client *app1 = &c->clients[0], *app2 = &c->clients[1];

    ck_assert_msg(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800, &why) == ERR_OK,
                  "%s", why.text);
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800 + 900, &why),
                     ERR_OK);
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800 + 901, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800 - 901, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, other, 1577836800, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    ck_assert_int_eq(identity_verify(s, app2, &f.head, &f.verdict, hash, 1577836800, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    ck_assert(strstr(why.text, "app2"));
    f.verdict.target.query = STR("a=1&b=3");
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    f.verdict.target.query = STR("b=2&a=1");
    f.verdict.target.path = STR("/q");
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    f.verdict.target.path = STR("/p");
    f.head.method = STR("POST");
    ck_assert_int_eq(identity_verify(s, app1, &f.head, &f.verdict, hash, 1577836800, &why),
                     ERR_CLIENT_NOT_ALLOWED);
    fixture_free(&f);
    signer_free(s);
    conf_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("identity");
    TCase *t = tcase_create("identity");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, who_may);
    tcase_add_test(t, nobody_is_never_accepted);
    tcase_add_test(t, what_is_required);
    tcase_add_test(t, no_oracle);
    tcase_add_test(t, scopes);
    tcase_add_test(t, unsigned_hosts);
    tcase_add_test(t, signatures);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
