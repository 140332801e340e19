#include "pipeline/numerics/fit_internal.h"

#include <math.h>
#include <string.h>

EP_KERNEL ep_vd load_counts(const float *y, size_t left)
{
    if (left >= EP_LANES) return ep_loadf(y);
    float rest[EP_LANES] = { 0 };
    memcpy(rest, y, left * sizeof *y);
    return ep_loadf(rest);
}

EP_CLONES void ep_fit_dot(const float *y, size_t n, const double *a, const double *b, double s[2])
{
    ep_vd s0 = { 0 }, s1 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i);
        s0 += v * ep_load(a + i);
        s1 += v * ep_load(b + i);
    }
    s[0] += EP_HSUM(s0);
    s[1] += EP_HSUM(s1);
}

EP_CLONES double ep_fit_sum(const float *y, size_t n)
{
    ep_vd s0 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) s0 += load_counts(y + i, n - i);
    return EP_HSUM(s0);
}

EP_CLONES void ep_fit_sum_x(const float *y, size_t n, const double *x, double s[2])
{
    ep_vd s0 = { 0 }, s1 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i);
        s0 += v;
        s1 += v * ep_load(x + i);
    }
    s[0] += EP_HSUM(s0);
    s[1] += EP_HSUM(s1);
}

EP_CLONES double ep_fit_pearson(const float *y, size_t n, const double *x, double t0, double t1)
{
    ep_vd s = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i);
        ep_vd e = t1 * ep_load(x + i) - t0;
        ep_exp_kernel(&e);
        s += (v * e - 1.0) * v;
    }
    return EP_HSUM(s);
}

EP_CLONES double ep_fit_pearson_row(const float *y, size_t n, const double *x, const double *row, double dr, double a)
{
    ep_vd s = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i), u = dr * ep_load(x + i);
        ep_vd p = u * (1.0 / 120) + 1.0 / 24;
        p = p * u + 1.0 / 6;
        p = p * u + 0.5;
        p = p * u + 1.0;
        p = p * u + 1.0;
        s += ((v * a) * (ep_load(row + i) * p) - 1.0) * v;
    }
    return EP_HSUM(s);
}

EP_CLONES double ep_fit_pearson_noise(const float *y, size_t n, const double *x, double t0, double t1, double gain, double noise)
{
    ep_vd s = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd mu = t0 - t1 * ep_load(x + i);
        ep_exp_kernel(&mu);
        ep_vd d = load_counts(y + i, n - i) - mu;
        d = d * d / (gain * mu + noise);
        if (n - i < EP_LANES)
            for (size_t k = n - i; k < EP_LANES; k++) d[k] = 0;
        s += d;
    }
    return EP_HSUM(s);
}

/* exp(-theta1 x) = row exp(u), |u| <= 1/16: the eighth term of the series is below 6e-15. */
EP_KERNEL ep_vd from_row(const double *row, const double *x, double a, double dr)
{
    ep_vd u = dr * ep_load(x), p = u * (1.0 / 5040) + 1.0 / 720;
    p = p * u + 1.0 / 120;
    p = p * u + 1.0 / 24;
    p = p * u + 1.0 / 6;
    p = p * u + 0.5;
    p = p * u + 1.0;
    p = p * u + 1.0;
    return (a * ep_load(row)) * p;
}

EP_CLONES static void subtract(const float *y, const double *row, const double *x, size_t n, double a, double dr, float *net)
{
    size_t i = 0;
    for (; n - i >= EP_LANES; i += EP_LANES) {
        ep_vf v = __builtin_convertvector(ep_loadf(y + i) - from_row(row + i, x + i, a, dr), ep_vf);
        memcpy(net + i, &v, sizeof v);
    }
    if (i == n) return;
    float rest[EP_LANES] = { 0 };
    double r[EP_LANES] = { 0 }, z[EP_LANES] = { 0 };
    memcpy(rest, y + i, (n - i) * sizeof *y);
    memcpy(r, row + i, (n - i) * sizeof *r);
    memcpy(z, x + i, (n - i) * sizeof *z);
    ep_vf v = __builtin_convertvector(ep_loadf(rest) - from_row(r, z, a, dr), ep_vf);
    memcpy(net + i, &v, (n - i) * sizeof *net);
}

void ep_rows_subtract(const struct ep_rows *t, const double *theta, size_t first, size_t n, const float *y, float *net)
{
    double k = floor((theta[1] - t->lo) / t->step + 0.5);
    subtract(y, t->row + (size_t)k * t->n + first, t->x + first, n, ep_exp1(theta[0]), -(theta[1] - (t->lo + k * t->step)), net);
}

EP_CLONES void ep_fit_moments(const double *x, size_t n, double m[3])
{
    ep_vd s1 = { 0 }, s2 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = ep_load(x + i);
        s1 += v;
        s2 += v * v;
    }
    m[0] += (double)n;
    m[1] += EP_HSUM(s1);
    m[2] += EP_HSUM(s2);
}
