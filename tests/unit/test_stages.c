/* The stages' tables; background and integrate on images made here. */
#include "pipeline/base/units.h"
#include "pipeline/data/edges.h"
#include "tests/unit/stage_rig.h"

/* ---- tables --------------------------------------------------------------------------------------------------- */

static bool sentence(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    return n > 2 && s[n - 1] == '.' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ", s[0]) && !strstr(s, ". ");
}
/* What a recipe's key may be called, without capitals. */
static bool key(const char *s)
{
    return s[0] >= 'a' && s[0] <= 'z' && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}
static void lint_params(const struct ep_param *q)
{
    for (size_t i = 0; q[i].name; i++) {
        enum ep_dim dim;
        double factor;
        if (!key(q[i].name)) fail_msg("%s: not a name for a key", q[i].name);
        if (q[i].unit && strcmp(q[i].unit, "px") != 0 && !ep_unit_lookup(q[i].unit, &dim, &factor))
            fail_msg("%s: the unit %s is not known", q[i].name, q[i].unit);
        if (q[i].type == EP_P_WORD)
            for (size_t k = 0; q[i].words[k]; k++) assert_true(key(q[i].words[k]));
        if (!sentence(q[i].doc)) fail_msg("%s: doc is not one sentence: %s", q[i].name, q[i].doc);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(q[i].name, q[k].name);
        if (q[i].record) lint_params(q[i].record);
        assert_false(q[i].required && q[i].def);
        if (q[i].type == EP_P_NUMBER && !q[i].unit) fail_msg("%s: a number without a unit", q[i].name);
        if (q[i].type == EP_P_NUMBER && q[i].min == 0 && q[i].max == 0) fail_msg("%s: no limits", q[i].name);
    }
}
static void lint(const struct ep_stage *s)
{
    assert_true(sentence(s->summary));
    assert_true(strlen(s->method) > 40 && s->method[strlen(s->method) - 1] == '.');
    assert_true(s->reference && s->reference[strlen(s->reference) - 1] == '.');
    assert_true(s->version >= 1 && s->nports >= 1 && s->noutputs >= 1 && s->declare);
    assert_int_equal((s->apply != NULL) + (s->add != NULL) + (s->whole != NULL), 1);
    if (s->add) assert_true(s->merge && s->finish);
    assert_string_equal(s->ports[0].name, "input");
    lint_params(s->params);
    for (size_t i = 0; i < s->nports; i++) {
        assert_true(sentence(s->ports[i].doc) && s->ports[i].kinds && key(s->ports[i].name));
        for (size_t k = 0; k < i; k++) assert_string_not_equal(s->ports[i].name, s->ports[k].name);
        for (size_t k = 0; s->params[k].name; k++) assert_string_not_equal(s->ports[i].name, s->params[k].name);
    }
    for (size_t i = 0; i < s->noutputs; i++) {
        assert_true(sentence(s->outputs[i].doc) && s->outputs[i].unit);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(s->outputs[i].name, s->outputs[k].name);
    }
    /* Defaults parse and lie within their limits: parse the table with nothing required and nothing given. */
    struct ep_arena arena = { 0 };
    struct ep_diag diag = { 0 };
    struct ep_param copy[32] = { 0 };
    for (size_t i = 0; s->params[i].name; i++) {
        copy[i] = s->params[i];
        copy[i].required = false;
    }
    void *par = ep_arena_alloc(&arena, s->params_size);
    if (!ep_params_parse(&arena, copy, s->params_size, NULL, NULL, s->name, par, &diag)) ep_diag_print(&diag, stderr);
    assert_int_equal(diag.nerrors, 0);
    ep_diag_free(&diag);
    ep_arena_free(&arena);
}
static void test_tables(void **unused)
{
    (void)unused;
    for (size_t i = 0; ep_stages[i]; i++) {
        lint(ep_stages[i]);
        if (ep_stages[i]->look) {
            lint(ep_stages[i]->look);
            assert_null(ep_stage_find(ep_stages[i]->look->name));
        }
        for (size_t k = 0; k < i; k++) assert_string_not_equal(ep_stages[i]->name, ep_stages[k]->name);
    }
    assert_null(ep_stage_find("nothing"));
    assert_string_equal(ep_stage_suggest("backgrund"), "background");
    struct ep_edge e[2];
    const char *const el[] = { "Ti", "O", "Mn", NULL };
    assert_int_equal(ep_edges_within(el, 400, 700, e, 2), 3);
    assert_string_equal(e[0].element, "Ti");
    assert_string_equal(e[1].element, "O");
    assert_int_equal(ep_edges_within(NULL, 0, 1e4, e, 2), 0);
}

