/* SPDX-License-Identifier: Apache-2.0 */
/* io/listen.h: what addresses mean, what is refused and why, Unix sockets' modes and stale files,
 * inherited sockets, who the peer is. */
#include "io/listen.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct listen_set set;
static char msg[512];
static char dir[64];

static void setup(void)
{
    set = (struct listen_set){0};
    msg[0] = '\0';
    snprintf(dir, sizeof dir, "/tmp/listen-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    listen_close(&set);
    ck_assert_ptr_null(set.v);
    ck_assert_int_eq(rmdir(dir), 0); /* also says that no socket file was left */
}

static bool open_at(const char *address)
{
    struct listen_spec spec = {.address = address};
    return listen_open(&spec, &set, msg, sizeof msg);
}

static bool has_v6(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static int connect_v4(unsigned port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    ck_assert_uint_lt(strlen(path), sizeof sun.sun_path);
    memcpy(sun.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
        return fd;
    close(fd);
    return -1;
}

START_TEST(localhost_is_both_loopback_addresses_on_one_port)
{
    static const char *const forms[] = {"localhost:0", "LOCALHOST:0", ":0", "0"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        ck_assert_msg(open_at(forms[i]), "%s", msg);
        ck_assert_uint_eq(set.n, has_v6() ? 2 : 1);
        char want[64];
        snprintf(want, sizeof want, "127.0.0.1:%u", set.v[0].port);
        ck_assert_str_eq(set.v[0].name, want);
        ck_assert_uint_ne(set.v[0].port, 0);
        ck_assert(set.v[0].loopback && !set.v[0].inherited);
        if (set.n == 2) {
            snprintf(want, sizeof want, "[::1]:%u", set.v[0].port);
            ck_assert_str_eq(set.v[1].name, want);
            ck_assert_uint_eq(set.v[1].port, set.v[0].port);
            ck_assert(set.v[1].loopback);
        }
        close(connect_v4(set.v[0].port));
        listen_close(&set);
    }
}
END_TEST

START_TEST(literal_addresses_open_just_themselves)
{
    ck_assert_msg(open_at("127.0.0.1:0"), "%s", msg);
    ck_assert_uint_eq(set.n, 1);
    ck_assert_msg(open_at("127.0.0.9:0"), "%s", msg);
    ck_assert_uint_eq(set.n, 2); /* appended */
    ck_assert(set.v[1].loopback);
    if (has_v6()) {
        ck_assert_msg(open_at("[::1]:0"), "%s", msg);
        ck_assert_uint_eq(set.n, 3);
        ck_assert_int_eq(strncmp(set.v[2].name, "[::1]:", 6), 0);
    }
    int flags = fcntl(set.v[0].fd, F_GETFL), fdflags = fcntl(set.v[0].fd, F_GETFD);
    ck_assert(flags & O_NONBLOCK);
    ck_assert(fdflags & FD_CLOEXEC);
}
END_TEST

static bool own_v4(const char *ip, unsigned port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    ck_assert_int_eq(inet_pton(AF_INET, ip, &sa.sin_addr), 1);
    return listen_is_own((struct sockaddr *)&sa);
}

static bool own_v6(const char *ip, unsigned port)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    ck_assert_int_eq(inet_pton(AF_INET6, ip, &sa.sin6_addr), 1);
    return listen_is_own((struct sockaddr *)&sa);
}

START_TEST(which_addresses_lead_back_here)
{
    ck_assert(open_at("127.0.0.1:0"));
    unsigned port = set.v[0].port;
    ck_assert(own_v4("127.0.0.1", port));
    ck_assert(own_v6("::ffff:127.0.0.1", port));
    ck_assert(own_v4("0.0.0.0", port)); /* who connects there gets to 127.0.0.1 */
    ck_assert(own_v6("::", port));
    ck_assert(!own_v4("127.0.0.1", port ^ 1));
    ck_assert(!own_v4("127.0.0.2", port));
    ck_assert(!own_v4("192.0.2.1", port));
    ck_assert(!own_v6("::1", port));
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    ck_assert(!listen_is_own((struct sockaddr *)&sun));
    listen_close(&set);
    ck_assert(!own_v4("127.0.0.1", port));

    struct listen_spec all = {.address = "0.0.0.0:0", .allow_remote = true};
    ck_assert(listen_open(&all, &set, msg, sizeof msg));
    port = set.v[0].port;
    ck_assert(own_v4("127.0.0.1", port));
    ck_assert(own_v4("127.9.9.9", port));
    ck_assert(own_v4("0.0.0.0", port));
    ck_assert(!own_v4("192.0.2.1", port)); /* nobody's here */
}
END_TEST

START_TEST(nonsense_is_refused_with_the_forms_there_are)
{
    static const char *const bad[] = {
        "",          "localhost",    "localhost:",  "localhost:70000", "localhost:80x",
        "-1",        "1.2.3.4.5:80", "[::1]",       "[::1:80",         "[::1]x:80",
        "::1:8750",  "65536",        "host name:1", "unix:relative",   "unix:",
        "tcp://a:1", "*:80",         "%:80",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        msg[0] = '\0';
        ck_assert_msg(!open_at(bad[i]), "%s was accepted", bad[i]);
        ck_assert_msg(strstr(msg, bad[i]) != NULL, "%s: %s", bad[i], msg);
        ck_assert_uint_eq(set.n, 0);
    }
    ck_assert(!open_at("::1:8750"));
    ck_assert_ptr_nonnull(strstr(msg, "[::1]:8750"));
}
END_TEST

START_TEST(other_machines_are_kept_out_unless_asked_for)
{
    static const char *const remote[] = {"0.0.0.0:0", "[::]:0", "192.0.2.1:0"};
    for (size_t i = 0; i < ARRAY_LEN(remote); i++) {
        ck_assert(!open_at(remote[i]));
        ck_assert_msg(strstr(msg, "allow_remote") != NULL, "%s", msg);
        ck_assert_uint_eq(set.n, 0);
    }
    struct listen_spec spec = {.address = "0.0.0.0:0", .allow_remote = true};
    ck_assert_msg(listen_open(&spec, &set, msg, sizeof msg), "%s", msg);
    ck_assert(!set.v[0].loopback);
}
END_TEST

START_TEST(an_address_in_use_names_the_holder)
{
    char address[64], pid[32];
    /* As another process would: a socket that is no listener of ours. */
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(sa.sin_port));
    snprintf(pid, sizeof pid, "pid %ld (", (long)getpid());
    ck_assert(!open_at(address));
    ck_assert_msg(strstr(msg, address) != NULL, "%s", msg);
    ck_assert_msg(strstr(msg, "already in use by") != NULL, "%s", msg);
    ck_assert_msg(strstr(msg, pid) != NULL, "%s", msg);
    ck_assert_msg(strstr(msg, "`listen`") != NULL, "%s", msg);
    close(fd);
}
END_TEST

START_TEST(a_port_of_our_own_under_another_spelling_says_so)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "0.0.0.0"};
    char address[64];
    ck_assert(open_at("127.0.0.1:0"));
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct listen_spec spec = {.address = address, .allow_remote = true};
        snprintf(address, sizeof address, "%s:%u", hosts[i], set.v[0].port);
        ck_assert(!listen_open(&spec, &set, msg, sizeof msg));
        ck_assert_msg(strstr(msg, set.v[0].name) != NULL, "%s", msg);
        ck_assert_msg(strstr(msg, "another spelling") && strstr(msg, "restart"), "%s", msg);
        ck_assert_msg(strstr(msg, "stop it") == NULL, "%s", msg);
        ck_assert_uint_eq(set.n, 1); /* what was there stays */
        close(connect_v4(set.v[0].port));
    }
}
END_TEST

