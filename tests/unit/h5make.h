/* Little HDF5 files for tests, written with libhdf5 as other programs would. Every failure is a failed assertion. */
#ifndef EP_TESTS_H5MAKE_H
#define EP_TESTS_H5MAKE_H
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

/* A folder that is there until the process ends, and a path in it (static, overwritten by the 8th call after). */
const char *mk_path(const char *name);
void mk_remove_all(void);

hid_t mk_file(const char *name);                  /* HyperSpy 3.1, empty */
void mk_close(hid_t file);
hid_t mk_group(hid_t loc, const char *path);      /* parents too */
void mk_text(hid_t obj, const char *name, const char *value);       /* variable length, UTF-8 */
void mk_fixed(hid_t obj, const char *name, const char *value);      /* fixed length, ASCII, array of one */
void mk_texts(hid_t obj, const char *name, const char *const *value, size_t n);
void mk_num(hid_t obj, const char *name, double value);
void mk_nums(hid_t obj, const char *name, const double *value, size_t n);
void mk_int(hid_t obj, const char *name, int value);
void mk_bool(hid_t obj, const char *name, bool value);              /* as h5py does */
void mk_no_attr(hid_t obj, const char *name);                       /* removes it */
void mk_data(hid_t loc, const char *name, hid_t type, int rank, const hsize_t *dim, const double *value); /* contiguous */
void mk_data_text(hid_t loc, const char *name, const char *value);

enum { MK_SHUFFLE = 1, MK_GZIP = 2, MK_FLETCHER = 4, MK_COMPACT = 8, MK_EMPTY = 16 /* nothing written */ };
/* An array whose dimensions are named by one letter each: t y x and E; sizes are those of mk_size. */
struct mk_array {
    const char *dims;
    hid_t type;          /* of the file */
    hsize_t chunk[4];    /* all 0: contiguous */
    unsigned how;
    double fill;         /* with MK_EMPTY */
};
extern const size_t mk_size[4];                   /* nt, ny, nx, nE */
double mk_value(size_t t, size_t y, size_t x, size_t e); /* whole numbers 0 .. 120: every type holds them */
hid_t mk_array(hid_t loc, const char *name, const struct mk_array *a); /* open dataset */
/* /Experiments/<name> with data, axes (units nm, s, eV), metadata; returns the open group. */
hid_t mk_experiment(hid_t file, const char *name, const struct mk_array *a);
#endif
