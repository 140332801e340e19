/* The readers of files, on files that are whole for HDF5 and wrong in what they say. (What HDF5 itself does with a damaged
 * file is not ours to find; `probe.c` keeps it away.) Each input is a list of changes to one of two good files, one as
 * HyperSpy writes it and one of our own: attributes of other values, types and shapes, stored chunks overwritten, datasets of
 * other shapes, links removed, moved and made into circles.
 *
 * The good files are made at the start by the programs that $SIMULATE and $EELPIPE name.
 */
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file.h"
#include "tests/fuzz/fuzz.h"

#define MAX_OBJECTS 400
struct template { char *bytes; size_t n; size_t nobjects; char *object[MAX_OBJECTS]; };
static struct template templates[2];
static char folder[64];

/* ---- the good files ---- */

static herr_t visit(hid_t file, const char *name, const H5L_info_t *info, void *t_)
{
    struct template *t = t_;
    (void)file;
    (void)info;
    if (t->nobjects < MAX_OBJECTS) t->object[t->nobjects++] = ep_xstrdup(name);
    return 0;
}

static int take(struct template *t, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    t->bytes = ep_xmalloc(1 << 20);
    t->n = fread(t->bytes, 1, 1 << 20, f);
    fclose(f);
    hid_t h = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    H5Lvisit(h, H5_INDEX_NAME, H5_ITER_INC, visit, t);
    H5Fclose(h);
    unlink(path);
    return 1;
}

static void remove_folder(void)
{
    rmdir(folder);
}

