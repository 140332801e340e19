/* The look of mlls: the sum of the pixels, its fit, and what that fit is worth.
 *
 * The fit takes off plural scattering and refines the shapes of modelled edges. Then it is repeated under other assumptions that are as good:
 * another range, other exponents, other constants of the edges. How far amounts move is their systematic sigma, and where it is too large
 * a part of the amount, the edges can't be told apart in this spectrum.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/mlls_plan.h"
#include "stages/pixels.h"

struct plan {
    const struct ep_mlls_params *par;
    size_t nch, nlow, ny, nx;
    double channel, low_channel;   /* eV */
    double first, low_first;       /* eV of the first channels */
    bool shifted, low_shifted;
    struct ep_mlls_noise noise;    /* of one pixel */
    uint8_t *keep;                 /* [ny * nx]; NULL: all */
    size_t ncol;
    struct ep_mlls_column *col;
    struct ep_edge_model *edge;    /* of all columns */
    double *shape;                 /* [ncol][nch] */
    const char **name;             /* [ncol] */
    double beam_kev, collection_mrad;
    struct ep_eels_optics optics;  /* as known */
};

/* up, down: the channels [up, n + down) that all pixels cover; of both spectra. */
struct acc { int64_t n, up[2], down[2]; double sum[]; };

/* ---- declare ------------------------------------------------------------------------------------------------------- */

static void declare_spectrum(struct ep_declare *d, const char *name, const struct ep_desc *in, const char *unit, const char *long_name)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_SPECTRUM);
    o->spectral = true;
    o->energy = in->energy;
    snprintf(o->unit, sizeof o->unit, "%s", unit);
    snprintf(o->long_name, sizeof o->long_name, "%s", long_name);
    o->noise = EP_NOISE_UNKNOWN;
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->meta = in->meta;
}

static void declare_table(struct ep_declare *d, const char *name, const struct ep_desc *in, const char *long_name)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_TABLE);
    snprintf(o->long_name, sizeof o->long_name, "%s", long_name);
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->meta = in->meta;
}

static void declare(struct ep_declare *d)
{
    const struct ep_mlls_params *par = d->par;
    const struct ep_desc *in = ep_declare_input(d, EP_MLLS_INPUT), *low = ep_declare_input(d, EP_MLLS_LOW);
    declare_spectrum(d, "sum", in, "counts", "Sum of the pixels");
    d->out[0].primary = true;
    declare_spectrum(d, "model", in, "counts", "Fit of the sum");
    declare_spectrum(d, "background", in, "counts", "Powers of the energy in the fit of the sum");
    declare_spectrum(d, "plural", in, "counts", "What plural scattering adds to the sum");
    declare_table(d, "fit", in, "Fit of the sum");
    declare_table(d, "counts", in, "Counts of the columns in the sum");
    declare_table(d, "covariance", in, "Covariance of these counts");
    declare_table(d, "shapes", in, "Shapes of the edges");
    declare_table(d, "correlation", in, "Correlation of the columns");
    declare_table(d, "variants", in, "Counts under other assumptions");
    for (size_t k = 0; k < par->columns.n; k++) {
        char name[EP_NAME_LEN];
        snprintf(name, sizeof name, "column_%.48s", ep_mlls_colpar(par, k)->name);
        declare_spectrum(d, name, in, "", "Column of the fit, per count in the window");
    }
    for (size_t k = 0; k < par->columns.n; k++) {
        char name[EP_NAME_LEN];
        snprintf(name, sizeof name, "single_%.48s", ep_mlls_colpar(par, k)->name);
        declare_spectrum(d, name, in, "", "Column of the fit without plural scattering, per count in the window");
    }
    d->acc = sizeof(struct acc) + (ep_desc_nch(in) + (low ? ep_desc_nch(low) : 0)) * sizeof(double);
}

/* ---- columns ------------------------------------------------------------------------------------------------------- */

static const struct ep_signal *reference(const struct ep_items *refs, const char *label)
{
    for (size_t i = 0; i < refs->n; i++)
        if (strcmp(refs->v[i].label, label) == 0) return refs->v[i].whole;
    return NULL;
}

/* Without the ends that are not known: those of an aligned sum are not. */
static struct ep_counts counts_of(const struct ep_signal *s)
{
    size_t first = 0, end = s->n;
    while (first < end && !isfinite(s->f64[first])) first++;
    while (end > first && !isfinite(s->f64[end - 1])) end--;
    double e0 = ep_axis_at(&s->d.energy, 0), step = ep_axis_at(&s->d.energy, 1) - e0;
    return (struct ep_counts){ s->f64 + first, end - first, e0 + (double)first * step, step };
}

