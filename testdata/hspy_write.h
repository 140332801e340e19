/*
 * Writes one spectrum image as HyperSpy's HDF5 (.hspy), rows at a time, and plain HDF5 files
 * with truth maps. A file appears under its name only when it is complete. HDF5 is not
 * re-entrant: the caller sees to it that one thread at a time is in here.
 */
#ifndef SIM_HSPY_WRITE_H
#define SIM_HSPY_WRITE_H

#include <hdf5.h>
#include <stdbool.h>

#include "simulate.h"

struct sim_image {
    const char *path, *title;
    size_t ny, nx, nchannels;
    double pixel_nm, offset_ev, scale_ev;
    const char *dtype; /* as numpy writes it: "u2", ">f4", ...; little-endian without a sign */
    enum sim_layout layout;
    bool compress;                  /* shuffle and deflate 1 */
    double dwell_s, current_na;     /* 0: unknown, not written */
    double beam_kev, convergence_mrad, collection_mrad;
    uint64_t seed;
};

struct sim_file {
    char path[4096], temporary[4128];
    hid_t file, dataset, memory_type;
};

/* True when the text names a type that can be written. */
bool sim_dtype_known(const char *dtype);
/* Largest count the type holds exactly; its bytes per value. */
double sim_dtype_largest(const char *dtype);
size_t sim_dtype_size(const char *dtype);

/* Call once before anything else in here. */
void sim_hdf5_start(void);

int sim_image_create(struct sim_file *file, const struct sim_image *image, struct sim_err *err);
/* Rows y0 .. y0+ny-1, [y][x][channel], in this machine's form of the image's type. */
int sim_image_rows(struct sim_file *file, size_t y0, size_t ny, const void *values,
                   struct sim_err *err);

int sim_truth_create(struct sim_file *file, const char *path, struct sim_err *err);
int sim_truth_group(struct sim_file *file, const char *name, struct sim_err *err);
/* A float64 dataset with its unit and a sentence; ny = 0 makes it one-dimensional. */
int sim_truth_map(struct sim_file *file, const char *name, const char *units,
                  const char *long_name, size_t ny, size_t nx, const double *values,
                  struct sim_err *err);

/* Closes and renames. */
int sim_file_finish(struct sim_file *file, struct sim_err *err);
/* Closes and removes an unfinished file; does nothing to a finished one. */
void sim_file_abandon(struct sim_file *file);

#endif
