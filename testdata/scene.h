/*
 * The scene: what the beam meets at each pixel of one run. Every detector range is rendered
 * from it; another range (X-rays, HAADF) needs another renderer and, perhaps, another field.
 */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include "simulate.h"

#define SIM_PIXEL_NM 0.5
#define SIM_PROBE_FWHM_NM 1.0

enum sim_sample { SIM_NCM003, SIM_NCM104, SIM_SAMPLES };

extern const char *const sim_sample_names[SIM_SAMPLES];

/* The numbers of one run: sample at a temperature. */
struct sim_run {
    enum sim_sample sample;
    int temperature_c;
    uint64_t seed;            /* already mixed with sample and temperature */
    double angle_degree;      /* of the boundary's normal against x, in the image */
    double point_x_nm, point_y_nm; /* a point of the boundary */
    double step_sigma_nm;     /* probe and inclination along the beam together */
    double li_moved;          /* share of NCM's lithium that has left it */
    double li_ncm_mol_l, li_llto_mol_l;
    double ti_depth_nm, la_depth_nm, tm_depth_nm; /* 10 % point of the unblurred profile */
    double prepeak;           /* of the O K pre-peak of NCM, against 25 degC */
    double thickness_nm;      /* at the centre of the field */
    double wedge_y, wedge_x;  /* relative change from centre to border */
    double current_na;        /* mean of the scan */
    double current_fall;      /* relative fall over the scan */
    double zlp_offset_ev, zlp_ramp_ev, zlp_wave_ev, zlp_wave_periods, zlp_wave_phase;
    double zlp_jitter_ev;
};

/* The column under one pixel. Fractions and concentrations are averages over the probe. */
struct sim_column {
    double distance_nm;   /* signed, of the pixel's centre; positive in NCM */
    double ncm;           /* share of the beam that runs in NCM; the rest runs in LLTO */
    double li_ncm_mol_l;  /* lithium within NCM and within LLTO; their sum is the mean */
    double li_llto_mol_l;
    double ti, la;        /* relative to pristine LLTO */
    double tm;            /* relative to pristine NCM */
    double prepeak;
    double thickness_nm, current_na, zlp_ev;
};

struct sim_scene {
    size_t ny, nx;
    struct sim_run run;
    struct sim_column *column; /* [y][x], owned */
};

/* The run's scenario numbers; the same for any size of the image except the boundary's point. */
struct sim_run sim_run_of(enum sim_sample sample, int temperature_c, uint64_t seed, size_t ny,
                          size_t nx);

int sim_scene_make(struct sim_scene *scene, const struct sim_run *run, size_t ny, size_t nx,
                   struct sim_err *err);
void sim_scene_free(struct sim_scene *scene);

#endif
