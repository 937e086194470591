/* SPDX-License-Identifier: Apache-2.0 */
/* The store: which profile is worked on by which thread, and when. One thread serves what needs no
 * network (files, and looking for changed ones), so that a slow token service never delays it; a
 * few more, made when first needed, serve the rest. The lock is never held over a fetch. */
#include "base/clock.h"
#include "base/log.h"
#include "cred/cred_store_int.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often watched files are looked at: a change is seen within two looks (cred_slot_poll). */
static const uint64_t poll_interval_ns = 500 * NS_PER_MS;
/* Longest wait while a credential expires: the wall clock may be set, or the machine suspended. */
static const uint64_t wall_check_ns = 5 * NS_PER_SEC;
/* A profile whose credential is rejected again this soon after a rejection is left alone. */
static const uint64_t reject_pause_ns = 10 * NS_PER_SEC;

struct cred_store *cred_store_new(struct conf *conf)
{
    pthread_condattr_t attr;
    if (!cred_env_capture())
        return NULL;
    struct cred_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->slots = calloc(conf->nprofiles, sizeof *s->slots);
    s->conf = conf_ref(conf);
    atomic_init(&s->generation, 1);
    (void)pthread_mutex_init(&s->mu, NULL);
    (void)pthread_mutex_init(&s->notify_mu, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->cond, &attr);
    (void)pthread_condattr_destroy(&attr);
    bool ok = s->cancel_fd >= 0 && s->slots;
    for (size_t i = 0; ok && i < conf->nprofiles; i++, s->n = i)
        ok = (s->slots[i] = cred_slot_new(conf, &conf->profiles[i])) != NULL;
    if (!ok) {
        cred_store_free(s);
        return NULL;
    }
    return s;
}

void cred_store_free(struct cred_store *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->mu);
    s->stop = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mu);
    uint64_t one = 1;
    if (s->cancel_fd >= 0 && write(s->cancel_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_msg(LOG_WARN, "credentials: requests under way run to their end");
    for (size_t i = 0; i < s->nthreads; i++)
        pthread_join(s->threads[i], NULL);
    for (size_t i = 0; i < s->n; i++)
        cred_slot_free(s->slots[i]);
    free(s->slots);
    conf_unref(s->conf);
    if (s->cancel_fd >= 0)
        close(s->cancel_fd);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->notify_mu);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

/* A change that views show. With the lock held. */
static void bump(struct cred_store *s)
{
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
}

/* Tells the owner. Without the lock, so that it may ask for the status. */
static void notify(struct cred_store *s)
{
    pthread_mutex_lock(&s->notify_mu);
    if (s->changed)
        s->changed(s->arg);
    pthread_mutex_unlock(&s->notify_mu);
}

/* Past the log's limit of repetition, which would take lines of different profiles for one: the
 * slots thin them out. */
static void tell(const struct cred_outcome *out)
{
    if (out->line[0] && log_on(out->level))
        log_fields(out->level, out->line, NULL, 0);
}

/* How long ago a slot should have been fetched; false when its time has not come. */
static bool overdue(const struct cred_slot *sl, uint64_t now, uint64_t *ns)
{
    const int64_t day_s = 86400;
    int64_t wall = clock_wall_s();
    bool due = sl->due_ns <= now || sl->refresh_s <= wall;
    *ns = sl->due_ns <= now ? now - sl->due_ns : 0;
    if (sl->refresh_s <= wall) {
        /* bounded: a step of the wall clock may make it years */
        int64_t late_s = wall - day_s > sl->refresh_s ? day_s : wall - sl->refresh_s;
        uint64_t late = (uint64_t)late_s * NS_PER_SEC;
        *ns = late > *ns ? late : *ns;
    }
    return due;
}

/* The slot that this kind of thread should fetch now, else NULL with the time to look again in
 * *until_ns. Of several the one that waits longest: with fewer threads than dead services, those
 * that come first would be due again whenever a thread is free. With the lock held. */
static struct cred_slot *pick(struct cred_store *s, bool remote, uint64_t *until_ns)
{
    struct cred_slot *found = NULL;
    uint64_t longest = 0, waits;
    clock_tick();
    uint64_t now = clock_ns();
    *until_ns = UINT64_MAX;
    for (size_t i = 0; i < s->n; i++) {
        struct cred_slot *sl = s->slots[i];
        if (cred_slot_remote(sl) != remote)
            continue;
        if (sl->busy) {
            sl->missed = true;
            continue;
        }
        if (overdue(sl, now, &waits)) {
            if (!found || waits > longest) {
                found = sl;
                longest = waits;
            }
            continue;
        }
        uint64_t at = sl->due_ns;
        if (sl->refresh_s != INT64_MAX) {
            int64_t left_s = sl->refresh_s - clock_wall_s(); /* may be thousands of years */
            uint64_t left = left_s < (int64_t)(wall_check_ns / NS_PER_SEC)
                                ? (uint64_t)left_s * NS_PER_SEC
                                : wall_check_ns;
            at = at < now + left ? at : now + left;
        }
        *until_ns = at < *until_ns ? at : *until_ns;
    }
    return found;
}

static void fetch_slot(struct cred_store *s, struct cred_slot *sl)
{
    struct cred_outcome out;
    struct conf *conf = conf_ref(sl->conf); /* a reload may move the slot meanwhile */
    const struct conf_profile *p = sl->profile;
    enum cred_want want = sl->want;
    sl->busy = CRED_FETCHING;
    sl->want = CRED_WANT_GOOD;
    sl->due_ns = UINT64_MAX;
    sl->refresh_s = INT64_MAX;
    pthread_mutex_unlock(&s->mu);
    cred_slot_fetch(sl, conf, p, want, s->cancel_fd, false, &out);
    conf_unref(conf);
    pthread_mutex_lock(&s->mu);
    cred_slot_settle(sl, &out);
    sl->busy = CRED_IDLE;
    sl->missed = false;
    if (sl->dead) {
        cred_slot_free(sl);
        return;
    }
    if (sl->again) {
        sl->again = false;
        cred_slot_due(sl, CRED_WANT_NEW);
    }
    bump(s);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mu);
    tell(&out);
    notify(s);
    pthread_mutex_lock(&s->mu);
}

