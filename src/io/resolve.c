/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses. A few threads call getaddrinfo; everything they share with the loops (cache,
 * queue, waiting queries) is behind one mutex that is never held over a look-up. One look-up a
 * name, however many ask. A thread that hangs in getaddrinfo costs a thread, never a loop. */
#include "io/resolve.h"

#include "base/clock.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define NEGATIVE_TTL_NS NS_PER_SEC

enum entry_state { IDLE, QUEUED, RUNNING };
enum query_state { Q_NONE, Q_WAITING, Q_POSTED };

/* What is known of one name, and the look-up for it that is under way. */
struct entry {
    struct list lru;   /* in resolver.names, most recently used first */
    struct list job;   /* in resolver.queue while QUEUED */
    struct list waits; /* queries to answer */
    enum entry_state state;
    uint32_t hash;
    bool known;        /* answer holds an outcome */
    uint64_t fresh_ns; /* until when answer needs no new look-up */
    struct resolve_answer answer;
    char name[RESOLVE_NAME_MAX];
};

struct worker {
    struct resolver *r;
    pthread_t id;
    bool ended;
};

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t work;   /* something is queued, or stop */
    pthread_cond_t ending; /* a thread ended */
    struct list names, queue;
    unsigned nnames, nqueue, max_queue;
    unsigned refs; /* the owner and each thread: a thread left behind keeps the memory */
    bool stop;
    uint64_t ttl_ns;
    int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void (*release)(struct addrinfo *);
    unsigned nthreads;
    struct worker *threads;
};

static uint32_t hash_name(struct str s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 16777619u;
    return h;
}

static void add_address(struct resolve_answer *a, const struct sockaddr *sa)
{
    char text[RESOLVE_ADDR_MAX];
    const void *bytes;
    if (sa->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    else if (sa->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    else
        return;
    if (a->n == RESOLVE_MAX_ADDRS || !inet_ntop(sa->sa_family, bytes, text, sizeof text))
        return;
    for (unsigned i = 0; i < a->n; i++)
        if (strcmp(a->addr[i], text) == 0)
            return;
    memcpy(a->addr[a->n++], text, sizeof text);
}

/* The blocking part: without the lock. */
static void look_up(const struct resolver *r, const char *name, struct resolve_answer *a)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    *a = (struct resolve_answer){0};
    int rc = r->lookup(name, NULL, &hints, &list);
    if (rc != 0) {
        a->why = gai_strerror(rc);
        return;
    }
    for (const struct addrinfo *i = list; i; i = i->ai_next)
        add_address(a, i->ai_addr);
    if (list)
        r->release(list);
    if (a->n == 0)
        a->why = "the name has no address";
}

static void answered(struct loop_task *t)
{
    struct resolve_query *q = CONTAINER_OF(t, struct resolve_query, task);
    atomic_store_explicit(&q->state, Q_NONE, memory_order_relaxed);
    q->done(q);
}

/* Stores an outcome and sends it to all who wait. A failure never replaces a good answer: that one
 * goes on serving, marked stale, and the next look-up comes after the negative time to live. */
static void settle(struct resolver *r, struct entry *e, const struct resolve_answer *a)
{
    uint64_t now = clock_fresh_ns();
    if (a->n > 0 || !e->known || e->answer.n == 0) {
        e->answer = *a;
        e->fresh_ns = now + (a->n > 0 ? r->ttl_ns : NEGATIVE_TTL_NS);
    } else {
        e->answer.stale = true;
        e->fresh_ns = now + NEGATIVE_TTL_NS;
    }
    e->known = true;
    e->state = IDLE;
    for (struct list *l; (l = list_pop(&e->waits));) {
        struct resolve_query *q = CONTAINER_OF(l, struct resolve_query, link);
        q->answer = e->answer;
        atomic_store_explicit(&q->state, Q_POSTED, memory_order_relaxed);
        loop_post(q->loop, &q->task); /* under the lock, so that resolve_cancel finds it posted */
    }
}

static void destroy(struct resolver *r)
{
    for (struct list *l; (l = list_pop(&r->names));)
        free(CONTAINER_OF(l, struct entry, lru));
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->ending);
    pthread_mutex_destroy(&r->lock);
    free(r->threads);
    free(r);
}

