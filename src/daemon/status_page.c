/* SPDX-License-Identifier: Apache-2.0 */
/* The page at /: the same as /status, for a person. One document without any asset from elsewhere
 * and without scripts; everything that is not markup of ours is escaped. */
#include "daemon/status.h"

#include <stdio.h>
#include <stdlib.h>

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"refresh\" content=\"10\">\n<title>sigferry</title>\n<style>\n"
    ":root{--fg:#1c2127;--bg:#fff;--dim:#5c6670;--line:#d8dde2;--ok:#1a7f37;--bad:#c4262e;"
    "--warn:#9a6700}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6e9ec;--bg:#14181c;--dim:#98a2ac;"
    "--line:#333b43;--ok:#4cc26a;--bad:#ff7b72;--warn:#e3b341}}\n"
    "body{font:16px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);"
    "max-width:60rem;margin:0 auto;padding:1rem}\n"
    "h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}\n"
    ".ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}.dim{color:var(--dim)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}\n"
    "th{font-weight:600;color:var(--dim)}td.n,th.n{text-align:right;"
    "font-variant-numeric:tabular-nums}\n"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}summary{cursor:pointer}\n"
    "</style>\n";

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

static void cell(struct buf *out, const char *class, struct str s)
{
    buf_printf(out, "<td class=\"%s\">", class);
    put_html(out, s);
    buf_putz(out, "</td>");
}

static void row(struct buf *out, const char *name, const char *value, const char *class)
{
    buf_printf(out, "<tr><th>%s</th>", name);
    cell(out, class, str_of(value));
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

static void summary(const struct status_input *in, struct buf *out)
{
    const char *class = in->ready && !in->draining ? "ok" : in->draining ? "warn" : "bad";
    char up[32], since[32], skew[32];
    span(in->now_s - in->started_s, up);
    status_time(in->started_s, since);
    snprintf(skew, sizeof skew, "%lld s", (long long)in->m.skew_s);
    buf_printf(out, "<h1>sigferry <span class=\"%s\">%s</span></h1>\n", class, status_word(in));
    if (in->reason[0]) {
        buf_putz(out, "<p class=\"bad\">");
        put_html(out, str_of(in->reason));
        buf_putz(out, "</p>\n");
    }
    buf_putz(out, "<div class=\"wide\"><table>\n");
    row(out, "Version", in->m.version, "");
    buf_putz(out, "<tr><th>Running</th><td>");
    buf_printf(out, "%s <span class=\"dim\">since %s</span></td></tr>\n", up, since);
    buf_putz(out, "<tr><th>Listening on</th><td>");
    for (size_t i = 0; i < in->nlisteners; i++) {
        buf_putz(out, i ? "<br>" : "");
        put_html(out, str_of(in->listeners[i]));
    }
    buf_putz(out, "</td></tr>\n");
    row(out, "Clock against the cloud", skew,
        in->m.skew_s > 300 || in->m.skew_s < -300 ? "warn" : "");
    row(out, "Configuration", in->conf->path ? in->conf->path : "no file", "");
    if (!in->m.reload_ok)
        row(out, "Last reload", in->reload_why, "bad");
    buf_putz(out, "</table></div>\n");
}

static void credentials(const struct status_input *in, struct buf *out)
{
    buf_putz(out, "<h2>Credentials</h2>\n<div class=\"wide\"><table>\n<tr><th>Profile</th>"
                  "<th>Provider</th><th>Access key</th><th>State</th><th>Expires</th></tr>\n");
    for (size_t i = 0; i < in->m.ncreds; i++) {
        const struct cred_status *c = &in->m.creds[i];
        char when[64], left[32];
        buf_putz(out, "<tr>");
        cell(out, "", str_of(c->profile));
        cell(out, "", str_of(c->provider));
        cell(out, "", str_of(c->access_key));
        if (c->state == CRED_OK)
            cell(out, "ok", STR("ok"));
        else
            cell(out, c->state == CRED_PENDING ? "warn" : "bad",
                 c->why.text[0] ? str_of(c->why.text) : STR("being fetched"));
        if (c->expires_s > 0) {
            span(c->expires_s - in->now_s, left);
            snprintf(when, sizeof when, "in %s", left);
            cell(out, "", str_of(c->expires_s > in->now_s ? when : "expired"));
        } else {
            cell(out, "dim", STR("never"));
        }
        buf_putz(out, "</tr>\n");
    }
    buf_putz(out, "</table></div>\n");
}

/* One table a labelled family; the rest of the metrics as name and value. */
struct tables {
    struct buf *out;
    const char *family;
    bool want, open;
    const char *const *families;
    const char *const *titles;
    size_t n;
};

static void close_table(struct tables *t)
{
    if (t->open)
        buf_putz(t->out, "</table></div>\n");
    t->open = false;
}

static void on_family(void *arg, const char *name, enum metrics_type type, const char *help)
{
    (void)type;
    (void)help;
    struct tables *t = arg;
    close_table(t);
    t->want = false;
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(name, t->families[i]) == 0) {
            t->want = true;
            t->family = t->titles[i];
        }
    }
}

static void on_sample(void *arg, const char *suffix, const struct metrics_label *l, size_t n,
                      double value)
{
    (void)suffix;
    struct tables *t = arg;
    char number[32];
    if (!t->want)
        return;
    if (!t->open) {
        buf_printf(t->out, "<h2>%s</h2>\n<div class=\"wide\"><table>\n<tr>", t->family);
        for (size_t i = 0; i < n; i++)
            buf_printf(t->out, "<th>%s</th>", l[i].name);
        buf_putz(t->out, "<th class=\"n\">number</th></tr>\n");
        t->open = true;
    }
    buf_putz(t->out, "<tr>");
    for (size_t i = 0; i < n; i++)
        cell(t->out, "", l[i].value);
    metrics_number(value, number);
    cell(t->out, "n", str_of(number));
    buf_putz(t->out, "</tr>\n");
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
    buf_putz(out, "<details><summary>Effective configuration</summary><pre>");
    put_html(out, str_n(text, n));
    buf_putz(out, "</pre></details>\n");
    free(text);
}

void status_page(const struct status_input *in, struct buf *out)
{
    static const char *const families[] = {
        "sigferry_requests_total",    "sigferry_rejected_total",     "sigferry_retries_total",
        "sigferry_inflight_requests", "sigferry_client_connections", "sigferry_pool_connections",
        "sigferry_pool_pending",
    };
    static const char *const titles[] = {
        "Requests",
        "Refused by the proxy",
        "Retries",
        "Requests under way",
        "Client connections",
        "Upstream connections",
        "Waiting for an upstream connection",
    };
    _Static_assert(ARRAY_LEN(families) == ARRAY_LEN(titles), "a title a family");
    struct tables t = {.out = out, .families = families, .titles = titles, .n = ARRAY_LEN(titles)};
    struct metrics_sink sink = {on_family, on_sample, &t};
    buf_putz(out, head);
    summary(in, out);
    credentials(in, out);
    if (!metrics_walk(&in->m, &sink))
        out->failed = true;
    close_table(&t);
    buf_putz(out, "<h2>More</h2>\n");
    configuration(in, out);
    buf_putz(out, "<p class=\"dim\"><a href=\"status\">status as JSON</a> · "
                  "<a href=\"metrics\">metrics</a> · renewed every 10 s</p>\n</html>\n");
}
