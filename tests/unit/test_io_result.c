/* pipeline/io: what the writer of results puts into a file, the reader gets out of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipeline/base/err.h"
#include "pipeline/io/file.h"
#include "pipeline/io/result.h"
#include "tests/unit/h5make.h"

#define OK(x) do { if ((x) != EP_OK) fail_msg("%s", e.msg); } while (0)

static struct ep_err e;

static const struct ep_record record = {
    .step = "o_net", .stage = "background", .stage_version = 2, .version = "0.1.0", .fingerprint = "0123456789abcdef0123456789abcdef",
    .parameters = "{\"window\":[505,524]}", .chain = "[]", .inputs = "[{\"port\":\"input\"}]", .elements = "O Ti"};

static struct ep_desc desc_of(const char *name, enum ep_kind kind, size_t nnav)
{
    struct ep_desc d;
    ep_desc_init(&d);
    snprintf(d.name, sizeof d.name, "%s", name);
    d.kind = kind;
    d.nnav = nnav;
    for (size_t k = 0; k < nnav; k++) {
        snprintf(d.nav[k].name, sizeof d.nav[k].name, "%s", nnav - k == 1 ? "x" : nnav - k == 2 ? "y" : "time");
        strcpy(d.nav[k].unit, nnav - k == 3 ? "s" : "nm");
        d.nav[k].offset = -1.25 * (double)k;
        d.nav[k].scale = 0.1 * (double)(k + 1);
        d.nav[k].size = mk_size[4 - 1 - nnav + k];
    }
    d.spectral = kind == EP_IMAGE || kind == EP_SPECTRUM;
    if (d.spectral) d.energy = (struct ep_axis){"Energy loss", "eV", 500.1, 0.3, 37};
    strcpy(d.unit, "counts");
    strcpy(d.long_name, "Net intensity");
    strcpy(d.meta.signal_type, "EELS");
    strcpy(d.meta.title, "grain 3");
    strcpy(d.frame, "scan 7");
    d.meta.beam_energy_kev = 200;
    d.meta.collection_mrad = 33.5;
    d.gain = 1.7;
    d.read_noise = 0.5;
    d.gain_estimated = true;
    d.noise = EP_NOISE_CORRELATED;
    d.noise_px = 1.5;
    d.dtype = kind == EP_IMAGE || kind == EP_MAP ? EP_F32 : EP_F64;
    return d;
}

/* Signals with something everywhere. */
static struct ep_signal *signal_of(const struct ep_desc *d)
{
    struct ep_signal *s = NULL;
    OK(ep_signal_new(d, &s, &e));
    size_t pixels = ep_desc_ny(d) * ep_desc_nx(d);
    for (size_t i = 0; i < s->n; i++) {
        double v = i % 11 == 5 ? (double)NAN : 0.1 * (double)i - 3;
        if (s->f32) s->f32[i] = (float)v;
        if (s->f64) s->f64[i] = v;
        if (s->sigma32) s->sigma32[i] = (float)(0.01 * (double)i);
        if (s->sigma64) s->sigma64[i] = 0.01 * (double)i;
    }
    for (size_t i = 0; i < pixels; i++) {
        if (s->flags) s->flags[i] = (uint32_t)(i * 2654435761u);
        if (s->shift) s->shift[i] = 0.001 * (double)i;
        for (size_t k = 0; s->theta && k < 3; k++) s->theta[3 * i + k] = (double)i + 0.1 * (double)k;
        for (size_t k = 0; s->cmat && k < 3; k++) s->cmat[3 * i + k] = 1e-3 * (double)i + (double)k;
    }
    for (size_t i = 0; s->points && i < EP_CURVE_COLS * s->n; i++) s->points[i] = 0.5 * (double)i;
    if (d->kind == EP_PROFILE && d->has_sigma) {
        s->nband = 2;
        s->band = calloc(2 * s->n, sizeof *s->band);
        for (size_t i = 0; i < 2 * s->n; i++) s->band[i] = 0.001 * (double)i;
    }
    if (s->model)
        *s->model = (struct ep_model){.form = EP_MODEL_TWO_POWERS, .method = EP_FIT_WLS, .nwindow = 2, .window = {{505, 524}, {560, 570}},
                                      .e_ref = 514.5, .r = {2.5, 3.5}, .mean_theta = {7, 8}, .own_weight = 0.25, .gain = 1.7,
                                      .read_noise = 0.5, .axis = {"Energy loss", "eV", 500, 0.1, 120}, .bin = 3, .first = 2};
    return s;
}

