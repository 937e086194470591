/* SPDX-License-Identifier: Apache-2.0 */
/* The X-Sigferry-* request headers: one row each. A value that does not parse is an error that
 * names header and value, never ignored; what parses but asks for more than ten times the
 * configured timeout or number of retries gets just that much. */
#include "base/clock.h"
#include "base/nearest.h"
#include "proxy/route_int.h"
#include <stddef.h>

enum { BOUND_FACTOR = 10, MAX_CODES = 64, MAX_CODE_LEN = 128, SHOWN_VALUE = 64 };

struct option_row {
    struct str name; /* after X-Sigferry- */
    enum err (*set)(struct route_work *w, const struct option_row *row, struct str value);
    size_t at; /* of the field in struct route_options, or of the string or flag in route_work */
};

static enum err invalid(const struct route_work *w, const struct option_row *row, struct str value,
                        const char *must)
{
    return err_set(w->why, ERR_INVALID_OPTION, "X-Sigferry-%.*s: '%.*s' %s", STR_ARG(row->name),
                   (int)(value.n < SHOWN_VALUE ? value.n : SHOWN_VALUE), value.n ? value.p : "",
                   must);
}

static void *at_work(struct route_work *w, const struct option_row *row)
{
    return (char *)w + row->at;
}

static void *at_options(struct route_work *w, const struct option_row *row)
{
    return (char *)&w->out->opt + row->at;
}

static enum err set_label(struct route_work *w, const struct option_row *row, struct str value)
{
    if (!endpoint_is_label(value))
        return invalid(w, row, value, "must be 1 to 64 of A-Z a-z 0-9 _ -");
    *(struct str *)at_work(w, row) = value;
    return ERR_OK;
}

static enum err set_profile(struct route_work *w, const struct option_row *row, struct str value)
{
    if (!conf_profile_find(w->c, value))
        return invalid(w, row, value, "is not a configured profile");
    w->ask_profile = value;
    return ERR_OK;
}

static enum err set_scheme(struct route_work *w, const struct option_row *row, struct str value)
{
    if (str_ieq(value, STR("https"))) {
        w->ask_scheme = STR("https");
        return ERR_OK;
    }
    if (!str_ieq(value, STR("http")))
        return invalid(w, row, value, "must be https or http");
    if (!w->c->security.allow_http && !str_eq(str_of(w->c->endpoint.scheme), STR("http")))
        return invalid(w, row, value, "needs security.allow_http = true in the configuration");
    w->ask_scheme = STR("http");
    return ERR_OK;
}

static enum err set_endpoint(struct route_work *w, const struct option_row *row, struct str value)
{
    if (uri_host(value, &w->ask_endpoint, NULL) || str_istarts(value, STR(".")) ||
        memchr(value.p, '~', value.n) || memmem(value.p, value.n, "..", 2))
        return invalid(w, row, value, "must be HOST or HOST:PORT, without https:// and path");
    return ERR_OK;
}

static bool parse_bool(struct str value, bool *out)
{
    bool yes = str_ieq(value, STR("true")) || str_eq(value, STR("1"));
    if (!yes && !str_ieq(value, STR("false")) && !str_eq(value, STR("0")))
        return false;
    *out = yes;
    return true;
}

static enum err set_work_bool(struct route_work *w, const struct option_row *row, struct str value)
{
    return parse_bool(value, at_work(w, row)) ? ERR_OK
                                              : invalid(w, row, value, "must be true or false");
}

static enum err set_bool(struct route_work *w, const struct option_row *row, struct str value)
{
    return parse_bool(value, at_options(w, row)) ? ERR_OK
                                                 : invalid(w, row, value, "must be true or false");
}

/* 1*9DIGIT [ "." 1*DIGIT ] into nanoseconds; digits beyond the ninth are dropped. */
static bool parse_seconds(struct str value, uint64_t *ns)
{
    struct str rest = value, whole = str_cut(&rest, '.');
    uint64_t s, fraction = 0;
    if (!str_u64(whole, 999999999, &s))
        return false;
    if (rest.p) {
        uint64_t unit = NS_PER_SEC;
        if (rest.n == 0)
            return false;
        for (size_t i = 0; i < rest.n; i++) {
            if (rest.p[i] < '0' || rest.p[i] > '9')
                return false;
            unit /= 10;
            fraction += unit * (uint64_t)(rest.p[i] - '0');
        }
    }
    *ns = s * NS_PER_SEC + fraction;
    return true;
}

/* The default is still in place when the row is applied: it is the configured bound. 0 in the
 * configuration means no limit, so that anything asked for is less. */
