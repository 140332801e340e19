/*
 * The physics of the simulator: cross sections, edge shapes, loss functions, materials. All
 * numbers that come from the literature stand in physics.c with their source; numbers that are
 * merely chosen are marked "scenario" there.
 */
#ifndef SIM_PHYSICS_H
#define SIM_PHYSICS_H

#include <stddef.h>

#define SIM_BEAM_KEV 200.0
#define SIM_CONVERGENCE_MRAD 6.0
#define SIM_COLLECTION_MRAD 20.8
#define SIM_ZLP_FWHM_EV 0.9

/* mol/L to atoms per nm^3 */
#define SIM_PER_NM3 0.602214076

enum sim_host { SIM_NCM, SIM_LLTO, SIM_STO, SIM_HOSTS };

struct sim_material {
    const char *name, *formula;
    double units_mol_l;    /* formula units */
    double lithium_mol_l;  /* as grown */
    double oxygen_mol_l;
    double ti_mol_l, la_mol_l, sr_mol_l;
    double tm_mol_l;       /* Mn + Co + Ni, one third each */
    double density_g_cm3;
    double background_per_nm_ev; /* O K range: probability per nm and eV at 500 eV */
    double background_exponent;
};

extern const struct sim_material sim_materials[SIM_HOSTS];

enum sim_edge_id {
    SIM_EDGE_LI_NCM, SIM_EDGE_LI_LLTO, SIM_EDGE_TM_M, SIM_EDGE_TI_M, SIM_EDGE_LA_N,
    SIM_EDGE_TI_L, SIM_EDGE_MN_L, SIM_EDGE_O_PRE, SIM_EDGE_O_NCM, SIM_EDGE_O_LLTO, SIM_EDGES
};

/* Cross section into the collection angle, nm^2 per eV and atom, at energy loss e_ev. */
double sim_edge_nm2_per_ev(enum sim_edge_id edge, double e_ev);

/* Single scattering by valence electrons, arbitrary height. */
double sim_valence(enum sim_host host, double e_ev);

/* Inelastic mean free path, nm. */
double sim_mean_free_path_nm(enum sim_host host);

#endif
