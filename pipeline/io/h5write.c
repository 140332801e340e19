/* Attributes and small arrays, written with HDF5; its errors as ours. */
#include "pipeline/io/h5write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5array.h"
#include "pipeline/io/h5util.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "chunks are written as they lie in memory");

ep_status ep_h5w_open(struct ep_h5w *h, const char *path, struct ep_err *e)
{
    *h = (struct ep_h5w){.path = path, .err = e, .text = H5I_INVALID_HID, .boolean = H5I_INVALID_HID,
                          .transfer = H5I_INVALID_HID};
    h->text = ep_h5_text_type();
    h->boolean = ep_h5_bool_type();
    h->transfer = ep_h5_text_transfer();
    if (h->text < 0 || h->boolean < 0 || h->transfer < 0)
        return ep_h5w_fail(h, "types");
    return EP_OK;
}

void ep_h5w_close(struct ep_h5w *h)
{
    ep_hid_done(&h->text);
    ep_hid_done(&h->boolean);
    ep_hid_done(&h->transfer);
}

/* ---- Errors --------------------------------------------------------------------------------------------- */

struct reason { int system; char words[160]; };

/* HDF5 tells errno only inside the text of its messages ("..., errno = 28, error message = '...', ..."). */
static herr_t look(unsigned n, const H5E_error2_t *item, void *client)
{
    struct reason *r = client;
    if (n == 0 && item->desc)
        snprintf(r->words, sizeof r->words, "%s", item->desc);
    const char *at = item->desc ? strstr(item->desc, "errno = ") : NULL;
    if (at && r->system == 0)
        r->system = atoi(at + 8);
    return 0;
}

ep_status ep_h5w_fail(struct ep_h5w *h, const char *doing)
{
    struct reason r = {0, ""};
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look, &r);
    h->status = EP_E_OUTPUT;
    if (r.system != 0)
        return ep_fail(h->err, EP_E_OUTPUT, "can't write %s: %s", h->path, strerror(r.system));
    return ep_fail(h->err, EP_E_OUTPUT, "can't write %s: %s: %s", h->path, doing, r.words[0] ? r.words : "HDF5 failed");
}

bool ep_h5w_ok(struct ep_h5w *h, long long returned, const char *doing)
{
    if (h->status == EP_OK && returned < 0)
        ep_h5w_fail(h, doing);
    return h->status == EP_OK;
}

void ep_h5w_done(struct ep_h5w *h, hid_t *id)
{
    if (*id > 0) {
        H5I_type_t t = H5Iget_type(*id);
        herr_t rc = t == H5I_FILE ? H5Fclose(*id) : t == H5I_DATASET ? H5Dclose(*id) : H5Gclose(*id);
        ep_h5w_ok(h, rc, "closing");
    }
    *id = H5I_INVALID_HID;
}

/* ---- Attributes ----------------------------------------------------------------------------------------- */

