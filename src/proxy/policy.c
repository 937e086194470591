/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: patterns against service and Action. What cannot be read for sure is refused, not
 * guessed; case never opens a way around a deny. */
#include "proxy/policy.h"
#include "proxy/glob.h"
#include "proxy/lru.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 64, SEEN_KEY_MAX = 192 };

/* Servers differ about white space, controls and byte order marks around a name: nothing that does
 * not show may hide one. */
static bool is_visible(char c)
{
    return c > ' ' && c <= '~';
}

static bool any_action(const struct conf_strs *list, struct str service, struct str action)
{
    for (size_t i = 0; i < list->n; i++)
        if (glob_action(str_of(list->v[i]), service, action))
            return true;
    return false;
}

static bool any_region(const struct conf_strs *list, struct str region)
{
    for (size_t i = 0; i < list->n; i++)
        if (glob_match(str_of(list->v[i]), region, ""))
            return true;
    return false;
}

static bool all_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_visible(s.p[i]))
            return false;
    return true;
}

static int shown(struct str s)
{
    return (int)(s.n < SHOWN ? s.n : SHOWN);
}

static enum policy_verdict refused(const struct conf_policy *p)
{
    return p->mode == POLICY_ENFORCE ? POLICY_REFUSE : POLICY_WOULD;
}

enum policy_verdict policy_check(const struct conf_policy *p, struct str service, struct str action,
                                 struct str region, struct err_detail *why)
{
    if (!p)
        return POLICY_PASS;
    const char *reason;
    if (!all_visible(action))
        reason = "holds bytes that do not show, and can't be judged";
    else if (any_action(&p->deny, service, action))
        reason = "is denied";
    else if (p->allow.n && !any_action(&p->allow, service, action))
        reason = "is not among what is allowed";
    else if (p->regions.n && !any_region(&p->regions, region))
        reason = "is not allowed in this region";
    else
        return POLICY_PASS;
    (void)err_set(why, ERR_ACTION_NOT_ALLOWED, "%.*s:%.*s in %.*s %s by the policy %s",
                  shown(service), service.n ? service.p : "", action.n ? shown(action) : 6,
                  action.n ? action.p : "(none)", shown(region), region.n ? region.p : "", reason,
                  p->name);
    return refused(p);
}

/* What a server may take a body for. */
enum { BODY_FORM = 1, BODY_MULTIPART = 2 };

static unsigned body_types(const struct route *r)
{
    const struct hdr *h = hdrs_find(&r->forward, STR("Content-Type"));
    struct str rest = h ? h->value : (struct str){NULL, 0};
    if (!rest.n)
        return BODY_FORM;
    unsigned types = 0;
    /* Several joined values: which one the upstream takes isn't known. */
    while (rest.p) {
        struct str one = str_cut(&rest, ','), type = str_trim(str_cut(&one, ';'));
        /* Servers that know Unicode trim and fold more than ASCII. */
        if (!all_visible(type))
            types |= BODY_FORM | BODY_MULTIPART;
        if (str_istarts(type, STR("multipart/")))
            types |= BODY_MULTIPART;
        else if (!type.n || str_istarts(type, STR("application/x-www-form-urlencoded")))
            types |= BODY_FORM;
    }
    return types;
}

bool policy_wants_body(const struct route *r)
{
    return r->policy && r->policy->mode == POLICY_ENFORCE && body_types(r);
}

/* A character set in which "Action" is written as in ASCII. */
static bool is_plain_charset(struct str name)
{
    static const struct str plain[] = {
        {"utf-8", 5}, {"utf8", 4}, {"us-ascii", 8}, {"ascii", 5}, {"iso-8859-1", 10}};
    if (name.n > 1 && name.p[0] == '"' && name.p[name.n - 1] == '"')
        name = str_n(name.p + 1, name.n - 2);
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (str_ieq(name, plain[i]))
            return true;
    return false;
}

static bool is_opaque(const struct route *r)
{
    const struct hdr *coding = hdrs_find(&r->forward, STR("Content-Encoding"));
    const struct hdr *type = hdrs_find(&r->forward, STR("Content-Type"));
    if (coding && (hdrs_count(&r->forward, STR("Content-Encoding")) > 1 ||
                   (coding->value.n && !str_ieq(coding->value, STR("identity")))))
        return true;
    struct str rest = type ? type->value : (struct str){NULL, 0};
    for (size_t i = 0; i + 7 <= rest.n; i++) {
        struct str at = str_n(rest.p + i, rest.n - i);
        if (!str_istarts(at, STR("charset")))
            continue;
        at = str_trim(str_n(at.p + 7, at.n - 7));
        if (!at.n || at.p[0] != '=')
            return true;
        at = str_n(at.p + 1, at.n - 1);
        struct str one = str_cut(&at, ',');
        if (!is_plain_charset(str_trim(str_cut(&one, ';'))))
            return true;
    }
    return false;
}

