/* SPDX-License-Identifier: Apache-2.0 */
/* The admin address's requests. An answer is made whole when the request is complete; nothing here
 * waits. Health and readiness are free for everyone who can connect, the rest follows the data
 * port's rules for hosts, pages and identity. */
#include "daemon/admin.h"

#include "base/clock.h"
#include "daemon/admin_rules.h"
#include "daemon/metrics.h"
#include "daemon/status.h"
#include "proxy/identity.h"
#include "proxy/reply.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct admin {
    struct admin_source source;
    struct conf *conf;
    struct signer *signer; /* made when a local key first asks */
};

enum { MAX_FIELDS = 8 };

struct admin_req;

/* One path. */
struct page {
    const char *path, *type;
    bool open; /* for everyone who can connect: no Host, page or identity rule */
    bool post; /* POST alone; else GET and HEAD */
    void (*make)(struct admin_req *r);
};

struct admin_req {
    struct admin *admin;
    const struct page *page;
    bool head, done, quit;
    unsigned status;
    struct buf body;
    struct hdr fields[MAX_FIELDS];
    size_t nfields;
    char id[33];
};

static void field(struct admin_req *r, const char *name, const char *value)
{
    if (r->nfields < MAX_FIELDS)
        r->fields[r->nfields++] = (struct hdr){str_of(name), str_of(value)};
}

/* --- errors ----------------------------------------------------------------------------------- */

static void begin(struct admin_req *r, unsigned status, const char *type)
{
    buf_reset(&r->body);
    r->status = status;
    r->nfields = 0;
    r->done = true;
    field(r, "Content-Type", type);
    field(r, "Cache-Control", "no-store");
    field(r, "X-Content-Type-Options", "nosniff");
    if (status == 503)
        field(r, "Retry-After", "1");
}

static void fail(struct admin_req *r, enum err e, const struct err_detail *why)
{
    begin(r, (unsigned)err_status(e), "application/json");
    field(r, "X-Sigferry-Error", err_code(e));
    if (e == ERR_METHOD_NOT_ALLOWED)
        field(r, "Allow", !r->page ? "GET, HEAD, POST" : r->page->post ? "POST" : "GET, HEAD");
    reply_error(&r->body, e, why, NULL, str_of(r->id));
}

/* Not among the errors of the data port: there every path is the cloud's. */
static void not_found(struct admin_req *r)
{
    begin(r, 404, "application/json");
    field(r, "X-Sigferry-Error", "NotFound");
    buf_printf(
        &r->body,
        "{\"ResponseMetadata\":{\"RequestId\":\"%s\",\"Action\":\"\",\"Version\":\"\","
        "\"Service\":\"\",\"Region\":\"\",\"Error\":{\"Code\":\"Sigferry.NotFound\","
        "\"Message\":\"the admin address has /, /healthz, /livez, /readyz, /metrics, /status "
        "and /quitquitquit\"}}}\n",
        r->id);
}

static void wrong_method(struct admin_req *r)
{
    struct err_detail why;
    enum err e = err_set(&why, ERR_METHOD_NOT_ALLOWED, "%s takes %s", r->page->path,
                         r->page->post ? "POST" : "GET and HEAD");
    fail(r, e, &why);
}

/* --- pages ------------------------------------------------------------------------------------ */

/* {"name":true} or 503 {"name":false,"reason":"…"} */
static void answer_bool(struct admin_req *r, const char *name, bool yes, const struct buf *reason)
{
    begin(r, yes ? 200 : 503, "application/json");
    buf_printf(&r->body, "{\"%s\":%s", name, yes ? "true" : "false");
    if (!yes) {
        buf_putz(&r->body, ",\"reason\":\"");
        for (size_t i = 0; i < reason->n; i++) {
            unsigned char c = (unsigned char)reason->p[i];
            if (c == '"' || c == '\\')
                buf_printf(&r->body, "\\%c", c);
            else
                buf_putc(&r->body, c < 0x20 || c >= 0x7F ? ' ' : (char)c);
        }
        buf_putc(&r->body, '"');
    }
    buf_putz(&r->body, "}\n");
}

