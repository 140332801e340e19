/* Statistics of boundaries, profiles and registrations on maps of Poisson counts: bias, coverage of the sigmas, scatter against the
 * Cramer-Rao bound. Pixels are 0.5 nm. EELPIPE_TEST_LONG repeats five times as often. */
#include "tests/unit/space_rig.h"

static int times(int n)
{
    return getenv("EELPIPE_TEST_LONG") ? 5 * n : n;
}

struct tally { double n, sum, sum2, in1, in2, sigma2; };
static void add_to(struct tally *t, double error, double sigma)
{
    t->n += 1;
    t->sum += error;
    t->sum2 += error * error;
    t->sigma2 += sigma * sigma;
    t->in1 += fabs(error) < sigma;
    t->in2 += fabs(error) < 1.96 * sigma;
}
static double rms(const struct tally *t)
{
    return sqrt(t->sum2 / t->n);
}
/* Independent errors: 68 and 95 % intervals hold what they say (four standard deviations of the count, and `slack`), the bias is
 * within four standard errors and `bias`, the scatter within `most` of the bound (0: none is known). */
static void holds(const char *what, const struct tally *t, double independent, double bias, double slack, double bound, double most)
{
    double n = independent, lo = 4 * sqrt(0.683 * 0.317 / n) + slack, lo2 = 4 * sqrt(0.95 * 0.05 / n) + slack;
    printf("  %-40s bias %+.4f +- %.4f, rms %.4f, sigma %.4f, inside %.1f and %.1f %%", what, t->sum / t->n, rms(t) / sqrt(n), rms(t),
           sqrt(t->sigma2 / t->n), 100 * t->in1 / t->n, 100 * t->in2 / t->n);
    if (bound > 0) printf(", bound %.4f", bound);
    printf("\n");
    assert_true(fabs(t->sum / t->n) < 4 * rms(t) / sqrt(n) + bias);
    assert_true(fabs(t->in1 / t->n - 0.683) < lo && t->in2 / t->n > 0.95 - lo2);
    if (bound > 0) assert_true(rms(t) < most * bound);
}

/* ---- boundaries ------------------------------------------------------------------------------------------------- */

/* Standard deviation of the position at the middle of the field when levels, position, tilt and width are all fitted: from the Fisher
 * information of the counts. */
static double bound_of(const struct ep_signal *like, const struct scene *c)
{
    double info[5][5] = { { 0 } }, inverse[5] = { 0 }, y0 = (y_of(like, 0) + y_of(like, like->n - 1)) / 2, x0 = (x_of(like, 0) + x_of(like, like->n - 1)) / 2;
    for (size_t i = 0; i < like->n; i++) {
        double a = c->angle * RAD, y = y_of(like, i), x = x_of(like, i), mean = scene_at(c, y, x);
        double v = (y - y0) * cos(a) - (x - x0) * sin(a), t = (y * sin(a) + x * cos(a) - c->p) / c->s;
        double g = (c->hi - c->lo) * 0.3989422804014327 * exp(-t * t / 2) / c->s, f = (mean - c->lo) / (c->hi - c->lo);
        double j[5] = { g, g * v, g * t, 1 - f, f };
        for (int k = 0; k < 5; k++)
            for (int l = 0; l < 5; l++) info[k][l] += j[k] * j[l] / mean;
    }
    inverse[0] = 1;                         /* Gauss: the first column of the inverse */
    for (int k = 4; k > 0; k--)
        for (int l = 0; l < k; l++) {
            double w = info[l][k] / info[k][k];
            for (int m = 0; m < 5; m++) info[l][m] -= w * info[k][m];
        }
    return sqrt(inverse[0] / info[0][0]);
}

