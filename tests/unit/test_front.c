/* The curves of a step, front and onset on profiles and series made here. Noise: test_montecarlo_front.c. */
#include "pipeline/numerics/step_fit.h"
#include "tests/unit/stage_rig.h"

/* ---- curves ------------------------------------------------------------------------------------------------------- */

static void test_curves(void **unused)
{
    (void)unused;
    /* D. B. Owen, Ann. Math. Statist. 27 (1956) 1075: T(0, a) = atan(a)/2pi, T(h, 1) = Phi(h) Phi(-h)/2; and by quadrature. */
    assert_true(fabs(ep_owen_t(0, 2.5) - atan(2.5) / (2 * M_PI)) < 1e-12);
    for (double h = -3; h < 4; h += 0.7) {
        double p = 0.5 * erfc(-h / sqrt(2));
        assert_true(fabs(ep_owen_t(h, 1) - 0.5 * p * (1 - p)) < 1e-12);
        for (double a = -8; a < 9; a += 1.9) {
            double sum = 0;
            for (int i = 0; i < 20000; i++) {
                double x = a * (i + 0.5) / 20000;
                sum += a / 20000 * exp(-h * h * (1 + x * x) / 2) / (1 + x * x) / (2 * M_PI);
            }
            assert_true(fabs(ep_owen_t(h, a) - sum) < 1e-9);
        }
    }
    assert_true(fabs(ep_owen_t(1, 0.5) - 0.0430646911207853) < 1e-12);      /* Owen's table, by quadrature in high precision */
    /* erfc(u/L) behind u = 0, blurred by sigma, by direct convolution. */
    double l = 4, sigma = 0.5, part[2];
    for (double u = -3; u < 9; u += 0.8) {
        double sum = 0, all = 0;
        for (int i = -4000; i <= 4000; i++) {
            double z = i * 0.002, w = exp(-0.5 * z * z), d = u - sigma * z;
            sum += w * (d < 0 ? 1 : erfc(d / l));
            all += w;
        }
        ep_step_parts(EP_STEP_ONE_SIDED, (double[]){ 0, l / sqrt(2), log(0.3), 0 }, sigma * sigma - 0.09, u, part);
        assert_float_equal(part[0], sum / all, 1e-6);
        ep_step_parts(EP_STEP_ONE_SIDED, (double[]){ 1, 0, log(0.3), 0 }, 0.16, u, part);
        assert_float_equal(part[0], 0.5 * erfc((u - 1) / sqrt(2) / 0.5), 1e-12);
        ep_step_parts(EP_STEP_TWO, (double[]){ 1, 2, log(3), log(1) }, 0, u, part);
        assert_float_equal(part[1], 0.5 * erfc(u - 2), 1e-14);
    }
}

/* ---- a stage on whole inputs ---------------------------------------------------------------------------------------- */

struct made { struct ep_signal *out[2]; ep_status st; struct ep_err e; };

static struct made run_whole(struct rig *r, const char *name, const char *params, size_t nin, struct ep_signal *const *in)
{
    struct made m = { .st = EP_OK };
    const struct ep_desc *d[MAXIO] = { NULL };
    for (size_t i = 0; i < nin; i++) d[i] = in[i] ? &in[i]->d : NULL;
    rig_declare(r, stage(name), params, nin, d);
    if (r->diag.nerrors) ep_diag_print(&r->diag, stderr);
    assert_int_equal(r->diag.nerrors, 0);
    for (size_t i = 0; i < nin; i++)
        if (in[i]) r->item[i].whole = in[i];
    for (size_t i = 0; i < r->d.nout; i++)
        if (r->d.out[i].kind == EP_PROFILE) assert_int_equal(ep_signal_new(&r->d.out[i], &m.out[i], &m.e), EP_OK);
    struct ep_prepare p = { .par = r->par, .in = r->items, .out = r->d.out, .nout = r->d.nout };
    m.st = r->s->whole(NULL, &p, m.out, &m.e);
    return m;
}
static void made_free(struct made *m)
{
    ep_signal_free(m->out[0]);
    ep_signal_free(m->out[1]);
}
static const struct ep_column *column(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return &t->col[i];
    fail_msg("no column %s", name);
    return NULL;
}
static double number(const struct made *m, const char *name)
{
    return column(m->out[0], name)->num[0];
}
static double sigma(const struct made *m, const char *name)
{
    return column(m->out[0], name)->sigma[0];
}
static const char *text(const struct made *m, const char *name)
{
    return column(m->out[0], name)->text[0];
}

