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
#include "stages/mlls_sum.h"
#include "stages/pixels.h"

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
    d->acc = sizeof(struct ep_mlls_acc) + (ep_desc_nch(in) + (low ? ep_desc_nch(low) : 0)) * sizeof(double);
}

/* ---- the sum ------------------------------------------------------------------------------------------------------- */

static void free_plan(void *plan)
{
    struct ep_mlls_sum *q = plan;
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
    struct ep_mlls_sum *q = ep_xcalloc(1, sizeof *q);
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
    ep_status st = ep_mlls_columns(q, p, e);
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

static void add_spectrum(struct ep_mlls_acc *acc, int which, double *sum, const float *y, struct ep_range r, size_t nch, int64_t move)
{
    int64_t first = (int64_t)r.first + move, end = (int64_t)r.end + move, up = first > 0 ? first : 0;
    if (up > acc->up[which]) acc->up[which] = up;
    if (end - (int64_t)nch < acc->down[which]) acc->down[which] = end - (int64_t)nch;
    for (int64_t i = up; i < end && i < (int64_t)nch; i++) sum[i] += (double)y[i - move];
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct ep_mlls_sum *q = a->plan;
    const struct ep_cell *in = &a->in[0], *low = q->nlow ? &a->in[1] : NULL;
    struct ep_mlls_acc *acc = accumulator;
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
    const struct ep_mlls_sum *q = plan;
    struct ep_mlls_acc *l = left;
    const struct ep_mlls_acc *r = right;
    l->n += r->n;
    for (int k = 0; k < 2; k++) {
        if (r->up[k] > l->up[k]) l->up[k] = r->up[k];
        if (r->down[k] < l->down[k]) l->down[k] = r->down[k];
    }
    for (size_t i = 0; i < q->nch + q->nlow; i++) l->sum[i] += r->sum[i];
}

/* ---- finish ---------------------------------------------------------------------------------------------------------- */

static void put(struct ep_signal *s, const double *v, size_t n)
{
    if (s) memcpy(s->f64, v, n * sizeof *v);
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct ep_mlls_sum *q = plan;
    const struct ep_mlls_acc *acc = accumulator;
    struct ep_mlls_fitted t;
    ep_status st = ep_mlls_fit_sum(q, acc, &t, e);
    if (!st) {
        put(out[EP_MLLS_SUM], acc->sum, q->nch);
        put(out[EP_MLLS_MODEL], t.f->model, q->nch);
        put(out[EP_MLLS_BACK], t.f->back, q->nch);
        put(out[EP_MLLS_PLURAL], t.f->plural, q->nch);
        for (size_t k = 0; k < q->ncol; k++) {
            put(out[EP_MLLS_NLOOK + k], t.f->column + k * q->nch, q->nch);
            put(out[EP_MLLS_NLOOK + q->ncol + k], t.f->single + k * q->nch, q->nch);
        }
        st = ep_mlls_tables(q, acc, &t, out, e);
    }
    ep_mlls_free_fitted(&t);
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
    .version = 3,
    .params = ep_mlls_params, .params_size = sizeof(struct ep_mlls_params),
    .ports = ep_mlls_ports, .nports = EP_MLLS_NPORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
