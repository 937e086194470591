/* SPDX-License-Identifier: Apache-2.0 */
/* The admin address: health, readiness, metrics, status, the page, quit. Knows HTTP and who may ask
 * for what; what it shows comes from the daemon through struct admin_source. One loop's thread. */
#ifndef SIGFERRY_DAEMON_ADMIN_H
#define SIGFERRY_DAEMON_ADMIN_H

#include "conf/conf.h"
#include "io/front.h"
#include "proxy/proxy.h"

enum { ADMIN_REASON_MAX = 64 * 1024 }; /* of why it is not healthy or ready, bytes */

/* What the daemon tells. Called on the admin loop's thread, within front_run. Appended to buffers
 * that hold at most ADMIN_BODY_MAX bytes. */
struct admin_source {
    void *arg; /* first argument of all */
    /* Every worker's loop turns; else says so. */
    bool (*health)(void *arg, struct buf *reason);
    /* A usable credential is held and nothing drains; else says why. */
    bool (*ready)(void *arg, struct buf *reason);
    void (*metrics)(void *arg, struct buf *out);
    void (*status)(void *arg, struct buf *out);
    void (*page)(void *arg, struct buf *out);
    /* Drain and exit. Comes after the answer went out; must not call front_*. */
    void (*quit)(void *arg);
};

enum { ADMIN_BODY_MAX = 8 * 1024 * 1024 };

struct admin;

/* The owner for admin_front_ops. The source is copied, a reference of c is taken. NULL when memory
 * is short. */
NODISCARD struct admin *admin_new(const struct admin_source *source, struct conf *c);
void admin_free(struct admin *a); /* no request may be open */
/* Requests that arrive from now on follow c. */
void admin_configure(struct admin *a, struct conf *c);

/* For front_new; owner: struct admin *. The listener tag of the connections (front_accept) is a
 * struct proxy_door *. */
extern const struct front_ops admin_front_ops;

#endif
