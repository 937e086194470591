/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking request: what leaves, what is taken for an answer, and that nothing of libcurl's
 * own ideas (environment proxies, redirects, HTTP/0.9, half heads) gets through. */
#include "../cred/fixture.h"
#include "io/fetch.h"

#include <sys/eventfd.h>

static struct server srv;
static const char *raw; /* the whole answer; "": none */
static struct fetch_net net;
static struct fetch_request q;
static struct fetch_response r;
static struct err_detail why;
static char url[128];

static void answer(struct server *s, unsigned n, const char *request, char *out)
{
    (void)s, (void)n, (void)request;
    snprintf(out, SERVER_TEXT, "%s", raw);
}

static void set_up(void)
{
    clearenv();
    raw = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    server_start(&srv, answer);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/a/../b?x=%%20", srv.port);
    net = (struct fetch_net){.ca_file = ""};
    q = (struct fetch_request){.method = "GET",
                               .url = url,
                               .connect_ns = 5 * NS_PER_SEC,
                               .read_ns = 5 * NS_PER_SEC,
                               .cancel_fd = -1};
    buf_init(&r.body, 1000);
    why.text[0] = '\0';
}

static void tear_down(void)
{
    buf_free(&r.body);
    server_stop(&srv);
}

static enum err run(void)
{
    buf_reset(&r.body);
    return fetch_run(&q, &net, &r, &why);
}

START_TEST(a_plain_get)
{
    char want[256], at[64];
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_int_eq(r.status, 200);
    ck_assert(str_eq(buf_str(&r.body), STR("hi")));
    snprintf(want, sizeof want,
             "GET /a/../b?x=%%20 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: */*\r\n\r\n", srv.port);
    ck_assert_str_eq(srv.seen[0], want);
    snprintf(at, sizeof at, "127.0.0.1:%u", srv.port);
    ck_assert_str_eq(r.address, at);
}
END_TEST

START_TEST(headers_and_body)
{
    const char *const headers[] = {"X-One: 1", "Content-Type: text/x"};
    q.method = "POST";
    q.headers = headers;
    q.nheaders = 2;
    q.body = STR("a=1&b");
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "POST /a/../b"));
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "\r\nX-One: 1\r\n"));
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "\r\nContent-Type: text/x\r\n"));
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "\r\nContent-Length: 5\r\n"));
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "\r\n\r\na=1&b"));
    ck_assert_ptr_null(strcasestr(srv.seen[0], "expect"));
}
END_TEST

START_TEST(put_without_a_body)
{
    q.method = "PUT";
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "PUT /a"));
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "\r\nContent-Length: 0\r\n"));
}
END_TEST

START_TEST(head_has_no_body)
{
    raw = "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n\r\n";
    q.method = "HEAD";
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_str_eq(r.date, "Sat, 21 Nov 2026 00:00:00 GMT");
    ck_assert_uint_eq(r.body.n, 0);
}
END_TEST

START_TEST(headers_of_the_final_head_only)
{
    raw = "HTTP/1.1 103 Early\r\nDate: early\r\nX-Tt-Logid: early\r\n\r\n"
          "HTTP/1.1 200 OK\r\ndate:  late \r\nTransfer-Encoding: chunked\r\n\r\n"
          "2\r\nhi\r\n0\r\nX-Tt-Logid: trailer\r\n\r\n";
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_str_eq(r.date, "late");
    ck_assert_str_eq(r.request_id, "");
    ck_assert(str_eq(buf_str(&r.body), STR("hi")));
}
END_TEST

START_TEST(any_status_is_an_answer)
{
    raw = "HTTP/1.1 503 Busy\r\nX-Tt-Logid: id1\r\nContent-Length: 0\r\n\r\n";
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_int_eq(r.status, 503);
    ck_assert_str_eq(r.request_id, "id1");
}
END_TEST

START_TEST(redirects_are_answers)
{
    raw = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_int_eq(r.status, 302);
    ck_assert_uint_eq(server_seen(&srv), 1);
}
END_TEST

static const struct {
    const char *raw;
    enum err e;
} broken[] = {
    {"HTTP/1.1 200 OK\r\nContent-Le", ERR_RESET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", ERR_RESET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", ERR_RESET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", ERR_RESET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n", ERR_RESET},
    {"just text", ERR_PROTOCOL},
};

START_TEST(answers_that_are_cut_or_none)
{
    raw = broken[_i].raw;
    ck_assert_msg(run() == broken[_i].e, "%s", why.text);
    ck_assert_ptr_nonnull(strstr(why.text, "http://127.0.0.1:"));
    ck_assert_ptr_null(strstr(why.text, "/b"));
    ck_assert_uint_eq(r.body.n, 0);
}
END_TEST

