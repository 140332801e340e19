#include "pipeline/io/probe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define CPU_LIMIT_S 5                    /* of one file; the caller will open it a few times more */
#define WALL_LIMIT_MS 60000              /* a sleeping network disk may take its time */
#define MEMORY_LIMIT ((rlim_t)2 << 30)   /* of addresses: descriptions and chunk tables take a small part of it */
#define READ_LIMIT ((size_t)64 << 20)    /* larger maps are not read in advance */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

struct ep_prober {
    const char *const *path;
    size_t n, next;          /* the first file without a verdict */
    bool thorough;
    pid_t child;             /* 0: none */
    int from;
    bool lost;               /* no child could be made: why is an errno */
    int why;
};

/* What the child says of a file: `bytes` of message follow, none if the file is fine. */
struct word { unsigned bytes; };

/* ---- the child ---- */

static void limit(int what, rlim_t value)
{
    struct rlimit r = {value, value};
    setrlimit(what, &r); /* a limit that can't be set leaves the file as dangerous as it was */
}

/* Another CPU_LIMIT_S from now on. */
static void limit_cpu(void)
{
    struct rusage u;
    struct rlimit r;
    if (getrusage(RUSAGE_SELF, &u) || getrlimit(RLIMIT_CPU, &r)) return;
    rlim_t soft = (rlim_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1 + CPU_LIMIT_S);
    if (r.rlim_max == RLIM_INFINITY || soft < r.rlim_max) r.rlim_cur = soft;
    setrlimit(RLIMIT_CPU, &r);
}

/* Where the library gets no memory it says so and goes on, often as if a thing were not there. The caller has no limit: there
 * the same file would take all memory, and the time to fill it. */
static bool no_memory;

static herr_t note_memory(unsigned n, const H5E_error2_t *error, void *arg)
{
    (void)n;
    (void)arg;
    if (error->min_num == H5E_NOSPACE || error->min_num == H5E_CANTALLOC) no_memory = true;
    return 0;
}

static herr_t on_error(hid_t stack, void *arg)
{
    (void)arg;
    return H5Ewalk2(stack, H5E_WALK_DOWNWARD, note_memory, NULL);
}

static ep_status look(const char *path, bool thorough, struct ep_err *e)
{
    struct ep_file *f = NULL;
    ep_status st = ep_file_open(path, &f, e);
    for (size_t i = 0; !st && i < ep_file_count(f); i++) {
        struct ep_source *s = NULL;
        struct ep_signal *whole = NULL;
        struct ep_err ignored = {0}; /* a signal that can't be streamed, or is too large, is no fault of the file */
        if (!ep_source_open(f, i, &s, &ignored)) ep_source_close(s);
        if (thorough && ep_file_desc(f, i)->kind != EP_IMAGE && !ep_file_load(f, i, READ_LIMIT, &whole, &ignored)) ep_signal_free(whole);
    }
    ep_file_close(f);
    if (!st && no_memory)
        st = ep_fail(e, EP_E_INPUT, "%s: looking at its contents took more than %d GiB of memory: the file is damaged, or made to do harm; use another "
                     "copy of it", path, (int)(MEMORY_LIMIT >> 30));
    no_memory = false;
    return st;
}

