/* The fit of one spectrum: variable projection with priors (Golub, Pereyra 1973; Levenberg, Marquardt). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/linalg.h"
#include "pipeline/numerics/mlls_internal.h"

/* No model holds to better than a part of the counts: without it, the priors of the shapes would lose all weight at high dose, and what the
 * model lacks would be made up by shapes that do not exist. What it lacks is much the same over some eV, so that narrower channels are no more
 * evidence: as a part of the counts of 1 eV, where metals' M edges are modelled, and of other fits. */
#define METALS_ERROR 1e-2
#define MODEL_ERROR 2.5e-3
#define SMOOTH 10          /* channels on each side, for the variance of a channel */
#define ITERATIONS 40

static double *doubles(size_t n)
{
    return ep_xcalloc(n ? n : 1, sizeof(double));
}

struct work {
    const struct ep_mlls *m;
    size_t nf, n, np;             /* fitted channels, linear columns, shape parameters */
    double *y, *var, *w;          /* [nf] single scattering; variance of the counts; weights */
    double *x;                    /* [n][nf] */
    double *c, *normal, *scale;   /* [n], [n][n], [n] */
    double *r;                    /* [nf + np] residuals, weighted */
};

static double energy(const struct ep_mlls *m, long i)
{
    return m->first + (double)i * m->step;
}

/* ---- columns ------------------------------------------------------------------------------------------------------- */

/* Channels [from, to) of a modelled edge, as broad as measured; from may be below the axis. */
static void edge_column(const struct ep_mlls *m, const struct ep_mlls_column *c, const double *t, long from, long to, double *out)
{
    size_t zh = m->plural ? m->plural->zh : 0, n = (size_t)(to - from);
    double *sharp = m->plural ? doubles(n + 2 * zh) : out;
    for (size_t i = 0; i < n + 2 * zh; i++) sharp[i] = ep_mlls_edge(m, c, t, energy(m, from - (long)zh + (long)i));
    if (!m->plural) return;
    ep_losses_broaden(m->plural, n, sharp, out);
    free(sharp);
}

static const double *par_of(const struct ep_mlls *m, size_t col, const double *theta)
{
    for (size_t k = 0; k < m->ntheta; k++)
        if (m->par[k].col == col) return theta + k;
    return NULL;
}

/* Channels [0, end) with plural scattering put back; a measured shape begins where it is known. */
static void whole_column(const struct ep_mlls *m, size_t k, const double *theta, size_t end, double *out)
{
    const struct ep_mlls_column *c = &m->col[k];
    long from = 0;
    if (c->nedge) {
        from = (long)floor((ep_mlls_onset(c) - 10 - m->first) / m->step);
        if (from > 0) from = 0;
    }
    size_t n = (size_t)((long)end - from);
    double *v = doubles(n);
    if (c->nedge) edge_column(m, c, par_of(m, k, theta), from, (long)end, v);
    for (size_t i = 0; !c->nedge && i < end; i++) v[i] = isfinite(c->shape[i]) ? c->shape[i] : 0;
    if (m->plural && (c->nedge || !m->convolve)) ep_losses_put_back(m->plural, n, v, v);
    memcpy(out, v + (size_t)-from, end * sizeof *out);
    free(v);
}

static void column(const struct work *w, size_t k, const double *theta, double *out)
{
    const struct ep_mlls *m = w->m;
    const struct ep_mlls_column *c = &m->col[k];
    if (c->nedge && m->plural && m->convolve) {
        double *whole = doubles(m->fit.end);
        whole_column(m, k, theta, m->fit.end, whole);
        memcpy(out, whole + m->fit.first, w->nf * sizeof *out);
        free(whole);
    } else if (c->nedge) edge_column(m, c, par_of(m, k, theta), (long)m->fit.first, (long)m->fit.end, out);
    else memcpy(out, c->shape + m->fit.first, w->nf * sizeof *out);
}

/* ---- the linear part ----------------------------------------------------------------------------------------------- */

