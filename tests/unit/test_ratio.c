/* ratio and edge_ratio on images made here; collect of quotients and of tables. */
#include "tests/unit/stage_rig.h"

/* ---- ratio ---------------------------------------------------------------------------------------------------------- */

enum { RATIO, NUMERATOR, DENOMINATOR, COVARIANCE };

/* Values are those of integrate; the sigmas and the covariance are those of the scatter of many pixels. */
static void test_ratio(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 1500, 320, 440, 0.5);
    uniform(3);
    struct image in = spectra(&d, 300, true), net[MAXIO], out[MAXIO], num[1], den[1], strip[MAXIO];
    for (size_t i = 0; i < 320; i++) in.val[7 * 320 + i] = i < 170 ? 300 : 0;      /* nothing behind the background */
    in.flag[3] = EP_FLAG_MASKED;
    in.val[4 * 320 + 200] = NAN;                                                   /* 540 eV: in the numerator */
    const struct image *ins[] = { &in }, *nets[] = { &net[0] };
    struct rig b, r, n, q;
    run(&b, "background", "{window: [470, 525]}", 1, ins, net);
    run(&r, "ratio", "{numerator: [535, 545], denominator: [550, 580]}", 1, nets, out);
    run(&n, "integrate", "{window: [535, 545]}", 1, nets, num);
    run(&q, "integrate", "{window: [550, 580]}", 1, nets, den);
    assert_int_equal(r.d.nout, 4);
    assert_true(r.d.out[RATIO].primary && r.d.out[RATIO].quotient && !r.d.out[NUMERATOR].quotient && !r.d.out[COVARIANCE].has_sigma);
    assert_string_equal(r.d.out[RATIO].long_name, "Ratio 535-545 / 550-580 eV");
    assert_string_equal(r.d.out[COVARIANCE].unit, "counts^2");
    double sum[2] = { 0 }, cov = 0, said = 0, ratio = 0, var = 0, said_var = 0, used = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t p = 8; p < 1500; p++) {
            double a = at(&out[NUMERATOR], p, 0), c = at(&out[DENOMINATOR], p, 0), x = a / c;
            assert_float_equal(a, at(&num[0], p, 0), 0);
            assert_float_equal(c, at(&den[0], p, 0), 0);
            assert_float_equal((double)out[DENOMINATOR].sigma[p], (double)den[0].sigma[p], 0);
            assert_float_equal(at(&out[RATIO], p, 0), x, 1e-6);
            double s = sqrt(pow((double)out[NUMERATOR].sigma[p], 2) - 2 * x * at(&out[COVARIANCE], p, 0) + pow(x * (double)out[DENOMINATOR].sigma[p], 2)) / c;
            assert_float_equal((double)out[RATIO].sigma[p] / s, 1, 1e-4);
            if (pass == 0) sum[0] += a, sum[1] += c, ratio += x, used += 1;
            else {
                cov += (a - sum[0] / used) * (c - sum[1] / used) / (used - 1);
                var += pow(x - ratio / used, 2) / (used - 1);
                said += at(&out[COVARIANCE], p, 0) / used;
                said_var += pow((double)out[RATIO].sigma[p], 2) / used;
            }
        }
    assert_float_equal(cov / said, 1, 0.1);
    assert_float_equal(var / said_var, 1, 0.12);
    assert_float_equal(sum[0] / sum[1], 20. / 60, 0.01);
    assert_int_equal(out[0].flag[3], EP_FLAG_MASKED);
    assert_int_equal(out[0].flag[4], EP_FLAG_NOT_FINITE);
    assert_true(out[0].flag[7] & EP_FLAG_LOW_DENOMINATOR);
    for (size_t k = 0; k < 4; k++) {
        assert_true(isnan(at(&out[k], 3, 0)) && isnan(at(&out[k], 4, 0)) && isfinite(at(&out[k], 8, 0)));
        assert_true(k == RATIO ? isnan(at(&out[k], 7, 0)) : isfinite(at(&out[k], 7, 0)));
    }
    struct ep_cell c = cell_of(&net[0]);
    c.d = &b.d.out[0];
    rig_apply(&r, 1, &c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&r, out, strip);
    images_free(&b, net), images_free(&r, out), images_free(&r, strip), images_free(&n, num), images_free(&q, den);
    rig_free(&b), rig_free(&r), rig_free(&n), rig_free(&q);
    image_free(&in);
}

