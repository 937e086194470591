/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of any bytes: what is accepted has one canonical form, which is its own canonical form.
 */
#include "http/uri.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x)                                                                                 \
    do                                                                                             \
        if (!(x))                                                                                  \
            abort();                                                                               \
    while (0)

static void require_only(struct str s, const char *separators)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        REQUIRE(plain || (c && strchr("-._~%", c)) || (c && strchr(separators, c)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n((const char *)data, size), path, again, text, back;
    struct uri_target target;
    struct uri_host host;
    struct uri_query query;
    struct err_detail why;
    struct arena a;
    arena_init(&a, 4096, 1 << 20);
    if (uri_host(in, &host, &why) == ERR_OK)
        REQUIRE(host.host.n > 0 && host.host.n <= size && host.port <= 65535);
    if (uri_split(in, &target, &why) != ERR_OK)
        target = (struct uri_target){.path = in, .query = in};
    if (uri_path(target.path, &a, &path, &why) == ERR_OK) {
        REQUIRE(path.n > 0 && path.p[0] == '/');
        require_only(path, "/");
        REQUIRE(uri_path(path, &a, &again, &why) == ERR_OK && str_eq(path, again));
    }
    if (uri_query_parse(target.query, &a, &query, &why) == ERR_OK) {
        text = uri_query_write(&query, &a);
        REQUIRE(text.p);
        require_only(text, "&=");
        REQUIRE(uri_query_parse(text, &a, &query, &why) == ERR_OK);
        again = uri_query_write(&query, &a);
        REQUIRE(str_eq(text, again));
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    uri_encode(&b, in);
    REQUIRE(!b.failed && uri_decode(buf_str(&b), true, &a, &back) == ERR_OK && str_eq(back, in));
    buf_free(&b);
    arena_free(&a);
    return 0;
}
