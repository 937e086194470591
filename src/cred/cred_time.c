/* SPDX-License-Identifier: Apache-2.0 */
/* Time stamps: strict RFC 3339 without the C library's calendar, which would bring in the local
 * time zone. Never reads a clock. */
#include "cred/cred_time.h"

#include <stdio.h>
#include <time.h>

/* Takes exactly n digits off the front of s. */
static bool digits(struct str *s, unsigned n, int *out)
{
    uint64_t v;
    if (s->n < n || !str_u64(str_n(s->p, n), 9999, &v))
        return false;
    *out = (int)v;
    s->p += n;
    s->n -= n;
    return true;
}

static bool skip(struct str *s, char c)
{
    if (!s->n || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

/* Days from 1970-01-01 to the first of that month, Gregorian. */
static int64_t days_before(int year, int month)
{
    static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t y = year - (month <= 2 ? 1 : 0); /* the last year whose 29 February may have passed */
    int64_t leaps = y >= 0 ? y / 4 - y / 100 + y / 400 : -1; /* year 0, January: before its own */
    int64_t leaps_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400;
    return (int64_t)365 * (year - 1970) + leaps - leaps_1970 + before[month - 1];
}

static int month_length(int year, int month)
{
    static const int length[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return length[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Z, +HH:MM, -HH:MM, +HHMM: seconds east of UTC. */
static bool offset(struct str s, int64_t *out)
{
    int h, m;
    *out = 0;
    if (s.n == 1 && ascii_lower(s.p[0]) == 'z')
        return true;
    bool west = s.n && s.p[0] == '-';
    if (!skip(&s, west ? '-' : '+') || !digits(&s, 2, &h))
        return false;
    (void)skip(&s, ':');
    if (!digits(&s, 2, &m) || s.n || h > 23 || m > 59)
        return false;
    *out = (west ? -1 : 1) * (int64_t)(h * 3600 + m * 60);
    return true;
}

bool cred_time_parse(struct str s, int64_t *unix_s)
{
    int year, month, day, h, m, sec;
    int64_t east;
    s = str_trim(s);
    if (!digits(&s, 4, &year) || !skip(&s, '-') || !digits(&s, 2, &month) || !skip(&s, '-') ||
        !digits(&s, 2, &day) || !s.n || (ascii_lower(s.p[0]) != 't' && s.p[0] != ' ') ||
        !skip(&s, s.p[0]) || !digits(&s, 2, &h) || !skip(&s, ':') || !digits(&s, 2, &m) ||
        !skip(&s, ':') || !digits(&s, 2, &sec))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > month_length(year, month) || h > 23 || m > 59 ||
        sec > 60)
        return false;
    if (skip(&s, '.')) {
        int d;
        if (!digits(&s, 1, &d))
            return false;
        while (digits(&s, 1, &d)) /* a fraction of any length */
            ;
    }
    if (!offset(s, &east))
        return false;
    *unix_s = (days_before(year, month) + day - 1) * 86400 + h * 3600 + m * 60 + sec - east;
    return true;
}

int64_t cred_time_unix(int64_t n)
{
    if (n >= INT64_C(1000000000000000000))
        return n / 1000000000;
    if (n >= INT64_C(1000000000000000))
        return n / 1000000;
    if (n >= INT64_C(1000000000000))
        return n / 1000;
    return n;
}

void cred_time_format(int64_t unix_s, char out[CRED_TIME_TEXT])
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    if (unix_s == 0)
        snprintf(out, CRED_TIME_TEXT, "never");
    else if (!gmtime_r(&t, &tm) || !strftime(out, CRED_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, CRED_TIME_TEXT, "out of range");
}
