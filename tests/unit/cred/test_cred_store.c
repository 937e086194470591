/* SPDX-License-Identifier: Apache-2.0 */
/* The store and its views: what is there at once, rotation, renewal, failures, reload, and that
 * each profile has one fetch under way at most. */
#include "base/clock.h"
#include "cred/cred_store_int.h"
#include "fixture.h"

#include <sys/syscall.h>

static struct fixture f;
static struct server srv;
static struct cred_store *store;
static struct cred_view *view;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned changes;
static bool refuse;                 /* the server answers with an error */
static int64_t life_s;              /* of the server's credentials */
static bool gate_shut;              /* the server waits before it answers */
static _Atomic int64_t wall_step_s; /* what has been added to the wall clock */

/* In place of libc's, for the store and all else here: pthread's waits don't see the step. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && id == CLOCK_REALTIME)
        ts->tv_sec += wall_step_s;
    return (int)rc;
}

static void changed(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mu);
    changes++;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mu);
}

static void gate(bool shut)
{
    pthread_mutex_lock(&mu);
    gate_shut = shut;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mu);
}

/* STS: credentials numbered from 0. */
static void sts(struct server *s, unsigned n, const char *request, char *out)
{
    char key[16];
    (void)s, (void)request;
    pthread_mutex_lock(&mu);
    while (gate_shut)
        pthread_cond_wait(&cond, &mu);
    bool no = refuse;
    int64_t life = life_s;
    pthread_mutex_unlock(&mu);
    snprintf(key, sizeof key, "%u", n);
    if (no)
        respond(out, 403, "{\"ResponseMetadata\":{\"Error\":{\"Code\":\"Denied\"}}}");
    else
        respond_sts(out, key, "Expiration", from_now(life));
}

static void set_up(void)
{
    clearenv();
    cred_forget_environment();
    make_dir();
    fixture_init(&f, 1);
    changes = 0;
    refuse = gate_shut = false;
    life_s = 3600;
    wall_step_s = 0;
    server_start(&srv, sts);
    fixture_reach(&f, &srv);
}

static void tear_down(void)
{
    gate(false);
    cred_view_free(view);
    cred_store_free(store);
    store = NULL;
    view = NULL;
    server_stop(&srv);
    fixture_check(&f);
    remove_dir();
    cred_forget_environment();
}

static void start(void)
{
    store = cred_store_new(&f.conf);
    ck_assert_ptr_nonnull(store);
    ck_assert(cred_store_start(store, changed, NULL));
    view = cred_view_new(store);
    ck_assert_ptr_nonnull(view);
    ck_assert(cred_view_sync(view, NULL));
}

static int64_t now_s(void)
{
    clock_tick();
    return clock_wall_s();
}

/* The profile's access key, or "pending", or the reason. */
static const char *key(unsigned profile)
{
    static char out[600];
    struct err_detail why = {""};
    struct cred *c = NULL;
    switch (cred_view_get(view, profile, now_s(), &c, &why)) {
    case CRED_OK:
        snprintf(out, sizeof out, "%s", c->access_key);
        break;
    case CRED_PENDING:
        return "pending";
    case CRED_FAILED:
        snprintf(out, sizeof out, "%s", why.text);
        break;
    }
    return out;
}

static uint64_t id_of(unsigned profile)
{
    struct err_detail why = {""};
    struct cred *c = NULL;
    ck_assert_int_eq(cred_view_get(view, profile, now_s(), &c, &why), CRED_OK);
    return c->id;
}

/* Waits, by the store's own calls, until the profile shows want; true when it does. */
static bool becomes(unsigned profile, const char *want)
{
    uint64_t end = clock_fresh_ns() + 20 * NS_PER_SEC;
    for (;;) {
        pthread_mutex_lock(&mu);
        unsigned before = changes;
        pthread_mutex_unlock(&mu);
        (void)cred_view_sync(view, NULL);
        if (strstr(key(profile), want))
            return true;
        struct timespec ts;
        (void)timespec_get(&ts, TIME_UTC);
        ts.tv_sec += 1;
        pthread_mutex_lock(&mu);
        while (changes == before && pthread_cond_timedwait(&cond, &mu, &ts) == 0)
            ;
        pthread_mutex_unlock(&mu);
        if (clock_fresh_ns() > end)
            return false;
    }
}