static void straight_boundaries(void **unused)
{
    (void)unused;
    uniform(1);
    struct ep_desc d = plane(48, 64, 0.5);
    d.has_sigma = true;
    struct ep_signal *m = new_map(&d);
    for (double dose = 100; dose > 0.5; dose /= 10)
        for (double tilt = 1; tilt < 11; tilt += 8.3) {
            struct tally pos = { 0 }, angle = { 0 }, width = { 0 };
            double bound = 0, lost = 0;
            int n = times(120);
            char name[80];
            for (int k = 0; k < n; k++) {
                struct scene c = { .angle = tilt + 0.5 * uniform(0), .s = 0.8, .lo = 0.1 * dose, .hi = dose, .counts = true };
                double y0 = 3 + 0.5 * 23.5, x0 = -5 + 0.5 * 31.5 + 4 * (uniform(0) - 0.5), s = 0;
                c.p = y0 * sin(c.angle * RAD) + x0 * cos(c.angle * RAD);
                fill_scene(m, &c);
                if (k == 0) bound = bound_of(m, &c);
                const struct ep_signal *in[2][4] = { { m } };
                struct space q;
                space_run(&q, "interface", "{}", in, 2);
                if (q.st == EP_OK) {
                    double y = cell_of_table(q.out[2], "y", NULL), x = cell_of_table(q.out[2], "x", NULL);
                    cell_of_table(q.out[2], "position", &s);
                    add_to(&pos, y * sin(c.angle * RAD) + x * cos(c.angle * RAD) - c.p, s);
                    double a = cell_of_table(q.out[2], "angle", &s);
                    add_to(&angle, a - c.angle, s);
                    double w = cell_of_table(q.out[2], "width", &s);
                    add_to(&width, w - hypot(0.8, 0.5 / sqrt(12)), s);
                } else {
                    lost += 1;
                }
                space_free(&q);
            }
            assert_true(lost < 0.03 * n);
            snprintf(name, sizeof name, "line, %g counts, %g deg: position", dose, tilt);
            double slack = dose < 2 ? 0.06 : 0.02;
            holds(name, &pos, pos.n, 0.005, slack, bound, 1.3);
            holds("  angle", &angle, angle.n, 0.01, slack + 0.05, 0, 0);
            if (dose > 2) holds("  width", &width, width.n, 0.02, slack, 0, 0);
        }
    ep_signal_free(m);
}

static void wavy_boundaries(void **unused)
{
    (void)unused;
    uniform(2);
    struct ep_desc d = plane(80, 64, 0.5);
    d.has_sigma = true;
    struct ep_signal *m = new_map(&d);
    for (double dose = 100; dose > 2; dose /= 5)
        for (double wavelength = 16; wavelength < 40; wavelength *= 2) {
            struct tally at = { 0 };
            char name[80];
            int n = times(16);
            for (int k = 0; k < n; k++) {
                struct scene c = { .angle = 7, .s = 0.8, .lo = 0.1 * dose, .hi = dose, .counts = true, .amplitude = 1.5, .wavelength = wavelength,
                                   .phase = 6.28 * uniform(0) };
                c.p = (3 + 0.5 * 39.5) * sin(7 * RAD) + (-5 + 0.5 * 31.5) * cos(7 * RAD);
                fill_scene(m, &c);
                const struct ep_signal *in[2][4] = { { m } };
                struct space q;
                space_run(&q, "interface", "{curve: smooth}", in, 2);
                if (q.st) fail_msg("%s", q.e.msg);
                for (size_t i = 1; i + 1 < q.out[0]->n; i++) {
                    double *z = q.out[0]->points + 5 * i, u = z[0] * sin(7 * RAD) + z[1] * cos(7 * RAD), v = z[0] * cos(7 * RAD) - z[1] * sin(7 * RAD);
                    add_to(&at, u - edge_of(&c, v), z[4] / (z[2] * sin(7 * RAD) + z[3] * cos(7 * RAD)));
                }
                space_free(&q);
            }
            snprintf(name, sizeof name, "wave of %g nm, %g counts", wavelength, dose);
            holds(name, &at, at.n / 6, 0.01, 0.06, 0, 0);      /* neighbours share their errors */
            assert_true(rms(&at) < 0.05 + 0.5 / sqrt(dose));
        }
    ep_signal_free(m);
}

/* ---- profiles --------------------------------------------------------------------------------------------------- */

/* Sum of squares of residuals made independent by the Cholesky factor of their covariance. */
static double chi_square(const struct ep_signal *p, const double *truth)
{
    size_t n = p->n;
    double *cov = calloc(n * n, sizeof *cov), *r = calloc(n, sizeof *r), chi2 = 0;
    for (size_t i = 0; i < n; i++) {
        r[i] = p->f64[i] - truth[i];
        cov[i * n + i] = p->sigma64[i] * p->sigma64[i];
        for (size_t k = 0; k < p->nband && i + k + 1 < n; k++) cov[(i + k + 1) * n + i] = p->band[i * p->nband + k];
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double s = cov[i * n + j];
            for (size_t l = 0; l < j; l++) s -= cov[i * n + l] * cov[j * n + l];
            cov[i * n + j] = i == j ? sqrt(s) : s / cov[j * n + j];
        }
        for (size_t l = 0; l < i; l++) r[i] -= cov[i * n + l] * r[l];
        r[i] /= cov[i * n + i];
        chi2 += r[i] * r[i];
    }
    free(cov);
    free(r);
    return chi2;
}

