/* SPDX-License-Identifier: Apache-2.0 */
/* One small request to the running daemon's admin address, over TCP or a Unix socket. */
#ifndef SIGFERRY_CLI_ADMIN_CLIENT_H
#define SIGFERRY_CLI_ADMIN_CLIENT_H

#include "base/attr.h"
#include "conf/conf.h"

enum { ADMIN_CLIENT_BODY_MAX = 16 * 1024 };

struct admin_answer {
    unsigned status;
    char body[ADMIN_CLIENT_BODY_MAX]; /* NUL-terminated, cut to fit */
};

/* Asks conf's admin.listen; anything but a GET carries the first of security.client_tokens when
 * there is one, else the signature of the first of clients. Blocks until deadline_ns
 * (clock_fresh_ns time) at most. false with msg when no answer came. */
NODISCARD bool admin_ask(const struct conf *c, const char *method, const char *path,
                         uint64_t deadline_ns, struct admin_answer *out, char *msg, size_t msgsize);

/* Parses seconds such as "30" or "0.5", up to a day, into ns; false when it is none. */
NODISCARD bool admin_seconds(const char *text, uint64_t *ns);

/* False, with msg, when admin.listen is nothing that can be asked: waiting would not help. */
NODISCARD bool admin_can_ask(const struct conf *c, char *msg, size_t msgsize);

/* Cuts the answer's body down to what it says: its Message or reason when it is JSON with one, else
 * its first line, with blanks for what is not printable ASCII. */
void admin_gist(struct admin_answer *a);

#endif
