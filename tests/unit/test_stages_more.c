/* sum_spectrum, crop, rebin, align, collect on images made here, and single spectra. */
#include "tests/unit/stage_rig.h"

/* ---- reductions ------------------------------------------------------------------------------------------------- */

struct summed { struct ep_signal *out[2]; ep_status st; struct ep_err e; };

/* Row by row into `parts` accumulators (each takes its share of rows), merged from the left. */
static struct summed reduce(struct rig *r, const struct image *in, size_t parts)
{
    struct summed s = { .st = EP_OK };
    struct ep_cell c = cell_of(in);
    size_t ny = c.a.ny, nx = c.a.nx;
    char *acc[4];
    for (size_t k = 0; k < parts; k++) acc[k] = calloc(1, r->d.acc);
    for (size_t y = 0; y < ny; y++) {
        struct ep_cell row = c;
        row.a = (struct ep_area){ y, 0, 1, nx };
        row.val += y * c.sy;
        row.flag += y * nx;
        if (row.shift) row.shift += y * nx;
        struct ep_apply a = { .plan = r->plan, .in = &row, .nin = 1, .area = row.a };
        assert_int_equal(r->s->add(&a, acc[y * parts / ny], &s.e), EP_OK);
    }
    for (size_t k = 1; k < parts; k++) r->s->merge(r->plan, acc[0], acc[k]);
    for (size_t i = 0; i < 2; i++) assert_int_equal(ep_signal_new(&r->d.out[i], &s.out[i], &s.e), EP_OK);
    s.st = r->s->finish(r->plan, acc[0], s.out, &s.e);
    for (size_t k = 0; k < parts; k++) free(acc[k]);
    return s;
}
static void summed_free(struct summed *s)
{
    ep_signal_free(s->out[0]);
    ep_signal_free(s->out[1]);
}

static struct ep_signal *map_signal(const struct ep_desc *d, double (*f)(size_t i))
{
    struct ep_signal *s;
    struct ep_err e = { 0 };
    assert_int_equal(ep_signal_new(d, &s, &e), EP_OK);
    for (size_t i = 0; i < s->n; i++) s->f32[i] = (float)f(i);
    return s;
}
static double every_third(size_t i)
{
    return i == 6 ? (double)NAN : i % 3 == 0;
}
static double ramp(size_t i)
{
    return (double)i;
}
static double nothing(size_t i)
{
    (void)i;
    return 0;
}

static void test_sum(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(4, 6, 50, 400, 1), md = map_desc(4, 6);
    d.gain = 2;
    d.read_noise = 3;
    struct image in = image_new(&d);
    for (size_t i = 0; i < 24 * 50; i++) in.val[i] = (float)(i % 50 + i / 50);
    in.flag[0] = EP_FLAG_MASKED;
    in.val[3 * 50 + 49] = NAN;
    struct ep_signal *mask = map_signal(&md, every_third), *band = map_signal(&md, ramp), *none = map_signal(&md, nothing);
    const struct ep_desc *ins[3][3] = { { &d }, { &d, &md }, { &d, &md, &md } };
    const char *const params[] = { "{}", "{statistic: mean}", "{band: [9, 19]}" };
    for (size_t k = 0; k < 3; k++) {
        struct rig r;
        rig_declare(&r, stage("sum_spectrum"), params[k], 3, ins[k]);
        r.item[1].whole = mask;
        r.item[2].whole = band;
        rig_prepare(&r);
        struct summed a = reduce(&r, &in, 1), b = reduce(&r, &in, 4);
        double n = 0, sum = 0;
        for (size_t p = 0; p < 24; p++) {
            bool use = p != 0 && p != 3 && (k == 0 || (p % 3 == 0 && p != 6)) && (k < 2 || (p >= 9 && p < 19));
            n += use;
            sum += use ? 10 + (double)p : 0;
        }
        double by = k == 1 ? n : 1;
        assert_int_equal(a.st, EP_OK);
        assert_float_equal((double)a.out[1]->f32[0], n, 0);
        assert_float_equal(a.out[0]->f64[10], sum / by, 1e-9);
        assert_float_equal(a.out[0]->sigma64[10], sqrt(2 * sum + 9 * n) / by, 1e-9);
        assert_float_equal(a.out[0]->d.gain * a.out[0]->f64[10] + pow(a.out[0]->d.read_noise, 2), pow(a.out[0]->sigma64[10], 2), 1e-9);
        assert_memory_equal(a.out[0]->f64, b.out[0]->f64, 50 * sizeof(double));
        summed_free(&a);
        summed_free(&b);
        rig_free(&r);
    }
    struct rig r;
    rig_declare(&r, stage("sum_spectrum"), "{}", 2, ins[1]);
    r.item[1].whole = none;
    rig_prepare(&r);
    struct summed s = reduce(&r, &in, 2);
    assert_int_equal(s.st, EP_E_COMPUTE);
    assert_non_null(strstr(s.e.msg, "no pixel is left"));
    assert_true(isnan(s.out[0]->f64[4]));
    summed_free(&s);
    rig_free(&r);
    /* Aligned: whole channels; the ends that not all cover are NaN. */
    d.shift_max = 5;
    in.d = d;
    for (size_t p = 0; p < 24; p++) {
        in.shift[p] = p == 5 ? 1.6 : p == 7 ? -3.2 : 0.3;
        int move = p == 5 ? 2 : p == 7 ? -3 : 0;
        for (int i = 0; i < 50; i++) in.val[(int)p * 50 + i] = (float)(i + move);
    }
    rig_declare(&r, stage("sum_spectrum"), "{}", 1, ins[0]);
    rig_prepare(&r);
    s = reduce(&r, &in, 3);
    assert_true(isnan(s.out[0]->f64[1]) && isnan(s.out[0]->f64[47]) && isnan(s.out[0]->sigma64[47]));
    assert_float_equal(s.out[0]->f64[2], 23 * 2, 1e-9);
    assert_float_equal(s.out[0]->f64[46], 23 * 46, 1e-9);
    assert_float_equal(r.d.out[0].shift_max, 0, 0);
    summed_free(&s);
    rig_free(&r);
    ep_signal_free(mask);
    ep_signal_free(band);
    ep_signal_free(none);
    image_free(&in);
}

