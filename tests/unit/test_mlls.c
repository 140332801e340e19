/* mlls on spectra whose edges and plural scattering are made in another way (mlls_sim.h): plural scattering, amounts, systematics,
 * pixels, bad pixels, messages. What noise does is in test_montecarlo_mlls.c. */
#include "mlls_rig.h"
#include "pipeline/numerics/linalg.h"

static const char NCM[] = "{range: [45, 82], columns: [{name: Li, edge: Li_K}, {name: TM, edges: [Mn_M, Co_M, Ni_M]}]}";
static const char NCM_PER[] = "{range: [45, 82], per: TM, columns: [{name: Li, edge: Li_K}, {name: TM, edges: [Mn_M, Co_M, Ni_M]}]}";
static const char LLTO[] = "{range: [45, 82], columns: [{name: Li, edge: Li_K}, {name: TiM, spectrum: oxide, low_loss: oxide_low}]}";

static struct sim_spectra spec(enum sim_what what, double t, double lithium)
{
    struct sim_spectra s;
    sim_make(&(struct sim_case){ what, t, lithium, 1e8, false }, &s);
    return s;
}

/* ---- plural scattering --------------------------------------------------------------------------------------------- */

/* With all of the zero loss in one channel, the logarithm is exact: to rounding. */
static void test_logarithm(void **unused)
{
    (void)unused;
    struct sim_spectra *s = malloc(sizeof *s);
    sim_make(&(struct sim_case){ SIM_NCM, 0.9, 0, 1e6, false }, s);
    double low[1200] = { 0 }, core[900], v[1200] = { 0 }, p[1200] = { 0 }, term[1200] = { 0 }, next[1200];
    for (int i = 50; i < 1200; i++) v[i] = s->single[i];
    term[0] = p[0] = 1;
    for (int n = 1; n < 14; n++) {
        for (int i = 0; i < 1200; i++) {
            next[i] = 0;
            for (int k = 0; k <= i; k++) next[i] += term[k] * v[i - k] / n;
        }
        for (int i = 0; i < 1200; i++) p[i] += term[i] = next[i];
    }
    for (int i = 0; i < 1200; i++) low[i] = 1e6 * p[i];
    for (int i = 0; i < 900; i++) core[i] = 7e6 * p[i + 300];
    struct ep_err e = { 0 };
    struct ep_losses *pl = NULL;
    /* the peak needs neighbours on both sides */
    double shifted[1300] = { 0 };
    memcpy(shifted + 100, low, sizeof low);
    struct ep_counts l = { shifted, 1300, -10, 0.1 }, c = { core, 900, 30, 0.1 };
    assert_int_equal(ep_losses_new(&l, &c, 110, &pl, &e), EP_OK);
    assert_float_equal(pl->scale / 7e6, 1, 1e-9);
    for (size_t k = 60; k < 1100; k++) assert_float_equal(pl->s[k], v[k], 1e-9 * v[400]);
    double tail = 0;
    for (int i = 0; i < 1100; i++) tail += p[i];
    assert_float_equal(pl->t_over_lambda, log(tail), 1e-3);
    ep_losses_free(pl);
    free(s);
}

/* Measured, with a zero-loss peak 0.9 eV wide: single scattering within 1 % of its area in every 10 eV. */
static void test_single_scattering(void **unused)
{
    (void)unused;
    for (int what = SIM_NCM; what <= SIM_LLTO; what++) {
        struct sim_spectra s = spec((enum sim_what)what, 0.6, 1);
        struct ep_counts l = { s.low, SIM_LOW_N, SIM_LOW_0, SIM_STEP }, c = { s.core, SIM_CORE_N, SIM_CORE_0, SIM_STEP };
        struct ep_err e = { 0 };
        struct ep_losses *p = NULL;
        assert_int_equal(ep_losses_new(&l, &c, 100, &p, &e), EP_OK);
        assert_float_equal(p->i0 / s.i0, 1, 0.003);
        assert_float_equal(p->scale / p->i0, 16, 0.001);
        double area = 0;
        for (size_t k = 0; k < 1000; k++) area += s.single[k];
        for (size_t k = 50; k < 1000; k += 100) {
            double a = 0, b = 0;
            for (size_t i = k; i < k + 100 && i < 1000; i++) a += p->s[i], b += s.single[i];
            assert_float_equal(a, b, 0.01 * area);
        }
        ep_losses_free(p);
    }
}

