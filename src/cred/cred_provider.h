/* SPDX-License-Identifier: Apache-2.0 */
/* What the providers share, private to src/cred: the one function each of them implements, the
 * context it runs in, and what a profile remembers from one fetch to the next. */
#ifndef SIGFERRY_CRED_PROVIDER_H
#define SIGFERRY_CRED_PROVIDER_H

#include "cred/cred.h"
#include "cred/cred_env.h"
#include "cred/cred_read.h"

struct cred_provider;
struct cred_oauth;

/* What a profile's provider keeps between fetches. One owner at a time. */
struct cred_memory {
    const struct cred_provider *worked;    /* the chain: what worked last, tried first */
    const struct cred_provider *fell_from; /* the chain: worked before that one; NULL: none */
    struct cred_oauth *oauth;              /* tokens renewed in memory; never written to disk */
    struct cred_memory *source;            /* the same for the profile a role is assumed from */
};
void cred_memory_free(struct cred_memory *m);

/* What a fetch is for; more asks for more. */
enum cred_want {
    CRED_WANT_GOOD,  /* a credential: what lies at hand and is good will do */
    CRED_WANT_NEW,   /* SIGHUP: a new one, unless nothing can be renewed */
    CRED_WANT_OTHER, /* the cloud rejected the one in hand: it won't do */
};

struct cred_ctx {
    struct conf *conf;
    int cancel_fd;   /* readable: give up at once; -1: nothing to watch */
    bool local_only; /* no network now: fail and set deferred instead */
    enum cred_want want;
    bool holding;               /* the profile has a credential that has not expired */
    bool deferred;              /* a provider would have asked the network */
    struct cred_memory *memory; /* never NULL */
    struct cred_watch *watch;   /* files read are noted here; may be NULL */
    struct cred_trace *trace;   /* may be NULL */
    unsigned depth;             /* of source_profile */
};

struct cred_provider {
    const char *name;
    bool remote; /* may ask the network */
    /* A new credential (one reference), or NULL with why set: what failed and what to set. */
    struct cred *(*fetch)(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why);
};

extern const struct cred_provider cred_provider_static, cred_provider_env, cred_provider_file,
    cred_provider_oidc, cred_provider_saml, cred_provider_cli, cred_provider_ecs,
    cred_provider_assume_role, cred_provider_default;

/* The provider of that name; NULL when there is none. */
const struct cred_provider *cred_provider_find(const char *name);

/* A profile of that name with nothing set. */
struct conf_profile cred_profile_blank(const char *name);

/* Runs one provider for a profile and notes the outcome in the trace. */
NODISCARD struct cred *cred_provider_run(const struct cred_provider *pr, struct cred_ctx *ctx,
                                         const struct conf_profile *p, struct err_detail *why);

/* Runs the profile's own provider. A credential whose time has passed counts as a failure. */
NODISCARD struct cred *cred_profile_fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                                          struct err_detail *why);

/* Makes a snapshot; takes over the references of secret_key and session_token (NULL: none), also on
 * failure. NULL with why set when a part is missing or can't be sent in a header. */
NODISCARD struct cred *cred_new(const char *provider, struct str access_key,
                                struct secret *secret_key, struct secret *session_token,
                                int64_t expires_s, struct err_detail *why);
/* The same from plain views, which are copied; an empty token means none. */
NODISCARD struct cred *cred_new_plain(const char *provider, struct str access_key,
                                      struct str secret_key, struct str session_token,
                                      int64_t expires_s, struct err_detail *why);
/* Same keys and same expiry. */
bool cred_same(const struct cred *a, const struct cred *b);

/* Parses the content of a credential file: a JSON object or `key = value` lines with access_key,
 * secret_key and session_token (optional). NULL with why set, naming the line but nothing of it. */
NODISCARD struct cred *cred_file_parse(struct str text, struct err_detail *why);

#endif