/* ---- grids ------------------------------------------------------------------------------------------------------ */

static void test_crop(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(5, 6, 20, 100, 2), md = map_desc(5, 6);
    md.has_sigma = true;
    struct image in = image_new(&d), map = image_new(&md), out[1], strip[1], part[1];
    for (size_t i = 0; i < 600; i++) in.val[i] = (float)i;
    for (size_t i = 0; i < 30; i++) map.val[i] = (float)i, map.sigma[i] = (float)i / 10;
    const struct image *ins[] = { &in }, *maps[] = { &map };
    struct rig r, m;
    run(&r, "crop", "{energy: [106, 115], rows: [1, 4], columns: [2, 6]}", 1, ins, out);
    assert_true(r.d.regrid.on && r.d.regrid.y0 == 1 && r.d.regrid.x0 == 2 && r.d.regrid.ny == 3 && r.d.regrid.nx == 4);
    assert_float_equal(r.d.out[0].energy.offset, 106, 1e-12);
    assert_int_equal(r.d.out[0].energy.size, 5);
    assert_float_equal(r.d.out[0].nav[1].offset, 2, 1e-12);
    assert_float_equal(at(&out[0], 5, 2), (2 * 6 + 3) * 20 + 5, 0);
    struct ep_cell c = cell_of(&in);
    rig_apply(&r, 1, &c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&r, out, strip);
    run(&m, "crop", "{columns: [5, 6]}", 1, maps, part);
    assert_float_equal(at(&part[0], 1, 0), 11, 0);
    assert_float_equal((double)part[0].sigma[1], 1.1, 1e-6);
    images_free(&r, out);
    images_free(&r, strip);
    images_free(&m, part);
    rig_free(&r);
    rig_free(&m);
    image_free(&in);
    image_free(&map);
}

