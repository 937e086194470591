/* SPDX-License-Identifier: Apache-2.0 */
/* fail_nth.c: the n-th allocation, socket call or file operation fails, once. */
#ifndef SIGFERRY_TESTS_FAIL_NTH_H
#define SIGFERRY_TESTS_FAIL_NTH_H

/* Sanitizers have a malloc of their own: with them nothing is replaced, and nothing can fail. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAIL_NTH_OFF 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAIL_NTH_OFF 1
#endif

enum fail_kind {
    FAIL_NONE,
    FAIL_ALLOC, /* malloc and its kin: no memory */
    FAIL_AGAIN, /* a socket: EAGAIN */
    FAIL_SHORT, /* a socket: one byte only */
    FAIL_FILE,  /* open: EMFILE; read, fstat: EIO; write: ENOSPC */
};

/* The words of the page. */
enum fail_word {
    FAIL_KIND,
    FAIL_AT,
    FAIL_CALLS,
    FAIL_DONE,
    FAIL_BLOCKS,
    FAIL_WORKERS,
    FAIL_WORDS = 8
};

extern _Atomic long *fail_nth_page;

#endif
