/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of conf_load: defaults, each source, which wins, what reloads see. */
#include "base/clock.h"
#include "fixture.h"
#include <fcntl.h>

static void check_strs(const struct conf_strs *v, size_t n, const char *first)
{
    ck_assert_uint_eq(v->n, n);
    if (n)
        ck_assert_str_eq(v->v[0], first);
}

START_TEST(defaults_top)
{
    struct conf *c = load_env();
    ck_assert_uint_eq(c->nlisten, 1);
    ck_assert_str_eq(c->listen[0].address, "localhost:8750");
    ck_assert_str_eq(c->listen[0].mode, "");
    ck_assert_str_eq(c->listen[0].policy, "");
    ck_assert_uint_eq(c->listen[0].nclient_tokens, 0);
    ck_assert_str_eq(c->admin.listen, "localhost:8751");
    ck_assert(!c->admin.allow_quit);
    ck_assert_int_eq(c->cloud, CLOUD_VOLCENGINE);
    ck_assert(c->client_side_validation);
    ck_assert_str_eq(c->region, "");
    ck_assert_str_eq(c->service, "");
    ck_assert_str_eq(c->profile, "default");
    ck_assert_str_eq(c->policy, "");
    ck_assert_int_eq(c->workers, 0);
    ck_assert_uint_eq(c->drain_timeout_ns, 30 * NS_PER_SEC);
    ck_assert_uint_eq(c->nprofiles, 1);
    ck_assert_str_eq(c->profiles[0].name, "default");
    ck_assert_str_eq(c->profiles[0].provider, "default");
    ck_assert_str_eq(c->profiles[0].sts_scheme, "");
    ck_assert_str_eq(c->profiles[0].role_trn, "");
    ck_assert_int_eq(c->profiles[0].duration_seconds, 3600);
    ck_assert_ptr_null(c->profiles[0].secret_key);
    ck_assert_ptr_null(c->path);
    ck_assert_uint_eq(c->npolicies + c->nclients + c->nrate_limits + c->nroutes, 0);
    conf_unref(c);
}
END_TEST

START_TEST(defaults_upstream)
{
    struct conf *c = load_env();
    ck_assert_str_eq(c->endpoint.host, "");
    ck_assert_str_eq(c->endpoint.scheme, "https");
    ck_assert(!c->endpoint.use_dual_stack);
    ck_assert_int_eq(c->endpoint.resolver, RESOLVER_DEFAULT);
    ck_assert_uint_eq(c->endpoint.nservices + c->endpoint.nextra_regions, 0);
    ck_assert_int_eq(c->pool.num_pools, 4);
    ck_assert_int_eq(c->pool.connection_pool_maxsize, 0);
    ck_assert_uint_eq(c->pool.idle_timeout_ns, 60 * NS_PER_SEC);
    ck_assert_uint_eq(c->pool.max_age_ns, 600 * NS_PER_SEC);
    ck_assert_int_eq(c->pool.max_pending, 1024);
    ck_assert_uint_eq(c->pool.pending_timeout_ns, 10 * NS_PER_SEC);
    ck_assert_uint_eq(c->timeouts.connect_ns, 30 * NS_PER_SEC);
    ck_assert_uint_eq(c->timeouts.read_ns, 30 * NS_PER_SEC);
    ck_assert_uint_eq(c->timeouts.request_ns, 0);
    ck_assert_uint_eq(c->timeouts.client_header_ns, 10 * NS_PER_SEC);
    ck_assert_uint_eq(c->timeouts.client_body_ns, 30 * NS_PER_SEC);
    ck_assert_uint_eq(c->timeouts.client_idle_ns, 120 * NS_PER_SEC);
    ck_assert_uint_eq(c->timeouts.client_write_ns, 60 * NS_PER_SEC);
    ck_assert(c->tls.verify_ssl);
    ck_assert_str_eq(c->tls.min_version, "1.2");
    ck_assert_str_eq(c->tls.ca_file, "");
    ck_assert_str_eq(c->proxy.http_proxy, "");
    ck_assert_str_eq(c->proxy.no_proxy, "");
    check_strs(&c->connect_to, 0, "");
    conf_unref(c);
}
END_TEST