static void test_rebin(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(5, 7, 10, 100, 2);
    d.read_noise = 2;
    struct image in = image_new(&d), out[1], strip[1];
    for (size_t i = 0; i < 350; i++) in.val[i] = (float)i;
    in.val[3] = NAN;
    in.flag[7 + 5] = EP_FLAG_SATURATED;
    in.flag[3 * 7 + 4] = EP_FLAG_MASKED;
    const struct image *ins[] = { &in };
    struct rig r;
    run(&r, "rebin", "{energy: 3, space: [2, 3]}", 1, ins, out);
    const struct ep_desc *o = &r.d.out[0];
    assert_true(r.d.regrid.on && r.d.halo == 2 && ep_desc_ny(o) == 2 && ep_desc_nx(o) == 2 && o->energy.size == 3);
    assert_float_equal(o->energy.offset, 102, 1e-12);
    assert_float_equal(o->energy.scale, 6, 1e-12);
    assert_float_equal(o->nav[0].offset, 0.5, 1e-12);
    assert_float_equal(o->nav[1].offset, 1, 1e-12);
    assert_float_equal(o->read_noise, 2 * sqrt(18), 1e-12);
    double want = 0;
    for (size_t y = 2; y < 4; y++)
        for (size_t x = 0; x < 3; x++)
            for (size_t i = 6; i < 9; i++) want += at(&in, y * 7 + x, i);
    assert_float_equal(at(&out[0], 2, 2), want, 1e-3);
    assert_true(isfinite(at(&out[0], 0, 0)) && isnan(at(&out[0], 0, 1)) && isnan(at(&out[0], 3, 1)));
    assert_int_equal(out[0].flag[0], 0);
    assert_int_equal(out[0].flag[1], EP_FLAG_SATURATED);
    assert_int_equal(out[0].flag[3], EP_FLAG_MASKED);
    struct ep_cell c = cell_of(&in);
    rig_apply(&r, 1, &c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&r, out, strip);
    images_free(&r, strip);
    rig_apply(&r, 1, &c, 0, (struct ep_range){ 1, 2 }, strip);
    assert_float_equal(at(&strip[0], 1, 1), at(&out[0], 1, 1), 0);
    images_free(&r, out);
    images_free(&r, strip);
    rig_free(&r);
    image_free(&in);
}

/* ---- align ------------------------------------------------------------------------------------------------------ */

/* Gaussian of sigma 0.4 eV at c eV, integrated over the channels. */
static void peak(struct image *m, size_t p, double c, double counts, bool noisy)
{
    const struct ep_axis *a = &m->d.energy;
    for (size_t i = 0; i < m->nch; i++) {
        double e = ep_axis_at(a, (double)i), h = a->scale / 2, s = 0.4 * sqrt(2);
        double mu = counts / 2 * (erf((e + h - c) / s) - erf((e - h - c) / s));
        m->val[p * m->nch + i] = (float)(noisy ? poisson(mu) : mu);
    }
}

