/*
 * Words of the command line.
 */
#include "words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sim_read_number(const char *option, const char *text, double least, double most,
                       double *value, struct sim_err *err)
{
    char *end = NULL;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(number >= least && number <= most)) {
        return sim_fail(err, SIM_USAGE, "%s: \"%s\" is not a number from %g to %g", option, text,
                        least, most);
    }
    *value = number;
    return SIM_OK;
}

int sim_read_whole(const char *option, const char *text, long least, long most, long *value,
                      struct sim_err *err)
{
    char *end = NULL;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < least || number > most) {
        return sim_fail(err, SIM_USAGE, "%s: \"%s\" is not a whole number from %ld to %ld",
                        option, text, least, most);
    }
    *value = number;
    return SIM_OK;
}

/* Splits "a,b,c" in place. Returns the number of items; 0: one is empty, or too many. */
static size_t split(char *text, char **items, size_t most)
{
    size_t n = 0;
    char *rest = text;
    while (rest != NULL) {
        char *item = strsep(&rest, ",");
        if (*item == '\0' || n == most) {
            return 0;
        }
        items[n++] = item;
    }
    return n;
}

int sim_read_list(const char *option, const char *text, char *copy, size_t size, char **items,
                     size_t most, size_t *n, struct sim_err *err)
{
    if (strlen(text) >= size) {
        return sim_fail(err, SIM_USAGE, "%s: the list is too long", option);
    }
    strcpy(copy, text);
    *n = split(copy, items, most);
    return *n > 0 ? SIM_OK
                  : sim_fail(err, SIM_USAGE, "%s: \"%s\" is not a list of 1 to %zu items", option,
                             text, most);
}

int sim_read_pixels(const char *option, const char *text, size_t *ny, size_t *nx,
                       struct sim_err *err)
{
    char copy[64], *items[2];
    size_t n;
    long rows, columns;
    if (sim_read_list(option, text, copy, sizeof copy, items, 2, &n, err) != SIM_OK) {
        return err->code;
    }
    if (n != 2) {
        return sim_fail(err, SIM_USAGE, "%s: \"%s\" is not NY,NX", option, text);
    }
    if (sim_read_whole(option, items[0], 1, 1000000, &rows, err) == SIM_OK &&
        sim_read_whole(option, items[1], 1, 1000000, &columns, err) == SIM_OK) {
        *ny = (size_t)rows;
        *nx = (size_t)columns;
    }
    return err->code;
}

int sim_read_name(const char *option, const char *text, const char *const *names, int n,
                  int *which, struct sim_err *err)
{
    char all[256] = "";
    for (int i = 0; i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *which = i;
            return SIM_OK;
        }
        size_t length = strlen(all);
        snprintf(all + length, sizeof all - length, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return sim_fail(err, SIM_USAGE, "%s: \"%s\" is none of %s", option, text, all);
}

int sim_number_option(const struct sim_number_option *options, size_t n, const char *option,
                      const char *value, struct sim_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(option, options[i].name) == 0) {
            sim_read_number(option, value, options[i].least, options[i].most, options[i].value,
                            err);
            return 1;
        }
    }
    return 0;
}

/* The value of an option: behind "=", or the next word. NULL, with a complaint, without one. */
static const char *value_of(struct sim_words *words, const char *option, const char *equals,
                            struct sim_err *err)
{
    if (equals != NULL) {
        return equals + 1;
    }
    if (words->next < words->count) {
        return words->word[words->next++];
    }
    sim_fail(err, SIM_USAGE, "%s needs a value", option);
    return NULL;
}

/* True when the word is a flag, which it sets. */
static int set_flag(const struct sim_flag *flags, size_t nflags, const char *word)
{
    for (size_t i = 0; i < nflags; i++) {
        if (strcmp(word, flags[i].name) == 0) {
            *flags[i].value = 1;
            return 1;
        }
    }
    return 0;
}

int sim_read_words(struct sim_words *words, const char **place, const struct sim_flag *flags,
                   size_t nflags,
                   int (*take)(void *, const char *, const char *, struct sim_err *),
                   void *target, struct sim_err *err)
{
    while (words->next < words->count && err->code == SIM_OK) {
        const char *word = words->word[words->next++];
        if (word[0] != '-') {
            if (*place != NULL) {
                return sim_fail(err, SIM_USAGE, "one place only: \"%s\" is too much", word);
            }
            *place = word;
            continue;
        }
        if (set_flag(flags, nflags, word)) {
            continue;
        }
        char option[32];
        const char *equals = strchr(word, '=');
        size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
        if (length >= sizeof option) {
            return sim_fail(err, SIM_USAGE, "unknown option %s", word);
        }
        memcpy(option, word, length);
        option[length] = '\0';
        const char *value = value_of(words, option, equals, err);
        if (value != NULL) {
            take(target, option, value, err);
        }
    }
    if (err->code == SIM_OK && (*place == NULL || **place == '\0')) {
        sim_fail(err, SIM_USAGE, "where to write is missing");
    }
    return err->code;
}