static void same_bytes(const void *a, const void *b, size_t n)
{
    assert_true(!a == !b);
    if (a) assert_memory_equal(a, b, n);
}

static void same_axis(const struct ep_axis *a, const struct ep_axis *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->unit, b->unit);
    assert_true(a->offset == b->offset && a->scale == b->scale && a->size == b->size);
}

static void same_desc(const struct ep_desc *a, const struct ep_desc *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->nnav, b->nnav);
    for (size_t k = 0; k < a->nnav && a->kind != EP_CURVE; k++) same_axis(&a->nav[k], &b->nav[k]);
    if (a->spectral) same_axis(&a->energy, &b->energy);
    if (a->kind != EP_TABLE) assert_string_equal(a->unit, b->unit);
    assert_string_equal(a->long_name, b->long_name);
    assert_string_equal(a->frame, b->frame);
    assert_string_equal(a->meta.title, b->meta.title);
    assert_string_equal(a->meta.signal_type, b->meta.signal_type);
    assert_true(a->meta.beam_energy_kev == b->meta.beam_energy_kev && a->meta.collection_mrad == b->meta.collection_mrad);
    assert_true(isnan(b->meta.live_time_s) && isnan(b->meta.beam_current_na));
    assert_true(a->gain == b->gain && a->read_noise == b->read_noise && a->gain_estimated == b->gain_estimated);
    assert_true(a->noise == b->noise && a->noise_px == b->noise_px && a->shift_max == b->shift_max);
    assert_true(a->has_sigma == b->has_sigma && a->modelled == b->modelled && a->primary == b->primary);
}

static void same_signal(const struct ep_signal *a, const struct ep_signal *b)
{
    size_t pixels = ep_desc_ny(&a->d) * ep_desc_nx(&a->d);
    same_desc(&a->d, &b->d);
    assert_int_equal(a->n, b->n);
    same_bytes(a->f32, b->f32, a->n * 4);
    same_bytes(a->f64, b->f64, a->n * 8);
    same_bytes(a->sigma32, b->sigma32, a->n * 4);
    same_bytes(a->sigma64, b->sigma64, a->n * 8);
    same_bytes(a->flags, b->flags, pixels * 4);
    same_bytes(a->shift, b->shift, pixels * 8);
    same_bytes(a->theta, b->theta, pixels * 24);
    same_bytes(a->cmat, b->cmat, pixels * 24);
    same_bytes(a->points, b->points, a->n * EP_CURVE_COLS * sizeof(double));
    assert_int_equal(a->nband, b->nband);
    same_bytes(a->band, b->band, a->n * a->nband * sizeof(double));
    if (a->model) same_bytes(a->model, b->model, sizeof *a->model);
}

static void write_one(const char *name, const struct ep_signal *s)
{
    struct ep_writer *w = NULL;
    OK(ep_writer_open(mk_path(name), &record, &w, &e));
    OK(ep_writer_put(w, s, &e));
    OK(ep_writer_commit(w, &e));
}

static void there_and_back(const struct ep_desc *d)
{
    struct ep_signal *s = signal_of(d), *t = NULL;
    struct ep_file *f = NULL;
    struct ep_hash a, b;
    size_t i = 99;
    write_one("r.hspy", s);
    OK(ep_file_open(mk_path("r.hspy"), &f, &e));
    assert_int_equal(ep_file_count(f), 1);
    OK(ep_file_find(f, d->name, d->kind, &i, &e));
    OK(ep_file_load(f, i, (size_t)1 << 30, &t, &e));
    same_signal(s, t);
    OK(ep_file_fingerprint(f, i, 1, &a, &e));
    OK(ep_file_fingerprint(f, i, 3, &b, &e));
    assert_string_equal(a.hex, b.hex);
    const struct ep_origin *o = ep_file_origin(f);
    assert_string_equal(o->program, "eelpipe");
    assert_string_equal(o->version, record.version);
    assert_string_equal(o->step, record.step);
    assert_string_equal(o->stage, record.stage);
    assert_string_equal(o->fingerprint, record.fingerprint);
    assert_string_equal(o->parameters, record.parameters);
    assert_string_equal(o->chain, record.chain);
    assert_string_equal(o->inputs, record.inputs);
    ep_file_close(f);
    ep_signal_free(s);
    ep_signal_free(t);
}

