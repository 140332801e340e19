/* Geometry of boundaries, interface, register: known answers, refusals, what happens without a step. */
#include "pipeline/numerics/curve.h"
#include "pipeline/numerics/image_shift.h"
#include "tests/unit/space_rig.h"


/* ---- numerics --------------------------------------------------------------------------------------------------- */

static void test_box(void **unused)
{
    (void)unused;
    static const double w[][2] = { { 1, 0 }, { 0, 2 }, { 1, 1 }, { 0.3, 0.7 }, { 2, 1e-9 } };
    for (size_t k = 0; k < COUNT(w); k++)
        for (double z = -2; z <= 2; z += 0.137) {
            double below = 0;
            const int n = 400;
            for (int i = 0; i < n; i++)            /* exact over y, summed over x */
                below += fmin(1, fmax(0, (z - w[k][1] * ((i + 0.5) / n - 0.5)) / fmax(w[k][0], 1e-12) + 0.5)) / n;
            assert_float_equal(ep_box_below(w[k][0], w[k][1], z), below, 3e-3);
            assert_float_equal(ep_box_below(w[k][0], w[k][1], z) + ep_box_below(w[k][1], w[k][0], -z), 1, 1e-12);
        }
    assert_float_equal(ep_box_below(1, 1, 0.5), 0.875, 1e-15);
    assert_float_equal(ep_box_below(1, 0.5, -0.25), 0.25, 1e-15);
    assert_float_equal(ep_box_below(0, 0, 1e-9), 1, 0);
    assert_float_equal(ep_box_below(0, 0, -1e-9), 0, 0);
}

static void test_curve_coordinate(void **unused)
{
    (void)unused;
    double line[3 * 5], wave[101 * 5];
    struct ep_err e = { 0 };
    struct ep_curve *c = NULL;
    for (int i = 0; i < 3; i++) {                   /* along (0.6, 0.8), normal (0.8, -0.6) */
        double *p = line + 5 * i;
        p[0] = 2 + 0.6 * i;
        p[1] = 1 + 0.8 * i;
        p[2] = 0.8;
        p[3] = -0.6;
        p[4] = 0.1;
    }
    assert_int_equal(ep_curve_new(line, 3, &c, &e), EP_OK);
    struct ep_at_curve a = ep_curve_at(c, 2 + 0.6 + 3 * 0.8, 1 + 0.8 - 3 * 0.6);
    assert_float_equal(a.distance, 3, 1e-12);
    assert_float_equal(a.gy, 0.8, 1e-12);
    assert_float_equal(a.sigma, 0.1, 1e-12);
    assert_true(a.inside && !ep_curve_at(c, 2 - 0.6, 1 - 0.8).inside);
    ep_curve_free(c);
    /* A wave whose mean direction is y: cubic between points, 0.4 apart */
    for (int i = 0; i < 101; i++) {
        double v = 0.4 * (i - 50), slope = 0.2 * cos(v * 0.2), r = hypot(1, slope), *p = wave + 5 * i;
        p[0] = v;
        p[1] = 7 + sin(v * 0.2);
        p[2] = -slope / r;
        p[3] = 1 / r;
        p[4] = 0.2 / r;
    }
    assert_int_equal(ep_curve_new(wave, 101, &c, &e), EP_OK);
    double tilt = atan2(-c->ny, c->nx);             /* not a whole number of periods: the line through it leans */
    assert_true(fabs(tilt) < 0.06);
    for (double v = -15; v < 15; v += 0.31) {
        a = ep_curve_at(c, v, 7 + sin(v * 0.2));
        assert_float_equal(a.distance, 0, 2e-6);
        struct ep_at_curve b = ep_curve_at(c, v + 1e-4, 7 + sin(v * 0.2));
        assert_float_equal((b.distance - a.distance) / 1e-4, a.gy, 1e-3);
        b = ep_curve_at(c, v + 5 * c->ny, 7 + sin(v * 0.2) + 5 * c->nx);
        assert_float_equal(b.distance, 5, 2e-6);
    }
    ep_curve_free(c);
    wave[5 * 60] = wave[5 * 58];
    assert_int_equal(ep_curve_new(wave, 101, &c, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "turns back"));
    e = (struct ep_err){ 0 };
    assert_int_equal(ep_curve_new(wave, 1, &c, &e), EP_E_COMPUTE);
    e = (struct ep_err){ 0 };
    line[0] = NAN;
    assert_int_equal(ep_curve_new(line, 3, &c, &e), EP_E_COMPUTE);
}

