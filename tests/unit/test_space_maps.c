/* profile, region, smooth: known answers, sigmas, refusals. */
#include "pipeline/numerics/curve.h"
#include "tests/unit/space_rig.h"

static double total(const double *v, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += isfinite(v[i]) ? v[i] : 0;
    return s;
}

/* ---- profile ---------------------------------------------------------------------------------------------------- */

/* Columns of the map in bins of their width: the mean and sigma of a column, exactly; shifted by half a pixel, of two. */
static void test_profile_columns(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(20, 30, 0.5);
    d.has_sigma = true;
    strcpy(d.unit, "counts");
    struct ep_signal *m = new_map(&d), *b[2] = { boundary(8, -0.25, 0, 100, 0.2), boundary(8, 0, 0, 100, 0.2) };
    for (size_t i = 0; i < m->n; i++) {
        m->f32[i] = (float)(i % 30);
        m->sigma32[i] = 2;
    }
    m->flags[0] = EP_FLAG_FIT_FAILED;
    m->f32[1] = NAN;
    for (int half = 0; half < 2; half++) {
        const struct ep_signal *in[6][4] = { { m }, { b[half] } };
        struct space q;
        space_run(&q, "profile", "{}", in, 6);
        if (q.st) fail_msg("%s", q.e.msg);
        struct ep_signal *p = q.out[0], *w = q.out[1];
        assert_int_equal(p->n, half ? 31 : 30);
        assert_float_equal(ep_axis_at(&p->d.nav[0], 0), half ? -5.25 : -4.75, 1e-9);
        assert_string_equal(p->d.unit, "counts");
        for (size_t i = 3; i < 27; i++) {
            assert_float_equal(p->f64[i], half ? (double)i - 0.5 : (double)i, 1e-9);
            assert_float_equal(p->sigma64[i], 2 / sqrt(20) * (half ? sqrt(0.5) : 1), 1e-9);
            if (half) assert_float_equal(p->band[i * p->nband], 0.25 * 4 / 20, 1e-9);
            assert_float_equal(w->f64[i], 20, 1e-9);
            assert_int_equal(p->flags[i], 0);
        }
        assert_float_equal(w->f64[0], half ? 9.5 : 19, 1e-9);
        assert_int_equal(p->flags[0], EP_FLAG_PARTIAL);
        assert_int_equal(p->nband, half);
        assert_float_equal(total(w->f64, w->n), 598, 1e-9);
        assert_float_equal(cell_of_table(q.out[2], "boundary_sigma", NULL), 0.2, 1e-12);
        assert_true(q.r.d.out[0].noise == EP_NOISE_INDEPENDENT && q.r.d.out[0].frame_id == 7);
        space_free(&q);
    }
    ep_signal_free(b[0]);
    ep_signal_free(b[1]);
    ep_signal_free(m);
}

/* Nothing is lost or counted twice at any angle and bin; the covariances are those of the sum. */
static void test_profile_sums(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(24, 31, 0.5);
    d.nav[0].scale = -0.4;                     /* upwards, and not square */
    d.has_sigma = true;
    struct ep_signal *m = new_map(&d);
    double z = 0, v = 0;
    uniform(3);
    for (size_t i = 0; i < m->n; i++) {
        m->f32[i] = (float)(1 + 5 * uniform(0));
        m->sigma32[i] = (float)(0.1 + uniform(0));
        z += (double)m->f32[i];
        v += (double)m->sigma32[i] * (double)m->sigma32[i];
    }
    static const char *const par[] = { "{statistic: sum}", "{statistic: sum, bin: 0.2}", "{statistic: sum, bin: 1.7}" };
    for (int angle = 0; angle < 360; angle += 37)
        for (size_t k = 0; k < COUNT(par); k++) {
            struct ep_signal *b = boundary(-2, 3, angle, 200, 0);
            const struct ep_signal *in[6][4] = { { m }, { b } };
            struct space q;
            space_run(&q, "profile", par[k], in, 6);
            if (q.st) fail_msg("%s", q.e.msg);
            struct ep_signal *p = q.out[0];
            double var = 0;
            for (size_t i = 0; i < p->n; i++) var += p->sigma64[i] * p->sigma64[i] + 2 * total(p->band + i * p->nband, p->nband);
            assert_float_equal(total(p->f64, p->n), z, 1e-9 * z);
            assert_float_equal(var, v, 1e-9 * v);
            assert_float_equal(total(q.out[1]->f64, q.out[1]->n), 24 * 31, 1e-9);
            assert_true(isfinite(p->f64[0]) && isfinite(p->f64[p->n - 1]));
            space_free(&q);
            ep_signal_free(b);
        }
    ep_signal_free(m);
}

