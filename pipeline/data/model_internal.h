/* What model.c and the background fits share: the channels of a fit, the model on them, and the linear map L. */
#ifndef EP_DATA_MODEL_INTERNAL_H
#define EP_DATA_MODEL_INTERNAL_H
#include "pipeline/data/model.h"

#define EP_MODEL_BLOCK 64

/* The native channels of the fit at one shift. */
struct ep_fit_set {
    size_t nw;
    struct ep_range w[EP_MAX_WINDOWS];
    size_t mid;              /* two_area: first channel of the second half */
    double x1, x3, x2;       /* two_area: ln(E/e_ref) of channels w.first, mid, w.end (one past the last used) */
    bool off_axis;           /* a window reaches beyond the axis, or (power laws) to E <= 0 */
    size_t n;                /* channels in all windows */
};
void ep_model_channels(const struct ep_model *m, double shift, struct ep_fit_set *c);
/* two_area: fills x1, x3, x2 (they are left out above). */
void ep_model_area_ends(const struct ep_model *m, double shift, struct ep_fit_set *c);

/* x of native channels first .. first+n-1: ln(E/e_ref) or (E-e_ref)/e_ref; NaN where E <= 0 in a power law (B = 0 there). */
void ep_model_x(const struct ep_model *m, double shift, size_t first, size_t n, double *x);

/* B and J = dB/dtheta on native channels first .. first+n-1, n <= EP_MODEL_BLOCK. */
struct ep_model_values {
    double x[EP_MODEL_BLOCK], b[EP_MODEL_BLOCK], j0[EP_MODEL_BLOCK], j1[EP_MODEL_BLOCK];
};
void ep_model_eval(const struct ep_model *m, const double theta[2], double shift, size_t first, size_t n,
                   struct ep_model_values *v);
/* The same from given x without J (bits as ep_model_eval). */
void ep_model_eval_at(const struct ep_model *m, const double theta[2], const double *x, size_t n, double *b);

/* B and B x summed over n channels, for the forms exp(theta0 - theta1 x), added to s0 and s1 of EP_LANES accumulators each. */
void ep_model_sums(const double theta[2], const double *x, size_t n, double *s0, double *s1);

/* Variance of native channel counts on fit channels: gain*B + read_noise^2 with the fitted mean B; where that is not positive
 * (two powers with amplitudes of both signs) with the mean spectrum's model. */
double ep_model_fit_variance(const struct ep_model *m, double b, double j0, double j1);
/* The same of binned channels: b, j0, j1 are sums, noise is the sum of read_noise^2. */
double ep_model_mean_variance(const struct ep_model *m, double b, double j0, double j1, double noise);

/* L = d theta / d y at the fitted mean, one column per fit channel: L_i = s_i M u_i. */
struct ep_lmap { double m[2][2]; size_t mid; };
/* false when it can't be formed (a singular normal matrix). */
bool ep_lmap_init(const struct ep_model *m, const double theta[EP_NTHETA], double shift, const struct ep_fit_set *c,
                  struct ep_lmap *l);
/* The same for two_area, from the areas of the fitted mean. */
void ep_lmap_two_area(const struct ep_fit_set *c, const double theta[2], const double area[2], struct ep_lmap *l);
/* Column of native channel i; k is its place in v. */
void ep_lmap_column(const struct ep_model *m, const struct ep_lmap *l, size_t i, const struct ep_model_values *v, size_t k,
                    double out[2]);
/* C = L diag(v) L' (C00, C01, C11). */
void ep_lmap_covariance(const struct ep_model *m, const double theta[EP_NTHETA], double shift,
                        const struct ep_fit_set *c, const struct ep_lmap *l, double cmat[EP_NCMAT]);
#endif
