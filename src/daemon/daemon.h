/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: opens listeners, starts the workers, answers the admin address, handles signals,
 * reloads, drains. Its main thread owns everything here; workers are reached by messages. */
#ifndef SIGFERRY_DAEMON_DAEMON_H
#define SIGFERRY_DAEMON_DAEMON_H

#include "conf/conf.h"

/* Runs until it was told to end. args must live as long: a reload reads them again. ready (may be
 * NULL) is called once when requests are served, with the first TCP listener's address (or the
 * first listener's name). Returns the exit status: 0 after a clean drain, 1 on a failure (which was
 * logged or printed). */
int daemon_run(const struct conf_args *args, void (*ready)(void *arg, const char *listener),
               void *arg);

#endif
