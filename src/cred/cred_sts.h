/* SPDX-License-Identifier: Apache-2.0 */
/* The clouds' security token service: the three ways to get a role's temporary credential. Private
 * to src/cred. */
#ifndef SIGFERRY_CRED_STS_H
#define SIGFERRY_CRED_STS_H

#include "cred/cred_provider.h"

/* Whose name a role's credential is asked for, and where. "" or 0: the default. */
struct cred_role {
    const char *provider; /* static text: what the snapshot is labelled with */
    const char *role_trn, *session_name, *policy;
    const char *endpoint, *scheme, *region;
    int64_t duration_s;
};

/* trn:iam::ACCOUNT:role/NAME from the profile's role_trn, or role_name and account_id; false with
 * why set when they do not suffice. */
enum { CRED_TRN_MAX = 512 };
NODISCARD bool cred_sts_role_trn(const struct conf_profile *p, char trn[CRED_TRN_MAX],
                                 struct err_detail *why);

/* The role that p's keys name, labelled with the provider; its name is written to trn, which has to
 * stay. false as cred_sts_role_trn. */
NODISCARD bool cred_sts_role(const struct conf_profile *p, const char *provider,
                             char trn[CRED_TRN_MAX], struct cred_role *role,
                             struct err_detail *why);

/* AssumeRole: a GET signed with base. */
NODISCARD struct cred *cred_sts_assume_role(struct cred_ctx *ctx, const struct cred_role *role,
                                            const struct cred *base, struct err_detail *why);
/* AssumeRoleWithOIDC and AssumeRoleWithSAML: unsigned form POSTs that carry a token. */
NODISCARD struct cred *cred_sts_oidc(struct cred_ctx *ctx, const struct cred_role *role,
                                     struct str token, struct err_detail *why);
NODISCARD struct cred *cred_sts_saml(struct cred_ctx *ctx, const struct cred_role *role,
                                     const char *saml_provider_trn, struct str response,
                                     struct err_detail *why);

/* The same with the token read from a file now (cred_oidc.c). */
NODISCARD struct cred *cred_oidc_fetch(struct cred_ctx *ctx, const struct cred_role *role,
                                       const char *file, struct err_detail *why);

/* Reads a response: Result.Credentials, or ResponseMetadata.Error. secrets are those that the
 * request held (unused places are empty): what quotes one is left out of why. */
enum { CRED_STS_SECRETS = 3 };
NODISCARD struct cred *cred_sts_parse(const char *provider, int status, struct str body,
                                      const struct str secrets[CRED_STS_SECRETS],
                                      struct err_detail *why);

/* The region that the cloud's own tools take when none is set. */
const char *cred_sts_default_region(enum endpoint_cloud cloud);

#endif
