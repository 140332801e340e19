/* What averages maps: profile, smooth and collect combine the sums of a ratio, or refuse; errors that pixels share add up. */
#include "tests/unit/space_rig.h"

static void refuses_ratio(const char *name, const char *params, const struct ep_signal *ratio, const struct ep_signal *boundary)
{
    struct space q;
    const struct ep_signal *in[2][4] = { { ratio }, { boundary } };
    space_declare(&q, name, params, in, boundary ? 2 : 1);
    assert_true(says(&q.r, "a mean of ratios is biased: give its numerator as input, its denominator as normalize"));
    space_free(&q);
}

static void test_ratios_are_refused(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(6, 8, 0.5);
    d.has_sigma = d.quotient = true;
    struct ep_signal *m = new_map(&d);
    refuses_ratio("profile", "{from: [3, -5], to: [3, -2], width: 2}", m, NULL);
    refuses_ratio("smooth", "{fwhm: 2}", m, NULL);
    ep_signal_free(m);
    struct rig r;
    struct ep_desc image = desc(4, 4, 64, 500, 1);
    image.gain = 1;
    const struct ep_desc *in[] = { &image };
    rig_declare(&r, stage("integrate"), "{window: [530, 540], normalize: [545, 555]}", 1, in);
    assert_true(r.d.out[0].quotient);
    rig_free(&r);
    rig_declare(&r, stage("integrate"), "{window: [530, 540]}", 1, in);
    assert_false(r.d.out[0].quotient);
    rig_free(&r);
}

/* 1 of 3 in the mean, 3 counts in the denominator's pixel of which a part is the numerator: pixel ratios would come out at 0.39 (where
 * there is one at all), the quotient of averages at 1/3 with the sigma that it scatters by. The reference is the expected value. */
static void test_smooth_of_a_ratio(void **unused)
{
    (void)unused;
    enum { NY = 40, NX = 40, REPEATS = 60 };
    struct ep_desc d = map_desc(NY, NX);
    d.frame_id = 7;
    struct ep_desc dc = d;
    d.has_sigma = true;
    struct image n = image_new(&d), t = image_new(&d), c = image_new(&dc), out[MAXIO];
    const struct image *ins[] = { &n, &t, &c };
    double mean = 0, zz = 0, count = 0;
    uniform(7);
    for (int k = 0; k < REPEATS; k++) {
        struct rig r;
        for (size_t i = 0; i < NY * NX; i++) {
            double a = poisson(1), b = poisson(2);
            n.val[i] = (float)a, t.val[i] = (float)(a + b), c.val[i] = 1;
            n.sigma[i] = 1, t.sigma[i] = (float)sqrt(3);
            n.flag[i] = t.flag[i] = a + b < 3 * sqrt(3) ? EP_FLAG_LOW_DENOMINATOR : 0;
        }
        run(&r, "smooth", "{fwhm: 7}", 3, ins, out);
        assert_true(r.d.out[0].quotient && r.d.out[0].unit[0] == '\0');
        for (size_t y = 12; y < NY - 12; y += 15)
            for (size_t x = 12; x < NX - 12; x += 15) {
                size_t i = y * NX + x;
                assert_int_equal(out[0].flag[i], 0);
                mean += at(&out[0], i, 0);
                zz += pow((at(&out[0], i, 0) - 1.0 / 3) / (double)out[0].sigma[i], 2);
                count++;
            }
        images_free(&r, out);
        rig_free(&r);
    }
    /* 240 values: standard errors 0.0016 (bias of the quotient of some 190 counts: below that) and 0.09 */
    assert_float_equal(mean / count, 1.0 / 3, 0.005);
    assert_float_equal(zz / count, 1, 0.3);
    image_free(&n);
    image_free(&t);
    image_free(&c);
}

/* A ratio's numerator keeps the flag of a small denominator: such pixels belong to the sums. */
static void test_profile_keeps_small_denominators(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(4, 10, 1);
    d.has_sigma = true;
    struct ep_signal *n = new_map(&d), *t = new_map(&d);
    for (size_t i = 0; i < n->n; i++) {
        bool low = i % 2;
        n->f32[i] = low ? 0 : 2, t->f32[i] = low ? 1 : 3;
        n->sigma32[i] = t->sigma32[i] = 1;
        n->flags[i] = t->flags[i] = low ? EP_FLAG_LOW_DENOMINATOR : 0;
    }
    struct space q;
    const struct ep_signal *in[4][4] = { { n }, { NULL }, { NULL }, { t } };
    space_run(&q, "profile", "{from: [4.5, -5.5], to: [4.5, 4.5], width: 100, bin: 10}", in, 4);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_int_equal(q.out[0]->n, 1);
    assert_float_equal(q.out[0]->f64[0], 0.5, 1e-9);
    space_free(&q);
    ep_signal_free(n);
    ep_signal_free(t);
}

