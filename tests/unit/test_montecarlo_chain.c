/* Displacements by the whole chain, from maps of counts to the front: the boundary is found in the cold run's map, both runs are
 * averaged along it, a front is read in each. Bias and coverage for all shapes of the true profile, straight and wavy boundaries
 * with tilts up to 10 degrees, even and uneven thickness; no displacement where nothing moved; sigmas and flags where a plateau or
 * the front is outside the field.
 *
 * Maps of 40 x 72 pixels of 0.5 nm, 600 counts per pixel on the high plateau above 30. A pixel counts what a probe of 1 nm FWHM
 * finds at its centre. EELPIPE_TEST_LONG repeats five times as often and prints more.
 */
#include "tests/unit/front_truth.h"
#include "tests/unit/space_rig.h"

#define NY 40
#define NX 72
#define PIXEL 0.5

static int times(int n)
{
    return getenv("EELPIPE_TEST_LONG") ? 5 * n : n;
}

struct field { double tilt, wave, period, phase, shift, wedge; };

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
        double y = ((double)(i / NX) + 0.5 - NY / 2.) * PIXEL, x = ((double)(i % NX) + 0.5 - NX / 2.) * PIXEL;
        double mean = thickness(f, y, x) * (0.05 + share(c, -side * distance_in(f, y, x)));
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

struct tally { double n, sum, square, inside, inside2, sigma; };

static void count(struct tally *t, double off, double sigma)
{
    t->n += 1;
    t->sum += off;
    t->square += off * off;
    t->inside += fabs(off) < sigma;
    t->inside2 += fabs(off) < 2 * sigma;
    t->sigma += sigma;
}

static void print(const char *name, const struct tally *t)
{
    printf("  %-44s n %4.0f  bias %+.3f  rms %.3f  sigma %.3f  inside %.0f and %.0f %%\n", name, t->n, t->sum / t->n, sqrt(t->square / t->n),
           t->sigma / t->n, 100 * t->inside / t->n, 100 * t->inside2 / t->n);
}

static const struct setting straight = { "{positive: low}", "{}", "{}", false }, wavy = { "{positive: low, curve: smooth}", "{}", "{}", false };

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
                for (int k = 0; k < times(25); k++) {
                    struct field f = any_field(wave);
                    struct chain r = follow(wave ? &wavy : &straight, &f, &cold, &hot, k & 1 ? 1 : -1);
                    double off = r.displacement - (truth(&hot) - truth(&cold));
                    count(&t, off, r.sigma);
                    count(&pooled, off, r.sigma);
                }
                snprintf(name, sizeof name, "%s, %s, %d nm", shape_names[shape], wave ? "wavy" : "straight", depth);
                print(name, &t);
            }
    print("pooled", &pooled);
}

static void test_nothing_moved(void **unused)
{
    (void)unused;
    static struct curve cold;
    blur(SHARP, 0, &cold);
    uniform(12);
    for (int wave = 0; wave < 2; wave++) {
        struct tally t = { 0 };
        for (int k = 0; k < times(100); k++) {
            struct field f = any_field(wave);
            struct chain r = follow(wave ? &wavy : &straight, &f, &cold, &cold, k & 1 ? 1 : -1);
            count(&t, r.displacement, r.sigma);
        }
        print(wave ? "nothing moved, wavy" : "nothing moved, straight", &t);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_nothing_moved) };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
