/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of err.def as a table, and the formatting of details.
 * A detail reaches clients and logs: it is one printable line, whatever the arguments held. */
#include "base/err.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct row {
    int status;
    enum err_retry retry;
    const char *code, *text;
};

static const struct row rows[ERR_COUNT] = {
    [ERR_OK] = {200, RETRY_NONE, "", "no error"},
#define X(id, status, code, retry, text) [ERR_##id] = {status, RETRY_##retry, code, text},
#include "base/err.def"
#undef X
};

static const char *const retry_names[RETRY_KINDS] = {
    [RETRY_NONE] = "none",       [RETRY_RESOLVE] = "resolve", [RETRY_CONNECT] = "connect",
    [RETRY_TIMEOUT] = "timeout", [RETRY_RESET] = "reset",     [RETRY_PROTOCOL] = "protocol",
};

/* A number that is no error is a bug of ours; clients still get a well-formed answer. */
static const struct row *row_of(enum err e)
{
    return (unsigned)e < ERR_COUNT ? &rows[e] : &rows[ERR_INTERNAL];
}

int err_status(enum err e)
{
    return row_of(e)->status;
}
const char *err_code(enum err e)
{
    return row_of(e)->code;
}
const char *err_text(enum err e)
{
    return row_of(e)->text;
}
enum err_retry err_retry(enum err e)
{
    return row_of(e)->retry;
}

const char *err_retry_name(enum err_retry k)
{
    return (unsigned)k < RETRY_KINDS ? retry_names[k] : "none";
}

enum err err_set(struct err_detail *d, enum err e, const char *fmt, ...)
{
    if (!d)
        return e;
    char raw[sizeof(d->text)];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    if (len < 0)
        raw[0] = '\0';
    size_t n = 0;
    for (const char *p = raw; *p; p++) {
        static const char hex[] = "0123456789abcdef";
        unsigned char c = (unsigned char)*p;
        bool plain = c >= 0x20 && c < 0x7f;
        if (n + (plain ? 1 : 4) >= sizeof(d->text))
            break;
        if (plain) {
            d->text[n++] = *p;
        } else {
            d->text[n++] = '\\';
            d->text[n++] = 'x';
            d->text[n++] = hex[c >> 4];
            d->text[n++] = hex[c & 15];
        }
    }
    d->text[n] = '\0';
    return e;
}
