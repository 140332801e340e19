/* How the values of a dataset lie in the file: type, layout, chunks, filters, addresses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define MAX_CHUNK_BYTES ((size_t)1 << 30)
#define MAX_FILTERS 16
#define FILTER_LZF 32000
/* Deflate packs a thousand to one at best. What claims more than this of its file, and is large, is not worth an hour. */
#define CLAIM_FREE ((size_t)64 << 30)
#define CLAIM_RATIO 2000

/* ---- types ---- */

/* The type values are held as: the stored one where the program has it, else one that holds every value of it
 * (64-bit integers lose digits beyond 2^53). */
static bool dtype_of(hid_t type, enum ep_dtype *out, char *why, size_t cap)
{
    H5T_class_t c = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    EP_AUTO_HID super = c == H5T_ENUM ? H5Tget_super(type) : H5I_INVALID_HID; /* booleans of h5py */
    hid_t t = c == H5T_ENUM ? super : type;
    if (c == H5T_FLOAT) {
        *out = size <= 4 ? EP_F32 : EP_F64;
        return true;
    }
    if (c == H5T_INTEGER || (c == H5T_ENUM && H5Tget_class(t) == H5T_INTEGER)) {
        bool u = H5Tget_sign(t) == H5T_SGN_NONE;
        *out = size == 1 ? (u ? EP_U8 : EP_I8) : size == 2 ? (u ? EP_U16 : EP_I16) : size == 4 ? (u ? EP_U32 : EP_I32) : EP_F64;
        return true;
    }
    snprintf(why, cap, "its values are %s, not numbers", c == H5T_COMPOUND ? "records (complex numbers?)" :
             c == H5T_STRING ? "texts" : c == H5T_VLEN ? "lists of varying length" : "of an unknown type");
    return false;
}

static hid_t native_of(enum ep_dtype t)
{
    switch (t) {
    case EP_F32: return H5T_NATIVE_FLOAT;
    case EP_F64: return H5T_NATIVE_DOUBLE;
    case EP_U8: return H5T_NATIVE_UINT8;
    case EP_U16: return H5T_NATIVE_UINT16;
    case EP_U32: return H5T_NATIVE_UINT32;
    case EP_I8: return H5T_NATIVE_INT8;
    case EP_I16: return H5T_NATIVE_INT16;
    case EP_I32: return H5T_NATIVE_INT32;
    }
    return H5T_NATIVE_DOUBLE;
}

/* What is wrong with a shape that can't be a signal's. */
static bool odd_shape(hid_t set, char *why, size_t cap)
{
    hsize_t d[H5S_MAX_RANK];
    EP_AUTO_HID space = H5Dget_space(set);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, d, NULL);
    if (rank < 1) return snprintf(why, cap, "its data are %s", rank ? "of no shape" : "empty, or a single number"), false;
    for (int k = 0; k < rank; k++)
        if (!d[k]) return snprintf(why, cap, "its data are empty: dimension %d has size 0", k), false;
    if (rank > EP_MAX_AXES) return snprintf(why, cap, "its data have %d dimensions; at most %d are supported", rank, EP_MAX_AXES), false;
    return snprintf(why, cap, "its data claim to hold more values than there can be: damaged file"), false;
}

/* Values in other files: they may be gone (HDF5 then gives zeros), may be any file of this computer, and no fingerprint of
 * this file tells when they change. */
static bool elsewhere(hid_t set, char *why, size_t cap)
{
    EP_AUTO_HID dcpl = H5Dget_create_plist(set);
    bool external = dcpl >= 0 && H5Pget_external_count(dcpl) != 0;
    if (dcpl < 0) return snprintf(why, cap, "its dataset can't be opened"), true;
    if (!external && H5Pget_layout(dcpl) != H5D_VIRTUAL) return false;
    snprintf(why, cap, "its values lie in other files (%s), which are not followed: save a copy that holds them itself (load and save it "
             "in HyperSpy, or h5repack)", external ? "external storage" : "a virtual dataset");
    return true;
}

