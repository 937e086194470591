/* SPDX-License-Identifier: Apache-2.0 */
/* May this action be done, by the policy that holds for the request? Pure but for policy_seen, a
 * bounded memory of what was asked for. */
#ifndef SIGFERRY_PROXY_POLICY_H
#define SIGFERRY_PROXY_POLICY_H

#include "proxy/route.h"

enum policy_verdict {
    POLICY_PASS,   /* allowed */
    POLICY_WOULD,  /* not allowed, but the policy only warns or records: log it and go on */
    POLICY_REFUSE, /* not allowed: answer ERR_ACTION_NOT_ALLOWED */
};

/* Judges by the request's policy (none: POLICY_PASS). Rules: a `deny` pattern that matches refuses;
 * a non-empty `allow` must have a pattern that matches; a non-empty `regions` must have the region.
 * Patterns are "service:Action" with '*', without regard to case; a request without Action matches
 * "service:*" only, and an Action with blanks, controls or bytes beyond ASCII is not judged but
 * refused. why (may be NULL) tells what decided. */
enum policy_verdict policy_check(const struct conf_policy *p, struct str service, struct str action,
                                 struct str region, struct err_detail *why);

/* Does the query have a parameter that a server might take for Action, though it is none: "Action"
 * with blanks, controls or bytes beyond ASCII in it? None of them was judged: not POLICY_PASS. */
enum policy_verdict policy_check_names(const struct conf_policy *p, const struct uri_query *query,
                                       struct err_detail *why);

/* True when a form body of this request has to be looked through (policy_form_*), because under an
 * enforced policy an Action in it could make the upstream do something else than what was judged.
 * The whole body must have passed before the first byte is sent. r->forward must be complete; a
 * request without Content-Type counts as a form, since it is sent as one. */
bool policy_wants_body(const struct route *r);

/* Looks for a parameter named Action in a form body that comes in pieces. */
struct policy_form {
    bool multipart;
    bool opaque; /* compressed, of two types, or in a character set that hides names: can't be
                    looked through */
    bool found;
    /* private */
    unsigned at, state;
    char name[8];
    unsigned char escape;
    /* multipart: the last byte is of a word; "name" is all of one, behind a ';'; "name*"; "name=="
     * so far; the last byte that shows is a ';' or the end of a comment */
    bool word, whole, led, star, coded, separator;
};

/* For the Content-Type of r->forward. */
void policy_form_begin(struct policy_form *f, const struct route *r);
/* Takes the next bytes; true as soon as an Action parameter was seen (and ever after), or can't be
 * ruled out. */
bool policy_form_feed(struct policy_form *f, const char *p, size_t n);
/* The body is complete; true when it has an Action parameter. */
bool policy_form_end(struct policy_form *f);
/* The refusal of such a body. */
enum err policy_form_refuse(struct err_detail *why);

/* Which (service, Action) pairs were seen, for policies that record. Bounded: the least recently
 * seen is forgotten. One thread. */
struct policy_seen;
NODISCARD struct policy_seen *policy_seen_new(unsigned most);
void policy_seen_free(struct policy_seen *s);
/* True when the pair is new. */
bool policy_seen_add(struct policy_seen *s, struct str service, struct str action);

/* The same of all workers together, as patterns ready for an allow list. Pairs with other bytes
 * than letters, digits, '.', '_' and '-' are left out: a client could write a '*' into the list.
 * Any thread may call. */
enum { POLICY_RECORD_MAX = 1024, POLICY_PATTERN_MAX = 160 };
struct policy_record;
NODISCARD struct policy_record *policy_record_new(void);
void policy_record_free(struct policy_record *r);
/* Without an action: "service:*". Beyond POLICY_RECORD_MAX pairs nothing is added. */
void policy_record_add(struct policy_record *r, struct str service, struct str action);
/* Copies up to max of them, sorted; returns how many. */
size_t policy_record_copy(struct policy_record *r, char (*out)[POLICY_PATTERN_MAX], size_t max);

#endif
