/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold before anything is sent or shown: policy, rate limit, the local key's signature,
 * the retry budget; and the one extra try after a rejected credential or a clock error. */
#include "proxy/xfer.h"

#include "base/log.h"
#include "proxy/budget.h"
#include "proxy/policy.h"
#include "proxy/ratelimit.h"
#include "proxy/skew.h"

void xfer_audit(const struct xfer *x, const char *verdict, const char *why)
{
    const struct route *r = &x->route;
    const struct log_field f[] = {
        {.name = "verdict", .value = str_of(verdict)},
        {.name = "client", .value = str_of(x->peer->addr)},
        {.name = "policy", .value = str_of(r->policy ? r->policy->name : "")},
        {.name = "service", .value = r->service},
        {.name = "action", .value = r->action},
        {.name = "region", .value = r->region},
        {.name = "reason", .value = str_of(why)},
        {.name = "request_id", .value = str_of(x->request_id)},
    };
    log_fields(LOG_WARN, "audit", f, ARRAY_LEN(f));
}

/* The pairs a policy is written from: each is told once. */
static void record(const struct xfer *x)
{
    const struct route *r = &x->route;
    if (!r->policy || r->policy->mode != POLICY_RECORD ||
        !policy_seen_add(x->px->seen, r->service, r->action))
        return;
    xfer_audit(x, "seen", "");
    if (x->px->o.shared->record)
        policy_record_add(x->px->o.shared->record, r->service, r->action);
}

static enum err check_policy(struct xfer *x, struct err_detail *why)
{
    const struct route *r = &x->route;
    enum policy_verdict v = policy_check_names(r->policy, &r->pairs, why);
    if (v == POLICY_PASS)
        v = policy_check(r->policy, r->service, r->action, r->region, why);
    /* Signed for an allowed region, sent to the host of another: the host has to be allowed too. */
    if (v == POLICY_PASS && r->host_region.n && !str_ieq(r->host_region, r->region))
        v = policy_check(r->policy, r->service, r->action, r->host_region, why);
    switch (v) {
    case POLICY_PASS:
        return ERR_OK;
    case POLICY_WOULD:
        xfer_audit(x, "would-refuse", why->text);
        return ERR_OK;
    case POLICY_REFUSE:
        break;
    }
    xfer_audit(x, "refused", why->text);
    return ERR_ACTION_NOT_ALLOWED;
}

void xfer_unrate(struct xfer *x)
{
    if (x->rated && x->attempts == 0)
        ratelimit_return(x->gen->rules->rates, x->route.service, x->route.action);
    x->rated = false;
}

static enum err check_rate(struct xfer *x, struct err_detail *why)
{
    struct ratelimit *rates = x->gen->rules->rates;
    if (!rates)
        return ERR_OK;
    uint64_t now = clock_ns();
    struct ratelimit_answer a = ratelimit_take(rates, x->route.service, x->route.action, now);
    uint64_t most = x->route.opt.request_ns;
    x->rated = a.pass;
    if (a.pass && most && now - x->started_ns + a.wait_ns >= most) {
        xfer_unrate(x); /* its time would be over when its turn comes */
        a.pass = false;
        a.retry_after_s = a.wait_ns / NS_PER_SEC + 1;
    }
    if (a.pass) {
        x->not_before_ns = now + a.wait_ns;
        return ERR_OK;
    }
    x->retry_wait = arena_printf(&x->arena, "%llu", (unsigned long long)a.retry_after_s);
    return err_set(why, ERR_RATE_LIMITED, "the rate limit \"%s\" of %g requests/s is reached",
                   a.rule ? a.rule->match : "", a.rule ? a.rule->rate : 0.0);
}

