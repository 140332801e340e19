/*
 * The X-ray detector: a silicon drift detector behind a polymer window. It turns photons into
 * shares of channels: efficiency, line width, escape peaks, a tail of incomplete charge, and the
 * errors of the energy axis.
 */
#ifndef SIM_DETECTOR_H
#define SIM_DETECTOR_H

#include "rng.h"
#include "simulate.h"
#include "xray.h"

#define SIM_EDS_SOLID_ANGLE_SR 0.7
#define SIM_EDS_DWELL_S 0.4
#define SIM_EDS_ELEVATION_DEGREE 18.0
#define SIM_EDS_NOMINAL_MNKA_EV 128.0

struct sim_detector {
    double offset_kev, scale_kev; /* channel i is centred at offset + i scale */
    size_t nchannels;
    double mnka_ev;               /* FWHM at Mn Ka1 */
    double offset_error_ev, gain_error; /* energy E stands at E (1 + gain) + offset on the axis */
    double tail_share, tail_ev;   /* share of each peak's counts in an exponential towards low
                                     energies, its length */
    int escape;                   /* 1: silicon escape peaks */
};

/* FWHM of a line at an energy, eV. */
double sim_detector_fwhm_ev(const struct sim_detector *d, double kev);

/* Share of photons that are counted. */
double sim_detector_efficiency(double kev);

/* Share of the counted photons that lose a silicon K photon. */
double sim_detector_escape(const struct sim_detector *d, double kev);

/* What is counted where: per unit of whatever makes the photons, an expected spectrum on the
 * axis, and a way to draw photons from it. */
struct sim_response {
    char name[16];     /* "Ti_K", "bremsstrahlung", "noise_peak" */
    double peak;      /* counts in full-energy peaks with their tails, on the axis or not */
    double escape;    /* counts in escape peaks */
    double alpha;     /* of the peaks: those of the alpha line */
    double on_axis;   /* sum of `spectrum` */
    double *spectrum; /* owned; nchannels */
    uint32_t *guide;  /* owned; where to begin looking in the cumulative sum */
    double *sum;      /* owned; cumulative, ends at 1 */
};

/* Responses in this order: the families, bremsstrahlung, the noise peak at zero energy. */
enum { SIM_BREMSSTRAHLUNG = SIM_FAMILIES, SIM_NOISE_PEAK, SIM_RESPONSES };

struct sim_responses {
    struct sim_detector detector;
    struct sim_response response[SIM_RESPONSES];
};

/* Families: per barn-weighted atom (sum over lines of barn); bremsstrahlung: per barn of Z^2
 * (multiply with atoms times Z^2); noise peak: per count. */
int sim_responses_make(struct sim_responses *r, const struct sim_detector *detector,
                       struct sim_err *err);
void sim_responses_free(struct sim_responses *r);

/* Adds `n` photons of one response to a spectrum of counts. */
void sim_response_draw(const struct sim_responses *r, size_t response, int64_t n,
                       struct sim_rng *rng, uint32_t *counts);

#endif