static void oidc_profile(struct conf_profile *p)
{
    p->provider = "oidc";
    p->role_trn = "trn:iam::1:role/r";
    p->oidc_token_file = write_file("token", "tok", 0644);
    p->sts_scheme = "http";
}

/* The end of a test that reloaded: the new configuration is given back by all. */
static void reloaded_over(struct fixture *g)
{
    cred_view_free(view);
    cred_store_free(store);
    view = NULL;
    store = NULL;
    fixture_check(g);
}

START_TEST(what_needs_no_network_is_there_at_once)
{
    char file[300];
    f.conf.nprofiles = 3;
    fixture_init(&f, 3);
    fixture_static(&f.profiles[0], "STATIC", "s");
    snprintf(file, sizeof file, "%s", write_file("f", "access_key = FILE\nsecret_key = s\n", 0600));
    f.profiles[1].provider = "file";
    f.profiles[1].file = file;
    ck_assert_int_eq(setenv("VOLCENGINE_ACCESS_KEY", "ENV", 1), 0);
    ck_assert_int_eq(setenv("VOLCENGINE_SECRET_KEY", "s", 1), 0);
    start();
    ck_assert_str_eq(key(0), "STATIC");
    ck_assert_str_eq(key(1), "FILE");
    ck_assert_str_eq(key(2), "ENV"); /* through the default chain */
    ck_assert_str_eq(getenv("VOLCENGINE_SECRET_KEY"), "");
    ck_assert(!cred_view_sync(view, NULL));
    ck_assert_str_eq(key(3), "there is no such profile");
}
END_TEST

START_TEST(a_view_not_synced_is_pending)
{
    fixture_static(&f.profiles[0], "STATIC", "s");
    store = cred_store_new(&f.conf);
    view = cred_view_new(store);
    ck_assert_int_eq(cred_view_find(view, &f.conf, 0), 0);
    ck_assert_str_eq(key(0), "pending");
    ck_assert(cred_view_sync(view, NULL)); /* before the start: known, but nothing fetched */
    ck_assert_str_eq(key(0), "pending");
    ck_assert(cred_store_start(store, NULL, NULL));
    ck_assert(cred_view_sync(view, NULL));
    ck_assert_str_eq(key(0), "STATIC");
}
END_TEST

START_TEST(the_first_fetch_is_awaited)
{
    oidc_profile(&f.profiles[0]);
    gate(true);
    start();
    ck_assert_str_eq(key(0), "pending");
    server_wait(&srv, 1);
    ck_assert_str_eq(key(0), "pending");
    gate(false);
    ck_assert(becomes(0, "AKTP0"));
    ck_assert_uint_eq(server_seen(&srv), 1);
}
END_TEST

START_TEST(a_failed_first_fetch_says_why_and_is_tried_again)
{
    oidc_profile(&f.profiles[0]);
    refuse = true;
    start();
    ck_assert(becomes(0, "Denied"));
    ck_assert_ptr_nonnull(strstr(key(0), "profile \"default\": oidc: STS refused with HTTP 403"));
    pthread_mutex_lock(&mu);
    refuse = false;
    pthread_mutex_unlock(&mu);
    ck_assert(becomes(0, "AKTP")); /* by itself, after the backoff */
    struct cred_status st;
    ck_assert_uint_eq(cred_store_status(store, &st, 1), 1);
    ck_assert_uint_ge(st.refreshes_failed, 1);
    ck_assert_uint_eq(st.refreshes_ok, 1);
    ck_assert_int_eq(st.state, CRED_OK);
    ck_assert_str_eq(st.why.text, "");
}
END_TEST

