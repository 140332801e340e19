/* Vector exp and log that give the same bits everywhere: for any length, position and instruction set (no fused
 * multiply-add, no library calls; build with -ffp-contract=off). Error about 1 ulp.
 */
#ifndef EP_NUMERICS_VMATH_H
#define EP_NUMERICS_VMATH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* out[i] = exp(in[i]), ln(in[i]); out may be in. */
void ep_vexp(double *out, const double *in, size_t n);
void ep_vlog(double *out, const double *in, size_t n);
/* One value, with the bits that the vector functions give. */
double ep_exp1(double x);
double ep_log1(double x);

/* ---- for kernels ---- */

/* Kernels compiled for several instruction sets, chosen when the program is loaded. The resolvers run before
 * sanitizers are ready, and clang 14 has no target_clones; EP_NO_CLONES switches it off. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && !defined(EP_NO_CLONES)
#define EP_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define EP_CLONES
#endif
#define EP_KERNEL static inline __attribute__((always_inline))
/* Wide vectors are always inlined here, so that how they would be passed does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define EP_LANES 8
typedef double ep_vd __attribute__((vector_size(8 * EP_LANES)));
typedef uint64_t ep_vu __attribute__((vector_size(8 * EP_LANES)));
typedef float ep_vf __attribute__((vector_size(4 * EP_LANES)));

EP_KERNEL ep_vd ep_load(const double *p)
{
    ep_vd v;
    memcpy(&v, p, sizeof v);
    return v;
}
EP_KERNEL ep_vd ep_loadf(const float *p)
{
    ep_vf v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, ep_vd);
}
EP_KERNEL void ep_store(double *p, const ep_vd *v)
{
    memcpy(p, v, sizeof *v);
}
/* a where the comparison of lanes holds, else b. */
#define EP_PICK(V, U, cond, a, b) ((V)(((U)(a) & (U)(cond)) | ((U)(b) & ~(U)(cond))))
/* The sum of the lanes, always in this order. */
#define EP_HSUM(s) ((((s)[0] + (s)[4]) + ((s)[2] + (s)[6])) + (((s)[1] + (s)[5]) + ((s)[3] + (s)[7])))

/* exp(x): x = k ln 2 + r, |r| <= ln 2 / 2, polynomial of degree 11 for exp(r) (relative error 2e-17), times 2^k in two
 * factors, so that subnormal results round once and overflow gives infinity. NaN stays NaN. In place; one function for each
 * width of vector, all with the same operations on a lane. */
#define EP_EXP_KERNEL(name, V, U)                                                                                     \
    EP_KERNEL void name(V *io)                                                                                        \
    {                                                                                                                 \
        const V zero = { 0 }, magic = zero + 0x1.8p52;                                                                \
        V x = *io;                                                                                                    \
        x = EP_PICK(V, U, x > 720.0, zero + 720.0, x);                                                                \
        x = EP_PICK(V, U, x < -760.0, zero - 760.0, x);                                                               \
        V t = x * 0x1.71547652b82fep+0 + magic;                                                                       \
        V k = t - magic;                                                                                              \
        V r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;                                  \
        V q = zero + 0x1.af38a9b0ec855p-26;                                                                           \
        q = q * r + 0x1.289185613a3d6p-22;                                                                            \
        q = q * r + 0x1.71de0dae63bb3p-19;                                                                            \
        q = q * r + 0x1.a019b90d2ae7ap-16;                                                                            \
        q = q * r + 0x1.a01a01a7c41d5p-13;                                                                            \
        q = q * r + 0x1.6c16c1788bd90p-10;                                                                            \
        q = q * r + 0x1.11111111109b3p-7;                                                                             \
        q = q * r + 0x1.5555555553d63p-5;                                                                             \
        q = q * r + 0x1.5555555555556p-3;                                                                             \
        q = q * r + 0x1.0000000000001p-1;                                                                             \
        V y = 1.0 + (r + (r * r) * q);                                                                                \
        U ki = (U)t - (U)magic;                                                                                       \
        U kh = (U)(k * 0.5 + magic) - (U)magic;                                                                       \
        *io = y * (V)((kh + 1023) << 52) * (V)((ki - kh + 1023) << 52);                                               \
    }

/* ln(x): x = 2^k z with z in [sqrt(1/2), sqrt 2), ln z by fdlibm's series in s = f/(2+f), f = z - 1. ln 0 = -inf, ln of a
 * negative number NaN, ln inf = inf. */
#define EP_LOG_KERNEL(name, V, U)                                                                                     \
    EP_KERNEL void name(V *io)                                                                                        \
    {                                                                                                                 \
        const V zero = { 0 };                                                                                         \
        const U nan = (U){ 0 } + UINT64_C(0x7ff8000000000000);                                                        \
        V x = *io;                                                                                                    \
        U ix = (U)EP_PICK(V, U, x < 0x1p-1022, x * 0x1p54, x);                                                        \
        V bias = EP_PICK(V, U, x < 0x1p-1022, zero + (0x1p52 + 1078), zero + (0x1p52 + 1024));                        \
        U top = ix - UINT64_C(0x3fe6a09e667f3bcd) + (UINT64_C(1024) << 52);                                           \
        V k = (V)((top >> 52) | UINT64_C(0x4330000000000000)) - bias;                                                 \
        V z = (V)(ix - ((top & UINT64_C(0xfff0000000000000)) - (UINT64_C(1024) << 52)));                              \
        V f = z - 1.0;                                                                                                \
        V s = f / (2.0 + f), s2 = s * s, h = 0.5 * f * f;                                                             \
        V p = zero + 1.479819860511658591e-01;                                                                        \
        p = p * s2 + 1.531383769920937332e-01;                                                                        \
        p = p * s2 + 1.818357216161805012e-01;                                                                        \
        p = p * s2 + 2.222219843214978396e-01;                                                                        \
        p = p * s2 + 2.857142874366239149e-01;                                                                        \
        p = p * s2 + 3.999999999940941908e-01;                                                                        \
        p = p * s2 + 6.666666666666735130e-01;                                                                        \
        p = p * s2;                                                                                                   \
        V y = k * 6.93147180369123816490e-01 - ((h - (s * (h + p) + k * 1.90821492927058770002e-10)) - f);            \
        y = EP_PICK(V, U, x == 0.0, zero - __builtin_inf(), y);                                                       \
        y = EP_PICK(V, U, x < 0.0, (V)nan, y);                                                                        \
        *io = (V)(((U)x & ((U)(x > 0x1.fffffffffffffp1023) | (U)(x != x))) |                                          \
                  ((U)y & ~((U)(x > 0x1.fffffffffffffp1023) | (U)(x != x))));                                         \
    }
EP_EXP_KERNEL(ep_exp_kernel, ep_vd, ep_vu)
EP_LOG_KERNEL(ep_log_kernel, ep_vd, ep_vu)
#endif
