/* SPDX-License-Identifier: Apache-2.0 */
/* What `sign` and `presign` sign: a URL, taken apart and made canonical, with the service and
 * region it is for. */
#ifndef SIGFERRY_CLI_TARGET_H
#define SIGFERRY_CLI_TARGET_H

#include "base/arena.h"
#include "cli/cli.h"
#include "cred/cred.h"

struct cli_target {
    struct str scheme, authority; /* as they stand in the URL */
    struct str path, query;       /* canonical */
    struct uri_query pairs;
    struct str service, region;
};

/* The one operand, a URL; NULL after a message when there is another number of them. */
NODISCARD const char *cli_url(const struct cli *c);

/* Fills *t from the URL: service and region from the options, else from the host (as the proxy
 * reads it: endpoint.services, endpoint.host, the cloud's endpoints), else from the configuration.
 * Everything lives in the arena, the
 * arguments or conf. CLI_OK, or the exit code after a message. */
NODISCARD int cli_target(const struct cli *c, const struct conf *conf, const char *url,
                         struct arena *a, struct cli_target *t);

/* YYYYMMDDTHHMMSSZ or RFC 3339 as unix seconds; NULL means now. CLI_OK or CLI_USAGE. */
NODISCARD int cli_date(const struct cli *c, const char *text, int64_t *unix_s);

/* The credential of conf's profile; NULL after a message. */
NODISCARD struct cred *cli_cred(const struct cli *c, struct conf *conf);

/* GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS? CLI_OK or CLI_USAGE. */
NODISCARD int cli_method(const struct cli *c, struct str method);

#endif
