/* The columns of mlls: modelled edges, measured spectra, shapes learned from two. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/mlls_sum.h"
#include "stages/pixels.h"

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
static ep_status measured(const struct ep_mlls_sum *q, const struct ep_items *refs, const char *label, const char *low, double *out, struct ep_err *e)
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
static ep_status learn(const struct ep_mlls_sum *q, const struct ep_items *refs, const struct ep_mlls_colpar *c, double *out, struct ep_err *e)
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

ep_status ep_mlls_columns(struct ep_mlls_sum *q, const struct ep_prepare *p, struct ep_err *e)
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
