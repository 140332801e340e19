/* Where an element's profile falls to a share of its step: the diffusion front, and how far it moved; of a map, line by line.
 *
 * The numerics stand in pipeline/numerics/step_fit.h. A front is a threshold of a curve chosen among several, since none is safe
 * for all profiles; its sigma holds the counting noise and the spread between the curves that fit.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/front_find.h"
#include "stages/space.h"

enum { OUT_FRONT, OUT_FIT };                           /* of a map: lines, curve */
static const char *const sampling_words[] = { "unknown", "point", "area", NULL };
static const char *const slope_words[] = { "none", "high", "both", NULL };

static const struct ep_param params[] = {
    { .name = "model", .type = EP_P_WORD, .offset = offsetof(struct ep_front_par, model), .def = "auto", .words = ep_front_models,
      .doc = "The curve: the best of four, a symmetric step, a one-sided tail, a jump with such a tail, two steps with an interphase "
             "between them, or none of these but the farthest point above the noise." },
    { .name = "threshold", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, threshold), .unit = "", .def = "0.1", .min = 0.005,
      .max = 0.995, .doc = "The share of the step, from the low to the high plateau, at which the front is read." },
    { .name = "k", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, k), .unit = "", .def = "3", .min = 0.5, .max = 100,
      .doc = "For model noise: how many sigma above the far plateau a point has to be." },
    { .name = "slopes", .type = EP_P_WORD, .offset = offsetof(struct ep_front_par, slopes), .def = "none", .words = slope_words,
      .doc = "Which plateaus may be sloping lines, where thickness is uneven and no thickness map can be divided by." },
    { .name = "probe", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, probe), .unit = "nm", .min = 1e-3, .max = 1e3,
      .doc = "Full width at half maximum of the probe, for the one-sided tail and the diffusion length; left out, it is fitted." },
    { .name = "pixel", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, pixel), .unit = "nm", .min = 1e-6, .max = 1e6,
      .doc = "The pixel of the map that the profile was made from, whose blur is taken off; left out, that of the bins, or of the map." },
    { .name = "sampling", .type = EP_P_WORD, .offset = offsetof(struct ep_front_par, sampling), .def = "unknown", .words = sampling_words,
      .doc = "Whether a pixel of the scan counts what is at its centre (point: the probe stands still), over its area (area: it moves on), or "
             "it is not known: then half way, with the doubt in sigma." },
    { .name = "registration_sigma", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, registration_sigma), .unit = "nm",
      .min = 0, .max = 1e3,
      .doc = "Standard deviation of the registration of this run on the reference run, across the boundary; left out, what the profiles carry "
             "of theirs." },
    { .name = "width", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, width), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "Of a map: how much of the boundary goes into one line; left out, a sixteenth of it." },
    { .name = "bin", .type = EP_P_NUMBER, .offset = offsetof(struct ep_front_par, bin), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "Of a map: the width of the bins of distance; left out, that of a pixel." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct ep_front_par, range), .unit = "nm",
      .doc = "Of a map: the distances to look at; left out, all that the map holds." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "A profile over the distance from a boundary, or a map for fronts line by line.", .kinds = EP_PROFILE | EP_MAP,
      .min = 1, .max = 1 },
    { .name = "normalize", .doc = "A profile of the same bins, or a map of the same pixels, to divide by, such as the thickness.",
      .kinds = EP_PROFILE | EP_MAP, .max = 1 },
    { .name = "relative_to", .doc = "The run whose front the displacement counts from.", .kinds = EP_TABLE, .relative = true, .max = 1 },
    { .name = "along", .doc = "Of a map: the boundary from which distance is measured, and along which the lines lie.", .kinds = EP_CURVE, .max = 1 },
    { .name = "mask", .doc = "Of a map: one of the same pixels, of which those count that are finite and not 0.", .kinds = EP_MAP, .max = 1 },
    { .name = "register", .doc = "Of a map: the shift, of a register step, that takes its positions to those of the boundary.", .kinds = EP_TABLE,
      .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "front", EP_TABLE, "", "Of a profile: one row, position and displacement with sigma, width, diffusion length, plateaus, the model, flags." },
    { "fit", EP_PROFILE, "", "Of a profile: the curve that was chosen, on its bins." },
    { "lines", EP_TABLE, "", "Of a map: a row for each line, where it lies along the boundary, its front, flags where it has none." },
    { "curve", EP_CURVE, "nm", "Of a map: the front through the lines that have one, with sigma, in the map's own positions." },
};

/* ---- declare ------------------------------------------------------------------------------------------------------ */

static bool same_bins(const struct ep_desc *a, const struct ep_desc *b)
{
    const struct ep_axis *p = &a->nav[0], *q = &b->nav[0];
    double bin = fabs(ep_axis_at(p, 1) - ep_axis_at(p, 0));
    return p->size == q->size && fabs(ep_axis_at(p, 0) - ep_axis_at(q, 0)) < 1e-6 * bin &&
           fabs(ep_axis_at(p, (double)p->size) - ep_axis_at(q, (double)q->size)) < 1e-3 * bin;
}

