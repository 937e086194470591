/* SPDX-License-Identifier: Apache-2.0 */
/* The page at /: the same as /status, for a person. Everything that is not markup of ours is
 * escaped. What changes stands in <main>, which the script of status_head.c renews. */
#include "daemon/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put_html(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '<')
            buf_putz(out, "&lt;");
        else if (c == '>')
            buf_putz(out, "&gt;");
        else if (c == '&')
            buf_putz(out, "&amp;");
        else if (c == '"')
            buf_putz(out, "&quot;");
        else if (c == '\'')
            buf_putz(out, "&#39;");
        else
            buf_putc(out, c);
    }
}

/* label: the column's, which narrow screens show beside the value; NULL for none. */
static void cell(struct buf *out, const char *class, const char *label, struct str s)
{
    buf_putz(out, "<td");
    if (class[0])
        buf_printf(out, " class=\"%s\"", class);
    if (label)
        buf_printf(out, " data-l=\"%s\"", label);
    buf_putc(out, '>');
    put_html(out, s);
    buf_putz(out, "</td>");
}

static void row(struct buf *out, const char *name, const char *value, const char *class)
{
    buf_printf(out, "<tr><th>%s</th>", name);
    cell(out, class, NULL, str_of(value));
    buf_putz(out, "</tr>\n");
}

/* The heading of a table of records, each with these columns; a '#' before one: of numbers. */
static void begin_list(struct buf *out, const char *title, const char *const *columns, size_t n)
{
    buf_printf(out, "<h2>%s</h2>\n<table class=\"list\">\n<tr>", title);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "<th%s>%s</th>", columns[i][0] == '#' ? " class=\"n\"" : "",
                   columns[i] + (columns[i][0] == '#'));
    buf_putz(out, "</tr>\n");
}

/* "3 d 4 h", "5 min", "12 s": the two largest units at most. */
static void span(int64_t s, char out[32])
{
    if (s < 0)
        s = 0;
    long long v = s;
    if (v >= 86400)
        snprintf(out, 32, "%lld d %lld h", v / 86400, v % 86400 / 3600);
    else if (v >= 3600)
        snprintf(out, 32, "%lld h %lld min", v / 3600, v % 3600 / 60);
    else if (v >= 60)
        snprintf(out, 32, "%lld min", v / 60);
    else
        snprintf(out, 32, "%lld s", v);
}

/* --- the figures ------------------------------------------------------------------------------ */

struct figures {
    const char *family;
    double requests, failed, retries, refused, inflight, clients, pending;
};

static void figures_family(void *arg, const char *name, enum metrics_type type, const char *help)
{
    struct figures *f = arg;
    (void)type;
    (void)help;
    f->family = name;
}

static void figures_sample(void *arg, const char *suffix, const struct metrics_label *l, size_t n,
                           double value)
{
    struct figures *f = arg;
    (void)suffix;
    if (strcmp(f->family, "sigferry_requests_total") == 0) {
        f->requests += value;
        if (n == 3 && str_starts(l[2].value, STR("5")))
            f->failed += value;
    } else if (strcmp(f->family, "sigferry_retries_total") == 0) {
        f->retries += value;
    } else if (strcmp(f->family, "sigferry_rejected_total") == 0) {
        f->refused += value;
    } else if (strcmp(f->family, "sigferry_inflight_requests") == 0) {
        f->inflight = value;
    } else if (strcmp(f->family, "sigferry_client_connections") == 0) {
        f->clients = value;
    } else if (strcmp(f->family, "sigferry_pool_pending") == 0) {
        f->pending = value;
    }
}

static void tile(struct buf *out, const char *class, const char *value, const char *name)
{
    buf_printf(out, "<div><b class=\"%s\">%s</b>%s</div>\n", class, value, name);
}

static void tile_number(struct buf *out, bool bad, double v, const char *name)
{
    char number[32];
    metrics_number(v, number);
    tile(out, bad && v > 0 ? "bad" : "", number, name);
}

static void tile_quantile(struct buf *out, const struct metrics_input *m, double q,
                          const char *name)
{
    char text[32];
    double v = status_quantile(m, q);
    if (v < 0)
        snprintf(text, sizeof text, "\xe2\x80\x93"); /* a dash */
    else if (isinf(v))
        snprintf(text, sizeof text, "&gt; %g s", stat_bounds[STAT_BUCKETS - 2]);
    else if (v < 1)
        snprintf(text, sizeof text, v < 0.01 ? "%.1f ms" : "%.0f ms", v * 1000);
    else
        snprintf(text, sizeof text, v < 10 ? "%.1f s" : "%.0f s", v);
    tile(out, "", text, name);
}

