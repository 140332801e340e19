/* What the two halves of the background stage share: the plan, and how a cell is computed. */
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
    double *x;                     /* abscissae of all channels at shift 0 */
    struct ep_rows rows;           /* for the net of exp(theta0 - theta1 x) at shift 0 */
};

ep_status ep_background_apply(const struct ep_apply *a, struct ep_err *e);
#endif
