/* What the parts of the background stage share: the plan, and how a cell is computed. */
#ifndef EP_STAGES_BACKGROUND_PLAN_H
#define EP_STAGES_BACKGROUND_PLAN_H
#include "pipeline/numerics/background_fit.h"
#include "pipeline/stage.h"

/* What may come out. */
enum { NET, BACKGROUND, AMPLITUDE, EXPONENT, DECAY, AMPLITUDE_1, AMPLITUDE_2, COVARIANCE, CHI2, NSLOT };

/* Columns that are averaged in one go. */
#define TILE EP_CELL_NX
/* Sums of one pixel over the fit channels (ep_fit_sums); `use`: it may serve its neighbours. */
struct sums { double s0, s1; bool use; };

struct plan {
    struct ep_model m;
    struct ep_fit *fit;
    size_t slot[NSLOT];            /* output index, or SIZE_MAX */
    bool estimated;
    /* Scratch: the fit's, then at at_cov that of ep_channel_variances, at at_spectrum two spectra of doubles, at at_sums the
     * sums of 2 radius + 1 rows of TILE + 2 radius pixels. */
    size_t at_cov, at_spectrum, at_sums, nch;
    size_t radius, frame_rows;     /* of the averaging, 0 without; it stays within one frame of a series */
    double *kernel;                /* [2 radius + 1]: one direction */
    struct ep_model front_m;       /* with low_loss: the power law before the edge in front; front: its fit, else NULL */
    struct ep_fit *front;
    size_t at_plural, nlow;        /* scratch of ep_background_plural; channels of the low loss */
    double stretch;                /* width of the input's channels in those of the low loss */
    double *x;                     /* abscissae of all channels at shift 0 */
    struct ep_rows rows;           /* for the net of exp(theta0 - theta1 x) at shift 0 */
};

/* With low_loss, at one pixel: the background, plural losses of the edge in front included, in channels *ch, which grow to hold the windows; it
 * lies in the scratch. res: flags are added, chi2 is of this background. NULL where there is none: a fatal flag says why. */
const double *ep_background_plural(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, struct ep_range *ch,
                                   struct ep_fit_result *res);
size_t ep_background_plural_scratch(size_t nch, size_t nlow);
ep_status ep_background_apply(const struct ep_apply *a, struct ep_err *e);
#endif