/* Between channels, linearly; NaN outside. */
static double counts_at(const struct ep_counts *c, double ev)
{
    double at = (ev - c->first) / c->step, near = rint(at);
    if (!(at > -1e-3 && at < (double)c->n - 1 + 1e-3)) return (double)NAN;
    if (fabs(at - near) < 1e-3) return c->y[(size_t)near];
    size_t k = (size_t)at;
    return c->y[k] + (at - (double)k) * (c->y[k + 1] - c->y[k]);
}

/* Single scattering of a measured spectrum, on the channels of the input; NaN where it is not known. */
static ep_status measured(const struct plan *q, const struct ep_items *refs, const char *label, const char *low, double *out, struct ep_err *e)
{
    const struct ep_signal *s = reference(refs, label), *l = low ? reference(refs, low) : NULL;
    struct ep_losses *pl = NULL;
    if (!s || (low && !l)) return ep_fail(e, EP_E_COMPUTE, "the spectrum '%s' is not there", s ? low : label);
    struct ep_counts c = counts_of(s), cl = { 0 };
    if (c.n < 10) return ep_fail(e, EP_E_COMPUTE, "the spectrum '%s' has no values", label);
    if (l) {
        cl = counts_of(l);
        ep_status st = cl.n < 10 ? ep_fail(e, EP_E_COMPUTE, "it has no values") : ep_losses_new(&cl, &c, c.first + (double)c.n * c.step, &pl, e);
        if (st) return ep_context(e, "the low loss '%s': ", low);
    }
    for (size_t i = 0; i < q->nch; i++) {
        double ev = q->first + (double)i * q->channel;
        out[i] = counts_at(&c, ev) - (pl ? pl->scale * ep_losses_at(pl, ev) : 0);
    }
    ep_losses_free(pl);
    return EP_OK;
}

/* What is more in the first spectrum than in the second, which is scaled to it before the edge. */
static ep_status learn(const struct plan *q, const struct ep_items *refs, const struct ep_mlls_colpar *c, double *out, struct ep_err *e)
{
    double *less = ep_xcalloc(q->nch, sizeof *less), ab = 0, bb = 0, window[2];
    ep_status st = measured(q, refs, c->learned.v[0], c->low_loss.n == 2 ? c->low_loss.v[0] : NULL, out, e);
    if (!st) st = measured(q, refs, c->learned.v[1], c->low_loss.n == 2 ? c->low_loss.v[1] : NULL, less, e);
    window[0] = ep_window_given(q->par->scale) ? q->par->scale[0] : q->par->range[0];
    window[1] = ep_window_given(q->par->scale) ? q->par->scale[1] : q->par->count[0] - 1;
    for (size_t i = 0; !st && i < q->nch; i++) {
        double ev = q->first + (double)i * q->channel;
        if (ev < window[0] || ev >= window[1] || !isfinite(out[i]) || !isfinite(less[i])) continue;
        ab += out[i];                            /* of sums: least squares would weigh noise */
        bb += less[i];
    }
    if (!st && !(ab > 0 && bb > 0)) st = ep_fail(e, EP_E_COMPUTE, "'%s' and '%s' have no counts from %g to %g eV to scale them by",
                                                 c->learned.v[0], c->learned.v[1], window[0], window[1]);
    for (size_t i = 0; !st && i < q->nch; i++) {
        double ev = q->first + (double)i * q->channel;
        out[i] = ev < window[1] && isfinite(out[i]) ? 0 : out[i] - ab / bb * less[i];
    }
    free(less);
    return st;
}

static ep_status make_columns(struct plan *q, const struct ep_prepare *p, struct ep_err *e)
{
    const struct ep_mlls_params *par = p->par;
    size_t edges = 0, at = 0;
    q->ncol = par->columns.n;
    for (size_t k = 0; k < q->ncol; k++) edges += ep_mlls_colpar(par, k)->edges.n + 1;
    q->col = ep_xcalloc(q->ncol, sizeof *q->col);
    q->edge = ep_xcalloc(edges, sizeof *q->edge);
    q->shape = ep_xcalloc(q->ncol * q->nch, sizeof *q->shape);
    q->name = ep_xcalloc(q->ncol, sizeof *q->name);
    ep_status st = EP_OK;
    for (size_t k = 0; !st && k < q->ncol; k++) {
        const struct ep_mlls_colpar *c = ep_mlls_colpar(par, k);
        struct ep_mlls_column *o = &q->col[k];
        q->name[k] = c->name;
        o->edge = q->edge + at;
        if (c->edge) {
            struct ep_edge_model *m = &q->edge[at++];
            o->nedge = ep_edge_model(c->edge, &q->optics, m);
            m->npeak = c->peaks.n;
            for (size_t i = 0; i < c->peaks.n; i++) m->peak[i] = c->peaks.v[i];
        }
        for (size_t i = 0; i < c->edges.n; i++) {
            if (!ep_edge_model(c->edges.v[i], &q->optics, &q->edge[at])) continue;
            if (c->tie.n) q->edge[at].atoms = c->tie.v[i];
            at++;
            o->nedge++;
        }
        if (o->nedge) continue;
        double *shape = q->shape + k * q->nch;
        o->shape = shape;
        if (c->spectrum) st = measured(q, &p->in[EP_MLLS_REFERENCES], c->spectrum, c->low_loss.n ? c->low_loss.v[0] : NULL, shape, e);
        else st = learn(q, &p->in[EP_MLLS_REFERENCES], c, shape, e);
    }
    return st;
}