/* ---- background, integrate -------------------------------------------------------------------------------------- */

static void test_background(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(5, 7, 400, 400, 0.5);
    struct image in = spectra(&d, 1000, false), out[MAXIO], strip[MAXIO], part[MAXIO];
    in.flag[3] = EP_FLAG_MASKED;
    in.val[4 * 400 + 180] = NAN;                     /* 490 eV: in the window */
    for (size_t i = 0; i < 400; i++) in.val[5 * 400 + i] = 0;
    struct rig r;
    const struct image *ins[] = { &in };
    run(&r, "background", "{window: [450, 525]}", 1, ins, out);
    assert_int_equal(r.diag.nwarnings, 1);            /* Ti L3 at 456 eV */
    assert_true(says(&r, "the Ti L3 edge (456 eV) lies inside the fit window"));
    size_t ex = named(&r, "exponent"), am = named(&r, "amplitude"), chi = named(&r, "reduced_chi_square");
    double e_ref = sqrt(450. * 525.);
    assert_float_equal(at(&out[ex], 0, 0), 2.5, 1e-5);
    assert_float_equal(at(&out[ex], 34, 0), 2.7, 1e-5);
    assert_float_equal(at(&out[am], 0, 0), 1000 * pow(e_ref / 500, -2.5), 1e-2);
    assert_true(out[ex].sigma[0] > 0.01f && out[ex].sigma[0] < 0.2f && at(&out[chi], 0, 0) < 1e-5);
    assert_float_equal(at(&out[0], 0, 300), 100, 2e-2);
    assert_float_equal(at(&out[0], 0, 300) + at(&out[1], 0, 300), at(&in, 0, 300), 1e-3);
    uint32_t why[] = { EP_FLAG_MASKED, EP_FLAG_NOT_FINITE, EP_FLAG_NO_COUNTS };
    for (size_t p = 3; p < 6; p++) {
        assert_int_equal(out[0].flag[p], why[p - 3]);
        for (size_t i = 0; i < r.d.nout; i++) assert_true(isnan(at(&out[i], p, out[i].ch0)));
    }
    assert_int_equal(out[0].flag[6], 0);
    struct ep_cell c = cell_of(&in);
    rig_apply(&r, 1, &c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&r, out, strip);
    rig_apply(&r, 1, &c, 2, (struct ep_range){ 260, 300 }, part);
    assert_memory_equal(&out[0].val[7 * 400 + 260], &part[0].val[7 * 40], 40 * sizeof(float));
    assert_true(r.d.out[0].modelled && r.d.out[0].primary && !r.d.out[1].modelled);
    images_free(&r, out);
    images_free(&r, strip);
    images_free(&r, part);
    rig_free(&r);
    image_free(&in);
}

