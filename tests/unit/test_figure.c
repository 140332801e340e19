/* The stage `figure`: what is drawn where, read from the list of shapes; the files. */
#include "stages/figure_plan.h"
#include "tests/unit/space_rig.h"

/* ---- two samples at two temperatures -------------------------------------------------------------------------------- */

enum { NY = 10, NX = 20, NBIN = 9, NCH = 200, MOST = 40 };
struct bench {
    struct ep_arena arena;
    struct ep_diag diag;
    struct ep_item item[MOST];
    struct ep_signal *own[MOST];
    struct ep_items items;
    struct ep_figure_par par;
    struct ep_declare d;
    struct ep_page *page;
    struct ep_str csv[8];
    struct ep_err e;
};

static void add(struct bench *b, const char *label, struct ep_signal *s, const char *sample, double temperature, bool shared)
{
    static const char *const texts[] = { "25", "700" };
    struct ep_coord *c = EP_ARENA_ARRAY(&b->arena, struct ep_coord, 2);
    c[0] = (struct ep_coord){ .name = "sample", .text = sample };
    c[1] = (struct ep_coord){ .name = "temperature", .text = texts[temperature > 100], .unit = "degC", .num = temperature, .number = true };
    b->own[b->items.n] = s;
    b->item[b->items.n++] = (struct ep_item){ .d = s ? &s->d : NULL, .label = label, .whole = s, .ncoord = 2, .coord = c,
                                              .shared = (uint64_t)shared << 1, .missing = !s };
}

static struct ep_signal *ramp(double factor)
{
    struct ep_desc d = plane(NY, NX, 0.5);      /* y from 3 nm, x from -5 nm */
    d.has_sigma = true;
    struct ep_signal *s = new_map(&d);
    for (size_t i = 0; i < s->n; i++) s->f32[i] = (float)(factor * (double)(i % NX)), s->sigma32[i] = 0.5f;
    return s;
}

static struct ep_signal *line_scan(double top)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_PROFILE, d.nnav = 1, d.has_sigma = true, d.dtype = EP_F64;
    d.nav[0] = (struct ep_axis){ "distance", "nm", -4, 1, NBIN };
    strcpy(d.unit, "counts");
    struct ep_signal *s = new_map(&d);
    for (size_t i = 0; i < NBIN; i++) s->f64[i] = i < 5 ? top : 0, s->sigma64[i] = 2;
    return s;
}

static struct ep_signal *edge(double height)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_SPECTRUM, d.spectral = true, d.dtype = EP_F64;
    d.energy = (struct ep_axis){ "Energy loss", "eV", 500, 0.5, NCH };
    strcpy(d.unit, "counts");
    d.has_sigma = true;
    struct ep_signal *s = new_map(&d);
    for (size_t i = 0; i < NCH; i++) s->f64[i] = i < 60 ? 0 : height, s->sigma64[i] = 0.1 * height;
    return s;
}

/* A straight boundary at x = 0, its normal along +x. */
static struct ep_signal *straight(void)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_CURVE, d.nnav = 1, d.frame_id = 7;
    d.nav[0] = (struct ep_axis){ .scale = 1, .size = 5 };
    struct ep_signal *s = new_map(&d);
    for (size_t i = 0; i < 5; i++) {
        const double point[EP_CURVE_COLS] = { 3 + (double)i, 0, 0, 1, 0.1 };
        memcpy(s->points + i * EP_CURVE_COLS, point, sizeof point);
    }
    return s;
}

static struct ep_signal *numbers(const char *name, size_t n, const char *const *columns, const double *values)
{
    struct ep_signal *t;
    struct ep_err e = { 0 };
    double sigma = 0.25;
    assert_int_equal(ep_table_new(name, 1, &t, &e), EP_OK);
    for (size_t i = 0; i < n; i++) ep_table_add(t, columns[i], "nm", &values[i], &sigma, NULL, &e);
    return t;
}

static struct ep_signal *front_at(double x)
{
    return numbers("front", 1, (const char *const[]){ "position" }, &x);
}

