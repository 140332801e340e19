/* eds_lines: the tables of lines, the model's columns and derivatives, the fit of a sum, the stage. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eds_sim.h"
#include "eds_rig.h"
#include "pipeline/data/elements.h"
#include "pipeline/numerics/eds_fit.h"
#include "pipeline/numerics/xray.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NEAR(a, b, tol)                                                                                    \
    do {                                                                                                   \
        double a_ = (a), b_ = (b), tol_ = (tol);                                                           \
        if (!(fabs(a_ - b_) <= tol_)) fail_msg("%s: %.9g, not %.9g +- %g", #a, a_, b_, tol_);              \
    } while (0)

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static const struct ep_xray_line *line_of(const struct ep_xray_family *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->line[i].name, name) == 0) return &f->line[i];
    fail_msg("no line %s in %s_%c", name, f->element, f->shell);
    return NULL;
}

static double ratio(const struct ep_xray_family *f, const char *a)
{
    double alpha = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->line[i].alpha) alpha += f->line[i].weight;
    return line_of(f, a)->weight / alpha;
}

/* Energies: Bearden 1967. Ratios: what other tables have, with their spread. */
static void test_lines(void **state)
{
    (void)state;
    struct ep_xray_family f;
    assert_true(ep_xray_family(22, 'K', 200, 0.45, &f));
    NEAR(line_of(&f, "Ka1")->energy, 4510.84, 1);
    NEAR(line_of(&f, "Kb1")->energy, 4931.81, 1);
    NEAR(ratio(&f, "Kb1") + ratio(&f, "Kb3"), 0.13, 0.015);
    NEAR(f.edge, 4966, 2);
    assert_true(ep_xray_family(57, 'L', 200, 0.45, &f));
    NEAR(line_of(&f, "La1")->energy, 4650.97, 1);
    NEAR(line_of(&f, "Lb1")->energy, 5042.1, 1);
    NEAR(line_of(&f, "Ll")->energy, 4121, 4);
    NEAR(ratio(&f, "Lb1"), 0.44, 0.05);
    NEAR(ratio(&f, "Lb2") + ratio(&f, "Lb15"), 0.18, 0.03);
    NEAR(ratio(&f, "Ll"), 0.041, 0.005);
    double sum = 0;
    for (size_t i = 0; i < f.n; i++) sum += f.line[i].weight;
    NEAR(sum, 1, 1e-12);
    assert_true(ep_xray_family(57, 'M', 200, 0.45, &f));    /* not in xraylib: typed in */
    NEAR(f.alpha_energy, 833, 1);
    assert_true(ep_xray_family(78, 'M', 200, 0.45, &f));
    NEAR(f.alpha_energy, 2050.5, 1);
    assert_false(ep_xray_family(57, 'K', 30, 0.45, &f));    /* K edge at 38.9 keV */
    assert_false(ep_xray_family(3, 'K', 200, 0.45, &f));    /* 54 eV: below what is kept */
    assert_false(ep_xray_family(8, 'L', 200, 0.45, &f));
    assert_int_equal(ep_element_z("La"), 57);
    assert_int_equal(ep_element_z("la"), 0);
    assert_string_equal(ep_element_symbol(92), "U");
    assert_null(ep_element_symbol(0));
}

static void test_every_element(void **state)
{
    (void)state;
    for (int z = 1; z <= 92; z++)
        for (const char *s = "KLM"; *s; s++) {
            struct ep_xray_family f;
            if (!ep_xray_family(z, *s, 300, 0.45, &f)) continue;
            double sum = 0;
            assert_true(f.ngroup <= EP_XRAY_GROUPS);
            assert_true(f.n > 0 && f.n < EP_XRAY_LINES && f.line[0].alpha && f.line[0].group == 0);
            for (size_t i = 0; i < f.n; i++) {
                sum += f.line[i].weight;
                assert_true(f.line[i].weight > 0 && f.line[i].energy >= EP_XRAY_MIN_EV && f.line[i].name[0]);
                assert_in_range(f.line[i].group, 0, f.ngroup - 1);
            }
            NEAR(sum, 1, 1e-12);
        }
}

