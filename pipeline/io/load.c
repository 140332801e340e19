/* Whole signals into memory. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define MAX_COLUMNS 10000
#define MAX_ROWS ((size_t)1 << 28)

static ep_status too_large(const struct ep_file *f, const struct ep_item *it, size_t bytes, size_t max, struct ep_err *e)
{
    return ep_fail(e, EP_E_COMPUTE, "%s: '%s' needs %zu MB in memory, more than the %zu MB allowed", f->path, it->label,
                   bytes / 1000000, max / 1000000);
}

static ep_status cannot_read(const struct ep_file *f, const struct ep_item *it, const char *what, struct ep_err *e)
{
    return ep_fail(e, EP_E_INPUT, "%s: '%s': %s is missing, damaged, or does not fit the data%s%s", f->path, it->label, what,
                   it->from == EP_FROM_RESULT ? "; " : "", it->from == EP_FROM_RESULT ? ep_damaged_hint(it) : "");
}

/* Bytes that the signal will take; SIZE_MAX if they can't be counted. */
static size_t bytes_wanted(const struct ep_desc *d)
{
    size_t n = 1, pixels = 1, bytes;
    for (size_t k = 0; k < d->nnav; k++)
        if (!ep_mul_ok(pixels, d->nav[k].size, &pixels)) return SIZE_MAX;
    if (!ep_mul_ok(pixels, ep_desc_nch(d), &n) || !ep_mul_ok(n, d->has_sigma ? 16 : 8, &n)) return SIZE_MAX;
    if (d->kind == EP_IMAGE || d->kind == EP_MAP) n /= 2;
    size_t each = d->kind == EP_CURVE ? EP_CURVE_COLS * sizeof(double) : d->modelled ? 60 : 12;
    if (!ep_mul_ok(pixels, each, &bytes) || bytes > SIZE_MAX - n) return SIZE_MAX;
    return n + bytes;
}

/* ---- arrays ---- */

/* Images and maps: through the source, which knows the order of the array. */
static ep_status load_floats(struct ep_file *f, size_t i, struct ep_signal *s, struct ep_err *e)
{
    struct ep_source *src = NULL;
    struct ep_piece p = {0};
    struct ep_block b = {.a = {0, 0, ep_desc_ny(&s->d), ep_desc_nx(&s->d)}, .nch = ep_desc_nch(&s->d), .val = s->f32, .shift = s->shift,
                         .theta = s->theta, .cmat = s->cmat, .flag = s->flags};
    ep_status st = ep_source_open(f, i, &src, e);
    size_t n = st == EP_OK ? ep_source_pieces(src, &b) : 0;
    for (size_t k = 0; st == EP_OK && k < n; k++) {
        st = ep_source_fetch(src, &b, k, &p, e);
        if (st == EP_OK) st = ep_source_fill(src, &b, k, &p, e);
    }
    free(p.raw);
    ep_source_close(src);
    return st;
}

static ep_status load_beside(struct ep_file *f, const struct ep_item *it, const char *name, hid_t type, size_t n, void *to,
                             struct ep_err *e)
{
    EP_AUTO_HID g = ep_h5_group(f->id, it->group);
    if (g < 0 || ep_h5_data_read(g, name, type, n, to) != EP_H5_OK) return cannot_read(f, it, name, e);
    return EP_OK;
}

/* Spectra and profiles are one-dimensional: no order to mind, and they stay doubles. */
static ep_status load_doubles(struct ep_file *f, const struct ep_item *it, struct ep_signal *s, struct ep_err *e)
{
    struct ep_store store; /* for its message where a filter is missing */
    ep_status st = ep_store_open(f, it->data, it->d.dtype, &store, e);
    if (st != EP_OK) return st;
    ep_store_close(&store);
    if (ep_h5_data_read(f->id, it->data, H5T_NATIVE_DOUBLE, s->n, s->f64) != EP_H5_OK) return cannot_read(f, it, "data", e);
    size_t pixels = ep_desc_ny(&s->d) * ep_desc_nx(&s->d);
    if (s->flags && it->has_flags) st = load_beside(f, it, "flags", H5T_NATIVE_UINT32, pixels, s->flags, e);
    if (st == EP_OK && s->shift && it->has_shift) st = load_beside(f, it, "shift", H5T_NATIVE_DOUBLE, pixels, s->shift, e);
    if (st == EP_OK && s->theta) st = load_beside(f, it, "covariance/theta", H5T_NATIVE_DOUBLE, EP_NTHETA * pixels, s->theta, e);
    if (st == EP_OK && s->cmat) st = load_beside(f, it, "covariance/cmat", H5T_NATIVE_DOUBLE, EP_NCMAT * pixels, s->cmat, e);
    return st;
}