static struct ep_signal *moved(double y, double x)
{
    const double v[] = { y, x };
    return numbers("shift", 2, (const char *const[]){ "y", "x" }, v);
}

static struct ep_signal *single(double v)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_MAP, d.has_sigma = true;
    struct ep_signal *s = new_map(&d);
    s->f32[0] = (float)v, s->sigma32[0] = 0.01f;
    return s;
}

static struct ep_signal *in_unit(struct ep_signal *s, const char *unit)
{
    snprintf(s->d.unit, sizeof s->d.unit, "%s", unit);
    return s;
}

static void fill(struct bench *b)
{
    memset(b, 0, sizeof *b);
    b->items.v = b->item;
    add(b, "m", ramp(1), "s1", 25, false);
    add(b, "m", ramp(3), "s1", 700, false);
    add(b, "m", ramp(2), "s2", 25, false);
    add(b, "m", NULL, "s2", 700, false);        /* could not be computed */
    add(b, "edge", straight(), "s1", 25, true);
    add(b, "edge", straight(), "s2", 25, true);
    add(b, "front", front_at(0.5), "s1", 25, false);
    add(b, "front", front_at(2.5), "s1", 700, false);
    add(b, "drift", moved(0, 0), "s1", 25, false);
    add(b, "drift", moved(0.25, 1), "s1", 700, false);
    add(b, "p", line_scan(100), "s1", 25, false);
    add(b, "p", line_scan(50), "s1", 700, false);
    add(b, "o", edge(10), "s1", 25, false);
    add(b, "o", edge(400), "s1", 700, false);
    add(b, "q", single(0.14), "s1", 25, false);
    add(b, "q", single(0.11), "s1", 700, false);
    add(b, "q", single(0.13), "s2", 25, false);
    add(b, "other", in_unit(ramp(1), "nm"), "s1", 25, false);
    add(b, "mean", in_unit(single(3), "counts"), "s1", 25, false);
}

static void declared(struct bench *b, const char *yaml)
{
    const struct ep_stage *s = stage("figure");
    struct ep_value *v = ep_yaml_parse(&b->arena, yaml, strlen(yaml), "recipe", &b->diag);
    ep_params_parse(&b->arena, s->params, s->params_size, v, NULL, "figure", &b->par, &b->diag);
    b->d = (struct ep_declare){ .stage = s, .par = &b->par, .step = v, .step_name = "it", .in = &b->items, .arena = &b->arena, .diag = &b->diag };
    if (!b->diag.nerrors) s->declare(&b->d);
}

static void drawn_of(struct bench *b, const char *yaml)
{
    declared(b, yaml);
    if (b->diag.nerrors) fail_msg("%s", b->diag.items[0].msg);
    struct ep_prepare p = { .par = &b->par, .in = &b->items, .out = b->d.out, .nout = b->d.nout };
    if (ep_figure_draw(&b->par, &p, &b->page, b->csv, &b->e)) fail_msg("%s", b->e.msg);
}

static void drawn(struct bench *b, const char *yaml)
{
    fill(b);
    drawn_of(b, yaml);
}

static void done(struct bench *b)
{
    ep_page_free(b->page);
    for (size_t i = 0; i < 8; i++) ep_str_free(&b->csv[i]);
    for (size_t i = 0; i < b->items.n; i++) ep_signal_free(b->own[i]);
    ep_diag_free(&b->diag);
    ep_arena_free(&b->arena);
}

static const struct ep_shape *shape(const struct bench *b, const char *name)
{
    const struct ep_shape *s = ep_page_find(b->page, name);
    if (!s) fail_msg("nothing is called %s", name);
    return s;
}

static bool refused(const char *yaml, const char *words)
{
    struct bench b;
    fill(&b);
    declared(&b, yaml);
    bool ok = false;
    for (size_t i = 0; i < b.diag.n; i++) ok |= strstr(b.diag.items[i].msg, words) != NULL;
    if (!ok) print_error("%s: %s\n", yaml, b.diag.n ? b.diag.items[0].msg : "nothing wrong found");
    done(&b);
    return ok;
}

