/* The columns of the model: channel-integrated Gaussians and their derivatives, and the terms of the sum's background. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/eds_fit.h"
#include "pipeline/numerics/xray.h"

#define FWHM2 5.545177444479562    /* 8 ln 2: (FWHM/sigma)^2 */
#define REACH 7.0                  /* sigma; beyond, a Gaussian holds 3e-12 of its counts */
#define NARROWEST 20.0             /* eV, FWHM of the electronic noise */

size_t ep_eds_ntheta(const struct ep_eds *m)
{
    return EP_EDS_SHAPE + m->ngroup;
}

/* Axes of detectors are off by a few channels, resolutions by some eV; the Fano factor of silicon is known to a few
 * percent; the escape's geometry is not quite that of the formula. */
void ep_eds_start(const struct ep_eds *m, double *theta, double *sigma)
{
    const double t[EP_EDS_SHAPE] = { 0, 0, m->resolution, EP_EDS_FANO, 1 }, s[EP_EDS_SHAPE] = { 30, 0.005, 20, 0.01, 0.3 };
    for (size_t i = 0; i < ep_eds_ntheta(m); i++) {
        if (theta) theta[i] = i < EP_EDS_SHAPE ? t[i] : 0;
        if (sigma) sigma[i] = i < EP_EDS_SHAPE ? s[i] : m->prior[i - EP_EDS_SHAPE];
    }
    if (theta) ep_eds_bound(m, theta);
}

static bool clamp(double *v, double lo, double hi)
{
    double to = fmin(fmax(*v, lo), hi);
    bool moved = to != *v;
    *v = to;
    return moved;
}

bool ep_eds_bound(const struct ep_eds *m, double *theta)
{
    bool moved = clamp(&theta[EP_EDS_OFFSET], -150, 150);
    moved |= clamp(&theta[EP_EDS_GAIN], -0.03, 0.03);
    moved |= clamp(&theta[EP_EDS_RESOLUTION], 60, 400);
    double r2 = theta[EP_EDS_RESOLUTION] * theta[EP_EDS_RESOLUTION] - NARROWEST * NARROWEST;
    moved |= clamp(&theta[EP_EDS_FANO_FACTOR], 0.04, fmin(0.25, r2 / (FWHM2 * EP_EDS_PAIR * EP_EDS_MN_KA)));
    moved |= clamp(&theta[EP_EDS_ESCAPE], 0, 3);
    for (size_t g = 0; g < m->ngroup; g++) moved |= clamp(&theta[EP_EDS_SHAPE + g], -0.95, 5);
    return moved;
}

static double variance(const double *theta, double energy)
{
    double r = theta[EP_EDS_RESOLUTION];
    return r * r / FWHM2 + theta[EP_EDS_FANO_FACTOR] * EP_EDS_PAIR * (energy - EP_EDS_MN_KA);
}

double ep_eds_fwhm(const double *theta, double energy)
{
    return sqrt(FWHM2 * variance(theta, energy));
}

/* One Gaussian of `amount` counts into x, and with c its derivatives into dx. */
struct peak { double energy, amount, by_escape; int group; };

static void add_peak(const struct ep_eds *m, const double *theta, const struct peak *p, double *x, double c, double *dx)
{
    const double root2pi = 2.5066282746310002, root2 = 1.4142135623730951;
    double scale = 1 + theta[EP_EDS_GAIN], s_true = sqrt(variance(theta, p->energy)), s = s_true / scale;
    double mu = (p->energy - theta[EP_EDS_OFFSET]) / scale;
    double lo = floor((mu - REACH * s - m->first) / m->step), hi = ceil((mu + REACH * s - m->first) / m->step);
    if (!(hi > 0) || !(lo < (double)m->nch)) return;
    size_t first = lo > 0 ? (size_t)lo : 0, end = hi < (double)m->nch ? (size_t)hi : m->nch;
    double z = (m->first + (double)first * m->step - mu) / s, cdf = erf(z / root2), phi = exp(-z * z / 2) / root2pi;
    double by_r = theta[EP_EDS_RESOLUTION] / FWHM2 / (s_true * scale);
    double by_f = EP_EDS_PAIR * (p->energy - EP_EDS_MN_KA) / (2 * s_true * scale);
    for (size_t i = first; i < end; i++) {
        double z1 = (m->first + (double)(i + 1) * m->step - mu) / s, cdf1 = erf(z1 / root2);
        double g = 0.5 * (cdf1 - cdf);
        x[i] += p->amount * g;
        if (dx) {
            double phi1 = exp(-z1 * z1 / 2) / root2pi, a = c * p->amount;
            double by_mu = -(phi1 - phi) / s, by_s = -(z1 * phi1 - z * phi) / s;
            dx[EP_EDS_OFFSET * m->nch + i] -= a * by_mu / scale;
            dx[EP_EDS_GAIN * m->nch + i] -= a * (by_mu * mu + by_s * s) / scale;
            dx[EP_EDS_RESOLUTION * m->nch + i] += a * by_s * by_r;
            dx[EP_EDS_FANO_FACTOR * m->nch + i] += a * by_s * by_f;
            dx[EP_EDS_ESCAPE * m->nch + i] += c * p->by_escape * g;
            if (p->group >= 0)
                dx[(EP_EDS_SHAPE + (size_t)p->group) * m->nch + i] += a * g / (1 + theta[EP_EDS_SHAPE + p->group]);
            phi = phi1;
        }
        z = z1;
        cdf = cdf1;
    }
}