/* A single spectrum gives single values; pixels with an axis of their own. */
static void test_spectrum_and_shift(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 1, 320, 440, 0.5), s = desc(1, 3, 320, 440, 0.5);
    d.kind = EP_SPECTRUM;
    d.nnav = 0;
    d.has_sigma = true;
    s.shift_max = 60;
    struct image one = image_new(&d), moved = image_new(&s), out[MAXIO], far[MAXIO];
    for (size_t i = 0; i < 320; i++) {
        one.val[i] = (float)i;
        for (size_t p = 0; p < 3; p++) moved.val[p * 320 + i] = (float)i;
    }
    moved.shift[1] = -5;
    moved.shift[2] = 50;
    const struct image *a[] = { &one }, *b[] = { &moved };
    struct rig r, q;
    run(&r, "ratio", "{numerator: [450, 451], denominator: [500, 502]}", 1, a, out);
    assert_int_equal(r.d.out[0].nnav, 0);
    assert_float_equal(at(&out[RATIO], 0, 0), (20 + 21) / (120. + 121 + 122 + 123), 1e-6);
    assert_float_equal((double)out[NUMERATOR].sigma[0], sqrt(41), 1e-5);
    assert_float_equal(at(&out[COVARIANCE], 0, 0), 0, 0);
    run(&q, "ratio", "{numerator: [450, 451], denominator: [500, 502]}", 1, b, far);
    assert_float_equal(at(&far[NUMERATOR], 1, 0), 30 + 31, 0);
    assert_int_equal(far[0].flag[2], EP_FLAG_OFF_AXIS);
    assert_true(isnan(at(&far[RATIO], 2, 0)));
    images_free(&r, out), images_free(&q, far);
    rig_free(&r), rig_free(&q);
    image_free(&one), image_free(&moved);
}

static void test_edge_ratio(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(1, 2, 100, 400, 1);
    d.gain = 2;
    struct image in = image_new(&d), out[MAXIO];
    for (size_t i = 0; i < 100; i++) in.val[i] = i < 50 ? 100 : 150;
    const struct image *ins[] = { &in };
    struct rig r;
    run(&r, "edge_ratio", "{pre: [430, 450], post: [450, 470]}", 1, ins, out);
    assert_string_equal(r.d.out[0].name, "edge_ratio");
    assert_float_equal(at(&out[RATIO], 0, 0), 1.5, 1e-6);
    assert_float_equal((double)out[RATIO].sigma[0], 1.5 * sqrt(2 / 3000. + 2 / 2000.), 1e-6);
    assert_float_equal(at(&out[COVARIANCE], 0, 0), 0, 0);
    assert_int_equal(out[0].flag[1], EP_FLAG_LOW_DENOMINATOR);
    assert_true(isnan(at(&out[RATIO], 1, 0)) && at(&out[NUMERATOR], 1, 0) == 0);
    images_free(&r, out), rig_free(&r);
    image_free(&in);
    struct ep_desc net = d;
    net.modelled = true;
    const struct { const char *stage, *params; const struct ep_desc *d; const char *says; } cases[] = {
        { "edge_ratio", "{pre: [430, 450], post: [440, 470]}", &d, "does not end where" },
        { "edge_ratio", "{pre: [430, 450], post: [450, 470]}", &net, "before the background step" },
        { "ratio", "{numerator: [430, 450]}", &d, "denominator" },
        { "ratio", "{numerator: [430, 450], denominator: [490, 520]}", &d, "reaches beyond the axis" } };
    for (size_t k = 0; k < 4; k++) {
        struct rig q = { .s = stage(cases[k].stage) };
        q.par = ep_arena_alloc(&q.arena, q.s->params_size);
        struct ep_value *v = ep_yaml_parse(&q.arena, cases[k].params, strlen(cases[k].params), "recipe", &q.diag);
        if (ep_params_parse(&q.arena, q.s->params, q.s->params_size, v, NULL, q.s->name, q.par, &q.diag)) {
            q.item[0] = (struct ep_item){ .d = cases[k].d, .label = "x" };
            q.items[0] = (struct ep_items){ 1, &q.item[0] };
            q.d = (struct ep_declare){ .stage = q.s, .par = q.par, .step = v, .step_name = "it", .in = q.items, .arena = &q.arena, .diag = &q.diag };
            q.s->declare(&q.d);
        }
        assert_int_equal(q.diag.nerrors, 1);
        if (!says(&q, cases[k].says)) fail_msg("%s: does not say '%s'", cases[k].params, cases[k].says);
        ep_diag_free(&q.diag);
        ep_arena_free(&q.arena);
    }
}

/* ---- collect -------------------------------------------------------------------------------------------------------- */

static const struct ep_column *column(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return &t->col[i];
    fail_msg("no column %s", name);
    return NULL;
}

struct collected { struct ep_signal *t; ep_status st; struct ep_err e; struct ep_arena arena; struct ep_diag diag; };

