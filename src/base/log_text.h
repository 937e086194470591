/* SPDX-License-Identifier: Apache-2.0 */
/* How one event becomes one line. Pure: no clock, no descriptor, no settings of its own. */
#ifndef SIGFERRY_BASE_LOG_TEXT_H
#define SIGFERRY_BASE_LOG_TEXT_H

#include "base/log.h"

enum { LOG_LINE_MAX = 8192 };

struct log_event {
    enum log_level level;
    uint64_t wall_ns; /* since 1970 UTC */
    bool journal;     /* the reader is the journal: priority prefix, no time in text */
    struct str msg;
    const struct log_field *fields;
    size_t nfields;
};

/* Writes the line, newline included, into out and returns its length, at most max (64 or more).
 * Control bytes and invalid UTF-8 are escaped: \xNN, in JSON \u00NN. What does not fit is cut so
 * that the line stays well-formed: a message ends in "...", a field is left out. template is used
 * with LOG_TEMPLATE only. */
size_t log_text(char *out, size_t max, enum log_format format, const char *template,
                const struct log_event *e);

#endif
