/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP dates and clock errors. A date is believed only in one of its three exact forms, and a clock
 * error only where date and error code agree. */
#include "proxy/skew.h"

struct date {
    int64_t year, month, day, hour, minute, second;
};

/* Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant's days_from_civil). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool number(struct str s, size_t at, size_t n, int64_t *out)
{
    uint64_t v;
    if (at + n > s.n || !str_u64(str_n(s.p + at, n), 9999, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

static bool month(struct str s, size_t at, int64_t *out)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++)
        if (at + 3 <= s.n && memcmp(s.p + at, names + 3 * i, 3) == 0) {
            *out = i + 1;
            return true;
        }
    return false;
}

/* HH:MM:SS */
static bool clock_time(struct str s, size_t at, struct date *d)
{
    return at + 8 <= s.n && s.p[at + 2] == ':' && s.p[at + 5] == ':' &&
           number(s, at, 2, &d->hour) && number(s, at + 3, 2, &d->minute) &&
           number(s, at + 6, 2, &d->second);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool imf_fixdate(struct str s, struct date *d)
{
    return s.n == 29 && str_eq(str_n(s.p + 3, 2), STR(", ")) && s.p[7] == ' ' && s.p[11] == ' ' &&
           s.p[16] == ' ' && str_eq(str_n(s.p + 25, 4), STR(" GMT")) && number(s, 5, 2, &d->day) &&
           month(s, 8, &d->month) && number(s, 12, 4, &d->year) && clock_time(s, 17, d);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool asctime_date(struct str s, struct date *d)
{
    if (s.n != 24 || s.p[3] != ' ' || s.p[7] != ' ' || s.p[10] != ' ' || s.p[19] != ' ')
        return false;
    bool one_digit = s.p[8] == ' ';
    return number(s, one_digit ? 9 : 8, one_digit ? 1 : 2, &d->day) && month(s, 4, &d->month) &&
           number(s, 20, 4, &d->year) && clock_time(s, 11, d);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT"; the year is within 50 years of now. */
static bool rfc850_date(struct str s, int64_t now_s, struct date *d)
{
    struct str rest = s;
    (void)str_cut(&rest, ',');
    if (rest.n != 23 || rest.p[0] != ' ' || rest.p[3] != '-' || rest.p[7] != '-' ||
        rest.p[10] != ' ' || !str_eq(str_n(rest.p + 19, 4), STR(" GMT")) ||
        !number(rest, 1, 2, &d->day) || !month(rest, 4, &d->month) ||
        !number(rest, 8, 2, &d->year) || !clock_time(rest, 11, d))
        return false;
    int64_t this_year = 1970 + now_s / 31556952;
    d->year += this_year / 100 * 100;
    if (d->year > this_year + 50)
        d->year -= 100;
    return true;
}

bool skew_parse_date(struct str date, int64_t now_s, int64_t *out)
{
    struct date d = {.year = 0};
    struct str s = str_trim(date);
    if (!imf_fixdate(s, &d) && !asctime_date(s, &d) && !rfc850_date(s, now_s, &d))
        return false;
    if (d.day < 1 || d.day > 31 || d.hour > 23 || d.minute > 59 || d.second > 60 || d.year < 1970)
        return false;
    *out = days_of(d.year, d.month, d.day) * 86400 + d.hour * 3600 + d.minute * 60 + d.second;
    return true;
}

static bool has(struct str s, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.n; i++)
        if (str_ieq(str_n(s.p + i, n), str_n(word, n)))
            return true;
    return false;
}

bool skew_is_clock_code(struct str code)
{
    /* The services do not agree on one spelling; a token's expiry is another matter. */
    if (has(code, "Token") || has(code, "Credential"))
        return false;
    return has(code, "Timestamp") || has(code, "TimeTooSkewed") || has(code, "InvalidDate") ||
           has(code, "NotYetValid") ||
           (has(code, "Expire") && (has(code, "Signature") || has(code, "Request")));
}

static bool is_small(int64_t difference_s)
{
    return difference_s >= -SKEW_MIN_S && difference_s <= SKEW_MIN_S;
}

bool skew_detect(struct str code, struct str date, int64_t now_s, int64_t used_s, int64_t *skew_s)
{
    int64_t theirs;
    if (!skew_is_clock_code(code) || !skew_parse_date(date, now_s, &theirs))
        return false;
    int64_t skew = theirs - now_s;
    if (is_small(skew - used_s))
        return false;
    *skew_s = is_small(skew) ? 0 : skew;
    return true;
}
