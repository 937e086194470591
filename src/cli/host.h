/* SPDX-License-Identifier: Apache-2.0 */
/* Which host the configuration sends a service's requests to, for commands that only look. */
#ifndef SIGFERRY_CLI_HOST_H
#define SIGFERRY_CLI_HOST_H

#include "conf/conf.h"

/* endpoint.services before endpoint.host before the resolver. Writes the host, with a port where
 * one is configured. Errors as endpoint_resolve's. */
NODISCARD enum err cli_host(const struct conf *conf, struct str service, struct str region,
                            char host[ENDPOINT_HOST_MAX], struct err_detail *why);

#endif
