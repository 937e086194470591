/* SPDX-License-Identifier: Apache-2.0 */
/* The page of numbers that a library for LD_PRELOAD shares with the test (faults.py, Shim). */
#ifndef SIGFERRY_TESTS_SHIM_PAGE_H
#define SIGFERRY_TESTS_SHIM_PAGE_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic long *page; /* NULL without one */

static inline void page_attach(const char *path)
{
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    page = p == MAP_FAILED ? NULL : p;
    close(fd);
}

#endif
