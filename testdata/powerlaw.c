/*
 * `simulate powerlaw`: an image whose spectra are A (E/Eref)^-r, with or without one edge. The
 * expected counts of a channel are the formula at its centre, so that a fit of the same formula
 * to a noise-free image must find A and r to rounding.
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hspy_write.h"
#include "physics.h"
#include "rng.h"
#include "simulate.h"

enum { BLOCK_ROWS = 16 };

/* One thread's rows of the block in work. */
struct rows {
    const struct sim_powerlaw *power;
    const double *expected; /* [spectrum][channel]; one spectrum per column, or one for all */
    bool one_spectrum;
    uint64_t seed;
    size_t y0, ny;          /* of the image */
    double *line;           /* one spectrum, scratch */
    unsigned char *values;  /* [y][x][channel] in the file's type, first row y0 */
};

static double energy_ev(const struct sim_powerlaw *p, size_t channel)
{
    return p->offset_ev + p->scale_ev * (double)channel;
}

static void expect(const struct sim_powerlaw *p, double amplitude, size_t x, double *spectrum)
{
    double r = p->exponent + p->exponent_step * (double)x;
    for (size_t i = 0; i < p->nchannels; i++) {
        double e = energy_ev(p, i);
        spectrum[i] = amplitude * pow(e / p->reference_ev, -r);
        /* a channel belongs to the edge from its centre on; 1e-6 channel for rounding */
        if (p->edge_jump > 0.0 && e >= p->edge_onset_ev - 1e-6 * p->scale_ev) {
            spectrum[i] += p->edge_jump * pow(e / p->edge_onset_ev, -p->edge_exponent);
        }
    }
}

static void *fill_rows(void *argument)
{
    const struct rows *rows = argument;
    const struct sim_powerlaw *p = rows->power;
    size_t n = p->nchannels, bytes = n * sim_dtype_size(p->dtype);
    for (size_t y = 0; y < rows->ny; y++) {
        for (size_t x = 0; x < p->nx; x++) {
            const double *expected = rows->expected + (rows->one_spectrum ? 0 : x * n);
            const double *line = expected;
            if (p->noise) {
                struct sim_rng rng;
                sim_rng_seed(&rng, sim_hash(rows->seed, (uint64_t)(rows->y0 + y) << 32 | x));
                for (size_t i = 0; i < n; i++) {
                    rows->line[i] = (double)sim_poisson(&rng, expected[i]);
                }
                line = rows->line;
            }
            sim_store(p->dtype, line, n, rows->values + (y * p->nx + x) * bytes);
        }
    }
    return NULL;
}

/* Shares a block's rows among the threads. A thread that can't start costs time, not rows. */
static void fill_block(struct rows *shares, unsigned nshares)
{
    enum { MAX_THREADS = 64 };
    pthread_t threads[MAX_THREADS];
    bool running[MAX_THREADS] = {false};
    for (unsigned i = 1; i < nshares; i++) {
        running[i] = pthread_create(&threads[i], NULL, fill_rows, &shares[i]) == 0;
        if (!running[i]) {
            fill_rows(&shares[i]);
        }
    }
    fill_rows(&shares[0]);
    for (unsigned i = 1; i < nshares; i++) {
        if (running[i]) {
            pthread_join(threads[i], NULL);
        }
    }
}

static int write_blocks(struct sim_file *file, const struct sim_powerlaw *p,
                        const double *expected, struct sim_err *err)
{
    size_t row_bytes = p->nx * p->nchannels * sim_dtype_size(p->dtype);
    unsigned nthreads = p->threads < BLOCK_ROWS ? p->threads : BLOCK_ROWS;
    unsigned char *values = malloc(BLOCK_ROWS * row_bytes);
    double *lines = malloc(nthreads * p->nchannels * sizeof *lines);
    struct rows shares[BLOCK_ROWS];
    if (values == NULL || lines == NULL) {
        sim_fail(err, SIM_FAILED, "no memory for %d rows of the image", BLOCK_ROWS);
    }
    for (size_t y0 = 0; y0 < p->ny && err->code == SIM_OK; y0 += BLOCK_ROWS) {
        size_t ny = p->ny - y0 < BLOCK_ROWS ? p->ny - y0 : BLOCK_ROWS;
        for (unsigned i = 0; i < nthreads; i++) {
            size_t from = ny * i / nthreads, to = ny * (i + 1) / nthreads;
            shares[i] = (struct rows){
                .power = p, .expected = expected, .one_spectrum = p->exponent_step == 0.0,
                .seed = sim_hash_text(p->seed, "powerlaw"), .y0 = y0 + from, .ny = to - from,
                .line = lines + i * p->nchannels, .values = values + from * row_bytes,
            };
        }
        fill_block(shares, nthreads);
        sim_image_rows(file, y0, ny, values, err);
    }
    free(lines);
    free(values);
    return err->code;
}

