/* Drives a stage by hand: declare, want, prepare, apply on images made here; and the images. Header only. */
#ifndef TESTS_UNIT_STAGE_RIG_H
#define TESTS_UNIT_STAGE_RIG_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "stages/registry.h"

/* ---- a driver ------------------------------------------------------------------------------------------------- */

#define MAXIO 10
struct image { struct ep_desc d; float *val, *sigma; uint32_t *flag; double *shift, *theta, *cmat; const struct ep_model *model; size_t ch0, nch; };
struct rig {
    const struct ep_stage *s;
    struct ep_arena arena;
    struct ep_diag diag;
    struct ep_declare d;
    struct ep_items items[MAXIO];
    struct ep_item item[MAXIO];
    void *par, *plan;
    struct ep_signal *look[2];
};

static inline size_t pixels(const struct ep_desc *d)
{
    return ep_desc_ny(d) * ep_desc_nx(d);
}

static inline struct image image_new(const struct ep_desc *d)
{
    struct image m = { .d = *d, .nch = ep_desc_nch(d) };
    size_t np = pixels(d);
    m.val = calloc(np * m.nch, sizeof(float));
    m.sigma = calloc(np * m.nch, sizeof(float));
    m.flag = calloc(np, sizeof *m.flag);
    m.shift = calloc(np, sizeof *m.shift);
    m.theta = calloc(np * EP_NTHETA, sizeof(double));
    m.cmat = calloc(np * EP_NCMAT, sizeof(double));
    return m;
}
static inline void image_free(struct image *m)
{
    free(m->val);
    free(m->sigma);
    free(m->flag);
    free(m->shift);
    free(m->theta);
    free(m->cmat);
}
static inline struct ep_cell cell_of(const struct image *m)
{
    return (struct ep_cell){ .d = &m->d, .a = { 0, 0, ep_desc_ny(&m->d), ep_desc_nx(&m->d) }, .ch0 = m->ch0, .nch = m->nch,
        .sy = m->nch * ep_desc_nx(&m->d), .sx = m->nch, .val = m->val, .sigma = m->d.has_sigma ? m->sigma : NULL, .flag = m->flag,
        .shift = m->d.shift_max > 0 ? m->shift : NULL, .model = m->model, .theta = m->model ? m->theta : NULL,
        .cmat = m->model ? m->cmat : NULL };
}

/* An image of ny x nx pixels, nch channels of `scale` eV from `offset`. */
static inline struct ep_desc desc(size_t ny, size_t nx, size_t nch, double offset, double scale)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_IMAGE;
    d.nnav = 2;
    d.nav[0] = (struct ep_axis){ "y", "nm", 0, 1, ny };
    d.nav[1] = (struct ep_axis){ "x", "nm", 0, 1, nx };
    d.spectral = true;
    d.energy = (struct ep_axis){ "Energy", "eV", offset, scale, nch };
    strcpy(d.unit, "counts");
    strcpy(d.meta.signal_type, "EELS");
    d.noise = EP_NOISE_INDEPENDENT;
    return d;
}
static inline struct ep_desc map_desc(size_t ny, size_t nx)
{
    struct ep_desc d = desc(ny, nx, 1, 0, 1);
    d.kind = EP_MAP;
    d.spectral = false;
    return d;
}

