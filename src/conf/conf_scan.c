/* SPDX-License-Identifier: Apache-2.0 */
/* Reads libconfig text token by token before libconfig does, because libconfig 1.5 cuts integers
 * to 32 bits, joins adjacent strings (a forgotten comma swallows an entry), ends the process on an
 * @include it can't open, and leaves strings in freed memory or leaks them. What it gets from here
 * has no comments and no includes; integers are 64-bit ones (with L) and each string is a 32-bit
 * one, its index in the document. Both stand between blanks: next to what follows without one they
 * would become another number. */
#include "conf/conf_int.h"

struct scan {
    struct conf_doc *d;
    struct conf_pos pos; /* of the line being read */
    struct str in;
    size_t at;
    unsigned depth;
    bool blank; /* nothing but space so far on this line */
};

void conf_doc_init(struct conf_doc *d, struct conf_loader *l)
{
    *d = (struct conf_doc){.l = l};
    buf_init(&d->text, CONF_TEXT_MAX);
    buf_init(&d->lines, CONF_TEXT_MAX * 4);
    buf_init(&d->strings, CONF_TEXT_MAX);
    buf_init(&d->entries, CONF_TEXT_MAX * 8);
}

void conf_doc_free(struct conf_doc *d)
{
    buf_free(&d->text);
    buf_free(&d->lines);
    buf_wipe(&d->strings);
    buf_free(&d->entries);
}

/* An error that makes what libconfig would say pointless. */
static void broken(struct scan *s, const char *reason)
{
    s->d->broken = true;
    s->at = s->in.n;
    conf_error(s->d->l, &s->pos, s->d->fixed_key ? s->d->key : "", "%s", reason);
}

