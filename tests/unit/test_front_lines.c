/* front of maps, line by line; what is registered and what it is relative to; region and register between scans. */
#include "tests/unit/space_rig.h"

enum { FRONT_PORTS = 6 };
static const struct ep_signal *column_signal;      /* of the table that number() reads */

static const struct ep_column *column(const char *name)
{
    for (size_t i = 0; i < column_signal->ncol; i++)
        if (strcmp(column_signal->col[i].name, name) == 0) return &column_signal->col[i];
    fail_msg("no column %s", name);
    return NULL;
}

/* A step of 600 above 50 whose middle lies at h(v) from a straight boundary through the middle of the field, its normal 6 degrees
 * off x; blurred by 0.6 nm, means over pixels. The high side lies before it. */
#define TILT 6
static double moved_by(double v)
{
    return 3 + 0.8 * sin(v / 4);
}

static struct ep_signal *map_of(bool moved, bool noise)
{
    struct ep_desc d = plane(60, 50, 0.5);
    d.has_sigma = true;
    strcpy(d.unit, "counts");
    struct ep_signal *m = new_map(&d);
    double cy = 3 + 0.25 * 59, cx = -5 + 0.25 * 49;
    for (size_t i = 0; i < m->n; i++) {
        double z = 0;
        for (int k = 0; k < 25; k++) {
            double y = y_of(m, i) + 0.1 * (k / 5 - 2) - cy, x = x_of(m, i) + 0.1 * (k % 5 - 2) - cx;
            double u = y * sin(TILT * RAD) + x * cos(TILT * RAD), v = y * cos(TILT * RAD) - x * sin(TILT * RAD);
            z += 0.5 * erfc((u - (moved ? moved_by(v) : 0)) / 0.6 * 0.7071067811865475) / 25;
        }
        z = 50 + 600 * z;
        m->f32[i] = (float)(noise ? poisson(z) : z);
        m->sigma32[i] = (float)sqrt(z);
    }
    return m;
}
static struct ep_signal *middle_boundary(void)
{
    return boundary(3 + 0.25 * 59, -5 + 0.25 * 49, TILT, 27, 0.01);
}

static void test_lines(void **unused)
{
    (void)unused;
    struct ep_signal *m = map_of(true, false), *b = middle_boundary();
    const struct ep_signal *in[FRONT_PORTS][4] = { { m }, { NULL }, { NULL }, { b } };
    struct space q;
    space_run(&q, "front", "{threshold: 0.5, model: erf, width: 1.5}", in, FRONT_PORTS);
    if (q.st) fail_msg("%s", q.e.msg);
    column_signal = q.out[0];
    assert_true(q.r.d.out[0].primary && q.out[1]->d.kind == EP_CURVE);
    assert_int_equal(q.out[0]->n, 18);
    assert_int_equal(q.out[1]->n, 18);
    for (size_t k = 0; k < 18; k++) {
        double v = -13.5 + 1.5 * ((double)k + 0.5);
        assert_float_equal(column("along")->num[k], v, 1e-9);
        assert_float_equal(column("position")->num[k], moved_by(v), 0.04);     /* whole pixels: their middle is 0.2 nm off v at most */
        assert_true(column("position")->sigma[k] > 0.005 && column("position")->sigma[k] < 0.1);
        assert_float_equal(column("low_side")->num[k], 1, 0);
        assert_string_equal(column("flags")->text[k], "");
        double *p = q.out[1]->points + 5 * k, y = p[0] - 17.75, x = p[1] - 7.25;
        assert_float_equal(p[0], column("y")->num[k], 1e-9);
        assert_float_equal(y * sin(TILT * RAD) + x * cos(TILT * RAD), column("position")->num[k], 1e-9);
        assert_float_equal(y * cos(TILT * RAD) - x * sin(TILT * RAD), v, 1e-9);
        assert_float_equal(p[2], sin(TILT * RAD), 1e-9);
        assert_float_equal(p[4], column("position")->sigma[k], 1e-12);
    }
    /* It is a curve like any other: distances can be counted from it. */
    const struct ep_signal *from[6][4] = { { m }, { q.out[1] } };
    struct space p;
    space_run(&p, "profile", "{}", from, 6);
    if (p.st) fail_msg("%s", p.e.msg);
    space_free(&p);
    space_free(&q);
    /* Registered: the same numbers, and the curve where this map has its front. */
    struct ep_signal *shift = shift_table(0.4, -1.1, TILT, (double)NAN);
    m->d.nav[0].offset -= 0.4;
    m->d.nav[1].offset += 1.1;
    m->d.frame_id = 8;
    in[5][0] = shift;
    space_run(&q, "front", "{threshold: 0.5, model: erf, width: 1.5}", in, FRONT_PORTS);
    if (q.st) fail_msg("%s", q.e.msg);
    column_signal = q.out[0];
    for (size_t k = 0; k < 18; k++) {
        double v = -13.5 + 1.5 * ((double)k + 0.5);
        assert_float_equal(column("position")->num[k], moved_by(v), 0.04);
        assert_float_equal(column("registration")->num[k], 0.03, 1e-9);
        double y = q.out[1]->points[5 * k] + 0.4 - 17.75, x = q.out[1]->points[5 * k + 1] - 1.1 - 7.25;
        assert_float_equal(y * cos(TILT * RAD) - x * sin(TILT * RAD), v, 1e-9);
    }
    space_free(&q);
    ep_signal_free(shift);
    ep_signal_free(m);
    ep_signal_free(b);
}

