/* One front: the numerics stand in pipeline/numerics/step_fit.h, here is what is made of them. */
#include "stages/front_find.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

const char *const ep_front_models[] = { "auto", "erf", "erfc", "jump_erfc", "two_step", "noise", NULL };
static const struct ep_quantity unknown = { (double)NAN, (double)NAN };

void ep_front_flag(struct ep_front *f, const char *text)
{
    ep_str_addf(&f->flags, "%s%s", f->flags.n ? "; " : "", text);
}

/* The farthest point that is k sigma above the far plateau, and between it and the next where they cross. */
static void noise_front(const struct ep_front_points *p, const struct ep_step_fit *fit, double k, struct ep_front *out)
{
    bool have = false;
    double last = (double)NAN, last_over = 0, half = fit->low + 0.5 * fit->step;
    out->position.v = (double)NAN;
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
            out->position.v = last_over > 0 ? last + (p->x[i] - last) * last_over / (last_over - over) : last;
            return;
        }
        last = p->x[i], last_over = over;
    }
}

static struct ep_quantity of_reference(const struct ep_front_reference *ref, const char *name)
{
    const struct ep_signal *t = ref->table;
    for (size_t i = 0; t && i < t->ncol && ref->row < t->n; i++)
        if (strcmp(t->col[i].name, name) == 0 && !t->col[i].is_text)
            return (struct ep_quantity){ t->col[i].num[ref->row], t->col[i].sigma ? t->col[i].sigma[ref->row] : (double)NAN };
    return unknown;
}

double ep_front_of_reference(const struct ep_front_reference *ref, const char *name)
{
    return of_reference(ref, name).v;
}

/* Of both runs, unless the recipe says what it is. */
static double registration_variance(const struct ep_front_par *p, const struct ep_front_reference *ref, const struct ep_front *f)
{
    double there = of_reference(ref, "registration").v;
    if (isfinite(p->registration_sigma)) return p->registration_sigma * p->registration_sigma;
    return f->registration * f->registration + (isfinite(there) ? there * there : 0);
}

static ep_status compare(const struct ep_front_par *p, const struct ep_front_reference *ref, bool first, struct ep_front *f, struct ep_err *e)
{
    if (ref->self && isfinite(f->position.v)) f->displacement = (struct ep_quantity){ 0, 0 };      /* by definition */
    if (!ref->table) return EP_OK;
    double threshold = of_reference(ref, "threshold").v;
    if (fabs(threshold - p->threshold) > 1e-12)
        return ep_fail(e, EP_E_COMPUTE, "the reference's front was read at %g of the step, this one at %g: fronts of one definition only can be "
                       "compared", threshold, p->threshold);
    if (!isfinite(of_reference(ref, "position").v)) {
        if (first) ep_front_flag(f, "the reference has no front");
        return EP_OK;
    }
    if (of_reference(ref, "low_side").v != f->low_side) {
        if (first) ep_front_flag(f, "the step falls to the other side than the reference's");
        return EP_OK;
    }
    double there = of_reference(ref, "position").v, noise = of_reference(ref, "position_noise").v, model = of_reference(ref, "position_model").v;
    f->displacement.v = f->low_side * (f->position.v - there);
    double blur = of_reference(ref, "position_blur").v - f->blur;          /* the same doubt in both: it cancels as far as the fronts are alike */
    f->displacement.sigma = sqrt(f->noise * f->noise + f->model * f->model + noise * noise + model * model + blur * blur +
                                 registration_variance(p, ref, f));
    return EP_OK;
}

/* L = 2 sqrt(D t). From the width of the symmetric step: width^2 = L^2 + 2 sigma_p^2, the second the reference's or the probe's. */
static void diffusion_length(const struct ep_front_par *p, const struct ep_front_reference *ref, const struct ep_step_fit *fit, struct ep_front *f)
{
    f->length = unknown;
    f->length_upper = (double)NAN;
    double sq, sq_sigma;
    if (fit->model == EP_STEP_TWO) return;
    if (fit->model != EP_STEP_ERF) {
        sq = fit->length * fit->length;
        sq_sigma = 2 * fit->length * fit->length_sigma;
    } else {
        struct ep_quantity blur = of_reference(ref, "width");
        if (!ref->table) blur = (struct ep_quantity){ p->probe / 2.354820045030949 * M_SQRT2, 0 };
        if (!isfinite(blur.v)) return;
        sq = f->width.v * f->width.v - blur.v * blur.v;
        sq_sigma = 2 * hypot(f->width.v * f->width.sigma, blur.v * blur.sigma);
    }
    f->length_upper = sqrt(fmax(0, sq) + 2 * sq_sigma);
    if (sq > 2 * sq_sigma) f->length = (struct ep_quantity){ sqrt(sq), sq_sigma / (2 * sqrt(sq)) };
}