/* A map of one axis is a profile: what was fitted to summed spectra, a line scan. */
static bool lines_of(const struct ep_desc *in)
{
    return in->kind == EP_MAP && in->nnav != 1;
}

static void declare_lines(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *by)
{
    const char *label = d->in[EP_FRONT_INPUT].v[0].label;
    const struct ep_desc *along = ep_declare_input(d, EP_FRONT_ALONG);
    if (!ep_declare_plane(d, "input", in)) return;
    if (!along) ep_declare_error(d, NULL, "the fronts of a map need along: the boundary; for one front of all of it take a profile first");
    else if (!d->in[EP_FRONT_REGISTER].n) ep_declare_same_frame(d, "along", d->in[EP_FRONT_ALONG].v[0].label, along, label, in, true);
    static const size_t beside[] = { EP_FRONT_MASK, EP_FRONT_NORMALIZE };
    for (size_t k = 0; k < 2; k++) {
        if (!d->in[beside[k]].n) continue;
        const struct ep_item *it = &d->in[beside[k]].v[0];
        ep_declare_same_frame(d, ports[beside[k]].name, it->label, it->d, label, in, false);
        ep_declare_same_places(d, ports[beside[k]].name, it->label, it->d, label, in);
    }
    if (by && by->has_sigma && by->noise == EP_NOISE_UNKNOWN)
        ep_declare_error(d, "normalize", "how the noise of neighbouring pixels of the map to divide by is related is not known");
    struct ep_desc *o = ep_declare_output(d, "lines", EP_TABLE);
    o->primary = true;
    snprintf(o->long_name, sizeof o->long_name, "Diffusion front by lines");
    ep_copy_frame(o, in);
    o = ep_declare_output(d, "curve", EP_CURVE);
    snprintf(o->unit, sizeof o->unit, "%s", ep_length_unit(in));
    snprintf(o->long_name, sizeof o->long_name, "Diffusion front");
    ep_copy_frame(o, in);
    o->nnav = 1;
    o->nav[0] = (struct ep_axis){ "point", "", 0, 1, 0 };
    o->meta = in->meta;
}

static void declare_front(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *by)
{
    const struct ep_front_par *p = d->par;
    for (size_t k = EP_FRONT_ALONG; k <= EP_FRONT_REGISTER; k++)
        if (d->in[k].n) ep_declare_error(d, ports[k].name, "%s belongs to a map: a profile has its distances already", ports[k].name);
    if (isfinite(p->width) || isfinite(p->bin) || ep_window_given(p->range))
        ep_declare_error(d, isfinite(p->width) ? "width" : isfinite(p->bin) ? "bin" : "range",
                         "width, bin and range belong to a map: those of a profile were chosen when it was made");
    if (in->nav[0].size < 6) ep_declare_error(d, "input", "the profile has %zu bins: at least 6 are needed", in->nav[0].size);
    if (by && !same_bins(in, by)) ep_declare_error(d, "normalize", "the profile to divide by has other bins than the input");
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

static void declare(struct ep_declare *d)
{
    const struct ep_front_par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, EP_FRONT_INPUT), *by = ep_declare_input(d, EP_FRONT_NORMALIZE);
    if (by && lines_of(by) != lines_of(in)) {
        ep_declare_error(d, "normalize", "a map is divided by a map of the same pixels, a profile by a profile of the same bins");
        return;
    }
    if (!in->has_sigma) ep_declare_error(d, "input", "the %s has no sigmas: a front can't be weighed without them", ep_kind_name(in->kind));
    else if (in->kind == EP_MAP && in->noise == EP_NOISE_UNKNOWN)
        ep_declare_error(d, "input", "how the noise of neighbouring pixels is related is not known: a front can't be weighed");
    else if (in->kind == EP_MAP && in->nnav == 1 && in->noise == EP_NOISE_CORRELATED)
        ep_declare_error(d, "input", "neighbouring points share noise: take the values before they were smoothed");
    if (p->model == EP_FRONT_NOISE && isfinite(p->probe)) ep_declare_warn(d, "probe", "probe says nothing to model noise");
    if (lines_of(in)) declare_lines(d, in, by);
    else declare_front(d, in, by);
}

/* ---- the profile as numbers ----------------------------------------------------------------------------------------- */

static double band_of(const struct ep_signal *s, size_t i, size_t k)
{
    return s->band && k < s->nband ? s->band[i * s->nband + k] : 0;
}

/* Divided by the other profile, whose errors are its own: Var(a/b) = (Var a + (a/b)^2 Var b)/b^2, covariances alike. */
static void divide(struct ep_front_points *p, const struct ep_signal *by)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->nband && i + k + 1 < p->n; k++) {
            size_t j = i + k + 1;
            double bi = ep_signal_get(by, i), bj = ep_signal_get(by, j), ri = p->y[i] / bi, rj = p->y[j] / bj;
            double *c = &p->band[i * p->nband + k];
            *c = (*c + ri * rj * band_of(by, i, k)) / (bi * bj);
        }
    for (size_t i = 0; i < p->n; i++) {
        double b = ep_signal_get(by, i), sigma = ep_signal_sigma(by, i), sb = isfinite(sigma) ? sigma : 0, r = p->y[i] / b;
        bool good = b > 0 && isfinite(b);
        p->y[i] = good ? r : (double)NAN;
        p->sigma[i] = good ? sqrt(p->sigma[i] * p->sigma[i] + r * r * sb * sb) / b : (double)NAN;
    }
}

