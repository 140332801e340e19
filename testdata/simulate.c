/*
 * simulate: makes the spectrum images that eelpipe is tested on, and states beside each what is
 * true in it. It shares no code with what it tests: a mistake in a stage can't hide behind the
 * same mistake here.
 */
#include "simulate.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hspy_write.h"
#include "scene.h"

static const char usage[] =
    "usage: simulate series DIR [options]\n"
    "       simulate powerlaw FILE [options]\n"
    "\n"
    "series writes DIR/{sample}/{temperature}C/{ll,li,o}.hspy, truth.h5 and truth.json.\n"
    "  --seed N            default 1\n"
    "  --pixels NY,NX      default 28,72\n"
    "  --dose F            factor on all dwell times, default 1\n"
    "  --samples A,B       of ncm003, ncm104; default both\n"
    "  --temperatures T,T  degC, whole numbers; default 25,100,200,300,400,450,550,700\n"
    "  --if-missing        do nothing when the same series stands there complete\n"
    "  --threads N         default: the processors at hand; changes no byte\n"
    "\n"
    "powerlaw writes one image of A (E / Eref)^-r and FILE.truth.json.\n"
    "  --pixels NY,NX      default 64,64\n"
    "  --channels N        default 1024\n"
    "  --scale EV          eV per channel, default 0.25\n"
    "  --offset EV         centre of channel 0, default 440\n"
    "  --amplitude C       A, counts per channel at the reference energy, default 1000\n"
    "  --counts C          instead of --amplitude: mean counts per channel of the power law\n"
    "  --reference EV      Eref, default 500\n"
    "  --exponent R        r, default 3\n"
    "  --exponent-step D   r grows by D per column, default 0\n"
    "  --edge-onset EV     default 532\n"
    "  --edge-jump C       counts per channel at the onset, default 0: no edge\n"
    "  --edge-exponent R   of the edge's tail, default 2.7\n"
    "  --noise WORD        poisson (default) or none\n"
    "  --layout WORD       chunked (16x16x256, default), chunked11 (1x1xall), contiguous\n"
    "  --dtype T           f4 (default) f8 u1 u2 u4 i1 i2 i4, big-endian with > in front\n"
    "  --compress          shuffle and deflate 1\n"
    "  --seed N, --threads N   as above\n";

/* ---- words to values: each complains in full and returns the code ---- */