/* A tilted boundary, its own step: the profile of a map of distance is distance. */
static void test_profile_tilted(void **unused)
{
    (void)unused;
    struct scene c = { .angle = 9, .s = 0.8, .lo = 5, .hi = 50, .amplitude = 0.8, .wavelength = 16 };
    struct ep_desc d = plane(64, 80, 0.5);
    struct ep_signal *m = new_map(&d), *mask = new_map(&d);
    c.p = (3 + 0.5 * 31.5) * sin(9 * RAD) + (-5 + 0.5 * 39.5) * cos(9 * RAD);
    fill_scene(m, &c);
    const struct ep_signal *in[2][4] = { { m } };
    struct space b, q;
    space_run(&b, "interface", "{curve: smooth}", in, 2);
    if (b.st) fail_msg("%s", b.e.msg);
    const struct ep_signal *of_step[6][4] = { { m }, { b.out[0] } }, *of_distance[6][4] = { { b.out[1] }, { b.out[0] }, { mask } };
    space_run(&q, "profile", "{range: [-8, 8]}", of_step, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_int_equal(q.out[0]->n, 32);
    assert_null(q.out[0]->sigma64);            /* the map has none */
    for (size_t i = 0; i < 32; i++) {          /* broadened by pixel and bin alone */
        double x = ep_axis_at(&q.out[0]->d.nav[0], (double)i), s = sqrt(0.64 * pow(cos(0), 2) + 2 * 0.25 / 12 + 0.25 / 12);
        assert_float_equal(q.out[0]->f64[i], 5 + 45 * 0.5 * erfc(-x / s * 0.7071067811865475), 1.2);
    }
    space_free(&q);
    for (size_t i = 0; i < mask->n; i++) mask->f32[i] = i % 3 ? 1 : i % 2 ? 0 : NAN;
    space_run(&q, "profile", "{bin: 0.7}", of_distance, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    for (size_t i = 0; i < q.out[0]->n; i++)
        if (q.out[1]->f64[i] > 60) assert_float_equal(q.out[0]->f64[i], ep_axis_at(&q.out[0]->d.nav[0], (double)i), 0.06);
    assert_true(q.out[0]->flags[20] == EP_FLAG_PARTIAL);
    space_free(&q);
    space_free(&b);
    ep_signal_free(m);
    ep_signal_free(mask);
}

/* A ratio of two sums of one spectrum: counts of two windows, of which the second holds the first. */
static void test_profile_ratio(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(30, 20, 0.5);
    d.has_sigma = true;
    struct ep_signal *n = new_map(&d), *t = new_map(&d), *cov = new_map(&d), *b = boundary(9, 0, 13, 100, 0);
    uniform(8);
    double var = 0, mean = 0;
    const int repeats = 300;
    for (int k = 0; k < repeats; k++) {
        for (size_t i = 0; i < n->n; i++) {
            double a = poisson(3), c = poisson(6);
            n->f32[i] = (float)a;
            t->f32[i] = (float)(a + c);
            n->sigma32[i] = sqrtf(3);
            t->sigma32[i] = 3;
            cov->f32[i] = 3;
        }
        const struct ep_signal *in[6][4] = { { n }, { b }, { NULL }, { t }, { cov } };
        struct space q;
        space_run(&q, "profile", "{bin: 1}", in, 6);
        if (q.st) fail_msg("%s", q.e.msg);
        size_t i = q.out[0]->n / 2;
        var += pow((q.out[0]->f64[i] - 1.0 / 3) / q.out[0]->sigma64[i], 2) / repeats;
        mean += q.out[0]->f64[i] / repeats;
        assert_string_equal(q.out[0]->d.unit, "");
        space_free(&q);
    }
    assert_float_equal(var, 1, 0.25);
    assert_float_equal(mean, 1.0 / 3, 0.005);
    ep_signal_free(n);
    ep_signal_free(t);
    ep_signal_free(cov);
    ep_signal_free(b);
}

static void test_profile_lines_and_shifts(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(20, 30, 0.5);
    struct ep_signal *m = new_map(&d), *b = boundary(8, -0.25, 0, 100, 0), *far = boundary(100, -0.25, 0, 20, 0);
    for (size_t i = 0; i < m->n; i++) m->f32[i] = (float)x_of(m, i);
    struct space q;
    /* A drawn line: from the pixel at y 8, x 0 to x 5, three rows wide */
    const struct ep_signal *line[6][4] = { { m } };
    space_run(&q, "profile", "{from: [8, -0.25], to: [8, 4.75], width: 1.2}", line, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_int_equal(q.out[0]->n, 10);
    assert_float_equal(ep_axis_at(&q.out[0]->d.nav[0], 0), 0.25, 1e-9);
    for (size_t i = 0; i < 10; i++) {
        assert_float_equal(q.out[0]->f64[i], 0.5 * (double)i, 1e-6);
        assert_float_equal(q.out[1]->f64[i], 3, 1e-9);
    }
    space_free(&q);
    /* One bin */
    const struct ep_signal *along[6][4] = { { m }, { b } };
    space_run(&q, "profile", "{range: [0, 3], bin: 3}", along, 6);
    assert_int_equal(q.out[0]->n, 1);
    assert_float_equal(q.out[0]->f64[0], 1.25, 1e-6);
    space_free(&q);
    /* A shift from another scan */
    m->d.frame_id = 8;
    refuses_with("profile", "{}", along, 6, "put a step `register` between them");
    struct ep_signal *shift = shift_table(0.3, 1.5, 2, (double)NAN), *wrong = shift_table(0.3, 1.5, 40, (double)NAN);
    const struct ep_signal *moved[6][4] = { { m }, { b }, { NULL }, { NULL }, { NULL }, { shift } };
    space_run(&q, "profile", "{}", moved, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    double s = 0, at = cell_of_table(q.out[2], "shift", &s);
    assert_float_equal(at, 1.5, 1e-9);
    assert_float_equal(s, 0.03 * cos(2 * RAD), 1e-9);
    for (size_t i = 0; i < q.out[0]->n; i++) assert_float_equal(q.out[0]->f64[i], ep_axis_at(&q.out[0]->d.nav[0], (double)i) - 0.25 - 1.5, 1e-6);
    space_free(&q);
    moved[5][0] = wrong;
    fails_with("profile", "{}", moved, 6, "40 degrees off");
    m->d.frame_id = 7;
    /* The boundary was seen elsewhere; nothing has a value; a non-negative fit */
    const struct ep_signal *beside[6][4] = { { m }, { far } };
    fails_with("profile", "{}", beside, 6, "no pixel lies beside the boundary");
    fails_with("profile", "{range: [200, 300]}", along, 6, "none of them from 200 to 300");
    m->flags[200] = EP_FLAG_BIASED;
    fails_with("profile", "{}", along, 6, "nonneg");
    for (size_t i = 0; i < m->n; i++) m->f32[i] = NAN;
    m->flags[200] = 0;
    fails_with("profile", "{}", along, 6, "no pixel beside the boundary has a value");
    ep_signal_free(m);
    ep_signal_free(b);
    ep_signal_free(far);
    ep_signal_free(shift);
    ep_signal_free(wrong);
}

static void test_profile_refusals(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(20, 30, 0.5), small = plane(10, 30, 0.5), unknown = d, soft = d;
    unknown.has_sigma = soft.has_sigma = true;
    unknown.noise = EP_NOISE_UNKNOWN;
    soft.noise = EP_NOISE_CORRELATED;
    soft.noise_px = 3;
    struct ep_signal *m = new_map(&d), *other = new_map(&small), *u = new_map(&unknown), *s = new_map(&soft), *b = boundary(8, 0, 0, 100, 0);
    const struct ep_signal *plain[6][4] = { { m } }, *along[6][4] = { { m }, { b } }, *mask[6][4] = { { m }, { b }, { other } };
    static const struct { const char *par, *words; bool along; } cases[] = {
        { "{}", "along what?", false },
        { "{from: [1, 2]}", "both from and to", false },
        { "{from: [1, 2], to: [3, 4]}", "needs a width", false },
        { "{from: [1, 2], to: [1, 2], width: 3}", "ends where it starts", false },
        { "{from: [1, 2], to: [3, 4], width: 2}", "either along", true },
        { "{width: 2}", "belongs to a drawn line", true },
        { "{bin: 0.05}", "finer than a quarter of a pixel", true },
        { "{bin: 0.2, range: [0, 1e7]}", "bins", true },
    };
    for (size_t k = 0; k < COUNT(cases); k++) refuses_with("profile", cases[k].par, cases[k].along ? along : plain, 6, cases[k].words);
    refuses_with("profile", "{}", mask, 6, "regrid: nearest");
    const struct ep_signal *sum[6][4] = { { m }, { b }, { NULL }, { m } }, *cov[6][4] = { { m }, { b }, { NULL }, { NULL }, { m } };
    refuses_with("profile", "{statistic: sum}", sum, 6, "no sum");
    refuses_with("profile", "{}", cov, 6, "covariance needs normalize");
    struct space q;
    along[0][0] = u;
    space_run(&q, "profile", "{}", along, 6);
    assert_true(q.st == EP_OK && !q.out[0]->sigma64 && says(&q.r, "has no sigma") && q.r.diag.nerrors == 0);
    space_free(&q);
    for (size_t i = 0; i < s->n; i++) s->sigma32[i] = 1;
    along[0][0] = s;
    space_run(&q, "profile", "{bin: 3}", along, 6);          /* averages of correlated pixels are less certain */
    assert_float_equal(q.out[0]->sigma64[2], sqrt(4 * 3.14159265 * 9 / 5.545177 / (20 * 6) * 5.5 / 6), 1e-4);
    space_free(&q);
    ep_signal_free(m);
    ep_signal_free(other);
    ep_signal_free(u);
    ep_signal_free(s);
    ep_signal_free(b);
}

/* ---- region ----------------------------------------------------------------------------------------------------- */

static void test_region(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(10, 20, 0.5), coarse = plane(5, 10, 1), elsewhere = d;
    coarse.nav[0].offset += 0.25;
    coarse.nav[1].offset += 0.25;
    elsewhere.frame_id = 9;
    struct ep_signal *m = new_map(&d), *dist = new_map(&d), *a = new_map(&d), *b = new_map(&d), *c = new_map(&coarse), *far = new_map(&elsewhere);
    for (size_t i = 0; i < m->n; i++) {
        m->f32[i] = (float)i;
        dist->f32[i] = (float)x_of(m, i);
        a->f32[i] = i % 2;
        b->f32[i] = i % 3 == 0;
    }
    for (size_t i = 0; i < c->n; i++) c->f32[i] = i % 10 < 4;
    m->f32[50] = NAN;
    m->flags[60] = EP_FLAG_NO_COUNTS;
    static const struct { const char *par; int in, distance, like, count; } cases[] = {
        { "{above: 100}", 1, 0, 0, 100 },
        { "{below: 100}", 1, 0, 0, 98 },
        { "{above: 20, below: 40}", 1, 0, 0, 20 },
        { "{above: 20, below: 40, invert: true}", 1, 0, 0, 178 },
        { "{above: 0.5, threshold: fraction}", 1, 0, 0, 100 },
        { "{rows: [2, 5], columns: [0, 4]}", 1, 0, 0, 12 },
        { "{y: [4, 6], x: [-5, -4]}", 1, 0, 0, 8 },
        { "{band: [-1, 1]}", 1, 1, 0, 40 },
        { "{band: [-1, 1], rows: [0, 1]}", 1, 1, 0, 4 },
        { "{combine: union}", 2, 0, 0, 134 },
        { "{combine: intersection}", 2, 0, 0, 33 },
        { "{combine: difference}", 2, 0, 0, 67 },
        { "{regrid: nearest}", 3, 0, 1, 80 },
        { "{regrid: nearest, invert: true}", 3, 0, 1, 120 },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        const struct ep_signal *in[3][4] = { { cases[k].in == 1 ? m : cases[k].in == 2 ? a : c, cases[k].in == 2 ? b : NULL },
                                             { cases[k].distance ? dist : NULL }, { cases[k].like ? m : NULL } };
        struct space q;
        int n = 0;
        space_run(&q, "region", cases[k].par, in, 3);
        if (q.st) fail_msg("%s", q.e.msg);
        for (size_t i = 0; i < q.out[0]->n; i++) n += q.out[0]->f32[i] == 1;
        if (n != cases[k].count) fail_msg("%s: %d pixels, %d wanted", cases[k].par, n, cases[k].count);
        if (strstr(cases[k].par, "above")) {
            assert_true(isnan(q.out[0]->f32[50]) && q.out[0]->flags[50] == EP_FLAG_NOT_FINITE);
            assert_true(isnan(q.out[0]->f32[60]) && q.out[0]->flags[60] == EP_FLAG_NO_COUNTS);
        }
        assert_true(q.r.d.out[0].frame_id == 7);
        space_free(&q);
    }
    const struct ep_signal *one[3][4] = { { m } }, *two[3][4] = { { a, b } }, *other[3][4] = { { c }, { NULL }, { m } }, *strange[3][4] = { { a, far } };
    refuses_with("region", "{}", one, 3, "nothing says what belongs");
    refuses_with("region", "{above: 3, below: 2}", one, 3, "no value is at least 3 and below 2");
    refuses_with("region", "{band: [0, 1]}", one, 3, "band needs distance");
    refuses_with("region", "{rows: [0, 11]}", one, 3, "whole numbers from 0 to 10");
    refuses_with("region", "{above: 1}", two, 3, "say how to combine");
    refuses_with("region", "{combine: union, above: 1}", two, 3, "in a step of its own");
    refuses_with("region", "{above: 1}", other, 3, "regrid: nearest takes the pixel nearest");
    refuses_with("region", "{combine: union}", strange, 3, "of different scans");
    for (size_t i = 0; i < m->n; i++) m->f32[i] = NAN;
    fails_with("region", "{above: 0.5, threshold: fraction}", one, 3, "no range to take a fraction of");
    ep_signal_free(m);
    ep_signal_free(dist);
    ep_signal_free(a);
    ep_signal_free(b);
    ep_signal_free(c);
    ep_signal_free(far);
}

/* ---- smooth ----------------------------------------------------------------------------------------------------- */

static void test_smooth(void **unused)
{
    (void)unused;
    struct ep_desc d = map_desc(30, 40);
    d.has_sigma = true;
    struct image in = image_new(&d), out[MAXIO], strip[MAXIO];
    const struct image *ins[] = { &in };
    for (size_t i = 0; i < 1200; i++) in.val[i] = (float)(3 + 0.5 * (double)(i % 40) - 0.25 * (double)(i / 40)), in.sigma[i] = 2;
    in.val[10 * 40 + 10] = NAN;
    in.val[20 * 40 + 30] = 1e9f;
    in.flag[20 * 40 + 30] = EP_FLAG_FIT_FAILED;
    struct rig r;
    run(&r, "smooth", "{fwhm: 3}", 1, ins, out);
    assert_int_equal(r.d.halo, 5);
    assert_true(r.d.out[0].noise == EP_NOISE_CORRELATED && r.d.out[0].noise_px == 3);
    assert_float_equal(at(&out[0], 15 * 40 + 20, 0), 3 + 10 - 3.75, 1e-5);
    double s = 3 / 2.354820045030949;
    assert_float_equal((double)out[0].sigma[15 * 40 + 20], 2 / sqrt(4 * 3.14159265 * s * s), 1e-3);
    assert_int_equal(out[0].flag[15 * 40 + 20], 0);
    assert_true(isnan(out[0].val[10 * 40 + 10]) && out[0].flag[10 * 40 + 10] == EP_FLAG_NOT_FINITE);
    assert_true(isnan(out[0].val[20 * 40 + 30]) && out[0].flag[20 * 40 + 30] == EP_FLAG_FIT_FAILED);
    assert_true(isfinite(out[0].val[10 * 40 + 11]) && out[0].flag[10 * 40 + 11] == EP_FLAG_PARTIAL && fabs(at(&out[0], 20 * 40 + 31, 0)) < 50);
    assert_int_equal(out[0].flag[0], EP_FLAG_PARTIAL);
    struct ep_cell c = cell_of(&in);
    rig_apply(&r, 1, &c, 7, (struct ep_range){ 0, 0 }, strip);
    assert_memory_equal(out[0].val, strip[0].val, 1200 * sizeof(float));
    assert_memory_equal(out[0].sigma, strip[0].sigma, 1200 * sizeof(float));
    images_free(&r, out);
    images_free(&r, strip);
    rig_free(&r);
    /* Twice: as one wider, sigma too */
    for (size_t i = 0; i < 1200; i++) in.flag[i] = 0, in.val[i] = 1, in.sigma[i] = (float)(2 / sqrt(4 * 3.14159265 * s * s));
    in.d.noise = EP_NOISE_CORRELATED;
    in.d.noise_px = 3;
    run(&r, "smooth", "{fwhm_nm: 4}", 1, ins, out);
    assert_float_equal(r.d.out[0].noise_px, 5, 1e-12);
    assert_float_equal((double)out[0].sigma[15 * 40 + 20], 2 / sqrt(4 * 3.14159265 * 25 / 5.545177), 0.002);
    images_free(&r, out);
    rig_free(&r);
    /* Frames of a series stay apart; a line scan */
    struct ep_desc series = d, line = d;
    series.nnav = 3;
    series.nav[0].size = 2;
    series.nav[1] = (struct ep_axis){ "y", "nm", 0, 1, 15 };
    series.nav[2] = (struct ep_axis){ "x", "nm", 0, 1, 40 };
    in.d = series;
    for (size_t i = 0; i < 1200; i++) in.val[i] = i < 600;
    run(&r, "smooth", "{fwhm: 4}", 1, ins, out);
    assert_float_equal(at(&out[0], 14 * 40 + 20, 0), 1, 1e-6);
    assert_float_equal(at(&out[0], 15 * 40 + 20, 0), 0, 1e-6);
    images_free(&r, out);
    rig_free(&r);
    line.nnav = 1;
    line.nav[0].size = 40;
    in.d = line;
    for (size_t i = 0; i < 40; i++) in.val[i] = 2;
    run(&r, "smooth", "{fwhm: 2}", 1, ins, out);
    assert_true(out[0].val[20] == 2 && out[0].flag[20] == 0 && out[0].flag[0] == EP_FLAG_PARTIAL);
    images_free(&r, out);
    rig_free(&r);
    const struct ep_desc *dd[] = { &d };
    rig_declare(&r, stage("smooth"), "{}", 1, dd);
    assert_true(says(&r, "give one of fwhm"));
    rig_free(&r);
    rig_declare(&r, stage("smooth"), "{fwhm_nm: 100}", 1, dd);
    assert_true(says(&r, "more than 60"));
    rig_free(&r);
    image_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile_columns), cmocka_unit_test(test_profile_sums),
        cmocka_unit_test(test_profile_tilted),  cmocka_unit_test(test_profile_ratio),
        cmocka_unit_test(test_profile_lines_and_shifts), cmocka_unit_test(test_profile_refusals),
        cmocka_unit_test(test_region),          cmocka_unit_test(test_smooth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
