/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the loading of a configuration file or, after "--set ", of a key from the command line: it
 * is refused with a reason, or can be printed. */
#include "conf/conf.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct log_options quiet = {.level = LOG_ERROR};
    static FILE *sink;
    static bool ready;
    char path[64];
    if (!ready && (!log_open(&quiet) || !(sink = fopen("/dev/null", "w"))))
        abort();
    ready = true;
    /* 0600, or every input would end as a file that others may write. */
    int fd = memfd_create("conf", MFD_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct conf_args args = {.config = path};
    bool is_set = size > 6 && memcmp(data, "--set ", 6) == 0;
    char *pair = is_set ? strndup((const char *)data + 6, size - 6) : NULL;
    const char *set[] = {pair};
    if (is_set) {
        if (!pair)
            abort();
        args = (struct conf_args){.no_file = true, .set = set, .nset = 1};
    }
    struct buf errs;
    buf_init(&errs, 1 << 20);
    struct conf *c = conf_load(&args, &errs);
    if (!c && errs.n == 0)
        abort();
    if (c) {
        struct buf json;
        buf_init(&json, 64 << 20);
        (void)conf_print(c, sink);
        conf_print_json(c, &json);
        buf_free(&json);
    }
    conf_unref(c);
    buf_free(&errs);
    free(pair);
    close(fd);
    return 0;
}