static int read_number(const char *option, const char *text, double least, double most,
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

static int read_whole(const char *option, const char *text, long least, long most, long *value,
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

static int read_list(const char *option, const char *text, char *copy, size_t size, char **items,
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

static int read_pixels(const char *option, const char *text, size_t *ny, size_t *nx,
                       struct sim_err *err)
{
    char copy[64], *items[2];
    size_t n;
    long rows, columns;
    if (read_list(option, text, copy, sizeof copy, items, 2, &n, err) != SIM_OK) {
        return err->code;
    }
    if (n != 2) {
        return sim_fail(err, SIM_USAGE, "%s: \"%s\" is not NY,NX", option, text);
    }
    if (read_whole(option, items[0], 1, 1000000, &rows, err) == SIM_OK &&
        read_whole(option, items[1], 1, 1000000, &columns, err) == SIM_OK) {
        *ny = (size_t)rows;
        *nx = (size_t)columns;
    }
    return err->code;
}

static int read_samples(const char *text, struct sim_series *series, struct sim_err *err)
{
    char copy[256], *items[SIM_MAX_SAMPLES];
    size_t n;
    if (read_list("--samples", text, copy, sizeof copy, items, SIM_MAX_SAMPLES, &n, err) !=
        SIM_OK) {
        return err->code;
    }
    series->nsamples = 0;
    for (size_t i = 0; i < n; i++) {
        int sample = 0;
        while (sample < SIM_SAMPLES && strcmp(items[i], sim_sample_names[sample]) != 0) {
            sample++;
        }
        if (sample == SIM_SAMPLES) {
            return sim_fail(err, SIM_USAGE, "--samples: \"%s\" is neither ncm003 nor ncm104",
                            items[i]);
        }
        for (size_t k = 0; k < series->nsamples; k++) {
            if (series->samples[k] == sample) {
                return sim_fail(err, SIM_USAGE, "--samples: \"%s\" stands twice", items[i]);
            }
        }
        series->samples[series->nsamples++] = sample;
    }
    return SIM_OK;
}

static int read_temperatures(const char *text, struct sim_series *series, struct sim_err *err)
{
    char copy[1024], *items[SIM_MAX_TEMPERATURES];
    size_t n;
    if (read_list("--temperatures", text, copy, sizeof copy, items, SIM_MAX_TEMPERATURES, &n,
                  err) != SIM_OK) {
        return err->code;
    }
    series->ntemperatures = 0;
    for (size_t i = 0; i < n; i++) {
        long t;
        if (read_whole("--temperatures", items[i], -200, 2000, &t, err) != SIM_OK) {
            return err->code;
        }
        for (size_t k = 0; k < series->ntemperatures; k++) {
            if (series->temperatures[k] == (int)t) {
                return sim_fail(err, SIM_USAGE, "--temperatures: %ld stands twice", t);
            }
        }
        series->temperatures[series->ntemperatures++] = (int)t;
    }
    return SIM_OK;
}

/* ---- options ---- */

struct words {
    int count, next;
    char **word;
};

/* The value of an option: behind "=", or the next word. NULL, with a complaint, without one. */
static const char *value_of(struct words *words, const char *option, const char *equals,
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

/* Options that both commands have. Returns false when it is none of them. */
static bool common_option(const char *option, const char *value, uint64_t *seed,
                          unsigned *threads, size_t *ny, size_t *nx, struct sim_err *err)
{
    long number;
    if (strcmp(option, "--seed") == 0) {
        /* up to 2^53, so that the truth file can state it as a JSON number */
        if (read_whole(option, value, 0, 9007199254740992L, &number, err) == SIM_OK) {
            *seed = (uint64_t)number;
        }
    } else if (strcmp(option, "--threads") == 0) {
        if (read_whole(option, value, 1, 64, &number, err) == SIM_OK) {
            *threads = (unsigned)number;
        }
    } else if (strcmp(option, "--pixels") == 0) {
        read_pixels(option, value, ny, nx, err);
    } else {
        return false;
    }
    return true;
}

static int series_option(void *target, const char *option, const char *value, struct sim_err *err)
{
    struct sim_series *s = target;
    if (common_option(option, value, &s->seed, &s->threads, &s->ny, &s->nx, err)) {
        return err->code;
    }
    if (strcmp(option, "--dose") == 0) {
        return read_number(option, value, 1e-6, 1000.0, &s->dose, err);
    }
    if (strcmp(option, "--samples") == 0) {
        return read_samples(value, s, err);
    }
    if (strcmp(option, "--temperatures") == 0) {
        return read_temperatures(value, s, err);
    }
    return sim_fail(err, SIM_USAGE, "unknown option %s", option);
}

static int powerlaw_word(struct sim_powerlaw *p, const char *option, const char *value,
                         struct sim_err *err)
{
    if (strcmp(option, "--noise") == 0) {
        p->noise = strcmp(value, "poisson") == 0;
        return p->noise || strcmp(value, "none") == 0
                   ? SIM_OK
                   : sim_fail(err, SIM_USAGE, "--noise: \"%s\" is neither poisson nor none", value);
    }
    if (strcmp(option, "--layout") == 0) {
        static const char *const words[] = {"contiguous", "chunked", "chunked11"};
        for (int i = 0; i < 3; i++) {
            if (strcmp(value, words[i]) == 0) {
                p->layout = (enum sim_layout)i;
                return SIM_OK;
            }
        }
        return sim_fail(err, SIM_USAGE,
                        "--layout: \"%s\" is none of contiguous, chunked, chunked11", value);
    }
    if (strcmp(option, "--dtype") == 0) {
        if (strlen(value) >= sizeof p->dtype || !sim_dtype_known(value)) {
            return sim_fail(err, SIM_USAGE,
                            "--dtype: \"%s\" is none of f4 f8 u1 u2 u4 i1 i2 i4, with or without >",
                            value);
        }
        strcpy(p->dtype, value);
        return SIM_OK;
    }
    return sim_fail(err, SIM_USAGE, "unknown option %s", option);
}

static int powerlaw_option(void *target, const char *option, const char *value,
                           struct sim_err *err)
{
    struct sim_powerlaw *p = target;
    if (common_option(option, value, &p->seed, &p->threads, &p->ny, &p->nx, err)) {
        return err->code;
    }
    if (strcmp(option, "--channels") == 0) {
        long n;
        if (read_whole(option, value, 1, 1000000, &n, err) == SIM_OK) {
            p->nchannels = (size_t)n;
        }
        return err->code;
    }
    const struct {
        const char *name;
        double *value, least, most;
    } numbers[] = {
        {"--scale", &p->scale_ev, 1e-6, 1e4},
        {"--offset", &p->offset_ev, 1e-3, 1e6},
        {"--amplitude", &p->amplitude, 0.0, 1e12},
        {"--counts", &p->counts, 1e-9, 1e12},
        {"--reference", &p->reference_ev, 1e-3, 1e6},
        {"--exponent", &p->exponent, -10.0, 20.0},
        {"--exponent-step", &p->exponent_step, -1.0, 1.0},
        {"--edge-onset", &p->edge_onset_ev, 1e-3, 1e6},
        {"--edge-jump", &p->edge_jump, 0.0, 1e12},
        {"--edge-exponent", &p->edge_exponent, -10.0, 20.0},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(option, numbers[i].name) == 0) {
            return read_number(option, value, numbers[i].least, numbers[i].most, numbers[i].value,
                               err);
        }
    }
    return powerlaw_word(p, option, value, err);
}

/* Reads all words behind the command: one place, and options in any order. */
static int read_words(struct words *words, const char **place, const char *flag_name, int *flag,
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
        if (strcmp(word, flag_name) == 0) {
            *flag = 1;
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

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 8 ? 8 : (unsigned)n;
}

static int series_command(struct words *words, struct sim_err *err)
{
    struct sim_series series = {
        .seed = 1, .ny = 28, .nx = 72, .dose = 1.0,
        .samples = {SIM_NCM003, SIM_NCM104}, .nsamples = 2,
        .temperatures = {25, 100, 200, 300, 400, 450, 550, 700}, .ntemperatures = 8,
        .threads = processors(),
    };
    if (read_words(words, &series.folder, "--if-missing", &series.if_missing, series_option,
                   &series, err) != SIM_OK) {
        return err->code;
    }
    return sim_series(&series, err);
}

static int powerlaw_command(struct words *words, struct sim_err *err)
{
    struct sim_powerlaw power = {
        .seed = 1, .ny = 64, .nx = 64, .nchannels = 1024, .scale_ev = 0.25, .offset_ev = 440.0,
        .amplitude = -1.0, .reference_ev = 500.0, .exponent = 3.0, .edge_onset_ev = 532.0,
        .edge_exponent = 2.7, .noise = 1, .layout = SIM_CHUNKED, .dtype = "f4",
        .threads = processors(),
    };
    if (read_words(words, &power.path, "--compress", &power.compress, powerlaw_option, &power,
                   err) != SIM_OK) {
        return err->code;
    }
    if (power.amplitude >= 0.0 && power.counts > 0.0) {
        return sim_fail(err, SIM_USAGE, "--amplitude or --counts, not both");
    }
    if (power.layout == SIM_CONTIGUOUS && power.compress) {
        return sim_fail(err, SIM_USAGE, "--compress needs a chunked layout");
    }
    if (power.amplitude < 0.0) {
        power.amplitude = 1000.0;
    }
    return sim_powerlaw(&power, err);
}

int main(int argc, char **argv)
{
    struct sim_err err = {.code = SIM_OK};
    struct words words = {.count = argc, .next = 2, .word = argv};
    const char *command = argc > 1 ? argv[1] : "";

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return fflush(stdout) == 0 ? SIM_OK : SIM_OUTPUT;
        }
    }
    sim_hdf5_start();
    if (strcmp(command, "series") == 0) {
        series_command(&words, &err);
    } else if (strcmp(command, "powerlaw") == 0) {
        powerlaw_command(&words, &err);
    } else {
        sim_fail(&err, SIM_USAGE, command[0] == '\0' ? "a command is missing"
                                                      : "unknown command \"%s\"", command);
    }
    if (err.code != SIM_OK) {
        fprintf(stderr, "simulate: %s\n", err.text);
    }
    if (err.code == SIM_USAGE) {
        fputs("`simulate --help` lists commands and options.\n", stderr);
    }
    return err.code;
}