START_TEST(defaults_retry)
{
    static const int64_t status[] = {429, 500, 502, 503, 504};
    struct conf *c = load_env();
    ck_assert(c->retry.auto_retry);
    ck_assert(!c->retry.retry_signed_clients);
    ck_assert_int_eq(c->retry.num_max_retries, 3);
    ck_assert_int_eq(c->retry.min_retry_delay_ms, 30);
    ck_assert_int_eq(c->retry.max_retry_delay_ms, 300000);
    ck_assert_int_eq(c->retry.budget_percent, 20);
    ck_assert_int_eq(c->retry.backoff_strategy, BACKOFF_JITTER);
    ck_assert_int_eq(c->retry.retry_after_send, AFTER_SEND_ALWAYS);
    ck_assert_uint_eq(c->retry.backoff_delays_ms.n, 0);
    ck_assert_uint_eq(c->retry.retry_error_codes.n, 0);
    ck_assert_uint_eq(c->retry.retry_status.n, ARRAY_LEN(status));
    ck_assert_mem_eq(c->retry.retry_status.v, status, sizeof status);
    ck_assert_uint_eq(c->retry.retry_network_errors, 1u << RETRY_RESOLVE | 1u << RETRY_CONNECT |
                                                         1u << RETRY_TIMEOUT | 1u << RETRY_RESET |
                                                         1u << RETRY_PROTOCOL);
    conf_unref(c);
}
END_TEST

START_TEST(defaults_rest)
{
    struct conf *c = load_env();
    ck_assert_uint_eq(c->limits.max_body, 256u << 20);
    ck_assert_uint_eq(c->limits.body_memory, 256u << 10);
    ck_assert_uint_eq(c->limits.buffered_total, 256u << 20);
    ck_assert_uint_eq(c->limits.max_header, 16u << 10);
    ck_assert_int_eq(c->limits.max_connections, 16384);
    ck_assert(!c->security.allow_remote);
    ck_assert(c->security.strict_file_permissions);
    ck_assert(!c->security.reject_forwarded);
    ck_assert(!c->security.allow_presign);
    ck_assert(!c->security.allow_http);
    ck_assert_uint_eq(c->security.nclient_tokens, 0);
    ck_assert_uint_eq(c->security.allowed_hosts.n + c->security.allowed_origins.n +
                          c->security.endpoint_overrides.n + c->security.allowed_uids.n +
                          c->security.allowed_gids.n,
                      0);
    ck_assert_int_eq(c->log.level, LOG_INFO);
    ck_assert_str_eq(c->log.file, "");
    ck_assert_str_eq(c->log.format, "text");
    ck_assert(c->log.access);
    ck_assert_uint_eq(c->log.debug, 0);
    for (size_t i = 0; i < conf_nrows; i++)
        ck_assert_str_eq(origin(c, conf_rows[i].name), "default");
    conf_unref(c);
}
END_TEST

START_TEST(file_all_groups)
{
    struct conf *c = good(
        "cloud = \"byteplus\"; region = \"ap-southeast-2\"; profile = \"role\"; policy = \"ro\";\n"
        "listen = ( \"8750\", { address = \"unix:/run/x/s\"; mode = \"0660\"; group = \"app\"; "
        "service = \"ecs\"; region = \"r1\"; profile = \"keys\"; policy = \"ro\";\n"
        "  client_tokens = [ \"t1\", \"t2\" ]; allowed_uids = [ 1000, 3000000000 ]; } );\n"
        "profiles: { keys: { provider = \"static\"; access_key = \"AK\"; secret_key = \"SK\"; "
        "session_token = \"ST\"; };\n"
        "  role = { provider = \"assume_role\"; source_profile = \"keys\"; role_name = \"r\"; "
        "account_id = \"21\"; duration_seconds = 900; }; };\n"
        "endpoint: { services = ( { service = \"ecs\"; host = \"ecs.internal:8443\"; global = "
        "true; "
        "}, { service = \"x\"; } ); };\n"
        "policies = ( { name = \"ro\"; mode = \"warn\"; allow = [\"ecs:Describe*\"]; deny = "
        "(\"iam:*\"); regions = [\"cn-*\"]; profile = \"keys\"; } );\n"
        "clients = ( { name = \"app\"; access_key = \"local\"; secret_key = \"s\"; policy = "
        "\"ro\"; "
        "} );\n"
        "rate_limits = ( { match = \"ecs:*\"; rate = 20; burst = 40; wait = 0.5; } );\n"
        "routes = ( { prefix = \"/ecs\"; service = \"ecs\"; strip_prefix = true; } );\n"
        "log: { debug = [ \"signing\", \"retries\" ]; level = \"debug\"; };\n");
    ck_assert_int_eq(c->cloud, CLOUD_BYTEPLUS);
    ck_assert_uint_eq(c->nlisten, 2);
    ck_assert_str_eq(c->listen[0].address, "8750");
    ck_assert_str_eq(c->listen[1].mode, "0660");
    ck_assert_str_eq(c->listen[1].service, "ecs");
    ck_assert_uint_eq(c->listen[1].nclient_tokens, 2);
    ck_assert(str_eq(secret_str(c->listen[1].client_tokens[1]), STR("t2")));
    ck_assert_int_eq(c->listen[1].allowed_uids.v[1], 3000000000);
    ck_assert_uint_eq(c->nprofiles, 2);
    ck_assert(str_eq(secret_str(conf_profile_find(c, STR("keys"))->session_token), STR("ST")));
    ck_assert_int_eq(conf_profile_find(c, STR("role"))->duration_seconds, 900);
    ck_assert_ptr_null(conf_profile_find(c, STR("default")));
    ck_assert(str_eq(c->endpoint.services[0].host, STR("ecs.internal:8443")));
    ck_assert(c->endpoint.services[0].global && !c->endpoint.services[1].global);
    ck_assert_int_eq(conf_policy_find(c, STR("ro"))->mode, POLICY_WARN);
    ck_assert_ptr_null(conf_policy_find(c, STR("r")));
    check_strs(&c->policies[0].deny, 1, "iam:*");
    ck_assert_str_eq(c->clients[0].policy, "ro");
    ck_assert_double_eq(c->rate_limits[0].rate, 20);
    ck_assert_double_eq(c->rate_limits[0].burst, 40);
    ck_assert_uint_eq(c->rate_limits[0].wait_ns, NS_PER_SEC / 2);
    ck_assert(c->routes[0].strip_prefix);
    ck_assert_uint_eq(c->log.debug, LOGD_SIGNING | LOGD_RETRIES);
    ck_assert_str_eq(origin(c, "policies[0].deny"), "a.conf:7");
    ck_assert_str_eq(origin(c, "listen[1].allowed_uids"), "a.conf:3");
    ck_assert_str_eq(origin(c, "profiles.role.role_name"), "a.conf:5");
    conf_unref(c);
}
END_TEST

