/* SPDX-License-Identifier: Apache-2.0 */
/* From a request head to a decision: who asks, which service, region, profile and upstream, with
 * which options, and the exact path, query and headers that will be signed and sent. No I/O. */
#ifndef SIGFERRY_PROXY_ROUTE_H
#define SIGFERRY_PROXY_ROUTE_H

#include "base/arena.h"
#include "conf/conf.h"
#include "http/gate.h"
#include "proxy/identity.h"

/* Where a request came in, and from whom. */
struct route_listener {
    const struct conf_listener *conf; /* its service, region, profile, policy, identities */
    unsigned port;                    /* 0 for Unix sockets */
    bool is_unix;
    struct identity_peer peer; /* zeroed: not known, which no uid or gid rule accepts */
};

/* Effective options: the configured ones, or what X-Sigferry-* asked for. */
struct route_options {
    uint64_t connect_ns, read_ns, request_ns; /* 0: no limit */
    bool auto_retry, retry_asked;             /* asked: by the request itself, whoever signed it */
    int64_t num_max_retries, min_retry_delay_ms, max_retry_delay_ms;
    enum conf_backoff backoff_strategy;
    const struct str *retry_error_codes;
    size_t nretry_error_codes;
    bool dry_run, presign;
};

enum { ROUTE_SPARE_HEADERS = 8 };

struct route {
    struct str service, region, action, version; /* action, version decoded; empty when absent */
    const struct conf_client *client; /* the local key it claims: before anything is sent,
                                         identity_verify must accept it; NULL for none */
    unsigned profile;                 /* index into conf->profiles */
    const struct conf_policy *policy; /* NULL for none */
    struct str scheme;                /* "https" or "http" */
    struct str host;                  /* upstream host without port and brackets, lower-cased,
                                         NUL-terminated */
    unsigned port;                    /* upstream port */
    struct str
        host_header; /* Host to send and sign: host, with :port unless it is the scheme's own */
    bool by_name;    /* the host was configured by name: private addresses are fine */
    struct str host_region; /* of the policy's regions: the one that the upstream's name says, when
                               it says one; another than `region` may be signed for */
    struct str path, query; /* canonical */
    struct uri_query pairs; /* the query as pairs */
    struct hdrs forward;    /* headers to sign and send, except Host and the four that signing
                               makes and Content-Length; signed ones joined to be unique;
                               ROUTE_SPARE_HEADERS more fit */
    struct str client_sha256; /* client-supplied body hash, lower-case; empty when none */
    bool sdk_signed;          /* an Authorization: HMAC-SHA256 came with it */
    struct route_options opt;
};

/* Decides, identity included (policy_check, rate limit and identity_verify are the caller's, in
 * this order, before anything is sent or shown). Everything in *out lives in the arena, the head,
 * or the conf. Which rule wins is described in docs/ADDRESSING.md. ERR_… with why on a refusal;
 * *out holds what was known by then (service, region, action, version for the error's body). */
NODISCARD enum err route_request(const struct conf *c, const struct route_listener *l,
                                 const struct gate_head *head, const struct gate_verdict *v,
                                 struct arena *a, struct route *out, struct err_detail *why);

/* After the body is known: default Content-Type (none for a bodyless GET, else the form type) as
 * the official signers set it. false when the header list is full. */
NODISCARD bool route_default_content_type(struct route *r, struct str method, bool has_body);

/* The table's or the configuration's spelling of a service; the name itself when unknown. */
struct str route_service_name(const struct conf *c, struct str name);

/* What the host of a URL says about service and region when it is asked for (the second rule);
 * empty where it says nothing. wanted: preferred when several configured services share the host.
 * The strings live in the arena, *h or the conf. Errors as route_request's. */
NODISCARD enum err route_url_names(const struct conf *c, const struct uri_host *h,
                                   struct str wanted, struct arena *a, struct str *service,
                                   struct str *region, struct err_detail *why);

/* True when connect_to names that host, or where to go for it: configured by name. */
bool route_is_named(const struct conf *c, struct str host, unsigned port);

#endif
