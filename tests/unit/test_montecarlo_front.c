/* What noise does to fronts: bias and coverage of the displacement for three shapes of the true profile, straight and wavy
 * boundaries; no displacement where nothing moved; wide sigmas where a plateau is outside the field.
 *
 * Maps of 28 x 72 pixels of 0.5 nm, 600 counts per pixel on the high plateau above 30, are counted into bins by signed distance
 * from the boundary as a profile step does: each pixel's area is split between the bins, which correlates neighbours. A pixel counts
 * what a probe of 1 nm FWHM finds at its centre. The truth is where the curve that such a probe draws has a tenth of the step left.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/numerics/step_fit.h"
#include "tests/unit/front_truth.h"

#define NY 28
#define NX 72
#define PIXEL 0.5

/* ---- random numbers -------------------------------------------------------------------------------------------------- */

static uint64_t rng[2] = { 0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u };

static double uniform(void)
{
    uint64_t a = rng[0], b = rng[1];
    rng[0] = b;
    a ^= a << 23;
    rng[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return ((double)((rng[1] + b) >> 11) + 0.5) * 0x1p-53;
}

static double poisson(double mu)
{
    if (mu > 200) return fmax(0, floor(mu + sqrt(mu) * sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform()) + 0.5));
    double limit = exp(-mu), p = 1, n = -1;
    do n++, p *= uniform();
    while (p > limit);
    return n;
}

struct scene { enum shape shape; double depth, counts, background, tilt, wave, period, shift; };

/* Signed distance from the boundary through the middle: along the mean normal, as a profile is made. */
static double distance(const struct scene *s, double y, double x)
{
    double a = s->tilt * M_PI / 180, along = -x * sin(a) + y * cos(a);
    return x * cos(a) + y * sin(a) - s->shift - s->wave * sin(2 * M_PI * along / s->period);
}

/* ---- a profile ---------------------------------------------------------------------------------------------------------- */

#define BIN 0.5
#define MAXBIN 200
#define SUB 6
struct profile { size_t n, nband; double x[MAXBIN], y[MAXBIN], sigma[MAXBIN], band[MAXBIN * 3]; };

static void make_profile(const struct scene *s, const struct curve *c, struct profile *out)
{
    static double w[MAXBIN], sum[MAXBIN], var[MAXBIN], cov[MAXBIN][3], total[MAXBIN];
    memset(sum, 0, sizeof sum), memset(var, 0, sizeof var), memset(cov, 0, sizeof cov), memset(total, 0, sizeof total);
    const double first = -40;
    for (size_t iy = 0; iy < NY; iy++)
        for (size_t ix = 0; ix < NX; ix++) {
            double mean = share(c, distance(s, ((double)iy + 0.5 - NY / 2.) * PIXEL, ((double)ix + 0.5 - NX / 2.) * PIXEL));
            memset(w, 0, sizeof w);
            size_t lo = MAXBIN, hi = 0;
            for (size_t k = 0; k < SUB * SUB; k++) {
                double y = ((double)iy + ((double)(k / SUB) + 0.5) / SUB - NY / 2.) * PIXEL;
                double x = ((double)ix + ((double)(k % SUB) + 0.5) / SUB - NX / 2.) * PIXEL, d = distance(s, y, x);
                size_t b = (size_t)((d - first) / BIN);
                w[b] += 1. / (SUB * SUB);
                if (b < lo) lo = b;
                if (b > hi) hi = b;
            }
            double counts = poisson(s->background + s->counts * mean);
            for (size_t b = lo; b <= hi; b++) {
                sum[b] += w[b] * counts;
                total[b] += w[b];
                var[b] += w[b] * w[b] * counts;
                for (size_t k = 1; k <= 3 && b + k <= hi; k++) cov[b][k - 1] += w[b] * w[b + k] * counts;
            }
        }
    memset(out, 0, sizeof *out);
    out->nband = 3;
    size_t a = 0, b = MAXBIN - 1;
    while (total[a] < 4) a++;
    while (total[b] < 4) b--;
    for (size_t i = a; i <= b; i++) {
        size_t k = out->n++;
        out->x[k] = first + ((double)i + 0.5) * BIN;
        out->y[k] = sum[i] / total[i];
        out->sigma[k] = sqrt(var[i]) / total[i];
        for (size_t q = 0; q < 3 && i + 1 + q <= b; q++) out->band[k * 3 + q] = cov[i][q] / (total[i] * total[i + 1 + q]);
    }
}

static const struct ep_step_options automatic = { .models = 15, .threshold = 0.1, .probe = NAN, .edge = BIN, .blur = (PIXEL * PIXEL + BIN * BIN) / 12 };

static bool analyse(const struct profile *p, struct ep_step_result *r)
{
    struct ep_err e = { 0 };
    struct ep_step_data d = { p->n, p->x, p->y, p->sigma, p->nband, p->band };
    return ep_step_analyse(&d, &automatic, r, &e) == EP_OK;
}

