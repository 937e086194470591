/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's thread: the order of one turn, accepting, and messages from the main thread. */
#include "daemon/worker_int.h"

#include "base/clock.h"
#include "base/log.h"
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define POOLS_WAIT_NS  (50 * NS_PER_MS)
#define DRAIN_GRACE_NS (50 * NS_PER_MS)
#define DRAIN_HEAR_NS  NS_PER_SEC
#define JUMP_S         30
#define ANSWER_S       10                       /* what a message may take to be taken over */
#define ASLEEP_NS      (30 * NS_PER_SEC)        /* a poll lasts a second at most */
#define SILENCE_NS     (2 * 86400 * NS_PER_SEC) /* more than any key of timeouts may say */

/* ---- what the configuration means to each part ---- */

static unsigned share(int64_t total, unsigned nworkers)
{
    int64_t part = total / nworkers;
    return part < 1 ? 1 : (unsigned)part;
}

static struct up_options up_options_of(const struct conf *c, unsigned nworkers)
{
    int64_t per_host = c->pool.connection_pool_maxsize;
    if (per_host == 0)
        per_host = 5 * sysconf(_SC_NPROCESSORS_ONLN); /* the SDKs' default */
    return (struct up_options){.tls = {.verify = c->tls.verify_ssl,
                                       .ca_file = c->tls.ca_file,
                                       .cert_file = c->tls.cert_file,
                                       .key_file = c->tls.key_file,
                                       .min_tls13 = strcmp(c->tls.min_version, "1.3") == 0},
                               .http_proxy = c->proxy.http_proxy,
                               .https_proxy = c->proxy.https_proxy,
                               .no_proxy = c->proxy.no_proxy,
                               .connect_to = c->connect_to.v,
                               .nconnect_to = c->connect_to.n,
                               .num_pools = (unsigned)c->pool.num_pools,
                               .per_host = share(per_host, nworkers),
                               .max_pending = share(c->pool.max_pending, nworkers),
                               .pending_ns = c->pool.pending_timeout_ns,
                               .idle_ns = c->pool.idle_timeout_ns,
                               .max_age_ns = c->pool.max_age_ns};
}

bool worker_check(const struct conf *c, char *msg, size_t msgsize)
{
    struct up_options o = up_options_of(c, 1);
    struct list none;
    list_init(&none);
    struct conn_ctx *ctx = conn_ctx_new(NULL, &o.tls, &none, msg, msgsize);
    conn_ctx_unref(ctx);
    return ctx != NULL;
}

/* Clients this worker has descriptors for: accepting more would only starve the upstream side, and
 * nobody could be told so. An upstream connection takes three (libcurl has a socket pair of its own
 * for each); a part is left for files, look-ups and the daemon itself. */
static unsigned client_room(const struct conf *c, unsigned nworkers)
{
    enum { OURS = 24, OURS_PER_WORKER = 8, PER_UPSTREAM = 3 };
    unsigned wanted = share(c->limits.max_connections, nworkers);
    struct up_options uo = up_options_of(c, nworkers);
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur > INT_MAX)
        return wanted;
    uint64_t ours = OURS + OURS_PER_WORKER * nworkers;
    uint64_t left = r.rlim_cur > ours ? (r.rlim_cur - ours) / nworkers : 0;
    uint64_t pools = (uint64_t)PER_UPSTREAM * uo.per_host * uo.num_pools;
    uint64_t room = left > pools && left - pools > left / 4 ? left - pools : left / 4;
    return room >= wanted ? wanted : room ? (unsigned)room : 1;
}

static struct front_options front_options_of(struct worker *w, const struct conf *c)
{
    unsigned wanted = share(c->limits.max_connections, w->o.nworkers);
    unsigned room = client_room(c, w->o.nworkers);
    if (room < wanted && w->o.index == 0)
        log_msg(LOG_WARN,
                "limits.max_connections is held to %u: the descriptor limit allows no more",
                room * w->o.nworkers);
    return (struct front_options){.loop = &w->loop,
                                  .ops = &proxy_front_ops,
                                  .owner = w->proxy,
                                  .stat = w->stat,
                                  .max_connections = room,
                                  .max_header = (size_t)c->limits.max_header,
                                  .max_body = c->limits.max_body,
                                  .idle_timeout_ns = c->timeouts.client_idle_ns,
                                  .header_timeout_ns = c->timeouts.client_header_ns,
                                  .write_timeout_ns = c->timeouts.client_write_ns,
                                  .silence_ns = SILENCE_NS};
}

