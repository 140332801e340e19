/* profile of spectrum images: sums in whole pixels against sums made here, what is left out, mistakes, noise. */
#include "tests/unit/space_rig.h"

#define NY 20
#define NX 24
#define NCH 40

static struct ep_signal *image(double shift_max)
{
    struct ep_desc d = plane(NY, NX, 0.5);
    d.kind = EP_IMAGE;
    d.spectral = true;
    d.energy = (struct ep_axis){ "Energy", "eV", 500, 0.5, NCH };
    d.shift_max = shift_max;
    strcpy(d.meta.signal_type, "EELS");
    struct ep_signal *s = new_map(&d);
    if (!s->flags) s->flags = calloc(NY * NX, sizeof *s->flags);
    return s;
}

/* A straight boundary through x = 1, tilted by 10 degrees, seen all along the field. */
static struct ep_signal *tilted(void)
{
    struct ep_desc d = plane(NY, NX, 0.5);
    d.kind = EP_CURVE;
    d.nnav = 1;
    d.nav[0] = (struct ep_axis){ "point", "", 0, 1, 2 };
    struct ep_signal *b = new_map(&d);
    double a = 10 * 3.14159265358979323846 / 180;
    for (int k = 0; k < 2; k++) {
        double v = k ? 20 : -20, *q = b->points + 5 * k;
        const double point[5] = { 8 + v * cos(a), 1 - v * sin(a), sin(a), cos(a), 0.02 };
        memcpy(q, point, sizeof point);
    }
    return b;
}

static double distance_of(const struct ep_signal *m, size_t i)
{
    double a = 10 * 3.14159265358979323846 / 180;
    return (y_of(m, i) - 8) * sin(a) + (x_of(m, i) - 1) * cos(a);
}

