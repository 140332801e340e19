/* Drives stages on maps in memory (whole and reduce), and makes maps with a boundary in them. Header only. */
#ifndef TESTS_UNIT_SPACE_RIG_H
#define TESTS_UNIT_SPACE_RIG_H
#include "tests/unit/stage_rig.h"

#ifndef MAXOUT
#define MAXOUT 4
#endif
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define RAD (3.14159265358979323846 / 180)
/* in[k][i]: items of port k, ended by NULL; a port without items is { NULL }. */
struct space { struct rig r; struct ep_item item[MAXIO][4]; struct ep_signal *out[MAXOUT]; ep_status st; struct ep_err e; };

static inline struct ep_desc plane(size_t ny, size_t nx, double px)
{
    struct ep_desc d = map_desc(ny, nx);
    d.nav[0] = (struct ep_axis){ "y", "nm", 3, px, ny };
    d.nav[1] = (struct ep_axis){ "x", "nm", -5, px, nx };
    d.frame_id = 7;
    strcpy(d.name, "map");
    return d;
}
static inline struct ep_signal *new_map(const struct ep_desc *d)
{
    struct ep_signal *s;
    struct ep_err e = { 0 };
    assert_int_equal(ep_signal_new(d, &s, &e), EP_OK);
    return s;
}
static inline double y_of(const struct ep_signal *s, size_t i)
{
    return ep_axis_at(&s->d.nav[0], (double)(i / s->d.nav[1].size));
}
static inline double x_of(const struct ep_signal *s, size_t i)
{
    return ep_axis_at(&s->d.nav[1], (double)(i % s->d.nav[1].size));
}

/* Declares; a stage that must refuse leaves its words in r.diag. */
static inline void space_declare(struct space *q, const char *name, const char *params, const struct ep_signal *const in[][4], size_t nports)
{
    static const char *const labels[] = { "a", "b", "c", "d" };
    memset(q, 0, sizeof *q);
    struct rig *r = &q->r;
    r->s = stage(name);
    r->par = ep_arena_alloc(&r->arena, r->s->params_size);
    struct ep_value *v = ep_yaml_parse(&r->arena, params, strlen(params), "recipe", &r->diag);
    ep_params_parse(&r->arena, r->s->params, r->s->params_size, v, NULL, r->s->name, r->par, &r->diag);
    if (r->diag.nerrors) fail_msg("%s", r->diag.items[0].msg);
    for (size_t k = 0; k < nports; k++) {
        size_t n = 0;
        for (; n < 4 && in[k][n]; n++) q->item[k][n] = (struct ep_item){ .d = &in[k][n]->d, .label = labels[n], .whole = in[k][n] };
        r->items[k] = (struct ep_items){ n, q->item[k] };
    }
    r->d = (struct ep_declare){ .stage = r->s, .par = r->par, .step = v, .step_name = "it", .in = r->items, .arena = &r->arena, .diag = &r->diag };
    r->s->declare(&r->d);
}

/* Rows shared out over `parts` accumulators, merged from the left. */
static inline ep_status space_reduce(struct space *q, const struct ep_signal *in, size_t parts)
{
    struct rig *r = &q->r;
    size_t ny = ep_desc_ny(&in->d), nx = ep_desc_nx(&in->d);
    uint32_t *flag = calloc(nx, sizeof *flag);
    char **acc = calloc(parts, sizeof *acc);
    for (size_t k = 0; k < parts; k++) acc[k] = calloc(1, r->d.acc);
    for (size_t y = 0; y < ny; y++) {
        size_t nch = ep_desc_nch(&in->d);
        struct ep_cell row = { .d = &in->d, .a = { y, 0, 1, nx }, .nch = nch, .sy = nx * nch, .sx = nch, .val = in->f32 + y * nx * nch,
                               .sigma = in->sigma32 ? in->sigma32 + y * nx : NULL, .flag = in->flags ? in->flags + y * nx : flag,
                               .shift = in->shift ? in->shift + y * nx : NULL };
        struct ep_apply a = { .plan = r->plan, .in = &row, .nin = 1, .area = row.a };
        assert_int_equal(r->s->add(&a, acc[y * parts / ny], &q->e), EP_OK);
    }
    for (size_t k = 1; k < parts; k++) r->s->merge(r->plan, acc[0], acc[k]);
    ep_status st = r->s->finish(r->plan, acc[0], q->out, &q->e);
    for (size_t k = 0; k < parts; k++) free(acc[k]);
    free(acc);
    free(flag);
    return st;
}

