/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/conf: the form of a table row, the value tree between a source and the rows, and
 * the loader that carries one load. A value travels text → scan → libconfig → struct cval → row, or
 * text → struct cval → row from the environment and the command line; only conf_apply.c writes it
 * into struct conf. Everything here runs on the main thread. */
#ifndef SIGFERRY_CONF_CONF_INT_H
#define SIGFERRY_CONF_CONF_INT_H

#include "base/arena.h"
#include "conf/conf.h"
#include <sys/types.h>

enum {
    CONF_FILE_MAX = 1 << 20,              /* bytes of one file */
    CONF_READ_MAX = CONF_FILE_MAX + 8192, /* room to see that a file is larger */
    CONF_TEXT_MAX = 4 << 20,              /* bytes of a file with its includes */
    CONF_INCLUDE_DEPTH = 8,               /* includes within includes */
    CONF_INCLUDE_FILES = 64,              /* files of one load */
    CONF_NEST_MAX = 16,                   /* brackets within brackets */
    CONF_GROUPS_MAX = 1024,               /* elements of one list of groups */
    CONF_ERRORS_MAX = 100,                /* errors listed; the rest is counted */
    CONF_ARENA_MAX = 32 << 20,            /* bytes of one configuration */
    CONF_WHERE_MAX = 4096 + 32,           /* a position as text */
    CONF_UID_OVERFLOW = 65534,            /* what foreign users look like inside a user namespace */
};

enum conf_type {
    CT_BOOL,
    CT_INT,     /* int64_t */
    CT_SIZE,    /* uint64_t bytes */
    CT_TIME,    /* uint64_t nanoseconds; seconds in the sources */
    CT_FLOAT,   /* double */
    CT_STRING,  /* const char * */
    CT_STRV,    /* struct str */
    CT_ENUM,    /* an enum: names[] */
    CT_SECRET,  /* struct secret * */
    CT_STRS,    /* struct conf_strs */
    CT_INTS,    /* struct conf_ints */
    CT_SECRETS, /* struct secret ** and a count */
    CT_FLAGS,   /* unsigned: names[] or-ed */
    CT_LIST,    /* an array of group->size and a count */
    CT_MAP,     /* the same, named by the key: profiles */
};

enum {
    CF_RESTART = 1 << 0,  /* a reload can't change it */
    CF_REQUIRED = 1 << 1, /* of a group: no default */
    CF_MASKED = 1 << 2,   /* an access key: shown by its ends only */
    CF_URL = 1 << 3,      /* a URL whose password is a secret */
    CF_BARE = 1 << 4,     /* of CT_LIST: a string stands for a group with the first key only, which
                           * names the element */
    CF_TEXT = 1 << 5,     /* may hold tabs and line ends */
};

struct conf_name {
    const char *name;
    int value;
};

/* Judges one string; false with the reason in why ("is not …", following the quoted value). */
typedef bool conf_check_fn(struct str v, struct buf *why);

