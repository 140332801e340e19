/* Pixels by their distance from a boundary, or along a drawn line, and the bins of distance that they are divided between. */
#ifndef EP_STAGES_DISTANCE_H
#define EP_STAGES_DISTANCE_H
#include "pipeline/numerics/curve.h"
#include "stages/space.h"

/* ---- distance ----------------------------------------------------------------------------------------------- */

struct ep_ruler {
    struct ep_image g;                 /* the pixels */
    struct ep_curve *curve;            /* owned by whoever made it; NULL: the drawn line */
    double from[2], dir[2], half;      /* of the line: nm, unit vector, half the width */
    double dy, dx;                     /* what takes positions of the pixels to those of the curve */
    double var_shift;                  /* of that shift, along the mean normal of the curve */
    bool registered;
};
struct ep_at_curve ep_ruler_at(const struct ep_ruler *r, size_t i, size_t j);

/* What a register step found. y and x are 0 along a direction that it could not determine (unit vector open_y, open_x). */
struct ep_registered { double y, x, along, across, angle, sigma_along, sigma_across; bool open; double open_y, open_x; };
ep_status ep_registered_of(const struct ep_signal *table, struct ep_registered *out, struct ep_err *e);
/* Places the ruler's pixels by the table of a register step. A direction that is not determined must lie along the curve, to within six
 * degrees. */
ep_status ep_ruler_register(struct ep_ruler *r, const struct ep_signal *table, struct ep_err *e);

/* ---- bins --------------------------------------------------------------------------------------------------- */

/* Bin k, from k0 on, reaches from k*bin to (k+1)*bin. Bins that are up to nband apart may share a pixel. */
struct ep_bins { double bin; long k0; size_t n, nband; bool quotient; size_t stride; };
/* nband and stride for pixels of this grid: a pixel reaches over 2 hypot(hy, hx) at most, when the boundary is up to 60 degrees off its
 * mean direction. */
void ep_bins_size(struct ep_bins *b, const struct ep_image *g);

/* Of one bin: sums over the parts of pixels. COV: nband + 1 covariances of the input, then of the divisor, then between the two. */
enum { EP_BIN_ALL, EP_BIN_AREA, EP_BIN_NUM, EP_BIN_DEN, EP_BIN_FLAG, EP_BIN_SHARED, EP_BIN_COV };

struct ep_sample { double z, var, t, var_t, cov, shared; uint32_t flag; bool counts; };
/* Maps of the same pixels that go with the input; any may be NULL. */
struct ep_beside { const struct ep_signal *mask, *by, *cov; double inflation, inflation_by; const struct ep_signal *shared; };

/* Values that are no averages of what is there: a bound, a saturated channel, a quotient that was cut. */
#define EP_NO_VALUE (EP_FLAGS_FATAL | EP_FLAG_AT_BOUND | EP_FLAG_SATURATED | EP_FLAG_LOW_DENOMINATOR)

struct ep_sample ep_sample_of(const struct ep_beside *b, double z, double sigma, uint32_t flag, size_t i);
/* Divides a pixel at this place between its bins and adds it to acc[n][stride]. */
void ep_bins_add(const struct ep_bins *b, double *acc, const struct ep_ruler *r, const struct ep_at_curve *at, const struct ep_sample *s);
/* Value of a bin: the mean, with sum the sum; NaN without area. Covariance of bins k and k + m of acc, m up to nband. */
double ep_bins_value(const struct ep_bins *b, const double *acc, size_t k, bool sum);
double ep_bins_covariance(const struct ep_bins *b, const double *acc, size_t k, size_t m, bool sum);
#endif
