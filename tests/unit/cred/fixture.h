/* SPDX-License-Identifier: Apache-2.0 */
/* What the credential tests share: a configuration made by hand, a directory of their own, and an
 * HTTP server in a thread that answers as a test says. */
#ifndef SIGFERRY_TESTS_CRED_FIXTURE_H
#define SIGFERRY_TESTS_CRED_FIXTURE_H

#include "base/clock.h"
#include "cred/cred.h"
#include "cred/cred_env.h"
#include "cred/cred_provider.h"
#include "cred/cred_time.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

/* --- configuration ------------------------------------------------------------------------- */

enum { PROFILES = 4 };

/* A conf that is never freed by its references: its memory is this struct. */
struct fixture {
    struct conf conf;
    struct conf_profile profiles[PROFILES];
    const char *connect_to[4];
};

UNUSED static void fixture_init(struct fixture *f, size_t n)
{
    static const char *const names[PROFILES] = {"default", "second", "third", "fourth"};
    memset(f, 0, sizeof *f);
    atomic_init(&f->conf.refs, 1);
    f->conf.cloud = CLOUD_VOLCENGINE;
    f->conf.profiles = f->profiles;
    f->conf.nprofiles = n;
    for (size_t i = 0; i < n; i++)
        f->profiles[i] = cred_profile_blank(names[i]);
    f->conf.security.strict_file_permissions = true;
    f->conf.tls.verify_ssl = true;
    f->conf.tls.ca_file = f->conf.tls.cert_file = f->conf.tls.key_file = "";
    f->conf.tls.min_version = "1.2";
    f->conf.proxy.http_proxy = f->conf.proxy.https_proxy = f->conf.proxy.no_proxy = "";
    f->conf.timeouts.connect_ns = f->conf.timeouts.read_ns = 5 * NS_PER_SEC;
    f->conf.connect_to.v = f->connect_to;
}

/* Every reference taken must have been given back. */
UNUSED static void fixture_check(struct fixture *f)
{
    ck_assert_uint_eq(atomic_load(&f->conf.refs), 1);
    for (size_t i = 0; i < PROFILES; i++) {
        secret_unref(f->profiles[i].secret_key);
        secret_unref(f->profiles[i].session_token);
    }
}

UNUSED static void fixture_static(struct conf_profile *p, const char *ak, const char *sk)
{
    p->provider = "static";
    p->access_key = ak;
    p->secret_key = secret_new(str_of(sk));
}

UNUSED static bool secret_is(const struct secret *s, const char *text)
{
    return str_eq(secret_str(s), str_of(text));
}

/* --- files ------------------------------------------------------------------------------------ */

static char fixture_dir[64];