/* Unlocks and, with the last reference, frees. */
static void unref(struct resolver *r)
{
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (last)
        destroy(r);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct resolver *r = w->r;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->stop && list_empty(&r->queue))
            pthread_cond_wait(&r->work, &r->lock);
        if (r->stop)
            break;
        struct list *l = list_pop(&r->queue);
        assert(l);
        struct entry *e = CONTAINER_OF(l, struct entry, job);
        r->nqueue--;
        e->state = RUNNING; /* keeps it from being evicted */
        char name[RESOLVE_NAME_MAX];
        memcpy(name, e->name, sizeof name);
        pthread_mutex_unlock(&r->lock);
        struct resolve_answer a;
        look_up(r, name, &a);
        pthread_mutex_lock(&r->lock);
        settle(r, e, &a);
    }
    w->ended = true;
    pthread_cond_signal(&r->ending);
    unref(r);
    return NULL;
}

/* All signals belong to the daemon's main thread. */
static bool start_threads(struct resolver *r, unsigned n)
{
    sigset_t all, old;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
        return false;
    bool ok = true;
    for (unsigned i = 0; ok && i < n; i++) {
        struct worker *w = &r->threads[i];
        w->r = r;
        pthread_mutex_lock(&r->lock);
        ok = pthread_create(&w->id, NULL, work, w) == 0;
        if (ok) {
            r->refs++;
            r->nthreads++;
        }
        pthread_mutex_unlock(&r->lock);
    }
    return pthread_sigmask(SIG_SETMASK, &old, NULL) == 0 && ok;
}

struct resolver *resolver_new(unsigned threads, unsigned queue, uint64_t ttl_ns)
{
    struct resolver *r = calloc(1, sizeof *r);
    struct worker *v = calloc(threads ? threads : 1, sizeof *v);
    if (!r || !v) {
        free(r);
        free(v);
        return NULL;
    }
    r->threads = v;
    r->refs = 1;
    r->max_queue = queue;
    r->ttl_ns = ttl_ns;
    r->lookup = getaddrinfo;
    r->release = freeaddrinfo;
    list_init(&r->names);
    list_init(&r->queue);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr); /* these four can't fail in glibc */
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->ending, &attr);
    pthread_condattr_destroy(&attr);
    if (start_threads(r, threads ? threads : 1))
        return r;
    resolver_free(r);
    return NULL;
}

void resolver_use(struct resolver *r,
                  int (*lookup)(const char *, const char *, const struct addrinfo *,
                                struct addrinfo **),
                  void (*release)(struct addrinfo *))
{
    pthread_mutex_lock(&r->lock);
    r->lookup = lookup;
    r->release = release;
    pthread_mutex_unlock(&r->lock);
}

static unsigned count_ended(const struct resolver *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->nthreads; i++)
        n += r->threads[i].ended;
    return n;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += RESOLVE_JOIN_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;

    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->work);
    while (count_ended(r) < r->nthreads &&
           pthread_cond_timedwait(&r->ending, &r->lock, &until) == 0)
        ;
    for (unsigned i = 0; i < r->nthreads; i++) {
        struct worker *w = &r->threads[i];
        if (w->ended) /* past its last use of the lock, so that this does not block */
            pthread_join(w->id, NULL);
        else /* hangs in getaddrinfo; its reference keeps r alive */
            pthread_detach(w->id);
    }
    unref(r);
}

static struct entry *find(struct resolver *r, const char *name, uint32_t hash)
{
    LIST_FOR (l, &r->names) {
        struct entry *e = CONTAINER_OF(l, struct entry, lru);
        if (e->hash == hash && strcmp(e->name, name) == 0) {
            list_unlink(&e->lru);
            list_push_front(&r->names, &e->lru);
            return e;
        }
    }
    return NULL;
}

