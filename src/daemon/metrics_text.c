/* SPDX-License-Identifier: Apache-2.0 */
/* The Prometheus text exposition format (version 0.0.4) of what metrics_walk tells. */
#include "daemon/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

struct text {
    struct buf *out;
    const char *family;
};

void metrics_number(double v, char out[32])
{
    if (isnan(v))
        snprintf(out, 32, "NaN");
    else if (isinf(v))
        snprintf(out, 32, v > 0 ? "+Inf" : "-Inf");
    else if (fabs(v) < 9e15 && v == floor(v))
        snprintf(out, 32, "%" PRId64, (int64_t)v);
    else
        snprintf(out, 32, "%.15g", v);
}

/* Escapes what the format says; bytes that are no ASCII text, which no label of ours should hold,
 * become '?' so that the page is always valid UTF-8. */
static void put_escaped(struct buf *out, struct str s, bool quoted)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\\')
            buf_putz(out, "\\\\");
        else if (c == '\n')
            buf_putz(out, "\\n");
        else if (c == '"' && quoted)
            buf_putz(out, "\\\"");
        else
            buf_putc(out, c < 0x20 || c >= 0x7F ? '?' : (char)c);
    }
}

static void text_family(void *arg, const char *name, enum metrics_type type, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct text *t = arg;
    t->family = name;
    buf_printf(t->out, "# HELP %s ", name);
    put_escaped(t->out, str_of(help), false);
    buf_printf(t->out, "\n# TYPE %s %s\n", name, types[type]);
}

static void text_sample(void *arg, const char *suffix, const struct metrics_label *labels, size_t n,
                        double value)
{
    struct text *t = arg;
    char number[32];
    buf_putz(t->out, t->family);
    buf_putz(t->out, suffix);
    for (size_t i = 0; i < n; i++) {
        buf_printf(t->out, "%c%s=\"", i ? ',' : '{', labels[i].name);
        put_escaped(t->out, labels[i].value, true);
        buf_putc(t->out, '"');
    }
    metrics_number(value, number);
    buf_printf(t->out, "%s %s\n", n ? "}" : "", number);
}

void metrics_write(const struct metrics_input *in, struct buf *out)
{
    struct text t = {out, ""};
    struct metrics_sink sink = {text_family, text_sample, &t};
    if (!metrics_walk(in, &sink))
        out->failed = true;
}