/* Looks at the files of every slot whose time has come; brings *until_ns forward to the next. With
 * the lock held, which is given up for each look: a dead file server must not hold up anybody. */
static void poll_files(struct cred_store *s, uint64_t *until_ns)
{
    for (size_t i = 0; i < s->n; i++) {
        struct cred_slot *sl = s->slots[i];
        uint64_t now = clock_fresh_ns();
        if (sl->busy || !sl->watch.n)
            continue;
        if (sl->poll_ns <= now) {
            sl->busy = CRED_POLLING;
            pthread_mutex_unlock(&s->mu);
            bool changed = cred_slot_poll(sl);
            pthread_mutex_lock(&s->mu);
            sl->busy = CRED_IDLE;
            if (sl->dead) {
                cred_slot_free(sl);
                i--; /* the list is another one now: look at this place again */
                continue;
            }
            sl->poll_ns = clock_fresh_ns() + poll_interval_ns;
            if (changed)
                cred_slot_due(sl, CRED_WANT_GOOD);
            if (changed || sl->missed) {
                *until_ns = 0;
                pthread_cond_broadcast(&s->cond);
            }
            sl->missed = false;
        }
        *until_ns = sl->poll_ns < *until_ns ? sl->poll_ns : *until_ns;
    }
}

static void wait_until(struct cred_store *s, uint64_t until_ns)
{
    struct timespec at = {.tv_sec = (time_t)(until_ns / NS_PER_SEC),
                          .tv_nsec = (long)(until_ns % NS_PER_SEC)};
    if (until_ns == UINT64_MAX)
        pthread_cond_wait(&s->cond, &s->mu);
    else
        (void)pthread_cond_timedwait(&s->cond, &s->mu, &at);
}

