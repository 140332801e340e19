/* pipeline/io: what files say of their signals, files that lie, results, fingerprints. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "pipeline/base/err.h"
#include "pipeline/io/file.h"
#include "tests/unit/h5make.h"

static const struct mk_array cube = {"yxE", 0, {0}, 0, 0};

static struct mk_array as(const char *dims, hid_t type)
{
    struct mk_array a = cube;
    a.dims = dims;
    a.type = type;
    return a;
}

static struct ep_file *open_ok(const char *name)
{
    struct ep_err e = {0};
    struct ep_file *f = NULL;
    if (ep_file_open(mk_path(name), &f, &e) != EP_OK) fail_msg("%s", e.msg);
    return f;
}

/* Opening fails with a message that names the path and holds the words given. */
static void refused(const char *name, const char *words)
{
    struct ep_err e = {0};
    struct ep_file *f = (struct ep_file *)&e;
    assert_int_equal(ep_file_open(mk_path(name), &f, &e), EP_E_INPUT);
    assert_null(f);
    assert_ptr_equal(strstr(e.msg, mk_path(name)), e.msg);
    if (!strstr(e.msg, words)) fail_msg("'%s' is not in: %s", words, e.msg);
}

/* ---- descriptions ---- */

static void describes_cubes(void **state)
{
    (void)state;
    struct mk_array a = as("tyxE", H5T_STD_U16LE);
    hid_t f = mk_file("a.hspy");
    hid_t g = mk_experiment(f, "core loss", &a);
    hid_t m = mk_group(g, "metadata/Acquisition_instrument/TEM/Detector/EELS");
    mk_num(m, "collection_angle", 33);
    mk_num(m, "dwell_time", 0.02);
    mk_text(m, "exposure", "_None_");
    H5Gclose(m);
    m = H5Gopen2(g, "metadata/Acquisition_instrument/TEM", H5P_DEFAULT);
    mk_int(m, "beam_energy", 200);
    mk_num(m, "convergence_angle", 0);
    mk_num(m, "beam_current", NAN);
    H5Gclose(m);
    m = H5Gopen2(g, "metadata/Signal", H5P_DEFAULT);
    mk_text(m, "quantity", "Intensity (Counts)");
    H5Gclose(m);
    H5Gclose(g);
    mk_close(f);
    struct ep_file *in = open_ok("a.hspy");
    const struct ep_desc *d = ep_file_desc(in, 0);
    assert_int_equal(d->kind, EP_IMAGE);
    assert_string_equal(d->name, "core loss");
    assert_string_equal(d->meta.title, "core loss");
    assert_int_equal(d->nnav, 3);
    assert_string_equal(d->nav[0].name, "time");
    assert_string_equal(d->nav[0].unit, "s");
    assert_int_equal(d->nav[2].size, 10);
    assert_true(d->nav[1].scale == 0.5);
    assert_true(d->spectral && d->energy.size == 37 && d->energy.offset == 400 && d->energy.scale == 1);
    assert_int_equal(d->dtype, EP_U16);
    assert_string_equal(d->unit, "counts");
    assert_string_equal(d->long_name, "Intensity (Counts)");
    assert_true(d->meta.beam_energy_kev == 200 && d->meta.collection_mrad == 33 && d->meta.dwell_time_s == 0.02);
    assert_true(isnan(d->meta.convergence_mrad) && isnan(d->meta.beam_current_na) && isnan(d->meta.exposure_s));
    assert_true(d->gain == 1 && d->noise == EP_NOISE_INDEPENDENT);
    assert_string_equal(ep_file_origin(in)->program, "");
    struct ep_storage st;
    ep_file_storage(in, 0, &st);
    assert_string_equal(st.text, "uint16, little-endian, contiguous");
    assert_true(st.direct && st.bytes_raw == 2 * 3 * 7 * 10 * 37 && st.bytes_stored == st.bytes_raw);
    ep_file_close(in);
}

static enum ep_kind kind_of(const char *dims, void (*change)(hid_t))
{
    struct mk_array a = as(dims, H5T_IEEE_F32LE);
    hid_t f = mk_file("k.hspy"), g = mk_experiment(f, "s", &a);
    if (change) change(g);
    H5Gclose(g);
    mk_close(f);
    struct ep_file *in = open_ok("k.hspy");
    enum ep_kind k = ep_file_desc(in, 0)->kind;
    ep_file_close(in);
    return k;
}