/* The response to each channel of the low loss, against doing it again with more counts there. */
static void test_response(void **unused)
{
    (void)unused;
    struct sim_spectra s = spec(SIM_LLTO, 0.5, 1);
    struct ep_counts l = { s.low, SIM_LOW_N, SIM_LOW_0, SIM_STEP }, c = { s.core, SIM_CORE_N, SIM_CORE_0, SIM_STEP };
    struct ep_err e = { 0 };
    struct ep_losses *p = NULL, *q = NULL;
    double ev[300], a[300], before = 0;
    assert_int_equal(ep_losses_new(&l, &c, 90, &p, &e), EP_OK);
    for (size_t i = 0; i < 300; i++) {
        ev[i] = 50.03 + 0.1 * (double)i;
        a[i] = sin(0.05 * (double)i) + 0.3;
        before += a[i] * p->scale * ep_losses_at(p, ev[i]);
    }
    double *h = calloc(p->n, sizeof *h);
    ep_losses_response(p, 300, ev, a, h);
    static const size_t at[] = { 200, 340, 430, 495, 600, 700, 800 };
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        double after = 0, more = 1e-4 * s.low[at[k]], was = s.low[at[k]];
        s.low[at[k]] += more;
        assert_int_equal(ep_losses_new(&l, &c, 90, &q, &e), EP_OK);
        s.low[at[k]] = was;
        for (size_t i = 0; i < 300; i++) after += a[i] * q->scale * ep_losses_at(q, ev[i]);
        double expected = h[at[k] > 230 ? at[k] - 200 : 0], scale = fabs(h[0]) + fabs(expected);
        assert_float_equal((after - before) / more, expected, 0.02 * scale);
        ep_losses_free(q);
    }
    free(h);
    ep_losses_free(p);
}

static void test_no_peak(void **unused)
{
    (void)unused;
    struct sim_spectra s = spec(SIM_NCM, 0.4, 1);
    struct ep_counts l = { s.low + 300, SIM_LOW_N - 300, 10, SIM_STEP }, c = { s.core, SIM_CORE_N, SIM_CORE_0, SIM_STEP };
    struct ep_losses *p = NULL;
    struct ep_err e = { 0 }, f = { 0 };
    assert_int_equal(ep_losses_new(&l, &c, 90, &p, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "no zero-loss peak"));
    l = (struct ep_counts){ s.low, 560, SIM_LOW_0, SIM_STEP };
    assert_int_equal(ep_losses_new(&l, &c, 90, &p, &f), EP_E_COMPUTE);
    assert_non_null(strstr(f.msg, "overlap by less than"));
}

/* ---- amounts ------------------------------------------------------------------------------------------------------- */

static void fit_spectrum(struct mlls_rig *r, const char *params, const struct sim_spectra *s, size_t nref, const struct mlls_ref *ref)
{
    struct ep_desc d = mlls_desc(1, 0, false), l = mlls_desc(1, 0, true);
    struct image in = mlls_image(&d, s->core, false), low = mlls_image(&l, s->low, false);
    mlls_run(r, params, &in, &low, nref, ref);
    image_free(&in);
    image_free(&low);
}

/* Shapes are not the model's: Lorentzians, Fano resonances. Limits are those asked of a fit without references: 15 % of pristine, at
 * all contents; and noise-free, the truth lies within the systematic sigma twice over. */
static void test_ncm(void **unused)
{
    (void)unused;
    double pristine = 0;
    for (int fano = 0; fano < 2; fano++)
        for (int k = 4; k >= 0; k--) {
            struct sim_spectra s;
            struct mlls_rig r;
            sim_make(&(struct sim_case){ SIM_NCM, 0.45, 0.25 * k, 1e8, fano }, &s);
            if (k == 4) pristine = s.li;
            fit_spectrum(&r, NCM, &s, 0, NULL);
            double li = mlls_value(&r, "Li", 0), sys = mlls_value(&r, "Li_systematic", 0);
            print_message("%s, lithium %.2f: %+.3f of pristine, systematic %.3f, chi-square %.1f\n", fano ? "Fano" : "Lorentz", 0.25 * k,
                          (li - s.li) / pristine, sys / pristine, mlls_value(&r, "reduced_chi_square", 0));
            assert_true(fabs(li - s.li) < 0.15 * pristine);
            assert_true(fabs(li - s.li) < 2 * sys);
            assert_int_equal(r.out[0].flag[0] & EP_FLAG_NOT_SEPARABLE, 0);
            mlls_free(&r);
        }
}

