/* SPDX-License-Identifier: Apache-2.0 */
/* Reads X-Date. Strict: exactly YYYYMMDDTHHMMSSZ, a date that exists, from 1970 on. */
#include "sign/sign.h"

/* Days since 1970-01-01 of a date in the Gregorian calendar (Howard Hinnant's algorithm). */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, year = y - era * 400;
    int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

/* n digits at an offset that exists, from least to most. */
static bool number(struct str s, size_t at, size_t n, int64_t least, int64_t most, int64_t *out)
{
    uint64_t v;
    if (!str_u64(str_n(s.p + at, n), (uint64_t)most, &v) || (int64_t)v < least)
        return false;
    *out = (int64_t)v;
    return true;
}

bool sign_date_parse(struct str s, int64_t *unix_s)
{
    static const char month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, hour, minute, second;
    if (s.n != SIGN_DATE_LEN || s.p[8] != 'T' || s.p[15] != 'Z')
        return false;
    if (!number(s, 0, 4, 1970, 9999, &year) || !number(s, 4, 2, 1, 12, &month) ||
        !number(s, 6, 2, 1, 31, &day) || !number(s, 9, 2, 0, 23, &hour) ||
        !number(s, 11, 2, 0, 59, &minute) || !number(s, 13, 2, 0, 60, &second))
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (leap && month == 2))
        return false;
    *unix_s = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}