static void with_attr(hid_t g, const char *axis, const char *name, int flag, const char *text)
{
    hid_t x = H5Gopen2(g, axis, H5P_DEFAULT);
    if (text) mk_text(x, name, text);
    else if (flag < 0) mk_no_attr(x, name);
    else mk_bool(x, name, flag);
    H5Gclose(x);
}

static void images_signal2d(hid_t g)
{
    with_attr(g, "axis-0", "navigate", 0, NULL);
    with_attr(g, "axis-1", "navigate", 0, NULL);
}
static void energy_slices(hid_t g) /* dims Eyx: energy is the navigation axis */
{
    with_attr(g, "axis-0", "navigate", 1, NULL);
    with_attr(g, "axis-1", "navigate", 0, NULL);
    with_attr(g, "axis-2", "navigate", 0, NULL);
}
static void no_flags(hid_t g)
{
    with_attr(g, "axis-0", "navigate", -1, NULL);
    with_attr(g, "axis-1", "navigate", -1, NULL);
}
static void no_flags_spectrum(hid_t g)
{
    no_flags(g);
    with_attr(g, "axis-1", "units", 0, "_None_");
    with_attr(g, "metadata/Signal", "record_by", 0, "spectrum");
}
static void no_flags_image(hid_t g)
{
    no_flags(g);
    with_attr(g, "metadata/Signal", "record_by", 0, "image");
}
static void profile_axis(hid_t g)
{
    with_attr(g, "axis-0", "navigate", 0, NULL);
}
static void no_unit(hid_t g)
{
    with_attr(g, "axis-0", "units", 0, "<undefined>");
}

static void high_tension_series(hid_t g)
{
    with_attr(g, "axis-0", "units", 0, "keV"); /* two energies, but one signal axis */
}

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(kind_of("yxE", NULL), EP_IMAGE);
    assert_int_equal(kind_of("xE", NULL), EP_IMAGE);
    assert_int_equal(kind_of("E", NULL), EP_SPECTRUM);
    assert_int_equal(kind_of("E", no_unit), EP_SPECTRUM);
    assert_int_equal(kind_of("yx", NULL), EP_MAP);
    assert_int_equal(kind_of("yx", images_signal2d), EP_MAP);
    assert_int_equal(kind_of("x", NULL), EP_PROFILE);
    assert_int_equal(kind_of("x", profile_axis), EP_PROFILE);
    assert_int_equal(kind_of("Eyx", energy_slices), EP_IMAGE);
    assert_int_equal(kind_of("xE", high_tension_series), EP_IMAGE);
    assert_int_equal(kind_of("xE", no_flags), EP_IMAGE);
    assert_int_equal(kind_of("xE", no_flags_spectrum), EP_IMAGE);
    assert_int_equal(kind_of("yx", no_flags_image), EP_MAP);
}

/* ---- refusals ---- */

static void refuse_changed(const char *dims, const char *axis, const char *name, double number, const char *text, const char *words)
{
    struct mk_array a = as(dims, H5T_IEEE_F32LE);
    hid_t f = mk_file("r.hspy"), g = mk_experiment(f, "s", &a), x = H5Gopen2(g, axis, H5P_DEFAULT);
    if (text) mk_text(x, name, text);
    else mk_num(x, name, number);
    H5Gclose(x);
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", words);
}

static void bad_axes(void **state)
{
    (void)state;
    refuse_changed("yxE", "axis-1", "size", 11, NULL, "'x' (axis-1): its size is 11 but the data have 10");
    refuse_changed("yxE", "axis-2", "scale", 0, NULL, "'Energy loss' (axis-2): its scale");
    refuse_changed("yxE", "axis-2", "scale", NAN, NULL, "scale");
    refuse_changed("yxE", "axis-2", "scale", 0, "abc", "scale");
    refuse_changed("yxE", "axis-2", "scale", 0, "_None_", "no scale");
    refuse_changed("yxE", "axis-2", "offset", INFINITY, NULL, "offset");
}