static void evict_one(struct resolver *r)
{
    for (struct list *l = r->names.prev; l != &r->names; l = l->prev) {
        struct entry *e = CONTAINER_OF(l, struct entry, lru);
        if (e->state == IDLE) {
            list_unlink(&e->lru);
            free(e);
            r->nnames--;
            return;
        }
    }
}

static struct entry *add(struct resolver *r, const char *name, uint32_t hash)
{
    if (r->nnames >= RESOLVE_CACHE_MAX)
        evict_one(r);
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    list_init(&e->lru);
    list_init(&e->job);
    list_init(&e->waits);
    e->hash = hash;
    memcpy(e->name, name, strlen(name) + 1);
    list_push_front(&r->names, &e->lru);
    r->nnames++;
    return e;
}

/* A look-up is under way after this, unless the queue is full. */
static bool want(struct resolver *r, struct entry *e)
{
    if (e->state != IDLE)
        return true;
    if (r->nqueue >= r->max_queue)
        return false;
    e->state = QUEUED;
    list_push(&r->queue, &e->job);
    r->nqueue++;
    pthread_cond_signal(&r->work);
    return true;
}

static bool fail(struct resolve_query *q, const char *why)
{
    q->answer = (struct resolve_answer){.why = why};
    return true;
}

static bool is_literal(const char *name, struct resolve_answer *a)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    size_t n = strlen(name);
    if (n >= RESOLVE_ADDR_MAX ||
        (inet_pton(AF_INET, name, bytes) != 1 && inet_pton(AF_INET6, name, bytes) != 1))
        return false;
    *a = (struct resolve_answer){.n = 1};
    memcpy(a->addr[0], name, n + 1);
    return true;
}

bool resolve_start(struct resolver *r, struct resolve_query *q, struct loop *loop, const char *name,
                   void (*done)(struct resolve_query *q))
{
    q->loop = loop;
    q->done = done;
    q->resolver = r;
    q->task = (struct loop_task){.run = answered};
    list_init(&q->link);
    atomic_store_explicit(&q->state, Q_NONE, memory_order_relaxed);
    if (is_literal(name, &q->answer))
        return true;
    char key[RESOLVE_NAME_MAX];
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof key)
        return fail(q, "the name is empty or too long");
    for (size_t i = 0; i <= n; i++)
        key[i] = ascii_lower(name[i]);
    uint32_t hash = hash_name(str_n(key, n));

    pthread_mutex_lock(&r->lock);
    struct entry *e = find(r, key, hash);
    if (!e)
        e = add(r, key, hash);
    bool at_once = true;
    if (!e) {
        fail(q, "out of memory");
    } else if (e->known && clock_ns() < e->fresh_ns) {
        q->answer = e->answer;
    } else {
        bool coming = want(r, e);
        if (e->known && e->answer.n > 0) {
            q->answer = e->answer;
            q->answer.stale = true;
        } else if (!coming) {
            fail(q, "the resolver's queue is full");
        } else {
            at_once = false;
            atomic_store_explicit(&q->state, Q_WAITING, memory_order_relaxed);
            list_push(&e->waits, &q->link);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return at_once;
}

void resolve_cancel(struct resolve_query *q)
{
    /* Only this thread sets it back to Q_NONE, so this look needs no lock. */
    if (atomic_load_explicit(&q->state, memory_order_relaxed) == Q_NONE)
        return;
    struct resolver *r = q->resolver;
    pthread_mutex_lock(&r->lock);
    if (atomic_load_explicit(&q->state, memory_order_relaxed) == Q_WAITING)
        list_unlink(&q->link);
    else
        (void)!loop_unpost(q->loop, &q->task);
    atomic_store_explicit(&q->state, Q_NONE, memory_order_relaxed);
    pthread_mutex_unlock(&r->lock);
}

void resolver_pass(struct resolver *r)
{
    pthread_mutex_lock(&r->lock);
    pthread_mutex_unlock(&r->lock);
}
