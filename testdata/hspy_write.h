/*
 * Writes one spectrum image or picture as HyperSpy's HDF5 (.hspy), rows at a time, and plain
 * HDF5 files with truth maps. A file appears under its name only when it is complete. HDF5 is not
 * re-entrant: the caller sees to it that one thread at a time is in here.
 */
#ifndef SIM_HSPY_WRITE_H
#define SIM_HSPY_WRITE_H

#include <hdf5.h>
#include <stdbool.h>

#include "simulate.h"

/* What is written: energy losses (eV), X-rays (keV), or a picture without an energy axis. */
enum sim_kind { SIM_KIND_EELS, SIM_KIND_EDS, SIM_KIND_PICTURE };

struct sim_image {
    const char *path, *title;
    enum sim_kind kind;
    size_t ny, nx, nchannels;       /* nchannels 0: a picture */
    double pixel_nm, y0_nm, x0_nm;  /* the centre of pixel (0, 0) */
    double offset_ev, scale_ev;     /* in eV for X-rays too */
    const char *dtype; /* as numpy writes it: "u2", ">f4", ...; little-endian without a sign */
    enum sim_layout layout;
    bool compress;                  /* shuffle and deflate 1 */
    double dwell_s, current_na;     /* 0: unknown, not written */
    double beam_kev, convergence_mrad, collection_mrad;
    double mnka_ev, elevation_degree; /* X-rays: as the detector's maker states them */
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

/* One spectrum into a type. Integers take whole counts: noise-free ones are rounded. */
void sim_store(const char *dtype, const double *line, size_t n, void *target);

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