static enum err set_seconds(struct route_work *w, const struct option_row *row, struct str value)
{
    uint64_t *at = at_options(w, row), asked;
    if (!parse_seconds(value, &asked))
        return invalid(w, row, value, "must be a number of seconds such as 2.5");
    bool may_be_zero = row->at == offsetof(struct route_options, request_ns);
    if (asked == 0 && !may_be_zero)
        return invalid(w, row, value, "must be more than 0 seconds");
    if (*at) {
        uint64_t most = *at > UINT64_MAX / BOUND_FACTOR ? UINT64_MAX : *at * BOUND_FACTOR;
        if (asked == 0 || asked > most)
            asked = most;
    }
    *at = asked;
    return ERR_OK;
}

static int64_t bounded(uint64_t asked, int64_t configured)
{
    int64_t most = configured > INT64_MAX / BOUND_FACTOR ? INT64_MAX : configured * BOUND_FACTOR;
    return asked < (uint64_t)most ? (int64_t)asked : most;
}

static enum err set_count(struct route_work *w, const struct option_row *row, struct str value)
{
    uint64_t asked;
    if (!str_u64(value, INT32_MAX, &asked))
        return invalid(w, row, value, "must be a whole number, 0 or more");
    *(int64_t *)at_options(w, row) = bounded(asked, w->c->retry.num_max_retries);
    return ERR_OK;
}

static enum err set_ms(struct route_work *w, const struct option_row *row, struct str value)
{
    uint64_t asked;
    if (!str_u64(value, INT32_MAX, &asked))
        return invalid(w, row, value, "must be a whole number of milliseconds");
    *(int64_t *)at_options(w, row) = bounded(asked, w->c->retry.max_retry_delay_ms);
    return ERR_OK;
}

static enum err set_backoff(struct route_work *w, const struct option_row *row, struct str value)
{
    static const struct {
        struct str name;
        enum conf_backoff strategy;
    } known[] = {
        {{"none", 4}, BACKOFF_NONE},
        {{"exponential", 11}, BACKOFF_EXPONENTIAL},
        {{"exponential-jitter", 18}, BACKOFF_JITTER},
        {{"custom", 6}, BACKOFF_CUSTOM},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!str_ieq(value, known[i].name))
            continue;
        if (known[i].strategy == BACKOFF_CUSTOM && w->c->retry.backoff_delays_ms.n == 0)
            return invalid(w, row, value, "needs retry.backoff_delays_ms in the configuration");
        w->out->opt.backoff_strategy = known[i].strategy;
        return ERR_OK;
    }
    return invalid(w, row, value, "must be none, exponential, exponential-jitter or custom");
}

/* An empty value asks for no codes, whatever is configured. */
static enum err set_codes(struct route_work *w, const struct option_row *row, struct str value)
{
    struct route_options *o = &w->out->opt;
    size_t n = 0;
    struct str *v = arena_alloc(w->a, MAX_CODES * sizeof(*v));
    if (!v)
        return route_full(w->why);
    for (struct str rest = value; value.n && rest.p;) {
        struct str code = str_trim(str_cut(&rest, ','));
        if (code.n == 0)
            continue;
        if (n == MAX_CODES || code.n > MAX_CODE_LEN || !hdr_is_token(code))
            return invalid(w, row, code, "must be at most 64 error codes separated by commas");
        v[n++] = code;
    }
    o->retry_error_codes = v;
    o->nretry_error_codes = n;
    return ERR_OK;
}

/* Judged by identity_check; its value is nobody's business here. */
static enum err set_token(struct route_work *w, const struct option_row *row, struct str value)
{
    (void)w, (void)row, (void)value;
    return ERR_OK;
}

#define IN_WORK(f)    offsetof(struct route_work, f)
#define IN_OPTIONS(f) offsetof(struct route_options, f)

