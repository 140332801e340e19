/* pipeline/io: hashing while streaming gives the fingerprint of the file, and does not change what is read. */
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
#include "pipeline/io/source_private.h"
#include "tests/unit/h5make.h"

#define OK(call) do { struct ep_err *e_ = &err; if ((call) != EP_OK) fail_msg("%s", e_->msg); } while (0)

/* How a pass goes over the image: blocks of so many rows and columns (0: all of them), each with so many pixels around,
 * which are therefore read twice; channels from ... to in parts of 12; rows to leave out at the end. */
struct way { size_t rows, cols, margin, ch0, ch1, leave; unsigned threads; };
static const struct way whole = {0, 0, 0, 0, 12, 0, 1};
static const struct way ways[] = {{0, 0, 0, 0, 12, 0, 3}, {4, 0, 0, 0, 12, 0, 3},  {16, 0, 0, 4, 8, 0, 1}, {3, 0, 1, 4, 7, 0, 3},
                                  {5, 4, 0, 0, 12, 0, 1}, {4, 16, 2, 3, 11, 0, 3}, {4, 0, 0, 6, 7, 3, 1},  {16, 256, 0, 2, 4, 0, 3}};
enum { NWAY = sizeof ways / sizeof *ways };

struct team { struct ep_source *s; struct ep_block *b; struct ep_piece *p; size_t n, next; pthread_mutex_t lock; struct ep_err err; };

static void *fill_pieces(void *arg)
{
    struct team *t = arg;
    for (;;) {
        pthread_mutex_lock(&t->lock);
        size_t i = t->next++;
        pthread_mutex_unlock(&t->lock);
        struct ep_err e = {0};
        if (i >= t->n) return NULL;
        if (ep_source_fill(t->s, t->b, i, &t->p[i], &e) == EP_OK) continue;
        pthread_mutex_lock(&t->lock);
        t->err = e;
        pthread_mutex_unlock(&t->lock);
    }
}

static ep_status read_block(struct ep_source *s, struct ep_block *b, unsigned threads, struct ep_err *e)
{
    struct team t = {.s = s, .b = b, .n = ep_source_pieces(s, b), .lock = PTHREAD_MUTEX_INITIALIZER};
    ep_status st = EP_OK;
    pthread_t id[3];
    t.p = calloc(t.n + 1, sizeof *t.p);
    for (size_t i = 0; st == EP_OK && i < t.n; i++) st = ep_source_fetch(s, b, i, &t.p[i], e);
    for (unsigned i = 1; i < threads; i++) assert_int_equal(pthread_create(&id[i - 1], NULL, fill_pieces, &t), 0);
    if (st == EP_OK) fill_pieces(&t);
    for (unsigned i = 1; i < threads; i++) pthread_join(id[i - 1], NULL);
    for (size_t i = 0; i < t.n; i++) free(t.p[i].raw);
    free(t.p);
    if (st == EP_OK && t.err.code != EP_OK) *e = t.err, st = e->code;
    return st;
}

/* A view, as cells use it: rows of at most 64 pixels are made ready, then taken. False if there is none. */
static bool read_view(struct ep_source *s, struct ep_block *b, float *to, ep_status *st, struct ep_err *e)
{
    if (!ep_source_view(s, b)) return false;
    *st = read_block(s, b, 1, e); /* what pixels carry */
    for (size_t y = b->a.y0; *st == EP_OK && y < b->a.y0 + b->a.ny; y++)
        for (size_t x = b->a.x0, n; *st == EP_OK && x < b->a.x0 + b->a.nx; x += n, to += n * b->nch) {
            n = ep_min(EP_CELL_NX - x % EP_CELL_NX, b->a.x0 + b->a.nx - x);
            *st = ep_block_ready(s, b, (struct ep_area){y, x, 1, n}, e);
            if (*st != EP_OK) break;
            if (!b->val) ep_block_pick(s, b, y, x, n, to);
            for (size_t i = 0; b->val && i < n; i++)
                memcpy(to + i * b->nch, b->val + (y - b->a.y0) * b->sy + (x + i - b->a.x0) * b->sx, b->nch * sizeof *to);
        }
    ep_block_unmap(b);
    return true;
}

static struct ep_area block_area(const struct way *w, size_t y, size_t x, size_t ny, size_t nx)
{
    size_t rows = w->rows ? w->rows : ny, cols = w->cols ? w->cols : nx, m = w->margin;
    size_t y0 = y > m ? y - m : 0, x0 = x > m ? x - m : 0;
    return (struct ep_area){y0, x0, ep_min(y + rows + m, ny) - y0, ep_min(x + cols + m, nx) - x0};
}

