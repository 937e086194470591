/* SPDX-License-Identifier: Apache-2.0 */
/* Starting libcurl, once, before anything else of it is used. */
#ifndef SIGFERRY_IO_CURL_START_H
#define SIGFERRY_IO_CURL_START_H

#include "base/attr.h"
#include <stdbool.h>

/* Starts libcurl with memory that is overwritten when it is given back. Any thread, any number of
 * times. False when libcurl can't start. */
NODISCARD bool curl_start(void);

#endif