START_TEST(renewed_before_it_expires)
{
    oidc_profile(&f.profiles[0]);
    life_s = 10000; /* so renewed 900 to 1100 before */
    start();
    ck_assert(becomes(0, "AKTP0"));
    struct err_detail why;
    struct cred *c = NULL;
    ck_assert_int_eq(cred_view_get(view, 0, now_s(), &c, &why), CRED_OK);
    int64_t expires = c->expires_s;
    wall_step_s = expires - 900 - now_s();
    ck_assert(becomes(0, "AKTP1"));
    ck_assert_int_lt(now_s(), expires); /* nobody ever had to wait */
}
END_TEST

START_TEST(a_failed_renewal_keeps_the_old_one_until_it_expires)
{
    oidc_profile(&f.profiles[0]);
    life_s = 5;
    start();
    ck_assert(becomes(0, "AKTP0"));
    pthread_mutex_lock(&mu);
    refuse = true;
    pthread_mutex_unlock(&mu);
    server_wait(&srv, 2); /* the renewal was refused */
    (void)cred_view_sync(view, NULL);
    ck_assert_str_eq(key(0), "AKTP0");
    ck_assert(becomes(0, "Denied")); /* and once it has expired: failed, with the reason */
    struct cred_status st;
    ck_assert_uint_eq(cred_store_status(store, &st, 1), 1);
    ck_assert_int_eq(st.state, CRED_FAILED);
    ck_assert_ptr_nonnull(strstr(st.why.text, "Denied"));
}
END_TEST

START_TEST(a_credential_that_expired_is_not_served)
{
    struct err_detail why = {""};
    struct cred *c = NULL;
    oidc_profile(&f.profiles[0]);
    start();
    ck_assert(becomes(0, "AKTP0"));
    /* as after a suspend: the view sees it before the store does, and makes it renew */
    ck_assert_int_eq(cred_view_get(view, 0, now_s() + 4000, &c, &why), CRED_PENDING);
    ck_assert(becomes(0, "AKTP1"));
}
END_TEST

START_TEST(one_that_is_expired_already_is_a_failure)
{
    oidc_profile(&f.profiles[0]);
    life_s = -5;
    start();
    ck_assert(becomes(0, "is the clock right?"));
}
END_TEST

START_TEST(a_changed_file_is_taken_over_within_two_seconds)
{
    char file[300];
    snprintf(file, sizeof file, "%s", write_file("f", "access_key = ONE\nsecret_key = s\n", 0600));
    f.profiles[0].provider = "file";
    f.profiles[0].file = file;
    start();
    ck_assert_str_eq(key(0), "ONE");
    uint64_t id = id_of(0), t = clock_fresh_ns();
    write_file("f", "access_key = TWO\nsecret_key = s\n", 0600);
    ck_assert(becomes(0, "TWO"));
    ck_assert_uint_lt(clock_fresh_ns() - t, 2 * NS_PER_SEC);
    const uint64_t *gone;
    ck_assert_uint_eq(cred_view_replaced(view, &gone), 1);
    ck_assert_uint_eq(gone[0], id);
    /* a broken one is reported, and what is held stays */
    write_file("f", "access_key = THREE\n", 0600);
    uint64_t end = clock_fresh_ns() + 5 * NS_PER_SEC;
    struct cred_status st = {.refreshes_failed = 0};
    while (!st.refreshes_failed && clock_fresh_ns() < end)
        (void)cred_store_status(store, &st, 1);
    ck_assert_ptr_nonnull(strstr(st.why.text, "no secret_key"));
    ck_assert_int_eq(st.state, CRED_OK);
    ck_assert(becomes(0, "TWO"));
    ck_assert_int_eq(unlink(file), 0);
    write_file("f", "access_key = FOUR\nsecret_key = s\n", 0600);
    ck_assert(becomes(0, "FOUR"));
}
END_TEST

