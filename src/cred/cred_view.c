/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's view: its own references to the current credentials, taken over when the store's
 * generation has moved. Reading it takes no lock. */
#include "cred/cred_store_int.h"
#include "cred/cred_time.h"

#include <stdlib.h>

struct view_slot {
    struct cred *cred;
    enum cred_state state;
    struct err_detail why;
    bool asked;
    bool kicked; /* the store was told that this one expired */
};

struct cred_view {
    struct cred_store *store;
    struct conf *conf;   /* what slots belongs to; NULL before the first sync */
    uint64_t generation; /* of the last sync */
    struct view_slot *slots;
    size_t n;
    uint64_t *replaced;
    size_t nreplaced;
};

struct cred_view *cred_view_new(struct cred_store *s)
{
    struct cred_view *v = calloc(1, sizeof *v);
    if (v)
        v->store = s;
    return v;
}

static void release(struct view_slot *slots, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cred_unref(slots[i].cred);
    free(slots);
}

void cred_view_free(struct cred_view *v)
{
    if (!v)
        return;
    release(v->slots, v->n);
    conf_unref(v->conf);
    free(v->replaced);
    free(v);
}

static bool still_held(const struct view_slot *slots, size_t n, const struct cred *c)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i].cred == c)
            return true;
    return false;
}

bool cred_view_sync(struct cred_view *v, const struct conf *conf)
{
    struct cred_store *s = v->store;
    if (atomic_load_explicit(&s->generation, memory_order_acquire) == v->generation)
        return false;
    pthread_mutex_lock(&s->mu);
    if (conf && s->conf != conf) {
        pthread_mutex_unlock(&s->mu);
        return false;
    }
    size_t n = s->n;
    struct view_slot *fresh = calloc(n, sizeof *fresh);
    uint64_t *replaced = calloc(v->n ? v->n : 1, sizeof *replaced);
    if (!fresh || !replaced) { /* goes on with what it has and tries again the next time */
        pthread_mutex_unlock(&s->mu);
        free(fresh);
        free(replaced);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct cred_slot *sl = s->slots[i];
        fresh[i] = (struct view_slot){
            .cred = cred_ref(sl->current),
            .state = sl->state,
            .why = sl->why,
            .asked = sl->asked,
        };
    }
    v->generation = atomic_load_explicit(&s->generation, memory_order_relaxed);
    struct conf *before = v->conf;
    v->conf = conf_ref(s->conf);
    pthread_mutex_unlock(&s->mu);
    conf_unref(before);
    v->nreplaced = 0;
    for (size_t i = 0; i < v->n; i++)
        if (v->slots[i].cred && !still_held(fresh, n, v->slots[i].cred))
            replaced[v->nreplaced++] = v->slots[i].cred->id;
    free(v->replaced);
    v->replaced = replaced;
    release(v->slots, v->n);
    v->slots = fresh;
    v->n = n;
    return true;
}

size_t cred_view_replaced(const struct cred_view *v, const uint64_t **ids)
{
    *ids = v->replaced;
    return v->nreplaced;
}

bool cred_view_busy(const struct cred_view *v, unsigned profile)
{
    return profile < v->n && v->slots[profile].asked;
}

int cred_view_find(const struct cred_view *v, const struct conf *conf, unsigned profile)
{
    if (!v->conf || v->conf == conf) /* before the first sync any profile is pending */
        return (int)profile;
    const struct conf_profile *p = conf_profile_find(v->conf, str_of(conf->profiles[profile].name));
    return p ? (int)(p - v->conf->profiles) : -1;
}

/* The store looks at the wall clock every few seconds only; after a suspend we may see it first. */
static void kick(struct cred_view *v, const struct cred *c)
{
    struct cred_store *s = v->store;
    pthread_mutex_lock(&s->mu);
    for (size_t i = 0; i < s->n; i++)
        if (s->slots[i]->current == c && s->slots[i]->busy != CRED_FETCHING)
            cred_slot_due(s->slots[i], CRED_WANT_GOOD);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mu);
}

enum cred_state cred_view_get(struct cred_view *v, unsigned profile, int64_t now_s,
                              struct cred **out, struct err_detail *why)
{
    if (profile >= v->n) {
        err_set(why, ERR_CREDENTIALS, "%s",
                v->n ? "there is no such profile" : "no credential has been looked for yet");
        return v->n ? CRED_FAILED : CRED_PENDING;
    }
    struct view_slot *sl = &v->slots[profile];
    const char *name = v->conf->profiles[profile].name;
    const struct cred *c = sl->cred;
    bool expired = c && c->expires_s && c->expires_s <= now_s;
    if (c && !expired) {
        *out = sl->cred;
        return CRED_OK;
    }
    if (expired && !sl->why.text[0]) {
        if (!sl->kicked)
            kick(v, c);
        sl->kicked = true;
        return CRED_PENDING;
    }
    if (sl->state == CRED_PENDING)
        return CRED_PENDING;
    char then[CRED_TIME_TEXT];
    if (expired) {
        cred_time_format(c->expires_s, then);
        err_set(why, ERR_CREDENTIALS,
                "profile \"%s\": expired at %s, and it could not be renewed: %s", name, then,
                sl->why.text);
    } else {
        err_set(why, ERR_CREDENTIALS, "profile \"%s\": %s", name, sl->why.text);
    }
    return CRED_FAILED;
}