/* ---- the sum ------------------------------------------------------------------------------------------------------- */

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (!q) return;
    free(q->keep);
    free(q->col);
    free(q->edge);
    free(q->shape);
    free(q->name);
    free(q);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct ep_desc *in = p->in[EP_MLLS_INPUT].v[0].d, *low = p->in[EP_MLLS_LOW].n ? p->in[EP_MLLS_LOW].v[0].d : NULL;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    *plan = NULL;
    q->par = p->par;
    if (!ep_mlls_plural(q->par, p->in)) low = NULL;
    q->nch = ep_desc_nch(in);
    q->ny = ep_desc_ny(in);
    q->nx = ep_desc_nx(in);
    q->first = ep_axis_at(&in->energy, 0);
    q->channel = ep_axis_at(&in->energy, 1) - q->first;
    q->shifted = in->shift_max > 0;
    q->noise = (struct ep_mlls_noise){ in->gain, in->read_noise * in->read_noise, 0, 0 };
    if (low) {
        q->nlow = ep_desc_nch(low);
        q->low_first = ep_axis_at(&low->energy, 0);
        q->low_channel = ep_axis_at(&low->energy, 1) - q->low_first;
        q->low_shifted = low->shift_max > 0;
        q->noise.low_gain = low->gain;
        q->noise.low_noise2 = low->read_noise * low->read_noise;
    }
    q->optics = (struct ep_eels_optics){ in->meta.beam_energy_kev, in->meta.collection_mrad, in->meta.convergence_mrad };
    q->beam_kev = isfinite(in->meta.beam_energy_kev) ? in->meta.beam_energy_kev : 200;
    q->collection_mrad = isfinite(in->meta.collection_mrad) ? in->meta.collection_mrad : 20;
    const struct ep_signal *mask = p->in[EP_MLLS_MASK].n ? p->in[EP_MLLS_MASK].v[0].whole : NULL;
    for (size_t i = 0; mask && i < mask->n; i++) {
        if (!q->keep) q->keep = ep_xcalloc(mask->n, 1);
        double m = ep_signal_get(mask, i);
        q->keep[i] = isfinite(m) && m != 0 && !(mask->flags && ep_fatal(mask->flags[i]));
    }
    ep_status st = make_columns(q, p, e);
    if (st) free_plan(q);
    else *plan = q;
    return st;
}

/* The channels from the first to the last that are finite; false when one between them is not. The ends of an aligned sum are not. */
static bool finite_part(const float *y, size_t n, struct ep_range *r)
{
    *r = (struct ep_range){ 0, n };
    while (r->first < n && !isfinite(y[r->first])) r->first++;
    while (r->end > r->first && !isfinite(y[r->end - 1])) r->end--;
    float s = 0;
    for (size_t i = r->first; i < r->end; i++) s += 0 * y[i];
    return s == 0 && r->end > r->first;
}