/* ---- messages ---- */

/* The upstream side borrows strings of the configuration in w->o.rules: holds them for it. */
static void hold_for_up(struct worker *w)
{
    atomic_fetch_add(&w->o.rules->refs, 1);
    proxy_rules_unref(w->up_rules);
    w->up_rules = w->o.rules;
}

static void reload_task(struct loop_task *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, task);
    char msg[256] = "out of memory";
    if (!w->front) { /* it was stopped before it came to this */
        w->took_all = false;
        proxy_rules_unref(w->new_rules);
        sem_post(&w->taken);
        return;
    }
    const struct conf *c = w->new_rules->conf;
    struct up_options uo = up_options_of(c, w->o.nworkers);
    /* What a part does not take over, it goes on borrowing from the old rules: they live on then.
     */
    w->took_all = proxy_configure(w->proxy, w->new_rules);
    if (w->took_all) {
        proxy_rules_unref(w->o.rules);
        w->o.rules = w->new_rules;
        struct front_options fo = front_options_of(w, c);
        front_configure(w->front, &fo);
        w->took_all = up_configure(w->up, &uo, msg, sizeof msg);
        if (w->took_all)
            hold_for_up(w);
    } else {
        proxy_rules_unref(w->new_rules);
    }
    if (!w->took_all)
        log_msg(LOG_ERROR, "reload: worker %u keeps some old settings: %s", w->o.index, msg);
    worker_accept_rest(w);
    worker_doors_close(w);
    if (!worker_doors_open(w, w->new_doors, w->new_ndoors)) {
        w->took_all = false;
        log_msg(LOG_ERROR, "reload: worker %u does not serve every listener", w->o.index);
    }
    sem_post(&w->taken);
}

static void drain_task(struct loop_task *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, task);
    if (w->front) { /* not stopped before it came to this */
        front_drain(w->front);
        worker_accept_rest(w);
        worker_doors_close(w);
        w->phase = DRAINING;
        w->drained_ns = clock_ns();
    }
    sem_post(&w->taken);
}

bool worker_answers(struct worker *w)
{
    if (w->untaken)
        w->untaken = sem_trywait(&w->taken) != 0;
    return !w->untaken;
}

static bool post(struct worker *w, void (*run)(struct loop_task *))
{
    struct timespec until;
    w->task.run = run;
    loop_post(&w->loop, &w->task);
    clock_gettime(CLOCK_MONOTONIC, &until); /* the wall clock may jump */
    until.tv_sec += ANSWER_S;
    while (sem_clockwait(&w->taken, CLOCK_MONOTONIC, &until) != 0)
        if (errno != EINTR) {
            w->untaken = true; /* the task is still the loop's */
            return false;
        }
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(&w->taken); /* gcc's ThreadSanitizer does not know sem_clockwait */
#endif
    return true;
}

bool worker_reload(struct worker *w, struct proxy_rules *rules, struct door *const *doors,
                   size_t ndoors)
{
    atomic_fetch_add(&rules->refs, 1); /* becomes w->o.rules */
    w->new_rules = rules;
    w->new_doors = doors;
    w->new_ndoors = ndoors;
    return post(w, reload_task) && w->took_all;
}

bool worker_drain(struct worker *w)
{
    if (w->told_drain || !worker_answers(w))
        return w->told_drain && worker_answers(w);
    w->told_drain = true;
    return post(w, drain_task);
}

void worker_stop(struct worker *w)
{
    atomic_store(&w->stop, true);
    loop_wake(&w->loop);
}

void worker_wake(struct worker *w)
{
    loop_wake(&w->loop);
}

/* ---- the turn ---- */

