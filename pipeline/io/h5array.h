/* Arrays of numbers, whole or in slabs, chunk by chunk: checksums are looked at, and a damaged chunk that unpacks to the wrong
 * size is an error (HDF5 1.10 itself reads beyond its buffer then). Arrays without chunks, and those behind filters that are
 * not ours, are read by HDF5. All of this calls HDF5: one thread at a time. */
#ifndef EP_IO_H5ARRAY_H
#define EP_IO_H5ARRAY_H
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

struct ep_h5_array;
/* dset stays the caller's, and open meanwhile. Values come as the native type given. NULL if there is no sense in it. */
struct ep_h5_array *ep_h5_array_open(hid_t dset, hid_t mem_type);
/* A slab, dense; chunks unpacked are remembered (32 MiB of them) for the next slab. False: damaged. */
bool ep_h5_array_read(struct ep_h5_array *a, const hsize_t *start, const hsize_t *count, void *out);
bool ep_h5_array_read_all(struct ep_h5_array *a, void *out);
void ep_h5_array_close(struct ep_h5_array *a);   /* NULL is allowed */

/* All values of a new dataset whose only filter is the checksum; size: bytes of one. */
herr_t ep_h5_array_write(hid_t dset, int rank, const hsize_t *dim, const hsize_t *chunk, size_t size, const void *values);
#endif