static void profiles(void **unused)
{
    (void)unused;
    uniform(3);
    static const char *const par[] = { "{}", "{bin: 0.3}", "{bin: 1.3}" };
    struct ep_desc d = plane(40, 60, 0.5);
    d.has_sigma = true;
    struct ep_signal *m = new_map(&d), *mean = new_map(&d);
    struct scene c = { .angle = 7, .p = 9.5, .s = 0.8, .lo = 4, .hi = 40, .amplitude = 1, .wavelength = 12 };
    fill_scene(mean, &c);
    for (size_t i = 0; i < m->n; i++) m->sigma32[i] = mean->sigma32[i] = sqrtf(mean->f32[i]);
    const struct ep_signal *of[2][4] = { { mean } }, *in[6][4] = { { NULL } };
    struct space b, truth, q;
    space_run(&b, "interface", "{curve: smooth, stiffness: 4}", of, 2);
    if (b.st) fail_msg("%s", b.e.msg);
    in[1][0] = b.out[0];
    for (int bin = 0; bin < 3; bin++) {
        struct tally pull = { 0 };
        double chi2 = 0;
        in[0][0] = mean;
        space_run(&truth, "profile", par[bin], in, 6);
        if (truth.st) fail_msg("%s", truth.e.msg);
        in[0][0] = m;
        for (int k = 0; k < times(150); k++) {
            for (size_t i = 0; i < m->n; i++) m->f32[i] = (float)poisson((double)mean->f32[i]);
            space_run(&q, "profile", par[bin], in, 6);
            for (size_t i = 0; i < q.out[0]->n; i++) add_to(&pull, (q.out[0]->f64[i] - truth.out[0]->f64[i]) / q.out[0]->sigma64[i], 1);
            chi2 += chi_square(q.out[0], truth.out[0]->f64);
            space_free(&q);
        }
        holds(par[bin], &pull, pull.n / 3, 0, 0, 1, 1.05);
        printf("  %-40s chi-square with the covariances of bins: %.4f per bin\n", "", chi2 / pull.n);
        assert_float_equal(chi2 / pull.n, 1, 6 * sqrt(2 / pull.n));
        space_free(&truth);
    }
    space_free(&b);
    ep_signal_free(m);
    ep_signal_free(mean);
}

/* ---- registration ----------------------------------------------------------------------------------------------- */

/* An edge between two materials with two grains, turned by `angle` degrees around the middle of the field; `edge`: the edge alone. Its
 * normal lies atan(0.2) off the angle. */
static double specimen(double y0, double x0, double angle, bool edge)
{
    double c = cos(angle * RAD), s = sin(angle * RAD), v = y0 - 18.75, u = x0 - 10.75, y = 18.75 + v * c - u * s, x = 10.75 + v * s + u * c;
    double z = 0.3 + 0.5 * erfc(-(x - 8 - 0.2 * (y - 12)) / 1.1);
    return edge ? z : z + exp(-0.5 * (pow(y - 12, 2) + pow(x - 3, 2)) / 9) + 0.8 * exp(-0.5 * (pow(y - 22, 2) + pow(x - 16, 2)) / 6);
}

/* Two scans of 0.5 nm pixels and of `pixel` nm, 600 counts per pixel being a medium dose. A tenth of the smaller pixel is what is asked for
 * there, in every direction that the maps determine; of an edge alone that is the one across it, whatever its angle. */