static struct collected collect(size_t n, const struct ep_item *it, const char *repeat)
{
    struct collected c = { .st = EP_OK };
    const struct ep_stage *st = stage("collect");
    int missing = 1;
    struct ep_items in = { n, it };
    struct ep_declare d = { .stage = st, .par = &missing, .in = &in, .arena = &c.arena, .diag = &c.diag, .repeat = repeat };
    st->declare(&d);
    if (c.diag.nerrors) return c;
    struct ep_prepare p = { .par = &missing, .in = &in, .out = d.out, .nout = 1, .repeat = repeat };
    c.st = st->whole(NULL, &p, &c.t, &c.e);
    return c;
}
static void collected_free(struct collected *c)
{
    ep_signal_free(c->t);
    ep_diag_free(&c->diag);
    ep_arena_free(&c->arena);
}

static const struct ep_coord temperature[2] = { { "temperature", "25", "degC", 25, true }, { "temperature", "400", "degC", 400, true } };
static const struct ep_coord scan[2] = { { "scan", "a", "", 0, false }, { "scan", "b", "", 0, false } };

/* The four outputs of a ratio of `pixels` pixels: numerator k + 1, denominator 4 k + 2 + more; variances of counts, covariance 0.5. */
static void ratio_signals(size_t pixels, double more, struct ep_signal *s[4])
{
    static const char *const names[] = { "ratio", "numerator", "denominator", "covariance" };
    struct ep_err e = { 0 };
    for (size_t k = 0; k < 4; k++) {
        struct ep_desc d = map_desc(1, pixels);
        if (pixels == 1) d.nnav = 0;
        strcpy(d.name, names[k]);
        strcpy(d.unit, k == 0 ? "" : k == 3 ? "counts^2" : "counts");
        d.has_sigma = k < 3;
        d.quotient = k == 0;
        assert_int_equal(ep_signal_new(&d, &s[k], &e), EP_OK);
        for (size_t i = 0; i < pixels; i++) {
            double num = (double)i + 1, den = 4 * (double)i + 2 + more;
            s[k]->f32[i] = (float)(k == 0 ? num / den : k == 1 ? num : k == 2 ? den : 0.5);
            if (k < 3) s[k]->sigma32[i] = (float)(k == 1 ? sqrt(num) : k == 2 ? sqrt(den) : 0.1);
        }
    }
}

/* Ratios are never averaged themselves: sums are divided, over pixels and over repeats. */
static void test_collect_ratio(void **unused)
{
    (void)unused;
    static const char *const labels[] = { "r", "r.numerator", "r.denominator", "r.covariance" };
    struct ep_signal *s[8];
    struct ep_item it[8];
    struct ep_coord co[8][2];
    ratio_signals(3, 0, s);
    ratio_signals(3, 1, s + 4);
    s[0]->flags[0] = s[1]->flags[0] = EP_FLAG_LOW_DENOMINATOR;    /* a choice by value: not left out of the sums */
    for (size_t i = 0; i < 8; i++) {
        co[i][0] = temperature[0], co[i][1] = scan[i / 4];
        it[i] = (struct ep_item){ .d = &s[i]->d, .whole = s[i], .label = labels[i % 4], .ncoord = 2, .coord = co[i] };
    }
    struct collected c = collect(1, it, NULL);
    assert_int_equal(c.st, EP_E_COMPUTE);
    assert_non_null(strstr(c.e.msg, "a mean of ratios is biased"));
    collected_free(&c);
    c = collect(8, it, NULL);
    assert_int_equal(c.st, EP_OK);
    double n = 6, d = 18, r = n / d;
    assert_float_equal(column(c.t, "r")->num[0], r, 1e-7);
    assert_float_equal(column(c.t, "r")->sigma[0], sqrt(n - 2 * r * 1.5 + r * r * d) / d, 1e-6);
    assert_float_equal(column(c.t, "r")->num[1], 6. / 21, 1e-7);
    assert_float_equal(column(c.t, "r_pixels")->num[0], 3, 0);
    collected_free(&c);
    c = collect(8, it, "scan");
    assert_float_equal(column(c.t, "r")->num[0], 12. / 39, 1e-7);
    assert_float_equal(column(c.t, "r")->sigma[0], sqrt(12 - 2 * 12. / 39 * 3 + 12. / 39 * 12. / 39 * 39) / 39, 1e-6);
    assert_float_equal(column(c.t, "r_scatter")->num[0], (6. / 18 - 6. / 21) / 2, 1e-6);
    collected_free(&c);
    for (size_t i = 0; i < 8; i++) ep_signal_free(s[i]);
    /* One value as it is; the name of the output written out; repeats of it need the sums. */
    ratio_signals(1, 0, s);
    ratio_signals(1, 1, s + 4);
    for (size_t i = 0; i < 8; i++) it[i].d = &s[i]->d, it[i].whole = s[i];
    it[0].label = it[4].label = "r.ratio";
    c = collect(1, it, NULL);
    assert_float_equal(column(c.t, "r_ratio")->num[0], 0.5, 1e-7);
    assert_float_equal(column(c.t, "r_ratio")->sigma[0], 0.1, 1e-7);
    collected_free(&c);
    c = collect(1, it, "scan");
    assert_int_equal(c.st, EP_E_COMPUTE);
    collected_free(&c);
    c = collect(8, it, "scan");
    assert_float_equal(column(c.t, "r_ratio")->num[0], 2. / 5, 1e-7);
    collected_free(&c);
    for (size_t i = 0; i < 8; i++) ep_signal_free(s[i]);
}

