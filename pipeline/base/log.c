#include "pipeline/base/log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/base/mem.h"

#define CLEAR_LINE "\r\033[K"

static const double BAR_EVERY_S = 0.1, LINE_EVERY_S = 10, LONG_AGO = -1e9;

double ep_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool is_terminal(FILE *f)
{
    int fd = f ? fileno(f) : -1;
    const char *term = getenv("TERM");
    return fd >= 0 && isatty(fd) && !(term && !strcmp(term, "dumb"));
}

void ep_log_init(struct ep_log *log, FILE *to, enum ep_log_level level)
{
    *log = (struct ep_log){.to = to, .level = level, .tty = is_terminal(to)};
    /* Counting from now: what is done in a moment shows no progress at all. */
    log->last_progress = ep_now();
    pthread_mutex_init(&log->lock, NULL);
}

void ep_log_free(struct ep_log *log)
{
    ep_log_progress_end(log);
    pthread_mutex_destroy(&log->lock);
}

/* One fwrite per line: stderr is unbuffered, and lines of several processes stay whole. */
static void put(FILE *to, const struct ep_str *line)
{
    fwrite(line->s, 1, line->n, to);
    fflush(to);
}

static void add_time_stamp(struct ep_str *line)
{
    time_t now = time(NULL);
    struct tm tm;
    char stamp[32] = "";
    if (gmtime_r(&now, &tm)) strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &tm);
    ep_str_add(line, stamp);
}

static void emit(struct ep_log *log, bool show, const char *kind, const char *fmt, va_list ap)
{
    show = show && log->to;
    if (!show && !log->copy) return;
    struct ep_str body = {0}, line = {0};
    ep_str_vaddf(&body, fmt, ap);
    while (body.n && (body.s[body.n - 1] == '\n' || body.s[body.n - 1] == '\r'))
        body.s[--body.n] = '\0';
    /* One line each; file names and foreign messages do not steer the terminal. */
    for (char *c = body.s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = ' ';

    pthread_mutex_lock(&log->lock);
    if (show) {
        if (log->bar) {
            ep_str_add(&line, CLEAR_LINE);
            log->bar = false;
            log->last_progress = LONG_AGO; /* the bar comes back with the next call */
        }
        ep_str_addf(&line, "%s%s%s\n", *kind ? "eelpipe: " : "", kind, body.s);
        put(log->to, &line);
    }
    if (log->copy) {
        if (line.s) line.n = 0;
        add_time_stamp(&line);
        ep_str_addf(&line, "%s%s\n", kind, body.s);
        put(log->copy, &line);
    }
    pthread_mutex_unlock(&log->lock);
    ep_str_free(&line);
    ep_str_free(&body);
}

void ep_log_info(struct ep_log *log, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(log, log->level >= EP_LOG_NORMAL, "", fmt, ap);
    va_end(ap);
}

void ep_log_detail(struct ep_log *log, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(log, log->level >= EP_LOG_VERBOSE, "", fmt, ap);
    va_end(ap);
}

void ep_log_warn(struct ep_log *log, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(log, true, "warning: ", fmt, ap);
    va_end(ap);
}

void ep_log_error(struct ep_log *log, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(log, true, "error: ", fmt, ap);
    va_end(ap);
}

/* ---- progress ---- */

static size_t columns_of(FILE *to)
{
    struct winsize w;
    int fd = fileno(to);
    if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    return 80;
}

/* At most `most` characters of s; returns how many. */
static size_t add_label(struct ep_str *out, const char *s, size_t most)
{
    size_t count = 0;
    for (; *s; s++) {
        if (((unsigned char)*s & 0xC0) != 0x80 && ++count > most) return most;
        ep_str_addn(out, (unsigned char)*s < 0x20 || *s == 0x7F ? " " : s, 1);
    }
    return count;
}

/* A line longer than the terminal would wrap, and then it could not be overwritten. */
static void add_bar(struct ep_str *out, const char *what, size_t done, size_t total, size_t columns)
{
    char numbers[64];
    size_t nn = (size_t)snprintf(numbers, sizeof numbers, " %zu/%zu %3d%%", done, total,
                                 (int)(100.0 * (double)done / (double)total));
    if (columns < nn + 2) return;
    size_t room = columns - 1 - nn;
    size_t used = add_label(out, what, room < 40 ? room : 40);
    size_t width = room - used;
    if (width > 33) width = 33; /* " [" and "]" and 30 */
    if (width >= 13) {
        width -= 3;
        size_t full = (size_t)((double)width * (double)done / (double)total);
        ep_str_add(out, " [");
        for (size_t i = 0; i < width; i++) ep_str_addn(out, i < full ? "#" : ".", 1);
        ep_str_add(out, "]");
    }
    ep_str_add(out, numbers);
}

void ep_log_progress(struct ep_log *log, const char *what, size_t done, size_t total)
{
    if (log->level == EP_LOG_QUIET || !log->to || total == 0) return;
    /* Many threads call this; whoever finds it busy has work to do. */
    if (pthread_mutex_trylock(&log->lock) != 0) return;
    double now = ep_now();
    if (now - log->last_progress >= (log->tty ? BAR_EVERY_S : LINE_EVERY_S)) {
        struct ep_str line = {0};
        log->last_progress = now;
        if (done > total) done = total;
        if (log->tty) {
            ep_str_add(&line, CLEAR_LINE);
            add_bar(&line, what, done, total, columns_of(log->to));
            log->bar = true;
        } else {
            add_label(&line, what, 200);
            ep_str_addf(&line, ": %zu/%zu (%d%%)\n", done, total,
                        (int)(100.0 * (double)done / (double)total));
        }
        put(log->to, &line);
        ep_str_free(&line);
    }
    pthread_mutex_unlock(&log->lock);
}

void ep_log_progress_end(struct ep_log *log)
{
    pthread_mutex_lock(&log->lock);
    if (log->bar) {
        fputs(CLEAR_LINE, log->to);
        fflush(log->to);
        log->bar = false;
    }
    pthread_mutex_unlock(&log->lock);
}