/* A Ti oxide of another thickness and other plasmons as reference. Without it, no amount is given. */
static void test_llto(void **unused)
{
    (void)unused;
    struct sim_spectra s = spec(SIM_LLTO, 0.45, 1), o = spec(SIM_OXIDE, 0.55, 0);
    struct mlls_ref ref[] = { { "oxide", mlls_signal(o.core, SIM_CORE_N, SIM_CORE_0) }, { "oxide_low", mlls_signal(o.low, SIM_LOW_N, SIM_LOW_0) } };
    struct mlls_rig r;
    fit_spectrum(&r, LLTO, &s, 2, ref);
    print_message("LLTO: %+.3f, systematic %.3f\n", mlls_value(&r, "Li", 0) / s.li - 1, mlls_value(&r, "Li_systematic", 0) / s.li);
    assert_float_equal(mlls_value(&r, "Li", 0) / s.li, 1, 0.1);
    mlls_free(&r);
    fit_spectrum(&r, "{range: [45, 82], columns: [{name: Li, edge: Li_K}, {name: TiM, edge: Ti_M}]}", &s, 0, NULL);
    assert_true(isnan(mlls_value(&r, "Li", 0)) && (r.out[0].flag[0] & EP_FLAG_NOT_SEPARABLE));
    assert_true(mlls_says(&r, "Ti M is modelled"));
    mlls_free(&r);
    /* unless the limit says so */
    fit_spectrum(&r, "{range: [45, 82], separable: 100, columns: [{name: Li, edge: Li_K}, {name: TiM, edge: Ti_M}]}", &s, 0, NULL);
    assert_true(isfinite(mlls_value(&r, "Li", 0)));
    mlls_free(&r);
    for (int i = 0; i < 2; i++) ep_signal_free(ref[i].s);
}

/* Shapes held from a pristine run, thickness and current other: relative to it within the 0.03 that are asked. */
static void test_change(void **unused)
{
    (void)unused;
    struct sim_spectra s = spec(SIM_NCM, 0.45, 1);
    struct mlls_rig r;
    double quotient = 0;
    struct mlls_ref ref[2] = { { "p.single_Li", NULL }, { "p.single_TM", NULL } };
    fit_spectrum(&r, NCM, &s, 0, NULL);
    for (int k = 0; k < 2; k++) {
        const struct image *o = &r.out[mlls_named(&r, k ? "single_TM" : "single_Li")];
        double y[SIM_CORE_N];
        for (size_t i = 0; i < SIM_CORE_N; i++) y[i] = (double)o->val[i];
        ref[k].s = mlls_signal(y, SIM_CORE_N, SIM_CORE_0);
    }
    mlls_free(&r);
    for (int k = 0; k < 4; k++) {
        static const double t[] = { 0.45, 0.37, 0.54, 0.45 }, lithium[] = { 1, 0.9, 0.6, 0.3 };
        struct sim_spectra x = spec(SIM_NCM, t[k], lithium[k]);
        for (size_t i = 0; i < SIM_CORE_N; i++) x.core[i] *= 0.9;
        for (size_t i = 0; i < SIM_LOW_N; i++) x.low[i] *= 0.9;
        fit_spectrum(&r, "{range: [45, 82], per: thickness, columns: [{name: Li, spectrum: p.single_Li}, {name: TM, spectrum: p.single_TM}]}", &x, 2, ref);
        double q = mlls_value(&r, "Li_per_thickness", 0);
        if (k == 0) quotient = q;
        assert_float_equal(q / quotient, lithium[k], 0.03);
        assert_float_equal(mlls_value(&r, "change", 0), 0, 1e-6);       /* no run to count from: from itself */
        mlls_free(&r);
    }
    for (int i = 0; i < 2; i++) ep_signal_free(ref[i].s);
}