struct conf_group;
struct conf_row {
    const char *name; /* dotted for the top table, plain in a group */
    enum conf_type type;
    unsigned flags;
    size_t offset, count; /* of the value; of its element count (CT_SECRETS, CT_LIST, CT_MAP) */
    const char *def;      /* as it would stand in the environment */
    double min, max;      /* of numbers, sizes in bytes, times in seconds; equal: none */
    const struct conf_name *names; /* what is allowed; ends with a NULL name */
    conf_check_fn *check;          /* of each string */
    const struct conf_group *group;
    const char *help;
};
struct conf_group {
    const struct conf_row *rows;
    size_t n, size; /* rows; bytes of one element */
    const char *example;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_nrows;
extern const struct conf_group conf_group_listen, conf_group_profile, conf_group_service,
    conf_group_policy, conf_group_client, conf_group_rate, conf_group_route;

/* Where a value came from. */
enum conf_source { CONF_DEFAULT, CONF_FILE, CONF_ENV, CONF_FLAG };
struct conf_file;
struct conf_pos {
    enum conf_source source;
    const char *name; /* file, variable or option */
    unsigned line;
    struct conf_file *file;
};
/* The origin of one path ("retry.num_max_retries", "policies[1].mode"), newest first. */
struct conf_origin {
    struct conf_origin *next;
    const char *path;
    struct conf_pos pos;
};

/* One value of a source. Strings belong to the document they came from. */
enum cval_type { CV_BOOL, CV_INT, CV_FLOAT, CV_STRING, CV_LIST, CV_GROUP };
struct cval {
    enum cval_type type;
    const char *name; /* of a group's member, else NULL */
    struct conf_pos pos;
    int64_t i; /* CV_BOOL, CV_INT */
    double f;
    struct str s;
    struct cval *child, *next;
    size_t n; /* children */
};

/* A file that was read, for the permission check once it is known whether it holds secrets. */
struct conf_file {
    struct conf_file *next;
    const char *path; /* in the conf's arena */
    mode_t mode;
    uid_t uid;
    bool secret; /* a secret key is set in it */
    bool exempt; /* below $CREDENTIALS_DIRECTORY */
};

struct conf_loader {
    struct conf *conf;
    struct arena tmp; /* value trees and paths; gone after the load */
    struct buf *errs;
    unsigned nerrs;
    struct conf_file *files;
    unsigned nfiles;
    bool secret_seen;                     /* set by conf_apply when it stored a secret */
    const struct conf_listener *replaced; /* listeners that --listen left out; secrets dropped */
    size_t nreplaced;
};

/* A document being read: one file with its includes, or one value of another source. No string of
 * it ever reaches libconfig: each is replaced by its index in `strings`. */
struct conf_doc {
    struct conf_loader *l;
    struct buf text;    /* what libconfig reads */
    struct buf lines;   /* struct conf_pos of each line of text */
    struct buf strings; /* bytes of all strings, unescaped; wiped in the end */
    struct buf entries; /* struct conf_string */
    char key[64];       /* the last name */
    int last;           /* the last token: a character, '"' for a string, 'a' for a name */
    bool fixed_key;     /* key is the whole document's */
    unsigned nopen;
    struct {
        char c;
        char key[64]; /* what it is the value of; empty within a list */
        struct conf_pos pos;
    } open[CONF_NEST_MAX];
    bool broken; /* libconfig would only repeat what was already said */
};
struct conf_string {
    size_t at, n; /* in strings */
    struct conf_pos pos;
};

/* conf_error.c */
/* Adds "POS: key: reason" to the errors; key may be "". */
void conf_error(struct conf_loader *l, const struct conf_pos *pos, const char *key, const char *fmt,
                ...) PRINTF_LIKE(4, 5);
/* "file:line", "env NAME", "flag --x" or "default". */
const char *conf_pos_text(const struct conf_pos *pos, char *out, size_t size);
enum { CONF_QUOTE_MAX = 96 };
/* The value in double quotes, escaped, cut when long. */
const char *conf_quote(struct str v, char out[CONF_QUOTE_MAX]);
/* Forgets what was noted for path and below it. */
void conf_origin_clear(struct conf_loader *l, const char *path);
/* Notes where path's value came from; the latest note counts. Defaults are not noted. */
void conf_origin_set(struct conf_loader *l, const char *path, const struct conf_pos *pos);
/* The position of path or of the nearest thing around it. */
struct conf_pos conf_origin_find(const struct conf *c, const char *path);
/* Whether path itself was given by any source but the defaults. */
bool conf_origin_given(const struct conf *c, const char *path);

/* conf_rows.c */
const struct conf_row *conf_row_find(const struct conf_row *rows, size_t n, struct str name);
/* "; did you mean KEY?" after an unknown key, or "". */
enum { CONF_HINT_MAX = 128 };
const char *conf_row_hint(struct str key, char out[CONF_HINT_MAX]);
/* The same for a key of a group and for one of names[]. */
const char *conf_group_hint(const struct conf_group *g, struct str key, char out[CONF_HINT_MAX]);
const char *conf_name_hint(const struct conf_name *names, struct str v, char out[CONF_HINT_MAX]);
/* Whether key is the beginning of keys ("retry"). */
bool conf_row_section(struct str key);
/* SIGFERRY_RETRY_… for retry.…; out holds CONF_TWIN_MAX bytes. */
enum { CONF_TWIN_MAX = 96 };
void conf_row_twin(const char *name, char out[CONF_TWIN_MAX]);
/* Whether the value holds user and password, as URLs do: "scheme://user:password@host". */
bool conf_url_has_password(struct str url);

/* conf_file.c */
/* Reads a regular file of at most CONF_FILE_MAX bytes into out (initialised with CONF_READ_MAX) and
 * notes it in l->files. NULL after an error was added at pos with key. */
struct conf_file *conf_file_read(struct conf_loader *l, const char *path,
                                 const struct conf_pos *pos, const char *key, struct buf *out);
/* Owners and modes of all files read, now that the secrets are known. */
void conf_files_check(struct conf_loader *l);
/* The configuration file to read, and in *pos what names it; NULL for none. */
const char *conf_file_choose(struct conf_loader *l, const struct conf_args *args,
                             struct conf_pos *pos);
/* Fills endpoint.extra_regions from custom_bootstrap_region and bootstrap_region_list. */
void conf_regions_load(struct conf_loader *l);

/* conf_scan.c, conf_include.c, conf_parse.c */
void conf_doc_init(struct conf_doc *d, struct conf_loader *l);
void conf_doc_free(struct conf_doc *d);
/* Reads text (whose first line is at pos) into the document; errors are added to the loader. */
void conf_scan(struct conf_doc *d, struct conf_pos pos, struct str text, unsigned depth);
/* Says which brackets were left open. */
void conf_scan_end(struct conf_doc *d);
/* Starts a line of the document's text that stands for pos. */
void conf_scan_line(struct conf_doc *d, const struct conf_pos *pos);
/* Reads the file of an @include at pos into the document. */
void conf_include(struct conf_doc *d, const struct conf_pos *pos, struct str name, unsigned depth);
/* The document as a tree (a CV_GROUP) in l->tmp; NULL after an error. */
struct cval *conf_parse(struct conf_doc *d);
/* The same for a value: parses "v = text". */
struct cval *conf_parse_value(struct conf_doc *d, const struct conf_pos *pos, const char *key,
                              struct str text);

/* conf_text.c: a value as it stands in the environment or on the command line; d holds what a
 * libconfig value needs until it has been applied. NULL after an error. */
struct cval *conf_text_value(struct conf_doc *d, const struct conf_row *row, const char *path,
                             struct str text, const struct conf_pos *pos);
bool conf_text_utf8(struct str s);
NODISCARD bool conf_text_size(struct str s, uint64_t *out);
NODISCARD bool conf_text_float(struct str s, double *out);

/* conf_apply.c: writes a value into base (a struct conf or an element of a group). */
void conf_apply(struct conf_loader *l, const struct conf_row *row, void *base, const char *path,
                const struct cval *v);
void conf_apply_default(struct conf_loader *l, const struct conf_row *row, void *base,
                        const char *path);
/* Drops the references a row's value holds. */
void conf_row_drop(const struct conf_row *row, void *base);
/* From a text source: conf_text_value and conf_apply. */
void conf_apply_text(struct conf_loader *l, const struct conf_row *row, void *base,
                     const char *path, struct str text, const struct conf_pos *pos);
/* conf_apply_group.c: the elements of a CT_LIST or CT_MAP. */
void conf_apply_groups(struct conf_loader *l, const struct conf_row *row, void *base,
                       const char *path, const struct cval *v);
/* The profile of that name, made when there is none; NULL after an error. */
struct conf_profile *conf_profile_add(struct conf_loader *l, struct str name,
                                      const struct conf_pos *pos);

/* conf_env.c */
/* An environment variable, also one that was overwritten by an earlier load; NULL when unset. */
const char *conf_env_get(const char *name);
/* The SDKs' variables and the proxy variables. */
void conf_env_sdk(struct conf_loader *l);
/* All SIGFERRY_ variables. */
void conf_env_apply(struct conf_loader *l);
/* The cloud, early: it decides which SDK variables count. */
void conf_env_cloud(struct conf_loader *l, const struct conf_args *args);
/* Forgets what earlier loads kept (tests). */
void conf_env_forget(void);
/* conf_flags.c: the command line. */
void conf_flags_apply(struct conf_loader *l, const struct conf_args *args);
/* A key given as text: a row, "profiles.NAME" or "profiles.NAME.KEY". */
void conf_set(struct conf_loader *l, const char *key, struct str text, const struct conf_pos *pos);
/* Takes what --set was given apart: blanks around the key are dropped, and with one before the "="
 * those around the value as well. False when either is missing. */
NODISCARD bool conf_pair(const char *pair, struct str *key, struct str *value);

/* conf_check.c: judges of single strings; empty ones pass unless said otherwise. */
conf_check_fn conf_check_address, conf_check_label, conf_check_hostport, conf_check_host_pattern,
    conf_check_origin, conf_check_proxy, conf_check_connect_to, conf_check_pattern,
    conf_check_region_pattern, conf_check_prefix, conf_check_format, conf_check_mode,
    conf_check_token, conf_check_access_key, conf_check_name, conf_check_nonempty, conf_check_trn;
/* A listen address taken apart; false when it is malformed. */
struct conf_address {
    enum { CONF_ADDR_TCP, CONF_ADDR_UNIX, CONF_ADDR_SYSTEMD } kind;
    struct str host; /* without brackets; "" for PORT and :PORT */
    unsigned port;
    bool loopback;
};
NODISCARD bool conf_address_parse(struct str s, struct conf_address *out);

/* conf_cross.c, conf_cross_profile.c: what only makes sense, or none, together. */
void conf_cross(struct conf_loader *l);
void conf_cross_profiles(struct conf_loader *l);

/* conf_print.c: one value as libconfig or JSON, secrets masked. */
void conf_print_value(struct buf *b, const struct conf_row *row, const void *base, bool json);
/* A size as people write it: 256K without quotes. */
void conf_size_text(struct buf *b, uint64_t n);
/* A default as it would stand in a file. */
void conf_print_default(struct buf *b, const struct conf_row *row);

/* conf_explain.c: what the reference says in Markdown, as text in lines of 80 columns. */
void conf_plain_text(struct buf *out, struct str markdown);

#endif