/* Lines without pixels, or whose front is not in view, say so and are not in the curve. */
static void test_lines_without_a_front(void **unused)
{
    (void)unused;
    uniform(31);
    struct ep_signal *m = map_of(true, true), *b = middle_boundary();
    for (size_t i = 0; i < m->n; i++) {
        if (i / 50 < 12) m->f32[i] = (float)poisson(50);                 /* nothing there */
        if (i / 50 >= 48) m->f32[i] = NAN;
        m->sigma32[i] = fmaxf(1, sqrtf(m->f32[i]));
    }
    const struct ep_signal *in[FRONT_PORTS][4] = { { m }, { NULL }, { NULL }, { b } };
    struct space q;
    space_run(&q, "front", "{width: 3}", in, FRONT_PORTS);
    if (q.st) fail_msg("%s", q.e.msg);
    column_signal = q.out[0];
    assert_int_equal(q.out[0]->n, 9);
    size_t with = 0;
    for (size_t k = 0; k < 9; k++) {
        bool has = isfinite(column("position")->num[k]);
        with += has;
        if (!has && !column("flags")->text[k][0]) fail_msg("line %zu has no front and does not say why", k);
        if (k == 0 || k == 8) assert_true(!has && isnan(column("displacement")->num[k]) && isnan(column("y")->num[k]));
        if (k >= 3 && k <= 5) assert_true(has && column("pixels")->num[k] > 200);
    }
    assert_non_null(strstr(column("flags")->text[0], "step below"));
    assert_non_null(strstr(column("flags")->text[8], "bins have a value"));
    assert_int_equal(q.out[1]->n, with);
    space_free(&q);
    /* None at all: an error that says what to do. */
    for (size_t i = 0; i < m->n; i++) m->f32[i] = (float)poisson(50), m->sigma32[i] = 7;
    fails_with("front", "{}", in, FRONT_PORTS, "none of 16 lines has a front");
    for (size_t i = 0; i < m->n; i++) m->f32[i] = NAN;
    fails_with("front", "{}", in, FRONT_PORTS, "none of 16 lines has a front");
    m->flags[7] = EP_FLAG_BIASED;
    fails_with("front", "{}", in, FRONT_PORTS, "nonneg");
    m->flags[7] = 0;
    fails_with("front", "{range: [500, 600]}", in, FRONT_PORTS, "no distances from 500 to 600");
    fails_with("front", "{width: 1e-6}", in, FRONT_PORTS, "too many");
    struct ep_signal *far = boundary(500, 7, TILT, 27, 0);
    in[3][0] = far;
    fails_with("front", "{}", in, FRONT_PORTS, "no pixel lies beside the boundary");
    ep_signal_free(far);
    ep_signal_free(m);
    ep_signal_free(b);
}