enum { BINS = 80 };
enum truth { ERF, ERFC, TWO };
/* A profile of 0.5 nm bins from -20 nm, in um: low + (high - low) S, no noise, sigmas of about a percent, neighbours correlated
 * by 0.25. side: where the low plateau is. */
static struct ep_signal *profile(enum truth t, double place, double length, int side)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_PROFILE;
    d.nnav = 1;
    d.nav[0] = (struct ep_axis){ "Distance", "um", -0.02, 0.0005, BINS };
    d.has_sigma = true;
    strcpy(d.unit, "counts");
    struct ep_signal *s;
    struct ep_err e = { 0 };
    assert_int_equal(ep_signal_new(&d, &s, &e), EP_OK);
    s->nband = 1;
    s->band = calloc(BINS, sizeof *s->band);
    double blur = 0.25 / 6, part[2];
    for (size_t i = 0; i < BINS; i++) {
        double u = side * (-20 + 0.5 * (double)i);
        if (t == ERF) ep_step_parts(EP_STEP_ERF, (double[]){ place, log(length) }, blur, u, part);
        else if (t == ERFC) ep_step_parts(EP_STEP_ONE_SIDED, (double[]){ place, length / sqrt(2), log(0.43) }, blur, u, part);
        else ep_step_parts(EP_STEP_TWO, (double[]){ place, place + length, log(0.6), log(0.6) }, blur, u, part);
        double left = t == TWO ? 0.6 * part[0] + 0.4 * part[1] : part[0];
        s->f64[i] = 50 + 600 * left;
        s->sigma64[i] = sqrt(s->f64[i] / 30);
    }
    for (size_t i = 0; i + 1 < BINS; i++) s->band[i] = 0.25 * s->sigma64[i] * s->sigma64[i + 1];
    return s;
}

static void test_front_shapes(void **unused)
{
    (void)unused;
    const double x10 = 0.906193802436823;
    double part[2] = { 1, 0 }, tail = 1;               /* where a tenth of the one-sided tail is left, after the probe */
    for (; part[0] > 0.1; tail += 1e-3) ep_step_parts(EP_STEP_ONE_SIDED, (double[]){ 1, 5 / sqrt(2), log(0.43), 0 }, 0, tail, part);
    for (int side = -1; side <= 1; side += 2) {
        struct rig r[4];
        struct ep_signal *in[3][3] = { { profile(ERF, 1, 5, side) }, { profile(ERFC, 1, 5, side) }, { profile(TWO, 1, 4, side) } };
        static const char *const names[] = { "erf", "erfc", "two_step" };
        double want[] = { 1 + 5 * x10, tail, 5 + 0.6 * 0.4769362762044699 };     /* two: 1/4 of the second step is left */
        for (int k = 0; k < 3; k++) {
            struct made m = run_whole(&r[k], "front", "{sampling: point}", 1, in[k]);
            assert_int_equal(m.st, EP_OK);
            assert_string_equal(text(&m, "model"), names[k]);
            assert_string_equal(text(&m, "definition"), "10 % of the step, model auto");
            assert_float_equal(number(&m, "position"), side * want[k], 3e-3);
            assert_true(sigma(&m, "position") > 0 && sigma(&m, "position") < 0.3);
            assert_float_equal(number(&m, "low_side"), side, 0);
            assert_float_equal(number(&m, "low"), 50, 0.05);
            assert_float_equal(number(&m, "high"), 650, 0.5);
            assert_string_equal(column(m.out[0], "step")->unit, "counts");
            if (k == 0) assert_float_equal(number(&m, "width"), 5, 1e-3);
            if (k == 1) assert_float_equal(number(&m, "length"), 5, 0.05);
            assert_string_equal(text(&m, "flags"), "");
            assert_float_equal(number(&m, "monotone"), side * want[k], 0.1);
            for (size_t i = 0; i < BINS; i++) assert_float_equal(m.out[1]->f64[i], in[k][0]->f64[i], 0.5);
            made_free(&m);
            rig_free(&r[k]);
        }
        /* The models by name; one that does not fit says so. */
        struct made m = run_whole(&r[0], "front", "{sampling: point, model: erf, threshold: 0.5}", 1, in[0]);
        assert_float_equal(number(&m, "position"), side, 1e-3);
        made_free(&m);
        rig_free(&r[0]);
        m = run_whole(&r[0], "front", "{sampling: point, model: erf}", 1, in[1]);
        assert_true(fabs(number(&m, "position") - side * want[1]) > 0.1);
        assert_non_null(strstr(text(&m, "flags"), "bad chi-square"));
        made_free(&m);
        rig_free(&r[0]);
        for (int k = 0; k < 3; k++) ep_signal_free(in[k][0]);
    }
}