static void test_silicon(void **state)
{
    (void)state;
    assert_true(ep_xray_escape(1800) == 0);
    NEAR(ep_xray_escape(2000), 0.016, 0.003);       /* Reed and Ware's figure 2 */
    NEAR(ep_xray_escape(4510), 0.0066, 0.001);
    NEAR(ep_xray_escape(8048), 0.0018, 0.0005);
    NEAR(ep_xray_stopped(5000, 0.45), 1, 1e-6);
    NEAR(ep_xray_stopped(15000, 0.45), 0.65, 0.04);
    NEAR(ep_xray_stopped(15000, 0), 1, 0);
}

/* ---- the model -------------------------------------------------------------------------------------------------- */

static const struct ep_eds_line small_lines[] = {
    { 4510, 0.88, 0.007, 0, -1 }, { 4932, 0.12, 0.005, 0, 0 }, { 4651, 0.6, 0.006, 1, -1 }, { 5042, 0.3, 0.005, 1, 1 },
    { 5384, 0.1, 0.004, 1, 2 }, { 1740, 1, 0, 2, -1 },
};

static struct ep_eds *small_model(void)
{
    const double prior[3] = { 0.2, 0.2, 0.2 };
    struct ep_eds *m;
    struct ep_err e = { 0 };
    assert_int_equal(ep_eds_new(700, 1000, 10, COUNT(small_lines), small_lines, 3, 3, prior, 130, 0.45, &m, &e), EP_OK);
    return m;
}

static void test_columns(void **state)
{
    (void)state;
    struct ep_eds *m = small_model();
    double theta[8], *x = calloc(3 * 700, sizeof *x);
    assert_int_equal(ep_eds_ntheta(m), 8);
    ep_eds_start(m, theta, NULL);
    ep_eds_columns(m, theta, x, NULL, NULL);
    for (size_t k = 0; k < 3; k++) {
        double s = 0, mean = 0, var = 0;
        for (size_t i = 0; i < 700; i++) s += x[k * 700 + i];
        NEAR(s, 1, 1e-9);                           /* all counts are somewhere, those of the escape peaks included */
        for (size_t i = 0; i < 700; i++) mean += x[2 * 700 + i] * (1005 + 10 * (double)i);
        for (size_t i = 0; i < 700; i++) var += x[2 * 700 + i] * pow(1005 + 10 * (double)i - mean, 2);
        NEAR(mean, 1740, 1e-6);
        /* Within channels counts count at their centres: Sheppard's correction, scale^2 / 12. */
        NEAR(sqrt(var - 100.0 / 12), ep_eds_fwhm(theta, 1740) / 2.354820045, 1e-4);
    }
    NEAR(ep_eds_fwhm(theta, EP_EDS_MN_KA), 130, 1e-9);
    theta[EP_EDS_RESOLUTION] = 100;                 /* less than the Fano noise alone: the factor gives way */
    assert_true(ep_eds_bound(m, theta));
    assert_true(theta[EP_EDS_FANO_FACTOR] < EP_EDS_FANO && ep_eds_fwhm(theta, 1) > 10);
    free(x);
    ep_eds_free(m);
}

