/* background with low_loss: the ratio of O K behind Ti L2,3 against simulated losses (behind_sim.h) without noise; bits, flags, mistakes. */
#include "tests/unit/behind_sim.h"

enum { PIXELS = 4 };
#define PARAMS "{before: [434, 452], window: [505, 524]}"
#define RATIO "{numerator: [527, 532], denominator: [536, 546]}"

static struct image filled(const struct ep_desc *d, const double *mu, double shift)
{
    struct image m = image_new(d);
    for (size_t p = 0; p < pixels(d); p++) {
        m.shift[p] = shift;
        for (size_t i = 0; i < m.nch; i++) m.val[p * m.nch + i] = (float)mu[i];
    }
    return m;
}

/* Its ratio over the true one, minus 1, with params. Axes begin where zero loss, moved by b->shift, leaves the channels on the lattice. */
static double off(const struct behind *b, const char *params, double channel, double low_channel)
{
    struct ep_desc d = desc(1, PIXELS, (size_t)lround(160 / channel), 430 + 0.5 * channel, channel), l = desc(1, PIXELS, 102, -20, low_channel);
    l.energy.size = (size_t)lround(102 / low_channel);
    d.shift_max = l.shift_max = fabs(b->shift);
    double *mu = calloc(d.energy.size, sizeof *mu), *mu_low = calloc(l.energy.size, sizeof *mu_low);
    double truth = behind_counts(b, &d, &l, mu, mu_low);
    struct image in = filled(&d, mu, -b->shift), low = filled(&l, mu_low, -b->shift), net[MAXIO], out[MAXIO];
    const struct image *ins[] = { &in, &low }, *nets[] = { &net[0] };
    struct rig r, q;
    run(&r, "background", params, strstr(params, "before") ? 2 : 1, ins, net);
    run(&q, "ratio", RATIO, 1, nets, out);
    double found = at(&out[0], PIXELS - 1, 0);
    images_free(&r, net), images_free(&q, out);
    rig_free(&r), rig_free(&q);
    image_free(&in), image_free(&low);
    free(mu), free(mu_low);
    return found / truth - 1;
}

/* What is left is the same without titanium: a background that was scattered more than once is not quite a power law, and the zero-loss peak's feet
 * put some of O K into the window. Limits are twice what these two make of it; they grow with the background over O K, that is with thickness. */
static void test_ratios(void **unused)
{
    (void)unused;
    static const struct { double t, limit; } at_most[] = { { 0.1, 0.002 }, { 0.2, 0.002 }, { 0.4, 0.002 }, { 0.7, 0.004 }, { 1, 0.008 } };
    for (size_t k = 0; k < sizeof at_most / sizeof *at_most; k++)
        for (int ti = 0; ti <= 2; ti++) {
            struct behind b = { .dose = 1e6, .electrons = 1e8, .t = at_most[k].t, .titanium = 0.5 * ti, .pre = 0.15 };
            double with = off(&b, PARAMS, 0.5, 0.25), without = off(&b, "{window: [505, 524]}", 0.5, 0.25);
            print_message("  t/lambda %.1f, Ti %.1f: %+.2f %%, without the low loss %+.2f %%\n", b.t, b.titanium, 100 * with, 100 * without);
            assert_true(fabs(with) < at_most[k].limit);
            if (ti == 2 && b.t > 0.5) assert_true(fabs(without) > 0.02);
        }
}

/* Channels of other widths and energies that are shifted change the ratio by less than a thousandth: nothing but where channels end. */
static void test_axes(void **unused)
{
    (void)unused;
    struct behind b = { .dose = 1e6, .electrons = 1e8, .t = 0.5, .titanium = 1, .pre = 0.15 };
    double usual = off(&b, PARAMS, 0.5, 0.25);
    assert_float_equal(off(&b, PARAMS, 0.25, 0.25), usual, 1e-3);
    assert_float_equal(off(&b, PARAMS, 1, 0.25), usual, 1e-3);
    assert_float_equal(off(&b, PARAMS, 0.25, 0.5), usual, 1e-3);
    b.shift = 1;
    assert_float_equal(off(&b, PARAMS, 0.5, 0.25), usual, 1e-3);
}