static void test_align(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(10, 40, 200, -20, 0.2), core = desc(10, 40, 30, 500, 0.5);
    struct image low = image_new(&d), in = image_new(&core), out[MAXIO], strip[MAXIO], counts[1];
    uniform(11);
    for (size_t p = 0; p < 400; p++) peak(&low, p, p < 100 ? 0.013 * (double)p - 1 : 1.37, p < 100 ? 1e6 : 400, p >= 100);
    for (size_t i = 0; i < 400 * 30; i++) in.val[i] = (float)i;
    peak(&low, 10, 3, 8, false);                     /* 8 electrons */
    peak(&low, 11, -20, 1e6, false);                 /* at the border */
    peak(&low, 12, 7, 1e6, false);                   /* beyond max_shift */
    low.val[13 * 200 + 3] = NAN;
    low.flag[14] = EP_FLAG_MASKED;
    for (size_t i = 0; i < 200; i++) low.val[15 * 200 + i] = 0;
    const struct image *ins[] = { &in, &low };
    struct rig r, q;
    run(&r, "align", "{max_shift: 5}", 2, ins, out);
    size_t sh = named(&r, "shift");
    uint32_t why[] = { EP_FLAG_NO_ZLP, EP_FLAG_NO_ZLP, EP_FLAG_SHIFT_LIMIT, EP_FLAG_NOT_FINITE, EP_FLAG_MASKED, EP_FLAG_NO_ZLP };
    double m = 0, v = 0, s = 0;
    for (size_t p = 0; p < 400; p++) {
        double shift = at(&out[sh], p, 0);
        if (p >= 10 && p < 16) {
            assert_int_equal(out[0].flag[p], why[p - 10]);
            assert_true(isnan(shift) && isnan(out[0].shift[p]) && isnan(at(&out[0], p, 3)) && isnan(at(&out[1], p, 3)));
        } else if (p < 100) {
            assert_float_equal(shift, 1 - 0.013 * (double)p, 2e-4);     /* counts spread evenly over 0.2 eV channels */
            assert_float_equal(out[0].shift[p], shift, 1e-6);
            assert_float_equal(at(&out[0], p, 3), at(&in, p, 3), 0);
        } else {
            m += shift / 300;
        }
    }
    for (size_t p = 100; p < 400; p++) v += pow(at(&out[sh], p, 0) - m, 2) / 299, s += pow((double)out[sh].sigma[p], 2) / 300;
    assert_float_equal(m, -1.37, 5 * sqrt(v / 300));
    assert_float_equal(sqrt(s / v), 1, 0.12);
    assert_float_equal(r.d.out[0].shift_max, 5, 0);
    struct ep_cell c[2] = { cell_of(&in), cell_of(&low) };
    rig_apply(&r, 2, c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&r, out, strip);
    /* Downstream: the window moves with the pixel. */
    const struct image *aligned[] = { &out[1] };
    run(&q, "integrate", "{window: [-3, 3]}", 1, aligned, counts);
    assert_float_equal(at(&counts[0], 60, 0), 1e6, 10);
    assert_true(isnan(at(&counts[0], 12, 0)));
    images_free(&q, counts);
    rig_free(&q);
    /* The same peaks within a window, without a paired image; then again: nothing is left to shift. */
    struct image one[2], two[2];
    const struct image *lows[] = { &low }, *ones[] = { &one[0] };
    struct rig a, b;
    run(&a, "align", "{window: [-2, 2.4], max_shift: 5}", 1, lows, one);
    run(&b, "align", "{window: [-2, 2.4], max_shift: 5}", 1, ones, two);
    assert_float_equal(at(&one[1], 200, 0), at(&out[sh], 200, 0), 1e-6);
    assert_float_equal(at(&two[1], 200, 0), 0, 1e-5);
    assert_float_equal(two[0].shift[200], one[0].shift[200], 1e-5);
    images_free(&a, one);
    images_free(&b, two);
    rig_free(&a);
    rig_free(&b);
    images_free(&r, out);
    images_free(&r, strip);
    rig_free(&r);
    image_free(&in);
    image_free(&low);
}

/* ---- single spectra ----------------------------------------------------------------------------------------------- */

static void test_spectrum(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 1, 400, 400, 0.5);
    d.nnav = 0;
    struct image in = spectra(&d, 1e4, false), out[MAXIO], bins[1];
    in.d.kind = EP_SPECTRUM;
    const struct image *ins[] = { &in };
    struct rig r, q;
    run(&r, "background", "{window: [460, 525]}", 1, ins, out);
    assert_true(r.d.out[0].kind == EP_SPECTRUM && r.d.out[0].has_sigma && r.d.out[0].dtype == EP_F64 && r.d.out[2].nnav == 0);
    double counts = sqrt(at(&in, 0, 350));
    assert_true((double)out[0].sigma[350] > counts && (double)out[0].sigma[350] < 1.5 * counts);
    assert_float_equal(hypot(counts, (double)out[1].sigma[350]), (double)out[0].sigma[350], 0.01);
    assert_true((double)out[1].sigma[200] < (double)out[1].sigma[350]);
    run(&q, "rebin", "{energy: 2}", 1, ins, bins);
    assert_float_equal((double)bins[0].sigma[20], sqrt(at(&bins[0], 0, 20)), 1e-3);
    images_free(&r, out);
    images_free(&q, bins);
    rig_free(&r);
    rig_free(&q);
    image_free(&in);
}

/* ---- collect -------------------------------------------------------------------------------------------------------- */

static const struct ep_column *column(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return &t->col[i];
    fail_msg("no column %s", name);
    return NULL;
}

