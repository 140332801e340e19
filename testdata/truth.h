/*
 * What is true in one run, beside its spectrum images.
 */
#ifndef SIM_TRUTH_H
#define SIM_TRUTH_H

#include "detector.h"
#include "hspy_write.h"
#include "scene.h"
#include "simulate.h"
#include "spectra.h"

enum { SIM_TRUTH_MAPS = 19 };

/* One run and all that it was made from. */
struct sim_truth {
    const struct sim_series *series;
    const struct sim_library *library;
    const struct sim_scene *eels, *eds;
    const struct sim_responses *responses;
};

/* Computes the maps of the EELS scan: SIM_TRUTH_MAPS * ny * nx values, [map][y][x]. */
void sim_truth_evaluate(const struct sim_library *library, const struct sim_scene *scene,
                        double dose, double *maps);

/* truth.h5. Calls HDF5: one thread at a time. */
int sim_truth_write_maps(const struct sim_truth *truth, const char *path, const double *maps,
                         struct sim_err *err);

/* truth.json */
int sim_truth_write_text(const struct sim_truth *truth, const char *path, struct sim_err *err);

/* ---- the parts of both files that the X-ray scan and the geometry make: truth_eds.c ---- */

int sim_truth_eds_maps(struct sim_file *file, const struct sim_truth *truth, struct sim_err *err);
void sim_truth_state_geometry(struct sim_text *t, const struct sim_run *run);
void sim_truth_state_fronts(struct sim_text *t, const struct sim_run *run);
void sim_truth_state_eds(struct sim_text *t, const struct sim_truth *truth);
/* Lines, shares and mean counts of each family that has any; units: of sim_eds_units. */
void sim_truth_state_families(struct sim_text *t, const struct sim_responses *responses,
                              const double units[SIM_RESPONSES]);
/* The energy axis' errors and the shape of a line. */
void sim_truth_state_detector(struct sim_text *t, const struct sim_detector *detector);

#endif