static void attribute(struct ep_h5w *h, hid_t obj, const char *name, hid_t file_type, hid_t mem_type, int rank,
                      const hsize_t *dim, const void *value)
{
    if (h->status != EP_OK)
        return;
    EP_AUTO_HID space = rank ? H5Screate_simple(rank, dim, NULL) : H5Screate(H5S_SCALAR);
    if (!ep_h5w_ok(h, space, name))
        return;
    hid_t a = H5Acreate2(obj, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (!ep_h5w_ok(h, a, name))
        return;
    if (!ep_h5w_ok(h, H5Awrite(a, mem_type, value), name)) {
        H5Aclose(a);
        return;
    }
    ep_h5w_ok(h, H5Aclose(a), name);
}

void ep_h5w_text(struct ep_h5w *h, hid_t obj, const char *name, const char *value)
{
    if (value)
        attribute(h, obj, name, h->text, h->text, 0, NULL, &value);
}

void ep_h5w_texts(struct ep_h5w *h, hid_t obj, const char *name, const char *const *values, size_t n)
{
    hsize_t dim = n;
    if (n)
        attribute(h, obj, name, h->text, h->text, 1, &dim, values);
}

void ep_h5w_num(struct ep_h5w *h, hid_t obj, const char *name, double value)
{
    value = value == 0 ? 0 : value;
    if (!isnan(value))
        attribute(h, obj, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, NULL, &value);
}

void ep_h5w_nums(struct ep_h5w *h, hid_t obj, const char *name, const double *values, size_t rows, size_t cols)
{
    hsize_t dim[2] = {rows, cols};
    size_t n = cols ? rows * cols : rows;
    if (!n)
        return;
    double *v = ep_xmalloc(n * sizeof *v);
    ep_h5w_convert(v, EP_F64, (struct ep_h5w_values){.f64 = values}, 0, n);
    attribute(h, obj, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, cols ? 2 : 1, dim, v);
    free(v);
}

void ep_h5w_i32(struct ep_h5w *h, hid_t obj, const char *name, int32_t value)
{
    attribute(h, obj, name, H5T_STD_I32LE, H5T_NATIVE_INT32, 0, NULL, &value);
}

void ep_h5w_i64(struct ep_h5w *h, hid_t obj, const char *name, int64_t value)
{
    attribute(h, obj, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 0, NULL, &value);
}

void ep_h5w_u32s(struct ep_h5w *h, hid_t obj, const char *name, const uint32_t *values, size_t n)
{
    hsize_t dim = n;
    attribute(h, obj, name, H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, &dim, values);
}

void ep_h5w_bool(struct ep_h5w *h, hid_t obj, const char *name, bool value)
{
    signed char v = value;
    attribute(h, obj, name, h->boolean, h->boolean, 0, NULL, &v);
}

/* ---- Groups and texts ----------------------------------------------------------------------------------- */

/* Objects here carry more than the eight attributes that HDF5 keeps in an object header by itself; dense storage would
 * cost kilobytes each. */
static bool plain_object(hid_t creation)
{
    return H5Pset_obj_track_times(creation, 0) >= 0 && H5Pset_attr_phase_change(creation, 128, 96) >= 0;
}

hid_t ep_h5w_group(struct ep_h5w *h, hid_t parent, const char *name, const char *nx_class)
{
    if (h->status != EP_OK)
        return H5I_INVALID_HID;
    EP_AUTO_HID p = H5Pcreate(H5P_GROUP_CREATE);
    bool ready = p >= 0 && plain_object(p)
                 && H5Pset_link_creation_order(p, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0;
    hid_t g = ready ? H5Gcreate2(parent, name, H5P_DEFAULT, p, H5P_DEFAULT) : H5I_INVALID_HID;
    if (ep_h5w_ok(h, g, name) && nx_class)
        ep_h5w_text(h, g, "NX_class", nx_class);
    return g;
}

/* Creates a dataset and writes all of it; the identifier is valid unless something failed. */
static hid_t whole(struct ep_h5w *h, hid_t parent, const char *name, hid_t file_type, hid_t mem_type, hid_t space,
                   hid_t creation, const void *data, bool empty)
{
    hid_t d = H5Dcreate2(parent, name, file_type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (ep_h5w_ok(h, d, name) && !empty)
        ep_h5w_ok(h, H5Dwrite(d, mem_type, H5S_ALL, H5S_ALL, mem_type == h->text ? h->transfer : H5P_DEFAULT, data), name);
    if (h->status != EP_OK)
        ep_h5w_done(h, &d);
    return d;
}

void ep_h5w_text_data(struct ep_h5w *h, hid_t parent, const char *name, const char *value)
{
    if (h->status != EP_OK)
        return;
    EP_AUTO_HID space = H5Screate(H5S_SCALAR);
    EP_AUTO_HID p = H5Pcreate(H5P_DATASET_CREATE);
    if (!ep_h5w_ok(h, space >= 0 && p >= 0 && plain_object(p) ? 0 : -1, name))
        return;
    const char *text = value ? value : "";
    hid_t d = whole(h, parent, name, h->text, h->text, space, p, &text, false);
    ep_h5w_done(h, &d);
}

hid_t ep_h5w_texts_data(struct ep_h5w *h, hid_t parent, const char *name, const char *const *values, size_t n)
{
    if (h->status != EP_OK)
        return H5I_INVALID_HID;
    hsize_t dim = n;
    EP_AUTO_HID space = H5Screate_simple(1, &dim, NULL);
    EP_AUTO_HID p = H5Pcreate(H5P_DATASET_CREATE);
    if (!ep_h5w_ok(h, space >= 0 && p >= 0 && plain_object(p) ? 0 : -1, name))
        return H5I_INVALID_HID;
    return whole(h, parent, name, h->text, h->text, space, p, values, n == 0);
}

/* ---- Values --------------------------------------------------------------------------------------------- */

static inline uint32_t canonical32(uint32_t u)
{
    uint32_t magnitude = u & UINT32_C(0x7fffffff);
    uint32_t v = magnitude == 0 ? 0 : u;
    return magnitude > UINT32_C(0x7f800000) ? UINT32_C(0x7fc00000) : v;
}

static inline uint64_t canonical64(uint64_t u)
{
    uint64_t magnitude = u & UINT64_C(0x7fffffffffffffff);
    uint64_t v = magnitude == 0 ? 0 : u;
    return magnitude > UINT64_C(0x7ff0000000000000) ? UINT64_C(0x7ff8000000000000) : v;
}

static inline double value_of(struct ep_h5w_values src, size_t i)
{
    return src.f32 ? (double)src.f32[i] : src.f64 ? src.f64[i] : (double)src.u32[i];
}

/* rint: the rounding mode is to nearest, even, everywhere in this program. */
#define WHOLE(type, lo, hi)                                                    \
    for (size_t i = 0; i < n; i++) {                                           \
        double v = value_of(src, first + i);                                   \
        ((type *)dst)[i] = isnan(v) ? 0 : v <= (lo) ? (type)(lo) : v >= (hi) ? (type)(hi) : (type)rint(v); \
    }                                                                          \
    break

void ep_h5w_convert(void *dst, enum ep_dtype dtype, struct ep_h5w_values src, size_t first, size_t n)
{
    switch (dtype) {
    case EP_F32:
        if (src.f32) {
            const float *restrict from = src.f32 + first;
            uint32_t *restrict to = dst;
            for (size_t i = 0; i < n; i++) {
                uint32_t u;
                memcpy(&u, from + i, sizeof u);
                to[i] = canonical32(u);
            }
            break;
        }
        for (size_t i = 0; i < n; i++) {
            float v = (float)value_of(src, first + i);
            uint32_t u;
            memcpy(&u, &v, sizeof u);
            ((uint32_t *)dst)[i] = canonical32(u);
        }
        break;
    case EP_F64:
        for (size_t i = 0; i < n; i++) {
            double v = value_of(src, first + i);
            uint64_t u;
            memcpy(&u, &v, sizeof u);
            ((uint64_t *)dst)[i] = canonical64(u);
        }
        break;
    case EP_U8: WHOLE(uint8_t, 0.0, 255.0);
    case EP_U16: WHOLE(uint16_t, 0.0, 65535.0);
    case EP_U32:
        if (src.u32) {
            memcpy(dst, src.u32 + first, n * sizeof *src.u32);
            break;
        }
        WHOLE(uint32_t, 0.0, 4294967295.0);
    case EP_I8: WHOLE(int8_t, -128.0, 127.0);
    case EP_I16: WHOLE(int16_t, -32768.0, 32767.0);
    case EP_I32: WHOLE(int32_t, -2147483648.0, 2147483647.0);
    }
}

hid_t ep_h5w_file_type(enum ep_dtype dtype)
{
    switch (dtype) {
    case EP_F32: return H5T_IEEE_F32LE;
    case EP_F64: return H5T_IEEE_F64LE;
    case EP_U8: return H5T_STD_U8LE;
    case EP_U16: return H5T_STD_U16LE;
    case EP_U32: return H5T_STD_U32LE;
    case EP_I8: return H5T_STD_I8LE;
    case EP_I16: return H5T_STD_I16LE;
    case EP_I32: return H5T_STD_I32LE;
    }
    return H5I_INVALID_HID;
}

/* One chunk up to 1 MiB; above it tiles of 512 x 512 over the last two dimensions (64 x 512 where a short last dimension, such
 * as the three numbers of theta, stays whole beside them). */
static void chunks_of(int rank, const hsize_t *dim, size_t size, hsize_t *chunk)
{
    double bytes = (double)size;
    for (int k = 0; k < rank; k++) {
        chunk[k] = dim[k];
        bytes *= (double)dim[k];
    }
    if (bytes <= 1 << 20)
        return;
    if (rank == 1) {
        chunk[0] = dim[0] < 512 * 512 / 4 ? dim[0] : 512 * 512 / 4;
        return;
    }
    int last = rank - 1;
    hsize_t rows = 512;
    if (rank > 2 && dim[last] <= 8) { /* what pixels carry is read a few rows at a time */
        last--;
        rows = 64;
    }
    for (int k = 0; k <= last; k++) {
        hsize_t most = k == last ? 512 : k == last - 1 ? rows : 1;
        chunk[k] = dim[k] < most ? dim[k] : most;
    }
}

/* The creation list of a whole array. What is packed has a checksum already, zlib's. The fill value is written out: the
 * padding of border chunks must be defined. */
static hid_t array_creation(int rank, const hsize_t *chunk, bool packed)
{
    EP_AUTO_HID p = H5Pcreate(H5P_DATASET_CREATE);
    bool ready = p >= 0 && plain_object(p) && H5Pset_chunk(p, rank, chunk) >= 0
                 && H5Pset_fill_time(p, H5D_FILL_TIME_ALLOC) >= 0
                 && (packed ? H5Pset_shuffle(p) >= 0 && H5Pset_deflate(p, 1) >= 0 : H5Pset_fletcher32(p) >= 0);
    return ready ? ep_hid_take(&p) : H5I_INVALID_HID;
}

hid_t ep_h5w_array(struct ep_h5w *h, hid_t parent, const char *name, enum ep_dtype dtype, int rank, const hsize_t *dim,
                   struct ep_h5w_values values, bool packed)
{
    if (h->status != EP_OK)
        return H5I_INVALID_HID;
    /* Noise does not compress: floats shrink by a fifth at 60 MB/s, which would be the slowest part of a whole run. */
    if (dtype == EP_F32 || dtype == EP_F64)
        packed = false;
    size_t n = 1;
    for (int k = 0; k < rank; k++)
        n *= (size_t)dim[k];
    EP_AUTO_HID space = H5Screate_simple(rank, dim, NULL);
    EP_AUTO_HID p = H5I_INVALID_HID;
    hsize_t chunk[H5S_MAX_RANK];
    if (n > 0) {
        chunks_of(rank, dim, ep_dtype_size(dtype), chunk);
        p = array_creation(rank, chunk, packed);
    } else { /* chunks of nothing do not exist */
        p = H5Pcreate(H5P_DATASET_CREATE);
        if (p >= 0 && !plain_object(p))
            ep_hid_done(&p);
    }
    if (!ep_h5w_ok(h, space < 0 ? space : p, name))
        return H5I_INVALID_HID;
    void *copy = n ? malloc(n * ep_dtype_size(dtype)) : NULL;
    if (n && !copy) {
        h->status = ep_fail(h->err, EP_E_COMPUTE, "out of memory: %zu bytes to write %s", n * ep_dtype_size(dtype), name);
        return H5I_INVALID_HID;
    }
    if (n)
        ep_h5w_convert(copy, dtype, values, 0, n);
    /* The type in memory is the type in the file: no conversion by HDF5. */
    hid_t type = ep_h5w_file_type(dtype), d = whole(h, parent, name, type, type, space, p, copy, n == 0 || !packed);
    if (n > 0 && !packed && h->status == EP_OK)
        ep_h5w_ok(h, ep_h5_array_write(d, rank, dim, chunk, ep_dtype_size(dtype), copy), name);
    if (h->status != EP_OK)
        ep_h5w_done(h, &d);
    free(copy);
    return d;
}

int ep_h5w_shape(const struct ep_desc *d, hsize_t dim[EP_MAX_AXES], const struct ep_axis *axis[EP_MAX_AXES])
{
    int rank = 0;
    for (size_t k = 0; k < d->nnav && k < EP_MAX_NAV; k++) {
        axis[rank] = &d->nav[k];
        dim[rank++] = d->nav[k].size;
    }
    if (d->spectral) {
        axis[rank] = &d->energy;
        dim[rank++] = d->energy.size;
    }
    if (rank == 0) {
        axis[0] = NULL;
        dim[rank++] = 1;
    }
    return rank;
}

const char *ep_h5w_nav_name(const struct ep_desc *d, size_t k)
{
    static const char *const usual[EP_MAX_NAV] = {"x", "y", "time"}; /* from the last axis backwards */
    if (d->nav[k].name[0])
        return d->nav[k].name;
    return d->kind == EP_PROFILE ? "position" : usual[d->nnav - 1 - k];
}

void ep_h5w_label(char *out, size_t cap, const char *name, const char *unit)
{
    size_t n = strlen(name), m = strlen(unit);
    bool has = n > m + 2 && name[n - 1] == ')' && name[n - m - 2] == '(' && !memcmp(name + n - m - 1, unit, m);
    if (*unit && !has)
        snprintf(out, cap, "%s (%s)", name, unit);
    else
        snprintf(out, cap, "%s", name);
}
