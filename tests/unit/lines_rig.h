/* Spectra with white lines of shapes that are not the stage's, and the chain background, white_lines on them. Header only. */
#ifndef TESTS_UNIT_LINES_RIG_H
#define TESTS_UNIT_LINES_RIG_H
#include "tests/unit/stage_rig.h"

/* ---- truth ---------------------------------------------------------------------------------------------------------- */

/* CUT_OFF: a Lorentzian that begins at a soft onset. LIFETIMES: a Gaussian under the life of its hole, 0.4 eV for L3 (the narrower line), 0.9 eV for L2. */
enum line_shape { GAUSSIAN, LORENTZIAN, MIXED, CUT_OFF, MULTIPLET, LIFETIMES };
enum step_shape { ARCTAN, SOFT };
struct lines {
    enum line_shape line;
    enum step_shape step;
    double l3, l2, w3, w2;          /* maxima, full widths at half maximum, eV */
    double ratio, total;            /* areas L3/L2; L3 + L2 in eV of continuum */
    double step_at, step_width;     /* of the steps, from the maxima */
    double decay;                   /* of the continuum, E^-decay */
    double la;                      /* M5 line of La at 833, M4 at 850 eV, relative to L3; with a delayed continuum */
    double loss;                    /* t/lambda: plural losses, one broad plasmon at 23 eV */
};

static inline double gaussian(double e, double at, double w)
{
    double s = w / 2.354820045;
    return exp(-0.5 * (e - at) * (e - at) / (s * s)) / (s * sqrt(2 * 3.14159265358979));
}
static inline double lorentzian(double e, double at, double w)
{
    return 0.5 * w / 3.14159265358979 / ((e - at) * (e - at) + 0.25 * w * w);
}
/* Gaussian of full width w convolved with a Lorentzian of full width l, by its definition. */
static inline double voigt(double e, double at, double w, double l)
{
    double sum = 0, step = 0.1 * w;
    for (double u = -2 * w; u <= 2 * w; u += step) sum += step * gaussian(u, 0, w) * lorentzian(e - u, at, l);
    return sum;
}
static inline double soft(double e, double at, double w)
{
    return 0.5 * erfc((at - e) / w);
}
static inline double one_line(const struct lines *s, double e, double at, double w)
{
    switch (s->line) {
    case LIFETIMES: return voigt(e, at, w, w <= s->w3 ? 0.4 : 0.9);
    case GAUSSIAN: return gaussian(e, at, w);
    case LORENTZIAN: return lorentzian(e, at, w);
    case MIXED: return 0.6 * lorentzian(e, at, w) + 0.4 * gaussian(e, at, w);
    case CUT_OFF: return lorentzian(e, at, w) * soft(e, at - 2.8, 0.8);
    default: return 0.25 * gaussian(e, at - 1.2, 1.4) + 0.55 * lorentzian(e, at, 0.6 * w) + 0.2 * gaussian(e, at + 2, 2);
    }
}
/* Area of a line in [at - 40, at + 400]: what CUT_OFF lacks. */
static inline double line_area(const struct lines *s, double at, double w)
{
    double sum = 0;
    for (double e = at - 40; e < at + 400; e += 0.02) sum += 0.02 * one_line(s, e, at, w);
    return sum;
}
static inline double single(const struct lines *s, double e)
{
    double a2 = s->total / (1 + s->ratio), a3 = s->ratio * a2, c = 0;
    const double at[2] = { s->l3, s->l2 }, share[2] = { 2. / 3, 1. / 3 };
    for (int k = 0; k < 2; k++) {
        double u = at[k] + s->step_at, step = s->step == ARCTAN ? 0.5 + atan((e - u) / (0.5 * s->step_width)) / 3.14159265358979
                                                                 : soft(e, u, s->step_width);
        c += share[k] * step * pow(e / s->l2, -s->decay);
    }
    double y = c + a3 * one_line(s, e, s->l3, s->w3) + a2 * one_line(s, e, s->l2, s->w2);
    if (s->la > 0) y += s->la * a3 * (lorentzian(e, 833, 1.8) + 0.8 * lorentzian(e, 850, 1.8)) + 0.4 * s->la * soft(e, 875, 12);
    return y;
}
static inline double plasmon(double e)
{
    return e <= 0 ? 0 : gaussian(e, 23, 11);
}
/* Counts per channel of 1 eV and unit continuum, with plural losses. */
static inline double lines_at(const struct lines *s, double e)
{
    double y = single(s, e), step = 1;
    if (s->loss <= 0) return y;
    for (double lost = 3; lost < 60; lost += step) {
        double twice = 0;
        for (double a = 1; a < lost; a += 1) twice += plasmon(a) * plasmon(lost - a);
        y += step * single(s, e - lost) * (s->loss * plasmon(lost) + 0.5 * s->loss * s->loss * twice);
    }
    return y;
}
/* Its low loss, counts: zero-loss peak at 0.3 eV, axis of 0.2 eV from -10 eV. */
static inline struct ep_signal *low_loss_of(const struct lines *s)
{
    struct ep_desc d = desc(1, 1, 500, -10, 0.2);
    struct ep_signal *low;
    struct ep_err e = { 0 };
    d.kind = EP_SPECTRUM;
    d.nnav = 0;
    assert_int_equal(ep_signal_new(&d, &low, &e), EP_OK);
    for (size_t i = 0; i < 500; i++) {
        double at = -10 + 0.2 * (double)i - 0.3, twice = 0;
        for (double a = 1; a < at; a += 1) twice += plasmon(a) * plasmon(at - a);
        low->f64[i] = 1e6 * 0.2 * (gaussian(at, 0, 0.9) + s->loss * plasmon(at) + 0.5 * s->loss * s->loss * twice);
    }
    return low;
}
/* ny x nx pixels: a power law of `height` counts per channel at L3 and r = 3, lines on a continuum of `continuum` counts per channel. */
static inline struct image lines_image(const struct ep_desc *d, const struct lines *s, double height, double continuum, bool noisy)
{
    struct image m = image_new(d);
    double *mu = malloc(m.nch * sizeof *mu);
    for (size_t i = 0; i < m.nch; i++) {
        double e = ep_axis_at(&d->energy, (double)i);
        mu[i] = height * pow(e / s->l3, -3) + continuum * lines_at(s, e);
    }
    for (size_t p = 0; p < pixels(d); p++)
        for (size_t i = 0; i < m.nch; i++) m.val[p * m.nch + i] = (float)(noisy ? poisson(mu[i]) : mu[i]);
    free(mu);
    return m;
}