/* Displacement from a reference: the position moved, the length, the sigma; a falling axis; a thickness that is divided out. */
static void test_front_relative(void **unused)
{
    (void)unused;
    struct rig a, b, c;
    struct ep_signal *cold[] = { profile(ERF, 0.3, 0.6, 1), NULL, NULL }, *hot[] = { profile(ERF, 0.3, 5, 1), NULL, NULL };
    struct made mc = run_whole(&a, "front", "{sampling: point}", 1, cold);
    assert_true(isnan(number(&mc, "displacement")));
    hot[2] = mc.out[0];
    struct made mh = run_whole(&b, "front", "{sampling: point, registration_sigma: 0.5}", 3, hot);
    assert_float_equal(number(&mh, "displacement"), (5 - 0.6) * 0.906193802436823, 2e-3);
    double s = hypot(hypot(number(&mh, "position_noise"), number(&mh, "position_model")), hypot(number(&mc, "position_noise"), number(&mc, "position_model")));
    s = hypot(s, number(&mh, "position_blur") - number(&mc, "position_blur"));      /* a doubt that both share */
    assert_float_equal(sigma(&mh, "displacement"), hypot(s, 0.5), 1e-9);
    assert_float_equal(number(&mh, "length"), sqrt(25 - 0.36), 2e-3);
    made_free(&mh);
    rig_free(&b);
    struct ep_signal *same[] = { cold[0], NULL, mc.out[0] };
    mh = run_whole(&b, "front", "{sampling: point}", 3, same);
    assert_float_equal(number(&mh, "displacement"), 0, 1e-12);
    assert_true(isnan(number(&mh, "length")) && number(&mh, "length_upper") > 0.01 && number(&mh, "length_upper") < 1);
    made_free(&mh);
    rig_free(&b);
    mh = run_whole(&b, "front", "{sampling: point, threshold: 0.2}", 3, same);
    assert_int_equal(mh.st, EP_E_COMPUTE);
    assert_non_null(strstr(mh.e.msg, "read at 0.1 of the step, this one at 0.2"));
    made_free(&mh);
    rig_free(&b);
    /* The same profile on an axis that runs the other way. */
    struct ep_signal *falling[] = { profile(ERF, 0.3, 5, 1), NULL, mc.out[0] };
    falling[0]->d.nav[0].offset = -0.02 + 0.0005 * (BINS - 1);
    falling[0]->d.nav[0].scale = -0.0005;
    for (size_t i = 0; i < BINS; i++) {
        falling[0]->f64[i] = hot[0]->f64[BINS - 1 - i];
        falling[0]->sigma64[i] = hot[0]->sigma64[BINS - 1 - i];
        falling[0]->band[i] = i + 1 < BINS ? hot[0]->band[BINS - 2 - i] : 0;
    }
    mh = run_whole(&b, "front", "{sampling: point}", 3, falling);
    assert_float_equal(number(&mh, "displacement"), (5 - 0.6) * 0.906193802436823, 2e-3);
    made_free(&mh);
    rig_free(&b);
    /* A wedge in all counts, divided by the thickness. */
    struct ep_signal *wedge[] = { profile(ERF, 0.3, 5, 1), profile(ERF, 0, 1, 1), mc.out[0] };
    for (size_t i = 0; i < BINS; i++) {
        double t = 1 + 0.01 * (double)i;
        wedge[1]->f64[i] = t;
        wedge[1]->sigma64[i] = 0.001;
        wedge[1]->band[i] = 0;
        wedge[0]->f64[i] *= t;
        wedge[0]->sigma64[i] *= t;
        wedge[0]->band[i] *= t * t;
    }
    mh = run_whole(&b, "front", "{sampling: point}", 3, wedge);
    assert_float_equal(number(&mh, "displacement"), (5 - 0.6) * 0.906193802436823, 5e-3);
    made_free(&mh);
    rig_free(&b);
    mh = run_whole(&c, "front", "{sampling: point, slopes: both}", 1, wedge);
    assert_float_equal(number(&mh, "position"), 0.3 + 5 * 0.906193802436823, 0.1);
    made_free(&mh);
    rig_free(&c);
    made_free(&mc);
    rig_free(&a);
    ep_signal_free(cold[0]);
    ep_signal_free(hot[0]);
    ep_signal_free(falling[0]);
    ep_signal_free(wedge[0]);
    ep_signal_free(wedge[1]);
}

