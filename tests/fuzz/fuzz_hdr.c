/* SPDX-License-Identifier: Apache-2.0 */
/* Header lists of any bytes, NAME:VALUE lines: byte classes and look-ups say what RFC 9110 says,
 * byte by byte and written a second time. */
#include "http/hdr.h"
#include <ctype.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x)                                                                                 \
    do                                                                                             \
        if (!(x))                                                                                  \
            abort();                                                                               \
    while (0)

static bool in_set(char c, const char *set)
{
    return c && strchr(set, c);
}

static void classes(struct str s)
{
    bool token = s.n > 0, value = true;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        token = token && in_set(s.p[i], "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "abcdefghijklmnopqrstuvwxyz");
        value = value && (c == '\t' || (c >= 0x20 && c != 0x7F));
    }
    REQUIRE(hdr_is_token(s) == token && hdr_is_value(s) == value);
}

static bool same(struct str a, const char *b, size_t n)
{
    bool equal = a.n == n;
    for (size_t i = 0; equal && i < n; i++)
        equal = tolower((unsigned char)a.p[i]) == tolower((unsigned char)b[i]);
    return equal;
}

/* Is the word an element of the list? From each comma to the next, without the blanks around. */
static bool listed(struct str list, struct str word)
{
    for (size_t from = 0, to; from <= list.n; from = to + 1) {
        for (to = from; to < list.n && list.p[to] != ','; to++)
            ;
        size_t a = from, b = to;
        while (a < b && in_set(list.p[a], " \t"))
            a++;
        while (b > a && in_set(list.p[b - 1], " \t"))
            b--;
        if (same(word, list.p + a, b - a))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hops[] = {"connection",
                                       "keep-alive",
                                       "proxy-connection",
                                       "proxy-authenticate",
                                       "proxy-authorization",
                                       "te",
                                       "trailer",
                                       "transfer-encoding",
                                       "upgrade",
                                       "content-length"};
    struct hdr store[32];
    struct hdrs h = {store, 0, ARRAY_LEN(store)};
    struct str rest = str_n((const char *)data, size);
    while (rest.p && h.n < h.cap) {
        struct str value = str_cut(&rest, '\n'), name = str_cut(&value, ':');
        REQUIRE(hdrs_add(&h, name, value.p ? value : STR("")));
        classes(name);
        classes(value);
    }
    REQUIRE(h.n < h.cap || !hdrs_add(&h, STR("x"), STR("y")));
    for (size_t i = 0; i < h.n; i++) {
        struct str name = store[i].name;
        const struct hdr *first = hdrs_find(&h, name);
        bool hop = false, nominated = false, earlier = false;
        size_t count = 0;
        for (size_t k = 0; k < ARRAY_LEN(hops); k++)
            hop = hop || same(name, hops[k], strlen(hops[k]));
        for (size_t k = 0; k < h.n; k++) {
            bool equal = same(name, store[k].name.p, store[k].name.n);
            count += equal;
            earlier = earlier || (equal && &store[k] < first);
            nominated = nominated ||
                        (same(store[k].name, "connection", 10) && listed(store[k].value, name));
        }
        REQUIRE(first && !earlier && hdrs_count(&h, name) == count && hdr_is_hop(name) == hop);
        REQUIRE(hdr_is_nominated(&h, name) == nominated);
    }
    return 0;
}
