/* SPDX-License-Identifier: Apache-2.0 */
/* The process's environment: what libraries would read behind our back is taken out. */
#include "daemon/environ.h"

#include "base/attr.h"
#include "base/str.h"
#include <stdlib.h>

void environ_clean(void)
{
    static const char *const names[] = {"SSLKEYLOGFILE",
                                        "CURL_SSL_BACKEND",
                                        "CURL_HOME",
                                        "CURL_CA_BUNDLE",
                                        "OPENSSL_CONF",
                                        "OPENSSL_MODULES",
                                        "OPENSSL_ENGINES",
                                        "GNUTLS_SYSTEM_PRIORITY_FILE",
                                        "GNUTLS_DEBUG_LEVEL",
                                        "GNUTLS_KEYLOGFILE",
                                        "GNUTLS_CPUID_OVERRIDE",
                                        "http_proxy",
                                        "HTTP_PROXY",
                                        "https_proxy",
                                        "HTTPS_PROXY",
                                        "all_proxy",
                                        "ALL_PROXY",
                                        "no_proxy",
                                        "NO_PROXY",
                                        "RES_OPTIONS",
                                        "HOSTALIASES",
                                        "LOCALDOMAIN",
                                        "RESOLV_HOST_CONF",
                                        "NETRC",
                                        "MALLOC_TRACE"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unsetenv(names[i]); /* fails for malformed names only */
}
