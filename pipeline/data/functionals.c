/* Linear functionals of spectra and their covariance (model.h). */
#include <math.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/flags.h"
#include "pipeline/data/model_internal.h"
#include "pipeline/numerics/vmath.h"

/* One pixel's model, ready for use. */
struct pixel {
    const struct ep_model *m;    /* NULL: plain counts */
    const double *theta, *cmat;
    double shift, gain, noise;   /* noise: variance of one channel of the carrying image */
    struct { size_t end; double gain, noise; } low;  /* the same of the channels below `end` (of the carrying image) */
    struct ep_fit_set fit;
    struct ep_range fit_ch[EP_MAX_WINDOWS];  /* channels of the carrying image that hold fit channels */
    bool have_l, bad_l;
    struct ep_lmap l;
};

static struct pixel pixel_of(const struct ep_cell *c, size_t at)
{
    struct pixel p = { .m = c->model, .shift = c->shift ? c->shift[at] : 0 };
    if (!p.m) {
        p.gain = c->d->gain;
        p.noise = c->d->read_noise * c->d->read_noise;
        p.low.end = c->d->low.end;
        p.low.gain = c->d->low.gain;
        p.low.noise = c->d->low.read_noise * c->d->low.read_noise;
        return p;
    }
    p.theta = c->theta + at * EP_NTHETA;
    p.cmat = c->cmat + at * EP_NCMAT;
    p.gain = p.m->gain;
    p.noise = p.m->read_noise * p.m->read_noise * (double)p.m->bin;
    const struct ep_low_noise *low = &p.m->low;
    p.low.end = low->end > p.m->first ? (low->end - p.m->first + p.m->bin - 1) / p.m->bin : 0;
    p.low.gain = low->gain;
    p.low.noise = low->read_noise * low->read_noise * (double)p.m->bin;
    ep_model_channels(p.m, p.shift, &p.fit);
    for (size_t k = 0; k < p.fit.nw; k++) {
        size_t a = p.fit.w[k].first, b = p.fit.w[k].end, bin = p.m->bin;
        a = a < p.m->first ? p.m->first : a;
        b = b < a ? a : b;
        p.fit_ch[k].first = (a - p.m->first) / bin;
        p.fit_ch[k].end = b == a ? p.fit_ch[k].first : (b - 1 - p.m->first) / bin + 1;
    }
    return p;
}

static bool meet(struct ep_range a, struct ep_range b)
{
    return a.first < b.end && b.first < a.end;
}

static bool meets_fit(const struct pixel *p, struct ep_range ch)
{
    for (size_t k = 0; p->m && k < p->fit.nw; k++)
        if (meet(p->fit_ch[k], ch)) return true;
    return false;
}

/* B, J and G = v L of up to EP_MODEL_BLOCK channels of the carrying image. Fit channels of the native axis add to G. */
struct carried {
    double b[EP_MODEL_BLOCK], j0[EP_MODEL_BLOCK], j1[EP_MODEL_BLOCK], g0[EP_MODEL_BLOCK], g1[EP_MODEL_BLOCK];
};

static void add_fit_channels(struct pixel *p, size_t native, size_t len, const struct ep_model_values *v, size_t origin,
                             struct carried *out)
{
    const struct ep_model *m = p->m;
    /* Poisson fit without read noise: v L' = J C, no sums over the fit channels are needed. */
    bool direct = m->method == EP_FIT_ML && m->read_noise == 0;
    for (size_t w = 0; w < p->fit.nw; w++) {
        size_t a = p->fit.w[w].first, b = p->fit.w[w].end;
        a = a < native ? native : a;
        b = ep_min(b, native + len);
        if (a >= b) continue;
        if (!direct && !p->have_l) {
            p->have_l = true;
            p->bad_l = !ep_lmap_init(m, p->theta, p->shift, &p->fit, &p->l);
        }
        for (size_t i = a; i < b; i++) {
            size_t k = i - native, o = (i - origin) / m->bin;
            if (direct) {
                out->g0[o] += v->j0[k] * p->cmat[0] + v->j1[k] * p->cmat[1];
                out->g1[o] += v->j0[k] * p->cmat[1] + v->j1[k] * p->cmat[2];
                continue;
            }
            double row[2], var = ep_model_fit_variance(m, v->b[k], v->j0[k], v->j1[k]);
            ep_lmap_column(m, &p->l, i, v, k, row);
            out->g0[o] += var * row[0];
            out->g1[o] += var * row[1];
        }
    }
}

