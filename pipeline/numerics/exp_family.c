#include "pipeline/numerics/exp_family.h"

#include <math.h>
#include <stdlib.h>

#include "pipeline/numerics/vmath.h"

static const double lane[EP_LANES] = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* sum e, sum e d, sum e d^2 with e = exp(-r (x - c)), d = x - c. */
EP_CLONES static void moments(const double *x, size_t n, double r, double c, double out[3])
{
    ep_vd s0 = { 0 }, s1 = { 0 }, s2 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd d = { 0 };
        if (n - i >= EP_LANES) d = ep_load(x + i) - c;
        else memcpy(&d, x + i, (n - i) * sizeof *x), d = d - c;
        ep_vd e = -r * d;
        ep_exp_kernel(&e);
        if (n - i < EP_LANES) {
            ep_vu keep = (ep_vu)(ep_load(lane) < (double)(n - i));
            e = (ep_vd)((ep_vu)e & keep);
            d = (ep_vd)((ep_vu)d & keep);
        }
        s0 += e;
        e *= d;
        s1 += e;
        s2 += e * d;
    }
    out[0] = EP_HSUM(s0);
    out[1] = EP_HSUM(s1);
    out[2] = EP_HSUM(s2);
}

/* Moments about c, which should be near the mean: the variance is a difference of two sums. */
static struct ep_family_at family_about(const double *x, size_t n, double r, double c)
{
    double s[3];
    moments(x, n, r, c, s);
    double d = s[1] / s[0];
    return (struct ep_family_at){ r, ep_log1(s[0]) - r * c, c + d, s[2] / s[0] - d * d };
}

struct ep_family_at ep_family_direct(const double *x, size_t n, double r)
{
    struct ep_family_at a = family_about(x, n, r, n ? x[n / 2] : 0);
    return family_about(x, n, r, a.mean);
}

int ep_family_search(const double *x, size_t n, double lo, double hi, double m, double start, struct ep_family_at *at)
{
    double a = lo, b = hi, r = start < lo ? lo : start > hi ? hi : start;
    for (int it = 0; it < 100; it++) {
        *at = family_about(x, n, r, m);
        double f = at->mean - m;                 /* falls with r */
        if (f == 0) return 0;
        if (f > 0) a = r; else b = r;
        if (f < 0 && r <= lo) return -1;
        if (f > 0 && r >= hi) return 1;
        double next = at->var > 0 ? r + f / at->var : (a + b) / 2;
        if (next <= lo) next = a > lo ? (a + b) / 2 : lo;
        else if (next >= hi) next = b < hi ? (a + b) / 2 : hi;
        else if (!(next > a && next < b)) next = (a + b) / 2;
        double step = next - r;
        /* The error after this step is below spread step^2 / 2, since |third derivative of K| <= spread V. */
        if (fabs(x[n - 1] - x[0]) * step * step <= 1e-13 * (1 + fabs(r)) && next > lo && next < hi) {
            at->k += -at->mean * step + 0.5 * at->var * step * step;
            at->mean = m;
            at->r = next;
            return 0;
        }
        r = next;
    }
    return 2;
}

/* ---- tables ---- */

/* cos(pi (2k+1)/18) */
static const double node[EP_PIECE_N] = { 0.98480775301220805937, 0.86602540378443864676, 0.64278760968653932632,
                                         0.34202014332566873304, 0.0, -0.34202014332566873304, -0.64278760968653932632,
                                         -0.86602540378443864676, -0.98480775301220805937 };

/* Values at the nodes -> coefficients of powers of t in [-1, 1], by way of Chebyshev coefficients. */
static void interpolate(const double *value, double *coef)
{
    double t0[EP_PIECE_N] = { 1 }, t1[EP_PIECE_N] = { 0, 1 };      /* powers in T_j-1, T_j */
    double u0[EP_PIECE_N], u1[EP_PIECE_N];                        /* T_j-1, T_j at the nodes */
    for (int k = 0; k < EP_PIECE_N; k++) {
        u0[k] = 1;
        u1[k] = node[k];
        coef[k] = 0;
    }
    for (int j = 0; j < EP_PIECE_N; j++) {
        double c = 0;
        for (int k = 0; k < EP_PIECE_N; k++) c += value[k] * u0[k];
        c *= (j ? 2.0 : 1.0) / EP_PIECE_N;
        for (int k = 0; k < EP_PIECE_N; k++) coef[k] += c * t0[k];
        double t2[EP_PIECE_N];
        for (int k = 0; k < EP_PIECE_N; k++) t2[k] = (k ? 2 * t1[k - 1] : 0) - t0[k];
        for (int k = 0; k < EP_PIECE_N; k++) {
            double u2 = 2 * node[k] * u1[k] - u0[k];
            u0[k] = u1[k];
            u1[k] = u2;
            t0[k] = t1[k];
            t1[k] = t2[k];
        }
    }
}

static inline double horner(const double *c, double t)
{
    double s = c[EP_PIECE_N - 1];
    for (int k = EP_PIECE_N - 2; k >= 0; k--) s = s * t + c[k];
    return s;
}

/* The nearest zero of sum exp(-r x) lies at an imaginary distance of about 2 pi / spread (half of that for two separate
 * windows) from the real line; pieces of 1/4 / spread keep it 50 half-pieces away: 9 terms reach 1e-15. */
size_t ep_pieces_count(double lo, double hi, double spread)
{
    double n = ceil((hi - lo) * spread * 4);
    return n < 1 ? 1 : n > 1e9 ? (size_t)1e9 : (size_t)n;
}

