/* gain: counts per electron from neighbouring pixels, where a detector has one of its own and spreads electrons over channels. */
#include "tests/unit/stage_rig.h"

enum { NY = 24, NX = 48, NCH = 512 };

/* Two materials side by side, the thickness growing by a fifth along x, each electron `gain` counts; the kernel (.25 .5 .25) spreads
 * them over channels. electrons: in the first channel. Every third row starts with a spike. */
static struct image camera(double gain, double electrons, bool kernel, double read_noise)
{
    struct ep_desc d = desc(NY, NX, NCH, 300, 0.5);
    d.read_noise = read_noise;
    struct image m = image_new(&d);
    double *y = malloc((NCH + 2) * sizeof *y);
    for (size_t p = 0; p < NY * NX; p++) {
        double x = (double)(p % NX), r = x < 20.3 ? 2.5 : 3.2, edge = x < 20.3 ? 0 : 0.3;
        for (size_t i = 0; i < NCH + 2; i++) {
            double e = 299.5 + 0.5 * (double)i, mu = electrons * (1 + 0.2 * x / NX) * (pow(e / 300, -r) + (e > 400 ? edge * pow(e / 400, -3) : 0));
            y[i] = gain * poisson(mu);
        }
        for (size_t i = 0; i < NCH; i++) {
            double v = kernel ? 0.25 * y[i] + 0.5 * y[i + 1] + 0.25 * y[i + 2] : y[i + 1];
            if (read_noise > 0) v += read_noise * sqrt(-2 * log(uniform(0))) * cos(6.283185307179586 * uniform(0));
            m.val[p * NCH + i] = (float)v;
        }
        if (p % (3 * NX) == 5) m.val[p * NCH + 77] += 1e5f;
    }
    free(y);
    return m;
}

static double number(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return t->col[i].num[0];
    fail_msg("no column %s", name);
    return 0;
}
static const char *verdict(const struct ep_signal *t)
{
    return t->col[t->ncol - 1].text[0];
}

/* What the look finds, in `parts` accumulators. */
static ep_status find(const struct image *m, size_t parts, struct ep_signal **table, struct ep_err *e)
{
    struct rig r;
    const struct ep_desc *in[] = { &m->d };
    rig_declare(&r, stage("gain")->look, "{}", 1, in);
    rig_prepare(&r);
    char **acc = calloc(parts, sizeof *acc);
    struct ep_cell c = cell_of(m);
    for (size_t k = 0; k < parts; k++) {
        acc[k] = calloc(1, r.d.acc);
        struct ep_apply a = { .plan = r.plan, .in = &c, .nin = 1, .area = { k * NY / parts, 0, NY / parts, NX } };
        assert_int_equal(r.s->add(&a, acc[k], e), EP_OK);
        if (k) r.s->merge(r.plan, acc[0], acc[k]);
    }
    ep_status st = r.s->finish(r.plan, acc[0], table, e);
    for (size_t k = 0; k < parts; k++) free(acc[k]);
    free(acc);
    rig_free(&r);
    return st;
}

/* 44 rows of 46 pixels of some 500 channels: the median of each binning is good to a percent. */
static void test_gain_is_found(void **unused)
{
    (void)unused;
    static const struct { double gain, electrons, read_noise; bool kernel; } cases[] = {
        { 3.7, 60, 0, false }, { 3.7, 60, 0, true }, { 3.7, 2, 0, true }, { 0.02, 400, 0, false }, { 3.7, 60, 10, true }, { 1, 5000, 0, true },
    };
    uniform(5);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct image m = camera(cases[k].gain, cases[k].electrons, cases[k].kernel, cases[k].read_noise);
        struct ep_signal *t = NULL, *u = NULL;
        struct ep_err e = { 0 };
        assert_int_equal(find(&m, 1, &t, &e), EP_OK);
        assert_int_equal(find(&m, 4, &u, &e), EP_OK);
        double g = number(t, "gain"), g1 = number(t, "gain_of_channel");
        print_message("  gain %g, %g electrons, read noise %g%s: %.4f, of a channel %.4f, at 8 and 16 %.4f %.4f: %s\n", cases[k].gain, cases[k].electrons,
                      cases[k].read_noise, cases[k].kernel ? ", spread" : "", g, g1, number(t, "gain_8"), number(t, "gain_16"), verdict(t));
        assert_true(number(u, "gain") == g);                       /* cells do not matter */
        assert_float_equal(g / cases[k].gain, 1, 0.06);
        assert_float_equal(g1 / cases[k].gain, cases[k].kernel ? 0.375 : 1, 0.03);
        assert_float_equal(number(t, "factor"), g / g1, 1e-9);
        assert_string_equal(verdict(t), "fits");
        ep_signal_free(t);
        ep_signal_free(u);
        image_free(&m);
    }
}

