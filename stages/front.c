/* Where an element's profile falls to a share of its step: the diffusion front, and how far it moved.
 *
 * The numerics stand in pipeline/numerics/step_fit.h. A front is a threshold of a curve chosen among several, since none is safe
 * for all profiles; its sigma holds the counting noise and the spread between the curves that fit.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/step_fit.h"
#include "stages/pixels.h"

enum { PORT_INPUT, PORT_NORMALIZE, PORT_RELATIVE };
enum { OUT_FRONT, OUT_FIT };
enum model { AUTO, ERF, ERFC, JUMP_ERFC, TWO_STEP, NOISE };
static const char *const model_words[] = { "auto", "erf", "erfc", "jump_erfc", "two_step", "noise", NULL };
enum slopes { SLOPE_NONE, SLOPE_HIGH, SLOPE_BOTH };
static const char *const slope_words[] = { "none", "high", "both", NULL };

struct par { int model, slopes; double threshold, k, probe, pixel, registration_sigma; };

static const struct ep_param params[] = {
    { .name = "model", .type = EP_P_WORD, .offset = offsetof(struct par, model), .def = "auto", .words = model_words,
      .doc = "The curve: the best of four, a symmetric step, a one-sided tail, a jump with such a tail, two steps with an interphase "
             "between them, or none of these but the farthest point above the noise." },
    { .name = "threshold", .type = EP_P_NUMBER, .offset = offsetof(struct par, threshold), .unit = "", .def = "0.1", .min = 0.005, .max = 0.995,
      .doc = "The share of the step, from the low to the high plateau, at which the front is read." },
    { .name = "k", .type = EP_P_NUMBER, .offset = offsetof(struct par, k), .unit = "", .def = "3", .min = 0.5, .max = 100,
      .doc = "For model noise: how many sigma above the far plateau a point has to be." },
    { .name = "slopes", .type = EP_P_WORD, .offset = offsetof(struct par, slopes), .def = "none", .words = slope_words,
      .doc = "Which plateaus may be sloping lines, where thickness is uneven and no thickness map can be divided by." },
    { .name = "probe", .type = EP_P_NUMBER, .offset = offsetof(struct par, probe), .unit = "nm", .min = 1e-3, .max = 1e3,
      .doc = "Full width at half maximum of the probe, for the one-sided tail and the diffusion length; left out, it is fitted." },
    { .name = "pixel", .type = EP_P_NUMBER, .offset = offsetof(struct par, pixel), .unit = "nm", .min = 1e-6, .max = 1e6,
      .doc = "The pixel of the map that the profile was made from, whose blur is taken off; left out, that of the bins." },
    { .name = "registration_sigma", .type = EP_P_NUMBER, .offset = offsetof(struct par, registration_sigma), .unit = "nm", .def = "0",
      .min = 0, .max = 1e3, .doc = "Standard deviation of the registration of this run on the reference run, across the boundary." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "A profile over the distance from a boundary.", .kinds = EP_PROFILE, .min = 1, .max = 1 },
    { .name = "normalize", .doc = "A profile of the same bins to divide by, such as the thickness.", .kinds = EP_PROFILE, .min = 0, .max = 1 },
    { .name = "relative_to", .doc = "The run whose front the displacement counts from.", .kinds = EP_TABLE, .relative = true, .min = 0, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "front", EP_TABLE, "", "One row: position and displacement with sigma, width, diffusion length, plateaus, the model, flags." },
    { "fit", EP_PROFILE, "", "The curve that was chosen, on the bins of the profile." },
};

/* ---- declare ------------------------------------------------------------------------------------------------------ */