static void test_robust(void **unused)
{
    (void)unused;
    double x[60], y[60], var[60], w[60], out[60], out_var[60], used = 0;
    struct ep_line l;
    struct ep_err e = { 0 };
    uniform(5);
    for (int i = 0; i < 60; i++) {
        x[i] = 0.5 * i;
        var[i] = 0.01;
        y[i] = 3 - 0.2 * x[i] + 0.1 * (uniform(0) + uniform(0) + uniform(0) - 1.5) * 2;
        if (i % 4 == 0) y[i] += 30;                 /* a quarter is wrong */
    }
    assert_true(ep_robust_line(60, x, y, var, w, &l));
    assert_float_equal(l.a, 3, 0.1);
    assert_float_equal(l.b, -0.2, 0.01);
    assert_true(w[4] == 0 && w[5] > 0.5 && l.cov[0] > 0 && l.cov[0] < 0.01);
    assert_true(ep_robust_line(1, x, y, var, w, &l) && l.a == y[0] && isinf(l.cov[2]));
    assert_false(ep_robust_line(0, x, y, var, w, &l));
    /* Smooth curves: half the amplitude at the stiffness, a straight line untouched, unknown places bridged */
    for (int i = 0; i < 60; i++) y[i] = 1 + x[i] + sin(6.283185307179586 * x[i] / 6), var[i] = i == 30 ? (double)INFINITY : 1e-6;
    for (int i = 0; i < 60; i++) out[i] = NAN;
    y[30] = 1e9;
    assert_int_equal(ep_smooth_curve(60, 0.5, y, var, 6, out, out_var, w, &used, &e), EP_OK);
    assert_float_equal(used, 6, 0);
    assert_float_equal(out[15] - 1 - x[15], 0.5 * sin(6.283185307179586 * x[15] / 6), 0.06);
    assert_int_equal(ep_smooth_curve(60, 0.5, y, var, NAN, out, out_var, w, &used, &e), EP_OK);
    assert_float_equal(out[20], y[20], 0.05);
    assert_float_equal(out[30], 1 + x[30] + sin(6.283185307179586 * x[30] / 6), 0.2);
    assert_true(out_var[30] > out_var[29] && w[30] == 0);
    for (int i = 0; i < 60; i++) var[i] = i < 2 ? 1 : (double)INFINITY;
    assert_int_equal(ep_smooth_curve(60, 0.5, y, var, 6, out, out_var, w, &used, &e), EP_E_COMPUTE);
}

static void test_sample(void **unused)
{
    (void)unused;
    double v[40 * 50], z[40 * 50], gy[40 * 50], gx[40 * 50];
    struct ep_image im = { 40, 50, 1, 2, 0.5, -0.25, v, NULL };
    struct ep_err e = { 0 };
    for (int i = 0; i < 2000; i++) v[i] = 3 + 2 * (1 + 0.5 * (i / 50)) - 4 * (2 - 0.25 * (i % 50));
    v[10 * 50 + 10] = NAN;
    assert_int_equal(ep_image_sample(&im, &im, 0.2, 0.1, 0.6, 0.8, z, gy, gx, &e), EP_OK);
    for (int y = 8; y < 32; y++)
        for (int x = 15; x < 35; x++) {             /* far from the hole and the border, a plane is a plane */
            if (abs(y - 10) < 6 && x < 22) continue;
            assert_float_equal(z[y * 50 + x], v[y * 50 + x] + 2 * 0.2 - 4 * 0.1, 1e-3);
            assert_float_equal(gy[y * 50 + x], 2, 4e-3);
            assert_float_equal(gx[y * 50 + x], -4, 8e-3);
        }
    assert_true(isnan(z[0]) && isfinite(z[10 * 50 + 10]));
    for (int i = 0; i < 2000; i++) v[i] = 100 + 3 * sqrt(-2 * log(uniform(0))) * cos(6.283185307 * uniform(0)) + (i % 50 > 20 ? 50 : 0);
    assert_float_equal(ep_image_noise(&im), 9, 1.5);
}