/* What is not in view, what is not there: a flag and a wide sigma, never a bare number. */
static void test_front_flags(void **unused)
{
    (void)unused;
    struct rig r;
    struct { double place, length; const char *flag; } cases[] = {
        { 12, 9, "no low plateau in view" }, { -12, 9, "no high plateau in view" }, { 15, 3, "under four times" }, { 19.8, 2, "front outside the field" } };
    for (size_t k = 0; k < 4; k++) {
        struct ep_signal *in[] = { profile(ERF, cases[k].place, cases[k].length, 1), NULL, NULL }, *cold[] = { profile(ERF, 0, 0.6, 1) };
        struct rig q;
        struct made ref = run_whole(&q, "front", "{sampling: point}", 1, cold);
        in[2] = ref.out[0];
        struct made m = run_whole(&r, "front", "{sampling: point}", 3, in);
        if (!strstr(text(&m, "flags"), cases[k].flag)) fail_msg("%s: '%s'", cases[k].flag, text(&m, "flags"));
        if (k != 2) assert_true(sigma(&m, "position") > 1);
        double true_position = cases[k].place + 0.906193802436823 * cases[k].length;
        assert_true(fabs(number(&m, "position") - true_position) < 3 * sigma(&m, "position"));
        made_free(&m);
        made_free(&ref);
        rig_free(&r);
        rig_free(&q);
        ep_signal_free(in[0]);
        ep_signal_free(cold[0]);
    }
    /* Bins without a value are left out; no step at all. */
    struct ep_signal *holes[] = { profile(ERF, 1, 5, 1) };
    for (size_t i = 0; i < BINS; i += 7) holes[0]->f64[i] = (double)NAN;
    struct made m = run_whole(&r, "front", "{sampling: point}", 1, holes);
    assert_float_equal(number(&m, "position"), 1 + 5 * 0.906193802436823, 2e-3);
    assert_float_equal(number(&m, "bins"), BINS - 12, 0);
    made_free(&m);
    rig_free(&r);
    uniform(5);
    for (size_t i = 0; i < BINS; i++) holes[0]->f64[i] = 50 + 2 * uniform(0), holes[0]->sigma64[i] = 1, holes[0]->band[i] = 0;
    m = run_whole(&r, "front", "{sampling: point}", 1, holes);
    assert_true(strstr(text(&m, "flags"), "step below 3 sigma") != NULL);
    assert_true(sigma(&m, "position") > 5);
    made_free(&m);
    rig_free(&r);
    for (size_t i = 0; i < BINS; i++) holes[0]->f64[i] = (double)NAN;
    m = run_whole(&r, "front", "{sampling: point}", 1, holes);
    assert_int_equal(m.st, EP_OK);
    assert_true(isnan(number(&m, "position")) && strstr(text(&m, "flags"), "0 of 80 bins") != NULL);
    made_free(&m);
    rig_free(&r);
    ep_signal_free(holes[0]);
    /* The farthest point above the noise. */
    struct ep_signal *in[] = { profile(ERF, 1, 5, 1) };
    m = run_whole(&r, "front", "{sampling: point, model: noise, k: 3}", 1, in);
    double p = number(&m, "position"), part[2], want = 3 * sqrt(50. / 30);
    ep_step_parts(EP_STEP_ERF, (double[]){ 1, log(5) }, 0.25 / 6, p, part);
    assert_float_equal(600 * part[0], want, 0.35 * want);
    assert_string_equal(text(&m, "definition"), "farthest point 3 sigma above the low plateau");
    made_free(&m);
    rig_free(&r);
    ep_signal_free(in[0]);
}

