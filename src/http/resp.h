/* SPDX-License-Identifier: Apache-2.0 */
/* Strict, incremental HTTP/1.1 response parser (RFC 9112). Pure: bytes in, events out; no I/O.
 * It may be fed at any split; the same bytes give the same events. */
#ifndef SIGFERRY_HTTP_RESP_H
#define SIGFERRY_HTTP_RESP_H

#include "base/buf.h"
#include "base/err.h"
#include "http/hdr.h"

enum { RESP_MAX_HEAD = 128 * 1024, RESP_MAX_HEADERS = 200, RESP_MAX_1XX = 100 };

enum resp_event {
    RESP_MORE, /* all input consumed, more is needed */
    RESP_HEAD, /* the final head is complete: status, hdrs, length are set */
    RESP_DATA, /* *data views the next body bytes inside the input just fed */
    RESP_END,  /* the message is complete; input left over is not part of it */
    RESP_BAD,  /* not acceptable HTTP; why is in ->why; the parser stays in this state */
};

enum resp_framing { RESP_NO_BODY, RESP_LENGTH, RESP_CHUNKED, RESP_UNTIL_CLOSE };

struct resp {
    /* set at RESP_HEAD, valid until resp_reset */
    unsigned status;
    struct str reason;
    struct hdrs hdrs; /* views into the parser's own copy of the head */
    enum resp_framing framing;
    uint64_t length; /* what Content-Length says, if has_length: of the body, with RESP_NO_BODY of
                        the one there would be */
    bool has_length; /* a Content-Length field was there (also on HEAD and 304) */
    bool keep_alive; /* the connection may be used again after RESP_END */
    const char *why; /* at RESP_BAD */
    unsigned n1xx;   /* at any time: interim heads that came */

    /* private */
    struct buf head;
    struct hdr hdr_store[RESP_MAX_HEADERS];
    unsigned state;
    unsigned digits;   /* of the chunk size being read */
    uint64_t left;     /* bytes to come of the body or the chunk; the size while it is read */
    size_t line_start; /* where in the head the line being read began */
    size_t excess;     /* bytes of chunk extensions not yet outweighed by data */
    size_t trailer_bytes;
    bool is_head_request, any_byte;
};

/* Prepares a parser; allocates nothing until the first byte. */
void resp_init(struct resp *r);
void resp_free(struct resp *r);

/* Ready for the next response; keeps memory. is_head_request: the request was HEAD. */
void resp_reset(struct resp *r, bool is_head_request);

/* Takes bytes from the front of *in (advancing it) until an event; call again with what is left
 * until RESP_MORE. With RESP_DATA, *data is a view into the bytes taken. 1xx heads are skipped, 101
 * is RESP_BAD; trailers are checked and dropped. After RESP_END nothing more is taken. */
enum resp_event resp_feed(struct resp *r, struct str *in, struct str *data);

/* The connection ended: RESP_END when the message ends so (RESP_UNTIL_CLOSE), RESP_MORE when no
 * byte of a response had come, RESP_BAD when it was cut short. */
enum resp_event resp_eof(struct resp *r);

#endif
