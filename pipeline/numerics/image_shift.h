/* Maps as functions of position: Gaussian averages at any place, and the shift between two maps.
 *
 * Positions are nm: pixel (i, j) stands at y0 + i*hy, x0 + j*hx (hy, hx may be negative). val is NaN where there is nothing.
 */
#ifndef EP_NUMERICS_IMAGE_SHIFT_H
#define EP_NUMERICS_IMAGE_SHIFT_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"

struct ep_image { size_t ny, nx; double y0, x0, hy, hx; const double *val, *var; };   /* var: of each value, or NULL */

/* Gaussian average (standard deviation `width` nm) of im around the pixels of `grid` moved by dy, dx, over the pixels that have a
 * value. NaN where less than `inside` of the Gaussian lies within the field (near a border gradients lean), or less than 0.8 of that on
 * pixels with a value. gy, gx: its derivatives (both or neither). [grid->ny][grid->nx]. */
ep_status ep_image_sample(const struct ep_image *im, const struct ep_image *grid, double dy, double dx, double width, double inside,
                          double *val, double *gy, double *gx, struct ep_err *e);
/* Variance of one value: mean of im->var (without what is 20 times their median), else from second differences (J. Immerkaer,
 * Comput. Vis. Image Underst. 64 (1996) 300). */
double ep_image_noise(const struct ep_image *im);

/* The shift that takes positions in a to positions in b, so that a(r) = offset + scale * b(r + shift). */
struct ep_shift {
    double y, x;               /* nm; the part that nothing determines is 0 */
    double var_y, var_x, cov;  /* INFINITY where not determined */
    double ny, nx;             /* unit vector along which the shift is known best */
    double along, across;      /* components along it and at right angles (towards (nx, -ny)) */
    double var_along, var_across;
    unsigned known;            /* directions that the maps determine: 1 or 2 */
    double offset, scale, chi2;/* chi2: of the smoothed difference, 1 when only noise is left */
    size_t compared;           /* pixels of a that have a counterpart */
};
/* max_shift: nm, of the search. residual: [a->ny][a->nx], the smoothed difference a - offset - scale b; may be NULL. Fails when the maps
 * do not overlap or hold nothing that both show. */
ep_status ep_image_shift(const struct ep_image *a, const struct ep_image *b, double max_shift, struct ep_shift *out, double *residual,
                         struct ep_err *e);
#endif
