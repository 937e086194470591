/* SPDX-License-Identifier: Apache-2.0 */
/* Routing: the five addressing rules and the upstream they lead to. */
#include "route_fixture.h"

static const struct row five_rules_rows[] = {
    /* 1: headers */
    {BASE, LINE LOOP ECS, ERR_OK, "ecs", "cn-beijing", "open.volcengineapi.com", NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Region: ap-southeast-2\n", ERR_OK, "ecs", "ap-southeast-2",
     "ecs.ap-southeast-2.volcengineapi.com", NULL},
    {BASE, LINE LOOP "X-Sigferry-Service: ECS\n", ERR_OK, "ecs", NULL, NULL, NULL},
    {BASE, LINE LOOP "X-Sigferry-Service: tls\n", ERR_OK, "TLS", NULL, NULL, NULL},
    {BASE, LINE LOOP "X-Sigferry-Service: newone\n", ERR_OK, "newone", NULL,
     "open.volcengineapi.com", NULL},
    {BASE, LINE LOOP "X-Sigferry-Service: e/cs\n", ERR_INVALID_OPTION, NULL, NULL, NULL,
     "X-Sigferry-Service: 'e/cs'"},
    {BASE, LINE LOOP ECS "X-Sigferry-Region: a.b\n", ERR_INVALID_OPTION, NULL, NULL, NULL, "a.b"},
    /* 2: the host asked for */
    {BASE, LINE "Host: iam.volcengineapi.com\n", ERR_OK, "iam", "cn-beijing",
     "iam.volcengineapi.com", NULL},
    {BASE, LINE "Host: ECS.CN-Beijing-AutoDriving.volcengineapi.com\n", ERR_OK, "ecs",
     "cn-beijing-autodriving", "ecs.cn-beijing-autodriving.volcengineapi.com", NULL},
    {BASE, LINE "Host: rds-mysql.ap-southeast-2.volcengineapi.com:443\n", ERR_OK, "rds_mysql",
     "ap-southeast-2", "rds-mysql.ap-southeast-2.volcengineapi.com", NULL},
    {BASE, LINE "Host: vpc.ap-southeast-2.volcengine-api.com:8750\n", ERR_OK, "vpc",
     "ap-southeast-2", "vpc.ap-southeast-2.volcengine-api.com", NULL},
    {BASE, LINE "Host: vpc.ap-southeast-2.volcengine-api.com:80\n", ERR_OK, "vpc", NULL, NULL,
     NULL},
    {BASE, LINE "Host: vpc.ap-southeast-2.volcengine-api.com:81\n", ERR_HOST_NOT_ALLOWED, NULL,
     NULL, NULL, "another port"},
    {BASE, LINE "Host: open.volcengineapi.com\n", ERR_MISSING_SERVICE, NULL, NULL, NULL, NULL},
    {BASE, LINE "Host: open.volcengineapi.com\n" ECS, ERR_OK, "ecs", "cn-beijing",
     "open.volcengineapi.com", NULL},
    {BASE, LINE "Host: ecs.cn-beijing.byteplusapi.com\n", ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL,
     NULL},
    {BASE "cloud = \"byteplus\";\n", LINE "Host: ecs.cn-x.byteplusapi.com.cn\n", ERR_OK, "ecs",
     "cn-x", "ecs.cn-x.byteplusapi.com.cn", NULL},
    {BASE,
     "GET http://iam.volcengineapi.com/?Action=L&Version=1 HTTP/1.1\n"
     "Host: iam.volcengineapi.com\n",
     ERR_OK, "iam", NULL, "iam.volcengineapi.com", NULL},
    {BASE, "GET http://iam.volcengineapi.com HTTP/1.1\nHost: iam.volcengineapi.com:80\n", ERR_OK,
     "iam", NULL, NULL, NULL},
    {BASE, "GET http://iam.volcengineapi.com/ HTTP/1.1\nHost: ecs.volcengineapi.com\n",
     ERR_INVALID_REQUEST, NULL, NULL, NULL, NULL},
    {BASE, "GET http://iam.volcengineapi.com/ HTTP/1.1\nHost: iam.volcengineapi.com:8080\n",
     ERR_INVALID_REQUEST, NULL, NULL, NULL, NULL},
    {BASE, "GET http://127.0.0.1:8750/ HTTP/1.1\n" LOOP ECS, ERR_OK, "ecs", NULL, NULL, NULL},
    {BASE, "GET http://iam.volcengineapi.com/ HTTP/1.0\n", ERR_OK, "iam", NULL, NULL, NULL},
    {BASE, "GET http://u:p@iam.volcengineapi.com/ HTTP/1.0\n", ERR_INVALID_REQUEST, NULL, NULL,
     NULL, NULL},
    {BASE, "GET https://iam.volcengineapi.com/ HTTP/1.1\nHost: iam.volcengineapi.com:443\n", ERR_OK,
     "iam", NULL, NULL, NULL},
    {BASE, "GET http://evil.test/ HTTP/1.1\nHost: evil.test\n" ECS, ERR_HOST_NOT_ALLOWED, NULL,
     NULL, NULL, "evil.test"},
    {BASE "endpoint: { services = ( { service = \"ecs\"; host = \"ecs.internal:8443\"; } ); };\n",
     LINE "Host: ecs.internal:8443\n", ERR_OK, "ecs", "cn-beijing", "ecs.internal:8443", NULL},
    {BASE "endpoint: { services = ( { service = \"ecs\"; host = \"ecs.internal:8443\"; } ); };\n",
     LINE "Host: ecs.internal\n", ERR_OK, "ecs", NULL, "ecs.internal:8443", NULL},
    {BASE "endpoint: { services = ( { service = \"ecs\"; host = \"ecs.internal:8443\"; } ); };\n",
     LINE "Host: ecs.internal:8444\n", ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE "endpoint: { services = ( { service = \"a\"; host = \"gw\"; }, { service = \"b\"; host "
          "= \"gw\"; } ); };\n",
     LINE "Host: gw\n", ERR_MISSING_SERVICE, NULL, NULL, NULL, NULL},
    {BASE "endpoint: { services = ( { service = \"a\"; host = \"gw\"; }, { service = \"b\"; host "
          "= \"gw\"; } ); };\n",
     LINE "Host: gw\nX-Sigferry-Service: b\n", ERR_OK, "b", NULL, "gw", NULL},
    {BASE "endpoint: { services = ( { service = \"a\"; host = \"gw\"; }, { service = \"b\"; host "
          "= \"gw\"; } ); };\n",
     LINE "Host: gw\nX-Sigferry-Service: c\n", ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    /* 3: SERVICE[.REGION].localhost */
    {BASE, LINE "Host: vpc.ap-southeast-2.localhost:8750\n", ERR_OK, "vpc", "ap-southeast-2",
     "vpc.ap-southeast-2.volcengineapi.com", NULL},
    {BASE, LINE "Host: rds-mysql.AP-Southeast-2.LOCALHOST:8750\n", ERR_OK, "rds_mysql",
     "ap-southeast-2", "rds-mysql.ap-southeast-2.volcengineapi.com", NULL},
    {BASE, LINE "Host: iam.localhost\n", ERR_OK, "iam", "cn-beijing", NULL, NULL},
    {BASE, LINE "Host: iam.localhost:1\n", ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE "Host: a.b.c.localhost\n", ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE "Host: no-such.localhost\n", ERR_OK, "no-such", "cn-beijing", NULL, NULL},
    {BASE, LINE "Host: .localhost\n", ERR_HOST_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, "GET http://ecs.cn-x.localhost:8750/ HTTP/1.1\nHost: ecs.cn-x.localhost:8750\n", ERR_OK,
     "ecs", "cn-x", NULL, NULL},
    /* 4: an SDK's scope */
    {BASE, LINE LOOP HMAC("AK", "ap-southeast-2", "rds_mysql"), ERR_OK, "rds_mysql",
     "ap-southeast-2", "rds-mysql.ap-southeast-2.volcengineapi.com", NULL},
    {BASE, LINE LOOP HMAC("AK", "ap-southeast-2", "Redis"), ERR_OK, "Redis", NULL, NULL, NULL},
    {BASE, LINE LOOP HMAC("AK", "", "iam"), ERR_OK, "iam", "cn-beijing", NULL, NULL},
    {BASE, LINE LOOP HMAC("AK", "a b", "iam"), ERR_INVALID_REQUEST, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP "Authorization: HMAC-SHA256 nonsense\n", ERR_MISSING_SERVICE, NULL, NULL, NULL,
     "X-Sigferry-Service"},
    {BASE, LINE LOOP "Authorization: Bearer x\n" ECS, ERR_OK, "ecs", NULL, NULL, NULL},
    /* 5: listener, route, global */
    {"listen = ( { address = \"localhost:8750\"; service = \"vpc\"; region = \"cn-l\"; } );\n"
     "service = \"iam\"; region = \"cn-g\"; client_side_validation = false;\n"
     "routes = ( { prefix = \"/ecs\"; service = \"ecs\"; region = \"cn-r\"; } );\n",
     "GET /ecs HTTP/1.1\n" LOOP, ERR_OK, "vpc", "cn-l", NULL, NULL},
    {BASE "service = \"iam\";\nroutes = ( { prefix = \"/ecs\"; service = \"ecs\"; region = "
          "\"cn-r\"; } );\n",
     "GET /ecs/x HTTP/1.1\n" LOOP, ERR_OK, "ecs", "cn-r", NULL, NULL},
    {BASE "service = \"iam\";\nroutes = ( { prefix = \"/ecs\"; service = \"ecs\"; } );\n",
     "GET /ecsx HTTP/1.1\n" LOOP, ERR_OK, "iam", "cn-beijing", NULL, NULL},
    {BASE, LINE LOOP, ERR_MISSING_SERVICE, "", "cn-beijing", NULL, "X-Sigferry-Service"},
    {"service = \"ecs\"; client_side_validation = false;\n", LINE LOOP, ERR_MISSING_REGION, "ecs",
     "", NULL, "X-Sigferry-Region"},
};

START_TEST(five_rules)
{
    RUN(five_rules_rows, false);
}
END_TEST

static const struct row earlier_rules_win_rows[] = {
    {BASE, LINE "Host: foo.cn-a.volcengineapi.com\nX-Sigferry-Service: iam\n", ERR_OK, "iam",
     "cn-a", "foo.cn-a.volcengineapi.com", NULL},
    {BASE, LINE "Host: ecs.cn-a.volcengineapi.com\nX-Sigferry-Region: cn-b\n", ERR_OK, "ecs",
     "cn-b", "ecs.cn-a.volcengineapi.com", NULL},
    {BASE, LINE "Host: ecs.cn-a.volcengineapi.com\n" HMAC("AK", "cn-s", "iam"), ERR_OK, "ecs",
     "cn-a", NULL, NULL},
    {BASE, LINE "Host: ecs.cn-a.localhost\n" HMAC("AK", "cn-s", "iam"), ERR_OK, "ecs", "cn-a", NULL,
     NULL},
    {BASE, LINE "Host: ecs.localhost\n" HMAC("AK", "cn-s", "iam"), ERR_OK, "ecs", "cn-s", NULL,
     NULL},
    {BASE, LINE "Host: ecs.localhost\nX-Sigferry-Service: iam\n", ERR_OK, "iam", NULL, NULL, NULL},
    {BASE "service = \"vpc\";\n", LINE LOOP HMAC("AK", "cn-s", "iam"), ERR_OK, "iam", "cn-s", NULL,
     NULL},
};

START_TEST(earlier_rules_win)
{
    RUN(earlier_rules_win_rows, false);
}
END_TEST

#define OVER                                                                                       \
    "security: { endpoint_overrides = [ \"*.volcengineapi.com\", \"lab:9000\", \"one:8443\" ]; "   \
    "};\n"
#define SVCS                                                                                       \
    "endpoint: { host = \"all.internal\"; services = ( { service = \"ecs\"; host = "               \
    "\"ecs.internal:8443\"; } ); };\n"

static const struct row upstream_precedence_rows[] = {
    {BASE OVER SVCS, LINE LOOP ECS "X-Sigferry-Endpoint: special.volcengineapi.com\n", ERR_OK,
     "ecs", NULL, "special.volcengineapi.com", NULL},
    {BASE SVCS, LINE LOOP ECS, ERR_OK, "ecs", NULL, "ecs.internal:8443", NULL},
    {BASE SVCS, LINE "Host: ecs.cn-a.volcengineapi.com\n", ERR_OK, "ecs", NULL, "ecs.internal:8443",
     NULL},
    {BASE SVCS, LINE "Host: iam.volcengineapi.com\n", ERR_OK, "iam", NULL, "all.internal", NULL},
    {BASE SVCS, LINE "Host: all.internal\n" ECS, ERR_OK, "ecs", NULL, "ecs.internal:8443", NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: LAB:9000\n", ERR_OK, NULL, NULL, "lab:9000",
     NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: one:8443\n", ERR_OK, NULL, NULL, "one:8443",
     NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: one\n", ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL,
     NULL, "'one'"},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: x.volcengineapi.com:8443\n",
     ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: evil.example.com\n", ERR_ENDPOINT_NOT_ALLOWED,
     NULL, NULL, NULL, NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: volcengineapi.com.evil.com\n",
     ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE, LINE LOOP ECS "X-Sigferry-Endpoint: x.volcengineapi.com\n", ERR_ENDPOINT_NOT_ALLOWED,
     NULL, NULL, NULL, NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: https://x.volcengineapi.com\n",
     ERR_INVALID_OPTION, NULL, NULL, NULL, "https://"},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: u@x.volcengineapi.com\n", ERR_INVALID_OPTION,
     NULL, NULL, NULL, NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: .volcengineapi.com\n", ERR_INVALID_OPTION, NULL,
     NULL, NULL, NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint:\n", ERR_INVALID_OPTION, NULL, NULL, NULL, NULL},
    {BASE "security: { endpoint_overrides = [ \"[fd00::1]:8443\", \"[fd00::2]\" ]; };\n",
     LINE LOOP ECS "X-Sigferry-Endpoint: [fd00::1]:8443\n", ERR_OK, NULL, NULL, "[fd00::1]:8443",
     NULL},
    {BASE "security: { endpoint_overrides = [ \"[fd00::1]:8443\", \"[fd00::2]\" ]; };\n",
     LINE LOOP ECS "X-Sigferry-Endpoint: [fd00::2]\n", ERR_OK, NULL, NULL, "[fd00::2]", NULL},
    {BASE "security: { endpoint_overrides = [ \"[fd00::1]:8443\", \"[fd00::2]\" ]; };\n",
     LINE LOOP ECS "X-Sigferry-Endpoint: [fd00::1]\n", ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL,
     NULL},
    {BASE OVER "endpoint: { services = ( { service = \"iam\"; host = \"lab:9000\"; } ); };\n",
     LINE LOOP ECS "X-Sigferry-Endpoint: lab:9000\n", ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL,
     "iam"},
    /* signed for one service, sent to the host of another */
    {BASE, LINE "Host: iam.volcengineapi.com\n" ECS, ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL,
     "iam"},
    {BASE SVCS, LINE "Host: ecs.internal:8443\nX-Sigferry-Service: iam\n", ERR_ENDPOINT_NOT_ALLOWED,
     NULL, NULL, NULL, NULL},
    {BASE, LINE "Host: ecs.volcengineapi.com\nX-Sigferry-Service: ECS\n", ERR_OK, "ecs", NULL, NULL,
     NULL},
    {BASE OVER, LINE LOOP ECS "X-Sigferry-Endpoint: iam.volcengineapi.com\n",
     ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL, "iam"},
    {BASE OVER, LINE LOOP HMAC("AK", "cn-a", "ecs") "X-Sigferry-Endpoint: iam.volcengineapi.com\n",
     ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE OVER,
     LINE "Host: ecs.cn-a.volcengineapi.com\nX-Sigferry-Endpoint: "
          "iam.volcengineapi.com\n",
     ERR_ENDPOINT_NOT_ALLOWED, NULL, NULL, NULL, NULL},
    {BASE OVER, LINE LOOP "X-Sigferry-Service: iam\nX-Sigferry-Endpoint: iam.volcengineapi.com\n",
     ERR_OK, "iam", NULL, "iam.volcengineapi.com", NULL},
    /* dual stack and resolvers */
    {BASE, LINE LOOP ECS "X-Sigferry-Region: ap-southeast-2\nX-Sigferry-Dual-Stack: true\n", ERR_OK,
     NULL, NULL, "ecs.ap-southeast-2.volcengine-api.com", NULL},
    {BASE "endpoint: { resolver = \"standard\"; };\n", LINE LOOP ECS "X-Sigferry-Region: nowhere\n",
     ERR_INVALID_REGION, NULL, NULL, NULL, NULL},
    {BASE "endpoint: { resolver = \"standard\"; };\n", LINE LOOP "X-Sigferry-Service: nosuch\n",
     ERR_SERVICE_NOT_FOUND, NULL, NULL, NULL, NULL},
};

