/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 (FIPS 180-4, 6.1) over a text in memory; see the header for why it exists. */
#include "cred/cred_sha1.h"

#include <stdio.h>

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void block(uint32_t h[5], const unsigned char p[64])
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned t = 0; t < 16; t++)
        w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 |
               (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
    for (unsigned t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t f = t < 20   ? (b & c) | (~b & d)
                     : t < 40 ? b ^ c ^ d
                     : t < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t next = rotate(a, 5) + f + e + k[t / 20] + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void cred_sha1_hex(struct str text, char out[CRED_SHA1_HEX])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char last[128] = {0};
    size_t whole = text.n / 64 * 64, rest = text.n - whole;
    size_t tail = rest < 56 ? 64 : 128;
    for (size_t i = 0; i < whole; i += 64)
        block(h, (const unsigned char *)text.p + i);
    if (rest)
        memcpy(last, text.p + whole, rest);
    last[rest] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        last[tail - 1 - i] = (unsigned char)((uint64_t)text.n * 8 >> 8 * i);
    for (size_t i = 0; i < tail; i += 64)
        block(h, last + i);
    (void)snprintf(out, CRED_SHA1_HEX, "%08x%08x%08x%08x%08x", h[0], h[1], h[2], h[3], h[4]);
}