START_TEST(the_second_half_of_localhost_in_use_fails_the_whole)
{
    if (!has_v6())
        return;
    char address[64];
    ck_assert(open_at("[::1]:0"));
    unsigned port = set.v[0].port;
    snprintf(address, sizeof address, "localhost:%u", port);
    ck_assert(!open_at(address)); /* else someone else would get the requests sent to ::1 */
    ck_assert_msg(strstr(msg, "[::1]") != NULL, "%s", msg);
    ck_assert_msg(strstr(msg, "this process") != NULL, "%s", msg);
    ck_assert_uint_eq(set.n, 1);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    ck_assert_msg(open_at(address), "the first half was left open: %s", msg);
}
END_TEST

/* In a network namespace of its own, with a loopback interface that has no IPv6. Exit status: 77
 * when the system does not let us make one. */
static int listen_without_v6(void)
{
    struct ifreq lo = {.ifr_flags = IFF_UP};
    memcpy(lo.ifr_name, "lo", 3);
    if (unshare(CLONE_NEWNET) != 0)
        return 77;
    FILE *f = fopen("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w");
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (!f || fputs("1", f) < 0 || fclose(f) != 0 || s < 0 || ioctl(s, SIOCSIFFLAGS, &lo) != 0)
        return 77;
    if (has_v6())
        return 77;
    if (!open_at("localhost:0"))
        return 1;
    if (set.n != 1 || strncmp(set.v[0].name, "127.0.0.1:", 10) != 0)
        return 2;
    return open_at("[::1]:0") ? 3 : 0;
}

