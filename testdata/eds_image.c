/*
 * `simulate eds`: one X-ray image of one composition, or of two side by side, for tests of fits.
 * Nothing is in it but the named elements, bremsstrahlung and, when asked for, a noise peak.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hspy_write.h"
#include "physics.h"
#include "truth.h"

_Static_assert((int)SIM_COMPOSITION == (int)SIM_ELEMENTS, "a composition names other elements");

/* Multipliers of the responses in both regions, scaled to the wanted mean counts. */
static int scale_units(const struct sim_eds_image *p, const struct sim_responses *responses,
                       double units[2][SIM_RESPONSES], struct sim_err *err)
{
    size_t second = p->two_regions ? p->nx - p->nx / 2 : 0;
    double mean = 0.0;
    for (int region = 0; region < 2; region++) {
        double share = (double)(region == 0 ? p->nx - second : second) / (double)p->nx, z2 = 0.0;
        for (size_t e = 0; e < SIM_ELEMENTS; e++) {
            z2 += p->amount[region][e] * sim_element_z[e] * sim_element_z[e];
        }
        for (size_t f = 0; f < SIM_FAMILIES; f++) {
            units[region][f] = p->amount[region][sim_families[f].element];
        }
        units[region][SIM_BREMSSTRAHLUNG] = p->background * z2;
        units[region][SIM_NOISE_PEAK] = 0.0;
        for (size_t i = 0; i < SIM_RESPONSES; i++) {
            mean += share * units[region][i] * responses->response[i].on_axis;
        }
    }
    if (!(mean > 0.0)) {
        return sim_fail(err, SIM_USAGE, "--composition: nothing in it gives counts on this axis");
    }
    for (int region = 0; region < 2; region++) {
        for (size_t i = 0; i < SIM_RESPONSES; i++) {
            units[region][i] *= p->counts / mean;
        }
        units[region][SIM_NOISE_PEAK] = p->noise_peak;
    }
    return SIM_OK;
}

static int region_of(const struct sim_eds_image *p, size_t x)
{
    return p->two_regions && x >= p->nx / 2;
}

static void expect(const struct sim_responses *responses, const double units[SIM_RESPONSES],
                   double *spectrum)
{
    size_t n = responses->detector.nchannels;
    memset(spectrum, 0, n * sizeof *spectrum);
    for (size_t i = 0; i < SIM_RESPONSES; i++) {
        for (size_t c = 0; c < n; c++) {
            spectrum[c] += units[i] * responses->response[i].spectrum[c];
        }
    }
}

/* Counts of one pixel into line. */
static void draw(const struct sim_responses *responses, const double units[SIM_RESPONSES],
                 uint64_t seed, uint32_t *counts, double *line)
{
    size_t n = responses->detector.nchannels;
    struct sim_rng rng;
    sim_rng_seed(&rng, seed);
    memset(counts, 0, n * sizeof *counts);
    for (size_t i = 0; i < SIM_RESPONSES; i++) {
        double mean = units[i] * responses->response[i].on_axis;
        sim_response_draw(responses, i, sim_poisson(&rng, mean), &rng, counts);
    }
    for (size_t c = 0; c < n; c++) {
        line[c] = counts[c];
    }
}

static int write_rows(struct sim_file *file, const struct sim_eds_image *p,
                      const struct sim_responses *responses, double units[2][SIM_RESPONSES],
                      struct sim_err *err)
{
    enum { ROWS = 16 }; /* as in a chunk */
    size_t n = p->nchannels, bytes = n * sim_dtype_size(p->dtype);
    uint64_t seed = sim_hash_text(p->seed, "eds image");
    unsigned char *values = malloc(ROWS * p->nx * bytes);
    uint32_t *counts = malloc(n * sizeof *counts);
    double *line = malloc(n * sizeof *line), *expected = malloc(2 * n * sizeof *expected);
    if (values == NULL || counts == NULL || line == NULL || expected == NULL) {
        sim_fail(err, SIM_FAILED, "no memory for %d rows of the image", ROWS);
        goto out;
    }
    for (int region = 0; region < 2; region++) {
        expect(responses, units[region], expected + (size_t)region * n);
    }
    for (size_t y0 = 0; y0 < p->ny && err->code == SIM_OK; y0 += ROWS) {
        size_t ny = p->ny - y0 < ROWS ? p->ny - y0 : ROWS;
        for (size_t k = 0; k < ny * p->nx; k++) {
            size_t x = k % p->nx, y = y0 + k / p->nx;
            int region = region_of(p, x);
            const double *from = expected + (size_t)region * n;
            if (p->noise) {
                draw(responses, units[region], sim_hash(seed, (uint64_t)y << 32 | x), counts, line);
                from = line;
            }
            sim_store(p->dtype, from, n, values + k * bytes);
        }
        sim_image_rows(file, y0, ny, values, err);
    }
out:
    free(values);
    free(counts);
    free(line);
    free(expected);
    return err->code;
}