START_TEST(upstream_precedence)
{
    RUN(upstream_precedence_rows, false);
}
END_TEST

START_TEST(path_and_query)
{
    static const struct {
        const char *target, *path, *query, *action;
    } rows[] = {
        {"/", "/", "", ""},
        {"/?b=2&a=1&Action=Do%20It&&a=0", "/", "Action=Do%20It&a=0&a=1&b=2", "Do It"},
        {"/?action=x+y", "/", "action=x%20y", "x y"},
        {"/a/../b//c/%2F?x", "/a/../b//c/%2F", "x=", ""},
        {"/ecs", "/", "", ""},
        {"/ecs/", "/", "", ""},
        {"/ecs/api?q", "/api", "q=", ""},
        {"/ecs/keep/x", "/ecs/keep/x", "", ""},
        {"/ecsx", "/ecsx", "", ""},
        {"/%65cs/y", "/y", "", ""},
        {"/a@b/z", "/z", "", ""},
    };
    struct conf *c = fixture_conf(
        BASE "routes = ( { prefix = \"/ecs/keep\"; service = \"vpc\"; strip_prefix = false; },\n"
             "{ prefix = \"/ecs\"; service = \"ecs\"; strip_prefix = true; },\n"
             "{ prefix = \"/ecs/keep/not\"; service = \"ecs\"; strip_prefix = false; },\n"
             "{ prefix = \"/a@b\"; service = \"vpc\"; strip_prefix = true; } );\n");
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        fixture_init(&f, c);
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\n" LOOP "X-Sigferry-Service: iam\n",
                 rows[i].target);
        ck_assert_msg(fixture_run(&f, c, text) == ERR_OK, "%s: %s", text, f.why.text);
        fixture_same(f.route.path, rows[i].path, "path", text);
        fixture_same(f.route.query, rows[i].query, "query", text);
        fixture_same(f.route.action, rows[i].action, "action", text);
        fixture_free(&f);
    }
    conf_unref(c);
}
END_TEST

