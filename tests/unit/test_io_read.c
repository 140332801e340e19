/* pipeline/io: values out of files, in whatever order, type, layout and compression they are stored. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pipeline/base/err.h"
#include "pipeline/io/decode.h"
#include "pipeline/io/file.h"
#include "tests/unit/h5make.h"

#define NE mk_size[3]

static struct ep_file *open_ok(const char *name)
{
    struct ep_err e = {0};
    struct ep_file *f = NULL;
    if (ep_file_open(mk_path(name), &f, &e) != EP_OK) fail_msg("%s", e.msg);
    return f;
}

/* ---- reading blocks ---- */

typedef double value_fn(size_t t, size_t y, size_t x, size_t e);

static ep_status read_block(struct ep_source *s, struct ep_block *b, struct ep_err *e)
{
    struct ep_piece p = {0};
    ep_status st = EP_OK;
    size_t n = ep_source_pieces(s, b);
    /* Backwards: the order must not matter. */
    for (size_t i = n; st == EP_OK && i-- > 0;) {
        st = ep_source_fetch(s, b, i, &p, e);
        if (st == EP_OK) st = ep_source_fill(s, b, i, &p, e);
    }
    free(p.raw);
    return st;
}

static void check_block(struct ep_source *s, struct ep_area a, size_t ch0, size_t nch, size_t ny1, value_fn *want)
{
    size_t n = a.ny * a.nx * nch;
    float *v = malloc((n + 1) * sizeof *v);
    uint32_t *flag = malloc(a.ny * a.nx * sizeof *flag);
    struct ep_err e = {0};
    assert_non_null(v);
    for (size_t i = 0; i <= n; i++) v[i] = 1e30f;
    memset(flag, 0xff, a.ny * a.nx * sizeof *flag);
    struct ep_block b = {.a = a, .ch0 = ch0, .nch = nch, .val = v, .flag = flag};
    if (read_block(s, &b, &e) != EP_OK) fail_msg("%s", e.msg);
    for (size_t i = 0; i < n; i++) {
        size_t ch = i % nch, x = i / nch % a.nx, row = i / nch / a.nx + a.y0;
        double w = want(row / ny1, row % ny1, x + a.x0, ch + ch0);
        if ((double)v[i] != w) fail_msg("row %zu x %zu channel %zu: %g, not %g", row, x + a.x0, ch + ch0, (double)v[i], w);
    }
    assert_true(v[n] == 1e30f);
    for (size_t i = 0; i < a.ny * a.nx; i++) assert_int_equal(flag[i], 0);
    free(v);
    free(flag);
}

/* The whole, and areas and windows that cut chunks and times in unpleasant ways. */
static void check_blocks(struct ep_source *s, value_fn *want)
{
    const struct ep_desc *d = ep_source_desc(s);
    size_t ny = ep_desc_ny(d), nx = ep_desc_nx(d), nch = ep_desc_nch(d);
    size_t ny1 = d->nnav >= 2 ? d->nav[d->nnav - 2].size : 1;
    check_block(s, (struct ep_area){0, 0, ny, nx}, 0, nch, ny1, want);
    check_block(s, (struct ep_area){ny - 1, nx - 1, 1, 1}, nch - 1, 1, ny1, want);
    if (nx >= 6) check_block(s, (struct ep_area){0, 3, ny, nx - 5}, nch / 3, nch - nch / 2, ny1, want);
    if (ny >= 6) check_block(s, (struct ep_area){5, 0, ny - 5, nx}, 0, nch, ny1, want);
    if (ny >= 12) check_block(s, (struct ep_area){6, 1, 9, nx - 2}, nch / 4, nch - nch / 2, ny1, want);
    if (nch >= 20) check_block(s, (struct ep_area){0, 0, ny, nx}, 5, 2, ny1, want);
}

static void check_file(const char *name, value_fn *want)
{
    struct ep_err e = {0};
    struct ep_source *s = NULL;
    struct ep_file *f = open_ok(name);
    assert_int_equal(ep_file_count(f), 1);
    if (ep_source_open(f, 0, &s, &e) != EP_OK) fail_msg("%s", e.msg);
    check_blocks(s, want);
    ep_source_close(s);
    ep_file_close(f);
}

static void write_and_check(const struct mk_array *a)
{
    hid_t f = mk_file("a.hspy");
    H5Gclose(mk_experiment(f, "s", a));
    mk_close(f);
    check_file("a.hspy", mk_value);
}

/* ---- types, layouts, orders ---- */

static hid_t half_type(void)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE); /* IEEE half precision, as h5py makes it */
    H5Tset_fields(t, 15, 10, 5, 0, 10);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 15);
    return t;
}

