/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of the configuration, one row each: parsing, bounds, environment twins, printing,
 * reload and the reference all read these rows and nothing else. Keys of groups are in
 * conf_groups.c; a key that isn't in either does not exist. */
#include "conf/conf_int.h"

#define AT(member)    .offset = offsetof(struct conf, member)
#define COUNT(member) .count = offsetof(struct conf, member)
#define RANGE(lo, hi) .min = (lo), .max = (hi)

#define DAY 86400.0
#define GIB 1073741824.0

static const struct conf_name clouds[] = {
    {"volcengine", CLOUD_VOLCENGINE}, {"byteplus", CLOUD_BYTEPLUS}, {NULL, 0}};
static const struct conf_name resolvers[] = {
    {"default", RESOLVER_DEFAULT}, {"standard", RESOLVER_STANDARD}, {NULL, 0}};
static const struct conf_name schemes[] = {{"https", 0}, {"http", 0}, {NULL, 0}};
static const struct conf_name tls_versions[] = {{"1.2", 0}, {"1.3", 0}, {NULL, 0}};
static const struct conf_name backoffs[] = {{"none", BACKOFF_NONE},
                                            {"exponential", BACKOFF_EXPONENTIAL},
                                            {"exponential-jitter", BACKOFF_JITTER},
                                            {"custom", BACKOFF_CUSTOM},
                                            {NULL, 0}};
static const struct conf_name after_sends[] = {{"always", AFTER_SEND_ALWAYS},
                                               {"safe", AFTER_SEND_SAFE},
                                               {"never", AFTER_SEND_NEVER},
                                               {NULL, 0}};
static const struct conf_name network_errors[] = {
    {"resolve", 1 << RETRY_RESOLVE},   {"connect", 1 << RETRY_CONNECT},
    {"timeout", 1 << RETRY_TIMEOUT},   {"reset", 1 << RETRY_RESET},
    {"protocol", 1 << RETRY_PROTOCOL}, {NULL, 0}};
