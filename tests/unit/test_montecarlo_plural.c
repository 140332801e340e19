/* Statistics of thickness, splice and deconvolve on Poisson counts whose plural scattering is known in closed form: bias, and whether 68 and
 * 95 % intervals hold the truth. EELPIPE_TEST_LONG repeats more often. */
#include "tests/unit/plural_rig.h"

static size_t rows(size_t n)
{
    return getenv("EELPIPE_TEST_LONG") ? 5 * n : n;
}

struct tally { double n, sum, sum2, sigma2, in1, in2; };
static void add_to(struct tally *t, double error, double sigma)
{
    if (!isfinite(error) || !isfinite(sigma)) fail_msg("not a number");
    t->n += 1;
    t->sum += error;
    t->sum2 += error * error;
    t->sigma2 += sigma * sigma;
    t->in1 += fabs(error) < sigma;
    t->in2 += fabs(error) < 1.96 * sigma;
}
/* The bias is within four standard errors and `bias`, the coverage within four standard deviations of the count and `slack`. */
static void holds(const char *what, const struct tally *t, double bias, double slack)
{
    double rms = sqrt(t->sum2 / t->n), lo = 4 * sqrt(0.683 * 0.317 / t->n) + slack, lo2 = 4 * sqrt(0.95 * 0.05 / t->n) + slack;
    printf("  %-46s bias %+9.3g +- %.2g, rms/sigma %.3f, inside %.1f and %.1f %%\n", what, t->sum / t->n, rms / sqrt(t->n), rms / sqrt(t->sigma2 / t->n),
           100 * t->in1 / t->n, 100 * t->in2 / t->n);
    assert_true(fabs(t->sum / t->n) < 4 * rms / sqrt(t->n) + bias);
    assert_true(fabs(t->in1 / t->n - 0.683) < lo && fabs(t->in2 / t->n - 0.95) < lo2);
}

static double draw(double mean, double gain, double read_noise)
{
    double n = gain * poisson(mean / gain);
    return read_noise > 0 ? n + read_noise * sqrt(-2 * log(uniform(0))) * cos(6.283185307179586 * uniform(0)) : n;
}
/* Counts of each pixel's lamella (s[p % n]); channels below d->low.end have its noise. */
static struct image counted(const struct ep_desc *d, const struct lamella *s, size_t n)
{
    struct image m = image_new(d);
    double *mean = malloc(n * m.nch * sizeof *mean);
    for (size_t k = 0; k < n; k++) expect(&s[k], &d->energy, false, mean + k * m.nch);
    for (size_t p = 0; p < pixels(d); p++)
        for (size_t i = 0; i < m.nch; i++) {
            bool low = i < d->low.end;
            m.val[p * m.nch + i] = (float)draw(mean[(p % n) * m.nch + i], low ? d->low.gain : d->gain, low ? d->low.read_noise : d->read_noise);
        }
    free(mean);
    return m;
}
static const struct lamella lamella = { 1e6, 0.23, { { 0.4, 23, 3 }, { 0.2, 31, 2 } } };

/* ---- thickness ------------------------------------------------------------------------------------------------ */

static void test_thickness(void **unused)
{
    (void)unused;
    uniform(11);
    static const double electrons[] = { 300, 1e4, 1e6 };
    static const char *const ways[] = { "{tail: none, zlp_end: 4}", "{tail: none, zlp_end: 4, zlp: mirror}" };
    for (int w = 0; w < 2; w++)
        for (int k = 0; k < 3; k++) {
            struct ep_desc d = desc(rows(30), 40, 1800, -20, 0.1);
            d.gain = 1.5;
            struct lamella s = lamella;
            s.electrons = 1.5 * electrons[k];
            struct image in = counted(&d, &s, 1);
            const struct image *ins[] = { &in };
            struct look_rig r;
            look_run(&r, "thickness", ways[w], 1, ins);
            struct tally t = { 0 };
            double lost = 0;
            for (size_t p = 0; p < pixels(&d); p++) {
                lost += r.out[0].flag[p] != 0;                 /* of 165 electrons in the peak, its centre may not be found */
                if (!r.out[0].flag[p]) add_to(&t, at(&r.out[0], p, 0) - 0.6, r.out[0].sigma[p]);
            }
            assert_true(lost == 0 || (k == 0 && lost < 0.01 * (double)pixels(&d)));
            char what[80];
            snprintf(what, sizeof what, "t/lambda, %g electrons, %s", electrons[k], w ? "mirror" : "cut");
            /* ln(I/I0) is biased by var(I0)/(2 I0^2) - 1/(2 I): up to 0.003 at 300 electrons */
            /* mirror: counts taken as spread evenly over a channel of width h miss h^2/8 of the slope at the cut: 4e-4 of the peak */
            holds(what, &t, 1 / electrons[k] + (w ? 5e-4 : 1e-4), w ? 0.03 : 0.01);
            look_free(&r);
            image_free(&in);
        }
}