/* The mean of the lines is the front of the profile, within what either may be off; displacements line by line. */
static void test_lines_and_profile(void **unused)
{
    (void)unused;
    uniform(32);
    struct ep_signal *cold = map_of(false, true), *hot = map_of(true, true), *b = middle_boundary();
    struct space qc, qh, p, f;
    const struct ep_signal *in[FRONT_PORTS][4] = { { cold }, { NULL }, { NULL }, { b } }, *along[6][4] = { { cold }, { b } };
    space_run_as(&qc, "front", "{width: 2, sampling: point}", in, FRONT_PORTS, true);    /* no doubt that lines share */
    if (qc.st) fail_msg("%s", qc.e.msg);
    column_signal = qc.out[0];
    double w = 0, sum = 0, n = (double)qc.out[0]->n;
    for (size_t k = 0; k < qc.out[0]->n; k++) {
        double s = column("position")->sigma[k];
        w += 1 / (s * s);
        sum += column("position")->num[k] / (s * s);
        assert_true(column("displacement")->num[k] == 0 && column("displacement")->sigma[k] == 0);      /* the reference itself */
    }
    space_run(&p, "profile", "{}", along, 6);
    const struct ep_signal *one[3][4] = { { p.out[0] } };
    space_run_as(&f, "front", "{sampling: point}", one, 3, true);
    double s, at = cell_of_table(f.out[0], "position", &s);
    assert_true(fabs(sum / w - at) < 2 * hypot(s, 1 / sqrt(w)) && s < 1.5 / sqrt(w) && s > 0.5 / sqrt(w));
    at = cell_of_table(f.out[0], "displacement", &s);
    assert_true(at == 0 && s == 0);
    space_free(&f);
    space_run(&f, "front", "{}", one, 3);                                     /* without relative_to there is none */
    assert_true(isnan(cell_of_table(f.out[0], "displacement", &s)) && isnan(s));
    space_free(&f);
    space_free(&p);
    in[0][0] = hot;
    in[2][0] = qc.out[0];
    space_run(&qh, "front", "{width: 2}", in, FRONT_PORTS);
    if (qh.st) fail_msg("%s", qh.e.msg);
    column_signal = qh.out[0];
    double chi2 = 0;
    for (size_t k = 0; k < qh.out[0]->n; k++)
        chi2 += pow((column("displacement")->num[k] - moved_by(column("along")->num[k])) / column("displacement")->sigma[k], 2);
    assert_true(chi2 / n < 1 + 4 * sqrt(2 / n) && chi2 / n > 1 - 3 * sqrt(2 / n));
    space_free(&qh);
    space_run(&qh, "front", "{width: 2.7}", in, FRONT_PORTS);                  /* other lines have no counterpart */
    column_signal = qh.out[0];
    assert_non_null(strstr(column("flags")->text[0], "the reference has no line here"));
    space_free(&qh);
    fails_with("front", "{width: 2, threshold: 0.3}", in, FRONT_PORTS, "fronts of one definition");
    /* Divided by its own thickness, masked */
    struct ep_signal *t = map_of(false, false), *mask = map_of(false, false);
    in[0][0] = cold;
    in[2][0] = NULL;
    t->d.has_sigma = false;
    free(t->sigma32);
    t->sigma32 = NULL;
    for (size_t i = 0; i < t->n; i++) {
        t->f32[i] = (float)(1 + 0.004 * (double)i / 50);
        cold->f32[i] *= t->f32[i];
        cold->sigma32[i] *= t->f32[i];
        mask->f32[i] = i / 50 < 30;
    }
    in[1][0] = t;
    in[4][0] = mask;
    space_run(&qh, "front", "{width: 2}", in, FRONT_PORTS);
    if (qh.st) fail_msg("%s", qh.e.msg);
    column_signal = qh.out[0];
    const struct ep_column *was = &qc.out[0]->col[4];
    assert_string_equal(was->name, "position");
    assert_float_equal(column("position")->num[3], was->num[3], 0.5 * was->sigma[3]);
    assert_true(isnan(column("position")->num[qh.out[0]->n - 2]) && column("pixels")->num[qh.out[0]->n - 2] == 0);
    struct space *all[] = { &qc, &qh };
    for (size_t i = 0; i < 2; i++) space_free(all[i]);
    struct ep_signal *made[] = { cold, hot, b, t, mask };
    for (size_t i = 0; i < 5; i++) ep_signal_free(made[i]);
}