/* Mistakes of a step, without running it. */
static void expect(const char *name, const char *params, const struct ep_desc *a, const struct ep_desc *b, const char *text)
{
    struct rig r;
    const struct ep_desc *in[] = { a, b };
    rig_declare(&r, stage(name), params, 2, in);
    if (text && !says(&r, text)) {
        ep_diag_print(&r.diag, stderr);
        fail_msg("%s %s does not say '%s'", name, params, text);
    }
    if (r.diag.nerrors != (text ? 1 : 0)) ep_diag_print(&r.diag, stderr);
    assert_int_equal(r.diag.nerrors, text ? 1 : 0);
    rig_free(&r);
}
static void test_mistakes(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(4, 4, 400, 400, 0.5), net = d, kev = desc(4, 4, 1000, 0, 0.02), shifted = d, other = map_desc(4, 5), one = d;
    struct ep_desc series = d, same = map_desc(4, 4);
    net.modelled = true;
    strcpy(kev.energy.unit, "keV");
    shifted.shift_max = 3;
    one.kind = EP_SPECTRUM, one.nnav = 0;
    series.nnav = 3, series.nav[2] = d.nav[1];
    expect("background", "{}", &d, NULL, "window is missing");
    expect("background", "{window: [480, 520], windows: [[480, 520]]}", &d, NULL, "give one of them");
    expect("background", "{window: [380, 520]}", &d, NULL, "reaches beyond the axis, which covers 399.75 to 599.75 eV");
    expect("background", "{window: [480, 481]}", &d, NULL, "holds 2 channels of 0.5 eV: at least 3 are needed");
    expect("background", "{windows: [[480, 520], [510, 530]]}", &d, NULL, "overlap");
    expect("background", "{windows: [[560, 590], [480, 520]]}", &d, NULL, NULL);
    expect("background", "{window: [480, 520]}", &net, NULL, "already background-subtracted: fit both windows in one step");
    expect("background", "{window: [480, 520], method: lcpl, average: {fwhm: 2}}", &d, NULL, "not with lcpl");
    expect("background", "{window: [480, 520], average: {fwhm: 2}}", &one, NULL, "no neighbours");
    expect("background", "{window: [480, 520], method: lcpl, percentiles: [80, 20]}", &d, NULL, "below the second");
    expect("integrate", "{window: [4.4, 4.7]}", &kev, NULL, "did you mean [\"4.4 keV\", \"4.7 keV\"]?");
    expect("integrate", "{window: [440, 447], normalize: [450, 460]}", &d, &same, "not both");
    expect("integrate", "{window: [440, 447]}", &d, &other, "the map has 4 x 5 pixels, the input has 4 x 4");
    expect("integrate", "{window: [398, 410]}", &shifted, NULL, NULL);
    expect("integrate", "{window: [390, 410]}", &shifted, NULL, "reaches beyond the axis");
    expect("sum_spectrum", "{}", &net, NULL, "sum raw counts");
    expect("sum_spectrum", "{}", &d, &other, "'' has 4 x 5 pixels");
    expect("sum_spectrum", "{band: [0, 1]}", &d, NULL, "band needs band_of");
    expect("crop", "{}", &d, NULL, "nothing to crop");
    expect("crop", "{rows: [2, 5]}", &d, NULL, "whole numbers from 0 to 4");
    expect("crop", "{rows: [0, 2]}", &series, NULL, "a series of frames");
    expect("crop", "{energy: [420, 430]}", &same, NULL, "without an energy axis");
    expect("rebin", "{space: 2}", &net, NULL, "put rebin before background");
    expect("rebin", "{space: 2}", &shifted, NULL, "put rebin before align");
    expect("rebin", "{space: [1.5]}", &d, NULL, "1.5 is not a whole number");
    expect("rebin", "{space: 5}", &d, NULL, "fewer than 5 x 5");
    expect("rebin", "{space: [3, 1]}", &series, NULL, "3 does not divide");
    expect("align", "{}", &d, NULL, "name the low_loss image");
    expect("align", "{}", &net, &kev, "put align before background");
}