static void add_spectrum(struct acc *acc, int which, double *sum, const float *y, struct ep_range r, size_t nch, int64_t move)
{
    int64_t first = (int64_t)r.first + move, end = (int64_t)r.end + move, up = first > 0 ? first : 0;
    if (up > acc->up[which]) acc->up[which] = up;
    if (end - (int64_t)nch < acc->down[which]) acc->down[which] = end - (int64_t)nch;
    for (int64_t i = up; i < end && i < (int64_t)nch; i++) sum[i] += (double)y[i - move];
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *q = a->plan;
    const struct ep_cell *in = &a->in[0], *low = q->nlow ? &a->in[1] : NULL;
    struct acc *acc = accumulator;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            size_t at = ep_in_at(in, y, x);
            if (ep_fatal(in->flag[at]) || (q->keep && !q->keep[y * q->nx + x])) continue;
            const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)), *l = NULL;
            struct ep_range part, low_part = { 0, 0 };
            if (!finite_part(v, q->nch, &part)) continue;
            double shift = ep_shift_at(in, at), move = rint(shift / q->channel), low_move = 0;
            if (low) {
                size_t low_at = ep_in_at(low, y, x);
                l = ep_cell_spectrum(low, ep_in_y(low, y), ep_in_x(low, x));
                if (ep_fatal(low->flag[low_at]) || !finite_part(l, q->nlow, &low_part)) continue;
                low_move = rint((q->low_shifted ? ep_shift_at(low, low_at) : shift) / q->low_channel);
                if (!(fabs(low_move) < (double)q->nlow)) continue;
            }
            if (!(fabs(move) < (double)q->nch)) continue;
            acc->n++;
            add_spectrum(acc, 0, acc->sum, v, part, q->nch, (int64_t)move);
            if (low) add_spectrum(acc, 1, acc->sum + q->nch, l, low_part, q->nlow, (int64_t)low_move);
        }
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    const struct plan *q = plan;
    struct acc *l = left;
    const struct acc *r = right;
    l->n += r->n;
    for (int k = 0; k < 2; k++) {
        if (r->up[k] > l->up[k]) l->up[k] = r->up[k];
        if (r->down[k] < l->down[k]) l->down[k] = r->down[k];
    }
    for (size_t i = 0; i < q->nch + q->nlow; i++) l->sum[i] += r->sum[i];
}

/* ---- the fit and its variants -------------------------------------------------------------------------------------- */

struct fitted {
    struct ep_mlls m;
    struct ep_losses *plural;
    struct ep_counts low;
    struct ep_mlls_noise noise;    /* of the sum */
    struct ep_mlls_fit *f;
    size_t nvar, cap;
    struct variant { char name[40]; int group; double *counts; } *var;
    double *systematic;            /* [ncol] */
};
enum { RANGE, EXPONENTS, FORM, DECAYS, HELD, SPECTRA, EDGES, GROUPS };

static void free_fitted(struct fitted *t)
{
    ep_losses_free(t->plural);
    ep_mlls_fit_free(t->f);
    for (size_t i = 0; i < t->nvar; i++) free(t->var[i].counts);
    free(t->var);
    free(t->systematic);
}

static struct ep_mlls_range channels(const struct plan *q, double lo, double hi)
{
    double a = ceil((lo - q->first) / q->channel - 1e-3), b = ceil((hi - q->first) / q->channel - 1e-3);
    a = fmin(fmax(a, 0), (double)q->nch);
    b = fmin(fmax(b, a), (double)q->nch);
    return (struct ep_mlls_range){ (size_t)a, (size_t)b };
}

/* All pixels and all columns are known there. */
static bool known(const struct plan *q, const struct acc *acc, struct ep_mlls_range r)
{
    if ((int64_t)r.first < acc->up[0] || (int64_t)r.end > (int64_t)q->nch + acc->down[0] || r.end <= r.first) return false;
    for (size_t k = 0; k < q->ncol; k++)
        for (size_t i = r.first; !q->col[k].nedge && i < r.end; i++)
            if (!isfinite(q->col[k].shape[i])) return false;
    return true;
}

static ep_status one_variant(struct fitted *t, const struct ep_mlls *m, const double *y, int group, const char *name, struct ep_err *e)
{
    struct ep_mlls_fit *f = NULL;
    ep_status st = ep_mlls_fit(m, y, &t->noise, NULL, t->f->theta, true, &f, e);
    if (st) return st;
    EP_PUSH(t->var, t->nvar, t->cap);
    struct variant *v = &t->var[t->nvar - 1];
    snprintf(v->name, sizeof v->name, "%s", name);
    v->group = group;
    v->counts = f->counts;
    f->counts = NULL;
    ep_mlls_fit_free(f);
    return EP_OK;
}