static void carried_block(struct pixel *p, size_t ch, size_t len, struct carried *out)
{
    const struct ep_model *m = p->m;
    struct ep_model_values v;
    size_t origin = m->first + ch * m->bin, n = len * m->bin;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i += EP_MODEL_BLOCK) {
        size_t k = ep_min(n - i, EP_MODEL_BLOCK);
        ep_model_eval(m, p->theta, p->shift, origin + i, k, &v);
        for (size_t q = 0; q < k; q++) {
            size_t o = m->bin == 1 ? i + q : (i + q) / m->bin;
            out->b[o] += v.b[q];
            out->j0[o] += v.j0[q];
            out->j1[o] += v.j1[q];
        }
        add_fit_channels(p, origin + i, k, &v, origin, out);
    }
}

static bool on_fit(const struct pixel *p, size_t ch)
{
    for (size_t k = 0; k < p->fit.nw; k++)
        if (ch >= p->fit_ch[k].first && ch < p->fit_ch[k].end) return true;
    return false;
}

/* Variance of the counts of one channel: the fitted mean on fit channels (its own counts may be zero or negative and are
 * correlated with the fit), the channel's counts elsewhere. */
static double count_variance(const struct pixel *p, size_t ch, double net, double b, double j0, double j1)
{
    if (p->m && on_fit(p, ch)) return ep_model_mean_variance(p->m, b, j0, j1, p->noise);
    return ch < p->low.end ? p->low.gain * (net + b) + p->low.noise : p->gain * (net + b) + p->noise;
}

static double least_variance(const struct pixel *p, size_t ch, double b)
{
    if (!(b > 0)) b = 0;
    return ch < p->low.end ? p->low.gain * b + p->low.noise : p->gain * b + p->noise;
}

struct term {                /* one functional */
    double value;
    double p[2], q[2];       /* J'a, G'a */
    double d;                /* sum(a^2 v) */
    double least;            /* what d becomes when it is not positive */
    bool floored;
    double *v;               /* v of its channels; valid unless the short way was taken */
};

EP_CLONES static double sum_floats(const float *y, size_t n)
{
    ep_vd s = { 0 };
    size_t i = 0;
    for (; n - i >= EP_LANES; i += EP_LANES) s += ep_loadf(y + i);
    if (i < n) {
        float rest[EP_LANES] = { 0 };
        memcpy(rest, y + i, (n - i) * sizeof *y);
        s += ep_loadf(rest);
    }
    return EP_HSUM(s);
}

const struct ep_window_sums *ep_window_sums(struct ep_window_sums *s, const struct ep_cell *c, size_t n, const struct ep_range *ch,
                                            double *x, size_t room)
{
    const struct ep_model *m = c->model;
    if (!m || c->shift || m->form == EP_MODEL_TWO_POWERS || m->transfer.group) return NULL;
    if (s->of == m) return s;
    s->of = m;
    for (size_t i = 0; i < n; i++) {
        struct ep_points p = { x, (ch[i].end - ch[i].first) * m->bin };
        s->w[i].ready = false;
        if (p.n < 1 || p.n > room) continue;
        ep_model_abscissae(m, 0, ch[i], x);
        double spread = fabs(x[p.n - 1] - x[0]);
        if (!isfinite(x[0] + x[p.n - 1] + x[0] * x[p.n / 2])) continue;        /* channels at or below 0 eV have no background */
        /* Exponents from -5 to 20; less where windows are so wide that theirs lie near 4. Others are summed directly. */
        double half = fmin(12.5, EP_WINDOW_PIECES / (8 * (spread + 1e-9))), lo = fmin(7.5, half) - half, hi = lo + 2 * half;
        size_t pieces = ep_min(ep_pieces_count(lo, hi, spread), EP_WINDOW_PIECES);
        ep_pieces_fill(&s->w[i].t, s->w[i].piece, lo, hi, pieces, ep_family_functions, &p);
        s->w[i].ready = true;
    }
    return s;
}

