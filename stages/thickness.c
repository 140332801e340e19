/* t/lambda from the low loss, and t where the mean free path is known.
 *
 * t/lambda = ln(I/I0), I0 the counts of the zero-loss peak, I all counts, those of the axis and a tail:
 * beyond the axis the mean spectrum is continued as a power law, so that a pixel's tail is a
 * fixed factor times its own counts in the last fifth of the axis.
 */
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "stages/zero_loss.h"

enum { SPLIT_CUT, SPLIT_MIRROR };
enum { TAIL_AUTO, TAIL_POWER, TAIL_NONE };
static const char *const splits[] = { "cut", "mirror", NULL }, *const tails[] = { "auto", "power", "none", NULL };

struct par { struct ep_zero_loss_par zlp; int split, tail; double mean_free_path, density, effective_z; };

static const struct ep_param params[] = {
    EP_ZERO_LOSS_PARAMS,
    { .name = "zlp", .type = EP_P_WORD, .offset = offsetof(struct par, split), .def = "cut", .words = splits,
      .doc = "What counts as elastic: cut takes all counts below the end of the peak; mirror takes twice those below its centre, for a "
             "symmetric peak whose foot lies under the losses." },
    { .name = "tail", .type = EP_P_WORD, .offset = offsetof(struct par, tail), .def = "auto", .words = tails,
      .doc = "Losses beyond the axis: power continues the mean spectrum as a power law; none leaves them out; auto is power where the last "
             "fifth of the mean spectrum falls like one, else none." },
    { .name = "mean_free_path", .type = EP_P_NUMBER, .offset = offsetof(struct par, mean_free_path), .unit = "nm", .min = 0.1, .max = 1e4,
      .doc = "Of all inelastic scattering into the aperture; then the thickness in nm comes out too." },
    { .name = "density", .type = EP_P_NUMBER, .offset = offsetof(struct par, density), .unit = "", .min = 0.05, .max = 25,
      .doc = "In g/cm3: the mean free path by the formula of Iakoubovskii, from beam energy, convergence and collection angle." },
    { .name = "effective_z", .type = EP_P_NUMBER, .offset = offsetof(struct par, effective_z), .unit = "", .min = 1, .max = 100,
      .doc = "Effective atomic number: the mean free path by the formula of Malis, from beam energy and collection angle." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The low loss, as raw counts, with its zero-loss peak.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true, .min = 1,
      .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "t_over_lambda", EP_MAP, "", "Thickness over the inelastic mean free path: ln(I_total/I_0)." },
    { "thickness", EP_MAP, "nm", "Thickness; only with mean_free_path, density or effective_z." },
    { "zero_loss", EP_MAP, "counts", "Counts of the zero-loss peak." },
};
enum { OUT_RATIO };

struct plan {
    struct ep_zero_loss z;
    struct ep_axis axis;
    bool mirror, estimated;
    struct ep_desc d;              /* for the variances of channels */
    double tail; size_t tail_first;/* counts beyond the axis over those from tail_first on */
    double lambda;                 /* nm, or NaN */
    size_t out_t, out_zero;
};

/* ---- mean free path ------------------------------------------------------------------------------------------- */

static double lorentz(double e0)
{
    return (1 + e0 / 1022) / ((1 + e0 / 511) * (1 + e0 / 511));
}

/* K. Iakoubovskii et al., Microsc. Res. Tech. 71 (2008) 626: e0 in keV, angles in mrad, density in g/cm3. */
static double iakoubovskii(double density, double e0, double convergence, double collection)
{
    double f = lorentz(e0), a2 = convergence * convergence, b2 = collection * collection, d2 = fabs(a2 - b2);
    double te = 5.5 * pow(density, 0.3) / (f * e0), te2 = te * te, tc2 = 20 * 20;
    return 200 * f * e0 / (11 * pow(density, 0.3)) / log((a2 + b2 + 2 * te2 + d2) / (a2 + b2 + 2 * tc2 + d2) * tc2 / te2);
}

/* T. Malis, S. C. Cheng, R. F. Egerton, J. Electron Microsc. Tech. 8 (1988) 193. */
static double malis(double z, double e0, double collection)
{
    double f = lorentz(e0), em = 7.6 * pow(z, 0.36);
    return 106 * f * e0 / (em * log(2 * collection * e0 / em));
}