/* Covariances of neighbouring bins of a profile. */
static ep_status load_band(struct ep_file *f, const struct ep_item *it, struct ep_signal *s, struct ep_err *e)
{
    size_t bytes;
    if (!ep_mul_ok(s->n * sizeof *s->band, it->nband, &bytes) || !(s->band = calloc(bytes ? bytes : 1, 1)))
        return ep_fail(e, EP_E_COMPUTE, "no memory (covariances of a profile)");
    s->nband = it->nband;
    return load_beside(f, it, "data_band", H5T_NATIVE_DOUBLE, s->nband * s->n, s->band, e);
}

static ep_status load_array(struct ep_file *f, size_t i, struct ep_signal **out, struct ep_err *e)
{
    const struct ep_item *it = &f->item[i];
    struct ep_signal *s = NULL;
    ep_status st = ep_signal_new(&it->d, &s, e);
    if (st != EP_OK) return st;
    size_t pixels = ep_desc_ny(&s->d) * ep_desc_nx(&s->d);
    if (it->has_flags && !s->flags && !(s->flags = calloc(pixels, sizeof *s->flags)))
        st = ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (flags)", pixels * sizeof *s->flags);
    if (st == EP_OK && it->model && s->model) *s->model = *it->model;
    if (st == EP_OK && it->d.kind == EP_CURVE) {
        if (ep_h5_data_read(f->id, it->data, H5T_NATIVE_DOUBLE, EP_CURVE_COLS * s->n, s->points) != EP_H5_OK) st = cannot_read(f, it, "data", e);
    } else if (st == EP_OK) {
        st = s->f32 ? load_floats(f, i, s, e) : load_doubles(f, it, s, e);
    }
    if (st == EP_OK && s->sigma32) st = load_beside(f, it, it->errors, H5T_NATIVE_FLOAT, s->n, s->sigma32, e);
    if (st == EP_OK && s->sigma64) st = load_beside(f, it, it->errors, H5T_NATIVE_DOUBLE, s->n, s->sigma64, e);
    if (st == EP_OK && it->nband) st = load_band(f, it, s, e);
    if (st != EP_OK) {
        ep_signal_free(s);
        return st;
    }
    *out = s;
    return EP_OK;
}

/* ---- tables ---- */

/* Rows of a column, or SIZE_MAX if it is no list of numbers or texts. */
static size_t rows_of(hid_t set)
{
    hsize_t n = 0;
    EP_AUTO_HID space = set < 0 ? H5I_INVALID_HID : H5Dget_space(set);
    if (space < 0 || H5Sget_simple_extent_ndims(space) != 1 || H5Sget_simple_extent_dims(space, &n, NULL) != 1) return SIZE_MAX;
    return n > MAX_ROWS ? SIZE_MAX : (size_t)n;
}

static ep_status add_texts(hid_t g, const char *dataset, const char *name, const char *unit, struct ep_signal *t, struct ep_err *e)
{
    size_t n = 0;
    char **text = t->n ? ep_h5_data_texts(g, dataset, t->n, &n) : ep_xcalloc(1, sizeof *text);
    ep_status st = text && n == t->n ? ep_table_add(t, name, unit, NULL, NULL, (const char *const *)text, e) : EP_E_INPUT;
    ep_h5_names_free(text);
    return st;
}