static bool same_bins(const struct ep_desc *a, const struct ep_desc *b)
{
    const struct ep_axis *p = &a->nav[0], *q = &b->nav[0];
    double bin = fabs(ep_axis_at(p, 1) - ep_axis_at(p, 0));
    return p->size == q->size && fabs(ep_axis_at(p, 0) - ep_axis_at(q, 0)) < 1e-6 * bin &&
           fabs(ep_axis_at(p, (double)p->size) - ep_axis_at(q, (double)q->size)) < 1e-3 * bin;
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *by = ep_declare_input(d, PORT_NORMALIZE);
    if (!in->has_sigma) ep_declare_error(d, "input", "the profile has no sigmas: a front can't be weighed without them");
    if (in->nav[0].size < 6) ep_declare_error(d, "input", "the profile has %zu bins: at least 6 are needed", in->nav[0].size);
    if (by && !same_bins(in, by)) ep_declare_error(d, "normalize", "the profile to divide by has other bins than the input");
    if (p->model == NOISE && isfinite(p->probe)) ep_declare_warn(d, "probe", "probe says nothing to model noise");
    struct ep_desc *o = ep_declare_output(d, "front", EP_TABLE);
    o->primary = true;
    snprintf(o->long_name, sizeof o->long_name, "Diffusion front");
    o = ep_declare_output(d, "fit", EP_PROFILE);
    o->nnav = 1;
    o->nav[0] = in->nav[0];
    memcpy(o->unit, in->unit, sizeof o->unit);
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->frame_id = in->frame_id;
    snprintf(o->long_name, sizeof o->long_name, "Fitted step");
    if (by && by->unit[0]) snprintf(o->unit, sizeof o->unit, "%.15s/%.15s", in->unit, by->unit);
}

/* ---- the profile as numbers ----------------------------------------------------------------------------------------- */

/* Of one block; x in nm. */
struct points { size_t n, nband; double *x, *y, *sigma, *band, bin; };

static double band_of(const struct ep_signal *s, size_t i, size_t k)
{
    return s->band && k < s->nband ? s->band[i * s->nband + k] : 0;
}

/* Divided by the other profile, whose errors are its own: Var(a/b) = (Var a + (a/b)^2 Var b)/b^2, covariances alike. */
static void divide(struct points *p, const struct ep_signal *by)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->nband && i + k + 1 < p->n; k++) {
            size_t j = i + k + 1;
            double ri = p->y[i] / by->f64[i], rj = p->y[j] / by->f64[j];
            double *c = &p->band[i * p->nband + k];
            *c = (*c + ri * rj * band_of(by, i, k)) / (by->f64[i] * by->f64[j]);
        }
    for (size_t i = 0; i < p->n; i++) {
        double b = by->f64[i], sb = by->sigma64 && isfinite(by->sigma64[i]) ? by->sigma64[i] : 0, r = p->y[i] / b;
        bool good = b > 0 && isfinite(b);
        p->y[i] = good ? r : (double)NAN;
        p->sigma[i] = good ? sqrt(p->sigma[i] * p->sigma[i] + r * r * sb * sb) / b : (double)NAN;
    }
}

static ep_status take_points(const struct ep_prepare *pr, struct points *p, struct ep_err *e)
{
    const struct ep_signal *s = pr->in[PORT_INPUT].v[0].whole, *by = pr->in[PORT_NORMALIZE].n ? pr->in[PORT_NORMALIZE].v[0].whole : NULL;
    size_t n = s->n, nb = s->band ? s->nband : 0;
    if (by && by->band && by->nband > nb) nb = by->nband;
    double *room = calloc(n * (3 + nb) + 1, sizeof *room);
    if (!room) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bins", n);
    *p = (struct points){ n, nb, room, room + n, room + 2 * n, nb ? room + 3 * n : NULL, 0 };
    for (size_t i = 0; i < n; i++) {
        p->x[i] = ep_axis_at(&s->d.nav[0], (double)i);
        p->y[i] = ep_signal_get(s, i);
        p->sigma[i] = ep_signal_sigma(s, i);
        for (size_t k = 0; k < nb; k++) p->band[i * nb + k] = band_of(s, i, k);
    }
    p->bin = n > 1 ? fabs(p->x[1] - p->x[0]) : 1;
    if (by) divide(p, by);
    return EP_OK;
}

/* ---- what comes out --------------------------------------------------------------------------------------------------- */

struct quantity { double v, sigma; };
static const struct quantity unknown = { (double)NAN, (double)NAN };

struct front {
    double position, noise, model, isotonic, chi, bins;
    struct quantity displacement, width, length, step, low, high;
    double length_upper;
    const char *name;                /* of the curve */
    int low_side;
    struct ep_str flags;
};

static void flag(struct front *f, const char *text)
{
    ep_str_addf(&f->flags, "%s%s", f->flags.n ? "; " : "", text);
}

