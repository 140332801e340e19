/* What noise does to mlls: whether the sigmas are those of repeats, of a spectrum at doses from some hundred counts to a billion electrons, and
 * of pixels; scatter of pixels against the Cramer-Rao bound for known shapes. Spectra come from mlls_sim.h, whose edges are not the
 * stage's. The common error of the model (its bias) is not noise: deviations are from the mean of the repeats.
 */
#include "mlls_rig.h"
#include "pipeline/numerics/linalg.h"

#define FIT "range: [45, 82], systematics: false, separable: 100, columns: [{name: Li, edge: Li_K}, {name: TM, edges: [Mn_M, Co_M, Ni_M]}]"

/* 80 repeats: the ratio of scatter to sigma is known to 8 %, the share within one sigma to 0.05. Limits are three times that. */
static void test_spectrum(void **unused)
{
    (void)unused;
    enum { REPEATS = 80 };
    static const double electrons[] = { 3e4, 1e6, 3e8 };
    struct ep_desc d = mlls_desc(1, 0, false), l = mlls_desc(1, 0, true);
    uniform(11);
    for (size_t dose = 0; dose < sizeof electrons / sizeof *electrons; dose++) {
        struct sim_spectra s;
        double x[REPEATS], sigma[REPEATS], mean = 0, scatter = 0, square = 0, in = 0;
        sim_make(&(struct sim_case){ SIM_NCM, 0.45, 1, electrons[dose], false }, &s);
        for (int k = 0; k < REPEATS; k++) {
            struct image core = mlls_image(&d, s.core, true), low = mlls_image(&l, s.low, true);
            struct mlls_rig r;
            mlls_run(&r, "{" FIT "}", &core, &low, 0, NULL);
            x[k] = mlls_value(&r, "Li", 0) / s.li;
            sigma[k] = mlls_sigma(&r, "Li", 0) / s.li;
            mean += x[k] / REPEATS;
            mlls_free(&r);
            image_free(&core);
            image_free(&low);
        }
        for (int k = 0; k < REPEATS; k++) {
            scatter += (x[k] - mean) * (x[k] - mean) / (REPEATS - 1);
            square += sigma[k] * sigma[k] / REPEATS;
            in += (fabs(x[k] - mean) < sigma[k]) / (double)REPEATS;
        }
        print_message("%g electrons: mean %.4f, scatter %.4f, sigma %.4f, within one sigma %.2f\n", electrons[dose], mean, sqrt(scatter), sqrt(square), in);
        assert_true(sqrt(scatter / square) > 0.76 && sqrt(scatter / square) < 1.24);
        assert_true(in > 0.53 && in < 0.83);
        assert_true(fabs(mean - 1) < 0.15);
    }
}

/* Known shapes: the inverse of the Fisher information of the three parts' amplitudes. */
static double bound(const struct sim_spectra *s)
{
    double f[9] = { 0 };
    struct ep_err e = { 0 };
    for (size_t i = 100; i < 450; i++)
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++) f[3 * k + j] += s->part[k][i] * s->part[j][i] / s->core[i];
    assert_int_equal(ep_invert_spd(3, f, &e), EP_OK);
    return sqrt(f[8]) * s->li;
}