/* Each pixel by its own axis; a window that is shifted off the axis has no value. Bad pixels do not touch others. */
static void test_shifted(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(2, 5, 400, 400, 0.5);
    d.shift_max = 90;
    struct image in = image_new(&d), out[MAXIO], again[MAXIO], sum[1], strip[1];
    for (size_t p = 0; p < 10; p++) {
        in.shift[p] = p == 9 ? 80 : 1.25 * (double)p - 4;
        for (size_t i = 0; i < 400; i++) {
            double e = 400 + 0.5 * (double)i + in.shift[p];
            in.val[p * 400 + i] = (float)(1e4 * pow(e / 500, -3) + (e > 532 && e < 540 ? 100 : 0));
        }
    }
    const struct image *ins[] = { &in }, *nets[] = { &out[0] };
    struct rig r, q, b;
    run(&r, "background", "{window: [470, 525]}", 1, ins, out);
    run(&q, "integrate", "{window: [530, 545]}", 1, nets, sum);
    for (size_t p = 0; p < 9; p++) {
        assert_float_equal(at(&out[named(&r, "exponent")], p, 0), 3, 1e-5);
        assert_float_equal(at(&sum[0], p, 0), 1600, 101);       /* 16 channels of 100, give or take one at the ends */
        assert_float_equal(out[0].shift[p], in.shift[p], 0);
    }
    assert_int_equal(out[0].flag[9], EP_FLAG_OFF_AXIS);
    assert_true(isnan(at(&sum[0], 9, 0)) && isnan((double)sum[0].sigma[9]));
    struct ep_cell c = cell_of(&out[0]);
    rig_apply(&q, 1, &c, 1, (struct ep_range){ 0, 0 }, strip);
    same_images(&q, sum, strip);
    for (size_t i = 0; i < 400; i++) in.val[4 * 400 + i] = i % 2 ? NAN : -1e30f;
    run(&b, "background", "{window: [470, 525]}", 1, ins, again);
    for (size_t i = 0; i < r.d.nout; i++) {
        assert_memory_equal(out[i].val, again[i].val, 4 * out[i].nch * sizeof(float));
        assert_memory_equal(out[i].val + 5 * out[i].nch, again[i].val + 5 * out[i].nch, 5 * out[i].nch * sizeof(float));
    }
    assert_int_equal(again[0].flag[4], EP_FLAG_NOT_FINITE);
    images_free(&r, out);
    images_free(&b, again);
    images_free(&q, sum);
    images_free(&q, strip);
    rig_free(&r);
    rig_free(&q);
    rig_free(&b);
    image_free(&in);
}

static void test_methods(void **unused)
{
    (void)unused;
    static const char *const params[] = { "{window: [470, 525], method: two_area}", "{window: [470, 525], method: log_ls}",
        "{window: [470, 525], method: exponential}", "{windows: [[440, 455], [470, 525]]}", "{window: [470, 525], average: {fwhm: 2}}" };
    struct ep_desc d = desc(20, 9, 400, 400, 0.5);
    struct image in = spectra(&d, 1e5, false);
    const struct image *ins[] = { &in };
    for (size_t k = 0; k < 5; k++) {
        struct image out[MAXIO], strip[MAXIO];
        struct rig r;
        run(&r, "background", params[k], 1, ins, out);
        assert_float_equal(at(&out[0], 0, 300), 10000, k == 2 ? 4000 : 600);
        struct ep_cell c = cell_of(&in);
        rig_apply(&r, 1, &c, 1, (struct ep_range){ 0, 0 }, strip);
        same_images(&r, out, strip);
        assert_int_equal(r.d.halo, k == 4 ? 3 : 0);
        assert_int_equal(r.d.out[0].noise, k == 4 ? EP_NOISE_CORRELATED : EP_NOISE_INDEPENDENT);
        images_free(&r, out);
        images_free(&r, strip);
        rig_free(&r);
    }
    image_free(&in);
}

