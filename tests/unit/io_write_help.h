/* What the tests of writing share: a folder of their own, and files with known content. For one test program each. */
#ifndef EP_TESTS_IO_WRITE_HELP_H
#define EP_TESTS_IO_WRITE_HELP_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/flags.h"
#include "pipeline/data/model.h"
#include "pipeline/io/file.h"
#include "pipeline/io/result.h"

static char folder[256];

/* ---- Help ----------------------------------------------------------------------------------------------- */

static inline const char *in_folder(const char *name)
{
    static char path[4][2048];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static inline int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/eelpipe_io_write_XXXXXX", tmp && *tmp ? tmp : P_tmpdir);
    ep_hdf5_init();
    return mkdtemp(folder) ? 0 : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static inline int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

static inline char *contents(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    *n = 0;
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*n + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *n, f), *n);
    fclose(f);
    return text;
}

static inline void assert_same_file(const char *a, const char *b)
{
    size_t na, nb;
    char *ta = contents(a, &na), *tb = contents(b, &nb);
    assert_non_null(ta);
    assert_non_null(tb);
    assert_int_equal(na, nb);
    assert_memory_equal(ta, tb, na);
    free(ta);
    free(tb);
}

static inline void must(ep_status st, const struct ep_err *e)
{
    if (st != EP_OK)
        fail_msg("%s", e->msg);
}

static inline struct ep_writer *open_writer(const char *path, struct ep_err *e)
{
    const struct ep_record rec = {.step = "step", .stage = "background", .stage_version = 1, .version = "0.1.0",
                                  .fingerprint = "0123", .parameters = "{}", .chain = "[]", .inputs = "[]", .elements = "Ti"};
    struct ep_writer *w = NULL;
    ep_writer_open(path, &rec, &w, e);
    return w;
}

static inline struct ep_axis axis(const char *name, const char *unit, double scale, size_t size)
{
    struct ep_axis a = {.offset = 0.5, .scale = scale, .size = size};
    snprintf(a.name, sizeof a.name, "%s", name);
    snprintf(a.unit, sizeof a.unit, "%s", unit);
    return a;
}

static inline struct ep_desc image_desc(size_t nt, size_t ny, size_t nx, size_t nch, enum ep_dtype dtype)
{
    struct ep_desc d;
    ep_desc_init(&d);
    strcpy(d.name, "net");
    strcpy(d.unit, "counts");
    d.kind = EP_IMAGE;
    d.dtype = dtype;
    d.spectral = d.primary = true;
    if (nt)
        d.nav[d.nnav++] = axis("time", "s", 30, nt);
    if (ny)
        d.nav[d.nnav++] = axis("y", "nm", 0.5, ny);
    if (nx)
        d.nav[d.nnav++] = axis("x", "nm", 0.5, nx);
    d.energy = axis("Energy loss", "eV", 0.25, nch);
    strcpy(d.meta.signal_type, "EELS");
    return d;
}

static inline float value_at(const struct ep_desc *d, size_t y, size_t x, size_t ch)
{
    return (float)(((y * ep_desc_nx(d) + x) * d->energy.size + ch) % 60000);
}

/* A cell's values; channel 0 is a zero of either sign, channel 1 one of many NaNs when odd is set. */
static inline float *cell_values(const struct ep_desc *d, struct ep_area a, bool odd)
{
    float *v = malloc(a.ny * a.nx * d->energy.size * sizeof *v), *p = v;
    assert_non_null(v);
    for (size_t y = 0; y < a.ny; y++)
        for (size_t x = 0; x < a.nx; x++)
            for (size_t ch = 0; ch < d->energy.size; ch++) {
                uint32_t nan_bits = 0xff812345u;
                *p = ch == 0 ? 0 : value_at(d, a.y0 + y, a.x0 + x, ch);
                if (odd && ch == 0)
                    *p = -0.0f;
                if (d->dtype == EP_F32 && ch == 1) {
                    *p = NAN;
                    if (odd)
                        memcpy(p, &nan_bits, sizeof nan_bits);
                }
                p++;
            }
    return v;
}

enum order { FORWARD, BACKWARD, MIXED };

static inline void write_area(struct ep_writer *w, size_t handle, const struct ep_desc *d, size_t cell, bool odd)
{
    struct ep_err e = {0};
    struct ep_grid g = ep_grid_of(ep_desc_ny(d), ep_desc_nx(d));
    struct ep_area a = ep_grid_cell(&g, cell);
    float *v = cell_values(d, a, odd);
    must(ep_writer_image_area(w, handle, a, v, &e), &e);
    free(v);
}