bool ep_item_dataset(struct ep_file *f, struct ep_item *it, const char *data_path, bool *foreign, char *why, size_t cap)
{
    EP_AUTO_HID set = ep_h5_dataset(f->id, data_path);
    H5O_info_t info;
    size_t total;
    *foreign = true;
    if (set < 0 || H5Oget_info2(set, &info, H5O_INFO_BASIC) < 0) {
        snprintf(why, cap, "its dataset can't be opened");
        *foreign = false;
        return false;
    }
    if (info.fileno != f->fileno) {
        snprintf(why, cap, "its data are a link to another file, which is not followed");
        return false;
    }
    EP_AUTO_HID type = H5Dget_type(set);
    if (type < 0 || !dtype_of(type, &it->d.dtype, why, cap)) return false;
    if (!ep_h5_dims(set, EP_MAX_AXES, &it->rank, it->dim, &total)) return odd_shape(set, why, cap);
    *foreign = false;
    if (elsewhere(set, why, cap)) return false;
    if (total > CLAIM_FREE / ep_dtype_size(it->d.dtype) && total / CLAIM_RATIO > f->bytes / ep_dtype_size(it->d.dtype)) {
        snprintf(why, cap, "it claims to hold %zu values, but the file has only %zu bytes: damaged, or hardly any of it was ever written", total, f->bytes);
        return false;
    }
    *foreign = true;
    it->data = ep_xstrdup(data_path);
    return true;
}

/* ---- filters ---- */

static const struct { H5Z_filter_t id; const char *name, *package; } known_filters[] = {
    {307, "bzip2", "hdf5-filter-plugin"},          {FILTER_LZF, "LZF", NULL},
    {32001, "Blosc", "hdf5-filter-plugin-blosc-serial"}, {32004, "LZ4", "hdf5-filter-plugin"},
    {32008, "bitshuffle", NULL},                   {32013, "ZFP", "hdf5-filter-plugin-zfp-serial"},
    {32015, "Zstandard", NULL},                    {32026, "Blosc2", NULL},
};

static ep_status missing_filter(const struct ep_file *f, const char *path, H5Z_filter_t id, const char *name, struct ep_err *e)
{
    const char *package = NULL;
    for (size_t i = 0; i < sizeof known_filters / sizeof *known_filters; i++)
        if (known_filters[i].id == id) name = known_filters[i].name, package = known_filters[i].package;
    if (package)
        return ep_fail(e, EP_E_INPUT, "%s: %s is compressed with filter %d (%s), which is not installed: install the package %s (Debian, "
                       "Ubuntu), or save the file with gzip", f->path, path, (int)id, name, package);
    return ep_fail(e, EP_E_INPUT, "%s: %s is compressed with filter %d (%s), which is not installed and has no Debian package: save the "
                   "file with gzip where it can be read", f->path, path, (int)id, *name ? name : "no name");
}

/* Fills in the filters; direct stays true only for pipelines that are decoded here. Debian's LZF plug-in can't be
 * loaded (it lacks its own library), so LZF is decoded here even where HDF5 knows it. */