static void test_mistakes(void **unused)
{
    (void)unused;
    struct ep_signal *m = map_of(false, false), *b = middle_boundary(), *shift = shift_table(0, 0, 0, 0.1);
    struct ep_desc d = plane(10, 10, 1), line = m->d;
    line.nnav = 1;
    line.nav[0] = m->d.nav[1];
    struct ep_signal *small = new_map(&d), *scan = new_map(&line);
    const struct ep_signal *in[FRONT_PORTS][4] = { { m }, { NULL }, { NULL }, { b } };
    const struct ep_signal *alone[FRONT_PORTS][4] = { { m } }, *one[FRONT_PORTS][4] = { { scan }, { NULL }, { NULL }, { b } };
    refuses_with("front", "{}", alone, FRONT_PORTS, "need along");
    refuses_with("front", "{}", one, FRONT_PORTS, "along belongs to a map");
    one[3][0] = NULL;
    one[5][0] = shift;
    refuses_with("front", "{}", one, FRONT_PORTS, "register belongs to a map");
    one[5][0] = NULL;
    refuses_with("front", "{width: 3}", one, FRONT_PORTS, "belong to a map");
    one[1][0] = m;
    refuses_with("front", "{}", one, FRONT_PORTS, "a map is divided by a map");
    in[4][0] = small;
    refuses_with("front", "{}", in, FRONT_PORTS, "bring it to the same pixels");
    in[4][0] = NULL;
    m->d.frame_id = 9;
    refuses_with("front", "{}", in, FRONT_PORTS, "put a step `register` between");
    m->d.frame_id = 7;
    m->d.noise = EP_NOISE_UNKNOWN;
    refuses_with("front", "{}", in, FRONT_PORTS, "how the noise of neighbouring pixels is related");
    m->d.has_sigma = false;
    refuses_with("front", "{}", in, FRONT_PORTS, "the map has no sigmas");
    struct ep_signal *all[] = { m, b, shift, small, scan };
    for (size_t i = 0; i < 5; i++) ep_signal_free(all[i]);
}

/* A line scan, or what was fitted to summed spectra, is a profile; the sigma of its place goes into displacements. */
static void test_one_axis(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(1, 60, 0.5);
    d.nnav = 1;
    d.nav[0] = (struct ep_axis){ "distance", "nm", -10, 0.5, 60 };
    d.has_sigma = true;
    d.placement_sigma = 0.3;
    struct ep_signal *cold = new_map(&d), *hot = new_map(&d);
    for (size_t i = 0; i < 60; i++) {
        double u = -10 + 0.5 * (double)i;
        cold->f32[i] = (float)(10 + 300 * 0.5 * erfc(u / 0.7));
        hot->f32[i] = (float)(10 + 300 * 0.5 * erfc(u / 4));
        cold->sigma32[i] = hot->sigma32[i] = 2;
    }
    hot->f32[3] = 1e6f;
    hot->flags[3] = EP_FLAG_NOT_FINITE;                      /* a bin without a spectrum */
    const struct ep_signal *in[3][4] = { { cold } };
    struct space a, b;
    space_run(&a, "front", "{sampling: area}", in, 3);
    if (a.st) fail_msg("%s", a.e.msg);
    assert_float_equal(cell_of_table(a.out[0], "registration", NULL), 0.3, 1e-12);
    in[0][0] = hot;
    in[2][0] = a.out[0];
    hot->d.placement_sigma = 0.4;
    static const struct { const char *par; double registration; } cases[] = {
        { "{sampling: area}", 0.5 }, { "{sampling: area, registration_sigma: 0.1}", 0.1 }, { "{sampling: area, registration_sigma: 0}", 0 } };
    for (size_t k = 0; k < 3; k++) {
        space_run(&b, "front", cases[k].par, in, 3);
        if (b.st) fail_msg("%s", b.e.msg);
        double s, noise = 0, v = cell_of_table(b.out[0], "displacement", &s);
        const char *parts[] = { "position_noise", "position_model" };
        for (int i = 0; i < 2; i++) noise = hypot(noise, hypot(cell_of_table(a.out[0], parts[i], NULL), cell_of_table(b.out[0], parts[i], NULL)));
        assert_float_equal(v, (sqrt(16 - 1. / 12) - sqrt(0.49 - 1. / 12)) * 0.906193802436823, 0.01);    /* the blur of bins taken off */
        noise = hypot(noise, cell_of_table(b.out[0], "position_blur", NULL) - cell_of_table(a.out[0], "position_blur", NULL));
        assert_float_equal(s, hypot(noise, cases[k].registration), 1e-9);
        space_free(&b);
    }
    d.noise = EP_NOISE_CORRELATED;
    struct ep_signal *soft = new_map(&d);
    in[0][0] = soft;
    refuses_with("front", "{}", in, 3, "neighbouring points share noise");
    space_free(&a);
    ep_signal_free(cold);
    ep_signal_free(hot);
    ep_signal_free(soft);
}

/* What pixels and bins blur: of bins that pixels are divided between, of bins of whole pixels, of a line scan; each counted at points,
 * over areas, or half way with the doubt in sigma. */