/* sum B and sum B x over n native channels. */
static void background_sums(const struct pixel *p, size_t first, size_t n, double b[2])
{
    double s0[EP_LANES] = { 0 }, s1[EP_LANES] = { 0 }, x[EP_MODEL_BLOCK];
    for (size_t i = 0; i < n; i += EP_MODEL_BLOCK) {
        size_t k = ep_min(n - i, EP_MODEL_BLOCK);
        ep_model_x(p->m, p->shift, first + i, k, x);
        ep_model_sums(p->theta, x, k, s0, s1);
    }
    b[0] = EP_HSUM(s0);
    b[1] = EP_HSUM(s1);
}

/* A plain sum off the fit channels that shares no channel with another functional: no values per channel are needed. */
static bool short_term(const struct pixel *p, const struct ep_functional *f, const struct ep_pieces *sums, const float *val,
                       struct term *t)
{
    size_t n = f->ch.end - f->ch.first;
    double b[2] = { 0, 0 };
    if (f->ch.first < p->low.end || (p->m && p->m->form == EP_MODEL_TWO_POWERS)) return false;
    t->value = sum_floats(val, n);
    if (p->m && sums && p->shift == 0 && p->theta[1] >= sums->lo && p->theta[1] <= sums->hi) {
        double k[2];
        ep_pieces_eval(sums, p->theta[1], 2, k);
        b[0] = ep_exp1(p->theta[0] + k[0]);
        b[1] = b[0] * k[1];
    } else if (p->m) {
        background_sums(p, p->m->first + f->ch.first * p->m->bin, n * p->m->bin, b);
    }
    t->p[0] = b[0];
    t->p[1] = -b[1];
    t->q[0] = t->q[1] = 0;
    t->d = p->gain * (t->value + b[0]) + (double)n * p->noise;
    t->least = p->gain * b[0] + (double)n * p->noise;
    return true;
}

static void long_term(struct pixel *p, const struct ep_functional *f, const float *val, struct term *t)
{
    struct carried c;
    memset(&c, 0, sizeof c);
    t->value = t->d = t->least = t->p[0] = t->p[1] = t->q[0] = t->q[1] = 0;
    size_t n = f->ch.end - f->ch.first;
    for (size_t i = 0; i < n; i += EP_MODEL_BLOCK) {
        size_t len = ep_min(n - i, EP_MODEL_BLOCK);
        if (p->m) carried_block(p, f->ch.first + i, len, &c);
        for (size_t k = 0; k < len; k++) {
            double a = f->weight ? f->weight[i + k] : 1, y = (double)val[i + k];
            double v = count_variance(p, f->ch.first + i + k, y, c.b[k], c.j0[k], c.j1[k]);
            t->v[i + k] = v;
            t->value += a * y;
            t->p[0] += a * c.j0[k];
            t->p[1] += a * c.j1[k];
            t->q[0] += a * c.g0[k];
            t->q[1] += a * c.g1[k];
            t->d += a * a * v;
            t->least += a * a * least_variance(p, f->ch.first + i + k, c.b[k]);
        }
    }
}

/* sum(a b v) over the channels that both use. */
static double shared(const struct ep_functional *fa, const struct ep_functional *fb, const struct term *ta)
{
    size_t first = fa->ch.first > fb->ch.first ? fa->ch.first : fb->ch.first, end = ep_min(fa->ch.end, fb->ch.end);
    double s = 0;
    for (size_t i = first; i < end; i++) {
        double a = fa->weight ? fa->weight[i - fa->ch.first] : 1, b = fb->weight ? fb->weight[i - fb->ch.first] : 1;
        s += a * b * ta->v[i - fa->ch.first];
    }
    return s;
}

