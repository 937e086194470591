/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD under which memory runs out. A shared page says: [0] every how-manieth
 * allocation fails, 0 for none; [1] allocations asked for since; [2] those that failed. Only
 * threads whose name begins with "worker" are concerned. */
#include "shim_page.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

__attribute__((constructor)) static void attach(void)
{
    page_attach(getenv("SHIM_PAGE"));
}

static bool fails(void)
{
    char name[16];
    long every = page ? page[0] : 0;
    if (!every || prctl(PR_GET_NAME, name) != 0 || strncmp(name, "worker", 6) != 0)
        return false;
    if (++page[1] % every)
        return false;
    page[2]++;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}
