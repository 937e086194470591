/* SPDX-License-Identifier: Apache-2.0 */
/* What signing, presigning and verifying share: the signer's insides and the steps of the
 * algorithm. Private to src/sign. */
#ifndef SIGFERRY_SIGN_SIGN_INT_H
#define SIGFERRY_SIGN_SIGN_INT_H

#include "sign/sign.h"
#include "sign/signkey.h"

enum {
    SIGN_SET_MAX = 128,          /* signed headers */
    SIGN_CANON_MAX = 512 * 1024, /* canonical request, presigned query */
    SIGN_NAMES_MAX = 64 * 1024,  /* lower-cased header names */
    SIGN_STRING_MAX = 1024,      /* string to sign */
    SIGN_ARENA_FIRST = 16 * 1024,
    SIGN_ARENA_MAX = 4 * 1024 * 1024,
};

struct signer {
    struct digest *digest;
    struct hmac *hmac;
    struct signkey_cache *keys;
    uint64_t keyed; /* serial of the cached key the HMAC context holds; 0: none of them */
    int64_t x_date_s;
    char x_date[SIGN_DATE_LEN + 1]; /* text of x_date_s; "" before the first */
    struct hdr set[SIGN_SET_MAX];   /* the signed headers: names lower-cased */
    size_t nset;
    struct buf lower, names, canon, string, auth, form;
    struct arena arena; /* presigning and verifying: whatever lives for one call */
};

/* Writes s into memory that was sized beforehand and returns the place after it. */
static inline char *sign_put(char *at, struct str s)
{
    if (s.n)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static inline char *sign_put_line(char *at, struct str s)
{
    at = sign_put(at, s);
    *at = '\n';
    return at + 1;
}

/* Begins a set of signed headers; the views of earlier calls end here. */
void sign_set_begin(struct signer *s);
/* Adds a header whose name is lower-case already; false when the set is full. */
NODISCARD bool sign_set_add(struct signer *s, struct str lower_name, struct str value);
/* Sorts by name; false when a name occurs twice. */
NODISCARD bool sign_set_sort(struct signer *s);

/* The Host value as it is signed: without :80 and :443. */
struct str sign_host(struct str host);

/* Writes s->canon and s->names from the set. ERR_INVALID_REQUEST when it is too large. */
NODISCARD enum err sign_canonical(struct signer *s, struct str method, struct str path,
                                  struct str query, struct str body_sha256);
/* Writes s->string from s->canon. */
NODISCARD enum err sign_string(struct signer *s, struct str x_date, struct str region,
                               struct str service);
/* The signature of s->string in hex. */
NODISCARD enum err sign_mac(struct signer *s, const struct sign_cred *cred, struct str day,
                            struct str region, struct str service, char hex[DIGEST_HEX_LEN]);

/* X-Date of a time; valid until the signer's next call. */
struct str sign_x_date(struct signer *s, int64_t time_s);

/* True when s holds no byte that would end a header line. */
bool sign_is_line(struct str s);

/* The value of X-SignedQueries for these pairs: their names and its own, decoded, sorted, each
 * once, joined with ';'. ERR_INVALID_QUERY for a name that holds a ';'. */
NODISCARD enum err sign_query_names(struct signer *s, const struct uri_query *q, struct str *out);

#endif