static void types(void **state)
{
    (void)state;
    hid_t half = half_type();
    const hid_t all[] = {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE, H5T_IEEE_F64BE, H5T_STD_U8LE, H5T_STD_I8LE, H5T_STD_U16LE,
                         H5T_STD_U16BE, H5T_STD_I16LE, H5T_STD_I16BE, H5T_STD_U32LE, H5T_STD_U32BE, H5T_STD_I32LE, H5T_STD_I32BE,
                         H5T_STD_U64LE, H5T_STD_I64BE, half};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        write_and_check(&(struct mk_array){"yxE", all[i], {0}, 0, 0});
        write_and_check(&(struct mk_array){"yxE", all[i], {3, 4, 16}, 0, 0});
        write_and_check(&(struct mk_array){"yxE", all[i], {3, 4, 16}, MK_SHUFFLE | MK_GZIP, 0});
    }
    H5Tclose(half);
}

static void filters(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 8; how++) {
        write_and_check(&(struct mk_array){"yxE", H5T_IEEE_F32LE, {3, 4, 37}, how, 0});
        write_and_check(&(struct mk_array){"yxE", H5T_STD_U16LE, {7, 10, 5}, how, 0});
        write_and_check(&(struct mk_array){"tyxE", H5T_STD_I32LE, {2, 3, 4, 16}, how, 0});
        write_and_check(&(struct mk_array){"Eyx", H5T_IEEE_F64LE, {16, 3, 4}, how, 0});
    }
}

static void orders(void **state)
{
    (void)state;
    static const char *const all[] = {"E", "xE", "Ex", "yxE", "Eyx", "yEx", "tyxE", "Etyx", "tEyx", "tyEx", "yx", "tyx"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct mk_array a = {all[i], H5T_IEEE_F32LE, {0}, 0, 0};
        write_and_check(&a);
        a.type = H5T_IEEE_F32BE;
        write_and_check(&a);
        a.type = H5T_STD_U16LE;
        for (int k = 0; all[i][k]; k++) a.chunk[k] = 3;
        write_and_check(&a);
        for (int k = 0; all[i][k]; k++) a.chunk[k] = 1; /* too many chunks for a table of addresses, with 3 axes and more */
        if (strlen(all[i]) < 4) write_and_check(&a);
        a = (struct mk_array){all[i], H5T_STD_U8LE, {0}, MK_COMPACT, 0};
        write_and_check(&a);
    }
}

/* Only some chunks written: the rest reads as the fill value. */
static double sparse(size_t t, size_t y, size_t x, size_t e)
{
    return x < 4 && y < 3 && e < 16 ? mk_value(t, y, x, e) : 9;
}

static void write_chunk_values(hid_t d, hsize_t y0, hsize_t x0, unsigned mask, bool shuffled)
{
    uint16_t v[3 * 4 * 16] = {0};
    unsigned char s[sizeof v];
    hsize_t at[3] = {y0, x0, 0};
    for (size_t i = 0; i < 192; i++) {
        size_t y = y0 + i / 64, x = x0 + i / 16 % 4;
        if (y < mk_size[1] && x < mk_size[2]) v[i] = (uint16_t)mk_value(0, y, x, i % 16);
    }
    memcpy(s, v, sizeof v);
    for (size_t i = 0; shuffled && i < 192; i++) {
        s[i] = (unsigned char)(v[i] & 0xff);
        s[192 + i] = (unsigned char)(v[i] >> 8);
    }
    assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, mask, at, sizeof v, s) >= 0);
}

static void unallocated(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        hid_t f = mk_file("a.hspy");
        hid_t g = mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_STD_U16LE, {3, 4, 16}, MK_EMPTY | how, 9});
        hid_t d = H5Dopen2(g, "data", H5P_DEFAULT);
        write_chunk_values(d, 0, 0, 3, false);
        H5Dclose(d);
        H5Gclose(g);
        mk_close(f);
        check_file("a.hspy", sparse);
    }
}

static double nine(size_t t, size_t y, size_t x, size_t e)
{
    (void)t, (void)y, (void)x, (void)e;
    return 9;
}

static void nothing_written(void **state)
{
    (void)state;
    static const struct mk_array all[] = {{"yxE", 0, {3, 4, 16}, MK_EMPTY | MK_GZIP, 9}, {"yxE", 0, {1, 1, 1}, MK_EMPTY, 9},
                                          {"yxE", 0, {0}, MK_EMPTY, 9}};
    for (size_t i = 0; i < 3; i++) {
        struct mk_array a = all[i];
        a.type = H5T_IEEE_F32LE;
        hid_t f = mk_file("a.hspy");
        H5Gclose(mk_experiment(f, "s", &a));
        mk_close(f);
        check_file("a.hspy", nine);
    }
}

