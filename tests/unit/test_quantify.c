/* quantify: percentages and densities against sums by hand, their sigmas against scatter, profiles, mistakes. */
#define MAXOUT 24
#include "tests/unit/space_rig.h"

static struct ep_signal *counts(size_t n, double mean, bool noisy)
{
    struct ep_desc d = plane(1, n, 0.5);
    d.has_sigma = true;
    d.meta.beam_energy_kev = 200;
    d.meta.collection_mrad = 10;
    struct ep_signal *s = new_map(&d);
    for (size_t i = 0; i < n; i++) {
        s->f32[i] = (float)(noisy ? poisson(mean) : mean);
        s->sigma32[i] = (float)sqrt(mean);
    }
    return s;
}

static const struct ep_signal *out_of(const struct space *q, const char *name)
{
    return q->out[named(&q->r, name)];
}
static double v_of(const struct space *q, const char *name, size_t i)
{
    return ep_signal_get(out_of(q, name), i);
}

/* SrTiO3 by hand: atoms 1, 1, 3; counts = atoms M / k. */
static void test_percent(void **unused)
{
    (void)unused;
    const double m[3] = { 87.62, 47.867, 15.999 }, k[3] = { 2, 1, 1.8 }, atoms[3] = { 1, 1, 3 };
    struct ep_signal *s[3];
    for (int i = 0; i < 3; i++) s[i] = counts(4, 10 * atoms[i] * m[i] / k[i], false);
    s[0]->flags[1] = EP_FLAG_MASKED;
    s[1]->f32[2] = NAN;
    for (int i = 0; i < 3; i++) s[i]->f32[3] *= -1;
    const struct ep_signal *const in[][4] = { { s[0], s[1], s[2], NULL } };
    struct space q;
    space_run(&q, "quantify", "{k_factors: [{line: Sr_L, of: a, k: 2, sigma: 0.2}, {line: Ti_K, of: b, k: 1}, {line: O_K, of: c, k: 1.8, sigma: 0.36}], "
              "reference: Ti}", in, 1);
    assert_int_equal(q.st, EP_OK);
    assert_true(says(&q.r, "absorption in the specimen is not corrected"));
    assert_float_equal(v_of(&q, "Sr", 0), 20, 0.01);          /* atomic weights of other tables differ in the fourth digit */
    assert_float_equal(v_of(&q, "O", 0), 60, 0.02);
    assert_float_equal(v_of(&q, "Ti_weight", 0), 100 * m[1] / (m[0] + m[1] + 3 * m[2]), 0.02);
    assert_float_equal(v_of(&q, "O_per_Ti", 0), 3, 0.003);
    /* d x/x = (1 - x) dk/k for its own factor, -x_j dk_j/k_j for others. */
    assert_float_equal(v_of(&q, "O_systematic", 0), 60 * hypot(0.4 * 0.2, 0.2 * 0.1), 0.01);
    assert_float_equal(v_of(&q, "Ti_systematic", 0), 20 * hypot(0.6 * 0.2, 0.2 * 0.1), 0.01);
    assert_float_equal(v_of(&q, "Sr_per_Ti_systematic", 0), 0.1, 0.001);
    assert_true(out_of(&q, "Sr")->d.primary && !out_of(&q, "Sr_systematic")->d.has_sigma);
    assert_string_equal(out_of(&q, "Sr")->d.unit, "at.%");
    assert_true(isnan(v_of(&q, "Ti", 1)) && isnan(v_of(&q, "O", 2)) && isnan(v_of(&q, "Sr", 3)));
    assert_int_equal(out_of(&q, "Sr")->flags[1], EP_FLAG_MASKED);
    assert_int_equal(out_of(&q, "Sr")->flags[2], EP_FLAG_NOT_FINITE);
    assert_int_equal(out_of(&q, "Sr")->flags[3], EP_FLAG_LOW_DENOMINATOR);
    space_free(&q);
    /* k-factors of atoms, and without sigmas: no systematic maps. */
    space_run(&q, "quantify", "{k_factors: [{line: Sr_L, of: a, k: 1}, {line: Ti_K, of: b, k: 1}, {line: O_K, of: c, k: 1}], basis: atomic}", in, 1);
    double sum = 10 * (m[0] / 2 + m[1] + 3 * m[2] / 1.8);
    assert_float_equal(v_of(&q, "Ti", 0), 1000 * m[1] / sum, 1e-3);
    assert_int_equal(q.r.d.nout, 6);
    space_free(&q);
    for (int i = 0; i < 3; i++) ep_signal_free(s[i]);
}

/* Scatter of Poisson counts is what sigma says: 4000 values, 4.5 sigma of a variance is 10 %. */
static void scatter_is_sigma(const struct space *q, const char *name, size_t n)
{
    double mean = 0, var = 0, said = 0;
    for (size_t i = 0; i < n; i++) mean += v_of(q, name, i) / (double)n;
    for (size_t i = 0; i < n; i++) {
        var += pow(v_of(q, name, i) - mean, 2) / (double)(n - 1);
        said += pow(ep_signal_sigma(out_of(q, name), i), 2) / (double)n;
    }
    if (fabs(var / said - 1) > 0.1) fail_msg("%s: scatter %g, sigma %g", name, sqrt(var), sqrt(said));
}

