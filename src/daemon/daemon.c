/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon from start to end: a table of contents. Initialised in the order of dependence, ended
 * in the reverse. */
#include "daemon/daemon_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "daemon/environ.h"
#include "daemon/notify.h"
#include "proxy/failures.h"
#include "proxy/identity.h"
#include "proxy/policy.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RESOLVER_THREADS = 4, RESOLVER_QUEUE = 256 };

/* A line a key, as `sigferry config` shows them. */
static void trace_config(const struct conf *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = log_debug_on(LOGD_CONFIG) ? open_memstream(&text, &n) : NULL;
    if (!f)
        return;
    bool whole = conf_print(c, f);
    if (fclose(f) == 0 && whole)
        for (struct str rest = str_n(text, n); rest.n;) {
            struct str line = str_cut(&rest, '\n');
            log_debug(LOGD_CONFIG, "configuration: %.*s", STR_ARG(line));
        }
    free(text);
}

bool daemon_log_open(const struct conf *c)
{
    bool json = strcmp(c->log.format, "json") == 0, text = strcmp(c->log.format, "text") == 0;
    struct log_options o = {.level = c->log.debug ? LOG_DEBUG : c->log.level,
                            .format = json   ? LOG_JSON
                                      : text ? LOG_TEXT
                                             : LOG_TEMPLATE,
                            .template = c->log.format,
                            .file = c->log.file,
                            .debug = c->log.debug};
    if (!log_open(&o))
        return false;
    trace_config(c);
    return true;
}

/* As many descriptors as the system grants: connections in and out need one each. */
static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        log_msg(LOG_WARN, "the descriptor limit could not be raised: %s", strerror(errno));
}

static unsigned count_workers(const struct conf *c)
{
    if (c->workers > 0)
        return (unsigned)c->workers;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static void credentials_changed(void *arg)
{
    struct daemon *d = arg;
    pthread_mutex_lock(&d->wake_lock);
    for (unsigned i = 0; d->wakeable && i < d->nworkers; i++)
        worker_wake(d->workers[i]);
    pthread_mutex_unlock(&d->wake_lock);
}

static void set_wakeable(struct daemon *d, bool on)
{
    pthread_mutex_lock(&d->wake_lock);
    d->wakeable = on;
    pthread_mutex_unlock(&d->wake_lock);
}

static void worker_stopped(void *arg)
{
    struct daemon *d = arg;
    atomic_fetch_add(&d->nstopped, 1);
    loop_wake(&d->loop);
}

/* Proof of life for the service manager: only while every worker turns. */
static void watchdog_tick(struct timer *t)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, watchdog);
    if (daemon_healthy(d))
        notify_watchdog();
    if (!timer_set(&d->loop.timers, t, clock_ns() + notify_watchdog_ns()))
        log_msg(LOG_ERROR, "out of memory: the watchdog stops");
}

static void warn_open(const struct conf *c)
{
    for (size_t i = 0; i < c->nlisten; i++) {
        if (str_starts(str_of(c->listen[i].address), STR("unix:")) ||
            identity_required(c, &c->listen[i]))
            continue;
        log_msg(LOG_WARN,
                "%s asks for no identity: every user of this machine may use the keys "
                "(security.client_tokens, allowed_uids or a Unix socket restrict that)",
                c->listen[i].address);
        return;
    }
}

