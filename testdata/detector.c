/*
 * Sources:
 *   width            FWHM^2 = noise^2 + (2.355)^2 F eps E with F 0.115, eps 3.64 eV (silicon, 300
 *                    K: J. I. Goldstein et al., Scanning Electron Microscopy and X-Ray
 *                    Microanalysis, 3rd ed., Kluwer 2003, chapter 7)
 *   escape peaks     S. J. B. Reed, N. G. Ware, J. Phys. E 5 (1972) 582
 *   efficiency       absorption in window, contact, dead layer and crystal; thicknesses are
 *                    those of common detectors (scenario)
 * Natural line widths (a few eV), pile-up and sum peaks are left out.
 */
#include "detector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FANO 0.115
#define EV_PER_PAIR 3.64
#define SIGMA_TO_FWHM 2.354820045
#define SILICON_KA_KEV 1.73978
#define SILICON_EDGE_KEV 1.8389
#define SILICON_YIELD 0.0504

enum { GUIDE = 4096 };

double sim_detector_fwhm_ev(const struct sim_detector *d, double kev)
{
    double per_ev = SIGMA_TO_FWHM * SIGMA_TO_FWHM * FANO * EV_PER_PAIR;
    double noise2 = d->mnka_ev * d->mnka_ev - per_ev * 5898.75;
    return sqrt(noise2 + per_ev * 1e3 * fmax(kev, 0.0));
}

double sim_detector_efficiency(double kev)
{
    if (kev < 0.1) { /* nothing comes through the window */
        return 0.0;
    }
    double silicon = 2.33 * sim_absorption_cm2_per_g(14, kev);
    double polymer = 1.4 * (0.69 * sim_absorption_cm2_per_g(6, kev) +
                            0.08 * sim_absorption_cm2_per_g(7, kev) +
                            0.23 * sim_absorption_cm2_per_g(8, kev));
    double contact = 2.70 * sim_absorption_cm2_per_g(13, kev);
    double window = exp(-0.30e-4 * polymer - 0.03e-4 * contact);
    double grid = 0.77 + 0.23 * exp(-380e-4 * silicon);
    return grid * window * exp(-0.05e-4 * silicon) * (1.0 - exp(-450e-4 * silicon));
}

double sim_detector_escape(const struct sim_detector *d, double kev)
{
    if (!d->escape || kev <= SILICON_EDGE_KEV) {
        return 0.0;
    }
    /* of the absorption above the edge, the K shell makes the part 1 - 1/r, r the edge's ratio */
    double jump = 1.0 - 278.0 / 3340.0;
    double ratio =
        sim_absorption_cm2_per_g(14, SILICON_KA_KEV) / sim_absorption_cm2_per_g(14, kev);
    return 0.5 * SILICON_YIELD * jump * (1.0 - ratio * log1p(1.0 / ratio));
}

/* Share of a peak at `centre` that lies below `edge`; all in eV. The tail is an exponential
 * towards low energies, smeared like the peak. */
static double below(const struct sim_detector *d, double edge, double centre, double sigma)
{
    double u = (edge - centre) / sigma;
    double gauss = 0.5 * erfc(-u * 0.70710678118654752);
    if (d->tail_share <= 0.0 || u > 8.0) {
        return gauss;
    }
    double k = sigma / d->tail_ev;
    double tail = gauss + exp(u * k + 0.5 * k * k) * 0.5 * erfc((u + k) * 0.70710678118654752);
    return (1.0 - d->tail_share) * gauss + d->tail_share * tail;
}

/* Adds counts that stand at true energy kev, channel-integrated. */
static void add_peak(const struct sim_detector *d, double kev, double counts, double *spectrum)
{
    double sigma = sim_detector_fwhm_ev(d, kev) / SIGMA_TO_FWHM;
    double centre = 1e3 * kev * (1.0 + d->gain_error) + d->offset_error_ev;
    double down = 8.0 * sigma + (d->tail_share > 0.0 ? 20.0 * d->tail_ev : 0.0);
    double step = 1e3 * d->scale_kev, edge0 = 1e3 * d->offset_kev - 0.5 * step;
    double first = floor((centre - down - edge0) / step);
    double last = ceil((centre + 8.0 * sigma - edge0) / step);
    if (counts <= 0.0 || last < 0.0 || first >= (double)d->nchannels) {
        return;
    }
    size_t from = first < 0.0 ? 0 : (size_t)first;
    size_t to = last > (double)d->nchannels ? d->nchannels : (size_t)last;
    double lower = below(d, edge0 + step * (double)from, centre, sigma);
    for (size_t i = from; i < to; i++) {
        double upper = below(d, edge0 + step * (double)(i + 1), centre, sigma);
        spectrum[i] += counts * (upper - lower);
        lower = upper;
    }
}

