/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/log: each replaces standard error by a descriptor it can look behind. */
#include "base/clock.h"
#include "base/log.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int real_stderr;
static char dir[64];
static const struct log_options to_stderr = {.level = LOG_INFO, .format = LOG_TEXT};

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/sigferry-log-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    real_stderr = dup(2);
    ck_assert_int_ge(real_stderr, 0);
    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
}

static void teardown(void)
{
    dup2(real_stderr, 2);
    close(real_stderr);
    ck_assert(log_open(&to_stderr));
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

/* What can be read at once, NUL-terminated. */
static const char *drain(int fd)
{
    static char text[1 << 20];
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n < sizeof(text) - 1 && poll(&p, 1, 0) == 1) {
        ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    text[n] = '\0';
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void pipe_as_stderr(int fd[2])
{
    ck_assert_int_eq(pipe(fd), 0);
    ck_assert_int_eq(dup2(fd[1], 2), 2);
}

static const char *path(const char *name)
{
    static char text[128];
    snprintf(text, sizeof(text), "%s/%s", dir, name);
    return text;
}

static const char *contents(const char *name)
{
    int fd = open(path(name), O_RDONLY);
    ck_assert_int_ge(fd, 0);
    const char *text = drain(fd);
    close(fd);
    return text;
}

START_TEST(file_that_cannot_be_opened)
{
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    char bad[128];
    snprintf(bad, sizeof(bad), "%s/no/such/dir", dir);
    struct log_options o = {.level = LOG_DEBUG, .format = LOG_JSON, .file = bad};
    errno = 0;
    ck_assert(!log_open(&o));
    ck_assert_int_eq(errno, ENOENT);
    /* The earlier log stays, with its settings. */
    ck_assert(!log_on(LOG_DEBUG));
    log_msg(LOG_INFO, "still %s", "here");
    ck_assert_ptr_nonnull(strstr(drain(fd[0]), "level=info msg=\"still here\"\n"));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(full_pipe_drops_and_counts)
{
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    uint64_t before = log_dropped();
    char big[3000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (int i = 0; i < 100; i++) /* 300 kB into 64 KiB that nobody reads */
        log_msg(LOG_INFO, "%s", big);
    uint64_t lost = log_dropped() - before;
    ck_assert_uint_gt(lost, 0);
    const char *text = drain(fd[0]);
    ck_assert_uint_eq(count(text, "time="), 100 - lost);
    ck_assert_uint_eq(count(text, "\n"), 100 - lost);
    /* Others who share the pipe still wait as they did. */
    ck_assert_int_eq(fcntl(2, F_GETFL) & O_NONBLOCK, 0);
    log_msg(LOG_INFO, "room again");
    ck_assert_ptr_nonnull(strstr(drain(fd[0]), "room again"));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

/* Fills what nobody reads, with lines as they are and with gathered ones; errno stays. */
static void assert_never_waits(void)
{
    uint64_t before = log_dropped();
    char big[3000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        errno = 42;
        log_msg(LOG_INFO, "%s", big);
        ck_assert_int_eq(errno, 42);
    }
    ck_assert_uint_gt(log_dropped(), before);
    before = log_dropped();
    log_gather(true);
    log_fields(LOG_INFO, big, &(struct log_field){.name = "f"}, 1);
    log_flush();
    ck_assert_int_eq(errno, 42);
    log_gather(false);
    ck_assert_uint_eq(log_dropped() - before, 1);
}

START_TEST(full_pipe_that_cannot_be_opened_anew)
{
    struct rlimit old, none;
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool opened = log_open(&to_stderr);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert(opened);
    assert_never_waits();
    const char *text = drain(fd[0]);
    ck_assert_uint_eq(count(text, "time="), count(text, "\n"));
    ck_assert_int_eq(fcntl(2, F_GETFL) & O_NONBLOCK, 0);
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(full_pipe_as_file)
{
    const char *name = path("fifo");
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    struct log_options o = {.level = LOG_INFO, .format = LOG_TEXT, .file = name};
    ck_assert(!log_open(&o)); /* nobody there to read */
    ck_assert_int_eq(errno, ENXIO);
    int reader = open(name, O_RDONLY | O_NONBLOCK);
    ck_assert_int_ge(reader, 0);
    ck_assert(log_open(&o));
    assert_never_waits();
    ck_assert_ptr_nonnull(strstr(drain(reader), "xxx\"\n"));
    close(reader);
}
END_TEST

/* Standard error is a socket: fd[1], which fd[0] is the other end of. */
static void log_to_socket(int fd[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    ck_assert_int_eq(dup2(fd[1], 2), 2);
    ck_assert(log_open(&to_stderr));
}

START_TEST(socket_whose_other_end_is_gone)
{
    int fd[2];
    log_to_socket(fd);
    close(fd[0]);
    uint64_t before = log_dropped();
    log_msg(LOG_INFO, "nobody reads this"); /* and no SIGPIPE comes */
    ck_assert_uint_eq(log_dropped() - before, 1);
    close(fd[1]);
}
END_TEST

START_TEST(full_socket_drops_and_counts)
{
    int fd[2];
    log_to_socket(fd);
    uint64_t before = log_dropped();
    for (int i = 0; i < 20000; i++)
        log_msg(LOG_INFO, "line %05d ----------------------------------------", i);
    uint64_t lost = log_dropped() - before;
    ck_assert_uint_gt(lost, 0);
    ck_assert_ptr_nonnull(strstr(drain(fd[0]), "line 00000"));
    ck_assert_int_eq(fcntl(2, F_GETFL) & O_NONBLOCK, 0);
    log_msg(LOG_INFO, "room again");
    const char *text = drain(fd[0]);
    ck_assert_ptr_nonnull(strstr(text, "room again\"\n"));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(closed_stderr_drops)
{
    for (int held = 0; held < 2; held++) { /* its place empty, or held by what can't be written */
        close(2);
        if (held)
            ck_assert_int_eq(open("/dev/null", O_RDONLY), 2);
        ck_assert(log_open(&to_stderr));
        uint64_t before = log_dropped();
        errno = 42;
        log_msg(LOG_INFO, "nowhere");
        ck_assert_int_eq(errno, 42);
        ck_assert_uint_eq(log_dropped(), before + 1);
    }
}
END_TEST

START_TEST(repeated_warnings_are_limited)
{
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    for (int i = 0; i < 1000; i++) {
        log_msg(LOG_WARN, "upstream %d is down", i);
        if (i % 2 == 0)
            log_msg(LOG_INFO, "all is well");
    }
    const char *text = drain(fd[0]);
    /* A slow machine may see more than one second pass. */
    ck_assert_uint_ge(count(text, "is down"), 10);
    ck_assert_uint_lt(count(text, "is down"), 200);
    ck_assert_uint_eq(count(text, "all is well"), 500);
    size_t shown = count(text, "is down\"");
    uint64_t until = clock_fresh_ns() + NS_PER_SEC + 50 * NS_PER_MS;
    while (clock_fresh_ns() < until)
        (void)poll(NULL, 0, 10);
    unsigned told = 0;
    for (const char *p = text; (p = strstr(p, "similar lines suppressed")); p++) {
        const char *q = p - 2;
        while (q > text && q[-1] >= '0' && q[-1] <= '9')
            q--;
        told += (unsigned)strtoul(q, NULL, 10);
    }
    log_msg(LOG_INFO, "later"); /* any line brings out what was counted */
    text = drain(fd[0]);
    char want[96];
    snprintf(want, sizeof(want),
             "level=warn msg=\"%zu similar lines suppressed: upstream %%d is down",
             1000 - shown - told);
    ck_assert_msg(strstr(text, want), "no '%s' in '%s'", want, text);
    close(fd[0]);
    close(fd[1]);
}
END_TEST

/* Wherever two formats stand: the limit holds for each of them. */
START_TEST(two_repeated_warnings_are_limited)
{
    static const char first[] __attribute__((aligned(256))) = "the first, %d";
    static const char second[] __attribute__((aligned(256))) = "the second, %d";
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    for (int i = 0; i < 400; i++) {
        log_msg(LOG_WARN, first, i);
        log_msg(LOG_WARN, second, i);
    }
    const char *text = drain(fd[0]);
    ck_assert_uint_ge(count(text, "the first, "), 10);
    ck_assert_uint_lt(count(text, "the first, "), 200);
    ck_assert_uint_ge(count(text, "the second, "), 10);
    ck_assert_uint_lt(count(text, "the second, "), 200);
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(levels_and_categories)
{
    int fd[2];
    pipe_as_stderr(fd);
    struct log_options o = {.level = LOG_WARN, .format = LOG_TEXT, .debug = LOGD_RETRIES};
    ck_assert(log_open(&o));
    int evaluated = 0;
    log_msg(LOG_INFO, "%d", ++evaluated);
    log_debug(LOGD_SIGNING, "%d", ++evaluated);
    log_fields(LOG_INFO, "no", NULL, 0);
    ck_assert_int_eq(evaluated, 0);
    ck_assert_str_eq(drain(fd[0]), "");
    log_debug(LOGD_RETRIES, "%s", "again");
    log_msg(LOG_ERROR, "bad");
    log_fields(LOG_DEBUG, "fine", NULL, 0);
    const char *text = drain(fd[0]);
    ck_assert_ptr_nonnull(strstr(text, "level=debug msg=\"again\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "level=error msg=\"bad\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "level=debug msg=\"fine\"\n"));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(journal_is_recognised)
{
    int fd[2];
    struct stat st;
    char env[64];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    ck_assert_int_eq(dup2(fd[1], 2), 2);
    ck_assert_int_eq(fstat(2, &st), 0);
    snprintf(env, sizeof(env), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
    ck_assert_int_eq(setenv("JOURNAL_STREAM", env, 1), 0);
    ck_assert(log_open(&to_stderr));
    log_msg(LOG_WARN, "other stream");
    ck_assert(str_starts(str_of(drain(fd[0])), STR("time=")));
    snprintf(env, sizeof(env), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    ck_assert_int_eq(setenv("JOURNAL_STREAM", env, 1), 0);
    ck_assert(log_open(&to_stderr));
    log_msg(LOG_WARN, "ours");
    ck_assert_str_eq(drain(fd[0]), "<4>level=warn msg=\"ours\"\n");
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(file_is_reopened)
{
    char name[128], moved[128];
    snprintf(name, sizeof(name), "%s", path("log"));
    snprintf(moved, sizeof(moved), "%s", path("log.1"));
    struct log_options o = {
        .level = LOG_INFO, .format = LOG_TEMPLATE, .template = "%(message)s", .file = name};
    ck_assert(log_open(&o));
    log_msg(LOG_INFO, "one");
    ck_assert_int_eq(rename(name, moved), 0);
    log_msg(LOG_INFO, "two");
    log_reopen();
    log_msg(LOG_INFO, "three");
    ck_assert_str_eq(contents("log.1"), "one\ntwo\n");
    ck_assert_str_eq(contents("log"), "three\n");
    /* A name that no longer opens: the open file goes on and says so. */
    ck_assert_int_eq(unlink(moved), 0);
    ck_assert_int_eq(rename(name, moved), 0);
    ck_assert_int_eq(mkdir(name, 0700), 0);
    log_reopen();
    log_msg(LOG_INFO, "four");
    const char *text = contents("log.1");
    ck_assert_ptr_nonnull(strstr(text, "could not be opened again"));
    ck_assert_ptr_nonnull(strstr(text, "four\n"));
}
END_TEST

/* Logs what while files may grow to `size` bytes only; whether it was so. */
static bool log_limited(rlim_t size, const char *what)
{
    struct rlimit old, small;
    if (getrlimit(RLIMIT_FSIZE, &old) != 0)
        return false;
    small = old;
    small.rlim_cur = size;
    if (setrlimit(RLIMIT_FSIZE, &small) != 0)
        return false;
    log_msg(LOG_INFO, "%s", what);
    return setrlimit(RLIMIT_FSIZE, &old) == 0;
}

/* A full disk cuts a line. The next one begins on its own all the same, also when the log was
 * opened again meanwhile, on the same file or on another. */
START_TEST(line_after_a_cut_one)
{
    char name[128], moved[128];
    snprintf(name, sizeof(name), "%s", path("cut"));
    snprintf(moved, sizeof(moved), "%s", path("cut.1"));
    const struct log_options o = {
        .level = LOG_INFO, .format = LOG_TEMPLATE, .template = "%(message)s", .file = name};
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    uint64_t lost = log_dropped();
    ck_assert(log_open(&o));
    log_msg(LOG_INFO, "one");
    ck_assert(log_limited(6, "two")); /* "one\ntw" */
    log_msg(LOG_INFO, "three");
    ck_assert(log_limited(14, "four")); /* … "\nthree\nf" */
    ck_assert(log_limited(14, "lost")); /* not even the newline */
    log_reopen();
    log_msg(LOG_INFO, "five");
    ck_assert(log_limited(21, "six")); /* … "\nfive\ns" */
    ck_assert(log_open(&o));
    log_msg(LOG_INFO, "seven");
    ck_assert(log_limited(29, "eight")); /* … "\nseven\ne" */
    ck_assert_int_eq(rename(name, moved), 0);
    log_reopen();
    log_msg(LOG_INFO, "nine");
    signal(SIGXFSZ, before);
    ck_assert_uint_eq(log_dropped() - lost, 5);
    ck_assert_str_eq(contents("cut.1"), "one\ntw\nthree\nf\nfive\ns\nseven\ne");
    ck_assert_str_eq(contents("cut"), "nine\n");
}
END_TEST

START_TEST(file_on_stderr_is_appended_to)
{
    int fd = open(path("err"), O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "before\n", 7), 7);
    ck_assert_int_eq(dup2(fd, 2), 2);
    ck_assert(log_open(&to_stderr));
    log_msg(LOG_INFO, "m");
    ck_assert_int_eq(write(fd, "after\n", 6), 6);
    close(fd);
    const char *text = contents("err");
    ck_assert(str_starts(str_of(text), STR("before\ntime=")));
    ck_assert_ptr_nonnull(strstr(text, "msg=\"m\"\nafter\n"));
}
END_TEST

static void *chatter(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        log_msg(LOG_INFO, "thread %s says %d", (const char *)arg, i);
        log_msg(LOG_WARN, "thread %s warns %d", (const char *)arg, i);
    }
    return NULL;
}

START_TEST(threads_do_not_mix_lines)
{
    char name[128];
    snprintf(name, sizeof(name), "%s", path("threads"));
    struct log_options o = {.level = LOG_INFO, .format = LOG_TEXT, .file = name};
    ck_assert(log_open(&o));
    static char names[4][2] = {"a", "b", "c", "d"};
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, chatter, names[i]), 0);
    for (int i = 0; i < 20; i++) {
        o.format = i % 2 ? LOG_JSON : LOG_TEXT;
        ck_assert(log_open(&o));
        log_reopen();
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    FILE *f = fopen(name, "r");
    char text[512];
    size_t lines = 0, said = 0;
    while (fgets(text, sizeof(text), f)) {
        lines++;
        said += strstr(text, " says ") != NULL;
        ck_assert_msg(str_starts(str_of(text), STR("time=")) ||
                          str_starts(str_of(text), STR("{\"time\":")),
                      "%s", text);
        ck_assert_int_eq(text[strlen(text) - 1], '\n');
    }
    fclose(f);
    ck_assert_uint_eq(said, 8000);
    ck_assert_uint_gt(lines, said);
}
END_TEST

static void say(const char *what, size_t padding)
{
    static char pad[4000];
    memset(pad, 'p', sizeof(pad));
    const struct log_field f[] = {{.name = "what", .value = str_of(what)},
                                  {.name = "pad", .value = str_n(pad, padding)}};
    log_fields(LOG_INFO, "access", f, ARRAY_LEN(f));
}

START_TEST(gathered_lines_wait_for_the_flush)
{
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    log_gather(true);
    say("one", 1);
    say("two", 1);
    ck_assert_str_eq(drain(fd[0]), "");
    log_flush();
    const char *text = drain(fd[0]);
    ck_assert_uint_eq(count(text, "\n"), 2);
    ck_assert(strstr(text, "what=one") < strstr(text, "what=two"));
    /* What is not an access line waits for nothing, and does not overtake. */
    say("three", 1);
    log_msg(LOG_INFO, "four");
    text = drain(fd[0]);
    ck_assert_ptr_nonnull(strstr(text, "what=three"));
    ck_assert(strstr(text, "what=three") < strstr(text, "msg=\"four\""));
    say("five", 1);
    log_gather(false);
    ck_assert_ptr_nonnull(strstr(drain(fd[0]), "what=five"));
    say("six", 1);
    ck_assert_ptr_nonnull(strstr(drain(fd[0]), "what=six"));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(many_gathered_lines_stay_whole)
{
    int fd[2];
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    uint64_t before = log_dropped();
    log_gather(true);
    for (int i = 0; i < 30; i++) /* more than a pipe takes whole at a time */
        say("line", 1000);
    ck_assert_ptr_nonnull(strstr(drain(fd[0]), "what=line"));
    for (int i = 0; i < 500; i++) /* 500 kB into 64 KiB that nobody reads */
        say("line", 1000);
    log_flush();
    uint64_t lost = log_dropped() - before;
    ck_assert_uint_gt(lost, 0);
    const char *text = drain(fd[0]);
    size_t left = count(text, "time="), ends = count(text, "pppp\n");
    ck_assert_uint_eq(left, ends);
    ck_assert_uint_lt(left, 500);
    ck_assert_uint_ge(left + lost, 500);
    ck_assert_uint_le(left + lost, 530);
    log_gather(false);
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(gathered_lines_follow_a_new_log)
{
    int fd[2];
    struct log_options o = {.level = LOG_INFO, .format = LOG_TEXT, .file = path("gathered")};
    ck_assert(log_open(&o));
    log_gather(true);
    for (int i = 0; i < 20; i++)
        say("line", 1000);
    ck_assert_str_eq(contents("gathered"), ""); /* a file takes more at a time */
    pipe_as_stderr(fd);
    ck_assert(log_open(&to_stderr));
    log_flush();
    const char *text = drain(fd[0]);
    ck_assert_uint_eq(count(text, "time="), 20);
    ck_assert_uint_eq(count(text, "pppp\n"), 20);
    /* Datagrams: a line each. */
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    ck_assert_int_eq(dup2(pair[1], 2), 2);
    say("left", 1);
    ck_assert(log_open(&to_stderr));
    say("next", 1);
    char got[256];
    ssize_t n = recv(pair[0], got, sizeof(got) - 1, MSG_DONTWAIT);
    ck_assert_int_gt(n, 0);
    got[n] = '\0';
    ck_assert_ptr_nonnull(strstr(got, "what=left"));
    n = recv(pair[0], got, sizeof(got) - 1, MSG_DONTWAIT);
    ck_assert_int_gt(n, 0);
    got[n] = '\0';
    ck_assert_ptr_nonnull(strstr(got, "what=next"));
    /* Nowhere: each is counted once. */
    o.file = path("gathered");
    ck_assert(log_open(&o));
    for (int i = 0; i < 20; i++)
        say("line", 1000);
    uint64_t before = log_dropped();
    close(2);
    ck_assert(log_open(&to_stderr));
    log_flush();
    ck_assert_uint_eq(log_dropped() - before, 20);
    log_gather(false);
    for (int i = 0; i < 2; i++) {
        close(fd[i]);
        close(pair[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, file_that_cannot_be_opened);
    tcase_add_test(t, full_pipe_drops_and_counts);
    tcase_add_test(t, full_pipe_that_cannot_be_opened_anew);
    tcase_add_test(t, full_pipe_as_file);
    tcase_add_test(t, socket_whose_other_end_is_gone);
    tcase_add_test(t, full_socket_drops_and_counts);
    tcase_add_test(t, closed_stderr_drops);
    tcase_add_test(t, repeated_warnings_are_limited);
    tcase_add_test(t, two_repeated_warnings_are_limited);
    tcase_add_test(t, levels_and_categories);
    tcase_add_test(t, journal_is_recognised);
    tcase_add_test(t, file_is_reopened);
    tcase_add_test(t, line_after_a_cut_one);
    tcase_add_test(t, file_on_stderr_is_appended_to);
    tcase_add_test(t, threads_do_not_mix_lines);
    tcase_add_test(t, gathered_lines_wait_for_the_flush);
    tcase_add_test(t, many_gathered_lines_stay_whole);
    tcase_add_test(t, gathered_lines_follow_a_new_log);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