static ep_status look_at_filters(const struct ep_file *f, const char *path, hid_t dcpl, struct ep_store *s, struct ep_err *e)
{
    H5Z_filter_t missing = -1;
    char missing_name[64] = "";
    s->nfilter = H5Pget_nfilters(dcpl);
    s->shuffle = s->deflate = s->fletcher = -1;
    if (s->nfilter < 0 || s->nfilter > MAX_FILTERS) return ep_fail(e, EP_E_INPUT, "%s: %s: its list of filters makes no sense (damaged file?)", f->path, path);
    for (int i = 0; i < s->nfilter; i++) {
        unsigned flags = 0, config = 0, cd[8] = {0};
        size_t ncd = 8;
        char name[64] = "";
        H5Z_filter_t id = H5Pget_filter2(dcpl, (unsigned)i, &flags, &ncd, cd, sizeof name, name, &config);
        name[sizeof name - 1] = 0;
        if (id < 0) return ep_fail(e, EP_E_INPUT, "%s: %s: its list of filters makes no sense (damaged file?)", f->path, path);
        if (H5Zfilter_avail(id) <= 0) missing = id, memcpy(missing_name, name, sizeof name);
        bool ours = s->fletcher < 0; /* the checksum comes last */
        if (id == H5Z_FILTER_SHUFFLE && s->shuffle < 0 && s->deflate < 0 && ncd >= 1 && cd[0] == s->esize) s->shuffle = i;
        else if ((id == H5Z_FILTER_DEFLATE || id == FILTER_LZF) && s->deflate < 0) s->deflate = i, s->lzf = id == FILTER_LZF;
        else if (id == H5Z_FILTER_FLETCHER32 && s->fletcher < 0) s->fletcher = i;
        else ours = false;
        s->direct = s->direct && ours;
        s->foreign = s->foreign || !ours;
    }
    if (missing >= 0 && !(missing == FILTER_LZF && s->direct)) return missing_filter(f, path, missing, missing_name, e);
    return EP_OK;
}

/* ---- layout ---- */

static ep_status look_at_chunks(const struct ep_file *f, const char *path, hid_t dcpl, struct ep_store *s, struct ep_err *e)
{
    hsize_t c[H5S_MAX_RANK];
    unsigned opts = 0;
    if (H5Pget_chunk(dcpl, s->rank, c) != s->rank) return ep_fail(e, EP_E_INPUT, "%s: %s: its chunk sizes make no sense (damaged file?)", f->path, path);
    s->chunk_bytes = s->esize;
    for (int k = 0; k < s->rank; k++) {
        if (!c[k] || !ep_mul_ok(s->chunk_bytes, (size_t)c[k], &s->chunk_bytes) || s->chunk_bytes > MAX_CHUNK_BYTES)
            return ep_fail(e, EP_E_INPUT, "%s: %s is stored in chunks of more than 1 GiB; save it with smaller chunks (`s.save(name, "
                           "chunks=...)` in HyperSpy)", f->path, path);
        s->chunk[k] = (size_t)c[k];
    }
    /* Partial chunks that skip the filters do not say so in their mask. */
    if (H5Pget_chunk_opts(dcpl, &opts) < 0 || opts) s->direct = false, s->foreign = true;
    return look_at_filters(f, path, dcpl, s, e);
}

static void look_at_address(const struct ep_file *f, hid_t dcpl, struct ep_store *s)
{
    size_t bytes = s->esize;
    s->address = H5Dget_offset(s->set);
    for (int k = 0; k < s->rank; k++)
        if (!ep_mul_ok(bytes, s->dim[k], &bytes)) s->direct = false;
    if (f->fd < 0 || s->address == HADDR_UNDEF || H5Pget_external_count(dcpl) != 0 || H5Pget_nfilters(dcpl) != 0 ||
        s->address > f->bytes || bytes > f->bytes - s->address)
        s->direct = false;
}

ep_status ep_store_open(const struct ep_file *f, const char *path, enum ep_dtype dtype, struct ep_store *s, struct ep_err *e)
{
    size_t total;
    *s = (struct ep_store){.address = HADDR_UNDEF, .dtype = dtype, .esize = ep_dtype_size(dtype), .shuffle = -1, .deflate = -1,
                           .fletcher = -1, .native = native_of(dtype), .type = H5I_INVALID_HID, .set = H5I_INVALID_HID};
    s->set = ep_h5_dataset(f->id, path);
    EP_AUTO_HID dcpl = s->set < 0 ? H5I_INVALID_HID : H5Dget_create_plist(s->set);
    s->type = s->set < 0 ? H5I_INVALID_HID : H5Dget_type(s->set);
    ep_status st = EP_OK;
    if (dcpl < 0 || s->type < 0 || !ep_h5_dims(s->set, EP_MAX_AXES, &s->rank, s->dim, &total)) {
        st = ep_fail(e, EP_E_INPUT, "%s: %s can't be opened (damaged file?)", f->path, path);
    } else {
        /* An 8-bit enum (h5py's boolean) is its integer, byte for byte. */
        s->as_native = H5Tequal(s->type, s->native) > 0 || (H5Tget_class(s->type) == H5T_ENUM && s->esize == 1);
        s->layout = H5Pget_layout(dcpl);
        s->direct = s->as_native;
        memcpy(s->chunk, s->dim, sizeof s->chunk);
        if (s->layout == H5D_CHUNKED) st = look_at_chunks(f, path, dcpl, s, e);
        else if (s->layout == H5D_CONTIGUOUS) look_at_address(f, dcpl, s);
        else s->direct = false;
    }
    s->chunks = 1;
    for (int k = 0; st == EP_OK && k < s->rank; k++) {
        s->nchunk[k] = (s->dim[k] - 1) / s->chunk[k] + 1;
        s->chunks *= s->nchunk[k]; /* not more than there are values: no overflow */
    }
    if (st != EP_OK) ep_store_close(s);
    return st;
}

