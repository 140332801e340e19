/* pipeline/data: axes, windows, signals, tables, cells, flags; pipeline/numerics/linalg. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipeline/data/cell.h"
#include "pipeline/data/flags.h"
#include "pipeline/data/model.h"
#include "pipeline/data/signal.h"
#include "pipeline/numerics/linalg.h"

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.17g is not %.17g (tolerance %g)", got, want, tolerance);
}

/* ---- axes ---- */

static struct ep_axis axis(const char *unit, double offset, double scale, size_t size)
{
    struct ep_axis a = { .name = "Energy loss", .offset = offset, .scale = scale, .size = size };
    strncpy(a.unit, unit, sizeof a.unit - 1);
    return a;
}

static void axis_values(void **state)
{
    (void)state;
    struct ep_axis a = axis("eV", 450, 0.25, 100), k = axis("keV", 0.1, 0.01, 100), u = axis("", 3, 2, 4);
    near(ep_axis_at(&a, 3), 450.75, 0);
    near(ep_axis_at(&k, 10), 200, 1e-9);
    near(ep_axis_at(&u, 1.5), 6, 0);
    near(ep_axis_unit_factor(&k), 1000, 1e-9);
    struct ep_axis t = axis("s", 0, 1, 4), um = axis("um", 0, 1, 4);
    near(ep_axis_unit_factor(&t), 1, 0);
    near(ep_axis_unit_factor(&um), 1000, 1e-9);
}

static void window_is(const struct ep_axis *a, double lo, double hi, double shift, size_t first, size_t end, bool clipped)
{
    bool c;
    struct ep_range r = ep_axis_window(a, lo, hi, shift, &c);
    if (r.first != first || r.end != end || c != clipped)
        fail_msg("%g to %g eV, shift %g: channels %zu to %zu%s, not %zu to %zu%s", lo, hi, shift, r.first, r.end,
                 c ? " clipped" : "", first, end, clipped ? " clipped" : "");
}

static void windows(void **state)
{
    (void)state;
    struct ep_axis a = axis("eV", 450, 0.25, 400);          /* 450 .. 549.75 */
    window_is(&a, 480, 525, 0, 120, 300, false);            /* the end is not in */
    window_is(&a, 480.1, 480.2, 0, 121, 121, false);        /* between two channels */
    window_is(&a, 450, 550, 0, 0, 400, false);
    window_is(&a, 449.8, 550, 0, 0, 400, false);            /* channel -1 would stand at 449.75 */
    window_is(&a, 449.7, 550, 0, 0, 400, true);
    window_is(&a, 450, 550.2, 0, 0, 400, true);             /* channel 400 would stand at 550 */
    window_is(&a, 300, 400, 0, 0, 0, true);
    window_is(&a, 600, 700, 0, 400, 400, true);
    window_is(&a, 500, 500, 0, 200, 200, false);
    window_is(&a, 510, 500, 0, 240, 240, false);            /* the wrong way round: empty */
    window_is(&a, NAN, 500, 0, 0, 0, true);
    /* a thousandth of a channel does not count: so much a scale stored as float32 is off */
    window_is(&a, 480 + 0.2e-3, 525 + 0.2e-3, 0, 120, 300, false);
    window_is(&a, 480 - 0.2e-3, 525 - 0.2e-3, 0, 120, 300, false);
    window_is(&a, 480 + 1e-3, 525 + 1e-3, 0, 121, 301, false);
    struct ep_axis rounded = axis("eV", 380.0000006357732, 0.2999999523162842, 1000);
    window_is(&rounded, 528.2, 560, 0, 494, 600, false);
    /* the true energy of a channel is E_i + shift */
    window_is(&a, 480, 525, 0.5, 118, 298, false);
    window_is(&a, 480, 525, -0.5, 122, 302, false);
    window_is(&a, 480, 525, 40, 0, 140, true);
}

