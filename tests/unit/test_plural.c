/* thickness, splice, deconvolve on spectra whose plural scattering is known in closed form; FFTs; plural counts put back. */
#include "tests/unit/plural_rig.h"
#include "pipeline/numerics/fft.h"
#include "pipeline/numerics/plural.h"

static void near(double a, double b, double tolerance)         /* NaN is not near anything */
{
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.9g is not %.9g +- %.2g", a, b, tolerance);
}

/* ---- transforms ----------------------------------------------------------------------------------------------- */

static void test_transform(void **unused)
{
    (void)unused;
    assert_int_equal(ep_fft_size(1), 2);
    assert_int_equal(ep_fft_size(4049), 4050);
    assert_int_equal(ep_fft_size(2047), 2048);
    enum { N = 60 };
    struct ep_err e = { 0 };
    struct ep_fft *f;
    _Alignas(EP_FFT_ALIGN) double in[64], back[64];
    _Alignas(EP_FFT_ALIGN) struct ep_complex c[N / 2 + 1];
    assert_int_equal(ep_fft_new(N, &f, &e), EP_OK);
    for (int i = 0; i < N; i++) in[i] = uniform(i == 0 ? 7 : 0);
    ep_fft_forward(f, in, c);
    for (int k = 0; k <= N / 2; k++) {           /* against the sum by definition */
        double re = 0, im = 0;
        for (int i = 0; i < N; i++) {
            re += in[i] * cos(2 * M_PI * k * i / N);
            im -= in[i] * sin(2 * M_PI * k * i / N);
        }
        near(c[k].re, re, 1e-12);
        near(c[k].im, im, 1e-12);
    }
    ep_fft_inverse(f, c, back);
    for (int i = 0; i < N; i++) near(back[i], in[i], 1e-14);
    ep_fft_free(f);
    ep_fft_free(NULL);
}

/* ---- spectra -------------------------------------------------------------------------------------------------- */

static const struct lamella thick = { 1e7, 0, { { 0.6, 23, 3 }, { 0.4, 31, 2 } } };

static struct image image_of(const struct ep_desc *d, const struct lamella *s, size_t n)
{
    struct image m = image_new(d);
    double *v = malloc(m.nch * sizeof *v);
    for (size_t p = 0; p < pixels(d); p++) {
        expect(&s[p < n ? p : n - 1], &d->energy, false, v);
        for (size_t i = 0; i < m.nch; i++) m.val[p * m.nch + i] = (float)v[i];
    }
    free(v);
    return m;
}

/* ---- thickness ------------------------------------------------------------------------------------------------ */

static void test_thickness(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(3, 2, 3200, -20, 0.1);      /* all losses are on it */
    struct lamella s[6];
    for (int i = 0; i < 6; i++) {                /* drifting zero loss, rising thickness */
        s[i] = thick;
        s[i].zlp = 0.37 * i - 0.8;
        s[i].l[0].tau = 0.1 + 0.15 * i;
    }
    struct image in = image_of(&d, s, 6);
    in.val[4 * in.nch + 900] = NAN;
    const struct image *ins[] = { &in };
    struct look_rig r;
    static const char *const ways[] = { "{tail: none, mean_free_path: 90}", "{tail: none, mean_free_path: 90, zlp: mirror}",
                                        "{tail: none, mean_free_path: 90, zlp_end: 4.5}" };
    for (int w = 0; w < 3; w++) {
        look_run(&r, "thickness", ways[w], 1, ins);
        for (size_t p = 0; p < 6; p++) {
            double tau = s[p].l[0].tau + s[p].l[1].tau;
            if (p == 4) {
                assert_true(isnan(at(&r.out[0], p, 0)) && isnan(at(&r.out[1], p, 0)) && (r.out[0].flag[p] & EP_FLAG_NOT_FINITE));
                continue;
            }
            assert_true(r.out[0].flag[p] == 0 && isfinite(at(&r.out[0], p, 0)));
            /* the mirror's centre is a mean over a range of whole channels: a hundredth of a channel of its 4 per sd */
            near(at(&r.out[0], p, 0), tau, w == 1 ? 3e-3 : 1e-4);
            near(at(&r.out[1], p, 0), 90 * at(&r.out[0], p, 0), 1e-4);
            near(r.out[1].sigma[p], 90 * r.out[0].sigma[p], 1e-5);
            double i0 = s[p].electrons * exp(-tau), all = s[p].electrons, q = (all - i0) / i0;
            near(at(&r.out[2], p, 0) / i0, 1, w == 1 ? 4e-3 : 1e-4);
            if (w != 1) near(r.out[0].sigma[p], sqrt(all - i0 + q * q * i0) / all, 1e-6);
        }
        look_free(&r);
    }
    image_free(&in);
}

