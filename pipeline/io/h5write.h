/* The write side over libhdf5: attributes, small arrays, spectrum images in chunks, the HyperSpy view.
 *
 * Errors stick: after the first failure every function here does nothing, so that a run of writes needs one check at
 * its end. Nothing is closed without its status being looked at, because a full disk may show only then. All of this
 * calls HDF5: one thread at a time.
 */
#ifndef EP_IO_H5WRITE_H
#define EP_IO_H5WRITE_H
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>
#include "pipeline/base/err.h"
#include "pipeline/data/cell.h"
#include "pipeline/data/signal.h"

struct ep_h5w {
    const char *path;      /* final name, for messages; the owner's */
    ep_status status;      /* the first failure, EP_OK so far */
    struct ep_err *err;    /* of the call now running; the owner sets it */
    hid_t text, boolean;   /* types: variable-length UTF-8, enum FALSE/TRUE */
    hid_t transfer;        /* of texts */
    struct ep_h5w_flags { XXH128_hash_t hash; int rank; hsize_t dim[EP_MAX_NAV + 1]; char path[EP_NAME_LEN + 32]; } flags; /* written first */
};
ep_status ep_h5w_open(struct ep_h5w *h, const char *path, struct ep_err *e);
void ep_h5w_close(struct ep_h5w *h);
/* Right after a failed HDF5 call: the system's reason from HDF5's error stack, else HDF5's own innermost words. */
ep_status ep_h5w_fail(struct ep_h5w *h, const char *doing);
/* Whether a call's return value is a success; the failure is recorded. True also means that nothing failed before. */
bool ep_h5w_ok(struct ep_h5w *h, long long returned, const char *doing);
/* Closes *id (a group, dataset or file), checked, even after a failure (then unchecked); *id is invalid afterwards. */
void ep_h5w_done(struct ep_h5w *h, hid_t *id);

/* Attributes. Texts that are NULL are not written; numbers that are NaN are not written (unknown, section 5.3). */
void ep_h5w_text(struct ep_h5w *h, hid_t obj, const char *name, const char *value);
void ep_h5w_texts(struct ep_h5w *h, hid_t obj, const char *name, const char *const *values, size_t n);
void ep_h5w_num(struct ep_h5w *h, hid_t obj, const char *name, double value);
void ep_h5w_nums(struct ep_h5w *h, hid_t obj, const char *name, const double *values, size_t rows, size_t cols); /* cols 0: 1-D */
void ep_h5w_i32(struct ep_h5w *h, hid_t obj, const char *name, int32_t value);
void ep_h5w_i64(struct ep_h5w *h, hid_t obj, const char *name, int64_t value);
void ep_h5w_u32s(struct ep_h5w *h, hid_t obj, const char *name, const uint32_t *values, size_t n);
void ep_h5w_bool(struct ep_h5w *h, hid_t obj, const char *name, bool value);

/* A group that remembers the order of its links; attributes stay in the object header. */
hid_t ep_h5w_group(struct ep_h5w *h, hid_t parent, const char *name, const char *nx_class);
/* Datasets of texts: a scalar, a list. The list's identifier is the caller's to close. */
void ep_h5w_text_data(struct ep_h5w *h, hid_t parent, const char *name, const char *value);
hid_t ep_h5w_texts_data(struct ep_h5w *h, hid_t parent, const char *name, const char *const *values, size_t n);

/* Values on their way into a file: exactly one of f32, f64, u32 is set. */
struct ep_h5w_values { const float *f32; const double *f64; const uint32_t *u32; };
/* dst[i] = src[first + i] as dtype: one NaN, no -0; whole numbers are rounded to even and clamped, NaN becomes 0. */
void ep_h5w_convert(void *dst, enum ep_dtype dtype, struct ep_h5w_values src, size_t first, size_t n);
hid_t ep_h5w_file_type(enum ep_dtype dtype);   /* little-endian, predefined */
/* A whole array, chunked; packed means shuffle + deflate. The caller closes (ep_h5w_done). Dimension sizes may be 0. */
hid_t ep_h5w_array(struct ep_h5w *h, hid_t parent, const char *name, enum ep_dtype dtype, int rank, const hsize_t *dim,
                   struct ep_h5w_values values, bool packed);