static void test_collect(void **unused)
{
    (void)unused;
    struct ep_desc zero = map_desc(1, 1), md = map_desc(2, 3);
    zero.nnav = 0;
    zero.has_sigma = md.has_sigma = true;
    strcpy(md.unit, "nm");
    struct ep_signal *s[12] = { NULL };
    struct ep_item it[12];
    struct ep_coord co[12][2];
    static const char *const scans[] = { "a", "b", "c" }, *const degrees[] = { "25", "400" };
    for (size_t i = 0; i < 12; i++) {          /* inputs x temperatures x scans */
        size_t scan = i % 3, temperature = i / 3 % 2;
        bool map = i >= 6;
        s[i] = map_signal(map ? &md : &zero, ramp);
        for (size_t k = 0; k < s[i]->n; k++) {
            s[i]->f32[k] += (float)(10 * temperature + scan);
            s[i]->sigma32[k] = 0.5f;
        }
        co[i][0] = (struct ep_coord){ "temperature", degrees[temperature], "degC", temperature ? 400 : 25, true };
        co[i][1] = (struct ep_coord){ "scan", scans[scan], "", 0, false };
        it[i] = (struct ep_item){ .d = &s[i]->d, .whole = s[i], .label = map ? "o_net.net" : "front", .ncoord = 2, .coord = co[i] };
    }
    s[7]->flags[2] = EP_FLAG_FIT_FAILED;
    s[7]->f32[2] = NAN;
    s[6]->flags[0] = EP_FLAG_SIGMA_ESTIMATED;
    struct ep_arena arena = { 0 };
    struct ep_diag diag = { 0 };
    const struct ep_stage *st = stage("collect");
    for (int repeat = 0; repeat < 2; repeat++) {
        int missing = 0;
        struct ep_items in = { 12, it };
        struct ep_declare d = { .stage = st, .par = &missing, .in = &in, .arena = &arena, .diag = &diag, .repeat = repeat ? "scan" : NULL };
        st->declare(&d);
        assert_int_equal(diag.nerrors, 0);
        struct ep_prepare p = { .par = &missing, .in = &in, .out = d.out, .nout = 1, .repeat = d.repeat };
        struct ep_signal *t = NULL;
        struct ep_err e = { 0 };
        assert_int_equal(st->whole(NULL, &p, &t, &e), EP_OK);
        assert_int_equal(t->n, repeat ? 2 : 6);
        assert_float_equal(column(t, "temperature")->num[repeat ? 1 : 3], 400, 0);
        assert_string_equal(column(t, "temperature")->unit, "degC");
        assert_string_equal(column(t, "o_net_net")->unit, "nm");
        if (repeat) {
            assert_float_equal(column(t, "front")->num[1], 11, 1e-9);
            assert_float_equal(column(t, "front")->sigma[1], 0.5 / sqrt(3), 1e-9);
            assert_float_equal(column(t, "front_scatter")->num[1], 1 / sqrt(3), 1e-9);
            assert_float_equal(column(t, "repeats")->num[1], 3, 0);
            assert_float_equal(column(t, "o_net_net_pixels")->num[0], 17, 0);
        } else {
            assert_string_equal(column(t, "scan")->text[2], "c");
            assert_float_equal(column(t, "o_net_net")->num[0], 2.5, 1e-9);
            assert_float_equal(column(t, "o_net_net")->num[1], 1 + 13. / 5, 1e-6);
            assert_float_equal(column(t, "o_net_net")->sigma[1], 0.5 / sqrt(5), 1e-9);
            assert_float_equal(column(t, "o_net_net_pixels")->num[1], 5, 0);
        }
        ep_signal_free(t);
        /* One could not be computed. */
        struct ep_item gone = it[4];
        it[4].missing = true;
        it[4].d = NULL;
        it[4].whole = NULL;
        t = NULL;
        assert_int_equal(st->whole(NULL, &p, &t, &e), EP_E_COMPUTE);
        assert_non_null(strstr(e.msg, "1 result is missing: front of temperature=400 degC, scan=b"));
        missing = 1;
        e = (struct ep_err){ 0 };
        assert_int_equal(st->whole(NULL, &p, &t, &e), EP_OK);
        if (repeat) assert_float_equal(column(t, "front")->num[1], 11, 1e-9);
        else assert_true(isnan(column(t, "front")->num[4]) && isfinite(column(t, "o_net_net")->num[4]));
        ep_signal_free(t);
        it[4] = gone;
    }
    struct ep_items both = { 12, it };
    it[3].label = "o_net_net";                 /* the same column as o_net.net */
    struct ep_declare d = { .stage = st, .in = &both, .arena = &arena, .diag = &diag };
    st->declare(&d);
    assert_int_equal(diag.nerrors, 1);
    for (size_t i = 0; i < 12; i++) ep_signal_free(s[i]);
    ep_diag_free(&diag);
    ep_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum),      cmocka_unit_test(test_crop),     cmocka_unit_test(test_rebin),
        cmocka_unit_test(test_align),    cmocka_unit_test(test_spectrum), cmocka_unit_test(test_collect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
