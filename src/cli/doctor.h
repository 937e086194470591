/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of `sigferry doctor`, a file for each kind. Private to doctor. */
#ifndef SIGFERRY_CLI_DOCTOR_H
#define SIGFERRY_CLI_DOCTOR_H

#include "cli/cli.h"

enum doctor_result { DOCTOR_OK, DOCTOR_FAIL, DOCTOR_SKIP };

struct doctor {
    struct cli c;
    struct conf *conf; /* NULL when it can't be loaded */
    bool colour;
    bool live; /* a person watches: say what is being waited for */
    unsigned failed;
};

/* One line: the result, which check, what was found and, after a failure, what to do. */
void doctor_say(struct doctor *d, enum doctor_result r, const char *check, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* What is being waited for, on a terminal only; the next line takes its place. */
void doctor_busy(struct doctor *d, const char *check, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* doctor_files.c: owner and mode of each file the configuration names. */
void doctor_files(struct doctor *d);
/* doctor_cred.c: what each profile's providers say. */
void doctor_credentials(struct doctor *d);
/* doctor_net.c: name, connection and clock of each endpoint. */
void doctor_network(struct doctor *d);

#endif