/* A shape learned from two runs is the edge's own, whatever its height. */
static void test_learned(void **unused)
{
    (void)unused;
    struct sim_spectra a = spec(SIM_NCM, 0.45, 1), b = spec(SIM_NCM, 0.45, 0.5);
    struct mlls_ref ref[] = { { "a", mlls_signal(a.core, SIM_CORE_N, SIM_CORE_0) }, { "b", mlls_signal(b.core, SIM_CORE_N, SIM_CORE_0) },
                              { "al", mlls_signal(a.low, SIM_LOW_N, SIM_LOW_0) }, { "bl", mlls_signal(b.low, SIM_LOW_N, SIM_LOW_0) } };
    struct mlls_rig r;
    fit_spectrum(&r, "{range: [45, 82], columns: [{name: Li, learned: [a, b], low_loss: [al, bl]}, {name: TM, edges: [Mn_M, Co_M, Ni_M]}]}", &a, 4, ref);
    print_message("learned: %+.3f\n", mlls_value(&r, "Li", 0) / a.li - 1);
    assert_float_equal(mlls_value(&r, "Li", 0) / a.li, 1, 0.15);    /* nothing says how much of the first spectrum is lithium */
    mlls_free(&r);
    for (int i = 0; i < 4; i++) ep_signal_free(ref[i].s);
}

/* ---- pixels -------------------------------------------------------------------------------------------------------- */

struct scene { struct image in, low; struct sim_spectra s; };
static struct scene scene_of(size_t ny, size_t nx, double electrons)
{
    struct scene m;
    struct ep_desc d = mlls_desc(ny, nx, false), l = mlls_desc(ny, nx, true);
    sim_make(&(struct sim_case){ SIM_NCM, 0.45, 1, electrons, false }, &m.s);
    uniform(7);
    m.in = mlls_image(&d, m.s.core, true);
    m.low = mlls_image(&l, m.s.low, true);
    return m;
}
static void scene_free(struct scene *m)
{
    image_free(&m->in);
    image_free(&m->low);
}

/* However the image is cut, the same bits; and pixels agree with the sum. */
static void same_bits(const char *params)
{
    enum { NY = 5, NX = 70 };
    struct scene m = scene_of(NY, NX, 1e4);
    struct mlls_rig a, b;
    mlls_run(&a, params, &m.in, &m.low, 0, NULL);
    mlls_declare(&b, params, &m.in.d, &m.low.d, 0, NULL);
    assert_int_equal(mlls_look(&b, &m.in, &m.low), EP_OK);
    mlls_area(&b, &m.in, (struct ep_area){ 0, 0, 2, 64 });
    mlls_area(&b, &m.in, (struct ep_area){ 2, 0, 3, 13 });
    mlls_area(&b, &m.in, (struct ep_area){ 2, 13, 3, 51 });
    mlls_area(&b, &m.in, (struct ep_area){ 0, 64, 5, 6 });
    for (size_t i = 0; i < a.d[0].nout; i++) {
        assert_memory_equal(a.out[i].val, b.out[i].val, NY * NX * a.out[i].nch * sizeof(float));
        assert_memory_equal(a.out[i].flag, b.out[i].flag, NY * NX * sizeof(uint32_t));
        if (!a.d[0].out[i].spectral) assert_memory_equal(a.out[i].sigma, b.out[i].sigma, NY * NX * sizeof(float));
    }
    double sum = 0, counts = a.seen[EP_MLLS_COUNTS]->col[1].num[0];
    for (size_t p = 0; p < NY * NX; p++) sum += mlls_value(&a, "Li", p);
    /* The base is what the sum is beside the columns, so that pixels add up to the fit of the sum; but for its noise, which is smoothed, and which
     * the pixels' fits weigh by counts alone, the sum's by its model's error too: they differ by less than the sum's sigma. */
    assert_float_equal(sum, counts, a.seen[EP_MLLS_COUNTS]->col[1].sigma[0]);
    assert_true(a.d[0].out[mlls_named(&a, "Li_per_TM")].quotient);
    assert_float_equal(mlls_value(&a, "numerator", 3) / mlls_value(&a, "denominator", 3), mlls_value(&a, "Li_per_TM", 3), 1e-6);
    mlls_free(&a);
    mlls_free(&b);
    scene_free(&m);
}