static void test_sigmas(void **unused)
{
    (void)unused;
    const size_t n = 4000;
    uniform(5);
    struct ep_signal *s[3] = { counts(n, 900, true), counts(n, 400, true), counts(n, 2500, true) };
    const struct ep_signal *const lines[][4] = { { s[0], s[1], s[2], NULL } };
    const struct ep_signal *const edges[][4] = { { s[0], s[1], NULL }, { s[2], NULL } };
    struct space q;
    space_run(&q, "quantify", "{k_factors: [{line: Sr_L, of: a, k: 2}, {line: Ti_K, of: b, k: 1}, {line: O_K, of: c, k: 1.8}], reference: O}", lines, 1);
    static const char *const names[] = { "Sr", "Ti", "O", "Ti_weight", "Sr_per_O" };
    for (int i = 0; i < 5; i++) scatter_is_sigma(&q, names[i], n);
    space_free(&q);
    space_run(&q, "quantify", "{edges: [{edge: O_K, of: a, window: [528, 578]}, {edge: Ti_L, of: b, window: [455, 495]}], reference: O, dose_ratio: 1}", edges, 2);
    scatter_is_sigma(&q, "O", n);
    scatter_is_sigma(&q, "Ti_per_O", n);
    space_free(&q);
    for (int i = 0; i < 3; i++) ep_signal_free(s[i]);
}

/* 100 atoms per nm2 of oxygen, by the hydrogenic section of SIGMAK3: 801.8 barn at 200 kV, 10 mrad, 50 eV; dipole sections are 9 % smaller. */
static void test_edges(void **unused)
{
    (void)unused;
    struct ep_signal *o = counts(3, 1e7 * 801.8e-10 * 100, false), *low = counts(3, 1e6, false), *t = counts(3, 50, false);
    strcpy(t->d.unit, "nm");
    low->f32[1] = 0;
    low->sigma32[1] = 10;
    const struct ep_signal *const in[][4] = { { o, NULL }, { low, NULL }, { NULL } };
    const struct ep_signal *const by[][4] = { { o, NULL }, { low, NULL }, { t, NULL } };
    struct space q;
    space_run(&q, "quantify", "{edges: [{edge: O_K, of: a, window: [530, 582]}], dose_ratio: 10}", in, 3);
    double n = v_of(&q, "O", 0);
    assert_float_equal(n, 109, 4);
    assert_float_equal(v_of(&q, "O_systematic", 0), hypot(0.1, 10 / 50.) * n, 1e-4 * n);       /* 582 less the onset at 532 eV */
    assert_int_equal(q.r.diag.n, 0);
    assert_string_equal(out_of(&q, "O")->d.unit, "nm^-2");
    assert_true(isnan(v_of(&q, "O", 1)) && out_of(&q, "O")->flags[1] == EP_FLAG_LOW_DENOMINATOR);
    assert_int_equal(q.r.d.nout, 2);
    space_free(&q);
    o->d.meta.dwell_time_s = 0.2;             /* what the files say */
    low->d.meta.dwell_time_s = 0.02;
    space_run(&q, "quantify", "{edges: [{edge: O_K, of: a, window: [530, 582], uncertainty: 0.05}]}", by, 3);
    assert_float_equal(v_of(&q, "O", 0), n / 50, 1e-5 * n);
    assert_float_equal(v_of(&q, "O_systematic", 0), 0.05 * n / 50, 1e-5 * n);
    assert_string_equal(out_of(&q, "O")->d.unit, "nm^-3");
    space_free(&q);
    /* An edge that stands 3 eV higher in the specimen is counted in a window as much shorter. */
    space_run(&q, "quantify", "{edges: [{edge: O_K, of: a, window: [530, 582], onset: 535}]}", in, 3);
    double later = v_of(&q, "O", 0);
    space_free(&q);
    assert_true(later > 1.04 * n && later < 1.12 * n);
    /* Little of the edge is mostly its peaks: that is said, unless the user says how sure it is. */
    for (int known = 0; known < 2; known++) {
        space_run(&q, "quantify", known ? "{edges: [{edge: O_K, of: a, window: [530, 557], uncertainty: 0.1}], dose_ratio: 10}"
                                        : "{edges: [{edge: O_K, of: a, window: [530, 557]}], dose_ratio: 10}", in, 3);
        assert_true(says(&q.r, "the window holds 25 eV of O_K") == !known);
        assert_float_equal(v_of(&q, "O_systematic", 0) / v_of(&q, "O", 0), known ? 0.1 : hypot(0.1, 0.4), 1e-4);
        space_free(&q);
    }
    ep_signal_free(o), ep_signal_free(low), ep_signal_free(t);
}