void ep_pieces_fill(struct ep_pieces *t, struct ep_poly *room, double lo, double hi, size_t pieces,
                    void (*f)(const void *arg, double r, double *out), const void *arg)
{
    *t = (struct ep_pieces){ .lo = lo, .hi = hi, .step = (hi - lo) / (double)pieces, .n = pieces, .piece = room };
    for (size_t i = 0; i < pieces; i++) {
        double value[EP_PIECE_F][EP_PIECE_N], out[EP_PIECE_F];
        for (int k = 0; k < EP_PIECE_N; k++) {
            f(arg, lo + ((double)i + 0.5 + 0.5 * node[k]) * t->step, out);
            for (int q = 0; q < EP_PIECE_F; q++) value[q][k] = out[q];
        }
        for (int q = 0; q < EP_PIECE_F; q++) interpolate(value[q], room[i].c[q]);
    }
}

bool ep_pieces_new(struct ep_pieces *t, double lo, double hi, size_t pieces, void (*f)(const void *arg, double r, double *out),
                  const void *arg)
{
    struct ep_poly *room = calloc(pieces, sizeof *room);
    *t = (struct ep_pieces){ .piece = NULL };
    if (!room) return false;
    ep_pieces_fill(t, room, lo, hi, pieces, f, arg);
    return true;
}

void ep_pieces_free(struct ep_pieces *t)
{
    free(t->piece);
    t->piece = NULL;
}

/* The piece of r and the place t in it. */
static const struct ep_poly *piece_of(const struct ep_pieces *t, double r, double *at)
{
    double u = (r - t->lo) / t->step;
    size_t i = u > 0 ? (size_t)u : 0;
    if (i >= t->n) i = t->n - 1;
    *at = 2 * (u - (double)i) - 1;
    return &t->piece[i];
}

void ep_pieces_eval(const struct ep_pieces *t, double r, int n, double *out)
{
    double at;
    const struct ep_poly *p = piece_of(t, r, &at);
    for (int q = 0; q < n; q++) out[q] = horner(p->c[q], at);
}

void ep_family_functions(const void *arg, double r, double *out)
{
    const struct ep_points *p = arg;
    struct ep_family_at a = ep_family_direct(p->x, p->n, r);
    out[0] = a.k;
    out[1] = a.mean;
    out[2] = a.var;
    out[3] = 0;
}

/* From t0 by Newton's steps on the piece's own polynomials to M(t) = m. dM/dt = -V step/2. */
static double newton(const struct ep_poly *p, double half, double m, double t0, unsigned steps)
{
    for (unsigned s = 0; s < steps; s++) t0 += (horner(p->c[1], t0) - m) / (horner(p->c[2], t0) * half);
    return t0;
}

bool ep_family_table(struct ep_pieces *t, double lo, double hi, size_t pieces, const double *x, size_t n)
{
    struct ep_points arg = { x, n };
    if (!ep_pieces_new(t, lo, hi, pieces, ep_family_functions, &arg)) return false;
    double half = t->step / 2, worst = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct ep_poly *p = &t->piece[i];
        p->mean_lo = horner(p->c[1], -1);
        p->mean_hi = horner(p->c[1], 1);
        double value[EP_PIECE_N], mid = (p->mean_lo + p->mean_hi) / 2, dev = (p->mean_hi - p->mean_lo) / 2;
        for (int k = 0; k < EP_PIECE_N; k++) value[k] = newton(p, half, mid + dev * node[k], node[k], 8);
        interpolate(value, p->c[3]);
        for (int k = 0; k <= 16; k++) {                            /* how good is the inverse polynomial? */
            double s = k / 8.0 - 1, good = newton(p, half, mid + dev * s, s, 8);
            worst = fmax(worst, fabs(horner(p->c[3], s) - good));
        }
    }
    /* Newton's steps square the error (t is of order one). */
    t->newton = worst < 1e-8 ? 1 : worst < 1e-4 ? 2 : 5;
    return true;
}

static int end_of(const struct ep_pieces *t, bool upper, struct ep_family_at *at)
{
    const struct ep_poly *p = &t->piece[upper ? t->n - 1 : 0];
    double s = upper ? 1 : -1;
    *at = (struct ep_family_at){ upper ? t->hi : t->lo, horner(p->c[0], s), horner(p->c[1], s), horner(p->c[2], s) };
    return upper ? 1 : -1;
}

int ep_family_solve(const struct ep_pieces *t, double m, struct ep_family_at *at)
{
    if (m > t->piece[0].mean_lo) return end_of(t, false, at);
    if (m < t->piece[t->n - 1].mean_hi) return end_of(t, true, at);
    size_t a = 0, b = t->n;                   /* the last piece with mean_lo >= m */
    while (b - a > 1) {
        size_t i = (a + b) / 2;
        if (t->piece[i].mean_lo >= m) a = i; else b = i;
    }
    const struct ep_poly *p = &t->piece[a];
    double half = t->step / 2;
    double s = horner(p->c[3], (2 * m - p->mean_lo - p->mean_hi) / (p->mean_hi - p->mean_lo));
    s = newton(p, half, m, s, t->newton - 1);
    /* the last step's change goes into K by its derivatives */
    double k = horner(p->c[0], s), mean = horner(p->c[1], s), var = horner(p->c[2], s);
    double dr = (mean - m) / var;
    double r = t->lo + ((double)a + 0.5 + 0.5 * s) * t->step + dr;
    if (r < t->lo) r = t->lo;
    if (r > t->hi) r = t->hi;
    *at = (struct ep_family_at){ r, k - mean * dr + 0.5 * var * dr * dr, m, var };
    return 0;
}