/* ---- maps ----------------------------------------------------------------------------------------------------------- */

#define MAPS "{panels: [{kind: maps, show: m, boundary: edge, fronts: front, shift: drift, title: T}]}"

/* Rows are samples, columns temperatures; what is missing is an empty place with words. */
static void test_montage(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, MAPS);
    struct ep_box one = shape(&b, "a/0,0/map")->box, right = shape(&b, "a/0,1/map")->box, below = shape(&b, "a/1,0/map")->box;
    assert_true(right.x > one.x + one.w && fabs(right.y - one.y) < 1e-9 && below.y > one.y + one.h && fabs(below.x - one.x) < 1e-9);
    assert_float_equal(one.h / one.w, (double)NY / NX, 1e-9);
    assert_null(ep_page_find(b.page, "a/1,1/map"));
    const struct ep_point *empty = shape(&b, "a/1,1/empty")->p;
    assert_float_equal(empty[0].x, right.x, 1e-9);
    assert_float_equal(empty[0].y, below.y, 1e-9);
    assert_string_equal(shape(&b, "a/1,1/no data")->text, "no data");
    assert_string_equal(shape(&b, "a/column")->text, "25 \u00b0C");
    assert_string_equal(shape(&b, "a/row")->text, "s1");
    assert_float_equal(b.page->w, 178 * 72 / 25.4, 1e-9);
    done(&b);
}

/* One scale for all: the same value has the same colour, and 3 x a value that of 3 x the value. */
static void test_shared_scale(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{panels: [{kind: maps, show: m, range: [0, 57]}]}");
    const unsigned char *s1 = shape(&b, "a/0,0/map")->rgb, *hot = shape(&b, "a/0,1/map")->rgb, *s2 = shape(&b, "a/1,0/map")->rgb;
    assert_memory_equal(s1 + 3 * 12, s2 + 3 * 6, 3);
    assert_memory_equal(s1 + 3 * 18, hot + 3 * 6, 3);
    assert_memory_not_equal(s1 + 3 * 18, hot + 3 * 18, 3);
    done(&b);
}

/* Ranges go to the scales in turn; those that follow take theirs from the data: the ramps end at 57 counts and at 19 nm. */
static void test_range_of_each_scale(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{panels: [{kind: maps, show: [m, other], range: [[0, 570]], where: sample=s1}]}");
    const unsigned char *first = shape(&b, "a/0,1/map")->rgb, *second = shape(&b, "a/1,0/map")->rgb;
    unsigned char tenth[3], end[3];
    ep_colour_of(EP_VIRIDIS, 0.1, tenth);
    ep_colour_of(EP_VIRIDIS, 1, end);
    assert_memory_equal(first + 3 * 19, tenth, 3);
    assert_memory_equal(second + 3 * 19, end, 3);
    done(&b);
}

/* A map without any value says so, and has no colours beside it; one that is high and narrow does not take the page. */
static void test_odd_maps(void **unused)
{
    (void)unused;
    struct bench b;
    fill(&b);
    for (size_t i = 0; i < b.own[0]->n; i++) b.own[0]->f32[i] = NAN;
    b.own[17]->d.nav[1].scale = 0.02;               /* 5 nm high, 0.4 nm wide */
    drawn_of(&b, "{panels: [{kind: maps, show: [m, other], where: [sample=s1, temperature=25]}, {kind: maps, show: m, where: sample=s2, height: 15}]}");
    assert_string_equal(shape(&b, "a/0,0/no value")->text, "no value");
    assert_null(ep_page_find(b.page, "a/bar 0/colours"));
    const struct ep_box high = shape(&b, "a/1,0/map")->box, low = shape(&b, "b/0,0/map")->box, bar = shape(&b, "a/bar 1/colours")->box;
    assert_float_equal(high.h, 75 * EP_PT_PER_MM, 1e-3);
    assert_float_equal(high.h / high.w, 12.5, 1e-5);
    assert_true(bar.x > high.x + high.w && bar.x < high.x + high.w + 10);
    assert_true(low.y + low.h <= b.page->h && low.h < 15 * EP_PT_PER_MM);
    done(&b);
}