static void note_pool(void *arg, const char *host, unsigned idle, unsigned active, unsigned pending)
{
    struct worker *w = arg;
    if (w->npools == WORKER_POOLS_MAX)
        return;
    struct worker_pool *p = &w->pools[w->npools++];
    snprintf(p->host, sizeof p->host, "%s", host);
    p->idle = idle;
    p->active = active;
    p->pending = pending;
}

static void note_pools(struct worker *w)
{
    unsigned asked = atomic_load_explicit(&w->pools_asked, memory_order_relaxed);
    if (asked == w->pools_noted)
        return;
    pthread_mutex_lock(&w->pools_lock);
    w->npools = 0;
    up_each_host(w->up, note_pool, w);
    w->pools_noted = asked;
    pthread_cond_signal(&w->pools_cond);
    pthread_mutex_unlock(&w->pools_lock);
}

static uint64_t earliest(struct worker *w)
{
    if (w->more || proxy_dirty(w->proxy))
        return 0;
    uint64_t a = timers_next(&w->loop.timers), b = front_deadline(w->front);
    return a < b ? a : b;
}

/* The gauges that are read off rather than counted. */
static void measure(struct worker *w)
{
    unsigned conns = w->front ? front_connections(w->front) : 0;
    atomic_store_explicit(&w->conns, conns, memory_order_relaxed);
    stat_add(w->stat, STAT_CLIENT_CONNS, conns - stat_get(w->stat, STAT_CLIENT_CONNS));
    stat_add(w->stat, STAT_BUFFERED_BYTES,
             (int64_t)proxy_buffered(w->proxy) - stat_get(w->stat, STAT_BUFFERED_BYTES));
}

/* Upstream before client: head, first bytes and often the end are there when the client is woken,
 * so that a unary request costs one suspend, one resume and one run of libmicrohttpd. */
static void turn(struct worker *w)
{
    uint64_t before = clock_ns();
    loop_poll(&w->loop, earliest(w));
    /* The monotonic clock goes on while the process is stopped, the wall clock also while the
     * machine is suspended. Nobody kept idle connections over either. */
    int64_t ahead_s = clock_wall_s() - (int64_t)(clock_ns() / NS_PER_SEC);
    if (clock_ns() - before > ASLEEP_NS || llabs(ahead_s - w->ahead_s) > JUMP_S)
        up_flush(w->up);
    w->ahead_s = ahead_s;
    worker_accept(w);
    up_run(w->up);
    proxy_credentials(w->proxy);
    timers_run(&w->loop.timers, clock_ns());
    proxy_settle(w->proxy);
    if (front_pending(w->front) || front_deadline(w->front) <= clock_ns())
        front_run(w->front);
    proxy_settle(w->proxy);
    proxy_recycle(w->proxy);
    w->more = up_reap(w->up);
    note_pools(w);
    log_flush();
    measure(w);
}

/* What was on its way when the doors closed has been heard. A connection still open has not had its
 * first answer: a busy machine may take longer over a request than over its connection, but one
 * that is kept in reserve must not hold up the end. */
static bool drained(struct worker *w)
{
    bool quiet = front_connections(w->front) == 0;
    uint64_t until = w->drained_ns + (quiet ? DRAIN_GRACE_NS : DRAIN_HEAR_NS);
    return clock_ns() >= until || !timer_set(&w->loop.timers, &w->accept_pause, until);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    log_gather(true);
    while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        turn(w);
        if (w->phase == DRAINING && proxy_inflight(w->proxy) == 0 && drained(w))
            break;
    }
    worker_doors_close(w);
    /* Who has no answer yet is told, as far as one run can. */
    proxy_refuse_all(w->proxy);
    proxy_settle(w->proxy);
    front_run(w->front);
    proxy_refuse_all(w->proxy); /* what that run has read goes nowhere any more */
    proxy_abort_all(w->proxy);
    proxy_settle(w->proxy);
    /* Ends what is left: the owner is told of each request through gone(). */
    front_free(w->front);
    w->front = NULL;
    loop_poll(&w->loop, 0); /* connections that were handed over last are closed */
    proxy_settle(w->proxy);
    proxy_recycle(w->proxy);
    measure(w);
    log_gather(false);
    atomic_store(&w->ended, true);
    w->o.stopped(w->o.arg);
    return NULL;
}

