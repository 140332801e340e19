#include "pipeline/numerics/vmath.h"

/* A shorter rest is padded and goes through the same code. */
EP_CLONES void ep_vexp(double *out, const double *in, size_t n)
{
    size_t i = 0;
    for (; n - i >= EP_LANES; i += EP_LANES) {
        ep_vd v = ep_load(in + i);
        ep_exp_kernel(&v);
        ep_store(out + i, &v);
    }
    if (i < n) {
        ep_vd v = { 0 };
        memcpy(&v, in + i, (n - i) * sizeof *in);
        ep_exp_kernel(&v);
        memcpy(out + i, &v, (n - i) * sizeof *out);
    }
}

EP_CLONES void ep_vlog(double *out, const double *in, size_t n)
{
    size_t i = 0;
    for (; n - i >= EP_LANES; i += EP_LANES) {
        ep_vd v = ep_load(in + i);
        ep_log_kernel(&v);
        ep_store(out + i, &v);
    }
    if (i < n) {
        ep_vd v = { 0 };
        memcpy(&v, in + i, (n - i) * sizeof *in);
        ep_log_kernel(&v);
        memcpy(out + i, &v, (n - i) * sizeof *out);
    }
}

/* The narrowest vectors: one value is wanted. */
typedef double v2d __attribute__((vector_size(16)));
typedef uint64_t v2u __attribute__((vector_size(16)));
EP_EXP_KERNEL(exp_pair, v2d, v2u)
EP_LOG_KERNEL(log_pair, v2d, v2u)

double ep_exp1(double x)
{
    v2d v = { x, 0 };
    exp_pair(&v);
    return v[0];
}

double ep_log1(double x)
{
    v2d v = { x, 1 };
    log_pair(&v);
    return v[0];
}
