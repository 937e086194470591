/* SPDX-License-Identifier: Apache-2.0 */
/* Form bodies under a policy: an Action that a server would find is found, at any split. The first
 * byte chooses the Content-Type (bits 0-2) and the size of the pieces (the others). */
#include "proxy/policy.h"
#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run(const struct route *r, struct str body, size_t step)
{
    struct policy_form f;
    bool found = false;
    policy_form_begin(&f, r);
    for (size_t at = 0; at < body.n; at += step) {
        bool now = policy_form_feed(&f, body.p + at, body.n - at < step ? body.n - at : step);
        if (found && !now)
            abort(); /* once seen, ever after */
        found = now;
    }
    return policy_form_end(&f);
}

/* As servers read a form: pairs between '&', the name up to '=', its escapes decoded. */
static bool has_action(struct str body)
{
    while (body.p) {
        struct str value = str_cut(&body, '&'), name = str_cut(&value, '=');
        char text[8] = "";
        size_t n = 0;
        for (size_t i = 0; i < name.n && n < sizeof(text) - 1; i++) {
            char hex[3] = "", *end = hex;
            if (name.p[i] == '%' && i + 2 < name.n)
                memcpy(hex, name.p + i + 1, 2);
            long v = strtol(hex, &end, 16);
            bool escape = end == hex + 2 && hex[0] != '+' && hex[0] != '-' && hex[0] > ' ';
            text[n++] = escape ? (char)v : name.p[i];
            i += escape ? 2 : 0;
        }
        if (n == 6 && strncasecmp(text, "Action", 6) == 0)
            return true;
    }
    return false;
}

/* As browsers write a part's name. */
static bool has_part(struct str body)
{
    for (; body.n >= 13; body = str_n(body.p + 1, body.n - 1))
        if (str_istarts(body, STR("name=\"Action\"")))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/json, application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded; charset=utf-16"};
    if (!size)
        return 0;
    struct hdr type = {STR("Content-Type"), str_of(types[data[0] & 3])};
    struct route r = {.forward = {&type, data[0] & 4 ? 0 : 1, 1}};
    struct str body = str_n((const char *)data + 1, size - 1);
    bool whole = run(&r, body, size), form = data[0] & 4 || (data[0] & 3) != 1;
    if (whole != run(&r, body, (data[0] >> 3) + 1) || whole != run(&r, body, 1))
        abort();
    if ((form ? has_action(body) : has_part(body)) && !whole)
        abort();
    return 0;
}
