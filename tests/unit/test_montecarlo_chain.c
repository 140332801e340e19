/* Displacements by the whole chain, from maps of counts to the front: the boundary is found in the cold run's map, both runs are
 * averaged along it, a front is read in each. Bias and coverage for all shapes of the true profile, straight and wavy boundaries
 * with tilts up to 10 degrees, even and uneven thickness; no displacement where nothing moved; sigmas and flags where a plateau or
 * the front is outside the field.
 *
 * Maps of 40 x 72 pixels of 0.5 nm, 600 counts per pixel on the high plateau above 30. A pixel counts what a probe of 1 nm FWHM finds
 * at its centre, or over its area. (The field is longer than the wave: the mean direction of a boundary that is seen over one wave only is itself unsure,
 * which moves deep fronts by some hundredths of a nm.) EELPIPE_TEST_LONG repeats five times as often.
 */
#include "pipeline/numerics/linalg.h"
#include "tests/unit/front_truth.h"
#include "tests/unit/space_rig.h"

#define NY 40
#define NX 72
#define PIXEL 0.5

static int times(int n)
{
    return getenv("EELPIPE_TEST_LONG") ? 5 * n : n;
}

struct field { double tilt, wave, period, phase, shift, wedge, dy, dx; bool area; };     /* dy, dx: what takes positions here to those of the first run */

static struct field any_field(bool wavy)
{
    return (struct field){ .tilt = 20 * uniform(0) - 10, .wave = wavy ? 1 : 0, .period = 14, .phase = 6.28 * uniform(0), .shift = uniform(0) - 0.5 };
}

/* Signed distance from the boundary, along its mean normal. */
static double distance_in(const struct field *f, double y, double x)
{
    double a = f->tilt * 3.14159265358979323846 / 180, v = -x * sin(a) + y * cos(a);
    return x * cos(a) + y * sin(a) - f->shift - f->wave * sin(6.283185307179586 * v / f->period + f->phase);
}

static double thickness(const struct field *f, double y, double x)
{
    return 1 + f->wedge * (x + 0.5 * y) / (PIXEL * NX);
}

/* side: where the high plateau is, -1 or +1. The sigma of a pixel is that of its own counts, as maps have it. */
static struct ep_signal *counts(const struct field *f, const struct curve *c, int side, double dose)
{
    struct ep_desc d = plane(NY, NX, PIXEL);
    d.has_sigma = true;
    struct ep_signal *m = new_map(&d);
    for (size_t i = 0; i < m->n; i++) {
        double y = ((double)(i / NX) + 0.5 - NY / 2.) * PIXEL + f->dy, x = ((double)(i % NX) + 0.5 - NX / 2.) * PIXEL + f->dx;
        double mean = 0, h = PIXEL / 3;
        for (int k = 0; k < 9; k++)
            if (f->area || k == 4) mean += (0.05 + share(c, -side * distance_in(f, y + (k / 3 - 1) * h, x + (k % 3 - 1) * h))) / (f->area ? 9 : 1);
        mean *= thickness(f, y, x);
        m->f32[i] = (float)poisson(dose * mean);
        m->sigma32[i] = sqrtf(m->f32[i]);
    }
    return m;
}

struct chain { double displacement, sigma, registration; char flags[256]; bool fine; };
struct setting { const char *interface, *profile, *front; bool normalize; };

static void front_of(struct space *p, struct space *f, const struct setting *set, const struct ep_signal *map, const struct ep_signal *boundary,
                     const struct ep_signal *by, const struct ep_signal *reference)
{
    const struct ep_signal *in[6][4] = { { map }, { boundary }, { NULL }, { by } }, *profile[3][4] = { { NULL }, { NULL }, { reference } };
    space_run(p, "profile", set->profile, in, 6);
    if (p->st) fail_msg("%s", p->e.msg);
    profile[0][0] = p->out[0];
    space_run(f, "front", set->front, profile, 3);
    if (f->st) fail_msg("%s", f->e.msg);
}

static const char *text_of(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return t->col[i].text[0];
    fail_msg("no column %s", name);
    return NULL;
}

