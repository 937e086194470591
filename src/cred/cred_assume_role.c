/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "assume_role": a role's temporary credential, asked for with another profile's, which
 * may be a role's again. */
#include "cred/cred_sts.h"

#include <stdlib.h>

enum { DEPTH_MAX = 8 };

static struct cred *source(struct cred_ctx *ctx, const struct conf_profile *p,
                           struct err_detail *why)
{
    struct err_detail reason = {""};
    struct cred_memory *own = ctx->memory;
    enum cred_want want = ctx->want;
    struct conf_profile chain = cred_profile_blank(p->name);
    const struct conf_profile *from = NULL;
    struct cred *c = NULL;
    if (p->source_profile[0]) {
        from = conf_profile_find(ctx->conf, str_of(p->source_profile));
        if (!from) {
            err_set(why, ERR_CREDENTIALS, "source_profile: there is no profile \"%s\"",
                    p->source_profile);
            return NULL;
        }
    }
    if (ctx->depth >= DEPTH_MAX) {
        err_set(why, ERR_CREDENTIALS,
                "source_profile: the chain of roles is a circle or longer "
                "than %d",
                DEPTH_MAX);
        return NULL;
    }
    if (!own->source && !(own->source = calloc(1, sizeof *own->source))) {
        err_set(why, ERR_CREDENTIALS, "memory is short");
        return NULL;
    }
    ctx->memory = own->source;
    ctx->want = CRED_WANT_GOOD; /* the role's credential is a new one in any case */
    ctx->depth++;
    c = from ? cred_profile_fetch(ctx, from, &reason)
             : cred_provider_default.fetch(ctx, &chain, &reason);
    ctx->depth--;
    ctx->want = want;
    ctx->memory = own;
    if (!c)
        err_set(why, ERR_CREDENTIALS, "%s%s%s: %s", from ? "profile \"" : "the default chain",
                from ? from->name : "", from ? "\"" : "", reason.text);
    return c;
}

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    char trn[CRED_TRN_MAX];
    struct cred_role role;
    if (!cred_sts_role(p, "assume_role", trn, &role, why))
        return NULL;
    struct cred *base = source(ctx, p, why);
    if (!base)
        return NULL;
    struct cred *c = cred_sts_assume_role(ctx, &role, base, why);
    cred_unref(base);
    return c;
}

const struct cred_provider cred_provider_assume_role = {
    .name = "assume_role", .remote = true, .fetch = fetch};