static ep_status solve(struct work *w, struct ep_err *e)
{
    size_t n = w->n, nf = w->nf;
    double *xw = doubles(n * nf), *a = doubles(n * n);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < nf; i++) xw[k * nf + i] = w->x[k * nf + i] * sqrt(w->w[i]);
    ep_gram(n, nf, xw, w->normal);
    ep_status st = EP_OK;
    for (size_t k = 0; k < n; k++) {
        if (!(w->normal[k * n + k] > 0)) st = ep_fail(e, EP_E_COMPUTE, "column %zu has no counts within the range", k + 1);
        w->scale[k] = 1 / sqrt(w->normal[k * n + k]);
    }
    for (size_t k = 0; k < n; k++) {
        double b = 0;
        for (size_t i = 0; i < nf; i++) b += xw[k * nf + i] * w->y[i] * sqrt(w->w[i]);
        w->c[k] = b * w->scale[k];
        for (size_t j = 0; j < n; j++) a[k * n + j] = w->normal[k * n + j] * w->scale[k] * w->scale[j] + (j == k ? 1e-12 : 0);
    }
    if (!st) st = ep_solve_spd(n, a, 1, w->c, e);
    for (size_t k = 0; k < n; k++) w->c[k] *= w->scale[k];
    free(xw);
    free(a);
    return st;
}

static double residuals(struct work *w, const double *theta, double *r)
{
    double sum = 0;
    for (size_t i = 0; i < w->nf; i++) {
        double v = w->y[i];
        for (size_t k = 0; k < w->n; k++) v -= w->c[k] * w->x[k * w->nf + i];
        r[i] = v * sqrt(w->w[i]);
        sum += r[i] * r[i];
    }
    for (size_t k = 0; k < w->np; k++) {
        r[w->nf + k] = (w->m->par[k].mean - theta[k]) / w->m->par[k].sigma;
        sum += r[w->nf + k] * r[w->nf + k];
    }
    return sum;
}

static ep_status evaluate(struct work *w, const double *theta, double *r, double *sum, struct ep_err *e)
{
    for (size_t k = 0; k < w->m->ncol; k++)
        if (w->m->col[k].nedge) column(w, k, theta, w->x + k * w->nf);
    ep_status st = solve(w, e);
    if (!st) *sum = residuals(w, theta, r);
    return st;
}

static double little(const struct ep_mlls_par *p)
{
    return 1e-4 * (p->hi - p->lo);
}

/* Derivative of the residuals by theta_k, the amplitudes following it. */
static ep_status slope(struct work *w, double *theta, size_t k, double *out, struct ep_err *e)
{
    size_t col = w->m->par[k].col, nf = w->nf, nr = nf + w->np;
    double *keep = doubles(nf), *c = doubles(w->n), d = little(&w->m->par[k]), was = theta[k];
    memcpy(keep, w->x + col * nf, nf * sizeof *keep);
    memcpy(c, w->c, w->n * sizeof *c);
    theta[k] = was + d;
    column(w, col, theta, w->x + col * nf);
    ep_status st = solve(w, e);
    if (!st) residuals(w, theta, out);
    for (size_t i = 0; i < nr; i++) out[i] = (out[i] - w->r[i]) / d;
    theta[k] = was;
    memcpy(w->x + col * nf, keep, nf * sizeof *keep);
    memcpy(w->c, c, w->n * sizeof *c);
    free(keep);
    free(c);
    return st;
}

static ep_status refine(struct work *w, double *theta, struct ep_err *e)
{
    size_t np = w->np, nr = w->nf + np;
    double *j = doubles(np * nr), *a = doubles(np * np), *g = doubles(np), *try = doubles(np), *r = doubles(nr), *h = doubles(np * np);
    double sum = 0, lambda = 1e-3;
    ep_status st = evaluate(w, theta, w->r, &sum, e);
    for (int it = 0; !st && np && it < ITERATIONS; it++) {
        for (size_t k = 0; !st && k < np; k++) st = slope(w, theta, k, j + k * nr, e);
        if (st) break;
        ep_gram(np, nr, j, h);
        for (size_t k = 0; k < np; k++) {
            g[k] = 0;
            for (size_t i = 0; i < nr; i++) g[k] -= j[k * nr + i] * w->r[i];
        }
        bool better = false;
        double before = sum;
        for (int k = 0; !st && !better && k < 12; k++) {
            memcpy(a, h, np * np * sizeof *a);
            memcpy(try, g, np * sizeof *try);
            for (size_t i = 0; i < np; i++) a[i * np + i] *= 1 + lambda;
            st = ep_solve_spd(np, a, 1, try, e);
            for (size_t i = 0; i < np; i++) try[i] = fmin(fmax(theta[i] + try[i], w->m->par[i].lo), w->m->par[i].hi);
            double now = INFINITY;
            if (!st) st = evaluate(w, try, r, &now, e);
            better = now < sum;
            lambda *= better ? 0.1 : 8;
            if (!better) continue;
            sum = now;
            memcpy(theta, try, np * sizeof *theta);
            memcpy(w->r, r, nr * sizeof *r);
        }
        if (!better) {
            if (!st) st = evaluate(w, theta, w->r, &sum, e);
            break;
        }
        if (before - sum < 1e-4 * (1 + 1e-3 * sum)) break;
        lambda = fmax(lambda, 1e-9);
    }
    free(j);
    free(a);
    free(g);
    free(try);
    free(r);
    free(h);
    return st;
}