/* Four temperatures do not fit side by side in 30 mm: they fold, with their names and their own colour bars, and none lies over another. */
static void test_narrow_montage_folds(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{width: 40, panels: [{kind: maps, show: m, where: [sample=s1, temperature=25, temperature=300, temperature=400, temperature=700]}]}");
    const struct ep_box one = shape(&b, "a/0,0/map")->box, last = shape(&b, "a/0,3/map")->box;
    assert_true(last.y > one.y + one.h && one.w > 20);
    assert_float_equal(last.w, one.w, 1e-9);
    assert_non_null(ep_page_find(b.page, "a/bar 0/number"));
    assert_non_null(ep_page_find(b.page, "a/bar 0,1/number"));
    done(&b);
}

/* The boundary at x = 0 lies between the pixels that are centred at -0.25 + ... : 5.25 nm from the outer edge of a field of 10 nm; the
 * front 0.5 and 2.5 nm further; what drifted by 1 nm is drawn 1 nm before. */
static void test_overlays(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, MAPS);
    static const struct { const char *map, *boundary, *front; double at, depth, dy; } want[] = {
        { "a/0,0/map", "a/0,0/boundary", "a/0,0/front", 5.25, 0.5, 0 }, { "a/0,1/map", "a/0,1/boundary", "a/0,1/front", 4.25, 2.5, 0.25 },
    };
    for (size_t k = 0; k < 2; k++) {
        const struct ep_box box = shape(&b, want[k].map)->box;
        const struct ep_shape *line = shape(&b, want[k].boundary), *front = shape(&b, want[k].front);
        double per_nm = box.w / 10;
        assert_int_equal(line->n, 5);
        for (size_t i = 0; i < line->n; i++) {
            assert_float_equal(line->p[i].x, box.x + want[k].at * per_nm, 1e-6);
            assert_float_equal(line->p[i].y, box.y + (0.25 + (double)i - want[k].dy) * per_nm, 1e-6);
            assert_float_equal(front->p[i].x, box.x + (want[k].at + want[k].depth) * per_nm, 1e-6);
        }
        assert_true(line->dash[0] == 0 && line->dash[1] > 0 && line->colour.b == 1 && front->colour.b < 0.5);
        assert_float_equal(line->clip.w, box.w, 1e-9);
    }
    const struct ep_shape *bar = shape(&b, "a/0,0/scale bar");
    assert_float_equal(bar->p[1].x - bar->p[0].x, 2 * shape(&b, "a/0,0/map")->box.w / 10, 1e-6);
    assert_string_equal(shape(&b, "a/0,0/scale bar text")->text, "2 nm");
    assert_null(ep_page_find(b.page, "a/1,0/front"));        /* no front of s2 */
    done(&b);
}

static void test_data_of_maps(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, MAPS);
    size_t lines = 0;
    for (const char *c = b.csv[0].s; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 1 + 3 * NY * NX);
    assert_true(!strncmp(b.csv[0].s, "result,sample,temperature (degC),y (nm),x (nm),value (counts),sigma (counts)\nm,s1,25,3,-5,0,0.5\n", 92));
    assert_non_null(strstr(b.csv[0].s, "\nm,s1,700,3.5,-4.5,3,0.5\n"));
    done(&b);
}

/* A run that was asked for and is not there has its place, with its name. */
static void test_absent_run(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{panels: [{kind: maps, show: m, where: [sample=s1, temperature=25, temperature=400]}, {kind: values, show: q, where: sample=s9}]}");
    assert_non_null(ep_page_find(b.page, "a/0,0/map"));
    assert_string_equal(shape(&b, "a/0,1/no data")->text, "no data");
    size_t n = 0;
    for (size_t i = 0; i < b.page->n; i++) n += b.page->shape[i].text && !strcmp(b.page->shape[i].text, "400 \u00b0C");
    assert_int_equal(n, 1);
    assert_string_equal(shape(&b, "b/no data")->text, "no data");
    done(&b);
}