static void test_bits(void **unused)
{
    (void)unused;
    same_bits(NCM_PER);
    same_bits("{weights: model, range: [45, 82], per: TM, columns: [{name: Li, edge: Li_K}, {name: TM, edges: [Mn_M, Co_M, Ni_M]}]}");
}

static void test_bad_pixels(void **unused)
{
    (void)unused;
    enum { NY = 3, NX = 40 };
    struct scene m = scene_of(NY, NX, 1e4);
    struct mlls_rig a, b;
    mlls_run(&a, NCM, &m.in, &m.low, 0, NULL);
    m.in.val[5 * m.in.nch + 300] = NAN;
    m.in.val[6 * m.in.nch + 200] = INFINITY;
    m.in.flag[7] = EP_FLAG_MASKED;
    m.low.flag[8] = EP_FLAG_NO_ZLP;
    mlls_run(&b, NCM, &m.in, &m.low, 0, NULL);
    size_t li = mlls_named(&a, "Li");
    for (size_t p = 0; p < NY * NX; p++) {
        if (p >= 5 && p <= 7) {
            assert_true(isnan(b.out[li].val[p]) && isnan(b.out[li].sigma[p]));
            assert_true(b.out[li].flag[p] & (p == 7 ? EP_FLAG_MASKED : EP_FLAG_NOT_FINITE));
        } else {
            assert_float_equal(b.out[li].val[p], a.out[li].val[p], 0.3 * (double)a.out[li].sigma[p]);    /* the sum lacks 4 of 120 pixels */
        }
    }
    mlls_free(&a);
    mlls_free(&b);
    scene_free(&m);
}

/* Pixels whose axis is shifted by whole channels, and moved accordingly, give the same. */
static void test_shift(void **unused)
{
    (void)unused;
    enum { NX = 20 };
    struct scene m = scene_of(1, NX, 1e5), n = scene_of(1, NX, 1e5);
    struct mlls_rig a, b;
    mlls_run(&a, NCM, &m.in, &m.low, 0, NULL);
    n.in.d.shift_max = n.low.d.shift_max = 1;
    for (size_t p = 0; p < NX; p++) {
        long move = (long)(p % 5) - 2;
        n.in.shift[p] = n.low.shift[p] = (double)move * SIM_STEP;
        for (long i = 0; i < SIM_CORE_N; i++)
            if (i + move >= 0 && i + move < SIM_CORE_N) n.in.val[p * SIM_CORE_N + (size_t)i] = m.in.val[p * SIM_CORE_N + (size_t)(i + move)];
        for (long i = 0; i < SIM_LOW_N; i++)
            if (i + move >= 0 && i + move < SIM_LOW_N) n.low.val[p * SIM_LOW_N + (size_t)i] = m.low.val[p * SIM_LOW_N + (size_t)(i + move)];
    }
    mlls_run(&b, NCM, &n.in, &n.low, 0, NULL);
    for (size_t p = 0; p < NX; p++) assert_float_equal(mlls_value(&a, "Li", p), mlls_value(&b, "Li", p), 0.02 * mlls_sigma(&a, "Li", p));
    mlls_free(&a);
    mlls_free(&b);
    scene_free(&m);
    scene_free(&n);
}

