/* SPDX-License-Identifier: Apache-2.0 */
/* What the credential layer reads from outside: credential files in both forms, token service
 * answers. The first byte chooses. What is taken fits a header, what is not has a reason. */
#include "cred/cred_json.h"
#include "cred/cred_provider.h"
#include "cred/cred_sts.h"
#include "http/hdr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct cred *c, const struct err_detail *why)
{
    if (!c) {
        if (!why->text[0])
            abort(); /* a failure without a reason */
        return;
    }
    struct sign_cred s = cred_for_signing(c);
    if (!s.access_key.n || !s.secret_key.n || !hdr_is_value(s.access_key) ||
        !hdr_is_value(s.session_token))
        abort();
    cred_unref(c);
}

static void json(struct str s)
{
    struct err_detail why = {""};
    struct buf b;
    struct cred_json *j = cred_json_parse(s, &why);
    if (!j)
        return;
    for (size_t i = 0; cred_json_name(j, i) && i < 64; i++) {
        int64_t n;
        (void)cred_json_int(cred_json_get(j, cred_json_name(j, i)), &n);
        (void)cred_json_member(j, cred_json_name(j, i));
    }
    buf_init(&b, 1 << 20);
    cred_json_dump(&b, j);
    buf_wipe(&b);
    cred_json_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str secrets[CRED_STS_SECRETS] = {{"a token that is long", 20}};
    struct err_detail why = {""};
    if (!size)
        return 0;
    struct str s = str_n((const char *)data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        check(cred_file_parse(s, &why), &why);
        break;
    case 1:
        check(cred_sts_parse("fuzz", 200, s, secrets, &why), &why);
        break;
    default:
        json(s);
        break;
    }
    return 0;
}