static inline void write_image(const char *path, const struct ep_desc *d, enum order order)
{
    struct ep_err e = {0};
    struct ep_writer *w = open_writer(path, &e);
    assert_non_null(w);
    size_t handle;
    must(ep_writer_image_begin(w, d, &handle, &e), &e);
    struct ep_grid g = ep_grid_of(ep_desc_ny(d), ep_desc_nx(d));
    size_t n = ep_grid_count(&g);
    for (size_t i = 0; i < n; i++) {
        /* 7919 is prime and larger than n: every cell once */
        size_t c = order == FORWARD ? i : order == BACKWARD ? n - 1 - i : (i * 7919 + 3) % n;
        write_area(w, handle, d, c, order != FORWARD);
    }
    must(ep_writer_image_end(w, handle, NULL, NULL, NULL, NULL, NULL, &e), &e);
    must(ep_writer_commit(w, &e), &e);
}

static inline void check_image(const char *path, const struct ep_desc *d)
{
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(f > 0);
    hid_t set = H5Dopen2(f, "/Experiments/net/data", H5P_DEFAULT);
    assert_true(set > 0);
    size_t nch = d->energy.size, n = ep_desc_ny(d) * ep_desc_nx(d) * nch;
    float *v = malloc(n * sizeof *v);
    assert_non_null(v);
    assert_true(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0);
    for (size_t i = 0; i < n; i++) {
        size_t ch = i % nch;
        if (ch == 1 && d->dtype == EP_F32)
            assert_true(isnan(v[i]));
        else
            assert_true(v[i] == (ch == 0 ? 0 : (float)(i % 60000)));
    }
    free(v);
    H5Dclose(set);
    assert_int_equal(H5Fget_obj_count(f, H5F_OBJ_ALL), 1);
    H5Fclose(f);
}

/* A map with everything that a map can have. */
static inline struct ep_signal *new_map(const char *name, bool primary, float base)
{
    struct ep_desc d;
    struct ep_err e = {0};
    ep_desc_init(&d);
    strcpy(d.name, name);
    strcpy(d.unit, "counts");
    d.kind = EP_MAP;
    d.nav[d.nnav++] = axis("y", "nm", 0.5, 13);
    d.nav[d.nnav++] = axis("x", "nm", 0.5, 17);
    d.has_sigma = true;
    d.primary = primary;
    struct ep_signal *s;
    must(ep_signal_new(&d, &s, &e), &e);
    for (size_t i = 0; i < s->n; i++) {
        s->f32[i] = base + (float)i;
        s->sigma32[i] = 1;
        s->flags[i] = i % 2 ? EP_FLAG_AT_BOUND : 0;
    }
    return s;
}

static inline struct ep_signal *new_table(void)
{
    static const double t[] = {25, 400}, front[] = {1, 2};
    static const char *const who[] = {"a", "b"};
    struct ep_err e = {0};
    struct ep_signal *s;
    must(ep_table_new("fronts", 2, &s, &e), &e);
    must(ep_table_add(s, "temperature", "degC", t, NULL, NULL, &e), &e);
    must(ep_table_add(s, "front", "nm", front, front, NULL, &e), &e);
    must(ep_table_add(s, "sample", "", NULL, NULL, who, &e), &e);
    return s;
}

/* Writes an image, two maps and a table; asserts nothing, so that it can fail in a child. */
static inline ep_status write_all(const char *path, float base, struct ep_err *e)
{
    struct ep_writer *w = open_writer(path, e);
    if (!w)
        return e->code;
    struct ep_desc d = image_desc(0, 20, 30, 40, EP_F32);
    d.primary = false;
    size_t handle;
    struct ep_signal *a = new_map("first", false, base), *b = new_map("second", true, base), *t = new_table();
    float *v = cell_values(&d, (struct ep_area){0, 0, 20, 30}, false);
    ep_status st = ep_writer_image_begin(w, &d, &handle, e);
    if (st == EP_OK)
        st = ep_writer_image_area(w, handle, (struct ep_area){0, 0, 20, 30}, v, e);
    if (st == EP_OK)
        st = ep_writer_image_end(w, handle, NULL, NULL, NULL, NULL, NULL, e);
    if (st == EP_OK)
        st = ep_writer_put(w, a, e);
    if (st == EP_OK)
        st = ep_writer_put(w, b, e);
    if (st == EP_OK)
        st = ep_writer_put(w, t, e);
    if (st == EP_OK)
        st = ep_writer_commit(w, e);
    else
        ep_writer_abort(w);
    free(v);
    ep_signal_free(a);
    ep_signal_free(b);
    ep_signal_free(t);
    return st;
}

/* Whether the file holds all that write_all writes with this base. */
static inline bool complete(const char *path, float base)
{
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0)
        return false;
    float v[13 * 17], c[20 * 30 * 40];
    hid_t map = H5Dopen2(f, "/Experiments/second/data", H5P_DEFAULT);
    hid_t image = H5Dopen2(f, "/Experiments/net/data", H5P_DEFAULT);
    hid_t front = H5Dopen2(f, "/entry/fronts/front", H5P_DEFAULT);
    bool ok = map > 0 && image > 0 && front > 0
              && H5Dread(map, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0 && v[0] == base && v[220] == base + 220
              && H5Dread(image, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, c) >= 0 && c[23999] == 23999;
    H5Dclose(map);
    H5Dclose(image);
    H5Dclose(front);
    H5Fclose(f);
    return ok;
}
#endif
