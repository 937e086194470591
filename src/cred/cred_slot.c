/* SPDX-License-Identifier: Apache-2.0 */
/* One profile's condition: fetching, taking an outcome over, and when to fetch next. Temporary
 * credentials are renewed before they expire, by the wall clock, since that is what they expire by;
 * failures back off by the monotonic one. A failure never drops a credential that still holds. */
#include "base/clock.h"
#include "cred/cred_store_int.h"
#include "cred/cred_time.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* Backoff after failures: 1 s, 2 s, … up to half a minute, each ± 20 %. */
static const uint64_t backoff_min_ns = NS_PER_SEC, backoff_max_ns = 30 * NS_PER_SEC;
/* How often one looks for whom a credential without an end stands in for. */
static const uint64_t makeshift_ns = 60 * NS_PER_SEC;
/* Renewal: this long or a tenth of the lifetime before the expiry, ± 10 %. */
enum { AHEAD_MIN_S = 60, AHEAD_SHARE = 10 };

static bool is(const struct cred_slot *sl, const struct cred_provider *pr)
{
    return strcmp(sl->profile->provider, pr->name) == 0;
}

struct cred_slot *cred_slot_new(struct conf *conf, const struct conf_profile *p)
{
    struct cred_slot *sl = calloc(1, sizeof *sl);
    if (!sl)
        return NULL;
    sl->conf = conf_ref(conf);
    sl->profile = p;
    sl->state = CRED_PENDING;
    sl->refresh_s = INT64_MAX;
    return sl;
}

void cred_slot_free(struct cred_slot *sl)
{
    if (!sl)
        return;
    cred_unref(sl->current);
    cred_memory_free(&sl->memory);
    cred_watch_free(&sl->watch);
    conf_unref(sl->conf);
    free(sl);
}

void cred_slot_move(struct cred_slot *sl, struct conf *conf, const struct conf_profile *p)
{
    struct conf *old = sl->conf;
    sl->conf = conf_ref(conf);
    sl->profile = p;
    conf_unref(old);
}

static bool same_settings(const struct conf_profile *a, const struct conf_profile *b)
{
    static const size_t texts[] = {
        offsetof(struct conf_profile, name),
        offsetof(struct conf_profile, provider),
        offsetof(struct conf_profile, access_key),
        offsetof(struct conf_profile, file),
        offsetof(struct conf_profile, config_file),
        offsetof(struct conf_profile, cli_profile),
        offsetof(struct conf_profile, role_trn),
        offsetof(struct conf_profile, role_name),
        offsetof(struct conf_profile, account_id),
        offsetof(struct conf_profile, oidc_token_file),
        offsetof(struct conf_profile, role_session_name),
        offsetof(struct conf_profile, policy),
        offsetof(struct conf_profile, source_profile),
        offsetof(struct conf_profile, saml_provider_trn),
        offsetof(struct conf_profile, saml_response_file),
        offsetof(struct conf_profile, sts_endpoint),
        offsetof(struct conf_profile, sts_scheme),
        offsetof(struct conf_profile, sts_region),
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *x, *y;
        memcpy(&x, (const char *)a + texts[i], sizeof x);
        memcpy(&y, (const char *)b + texts[i], sizeof y);
        if (strcmp(x, y) != 0)
            return false;
    }
    return a->duration_seconds == b->duration_seconds &&
           secret_eq(secret_str(a->secret_key), secret_str(b->secret_key)) &&
           secret_eq(secret_str(a->session_token), secret_str(b->session_token));
}

bool cred_slot_same_profile(const struct cred_slot *sl, const struct conf *conf,
                            const struct conf_profile *p)
{
    const struct conf *old = sl->conf;
    const struct conf_profile *a = sl->profile;
    if (old->cloud != conf->cloud)
        return false;
    /* a role's credential is as good as the one it was assumed with; conf refuses circles */
    for (size_t hops = 0; hops <= conf->nprofiles; hops++) {
        if (!same_settings(a, p))
            return false;
        if (!p->source_profile[0])
            return true;
        a = conf_profile_find(old, str_of(a->source_profile));
        p = conf_profile_find(conf, str_of(p->source_profile));
        if (!a || !p)
            return false;
    }
    return false;
}

bool cred_slot_remote(const struct cred_slot *sl)
{
    const struct cred_provider *pr = cred_provider_find(sl->profile->provider);
    return pr && pr->remote;
}

void cred_slot_due(struct cred_slot *sl, enum cred_want want)
{
    uint64_t now = clock_fresh_ns();
    if (now < sl->due_ns)
        sl->due_ns = now;
    if (want > sl->want)
        sl->want = want;
}

bool cred_slot_refreshable(const struct cred_slot *sl)
{
    return !is(sl, &cred_provider_static) && !is(sl, &cred_provider_env);
}

static bool holds(const struct cred *c)
{
    return c && (!c->expires_s || c->expires_s > clock_wall_s());
}