/* Measured spectra are of another compound, or another day: their axis may be off by 0.1 eV. */
static ep_status shifted_spectra(const struct plan *q, const struct acc *acc, struct fitted *t, struct ep_err *e)
{
    struct ep_mlls_column *col = ep_xcalloc(q->ncol, sizeof *col);
    double *shape = ep_xcalloc(q->ncol * q->nch, sizeof *shape), f = fmin(0.1 / q->channel, 1);
    bool any = false;
    ep_status st = EP_OK;
    memcpy(col, q->col, q->ncol * sizeof *col);
    for (int up = 0; !st && up < 2; up++) {
        for (size_t k = 0; k < q->ncol; k++) {
            double *s = shape + k * q->nch;
            if (q->col[k].nedge || !ep_mlls_colpar(q->par, k)->spectrum) continue;
            any = true;
            for (size_t i = 0; i < q->nch; i++) {
                size_t j = up ? i + (i + 1 < q->nch) : i - (i > 0);
                s[i] = isfinite(col[k].shape[j]) ? (1 - f) * q->col[k].shape[i] + f * q->col[k].shape[j] : q->col[k].shape[i];
            }
            col[k].shape = s;
        }
        struct ep_mlls m = t->m;
        m.col = col;
        if (any) st = one_variant(t, &m, acc->sum, SPECTRA, up ? "spectra by -0.1 eV" : "spectra by +0.1 eV", e);
        memcpy(col, q->col, q->ncol * sizeof *col);
    }
    free(col);
    free(shape);
    return st;
}

static ep_status variants(const struct plan *q, const struct acc *acc, struct fitted *t, struct ep_err *e)
{
    static const double lower[] = { -2, 2, 0, 0 }, upper[] = { 0, 0, -8, 8 }, exponent[] = { -1, 1 };
    ep_status st = EP_OK;
    char name[64];
    for (size_t i = 0; !st && i < 4; i++) {
        struct ep_mlls m = t->m;
        double lo = q->par->range[0] + lower[i], hi = q->par->range[1] + upper[i];
        m.fit = channels(q, lo, hi);
        if (!known(q, acc, m.fit) || m.fit.end < m.count.end || m.fit.first > m.count.first) continue;
        snprintf(name, sizeof name, "range %g-%g eV", lo, hi);
        st = one_variant(t, &m, acc->sum, RANGE, name, e);
    }
    for (size_t i = 0; !st && i < 2; i++) {
        struct ep_mlls m = t->m;
        for (size_t k = 0; k < m.nexp; k++) m.exponent[k] += exponent[i];
        snprintf(name, sizeof name, "exponents %+g", exponent[i]);
        st = one_variant(t, &m, acc->sum, EXPONENTS, name, e);
    }
    struct ep_mlls other = t->m;
    other.resonance = true;
    for (size_t k = 0; !st && k < q->ncol; k++)
        if (q->col[k].nedge && q->col[k].edge[0].shape != EP_EDGE_LI_K) {
            bool metal = q->col[k].edge[0].shape == EP_EDGE_M23;
            st = one_variant(t, &other, acc->sum, FORM, metal ? "M edges as resonances" : "sections as tabulated", e);
            break;
        }
    bool tied = false;
    for (size_t k = 0; k < q->ncol; k++) tied |= q->col[k].nedge > 1;
    for (int sign = -1; !st && tied && sign <= 1; sign += 2) {
        struct ep_mlls m = t->m;
        m.slant = sign * 0.2;                    /* one decay for all is an assumption */
        st = one_variant(t, &m, acc->sum, DECAYS, sign < 0 ? "later edges decay faster" : "later edges decay slower", e);
    }
    /* Where there is little lithium, its shape is free to follow what the other edges' lack. */
    struct ep_mlls held = t->m;
    bool any = false;
    for (size_t i = 0; i < held.ntheta; i++)
        if (q->col[held.par[i].col].edge[0].shape == EP_EDGE_LI_K) {
            held.par[i].sigma *= 0.01;
            any = true;
        }
    if (!st && any) st = one_variant(t, &held, acc->sum, HELD, "Li K as expected", e);
    if (!st) st = shifted_spectra(q, acc, t, e);
    for (size_t i = 0; !st && i < t->m.ntheta; i++) {
        struct ep_mlls m = t->m;
        if (!(m.par[i].doubt > 0)) continue;
        m.par[i].mean += m.par[i].doubt;
        if (strstr(m.par[i].name, "height")) m.par[i].sigma = 0.01;      /* held: the fit would undo it at other edges' cost */
        snprintf(name, sizeof name, "%.23s %+g", m.par[i].name, m.par[i].doubt);
        st = one_variant(t, &m, acc->sum, EDGES, name, e);
    }
    return st;
}

/* Of a group of alternatives (ranges, exponents, forms) the largest change, of the edges' constants the root of the squares. */
static void add_up(struct fitted *t)
{
    for (size_t k = 0; k < t->m.ncol; k++) {
        double largest[GROUPS] = { 0 }, squares = 0;
        for (size_t i = 0; i < t->nvar; i++) {
            double d = t->var[i].counts[k] - t->f->counts[k];
            if (t->var[i].group == EDGES) squares += d * d;
            else largest[t->var[i].group] = fmax(largest[t->var[i].group], fabs(d));
        }
        for (int g = 0; g < EDGES; g++) squares += largest[g] * largest[g];
        t->systematic[k] = sqrt(squares);
    }
}

