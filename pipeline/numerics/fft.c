#include "pipeline/numerics/fft.h"

#include <fftw3.h>
#include <pthread.h>
#include <stdlib.h>

#include "pipeline/numerics/library.h"

/* ---- FFTW's functions by name, as in blas_load.c ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;     /* FFTW's planner is not thread-safe, its execution is */
static void *library;

static void load(void)
{
    library = ep_library_load("libfftw3.so.3", "libfftw3-double3");
}

static void *find(const char *name)
{
    pthread_once(&once, load);
    return ep_library_find(library, "FFTW", name);
}

#define POINTER(name) ((__typeof__(&name))find(#name))

/* ---- transforms ---- */

struct ep_fft {
    size_t n;
    fftw_plan forward, inverse;
    __typeof__(&fftw_execute_dft_r2c) run_forward;
    __typeof__(&fftw_execute_dft_c2r) run_inverse;
};

size_t ep_fft_size(size_t n)
{
    for (size_t m = n + n % 2;; m += 2) {
        size_t k = m;
        while (k % 2 == 0) k /= 2;
        while (k % 3 == 0) k /= 3;
        while (k % 5 == 0) k /= 5;
        if (k == 1) return m;
    }
}

ep_status ep_fft_new(size_t n, struct ep_fft **out, struct ep_err *e)
{
    *out = NULL;
    struct ep_fft *f = calloc(1, sizeof *f);
    double *in = aligned_alloc(EP_FFT_ALIGN, (n * sizeof *in + EP_FFT_ALIGN - 1) / EP_FFT_ALIGN * EP_FFT_ALIGN);
    size_t bytes = (n / 2 + 1) * sizeof(fftw_complex);
    fftw_complex *c = aligned_alloc(EP_FFT_ALIGN, (bytes + EP_FFT_ALIGN - 1) / EP_FFT_ALIGN * EP_FFT_ALIGN);
    if (f && in && c) {
        pthread_mutex_lock(&planner);
        f->forward = POINTER(fftw_plan_dft_r2c_1d)((int)n, in, c, FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
        f->inverse = POINTER(fftw_plan_dft_c2r_1d)((int)n, c, in, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
        pthread_mutex_unlock(&planner);
        f->n = n;
        f->run_forward = POINTER(fftw_execute_dft_r2c);
        f->run_inverse = POINTER(fftw_execute_dft_c2r);
    }
    free(in);
    free(c);
    if (f && f->forward && f->inverse) {
        *out = f;
        return EP_OK;
    }
    ep_fft_free(f);
    return ep_fail(e, EP_E_COMPUTE, "no plan for a Fourier transform of %zu values", n);
}

void ep_fft_free(struct ep_fft *f)
{
    if (!f) return;
    pthread_mutex_lock(&planner);
    if (f->forward) POINTER(fftw_destroy_plan)(f->forward);
    if (f->inverse) POINTER(fftw_destroy_plan)(f->inverse);
    pthread_mutex_unlock(&planner);
    free(f);
}

void ep_fft_forward(const struct ep_fft *f, double *in, struct ep_complex *out)
{
    f->run_forward(f->forward, in, (fftw_complex *)(void *)out);
}

void ep_fft_inverse(const struct ep_fft *f, struct ep_complex *in, double *out)
{
    f->run_inverse(f->inverse, (fftw_complex *)(void *)in, out);
    double by = 1 / (double)f->n;
    for (size_t i = 0; i < f->n; i++) out[i] *= by;
}
