/* What noise does to the stages that no other Monte Carlo test has: over many draws of simulated counts, intervals of one and 1.96
 * sigma cover the truth 68 % and 95 % of the time. The truth is what the counts were drawn from.
 *
 * Every sigma that a stage writes, and the test that holds it to this:
 *   align         shift                                         here
 *   background    exponent, net sums and covariances            here, test_montecarlo
 *   crop, rebin   (counts; sigmas by integrate)                 here
 *   integrate     intensity, plain and normalised               test_montecarlo, here
 *   sum_spectrum  spectrum                                      here, in ratios of regions
 *   ratio         ratio of regions, Ti L2,3 in front or not, plural losses   here
 *   edge_ratio    edge_ratio                                    here
 *   smooth        smoothed, of counts and (test_averages) of ratios   here
 *   collect       means over repeats, and their scatter         here
 *   onset         where it is, and that there is none           here
 *   eds_lines     lines, families, their sums over regions      test_montecarlo_eds
 *   interface     position, angle, width                        test_montecarlo_space
 *   profile       values with their covariances                 test_montecarlo_space
 *   register      shift                                         test_montecarlo_space
 *   front         position, displacement, width                 test_montecarlo_front
 */
#include "tests/unit/behind_sim.h"

#define CHECK(cond, ...) do { if (!(cond)) { print_error(__VA_ARGS__); failed++; } } while (0)
static int failed;

struct tally { double n, in68, in95, sum, sigma; };
static void count(struct tally *t, double value, double sigma, double truth)
{
    if (!isfinite(value)) return;
    t->n++;
    t->in68 += fabs(value - truth) <= sigma;
    t->in95 += fabs(value - truth) <= 1.959964 * sigma;
    t->sum += value - truth;
    t->sigma += sigma;
}
/* bias: in mean sigmas; tolerance of the coverages in percent, at least three times what chance takes. */
static void holds(const char *name, const struct tally *t, double bias, double tol)
{
    double c68 = 100 * t->in68 / t->n, c95 = 100 * t->in95 / t->n, b = t->sum / t->sigma;
    double chance = 300 * sqrt(0.68 * 0.32 / t->n);
    print_message("  %s: bias %+.3f sigma, coverage %.1f %% and %.1f %% of %g\n", name, b, c68, c95, t->n);
    CHECK(fabs(b) < bias + 3 / sqrt(t->n), "%s: bias of %g sigma\n", name, b);
    CHECK(fabs(c68 - 68.27) < fmax(tol, chance), "%s: %g %% within one sigma\n", name, c68);
    CHECK(fabs(c95 - 95) < fmax(0.6 * tol, 0.5 * chance), "%s: %g %% within 1.96 sigma\n", name, c95);
}
static void maps_hold(const char *name, const struct image *m, size_t n, double truth, double bias, double tol)
{
    struct tally t = { 0 };
    for (size_t p = 0; p < n; p++) count(&t, at(m, p, 0), (double)m->sigma[p], truth);
    holds(name, &t, bias, tol);
}
static void done(void)
{
    int n = failed;
    failed = 0;
    assert_int_equal(n, 0);
}

static struct image counts_of(const struct ep_desc *d, const double *mu)
{
    struct image m = image_new(d);
    for (size_t p = 0; p < pixels(d); p++)
        for (size_t i = 0; i < m.nch; i++) m.val[p * m.nch + i] = (float)poisson(mu[i]);
    return m;
}

/* ---- oxygen ----------------------------------------------------------------------------------------------------- */

/* 430 to 589.5 eV: a background, Ti L2,3 with a tail and a plasmon loss of its white lines if there is titanium, O K with a pre-peak.
 * Returns the true ratio of the windows. */