static ep_status fit_sum(const struct plan *q, const struct acc *acc, struct fitted *t, struct ep_err *e)
{
    const struct ep_mlls_params *par = q->par;
    double n = (double)acc->n, total = 0;
    *t = (struct fitted){ .noise = q->noise };
    t->noise.noise2 *= n;
    t->noise.low_noise2 *= n;
    t->systematic = ep_xcalloc(q->ncol, sizeof *t->systematic);
    if (acc->n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel is left to fit the sum of: all are masked, or not finite");
    t->m = (struct ep_mlls){ .nch = q->nch, .first = q->first, .step = q->channel, .ncol = q->ncol, .col = q->col, .nexp = par->background.n,
                             .beam_kev = q->beam_kev, .collection_mrad = q->collection_mrad, .convolve = par->plural == EP_MLLS_CONVOLVED };
    for (size_t k = 0; k < par->background.n; k++) t->m.exponent[k] = par->background.v[k];
    t->m.fit = channels(q, par->range[0], par->range[1]);
    t->m.count = channels(q, par->count[0], par->count[1]);
    if (!known(q, acc, t->m.fit))
        return ep_fail(e, EP_E_COMPUTE, "not all pixels and columns reach over the range from %g to %g eV: choose a smaller one", par->range[0],
                       par->range[1]);
    for (size_t i = t->m.fit.first; i < t->m.fit.end; i++) total += acc->sum[i];
    if (!(total > 0)) return ep_fail(e, EP_E_COMPUTE, "there are no counts within the range of the fit");
    ep_status st = EP_OK;
    if (q->nlow) {
        size_t up = (size_t)acc->up[1], down = (size_t)-acc->down[1], core_up = (size_t)acc->up[0], core_down = (size_t)-acc->down[0];
        if (up + down + 10 > q->nlow) return ep_fail(e, EP_E_COMPUTE, "the low loss is shifted too far");
        t->low = (struct ep_counts){ acc->sum + q->nch + up, q->nlow - up - down, q->low_first + (double)up * q->low_channel, q->low_channel };
        struct ep_counts core = { acc->sum + core_up, q->nch - core_up - core_down, q->first + (double)core_up * q->channel, q->channel };
        if (t->m.convolve) core = (struct ep_counts){ .step = q->channel };
        st = ep_losses_new(&t->low, &core, t->m.convolve ? par->range[1] - q->first : par->range[1] + 10, &t->plural, e);
        t->m.plural = t->plural;
    }
    if (!st) st = ep_mlls_parameters(&t->m, e);
    if (!st) st = ep_mlls_fit(&t->m, acc->sum, &t->noise, q->nlow ? &t->low : NULL, NULL, false, &t->f, e);
    if (!st && par->systematics) st = variants(q, acc, t, e);
    if (!st) add_up(t);
    return st;
}

/* ---- tables -------------------------------------------------------------------------------------------------------- */

#define NUM(t, name, unit, v, sigma) (st = st ? st : ep_table_add(t, name, unit, v, sigma, NULL, e))
#define TEXT(t, name, v) (st = st ? st : ep_table_add(t, name, "", NULL, NULL, v, e))

/* Two columns that the fit can't tell apart. */
static void name_alike(const struct plan *q, const struct fitted *t, char *text, size_t size)
{
    size_t n = t->m.ncol + t->m.nexp;
    for (size_t k = 0; k < q->ncol; k++)
        for (size_t j = 0; j < k; j++)
            if (fabs(t->f->correlation[k * n + j]) > 0.98)
                snprintf(text, size, "%s and %s can hardly be told apart: correlation %.3f", q->name[j], q->name[k], t->f->correlation[k * n + j]);
}

/* rms of (counts - model)/model that noise does not explain. */
static double misfit_of(const struct fitted *t, const double *y)
{
    double excess = 0, n = 0;
    for (size_t i = t->m.fit.first; i < t->m.fit.end; i++) {
        double m = t->f->model[i], d = y[i] - m;
        if (!(m > 0)) continue;
        excess += (d * d - t->noise.gain * m - t->noise.noise2) / (m * m);
        n++;
    }
    return sqrt(fmax(excess, 0) / fmax(n, 1));
}

/* What a systematic is compared with: the amount itself, but little lithium is still a number where something says what little is: the amount
 * of a compound's tied edges, or where a measured spectrum stands for all else, a twentieth of the counts in the window. */
static double scale_of(const struct plan *q, const struct fitted *t, const double *y, size_t k)
{
    double s = fabs(t->f->counts[k]), all = 0;
    for (size_t i = t->m.count.first; i < t->m.count.end; i++) all += y[i];
    for (size_t j = 0; j < q->ncol; j++) {
        if (q->col[j].nedge > 1) s = fmax(s, fabs(t->f->counts[j]));
        if (q->col[j].nedge == 0 && j != k) s = fmax(s, 0.05 * all);
    }
    return s;
}

static ep_status fit_table(const struct plan *q, const struct acc *acc, const struct fitted *t, struct ep_signal **out, struct ep_err *e)
{
    double n = (double)acc->n, dof = (double)t->f->dof, bound = t->f->at_bound, none = (double)NAN;
    const struct ep_losses *p = t->plural;
    char text[200] = "fits";
    double misfit = 100 * misfit_of(t, acc->sum);
    if (misfit > 1) snprintf(text, sizeof text, "the model differs from the sum by %.1f %% beyond noise: an edge or a reference is wrong", misfit);
    name_alike(q, t, text, sizeof text);
    for (size_t k = q->ncol; k-- > 0;)
        if (t->systematic[k] > q->par->separable * scale_of(q, t, acc->sum, k))
            snprintf(text, sizeof text, "%s is not separable: %.3g counts, but %.3g under other assumptions that are as good", q->name[k],
                     t->f->counts[k], t->f->counts[k] + t->systematic[k]);
    const char *verdict = text;
    ep_status st = ep_table_new("fit", 1, out, e);
    NUM(*out, "pixels", "", &n, NULL);
    NUM(*out, "reduced_chi_square", "", &t->f->chi2, NULL);
    NUM(*out, "degrees_of_freedom", "", &dof, NULL);
    NUM(*out, "misfit", "%", &misfit, NULL);
    NUM(*out, "at_bound", "", &bound, NULL);
    NUM(*out, "t_over_lambda", "", p ? &p->t_over_lambda : &none, NULL);
    NUM(*out, "zero_loss_position", "eV", p ? &p->zlp : &none, NULL);
    NUM(*out, "zero_loss_end", "eV", p ? &p->end : &none, NULL);
    double amount = p ? p->scale * p->t_over_lambda : none, exposure = p ? p->scale / p->i0 : none;
    NUM(*out, "thickness_counts", "counts", &amount, NULL);
    NUM(*out, "core_per_low_loss", "", &exposure, NULL);
    TEXT(*out, "verdict", &verdict);
    return st;
}

static ep_status counts_table(const struct plan *q, const struct fitted *t, const double *y, struct ep_signal **out, struct ep_err *e)
{
    size_t n = q->ncol;
    double *v = ep_xcalloc(3 * n, sizeof *v), *sigma = v, *scale = v + n, *single = v + 2 * n;
    for (size_t k = 0; k < n; k++) {
        sigma[k] = sqrt(t->f->cov[k * n + k]);
        scale[k] = scale_of(q, t, y, k);
        single[k] = t->f->counts[k] * t->f->thick[k];
    }
    ep_status st = ep_table_new("counts", n, out, e);
    TEXT(*out, "column", q->name);
    NUM(*out, "counts", "counts", t->f->counts, sigma);
    NUM(*out, "systematic", "counts", t->systematic, NULL);
    NUM(*out, "scale", "counts", scale, NULL);
    NUM(*out, "single", "counts", single, NULL);
    free(v);
    return st;
}

static ep_status square_table(const struct plan *q, const char *name, const double *v, size_t width, struct ep_signal **out, struct ep_err *e)
{
    double *c = ep_xcalloc(q->ncol, sizeof *c);
    ep_status st = ep_table_new(name, q->ncol, out, e);
    TEXT(*out, "column", q->name);
    for (size_t j = 0; j < q->ncol; j++) {
        for (size_t k = 0; k < q->ncol; k++) c[k] = v[k * width + j];
        NUM(*out, q->name[j], "", c, NULL);
    }
    free(c);
    return st;
}

static ep_status shapes_table(const struct fitted *t, struct ep_signal **out, struct ep_err *e)
{
    size_t np = t->m.ntheta, n = np + t->m.nexp;
    double *v = ep_xcalloc(4 * n, sizeof *v);
    char (*name)[24] = ep_xcalloc(n, sizeof *name);
    const char **names = ep_xcalloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        bool shape = i < np;
        if (shape) memcpy(name[i], t->m.par[i].name, sizeof name[i]);
        else snprintf(name[i], sizeof name[i], "exponent %zu", i - np + 1);
        names[i] = name[i];
        v[i] = shape ? t->f->theta[i] : t->m.exponent[i - np];
        v[n + i] = shape ? t->f->theta_sigma[i] : 0;
        v[2 * n + i] = shape ? t->m.par[i].mean : v[i];
        v[3 * n + i] = shape ? t->m.par[i].sigma : 0;
    }
    ep_status st = ep_table_new("shapes", n, out, e);
    TEXT(*out, "parameter", names);
    NUM(*out, "value", "", v, v + n);
    NUM(*out, "expected", "", v + 2 * n, v + 3 * n);
    free(v);
    free(name);
    free(names);
    return st;
}

