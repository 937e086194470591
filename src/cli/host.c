/* SPDX-License-Identifier: Apache-2.0 */
/* The order of endpoints without a request that could say more. Asks no network. */
#include "cli/host.h"

enum err cli_host(const struct conf *conf, struct str service, struct str region,
                  char host[ENDPOINT_HOST_MAX], struct err_detail *why)
{
    const struct endpoint_query q = {
        .cloud = conf->cloud,
        .resolver = conf->endpoint.resolver,
        .dual_stack = conf->endpoint.use_dual_stack,
        .service = service,
        .region = region,
        .extra_regions = conf->endpoint.extra_regions,
        .nextra = conf->endpoint.nextra_regions,
        .services = conf->endpoint.services,
        .nservices = conf->endpoint.nservices,
    };
    for (size_t i = 0; i < q.nservices; i++)
        if (q.services[i].host.n && str_ieq(q.services[i].service, service))
            return endpoint_resolve(&q, host, why);
    if (!*conf->endpoint.host)
        return endpoint_resolve(&q, host, why);
    int n = snprintf(host, ENDPOINT_HOST_MAX, "%s", conf->endpoint.host);
    return n > 0 && n < ENDPOINT_HOST_MAX
               ? ERR_OK
               : err_set(why, ERR_INVALID_REQUEST, "endpoint.host is too long");
}
