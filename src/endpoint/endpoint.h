/* SPDX-License-Identifier: Apache-2.0 */
/* Which host serves a service in a region, and the way back. Facts from the official SDKs; the
 * tables are generated (endpoint_table.c). Pure. */
#ifndef SIGFERRY_ENDPOINT_ENDPOINT_H
#define SIGFERRY_ENDPOINT_ENDPOINT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum endpoint_cloud { CLOUD_VOLCENGINE, CLOUD_BYTEPLUS };
enum endpoint_resolver { RESOLVER_DEFAULT, RESOLVER_STANDARD };
enum { ENDPOINT_HOST_MAX = 256 };

/* A service of the configuration (endpoint.services): known to the resolvers and to the way back.
 */
struct endpoint_service {
    struct str service;
    struct str host; /* may be empty: only the global flag is set then */
    bool global;
};

struct endpoint_query {
    enum endpoint_cloud cloud;
    enum endpoint_resolver resolver;
    bool dual_stack;
    struct str service, region;
    const struct str *extra_regions; /* custom_bootstrap_region and the region list file together */
    size_t nextra;
    const struct endpoint_service *services; /* endpoint.services */
    size_t nservices;
};

/* Writes the host (NUL-terminated) for the query by the rules after custom endpoints (a service of
 * `services` with a host gives that host). ERR_INVALID_REGION or ERR_SERVICE_NOT_FOUND with the
 * standard resolver; why names the nearest known one. */
NODISCARD enum err endpoint_resolve(const struct endpoint_query *q, char host[ENDPOINT_HOST_MAX],
                                    struct err_detail *why);

/* What a host says. Empty strings where it does not. */
struct endpoint_reverse {
    struct str service; /* the table's code, or the label as it stands; points into the table or the
                           host */
    struct str region;
    bool dual_stack;
    bool known; /* the host is an endpoint of this cloud (also open.…, which names neither) */
};

/* Reads a host (no port, any case) by the reverse rules. scratch holds the lower-cased host that
 * the answer's views point into. */
void endpoint_reverse(enum endpoint_cloud cloud, struct str host, char scratch[ENDPOINT_HOST_MAX],
                      struct endpoint_reverse *out);

/* The table's code for a service name in any case ("Redis" and "redis" → "redis"); {NULL,0} when
 * the name is in neither resolver's table. */
struct str endpoint_service_code(enum endpoint_cloud cloud, struct str name);

/* True for a region that the cloud's tables name. */
bool endpoint_region_known(enum endpoint_cloud cloud, struct str region);

/* [A-Za-z0-9_-]{1,64} */
bool endpoint_is_label(struct str s);

#endif
