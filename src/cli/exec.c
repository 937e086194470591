/* SPDX-License-Identifier: Apache-2.0 */
/* `sigferry exec`: a command with a proxy of its own. Three processes: this one only supervises, a
 * child becomes the daemon and alone reads the configuration and its secrets, another one becomes
 * the command once requests are served. Must never let a key reach the command. */
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/exec_env.h"
#include "daemon/daemon.h"
#include "io/listen.h"
#include "proxy/identity.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OPT_WORKERS = CLI_OPT_OWN,
    OPT_LOG_LEVEL,
    OPT_LOG_FORMAT,
    NOT_RUNNABLE = 126, /* as shells and env(1) say it */
    NOT_FOUND = 127,
    BY_SIGNAL = 128,
};
#define START_NS (60 * NS_PER_SEC) /* until requests are served */
#define GRACE_NS (5 * NS_PER_SEC)  /* beyond drain_timeout */

static const char help[] =
    "Usage: sigferry exec [OPTION]... -- COMMAND [ARGUMENT]...\n"
    "Starts a proxy on a free port of 127.0.0.1, runs COMMAND with SIGFERRY_URL, http_proxy\n"
    "and the SDKs' endpoint variables leading to it, and exits with COMMAND's status (128 +\n"
    "N when signal N ended it). COMMAND never sees the keys: variables that hold some are\n"
    "replaced by dummies. Unless the configuration says who may use the proxy, that is\n"
    "COMMAND's user only.\n\n"
    "      --workers N        threads; 0 is one a CPU\n"
    "      --log-level LEVEL  error, warn, info or debug (warn)\n"
    "      --log-format F     text, json or a template with %(message)s\n" CLI_COMMON_HELP
    "\nFor example:\n"
    "  sigferry exec -r cn-beijing -- sh -c \\\n"
    "    'curl -H \"X-Sigferry-Service: iam\" \"$SIGFERRY_URL/"
    "?Action=ListUsers&Version=2018-01-01\"'\n";

static const struct option options[] = {{"workers", required_argument, NULL, OPT_WORKERS},
                                        {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
                                        {"log-format", required_argument, NULL, OPT_LOG_FORMAT},
                                        CLI_COMMON_OPTIONS,
                                        {NULL, 0, NULL, 0}};

/* Sent from the daemon to this process in one write once requests are served. */
struct ready {
    struct exec_target target;
    uint64_t drain_ns;
};

struct exec {
    struct cli c;
    sigset_t before; /* the mask this process was started with */
    int signals;     /* of this process, as a descriptor */
    int ready[2];    /* pipe: struct ready */
    pid_t daemon;    /* 0 once it has been reaped */
    pid_t command;   /* the same */
    int daemon_status, command_status;
    struct ready info;
};

/* --- the daemon's process --------------------------------------------------------------------- */

static void tell_ready(void *arg, const char *listener)
{
    struct exec *e = arg;
    struct ready r = e->info;
    (void)snprintf(r.target.listener, sizeof r.target.listener, "%s", listener);
    if (write(e->ready[1], &r, sizeof r) != (ssize_t)sizeof r)
        log_msg(LOG_ERROR, "exec: the command's process does not listen: %s", strerror(errno));
    (void)close(e->ready[1]);
}

/* Whether the system tells who is behind a loopback connection; some containers don't. */
static bool peers_are_known(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof sa;
    uid_t uid = 0;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), in = -1;
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The handshake of a listening loopback socket is done by the kernel: nothing here waits. */
    if (door >= 0 && out >= 0 && bind(door, (struct sockaddr *)&sa, n) == 0 &&
        listen(door, 1) == 0 && getsockname(door, (struct sockaddr *)&sa, &n) == 0 &&
        connect(out, (struct sockaddr *)&sa, n) == 0)
        in = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    bool known = in >= 0 && listen_tcp_peer_uid(in, &uid) && uid == geteuid();
    int all[] = {door, out, in};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i] >= 0)
            (void)close(all[i]);
    return known && uid != IDENTITY_NOBODY;
}

/* What only exec wants, where the configuration leaves it open. */
static bool adjust(struct exec *e, const struct conf *conf)
{
    static char own_uid[64];
    char where[4096 + 32];
    static const char *const listen[] = {"127.0.0.1:0"};
    struct cli *c = &e->c;
    /* exec has a listener of its own: it must not do without what the configured ones demand */
    bool chosen = strcmp(conf_where(conf, "policy", where, sizeof where), "default") != 0;
    for (size_t i = 0; i < conf->nlisten && !chosen; i++)
        if (*conf->listen[i].policy) {
            (void)cli_fail(c,
                           "the policy \"%s\" holds for the listener %s only, not for the one of "
                           "this command: say --set policy=%s, or --set policy= for none",
                           conf->listen[i].policy, conf->listen[i].address, conf->listen[i].policy);
            return false;
        }
    c->args.listen = listen;
    c->args.nlisten = 1;
    c->args.admin = "127.0.0.1:0";
    if (strcmp(conf_where(conf, "log.level", where, sizeof where), "default") == 0)
        c->args.log_level = "warn";
    (void)snprintf(own_uid, sizeof own_uid, "security.allowed_uids=%u", (unsigned)geteuid());
    const struct conf_listener any = {.address = ""};
    return identity_required(conf, &any) || !peers_are_known() || cli_set(c, own_uid);
}

