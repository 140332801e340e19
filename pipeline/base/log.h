/* Messages of a running program: to stderr, one line each, whole lines even from several threads. */
#ifndef EP_BASE_LOG_H
#define EP_BASE_LOG_H
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum ep_log_level { EP_LOG_QUIET, EP_LOG_NORMAL, EP_LOG_VERBOSE };
struct ep_log {
    FILE *to;                /* NULL: nothing */
    FILE *copy;              /* NULL or the run's log file: gets every message (not the progress), with time stamps */
    enum ep_log_level level; /* QUIET: warnings and errors only */
    bool tty;                /* progress is a bar that overwrites itself, else plain lines */
    double last_progress;    /* seconds, monotonic */
    bool bar;                /* a bar stands on the line now */
    pthread_mutex_t lock;
};
void ep_log_init(struct ep_log *log, FILE *to, enum ep_log_level level);
void ep_log_free(struct ep_log *log);
void ep_log_info(struct ep_log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ep_log_detail(struct ep_log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* VERBOSE */
void ep_log_warn(struct ep_log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ep_log_error(struct ep_log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Call often; draws at most ten times a second on a terminal, a line every 10 s elsewhere, nothing when quiet. */
void ep_log_progress(struct ep_log *log, const char *what, size_t done, size_t total);
void ep_log_progress_end(struct ep_log *log);
double ep_now(void); /* monotonic seconds */
#endif
