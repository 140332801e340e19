/* OpenBLAS and LAPACKE, loaded when the first matrix needs them.
 *
 * Linked in the usual way they cost every start 5 ms, and OpenBLAS's thread pool, made while the library is loaded and
 * before any of our code runs, keeps a processor spinning for tens of milliseconds: as long as a whole pass over a
 * quarter of a gigabyte takes. So the few functions in use are bound here by name, with one thread asked for first
 * (our workers are the parallelism). The headers' own declarations check each of these definitions; a function used
 * elsewhere and missing here is an error of the linker. The pointers below are what a linker's table would hold.
 */
#include <cblas.h>
#include <lapacke.h>
#include <pthread.h>
#include <stdlib.h>

#include "pipeline/numerics/library.h"
#include "pipeline/numerics/linalg.h"

struct libraries { void *blas, *lapacke; };

static struct libraries the_libraries;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load_all(void)
{
    the_libraries.blas = ep_library_load("libopenblas.so.0", "libopenblas0");
    the_libraries.lapacke = ep_library_load("liblapacke.so.3", "liblapacke");
}

static void *find(int lapacke, const char *name)
{
    pthread_once(&once, load_all);
    return ep_library_find(lapacke ? the_libraries.lapacke : the_libraries.blas, "OpenBLAS or LAPACKE", name);
}

void ep_linalg_init(void)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* read when the library is loaded; main calls this before any thread */
}

/* POINTER(LIB, NAME): the function NAME of the library (1: LAPACKE). */
#define POINTER(lib, name) ((__typeof__(&name))find(lib, #name))

char *openblas_get_config(void)
{
    return POINTER(0, openblas_get_config)();
}

lapack_int LAPACKE_dpotrf(int order, char uplo, lapack_int n, double *a, lapack_int lda)
{
    return POINTER(1, LAPACKE_dpotrf)(order, uplo, n, a, lda);
}

lapack_int LAPACKE_dpotri(int order, char uplo, lapack_int n, double *a, lapack_int lda)
{
    return POINTER(1, LAPACKE_dpotri)(order, uplo, n, a, lda);
}

void cblas_dtrsm(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_SIDE side, OPENBLAS_CONST enum CBLAS_UPLO uplo,
                 OPENBLAS_CONST enum CBLAS_TRANSPOSE trans, OPENBLAS_CONST enum CBLAS_DIAG diag, OPENBLAS_CONST blasint m,
                 OPENBLAS_CONST blasint n, OPENBLAS_CONST double alpha, OPENBLAS_CONST double *a, OPENBLAS_CONST blasint lda,
                 double *b, OPENBLAS_CONST blasint ldb)
{
    POINTER(0, cblas_dtrsm)(order, side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb);
}

void cblas_dgemm(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_TRANSPOSE ta, OPENBLAS_CONST enum CBLAS_TRANSPOSE tb,
                 OPENBLAS_CONST blasint m, OPENBLAS_CONST blasint n, OPENBLAS_CONST blasint k, OPENBLAS_CONST double alpha,
                 OPENBLAS_CONST double *a, OPENBLAS_CONST blasint lda, OPENBLAS_CONST double *b, OPENBLAS_CONST blasint ldb,
                 OPENBLAS_CONST double beta, double *c, OPENBLAS_CONST blasint ldc)
{
    POINTER(0, cblas_dgemm)(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_dsyrk(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_UPLO uplo, OPENBLAS_CONST enum CBLAS_TRANSPOSE trans,
                 OPENBLAS_CONST blasint n, OPENBLAS_CONST blasint k, OPENBLAS_CONST double alpha, OPENBLAS_CONST double *a,
                 OPENBLAS_CONST blasint lda, OPENBLAS_CONST double beta, double *c, OPENBLAS_CONST blasint ldc)
{
    POINTER(0, cblas_dsyrk)(order, uplo, trans, n, k, alpha, a, lda, beta, c, ldc);
}