START_TEST(a_slow_service_does_not_hold_up_files)
{
    char file[300];
    fixture_init(&f, 3);
    fixture_reach(&f, &srv);
    oidc_profile(&f.profiles[0]);
    oidc_profile(&f.profiles[1]);
    snprintf(file, sizeof file, "%s", write_file("f", "access_key = ONE\nsecret_key = s\n", 0600));
    f.profiles[2].provider = "file";
    f.profiles[2].file = file;
    gate(true);
    start();
    server_wait(&srv, 1);
    write_file("f", "access_key = TWO\nsecret_key = s\n", 0600);
    ck_assert(becomes(2, "TWO"));
    ck_assert_str_eq(key(0), "pending");
}
END_TEST

/* An overloaded service for those that are called dead: each fetch of theirs takes two seconds,
 * more than their first pause. */
static void half_dead(struct server *s, unsigned n, const char *request, char *out)
{
    if (strstr(request, "Host: dead"))
        respond(out, 503, "");
    else
        sts(s, n, request, out);
}

START_TEST(dead_services_do_not_starve_the_others)
{
    enum { DEAD = 9 };
    struct conf_profile many[DEAD + 1];
    char names[DEAD + 1][8] = {[DEAD] = "good"};
    unsigned first_asked = 0;
    oidc_profile(&f.profiles[0]);
    for (int i = 0; i <= DEAD; i++) {
        if (i < DEAD)
            snprintf(names[i], sizeof names[i], "dead%d", i);
        many[i] = f.profiles[0];
        many[i].name = many[i].sts_endpoint = names[i];
    }
    srv.answer = half_dead;
    f.conf.profiles = many;
    f.conf.nprofiles = DEAD + 1;
    start();
    ck_assert(becomes(DEAD, "AKTP"));
    for (unsigned i = 0; !strstr(srv.seen[i], "Host: good\r\n"); i++)
        first_asked += strstr(srv.seen[i], "Host: dead0\r\n") != NULL;
    /* one fetch; its second one may begin at the same moment, but not be through */
    ck_assert_uint_lt(first_asked, 6);
    cred_view_free(view);
    cred_store_free(store);
    view = NULL;
    store = NULL;
}
END_TEST

START_TEST(an_equal_credential_keeps_its_id)
{
    char file[300];
    snprintf(file, sizeof file, "%s", write_file("f", "access_key = ONE\nsecret_key = s\n", 0600));
    f.profiles[0].provider = "file";
    f.profiles[0].file = file;
    start();
    uint64_t id = id_of(0);
    struct cred_status st = {.refreshes_ok = 1};
    cred_store_refresh_all(store);
    uint64_t end = clock_fresh_ns() + 5 * NS_PER_SEC;
    while (st.refreshes_ok < 2 && clock_fresh_ns() < end)
        (void)cred_store_status(store, &st, 1);
    ck_assert_uint_eq(st.refreshes_ok, 2);
    (void)cred_view_sync(view, NULL);
    ck_assert_uint_eq(id_of(0), id);
}
END_TEST

START_TEST(a_rejected_credential_is_replaced_once)
{
    oidc_profile(&f.profiles[0]);
    start();
    ck_assert(becomes(0, "AKTP0"));
    uint64_t id = id_of(0);
    gate(true);
    ck_assert(cred_store_rejected(store, 0, id));
    ck_assert(cred_store_rejected(store, 0, id)); /* a second request: the same refresh */
    ck_assert(cred_view_sync(view, NULL));
    ck_assert(cred_view_busy(view, 0));
    ck_assert_str_eq(key(0), "AKTP0"); /* others go on with it meanwhile */
    server_wait(&srv, 2);
    gate(false);
    ck_assert(becomes(0, "AKTP1"));
    ck_assert(!cred_view_busy(view, 0));
    ck_assert_uint_eq(server_seen(&srv), 2);
    ck_assert(!cred_view_sync(view, NULL));
    ck_assert(cred_store_rejected(store, 0, id)); /* late: there is another one already */
    ck_assert(cred_view_sync(view, NULL));        /* and whoever waits for a sync has one */
    ck_assert(!cred_view_busy(view, 0));
    ck_assert_uint_eq(server_seen(&srv), 2);
    ck_assert(!cred_store_rejected(store, 0, id_of(0))); /* the new one as well: no storm */
    ck_assert_uint_eq(server_seen(&srv), 2);
}
END_TEST