/* The farthest point that is k sigma above the far plateau, and between it and the next where they cross. */
static void noise_front(const struct points *p, const struct ep_step_fit *fit, double k, struct front *out)
{
    bool have = false;
    double last = (double)NAN, last_over = 0, half = fit->low + 0.5 * fit->step;
    out->position = (double)NAN;
    out->noise = p->bin / sqrt(12);
    for (size_t q = 0; q < p->n; q++) {
        size_t i = fit->direction > 0 ? q : p->n - 1 - q;
        if (p->x[p->n - 1] < p->x[0]) i = p->n - 1 - i;
        if (!isfinite(p->y[i]) || !isfinite(p->sigma[i])) continue;
        double over = p->y[i] - fit->low - k * hypot(p->sigma[i], fit->low_sigma);
        if (!have && ep_step_value(fit, p->x[i]) > half) {       /* still on the high side */
            last = p->x[i], last_over = over;
            continue;
        }
        have = true;
        if (over <= 0) {
            out->position = last_over > 0 ? last + (p->x[i] - last) * last_over / (last_over - over) : last;
            return;
        }
        last = p->x[i], last_over = over;
    }
}

static struct quantity of_reference(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; t && i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0 && !t->col[i].is_text && t->n == 1)
            return (struct quantity){ t->col[i].num[0], t->col[i].sigma ? t->col[i].sigma[0] : (double)NAN };
    return unknown;
}

static ep_status compare(const struct par *p, const struct ep_signal *ref, bool first, struct front *f, struct ep_err *e)
{
    double threshold = of_reference(ref, "threshold").v;
    if (!ref) return EP_OK;
    if (fabs(threshold - p->threshold) > 1e-12)
        return ep_fail(e, EP_E_COMPUTE, "the reference's front was read at %g of the step, this one at %g: fronts of one definition only can be compared",
                       threshold, p->threshold);
    if (of_reference(ref, "low_side").v != f->low_side) {
        if (first) flag(f, "the step falls to the other side than the reference's");
        return EP_OK;
    }
    double there = of_reference(ref, "position").v, noise = of_reference(ref, "position_noise").v, model = of_reference(ref, "position_model").v;
    f->displacement.v = f->low_side * (f->position - there);
    f->displacement.sigma = sqrt(f->noise * f->noise + f->model * f->model + noise * noise + model * model +
                                 p->registration_sigma * p->registration_sigma);
    return EP_OK;
}

/* L = 2 sqrt(D t). From the width of the symmetric step: width^2 = L^2 + 2 sigma_p^2, the second the reference's or the probe's. */
static void diffusion_length(const struct par *p, const struct ep_signal *ref, const struct ep_step_fit *fit, struct front *f)
{
    f->length = unknown;
    f->length_upper = (double)NAN;
    double sq, sq_sigma;
    if (fit->model == EP_STEP_TWO) return;
    if (fit->model != EP_STEP_ERF) {
        sq = fit->length * fit->length;
        sq_sigma = 2 * fit->length * fit->length_sigma;
    } else {
        struct quantity blur = of_reference(ref, "width");
        if (!ref) blur = (struct quantity){ p->probe / 2.354820045030949 * M_SQRT2, 0 };
        if (!isfinite(blur.v)) return;
        sq = f->width.v * f->width.v - blur.v * blur.v;
        sq_sigma = 2 * hypot(f->width.v * f->width.sigma, blur.v * blur.sigma);
    }
    f->length_upper = sqrt(fmax(0, sq) + 2 * sq_sigma);
    if (sq > 2 * sq_sigma) f->length = (struct quantity){ sqrt(sq), sq_sigma / (2 * sqrt(sq)) };
}

static void judge(const struct ep_step_result *r, const struct ep_step_fit *fit, struct front *f)
{
    double span = r->x_last - r->x_first;
    double depth = isfinite(f->displacement.v) ? fabs(f->displacement.v) : 0.906193802436823 * f->width.v;
    if (fit->step < 3 * fit->step_sigma) flag(f, "step below 3 sigma");
    if (!r->low_in_view) flag(f, "no low plateau in view");
    if (!r->high_in_view) flag(f, "no high plateau in view");
    if (span < 4 * depth) flag(f, "field under four times the depth");
    if (!r->inside) flag(f, "front outside the field");
    if (r->reduced > 1 + 5 * sqrt(2 / fmax(1, (double)r->bins - (double)fit->npar))) flag(f, "bad chi-square");
}