/* ---- after deconvolution: the weights of functionals on the counts that went in (model.h) ---- */

struct spread { double sum[EP_TRANSFER], m[EP_TRANSFER], z[EP_TRANSFER]; };   /* of a functional, by groups: sums of weights; what K makes of them */

static double weight_at(const struct ep_functional *f, size_t ch)
{
    return ch < f->ch.first || ch >= f->ch.end ? 0 : f->weight ? f->weight[ch - f->ch.first] : 1;
}

static void spread_weights(const struct pixel *p, const struct ep_functional *f, struct spread *s)
{
    const struct ep_transfer *t = &p->m->transfer;
    memset(s, 0, sizeof *s);
    size_t last = 0, bin = p->m->bin;
    for (size_t ch = f->ch.first; ch < f->ch.end; ch++)
        for (size_t i = p->m->first + ch * bin; i < p->m->first + (ch + 1) * bin; i++) {
            last = i / t->group;
            s->sum[last] += weight_at(f, ch);
        }
    double by = p->m->form == EP_MODEL_COUNTS ? p->theta[1] : 1;
    for (size_t h = 0; h <= last; h++)
        for (size_t g = h; g <= last; g++) {
            s->m[h] += by * s->sum[g] * t->k[g - h];
            s->z[h] += by * by * s->sum[g] * t->zlp[g - h];
        }
}

/* v of native channel i. The counts that went in are not there any more: the mean pixel's stand for them. */
static double transfer_variance(const struct pixel *p, size_t i, double b, double j0, double j1)
{
    const struct ep_model *m = p->m;
    double mean = m->transfer.var[i / m->transfer.group];
    if (m->form == EP_MODEL_COUNTS) return p->theta[0] * mean;
    for (size_t k = 0; k < p->fit.nw; k++)
        if (i >= p->fit.w[k].first && i < p->fit.w[k].end) return ep_model_fit_variance(m, b, j0, j1);
    double n = b + (m->method == EP_FIT_ML_AVERAGED ? 1 : p->theta[2]) * mean;
    double v = i < m->low.end ? m->low.gain * n + m->low.read_noise * m->low.read_noise : m->gain * n + m->read_noise * m->read_noise;
    return v > 0 ? v : 0;
}

/* Cov(a, b) = sum(w_a w_b v) and the terms of a background that was fitted before, over all channels up to the functionals' last. */
static bool transfer_functionals(const struct ep_cell *c, struct pixel *p, const float *y, size_t nf, const struct ep_functional *f,
                                 double *value, double *cov, struct term *t, struct spread *s)
{
    struct ep_model native = *p->m;
    size_t end = 0;
    for (size_t a = 0; a < nf; a++) {
        spread_weights(p, &f[a], &s[a]);
        if (f[a].ch.end > end) end = f[a].ch.end;
        t[a] = (struct term){ .value = 0 };
        for (size_t ch = f[a].ch.first; ch < f[a].ch.end; ch++) t[a].value += weight_at(&f[a], ch) * (double)y[ch - c->ch0];
    }
    memset(cov, 0, nf * nf * sizeof *cov);
    end = native.first + end * native.bin;
    native.first = 0;
    native.bin = 1;
    struct pixel q = *p;
    q.m = &native;
    struct carried x;
    memset(&x, 0, sizeof x);
    for (size_t i = 0; i < end; i += EP_MODEL_BLOCK) {
        size_t len = ep_min(end - i, EP_MODEL_BLOCK);
        if (native.form != EP_MODEL_COUNTS) carried_block(&q, i, len, &x);
        for (size_t k = 0; k < len; k++) {
            size_t at = i + k, group = at / native.transfer.group;
            double v = transfer_variance(p, at, x.b[k], x.j0[k], x.j1[k]);
            for (size_t a = 0; a < nf; a++) {
                size_t ch = at < p->m->first ? SIZE_MAX : (at - p->m->first) / p->m->bin;
                double w = weight_at(&f[a], ch) + (at < native.transfer.zlp_end ? s[a].z[group] : s[a].m[group]);
                t[a].d = w;
                t[a].p[0] += w * x.j0[k];
                t[a].p[1] += w * x.j1[k];
                t[a].q[0] += w * x.g0[k];
                t[a].q[1] += w * x.g1[k];
            }
            for (size_t a = 0; a < nf; a++)
                for (size_t b = a; b < nf; b++) cov[a * nf + b] += t[a].d * t[b].d * v;
        }
    }
    p->bad_l = q.bad_l;
    bool ok = true;
    for (size_t a = 0; a < nf; a++) {
        value[a] = t[a].value;
        for (size_t b = a; b < nf; b++) {
            const double *m = p->cmat, *pa = t[a].p, *pb = t[b].p, *qa = t[a].q, *qb = t[b].q;
            double *to = &cov[a * nf + b];
            *to += pa[0] * (m[0] * pb[0] + m[1] * pb[1]) + pa[1] * (m[1] * pb[0] + m[2] * pb[1]);
            *to -= qa[0] * pb[0] + qa[1] * pb[1] + pa[0] * qb[0] + pa[1] * qb[1];
            if (a == b && *to < 0) *to = 0;
            cov[b * nf + a] = *to;
        }
        ok = ok && isfinite(value[a]) && isfinite(cov[a * nf + a]);
    }
    return ok;
}

