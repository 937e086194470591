/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of the last failures behind a lock that writers only ever try: a flood of refusals must
 * not make workers wait for each other. */
#include "proxy/failures.h"

#include <pthread.h>
#include <stdlib.h>

struct failures {
    pthread_mutex_t lock;
    size_t n; /* ever written; the ring's place is n % FAILURES_MAX */
    struct failure v[FAILURES_MAX];
};

struct failures *failures_new(void)
{
    struct failures *f = calloc(1, sizeof *f);
    if (f && pthread_mutex_init(&f->lock, NULL) != 0) {
        free(f);
        return NULL;
    }
    return f;
}

void failures_free(struct failures *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void failures_text(char *field, size_t n, struct str text)
{
    size_t len = text.n < n ? text.n : n - 1;
    for (size_t i = 0; i < len; i++)
        field[i] = text.p[i];
    for (size_t i = 0; i < len; i++)
        if (field[i] < 0x20 || field[i] > 0x7e)
            field[i] = '?';
    field[len] = '\0';
}

void failures_add(struct failures *f, const struct failure *one)
{
    if (pthread_mutex_trylock(&f->lock) != 0)
        return;
    f->v[f->n++ % FAILURES_MAX] = *one;
    pthread_mutex_unlock(&f->lock);
}

size_t failures_copy(struct failures *f, struct failure out[FAILURES_MAX])
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->n < FAILURES_MAX ? f->n : FAILURES_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = f->v[(f->n - 1 - i) % FAILURES_MAX];
    pthread_mutex_unlock(&f->lock);
    return n;
}