static ep_status variants_table(const struct plan *q, const struct fitted *t, struct ep_signal **out, struct ep_err *e)
{
    size_t n = t->nvar + 1;
    const char **names = ep_xcalloc(n, sizeof *names);
    double *v = ep_xcalloc(n, sizeof *v);
    names[0] = "as asked for";
    for (size_t i = 1; i < n; i++) names[i] = t->var[i - 1].name;
    ep_status st = ep_table_new("variants", n, out, e);
    TEXT(*out, "variant", names);
    for (size_t k = 0; k < q->ncol; k++) {
        for (size_t i = 0; i < n; i++) v[i] = i ? t->var[i - 1].counts[k] : t->f->counts[k];
        NUM(*out, q->name[k], "counts", v, NULL);
    }
    free(names);
    free(v);
    return st;
}

static void put(struct ep_signal *s, const double *v, size_t n)
{
    if (s) memcpy(s->f64, v, n * sizeof *v);
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *q = plan;
    const struct acc *acc = accumulator;
    struct fitted t;
    ep_status st = fit_sum(q, acc, &t, e);
    if (!st) {
        put(out[EP_MLLS_SUM], acc->sum, q->nch);
        put(out[EP_MLLS_MODEL], t.f->model, q->nch);
        put(out[EP_MLLS_BACK], t.f->back, q->nch);
        put(out[EP_MLLS_PLURAL], t.f->plural, q->nch);
        for (size_t k = 0; k < q->ncol; k++) {
            put(out[EP_MLLS_NLOOK + k], t.f->column + k * q->nch, q->nch);
            put(out[EP_MLLS_NLOOK + q->ncol + k], t.f->single + k * q->nch, q->nch);
        }
        st = fit_table(q, acc, &t, &out[EP_MLLS_FIT], e);
        if (!st) st = counts_table(q, &t, acc->sum, &out[EP_MLLS_COUNTS], e);
        if (!st) st = square_table(q, "covariance", t.f->cov, q->ncol, &out[EP_MLLS_COVARIANCE], e);
        if (!st) st = shapes_table(&t, &out[EP_MLLS_SHAPES], e);
        if (!st) st = square_table(q, "correlation", t.f->correlation, q->ncol + t.m.nexp, &out[EP_MLLS_CORRELATION], e);
        if (!st) st = variants_table(q, &t, &out[EP_MLLS_VARIANTS], e);
    }
    free_fitted(&t);
    return st;
}