/* Chunks for which single filters were skipped. */
static double first_channels(size_t t, size_t y, size_t x, size_t e)
{
    return e < 16 ? mk_value(t, y, x, e) : 0;
}

static void filter_masks(void **state)
{
    (void)state;
    hid_t f = mk_file("a.hspy");
    hid_t g = mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_STD_U16LE, {3, 4, 16}, MK_EMPTY | MK_SHUFFLE | MK_GZIP, 0});
    hid_t d = H5Dopen2(g, "data", H5P_DEFAULT);
    for (hsize_t y = 0; y < 7; y += 3)
        for (hsize_t x = 0; x < 10; x += 4) {
            bool only_shuffled = (x + y) % 2;
            write_chunk_values(d, y, x, only_shuffled ? 2 : 3, only_shuffled);
        }
    H5Dclose(d);
    H5Gclose(g);
    mk_close(f);
    check_file("a.hspy", first_channels);
}

/* As the definition says, word by word (H5checksum.c describes it). */
static uint32_t fletcher_by_words(const unsigned char *p, size_t n)
{
    uint32_t a = 0, b = 0;
    for (size_t i = 0; i < n; i += 2) {
        a += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
        a = (a & 0xffff) + (a >> 16);
        b += a;
        b = (b & 0xffff) + (b >> 16);
    }
    return b << 16 | a;
}

static void checksum(void **unused)
{
    (void)unused;
    enum { MOST = 70000 };
    static unsigned char buf[MOST + 4];
    uint32_t x = 1;
    const size_t sizes[] = {1, 2, 15, 16, 17, 31, 3839, 3840, 3841, 3842, 3856, 8191, MOST - 1, MOST};
    for (int kind = 0; kind < 3; kind++)   /* noise; all ones, where sums are largest; all zeros */
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            size_t n = sizes[k];
            for (size_t i = 0; i < n; i++) {
                x = x * 1664525 + 1013904223;
                buf[i] = kind == 0 ? (unsigned char)(x >> 24) : kind == 1 ? 0xff : 0;
            }
            uint32_t want = fletcher_by_words(buf, n);
            ep_fletcher32_add(buf, n);
            for (int b = 0; b < 4; b++) assert_int_equal(buf[n + (size_t)b], want >> 8 * b & 0xff);
            assert_true(ep_fletcher32_ok(buf, n + 4));
            buf[n / 2] ^= 4;
            assert_false(ep_fletcher32_ok(buf, n + 4));
        }
}

/* LZF is decoded here: stored as literals and one long copy. */
static double lzf_value(size_t t, size_t y, size_t x, size_t e)
{
    (void)t;
    (void)x;
    return y < 3 && e < 16 ? 5 : 0;
}

static void lzf(void **state)
{
    (void)state;
    hid_t f = mk_file("a.hspy");
    hid_t g = mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_STD_U8LE, {1, 1, 1}, MK_EMPTY, 0});
    assert_true(H5Ldelete(g, "data", H5P_DEFAULT) >= 0);
    hsize_t dim[3] = {7, 10, 37}, chunk[3] = {3, 4, 16};
    hid_t p = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(3, dim, NULL);
    H5Pset_chunk(p, 3, chunk);
    assert_true(H5Pset_filter(p, 32000, H5Z_FLAG_OPTIONAL, 0, NULL) >= 0);
    hid_t d = H5Dcreate2(g, "data", H5T_STD_U8LE, space, H5P_DEFAULT, p, H5P_DEFAULT);
    const unsigned char packed[] = {0, 5, 7 << 5, 182, 0}; /* one 5, then 7 + 182 + 2 = 191 copies from one back */
    for (hsize_t x = 0; x < 10; x += 4)
        assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 0, (hsize_t[3]){0, x, 0}, sizeof packed, packed) >= 0);
    H5Dclose(d);
    H5Pclose(p);
    H5Sclose(space);
    H5Gclose(g);
    mk_close(f);
    check_file("a.hspy", lzf_value);
    unsigned char out[4];
    assert_false(ep_lzf((const unsigned char *)"\x05" "ab", 3, out, 4));   /* literals that are not there */
    assert_false(ep_lzf((const unsigned char *)"\x20\x00", 2, out, 4));     /* a copy from before the beginning */
    assert_false(ep_lzf((const unsigned char *)"\x00" "a\xe0", 3, out, 4)); /* cut */
    assert_false(ep_lzf((const unsigned char *)"\x00" "a", 2, out, 4));     /* too little */
    assert_false(ep_lzf((const unsigned char *)"\x05" "abcdef", 7, out, 4)); /* too much */
    assert_true(ep_lzf((const unsigned char *)"\x01" "ab\x00" "c\x00" "d", 7, out, 4));
    assert_memory_equal(out, "abcd", 4);
}