static const char *const rig_elements[] = { "O", "Ti", NULL };
/* Declares; in[k] is the one item of port k (kind 0: none). Mistakes stay in r->diag. */
static inline void rig_declare(struct rig *r, const struct ep_stage *s, const char *params, size_t nin, const struct ep_desc *const *in)
{
    memset(r, 0, sizeof *r);
    r->s = s;
    r->par = ep_arena_alloc(&r->arena, s->params_size);
    struct ep_value *v = ep_yaml_parse(&r->arena, params, strlen(params), "recipe", &r->diag);
    ep_params_parse(&r->arena, s->params, s->params_size, v, NULL, s->name, r->par, &r->diag);
    assert_int_equal(r->diag.nerrors, 0);
    for (size_t k = 0; k < s->nports && k < nin; k++)
        if (in[k]) {
            r->item[k] = (struct ep_item){ .d = in[k], .label = "x" };
            r->items[k] = (struct ep_items){ 1, &r->item[k] };
        }
    r->d = (struct ep_declare){ .stage = s, .par = r->par, .step = v, .step_name = "it", .in = r->items, .elements = rig_elements,
                                .arena = &r->arena, .diag = &r->diag };
    s->declare(&r->d);
}
static inline void rig_prepare(struct rig *r)
{
    struct ep_err e = { 0 };
    struct ep_prepare p = { .par = r->par, .in = r->items, .out = r->d.out, .nout = r->d.nout, .look = r->look, .nlook = r->look[0] ? 2 : 0 };
    assert_int_equal(r->diag.nerrors, 0);
    if (r->s->prepare) assert_int_equal(r->s->prepare(&p, &r->plan, &e), EP_OK);
}
static inline void rig_free(struct rig *r)
{
    if (r->s->free_plan) r->s->free_plan(r->plan);
    ep_signal_free(r->look[0]);
    ep_signal_free(r->look[1]);
    ep_diag_free(&r->diag);
    ep_arena_free(&r->arena);
}
static inline bool says(const struct rig *r, const char *text)
{
    for (size_t i = 0; i < r->diag.n; i++)
        if (strstr(r->diag.items[i].msg, text)) return true;
    return false;
}

/* All outputs over the whole output grid; strip: rows of one call (0: all at once); ch: channels of image outputs (empty: all). */
static inline void rig_apply(struct rig *r, size_t nin, const struct ep_cell *in, size_t strip, struct ep_range ch, struct image *out)
{
    size_t ny = ep_desc_ny(&r->d.out[0]), nx = ep_desc_nx(&r->d.out[0]);
    struct ep_err e = { 0 };
    void *scratch = calloc(1, r->d.scratch + 1);
    struct ep_cell part[4];
    for (size_t i = 0; i < r->d.nout; i++) {
        out[i] = image_new(&r->d.out[i]);
        if (!r->d.out[i].spectral || ch.first == ch.end) continue;
        out[i].ch0 = ch.first;
        out[i].nch = ch.end - ch.first;
    }
    struct ep_want want_out[MAXIO], want_in[MAXIO];
    for (size_t i = 0; i < r->d.nout; i++) want_out[i] = (struct ep_want){ true, { out[i].ch0, out[i].ch0 + out[i].nch } };
    for (size_t i = 0; i < nin; i++) {
        want_in[i] = (struct ep_want){ true, { 0, ep_desc_nch(in[i].d) } };
        part[i] = in[i];
    }
    if (r->s->want) r->s->want(&r->d, want_out, want_in);
    for (size_t i = 0; i < nin; i++) {          /* only the channels that were asked for */
        part[i].val += want_in[i].ch.first;
        part[i].ch0 = want_in[i].ch.first;
        part[i].nch = want_in[i].ch.end - want_in[i].ch.first;
    }
    for (size_t y0 = 0; y0 < ny; y0 += strip ? strip : ny) {
        struct ep_area a = { y0, 0, strip && y0 + strip <= ny ? strip : ny - y0, nx };
        struct ep_cell c[MAXIO];
        size_t at = y0 * nx;
        uint32_t *flag = out[0].flag + at;
        for (size_t i = 0; i < r->d.nout; i++)
            c[i] = (struct ep_cell){ .d = &r->d.out[i], .a = a, .ch0 = out[i].ch0, .nch = out[i].nch, .sy = nx * out[i].nch,
                .sx = out[i].nch, .val = out[i].val + at * out[i].nch, .sigma = r->d.out[i].has_sigma ? out[i].sigma + at : NULL, .flag = flag };
        for (size_t k = 0; k < a.ny * nx; k++) {
            flag[k] = 0;
            for (size_t i = 0; i < nin && !r->d.regrid.on; i++) flag[k] |= in[i].flag[at + k];
        }
        struct ep_apply ap = { .plan = r->plan, .scratch = scratch, .in = part, .nin = nin, .out = c, .nout = r->d.nout, .flag = flag,
            .shift = out[0].shift + at, .theta = out[0].theta + at * EP_NTHETA, .cmat = out[0].cmat + at * EP_NCMAT, .area = a };
        assert_int_equal(r->s->apply(&ap, &e), EP_OK);
        for (size_t i = 0; i < r->d.nout; i++) {
            if (c[i].model) out[i].model = c[i].model;
            for (size_t k = 0; k < a.ny * nx; k++) {         /* where the stage pointed somewhere else */
                memmove(out[i].val + (at + k) * out[i].nch, c[i].val + k / nx * c[i].sy + k % nx * c[i].sx, out[i].nch * sizeof(float));
                if (c[i].shift) out[i].shift[at + k] = c[i].shift[k];
                if (c[i].theta) memmove(out[i].theta + (at + k) * EP_NTHETA, c[i].theta + k * EP_NTHETA, sizeof(double[EP_NTHETA]));
                if (c[i].cmat) memmove(out[i].cmat + (at + k) * EP_NCMAT, c[i].cmat + k * EP_NCMAT, sizeof(double[EP_NCMAT]));
                out[i].flag[at + k] = flag[k];
            }
        }
    }
    static struct ep_model kept[8];            /* a model may live in scratch */
    static size_t nkept;
    for (size_t i = 0; i < r->d.nout; i++)
        if (out[i].model) {
            kept[nkept % 8] = *out[i].model;
            out[i].model = &kept[nkept++ % 8];
        }
    free(scratch);
}