static double mean_free_path(const struct par *p, const struct ep_meta *m)
{
    if (!isnan(p->density)) return iakoubovskii(p->density, m->beam_energy_kev, m->convergence_mrad, m->collection_mrad);
    if (!isnan(p->effective_z)) return malis(p->effective_z, m->beam_energy_kev, m->collection_mrad);
    return p->mean_free_path;
}

static void check_path(struct ep_declare *d, const struct ep_meta *m)
{
    const struct par *p = d->par;
    int given = !isnan(p->mean_free_path) + !isnan(p->density) + !isnan(p->effective_z);
    if (given > 1) ep_declare_error(d, isnan(p->density) ? "effective_z" : "density", "give one of mean_free_path, density and effective_z");
    const char *param = !isnan(p->density) ? "density" : !isnan(p->effective_z) ? "effective_z" : NULL;
    if (given != 1 || !param) return;
    if (!(m->beam_energy_kev > 0)) ep_declare_error(d, param, "the formula needs the beam energy: the file has none, give beam_energy at the input");
    if (!(m->collection_mrad > 0))
        ep_declare_error(d, param, "the formula needs the collection angle: the file has none, give collection_angle at the input");
    if (!isnan(p->density) && !(m->convergence_mrad >= 0))
        ep_declare_error(d, param, "the formula needs the convergence angle: the file has none, give convergence_angle at the input");
    if (m->beam_energy_kev > 0 && m->collection_mrad > 0 && !(mean_free_path(p, m) > 0) && (isnan(p->density) || m->convergence_mrad >= 0))
        ep_declare_error(d, param, "the formula gives no mean free path at %g keV and %g mrad", m->beam_energy_kev, m->collection_mrad);
}

/* ---- declare -------------------------------------------------------------------------------------------------- */

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    ep_zero_loss_check(d, NULL, in);
    check_path(d, &in->meta);
    ep_declare_map(d, "t_over_lambda", in, "", "Thickness over mean free path", true)->primary = true;
    if (mean_free_path(p, &in->meta) > 0) {
        char name[96];
        snprintf(name, sizeof name, "Thickness, mean free path %.4g nm", mean_free_path(p, &in->meta));
        ep_declare_map(d, "thickness", in, "nm", name, true);
    }
    ep_declare_map(d, "zero_loss", in, "counts", "Zero-loss peak", true);
    d->scratch = ep_desc_nch(in) * sizeof(float);
}

static void look_declare(struct ep_declare *d)
{
    ep_zero_loss_look_declare(d, ep_declare_input(d, 0), NULL);
}

static ep_status look_prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    return ep_zero_loss_look_prepare(p, p->in[0].v[0].d, 0, NULL, plan, e);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    q->axis = in->energy;
    q->d = *in;
    q->mirror = par->split == SPLIT_MIRROR;
    q->estimated = in->gain_estimated;
    q->lambda = mean_free_path(par, &in->meta);
    q->out_t = q->lambda > 0 ? 1 : SIZE_MAX;
    q->out_zero = q->lambda > 0 ? 2 : 1;
    ep_status st = ep_zero_loss_new(&q->z, &par->zlp, in, p->look[EP_ZERO_LOSS_MEAN], e);
    double r = 0;
    size_t last = 0;
    if (!st && par->tail != TAIL_NONE) {
        struct ep_err unused = { 0 };
        st = ep_zero_loss_tail(&q->z, &q->axis, p->look[EP_ZERO_LOSS_MEAN], &r, &q->tail, &last, par->tail == TAIL_AUTO ? &unused : e);
        if (par->tail == TAIL_AUTO) st = EP_OK;
    }
    struct ep_desc *o = &p->out[OUT_RATIO];          /* what was added stands with the number */
    size_t at = strlen(o->long_name);
    if (q->tail > 0) snprintf(o->long_name + at, sizeof o->long_name - at, ", with a power-law tail E^-%.2f beyond the axis", r);
    else snprintf(o->long_name + at, sizeof o->long_name - at, ", losses on the axis alone");
    q->tail_first = q->z.nch - last;
    if (st) free(q);
    else *plan = q;
    return st;
}

/* ---- apply ---------------------------------------------------------------------------------------------------- */

struct amount { double n, var; };

/* Share of channel i below boundary t. */
static double share(size_t i, double t)
{
    return fmin(fmax(t - ((double)i - 0.5), 0), 1);
}

