/* A step in a profile: which of several curves describes it, and where it reaches a threshold between its plateaus.
 *
 * Bins share counts with their neighbours, so the fits are generalised least squares with the full band of covariances. The
 * variances are those of the fitted curve, not of the counts of each bin, which would pull the fit to low bins.
 * Nothing here keeps state; all functions may run in any number of threads.
 */
#ifndef EP_NUMERICS_STEP_FIT_H
#define EP_NUMERICS_STEP_FIT_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"
#include "pipeline/numerics/step_curve.h"

#define EP_STEP_LINEAR 5        /* heights and slopes */
#define EP_STEP_PAR (EP_STEP_SHAPE + EP_STEP_LINEAR)

/* Bins in order of x; those that are not finite, or have no sigma, are left out. */
struct ep_step_data {
    size_t n;
    const double *x, *y, *sigma;
    size_t nband; const double *band;   /* [n][nband]: covariance of bin i with bin i+1+k; NULL = independent */
};
struct ep_step_options {
    unsigned models;            /* bits 1 << enum ep_step_model */
    double threshold;           /* share of the step, between 0 and 1 */
    double probe;               /* sigma of the probe for one_sided, in x; NAN: fitted */
    bool slope_high, slope_low; /* straight lines instead of constant plateaus */
    double edge;                /* width of a bin: the scale of starts and derivatives */
    double blur;                /* variance of what pixels and bins add to the width of a step: taken off */
    double blur_doubt;          /* how far that may be off */
};

/* One curve, as it would be without the blur of pixels and bins. u = direction*x grows towards the low plateau. */
struct ep_step_fit {
    bool ok;
    enum ep_step_model model;
    int direction;                          /* +1: the low plateau lies at large x */
    double shape[EP_STEP_SHAPE];            /* in u */
    double linear[EP_STEP_LINEAR];          /* low, step (jump_erfc, two_step: both parts), then slopes: of the high, of the low plateau, around u = middle */
    double middle, blur;
    size_t npar, nlinear;
    bool slope_high, slope_low;
    double cov[EP_STEP_PAR * EP_STEP_PAR];  /* shape, then linear; as the bins' sigmas say */
    double chi2, bic;
    double position, noise;                 /* threshold, in x, and its sigma */
    double width, width_sigma;              /* of the erf of equal 10-90 % distance: w = sqrt 2 sigma */
    double length, length_sigma;            /* one_sided, jump_erfc: L; else NAN */
    double low, low_sigma, high, high_sigma, step, step_sigma;
};
struct ep_step_result {
    struct ep_step_fit fit[EP_STEP_MODELS];
    size_t best;                            /* of fit[] */
    size_t bins;                            /* that were used */
    double x_first, x_last;
    double reduced;                         /* chi-square per degree of freedom of the best */
    double scale;                           /* what all sigmas were multiplied by: sqrt(reduced) where it is above 1 */
    double noise, model;                    /* sigmas of the position: counting; spread of the models that fit */
    double doubt;                           /* what the doubt of the blur does to the position, with its sign: alike in runs of like pixels */
    double spread;                          /* largest distance to the position of a model that is not ruled out (dBIC 10) */
    double monotone;                        /* threshold position of the monotone (isotonic) fit; NAN: none */
    bool low_in_view, high_in_view, inside; /* plateaus; the position */
};
/* Fits every model asked for and chooses by BIC. Fails when fewer bins are left than there are parameters, or no fit holds. */
ep_status ep_step_analyse(const struct ep_step_data *d, const struct ep_step_options *o, struct ep_step_result *r, struct ep_err *e);
/* The fitted curve at x, with the blur: what the bins are compared with. */
double ep_step_value(const struct ep_step_fit *f, double x);
/* Where the share of the step left is `share`, without the blur. */
double ep_step_at(const struct ep_step_fit *f, double share);
#endif