/* Reads all blocks of a way, and compares them with those of `other` if it is there. */
static ep_status pass(struct ep_source *s, struct ep_source *other, const struct way *w, bool view, struct ep_err *e)
{
    const struct ep_desc *d = ep_source_desc(s);
    size_t ny = ep_desc_ny(d), nx = ep_desc_nx(d), nch = ep_desc_nch(d), end = ny > w->leave ? ny - w->leave : ny;
    size_t ch0 = nch * w->ch0 / 12, n = ep_max(nch * w->ch1 / 12, ch0 + 1) - ch0;
    ep_status st = EP_OK;
    for (size_t y = 0; st == EP_OK && y < end; y += w->rows ? w->rows : ny) {
        for (size_t x = 0; st == EP_OK && x < nx; x += w->cols ? w->cols : nx) {
            struct ep_block b = {.a = block_area(w, y, x, ny, nx), .ch0 = ch0, .nch = n};
            size_t bytes = b.a.ny * b.a.nx * n * sizeof *b.val;
            float *v[2] = {malloc(bytes), malloc(bytes)};
            for (int k = 0; st == EP_OK && k < (other ? 2 : 1); k++) {
                memset(v[k], k ? 0x55 : 0xaa, bytes);
                if (view && k == 0 && read_view(s, &b, v[k], &st, e)) continue;
                b.val = v[k];
                if (view) ep_source_map(k ? other : s, &b);
                st = read_block(k ? other : s, &b, w->threads, e);
                ep_block_unmap(&b);
            }
            if (st == EP_OK && other) assert_memory_equal(v[0], v[1], bytes);
            free(v[0]);
            free(v[1]);
        }
    }
    return st;
}

static struct ep_file *open_file(const char *name)
{
    struct ep_err err = {0};
    struct ep_file *f = NULL;
    OK(ep_file_open(mk_path(name), &f, &err));
    return f;
}

static struct ep_source *open_source(struct ep_file *f)
{
    struct ep_err err = {0};
    struct ep_source *s = NULL;
    OK(ep_source_open(f, 0, &s, &err));
    return s;
}

/* The hash after one way; *read = part of the stored units that were hashed on the way. */
static struct ep_hash hash_of(struct ep_file *f, const struct way *w, bool view, double *read)
{
    struct ep_err err = {0};
    struct ep_hash h = {""};
    struct ep_source *s = open_source(f), *other = open_source(f);
    size_t known = 0, stored = 0;
    assert_true(ep_source_hash_start(s));
    OK(pass(s, other, w, view, &err));
    for (size_t i = 0; i < s->hash->u.count; i++) {
        known += s->hash->digest[i].known;
        stored += !s->at || s->at[i].bytes;
        if (s->at && !s->at[i].bytes) assert_false(s->hash->digest[i].known);
    }
    if (read) *read = (double)known / (double)ep_max(stored, 1);
    OK(ep_source_hash_end(s, w->threads, &h, &err));
    assert_int_equal(strlen(h.hex), 32);
    ep_source_close(s);
    ep_source_close(other);
    return h;
}

static struct ep_hash print_of(struct ep_file *f)
{
    struct ep_err err = {0};
    struct ep_hash h = {""};
    OK(ep_file_fingerprint(f, 0, 2, &h, &err));
    return h;
}

/* All ways give the same; reading all hashes all of it on the way. */
static void check(const char *name)
{
    struct ep_file *f = open_file(name);
    struct ep_hash want = print_of(f);
    double read;
    for (int view = 0; view < 2; view++) {
        assert_string_equal(hash_of(f, &whole, view, &read).hex, want.hex);
        assert_true(read == 1);
        for (size_t i = 0; i < NWAY; i++) assert_string_equal(hash_of(f, &ways[i], view, NULL).hex, want.hex);
    }
    ep_file_close(f);
}

static void write_file(const struct mk_array *a)
{
    hid_t f = mk_file("a.hspy");
    H5Gclose(mk_experiment(f, "s", a));
    mk_close(f);
}

static void write_and_check(const struct mk_array *a)
{
    write_file(a);
    check("a.hspy");
}

/* ---- small arrays of every kind ---- */

static void types(void **state)
{
    (void)state;
    const hid_t all[] = {H5T_STD_U8LE, H5T_STD_I8LE, H5T_STD_U16LE, H5T_STD_I16LE, H5T_STD_U32LE, H5T_STD_I32LE, H5T_IEEE_F32LE, H5T_IEEE_F64LE};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        write_and_check(&(struct mk_array){"yxE", all[i], {0}, 0, 0});
        write_and_check(&(struct mk_array){"yxE", all[i], {3, 4, 16}, 0, 0});
        write_and_check(&(struct mk_array){"tyxE", all[i], {2, 3, 4, 37}, MK_SHUFFLE | MK_GZIP, 0});
    }
}

