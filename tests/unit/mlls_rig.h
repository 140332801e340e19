/* Drives mlls by hand: declare, look, prepare, apply on signals in memory. Header only. */
#ifndef TESTS_UNIT_MLLS_RIG_H
#define TESTS_UNIT_MLLS_RIG_H
#include "stage_rig.h"
#include "mlls_sim.h"
#include "stages/mlls_plan.h"

#define MLLS_OUT 48
#define MLLS_REFS 4
struct mlls_rig {
    struct ep_arena arena;
    struct ep_diag diag;
    struct ep_declare d[2];                /* main, look */
    struct ep_items items[EP_MLLS_NPORTS];
    struct ep_item item[EP_MLLS_NPORTS], ref[MLLS_REFS];
    void *par, *plan, *look_plan;
    struct ep_signal *seen[MLLS_OUT];
    struct image out[MLLS_OUT];
    struct ep_err e;
};
struct mlls_ref { const char *label; struct ep_signal *s; };

static inline struct ep_desc mlls_desc(size_t ny, size_t nx, bool low)
{
    struct ep_desc d = desc(ny, nx, low ? SIM_LOW_N : SIM_CORE_N, low ? SIM_LOW_0 : SIM_CORE_0, SIM_STEP);
    d.gain = 1;
    d.meta.beam_energy_kev = 200;
    d.meta.collection_mrad = 20.8;
    if (nx == 0) {                         /* one spectrum */
        d.kind = EP_SPECTRUM;
        d.nnav = 0;
        d.has_sigma = true;
    }
    return d;
}
/* Pixels of one spectrum; noisy: Poisson. */
static inline struct image mlls_image(const struct ep_desc *d, const double *mu, bool noisy)
{
    struct image m = image_new(d);
    for (size_t p = 0; p < pixels(d); p++)
        for (size_t i = 0; i < m.nch; i++) m.val[p * m.nch + i] = (float)(noisy ? poisson(mu[i]) : mu[i]);
    return m;
}
static inline struct ep_signal *mlls_signal(const double *y, size_t n, double first)
{
    struct ep_desc d = desc(1, 1, n, first, SIM_STEP);
    struct ep_err e = { 0 };
    struct ep_signal *s = NULL;
    d.kind = EP_SPECTRUM;
    d.nnav = 0;
    assert_int_equal(ep_signal_new(&d, &s, &e), EP_OK);
    memcpy(s->f64, y, n * sizeof *y);
    return s;
}