/* Losses that fall as E^-3 beyond the plasmon: what the axis cuts off comes back. */
static void test_tail(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 2, 1200, -20, 0.1);
    struct image in = image_new(&d);
    for (size_t i = 0; i < 2 * in.nch; i++) {
        double e = ep_axis_at(&d.energy, (double)(i % in.nch));
        in.val[i] = (float)(1e6 * bell(e - 0.05, e + 0.05, 0, ZLP_SD) + (e > 10 ? 1e5 * 100 * 2 * 0.1 * pow(e, -3) : 0));
    }
    const struct image *ins[] = { &in };
    struct look_rig r;
    double losses = 0;                           /* to 1e5 eV */
    for (size_t i = 0; i < 1000000; i++) {
        double e = ep_axis_at(&d.energy, (double)i);
        if (e > 10) losses += 1e5 * 100 * 2 * 0.1 * pow(e, -3);
    }
    look_run(&r, "thickness", "{}", 1, ins);
    near(at(&r.out[0], 0, 0), log(1 + losses / 1e6), 2e-6);
    look_free(&r);
    look_run(&r, "thickness", "{tail: none}", 1, ins);
    assert_true(at(&r.out[0], 0, 0) < log(1 + losses / 1e6) - 5e-4);
    look_free(&r);
    image_free(&in);
}

/* The formulas against numbers worked out from the papers by hand. */
static void test_mean_free_path(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 2, 1000, -20, 0.1);
    const struct ep_desc *ds[] = { &d };
    struct rig r;
    rig_declare(&r, stage("thickness"), "{density: 2.33}", 1, ds);
    assert_true(says(&r, "beam energy") && says(&r, "collection angle") && says(&r, "convergence angle"));
    rig_free(&r);
    d.meta.beam_energy_kev = 200;
    d.meta.collection_mrad = 20;
    d.meta.convergence_mrad = 10;
    rig_declare(&r, stage("thickness"), "{density: 2.33}", 1, ds);
    double got;
    /* F = 0.6177; theta_E = 5.5 2.33^0.3/(F 200) = 0.05737 mrad; a2 = 100, b2 = 400 */
    assert_int_equal(sscanf(r.d.out[named(&r, "thickness")].long_name, "Thickness, mean free path %lf", &got), 1);
    double f = (1 + 200 / 1022.0) / pow(1 + 200 / 511.0, 2), te2 = pow(5.5 * pow(2.33, 0.3) / (f * 200), 2);
    double ln = log((100 + 400 + 2 * te2 + 300) / (100 + 400 + 2 * 400 + 300) * 400 / te2);
    near(got, 1 / (11 * pow(2.33, 0.3) / (200 * f * 200) * ln), 0.1);
    rig_free(&r);
    rig_declare(&r, stage("thickness"), "{effective_z: 14}", 1, ds);
    double em = 7.6 * pow(14, 0.36);             /* 19.65 eV */
    assert_int_equal(sscanf(r.d.out[named(&r, "thickness")].long_name, "Thickness, mean free path %lf", &got), 1);
    near(got, 106 * f * 200 / (em * log(2 * 20 * 200 / em)), 0.1);
    rig_free(&r);
    rig_declare(&r, stage("thickness"), "{effective_z: 14, mean_free_path: 100}", 1, ds);
    assert_true(says(&r, "give one of"));
    rig_free(&r);
    snprintf(d.meta.signal_type, sizeof d.meta.signal_type, "EDS_TEM");
    rig_declare(&r, stage("thickness"), "{}", 1, ds);
    assert_true(says(&r, "X-rays"));
    rig_free(&r);
    rig_declare(&r, stage("align"), "{}", 1, ds);
    assert_true(says(&r, "X-rays"));
    rig_free(&r);
}

