/* Runs stages that have a look (a reduction) by hand, and spectra of plural scattering in closed form: layers whose single losses are
 * Gaussians, so that n losses of one and m of the other are a Gaussian again, with Poisson weights. Header only. */
#ifndef TESTS_UNIT_PLURAL_RIG_H
#define TESTS_UNIT_PLURAL_RIG_H
#include "stage_rig.h"

#define LOOKS 4
struct look_rig { struct rig main, look; struct ep_signal *seen[LOOKS]; struct image out[MAXIO]; struct ep_err e; };

/* declare, look, prepare; the status of what went wrong. */
static inline ep_status look_prepare(struct look_rig *r, const char *name, const char *params, size_t nin, const struct image *const *in,
                                     struct ep_cell *c)
{
    const struct ep_desc *d[MAXIO] = { NULL };
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < nin; i++) {
        d[i] = &in[i]->d;
        c[i] = cell_of(in[i]);
    }
    rig_declare(&r->main, stage(name), params, nin, d);
    assert_int_equal(r->main.diag.nerrors, 0);
    rig_declare(&r->look, stage(name)->look, params, nin, d);
    assert_int_equal(r->look.diag.nerrors, 0);
    struct ep_prepare p = { .par = r->look.par, .in = r->look.items, .out = r->look.d.out, .nout = r->look.d.nout };
    ep_status st = r->look.s->prepare(&p, &r->look.plan, &r->e);
    if (st) return st;
    for (size_t i = 0; i < r->look.d.nout; i++) assert_int_equal(ep_signal_new(&r->look.d.out[i], &r->seen[i], &r->e), EP_OK);
    void *acc[2] = { calloc(1, r->look.d.acc), calloc(1, r->look.d.acc) };
    size_t ny = c[0].a.ny, cut = ny / 2;
    for (size_t k = 0; k < 2; k++) {             /* in two parts, merged */
        struct ep_area a = { k ? cut : 0, 0, k ? ny - cut : cut, c[0].a.nx };
        struct ep_apply ap = { .plan = r->look.plan, .in = c, .nin = nin, .area = a };
        if (a.ny) assert_int_equal(r->look.s->add(&ap, acc[k], &r->e), EP_OK);
    }
    r->look.s->merge(r->look.plan, acc[0], acc[1]);
    st = r->look.s->finish(r->look.plan, acc[0], r->seen, &r->e);
    free(acc[0]);
    free(acc[1]);
    p = (struct ep_prepare){ .par = r->main.par, .in = r->main.items, .out = r->main.d.out, .nout = r->main.d.nout, .look = r->seen,
                             .nlook = r->look.d.nout };
    return st ? st : r->main.s->prepare(&p, &r->main.plan, &r->e);
}
static inline void look_run(struct look_rig *r, const char *name, const char *params, size_t nin, const struct image *const *in)
{
    struct ep_cell c[MAXIO];
    ep_status st = look_prepare(r, name, params, nin, in, c);
    if (st) fail_msg("%s: %s", name, r->e.msg);
    rig_apply(&r->main, nin, c, 0, (struct ep_range){ 0, 0 }, r->out);
}
static inline void look_free(struct look_rig *r)
{
    for (size_t i = 0; i < LOOKS; i++) ep_signal_free(r->seen[i]);
    for (size_t i = 0; i < r->main.d.nout; i++)
        if (r->out[i].val) image_free(&r->out[i]);
    rig_free(&r->look);
    rig_free(&r->main);
}

/* ---- spectra -------------------------------------------------------------------------------------------------- */

#define ZLP_SD 0.4       /* eV */
struct layer { double tau, at, sd; };            /* t/lambda of it; its single loss, eV */
struct lamella { double electrons, zlp; struct layer l[2]; };      /* zlp: where the peak stands on the axis, eV */

static inline double bell(double from, double to, double at, double sd)
{
    return 0.5 * (erf((to - at) / (sd * M_SQRT2)) - erf((from - at) / (sd * M_SQRT2)));
}
/* Expected counts of losses n, m of the layers in channel i. */
static inline double order(const struct lamella *s, const struct ep_axis *a, size_t i, int n, int m)
{
    double w = s->electrons * exp(-s->l[0].tau - s->l[1].tau) * pow(s->l[0].tau, n) / tgamma(n + 1) * pow(s->l[1].tau, m) / tgamma(m + 1);
    double sd = sqrt(ZLP_SD * ZLP_SD + n * s->l[0].sd * s->l[0].sd + m * s->l[1].sd * s->l[1].sd);
    return w * bell(ep_axis_at(a, (double)i - 0.5), ep_axis_at(a, (double)i + 0.5), s->zlp + n * s->l[0].at + m * s->l[1].at, sd);
}
/* What is measured; single: only what has lost energy once. */
static inline void expect(const struct lamella *s, const struct ep_axis *a, bool single, double *out)
{
    for (size_t i = 0; i < a->size; i++) out[i] = 0;
    for (int n = 0; n < (single ? 2 : 12); n++)
        for (int m = 0; m < (single ? 2 - n : 12); m++) {
            if ((single && n + m == 0) || (m && s->l[1].tau == 0)) continue;
            for (size_t i = 0; i < a->size; i++) out[i] += order(s, a, i, n, m);
        }
}
static inline double window_sum(const struct ep_axis *a, const double *v, double from, double to)
{
    struct ep_range r = ep_axis_window(a, from, to, 0, NULL);
    double s = 0;
    for (size_t i = r.first; i < r.end; i++) s += v[i];
    return s;
}
static inline double image_window(const struct image *m, size_t p, double from, double to)
{
    struct ep_range r = ep_axis_window(&m->d.energy, from, to, 0, NULL);
    double s = 0;
    for (size_t i = r.first; i < r.end; i++) s += at(m, p, i);
    return s;
}
#endif