#define NCH 320
static double oxygen(double dose, double titanium, double pre, double *mu)
{
    double above = 0, below = 0;
    for (size_t i = 0; i < NCH; i++) {
        double e = 430 + 0.5 * (double)i, b = pow(e / 500, -3), t = 0, o = 0;
        if (e >= 456) t += 0.12 * pow(e / 456, -2.7) * (1 - exp(-(e - 455.5)));
        t += 0.5 * exp(-0.5 * pow((e - 459) / 1.6, 2)) + 0.45 * exp(-0.5 * pow((e - 464.5) / 1.8, 2)) + 0.1 * exp(-0.5 * pow((e - 486) / 6, 2));
        if (e >= 530) o += 0.25 * (1 - exp(-(e - 530) / 4)) * pow(e / 530, -3);
        o += pre * exp(-0.5 * pow((e - 529.5) / 1.1, 2)) + 0.25 * exp(-0.5 * pow((e - 541) / 3, 2));
        mu[i] = dose * (b + titanium * t + o);
        if (e >= 527 && e < 532) above += o;
        if (e >= 536 && e < 546) below += o;
    }
    return above / below;
}

/* A region's raw counts are summed first (here drawn as their sum) and fitted once. The window starts above the plasmon losses of
 * the white lines. Bias: under 2 % of the ratio where a region has 3e5 counts per channel, 5 % where it has 3000. */
static void ratios_of_regions(void **unused)
{
    (void)unused;
    static const struct { const char *name; double dose, titanium, limit; } cases[] = {
        { "medium dose", 3e5, 0, 0.02 }, { "medium dose, Ti L2,3 in front", 3e5, 1, 0.02 },
        { "low dose", 3e3, 0, 0.05 },    { "low dose, Ti L2,3 in front", 3e3, 1, 0.05 },
    };
    struct ep_desc d = desc(1, 3000, NCH, 430, 0.5);
    uniform(11);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double mu[NCH], truth = oxygen(cases[k].dose, cases[k].titanium, 0.3, mu), mean = 0;
        struct image in = counts_of(&d, mu), net[MAXIO], out[MAXIO];
        const struct image *ins[] = { &in }, *nets[] = { &net[0] };
        struct rig b, r;
        run(&b, "background", "{window: [505, 524]}", 1, ins, net);
        run(&r, "ratio", "{numerator: [527, 532], denominator: [536, 546]}", 1, nets, out);
        for (size_t p = 0; p < 3000; p++) mean += at(&out[0], p, 0) / 3000;
        print_message("  %s: ratio %.4f, true %.4f, sigma %.2f %%\n", cases[k].name, mean, truth, 100 * (double)out[0].sigma[0] / truth);
        CHECK(fabs(mean / truth - 1) < cases[k].limit, "%s: ratio %g, true %g\n", cases[k].name, mean, truth);
        maps_hold(cases[k].name, &out[0], 3000, truth, 0.25, 4);
        images_free(&b, net), images_free(&r, out);
        rig_free(&b), rig_free(&r);
        image_free(&in);
    }
    done();
}

/* Regions in which everything is scattered more than once: with the low loss, the ratio is right within 0.3 of its sigma, and sigma covers, at
 * medium and low dose, with titanium in front of O K and without; low losses are drawn too. Without it, where
 * the specimen is thick, it is off by more than half a sigma. */