static void run(struct cred_store *s, bool remote)
{
    pthread_mutex_lock(&s->mu);
    while (!s->stop) {
        uint64_t until_ns;
        struct cred_slot *sl = pick(s, remote, &until_ns);
        if (sl) {
            fetch_slot(s, sl);
            continue;
        }
        if (!remote)
            poll_files(s, &until_ns);
        if (until_ns && !s->stop)
            wait_until(s, until_ns);
    }
    pthread_mutex_unlock(&s->mu);
}

static void *run_local(void *arg)
{
    run(arg, false);
    return NULL;
}

static void *run_remote(void *arg)
{
    run(arg, true);
    return NULL;
}

/* One local thread, and one a remote profile up to what the array holds. */
static bool ensure_threads(struct cred_store *s, struct cred_slot *const *slots, size_t n)
{
    size_t want = 1;
    sigset_t all, old;
    for (size_t i = 0; i < n; i++)
        want += cred_slot_remote(slots[i]);
    if (want > ARRAY_LEN(s->threads))
        want = ARRAY_LEN(s->threads);
    int err = 0;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (s->nthreads < want && !err) {
        pthread_t *t = &s->threads[s->nthreads];
        err = pthread_create(t, NULL, s->nthreads ? run_remote : run_local, s);
        if (!err) {
            (void)pthread_setname_np(*t, s->nthreads ? "cred-remote" : "cred-local");
            s->nthreads++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = err;
    return !err;
}

/* What can be had at once, for a slot that no other thread knows yet. */
static void fetch_at_once(struct cred_slot *sl)
{
    struct cred_outcome out;
    cred_slot_fetch(sl, sl->conf, sl->profile, CRED_WANT_GOOD, -1, true, &out);
    if (out.deferred) {
        cred_watch_free(&out.watch); /* due_ns is 0: the threads take it from here */
    } else {
        cred_slot_settle(sl, &out);
        tell(&out);
    }
}

bool cred_store_start(struct cred_store *s, void (*changed)(void *arg), void *arg)
{
    for (size_t i = 0; i < s->n; i++)
        fetch_at_once(s->slots[i]);
    s->changed = changed;
    s->arg = arg;
    bump(s);
    return ensure_threads(s, s->slots, s->n);
}

/* The list of slots is read without the lock: cred_store_reload alone replaces it, on this thread.
 */
bool cred_store_check(struct cred_store *s, struct conf *conf, struct err_detail *why)
{
    for (size_t i = 0; i < conf->nprofiles; i++) {
        const struct conf_profile *p = &conf->profiles[i];
        const struct cred_provider *pr = cred_provider_find(p->provider);
        bool same = false;
        for (size_t k = 0; k < s->n && !same; k++)
            same = cred_slot_same_profile(s->slots[k], conf, p);
        /* one that is as it was may have been broken before: no reason to refuse the rest */
        if (same || (pr != &cred_provider_file && pr != &cred_provider_static))
            continue;
        struct cred *c = cred_fetch(conf, p->name, why);
        if (!c)
            return false;
        cred_unref(c);
    }
    return true;
}

bool cred_store_reload(struct cred_store *s, struct conf *conf)
{
    struct cred_slot **fresh = calloc(conf->nprofiles, sizeof *fresh);
    size_t made = 0;
    bool ok = fresh != NULL;
    for (; ok && made < conf->nprofiles; made++) {
        fresh[made] = cred_slot_new(conf, &conf->profiles[made]);
        ok = fresh[made] != NULL;
    }
    if (!ok || !ensure_threads(s, fresh, conf->nprofiles)) {
        for (size_t i = 0; i < made; i++)
            cred_slot_free(fresh[i]);
        free(fresh);
        return false;
    }
    /* only this function replaces s->slots, so their list can be read without the lock */
    struct cred_slot **kept = calloc(conf->nprofiles, sizeof *kept);
    for (size_t i = 0; i < conf->nprofiles; i++) {
        for (size_t k = 0; kept && k < s->n && !kept[i]; k++)
            if (cred_slot_same_profile(s->slots[k], conf, &conf->profiles[i]))
                kept[i] = s->slots[k];
        if (!kept || !kept[i])
            fetch_at_once(fresh[i]);
    }
    pthread_mutex_lock(&s->mu);
    struct cred_slot **old = s->slots;
    size_t nold = s->n;
    for (size_t i = 0; i < conf->nprofiles; i++) {
        if (!kept || !kept[i])
            continue;
        cred_slot_free(fresh[i]);
        fresh[i] = kept[i];
        cred_slot_move(fresh[i], conf, &conf->profiles[i]);
        for (size_t k = 0; k < nold; k++)
            if (old[k] == kept[i])
                old[k] = NULL;
    }
    for (size_t k = 0; k < nold; k++) {
        if (old[k] && old[k]->busy)
            old[k]->dead = true;
        else
            cred_slot_free(old[k]);
    }
    s->slots = fresh;
    s->n = conf->nprofiles;
    struct conf *before = s->conf;
    s->conf = conf_ref(conf);
    bump(s);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mu);
    conf_unref(before);
    free(old);
    free(kept);
    notify(s);
    return true;
}

/* With the lock held. */
static void want(struct cred_slot *sl)
{
    sl->failures = 0;
    if (sl->busy == CRED_FETCHING)
        sl->again = true;
    else
        cred_slot_due(sl, CRED_WANT_NEW);
}

void cred_store_refresh_all(struct cred_store *s)
{
    pthread_mutex_lock(&s->mu);
    for (size_t i = 0; i < s->n; i++)
        want(s->slots[i]);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mu);
}