static void ask_bool(struct admin_req *r, const char *name, bool (*f)(void *, struct buf *))
{
    struct buf reason;
    buf_init(&reason, ADMIN_REASON_MAX);
    bool yes = f(r->admin->source.arg, &reason);
    answer_bool(r, name, yes, &reason);
    buf_free(&reason);
}

static void make_health(struct admin_req *r)
{
    ask_bool(r, "alive", r->admin->source.health);
}

static void make_ready(struct admin_req *r)
{
    ask_bool(r, "ready", r->admin->source.ready);
}

static void make_metrics(struct admin_req *r)
{
    begin(r, 200, r->page->type);
    r->admin->source.metrics(r->admin->source.arg, &r->body);
}

static void make_status(struct admin_req *r)
{
    begin(r, 200, r->page->type);
    r->admin->source.status(r->admin->source.arg, &r->body);
}

static void make_page(struct admin_req *r)
{
    begin(r, 200, r->page->type);
    field(r, "Content-Security-Policy", status_page_csp);
    field(r, "Referrer-Policy", "no-referrer");
    field(r, "X-Frame-Options", "DENY");
    r->admin->source.page(r->admin->source.arg, &r->body);
}

static void make_quit(struct admin_req *r)
{
    struct err_detail why;
    if (!r->admin->conf->admin.allow_quit) {
        fail(r,
             err_set(&why, ERR_ACTION_NOT_ALLOWED,
                     "admin.allow_quit is off; set it to true in the configuration to allow "
                     "this"),
             &why);
        return;
    }
    begin(r, 200, r->page->type);
    buf_putz(&r->body, "{\"quitting\":true}\n");
    r->quit = true; /* once the answer is out: on_gone */
}

static const struct page pages[] = {
    {"/healthz", "application/json", .open = true, .make = make_health},
    {"/livez", "application/json", .open = true, .make = make_health},
    {"/readyz", "application/json", .open = true, .make = make_ready},
    {"/metrics", METRICS_CONTENT_TYPE, .make = make_metrics},
    {"/status", "application/json", .make = make_status},
    {"/", "text/html; charset=utf-8", .make = make_page},
    {"/quitquitquit", "application/json", .post = true, .make = make_quit},
};

static const struct page *find_page(struct str path)
{
    if (path.n == 0)
        path = STR("/");
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (str_eq(path, str_of(pages[i].path)))
            return &pages[i];
    return NULL;
}

/* --- who asks --------------------------------------------------------------------------------- */

static struct str single(const struct hdrs *h, struct str name, unsigned *count)
{
    const struct hdr *f = hdrs_find(h, name);
    *count = (unsigned)hdrs_count(h, name);
    return f ? f->value : STR("");
}

static enum err check_local_key(struct admin *a, const struct conf_client *client,
                                const struct gate_head *head, const struct gate_verdict *v,
                                struct err_detail *why)
{
    if (!a->signer)
        a->signer = signer_new();
    if (!a->signer)
        return err_set(why, ERR_OVERLOADED, "out of memory");
    return identity_verify(a->signer, client, head, v, str_of(digest_empty_hex), clock_wall_s(),
                           why);
}

static enum err check_identity(struct admin *a, struct front_req *fr, const struct gate_head *head,
                               const struct gate_verdict *v, struct err_detail *why)
{
    const struct proxy_door *door = front_listener(fr);
    const struct conf_listener l = {.address = door->address}; /* the rules of `security` */
    if (!identity_required(a->conf, &l))
        return ERR_OK;
    const struct peer *p = front_peer(fr);
    struct identity_peer peer = {
        .has_uid = p->has_cred, .has_gid = p->has_cred, .uid = p->uid, .gid = p->gid};
    uid_t uid;
    if (!p->has_cred && identity_wants_uid(a->conf, &l) && front_tcp_uid(fr, &uid)) {
        peer.has_uid = true;
        peer.uid = uid;
    }
    struct identity_claim claim = {0};
    claim.authorization = single(&head->hdrs, STR("Authorization"), &claim.nauthorization);
    claim.proxy_authorization =
        single(&head->hdrs, STR("Proxy-Authorization"), &claim.nproxy_authorization);
    unsigned ntokens;
    claim.token = single(&head->hdrs, STR("X-Sigferry-Token"), &ntokens);
    if (ntokens > 1)
        return err_set(why, ERR_INVALID_OPTION, "the header X-Sigferry-Token is given twice");
    const struct conf_client *client = NULL;
    enum err e = identity_check(a->conf, &l, &claim, &peer, &client, why);
    return e || !client ? e : check_local_key(a, client, head, v, why);
}