static void test_derivatives(void **state)
{
    (void)state;
    struct ep_eds *m = small_model();
    const double c[3] = { 1000, 700, 300 };
    const double step[8] = { 1e-3, 1e-7, 1e-3, 1e-6, 1e-5, 1e-5, 1e-5, 1e-5 };
    double theta[8] = { 7, 0.001, 135, 0.12, 0.9, 0.1, -0.1, 0.05 };
    double *x = calloc(4 * 3 * 700, sizeof *x), *dx = calloc(8 * 700, sizeof *dx);
    ep_eds_columns(m, theta, x, c, dx);
    for (size_t t = 0; t < 8; t++) {
        double at = theta[t], worst = 0, largest = 0, *lo = x + 3 * 700, *hi = x + 6 * 700;
        theta[t] = at - step[t];
        ep_eds_columns(m, theta, lo, NULL, NULL);
        theta[t] = at + step[t];
        ep_eds_columns(m, theta, hi, NULL, NULL);
        theta[t] = at;
        for (size_t i = 0; i < 700; i++) {
            double by_hand = 0;
            for (size_t k = 0; k < 3; k++) by_hand += c[k] * (hi[k * 700 + i] - lo[k * 700 + i]) / (2 * step[t]);
            worst = fmax(worst, fabs(by_hand - dx[t * 700 + i]));
            largest = fmax(largest, fabs(by_hand));
        }
        if (!(largest > 0 && worst < 1e-6 * largest)) fail_msg("derivative %zu: off by %g of %g", t, worst, largest);
    }
    free(x);
    free(dx);
    ep_eds_free(m);
}

/* Counts that the model itself makes, without noise: the fit finds what made them. Priors pull by less than a thousandth of
 * their sigmas. */
static void test_known_answer(void **state)
{
    (void)state;
    struct ep_eds *m = small_model();
    const double c[3] = { 3e8, 2e8, 1e8 };
    double theta[8] = { 12, 0.0015, 138, 0.118, 0.95, 0.1, -0.08, 0.05 }, *x = calloc(3 * 700, sizeof *x), *y = calloc(700, sizeof *y);
    ep_eds_columns(m, theta, x, NULL, NULL);
    for (size_t i = 0; i < 700; i++) {
        for (size_t k = 0; k < 3; k++) y[i] += c[k] * x[k * 700 + i];
        for (size_t b = 0; b + 1 < m->nback; b++) y[i] += 3e5 * (1 + 0.1 * (double)b) * m->back[b * 700 + i];
    }
    struct ep_eds_sum *s;
    struct ep_err e = { 0 };
    assert_int_equal(ep_eds_fit_sum(m, y, 1, 0, true, &s, &e), EP_OK);
    for (size_t t = 0; t < 8; t++) NEAR(s->theta[t], theta[t], 0.02 * s->sigma[t] + 1e-9);
    for (size_t k = 0; k < 3; k++) NEAR(s->c[k] / c[k], 1, 2e-6);
    assert_true(s->chi2 < 1e-3 && !s->at_bound && s->misfit == 0);
    ep_eds_sum_free(s);
    assert_int_equal(ep_eds_fit_sum(m, y, 1, 0, false, &s, &e), EP_OK);   /* held: it can't fit */
    assert_true(s->chi2 > 100 && s->theta[EP_EDS_OFFSET] == 0 && s->sigma[EP_EDS_OFFSET] == 0);
    ep_eds_sum_free(s);
    free(x);
    free(y);
    ep_eds_free(m);
}