/* Dimensions of a signal's array and its axes in that order. A signal without any axis (a map of one number) is an
 * array of one value whose axis is NULL. Rank <= EP_MAX_AXES. */
int ep_h5w_shape(const struct ep_desc *d, hsize_t dim[EP_MAX_AXES], const struct ep_axis *axis[EP_MAX_AXES]);
/* The name of navigation axis k, or the usual one for its place: position; x; y, x; time, y, x. */
const char *ep_h5w_nav_name(const struct ep_desc *d, size_t k);
/* "eV" and "Energy loss" -> "Energy loss (eV)". */
void ep_h5w_label(char *out, size_t cap, const char *name, const char *unit);

/* ---- A signal's group in /entry (result_entry.c) -------------------------------------------------------- */
struct ep_model;
/* A name that NeXus allows, [A-Za-z][A-Za-z0-9_]*; otherwise: where nothing of it can be used. */
void ep_h5w_safe_name(char out[EP_NAME_LEN], const char *name, const char *otherwise);
/* Another name, where the first is taken. */
void ep_h5w_next_name(char name[EP_NAME_LEN]);
/* All of d but its sizes and type, as attributes. */
void ep_h5w_describe(struct ep_h5w *h, hid_t group, const struct ep_desc *d, const char *group_name);
void ep_h5w_label_data(struct ep_h5w *h, hid_t data, const struct ep_desc *d, const char *interpretation);
/* What makes the group a plot: signal, axes with their vectors, a title. */
void ep_h5w_nxdata(struct ep_h5w *h, hid_t group, const struct ep_desc *d);
/* Flags, shifts, model and covariance; each may be NULL. */
void ep_h5w_carried(struct ep_h5w *h, hid_t group, const struct ep_desc *d, const struct ep_model *model,
                    const double *theta, const double *cmat, const double *shift, const uint32_t *flags);

/* ---- A spectrum image, chunk by chunk (result_image.c) --------------------------------------------------
 * Every chunk is put together in memory, zero beyond the image's border, and written once, so that neither the order
 * of arrival nor HDF5's buffers reach the bytes. Chunks that an area does not fill wait for their other parts. */
struct ep_h5_image;
/* packed: shuffle + deflate. The chunks of a packed image are written in their order whatever the order of arrival
 * (their sizes decide their places): at most one packed image may be open in a file. */
struct ep_h5_image *ep_h5_image_new(struct ep_h5w *h, hid_t parent, const char *name, const struct ep_desc *d, bool packed);
hid_t ep_h5_image_dataset(const struct ep_h5_image *m);
void ep_h5_image_area(struct ep_h5w *h, struct ep_h5_image *m, struct ep_area a, struct ep_h5w_values values);
/* Checks that nothing is missing, closes the dataset, frees m. NULL is allowed. sums: the group for checksums of the chunks of
 * an image that is not packed, or < 0: none. */
#define EP_CHECKSUMS "data_checksums"
void ep_h5_image_end(struct ep_h5w *h, struct ep_h5_image *m, hid_t sums);

/* ---- Tables (result_table.c): the columns of t into its group ------------------------------------------ */
void ep_h5w_table(struct ep_h5w *h, hid_t group, const struct ep_signal *t);

/* ---- The HyperSpy view (result_hspy.c) ------------------------------------------------------------------ */
struct ep_record;
struct ep_h5_view { const struct ep_desc *d; const char *name; bool has_sigma, has_flags; }; /* name: its group in /entry */
void ep_h5w_hspy(struct ep_h5w *h, hid_t file, const struct ep_record *rec, const struct ep_h5_view *view, size_t n);
#endif