void ep_store_close(struct ep_store *s)
{
    ep_hid_done(&s->set);
    ep_hid_done(&s->type);
}

/* ---- chunks ---- */

struct ep_chunk_at *ep_store_addresses(const struct ep_file *f, const struct ep_store *s)
{
    hsize_t n = 0;
    EP_AUTO_HID space = H5Dget_space(s->set);
    if (f->fd < 0 || s->layout != H5D_CHUNKED || s->chunks > EP_ADDRESSED_CHUNKS || space < 0) return NULL;
    if (H5Dget_num_chunks(s->set, space, &n) < 0 || n > s->chunks) return NULL;
    struct ep_chunk_at *at = ep_xcalloc(s->chunks, sizeof *at);
    for (hsize_t i = 0; i < n; i++) {
        hsize_t off[H5S_MAX_RANK] = {0}, bytes = 0;
        haddr_t address = HADDR_UNDEF;
        unsigned mask = 0;
        size_t index = 0;
        bool ok = H5Dget_chunk_info(s->set, space, i, off, &mask, &address, &bytes) >= 0 && address != HADDR_UNDEF &&
                  bytes && address <= f->bytes && bytes <= f->bytes - address;
        for (int k = 0; ok && k < s->rank; k++) {
            size_t c = (size_t)(off[k] / s->chunk[k]);
            ok = off[k] % s->chunk[k] == 0 && c < s->nchunk[k];
            index = index * s->nchunk[k] + c;
        }
        if (!ok || at[index].bytes) { /* an index that makes no sense: let HDF5 say what is wrong with it */
            free(at);
            return NULL;
        }
        at[index] = (struct ep_chunk_at){address, (size_t)bytes, mask};
    }
    return at;
}

ep_status ep_reserve(void **buf, size_t *capacity, size_t bytes, const char *what, struct ep_err *e)
{
    if (*buf && *capacity >= bytes) return EP_OK;
    free(*buf);
    *capacity = 0;
    *buf = malloc(bytes ? bytes : 1);
    if (!*buf) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (%s)", bytes, what);
    *capacity = bytes ? bytes : 1;
    return EP_OK;
}

ep_status ep_chunk_read(const struct ep_file *f, const struct ep_store *s, const size_t *chunk, void **buf, size_t *capacity,
                        size_t *bytes, unsigned *mask, struct ep_err *e)
{
    hsize_t off[EP_MAX_AXES], size = 0;
    uint32_t m = 0;
    *bytes = 0;
    for (int k = 0; k < s->rank; k++) off[k] = (hsize_t)(chunk[k] * s->chunk[k]);
    /* Where the chunk is not allocated this fails, or succeeds without touching size. */
    if (H5Dget_chunk_storage_size(s->set, off, &size) < 0 || !size) return EP_OK;
    if (size > f->bytes)
        return ep_fail(e, EP_E_INPUT, "%s: damaged: a chunk claims to be larger than the file", f->path);
    ep_status st = ep_reserve(buf, capacity, (size_t)size, "a chunk", e);
    if (st != EP_OK) return st;
    if (H5Dread_chunk(s->set, H5P_DEFAULT, off, &m, *buf) < 0) {
        /* Once H5Dread has made a chunk of fill values, it has a size, in HDF5's cache, but still no place in the file. */
        haddr_t address = 0;
        if (H5Dget_chunk_info_by_coord(s->set, off, &m, &address, &size) >= 0 && address == HADDR_UNDEF) return EP_OK;
        return ep_fail(e, EP_E_INPUT, "%s: a chunk can't be read (damaged or cut file?)", f->path);
    }
    *bytes = (size_t)size;
    *mask = m;
    return EP_OK;
}