/* Addresses of a file with a user block count from elsewhere. */
static void user_block(void **state)
{
    (void)state;
    hid_t p = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(p, 1024);
    for (int chunked = 0; chunked < 2; chunked++) {
        hid_t f = H5Fcreate(mk_path("u.hspy"), H5F_ACC_TRUNC, p, H5P_DEFAULT);
        mk_num(f, "file_format_version", 3.1);
        H5Gclose(mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_IEEE_F32LE, {chunked ? 3 : 0, 4, 16}, 0, 0}));
        mk_close(f);
        check_file("u.hspy", mk_value);
    }
    H5Pclose(p);
}

static void booleans(void **state)
{
    (void)state;
    hid_t t = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tenum_insert(t, "FALSE", &(int8_t){0});
    H5Tenum_insert(t, "TRUE", &(int8_t){1});
    hsize_t dim[2] = {7, 10};
    int8_t v[70];
    for (size_t i = 0; i < 70; i++) v[i] = i % 3 == 0;
    hid_t f = mk_file("a.hspy");
    hid_t g = mk_experiment(f, "mask", &(struct mk_array){"yx", H5T_STD_U8LE, {0}, 0, 0});
    H5Ldelete(g, "data", H5P_DEFAULT);
    hid_t space = H5Screate_simple(2, dim, NULL), d = H5Dcreate2(g, "data", t, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(d, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    H5Dclose(d);
    H5Sclose(space);
    H5Tclose(t);
    H5Gclose(g);
    mk_close(f);
    struct ep_file *in = open_ok("a.hspy");
    struct ep_signal *s = NULL;
    struct ep_err e = {0};
    assert_int_equal(ep_file_load(in, 0, 1 << 20, &s, &e), EP_OK);
    for (size_t i = 0; i < 70; i++) assert_true(s->f32[i] == (float)v[i]);
    ep_signal_free(s);
    ep_file_close(in);
}

/* ---- several threads ---- */

struct team { struct ep_source *s; struct ep_block *b; struct ep_piece *p; size_t n; pthread_mutex_t lock; size_t next; };

static void *fill_pieces(void *arg)
{
    struct team *t = arg;
    struct ep_err e = {0};
    for (;;) {
        pthread_mutex_lock(&t->lock);
        size_t i = t->next++;
        pthread_mutex_unlock(&t->lock);
        if (i >= t->n) return NULL;
        if (ep_source_fill(t->s, t->b, i, &t->p[i], &e) != EP_OK) return t;
    }
}

static void threads(void **state)
{
    (void)state;
    static const struct mk_array all[] = {{"tyxE", 0, {0}, 0, 0}, {"tyxE", 0, {1, 2, 3, 8}, MK_SHUFFLE | MK_GZIP, 0},
                                          {"tyxE", 0, {1, 1, 1, 16}, MK_GZIP, 0}};
    for (size_t k = 0; k < 3; k++) {
        struct mk_array a = all[k];
        a.type = H5T_STD_U16LE;
        hid_t f = mk_file("a.hspy");
        H5Gclose(mk_experiment(f, "s", &a));
        mk_close(f);
        struct ep_file *in = open_ok("a.hspy");
        struct ep_err e = {0};
        struct team t = {.lock = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(ep_source_open(in, 0, &t.s, &e), EP_OK);
        float *v = calloc(3 * 7 * 10 * NE, sizeof *v);
        struct ep_block b = {.a = {0, 0, 21, 10}, .nch = NE, .val = v};
        t.b = &b;
        t.n = ep_source_pieces(t.s, &b);
        t.p = calloc(t.n, sizeof *t.p);
        for (size_t i = 0; i < t.n; i++) assert_int_equal(ep_source_fetch(t.s, &b, i, &t.p[i], &e), EP_OK);
        pthread_t id[3];
        for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&id[i], NULL, fill_pieces, &t), 0);
        for (int i = 0; i < 3; i++) {
            void *bad;
            pthread_join(id[i], &bad);
            assert_null(bad);
        }
        for (size_t i = 0; i < 21 * 10 * NE; i++)
            assert_true((double)v[i] == mk_value(i / NE / 70, i / NE / 10 % 7, i / NE % 10, i % NE));
        for (size_t i = 0; i < t.n; i++) free(t.p[i].raw);
        free(t.p);
        free(v);
        ep_source_close(t.s);
        ep_file_close(in);
    }
}

/* ---- damage ---- */

static void overwrite(const char *name, const void *find, size_t n, size_t at, unsigned char with)
{
    FILE *fp = fopen(mk_path(name), "r+b");
    static unsigned char all[1 << 20];
    size_t size = fread(all, 1, sizeof all, fp);
    unsigned char *p = memmem(all, size, find, n);
    assert_non_null(p);
    fseek(fp, (long)(p - all) + (long)at, SEEK_SET);
    fputc(with, fp);
    fclose(fp);
}

static ep_status read_all(const char *name, struct ep_err *e)
{
    struct ep_file *f = NULL;
    struct ep_signal *s = NULL;
    ep_status st = ep_file_open(mk_path(name), &f, e);
    if (st == EP_OK) st = ep_file_load(f, 0, (size_t)1 << 30, &s, e);
    ep_signal_free(s);
    ep_file_close(f);
    return st;
}

static void damaged_chunks(void **state)
{
    (void)state;
    struct ep_err e = {0};
    hid_t f = mk_file("a.hspy");
    H5Gclose(mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_STD_U16LE, {7, 10, 37}, MK_GZIP, 0}));
    mk_close(f);
    overwrite("a.hspy", "\x78\x5e", 2, 40, 0xff);
    assert_int_equal(read_all("a.hspy", &e), EP_E_INPUT);
    assert_non_null(strstr(e.msg, "a.hspy"));
    assert_non_null(strstr(e.msg, "decompressed"));

    f = mk_file("a.hspy");
    H5Gclose(mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_STD_U8LE, {7, 10, 37}, MK_FLETCHER, 0}));
    mk_close(f);
    unsigned char first[8];
    for (size_t i = 0; i < 8; i++) first[i] = (unsigned char)mk_value(0, 0, 0, i);
    overwrite("a.hspy", first, 8, 3, 200);
    e = (struct ep_err){0};
    assert_int_equal(read_all("a.hspy", &e), EP_E_INPUT);
    assert_non_null(strstr(e.msg, "checksum"));
}

