/* White lines: two peaks on a continuum of two steps, fitted to a net spectrum. Pure functions of their arguments.
 *
 *   y = A3 P(E; p3, w3) + A2 P(E; p2, w2) + C (2/3 S(E; p3, w3) + 1/3 S(E; p2, w2)) (E/p2)^-3 + R (E/p3)^-3 + obstacles
 * P has area 1: a pseudo-Voigt peak, steeper or more stretched on one side than on the other; the two lines share its form, but that L2 is as much
 * more Lorentzian as the shorter life of its hole makes it. S is an
 * arctangent of full width w at the peak (or `step_offset` from it): the continuum of L3 has twice the electrons of L2's. R takes
 * what an imperfect background left in front of the lines. An obstacle is the M5 and M4 line of another element (La M on Ni L3) and
 * their delayed continuum. With a low loss every column stands for what has lost nothing else, and its plural losses go along
 * with it. Shape parameters are learnt from a strong spectrum and then held: amplitudes are linear.
 */
#ifndef EP_NUMERICS_WHITE_LINES_H
#define EP_NUMERICS_WHITE_LINES_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"
#include "pipeline/numerics/eels_sigma.h"

#define EP_WL_OBSTACLES 3
/* Columns; three more for each obstacle: M5, M4, continuum. */
enum { EP_WL_A3, EP_WL_A2, EP_WL_CONTINUUM, EP_WL_MEASURED, EP_WL_REST = EP_WL_MEASURED, EP_WL_LINES };
enum { EP_WL_POSITION, EP_WL_SEPARATION, EP_WL_WIDTH3, EP_WL_WIDTH2, EP_WL_SKEW, EP_WL_LEFT, EP_WL_RIGHT, EP_WL_BROADER, EP_WL_SHAPE };
/* Behind these, for each obstacle its own shift (eV) and ln of its width. */
enum { EP_WL_OBSTACLE_SHIFT, EP_WL_OBSTACLE_WIDTH, EP_WL_PER_OBSTACLE };
#define EP_WL_MAX_SHAPE (EP_WL_SHAPE + EP_WL_PER_OBSTACLE * EP_WL_OBSTACLES)
#define EP_WL_DECAY 3.0          /* of the continuum, (E/E0)^-3: dipole sections of 3d metals fall so within 100 eV */
#define EP_WL_MAX_COLUMNS (EP_WL_LINES + 3 * EP_WL_OBSTACLES)

struct ep_wl_obstacle { double m5, m4; struct ep_eels_edge edge; struct ep_eels_optics optics; };   /* nominal maxima, eV */
struct ep_wl {
    double l3, l2;             /* nominal maxima, eV */
    double step_offset;        /* of the steps from the maxima, eV */
    double decay;              /* of the continuum, E^-decay: EP_WL_DECAY */
    bool hold_broader;         /* L2 is broader by `broader` eV, and not by what the fit finds */
    double broader;
    double search;             /* how far the maxima may be from their nominal places */
    size_t nobstacle;
    struct ep_wl_obstacle obstacle[EP_WL_OBSTACLES];
    size_t nplural;            /* 0: no low loss is known */
    const double *plural;      /* electrons that have lost i channels more, for each that has not; of channels as wide as the columns' */
};
/* plural[n] for channels of `step` eV from a low loss of m channels centred at first + i*scale; false when it has no zero-loss peak
 * that stands out, or does not reach `least` eV beyond it. Electrons below the minimum behind the peak count as zero-loss. */
bool ep_wl_plural(const double *low, size_t m, double first, double scale, double step, double least, size_t n, double *plural);
static inline size_t ep_wl_nshape(const struct ep_wl *w)
{
    return EP_WL_SHAPE + EP_WL_PER_OBSTACLE * w->nobstacle;
}
static inline size_t ep_wl_ncolumns(const struct ep_wl *w)
{
    return EP_WL_LINES + 3 * w->nobstacle;
}
/* Shape: shift of both maxima (eV), change of their distance (eV), ln of the two widths (full, at half maximum), skew, the
 * Lorentzian's share of the left and of the right side, and how much broader the shorter life of its hole makes L2 (eV). */
void ep_wl_start(const struct ep_wl *w, double *shape);

/* Columns on n channels of width |scale| centred at first + i*scale: x[ncolumns][n]. Lines: 1 when summed over all channels; continuum: per
 * channel 1 high at the L2 maximum. */
void ep_wl_columns(const struct ep_wl *w, const double *shape, double first, double scale, size_t n, double *x);

struct ep_wl_fit {
    double shape[EP_WL_MAX_SHAPE], sigma[EP_WL_MAX_SHAPE];
    double c[EP_WL_MAX_COLUMNS];
    double by_shape[EP_WL_MEASURED][EP_WL_MEASURED];     /* covariance of the measured amplitudes from errors of the shape */
    double chi2;               /* per degree of freedom */
    bool at_bound;             /* the position */
};
/* Fits shape and amplitudes to y[n] with variances v[n] > 0 on channels first + i*scale. Shapes that the data do not tell stay near
 * usual ones (Gaussian priors). from: NULL, or a shape to start at (no search); held: and to stay at. */
ep_status ep_wl_fit(const struct ep_wl *w, double first, double scale, size_t n, const double *y, const double *v, const double *from,
                    bool held, struct ep_wl_fit *out, struct ep_err *e);
/* l[ncolumns][n]: amplitudes c = L y by weighted least squares with columns x. */
ep_status ep_wl_solver(size_t ncolumns, size_t n, const double *x, const double *v, double *l, struct ep_err *e);
#endif
