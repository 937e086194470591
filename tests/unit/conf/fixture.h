/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration's unit tests share: a directory of their own, an environment that holds
 * nothing of the machine's, files written into it, and loads whose errors name files without the
 * directory. */
#ifndef SIGFERRY_TESTS_CONF_FIXTURE_H
#define SIGFERRY_TESTS_CONF_FIXTURE_H

#include "conf/conf_int.h"
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];      /* without a slash at the end */
static struct buf errors; /* of the last load, with "DIR/" taken out */
static char path_store[4][160];
static unsigned npath;

/* The path of a file in the test's directory; valid for four calls. */
static inline const char *in_dir(const char *name)
{
    char *out = path_store[npath++ % ARRAY_LEN(path_store)];
    ck_assert_int_lt(snprintf(out, sizeof path_store[0], "%s/%s", dir, name), 160);
    return out;
}

static inline void set_env(const char *name, const char *value)
{
    ck_assert_int_eq(setenv(name, value, 1), 0);
}

static inline void fixture_setup(void)
{
    extern char **environ;
    static const char *const mine[] = {"SIGFERRY", "VOLC", "BYTEPLUS", "XDG_", "CREDENTIALS_"};
    static const char *const proxies[] = {"http_proxy", "https_proxy", "no_proxy", "all_proxy",
                                          "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"};
    char name[128];

    conf_env_forget();
    for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
        ck_assert_int_eq(unsetenv(proxies[i]), 0);
    for (size_t i = 0; environ && environ[i];) {
        bool found = false;
        for (size_t j = 0; j < ARRAY_LEN(mine); j++)
            found |= strncmp(environ[i], mine[j], strlen(mine[j])) == 0;
        if (!found) {
            i++;
            continue;
        }
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        ck_assert_int_eq(unsetenv(name), 0);
    }
    memcpy(dir, "/tmp/sigferry-conf-XXXXXX", sizeof "/tmp/sigferry-conf-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    set_env("HOME", dir);
    buf_init(&errors, 1 << 20);
}

static inline void fixture_teardown(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL)
        if (unlink(in_dir(e->d_name)) != 0 && e->d_name[0] != '.')
            (void)rmdir(in_dir(e->d_name));
    ck_assert_int_eq(closedir(d), 0);
    (void)rmdir(dir);
    buf_free(&errors);
    conf_env_forget();
}

static inline void write_bytes(const char *name, const char *text, size_t n, mode_t mode)
{
    FILE *f;
    (void)chmod(in_dir(name), 0600); /* it may be there, and read-only: only root would not mind */
    f = fopen(in_dir(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(in_dir(name), mode), 0);
}

static inline void write_file(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text), 0600);
}

/* Loads; NULL leaves the errors in `errors`. */
static inline struct conf *load_args(const struct conf_args *args)
{
    struct buf raw;
    char prefix[80];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%s/", dir);

    buf_init(&raw, 1 << 20);
    struct conf *c = conf_load(args, &raw);
    buf_reset(&errors);
    for (size_t i = 0; i < raw.n;) {
        if (raw.n - i >= n && memcmp(raw.p + i, prefix, n) == 0)
            i += n;
        else
            buf_putc(&errors, raw.p[i++]);
    }
    ck_assert(!raw.failed);
    ck_assert_msg((c == NULL) == (raw.n > 0), "errors and result disagree");
    buf_free(&raw);
    return c;
}

/* Loads the text as the file a.conf. */
static inline struct conf *load_text(const char *text)
{
    write_file("a.conf", text);
    return load_args(&(struct conf_args){.config = in_dir("a.conf")});
}

static inline const char *errors_text(void)
{
    const char *z = buf_cstr(&errors);
    ck_assert_ptr_nonnull(z);
    return z;
}

/* As load_text, for a configuration that must load. */
static inline struct conf *good(const char *text)
{
    struct conf *c = load_text(text);
    ck_assert_msg(c != NULL, "%s\nfrom:\n%s", errors_text(), text);
    return c;
}

/* Loads without any file, with one --set or more (NULL ends them). */
static inline struct conf *load_set(const char *first, const char *second)
{
    const char *set[] = {first, second};
    return load_args(&(struct conf_args){
        .set = set, .nset = (first ? 1u : 0u) + (second ? 1u : 0u), .no_file = true});
}

static inline struct conf *load_env(void)
{
    struct conf *c = load_args(&(struct conf_args){.no_file = true});
    ck_assert_msg(c != NULL, "%s", errors_text());
    return c;
}

/* The last load must have failed with exactly these lines. */
#define CK_ERRORS(c, want)                                                                         \
    do {                                                                                           \
        ck_assert_ptr_null(c);                                                                     \
        ck_assert_str_eq(errors_text(), want);                                                     \
    } while (0)

/* Where the key's value came from, without the directory. */
static inline const char *origin(const struct conf *c, const char *key)
{
    static char text[CONF_WHERE_MAX];
    size_t n = strlen(dir) + 1;
    conf_where(c, key, text, sizeof text);
    return strncmp(text, dir, n - 1) == 0 ? text + n : text;
}

static inline int fixture_run(const char *name, const TTest *const *tests, size_t n)
{
    Suite *s = suite_create(name);
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, fixture_setup, fixture_teardown);
    tcase_set_timeout(t, 60);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(t, tests[i]);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
