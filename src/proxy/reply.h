/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies made by the proxy itself: errors in the clouds' own shape, dry runs, presigned URLs.
 * The only JSON writer of the request path. */
#ifndef SIGFERRY_PROXY_REPLY_H
#define SIGFERRY_PROXY_REPLY_H

#include "base/buf.h"
#include "base/err.h"
#include "proxy/route.h"
#include "sign/sign.h"

/* {"ResponseMetadata":{…,"Error":{"Code":"Sigferry.CODE","Message":"…"}}} appended to out. r may be
 * NULL (nothing known yet); detail NULL or empty: the error's default text. */
void reply_error(struct buf *out, enum err e, const struct err_detail *detail,
                 const struct route *r, struct str request_id);

/* The dry-run JSON: url, method, headers, canonical_request, string_to_sign; the session token is
 * masked in headers and canonical request. hdrs are the signed request's headers. */
void reply_dry_run(struct buf *out, const struct route *r, struct str method,
                   const struct hdrs *hdrs, const struct sign_output *so);

/* The presigned URL and a newline (text/plain). It carries the session token, if there is one: it
 * would be worth nothing without. */
void reply_presign(struct buf *out, const struct route *r, struct str query);

enum { REPLY_CODE_MAX = 128 };

/* ResponseMetadata.Error.Code of an upstream's JSON body, copied into scratch; empty when there is
 * none or it does not fit. */
struct str reply_error_code(struct str json, char scratch[REPLY_CODE_MAX]);

#endif
