/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor's look at credentials: the chosen profile and, unless one was asked for, all others. Must
 * never print a secret: an access key is shown by its ends. */
#include "cli/doctor.h"

#include "base/clock.h"
#include "cred/cred.h"

/* Soon enough to be worth a word: what has no way to be refreshed stops then. */
enum { SOON_S = 600 };

static void found(struct doctor *d, const char *profile, const struct cred *c)
{
    char key[16];
    secret_mask(str_of(c->access_key), key);
    clock_tick();
    long long left = (long long)(c->expires_s - clock_wall_s());
    if (!c->expires_s)
        doctor_say(d, DOCTOR_OK, "credentials", "%s: %s from %s", profile, key, c->provider);
    else if (left <= 0)
        doctor_say(d, DOCTOR_FAIL, "credentials",
                   "%s: %s from %s expired %lld s ago; is the clock right? if so, renew it",
                   profile, key, c->provider, -left);
    else
        doctor_say(d, DOCTOR_OK, "credentials", "%s: %s from %s, expires in %lld %s", profile, key,
                   c->provider, left > SOON_S ? left / 60 : left, left > SOON_S ? "min" : "s");
}

static void missing(struct doctor *d, const char *profile, const struct cred_trace *t,
                    const struct err_detail *why)
{
    struct buf b;
    buf_init(&b, 8192);
    for (size_t i = 0; i < t->n; i++)
        if (!t->v[i].ok)
            buf_printf(&b, "%s%s: %s", b.n ? "; " : "", t->v[i].provider, t->v[i].why.text);
    if (!b.n)
        buf_putz(&b, why->text);
    doctor_say(d, DOCTOR_FAIL, "credentials",
               "%s: %.*s; give one of them, or another provider in profiles.%s", profile,
               STR_ARG(buf_str(&b)), profile);
    buf_free(&b);
}

static void check(struct doctor *d, const char *profile)
{
    struct cred_trace trace = {.n = 0};
    struct err_detail why = {""};
    doctor_busy(d, "credentials", "asking for profile %s", profile);
    struct cred *c = cred_fetch_traced(d->conf, profile, &trace, &why);
    if (c)
        found(d, profile, c);
    else
        missing(d, profile, &trace, &why);
    cred_unref(c);
}

void doctor_credentials(struct doctor *d)
{
    const struct conf *c = d->conf;
    check(d, c->profile);
    for (size_t i = 0; !d->c.args.profile && i < c->nprofiles; i++)
        if (strcmp(c->profiles[i].name, c->profile) != 0)
            check(d, c->profiles[i].name);
}