static struct ep_signal *front(double position, double sigma, const char *model, bool more)
{
    struct ep_signal *t;
    struct ep_err e = { 0 };
    assert_int_equal(ep_table_new("front", 1, &t, &e), EP_OK);
    ep_table_add(t, "position", "nm", &position, &sigma, NULL, &e);
    ep_table_add(t, "model", "", NULL, NULL, &model, &e);
    if (more) ep_table_add(t, "bins", "", &(double){ 72 }, NULL, NULL, &e);
    return t;
}

static void test_collect_tables(void **unused)
{
    (void)unused;
    struct ep_signal *s[4] = { front(1, 0.1, "erf", false), front(2, 0.2, "erfc", true), front(5, 0.3, "erf", true), front(7, 0.3, "erf", true) };
    struct ep_item it[4];
    struct ep_coord co[4][2];
    for (size_t i = 0; i < 4; i++) {
        co[i][0] = temperature[i / 2], co[i][1] = scan[i % 2];
        it[i] = (struct ep_item){ .d = &s[i]->d, .whole = s[i], .label = "ti.front", .ncoord = 2, .coord = co[i] };
    }
    struct collected c = collect(4, it, NULL);
    assert_int_equal(c.st, EP_OK);
    assert_int_equal(c.t->n, 4);
    assert_float_equal(column(c.t, "ti_front_position")->num[2], 5, 0);
    assert_float_equal(column(c.t, "ti_front_position")->sigma[1], 0.2, 1e-12);
    assert_string_equal(column(c.t, "ti_front_position")->unit, "nm");
    assert_string_equal(column(c.t, "ti_front_model")->text[1], "erfc");
    assert_true(isnan(column(c.t, "ti_front_bins")->num[0]) && column(c.t, "ti_front_bins")->num[1] == 72 && !column(c.t, "ti_front_bins")->sigma);
    collected_free(&c);
    c = collect(4, it, "scan");
    assert_int_equal(c.t->n, 2);
    assert_float_equal(column(c.t, "ti_front_position")->num[0], 1.5, 1e-12);
    assert_float_equal(column(c.t, "ti_front_position")->sigma[0], hypot(0.1, 0.2) / 2, 1e-12);
    assert_float_equal(column(c.t, "ti_front_position_scatter")->num[1], 1, 1e-12);
    assert_string_equal(column(c.t, "ti_front_model")->text[0], "erf; erfc");
    assert_string_equal(column(c.t, "ti_front_model")->text[1], "erf");
    assert_float_equal(column(c.t, "repeats")->num[0], 2, 0);
    collected_free(&c);
    it[1].missing = true, it[1].d = NULL, it[1].whole = NULL;
    c = collect(4, it, NULL);
    assert_true(isnan(column(c.t, "ti_front_position")->num[1]));
    assert_string_equal(column(c.t, "ti_front_model")->text[1], "");
    collected_free(&c);
    struct ep_signal *many;
    struct ep_err e = { 0 };
    assert_int_equal(ep_table_new("table", 3, &many, &e), EP_OK);
    it[0].d = &many->d, it[0].whole = many;
    c = collect(1, it, NULL);
    assert_int_equal(c.st, EP_E_COMPUTE);
    assert_non_null(strstr(c.e.msg, "is a table of 3 rows: tables of one row are collected"));
    collected_free(&c);
    struct ep_desc md = map_desc(1, 1);
    md.unit[0] = 0;
    it[1] = (struct ep_item){ .d = &md, .label = "ti.front", .ncoord = 2, .coord = co[1] };
    c = collect(2, it, NULL);
    assert_int_equal(c.diag.nerrors, 1);
    collected_free(&c);
    ep_signal_free(many);
    for (size_t i = 0; i < 4; i++) ep_signal_free(s[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ratio),         cmocka_unit_test(test_spectrum_and_shift), cmocka_unit_test(test_edge_ratio),
        cmocka_unit_test(test_collect_ratio), cmocka_unit_test(test_collect_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