static void test_sampling(void **unused)
{
    (void)unused;
    const double u = 0.25 / 12, w = 0.9;
    static const char *const par[] = { "{sampling: point, model: erf}", "{model: erf}", "{sampling: area, model: erf}" };
    for (int kind = 0; kind < 3; kind++)
        for (int how = 0; how < 3; how++) {
            struct ep_desc d = plane(1, 60, 0.5);
            d.nnav = 1;
            d.kind = kind == 0 ? EP_PROFILE : EP_MAP;
            d.nav[0] = (struct ep_axis){ "distance", "nm", -10, 0.5, 60 };
            if (kind == 2) strcpy(d.nav[0].name, "x");
            d.has_sigma = true;
            struct ep_signal *s = new_map(&d);
            for (size_t i = 0; i < 60; i++) {
                double v = 10 + 300 * 0.5 * erfc((-10 + 0.5 * (double)i) / w);
                if (kind == 0) s->f64[i] = v, s->sigma64[i] = 2;
                else s->f32[i] = (float)v, s->sigma32[i] = 2;
            }
            const struct ep_signal *in[3][4] = { { s } };
            struct space q;
            space_run(&q, "front", par[how], in, 3);
            if (q.st) fail_msg("%s", q.e.msg);
            double blur = u * ((kind == 0 ? 2 : kind == 1 ? 1 : 0) + 0.5 * how), width = sqrt(w * w - 2 * blur);
            assert_float_equal(cell_of_table(q.out[0], "width", NULL), width, 1e-3);
            assert_float_equal(cell_of_table(q.out[0], "position", NULL), 0.906193802436823 * width, 1e-3);
            double doubt = fabs(cell_of_table(q.out[0], "position_blur", NULL));
            assert_float_equal(doubt, how == 1 ? 0.906193802436823 * (sqrt(width * width + u) - width) : 0, 1e-4);
            assert_true(how != 1 || doubt > 0.01);
            space_free(&q);
            ep_signal_free(s);
        }
}