/* The terminal's signals are for the command: the daemon has a process group of its own, and is
 * told to end by this process, also by the way of its death. */
static bool detach(const struct exec *e, pid_t parent)
{
    static const char *const managers[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                           "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool ok = null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
              setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 &&
              sigprocmask(SIG_SETMASK, &e->before, NULL) == 0;
    if (null > STDERR_FILENO)
        (void)close(null);
    signal(SIGTTOU, SIG_IGN); /* it writes to the terminal from the background */
    (void)close(e->ready[0]);
    (void)close(e->signals);
    /* A service manager's notifications and sockets are the command's. */
    for (size_t i = 0; i < ARRAY_LEN(managers); i++)
        (void)unsetenv(managers[i]);
    if (!ok)
        cli_fail(&e->c, "the proxy's process could not be set up: %s", strerror(errno));
    return ok && getppid() == parent;
}

static int run_daemon(struct exec *e, pid_t parent)
{
    if (!detach(e, parent))
        return CLI_FAILED;
    /* Loaded once before the daemon does, to see what it leaves open; warnings are said once. */
    const struct log_options errors_only = {.level = LOG_ERROR}, warnings = {.level = LOG_WARN};
    if (!log_open(&errors_only))
        return cli_fail(&e->c, "out of memory");
    struct conf *conf = cli_conf(&e->c);
    if (!conf || !log_open(&warnings))
        return CLI_FAILED;
    bool ok = adjust(e, conf);
    e->info.drain_ns = conf->drain_timeout_ns;
    e->info.target.byteplus = conf->cloud == CLOUD_BYTEPLUS;
    (void)snprintf(e->info.target.region, sizeof e->info.target.region, "%s", conf->region);
    conf_unref(conf);
    return ok ? daemon_run(&e->c.args, tell_ready, e) : CLI_FAILED;
}

/* --- the command's process -------------------------------------------------------------------- */

static int run_command(const struct exec *e)
{
    char **argv = e->c.argv + e->c.operands;
    signal(SIGPIPE, SIG_DFL); /* both are ignored in main.c */
    signal(SIGXFSZ, SIG_DFL);
    if (!exec_env_set(&e->info.target) || sigprocmask(SIG_SETMASK, &e->before, NULL) != 0) {
        cli_fail(&e->c, "out of memory");
        return NOT_RUNNABLE;
    }
    execvp(argv[0], argv);
    int why = errno;
    cli_fail(&e->c, "%s: %s", argv[0], strerror(why));
    return why == ENOENT ? NOT_FOUND : NOT_RUNNABLE;
}

/* --- this process ----------------------------------------------------------------------------- */

/* Signals that are passed on; SIGCHLD comes with them. */
static const int forwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH};

static bool hold_signals(struct exec *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
        sigaddset(&set, forwarded[i]);
    /* Whoever started this may have it ignored: then there would be no status to wait for. */
    signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &set, &e->before) != 0)
        return false;
    e->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return e->signals >= 0;
}

static void reap(struct exec *e)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == e->daemon) {
            e->daemon = 0;
            e->daemon_status = status;
        } else if (pid == e->command) {
            e->command = 0;
            e->command_status = status;
        }
    }
}

/* Waits for a signal until the deadline, or until the pipe (-1: none) has something. Children that
 * ended are reaped. Returns another signal that came, sent by a process; 0 for everything else. */
static int wait_signal(struct exec *e, int pipe_fd, uint64_t until_ns)
{
    struct pollfd p[] = {{.fd = e->signals, .events = POLLIN}, {.fd = pipe_fd, .events = POLLIN}};
    struct signalfd_siginfo si;
    uint64_t now = clock_fresh_ns();
    int ms = -1;
    if (until_ns != UINT64_MAX)
        ms = until_ns > now ? (int)((until_ns - now) / NS_PER_MS) + 1 : 0;
    (void)poll(p, ARRAY_LEN(p), ms); /* cut short, it is called again */
    if (read(e->signals, &si, sizeof si) != (ssize_t)sizeof si)
        return 0;
    if (si.ssi_signo == SIGCHLD) {
        reap(e);
        return 0;
    }
    /* The terminal's go to the whole process group, which the command belongs to. */
    return si.ssi_code == SI_KERNEL && e->command ? 0 : (int)si.ssi_signo;
}

static bool ends(int sig)
{
    return sig == SIGHUP || sig == SIGINT || sig == SIGQUIT || sig == SIGTERM;
}

/* Ends the daemon: in order, at once when asked again, by force when it takes longer than it may.
 */