/* ---- splice --------------------------------------------------------------------------------------------------- */

static void test_ratio(void **unused)
{
    (void)unused;
    uniform(12);
    struct ep_desc dl = desc(rows(30), 40, 450, -20, 0.2), dc = desc(rows(30), 40, 300, 40.03, 0.25);
    dl.gain = 2;
    dl.read_noise = 1;
    struct lamella longer = lamella;
    longer.electrons *= 16;
    struct image low = counted(&dl, &lamella, 1), core = counted(&dc, &longer, 1);
    const struct image *in[] = { &core, &low };
    struct look_rig r;
    look_run(&r, "splice", "{per: pixel}", 2, in);
    struct tally t = { 0 }, w = { 0 };
    double *want = malloc(r.out[0].nch * sizeof *want);
    expect(&longer, &r.out[0].d.energy, false, want);
    for (size_t p = 0; p < pixels(&dl); p++) add_to(&t, at(&r.out[1], p, 0) - 16, r.out[1].sigma[p]);
    holds("exposure ratio of a pixel", &t, 0.02, 0.01);         /* a quotient's own bias: R var(L)/L^2 */
    look_free(&r);
    look_run(&r, "splice", "{}", 2, in);
    struct ep_cell c = cell_of(&r.out[0]);
    c.d = &r.main.d.out[0];
    void *scratch = malloc(ep_functionals_scratch(c.d, 1));
    struct ep_range range = { c.d->low.end - 60, c.d->low.end + 20 };
    double truth = 0;
    for (size_t i = range.first; i < range.end; i++) truth += want[i];
    for (size_t p = 0; p < pixels(&dl); p++) {
        double v, var;
        assert_int_equal(ep_functionals(&c, p / 40, p % 40, 1, &(struct ep_functional){ range, NULL }, &v, &var, scratch), 0);
        add_to(&w, v - truth, sqrt(var));
    }
    holds("counts across the join", &w, 1e-3 * truth, 0.01);
    free(scratch);
    free(want);
    look_free(&r);
    image_free(&low);
    image_free(&core);
}

/* ---- deconvolution -------------------------------------------------------------------------------------------- */

static const double windows[4][2] = { { 18, 28 }, { 40, 50 }, { 55, 65 }, { 55, 80 } };
enum { NWINDOW = 4 };

/* Windows of the result against the truth of each pixel's lamella, and the difference of two windows. */
static void check_windows(const char *what, const struct look_rig *r, const struct lamella *s, size_t n, double bias, double slack)
{
    const struct image *out = &r->out[0];
    struct ep_cell c = cell_of(out);
    struct ep_functional f[NWINDOW];
    struct tally t[NWINDOW + 1] = { { 0 } };
    double value[NWINDOW], cov[NWINDOW * NWINDOW], *want = malloc(n * out->nch * sizeof *want);
    void *scratch = malloc(ep_functionals_scratch(c.d, NWINDOW));
    for (size_t k = 0; k < n; k++) expect(&s[k], &out->d.energy, true, want + k * out->nch);
    for (size_t w = 0; w < NWINDOW; w++) f[w] = (struct ep_functional){ ep_axis_window(&out->d.energy, windows[w][0], windows[w][1], 0, NULL), NULL };
    for (size_t p = 0; p < pixels(&out->d); p++) {
        double truth[NWINDOW];
        assert_int_equal(out->flag[p], 0);
        assert_int_equal(ep_functionals(&c, p / c.a.nx, p % c.a.nx, NWINDOW, f, value, cov, scratch), 0);
        for (size_t w = 0; w < NWINDOW; w++) {
            truth[w] = window_sum(&out->d.energy, want + (p % n) * out->nch, windows[w][0], windows[w][1]);
            add_to(&t[w], value[w] - truth[w], sqrt(cov[w * NWINDOW + w]));
        }
        double var = cov[NWINDOW + 1] + 4 * cov[2 * NWINDOW + 2] - 4 * cov[NWINDOW + 2];
        add_to(&t[NWINDOW], value[1] - truth[1] - 2 * (value[2] - truth[2]), sqrt(var));
    }
    for (size_t w = 0; w <= NWINDOW; w++) {
        char text[100];
        if (w < NWINDOW) snprintf(text, sizeof text, "%s, %g to %g eV", what, windows[w][0], windows[w][1]);
        else snprintf(text, sizeof text, "%s, a difference of windows", what);
        holds(text, &t[w], bias * s[0].electrons, slack);
    }
    free(scratch);
    free(want);
}