static void registrations(void **unused)
{
    (void)unused;
    uniform(4);
    static const struct { const char *name; bool edge; double pixel, angle, dose, most; } cases[] = {
        { "two scans, 600 counts", false, 0.5, 0, 600, 0.05 },     { "two scans, 40 counts", false, 0.5, 0, 40, 0.1 },
        { "two scans, 8 counts", false, 0.5, 0, 8, 0.25 },         { "0.8 nm pixels, 40 counts", false, 0.8, 0, 40, 0.16 },
        { "turned by 35 degrees, 0.8 nm", false, 0.8, 35, 600, 0.1 }, { "turned by 80 degrees, 1.2 nm", false, 1.2, 80, 600, 0.1 },
        { "an edge alone, 40 counts", true, 0.5, 0, 40, 0.1 },     { "an edge alone, 0.8 nm, 8 counts", true, 0.8, 0, 8, 0.4 },
        { "an edge at 35 degrees, 600 counts", true, 0.5, 35, 600, 0.1 }, { "an edge at -50 degrees, 0.8 nm", true, 0.8, -50, 600, 0.1 },
        { "an edge at 85 degrees, 1.2 nm", true, 1.2, 85, 600, 0.1 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tally t[2];
        double unknown = 0, px = cases[i].pixel, normal = cases[i].angle * RAD - atan(0.2), ny = sin(normal), nx = cos(normal);
        memset(t, 0, sizeof t);
        int n = times(cases[i].edge ? 40 : 30);
        size_t size = (size_t)(34 / px);
        struct ep_desc da = plane(64, 64, 0.5), db = px == 0.5 ? da : plane(size, size, px);
        da.has_sigma = db.has_sigma = true;
        struct ep_signal *a = new_map(&da), *b = new_map(&db);
        for (int k = 0; k < n; k++) {
            double sy = 6 * (uniform(0) - 0.5), sx = 6 * (uniform(0) - 0.5), s[3] = { 0 }, turn = cases[i].angle;
            bool edge = cases[i].edge;
            for (size_t p = 0; p < a->n; p++) a->f32[p] = (float)poisson(cases[i].dose * specimen(y_of(a, p) + sy, x_of(a, p) + sx, turn, edge));
            for (size_t p = 0; p < b->n; p++) b->f32[p] = (float)poisson(2 * cases[i].dose * specimen(y_of(b, p), x_of(b, p), turn, edge));
            for (size_t p = 0; p < a->n; p++) a->sigma32[p] = sqrtf(a->f32[p]);
            for (size_t p = 0; p < b->n; p++) b->sigma32[p] = sqrtf(b->f32[p]);
            const struct ep_signal *in[3][4] = { { a }, { b } };
            struct space q;
            space_run(&q, "register", "{}", in, 3);
            if (q.st) fail_msg("%s: %s", cases[i].name, q.e.msg);
            double y = cell_of_table(q.out[0], "y", &s[0]), x = cell_of_table(q.out[0], "x", &s[1]);
            if (edge) {                         /* across it, whose normal is known here */
                cell_of_table(q.out[0], "along", &s[2]);
                add_to(&t[0], (y - sy) * ny + (x - sx) * nx, s[2]);
                cell_of_table(q.out[0], "across", &s[2]);
                unknown += isnan(s[2]);
                assert_float_equal(sin(cell_of_table(q.out[0], "angle", NULL) * RAD - normal), 0, 0.1);
            } else {
                add_to(&t[0], x - sx, s[1]);
                add_to(&t[1], y - sy, s[0]);
            }
            space_free(&q);
        }
        holds(cases[i].name, &t[0], t[0].n, 0.01, 0.06, 0, 0);
        assert_true(rms(&t[0]) < cases[i].most * 0.5);                                  /* of the smaller pixel */
        if (!cases[i].edge) {
            holds("  in y", &t[1], t[1].n, 0.01, 0.06, 0, 0);
            assert_true(rms(&t[1]) < cases[i].most * 0.5 * 1.5);
        } else {
            assert_true(unknown >= 0.95 * n);
        }
        ep_signal_free(a);
        ep_signal_free(b);
    }
}

/* Three parallel edges, of which the middle one moves by a nm and the others stay: what stays and what moves disagree along the whole
 * field, and sigma has to say so. The error is no noise, so that a pull of rms 1 can't be asked for; 2 is what a standard deviation
 * may err by. Parts of the field taken for independent gave 3 to 4. */
static void moving_edge(void **unused)
{
    (void)unused;
    uniform(5);
    static const double angle[] = { 0, 8, -35, 90 }, height[][3] = { { 0.5, 0.6, 0.9 }, { -0.4, 0.5, 0.5 } };
    struct ep_desc d = plane(64, 64, 0.5);
    d.has_sigma = true;
    struct ep_signal *a = new_map(&d), *b = new_map(&d);
    for (size_t i = 0; i < COUNT(angle) * COUNT(height); i++) {
        double ny = sin(angle[i / 2] * RAD), nx = cos(angle[i / 2] * RAD), s = 0;
        for (int k = 0; k < 2; k++)
            for (size_t p = 0; p < a->n; p++) {
                double u = (y_of(a, p) - 18.75) * ny + (x_of(a, p) - 10.75) * nx, z = 1;
                for (int e = 0; e < 3; e++) z += 0.5 * height[i % 2][e] * erfc(-(u - 7 * (e - 1) - (k && e == 1)) / 1.1);
                (k ? b : a)->f32[p] = (float)poisson(600 * z);
                (k ? b : a)->sigma32[p] = sqrtf((float)(600 * z));
            }
        const struct ep_signal *in[3][4] = { { a }, { b } };
        struct space q;
        space_run(&q, "register", "{}", in, 3);
        if (q.st) fail_msg("%g degrees: %s", angle[i / 2], q.e.msg);
        double along = cell_of_table(q.out[0], "along", &s);
        printf("  edges at %3g degrees, the middle one moved by 1 nm: shift %+.3f +- %.3f nm\n", angle[i / 2], along, s);
        assert_true(fabs(along) < 2 * s && s < 1.5);
        space_free(&q);
    }
    ep_signal_free(a);
    ep_signal_free(b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(straight_boundaries), cmocka_unit_test(wavy_boundaries), cmocka_unit_test(profiles), cmocka_unit_test(registrations),
        cmocka_unit_test(moving_edge),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
