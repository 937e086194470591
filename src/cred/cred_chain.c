/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "default": env, oidc, cli, ecs, the first that has a credential; it is asked first the
 * next time. While what it gave is good nobody else is asked: each member may be another identity,
 * and a short outage must not change who signs. When none has one, the text names each that was
 * asked with its reason. */
#include "base/log.h"
#include "cred/cred_provider.h"

#include <stdio.h>

static const struct cred_provider *const chain[] = {
    &cred_provider_env,
    &cred_provider_oidc,
    &cred_provider_cli,
    &cred_provider_ecs,
};

/* What the callers put in front: `profile "NAME": `. */
enum { PROFILE_PREFIX = 96 };

/* All reasons in one text: each gets its share of the room, and what short ones leave goes to the
 * long ones, so that none pushes another out. */
static void aggregate(const struct err_detail reasons[ARRAY_LEN(chain)], struct err_detail *why)
{
    size_t room = sizeof why->text - PROFILE_PREFIX, share = 0, used = 0, overhead = 0;
    char text[sizeof why->text] = "";
    for (size_t i = 0; i < ARRAY_LEN(chain); i++)
        if (reasons[i].text[0])
            overhead += strlen(chain[i]->name) + 4; /* ": " and "; " */
    /* the largest share with which everything fits */
    for (share = room; share > 0; share--) {
        size_t need = overhead;
        for (size_t i = 0; i < ARRAY_LEN(chain); i++) {
            size_t n = strlen(reasons[i].text);
            need += n < share ? n : share;
        }
        if (need <= room)
            break;
    }
    for (size_t i = 0; i < ARRAY_LEN(chain); i++) {
        if (!reasons[i].text[0]) /* it was not asked */
            continue;
        int n = snprintf(text + used, sizeof text - used, "%s%s: %.*s", used ? "; " : "",
                         chain[i]->name, (int)share, reasons[i].text);
        if (n > 0)
            used += (size_t)n;
        if (used >= sizeof text)
            break;
    }
    err_set(why, ERR_CREDENTIALS, "%s", text);
}

static size_t place(const struct cred_provider *pr)
{
    size_t at = 0;
    while (at < ARRAY_LEN(chain) - 1 && chain[at] != pr)
        at++;
    return at;
}

/* pr worked. Behind one that worked before it is a makeshift: those before it are asked first until
 * one of them is back. */
static void remember(struct cred_memory *m, const char *profile, const struct cred_provider *pr,
                     const struct err_detail reasons[ARRAY_LEN(chain)])
{
    const struct cred_provider *before = m->worked, *home = m->fell_from ? m->fell_from : before;
    if (before && before != pr && reasons[place(before)].text[0])
        log_msg(LOG_WARN, "credentials: profile \"%s\": %s takes the place of %s, which failed: %s",
                profile, pr->name, before->name, reasons[place(before)].text);
    m->fell_from = home && place(pr) > place(home) ? home : NULL;
    m->worked = pr;
}

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    struct err_detail reasons[ARRAY_LEN(chain)] = {{""}};
    const struct cred_provider *worked = ctx->memory->worked;
    const struct cred_provider *first = ctx->memory->fell_from ? NULL : worked;
    for (size_t step = 0; step <= ARRAY_LEN(chain); step++) {
        /* step 0 asks the one that worked, the others follow in their order */
        const struct cred_provider *pr = step ? chain[step - 1] : first;
        if (!pr || (step && pr == first))
            continue;
        struct cred *c = cred_provider_run(pr, ctx, p, &reasons[place(pr)]);
        if (c) {
            remember(ctx->memory, p->name, pr, reasons);
            return c;
        }
        /* without the network, nothing behind one that needs it may be preferred to it; nor to the
         * one whose credential still holds, unless the cloud takes that no more */
        if (ctx->deferred || (pr == worked && ctx->holding && ctx->want != CRED_WANT_OTHER))
            break;
    }
    aggregate(reasons, why);
    return NULL;
}

const struct cred_provider cred_provider_default = {
    .name = "default", .remote = true, .fetch = fetch};