static void arrays(void **state)
{
    (void)state;
    for (size_t nnav = 0; nnav <= 3; nnav++) {
        struct ep_desc d = desc_of("map", EP_MAP, nnav);
        there_and_back(&d);
        d.has_sigma = d.primary = true;
        there_and_back(&d);
        d = desc_of("net", EP_IMAGE, nnav);
        if (nnav) there_and_back(&d);
        d.modelled = true;
        d.shift_max = 2.5;
        if (!nnav) d.kind = EP_SPECTRUM, d.dtype = EP_F64, d.has_sigma = true;
        there_and_back(&d);
    }
    struct ep_desc d = desc_of("across", EP_PROFILE, 1);
    d.has_sigma = true;
    there_and_back(&d);
    d.has_sigma = false;
    there_and_back(&d);
    d = desc_of("edge", EP_CURVE, 1);
    there_and_back(&d);
    d = desc_of("raw", EP_IMAGE, 2); /* packed with filter masks */
    d.dtype = EP_U16;
    struct ep_signal *s = signal_of(&d);
    for (size_t i = 0; i < s->n; i++) s->f32[i] = (float)(i * 7919 % 65536);
    struct ep_signal *t = NULL;
    struct ep_file *f = NULL;
    write_one("r.hspy", s);
    OK(ep_file_open(mk_path("r.hspy"), &f, &e));
    OK(ep_file_load(f, 0, 1 << 20, &t, &e));
    same_signal(s, t);
    assert_int_equal(ep_file_load(f, 0, 1000, &(struct ep_signal *){NULL}, &e), EP_E_COMPUTE);
    e = (struct ep_err){0};
    ep_file_close(f);
    ep_signal_free(s);
    ep_signal_free(t);
}

static void tables(void **state)
{
    (void)state;
    const double x[3] = {1, 2, NAN}, sx[3] = {0.1, 0.2, 0.3};
    const char *const words[3] = {"ncm003", "", "\xc2\xb5"};
    for (size_t rows = 0; rows <= 3; rows += 3) {
        struct ep_signal *s = NULL, *t = NULL;
        struct ep_file *f = NULL;
        OK(ep_table_new("fronts", rows, &s, &e));
        if (rows) {
            OK(ep_table_add(s, "temperature", "degC", x, NULL, NULL, &e));
            OK(ep_table_add(s, "sample", "", NULL, NULL, words, &e));
            OK(ep_table_add(s, "a/b", "nm", x, sx, NULL, &e));
        }
        write_one("t.hspy", s);
        OK(ep_file_open(mk_path("t.hspy"), &f, &e));
        OK(ep_file_load(f, 0, 1 << 20, &t, &e));
        assert_int_equal(t->n, rows && t->ncol ? rows : 0);
        assert_int_equal(t->ncol, s->ncol);
        for (size_t k = 0; k < t->ncol; k++) {
            assert_string_equal(t->col[k].name, s->col[k].name);
            assert_string_equal(t->col[k].unit, s->col[k].unit);
            assert_int_equal(t->col[k].is_text, s->col[k].is_text);
            same_bytes(s->col[k].num, t->col[k].num, rows * 8);
            same_bytes(s->col[k].sigma, t->col[k].sigma, rows * 8);
            for (size_t i = 0; t->col[k].is_text && i < rows; i++) assert_string_equal(t->col[k].text[i], s->col[k].text[i]);
        }
        struct ep_hash h;
        OK(ep_file_fingerprint(f, 0, 2, &h, &e));
        ep_file_close(f);
        ep_signal_free(s);
        ep_signal_free(t);
    }
}