static int write_truth(const struct sim_eds_image *p, const struct sim_responses *responses,
                       double units[2][SIM_RESPONSES], struct sim_err *err)
{
    static const char *const names[] = {"first", "second"};
    char path[4096];
    struct sim_text t;
    if (snprintf(path, sizeof path, "%s.truth.json", p->path) >= (int)sizeof path) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", p->path);
    }
    if (sim_text_open(&t, path, err) != SIM_OK) {
        return err->code;
    }
    sim_json_open(&t, NULL, '{');
    sim_json_text(&t, "program", "simulate eds");
    sim_json_number(&t, "version", SIM_VERSION);
    sim_json_number(&t, "seed", (double)p->seed);
    sim_json_number(&t, "ny", (double)p->ny);
    sim_json_number(&t, "nx", (double)p->nx);
    sim_json_number(&t, "counts_per_pixel", p->counts);
    sim_json_text(&t, "noise", p->noise ? "poisson" : "none");
    sim_json_text(&t, "dtype", p->dtype);
    sim_truth_state_detector(&t, &responses->detector);
    sim_json_text(&t, "regions_definition", "columns from first_column to last_column, both in it");
    sim_json_open(&t, "regions", '{');
    for (int region = 0; region < (p->two_regions ? 2 : 1); region++) {
        size_t middle = p->nx / 2;
        sim_json_open(&t, names[region], '{');
        sim_json_number(&t, "first_column", region == 0 ? 0.0 : (double)middle);
        sim_json_number(&t, "last_column",
                        p->two_regions && region == 0 ? (double)middle - 1.0 : (double)p->nx - 1.0);
        sim_truth_state_families(&t, responses, units[region]);
        sim_json_close(&t, '}');
    }
    sim_json_close(&t, '}');
    sim_json_close(&t, '}');
    return sim_text_close(&t, err);
}

/* The largest count of a channel that may come, far out in the Poisson tail. */
static double largest_count(const struct sim_responses *responses,
                            double units[2][SIM_RESPONSES], int noise)
{
    double largest = 0.0;
    for (int region = 0; region < 2; region++) {
        for (size_t c = 0; c < responses->detector.nchannels; c++) {
            double sum = 0.0;
            for (size_t i = 0; i < SIM_RESPONSES; i++) {
                sum += units[region][i] * responses->response[i].spectrum[c];
            }
            largest = fmax(largest, sum);
        }
    }
    return noise ? largest + 10.0 * sqrt(largest) + 10.0 : largest;
}

static int write_image(const struct sim_eds_image *p, const struct sim_responses *responses,
                       double units[2][SIM_RESPONSES], struct sim_err *err)
{
    const struct sim_image image = {
        .path = p->path, .title = "X-rays", .kind = SIM_KIND_EDS, .ny = p->ny, .nx = p->nx,
        .nchannels = p->nchannels, .pixel_nm = SIM_EDS_PIXEL_NM, .offset_ev = 1e3 * p->offset_kev,
        .scale_ev = 1e3 * p->scale_kev, .dtype = p->dtype, .layout = p->layout,
        .compress = p->compress != 0, .dwell_s = SIM_EDS_DWELL_S, .beam_kev = SIM_BEAM_KEV,
        .convergence_mrad = SIM_CONVERGENCE_MRAD, .mnka_ev = SIM_EDS_NOMINAL_MNKA_EV,
        .elevation_degree = SIM_EDS_ELEVATION_DEGREE, .seed = p->seed,
    };
    struct sim_file file;
    if (sim_image_create(&file, &image, err) != SIM_OK) {
        return err->code;
    }
    if (write_rows(&file, p, responses, units, err) != SIM_OK) {
        sim_file_abandon(&file);
        return err->code;
    }
    return sim_file_finish(&file, err);
}

int sim_eds_image(const struct sim_eds_image *p, struct sim_err *err)
{
    const struct sim_detector detector = {
        .offset_kev = p->offset_kev, .scale_kev = p->scale_kev, .nchannels = p->nchannels,
        .mnka_ev = SIM_EDS_NOMINAL_MNKA_EV + p->width_error_ev,
        .offset_error_ev = p->offset_error_ev, .gain_error = p->gain_error, .tail_share = p->tail,
        .tail_ev = 150.0, .escape = !p->no_escape,
    };
    struct sim_responses responses;
    double units[2][SIM_RESPONSES];
    if (sim_responses_make(&responses, &detector, err) != SIM_OK) {
        return err->code;
    }
    if (scale_units(p, &responses, units, err) == SIM_OK) {
        double most = largest_count(&responses, units, p->noise);
        if (most > sim_dtype_largest(p->dtype)) {
            sim_fail(err, SIM_USAGE, "up to %.3g counts per channel do not fit into type %s",
                     most, p->dtype);
        } else if (write_image(p, &responses, units, err) == SIM_OK) {
            write_truth(p, &responses, units, err);
        }
    }
    sim_responses_free(&responses);
    return err->code;
}
