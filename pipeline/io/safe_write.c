/* Folders, temporary names, text files: everything about writing that is not HDF5. */
#include "pipeline/io/safe_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/result.h"

#define MARK ".eelpipe."
#define HOST_LEN 65
#define SWEEP_AGE (24 * 60 * 60)

static void host_name(char host[HOST_LEN])
{
    struct utsname u;
    snprintf(host, HOST_LEN, "%s", uname(&u) == 0 && u.nodename[0] ? u.nodename : "unknown");
    for (char *c = host; *c; c++)
        if (*c == '/')
            *c = '_';
}

static ep_status make_one(const char *folder, struct ep_err *e)
{
    if (mkdir(folder, 0777) == 0)
        return EP_OK;
    int why = errno;
    struct stat st;
    /* Looking before complaining: mkdir says EROFS or EACCES of folders that exist, too. */
    if (stat(folder, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return EP_OK;
        return ep_fail(e, EP_E_OUTPUT, "can't make the folder %s: a file of this name is in the way", folder);
    }
    return ep_fail(e, EP_E_OUTPUT, "can't make the folder %s: %s", folder, strerror(why));
}

ep_status ep_make_folders(const char *path, struct ep_err *e)
{
    if (!*path)
        return ep_fail(e, EP_E_OUTPUT, "can't make a folder without a name");
    char *copy = ep_xstrdup(path);
    ep_status st = EP_OK;
    for (char *c = copy + 1; st == EP_OK && *c; c++) {
        if (*c != '/' || c[-1] == '/')
            continue;
        *c = 0;
        st = make_one(copy, e);
        *c = '/';
    }
    if (st == EP_OK)
        st = make_one(copy, e);
    free(copy);
    return st;
}

/* Makes the temporary file itself; O_EXCL makes the counter unique without any state of the process. */
static ep_status create_temp(const char *folder, const char *base, struct ep_temp *t, struct ep_err *e)
{
    char host[HOST_LEN];
    host_name(host);
    size_t room = NAME_MAX - (strlen(host) + sizeof MARK + 40);
    for (unsigned n = 0; n < 100000; n++) {
        struct ep_str name = {0};
        ep_str_addf(&name, "%s/.%.*s" MARK "%s.%ld.%u.tmp", folder, (int)room, base, host, (long)getpid(), n);
        int fd = open(name.s, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            (void)flock(fd, LOCK_EX | LOCK_NB); /* where there are no locks, the sweep goes by process and age */
            t->tmp = name.s;
            t->fd = fd;
            return EP_OK;
        }
        int why = errno;
        ep_str_free(&name);
        if (why != EEXIST)
            return ep_fail(e, EP_E_OUTPUT, "can't write %s: %s", t->path, strerror(why));
    }
    return ep_fail(e, EP_E_OUTPUT, "can't write %s: the folder is full of temporary files", t->path);
}

/* What a rename must never remove. */
static ep_status refuse_special(const char *path, const struct stat *st, struct ep_err *e)
{
    if (S_ISDIR(st->st_mode))
        return ep_fail(e, EP_E_OUTPUT, "can't write %s: it is a folder", path);
    if (!S_ISREG(st->st_mode))
        return ep_fail(e, EP_E_OUTPUT, "can't write %s: it is a pipe or a device, not a file", path);
    return EP_OK;
}

ep_status ep_may_replace(const char *path, struct ep_err *e)
{
    struct stat st;
    char head[4096]; /* our mark is the first attribute of the root: a damaged result still has it, mostly */
    if (stat(path, &st) != 0)
        return EP_OK; /* nothing there, or nothing that can be reached: the writer will say */
    if (refuse_special(path, &st, e) != EP_OK)
        return e->code;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return ep_fail(e, EP_E_OUTPUT, "can't write %s: there is a file that can't be read: %s", path, strerror(errno));
    static const char magic[8] = "\x89HDF\r\n\x1a\n";
    bool stump = n < 528 && memcmp(head, magic, (size_t)n < sizeof magic ? (size_t)n : sizeof magic) == 0; /* ends before any object */
    if (stump || memmem(head, (size_t)n, "eelpipe_layout", 14))
        return EP_OK;
    return ep_fail(e, EP_E_OUTPUT, "can't write %s: there is a file that eelpipe has not made: move it away, or write elsewhere", path);
}

ep_status ep_temp_open(const char *path, struct ep_temp *t, struct ep_err *e)
{
    *t = (struct ep_temp){NULL, NULL, -1};
    const char *base = ep_base_name(path);
    struct stat st;
    if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
        return ep_fail(e, EP_E_OUTPUT, "can't write \"%s\": this names a folder, not a file", path);
    if (strlen(base) > NAME_MAX)
        return ep_fail(e, EP_E_OUTPUT, "can't write %s: %s", path, strerror(ENAMETOOLONG));
    if (stat(path, &st) == 0 && refuse_special(path, &st, e) != EP_OK)
        return e->code;

    char *folder = ep_folder_name(path);
    ep_status status = ep_make_folders(folder, e);
    if (status == EP_OK) {
        t->path = ep_xstrdup(path);
        status = create_temp(folder, base, t, e);
    }
    free(folder);
    if (status != EP_OK) {
        free(t->path);
        *t = (struct ep_temp){NULL, NULL, -1};
    }
    return status;
}

static void temp_clear(struct ep_temp *t)
{
    if (t->fd >= 0)
        close(t->fd);
    free(t->path);
    free(t->tmp);
    *t = (struct ep_temp){NULL, NULL, -1};
}

void ep_temp_abort(struct ep_temp *t)
{
    if (t->fd >= 0)
        (void)!ftruncate(t->fd, 0);
    if (t->tmp)
        (void)unlink(t->tmp);
    temp_clear(t);
}

/* Makes the rename itself last. File systems that can't sync a folder say EINVAL or ENOTSUP: nothing to be done there. */
static int sync_folder(const char *path)
{
    char *folder = ep_folder_name(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return errno == EACCES ? 0 : -1; /* a folder one may write to but not list */
    int rc = fsync(fd);
    if (rc != 0 && (errno == EINVAL || errno == ENOTSUP || errno == EROFS))
        rc = 0;
    int why = errno;
    close(fd);
    errno = why;
    return rc;
}

ep_status ep_temp_commit(struct ep_temp *t, struct ep_err *e)
{
    if (fsync(t->fd) != 0)
        goto failed;
    (void)flock(t->fd, LOCK_UN); /* readers that lock must not meet ours under the final name */
    if (rename(t->tmp, t->path) != 0)
        goto failed;
    free(t->tmp);
    t->tmp = NULL;
    if (sync_folder(t->path) != 0)
        goto failed;
    temp_clear(t);
    return EP_OK;
failed:
    ep_fail(e, EP_E_OUTPUT, "can't write %s: %s", t->path, strerror(errno));
    if (t->tmp)
        ep_temp_abort(t);
    else
        temp_clear(t); /* the file is in place, only its folder could not be synced: cutting it would be worse */
    return EP_E_OUTPUT;
}

ep_status ep_write_text(const char *path, const char *text, size_t n, struct ep_err *e)
{
    struct ep_temp t;
    ep_status st = ep_temp_open(path, &t, e);
    if (st != EP_OK)
        return st;
    for (size_t done = 0; done < n;) {
        ssize_t k = write(t.fd, text + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            st = ep_fail(e, EP_E_OUTPUT, "can't write %s: %s", path, strerror(k < 0 ? errno : EIO));
            ep_temp_abort(&t);
            return st;
        }
        done += (size_t)k;
    }
    return ep_temp_commit(&t, e);
}

/* A decimal number that fills s[0..n), or -1. */
static long digits(const char *s, size_t n)
{
    if (n == 0 || n > 10)
        return -1;
    long v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = 10 * v + (s[i] - '0');
    }
    return v;
}

/* Takes a temporary name apart from its end (a host name may hold dots): false when it is none of ours. */
static bool parse_temp_name(const char *name, char host[HOST_LEN], long *pid)
{
    size_t len = strlen(name);
    if (name[0] != '.' || len < 5 || strcmp(name + len - 4, ".tmp") != 0)
        return false;
    const char *mark = NULL;
    for (const char *m = strstr(name, MARK); m; m = strstr(m + 1, MARK))
        mark = m;
    if (!mark)
        return false;
    const char *start = mark + sizeof MARK - 1, *end = name + len - 4;
    const char *dot = memrchr(start, '.', (size_t)(end - start > 0 ? end - start : 0));
    if (!dot || digits(dot + 1, (size_t)(end - dot - 1)) < 0)
        return false;
    const char *dot2 = memrchr(start, '.', (size_t)(dot - start));
    if (!dot2 || dot2 == start || dot2 - start >= HOST_LEN)
        return false;
    *pid = digits(dot2 + 1, (size_t)(dot - dot2 - 1));
    memcpy(host, start, (size_t)(dot2 - start));
    host[dot2 - start] = 0;
    return *pid > 0;
}

/* Whether the writer of this temporary file is known to be gone. */
static bool abandoned(int folder, const char *name, const char *this_host, time_t now)
{
    char host[HOST_LEN];
    long pid;
    struct stat st;
    if (!parse_temp_name(name, host, &pid) || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    bool dead = !strcmp(host, this_host) && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
    bool old = now - st.st_mtime > SWEEP_AGE;
    if (!dead && !old)
        return false;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno != ENOENT;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return !locked;
}

void ep_sweep_temporaries(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return;
    char host[HOST_LEN];
    host_name(host);
    time_t now = time(NULL);
    for (struct dirent *entry; (entry = readdir(d));)
        if (abandoned(dirfd(d), entry->d_name, host, now))
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
}
