/* SPDX-License-Identifier: Apache-2.0 */
/* The clouds' V4 signature (HMAC-SHA256). Pure: no I/O, no clock, no configuration. Source: the
 * signers of the official Python and Go SDKs. */
#ifndef SIGFERRY_SIGN_SIGN_H
#define SIGFERRY_SIGN_SIGN_H

#include "base/buf.h"
#include "base/err.h"
#include "http/hdr.h"
#include "http/uri.h"
#include "sign/digest.h"

/* A signer belongs to one thread: digest contexts, scratch, and the cache of derived keys (secret
 * id, day, region, service → key; bounded, least recently used goes first). */
struct signer;
NODISCARD struct signer *signer_new(void);
void signer_free(struct signer *s);
/* Forgets and wipes every derived key of that secret (0: of all) and what the last request left. */
void signer_forget(struct signer *s, uint64_t secret_id);

/* A credential as signing sees it; the strings are borrowed. */
struct sign_cred {
    struct str access_key, secret_key, session_token; /* token empty when there is none */
    uint64_t secret_id; /* unique for the life of the process; 0: do not cache the derived key */
};

struct sign_input {
    struct str method;
    struct str path, query;  /* canonical, as uri.h makes them; sent as they are */
    struct str host;         /* the Host to be sent, with its port if it has one */
    const struct hdrs *hdrs; /* all that will be forwarded, without Host and without the four that
                                signing makes (X-Date, X-Content-Sha256, X-Security-Token,
                                Authorization). Signed of these: Content-Type, Content-Md5, X-*;
                                names must be unique among them */
    struct str body_sha256;  /* 64 lower-case hex digits */
    struct str service, region;
    int64_t time_s; /* unix seconds, UTC */
    const struct sign_cred *cred;
};

enum { SIGN_DATE_LEN = 16, SIGN_AUTH_MAX = 4096 };

struct sign_output {
    char x_date[SIGN_DATE_LEN + 1];
    struct str authorization; /* valid until the signer's next call */
    /* filled for --explain and dry runs; views valid until the signer's next call */
    struct str canonical_request, string_to_sign, signed_headers;
};

/* Signs. ERR_HEADERS_TOO_LARGE when there is more than can be signed, ERR_INVALID_REQUEST when a
 * name occurs twice, ERR_INTERNAL when OpenSSL fails. */
NODISCARD enum err sign_request(struct signer *s, const struct sign_input *in,
                                struct sign_output *out);

struct presign_input {
    struct str method, path;       /* canonical path */
    const struct uri_query *query; /* canonical pairs, without any X-… authentication */
    struct str host;               /* empty: not signed */
    struct str service, region;
    int64_t time_s;
    int64_t expires_s; /* > 0: adds X-Expires before signing; 0: none */
    const struct sign_cred *cred;
};
struct presign_output {
    struct str query; /* the complete signed query, form-encoded; valid until the next call */
    struct str canonical_request, string_to_sign;
};
/* Signs by the query. ERR_INVALID_QUERY when it carries authentication already or a name with a
 * ';', ERR_HEADERS_TOO_LARGE or ERR_INVALID_REQUEST when something does not fit, ERR_INTERNAL or
 * ERR_OVERLOADED when memory is short. */
NODISCARD enum err sign_presign(struct signer *s, const struct presign_input *in,
                                struct presign_output *out);

/* Is this, in any case, the name of a query parameter that carries the authentication of a
 * presigned query? */
bool sign_is_auth_parameter(struct str name);

/* Reads an X-Date (exactly YYYYMMDDTHHMMSSZ, an existing date from 1970 on) as unix seconds; false
 * when it is not one. */
NODISCARD bool sign_date_parse(struct str x_date, int64_t *unix_s);

#endif