static void tiles(const struct status_input *in, struct buf *out)
{
    struct figures f = {.family = ""};
    struct metrics_sink sink = {figures_family, figures_sample, &f};
    if (!metrics_walk(&in->m, &sink))
        out->failed = true;
    buf_putz(out, "<div class=\"tiles\">\n");
    tile_number(out, false, f.requests, "requests");
    tile_number(out, true, f.failed, "answered with 5xx");
    tile_number(out, false, f.refused, "refused here");
    tile_number(out, false, f.retries, "retries");
    tile_quantile(out, &in->m, 0.5, "half answered within");
    tile_quantile(out, &in->m, 0.9, "90 % within");
    tile_quantile(out, &in->m, 0.99, "99 % within");
    tile_number(out, false, f.inflight, "under way");
    tile_number(out, true, f.pending, "waiting for a connection");
    tile_number(out, false, f.clients, "client connections");
    buf_putz(out, "</div>\n");
}

/* --- the daemon ------------------------------------------------------------------------------- */

static void title(const struct status_input *in, struct buf *out)
{
    const char *class = in->ready && !in->draining ? "ok" : in->draining ? "warn" : "bad";
    buf_printf(out, "<h1>sigferry <span class=\"%s\">%s</span></h1>\n", class, status_word(in));
    if (in->reason[0]) {
        buf_putz(out, "<p class=\"bad\">");
        put_html(out, str_of(in->reason));
        buf_putz(out, "</p>\n");
    }
    if (!in->m.reload_ok) {
        buf_putz(out, "<p class=\"bad\">The last reload failed, ");
        put_html(out, str_of(in->reload_why));
        buf_putz(out, "</p>\n");
    }
}

static void daemon_facts(const struct status_input *in, struct buf *out)
{
    char up[32], since[32], skew[48];
    int64_t off = in->m.skew_s;
    span(in->now_s - in->started_s, up);
    status_time(in->started_s, since);
    snprintf(skew, sizeof skew, off ? "%lld s %s the cloud's" : "as the cloud's",
             (long long)(off < 0 ? -off : off), off < 0 ? "ahead of" : "behind");
    buf_putz(out, "<h2>The daemon</h2>\n<table>\n");
    row(out, "Version", in->m.version, "");
    buf_printf(out, "<tr><th>Running</th><td>%s <span class=\"dim\">since %s</span></td></tr>\n",
               up, since);
    buf_putz(out, "<tr><th>Listening on</th><td>");
    for (size_t i = 0; i < in->nlisteners; i++) {
        buf_putz(out, i ? "<br>" : "");
        put_html(out, str_of(in->listeners[i]));
    }
    buf_putz(out, "</td></tr>\n");
    row(out, "Clock", skew, off > 300 || off < -300 ? "warn" : "");
    row(out, "Configuration", in->conf->path ? in->conf->path : "no file", "");
    buf_putz(out, "</table>\n");
}

static void credentials(const struct status_input *in, struct buf *out)
{
    static const char *const columns[] = {"Profile", "Provider", "Access key", "State", "Expires"};
    begin_list(out, "Credentials", columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < in->m.ncreds; i++) {
        const struct cred_status *c = &in->m.creds[i];
        char when[64] = "", left[32];
        bool soon = false;
        buf_putz(out, "<tr>");
        cell(out, "", columns[0], str_of(c->profile));
        cell(out, "", columns[1], str_of(c->provider));
        cell(out, "w", columns[2], str_of(c->access_key));
        if (c->state == CRED_OK)
            cell(out, c->why.text[0] ? "warn" : "ok", columns[3],
                 c->why.text[0] ? str_of(c->why.text) : STR("ok"));
        else
            cell(out, c->state == CRED_PENDING ? "warn" : "bad", columns[3],
                 c->why.text[0] ? str_of(c->why.text) : STR("being fetched"));
        if (c->expires_s > 0) {
            span(c->expires_s - in->now_s, left);
            soon = c->expires_s - in->now_s < 60;
            snprintf(when, sizeof when, c->expires_s > in->now_s ? "in %s" : "expired", left);
        } else if (c->access_key[0]) {
            snprintf(when, sizeof when, "never");
        }
        cell(out, soon ? "w warn" : c->expires_s > 0 ? "w" : "w dim", columns[4], str_of(when));
        buf_putz(out, "</tr>\n");
    }
    buf_putz(out, "</table>\n");
}