static void end_daemon(struct exec *e)
{
    uint64_t limit = clock_fresh_ns() + e->info.drain_ns + GRACE_NS;
    if (e->daemon)
        (void)kill(e->daemon, SIGTERM);
    while (e->daemon) {
        if (ends(wait_signal(e, -1, limit)))
            (void)kill(e->daemon, SIGTERM);
        if (e->daemon && clock_fresh_ns() >= limit) {
            cli_fail(&e->c, "the proxy did not end in time and is killed");
            (void)kill(e->daemon, SIGKILL);
            limit = UINT64_MAX; /* nothing outlives that */
        }
    }
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* It closed the pipe: it ends, and has said why unless something ended it. */
static int daemon_failed(struct exec *e, uint64_t limit_ns)
{
    while (e->daemon && clock_fresh_ns() < limit_ns)
        (void)wait_signal(e, -1, limit_ns);
    if (!e->daemon && WIFSIGNALED(e->daemon_status))
        cli_fail(&e->c, "the proxy was ended by signal %d", WTERMSIG(e->daemon_status));
    return CLI_FAILED;
}

/* Until requests are served. CLI_OK, or the exit status. */
static int await_daemon(struct exec *e)
{
    uint64_t limit = clock_fresh_ns() + START_NS;
    for (;;) {
        int sig = wait_signal(e, e->ready[0], limit);
        if (ends(sig))
            return BY_SIGNAL + sig;
        ssize_t n = read(e->ready[0], &e->info, sizeof e->info);
        if (n == (ssize_t)sizeof e->info)
            return CLI_OK;
        if (n >= 0)
            return daemon_failed(e, limit);
        if (errno != EAGAIN && errno != EINTR)
            return cli_fail(&e->c, "the proxy's pipe: %s", strerror(errno));
        if (clock_fresh_ns() >= limit)
            return cli_fail(&e->c, "the proxy did not start in time");
    }
}

static int await_command(struct exec *e)
{
    bool told = false;
    while (e->command) {
        int sig = wait_signal(e, -1, UINT64_MAX);
        if (sig && e->command)
            (void)kill(e->command, sig);
        if (!e->daemon && !told && e->command) {
            cli_fail(&e->c, "the proxy has ended with status %d; the command runs on without it",
                     exit_status(e->daemon_status));
            told = true;
        }
    }
    return exit_status(e->command_status);
}

/* Whoever reads the command's output or writes its input waits for the command only. */
static void let_go_of_pipes(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    if (null > STDERR_FILENO)
        (void)close(null);
}

/* *child: this is another process now, about to exit with the returned status. */
static int supervise(struct exec *e, bool *child)
{
    pid_t self = getpid();
    if ((e->daemon = fork()) == 0) {
        *child = true;
        return run_daemon(e, self);
    }
    (void)close(e->ready[1]);
    exec_env_clear();
    if (e->daemon < 0) {
        e->daemon = 0;
        return cli_fail(&e->c, "fork: %s", strerror(errno));
    }
    int code = await_daemon(e);
    if (code == CLI_OK && (e->command = fork()) == 0) {
        *child = true;
        return run_command(e);
    }
    if (e->command < 0) {
        e->command = 0;
        code = cli_fail(&e->c, "fork: %s", strerror(errno));
    } else if (code == CLI_OK) {
        let_go_of_pipes();
        code = await_command(e);
    }
    end_daemon(e);
    return code;
}

static int parse(struct exec *e, int argc, char **argv)
{
    int opt, code = CLI_OK;
    cli_begin(&e->c, "exec", help, "+" CLI_COMMON_LETTERS, options, argc, argv);
    while ((opt = cli_next(&e->c, &code)) >= 0) {
        if (opt == OPT_WORKERS)
            e->c.args.workers = optarg;
        else if (opt == OPT_LOG_LEVEL)
            e->c.args.log_level = optarg;
        else
            e->c.args.log_format = optarg;
    }
    if (opt == CLI_STOP)
        return code == CLI_OK ? CLI_STOP : code;
    for (size_t i = 0; i < e->c.args.nset; i++) {
        struct str value = str_of(e->c.args.set[i]), key = str_trim(str_cut(&value, '='));
        if (str_eq(key, STR("listen")) || str_eq(key, STR("admin.listen")))
            return cli_usage(&e->c, "--set %.*s: exec listens on free ports of its own",
                             STR_ARG(key));
    }
    if (e->c.operands == argc)
        return cli_usage(&e->c, "name a command to run, as in 'sigferry exec -- env'");
    return CLI_OK;
}

int cli_exec(int argc, char **argv)
{
    struct exec e = {.signals = -1, .ready = {-1, -1}};
    bool child = false;
    int code = parse(&e, argc, argv);
    if (code != CLI_OK)
        return code == CLI_STOP ? CLI_OK : code;
    if (pipe2(e.ready, O_CLOEXEC) != 0 || fcntl(e.ready[0], F_SETFL, O_NONBLOCK) != 0 ||
        !hold_signals(&e))
        return cli_fail(&e.c, "%s", strerror(errno));
    code = supervise(&e, &child);
    if (!child) {
        (void)close(e.ready[0]);
        (void)close(e.signals);
    }
    return code;
}