static bool say(int to, const void *what, size_t bytes)
{
    const char *p = what;
    while (bytes) {
        ssize_t n = write(to, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static _Noreturn void look_at_all(const struct ep_prober *p, int to)
{
    signal(SIGINT, SIG_DFL); /* a caller that is to stop need not wait for a file that hangs */
    signal(SIGTERM, SIG_DFL);
    signal(SIGXCPU, SIG_DFL);
    ep_hdf5_on_error = on_error;
#ifndef SANITIZED /* shadow memory takes all addresses there are */
    limit(RLIMIT_AS, MEMORY_LIMIT);
#endif
    limit(RLIMIT_CORE, 0);
    for (size_t i = p->next; i < p->n; i++) {
        struct ep_err e = {0};
        limit_cpu();
        struct word w = {look(p->path[i], p->thorough, &e) ? (unsigned)strlen(e.msg) : 0};
        if (!say(to, &w, sizeof w) || !say(to, e.msg, w.bytes)) _exit(2);
    }
    _exit(0);
}

/* ---- the caller ---- */

static void start_child(struct ep_prober *p)
{
    int fd[2];
    p->lost = true;
    if (pipe(fd)) {
        p->why = errno;
        return;
    }
    fflush(NULL); /* what waits in buffers is written once, not twice */
    p->child = fork();
    if (p->child < 0) {
        p->why = errno;
        p->child = 0;
        close(fd[0]);
        close(fd[1]);
        return;
    }
    if (p->child == 0) {
        close(fd[0]);
        look_at_all(p, fd[1]);
    }
    close(fd[1]);
    p->from = fd[0];
    p->lost = false;
}

/* How the child ended; it is gone afterwards. */
static int end_child(struct ep_prober *p, bool now)
{
    int status = 0;
    if (!p->child) return 0;
    close(p->from);
    if (now) kill(p->child, SIGKILL);
    while (waitpid(p->child, &status, 0) < 0 && errno == EINTR) continue;
    p->child = 0;
    return status;
}

static int left_ms(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long gone = (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
    return gone >= WALL_LIMIT_MS ? 0 : (int)(WALL_LIMIT_MS - gone);
}

enum heard { HEARD_ALL, HEARD_END, HEARD_NOTHING };

/* The next bytes that the child says; HEARD_NOTHING when it takes too long. */
static enum heard hear(const struct ep_prober *p, void *what, size_t bytes)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (char *to = what; bytes;) {
        struct pollfd f = {.fd = p->from, .events = POLLIN};
        int ready = poll(&f, 1, left_ms(&start));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return HEARD_NOTHING;
        ssize_t got = read(p->from, to, bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return HEARD_END;
        to += got;
        bytes -= (size_t)got;
    }
    return HEARD_ALL;
}

static ep_status crashed(const char *path, int status, bool slow, struct ep_err *e)
{
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (slow || sig == SIGXCPU || sig == SIGKILL)
        return ep_fail(e, EP_E_INPUT, "%s: looking at its contents took more than %d s: the file is damaged, or made to do harm; use another "
                       "copy of it", path, slow ? WALL_LIMIT_MS / 1000 : CPU_LIMIT_S);
    if (sig == SIGINT || sig == SIGTERM) return ep_fail(e, EP_E_STOPPED, "%s: stopped by a signal", path);
    return ep_fail(e, EP_E_INPUT, "%s: the HDF5 library crashed on this file (%s): it is damaged; use another copy of it", path,
                   sig ? strsignal(sig) : "it gave up");
}

ep_status ep_prober_wait(struct ep_prober *p, size_t i, struct ep_err *e)
{
    ep_status st = EP_OK;
    struct word w = {0};
    char msg[sizeof e->msg] = "";
    for (; p->next <= i; p->next++) {
        if (!p->child) start_child(p);
        if (p->lost) return ep_fail(e, EP_E_INPUT, "%s: no process to look at it: %s", p->path[i], strerror(p->why));
        enum heard h = hear(p, &w, sizeof w);
        if (h == HEARD_ALL && w.bytes) h = hear(p, msg, w.bytes < sizeof msg ? w.bytes : sizeof msg - 1);
        if (h != HEARD_ALL) {
            int status = end_child(p, h == HEARD_NOTHING);
            st = crashed(p->path[p->next], status, h == HEARD_NOTHING, e);
        } else {
            st = w.bytes ? ep_fail(e, EP_E_INPUT, "%s", msg) : EP_OK;
        }
    }
    return st;
}

struct ep_prober *ep_prober_start(const char *const *path, size_t n)
{
    struct ep_prober *p = ep_xcalloc(1, sizeof *p);
    p->path = path;
    p->n = n;
    if (n) start_child(p);
    return p;
}

void ep_prober_end(struct ep_prober *p)
{
    if (!p) return;
    end_child(p, true);
    free(p);
}

ep_status ep_file_probe(const char *path, struct ep_err *e)
{
    struct ep_prober p = {.path = &path, .n = 1, .thorough = true};
    ep_status st = ep_prober_wait(&p, 0, e);
    end_child(&p, false);
    return st;
}