/* ---- bad pixels ----------------------------------------------------------------------------------------------- */

enum { EMPTY = 1, NEGATIVE, MISSING, NO_PEAK, MASKED, CUT_OFF, SPIKE, BAD };

static void spoil(struct image *m)
{
    for (size_t i = 0; i < m->nch; i++) {
        m->val[EMPTY * m->nch + i] = 0;
        m->val[NEGATIVE * m->nch + i] *= -1;
        m->val[NO_PEAK * m->nch + i] = 1;
    }
    m->val[MISSING * m->nch + 1500] = NAN;
    m->flag[MASKED] = EP_FLAG_MASKED;
    memmove(m->val + CUT_OFF * m->nch, m->val + CUT_OFF * m->nch + 195, (m->nch - 195) * sizeof(float));   /* peak 0.5 eV from the start */
    m->val[SPIKE * m->nch + 1700] = 1e6f;
}

static void test_bad_pixels(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(2, 6, 1800, -20, 0.1);
    struct image good = image_of(&d, &thick, 1), bad = image_of(&d, &thick, 1);
    spoil(&bad);
    static const char *const stages[] = { "thickness", "deconvolve" }, *const params[] = { "{tail: none, zlp_end: 5}", "{zlp_end: 5, tail_exponent: 3}" };
    for (int s = 0; s < 2; s++) {
        const struct image *g[] = { &good }, *b[] = { &bad };
        struct look_rig rg, rb;
        look_run(&rg, stages[s], params[s], 1, g);
        look_run(&rb, stages[s], params[s], 1, b);
        const uint32_t *f = rb.out[0].flag;
        assert_true((f[EMPTY] & EP_FLAG_NO_ZLP) && (f[NEGATIVE] & EP_FLAG_NO_ZLP) && (f[MISSING] & EP_FLAG_NOT_FINITE));
        assert_true((f[NO_PEAK] & EP_FLAG_NO_ZLP) && (f[MASKED] & EP_FLAG_MASKED) && (f[CUT_OFF] & (EP_FLAG_OFF_AXIS | EP_FLAG_NO_ZLP)));
        size_t nch = rb.out[0].nch;
        for (size_t p = 0; p < 12; p++) {
            bool spoilt = p > 0 && p < SPIKE;
            for (size_t i = 0; i < nch; i++) assert_true(isnan(at(&rb.out[0], p, i)) == spoilt);
            /* the look differs, by what the spoilt pixels no longer give; with zlp_end and tail given nothing else does */
            if (p == 0 || p >= BAD)
                for (size_t i = 0; i < nch; i++) near(at(&rb.out[0], p, i), at(&rg.out[0], p, i), 1e-5 * fabs(at(&rg.out[0], p, i)) + 0.5);
        }
        look_free(&rg);
        look_free(&rb);
    }
    image_free(&good);
    image_free(&bad);
}