/* The profile's slot, or after a reload the one that holds that credential. */
static struct cred_slot *find(struct cred_store *s, unsigned profile, uint64_t cred_id)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->slots[i]->current && s->slots[i]->current->id == cred_id)
            return s->slots[i];
    return profile < s->n ? s->slots[profile] : NULL;
}

bool cred_store_rejected(struct cred_store *s, unsigned profile, uint64_t cred_id)
{
    pthread_mutex_lock(&s->mu);
    struct cred_slot *sl = find(s, profile, cred_id);
    uint64_t now = clock_fresh_ns();
    bool other = sl && sl->current && sl->current->id != cred_id; /* after a reload, keys too */
    bool hope = other || (sl && cred_slot_refreshable(sl));
    bool asked = hope && sl->asked; /* by somebody before us: the outcome is still to come */
    if (hope && !asked && sl->current && sl->current->id == cred_id) {
        hope = sl->busy == CRED_FETCHING || !sl->rejected_ns ||
               now - sl->rejected_ns >= reject_pause_ns;
        if (hope) {
            sl->asked = true;
            sl->rejected_ns = now;
            if (sl->busy != CRED_FETCHING) /* else what is under way will do */
                cred_slot_due(sl, CRED_WANT_OTHER);
            pthread_cond_broadcast(&s->cond);
        }
    }
    if (hope && !asked)
        bump(s); /* the caller's view may have had the sync that brought another one */
    pthread_mutex_unlock(&s->mu);
    return hope;
}

size_t cred_store_status(struct cred_store *s, struct cred_status *out, size_t max)
{
    pthread_mutex_lock(&s->mu);
    size_t n = s->n < max ? s->n : max;
    for (size_t i = 0; i < n; i++) {
        const struct cred_slot *sl = s->slots[i];
        const struct cred *c = sl->current;
        out[i] = (struct cred_status){
            .state = sl->state,
            .expires_s = c ? c->expires_s : 0,
            .refreshes_ok = sl->ok,
            .refreshes_failed = sl->failed,
            .why = sl->why,
        };
        (void)snprintf(out[i].profile, sizeof out[i].profile, "%s", sl->profile->name);
        (void)snprintf(out[i].provider, sizeof out[i].provider, "%s",
                       c ? c->provider : sl->profile->provider);
        if (c)
            secret_mask(str_of(c->access_key), out[i].access_key);
        /* a renewal may be late: what expired meanwhile is not OK */
        clock_tick();
        if (c && c->expires_s && c->expires_s <= clock_wall_s())
            out[i].state = sl->why.text[0] ? CRED_FAILED : CRED_PENDING;
    }
    pthread_mutex_unlock(&s->mu);
    return n;
}
