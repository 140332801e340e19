/* A part of a signal: energies, rows, columns. Nothing is computed; positions stay what they were. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/pixels.h"

struct par { double energy[2], rows[2], columns[2]; };

static const struct ep_param params[] = {
    { .name = "energy", .type = EP_P_WINDOW, .offset = offsetof(struct par, energy), .unit = "eV",
      .doc = "The energies to keep, from the first (included) to the second (not included)." },
    { .name = "rows", .type = EP_P_WINDOW, .offset = offsetof(struct par, rows), .unit = "px",
      .doc = "The rows to keep, counted from 0, from the first (included) to the second (not included)." },
    { .name = "columns", .type = EP_P_WINDOW, .offset = offsetof(struct par, columns), .unit = "px",
      .doc = "The columns to keep, counted from 0, from the first (included) to the second (not included)." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "What to cut from.", .kinds = EP_IMAGE | EP_SPECTRUM | EP_MAP, .stream = true, .min = 1, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "cropped", EP_IMAGE, "counts", "The part, as a signal of the same kind as the input." },
};

struct plan { size_t ch0, dy, dx; struct ep_desc d; /* of the output, noise as the input really has it */ };

static struct ep_range channels(const struct par *p, const struct ep_desc *in)
{
    if (!ep_window_given(p->energy)) return (struct ep_range){ 0, ep_desc_nch(in) };
    return ep_axis_window(&in->energy, p->energy[0], p->energy[1], 0, NULL);
}

/* Cuts a navigation axis; the whole axis when nothing is given or what is given is wrong. */
static struct ep_range cut_axis(struct ep_declare *d, const char *param, const double w[2], struct ep_axis *axis)
{
    struct ep_range all = { 0, axis ? axis->size : 1 };
    if (!ep_window_given(w)) return all;
    if (!axis) {
        ep_declare_error(d, param, "the input has no %s", param);
        return all;
    }
    if (w[0] != floor(w[0]) || w[1] != floor(w[1]) || w[0] < 0 || w[1] > (double)axis->size) {
        ep_declare_error(d, param, "%g to %g does not fit: whole numbers from 0 to %zu are needed", w[0], w[1], axis->size);
        return all;
    }
    struct ep_range r = { (size_t)w[0], (size_t)w[1] };
    axis->offset += axis->scale * w[0];
    axis->size = r.end - r.first;
    return r;
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    bool rows = ep_window_given(p->rows), columns = ep_window_given(p->columns);
    if (!ep_window_given(p->energy) && !rows && !columns)
        ep_declare_error(d, NULL, "nothing to crop: give energy, rows or columns");
    struct ep_desc *o = ep_declare_like(d, "cropped", in, in->long_name);
    o->primary = true;
    if (ep_window_given(p->energy)) {
        struct ep_range r = ep_declare_window(d, "energy", in, p->energy, 1);
        if (r.first < r.end) {
            o->energy.offset += o->energy.scale * (double)r.first;
            o->energy.size = r.end - r.first;
            o->low.end = o->low.end > r.first ? o->low.end - r.first : 0;
        }
    }
    if (rows && in->nnav == 3)
        ep_declare_error(d, "rows", "the input is a series of frames, whose rows can't be cropped; crop the columns, or exclude rows "
                                    "at the input");
    struct ep_axis *y = o->nnav == 2 ? &o->nav[0] : NULL, *x = o->nnav ? &o->nav[o->nnav - 1] : NULL;
    struct ep_range ry = { 0, 0 }, rx;
    if (in->nnav != 3) ry = cut_axis(d, "rows", p->rows, y);
    rx = cut_axis(d, "columns", p->columns, x);
    if (rows || columns)
        d->regrid = (struct ep_regrid){ .on = true, .y0 = ry.first, .x0 = rx.first, .fy = 1, .fx = 1, .ny = ep_desc_ny(o), .nx = ep_desc_nx(o) };
    d->scratch = sizeof(struct ep_model) + ep_desc_nch(in) * sizeof(double);
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct ep_desc *desc = d->in[0].v[0].d;
    if (!desc->spectral) return;
    size_t first = channels(d->par, desc).first;
    in[0].ch = (struct ep_range){ out[0].ch.first + first, out[0].ch.end + first };
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    const struct par *par = p->par;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    q->ch0 = channels(par, p->in[0].v[0].d).first;
    q->dy = ep_window_given(par->rows) ? (size_t)par->rows[0] : 0;
    q->dx = ep_window_given(par->columns) ? (size_t)par->columns[0] : 0;
    q->d = p->out[0];
    q->d.gain = p->in[0].v[0].d->gain;
    q->d.read_noise = p->in[0].v[0].d->read_noise;
    *plan = q;
    return EP_OK;
}

/* Channel i of the part is channel ch0 + i of the input: the model's channels count from there. */
static const struct ep_model *model_of_part(const struct ep_model *m, size_t ch0, struct ep_model *room)
{
    if (!m || ch0 == 0) return m;
    *room = *m;
    room->first = m->first + ch0 * m->bin;
    return room;
}

static void put_sigma(const struct ep_apply *a, const struct ep_cell *in, const struct plan *p, size_t y, size_t x)
{
    const struct ep_cell *o = &a->out[0];
    if (o->d->kind == EP_MAP) {
        o->sigma[y * a->area.nx + x] = in->sigma ? in->sigma[ep_in_at(in, a->area.y0 + p->dy + y, a->area.x0 + p->dx + x)] : NAN;
        return;
    }
    double *var = (double *)(void *)((char *)a->scratch + sizeof(struct ep_model));
    struct ep_cell c = *o;
    c.d = &p->d;
    ep_channel_variances(&c, y, x, (struct ep_range){ o->ch0, o->ch0 + o->nch }, var, NULL);
    for (size_t i = 0; i < o->nch; i++) o->sigma[i] = (float)sqrt(var[i]);
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_cell *in = &a->in[0];
    struct ep_cell *o = &a->out[0];
    if (!o->val) return EP_OK;
    ep_carry(a, in, p->dy, p->dx, o);
    o->model = model_of_part(in->model, p->ch0, a->scratch);
    size_t skip = in->d->spectral ? o->ch0 + p->ch0 - in->ch0 : 0;
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            if (ep_fatal(a->flag[y * a->area.nx + x])) {
                ep_fill_nan(o, y, x);
                continue;
            }
            const float *from = ep_cell_spectrum(in, ep_in_y(in, a->area.y0 + p->dy + y), ep_in_x(in, a->area.x0 + p->dx + x)) + skip;
            memcpy(ep_cell_spectrum(o, y, x), from, o->nch * sizeof *from);
            if (o->sigma) put_sigma(a, in, p, y, x);
        }
    return EP_OK;
}

const struct ep_stage ep_stage_crop = {
    .name = "crop",
    .summary = "Keeps a part of a signal: a range of energies, rows or columns.",
    .reference = "None: values are copied.",
    .method = "Values are copied, and the axes' offsets move along, so that energies and positions stay what they were. Sigmas, the "
              "background model of a net image and the shifts of an aligned one go with the pixels. Of an aligned image the energies "
              "are those of the unshifted axis.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = apply,
};
