/* SPDX-License-Identifier: Apache-2.0 */
/* `sigferry sandbox`: an upstream on this machine. Point the daemon at it with connect_to, or a
 * client with its address; every signature is verified with the configured keys, and what arrived
 * comes back as JSON. Serves until SIGINT or SIGTERM. */
#include "cli/sandbox.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "cli/cli.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OPT_CERT = CLI_OPT_OWN,
    OPT_KEY,
    OPT_PLAIN,
    OPT_CA_OUT,
    OPT_PRINT_CA,
    OPT_QUIET,
    CONNECTIONS_MAX = 1024,
    HEADER_MAX = 64 * 1024,
    PEM_MAX = 256 * 1024,
    ACCEPTS_A_TURN = 64,
};
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

static const char help[] =
    "Usage: sigferry sandbox [OPTION]...\n"
    "Serves an upstream on this machine that verifies each signature with the configured\n"
    "keys and answers with what it got, as JSON. For trying out and for tests; ends on\n"
    "SIGINT or SIGTERM.\n\n"
    "  -l, --listen ADDR      HOST:PORT, PORT (0: any) or unix:/path [localhost:8752]\n"
    "      --cert FILE        certificate chain (PEM), with --key\n"
    "      --key FILE         its private key (PEM)\n"
    "                         without them: a certificate for all endpoints of both clouds\n"
    "                         and for localhost, by a new CA, valid for 30 days\n"
    "      --ca-out FILE      write that CA's certificate, for tls.ca_file\n"
    "      --print-ca         print it on standard output after the address\n"
    "      --plain            HTTP instead of HTTPS\n"
    "  -q, --quiet            no line a request\n" CLI_COMMON_HELP "\nThe daemon in front of it:\n"
    "  sigferry sandbox --ca-out ca.pem &\n"
    "  sigferry run --set tls.ca_file=ca.pem --set connect_to=::127.0.0.1:8752\n";

static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                        {"cert", required_argument, NULL, OPT_CERT},
                                        {"key", required_argument, NULL, OPT_KEY},
                                        {"ca-out", required_argument, NULL, OPT_CA_OUT},
                                        {"print-ca", no_argument, NULL, OPT_PRINT_CA},
                                        {"plain", no_argument, NULL, OPT_PLAIN},
                                        {"quiet", no_argument, NULL, 'q'},
                                        CLI_COMMON_OPTIONS,
                                        {NULL, 0, NULL, 0}};

struct args {
    const char *listen, *cert, *key, *ca_out;
    bool plain, print_ca, quiet;
};

struct server;

/* One listening socket in the loop. */
struct door {
    struct loop_fd watch;
    struct timer again; /* after a pause for want of descriptors */
    struct server *server;
    const struct listen_sock *sock;
};

struct server {
    struct sandbox sandbox;
    struct loop loop;
    struct front *front;
    struct listen_set socks;
    struct door *doors;
    struct loop_fd signals;
    struct sandbox_cert cert;
    bool stop;
};

/* --- options and files ------------------------------------------------------------------------ */

static int parse(struct cli *c, struct args *a, int argc, char **argv)
{
    int opt, code = CLI_OK;
    cli_begin(c, "sandbox", help, "l:q" CLI_COMMON_LETTERS, options, argc, argv);
    *a = (struct args){.listen = "localhost:8752"};
    while ((opt = cli_next(c, &code)) >= 0) {
        switch (opt) {
        case 'l':
            a->listen = optarg;
            break;
        case OPT_CERT:
            a->cert = optarg;
            break;
        case OPT_KEY:
            a->key = optarg;
            break;
        case OPT_CA_OUT:
            a->ca_out = optarg;
            break;
        case OPT_PRINT_CA:
            a->print_ca = true;
            break;
        case OPT_PLAIN:
            a->plain = true;
            break;
        case 'q':
            a->quiet = true;
            break;
        default:
            return cli_usage(c, "an option is not handled");
        }
    }
    if (opt == CLI_STOP)
        return code == CLI_OK ? CLI_STOP : code;
    if (c->operands < c->argc)
        return cli_usage(c, "it takes no operands");
    if (!a->cert != !a->key)
        return cli_usage(c, "--cert and --key go together");
    if (a->plain && (a->cert || a->ca_out || a->print_ca))
        return cli_usage(c, "--plain has no certificates");
    if (a->cert && (a->ca_out || a->print_ca))
        return cli_usage(c, "with --cert there is no CA of ours to give out");
    return CLI_OK;
}