START_TEST(precedence)
{
    const char *set[] = {"region=set", "region=set2"};
    struct conf_args args = {.set = set, .region = "flag"};
    struct conf *c;

    write_file("a.conf", "\nregion = \"file\";\n");
    args.config = in_dir("a.conf");
    set_env("VOLCENGINE_REGION", "sdk");
    set_env("SIGFERRY_REGION", "twin");
    c = load_args(&args);
    ck_assert_str_eq(c->region, "flag");
    ck_assert_str_eq(origin(c, "region"), "flag --region");
    conf_unref(c);
    args.region = NULL;
    args.nset = 2;
    c = load_args(&args);
    ck_assert_str_eq(c->region, "set2");
    ck_assert_str_eq(origin(c, "region"), "flag --set");
    conf_unref(c);
    args.nset = 0;
    c = load_args(&args);
    ck_assert_str_eq(c->region, "twin");
    ck_assert_str_eq(origin(c, "region"), "env SIGFERRY_REGION");
    conf_unref(c);
    ck_assert_int_eq(unsetenv("SIGFERRY_REGION"), 0);
    c = load_args(&args);
    ck_assert_str_eq(c->region, "sdk");
    ck_assert_str_eq(origin(c, "region"), "env VOLCENGINE_REGION");
    conf_unref(c);
    ck_assert_int_eq(unsetenv("VOLCENGINE_REGION"), 0);
    c = load_args(&args);
    ck_assert_str_eq(c->region, "file");
    ck_assert_str_eq(origin(c, "region"), "a.conf:2");
    conf_unref(c);
}
END_TEST

/* -l opens fewer doors, never a wider one: a listener that it names keeps what restricts it. */
START_TEST(listen_keeps_the_groups_it_names)
{
    const char *listen[] = {"127.0.0.1:7", "systemd"};
    struct conf_args args = {.config = in_dir("a.conf"), .listen = listen, .nlisten = 2};
    write_file("a.conf",
               "listen = ( { address = \"unix:/x\"; policy = \"q\"; client_tokens = [ "
               "\"0123456789abcdef\" ]; },\n { address = \"systemd\"; policy = \"p\"; "
               "client_tokens = [ \"fedcba9876543210\" ]; } );\n"
               "policies = ( { name = \"p\"; allow = [ \"a:*\" ]; }, { name = \"q\"; allow "
               "= [ \"b:*\" ]; } );\n");
    struct conf *c = load_args(&args);
    ck_assert_uint_eq(c->nlisten, 2);
    ck_assert_str_eq(c->listen[0].address, "127.0.0.1:7");
    ck_assert(!*c->listen[0].policy && c->listen[0].nclient_tokens == 0);
    ck_assert_str_eq(origin(c, "listen[0].policy"), "flag --listen");
    ck_assert_str_eq(c->listen[1].address, "systemd");
    ck_assert_str_eq(c->listen[1].policy, "p");
    ck_assert_uint_eq(c->listen[1].nclient_tokens, 1);
    ck_assert_str_eq(secret_str(c->listen[1].client_tokens[0]).p, "fedcba9876543210");
    ck_assert_str_eq(origin(c, "listen[1].policy"), "a.conf:2");
    conf_unref(c);
}
END_TEST