/* What makes a front doubtful widens it: to the spread of all curves that are not ruled out, and without a step to the field. */
static void widen(const struct ep_step_result *r, const struct ep_step_fit *fit, struct front *f)
{
    double span = r->x_last - r->x_first;
    double depth = isfinite(f->displacement.v) ? fabs(f->displacement.v) : 0.906193802436823 * f->width.v;
    if (span < 4 * depth) f->model = fmax(f->model, r->spread);
    if (fit->step < 3 * fit->step_sigma) f->model = fmax(f->model, span / sqrt(12));
}

static ep_status find(const struct par *p, const struct points *pt, const struct ep_signal *ref, struct ep_signal *curve, struct front *f,
                      struct ep_err *e)
{
    static const unsigned sets[] = { [AUTO] = 15, [ERF] = 1, [ERFC] = 2, [JUMP_ERFC] = 4, [TWO_STEP] = 8, [NOISE] = 15 };
    double pixel = isfinite(p->pixel) ? p->pixel : pt->bin;
    struct ep_step_data d = { pt->n, pt->x, pt->y, pt->sigma, pt->nband, pt->band };
    struct ep_step_options o = { .models = sets[p->model], .threshold = p->threshold, .probe = p->probe / 2.354820045030949, .edge = pt->bin,
                                 .blur = (pixel * pixel + pt->bin * pt->bin) / 12,
                                 .slope_high = p->slopes != SLOPE_NONE, .slope_low = p->slopes == SLOPE_BOTH };
    struct ep_step_result r;
    struct ep_err why = { 0 };
    if (ep_step_analyse(&d, &o, &r, &why)) {         /* a profile without a step is data, not a fault */
        flag(f, why.msg);
        return EP_OK;
    }
    const struct ep_step_fit *fit = &r.fit[r.best];
    f->position = fit->position, f->noise = r.noise, f->model = r.model;
    f->isotonic = r.monotone, f->chi = r.reduced, f->bins = (double)r.bins;
    f->width = (struct quantity){ fit->width, fit->width_sigma };
    f->step = (struct quantity){ fit->step, fit->step_sigma };
    f->low = (struct quantity){ fit->low, fit->low_sigma };
    f->high = (struct quantity){ fit->high, fit->high_sigma };
    f->name = ep_step_names[fit->model];
    f->low_side = fit->direction;
    if (p->model == NOISE) {
        noise_front(pt, fit, p->k, f);
        f->model = f->noise;
        f->noise = fmax(f->noise, fit->noise);
        if (!isfinite(f->position)) flag(f, "front outside the field");
    }
    ep_status st = compare(p, ref, true, f, e);
    if (st) return st;
    widen(&r, fit, f);
    if (ref) compare(p, ref, false, f, e);                /* with the sigma as widened */
    diffusion_length(p, ref, fit, f);
    judge(&r, fit, f);
    for (size_t i = 0; curve && i < pt->n; i++) curve->f64[i] = ep_step_value(fit, pt->x[i]);
    return EP_OK;
}

static ep_status add(struct ep_signal *t, const char *name, const char *unit, struct quantity q, bool sigma, struct ep_err *e)
{
    return ep_table_add(t, name, unit, &q.v, sigma ? &q.sigma : NULL, NULL, e);
}

static ep_status add_number(struct ep_signal *t, const char *name, const char *unit, double v, struct ep_err *e)
{
    return ep_table_add(t, name, unit, &v, NULL, NULL, e);
}