/* One run alone, all by one scale: results stand side by side, each with its name. */
static void test_results_as_columns(void **unused)
{
    (void)unused;
    struct bench b;
    fill(&b);
    for (size_t i = 0; i < b.items.n; i++) b.item[i].ncoord = 0;
    b.item[1].label = "n";
    declared(&b, "{panels: [{kind: maps, show: [m, n], labels: [Ti, La], share: all}, {kind: maps, show: [m, n], labels: [Ti, La]}]}");
    struct ep_prepare p = { .par = &b.par, .in = &b.items, .out = b.d.out, .nout = b.d.nout };
    assert_int_equal(ep_figure_draw(&b.par, &p, &b.page, b.csv, &b.e), EP_OK);
    assert_float_equal(shape(&b, "a/0,0/map")->box.y, shape(&b, "a/0,1/map")->box.y, 1e-9);
    assert_string_equal(shape(&b, "a/column")->text, "Ti");
    assert_null(ep_page_find(b.page, "a/row"));
    assert_null(ep_page_find(b.page, "a/bar 1/label"));
    assert_float_equal(shape(&b, "b/0,0/map")->box.x, shape(&b, "b/1,0/map")->box.x, 1e-9);
    assert_string_equal(shape(&b, "b/row")->text, "Ti");
    assert_float_equal(shape(&b, "b/bar 0/label")->p[0].x, shape(&b, "b/bar 1/label")->p[0].x, 1e-9);
    done(&b);
}

/* ---- charts --------------------------------------------------------------------------------------------------------- */

/* Where values are, from the numbers at two ticks of an axis. */
struct ruler { double at[2], value[2]; };
static struct ruler ruler(const struct bench *b, const char *numbers_name, bool y)
{
    struct ruler r = { { 0 }, { 0 } };
    size_t n = 0;
    for (size_t i = 0; i < b->page->n && n < 2; i++) {
        const struct ep_shape *s = &b->page->shape[i];
        if (strcmp(s->name, numbers_name)) continue;
        r.at[n] = y ? s[-1].p[0].y : s[-1].p[0].x;
        r.value[n++] = strncmp(s->text, "\u2212", 3) ? atof(s->text) : -atof(s->text + 3);
    }
    assert_int_equal(n, 2);
    return r;
}
static double read(struct ruler r, double at)
{
    return r.value[0] + (at - r.at[0]) / (r.at[1] - r.at[0]) * (r.value[1] - r.value[0]);
}

static void test_profiles(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{width: 88, panels: [{kind: profiles, show: p, where: sample=s1, fronts: front}]}");
    struct ruler x = ruler(&b, "a/x number", false), y = ruler(&b, "a/y number", true);
    const struct ep_shape *line = shape(&b, "a/line 1"), *band = shape(&b, "a/band 1"), *front = shape(&b, "a/front 1");
    assert_int_equal(line->n, NBIN);
    for (size_t i = 0; i < NBIN; i++) {
        assert_float_equal(read(x, line->p[i].x), -4 + (double)i, 1e-6);
        assert_float_equal(read(y, line->p[i].y), i < 5 ? 50 : 0, 1e-6);
        assert_float_equal(read(y, band->p[i].y), (i < 5 ? 50 : 0) + 2, 1e-6);
        assert_float_equal(read(y, band->p[2 * NBIN - 1 - i].y), (i < 5 ? 50 : 0) - 2, 1e-6);
    }
    assert_float_equal(read(x, front->p[0].x), 2.5, 1e-6);
    assert_float_equal(read(x, shape(&b, "a/boundary")->p[0].x), 0, 1e-6);
    assert_non_null(strstr(b.csv[0].s, "\np,s1,700,-4,50,2,2.5\n"));
    done(&b);
}

