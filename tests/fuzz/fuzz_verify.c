/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reading of received signatures and of upstream host names. */
#include "endpoint/endpoint.h"
#include "sign/verify.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A view lies inside the text it was cut from. */
static void inside(struct str part, struct str whole)
{
    if (part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n((const char *)data, size);
    struct verify_scope s;
    struct endpoint_reverse r;
    char scratch[ENDPOINT_HOST_MAX];
    if (verify_parse(in, &s)) {
        const struct str parts[] = {s.access_key, s.date,           s.region,
                                    s.service,    s.signed_headers, s.signature};
        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
            inside(parts[i], in);
    }
    endpoint_reverse(CLOUD_VOLCENGINE, in, scratch, &r);
    endpoint_reverse(CLOUD_BYTEPLUS, in, scratch, &r);
    return 0;
}