/* ---- sigmas -------------------------------------------------------------------------------------------------------- */

static double window_sum(const struct ep_mlls *m, size_t k, const double *theta)
{
    double *v = doubles(m->count.end), s = 0;
    whole_column(m, k, theta, m->count.end, v);
    for (size_t i = m->count.first; i < m->count.end; i++) s += v[i];
    free(v);
    return s;
}

/* Information of amplitudes and shapes together, [n + np]; j [n + np][nf]: derivatives of the model. */
static ep_status information(struct work *w, double *theta, double *j, double *cov, struct ep_err *e)
{
    size_t n = w->n, np = w->np, nt = n + np, nf = w->nf;
    double *jw = doubles(nt * nf), *scale = doubles(nt);
    memcpy(j, w->x, n * nf * sizeof *j);
    for (size_t k = 0; k < np; k++) {
        size_t col = w->m->par[k].col;
        double d = little(&w->m->par[k]), was = theta[k];
        theta[k] = was + d;
        column(w, col, theta, j + (n + k) * nf);
        theta[k] = was;
        for (size_t i = 0; i < nf; i++) j[(n + k) * nf + i] = w->c[col] * (j[(n + k) * nf + i] - w->x[col * nf + i]) / d;
    }
    for (size_t k = 0; k < nt; k++)
        for (size_t i = 0; i < nf; i++) jw[k * nf + i] = j[k * nf + i] * sqrt(w->w[i]);
    ep_gram(nt, nf, jw, cov);
    for (size_t k = 0; k < np; k++) cov[(n + k) * nt + n + k] += 1 / (w->m->par[k].sigma * w->m->par[k].sigma);
    for (size_t k = 0; k < nt; k++) scale[k] = 1 / sqrt(cov[k * nt + k]);
    for (size_t k = 0; k < nt; k++)
        for (size_t i = 0; i < nt; i++) cov[k * nt + i] = cov[k * nt + i] * scale[k] * scale[i] + (i == k ? 1e-12 : 0);
    ep_status st = ep_invert_spd(nt, cov, e);
    for (size_t k = 0; k < nt; k++)
        for (size_t i = 0; i < nt; i++) cov[k * nt + i] *= scale[k] * scale[i];
    free(jw);
    free(scale);
    return st;
}

/* Counts follow the spectrum by a, [ncol][nf]; core and low loss make their covariance. */
static void covariance(struct work *w, const struct ep_mlls_noise *noise, const struct ep_counts *low, double *a, double *cov)
{
    const struct ep_mlls *m = w->m;
    const struct ep_losses *p = m->convolve ? NULL : m->plural;
    size_t nc = m->ncol, nf = w->nf, nl = p ? p->n : 0;
    double *h = doubles(nc * nl), *var = doubles(nl), *e = doubles(nf);
    for (size_t i = 0; i < nf; i++) e[i] = energy(m, (long)(m->fit.first + i));
    double *before = doubles(nc);
    for (size_t k = 0; p && k < nc; k++) {
        double plain = 0;
        for (size_t i = 0; i < nf; i++) plain += a[k * nf + i] * ep_losses_at(p, e[i]);
        ep_losses_response(p, nf, e, a + k * nf, h + k * nl);
        before[k] = plain / p->over_sum;         /* of the core loss in the overlap: it scales the low loss */
    }
    for (size_t i = 0; p && i < nl; i++) {
        double counts = i ? p->p[i] * p->i0 : p->i0;
        var[i] = noise->low_gain * fmax(counts, 0) + noise->low_noise2 * (low && i ? m->step / low->step : 1);
    }
    for (size_t k = 0; k < nc; k++)
        for (size_t j = 0; j < nc; j++) {
            double s = 0;
            for (size_t i = 0; i < nf; i++) {
                bool over = p && e[i] >= ((double)p->over0 - 0.5) * m->step && e[i] < ((double)p->over1 - 0.5) * m->step;
                s += (a[k * nf + i] - (over ? before[k] : 0)) * (a[j * nf + i] - (over ? before[j] : 0)) * w->var[i];
            }
            for (size_t i = 0; i < nl; i++) s += h[k * nl + i] * h[j * nl + i] * var[i];
            cov[k * nc + j] = s;
        }
    if (p) {                             /* the part of the overlap in front of the fitted channels */
        double counts = p->scale * p->over_sum, inside = 0;
        for (size_t i = 0; i < nf; i++)
            if (e[i] >= ((double)p->over0 - 0.5) * m->step && e[i] < ((double)p->over1 - 0.5) * m->step) inside += w->var[i];
        double rest = fmax(noise->gain * counts - inside, 0);
        for (size_t k = 0; k < nc; k++)
            for (size_t j = 0; j < nc; j++) cov[k * nc + j] += before[k] * before[j] * rest;
    }
    free(h);
    free(var);
    free(e);
    free(before);
}