static void filters(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 8; how++) {
        write_and_check(&(struct mk_array){"yxE", H5T_IEEE_F32LE, {3, 4, 37}, how, 0});
        write_and_check(&(struct mk_array){"yxE", H5T_STD_U16LE, {7, 10, 5}, how, 0});
        write_and_check(&(struct mk_array){"tyxE", H5T_STD_I32LE, {2, 3, 4, 16}, how, 0});
        write_and_check(&(struct mk_array){"tyxE", H5T_IEEE_F32LE, {3, 7, 10, 37}, how, 0});
        write_and_check(&(struct mk_array){"Eyx", H5T_IEEE_F64LE, {16, 3, 4}, how, 0});
        write_and_check(&(struct mk_array){"yEx", H5T_STD_U16LE, {3, 16, 4}, how, 0});
        write_and_check(&(struct mk_array){"yxE", H5T_STD_U16LE, {1, 1, 2}, how, 0}); /* too many for a table of addresses */
    }
}

static void shapes(void **state)
{
    (void)state;
    static const char *const all[] = {"E", "xE", "yxE", "tyxE"};
    for (size_t i = 0; i < 4; i++) {
        struct mk_array a = {all[i], H5T_IEEE_F32LE, {0}, 0, 0};
        write_and_check(&a);
        for (int k = 0; all[i][k]; k++) a.chunk[k] = 3;
        write_and_check(&a);
        a.how = MK_SHUFFLE | MK_GZIP;
        write_and_check(&a);
    }
    write_and_check(&(struct mk_array){"yx", H5T_STD_U16LE, {3, 4}, 0, 0}); /* a map */
    write_and_check(&(struct mk_array){"yx", H5T_IEEE_F32LE, {3, 4}, MK_SHUFFLE, 0});
}

/* Chunks that were never written, and one for which all filters were skipped. */
static void unallocated(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        for (int many = 0; many < 2; many++) {
            struct mk_array a = {"yxE", H5T_STD_U8LE, {many ? 1 : 3, many ? 1 : 4, many ? 1 : 16}, MK_EMPTY | how, 9};
            unsigned char v[192];
            hid_t f = mk_file("a.hspy"), g = mk_experiment(f, "s", &a), d = H5Dopen2(g, "data", H5P_DEFAULT);
            for (size_t i = 0; i < sizeof v; i++) v[i] = (unsigned char)(i * 7);
            hsize_t n = a.chunk[0] * a.chunk[1] * a.chunk[2];
            assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 3, (hsize_t[3]){3, 4, 16}, n, v) >= 0);
            assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 3, (hsize_t[3]){6, 8, 32}, n, v) >= 0);
            H5Dclose(d);
            H5Gclose(g);
            mk_close(f);
            struct ep_file *in = open_file("a.hspy");
            struct ep_hash want = print_of(in);
            assert_string_equal(hash_of(in, &whole, true, NULL).hex, want.hex);
            for (size_t i = 0; i < NWAY; i++) assert_string_equal(hash_of(in, &ways[i], true, NULL).hex, want.hex);
            ep_file_close(in);
        }
    }
}

