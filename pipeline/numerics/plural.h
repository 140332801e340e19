/* Plural scattering put back. An electron that lost E in an edge may lose more on its way; per electron that does not, p[k] electrons
 * lose k channels more: the low loss with its zero-loss peak gathered in channel 0, over the counts of that peak. A single-scattering
 * spectrum s has the counts sum_i s_i p[j - i] in channel j of the measured one.
 */
#ifndef EP_NUMERICS_PLURAL_H
#define EP_NUMERICS_PLURAL_H
#include <stddef.h>

/* p[0 .. n-1], channels q times as wide as those of the low loss, from its counts low[0 .. nlow-1], whose peak has its centre at channel
 * `at` and ends at boundary `end` (fractional; channel i covers i - 1/2 to i + 1/2). Beyond the low loss p goes on from its last fifth as
 * k^-EP_PLURAL_TAIL, as the losses of free electrons fall. False when the peak holds no counts. */
#define EP_PLURAL_TAIL 3
int ep_plural_kernel(const double *low, size_t nlow, double at, double end, double q, size_t n, double *p);
/* out[k] += t p[k], 0 < k < n: what t single losses in a channel add to those above it. */
void ep_plural_add(double t, const double *p, size_t n, double *out);
/* Weights that turn s into counts of the measured spectrum in channels first .. last-1: w[i] = sum of p[j - i] over them, for the n
 * channels of s. */
void ep_plural_window(const double *p, size_t np, size_t first, size_t last, size_t n, double *w);
#endif