void policy_form_begin(struct policy_form *f, const struct route *r)
{
    unsigned types = body_types(r);
    *f = (struct policy_form){
        .multipart = (types & BODY_MULTIPART) != 0,
        .opaque = types == (BODY_FORM | BODY_MULTIPART) || is_opaque(r),
    };
}

/* urlencoded: the decoded name so far is in name[0..at), longer ones are cut. */
enum { IN_NAME, IN_ESCAPE_1, IN_ESCAPE_2, IN_ESCAPE_U, IN_VALUE };

static const char action_name[] = "action";
enum { ACTION_LEN = sizeof(action_name) - 1 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Is a canonical name of the query "Action" but for bytes that do not show, or for what follows a
 * NUL, where C ends? */
static bool hides_action(struct str name)
{
    size_t k = 0;
    bool hidden = false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '%' && name.n - i > 2) {
            int byte = hex_digit(name.p[i + 1]) * 16 + hex_digit(name.p[i + 2]);
            if (byte == 0 && k == ACTION_LEN)
                return true;
            if (is_visible((char)byte))
                return false;
            hidden = true;
            i += 2;
        } else if (k == ACTION_LEN || ascii_lower(name.p[i]) != action_name[k++]) {
            return false;
        }
    }
    return hidden && k == ACTION_LEN;
}

enum policy_verdict policy_check_names(const struct conf_policy *p, const struct uri_query *query,
                                       struct err_detail *why)
{
    for (size_t i = 0; p && i < query->n; i++) {
        if (!hides_action(query->v[i].name))
            continue;
        (void)err_set(why, ERR_ACTION_NOT_ALLOWED,
                      "the query parameter '%.*s' is no way to write Action, and the policy %s has "
                      "not judged it",
                      shown(query->v[i].name), query->v[i].name.p, p->name);
        return refused(p);
    }
    return POLICY_PASS;
}

static bool is_action(const struct policy_form *f)
{
    return f->at == ACTION_LEN && memcmp(f->name, action_name, ACTION_LEN) == 0;
}

static void name_add(struct policy_form *f, char c)
{
    if (c == '\0' && is_action(f))
        f->found = true; /* where C ends */
    if (is_visible(c) && f->at < sizeof(f->name))
        f->name[f->at++] = ascii_lower(c);
}

static void name_ends(struct policy_form *f)
{
    f->found = f->found || is_action(f);
    f->at = 0;
}

static void form_byte(struct policy_form *f, char c)
{
    int digit = hex_digit(c);
    if (c == '&' || c == ';') {
        if (f->state != IN_VALUE)
            name_ends(f);
        f->at = 0;
        f->state = IN_NAME;
    } else if (f->state == IN_VALUE) {
        return;
    } else if (c == '=') {
        name_ends(f);
        f->state = IN_VALUE;
    } else if (f->state == IN_ESCAPE_1 && digit >= 0) {
        f->escape = (unsigned char)(digit << 4);
        f->state = IN_ESCAPE_2;
    } else if (f->state == IN_ESCAPE_2 && digit >= 0) {
        name_add(f, (char)(f->escape | digit));
        f->state = IN_NAME;
    } else if (c == '%') {
        f->state = IN_ESCAPE_1;
    } else if (f->state == IN_ESCAPE_1 && c == 'u') {
        f->state = IN_ESCAPE_U;
    } else if (f->state == IN_ESCAPE_U && digit >= 0) {
        f->found = true; /* %u0041: some servers read it, no client writes it */
    } else {
        f->state = IN_NAME;
        name_add(f, c == '+' ? ' ' : c);
    }
}

/* name*=…, name*0=…: coded or in pieces (RFC 2231), so that the name itself does not show. True
 * while c belongs to that. */
static bool multipart_star(struct policy_form *f, char c)
{
    if (c == '*')
        f->star = true;
    else if (!f->star)
        return false;
    else if (c == '=')
        f->found = true;
    return c == '*' || c == '=' || (c >= '0' && c <= '9') || !is_visible(c);
}

static const char multipart_name[] = "name=action";
enum { MULTIPART_LEN = sizeof(multipart_name) - 1, EQUALS = 4 };

/* ; name(…)=…, name=(…)…: comments (RFC 5322), and name="=?utf-8?Q?…": a coded word (RFC 2047).
 * What comes then is not looked into. */
static void multipart_disguise(struct policy_form *f, char c)
{
    bool begins = f->at == EQUALS + 1 && f->whole;
    f->found = f->found || (c == '(' && (begins || (f->at == EQUALS && f->whole && f->led))) ||
               (c == '?' && f->coded);
    f->coded = begins && c == '=';
}