void ep_eds_columns(const struct ep_eds *m, const double *theta, double *x, const double *c, double *dx)
{
    memset(x, 0, m->ncol * m->nch * sizeof *x);
    if (dx) memset(dx, 0, ep_eds_ntheta(m) * m->nch * sizeof *dx);
    for (size_t k = 0; k < m->nline; k++) {
        const struct ep_eds_line *l = &m->line[k];
        double w = l->weight * (l->group >= 0 ? 1 + theta[EP_EDS_SHAPE + l->group] : 1), q = theta[EP_EDS_ESCAPE] * l->escape;
        struct peak main = { l->energy, w * (1 - q), -w * l->escape, l->group };
        struct peak escaped = { l->energy - EP_XRAY_SI_KA, w * q, w * l->escape, l->group };
        double *column = x + l->column * m->nch, amplitude = c ? c[l->column] : 0;
        add_peak(m, theta, &main, column, amplitude, dx);
        if (l->escape > 0) add_peak(m, theta, &escaped, column, amplitude, dx);
    }
}

/* ---- background -------------------------------------------------------------------------------------------------- */

/* The scale of the splines: knots lie 0.4 keV apart at 0.4 keV, where absorption shapes the background, 2 keV at 3 keV and 6 keV at
 * 7 keV, where it is smooth and a closer knot would take up what the tables of lines have wrong: d warp / dE = 1/((E + a)(1 + E/b)). */
#define KNOTS 0.4
/* Below, edges of what absorbs X-rays (window, contact, silicon, the specimen and its cap) shape the background, and lines are so
 * many and so badly known that the fit is never as good as counting noise. Splines that bridge the two sides carry what is wrong there
 * up to where Ti and La are measured: so each side has its own. */
#define SPLIT 3000.0               /* eV: above the edges of Si, S, Cl K and, of protective layers, Pt and Au M */
#define SPLIT_LEAST 1000.0
static double warp(double ev)
{
    const double a = 500, b = 5000, e = fmax(ev, 0);
    return b / (b - a) * log((e + a) / (e + b));
}

/* Cubic B-spline, t in knots from its first one. */
static double cubic(double t)
{
    if (t <= 0 || t >= 4) return 0;
    if (t > 2) t = 4 - t;
    double u = t - 1;
    return t <= 1 ? t * t * t / 6 : (1 + 3 * u + 3 * u * u - 3 * u * u * u) / 6;
}

/* Splines over channels a .. b-1, each times the guess; with out NULL they are only counted. */
static size_t splines(const struct ep_eds *m, size_t a, size_t b, const double *guess, double *out)
{
    double u0 = warp(m->first + (double)a * m->step), u1 = warp(m->first + (double)b * m->step);
    size_t intervals = (size_t)fmax(1, ceil((u1 - u0) / KNOTS)), n = intervals + 3;
    double knot = (u1 - u0) / (double)intervals;
    for (size_t i = a; out && i < b; i++) {
        double u = (warp(m->first + ((double)i + 0.5) * m->step) - u0) / knot;
        for (size_t k = 0; k < n; k++) out[k * m->nch + i] = guess[i] * cubic(u + 3 - (double)k);
    }
    return n;
}

/* The first channel above SPLIT; 0 where there is next to nothing on one side of it. */
static size_t split(const struct ep_eds *m)
{
    double at = (SPLIT - m->first) / m->step, least = SPLIT_LEAST / m->step;
    return at < least || (double)m->nch - at < least ? 0 : (size_t)ceil(at);
}

/* First guess: bremsstrahlung falls as 1/E (H. A. Kramers, Phil. Mag. 46 (1923) 836); what the detector does not stop is
 * missing. Whatever else shapes it is smooth, and left to the splines. */
static ep_status make_back(struct ep_eds *m, struct ep_err *e)
{
    m->split = split(m);
    m->nlow = m->split ? splines(m, 0, m->split, NULL, NULL) : 0;
    m->nback = m->nlow + splines(m, m->split, m->nch, NULL, NULL) + 1;
    m->back = calloc(m->nback * m->nch, sizeof *m->back);
    if (!m->back) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu x %zu background terms", m->nback, m->nch);
    double *guess = ep_xcalloc(m->nch, sizeof *guess), *step = m->back + (m->nback - 1) * m->nch;
    for (size_t i = 0; i < m->nch; i++) {
        double ev = m->first + ((double)i + 0.5) * m->step;
        guess[i] = 1000 / fmax(ev, 50) * ep_xray_stopped(ev, m->thickness_mm);
        if (!m->split || i < m->split) step[i] = guess[i] * ep_xray_silicon_per_nm(ev);
    }
    if (m->split) splines(m, 0, m->split, guess, m->back);
    splines(m, m->split, m->nch, guess, m->back + m->nlow * m->nch);
    free(guess);
    return EP_OK;
}

/* ---- */

ep_status ep_eds_new(size_t nch, double first, double step, size_t nline, const struct ep_eds_line *line, size_t ncol,
                     size_t ngroup, const double *prior, double resolution, double thickness_mm, struct ep_eds **out, struct ep_err *e)
{
    struct ep_eds *m = ep_xcalloc(1, sizeof *m);
    *m = (struct ep_eds){ .nch = nch, .first = first, .step = step, .nline = nline, .ncol = ncol, .ngroup = ngroup,
                          .resolution = resolution, .thickness_mm = thickness_mm };
    m->line = ep_xcalloc(nline + 1, sizeof *m->line);
    if (nline) memcpy(m->line, line, nline * sizeof *line);
    m->prior = ep_xcalloc(ngroup + 1, sizeof *m->prior);
    if (ngroup) memcpy(m->prior, prior, ngroup * sizeof *prior);
    ep_status st = make_back(m, e);
    if (st) ep_eds_free(m);
    *out = st ? NULL : m;
    return st;
}

void ep_eds_free(struct ep_eds *m)
{
    if (!m) return;
    free(m->line);
    free(m->prior);
    free(m->back);
    free(m);
}
