/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "assume_role_saml": a role's temporary credential for a SAML response in a file. Such a
 * response is good for minutes only: whoever logs in writes the file anew, and it is watched. */
#include "cred/cred_sts.h"

enum { RESPONSE_MAX = 128 * 1024 };

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    char trn[CRED_TRN_MAX];
    struct cred_role role;
    struct buf text;
    struct cred *c = NULL;
    enum cred_read_rule rule =
        ctx->conf->security.strict_file_permissions ? CRED_READ_STRICT : CRED_READ_EXEMPT;
    if (!p->saml_provider_trn[0] || !p->saml_response_file[0]) {
        err_set(why, ERR_CREDENTIALS, "set profiles.%s.%s", p->name,
                p->saml_provider_trn[0] ? "saml_response_file" : "saml_provider_trn");
        return NULL;
    }
    if (!cred_sts_role(p, "assume_role_saml", trn, &role, why))
        return NULL;
    buf_init(&text, RESPONSE_MAX);
    if (cred_read_file(p->saml_response_file, rule, ctx->watch, &text, why)) {
        struct str response = buf_str(&text);
        while (response.n && strchr(" \t\r\n", response.p[response.n - 1]))
            response.n--;
        if (response.n)
            c = cred_sts_saml(ctx, &role, p->saml_provider_trn, response, why);
        else
            err_set(why, ERR_CREDENTIALS, "%s is empty", p->saml_response_file);
    }
    buf_wipe(&text);
    return c;
}

const struct cred_provider cred_provider_saml = {
    .name = "assume_role_saml", .remote = true, .fetch = fetch};
