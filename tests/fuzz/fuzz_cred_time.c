/* SPDX-License-Identifier: Apache-2.0 */
/* Time stamps of any bytes: what is taken is the second that the C library's calendar names, and
 * written and read again it is the same. */
#include "cred/cred_time.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x)                                                                                 \
    do                                                                                             \
        if (!(x))                                                                                  \
            abort();                                                                               \
    while (0)

/* Reads it a second time, leniently: it was taken already, so that only the value matters. */
static int64_t by_calendar(const char *text)
{
    struct tm tm = {0};
    int h = 0, m = 0, at = 0;
    char t = 0, sign = 0;
    REQUIRE(sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &t,
                   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &at) == 7);
    text += at;
    if (*text == '.')
        text += 1 + strspn(text + 1, "0123456789");
    if (*text != 'Z' && *text != 'z')
        REQUIRE(sscanf(text, "%c%2d:%2d", &sign, &h, &m) == 3 ||
                sscanf(text, "%c%2d%2d", &sign, &h, &m) == 3);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return timegm(&tm) - (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[CRED_TIME_TEXT], copy[256] = "";
    struct str s = str_n((const char *)data, size);
    int64_t t, again, n;
    if (size >= sizeof(n)) { /* a number: of any size, never further from 1970 than it was */
        memcpy(&n, data, sizeof(n));
        t = cred_time_unix(n);
        REQUIRE(n < 0 ? t == n : t >= 0 && t <= n && t < INT64_C(1000000000000));
        cred_time_format(n, text);
        REQUIRE(memchr(text, '\0', sizeof(text)));
    }
    if (!cred_time_parse(s, &t))
        return 0;
    if (str_trim(s).n < sizeof(copy)) {
        memcpy(copy, str_trim(s).p, str_trim(s).n);
        REQUIRE(by_calendar(copy) == t);
    }
    cred_time_format(t, text);
    if (t > 0 && t < INT64_C(253402300800))
        REQUIRE(cred_time_parse(str_of(text), &again) && again == t);
    return 0;
}