START_TEST(without_ipv6_localhost_is_the_ipv4_address_alone)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(listen_without_v6());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) != 77)
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(an_address_of_no_interface_says_so)
{
    struct listen_spec spec = {.address = "192.0.2.1:0", .allow_remote = true};
    ck_assert(!listen_open(&spec, &set, msg, sizeof msg));
    ck_assert_msg(strstr(msg, "192.0.2.1") != NULL && strstr(msg, "interface") != NULL, "%s", msg);
}
END_TEST

static char upath[100], uaddress[160];

static bool open_unix(const char *mode, const char *group)
{
    snprintf(upath, sizeof upath, "%s/s", dir);
    snprintf(uaddress, sizeof uaddress, "unix:%s", upath);
    struct listen_spec spec = {.address = uaddress, .mode = mode, .group = group};
    return listen_open(&spec, &set, msg, sizeof msg);
}

START_TEST(unix_sockets_have_the_mode_asked_for)
{
    static const struct {
        const char *mode, *group;
        unsigned want;
    } t[] = {{NULL, NULL, 0600},  {"", "", 0600},      {"0660", NULL, 0660},
             {"666", NULL, 0666}, {"0660", "0", 0660}, {"0600", "root", 0600}};
    umask(0022);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        if (t[i].group && t[i].group[0] && geteuid() != 0)
            continue;
        ck_assert_msg(open_unix(t[i].mode, t[i].group), "%s", msg);
        struct stat st;
        ck_assert_int_eq(lstat(upath, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, t[i].want);
        ck_assert_str_eq(set.v[0].name, uaddress);
        ck_assert(set.v[0].family == LISTEN_UNIX && set.v[0].loopback);
        listen_close(&set);
        ck_assert_int_ne(lstat(upath, &st), 0);
    }
    ck_assert_uint_eq(umask(0022), 0022); /* put back */
}
END_TEST

START_TEST(bad_modes_and_names_are_refused)
{
    static const char *const bad[] = {"0999", "rw", "07777", "1777", "-1", "0x1ff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(!open_unix(bad[i], NULL), "%s", bad[i]);
        ck_assert_msg(strstr(msg, bad[i]) && strstr(msg, "octal"), "%s", msg);
    }
    ck_assert(!open_unix(NULL, "no-such-group-here"));
    ck_assert_msg(strstr(msg, "no-such-group-here") != NULL, "%s", msg);
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer, "unix:/", 6);
    ck_assert(!open_at(longer));
    ck_assert_msg(strstr(msg, "107") != NULL, "%s", msg);
    ck_assert(!open_at("unix:/nonexistent/dir/s"));
    ck_assert_msg(strstr(msg, "directory") != NULL, "%s", msg);
}
END_TEST

START_TEST(a_stale_unix_socket_is_replaced)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s/s", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    close(fd); /* the file stays, nobody listens */
    ck_assert_msg(open_unix(NULL, NULL), "%s", msg);
    fd = connect_unix(upath);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

enum { RIVALS = 4, RACES = 100 };

/* Waits for the start, opens the socket, says so and holds it until all have tried. */
static void compete(int start, int tried, int end)
{
    char byte;
    if (read(start, &byte, 1) != 0)
        _exit(2);
    byte = open_unix(NULL, NULL) ? 'y' : 'n';
    if (write(tried, &byte, 1) != 1 || read(end, &byte, 1) != 0)
        _exit(2);
    _exit(0); /* the file stays: stale for the next race */
}

START_TEST(of_several_that_find_a_stale_unix_socket_one_replaces_it)
{
    for (int race = 0; race < RACES; race++) {
        int start[2], tried[2], end[2], won = 0;
        char byte;
        ck_assert(pipe(start) == 0 && pipe(tried) == 0 && pipe(end) == 0);
        for (int i = 0; i < RIVALS; i++) {
            pid_t pid = fork();
            ck_assert_int_ge(pid, 0);
            if (pid == 0) {
                close(start[1]);
                close(end[1]);
                compete(start[0], tried[1], end[0]);
            }
        }
        close(start[1]);
        for (int i = 0; i < RIVALS; i++) {
            ck_assert_int_eq(read(tried[0], &byte, 1), 1);
            won += byte == 'y';
        }
        close(end[1]);
        for (int i = 0; i < RIVALS; i++) {
            int status;
            ck_assert_int_gt(wait(&status), 0);
            ck_assert_int_eq(status, 0);
        }
        close(start[0]), close(tried[0]), close(tried[1]), close(end[0]);
        ck_assert_msg(won == 1, "%d of %d have the socket in race %d", won, RIVALS, race);
    }
    snprintf(upath, sizeof upath, "%s/s", dir);
    ck_assert_int_eq(unlink(upath), 0);
}
END_TEST