static void fill_family(const struct sim_detector *d, const struct sim_family *family,
                        struct sim_response *r)
{
    double barn[SIM_MAX_LINES];
    sim_line_barn(family, barn);
    strcpy(r->name, family->name);
    for (size_t i = 0; i < sim_family_lines(family); i++) {
        double kev = family->line[i].kev;
        double counted = barn[i] * sim_detector_efficiency(kev);
        double escaped = sim_detector_escape(d, kev);
        add_peak(d, kev, counted * (1.0 - escaped), r->spectrum);
        add_peak(d, kev - SILICON_KA_KEV, counted * escaped, r->spectrum);
        r->peak += counted * (1.0 - escaped);
        r->escape += counted * escaped;
        r->alpha += sim_line_is_alpha(&family->line[i]) ? counted * (1.0 - escaped) : 0.0;
    }
}

/* Every 5 eV a narrow line: far below the width of any line. */
static void fill_bremsstrahlung(const struct sim_detector *d, struct sim_response *r)
{
    double end = d->offset_kev + d->scale_kev * (double)d->nchannels + 2.0;
    strcpy(r->name, "bremsstrahlung");
    for (size_t i = 0;; i++) {
        double kev = 0.1025 + 0.005 * (double)i;
        if (kev > end) {
            break;
        }
        double counted = 0.005 * sim_bremsstrahlung_barn_per_kev(1, kev) *
                         sim_detector_efficiency(kev);
        double escaped = sim_detector_escape(d, kev);
        add_peak(d, kev, counted * (1.0 - escaped), r->spectrum);
        add_peak(d, kev - SILICON_KA_KEV, counted * escaped, r->spectrum);
    }
}

static int make_sampler(struct sim_response *r, size_t n, struct sim_err *err)
{
    r->sum = malloc((n + 1) * sizeof *r->sum);
    r->guide = malloc(GUIDE * sizeof *r->guide);
    if (r->sum == NULL || r->guide == NULL) {
        return sim_fail(err, SIM_FAILED, "no memory for the spectra of %s", r->name);
    }
    for (size_t i = 0; i < n; i++) {
        r->on_axis += r->spectrum[i];
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += r->spectrum[i];
        r->sum[i] = r->on_axis > 0.0 ? sum / r->on_axis : 1.0;
    }
    size_t at = 0;
    for (size_t k = 0; k < GUIDE; k++) {
        while (at + 1 < n && r->sum[at] <= (double)k / GUIDE) {
            at++;
        }
        r->guide[k] = (uint32_t)at;
    }
    /* rounding must not let a photon fall behind the last channel that can have one */
    size_t last = n;
    while (last > 0 && r->spectrum[last - 1] <= 0.0) {
        last--;
    }
    for (size_t i = last > 0 ? last - 1 : 0; i < n; i++) {
        r->sum[i] = 1.0;
    }
    return SIM_OK;
}

int sim_responses_make(struct sim_responses *r, const struct sim_detector *detector,
                       struct sim_err *err)
{
    memset(r, 0, sizeof *r);
    r->detector = *detector;
    for (size_t i = 0; i < SIM_RESPONSES; i++) {
        struct sim_response *response = &r->response[i];
        response->spectrum = calloc(detector->nchannels, sizeof *response->spectrum);
        if (response->spectrum == NULL) {
            sim_fail(err, SIM_FAILED, "no memory for the X-ray spectra");
            break;
        }
        if (i < SIM_FAMILIES) {
            fill_family(detector, &sim_families[i], response);
        } else if (i == SIM_BREMSSTRAHLUNG) {
            fill_bremsstrahlung(detector, response);
        } else {
            strcpy(response->name, "noise_peak");
            struct sim_detector plain = *detector;
            plain.tail_share = 0.0;
            add_peak(&plain, 0.0, 1.0, response->spectrum);
        }
        if (make_sampler(response, detector->nchannels, err) != SIM_OK) {
            break;
        }
    }
    if (err->code != SIM_OK) {
        sim_responses_free(r);
    }
    return err->code;
}

void sim_responses_free(struct sim_responses *r)
{
    for (size_t i = 0; i < SIM_RESPONSES; i++) {
        free(r->response[i].spectrum);
        free(r->response[i].guide);
        free(r->response[i].sum);
        r->response[i] = (struct sim_response){.spectrum = NULL};
    }
}

void sim_response_draw(const struct sim_responses *r, size_t response, int64_t n,
                       struct sim_rng *rng, uint32_t *counts)
{
    const double *sum = r->response[response].sum;
    const uint32_t *guide = r->response[response].guide;
    for (int64_t k = 0; k < n; k++) {
        double u = sim_uniform(rng);
        size_t i = guide[(size_t)(u * GUIDE)];
        while (sum[i] <= u) {
            i++;
        }
        counts[i]++;
    }
}