/* The variance terms against L diag(v) L' by hand. */
static void test_variance(void **state)
{
    (void)state;
    struct ep_eds *m = small_model();
    const double lines[3] = { 100, 80, 30 };
    double theta[8], back[700], q[7] = { 0.9, 0, 0.2, 0, 3, 0, 0.5 }, t[8];
    for (size_t i = 0; i < 700; i++) back[i] = 2;
    ep_eds_start(m, theta, NULL);
    struct ep_eds_solver *s;
    struct ep_err e = { 0 };
    assert_int_equal(ep_eds_solver_new(m, theta, lines, back, 2, 1.5, 0.25, &s, &e), EP_OK);
    assert_int_equal(s->n, 7);            /* three lines, two terms on each side of 3 keV */
    ep_eds_variance_terms(s, q, t);
    double c[7] = { 50, 20, 10, 1, 0.2, 0.7, -0.1 }, var = 0, ours = s->noise2 * t[7];
    for (size_t i = 0; i < 700; i++) {
        double a = 0, v = 0.25;
        for (size_t k = 0; k < 7; k++) {
            a += q[k] * s->lt[i * 7 + k];
            v += 1.5 * c[k] * s->x[k * 700 + i];
        }
        var += a * a * v;
    }
    for (size_t k = 0; k < 7; k++) ours += s->gain * c[k] * t[k];
    NEAR(ours / var, 1, 1e-12);
    for (size_t k = 0; k < 7; k++)          /* L X = 1: nothing is lost, nothing leaks */
        for (size_t j = 0; j < 7; j++) {
            double lx = 0;
            for (size_t i = 0; i < 700; i++) lx += s->lt[i * 7 + k] * s->x[j * 700 + i];
            NEAR(lx * sqrt(s->normal[k * 7 + k] / s->normal[j * 7 + j]), k == j, 1e-9);
        }
    ep_eds_solver_free(s);
    ep_eds_free(m);
    struct ep_eds_line twice[2] = { small_lines[0], small_lines[0] };
    twice[1].column = 1;
    assert_int_equal(ep_eds_new(700, 1000, 10, 2, twice, 2, 0, NULL, 130, 0.45, &m, &e), EP_OK);
    assert_int_equal(ep_eds_solver_new(m, theta, lines, back, 2, 1, 0, &s, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "coincide"));
    ep_eds_free(m);
}

/* ---- the stage -------------------------------------------------------------------------------------------------- */

static struct sim_detector off_detector(void)
{
    struct sim_detector d = sim_detector(1100, 10);
    d.true_offset = 12;
    d.true_gain = 0.0015;
    d.noise = 73;              /* 138 eV at Mn K alpha instead of 130 */
    return d;
}

/* Expected counts at a high dose, other ratios than the tables', axis and width off: what is systematic. */
static void test_systematic(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    for (int other = 0; other < 2; other++) {
        det.other = other;
        struct image m = eds_scene(2, 8, &det, 2000, false);
        struct eds_rig r;
        eds_run(&r, EDS_BATTERY, &m);
        NEAR(eds_value(&r, "Ti_Ka", 0) / 200000, 1, 0.005);
        NEAR(eds_value(&r, "La_La", 0) / 180000, 1, 0.008);
        NEAR(eds_value(&r, "Ti_Ka", 7) / 200000, 0, 0.001);
        NEAR(eds_value(&r, "La_La", 7) / 180000, 0, 0.0015);
        NEAR(eds_value(&r, "Mn_Ka", 7) / 80000, 1, 0.008);
        NEAR(eds_value(&r, "Cu_Ka", 0) / 30000, 1, 0.02);
        NEAR(eds_cell(&r, "fit", "resolution", 0), 138, 1.5);
        if (!other) NEAR(eds_cell(&r, "fit", "offset", 0), 12, 2);
        if (!other) NEAR(eds_cell(&r, "fit", "gain", 0), 0.0015, 0.0003);
        eds_free(&r);
        image_free(&m);
    }
}

/* A line that nobody named, at 677 eV (F K): what is wrong down there stays there. NCM, without Ti and La, may
 * change by what an absent element may read, 0.1 % of LLTO's. With one background for all energies it lost 0.35 and 0.44 %. */
static void test_low_energies_stay_there(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    double ti[2], la[2], *line = calloc(det.nch, sizeof *line);
    sim_gauss(&det, 676.8, 2000 * 60, line);            /* as many counts as O K */
    for (int k = 0; k < 2; k++) {
        struct image m = eds_scene(1, 16, &det, 2000, false);
        struct eds_rig r;
        for (size_t p = 0; p < 16 && k; p++)
            for (size_t i = 0; i < det.nch; i++) m.val[p * det.nch + i] += (float)line[i];
        eds_run(&r, EDS_BATTERY, &m);
        ti[k] = eds_value(&r, "Ti_Ka", 15) / 200000;
        la[k] = eds_value(&r, "La_La", 15) / 180000;
        eds_free(&r);
        image_free(&m);
    }
    NEAR(ti[1] - ti[0], 0, 1e-3);
    NEAR(la[1] - la[0], 0, 1e-3);
    free(line);
}

