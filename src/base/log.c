/* SPDX-License-Identifier: Apache-2.0 */
/* The log's settings, its descriptor and the limit on repetition.
 * A line is one write and the descriptor is never waited for: what does not fit at once is dropped
 * and counted. Standard error is shared with other processes, so its flags are left alone. */
#include "base/log.h"
#include "base/clock.h"
#include "base/log_text.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    REPEAT_MAX = 10,   /* lines of one warning or error in a second */
    REPEAT_SLOTS = 64, /* formats watched at a time; further ones are not limited */
    GATHER_MAX = 4 * LOG_LINE_MAX,
};

/* How the descriptor is kept from making us wait. */
enum sink_kind {
    SINK_WRITE, /* a regular file, or opened by us with O_NONBLOCK */
    SINK_SEND,  /* a socket: MSG_DONTWAIT */
    SINK_POLL,  /* shared with others and not to be reopened: ask before each write */
};

struct sink {
    int fd;    /* -1: nowhere to write */
    dev_t dev; /* with ino: what fd is open on */
    ino_t ino;
    bool owned;
    bool journal;
    enum sink_kind kind;
    size_t line_max;
    size_t write_max; /* gathered lines in one write; 0: a write for each */
};

static struct {
    struct sink sink;
    enum log_format format;
    char *template, *file;
} now = {.sink = {.fd = -1}, .format = LOG_TEXT};

/* A waiting log_open must not starve behind a stream of lines. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint_fast64_t dropped;
static atomic_bool torn; /* the last write was cut: the next line starts with a newline */

_Atomic int log_level_now = LOG_INFO;
_Atomic unsigned log_debug_now = 0;

static bool is_journal(const struct stat *st)
{
    const char *env = getenv("JOURNAL_STREAM");
    char mine[64];
    int n = snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
    return env && n > 0 && strcmp(env, mine) == 0;
}

/* A pipe takes up to PIPE_BUF whole or not at all, and a datagram is one line. */
static void describe(struct sink *s, int fd, const struct stat *st)
{
    int type = 0;
    socklen_t len = sizeof type;
    s->dev = st->st_dev;
    s->ino = st->st_ino;
    s->line_max = s->write_max = S_ISFIFO(st->st_mode) ? PIPE_BUF : LOG_LINE_MAX;
    if (S_ISREG(st->st_mode))
        s->write_max = GATHER_MAX;
    else if (S_ISSOCK(st->st_mode) &&
             (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM))
        s->write_max = 0;
}