void cred_slot_fetch(struct cred_slot *sl, struct conf *conf, const struct conf_profile *p,
                     enum cred_want want, int cancel_fd, bool local_only, struct cred_outcome *out)
{
    clock_tick();
    struct cred_ctx ctx = {
        .conf = conf,
        .cancel_fd = cancel_fd,
        .local_only = local_only,
        .want = want,
        .holding = holds(sl->current),
        .memory = &sl->memory,
        .watch = &out->watch,
    };
    *out = (struct cred_outcome){.held = ctx.holding};
    out->cred = cred_profile_fetch(&ctx, p, &out->why);
    out->deferred = !out->cred && ctx.deferred;
    secret_scrub_stack();
}

/* n plus or minus percent of it, so that many daemons don't ask at the same moment. */
static uint64_t jitter(uint64_t n, unsigned percent)
{
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r)
        return n; /* early at boot: no jitter is fine */
    uint64_t span = n / 100 * percent;
    return span ? n - span + r % (2 * span + 1) : n;
}

static int64_t renewal_time(const struct cred *c)
{
    if (!c->expires_s)
        return INT64_MAX;
    int64_t now = clock_wall_s(), life = c->expires_s - now;
    int64_t ahead = life / AHEAD_SHARE > AHEAD_MIN_S ? life / AHEAD_SHARE : AHEAD_MIN_S;
    ahead = (int64_t)(jitter((uint64_t)ahead * 1000, 10) / 1000);
    /* a short life is used for half of it, and never asked for again within the second */
    if (ahead > life / 2)
        ahead = life / 2;
    return life - ahead < 1 ? now + 1 : c->expires_s - ahead;
}

static uint64_t backoff(unsigned failures)
{
    uint64_t ns = backoff_min_ns;
    for (unsigned i = 1; i < failures && ns < backoff_max_ns; i++)
        ns *= 2;
    return jitter(ns < backoff_max_ns ? ns : backoff_max_ns, 20);
}

static void succeed(struct cred_slot *sl, struct cred_outcome *out)
{
    char key[16], until[CRED_TIME_TEXT];
    bool news = sl->ok == 0 || sl->failures;
    sl->ok++;
    sl->failures = 0;
    sl->state = CRED_OK;
    sl->why = (struct err_detail){""};
    sl->due_ns = UINT64_MAX;
    if (sl->current && cred_same(sl->current, out->cred)) {
        cred_unref(out->cred); /* keeps the id, and with it the keys derived from it */
    } else {
        cred_unref(sl->current);
        sl->current = out->cred;
        news = true;
    }
    out->cred = NULL;
    sl->refresh_s = renewal_time(sl->current);
    /* a makeshift that never expires is renewed all the same: who it stands in for may be back */
    if (sl->memory.fell_from && sl->refresh_s == INT64_MAX)
        sl->due_ns = clock_fresh_ns() + makeshift_ns;
    if (!news)
        return;
    secret_mask(str_of(sl->current->access_key), key);
    cred_time_format(sl->current->expires_s, until);
    out->level = LOG_INFO;
    (void)snprintf(out->line, sizeof out->line,
                   "credentials: profile \"%s\": %s, access key %s, expires %s", sl->profile->name,
                   sl->current->provider, key, until);
}

static void fail(struct cred_slot *sl, struct cred_outcome *out)
{
    bool usable = holds(sl->current), lost = out->held && !usable;
    bool news = strcmp(sl->why.text, out->why.text) != 0;
    sl->failed++;
    sl->failures++;
    sl->why = out->why;
    sl->state = usable ? CRED_OK : CRED_FAILED;
    if (!usable) {
        cred_unref(sl->current);
        sl->current = NULL;
    }
    /* at its very end too, or at once when that passed meanwhile: then the chain may go on to its
     * next member */
    sl->refresh_s = usable && sl->current->expires_s ? sl->current->expires_s : INT64_MAX;
    /* what is read from the configuration or the environment stays as it is until a reload */
    sl->due_ns = !cred_slot_refreshable(sl) ? UINT64_MAX
                                            : clock_fresh_ns() + (lost ? 0 : backoff(sl->failures));
    /* an outage is told at 1, 2, 4, … failures, and whenever its reason changes */
    if (!news && (sl->failures & (sl->failures - 1)) != 0)
        return;
    out->level = LOG_WARN;
    (void)snprintf(out->line, sizeof out->line, "credentials: profile \"%s\": %s%s",
                   sl->profile->name, out->why.text, usable ? " (the one held is still good)" : "");
}

void cred_slot_settle(struct cred_slot *sl, struct cred_outcome *out)
{
    clock_tick();
    cred_watch_free(&sl->watch);
    sl->watch = out->watch;
    out->watch = (struct cred_watch){0};
    sl->changing = false;
    sl->poll_ns = 0;
    sl->asked = false;
    out->line[0] = '\0';
    if (out->cred)
        succeed(sl, out);
    else
        fail(sl, out);
}

bool cred_slot_poll(struct cred_slot *sl)
{
    struct cred_mark now[CRED_WATCH_MAX];
    bool rested = sl->changing;
    if (!cred_watch_changed(&sl->watch, now)) {
        sl->changing = false;
        return false;
    }
    /* a file that is being written is left alone until two looks see the same */
    for (size_t i = 0; i < sl->watch.n; i++) {
        rested = rested && cred_mark_same(&now[i], &sl->seen[i]);
        sl->seen[i] = now[i];
    }
    sl->changing = !rested;
    return rested;
}