static void run_log(const char *what, const struct ep_desc *d, const struct lamella *s, size_t n, double bias, double slack)
{
    struct image in = counted(d, s, n);
    const struct image *ins[] = { &in };
    struct look_rig r;
    look_run(&r, "deconvolve", "{zlp_end: 4, tail_exponent: 3}", 1, ins);
    check_windows(what, &r, s, n, bias, slack);
    look_free(&r);
    image_free(&in);
}

static void test_fourier_log(void **unused)
{
    (void)unused;
    uniform(13);
    struct ep_desc d = desc(rows(20), 40, 640, -20, 0.25);
    struct lamella s[2] = { lamella, lamella };
    run_log("log", &d, s, 1, 3e-5, 0.01);
    s[0].electrons = 1e4;
    run_log("log, 1e4 electrons", &d, s, 1, 1e-4, 0.01);
    s[0] = lamella;
    s[0].electrons = 1e8;
    run_log("log, 1e8 electrons", &d, s, 1, 3e-5, 0.05);       /* within 1e-4 of the area, which is no longer far below the noise */
    s[0] = lamella;
    d.read_noise = 4;
    d.gain = 2;
    run_log("log, gain and read noise", &d, s, 1, 3e-5, 0.01);
    d.read_noise = 0;
    d.gain = 1;
    d.low = (struct ep_low_noise){ 220, 16, 0 };        /* up to 35 eV from a low loss 16 times as short */
    s[0].electrons = 1.6e7;
    run_log("log, spliced", &d, s, 1, 3e-5, 0.01);
    /* the response and the shape of the variance are the mean pixel's: with two thicknesses 40 % apart sigmas are off by a few per cent */
    s[1] = s[0];
    s[0].l[0].tau *= 0.8, s[0].l[1].tau *= 0.8;
    s[1].l[0].tau *= 1.2, s[1].l[1].tau *= 1.2;
    run_log("log, spliced, two thicknesses", &d, s, 2, 3e-5, 0.05);
}

/* Fourier-ratio: an excitation at 300 eV on a power law, whose background is fitted first. The truth behind the peak is nothing. */
static void test_fourier_ratio(void **unused)
{
    (void)unused;
    uniform(14);
    static const double windows_of_edge[][2] = { { 296, 304 }, { 296, 350 }, { 315, 340 } };
    struct ep_desc dl = desc(rows(20), 40, 1250, -20, 0.1), dc = desc(rows(20), 40, 800, 230, 0.25);     /* channels need not fit */
    struct lamella low_side = lamella, edge = lamella;
    low_side.electrons = 1e7;
    edge.electrons = 2e5;
    edge.zlp = 300;
    struct image low = counted(&dl, &low_side, 1), core = counted(&dc, &edge, 1), net[12];
    for (size_t p = 0; p < pixels(&dc); p++)
        for (size_t i = 0; i < core.nch; i++) core.val[p * core.nch + i] += (float)poisson(400 * pow(ep_axis_at(&dc.energy, (double)i) / 250, -3));
    const struct image *cores[] = { &core };
    struct rig b;
    run(&b, "background", "{window: [240, 296]}", 1, cores, net);
    net[0].d = b.d.out[0];
    const struct image *in[] = { &net[0], &low };
    struct look_rig r;
    look_run(&r, "deconvolve", "{method: ratio}", 2, in);
    struct ep_cell c = cell_of(&r.out[0]);
    struct ep_functional f[3];
    struct tally t[3] = { { 0 } };
    double value[3], cov[9];
    void *scratch = malloc(ep_functionals_scratch(c.d, 3));
    for (size_t w = 0; w < 3; w++) f[w] = (struct ep_functional){ ep_axis_window(&dc.energy, windows_of_edge[w][0], windows_of_edge[w][1], 0, NULL), NULL };
    for (size_t p = 0; p < pixels(&dc); p++) {
        assert_int_equal(ep_functionals(&c, p / 40, p % 40, 3, f, value, cov, scratch), 0);
        for (size_t w = 0; w < 3; w++) add_to(&t[w], value[w] - (w < 2 ? edge.electrons * exp(-0.6) : 0), sqrt(cov[4 * w]));
    }
    /* the low loss's own noise, some 1e-3 of what is subtracted, is not in sigma */
    for (size_t w = 0; w < 3; w++) {
        char what[60];
        snprintf(what, sizeof what, "ratio, %g to %g eV", windows_of_edge[w][0], windows_of_edge[w][1]);
        holds(what, &t[w], 1e-3 * edge.electrons, 0.02);
    }
    free(scratch);
    look_free(&r);
    images_free(&b, net);
    rig_free(&b);
    image_free(&low);
    image_free(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_thickness), cmocka_unit_test(test_ratio), cmocka_unit_test(test_fourier_log),
                                        cmocka_unit_test(test_fourier_ratio) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