/* ---- the chain ------------------------------------------------------------------------------------------------------ */

struct lines_run { struct rig back, look, main; struct image net[MAXIO], out[MAXIO]; struct ep_signal *seen[4]; struct ep_item low; struct ep_err e; };

/* white_lines on m as it is: a net image, or none. */
static inline ep_status lines_on(struct lines_run *r, const struct image *m, const char *params, struct ep_signal *low)
{
    struct ep_cell c = cell_of(m);
    const struct ep_desc *in[2] = { &m->d, low ? &low->d : NULL };
    rig_declare(&r->main, stage("white_lines"), params, 2, in);
    if (r->main.diag.nerrors) return EP_E_RECIPE;
    rig_declare(&r->look, stage("white_lines")->look, params, 2, in);
    if (low) r->look.item[1].whole = r->main.item[1].whole = low;
    struct ep_prepare p = { .par = r->look.par, .in = r->look.items, .out = r->look.d.out, .nout = r->look.d.nout };
    ep_status st = r->look.s->prepare(&p, &r->look.plan, &r->e);
    if (st) return st;
    for (size_t i = 0; i < r->look.d.nout; i++)
        if (r->look.d.out[i].kind != EP_TABLE) assert_int_equal(ep_signal_new(&r->look.d.out[i], &r->seen[i], &r->e), EP_OK);
    uint32_t *flag = calloc(pixels(&m->d), sizeof *flag);
    void *acc[2] = { calloc(1, r->look.d.acc), calloc(1, r->look.d.acc) }, *scratch = malloc(r->look.d.scratch);
    size_t half = c.a.ny / 2;
    for (size_t k = 0; k < 2; k++) {             /* in two parts, merged */
        struct ep_area a = { k ? half : 0, 0, k ? c.a.ny - half : half, c.a.nx };
        struct ep_apply ap = { .plan = r->look.plan, .in = &c, .nin = 1, .flag = flag, .scratch = scratch, .area = a };
        assert_int_equal(r->look.s->add(&ap, acc[k], &r->e), EP_OK);
    }
    r->look.s->merge(r->look.plan, acc[0], acc[1]);
    st = r->look.s->finish(r->look.plan, acc[0], r->seen, &r->e);
    free(acc[0]);
    free(acc[1]);
    free(scratch);
    free(flag);
    if (st) return st;
    p = (struct ep_prepare){ .par = r->main.par, .in = r->main.items, .out = r->main.d.out, .nout = r->main.d.nout, .look = r->seen,
                             .nlook = r->look.d.nout };
    st = r->main.s->prepare(&p, &r->main.plan, &r->e);
    if (!st) rig_apply(&r->main, 1, &c, 0, (struct ep_range){ 0, 0 }, r->out);
    return st;
}
/* Background first. */
static inline ep_status lines_chain(struct lines_run *r, const struct image *counts, const char *window, const char *params, struct ep_signal *low)
{
    const struct image *ins[] = { counts };
    memset(r, 0, sizeof *r);
    run(&r->back, "background", window, 1, ins, r->net);
    return lines_on(r, &r->net[0], params, low);
}
static inline void lines_free(struct lines_run *r)
{
    for (size_t i = 0; i < MAXIO; i++) {
        image_free(&r->net[i]);
        image_free(&r->out[i]);
    }
    for (size_t i = 0; i < 4; i++) ep_signal_free(r->seen[i]);
    rig_free(&r->main);
    if (r->look.s) rig_free(&r->look);
    if (r->back.s) rig_free(&r->back);
}
static inline double look_cell(const struct lines_run *r, const char *column)
{
    const struct ep_signal *t = r->seen[2];
    for (size_t k = 0; t && k < t->ncol; k++)
        if (strcmp(t->col[k].name, column) == 0) return t->col[k].num[0];
    fail_msg("no column %s", column);
    return NAN;
}
static inline double lines_value(const struct lines_run *r, const char *name, size_t p)
{
    return (double)r->out[named(&r->main, name)].val[p];
}
static inline double lines_sigma(const struct lines_run *r, const char *name, size_t p)
{
    return (double)r->out[named(&r->main, name)].sigma[p];
}
#define MN_WINDOW "{window: [600, 627]}"
#define MN_LINES { MIXED, ARCTAN, 641.5, 652.6, 2.6, 3.2, 2.2, 45, 0, 2.5, 3, 0, 0 }
#endif
