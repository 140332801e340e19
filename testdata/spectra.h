/*
 * From a column of specimen to the expected spectrum.
 *
 * A basis is a set of components (valence losses of a host, one edge, a background), each as a
 * list of vectors on a fine energy grid: vector n is the component after n additional valence
 * losses, zero-loss peak and channel width included. A pixel's spectrum is a sum of these
 * vectors with Poisson weights for its thickness, then put on the channels of its own, shifted
 * energy axis. So plural scattering costs a pixel a few thousand multiplications.
 */
#ifndef SIM_SPECTRA_H
#define SIM_SPECTRA_H

#include "physics.h"
#include "scene.h"

enum { SIM_MAX_ORDERS = 8, SIM_MAX_COMPONENTS = 12, SIM_WINDOWS = 4 };

struct sim_component {
    const char *name;
    enum sim_host host;    /* whose losses follow: low, of valence electrons; core, of all its electrons */
    size_t norders;        /* 1: no plural scattering */
    double area;           /* of the edge: nm^2 per atom; of valence losses: 1 */
    size_t first[SIM_MAX_ORDERS];       /* nothing below this index */
    double *vector[SIM_MAX_ORDERS];     /* owned; per electron and channel */
    double window[SIM_WINDOWS][SIM_MAX_ORDERS]; /* sums over the basis' windows */
};

struct sim_window {
    double from_ev, to_ev; /* channels with from <= E < to */
};

/* One detector range that is rendered from a basis. */
struct sim_range {
    const char *name, *title;
    double offset_ev, scale_ev;
    size_t nchannels;
    double dwell_s;
};

struct sim_basis {
    double e0_ev, step_ev; /* fine grid; step is half a channel */
    size_t n;
    size_t ncomponents;
    struct sim_component component[SIM_MAX_COMPONENTS];
    struct sim_window window[SIM_WINDOWS]; /* on channels of an axis without shift */
    size_t nwindows;
};

enum { SIM_LOW_NCM, SIM_LOW_LLTO, SIM_LOW_STO, SIM_LOW_TM_M, SIM_LOW_TI_M, SIM_LOW_TI_M_STO,
       SIM_LOW_LA_N, SIM_LOW_LI_NCM, SIM_LOW_LI_LLTO, SIM_LOW_COMPONENTS };
enum { SIM_LOW_WINDOW_ALL, SIM_LOW_WINDOW_LI };
enum { SIM_CORE_BACK_NCM, SIM_CORE_BACK_LLTO, SIM_CORE_BACK_STO, SIM_CORE_TI_L, SIM_CORE_TI_L_NCM,
       SIM_CORE_TI_L_STO, SIM_CORE_MN_L, SIM_CORE_O_PRE, SIM_CORE_O_NCM, SIM_CORE_O_LLTO,
       SIM_CORE_O_STO };
enum { SIM_CORE_WINDOW_O, SIM_CORE_WINDOW_PRE, SIM_CORE_WINDOW_MAIN };
enum { SIM_RANGE_LL, SIM_RANGE_LI, SIM_RANGE_O, SIM_RANGES };

extern const struct sim_range sim_ranges[SIM_RANGES];

/* Everything that all runs share. Constant once made, so threads may read it together. */
struct sim_library {
    struct sim_basis low, core;
    double valence_path_nm[SIM_HOSTS]; /* mean free path of valence losses alone */
};

int sim_library_make(struct sim_library *library, struct sim_err *err);
void sim_library_free(struct sim_library *library);

/* How much of each component a column gives. */
struct sim_mix {
    double amplitude[SIM_MAX_COMPONENTS];
    double tau[SIM_HOSTS]; /* t/lambda of the losses that follow */
};

double sim_electrons(const struct sim_column *column, double dwell_s, double dose);
void sim_mix_low(const struct sim_library *library, const struct sim_column *column,
                 double electrons, struct sim_mix *mix);
void sim_mix_core(const struct sim_column *column, double electrons, struct sim_mix *mix);

/* The expected spectrum on the fine grid; fine has basis->n values. */
void sim_expected(const struct sim_basis *basis, const struct sim_mix *mix, double *fine);

/* Expected counts of one component in a window, on an axis without shift. */
double sim_expected_window(const struct sim_basis *basis, const struct sim_mix *mix,
                           size_t component, size_t window);

/* ln(I_total / I_0) of a column, all losses. */
double sim_t_over_lambda(const struct sim_library *library, const struct sim_column *column);

/* Puts a fine spectrum on a range's channels when the zero loss stands at zlp_ev. */
void sim_channels(const struct sim_basis *basis, const double *fine,
                  const struct sim_range *range, double zlp_ev, double *channels);

#endif