START_TEST(the_answer_is_bounded)
{
    static char big[2000];
    int n = snprintf(big, sizeof big, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    memset(big + n, 'x', 1001);
    raw = big;
    ck_assert_int_eq(run(), ERR_BODY_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(why.text, "larger than 1000 bytes"));
    n = snprintf(big, sizeof big, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    memset(big + n, 'x', 1000);
    big[n + 1000] = '\0';
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_uint_eq(r.body.n, 1000);
}
END_TEST

START_TEST(a_silent_server)
{
    raw = "";
    q.connect_ns = NS_PER_SEC;
    q.read_ns = 100 * NS_PER_MS;
    uint64_t t = clock_fresh_ns();
    ck_assert_int_eq(run(), ERR_READ_TIMEOUT);
    ck_assert_uint_lt(clock_fresh_ns() - t, 5 * NS_PER_SEC);
}
END_TEST

START_TEST(nobody_listens)
{
    snprintf(url, sizeof url, "http://127.0.0.1:1/");
    ck_assert_int_eq(run(), ERR_CONNECT);
    snprintf(url, sizeof url, "http://no-such-name.invalid/");
    enum err e = run();
    ck_assert(e == ERR_RESOLVE || e == ERR_CONNECT_TIMEOUT);
}
END_TEST

static void *cancel_later(void *arg)
{
    uint64_t one = 1;
    server_wait(&srv, 1);
    ck_assert_int_eq(write(*(int *)arg, &one, sizeof one), sizeof one);
    return NULL;
}

START_TEST(another_thread_can_end_it)
{
    pthread_t t;
    int fd = eventfd(0, EFD_CLOEXEC);
    raw = "";
    q.read_ns = 60 * NS_PER_SEC;
    q.cancel_fd = fd;
    ck_assert_int_eq(pthread_create(&t, NULL, cancel_later, &fd), 0);
    ck_assert_int_eq(run(), ERR_SHUTTING_DOWN); /* else it would be a time-out, a minute later */
    pthread_join(t, NULL);
    close(fd);
}
END_TEST

START_TEST(the_environment_means_nothing)
{
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:1");
    setenv("http_proxy", proxy, 1);
    setenv("ALL_PROXY", proxy, 1);
    setenv("HOME", "/nonexistent", 1);
    ck_assert_int_eq(run(), ERR_OK);
}
END_TEST

/* libcurl quotes the whole URL of a proxy that it can't read. */
START_TEST(a_proxys_password_is_in_no_reason)
{
    static const char *const bad[] = {"http://u:hunter2@two@127.0.0.1:1", "hunter2://127.0.0.1:1",
                                      "http://u:hunter2@[zz::1]:1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        net.http_proxy = bad[i];
        ck_assert_int_ne(run(), ERR_OK);
        ck_assert_msg(!strstr(why.text, "hunter2"), "%s", why.text);
        ck_assert_ptr_nonnull(strstr(why.text, "proxy.http_proxy"));
    }
}
END_TEST

START_TEST(a_proxy_is_tunnelled_through)
{
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", srv.port);
    snprintf(url, sizeof url, "http://upstream.example/x");
    net.http_proxy = proxy;
    raw = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    ck_assert_int_ne(run(), ERR_OK); /* the proxy's answer is not the upstream's */
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "CONNECT upstream.example:80 HTTP/1.1\r\n"));
    q.direct = true;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", srv.port);
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_ptr_nonnull(strstr(srv.seen[1], "GET / "));
    q.direct = false;
    net.no_proxy = "127.0.0.1";
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_ptr_nonnull(strstr(srv.seen[2], "GET / "));
}
END_TEST

START_TEST(connect_to_keeps_the_host)
{
    const char *to = srv.connect_to;
    net.connect_to = &to;
    net.nconnect_to = 1;
    snprintf(url, sizeof url, "http://some.example:81/");
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_ptr_nonnull(strstr(srv.seen[0], "\r\nHost: some.example:81\r\n"));
}
END_TEST

START_TEST(only_http)
{
    snprintf(url, sizeof url, "file:///etc/passwd");
    ck_assert_int_ne(run(), ERR_OK);
    ck_assert_uint_eq(r.body.n, 0);
}
END_TEST

START_TEST(a_handshake_that_hangs_is_a_connect_timeout)
{
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", srv.port); /* it waits for a request's end */
    q.connect_ns = 200 * NS_PER_MS;
    net.insecure = true; /* where packages are built there is no CA bundle */
    ck_assert_int_eq(run(), ERR_CONNECT_TIMEOUT);
}
END_TEST

START_TEST(no_key_log)
{
    setenv("SSLKEYLOGFILE", "/nonexistent/keys", 1);
    ck_assert_int_eq(run(), ERR_OK);
    ck_assert_ptr_null(getenv("SSLKEYLOGFILE"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fetch");
    TCase *c = tcase_create("fetch");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, no_key_log); /* the first one: initialising happens once */
    tcase_add_test(c, a_plain_get);
    tcase_add_test(c, headers_and_body);
    tcase_add_test(c, put_without_a_body);
    tcase_add_test(c, head_has_no_body);
    tcase_add_test(c, headers_of_the_final_head_only);
    tcase_add_test(c, any_status_is_an_answer);
    tcase_add_test(c, redirects_are_answers);
    tcase_add_loop_test(c, answers_that_are_cut_or_none, 0, (int)ARRAY_LEN(broken));
    tcase_add_test(c, the_answer_is_bounded);
    tcase_add_test(c, a_silent_server);
    tcase_add_test(c, nobody_listens);
    tcase_add_test(c, another_thread_can_end_it);
    tcase_add_test(c, the_environment_means_nothing);
    tcase_add_test(c, a_proxys_password_is_in_no_reason);
    tcase_add_test(c, a_proxy_is_tunnelled_through);
    tcase_add_test(c, connect_to_keeps_the_host);
    tcase_add_test(c, only_http);
    tcase_add_test(c, a_handshake_that_hangs_is_a_connect_timeout);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