static void test_front_mistakes(void **unused)
{
    (void)unused;
    struct ep_signal *s = profile(ERF, 0, 1, 1);
    struct ep_desc plain = s->d, few = s->d, other = s->d;
    plain.has_sigma = false;
    few.nav[0].size = 5;
    other.nav[0].offset += 0.0001;
    const struct { const struct ep_desc *a, *b; const char *says; } cases[] = {
        { &plain, NULL, "has no sigmas" }, { &few, NULL, "5 bins: at least 6" }, { &s->d, &other, "other bins" }, { &s->d, &s->d, NULL } };
    for (size_t k = 0; k < 4; k++) {
        struct rig r;
        const struct ep_desc *in[] = { cases[k].a, cases[k].b };
        rig_declare(&r, stage("front"), "{}", 2, in);
        assert_int_equal(r.diag.nerrors, cases[k].says ? 1 : 0);
        if (cases[k].says) assert_true(says(&r, cases[k].says));
        rig_free(&r);
    }
    ep_signal_free(s);
}

/* ---- onset ------------------------------------------------------------------------------------------------------------ */

static double gauss(void)
{
    return sqrt(-2 * log(uniform(0))) * cos(6.283185307179586 * uniform(0));
}
static struct ep_signal *series(size_t n, const double *x, const double *y, const double *s, const double *scatter)
{
    struct ep_signal *t;
    struct ep_err e = { 0 };
    const char *names[32];
    for (size_t i = 0; i < n; i++) names[i] = "a";
    assert_int_equal(ep_table_new("table", n, &t, &e), EP_OK);
    ep_table_add(t, "sample", "", NULL, NULL, names, &e);
    ep_table_add(t, "temperature", "degC", x, NULL, NULL, &e);
    ep_table_add(t, "front", "nm", y, s, NULL, &e);
    if (scatter) ep_table_add(t, "front_scatter", "nm", scatter, NULL, NULL, &e);
    return t;
}

static void test_onset(void **unused)
{
    (void)unused;
    const double x[] = { 400, 25, 100, 200, 300, 500 }, y[] = { 2, 0, 0.1, -0.1, 0.05, 4 }, s[] = { .1, .1, .1, .1, .1, .1 }, big[] = { 1, 0, 0, 0, 0, 0 };
    struct rig r;
    struct ep_signal *in[] = { series(6, x, y, s, NULL) };
    struct made m = run_whole(&r, "onset", "{column: front}", 1, in);
    assert_float_equal(number(&m, "lower"), 300, 0);
    assert_float_equal(number(&m, "upper"), 400, 0);
    assert_string_equal(column(m.out[0], "upper")->unit, "degC");
    assert_float_equal(number(&m, "plateau"), 0.0125, 1e-12);
    assert_float_equal(sigma(&m, "plateau"), 0.05, 1e-9);
    assert_float_equal(number(&m, "plateau_points"), 4, 0);
    assert_string_equal(text(&m, "onset"), "found");
    assert_string_equal(text(&m, "flags"), "");
    made_free(&m);
    rig_free(&r);
    ep_signal_free(in[0]);
    in[0] = series(6, x, y, s, big);                   /* repeats scatter: 400 degC says nothing */
    m = run_whole(&r, "onset", "{column: front, against: temperature}", 1, in);
    assert_float_equal(number(&m, "lower"), 400, 0);
    made_free(&m);
    rig_free(&r);
    m = run_whole(&r, "onset", "{column: back}", 1, in);
    assert_int_equal(m.st, EP_E_COMPUTE);
    assert_non_null(strstr(m.e.msg, "no column 'back'; its columns of numbers are temperature, front, front_scatter"));
    made_free(&m);
    rig_free(&r);
    m = run_whole(&r, "onset", "{column: sample}", 1, in);
    assert_non_null(strstr(m.e.msg, "holds texts"));
    made_free(&m);
    rig_free(&r);
    ep_signal_free(in[0]);
    const double y1[] = { 2, 0, 2, 2, 2, 2 };
    in[0] = series(6, x, y1, s, NULL);
    m = run_whole(&r, "onset", "{column: front}", 1, in);
    assert_float_equal(number(&m, "upper"), 100, 0);
    assert_string_equal(text(&m, "flags"), "plateau of one point");
    made_free(&m);
    rig_free(&r);
    ep_signal_free(in[0]);
}