static void test_sums(void **unused)
{
    (void)unused;
    uniform(21);
    struct ep_signal *m = image(0), *b = tilted();
    struct ep_desc plain = plane(NY, NX, 0.5);
    struct ep_signal *mask = new_map(&plain);
    for (size_t i = 0; i < m->n; i++) m->f32[i] = (float)poisson(5);
    for (size_t i = 0; i < mask->n; i++) mask->f32[i] = i % 7 != 0;
    m->flags[30] = EP_FLAG_NO_ZLP;
    m->flags[100] = EP_FLAG_SATURATED;
    m->f32[200 * NCH + 3] = NAN;
    const struct ep_signal *in[6][4] = { { m }, { b }, { mask } };
    struct space q;
    space_run(&q, "profile", "{bin: 0.7, range: [-4.2, 9.1]}", in, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    const struct ep_signal *s = q.out[0], *pixels = q.out[1];
    assert_int_equal(s->d.kind, EP_IMAGE);
    assert_int_equal(s->d.nav[0].size, 19);
    assert_float_equal(s->d.nav[0].offset, -4.2 + 0.35, 1e-9);
    assert_true(q.r.d.out[0].primary && s->d.energy.size == NCH && s->d.gain == m->d.gain);
    size_t counted = 0;
    for (size_t k = 0; k < 19; k++) {
        double sum[NCH] = { 0 }, n = 0;
        bool left = false, saturated = false;
        for (size_t i = 0; i < NY * NX; i++) {
            if (floor((distance_of(m, i) + 4.2) / 0.7) != (double)k) continue;
            if (mask->f32[i] == 0 || i == 30 || i == 200) {
                left = true;
                continue;
            }
            n += 1;
            saturated |= i == 100;
            for (size_t c = 0; c < NCH; c++) sum[c] += (double)m->f32[i * NCH + c];
        }
        assert_float_equal(pixels->f32[k], n, 0);
        for (size_t c = 0; c < NCH && n > 0; c++) assert_float_equal(s->f32[k * NCH + c], sum[c], 0);
        if (n == 0) assert_true(isnan(s->f32[k * NCH]) && s->flags[k] != 0);
        else assert_int_equal(s->flags[k], (left ? EP_FLAG_PARTIAL : 0) | (saturated ? EP_FLAG_SATURATED : 0));
        counted += (size_t)n;
    }
    assert_true(counted > 300 && pixels->f32[18] == 0);      /* the last bins lie beyond the field */
    space_free(&q);
    /* Along a drawn line the axis is known without a range. */
    const struct ep_signal *line[6][4] = { { m } };
    space_run(&q, "profile", "{from: [5, -4], to: [5, 2], width: 2.1, bin: 1}", line, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    assert_int_equal(q.out[0]->d.nav[0].size, 6);
    assert_float_equal(q.out[1]->f32[2], 10, 0);             /* two columns, five rows */
    space_free(&q);
    ep_signal_free(m);
    ep_signal_free(mask);
    ep_signal_free(b);
}

/* Aligned pixels by the nearest channel; read noise of the fullest bin. */
static void test_aligned(void **unused)
{
    (void)unused;
    struct ep_signal *m = image(2), *b = tilted();
    m->d.read_noise = 3;
    for (size_t i = 0; i < NY * NX; i++) {
        int move = (int)(i % 3) - 1;                         /* channels */
        m->shift[i] = 0.5 * move + 0.1;
        for (int c = 0; c < NCH; c++) m->f32[i * NCH + (size_t)c] = c + move == 20;
    }
    const struct ep_signal *in[6][4] = { { m }, { b } };
    struct space q;
    space_run(&q, "profile", "{bin: 2, range: [-2, 2]}", in, 6);
    if (q.st) fail_msg("%s", q.e.msg);
    double most = 0;
    for (size_t k = 0; k < 2; k++) {
        most = fmax(most, (double)q.out[1]->f32[k]);
        for (size_t c = 0; c < NCH; c++) {
            float v = q.out[0]->f32[k * NCH + c];
            if (c == 0 || c == NCH - 1) assert_true(isnan(v));          /* not every pixel covers them */
            else assert_float_equal(v, c == 20 ? q.out[1]->f32[k] : 0, 0);
        }
    }
    assert_float_equal(q.out[0]->d.read_noise, 3 * sqrt(most), 1e-9);
    space_free(&q);
    ep_signal_free(m);
    ep_signal_free(b);
}

static void refuses(const char *par, const struct ep_signal *const in[][4], const char *words)
{
    struct space q;
    space_declare(&q, "profile", par, in, 6);
    if (q.r.diag.nerrors == 0 || !says(&q.r, words)) fail_msg("%s: no '%s'", par, words);
    space_free(&q);
}

static void test_mistakes(void **unused)
{
    (void)unused;
    struct ep_signal *m = image(0), *b = tilted();
    struct ep_desc plain = plane(NY, NX, 0.5);
    struct ep_signal *t = new_map(&plain);
    const struct ep_signal *in[6][4] = { { m }, { b } }, *by[6][4] = { { m }, { b }, { NULL }, { t } };
    refuses("{}", in, "needs range");
    refuses("{range: [-2, 2], statistic: mean}", in, "spectra are summed");
    refuses("{range: [-2, 2]}", by, "divide what is fitted");
    refuses("{range: [-100000, 100000], bin: 0.2}", in, "wider bins or a smaller range");
    m->d.modelled = true;
    refuses("{range: [-2, 2]}", in, "put profile before background");
    m->d.modelled = false;
    struct space q;
    for (size_t i = 0; i < NY * NX; i++) m->flags[i] = EP_FLAG_MASKED;
    space_run(&q, "profile", "{range: [-2, 2]}", in, 6);
    assert_true(q.st == EP_E_COMPUTE && strstr(q.e.msg, "no pixel beside the boundary has a spectrum"));
    space_free(&q);
    for (size_t i = 0; i < NY * NX; i++) m->flags[i] = 0;
    space_run(&q, "profile", "{range: [40, 50]}", in, 6);
    assert_true(q.st == EP_E_COMPUTE && strstr(q.e.msg, "none of them from 40 to 50"));
    space_free(&q);
    ep_signal_free(m);
    ep_signal_free(b);
    ep_signal_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sums), cmocka_unit_test(test_aligned), cmocka_unit_test(test_mistakes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
