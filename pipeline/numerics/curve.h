/* Geometry of boundaries in a map: where a step is, the line or smooth curve through many of them, signed distance from it,
 * and how much of a pixel lies on one side.
 *
 * Positions are nm. A curve is stored as points [n][EP_CURVE_COLS] (data/signal.h): y, x, unit normal (y, x), sigma.
 */
#ifndef EP_NUMERICS_CURVE_H
#define EP_NUMERICS_CURVE_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"

/* ---- Pixels ------------------------------------------------------------------------------------------------ */

/* The part of a rectangle that lies below z, when position within it, projected, is the sum of two independent uniform
 * variables of widths wy, wx (>= 0) around 0: exact area of a pixel cut by a line. */
double ep_box_below(double wy, double wx, double z);

/* ---- A curve as a coordinate ------------------------------------------------------------------------------- */

/* Points in their mean frame: t along the mean tangent (increasing), d along the mean normal, slope dd/dt. The mean normal is
 * that of the straight line through the points (total least squares), on the side of their normals. */
struct ep_curve {
    size_t n;
    double cy, cx;             /* middle of the points, nm */
    double ny, nx, ty, tx;     /* mean normal and tangent */
    double *t, *d, *slope, *sigma;   /* [n]; sigma along the mean normal */
};
/* Needs at least two points, in order. The curve is copied. */
ep_status ep_curve_new(const double *points, size_t n, struct ep_curve **out, struct ep_err *e);
void ep_curve_free(struct ep_curve *c);
/* The points (y, x) of the curve moved by `depth` along its mean normal, in the frame of a map whose shift to that of the curve is (dy, dx):
 * what was added to its positions is taken off. False when there is no such curve. */
bool ep_curve_over(const double *points, size_t n, double depth, double dy, double dx, double *yx);
/* Signed distance of (y, x) from the curve along its mean normal, positive on the side of the normals. */
struct ep_at_curve {
    double distance, sigma;
    double gy, gx;             /* gradient of distance */
    double along;              /* t of the foot point */
    bool inside;               /* the foot point lies on the curve */
};
struct ep_at_curve ep_curve_at(const struct ep_curve *c, double y, double x);

/* ---- A step ------------------------------------------------------------------------------------------------ */

/* z = base + rise * Phi((u - p - q v) / s), Phi the normal integral; u across, v along. */
enum { EP_JUMP_BASE = 1, EP_JUMP_RISE = 2, EP_JUMP_P = 4, EP_JUMP_Q = 8, EP_JUMP_S = 16 };
struct ep_jump {
    double base, rise, p, q, s;
    double var[2];             /* of one value far on the -u side and on the +u side */
    double cov[5][5];          /* of base, rise, p, q, ln s; zero where held */
    double chi2;               /* per degree of freedom */
};
struct ep_jump_data { size_t n; const double *u, *v, *z, *var; };      /* var NULL: not known */
/* Variances of the two sides: means of data->var there (never the value's own: a low count must not weigh more), else from the
 * residuals. */
void ep_jump_noise(const struct ep_jump_data *d, struct ep_jump *s);
/* Weighted least squares (Levenberg-Marquardt) over the parameters in `free`, from the values in *s; values beyond 5 sigma
 * weigh less (Huber). s stays within [smin, smax]. False if it does not converge or the data do not determine the fit. */
bool ep_jump_fit(const struct ep_jump_data *d, unsigned free, double smin, double smax, struct ep_jump *s);

/* ---- Through many steps ------------------------------------------------------------------------------------ */

/* y = a + b x by iterated weights (Tukey's biweight) from a median start (Theil-Sen). cov: aa, ab, bb; more than the y's own
 * variances say when they scatter more. weight[i] <- 0 to 1. One point: b = 0, and its variance is unlimited. False without points. */
struct ep_line { double a, b, cov[3], excess; };    /* excess: scatter over what var says, >= 1, squared */
bool ep_robust_line(size_t n, const double *x, const double *y, const double *var, double *weight, struct ep_line *out);

/* A curve through y at equidistant places (spacing h), var[i] = INFINITY where nothing is known: minimises
 * sum (y - c)^2/var + lambda sum (second difference)^2, without places that disagree with their neighbours. Waves of length
 * `stiffness` come out with half their amplitude; NAN: by generalised cross-validation. out[n], out_var[n], weight[n] (1 in use, 0 not).
 * *used: the stiffness. */
ep_status ep_smooth_curve(size_t n, double h, const double *y, const double *var, double stiffness, double *out, double *out_var,
                          double *weight, double *used, struct ep_err *e);
#endif