/* A profile says how well its scan is placed. */
static void test_placement_goes_along(void **unused)
{
    (void)unused;
    struct ep_signal *m = map_of(false, false), *b = middle_boundary(), *shift = shift_table(0.2, 0.1, TILT, 0.5);
    const struct ep_signal *in[6][4] = { { m }, { b }, { NULL }, { NULL }, { NULL }, { shift } };
    struct space q;
    m->d.frame_id = 8;
    space_run(&q, "profile", "{}", in, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_float_equal(q.out[0]->d.placement_sigma, 0.03, 1e-9);      /* the unsure direction lies along the boundary */
    space_free(&q);
    in[5][0] = NULL;
    m->d.frame_id = 7;
    space_run(&q, "profile", "{}", in, 6);
    assert_true(q.out[0]->d.placement_sigma == 0);
    space_free(&q);
    ep_signal_free(m);
    ep_signal_free(b);
    ep_signal_free(shift);
}

/* ---- between scans ---------------------------------------------------------------------------------------------- */

/* A region drawn in one scan, on the pixels of another that lies elsewhere; the same in its own frame is not shifted. */
static void test_region_of_another_scan(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(20, 30, 0.5), e = plane(16, 24, 0.7);
    e.frame_id = 8;
    struct ep_signal *mask = new_map(&d), *dist = new_map(&d), *like = new_map(&e);
    struct ep_signal *sure = shift_table(0.6, -1.3, 0, 0.1), *open = shift_table(0, -1.3, 0, (double)NAN);
    for (size_t i = 0; i < mask->n; i++) {
        mask->f32[i] = y_of(mask, i) > 5 && x_of(mask, i) > 0;
        dist->f32[i] = (float)x_of(mask, i);
    }
    for (size_t i = 0; i < like->n; i++) like->f32[i] = 1;
    const struct ep_signal *in[4][4] = { { mask }, { NULL }, { like }, { sure } };
    struct space q;
    space_run(&q, "region", "{regrid: nearest}", in, 4);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_true(q.r.d.out[0].frame_id == 8 && q.out[0]->n == 16 * 24);
    size_t seen = 0;
    for (size_t i = 0; i < q.out[0]->n; i++) {
        double y = y_of(like, i) + 0.6, x = x_of(like, i) - 1.3;
        bool outside = y < 2.75 || y >= 12.75 || x < -5.25 || x >= 9.75;
        double row = floor((y - 2.75) / 0.5), col = floor((x + 5.25) / 0.5);
        assert_true(isnan(q.out[0]->f32[i]) == outside);
        if (!outside) assert_float_equal(q.out[0]->f32[i], mask->f32[(size_t)(row * 30 + col)], 0);
        seen += !outside;
    }
    assert_true(seen > 200);
    space_free(&q);
    /* Joined with a region of its own scan; a band of distance where the shift along the boundary is open. */
    const struct ep_signal *two[4][4] = { { mask, like }, { NULL }, { like }, { sure } }, *band[4][4] = { { like }, { dist }, { like }, { open } };
    space_run(&q, "region", "{combine: intersection, regrid: nearest}", two, 4);
    if (q.st) fail_msg("%s", q.e.msg);
    space_free(&q);
    space_run(&q, "region", "{band: [0, 2], regrid: nearest}", band, 4);
    if (q.st) fail_msg("%s", q.e.msg);
    for (size_t i = 0; i < q.out[0]->n; i++)
        if (isfinite(q.out[0]->f32[i]) && fabs(x_of(like, i) - 2.3) < 0.7) assert_float_equal(q.out[0]->f32[i], 1, 0);
    space_free(&q);
    in[3][0] = open;
    fails_with("region", "{regrid: nearest}", in, 4, "leaves open how far 'a' is shifted along 90 degrees");
    in[3][0] = sure;
    refuses_with("region", "{above: 0.5}", in, 4, "add regrid: nearest");
    in[2][0] = NULL;
    refuses_with("region", "{regrid: nearest}", in, 4, "register needs like");
    in[2][0] = like;
    in[3][0] = NULL;
    refuses_with("region", "{regrid: nearest}", in, 4, "put a step `register` between");
    struct ep_signal *all[] = { mask, dist, like, sure, open };
    for (size_t i = 0; i < 5; i++) ep_signal_free(all[i]);
}

/* The reference run of a series is registered on itself, or a crop of itself: no noise is in that. */
static void test_register_on_itself(void **unused)
{
    (void)unused;
    uniform(33);
    struct ep_desc d = plane(32, 40, 0.5), part = plane(20, 30, 0.5);
    part.nav[0].offset += 4;
    part.nav[1].offset += 2.5;
    d.has_sigma = part.has_sigma = true;
    struct ep_signal *m = new_map(&d), *crop = new_map(&part), *again = new_map(&d);
    for (size_t i = 0; i < m->n; i++) {
        double mean = 100 + 200 * (x_of(m, i) > 4 + 0.2 * y_of(m, i)) + 100 * (y_of(m, i) > 12);
        m->f32[i] = (float)poisson(mean);
        again->f32[i] = (float)poisson(mean);
        m->sigma32[i] = again->sigma32[i] = sqrtf((float)mean);
    }
    m->f32[5] = NAN;
    for (size_t i = 0; i < crop->n; i++) crop->f32[i] = m->f32[(i / 30 + 8) * 40 + i % 30 + 5];
    const struct ep_signal *to[] = { m, crop };
    for (size_t k = 0; k < 2; k++) {
        const struct ep_signal *in[3][4] = { { m }, { to[k] } };
        struct space q;
        space_run(&q, "register", "{}", in, 3);
        if (q.st) fail_msg("%s", q.e.msg);
        double sy, sx, y = cell_of_table(q.out[0], "y", &sy), x = cell_of_table(q.out[0], "x", &sx);
        assert_true(y == 0 && x == 0 && sy == 0 && sx == 0);
        column_signal = q.out[0];
        assert_string_equal(column("constraint")->text[0], "the same map");
        assert_true(q.out[1]->f32[8 * 40 + 6] == 0);
        space_free(&q);
    }
    const struct ep_signal *in[3][4] = { { m }, { again } };
    struct space q;
    double s;
    space_run(&q, "register", "{}", in, 3);
    if (q.st) fail_msg("%s", q.e.msg);
    cell_of_table(q.out[0], "x", &s);
    assert_true(s > 0.002);
    space_free(&q);
    struct ep_signal *all[] = { m, crop, again };
    for (size_t i = 0; i < 3; i++) ep_signal_free(all[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_lines_without_a_front), cmocka_unit_test(test_lines_and_profile),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_one_axis), cmocka_unit_test(test_sampling), cmocka_unit_test(test_placement_goes_along),
        cmocka_unit_test(test_region_of_another_scan), cmocka_unit_test(test_register_on_itself),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
