/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the derived keys of one signer: a fixed set of slots in order of use. A key lives in secret
 * memory and is wiped when its slot is evicted or forgotten; the serial lets the signer see that
 * its HMAC context is still keyed with the same one. */
#include "sign/signkey.h"

#include "base/list.h"
#include "base/secret.h"
#include <assert.h>
#include <stdlib.h>

struct slot {
    struct list lru; /* in cache.used (most recent first) or cache.free */
    uint64_t secret_id, serial;
    char day[SIGNKEY_DAY_LEN];
    unsigned char nregion, nservice;
    char region[SIGNKEY_LABEL_MAX], service[SIGNKEY_LABEL_MAX];
    struct secret *key;
};

struct signkey_cache {
    struct list used, free;
    uint64_t last_serial;
    struct slot slots[SIGNKEY_CACHE_MAX];
};

static struct slot *slot_of(struct list *l)
{
    return CONTAINER_OF(l, struct slot, lru);
}

struct signkey_cache *signkey_cache_new(void)
{
    struct signkey_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    list_init(&c->used);
    list_init(&c->free);
    for (size_t i = 0; i < SIGNKEY_CACHE_MAX; i++)
        list_push(&c->free, &c->slots[i].lru);
    return c;
}

static void slot_clear(struct signkey_cache *c, struct slot *s)
{
    secret_unref(s->key);
    s->key = NULL;
    list_unlink(&s->lru);
    list_push(&c->free, &s->lru);
}

void signkey_forget(struct signkey_cache *c, uint64_t secret_id)
{
    struct list *next;
    for (struct list *l = c->used.next; l != &c->used; l = next) {
        next = l->next;
        if (secret_id == 0 || slot_of(l)->secret_id == secret_id)
            slot_clear(c, slot_of(l));
    }
}

void signkey_cache_free(struct signkey_cache *c)
{
    if (!c)
        return;
    signkey_forget(c, 0);
    free(c);
}

static bool matches(const struct slot *s, const struct signkey_id *id)
{
    return s->secret_id == id->secret_id && memcmp(s->day, id->day.p, SIGNKEY_DAY_LEN) == 0 &&
           str_eq(str_n(s->region, s->nregion), id->region) &&
           str_eq(str_n(s->service, s->nservice), id->service);
}

static struct slot *find(struct signkey_cache *c, const struct signkey_id *id)
{
    LIST_FOR (l, &c->used) {
        if (!matches(slot_of(l), id))
            continue;
        struct slot *s = slot_of(l);
        list_unlink(l);
        list_push_front(&c->used, l);
        return s;
    }
    return NULL;
}

/* The chain of the official signers: each result is the key of the next step. */
static bool derive(struct hmac *h, struct str secret, const struct signkey_id *id,
                   unsigned char out[DIGEST_LEN])
{
    const struct str steps[] = {id->day, id->region, id->service, STR("request")};
    struct str key = secret;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (!hmac_sha256(h, key, steps[i], out))
            return false;
        key = str_n((const char *)out, DIGEST_LEN);
    }
    return true;
}

/* Keeps a key; 0 when secret memory is short, which costs speed and nothing else. */
static uint64_t keep(struct signkey_cache *c, const struct signkey_id *id,
                     const unsigned char key[DIGEST_LEN])
{
    struct secret *copy = secret_new(str_n((const char *)key, DIGEST_LEN));
    if (!copy)
        return 0;
    if (list_empty(&c->free))
        slot_clear(c, slot_of(c->used.prev));
    struct list *l = list_pop(&c->free);
    assert(l);
    struct slot *s = slot_of(l);
    s->secret_id = id->secret_id;
    s->serial = ++c->last_serial;
    memcpy(s->day, id->day.p, SIGNKEY_DAY_LEN);
    s->nregion = (unsigned char)id->region.n;
    s->nservice = (unsigned char)id->service.n;
    memcpy(s->region, id->region.p, id->region.n);
    memcpy(s->service, id->service.p, id->service.n);
    s->key = copy;
    list_push_front(&c->used, &s->lru);
    return s->serial;
}

bool signkey_get(struct signkey_cache *c, struct hmac *h, struct str secret,
                 const struct signkey_id *id, unsigned char out[DIGEST_LEN], uint64_t *serial)
{
    *serial = 0;
    bool cacheable = id->secret_id != 0 && id->day.n == SIGNKEY_DAY_LEN && id->region.n > 0 &&
                     id->region.n <= SIGNKEY_LABEL_MAX && id->service.n > 0 &&
                     id->service.n <= SIGNKEY_LABEL_MAX;
    struct slot *s = cacheable ? find(c, id) : NULL;
    if (s) {
        memcpy(out, secret_str(s->key).p, DIGEST_LEN);
        *serial = s->serial;
        return true;
    }
    if (!derive(h, secret, id, out))
        return false;
    if (cacheable)
        *serial = keep(c, id, out);
    return true;
}
