/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of sign.h: checks a received signature. Used by the sandbox and for local client
 * keys. Pure. */
#ifndef SIGFERRY_SIGN_VERIFY_H
#define SIGFERRY_SIGN_VERIFY_H

#include "sign/sign.h"

/* What an Authorization field (or presigned query) claims. Views into the input. */
struct verify_scope {
    struct str access_key, date, region, service, signed_headers, signature;
};

/* Parses "HMAC-SHA256 Credential=AK/DATE/REGION/SERVICE/request, SignedHeaders=…, Signature=hex";
 * false when it is not exactly that. */
NODISCARD bool verify_parse(struct str authorization, struct verify_scope *out);

struct verify_input {
    struct str method;
    struct str path, query;  /* raw, as received: canonicalised here */
    const struct hdrs *hdrs; /* as received, Host and Authorization included */
    struct str body_sha256;  /* 64 hex digits of the body really received */
    int64_t time_s;          /* now */
    int64_t window_s;        /* largest |now - X-Date| accepted; 0: any */
    bool sdk_made;           /* also accept what some official SDKs leave out, see below */
};

enum verify_result {
    VERIFY_OK,
    VERIFY_MALFORMED,
    VERIFY_BODY_HASH,
    VERIFY_DATE,
    VERIFY_MISMATCH,
    VERIFY_TOKEN
};

struct verify_output {
    struct verify_scope scope;
    struct str canonical_request, string_to_sign; /* valid until the signer's next call */
    const char *why;                              /* static text naming what is wrong */
};

/* Verifies a header signature with that credential (found by the caller through verify_parse and
 * the access key). Signed headers must include host, x-date and x-content-sha256, and
 * x-security-token exactly when the credential has a token. With sdk_made, host may be unsigned and
 * X-Content-Sha256 absent (the official Node SDKs sign GET requests so); the hash of the body that
 * arrived is part of what is signed in any case. */
NODISCARD enum verify_result verify_request(struct signer *s, const struct verify_input *in,
                                            const struct sign_cred *cred,
                                            struct verify_output *out);

/* The same for a presigned query (X-Signature and its kin in it). */
NODISCARD enum verify_result verify_presigned(struct signer *s, const struct verify_input *in,
                                              const struct sign_cred *cred,
                                              struct verify_output *out);

#endif