static bool start_workers(struct daemon *d, char *msg, size_t msgsize)
{
    unsigned n = count_workers(d->conf);
    d->workers = calloc(n, sizeof *d->workers);
    snprintf(msg, msgsize, "out of memory");
    if (!d->workers)
        return false;
    for (unsigned i = 0; i < n; i++) {
        struct worker_options o = {.index = i,
                                   .all = d->workers,
                                   .nworkers = n,
                                   .rules = d->rules,
                                   .creds = d->creds,
                                   .shared = &d->shared,
                                   .resolver = d->resolver,
                                   .doors = d->doors,
                                   .ndoors = d->ndoors,
                                   .stopped = worker_stopped,
                                   .arg = d};
        if (!(d->workers[i] = worker_new(&o, msg, msgsize)))
            return false;
        d->nworkers++;
    }
    set_wakeable(d, true);
    /* Credentials first, so that the first request finds them. */
    if (!cred_store_start(d->creds, credentials_changed, d)) {
        snprintf(msg, msgsize, "credentials: %s", strerror(errno));
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        if (!worker_start(d->workers[i])) {
            snprintf(msg, msgsize, "a thread could not be made");
            return false;
        }
    return true;
}

static bool start(struct daemon *d, char *msg, size_t msgsize)
{
    snprintf(msg, msgsize, "out of memory");
    clock_tick();
    d->started_s = d->reload_s = clock_wall_s();
    d->reload_ok = true;
    if (!loop_init(&d->loop) || !daemon_signals_open(d)) {
        snprintf(msg, msgsize, "event loop: %s", strerror(errno));
        return false;
    }
    timer_init(&d->watchdog, watchdog_tick);
    timer_init(&d->unlisten, daemon_unlisten_again);
    raise_limits();
    environ_clean(); /* the configuration has read what it wants of it */
    if (!conn_global_init() || !worker_check(d->conf, msg, msgsize))
        return false;
    if (!(d->creds = cred_store_new(d->conf)) || !(d->rules = proxy_rules_new(d->conf)) ||
        !(d->shared.record = policy_record_new()) || !(d->shared.failures = failures_new()))
        return false;
    listen_inherit();
    if (!(d->resolver = resolver_new(RESOLVER_THREADS, RESOLVER_QUEUE, 60 * NS_PER_SEC)))
        return false;
    /* Workers last: nobody is accepted before it is certain that we run. */
    return daemon_listen(d, d->conf, msg, msgsize) && daemon_admin_open(d, msg, msgsize) &&
           start_workers(d, msg, msgsize);
}

static void run(struct daemon *d)
{
    while (atomic_load(&d->nstopped) < d->nworkers) {
        uint64_t until = timers_next(&d->loop.timers);
        uint64_t admin = d->admin_front ? front_deadline(d->admin_front) : UINT64_MAX;
        loop_poll(&d->loop, until < admin ? until : admin);
        timers_run(&d->loop.timers, clock_ns());
        if (d->admin_front)
            front_run(d->admin_front);
    }
}

static void stop(struct daemon *d)
{
    for (unsigned i = 0; i < d->nworkers; i++)
        worker_stop(d->workers[i]);
    for (unsigned i = 0; i < d->nworkers; i++)
        worker_join(d->workers[i]); /* all of them first: each may hand connections to any other */
    set_wakeable(d, false);         /* a refresher thread may still be at it */
    for (unsigned i = 0; i < d->nworkers; i++)
        worker_free(d->workers[i]);
    daemon_admin_close(d);
    daemon_listeners_free(d);
    cred_store_free(d->creds);
    cred_forget_environment();
    resolver_free(d->resolver);
    proxy_rules_unref(d->rules);
    policy_record_free(d->shared.record);
    failures_free(d->shared.failures);
    conf_unref(d->conf);
    timer_unset(&d->loop.timers, &d->watchdog);
    timer_unset(&d->loop.timers, &d->drain_limit);
    timer_unset(&d->loop.timers, &d->unlisten);
    if (d->signals.fd >= 0) {
        int fd = d->signals.fd;
        loop_del(&d->loop, &d->signals);
        close(fd);
    }
    loop_free(&d->loop);
    free(d->workers);
}

int daemon_run(const struct conf_args *args, void (*ready)(void *arg, const char *listener),
               void *arg)
{
    char msg[512];
    struct buf errs;
    struct daemon *d = calloc(1, sizeof *d);
    if (!d)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    secret_harden_process();
    notify_init(true);
    d->args = args;
    pthread_mutex_init(&d->wake_lock, NULL);
    d->signals.fd = -1;
    buf_init(&errs, 64 * 1024);
    d->conf = conf_load(args, &errs);
    if (!d->conf) {
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&errs)));
        buf_free(&errs);
        free(d);
        return 1;
    }
    buf_free(&errs);
    if (!daemon_log_open(d->conf)) {
        fprintf(stderr, "sigferry: log.file %s: %s\n", d->conf->log.file, strerror(errno));
        conf_unref(d->conf);
        free(d);
        return 1;
    }
    if (start(d, msg, sizeof msg)) {
        warn_open(d->conf);
        log_msg(LOG_INFO, "sigferry %s serves %s with %u worker%s", PACKAGE_VERSION,
                d->conf->cloud == CLOUD_BYTEPLUS ? "byteplus" : "volcengine", d->nworkers,
                d->nworkers == 1 ? "" : "s");
        notify_ready("serving");
        if (notify_watchdog_ns() && !timer_set(&d->loop.timers, &d->watchdog, clock_ns()))
            log_msg(LOG_ERROR, "out of memory: no watchdog");
        if (ready)
            ready(arg, d->ndoors ? d->doors[0]->sock->name : "");
        run(d);
        daemon_tell_recorded(d);
    } else {
        log_msg(LOG_ERROR, "%s", msg);
        d->exit_code = 1;
    }
    int code = d->exit_code;
    log_msg(LOG_INFO, "ended");
    stop(d);
    free(d);
    return code;
}
