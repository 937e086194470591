/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by cred_oauth.c (the tokens: reading, renewing), cred_sso.c and cred_console.c (what each
 * kind of login makes of them). Private to those. */
#ifndef SIGFERRY_CRED_OAUTH_INT_H
#define SIGFERRY_CRED_OAUTH_INT_H

#include "cred/cred_http.h"
#include "cred/cred_json.h"
#include "cred/cred_oauth.h"
#include "sign/digest.h"

/* Tokens as last read from the cache file or renewed. Absent strings are "", absent secrets NULL.
 */
struct cred_oauth {
    char *path;
    struct cred_mark mark; /* of the file when it was read */
    struct secret *access; /* the access token; a console login's is the JSON text of its keys */
    struct secret *refresh, *client_secret;
    /* of the refresh token that the file held when it was read: the token itself may be used up and
     * has no reason to stay in memory */
    unsigned char refresh_read[DIGEST_LEN];
    bool has_refresh_read;
    char *client_id, *scope, *endpoint;
    int64_t expires_s;        /* of the access token */
    int64_t client_expires_s; /* of the client secret, and with it of the renewals; 0: not said */
};

enum cred_login { CRED_LOGIN_SSO, CRED_LOGIN_CONSOLE };

/* DIR/SUB/NAME, DIR being the configuration file's, or just CACHE/NAME when cache is not "". */
NODISCARD char *cred_oauth_path(const char *config_path, const char *cache, const char *sub,
                                const char *name);

/* The tokens of that file: as in memory, or read from it when it changed since. NULL with why set.
 */
NODISCARD struct cred_oauth *cred_oauth_open(struct cred_ctx *ctx, enum cred_login login,
                                             const char *path, struct err_detail *why);

/* Makes the access token a good one: as it stands, else renewed; a console login's, which is the
 * credential itself, is renewed also when ctx->want asks for that. post makes one renewal call with
 * the tokens in hand. A refused renewal is tried once more with the file's tokens when they are
 * others. false with why set. */
NODISCARD bool cred_oauth_renew(struct cred_ctx *ctx, enum cred_login login, struct cred_oauth *o,
                                bool (*post)(struct cred_ctx *ctx, const struct cred_oauth *o,
                                             const void *arg, struct fetch_response *r,
                                             struct err_detail *why),
                                const void *arg, struct err_detail *why);

/* What to do when a login is no good any more: "run `ve sso login`" and the like. */
const char *cred_oauth_cure(const struct cred_ctx *ctx, enum cred_login login);

#endif
