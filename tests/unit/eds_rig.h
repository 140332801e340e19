/* Drives eds_lines by hand: declare, look, prepare, apply on images in memory. Header only; after eds_sim.h. */
#ifndef TESTS_UNIT_EDS_RIG_H
#define TESTS_UNIT_EDS_RIG_H
#include "stage_rig.h"

#define EDS_MAXOUT 64
struct eds_rig {
    struct rig main, look;
    struct ep_desc d;
    struct ep_signal *seen[EDS_MAXOUT];    /* of the look */
    struct image out[EDS_MAXOUT];
    struct ep_err e;
};

static inline struct ep_desc eds_desc(size_t ny, size_t nx, const struct sim_detector *det)
{
    struct ep_desc d = desc(ny, nx, det->nch, det->offset, det->scale);
    strcpy(d.meta.signal_type, "EDS_TEM");
    d.meta.beam_energy_kev = 200;
    return d;
}

/* Mistakes are in r->main.diag afterwards. */
static inline void eds_declare(struct eds_rig *r, const char *params, const struct ep_desc *d)
{
    memset(r, 0, sizeof *r);
    r->d = *d;
    const struct ep_desc *in[1] = { &r->d };
    rig_declare(&r->main, stage("eds_lines"), params, 1, in);
    assert_true(r->main.d.nout <= EDS_MAXOUT);
    rig_declare(&r->look, stage("eds_lines")->look, params, 1, in);
    assert_int_equal(r->look.diag.nerrors, 0);
}
static inline struct ep_apply eds_ap(const struct rig *g, struct ep_cell *c, uint32_t *flag, void *scratch, struct ep_area a)
{
    memcpy(flag, c->flag, c->a.ny * c->a.nx * sizeof *flag);
    return (struct ep_apply){ .plan = g->plan, .scratch = scratch, .in = c, .nin = 1, .flag = flag, .area = a };
}
/* The look on all of the image, then prepare. */
static inline ep_status eds_look(struct eds_rig *r, const struct image *m)
{
    struct ep_prepare p = { .par = r->look.par, .in = r->look.items, .out = r->look.d.out, .nout = r->look.d.nout };
    struct ep_cell c = cell_of(m);
    uint32_t *flag = malloc(pixels(&m->d) * sizeof *flag);
    void *acc = calloc(1, r->look.d.acc);
    assert_int_equal(r->look.s->prepare(&p, &r->look.plan, &r->e), EP_OK);
    for (size_t i = 0; i < r->look.d.nout; i++)
        if (r->look.d.out[i].kind != EP_TABLE) assert_int_equal(ep_signal_new(&r->look.d.out[i], &r->seen[i], &r->e), EP_OK);
    struct ep_apply ap = eds_ap(&r->look, &c, flag, NULL, c.a);
    assert_int_equal(r->look.s->add(&ap, acc, &r->e), EP_OK);
    ep_status st = r->look.s->finish(r->look.plan, acc, r->seen, &r->e);
    free(acc);
    free(flag);
    if (st) return st;
    p = (struct ep_prepare){ .par = r->main.par, .in = r->main.items, .out = r->main.d.out, .nout = r->main.d.nout, .look = r->seen,
                             .nlook = r->look.d.nout };
    return r->main.s->prepare(&p, &r->main.plan, &r->e);
}
/* Applies to area a, into the images of r->out (made here the first time). */
static inline void eds_area(struct eds_rig *r, const struct image *m, struct ep_area a, bool residual)
{
    struct ep_cell in = cell_of(m), c[EDS_MAXOUT];
    size_t nx = ep_desc_nx(&m->d), at = a.y0 * nx + a.x0;
    uint32_t *flag = calloc(a.ny * a.nx, sizeof *flag);
    void *scratch = malloc(r->main.d.scratch);
    for (size_t y = 0; y < a.ny; y++)
        for (size_t x = 0; x < a.nx; x++) flag[y * a.nx + x] = m->flag[at + y * nx + x];
    float *dense = calloc(r->main.d.nout * a.ny * a.nx, sizeof *dense);     /* sigmas are dense in the area */
    for (size_t i = 0; i < r->main.d.nout; i++) {
        struct image *o = &r->out[i];
        if (!o->val) *o = image_new(&r->main.d.out[i]);
        c[i] = (struct ep_cell){ .d = &r->main.d.out[i], .a = a, .nch = o->nch, .sy = nx * o->nch, .sx = o->nch,
            .val = o->d.spectral && !residual ? NULL : o->val + at * o->nch,
            .sigma = !o->d.has_sigma ? NULL : o->d.spectral ? o->sigma : dense + i * a.ny * a.nx, .flag = flag };
    }
    struct ep_apply ap = { .plan = r->main.plan, .scratch = scratch, .in = &in, .nin = 1, .out = c, .nout = r->main.d.nout, .flag = flag,
                           .area = a };
    assert_int_equal(r->main.s->apply(&ap, &r->e), EP_OK);
    for (size_t i = 0; i < r->main.d.nout; i++)
        for (size_t y = 0; y < a.ny; y++)
            for (size_t x = 0; x < a.nx; x++) {
                if (!r->out[i].d.spectral) r->out[i].sigma[at + y * nx + x] = dense[(i * a.ny + y) * a.nx + x];
                r->out[i].flag[at + y * nx + x] = flag[y * a.nx + x];
            }
    free(dense);
    free(scratch);
    free(flag);
}
static inline void eds_free(struct eds_rig *r)
{
    for (size_t i = 0; i < EDS_MAXOUT; i++) {
        ep_signal_free(r->seen[i]);
        if (r->out[i].val) image_free(&r->out[i]);
    }
    rig_free(&r->look);
    rig_free(&r->main);
}
static inline void eds_run(struct eds_rig *r, const char *params, const struct image *m)
{
    eds_declare(r, params, &m->d);
    if (r->main.diag.nerrors) fail_msg("%s", r->main.diag.items[0].msg);
    if (eds_look(r, m)) fail_msg("%s", r->e.msg);
    eds_area(r, m, (struct ep_area){ 0, 0, ep_desc_ny(&m->d), ep_desc_nx(&m->d) }, true);
}
/* A number of a table of the look. */
static inline double eds_cell(const struct eds_rig *r, const char *table, const char *column, size_t row)
{
    for (size_t i = 0; i < r->look.d.nout; i++) {
        if (strcmp(r->look.d.out[i].name, table) != 0) continue;
        for (size_t k = 0; k < r->seen[i]->ncol; k++)
            if (strcmp(r->seen[i]->col[k].name, column) == 0) return r->seen[i]->col[k].num[row];
    }
    fail_msg("no column %s in %s", column, table);
    return NAN;
}
static inline double eds_value(const struct eds_rig *r, const char *name, size_t p)
{
    return (double)r->out[named(&r->main, name)].val[p];
}
static inline double eds_sigma(const struct eds_rig *r, const char *name, size_t p)
{
    return (double)r->out[named(&r->main, name)].sigma[p];
}

/* The two materials of eds_sim.h: the left half LLTO, the right half NCM; expected counts, or random ones. */
static inline struct image eds_scene(size_t ny, size_t nx, const struct sim_detector *det, double dose, bool noisy)
{
    struct ep_desc d = eds_desc(ny, nx, det);
    struct image m = image_new(&d);
    double *y[2] = { malloc(det->nch * sizeof(double)), malloc(det->nch * sizeof(double)) };
    struct sim_pixel px[2] = { sim_llto(), sim_ncm() };
    for (int k = 0; k < 2; k++) sim_spectrum(det, &px[k], dose, y[k]);
    for (size_t p = 0; p < ny * nx; p++)
        for (size_t i = 0; i < det->nch; i++) {
            double mu = y[p % nx >= nx / 2][i];
            m.val[p * det->nch + i] = (float)(noisy ? sim_poisson(mu) : mu);
        }
    free(y[0]);
    free(y[1]);
    return m;
}
#define EDS_BATTERY "elements: [O, Ti, La, Mn, Co, Ni]\nartefacts: [Cu]\n"
#endif