START_TEST(a_living_unix_socket_is_not_replaced)
{
    char pid[32];
    ck_assert(open_unix(NULL, NULL));
    ck_assert(!open_unix(NULL, NULL));
    snprintf(pid, sizeof pid, "pid %ld (", (long)getpid());
    ck_assert_msg(strstr(msg, pid) != NULL, "%s", msg);
    ck_assert_uint_eq(set.n, 1);
    int fd = connect_unix(upath);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

START_TEST(other_files_are_never_removed)
{
    snprintf(upath, sizeof upath, "%s/s", dir);
    int fd = open(upath, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert(!open_unix(NULL, NULL));
    ck_assert_msg(strstr(msg, "not a socket") != NULL, "%s", msg);
    struct stat st;
    ck_assert_int_eq(lstat(upath, &st), 0);
    ck_assert_int_eq(unlink(upath), 0);
    ck_assert_int_eq(symlink("/etc/passwd", upath), 0);
    ck_assert(!open_unix(NULL, NULL));
    ck_assert_int_eq(lstat(upath, &st), 0);
    ck_assert_int_eq(unlink(upath), 0);
}
END_TEST

START_TEST(closing_leaves_a_successors_socket_alone)
{
    ck_assert(open_unix(NULL, NULL));
    struct listen_set first = set;
    set = (struct listen_set){0};
    ck_assert_int_eq(unlink(upath), 0);
    ck_assert(open_unix(NULL, NULL)); /* another daemon took the path over */
    listen_close(&first);
    struct stat st;
    ck_assert_int_eq(lstat(upath, &st), 0);
}
END_TEST

START_TEST(accept_tells_the_tcp_peer)
{
    struct peer p;
    struct sockaddr_storage sa;
    unsigned len;
    ck_assert(open_at("127.0.0.1:0"));
    ck_assert_int_eq(listen_accept(&set.v[0], &p, &sa, &len), -1);
    ck_assert_int_eq(errno, EAGAIN);
    int c = connect_v4(set.v[0].port);
    struct sockaddr_in me;
    socklen_t melen = sizeof me;
    ck_assert_int_eq(getsockname(c, (struct sockaddr *)&me, &melen), 0);
    int fd = listen_accept(&set.v[0], &p, &sa, &len);
    ck_assert_int_ge(fd, 0);
    char want[64];
    snprintf(want, sizeof want, "127.0.0.1:%u", ntohs(me.sin_port));
    ck_assert_str_eq(p.addr, want);
    ck_assert(p.family == LISTEN_TCP && !p.has_cred);
    ck_assert_uint_eq(len, sizeof(struct sockaddr_in));
    int one = 0;
    socklen_t olen = sizeof one;
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, &olen), 0);
    ck_assert_int_ne(one, 0);
    ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    close(c);
}
END_TEST

START_TEST(accept_tells_the_unix_peer_even_when_it_is_bound_to_a_long_path)
{
    struct peer p;
    struct sockaddr_storage sa;
    unsigned len;
    ck_assert(open_unix(NULL, NULL));
    struct sockaddr_un from = {.sun_family = AF_UNIX}, to = {.sun_family = AF_UNIX};
    memset(from.sun_path, 'x', 100);
    int n = snprintf(from.sun_path, 50, "%s/", dir);
    from.sun_path[n] = 'x';
    snprintf(to.sun_path, sizeof to.sun_path, "%s", upath);
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(c, (struct sockaddr *)&from, sizeof from), 0);
    ck_assert_int_eq(connect(c, (struct sockaddr *)&to, sizeof to), 0);
    int fd = listen_accept(&set.v[0], &p, &sa, &len);
    ck_assert_int_ge(fd, 0);
    ck_assert_str_eq(p.addr, "unix");
    ck_assert(p.has_cred);
    ck_assert_uint_eq(p.uid, geteuid());
    ck_assert_int_eq(p.pid, getpid());
    ck_assert_uint_le(len, sizeof(struct sockaddr_in6)); /* what MHD_add_connection copies safely */
    ck_assert_int_eq(sa.ss_family, AF_UNIX);
    close(fd);
    close(c);
    ck_assert_int_eq(unlink(from.sun_path), 0);
}
END_TEST