/* A tail or a missing element shows in chi-square; a fit that is right does not. */
static void test_chi_square_warns(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    const struct { double tail; const char *params; bool fits; } cases[] = {
        { 0, EDS_BATTERY, true }, { 0.05, EDS_BATTERY, false }, { 0, "elements: [O, Ti, La, Mn, Ni]\nartefacts: [Cu]\n", false },
        { 0, EDS_BATTERY "refine: false\n", false },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        det.tail = cases[k].tail;
        struct image m = eds_scene(4, 64, &det, 4, true);
        struct eds_rig r;
        eds_run(&r, cases[k].params, &m);
        double chi2 = eds_cell(&r, "fit", "reduced_chi_square", 0), worst = eds_cell(&r, "fit", "worst_residual", 0);
        bool fits = false;
        for (size_t c = 0; c < r.seen[3]->ncol; c++)
            if (strcmp(r.seen[3]->col[c].name, "verdict") == 0) fits = strcmp(r.seen[3]->col[c].text[0], "fits") == 0;
        if (fits != cases[k].fits) fail_msg("case %zu: chi-square %g, worst %g sigma", k, chi2, worst);
        eds_free(&r);
        image_free(&m);
    }
}

static void same_pixel(const struct eds_rig *a, const struct eds_rig *b, size_t pa, size_t pb)
{
    for (size_t i = 0; i < a->main.d.nout; i++) {
        size_t n = a->out[i].nch;
        assert_memory_equal(a->out[i].val + pa * n, b->out[i].val + pb * n, n * sizeof(float));
        if (a->out[i].d.has_sigma) assert_memory_equal(a->out[i].sigma + pa, b->out[i].sigma + pb, sizeof(float));
    }
}

/* Any cut of the image gives the same bits. */
static void test_bits(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    struct image m = eds_scene(3, 150, &det, 1, true);
    struct eds_rig a, b;
    eds_run(&a, EDS_BATTERY, &m);
    eds_declare(&b, EDS_BATTERY, &m.d);
    assert_int_equal(eds_look(&b, &m), EP_OK);
    eds_area(&b, &m, (struct ep_area){ 0, 0, 1, 150 }, true);
    eds_area(&b, &m, (struct ep_area){ 1, 0, 2, 50 }, true);
    eds_area(&b, &m, (struct ep_area){ 1, 50, 2, 37 }, true);
    eds_area(&b, &m, (struct ep_area){ 1, 87, 2, 63 }, true);
    for (size_t p = 0; p < 450; p++) same_pixel(&a, &b, p, p);
    eds_free(&a);
    eds_free(&b);
    image_free(&m);
}