/* ---- interface -------------------------------------------------------------------------------------------------- */

static struct ep_signal *scene_map(size_t ny, size_t nx, const struct scene *c)
{
    struct ep_desc d = plane(ny, nx, 0.5);
    struct ep_signal *m = new_map(&d);
    fill_scene(m, c);
    return m;
}
static double middle(const struct ep_signal *m, double angle)
{
    double y = (y_of(m, 0) + y_of(m, m->n - 1)) / 2, x = (x_of(m, 0) + x_of(m, m->n - 1)) / 2;
    return y * sin(angle * RAD) + x * cos(angle * RAD);
}

static void test_straight(void **unused)
{
    (void)unused;
    static const double angles[] = { 0, 7, 33, 90, 100, -80 };
    for (size_t k = 0; k < COUNT(angles); k++)
        for (int low = 0; low < 2; low++) {
            struct scene c = { .angle = angles[k], .s = 0.9, .lo = 10, .hi = 60 };
            struct ep_signal *m = scene_map(50, 64, &c);
            if (k % 2) m->d.nav[0].scale = -0.5;    /* an axis that runs upwards */
            c.p = middle(m, c.angle) + 1.3;
            fill_scene(m, &c);
            m->f32[777] = NAN;
            m->flags[778] = EP_FLAG_FIT_FAILED;
            m->f32[900] = 1e6f;                     /* a spike */
            const struct ep_signal *in[2][4] = { { m } };
            struct space q;
            space_run(&q, "interface", low ? "{positive: low}" : "{}", in, 2);
            if (q.st) fail_msg("%s", q.e.msg);
            double want = c.angle + (low ? 180 : 0), got = cell_of_table(q.out[2], "angle", NULL);
            assert_float_equal(remainder(got - want, 360), 0, 0.05);
            double y = cell_of_table(q.out[2], "y", NULL), x = cell_of_table(q.out[2], "x", NULL);
            assert_float_equal(y * sin(c.angle * RAD) + x * cos(c.angle * RAD), c.p, 0.01);
            assert_float_equal(cell_of_table(q.out[2], "width", NULL), hypot(0.9, 0.5 / sqrt(12)), 0.02);
            assert_float_equal(cell_of_table(q.out[2], "step", NULL), 50, 0.5);
            assert_true(cell_of_table(q.out[2], "scatter", NULL) < 0.05 && cell_of_table(q.out[2], "lines", NULL) > 10);
            for (size_t i = 0; i < m->n; i += 97) {
                double d = y_of(m, i) * sin(c.angle * RAD) + x_of(m, i) * cos(c.angle * RAD) - c.p;
                assert_float_equal((double)q.out[1]->f32[i], low ? -d : d, 0.03);
                assert_true(q.out[1]->flags[i] == 0 && isfinite(q.out[1]->sigma32[i]));
            }
            assert_string_equal(q.out[2]->col[q.out[2]->ncol - 1].text[0], "normal");
            assert_true(q.r.d.out[0].frame_id == 7 && q.r.d.out[1].frame_id == 7 && q.out[0]->d.nav[0].size == q.out[0]->n);
            space_free(&q);
            ep_signal_free(m);
        }
}

