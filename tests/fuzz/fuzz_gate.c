/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of any bytes: METHOD SP TARGET SP VERSION, then NAME:VALUE lines. What passes has one
 * framing and one host; what does not pass closes the connection. */
#include "http/gate.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x)                                                                                 \
    do                                                                                             \
        if (!(x))                                                                                  \
            abort();                                                                               \
    while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hdr store[GATE_MAX_HEADERS + 1];
    struct str rest = str_n((const char *)data, size);
    struct str line = str_cut(&rest, '\n');
    struct gate_head head = {.hdrs = {store, 0, ARRAY_LEN(store)}};
    struct gate_verdict v;
    struct uri_host host;
    struct err_detail why = {""};
    head.method = str_cut(&line, ' ');
    head.target = str_cut(&line, ' ');
    head.version = line;
    while (rest.p) {
        struct str value = str_cut(&rest, '\n');
        struct str name = str_cut(&value, ':');
        if (!hdrs_add(&head.hdrs, name, value))
            break;
    }
    enum err e = gate_check(&head, 1000, &v, &why);
    REQUIRE(v.must_close == (e != ERR_OK) && (why.text[0] != '\0') == (e != ERR_OK));
    if (e != ERR_OK)
        return 0;
    size_t lengths = hdrs_count(&head.hdrs, STR("Content-Length"));
    size_t encodings = hdrs_count(&head.hdrs, STR("Transfer-Encoding"));
    REQUIRE(lengths + encodings == (v.framing != GATE_NO_BODY));
    REQUIRE((v.framing == GATE_CHUNKED) == (encodings == 1));
    REQUIRE(v.length <= 1000 && (v.framing == GATE_LENGTH || v.length == 0));
    REQUIRE(head.hdrs.n <= GATE_MAX_HEADERS && head.target.n <= GATE_MAX_TARGET);
    REQUIRE(hdrs_count(&head.hdrs, STR("Host")) <= 1);
    REQUIRE(v.host.n == 0 || uri_host(v.host, &host, &why) == ERR_OK);
    for (size_t i = 0; i < head.hdrs.n; i++)
        REQUIRE(hdr_is_token(store[i].name) && hdr_is_value(str_trim(store[i].value)));
    return 0;
}