static double depth_of(const struct ep_front *f)
{
    return f->displacement.sigma > 0 ? fabs(f->displacement.v) : 0.906193802436823 * f->width.v;
}

static void judge(const struct ep_step_result *r, const struct ep_step_fit *fit, struct ep_front *f)
{
    double span = r->x_last - r->x_first;
    double depth = depth_of(f);
    f->weak = fit->step < 3 * fit->step_sigma;
    f->outside = !r->inside;
    if (f->weak) ep_front_flag(f, "step below 3 sigma");
    if (!r->low_in_view) ep_front_flag(f, "no low plateau in view");
    if (!r->high_in_view) ep_front_flag(f, "no high plateau in view");
    if (span < 4 * depth) ep_front_flag(f, "field under four times the depth");
    if (!r->inside) ep_front_flag(f, "front outside the field");
    if (r->reduced > 1 + 5 * sqrt(2 / fmax(1, (double)r->bins - (double)fit->npar))) ep_front_flag(f, "bad chi-square");
}

/* What makes a front doubtful widens it: to the spread of all curves that are not ruled out, and without a step to the field. */
static void widen(const struct ep_step_result *r, const struct ep_step_fit *fit, struct ep_front *f)
{
    double span = r->x_last - r->x_first;
    double depth = depth_of(f);
    if (span < 4 * depth) f->model = fmax(f->model, r->spread);
    if (fit->step < 3 * fit->step_sigma) f->model = fmax(f->model, span / sqrt(12));
}

/* What pixels and bins add to the width of a step. A probe that stands still counts a point of each pixel, one that moves on its area:
 * unless the recipe says which, the blur is taken to be half way between. */
static void set_blur(const struct ep_front_par *p, const struct ep_front_points *pt, struct ep_step_options *o)
{
    double pixel = isfinite(p->pixel) ? p->pixel : pt->pixel, area = pixel * pixel / 12;
    o->blur = (pt->binned ? pt->bin * pt->bin / 12 : 0) + (pt->split ? area : 0);
    if (p->sampling == EP_SAMPLED_POINT) return;
    o->blur += p->sampling == EP_SAMPLED_AREA ? area : area / 2;
    if (p->sampling == EP_SAMPLED_UNKNOWN) o->blur_doubt = area / 2;
}

ep_status ep_front_find(const struct ep_front_par *p, unsigned models, const struct ep_front_points *pt, double registration,
                        const struct ep_front_reference *ref, struct ep_signal *curve, struct ep_front *f, struct ep_err *e)
{
    static const unsigned sets[] = { [EP_FRONT_AUTO] = 15, [EP_FRONT_ERF] = 1, [EP_FRONT_ERFC] = 2, [EP_FRONT_JUMP_ERFC] = 4,
                                     [EP_FRONT_TWO_STEP] = 8, [EP_FRONT_NOISE] = 15 };
    double nan = (double)NAN;
    struct ep_step_data d = { pt->n, pt->x, pt->y, pt->sigma, pt->nband, pt->band };
    struct ep_step_options o = { .models = models ? models : sets[p->model], .threshold = p->threshold, .probe = p->probe / 2.354820045030949,
                                 .edge = pt->bin, .slope_high = p->slopes != EP_SLOPE_NONE, .slope_low = p->slopes == EP_SLOPE_BOTH };
    struct ep_step_result r;
    struct ep_err why = { 0 };
    set_blur(p, pt, &o);
    *f = (struct ep_front){ unknown, unknown, unknown, unknown, unknown, unknown, unknown, nan, nan, nan, nan, nan, 0, nan, registration, .low_side = 1 };
    if (ep_step_analyse(&d, &o, &r, &why)) {
        ep_front_flag(f, why.msg);
        return EP_OK;
    }
    const struct ep_step_fit *fit = &r.fit[r.best];
    f->position.v = fit->position, f->noise = r.noise, f->model = r.model, f->blur = r.doubt;
    f->isotonic = r.monotone, f->chi = r.reduced, f->bins = (double)r.bins;
    f->width = (struct ep_quantity){ fit->width, fit->width_sigma };
    f->step = (struct ep_quantity){ fit->step, fit->step_sigma };
    f->low = (struct ep_quantity){ fit->low, fit->low_sigma };
    f->high = (struct ep_quantity){ fit->high, fit->high_sigma };
    f->name = ep_step_names[fit->model];
    f->which = fit->model;
    f->low_side = fit->direction;
    if (p->model == EP_FRONT_NOISE) {
        noise_front(pt, fit, p->k, f);
        f->model = f->noise;
        f->noise = fmax(f->noise, fit->noise);
        f->blur = 0;
        if (!isfinite(f->position.v)) ep_front_flag(f, "front outside the field");
    }
    ep_status st = compare(p, ref, true, f, e);
    if (st) return st;
    widen(&r, fit, f);
    compare(p, ref, false, f, e);                         /* with the sigma as widened */
    diffusion_length(p, ref, fit, f);
    judge(&r, fit, f);
    f->position.sigma = hypot(hypot(f->noise, f->model), f->blur);
    for (size_t i = 0; curve && i < pt->n; i++) curve->f64[i] = ep_step_value(fit, pt->x[i]);
    return EP_OK;
}