UNUSED static void make_dir(void)
{
    snprintf(fixture_dir, sizeof fixture_dir, "/tmp/sigferry-cred-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture_dir));
}

UNUSED static void remove_dir(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", fixture_dir);
    ck_assert_int_eq(system(command), 0);
}

/* The path of a name in the directory; good until the next but seven. */
UNUSED static const char *in_dir(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", fixture_dir, name);
    return path;
}

/* Writes a file in one step, as careful writers do: beside, then renamed. */
UNUSED static const char *write_file(const char *name, const char *text, mode_t mode)
{
    const char *path = in_dir(name);
    char beside[300];
    snprintf(beside, sizeof beside, "%s.new", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
    ck_assert_int_eq(rename(beside, path), 0);
    return path;
}

/* --- time ---------------------------------------------------------------------------------------
 */

/* Now plus s as RFC 3339 at UTC+8. */
UNUSED static const char *from_now(int64_t s)
{
    static char text[4][40];
    static unsigned next;
    char utc[CRED_TIME_TEXT];
    char *out = text[next++ % 4];
    clock_tick();
    cred_time_format(clock_wall_s() + s + 8 * 3600, utc);
    snprintf(out, sizeof text[0], "%.19s+08:00", utc);
    return out;
}

/* --- server ------------------------------------------------------------------------------------
 */

enum { SERVER_SEEN = 32, SERVER_TEXT = 8192 };

struct server {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool stop;
    unsigned nseen;
    char seen[SERVER_SEEN][SERVER_TEXT]; /* requests, head and body */
    /* Writes the whole response; nothing: the connection is held open until the server ends. */
    void (*answer)(struct server *s, unsigned n, const char *request, char out[SERVER_TEXT]);
    void *arg;
    char connect_to[64]; /* sends every host here */
    int held[SERVER_SEEN];
    unsigned nheld;
};

static size_t server_read(int fd, char text[SERVER_TEXT])
{
    size_t n = 0;
    while (n < SERVER_TEXT - 1) {
        ssize_t got = read(fd, text + n, SERVER_TEXT - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = '\0';
        const char *end = strstr(text, "\r\n\r\n"), *cl = strcasestr(text, "content-length:");
        size_t body = cl && cl < end ? (size_t)strtoul(cl + 15, NULL, 10) : 0;
        if (end && n >= (size_t)(end - text) + 4 + body)
            break;
    }
    return n;
}

static void *server_run(void *arg)
{
    struct server *s = arg;
    static const char busy[] = "HTTP/1.1 500 too many for the test\r\nContent-Length: 0\r\n\r\n";
    for (;;) {
        char out[SERVER_TEXT] = "";
        int c = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (c < 0)
            return NULL;
        pthread_mutex_lock(&s->mu);
        bool stop = s->stop;
        unsigned n = s->nseen;
        pthread_mutex_unlock(&s->mu);
        if (stop || n == SERVER_SEEN) {
            (void)!write(c, busy, sizeof busy - 1);
            close(c);
            if (stop)
                return NULL;
            continue;
        }
        if (server_read(c, s->seen[n]) == 0) {
            close(c);
            continue;
        }
        pthread_mutex_lock(&s->mu);
        s->nseen++;
        pthread_cond_broadcast(&s->cond);
        pthread_mutex_unlock(&s->mu);
        s->answer(s, n, s->seen[n], out);
        if (!out[0]) {
            s->held[s->nheld++] = c;
            continue;
        }
        (void)!write(c, out, strlen(out));
        close(c);
    }
}

UNUSED static void server_start(struct server *s,
                                void (*answer)(struct server *, unsigned, const char *, char *))
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->cond, NULL);
    s->answer = answer;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(s->fd, 0);
    ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(s->fd, 16), 0);
    ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    snprintf(s->connect_to, sizeof s->connect_to, "::127.0.0.1:%u", s->port);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, server_run, s), 0);
}

UNUSED static void server_stop(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)s->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_mutex_lock(&s->mu);
    s->stop = true;
    pthread_mutex_unlock(&s->mu);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(c, (struct sockaddr *)&a, sizeof a), 0); /* ends its accept */
    pthread_join(s->thread, NULL);
    close(c);
    close(s->fd);
    for (unsigned i = 0; i < s->nheld; i++)
        close(s->held[i]);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mu);
}

/* Waits until n requests have come. */
UNUSED static void server_wait(struct server *s, unsigned n)
{
    pthread_mutex_lock(&s->mu);
    while (s->nseen < n)
        pthread_cond_wait(&s->cond, &s->mu);
    pthread_mutex_unlock(&s->mu);
}

UNUSED static unsigned server_seen(struct server *s)
{
    pthread_mutex_lock(&s->mu);
    unsigned n = s->nseen;
    pthread_mutex_unlock(&s->mu);
    return n;
}

/* Sends every host of the configuration's requests to s. */
UNUSED static void fixture_reach(struct fixture *f, struct server *s)
{
    f->connect_to[0] = s->connect_to;
    f->conf.connect_to.n = 1;
}

UNUSED static void respond(char out[SERVER_TEXT], int status, const char *body)
{
    snprintf(out, SERVER_TEXT, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
}

/* An STS response. */
UNUSED static void respond_sts(char out[SERVER_TEXT], const char *key, const char *expiry_name,
                               const char *expiry)
{
    char body[2048];
    snprintf(body, sizeof body,
             "{\"ResponseMetadata\":{\"RequestId\":\"r1\"},\"Result\":{\"Credentials\":{"
             "\"AccessKeyId\":\"AKTP%s\",\"SecretAccessKey\":\"secret-%s\","
             "\"SessionToken\":\"token-%s\",\"%s\":\"%s\"}}}",
             key, key, key, expiry_name, expiry);
    respond(out, 200, body);
}

UNUSED static int fixture_main(Suite *s)
{
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