size_t ep_functionals_scratch(const struct ep_desc *d, size_t nf)
{
    size_t each = ep_desc_nch(d) * sizeof(double);
    if (d->deconvolved && each < sizeof(struct spread)) each = sizeof(struct spread);
    return nf * (sizeof(struct term) + each);
}

/* A variance that is not positive (a window that holds dark-subtracted counts below zero) says nothing about the noise: then
 * the model's counts stand for the window's, and without a model, or where it has none either, one electron. */
static void keep_positive(const struct pixel *p, const struct ep_functional *f, struct term *t)
{
    t->floored = !(t->d > 0);
    if (!t->floored) return;
    t->d = t->least;
    if (t->d > 0) return;
    double a2 = f->weight ? 0 : 1;
    for (size_t i = 0; f->weight && i < f->ch.end - f->ch.first; i++) a2 = fmax(a2, f->weight[i] * f->weight[i]);
    double gain = f->ch.first < p->low.end ? p->low.gain : p->gain;
    t->d = a2 * gain * gain;
}

static double covariance(const struct pixel *p, const struct ep_functional *f, const struct term *t, size_t a, size_t b)
{
    double s = a == b ? t[a].d : meet(f[a].ch, f[b].ch) ? shared(&f[a], &f[b], &t[a]) : 0;
    if (a != b && (t[a].floored || t[b].floored)) {      /* keep |correlation| <= 1 */
        double most = sqrt(t[a].d * t[b].d);
        s = s > most ? most : s < -most ? -most : s;
    }
    if (!p->m) return s;
    const double *c = p->cmat, *pa = t[a].p, *pb = t[b].p, *qa = t[a].q, *qb = t[b].q;
    s += pa[0] * (c[0] * pb[0] + c[1] * pb[1]) + pa[1] * (c[1] * pb[0] + c[2] * pb[1]);
    s -= qa[0] * pb[0] + qa[1] * pb[1] + pa[0] * qb[0] + pa[1] * qb[1];
    return a == b && s < 0 ? 0 : s;                      /* the sum over a fit window is zero, to rounding */
}

static bool needs_channels(const struct pixel *p, size_t nf, const struct ep_functional *f, size_t a)
{
    if (f[a].weight || meets_fit(p, f[a].ch)) return true;
    for (size_t b = 0; b < nf; b++)
        if (b != a && meet(f[a].ch, f[b].ch)) return true;
    return false;
}

uint32_t ep_functionals(const struct ep_cell *c, size_t iy, size_t ix, size_t nf, const struct ep_functional *f,
                        double *value, double *cov, void *scratch)
{
    return ep_functionals_at(c, iy, ix, nf, f, NULL, value, cov, scratch);
}

