/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a command run behind the proxy. Private to exec. */
#ifndef SIGFERRY_CLI_EXEC_ENV_H
#define SIGFERRY_CLI_EXEC_ENV_H

#include "base/attr.h"
#include <stdbool.h>

/* What the command has to know. */
struct exec_target {
    char listener[128]; /* "127.0.0.1:40123" */
    char region[80];    /* "" when none is configured */
    bool byteplus;      /* the cloud the region is one of */
};

/* Overwrites and removes every variable of this process that holds a key, a token or a password, or
 * that leads an SDK to some: the clouds' credential variables, all of SIGFERRY_, the HTTP proxy. */
void exec_env_clear(void);

/* Sets what leads to the proxy: SIGFERRY_URL, http_proxy, the SDKs' endpoint and region, and keys
 * that are none. false when memory is short. */
NODISCARD bool exec_env_set(const struct exec_target *t);

#endif
