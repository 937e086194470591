/* SPDX-License-Identifier: Apache-2.0 */
/* The facts behind the resolvers: endpoint_table.c is written by gen_table.py from endpoints.json.
 */
#ifndef SIGFERRY_ENDPOINT_ENDPOINT_TABLE_H
#define SIGFERRY_ENDPOINT_ENDPOINT_TABLE_H

#include <stddef.h>

/* In which resolver's table a service is, and whether it is global there. */
enum {
    IN_DEFAULT = 1 << 0,
    DEFAULT_GLOBAL = 1 << 1,
    IN_STANDARD = 1 << 2,
    STANDARD_GLOBAL = 1 << 3,
};

struct endpoint_row {
    const char *label;    /* as it stands in a host: lower-case, '-' for '_'; sorted, unique */
    const char *code;     /* as it is signed; of two codes with one label the lower-case one */
    const char *fallback; /* its own fallback endpoint, or NULL: the cloud's */
    unsigned flags;
};

struct endpoint_table {
    const char *suffix, *dual_stack_suffix; /* with the leading dot */
    const char *fallback;
    const struct endpoint_row *rows;
    const char *const *bootstrap_regions; /* of the default resolver */
    const char *const *standard_regions;  /* of the standard resolver, besides its pattern */
    size_t nrows, nbootstrap, nstandard;
};

/* By enum endpoint_cloud. */
extern const struct endpoint_table endpoint_tables[2];

#endif
