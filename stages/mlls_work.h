/* What the fit of the sum hands to the pixels: mlls_prepare.c makes it, mlls_apply.c reads it. */
#ifndef EP_STAGES_MLLS_WORK_H
#define EP_STAGES_MLLS_WORK_H
#include "pipeline/numerics/eds_fit.h"
#include "stages/mlls_plan.h"

struct ep_mlls_work {
    const struct ep_mlls_params *par;
    size_t ncol, nch;
    struct ep_range ch;            /* fitted channels of an axis that is not shifted */
    double channel;
    struct ep_eds_solver *s;       /* of an image */
    const struct ep_signal *const *look;
    double *counts, *sigma, *cov, *systematic, *scale;     /* [ncol] of the sum; [ncol][ncol] */
    double thick;                  /* counts of the zero-loss peak on the core loss's scale times t/lambda, as the first column grows with it */
    bool *apart;
    double n, total;               /* pixels in the sum; its counts in the range */
    double reference, reference_sigma;
    size_t per;                    /* column; 0: thickness */
    uint32_t flag;
    double chi2;
    double *t;                     /* [ncol][ns + 1] variance terms */
    double *cov_t;                 /* [ns + 1] of the covariance of numerator and denominator */
    double *typical;               /* [ncol] variance of the mean pixel's amplitudes; a pixel has at least LEAST of it, at its own total */
};
#endif
