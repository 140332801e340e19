/* The plan of a background fit and its kernels: what fit_plan.c, fit_kernels.c and background_fit.c share. */
#ifndef EP_NUMERICS_FIT_INTERNAL_H
#define EP_NUMERICS_FIT_INTERNAL_H
#include "pipeline/data/model_internal.h"
#include "pipeline/numerics/background_fit.h"
#include "pipeline/numerics/exp_family.h"
#include "pipeline/numerics/vmath.h"

struct ep_fit {
    const struct ep_model *m;
    double lo, hi;
    struct ep_fit_set c;             /* at shift 0 */
    size_t padded;                   /* doubles for the channels of any shift: each window in whole blocks */
    double *x;                       /* shift 0, window after window, each padded with zeros to whole blocks */
    double *flat;                    /* the same without padding */
    double *j[2], *l[2];             /* WLS at shift 0, laid out as x: the columns of J, the rows of L */
    double *v_mean;                  /* WLS: v of the mean spectrum's model */
    double q[3][EP_NCMAT];           /* WLS: C = gain (theta0 q0 + theta1 q1) + read_noise^2 q2 while B > 0 */
    double mom[3];                   /* n, sum x, sum x^2 at shift 0 */
    double start;                    /* ML with a shift: mean of x at shift 0 */
    /* On the likely part of the bounds; exponents beyond are found by direct sums. */
    struct ep_pieces family;         /* ML: K, M, V, inverse of M */
    struct ep_pieces areas;          /* two_area: ln of both half sums of exp(-r x), phi */
    /* Powers for chi-square: row k holds exp(+r x) at r = row_lo + k*row_step <= row_hi, laid out as x; rows so close that a polynomial of
     * degree 5 does the rest. NULL where that would take too much memory. */
    double *row, row_lo, row_hi, row_step;
    size_t row_len;
};

/* n rounded up to whole blocks of the kernels. */
static inline size_t ep_fit_blocks(size_t n)
{
    return (n + EP_LANES - 1) / EP_LANES * EP_LANES;
}

/* phi of two_area: theta0 = ln I2 - phi(r). */
double ep_two_area_phi(const struct ep_model *m, const struct ep_fit_set *c, double r);

/* ---- kernels over one window; y has n counts, the other arrays are padded with zeros to whole blocks. Every sum has EP_LANES
 * accumulators, added in one order ---- */

double ep_fit_sum(const float *y, size_t n);
/* s[0] += sum y, s[1] += sum y x */
void ep_fit_sum_x(const float *y, size_t n, const double *x, double s[2]);
/* s[0] += sum y a, s[1] += sum y b */
void ep_fit_dot(const float *y, size_t n, const double *a, const double *b, double s[2]);
/* m += sum 1, x, x^2 */
void ep_fit_moments(const double *x, size_t n, double m[3]);
/* sum (y - mu)^2/mu + sum (y - mu), mu = exp(t0 - t1 x): as sum y (y/mu - 1), without a division. */
double ep_fit_pearson(const float *y, size_t n, const double *x, double t0, double t1);
/* The same with 1/mu = a row exp(dr x), |dr x| <= 1/64 (relative error 2e-14). */
double ep_fit_pearson_row(const float *y, size_t n, const double *x, const double *row, double dr, double a);
/* sum (y - mu)^2/(gain mu + noise) */
double ep_fit_pearson_noise(const float *y, size_t n, const double *x, double t0, double t1, double gain, double noise);
#endif