static void ratios_behind_an_edge(void **unused)
{
    (void)unused;
    enum { CORE = 320, LOW = 410, N = 1000 };
    static const struct { const char *name; struct behind b; } cases[] = {
        { "plural losses, medium dose, Ti", { .dose = 3e5, .electrons = 1e8, .t = 0.4, .titanium = 1, .pre = 0.15 } },
        { "plural losses, low dose, Ti", { .dose = 6e3, .electrons = 2e6, .t = 0.4, .titanium = 1, .pre = 0.15 } },
        { "plural losses, thicker, Ti", { .dose = 3e5, .electrons = 1e8, .t = 0.7, .titanium = 1, .pre = 0.15 } },
        { "plural losses, medium dose, no Ti", { .dose = 3e5, .electrons = 1e8, .t = 0.4, .titanium = 0, .pre = 0.15 } },
        { "plural losses, low dose, some Ti", { .dose = 6e3, .electrons = 2e6, .t = 0.3, .titanium = 0.2, .pre = 0.15 } },
    };
    struct ep_desc d = desc(1, N, CORE, 430.25, 0.5), l = desc(1, N, LOW, -20, 0.25);
    struct tally all = { 0 };
    uniform(14);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double mu[CORE], mu_low[LOW], truth = behind_counts(&cases[k].b, &d, &l, mu, mu_low);
        struct image in = counts_of(&d, mu), low = counts_of(&l, mu_low), net[MAXIO], out[MAXIO];
        const struct image *ins[] = { &in, &low }, *nets[] = { &net[0] };
        for (int with = 1; with >= 0; with--) {
            struct rig b, r;
            struct tally t = { 0 };
            if (with) run(&b, "background", "{before: [434, 452], window: [505, 524]}", 2, ins, net);
            else run(&b, "background", "{window: [505, 524]}", 1, ins, net);
            run(&r, "ratio", "{numerator: [527, 532], denominator: [536, 546]}", 1, nets, out);
            for (size_t p = 0; p < N; p++) count(&t, at(&out[0], p, 0), (double)out[0].sigma[p], truth);
            for (size_t p = 0; p < N && with; p++) count(&all, at(&out[0], p, 0), (double)out[0].sigma[p], truth);
            if (with) holds(cases[k].name, &t, 0.2, 4);
            else print_message("    without the low loss it is off by %+.2f sigma\n", t.sum / t.sigma);
            if (!with && cases[k].b.t > 0.5) CHECK(fabs(t.sum / t.sigma) > 0.5, "%s: nothing to correct\n", cases[k].name);
            images_free(&b, net), images_free(&r, out);
            rig_free(&b), rig_free(&r);
        }
        image_free(&in), image_free(&low);
    }
    double c68 = 100 * all.in68 / all.n;
    print_message("  all: %.1f %% of %g within one sigma\n", c68, all.n);
    CHECK(fabs(c68 - 68.27) < 2.5, "%g %% of all within one sigma\n", c68);
    done();
}

/* The sum over pixels carries its sigma to the ratio as if it had been one spectrum. */
static void sums_of_pixels(void **unused)
{
    (void)unused;
    enum { NY = 4, NX = 10, REPEATS = 250 };
    struct ep_desc d = desc(NY, NX, NCH, 430, 0.5);
    double mu[NCH], variance = 0;
    struct tally t = { 0 };
    oxygen(2, 0, 0.3, mu);
    uniform(12);
    for (int k = 0; k < REPEATS; k++) {
        struct image in = counts_of(&d, mu);
        struct ep_cell c = cell_of(&in);
        const struct ep_desc *ins[] = { &d };
        struct rig r;
        struct ep_signal *out[2] = { NULL };
        struct ep_err e = { 0 };
        rig_declare(&r, stage("sum_spectrum"), "{}", 1, ins);
        rig_prepare(&r);
        for (size_t i = 0; i < 2; i++) assert_int_equal(ep_signal_new(&r.d.out[i], &out[i], &e), EP_OK);
        void *acc = calloc(1, r.d.acc);
        struct ep_apply a = { .plan = r.plan, .in = &c, .nin = 1, .area = c.a };
        assert_int_equal(r.s->add(&a, acc, &e), EP_OK);
        assert_int_equal(r.s->finish(r.plan, acc, out, &e), EP_OK);
        for (size_t i = 0; i < NCH; i += 9) count(&t, out[0]->f64[i], out[0]->sigma64[i], NY * NX * mu[i]);
        variance += out[0]->d.gain / REPEATS;
        for (size_t i = 0; i < 2; i++) ep_signal_free(out[i]);
        free(acc);
        rig_free(&r);
        image_free(&in);
    }
    holds("sum_spectrum", &t, 0.06, 2);          /* sigma from the sum itself: a low sum claims a small one */
    assert_float_equal(variance, d.gain, 1e-9);
    done();
}

/* ---- pixels ----------------------------------------------------------------------------------------------------- */

