/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's condition for people and programs: /status (JSON) and the page at / (HTML). Both
 * show what the metrics show, and the effective configuration with its secrets masked. */
#ifndef SIGFERRY_DAEMON_STATUS_H
#define SIGFERRY_DAEMON_STATUS_H

#include "conf/conf.h"
#include "daemon/metrics.h"
#include "proxy/failures.h"

struct status_input {
    struct metrics_input m;
    const struct conf *conf;
    const char *const *listeners; /* names of the open sockets: "127.0.0.1:8750", "unix:/…" */
    size_t nlisteners;
    bool ready, draining;
    const char *const *recorded; /* what policies that record saw, as patterns of an allow list */
    size_t nrecorded;
    const struct failure *failures; /* the newest first */
    size_t nfailures;
    const char *reason;     /* why not ready; "" when it is */
    const char *reload_why; /* why the last reload failed; "" when it did not */
    int64_t now_s, started_s;
};

/* Appends the JSON document. On failure out->failed is set. */
void status_write(const struct status_input *in, struct buf *out);

/* Appends the HTML page. On failure out->failed is set. */
void status_page(const struct status_input *in, struct buf *out);

/* The page's fixed beginning, with its style and its script, and the Content-Security-Policy it
 * needs: that style, that script by its hash, requests to itself. */
extern const char status_page_head[], status_page_csp[];

/* Seconds within which the share q of all requests was answered, as far as the histogram tells:
 * negative when there was none yet, INFINITY beyond its last bound. */
double status_quantile(const struct metrics_input *m, double q);

/* "running", "not ready", "draining". */
const char *status_word(const struct status_input *in);

/* "2026-01-31T12:00:00Z"; "never" for 0. */
void status_time(int64_t unix_s, char out[32]);

#endif