static void bad_groups(void **state)
{
    (void)state;
    struct mk_array a = as("yxE", H5T_IEEE_F32LE);
    hid_t f = mk_file("r.hspy"), g = mk_experiment(f, "s", &a);
    H5Ldelete(g, "axis-1", H5P_DEFAULT);
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "axis-1");
    f = mk_file("r.hspy");
    g = mk_experiment(f, "s", &a);
    with_attr(g, "axis-2", "units", 0, "nm");
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "not an energy");
    f = mk_file("r.hspy");
    g = mk_experiment(f, "s", &a);
    no_flags(g);
    with_attr(g, "axis-0", "units", 0, "eV");
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "2 of its axes are energies");
    f = mk_file("r.hspy");
    g = mk_experiment(f, "s", &a);
    with_attr(g, "axis-0", "navigate", 0, NULL);
    with_attr(g, "axis-2", "navigate", 1, NULL);
    with_attr(g, "axis-0", "units", 0, "");
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "marked as the signal axis");
    f = mk_file("r.hspy");
    g = mk_experiment(f, "s", &a);
    with_attr(g, "axis-2", "_type", 0, "FunctionalDataAxis");
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "formula");
    f = mk_file("r.hspy");
    H5Gclose(mk_experiment(f, "s", &a));
    mk_text(f, "file_format_version", "1.2");
    mk_close(f);
    refused("r.hspy", "1.2");
}

static void vector_axes(void **state)
{
    (void)state;
    struct mk_array a = as("yxE", H5T_IEEE_F32LE);
    for (int uniform = 0; uniform < 2; uniform++) {
        double v[37];
        hsize_t n = 37;
        for (int i = 0; i < 37; i++) v[i] = 100 + 0.5 * i + (uniform ? 0 : 0.01 * i * i);
        hid_t f = mk_file("r.hspy"), g = mk_experiment(f, "s", &a), x = H5Gopen2(g, "axis-2", H5P_DEFAULT);
        mk_data(x, "axis", H5T_IEEE_F32LE, 1, &n, v);
        mk_text(x, "_type", "DataAxis");
        H5Gclose(x);
        H5Gclose(g);
        mk_close(f);
        if (!uniform) {
            refused("r.hspy", "not uniform");
            continue;
        }
        struct ep_file *in = open_ok("r.hspy");
        assert_true(fabs(ep_file_desc(in, 0)->energy.offset - 100) < 1e-4 && fabs(ep_file_desc(in, 0)->energy.scale - 0.5) < 1e-6);
        ep_file_close(in);
    }
}

static void not_files(void **state)
{
    (void)state;
    FILE *fp = fopen(mk_path("x.hspy"), "wb");
    fputs("hello, this is no HDF5", fp);
    fclose(fp);
    refused("x.hspy", "not an HDF5 file");
    fclose(fopen(mk_path("x.hspy"), "wb"));
    refused("x.hspy", "empty");
    refused("absent.hspy", "No such file");
    assert_int_equal(mkdir(mk_path("folder"), 0700), 0);
    refused("folder", "not a file");
    hid_t f = mk_file("none.hspy");
    mk_close(f);
    refused("none.hspy", "no signals");
}

