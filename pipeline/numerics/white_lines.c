#include "pipeline/numerics/white_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/linalg.h"

#define PI 3.14159265358979323846
#define LN2 0.69314718055994531
#define DECAY 3.0          /* of the continuum, (E/E0)^-3: dipole sections of 3d metals fall so within 100 eV */

/* What is usual, how far it goes, and where it ends. */
static const struct usual { double usual, spread, lo, hi, step; } usual[EP_WL_SHAPE] = {
    [EP_WL_POSITION] = { 0, 0, 0, 0, 0.01 },             /* free within the search */
    [EP_WL_SEPARATION] = { 0, 1, -3, 3, 0.01 },
    [EP_WL_WIDTH3] = { 0.9, 1, -1.2, 2.2, 0.002 },       /* ln(2.5 eV); 0.3 to 9 eV */
    [EP_WL_WIDTH2] = { 1.0, 1, -1.2, 2.2, 0.002 },
    [EP_WL_SKEW] = { 0, 0.3, -0.8, 0.8, 0.002 },
    [EP_WL_LEFT] = { 0.5, 0.5, 0, 1, 0.002 },
    [EP_WL_RIGHT] = { 0.5, 0.5, 0, 1, 0.002 },
    [EP_WL_BROADER] = { 0.25, 0.25, 0, 2, 0.002 },       /* eV: Coster-Kronig decay shortens the life of the L2 hole */
}, usual_obstacle[EP_WL_PER_OBSTACLE] = {
    [EP_WL_OBSTACLE_SHIFT] = { 0, 1.5, -3.75, 3.75, 0.002 },
    [EP_WL_OBSTACLE_WIDTH] = { 0.6, 0.5, -0.7, 2, 0.002 },
};

static struct usual usual_of(const struct ep_wl *w, size_t k)
{
    if (k >= EP_WL_SHAPE) return usual_obstacle[(k - EP_WL_SHAPE) % EP_WL_PER_OBSTACLE];
    struct usual u = usual[k];
    if (k == EP_WL_POSITION) u.lo = -w->search, u.hi = w->search;
    if (k == EP_WL_BROADER && w->hold_broader) u.usual = u.lo = u.hi = w->broader;
    return u;
}

void ep_wl_start(const struct ep_wl *w, double *shape)
{
    for (size_t k = 0; k < ep_wl_nshape(w); k++) shape[k] = usual_of(w, k).usual;
}

/* ---- columns ---------------------------------------------------------------------------------------------------- */

/* Half widths and Lorentzian shares on both sides, and the height that makes the area 1. */
struct peak { double at, half[2], share[2], height; };

static struct peak peak_of(double at, double width, double skew, double left, double right)
{
    struct peak p = { at, { 0.5 * width * (1 - skew), 0.5 * width * (1 + skew) }, { left, right }, 0 };
    double gauss = 0.5 * sqrt(PI / LN2), lorentz = 0.5 * PI, area = 0;
    for (int s = 0; s < 2; s++) area += p.half[s] * (p.share[s] * lorentz + (1 - p.share[s]) * gauss);
    p.height = 1 / area;
    return p;
}

static double peak_at(const struct peak *p, double e)
{
    int s = e > p->at;
    double u = (e - p->at) / p->half[s];
    return p->height * (p->share[s] / (1 + u * u) + (1 - p->share[s]) * exp(-LN2 * u * u));
}

/* Mean over the channel: Simpson's rule on two halves. */
static void put_peak(const struct peak *p, double first, double scale, size_t n, double *x)
{
    double h = fabs(scale);
    for (size_t i = 0; i < n; i++) {
        double e = first + (double)i * scale;
        x[i] = h * (peak_at(p, e - h / 2) + 4 * peak_at(p, e - h / 4) + 2 * peak_at(p, e) + 4 * peak_at(p, e + h / 4) + peak_at(p, e + h / 2)) / 12;
    }
}

static double step_at(double e, double at, double width)
{
    return 0.5 + atan((e - at) / (0.5 * width)) / PI;
}

/* Lorentzian share of a Gaussian made broader by a Lorentzian, whose width is `ratio` of what comes out (P. Thompson, D. E. Cox,
 * J. B. Hastings, J. Appl. Cryst. 20 (1987) 79). */
static double lorentzian_share(double ratio)
{
    double r = fmin(ratio, 1);
    return r * (1.36603 + r * (-0.47719 + r * 0.11116));
}