/* Averaging: less scatter of the exponent, sigma says so; a bad neighbour is left out; frames of a series do not mix. */
static void test_average(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(10, 12, 200, 450, 0.5);
    d.nnav = 3;
    d.nav[2] = d.nav[1];
    d.nav[1] = d.nav[0];
    d.nav[0].size = 2, d.nav[1].size = 5;            /* two frames of 5 x 12 */
    struct image in = image_new(&d), out[MAXIO], alone[MAXIO];
    uniform(7);
    for (size_t p = 0; p < 120; p++)
        for (size_t i = 0; i < 200; i++)
            in.val[p * 200 + i] = (float)poisson(40 * pow((450 + 0.5 * (double)i) / 500, p < 60 ? -2 : -6));
    in.val[30 * 200 + 20] = INFINITY;                /* pixel (2, 6), in the window */
    const struct image *ins[] = { &in };
    struct rig r, q;
    run(&r, "background", "{window: [455, 520], average: {fwhm: 3}}", 1, ins, out);
    run(&q, "background", "{window: [455, 520]}", 1, ins, alone);
    size_t ex = named(&r, "exponent");
    double s = 0, t = 0, chi = 0;
    for (size_t p = 0; p < 120; p++) {
        if (p == 30) continue;
        double dev = at(&out[ex], p, 0) - (p < 60 ? 2 : 6);
        assert_true(fabs(dev) < 5 * (double)out[ex].sigma[p] && out[ex].sigma[p] < 0.6f * alone[ex].sigma[p]);
        s += dev * dev;
        chi += dev * dev / ((double)out[ex].sigma[p] * (double)out[ex].sigma[p]);
        t += pow(at(&alone[ex], p, 0) - (p < 60 ? 2 : 6), 2);
    }
    assert_true(s < 0.3 * t && chi / 119 > 0.4 && chi / 119 < 2.5);
    assert_int_equal(out[0].flag[30], EP_FLAG_NOT_FINITE | EP_FLAG_PARTIAL);
    assert_int_equal(out[0].flag[31], EP_FLAG_PARTIAL);
    assert_int_equal(out[0].flag[90], 0);
    images_free(&r, out);
    images_free(&q, alone);
    rig_free(&r);
    rig_free(&q);
    image_free(&in);
}

static void test_lcpl(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(4, 8, 400, 400, 0.5);
    struct image in = image_new(&d), out[MAXIO], first[MAXIO];
    for (size_t p = 0; p < 32; p++)
        for (size_t i = 0; i < 400; i++) {
            double e = (400 + 0.5 * (double)i) / 500;
            in.val[p * 400 + i] = (float)(1e5 * (pow(e, -2) * (double)(p + 1) + pow(e, -4) * (double)(32 - p)));
        }
    in.flag[5] = EP_FLAG_MASKED;
    struct rig l, r;
    const struct ep_desc *ds[] = { &d };
    struct ep_cell c = cell_of(&in);
    const char *params = "{window: [420, 525], method: lcpl, percentiles: [0, 100]}";
    const struct ep_stage *s = stage("background");
    rig_declare(&l, s->look, params, 1, ds);
    rig_prepare(&l);
    rig_apply(&l, 1, &c, 0, (struct ep_range){ 0, 0 }, first);
    rig_declare(&r, s, params, 1, ds);
    assert_true(s->wants_look(r.par));
    struct ep_err e = { 0 };
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(ep_signal_new(&l.d.out[k], &r.look[k], &e), EP_OK);
        memcpy(r.look[k]->f32, first[k].val, 32 * sizeof(float));
    }
    rig_prepare(&r);
    rig_apply(&r, 1, &c, 0, (struct ep_range){ 0, 0 }, out);
    assert_float_equal(out[0].model->r[0], 2.06, 0.05);     /* the flattest pixel has 3 % of E^-4 */
    assert_float_equal(out[0].model->r[1], 3.94, 0.05);
    assert_true(out[0].model->mean_theta[0] > 0 && out[0].model->mean_theta[1] > 0);
    for (size_t p = 0; p < 32; p++)
        if (p != 5) assert_float_equal(at(&out[0], p, 390) / at(&in, p, 390), 0, 5e-3);
    assert_true(isnan(at(&out[0], 5, 390)) && isfinite(at(&out[named(&r, "amplitude_1")], 0, 0)));
    images_free(&l, first);
    images_free(&r, out);
    rig_free(&l);
    rig_free(&r);
    image_free(&in);
}

