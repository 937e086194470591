/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD that counts the allocations of worker threads by who asked for them. A
 * shared page says: [0] not 0 to count; then how many [1] the program made, [2] libc for anybody
 * (but strdup, which counts for its caller), [3] other libraries. */
#include "shim_page.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

struct range {
    uintptr_t from, to;
};

static struct range program, libc;

static int find(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    bool *first = arg;
    struct range *r = *first ? &program : strstr(info->dlpi_name, "/libc.so") ? &libc : NULL;
    *first = false; /* the program comes first */
    for (int i = 0; r && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_X))
            *r = (struct range){info->dlpi_addr + h->p_vaddr,
                                info->dlpi_addr + h->p_vaddr + h->p_memsz};
    }
    return 0;
}

__attribute__((constructor)) static void attach(void)
{
    bool first = true;
    dl_iterate_phdr(find, &first); /* before anything is counted */
    page_attach(getenv("SHIM_PAGE"));
}

static bool within(struct range r, uintptr_t at)
{
    return at >= r.from && at < r.to;
}

static void count(void *caller)
{
    char name[16];
    if (!page || !page[0] || prctl(PR_GET_NAME, name) != 0 || strncmp(name, "worker", 6) != 0)
        return;
    uintptr_t at = (uintptr_t)caller;
    page[within(program, at) ? 1 : within(libc, at) ? 2 : 3]++;
}

void *malloc(size_t n)
{
    count(__builtin_return_address(0));
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count(__builtin_return_address(0));
    return __libc_realloc(p, n);
}

char *strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    count(__builtin_return_address(0));
    char *p = __libc_malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}