void conf_scan_line(struct conf_doc *d, const struct conf_pos *pos)
{
    buf_put(&d->lines, pos, sizeof *pos);
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*';
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_list(const struct conf_doc *d)
{
    return d->nopen && d->open[d->nopen - 1].c != '{';
}

/* Where only a value can stand: after '=' or ':', and within a list. */
static bool value_expected(const struct conf_doc *d)
{
    return d->last == '=' || d->last == ':' || in_list(d);
}

enum { KEY_PATH_MAX = 256 };
/* The path of the value being read: the keys of the open groups and, unless a list's key already
 * ends them, the last name. */
static const char *key_path(const struct conf_doc *d, char out[KEY_PATH_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    if (d->fixed_key)
        return d->key;
    for (unsigned i = 0; i < d->nopen && n < KEY_PATH_MAX; i++)
        if (*d->open[i].key)
            n += (size_t)snprintf(out + n, KEY_PATH_MAX - n, "%s%s", n ? "." : "", d->open[i].key);
    if (!in_list(d) && n < KEY_PATH_MAX)
        (void)snprintf(out + n, KEY_PATH_MAX - n, "%s%s", n ? "." : "", d->key);
    return out;
}

static void emit_string(struct scan *s, size_t begin)
{
    struct conf_doc *d = s->d;
    char path[KEY_PATH_MAX];
    struct conf_string e = {.at = begin, .n = d->strings.n - begin, .pos = s->pos};

    if (d->last == '"') {
        conf_error(d->l, &s->pos, key_path(d, path),
                   "two strings in a row: a comma between them or a semicolon is missing");
        return; /* libconfig would join the two */
    }
    buf_printf(&d->text, " %zu ", d->entries.n / sizeof e);
    buf_put(&d->entries, &e, sizeof e);
    d->last = '"';
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends the character an escape stands for and steps over it; an unknown one stays as it is. */
static void scan_escape(struct scan *s)
{
    static const char from[] = "abnrtvf\\\"", to[] = "\a\b\n\r\t\v\f\\\"";
    struct str rest = str_n(s->in.p + s->at, s->in.n - s->at);
    const char *at = rest.n > 1 ? memchr(from, rest.p[1], sizeof from - 1) : NULL;

    if (at) {
        buf_putc(&s->d->strings, to[at - from]);
        s->at += 2;
    } else if (rest.n > 3 && (rest.p[1] == 'x' || rest.p[1] == 'X') && hex_digit(rest.p[2]) >= 0 &&
               hex_digit(rest.p[3]) >= 0) {
        buf_putc(&s->d->strings, (char)(hex_digit(rest.p[2]) * 16 + hex_digit(rest.p[3])));
        s->at += 4;
    } else {
        buf_putc(&s->d->strings, '\\');
        s->at++;
    }
}

/* Reads from the opening quote to past the closing one into d->strings. */
static bool scan_quoted(struct scan *s)
{
    s->at++;
    while (s->at < s->in.n && s->in.p[s->at] != '\n') {
        char c = s->in.p[s->at];
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c == '\\') {
            scan_escape(s);
            continue;
        }
        buf_putc(&s->d->strings, c);
        s->at++;
    }
    broken(s, "a string is not closed on its line");
    return false;
}

/* A word where a value belongs: what the user meant is a string. It is not shown: it may be a key,
 * and the name before it misspelt. */
static void scan_bare(struct scan *s, size_t begin)
{
    char path[KEY_PATH_MAX];
    size_t end = begin;
    while (end < s->in.n && !memchr(" \t\r\n,;)]}\"", s->in.p[end], 10))
        end++;
    struct str word = str_n(s->in.p + begin, end - begin);
    s->at = end > s->at ? end : s->at;
    conf_error(s->d->l, &s->pos, key_path(s->d, path), "a string needs double quotes around it");
    size_t at = s->d->strings.n;
    buf_puts(&s->d->strings, word);
    emit_string(s, at);
}

static bool is_name(char c)
{
    return is_name_start(c) || is_digit(c) || c == '-' || c == '_';
}

/* A key as it is written everywhere else, a.b = …, here: says how it is written in a file. What is
 * assigned is not shown: it may be a secret. Nor is what follows a string or a name, which may be
 * the rest of one. */
static void scan_dotted(struct scan *s, size_t begin)
{
    size_t end = begin, depth = 0;
    bool begins = !s->d->last || strchr(";,{}", s->d->last);
    struct buf why;

    while (end < s->in.n && (is_name(s->in.p[end]) || s->in.p[end] == '.'))
        end++;
    buf_init(&why, 512);
    buf_putz(&why, "sections are written ");
    for (size_t i = begin; i < end; i++) {
        if (s->in.p[i] == '.')
            buf_putz(&why, ": { ");
        else
            buf_putc(&why, s->in.p[i]);
        depth += s->in.p[i] == '.';
    }
    buf_putz(&why, " = ...;");
    for (; depth; depth--)
        buf_putz(&why, " };");
    const char *text = buf_cstr(&why);
    broken(s, begins && text && !why.failed ? text : "sections are written NAME: { KEY = ...; };");
    buf_free(&why);
}

static void scan_name(struct scan *s)
{
    size_t begin = s->at;
    while (s->at < s->in.n && is_name(s->in.p[s->at]))
        s->at++;
    struct str name = str_n(s->in.p + begin, s->at - begin);

    if (value_expected(s->d) && !str_ieq(name, STR("true")) && !str_ieq(name, STR("false"))) {
        scan_bare(s, begin);
        return;
    }
    if (!value_expected(s->d) && s->in.n - s->at > 1 && s->in.p[s->at] == '.' &&
        is_name_start(s->in.p[s->at + 1])) {
        scan_dotted(s, begin);
        return;
    }
    if (!value_expected(s->d) && !s->d->fixed_key)
        (void)snprintf(s->d->key, sizeof s->d->key, "%.*s", STR_ARG(name));
    buf_puts(&s->d->text, name);
    s->d->last = 'a';
}

/* Takes an integer apart: decimal or hexadecimal, with libconfig's L or LL. false when it is none;
 * *fits says whether 64 bits hold it. */
static bool integer(struct str t, bool *fits, int64_t *out)
{
    bool negative = t.n && t.p[0] == '-';
    unsigned base = 10;
    uint64_t v = 0, max = negative ? UINT64_C(1) << 63 : INT64_MAX;

    if (t.n && (t.p[0] == '-' || t.p[0] == '+'))
        t.p++, t.n--;
    else if (t.n > 2 && t.p[0] == '0' && ascii_lower(t.p[1]) == 'x')
        base = 16, t.p += 2, t.n -= 2;
    for (int i = 0; i < 2 && t.n > 1 && t.p[t.n - 1] == 'L'; i++)
        t.n--;
    if (t.n == 0)
        return false;
    *fits = true;
    for (size_t i = 0; i < t.n; i++) {
        int digit = hex_digit(t.p[i]);
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        if (v > (max - (unsigned)digit) / base)
            *fits = false;
        else
            v = v * base + (unsigned)digit;
    }
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* The token that starts like a number. Integers leave here in libconfig's 64-bit form. */
static void scan_number(struct scan *s)
{
    struct conf_doc *d = s->d;
    size_t begin = s->at, end = begin + 1;
    bool fits = false;
    int64_t v = 0;
    double f;

    while (end < s->in.n &&
           (is_digit(s->in.p[end]) || is_name_start(s->in.p[end]) || s->in.p[end] == '.' ||
            ((s->in.p[end] == '-' || s->in.p[end] == '+') && ascii_lower(s->in.p[end - 1]) == 'e')))
        end++;
    struct str t = str_n(s->in.p + begin, end - begin);
    s->at = end;
    if (integer(t, &fits, &v)) {
        if (!fits) {
            char path[KEY_PATH_MAX];
            conf_error(d->l, &s->pos, key_path(d, path), "the number does not fit 64 bits");
            d->broken = true;
        }
        buf_printf(&d->text, " %lldL ", (long long)v);
    } else if (conf_text_float(t, &f)) {
        /* With a point always: without one libconfig wants a sign before an exponent. */
        buf_printf(&d->text, " %.17e ", f);
    } else {
        scan_bare(s, begin);
        return;
    }
    d->last = '0';
}

static void scan_open(struct scan *s, char c)
{
    struct conf_doc *d = s->d;
    if (d->nopen == CONF_NEST_MAX) {
        broken(s, "brackets are nested too deeply");
        return;
    }
    d->open[d->nopen].c = c;
    d->open[d->nopen].key[0] = '\0';
    if (d->last == '=' || d->last == ':')
        memcpy(d->open[d->nopen].key, d->key, sizeof d->key);
    d->open[d->nopen++].pos = s->pos;
    buf_putc(&d->text, c);
    d->last = c;
    s->at++;
}

/* Newer libconfig takes [ "a", ] and [ "a",, "b" ], 1.5 does not: what a file means must not depend
 * on the machine. */
static const char empty_element[] = "a list has a comma with nothing before or after it";

static void scan_close(struct scan *s, char c)
{
    struct conf_doc *d = s->d;
    char expect = c == '}' ? '{' : c == ']' ? '[' : '(';
    char why[256];

    if (d->nopen == 0) {
        (void)snprintf(why, sizeof why, "%c closes nothing", c);
        broken(s, why);
        return;
    }
    if (d->open[d->nopen - 1].c != expect) {
        (void)snprintf(why, sizeof why, "%c does not close the %c of line %u", c,
                       d->open[d->nopen - 1].c, d->open[d->nopen - 1].pos.line);
        broken(s, why);
        return;
    }
    if (c != '}' && d->last == ',') {
        broken(s, empty_element);
        return;
    }
    d->nopen--;
    buf_putc(&d->text, c);
    d->last = c;
    s->at++;
}

static void scan_mark(struct scan *s, char c)
{
    struct conf_doc *d = s->d;
    if (c == ',' && in_list(d) && strchr(",([", d->last)) {
        broken(s, empty_element);
        return;
    }
    buf_putc(&d->text, c);
    d->last = c;
    s->at++;
}

void conf_scan_end(struct conf_doc *d)
{
    if (d->broken)
        return;
    for (unsigned i = 0; i < d->nopen; i++) {
        conf_error(d->l, &d->open[i].pos, d->fixed_key ? d->key : "", "this %c is never closed",
                   d->open[i].c);
        d->broken = true;
    }
}

static void scan_newline(struct scan *s)
{
    s->at++;
    if (s->pos.source == CONF_FILE)
        s->pos.line++;
    s->blank = true;
    buf_putc(&s->d->text, '\n');
    conf_scan_line(s->d, &s->pos);
}

/* Steps over a comment; its newlines stay. */
static void scan_comment(struct scan *s)
{
    bool block = s->in.p[s->at] == '/' && s->in.p[s->at + 1] == '*';
    struct conf_pos begin = s->pos;

    while (!block && s->at < s->in.n && s->in.p[s->at] != '\n')
        s->at++;
    if (!block)
        return;
    s->at += 2;
    while (s->at + 1 < s->in.n && (s->in.p[s->at] != '*' || s->in.p[s->at + 1] != '/')) {
        if (s->in.p[s->at] == '\n')
            scan_newline(s);
        else
            s->at++;
    }
    if (s->at + 1 >= s->in.n) {
        s->pos = begin;
        broken(s, "a comment is not closed");
        return;
    }
    s->at += 2;
    buf_putc(&s->d->text, ' ');
}

static void scan_include(struct scan *s)
{
    struct str rest = str_n(s->in.p + s->at, s->in.n - s->at), word = STR("@include");

    if (s->pos.source != CONF_FILE) {
        broken(s, "@include works in files only");
        return;
    }
    if (!str_starts(rest, word) || !s->blank) {
        broken(s, str_starts(rest, word) ? "@include must be the first thing on its line"
                                         : "unexpected character @ (only @include starts with it)");
        return;
    }
    s->at += word.n;
    while (s->at < s->in.n && (s->in.p[s->at] == ' ' || s->in.p[s->at] == '\t'))
        s->at++;
    if (s->at == s->in.n || s->in.p[s->at] != '"') {
        broken(s, "@include needs a file name in double quotes");
        return;
    }
    size_t begin = s->d->strings.n;
    if (!scan_quoted(s) || s->d->strings.failed)
        return;
    struct str all = buf_str(&s->d->strings);
    /* An empty first string leaves no memory to point into. */
    struct str name = all.p ? str_n(all.p + begin, all.n - begin) : STR("");
    name = arena_dup(&s->d->l->tmp, name);
    s->d->strings.n = begin;
    s->blank = false;
    if (!name.p) {
        broken(s, "out of memory");
        return;
    }
    conf_include(s->d, &s->pos, name, s->depth + 1);
    buf_putc(&s->d->text, '\n');
    conf_scan_line(s->d, &s->pos);
}

static void scan_token(struct scan *s)
{
    char c = s->in.p[s->at], next = s->at + 1 < s->in.n ? s->in.p[s->at + 1] : '\0';

    if (c == '\n') {
        scan_newline(s);
        return;
    }
    if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
        buf_putc(&s->d->text, ' ');
        s->at++;
        return;
    }
    if (c == '#' || (c == '/' && (next == '/' || next == '*'))) {
        scan_comment(s);
        return;
    }
    if (c == '@') {
        scan_include(s);
        return;
    }
    s->blank = false;
    if (c == '"') {
        size_t begin = s->d->strings.n;
        if (scan_quoted(s))
            emit_string(s, begin);
    } else if (is_name_start(c)) {
        scan_name(s);
    } else if (is_digit(c) || c == '+' || c == '-' || c == '.') {
        scan_number(s);
    } else if (c == '(' || c == '[' || c == '{') {
        scan_open(s, c);
    } else if (c == ')' || c == ']' || c == '}') {
        scan_close(s, c);
    } else if (c == ';' || c == ',' || ((c == '=' || c == ':') && !in_list(s->d))) {
        scan_mark(s, c);
    } else if (value_expected(s->d) && c > ' ' && c < 0x7f) {
        scan_bare(s, s->at);
    } else {
        char q[CONF_QUOTE_MAX], why[CONF_QUOTE_MAX + 32];
        (void)snprintf(why, sizeof why, "unexpected character %s", conf_quote(str_n(&c, 1), q));
        broken(s, why);
    }
}

void conf_scan(struct conf_doc *d, struct conf_pos pos, struct str text, unsigned depth)
{
    static const struct str bom = {"\xEF\xBB\xBF", 3};
    struct scan s = {.d = d, .pos = pos, .in = text, .depth = depth, .blank = true};

    conf_scan_line(d, &s.pos);
    if (str_starts(s.in, bom))
        s.at = bom.n;
    if (text.n && memchr(text.p, '\0', text.n)) {
        broken(&s, "the text holds a NUL byte");
        return;
    }
    while (s.at < s.in.n && !d->broken)
        scan_token(&s);
    if ((d->text.failed || d->lines.failed || d->strings.failed || d->entries.failed) && !d->broken)
        broken(&s, "too long, together with what it includes");
}
