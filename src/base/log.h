/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one line per event, never blocking, never holding a secret. Any thread may call it. */
#ifndef SIGFERRY_BASE_LOG_H
#define SIGFERRY_BASE_LOG_H

#include "base/attr.h"
#include "base/str.h"
#include <stdatomic.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON, LOG_TEMPLATE };

/* Debug categories (log.debug), the SDKs' nine. */
enum log_debug {
    LOGD_REQUEST = 1 << 0,
    LOGD_REQUEST_BODY = 1 << 1,
    LOGD_REQUEST_ID = 1 << 2,
    LOGD_RESPONSE = 1 << 3,
    LOGD_RESPONSE_BODY = 1 << 4,
    LOGD_SIGNING = 1 << 5,
    LOGD_ENDPOINT = 1 << 6,
    LOGD_RETRIES = 1 << 7,
    LOGD_CONFIG = 1 << 8,
};

struct log_options {
    enum log_level level;
    enum log_format format;
    const char *template; /* with LOG_TEMPLATE: %(asctime)s %(levelname)s %(message)s */
    const char *file;     /* NULL or "": standard error */
    unsigned debug;       /* LOGD_ bits */
};

/* One field of a structured line: the number when is_number, else the string. */
struct log_field {
    const char *name;
    struct str value;
    double number; /* printed without a fraction when it has none */
    bool is_number;
};

/* Opens the log with these options, replacing the earlier ones; copies the strings. false when the
 * file cannot be opened (errno says why; the earlier log stays). Before the first call the log
 * writes text at LOG_INFO to standard error. */
NODISCARD bool log_open(const struct log_options *o);

/* Reopens the file under its name (SIGUSR1, after rotation). */
void log_reopen(void);

/* Current settings, readable from any thread without a lock; use through the macros. */
extern _Atomic int log_level_now;
extern _Atomic unsigned log_debug_now;

#define log_on(lvl) ((int)(lvl) <= atomic_load_explicit(&log_level_now, memory_order_relaxed))
#define log_debug_on(cat)                                                                          \
    ((atomic_load_explicit(&log_debug_now, memory_order_relaxed) & (unsigned)(cat)) != 0)

/* log_msg(LOG_WARN, "text %s", …): nothing is evaluated when the level is off. */
#define log_msg(lvl, ...) (log_on(lvl) ? log_line(lvl, __VA_ARGS__) : (void)0)
/* log_debug(LOGD_RETRIES, "…") */
#define log_debug(cat, ...) (log_debug_on(cat) ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)

void log_line(enum log_level lvl, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A structured line (the access line): msg plus fields, in each format's own way. Nothing is
 * written when the level is off (LOG_DEBUG: when no debug category is on either). */
void log_fields(enum log_level lvl, const char *msg, const struct log_field *f, size_t n);

/* From now on this thread's structured lines at LOG_INFO are gathered, and written by log_flush, by
 * its next other line, or when they have become many: a write each would cost more than the rest of
 * the line. Without memory they go on being written at once. false: no more (writes what is there).
 */
void log_gather(bool on);
/* Writes what this thread has gathered. A loop calls it at the end of each turn. */
void log_flush(void);

/* Lines that a full pipe or disk made us drop since the start. */
uint64_t log_dropped(void);

#endif