static void single_losses(const struct ep_wl *w, const double *shape, double first, double scale, size_t n, double *x)
{
    double p3 = w->l3 + shape[EP_WL_POSITION], p2 = w->l2 + shape[EP_WL_POSITION] + shape[EP_WL_SEPARATION];
    double w3 = exp(shape[EP_WL_WIDTH3]), w2 = exp(shape[EP_WL_WIDTH2]);
    double left = shape[EP_WL_LEFT], right = shape[EP_WL_RIGHT], more = lorentzian_share(shape[EP_WL_BROADER] / w2);
    struct peak l3 = peak_of(p3, w3, shape[EP_WL_SKEW], left, right);
    struct peak l2 = peak_of(p2, w2, shape[EP_WL_SKEW], left + (1 - left) * more, right + (1 - right) * more);
    put_peak(&l3, first, scale, n, x + EP_WL_A3 * n);
    put_peak(&l2, first, scale, n, x + EP_WL_A2 * n);
    for (size_t i = 0; i < n; i++) {
        double e = first + (double)i * scale, s = 2 * step_at(e, p3 + w->step_offset, w3) + step_at(e, p2 + w->step_offset, w2);
        x[EP_WL_CONTINUUM * n + i] = s / 3 * pow(fmax(e, 1) / p2, -w->decay);
        x[EP_WL_REST * n + i] = pow(fmax(e, 1) / p3, -DECAY);
    }
    for (size_t k = 0; k < w->nobstacle; k++) {
        const struct ep_wl_obstacle *o = &w->obstacle[k];
        const double *own = shape + EP_WL_SHAPE + EP_WL_PER_OBSTACLE * k;
        double shift = shape[EP_WL_POSITION] + own[EP_WL_OBSTACLE_SHIFT], width = exp(own[EP_WL_OBSTACLE_WIDTH]);
        double *to = x + (EP_WL_LINES + 3 * k) * n, onset = o->edge.tabulated + shift;
        struct peak m5 = peak_of(o->m5 + shift, width, 0, 1, 1), m4 = peak_of(o->m4 + shift, width, 0, 1, 1);
        double scale_to = ep_eels_edge_dsigma(&o->edge, onset, onset + 50, &o->optics);
        put_peak(&m5, first, scale, n, to);
        put_peak(&m4, first, scale, n, to + n);
        for (size_t i = 0; i < n; i++)
            to[2 * n + i] = ep_eels_edge_dsigma(&o->edge, onset, first + (double)i * scale, &o->optics) / scale_to;
    }
}

/* Column k of n + pad channels in `from`; those that lose more appear as many channels up the energy. */
static void with_plural(const struct ep_wl *w, bool upwards, size_t n, size_t pad, const double *from, double *x)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = upwards ? i + pad : i;
        double s = from[at];
        for (size_t j = 1; j <= pad; j++) s += w->plural[j] * from[upwards ? at - j : at + j];
        x[i] = s;
    }
}

void ep_wl_columns(const struct ep_wl *w, const double *shape, double first, double scale, size_t n, double *x)
{
    if (w->nplural < 2) {
        single_losses(w, shape, first, scale, n, x);
        return;
    }
    size_t pad = w->nplural - 1, m = n + pad, nc = ep_wl_ncolumns(w);
    double *room = ep_xcalloc(nc * m, sizeof *room);
    single_losses(w, shape, scale > 0 ? first - (double)pad * scale : first, scale, m, room);
    for (size_t k = 0; k < nc; k++)
        if (k != EP_WL_REST) with_plural(w, scale > 0, n, pad, room + k * m, x + k * n);
        else memcpy(x + k * n, room + k * m + (scale > 0 ? pad : 0), n * sizeof *x);
    free(room);
}

bool ep_wl_plural(const double *low, size_t m, double first, double scale, double step, double least, size_t n, double *plural)
{
    const double search[2] = { 1, 6 };     /* eV behind the peak: where its flank meets the losses */
    size_t peak = m;
    for (size_t i = 0; i < m; i++)
        if (isfinite(low[i]) && (peak == m || low[i] > low[peak])) peak = i;
    memset(plural, 0, n * sizeof *plural);
    if (peak == m || !(low[peak] > 0)) return false;
    double moment = 0, core = 0;
    for (size_t i = 0; i < m; i++)
        if (isfinite(low[i]) && low[i] > 0.5 * low[peak]) moment += low[i] * (double)i, core += low[i];
    double zero = first + moment / core * scale, ends = search[0], lowest = INFINITY, none = 0, reach = 0;
    for (size_t i = 0; i < m; i++) {
        double lost = first + (double)i * scale - zero;
        if (lost >= search[0] && lost <= search[1] && low[i] < lowest) lowest = low[i], ends = lost;
        if (isfinite(low[i])) reach = fmax(reach, lost);
    }
    if (reach < least || !(lowest < 0.3 * low[peak])) return false;
    for (size_t i = 0; i < m; i++) {
        double lost = first + (double)i * scale - zero, at = lost / step;
        if (!isfinite(low[i])) continue;
        if (lost <= ends) none += low[i];
        else if (at + 1 < (double)n) {
            size_t k = (size_t)at;
            plural[k] += low[i] * ((double)k + 1 - at);
            plural[k + 1] += low[i] * (at - (double)k);
        }
    }
    for (size_t k = 0; k < n; k++) plural[k] /= none;
    return none > 0;
}

