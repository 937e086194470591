/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking HTTP/1.1 request with a deadline: for credentials, and for commands that look
 * around. Not for proxied requests. Any thread but a loop's. */
#ifndef SIGFERRY_IO_FETCH_H
#define SIGFERRY_IO_FETCH_H

#include "base/buf.h"
#include "base/err.h"

/* How to reach hosts. Strings are borrowed; "" or NULL: not set. Nothing is taken from the
 * environment. */
struct fetch_net {
    const char *http_proxy, *https_proxy; /* proxy URL by the request's scheme */
    const char *no_proxy;                 /* curl's list of hosts that need none */
    const char *const *connect_to;        /* HOST:PORT:CONNECT-HOST:CONNECT-PORT */
    size_t nconnect_to;
    bool insecure; /* don't verify the server (tls.verify_ssl = false) */
    const char *ca_file, *cert_file, *key_file;
    const char *min_version; /* "1.2" (also when not set) or "1.3" */
};

struct fetch_request {
    const char *method;         /* "GET", "POST", "PUT", "HEAD" */
    const char *url;            /* http:// or https://, sent as it stands */
    const char *const *headers; /* "Name: value" */
    size_t nheaders;
    struct str body;     /* sent when p is not NULL */
    uint64_t connect_ns; /* name look-up, TCP and TLS */
    uint64_t read_ns;    /* from then to the response's end; both together bound the whole */
    int cancel_fd;       /* readable: give up at once; -1: not cancelable */
    bool direct;         /* by no proxy: link-local services */
};

struct fetch_response {
    int status;
    struct buf body;     /* initialised by the caller; its max bounds the response; wiped by fetch
                            only on failure */
    char date[64];       /* the Date header, "" when there was none */
    char request_id[96]; /* X-Tt-Logid, "" when there was none */
    char address[64];    /* the peer's address and port that answered, "" before a connection */
};

/* Makes the request. The first one of a process starts libcurl unless that was done before, and
 * removes SSLKEYLOGFILE, by which TLS secrets would be written to a file. ERR_OK whenever a whole
 * response came, whatever its status. Otherwise the kind of failure (ERR_RESOLVE, ERR_CONNECT,
 * ERR_TLS, ERR_RESET, ERR_PROTOCOL, ERR_CONNECT_TIMEOUT, ERR_READ_TIMEOUT, ERR_BODY_TOO_LARGE,
 * ERR_SHUTTING_DOWN when cancelled, ERR_INTERNAL) with why set; it names the host but no path,
 * query or header. */
NODISCARD enum err fetch_run(const struct fetch_request *q, const struct fetch_net *net,
                             struct fetch_response *r, struct err_detail *why);

#endif