/* Each divided by its mean in the window, the second shifted by `stack`. */
static void test_spectra(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{panels: [{kind: spectra, show: o, where: [sample=s1], energy: [520, 560], windows: [[525, 535], [540, 550]], normalize: [540, 550], stack: 0.5}]}");
    struct ruler x = ruler(&b, "a/x number", false);
    const struct ep_shape *low = shape(&b, "a/line 0"), *high = shape(&b, "a/line 1"), *window = shape(&b, "a/window 1");
    assert_int_equal(low->n, 81);
    assert_float_equal(read(x, low->p[0].x), 520, 1e-6);
    double one = low->p[0].y - low->p[80].y;                /* from 0 to 1 */
    assert_float_equal(high->p[0].y - high->p[80].y, one, 1e-6);
    assert_float_equal(low->p[0].y - high->p[0].y, 0.5 * one, 1e-6);
    assert_float_equal(read(x, window->p[0].x), 540, 1e-6);
    assert_float_equal(read(x, window->p[1].x), 550, 1e-6);
    /* A tenth of the height to either side, divided and shifted as the line is; compared as floats. */
    const struct ep_shape *band = shape(&b, "a/band 1");
    assert_int_equal(band->n, 2 * 81);
    for (size_t i = 0; i < 81; i += 80) {
        assert_float_equal(high->p[i].y - band->p[i].y, 0.1 * one, 1e-7 * one);
        assert_float_equal(band->p[2 * 81 - 1 - i].y - high->p[i].y, 0.1 * one, 1e-7 * one);
    }
    done(&b);
    drawn(&b, "{panels: [{kind: spectra, show: o, bands: false}, {kind: profiles, show: p, bands: false}]}");
    assert_null(ep_page_find(b.page, "a/band 1"));
    assert_null(ep_page_find(b.page, "b/band 1"));
    done(&b);
}

static void test_values(void **unused)
{
    (void)unused;
    struct bench b;
    drawn(&b, "{width: 88, panels: [{kind: values, show: q, label: Ratio}, {kind: values, show: front, column: position}]}");
    struct ruler x = ruler(&b, "a/x number", false), y = ruler(&b, "a/y number", true);
    const struct ep_shape *bar = shape(&b, "a/error bar");
    const double value[2] = { 0.14, 0.11 }, t[2] = { 25, 700 };
    for (size_t i = 0; i < 2; i++) {
        const struct ep_shape *line = shape(&b, "a/line 0");
        assert_float_equal(read(x, line->p[i].x), t[i], 1e-4);
        assert_float_equal(read(y, line->p[i].y), value[i], 1e-6);
    }
    assert_float_equal(read(y, bar->p[2].y) - read(y, bar->p[3].y), 0.02, 1e-6);
    assert_string_equal(shape(&b, "a/x label")->text, "Temperature (\u00b0C)");
    assert_string_equal(shape(&b, "a/y label")->text, "Ratio");
    assert_string_equal(shape(&b, "b/y label")->text, "position (nm)");
    y = ruler(&b, "b/y number", true);
    assert_float_equal(read(y, shape(&b, "b/line 0")->p[1].y), 2.5, 1e-6);
    done(&b);
}

/* ---- the page ------------------------------------------------------------------------------------------------------- */

static bool apart(struct ep_box a, struct ep_box b)
{
    return a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
}

/* Every text lies within the page, none over another, none is too small to be read. */
static void check_texts(const char *yaml)
{
    struct bench b;
    drawn(&b, yaml);
    for (size_t i = 0; i < b.page->n; i++) {
        const struct ep_shape *s = &b.page->shape[i];
        if (s->kind != EP_SHAPE_TEXT) continue;
        struct ep_box at = ep_text_box(b.page, s);
        if (at.x < 0 || at.y < 0 || at.x + at.w > b.page->w || at.y + at.h > b.page->h) fail_msg("'%s' (%s) is cut: %s", s->text, s->name, yaml);
        assert_true(s->size >= 5);
        for (size_t k = i + 1; k < b.page->n; k++)
            if (b.page->shape[k].kind == EP_SHAPE_TEXT && !apart(at, ep_text_box(b.page, &b.page->shape[k])))
                fail_msg("'%s' (%s) lies over '%s' (%s): %s", s->text, s->name, b.page->shape[k].text, b.page->shape[k].name, yaml);
    }
    done(&b);
}

