/* SPDX-License-Identifier: Apache-2.0 */
/* Errors a client can be answered with: err.def holds one row for each, this makes them usable. */
#ifndef SIGFERRY_BASE_ERR_H
#define SIGFERRY_BASE_ERR_H

#include "base/attr.h"
#include <stdbool.h>

enum err {
    ERR_OK = 0,
#define X(id, status, code, retry, text) ERR_##id,
#include "base/err.def"
#undef X
    ERR_COUNT
};

/* Groups of network errors, as named in retry.retry_network_errors. */
enum err_retry {
    RETRY_NONE,
    RETRY_RESOLVE,
    RETRY_CONNECT,
    RETRY_TIMEOUT,
    RETRY_RESET,
    RETRY_PROTOCOL,
    RETRY_KINDS
};

/* What exactly was wrong, for the client's message; one line, no secrets. */
struct err_detail {
    char text[512];
};

int err_status(enum err e);                   /* HTTP status, 200 for ERR_OK */
const char *err_code(enum err e);             /* "MissingService", never NULL; "" for ERR_OK */
const char *err_text(enum err e);             /* default text, never NULL */
enum err_retry err_retry(enum err e);         /* the group it is retried under */
const char *err_retry_name(enum err_retry k); /* "resolve", … ; "none" */

/* Formats the detail (d may be NULL) and returns e, so that `return err_set(d, ERR_X, "…")` works.
 * Bytes outside printable ASCII are written as \xNN, the text is cut to fit. */
enum err err_set(struct err_detail *d, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