/* Pixels that can't be right are flagged or odd themselves; the others hardly notice. */
static void test_bad_pixels(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    struct image m = eds_scene(64, 64, &det, 1, true), bad = image_new(&m.d);
    memcpy(bad.val, m.val, 64 * 64 * det.nch * sizeof(float));
    struct eds_rig a, b;
    eds_run(&a, EDS_BATTERY, &m);
    enum { ZERO = 100, NEGATIVE = 300, NOT_A_NUMBER = 500, INFINITE = 700, SATURATED = 900, SPIKE = 1100, MASKED = 1300 };
    for (size_t i = 0; i < det.nch; i++) {
        bad.val[ZERO * det.nch + i] = 0;
        bad.val[NEGATIVE * det.nch + i] = -100;
        bad.val[SATURATED * det.nch + i] = 65535;
        bad.val[MASKED * det.nch + i] = 1e6f;
    }
    bad.val[NOT_A_NUMBER * det.nch + 400] = NAN;
    bad.val[INFINITE * det.nch + 450] = INFINITY;
    bad.val[SPIKE * det.nch + 451] = 60000;
    bad.flag[SATURATED] = EP_FLAG_SATURATED;
    bad.flag[MASKED] = EP_FLAG_MASKED;
    eds_run(&b, EDS_BATTERY, &bad);
    size_t ti = named(&b.main, "Ti_Ka");
    assert_true(isnan(b.out[ti].val[NOT_A_NUMBER]) && isnan(b.out[ti].val[INFINITE]) && isnan(b.out[ti].val[MASKED]));
    assert_int_equal(b.out[ti].flag[NOT_A_NUMBER], EP_FLAG_NOT_FINITE);
    assert_int_equal(b.out[ti].flag[INFINITE], EP_FLAG_NOT_FINITE);
    assert_int_equal(b.out[ti].flag[MASKED], EP_FLAG_MASKED);
    assert_true(b.out[ti].val[ZERO] == 0 && b.out[ti].sigma[ZERO] > 0);
    assert_true(isfinite(b.out[ti].val[NEGATIVE]) && isfinite(b.out[ti].val[SPIKE]) && isfinite(b.out[ti].val[SATURATED]));
    assert_true(eds_cell(&b, "fit", "pixels_left_out", 0) == 3);
    assert_true(eds_cell(&b, "fit", "channels_mended", 0) == 3);
    for (size_t i = 0; i < b.main.d.nout; i++) {
        if (b.main.d.out[i].spectral || !b.main.d.out[i].has_sigma || strchr(b.main.d.out[i].name, '_') == NULL) continue;
        for (size_t p = 0; p < 64 * 64; p++) {
            if (p % 200 == 100) continue;
            double off = fabs((double)b.out[i].val[p] - (double)a.out[i].val[p]) / (double)a.out[i].sigma[p];
            /* Families that the low energies hide among others move with the ratios that are refined, O K beside Ti L a little. */
            const char *of = b.main.d.out[i].name;
            double limit = strstr("Ti_Ka La_La Mn_Ka Co_Ka Ni_Ka Cu_Ka", of) ? 4e-3 : strcmp(of, "O_Ka") == 0 ? 0.02 : 0.1;
            if (!(off < limit)) fail_msg("%s of pixel %zu: off by %g sigma", b.main.d.out[i].name, p, off);
        }
    }
    eds_free(&a);
    eds_free(&b);
    image_free(&m);
    image_free(&bad);
}