/* Substrate, buffer, film: steps at 5 (high), 12 (low), 20 (low) nm along x, from the middle of a pixel. */
static void test_stack(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(40, 64, 0.5);
    struct ep_signal *m = new_map(&d), *within = new_map(&d);
    for (size_t i = 0; i < m->n; i++) {
        double x = x_of(m, i);
        m->f32[i] = (float)(10 + 30 * 0.5 * erfc(-(x - 3) / 0.8) - 10 * 0.5 * erfc(-(x - 12) / 0.8) + 18 * 0.5 * erfc(-(x - 19) / 0.8));
        within->f32[i] = x > 7.5 && x < 16;
    }
    static const struct { const char *par; double at, angle; bool within; } cases[] = {
        { "{}", 3, 0, false },
        { "{nearest: [10, 13.5]}", 12, 180, false },
        { "{nearest: [10, 13.5], positive: low}", 12, 0, false },
        { "{nearest: [10, 25]}", 19, 0, false },
        { "{}", 12, 180, true },
        { "{nearest: [10, 18], direction: 0}", 19, 0, false },
        { "{nearest: [10, 18], width: [0.3, 1]}", 19, 0, false },
        { "{nearest: [10, 18], curve: smooth, stiffness: 3}", 19, 0, false },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        const struct ep_signal *in[2][4] = { { m }, { cases[k].within ? within : NULL } };
        struct space q;
        space_run(&q, "interface", cases[k].par, in, 2);
        if (q.st) fail_msg("%s: %s", cases[k].par, q.e.msg);
        assert_float_equal(cell_of_table(q.out[2], "x", NULL), cases[k].at, 0.02);
        assert_float_equal(fabs(cell_of_table(q.out[2], "angle", NULL)), cases[k].angle, 0.1);
        space_free(&q);
    }
    ep_signal_free(m);
    ep_signal_free(within);
}

static void test_wavy(void **unused)
{
    (void)unused;
    struct scene c = { .angle = 5, .s = 0.8, .lo = 50, .hi = 4, .amplitude = 1.2, .wavelength = 18 };
    struct ep_signal *m = scene_map(80, 64, &c);
    c.p = middle(m, 5);
    fill_scene(m, &c);
    const struct ep_signal *in[2][4] = { { m } };
    struct space q;
    for (int given = 0; given < 2; given++) {
        space_run(&q, "interface", given ? "{curve: smooth, direction: 0}" : "{curve: smooth}", in, 2);
        if (q.st) fail_msg("%s", q.e.msg);
        double far = 0;
        for (size_t i = 1; i + 1 < q.out[0]->n; i++) {
            const double *p = q.out[0]->points + 5 * i;
            double u = p[0] * sin(5 * RAD) + p[1] * cos(5 * RAD), v = p[0] * cos(5 * RAD) - p[1] * sin(5 * RAD);
            far = fmax(far, fabs(u - edge_of(&c, v)));
            assert_true(p[3] < 0);                  /* towards high, which is -x */
            assert_float_equal(hypot(p[2], p[3]), 1, 1e-12);
        }
        assert_true(far < 0.03);
        assert_float_equal(cell_of_table(q.out[2], "width", NULL), hypot(0.8, 0.5 / sqrt(12)), 0.05);
        assert_string_equal(q.out[2]->col[q.out[2]->ncol - 1].text[0], "mean normal");
        space_free(&q);
    }
    ep_signal_free(m);
}