/* N pixels of sigma s with a shared error f each: the mean has s^2/N + f^2, the sum N s^2 + (N f)^2. */
static void test_shared_errors(void **unused)
{
    (void)unused;
    struct ep_desc d = plane(5, 10, 1), ds = d;
    d.has_sigma = d.shared = true;
    strcpy(d.name, "Ti_K");
    strcpy(ds.name, "Ti_K_shared");
    struct ep_signal *m = new_map(&d), *s = new_map(&ds);
    for (size_t i = 0; i < m->n; i++) m->f32[i] = 10, m->sigma32[i] = 2, s->f32[i] = 0.5;
    struct space q;
    const struct ep_signal *in[7][4] = { { m }, { NULL }, { NULL }, { NULL }, { NULL }, { NULL }, { s } };
    space_run(&q, "profile", "{from: [5, -5.5], to: [5, 4.5], width: 100, bin: 5}", in, 7);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_int_equal(q.out[0]->n, 2);
    assert_float_equal(q.out[0]->sigma64[0], sqrt(4.0 / 25 + 0.25), 1e-6);
    space_free(&q);
    space_run(&q, "profile", "{from: [5, -5.5], to: [5, 4.5], width: 100, bin: 5, statistic: sum}", in, 7);
    assert_float_equal(q.out[0]->sigma64[0], sqrt(4.0 * 25 + pow(0.5 * 25, 2)), 1e-5);
    assert_int_equal(q.r.diag.n, 0);
    space_free(&q);
    space_run(&q, "profile", "{from: [5, -5.5], to: [5, 4.5], width: 100, bin: 5}", in, 1);   /* without it: sigma lacks it, and it says so */
    assert_float_equal(q.out[0]->sigma64[0], sqrt(4.0 / 25), 1e-6);
    assert_int_equal(q.r.diag.nerrors, 0);
    if (!says(&q.r, "Ti_K_shared")) fail_msg("the missing shared error was not told");
    space_free(&q);

    static const char *const labels[] = { "lines.Ti_K", "lines.Ti_K_shared" };
    const struct ep_coord at = { "temperature", "25", "degC", 25, true };
    const struct ep_stage *collect = stage("collect");
    for (size_t with = 1; with <= 2; with++) {
        struct ep_arena arena = { 0 };
        struct ep_diag diag = { 0 };
        struct ep_err e = { 0 };
        struct ep_signal *table = NULL;
        struct ep_item it[2];
        int missing = 0;
        for (size_t i = 0; i < 2; i++)
            it[i] = (struct ep_item){ .d = i ? &s->d : &m->d, .whole = i ? s : m, .label = labels[i], .ncoord = 1, .coord = &at };
        struct ep_items items = { with, it };
        struct ep_declare dd = { .stage = collect, .par = &missing, .in = &items, .arena = &arena, .diag = &diag };
        collect->declare(&dd);
        struct ep_prepare p = { .par = &missing, .in = &items, .out = dd.out, .nout = 1 };
        assert_int_equal(collect->whole(NULL, &p, &table, &e), EP_OK);
        double sigma;
        assert_float_equal(cell_of_table(table, "lines_Ti_K", &sigma), 10, 1e-6);
        if (with == 2) assert_float_equal(sigma, sqrt(4.0 / 50 + 0.25), 1e-6);
        else assert_true(isnan(sigma));          /* not known without it */
        ep_signal_free(table);
        table = NULL;
        m->flags[3] |= EP_FLAG_BIASED;
        assert_int_not_equal(collect->whole(NULL, &p, &table, &e), EP_OK);
        assert_non_null(strstr(e.msg, "non-negative fit"));
        m->flags[3] &= ~(uint32_t)EP_FLAG_BIASED;
        ep_diag_free(&diag);
        ep_arena_free(&arena);
    }
    ep_signal_free(m);
    ep_signal_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ratios_are_refused), cmocka_unit_test(test_smooth_of_a_ratio),
        cmocka_unit_test(test_profile_keeps_small_denominators), cmocka_unit_test(test_shared_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
