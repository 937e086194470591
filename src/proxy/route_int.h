/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of routing share. Only route*.c include this. */
#ifndef SIGFERRY_PROXY_ROUTE_INT_H
#define SIGFERRY_PROXY_ROUTE_INT_H

#include "proxy/route.h"

/* The X-Sigferry-* headers. X(id, rest of the name) */
#define ROUTE_OPTIONS(X)                                                                           \
    X(SERVICE, "Service")                                                                          \
    X(REGION, "Region")                                                                            \
    X(PROFILE, "Profile")                                                                          \
    X(SCHEME, "Scheme")                                                                            \
    X(ENDPOINT, "Endpoint")                                                                        \
    X(DUAL_STACK, "Dual-Stack")                                                                    \
    X(CONNECT_TIMEOUT, "Connect-Timeout")                                                          \
    X(READ_TIMEOUT, "Read-Timeout")                                                                \
    X(REQUEST_TIMEOUT, "Request-Timeout")                                                          \
    X(AUTO_RETRY, "Auto-Retry")                                                                    \
    X(NUM_MAX_RETRIES, "Num-Max-Retries")                                                          \
    X(MIN_RETRY_DELAY, "Min-Retry-Delay-Ms")                                                       \
    X(MAX_RETRY_DELAY, "Max-Retry-Delay-Ms")                                                       \
    X(BACKOFF, "Backoff-Strategy")                                                                 \
    X(ERROR_CODES, "Retry-Error-Codes")                                                            \
    X(VALIDATION, "Client-Side-Validation")                                                        \
    X(DRY_RUN, "Dry-Run")                                                                          \
    X(PRESIGN, "Presign")                                                                          \
    X(TOKEN, "Token")

enum route_option {
#define X(id, name) OPT_##id,
    ROUTE_OPTIONS(X)
#undef X
        OPT_COUNT
};

/* What becomes of a header field. */
enum route_field {
    FIELD_DROP,
    FIELD_PLAIN,
    FIELD_SIGNED,   /* covered by the signature: names must be unique */
    FIELD_ENCODING, /* Accept-Encoding: not sent when answers are looked into */
};

/* What the host asked for is. */
enum route_asked {
    ASKED_SELF,     /* this proxy itself: says nothing */
    ASKED_LOCAL,    /* SERVICE[.REGION].localhost */
    ASKED_ENDPOINT, /* an endpoint of the cloud or of the configuration: the upstream, too */
};

/* One request on its way through route_request. */
struct route_work {
    const struct conf *c;
    const struct route_listener *l;
    const struct gate_head *head;
    const struct gate_verdict *v;
    struct arena *a;
    struct route *out;
    struct err_detail *why;

    /* by route_headers_scan; values trimmed */
    unsigned char field[GATE_MAX_HEADERS]; /* enum route_field of each */
    struct str origin, referer, sec_fetch_site, sha256;
    unsigned norigin, nreferer, nsec_fetch_site, nsha256;
    struct str forwarded; /* name of a field that another proxy left, empty for none */
    struct identity_claim claim;
    bool nominates; /* a Connection field names fields to drop */
    struct str option[OPT_COUNT];
    unsigned option_given; /* bits 1 << enum route_option */
    struct str bad_option; /* name of the first unknown or repeated one */
    bool bad_option_repeated;

    /* by route_host_check */
    enum route_asked asked;
    struct str asked_host; /* lower-cased, without port */
    struct str asked_service, asked_region;
    bool asked_in_table;      /* asked_service is a service of the table or the configuration */
    bool asked_shared;        /* several services of the configuration have the host asked for */
    struct uri_host asked_at; /* that host */

    /* by route_options_apply */
    struct str ask_service, ask_region, ask_profile, ask_scheme;
    struct uri_host ask_endpoint; /* host empty when not given */
    bool dual_stack, validate;
};

/* Classifies every field once and collects what the decisions need. */
NODISCARD enum err route_headers_scan(struct route_work *w);
/* Builds out->forward. After the options, which decide on Accept-Encoding. */
NODISCARD enum err route_headers_forward(struct route_work *w);

/* The Host rule, and what the host says about service and region. */
NODISCARD enum err route_host_check(struct route_work *w);
/* Refuses what web pages send, unless security.allowed_origins has the page. */
NODISCARD enum err route_page_check(struct route_work *w);
/* X-Sigferry-Endpoint against security.endpoint_overrides. */
NODISCARD enum err route_override_check(struct route_work *w);
/* What an upstream host says: its service when that is one of the table or the configuration, else
 * empty. wanted: preferred when several configured services share the host. */
struct str route_host_service(struct route_work *w, const struct uri_host *h, struct str wanted);
/* False when the host asked for belongs to several services of the configuration and service is
 * none of them. */
bool route_host_serves(struct route_work *w, struct str service);
/* The region that an upstream host's name says, {NULL,0} when it says none. */
struct str route_host_region(struct route_work *w, struct str host);

/* Sets out->opt from the configuration, then what X-Sigferry-* ask for. */
void route_options_default(struct route_work *w);
NODISCARD enum err route_options_apply(struct route_work *w);
/* After a refusal: service and region as far as the headers name them. */
void route_options_names(struct route_work *w);
/* The index of the option with that full header name, OPT_COUNT when there is none. */
enum route_option route_option_find(struct str name);

/* Lower-cased copy in the arena, s itself when it is lower-case already; {NULL,0} when full. */
struct str route_lower(struct arena *a, struct str s);

enum err route_full(struct err_detail *why);

#endif