/* At one and at two columns, with names, titles and labels short and far too long. */
static void test_nothing_overlaps(void **unused)
{
    (void)unused;
    static const char *const widths[] = { "88", "178" }, *const names[] = { "Sample one", "A sample of a name that goes on and on, \u03b2-cut \u2013 really" };
    static const char *const more[] = { "", " of which one says all that can be said of it, and then some, since nobody counts the words of a title" };
    for (size_t w = 0; w < 8; w++) {
        char yaml[2600];
        const char *add = more[w / 4];
        snprintf(yaml, sizeof yaml, "{width: %s, names: ['s1=%s'], panels: [{kind: maps, show: m, boundary: edge, fronts: front, shift: drift, title: 'Map%s', label: Counts},"
                 "{kind: spectra, show: o, where: sample=s1, span: 0.5, title: 'O K%s'}, {kind: values, show: q, span: 0.5, label: 'Ratio%s'},"
                 "{kind: profiles, show: p, where: sample=s1, fronts: front, span: 0.5, label: 'Intensity%s'}, {kind: maps, show: m, span: 0.5, where: temperature=25, share: row},"
                 "{kind: profiles, show: p, fronts: front, span: 0.333}, {kind: spectra, show: o, span: 0.333}, {kind: values, show: q, span: 0.333}]}",
                 widths[w % 2], names[w / 2 % 2], add, add, add, add);
        check_texts(yaml);
    }
}

static void test_files(void **unused)
{
    (void)unused;
    static const char *const names[] = { "svg", "pdf", "a.csv", "methods.txt" };
    struct ep_signal *out[2][8] = { { NULL } };
    struct bench b[2];
    for (int i = 0; i < 2; i++) {
        drawn(&b[i], "{formats: [svg, pdf], panels: [{kind: maps, show: m, title: '<b>&'}]}");
        assert_int_equal(b[i].d.nout, 4);
        struct ep_prepare p = { .par = &b[i].par, .in = &b[i].items, .out = b[i].d.out, .nout = b[i].d.nout, .fingerprint = "0123", .version = "9" };
        assert_int_equal(b[i].d.stage->whole(NULL, &p, out[i], &b[i].e), EP_OK);
    }
    for (int k = 0; k < 4; k++) {
        assert_string_equal(b[0].d.out[k].name, names[k]);
        assert_int_equal(b[0].d.out[k].kind, EP_FILE);
        assert_int_equal(out[0][k]->n, out[1][k]->n);
        assert_memory_equal(out[0][k]->bytes, out[1][k]->bytes, out[0][k]->n);
    }
    assert_non_null(strstr(out[0][0]->bytes, ">&lt;b&gt;&amp;</text>"));
    assert_non_null(strstr(out[0][0]->bytes, "<desc>eelpipe 9, fingerprint 0123</desc>"));
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 4; k++) ep_signal_free(out[i][k]);
        done(&b[i]);
    }
}