/* A value that is overridden is judged all the same. */
START_TEST(overridden_mistakes_count)
{
    set_env("SIGFERRY_WORKERS", "2");
    struct conf *c = load_text("workers = 999;\n");
    CK_ERRORS(c, "a.conf:1: workers: must be between 0 and 256, not 999\n");
}
END_TEST

START_TEST(every_twin)
{
    char twin[CONF_TWIN_MAX], other[CONF_TWIN_MAX];
    for (size_t i = 0; i < conf_nrows; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->type == CT_LIST || row->type == CT_MAP)
            continue; /* no default text of theirs stands for a value */
        conf_row_twin(row->name, twin);
        for (size_t j = 0; j < i; j++) {
            conf_row_twin(conf_rows[j].name, other);
            ck_assert_str_ne(twin, other);
        }
        set_env(twin, row->def);
        struct conf *c = load_env();
        ck_assert_msg(strncmp(origin(c, row->name), "env SIGFERRY_", 13) == 0, "%s", row->name);
        conf_unref(c);
        ck_assert_int_eq(unsetenv(twin), 0);
    }
}
END_TEST

START_TEST(twin_values)
{
    set_env("SIGFERRY_TLS_VERIFY_SSL", "No");
    set_env("SIGFERRY_RETRY_RETRY_STATUS", "429, 503");
    set_env("SIGFERRY_RETRY_BACKOFF_DELAYS_MS", "[1, 2, 3]");
    set_env("SIGFERRY_RETRY_BACKOFF_STRATEGY", "custom");
    set_env("SIGFERRY_SECURITY_ALLOWED_HOSTS", "a.x,b.x");
    set_env("SIGFERRY_CONNECT_TO", "( \"::127.0.0.1:1\" )");
    set_env("SIGFERRY_LIMITS_MAX_BODY", "1g");
    set_env("SIGFERRY_TIMEOUTS_READ_TIMEOUT", "1.5");
    set_env("SIGFERRY_LISTEN", "[::1]:8750");
    set_env("SIGFERRY_ADMIN_LISTEN", "");
    set_env("SIGFERRY_ROUTES", "( { prefix = \"/a\"; region = \"r\"; } )");
    set_env("SIGFERRY_LOG_DEBUG", "");
    struct conf *c = load_env();
    ck_assert(!c->tls.verify_ssl);
    ck_assert_uint_eq(c->retry.retry_status.n, 2);
    ck_assert_int_eq(c->retry.retry_status.v[1], 503);
    ck_assert_int_eq(c->retry.backoff_delays_ms.v[2], 3);
    check_strs(&c->security.allowed_hosts, 2, "a.x");
    check_strs(&c->connect_to, 1, "::127.0.0.1:1");
    ck_assert_uint_eq(c->limits.max_body, UINT64_C(1) << 30);
    ck_assert_uint_eq(c->timeouts.read_ns, NS_PER_SEC * 3 / 2);
    ck_assert_str_eq(c->listen[0].address, "[::1]:8750");
    ck_assert_str_eq(c->admin.listen, "");
    ck_assert_str_eq(c->routes[0].prefix, "/a");
    conf_unref(c);
}
END_TEST

START_TEST(set_values)
{
    struct conf *c = load_set("profiles.prod.provider=env", "profile=prod");
    ck_assert_uint_eq(c->nprofiles, 1);
    ck_assert_str_eq(conf_profile_find(c, STR("prod"))->provider, "env");
    ck_assert_int_eq(conf_profile_find(c, STR("prod"))->duration_seconds, 3600);
    conf_unref(c);
    c = load_set("listen=:1,:2", "proxy.no_proxy=a,b=c");
    ck_assert_uint_eq(c->nlisten, 2);
    ck_assert_str_eq(c->listen[1].address, ":2");
    ck_assert_str_eq(c->proxy.no_proxy, "a,b=c");
    conf_unref(c);
    c = load_set("listen=( { address = \":3\"; region = \"x\"; } )", NULL);
    ck_assert_str_eq(c->listen[0].region, "x");
    conf_unref(c);
}
END_TEST