static struct sink sink_stderr(void)
{
    struct sink s = {.fd = -1};
    struct stat st;
    /* Closed, or what main put in the place of a closed one. */
    if (fstat(STDERR_FILENO, &st) != 0 || (fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return s;
    describe(&s, STDERR_FILENO, &st);
    s.journal = is_journal(&st);
    s.fd = STDERR_FILENO;
    if (S_ISSOCK(st.st_mode)) {
        s.kind = SINK_SEND;
    } else if (S_ISREG(st.st_mode)) {
        s.kind = SINK_WRITE;
    } else {
        /* O_NONBLOCK belongs to the open file, which others may share: open it anew. */
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        s.kind = fd >= 0 ? SINK_WRITE : SINK_POLL;
        s.owned = fd >= 0;
        if (fd >= 0)
            s.fd = fd;
    }
    return s;
}

static bool sink_file(const char *name, struct sink *out)
{
    struct sink s = {.owned = true, .kind = SINK_WRITE};
    struct stat st;
    s.fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
    if (s.fd < 0)
        return false;
    if (fstat(s.fd, &st) != 0) {
        int e = errno;
        (void)close(s.fd);
        errno = e;
        return false;
    }
    describe(&s, s.fd, &st);
    *out = s;
    return true;
}

/* From now on s is written to. The lock is held for writing. */
static void sink_use(const struct sink *s)
{
    /* The same file, opened again, still ends in the line that was cut. */
    if (s->dev != now.sink.dev || s->ino != now.sink.ino)
        atomic_store(&torn, false);
    if (now.sink.owned)
        (void)close(now.sink.fd);
    now.sink = *s;
}

static void first_use(void)
{
    now.sink = sink_stderr();
}

bool log_open(const struct log_options *o)
{
    struct sink s;
    const char *file = o->file ? o->file : "";
    char *template = strdup(o->template ? o->template : "");
    char *name = strdup(file);
    bool ok = template && name;
    if (ok && *file)
        ok = sink_file(file, &s);
    else if (ok)
        s = sink_stderr();
    if (!ok) {
        int e = errno;
        free(template);
        free(name);
        errno = e;
        return false;
    }
    pthread_once(&once, first_use);
    pthread_rwlock_wrlock(&lock);
    sink_use(&s);
    free(now.template);
    free(now.file);
    now.format = o->format;
    now.template = template;
    now.file = name;
    atomic_store(&log_level_now, (int)o->level);
    atomic_store(&log_debug_now, o->debug);
    pthread_rwlock_unlock(&lock);
    return true;
}

void log_reopen(void)
{
    struct sink s;
    int failed = 0;
    pthread_once(&once, first_use);
    pthread_rwlock_wrlock(&lock);
    if (now.file && *now.file) {
        if (sink_file(now.file, &s))
            sink_use(&s);
        else
            failed = errno;
    }
    pthread_rwlock_unlock(&lock);
    if (failed)
        log_msg(LOG_ERROR,
                "the log file could not be opened again (error %d), the open one is kept", failed);
}

static ssize_t write_once(const struct sink *s, const char *p, size_t n)
{
    struct pollfd ask = {.fd = s->fd, .events = POLLOUT};
    ssize_t rc;
    do {
        if (s->kind == SINK_SEND) {
            rc = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else if (s->kind == SINK_POLL && (poll(&ask, 1, 0) != 1 || !(ask.revents & POLLOUT))) {
            errno = EAGAIN;
            rc = -1;
        } else {
            rc = write(s->fd, p, n);
        }
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* What one thread has gathered; p is NULL when it does not. */
static _Thread_local struct {
    char *p; /* room for GATHER_MAX and a line, after a byte that is free for a newline */
    size_t n;
    unsigned lines;
} gathered;

/* One write of n bytes at p, before which a byte is free. The lock is held. */
static void put_out(const struct sink *s, char *p, size_t n, unsigned lines)
{
    bool was_torn = atomic_exchange(&torn, false);
    if (was_torn) {
        *--p = '\n';
        n++;
    }
    ssize_t rc = s->fd < 0 ? -1 : write_once(s, p, n);
    if (rc != (ssize_t)n) {
        atomic_fetch_add(&dropped, lines);
        if (rc > 0 || was_torn)
            atomic_store(&torn, true);
    }
}

/* The lock is held. */
static void flush_gathered(const struct sink *s)
{
    char *p = gathered.p;
    const size_t max = s->write_max ? s->write_max : LOG_LINE_MAX;
    while (gathered.n) {
        size_t n = gathered.n;
        unsigned lines = gathered.lines;
        if (n > max) { /* gathered for a file, before the log moved to a pipe */
            const char *end = memrchr(p, '\n', max);
            n = end ? (size_t)(end - p) + 1 : max;
            lines = 1;
        }
        put_out(s, p, n, lines); /* before p: what is written already, or the free byte */
        p += n;
        gathered.n -= n;
        gathered.lines -= lines < gathered.lines ? lines : gathered.lines;
    }
    gathered.lines = 0;
}

void log_flush(void)
{
    if (!gathered.n)
        return;
    int saved = errno;
    pthread_rwlock_rdlock(&lock);
    flush_gathered(&now.sink);
    pthread_rwlock_unlock(&lock);
    errno = saved;
}

void log_gather(bool on)
{
    log_flush();
    if (on && !gathered.p) {
        char *room = malloc(1 + GATHER_MAX + LOG_LINE_MAX);
        gathered.p = room ? room + 1 : NULL;
        /* cppcheck-suppress memleak ; freed below, one byte further down */
    } else if (!on && gathered.p) {
        free(gathered.p - 1);
        gathered.p = NULL;
    }
}

static void emit(enum log_level lvl, struct str msg, const struct log_field *f, size_t nf)
{
    char room[LOG_LINE_MAX + 1];
    struct timespec ts = {0, 0};
    int saved = errno;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    pthread_once(&once, first_use);
    pthread_rwlock_rdlock(&lock);
    const struct sink *s = &now.sink;
    if (s->fd < 0) {
        atomic_fetch_add(&dropped, 1);
    } else {
        const struct log_event e = {
            .level = lvl,
            .wall_ns = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec,
            .journal = s->journal,
            .msg = msg,
            .fields = f,
            .nfields = nf,
        };
        bool gather = gathered.p && lvl == LOG_INFO && nf > 0;
        char *p = gather ? gathered.p + gathered.n : room + 1;
        size_t n = log_text(p, s->line_max, now.format, now.template, &e);
        if (!gather || gathered.n + n > s->write_max)
            flush_gathered(s);
        if (!gather || n > s->write_max) {
            put_out(s, p, n, 1);
        } else {
            if (p != gathered.p + gathered.n)
                memmove(gathered.p, p, n);
            gathered.n += n;
            gathered.lines++;
        }
    }
    pthread_rwlock_unlock(&lock);
    errno = saved;
}

/* Repeated warnings and errors. */
struct repeat {
    const char *fmt;
    uint64_t since_ns;
    unsigned lines, suppressed;
    enum log_level level;
};

static struct repeat repeats[REPEAT_SLOTS];
static pthread_mutex_t repeat_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint repeat_waiting; /* slots with suppressed > 0 */

/* Says what was left out in a slot whose second is over, and empties it. */
static void repeat_close(struct repeat *r)
{
    char text[512];
    if (r->suppressed) {
        int n =
            snprintf(text, sizeof(text), "%u similar lines suppressed: %s", r->suppressed, r->fmt);
        if (n > 0)
            emit(r->level, str_of(text), NULL, 0);
        atomic_fetch_sub(&repeat_waiting, 1);
    }
    *r = (struct repeat){NULL, 0, 0, 0, LOG_ERROR};
}

static void repeat_sweep(uint64_t now_ns)
{
    for (size_t i = 0; i < REPEAT_SLOTS; i++)
        if (repeats[i].fmt && now_ns - repeats[i].since_ns >= NS_PER_SEC)
            repeat_close(&repeats[i]);
}

/* The slot of that format, else an empty one; NULL when others hold all of them. */
static struct repeat *repeat_slot(const char *fmt)
{
    struct repeat *empty = NULL;
    for (size_t i = 0; i < REPEAT_SLOTS; i++) {
        if (repeats[i].fmt == fmt)
            return &repeats[i];
        if (!repeats[i].fmt)
            empty = &repeats[i];
    }
    return empty;
}

/* Whether this line may be written. */
static bool repeat_allows(enum log_level lvl, const char *fmt)
{
    bool limited = lvl <= LOG_WARN;
    if (!limited && atomic_load_explicit(&repeat_waiting, memory_order_relaxed) == 0)
        return true;
    bool allow = true;
    pthread_mutex_lock(&repeat_lock);
    /* Read under the lock: a time from before it may lie before a slot's, and look ages later. */
    uint64_t now_ns = clock_fresh_ns();
    repeat_sweep(now_ns);
    struct repeat *r = limited ? repeat_slot(fmt) : NULL;
    if (r && !r->fmt)
        *r = (struct repeat){fmt, now_ns, 0, 0, lvl};
    if (r && ++r->lines > REPEAT_MAX) {
        allow = false;
        if (r->suppressed++ == 0)
            atomic_fetch_add(&repeat_waiting, 1);
    }
    pthread_mutex_unlock(&repeat_lock);
    return allow;
}

void log_line(enum log_level lvl, const char *fmt, ...)
{
    if (!repeat_allows(lvl, fmt))
        return;
    char text[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    emit(lvl, str_n(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1), NULL, 0);
}

void log_fields(enum log_level lvl, const char *msg, const struct log_field *f, size_t n)
{
    bool debug = lvl == LOG_DEBUG && atomic_load_explicit(&log_debug_now, memory_order_relaxed);
    if (log_on(lvl) || debug)
        emit(lvl, str_of(msg), f, n);
}

uint64_t log_dropped(void)
{
    return atomic_load(&dropped);
}