static ep_status add_numbers(hid_t g, const char *dataset, const char *name, const char *unit, struct ep_signal *t, struct ep_err *e)
{
    char errors[EP_NAME_LEN + 16];
    EP_AUTO_FREE double *num = calloc(t->n + 1, sizeof *num);
    EP_AUTO_FREE double *sigma = calloc(t->n + 1, sizeof *sigma);
    if (!num || !sigma) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a column)", 2 * t->n * sizeof *num);
    if (ep_h5_data_read(g, dataset, H5T_NATIVE_DOUBLE, t->n, num) != EP_H5_OK) return EP_E_INPUT;
    snprintf(errors, sizeof errors, "%s_errors", dataset);
    enum ep_h5_got got = ep_h5_data_read(g, errors, H5T_NATIVE_DOUBLE, t->n, sigma);
    if (got == EP_H5_BAD) return EP_E_INPUT;
    return ep_table_add(t, name, unit, num, got == EP_H5_OK ? sigma : NULL, NULL, e);
}

/* Column names as the writer makes dataset names of them. */
static void dataset_name(char out[EP_NAME_LEN], const char *column)
{
    ep_h5_copy_text(out, EP_NAME_LEN, column);
    for (char *c = out; *c; c++)
        if (*c == '/') *c = '_';
    if (!*out || !strcmp(out, ".")) memcpy(out, "_", 2);
}

static ep_status add_column(struct ep_file *f, const struct ep_item *it, hid_t g, const char *column, struct ep_signal *t,
                            struct ep_err *e)
{
    char dataset[EP_NAME_LEN], unit[32] = "", name[EP_NAME_LEN];
    ep_h5_copy_text(name, sizeof name, column);
    dataset_name(dataset, column);
    EP_AUTO_HID set = ep_h5_dataset(g, dataset);
    ep_status st = EP_E_INPUT;
    if (set >= 0 && rows_of(set) == t->n) {
        EP_AUTO_HID type = H5Dget_type(set);
        ep_h5_attr_text(set, "units", unit, sizeof unit);
        st = type >= 0 && H5Tget_class(type) == H5T_STRING ? add_texts(g, dataset, name, unit, t, e)
                                                            : add_numbers(g, dataset, name, unit, t, e);
    }
    if (st == EP_OK || e->code != EP_OK) return st;
    return ep_fail(e, EP_E_INPUT, "%s: '%s': column '%s' can't be read (%s)", f->path, it->label, name, ep_damaged_hint(it));
}

static ep_status load_table(struct ep_file *f, const struct ep_item *it, size_t max_bytes, struct ep_signal **out, struct ep_err *e)
{
    size_t ncol = 0, rows = 0;
    struct ep_signal *t = NULL;
    EP_AUTO_HID g = ep_h5_group(f->id, it->group);
    if (g < 0) return cannot_read(f, it, "its group", e);
    char **columns = ep_h5_attr_texts(g, "columns", MAX_COLUMNS, &ncol);
    if (!columns && H5Aexists(g, "columns") > 0) return cannot_read(f, it, "the attribute columns", e);
    if (ncol) {
        char dataset[EP_NAME_LEN];
        dataset_name(dataset, columns[0]);
        EP_AUTO_HID set = ep_h5_dataset(g, dataset);
        rows = rows_of(set);
    }
    ep_status st = EP_OK;
    if (rows == SIZE_MAX) st = cannot_read(f, it, columns[0], e);
    else if (ncol && rows > max_bytes / 16 / ncol) st = too_large(f, it, rows * 16 * ncol, max_bytes, e);
    else st = ep_table_new(it->d.name, rows, &t, e);
    for (size_t k = 0; st == EP_OK && k < ncol; k++) st = add_column(f, it, g, columns[k], t, e);
    ep_h5_names_free(columns);
    if (st != EP_OK) {
        ep_signal_free(t);
        return st;
    }
    t->d = it->d;
    *out = t;
    return EP_OK;
}

ep_status ep_file_load(struct ep_file *f, size_t i, size_t max_bytes, struct ep_signal **out, struct ep_err *e)
{
    const struct ep_item *it = &f->item[i];
    *out = NULL;
    if (it->d.kind == EP_TABLE) return load_table(f, it, max_bytes, out, e);
    size_t bytes = bytes_wanted(&it->d);
    if (bytes > max_bytes) return too_large(f, it, bytes, max_bytes, e);
    return load_array(f, i, out, e);
}
