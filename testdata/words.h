/*
 * The command line: words to values, options in any order.
 */
#ifndef SIM_WORDS_H
#define SIM_WORDS_H

#include "simulate.h"

/* Each complains in full and returns the code. */
int sim_read_number(const char *option, const char *text, double least, double most,
                    double *value, struct sim_err *err);
int sim_read_whole(const char *option, const char *text, long least, long most, long *value,
                   struct sim_err *err);
/* Splits "a,b,c" in `copy`, which has `size` bytes; *n items, at most `most`. */
int sim_read_list(const char *option, const char *text, char *copy, size_t size, char **items,
                  size_t most, size_t *n, struct sim_err *err);
/* "NY,NX" */
int sim_read_pixels(const char *option, const char *text, size_t *ny, size_t *nx,
                    struct sim_err *err);
/* One of n names; *which is its index. */
int sim_read_name(const char *option, const char *text, const char *const *names, int n,
                  int *which, struct sim_err *err);

/* An option that is a number, a word from a list, or stands alone. */
struct sim_number_option {
    const char *name;
    double *value, least, most;
};

struct sim_flag {
    const char *name;
    int *value;
};

/* True when the option was one of n numbers, whether its value was right or not. */
int sim_number_option(const struct sim_number_option *options, size_t n, const char *option,
                      const char *value, struct sim_err *err);

struct sim_words {
    int count, next;
    char **word;
};

/* Reads all words behind the command: one place, flags, and options with values for `take`. */
int sim_read_words(struct sim_words *words, const char **place, const struct sim_flag *flags,
                   size_t nflags,
                   int (*take)(void *, const char *, const char *, struct sim_err *),
                   void *target, struct sim_err *err);

#endif