static void exponents_and_quotients(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 4000, NCH, 430, 0.5);
    double mu[NCH], truth = oxygen(100, 0, 0.3, mu), post = 0, pre = 0;
    struct image in, net[MAXIO], out[MAXIO];
    const struct image *ins[] = { &in }, *nets[] = { &net[0] };
    struct rig b, r;
    (void)truth;
    uniform(13);
    in = counts_of(&d, mu);
    for (size_t i = 0; i < NCH; i++) {
        double e = 430 + 0.5 * (double)i;
        if (e >= 535 && e < 545) post += mu[i];
        if (e >= 515 && e < 525) pre += mu[i];
    }
    run(&b, "background", "{window: [440, 524]}", 1, ins, net);
    maps_hold("exponent", &net[named(&b, "exponent")], 4000, 3, 0.05, 2.5);
    double net_sum[2] = { 0 };
    for (size_t i = 0; i < NCH; i++) {
        double e = 430 + 0.5 * (double)i, o = mu[i] - 100 * pow(e / 500, -3);
        if (e >= 535 && e < 560) net_sum[0] += o;
        if (e >= 560 && e < 580) net_sum[1] += o;
    }
    run(&r, "integrate", "{window: [535, 560], normalize: [560, 580]}", 1, nets, out);
    maps_hold("integrate, normalised", &out[0], 4000, net_sum[0] / net_sum[1], 0.08, 2.5);
    images_free(&r, out);
    rig_free(&r);
    images_free(&b, net);
    rig_free(&b);
    run(&r, "edge_ratio", "{pre: [515, 525], post: [535, 545]}", 1, ins, out);
    maps_hold("edge_ratio", &out[0], 4000, post / pre, 0.05, 2.5);
    images_free(&r, out);
    rig_free(&r);
    image_free(&in);
    done();
}

/* Sums of 2 x 2 pixels and 4 channels, and a part of an image: counts like any other. */
static void rebinned_and_cropped(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(80, 80, 64, 500, 1);
    double mu[64];
    struct rig r, s;
    struct image out[MAXIO], sum[MAXIO];
    for (size_t i = 0; i < 64; i++) mu[i] = 4 * pow((500 + (double)i) / 500, -3);
    uniform(14);
    struct image in = counts_of(&d, mu);
    const struct image *ins[] = { &in };
    static const struct { const char *stage, *par; double pixels; } cases[] = {
        { "rebin", "{space: [2], energy: 4}", 4 }, { "rebin", "{energy: 8}", 1 }, { "crop", "{rows: [0, 60], energy: [508, 564]}", 1 },
    };
    for (size_t k = 0; k < 3; k++) {
        run(&r, cases[k].stage, cases[k].par, 1, ins, out);
        const struct image *outs[] = { &out[0] };
        run(&s, "integrate", "{window: [515.6, 547.4]}", 1, outs, sum);
        double truth = 0;
        for (size_t i = 16; i < 48; i++) truth += cases[k].pixels * mu[i];
        maps_hold(cases[k].par, &sum[0], pixels(&sum[0].d), truth, 0.06, 2.5);
        images_free(&r, out), images_free(&s, sum);
        rig_free(&r), rig_free(&s);
    }
    image_free(&in);
    done();
}

static void smoothed(void **unused)
{
    (void)unused;
    struct tally t = { 0 };
    struct ep_desc d = map_desc(60, 60);
    d.has_sigma = true;
    uniform(15);
    for (int k = 0; k < 60; k++) {
        struct image in = image_new(&d), out[MAXIO];
        const struct image *ins[] = { &in };
        struct rig r;
        for (size_t p = 0; p < 3600; p++) in.val[p] = (float)poisson(40), in.sigma[p] = (float)sqrt(40);
        run(&r, "smooth", "{fwhm: 3}", 1, ins, out);
        for (size_t y = 6; y < 60; y += 8)
            for (size_t x = 6; x < 60; x += 8) count(&t, at(&out[0], y * 60 + x, 0), (double)out[0].sigma[y * 60 + x], 40);
        images_free(&r, out);
        rig_free(&r);
        image_free(&in);
    }
    holds("smooth", &t, 0.05, 2.5);
    done();
}

