/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's memory and words. Tokens, passwords and the answers of token services pass through its
 * buffers, which it gives back as they are: here every block is overwritten first. Its words may
 * quote a password. */
#include "io/curl_common.h"

#include "base/secret.h"
#include <curl/curl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bool started;

/* realloc would leave the old block's contents behind when it moves it. */
static void *wiping_realloc(void *p, size_t n)
{
    void *grown = malloc(n);
    if (grown && p) {
        size_t had = malloc_usable_size(p);
        memcpy(grown, p, had < n ? had : n);
        secret_free(p);
    }
    return grown;
}

static void start(void)
{
    (void)unsetenv("SSLKEYLOGFILE");
    started = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_free, wiping_realloc, strdup,
                                   calloc) == CURLE_OK;
}

bool curl_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, start);
    return started;
}

const char *curl_reason(const char *text, int code)
{
    /* libcurl 7.88 to 8.x: "Unsupported proxy syntax in 'URL': …", "Unsupported proxy scheme for
     * 'URL'", "Unsupported proxy 'URL', …" */
    if (strncmp(text, "Unsupported proxy", 17) == 0)
        return "libcurl can't read the proxy's URL; correct proxy.http_proxy or proxy.https_proxy";
    return text[0] ? text : curl_easy_strerror((CURLcode)code);
}
