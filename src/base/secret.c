/* SPDX-License-Identifier: Apache-2.0 */
/* The one place for secret bytes. Owns regions of locked pages that stay out of core dumps, cut
 * into slots; a secret takes a run of slots and is overwritten when its last reference goes.
 * Bookkeeping lives outside the locked pages. Any thread may call; one mutex guards the regions. */
#include "base/secret.h"
#include "base/log.h"
#include <assert.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum {
    SLOT_SIZE = 256,
    SLOT_COUNT = 64, /* one bit each in region.used */
    REGION_SIZE = SLOT_SIZE * SLOT_COUNT,
};

struct region {
    struct region *next;
    char *pages;
    size_t size;   /* bytes mapped: REGION_SIZE, or more for a single large secret */
    uint64_t used; /* slots in use; all ones for a large secret */
};

struct secret {
    struct region *region;
    atomic_uint refs;
    uint64_t slots; /* the bits it takes in region->used */
    size_t n;
    char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *regions;

void secret_harden_process(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        log_msg(LOG_WARN, "core dumps could not be switched off: setrlimit failed");
#ifndef WITH_ASAN
    /* The leak check of the sanitizer attaches to the process, which this forbids. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        log_msg(LOG_WARN, "tracing of this process could not be forbidden: prctl failed");
#endif
}

/* Maps size bytes; locking and hiding them from dumps is best effort, but said once. */
static struct region *region_new(size_t size)
{
    static atomic_bool told;
    struct region *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(r);
        return NULL;
    }
    if (mlock(p, size) != 0 && !atomic_exchange(&told, true))
        log_msg(LOG_WARN, "secrets could not be locked in memory, they may be swapped out: "
                          "raise the limit on locked memory (ulimit -l, LimitMEMLOCK=)");
    if (madvise(p, size, MADV_DONTDUMP) != 0 && !atomic_exchange(&told, true))
        log_msg(LOG_WARN, "secrets could not be kept out of core dumps: madvise failed");
    r->pages = p;
    r->size = size;
    return r;
}

static void region_free(struct region *r)
{
    (void)munmap(r->pages, r->size);
    free(r);
}

/* The lowest run of free slots, as bits shifted to its place; 0 when there is none. */
static uint64_t find_run(uint64_t used, unsigned count, unsigned *at)
{
    uint64_t run = count == SLOT_COUNT ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    for (*at = 0; *at + count <= SLOT_COUNT; ++*at)
        if (!(used & (run << *at)))
            return run << *at;
    return 0;
}

/* Called with the lock held. */
static struct secret *take(size_t bytes)
{
    unsigned at = 0;
    if (bytes > REGION_SIZE) {
        struct region *r = region_new(bytes);
        if (!r)
            return NULL;
        r->used = UINT64_MAX;
        r->next = regions;
        regions = r;
        struct secret *s = (struct secret *)(void *)r->pages;
        s->region = r;
        s->slots = UINT64_MAX;
        return s;
    }
    unsigned count = (unsigned)((bytes + SLOT_SIZE - 1) / SLOT_SIZE);
    struct region *r = regions;
    uint64_t run = 0;
    while (r && !(run = find_run(r->used, count, &at)))
        r = r->next;
    if (!r) {
        r = region_new(REGION_SIZE);
        if (!r)
            return NULL;
        run = find_run(0, count, &at);
        r->next = regions;
        regions = r;
    }
    r->used |= run;
    struct secret *s = (struct secret *)(void *)(r->pages + (size_t)at * SLOT_SIZE);
    s->region = r;
    s->slots = run;
    return s;
}

struct secret *secret_new(struct str str)
{
    if (str.n > SIZE_MAX - sizeof(struct secret))
        return NULL;
    pthread_mutex_lock(&lock);
    struct secret *s = take(sizeof(*s) + str.n);
    pthread_mutex_unlock(&lock);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    s->n = str.n;
    if (str.n)
        memcpy(s->bytes, str.p, str.n);
    return s;
}

struct secret *secret_ref(struct secret *s)
{
    if (s) {
        unsigned before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
        assert(before > 0);
        (void)before;
    }
    return s;
}

/* Gives the slots back; a region that became empty is unmapped. Lock held. */
static void give_back(struct region *r, uint64_t slots)
{
    r->used &= ~slots;
    if (r->used)
        return;
    for (struct region **at = &regions; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    region_free(r);
}

void secret_unref(struct secret *s)
{
    if (!s)
        return;
    unsigned before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    struct region *r = s->region;
    uint64_t slots = s->slots;
    OPENSSL_cleanse(s, sizeof(*s) + s->n);
    pthread_mutex_lock(&lock);
    give_back(r, slots);
    pthread_mutex_unlock(&lock);
}

struct str secret_str(const struct secret *s)
{
    return s ? str_n(s->bytes, s->n) : (struct str){NULL, 0};
}

void secret_wipe(void *p, size_t n)
{
    if (n)
        OPENSSL_cleanse(p, n);
}

__attribute__((noinline)) void secret_scrub_stack(void)
{
    char below[32 * 1024];
    OPENSSL_cleanse(below, sizeof below);
}

void secret_free(void *p)
{
    if (p)
        OPENSSL_cleanse(p, malloc_usable_size(p));
    free(p);
}

bool secret_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void secret_mask(struct str access_key, char out[16])
{
    if (access_key.n <= 8) {
        memcpy(out, "****", 5);
        return;
    }
    memcpy(out, access_key.p, 4);
    memcpy(out + 4, "...", 3);
    memcpy(out + 7, access_key.p + access_key.n - 4, 4);
    out[11] = '\0';
    /* It goes to terminals: what is no printable character is not shown. */
    for (size_t i = 0; i < 11; i++)
        if (out[i] < 0x20 || out[i] > 0x7e)
            out[i] = '?';
}

bool secret_is_quoted(struct str text, struct str secret)
{
    enum { LEAST = 12 };
    size_t n = secret.n < LEAST ? secret.n : LEAST;
    for (size_t i = 0; n && i + n <= text.n; i++)
        if (memmem(secret.p, secret.n, text.p + i, n))
            return true;
    return false;
}
