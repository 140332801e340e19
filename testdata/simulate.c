/*
 * simulate: makes the spectrum images that eelpipe is tested on, and states beside each what is
 * true in it. It shares no code with what it tests: a mistake in a stage can't hide behind the
 * same mistake here.
 */
#include "simulate.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hspy_write.h"
#include "scene.h"
#include "words.h"

static const char usage[] =
    "usage: simulate series DIR [options]\n"
    "       simulate powerlaw FILE [options]\n"
    "       simulate eds FILE [options]\n"
    "       simulate compare OUT DIR\n"
    "\n"
    "series writes DIR/{sample}/{temperature}C/{ll,li,o,eds,haadf_eels,haadf_eds}.hspy, truth.h5\n"
    "and truth.json.\n"
    "  --seed N            default 1\n"
    "  --pixels NY,NX      of the EELS scans, default 28,72\n"
    "  --dose F            factor on all dwell times, default 1\n"
    "  --samples A,B       of ncm003, ncm104; default both\n"
    "  --temperatures T,T  degC, whole numbers; default 25,100,200,300,400,450,550,700\n"
    "  --if-missing        do nothing when the same series stands there complete\n"
    "  --threads N         default: the processors at hand; changes no byte\n"
    "  --interface WORD    straight (default) or wavy\n"
    "  --wave-amplitude NM, --wavelength NM   of a wavy one, default 1 and 12\n"
    "  --tilt DEG          of the boundary, default 6 (ncm003) and -4 (ncm104)\n"
    "  --profile WORD      of Ti and La: erfc (default), one-sided, interphase\n"
    "  --no-diffusion      Ti, La, Mn, Co, Ni stay where they are; lithium moves\n"
    "  --flip              mirrors the specimen: NCM at low x\n"
    "  --drift F           factor on the drift between scans, default 1\n"
    "  --lithium F         factor on all lithium, default 1; 0: a specimen without\n"
    "  --thickness-spread F  most that a run's thickness differs from 60 nm, default 0.1\n"
    "  --eds-pixels NY,NX  default 32,112\n"
    "  --eds-dose F        factor on the live time of the X-ray scans, default 1\n"
    "  --eds-offset-error EV, --eds-gain-error F, --eds-width-error EV\n"
    "                      of the X-ray axis and of the width at Mn Ka, the same for all runs;\n"
    "                      default: each run its own, up to 4 eV, 0.0007, 1 to 4 eV\n"
    "  --eds-tail F        share of a peak's counts in an exponential tail, default 0\n"
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
    "  --layout WORD       chunked (16x16x256, default), chunked11 (1x1xall), contiguous,\n"
    "                      hyperspy (as HyperSpy 1.7 saves it; with --compress its default)\n"
    "  --dtype T           f4 (default) f8 u1 u2 u4 i1 i2 i4, big-endian with > in front\n"
    "  --compress          shuffle and deflate 1 (hyperspy: 4)\n"
    "  --seed N, --threads N   as above\n"
    "\n"
    "eds writes one X-ray image, uniform or in two halves, and FILE.truth.json.\n"
    "  --pixels NY,NX      default 16,32\n"
    "  --composition LIST  atoms per area, default Ti:28.65,La:15.76,O:85.95; elements are\n"
    "                      C O Si Ti Mn Co Ni Cu Ga Sr La Pt\n"
    "  --second LIST       of the columns from NX/2 on\n"
    "  --counts C          mean counts per pixel without the noise peak, default 600\n"
    "  --background F      factor on the bremsstrahlung, default 1\n"
    "  --noise-peak C      counts per pixel at zero energy, default 0\n"
    "  --channels N        default 2048\n"
    "  --scale KEV, --offset KEV   default 0.01 and -0.2\n"
    "  --offset-error EV, --gain-error F, --width-error EV, --tail F   default 0\n"
    "  --no-escape         no silicon escape peaks\n"
    "  --dtype T           default u2\n"
    "  --noise, --layout, --compress, --seed   as above\n"
    "\n"
    "compare prints what the default recipe found in the series DIR, in the tables\n"
    "OUT/{sample}/fronts.csv, next to what is true.\n";

