/* SPDX-License-Identifier: Apache-2.0 */
/* The environment's part in credentials: read once a process, before threads; strings that hold a
 * key are moved into secret memory and overwritten where they stood. Private to src/cred. */
#ifndef SIGFERRY_CRED_ENV_H
#define SIGFERRY_CRED_ENV_H

#include "base/secret.h"
#include "endpoint/endpoint.h"

/* Reads the environment on the first call, does nothing on later ones until
 * cred_forget_environment. false: memory is short. */
NODISCARD bool cred_env_capture(void);

/* VOLCENGINE_ or BYTEPLUS_ plus suffix (one of the plain ones in cred_env.c) as captured; "" when
 * not set. */
const char *cred_env_var(enum endpoint_cloud cloud, const char *suffix);
/* HOME and CREDENTIALS_DIRECTORY as captured; "" when not set. */
const char *cred_env_plain(const char *name);
/* The prefix itself, for messages: "VOLCENGINE" or "BYTEPLUS". */
const char *cred_env_prefix(enum endpoint_cloud cloud);

#endif