static void settle(struct cred_slot *sl, const char *key, int64_t expires_s, bool held)
{
    struct cred_outcome out = {.held = held};
    if (key)
        out.cred = cred_new_plain("cli", str_of(key), STR("s"), STR(""), expires_s, &out.why);
    else
        err_set(&out.why, ERR_CREDENTIALS, "no");
    ck_assert(!key || out.cred);
    cred_slot_settle(sl, &out);
}

/* One without an end that stands in for another's is renewed all the same, its own is not. */
START_TEST(a_makeshift_without_an_end_is_renewed)
{
    f.profiles[0].provider = "default";
    struct cred_slot *sl = cred_slot_new(&f.conf, &f.profiles[0]);
    ck_assert_ptr_nonnull(sl);
    settle(sl, "K", 0, false);
    ck_assert_uint_eq(sl->due_ns, UINT64_MAX);
    sl->memory.fell_from = &cred_provider_oidc;
    uint64_t before = clock_fresh_ns();
    settle(sl, "K", 0, true);
    ck_assert_uint_ge(sl->due_ns, before + 60 * NS_PER_SEC);
    ck_assert_uint_le(sl->due_ns, clock_fresh_ns() + 60 * NS_PER_SEC);
    cred_slot_free(sl);
}
END_TEST

/* A renewal that fails waits; one during which the credential ended is followed by the next, which
 * may ask the chain's other members. */
START_TEST(who_lost_the_credential_asks_again_at_once)
{
    f.profiles[0].provider = "default";
    struct cred_slot *sl = cred_slot_new(&f.conf, &f.profiles[0]);
    ck_assert_ptr_nonnull(sl);
    uint64_t before = clock_fresh_ns();
    settle(sl, "K", clock_wall_s() + 100, false);
    settle(sl, NULL, 0, true);
    ck_assert_uint_gt(sl->due_ns, before + NS_PER_SEC / 2);
    wall_step_s += 200;
    settle(sl, NULL, 0, true);
    ck_assert_ptr_null(sl->current);
    ck_assert_uint_le(sl->due_ns, clock_fresh_ns());
    before = clock_fresh_ns();
    settle(sl, NULL, 0, false);
    ck_assert_uint_gt(sl->due_ns, before + NS_PER_SEC / 2);
    cred_slot_free(sl);
}
END_TEST

START_TEST(keys_that_never_change_are_not_refetched)
{
    fixture_static(&f.profiles[0], "STATIC", "s");
    start();
    ck_assert(!cred_store_rejected(store, 0, id_of(0)));
    ck_assert(!cred_store_rejected(store, 7, 12345));
    (void)cred_view_sync(view, NULL);
    ck_assert(!cred_view_busy(view, 0));
    ck_assert(!cred_view_busy(view, 7));
}
END_TEST

START_TEST(the_end_does_not_wait_for_a_hanging_service)
{
    oidc_profile(&f.profiles[0]);
    gate(true);
    f.conf.timeouts.read_ns = 60 * NS_PER_SEC;
    start();
    server_wait(&srv, 1);
    uint64_t t = clock_fresh_ns();
    cred_view_free(view);
    cred_store_free(store);
    view = NULL;
    store = NULL;
    ck_assert_uint_lt(clock_fresh_ns() - t, NS_PER_SEC);
}
END_TEST

START_TEST(the_status_is_masked)
{
    fixture_init(&f, 2);
    fixture_static(&f.profiles[0], "AKLTabcdefgh1234", "topsecret");
    f.profiles[1].provider = "file";
    f.profiles[1].file = in_dir("none");
    start();
    struct cred_status st[3];
    ck_assert_uint_eq(cred_store_status(store, st, 1), 1);
    ck_assert_uint_eq(cred_store_status(store, st, 3), 2);
    ck_assert_str_eq(st[0].profile, "default");
    ck_assert_str_eq(st[0].provider, "static");
    ck_assert_str_eq(st[0].access_key, "AKLT...1234");
    ck_assert_int_eq(st[0].expires_s, 0);
    ck_assert_int_eq(st[1].state, CRED_FAILED);
    ck_assert_str_eq(st[1].provider, "file");
    ck_assert_str_eq(st[1].access_key, "");
    ck_assert_ptr_nonnull(strstr(st[1].why.text, "No such file"));
    ck_assert_ptr_nonnull(strstr(key(1), "profile \"second\": file: "));
}
END_TEST

