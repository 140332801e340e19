/* What ratio and edge_ratio share: two windows of one spectrum, their sums with covariance, and the quotient. */
#ifndef EP_STAGES_QUOTIENT_H
#define EP_STAGES_QUOTIENT_H
#include "stages/pixels.h"

/* Outputs, in this order. */
enum { EP_QUOTIENT_RATIO, EP_QUOTIENT_NUMERATOR, EP_QUOTIENT_DENOMINATOR, EP_QUOTIENT_COVARIANCE, EP_QUOTIENT_OUTPUTS };

struct ep_quotient {
    const char *name, *long_name;             /* of the quotient */
    const char *above, *below;                /* the parameters that say the windows */
    double window[2][2];                      /* numerator, denominator; eV */
};
void ep_quotient_declare(struct ep_declare *d, const struct ep_quotient *q);
void ep_quotient_want(const struct ep_declare *d, const struct ep_quotient *q, struct ep_want *in);
ep_status ep_quotient_prepare(const struct ep_prepare *p, const struct ep_quotient *q, void **plan);
ep_status ep_quotient_apply(const struct ep_apply *a, struct ep_err *e);
/* n/d with covariance: the sigma by the delta method, Var R = (Var n - 2 R Cov + R^2 Var d)/d^2. */
static inline double ep_quotient_sigma(double n, double var_n, double d, double var_d, double cov)
{
    double r = n / d, var = (var_n - 2 * r * cov + r * r * var_d) / (d * d);
    return sqrt(var < 0 ? 0 : var);           /* below zero by rounding only; NaN stays */
}
#endif