/* keV on the axis, a spectrum instead of an image, counts of more than one per photon. */
static void test_axes_and_kinds(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    struct image m = eds_scene(2, 8, &det, 100, true), k = eds_scene(2, 8, &det, 100, false);
    struct eds_rig a, b;
    memcpy(k.val, m.val, 16 * det.nch * sizeof(float));
    strcpy(k.d.energy.unit, "keV");
    k.d.energy.scale = 0.01;
    eds_run(&a, EDS_BATTERY "range: [350, 9500]\n", &m);
    eds_run(&b, EDS_BATTERY "range: [0.35 keV, 9.5 keV]\n", &k);
    for (size_t p = 0; p < 16; p++) NEAR(eds_value(&a, "Ti_Ka", p), eds_value(&b, "Ti_Ka", p), 1e-3 * eds_sigma(&a, "Ti_Ka", p));
    double ti = eds_value(&a, "Ti_Ka", 0), sigma = eds_sigma(&a, "Ti_Ka", 0);
    eds_free(&b);
    for (size_t i = 0; i < 16 * det.nch; i++) k.val[i] *= 3;
    k.d.gain = 3;
    eds_run(&b, EDS_BATTERY "range: [350, 9500]\n", &k);
    NEAR(eds_value(&b, "Ti_Ka", 0) / 3, ti, 0.02 * sigma);
    NEAR(eds_sigma(&b, "Ti_Ka", 0) / 3, sigma, 0.01 * sigma);
    NEAR(eds_value(&b, "reduced_chi_square", 0), eds_value(&a, "reduced_chi_square", 0), 0.01);
    eds_free(&b);
    image_free(&k);
    /* The residual's sum over channels next to a line is what counts and maps leave. */
    size_t res = named(&a.main, "residual");
    assert_true(isnan(a.out[res].val[10]) && !isnan(a.out[res].val[451]));
    eds_free(&a);
    struct ep_desc one = m.d;
    one.kind = EP_SPECTRUM;
    one.nnav = 0;
    struct image s = image_new(&one);
    for (size_t p = 0; p < 16; p++)
        for (size_t i = 0; i < det.nch; i++) s.val[i] += m.val[p * det.nch + i];
    free(s.sigma);
    s.sigma = calloc(det.nch, sizeof *s.sigma);
    eds_declare(&a, EDS_BATTERY, &s.d);
    assert_int_equal(eds_look(&a, &s), EP_OK);
    for (size_t i = 0; i < a.main.d.nout; i++) {
        a.out[i] = image_new(&a.main.d.out[i]);
        if (!a.main.d.out[i].spectral) continue;
        free(a.out[i].sigma);
        a.out[i].sigma = calloc(det.nch, sizeof *s.sigma);
    }
    eds_area(&a, &s, (struct ep_area){ 0, 0, 1, 1 }, true);
    NEAR(eds_value(&a, "Ti_Ka", 0), 8 * 100 * 100, 4 * eds_sigma(&a, "Ti_Ka", 0));
    NEAR(eds_cell(&a, "fit", "pixels", 0), 1, 0);
    res = named(&a.main, "residual");
    assert_true(a.out[res].sigma[451] > 50);
    eds_free(&a);
    image_free(&s);
    image_free(&m);
}

static void test_options(void **state)
{
    (void)state;
    struct sim_detector det = off_detector();
    struct image m = eds_scene(2, 8, &det, 300, false);
    const char *const params[] = {
        EDS_BATTERY "free_subshells: true\n", EDS_BATTERY "background_terms: 5\n", EDS_BATTERY "escape: false\n",
        EDS_BATTERY "detector_thickness: 0\n", "lines: [O_K, Ti_Ka, Ti_L, La_La, La_M, Mn_K, Mn_L, Co_K, Co_L, Ni_K, Ni_L, Cu_K, Cu_L]\n",
        EDS_BATTERY "extra_lines: [{family: La_M, name: Ma, energy: 833, weight: 10}, {family: La_M, name: Mb, energy: 854, weight: 5.5}]\n",
    };
    for (size_t k = 0; k < COUNT(params); k++) {
        struct eds_rig r;
        eds_run(&r, params[k], &m);
        NEAR(eds_value(&r, "Ti_Ka", 0) / 30000, 1, 0.012);
        NEAR(eds_value(&r, "La_La", 0) / 27000, 1, 0.012);
        NEAR(eds_value(&r, "Ti_K", 0) / eds_value(&r, "Ti_Ka", 0), 1.13, 0.04);
        if (k == 5) NEAR(eds_value(&r, "La_Ma", 0) / eds_value(&r, "La_M", 0), 10 / 15.5, 1e-6);
        if (k == 0) assert_true(r.seen[4]->n > 13);
        eds_free(&r);
    }
    image_free(&m);
}

static const char *alias(struct eds_rig *r, const char *name)
{
    const char *s = r->main.s->output_alias(&r->main.d, name);
    return s ? s : "";
}