START_TEST(a_reload_keeps_what_stayed_the_same)
{
    struct fixture g;
    fixture_init(&f, 3);
    fixture_reach(&f, &srv);
    oidc_profile(&f.profiles[0]);
    fixture_static(&f.profiles[1], "STATIC", "s");
    fixture_static(&f.profiles[2], "GOES", "s");
    start();
    ck_assert(becomes(0, "AKTP0"));
    uint64_t id = id_of(0), changes_id = id_of(1), goes_id = id_of(2);
    /* the same ones in another order, one changed, one gone */
    fixture_init(&g, 2);
    fixture_reach(&g, &srv);
    fixture_static(&g.profiles[0], "STATIC", "other");
    g.profiles[0].name = "second";
    g.profiles[1] = f.profiles[0];
    ck_assert(cred_store_reload(store, &g.conf));
    ck_assert(!cred_view_sync(view, &f.conf)); /* who has the old rules keeps what goes with them */
    ck_assert_uint_eq(id_of(0), id);
    ck_assert_uint_eq(id_of(2), goes_id);
    ck_assert(cred_view_sync(view, &g.conf));
    ck_assert_uint_eq(id_of(1), id);
    ck_assert_uint_eq(server_seen(&srv), 1); /* and nobody was asked */
    ck_assert_uint_ne(id_of(0), changes_id);
    ck_assert_int_eq(cred_view_find(view, &f.conf, 0), 1);
    ck_assert_int_eq(cred_view_find(view, &f.conf, 2), -1);
    ck_assert_int_eq(cred_view_find(view, &g.conf, 1), 1);
    const uint64_t *gone;
    ck_assert_uint_eq(cred_view_replaced(view, &gone), 2);
    ck_assert_uint_eq(gone[0], changes_id);
    ck_assert_uint_eq(gone[1], goes_id);
    ck_assert_uint_eq(atomic_load(&f.conf.refs), 1);
    reloaded_over(&g);
}
END_TEST

START_TEST(a_reload_during_a_fetch)
{
    struct fixture g;
    oidc_profile(&f.profiles[0]);
    gate(true);
    start();
    server_wait(&srv, 1);
    fixture_init(&g, 1); /* the profile under fetch goes */
    fixture_static(&g.profiles[0], "STATIC", "s");
    ck_assert(cred_store_reload(store, &g.conf));
    ck_assert(cred_view_sync(view, NULL));
    ck_assert_str_eq(key(0), "STATIC");
    gate(false);
    reloaded_over(&g);
}
END_TEST

START_TEST(keys_that_a_reload_replaced_are_another_credential)
{
    struct fixture g;
    fixture_static(&f.profiles[0], "OLD", "s");
    start();
    uint64_t id = id_of(0);
    fixture_init(&g, 1);
    fixture_static(&g.profiles[0], "NEW", "s");
    ck_assert(cred_store_reload(store, &g.conf));
    ck_assert(cred_store_rejected(store, 0, id)); /* by a request that still has the old ones */
    ck_assert(cred_view_sync(view, NULL));
    ck_assert(!cred_view_busy(view, 0));
    ck_assert_str_eq(key(0), "NEW");
    ck_assert(!cred_store_rejected(store, 0, id_of(0)));
    reloaded_over(&g);
}
END_TEST

