/* What step_weights.c (the bins), step_fit.c (one curve) and step_choose.c (which one) share. */
#ifndef EP_NUMERICS_STEP_INTERNAL_H
#define EP_NUMERICS_STEP_INTERNAL_H
#include "pipeline/numerics/step_fit.h"

/* The bins in use, in order of u, with their covariance. */
struct ep_step_problem {
    size_t n, nband;
    int direction;
    double *u, *y;
    double *cov;        /* [n][nband + 1], row i: (i, i), (i, i+1), ... as the bins' sigmas say */
    double *factor;     /* its Cholesky factor, with the variances in use */
    double *white;      /* y made independent by it */
    double *room;       /* [n][EP_STEP_PAR + 2] */
    double span, edge, probe, blur;
    bool slope_high, slope_low;
};
ep_status ep_step_problem_new(const struct ep_step_data *d, const struct ep_step_options *o, struct ep_step_problem *p, struct ep_err *e);
void ep_step_problem_free(struct ep_step_problem *p);
/* Share of the step left at u; blurred as the bins are, or by nothing. */
double ep_step_share(const struct ep_step_fit *f, double u, double blur);
/* ep_step_at() of the curve with the blur. */
double ep_step_seen(const struct ep_step_fit *f, double share);
/* Turns the problem round: u = -u. */
void ep_step_turn(struct ep_step_problem *p);
/* Variances of the curve f in place of those of each bin's own counts (f NULL: of the mean around each bin). */
ep_status ep_step_weights(struct ep_step_problem *p, const struct ep_step_fit *f, struct ep_err *e);
/* Makes errors of the covariance in use independent and of variance 1, in place. */
void ep_step_whiten(const struct ep_step_problem *p, double *b);
/* Of the step, both parts. */
double ep_step_height(const struct ep_step_fit *f);
/* The curve at u. */
double ep_step_of_u(const struct ep_step_fit *f, double u);
/* Fits the model from several starts; near: an erf to start from (NULL for the erf itself: searched on a grid). */
void ep_step_fit_model(const struct ep_step_problem *p, enum ep_step_model m, const struct ep_step_fit *near, struct ep_step_fit *out);
/* Position, width, heights with their sigmas from the fit's covariance. */
void ep_step_derive(const struct ep_step_problem *p, double threshold, struct ep_step_fit *f);
#endif