ep_status ep_pread_all(const struct ep_file *f, void *buf, size_t n, size_t offset, struct ep_err *e)
{
    char *p = buf;
    while (n) {
        ssize_t got = pread(f->fd, p, n > ((size_t)1 << 30) ? (size_t)1 << 30 : n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ep_fail(e, EP_E_INPUT, "%s: %s", f->path, strerror(errno));
        if (!got) return ep_fail(e, EP_E_INPUT, "%s: the file ends too early (it was cut while it was read?)", f->path);
        p += got;
        offset += (size_t)got;
        n -= (size_t)got;
    }
    return EP_OK;
}

/* ---- for `info` ---- */

void ep_file_storage(const struct ep_file *f, size_t i, struct ep_storage *out)
{
    const struct ep_item *it = &f->item[i];
    struct ep_err e = {0};
    struct ep_store s;
    struct ep_str t = {0};
    static const char *const layouts[] = {"compact", "contiguous", "", "virtual"};

    *out = (struct ep_storage){.bytes_raw = 0};
    if (!it->data) {
        ep_h5_copy_text(out->text, sizeof out->text, "columns");
        return;
    }
    if (ep_store_open(f, it->data, it->d.dtype, &s, &e) != EP_OK) {
        size_t skip = strlen(f->path) + 2; /* the path is known */
        ep_h5_copy_text(out->text, sizeof out->text, e.msg + (strlen(e.msg) > skip ? skip : 0));
        return;
    }
    H5T_class_t c = H5Tget_class(s.type);
    size_t width = H5Tget_size(s.type);
    bool is_unsigned = c == H5T_INTEGER && H5Tget_sign(s.type) == H5T_SGN_NONE;
    ep_str_addf(&t, "%s%zu", c == H5T_FLOAT ? "float" : c == H5T_ENUM ? "bool" : is_unsigned ? "uint" : "int", 8 * width);
    if (width > 1) ep_str_addf(&t, ", %s-endian", H5Tget_order(s.type) == H5T_ORDER_BE ? "big" : "little");
    if (s.layout == H5D_CHUNKED) {
        ep_str_add(&t, ", chunks ");
        for (int k = 0; k < s.rank; k++) ep_str_addf(&t, "%s%zu", k ? "x" : "", s.chunk[k]);
        EP_AUTO_HID dcpl = H5Dget_create_plist(s.set);
        for (int k = 0; k < s.nfilter; k++) {
            char name[24] = "";
            H5Z_filter_t id = H5Pget_filter2(dcpl, (unsigned)k, NULL, &(size_t){0}, NULL, sizeof name, name, NULL);
            name[sizeof name - 1] = 0;
            ep_str_add(&t, k ? "+" : ", ");
            if (id == H5Z_FILTER_DEFLATE) ep_str_add(&t, "gzip");
            else if (*name) ep_str_addf(&t, "%.8s", name);
            else ep_str_addf(&t, "filter %d", (int)id);
        }
    } else {
        ep_str_addf(&t, ", %s", s.layout >= 0 && s.layout <= 3 ? layouts[s.layout] : "unknown layout");
    }
    ep_h5_copy_text(out->text, sizeof out->text, t.s);
    ep_str_free(&t);
    out->bytes_raw = width;
    for (int k = 0; k < s.rank; k++) out->bytes_raw *= s.dim[k];
    out->bytes_stored = (size_t)H5Dget_storage_size(s.set);
    out->direct = s.direct;
    ep_store_close(&s);
}