static void test_mistakes(void **unused)
{
    (void)unused;
    struct ep_desc core = desc(2, 2, 500, 100, 0.1), low = desc(2, 2, 900, -20, 0.1), net = low, other = low, joined = low, done = low;
    net.modelled = true;
    other.energy.scale = 2;
    joined.low = (struct ep_low_noise){ 500, 16, 0 };
    done.modelled = done.deconvolved = true;
    static const struct { const char *stage, *params, *says; int a, b; } cases[] = {
        { "thickness", "{}", "no zero-loss peak on it", 0, -1 },
        { "thickness", "{}", "background-subtracted", 2, -1 },
        { "deconvolve", "{}", "no zero-loss peak on it", 0, -1 },
        { "deconvolve", "{method: ratio}", "needs low_loss", 0, -1 },
        { "deconvolve", "{method: ratio}", "needs net counts", 0, 1 },
        { "deconvolve", "{method: ratio}", "widths so different", 2, 3 },
        { "background", "{window: [0, 30]}", "those of the low loss", 4, -1 },
        { "background", "{window: [0, 30]}", "deconvolved", 5, -1 },
        { "sum_spectrum", "{}", "not linear", 5, -1 },
        { "deconvolve", "{}", "deconvolved already", 5, -1 },
        { "deconvolve", "{}", "join the two with splice", 1, 1 },
        { "splice", "{}", "low_loss is missing", 0, -1 },
        { "splice", "{}", "need energies in common", 0, 1 },
        { "splice", "{}", "not raw counts", 2, 1 },
        { "splice", "{}", "nothing to join", 1, 1 },
    };
    const struct ep_desc *all[] = { &core, &low, &net, &other, &joined, &done };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ep_desc *d[] = { all[cases[i].a], cases[i].b < 0 ? NULL : all[cases[i].b] };
        struct rig r;
        rig_declare(&r, stage(cases[i].stage), cases[i].params, 2, d);
        if (!says(&r, cases[i].says)) fail_msg("%s %s does not say '%s'", cases[i].stage, cases[i].params, cases[i].says);
        assert_true(r.diag.nerrors > 0);
        rig_free(&r);
    }
    core.energy.offset = 40;
    const struct ep_desc *d[] = { &core, &low };
    static const struct { const char *params, *says; } more[] = {
        { "{overlap: [30, 60]}", "does not lie in the energies that both have" }, { "{join: 75}", "does not lie in the energies that both have" },
        { "{ratio: 10, per: pixel}", "give one of" },
    };
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        rig_declare(&r, stage("splice"), more[i].params, 2, d);
        assert_true(says(&r, more[i].says));
        rig_free(&r);
    }
    struct image none = image_new(&low);         /* no pixel with a peak */
    const struct image *in[] = { &none };
    struct ep_cell c[MAXIO];
    struct look_rig r;
    assert_int_not_equal(look_prepare(&r, "thickness", "{}", 1, in, c), EP_OK);
    assert_non_null(strstr(r.e.msg, "no pixel has a zero-loss peak"));
    look_free(&r);
    image_free(&none);
}

/* ---- splice --------------------------------------------------------------------------------------------------- */