static struct chain follow(const struct setting *set, const struct field *f, const struct curve *cold, const struct curve *hot, int side)
{
    struct chain r = { 0 };
    struct ep_signal *a = counts(f, cold, side, 600), *b = counts(f, hot, side, 600), *t = NULL;
    struct space q, pa, pb, fa, fb;
    if (set->normalize) {
        struct ep_desc d = plane(NY, NX, PIXEL);
        t = new_map(&d);
        for (size_t i = 0; i < t->n; i++)
            t->f32[i] = (float)thickness(f, ((double)(i / NX) + 0.5 - NY / 2.) * PIXEL, ((double)(i % NX) + 0.5 - NX / 2.) * PIXEL);
    }
    const struct ep_signal *in[2][4] = { { a } };
    space_run(&q, "interface", set->interface, in, 2);
    if (q.st) fail_msg("%s", q.e.msg);
    front_of(&pa, &fa, set, a, q.out[0], t, NULL);
    front_of(&pb, &fb, set, b, q.out[0], t, fa.out[0]);
    r.displacement = cell_of_table(fb.out[0], "displacement", &r.sigma);
    snprintf(r.flags, sizeof r.flags, "%s", text_of(fb.out[0], "flags"));
    struct space *all[] = { &q, &pa, &fa, &pb, &fb };
    for (size_t i = 0; i < 5; i++) space_free(all[i]);
    ep_signal_free(a);
    ep_signal_free(b);
    ep_signal_free(t);
    return r;
}

static void print(const char *name, const struct tally *t)
{
    printf("  %-44s n %4.0f  bias %+.3f  rms %.3f  sigma %.3f  inside %.0f and %.0f %%\n", name, t->n, t->sum / t->n, sqrt(t->square / t->n),
           t->sigma / t->n, 100 * t->inside / t->n, 100 * t->inside2 / t->n);
}

static const struct setting straight = { "{positive: low}", "{}", "{}", false }, wavy = { "{positive: low, curve: smooth}", "{}", "{}", false };

/* Every other field has uneven thickness, which is divided out; every other counts areas and not points, which the recipe does not know. */
static struct chain follow_any(bool wave, const struct curve *cold, const struct curve *hot, int k)
{
    struct field f = any_field(wave);
    struct setting set = wave ? wavy : straight;
    set.normalize = k & 2;
    f.area = (k >> 2) & 1;
    f.wedge = set.normalize ? 0.6 * (uniform(0) - 0.5) : 0;
    return follow(&set, &f, cold, hot, k & 1 ? 1 : -1);
}

/* Against the judged limits: a mean bias of 0.05 nm on straight boundaries and 0.1 nm on wavy ones, where it is measured to a tenth of
 * that; 68 % intervals that hold the truth in 60 to 76 % of the cases, pooled over 240 (3 % is the standard deviation of such a share). */
static void test_shapes(void **unused)
{
    (void)unused;
    struct tally pooled = { 0 };
    static struct curve cold, hot;
    uniform(11);
    blur(SHARP, 0, &cold);
    for (int wave = 0; wave < 2; wave++)
        for (int shape = SYMMETRIC; shape < SHAPES; shape++)
            for (int depth = 2; depth <= 6; depth += 4) {
                struct tally t = { 0 };
                char name[80];
                blur((enum shape)shape, depth, &hot);
                for (int k = 0; k < times(20); k++) {
                    struct chain r = follow_any(wave, &cold, &hot, k);
                    double off = r.displacement - (truth(&hot) - truth(&cold));
                    count(&t, off, r.sigma);
                    count(&pooled, off, r.sigma);
                }
                snprintf(name, sizeof name, "%s, %s, %d nm", shape_names[shape], wave ? "wavy" : "straight", depth);
                print(name, &t);
                if (!(fabs(t.sum / t.n) < (wave ? 0.1 : 0.05))) fail_msg("%s: bias %.3f nm", name, t.sum / t.n);
            }
    print("pooled", &pooled);
    double one = pooled.inside / pooled.n, two = pooled.inside2 / pooled.n;
    if (one < 0.60 || one > 0.76 || two < 0.92) fail_msg("intervals cover %.3f and %.3f", one, two);
    assert_true(fabs(pooled.sum / pooled.n) < 0.01);
}

static void test_nothing_moved(void **unused)
{
    (void)unused;
    static struct curve cold;
    blur(SHARP, 0, &cold);
    uniform(12);
    for (int wave = 0; wave < 2; wave++) {
        struct tally t = { 0 };
        for (int k = 0; k < times(50); k++) {
            struct chain r = follow_any(wave, &cold, &cold, k);
            count(&t, r.displacement, r.sigma);
        }
        print(wave ? "nothing moved, wavy" : "nothing moved, straight", &t);
        assert_true(t.inside2 >= 0.95 * t.n && t.sigma / t.n < 0.05);
    }
}

/* ---- line by line ------------------------------------------------------------------------------------------------- */

