/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a proxied request: rows of event, state after it, what settle is asked to do. Links
 * tests/fake instead of io/front, io/up and base/clock. */
#include "proxy/xfer.h"

#include "../../fake/fake.h"
#include "fixture.h"
#include <time.h>

enum event {
    OPEN,    /* arg: the request head */
    BODY,    /* arg: bytes; n: how many of 'b' instead */
    END,     /* of the body */
    UP,      /* arg: bytes of the upstream's response */
    UP_DATA, /* n bytes of response body */
    FAIL,    /* n: enum err */
    PASS,    /* n milliseconds, then the timers */
    SETTLE,  /* proxy_settle; n: the upstream takes nothing of the body */
    REPLY,   /* ask for the answer; n: the status it must have, 0 for none yet */
    PULL,    /* n: bytes asked for; arg: "all", "none", "end", "abort" */
    GONE,    /* n: completed */
    RECYCLE,
    REFUSE, /* up_start fails with n from now on */
};

struct step {
    enum event ev;
    const char *arg;
    unsigned n;
    enum xfer_state state;
    unsigned want;
};

#define CONF                                                                                       \
    "region = \"cn-beijing\"; service = \"ecs\"; client_side_validation = false;\n"                \
    "profiles = { default = { provider = \"static\"; access_key = \"AK\"; secret_key = \"SK\"; "   \
    "}; };\n"                                                                                      \
    "retry = { backoff_strategy = \"exponential\"; min_retry_delay_ms = 100; };\n"                 \
    "limits = { max_body = 1000; };\n"                                                             \
    "timeouts = { client_body_timeout = 5.0; };\n"                                                 \
    "log = { access = false; };\n"
#define TARGET        "/?Action=Do&Version=2020-01-01 HTTP/1.1\nHost: 127.0.0.1:8750\n"
#define GET           "GET " TARGET
#define POST          "POST " TARGET "Content-Length: 4\n"
#define HASH          "X-Content-Sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
#define STREAM        "POST " TARGET "Content-Length: 400000\n" HASH
#define STREAM_CHUNKS "POST " TARGET "Transfer-Encoding: chunked\n" HASH
#define OK_2          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
#define BUSY          "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
#define SLOW          "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\n"
#define BIG           "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
#define JSON(status, n)                                                                            \
    "HTTP/1.1 " status " X\r\nContent-Type: application/json\r\nContent-Length: " n "\r\n\r\n"
#define JSON_CHUNKS(status)                                                                        \
    "HTTP/1.1 " status " X\r\nContent-Type: application/json\r\nTransfer-Encoding: "               \
    "chunked\r\n\r\n"
#define ERROR_CODE(code) "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"" code "\"}}}"

#define BEGIN(head) {OPEN, head, 0, XS_RECV, 0}, {END, 0, 0, XS_RECV, WANT_START}, SETTLED(XS_TRY)
#define SETTLED(s)                                                                                 \
    {                                                                                              \
        SETTLE, 0, 0, s, 0                                                                         \
    }
#define OVER()                                                                                     \
    {SETTLE, 0, 1, XS_REPLY, 0}, {GONE, 0, 1, XS_DEAD, WANT_CANCEL}, {SETTLE, 0, 1, XS_DEAD, 0},   \
    {                                                                                              \
        RECYCLE, 0, 0, XS_FREE, 0                                                                  \
    }

struct scenario {
    const char *name;
    struct step steps[32];
    unsigned starts, cancels; /* of up, in all */
};