static void test_splice(void **unused)
{
    (void)unused;
    /* channels of 0.1 and of 0.25 eV, whose grids do not fit; the core loss is exposed 40 times as long */
    struct ep_desc dl = desc(2, 2, 900, -20, 0.1), dc = desc(2, 2, 400, 40.03, 0.25);
    dl.gain = 2;
    dl.read_noise = 3;
    dc.gain = 1.5;
    dc.read_noise = 1;
    struct lamella longer = thick;
    longer.electrons *= 40;
    struct image low = image_of(&dl, &thick, 1), core = image_of(&dc, &longer, 1);
    const struct image *in[] = { &core, &low };
    struct look_rig r;
    look_run(&r, "splice", "{}", 2, in);
    const struct ep_desc *o = &r.main.d.out[0];
    /* energies in common: 39.905 to 69.95 eV; counted without a twentieth at each end, so joined at the first centre above 41.41 eV */
    double start = 39.905, from = start + (69.95 - start) / 20;
    near(fmod(o->energy.offset - 40.03 + 1000, 0.25), 0, 1e-9);
    size_t below = o->energy.size - 400;
    near(o->energy.offset + 0.25 * (double)below, 40.03, 1e-9);
    assert_true(o->energy.offset - 0.125 >= -20.05 - 1e-6 && o->energy.offset - 0.375 < -20.05);
    assert_true(ep_axis_at(&o->energy, (double)o->low.end) >= from && ep_axis_at(&o->energy, (double)o->low.end - 1) < from);
    near(at(&r.out[1], 0, 0), 40, 40 * 2e-4);        /* counts spread evenly over a channel: second order in its width */
    near(o->low.gain, 2 * at(&r.out[1], 0, 0), 1e-4);
    near(o->low.read_noise, at(&r.out[1], 0, 0) * 3 * sqrt(2.5), 1e-4);
    double *want = malloc(o->energy.size * sizeof *want), c = window_sum(&dc.energy, (expect(&longer, &dc.energy, false, want), want), 41.5, 68.4);
    double sigma = 40 * sqrt((1.5 * c + 4 * 108 * 1) / (c * c) + (2 * c / 40 + 4 * 270 * 9) / (c * c / 1600)) / 2;
    near(r.out[1].sigma[0], sigma, 0.02 * sigma);
    expect(&longer, &o->energy, false, want);
    for (size_t i = 0; i < o->energy.size; i++) {
        double e = ep_axis_at(&o->energy, (double)i);
        if (i >= o->low.end) assert_true(at(&r.out[0], 3, i) == (double)core.val[3 * core.nch + i - below]);
        else if (e > 3 && i > 0)      /* counts spread evenly over a channel of width h miss h^2/8 of the slope at each end */
            assert_true(fabs(at(&r.out[0], 3, i) - want[i]) < 0.01 / 4 / 0.0625 * fabs(want[i + 1] - want[i - 1]) / 2 + 1e-3 * want[i] + 1);
    }
    near(image_window(&r.out[0], 0, -10, 41), window_sum(&o->energy, want, -10, 41), 3e-4 * window_sum(&o->energy, want, -10, 41));
    /* sums over the join have the variance of both parts */
    struct ep_cell cell = cell_of(&r.out[0]);
    cell.d = o;
    struct ep_range w = { o->low.end - 10, o->low.end + 20 };
    struct ep_functional f = { w, NULL };
    double value, var, expected = 0;
    void *scratch = malloc(ep_functionals_scratch(o, 1));
    assert_int_equal(ep_functionals(&cell, 0, 0, 1, &f, &value, &var, scratch), 0);
    for (size_t i = w.first; i < w.end; i++)
        expected += i < o->low.end ? o->low.gain * at(&r.out[0], 0, i) + pow(o->low.read_noise, 2) : 1.5 * at(&r.out[0], 0, i) + 1;
    near(var / expected, 1, 1e-12);
    free(scratch);
    free(want);
    look_free(&r);
    image_free(&low);
    image_free(&core);
}

/* Aligned images keep their shifts; a known error of the core loss's axis is found; a ratio per pixel. */
static void test_splice_offsets(void **unused)
{
    (void)unused;
    struct ep_desc dl = desc(2, 2, 900, -20, 0.1), dc = desc(2, 2, 900, 40, 0.1);
    struct lamella longer = thick, moved = thick;
    longer.electrons *= 16;
    moved.zlp = -0.63;                           /* the low loss stands 0.63 eV too low */
    struct image low = image_of(&dl, &moved, 1), core = image_of(&dc, &longer, 1);
    const struct image *in[] = { &core, &low };
    struct look_rig r;
    look_run(&r, "splice", "{find_offset: 2}", 2, in);
    near(at(&r.out[2], 0, 0), 0.63, 0.01);           /* a tenth of a channel */
    near(at(&r.out[1], 0, 0), 16, 0.01);
    look_free(&r);
    for (size_t i = 0; i < core.nch; i++) core.val[2 * core.nch + i] *= 1.5f;
    look_run(&r, "splice", "{offset: 0.63, per: pixel}", 2, in);
    near(at(&r.out[1], 0, 0), 16, 0.01);
    near(at(&r.out[1], 2, 0), 24, 0.015);
    look_free(&r);
    image_free(&low);
    moved.zlp = 0.63;
    low = image_of(&dl, &moved, 1);
    low.d.shift_max = core.d.shift_max = 5;
    for (size_t p = 0; p < 4; p++) {
        core.shift[p] = 0.3 + 0.01 * (double)p;
        low.shift[p] = core.shift[p] - 0.63;
    }
    look_run(&r, "splice", "{per: pixel}", 2, in);
    for (size_t p = 0; p < 4; p++) {
        assert_true(r.out[0].shift[p] == core.shift[p] && r.out[0].flag[p] == 0);
        near(at(&r.out[1], p, 0), p == 2 ? 24 : 16, 0.015);
    }
    look_free(&r);
    low.val[1 * low.nch + 30] = NAN;
    core.flag[3] = EP_FLAG_MASKED;
    look_run(&r, "splice", "{}", 2, in);
    for (size_t i = 0; i < r.out[0].nch; i++) assert_true(isnan(at(&r.out[0], 1, i)) && isnan(at(&r.out[0], 3, i)) && isfinite(at(&r.out[0], 0, i)));
    assert_true(r.out[0].flag[1] & EP_FLAG_NOT_FINITE);
    look_free(&r);
    image_free(&low);
    image_free(&core);
}

