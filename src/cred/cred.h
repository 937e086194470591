/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: immutable refcounted snapshots, a store that keeps one current snapshot a profile
 * fresh from threads of its own, and a view of it for each worker that is read without locks. */
#ifndef SIGFERRY_CRED_CRED_H
#define SIGFERRY_CRED_CRED_H

#include "base/buf.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "sign/sign.h"

struct cred {
    _Atomic unsigned refs;
    uint64_t id;      /* unique in this process: the derived-key cache's secret_id */
    char *access_key; /* NUL-terminated */
    struct secret *secret_key;
    struct secret *session_token; /* NULL when there is none */
    int64_t expires_s;            /* unix seconds; 0: never */
    const char *provider;         /* static text: "env", "file", … */
};

struct cred *cred_ref(struct cred *c);
void cred_unref(struct cred *c);
/* The strings signing wants; valid while the caller holds a reference. */
struct sign_cred cred_for_signing(const struct cred *c);

struct cred_store;

/* Makes a store for the profiles of conf (a reference is taken); starts nothing. Reads the clouds'
 * credential variables and overwrites them in the environment: before any other thread runs. NULL
 * when memory is short. */
NODISCARD struct cred_store *cred_store_new(struct conf *conf);
/* Fetches what can be had at once (static, env, file) and starts the refresher threads for the
 * rest. changed(arg) is called from a refresher thread after each new snapshot or outcome, never
 * from two at a time. false when a thread can't be made (errno). */
NODISCARD bool cred_store_start(struct cred_store *s, void (*changed)(void *arg), void *arg);
/* Ends what is under way, stops the threads, wipes everything. Views must be gone. NULL is fine. */
void cred_store_free(struct cred_store *s);
/* Whether a configuration may be reloaded as far as credentials go: fetches those of profiles that
 * are new or changed and need nobody's answer (providers file and static), and keeps nothing. false
 * with why naming the profile. For the thread that calls cred_store_reload. */
NODISCARD bool cred_store_check(struct cred_store *s, struct conf *conf, struct err_detail *why);
/* A reloaded configuration: profiles that stayed the same keep their credential. false when memory
 * or threads are short; then nothing has changed. */
NODISCARD bool cred_store_reload(struct cred_store *s, struct conf *conf);
/* Refresh everything now (SIGHUP). */
void cred_store_refresh_all(struct cred_store *s);
/* The cloud rejected that credential of a profile (cred_view_find) as expired or unknown. true when
 * a refresh is under way or the profile already has another one: a sync of the caller's view will
 * return true for it. After such a one look whether cred_view_busy is false, and then whether the
 * credential's id is another. false when no other can be had (a static key, or the one that
 * replaced a rejected one was rejected again at once). Any thread. */
bool cred_store_rejected(struct cred_store *s, unsigned profile, uint64_t cred_id);

enum cred_state { CRED_OK, CRED_PENDING, CRED_FAILED };

/* A worker's view. One thread. */
struct cred_view;
NODISCARD struct cred_view *cred_view_new(struct cred_store *s);
void cred_view_free(struct cred_view *v);
/* Takes over what changed since the last call; true when something did. One atomic load when
 * nothing has. The store is given a reloaded configuration before its users are: as long as it is
 * not conf that the store has, nothing is taken over. NULL: whatever it has. */
bool cred_view_sync(struct cred_view *v, const struct conf *conf);
/* True while the refresh that cred_store_rejected asked for is under way, as of the last sync. */
bool cred_view_busy(const struct cred_view *v, unsigned profile);
/* Ids of the credentials that the last sync that returned true replaced, so that keys derived from
 * them can be forgotten. The array is the view's, valid until the next sync. */
size_t cred_view_replaced(const struct cred_view *v, const uint64_t **ids);
/* What the index of one of conf's profiles is in the view, -1 when it has none of that name:
 * requests that began under an earlier configuration than the view's go on. */
int cred_view_find(const struct cred_view *v, const struct conf *conf, unsigned profile);
/* The current credential of a profile (cred_view_find): CRED_OK sets *out, borrowed
 * until the next cred_view_sync (cred_ref to keep it). An expired one is not CRED_OK. CRED_PENDING:
 * the first fetch is under way; ask again after a sync that returned true. CRED_FAILED: why in *why
 * (each provider tried, why it failed, what to set). */
enum cred_state cred_view_get(struct cred_view *v, unsigned profile, int64_t now_s,
                              struct cred **out, struct err_detail *why);

/* For the command line, readiness and the status page: a copy of one profile's condition. */
struct cred_status {
    char profile[64], provider[32], access_key[16]; /* masked */
    enum cred_state state;
    int64_t expires_s;
    uint64_t refreshes_ok, refreshes_failed;
    struct err_detail why;
};
size_t cred_store_status(struct cred_store *s, struct cred_status *out, size_t max);

/* What each provider that was tried said, in the order of trying. */
enum { CRED_TRACE_MAX = 12 };
struct cred_trace {
    size_t n;
    struct {
        const char *provider; /* static text */
        bool ok;
        struct err_detail why; /* when not ok */
    } v[CRED_TRACE_MAX];
};

/* Fetches one profile's credential now, blocking, for commands (sign, presign, credentials). NULL
 * on failure with why set. trace may be NULL. Reads the environment as cred_store_new does. */
NODISCARD struct cred *cred_fetch(struct conf *conf, const char *profile, struct err_detail *why);
NODISCARD struct cred *cred_fetch_traced(struct conf *conf, const char *profile,
                                         struct cred_trace *trace, struct err_detail *why);

/* Wipes what was read from the environment, at the end of the process; nothing of this module may
 * be used afterwards but by starting anew. */
void cred_forget_environment(void);

#endif
