/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxy's unit tests share: a configuration from text, a request head from text, and both
 * run through the gate and the router. Each test program is its own translation unit. */
#ifndef SIGFERRY_TESTS_PROXY_FIXTURE_H
#define SIGFERRY_TESTS_PROXY_FIXTURE_H

#include "base/secret.h"
#include "proxy/route.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A configuration file with that text, loaded; aborts the test when it does not load. */
static inline struct conf *fixture_conf(const char *text)
{
    char path[] = "/tmp/sigferry-test-XXXXXX";
    struct buf errs;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(close(fd), 0);
    buf_init(&errs, 65536);
    struct conf *c = conf_load(&(struct conf_args){.config = path}, &errs);
    (void)unlink(path);
    ck_assert_msg(c != NULL, "%.*s in:\n%s", (int)errs.n, errs.p ? errs.p : "", text);
    buf_free(&errs);
    return c;
}

enum { FIXTURE_PORT = 8750 };

/* One request from its text to its route. */
struct fixture {
    struct hdr store[GATE_MAX_HEADERS + 10];
    struct gate_head head;
    struct gate_verdict verdict;
    struct route_listener listener;
    struct arena arena;
    struct route route;
    struct err_detail why;
};

static inline void fixture_init(struct fixture *f, const struct conf *c)
{
    memset(f, 0, sizeof(*f));
    arena_init(&f->arena, 8192, 1 << 20);
    f->listener = (struct route_listener){.conf = &c->listen[0], .port = FIXTURE_PORT};
}

static inline void fixture_free(struct fixture *f)
{
    arena_free(&f->arena);
}

/* Lines end in '\n'; header lines are "Name: value". The text must outlive the fixture. */
static inline void fixture_parse(struct fixture *f, const char *text)
{
    struct str rest = str_of(text), line = str_cut(&rest, '\n');
    f->head = (struct gate_head){.hdrs = {f->store, 0, ARRAY_LEN(f->store)}};
    f->head.method = str_cut(&line, ' ');
    f->head.target = str_cut(&line, ' ');
    f->head.version = line.p ? line : STR("HTTP/1.1");
    while (rest.n) {
        line = str_cut(&rest, '\n');
        struct str name = str_cut(&line, ':');
        ck_assert(hdrs_add(&f->head.hdrs, name, line.p ? line : STR("")));
    }
}

/* Gate, then route. */
static inline enum err fixture_run(struct fixture *f, const struct conf *c, const char *text)
{
    fixture_parse(f, text);
    enum err e = gate_check(&f->head, UINT64_C(1) << 28, &f->verdict, &f->why);
    if (e)
        return e;
    return route_request(c, &f->listener, &f->head, &f->verdict, &f->arena, &f->route, &f->why);
}

static inline void fixture_same(struct str got, const char *want, const char *what,
                                const char *where)
{
    ck_assert_msg(str_eq(got, str_of(want)), "%s: %s is '%.*s', not '%s'", where, what, (int)got.n,
                  got.n ? got.p : "", want);
}

static inline int fixture_main(Suite *s)
{
    (void)clearenv(); /* nothing of the caller's may reach a configuration */
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
