/* The only place that calls LAPACKE and CBLAS. Row-major. A nonzero info goes into the message. */
#ifndef EP_NUMERICS_LINALG_H
#define EP_NUMERICS_LINALG_H
#include <stddef.h>
#include "pipeline/base/err.h"
/* Call once at start: OpenBLAS runs one thread; our workers are the parallelism. */
void ep_linalg_init(void);
/* The library really in use, e.g. "OpenBLAS 0.3.21 ...". Static text. */
const char *ep_linalg_version(void);
/* Solves a x = b for symmetric positive definite a (n x n, destroyed); b (n x nrhs) becomes x. */
ep_status ep_solve_spd(size_t n, double *a, size_t nrhs, double *b, struct ep_err *e);
/* Inverse of a symmetric positive definite matrix in place (both triangles filled). */
ep_status ep_invert_spd(size_t n, double *a, struct ep_err *e);
/* c = a b: a is m x k, b k x n. The last bits of a row of c depend on m: for results that must not depend on how data are cut,
 * always pass the same m and put the same row of data at the same place (zeros elsewhere). */
void ep_matmul(size_t m, size_t n, size_t k, const double *a, const double *b, double *c);
/* c = a a' (n x n, both triangles), a being n x k. */
void ep_gram(size_t n, size_t k, const double *a, double *c);
#endif
