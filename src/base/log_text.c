/* SPDX-License-Identifier: Apache-2.0 */
/* How one event becomes one line: logfmt, JSON or the user's template.
 * Whatever the message and the fields hold, the result is exactly one line and steers no terminal.
 */
#include "base/log_text.h"
#include "base/clock.h"
#include "base/fmt.h"
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

struct out {
    char *p;
    size_t n, max;
};

enum style { PLAIN, QUOTED, JSON };

static const char *const names[] = {"error", "warn", "info", "debug"};
static const char *const sdk_names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};

/* All or nothing. */
static bool put(struct out *o, const char *p, size_t n)
{
    if (n > o->max - o->n)
        return false;
    memcpy(o->p + o->n, p, n);
    o->n += n;
    return true;
}

static bool putz(struct out *o, const char *z)
{
    return put(o, z, strlen(z));
}

/* Characters that hide or reorder the text around them: zero-width ones (U+200B to U+200F,
 * U+2060 to U+206F, U+FEFF), line separators and bidirectional controls (U+061C, U+2028 to U+202E).
 */
static bool disguises(const unsigned char *p)
{
    return (p[0] == 0xe2 && p[1] == 0x80 &&
            ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa0 && p[2] <= 0xaf) ||
           (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) || (p[0] == 0xd8 && p[1] == 0x9c);
}

/* Length of the well-formed UTF-8 sequence at p that may be shown, else 0. Overlong forms,
 * surrogates, the C1 controls (which terminals obey) and what disguises text are not. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    size_t len = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                 : (p[0] & 0xf0) == 0xe0        ? 3
                 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
               (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
               (p[0] == 0xf4 && p[1] > 0x8f);
    return bad || disguises(p) ? 0 : len;
}

/* Appends what fits, never half an escape or half a character; false when it was cut. */
static bool put_escaped(struct out *o, struct str s, enum style style)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n;) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        unsigned char c = *p;
        size_t len = c < 0x80 ? 1 : utf8_len(p, s.n - i);
        bool ok;
        if (len == 0 || c < 0x20 || c == 0x7f) {
            char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            if (style != JSON) {
                esc[2] = '\\';
                esc[3] = 'x';
            }
            ok = style == JSON ? put(o, esc, 6) : put(o, esc + 2, 4);
            len = 1;
        } else if (style != PLAIN && (c == '"' || c == '\\')) {
            const char esc[2] = {'\\', (char)c};
            ok = put(o, esc, 2);
        } else {
            ok = put(o, s.p + i, len);
        }
        if (!ok)
            return false;
        i += len;
    }
    return true;
}

/* The message, cut with "..." so that `tail` bytes stay free after it. */
static void put_message(struct out *o, struct str s, enum style style, size_t tail)
{
    size_t max = o->max;
    size_t keep = tail + 3;
    o->max = max - o->n > keep ? max - keep : o->n;
    bool whole = put_escaped(o, s, style);
    o->max = max;
    if (!whole)
        (void)putz(o, "...");
}

/* Thousandths are enough for what is logged; printf would cost more than the rest of the line. */
static bool put_thousandths(struct out *o, uint64_t v)
{
    char digits[FMT_U64_MAX];
    struct str whole = fmt_u64(digits, v / 1000);
    const unsigned rest = (unsigned)(v % 1000);
    const char part[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                          (char)('0' + rest % 10)};
    return put(o, whole.p, whole.n) && (rest == 0 || put(o, part, sizeof part));
}

static bool put_number(struct out *o, double v, enum style style)
{
    char text[400];
    if (!isfinite(v))
        return putz(o, style == JSON ? "null" : "nan");
    double scaled = v * 1000;
    if (v >= 0 && v < 9e12 && fabs(scaled - rint(scaled)) <= scaled * 1e-15)
        return put_thousandths(o, (uint64_t)rint(scaled));
    bool whole = fabs(v) < 9e15 && v == floor(v);
    int len = snprintf(text, sizeof(text), whole ? "%.0f" : "%.3f", v);
    return len > 0 && (size_t)len < sizeof(text) && put(o, text, (size_t)len);
}

static bool is_bare(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
            return false;
    return s.n > 0;
}

static bool put_field(struct out *o, const struct log_field *f, bool json)
{
    const char *name = f->name;
    if (!(json ? putz(o, ",\"") && putz(o, name) && putz(o, "\":")
               : putz(o, " ") && putz(o, name) && putz(o, "=")))
        return false;
    if (f->is_number)
        return put_number(o, f->number, json ? JSON : QUOTED);
    if (!json && is_bare(f->value))
        return put(o, f->value.p, f->value.n);
    return putz(o, "\"") && put_escaped(o, f->value, json ? JSON : QUOTED) && putz(o, "\"");
}