/* What pixels carry, block by block, from the file and from memory. */
static void streams(void **state)
{
    (void)state;
    struct ep_desc d = desc_of("net", EP_IMAGE, 3);
    d.modelled = true;
    d.shift_max = 1;
    struct ep_signal *s = signal_of(&d);
    struct ep_file *f = NULL;
    write_one("s.hspy", s);
    OK(ep_file_open(mk_path("s.hspy"), &f, &e));
    for (int memory = 0; memory < 2; memory++) {
        struct ep_source *src = NULL;
        struct ep_piece p = {0};
        const struct ep_area a = {4, 2, 11, 7}; /* parts of two times */
        float val[11 * 7 * 5];
        double shift[77], theta[77 * 3], cmat[77 * 3];
        uint32_t flag[77];
        struct ep_block b = {.a = a, .ch0 = 8, .nch = 5, .val = val, .shift = shift, .theta = theta, .cmat = cmat, .flag = flag};
        if (memory) OK(ep_source_memory(s, &src, &e));
        else OK(ep_source_open(f, 0, &src, &e));
        assert_memory_equal(ep_source_model(src), s->model, sizeof *s->model);
        for (size_t i = 0; i < ep_source_pieces(src, &b); i++) {
            OK(ep_source_fetch(src, &b, i, &p, &e));
            OK(ep_source_fill(src, &b, i, &p, &e));
        }
        for (size_t i = 0; i < 77; i++) {
            size_t px = (a.y0 + i / 7) * 10 + a.x0 + i % 7;
            assert_memory_equal(val + 5 * i, s->f32 + 37 * px + 8, 5 * sizeof *val);
            assert_memory_equal(theta + 3 * i, s->theta + 3 * px, 24);
            assert_memory_equal(cmat + 3 * i, s->cmat + 3 * px, 24);
            assert_true(shift[i] == s->shift[px] && flag[i] == s->flags[px]);
        }
        free(p.raw);
        ep_source_close(src);
    }
    ep_file_close(f);
    ep_signal_free(s);
}

/* ---- results that somebody changed ---- */

static void refuse_of(const struct ep_desc *d, void (*change)(hid_t), const char *words)
{
    struct ep_signal *s = signal_of(d);
    write_one("c.hspy", s);
    ep_signal_free(s);
    hid_t f = H5Fopen(mk_path("c.hspy"), H5F_ACC_RDWR, H5P_DEFAULT);
    change(f);
    mk_close(f);
    struct ep_file *in = NULL;
    struct ep_source *src = NULL;
    struct ep_err err = {0};
    ep_status st = ep_file_open(mk_path("c.hspy"), &in, &err);
    if (st == EP_OK) st = ep_source_open(in, 0, &src, &err);
    assert_int_equal(st, EP_E_INPUT);
    if (!strstr(err.msg, words)) fail_msg("'%s' is not in: %s", words, err.msg);
    ep_file_close(in);
}

static void refuse_after(void (*change)(hid_t), const char *words)
{
    struct ep_desc d = desc_of("net", EP_IMAGE, 2);
    d.modelled = true;
    d.shift_max = 1;
    refuse_of(&d, change, words);
}

static void layout_2(hid_t f)
{
    mk_int(f, "eelpipe_layout", 2);
}
static void odd_kind(hid_t f)
{
    hid_t g = H5Gopen2(f, "/entry/net", H5P_DEFAULT);
    mk_text(g, "kind", "hologram");
    H5Gclose(g);
}
static void moved_axis(hid_t f)
{
    hid_t g = H5Gopen2(f, "/entry/net", H5P_DEFAULT);
    mk_num(g, "axis_2_offset", 501);
    H5Gclose(g);
}
static void odd_model(hid_t f)
{
    hid_t g = H5Gopen2(f, "/entry/net/covariance", H5P_DEFAULT);
    mk_int(g, "first", 100000);
    H5Gclose(g);
}
static void no_theta(hid_t f)
{
    H5Ldelete(f, "/entry/net/covariance/theta", H5P_DEFAULT);
}
static void no_shift(hid_t f)
{
    H5Ldelete(f, "/entry/net/shift", H5P_DEFAULT);
}
static void no_band(hid_t f)
{
    H5Ldelete(f, "/entry/across/data_band", H5P_DEFAULT);
}
static void no_entry(hid_t f)
{
    H5Ldelete(f, "/entry", H5P_DEFAULT);
}

static void changed(void **state)
{
    (void)state;
    refuse_after(layout_2, "newer eelpipe");
    refuse_after(odd_kind, "kind");
    refuse_after(moved_axis, "disagree");
    refuse_after(odd_model, "covariance");
    refuse_after(no_theta, "covariance/theta");
    refuse_after(no_shift, "shift");
    refuse_after(no_entry, "/entry");
    struct ep_desc d = desc_of("across", EP_PROFILE, 1);
    d.has_sigma = true;
    refuse_of(&d, no_band, "data_band");
}

static int finish(void **state)
{
    (void)state;
    mk_remove_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays), cmocka_unit_test(tables), cmocka_unit_test(streams), cmocka_unit_test(changed),
    };
    ep_hdf5_init();
    return cmocka_run_group_tests(tests, NULL, finish);
}