START_TEST(accept_without_descriptors_reports_and_does_not_lose_the_client)
{
    struct peer p;
    struct sockaddr_storage sa;
    unsigned len;
    const char *preload = getenv("LD_PRELOAD");
    if (preload && strstr(preload, "vgpreload"))
        return; /* valgrind plays the limit itself, and closes what was accepted beyond it */
    ck_assert(open_at("127.0.0.1:0"));
    int c = connect_v4(set.v[0].port);
    struct rlimit old, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){3, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int fd = listen_accept(&set.v[0], &p, &sa, &len);
    int e = errno;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(e, EMFILE);
    fd = listen_accept(&set.v[0], &p, &sa, &len);
    ck_assert_int_ge(fd, 0);
    close(fd);
    close(c);
}
END_TEST

/* A child as another user connects, says so through a pipe and waits until its pipe closes. */
static pid_t connect_as(uid_t uid, const char *host_family, unsigned port, int ready[2],
                        int stay[2])
{
    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(stay), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) {
        close(ready[1]);
        close(stay[0]);
        char b;
        ck_assert_int_eq(read(ready[0], &b, 1), 1);
        return pid;
    }
    close(stay[1]);
    if (setuid(uid) != 0)
        _exit(9);
    bool v6 = host_family[0] == '6';
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    s4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s6.sin6_addr = in6addr_loopback;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    int rc = v6 ? connect(fd, (struct sockaddr *)&s6, sizeof s6)
                : connect(fd, (struct sockaddr *)&s4, sizeof s4);
    char b = 'x';
    if (rc != 0 || write(ready[1], &b, 1) != 1)
        _exit(8);
    rc = (int)read(stay[0], &b, 1);
    _exit(rc);
}

START_TEST(the_uid_behind_a_loopback_connection)
{
    struct peer p;
    struct sockaddr_storage sa;
    unsigned len;
    uid_t me = geteuid(), other = me == 0 ? 12345 : me, got = 99;
    for (int family = 4; family <= 6; family += 2) {
        if (family == 6 && !has_v6())
            continue;
        ck_assert_msg(open_at(family == 4 ? "127.0.0.1:0" : "[::1]:0"), "%s", msg);
        int ready[2], stay[2], status;
        pid_t pid = connect_as(other, family == 4 ? "4" : "6", set.v[0].port, ready, stay);
        int fd = listen_accept(&set.v[0], &p, &sa, &len);
        ck_assert_int_ge(fd, 0);
        ck_assert(listen_tcp_peer_uid(fd, &got));
        ck_assert_uint_eq(got, other);
        close(stay[1]); /* the child ends: its socket becomes the kernel's */
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        got = 99;
        ck_assert_msg(!listen_tcp_peer_uid(fd, &got), "told uid %u of a process that is gone", got);
        ck_assert_uint_eq(got, 99);
        close(fd);
        close(ready[0]);
        listen_close(&set);
    }
    ck_assert(!listen_tcp_peer_uid(0, &got)); /* no socket, or no TCP one */
}
END_TEST

/* Inheriting is of a whole process: done in children. Returns the child's exit status. */
static int in_child(int (*f)(int tcp, int un), int tcp, int un)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        char me[32];
        snprintf(me, sizeof me, "%ld", (long)getpid());
        setenv("LISTEN_PID", me, 1);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_FDNAMES", "web:local", 1);
        int a = fcntl(tcp, F_DUPFD, 100), b = fcntl(un, F_DUPFD, 100);
        dup2(a, 3);
        dup2(b, 4);
        _exit(f(3, 4));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "status %x", (unsigned)status);
    return WEXITSTATUS(status);
}