/* ---- life ---- */

static bool build(struct worker *w, char *msg, size_t msgsize)
{
    const struct conf *c = w->o.rules->conf;
    struct up_options uo = up_options_of(c, w->o.nworkers);
    w->stat = stat_new();
    if (!w->stat || !(w->up = up_new(&w->loop, w->o.resolver, w->stat, &uo, msg, msgsize)))
        return false;
    hold_for_up(w);
    struct proxy_options po = {.loop = &w->loop,
                               .up = w->up,
                               .stat = w->stat,
                               .creds = w->o.creds,
                               .shared = w->o.shared,
                               .nworkers = w->o.nworkers};
    if (!(w->proxy = proxy_new(&po, w->o.rules)))
        return false;
    struct front_options fo = front_options_of(w, c);
    if (!(w->front = front_new(&fo, msg, msgsize)))
        return false;
    timer_init(&w->accept_pause, worker_accept_again);
    return worker_doors_open(w, w->o.doors, w->o.ndoors);
}

struct worker *worker_new(const struct worker_options *o, char *msg, size_t msgsize)
{
    snprintf(msg, msgsize, "out of memory");
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->o = *o;
    atomic_fetch_add(&o->rules->refs, 1);
    list_init(&w->doors);
    pthread_mutex_init(&w->pools_lock, NULL);
    pthread_cond_init(&w->pools_cond, NULL);
    sem_init(&w->taken, 0, 0);
    if (!loop_init(&w->loop)) {
        snprintf(msg, msgsize, "epoll: %s", strerror(errno));
        proxy_rules_unref(w->o.rules);
        free(w);
        return NULL;
    }
    if (build(w, msg, msgsize))
        return w;
    worker_free(w);
    return NULL;
}

bool worker_start(struct worker *w)
{
    char name[16];
    sigset_t all, before;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->started = pthread_create(&w->thread, NULL, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (w->started) {
        snprintf(name, sizeof name, "worker-%u", w->o.index);
        pthread_setname_np(w->thread, name);
    }
    return w->started;
}

void worker_join(struct worker *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    worker_join(w);
    worker_doors_close(w);
    front_free(w->front);
    w->front = NULL;
    loop_poll(&w->loop, 0); /* nor is what another worker handed over at the very end forgotten */
    proxy_free(w->proxy);
    up_free(w->up);
    loop_free(&w->loop);
    stat_free(w->stat);
    proxy_rules_unref(w->up_rules);
    proxy_rules_unref(w->o.rules);
    pthread_cond_destroy(&w->pools_cond);
    pthread_mutex_destroy(&w->pools_lock);
    sem_destroy(&w->taken);
    free(w);
}

const struct stat *worker_stat(const struct worker *w)
{
    return w->stat;
}

uint64_t worker_turn_ns(const struct worker *w)
{
    return atomic_load(&w->ended) ? UINT64_MAX
                                  : atomic_load_explicit(&w->loop.turn_ns, memory_order_relaxed);
}

void worker_ask_pools(struct worker *w)
{
    atomic_fetch_add_explicit(&w->pools_asked, 1, memory_order_relaxed);
    loop_wake(&w->loop);
}

size_t worker_pools(struct worker *w, struct worker_pool *out, size_t max)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)POOLS_WAIT_NS;
    until.tv_sec += until.tv_nsec / (long)NS_PER_SEC;
    until.tv_nsec %= (long)NS_PER_SEC;
    pthread_mutex_lock(&w->pools_lock);
    while (w->pools_noted != atomic_load(&w->pools_asked) && !atomic_load(&w->ended) &&
           pthread_cond_clockwait(&w->pools_cond, &w->pools_lock, CLOCK_MONOTONIC, &until) == 0)
        ;
    size_t n = w->npools < max ? w->npools : max;
    memcpy(out, w->pools, n * sizeof *out);
    pthread_mutex_unlock(&w->pools_lock);
    return n;
}
