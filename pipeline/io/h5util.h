/* Small helpers over libhdf5: identifiers that close themselves, attributes and datasets of any reasonable type.
 *
 * Files come from many programs: a text may be of fixed or variable length, a number any integer or float, a boolean an
 * enum or an integer, a scalar an array of one. Anything else is EP_H5_BAD and never a crash. All of this calls HDF5:
 * one thread at a time.
 */
#ifndef EP_IO_H5UTIL_H
#define EP_IO_H5UTIL_H
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* EP_AUTO_HID id = H5...(); closes whatever kind of identifier it is at the end of the scope. Not for
 * predefined types (H5T_NATIVE_...). To hand one over: return ep_hid_take(&id). */
#define EP_AUTO_HID __attribute__((cleanup(ep_hid_done))) hid_t
static inline void ep_hid_done(hid_t *id)
{
    if (*id > 0) H5Idec_ref(*id);
    *id = H5I_INVALID_HID;
}
static inline hid_t ep_hid_take(hid_t *id)
{
    hid_t r = *id;
    *id = H5I_INVALID_HID;
    return r;
}
/* EP_AUTO_FREE char *p = ...; free()s it at the end of the scope; set p to NULL to hand it over. */
#define EP_AUTO_FREE __attribute__((cleanup(ep_ptr_done)))
static inline void ep_ptr_done(void *pp)
{
    void *p;
    memcpy(&p, pp, sizeof p);
    free(p);
}

#define EP_H5_TEXT_MAX ((size_t)64 << 20) /* longer texts are refused */

enum ep_h5_got { EP_H5_BAD = -1, EP_H5_ABSENT = 0, EP_H5_OK = 1 };

/* Objects. Dangling links and objects of another kind are "not there"; nothing is printed. */
bool ep_h5_is_group(hid_t loc, const char *path);
bool ep_h5_is_dataset(hid_t loc, const char *path);
hid_t ep_h5_group(hid_t loc, const char *path);   /* < 0 if there is none */
hid_t ep_h5_dataset(hid_t loc, const char *path); /* < 0 if there is none */
/* Names of the children of a group, in creation order where the group tracks it, else by name; at most max.
 * Returns a malloc'ed list that ends with NULL (ep_h5_names_free), NULL on failure. */
char **ep_h5_children(hid_t group, size_t max, size_t *n);
void ep_h5_names_free(char **names);

/* Attributes of an open object. "", "_None_" and "<undefined>" count as absent. Control characters become blanks; a
 * text that is too long is cut between characters. */
enum ep_h5_got ep_h5_attr_text(hid_t obj, const char *name, char *out, size_t cap);
char *ep_h5_attr_string(hid_t obj, const char *name); /* malloc'ed, as it stands in the file; NULL unless it is a text */
enum ep_h5_got ep_h5_attr_num(hid_t obj, const char *name, double *out);
enum ep_h5_got ep_h5_attr_bool(hid_t obj, const char *name, bool *out);
/* All numbers of an array (any rank) with at most cap elements; *n tells how many. */
enum ep_h5_got ep_h5_attr_nums(hid_t obj, const char *name, double *out, size_t cap, size_t *n);
/* All texts of an attribute, scalar or 1-D, at most max. List as above. */
char **ep_h5_attr_texts(hid_t obj, const char *name, size_t max, size_t *n);

/* Datasets below loc. */
char *ep_h5_data_string(hid_t loc, const char *path);            /* scalar or one-element text; malloc'ed */
char **ep_h5_data_texts(hid_t loc, const char *path, size_t max, size_t *n); /* 1-D */
/* Rank and dimensions of an open dataset; false for scalars, null spaces, more than cap dimensions, a size of 0, or a
 * product that does not fit size_t. */
bool ep_h5_dims(hid_t dset, size_t cap, int *rank, size_t *dim, size_t *total);
/* A whole dataset of numbers below loc, as the memory type given, if it has exactly `want` elements. */
enum ep_h5_got ep_h5_data_read(hid_t loc, const char *path, hid_t mem_type, size_t want, void *out);

/* Types of what h5py and HyperSpy read and write: a variable-length UTF-8 text, a boolean. The caller closes them. */
hid_t ep_h5_text_type(void);
hid_t ep_h5_bool_type(void);

/* Copies src to out, cut between UTF-8 characters, control characters as blanks. */
void ep_h5_copy_text(char *out, size_t cap, const char *src);

/* Transfer properties for texts: HDF5's own two buffers for their conversion take and clear 2 MB for each call. */
hid_t ep_h5_text_transfer(void);
#endif