static void test_no_step(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(40, 64, 0.5), line = d, series = d, bare = d, other = d, small = plane(20, 64, 0.5);
    d.has_sigma = true;
    struct ep_signal *m = new_map(&d), *none = new_map(&other);
    const struct ep_signal *in[2][4] = { { m } };
    uniform(11);
    for (int k = 0; k < 6; k++) {                   /* noise */
        for (size_t i = 0; i < m->n; i++) {
            m->f32[i] = (float)poisson(5);
            m->sigma32[i] = sqrtf(5);
        }
        fails_with("interface", k % 2 ? "{curve: smooth}" : "{}", in, 2, "is the interface in the field");
    }
    for (size_t i = 0; i < m->n; i++) m->f32[i] = 7;
    fails_with("interface", "{}", in, 2, "is the interface in the field");
    for (size_t i = 0; i < m->n; i++) m->f32[i] = (float)x_of(m, i);     /* a slope, no step */
    fails_with("interface", "{}", in, 2, "is the interface in the field");
    struct scene c = { .angle = 0, .s = 0.8, .lo = 10, .hi = 1000, .p = x_of(m, 0) - 0.4 };
    fill_scene(m, &c);                              /* half of the step is outside */
    for (size_t i = 0; i < m->n; i++) m->sigma32[i] = 10;
    fails_with("interface", "{}", in, 2, "is the interface in the field");
    for (size_t i = 0; i < m->n; i++) m->f32[i] = NAN;
    fails_with("interface", "{}", in, 2, "no pixel of 'a' has a value");
    const struct ep_signal *within[2][4] = { { none }, { none } };
    fails_with("interface", "{}", within, 2, "within the region");
    /* Mistakes of the recipe */
    other.frame_id = 8;
    struct ep_signal *strange = new_map(&other), *short_one = new_map(&small);
    const struct ep_signal *frames[2][4] = { { m }, { strange } }, *grids[2][4] = { { m }, { short_one } };
    refuses_with("interface", "{}", frames, 2, "of different scans");
    refuses_with("interface", "{}", grids, 2, "regrid: nearest");
    refuses_with("interface", "{stiffness: 4}", in, 2, "curve: smooth");
    series.nnav = 3;
    series.nav[2] = series.nav[1];
    struct ep_signal *frames3 = new_map(&series);
    const struct ep_signal *in3[2][4] = { { frames3 } };
    refuses_with("interface", "{}", in3, 2, "series of frames");
    /* A line scan; axes without a unit */
    line.nnav = 1;
    line.nav[0] = (struct ep_axis){ "x", "nm", 0, 0.5, 64 };
    struct ep_signal *scan = new_map(&line);
    for (size_t i = 0; i < 64; i++) scan->f32[i] = (float)(3 + 20 * 0.5 * erfc(-(0.5 * (double)i - 13.2) / 1.1));
    const struct ep_signal *one[2][4] = { { scan } };
    struct space q;
    space_run(&q, "interface", "{}", one, 2);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_float_equal(cell_of_table(q.out[2], "x", NULL), 13.2, 0.01);
    assert_int_equal(q.out[1]->n, 64);
    assert_float_equal((double)q.out[1]->f32[40], 20 - 13.2, 0.01);
    space_free(&q);
    strcpy(bare.nav[0].unit, "");
    strcpy(bare.nav[1].unit, "");
    struct ep_signal *pixels_only = new_map(&bare);
    c = (struct scene){ .angle = 0, .s = 0.8, .lo = 10, .hi = 100, .p = 3 };
    fill_scene(pixels_only, &c);
    const struct ep_signal *unitless[2][4] = { { pixels_only } };
    space_run(&q, "interface", "{}", unitless, 2);
    assert_int_equal(q.st, EP_OK);
    assert_int_equal(q.r.diag.nwarnings, 1);
    assert_string_equal(q.r.d.out[1].unit, "px");
    assert_float_equal(cell_of_table(q.out[2], "x", NULL), 3, 0.01);
    space_free(&q);
    ep_signal_free(m);
    ep_signal_free(none);
    ep_signal_free(strange);
    ep_signal_free(short_one);
    ep_signal_free(frames3);
    ep_signal_free(scan);
    ep_signal_free(pixels_only);
}

/* ---- register --------------------------------------------------------------------------------------------------- */

static double sample_specimen(double y, double x)
{
    return 5 + 0.5 * erfc(-(x - 6 - 0.1 * y) / 1.2) + exp(-0.5 * (pow(y - 13, 2) + pow(x - 1, 2)) / 8) + exp(-0.5 * (pow(y - 24, 2) + pow(x - 14, 2)) / 5);
}