/* Each line of 2 nm has an honest sigma, and their mean is the front of the profile of all. */
static void test_lines(void **unused)
{
    (void)unused;
    static struct curve hot;
    struct tally pooled = { 0 }, means = { 0 };
    uniform(15);
    for (int shape = SYMMETRIC; shape < SHAPES; shape++) {
        struct tally t = { 0 };
        double none = 0;
        blur((enum shape)shape, 4, &hot);
        for (int k = 0; k < times(6); k++) {
            struct field f = any_field(false);
            struct ep_signal *m = counts(&f, &hot, 1, 600), *b = boundary(3 + 0.25 * (NY - 1), 0, f.tilt, 19, 0);
            /* the true boundary, in the positions of the map */
            double a = f.tilt * RAD, cx = -5 + 0.25 * (NX - 1) + f.shift * cos(a), cy = 3 + 0.25 * (NY - 1) + f.shift * sin(a);
            for (size_t i = 0; i < b->n; i++) {
                b->points[5 * i] += cy - (3 + 0.25 * (NY - 1));
                b->points[5 * i + 1] += cx;
            }
            const struct ep_signal *in[6][4] = { { m }, { NULL }, { NULL }, { b } }, *along[6][4] = { { m }, { b } };
            struct space q, p, fr;
            space_run(&q, "front", "{width: 2}", in, 6);
            if (q.st) fail_msg("%s", q.e.msg);
            space_run(&p, "profile", "{}", along, 6);
            const struct ep_signal *one[3][4] = { { p.out[0] } };
            space_run(&fr, "front", "{}", one, 3);
            const struct ep_column *c = q.out[0]->col;
            while (strcmp(c->name, "position")) c++;
            double w = 0, sum = 0, s = 0, at = cell_of_table(fr.out[0], "position", &s);
            for (size_t i = 0; i < q.out[0]->n; i++) {
                if (!isfinite(c->num[i])) {
                    none += 1;
                    continue;
                }
                count(&t, -c->num[i] - truth(&hot), c->sigma[i]);        /* the high side lies at large distances */
                count(&pooled, -c->num[i] - truth(&hot), c->sigma[i]);
                w += 1 / (c->sigma[i] * c->sigma[i]);
                sum += c->num[i] / (c->sigma[i] * c->sigma[i]);
            }
            count(&means, sum / w - at, hypot(s, 1 / sqrt(w)));
            struct space *all[] = { &q, &p, &fr };
            for (size_t i = 0; i < 3; i++) space_free(all[i]);
            ep_signal_free(m);
            ep_signal_free(b);
        }
        print(shape_names[shape], &t);
        assert_true(none < 0.03 * t.n && fabs(t.sum / t.n) < 0.1);
    }
    print("lines, pooled", &pooled);
    print("mean of the lines less the profile's", &means);
    assert_true(pooled.inside / pooled.n > 0.60 && pooled.inside2 / pooled.n > 0.90);
    assert_true(means.inside2 / means.n > 0.9);
}

/* ---- a field that drifts ------------------------------------------------------------------------------------------ */

/* What stays: the boundary and grains on both of its sides. 200 counts on the brighter side. */
static struct ep_signal *haadf(const struct field *f, uint64_t frame)
{
    static const double grain[][3] = { { -5, -8, 3 }, { 4, -11, 2 }, { 2, 7, 4 }, { -6, 11, 2.5 }, { 6, 13, 3 } };
    struct ep_desc d = plane(NY, NX, PIXEL);
    d.has_sigma = true;
    d.frame_id = frame;
    struct ep_signal *m = new_map(&d);
    for (size_t i = 0; i < m->n; i++) {
        double y = ((double)(i / NX) + 0.5 - NY / 2.) * PIXEL + f->dy, x = ((double)(i % NX) + 0.5 - NX / 2.) * PIXEL + f->dx;
        double z = 1 + 0.5 * erfc(distance_in(f, y, x) / 0.6);
        for (size_t k = 0; k < COUNT(grain); k++) z += 0.4 * exp(-(pow(y - grain[k][0], 2) + pow(x - grain[k][1], 2)) / (grain[k][2] * grain[k][2]));
        m->f32[i] = (float)poisson(100 * z);
        m->sigma32[i] = sqrtf(m->f32[i]);
    }
    return m;
}

