/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's notification protocol (sd_notify(3)), by hand. Without NOTIFY_SOCKET every
 * function does nothing and succeeds. */
#ifndef SIGFERRY_DAEMON_NOTIFY_H
#define SIGFERRY_DAEMON_NOTIFY_H

#include "base/attr.h"
#include <stdbool.h>
#include <stdint.h>

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; with unset they leave the environment, so
 * that no child inherits them. Before threads. */
void notify_init(bool unset);

/* Sends lines such as "STATUS=…", separated by newlines; false with errno when that fails. */
NODISCARD bool notify_send(const char *lines);

/* The usual messages. A failure is logged and otherwise of no matter. status becomes STATUS=, its
 * newlines spaces; NULL for none. READY=1 also ends a reload; RELOADING=1 carries MONOTONIC_USEC.
 */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(const char *status);
void notify_watchdog(void);

/* How often the manager wants to hear WATCHDOG=1, in ns: half its limit. 0: not at all. */
uint64_t notify_watchdog_ns(void);

#endif