static const struct conf_name levels[] = {
    {"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {NULL, 0}};
static const struct conf_name debugs[] = {{"request", LOGD_REQUEST},
                                          {"request_body", LOGD_REQUEST_BODY},
                                          {"request_id", LOGD_REQUEST_ID},
                                          {"response", LOGD_RESPONSE},
                                          {"response_body", LOGD_RESPONSE_BODY},
                                          {"signing", LOGD_SIGNING},
                                          {"endpoint", LOGD_ENDPOINT},
                                          {"retries", LOGD_RETRIES},
                                          {"config", LOGD_CONFIG},
                                          {NULL, 0}};

const struct conf_row conf_rows[] = {
    {"listen", CT_LIST, CF_BARE, AT(listen), COUNT(nlisten), "localhost:8750",
     .group = &conf_group_listen,
     .help = "Where clients connect: \"HOST:PORT\", \":PORT\", \"PORT\", \"[::1]:PORT\", "
             "\"unix:/path\", \"systemd\" or \"systemd:NAME\" (socket activation), or groups that "
             "say more about a listener. \"localhost\", \":PORT\" and \"PORT\" mean 127.0.0.1 and, "
             "where it exists, ::1; any other address than loopback needs `security.allow_remote` "
             "and clients that identify themselves."},
    {"admin.listen", CT_STRING, CF_RESTART, AT(admin.listen), .def = "localhost:8751",
     .check = conf_check_address,
     .help = "Where health, metrics and the status page are served, in the forms of `listen`. An "
             "empty string switches it off."},
    {"admin.allow_quit", CT_BOOL, 0, AT(admin.allow_quit), .def = "false",
     .help = "Lets `POST /quitquitquit` on the admin address drain and end the daemon."},
    {"cloud", CT_ENUM, 0, AT(cloud), .def = "volcengine", .names = clouds,
     .help = "Which cloud is served: its endpoints, its STS and its SDKs' environment variables."},
    {"client_side_validation", CT_BOOL, 0, AT(client_side_validation), .def = "true",
     .help = "Answers a request to the path \"/\" that lacks `Action` or a well-formed `Version` "
             "with 400 instead of sending it."},
    {"region", CT_STRING, 0, AT(region), .def = "", .check = conf_check_label,
     .help = "The region when nothing else names one. The SDKs' variable VOLCENGINE_REGION "
             "(BYTEPLUS_REGION) gives it as well."},
    {"service", CT_STRING, 0, AT(service), .def = "", .check = conf_check_label,
     .help = "The service when nothing else names one."},
    {"profile", CT_STRING, 0, AT(profile), .def = "default", .check = conf_check_nonempty,
     .help = "The profile whose credentials sign when no client, policy, listener, header or route "
             "picks another."},
    {"policy", CT_STRING, 0, AT(policy), .def = "",
     .help = "The policy for requests that no client or listener has one for. Empty: everything is "
             "allowed."},
    {"workers", CT_INT, CF_RESTART, AT(workers), .def = "0", RANGE(0, 256),
     .help = "Event loop threads; 0 means one for each CPU."},
    {"drain_timeout", CT_TIME, 0, AT(drain_timeout_ns), .def = "30.0", RANGE(0, DAY),
     .help = "How long requests in flight may take to finish after SIGTERM."},
    {"profiles", CT_MAP, 0, AT(profiles), COUNT(nprofiles), "", .group = &conf_group_profile,
     .help = "Named sources of credentials. With none configured there is one, \"default\", of "
             "provider \"default\": environment, then OIDC, then the clouds' command line tool, "
             "then instance metadata."},

    {"endpoint.host", CT_STRING, 0, AT(endpoint.host), .def = "", .check = conf_check_hostport,
     .help = "One upstream HOST or HOST:PORT for all services, instead of the resolver. "
             "VOLCENGINE_ENDPOINT (BYTEPLUS_ENDPOINT) gives it as well."},
    {"endpoint.scheme", CT_STRING, 0, AT(endpoint.scheme), .def = "https", .names = schemes,
     .help = "How the upstream is spoken to. With \"http\" requests travel unencrypted; use it for "
             "test servers only."},
    {"endpoint.use_dual_stack", CT_BOOL, 0, AT(endpoint.use_dual_stack), .def = "false",
     .help = "Uses the endpoints that answer on IPv4 and IPv6. Given nowhere else, "
             "VOLC_ENABLE_DUALSTACK (BYTEPLUS_ENABLE_DUALSTACK) decides."},
    {"endpoint.resolver", CT_ENUM, 0, AT(endpoint.resolver), .def = "default", .names = resolvers,
     .help = "How a host is found for service and region: \"default\" falls back to the cloud's "
             "open endpoint for what it doesn't know, \"standard\" refuses it."},
    {"endpoint.custom_bootstrap_region", CT_STRS, 0, AT(endpoint.custom_bootstrap_region),
     .def = "", .check = conf_check_label,
     .help = "Regions the default resolver treats as known, besides the built-in ones."},
    {"endpoint.bootstrap_region_list", CT_STRING, 0, AT(endpoint.bootstrap_region_list), .def = "",
     .help = "A file with more such regions, one a line. VOLC_BOOTSTRAP_REGION_LIST_CONF "
             "(BYTEPLUS_BOOTSTRAP_REGION_LIST_CONF) gives it as well."},
    {"endpoint.services", CT_LIST, 0, AT(endpoint.services), COUNT(endpoint.nservices), "",
     .group = &conf_group_service,
     .help = "Services the resolvers don't know, or ones with a host of their own."},

    {"pool.num_pools", CT_INT, 0, AT(pool.num_pools), .def = "4", RANGE(1, 1024),
     .help = "Upstream hosts that have kept-alive connections at a time; the least recently used "
             "idle one makes room."},
    {"pool.connection_pool_maxsize", CT_INT, 0, AT(pool.connection_pool_maxsize), .def = "0",
     RANGE(0, 65536),
     .help = "Connections to one upstream host, all workers together; 0 means five for each CPU."},
    {"pool.idle_timeout", CT_TIME, 0, AT(pool.idle_timeout_ns), .def = "60.0", RANGE(0, DAY),
     .help = "How long an unused upstream connection is kept."},
    {"pool.max_age", CT_TIME, 0, AT(pool.max_age_ns), .def = "600.0", RANGE(1, DAY),
     .help = "How old an upstream connection may grow before no new request uses it."},
    {"pool.max_pending", CT_INT, 0, AT(pool.max_pending), .def = "1024", RANGE(0, 1000000),
     .help = "Requests that may wait for a connection to one host; more are answered with 503 "
             "PoolExhausted."},
    {"pool.pending_timeout", CT_TIME, 0, AT(pool.pending_timeout_ns), .def = "10.0", RANGE(0, 3600),
     .help = "How long a request may wait for a connection."},

    {"timeouts.connect_timeout", CT_TIME, 0, AT(timeouts.connect_ns), .def = "30.0",
     RANGE(0.001, 3600), .help = "TCP connect and TLS handshake of one attempt, together."},
    {"timeouts.read_timeout", CT_TIME, 0, AT(timeouts.read_ns), .def = "30.0", RANGE(0.001, DAY),
     .help = "The longest silence from the upstream while a response is awaited or read; a stream "
             "that keeps sending never trips it."},
    {"timeouts.request_timeout", CT_TIME, 0, AT(timeouts.request_ns), .def = "0.0", RANGE(0, DAY),
     .help = "Bounds the whole exchange, all attempts and waits included; 0 means no bound."},
    {"timeouts.client_header_timeout", CT_TIME, 0, AT(timeouts.client_header_ns), .def = "10.0",
     RANGE(0.1, 3600),
     .help = "How long a client may take to send a request head; on a new connection from its "
             "beginning."},
    {"timeouts.client_body_timeout", CT_TIME, 0, AT(timeouts.client_body_ns), .def = "30.0",
     RANGE(0.1, 3600), .help = "How long a client may take for each 64 KiB of a body."},
    {"timeouts.client_idle_timeout", CT_TIME, 0, AT(timeouts.client_idle_ns), .def = "120.0",
     RANGE(0.1, DAY), .help = "How long a client's connection may stay unused between requests."},
    {"timeouts.client_write_timeout", CT_TIME, 0, AT(timeouts.client_write_ns), .def = "60.0",
     RANGE(0.1, 3600), .help = "The longest time a client may take nothing of its response."},

    {"retry.auto_retry", CT_BOOL, 0, AT(retry.auto_retry), .def = "true",
     .help = "Retries failed attempts; false means exactly one attempt."},
    {"retry.num_max_retries", CT_INT, 0, AT(retry.num_max_retries), .def = "3", RANGE(0, 100),
     .help = "Retries after the first attempt."},
    {"retry.min_retry_delay_ms", CT_INT, 0, AT(retry.min_retry_delay_ms), .def = "30",
     RANGE(0, 3600000),
     .help = "The delay before the first retry, in milliseconds; later ones grow from it."},
    {"retry.max_retry_delay_ms", CT_INT, 0, AT(retry.max_retry_delay_ms), .def = "300000",
     RANGE(0, 3600000),
     .help = "The longest delay before a retry, in milliseconds; also caps the upstream's "
             "Retry-After."},
    {"retry.backoff_strategy", CT_ENUM, 0, AT(retry.backoff_strategy), .def = "exponential-jitter",
     .names = backoffs,
     .help = "How delays grow: \"none\" waits not at all, \"exponential\" doubles, "
             "\"exponential-jitter\" doubles and adds up to as much again at random, \"custom\" "
             "takes `retry.backoff_delays_ms`."},
    {"retry.backoff_delays_ms", CT_INTS, 0, AT(retry.backoff_delays_ms), .def = "",
     RANGE(0, 3600000),
     .help = "The delays of the \"custom\" strategy in milliseconds; the last one repeats."},
    {"retry.retry_error_codes", CT_STRS, 0, AT(retry.retry_error_codes), .def = "",
     .check = conf_check_nonempty,
     .help = "Error codes of the cloud (ResponseMetadata.Error.Code) that are retried, also inside "
             "a 200. With any set, JSON responses up to 64 KiB are held until they are complete."},
    {"retry.retry_status", CT_INTS, 0, AT(retry.retry_status), .def = "429,500,502,503,504",
     RANGE(400, 599), .help = "Response statuses that are retried."},
    {"retry.retry_network_errors", CT_FLAGS, 0, AT(retry.retry_network_errors),
     .def = "resolve,connect,timeout,reset,protocol", .names = network_errors,
     .help = "Kinds of network errors that are retried. A TLS verification failure never is."},
    {"retry.budget_percent", CT_INT, 0, AT(retry.budget_percent), .def = "20", RANGE(0, 100),
     .help = "Retries allowed as a share of live requests to a host (but at least 10 a second), so "
             "that an outage isn't multiplied."},
    {"retry.retry_after_send", CT_ENUM, 0, AT(retry.retry_after_send), .def = "always",
     .names = after_sends,
     .help = "What may be retried once bytes of it were sent: \"always\" as the SDKs do, \"safe\" "
             "only reading actions and requests with a ClientToken, or \"never\"."},
    {"retry.retry_signed_clients", CT_BOOL, 0, AT(retry.retry_signed_clients), .def = "false",
     .help = "Also retries requests that an SDK signed; SDKs retry by themselves, so attempts "
             "would multiply. A request that asks for retries by a header gets them anyway."},

    {"tls.verify_ssl", CT_BOOL, 0, AT(tls.verify_ssl), .def = "true",
     .help = "Verifies the upstream's certificate and name. Switch it off for test servers only."},
    {"tls.ca_file", CT_STRING, 0, AT(tls.ca_file), .def = "",
     .help = "Certificates (PEM) that are trusted instead of the system's."},
    {"tls.cert_file", CT_STRING, 0, AT(tls.cert_file), .def = "",
     .help = "A client certificate (PEM) for the upstream; needs `tls.key_file`."},
    {"tls.key_file", CT_STRING, 0, AT(tls.key_file), .def = "",
     .help = "The private key (PEM) of `tls.cert_file`; readable by its owner only."},
    {"tls.min_version", CT_STRING, 0, AT(tls.min_version), .def = "1.2", .names = tls_versions,
     .help = "The oldest TLS version spoken to the upstream."},

    {"proxy.http_proxy", CT_STRING, CF_URL, AT(proxy.http_proxy), .def = "",
     .check = conf_check_proxy,
     .help = "The proxy for http upstreams. Not set, the environment's http_proxy counts, then "
             "all_proxy; an empty "
             "string means none."},
    {"proxy.https_proxy", CT_STRING, CF_URL, AT(proxy.https_proxy), .def = "",
     .check = conf_check_proxy,
     .help = "The proxy for https upstreams. Not set, the environment's https_proxy counts, then "
             "all_proxy; an "
             "empty string means none."},
    {"proxy.no_proxy", CT_STRING, 0, AT(proxy.no_proxy), .def = "",
     .help = "Hosts that are reached without a proxy, separated by commas. Not set, the "
             "environment's no_proxy counts."},

    {"connect_to", CT_STRS, 0, AT(connect_to), .def = "", .check = conf_check_connect_to,
     .help =
         "HOST:PORT:CONNECT-HOST:CONNECT-PORT as curl's --connect-to: connections meant for the "
         "first pair go to the second, the signed host stays. An empty HOST or PORT matches all."},

    {"limits.max_body", CT_SIZE, 0, AT(limits.max_body), .def = "256M", RANGE(1, 1024 * GIB),
     .help = "The largest request body; larger ones are answered with 413."},
    {"limits.body_memory", CT_SIZE, 0, AT(limits.body_memory), .def = "256K", RANGE(0, GIB),
     .help = "How much of a body is held in memory before it moves to an unlinked temporary file."},
    {"limits.buffered_total", CT_SIZE, 0, AT(limits.buffered_total), .def = "256M",
     RANGE(1048576, 1024 * GIB),
     .help = "Memory for bodies and responses of all requests together; beyond it requests are "
             "answered with 503."},
    {"limits.max_connections", CT_INT, CF_RESTART, AT(limits.max_connections), .def = "16384",
     RANGE(1, 1000000), .help = "Client connections at a time."},
    {"limits.max_header", CT_SIZE, CF_RESTART, AT(limits.max_header), .def = "16K",
     RANGE(4096, 1048576),
     .help = "Memory for one client's request head; larger heads are answered with 431. An idle "
             "client costs about as much."},

    {"security.allow_remote", CT_BOOL, 0, AT(security.allow_remote), .def = "false",
     .help = "Allows listeners on other than loopback addresses, which then need `clients` or "
             "`client_tokens`. There is no TLS on listeners; put a TLS terminator in front."},
    {"security.allowed_hosts", CT_STRS, 0, AT(security.allowed_hosts), .def = "",
     .check = conf_check_host_pattern,
     .help = "More names under which clients may address the daemon (`Host`), as HOST, HOST:PORT "
             "or *.DOMAIN."},
    {"security.allowed_origins", CT_STRS, 0, AT(security.allowed_origins), .def = "",
     .check = conf_check_origin,
     .help = "Web origins (SCHEME://HOST[:PORT]) whose pages may send requests; all others are "
             "answered with 403."},
    {"security.endpoint_overrides", CT_STRS, 0, AT(security.endpoint_overrides), .def = "",
     .check = conf_check_host_pattern,
     .help = "Upstream hosts a request may choose with `X-Sigferry-Endpoint`, as HOST, HOST:PORT "
             "or *.DOMAIN."},
    {"security.strict_file_permissions", CT_BOOL, 0, AT(security.strict_file_permissions),
     .def = "true",
     .help = "Refuses files with secrets that others than their owner (we or root) may read or "
             "write, and certificates that others may write. A configuration file that anyone else "
             "may write is refused in any case, unless the environment or the command line sets "
             "this to false."},
    {"security.client_tokens", CT_SECRETS, 0, AT(security.client_tokens),
     COUNT(security.nclient_tokens), "", .check = conf_check_token,
     .help = "With any set, every request must carry one (`Authorization: Bearer T`, "
             "`X-Sigferry-Token: T` or `Proxy-Authorization: Bearer T`) or identify itself in "
             "another configured way."},
    {"security.allowed_uids", CT_INTS, 0, AT(security.allowed_uids), .def = "",
     RANGE(0, 4294967294.0),
     .help = "With any set, local users with these numbers are identified by their connection "
             "(Unix socket or loopback), and nobody is served without identity."},
    {"security.allowed_gids", CT_INTS, 0, AT(security.allowed_gids), .def = "",
     RANGE(0, 4294967294.0), .help = "The same for groups, on Unix sockets."},
    {"security.reject_forwarded", CT_BOOL, 0, AT(security.reject_forwarded), .def = "false",
     .help = "Refuses requests with Via, Forwarded, X-Forwarded-* or X-Real-IP instead of dropping "
             "these headers."},
    {"security.allow_presign", CT_BOOL, 0, AT(security.allow_presign), .def = "false",
     .help = "Lets requests ask for presigned URLs (`X-Sigferry-Presign`). Such a link outlives "
             "the daemon."},
    {"security.allow_http", CT_BOOL, 0, AT(security.allow_http), .def = "false",
     .help =
         "Lets requests ask for an unencrypted upstream connection (`X-Sigferry-Scheme: http`)."},

    {"policies", CT_LIST, 0, AT(policies), COUNT(npolicies), "", .group = &conf_group_policy,
     .help = "What may be asked of the clouds: named lists of \"service:action\" patterns that "
             "clients, listeners or the global `policy` refer to."},
    {"clients", CT_LIST, 0, AT(clients), COUNT(nclients), "", .group = &conf_group_client,
     .help = "Local keys, so that an SDK's own signature identifies its application. The signature "
             "is verified before the request is signed anew with the real credentials."},
    {"rate_limits", CT_LIST, 0, AT(rate_limits), COUNT(nrate_limits), "", .group = &conf_group_rate,
     .help = "Requests a second over all clients, by service and action. What exceeds a limit "
             "waits for a while, then is answered with 429 RateLimited."},
    {"routes", CT_LIST, 0, AT(routes), COUNT(nroutes), "", .group = &conf_group_route,
     .help = "What a path's beginning says about service, region and profile. It matches at a "
             "segment boundary, the longest first."},

    {"log.level", CT_ENUM, 0, AT(log.level), .def = "info", .names = levels,
     .help = "The least severe lines that are written."},
    {"log.file", CT_STRING, 0, AT(log.file), .def = "",
     .help = "Where the log goes; empty means standard error. SIGUSR1 reopens it."},
    {"log.format", CT_STRING, 0, AT(log.format), .def = "text", .check = conf_check_format,
     .help = "\"text\" (logfmt), \"json\", or a template of %(asctime)s, %(levelname)s and "
             "%(message)s."},
    {"log.access", CT_BOOL, 0, AT(log.access), .def = "true",
     .help = "Writes one line for each request."},
    {"log.debug", CT_FLAGS, 0, AT(log.debug), .def = "", .names = debugs,
     .help =
         "What is traced at level debug. The daemon's own secrets are never written; bodies are, "
         "as they come."},
};
const size_t conf_nrows = ARRAY_LEN(conf_rows);