START_TEST(flags)
{
    static const char *const listen[] = {"[::1]:0", "unix:/tmp/a,b"};
    struct conf *c = load_args(&(struct conf_args){.no_file = true,
                                                   .listen = listen,
                                                   .nlisten = 2,
                                                   .admin = "",
                                                   .cloud = "byteplus",
                                                   .region = "r",
                                                   .service = "s",
                                                   .profile = "default",
                                                   .workers = "3",
                                                   .log_level = "warn",
                                                   .log_format = "json"});
    ck_assert_uint_eq(c->nlisten, 2);
    ck_assert_str_eq(c->listen[0].address, "[::1]:0");
    ck_assert_str_eq(c->listen[1].address, "unix:/tmp/a,b");
    ck_assert_str_eq(c->admin.listen, "");
    ck_assert_int_eq(c->cloud, CLOUD_BYTEPLUS);
    ck_assert_str_eq(c->region, "r");
    ck_assert_str_eq(c->service, "s");
    ck_assert_int_eq(c->workers, 3);
    ck_assert_int_eq(c->log.level, LOG_WARN);
    ck_assert_str_eq(c->log.format, "json");
    ck_assert_str_eq(origin(c, "listen"), "flag --listen");
    ck_assert_str_eq(origin(c, "log.format"), "flag --log-format");
    conf_unref(c);
}
END_TEST

START_TEST(sdk_variables_by_cloud)
{
    set_env("VOLCENGINE_REGION", "cn-a");
    set_env("BYTEPLUS_REGION", "ap-b");
    set_env("BYTEPLUS_ENDPOINT", "h.example:1");
    set_env("BYTEPLUS_ENABLE_DUALSTACK", "TRUE");
    set_env("SIGFERRY_CLOUD", "byteplus");
    struct conf *c = load_env();
    ck_assert_str_eq(c->region, "ap-b");
    ck_assert_str_eq(c->endpoint.host, "h.example:1");
    ck_assert(c->endpoint.use_dual_stack);
    ck_assert_str_eq(origin(c, "endpoint.use_dual_stack"), "env BYTEPLUS_ENABLE_DUALSTACK");
    ck_assert_str_eq(origin(c, "cloud"), "env SIGFERRY_CLOUD");
    conf_unref(c);
    c = load_set("cloud=volcengine", " cloud\t= byteplus ");
    ck_assert_str_eq(c->region, "ap-b");
    conf_unref(c);
    c = load_set("log.format= %(message)s", "workers = 3");
    ck_assert_str_eq(c->log.format, " %(message)s");
    ck_assert_int_eq(c->workers, 3);
    conf_unref(c);
    c = load_set("cloud=byteplus", "cloud=volcengine");
    ck_assert_str_eq(c->region, "cn-a");
    ck_assert_str_eq(c->endpoint.host, "");
    ck_assert(!c->endpoint.use_dual_stack);
    conf_unref(c);
    ck_assert_int_eq(unsetenv("SIGFERRY_CLOUD"), 0);
    c = good("cloud = \"byteplus\";");
    ck_assert_str_eq(c->region, "ap-b");
    conf_unref(c);
}
END_TEST

START_TEST(dual_stack_of_the_file_wins)
{
    set_env("VOLC_ENABLE_DUALSTACK", "true");
    struct conf *c = good("endpoint: { use_dual_stack = false; };");
    ck_assert(!c->endpoint.use_dual_stack);
    ck_assert_str_eq(origin(c, "endpoint.use_dual_stack"), "a.conf:1");
    conf_unref(c);
    c = load_env();
    ck_assert(c->endpoint.use_dual_stack);
    conf_unref(c);
    set_env("VOLC_ENABLE_DUALSTACK", "1");
    c = load_env();
    ck_assert(!c->endpoint.use_dual_stack);
    conf_unref(c);
}
END_TEST

START_TEST(region_list)
{
    write_file("regions", "cn-one\n\n# no\n  cn-two \r\n");
    set_env("VOLC_BOOTSTRAP_REGION_LIST_CONF", in_dir("regions"));
    struct conf *c = good("endpoint: { custom_bootstrap_region = [ \"cn-zero\" ]; };");
    ck_assert_uint_eq(c->endpoint.nextra_regions, 3);
    ck_assert(str_eq(c->endpoint.extra_regions[0], STR("cn-zero")));
    ck_assert(str_eq(c->endpoint.extra_regions[1], STR("cn-one")));
    ck_assert(str_eq(c->endpoint.extra_regions[2], STR("cn-two")));
    conf_unref(c);
    write_file("regions", "cn-one\ncn two\n");
    c = load_args(&(struct conf_args){.no_file = true});
    CK_ERRORS(c, "regions:2: endpoint.bootstrap_region_list: \"cn two\" is not a region's name\n");
}
END_TEST

