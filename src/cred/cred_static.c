/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "static": the keys that stand in the configuration. Touches nothing else. */
#include "cred/cred_provider.h"

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    (void)ctx;
    if (!p->access_key[0] || !p->secret_key) {
        err_set(why, ERR_CREDENTIALS, "set profiles.%s.%s", p->name,
                p->access_key[0] ? "secret_key" : "access_key");
        return NULL;
    }
    return cred_new("static", str_of(p->access_key), secret_ref(p->secret_key),
                    p->session_token ? secret_ref(p->session_token) : NULL, 0, why);
}

const struct cred_provider cred_provider_static = {.name = "static", .fetch = fetch};