/* A zero-loss peak that stands between channels, in each pixel elsewhere. */
static void aligned(void **unused)
{
    (void)unused;
    enum { N = 2000, CH = 200 };
    static const double electrons[] = { 3e4, 300 };
    for (int k = 0; k < 2; k++) {
        struct ep_desc d = desc(1, N, CH, -10, 0.1);
        struct image in = image_new(&d), out[MAXIO];
        const struct image *ins[] = { &in };
        struct rig r;
        struct tally t = { 0 };
        double *place = malloc(N * sizeof *place);
        uniform(16);
        for (size_t p = 0; p < N; p++) {
            place[p] = 1.3 + 0.8 * (uniform(0) - 0.5);
            for (size_t i = 0; i < CH; i++) {
                double e = -10 + 0.1 * (double)i, a = (e - 0.05 - place[p]) / 0.38, b = (e + 0.05 - place[p]) / 0.38;
                in.val[p * CH + i] = (float)poisson(electrons[k] * 0.5 * (erf(b / sqrt(2)) - erf(a / sqrt(2))));
            }
        }
        run(&r, "align", "{window: [-2, 5]}", 1, ins, out);
        size_t o = named(&r, "shift");
        for (size_t p = 0; p < N; p++) count(&t, at(&out[o], p, 0) + place[p], (double)out[o].sigma[p], 0);
        holds(k ? "align, 300 electrons" : "align, 30000 electrons", &t, 0.05, 3);
        images_free(&r, out);
        rig_free(&r);
        image_free(&in);
        free(place);
    }
    done();
}

/* ---- series ----------------------------------------------------------------------------------------------------- */

static const struct ep_column *column(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return &t->col[i];
    fail_msg("no column %s", name);
    return NULL;
}

/* Five scans at each of many temperatures: the mean by its counting sigma; by the scatter of the five, whose interval at one sigma
 * is that of Student's t with four degrees of freedom: 62.6 %. */
static void repeats_are_averaged(void **unused)
{
    (void)unused;
    enum { T = 400, K = 5 };
    static struct ep_item it[T * K];
    static struct ep_coord co[T * K][2];
    static char name[T][16], scan[K][4];
    struct ep_signal **s = calloc(T * K, sizeof *s), *t = NULL;
    struct ep_err e = { 0 };
    struct ep_arena arena = { 0 };
    struct ep_diag diag = { 0 };
    int missing = 0;
    uniform(17);
    for (size_t i = 0; i < T * K; i++) {
        struct ep_desc d = map_desc(1, 1);
        d.nnav = 0;
        d.has_sigma = true;
        strcpy(d.name, "sum");
        assert_int_equal(ep_signal_new(&d, &s[i], &e), EP_OK);
        s[i]->f32[0] = (float)poisson(400);
        s[i]->sigma32[0] = 20;
        snprintf(name[i / K], sizeof name[0], "%zu", i / K);
        snprintf(scan[i % K], sizeof scan[0], "%zu", i % K);
        co[i][0] = (struct ep_coord){ "temperature", name[i / K], "degC", (double)(i / K), true };
        co[i][1] = (struct ep_coord){ "scan", scan[i % K], "", 0, false };
        it[i] = (struct ep_item){ .d = &s[i]->d, .whole = s[i], .label = "sum", .ncoord = 2, .coord = co[i] };
    }
    struct ep_items in = { T * K, it };
    struct ep_declare d = { .stage = stage("collect"), .par = &missing, .in = &in, .arena = &arena, .diag = &diag, .repeat = "scan" };
    d.stage->declare(&d);
    struct ep_prepare p = { .par = &missing, .in = &in, .out = d.out, .nout = 1, .repeat = "scan" };
    assert_int_equal(d.stage->whole(NULL, &p, &t, &e), EP_OK);
    struct tally mean = { 0 };
    double scattered = 0, squares = 0;
    for (size_t r = 0; r < T; r++) {
        double v = column(t, "sum")->num[r], by = column(t, "sum_scatter")->num[r];
        count(&mean, v, column(t, "sum")->sigma[r], 400);
        scattered += fabs(v - 400) <= by;
        squares += by * by / T;
    }
    holds("collect, repeats", &mean, 0.1, 4);
    print_message("  collect, scatter: coverage %.1f %%, rms %.3f of the counting sigma\n", 100 * scattered / T, sqrt(squares / 80));
    CHECK(fabs(100 * scattered / T - 62.6) < 7.3, "scatter covers %g %%\n", 100 * scattered / T);
    CHECK(fabs(sqrt(squares / 80) - 1) < 0.06, "scatter is %g of the counting sigma\n", sqrt(squares / 80));
    ep_signal_free(t);
    for (size_t i = 0; i < T * K; i++) ep_signal_free(s[i]);
    free(s);
    ep_diag_free(&diag);
    ep_arena_free(&arena);
    done();
}

