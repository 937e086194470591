/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields: the byte classes of RFC 9110, look-ups, and the names that end at each hop.
 * Never allocates, never changes what it is shown. */
#include "http/hdr.h"

/* tchar of RFC 9110 5.6.2. */
static const bool tchar[256] = {
    ['!'] = true,         ['#' ... '\''] = true, ['*'] = true,         ['+'] = true,
    ['-'] = true,         ['.'] = true,          ['0' ... '9'] = true, ['A' ... 'Z'] = true,
    ['^' ... 'z'] = true, ['|'] = true,          ['~'] = true,
};

bool hdrs_add(struct hdrs *h, struct str name, struct str value)
{
    if (h->n >= h->cap)
        return false;
    h->v[h->n++] = (struct hdr){name, value};
    return true;
}

const struct hdr *hdrs_find(const struct hdrs *h, struct str name)
{
    for (size_t i = 0; i < h->n; i++)
        if (str_ieq(h->v[i].name, name))
            return &h->v[i];
    return NULL;
}

size_t hdrs_count(const struct hdrs *h, struct str name)
{
    size_t count = 0;
    for (size_t i = 0; i < h->n; i++)
        count += str_ieq(h->v[i].name, name);
    return count;
}

bool hdr_is_hop(struct str name)
{
    /* By length first: nearly every name is settled without comparing a byte. */
    switch (name.n) {
    case 2:
        return str_ieq(name, STR("TE"));
    case 7:
        return str_ieq(name, STR("Trailer")) || str_ieq(name, STR("Upgrade"));
    case 10:
        return str_ieq(name, STR("Connection")) || str_ieq(name, STR("Keep-Alive"));
    case 14:
        return str_ieq(name, STR("Content-Length"));
    case 16:
        return str_ieq(name, STR("Proxy-Connection"));
    case 17:
        return str_ieq(name, STR("Transfer-Encoding"));
    case 18:
        return str_ieq(name, STR("Proxy-Authenticate"));
    case 19:
        return str_ieq(name, STR("Proxy-Authorization"));
    default:
        return false;
    }
}

bool hdr_is_nominated(const struct hdrs *h, struct str name)
{
    for (size_t i = 0; i < h->n; i++)
        if (str_ieq(h->v[i].name, STR("Connection")) && hdr_list_has(h->v[i].value, name))
            return true;
    return false;
}

bool hdr_is_token(struct str s)
{
    /* Without an early exit: names are short and nearly all are good. */
    bool good = s.n != 0;
    for (size_t i = 0; i < s.n; i++)
        good &= tchar[(unsigned char)s.p[i]];
    return good;
}

static bool are_value_bytes(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

/* Might one of these eight bytes be no value byte? A byte below 0x20, or one that is 0x7F, leaves
 * its high bit set ("hasless" and "haszero" of Bit Twiddling Hacks, exact as existence tests). */
static bool is_odd_word(const char *p)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t del = w ^ (ones * 0x7F);
    return ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & (ones * 0x80)) != 0;
}

bool hdr_is_value(struct str s)
{
    if (s.n < 8)
        return are_value_bytes(s.p, s.n);
    /* The last word overlaps the one before it; a word with a tab in it is looked at closely. */
    for (size_t i = 0;; i += 8) {
        const char *p = s.p + (i < s.n - 8 ? i : s.n - 8);
        if (is_odd_word(p) && !are_value_bytes(p, 8))
            return false;
        if (i >= s.n - 8)
            return true;
    }
}

bool hdr_list_has(struct str value, struct str token)
{
    while (value.p)
        if (str_ieq(str_trim(str_cut(&value, ',')), token))
            return true;
    return false;
}