uint32_t ep_functionals_at(const struct ep_cell *c, size_t iy, size_t ix, size_t nf, const struct ep_functional *f,
                           const struct ep_window_sums *sums, double *value, double *cov, void *scratch)
{
    struct pixel p = pixel_of(c, iy * c->a.nx + ix);
    const float *y = ep_cell_spectrum(c, iy, ix);
    struct term *t = scratch;
    double *v = (double *)(t + nf);
    bool ok = !p.m || (isfinite(p.theta[0]) && isfinite(p.theta[1]) && isfinite(p.cmat[0] + p.cmat[1] + p.cmat[2]));
    if (ok && p.m && p.m->transfer.group) {
        ok = transfer_functionals(c, &p, y, nf, f, value, cov, t, (struct spread *)(void *)v) && !p.bad_l;
        for (size_t a = 0; !ok && a < nf; a++) {
            value[a] = (double)NAN;
            for (size_t b = 0; b < nf; b++) cov[a * nf + b] = (double)NAN;
        }
        return ok ? 0 : (uint32_t)EP_FLAG_NOT_FINITE;
    }
    for (size_t a = 0; a < nf && ok; a++) {
        const float *val = y + (f[a].ch.first - c->ch0);
        t[a].v = v;
        v += f[a].ch.end - f[a].ch.first;
        const struct ep_pieces *made = sums && sums->w[a].ready ? &sums->w[a].t : NULL;
        if (needs_channels(&p, nf, f, a) || !short_term(&p, &f[a], made, val, &t[a])) long_term(&p, &f[a], val, &t[a]);
        ok = isfinite(t[a].value) && isfinite(t[a].d);
        keep_positive(&p, &f[a], &t[a]);
    }
    ok = ok && !p.bad_l;
    for (size_t a = 0; a < nf; a++) {
        value[a] = ok ? t[a].value : (double)NAN;
        for (size_t b = 0; b < nf; b++) cov[a * nf + b] = !ok ? (double)NAN : b < a ? cov[b * nf + a] : covariance(&p, f, t, a, b);
    }
    return ok ? 0 : (uint32_t)EP_FLAG_NOT_FINITE;
}

void ep_channel_variances(const struct ep_cell *c, size_t iy, size_t ix, struct ep_range ch, double *var, void *scratch)
{
    (void)scratch;
    struct pixel p = pixel_of(c, iy * c->a.nx + ix);
    const float *val = ep_cell_spectrum(c, iy, ix) + (ch.first - c->ch0);
    struct carried s;
    memset(&s, 0, sizeof s);
    size_t n = ch.end - ch.first;
    if (p.m && p.m->transfer.group) {       /* one by one; only single spectra need it */
        for (size_t i = 0; i < n; i++) {
            struct ep_functional f = { { ch.first + i, ch.first + i + 1 }, NULL };
            struct term t;
            struct spread w;
            double value;
            if (!transfer_functionals(c, &p, ep_cell_spectrum(c, iy, ix), 1, &f, &value, &var[i], &t, &w)) var[i] = (double)NAN;
        }
        return;
    }
    for (size_t i = 0; i < n; i += EP_MODEL_BLOCK) {
        size_t len = ep_min(n - i, EP_MODEL_BLOCK);
        if (p.m) carried_block(&p, ch.first + i, len, &s);
        for (size_t k = 0; k < len; k++) {
            struct ep_functional f = { { ch.first + i + k, ch.first + i + k + 1 }, NULL };
            struct term t = { .p = { s.j0[k], s.j1[k] }, .q = { s.g0[k], s.g1[k] } };
            double y = (double)val[i + k];
            t.d = count_variance(&p, f.ch.first, y, s.b[k], s.j0[k], s.j1[k]);
            t.least = least_variance(&p, f.ch.first, s.b[k]);
            bool finite = isfinite(t.d) && isfinite(y);
            keep_positive(&p, &f, &t);
            var[i + k] = finite ? covariance(&p, &f, &t, 0, 0) : (double)NAN;
        }
    }
}