/* reference: as the run that relative_to names. */
static inline void space_run_as(struct space *q, const char *name, const char *params, const struct ep_signal *const in[][4], size_t nports,
                                bool reference)
{
    space_declare(q, name, params, in, nports);
    struct rig *r = &q->r;
    if (r->diag.nerrors) fail_msg("%s", r->diag.items[0].msg);
    struct ep_prepare p = { .par = r->par, .in = r->items, .out = r->d.out, .nout = r->d.nout, .reference = reference };
    for (size_t i = 0; i < r->d.nout; i++)
        if (r->d.out[i].kind != EP_CURVE && r->d.out[i].kind != EP_TABLE) q->out[i] = new_map(&r->d.out[i]);
    if (r->s->prepare) q->st = r->s->prepare(&p, &r->plan, &q->e);
    if (q->st == EP_OK) q->st = r->s->whole ? r->s->whole(r->plan, &p, q->out, &q->e) : space_reduce(q, in[0][0], 3);
}
static inline void space_run(struct space *q, const char *name, const char *params, const struct ep_signal *const in[][4], size_t nports)
{
    space_run_as(q, name, params, in, nports, false);
}
static inline void space_free(struct space *q)
{
    for (size_t i = 0; i < MAXOUT; i++) ep_signal_free(q->out[i]);
    rig_free(&q->r);
}
static inline void fails_with(const char *name, const char *par, const struct ep_signal *const in[][4], size_t n, const char *words)
{
    struct space q;
    space_run(&q, name, par, in, n);
    assert_int_equal(q.st, EP_E_COMPUTE);
    if (!strstr(q.e.msg, words)) fail_msg("'%s' is not in: %s", words, q.e.msg);
    space_free(&q);
}
static inline void refuses_with(const char *name, const char *par, const struct ep_signal *const in[][4], size_t n, const char *words)
{
    struct space q;
    space_declare(&q, name, par, in, n);
    if (!says(&q.r, words)) fail_msg("'%s' was not said, but: %s", words, q.r.diag.n ? q.r.diag.items[0].msg : "nothing");
    assert_true(q.r.diag.nerrors > 0);
    space_free(&q);
}
/* A number of a table's first row. */
static inline double cell_of_table(const struct ep_signal *t, const char *name, double *sigma)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) {
            if (sigma) *sigma = t->col[i].sigma ? t->col[i].sigma[0] : (double)NAN;
            return t->col[i].num[0];
        }
    fail_msg("no column %s", name);
    return 0;
}

/* A straight boundary: n points from (y, x) on, `step` apart, its normal at `angle` from x. */
static inline struct ep_signal *boundary(double y, double x, double angle, double length, double sigma)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_CURVE;
    d.dtype = EP_F64;
    d.nnav = 1;
    d.nav[0] = (struct ep_axis){ "point", "", 0, 1, 5 };
    d.frame_id = 7;
    struct ep_signal *s = new_map(&d);
    for (int i = 0; i < 5; i++) {
        double *p = s->points + 5 * i, t = length * (i / 4.0 - 0.5);
        p[0] = y + t * cos(angle * RAD);
        p[1] = x - t * sin(angle * RAD);
        p[2] = sin(angle * RAD);
        p[3] = cos(angle * RAD);
        p[4] = sigma;
    }
    return s;
}
/* Of a register step; across_sigma NAN: a direction left open. */
static inline struct ep_signal *shift_table(double y, double x, double angle, double across_sigma)
{
    struct ep_signal *t;
    struct ep_err e = { 0 };
    double along = y * sin(angle * RAD) + x * cos(angle * RAD), across = y * cos(angle * RAD) - x * sin(angle * RAD), s = 0.03;
    assert_int_equal(ep_table_new("shift", 1, &t, &e), EP_OK);
    ep_table_add(t, "y", "nm", &y, &s, NULL, &e);
    ep_table_add(t, "x", "nm", &x, &s, NULL, &e);
    ep_table_add(t, "angle", "deg", &angle, NULL, NULL, &e);
    ep_table_add(t, "along", "nm", &along, &s, NULL, &e);
    ep_table_add(t, "across", "nm", &across, &across_sigma, NULL, &e);
    return t;
}

/* A boundary at p + wave(v) across a normal of `angle` degrees, blurred by s; lo before it, hi after. Values are means over pixels
 * (3 x 3 points). counts: Poisson values with their sigmas. */
struct scene { double angle, p, s, lo, hi, amplitude, wavelength, phase; bool counts; };

static inline double edge_of(const struct scene *c, double v)
{
    return c->p + (c->amplitude != 0 ? c->amplitude * sin(6.283185307179586 * v / c->wavelength + c->phase) : 0);
}
static inline double scene_at(const struct scene *c, double y, double x)
{
    double a = c->angle * 3.14159265358979323846 / 180, u = y * sin(a) + x * cos(a), v = y * cos(a) - x * sin(a);
    return c->lo + (c->hi - c->lo) * 0.5 * erfc(-(u - edge_of(c, v)) / c->s * 0.7071067811865475);
}
static inline void fill_scene(struct ep_signal *s, const struct scene *c)
{
    double hy = s->d.nav[0].scale / 3, hx = s->d.nav[1].scale / 3;
    for (size_t i = 0; i < s->n; i++) {
        double z = 0;
        for (int k = 0; k < 9; k++) z += scene_at(c, y_of(s, i) + (k / 3 - 1) * hy, x_of(s, i) + (k % 3 - 1) * hx) / 9;
        s->f32[i] = (float)(c->counts ? poisson(z) : z);
        if (s->sigma32) s->sigma32[i] = (float)(c->counts ? sqrt((double)s->f32[i]) : 0);
    }
}
#endif