static void windows_of_other_axes(void **state)
{
    (void)state;
    struct ep_axis down = axis("eV", 549.75, -0.25, 400);   /* 549.75 .. 450 */
    window_is(&down, 480, 525, 0, 100, 280, false);         /* 524.75 .. 480 */
    window_is(&down, 450, 550, 0, 0, 400, false);
    window_is(&down, 449.7, 550, 0, 0, 400, true);
    window_is(&down, 450, 550.2, 0, 0, 400, true);
    window_is(&down, 480, 525, 0.5, 102, 282, false);
    window_is(&down, 480 + 0.2e-3, 525 - 0.2e-3, 0, 100, 280, false);
    window_is(&down, 300, 400, 0, 400, 400, true);
    struct ep_axis kev = axis("keV", 0, 0.01, 1000);
    window_is(&kev, 4400, 4600, 0, 440, 460, false);
    window_is(&kev, 4400, 4600, 20, 438, 458, false);
}

/* ---- descriptions and signals ---- */

static struct ep_desc image(size_t nt, size_t ny, size_t nx, size_t nch)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = nch ? EP_IMAGE : EP_MAP;
    d.nnav = nt ? 3 : ny ? 2 : nx ? 1 : 0;
    size_t k = 0;
    if (nt) d.nav[k++] = axis("s", 0, 1, nt);
    if (ny) d.nav[k++] = axis("nm", 0, 1, ny);
    if (nx) d.nav[k++] = axis("nm", 0, 1, nx);
    d.spectral = nch > 0;
    if (nch) d.energy = axis("eV", 0, 1, nch);
    strcpy(d.name, "net");
    return d;
}

static void grids(void **state)
{
    (void)state;
    struct ep_desc none = image(0, 0, 0, 5), x = image(0, 0, 7, 5), yx = image(0, 3, 7, 5), tyx = image(2, 3, 7, 5);
    assert_int_equal(ep_desc_ny(&none), 1);
    assert_int_equal(ep_desc_nx(&none), 1);
    assert_int_equal(ep_desc_ny(&x), 1);
    assert_int_equal(ep_desc_nx(&x), 7);
    assert_int_equal(ep_desc_ny(&yx), 3);
    assert_int_equal(ep_desc_ny(&tyx), 6);
    assert_int_equal(ep_desc_nx(&tyx), 7);
    assert_int_equal(ep_desc_nch(&tyx), 5);
    assert_true(ep_desc_same_grid(&yx, &yx));
    assert_false(ep_desc_same_grid(&yx, &tyx));
    struct ep_desc map = image(0, 3, 7, 0);
    assert_int_equal(ep_desc_nch(&map), 1);
    assert_true(isnan(map.meta.beam_energy_kev));
}

static void signals(void **state)
{
    (void)state;
    struct ep_err e = { 0 };
    struct ep_signal *s;
    struct ep_desc map = image(0, 3, 7, 0);
    map.has_sigma = true;
    assert_int_equal(ep_signal_new(&map, &s, &e), EP_OK);
    assert_int_equal(s->n, 21);
    assert_non_null(s->f32);
    assert_non_null(s->sigma32);
    assert_non_null(s->flags);
    assert_null(s->theta);
    s->f32[4] = 2.5f;
    s->sigma32[4] = 0.5f;
    near(ep_signal_get(s, 4), 2.5, 0);
    near(ep_signal_sigma(s, 4), 0.5, 0);
    ep_signal_free(s);

    struct ep_desc net = image(0, 3, 7, 5);
    net.modelled = true;
    net.shift_max = 1;
    assert_int_equal(ep_signal_new(&net, &s, &e), EP_OK);
    assert_int_equal(s->n, 105);
    assert_non_null(s->model);
    assert_non_null(s->shift);
    s->theta[21 * EP_NTHETA - 1] = s->cmat[21 * EP_NCMAT - 1] = s->shift[20] = 1;
    assert_true(isnan(ep_signal_sigma(s, 0)));
    ep_signal_free(s);

    struct ep_desc profile = image(0, 0, 9, 0);
    profile.kind = EP_PROFILE;
    profile.has_sigma = true;
    assert_int_equal(ep_signal_new(&profile, &s, &e), EP_OK);
    assert_non_null(s->f64);
    assert_non_null(s->sigma64);
    ep_signal_free(s);

    struct ep_desc curve = image(0, 0, 9, 0);
    curve.kind = EP_CURVE;
    assert_int_equal(ep_signal_new(&curve, &s, &e), EP_OK);
    assert_int_equal(s->n, 9);
    s->points[17] = 1;
    ep_signal_free(s);
    ep_signal_free(NULL);
}

