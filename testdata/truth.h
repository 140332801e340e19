/*
 * What is true in one run, beside its spectrum images.
 */
#ifndef SIM_TRUTH_H
#define SIM_TRUTH_H

#include "scene.h"
#include "simulate.h"
#include "spectra.h"

enum { SIM_TRUTH_MAPS = 16 };

/* Computes all maps: SIM_TRUTH_MAPS * ny * nx values, [map][y][x]. */
void sim_truth_evaluate(const struct sim_library *library, const struct sim_scene *scene,
                        double dose, double *maps);

/* truth.h5. Calls HDF5: one thread at a time. */
int sim_truth_write_maps(const struct sim_series *series, const struct sim_library *library,
                         const struct sim_scene *scene, const char *path, const double *maps,
                         struct sim_err *err);

/* truth.json */
int sim_truth_write_text(const struct sim_series *series, const struct sim_library *library,
                         const struct sim_scene *scene, const char *path, struct sim_err *err);

#endif