static void test_register(void **unused)
{
    (void)unused;
    struct ep_desc da = plane(60, 60, 0.5), db = plane(70, 56, 0.6);
    db.frame_id = 9;
    strcpy(da.unit, "counts");
    struct ep_signal *a = new_map(&da), *b = new_map(&db), *within = new_map(&da);
    for (size_t i = 0; i < a->n; i++) {
        a->f32[i] = (float)(300 + 40 * sample_specimen(y_of(a, i) + 1.37, x_of(a, i) - 2.21));
        within->f32[i] = x_of(a, i) < 15;
        if (x_of(a, i) > 17) a->f32[i] += 90;       /* something that changed */
    }
    for (size_t i = 0; i < b->n; i++) b->f32[i] = (float)(80 * sample_specimen(y_of(b, i), x_of(b, i)));
    a->f32[100] = NAN;
    const struct ep_signal *in[3][4] = { { a }, { b }, { within } };
    struct space q;
    space_run(&q, "register", "{}", in, 3);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_float_equal(cell_of_table(q.out[0], "y", NULL), 1.37, 0.01);
    assert_float_equal(cell_of_table(q.out[0], "x", NULL), -2.21, 0.01);
    assert_float_equal(cell_of_table(q.out[0], "scale", NULL), 0.5, 0.01);
    assert_string_equal(q.out[0]->col[q.out[0]->ncol - 1].text[0], "both directions");
    double s = NAN;
    cell_of_table(q.out[0], "y", &s);
    assert_true(s >= 0 && s < 0.05);
    assert_true(fabsf(q.out[1]->f32[30 * 60 + 20]) < 0.5f && isnan(q.out[1]->f32[30 * 60 + 55]) && q.out[1]->flags[30 * 60 + 55] != 0);
    space_free(&q);
    /* Only an edge: known across it, and not along */
    for (int angle = 0; angle <= 90; angle += 30) {
        struct scene c = { .angle = angle, .s = 0.9, .lo = 20, .hi = 70 };
        c.p = middle(a, angle);
        for (size_t i = 0; i < a->n; i++) a->f32[i] = (float)scene_at(&c, y_of(a, i) + 0.8, x_of(a, i) + 0.45);
        for (size_t i = 0; i < b->n; i++) b->f32[i] = (float)scene_at(&c, y_of(b, i), x_of(b, i));
        const struct ep_signal *edge[3][4] = { { a }, { b } };
        space_run(&q, "register", "{max_shift: 6}", edge, 3);
        if (q.st) fail_msg("%s", q.e.msg);
        double along = NAN, across = 0, y = 0, x = 0;
        assert_float_equal(cell_of_table(q.out[0], "along", &along), 0.8 * sin(angle * RAD) + 0.45 * cos(angle * RAD), 0.01);
        assert_float_equal(cell_of_table(q.out[0], "across", &across), 0, 0);
        assert_float_equal(cell_of_table(q.out[0], "angle", NULL), angle, 0.5);
        cell_of_table(q.out[0], "y", &y);
        cell_of_table(q.out[0], "x", &x);
        assert_true(isfinite(along) && isnan(across) && isnan(y) == (angle != 90) && isnan(x) == (angle != 0));
        assert_string_equal(q.out[0]->col[q.out[0]->ncol - 1].text[0], "unconstrained across");
        space_free(&q);
    }
    /* Nothing in common, nothing at all, mistakes */
    const struct ep_signal *plain[3][4] = { { a }, { b } };
    for (size_t i = 0; i < b->n; i++) b->f32[i] = 4;
    fails_with("register", "{}", plain, 3, "flat");
    for (size_t i = 0; i < b->n; i++) b->f32[i] = NAN;
    fails_with("register", "{}", plain, 3, "no pixel with a value");
    db.nnav = 1;
    struct ep_signal *scan = new_map(&db), *odd;
    const struct ep_signal *lines[3][4] = { { a }, { scan } };
    refuses_with("register", "{}", lines, 3, "two dimensions are needed");
    da.frame_id = 77;
    odd = new_map(&da);
    const struct ep_signal *masks[3][4] = { { a }, { b }, { odd } };
    refuses_with("register", "{}", masks, 3, "neither the pixels and frame");
    ep_signal_free(a);
    ep_signal_free(b);
    ep_signal_free(within);
    ep_signal_free(scan);
    ep_signal_free(odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_box),      cmocka_unit_test(test_curve_coordinate), cmocka_unit_test(test_robust),
        cmocka_unit_test(test_sample),   cmocka_unit_test(test_straight),         cmocka_unit_test(test_stack),
        cmocka_unit_test(test_wavy),     cmocka_unit_test(test_no_step),          cmocka_unit_test(test_register),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