/* 1024 pixels: rms z to 2 %, the share within one sigma to 0.015. */
static void test_pixels(void **unused)
{
    (void)unused;
    enum { NY = 16, NX = 64, N = NY * NX };
    static const double electrons[] = { 100, 1e4, 3e5 };
    struct ep_desc d = mlls_desc(NY, NX, false), l = mlls_desc(NY, NX, true);
    uniform(12);
    for (size_t dose = 0; dose < sizeof electrons / sizeof *electrons; dose++) {
        struct sim_spectra s;
        struct mlls_rig r;
        double mean = 0, zz = 0, in = 0, scatter = 0;
        sim_make(&(struct sim_case){ SIM_NCM, 0.45, 1, electrons[dose], false }, &s);
        struct image core = mlls_image(&d, s.core, true), low = mlls_image(&l, s.low, true);
        mlls_run(&r, "{" FIT "}", &core, &low, 0, NULL);
        for (size_t p = 0; p < N; p++) mean += mlls_value(&r, "Li", p) / N;
        for (size_t p = 0; p < N; p++) {
            double v = mlls_value(&r, "Li", p) - mean, z = v / mlls_sigma(&r, "Li", p);
            zz += z * z / N;
            in += (fabs(z) < 1) / (double)N;
            scatter += v * v / N;
        }
        print_message("pixels of %g electrons: mean %.3f, rms z %.3f, within one sigma %.3f, scatter %.2f of the bound\n", electrons[dose], mean / s.li,
                      sqrt(zz), in, sqrt(scatter) / bound(&s));
        assert_true(sqrt(zz) > 0.93 && sqrt(zz) < 1.07);
        assert_true(in > 0.63 && in < 0.74);
        assert_true(sqrt(scatter) < 2 * bound(&s));
        mlls_free(&r);
        image_free(&core);
        image_free(&low);
    }
}

/* Half of the pixels have a twentieth of the others' dose, where the mean's weights are the wrong ones. Weights of each pixel's own model: no
 * more scatter than with the mean's, at any dose, and sigmas that are right for both halves; the share within one sigma is known to 0.02. */
static void test_weights(void **unused)
{
    (void)unused;
    enum { NY = 16, NX = 64, N = NY * NX };
    static const double electrons[] = { 300, 3e3, 3e5 };
    struct ep_desc d = mlls_desc(NY, NX, false), l = mlls_desc(NY, NX, true);
    uniform(13);
    for (size_t dose = 0; dose < sizeof electrons / sizeof *electrons; dose++) {
        struct sim_spectra s;
        double scatter[2][2] = { 0 };
        sim_make(&(struct sim_case){ SIM_NCM, 0.45, 1, electrons[dose], false }, &s);
        struct image core = image_new(&d), low = mlls_image(&l, s.low, true);
        for (size_t p = 0; p < N; p++)
            for (size_t i = 0; i < SIM_CORE_N; i++) core.val[p * SIM_CORE_N + i] = (float)poisson(s.core[i] * (p % 2 ? 0.05 : 1));
        for (int weights = 0; weights < 2; weights++) {
            struct mlls_rig r;
            mlls_run(&r, weights ? "{weights: model, " FIT "}" : "{weights: mean, " FIT "}", &core, &low, 0, NULL);
            for (size_t half = 0; half < 2; half++) {
                double mean = 0, zz = 0, in = 0;
                for (size_t p = half; p < N; p += 2) mean += mlls_value(&r, "Li", p) / (N / 2);
                for (size_t p = half; p < N; p += 2) {
                    double v = mlls_value(&r, "Li", p) - mean, z = v / mlls_sigma(&r, "Li", p);
                    zz += z * z / (N / 2);
                    in += (fabs(z) < 1) / (double)(N / 2);
                    scatter[weights][half] += v * v / (N / 2);
                }
                print_message("%g electrons%s, weights of the %s: mean %.3f, scatter %.3f, rms z %.3f, within one sigma %.3f\n", electrons[dose],
                              half ? " / 20" : "", weights ? "pixel" : "mean", mean / s.li * (half ? 20 : 1),
                              sqrt(scatter[weights][half]) / s.li, sqrt(zz), in);
                assert_true(sqrt(zz) > 0.9 && sqrt(zz) < 1.1);
                assert_true(in > 0.61 && in < 0.76);
            }
            mlls_free(&r);
        }
        for (int half = 0; half < 2; half++) assert_true(scatter[1][half] < 1.06 * scatter[0][half]);      /* the same counts: 3 % in scatter */
        image_free(&core);
        image_free(&low);
    }
}

int main(void)
{
    ep_linalg_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_spectrum), cmocka_unit_test(test_pixels), cmocka_unit_test(test_weights) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
