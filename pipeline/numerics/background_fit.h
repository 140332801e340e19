/* Fits of a background model to the fit windows of one spectrum. Formulas: docs and shared conventions of the
 * `background` stage; each function names its source.
 *
 * The Poisson maximum-likelihood fit of an exponential family depends on the data through two sums alone,
 * S0 = sum y and S1 = sum y x over the fit channels (x = ln(E/e_ref) or (E-e_ref)/e_ref): the score equations are
 * sum mu = S0 and sum mu x = S1. So theta1 solves one monotone equation, mean_x(theta1) = S1/S0, which does not know the
 * pixel; it also serves dark-subtracted data with negative channels (quasi-likelihood) while S0 > 0.
 *
 * Sources. A E^-r, log_ls and two_area: Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed.,
 * section 4.4; two_area in every detail as HyperSpy 1.7.3 (PowerLaw.estimate_parameters). Two powers with fixed exponents
 * (lcpl) and local averaging: Cueva, Hovden, Mundy, Xin, Muller, Microscopy and Microanalysis 18 (2012) 667. Covariances:
 * the delta method, theta = L y to first order at the fitted mean.
 */
#ifndef EP_NUMERICS_BACKGROUND_FIT_H
#define EP_NUMERICS_BACKGROUND_FIT_H
#include <stddef.h>
#include <stdint.h>
#include "pipeline/base/err.h"
#include "pipeline/data/model.h"

struct ep_fit;  /* const once made, shared by threads */

/* Plan for model m (form, method, windows, gain, axis are read; m->e_ref is set here: the geometric mean of the
 * windows' ends; two_area uses 1 eV... inside and converts). For EP_MODEL_TWO_POWERS m->r and m->mean_theta are given.
 * Needs >= 3 channels over all windows (>= 2 per half for two_area). The caller keeps *m unchanged while the plan lives.
 * bounds: exponent (or decay) limits lo < hi; a result at a bound is flagged AT_BOUND. */
ep_status ep_fit_new(struct ep_model *m, double lo, double hi, struct ep_fit **out, struct ep_err *e);
void ep_fit_free(struct ep_fit *f);
/* Native channels that the fit reads at shift 0 (hull of the windows). */
struct ep_range ep_fit_channels(const struct ep_fit *f);
size_t ep_fit_scratch(const struct ep_fit *f);

struct ep_fit_result {
    double theta[EP_NTHETA], cmat[EP_NCMAT];
    double chi2;          /* reduced Pearson chi-square on the fit channels, (y-mu)^2/v / (n-2) */
    uint32_t flag;        /* 0 or why not; with a fatal flag theta, cmat, chi2 are NaN */
};
/* One spectrum: y[i] is native channel ch0 + i, n of them; all fit channels (at this shift, eV) must be present, else
 * OFF_AXIS. Any method but EP_FIT_ML_AVERAGED. */
void ep_fit_spectrum(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, struct ep_fit_result *r,
                     void *scratch);

/* EP_FIT_ML_AVERAGED in two steps: sums of every pixel, then a fit from a neighbourhood's weighted sums
 * s[0] = sum w S0, s[1] = sum w S1, s2 = sum w^2 S0 (variance of the neighbourhood's sum), own S0 of the pixel and w0, its own
 * weight, in any scale of the weights (theta[2] is s[0] in the scale in which w0 is the model's own_weight).
 * Shape from the neighbourhood, amplitude from the pixel. */
uint32_t ep_fit_sums(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, double s[2], void *scratch);
void ep_fit_from_sums(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, const double s[2],
                      double s2, double own_s0, double w0, struct ep_fit_result *r, void *scratch);

/* exp(-r x) on n channels at evenly spaced r, for backgrounds exp(theta0 - theta1 x) of many pixels with the same x. */
struct ep_rows { double lo, hi, step; size_t n; double *x, *row; };
/* Rows for the exponents that backgrounds have; those beyond, or all where rows would take too much memory, are left to
 * ep_model_background(). x NaN (no background there) gives 0. The caller's to free with ep_rows_free. */
void ep_rows_make(struct ep_rows *t, const double *x, size_t n);
void ep_rows_free(struct ep_rows *t);
static inline bool ep_rows_hold(const struct ep_rows *t, const double *theta)
{
    return t->row && theta[1] >= t->lo && theta[1] <= t->hi;
}
/* net[i] = y[i] - B of channel first + i, n of them; relative error of B below 1e-14. Only if ep_rows_hold(). */
void ep_rows_subtract(const struct ep_rows *t, const double *theta, size_t first, size_t n, const float *y, float *net);
#endif
