/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the request engine: the input is a script of events for up to four requests at a time, in
 * any order a client, an upstream and a clock may make them. After each event every request must be
 * sane; nothing may be started once an answer was given; in the end nothing may be left. Links
 * tests/fake instead of io/front, io/up and base/clock. */
#include "proxy/xfer.h"

#include "../fake/fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "region = \"cn-beijing\"; service = \"ecs\"; client_side_validation = false;\n"
    "profiles = { default = { provider = \"static\"; access_key = \"AK\"; secret_key = \"SK\"; };\n"
    "             none = { provider = \"file\"; file = \"/nonexistent\"; }; };\n"
    "retry = { min_retry_delay_ms = 10; max_retry_delay_ms = 1000; };\n"
    "rate_limits = ( { match = \"ecs:Rated\"; rate = 1.0; burst = 1.0; wait = 3.0; } );\n"
    "limits = { max_body = 1000000; body_memory = 4096; buffered_total = 1048576; };\n"
    "security = { allow_presign = true; };\n"
    "timeouts = { client_body_timeout = 5.0; };\n"
    "log = { access = false; level = \"error\"; };\n";

#define TARGET "/?Action=Do&Version=2020-01-01 HTTP/1.1\nHost: 127.0.0.1:8750\n"
#define HASH   "X-Content-Sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
static const char *const heads[] = {
    "GET " TARGET,
    "POST " TARGET "Content-Length: 9000\n",
    "PUT " TARGET "Transfer-Encoding: chunked\n",
    "POST " TARGET "Content-Length: 300000\n" HASH,
    "PUT " TARGET "Transfer-Encoding: chunked\n" HASH,
    "HEAD " TARGET,
    "GET " TARGET "X-Sigferry-Request-Timeout: 1\n",
    "POST " TARGET "Content-Length: 10\nX-Sigferry-Retry-Error-Codes: Slow,Busy\n",
    "GET " TARGET "X-Sigferry-Profile: none\n",
    "GET /?Action=Rated&Version=2020-01-01 HTTP/1.1\nHost: 127.0.0.1:8750\n",
    "GET " TARGET "X-Sigferry-Dry-Run: true\n",
    "GET " TARGET "X-Sigferry-Presign: true\n",
    "GET " TARGET "X-Sigferry-Auto-Retry: false\n",
    "GET " TARGET "X-Sigferry-Nonsense: 1\n",
    "POST " TARGET "Transfer-Encoding: gzip\n",
    "POST " TARGET "Content-Length: 20000\nX-Sigferry-Num-Max-Retries: 5\n",
};

#define CODE(c) "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"" c "\"}}}"
static const char *const answers[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n",
    "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: 48\r\n\r\n" CODE(
        "Denied"),
    "HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: 58\r\n"
    "Date: Fri, 15 Jan 2027 09:00:00 GMT\r\n\r\n" CODE("SignatureExpired"),
    "HTTP/1.1 401 No\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 46\r\n\r\n" CODE("Slow"),
    "HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: 54\r\n\r\n" CODE(
        "ExpiredToken"),
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "10\r\n0123456789abcdef\r\n",
    "0\r\n\r\n",
    "garbage\r\n",
};
static const enum err failures[] = {ERR_RESET,      ERR_CONNECT,       ERR_CONNECT_TIMEOUT,
                                    ERR_TLS,        ERR_READ_TIMEOUT,  ERR_PROTOCOL,
                                    ERR_OVERLOADED, ERR_POOL_EXHAUSTED};

enum { SLOTS = 4 };
static struct loop loop;
static struct conf *conf;
static struct proxy_rules *rules;
static struct cred_store *creds;
static struct proxy_shared shared;
static struct proxy_door door;
static struct proxy *px;
static struct front_req slots[SLOTS];
static unsigned starts_at_answer[SLOTS];
static char many[1 << 16];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool set_up(void)
{
    char path[] = "/tmp/sigferry-fuzz-XXXXXX";
    struct buf errs;
    (void)clearenv();
    int fd = mkstemp(path);
    must(fd >= 0 && write(fd, config, sizeof config - 1) == (ssize_t)(sizeof config - 1));
    must(close(fd) == 0);
    buf_init(&errs, 65536);
    conf = conf_load(&(struct conf_args){.config = path}, &errs);
    (void)unlink(path);
    if (!conf)
        fprintf(stderr, "%s\n", buf_cstr(&errs));
    must(conf != NULL);
    buf_free(&errs);
    struct log_options lo = {
        .level = LOG_ERROR, .format = LOG_TEXT, .template = "", .file = "/dev/null"};
    must(log_open(&lo));
    must(loop_init(&loop) && (rules = proxy_rules_new(conf)) && (creds = cred_store_new(conf)) &&
         cred_store_start(creds, NULL, NULL));
    door = (struct proxy_door){.address = conf->listen[0].address, .port = 8750};
    memset(many, 'm', sizeof many);
    return true;
}

