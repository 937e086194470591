/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the files themselves: kinds, sizes, owners and modes. */
#include "fixture.h"
#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>

#define SECRET                                                                                     \
    "profiles: { default: { provider = \"static\"; access_key = \"A\"; secret_key = \"S\"; }; "    \
    "};\n"
#define MODE(name, mode)                                                                           \
    name ": it holds secrets and its mode is " mode "; make it 0600 (chmod 600) or set "           \
         "security.strict_file_permissions = false\n"
#define WRITABLE(name, mode)                                                                       \
    name ": others than its owner may write it, its mode is " mode "; use chmod go-w\n"

static struct conf *load_mode(const char *text, mode_t mode)
{
    write_bytes("a.conf", text, strlen(text), mode);
    return load_args(&(struct conf_args){.config = in_dir("a.conf")});
}

START_TEST(modes_with_secrets)
{
    conf_unref(load_mode(SECRET, 0600));
    conf_unref(load_mode(SECRET, 0400));
    CK_ERRORS(load_mode(SECRET, 0640), MODE("a.conf", "0640"));
    CK_ERRORS(load_mode(SECRET, 0604), MODE("a.conf", "0604"));
    CK_ERRORS(load_mode(SECRET, 0620), MODE("a.conf", "0620"));
    CK_ERRORS(load_mode(SECRET, 0601), MODE("a.conf", "0601"));
    CK_ERRORS(load_mode("security: { client_tokens = [ \"t\" ]; };", 0644), MODE("a.conf", "0644"));
    CK_ERRORS(load_mode("proxy: { http_proxy = \"http://u:p@h\"; };", 0644),
              MODE("a.conf", "0644"));
}
END_TEST

START_TEST(modes_without_secrets)
{
    conf_unref(load_mode("region = \"x\";", 0644));
    conf_unref(load_mode("proxy: { http_proxy = \"http://u@h\"; };", 0644));
    conf_unref(load_mode("profiles: { default: { provider = \"file\"; file = \"/x\"; }; };", 0444));
    CK_ERRORS(load_mode("region = \"x\";", 0664), WRITABLE("a.conf", "0664"));
    CK_ERRORS(load_mode("region = \"x\";", 0606), WRITABLE("a.conf", "0606"));
}
END_TEST

START_TEST(the_switch)
{
    static const char off[] = SECRET "security: { strict_file_permissions = false; };";
    const char *set[] = {"security.strict_file_permissions=false"};
    struct conf *c = load_mode(off, 0644);
    ck_assert_ptr_nonnull(c);
    conf_unref(c);
    /* Who may write the file may write the switch: from within it doesn't cover that. */
    CK_ERRORS(load_mode(off, 0666), WRITABLE("a.conf", "0666"));
    c = load_args(&(struct conf_args){.config = in_dir("a.conf"), .set = set, .nset = 1});
    ck_assert_ptr_nonnull(c);
    conf_unref(c);
}
END_TEST

START_TEST(each_file_by_its_own_secrets)
{
    write_bytes("keys.conf", SECRET, strlen(SECRET), 0644);
    CK_ERRORS(load_mode("@include \"keys.conf\"\n", 0644), MODE("keys.conf", "0644"));
    ck_assert_int_eq(chmod(in_dir("keys.conf"), 0600), 0);
    conf_unref(load_mode("@include \"keys.conf\"\n", 0644));
    ck_assert_int_eq(chmod(in_dir("keys.conf"), 0666), 0);
    write_bytes("keys.conf", "region = \"x\";", 13, 0666);
    CK_ERRORS(load_mode("@include \"keys.conf\"\n", 0644), WRITABLE("keys.conf", "0666"));
}
END_TEST

/* The link is followed; what it points at is judged. */
START_TEST(symbolic_links)
{
    write_bytes("real.conf", SECRET, strlen(SECRET), 0600);
    ck_assert_int_eq(symlink("real.conf", in_dir("link.conf")), 0);
    struct conf_args args = {.config = in_dir("link.conf")};
    struct conf *c = load_args(&args);
    ck_assert_ptr_nonnull(c);
    conf_unref(c);
    ck_assert_int_eq(chmod(in_dir("real.conf"), 0644), 0);
    args.config = in_dir("link.conf");
    CK_ERRORS(load_args(&args), MODE("link.conf", "0644"));
}
END_TEST

START_TEST(kinds)
{
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("fifo")}),
              "flag --config: \"fifo\" is not a regular file\n");
    struct conf *c = load_args(&(struct conf_args){.config = dir});
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(errors_text(), "is not a regular file\n"));
    c = load_args(&(struct conf_args){.config = "/dev/null"});
    CK_ERRORS(c, "flag --config: \"/dev/null\" is not a regular file\n");
}
END_TEST

