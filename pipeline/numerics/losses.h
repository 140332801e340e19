/* Plural scattering, taken off by Fourier-log without a Fourier transform.
 *
 * With the zero-loss peak gathered at loss 0, a spectrum per zero-loss electron is the exponential of single scattering under
 * convolution: P = exp*(S). Losses only add, so that channel n of S = log*(P) needs the channels below it alone,
 *     n P_n = sum_{k=1..n} k S_k P_{n-k},
 * which is the Fourier-log method without tapers or a tail beyond the range. What plural scattering adds is P - S. Widths: S and
 * P keep the zero-loss peak's width once, as measured spectra do.
 * The low loss gives P as far as it reaches; beyond, the core loss does, scaled to it where the two overlap.
 */
#ifndef EP_NUMERICS_LOSSES_H
#define EP_NUMERICS_LOSSES_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"

/* Counts on an axis: channel i is the bin of width step around first + i*step (eV). */
struct ep_counts { const double *y; size_t n; double first, step; };

struct ep_losses {
    size_t n; double step;        /* losses k*step, k < n */
    double *p, *s, *plural;       /* per zero-loss electron: measured, single, their difference (0 at k = 0) */
    double *inverse;              /* P's inverse under convolution */
    double *z; size_t zh;         /* the zero-loss peak, 2 zh + 1 channels of area 1 */
    double zlp, end;              /* where the peak stands on its axis, and ends, eV */
    double i0, t_over_lambda;     /* counts of the peak; ln of all losses seen over it */
    double scale, scale_sigma;    /* counts of the core loss per unit of p, from the overlap, and the low loss's part of its error */
    size_t over0, over1;          /* the overlap: channels of p, [over0, over1) */
    double over_sum;              /* sum of p over it */
};
/* On channels of the core loss; to: eV, the highest loss wanted. A core loss of no channels: p alone, as far as the low loss reaches, to put
 * plural scattering on edges that lie beyond it; s, plural and scale are 0. Fails when there is no zero-loss
 * peak, it stands far from zero, or the spectra do not overlap by 5 eV. */
ep_status ep_losses_new(const struct ep_counts *low, const struct ep_counts *core, double to, struct ep_losses **out, struct ep_err *e);
void ep_losses_free(struct ep_losses *p);
/* p->plural at a loss, between channels linearly; 0 beyond. */
double ep_losses_at(const struct ep_losses *p, double ev);
/* out = single scattering v with plural scattering put back: v convolved with p; both [n] on channels of p->step. */
void ep_losses_put_back(const struct ep_losses *p, size_t n, const double *v, double *out);
/* out = v [n + 2 zh] convolved with the zero-loss peak, [n]. */
void ep_losses_broaden(const struct ep_losses *p, size_t n, const double *v, double *out);
/* How a functional sum_i a_i (scale plural)(e_i), i < n, follows each channel of the low loss: h [p->n], h[0] for the counts of
 * the peak. Its variance from the low loss's noise is sum_k h_k^2 var_k. The overlap's error is in it; the core loss's part of that is
 * sum_i a_i plural_i / over_sum per count of the core loss in the overlap. */
void ep_losses_response(const struct ep_losses *p, size_t n, const double *e, const double *a, double *h);
#endif