static void measure(const struct plan *p, const float *y, double shift, struct amount *ratio, struct amount *zero, uint32_t *flag)
{
    struct ep_peak k = ep_zero_loss_find(&p->z, &p->axis, y, shift);
    *flag |= k.flag;
    if (ep_fatal(*flag)) return;
    double end = p->mirror ? k.at : k.end, twice = p->mirror ? 2 : 1, total = 0;
    *zero = *ratio = (struct amount){ 0, 0 };
    for (size_t i = 0; i < p->z.nch; i++) {
        total += (i < p->tail_first ? 1 : 1 + p->tail) * (double)y[i];
        zero->n += twice * share(i, end) * (double)y[i];
    }
    if (!isfinite(total)) *flag |= EP_FLAG_NOT_FINITE;
    else if (!(zero->n > 0) || !(total > 0)) *flag |= EP_FLAG_NO_COUNTS;
    if (ep_fatal(*flag)) return;
    ratio->n = log(total / zero->n);
    /* d ln(total/zero) = sum (a_i/total - w_i/zero) dy_i; a count near the centre also moves it, and the boundary with it */
    double edge = twice * (double)y[(size_t)(end + 0.5)] / k.slope;
    for (size_t i = 0; i < p->z.nch; i++) {
        bool low = i < p->d.low.end;
        double gain = low ? p->d.low.gain : p->d.gain, noise = low ? p->d.low.read_noise : p->d.read_noise;
        double v = fmax(gain * (double)y[i] + noise * noise, 0), off = (double)i - k.at;
        double w = twice * share(i, end) + (fabs(off) <= p->z.half ? edge * off : 0), a = i < p->tail_first ? 1 : 1 + p->tail;
        double g = a / total - w / zero->n;
        zero->var += w * w * v;
        ratio->var += g * g * v;
    }
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_cell *in = &a->in[0];
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            uint32_t *flag = &a->flag[y * a->area.nx + x];
            size_t gy = a->area.y0 + y, gx = a->area.x0 + x;
            struct amount r = { (double)NAN, (double)NAN }, zero = r;
            if (!ep_fatal(*flag))
                measure(p, ep_zero_loss_filled(in, ep_cell_spectrum(in, ep_in_y(in, gy), ep_in_x(in, gx)), p->z.nch, a->scratch),
                        ep_shift_at(in, ep_in_at(in, gy, gx)), &r, &zero, flag);
            if (ep_fatal(*flag)) zero = r = (struct amount){ (double)NAN, (double)NAN };
            if (p->estimated) *flag |= EP_FLAG_SIGMA_ESTIMATED;
            ep_put(&a->out[OUT_RATIO], y, x, r.n, sqrt(r.var));
            if (p->out_t != SIZE_MAX) ep_put(&a->out[p->out_t], y, x, p->lambda * r.n, p->lambda * sqrt(r.var));
            ep_put(&a->out[p->out_zero], y, x, zero.n, sqrt(zero.var));
        }
    return EP_OK;
}

static const struct ep_stage look = {
    .name = "thickness_look", .summary = "Mean spectrum about the zero-loss peak.", .reference = "None: a mean.",
    .method = "Adds the spectra, each moved by whole channels until its zero-loss peak lies at one place, and divides by their number.",
    .version = 1, .params = params, .params_size = sizeof(struct par), .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = ep_zero_loss_look_outputs, .noutputs = EP_ZERO_LOSS_BESIDE + 1,
    .declare = look_declare, .prepare = look_prepare, .free_plan = free, .add = ep_zero_loss_look_add,
    .merge = ep_zero_loss_look_merge, .finish = ep_zero_loss_look_finish,
};

const struct ep_stage ep_stage_thickness = {
    .name = "thickness",
    .summary = "Thickness of the specimen from the low loss: t/lambda, and nm where the mean free path is known.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), section 5.1; mean free "
                 "paths: K. Iakoubovskii et al., Microsc. Res. Tech. 71 (2008) 626; T. Malis, S. C. Cheng, R. F. Egerton, J. Electron Microsc. "
                 "Tech. 8 (1988) 193.",
    .method = "t/lambda = ln(I_total/I_0). The mean spectrum of the image (a look) says how far above its centre the zero-loss peak ends, unless "
              "zlp_end does; each pixel is cut there, at a fraction of a channel. Losses below the cut count as elastic, what the peak's foot "
              "has above it as loss: no correction is made for either. Losses beyond the axis are added as a power law. Sigma is the counting "
              "error of both parts; where the mean free path comes from a formula, its own uncertainty (10 to 20 %) is not in the sigma of "
              "the thickness. Electrons scattered elastically out of the aperture are taken to be the same share of both.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &look,
    .declare = declare, .prepare = prepare, .free_plan = free, .apply = apply,
};