static void test_nonneg(void **unused)
{
    (void)unused;
#define AT_WILL "range: [45, 82], separable: 100, columns: [{name: Li, edge: Li_K}, {name: TM, edges: [Mn_M, Co_M, Ni_M]}]}"
    static const char *const params[][2] = { { "{" AT_WILL, "{nonneg: true, " AT_WILL },
                                             { "{weights: model, " AT_WILL, "{weights: model, nonneg: true, " AT_WILL } };
    struct scene m = scene_of(2, 64, 100);
    for (int k = 0; k < 2; k++) {
        struct mlls_rig a, b;
        mlls_run(&a, params[k][0], &m.in, &m.low, 0, NULL);
        mlls_run(&b, params[k][1], &m.in, &m.low, 0, NULL);
        size_t negative = 0;
        for (size_t p = 0; p < 128; p++) {
            double li = mlls_value(&a, "Li", p), tm = mlls_value(&a, "TM", p);
            assert_true(mlls_value(&b, "Li", p) >= 0 && mlls_value(&b, "TM", p) >= 0);
            assert_true(b.out[0].flag[p] & EP_FLAG_BIASED);
            if (li < 0 || tm < 0) negative++;
            else assert_float_equal(mlls_value(&b, "Li", p), li, 1e-6 * (1 + li));
        }
        assert_true(negative > 10);
        mlls_free(&a);
        mlls_free(&b);
    }
    scene_free(&m);
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

static void refused(const char *params, const char *text)
{
    struct ep_desc d = mlls_desc(2, 2, false), l = mlls_desc(2, 2, true);
    struct mlls_rig r;
    double y[50] = { 1 };
    struct mlls_ref ref = { "short", mlls_signal(y, 50, 60) };
    mlls_declare(&r, params, &d, &l, 1, &ref);
    if (!r.diag.nerrors || !mlls_says(&r, text)) fail_msg("%s: \"%s\" instead of \"%s\"", params, r.diag.n ? r.diag.items[0].msg : "", text);
    ep_diag_free(&r.diag);
    ep_arena_free(&r.arena);
    ep_signal_free(ref.s);
}

static void test_messages(void **unused)
{
    (void)unused;
    refused("{range: [45, 82], columns: [{name: Li}]}", "give one of edge, edges, spectrum, learned");
    refused("{range: [45, 82], columns: [{name: Li, edge: Li_L}]}", "no model of an edge 'Li_L'");
    refused("{range: [45, 82], columns: [{name: TM, edges: [Li_K, Co_M]}]}", "only M2,3 edges are tied");
    refused("{range: [45, 82], columns: [{name: TM, edges: [Mn_M, Co_M], tie: [1]}]}", "tie has 1 numbers for 2 edges");
    refused("{range: [45, 82], columns: [{name: Li, edge: Li_K}, {name: Li, edge: Ti_M}]}", "two columns are named 'Li'");
    refused("{range: [45, 82], columns: [{name: A, spectrum: other}]}", "'other' is not among the references: short");
    refused("{range: [45, 82], columns: [{name: A, spectrum: short}]}", "must lie within it");
    refused("{range: [45, 62], columns: [{name: Li, edge: Li_K}]}", "does not lie within the range");
    refused("{range: [45, 82], per: Ni, columns: [{name: Li, edge: Li_K}]}", "no column named 'Ni'");
    refused("{range: [45, 82], per: thickness, columns: [{name: Li, edge: Li_K}]}", "sum a region first");
    struct ep_desc d = mlls_desc(2, 2, false);
    struct mlls_rig r;
    mlls_declare(&r, NCM, &d, NULL, 0, NULL);
    assert_int_equal(r.diag.nerrors, 0);
    assert_true(mlls_says(&r, "there is no low loss"));
    ep_diag_free(&r.diag);
    ep_arena_free(&r.arena);
    /* a region without pixels */
    struct scene m = scene_of(1, 2, 1e4);
    m.in.flag[0] = m.in.flag[1] = EP_FLAG_MASKED;
    mlls_declare(&r, NCM, &m.in.d, &m.low.d, 0, NULL);
    assert_int_equal(mlls_look(&r, &m.in, &m.low), EP_E_COMPUTE);
    assert_non_null(strstr(r.e.msg, "no pixel is left"));
    mlls_free(&r);
    scene_free(&m);
}

/* The same spectrum in channels of another width: what a model lacks is the same
 * over some eV, so narrower channels must not count as more evidence for shapes that do not exist. Heights and onsets stay near what is known. */
static void test_channels(void **unused)
{
    (void)unused;
    enum { BY = 4 };
    struct sim_spectra s = spec(SIM_NCM, 0.45, 1);
    double li[2] = { 0 };
    for (int wide = 0; wide < 2; wide++) {
        struct ep_desc d = mlls_desc(1, 0, false), l = mlls_desc(1, 0, true);
        double core[SIM_CORE_N] = { 0 }, low[SIM_LOW_N] = { 0 };
        size_t by = wide ? BY : 1;
        for (size_t i = 0; i < SIM_CORE_N; i++) core[i / by] += s.core[i];
        for (size_t i = 0; i < SIM_LOW_N; i++) low[i / by] += s.low[i];
        struct ep_axis *axis[2] = { &d.energy, &l.energy };
        for (int k = 0; k < 2; k++) {
            axis[k]->size /= by;
            axis[k]->offset += 0.5 * (double)(by - 1) * SIM_STEP;
            axis[k]->scale *= (double)by;
        }
        struct image in = mlls_image(&d, core, false), loss = mlls_image(&l, low, false);
        struct mlls_rig r;
        mlls_run(&r, NCM, &in, &loss, 0, NULL);
        li[wide] = mlls_value(&r, "Li", 0) / s.li;
        const struct ep_signal *shapes = r.seen[EP_MLLS_SHAPES];
        for (size_t i = 0; i < shapes->n; i++)
            if (strstr(shapes->col[0].text[i], "height")) assert_float_equal(shapes->col[1].num[i], 0, 0.2);
        mlls_free(&r);
        image_free(&in);
        image_free(&loss);
    }
    print_message("channels of %g eV: %+.3f, of %g eV: %+.3f\n", SIM_STEP, li[0] - 1, SIM_STEP * BY, li[1] - 1);
    assert_float_equal(li[1], li[0], 0.03);
}

/* A lone M edge whose onset lies before the range: its tail alone says nothing of its shape, even where the variants agree. */
static void test_tail_alone(void **unused)
{
    (void)unused;
    for (int fano = 0; fano < 2; fano++) {
        struct sim_spectra s;
        struct mlls_rig r;
        sim_make(&(struct sim_case){ SIM_LLTO, 0.45, 1, 1e8, fano }, &s);
        fit_spectrum(&r, "{range: [45, 82], separable: 0.9, columns: [{name: Li, edge: Li_K}, {name: TiM, edge: Ti_M}]}", &s, 0, NULL);
        assert_true(isnan(mlls_value(&r, "Li", 0)) && (r.out[0].flag[0] & EP_FLAG_NOT_SEPARABLE));
        mlls_free(&r);
    }
}

/* Three columns that are nearly one: all pairs are named, with their correlation. */
static void test_alike(void **unused)
{
    (void)unused;
    struct sim_spectra s = spec(SIM_NCM, 0.45, 1);
    double twin[SIM_CORE_N], other[SIM_CORE_N], third[SIM_CORE_N];
    for (size_t i = 0; i < SIM_CORE_N; i++) {
        twin[i] = s.part[1][i];
        other[i] = 2 * s.part[1][i] + 0.02 * s.part[2][i];
        third[i] = s.part[0][i] + s.part[2][i];
    }
    struct mlls_ref ref[] = { { "twin", mlls_signal(twin, SIM_CORE_N, SIM_CORE_0) }, { "other", mlls_signal(other, SIM_CORE_N, SIM_CORE_0) },
                              { "third", mlls_signal(third, SIM_CORE_N, SIM_CORE_0) }, { "same", mlls_signal(third, SIM_CORE_N, SIM_CORE_0) } };
    struct mlls_rig r;
    ref[3].s->f64[200] *= 1.001;
    fit_spectrum(&r, "{range: [45, 82], plural: kept, systematics: false, columns: [{name: A, spectrum: twin}, {name: B, spectrum: other}, "
                     "{name: C, spectrum: third}, {name: D, spectrum: same}]}", &s, 4, ref);
    const struct ep_signal *fit = r.seen[EP_MLLS_FIT];
    const char *verdict = fit->col[fit->ncol - 1].text[0];
    if (!strstr(verdict, "A and B can hardly be told apart: correlation -") || !strstr(verdict, "C and D can hardly be told apart")) fail_msg("%s", verdict);
    mlls_free(&r);
    for (int i = 0; i < 4; i++) ep_signal_free(ref[i].s);
}

int main(void)
{
    ep_linalg_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logarithm), cmocka_unit_test(test_single_scattering), cmocka_unit_test(test_response), cmocka_unit_test(test_no_peak),
        cmocka_unit_test(test_ncm), cmocka_unit_test(test_llto), cmocka_unit_test(test_change), cmocka_unit_test(test_learned),
        cmocka_unit_test(test_bits), cmocka_unit_test(test_bad_pixels), cmocka_unit_test(test_shift),
        cmocka_unit_test(test_nonneg), cmocka_unit_test(test_alike), cmocka_unit_test(test_channels), cmocka_unit_test(test_tail_alone),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