static ep_status sigmas(struct work *w, const struct ep_mlls_noise *noise, const struct ep_counts *low, double *theta,
                        struct ep_mlls_fit *f, struct ep_err *e)
{
    const struct ep_mlls *m = w->m;
    size_t n = w->n, np = w->np, nt = n + np, nf = w->nf, nc = m->ncol;
    double *j = doubles(nt * nf), *inv = doubles(nt * nt), *a = doubles(nc * nf), *g = doubles(nt), *ig = doubles(nt);
    ep_status st = information(w, theta, j, inv, e);
    for (size_t k = 0; !st && k < nc; k++) {
        double one = window_sum(m, k, theta);
        memset(g, 0, nt * sizeof *g);
        g[k] = one;
        for (size_t i = 0; i < np; i++) {
            if (m->par[i].col != k) continue;
            double d = little(&m->par[i]), was = theta[i];
            theta[i] = was + d;
            g[n + i] = f->c[k] * (window_sum(m, k, theta) - one) / d;
            theta[i] = was;
        }
        for (size_t i = 0; i < nt; i++) {
            ig[i] = 0;
            for (size_t l = 0; l < nt; l++) ig[i] += inv[i * nt + l] * g[l];
        }
        for (size_t i = 0; i < nf; i++)
            for (size_t l = 0; l < nt; l++) a[k * nf + i] += ig[l] * j[l * nf + i] * w->w[i];
    }
    if (!st) {
        covariance(w, noise, low, a, f->cov);
        for (size_t k = 0; k < np; k++) f->theta_sigma[k] = sqrt(inv[(n + k) * nt + n + k]);
        for (size_t k = 0; k < n; k++)
            for (size_t i = 0; i < n; i++) f->correlation[k * n + i] = inv[k * nt + i] / sqrt(inv[k * nt + k] * inv[i * nt + i]);
    }
    free(j);
    free(inv);
    free(a);
    free(g);
    free(ig);
    return st;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

static void free_work(struct work *w)
{
    free(w->y);
    free(w->var);
    free(w->w);
    free(w->x);
    free(w->c);
    free(w->normal);
    free(w->scale);
    free(w->r);
}

static double model_error(const struct ep_mlls *m)
{
    bool metals = false;
    for (size_t k = 0; k < m->ncol; k++) metals |= m->col[k].nedge && m->col[k].edge[0].shape == EP_EDGE_M23;
    return (metals ? METALS_ERROR : MODEL_ERROR) / sqrt(m->step);
}

static void begin(struct work *w, const struct ep_mlls *m, const double *y, const struct ep_mlls_noise *noise)
{
    size_t nf = m->fit.end - m->fit.first, n = m->ncol + m->nexp;
    double mid = sqrt(energy(m, (long)m->fit.first) * energy(m, (long)m->fit.end));
    *w = (struct work){ .m = m, .nf = nf, .n = n, .np = m->ntheta, .y = doubles(nf), .var = doubles(nf), .w = doubles(nf), .x = doubles(n * nf),
                        .c = doubles(n), .normal = doubles(n * n), .scale = doubles(n), .r = doubles(nf + m->ntheta) };
    double error = model_error(m);
    for (size_t i = 0; i < nf; i++) {
        size_t at = m->fit.first + i, lo = i > SMOOTH ? at - SMOOTH : m->fit.first, hi = i + SMOOTH < nf ? at + SMOOTH + 1 : m->fit.end;
        double ev = energy(m, (long)at), mean = 0;
        for (size_t k = lo; k < hi; k++) mean += y[k] / (double)(hi - lo);
        mean = fmax(mean, 0);
        w->y[i] = y[at] - (m->plural ? m->plural->scale * ep_losses_at(m->plural, ev) : 0);
        w->var[i] = fmax(noise->gain * mean + noise->noise2, 1e-300);
        w->w[i] = 1 / (w->var[i] + error * mean * error * mean);
        for (size_t k = 0; k < m->nexp; k++) w->x[(m->ncol + k) * nf + i] = pow(ev / mid, -m->exponent[k]);
    }
    for (size_t k = 0; k < m->ncol; k++)
        if (!m->col[k].nedge) memcpy(w->x + k * nf, m->col[k].shape + m->fit.first, nf * sizeof *w->x);
}

static void put_spectra(const struct work *w, const double *y, struct ep_mlls_fit *f)
{
    const struct ep_mlls *m = w->m;
    size_t nf = w->nf;
    f->column = doubles(m->ncol * m->nch);
    f->single = doubles(m->ncol * m->nch);
    f->back = doubles(m->nch);
    f->plural = doubles(m->nch);
    f->model = doubles(m->nch);
    for (size_t k = 0; k < m->ncol; k++) {
        double one = window_sum(m, k, f->theta);
        whole_column(m, k, f->theta, m->nch, f->column + k * m->nch);
        if (m->col[k].nedge) edge_column(m, &m->col[k], par_of(m, k, f->theta), 0, (long)m->nch, f->single + k * m->nch);
        else memcpy(f->single + k * m->nch, m->col[k].shape, m->nch * sizeof *f->single);
        f->thick[k] = 0;
        for (size_t i = m->count.first; i < m->count.end; i++) f->thick[k] += f->single[k * m->nch + i] / one;
        for (size_t i = 0; i < m->nch; i++) {
            f->column[k * m->nch + i] /= one;
            f->single[k * m->nch + i] /= one;
        }
    }
    size_t used = 0;
    for (size_t i = 0; i < m->nch; i++) {
        bool in = i >= m->fit.first && i < m->fit.end;
        size_t at = i - m->fit.first;
        f->back[i] = f->plural[i] = f->model[i] = (double)NAN;
        if (!in) continue;
        f->plural[i] = m->plural ? m->plural->scale * ep_losses_at(m->plural, energy(m, (long)i)) : 0;
        f->back[i] = 0;
        for (size_t k = m->ncol; k < w->n; k++) f->back[i] += f->c[k] * w->x[k * nf + at];
        f->model[i] = f->back[i] + f->plural[i];
        for (size_t k = 0; k < m->ncol; k++) f->model[i] += f->c[k] * w->x[k * nf + at];
        f->chi2 += (y[i] - f->model[i]) * (y[i] - f->model[i]) / w->var[at];
        used++;
    }
    f->dof = used > w->n + w->np ? used - w->n - w->np : 1;
    f->chi2 /= (double)f->dof;
}

ep_status ep_mlls_fit(const struct ep_mlls *m, const double *y, const struct ep_mlls_noise *noise, const struct ep_counts *low,
                      const double *start, bool quick, struct ep_mlls_fit **out, struct ep_err *e)
{
    struct work w;
    struct ep_mlls_fit *f = ep_xcalloc(1, sizeof *f);
    *out = NULL;
    for (size_t k = 0; k < m->ntheta; k++) f->theta[k] = fmin(fmax(start ? start[k] : m->par[k].mean, m->par[k].lo), m->par[k].hi);
    begin(&w, m, y, noise);
    f->c = doubles(w.n);
    f->counts = doubles(m->ncol);
    f->thick = doubles(m->ncol);
    ep_status st = refine(&w, f->theta, e);
    if (!st) {
        memcpy(f->c, w.c, w.n * sizeof *f->c);
        for (size_t k = 0; !st && k < m->ncol; k++) {
            double one = window_sum(m, k, f->theta);
            f->counts[k] = f->c[k] * one;
            if (one == 0 || !isfinite(one)) st = ep_fail(e, EP_E_COMPUTE, "column %zu has no counts in the window they are counted in", k + 1);
        }
    }
    if (!st && !quick) {
        f->cov = doubles(m->ncol * m->ncol);
        f->correlation = doubles(w.n * w.n);
        for (size_t k = 0; k < m->ntheta; k++) f->at_bound |= f->theta[k] <= m->par[k].lo || f->theta[k] >= m->par[k].hi;
        st = sigmas(&w, noise, low, f->theta, f, e);
        if (!st) put_spectra(&w, y, f);
    }
    free_work(&w);
    if (st) ep_mlls_fit_free(f);
    else *out = f;
    return st;
}

void ep_mlls_fit_free(struct ep_mlls_fit *f)
{
    if (!f) return;
    free(f->c);
    free(f->counts);
    free(f->thick);
    free(f->cov);
    free(f->correlation);
    free(f->column);
    free(f->single);
    free(f->back);
    free(f->plural);
    free(f->model);
    free(f);
}
