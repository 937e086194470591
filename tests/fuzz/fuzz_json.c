/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the JSON of credential files and responses. */
#include "cred/cred_json.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    struct err_detail why = {""};
    int64_t n;
    if (!ready)
        cred_json_init();
    ready = true;
    struct cred_json *j = cred_json_parse(str_n((const char *)data, size), &why);
    if (!j)
        return why.text[0] ? 0 : (abort(), 0);
    for (size_t i = 0; cred_json_name(j, i); i++) {
        const struct cred_json *v = cred_json_get(j, cred_json_name(j, i));
        struct buf b;
        buf_init(&b, 1 << 20);
        cred_json_put(&b, cred_json_text(v));
        (void)cred_json_int(v, &n);
        buf_free(&b);
    }
    cred_json_free(j);
    return 0;
}
