/* SPDX-License-Identifier: Apache-2.0 */
/* Which process holds a TCP address that we could not bind: best effort through /proc, for an error
 * message only. Never fails loudly and never looks at more than it must. */
#include "io/listen_int.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void listen_name_pid(long pid, char *out, size_t size)
{
    char path[64], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        size_t n = fread(comm, 1, sizeof comm - 1, f);
        comm[n] = '\0';
        comm[strcspn(comm, "\n")] = '\0';
        fclose(f);
    }
    for (char *p = comm; *p; p++) /* a process chooses its own name */
        if (!isprint((unsigned char)*p))
            *p = '?';
    if (comm[0])
        snprintf(out, size, "pid %ld (%s)", pid, comm);
    else
        snprintf(out, size, "pid %ld", pid);
}

/* The address columns of /proc/net/tcp*: each 32-bit word as the machine would print it. */
static void hex_address(const struct sockaddr_storage *sa, char out[33])
{
    uint32_t w[4] = {0};
    size_t words = 1;
    if (sa->ss_family == AF_INET6) {
        memcpy(w, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
        words = 4;
    } else {
        memcpy(w, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    }
    for (size_t i = 0; i < words; i++)
        snprintf(out + 8 * i, 9, "%08X", w[i]);
}

static bool is_zero(const char *hex)
{
    return strspn(hex, "0") == strlen(hex);
}

/* Finds the inode of a listening socket that stands in the way of sa in one table. */
static bool find_inode(const char *table, const struct sockaddr_storage *sa, unsigned long *inode)
{
    char ours[33] = "";
    hex_address(sa, ours);
    unsigned port = ntohs(sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
                                                    : ((const struct sockaddr_in *)sa)->sin_port);
    FILE *f = fopen(table, "re");
    if (!f)
        return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        char addr[40];
        unsigned p, state;
        unsigned long ino;
        if (sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   addr, &p, &state, &ino) != 4)
            continue;
        bool listening = state == 0x0A;
        if (listening && p == port && (is_zero(addr) || is_zero(ours) || !strcmp(addr, ours))) {
            *inode = ino;
            found = true;
        }
    }
    fclose(f);
    return found;
}

static bool has_socket(const char *pid, const char *wanted)
{
    char path[64 + 256];
    snprintf(path, sizeof path, "/proc/%.32s/fd", pid);
    DIR *d = opendir(path);
    if (!d)
        return false;
    bool found = false;
    for (struct dirent *e; !found && (e = readdir(d));) {
        char target[64];
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
        if (n > 0) {
            target[n] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    closedir(d);
    return found;
}

bool listen_holder(const struct sockaddr_storage *sa, char *out, size_t size)
{
    unsigned long inode;
    bool v4 = sa->ss_family == AF_INET;
    /* A wildcard IPv6 listener may hold the IPv4 port as well. */
    if (!find_inode(v4 ? "/proc/net/tcp" : "/proc/net/tcp6", sa, &inode) &&
        !(v4 && find_inode("/proc/net/tcp6", sa, &inode)))
        return false;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *d = opendir("/proc");
    if (!d)
        return false;
    bool found = false;
    for (struct dirent *e; !found && (e = readdir(d));) {
        if (isdigit((unsigned char)e->d_name[0]) && has_socket(e->d_name, wanted)) {
            listen_name_pid(strtol(e->d_name, NULL, 10), out, size);
            found = true;
        }
    }
    closedir(d);
    return found;
}
