/* X-ray spectra as sums of line families on a smooth background.
 *
 *     mean counts of channel i = sum_k c_k X_ki + background_i
 *     X_k = sum of the family's lines, each a Gaussian integrated over the channel:
 *           weight (1 - q e) G(E, sigma_E) + weight q e G(E - 1739.8 eV, ...)          e: Si escape, q its correction
 *     (2.355 sigma_E)^2 = R^2 + 2.355^2 F eps (E - 5898.7 eV)      R: FWHM at Mn Ka, F: Fano factor, eps: eV per pair in Si
 *     true energy = (1 + gain) * energy of the axis + offset
 * The shape (offset, gain, R, F, q, and the ratios of line groups in each family) is refined on the sum of all pixels, with
 * the amplitudes and the background eliminated at each step (variable projection); then it is held, and pixels are solved with one
 * matrix (ep_eds_solver).
 */
#ifndef EP_NUMERICS_EDS_FIT_H
#define EP_NUMERICS_EDS_FIT_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"

#define EP_EDS_MN_KA 5898.7       /* eV, where resolutions are quoted */
#define EP_EDS_PAIR 3.65          /* eV per electron-hole pair in silicon */
#define EP_EDS_FANO 0.115

/* ---- the model -------------------------------------------------------------------------------------------------- */

struct ep_eds_line {
    double energy, weight;        /* eV; counts per count of the column */
    double escape;                /* part that is counted 1739.8 eV lower */
    size_t column;
    int group;                    /* its weight is multiplied by 1 + theta[EP_EDS_SHAPE + group]; -1: never */
};
/* Shape parameters: theta. The groups' corrections follow. */
enum { EP_EDS_OFFSET, EP_EDS_GAIN, EP_EDS_RESOLUTION, EP_EDS_FANO_FACTOR, EP_EDS_ESCAPE, EP_EDS_SHAPE };

struct ep_eds {                   /* const once made */
    size_t nch; double first, step;       /* lower border of the first channel, width of a channel; eV of the axis as it is */
    size_t nline, ncol, ngroup;
    struct ep_eds_line *line;
    double *prior;                /* [ngroup] standard deviations */
    size_t nback;                 /* terms of the sum's background: splines, silicon */
    size_t split, nlow;           /* channels below have a background of their own, of the first nlow splines; 0: there is one */
    double *back;                 /* [nback][nch] */
    double thickness_mm;
    double resolution;            /* start of R */
};
/* Copies lines and priors. Background terms: cubic B-splines over a first guess of bremsstrahlung, and the step at silicon's K
 * edge. At most 1024 lines. */
ep_status ep_eds_new(size_t nch, double first, double step, size_t nline, const struct ep_eds_line *line, size_t ncol,
                     size_t ngroup, const double *prior, double resolution, double thickness_mm, struct ep_eds **out, struct ep_err *e);
void ep_eds_free(struct ep_eds *m);
size_t ep_eds_ntheta(const struct ep_eds *m);
/* What is assumed before a fit, and how well it is known. Any of the two may be NULL. */
void ep_eds_start(const struct ep_eds *m, double *theta, double *sigma);
/* Brings theta within its bounds; true if it was not. */
bool ep_eds_bound(const struct ep_eds *m, double *theta);
/* x[ncol][nch]; with c (NULL: not), the derivative of sum_k c_k X_k by theta: dx[ntheta][nch]. */
void ep_eds_columns(const struct ep_eds *m, const double *theta, double *x, const double *c, double *dx);
/* FWHM of a line in eV. */
double ep_eds_fwhm(const double *theta, double energy);

/* ---- the sum ---------------------------------------------------------------------------------------------------- */

struct ep_eds_sum {
    double *theta, *sigma;        /* [ntheta]; sigma 0 where it was held */
    bool at_bound;                /* axis or width stands at its bound */
    double *c, *c_sigma;          /* [ncol]: counts of each column, errors of the refinement included */
    double *shared;               /* [nback + ntheta] squared: covariance of what pixels take from here, background terms first */
    double *back, *fit;           /* [nch]: background; all of the model */
    double *var;                  /* [nch]: of the counts, from the model */
    double chi2; size_t dof;      /* chi-square over degrees of freedom */
    double misfit;                /* what noise does not explain: rms(y - fit) beyond it, relative to rms(fit) */
    double worst_energy, worst;   /* eV, sigmas: where the residual over one FWHM is largest */
};
/* y: counts of n pixels; variance gain*mean + n*read_noise^2. refine: false holds the shape at its start. */
ep_status ep_eds_fit_sum(const struct ep_eds *m, const double *y, double gain, double noise_variance, bool refine,
                         struct ep_eds_sum **out, struct ep_err *e);
void ep_eds_sum_free(struct ep_eds_sum *s);

/* ---- pixels ------------------------------------------------------------------------------------------------------ */

/* Columns of a pixel: the families, then the sum's background times Legendre polynomials of ln E, on each side of the split. c = L y with the
 * weights of a mean spectrum. */
struct ep_eds_solver {
    size_t nch, ncol, nback, n;   /* n = ncol + nback */
    size_t terms;                 /* of each side's background: nback or nback / 2 */
    double *x;                    /* [n][nch] */
    double *lt;                   /* [nch][n]: L' */
    double *w;                    /* [nch] weights */
    double *normal;               /* [n][n] X W X' */
    double *polynomial;           /* [nback][nch]: what multiplies the sum's background */
    double *beyond;               /* [nch]: the background times the first polynomial of each side that is left out; NULL: no sides */
    double *sum;                  /* [n] counts of each column in range */
    double *expected, expected0;  /* mean of the weighted residual: sum_k gain c_k expected_k + noise^2 expected0 */
    double *mean;                 /* [n] coefficients of the mean pixel */
    double gain, noise2;          /* per channel of a pixel */
};
/* `lines`: the mean pixel's counts of each column; back: its background. */
ep_status ep_eds_solver_new(const struct ep_eds *m, const double *theta, const double *lines, const double *back, size_t terms,
                            double gain, double noise2, struct ep_eds_solver **out, struct ep_err *e);
/* Of any n columns x[n][nch] (one matrix for all pixels, of any kind of spectrum); var[nch]: variances that weigh, mean[n]. */
ep_status ep_eds_solver_of(size_t nch, size_t n, const double *x, const double *var, const double *mean, double gain, double noise2,
                           struct ep_eds_solver **out, struct ep_err *e);
void ep_eds_solver_free(struct ep_eds_solver *s);
/* The variance of q'c (q [n]) is  gain sum_k c_k t_k + noise2 t_n: fills t [n + 1]. */
void ep_eds_variance_terms(const struct ep_eds_solver *s, const double *q, double *t);
/* How q'c, for each q of nq, moves with what the sum has fixed, per unit of each coefficient: d [nq][nback of m + ntheta][n], background
 * terms first, so that q'c of a pixel with coefficients c errs by sum_p error_p sum_k d_pk c_k, the errors being those of the
 * sum and common to all pixels. q [nq][n]; dq [nq][ntheta][ncol]: how q itself moves. */
void ep_eds_shared(const struct ep_eds_solver *s, const struct ep_eds *m, const double *theta, size_t nq, const double *q,
                   const double *dq, double *d);
/* Covariance of the coefficients at the mean pixel: [n][n]. */
void ep_eds_covariance(const struct ep_eds_solver *s, double *cov);
#endif