/* The stage passes the counts on, with the gain; a window's sigma then covers its scatter. */
static void test_windows_cover(void **unused)
{
    (void)unused;
    uniform(6);
    struct image m = camera(3.7, 60, true, 0), out[MAXIO], sum[MAXIO];
    struct ep_err e = { 0 };
    const struct ep_desc *in[] = { &m.d };
    struct rig r, s;
    rig_declare(&r, stage("gain"), "{}", 1, in);
    assert_true(r.d.out[0].gain_estimated);
    assert_int_equal(find(&m, 1, &r.look[0], &e), EP_OK);
    struct ep_prepare p = { .par = r.par, .in = r.items, .out = r.d.out, .nout = 1, .look = r.look, .nlook = 1 };
    assert_int_equal(r.s->prepare(&p, &r.plan, &e), EP_OK);
    r.s->describe(r.plan, r.d.out);
    assert_true(r.d.out[0].gain == number(r.look[0], "gain"));
    struct ep_cell c = cell_of(&m);
    rig_apply(&r, 1, &c, 5, (struct ep_range){ 0, 0 }, out);
    assert_memory_equal(out[0].val, m.val, sizeof(float[NY * NX * NCH]));
    const struct image *outs[] = { &out[0] };
    run(&s, "integrate", "{window: [310, 330]}", 1, outs, sum);
    double in1 = 0, n = 0;
    for (size_t x = 0; x < NX; x++) {
        double mean = 0;
        for (size_t y = 0; y < NY; y++) mean += at(&sum[0], y * NX + x, 0) / NY;
        for (size_t y = 0; y < NY; y++, n++) {      /* of 24 pixels alike; their mean takes its part of the scatter */
            in1 += fabs(at(&sum[0], y * NX + x, 0) - mean) / sqrt(1 - 1.0 / NY) <= (double)sum[0].sigma[y * NX + x];
            assert_int_equal(sum[0].flag[y * NX + x], EP_FLAG_SIGMA_ESTIMATED);
        }
    }
    print_message("  windows of 40 channels: %.1f %% within one sigma\n", 100 * in1 / n);
    assert_float_equal(in1 / n, 0.683, 0.045);      /* three times chance, of 1152 */
    images_free(&r, out), images_free(&s, sum);
    rig_free(&r), rig_free(&s);
    image_free(&m);
}

static void test_what_can_not_be_told(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(4, 2, 100, 300, 1), few = desc(4, 8, 20, 300, 1);
    const struct ep_desc *narrow[] = { &d }, *short_axis[] = { &few };
    struct rig r;
    rig_declare(&r, stage("gain"), "{}", 1, narrow);
    assert_true(says(&r, "has no three in a row"));
    rig_free(&r);
    rig_declare(&r, stage("gain"), "{}", 1, short_axis);
    assert_true(says(&r, "20 channels are too few"));
    rig_free(&r);
    /* Nothing in it, and: neighbours that are different things. */
    struct ep_desc dd = desc(NY, NX, NCH, 300, 0.5);
    struct image m = image_new(&dd);
    struct ep_signal *t = NULL;
    struct ep_err e = { 0 };
    assert_int_equal(find(&m, 1, &t, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "state counts_per_electron"));
    for (size_t p = 0; p < NY * NX; p++)
        for (size_t i = 0; i < NCH; i++) m.val[p * NCH + i] = (float)poisson(1000 * (1 + 0.2 * (p % 2 ? 1 : -1) * sin((double)i / 40)));
    e = (struct ep_err){ 0 };
    assert_int_equal(find(&m, 1, &t, &e), EP_OK);
    assert_non_null(strstr(verdict(t), "no plateau"));
    ep_signal_free(t);
    image_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gain_is_found), cmocka_unit_test(test_windows_cover), cmocka_unit_test(test_what_can_not_be_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