/* A link leaves the body, and with it an Action that a server may find there, to whoever has it. */
static enum err check_presign(struct xfer *x, struct err_detail *why)
{
    const struct route *r = &x->route;
    struct str method = x->head->method;
    if (!r->opt.presign || !r->policy || r->policy->mode != POLICY_ENFORCE ||
        str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")))
        return ERR_OK;
    err_set(why, ERR_PRESIGN_NOT_ALLOWED,
            "a link for %.*s leaves its body to whoever has it, and the policy %s could not judge "
            "that; under an enforced policy ask for GET or HEAD",
            STR_ARG(method), r->policy->name);
    xfer_audit(x, "refused", why->text);
    return ERR_PRESIGN_NOT_ALLOWED;
}

/* Who claims a local key and says the body's hash can be judged before a byte of it is kept. That
 * the body is the one of the hash shows at its end. */
static enum err check_claim(struct xfer *x, struct err_detail *why)
{
    const struct hdr *h = hdrs_find(&x->head->hdrs, STR("X-Content-Sha256"));
    struct str said = h ? str_trim(h->value) : STR("");
    char hex[DIGEST_HEX_LEN];
    if (!x->route.client || said.n != sizeof hex)
        return ERR_OK;
    for (size_t i = 0; i < sizeof hex; i++)
        hex[i] = ascii_lower(said.p[i]);
    enum err e = identity_verify(x->px->signer, x->route.client, x->head, x->verdict,
                                 str_n(hex, sizeof hex), clock_wall_s(), why);
    if (e != ERR_OK)
        xfer_audit(x, "refused", why->text);
    return e;
}

enum err xfer_permit(struct xfer *x, struct err_detail *why)
{
    enum err e = check_claim(x, why);
    if (e == ERR_OK)
        e = check_policy(x, why);
    if (e == ERR_OK)
        e = check_presign(x, why);
    /* Who claims a local key has to prove it first (xfer_permit_body). */
    if (e == ERR_OK && !x->route.client) {
        record(x);
        e = check_rate(x, why);
    }
    x->look_into_form = e == ERR_OK && policy_wants_body(&x->route);
    if (x->look_into_form)
        policy_form_begin(&x->form, &x->route);
    return e;
}

enum err xfer_permit_body(struct xfer *x, struct err_detail *why)
{
    if (x->look_into_form && policy_form_end(&x->form)) {
        enum err e = policy_form_refuse(why);
        xfer_audit(x, "refused", why->text);
        return e;
    }
    if (!x->route.client)
        return ERR_OK;
    enum err e = identity_verify(x->px->signer, x->route.client, x->head, x->verdict,
                                 str_n(x->body_hex, DIGEST_HEX_LEN), clock_wall_s(), why);
    const struct hdr *signature = hdrs_find(&x->head->hdrs, STR("Authorization"));
    if (e == ERR_OK && signature)
        e = identity_covers(str_trim(signature->value), x->route.service, x->route.region, why);
    if (e != ERR_OK) {
        xfer_audit(x, "refused", why->text);
        return e;
    }
    record(x);
    return check_rate(x, why);
}

bool xfer_budget_take(struct xfer *x)
{
    return budget_retry(x->px->budget, x->route.host, clock_ns());
}

/* Was the time that was signed refused, and does the upstream's clock tell another? All signatures
 * from now on have the upstream's. */
static bool correct_clock(struct xfer *x, struct str code)
{
    int64_t skew;
    if (x->skewed || !skew_detect(code, x->date, clock_wall_s(), x->skew_s, &skew))
        return false;
    x->skewed = true;
    int64_t before = atomic_exchange(&x->px->o.shared->skew_s, skew);
    if (skew - before >= -SKEW_MIN_S && skew - before <= SKEW_MIN_S)
        return true; /* another request said so already */
    if (skew)
        log_msg(LOG_WARN,
                "the clock differs from the upstream's by %lld s: signatures are corrected "
                "by that; set this machine's clock",
                (long long)skew);
    else
        log_msg(LOG_INFO, "the clock agrees with the upstream's: signatures are not corrected");
    return true;
}

bool xfer_second_chance(struct xfer *x, struct str code)
{
    /* What is learned serves other requests, even where this one can't be sent again. */
    bool repeatable = !x->streaming && x->route.opt.auto_retry;
    if (!code.n)
        return false;
    if (correct_clock(x, code)) {
        bool again = repeatable && xfer_again(x, 0);
        x->extra += again;
        return again;
    }
    if (x->refreshed || !retry_is_credential_code(code))
        return false;
    x->refreshed = true;
    int profile = cred_view_find(x->px->creds, x->gen->conf, x->route.profile);
    if (profile < 0 || !cred_store_rejected(x->px->o.creds, (unsigned)profile, x->cred->id) ||
        !repeatable)
        return false; /* no other can be had, or not for this request */
    x->extra++;
    x->rejected_id = x->cred->id;
    xfer_wait_credential(x); /* the answer is kept: it passes when no other credential comes */
    return true;
}