static void foreign_types(void **state)
{
    (void)state;
    hsize_t n = 3;
    hid_t c = H5Tcreate(H5T_COMPOUND, 16), space = H5Screate_simple(1, &n, NULL), null = H5Screate(H5S_NULL);
    H5Tinsert(c, "r", 0, H5T_NATIVE_DOUBLE);
    H5Tinsert(c, "i", 8, H5T_NATIVE_DOUBLE);
    for (int k = 0; k < 3; k++) {
        hid_t f = mk_file("r.hspy"), g = mk_group(f, "/Experiments/s");
        H5Dclose(H5Dcreate2(g, "data", k == 0 ? c : k == 1 ? H5T_C_S1 : H5T_NATIVE_FLOAT, k == 2 ? null : space, H5P_DEFAULT, H5P_DEFAULT,
                            H5P_DEFAULT));
        H5Gclose(g);
        mk_close(f);
        refused("r.hspy", k == 0 ? "complex" : k == 1 ? "texts" : "empty");
    }
    H5Tclose(c);
    H5Sclose(space);
    H5Sclose(null);
    hid_t f = mk_file("r.hspy"), g = mk_group(f, "/Experiments/s");
    H5Lcreate_soft("/nowhere", g, "data", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "can't be opened");
    f = mk_file("other.hspy");
    struct mk_array a = as("yxE", H5T_IEEE_F32LE);
    H5Gclose(mk_experiment(f, "s", &a));
    mk_close(f);
    f = mk_file("r.hspy");
    g = mk_experiment(f, "s", &a);
    H5Ldelete(g, "data", H5P_DEFAULT);
    H5Lcreate_external(mk_path("other.hspy"), "/Experiments/s/data", g, "data", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(g);
    mk_close(f);
    refused("r.hspy", "another file");
}

/* Attributes of types and shapes that nobody expects are as good as absent; those that matter are refused. */
static void odd_attributes(void **state)
{
    (void)state;
    struct mk_array a = as("yxE", H5T_IEEE_F32LE);
    const double many[3] = {1, 2, 3};
    const char *const words[2] = {"a", "b"};
    hid_t f = mk_file("o.hspy"), g = mk_experiment(f, "s", &a), x = H5Gopen2(g, "axis-0", H5P_DEFAULT);
    mk_nums(x, "name", many, 3);
    mk_texts(x, "units", words, 2);
    H5Gclose(x);
    x = H5Gopen2(g, "axis-2", H5P_DEFAULT);
    mk_fixed(x, "units", "eV");
    mk_fixed(x, "name", "E \x1b[31mred");
    mk_int(x, "navigate", 0);
    const double one = 0.5;
    mk_nums(x, "scale", &one, 1);
    H5Gclose(x);
    x = H5Gopen2(g, "metadata/General", H5P_DEFAULT);
    mk_num(x, "title", 7);
    H5Gclose(x);
    x = H5Gopen2(g, "metadata/Signal", H5P_DEFAULT);
    mk_text(x, "signal_type", "a signal type that is far too long for its field");
    H5Gclose(x);
    x = mk_group(g, "metadata/Acquisition_instrument/TEM");
    mk_text(x, "beam_energy", "two hundred");
    H5Gclose(x);
    H5Gclose(g);
    mk_close(f);
    struct ep_file *in = open_ok("o.hspy");
    const struct ep_desc *d = ep_file_desc(in, 0);
    assert_string_equal(d->nav[0].name, "axis-0");
    assert_string_equal(d->nav[0].unit, "");
    assert_string_equal(d->energy.name, "E  [31mred");
    assert_string_equal(d->energy.unit, "eV");
    assert_true(d->energy.scale == 0.5 && isnan(d->meta.beam_energy_kev));
    assert_string_equal(d->meta.title, "");
    assert_string_equal(d->meta.signal_type, "a signal type t");
    ep_file_close(in);
}

/* ---- finding ---- */

static ep_status find(struct ep_file *f, const char *name, unsigned kinds_wanted, size_t *i, const char *words)
{
    struct ep_err e = {0};
    ep_status st = ep_file_find(f, name, kinds_wanted, i, &e);
    if (words && !strstr(e.msg, words)) fail_msg("'%s' is not in: %s", words, e.msg);
    return st;
}

static void finding(void **state)
{
    (void)state;
    struct mk_array a = as("yxE", H5T_IEEE_F32LE), m = as("yx", H5T_IEEE_F32LE);
    size_t i = 9;
    hid_t f = mk_file("f.hspy");
    H5Gclose(mk_experiment(f, "core", &a));
    H5Gclose(mk_experiment(f, "map", &m));
    mk_close(f);
    struct ep_file *in = open_ok("f.hspy");
    assert_int_equal(ep_file_count(in), 2);
    assert_int_equal(find(in, NULL, EP_IMAGE, &i, NULL), EP_OK);
    assert_string_equal(ep_file_desc(in, i)->name, "core");
    assert_int_equal(find(in, "map", EP_MAP | EP_IMAGE, &i, NULL), EP_OK);
    assert_string_equal(ep_file_desc(in, i)->name, "map");
    assert_int_equal(find(in, NULL, EP_IMAGE | EP_MAP, &i, "'core' (spectrum image, 7 x 10 x 37), 'map' (map, 7 x 10)"), EP_E_INPUT);
    assert_int_equal(find(in, "map", EP_IMAGE, &i, "'map' is a map, not a spectrum image"), EP_E_INPUT);
    assert_int_equal(find(in, "cor", EP_IMAGE, &i, "no signal 'cor'"), EP_E_INPUT);
    assert_int_equal(find(in, NULL, EP_TABLE, &i, "no table in it"), EP_E_INPUT);
    ep_file_close(in);

    /* One that can't be read must not make another one the obvious choice. */
    f = mk_file("f.hspy");
    H5Gclose(mk_experiment(f, "low", &a));
    hid_t g = mk_experiment(f, "core", &a), x = H5Gopen2(g, "axis-0", H5P_DEFAULT);
    mk_num(x, "scale", 0);
    H5Gclose(x);
    H5Gclose(g);
    mk_close(f);
    in = open_ok("f.hspy");
    assert_int_equal(find(in, NULL, EP_IMAGE, &i, "'core' can't be used"), EP_E_INPUT);
    assert_int_equal(find(in, "core", EP_IMAGE, &i, "scale"), EP_E_INPUT);
    assert_int_equal(find(in, "low", EP_IMAGE, &i, NULL), EP_OK);
    ep_file_close(in);
}

static void missing_filters(void **state)
{
    (void)state;
    hsize_t dim[3] = {7, 10, 37};
    struct mk_array a = as("yxE", H5T_IEEE_F32LE);
    hid_t f = mk_file("m.hspy"), g = mk_experiment(f, "s", &a), p = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(3, dim, NULL);
    H5Ldelete(g, "data", H5P_DEFAULT);
    H5Pset_chunk(p, 3, dim);
    assert_true(H5Pset_filter(p, 32008, H5Z_FLAG_OPTIONAL, 0, NULL) >= 0);
    H5Dclose(H5Dcreate2(g, "data", H5T_IEEE_F32LE, space, H5P_DEFAULT, p, H5P_DEFAULT));
    H5Pclose(p);
    H5Sclose(space);
    H5Gclose(g);
    mk_close(f);
    struct ep_file *in = open_ok("m.hspy");
    struct ep_source *s = NULL;
    struct ep_err e = {0};
    assert_int_equal(ep_source_open(in, 0, &s, &e), EP_E_INPUT);
    assert_non_null(strstr(e.msg, "32008 (bitshuffle)"));
    assert_null(s);
    ep_file_close(in);
}

/* ---- NXdata ---- */

static void nexus(void **state)
{
    (void)state;
    const char *const axes[3] = {"row", ".", "loss"};
    double row[7], loss[37], edges[38];
    hsize_t n7 = 7, n37 = 37, n38 = 38;
    for (int i = 0; i < 7; i++) row[i] = 2 * i;
    for (int i = 0; i < 38; i++) edges[i] = 0.5 * i - 10, loss[i % 37] = 0.5 * (i % 37) - 10;
    for (int bad = 0; bad < 2; bad++) {
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        hid_t f = H5Fcreate(mk_path("n.nxs"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), g = mk_group(f, "/scan/spectra");
        mk_text(f, "default", "scan");
        hid_t entry = H5Gopen2(f, "scan", H5P_DEFAULT);
        mk_text(entry, "NX_class", "NXentry");
        mk_text(entry, "default", "spectra");
        H5Lcreate_soft("/scan", entry, "loop", H5P_DEFAULT, H5P_DEFAULT); /* a circle */
        H5Gclose(entry);
        mk_text(g, "NX_class", "NXdata");
        mk_text(g, "signal", "counts");
        mk_texts(g, "axes", axes, 3);
        struct mk_array a = as("yxE", H5T_STD_U16LE);
        H5Dclose(mk_array(g, "counts", &a));
        mk_data(g, "row", H5T_IEEE_F64LE, 1, &n7, row);
        mk_data(g, "loss", H5T_IEEE_F32LE, 1, bad ? &n38 : &n37, bad ? edges : loss);
        hid_t x = H5Dopen2(g, "loss", H5P_DEFAULT);
        mk_text(x, "units", "eV");
        H5Dclose(x);
        H5Gclose(g);
        mk_close(f);
        if (bad) {
            refused("n.nxs", "edges");
            continue;
        }
        struct ep_file *in = open_ok("n.nxs");
        struct ep_signal *s = NULL;
        struct ep_err e = {0};
        size_t i;
        assert_int_equal(ep_file_find(in, NULL, EP_IMAGE, &i, &e), EP_OK);
        const struct ep_desc *d = ep_file_desc(in, i);
        assert_true(d->primary && d->nnav == 2 && d->nav[0].scale == 2 && d->nav[1].scale == 1 && d->energy.offset == -10 &&
                    d->energy.scale == 0.5);
        assert_string_equal(d->name, "spectra");
        assert_int_equal(ep_file_load(in, i, 1 << 20, &s, &e), EP_OK);
        assert_true((double)s->f32[37 * 13 + 5] == mk_value(0, 1, 3, 5));
        ep_signal_free(s);
        ep_file_close(in);
    }
}

/* ---- fingerprints ---- */

static struct ep_hash print_of(const char *name, unsigned threads)
{
    struct ep_file *f = open_ok(name);
    struct ep_hash h = {""};
    struct ep_err e = {0};
    if (ep_file_fingerprint(f, 0, threads, &h, &e) != EP_OK) fail_msg("%s", e.msg);
    assert_int_equal(strlen(h.hex), 32);
    ep_file_close(f);
    return h;
}

static struct ep_hash make_and_print(const struct mk_array *a, const char *axis, const char *name, double value, hsize_t at)
{
    hid_t f = mk_file("p.hspy"), g = mk_experiment(f, "s", a);
    if (axis) {
        hid_t x = H5Gopen2(g, axis, H5P_DEFAULT);
        mk_num(x, name, value);
        H5Gclose(x);
    }
    if (at) { /* one value differs */
        hid_t d = H5Dopen2(g, "data", H5P_DEFAULT), space = H5Dget_space(d), one = H5Screate(H5S_SCALAR);
        H5Sselect_elements(space, H5S_SELECT_SET, 1, (hsize_t[]){6, 9, at});
        assert_true(H5Dwrite(d, H5T_NATIVE_DOUBLE, one, space, H5P_DEFAULT, &value) >= 0);
        H5Sclose(one);
        H5Sclose(space);
        H5Dclose(d);
    }
    H5Gclose(g);
    mk_close(f);
    struct ep_hash h = print_of("p.hspy", 1);
    assert_string_equal(print_of("p.hspy", 5).hex, h.hex);
    return h;
}

static void fingerprints(void **state)
{
    (void)state;
    static const struct mk_array all[] = {{"yxE", 0, {0}, 0, 0}, {"yxE", 0, {0}, MK_COMPACT, 0}, {"yxE", 0, {3, 4, 16}, MK_GZIP, 0},
                                          {"yxE", 0, {1, 1, 2}, 0, 0}};
    char seen[32][33];
    size_t n = 0;
    for (size_t k = 0; k < 4; k++) {
        for (int be = 0; be < 2; be++) {
            struct mk_array a = all[k];
            a.type = be ? H5T_STD_I16BE : H5T_STD_I16LE;
            memcpy(seen[n++], make_and_print(&a, NULL, NULL, 0, 0).hex, 33);
            assert_string_equal(make_and_print(&a, NULL, NULL, 0, 0).hex, seen[n - 1]);
            memcpy(seen[n++], make_and_print(&a, "axis-2", "offset", 401, 0).hex, 33);
            memcpy(seen[n++], make_and_print(&a, "metadata/Signal", "unread", 1, 36).hex, 33);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) assert_string_not_equal(seen[i], seen[j]);
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
        cmocka_unit_test(describes_cubes), cmocka_unit_test(kinds),           cmocka_unit_test(bad_axes),
        cmocka_unit_test(bad_groups),      cmocka_unit_test(vector_axes),     cmocka_unit_test(not_files),
        cmocka_unit_test(foreign_types),   cmocka_unit_test(odd_attributes),  cmocka_unit_test(finding),
        cmocka_unit_test(missing_filters), cmocka_unit_test(nexus),           cmocka_unit_test(fingerprints),
    };
    ep_hdf5_init();
    return cmocka_run_group_tests(tests, NULL, finish);
}