static void test_names(void **state)
{
    (void)state;
    struct sim_detector det = sim_detector(2048, 10);
    struct ep_desc d = eds_desc(2, 8, &det);
    struct eds_rig r;
    eds_declare(&r, "elements: [La, Ti, Sr, Li]\nartefacts: [Cu, Pt]\n", &d);
    assert_int_equal(r.main.diag.nerrors, 0);
    assert_true(says(&r.main, "Li has no lines"));
    assert_string_equal(alias(&r, "Ti"), "Ti_Ka");
    assert_string_equal(alias(&r, "La"), "La_La");
    assert_string_equal(alias(&r, "Sr"), "Sr_La");
    assert_string_equal(alias(&r, "Cu"), "Cu_Ka");
    assert_string_equal(alias(&r, "Pt"), "Pt_Ma");
    assert_string_equal(alias(&r, "Li"), "");
    assert_string_equal(alias(&r, "Ti_K"), "");
    assert_true(r.main.d.out[named(&r.main, "La_La")].primary);
    assert_non_null(strstr(r.main.d.out[named(&r.main, "Cu_Ka")].long_name, "artefact"));
    size_t primaries = 0;
    for (size_t i = 0; i < r.main.d.nout; i++) primaries += r.main.d.out[i].primary;
    assert_int_equal(primaries, 1);
    eds_free(&r);
    eds_declare(&r, "{}", &d);                      /* the recipe's elements: O, Ti */
    assert_string_equal(alias(&r, "Ti"), "Ti_Ka");
    assert_string_equal(alias(&r, "O"), "O_Ka");
    eds_free(&r);
    d.meta.beam_energy_kev = 4;                     /* excites Ti L alone */
    eds_declare(&r, "elements: [Ti]\n", &d);
    assert_string_equal(alias(&r, "Ti"), "Ti_La");
    eds_free(&r);
}

static void test_mistakes(void **state)
{
    (void)state;
    const struct { const char *params, *says; } cases[] = {
        { "elements: [ti]\n", "did you mean Ti?" }, { "elements: [Xq]\n", "not the symbol" }, { "elements: [Li]\n", "no line of these" },
        { "lines: [Ti_N]\n", "not a family" }, { "lines: [La_K]\n", "outside" }, { "elements: [Ti]\nrange: [4, 6]\n", "no line" },
        { "elements: [Ti]\nrange: [4400, 90000]\n", "beyond the axis" }, { "elements: [Ti]\nrange: [4400, 4800]\n", "at least" },
        { "elements: [Ti]\nextra_lines: [{family: a b, name: c, energy: 5000}]\n", "short names" },
    };
    struct sim_detector det = sim_detector(2048, 10);
    for (size_t k = 0; k < COUNT(cases); k++) {
        struct ep_desc d = eds_desc(2, 8, &det);
        struct eds_rig r;
        eds_declare(&r, cases[k].params, &d);
        if (!r.main.diag.nerrors || !says(&r.main, cases[k].says)) fail_msg("case %zu: %s", k, r.main.diag.n ? r.main.diag.items[0].msg : "no error");
        eds_free(&r);
    }
    struct ep_desc d = eds_desc(2, 8, &det);
    strcpy(d.meta.signal_type, "EELS");
    struct eds_rig r;
    eds_declare(&r, "elements: [Ti]\n", &d);
    assert_true(says(&r.main, "energy losses"));
    eds_free(&r);
    d = eds_desc(1, 2, &det);
    eds_declare(&r, "elements: [Ti]\n", &d);
    struct image m = image_new(&d);                 /* no counts at all */
    assert_int_equal(eds_look(&r, &m), EP_E_COMPUTE);
    assert_non_null(strstr(r.e.msg, "no counts"));
    image_free(&m);
    eds_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_every_element), cmocka_unit_test(test_silicon),
        cmocka_unit_test(test_columns), cmocka_unit_test(test_derivatives), cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_variance), cmocka_unit_test(test_systematic),
        cmocka_unit_test(test_low_energies_stay_there), cmocka_unit_test(test_chi_square_warns),
        cmocka_unit_test(test_bits), cmocka_unit_test(test_bad_pixels), cmocka_unit_test(test_axes_and_kinds),
        cmocka_unit_test(test_options), cmocka_unit_test(test_names), cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