static void test_mistakes(void **unused)
{
    (void)unused;
    assert_true(refused("{panels: [{kind: maps, show: p}]}", "'p' is a profile: a map is needed"));
    assert_true(refused("{panels: [{kind: values, show: m}]}", "many pixels"));
    assert_true(refused("{panels: [{kind: maps, show: q}]}", "no pixels side by side"));
    assert_true(refused("{panels: [{kind: maps, show: m, where: temperature=26}]}", "no run has 'temperature=26': its places"));
    assert_true(refused("{panels: [{kind: maps, show: m, where: time=26}]}", "'time=26' chooses nothing"));
    assert_true(refused("{panels: [{kind: maps, show: m, where: temperature=hot}]}", "'temperature=hot' chooses nothing"));
    assert_true(refused("{panels: [{kind: maps, show: m, along: time}]}", "names no coordinate 'time'"));
    assert_true(refused("{panels: [{kind: values, show: q, along: sample}]}", "a coordinate that is a number"));
    assert_true(refused("{panels: [{kind: values, show: front}]}", "which of its columns"));
    assert_true(refused("{panels: [{kind: maps, show: m, fronts: front}]}", "counted from a boundary"));
    assert_true(refused("{panels: [{kind: maps, show: m, colours: jet}]}", "no colour map 'jet'"));
    assert_true(refused("{panels: [{kind: maps, show: m, range: [3, 2]}]}", "range"));
    assert_true(refused("{panels: [{kind: values, show: q, range: [[0, 1], [0, 2]]}]}", "one y axis"));
    assert_true(refused("{panels: [{kind: maps, show: [m, other], share: all}]}", "'m' (sample s1, temperature 25) is in counts and 'other'"));
    assert_true(refused("{panels: [{kind: values, show: [q, mean]}]}", "can't share a scale: give each a panel"));
    assert_true(refused("{panels: [{kind: maps, show: m, boundary: m}]}", "a curve"));
    assert_true(refused("{panels: [{kind: spectra, show: o, energy: [5000, 6000]}]}", "energy: 'o' (sample s1, temperature 25) has nothing from 5000 to 6000 eV"));
    assert_true(refused("{panels: [{kind: profiles, show: p, distance: [500, 600]}]}", "distance: 'p' (sample s1, temperature 25) has nothing from 500 to 600 nm"));
    assert_true(refused("{panels: [{kind: spectra, show: o, normalize: [9000, 9001]}]}", "normalize: the window 9000 to 9001 eV does not lie"));
    assert_true(refused("{formats: [gif], panels: [{kind: maps, show: m}]}", "'gif' can't be drawn"));
    struct bench b;
    fill(&b);
    b.own[0]->d.frame_id = 8;
    declared(&b, "{panels: [{kind: maps, show: m, boundary: edge}]}");
    assert_true(b.diag.nerrors && strstr(b.diag.items[0].msg, "of different scans"));
    done(&b);
    /* Not the first run alone: the second one's axis ends before what is to be shown, its frame is another. Runs that are not drawn do not count. */
    static const struct { const char *yaml, *says; } later[] = {
        { "{panels: [{kind: maps, show: m, boundary: edge, where: sample=s1}]}", "'m' (sample s1, temperature 700) are of different scans" },
        { "{panels: [{kind: maps, show: m, boundary: edge, where: [sample=s1, temperature=25]}]}", NULL },
        { "{panels: [{kind: spectra, show: o, energy: [520, 560]}]}", "'o' (sample s1, temperature 700) has nothing from 520 to 560 eV" },
        { "{panels: [{kind: spectra, show: o, energy: [520, 560], where: temperature=25}]}", NULL },
    };
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        fill(&b);
        b.own[1]->d.frame_id = 8;
        b.own[13]->d.energy.offset = 100;
        declared(&b, later[i].yaml);
        if (!later[i].says) assert_int_equal(b.diag.nerrors, 0);
        else assert_true(b.diag.nerrors == 1 && strstr(b.diag.items[0].msg, later[i].says));
        done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_montage),  cmocka_unit_test(test_shared_scale), cmocka_unit_test(test_overlays),
        cmocka_unit_test(test_range_of_each_scale), cmocka_unit_test(test_narrow_montage_folds), cmocka_unit_test(test_odd_maps),
        cmocka_unit_test(test_data_of_maps), cmocka_unit_test(test_results_as_columns), cmocka_unit_test(test_absent_run),
        cmocka_unit_test(test_profiles), cmocka_unit_test(test_spectra),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_nothing_overlaps), cmocka_unit_test(test_files), cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