/* The attempt of a slot's request, if one is under way. */
static struct up_req *attempt(const struct front_req *fr)
{
    struct xfer *x = fr->open ? fr->user : NULL;
    return x && x->up.active ? &x->up : NULL;
}

static void event(unsigned what, unsigned arg, unsigned slot)
{
    static char to[1 << 17];
    struct front_req *fr = &slots[slot];
    struct up_req *q = attempt(fr);
    switch (what) {
    case 0:
        if (!fr->open)
            fake_front_open(fr, &proxy_front_ops, px, &door, heads[arg % ARRAY_LEN(heads)]);
        break;
    case 1:
        (void)fake_front_body(fr, many, arg * 7);
        break;
    case 2:
        (void)fake_front_body(fr, many, arg * 256);
        break;
    case 3:
        fake_front_end(fr);
        break;
    case 4:
        proxy_settle(px);
        break;
    case 5:
        proxy_settle(px);
        proxy_recycle(px);
        break;
    case 6:
        fake_clock_advance(arg * (arg & 1 ? NS_PER_MS : 50 * NS_PER_MS));
        timers_run(&loop.timers, clock_ns());
        break;
    case 7:
    case 8:
        if (q)
            fake_up_feed(q, str_of(answers[arg % ARRAY_LEN(answers)]));
        break;
    case 9:
        if (q)
            fake_up_feed(q, str_n(many, arg * 256));
        break;
    case 10:
        if (q)
            fake_up_fail(q, failures[arg % ARRAY_LEN(failures)], arg & 64);
        break;
    case 11:
        if (q && q->body)
            (void)fake_up_send(q);
        break;
    case 12:
        (void)fake_front_reply(fr);
        break;
    case 13:
        (void)fake_front_pull(fr, to, arg * 512 + 1);
        break;
    case 14:
        fake_front_gone(fr, arg & 1);
        break;
    default:
        if (arg < 200)
            fake_up.start_result = arg & 1 ? failures[arg / 2 % ARRAY_LEN(failures)] : ERR_OK;
        else if (arg < 230)
            proxy_credentials(px);
        else
            proxy_abort_all(px);
    }
}

static void check(void)
{
    LIST_FOR (l, &px->all)
        xfer_sane(CONTAINER_OF(l, struct xfer, all));
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct xfer *x = slots[i].open ? slots[i].user : NULL;
        if (!x)
            continue;
        if (slots[i].answered && starts_at_answer[i] == 0)
            starts_at_answer[i] = x->attempts + 1;
        must(!slots[i].answered || x->attempts + 1 == starts_at_answer[i]);
        if (!slots[i].answered)
            starts_at_answer[i] = 0;
        must(x->fr == &slots[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    ready = ready || set_up();
    struct stat *st = stat_new();
    struct proxy_options po = {
        .loop = &loop, .stat = st, .creds = creds, .shared = &shared, .nworkers = 1};
    must(st != NULL);
    px = proxy_new(&po, rules);
    must(px != NULL);
    fake_up = (struct fake_up){.start_result = ERR_OK};
    memset(slots, 0, sizeof slots);
    memset(starts_at_answer, 0, sizeof starts_at_answer);
    proxy_credentials(px);
    px->rnd = 1;
    for (size_t i = 0; i + 1 < size; i += 2) {
        event(data[i] & 15, data[i + 1], data[i] >> 6);
        check();
    }
    for (unsigned i = 0; i < SLOTS; i++)
        fake_front_gone(&slots[i], false);
    proxy_settle(px);
    proxy_recycle(px);
    must(proxy_inflight(px) == 0 && proxy_buffered(px) == 0 && loop.timers.n == 0);
    must(!proxy_dirty(px));
    must(atomic_load(&st->v[STAT_INFLIGHT]) == 0);
    proxy_free(px);
    stat_free(st);
    return 0;
}
