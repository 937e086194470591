/* SPDX-License-Identifier: Apache-2.0 */
/* Responses of any bytes, fed whole, byte by byte, in pieces, and cut in two: the same head, the
 * same body, the same end. The first byte says whether it answers a HEAD (bit 7) and how large the
 * pieces are. A short response is cut at every byte, a long one where the first byte says. */
#include "http/resp.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVERY = 300 }; /* bytes of a response that is cut at each of them */

#define REQUIRE(x)                                                                                 \
    do                                                                                             \
        if (!(x))                                                                                  \
            abort();                                                                               \
    while (0)

static void note_head(const struct resp *r, struct buf *out)
{
    buf_printf(out, "%u %d %llu %d %d %zu\n", r->status, (int)r->framing,
               (unsigned long long)r->length, r->has_length, r->keep_alive, r->hdrs.n);
    buf_puts(out, r->reason);
    for (size_t i = 0; i < r->hdrs.n; i++) {
        buf_puts(out, r->hdrs.v[i].name);
        buf_putc(out, ':');
        buf_puts(out, r->hdrs.v[i].value);
        buf_putc(out, '\n');
    }
}

/* Feeds first bytes, then step at a time. */
static void run(struct resp *r, struct str input, bool is_head, size_t first, size_t step,
                struct buf *out)
{
    enum resp_event ev = RESP_MORE;
    size_t at = 0;
    buf_reset(out);
    resp_reset(r, is_head);
    while (ev == RESP_MORE && at < input.n) {
        const size_t want = at ? step : first;
        struct str in = str_n(input.p + at, input.n - at < want ? input.n - at : want), body;
        const size_t n = in.n;
        while ((ev = resp_feed(r, &in, &body)) == RESP_HEAD || ev == RESP_DATA)
            if (ev == RESP_HEAD)
                note_head(r, out);
            else
                buf_puts(out, body);
        REQUIRE(ev != RESP_MORE || in.n == 0);
        at += n - in.n;
    }
    if (ev == RESP_END)
        buf_printf(out, "end at %zu", at);
    if (ev == RESP_MORE)
        ev = resp_eof(r);
    buf_printf(out, " event %d %s", (int)ev, ev == RESP_BAD ? r->why : "");
    REQUIRE(!out->failed && (ev == RESP_END || ev == RESP_BAD || input.n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct resp r;
    struct buf whole, pieces;
    if (size < 2)
        return 0;
    struct str input = str_n((const char *)data + 1, size - 1);
    const bool is_head = data[0] & 0x80;
    const size_t step = (data[0] & 0x7F) + 1;
    resp_init(&r);
    buf_init(&whole, 4 << 20);
    buf_init(&pieces, 4 << 20);
    run(&r, input, is_head, input.n, input.n, &whole);
    run(&r, input, is_head, step, step, &pieces);
    REQUIRE(str_eq(buf_str(&whole), buf_str(&pieces)));
    run(&r, input, is_head, 1, 1, &pieces);
    REQUIRE(str_eq(buf_str(&whole), buf_str(&pieces)));
    for (size_t cut = input.n <= EVERY ? 1 : step; cut < input.n;
         cut += input.n <= EVERY ? 1 : size) {
        run(&r, input, is_head, cut, input.n, &pieces);
        REQUIRE(str_eq(buf_str(&whole), buf_str(&pieces)));
    }
    buf_free(&whole);
    buf_free(&pieces);
    resp_free(&r);
    return 0;
}