static void too_large(void **state)
{
    (void)state;
    struct ep_err e = { 0 };
    struct ep_signal *s;
    struct ep_desc d = image(SIZE_MAX / 4, 1000, 7, 5);
    assert_int_equal(ep_signal_new(&d, &s, &e), EP_E_COMPUTE);
    assert_null(s);
    assert_non_null(strstr(e.msg, "'net' is too large"));
}

static void canonical(void **state)
{
    (void)state;
    struct ep_err e = { 0 };
    struct ep_signal *s;
    struct ep_desc d = image(0, 0, 4, 0);
    assert_int_equal(ep_signal_new(&d, &s, &e), EP_OK);
    uint32_t odd = 0xffc12345, bits[4];
    memcpy(&s->f32[0], &odd, 4);
    s->f32[1] = -0.0f;
    s->f32[2] = -1.5f;
    s->f32[3] = INFINITY;
    ep_signal_canonical(s);
    memcpy(bits, s->f32, sizeof bits);
    assert_int_equal(bits[0], 0x7fc00000);
    assert_int_equal(bits[1], 0);
    near((double)s->f32[2], -1.5, 0);
    assert_true(isinf(s->f32[3]));
    ep_signal_free(s);

    d.kind = EP_PROFILE;                     /* float64 in memory, float32 in the file */
    assert_int_equal(ep_signal_new(&d, &s, &e), EP_OK);
    s->f64[0] = 0.1;
    s->f64[1] = 1e300;
    s->f64[2] = -1e-300;
    ep_signal_canonical(s);
    near(s->f64[0], (double)0.1f, 0);
    assert_true(isinf(s->f64[1]));
    assert_false(signbit(s->f64[2]));
    s->d.dtype = EP_I8;
    s->f64[0] = 2.5;
    s->f64[1] = -300;
    ep_signal_canonical(s);
    near(s->f64[0], 2, 0);
    near(s->f64[1], -128, 0);
    ep_signal_free(s);
}

static void tables(void **state)
{
    (void)state;
    struct ep_err e = { 0 };
    struct ep_signal *t;
    const double num[3] = { 1, 2, 3 }, sigma[3] = { 0.1, 0.2, 0.3 };
    const char *const text[3] = { "a", NULL, "c" };
    assert_int_equal(ep_table_new("fronts", 3, &t, &e), EP_OK);
    assert_int_equal(t->n, 3);
    assert_int_equal(ep_table_add(t, "position", "nm", num, sigma, NULL, &e), EP_OK);
    assert_int_equal(ep_table_add(t, "run", "", NULL, NULL, text, &e), EP_OK);
    assert_int_equal(t->ncol, 2);
    near(t->col[0].sigma[2], 0.3, 0);
    assert_true(t->col[1].is_text);
    assert_string_equal(t->col[1].text[1], "");
    assert_int_equal(ep_table_add(t, "run", "", num, NULL, NULL, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "'fronts' has two columns named 'run'"));
    ep_signal_free(t);
    assert_int_equal(ep_table_new("empty", 0, &t, &e), EP_OK);
    assert_int_equal(ep_table_add(t, "x", "", num, NULL, NULL, &e), EP_OK);
    ep_signal_free(t);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(ep_kind_name(EP_IMAGE), "spectrum image");
    assert_string_equal(ep_kind_name(EP_TABLE), "table");
    assert_string_equal(ep_dtype_name(EP_U16), "uint16");
    assert_int_equal(ep_dtype_size(EP_F64), 8);
    uint32_t all = 0;
    for (size_t i = 0; i < EP_NFLAGS; i++) {
        assert_int_equal(ep_flag_infos[i].bit, UINT32_C(1) << i);
        assert_true(strlen(ep_flag_infos[i].word) > 0 && strlen(ep_flag_infos[i].doc) > 0);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(ep_flag_infos[i].word, ep_flag_infos[k].word);
        all |= ep_flag_infos[i].bit;
    }
    assert_int_equal(EP_FLAGS_FATAL & ~all, 0);
}

