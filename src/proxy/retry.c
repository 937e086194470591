/* SPDX-License-Identifier: Apache-2.0 */
/* The retry decision. Says no unless every rule says yes; never knows of connections or budgets. */
#include "proxy/retry.h"
#include "base/clock.h"
#include "proxy/skew.h"

static const struct retry_answer no_retry;

/* Labels of sigferry_retries_total must be static and bounded. */
static const char *status_reason(unsigned status)
{
    switch (status) {
    case 408:
        return "status_408";
    case 409:
        return "status_409";
    case 425:
        return "status_425";
    case 429:
        return "status_429";
    case 500:
        return "status_500";
    case 501:
        return "status_501";
    case 502:
        return "status_502";
    case 503:
        return "status_503";
    case 504:
        return "status_504";
    default:
        return status >= 500 ? "status_5xx" : status >= 400 ? "status_4xx" : "status_other";
    }
}

/* Why this outcome is one to try again; NULL when it is not. */
static const char *retry_reason(const struct retry_question *q)
{
    const struct retry_outcome *o = &q->outcome;
    if (o->err != ERR_OK) {
        enum err_retry kind = err_retry(o->err);
        bool asked_for = (q->conf->retry.retry_network_errors & 1U << kind) != 0;
        return kind != RETRY_NONE && asked_for ? err_retry_name(kind) : NULL;
    }
    for (size_t i = 0; i < q->conf->retry.retry_status.n; i++)
        if (q->conf->retry.retry_status.v[i] == (int64_t)o->status)
            return status_reason(o->status);
    for (size_t i = 0; o->error_code.n && i < q->route->opt.nretry_error_codes; i++)
        if (str_eq(q->route->opt.retry_error_codes[i], o->error_code))
            return "code";
    return NULL;
}

/* May a request that the upstream may have seen be sent once more? */
static bool may_repeat(const struct retry_question *q)
{
    if (q->outcome.err != ERR_OK && !q->outcome.sent)
        return true;
    switch (q->conf->retry.retry_after_send) {
    case AFTER_SEND_ALWAYS:
        return true;
    case AFTER_SEND_SAFE:
        return retry_is_safe(q->route);
    case AFTER_SEND_NEVER:
        return false;
    }
    return false;
}

static int64_t delay_ms(const struct retry_question *q)
{
    const struct route_options *o = &q->route->opt;
    const struct retry_outcome *out = &q->outcome;
    int64_t delay = retry_backoff_ms(o->backoff_strategy, o->min_retry_delay_ms,
                                     o->max_retry_delay_ms, &q->conf->retry.backoff_delays_ms,
                                     q->attempt ? q->attempt - 1 : 0, q->random);
    if (out->err == ERR_OK && (out->status == 429 || out->status == 503)) {
        int64_t s = retry_after_s(out->retry_after, q->now_s);
        int64_t least = s > o->max_retry_delay_ms / 1000 ? o->max_retry_delay_ms : s * 1000;
        delay = least > delay ? least : delay;
    }
    return delay;
}

struct retry_answer retry_next(const struct retry_question *q)
{
    const struct route_options *o = &q->route->opt;
    if (!o->auto_retry || !q->replayable || (int64_t)q->attempt > o->num_max_retries)
        return no_retry;
    if (q->route->sdk_signed && !q->conf->retry.retry_signed_clients && !o->retry_asked)
        return no_retry;
    const char *reason = retry_reason(q);
    if (!reason || !may_repeat(q))
        return no_retry;
    uint64_t delay_ns = (uint64_t)delay_ms(q) * NS_PER_MS;
    if (o->request_ns &&
        (q->elapsed_ns >= o->request_ns || delay_ns >= o->request_ns - q->elapsed_ns))
        return no_retry;
    return (struct retry_answer){.again = true, .delay_ns = delay_ns, .reason = reason};
}

/* min(base * 2^n, max) without overflow. */
static int64_t exponential(int64_t base, int64_t max, unsigned n)
{
    for (; n && base < max && base > 0; n--)
        base = base > max / 2 ? max : base * 2;
    return base < max ? base : max;
}

int64_t retry_backoff_ms(enum conf_backoff s, int64_t min_ms, int64_t max_ms,
                         const struct conf_ints *custom, unsigned n, double random)
{
    int64_t base;
    switch (s) {
    case BACKOFF_NONE:
        return 0;
    case BACKOFF_EXPONENTIAL:
        return exponential(min_ms, max_ms, n);
    case BACKOFF_JITTER:
        base = exponential(min_ms, max_ms, n);
        base += (int64_t)((double)base * random);
        return base < max_ms ? base : max_ms;
    case BACKOFF_CUSTOM:
        if (!custom || custom->n == 0)
            return exponential(min_ms, max_ms, 0);
        base = custom->v[n < custom->n ? n : custom->n - 1];
        return base < max_ms ? base : max_ms;
    }
    return 0;
}

bool retry_is_safe(const struct route *r)
{
    static const struct str readers[] = {
        {"Describe", 8}, {"List", 4}, {"Get", 3}, {"Query", 5}, {"Check", 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        if (!str_starts(r->action, readers[i]))
            continue;
        /* The word must end here: "GetUser" reads, "Getaway" or "Listen" may not. */
        char next = r->action.n > readers[i].n ? r->action.p[readers[i].n] : '\0';
        if (next < 'a' || next > 'z')
            return true;
    }
    for (size_t i = 0; i < r->pairs.n; i++)
        if (r->pairs.v[i].value.n && str_eq(r->pairs.v[i].name, STR("ClientToken")))
            return true;
    return false;
}

bool retry_is_credential_code(struct str code)
{
    static const struct str known[] = {
        {"ExpiredToken", 12},         {"TokenExpired", 12},         {"InvalidToken", 12},
        {"InvalidSecretToken", 18},   {"InvalidSecurityToken", 20}, {"ExpiredSecurityToken", 20},
        {"SecurityTokenExpired", 20}, {"InvalidAccessKey", 16},     {"InvalidAccessKeyId", 18},
        {"InvalidCredential", 17},    {"ExpiredCredential", 17},    {"CredentialExpired", 17},
        {"AccessKeyDisabled", 17},    {"AccessKeyNotFound", 17},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_ieq(code, known[i]))
            return true;
    return false;
}

int64_t retry_after_s(struct str value, int64_t now_s)
{
    struct str s = str_trim(value);
    uint64_t seconds;
    int64_t date;
    bool digits = s.n > 0;
    for (size_t i = 0; i < s.n; i++)
        digits = digits && s.p[i] >= '0' && s.p[i] <= '9';
    if (digits)
        return str_u64(s, INT32_MAX, &seconds) ? (int64_t)seconds : INT32_MAX;
    if (!skew_parse_date(s, now_s, &date))
        return -1;
    return date > now_s ? date - now_s : 0;
}