/* The series of the default recipe: displacements against the first run, whose error all of them share. first: the first row that has
 * moved (8: none). True when the onset is found at most one step from there, or none where there is none. */
static bool finds(size_t first, double by, bool slowly)
{
    static const double degrees[8] = { 25, 100, 200, 300, 400, 450, 550, 700 };
    double value[8], sigma[8], reference = 0.02 * sqrt(-2 * log(uniform(0))) * cos(6.283185307179586 * uniform(0));
    struct ep_signal *t = NULL, *out[1] = { NULL };
    struct ep_err e = { 0 };
    for (size_t i = 0; i < 8; i++) {
        double own = 0.015 + 0.02 * uniform(0), moved = i < first ? 0 : slowly ? by * (double)(i - first + 1) : by;
        value[i] = i == 0 ? 0 : moved - reference + own * sqrt(-2 * log(uniform(0))) * cos(6.283185307179586 * uniform(0));
        sigma[i] = i == 0 ? 0 : hypot(own, 0.02);
    }
    assert_int_equal(ep_table_new("table", 8, &t, &e), EP_OK);
    ep_table_add(t, "temperature", "degC", degrees, NULL, NULL, &e);
    ep_table_add(t, "front", "nm", value, sigma, NULL, &e);
    struct rig r;
    const struct ep_desc *in[] = { &t->d };
    rig_declare(&r, stage("onset"), "{column: front}", 1, in);
    r.item[0].whole = t;
    struct ep_prepare p = { .par = r.par, .in = r.items, .out = r.d.out, .nout = r.d.nout };
    assert_int_equal(r.s->whole(NULL, &p, out, &e), EP_OK);
    bool found = strcmp(column(out[0], "onset")->text[0], "found") == 0, right = !found && first == 8;
    double upper = column(out[0], "upper")->num[0];
    for (size_t i = first > 1 ? first - 1 : 0; found && first < 8 && i <= first + 1 && i < 8; i++) right |= upper == degrees[i];
    ep_signal_free(out[0]);
    ep_signal_free(t);
    rig_free(&r);
    return right;
}

static void onsets(void **unused)
{
    (void)unused;
    static const struct { const char *name; size_t first; double by; bool slowly; double least; } cases[] = {
        { "flat", 8, 0, false, 0.95 },           { "a step of 1.5 nm at 700 degC", 7, 1.5, false, 0.97 },
        { "2.4 nm at 400 degC", 4, 2.4, false, 0.97 }, { "0.3 nm a step from 300 degC on", 3, 0.3, true, 0.97 },
        { "0.15 nm a step from 400 degC on", 4, 0.15, true, 0.95 },
    };
    uniform(18);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double right = 0;
        for (int seed = 0; seed < 1000; seed++) right += finds(cases[k].first, cases[k].by, cases[k].slowly) / 1000.0;
        print_message("  onset, %s: right in %.1f %% of 1000 series\n", cases[k].name, 100 * right);
        CHECK(right >= cases[k].least, "onset, %s: right in %g %%\n", cases[k].name, 100 * right);
    }
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ratios_of_regions), cmocka_unit_test(ratios_behind_an_edge), cmocka_unit_test(sums_of_pixels),
        cmocka_unit_test(exponents_and_quotients),
        cmocka_unit_test(rebinned_and_cropped), cmocka_unit_test(smoothed), cmocka_unit_test(aligned),
        cmocka_unit_test(repeats_are_averaged), cmocka_unit_test(onsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