/* Proxy variables are defaults; once read they are gone, and a reload still knows them. */
START_TEST(proxy_variables)
{
    set_env("http_proxy", "http://p:1");
    set_env("HTTPS_PROXY", "http://user:pass@q:2/");
    set_env("no_proxy", "a,b");
    set_env("all_proxy", "http://r:3");
    struct conf *c = good("proxy: { no_proxy = \"\"; };");
    ck_assert_str_eq(c->proxy.http_proxy, "http://p:1");
    ck_assert_str_eq(c->proxy.https_proxy, "http://user:pass@q:2/");
    ck_assert_str_eq(c->proxy.no_proxy, "");
    ck_assert_str_eq(origin(c, "proxy.https_proxy"), "env HTTPS_PROXY");
    ck_assert_ptr_null(getenv("http_proxy"));
    ck_assert_ptr_null(getenv("HTTPS_PROXY"));
    ck_assert_ptr_null(getenv("no_proxy"));
    ck_assert_ptr_null(getenv("all_proxy"));
    conf_unref(c);
    c = good("");
    ck_assert_str_eq(c->proxy.https_proxy, "http://user:pass@q:2/");
    ck_assert_str_eq(c->proxy.no_proxy, "a,b");
    conf_unref(c);
}
END_TEST

/* The one for every scheme counts where the scheme's own is not set. */
START_TEST(all_proxy)
{
    set_env("HTTPS_PROXY", "http://q:2");
    set_env("ALL_PROXY", "socks5h://u:p@r:3");
    for (int i = 0; i < 2; i++) { /* as a start and a reload */
        struct conf *c = good("");
        ck_assert_str_eq(c->proxy.http_proxy, "socks5h://u:p@r:3");
        ck_assert_str_eq(c->proxy.https_proxy, "http://q:2");
        ck_assert_str_eq(origin(c, "proxy.http_proxy"), "env ALL_PROXY");
        ck_assert_ptr_null(getenv("ALL_PROXY"));
        conf_unref(c);
    }
    struct conf *c = good("proxy: { http_proxy = \"\"; https_proxy = \"http://s:4\"; };");
    ck_assert_str_eq(c->proxy.http_proxy, "");
    ck_assert_str_eq(c->proxy.https_proxy, "http://s:4");
    conf_unref(c);
}
END_TEST

/* One that only others can use is left out, and gone. */
START_TEST(all_proxy_of_others)
{
    set_env("HTTPS_PROXY", "http://q:2");
    set_env("all_proxy", "socks://r:3/");
    set_env("ALL_PROXY", "socks4://r:3/");
    for (int i = 0; i < 2; i++) { /* as a start and a reload */
        struct conf *c = good("");
        ck_assert_str_eq(c->proxy.http_proxy, "");
        ck_assert_str_eq(c->proxy.https_proxy, "http://q:2");
        ck_assert_ptr_null(getenv("all_proxy"));
        ck_assert_ptr_null(getenv("ALL_PROXY"));
        conf_unref(c);
    }
    set_env("all_proxy", "http://u:p@q@r:3/");
    ck_assert_ptr_null(load_text(""));
    ck_assert_ptr_nonnull(strstr(errors_text(), "env all_proxy: proxy.http_proxy: the value must"));
    set_env("all_proxy", "");
    set_env("http_proxy", "socks4://r:3/");
    struct conf *c = load_text("");
    CK_ERRORS(c, "env http_proxy: proxy.http_proxy: the value must be "
                 "[http://|https://|socks5://|socks5h://][USER:PASSWORD@]HOST[:PORT]\n");
}
END_TEST

/* Twice the same in a file is a mistake with -l as without: which one's settings would count? */
START_TEST(the_same_listener_twice)
{
    const char *addresses[] = {"localhost:8750"};
    const struct conf_args args = {.config = in_dir("a.conf"), .listen = addresses, .nlisten = 1};
    write_file("a.conf", "listen = ( { address = \"localhost:8750\"; client_tokens = [ "
                         "\"0123456789abcdef\" ]; },\n\"localhost:8750\" );\n");
    CK_ERRORS(load_args(&args), "a.conf:2: listen[1]: its address is the same as in listen[0]\n");
}
END_TEST