static ep_status take_points(const struct ep_prepare *pr, struct ep_front_points *p, struct ep_err *e)
{
    const struct ep_signal *s = pr->in[EP_FRONT_INPUT].v[0].whole, *by = pr->in[EP_FRONT_NORMALIZE].n ? pr->in[EP_FRONT_NORMALIZE].v[0].whole : NULL;
    size_t n = s->n, nb = s->band ? s->nband : 0;
    if (by && by->band && by->nband > nb) nb = by->nband;
    double *room = calloc(n * (3 + nb) + 1, sizeof *room);
    if (!room) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bins", n);
    *p = (struct ep_front_points){ n, nb, room, room + n, room + 2 * n, nb ? room + 3 * n : NULL, 0, 0, true, s->d.kind == EP_PROFILE };
    for (size_t i = 0; i < n; i++) {
        p->x[i] = ep_axis_at(&s->d.nav[0], (double)i);
        p->y[i] = s->flags && ep_fatal(s->flags[i]) ? (double)NAN : ep_signal_get(s, i);
        p->sigma[i] = ep_signal_sigma(s, i);
        for (size_t k = 0; k < nb; k++) p->band[i * nb + k] = band_of(s, i, k);
    }
    p->binned = s->d.kind == EP_PROFILE || strcmp(s->d.nav[0].name, "distance") == 0;      /* else a line scan */
    p->bin = p->pixel = n > 1 ? fabs(p->x[1] - p->x[0]) : 1;
    if (by) divide(p, by);
    return EP_OK;
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct ep_front_par *par = p->par;
    const struct ep_signal *in = p->in[EP_FRONT_INPUT].v[0].whole;
    if (lines_of(&in->d)) return ep_front_lines(par, p, out, e);
    const struct ep_items *relative = &p->in[EP_FRONT_RELATIVE];
    const struct ep_front_reference ref = { relative->n ? relative->v[0].whole : NULL, 0, p->reference };
    struct ep_front f = { .name = NULL };
    struct ep_front_points pt;
    struct ep_signal *curve = out[OUT_FIT], *t = NULL;
    for (size_t i = 0; curve && i < curve->n; i++) curve->f64[i] = (double)NAN;
    ep_status st = take_points(p, &pt, e);
    if (st) return st;
    st = ep_front_find(par, 0, &pt, in->d.placement_sigma, &ref, curve, &f, e);
    if (!st) st = ep_table_new(p->out[OUT_FRONT].name, 1, &t, e);
    if (!st) st = ep_front_columns(par, &f, 1, p->out[OUT_FIT].unit, t, e);
    if (st) ep_signal_free(t);
    else out[OUT_FRONT] = t;
    free(pt.x);
    ep_str_free(&f.flags);
    return st;
}

const struct ep_stage ep_stage_front = {
    .name = "front",
    .summary = "Finds where a profile, or each line of a map, falls to a share of its step, and how far that moved from a reference run.",
    .reference = "J. Crank, The Mathematics of Diffusion, 2nd ed. (Oxford, 1975), chapters 2 and 3; G. Schwarz, Ann. Statist. 6 (1978) 461.",
    .method = "A symmetric step (erf), a one-sided tail (erfc) behind a sharp boundary, the same behind a jump, and two steps with an interphase "
              "plateau are fitted by generalised least squares with the covariance of the bins; the best by BIC is read at the threshold between its "
              "plateaus. The blur of pixels and bins is taken off. The sigma of a position joins counting noise (multiplied by the root "
              "of the reduced chi-square where that is above one), the spread of the models that fit, and what is not known of the blur. A front "
              "is a position by its "
              "definition: even an unmoved edge has its 10 % point half a probe from the boundary, so only the displacement from a "
              "reference run tells that something moved; it is positive towards the low side, and the error of a shared boundary is "
              "not in it. Its sigma joins both runs' positions and both runs' registrations, which the profiles carry from their `register` steps: "
              "a tenth of a pixel there can be more than the noise. The reference run's own displacement is 0 with sigma 0, by definition. "
              "The position is counted from the boundary as it was drawn. Of a map with `along` every stretch of the boundary gets a front of its "
              "own, by the curve that describes all of them together best, and `curve` is the front to draw over the map. Where a plateau is not "
              "in view, the field is under four times the depth, or the step is below 3 sigma, a flag says so and sigma is wide. The front by model noise moves with dose. A diffusion length "
              "that is not two sigma above zero is left out, and length_upper is its upper limit (two sigma). The position of a monotone fit "
              "stands beside as a check with larger scatter.",
    .version = 2,
    .params = params, .params_size = sizeof(struct ep_front_par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