static const struct scenario scenarios[] = {
    {"an answer at once",
     {BEGIN(GET),
      {REPLY, 0, 0, XS_TRY, 0},
      {UP, OK_2 "ok", 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"a body, then an answer in parts",
     {{OPEN, POST, 0, XS_RECV, 0},
      {BODY, "bo", 0, XS_RECV, 0},
      {BODY, "dy", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, OK_2, 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      {PULL, "none", 9, XS_REPLY, 0},
      {UP, "o", 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {PULL, "all", 1, XS_REPLY, 0},
      {UP, "k", 0, XS_REPLY, WANT_WAKE},
      {PULL, "all", 1, XS_REPLY, WANT_WAKE},
      {PULL, "end", 9, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      OVER()},
     1,
     0},
    {"a status that is retried",
     {BEGIN(GET),
      {UP, BUSY, 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 99, XS_WAIT, 0},
      {PASS, 0, 2, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, OK_2 "ok", 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      OVER()},
     2,
     0},
    {"a retried answer whose body is still to come is cancelled",
     {BEGIN(GET),
      {UP, SLOW "fo", 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 101, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, OK_2 "ok", 0, XS_REPLY, WANT_WAKE},
      OVER()},
     2,
     1},
    {"the delay ends in the turn of the answer",
     {BEGIN(GET),
      {UP, SLOW "fo", 0, XS_WAIT, WANT_CANCEL},
      {PASS, 0, 101, XS_WAIT, WANT_CANCEL | WANT_START},
      SETTLED(XS_TRY),
      {UP, OK_2 "ok", 0, XS_REPLY, WANT_WAKE},
      OVER()},
     2,
     1},
    {"the last answer passes through",
     {BEGIN(GET),
      {UP, BUSY, 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 101, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {FAIL, 0, ERR_RESET, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 201, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, BUSY, 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 401, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, BUSY, 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 503, XS_REPLY, 0},
      OVER()},
     4,
     0},
    {"a network error that is not retried",
     {{OPEN, GET "X-Sigferry-Auto-Retry: false\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {FAIL, 0, ERR_RESET, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 502, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"TLS is never tried again",
     {BEGIN(GET),
      {FAIL, 0, ERR_TLS, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 502, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"nothing is retried once a byte has gone out",
     {BEGIN(GET),
      {UP, OK_2 "o", 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      {FAIL, 0, ERR_RESET, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {PULL, "all", 1, XS_REPLY, 0},
      {PULL, "abort", 1, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"no connection to be had",
     {{REFUSE, 0, ERR_POOL_EXHAUSTED, XS_FREE, 0},
      {OPEN, GET, 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      {SETTLE, 0, 0, XS_REPLY, 0},
      {REPLY, 0, 503, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"request_timeout in an attempt",
     {{OPEN, GET "X-Sigferry-Request-Timeout: 1\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {PASS, 0, 1001, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 504, XS_REPLY, 0},
      OVER()},
     1,
     1},
    {"request_timeout and the attempt's own end in one turn",
     {{OPEN, GET "X-Sigferry-Request-Timeout: 1\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {PASS, 0, 1001, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      {FAIL, 0, ERR_READ_TIMEOUT, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 504, XS_REPLY, 0},
      {PULL, "end", 1, XS_REPLY, 0}, /* whole: no stream that would be cut short */
      OVER()},
     1,
     0},
    {"request_timeout and a late answer in one turn",
     {{OPEN, GET "X-Sigferry-Request-Timeout: 1\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {PASS, 0, 1001, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      {UP, OK_2 "ok", 0, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 504, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"request_timeout in an answer cuts it short",
     {{OPEN, GET "X-Sigferry-Request-Timeout: 1\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, OK_2 "o", 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      {PASS, 0, 1001, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {PULL, "all", 1, XS_REPLY, 0},
      {PULL, "abort", 1, XS_REPLY, 0},
      OVER()},
     1,
     1},
    {"a delay beyond request_timeout is not begun",
     {{OPEN, GET "X-Sigferry-Request-Timeout: 0.05\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, BUSY, 0, XS_REPLY, WANT_WAKE},
      OVER()},
     1,
     0},
    {"a refusal is held until it is read",
     {BEGIN(GET),
      {UP, JSON("403", "48"), 0, XS_TRY, 0},
      {UP, ERROR_CODE("Denied"), 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 403, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"a code inside a 200",
     {{OPEN, GET "X-Sigferry-Retry-Error-Codes: Slow\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, JSON("200", "46") ERROR_CODE("Slow"), 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 101, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, JSON("200", "2") "{}", 0, XS_REPLY, WANT_WAKE},
      OVER()},
     2,
     0},
    {"the answer after a held one comes in parts",
     {{OPEN, GET "X-Sigferry-Retry-Error-Codes: Slow\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, JSON("200", "46") ERROR_CODE("Slow"), 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 101, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, OK_2, 0, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      {PULL, "none", 9, XS_REPLY, 0},
      {UP, "ok", 0, XS_REPLY, WANT_WAKE},
      {PULL, "all", 2, XS_REPLY, WANT_WAKE},
      {PULL, "end", 9, XS_REPLY, WANT_WAKE},
      OVER()},
     2,
     0},
    {"a status is retried even when the answer is too large to be held",
     {{OPEN, GET "X-Sigferry-Retry-Error-Codes: Slow\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, JSON_CHUNKS("503") "11170\r\n", 0, XS_TRY, 0},
      {UP_DATA, 0, 64 * 1024, XS_TRY, 0},
      {UP_DATA, 0, 1, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {PASS, 0, 101, XS_WAIT, WANT_START},
      SETTLED(XS_TRY),
      {UP, JSON_CHUNKS("200") "11170\r\n", 0, XS_TRY, 0},
      {UP_DATA, 0, 64 * 1024, XS_TRY, 0},
      {UP_DATA, 0, 1, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      {GONE, 0, 0, XS_DEAD, WANT_CANCEL},
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     2,
     2},
    {"a held answer that is cut short is a network error",
     {{OPEN, GET "X-Sigferry-Auto-Retry: false\n", 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {UP, JSON("403", "99") "{", 0, XS_TRY, 0},
      {FAIL, 0, ERR_RESET, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 502, XS_REPLY, 0},
      OVER()},
     1,
     0},
    {"the client goes in the body",
     {{OPEN, POST, 0, XS_RECV, 0},
      {BODY, "b", 0, XS_RECV, 0},
      {GONE, 0, 0, XS_DEAD, WANT_CANCEL},
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     0,
     0},
    {"the client goes before the attempt starts",
     {{OPEN, GET, 0, XS_RECV, 0},
      {END, 0, 0, XS_RECV, WANT_START},
      {GONE, 0, 0, XS_DEAD, WANT_START | WANT_CANCEL},
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     0,
     0},
    {"the client goes in an attempt",
     {BEGIN(GET),
      {GONE, 0, 0, XS_DEAD, WANT_CANCEL},
      {UP, OK_2 "ok", 0, XS_DEAD, WANT_CANCEL}, /* too late, and not heard */
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     1,
     0},
    {"the client goes in a wait",
     {BEGIN(GET),
      {UP, BUSY, 0, XS_WAIT, WANT_CANCEL},
      SETTLED(XS_WAIT),
      {GONE, 0, 0, XS_DEAD, WANT_CANCEL},
      {PASS, 0, 1000, XS_DEAD, WANT_CANCEL},
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     1,
     0},
    {"the client goes in the answer",
     {BEGIN(GET),
      {UP, OK_2 "o", 0, XS_REPLY, WANT_WAKE},
      {GONE, 0, 0, XS_DEAD, WANT_WAKE | WANT_CANCEL},
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     1,
     1},
    {"a full queue pauses, an emptied one goes on",
     {BEGIN(GET),
      {UP, BIG, 0, XS_REPLY, WANT_WAKE},
      {UP_DATA, 0, 100 * 1024, XS_REPLY, WANT_WAKE},
      {UP_DATA, 0, 60 * 1024, XS_REPLY, WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 200, XS_REPLY, 0},
      {PULL, "all", 65536, XS_REPLY, 0},
      {PULL, "all", 65536, XS_REPLY, 0},
      {PULL, "all", 1, XS_REPLY, WANT_UNPAUSE},
      SETTLED(XS_REPLY),
      {UP_DATA, 0, 10, XS_REPLY, WANT_WAKE},
      {GONE, 0, 0, XS_DEAD, WANT_WAKE | WANT_CANCEL},
      SETTLED(XS_DEAD),
      {RECYCLE, 0, 0, XS_FREE, 0}},
     1,
     1},
    {"a body beyond the limit",
     {{OPEN, "POST " TARGET "Transfer-Encoding: chunked\n", 0, XS_RECV, 0},
      {BODY, 0, 900, XS_RECV, 0},
      {BODY, 0, 200, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {BODY, 0, 900, XS_REPLY, 0}, /* what still comes is dropped */
      {END, 0, 0, XS_REPLY, 0},
      {REPLY, 0, 413, XS_REPLY, 0},
      OVER()},
     0,
     0},
    {"a body that does not come",
     {{OPEN, POST, 0, XS_RECV, 0},
      {BODY, "b", 0, XS_RECV, 0},
      {PASS, 0, 4999, XS_RECV, 0},
      {PASS, 0, 2, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 408, XS_REPLY, 0},
      OVER()},
     0,
     0},
    {"a body that streams through",
     {{OPEN, STREAM, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {BODY, 0, 1000, XS_TRY, WANT_BODY},
      SETTLED(XS_TRY),
      {UP, OK_2, 0, XS_REPLY, WANT_WAKE}, /* an answer before the body's end */
      SETTLED(XS_REPLY),
      {BODY, 0, 1000, XS_REPLY, 0},
      OVER()},
     1,
     1},
    {"a streamed body without an announced length has the limit, too",
     {{OPEN, STREAM_CHUNKS, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {BODY, 0, 900, XS_TRY, WANT_BODY},
      SETTLED(XS_TRY),
      {BODY, 0, 100, XS_TRY, WANT_BODY},
      {BODY, 0, 1, XS_REPLY, WANT_BODY | WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 413, XS_REPLY, 0},
      OVER()},
     1,
     1},
    {"a streamed body that stalls",
     {{OPEN, STREAM, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {BODY, 0, 1000, XS_TRY, WANT_BODY},
      SETTLED(XS_TRY),
      {PASS, 0, 5001, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      {REPLY, 0, 408, XS_REPLY, 0},
      OVER()},
     1,
     1},
    {"a streamed body that is held back is not late",
     {{OPEN, STREAM, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {BODY, 0, 200000, XS_TRY, WANT_BODY}, /* more than the window */
      {SETTLE, 0, 1, XS_TRY, 0},
      {PASS, 0, 60000, XS_TRY, 0},
      {SETTLE, 0, 0, XS_TRY, WANT_WAKE}, /* sent: there is room again */
      SETTLED(XS_TRY),
      {PASS, 0, 4999, XS_TRY, 0},
      {PASS, 0, 2, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      OVER()},
     1,
     1},
    {"a streamed body is not sent again",
     {{OPEN, STREAM, 0, XS_RECV, WANT_START},
      SETTLED(XS_TRY),
      {BODY, 0, 1000, XS_TRY, WANT_BODY},
      SETTLED(XS_TRY),
      {UP, BUSY, 0, XS_REPLY, WANT_WAKE},
      OVER()},
     1,
     0},
    {"a request that is refused needs no upstream",
     {{OPEN, GET "X-Sigferry-Nonsense: 1\n", 0, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      {REPLY, 0, 400, XS_REPLY, WANT_CANCEL | WANT_WAKE},
      SETTLED(XS_REPLY),
      OVER()},
     0,
     0},
};

/* ---- running them ---- */

struct engine {
    struct loop loop;
    struct conf *conf;
    struct proxy_rules *rules;
    struct cred_store *creds;
    struct proxy_shared shared;
    struct stat *stat;
    struct proxy *px;
    struct proxy_door door;
    struct front_req fr;
    struct xfer *x;
};

static void engine_start(struct engine *e, const char *conf)
{
    memset(e, 0, sizeof *e);
    fake_up = (struct fake_up){.start_result = ERR_OK};
    e->conf = fixture_conf(conf);
    ck_assert(loop_init(&e->loop));
    ck_assert_ptr_nonnull(e->rules = proxy_rules_new(e->conf));
    ck_assert_ptr_nonnull(e->creds = cred_store_new(e->conf));
    ck_assert(cred_store_start(e->creds, NULL, NULL));
    ck_assert_ptr_nonnull(e->stat = stat_new());
    struct proxy_options po = {
        .loop = &e->loop, .stat = e->stat, .creds = e->creds, .shared = &e->shared, .nworkers = 1};
    ck_assert_ptr_nonnull(e->px = proxy_new(&po, e->rules));
    e->door = (struct proxy_door){.address = e->conf->listen[0].address, .port = FIXTURE_PORT};
    proxy_credentials(e->px);
}

static void engine_stop(struct engine *e)
{
    ck_assert_uint_eq(proxy_inflight(e->px), 0);
    ck_assert_uint_eq(proxy_buffered(e->px), 0);
    ck_assert_uint_eq(e->loop.timers.n, 0);
    proxy_free(e->px);
    cred_store_free(e->creds);
    proxy_rules_unref(e->rules);
    conf_unref(e->conf);
    stat_free(e->stat);
    loop_free(&e->loop);
}

static void pull(struct engine *e, const struct step *s)
{
    static char to[1 << 20];
    long got = fake_front_pull(&e->fr, to, s->n);
    long want = strcmp(s->arg, "all") == 0    ? (long)s->n
                : strcmp(s->arg, "none") == 0 ? FRONT_PULL_AGAIN
                : strcmp(s->arg, "end") == 0  ? FRONT_PULL_END
                                              : FRONT_PULL_ABORT;
    ck_assert_int_eq(got, want);
}

static void play(struct engine *e, const struct step *s)
{
    static char many[1 << 20];
    struct up_req *q = fake_up.last;
    switch (s->ev) {
    case OPEN:
        fake_front_open(&e->fr, &proxy_front_ops, e->px, &e->door, s->arg);
        e->x = e->fr.user;
        break;
    case BODY:
        memset(many, 'b', sizeof many);
        (void)fake_front_body(&e->fr, s->arg ? s->arg : many, s->arg ? strlen(s->arg) : s->n);
        break;
    case END:
        fake_front_end(&e->fr);
        break;
    case UP:
        ck_assert_ptr_nonnull(q);
        fake_up_feed(q, str_of(s->arg));
        break;
    case UP_DATA:
        ck_assert_ptr_nonnull(q);
        ck_assert(!q->paused);
        fake_up_feed(q, str_n(many, s->n));
        break;
    case FAIL:
        ck_assert_ptr_nonnull(q);
        fake_up_fail(q, (enum err)s->n, true);
        break;
    case PASS:
        fake_clock_advance(s->n * NS_PER_MS);
        timers_run(&e->loop.timers, clock_ns());
        break;
    case SETTLE:
        proxy_settle(e->px);
        if (fake_up.last && !s->n)
            (void)fake_up_send(fake_up.last);
        break;
    case REPLY:
        ck_assert(fake_front_reply(&e->fr) == (s->n != 0));
        if (s->n)
            ck_assert_uint_eq(e->fr.reply.status, s->n);
        break;
    case PULL:
        pull(e, s);
        break;
    case GONE:
        fake_front_gone(&e->fr, s->n);
        break;
    case RECYCLE:
        proxy_recycle(e->px);
        break;
    case REFUSE:
        fake_up.start_result = (enum err)s->n;
        break;
    }
}

/* A step whose outcome the test looks at by itself. */
static void act(struct engine *e, enum event ev, const char *arg, unsigned n)
{
    play(e, &(struct step){.ev = ev, .arg = arg, .n = n});
}

/* A whole request comes, and its first attempt starts. */
static void send_out(struct engine *e, const char *head)
{
    act(e, OPEN, head, 0);
    act(e, END, 0, 0);
    act(e, SETTLE, 0, 0);
}

START_TEST(scenario)
{
    const struct scenario *sc = &scenarios[_i];
    struct engine e;
    engine_start(&e, CONF);
    size_t n = ARRAY_LEN(sc->steps);
    while (n && memcmp(&sc->steps[n - 1], &(struct step){0}, sizeof(struct step)) == 0)
        n--;
    for (size_t i = 0; i < n; i++) {
        play(&e, &sc->steps[i]);
        if (!e.x)
            continue;
        xfer_sane(e.x);
        ck_assert_msg(e.x->state == sc->steps[i].state && e.x->want == sc->steps[i].want,
                      "%s, step %zu: state %d and want 0x%x, not %d and 0x%x", sc->name, i,
                      (int)e.x->state, e.x->want, (int)sc->steps[i].state, sc->steps[i].want);
    }
    ck_assert_msg(fake_up.starts == sc->starts && fake_up.cancels == sc->cancels,
                  "%s: %u starts and %u cancels, not %u and %u", sc->name, fake_up.starts,
                  fake_up.cancels, sc->starts, sc->cancels);
    engine_stop(&e);
}
END_TEST

/* A reload reaches the credentials before it reaches the worker: until then an index of the
 * worker's configuration may mean another profile there. */
START_TEST(a_reload_on_its_way_changes_nobodys_keys)
{
    static const char text[] =
        "region = \"cn-beijing\"; service = \"ecs\"; log = { access = false; };\n"
        "profile = \"mine\"; profiles = { %s %s };\n";
    static const char mine[] = "mine = { provider = \"static\"; access_key = \"MINE\"; "
                               "secret_key = \"s\"; };",
                      other[] = "other = { provider = \"static\"; access_key = \"OTHER\"; "
                                "secret_key = \"s\"; };";
    static const struct step steps[] = {BEGIN(GET), {UP, OK_2 "ok", 0, XS_REPLY, 0}, OVER()};
    char before[1024], after[1024];
    struct engine e;
    (void)snprintf(before, sizeof before, text, mine, other);
    (void)snprintf(after, sizeof after, text, other, mine);
    engine_start(&e, before);
    struct conf *next = fixture_conf(after);
    struct proxy_rules *rules = proxy_rules_new(next);
    ck_assert_ptr_nonnull(rules);
    ck_assert(cred_store_reload(e.creds, next));
    proxy_credentials(e.px);
    for (int taken = 0; taken < 2; taken++) {
        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
            play(&e, &steps[i]);
            if (e.x->state == XS_TRY)
                ck_assert_str_eq(e.x->cred->access_key, "MINE");
        }
        ck_assert(proxy_configure(e.px, rules));
        proxy_credentials(e.px);
    }
    ck_assert_uint_eq(fake_up.starts, 2);
    engine_stop(&e);
    proxy_rules_unref(rules);
    conf_unref(next);
}
END_TEST

static void over(struct engine *e)
{
    act(e, GONE, 0, 1);
    proxy_settle(e->px);
    proxy_recycle(e->px);
    engine_stop(e);
}

/* The answer of an upstream whose clock is that much ahead, which refused the time that was signed.
 */
static const char *expired(int ahead_s)
{
    static char answer[256];
    char date[32];
    time_t t = (time_t)(clock_wall_s() + ahead_s);
    struct tm tm;
    ck_assert_uint_eq(strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm)),
                      29);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 403 X\r\nContent-Type: application/json\r\nDate: %s\r\n"
             "Content-Length: 58\r\n\r\n" ERROR_CODE("SignatureExpired"),
             date);
    return answer;
}

START_TEST(clocks)
{
    static const struct {
        const char *head;
        int before, meanwhile, ahead,
            learned; /* the correction before, when it is refused, after */
        bool again;
    } rows[] = {
        {GET, 0, 0, 900, 900, true},
        {GET, 0, 0, -900, -900, true},
        {GET, 0, 0, 30, 0, false},
        {GET, 900, 900, 900, 900, false}, /* corrected by that already: something else */
        {GET, 0, 900, 900, 900, true},    /* another request was told first */
        {GET, 900, 900, 0, 0, true},      /* this machine's clock was set */
        {GET, 900, 900, 1800, 1800, true},
        {GET "X-Sigferry-Auto-Retry: false\n", 0, 0, 900, 900, false},
        {STREAM, 0, 0, 900, 900, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct engine e;
        engine_start(&e, CONF);
        atomic_store(&e.shared.skew_s, rows[i].before);
        act(&e, OPEN, rows[i].head, 0);
        if (!e.x->streaming)
            act(&e, END, 0, 0);
        act(&e, SETTLE, 0, 0);
        atomic_store(&e.shared.skew_s, rows[i].meanwhile);
        act(&e, UP, expired(rows[i].ahead), 0);
        ck_assert_msg(e.x->state == (rows[i].again ? XS_WAIT : XS_REPLY), "row %zu", i);
        ck_assert_msg(atomic_load(&e.shared.skew_s) == rows[i].learned, "row %zu", i);
        act(&e, PASS, 0, 1);
        act(&e, SETTLE, 0, 0);
        ck_assert_uint_eq(fake_up.starts, rows[i].again ? 2 : 1);
        if (rows[i].again) { /* once: the next refusal is the client's */
            act(&e, UP, expired(rows[i].ahead + 900), 0);
            ck_assert_int_eq(e.x->state, XS_REPLY);
        }
        over(&e);
    }
}
END_TEST

/* The extra try does not take one of num_max_retries, nor a step of the delays. */
START_TEST(the_extra_try_is_outside_of_the_count)
{
    struct engine e;
    engine_start(&e, CONF);
    act(&e, OPEN, GET "X-Sigferry-Num-Max-Retries: 2\n", 0);
    act(&e, END, 0, 0);
    for (unsigned attempt = 1; attempt <= 4; attempt++) {
        unsigned wait_ms = attempt == 1 ? 1 : attempt == 2 ? 101 : 201;
        act(&e, SETTLE, 0, 0);
        ck_assert_uint_eq(fake_up.starts, attempt);
        act(&e, UP, attempt == 1 ? expired(900) : BUSY, 0);
        ck_assert_int_eq(e.x->state, attempt < 4 ? XS_WAIT : XS_REPLY);
        act(&e, PASS, 0, wait_ms);
    }
    over(&e);
}
END_TEST

/* The answer passes when there is no memory for the delay before another try. */
START_TEST(no_memory_for_the_delay)
{
    struct engine e;
    engine_start(&e, CONF);
    send_out(&e, GET);
    struct timers full = e.loop.timers;
    e.loop.timers.n = e.loop.timers.size = SIZE_MAX / 4; /* full, and beyond growing */
    act(&e, UP, SLOW, 0);
    e.loop.timers = full;
    act(&e, SETTLE, 0, 0);
    ck_assert_int_eq(e.x->state, XS_REPLY);
    act(&e, REPLY, 0, 503);
    act(&e, UP, "sorry", 0);
    act(&e, PULL, "all", 5);
    act(&e, PULL, "end", 1);
    over(&e);
}
END_TEST

START_TEST(no_memory_for_an_answer)
{
    struct engine e;
    engine_start(&e, CONF);
    send_out(&e, GET);
    act(&e, UP, BIG, 0);
    size_t max = e.x->queue.max;
    e.x->queue.max = 1;
    act(&e, UP_DATA, 0, 10);
    e.x->queue.max = max;
    act(&e, SETTLE, 0, 0);
    ck_assert_uint_eq(fake_up.cancels, 1);
    act(&e, REPLY, 0, 200);
    act(&e, PULL, "abort", 1);
    act(&e, GONE, 0, 0);
    ck_assert(e.x->err == ERR_OVERLOADED && !e.x->client_gone); /* it was not the client */
    proxy_settle(e.px);
    proxy_recycle(e.px);
    engine_stop(&e);
}
END_TEST

START_TEST(no_memory_for_an_error_body)
{
    struct engine e;
    engine_start(&e, CONF);
    act(&e, OPEN, GET, 0);
    size_t max = e.x->queue.max;
    e.x->queue.max = 32;
    xfer_fail(e.x, ERR_INTERNAL, NULL);
    e.x->queue.max = max;
    act(&e, REPLY, 0, 500);
    ck_assert_uint_eq(e.fr.reply.body.n, 0); /* none is better than half of one */
    over(&e);
}
END_TEST

/* Each change of any credential wakes who waits; that puts the end of the waiting off for nobody.
 */
START_TEST(the_wait_for_a_credential_ends)
{
    struct engine e;
    engine_start(&e, CONF);
    act(&e, OPEN, GET, 0);
    xfer_wait_credential(e.x);
    act(&e, PASS, 0, 100 * 1000);
    ck_assert_int_eq(e.x->state, XS_WAIT);
    xfer_wait_credential(e.x);
    act(&e, PASS, 0, 20 * 1000 + 1);
    act(&e, REPLY, 0, 503);
    over(&e);
}
END_TEST

/* What the upstream said passes when no other credential comes in time. */
START_TEST(the_wait_for_another_credential_ends)
{
    struct engine e;
    engine_start(&e, CONF);
    send_out(&e, GET);
    struct conf *next = fixture_conf(
        "region = \"cn-beijing\"; service = \"ecs\"; log = { access = false; }; profiles = { "
        "default "
        "= { provider = \"static\"; access_key = \"NEW\"; secret_key = \"SK\"; }; };\n");
    ck_assert(cred_store_reload(e.creds, next)); /* the worker has not come to it yet */
    act(&e, UP,
        "HTTP/1.1 401 X\r\nContent-Type: application/json\r\nContent-Length: 58\r\n\r\n" ERROR_CODE(
            "InvalidAccessKey"),
        0);
    ck_assert_int_eq(e.x->state, XS_WAIT);
    act(&e, PASS, 0, 120 * 1000 + 1);
    act(&e, REPLY, 0, 401);
    ck_assert_uint_eq(fake_up.starts, 1);
    over(&e);
    conf_unref(next);
}
END_TEST

/* An attempt's head is overwritten before a shorter one takes its place. */
START_TEST(nothing_stays_behind_a_shorter_head)
{
    struct engine e;
    engine_start(&e, CONF);
    send_out(&e, GET);
    buf_putz(&e.x->out, "X-Security-Token: of-the-first-attempt\r\n");
    act(&e, UP, BUSY, 0);
    act(&e, PASS, 0, 101);
    act(&e, SETTLE, 0, 0);
    ck_assert_uint_eq(fake_up.starts, 2);
    ck_assert_ptr_null(memmem(e.x->out.p, e.x->out.size, "of-the-first-attempt", 20));
    over(&e);
}
END_TEST

/* What is to be started and ended in the same turn is not sent. */
START_TEST(the_end_starts_nothing)
{
    struct engine e;
    engine_start(&e, CONF);
    act(&e, OPEN, GET, 0);
    act(&e, END, 0, 0);
    ck_assert(e.x->want & WANT_START);
    proxy_abort_all(e.px);
    act(&e, SETTLE, 0, 0);
    ck_assert_uint_eq(fake_up.starts, 0);
    act(&e, GONE, 0, 0);
    act(&e, SETTLE, 0, 0);
    proxy_recycle(e.px);
    engine_stop(&e);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xfer");
    TCase *t = tcase_create("scenarios");
    tcase_add_loop_test(t, scenario, 0, (int)ARRAY_LEN(scenarios));
    tcase_add_test(t, a_reload_on_its_way_changes_nobodys_keys);
    tcase_add_test(t, clocks);
    tcase_add_test(t, the_extra_try_is_outside_of_the_count);
    tcase_add_test(t, no_memory_for_the_delay);
    tcase_add_test(t, no_memory_for_an_answer);
    tcase_add_test(t, no_memory_for_an_error_body);
    tcase_add_test(t, the_wait_for_a_credential_ends);
    tcase_add_test(t, the_wait_for_another_credential_ends);
    tcase_add_test(t, nothing_stays_behind_a_shorter_head);
    tcase_add_test(t, the_end_starts_nothing);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
