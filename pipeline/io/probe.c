#include "pipeline/io/probe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/io/file.h"

#define CPU_LIMIT_S 20
#define WALL_LIMIT_MS 60000              /* a sleeping network disk may take its time */
#define MEMORY_LIMIT ((rlim_t)4 << 30)   /* of addresses: descriptions and chunk tables take a small part of it */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static void limit(int what, rlim_t value)
{
    struct rlimit r = {value, value};
    setrlimit(what, &r); /* a limit that can't be set leaves the file as dangerous as it was */
}

static void look(const char *path, int to)
{
    struct ep_err e = {0};
    struct ep_file *f = NULL;
#ifndef SANITIZED /* shadow memory takes all addresses there are */
    limit(RLIMIT_AS, MEMORY_LIMIT);
#endif
    limit(RLIMIT_CPU, CPU_LIMIT_S);
    limit(RLIMIT_CORE, 0);
    ep_status st = ep_file_open(path, &f, &e);
    for (size_t i = 0; !st && i < ep_file_count(f); i++) {
        struct ep_source *s = NULL;
        struct ep_err ignored = {0}; /* a signal that can't be streamed is no fault of the file */
        if (!ep_source_open(f, i, &s, &ignored)) ep_source_close(s);
    }
    if (st) {
        size_t n = strlen(e.msg);
        if (write(to, e.msg, n) != (ssize_t)n) _exit(2);
    }
    _exit(st ? 1 : 0);
}

static int left_ms(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long gone = (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
    return gone >= WALL_LIMIT_MS ? 0 : (int)(WALL_LIMIT_MS - gone);
}

/* What the child says, until it closes its end; false when it takes too long. */
static bool listen_to(int from, char *msg, size_t room)
{
    struct timespec start;
    size_t n = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    msg[0] = 0;
    for (;;) {
        struct pollfd p = {.fd = from, .events = POLLIN};
        int ready = poll(&p, 1, left_ms(&start));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        ssize_t got = read(from, msg + n, room - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || n == room - 1) return true;
        n += (size_t)got;
        msg[n] = 0;
    }
}

static ep_status verdict(const char *path, int status, const char *msg, struct ep_err *e)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return EP_OK;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && msg[0]) return ep_fail(e, EP_E_INPUT, "%s", msg);
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (sig == SIGXCPU || sig == SIGKILL)
        return ep_fail(e, EP_E_INPUT, "%s: reading its contents took more than %d s: the file is damaged, or made to do harm; use another copy of it",
                       path, CPU_LIMIT_S);
    return ep_fail(e, EP_E_INPUT, "%s: the HDF5 library crashed on this file (%s): it is damaged; use another copy of it", path,
                   sig ? strsignal(sig) : "it gave up");
}

ep_status ep_file_probe(const char *path, struct ep_err *e)
{
    int fd[2];
    if (pipe(fd)) return ep_fail(e, EP_E_INPUT, "%s: no pipe to look at it: %s", path, strerror(errno));
    fflush(NULL); /* what waits in buffers is written once, not twice */
    pid_t child = fork();
    if (child < 0) {
        close(fd[0]);
        close(fd[1]);
        return ep_fail(e, EP_E_INPUT, "%s: no process to look at it: %s", path, strerror(errno));
    }
    if (child == 0) {
        close(fd[0]);
        look(path, fd[1]);
    }
    close(fd[1]);
    char msg[sizeof e->msg];
    bool in_time = listen_to(fd[0], msg, sizeof msg);
    close(fd[0]);
    if (!in_time) kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return verdict(path, status, msg, e);
}
