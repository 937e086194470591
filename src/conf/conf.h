/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: immutable once loaded, refcounted, shared by all threads. conf_table.c holds
 * one row a key; parsing, printing, environment twins, bounds and documentation derive from it.
 * Times are nanoseconds, sizes bytes, strings never NULL ("" when not set). All memory belongs to
 * the conf and lives until its last reference goes. */
#ifndef SIGFERRY_CONF_CONF_H
#define SIGFERRY_CONF_CONF_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/secret.h"
#include "endpoint/endpoint.h"
#include <stdatomic.h>
#include <stdio.h>

struct fetch_net;

struct conf_strs {
    const char **v;
    size_t n;
};
struct conf_ints {
    int64_t *v;
    size_t n;
};

enum conf_backoff { BACKOFF_NONE, BACKOFF_EXPONENTIAL, BACKOFF_JITTER, BACKOFF_CUSTOM };
enum conf_after_send { AFTER_SEND_ALWAYS, AFTER_SEND_SAFE, AFTER_SEND_NEVER };
enum conf_policy_mode { POLICY_ENFORCE, POLICY_WARN, POLICY_RECORD };

struct conf_listener {
    const char *address, *mode, *owner, *group, *service, *region, *profile, *policy;
    struct secret **client_tokens;
    size_t nclient_tokens;
    struct conf_ints allowed_uids, allowed_gids;
};

/* A profile: its provider and that provider's settings (docs/CREDENTIALS.md), unset ones "". */
struct conf_profile {
    const char *name, *provider;
    const char *access_key;
    struct secret *secret_key, *session_token; /* NULL when not set */
    const char *file, *config_file, *cli_profile, *role_trn, *role_name, *account_id;
    const char *oidc_token_file, *role_session_name, *policy, *source_profile;
    const char *saml_provider_trn, *saml_response_file;
    const char *sts_endpoint, *sts_scheme, *sts_region;
    int64_t duration_seconds;
};

struct conf_policy {
    const char *name, *profile;
    enum conf_policy_mode mode;
    struct conf_strs allow, deny, regions;
};
struct conf_client {
    const char *name, *access_key, *profile, *policy;
    struct secret *secret_key;
};
struct conf_rate {
    const char *match;
    double rate, burst;
    uint64_t wait_ns;
};
struct conf_route {
    const char *prefix, *service, *region, *profile;
    bool strip_prefix;
};

struct conf {
    _Atomic unsigned refs;
    struct arena arena;
    char *path; /* the file read, NULL for none */

    struct conf_listener *listen;
    size_t nlisten;
    struct {
        const char *listen;
        bool allow_quit;
    } admin;
    enum endpoint_cloud cloud;
    bool client_side_validation;
    const char *region, *service, *profile, *policy;
    int64_t workers; /* 0: one a CPU */
    uint64_t drain_timeout_ns;
    struct conf_profile *profiles;
    size_t nprofiles; /* at least one: "default" */
    struct {
        const char *host, *scheme, *bootstrap_region_list;
        bool use_dual_stack;
        enum endpoint_resolver resolver;
        struct conf_strs custom_bootstrap_region;
        struct endpoint_service *services;
        size_t nservices;
        struct str *extra_regions; /* custom_bootstrap_region plus the lines of the list file */
        size_t nextra_regions;
    } endpoint;
    struct {
        int64_t num_pools, connection_pool_maxsize, max_pending;
        uint64_t idle_timeout_ns, max_age_ns, pending_timeout_ns;
    } pool;
    struct {
        uint64_t connect_ns, read_ns, request_ns, client_header_ns, client_body_ns, client_idle_ns,
            client_write_ns;
    } timeouts;
    struct {
        bool auto_retry, retry_signed_clients;
        int64_t num_max_retries, min_retry_delay_ms, max_retry_delay_ms, budget_percent;
        enum conf_backoff backoff_strategy;
        enum conf_after_send retry_after_send;
        struct conf_ints backoff_delays_ms, retry_status;
        struct conf_strs retry_error_codes;
        unsigned retry_network_errors; /* bits 1 << enum err_retry */
    } retry;
    struct {
        bool verify_ssl;
        const char *ca_file, *cert_file, *key_file, *min_version;
    } tls;
    struct {
        const char *http_proxy, *https_proxy, *no_proxy;
    } proxy;
    struct conf_strs connect_to;
    struct {
        uint64_t max_body, body_memory, buffered_total, max_header;
        int64_t max_connections;
    } limits;
    struct {
        bool allow_remote, strict_file_permissions, reject_forwarded, allow_presign, allow_http;
        struct conf_strs allowed_hosts, allowed_origins, endpoint_overrides;
        struct secret **client_tokens;
        size_t nclient_tokens;
        struct conf_ints allowed_uids, allowed_gids;
    } security;
    struct conf_policy *policies;
    size_t npolicies;
    struct conf_client *clients;
    size_t nclients;
    struct conf_rate *rate_limits;
    size_t nrate_limits;
    struct conf_route *routes;
    size_t nroutes;
    struct {
        enum log_level level;
        const char *file, *format;
        bool access;
        unsigned debug; /* LOGD_ bits */
    } log;