static int inherit_by_name(int tcp, int un)
{
    struct listen_set in = {0};
    struct listen_spec spec = {.address = "systemd:local"};
    if (listen_inherit() != 2 || getenv("LISTEN_FDS") || getenv("LISTEN_PID") ||
        getenv("LISTEN_FDNAMES"))
        return 1;
    if (!(fcntl(tcp, F_GETFD) & FD_CLOEXEC))
        return 2;
    if (!listen_open(&spec, &in, msg, sizeof msg) || in.n != 1 || in.v[0].fd != un)
        return 3;
    if (in.v[0].family != LISTEN_UNIX || !in.v[0].inherited || in.v[0].unlink_path ||
        !(fcntl(un, F_GETFL) & O_NONBLOCK))
        return 4;
    if (listen_open(&spec, &in, msg, sizeof msg) || !strstr(msg, "systemd:local"))
        return 5; /* it was taken */
    spec.address = "systemd";
    if (!listen_open(&spec, &in, msg, sizeof msg) || in.n != 2 || in.v[1].fd != tcp)
        return 6;
    if (in.v[1].family != LISTEN_TCP || in.v[1].port == 0 || !in.v[1].loopback)
        return 7;
    listen_give_back(&in);
    if (in.n || !listen_open(&spec, &in, msg, sizeof msg) || in.n != 2 || in.v[0].fd != tcp ||
        in.v[1].fd != un)
        return 8;
    listen_close(&in);
    if (fcntl(un, F_GETFD) >= 0 || fcntl(tcp, F_GETFD) >= 0)
        return 9;
    return listen_open(&spec, &in, msg, sizeof msg) ? 10 : 0;
}

static int inherit_refused(int tcp, int un)
{
    (void)tcp;
    struct listen_set in = {0};
    struct listen_spec spec = {.address = "systemd"};
    int file = open("/dev/null", O_RDONLY);
    dup2(file, un); /* 4 is no socket */
    if (listen_inherit() != 2)
        return 1;
    if (listen_open(&spec, &in, msg, sizeof msg) || in.n != 0 || !strstr(msg, "descriptor 4"))
        return 2;
    spec.address = "systemd:web"; /* the good one is still there */
    bool ok = listen_open(&spec, &in, msg, sizeof msg) && in.n == 1;
    listen_close(&in);
    return ok ? 0 : 3;
}

static int inherit_of_another(int tcp, int un)
{
    (void)tcp;
    (void)un;
    struct listen_set in = {0};
    struct listen_spec spec = {.address = "systemd"};
    setenv("LISTEN_PID", "1", 1);
    if (listen_inherit() != 0 || getenv("LISTEN_FDS"))
        return 1;
    return listen_open(&spec, &in, msg, sizeof msg) || !strstr(msg, "LISTEN_FDS") ? 2 : 0;
}

START_TEST(inherited_sockets)
{
    ck_assert(open_at("127.0.0.1:0"));
    ck_assert(open_unix(NULL, NULL));
    ck_assert_int_eq(in_child(inherit_by_name, set.v[0].fd, set.v[1].fd), 0);
    ck_assert_int_eq(in_child(inherit_refused, set.v[0].fd, set.v[1].fd), 0);
    ck_assert_int_eq(in_child(inherit_of_another, set.v[0].fd, set.v[1].fd), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listen");
    TCase *c = tcase_create("listen");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, localhost_is_both_loopback_addresses_on_one_port);
    tcase_add_test(c, literal_addresses_open_just_themselves);
    tcase_add_test(c, which_addresses_lead_back_here);
    tcase_add_test(c, nonsense_is_refused_with_the_forms_there_are);
    tcase_add_test(c, other_machines_are_kept_out_unless_asked_for);
    tcase_add_test(c, an_address_in_use_names_the_holder);
    tcase_add_test(c, a_port_of_our_own_under_another_spelling_says_so);
    tcase_add_test(c, the_second_half_of_localhost_in_use_fails_the_whole);
    tcase_add_test(c, without_ipv6_localhost_is_the_ipv4_address_alone);
    tcase_add_test(c, an_address_of_no_interface_says_so);
    tcase_add_test(c, unix_sockets_have_the_mode_asked_for);
    tcase_add_test(c, bad_modes_and_names_are_refused);
    tcase_add_test(c, a_stale_unix_socket_is_replaced);
    tcase_add_test(c, of_several_that_find_a_stale_unix_socket_one_replaces_it);
    tcase_add_test(c, a_living_unix_socket_is_not_replaced);
    tcase_add_test(c, other_files_are_never_removed);
    tcase_add_test(c, closing_leaves_a_successors_socket_alone);
    tcase_add_test(c, accept_tells_the_tcp_peer);
    tcase_add_test(c, accept_tells_the_unix_peer_even_when_it_is_bound_to_a_long_path);
    tcase_add_test(c, accept_without_descriptors_reports_and_does_not_lose_the_client);
    tcase_add_test(c, the_uid_behind_a_loopback_connection);
    tcase_add_test(c, inherited_sockets);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
