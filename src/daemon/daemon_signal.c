/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads; SIGUSR1 reopens the
 * log. They arrive through a descriptor, so that everything here runs in the main loop. */
#include "daemon/daemon_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/notify.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void reload_failed(struct daemon *d, const char *why)
{
    d->reload_ok = false;
    snprintf(d->reload_why, sizeof d->reload_why, "the old configuration stays: %s", why);
    log_msg(LOG_ERROR, "reload failed, %s", d->reload_why);
    daemon_listen_only(d, d->conf);
    daemon_unlisten(d);
}

static void apply(struct daemon *d, struct conf *c, struct proxy_rules *rules)
{
    bool all = true;
    daemon_listen_only(d, c);
    for (unsigned i = 0; i < d->nworkers; i++)
        all = worker_reload(d->workers[i], rules, d->doors, d->ndoors) && all;
    daemon_unlisten(d);
    if (d->admin)
        admin_configure(d->admin, c);
    proxy_rules_unref(d->rules);
    conf_unref(d->conf);
    d->rules = rules;
    d->conf = c;
    d->reload_ok = all;
    if (all)
        d->reload_s = clock_wall_s();
    snprintf(d->reload_why, sizeof d->reload_why, "%s",
             all ? "" : "a worker could not take over everything; reload again");
}

/* What the last reload told a worker that hangs is still on its way to it, with that reload's
 * doors. */
static bool all_answer(struct daemon *d, char *msg, size_t msgsize)
{
    for (unsigned i = 0; i < d->nworkers; i++)
        if (!worker_answers(d->workers[i])) {
            snprintf(msg, msgsize, "worker %u has not taken over the last one yet", i);
            return false;
        }
    return true;
}

static void tell_restart(const struct conf *before, const struct conf *after)
{
    struct buf keys;
    buf_init(&keys, 4096);
    conf_restart_needed(before, after, &keys);
    struct str all = buf_str(&keys);
    while (all.p && all.n) {
        struct str key = str_cut(&all, '\n');
        if (key.n)
            log_msg(LOG_WARN, "reload: %.*s takes effect with the next start only", STR_ARG(key));
    }
    buf_free(&keys);
}

static bool listen_anew(struct daemon *d, const struct conf *c, char *msg, size_t msgsize)
{
    if (!all_answer(d, msg, msgsize))
        return false;
    daemon_unlisten(d); /* what a worker held that answers again may be wanted now */
    return daemon_listen(d, c, msg, msgsize);
}

/* Everything is checked before anything is changed. */
static void reload(struct daemon *d)
{
    char msg[512];
    struct err_detail why = {""};
    struct buf errs;
    notify_reloading();
    log_msg(LOG_INFO, "reloading the configuration");
    buf_init(&errs, 64 * 1024);
    struct conf *c = conf_load(d->args, &errs);
    if (errs.n && errs.p[errs.n - 1] == '\n')
        errs.n--;
    const char *text = buf_cstr(&errs);
    struct proxy_rules *rules = c ? proxy_rules_new(c) : NULL;
    if (!c) {
        reload_failed(d, text ? text : "unknown");
    } else if (!rules || !worker_check(c, msg, sizeof msg)) {
        reload_failed(d, rules ? msg : "out of memory");
    } else if (!cred_store_check(d->creds, c, &why)) {
        reload_failed(d, why.text);
    } else if (!listen_anew(d, c, msg, sizeof msg)) {
        reload_failed(d, msg);
    } else if (!daemon_log_open(c)) {
        snprintf(msg, sizeof msg, "log.file %s: %s", c->log.file, strerror(errno));
        reload_failed(d, msg);
    } else if (!cred_store_reload(d->creds, c)) {
        if (!daemon_log_open(d->conf))
            log_msg(LOG_ERROR, "log.file %s: %s", d->conf->log.file, strerror(errno));
        reload_failed(d, "credentials: out of memory");
    } else {
        tell_restart(d->conf, c);
        apply(d, c, rules);
        cred_store_refresh_all(d->creds);
        if (d->reload_ok)
            log_msg(LOG_INFO, "the configuration is reloaded");
        else
            log_msg(LOG_ERROR, "reload: %s", d->reload_why);
        c = NULL;
        rules = NULL;
    }
    proxy_rules_unref(rules);
    conf_unref(c);
    buf_free(&errs);
    notify_ready(NULL);
}

static void drain_over(struct timer *t)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, drain_limit);
    log_msg(LOG_WARN, "drain_timeout has passed: requests still open are ended");
    for (unsigned i = 0; i < d->nworkers; i++)
        worker_stop(d->workers[i]);
}

void daemon_drain(struct daemon *d, const char *why)
{
    if (d->draining)
        return;
    d->draining = true;
    log_msg(LOG_INFO, "draining (%s): requests under way are finished, new connections refused",
            why);
    notify_stopping("draining");
    atomic_store(&d->shared.draining, true);
    for (unsigned i = 0; i < d->nworkers; i++)
        if (!worker_drain(d->workers[i]))
            log_msg(LOG_ERROR, "worker %u did not answer", i);
    daemon_unlisten(d);
    if (!timer_set(&d->loop.timers, &d->drain_limit, clock_ns() + d->conf->drain_timeout_ns))
        drain_over(&d->drain_limit);
}

static void end_now(struct daemon *d)
{
    log_msg(LOG_WARN, "a second signal: ending at once");
    d->exit_code = 1;
    for (unsigned i = 0; i < d->nworkers; i++)
        worker_stop(d->workers[i]);
}

/* The first signal drains, also while /quitquitquit already does. */
static void end(struct daemon *d, const char *signal)
{
    d->told_to_end = true;
    if (d->draining)
        log_msg(LOG_INFO, "%s: draining already; the next signal ends at once", signal);
    daemon_drain(d, signal);
}

static void signal_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct daemon *d = CONTAINER_OF(f, struct daemon, signals);
    struct signalfd_siginfo si;
    while (read(f->fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo == SIGHUP && !d->draining)
            reload(d);
        else if (si.ssi_signo == SIGHUP)
            log_msg(LOG_WARN, "SIGHUP while draining: the configuration is not read again");
        else if (si.ssi_signo == SIGUSR1)
            log_reopen();
        else if (d->told_to_end)
            end_now(d);
        else
            end(d, si.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

bool daemon_signals_open(struct daemon *d)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    timer_init(&d->drain_limit, drain_over);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    d->signals = (struct loop_fd){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                  .ready = signal_ready};
    return d->signals.fd >= 0 && loop_add(&d->loop, &d->signals, EPOLLIN);
}
