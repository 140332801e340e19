/*
 * X-ray lines of the elements that a spectrum of this specimen shows: energies, rates within
 * each subshell, and how often an electron of the beam makes them. All numbers stand in xray.c
 * with their source.
 */
#ifndef SIM_XRAY_H
#define SIM_XRAY_H

#include <stddef.h>

enum sim_element {
    SIM_C, SIM_O, SIM_SI, SIM_TI, SIM_MN, SIM_CO, SIM_NI, SIM_CU, SIM_GA, SIM_SR, SIM_LA, SIM_PT,
    SIM_ELEMENTS
};

extern const char *const sim_element_symbol[SIM_ELEMENTS];
extern const int sim_element_z[SIM_ELEMENTS];

/* Index of a symbol; SIM_ELEMENTS when it is none of them. */
enum sim_element sim_element_of(const char *symbol);

enum { SIM_MAX_SUBSHELLS = 3, SIM_MAX_LINES = 20 };

/* Order 0 is the outermost of the text: K; L1, L2, L3; M3, M4, M5. */
struct sim_subshell {
    int electrons;
    double edge_kev;
    double yield;      /* fluorescence */
    double next, last; /* Coster-Kronig: share of vacancies that move to the next subshell, and
                          from the first to the last of three */
};

struct sim_line {
    const char *name; /* Siegbahn: "Ka1", "Lb2" */
    int subshell;     /* index of the vacancy */
    double kev;
    double rate;      /* radiative, relative within its subshell */
};

/* One shell of one element: what a fit ties together. */
struct sim_family {
    const char *name;  /* "Ti_K" */
    const char *alpha; /* "Ti_Ka" */
    enum sim_element element;
    struct sim_subshell subshell[SIM_MAX_SUBSHELLS];
    struct sim_line line[SIM_MAX_LINES]; /* up to the first without a name */
};

enum { SIM_FAMILIES = 21 };
extern const struct sim_family sim_families[SIM_FAMILIES];

size_t sim_family_lines(const struct sim_family *family);

/* Photons per atom and electron of the beam, as a cross section in barn, of each line; the
 * rest of `barn` is zero. */
void sim_line_barn(const struct sim_family *family, double barn[SIM_MAX_LINES]);

/* True for the lines that the name `alpha` sums. */
int sim_line_is_alpha(const struct sim_line *line);

/* Bremsstrahlung: barn per atom and keV at a photon energy. */
double sim_bremsstrahlung_barn_per_kev(int z, double kev);

/* Mass absorption coefficient, cm^2/g, 0.1 to 20 keV; for C, N, O, Al, Si alone. */
double sim_absorption_cm2_per_g(int z, double kev);

#endif