static ep_status make_table(const struct par *p, const char *unit, const struct front *f, const char *name, struct ep_signal **out,
                            struct ep_err *e)
{
    struct ep_signal *t;
    char definition[96];
    if (p->model == NOISE) snprintf(definition, sizeof definition, "farthest point %g sigma above the low plateau", p->k);
    else snprintf(definition, sizeof definition, "%g %% of the step, model %s", 100 * p->threshold, model_words[p->model]);
    const char *model = f->name ? f->name : "none", *defined = definition, *flags = f->flags.s ? f->flags.s : "";
    ep_status st = ep_table_new(name, 1, &t, e);
    if (st) return st;
    st = add(t, "position", "nm", (struct quantity){ f->position, hypot(f->noise, f->model) }, true, e);
    if (!st) st = add_number(t, "position_noise", "nm", f->noise, e);
    if (!st) st = add_number(t, "position_model", "nm", f->model, e);
    if (!st) st = add(t, "displacement", "nm", f->displacement, true, e);
    if (!st) st = add(t, "width", "nm", f->width, true, e);
    if (!st) st = add(t, "length", "nm", f->length, true, e);
    if (!st) st = add_number(t, "length_upper", "nm", f->length_upper, e);
    if (!st) st = add(t, "step", unit, f->step, true, e);
    if (!st) st = add(t, "low", unit, f->low, true, e);
    if (!st) st = add(t, "high", unit, f->high, true, e);
    if (!st) st = add_number(t, "low_side", "", f->name ? f->low_side : (double)NAN, e);
    if (!st) st = add_number(t, "monotone", "nm", f->isotonic, e);
    if (!st) st = add_number(t, "reduced_chi_square", "", f->chi, e);
    if (!st) st = add_number(t, "bins", "", f->bins, e);
    if (!st) st = add_number(t, "threshold", "", p->threshold, e);
    if (!st) st = ep_table_add(t, "definition", "", NULL, NULL, &defined, e);
    if (!st) st = ep_table_add(t, "model", "", NULL, NULL, &model, e);
    if (!st) st = ep_table_add(t, "flags", "", NULL, NULL, &flags, e);
    if (st) ep_signal_free(t);
    else *out = t;
    return st;
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct par *par = p->par;
    const struct ep_signal *ref = p->in[PORT_RELATIVE].n ? p->in[PORT_RELATIVE].v[0].whole : NULL;
    struct front f = { (double)NAN, (double)NAN, (double)NAN, (double)NAN, (double)NAN, 0, unknown, unknown, unknown, unknown, unknown, unknown,
                       (double)NAN, NULL, 1, { 0 } };
    struct points pt;
    struct ep_signal *curve = out[OUT_FIT];
    for (size_t i = 0; curve && i < curve->n; i++) curve->f64[i] = (double)NAN;
    ep_status st = take_points(p, &pt, e);
    if (st) return st;
    st = find(par, &pt, ref, curve, &f, e);
    if (!st) st = make_table(par, p->out[OUT_FIT].unit, &f, p->out[OUT_FRONT].name, &out[OUT_FRONT], e);
    free(pt.x);
    ep_str_free(&f.flags);
    return st;
}

const struct ep_stage ep_stage_front = {
    .name = "front",
    .summary = "Finds where a profile falls to a share of its step, and how far that moved from a reference run.",
    .reference = "J. Crank, The Mathematics of Diffusion, 2nd ed. (Oxford, 1975), chapters 2 and 3; G. Schwarz, Ann. Statist. 6 (1978) 461.",
    .method = "A symmetric step (erf), a one-sided tail (erfc) behind a sharp boundary, the same behind a jump, and two steps with an interphase "
              "plateau are fitted by generalised least squares with the covariance of the bins; the best by BIC is read at the threshold between its "
              "plateaus. The blur of pixels and bins is taken off. The sigma of a position joins counting noise (multiplied by the root "
              "of the reduced chi-square where that is above one) and the spread of the models that fit. A front is a position by its "
              "definition: even an unmoved edge has its 10 % point half a probe from the boundary, so only the displacement from a "
              "reference run tells that something moved; it is positive towards the low side, and the error of a shared boundary is "
              "not in it. The position is counted from the boundary as it was drawn. Registration of a tenth of a pixel can be "
              "larger than the noise: state it. Where a plateau is not in view, the field is under four times the depth, or the step "
              "is below 3 sigma, a flag says so and sigma is wide. The front by model noise moves with dose. A diffusion length "
              "that is not two sigma above zero is left out, and length_upper is its upper limit (two sigma). The position of a monotone fit "
              "stands beside as a check with larger scatter.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