START_TEST(a_role_follows_the_profile_it_is_assumed_with)
{
    struct fixture g;
    fixture_init(&f, 2);
    fixture_reach(&f, &srv);
    fixture_static(&f.profiles[1], "BASE", "s");
    f.profiles[0].provider = "assume_role";
    f.profiles[0].role_trn = "trn:iam::1:role/r";
    f.profiles[0].source_profile = "second";
    f.profiles[0].sts_scheme = "http";
    start();
    ck_assert(becomes(0, "AKTP0"));
    uint64_t id = id_of(0);
    fixture_init(&g, 2);
    fixture_reach(&g, &srv);
    g.profiles[0] = f.profiles[0];
    fixture_static(&g.profiles[1], "BASE", "another");
    ck_assert(cred_store_reload(store, &g.conf));
    ck_assert(becomes(0, "AKTP1"));
    ck_assert_uint_ne(id_of(0), id);
    reloaded_over(&g);
}
END_TEST

/* Readers, rotation, reload and status at once: for the thread sanitizer. */
static _Atomic bool stop_reading;
static void *read_views(void *arg)
{
    (void)arg;
    struct cred_view *v = cred_view_new(store);
    uint64_t reads = 0;
    while (!atomic_load(&stop_reading)) {
        struct err_detail why;
        struct cred *c = NULL;
        (void)cred_view_sync(v, NULL);
        clock_tick();
        if (cred_view_get(v, 0, clock_wall_s(), &c, &why) == CRED_OK) {
            ck_assert(secret_is(c->secret_key, c->access_key)); /* both parts of one snapshot */
            reads++;
        }
    }
    cred_view_free(v);
    ck_assert_uint_gt(reads, 0);
    return NULL;
}

START_TEST(rotation_under_load)
{
    pthread_t t[3];
    char file[300], text[128];
    snprintf(file, sizeof file, "%s", write_file("f", "access_key = K\nsecret_key = K\n", 0600));
    f.profiles[0].provider = "file";
    f.profiles[0].file = file;
    start();
    atomic_store(&stop_reading, false);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, read_views, NULL), 0);
    for (int i = 0; i < 200; i++) {
        char want[16];
        struct cred_status st;
        snprintf(want, sizeof want, "K%d", i);
        snprintf(text, sizeof text, "access_key = %s\nsecret_key = %s\n", want, want);
        write_file("f", text, 0600);
        if (i % 10 == 9) {
            ck_assert(cred_store_reload(store, &f.conf));
        }
        cred_store_refresh_all(store);
        (void)cred_store_status(store, &st, 1);
        ck_assert(becomes(0, want));
    }
    atomic_store(&stop_reading, true);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_store");
    TCase *c = tcase_create("cred_store");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, what_needs_no_network_is_there_at_once);
    tcase_add_test(c, a_view_not_synced_is_pending);
    tcase_add_test(c, the_first_fetch_is_awaited);
    tcase_add_test(c, a_failed_first_fetch_says_why_and_is_tried_again);
    tcase_add_test(c, renewed_before_it_expires);
    tcase_add_test(c, a_failed_renewal_keeps_the_old_one_until_it_expires);
    tcase_add_test(c, a_credential_that_expired_is_not_served);
    tcase_add_test(c, one_that_is_expired_already_is_a_failure);
    tcase_add_test(c, a_changed_file_is_taken_over_within_two_seconds);
    tcase_add_test(c, a_slow_service_does_not_hold_up_files);
    tcase_add_test(c, dead_services_do_not_starve_the_others);
    tcase_add_test(c, an_equal_credential_keeps_its_id);
    tcase_add_test(c, a_rejected_credential_is_replaced_once);
    tcase_add_test(c, a_makeshift_without_an_end_is_renewed);
    tcase_add_test(c, who_lost_the_credential_asks_again_at_once);
    tcase_add_test(c, keys_that_never_change_are_not_refetched);
    tcase_add_test(c, the_end_does_not_wait_for_a_hanging_service);
    tcase_add_test(c, the_status_is_masked);
    tcase_add_test(c, a_reload_keeps_what_stayed_the_same);
    tcase_add_test(c, a_reload_during_a_fetch);
    tcase_add_test(c, keys_that_a_reload_replaced_are_another_credential);
    tcase_add_test(c, a_role_follows_the_profile_it_is_assumed_with);
    tcase_add_test(c, rotation_under_load);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