static void make_templates(void)
{
    char command[600];
    const char *simulate = getenv("SIMULATE"), *eelpipe = getenv("EELPIPE");
    ep_hdf5_init();
    snprintf(folder, sizeof folder, "%s/eelpipe-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder)) abort();
    atexit(remove_folder);
    snprintf(command, sizeof command,
             "cd %s && '%s' powerlaw raw --pixels 3,4 --channels 40 --offset 460 --scale 3 --edge-jump 60 --compress --dtype u2 >said 2>&1 && "
             "'%s' stage background raw net window=465,525 >said 2>&1 && rm -rf said raw.truth.json .eelpipe",
             folder, simulate ? simulate : "build/simulate", eelpipe ? eelpipe : "build/eelpipe");
    if (system(command) != 0 || !take(&templates[0], "raw") || !take(&templates[1], "net")) {
        fprintf(stderr, "the files to start from can't be made: %s\n", command);
        _exit(99);
    }
}

/* ---- changes ---- */

static herr_t nth(hid_t obj, const char *name, const H5A_info_t *info, void *out)
{
    (void)obj;
    (void)info;
    snprintf(out, 64, "%s", name);
    return 1;
}

static herr_t count(hid_t obj, const char *name, const H5A_info_t *info, void *n)
{
    (void)obj;
    (void)name;
    (void)info;
    ++*(unsigned *)n;
    return 0;
}

static void attribute_name(hid_t obj, unsigned which, char name[64])
{
    unsigned n = 0;
    name[0] = '\0';
    H5Aiterate(obj, H5_INDEX_NAME, H5_ITER_INC, NULL, count, &n);
    hsize_t at = n ? which % n : 0;
    if (n) H5Aiterate(obj, H5_INDEX_NAME, H5_ITER_INC, &at, nth, name);
}

/* Another value, type or shape for an attribute. */
static void set_attribute(hid_t obj, const char *name, struct fuzz_bytes *b)
{
    char text[64] = "";
    double num[4];
    hsize_t dims[2] = { 2, 2 };
    unsigned how = fuzz_byte(b) % 8;
    hid_t type = H5Tcopy(H5T_C_S1), space = how == 1 || how == 2 ? H5Screate_simple(how, dims, NULL) : how == 3 ? H5Screate(H5S_NULL) : H5Screate(H5S_SCALAR);
    const void *value = num;
    const char *list[4] = { text, text, text, "" };
    for (size_t i = 0; i < 4; i++) num[i] = fuzz_number(b);
    if (how == 4) {                          /* a text of fixed length */
        fuzz_text(b, text, sizeof text);
        H5Tset_size(type, strlen(text) + 1);
        value = text;
    } else if (how == 5 || how == 6) {       /* of variable length, one or a list */
        fuzz_text(b, text, sizeof text);
        H5Tset_size(type, H5T_VARIABLE);
        value = list;
        if (how == 6) {
            H5Sclose(space);
            space = H5Screate_simple(1, (hsize_t[]){ 4 }, NULL);
        }
    } else {
        H5Tclose(type);
        type = H5Tcopy(how == 7 ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE);
    }
    if (H5Aexists(obj, name) > 0) H5Adelete(obj, name);
    hid_t a = H5Acreate2(obj, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0) {
        H5Awrite(a, type, value);
        H5Aclose(a);
    }
    H5Tclose(type);
    H5Sclose(space);
}

/* Bytes of a chunk before filters. */
static size_t chunk_bytes(hid_t set, hid_t plist)
{
    hsize_t dim[8];
    hid_t type = H5Dget_type(set);
    size_t bytes = H5Tget_size(type);
    int rank = H5Pget_chunk(plist, 8, dim);
    for (int k = 0; k < rank && k < 8; k++) bytes *= dim[k];
    H5Tclose(type);
    return bytes;
}

/* Number of values, 0 for ranks that there are none of; without overflow. */
static double values(hid_t space)
{
    hsize_t dim[8];
    int rank = H5Sget_simple_extent_ndims(space);
    double n = rank < 0 || rank > 8 ? 0 : 1;
    if (n > 0) H5Sget_simple_extent_dims(space, dim, NULL);
    for (int k = 0; k < rank && n > 0; k++) n *= (double)dim[k];
    return n;
}

/* Stored bytes of the first chunk of a dataset, or all of its values when it is not chunked. */
static void overwrite(hid_t set, struct fuzz_bytes *b)
{
    hid_t plist = H5Dget_create_plist(set), space = H5Dget_space(set), type = H5Dget_type(set);
    hsize_t zero[8] = { 0 };
    static char raw[1 << 14];
    size_t n = fuzz_text(b, raw, 512);
    bool numbers = H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_FLOAT;
    H5Tclose(type);
    /* Writing into datasets of 2^61 values, and texts that point anywhere, are HDF5's own weak places. */
    if (!numbers || !(values(space) > 0 && values(space) < 1 << 20)) n = 0;
    else if (H5Pget_layout(plist) == H5D_CHUNKED) {
        uint32_t skipped = fuzz_byte(b) & 3;
        /* HDF5 1.10 itself reads beyond a chunk that no filter makes larger and that is too short. */
        if (skipped || H5Pget_nfilters(plist) == 0) {
            size_t whole = chunk_bytes(set, plist);
            if (whole <= sizeof raw) memset(raw + n, 0x5a, sizeof raw - n);
            n = whole <= sizeof raw ? whole : 0;
        }
        if (n) H5Dwrite_chunk(set, H5P_DEFAULT, skipped, zero, n, raw);
    } else if (values(space) < 4096) {
        double *v = ep_xcalloc((size_t)values(space) + 1, sizeof *v);
        v[0] = fuzz_number(b);
        H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
        free(v);
    }
    H5Sclose(space);
    H5Pclose(plist);
}

/* A dataset of another rank, type and shape in its place, nothing written. */
static void replace(hid_t file, const char *name, struct fuzz_bytes *b)
{
    const hid_t types[] = { H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_STD_I16BE, H5T_NATIVE_UINT32, H5T_NATIVE_UINT64, H5T_C_S1, H5T_NATIVE_B8 };
    hsize_t dims[6], chunk[6];
    int rank = (int)(fuzz_byte(b) % 6);
    for (int i = 0; i < 6; i++) {
        dims[i] = fuzz_byte(b) % 45;
        chunk[i] = 1 + fuzz_byte(b) % 9;
        if (fuzz_byte(b) == 255) dims[i] = (hsize_t)1 << (fuzz_byte(b) % 62);
    }
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE), space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    if (rank && fuzz_byte(b) % 2) {
        H5Pset_chunk(plist, rank, chunk);
        if (fuzz_byte(b) % 2) H5Pset_deflate(plist, 1);
    }
    H5Ldelete(file, name, H5P_DEFAULT);
    hid_t set = H5Dcreate2(file, name, types[fuzz_byte(b) % 7], space, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    H5Pclose(plist);
}

static void change(hid_t file, const struct template *t, struct fuzz_bytes *b)
{
    unsigned what = fuzz_byte(b) % 9, attribute;
    char name[64];
    const char *path = t->object[(fuzz_byte(b) | (fuzz_byte(b) & 1) << 8) % t->nobjects], *other;
    hid_t obj = H5Oopen(file, path, H5P_DEFAULT);
    if (obj < 0) return;
    switch (what) {
    case 0:
    case 1:
    case 2:
        attribute = fuzz_byte(b);
        attribute_name(obj, attribute, name);
        if (name[0]) set_attribute(obj, name, b);
        break;
    case 3:
        attribute_name(obj, fuzz_byte(b), name);
        if (name[0]) H5Adelete(obj, name);
        break;
    case 4:
        fuzz_text(b, name, sizeof name);
        if (name[0]) set_attribute(obj, name, b);
        break;
    case 5:
        if (H5Iget_type(obj) == H5I_DATASET) overwrite(obj, b);
        break;
    case 6:
        replace(file, path, b);
        break;
    default:
        other = t->object[(fuzz_byte(b) | (fuzz_byte(b) & 1) << 8) % t->nobjects];
        if (path == other) break;
        H5Ldelete(file, path, H5P_DEFAULT);
        if (what == 8) H5Lcreate_hard(file, other, file, path, H5P_DEFAULT, H5P_DEFAULT);    /* perhaps a circle */
    }
    H5Oclose(obj);
}

/* ---- reading ---- */

static void stream(struct ep_file *f, size_t i)
{
    struct ep_source *s;
    struct ep_err e = { 0 };
    const struct ep_desc *d = ep_file_desc(f, i);
    size_t ny = ep_desc_ny(d), nx = ep_desc_nx(d), nch = ep_desc_nch(d);
    if (ny > 64 || nx > 64 || nch > 64 || ep_source_open(f, i, &s, &e)) return;
    struct ep_block b = { .a = { 0, 0, ny, nx }, .nch = nch };
    size_t np = ny * nx;
    b.val = ep_xcalloc(np * nch + 1, sizeof *b.val);
    b.shift = ep_xcalloc(np + 1, sizeof *b.shift);
    b.theta = ep_xcalloc(np * EP_NTHETA + 1, sizeof *b.theta);
    b.cmat = ep_xcalloc(np * EP_NCMAT + 1, sizeof *b.cmat);
    b.flag = ep_xcalloc(np + 1, sizeof *b.flag);
    struct ep_piece p = { 0 };
    for (size_t k = 0; k < ep_source_pieces(s, &b); k++)
        if (ep_source_fetch(s, &b, k, &p, &e) || ep_source_fill(s, &b, k, &p, &e)) break;
    free(p.raw);
    free(b.val);
    free(b.shift);
    free(b.theta);
    free(b.cmat);
    free(b.flag);
    ep_source_close(s);
}

static void read_all(const char *path)
{
    struct ep_file *f;
    struct ep_err e = { 0 };
    if (ep_file_open(path, &f, &e)) return;
    for (size_t i = 0; i < ep_file_count(f) && i < 16; i++) {
        struct ep_storage storage;
        struct ep_signal *whole = NULL;
        struct ep_err mine = { 0 };
        size_t index;
        ep_file_storage(f, i, &storage);
        ep_file_find(f, ep_file_desc(f, i)->name, 0xffffffffu, &index, &mine);
        if (!ep_file_load(f, i, 1 << 20, &whole, &mine)) ep_signal_free(whole);
        if (ep_file_desc(f, i)->spectral) stream(f, i);
    }
    ep_file_origin(f);
    ep_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[128];
    struct fuzz_bytes b = { data, size };
    if (!folder[0]) {
        make_templates();
        snprintf(path, sizeof path, "%s/changed", folder);
    }
    const struct template *t = &templates[fuzz_byte(&b) % 2];
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(t->bytes, 1, t->n, out) != t->n || fclose(out)) abort();
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0) abort();
    for (size_t k = 0; k < 24 && b.n; k++) change(file, t, &b);
    H5Fclose(file);
    read_all(path);
    unlink(path);
    return 0;
}