START_TEST(secrets_of_the_environment_are_overwritten)
{
    set_env("SIGFERRY_PROFILES_MY_KEYS_SECRET_KEY", "sk-in-env");
    set_env("SIGFERRY_SECURITY_CLIENT_TOKENS", "tok1,tok2");
    set_env("SIGFERRY_REGION", "stays");
    const char *token = getenv("SIGFERRY_SECURITY_CLIENT_TOKENS");
    static const char text[] = "profile = \"my-keys\"; profiles: { my-keys: { provider = "
                               "\"static\"; access_key = \"AK\"; }; };";
    for (int i = 0; i < 3; i++) { /* as a start and two reloads */
        struct conf *c = good(text);
        ck_assert(str_eq(secret_str(c->profiles[0].secret_key), STR("sk-in-env")));
        ck_assert(str_eq(secret_str(c->security.client_tokens[1]), STR("tok2")));
        ck_assert_str_eq(getenv("SIGFERRY_PROFILES_MY_KEYS_SECRET_KEY"), "");
        ck_assert_str_eq(getenv("SIGFERRY_REGION"), "stays");
        for (size_t n = 0; n < strlen("tok1,tok2"); n++)
            ck_assert_int_eq(token[n], 0);
        ck_assert_str_eq(origin(c, "profiles.my-keys.secret_key"),
                         "env SIGFERRY_PROFILES_MY_KEYS_SECRET_KEY");
        conf_unref(c);
    }
}
END_TEST

START_TEST(profile_from_the_environment_alone)
{
    set_env("SIGFERRY_PROFILES_PROD_PROVIDER", "static");
    set_env("SIGFERRY_PROFILES_PROD_ACCESS_KEY", "AK");
    set_env("SIGFERRY_PROFILES_PROD_SECRET_KEY", "SK");
    set_env("SIGFERRY_PROFILE", "prod");
    struct conf *c = load_env();
    ck_assert_str_eq(c->profiles[0].name, "prod");
    ck_assert_str_eq(c->profiles[0].access_key, "AK");
    conf_unref(c);
}
END_TEST

/* The longest name of a profile with the longest key. */
START_TEST(the_longest_variable_counts)
{
    char name[200], p[64], upper[64];
    memset(p, 'p', 63);
    memset(upper, 'P', 63);
    p[63] = upper[63] = '\0';
    (void)snprintf(name, sizeof name, "SIGFERRY_PROFILES_%s_SAML_RESPONSE_FILE", upper);
    set_env(name, "/x");
    (void)snprintf(name, sizeof name, "SIGFERRY_PROFILES_%s_SAML_PROVIDER_TRN", upper);
    set_env(name, "trn:y");
    (void)snprintf(name, sizeof name, "SIGFERRY_PROFILES_%s_ROLE_TRN", upper);
    set_env(name, "trn:z");
    (void)snprintf(name, sizeof name, "SIGFERRY_PROFILES_%s_PROVIDER", upper);
    set_env(name, "assume_role_saml");
    set_env("SIGFERRY_PROFILE", p);
    struct conf *c = load_env();
    ck_assert_str_eq(c->profiles[0].saml_response_file, "/x");
    conf_unref(c);
}
END_TEST

/* What log_msg wrote during a load of the environment. */
static const char *warnings(void)
{
    static char text[4096];
    const struct log_options to_file = {.level = LOG_INFO, .file = in_dir("log")};
    const struct log_options to_stderr = {.level = LOG_INFO};

    ck_assert(log_open(&to_file));
    conf_unref(load_env());
    ck_assert(log_open(&to_stderr));
    int fd = open(in_dir("log"), O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    ck_assert_int_ge(n, 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(unlink(in_dir("log")), 0);
    text[n] = '\0';
    return text;
}

START_TEST(unknown_variables_warn)
{
    set_env("SIGFERRY_CONFIG", "");
    set_env("SIGFERRY_URL", "http://x");
    ck_assert_str_eq(warnings(), "");
    set_env("SIGFERRY_PORT", "tcp://1.2.3.4:5");
    const char *text = warnings();
    ck_assert_ptr_nonnull(strstr(text, "SIGFERRY_PORT"));
    ck_assert_ptr_null(strstr(text, "1.2.3.4"));
    ck_assert_ptr_null(strstr(text, "did you mean"));
    ck_assert_int_eq(unsetenv("SIGFERRY_PORT"), 0);
    set_env("SIGFERRY_RETRY_NUM_MAX_RETRIE", "1");
    ck_assert_ptr_nonnull(strstr(warnings(), "did you mean SIGFERRY_RETRY_NUM_MAX_RETRIES?"));
    char name[400] = "SIGFERRY_";
    memset(name + 9, 'X', sizeof name - 10);
    set_env(name, "1");
    ck_assert_ptr_nonnull(strstr(warnings(), "SIGFERRY_XXXX"));
}
END_TEST

START_TEST(file_choice)
{
    struct conf_args args = {0};
    struct conf *c;

    ck_assert_int_eq(mkdir(in_dir("sigferry"), 0700), 0);
    write_file("sigferry/sigferry.conf", "region = \"xdg\";");
    write_file("b.conf", "region = \"variable\";");
    write_file("c.conf", "region = \"flag\";");
    set_env("XDG_CONFIG_HOME", dir);
    c = load_args(&args);
    ck_assert_str_eq(c->region, "xdg");
    ck_assert_str_eq(c->path, in_dir("sigferry/sigferry.conf"));
    conf_unref(c);
    set_env("SIGFERRY_CONFIG", in_dir("b.conf"));
    c = load_args(&args);
    ck_assert_str_eq(c->region, "variable");
    conf_unref(c);
    args.config = in_dir("c.conf");
    c = load_args(&args);
    ck_assert_str_eq(c->region, "flag");
    conf_unref(c);
    args.no_file = true;
    c = load_args(&args);
    ck_assert_str_eq(c->region, "");
    conf_unref(c);
    ck_assert_int_eq(unlink(in_dir("sigferry/sigferry.conf")), 0);
    ck_assert_int_eq(unlink(in_dir("b.conf")), 0);
    CK_ERRORS(load_args(&(struct conf_args){0}),
              "env SIGFERRY_CONFIG: cannot open \"b.conf\": No such file or directory\n");
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("d.conf")}),
              "flag --config: cannot open \"d.conf\": No such file or directory\n");
}
END_TEST

