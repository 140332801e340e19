/*
 * The scene: what the beam meets at each pixel of one scan of one run. Every detector (energy
 * losses, X-rays, HAADF) renders from it, each on the grid of its own scan.
 */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include "detector.h"
#include "profile.h"
#include "simulate.h"
#include "xray.h"

#define SIM_PIXEL_NM 0.5      /* of the EELS scans */
#define SIM_EDS_PIXEL_NM 0.55
#define SIM_PROBE_FWHM_NM 1.0

enum sim_sample { SIM_NCM003, SIM_NCM104, SIM_SAMPLES };

extern const char *const sim_sample_names[SIM_SAMPLES];

/* The pixels of one scan. A point of the specimen is seen at its own coordinates plus shift. */
struct sim_grid {
    const char *name; /* "eels", "eds" */
    size_t ny, nx;
    double pixel_nm, origin_x_nm, origin_y_nm; /* as the file's axes say: centre of pixel 0 */
    double shift_x_nm, shift_y_nm;             /* drift; no file says it */
};

enum sim_scan { SIM_SCAN_EELS, SIM_SCAN_EDS, SIM_SCANS };

/* The numbers of one run: sample at a temperature. */
struct sim_run {
    enum sim_sample sample;
    int temperature_c;
    uint64_t seed;            /* already mixed with sample and temperature */
    struct sim_grid grid[SIM_SCANS];

    /* The specimen, in coordinates that move with it: substrate, LLTO, NCM, cap. */
    double angle_degree;      /* of the boundary's normal against x, in the image */
    double point_x_nm, point_y_nm; /* a point of the LLTO/NCM boundary's mean line */
    double wave_nm, wavelength_nm, wave_phase; /* 0: straight */
    double llto_nm, ncm_nm;   /* thickness of the layers */
    double step_sigma_nm;     /* probe and inclination along the beam together */
    double li_moved;          /* share of NCM's lithium that has left it */
    double li_ncm_mol_l, li_llto_mol_l;
    enum sim_profile profile; /* of Ti and La */
    double ti_depth_nm, la_depth_nm, tm_depth_nm; /* 10 % point of the unblurred profile */
    double prepeak;           /* of the O K pre-peak of NCM, against 25 degC */
    double thickness_nm;      /* at the boundary's point */
    double half_y_nm, half_x_nm;
    double wedge_y, wedge_x;  /* relative change over half_y and half_x */

    /* The microscope. */
    double current_na;        /* mean of the scan */
    double current_fall;      /* relative fall over the scan */
    double zlp_offset_ev, zlp_ramp_ev, zlp_wave_ev, zlp_wave_periods, zlp_wave_phase;
    double zlp_jitter_ev;
    struct sim_detector detector;
};

/* The column under one pixel. Fractions and concentrations are averages over the probe. */
struct sim_column {
    double distance_nm;   /* signed, of the pixel's centre; positive in NCM */
    double ncm, llto, sto, cap; /* shares of the beam; their sum is 1 */
    double li_ncm_mol_l;  /* lithium within NCM and within LLTO; their sum is the mean */
    double li_llto_mol_l;
    double ti_llto, la;   /* what comes from LLTO, relative to pristine LLTO */
    double ti;            /* with the substrate's, relative to pristine LLTO */
    double tm;            /* relative to pristine NCM */
    double prepeak;
    double thickness_nm, current_na, zlp_ev;
};

struct sim_scene {
    size_t ny, nx;
    struct sim_run run;
    struct sim_grid grid;
    struct sim_column *column; /* [y][x], owned */
};

/* The run's scenario numbers. */
struct sim_run sim_run_of(enum sim_sample sample, int temperature_c,
                          const struct sim_series *series);

int sim_scene_make(struct sim_scene *scene, const struct sim_run *run, enum sim_scan scan,
                   struct sim_err *err);
void sim_scene_free(struct sim_scene *scene);

/* The cap of platinum and carbon that the ion beam laid down (scenario), mol/L. */
#define SIM_CAP_PT_MOL_L 40.0
#define SIM_CAP_C_MOL_L 60.0
#define SIM_CAP_GA_MOL_L 4.0

/* Atoms per nm^2 of the elements that make X-rays: the specimen's own. */
void sim_column_atoms(const struct sim_column *column, double atoms[SIM_ELEMENTS]);

#endif
