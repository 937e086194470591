/* SPDX-License-Identifier: Apache-2.0 */
/* The instance role's credential, for the providers "ecs" and "cli". Private to src/cred. */
#ifndef SIGFERRY_CRED_ECS_H
#define SIGFERRY_CRED_ECS_H

#include "cred/cred_provider.h"

/* Asks the metadata service for that role's credential; "" for the first one attached. */
NODISCARD struct cred *cred_ecs_fetch(struct cred_ctx *ctx, const char *role_name,
                                      struct err_detail *why);

#endif