static enum err check_rules(struct admin *a, struct front_req *fr, const struct gate_head *head,
                            const struct gate_verdict *v, const struct page *p,
                            struct err_detail *why)
{
    if (p && p->open)
        return ERR_OK;
    enum err e = admin_host_rule(a->conf, front_listener(fr), v, why);
    if (!e)
        e = admin_page_rule(a->conf, &head->hdrs, p && p->post, why);
    return e ? e : check_identity(a, fr, head, v, why);
}

/* --- front_ops -------------------------------------------------------------------------------- */

static void make_id(char id[33])
{
    unsigned char b[16] = {0};
    if (getrandom(b, sizeof b, GRND_NONBLOCK) < 0) {
        uint64_t ns = clock_fresh_ns(); /* only to tell answers apart */
        memcpy(b, &ns, sizeof ns);
    }
    for (size_t i = 0; i < sizeof b; i++)
        snprintf(id + 2 * i, 3, "%02x", b[i]);
}

static enum front_next on_open(void *owner, struct front_req *fr, const struct gate_head *head,
                               const struct gate_verdict *verdict, enum err gate,
                               const struct err_detail *why, void **user)
{
    struct admin *a = owner;
    struct admin_req *r = calloc(1, sizeof *r);
    *user = r;
    if (!r)
        return FRONT_REFUSE; /* without an answer: the connection closes */
    r->admin = a;
    buf_init(&r->body, ADMIN_BODY_MAX);
    make_id(r->id);
    r->head = str_eq(head->method, STR("HEAD"));
    struct err_detail own = *why;
    if (gate == ERR_OK) {
        r->page = find_page(verdict->target.path);
        gate = check_rules(a, fr, head, verdict, r->page, &own);
    }
    bool get = r->head || str_eq(head->method, STR("GET"));
    if (gate != ERR_OK)
        fail(r, gate, &own);
    else if (!r->page)
        not_found(r);
    else if (r->page->post ? !str_eq(head->method, STR("POST")) : !get)
        wrong_method(r);
    else
        return FRONT_READ;
    return FRONT_REFUSE;
}

static size_t on_body(void *user, const char *p, size_t n)
{
    (void)user; /* nothing here has a use for a body */
    (void)p;
    return n;
}

static void on_body_end(void *user)
{
    struct admin_req *r = user;
    r->page->make(r);
    if (!r->body.failed)
        return;
    struct err_detail why;
    fail(r, err_set(&why, ERR_OVERLOADED, "the answer is too large or memory is short"), &why);
}

static bool on_reply(void *user, struct front_reply *out)
{
    struct admin_req *r = user;
    if (!r || !r->done)
        return false;
    *out = (struct front_reply){.status = r->status,
                                .hdrs = r->fields,
                                .nhdrs = r->nfields,
                                .body = buf_str(&r->body),
                                .length = (int64_t)r->body.n,
                                .no_body = r->head};
    return true;
}

static void on_gone(void *user, enum front_end end, const char *why)
{
    (void)end, (void)why; /* who asked to quit need not wait for the answer */
    struct admin_req *r = user;
    if (!r)
        return;
    struct admin *a = r->admin;
    bool quit = r->quit;
    buf_free(&r->body);
    free(r);
    if (quit)
        a->source.quit(a->source.arg);
}

const struct front_ops admin_front_ops = {
    .open = on_open,
    .body = on_body,
    .body_end = on_body_end,
    .reply = on_reply,
    .gone = on_gone,
};

struct admin *admin_new(const struct admin_source *source, struct conf *c)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->source = *source;
    a->conf = conf_ref(c);
    return a;
}

void admin_configure(struct admin *a, struct conf *c)
{
    struct conf *old = a->conf;
    a->conf = conf_ref(c);
    conf_unref(old);
    if (a->signer)
        signer_forget(a->signer, 0);
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    signer_free(a->signer);
    conf_unref(a->conf);
    free(a);
}
