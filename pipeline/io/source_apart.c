/* Values behind filters that are not ours (n-bit, scale-offset, szip, plug-ins) are decoded by the HDF5 library, and a damaged
 * chunk can make it crash, in places no first look at the file would find. So a process of its own calls it and sends the
 * values through a pipe: when it dies, the input is unreadable, and we are alive to say so. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5array.h"
#include "pipeline/io/source_private.h"

#define PATIENCE_MS 120000 /* for one slab: the library may also go round in circles */

struct wish { hsize_t start[EP_MAX_AXES], count[EP_MAX_AXES]; size_t bytes; };

static bool put(int to, const void *what, size_t bytes)
{
    for (const char *p = what; bytes;) {
        ssize_t n = write(to, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* patience < 0: for ever */
static bool get(int from, void *what, size_t bytes, int patience)
{
    for (char *p = what; bytes;) {
        struct pollfd f = {.fd = from, .events = POLLIN};
        int ready = poll(&f, 1, patience);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        ssize_t n = read(from, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

ep_status ep_src_slab(const struct ep_source *s, const hsize_t *start, const hsize_t *count, void *to)
{
    return s->slabs && ep_h5_array_read(s->slabs, start, count, to) ? EP_OK : EP_E_INPUT;
}

/* Serves until the other end of the pipe is closed, whatever closes it. HDF5 reads with pread: the shared descriptor has no
 * place in the file that two processes could quarrel about. */
static _Noreturn void serve(const struct ep_source *s, int from, int to)
{
    struct wish w;
    void *buf = NULL;
    size_t cap = 0;
    while (get(from, &w, sizeof w, -1)) {
        struct ep_err e = {0};
        char ok = ep_reserve(&buf, &cap, w.bytes, "a part of the data", &e) == EP_OK;
        if (ok) memset(buf, 0, w.bytes); /* HDF5 leaves what was never written, and has no fill value, as it is */
        if (ok) ok = ep_src_slab(s, w.start, w.count, buf) == EP_OK;
        if (!put(to, &ok, 1) || (ok && !put(to, buf, w.bytes))) break;
    }
    _exit(0);
}

ep_status ep_src_apart_start(struct ep_source *s, struct ep_err *e)
{
    int there[2], back[2];
    if (!s->st.foreign) return EP_OK;
    if (pipe(there)) return ep_fail(e, EP_E_COMPUTE, "%s: no pipe to read it through: %s", s->f->path, strerror(errno));
    if (pipe(back)) {
        close(there[0]);
        close(there[1]);
        return ep_fail(e, EP_E_COMPUTE, "%s: no pipe to read it through: %s", s->f->path, strerror(errno));
    }
    fflush(NULL); /* what waits in buffers is written once, not twice */
    pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        serve(s, there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    s->apart = child < 0 ? 0 : child;
    s->apart_to = there[1];
    s->apart_from = back[0];
    if (child > 0) return EP_OK;
    close(there[1]);
    close(back[0]);
    return ep_fail(e, EP_E_COMPUTE, "%s: no process to read it: %s", s->f->path, strerror(errno));
}

ep_status ep_src_apart_read(struct ep_source *s, const hsize_t *start, const hsize_t *count, size_t bytes, void *to, struct ep_err *e)
{
    struct wish w = {.bytes = bytes};
    char ok = 0;
    memcpy(w.start, start, (size_t)s->st.rank * sizeof *start);
    memcpy(w.count, count, (size_t)s->st.rank * sizeof *count);
    bool alive = put(s->apart_to, &w, sizeof w) && get(s->apart_from, &ok, 1, PATIENCE_MS) && (!ok || get(s->apart_from, to, bytes, PATIENCE_MS));
    if (alive && ok) return EP_OK;
    if (alive) return ep_fail(e, EP_E_INPUT, "%s: %s: a part of the data can't be read (damaged file?)", s->f->path, s->it->data);
    return ep_fail(e, EP_E_INPUT, "%s: %s: the HDF5 library crashed or hung on a chunk: the file is damaged; use another copy of it", s->f->path,
                   s->it->data);
}

void ep_src_apart_end(struct ep_source *s)
{
    int status;
    if (!s->apart) return;
    close(s->apart_to);
    close(s->apart_from);
    kill(s->apart, SIGKILL);
    while (waitpid(s->apart, &status, 0) < 0 && errno == EINTR) continue;
    s->apart = 0;
}