static void failures(const struct status_input *in, struct buf *out)
{
    static const char *const columns[] = {"Ago", "Status", "What", "Request", "Request id"};
    if (in->nfailures == 0)
        return;
    begin_list(out, "Recent failures", columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < in->nfailures; i++) {
        const struct failure *f = &in->failures[i];
        char ago[32], status[16], tried[32] = "", what[384], request[256], ids[160];
        span(in->now_s - f->at_s, ago);
        snprintf(status, sizeof status, "%u", f->status);
        if (f->attempts > 1)
            snprintf(tried, sizeof tried, " (tried %u times)", f->attempts);
        snprintf(what, sizeof what, "%s%s%s%s", f->code, f->code[0] ? ": " : "", f->reason, tried);
        snprintf(request, sizeof request, "%s %s %s", f->service, f->region, f->action);
        snprintf(ids, sizeof ids, "%s%s%s", f->request_id, f->upstream_id[0] ? " / " : "",
                 f->upstream_id);
        buf_putz(out, "<tr>");
        cell(out, "w", columns[0], str_of(ago));
        cell(out, f->status >= 500 ? "bad" : "warn", columns[1], str_of(status));
        cell(out, "", columns[2], str_of(what));
        cell(out, "", columns[3], str_trim(str_of(request)));
        cell(out, "i dim", columns[4], str_of(ids));
        buf_putz(out, "</tr>\n");
    }
    buf_putz(out, "</table>\n");
}

static void pools(const struct status_input *in, struct buf *out)
{
    static const char *const columns[] = {"Host", "#busy", "#idle", "#waiting for one"};
    const struct metrics_pool *p = in->m.pools;
    if (in->m.npools == 0)
        return;
    begin_list(out, "Upstream connections", columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < in->m.npools; i++) {
        const uint64_t n[] = {p[i].active, p[i].idle, p[i].pending};
        buf_putz(out, "<tr>");
        cell(out, "", columns[0], str_of(p[i].host));
        for (size_t k = 0; k < ARRAY_LEN(n); k++) {
            char number[32];
            snprintf(number, sizeof number, "%llu", (unsigned long long)n[k]);
            cell(out, "n", columns[k + 1] + 1, str_of(number));
        }
        buf_putz(out, "</tr>\n");
    }
    buf_putz(out, "</table>\n");
}

/* --- tables of labelled families -------------------------------------------------------------- */

struct table {
    const char *family, *title;
    const char *columns[4];
    size_t n;
};

struct tables {
    struct buf *out;
    const struct table *all, *now; /* now: of the family told last, or NULL */
    size_t n;
    bool open;
};

static void close_table(struct tables *t)
{
    if (t->open)
        buf_putz(t->out, "</table>\n");
    t->open = false;
}

static void on_family(void *arg, const char *name, enum metrics_type type, const char *help)
{
    struct tables *t = arg;
    (void)type;
    (void)help;
    close_table(t);
    t->now = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(name, t->all[i].family) == 0)
            t->now = &t->all[i];
}

static void on_sample(void *arg, const char *suffix, const struct metrics_label *l, size_t n,
                      double value)
{
    struct tables *t = arg;
    char number[32];
    (void)suffix;
    if (!t->now || n + 1 != t->now->n)
        return;
    if (!t->open)
        begin_list(t->out, t->now->title, t->now->columns, t->now->n);
    t->open = true;
    buf_putz(t->out, "<tr>");
    for (size_t i = 0; i < n; i++)
        cell(t->out, "", t->now->columns[i], l[i].value);
    metrics_number(value, number);
    cell(t->out, "n", "Number", str_of(number));
    buf_putz(t->out, "</tr>\n");
}

static void counted(const struct status_input *in, struct buf *out)
{
    static const struct table all[] = {
        {"sigferry_requests_total", "Requests", {"Service", "Region", "Status", "#Number"}, 4},
        {"sigferry_retries_total", "Retries", {"Reason", "#Number"}, 2},
        {"sigferry_rejected_total", "Refused by the proxy", {"Reason", "#Number"}, 2},
    };
    struct tables t = {.out = out, .all = all, .n = ARRAY_LEN(all)};
    struct metrics_sink sink = {on_family, on_sample, &t};
    if (!metrics_walk(&in->m, &sink))
        out->failed = true;
    close_table(&t);
}

static void configuration(const struct status_input *in, struct buf *out)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) {
        out->failed = true;
        return;
    }
    bool complete = conf_print(in->conf, f);
    if (fclose(f) != 0 || !complete)
        out->failed = true;
    buf_putz(out, "<details><summary>Effective configuration, secrets masked</summary><pre>");
    put_html(out, str_n(text, n));
    buf_putz(out, "</pre></details>\n");
    free(text);
}

void status_page(const struct status_input *in, struct buf *out)
{
    buf_putz(out, status_page_head);
    buf_putz(out, "<main>\n");
    title(in, out);
    tiles(in, out);
    credentials(in, out);
    failures(in, out);
    counted(in, out);
    pools(in, out);
    daemon_facts(in, out);
    buf_putz(out, "</main>\n");
    configuration(in, out);
    buf_putz(out, "<p class=\"dim\"><a href=\"status\">status as JSON</a> · "
                  "<a href=\"metrics\">metrics</a> · counted since the start · renewed every "
                  "<noscript>10 s, with scripts every </noscript>2 s</p>\n</body>\n</html>\n");
}