/* The hot scan lies up to 2 nm elsewhere, by an amount that is registered on what stays: then the sigma of that is in the displacement. */
static void test_drifting(void **unused)
{
    (void)unused;
    struct tally t = { 0 }, still = { 0 }, noise = { 0 };
    static struct curve cold, hot;
    uniform(14);
    blur(SHARP, 0, &cold);
    blur(ONE_SIDED, 4, &hot);
    for (int k = 0; k < times(60); k++) {
        bool moves = k & 1;
        struct field f = any_field(false), g = f;
        g.dy = 4 * uniform(0) - 2;
        g.dx = 4 * uniform(0) - 2;
        struct ep_signal *a = counts(&f, &cold, 1, 600), *b = counts(&g, moves ? &hot : &cold, 1, 600), *ha = haadf(&f, 7), *hb = haadf(&g, 8);
        b->d.frame_id = 8;
        struct space edge, self, drift, p[2], fr[2];
        const struct ep_signal *in[2][4] = { { a } }, *on_itself[3][4] = { { ha }, { ha } }, *on_cold[3][4] = { { hb }, { ha } };
        space_run(&edge, "interface", "{positive: low}", in, 2);
        space_run(&self, "register", "{}", on_itself, 3);
        space_run(&drift, "register", "{}", on_cold, 3);
        if (edge.st || self.st || drift.st) fail_msg("%s%s%s", edge.e.msg, self.e.msg, drift.e.msg);
        for (int run = 0; run < 2; run++) {
            const struct ep_signal *map[6][4] = { { run ? b : a }, { edge.out[0] }, { NULL }, { NULL }, { NULL }, { run ? drift.out[0] : self.out[0] } };
            space_run(&p[run], "profile", "{}", map, 6);
            if (p[run].st) fail_msg("%s", p[run].e.msg);
            const struct ep_signal *profile[3][4] = { { p[run].out[0] }, { NULL }, { run ? fr[0].out[0] : NULL } };
            space_run_as(&fr[run], "front", "{}", profile, 3, run == 0);
            if (fr[run].st) fail_msg("%s", fr[run].e.msg);
        }
        double s = 0, d = cell_of_table(fr[1].out[0], "displacement", &s), off = d - (moves ? truth(&hot) - truth(&cold) : 0);
        count(&t, off, s);
        count(&noise, off, sqrt(s * s - pow(cell_of_table(fr[1].out[0], "registration", NULL), 2)));
        if (!moves) count(&still, off, s);
        assert_true(cell_of_table(fr[0].out[0], "registration", NULL) == 0 && cell_of_table(fr[0].out[0], "displacement", NULL) == 0);
        struct space *all[] = { &edge, &self, &drift, &p[0], &p[1], &fr[0], &fr[1] };
        for (size_t i = 0; i < COUNT(all); i++) space_free(all[i]);
        struct ep_signal *maps[] = { a, b, ha, hb };
        for (size_t i = 0; i < 4; i++) ep_signal_free(maps[i]);
    }
    print("registered", &t);
    print("registered, nothing moved", &still);
    print("registered, if its sigma were left out", &noise);
    /* four standard deviations of the number of runs inside; without the registration's sigma that would be missed by far */
    assert_true(fabs(t.inside / t.n - 0.683) < 4 * sqrt(0.683 * 0.317 / t.n) && t.inside2 / t.n > 0.954 - 4 * sqrt(0.954 * 0.046 / t.n));
    assert_true(still.inside2 / still.n > 0.954 - 4 * sqrt(0.954 * 0.046 / still.n));
    /* The grains are the same in every draw: what the registration is off by for them, some hundredths of a pixel, does not average
     * out. Asked for on a straight boundary: 0.05 nm. */
    assert_true(fabs(t.sum / t.n) < 0.02 + 4 * sqrt(t.square) / t.n);
    assert_true(noise.inside / noise.n < 0.683 - 3 * sqrt(0.683 * 0.317 / noise.n));
}

/* The field ends before a plateau, or before the front: a flag says so, and sigma is wide enough. */
static void test_outside(void **unused)
{
    (void)unused;
    static const struct { const char *name; double shift; enum shape shape; double depth; } cases[] = {
        { "low plateau outside", 11, SYMMETRIC, 9 }, { "low plateau outside, one-sided", 11, ONE_SIDED, 9 },
        { "front outside", 14, SYMMETRIC, 9 }, { "front outside, one-sided", 14, ONE_SIDED, 9 }, { "high plateau outside", -13, SYMMETRIC, 9 },
    };
    static struct curve cold, hot;
    uniform(13);
    blur(SHARP, 0, &cold);
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct tally t = { 0 };
        double said = 0;
        blur(cases[c].shape, cases[c].depth, &hot);
        for (int k = 0; k < times(8); k++) {
            struct field f = any_field(false);
            f.shift = cases[c].shift;
            f.tilt /= 2;                     /* the boundary stays in the field */
            struct chain r = follow(&straight, &f, &cold, &hot, -1);
            said += strstr(r.flags, "plateau in view") || strstr(r.flags, "outside the field");
            count(&t, r.displacement - (truth(&hot) - truth(&cold)), r.sigma);
        }
        print(cases[c].name, &t);
        if (said < t.n || t.inside2 < 0.9 * t.n || t.sigma / t.n < 0.5) fail_msg("%s: %g of %g say so", cases[c].name, said, t.n);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_nothing_moved),
                                        cmocka_unit_test(test_outside), cmocka_unit_test(test_lines),
                                        cmocka_unit_test(test_drifting) };
    ep_linalg_init();
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