/* ---- deconvolution -------------------------------------------------------------------------------------------- */

static void single_scattering(const char *params, const struct lamella *s, double shift, double worst)
{
    struct ep_desc d = desc(1, 2, 1800, -20, 0.1);
    if (shift != 0) d.shift_max = 5;
    struct image in = image_of(&d, s, 1);
    in.shift[0] = in.shift[1] = shift;
    const struct image *ins[] = { &in };
    double *want = malloc(in.nch * sizeof *want);
    expect(s, &d.energy, true, want);
    double area = window_sum(&d.energy, want, -20, 160), most = 0;
    struct look_rig r;
    look_run(&r, "deconvolve", params, 1, ins);
    assert_int_equal(r.out[0].flag[0], 0);
    for (double e = 5; e < 155; e += 10) {
        double off = fabs(image_window(&r.out[0], 1, e, e + 10) - window_sum(&d.energy, want, e, e + 10)) / area;
        if (!(off <= most)) most = off;
    }
    print_message("    t/lambda %.1f %s: largest error of a 10 eV bin %.1e of the area\n", s->l[0].tau + s->l[1].tau, params, most);
    assert_true(most < worst);
    if (shift != 0) assert_true(r.out[0].shift[1] == shift);
    look_free(&r);
    image_free(&in);
    free(want);
}

/* Two layers, one above the other, without noise. The measure asked for is 1 %. A Gaussian in place of the peak's own shape is worse, since the
 * peak's is lost in rounding where the Gaussian still asks for it. */
static void test_fourier_log(void **unused)
{
    (void)unused;
    struct lamella s = thick, one = { 1e7, 0, { { 1, 23, 3 }, { 0, 31, 2 } } }, thin = thick, most = thick;
    thin.l[0].tau = thin.l[1].tau = 0.05;
    most.l[0].tau = most.l[1].tau = 1;
    single_scattering("{}", &s, 0, 1e-5);
    single_scattering("{zlp_end: 4}", &one, 0, 1e-5);
    single_scattering("{zlp_end: 4}", &thin, 0, 1e-5);
    single_scattering("{zlp_end: 4}", &most, 0, 1e-3);     /* its sixth plasmon and more lie beyond the axis */
    single_scattering("{zlp_end: 4, width: 1.2}", &s, 0, 2e-3);
    s.zlp = 1.234;                               /* where the peak stands does not matter, and a shift goes along */
    single_scattering("{zlp_end: 4}", &s, -1.234, 1e-5);
}

static void convolve(const double *a, const double *b, size_t n, double *out)      /* both begin at zero loss */
{
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t k = 0; k <= i; k++) out[i] += a[k] * b[i - k];
    }
}
/* A zero-loss peak whose twentieth part is three times as wide. */
static void broaden(const double *v, size_t n, double electrons, size_t zero, float *out, size_t nout)
{
    double peak[101], sum = 0;
    for (int k = -50; k <= 50; k++) {
        double e = 0.1 * k;
        sum += peak[k + 50] = 0.95 * exp(-0.5 * e * e / 0.16) / 0.4 + 0.05 * exp(-0.5 * e * e / 1.44) / 1.2;
    }
    for (size_t i = 0; i < nout; i++) {
        double s = 0;
        for (size_t k = 0; k <= 100; k++)
            if (i + 50 >= k + zero && i + 50 - k - zero < n) s += peak[k] / sum * v[i + 50 - k - zero];
        out[i] = (float)(electrons * s);
    }
}

/* Losses like those of an oxide: two broad plasmons that begin behind a gap of 4 eV, an edge; orders by convolution. Every 10 eV within 0.1 %;
 * 0.5 % for the first, where the peak's feet are. */