static int write_truth(const struct sim_powerlaw *p, double amplitude, struct sim_err *err)
{
    char path[4096];
    struct sim_text t;
    if (snprintf(path, sizeof path, "%s.truth.json", p->path) >= (int)sizeof path) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", p->path);
    }
    if (sim_text_open(&t, path, err) != SIM_OK) {
        return err->code;
    }
    sim_json_open(&t, NULL, '{');
    sim_json_text(&t, "program", "simulate powerlaw");
    sim_json_number(&t, "version", SIM_VERSION);
    sim_json_number(&t, "seed", (double)p->seed);
    sim_json_text(&t, "definition", "expected counts of the channel centred at E = offset_ev + i "
                  "scale_ev, in column x: amplitude (E / reference_ev)^-(exponent + "
                  "exponent_step x), plus, from the onset on, edge_jump (E / "
                  "edge_onset_ev)^-edge_exponent");
    sim_json_number(&t, "ny", (double)p->ny);
    sim_json_number(&t, "nx", (double)p->nx);
    sim_json_number(&t, "channels", (double)p->nchannels);
    sim_json_number(&t, "offset_ev", p->offset_ev);
    sim_json_number(&t, "scale_ev", p->scale_ev);
    sim_json_number(&t, "amplitude", amplitude);
    sim_json_number(&t, "reference_ev", p->reference_ev);
    sim_json_number(&t, "exponent", p->exponent);
    sim_json_number(&t, "exponent_step", p->exponent_step);
    sim_json_number(&t, "edge_onset_ev", p->edge_onset_ev);
    sim_json_number(&t, "edge_jump", p->edge_jump);
    sim_json_number(&t, "edge_exponent", p->edge_exponent);
    sim_json_text(&t, "noise", p->noise ? "poisson" : "none");
    sim_json_text(&t, "dtype", p->dtype);
    sim_json_close(&t, '}');
    return sim_text_close(&t, err);
}

/* The amplitude for which the power law has the wanted mean over all channels and columns. */
static double amplitude_of(const struct sim_powerlaw *p)
{
    double sum = 0.0;
    if (p->counts <= 0.0) {
        return p->amplitude;
    }
    for (size_t x = 0; x < p->nx; x++) {
        double r = p->exponent + p->exponent_step * (double)x;
        for (size_t i = 0; i < p->nchannels; i++) {
            sum += pow(energy_ev(p, i) / p->reference_ev, -r);
        }
    }
    return p->counts * (double)p->nx * (double)p->nchannels / sum;
}

int sim_powerlaw(const struct sim_powerlaw *p, struct sim_err *err)
{
    size_t nspectra = p->exponent_step == 0.0 ? 1 : p->nx;
    double amplitude = amplitude_of(p), largest = 0.0;
    double *expected = malloc(nspectra * p->nchannels * sizeof *expected);
    if (expected == NULL) {
        return sim_fail(err, SIM_FAILED, "no memory for %zu spectra", nspectra);
    }
    for (size_t x = 0; x < nspectra; x++) {
        expect(p, amplitude, x, expected + x * p->nchannels);
    }
    for (size_t i = 0; i < nspectra * p->nchannels; i++) {
        largest = fmax(largest, expected[i]);
    }
    double reach = largest + 10.0 * sqrt(largest) + 10.0; /* beyond any Poisson number drawn */
    bool integer = strpbrk(p->dtype, "ui") != NULL;
    if (!isfinite(largest) || (p->noise || integer ? reach : 0.0) > sim_dtype_largest(p->dtype)) {
        sim_fail(err, SIM_USAGE, "up to %.3g counts per channel do not fit into type %s", reach,
                 p->dtype);
        free(expected);
        return err->code;
    }
    struct sim_image image = {
        .path = p->path, .title = "power law", .ny = p->ny, .nx = p->nx,
        .nchannels = p->nchannels, .pixel_nm = 0.5, .offset_ev = p->offset_ev,
        .scale_ev = p->scale_ev, .dtype = p->dtype, .layout = p->layout,
        .compress = p->compress != 0, .beam_kev = SIM_BEAM_KEV,
        .convergence_mrad = SIM_CONVERGENCE_MRAD, .collection_mrad = SIM_COLLECTION_MRAD,
        .seed = p->seed,
    };
    struct sim_file file;
    if (sim_image_create(&file, &image, err) == SIM_OK) {
        if (write_blocks(&file, p, expected, err) == SIM_OK) {
            sim_file_finish(&file, err);
        } else {
            sim_file_abandon(&file);
        }
    }
    free(expected);
    return err->code == SIM_OK ? write_truth(p, amplitude, err) : err->code;
}
