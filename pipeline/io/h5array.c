#include "pipeline/io/h5array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/decode.h"
#include "pipeline/io/h5util.h"

#define MOST_CHUNK ((size_t)1 << 30)
#define REMEMBERED ((size_t)32 << 20)   /* bytes of unpacked chunks */

struct slot { size_t number, used; unsigned char *values; };   /* a chunk in the type of the memory */

struct ep_h5_array {
    hid_t set, mem, type;
    int rank;
    hsize_t dim[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    bool by_hdf5;
    bool converts;
    size_t file_size, mem_size, n;         /* of a value; values of a chunk */
    int shuffle, deflate, fletcher;        /* place in the pipeline, -1: not there */
    struct libdeflate_decompressor *z;
    unsigned char *stored, *unpacked;
    size_t stored_cap, clock, most;
    struct slot *slot;
    size_t nslot, cap;
};

/* ---- how it is stored ---- */

/* Whether the filters are those that are undone here, in this order. */
static bool our_filters(struct ep_h5_array *a, hid_t dcpl)
{
    int last = -1;
    a->shuffle = a->deflate = a->fletcher = -1;
    for (int i = 0, n = H5Pget_nfilters(dcpl); i < n; i++) {
        unsigned flags, cd[8] = {0};
        size_t ncd = 8;
        H5Z_filter_t id = H5Pget_filter2(dcpl, (unsigned)i, &flags, &ncd, cd, 0, NULL, NULL);
        int *place = id == H5Z_FILTER_SHUFFLE && ncd >= 1 && cd[0] == a->file_size ? &a->shuffle
                   : id == H5Z_FILTER_DEFLATE ? &a->deflate : id == H5Z_FILTER_FLETCHER32 ? &a->fletcher : NULL;
        int order = place == &a->shuffle ? 0 : place == &a->deflate ? 1 : 2;
        if (!place || order <= last) return false;
        *place = i;
        last = order;
    }
    return true;
}

static bool chunk_size(struct ep_h5_array *a)
{
    a->n = 1;
    for (int k = 0; k < a->rank; k++)
        if (!a->chunk[k] || !ep_mul_ok(a->n, (size_t)a->chunk[k], &a->n)) return false;
    return a->file_size && a->file_size <= 8 && a->mem_size <= 8 && a->n <= MOST_CHUNK / a->file_size;
}

struct ep_h5_array *ep_h5_array_open(hid_t dset, hid_t mem_type)
{
    EP_AUTO_HID space = H5Dget_space(dset);
    EP_AUTO_HID type = H5Dget_type(dset);
    EP_AUTO_HID dcpl = H5Dget_create_plist(dset);
    unsigned options = 0;
    if (space < 0 || type < 0 || dcpl < 0) return NULL;
    struct ep_h5_array *a = ep_xcalloc(1, sizeof *a);
    a->set = dset;
    a->mem = mem_type;
    a->file_size = H5Tget_size(type);
    a->mem_size = H5Tget_size(mem_type);
    a->converts = H5Tequal(type, mem_type) <= 0;
    a->rank = H5Sget_simple_extent_dims(space, a->dim, NULL);
    a->by_hdf5 = a->rank < 1 || H5Pget_layout(dcpl) != H5D_CHUNKED;
    if (!a->by_hdf5) /* chunks at the border may skip the filters without a word in their mask */
        a->by_hdf5 = H5Pget_chunk_opts(dcpl, &options) < 0 || options || !our_filters(a, dcpl) ||
                     H5Pget_chunk(dcpl, a->rank, a->chunk) != a->rank || !chunk_size(a);
    if (!a->by_hdf5) a->most = REMEMBERED / (a->n * a->mem_size) + 1;
    a->type = ep_hid_take(&type);
    return a;
}

void ep_h5_array_close(struct ep_h5_array *a)
{
    if (!a) return;
    for (size_t i = 0; i < a->nslot; i++) free(a->slot[i].values);
    if (a->z) libdeflate_free_decompressor(a->z);
    ep_hid_done(&a->type);
    free(a->slot);
    free(a->stored);
    free(a->unpacked);
    free(a);
}

/* ---- a chunk ---- */

static bool applied(int filter, uint32_t mask)
{
    return filter >= 0 && !(mask >> filter & 1);
}

static bool room(unsigned char **buf, size_t *cap, size_t bytes)
{
    if (*cap >= bytes) return true;
    free(*buf);
    *buf = malloc(bytes);
    *cap = *buf ? bytes : 0;
    return *buf != NULL;
}

/* From the bytes stored to those of the values, in the file's type. */
static bool unpack(struct ep_h5_array *a, size_t bytes, uint32_t mask, unsigned char *to)
{
    const unsigned char *from = a->stored;
    const size_t want = a->n * a->file_size;
    if (applied(a->fletcher, mask)) {
        if (!ep_fletcher32_ok(from, bytes)) return false;
        bytes -= 4;
    }
    if (applied(a->deflate, mask)) {
        if (!a->unpacked && !(a->unpacked = malloc(want))) return false;
        if (!a->z && !(a->z = libdeflate_alloc_decompressor())) return false;
        if (libdeflate_zlib_decompress(a->z, from, bytes, a->unpacked, want, NULL) != LIBDEFLATE_SUCCESS) return false;
        from = a->unpacked;
        bytes = want;
    }
    if (bytes != want) return false;
    if (!applied(a->shuffle, mask)) memcpy(to, from, want);
    else
        for (size_t b = 0; b < a->file_size; b++)
            for (size_t i = 0; i < a->n; i++) to[i * a->file_size + b] = from[b * a->n + i];
    return true;
}

/* A chunk that was never written holds the fill value, or zeros where there is none or none is to be filled in. */
static bool fill(struct ep_h5_array *a, unsigned char *to)
{
    unsigned char v[8] = {0};
    H5D_fill_time_t when = H5D_FILL_TIME_NEVER;
    H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
    EP_AUTO_HID dcpl = H5Dget_create_plist(a->set);
    if (dcpl < 0 || H5Pget_fill_time(dcpl, &when) < 0 || H5Pfill_value_defined(dcpl, &defined) < 0) return false;
    bool fills = when != H5D_FILL_TIME_NEVER && defined != H5D_FILL_VALUE_UNDEFINED;
    if (fills && H5Pget_fill_value(dcpl, a->mem, v) < 0) return false;
    for (size_t i = 0; i < a->n; i++) memcpy(to + i * a->mem_size, v, a->mem_size);
    return true;
}

static bool read_chunk(struct ep_h5_array *a, const hsize_t *offset, unsigned char *to)
{
    hsize_t bytes = 0;
    uint32_t mask = 0;
    if (H5Dget_chunk_storage_size(a->set, offset, &bytes) < 0 || !bytes) return fill(a, to);
    if (bytes > a->n * a->file_size + a->n / 8 + 4096) return false;   /* packing never makes it much larger */
    if (!room(&a->stored, &a->stored_cap, (size_t)bytes)) return false;
    if (H5Dread_chunk(a->set, H5P_DEFAULT, offset, &mask, a->stored) < 0) {
        /* Once H5Dread has made a chunk of fill values, it has a size in HDF5's cache, but no place in the file. */
        haddr_t address = 0;
        return H5Dget_chunk_info_by_coord(a->set, offset, &mask, &address, &bytes) >= 0 && address == HADDR_UNDEF && fill(a, to);
    }
    return unpack(a, (size_t)bytes, mask, to) && (!a->converts || H5Tconvert(a->type, a->mem, a->n, to, NULL, H5P_DEFAULT) >= 0);
}

/* A slot for one more: a new one, or that of the chunk that was wanted longest ago. */
static struct slot *free_slot(struct ep_h5_array *a)
{
    if (a->nslot >= a->most) {
        struct slot *oldest = a->slot;
        for (size_t i = 1; i < a->nslot; i++)
            if (a->slot[i].used < oldest->used) oldest = &a->slot[i];
        return oldest;
    }
    unsigned char *values = malloc(a->n * (a->file_size > a->mem_size ? a->file_size : a->mem_size));
    if (!values) return NULL;
    EP_PUSH(a->slot, a->nslot, a->cap);
    a->slot[a->nslot - 1] = (struct slot){.values = values};
    return &a->slot[a->nslot - 1];
}

static const unsigned char *chunk_values(struct ep_h5_array *a, size_t number, const hsize_t *offset)
{
    for (size_t i = 0; i < a->nslot; i++)
        if (a->slot[i].used && a->slot[i].number == number) {
            a->slot[i].used = ++a->clock;
            return a->slot[i].values;
        }
    struct slot *s = free_slot(a);
    if (!s) return NULL;
    s->used = 0;
    if (!read_chunk(a, offset, s->values)) return NULL;
    s->number = number;
    s->used = ++a->clock;
    return s->values;
}

/* ---- slabs ---- */

/* A box of values from one row-major array to another: sizes of both, the first value in both, how many. */
struct box { const hsize_t *from_dim, *to_dim; hsize_t from[H5S_MAX_RANK], to[H5S_MAX_RANK], n[H5S_MAX_RANK]; };

static void copy_box(int rank, const struct box *b, const unsigned char *from, unsigned char *to, size_t size)
{
    size_t lines = 1;
    for (int k = 0; k + 1 < rank; k++) lines *= (size_t)b->n[k];
    for (size_t line = 0; line < lines; line++) {
        size_t at = line, f = 0, t = 0, index[H5S_MAX_RANK] = {0};
        for (int k = rank - 2; k >= 0; k--) {
            index[k] = at % (size_t)b->n[k];
            at /= (size_t)b->n[k];
        }
        for (int k = 0; k < rank; k++) {
            f = f * (size_t)b->from_dim[k] + (size_t)b->from[k] + index[k];
            t = t * (size_t)b->to_dim[k] + (size_t)b->to[k] + index[k];
        }
        memcpy(to + t * size, from + f * size, (size_t)b->n[rank - 1] * size);
    }
}

/* The next chunk of those from first to last; false behind the last. */
static bool next_chunk(int rank, hsize_t *c, const hsize_t *first, const hsize_t *last)
{
    for (int k = rank - 1; k >= 0; k--) {
        if (c[k]++ < last[k]) return true;
        c[k] = first[k];
    }
    return false;
}

static bool read_by_hdf5(struct ep_h5_array *a, const hsize_t *start, const hsize_t *count, void *out)
{
    if (a->rank < 1) return H5Dread(a->set, a->mem, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
    EP_AUTO_HID file = H5Dget_space(a->set);
    EP_AUTO_HID mem = H5Screate_simple(a->rank, count, NULL);
    return file >= 0 && mem >= 0 && H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
           H5Dread(a->set, a->mem, mem, file, H5P_DEFAULT, out) >= 0;
}

bool ep_h5_array_read(struct ep_h5_array *a, const hsize_t *start, const hsize_t *count, void *out)
{
    hsize_t c[H5S_MAX_RANK], first[H5S_MAX_RANK], last[H5S_MAX_RANK];
    if (a->by_hdf5) return read_by_hdf5(a, start, count, out);
    for (int k = 0; k < a->rank; k++) {
        if (!count[k]) return true;
        if (count[k] > a->dim[k] || start[k] > a->dim[k] - count[k]) return false;
        c[k] = first[k] = start[k] / a->chunk[k];
        last[k] = (start[k] + count[k] - 1) / a->chunk[k];
    }
    do {
        struct box b = {.from_dim = a->chunk, .to_dim = count};
        hsize_t offset[H5S_MAX_RANK];
        size_t number = 0;
        for (int k = 0; k < a->rank; k++) {
            offset[k] = c[k] * a->chunk[k];
            number = number * (size_t)((a->dim[k] - 1) / a->chunk[k] + 1) + (size_t)c[k];
            hsize_t lo = offset[k] > start[k] ? offset[k] : start[k], hi = offset[k] + a->chunk[k];
            if (hi > start[k] + count[k]) hi = start[k] + count[k];
            b.from[k] = lo - offset[k];
            b.to[k] = lo - start[k];
            b.n[k] = hi - lo;
        }
        const unsigned char *values = chunk_values(a, number, offset);
        if (!values) return false;
        copy_box(a->rank, &b, values, out, a->mem_size);
    } while (next_chunk(a->rank, c, first, last));
    return true;
}

bool ep_h5_array_read_all(struct ep_h5_array *a, void *out)
{
    const hsize_t start[H5S_MAX_RANK] = {0};
    return ep_h5_array_read(a, start, a->dim, out);
}

/* ---- writing ---- */

herr_t ep_h5_array_write(hid_t dset, int rank, const hsize_t *dim, const hsize_t *chunk, size_t size, const void *values)
{
    hsize_t c[H5S_MAX_RANK] = {0}, first[H5S_MAX_RANK] = {0}, last[H5S_MAX_RANK];
    size_t bytes = size;
    for (int k = 0; k < rank; k++) {
        last[k] = (dim[k] - 1) / chunk[k];
        bytes *= (size_t)chunk[k];
    }
    unsigned char *buf = malloc(bytes + 4);
    if (!buf) return -1;
    herr_t st = 0;
    do {
        struct box b = {.from_dim = dim, .to_dim = chunk};
        hsize_t offset[H5S_MAX_RANK];
        bool border = false;
        for (int k = 0; k < rank; k++) {
            b.from[k] = offset[k] = c[k] * chunk[k];
            b.n[k] = ep_min((size_t)chunk[k], (size_t)(dim[k] - offset[k]));
            border |= b.n[k] < chunk[k];
        }
        if (border) memset(buf, 0, bytes);
        copy_box(rank, &b, values, buf, size);
        ep_fletcher32_add(buf, bytes);
        st = H5Dwrite_chunk(dset, H5P_DEFAULT, 0, offset, bytes + 4, buf);
    } while (st >= 0 && next_chunk(rank, c, first, last));
    free(buf);
    return st;
}