static void cut_files(void **state)
{
    (void)state;
    hid_t f = mk_file("a.hspy");
    H5Gclose(mk_experiment(f, "s", &(struct mk_array){"yxE", H5T_IEEE_F32LE, {0}, 0, 0}));
    mk_close(f);
    for (long size = 20000; size >= 0; size -= 500) {
        struct ep_err e = {0};
        if (size < 500) size = 0;
        assert_int_equal(truncate(mk_path("a.hspy"), size), 0);
        assert_int_equal(read_all("a.hspy", &e), EP_E_INPUT);
        assert_non_null(strstr(e.msg, "a.hspy"));
    }
}

/* ---- memory ---- */

static void memory_sources(void **state)
{
    (void)state;
    struct ep_desc d;
    struct ep_signal *sig = NULL;
    struct ep_source *s = NULL;
    struct ep_err e = {0};
    ep_desc_init(&d);
    d.kind = EP_IMAGE;
    d.nnav = 3;
    for (size_t k = 0; k < 3; k++) d.nav[k] = (struct ep_axis){.scale = 1, .size = mk_size[k]};
    d.spectral = true;
    d.energy = (struct ep_axis){.scale = 1, .size = NE};
    assert_int_equal(ep_signal_new(&d, &sig, &e), EP_OK);
    for (size_t i = 0; i < sig->n; i++) sig->f32[i] = (float)mk_value(i / NE / 70, i / NE / 10 % 7, i / NE % 10, i % NE);
    assert_int_equal(ep_source_memory(sig, &s, &e), EP_OK);
    check_blocks(s, mk_value);
    ep_source_close(s);
    ep_signal_free(sig);
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
        cmocka_unit_test(types),          cmocka_unit_test(filters),         cmocka_unit_test(orders),
        cmocka_unit_test(unallocated),    cmocka_unit_test(nothing_written), cmocka_unit_test(filter_masks),
        cmocka_unit_test(lzf),            cmocka_unit_test(user_block),      cmocka_unit_test(booleans),
        cmocka_unit_test(threads),        cmocka_unit_test(damaged_chunks),  cmocka_unit_test(cut_files),
        cmocka_unit_test(memory_sources), cmocka_unit_test(checksum),
    };
    ep_hdf5_init();
    return cmocka_run_group_tests(tests, NULL, finish);
}
