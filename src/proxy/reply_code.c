/* SPDX-License-Identifier: Apache-2.0 */
/* The error code in an upstream's answer. Only reads; an answer that is not what the clouds send
 * simply has no code. One of the files that use jansson. */
#include "proxy/reply.h"
#include <jansson.h>

struct str reply_error_code(struct str json, char scratch[REPLY_CODE_MAX])
{
    struct str code = {scratch, 0};
    json_t *root = json.n ? json_loadb(json.p, json.n, 0, NULL) : NULL;
    const json_t *metadata = json_object_get(root, "ResponseMetadata");
    const json_t *value = json_object_get(json_object_get(metadata, "Error"), "Code");
    size_t n = value ? json_string_length(value) : 0;
    if (n > 0 && n <= REPLY_CODE_MAX) {
        memcpy(scratch, json_string_value(value), n);
        code.n = n;
    }
    json_decref(root);
    return code;
}
