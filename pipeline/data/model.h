/* The background model that a net spectrum carries, and covariance along a spectrum (docs/how-it-works.md,
 * "Covariance"): counts have the diagonal variance v = gain*mu + read_noise^2 per channel; all channels share the
 * fit's errors. With theta = L y on the fit channels, J = dB/dtheta, C = L diag(v) L', G = diag(v) L' (zero off
 * the fit channels), two linear functionals a, b of the net spectrum have
 *     Cov(a, b) = sum(a b v) + (J'a)' C (J'b) - (G'a)' (J'b) - (J'a)' (G'b).
 * A per-pixel theta and C are all that is stored; J and G are evaluated for the channels asked for.
 * v uses the fitted mean on fit channels (y there may be zero or negative) and gain*y elsewhere.
 */
#ifndef EP_DATA_MODEL_H
#define EP_DATA_MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/data/cell.h"
#include "pipeline/numerics/exp_family.h"

#define EP_NTHETA 3   /* two parameters and one auxiliary number of the method */
#define EP_NCMAT 3    /* C00, C01, C11 */
#define EP_MAX_WINDOWS 2

/* Deconvolution subtracts what the electrons of lower losses predict, so their noise is shared by all higher channels:
 * a functional a of the image has the weights w_j = a_j + sum_i a_i K(i - j) on the counts that went in. K is smooth, and the
 * same for all pixels but for its strength: it is kept by groups of `group` native channels, K(i - j) being k[difference of their
 * groups], or zlp[] of it where j is below zlp_end (the zero-loss peak, whose counts go in twice). */
#define EP_TRANSFER 128
struct ep_transfer {
    size_t group;                     /* native channels per group; 0: no deconvolution */
    size_t zlp_end;                   /* native channel */
    double k[EP_TRANSFER], zlp[EP_TRANSFER];
    double var[EP_TRANSFER];          /* of a channel in each group, mean pixel: variance of its counts (EP_MODEL_COUNTS), else net counts
                                         before deconvolution, of which a pixel has theta2 times as many (EP_FIT_ML_AVERAGED: once) */
};

enum ep_model_form {
    EP_MODEL_POWER,        /* B = exp(theta0 - theta1 * ln(E/e_ref));   theta0 = ln(counts per channel at e_ref) */
    EP_MODEL_EXPONENTIAL,  /* B = exp(theta0 - theta1 * (E - e_ref)/e_ref) */
    EP_MODEL_TWO_POWERS,   /* B = theta0 (E/e_ref)^-r[0] + theta1 (E/e_ref)^-r[1] */
    EP_MODEL_COUNTS        /* B = 0: counts after deconvolution. theta0: their number, theta1: t/lambda, both over those of `var` and K */
};
enum ep_model_method { EP_FIT_ML, EP_FIT_TWO_AREA, EP_FIT_LOG_LS, EP_FIT_WLS, EP_FIT_ML_AVERAGED };

/* Shared by all pixels of an image; const once made; plain data (stored in files as it is, see io). */
struct ep_model {
    enum ep_model_form form;
    enum ep_model_method method;
    size_t nwindow; double window[EP_MAX_WINDOWS][2];  /* eV */
    double e_ref;                     /* eV */
    double r[2];                      /* EP_MODEL_TWO_POWERS: the fixed exponents */
    double mean_theta[2];             /* EP_FIT_WLS: the mean spectrum's fit; weights are 1/v of it */
    double own_weight;                /* EP_FIT_ML_AVERAGED: share of the pixel itself in its neighbourhood */
    double gain, read_noise;          /* of one native channel */
    struct ep_low_noise low;          /* of native channels */
    struct ep_axis axis;              /* native: the axis of the fit */
    size_t bin;                       /* channel i of the carrying image covers native first+i*bin .. +bin-1 */
    size_t first;
    struct ep_transfer transfer;
};

/* A linear functional of one spectrum: sum over channels [first, end) of the carrying image, times weight
 * (NULL: 1) indexed from first. */
struct ep_functional { struct ep_range ch; const double *weight; };

/* Bytes of scratch that ep_functionals() needs for nf functionals over images of nch channels. */
size_t ep_functionals_scratch(const struct ep_desc *d, size_t nf);
/* Values and covariance [nf][nf] of nf functionals at pixel (iy, ix) of the cell (indices within the cell). All
 * channels asked for must be present. Works for plain counts (no model), nets, shifted axes. Returns flag bits
 * (0, NOT_FINITE when a channel in use is not finite: then all results are NaN). */
uint32_t ep_functionals(const struct ep_cell *c, size_t iy, size_t ix, size_t nf, const struct ep_functional *f,
                        double *value, double *cov, void *scratch);
/* What plain sums over one or two fixed windows need of the background where pixels have no shift: ln sum exp(-theta1 x) and the
 * mean of x under it, as polynomials of theta1. Plain data for a scratch that starts as zeros. */
#define EP_WINDOW_PIECES 64
struct ep_window_sums {
    const struct ep_model *of;         /* whose they are; NULL: not made yet */
    struct { bool ready; struct ep_pieces t; struct ep_poly piece[EP_WINDOW_PIECES]; } w[2];
};
/* Makes them for the model of a cell and n windows of its channels unless they are there; NULL where they are of no use (no
 * model, shifted pixels). A window of more native channels than there is room for abscissae is left out. */
const struct ep_window_sums *ep_window_sums(struct ep_window_sums *s, const struct ep_cell *c, size_t n, const struct ep_range *ch,
                                            double *x, size_t room);
/* ep_functionals() of windows in the order of `sums` (NULL: none), which must have been made for their channels. Equal to it to
 * rounding (1e-13 of the background); plain window sums cost a fraction. */
uint32_t ep_functionals_at(const struct ep_cell *c, size_t iy, size_t ix, size_t nf, const struct ep_functional *f,
                           const struct ep_window_sums *sums, double *value, double *cov, void *scratch);
/* Abscissae (ln(E/e_ref) or (E-e_ref)/e_ref) of the native channels behind channels ch: (end - first)*bin values. */
void ep_model_abscissae(const struct ep_model *m, double shift, struct ep_range ch, double *x);
/* Background at channels ch of the carrying image: out[i] for ch.first + i. 0 where E <= 0 in a power law. */
void ep_model_background(const struct ep_model *m, const double theta[EP_NTHETA], double shift, struct ep_range ch,
                         double *out);
/* The same from abscissae of nch channels (same bits, without their logarithms). */
void ep_model_background_at(const struct ep_model *m, const double theta[EP_NTHETA], const double *x, size_t nch, double *out);
/* Variance of each channel of the net (diagonal of the covariance), for sigmas of spectra. */
void ep_channel_variances(const struct ep_cell *c, size_t iy, size_t ix, struct ep_range ch, double *var, void *scratch);
#endif
