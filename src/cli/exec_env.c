/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the keys out of the environment and puts the proxy in. Must run in a process without
 * threads, and never in the one that reads the configuration: what is removed is gone. */
#include "cli/exec_env.h"

#include "base/secret.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The SDKs refuse to start without a pair of keys; the proxy signs anew whatever they made of it.
 */
static const char dummy_access[] = "AKLTsigferryexec", dummy_secret[] = "the-proxy-signs";

static const char *const clouds[] = {"VOLCENGINE_", "BYTEPLUS_", "VOLC_", "VOLCSTACK_"};

static bool has(struct str s, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0)
            return true;
    return false;
}

/* By what names have in common rather than by a list: products bring variables of their own. */
static bool leads_to_keys(struct str name)
{
    static const char *const parts[] = {"KEY",  "SECRET", "TOKEN",   "CREDENTIAL",
                                        "OIDC", "SAML",   "PROFILE", "CLI_CONFIG"};
    static const char *const proxies[] = {"http_proxy", "HTTP_PROXY"};
    if (str_starts(name, STR("SIGFERRY_")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
        if (str_eq(name, str_of(proxies[i])))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(clouds); i++) {
        if (!str_starts(name, str_of(clouds[i])))
            continue;
        for (size_t k = 0; k < ARRAY_LEN(parts); k++)
            if (has(name, parts[k]))
                return true;
    }
    return false;
}

void exec_env_clear(void)
{
    char **to = environ;
    for (char **from = environ; from && *from; from++) {
        struct str value = str_of(*from), name = str_cut(&value, '=');
        if (value.p && leads_to_keys(name))
            secret_wipe(*from + name.n + 1, value.n); /* other processes can read it there */
        else
            *to++ = *from;
    }
    if (to)
        *to = NULL;
}

static bool set(const char *prefix, const char *name, const char *value)
{
    char whole[64];
    int n = snprintf(whole, sizeof whole, "%s%s", prefix, name);
    return n > 0 && (size_t)n < sizeof whole && setenv(whole, value, 1) == 0;
}

bool exec_env_set(const struct exec_target *t)
{
    char url[sizeof t->listener + 8];
    (void)snprintf(url, sizeof url, "http://%s", t->listener);
    bool ok =
        set("", "SIGFERRY_URL", url) && set("", "http_proxy", url) && set("", "HTTP_PROXY", url);
    for (size_t i = 0; i < 2 && ok; i++)
        ok = set(clouds[i], "ENDPOINT", t->listener) && set(clouds[i], "DISABLE_SSL", "true") &&
             set(clouds[i], "ACCESS_KEY", dummy_access) &&
             set(clouds[i], "SECRET_KEY", dummy_secret);
    ok = ok && set("VOLC_", "ACCESSKEY", dummy_access) && set("VOLC_", "SECRETKEY", dummy_secret) &&
         set("VOLCSTACK_", "ACCESS_KEY", dummy_access) &&
         set("VOLCSTACK_", "SECRET_KEY", dummy_secret);
    if (ok && t->region[0])
        ok = set(clouds[t->byteplus], "REGION", t->region);
    return ok;
}
