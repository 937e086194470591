/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for credential files and responses: a thin, read-only view of a parsed document whose memory
 * is wiped when freed. Private to src/cred. */
#ifndef SIGFERRY_CRED_JSON_H
#define SIGFERRY_CRED_JSON_H

#include "base/buf.h"
#include "base/err.h"

struct cred_json; /* a value; the one that cred_json_parse gave owns all below it */

/* Makes jansson wipe what it frees; once a process, before other threads use jansson. */
void cred_json_init(void);

/* Parses a whole document, an object or an array, without duplicate names. NULL with why set: line
 * and column, never a piece of the text. */
NODISCARD struct cred_json *cred_json_parse(struct str text, struct err_detail *why);
void cred_json_free(struct cred_json *j);

/* The member of an object; NULL when j is NULL, no object, or has none of that name (or a null). */
const struct cred_json *cred_json_get(const struct cred_json *j, const char *name);
/* The i-th element of an array; NULL beyond its end or when j is no array. */
const struct cred_json *cred_json_at(const struct cred_json *j, size_t i);
/* Whether it is the literal true. */
bool cred_json_true(const struct cred_json *j);
bool cred_json_is_object(const struct cred_json *j);
/* The n-th member's name in no particular order; NULL beyond the last. */
const char *cred_json_name(const struct cred_json *j, size_t n);
/* A string's bytes; {NULL,0} for NULL and for values that are no string. */
struct str cred_json_text(const struct cred_json *j);
/* The same of a member, without spaces around; {NULL,0} when missing or empty. */
struct str cred_json_member(const struct cred_json *j, const char *name);
/* An integer; false for NULL and anything else. */
NODISCARD bool cred_json_int(const struct cred_json *j, int64_t *out);

/* Appends a value as JSON text. */
void cred_json_dump(struct buf *b, const struct cred_json *j);
/* Appends s as a JSON string with its quotes; invalid UTF-8 sets b->failed. */
void cred_json_put(struct buf *b, struct str s);

#endif