/* How each is set: function and place. Names come from ROUTE_OPTIONS. */
#define SET_SERVICE         set_label, IN_WORK(ask_service)
#define SET_REGION          set_label, IN_WORK(ask_region)
#define SET_PROFILE         set_profile, 0
#define SET_SCHEME          set_scheme, 0
#define SET_ENDPOINT        set_endpoint, 0
#define SET_DUAL_STACK      set_work_bool, IN_WORK(dual_stack)
#define SET_CONNECT_TIMEOUT set_seconds, IN_OPTIONS(connect_ns)
#define SET_READ_TIMEOUT    set_seconds, IN_OPTIONS(read_ns)
#define SET_REQUEST_TIMEOUT set_seconds, IN_OPTIONS(request_ns)
#define SET_AUTO_RETRY      set_bool, IN_OPTIONS(auto_retry)
#define SET_NUM_MAX_RETRIES set_count, IN_OPTIONS(num_max_retries)
#define SET_MIN_RETRY_DELAY set_ms, IN_OPTIONS(min_retry_delay_ms)
#define SET_MAX_RETRY_DELAY set_ms, IN_OPTIONS(max_retry_delay_ms)
#define SET_BACKOFF         set_backoff, 0
#define SET_ERROR_CODES     set_codes, 0
#define SET_VALIDATION      set_work_bool, IN_WORK(validate)
#define SET_DRY_RUN         set_bool, IN_OPTIONS(dry_run)
#define SET_PRESIGN         set_bool, IN_OPTIONS(presign)
#define SET_TOKEN           set_token, 0

static const struct option_row rows[OPT_COUNT] = {
#define X(id, name) {{name, sizeof(name) - 1}, SET_##id},
    ROUTE_OPTIONS(X)
#undef X
};

static struct str after_prefix(struct str name)
{
    size_t prefix = sizeof("X-Sigferry-") - 1;
    return name.n > prefix ? str_n(name.p + prefix, name.n - prefix) : str_n(name.p, 0);
}

enum route_option route_option_find(struct str name)
{
    struct str s = after_prefix(name);
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (str_ieq(s, rows[i].name))
            return (enum route_option)i;
    return OPT_COUNT;
}

static COLD enum err refuse_option(struct route_work *w)
{
    struct str name = w->bad_option;
    int shown = (int)(name.n < SHOWN_VALUE ? name.n : SHOWN_VALUE);
    if (w->bad_option_repeated)
        return err_set(w->why, ERR_INVALID_OPTION, "the header %.*s is given more than once", shown,
                       name.p);
    struct nearest near;
    nearest_init(&near, after_prefix(name));
    for (unsigned i = 0; i < OPT_COUNT; i++)
        nearest_offer(&near, rows[i].name);
    if (!near.best.p)
        return err_set(w->why, ERR_INVALID_OPTION, "there is no header %.*s", shown, name.p);
    return err_set(w->why, ERR_INVALID_OPTION,
                   "there is no header %.*s; did you mean X-Sigferry-%.*s?", shown, name.p,
                   STR_ARG(near.best));
}

void route_options_default(struct route_work *w)
{
    const struct conf *c = w->c;
    w->out->opt = (struct route_options){
        .connect_ns = c->timeouts.connect_ns,
        .read_ns = c->timeouts.read_ns,
        .request_ns = c->timeouts.request_ns,
        .auto_retry = c->retry.auto_retry,
        .num_max_retries = c->retry.num_max_retries,
        .min_retry_delay_ms = c->retry.min_retry_delay_ms,
        .max_retry_delay_ms = c->retry.max_retry_delay_ms,
        .backoff_strategy = c->retry.backoff_strategy,
    };
    w->dual_stack = c->endpoint.use_dual_stack;
    w->validate = c->client_side_validation;
}

/* The configured codes as views. */
static enum err default_codes(struct route_work *w)
{
    const struct conf_strs *codes = &w->c->retry.retry_error_codes;
    if (codes->n == 0 || (w->option_given & 1U << OPT_ERROR_CODES))
        return ERR_OK;
    struct str *v = arena_alloc(w->a, codes->n * sizeof(*v));
    if (!v)
        return route_full(w->why);
    for (size_t i = 0; i < codes->n; i++)
        v[i] = str_of(codes->v[i]);
    w->out->opt.retry_error_codes = v;
    w->out->opt.nretry_error_codes = codes->n;
    return ERR_OK;
}

void route_options_names(struct route_work *w)
{
    static const enum route_option names[] = {OPT_SERVICE, OPT_REGION};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if ((w->option_given & 1U << names[i]) &&
            rows[names[i]].set(w, &rows[names[i]], w->option[names[i]]) != ERR_OK)
            continue; /* it is what was refused */
}

enum err route_options_apply(struct route_work *w)
{
    if (w->bad_option.p)
        return refuse_option(w);
    const unsigned retries = 1U << OPT_AUTO_RETRY | 1U << OPT_NUM_MAX_RETRIES;
    w->out->opt.retry_asked = (w->option_given & retries) != 0;
    enum err e = default_codes(w);
    for (unsigned left = w->option_given; left && !e; left &= left - 1) {
        int i = __builtin_ctz(left);
        e = rows[i].set(w, &rows[i], w->option[i]);
    }
    return e;
}