/* ---- options ---- */

static int read_samples(const char *text, struct sim_series *series, struct sim_err *err)
{
    char copy[256], *items[SIM_MAX_SAMPLES];
    size_t n;
    if (sim_read_list("--samples", text, copy, sizeof copy, items, SIM_MAX_SAMPLES, &n, err) !=
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
    if (sim_read_list("--temperatures", text, copy, sizeof copy, items, SIM_MAX_TEMPERATURES, &n,
                  err) != SIM_OK) {
        return err->code;
    }
    series->ntemperatures = 0;
    for (size_t i = 0; i < n; i++) {
        long t;
        if (sim_read_whole("--temperatures", items[i], -200, 2000, &t, err) != SIM_OK) {
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

/* Options that the commands share. Returns false when it is none of them. */
static bool common_option(const char *option, const char *value, uint64_t *seed,
                          unsigned *threads, size_t *ny, size_t *nx, struct sim_err *err)
{
    long number;
    if (strcmp(option, "--seed") == 0) {
        /* up to 2^53, so that the truth file can state it as a JSON number */
        if (sim_read_whole(option, value, 0, 9007199254740992L, &number, err) == SIM_OK) {
            *seed = (uint64_t)number;
        }
    } else if (strcmp(option, "--threads") == 0) {
        if (sim_read_whole(option, value, 1, 64, &number, err) == SIM_OK) {
            *threads = (unsigned)number;
        }
    } else if (strcmp(option, "--pixels") == 0) {
        sim_read_pixels(option, value, ny, nx, err);
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
    const struct sim_number_option numbers[] = {
        {"--dose", &s->dose, 1e-6, 1000.0},
        {"--tilt", &s->specimen.tilt_degree, -45.0, 45.0},
        {"--drift", &s->specimen.drift, 0.0, 10.0},
        {"--lithium", &s->specimen.lithium, 0.0, 10.0},
        {"--thickness-spread", &s->specimen.thickness_spread, 0.0, 0.9},
        {"--wave-amplitude", &s->specimen.wave_nm, 1e-3, 10.0},
        {"--wavelength", &s->specimen.wavelength_nm, 1.0, 1e4},
        {"--eds-dose", &s->eds.dose, 1e-6, 1000.0},
        {"--eds-offset-error", &s->eds.offset_error_ev, -100.0, 100.0},
        {"--eds-gain-error", &s->eds.gain_error, -0.05, 0.05},
        {"--eds-width-error", &s->eds.width_error_ev, -8.0, 60.0},
        {"--eds-tail", &s->eds.tail, 0.0, 0.5},
    };
    if (sim_number_option(numbers, sizeof numbers / sizeof numbers[0], option, value, err)) {
        return err->code;
    }
    if (strcmp(option, "--samples") == 0) {
        return read_samples(value, s, err);
    }
    if (strcmp(option, "--temperatures") == 0) {
        return read_temperatures(value, s, err);
    }
    if (strcmp(option, "--eds-pixels") == 0) {
        return sim_read_pixels(option, value, &s->eds.ny, &s->eds.nx, err);
    }
    if (strcmp(option, "--interface") == 0) {
        static const char *const words[] = {"straight", "wavy"};
        return sim_read_name(option, value, words, 2, &s->specimen.wavy, err);
    }
    if (strcmp(option, "--profile") == 0) {
        return sim_read_name(option, value, sim_profile_names, SIM_PROFILES, &s->specimen.profile,
                             err);
    }
    return sim_fail(err, SIM_USAGE, "unknown option %s", option);
}

/* Options of the two commands that write one image. */
static int image_word(const char *option, const char *value, int *noise, enum sim_layout *layout,
                      char dtype[8], struct sim_err *err)
{
    if (strcmp(option, "--noise") == 0) {
        *noise = strcmp(value, "poisson") == 0;
        return *noise || strcmp(value, "none") == 0
                   ? SIM_OK
                   : sim_fail(err, SIM_USAGE, "--noise: \"%s\" is neither poisson nor none", value);
    }
    if (strcmp(option, "--layout") == 0) {
        static const char *const words[] = {"contiguous", "chunked", "chunked11", "hyperspy"};
        int which = (int)*layout;
        sim_read_name(option, value, words, 4, &which, err);
        *layout = (enum sim_layout)which;
        return err->code;
    }
    if (strcmp(option, "--dtype") == 0) {
        if (strlen(value) >= 8 || !sim_dtype_known(value)) {
            return sim_fail(err, SIM_USAGE,
                            "--dtype: \"%s\" is none of f4 f8 u1 u2 u4 i1 i2 i4, with or without >",
                            value);
        }
        strcpy(dtype, value);
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
        if (sim_read_whole(option, value, 1, 1000000, &n, err) == SIM_OK) {
            p->nchannels = (size_t)n;
        }
        return err->code;
    }
    const struct sim_number_option numbers[] = {
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
    if (sim_number_option(numbers, sizeof numbers / sizeof numbers[0], option, value, err)) {
        return err->code;
    }
    return image_word(option, value, &p->noise, &p->layout, p->dtype, err);
}

/* "Ti:20,O:60": atoms per area, in any unit. */
static int read_composition(const char *option, const char *text, double amount[SIM_COMPOSITION],
                            struct sim_err *err)
{
    char copy[256], *items[SIM_COMPOSITION];
    size_t n;
    if (sim_read_list(option, text, copy, sizeof copy, items, SIM_COMPOSITION, &n, err) !=
        SIM_OK) {
        return err->code;
    }
    for (size_t e = 0; e < SIM_COMPOSITION; e++) {
        amount[e] = 0.0;
    }
    for (size_t i = 0; i < n; i++) {
        char *colon = strchr(items[i], ':');
        if (colon == NULL) {
            return sim_fail(err, SIM_USAGE, "%s: \"%s\" is not ELEMENT:AMOUNT", option, items[i]);
        }
        *colon = '\0';
        enum sim_element e = sim_element_of(items[i]);
        if (e == SIM_ELEMENTS) {
            return sim_fail(err, SIM_USAGE,
                            "%s: \"%s\" is none of C O Si Ti Mn Co Ni Cu Ga Sr La Pt", option,
                            items[i]);
        }
        if (sim_read_number(option, colon + 1, 0.0, 1e9, &amount[e], err) != SIM_OK) {
            return err->code;
        }
    }
    return SIM_OK;
}

static int eds_option(void *target, const char *option, const char *value, struct sim_err *err)
{
    struct sim_eds_image *p = target;
    unsigned unused;
    if (strcmp(option, "--threads") != 0 &&
        common_option(option, value, &p->seed, &unused, &p->ny, &p->nx, err)) {
        return err->code;
    }
    if (strcmp(option, "--channels") == 0) {
        long n;
        if (sim_read_whole(option, value, 1, 100000, &n, err) == SIM_OK) {
            p->nchannels = (size_t)n;
        }
        return err->code;
    }
    if (strcmp(option, "--composition") == 0) {
        return read_composition(option, value, p->amount[0], err);
    }
    if (strcmp(option, "--second") == 0) {
        p->two_regions = 1;
        return read_composition(option, value, p->amount[1], err);
    }
    const struct sim_number_option numbers[] = {
        {"--scale", &p->scale_kev, 1e-4, 1.0},
        {"--offset", &p->offset_kev, -5.0, 50.0},
        {"--counts", &p->counts, 1e-3, 1e9},
        {"--background", &p->background, 0.0, 1000.0},
        {"--noise-peak", &p->noise_peak, 0.0, 1e9},
        {"--offset-error", &p->offset_error_ev, -100.0, 100.0},
        {"--gain-error", &p->gain_error, -0.05, 0.05},
        {"--width-error", &p->width_error_ev, -8.0, 60.0},
        {"--tail", &p->tail, 0.0, 0.5},
    };
    if (sim_number_option(numbers, sizeof numbers / sizeof numbers[0], option, value, err)) {
        return err->code;
    }
    return image_word(option, value, &p->noise, &p->layout, p->dtype, err);
}

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 8 ? 8 : (unsigned)n;
}

static int series_command(struct sim_words *words, struct sim_err *err)
{
    struct sim_series series = {
        .seed = 1, .ny = 28, .nx = 72, .dose = 1.0,
        .specimen = {.wave_nm = 1.0, .wavelength_nm = 12.0, .tilt_degree = NAN, .drift = 1.0,
                     .lithium = 1.0, .thickness_spread = 0.1},
        .eds = {.ny = 32, .nx = 112, .dose = 1.0, .offset_error_ev = NAN, .gain_error = NAN,
                .width_error_ev = NAN},
        .samples = {SIM_NCM003, SIM_NCM104}, .nsamples = 2,
        .temperatures = {25, 100, 200, 300, 400, 450, 550, 700}, .ntemperatures = 8,
        .threads = processors(),
    };
    const struct sim_flag flags[] = {
        {"--if-missing", &series.if_missing},
        {"--no-diffusion", &series.specimen.no_diffusion},
        {"--flip", &series.specimen.flip},
    };
    if (sim_read_words(words, &series.folder, flags, sizeof flags / sizeof flags[0],
                       series_option, &series, err) != SIM_OK) {
        return err->code;
    }
    return sim_series(&series, err);
}

static int powerlaw_command(struct sim_words *words, struct sim_err *err)
{
    struct sim_powerlaw power = {
        .seed = 1, .ny = 64, .nx = 64, .nchannels = 1024, .scale_ev = 0.25, .offset_ev = 440.0,
        .amplitude = -1.0, .reference_ev = 500.0, .exponent = 3.0, .edge_onset_ev = 532.0,
        .edge_exponent = 2.7, .noise = 1, .layout = SIM_CHUNKED, .dtype = "f4",
        .threads = processors(),
    };
    const struct sim_flag flags[] = {{"--compress", &power.compress}};
    if (sim_read_words(words, &power.path, flags, 1, powerlaw_option, &power, err) != SIM_OK) {
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

static int eds_command(struct sim_words *words, struct sim_err *err)
{
    struct sim_eds_image image = {
        .seed = 1, .ny = 16, .nx = 32, .nchannels = 2048, .scale_kev = 0.01, .offset_kev = -0.2,
        .amount[0] = {[SIM_TI] = 28.65, [SIM_LA] = 15.76, [SIM_O] = 85.95}, .counts = 600.0,
        .background = 1.0, .noise = 1, .layout = SIM_CHUNKED, .dtype = "u2",
    };
    const struct sim_flag flags[] = {{"--compress", &image.compress},
                                     {"--no-escape", &image.no_escape}};
    if (sim_read_words(words, &image.path, flags, 2, eds_option, &image, err) != SIM_OK) {
        return err->code;
    }
    if (image.layout == SIM_CONTIGUOUS && image.compress) {
        return sim_fail(err, SIM_USAGE, "--compress needs a chunked layout");
    }
    return sim_eds_image(&image, err);
}

int main(int argc, char **argv)
{
    struct sim_err err = {.code = SIM_OK};
    struct sim_words words = {.count = argc, .next = 2, .word = argv};
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
    } else if (strcmp(command, "eds") == 0) {
        eds_command(&words, &err);
    } else if (strcmp(command, "compare") == 0) {
        if (argc == 4) {
            sim_compare(argv[2], argv[3], &err);
        } else {
            sim_fail(&err, SIM_USAGE, "compare takes two folders: results and series");
        }
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
