#include "pipeline/numerics/linalg.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>

const char *ep_linalg_version(void)
{
    return openblas_get_config();
}

/* A row-major symmetric matrix is its own transpose: its upper triangle is LAPACK's (column-major) lower one, so
 * that LAPACKE's row-major copies can be saved. */
static ep_status factor(size_t n, double *a, struct ep_err *e)
{
    if (n > INT_MAX / 2)
        return ep_fail(e, EP_E_COMPUTE, "a matrix of %zu x %zu is too large to factor", n, n);
    lapack_int info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)n);
    if (info > 0)
        return ep_fail(e, EP_E_COMPUTE, "a matrix of %zu x %zu is not positive definite (dpotrf: info %d): its columns "
                       "depend on each other or hold no weight", n, n, (int)info);
    if (info < 0)
        return ep_fail(e, EP_E_COMPUTE, "a matrix of %zu x %zu can't be factored (dpotrf: info %d)%s", n, n, (int)info,
                       info == -4 ? ": it holds a NaN" : "");
    return EP_OK;
}

ep_status ep_solve_spd(size_t n, double *a, size_t nrhs, double *b, struct ep_err *e)
{
    if (n == 0 || nrhs == 0) return EP_OK;
    if (nrhs > INT_MAX / 2)
        return ep_fail(e, EP_E_COMPUTE, "%zu right-hand sides are too many", nrhs);
    ep_status s = factor(n, a, e);
    if (s != EP_OK) return s;
    /* a = L L' in LAPACK's view, that is U' U row-major: solve U' U x = b for row-major b by two triangular solves. */
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit, (int)n, (int)nrhs, 1.0, a, (int)n, b,
                (int)nrhs);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, (int)n, (int)nrhs, 1.0, a, (int)n, b,
                (int)nrhs);
    return EP_OK;
}

ep_status ep_invert_spd(size_t n, double *a, struct ep_err *e)
{
    if (n == 0) return EP_OK;
    ep_status s = factor(n, a, e);
    if (s != EP_OK) return s;
    lapack_int info = LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)n);
    if (info != 0)
        return ep_fail(e, EP_E_COMPUTE, "a matrix of %zu x %zu can't be inverted (dpotri: info %d)", n, n, (int)info);
    for (size_t i = 0; i < n; i++)          /* row-major: the upper triangle holds the inverse */
        for (size_t k = 0; k < i; k++) a[i * n + k] = a[k * n + i];
    return EP_OK;
}

void ep_matmul(size_t m, size_t n, size_t k, const double *a, const double *b, double *c)
{
    if (m == 0 || n == 0) return;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1.0, a, (int)k, b, (int)n, 0.0, c, (int)n);
}

void ep_gram(size_t n, size_t k, const double *a, double *c)
{
    if (n == 0) return;
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)n, (int)k, 1.0, a, (int)k, 0.0, c, (int)n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) c[i * n + j] = c[j * n + i];
}