/* A whole PEM file, NUL-terminated; NULL after a message. */
static char *read_pem(const struct cli *c, const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(PEM_MAX) : NULL;
    if (!text) {
        cli_fail(c, "%s: %s", path, strerror(errno));
        if (f)
            fclose(f);
        return NULL;
    }
    size_t n = fread(text, 1, PEM_MAX - 1, f);
    bool ok = !ferror(f) && feof(f) && n > 0;
    fclose(f);
    text[n] = '\0';
    if (ok)
        return text;
    cli_fail(c, "%s: it can't be read, is empty or larger than %d bytes", path, PEM_MAX - 1);
    secret_wipe(text, PEM_MAX);
    free(text);
    return NULL;
}

static bool write_ca(const struct cli *c, const char *path, const char *pem)
{
    FILE *f = fopen(path, "we");
    bool ok = f && fputs(pem, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        cli_fail(c, "--ca-out %s: %s", path, strerror(errno));
    return ok;
}

/* --- keys and certificates -------------------------------------------------------------------- */

/* The chosen profile's key, which must be there, and those of other profiles that are at hand
 * without asking anyone. */
static bool load_keys(const struct cli *c, struct conf *conf, struct sandbox *s)
{
    struct err_detail why;
    s->keys[0] = cred_fetch(conf, conf->profile, &why);
    if (!s->keys[0]) {
        cli_fail(c, "no key to verify signatures with: %s", why.text);
        return false;
    }
    s->nkeys = 1;
    for (size_t i = 0; i < conf->nprofiles && s->nkeys < SANDBOX_KEYS_MAX; i++) {
        const struct conf_profile *p = &conf->profiles[i];
        bool at_hand = !strcmp(p->provider, "static") || !strcmp(p->provider, "file") ||
                       !strcmp(p->provider, "env");
        if (!at_hand || strcmp(p->name, conf->profile) == 0)
            continue;
        struct cred *k = cred_fetch(conf, p->name, &why);
        if (k)
            s->keys[s->nkeys++] = k;
    }
    return true;
}

static bool make_cert(const struct cli *c, const struct conf *conf, struct sandbox_cert *out)
{
    char msg[256] = "out of memory", *lines = sandbox_names(conf);
    size_t n = 0;
    for (const char *p = lines; p && (p = strchr(p, '\n')); p++)
        n++;
    const char **names = lines ? calloc(n + 1, sizeof *names) : NULL;
    bool ok = names != NULL;
    char *p = lines;
    for (size_t i = 0; ok && i < n; i++) {
        names[i] = p;
        p = strchr(p, '\n');
        *p++ = '\0';
    }
    ok = ok && sandbox_cert_make(out, names, n, msg, sizeof msg);
    if (!ok)
        cli_fail(c, "%s", msg);
    free(names);
    free(lines);
    return ok;
}

static bool load_cert(const struct cli *c, const struct args *a, const struct conf *conf,
                      struct sandbox_cert *out)
{
    if (a->plain)
        return true;
    if (!a->cert)
        return make_cert(c, conf, out) && (!a->ca_out || write_ca(c, a->ca_out, out->ca));
    out->cert = read_pem(c, a->cert);
    out->key = out->cert ? read_pem(c, a->key) : NULL;
    return out->key != NULL;
}

/* --- serving ---------------------------------------------------------------------------------- */

static void on_signal(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct server *s = CONTAINER_OF(f, struct server, signals);
    struct signalfd_siginfo si;
    if (read(f->fd, &si, sizeof si) == (ssize_t)sizeof si)
        s->stop = true;
}

static bool open_loop(const struct cli *c, struct server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    bool ok = loop_init(&s->loop) && sigprocmask(SIG_BLOCK, &set, NULL) == 0;
    if (ok) {
        s->signals = (struct loop_fd){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                      .ready = on_signal};
        ok = s->signals.fd >= 0 && loop_add(&s->loop, &s->signals, EPOLLIN);
    }
    if (!ok)
        cli_fail(c, "%s", strerror(errno));
    return ok;
}

static void door_resume(struct timer *t)
{
    struct door *d = CONTAINER_OF(t, struct door, again);
    if (!loop_mod(&d->server->loop, &d->watch, EPOLLIN))
        log_msg(LOG_ERROR, "%s: %s", d->sock->name, strerror(errno));
}

static void door_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct door *d = CONTAINER_OF(f, struct door, watch);
    struct server *s = d->server;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct peer peer;
        struct sockaddr_storage sa;
        unsigned salen;
        int fd = listen_accept(d->sock, &peer, &sa, &salen);
        if (fd >= 0) {
            front_accept(s->front, fd, &peer, &sa, salen, d);
            continue;
        }
        if (errno == EAGAIN)
            return;
        /* No descriptors: the connection stays queued, and the listener would report it for ever.
         */
        log_msg(LOG_WARN, "%s: accept: %s", d->sock->name, strerror(errno));
        if (loop_mod(&s->loop, &d->watch, 0) &&
            timer_set(&s->loop.timers, &d->again, clock_ns() + ACCEPT_PAUSE_NS))
            return;
        log_msg(LOG_ERROR, "%s: out of memory", d->sock->name);
        s->stop = true;
        return;
    }
}