/* Counts, net intensity, quotients: value and sigma against what they are, and against the scatter of many pixels. */
static void test_integrate(void **unused)
{
    (void)unused;
    struct ep_desc d = desc(30, 40, 320, 440, 0.5), md = map_desc(30, 40);
    md.has_sigma = true;
    struct ep_desc flat = d;
    flat.nav[0].size = 1, flat.nav[1].size = 1200;          /* one exponent */
    uniform(3);
    struct image in = spectra(&flat, 100, true), back[MAXIO], sum[1], net[1], norm[1], over[1], by = image_new(&md);
    in.d = d;
    for (size_t p = 0; p < 1200; p++) by.val[p] = p == 7 ? 0 : 2, by.sigma[p] = 0.25f;
    const struct image *ins[] = { &in, &by };
    struct rig r, i1, i2, i3, i4;
    run(&i1, "integrate", "{window: [540, 560]}", 1, ins, sum);
    double want = 0;
    for (size_t i = 200; i < 240; i++) want += at(&in, 17, i);
    assert_float_equal(at(&sum[0], 17, 0), want, 1e-3);
    assert_float_equal((double)sum[0].sigma[17], sqrt(want), 1e-4);
    assert_string_equal(i1.d.out[0].long_name, "Intensity 540-560 eV");
    run(&r, "background", "{window: [470, 525]}", 1, ins, back);
    const struct image *nets[] = { &back[0], &by };
    run(&i2, "integrate", "{window: [540, 560]}", 1, nets, net);
    run(&i3, "integrate", "{window: [540, 560], normalize: [562, 590]}", 1, nets, norm);
    run(&i4, "integrate", "{window: [540, 560]}", 2, nets, over);
    const struct image *all[] = { &net[0], &norm[0], &over[0] };
    double truth[] = { 400, 40. / 56, 200 };
    for (size_t k = 0; k < 2; k++) {
        double m = 0, v = 0, s = 0;
        for (size_t p = 0; p < 1200; p++) m += at(all[k], p, 0) / 1200;
        for (size_t p = 0; p < 1200; p++) v += pow(at(all[k], p, 0) - m, 2) / 1199, s += pow((double)all[k]->sigma[p], 2) / 1200;
        assert_float_equal(m, truth[k], 6 * sqrt(v / 1200) + (k ? 0.05 : 3));
        assert_float_equal(sqrt(s / v), 1, k ? 0.4 : 0.06);      /* a quotient has tails */
    }
    double n = at(&net[0], 9, 0), sn = (double)net[0].sigma[9];
    assert_float_equal(at(&over[0], 9, 0), n / 2, 1e-3);
    assert_float_equal((double)over[0].sigma[9], sqrt(sn * sn + n * n / 4 * 0.0625) / 2, 1e-3);
    assert_true(isnan(at(&over[0], 7, 0)) && over[0].flag[7] == EP_FLAG_LOW_DENOMINATOR);
    assert_string_equal(i3.d.out[0].unit, "");
    /* The same from a net spectrum that was cropped and rebinned. */
    struct image bins[1], part[1], again[1];
    struct rig q, c, i5;
    run(&c, "crop", "{energy: [460, 580]}", 1, nets, part);
    const struct image *parts[] = { &part[0] }, *binned[] = { &bins[0] };
    run(&q, "rebin", "{energy: 4}", 1, parts, bins);
    run(&i5, "integrate", "{window: [540, 560]}", 1, binned, again);
    assert_float_equal(at(&again[0], 11, 0), at(&net[0], 11, 0), 1e-2);
    assert_float_equal((double)again[0].sigma[11], (double)net[0].sigma[11], 1e-3);
    assert_float_equal(q.d.out[0].energy.offset, 460.75, 1e-9);
    struct { struct rig *r; struct image *i; } done[] = { { &r, back }, { &i1, sum }, { &i2, net }, { &i3, norm }, { &i4, over },
                                                          { &q, bins }, { &c, part }, { &i5, again } };
    for (size_t k = 0; k < 8; k++) images_free(done[k].r, done[k].i), rig_free(done[k].r);
    image_free(&in);
    image_free(&by);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables), cmocka_unit_test(test_background), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_shifted),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_average), cmocka_unit_test(test_lcpl), cmocka_unit_test(test_integrate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
