/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD that writes each option given to libcurl as a line "HANDLE OPTION VALUE"
 * into the file $SHIM_OPTIONS; values of options that take text as text. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#undef curl_easy_setopt

CURLcode curl_easy_setopt(CURL *handle, CURLoption option, ...)
{
    static CURLcode (*real)(CURL *, CURLoption, ...);
    va_list ap;
    va_start(ap, option);
    void *value = va_arg(ap, void *);
    va_end(ap);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "curl_easy_setopt");
    FILE *f = getenv("SHIM_OPTIONS") ? fopen(getenv("SHIM_OPTIONS"), "a") : NULL;
    const struct curl_easyoption *o = curl_easy_option_by_id(option);
    if (f) {
        if (o && (o->type == CURLOT_STRING))
            fprintf(f, "%p %s %s\n", handle, o->name, value ? (char *)value : "NULL");
        else
            fprintf(f, "%p %s %ld\n", handle, o ? o->name : "?", (long)value);
        fclose(f);
    }
    return real(handle, option, value);
}
