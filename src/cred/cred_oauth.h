/* SPDX-License-Identifier: Apache-2.0 */
/* The command line tool's browser logins (modes "sso" and "console-login" of its profiles): the
 * tokens its cache files hold, renewed in memory, never written back. Private to src/cred. */
#ifndef SIGFERRY_CRED_OAUTH_H
#define SIGFERRY_CRED_OAUTH_H

#include "cred/cred_provider.h"

struct cred_oauth; /* tokens of one profile; kept in struct cred_memory */

/* Wipes. NULL is fine. */
void cred_oauth_free(struct cred_oauth *o);

/* Mode "sso": the session's access token buys the role's credential from the portal. */
struct cred_sso {
    struct str session_name, start_url, region; /* of the sso-session; region may be empty */
    struct str account_id, role_name;
};
NODISCARD struct cred *cred_oauth_sso(struct cred_ctx *ctx, const char *config_path,
                                      const struct cred_sso *sso, struct err_detail *why);
/* Mode "console-login": the access token is the credential. */
NODISCARD struct cred *cred_oauth_console(struct cred_ctx *ctx, const char *config_path,
                                          struct str login_session, struct err_detail *why);

/* The names of the cache files, as the tool makes them. */
enum { CRED_CACHE_NAME_MAX = 64 };
void cred_oauth_sso_name(struct str start_url, struct str session_name,
                         char out[CRED_CACHE_NAME_MAX]);
void cred_oauth_console_name(struct str login_session, char out[CRED_CACHE_NAME_MAX]);

#endif
