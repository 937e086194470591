/* SPDX-License-Identifier: Apache-2.0 */
/* The process's environment: what libraries would read behind our back is taken out. */
#ifndef SIGFERRY_DAEMON_ENVIRON_H
#define SIGFERRY_DAEMON_ENVIRON_H

/* Removes the variables that make OpenSSL, GnuTLS, libcurl or the resolver do something the
 * configuration does not say (key logs, other configuration files, proxies, host aliases). What is
 * wanted of them is in the configuration by now. Before libraries start and before threads. */
void environ_clean(void);

#endif