/* ---- amplitudes ------------------------------------------------------------------------------------------------- */

ep_status ep_wl_solver(size_t nc, size_t n, const double *x, const double *v, double *l, struct ep_err *e)
{
    double normal[EP_WL_MAX_COLUMNS * EP_WL_MAX_COLUMNS];
    for (size_t a = 0; a < nc; a++)
        for (size_t b = 0; b <= a; b++) {
            double s = 0;
            for (size_t i = 0; i < n; i++) s += x[a * n + i] * x[b * n + i] / v[i];
            normal[a * nc + b] = normal[b * nc + a] = s;
        }
    for (size_t a = 0; a < nc * n; a++) l[a] = x[a] / v[a % n];
    return ep_solve_spd(nc, normal, n, l, e);
}

/* ---- shape ------------------------------------------------------------------------------------------------------ */

struct problem {
    const struct ep_wl *w;
    double first, scale;
    size_t n, nshape, nc;
    const double *y, *v;
    double *x, *l;             /* [nc][n] */
};

/* Residuals in sigma [n + nshape], priors behind the data; amplitudes by the way. Infinite if they can't be found. */
static double residuals(struct problem *p, const double *shape, double *c, double *res)
{
    struct ep_err ignored = { 0 };
    double sum = 0;
    ep_wl_columns(p->w, shape, p->first, p->scale, p->n, p->x);
    if (ep_wl_solver(p->nc, p->n, p->x, p->v, p->l, &ignored)) return INFINITY;
    for (size_t k = 0; k < p->nc; k++) {
        c[k] = 0;
        for (size_t i = 0; i < p->n; i++) c[k] += p->l[k * p->n + i] * p->y[i];
    }
    for (size_t i = 0; i < p->n; i++) {
        double r = p->y[i];
        for (size_t k = 0; k < p->nc; k++) r -= c[k] * p->x[k * p->n + i];
        res[i] = r / sqrt(p->v[i]);
        sum += res[i] * res[i];
    }
    for (size_t k = 0; k < p->nshape; k++) {
        struct usual u = usual_of(p->w, k);
        res[p->n + k] = u.spread > 0 ? (shape[k] - u.usual) / u.spread : 0;
        sum += res[p->n + k] * res[p->n + k];
    }
    return sum;
}

static bool upright(const double *c)
{
    return c[EP_WL_A3] > 0 && c[EP_WL_A2] > 0;
}

/* From the normal matrix (destroyed): errors of the shape, and what they do to the amplitudes, whose derivatives dc are. */
static void shape_errors(size_t d, double *normal, const bool *held, const double dc[][EP_WL_MEASURED], struct ep_wl_fit *f)
{
    struct ep_err ignored = { 0 };
    for (size_t k = 0; k < d; k++) normal[k * d + k] = held[k] ? 1 : normal[k * d + k] + 1e-12;
    if (ep_invert_spd(d, normal, &ignored)) return;
    for (size_t k = 0; k < d; k++) f->sigma[k] = held[k] ? 0 : sqrt(normal[k * d + k]);
    for (size_t i = 0; i < EP_WL_MEASURED; i++)
        for (size_t j = 0; j < EP_WL_MEASURED; j++)
            for (size_t k = 0; k < d * d; k++)
                if (!held[k / d] && !held[k % d]) f->by_shape[i][j] += dc[k / d][i] * normal[k] * dc[k % d][j];
}