/* ---- cells ---- */

static void cells(void **state)
{
    (void)state;
    const size_t sizes[][2] = { { 1, 1 }, { 16, 64 }, { 17, 65 }, { 256, 256 }, { 100, 1000 }, { 5, 0 } };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct ep_grid g = ep_grid_of(sizes[k][0], sizes[k][1]);
        unsigned char *seen = calloc(g.ny * g.nx + 1, 1);
        for (size_t i = 0; i < ep_grid_count(&g); i++) {
            struct ep_area a = ep_grid_cell(&g, i);
            assert_true(a.ny >= 1 && a.ny <= EP_CELL_NY && a.nx >= 1 && a.nx <= EP_CELL_NX);
            for (size_t y = a.y0; y < a.y0 + a.ny; y++)
                for (size_t x = a.x0; x < a.x0 + a.nx; x++) seen[y * g.nx + x]++;
        }
        for (size_t i = 0; i < g.ny * g.nx; i++) assert_int_equal(seen[i], 1);
        free(seen);
    }
    struct ep_grid g = ep_grid_of(40, 130);
    assert_int_equal(ep_grid_count(&g), 9);
    struct ep_area a = ep_area_grow(ep_grid_cell(&g, 0), 3, &g), b = ep_area_grow(ep_grid_cell(&g, 4), 3, &g),
                   c = ep_area_grow(ep_grid_cell(&g, 8), 3, &g), all = ep_area_grow(ep_grid_cell(&g, 4), 1000, &g);
    assert_true(a.y0 == 0 && a.x0 == 0 && a.ny == 19 && a.nx == 67);
    assert_true(b.y0 == 13 && b.x0 == 61 && b.ny == 22 && b.nx == 69);
    assert_true(c.y0 == 29 && c.x0 == 125 && c.ny == 11 && c.nx == 5);
    assert_true(all.y0 == 0 && all.x0 == 0 && all.ny == 40 && all.nx == 130);
}

/* ---- linear algebra ---- */

static void linear_algebra(void **state)
{
    (void)state;
    struct ep_err e = { 0 };
    double a[9] = { 4, 1, 2, 1, 5, 3, 2, 3, 6 }, m[9], b[6], x[6] = { 1, -2, 3, 0.5, -1, 4 };
    memcpy(m, a, sizeof m);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            b[i * 2 + k] = 0;
            for (int j = 0; j < 3; j++) b[i * 2 + k] += a[i * 3 + j] * x[j * 2 + k];
        }
    assert_int_equal(ep_solve_spd(3, m, 2, b, &e), EP_OK);
    for (int i = 0; i < 6; i++) near(b[i], x[i], 1e-12);
    memcpy(m, a, sizeof m);
    assert_int_equal(ep_invert_spd(3, m, &e), EP_OK);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            double s = 0;
            for (int j = 0; j < 3; j++) s += a[i * 3 + j] * m[j * 3 + k];
            near(s, i == k, 1e-12);
            near(m[i * 3 + k], m[k * 3 + i], 0);
        }
    double singular[4] = { 1, 2, 2, 4 }, rhs[2] = { 1, 1 }, bad[4] = { NAN, 0, 0, 1 };
    assert_int_equal(ep_solve_spd(2, singular, 1, rhs, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "not positive definite (dpotrf: info 2)"));
    assert_int_equal(ep_invert_spd(2, bad, &e), EP_E_COMPUTE);
    assert_non_null(strstr(ep_linalg_version(), "OpenBLAS"));
}

int main(void)
{
    ep_linalg_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axis_values), cmocka_unit_test(windows), cmocka_unit_test(windows_of_other_axes),
        cmocka_unit_test(grids),       cmocka_unit_test(signals), cmocka_unit_test(too_large),
        cmocka_unit_test(canonical),   cmocka_unit_test(tables),  cmocka_unit_test(names),
        cmocka_unit_test(cells),       cmocka_unit_test(linear_algebra),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