static inline const struct ep_stage *stage(const char *name)
{
    const struct ep_stage *s = ep_stage_find(name);
    assert_non_null(s);
    return s;
}

/* One go: declare, prepare, apply on everything. */
static inline void run(struct rig *r, const char *name, const char *params, size_t nin, const struct image *const *in, struct image *out)
{
    const struct ep_desc *d[4] = { NULL };
    struct ep_cell c[4];
    for (size_t i = 0; i < nin; i++) {
        d[i] = &in[i]->d;
        c[i] = cell_of(in[i]);
    }
    rig_declare(r, stage(name), params, nin, d);
    rig_prepare(r);
    rig_apply(r, nin, c, 0, (struct ep_range){ 0, 0 }, out);
}
static inline size_t named(const struct rig *r, const char *name)
{
    for (size_t i = 0; i < r->d.nout; i++)
        if (strcmp(r->d.out[i].name, name) == 0) return i;
    fail_msg("no output %s", name);
    return 0;
}
static inline void images_free(const struct rig *r, struct image *out)
{
    for (size_t i = 0; i < r->d.nout; i++) image_free(&out[i]);
}
static inline void same_images(const struct rig *r, const struct image *a, const struct image *b)
{
    for (size_t i = 0; i < r->d.nout; i++) {
        size_t np = pixels(&r->d.out[i]);
        assert_memory_equal(a[i].val, b[i].val, np * a[i].nch * sizeof(float));
        assert_memory_equal(a[i].sigma, b[i].sigma, np * sizeof(float));
        assert_memory_equal(a[i].flag, b[i].flag, np * sizeof(uint32_t));
        assert_memory_equal(a[i].theta, b[i].theta, np * EP_NTHETA * sizeof(double));
        assert_memory_equal(a[i].shift, b[i].shift, np * sizeof(double));
    }
}

/* ---- data ----------------------------------------------------------------------------------------------------- */

static inline double uniform(uint64_t seed)
{
    static uint64_t state;
    if (seed) state = seed;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    uint64_t z = (state ^ (state >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    return ((double)((z ^ (z >> 33)) >> 11) + 0.5) * 0x1p-53;
}
static inline double poisson(double mu)
{
    if (mu > 30) return fmax(0, floor(mu + sqrt(mu) * sqrt(-2 * log(uniform(0))) * cos(6.283185307179586 * uniform(0)) + 0.5));
    double n = -1, s = 0;
    while (s <= mu) n++, s -= log(uniform(0));
    return n;
}
/* A power law of `height` at 500 eV, exponent r(y), an edge at 532 eV; counts when noisy. */
static inline struct image spectra(const struct ep_desc *d, double height, bool noisy)
{
    struct image m = image_new(d);
    size_t nx = ep_desc_nx(d);
    for (size_t p = 0; p < pixels(d); p++)
        for (size_t i = 0; i < m.nch; i++) {
            double e = ep_axis_at(&d->energy, (double)i), mu = height * pow(e / 500, -(2.5 + 0.05 * (double)(p / nx)));
            if (e >= 532) mu += 0.1 * height;
            m.val[p * m.nch + i] = (float)(noisy ? poisson(mu) : mu);
        }
    return m;
}
static inline double at(const struct image *m, size_t p, size_t ch)
{
    return (double)m->val[p * m->nch + ch - m->ch0];
}
#endif