static inline void mlls_declare(struct mlls_rig *r, const char *params, const struct ep_desc *in, const struct ep_desc *low, size_t nref,
                                const struct mlls_ref *ref)
{
    memset(r, 0, sizeof *r);
    const struct ep_stage *s = stage("mlls");
    r->par = ep_arena_alloc(&r->arena, s->params_size);
    struct ep_value *v = ep_yaml_parse(&r->arena, params, strlen(params), "recipe", &r->diag);
    ep_params_parse(&r->arena, s->params, s->params_size, v, NULL, s->name, r->par, &r->diag);
    if (r->diag.nerrors) return;
    const struct ep_desc *const streamed[2] = { in, low };
    for (int k = 0; k < 2; k++)
        if (streamed[k]) {
            r->item[k] = (struct ep_item){ .d = streamed[k], .label = "x" };
            r->items[k] = (struct ep_items){ 1, &r->item[k] };
        }
    for (size_t i = 0; i < nref; i++) r->ref[i] = (struct ep_item){ .d = &ref[i].s->d, .label = ref[i].label, .whole = ref[i].s };
    r->items[EP_MLLS_REFERENCES] = (struct ep_items){ nref, r->ref };
    for (int k = 0; k < 2; k++) {
        r->d[k] = (struct ep_declare){ .stage = k ? s->look : s, .par = r->par, .step = v, .step_name = "it", .in = r->items, .arena = &r->arena,
                                       .diag = &r->diag };
        r->d[k].stage->declare(&r->d[k]);
    }
    assert_true(r->d[0].nout <= MLLS_OUT && r->d[1].nout <= MLLS_OUT);
}
static inline bool mlls_says(const struct mlls_rig *r, const char *text)
{
    for (size_t i = 0; i < r->diag.n; i++)
        if (strstr(r->diag.items[i].msg, text)) return true;
    return false;
}
/* The look on all pixels, then prepare. */
static inline ep_status mlls_look(struct mlls_rig *r, const struct image *in, const struct image *low)
{
    const struct ep_stage *s = stage("mlls");
    struct ep_prepare p = { .par = r->par, .in = r->items, .out = r->d[1].out, .nout = r->d[1].nout };
    struct ep_cell c[2] = { cell_of(in), low ? cell_of(low) : (struct ep_cell){ 0 } };
    void *acc = calloc(1, r->d[1].acc);
    ep_status st = s->look->prepare(&p, &r->look_plan, &r->e);
    for (size_t i = 0; !st && i < r->d[1].nout; i++)
        if (r->d[1].out[i].kind != EP_TABLE) st = ep_signal_new(&r->d[1].out[i], &r->seen[i], &r->e);
    struct ep_apply ap = { .plan = r->look_plan, .in = c, .nin = low ? 2 : 1, .area = c[0].a };
    if (!st) st = s->look->add(&ap, acc, &r->e);
    if (!st) st = s->look->finish(r->look_plan, acc, r->seen, &r->e);
    free(acc);
    p = (struct ep_prepare){ .par = r->par, .in = r->items, .out = r->d[0].out, .nout = r->d[0].nout, .look = r->seen, .nlook = r->d[1].nout };
    if (!st) st = s->prepare(&p, &r->plan, &r->e);
    return st;
}
/* Applies to area a. */
static inline void mlls_area(struct mlls_rig *r, const struct image *in, struct ep_area a)
{
    struct ep_cell from[2] = { cell_of(in) }, c[MLLS_OUT];
    size_t nx = ep_desc_nx(&in->d), at = a.y0 * nx + a.x0, nout = r->d[0].nout;
    uint32_t *flag = calloc(a.ny * a.nx, sizeof *flag);
    void *scratch = malloc(r->d[0].scratch + 1);
    float *dense = calloc(nout * a.ny * a.nx, sizeof *dense);
    for (size_t y = 0; y < a.ny; y++)
        for (size_t x = 0; x < a.nx; x++) flag[y * a.nx + x] = in->flag[at + y * nx + x];
    for (size_t i = 0; i < nout; i++) {
        struct image *o = &r->out[i];
        const struct ep_desc *d = &r->d[0].out[i];
        if (!o->val) *o = image_new(d);
        if (d->spectral && d->kind == EP_SPECTRUM && d->has_sigma) {
            free(o->sigma);
            o->sigma = calloc(o->nch, sizeof *o->sigma);
        }
        c[i] = (struct ep_cell){ .d = d, .a = a, .nch = o->nch, .sy = nx * o->nch, .sx = o->nch, .val = o->val + at * o->nch,
            .sigma = !d->has_sigma ? NULL : d->spectral ? o->sigma : dense + i * a.ny * a.nx, .flag = flag };
    }
    struct ep_apply ap = { .plan = r->plan, .scratch = scratch, .in = from, .nin = 1, .out = c, .nout = nout, .flag = flag, .area = a };
    assert_int_equal(stage("mlls")->apply(&ap, &r->e), EP_OK);
    for (size_t i = 0; i < nout; i++)
        for (size_t y = 0; y < a.ny; y++)
            for (size_t x = 0; x < a.nx; x++) {
                if (!r->d[0].out[i].spectral) r->out[i].sigma[at + y * nx + x] = dense[(i * a.ny + y) * a.nx + x];
                r->out[i].flag[at + y * nx + x] = flag[y * a.nx + x];
            }
    free(dense);
    free(scratch);
    free(flag);
}
static inline void mlls_free(struct mlls_rig *r)
{
    const struct ep_stage *s = stage("mlls");
    s->free_plan(r->plan);
    s->look->free_plan(r->look_plan);
    for (size_t i = 0; i < MLLS_OUT; i++) {
        ep_signal_free(r->seen[i]);
        if (r->out[i].val) image_free(&r->out[i]);
    }
    ep_diag_free(&r->diag);
    ep_arena_free(&r->arena);
}
/* All of it; mistakes and failures end the test. */
static inline void mlls_run(struct mlls_rig *r, const char *params, const struct image *in, const struct image *low, size_t nref,
                            const struct mlls_ref *ref)
{
    mlls_declare(r, params, &in->d, low ? &low->d : NULL, nref, ref);
    if (r->diag.nerrors) fail_msg("%s", r->diag.items[0].msg);
    if (mlls_look(r, in, low)) fail_msg("%s", r->e.msg);
    mlls_area(r, in, (struct ep_area){ 0, 0, ep_desc_ny(&in->d), ep_desc_nx(&in->d) });
}
static inline size_t mlls_named(const struct mlls_rig *r, const char *name)
{
    for (size_t i = 0; i < r->d[0].nout; i++)
        if (strcmp(r->d[0].out[i].name, name) == 0) return i;
    fail_msg("no output %s", name);
    return 0;
}
static inline double mlls_value(const struct mlls_rig *r, const char *name, size_t p) { return (double)r->out[mlls_named(r, name)].val[p]; }
static inline double mlls_sigma(const struct mlls_rig *r, const char *name, size_t p) { return (double)r->out[mlls_named(r, name)].sigma[p]; }
#endif
