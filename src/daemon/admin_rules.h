/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask the admin address for something: Host, web page and identity rules. Pure. */
#ifndef SIGFERRY_DAEMON_ADMIN_RULES_H
#define SIGFERRY_DAEMON_ADMIN_RULES_H

#include "conf/conf.h"
#include "http/gate.h"
#include "proxy/proxy.h"

/* Loopback names and the configured address with the listener's port, and security.allowed_hosts;
 * any host on a Unix socket, which no browser reaches. ERR_HOST_NOT_ALLOWED, ERR_INVALID_REQUEST.
 */
NODISCARD enum err admin_host_rule(const struct conf *c, const struct proxy_door *door,
                                   const struct gate_verdict *v, struct err_detail *why);

/* What browsers send on behalf of pages is refused; a person's own navigation (Sec-Fetch-Site none
 * or same-origin) may read. unsafe: the request changes something. ERR_ORIGIN_NOT_ALLOWED. */
NODISCARD enum err admin_page_rule(const struct conf *c, const struct hdrs *h, bool unsafe,
                                   struct err_detail *why);

#endif
