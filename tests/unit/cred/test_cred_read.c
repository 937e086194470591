/* SPDX-License-Identifier: Apache-2.0 */
/* Files: who may own them, what they must be, and that changes are noticed. */
#include "fixture.h"

static struct buf text;
static struct err_detail why;

static void set_up(void)
{
    make_dir();
    buf_init(&text, 100);
    why.text[0] = '\0';
}

static void tear_down(void)
{
    buf_free(&text);
    remove_dir();
}

static bool reads(const char *path, enum cred_read_rule rule)
{
    buf_reset(&text);
    return cred_read_file(path, rule, NULL, &text, &why);
}

START_TEST(a_private_file_is_read)
{
    ck_assert(reads(write_file("f", "hello", 0600), CRED_READ_STRICT));
    ck_assert(str_eq(buf_str(&text), STR("hello")));
    ck_assert(reads(write_file("f", "bye", 0400), CRED_READ_STRICT));
    ck_assert(str_eq(buf_str(&text), STR("bye")));
}
END_TEST

static const mode_t open_modes[] = {0644, 0640, 0620, 0660, 0604, 0601, 0610, 0602};

START_TEST(any_access_of_others_is_refused)
{
    const char *path = write_file("f", "hello", open_modes[_i]);
    ck_assert(!reads(path, CRED_READ_STRICT));
    ck_assert_ptr_nonnull(strstr(why.text, path));
    ck_assert_ptr_nonnull(strstr(why.text, "chmod 600"));
    ck_assert_uint_eq(text.n, 0);
    ck_assert(reads(path, CRED_READ_EXEMPT));
}
END_TEST

START_TEST(a_strangers_file_is_refused)
{
    const char *path = write_file("f", "hello", 0600);
    if (geteuid() != 0)
        return; /* only root can give files away */
    ck_assert_int_eq(chown(path, 4242, 0), 0);
    ck_assert(!reads(path, CRED_READ_STRICT));
    ck_assert_ptr_nonnull(strstr(why.text, "user 4242"));
    ck_assert(reads(path, CRED_READ_EXEMPT));
}
END_TEST

START_TEST(links_are_followed_and_their_target_is_checked)
{
    const char *open_file = write_file("open", "hello", 0644);
    const char *private_file = write_file("private", "hello", 0600);
    ck_assert_int_eq(symlink(open_file, in_dir("a")), 0);
    ck_assert_int_eq(symlink(private_file, in_dir("b")), 0);
    ck_assert(!reads(in_dir("a"), CRED_READ_STRICT));
    ck_assert(reads(in_dir("b"), CRED_READ_STRICT));
}
END_TEST

START_TEST(only_regular_files)
{
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    ck_assert_int_eq(mkdir(in_dir("dir"), 0700), 0);
    const char *const others[] = {in_dir("fifo"), in_dir("dir"), "/dev/null"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert(!reads(others[i], CRED_READ_STRICT)); /* and the FIFO does not hang */
        ck_assert_ptr_nonnull(strstr(why.text, "not a regular file"));
        ck_assert(!reads(others[i], CRED_READ_EXEMPT));
    }
}
END_TEST

START_TEST(only_small_files)
{
    char big[102];
    memset(big, 'x', sizeof big - 1);
    big[101] = '\0';
    ck_assert(!reads(write_file("f", big, 0600), CRED_READ_EXEMPT));
    ck_assert_ptr_nonnull(strstr(why.text, "larger than 100"));
    big[100] = '\0';
    ck_assert(reads(write_file("f", big, 0600), CRED_READ_EXEMPT));
    ck_assert_uint_eq(text.n, 100);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    ck_assert(!reads(in_dir("none"), CRED_READ_STRICT));
    ck_assert_ptr_nonnull(strstr(why.text, in_dir("none")));
    ck_assert_ptr_nonnull(strstr(why.text, "No such file"));
}
END_TEST

static bool changed(const struct cred_watch *w)
{
    struct cred_mark now[CRED_WATCH_MAX];
    return cred_watch_changed(w, now);
}

START_TEST(changes_are_noticed)
{
    struct cred_watch w = {0};
    const char *path = write_file("f", "one", 0600);
    ck_assert(cred_read_file(path, CRED_READ_STRICT, &w, &text, &why));
    ck_assert_uint_eq(w.n, 1);
    ck_assert(!changed(&w));
    write_file("f", "two", 0600); /* same size, another inode */
    ck_assert(changed(&w));
    cred_watch_free(&w);

    cred_watch_add(&w, path);
    ck_assert(!changed(&w));
    ck_assert_int_eq(chmod(path, 0640), 0); /* a mode alone counts: it may have been the trouble */
    ck_assert(changed(&w));
    cred_watch_free(&w);

    cred_watch_add(&w, path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(changed(&w));
    cred_watch_free(&w);
}
END_TEST

START_TEST(what_changes_nothing_is_no_change)
{
    struct cred_watch w = {0};
    const char *path = write_file("f", "one", 0600);
    cred_watch_add(&w, path);
    ck_assert_int_eq(chmod(path, 0600), 0); /* the clouds' tool does this whenever it runs */
    ck_assert(!changed(&w));
    ck_assert_int_eq(link(path, in_dir("another name")), 0);
    ck_assert(!changed(&w));
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 4242, (gid_t)-1), 0);
        ck_assert(changed(&w));
    }
    cred_watch_free(&w);
}
END_TEST

START_TEST(a_file_that_appears_is_noticed)
{
    struct cred_watch w = {0};
    const char *path = in_dir("later");
    ck_assert(!cred_read_file(path, CRED_READ_STRICT, &w, &text, &why));
    ck_assert_uint_eq(w.n, 1);
    ck_assert(!changed(&w));
    write_file("later", "x", 0600);
    ck_assert(changed(&w));
    cred_watch_free(&w);
}
END_TEST

START_TEST(a_link_that_is_turned_is_noticed)
{
    struct cred_watch w = {0};
    ck_assert_int_eq(symlink(write_file("a", "x", 0600), in_dir("l")), 0);
    cred_watch_add(&w, in_dir("l"));
    ck_assert_int_eq(symlink(write_file("b", "x", 0600), in_dir("l2")), 0);
    ck_assert_int_eq(rename(in_dir("l2"), in_dir("l")), 0);
    ck_assert(changed(&w));
    cred_watch_free(&w);
}
END_TEST

START_TEST(watches_are_bounded_and_unique)
{
    struct cred_watch w = {0};
    char name[16];
    for (int i = 0; i < 3 * CRED_WATCH_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i / 2);
        cred_watch_add(&w, in_dir(name));
    }
    ck_assert_uint_eq(w.n, CRED_WATCH_MAX);
    ck_assert_str_eq(w.v[1].path, in_dir("f1"));
    cred_watch_free(&w);
    cred_watch_add(NULL, "x");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_read");
    TCase *c = tcase_create("cred_read");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_private_file_is_read);
    tcase_add_loop_test(c, any_access_of_others_is_refused, 0, (int)ARRAY_LEN(open_modes));
    tcase_add_test(c, a_strangers_file_is_refused);
    tcase_add_test(c, links_are_followed_and_their_target_is_checked);
    tcase_add_test(c, only_regular_files);
    tcase_add_test(c, only_small_files);
    tcase_add_test(c, a_missing_file_is_named);
    tcase_add_test(c, changes_are_noticed);
    tcase_add_test(c, what_changes_nothing_is_no_change);
    tcase_add_test(c, a_file_that_appears_is_noticed);
    tcase_add_test(c, a_link_that_is_turned_is_noticed);
    tcase_add_test(c, watches_are_bounded_and_unique);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