static const struct ep_outdoc outputs[] = {
    { "sum", EP_SPECTRUM, "counts", "The sum of the pixels." },
    { "model", EP_SPECTRUM, "counts", "Its fit, plural scattering included." },
    { "background", EP_SPECTRUM, "counts", "The powers of the energy in it." },
    { "plural", EP_SPECTRUM, "counts", "What plural scattering adds to single scattering, from the low loss." },
    { "fit", EP_TABLE, "", "Chi-square, t/lambda, and whether the model fits and its columns differ." },
    { "counts", EP_TABLE, "", "Counts of each column in the window, with noise and systematic sigma, what the latter is compared with, and the part "
                              "of single scattering." },
    { "covariance", EP_TABLE, "", "The covariance of these counts, from noise." },
    { "shapes", EP_TABLE, "", "The parameters of modelled edges as fitted, and as expected." },
    { "correlation", EP_TABLE, "", "The correlation of the columns: near 1 or -1 they can't be told apart." },
    { "variants", EP_TABLE, "", "The counts under other ranges, exponents and constants of the edges." },
    { "column_<name>", EP_SPECTRUM, "", "Each column with plural scattering, per count in the window." },
    { "single_<name>", EP_SPECTRUM, "", "Each column without plural scattering, on the same scale." },
};

const struct ep_stage ep_mlls_look = {
    .name = "mlls_look",
    .summary = "Fits the sum of the pixels, to learn the shapes of edges and what plural scattering adds.",
    .reference = "G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.",
    .method = "The fit of the sum of the pixels and its variants, as the stage mlls describes them.",
    .version = 2,
    .params = ep_mlls_params, .params_size = sizeof(struct ep_mlls_params),
    .ports = ep_mlls_ports, .nports = EP_MLLS_NPORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