    /* private to conf: where each value came from, for conf_print */
    struct conf_origin *origins;
};

/* What the command line gave. Arrays are borrowed for the call. */
struct conf_args {
    const char *config;        /* --config, or NULL: $SIGFERRY_CONFIG, XDG, /etc, none */
    const char *const *listen; /* -l, in order */
    size_t nlisten;
    const char *admin, *cloud, *region, *service, *profile, *workers, *log_level,
        *log_format;        /* or NULL */
    const char *const *set; /* "key=value" */
    size_t nset;
    bool no_file; /* never read a file */
};

/* Loads and checks everything: flags > SIGFERRY_ environment > the SDKs' environment > file >
 * defaults. NULL on failure: then errs (initialised by the caller) holds one "file:line: key:
 * reason" a line ("env NAME: …", "flag --x: …" for the other sources). Warnings (unknown SIGFERRY_*
 * variables, …) are logged. Environment strings that hold secrets are overwritten, proxy variables
 * unset; what they said is kept for the next load. Main thread only; the first call before any
 * other thread is started. */
NODISCARD struct conf *conf_load(const struct conf_args *args, struct buf *errs);

struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c);

/* Every key with its effective value and origin, secrets masked: "key = value  # origin" lines.
 * false when memory was too short to show a value; the others are there. */
NODISCARD bool conf_print(const struct conf *c, FILE *out);
/* The same as a JSON object {"key": {"value": …, "origin": "…"}}, appended. */
void conf_print_json(const struct conf *c, struct buf *out);
/* The reference of all keys from the table, as Markdown (docs/CONFIG.md). */
void conf_reference(FILE *out);
/* A sample file with every key at its default, commented out (etc/sigferry.conf). */
void conf_template(FILE *out);
/* One key's documentation; false when there is no such key (the nearest is printed then). */
NODISCARD bool conf_explain(const char *key, FILE *out);

/* Where a key's value came from, as conf_print shows it: "file:line", "env NAME", "flag --x" or
 * "default"; for "profiles.NAME.KEY" and "policies[0].KEY" as well. Returns out. */
const char *conf_where(const struct conf *c, const char *key, char *out, size_t size);

/* Look-ups by name; NULL when there is none. */
const struct conf_profile *conf_profile_find(const struct conf *c, struct str name);
const struct conf_policy *conf_policy_find(const struct conf *c, struct str name);

/* How the network is reached, for fetch_run (io/fetch.h); borrows from c. */
struct fetch_net conf_net(const struct conf *c);

/* Keys whose change needs a restart and that differ between the two, one a line, appended. */
void conf_restart_needed(const struct conf *before, const struct conf *after, struct buf *out);

#endif