static void not_here(void **state)
{
    (void)state;
    const struct mk_array all[] = {{"Eyx", H5T_IEEE_F32LE, {0}, 0, 0}, {"yEx", H5T_STD_U8LE, {0}, 0, 0},
                                   {"yxE", H5T_IEEE_F32BE, {0}, 0, 0}, {"yxE", H5T_STD_I16BE, {3, 4, 16}, MK_GZIP, 0},
                                   {"yxE", H5T_STD_U8LE, {0}, MK_COMPACT, 0}, {"yxE", H5T_STD_U8LE, {0}, MK_EMPTY, 9},
                                   {"yx", H5T_STD_U16LE, {0}, 0, 0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        write_file(&all[i]);
        struct ep_file *f = open_file("a.hspy");
        struct ep_source *s = open_source(f);
        assert_false(ep_source_hash_start(s));
        struct ep_err err = {0};
        OK(pass(s, NULL, &whole, false, &err));
        ep_source_close(s);
        ep_file_close(f);
    }
    struct ep_desc d;
    struct ep_signal *sig = NULL;
    struct ep_source *s = NULL;
    struct ep_err err = {0};
    ep_desc_init(&d);
    d.kind = EP_SPECTRUM;
    d.spectral = true;
    d.energy = (struct ep_axis){.scale = 1, .size = 5};
    OK(ep_signal_new(&d, &sig, &err));
    OK(ep_source_memory(sig, &s, &err));
    assert_false(ep_source_hash_start(s));
    ep_source_close(s);
    ep_signal_free(sig);
}

/* ---- contiguous arrays of several units ---- */

static void write_large(hid_t type, int rank, const hsize_t *dim)
{
    hsize_t n = 1;
    for (int k = 0; k < rank; k++) n *= dim[k];
    size_t bytes = n * H5Tget_size(type);
    unsigned char *v = malloc(bytes);
    uint32_t r = 1;
    assert_non_null(v);
    for (size_t i = 0; i < bytes; i++) v[i] = (unsigned char)((r = r * 1664525 + 1013904223) >> 25); /* no NaNs: below 0x7f */
    hid_t f = mk_file("a.hspy"), g = mk_experiment(f, "s", &(struct mk_array){rank == 3 ? "yxE" : "xE", H5T_STD_U8LE, {0}, 0, 0});
    assert_true(H5Ldelete(g, "data", H5P_DEFAULT) >= 0);
    for (int k = 0; k < rank; k++) {
        char name[8];
        snprintf(name, sizeof name, "axis-%d", k);
        hid_t x = H5Gopen2(g, name, H5P_DEFAULT);
        mk_no_attr(x, "size");
        mk_int(x, "size", (int)dim[k]);
        H5Gclose(x);
    }
    hid_t space = H5Screate_simple(rank, dim, NULL), d = H5Dcreate2(g, "data", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0);
    H5Dclose(d);
    H5Sclose(space);
    H5Gclose(g);
    mk_close(f);
    free(v);
}

static double part_read(const struct way *w)
{
    struct ep_file *f = open_file("a.hspy");
    double read, viewed;
    struct ep_hash want = print_of(f);
    assert_string_equal(hash_of(f, w, false, &read).hex, want.hex);
    assert_string_equal(hash_of(f, w, true, &viewed).hex, want.hex);
    assert_true(viewed == read);
    ep_file_close(f);
    return read;
}

static void units_of(size_t *count, size_t *step, size_t *last)
{
    struct ep_file *f = open_file("a.hspy");
    struct ep_source *s = open_source(f);
    struct ep_units u;
    ep_units_of(&s->st, ep_store_contiguous(f, &s->st), &u);
    *count = u.count;
    *step = u.step;
    *last = u.outer - (u.per - 1) * u.step;
    ep_source_close(s);
    ep_file_close(f);
}

static void contiguous_units(void **state)
{
    (void)state;
    size_t count, step, last;

    write_large(H5T_IEEE_F32LE, 3, (hsize_t[]){45, 144, 20}); /* 64, 64 and 16 pixels of each line */
    units_of(&count, &step, &last);
    assert_int_equal(count, 45 * 3);
    assert_int_equal(step, 64 * 20 * 4);
    assert_int_equal(last, 16 * 20 * 4);
    check("a.hspy");
    assert_true(part_read(&(struct way){16, 0, 0, 3, 7, 0, 3}) == 1);  /* blocks end where units do */
    assert_true(part_read(&(struct way){16, 0, 2, 0, 12, 0, 3}) == 1); /* the pixels around are a help */
    assert_true(part_read(&(struct way){6, 0, 0, 3, 7, 0, 3}) == 1);
    double some = part_read(&(struct way){16, 80, 0, 3, 7, 0, 3});
    assert_true(some > 0 && some < 1);
    assert_true(part_read(&(struct way){16, 12, 0, 3, 7, 0, 3}) == 0);

    write_large(H5T_STD_U8LE, 3, (hsize_t[]){2, 4201, 1000}); /* long lines */
    units_of(&count, &step, &last);
    assert_int_equal(count, 2 * 66);
    assert_int_equal(step, 64 * 1000);
    assert_int_equal(last, 41 * 1000);
    assert_true(part_read(&(struct way){1, 0, 0, 3, 4, 0, 3}) == 1);
    assert_true(part_read(&(struct way){0, 2048, 0, 0, 12, 0, 3}) == 1);
    some = part_read(&(struct way){0, 1500, 7, 0, 12, 0, 3});
    assert_true(some > 0 && some < 1);

    write_large(H5T_STD_U16LE, 2, (hsize_t[]){300, 1024}); /* a line scan is one line */
    units_of(&count, &step, &last);
    assert_int_equal(count, 5);
    check("a.hspy");

    write_large(H5T_IEEE_F64LE, 2, (hsize_t[]){3, 700000}); /* pixels over 4 MiB */
    units_of(&count, &step, &last);
    assert_int_equal(count, 6);
    struct ep_file *f = open_file("a.hspy");
    struct ep_source *s = open_source(f);
    assert_false(ep_source_hash_start(s));
    ep_source_close(s);
    ep_file_close(f);
}

/* ---- every stored byte counts ---- */

static void flip(size_t at)
{
    FILE *fp = fopen(mk_path("a.hspy"), "r+b");
    assert_non_null(fp);
    fseek(fp, (long)at, SEEK_SET);
    int c = fgetc(fp);
    fseek(fp, (long)at, SEEK_SET);
    fputc(c ^ 4, fp);
    fclose(fp);
}

/* Places in the file of the stored bytes of the data, the n-th of them. */
static size_t stored_at(size_t n)
{
    struct ep_file *f = open_file("a.hspy");
    struct ep_source *s = open_source(f);
    size_t at = SIZE_MAX, bytes = ep_store_contiguous(f, &s->st);
    if (n < bytes) at = (size_t)s->st.address + n;
    for (size_t i = 0; !bytes && i < s->st.chunks; i++) {
        if (n < s->at[i].bytes) {
            at = (size_t)s->at[i].address + n;
            break;
        }
        n -= s->at[i].bytes;
    }
    ep_source_close(s);
    ep_file_close(f);
    return at;
}

static void any_byte(void **state)
{
    (void)state;
    const struct mk_array all[] = {{"yxE", H5T_STD_U8LE, {0}, 0, 0}, {"yxE", H5T_STD_U16LE, {3, 4, 37}, 0, 0},
                                   {"yxE", H5T_IEEE_F32LE, {6, 8, 16}, MK_SHUFFLE, 0}, {"Eyx", H5T_STD_U8LE, {16, 3, 4}, 0, 0}};
    const struct way few = {4, 0, 0, 6, 8, 0, 1};
    for (size_t i = 0; i < 4; i++) {
        write_file(&all[i]);
        struct ep_file *f = open_file("a.hspy");
        struct ep_hash first = hash_of(f, &few, false, NULL);
        ep_file_close(f);
        for (size_t n = 0, at; (at = stored_at(n)) != SIZE_MAX; n += 89) {
            flip(at);
            f = open_file("a.hspy");
            struct ep_hash h = hash_of(f, &few, false, NULL);
            assert_string_not_equal(h.hex, first.hex);
            assert_string_equal(h.hex, print_of(f).hex);
            ep_file_close(f);
            flip(at);
        }
    }
}

/* ---- errors ---- */

/* A chunk that can't be decoded fails the pass, not the hash; one that is gone fails both. */
static void damaged(void **state)
{
    (void)state;
    struct ep_err err = {0};
    struct ep_hash h;
    write_file(&(struct mk_array){"yxE", H5T_STD_U16LE, {7, 10, 5}, MK_GZIP, 0});
    flip(stored_at(40));
    struct ep_file *f = open_file("a.hspy");
    struct ep_source *s = open_source(f);
    assert_true(ep_source_hash_start(s));
    assert_int_equal(pass(s, NULL, &whole, false, &err), EP_E_INPUT);
    err = (struct ep_err){0};
    OK(ep_source_hash_end(s, 2, &h, &err));
    assert_string_equal(h.hex, print_of(f).hex);
    ep_source_close(s);
    ep_file_close(f);

    for (int kind = 0; kind < 4; kind++) {
        write_file(&(struct mk_array){"yxE", H5T_STD_U16LE, {kind & 1 ? 7 : 0, 10, 5}, 0, 0});
        size_t at = stored_at(0);
        f = open_file("a.hspy");
        s = open_source(f);
        assert_true(ep_source_hash_start(s));
        assert_int_equal(truncate(mk_path("a.hspy"), (off_t)at + 100), 0);
        assert_int_equal(pass(s, NULL, &whole, kind > 1, &err), EP_E_INPUT);
        assert_non_null(strstr(err.msg, "ends too early"));
        err = (struct ep_err){0};
        assert_int_equal(ep_source_hash_end(s, 2, &h, &err), EP_E_INPUT);
        assert_non_null(strstr(err.msg, "ends too early"));
        ep_source_close(s);
        ep_file_close(f);
    }
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
        cmocka_unit_test(types),    cmocka_unit_test(filters),          cmocka_unit_test(shapes),   cmocka_unit_test(unallocated),
        cmocka_unit_test(not_here), cmocka_unit_test(contiguous_units), cmocka_unit_test(any_byte), cmocka_unit_test(damaged),
    };
    ep_hdf5_init();
    return cmocka_run_group_tests(tests, NULL, finish);
}