#define WHO                                                                                        \
    "profiles: { default: { provider = \"default\"; }; ro: { provider = \"env\"; }; rw: { "        \
    "provider = \"env\"; }; };\n"

START_TEST(profiles)
{
    static const struct {
        const char *conf, *head;
        enum err e;
        const char *profile;
    } rows[] = {
        {BASE WHO, LINE LOOP ECS, ERR_OK, "default"},
        {BASE WHO "profile = \"rw\";\n", LINE LOOP ECS, ERR_OK, "rw"},
        {BASE WHO "profile = \"rw\";\nroutes = ( { prefix = \"/\"; profile = \"ro\"; service = "
                  "\"ecs\"; } );\n",
         LINE LOOP ECS, ERR_OK, "ro"},
        {BASE WHO "routes = ( { prefix = \"/\"; profile = \"ro\"; service = \"ecs\"; } );\n",
         LINE LOOP ECS "X-Sigferry-Profile: rw\n", ERR_OK, "rw"},
        {BASE WHO "listen = ( { address = \"localhost:8750\"; profile = \"ro\"; } );\n",
         LINE LOOP ECS "X-Sigferry-Profile: rw\n", ERR_OK, "ro"},
        {BASE WHO
         "policy = \"p\"; policies = ( { name = \"p\"; profile = \"ro\"; allow = [ \"*:*\" "
         "]; } );\n",
         LINE LOOP ECS, ERR_OK, "ro"},
        {BASE WHO
         "policy = \"p\"; policies = ( { name = \"p\"; profile = \"ro\"; allow = [ \"*:*\" "
         "]; } );\n",
         LINE LOOP ECS "X-Sigferry-Profile: ro\n", ERR_OK, "ro"},
        {BASE WHO
         "policy = \"p\"; policies = ( { name = \"p\"; profile = \"ro\"; allow = [ \"*:*\" "
         "]; } );\n",
         LINE LOOP ECS "X-Sigferry-Profile: rw\n", ERR_CLIENT_NOT_ALLOWED, NULL},
        {BASE WHO
         "clients = ( { name = \"a\"; access_key = \"local-a\"; secret_key = \"s\"; profile "
         "= \"rw\"; } );\n",
         LINE LOOP HMAC("local-a", "cn-a", "ecs"), ERR_OK, "rw"},
        {BASE WHO
         "clients = ( { name = \"a\"; access_key = \"local-a\"; secret_key = \"s\"; profile "
         "= \"rw\"; } );\n",
         LINE LOOP HMAC("local-a", "cn-a", "ecs") "X-Sigferry-Profile: ro\n",
         ERR_CLIENT_NOT_ALLOWED, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf *c = fixture_conf(rows[i].conf);
        struct fixture f;
        fixture_init(&f, c);
        enum err e = fixture_run(&f, c, rows[i].head);
        ck_assert_msg(e == rows[i].e, "%s: %s %s", rows[i].conf, err_code(e), f.why.text);
        if (rows[i].profile)
            ck_assert_str_eq(c->profiles[f.route.profile].name, rows[i].profile);
        fixture_free(&f);
        conf_unref(c);
    }
}
END_TEST

/* Only a host that the configuration names may have a private address. */
START_TEST(configured_by_name)
{
    static const struct {
        const char *head;
        bool by_name;
    } rows[] = {
        {LINE LOOP "X-Sigferry-Service: ecs\n", true},
        {LINE LOOP "X-Sigferry-Service: vpc\n", false},
        {LINE "Host: ecs.internal:8443\n", true},
        {LINE "Host: ecs.cn-a.volcengineapi.com\n", true},
        {LINE "Host: iam.volcengineapi.com\n", false},
        {LINE LOOP "X-Sigferry-Service: ecs\nX-Sigferry-Endpoint: x.volcengineapi.com\n", false},
    };
    struct conf *c = fixture_conf(
        BASE OVER
        "endpoint: { services = ( { service = \"ecs\"; host = \"ecs.internal:8443\"; } ); };\n");
    struct conf *all = fixture_conf(BASE OVER "endpoint: { host = \"all.internal\"; };\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        fixture_init(&f, c);
        ck_assert_int_eq(fixture_run(&f, c, rows[i].head), ERR_OK);
        ck_assert_msg(f.route.by_name == rows[i].by_name, "%s", rows[i].head);
        fixture_free(&f);
    }
    struct fixture f;
    fixture_init(&f, all);
    ck_assert_int_eq(fixture_run(&f, all, rows[1].head), ERR_OK);
    ck_assert(f.route.by_name);
    fixture_free(&f);
    conf_unref(all);
    conf_unref(c);
}
END_TEST

START_TEST(policies_and_names)
{
    struct conf *c = fixture_conf(
        BASE
        "policy = \"g\"; policies = ( { name = \"g\"; allow = [ \"ecs:*\" ]; }, { name = \"l\"; "
        "allow = [ \"ecs:*\" ]; }, { name = \"c\"; allow = [ \"ecs:*\" ]; } );\n"
        "listen = ( { address = \"localhost:8750\"; }, { address = \"localhost:8752\"; policy = "
        "\"l\"; } );\n"
        "clients = ( { name = \"a\"; access_key = \"local-a\"; secret_key = \"s\"; policy = "
        "\"c\"; } );\nconnect_to = [ \"[fd00::1]:443:x:\", "
        "\"open.volcengineapi.com:443:127.0.0.1:9\" ];\n"
        "security: { client_tokens = [ \"tok-0123456789abcdef\" ]; };\n");
    struct fixture f;
    fixture_init(&f, c);
#define TOKEN "X-Sigferry-Token: tok-0123456789abcdef\n"
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP ECS TOKEN), ERR_OK);
    ck_assert_str_eq(f.route.policy->name, "g");
    ck_assert(!f.route.client && f.route.by_name); /* connect_to names it */
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP ECS TOKEN "X-Sigferry-Region: ap-southeast-2\n"),
                     ERR_OK);
    ck_assert(!f.route.by_name);
    f.listener.conf = &c->listen[1];
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP ECS TOKEN), ERR_OK);
    ck_assert_str_eq(f.route.policy->name, "l");
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP HMAC("local-a", "cn-a", "ecs")), ERR_OK);
    ck_assert_str_eq(f.route.policy->name, "c");
    ck_assert_str_eq(f.route.client->name, "a");
    /* Under an enforced policy a form's hash is not taken on trust: the body is looked through. */
    ck_assert_int_eq(
        fixture_run(&f, c, "POST / HTTP/1.1\n" LOOP ECS TOKEN "X-Content-Sha256: " HASH "\n"),
        ERR_OK);
    ck_assert_uint_eq(f.route.client_sha256.n, 0);
    ck_assert_int_eq(fixture_run(&f, c,
                                 "POST / HTTP/1.1\n" LOOP ECS TOKEN "X-Content-Sha256: " HASH "\n"
                                 "Content-Type: application/json\n"),
                     ERR_OK);
    ck_assert_uint_eq(f.route.client_sha256.n, 64);
    /* What was known by the refusal is there for the error's body. */
    ck_assert_int_eq(fixture_run(&f, c, LINE LOOP ECS), ERR_CLIENT_NOT_ALLOWED);
    fixture_same(f.route.action, "Do", "action", "refused");
    fixture_free(&f);
    conf_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("route");
    TCase *t = tcase_create("route");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, five_rules);
    tcase_add_test(t, earlier_rules_win);
    tcase_add_test(t, upstream_precedence);
    tcase_add_test(t, path_and_query);
    tcase_add_test(t, profiles);
    tcase_add_test(t, configured_by_name);
    tcase_add_test(t, policies_and_names);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
