/* Fourier transforms of real data. The only place that calls FFTW, which is loaded when the first plan is made.
 *
 * Plans are made in the calling thread, one at a time, without timing (their bits do not depend on how busy the machine is);
 * they are const afterwards and serve any number of threads.
 */
#ifndef EP_NUMERICS_FFT_H
#define EP_NUMERICS_FFT_H
#include <stddef.h>
#include "pipeline/base/err.h"

#define EP_FFT_ALIGN 64                 /* arrays given to transforms begin at multiples of so many bytes */
struct ep_complex { double re, im; };
struct ep_fft;

/* The least even product of powers of 2, 3 and 5 that is at least n. */
size_t ep_fft_size(size_t n);
/* For n real values, n even. */
ep_status ep_fft_new(size_t n, struct ep_fft **f, struct ep_err *e);
void ep_fft_free(struct ep_fft *f);     /* NULL: nothing */
/* out[0 .. n/2]; in is left as it is. */
void ep_fft_forward(const struct ep_fft *f, double *in, struct ep_complex *out);
/* The inverse, with 1/n; in is destroyed. */
void ep_fft_inverse(const struct ep_fft *f, struct ep_complex *in, double *out);
#endif