/* ---- statistics ---------------------------------------------------------------------------------------------------------- */

static void print(const char *name, const struct tally *t)
{
    if (getenv("EELPIPE_TEST_LONG"))
        fprintf(stderr, "%-34s n %4.0f  bias %+.3f  rms %.3f  sigma %.3f  68: %.0f %%  95: %.0f %%\n", name, t->n, t->sum / t->n,
                sqrt(t->square / t->n), t->sigma / t->n, 100 * t->inside / t->n, 100 * t->inside2 / t->n);
}

static int times(int n)
{
    return getenv("EELPIPE_TEST_LONG") ? 5 * n : n;
}

static struct scene scene_of(enum shape shape, double depth, bool wavy)
{
    return (struct scene){ shape, depth, 600, 30, 20 * uniform() - 10, wavy ? 1 : 0, 14, uniform() - 0.5 };
}

/* Both runs on one boundary, as `at` and `relative_to` give it. */
static double displacement(const struct scene *hot, double *sigma)
{
    static struct curve cc, hc;
    struct scene cold = *hot;
    struct profile a, b;
    struct ep_step_result ra, rb;
    cold.shape = SHARP;
    blur(cold.shape, cold.depth, &cc);
    blur(hot->shape, hot->depth, &hc);
    make_profile(&cold, &cc, &a);
    make_profile(hot, &hc, &b);
    if (!analyse(&a, &ra) || !analyse(&b, &rb)) fail_msg("%s: no fit", shape_names[hot->shape]);
    *sigma = sqrt(ra.noise * ra.noise + rb.noise * rb.noise + ra.model * ra.model + rb.model * rb.model);
    return rb.fit[rb.best].position - ra.fit[ra.best].position - (truth(&hc) - truth(&cc));
}

static void test_shapes(void **unused)
{
    (void)unused;
    struct tally pooled = { 0 };
    for (int wavy = 0; wavy < 2; wavy++)
        for (int shape = SYMMETRIC; shape < SHAPES; shape++)
            for (int depth = 3; depth <= 6; depth += 3) {
                struct tally t = { 0 };
                char name[64];
                for (int k = 0; k < times(20); k++) {
                    struct scene s = scene_of((enum shape)shape, depth, wavy);
                    double sigma, off = displacement(&s, &sigma);
                    count(&t, off, sigma);
                    count(&pooled, off, sigma);
                }
                snprintf(name, sizeof name, "%s, %s, %d nm", shape_names[shape], wavy ? "wavy" : "straight", depth);
                print(name, &t);
                if (fabs(t.sum / t.n) > 0.03) fail_msg("%s: bias %.3f nm", name, t.sum / t.n);
            }
    print("pooled", &pooled);
    double one = pooled.inside / pooled.n, two = pooled.inside2 / pooled.n;
    if (one < 0.60 || one > 0.80 || two < 0.92) fail_msg("intervals cover %.3f and %.3f", one, two);
    assert_true(fabs(pooled.sum / pooled.n) < 0.01);
}

/* Nothing moved: 95 of 100 displacements within two sigma. */
static void test_nothing_moved(void **unused)
{
    (void)unused;
    struct tally t = { 0 };
    for (int k = 0; k < times(100); k++) {
        struct scene s = scene_of(SHARP, 0, k & 1);
        double sigma, off = displacement(&s, &sigma);
        count(&t, off, sigma);
    }
    print("nothing moved", &t);
    assert_true(t.inside2 >= 0.95 * t.n && t.sigma / t.n < 0.05);
}

/* The field ends before the low plateau, or before the front: the sigma is wide enough, and a flag says so. */
static void test_outside(void **unused)
{
    (void)unused;
    for (int where = 0; where < 3; where++) {
        static struct curve c;
        struct tally t = { 0 };
        int said = 0;
        for (int k = 0; k < times(15); k++) {
            struct scene s = scene_of(k % 2 ? ONE_SIDED : SYMMETRIC, 9, false);
            struct profile p;
            struct ep_step_result r;
            s.shift = where == 0 ? 9 : where == 1 ? 15 : -14;    /* low plateau; front; high plateau outside */
            if (where == 2) s.shape = SYMMETRIC;
            blur(s.shape, s.depth, &c);
            make_profile(&s, &c, &p);
            if (!analyse(&p, &r)) continue;
            double off = r.fit[r.best].position - truth(&c), sigma = hypot(r.noise, r.model);
            count(&t, off, sigma);
            said += !r.low_in_view || !r.high_in_view || !r.inside;
        }
        print(where == 0 ? "low plateau outside" : where == 1 ? "front outside" : "high plateau outside", &t);
        if (said < t.n || t.inside2 < 0.85 * t.n || t.sigma / t.n < 0.5)
            fail_msg("%d: %d of %g say so, %g within two sigma of %g", where, said, t.n, t.inside2, t.sigma / t.n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_nothing_moved), cmocka_unit_test(test_outside) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