/* multipart: looks for name= (of Content-Disposition), an optional quote, Action, and an end of the
 * word. It may also hit inside a file's content; such a body is refused rather than guessed about.
 */
static void multipart_byte(struct policy_form *f, char c)
{
    c = ascii_lower(c);
    bool within_word = f->word;
    f->word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (f->at == MULTIPART_LEN) {
        f->found = f->found || !f->word;
        f->at = 1; /* "actionname=": its end begins the next */
        f->whole = f->star = false;
    }
    multipart_disguise(f, c);
    if (f->at == EQUALS && f->whole && multipart_star(f, c))
        return;
    if (f->at && c == multipart_name[f->at]) {
        f->at++;
        return;
    }
    /* White space and quotes may stand around the '=', and a quoted string may escape any byte. */
    bool quote = c == '"' || c == '\'';
    if (f->at >= EQUALS && (!is_visible(c) || c == '\\' || (quote && f->at <= EQUALS + 1)))
        return;
    f->at = c == 'n' ? 1 : 0;
    f->whole = !within_word; /* not the end of "filename" */
    f->star = false;
    if (f->at)
        f->led = f->separator;
    else if (is_visible(c))
        f->separator = c == ';' || c == ')';
}

bool policy_form_feed(struct policy_form *f, const char *p, size_t n)
{
    f->found = f->found || (f->opaque && n);
    for (size_t i = 0; i < n && !f->found; i++) {
        if (f->multipart) {
            multipart_byte(f, p[i]);
            continue;
        }
        if (f->state == IN_VALUE) {
            /* Most of a body is values: skip to where the next name can begin. */
            while (i < n && p[i] != '&' && p[i] != ';')
                i++;
            if (i == n)
                break;
        }
        form_byte(f, p[i]);
    }
    return f->found;
}

bool policy_form_end(struct policy_form *f)
{
    if (f->multipart)
        f->found = f->found || f->at == MULTIPART_LEN;
    else if (f->state != IN_VALUE)
        name_ends(f);
    return f->found;
}

enum err policy_form_refuse(struct err_detail *why)
{
    return err_set(why, ERR_ACTION_NOT_ALLOWED,
                   "the form body carries a parameter Action, or is coded so that this can't be "
                   "ruled out, and the policy judges the query; put Action into the query and send "
                   "the body uncompressed in UTF-8");
}

struct policy_seen {
    struct lru *pairs;
};

struct policy_seen *policy_seen_new(unsigned most)
{
    struct policy_seen *s = calloc(1, sizeof(*s));
    if (s && !(s->pairs = lru_new(most, SEEN_KEY_MAX, 1))) {
        free(s);
        return NULL;
    }
    return s;
}

void policy_seen_free(struct policy_seen *s)
{
    if (!s)
        return;
    lru_free(s->pairs);
    free(s);
}

bool policy_seen_add(struct policy_seen *s, struct str service, struct str action)
{
    char key[SEEN_KEY_MAX];
    if (service.n + action.n + 1 > sizeof(key)) {
        service = STR("other");
        action = (struct str){NULL, 0};
    }
    if (service.n)
        memcpy(key, service.p, service.n);
    key[service.n] = ':';
    if (action.n)
        memcpy(key + service.n + 1, action.p, action.n);
    bool fresh;
    return lru_get(s->pairs, str_n(key, service.n + action.n + 1), &fresh) && fresh;
}

struct policy_record {
    pthread_mutex_t lock;
    size_t n;
    char v[POLICY_RECORD_MAX][POLICY_PATTERN_MAX];
};

struct policy_record *policy_record_new(void)
{
    struct policy_record *r = calloc(1, sizeof(*r));
    if (r && pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        return NULL;
    }
    return r;
}

void policy_record_free(struct policy_record *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

void policy_record_add(struct policy_record *r, struct str service, struct str action)
{
    char pattern[POLICY_PATTERN_MAX];
    bool known = false;
    if (!service.n || !is_plain(service) || !is_plain(action) ||
        service.n + action.n + 3 > sizeof(pattern))
        return;
    snprintf(pattern, sizeof(pattern), "%.*s:%.*s", STR_ARG(service), action.n ? (int)action.n : 1,
             action.n ? action.p : "*");
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n && !known; i++)
        known = strcmp(r->v[i], pattern) == 0;
    if (!known && r->n < POLICY_RECORD_MAX)
        memcpy(r->v[r->n++], pattern, sizeof(pattern));
    pthread_mutex_unlock(&r->lock);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t policy_record_copy(struct policy_record *r, char (*out)[POLICY_PATTERN_MAX], size_t max)
{
    pthread_mutex_lock(&r->lock);
    size_t n = r->n < max ? r->n : max;
    if (n)
        memcpy(out, r->v, n * sizeof(*out));
    pthread_mutex_unlock(&r->lock);
    qsort(out, n, sizeof(*out), by_text);
    return n;
}