/* Profiles: neighbouring bins share pixels. Two bins of each input are a common part and one of their own; 20000 pairs. */
static void test_profiles(void **unused)
{
    (void)unused;
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_PROFILE;
    d.dtype = EP_F64;
    d.nnav = 1;
    d.nav[0] = (struct ep_axis){ "distance", "nm", -1, 0.5, 2 };
    d.has_sigma = true;
    struct ep_signal *s[2] = { new_map(&d), new_map(&d) };
    const double mean[2] = { 500, 900 }, common[2] = { 150, 300 };
    for (int k = 0; k < 2; k++) {
        s[k]->nband = 1;
        s[k]->band = calloc(2, sizeof(double));
        s[k]->band[0] = common[k];
        for (int i = 0; i < 2; i++) s[k]->f64[i] = mean[k], s[k]->sigma64[i] = sqrt(mean[k]);
    }
    const struct ep_signal *const in[][4] = { { s[0], s[1], NULL } };
    static const char *const recipe = "{k_factors: [{line: Ti_K, of: a, k: 1}, {line: La_L, of: b, k: 1}], basis: atomic}";
    struct space q;
    space_run(&q, "quantify", recipe, in, 1);
    const struct ep_signal *ti = out_of(&q, "Ti");
    assert_int_equal(ti->d.kind, EP_PROFILE);
    assert_int_equal(ti->nband, 1);
    double cov = 0, var = 0, want = 100 * 500 / 1400.;
    uniform(9);
    for (int n = 0; n < 20000; n++) {
        double x[2], c[2] = { poisson(common[0]), poisson(common[1]) };
        for (int i = 0; i < 2; i++) {
            double a = c[0] + poisson(mean[0] - common[0]), b = c[1] + poisson(mean[1] - common[1]);
            x[i] = 100 * a / (a + b) - want;
        }
        cov += x[0] * x[1] / 20000;
        var += (x[0] * x[0] + x[1] * x[1]) / 40000;
    }
    assert_float_equal(ti->f64[0], want, 1e-9);
    assert_float_equal(ti->band[0] / cov, 1, 0.1);
    assert_float_equal(ti->sigma64[1] * ti->sigma64[1] / var, 1, 0.05);
    space_free(&q);
    ep_signal_free(s[0]), ep_signal_free(s[1]);
}

static void refuses(const char *params, const struct ep_signal *const in[][4], const char *why)
{
    struct space q;
    space_declare(&q, "quantify", params, in, 3);
    if (!says(&q.r, why)) fail_msg("%s: not \"%s\" but \"%s\"", params, why, q.r.diag.n ? q.r.diag.items[0].msg : "nothing");
    space_free(&q);
}

static void test_mistakes(void **unused)
{
    (void)unused;
    struct ep_signal *a = counts(4, 100, false), *b = counts(4, 100, false), *other = counts(5, 100, false), *blind = counts(4, 100, false);
    blind->d.meta.beam_energy_kev = NAN;
    const struct ep_signal *const one[][4] = { { a, NULL }, { NULL }, { NULL } }, *const two[][4] = { { a, b, NULL }, { NULL }, { NULL } };
    const struct ep_signal *const apart[][4] = { { a, other, NULL }, { NULL }, { NULL } }, *const low[][4] = { { a, NULL }, { b, NULL }, { NULL } };
    const struct ep_signal *const dark[][4] = { { blind, NULL }, { b, NULL }, { NULL } };
    refuses("{}", one, "give k_factors");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}], edges: [{edge: O_K, of: a, window: [530, 580]}]}", one, "give k_factors");
    refuses("{k_factors: [{line: Ti_K, k: 1}]}", one, "there is no input 'Ti_K' for Ti_K");
    refuses("{k_factors: [{line: Tt_K, of: a, k: 1}]}", one, "'Tt_K' does not begin with an element");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}]}", two, "nothing is said about the input 'b'");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}, {line: Ti_L, of: b, k: 1}]}", two, "Ti is given twice");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}, {line: O_K, of: a, k: 1}]}", two, "the input 'a' is used twice");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}, {line: O_K, of: b, k: 1}]}", apart, "pixels");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}], reference: Sr}", one, "'Sr' is none of the elements");
    refuses("{k_factors: [{line: Ti_K, of: a, k: 1}]}", low, "low_loss and thickness belong to edges");
    refuses("{edges: [{edge: O_K, of: a, window: [530, 580]}]}", one, "areal densities need low_loss");
    refuses("{edges: [{edge: O_K, of: a, window: [530, 580]}]}", low, "give dose_ratio");
    refuses("{edges: [{edge: O_Q, of: a, window: [530, 580]}], dose_ratio: 1}", low, "'O_Q' is no edge");
    refuses("{edges: [{edge: O_K, of: a, window: [480, 520]}], dose_ratio: 1}", low, "ends before the onset of O_K");
    refuses("{edges: [{edge: O_K, of: a, window: [530, 580]}], dose_ratio: 1}", dark, "beam energy or the collection angle");
    refuses("{edges: [{edge: Ti_M23, of: a, window: [40, 60]}], dose_ratio: 1}", low, "a resonance, which the tables lack");
    ep_signal_free(a), ep_signal_free(b), ep_signal_free(other), ep_signal_free(blind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent), cmocka_unit_test(test_sigmas), cmocka_unit_test(test_edges), cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