static void test_realistic_losses(void **unused)
{
    (void)unused;
    enum { N = 1600, NCH = 1500, ZERO = 200 };
    static double s[N], power[N], next[N], sum[N];
    double area = 0, tau = 0.8, weight = exp(-tau);
    for (int i = 0; i < N; i++) {
        double e = 0.1 * i, gap = 1 / (1 + exp(-(e - 4) / 0.3)), edge = e > 55 ? 0.1 * (1 - exp((55 - e) / 2)) * pow(e / 55, -3.5) : 0;
        s[i] = gap * (e * 8 * 543 / (pow(e * e - 543, 2) + pow(8 * e, 2)) + 0.4 * e * 14 * 1225 / (pow(e * e - 1225, 2) + pow(14 * e, 2))) + edge;
        area += s[i];
    }
    area *= 1.05;                                /* some losses lie beyond the axis */
    for (int i = 0; i < N; i++) s[i] /= area;
    struct ep_desc d = desc(1, 2, NCH, -20, 0.1);
    struct image in = image_new(&d), want = image_new(&d);
    for (int i = 0; i < N; i++) power[i] = i == 0;
    for (int n = 0; n < 9; weight *= tau / ++n) {
        for (int i = 0; i < N; i++) sum[i] += weight * power[i];
        if (n == 1)
            for (int i = 0; i < N; i++) next[i] = weight * power[i];
        if (n == 1) broaden(next, N, 1e8, ZERO, want.val, NCH);
        convolve(power, s, N, next);
        memcpy(power, next, sizeof power);
    }
    for (int p = 0; p < 2; p++) broaden(sum, N, 1e8, ZERO, in.val + p * NCH, NCH);
    const struct image *ins[] = { &in };
    struct look_rig r;
    look_run(&r, "deconvolve", "{}", 1, ins);
    for (double e = 2; e < 120; e += 10) {
        double a = image_window(&r.out[0], 0, e, e + 10), b = image_window(&want, 0, e, e + 10);
        assert_true(fabs(a / b - 1) < (e < 10 ? 5e-3 : 1e-3));
    }
    look_free(&r);
    image_free(&in);
    image_free(&want);
}

/* Counts of single scattering plus what they lose on their way are the counts measured. */
static void test_plural_counts(void **unused)
{
    (void)unused;
    struct ep_axis a = desc(1, 1, 1800, -20, 0.1).energy, core = desc(1, 1, 1200, 280, 0.1).energy;
    double *low = malloc(a.size * sizeof *low), *p = malloc(core.size * sizeof *p), *w = malloc(core.size * sizeof *w);
    double *edge = malloc(core.size * sizeof *edge), *whole = malloc(core.size * sizeof *whole), sum = 0;
    struct lamella at = thick, s = thick;
    at.zlp = 0.03;                               /* between two channels */
    s.zlp = 300;                                 /* an excitation at 300 eV, as sharp as the zero-loss peak */
    expect(&at, &a, false, low);
    assert_true(ep_plural_kernel(low, a.size, 200.3, 240, 1, core.size, p));
    near(p[0], 1, 1e-9);
    expect(&s, &core, false, whole);
    for (size_t i = 0; i < core.size; i++) edge[i] = order(&s, &core, i, 0, 0);
    for (double e = 290; e < 380; e += 10) {
        struct ep_range r = ep_axis_window(&core, e, e + 10, 0, NULL);
        ep_plural_window(p, core.size, r.first, r.end, core.size, w);
        sum = 0;
        for (size_t i = 0; i < core.size; i++) sum += w[i] * edge[i];
        /* the low loss is measured with the peak's width, which comes in once more: s^2/2 of slope at the window's ends */
        near(sum, window_sum(&core, whole, e, e + 10), 2e-3 * s.electrons * exp(-1) + 1e-3 * sum);
    }
    memset(low, 0, a.size * sizeof *low);
    assert_false(ep_plural_kernel(low, a.size, 200, 240, 1, core.size, p));
    free(low), free(p), free(w), free(edge), free(whole);
}