/* ---- rows of a table ------------------------------------------------------------------------------------------------ */

struct number { const char *name, *unit; size_t at; bool sigma; };
#define AT(member) offsetof(struct ep_front, member)

static ep_status add_number(const struct number *c, const struct ep_front *f, size_t n, const char *unit, double *room, struct ep_signal *t,
                            struct ep_err *e)
{
    for (size_t i = 0; i < n; i++) {
        const double *from = (const double *)(const void *)((const char *)&f[i] + c->at);
        room[i] = from[0];
        if (c->sigma) room[n + i] = from[1];
    }
    return ep_table_add(t, c->name, c->unit ? c->unit : unit, room, c->sigma ? room + n : NULL, NULL, e);
}

ep_status ep_front_columns(const struct ep_front_par *p, const struct ep_front *f, size_t n, const char *unit, struct ep_signal *t, struct ep_err *e)
{
    static const struct number numbers[] = {
        { "position", "nm", AT(position), true },       { "position_noise", "nm", AT(noise), false },
        { "position_model", "nm", AT(model), false },   { "position_blur", "nm", AT(blur), false },
        { "displacement", "nm", AT(displacement), true },
        { "registration", "nm", AT(registration), false }, { "width", "nm", AT(width), true },
        { "length", "nm", AT(length), true },           { "length_upper", "nm", AT(length_upper), false },
        { "step", NULL, AT(step), true },               { "low", NULL, AT(low), true },
        { "high", NULL, AT(high), true },               { "monotone", "nm", AT(isotonic), false },
        { "reduced_chi_square", "", AT(chi), false },   { "bins", "", AT(bins), false },
    };
    char definition[96];
    if (p->model == EP_FRONT_NOISE) snprintf(definition, sizeof definition, "farthest point %g sigma above the low plateau", p->k);
    else snprintf(definition, sizeof definition, "%g %% of the step, model %s", 100 * p->threshold, ep_front_models[p->model]);
    double *room = ep_xcalloc(2 * n + 1, sizeof *room);
    const char **text = ep_xcalloc(3 * n + 1, sizeof *text);
    ep_status st = EP_OK;
    for (size_t k = 0; !st && k < sizeof numbers / sizeof *numbers; k++) st = add_number(&numbers[k], f, n, unit, room, t, e);
    for (size_t i = 0; i < n; i++) {
        room[i] = f[i].name ? f[i].low_side : (double)NAN;
        room[n + i] = p->threshold;
        text[i] = f[i].name ? f[i].name : "none";
        text[n + i] = f[i].flags.s ? f[i].flags.s : "";
        text[2 * n + i] = definition;
    }
    if (!st) st = ep_table_add(t, "low_side", "", room, NULL, NULL, e);
    if (!st) st = ep_table_add(t, "threshold", "", room + n, NULL, NULL, e);
    if (!st) st = ep_table_add(t, "definition", "", NULL, NULL, text + 2 * n, e);
    if (!st) st = ep_table_add(t, "model", "", NULL, NULL, text, e);
    if (!st) st = ep_table_add(t, "flags", "", NULL, NULL, text + n, e);
    free(room);
    free(text);
    return st;
}
