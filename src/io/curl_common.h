/* SPDX-License-Identifier: Apache-2.0 */
/* What both users of libcurl need: starting it, and its words for what went wrong. */
#ifndef SIGFERRY_IO_CURL_COMMON_H
#define SIGFERRY_IO_CURL_COMMON_H

#include "base/attr.h"
#include <stdbool.h>

/* Starts libcurl with memory that is overwritten when it is given back. Any thread, any number of
 * times. False when libcurl can't start. */
NODISCARD bool curl_start(void);

/* Why a transfer failed, as it may be shown: text, which is libcurl's error buffer, or its general
 * words for code (a CURLcode) where the buffer is empty or quotes a proxy's URL, password and all.
 * text must outlive the result. */
NODISCARD const char *curl_reason(const char *text, int code);

#endif