static void test_pixels(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(3, 4, 320, 430.25, 0.5), l = desc(3, 4, 410, -20, 0.25);
    double mu[320], mu_low[410];
    struct behind b = { .dose = 1e4, .electrons = 1e6, .t = 0.5, .titanium = 1, .pre = 0.15 };
    behind_counts(&b, &d, &l, mu, mu_low);
    struct image in = filled(&d, mu, 0), low = filled(&l, mu_low, 0), out[MAXIO], strip[MAXIO], part[MAXIO], plain[MAXIO];
    uniform(3);
    for (size_t i = 0; i < 12 * 320; i++) in.val[i] = (float)poisson((double)in.val[i]);
    memset(&low.val[2 * 410], 0, 410 * sizeof(float));       /* no zero-loss peak, */
    low.val[3 * 410 + 300] = NAN;                            /* a loss that is no number, */
    in.val[5 * 320 + 15] = NAN;                              /* a count before Ti L, or */
    in.val[6 * 320 + 100] = NAN;                             /* in it that is none */
    in.flag[7] = EP_FLAG_MASKED;
    const struct image *ins[] = { &in, &low };
    struct rig r, q;
    run(&r, "background", PARAMS, 2, ins, out);
    static const struct { size_t pixel; uint32_t flag; } bad[] = { { 2, EP_FLAG_NO_ZLP }, { 3, EP_FLAG_NOT_FINITE }, { 5, EP_FLAG_NOT_FINITE },
                                                                   { 6, EP_FLAG_NOT_FINITE }, { 7, EP_FLAG_MASKED } };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_int_equal(out[0].flag[bad[k].pixel], bad[k].flag);
        assert_true(isnan(at(&out[0], bad[k].pixel, 200)));
    }
    size_t chi = named(&r, "reduced_chi_square"), back = named(&r, "background");
    assert_int_equal(out[0].flag[8], 0);
    assert_true(at(&out[chi], 8, 0) > 0.4 && at(&out[chi], 8, 0) < 1.8);
    assert_float_equal(at(&out[0], 8, 220) + at(&out[back], 8, 220), at(&in, 8, 220), 0.01);
    struct ep_cell c[2] = { cell_of(&in), cell_of(&low) };
    rig_apply(&r, 2, c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&r, out, strip);
    rig_apply(&r, 2, c, 2, (struct ep_range){ 190, 230 }, part);
    for (size_t p = 0; p < 12; p++) assert_memory_equal(&out[0].val[p * 320 + 190], &part[0].val[p * 40], 40 * sizeof(float));
    /* in front of the window it is the power law before the edge */
    run(&q, "background", "{window: [434, 452]}", 1, ins, plain);
    for (size_t i = 0; i < 150; i++) assert_float_equal(at(&out[0], 8, i), at(&plain[0], 8, i), 0.01);
    images_free(&q, plain);
    rig_free(&q);
    /* amplitude, exponent and the sigmas of sums are those of the power law through the window */
    run(&q, "background", "{window: [505, 524]}", 1, ins, plain);
    assert_memory_equal(&out[0].theta[8 * EP_NTHETA], &plain[0].theta[8 * EP_NTHETA], sizeof(double[EP_NTHETA]));
    assert_true(at(&out[0], 8, 220) != at(&plain[0], 8, 220));
    images_free(&r, out), images_free(&r, strip), images_free(&r, part), images_free(&q, plain);
    rig_free(&r), rig_free(&q);
    image_free(&in), image_free(&low);
}

static void refuses(const struct ep_desc *in, const struct ep_desc *low, const char *params, const char *text)
{
    const struct ep_desc *ins[] = { in, low };
    struct rig r;
    rig_declare(&r, stage("background"), params, low ? 2 : 1, ins);
    if (!says(&r, text)) fail_msg("%s does not say '%s'", params, text);
    assert_true(r.diag.nerrors > 0);
    rig_free(&r);
}

static void test_mistakes(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(2, 3, 320, 430.25, 0.5), l = desc(2, 3, 410, -20, 0.25), other = desc(3, 3, 410, -20, 0.25), down = d, late = l;
    down.energy.offset = 590;
    down.energy.scale = -0.5;
    late.energy.offset = 30;
    refuses(&d, NULL, PARAMS, "low_loss is missing");
    refuses(&d, &l, "{window: [505, 524]}", "before is missing");
    refuses(&d, &l, "{before: [434, 452], window: [505, 524], method: exponential}", "with low_loss the method is ml");
    refuses(&d, &l, "{before: [434, 452], window: [505, 524], average: {fwhm: 2}}", "leave out average");
    refuses(&d, &l, "{before: [434, 452], window: [[505, 524], [570, 580]]}", "one window");
    refuses(&d, &l, "{before: [500, 510], window: [505, 524]}", "must lie below the window");
    refuses(&d, &l, "{before: [424, 429], window: [505, 524]}", "before");
    refuses(&d, &other, PARAMS, "they must be the same pixels");
    refuses(&d, &late, PARAMS, "there is no zero-loss peak on it");
    refuses(&down, &l, PARAMS, "its scale must be positive");
    /* the way out is named where white lines stand in front, and not where it is taken or the edge lies far below */
    const struct ep_desc *ins[] = { &d, &l };
    struct rig r;
    for (int with = 0; with < 2; with++) {
        rig_declare(&r, stage("background"), with ? PARAMS : "{window: [505, 524]}", with ? 2 : 1, ins);
        assert_int_equal(r.diag.nwarnings, 1 - with);
        assert_int_equal(says(&r, "the Ti L3 edge (456 eV) stands before the fit window"), 1 - with);
        rig_free(&r);
    }
    rig_declare(&r, stage("background"), "{window: [560, 580]}", 1, ins);
    assert_int_equal(r.diag.nwarnings, 0);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ratios), cmocka_unit_test(test_axes), cmocka_unit_test(test_pixels),
                                        cmocka_unit_test(test_mistakes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