/* A series of displacements begins with the reference run: 0 with sigma 0. An onset right behind it, or one point later, is found. */
static void test_onset_of_displacements(void **unused)
{
    (void)unused;
    const double x[] = { 25, 100, 200, 300, 400, 500 }, s[] = { 0, .1, .1, .1, .1, .1 };
    const double y[3][6] = { { 0, 1, 2, 3, 4, 5 }, { 0, 0.05, 1, 2, 3, 4 }, { 0, 0.1, -0.1, 0.05, 0.1, 0 } };
    static const double upper[] = { 100, 200, 0 };
    for (int k = 0; k < 3; k++) {
        struct rig r;
        struct ep_signal *in[] = { series(6, x, y[k], s, NULL) };
        struct made m = run_whole(&r, "onset", "{column: front}", 1, in);
        if (k < 2) assert_float_equal(number(&m, "upper"), upper[k], 0);
        else assert_string_equal(text(&m, "onset"), "none");
        assert_string_equal(text(&m, "flags"), k == 0 ? "plateau of one point" : "");
        if (k == 0) assert_true(number(&m, "plateau") == 0 && sigma(&m, "plateau") == 0);
        if (k == 1) assert_float_equal(sigma(&m, "plateau"), 0.1 / sqrt(2), 1e-12);
        made_free(&m);
        rig_free(&r);
        ep_signal_free(in[0]);
    }
}

/* 100 seeds each: flat, with stated sigmas, with scatter beyond them, without sigmas; and with onsets. */
static void test_onset_seeds(void **unused)
{
    (void)unused;
    uniform(11);
    for (int kind = 0; kind < 6; kind++) {                     /* 4, 5: displacements, the first the reference's own; as steep in sigmas */
        int none = 0, near = 0;
        for (int seed = 0; seed < 100; seed++) {
            double x[12], y[12], s[12];
            for (size_t i = 0; i < 12; i++) {
                x[i] = 50 * (double)i;
                s[i] = 0.2;
                y[i] = 1 + (kind == 2 ? 0.4 : 0.2) * gauss() + ((kind == 3 || kind == 5) && x[i] > 275 ? (kind == 5 ? 0.01414 : 0.01) * (x[i] - 275) : 0);
            }
            for (size_t i = 11; kind >= 4 && i < 12; i--) y[i] -= y[0], s[i] = i ? 0.2 * sqrt(2) : 0;
            struct rig r;
            struct ep_signal *in[] = { series(12, x, y, kind == 1 ? NULL : s, NULL) };
            struct made m = run_whole(&r, "onset", "{column: front}", 1, in);
            none += strcmp(text(&m, "onset"), "none") == 0;
            near += fabs(number(&m, "upper") - 325) <= 75;     /* true: in (250, 300]; 0.25 at 300 is 1.25 sigma, 0.75 at 350 3.75 */
            made_free(&m);
            rig_free(&r);
            ep_signal_free(in[0]);
        }
        if (kind < 3 || kind == 4 ? none < 97 - 5 * (kind == 2) : near < 95) fail_msg("kind %d: none %d near %d", kind, none, near);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves),      cmocka_unit_test(test_front_shapes),   cmocka_unit_test(test_front_relative),
        cmocka_unit_test(test_front_flags), cmocka_unit_test(test_front_mistakes), cmocka_unit_test(test_onset),
        cmocka_unit_test(test_onset_seeds), cmocka_unit_test(test_onset_of_displacements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