START_TEST(sizes)
{
    size_t n = CONF_FILE_MAX;
    char *text = malloc(n + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '\n', n + 1);
    write_bytes("a.conf", text, n + 1, 0600);
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("a.conf")}),
              "flag --config: \"a.conf\" cannot be read or is larger than 1048576 bytes\n");
    write_bytes("a.conf", text, n, 0600);
    /* A map entry a line: this many lines are more than any configuration has. */
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("a.conf")}),
              "a.conf:1048577: too long, together with what it includes\n");
    memset(text, ' ', n);
    write_bytes("a.conf", text, n, 0600);
    struct conf *c = load_args(&(struct conf_args){.config = in_dir("a.conf")});
    ck_assert_ptr_nonnull(c);
    conf_unref(c);
    free(text);
}
END_TEST

/* As another user the file of a third one is refused, root's and one's own are not. */
START_TEST(owners)
{
    if (geteuid() != 0)
        return; /* only root can make a file somebody else's */
    write_bytes("a.conf", SECRET, strlen(SECRET), 0600);
    ck_assert_int_eq(chown(in_dir("a.conf"), 12345, 12345), 0);
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("a.conf")}),
              "a.conf: it holds secrets and belongs to user 12345; it must belong to user 0 or "
              "root\n");
    ck_assert_int_eq(chmod(dir, 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct buf errs;
        buf_init(&errs, 4096);
        bool ok = setgroups(0, NULL) == 0 && setgid(12345) == 0 && setuid(12345) == 0;
        struct conf *c =
            ok ? conf_load(&(struct conf_args){.config = in_dir("a.conf")}, &errs) : NULL;
        ok = c != NULL;
        conf_unref(c);
        buf_free(&errs);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(credentials_directory_is_exempt)
{
    write_bytes("keys.conf", SECRET, strlen(SECRET), 0644);
    set_env("CREDENTIALS_DIRECTORY", dir);
    struct conf *c = load_args(&(struct conf_args){.config = in_dir("keys.conf")});
    ck_assert_ptr_nonnull(c);
    conf_unref(c);
    set_env("CREDENTIALS_DIRECTORY", "/tmp/sigferry");
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("keys.conf")}),
              MODE("keys.conf", "0644"));
}
END_TEST

START_TEST(region_list_files)
{
    static const char list[] = "cn-one\n";
    write_bytes("regions", list, sizeof list - 1, 0644);
    set_env("SIGFERRY_ENDPOINT_BOOTSTRAP_REGION_LIST", in_dir("regions"));
    struct conf *c = load_args(&(struct conf_args){.no_file = true});
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->endpoint.nextra_regions, 1);
    conf_unref(c);
    ck_assert_int_eq(chmod(in_dir("regions"), 0666), 0);
    CK_ERRORS(load_args(&(struct conf_args){.no_file = true}), WRITABLE("regions", "0666"));
}
END_TEST

START_TEST(private_keys)
{
    char text[512];
    write_bytes("cert", "x", 1, 0644);
    write_bytes("key", "x", 1, 0640);
    (void)snprintf(text, sizeof text, "tls: { cert_file = \"%s\"; key_file = \"%s\"; };",
                   in_dir("cert"), in_dir("key"));
    ck_assert_ptr_null(load_text(text));
    ck_assert_ptr_nonnull(strstr(errors_text(), "a.conf:1: tls.key_file: \"key\" holds a private "
                                                "key; it must belong to user "));
    ck_assert_int_eq(chmod(in_dir("key"), 0600), 0);
    conf_unref(good(text));
}
END_TEST

/* Who may write the trusted certificates chooses whom we talk to. */
START_TEST(certificates)
{
    char text[512];
    write_bytes("ca", "x", 1, 0664);
    (void)snprintf(text, sizeof text, "tls: { ca_file = \"%s\"; };", in_dir("ca"));
    CK_ERRORS(
        load_text(text),
        "a.conf:1: tls.ca_file: others than its owner may write \"ca\", its mode is 0664; use "
        "chmod go-w\n");
    ck_assert_int_eq(chmod(in_dir("ca"), 0644), 0);
    conf_unref(good(text));
    ck_assert_int_eq(chmod(in_dir("ca"), 0666), 0);
    (void)snprintf(text, sizeof text,
                   "tls: { ca_file = \"%s\"; }; security: { strict_file_permissions = false; };",
                   in_dir("ca"));
    conf_unref(good(text));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        modes_with_secrets,
        modes_without_secrets,
        the_switch,
        each_file_by_its_own_secrets,
        symbolic_links,
        kinds,
        sizes,
        owners,
        credentials_directory_is_exempt,
        region_list_files,
        private_keys,
        certificates,
    };
    return fixture_run("conf_file", tests, ARRAY_LEN(tests));
}