static bool open_doors(const struct cli *c, const struct args *a, const struct conf *conf,
                       struct server *s)
{
    char msg[512];
    struct listen_spec spec = {.address = a->listen, .allow_remote = conf->security.allow_remote};
    if (!listen_open(&spec, &s->socks, msg, sizeof msg)) {
        cli_fail(c, "--listen %s", msg);
        return false;
    }
    s->doors = calloc(s->socks.n, sizeof *s->doors);
    if (!s->doors) {
        cli_fail(c, "out of memory");
        return false;
    }
    for (size_t i = 0; i < s->socks.n; i++) {
        struct door *d = &s->doors[i];
        d->server = s;
        d->sock = &s->socks.v[i];
        d->watch = (struct loop_fd){.fd = d->sock->fd, .ready = door_ready};
        timer_init(&d->again, door_resume);
        if (!loop_add(&s->loop, &d->watch, EPOLLIN)) {
            cli_fail(c, "%s: %s", d->sock->name, strerror(errno));
            return false;
        }
    }
    return true;
}

static bool open_front(const struct cli *c, const struct conf *conf, struct server *s)
{
    char msg[256];
    uint64_t idle = conf->timeouts.client_idle_ns, head = conf->timeouts.client_header_ns;
    uint64_t taking = conf->timeouts.client_write_ns;
    struct front_options o = {.loop = &s->loop,
                              .ops = &sandbox_front_ops,
                              .owner = &s->sandbox,
                              .max_connections = CONNECTIONS_MAX,
                              .max_header = HEADER_MAX,
                              .max_body = conf->limits.max_body,
                              .idle_timeout_ns = idle,
                              .header_timeout_ns = head,
                              .write_timeout_ns = taking,
                              .silence_ns = idle + head + taking + 60 * NS_PER_SEC,
                              .tls_cert_pem = s->cert.cert,
                              .tls_key_pem = s->cert.key};
    s->front = front_new(&o, msg, sizeof msg);
    if (!s->front)
        cli_fail(c, "%s%s", msg, s->cert.cert ? " (do certificate and key belong together?)" : "");
    return s->front != NULL;
}

static int serve(const struct cli *c, const struct args *a, struct server *s)
{
    const struct listen_sock *first = &s->socks.v[0];
    printf("listening on %s%s\n",
           first->family == LISTEN_UNIX ? ""
           : a->plain                   ? "http://"
                                        : "https://",
           first->name);
    if (a->print_ca)
        fputs(s->cert.ca, stdout);
    if (cli_finish(c) != CLI_OK)
        return CLI_FAILED;
    while (!s->stop) {
        loop_poll(&s->loop, front_deadline(s->front));
        timers_run(&s->loop.timers, clock_ns());
        front_run(s->front);
    }
    return CLI_OK;
}

static void free_server(struct server *s)
{
    front_free(s->front);
    for (size_t i = 0; s->doors && i < s->socks.n; i++) {
        timer_unset(&s->loop.timers, &s->doors[i].again);
        loop_del(&s->loop, &s->doors[i].watch);
    }
    listen_close(&s->socks);
    free(s->doors);
    if (s->signals.fd >= 0) {
        int fd = s->signals.fd;
        loop_del(&s->loop, &s->signals);
        close(fd);
    }
    loop_free(&s->loop);
    signer_free(s->sandbox.signer);
    for (size_t i = 0; i < s->sandbox.nkeys; i++)
        cred_unref(s->sandbox.keys[i]);
    arena_free(&s->sandbox.scratch);
    sandbox_cert_free(&s->cert);
}

int cli_sandbox(int argc, char **argv)
{
    struct cli c;
    struct args a;
    int code = parse(&c, &a, argc, argv);
    if (code != CLI_OK)
        return code == CLI_STOP ? CLI_OK : code;
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    struct server s = {.signals = {.fd = -1}, .loop = {.epoll_fd = -1, .event_fd = -1}};
    s.sandbox.quiet = a.quiet;
    s.sandbox.signer = signer_new();
    arena_init(&s.sandbox.scratch, 4096, 256 * 1024);
    clock_tick();
    code = CLI_FAILED;
    /* Signals are held back only once the loop is there to take them. */
    if (!s.sandbox.signer)
        cli_fail(&c, "out of memory");
    else if (load_keys(&c, conf, &s.sandbox) && load_cert(&c, &a, conf, &s.cert) &&
             open_loop(&c, &s) && open_front(&c, conf, &s) && open_doors(&c, &a, conf, &s))
        code = serve(&c, &a, &s);
    free_server(&s);
    conf_unref(conf);
    return code;
}