/* Levenberg-Marquardt on the residuals of the projected problem; never from two lines to a line and a hole. jac: [nshape + 1][n + nshape]. */
static double descend(struct problem *p, struct ep_wl_fit *f, double *jac)
{
    size_t m = p->n + p->nshape, d = p->nshape;
    double *res = jac + d * m, lambda = 1e-3, sum = residuals(p, f->shape, f->c, res);
    double a[EP_WL_MAX_SHAPE * EP_WL_MAX_SHAPE], g[EP_WL_MAX_SHAPE], dc[EP_WL_MAX_SHAPE][EP_WL_MEASURED];
    bool lines = upright(f->c);
    for (int round = 0; round < 60 && isfinite(sum); round++) {
        double before = sum;
        bool held[EP_WL_MAX_SHAPE];
        for (size_t k = 0; k < d; k++) {
            struct ep_wl_fit q = *f;
            struct usual u = usual_of(p->w, k);
            double h = u.step, *j = jac + k * m;
            if (q.shape[k] + h > u.hi) h = -h;
            q.shape[k] += h;
            if (!isfinite(residuals(p, q.shape, q.c, j))) return sum;
            g[k] = 0;
            for (size_t i = 0; i < EP_WL_MEASURED; i++) dc[k][i] = (q.c[i] - f->c[i]) / h;
            for (size_t i = 0; i < m; i++) {
                j[i] = (j[i] - res[i]) / h;
                g[k] -= j[i] * res[i];
            }
            held[k] = u.lo == u.hi || (f->shape[k] <= u.lo && g[k] < 0) || (f->shape[k] >= u.hi && g[k] > 0);
        }
        double normal[EP_WL_MAX_SHAPE * EP_WL_MAX_SHAPE], x[EP_WL_MAX_SHAPE];
        for (size_t i = 0; i < d; i++)
            for (size_t k = 0; k < d; k++) {
                normal[i * d + k] = 0;
                for (size_t q = 0; q < m && !held[i] && !held[k]; q++) normal[i * d + k] += jac[i * m + q] * jac[k * m + q];
            }
        bool better = false;
        for (int tries = 0; tries < 12 && !better; tries++) {
            struct ep_err ignored = { 0 };
            struct ep_wl_fit q = *f;
            memcpy(a, normal, d * d * sizeof *a);
            for (size_t k = 0; k < d; k++) {
                a[k * d + k] = held[k] ? 1 : a[k * d + k] * (1 + lambda) + 1e-12;
                x[k] = held[k] ? 0 : g[k];
            }
            if (!ep_solve_spd(d, a, 1, x, &ignored)) {
                for (size_t k = 0; k < d; k++) {
                    struct usual u = usual_of(p->w, k);
                    q.shape[k] = fmin(fmax(q.shape[k] + x[k], u.lo), u.hi);
                }
                double s = residuals(p, q.shape, q.c, jac);      /* the derivatives are in normal and g by now */
                better = s < sum && (!lines || upright(q.c));
                if (better) {
                    sum = s;
                    *f = q;
                    memcpy(res, jac, m * sizeof *res);
                }
            }
            lambda = better ? fmax(0.1 * lambda, 1e-9) : 10 * lambda;
        }
        if (!better || before - sum < 1e-6 * (1 + 1e-3 * before)) {
            shape_errors(d, normal, held, dc, f);
            break;
        }
    }
    return sum;
}

ep_status ep_wl_fit(const struct ep_wl *w, double first, double scale, size_t n, const double *y, const double *v, const double *from,
                    bool held, struct ep_wl_fit *out, struct ep_err *e)
{
    struct problem p = { w, first, scale, n, ep_wl_nshape(w), ep_wl_ncolumns(w), y, v, NULL, NULL };
    size_t m = n + p.nshape;
    if (n < p.nc + EP_WL_SHAPE) return ep_fail(e, EP_E_COMPUTE, "%zu channels are too few to fit white lines", n);
    p.x = ep_xcalloc(2 * p.nc * n, sizeof *p.x);
    p.l = p.x + p.nc * n;
    double *jac = ep_xcalloc((p.nshape + 1) * m, sizeof *jac), best = INFINITY;
    *out = (struct ep_wl_fit){ 0 };
    ep_wl_start(w, out->shape);
    if (from) memcpy(out->shape, from, p.nshape * sizeof *from);
    if (w->hold_broader) out->shape[EP_WL_BROADER] = w->broader;
    /* Where the lines are: the best of a comb of positions at which both come out positive. */
    for (double at = -w->search; !from && at <= w->search + 1e-9; at += 0.5) {
        struct ep_wl_fit q = { 0 };
        ep_wl_start(w, q.shape);
        q.shape[EP_WL_POSITION] = at;
        double sum = residuals(&p, q.shape, q.c, jac);
        if (sum < best && upright(q.c)) {
            best = sum;
            *out = q;
        }
    }
    double sum = held ? residuals(&p, out->shape, out->c, jac) : descend(&p, out, jac);
    free(jac);
    free(p.x);
    if (!isfinite(sum)) return ep_fail(e, EP_E_COMPUTE, "the fit of the white lines failed: columns can't be told apart");
    out->chi2 = sum / (double)(n - p.nc - EP_WL_SHAPE + 1);
    out->at_bound = fabs(out->shape[EP_WL_POSITION]) >= w->search - 1e-6;
    return EP_OK;
}