START_TEST(home_is_the_default_of_xdg)
{
    ck_assert_int_eq(mkdir(in_dir(".config"), 0700), 0);
    ck_assert_int_eq(mkdir(in_dir(".config/sigferry"), 0700), 0);
    write_file(".config/sigferry/sigferry.conf", "region = \"home\";");
    struct conf *c = load_args(&(struct conf_args){0});
    ck_assert_str_eq(c->region, "home");
    conf_unref(c);
    ck_assert_int_eq(unlink(in_dir(".config/sigferry/sigferry.conf")), 0);
    ck_assert_int_eq(rmdir(in_dir(".config/sigferry")), 0);
    ck_assert_int_eq(rmdir(in_dir(".config")), 0);
}
END_TEST

START_TEST(references)
{
    struct conf *c = load_env();
    ck_assert_ptr_eq(conf_ref(c), c);
    conf_unref(c);
    ck_assert_str_eq(c->profile, "default");
    conf_unref(c);
    conf_unref(NULL);
}
END_TEST

static const char *restart(const char *before, const char *after)
{
    static char text[256];
    struct conf *a = good(before), *b = good(after);
    struct buf out;
    buf_init(&out, sizeof text);
    conf_restart_needed(a, b, &out);
    (void)snprintf(text, sizeof text, "%.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
    conf_unref(a);
    conf_unref(b);
    return text;
}

START_TEST(restart_needed)
{
    ck_assert_str_eq(restart("", ""), "");
    ck_assert_str_eq(restart("", "region = \"x\"; log: { level = \"debug\"; };"), "");
    ck_assert_str_eq(restart("", "workers = 2; listen = [ \":1\" ]; limits: { max_header = \"8K\"; "
                                 "};"),
                     "workers\nlimits.max_header\n");
    /* A listener's rules reload, its socket doesn't. */
    ck_assert_str_eq(restart("listen = [ \"unix:/a\" ];",
                             "listen = ( { address = \"unix:/a\"; region = \"r\"; } );"),
                     "");
    ck_assert_str_eq(restart("listen = [ \"unix:/a\" ];",
                             "listen = ( { address = \"unix:/a\"; mode = \"0660\"; } );"),
                     "listen\n");
    /* Listeners come and go in any order; one that stays is known by its address. */
    ck_assert_str_eq(restart("listen = [ \":1\", \"unix:/a\" ];",
                             "listen = ( { address = \"unix:/b\"; mode = \"0660\"; }, "
                             "\"unix:/a\" );"),
                     "");
    ck_assert_str_eq(restart("listen = [ \":1\", \"unix:/a\" ];",
                             "listen = ( { address = \"unix:/a\"; group = \"g\"; } );"),
                     "listen\n");
    ck_assert_str_eq(restart("", "admin: { listen = \":1\"; allow_quit = true; };"),
                     "admin.listen\n");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        defaults_top,
        defaults_upstream,
        defaults_retry,
        defaults_rest,
        file_all_groups,
        precedence,
        listen_keeps_the_groups_it_names,
        every_twin,
        twin_values,
        set_values,
        flags,
        region_list,
        sdk_variables_by_cloud,
        proxy_variables,
        all_proxy,
        all_proxy_of_others,
        the_same_listener_twice,
        references,
        dual_stack_of_the_file_wins,
        file_choice,
        restart_needed,
        secrets_of_the_environment_are_overwritten,
        overridden_mistakes_count,
        unknown_variables_warn,
        profile_from_the_environment_alone,
        the_longest_variable_counts,
        home_is_the_default_of_xdg,
    };
    return fixture_run("conf_load", tests, ARRAY_LEN(tests));
}