/* The same bits whatever is asked for at once: strips of one row, a part of the channels. */
static void test_pieces(void **unused)
{
    (void)unused;
    struct ep_desc dl = desc(3, 5, 900, -20, 0.1), dc = desc(3, 5, 900, 40, 0.1);
    struct lamella s[15];
    for (int i = 0; i < 15; i++) s[i] = thick, s[i].zlp = 0.1 * i - 0.7, s[i].l[0].tau = 0.05 * i;
    struct image low = image_of(&dl, s, 15), core = image_of(&dc, s, 15);
    const struct image *two[] = { &core, &low };
    static const char *const stages[] = { "thickness", "deconvolve", "splice" };
    for (int k = 0; k < 3; k++) {
        struct look_rig a, b;
        struct ep_cell c[MAXIO];
        size_t nin = k == 2 ? 2 : 1;
        const struct image *const *in = k == 2 ? two : two + 1;
        look_run(&a, stages[k], k == 0 ? "{tail: none}" : k == 1 ? "{tail_exponent: 3}" : "{per: pixel}", nin, in);
        assert_int_equal(look_prepare(&b, stages[k], k == 0 ? "{tail: none}" : k == 1 ? "{tail_exponent: 3}" : "{per: pixel}", nin, in, c), EP_OK);
        struct ep_range part = k == 0 ? (struct ep_range){ 0, 0 } : (struct ep_range){ 555, 777 };
        rig_apply(&b.main, nin, c, 1, part, b.out);
        for (size_t p = 0; p < 15; p++)
            for (size_t i = 0; i < b.out[0].nch; i++) assert_true(at(&b.out[0], p, b.out[0].ch0 + i) == at(&a.out[0], p, b.out[0].ch0 + i));
        look_free(&a);
        look_free(&b);
    }
    image_free(&low);
    image_free(&core);
}

/* A single spectrum has the sigma of each channel: that of its counts, and a little for what is subtracted. */
static void test_one_spectrum(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 1, 1800, -20, 0.1);
    d.kind = EP_SPECTRUM;
    d.nnav = 0;
    d.has_sigma = true;
    struct image in = image_of(&d, &thick, 1);
    free(in.sigma);
    in.sigma = calloc(in.nch, sizeof(float));
    const struct image *ins[] = { &in };
    struct look_rig r;
    struct ep_cell c[MAXIO];
    assert_int_equal(look_prepare(&r, "deconvolve", "{tail_exponent: 3}", 1, ins, c), EP_OK);
    assert_true(r.main.d.out[0].has_sigma && r.main.d.out[0].deconvolved);
    r.out[0] = image_new(&r.main.d.out[0]);
    free(r.out[0].sigma);
    r.out[0].sigma = calloc(in.nch, sizeof(float));
    struct ep_cell o = cell_of(&r.out[0]);
    void *scratch = malloc(r.main.d.scratch);
    struct ep_apply ap = { .plan = r.main.plan, .scratch = scratch, .in = c, .nin = 1, .out = &o, .nout = 1, .flag = r.out[0].flag,
                           .shift = r.out[0].shift, .theta = r.out[0].theta, .cmat = r.out[0].cmat, .area = o.a };
    assert_int_equal(r.main.s->apply(&ap, &r.e), EP_OK);
    for (size_t i = 400; i < 900; i += 50) {     /* the variance is that of groups of channels */
        double var = pow((double)r.out[0].sigma[i], 2), counts = (double)in.val[i];
        assert_true(var > 0.7 * counts && var < 1.4 * counts + 500);
    }
    free(scratch);
    look_free(&r);
    image_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plural_counts), cmocka_unit_test(test_pieces),         cmocka_unit_test(test_one_spectrum),
        cmocka_unit_test(test_transform),     cmocka_unit_test(test_thickness),      cmocka_unit_test(test_tail),
        cmocka_unit_test(test_mean_free_path), cmocka_unit_test(test_bad_pixels),    cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_splice),        cmocka_unit_test(test_splice_offsets), cmocka_unit_test(test_fourier_log),
        cmocka_unit_test(test_realistic_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
