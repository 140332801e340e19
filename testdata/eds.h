/*
 * X-ray spectra and HAADF images of a scene.
 */
#ifndef SIM_EDS_H
#define SIM_EDS_H

#include "detector.h"
#include "scene.h"

#define SIM_HAADF_BLACK 300.0 /* counts without a specimen */
#define SIM_HAADF_READ_NOISE 12.0
#define SIM_HAADF_GAIN 0.035  /* per nA and Z^exponent per nm^2 */
#define SIM_HAADF_EXPONENT 1.7

/* Atoms per nm^2 that the detector sees beside the specimen's: films left by preparation, and
 * grid and chip that stray electrons reach, as if they were films in the beam. */
extern const double sim_eds_stray_atoms[SIM_ELEMENTS];

/* How much of each response a column gives: multiply with the members of sim_response. */
void sim_eds_units(const struct sim_column *column, double dwell_s, double dose,
                   double units[SIM_RESPONSES]);

/* Counts [y][x][channel], zeroed by the caller. */
void sim_eds_render(const struct sim_responses *responses, const struct sim_scene *scene,
                    double dose, uint32_t *counts);

/* Expected counts of a HAADF pixel, black level included. */
double sim_haadf_expected(const struct sim_column *column);

/* Counts [y][x]. */
void sim_haadf_render(const struct sim_scene *scene, uint16_t *counts);

#endif
