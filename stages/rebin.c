/* Sums of neighbouring channels and pixels. Sums of independent counts keep variance = gain*sum + n*read_noise^2. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/pixels.h"

struct par { int64_t energy; struct ep_numbers space; };

static const struct ep_param params[] = {
    { .name = "energy", .type = EP_P_INT, .offset = offsetof(struct par, energy), .def = "1", .min = 1, .max = 65536,
      .doc = "How many channels are summed to one; channels left over at the end are dropped." },
    { .name = "space", .type = EP_P_NUMBERS, .offset = offsetof(struct par, space), .unit = "px", .def = "[1]", .min = 1, .max = 65536,
      .min_items = 1, .max_items = 2,
      .doc = "How many rows and columns are summed to one pixel, one number for both; those left over at the end are dropped." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "Counts; a background-subtracted input can be rebinned in energy alone.", .kinds = EP_IMAGE | EP_SPECTRUM,
      .stream = true, .min = 1, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "rebinned", EP_IMAGE, "counts", "The sums, as a signal of the same kind as the input." },
};

struct plan { size_t e, fy, fx; struct ep_desc d; /* of the output, noise as the input really has it */ };

static void factors(const struct par *p, size_t *fy, size_t *fx)
{
    *fy = (size_t)p->space.v[0];
    *fx = (size_t)p->space.v[p->space.n - 1];
}

/* Bins of f: the first is centred (f-1)/2 channels after the first channel. */
static bool bin_axis(struct ep_axis *a, size_t f)
{
    if (a->size < f) return false;
    a->offset += a->scale * ((double)f - 1) / 2;
    a->scale *= (double)f;
    a->size /= f;
    return true;
}

static void check_space(struct ep_declare *d, const struct ep_desc *in, size_t fy, size_t fx)
{
    if (in->modelled)
        ep_declare_error(d, "space", "the input is background-subtracted: sum raw counts instead (put rebin before background)");
    if (in->shift_max > 0)
        ep_declare_error(d, "space", "the pixels' energy axes are shifted against one another: put rebin before align, or use sum_spectrum");
    if (in->nnav == 0) ep_declare_error(d, "space", "the input is one spectrum: there are no pixels to sum");
    if (in->nnav == 1 && fy > 1 && fy != fx) ep_declare_error(d, "space", "the input has one row: give one number");
    if (in->nnav == 3 && in->nav[1].size % fy != 0)
        ep_declare_error(d, "space", "the frames of the series have %zu rows, which %zu does not divide", in->nav[1].size, fy);
}

static void declare_space(struct ep_declare *d, const struct ep_desc *in, struct ep_desc *o, size_t fy, size_t fx)
{
    size_t before = d->diag->nerrors;
    check_space(d, in, fy, fx);
    if (d->diag->nerrors > before) return;
    if (in->nnav == 1) fy = 1;
    bool ok = bin_axis(&o->nav[in->nnav - 1], fx);
    if (in->nnav > 1) ok &= bin_axis(&o->nav[in->nnav - 2], fy);
    if (!ok) {
        ep_declare_error(d, "space", "the input has %zu x %zu pixels, fewer than %zu x %zu", ep_desc_ny(in), ep_desc_nx(in), fy, fx);
        return;
    }
    o->read_noise *= sqrt((double)(fy * fx));
    o->low.read_noise *= sqrt((double)(fy * fx));
    d->regrid = (struct ep_regrid){ .on = true, .fy = fy, .fx = fx, .ny = ep_desc_ny(o), .nx = ep_desc_nx(o) };
    d->halo = (fy > fx ? fy : fx) - 1;
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_desc *o = ep_declare_like(d, "rebinned", in, in->long_name);
    o->primary = true;
    for (size_t i = 0; i < p->space.n; i++)
        if (p->space.v[i] != floor(p->space.v[i])) {
            ep_declare_error(d, "space", "%g is not a whole number of pixels", p->space.v[i]);
            return;
        }
    if (!bin_axis(&o->energy, (size_t)p->energy))
        ep_declare_error(d, "energy", "the axis has %zu channels, fewer than %lld", in->energy.size, (long long)p->energy);
    o->read_noise *= sqrt((double)p->energy);
    o->low.read_noise *= sqrt((double)p->energy);
    o->low.end = (o->low.end + (size_t)p->energy - 1) / (size_t)p->energy;
    size_t fy, fx;
    factors(p, &fy, &fx);
    if (fy > 1 || fx > 1) declare_space(d, in, o, fy, fx);
    d->scratch = sizeof(struct ep_model) + o->energy.size * sizeof(double);
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    size_t e = (size_t)((const struct par *)d->par)->energy;
    in[0].ch = (struct ep_range){ out[0].ch.first * e, out[0].ch.end * e };
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    const struct par *par = p->par;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    q->e = (size_t)par->energy;
    factors(par, &q->fy, &q->fx);
    if (p->in[0].v[0].d->nnav < 2) q->fy = 1;
    q->d = p->out[0];
    q->d.gain = p->in[0].v[0].d->gain;
    q->d.read_noise = p->in[0].v[0].d->read_noise * sqrt((double)(q->e * q->fy * q->fx));
    *plan = q;
    return EP_OK;
}