/* Each field whole or not at all; `tail` bytes stay free. */
static void put_fields(struct out *o, const struct log_event *e, bool json, size_t tail)
{
    o->max -= tail;
    for (size_t i = 0; i < e->nfields && o->n <= o->max; i++) {
        size_t mark = o->n;
        if (!put_field(o, &e->fields[i], json))
            o->n = mark;
    }
    o->max += tail;
}

/* UTC with milliseconds, RFC 3339. The part down to the second is made once a second. */
static void put_time(struct out *o, uint64_t wall_ns)
{
    static _Thread_local struct {
        time_t t;
        size_t n; /* 0 until it is made */
        char text[32];
    } made;
    time_t t = (time_t)(wall_ns / NS_PER_SEC);
    const unsigned ms = (unsigned)(wall_ns / NS_PER_MS % 1000);
    const char part[5] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                          (char)('0' + ms % 10), 'Z'};
    if (!made.n || made.t != t) {
        struct tm tm;
        made.n = gmtime_r(&t, &tm)
                     ? strftime(made.text, sizeof(made.text), "%Y-%m-%dT%H:%M:%S", &tm)
                     : 0;
        made.t = t;
    }
    if (made.n && put(o, made.text, made.n))
        (void)put(o, part, sizeof part);
}

/* Local time, as the SDKs' loggers show it. */
static void put_asctime(struct out *o, uint64_t wall_ns)
{
    time_t t = (time_t)(wall_ns / NS_PER_SEC);
    struct tm tm;
    char text[40];
    if (!localtime_r(&t, &tm))
        return;
    size_t n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    int more =
        snprintf(text + n, sizeof(text) - n, ",%03u", (unsigned)(wall_ns / NS_PER_MS % 1000));
    (void)put(o, text, n + (size_t)more);
}

static void put_logfmt(struct out *o, const struct log_event *e)
{
    if (!e->journal) {
        (void)putz(o, "time=");
        put_time(o, e->wall_ns);
        (void)putz(o, " ");
    }
    (void)putz(o, "level=");
    (void)putz(o, names[e->level]);
    (void)putz(o, " msg=\"");
    put_message(o, e->msg, QUOTED, 1);
    (void)putz(o, "\"");
    put_fields(o, e, false, 0);
}

static void put_json(struct out *o, const struct log_event *e)
{
    (void)putz(o, "{\"time\":\"");
    put_time(o, e->wall_ns);
    (void)putz(o, "\",\"level\":\"");
    (void)putz(o, names[e->level]);
    (void)putz(o, "\",\"msg\":\"");
    put_message(o, e->msg, JSON, 2);
    (void)putz(o, "\"");
    put_fields(o, e, true, 1);
    (void)putz(o, "}");
}

static void put_template(struct out *o, const char *t, const struct log_event *e)
{
    while (*t) {
        struct str rest = str_of(t);
        if (str_starts(rest, STR("%(asctime)s"))) {
            put_asctime(o, e->wall_ns);
            t += sizeof("%(asctime)s") - 1;
        } else if (str_starts(rest, STR("%(levelname)s"))) {
            (void)putz(o, sdk_names[e->level]);
            t += sizeof("%(levelname)s") - 1;
        } else if (str_starts(rest, STR("%(message)s"))) {
            put_message(o, e->msg, PLAIN, 0);
            put_fields(o, e, false, 0);
            t += sizeof("%(message)s") - 1;
        } else if (str_starts(rest, STR("%%"))) {
            (void)putz(o, "%");
            t += 2;
        } else {
            /* Up to the next '%': a character of several bytes is judged as a whole. */
            size_t n = 1 + strcspn(t + 1, "%");
            (void)put_escaped(o, str_n(t, n), PLAIN);
            t += n;
        }
    }
}

size_t log_text(char *out, size_t max, enum log_format format, const char *template,
                const struct log_event *e)
{
    assert(max >= 64);
    struct out o = {out, 0, max - 1}; /* the newline always fits */
    if (e->journal)
        (void)putz(&o, priorities[e->level]);
    if (format == LOG_JSON)
        put_json(&o, e);
    else if (format == LOG_TEMPLATE && template)
        put_template(&o, template, e);
    else
        put_logfmt(&o, e);
    o.p[o.n++] = '\n';
    return o.n;
}
