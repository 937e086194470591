/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the routing tests: a configuration and a request head, and what must come of them. */
#ifndef SIGFERRY_TESTS_PROXY_ROUTE_FIXTURE_H
#define SIGFERRY_TESTS_PROXY_ROUTE_FIXTURE_H

#include "fixture.h"

#define BASE "region = \"cn-beijing\";\nclient_side_validation = false;\n"
#define LINE "GET /?Action=Do&Version=2020-01-01 HTTP/1.1\n"
#define LOOP "Host: 127.0.0.1:8750\n"
#define ECS  "X-Sigferry-Service: ecs\n"
#define HMAC(ak, region, service)                                                                  \
    "Authorization: HMAC-SHA256 Credential=" ak "/20200101/" region "/" service                    \
    "/request, SignedHeaders=host;x-date, Signature=00\n"
#define HASH "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

struct row {
    const char *conf, *head;
    enum err e;
    const char *service, *region, *host; /* expected with ERR_OK; NULL: not looked at */
    const char *why;                     /* part of the message on a refusal */
};

static inline void run_row(const struct row *row, bool is_unix)
{
    struct conf *c = fixture_conf(row->conf);
    struct fixture f;
    fixture_init(&f, c);
    f.listener.is_unix = is_unix;
    f.listener.port = is_unix ? 0 : FIXTURE_PORT;
    enum err e = fixture_run(&f, c, row->head);
    ck_assert_msg(e == row->e, "%s: %s (%s), not %s", row->head, err_code(e), f.why.text,
                  err_code(row->e));
    if (row->service)
        fixture_same(f.route.service, row->service, "service", row->head);
    if (row->region)
        fixture_same(f.route.region, row->region, "region", row->head);
    if (row->host)
        fixture_same(f.route.host_header, row->host, "host", row->head);
    if (row->why)
        ck_assert_msg(strstr(f.why.text, row->why), "%s: '%s' lacks '%s'", row->head, f.why.text,
                      row->why);
    if (e == ERR_OK)
        ck_assert(f.route.host.p[f.route.host.n] == '\0');
    fixture_free(&f);
    conf_unref(c);
}

#define RUN(rows, is_unix)                                                                         \
    for (size_t i_ = 0; i_ < ARRAY_LEN(rows); i_++)                                                \
    run_row(&(rows)[i_], is_unix)

#endif