static void add_channels(double *sum, const float *y, size_t n, size_t e)
{
    if (e == 1) {
        for (size_t i = 0; i < n; i++) sum[i] += (double)y[i];
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < e; k++) sum[i] += (double)y[i * e + k];
}

/* Channel i holds channels i*e .. i*e + e-1 of the input: the model's bins grow. */
static const struct ep_model *model_of_bins(const struct ep_model *m, size_t e, struct ep_model *room)
{
    if (!m || e == 1) return m;
    *room = *m;
    room->bin = m->bin * e;
    return room;
}

static void sum_pixel(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, double *sum)
{
    const struct ep_cell *in = &a->in[0], *o = &a->out[0];
    for (size_t i = 0; i < o->nch; i++) sum[i] = 0;
    for (size_t v = 0; v < p->fy; v++)
        for (size_t u = 0; u < p->fx; u++) {
            size_t py = (a->area.y0 + y) * p->fy + v, px = (a->area.x0 + x) * p->fx + u;
            a->flag[y * a->area.nx + x] |= in->flag[ep_in_at(in, py, px)];
            add_channels(sum, ep_cell_spectrum(in, ep_in_y(in, py), ep_in_x(in, px)) + (o->ch0 * p->e - in->ch0), o->nch, p->e);
        }
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    struct ep_cell *o = &a->out[0];
    double *sum = (double *)(void *)((char *)a->scratch + sizeof(struct ep_model));
    if (!o->val) return EP_OK;
    if (p->fy == 1 && p->fx == 1) ep_carry(a, &a->in[0], 0, 0, o);
    o->model = model_of_bins(a->in[0].model, p->e, a->scratch);
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            sum_pixel(a, p, y, x, sum);
            if (ep_fatal(a->flag[y * a->area.nx + x])) {
                ep_fill_nan(o, y, x);
                continue;
            }
            float *to = ep_cell_spectrum(o, y, x);
            for (size_t i = 0; i < o->nch; i++) to[i] = (float)sum[i];
            if (!o->sigma) continue;
            struct ep_cell c = *o;
            c.d = &p->d;
            ep_channel_variances(&c, y, x, (struct ep_range){ o->ch0, o->ch0 + o->nch }, sum, NULL);
            for (size_t i = 0; i < o->nch; i++) o->sigma[i] = (float)sqrt(sum[i]);
        }
    return EP_OK;
}

const struct ep_stage ep_stage_rebin = {
    .name = "rebin",
    .summary = "Sums neighbouring channels, pixels, or both.",
    .reference = "Counting statistics; no publication.",
    .method = "Counts are added, never averaged, so that they stay counts and the noise of the sums is known. What does not fill a whole "
              "bin at the end of an axis is dropped, and the offset of an axis moves to the centre of its first bin. A pixel that covers one "
              "without a value has none either. Net and aligned images can be rebinned in energy; in space put rebin before background and "
              "align.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = apply,
};
